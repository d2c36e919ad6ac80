//! What users ask of a node, one file for each.

mod changes;
mod create;
mod get;
mod inspect;
mod selection;
mod session;
mod share;
mod source;
mod stdout;
mod tracker;
mod verify;

pub use create::create;
pub use get::get;
pub use inspect::inspect;
pub use share::share;
pub use tracker::{is_tracker_url, tracker};
pub use verify::verify;

use std::io;

use peerage_api::error::{ExitCode, Failure};

use crate::driver::StartError;

/// How a download ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Complete and verified.
    Complete,
    /// Stopped by the user; the same command goes on.
    Interrupted,
}

/// A failure to open, read or write something by name.
pub(crate) fn io_failure(what: &str, error: &io::Error) -> Failure {
    let (exit, code) = match error.kind() {
        io::ErrorKind::NotFound => (ExitCode::NotFound, "E_NOT_FOUND"),
        io::ErrorKind::PermissionDenied => (ExitCode::Denied, "E_DENIED"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ExitCode::NoSpace, "E_NO_SPACE"),
        io::ErrorKind::AlreadyExists => (ExitCode::Conflict, "E_EXISTS"),
        _ => (ExitCode::Unclassified, "E_IO"),
    };
    Failure::new(exit, code, format!("{what}: {error}"))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Listen(error) => {
                let exit = match error.source.kind() {
                    io::ErrorKind::PermissionDenied => ExitCode::Denied,
                    io::ErrorKind::AddrInUse => ExitCode::Conflict,
                    _ => ExitCode::Unclassified,
                };
                Failure::new(exit, "E_LISTEN", message)
                    .hint("choose another with --listen ADDR:PORT; port 0 takes a free one")
            }
            StartError::Store(_) => Failure::new(ExitCode::Unclassified, "E_STATE", message)
                .hint("`peerage paths` shows the folders; --home DIR or PEERAGE_HOME puts them elsewhere"),
            StartError::Entropy(_) | StartError::Thread(_) => {
                Failure::new(ExitCode::Unclassified, "E_SYSTEM", message)
            }
        }
    }
}
