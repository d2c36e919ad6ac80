//! Gia (Chawathe, Ratnasamy, Breslau, Lanham, Shenker, SIGCOMM 2003): one-hop replication, flow control by tokens,
//! biased walks.

use super::Id;
use super::codec::messages;
use core::net::SocketAddr;

messages! {
    /// A message of Gia.
    pub enum Message {
        /// What the sender has now, and no longer has.
        1 => Index {
            /// Objects that it has.
            added: Vec<Id>,
            /// Objects that it has no longer.
            removed: Vec<Id>,
        },
        /// The receiver may send so many more queries.
        2 => Tokens {
            /// How many.
            count: u8,
        },
        /// Who has `key`? Passed on to one neighbour, for one token.
        3 => Query {
            /// Chosen at random by the searcher.
            guid: u64,
            /// What is sought.
            key: Id,
            /// Steps that it may still take.
            ttl: u16,
            /// Steps that it has taken.
            steps: u16,
        },
        /// Somebody has it. Goes back the way that the query came.
        4 => Hit {
            /// Of the query.
            guid: u64,
            /// Where it can be had.
            holder: SocketAddr,
            /// Steps that the query had taken when it was known.
            steps: u16,
        },
    }
}
