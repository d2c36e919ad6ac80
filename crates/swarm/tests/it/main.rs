//! The swarm machine among peers good and bad.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

#![allow(clippy::unwrap_used, reason = "a failure is the end of the test")]

mod hostile;
mod net;
mod swarms;
mod transfer;
