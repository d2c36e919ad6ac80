//! The whole peer as one state machine: its torrents, whom it knows, whom it dials, whom it bans,
//! which tracker it asks when, and how torrents share the line.
//!
//! **What it is.** A pure machine, [`Peer`]. It composes one [`peerage_swarm::Swarm`] per torrent
//! with the tables that all of them share. A driver (the node, or a simulator) moves bytes between
//! it and the world.
//!
//! **How it is driven.** For each connection: [`Peer::accept`] or [`Output::Dial`] names it; the
//! first frame goes to [`Peer::handle_handshake`], `piece` messages to [`Peer::handle_block`], all
//! others to [`Peer::handle_frame`]. After each batch of inputs: [`Peer::pump`], then
//! [`Peer::poll_output`] to `None`, then [`Peer::poll_timeout`].
//!
//! **Invariants.**
//! - No address that a stranger named is dialled in a nearby range, unless by leave ([`addr`]).
//! - Connections, half-open ones, candidates, bans and trackers have maxima.
//! - At most one connection per torrent and remote peer id outlives its handshake.
//! - The same inputs and seed give the same outputs, in another process too.
//!
//! **Where to start.** [`Peer`] and [`event`]; then [`candidates`] (whom to dial), [`trackers`].

pub mod bans;
pub mod candidates;
pub mod config;
pub mod event;
mod lan;
mod peer;
pub mod road;
mod search;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
pub mod trackers;

pub use bans::Bans;
pub use config::{Authentication, Config, Dht, Encryption, Local, Via};
pub use event::{
    AddError, BlockVerdict, CloseReason, Output, PeerChange, Refusal, SearchAnnounce, Source, TorrentParams,
};
pub use lan::LAN_INTERVAL;
pub use peer::{LAN_PEERS_MAX, Peer};
pub use peerage_base::addr;
pub use peerage_swarm::{Block, Content, Event, Handshake, StoreEvent, WebChange, WebSeedId};
pub use road::{Road, RoadKind};
pub use search::{SEARCH_INTERVAL, SearchReport};
pub use stats::{PeerInfo, Stats};
pub use trackers::{AnnounceEvent, AnnounceReply, AnnounceRequest, INTERVAL_MAX, TrackerFailure, TrackerId};

/// Torrents of one peer.
pub const TORRENTS_MAX: usize = 10_000;
