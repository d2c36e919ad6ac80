//! What a torrent's machine is told when it starts.

use peerage_base::{Duration, limits};

/// Settings of one torrent's machine. Every field may be changed later through the machine's commands
/// where one exists; the rest is fixed at the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Bytes per second that this torrent sends at most; `None`: only the node's own limit.
    pub upload_rate_max: Option<u64>,
    /// Bytes per second that this torrent asks for at most; `None`: only the node's own limit.
    pub download_rate_max: Option<u64>,
    /// Bytes asked for, or received and not yet written, at any time. Bounds the memory of a download
    /// when the disk is slower than the network. 24 MiB keep a 1 GiB/s path with 20 ms of delay busy.
    pub inflight_bytes_max: u64,
    /// Requests kept waiting at one peer, however many it would take (libtorrent, tuned: 2,000).
    pub requests_out_max: usize,
    /// Requests kept waiting at a fresh peer, and the least that a slow one gets.
    pub requests_out_min: usize,
    /// How far ahead of a peer's delivery requests reach, beyond the round trip.
    pub queue_time: Duration,
    /// Peers unchoked at once; `None`: by measured capacity.
    pub upload_slots: Option<usize>,
    /// Time between two rounds of choking (Cohen 2003: 10 s).
    pub rechoke_interval: Duration,
    /// Time between two optimistic unchokes (Cohen 2003: 30 s).
    pub optimistic_interval: Duration,
    /// A peer that answers no request for so long is snubbed (Cohen 2003: 60 s).
    pub snub_timeout: Duration,
    /// A peer that sends nothing for so long is disconnected. BEP 3's keep-alive is every 2 minutes.
    pub idle_timeout: Duration,
    /// Ask for blocks. Without it interest is shown, so that it can be seen who would serve, and nothing is
    /// fetched but the metadata.
    pub fetch: bool,
    /// Take part in peer exchange (BEP 11). A private torrent never does (BEP 27).
    pub pex: bool,
    /// The UDP port of our node of the DHT, told to peers that have one too (BEP 5); `None`: we have none that
    /// answers. Of a private torrent nobody is told.
    pub dht_port: Option<u16>,
    /// Introduce peers to each other, and be introduced (BEP 55): worth nothing without uTP.
    pub holepunch: bool,
    /// Disconnect peers that neither want nor have what we lack (both sides complete).
    pub close_redundant: bool,
    /// Pieces are asked for in order, from the read position on.
    pub sequential: bool,
    /// Reveal pieces one by one while this is the only seed (BEP 16).
    pub super_seeding: bool,
    /// Client name and version, sent in the extension handshake as `v` (BEP 10).
    pub client: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            upload_rate_max: None,
            download_rate_max: None,
            inflight_bytes_max: 24 * 1024 * 1024,
            requests_out_max: 2000,
            requests_out_min: 8,
            queue_time: Duration::from_millis(300),
            upload_slots: None,
            rechoke_interval: Duration::from_secs(10),
            optimistic_interval: Duration::from_secs(30),
            snub_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(130),
            fetch: true,
            pex: true,
            dht_port: None,
            holepunch: false,
            close_redundant: true,
            sequential: false,
            super_seeding: false,
            client: concat!("Peerage ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Config {
    /// Checks how fields relate to each other.
    ///
    /// # Panics
    /// When a relation does not hold: a bug of the caller.
    pub fn check(&self) {
        assert!(self.requests_out_min >= 1 && self.requests_out_min <= self.requests_out_max);
        assert!(self.inflight_bytes_max >= u64::from(limits::BLOCK_LEN));
        assert!(!self.rechoke_interval.is_zero() && !self.optimistic_interval.is_zero());
    }
}

/// Who we are on the peer wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Our 20-byte id in handshakes (BEP 3, 20).
    pub peer_id: [u8; 20],
    /// The port on which others reach us; 0 when none.
    pub listen_port: u16,
}

/// How much a file is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Not fetched at all.
    Skip,
    /// Fetched after all else.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Fetched before all else.
    High,
}
