//! Identifiers, virtual time, seeded randomness and limits: the vocabulary that every other crate shares.
//!
//! **What it is.** The lowest, pure layer of Peerage. Nothing here reads a clock, opens a socket,
//! starts a thread or draws entropy by itself.
//!
//! **Invariants.**
//! - [`Instant`] has no `now()`: only a driver (or a simulator) can make one.
//! - [`Rng`] is a cryptographic generator that only a seed can start; the same seed gives the same
//!   sequence in another process too.
//! - Every maximum that guards a field from the wire is named in [`limits`].
//!
//! **Where to start.** [`time`], then [`id`], then [`limits`].

pub mod contact;
pub mod id;
pub mod limits;
pub mod rng;
pub mod time;

pub use contact::Contact;
pub use id::{ConnId, InfoHashV1, InfoHashV2, InfoHashes, PeerId, TorrentId};
pub use rng::Rng;
pub use time::{Duration, Instant};
