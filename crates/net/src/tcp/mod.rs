//! TCP, plain or with message stream encryption: the roads that every BitTorrent client speaks.
//!
//! A [`Connection`] is two tasks around one socket. The reader receives into large pooled buffers,
//! splits them into frames and hands over both, so that the bytes of a block are copied once from the
//! kernel and then shared. The writer takes whole buffers: small frames that the protocol machine
//! encoded, or runs of blocks that the store read with their headers in place.
//!
//! How a connection begins is told in [`Greeted`], which becomes a [`Connection`].
//!
//! Further roads (TLS, QUIC, uTP, WebRTC) produce the same [`ConnEvent`]s and take the same
//! [`Outgoing`]: nothing above this module knows which road a peer is on.

mod connection;
mod greet;
mod listener;
mod pool;

pub use connection::{ConnEvent, Connection, Outgoing, Received};
pub use greet::{Admission, GreetError, Greeted, encrypt, greet};
pub use listener::{ListenError, Listener, dial};
pub use pool::BufferPool;
