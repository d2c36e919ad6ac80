//! Between superpeers and their leaves: what leaves have, and searches among superpeers.

use super::Id;
pub use super::codec::BloomBytes;
use super::codec::messages;
use core::net::SocketAddr;

messages! {
    /// A message of the superpeer overlay.
    pub enum Message {
        /// A leaf has these objects.
        1 => Publish {
            /// They.
            keys: Vec<Id>,
        },
        /// A superpeer's query routing table: what it and its leaves have.
        2 => Table {
            /// A Bloom filter, see `overlay::superpeer`.
            bloom: BloomBytes,
        },
        /// Who has `key`? From a leaf to its superpeers, and among superpeers.
        3 => Query {
            /// Chosen at random by the searcher.
            guid: u64,
            /// What is sought.
            key: Id,
            /// Hops that it may still go.
            ttl: u8,
            /// Hops that it has gone.
            hops: u8,
        },
        /// Somebody has it. Goes back the way that the query came.
        4 => Hit {
            /// Of the query.
            guid: u64,
            /// Where it can be had.
            holder: SocketAddr,
            /// Hops that the query had gone when it was known.
            hops: u8,
        },
    }
}
