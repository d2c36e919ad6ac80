//! The store on real files: faults, resumption, seeding.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

#![allow(clippy::unwrap_used, reason = "a failure is the end of the test")]

mod common;
mod create;
mod faults;
mod partial;
mod resume;
mod seeding;
mod writes;
