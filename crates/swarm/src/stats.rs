//! Counters.

use peerage_base::ConnId;
use std::net::SocketAddr;

/// What a torrent's machine has counted since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Payload bytes of accepted blocks.
    pub downloaded: u64,
    /// Payload bytes of blocks sent.
    pub uploaded: u64,
    /// Payload bytes of blocks that were thrown away: not asked for, or had already.
    pub wasted: u64,
    /// Payload bytes of pieces that failed their hash.
    pub failed: u64,
    /// Bytes per second of accepted blocks, over the last seconds.
    pub download_rate: u64,
    /// Bytes per second of blocks sent, over the last seconds.
    pub upload_rate: u64,
    /// Pieces verified.
    pub pieces_done: u32,
    /// Pieces of the torrent; 0 while the metadata is unknown.
    pub pieces: u32,
    /// Payload bytes that are wanted and not yet verified (the whole torrent while unselected).
    pub left: u64,
    /// Pieces that failed their hash.
    pub pieces_failed: u32,
    /// Peers connected.
    pub peers: u32,
    /// Of them, those that have everything.
    pub seeds: u32,
    /// Requests waiting at peers.
    pub requests_out: u32,
    /// Requests of peers waiting here.
    pub requests_in: u32,
    /// Requests of peers that were refused.
    pub rejects_sent: u64,
    /// Peers banned.
    pub bans: u32,
    /// Blocks asked of a second peer in the endgame.
    pub endgame_requests: u64,
}

/// A peer, for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStats {
    /// Its connection.
    pub conn: ConnId,
    /// The other end.
    pub addr: SocketAddr,
    /// Whether we opened the connection.
    pub outgoing: bool,
    /// Its client's name, as it says.
    pub client: String,
    /// Payload bytes it gave us.
    pub downloaded: u64,
    /// Payload bytes we sent it.
    pub uploaded: u64,
    /// Bytes per second, over the last seconds.
    pub download_rate: u64,
    /// Bytes per second, over the last seconds.
    pub upload_rate: u64,
    /// Pieces it says it has.
    pub pieces: u32,
    /// We choke it.
    pub am_choking: bool,
    /// We want something it has.
    pub am_interested: bool,
    /// It chokes us.
    pub peer_choking: bool,
    /// It wants something we have.
    pub peer_interested: bool,
    /// It answers no requests.
    pub snubbed: bool,
    /// Requests waiting at it.
    pub requests_out: u32,
    /// Its requests waiting here.
    pub requests_in: u32,
}
