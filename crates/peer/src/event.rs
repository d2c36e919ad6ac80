//! What goes into a peer and what comes out.

use crate::road::{Road, RoadKind};
use crate::trackers::{AnnounceRequest, TrackerId};
use peerage_base::{ConnId, Contact, Duration, InfoHashes, PeerId, TorrentId};
use peerage_swarm::{Block, Content, Event, Reason, WebSeedId};
use std::net::SocketAddr;

/// An announce to make; see [`Output::Announce`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Names the announce in the answer.
    pub tracker: TrackerId,
    /// Where.
    pub url: String,
    /// What.
    pub request: AnnounceRequest,
}

/// A torrent to take part in.
#[derive(Clone, Debug)]
pub struct TorrentParams {
    /// What names it.
    pub hashes: InfoHashes,
    /// What is known of its content; `None`: the metadata comes from peers (BEP 9), then
    /// [`crate::Peer::set_content`].
    pub content: Option<Content>,
    /// Private (BEP 27): only its own trackers name peers, no peer exchange.
    pub private: bool,
    /// Trackers, in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Peers that the user or the link (`x.pe`) names: any range, always tried again.
    pub peers: Vec<SocketAddr>,
    /// Peers that prove who they are, as the user or the link names them.
    pub contacts: Vec<Contact>,
    /// URLs of web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Settings of its machine. `inflight_bytes_max` is overruled by the peer's own budget.
    pub config: peerage_swarm::Config,
}

impl TorrentParams {
    /// A torrent of which nothing but the hashes is known.
    #[must_use]
    pub fn new(hashes: InfoHashes) -> Self {
        Self {
            hashes,
            content: None,
            private: false,
            trackers: Vec::new(),
            peers: Vec::new(),
            contacts: Vec::new(),
            web_seeds: Vec::new(),
            config: peerage_swarm::Config::default(),
        }
    }
}

/// What the DHT is told of us; see [`Output::Search`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchAnnounce {
    /// Where we listen; `None`: where our datagrams come from, which a NAT may have changed.
    pub port: Option<u16>,
    /// We have all of it (BEP 33).
    pub seed: bool,
}

/// A torrent that cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// One of its hashes is in use by this torrent.
    #[error("this torrent is there already")]
    Exists(TorrentId),
    /// It has no hash at all.
    #[error("a torrent needs an infohash")]
    NoHash,
    /// More than [`crate::TORRENTS_MAX`].
    #[error("too many torrents")]
    TooMany,
}

/// What the driver has to say about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// The dial succeeded ([`Output::Dial`]); our handshake follows as an output.
    Connected,
    /// The other end has proved who it is, on this road: before [`PeerChange::Connected`] of a dial, and
    /// before the first frame of an incoming connection.
    Authenticated(RoadKind, PeerId),
    /// The connection, or the dial, ended; with the driver's reason in words. Also fine after
    /// [`Output::Disconnect`].
    Closed(String),
    /// See [`peerage_swarm::PeerChange::Writable`].
    Writable {
        /// Room in bytes.
        bytes: u64,
    },
}

/// What becomes of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// Write it to this torrent; the bytes are on their way to the store before outputs are drained.
    Accept(TorrentId),
    /// Throw it away.
    Drop,
}

/// Where we know an address from. Later ones are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Another peer named it (BEP 11).
    Pex,
    /// A node of the DHT named it (BEP 5).
    Dht,
    /// It connected to us, and said where it listens.
    Incoming,
    /// A tracker named it.
    Tracker,
    /// It named itself on the local network (BEP 14).
    Lan,
    /// The user or the link named it.
    User,
}

