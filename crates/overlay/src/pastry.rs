//! Pastry: keys are digits, each hop gets one more of them right and stays near (Rowstron and Druschel,
//! Middleware 2001).
//!
//! **What it is.** [`Pastry`] is one node: prefix table, leaf set and neighbourhood set ([`Table`]), routing to the
//! node whose key is numerically closest, joining, repair, and soft records of who has what at a key's root and
//! the nodes beside it.
//!
//! **Invariants.**
//! - No node enters the tables before it has answered under the key that it is to have there; how long that took is
//!   its proximity, and of two that fit one place the nearer is kept.
//! - A hop never leads away: the next node shares more digits with the key, or as many and is numerically closer.
//! - Different from the paper: the searcher asks each hop for the next one (iterative), where the paper hands the
//!   message on. So nobody can make us send to a third party, the searcher sees who fails, and tells the hop that
//!   named it (`Suspect`), which looks for itself. Keys have 160 bits, not 128: nothing depends on the digits beyond
//!   the first `log16 N`.
//!
//! **Where to start.** [`Pastry::new`], [`Pastry::join`], then `table.rs`.

mod config;
mod machine;
mod route;
mod table;

pub use config::Config;
pub use machine::Pastry;
pub use table::Table;
