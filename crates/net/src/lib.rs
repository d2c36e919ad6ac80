//! Sockets and sessions: roads to peers, trackers, web seeds, guarded HTTP, port mapping.
//!
//! **What it is.** The mechanism by which a node reaches others. It decides nothing about peers:
//! that is the pure half's part.
//!
//! **Invariants.**
//! - A URL that came from a stranger reaches only addresses that [`guard::Policy`] permits; the
//!   address that was checked is the address that is dialled, on each redirect anew.
//! - Every body, header, list, table and wait has a maximum.
//! - TLS certificates are always verified; there is no switch to turn that off.
//! - No proxy is used: the environment (`http_proxy` and the like) is not read. A proxy would
//!   resolve names itself, behind the guard's back.
//!
//! **Where to start.** [`road`] for what peers speak on, [`utp`] for streams over UDP; [`guard`], then
//! [`http`], then [`tracker`], [`web_seed`] and [`tracker_server`] for the rest; [`portmap`] and [`stun`] for
//! what stands between; [`lan`] for the local network.

pub mod code;
pub mod dns;
pub mod egress;
pub mod guard;
pub mod http;
pub mod identity;
pub mod lan;
pub mod portmap;
pub mod relay;
pub mod road;
pub mod stun;
pub mod tracker;
pub mod tracker_server;
pub mod udp;
pub mod utp;
pub mod web_seed;

use std::pin::Pin;

/// Work under way, boxed. What an `async fn` does is compiled anew by each crate that awaits it, with all that it
/// awaits in turn; in a box it is compiled here, once. Worth it where much lies behind a call: QUIC, HTTP, relays.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[cfg(test)]
mod testing;
