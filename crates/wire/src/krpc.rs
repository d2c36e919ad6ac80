//! KRPC, the messages of the mainline DHT (BEP 5, 32, 33, 42, 43, 44, 51).
//!
//! One datagram is one bencoded dictionary: a [`Query`], a [`Response`] to one, or an error.
//! [`decode()`] gives a [`Message`], or says why there is none; where a query can be told from its
//! remains, [`DecodeError::BadQuery`] says with which code it is answered. What only a stored item's
//! keeper can judge (tokens, signatures, lengths of values and salts) is not judged here.
//!
//! Reading is lenient in what has no meaning, the order of keys and what follows the dictionary,
//! since deployed programs differ there; a value of a wrong type or length is an error, except in
//! fields that a reply may lack, which count as absent.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod bloom;
mod decode;
mod encode;

pub use bloom::Bloom;
pub use decode::{DecodeError, decode};

use core::net::SocketAddr;
use peerage_base::Key;

/// A node's identifier, an info hash or an item's target: a position in the keyspace of BEP 5.
pub type Id = Key<20>;

/// A node: where it is in the keyspace, and where on the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its identifier.
    pub id: Id,
    /// Its address.
    pub addr: SocketAddr,
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chosen by who asks, repeated by who answers.
    pub transaction: Vec<u8>,
    /// The sender's program, where it says so: two letters and two bytes of a version.
    pub version: Option<[u8; 4]>,
    /// What it says.
    pub body: Body,
}

/// What a datagram says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// It asks.
    Query(Query),
    /// It answers.
    Response(Box<Response>),
    /// It refuses.
    Error {
        /// Why, see [`code`].
        code: i64,
        /// Why, in the other's words: at most 100 characters, printable.
        text: String,
        /// The address from which the query came, as the other sees it (BEP 42).
        observed: Option<SocketAddr>,
    },
}

/// The codes of errors.
pub mod code {
    /// Something else (BEP 5).
    pub const GENERIC: i64 = 201;
    /// The server failed (BEP 5).
    pub const SERVER: i64 = 202;
    /// A malformed packet, invalid arguments, or a bad token (BEP 5).
    pub const PROTOCOL: i64 = 203;
    /// An unknown method (BEP 5).
    pub const METHOD: i64 = 204;
    /// The value is too long (BEP 44).
    pub const VALUE_TOO_LONG: i64 = 205;
    /// The signature is not valid (BEP 44).
    pub const SIGNATURE: i64 = 206;
    /// The salt is too long (BEP 44).
    pub const SALT_TOO_LONG: i64 = 207;
    /// The item has another sequence number than the one to be replaced (BEP 44).
    pub const CAS_MISMATCH: i64 = 301;
    /// The item has a higher sequence number (BEP 44).
    pub const SEQUENCE: i64 = 302;
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks.
    pub id: Id,
    /// The asker answers no queries and wants to be in no table (BEP 43).
    pub read_only: bool,
    /// The address families of the nodes wanted; neither means that of the datagram (BEP 32).
    pub want: Want,
    /// What is asked.
    pub method: Method,
}

/// Address families of nodes (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Are you there?
    Ping,
    /// Which nodes are near `target`? Also stands for unknown methods that name a target or an info
    /// hash, so that extensions of others work through us.
    FindNode {
        /// Where.
        target: Id,
    },
    /// Which peers are there for `info_hash`?
    GetPeers {
        /// Of what.
        info_hash: Id,
        /// Rather no seeds (BEP 33).
        no_seeds: bool,
        /// With filters that count them (BEP 33).
        scrape: bool,
    },
    /// I am a peer.
    AnnouncePeer {
        /// Of what.
        info_hash: Id,
        /// Where: `None` is the port that the datagram comes from (`implied_port`).
        port: Option<u16>,
        /// Whether the peer has everything (BEP 33).
        seed: bool,
        /// What the node gave before.
        token: Vec<u8>,
    },
    /// What is stored at `target` (BEP 44)?
    Get {
        /// Where.
        target: Id,
        /// Only if its sequence number is higher than this.
        seq: Option<i64>,
    },
    /// Store this (BEP 44).
    Put {
        /// What the node gave before.
        token: Vec<u8>,
        /// The value, bencoded.
        value: Vec<u8>,
        /// What makes it mutable.
        signed: Option<Signed>,
        /// The salt, empty when there is none.
        salt: Vec<u8>,
        /// The sequence number that is to be replaced.
        cas: Option<i64>,
    },
    /// Which info hashes do you know (BEP 51)?
    SampleInfohashes {
        /// Where to look for nodes.
        target: Id,
    },
}

/// What a mutable item has besides its value (BEP 44). The signature is not checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The Ed25519 public key.
    pub key: [u8; 32],
    /// The sequence number.
    pub seq: i64,
    /// The signature of salt, sequence number and value.
    pub signature: [u8; 64],
}

/// An answer. Which fields are there depends on the question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Who answers.
    pub id: Option<Id>,
    /// The address from which the query came, as the other sees it (BEP 42).
    pub observed: Option<SocketAddr>,
    /// Nodes near the target: IPv4 ones first. At most [`peerage_base::limits::KRPC_NODES_MAX`] of each.
    pub nodes: Vec<Node>,
    /// What allows to store.
    pub token: Option<Vec<u8>>,
    /// Peers; of any range, and perhaps repeated.
    pub values: Vec<SocketAddr>,
    /// Filters of seeds and of other peers (BEP 33).
    pub filters: Option<(Bloom, Bloom)>,
    /// An item's value, bencoded.
    pub value: Option<Vec<u8>>,
    /// An item's signature. Its sequence number alone is [`Self::seq`].
    pub signed: Option<Signed>,
    /// An item's sequence number, which comes alone when the asker has the value.
    pub seq: Option<i64>,
    /// Info hashes (BEP 51).
    pub samples: Option<Samples>,
}

/// Some of the info hashes that a node knows (BEP 51).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// At most [`peerage_base::limits::KRPC_SAMPLES_MAX`] of them.
    pub hashes: Vec<[u8; 20]>,
    /// How many there are.
    pub total: u64,
    /// Seconds until others can be had; at most 21,600.
    pub interval_s: u64,
}

/// The longest interval between samples, in seconds (BEP 51).
pub const SAMPLE_INTERVAL_S_MAX: u64 = 21_600;

#[cfg(test)]
mod tests;
