//! uTP (BEP 29): streams over UDP that yield to other traffic.
//!
//! **What it is.** A pure machine, [`Endpoint`], for all connections of one UDP socket. It takes
//! datagrams and bytes to send, and gives datagrams and bytes that were received.
//!
//! **How it is driven.** After each batch of datagrams, commands or a time-out, drain
//! [`Endpoint::poll_output`] to `None`, then ask [`Endpoint::poll_timeout`]. An acknowledgement answers a
//! whole batch. [`Endpoint::read`] and [`Endpoint::write`] copy bytes; an event says when to try again.
//!
//! **Speed.** One copy on each side beside the kernel's: from the ring of what was written into a run of
//! datagrams of one size, which the kernel takes with one call; and from a datagram into the ring of what
//! is to be read. Nothing is allocated for a packet, unless it arrives before its turn.
//!
//! **Invariants.**
//! - A datagram from nobody we know makes state in one table of bounded length at most, and is answered by
//!   no more than its own length.
//! - What a peer makes us keep is bounded by the window that we told it; what we send, by [`Config`].
//! - Sequence numbers never end inside: only the wire has 16 bits.
//!
//! **Where to start.** [`Endpoint`], then `connection`, `sender` (loss), `receiver`, `ledbat`.

mod config;
mod connection;
mod endpoint;
mod ledbat;
mod receiver;
mod ring;
mod rtt;
mod sender;

pub use config::Config;
pub use endpoint::{Endpoint, Full, Stats};

use std::net::SocketAddr;

/// A connection of one endpoint. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtpId {
    slot: u32,
    generation: u32,
}

impl UtpId {
    /// A small number that no other connection has until this one was released: an index for tables.
    #[must_use]
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The buffer holds datagrams to this address, each of `segment` bytes but for a shorter last one.
    Send {
        /// Where to.
        to: SocketAddr,
        /// Bytes of each.
        segment: usize,
    },
    /// Something happened to a connection.
    Event(UtpId, Event),
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Ours is open.
    Connected,
    /// Another's is open: it has shown that it is at this address.
    Accepted(SocketAddr),
    /// After a read that had nothing: there is something, or the end.
    Readable,
    /// After a write that had no room: there is some.
    Writable,
    /// It is over, other than by the end of both streams. What was received before can be read.
    Closed(Reason),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing was heard for too long.
    #[error("the peer does not answer")]
    TimedOut,
    /// The peer ended it, or does not know it.
    #[error("reset by the peer")]
    Reset,
    /// The peer acknowledged what it cannot have got.
    #[error("the peer acknowledged what was not sent")]
    Lied,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing yet: [`Event::Readable`] will tell.
    Pending,
    /// The peer has ended its stream.
    End,
    /// The connection is over.
    Closed(Reason),
}

/// What a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// So many bytes, at least one.
    Bytes(usize),
    /// There is no room: [`Event::Writable`] will tell.
    Full,
    /// The stream was closed by us.
    Finished,
    /// The connection is over.
    Closed(Reason),
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
