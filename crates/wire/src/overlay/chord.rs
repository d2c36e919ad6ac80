//! Messages of a Chord ring (Stoica et al., IEEE/ACM ToN 2003). Questions carry a transaction, chosen at random
//! by who asks; the answer repeats it.

use super::codec::messages;
use super::{Id, Node};
use core::net::SocketAddr;

messages! {
    /// A message of Chord.
    pub enum Message {
        /// Are you there, and who are you?
        1 => Ping {
            /// Repeated by the answer.
            transaction: u32,
        },
        /// Yes.
        2 => Pong {
            /// Of the question.
            transaction: u32,
            /// Who answers.
            id: Id,
        },
        /// Who precedes `target` most closely?
        3 => Find {
            /// Repeated by the answer.
            transaction: u32,
            /// The key.
            target: Id,
        },
        /// What is known of that.
        4 => Nodes {
            /// Of the question.
            transaction: u32,
            /// Who answers.
            id: Id,
            /// Nodes between the answerer and the target, closest to the target first.
            closer: Vec<Node>,
            /// Successors at or after the target in the order of the ring; empty while the target is farther
            /// than the successor list reaches.
            owners: Vec<Node>,
        },
        /// Who is beside you on the ring?
        5 => Neighbours {
            /// Repeated by the answer.
            transaction: u32,
        },
        /// They are.
        6 => Beside {
            /// Of the question.
            transaction: u32,
            /// Who answers.
            id: Id,
            /// The node before it.
            predecessor: Option<Node>,
            /// Those after it, in order.
            successors: Vec<Node>,
        },
        /// I may be your predecessor.
        7 => Notify {
            /// Who says so.
            id: Id,
        },
        /// I have the object `key`: tell those who ask.
        8 => Store {
            /// Repeated by the answer.
            transaction: u32,
            /// What.
            key: Id,
        },
        /// It is noted.
        9 => Stored {
            /// Of the question.
            transaction: u32,
        },
        /// Who has the object `key`?
        10 => Get {
            /// Repeated by the answer.
            transaction: u32,
            /// What.
            key: Id,
        },
        /// These have it; nobody, when empty.
        11 => Holders {
            /// Of the question.
            transaction: u32,
            /// Where it can be had.
            holders: Vec<SocketAddr>,
        },
    }
}
