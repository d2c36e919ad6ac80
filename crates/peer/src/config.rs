//! What a peer is told when it starts.

use peerage_base::{Duration, PeerId, limits};
use std::net::IpAddr;

/// Who and where we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Our 20-byte id in handshakes (BEP 3, 20).
    pub peer_id: [u8; 20],
    /// The port on which others reach us; 0 when none.
    pub listen_port: u16,
    /// Who we are on authenticated roads; `None`: there are none.
    pub key: Option<PeerId>,
    /// Specific addresses on which we listen. A nearby range (loopback, RFC 1918, link-local, unique
    /// local) in which one of them lies is open for addresses that strangers name. Leave it empty
    /// when listening on all interfaces.
    pub addresses: Vec<IpAddr>,
}

/// Whether connections are encrypted (message stream encryption, see [`peerage_wire::mse`]: it hides what
/// is spoken from those who sort traffic, and is no secrecy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never; who starts encrypted is not let in.
    Off,
    /// For those who want it: others are dialled in plain first.
    #[default]
    Allow,
    /// With those who can: dialled encrypted first, in plain when that fails.
    Prefer,
    /// With RC4, or not at all.
    Require,
}

/// Whether peers prove who they are: with TLS between Peerage nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Nobody does.
    Off,
    /// Those who can.
    #[default]
    Prefer,
    /// All, or there is no connection.
    Require,
}

/// Whether there is a node of the mainline DHT beside the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dht {
    /// There is none.
    #[default]
    Off,
    /// It asks, and answers nobody (BEP 43): peers are not told of it.
    Client,
    /// It answers too.
    Server,
}

/// By which ways peers are met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// Whichever leads there.
    #[default]
    Any,
    /// Without relays.
    Direct,
    /// By relays alone, so that they alone see our address: nobody else is dialled, let in, asked or told.
    Relay,
}

/// Settings of a peer. [`Default`] suits a desktop machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Connections of all torrents, half-open ones included. Each costs two socket buffers.
    pub connections_max: usize,
    /// Connections of one torrent.
    pub connections_per_torrent_max: usize,
    /// Outgoing connections that are not open yet.
    pub half_open_max: usize,
    /// Connections of one torrent with one host (IPv4 address, IPv6 /64). Loopback and addresses
    /// that the user gave are free of it. libtorrent allows 1 by default; homes behind one address
    /// (NAT) want a few.
    pub connections_per_host_max: usize,
    /// Outgoing connections begun per second. Home routers drop state above some tens.
    pub dials_per_second: u32,
    /// LAN mode: peers and trackers may name addresses in nearby ranges.
    pub allow_local: bool,
    /// From the connection's start to its end, when no handshake came (libtorrent: 10 s).
    pub handshake_timeout: Duration,
    /// From the dial to the open connection.
    pub dial_timeout: Duration,
    /// Wait after the first failure of a dial; each further failure waits four times longer.
    pub retry_first: Duration,
    /// Longest wait between two dials of one address.
    pub retry_max: Duration,
    /// Longest wait between two dials of an address that the user gave.
    pub retry_user_max: Duration,
    /// How long a ban lasts.
    pub ban_duration: Duration,
    /// Bytes per second sent by all torrents together; `None`: unlimited.
    pub upload_rate_max: Option<u64>,
    /// Bytes per second asked for by all torrents together; `None`: unlimited.
    pub download_rate_max: Option<u64>,
    /// Bytes in flight of all torrents together: the memory of downloads (see
    /// [`peerage_swarm::Config::inflight_bytes_max`]).
    pub inflight_bytes_max: u64,
    /// Peers asked of a tracker at once, while there is room for more.
    pub num_want: u32,
    /// Whether connections are encrypted.
    pub encryption: Encryption,
    /// Whether peers prove who they are.
    pub authentication: Authentication,
    /// Whether uTP is dialled where TCP does not open.
    pub utp: bool,
    /// Whether QUIC may be dialled.
    pub quic: bool,
    /// Whether peers are looked for in the DHT. Private torrents never are (BEP 27).
    pub dht: Dht,
    /// Whether peers are looked for on the local network. Private torrents never are (BEP 27).
    pub lan: bool,
    /// By which ways peers are met.
    pub via: Via,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_torrent_max: 100,
            half_open_max: limits::HALF_OPEN_MAX,
            connections_per_host_max: 4,
            dials_per_second: 50,
            allow_local: false,
            handshake_timeout: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(10),
            retry_first: Duration::from_millis(500),
            retry_max: Duration::from_secs(30 * 60),
            retry_user_max: Duration::from_secs(30),
            ban_duration: Duration::from_secs(24 * 3600),
            upload_rate_max: None,
            download_rate_max: None,
            inflight_bytes_max: 24 * 1024 * 1024,
            num_want: 200,
            encryption: Encryption::default(),
            authentication: Authentication::default(),
            utp: false,
            quic: false,
            dht: Dht::default(),
            lan: false,
            via: Via::default(),
        }
    }
}

impl Config {
    /// Checks how fields relate to each other.
    ///
    /// # Panics
    /// When a relation does not hold: a bug of the caller.
    pub fn check(&self) {
        // A connection's number has 16 bits for its place in the table.
        assert!(self.connections_max < 1 << 16);
        assert!(self.connections_max >= 1 && self.connections_per_torrent_max >= 1);
        assert!(self.half_open_max >= 1 && self.connections_per_host_max >= 1 && self.dials_per_second >= 1);
        assert!(!self.handshake_timeout.is_zero() && !self.dial_timeout.is_zero());
        assert!(self.retry_first <= self.retry_max && self.retry_first <= self.retry_user_max);
        assert!(self.inflight_bytes_max >= u64::from(limits::BLOCK_LEN));
    }
}
