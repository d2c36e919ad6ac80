//! The running peer: the pure machine, driven with sockets and disks.
//!
//! **What it is.** One function for each thing a user asks ([`share()`], [`get()`], [`create()`],
//! [`inspect()`], [`verify()`], [`tracker()`], [`doctor()`], [`why()`], [`daemon()`]); under them the driver
//! loop around [`peerage_peer::Peer`], and the task around [`peerage_overlay::mainline::Dht`].
//!
//! **Invariants.**
//! - The driver never waits for a peer or a disk; what it hands out comes back through a queue.
//! - Bytes of blocks do not pass through the machine.
//! - Whatever ends an operation, the store is closed in good order, and what is on disk can be gone on
//!   from; so it can after `kill -9`.
//!
//! **Where to start.** `ops` for what users ask, `driver` for how it is done.

mod control;
mod daemon;
mod dht;
mod driver;
mod identity;
mod inbox;
mod link;
mod lock;
mod names;
mod ops;
mod stop;

use std::pin::Pin;
use std::sync::Arc;

pub use daemon::{check_schedule, daemon};
pub use ops::{
    Outcome, check_relay, create, dht_get, dht_lookup, dht_ping, dht_put, dht_status, doctor, get, inspect,
    is_code, is_contact, is_name, is_tracker_url, key_export, key_import, key_list, key_new, relay, share,
    tracker, verify, why,
};
use peerage_api::Event;
pub use stop::Stop;

/// Takes events for the user. Called from the node's thread, and while hashing from others; must not
/// block for long.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// Work under way, boxed, so that it is compiled here once, and not by each program that awaits it.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
