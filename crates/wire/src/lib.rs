//! Every byte that a stranger can send, decoded with bounds; every byte that Peerage sends, encoded.
//!
//! **What it is.** A pure crate: functions from bytes to values and back. It knows nothing of
//! sockets, time or torrents; [`peerage_base::limits`] names each maximum.
//!
//! **Invariants.**
//! - No input panics, and none makes a decoder allocate more than a small multiple of its own
//!   length (bencode: 16 bytes per value, with a maximum of values).
//! - A length, count or integer from the wire is checked before it is used; arithmetic on it is
//!   checked or saturating. The parse modules deny indexing and unchecked arithmetic by lint.
//! - What an encoder writes, its decoder reads back as an equal value (property tests).
//! - Piece payloads are never copied: [`frame`] gives their place in the receive buffer.
//!
//! **Where to start.** [`frame`] and [`message`] for the peer wire, [`bencode`] for documents,
//! [`extension`] for what BEP 10 carries, [`tracker`] for announces, [`krpc`] for the DHT, [`lsd`] for the local
//! network, [`gossip`] for news among Peerage nodes, [`overlay`] for search overlays, [`start`] and [`mse`]
//! for how connections begin, [`utp`] for streams over UDP, [`stun`] for how others see us. The fuzz targets of
//! each decoder are in `fuzz/` at the top of the repository.

mod addr;
pub mod bencode;
pub mod coordinates;
pub mod extension;
pub mod frame;
pub mod gossip;
pub mod handshake;
pub mod krpc;
pub mod lsd;
pub mod message;
pub mod mse;
pub mod overlay;
mod read;
pub mod start;
pub mod stun;
pub mod text;
pub mod tracker;
pub mod utp;

pub use handshake::Handshake;
pub use message::{Block, HashRequest, Message};
