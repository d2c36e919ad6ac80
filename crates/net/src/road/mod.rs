//! Roads: what the peer wire runs on. Nothing above this module knows which one a peer is on.
//!
//! A road begins as a dial or an accepted socket and becomes a [`Greeted`] [`Stream`]: plain TCP or
//! message stream encryption, which every BitTorrent client speaks, or TLS under both ends' keys; and uTP
//! (`crate::utp`) where TCP does not lead there, in plain or encrypted. These share one listening port;
//! [`greet()`] tells them by their first bytes. QUIC has a UDP port of its own.
//!
//! A [`Connection`] is two tasks around one stream. The reader receives into large pooled buffers,
//! splits them into frames and hands over both, so that the bytes of a block are copied once from the
//! kernel and then shared. The writer takes whole buffers: small frames that the protocol machine
//! encoded, or runs of blocks that the store read with their headers in place.

mod connection;
mod greet;
mod listener;
mod obstacle;
mod pool;
mod quic;
mod rewound;
mod stream;
pub(crate) mod tls;

pub use connection::{ConnEvent, Connection, Outgoing, Received};
pub use greet::{Admission, GreetError, Greeted, authenticate, encrypt, greet};
pub use listener::{ListenError, Listener, dial};
pub use obstacle::Obstacle;
pub use pool::BufferPool;
pub use quic::{Quic, QuicConfig, QuicError, QuicIncoming, QuicPath};
pub use stream::Stream;
pub use tls::Tls;
