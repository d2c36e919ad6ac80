//! Failures as the user sees them: a stable code, a plain sentence, what to do next, an exit code.

use serde::{Deserialize, Serialize};

/// The program's exit codes. Scripts depend on them: a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// A failure that has no code of its own.
    Unclassified = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Some of what was asked was done.
    Partial = 3,
    /// The time limit that the user set ran out, or nothing moved for the stall limit.
    Timeout = 4,
    /// The file, torrent or content was not found; nobody has it.
    NotFound = 5,
    /// Peers are known, none can be reached.
    Unreachable = 6,
    /// Unfinished; the same command goes on where it stopped.
    Unfinished = 7,
    /// Data does not match its hash, or a file is not what it claims to be.
    Integrity = 8,
    /// No space on the disk.
    NoSpace = 9,
    /// Permission denied.
    Denied = 10,
    /// Something else is there already.
    Conflict = 11,
    /// The configuration is wrong.
    Config = 12,
    /// No daemon runs.
    NoDaemon = 13,
    /// Another process uses the same state.
    Locked = 14,
    /// A file from a version of the program that this one does not know.
    Version = 15,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

/// A failure as it is printed: `E_CODE: message` and a hint, or the same as JSON on stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Stable name, `E_…`.
    pub code: String,
    /// One plain sentence.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exit code that goes with it.
    pub exit: u8,
}

impl Failure {
    /// A failure with its exit code.
    #[must_use]
    pub fn new(exit: ExitCode, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: None, exit: exit as u8 }
    }

    /// A failure of the system, under the code and exit code of its kind. `message` names the cause already.
    #[must_use]
    pub fn of_kind(kind: std::io::ErrorKind, message: impl Into<String>) -> Self {
        use std::io::ErrorKind;
        let (exit, code) = match kind {
            ErrorKind::NotFound => (ExitCode::NotFound, "E_NOT_FOUND"),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (ExitCode::Denied, "E_DENIED"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (ExitCode::NoSpace, "E_NO_SPACE"),
            ErrorKind::AlreadyExists => (ExitCode::Conflict, "E_EXISTS"),
            _ => (ExitCode::Unclassified, "E_IO"),
        };
        Self::new(exit, code, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}
