//! What the command line, the HTTP API and the tests share: events, replies and errors.
//!
//! **What it is.** Plain serialisable types, one contract. `peerage … --json` prints exactly these:
//! one [`Event`] per line for long operations, one document for queries.
//!
//! **Invariants.**
//! - Every document carries `schema_version`. A field may be added within a version, never removed
//!   or given another meaning.
//! - Sizes are bytes, rates are bytes per second, durations are seconds. Names say so where the unit
//!   is not obvious.
//! - [`ExitCode`] is the whole list of the program's exit codes.
//!
//! **Where to start.** [`request`] for what a user asks, [`event`] for long operations, [`reply`] for
//! queries, [`error`] for failures, [`control`] for the daemon's HTTP API.

#[cfg(feature = "client")]
pub mod client;
pub mod control;
pub mod error;
pub mod event;
pub mod reply;
pub mod request;
pub mod socket;
pub mod why;

pub use error::{ExitCode, Failure};
pub use event::Event;

/// A number of things, as people say it: `1 file`, `2 files`.
#[must_use]
pub fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Version of every JSON document that the program prints.
pub const SCHEMA_VERSION: u32 = 1;
