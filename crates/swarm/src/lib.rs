//! The machine that moves the content of one torrent.
//!
//! **What it is.** A pure state machine, [`Swarm`], one per torrent: it decides what is asked of whom,
//! who is served, who is believed and who is banned. It never sees a socket, a clock or the content's
//! bytes: its inputs and outputs name blocks, and the driver moves them between network and store.
//!
//! **How it is driven.** Give it one input (`handle_*` or a command), then call [`Swarm::pump`] once
//! per batch of inputs, then drain [`Swarm::poll_output`] to `None`, then ask
//! [`Swarm::poll_timeout`] when to call [`Swarm::handle_timeout`]. The bytes of an accepted block are
//! on their way to the store before the outputs are drained.
//!
//! **Invariants.**
//! - A block is accepted only from a peer that was asked for it, and only once.
//! - A block is asked of one peer at a time, but for the endgame.
//! - A piece is in exactly one state (`picker::PieceState`).
//! - Everything a peer can make grow has a maximum; what happens then is said where it is named.
//! - The same inputs and seed give the same outputs, in another process too.
//!
//! **Where to start.** [`Swarm`] and [`event`]; then `picker` (what), `requests` (how many),
//! `choker` (whom to serve), `upload` (in which order), `blame` (whom to ban).

pub mod allowed;
pub mod availability;
pub mod bitfield;
pub mod blame;
pub mod choker;
pub mod config;
pub mod event;
pub mod geometry;
pub mod hashes;
pub mod metadata;
mod peers;
pub mod pex;
pub mod picker;
pub mod rate;
pub mod requests;
pub mod stats;
pub mod superseed;
mod swarm;
pub mod upload;
pub mod utp;
pub mod web;

pub use bitfield::Bitfield;
pub use config::{Config, Local, Priority};
pub use event::{
    BlockVerdict, Event, Output, PauseReason, PeerChange, Reason, StoreEvent, WebChange, WebSeedId,
};
pub use peerage_wire::{Block, Handshake, Message};
pub use rate::{Bucket, Meter};
pub use stats::{PeerStats, Stats};
pub use swarm::{Content, Swarm};
