//! The daemon and `why`, from outside: the built program.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

#![allow(clippy::unwrap_used, reason = "a failure is the end of the test")]

mod daemon;
mod habits;
mod why;
