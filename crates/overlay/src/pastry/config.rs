//! What a node of Pastry can be told.

use peerage_base::Duration;
use peerage_base::addr::Ranges;

/// How a node of Pastry behaves. Digits have 4 bits (the paper's `b`).
#[derive(Clone, Debug)]
pub struct Config {
    /// Nodes of the leaf set, half on each side, at most [`peerage_base::limits::OVERLAY_NODES_MAX`] (the paper's
    /// `|L|`: 16).
    pub leaves: usize,
    /// Nodes of the neighbourhood set, at most as many (the paper's `|M|`: 32).
    pub nearby: usize,
    /// Between two rounds of upkeep: leaves and one row are compared with those of another node.
    pub upkeep: Duration,
    /// How long an answer is awaited.
    pub timeout: Duration,
    /// Nodes that keep each record: the key's root and the leaves closest to the key (PAST: 5).
    pub replicas: usize,
    /// Records are stored again after this time.
    pub republish: Duration,
    /// Records are forgotten when nobody has stored them for this time.
    pub expiry: Duration,
    /// Keys with records; beyond, new ones are not taken.
    pub keys_max: usize,
    /// Objects that this node publishes.
    pub published_max: usize,
    /// Routes at once; beyond, a command ends at once with nothing.
    pub routes_max: usize,
    /// Nodes asked on one route. A route has about `log16 N` hops.
    pub steps_max: usize,
    /// Where addresses that others name may be.
    pub ranges: Ranges,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            leaves: 16,
            nearby: 32,
            upkeep: Duration::from_secs(30),
            timeout: Duration::from_secs(1),
            replicas: 3,
            republish: Duration::from_secs(600),
            expiry: Duration::from_secs(1_800),
            keys_max: 10_000,
            published_max: 10_000,
            routes_max: 64,
            steps_max: 64,
            ranges: Ranges::default(),
        }
    }
}
