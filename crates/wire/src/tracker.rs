//! Tracker messages, both sides: [`http`] (BEP 3, 7, 23, 31, 48) and [`udp`] (BEP 15, 41).
//!
//! The values are the same for both; only their bytes differ. Sockets and URLs are not known here.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

pub mod http;
pub mod udp;

use core::net::{IpAddr, SocketAddr};
use peerage_base::Duration;

/// The shortest interval that a tracker can make us keep.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);

/// The longest interval that a tracker can make us keep.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// What [`AnnounceReply::interval`] is when a tracker names none.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(1800);

/// Characters of a tracker's text (a failure, a warning) that are kept.
pub const TEXT_CHARS_MAX: usize = 300;

/// Bytes of a tracker id that are kept and sent back.
pub const TRACKER_ID_BYTES_MAX: usize = 256;

/// Hashes that one scrape may ask for (BEP 15: about 74 fit a UDP packet).
pub const SCRAPE_HASHES_MAX: usize = 74;

/// Why an announce is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Event {
    /// The interval passed.
    #[default]
    None,
    /// The last block was verified.
    Completed,
    /// The first announce.
    Started,
    /// The last announce.
    Stopped,
}

/// Tells a tracker about us and asks for peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// SHA-1 of the info dictionary, or the first 20 bytes of its SHA-256.
    pub info_hash: [u8; 20],
    /// Our name in this swarm.
    pub peer_id: [u8; 20],
    /// The port on which we listen.
    pub port: u16,
    /// Bytes sent since `Started`.
    pub uploaded: u64,
    /// Bytes received since `Started`.
    pub downloaded: u64,
    /// Bytes still to get; `u64::MAX` when the size is not known yet.
    pub left: u64,
    /// Why.
    pub event: Event,
    /// Peers wanted; `None` leaves it to the tracker.
    pub num_want: Option<u32>,
    /// A number by which the tracker knows us again when our address changes.
    pub key: u32,
    /// What the tracker's last reply gave us, to be sent back (HTTP only).
    pub tracker_id: Option<Vec<u8>>,
}

/// What a tracker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceReply {
    /// Time to the next announce, within [`INTERVAL_MIN`] and [`INTERVAL_MAX`].
    pub interval: Duration,
    /// Shortest time to the next announce, within the same bounds.
    pub min_interval: Option<Duration>,
    /// Peers, at most [`peerage_base::limits::TRACKER_PEERS_MAX`]; may be of any range, and may
    /// include us.
    pub peers: Vec<SocketAddr>,
    /// Peers that have everything.
    pub seeds: Option<u32>,
    /// Other peers.
    pub leechers: Option<u32>,
    /// To be sent with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// For the user; printable.
    pub warning: Option<String>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
}

impl Default for AnnounceReply {
    fn default() -> Self {
        Self {
            interval: INTERVAL_DEFAULT,
            min_interval: None,
            peers: Vec::new(),
            seeds: None,
            leechers: None,
            tracker_id: None,
            warning: None,
            external_ip: None,
        }
    }
}

/// What a tracker knows of one swarm (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Peers that have everything.
    pub seeds: u32,
    /// Times that a download completed.
    pub completed: u32,
    /// Other peers.
    pub leechers: u32,
}

/// Seconds from a tracker as an interval within the bounds.
fn interval(seconds: u64) -> Duration {
    Duration::from_secs(seconds).clamp(INTERVAL_MIN, INTERVAL_MAX)
}

/// A duration as seconds for the wire, rounded down.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
