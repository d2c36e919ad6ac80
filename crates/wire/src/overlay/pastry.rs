//! Messages of a Pastry ring (Rowstron and Druschel, Middleware 2001). Questions carry a transaction, chosen at
//! random by who asks; the answer repeats it.

use super::codec::messages;
use super::{Id, Node};
use core::net::SocketAddr;

messages! {
    /// A message of Pastry.
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
        /// Where does a message for `target` go from you?
        3 => Route {
            /// Repeated by the answer.
            transaction: u32,
            /// The key.
            target: Id,
        },
        /// There.
        4 => Hops {
            /// Of the question.
            transaction: u32,
            /// Who answers.
            id: Id,
            /// The next hop and, should it be dead, others in their order. Empty when nobody known is closer: the
            /// answerer is the key's root.
            next: Vec<Node>,
        },
        /// Which nodes are in this row of your table?
        5 => Row {
            /// Repeated by the answer.
            transaction: u32,
            /// Digits that they share with you.
            row: u8,
        },
        /// Your leaf set?
        6 => Leaves {
            /// Repeated by the answer.
            transaction: u32,
        },
        /// Your neighbourhood set?
        7 => Nearby {
            /// Repeated by the answer.
            transaction: u32,
        },
        /// Nodes of a row, a leaf set or a neighbourhood set.
        8 => Nodes {
            /// Of the question.
            transaction: u32,
            /// Who answers.
            id: Id,
            /// They.
            nodes: Vec<Node>,
        },
        /// I am here now.
        9 => Arrived {
            /// Who.
            id: Id,
        },
        /// A node that you named did not answer me.
        10 => Suspect {
            /// It.
            node: Node,
        },
        /// I have the object `key`: tell those who ask.
        11 => Store {
            /// Repeated by the answer.
            transaction: u32,
            /// What.
            key: Id,
        },
        /// It is noted.
        12 => Stored {
            /// Of the question.
            transaction: u32,
        },
        /// Who has the object `key`?
        13 => Get {
            /// Repeated by the answer.
            transaction: u32,
            /// What.
            key: Id,
        },
        /// These have it; nobody, when empty.
        14 => Holders {
            /// Of the question.
            transaction: u32,
            /// Where it can be had.
            holders: Vec<SocketAddr>,
        },
    }
}