/// Why an address that was named is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is in a range that strangers may not name, or is no host's at all.
    #[error("its range is not one that may be named")]
    Range,
    /// It is banned.
    #[error("banned")]
    Banned,
    /// It is our own.
    #[error("it is our own address")]
    Ourselves,
    /// The table of candidates is full of better ones.
    #[error("too many others are known")]
    NoRoom,
    /// No way to it that may be taken: it has no relay and only those may be used, or nothing else, and
    /// relays may not.
    #[error("there is no way to it that --via permits")]
    NoWay,
    /// It is named by its key, and the roads that prove one are off.
    #[error("it is to prove who it is, and TLS is off here")]
    Unprovable,
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The torrent's machine closed it.
    #[error(transparent)]
    Swarm(#[from] Reason),
    /// Bytes that are not the peer wire.
    #[error("not the peer wire: {0}")]
    Garbage(String),
    /// No handshake in time.
    #[error("no handshake in time")]
    HandshakeTimeout,
    /// The dial took too long.
    #[error("no connection in time")]
    DialTimeout,
    /// A torrent that we do not have.
    #[error("unknown torrent")]
    UnknownTorrent,
    /// The peer is we ourselves.
    #[error("connected to ourselves")]
    SelfConnection,
    /// It is dialled again, over TLS.
    #[error("goes on over TLS")]
    Upgrade,
    /// There is a connection with this peer already.
    #[error("connected twice")]
    Duplicate,
    /// A better peer wants the place.
    #[error("made room for another peer")]
    Evicted,
    /// No place is free.
    #[error("too many connections")]
    Full,
    /// The address is banned.
    #[error("banned")]
    Banned,
    /// The torrent is gone.
    #[error("torrent removed")]
    Removed,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a connection; answer with [`PeerChange::Connected`] or [`PeerChange::Closed`].
    Dial {
        /// Its name from now on.
        conn: ConnId,
        /// For which torrent.
        torrent: TorrentId,
        /// Where; a [`peerage_base::contact::placeholder`] for a road that finds its way by a key.
        addr: SocketAddr,
        /// How.
        road: Road,
        /// For [`Road::Tcp`] and [`Road::Utp`]: the info hash to encrypt the start with; `None`: it is plain.
        encrypt: Option<[u8; 20]>,
    },
    /// Send these bytes (the handshake, whole frames), in the order of the outputs.
    Send {
        /// To whom.
        conn: ConnId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Send a piece message with bytes from the store.
    SendBlock {
        /// To whom.
        conn: ConnId,
        /// Of which torrent.
        torrent: TorrentId,
        /// Which bytes.
        block: Block,
    },
    /// Close the connection, or give up the dial. Its number never comes again.
    Disconnect {
        /// Which one.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Hash a piece; see [`peerage_swarm::Output::Verify`].
    Verify {
        /// Of which torrent.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
        /// Whether a digest of each block is wanted.
        digests: bool,
    },
    /// Fetch from a web seed; see [`peerage_swarm::Output::WebRequest`].
    WebRequest {
        /// For which torrent.
        torrent: TorrentId,
        /// Which web seed.
        web_seed: WebSeedId,
        /// Its URL.
        url: String,
        /// The piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Bytes.
        len: u32,
    },
    /// Ask a tracker; answer with [`crate::Peer::handle_tracker`].
    Announce {
        /// For which torrent; a removed one's last words come with its old id.
        torrent: TorrentId,
        /// Names the announce in the answer.
        tracker: TrackerId,
        /// Where.
        url: String,
        /// What.
        request: AnnounceRequest,
    },
    /// Look a torrent's peers up in the DHT: what is found goes to [`crate::Peer::handle_found`], the end to
    /// [`crate::Peer::handle_search`].
    Search {
        /// For which torrent.
        torrent: TorrentId,
        /// Its info hash, or one of two.
        info_hash: [u8; 20],
        /// Say that we are a peer, too.
        announce: Option<SearchAnnounce>,
    },
    /// Tell the local network that we take part in these (BEP 14); at our own port, whatever a router does. What
    /// others tell goes to [`crate::Peer::handle_lan`].
    AnnounceLan {
        /// At most [`peerage_base::limits::LSD_HASHES_MAX`].
        info_hashes: Vec<[u8; 20]>,
    },
    /// A peer says that it has a node of the DHT: ask it whether it is there (BEP 5).
    DhtNode {
        /// Where.
        addr: SocketAddr,
    },
    /// Somebody named an address; to be shown. Told each time.
    Found {
        /// For which torrent.
        torrent: TorrentId,
        /// Where; a [`peerage_base::contact::placeholder`] for a peer that is named by its key.
        addr: SocketAddr,
        /// Who named it.
        source: Source,
        /// Why it is not dialled; `None`: it is, in its turn.
        refused: Option<Refusal>,
    },
    /// Both handshakes of a connection are done; to be shown.
    Greeted {
        /// For which torrent.
        torrent: TorrentId,
        /// Which one.
        conn: ConnId,
    },
    /// An address is banned, for the user to see.
    Banned {
        /// Its address.
        addr: SocketAddr,
        /// In words.
        reason: String,
        /// For how long.
        duration: Duration,
    },
    /// A tracker answered or failed; to be shown (escaped: the text is the tracker's own).
    TrackerStatus {
        /// For which torrent.
        torrent: TorrentId,
        /// Where.
        url: String,
        /// Peers named, or what went wrong.
        result: Result<usize, String>,
    },
    /// News of a torrent.
    Event {
        /// Which torrent.
        torrent: TorrentId,
        /// The news.
        event: Event,
    },
}
