//! Random walks with checking (Lv, Cao, Cohen, Li, Shenker, ICS 2002), and copies placed along the way.

use super::Id;
use super::codec::messages;
use core::net::SocketAddr;

messages! {
    /// A message of a random walk.
    pub enum Message {
        /// Who has `key`? Passed on to one neighbour.
        1 => Query {
            /// Chosen at random by the searcher.
            guid: u64,
            /// Which of its walkers this is.
            walker: u8,
            /// What is sought.
            key: Id,
            /// Whom to ask whether to go on.
            source: SocketAddr,
            /// Steps that it may still take.
            ttl: u16,
            /// Steps that it has taken.
            steps: u16,
        },
        /// Are you still searching? From where the walker stands to its source.
        2 => Check {
            /// Of the query.
            guid: u64,
            /// Which walker asks.
            walker: u8,
        },
        /// Go on, or stop.
        3 => Go {
            /// Of the query.
            guid: u64,
            /// Which walker.
            walker: u8,
            /// Whether it goes on.
            go: bool,
        },
        /// Somebody has it. Goes back the way that the walker came.
        4 => Hit {
            /// Of the query.
            guid: u64,
            /// Which walker.
            walker: u8,
            /// What was sought.
            key: Id,
            /// Where it can be had.
            holder: SocketAddr,
            /// Steps that the walker had taken.
            steps: u16,
        },
        /// Keep a copy of what `holder` has of `key` when the walk ends with you; else pass it on.
        5 => Place {
            /// What.
            key: Id,
            /// Where it can be had.
            holder: SocketAddr,
            /// Steps that it may still take.
            ttl: u16,
        },
    }
}
