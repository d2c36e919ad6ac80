//! Settings of a DHT node.

use crate::kademlia::{LookupConfig, TableConfig};
use peerage_base::Duration;
use peerage_base::addr::Ranges;
use std::net::IpAddr;

/// Settings; the defaults suit a node on the internet. Numbers on floods and stores: threats.md D6,
/// which are libtorrent's.
#[derive(Clone, Debug)]
pub struct Config {
    /// The routing table's.
    pub table: TableConfig,
    /// A look-up's.
    pub lookup: LookupConfig,
    /// Nearby ranges in which nodes may be asked that others name.
    pub ranges: Ranges,
    /// Ask others, answer nobody but a ping of those being asked, be in no table (BEP 43).
    pub read_only: bool,
    /// Nodes whose identifier does not fit their address enter no table, and are asked last (BEP 42).
    pub enforce_ids: bool,
    /// Bytes of answers per second; what is beyond is not answered.
    pub upload_bytes_per_s: u32,
    /// Datagrams per second from one host, over ten seconds, beyond which it is blocked.
    pub packets_per_s_max: u32,
    /// How long a host is blocked.
    pub block: Duration,
    /// Torrents that peers are kept of.
    pub torrents_max: usize,
    /// Peers kept of each.
    pub peers_max: usize,
    /// How long a peer is kept (BEP 5 clients announce every 15 to 30 minutes).
    pub peer_expiry: Duration,
    /// Items kept.
    pub items_max: usize,
    /// How long an item is kept (BEP 44).
    pub item_expiry: Duration,
    /// A question has failed after this time.
    pub query_timeout: Duration,
    /// Unknown nodes that are asked whether they answer, per second, and at once four times as many.
    pub verify_per_s: u32,
    /// Time between two looks at the table: one contact is asked each time.
    pub upkeep: Duration,
    /// Questions on the way for all look-ups; beyond, look-ups wait.
    pub pending_max: usize,
    /// Look-ups at once; beyond, a command is done at once with nothing.
    pub lookups_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: TableConfig::default(),
            lookup: LookupConfig::default(),
            ranges: Ranges::default(),
            read_only: false,
            enforce_ids: true,
            upload_bytes_per_s: 8_000,
            packets_per_s_max: 5,
            block: Duration::from_secs(300),
            torrents_max: 2_000,
            peers_max: 500,
            peer_expiry: Duration::from_secs(30 * 60),
            items_max: 700,
            item_expiry: Duration::from_secs(2 * 3600),
            query_timeout: Duration::from_secs(4),
            verify_per_s: 4,
            upkeep: Duration::from_secs(5),
            pending_max: 1_024,
            lookups_max: 256,
        }
    }
}

/// What a node knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Its addresses as the internet sees them, at most one of each family; unknown ones are learnt
    /// from the answers of others.
    pub external: Vec<IpAddr>,
}
