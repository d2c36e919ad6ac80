//! Every decoder at the extremes of its fields.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

mod extremes;
