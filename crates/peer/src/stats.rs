//! Counters.

use crate::road::RoadKind;
use peerage_base::{ConnId, PeerId};
use peerage_swarm::PeerStats;
use std::net::SocketAddr;

/// What a peer has counted since it started, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections, open or not.
    pub connections: usize,
    /// Of them, those whose handshakes are not done.
    pub half_open: usize,
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Incoming connections accepted.
    pub accepted: u64,
    /// Incoming connections refused.
    pub refused: u64,
    /// Connections evicted for better ones.
    pub evicted: u64,
    /// Addresses from strangers that were refused by range.
    pub addresses_refused: u64,
    /// Addresses banned.
    pub bans: u64,
    /// Peers introduced to each other (BEP 55).
    pub introductions: u64,
    /// Dials begun because another peer introduced us.
    pub punches: u64,
    /// Announces made.
    pub announces: u64,
}

/// A connection, for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// Its name.
    pub conn: ConnId,
    /// The other end.
    pub addr: SocketAddr,
    /// What it runs on.
    pub road: RoadKind,
    /// Who the other end has proved to be.
    pub key: Option<PeerId>,
    /// What the torrent's machine knows of it.
    pub stats: PeerStats,
}
