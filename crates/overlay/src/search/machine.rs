//! Any of the search machines.

use super::{Output, SearchId, Stats};
use crate::chord::Chord;
use crate::flooding::Flooding;
use crate::gia::Gia;
use crate::pastry::Pastry;
use crate::superpeer::Superpeer;
use crate::walk::Walk;
use peerage_base::Instant;
use peerage_wire::overlay::Id;
use std::net::SocketAddr;

macro_rules! machines {
    ($($name:ident $doc:literal),* $(,)?) => {
        /// A search machine, whichever it is.
        #[derive(Clone, Debug)]
        pub enum Machine {
            $(#[doc = $doc] $name(Box<$name>)),*
        }

        $(impl From<$name> for Machine {
            fn from(machine: $name) -> Self {
                Self::$name(Box::new(machine))
            }
        })*

        impl Machine {
            /// Joins the overlay that the node at `via` is in.
            pub fn join(&mut self, now: Instant, via: SocketAddr) {
                match self { $(Self::$name(machine) => machine.join(now, via)),* }
            }

            /// Makes known that this node has `key`. Ends with [`Output::Published`].
            pub fn publish(&mut self, now: Instant, key: Id) -> SearchId {
                match self { $(Self::$name(machine) => machine.publish(now, key)),* }
            }

            /// This node has `key` no longer.
            pub fn withdraw(&mut self, key: &Id) {
                match self { $(Self::$name(machine) => machine.withdraw(key)),* }
            }

            /// Who has `key`? Ends with [`Output::Found`] or [`Output::NotFound`].
            pub fn search(&mut self, now: Instant, key: Id) -> SearchId {
                match self { $(Self::$name(machine) => machine.search(now, key)),* }
            }

            /// A frame arrived.
            pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
                match self { $(Self::$name(machine) => machine.handle_frame(now, from, bytes)),* }
            }

            /// A deadline passed; early and late calls are harmless.
            pub fn handle_timeout(&mut self, now: Instant) {
                match self { $(Self::$name(machine) => machine.handle_timeout(now)),* }
            }

            /// The next thing to do, until `None`.
            pub fn poll_output(&mut self) -> Option<Output> {
                match self { $(Self::$name(machine) => machine.poll_output()),* }
            }

            /// When to call [`Self::handle_timeout`], and why.
            #[must_use]
            pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
                match self { $(Self::$name(machine) => machine.poll_timeout()),* }
            }

            /// Counters.
            #[must_use]
            pub fn stats(&self) -> &Stats {
                match self { $(Self::$name(machine) => machine.stats()),* }
            }
        }
    };
}

machines! {
    Chord "A ring with fingers.",
    Pastry "A ring with a prefix table.",
    Flooding "Queries go everywhere.",
    Walk "Queries walk at random.",
    Superpeer "Queries go to superpeers.",
    Gia "Queries walk to those who can carry them.",
}
