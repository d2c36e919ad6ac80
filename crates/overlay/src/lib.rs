//! Machines that organise peers: who knows whom, and who keeps what.
//!
//! **What it is.** Pure state machines. [`kademlia`] is the core that any distributed hash table of
//! Peerage stands on: routing table, look-ups, estimates, for keyspaces of any width. [`mainline`] is
//! the DHT that BitTorrent clients share (BEP 5 and its extensions), client and server. [`hyparview`] keeps a
//! group connected, [`plumtree`] tells it news, [`swim`] tells who of it is alive; [`vivaldi`] tells how far
//! others are. [`search`] is one way to search over overlays of other kinds: [`chord`] and [`pastry`], which are
//! structured, and [`flooding`], [`walk`], [`superpeer`] and [`gia`], which are not.
//!
//! **Invariants.**
//! - No address enters a routing table before it has answered a question of ours.
//! - Everything a stranger can make grow has a maximum; what happens then is said where it is named.
//! - A datagram of the mainline DHT to an address that has not proven itself has at most three times the bytes
//!   of the one that caused it. The overlays of [`search`] leave that proof to their transport.
//! - The same inputs and seed give the same outputs, in another process too.
//!
//! **Where to start.** [`mainline::Dht`]; then [`kademlia::Lookup`] and [`kademlia::Table`]. For the search
//! overlays [`search::Machine`].

pub mod addresses;
pub mod chord;
pub mod flooding;
pub mod gia;
pub mod hyparview;
pub mod kademlia;
pub mod links;
pub mod mainline;
pub mod pastry;
pub mod plumtree;
pub mod replication;
mod ring;
pub mod search;
pub mod superpeer;
pub mod swim;
pub mod vivaldi;
pub mod walk;
