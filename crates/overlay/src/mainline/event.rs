//! What the machine tells.

use super::item::Item;
use peerage_base::Duration;
use peerage_wire::krpc::Node;
use std::net::{IpAddr, SocketAddr};

/// Names a look-up from its command to its end. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// What is to be done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// To whom.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// A node named these peers. Each is told once per look-up.
    Peers {
        /// Which look-up.
        lookup: LookupId,
        /// Peers; of any range.
        addrs: Vec<SocketAddr>,
    },
    /// A stored item was found; of a mutable one a newer version may follow.
    Item {
        /// Which look-up.
        lookup: LookupId,
        /// What was stored; hash or signature were right.
        item: Item,
    },
    /// A node named torrents that it knows (BEP 51).
    Samples {
        /// Which look-up.
        lookup: LookupId,
        /// Which node.
        from: SocketAddr,
        /// Info hashes.
        hashes: Vec<[u8; 20]>,
        /// How many it has.
        total: u64,
    },
    /// A look-up ended.
    Done {
        /// Which.
        lookup: LookupId,
        /// How.
        report: Report,
    },
    /// The others see us at another address than we thought.
    Address(IpAddr),
}

/// How a look-up went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The nodes closest to the target that answered.
    pub closest: Vec<Node>,
    /// Nodes asked.
    pub asked: usize,
    /// Nodes that confirmed to have stored what was to be stored.
    pub stored: usize,
    /// Why nodes did not store it: the code of the last refusal.
    pub refusal: Option<i64>,
    /// Whether peers or an item were found.
    pub found: bool,
    /// From the command until the closest nodes were known.
    pub took: Duration,
    /// From the command until the first peers or item.
    pub first: Option<Duration>,
    /// More nodes are close to the key than chance allows: it was stored or sought wider.
    pub crowded: bool,
    /// About how many seeds and other peers there are (BEP 33), where it was asked.
    pub swarm: Option<(f64, f64)>,
}

impl Eq for Report {}
