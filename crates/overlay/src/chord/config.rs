//! What a node of Chord can be told.

use peerage_base::Duration;
use peerage_base::addr::Ranges;

/// How a node of Chord behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Entries of the successor list, at most [`peerage_base::limits::OVERLAY_NODES_MAX`]. The ring survives the
    /// failure of half the nodes with `2 log2 N` (ToN 2003, table II: 20 for 1,000).
    pub successors: usize,
    /// Between two rounds of stabilisation, at least (ToN 2003, section V-D: uniform in 15 to 45 s).
    pub stabilise_min: Duration,
    /// Between two rounds of stabilisation, at most.
    pub stabilise_max: Duration,
    /// How long an answer is awaited. Costs as much for each dead node on a look-up's way (Rhea et al. 2004: some
    /// round trips; fixed 5 s more than double the latency).
    pub timeout: Duration,
    /// Nodes that keep each record: the key's successor and those after it.
    pub replicas: usize,
    /// Records are stored again after this time.
    pub republish: Duration,
    /// Records are forgotten when nobody has stored them for this time.
    pub expiry: Duration,
    /// Keys with records; beyond, new ones are not taken.
    pub keys_max: usize,
    /// Objects that this node publishes.
    pub published_max: usize,
    /// Look-ups at once; beyond, a command ends at once with nothing.
    pub lookups_max: usize,
    /// Nodes asked in one look-up.
    pub steps_max: usize,
    /// Where addresses that others name may be.
    pub ranges: Ranges,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            successors: 20,
            stabilise_min: Duration::from_secs(15),
            stabilise_max: Duration::from_secs(45),
            timeout: Duration::from_secs(1),
            replicas: 3,
            republish: Duration::from_secs(600),
            expiry: Duration::from_secs(1_800),
            keys_max: 10_000,
            published_max: 10_000,
            lookups_max: 64,
            steps_max: 128,
            ranges: Ranges::default(),
        }
    }
}
