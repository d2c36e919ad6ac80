//! Chord: a ring on which each key belongs to the first node at or after it (Stoica, Morris, Liben-Nowell, Karger,
//! Kaashoek, Dabek, Balakrishnan, IEEE/ACM ToN 11(1), 2003).
//!
//! **What it is.** [`Chord`] is one node of a ring: successor list and fingers ([`Table`]), stabilisation, iterative
//! look-ups that go round dead nodes, and soft records of who has what at the nodes responsible for a key.
//!
//! **Invariants.**
//! - Fingers, the first successor and the predecessor have answered a question of ours under the key that they have.
//!   The rest of the successor list is the successor's word (the paper's section IV-E), and each entry is tried when
//!   it comes first. Who lies about successors can cut a node off: a ring trusts its members more than Kademlia does.
//! - A look-up asks each address once, and at most `steps_max` of them.
//! - The paper's look-up knows one next hop; here an answer names all nodes closer to the target, so that the
//!   searcher goes round dead ones without another question.
//!
//! **Where to start.** [`Chord::new`], [`Chord::join`], then `lookup.rs`.

mod config;
mod lookup;
mod machine;
mod table;

pub use config::Config;
pub use machine::Chord;
pub use table::Table;
