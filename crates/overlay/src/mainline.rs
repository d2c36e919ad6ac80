//! The mainline DHT: the network in which BitTorrent clients find peers without a tracker (BEP 5),
//! and keep small items (BEP 44).
//!
//! **What it is.** [`Dht`] is a node of it, for IPv4 and IPv6 (two separate networks, BEP 32): it
//! answers queries, keeps a share of what others announce, and looks up and stores on command. Pure:
//! datagrams go in and come out, time is an argument.
//!
//! **How it is driven.** [`Dht::handle_datagram`] for what arrives, [`Dht::handle_timeout`] when
//! [`Dht::poll_timeout`] says, commands; after each of them [`Dht::poll_output`] to `None`.
//!
//! **Invariants.**
//! - Addresses that others name are asked only where [`Config::ranges`] permits.
//! - What is stored with us has a token that went to the same address, and maxima.
//! - An item is told only when its hash or its signature is right.

mod config;
mod dht;
mod event;
mod flood;
mod item;
mod item_store;
mod node_id;
mod peer_store;
mod pending;
mod snapshot;
mod stats;
mod tokens;
mod vote;

pub use config::{Config, Local};
pub use dht::Dht;
pub use event::{LookupId, Output, Report};
pub use item::{Item, ItemError, torrent_of, torrent_value};
pub use node_id::{fits, make_id};
pub use snapshot::SnapshotError;
pub use stats::Stats;
