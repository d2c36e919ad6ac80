//! The lab against what is published and measured.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

mod planetlab;
mod random_faults;
mod search_overlays;
