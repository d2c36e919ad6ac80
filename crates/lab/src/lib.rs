//! The lab: protocol machines on a simulated internet of up to a million peers.
//!
//! **What it is.** A discrete-event simulator in virtual time. A [`Scenario`](scenario::Scenario) says how many
//! nodes speak which [`Protocol`](protocol::Protocol), how far apart they are ([`latency`]), what links and NATs do
//! to their datagrams ([`link`], [`nat`]), how nodes come and go ([`churn`]), and what they search for
//! ([`workload`]). [`run`](run::run) runs it and gives a [`Report`](report::Report).
//!
//! **Invariants.**
//! - Pure: no clock, thread, file or environment. Whoever calls reads files and the clock.
//! - The same scenario and seed give the same [`trace hash`](trace::Trace) over every event, in another process
//!   too: events are ordered by time, then by when they were scheduled.
//! - Bytes on simulated wires are frames that the protocols encode and decode.
//!
//! **Where to start.** [`protocol`] to add a protocol, [`sim`] for the engine, `docs/lab.md` for scenarios.

pub mod catalogue;
pub mod churn;
pub mod figures;
pub mod latency;
pub mod link;
pub mod nat;
pub mod protocol;
pub mod random;
pub mod report;
pub mod reproduction;
pub mod run;
pub mod scenario;
pub mod sim;
pub mod tour;
pub mod trace;
pub mod wheel;
pub mod workload;

/// A participant of a simulated network: its index. What an address is on the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index into tables of nodes.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A search, from its start to its end. Counts up from 0 within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchId(pub u32);

/// What is searched for: an object of the workload, the most popular one is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);
