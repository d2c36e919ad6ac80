//! What users ask of a node, one file for each.

mod changes;
mod code;
mod create;
mod dht;
mod doctor;
mod get;
mod inspect;
mod names;
mod relay;
mod selection;
mod session;
mod share;
mod source;
mod stdout;
mod tracker;
mod verify;
pub(crate) mod ways;
mod why;

pub use code::is_code;
pub use create::create;
pub use dht::{dht_get, dht_lookup, dht_ping, dht_put, dht_status};
pub use doctor::doctor;
pub use get::get;
pub use inspect::inspect;
pub use names::{is_name, key_export, key_import, key_list, key_new};
pub use relay::{check_relay, relay};
pub use session::is_contact;
pub use share::share;
pub use tracker::{is_tracker_url, tracker};
pub use verify::verify;
pub use why::why;

pub(crate) use changes::Changes;
pub(crate) use code::resolve as resolve_code;
pub(crate) use create::{Made, make};
pub(crate) use dht::status_reply;
pub(crate) use get::free_bytes;
pub(crate) use selection::Selection;
pub(crate) use session::{Named, add_failure, eta, printable, resolve};
pub(crate) use source::{Source as LinkSource, open as open_link, parse as parse_link, parse_torrent};

use std::io;

use peerage_api::error::{ExitCode, Failure};
use peerage_store::StoreError;

use crate::driver::StartError;
use crate::identity::IdentityError;

/// What to do about a path of the user's that is not there.
const CHECK_PATH: &str = "check the path";

/// How a download ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Complete and verified.
    Complete,
    /// Stopped by the user; the same command goes on.
    Interrupted,
    /// Whoever read standard output went away before the end; the same command goes on.
    ReaderGone,
}

/// A failure to open, read or write something by name.
pub(crate) fn io_failure(what: &str, error: &io::Error) -> Failure {
    Failure::of_kind(error.kind(), format!("{what}: {error}"))
}

/// A port could not be opened.
pub(crate) fn listen_failure(kind: io::ErrorKind, message: String) -> Failure {
    let exit = match kind {
        io::ErrorKind::PermissionDenied => ExitCode::Denied,
        io::ErrorKind::AddrInUse => ExitCode::Conflict,
        _ => ExitCode::Unclassified,
    };
    Failure::new(exit, "E_LISTEN", message)
        .hint("choose another with --listen ADDR:PORT; port 0 takes a free one")
}

/// The folder for what is remembered between runs could not be used.
fn state_failure(error: &StoreError, message: String) -> Failure {
    let StoreError::StateDir { source, .. } = error else {
        return Failure::new(ExitCode::Unclassified, "E_STATE", message);
    };
    let (exit, hint) = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ExitCode::NoSpace, "free space there, or choose another folder with --home")
        }
        kind => {
            let denied = matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
            let exit = if denied { ExitCode::Denied } else { ExitCode::Unclassified };
            (exit, "`peerage paths` shows the folders; --home DIR or PEERAGE_HOME puts them elsewhere")
        }
    };
    Failure::new(exit, "E_STATE", message).hint(hint)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Listen(error) => listen_failure(error.source.kind(), message),
            StartError::Store(error) => state_failure(&error, message),
            StartError::Egress(_) => Failure::new(ExitCode::Unreachable, "E_INTERFACE", message)
                .hint("nothing was sent; --bind takes a name, as `ip link` shows it, or an address of it"),
            StartError::Identity(IdentityError::File { source, .. }) => {
                Failure::of_kind(source.kind(), message)
                    .hint("`peerage paths` shows the folders; --home DIR or PEERAGE_HOME puts them elsewhere")
            }
            StartError::Identity(IdentityError::Malformed(_)) => {
                Failure::new(ExitCode::Config, "E_IDENTITY", message)
                    .hint("put the file's backup there, or remove it: the next share makes a new identity")
            }
            StartError::Identity(IdentityError::Entropy(_))
            | StartError::Tls(_)
            | StartError::Entropy(_)
            | StartError::Thread(_) => Failure::new(ExitCode::Unclassified, "E_SYSTEM", message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_state_folder_say_what_to_do() {
        let failure = |kind: io::ErrorKind| {
            let error = StoreError::StateDir { path: "d".into(), source: kind.into() };
            Failure::from(StartError::Store(error))
        };
        let full = failure(io::ErrorKind::StorageFull);
        assert_eq!((full.code.as_str(), full.exit), ("E_STATE", 9));
        assert!(full.hint.is_some_and(|hint| hint.starts_with("free space there")));
        assert_eq!(failure(io::ErrorKind::ReadOnlyFilesystem).exit, 10);
        assert_eq!(failure(io::ErrorKind::Other).exit, 1);
    }
}
