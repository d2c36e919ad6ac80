//! Between neighbours of an unstructured overlay: how two become neighbours, stay and part.

use super::codec::messages;
use core::net::SocketAddr;

messages! {
    /// A message between neighbours.
    pub enum Message {
        /// Let us be neighbours.
        1 => Hello {
            /// What the sender can carry, in queries per second (Gia, section 4.1).
            capacity: u32,
            /// How many neighbours it has.
            degree: u16,
            /// Whether it is a superpeer; a leaf keeps to superpeers.
            superpeer: bool,
        },
        /// We are.
        2 => Welcome {
            /// As in [`Message::Hello`].
            capacity: u32,
            /// As in [`Message::Hello`].
            degree: u16,
            /// As in [`Message::Hello`].
            superpeer: bool,
            /// Others who might want to.
            others: Vec<SocketAddr>,
        },
        /// I have enough neighbours.
        3 => Full {
            /// Others who might not.
            others: Vec<SocketAddr>,
        },
        /// I am still here.
        4 => Ping {
            /// How many neighbours the sender has now.
            degree: u16,
            /// Whether it is a superpeer now.
            superpeer: bool,
        },
        /// So am I.
        5 => Pong {
            /// How many neighbours the sender has now.
            degree: u16,
            /// Whether it is a superpeer now.
            superpeer: bool,
            /// Others, for one who looks for more.
            others: Vec<SocketAddr>,
        },
        /// We are no longer neighbours.
        6 => Bye {},
    }
}
