//! One way to search, whatever the overlay: publish an object, search a key, be told where it can be had.
//!
//! **What it is.** The vocabulary that the search machines share ([`crate::chord`], [`crate::pastry`],
//! [`crate::flooding`], [`crate::walk`], [`crate::superpeer`], [`crate::gia`]), and [`Machine`], which is one of
//! them: a program or a simulation that runs the same workload on each needs to know no more.
//!
//! **How a machine is driven.** [`Machine::handle_frame`] for what arrives, [`Machine::handle_timeout`] when
//! [`Machine::poll_timeout`] says, commands; after each of them [`Machine::poll_output`] to `None`.
//!
//! **Invariants.**
//! - The transport has proven the address that a frame comes from; machines dial addresses that others name only
//!   where `Config::ranges` permits.
//! - Each search ends with one [`Output::Found`] or [`Output::NotFound`], in bounded time, whatever others do.
//! - All state that strangers can make grow has a maximum.

mod holders;
mod machine;
mod outbox;
mod quota;
mod requests;
mod routes;

pub use machine::Machine;

pub(crate) use holders::Holders;
pub(crate) use outbox::Outbox;
pub(crate) use quota::Quota;
pub(crate) use requests::Requests;
pub(crate) use routes::Routes;

use peerage_base::Duration;
use peerage_wire::overlay::{Id, Node};
use std::net::SocketAddr;

/// Names a command until its end. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchId(pub u64);

/// What a machine knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its position; machines without a keyspace do not use it.
    pub id: Id,
    /// Where others reach it.
    pub addr: SocketAddr,
    /// What it can carry, in queries per second; machines that treat all alike do not use it.
    pub capacity: u32,
}

impl Local {
    /// As others name it.
    #[must_use]
    pub fn node(&self) -> Node {
        Node { id: self.id, addr: self.addr }
    }
}

/// What is to be done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send {
        /// To whom.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
        /// For which search of this node, where it is for one: that accounts can be kept.
        search: Option<SearchId>,
    },
    /// The object is there.
    Found {
        /// Which search.
        search: SearchId,
        /// How it went.
        report: Report,
    },
    /// The search ended with nothing. In a structured overlay the object is not there or its keepers are gone; in
    /// an unstructured one it may be where the search did not come.
    NotFound {
        /// Which search.
        search: SearchId,
        /// How it went.
        report: Report,
    },
    /// An object was published.
    Published {
        /// Which command.
        search: SearchId,
        /// How many other nodes know of it now; 0 where none needs to.
        copies: usize,
    },
    /// The nodes that are responsible for a key (structured overlays), closest first.
    Closest {
        /// Which look-up.
        search: SearchId,
        /// They; empty when the look-up failed.
        nodes: Vec<Node>,
        /// How it went.
        report: Report,
    },
}

/// How a search went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hops from the searcher to where the object was known.
    pub hops: u32,
    /// Messages that the searcher itself sent for it. What others sent is in their [`Stats`].
    pub messages: u32,
    /// Nodes that did not answer.
    pub timeouts: u32,
    /// From the command to its end.
    pub took: Duration,
    /// Where the object can be had.
    pub holders: Vec<SocketAddr>,
}

/// What a machine did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that came in.
    pub received: u64,
    /// Of these: no frames, or of another protocol.
    pub malformed: u64,
    /// Of these: answers that nobody awaited, and messages from strangers that only neighbours may send.
    pub unexpected: u64,
    /// Of these: copies of a query that was here already.
    pub duplicates: u64,
    /// Of these: dropped or refused since a limit was reached.
    pub refused: u64,
    /// Queries of others that were worked on: questions of look-ups, floods, walks.
    pub queries: u64,
    /// Frames sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Of these: for a search, a publication or a look-up, ours or another's, and not to keep the overlay in order.
    pub sent_search: u64,
    /// Searches begun here.
    pub searches: u64,
    /// Of these: found.
    pub found: u64,
    /// Questions of ours that were not answered in time.
    pub timeouts: u64,
}
