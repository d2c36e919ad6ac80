//! The peer machine with others of its kind, in virtual time.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

#![allow(clippy::unwrap_used, reason = "a failure is the end of the test")]

mod churn;
mod common;
mod connections;
mod determinism;
mod discovery;
mod fairness;
mod fluid;
mod hostile;
mod lan;
mod liars;
mod liveness;
mod magnet;
mod news;
mod pair;
mod punch;
mod roads;
mod search;
