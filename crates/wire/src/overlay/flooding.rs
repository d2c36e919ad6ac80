//! A flooded search, as in Gnutella 0.4.

use super::Id;
use super::codec::messages;
use core::net::SocketAddr;

messages! {
    /// A message of a flooded search.
    pub enum Message {
        /// Who has `key`? Passed on to all neighbours but the one that it came from.
        1 => Query {
            /// Chosen at random by the searcher: copies are known by it.
            guid: u64,
            /// What is sought.
            key: Id,
            /// Hops that it may still go.
            ttl: u8,
            /// Hops that it has gone.
            hops: u8,
        },
        /// Somebody has it. Goes back the way that the query came.
        2 => Hit {
            /// Of the query.
            guid: u64,
            /// Where it can be had.
            holder: SocketAddr,
            /// Hops that the query had gone when it was there.
            hops: u8,
        },
    }
}
