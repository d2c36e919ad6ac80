//! Machines that organise peers: who knows whom, and who keeps what.
//!
//! **What it is.** Pure state machines. [`kademlia`] is the core that any distributed hash table of
//! Peerage stands on: routing table, look-ups, estimates, for keyspaces of any width. [`mainline`] is
//! the DHT that BitTorrent clients share (BEP 5 and its extensions), client and server. [`hyparview`] keeps a
//! group connected, [`plumtree`] tells it news, [`swim`] tells who of it is alive; [`vivaldi`] tells how far
//! others are.
//!
//! **Invariants.**
//! - No address enters a routing table before it has answered a question of ours.
//! - Everything a stranger can make grow has a maximum; what happens then is said where it is named.
//! - A datagram to an address that has not proven itself has at most three times the bytes of the
//!   one that caused it.
//! - The same inputs and seed give the same outputs, in another process too.
//!
//! **Where to start.** [`mainline::Dht`]; then [`kademlia::Lookup`] and [`kademlia::Table`].

pub mod addresses;
pub mod hyparview;
pub mod kademlia;
pub mod mainline;
pub mod plumtree;
pub mod swim;
pub mod vivaldi;
