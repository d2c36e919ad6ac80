//! What a long operation tells while it runs: one JSON object per line.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::SCHEMA_VERSION;

/// An event with the schema version beside it: one line of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The event, its fields beside the version.
    #[serde(flatten)]
    pub event: Event,
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        Self { schema_version: SCHEMA_VERSION, event }
    }
}

/// What happened. The field `event` names the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Reading and hashing files before a share, or checking what is there.
    Hashing {
        /// Bytes read.
        done: u64,
        /// Bytes to read.
        total: u64,
    },
    /// Serving: the port is open, peers can connect.
    Ready {
        /// Addresses that accept connections.
        listen: Vec<String>,
        /// SHA-1 infohash in hexadecimal.
        infohash_v1: Option<String>,
        /// SHA-256 infohash in hexadecimal.
        infohash_v2: Option<String>,
        /// The magnet link.
        link: String,
        /// A short code that stands for it, once.
        code: Option<String>,
        /// Name of the torrent.
        name: String,
        /// Bytes of content.
        total: u64,
    },
    /// The torrent stands as the newest under a key, in the DHT; told each time that it is renewed.
    Published {
        /// What the user calls the key.
        name: String,
        /// The public key in hexadecimal.
        public_key: String,
        /// The link that leads to whatever is newest under it (BEP 46).
        link: String,
        /// The version.
        seq: i64,
        /// Nodes that keep it.
        nodes: usize,
    },
    /// The short code was used: it stands for nothing any more.
    CodeUsed,
    /// The tracker serves.
    TrackerReady {
        /// HTTP announce URL.
        http: String,
        /// UDP announce URL.
        udp: String,
    },
    /// The relay serves.
    RelayReady {
        /// How it is named, for each address of the machine.
        urls: Vec<String>,
    },
    /// The daemon serves.
    DaemonReady {
        /// Addresses at which it listens for peers and for the DHT.
        listen: Vec<String>,
        /// Addresses at which others can begin (`--bootstrap`).
        reachable: Vec<String>,
        /// Its identifier in the DHT of IPv4, in hexadecimal; empty: it takes no part.
        node_id: String,
        /// The same of IPv6.
        node_id_v6: String,
        /// UNIX socket of the control API.
        socket: PathBuf,
        /// URL of the control API; absent: it is on the socket alone.
        api: Option<String>,
        /// Opens the page, once.
        login: Option<String>,
        /// Transfers that were there from earlier runs.
        transfers: usize,
    },
    /// How the daemon's part in the DHT does; about once a minute.
    DhtStatus {
        /// As `peerage dht status` shows it.
        status: crate::reply::DhtStatus,
    },
    /// The description of the content came from peers.
    Metadata {
        /// Name of the torrent.
        name: String,
        /// Bytes of the whole content.
        total: u64,
        /// Number of files.
        files: usize,
    },
    /// How far it is; about once a second.
    Progress(Progress),
    /// Counters since the start; about once a second while serving, and once at the end.
    Stats(Stats),
    /// A file has arrived whole and carries its own name.
    FileDone {
        /// Its path.
        path: PathBuf,
    },
    /// All that was asked for has arrived, verified.
    Complete {
        /// The file or folder.
        path: PathBuf,
        /// Bytes of content received from peers in this run.
        downloaded: u64,
        /// Seconds since the start.
        seconds: f64,
        /// Who named the peers that are known.
        #[serde(default)]
        sources: Sources,
    },
    /// A peer sent bad data, or broke the rules, and is not talked to any more.
    PeerBanned {
        /// Its address.
        addr: String,
        /// Why.
        reason: String,
    },
    /// A peer connected.
    PeerConnected {
        /// Its address.
        addr: String,
        /// How it is connected.
        road: Road,
        /// Who it has proved to be.
        peer: Option<String>,
    },
    /// A peer was left or left us.
    PeerDisconnected {
        /// Its address.
        addr: String,
        /// Why.
        reason: String,
    },
    /// A tracker answered.
    Tracker {
        /// Its URL.
        url: String,
        /// Peers in its answer.
        peers: usize,
        /// What went wrong, where something did.
        error: Option<String>,
    },
    /// A look-up in the DHT ended.
    Dht {
        /// Peers that were named.
        peers: usize,
        /// Nodes that were asked.
        nodes: usize,
        /// Nodes that took our announce.
        announced: usize,
    },
    /// The router leads a port to this machine: strangers can connect.
    PortMapped {
        /// The router's address and port, as seen from outside.
        external: String,
        /// How it was asked: `PCP`, `NAT-PMP` or `UPnP`.
        method: String,
    },
    /// The transfer waits: the disk is full, for example. It goes on by itself when it can.
    Paused {
        /// Why, and what to do.
        reason: String,
    },
    /// The transfer goes on.
    Resumed,
    /// Something that the user should know and that does not end the operation.
    Warning {
        /// One plain sentence.
        message: String,
    },
    /// Ended before it was complete.
    Interrupted {
        /// The command that goes on.
        resume: String,
        /// Verified bytes on disk.
        done: u64,
        /// Bytes asked for.
        total: u64,
    },
}

/// How far a transfer is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it does now.
    pub stage: Stage,
    /// Verified bytes of what was asked for.
    pub done: u64,
    /// Bytes asked for; 0 while unknown.
    pub total: u64,
    /// Bytes per second from peers.
    pub down_rate: u64,
    /// Bytes per second to peers.
    pub up_rate: u64,
    /// Open connections.
    pub peers: usize,
    /// Open connections to peers that have all of it.
    pub seeds: usize,
    /// Addresses known but not connected.
    pub known: usize,
    /// Seconds left at this rate, where it can be told.
    pub eta: Option<u64>,
    /// Who named the peers that are known.
    #[serde(default)]
    pub sources: Sources,
    /// Seconds for which an announce to the DHT has been due that no node took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce_lag: Option<u64>,
    /// How the peer is connected with which most is exchanged.
    pub road: Option<Road>,
}

/// Peers that are known, by the best source that named each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The user or the link.
    pub user: usize,
    /// They themselves, on the local network.
    #[serde(default)]
    pub lan: usize,
    /// Trackers.
    pub tracker: usize,
    /// The DHT.
    pub dht: usize,
    /// Other peers.
    pub pex: usize,
    /// They themselves: they connected to us.
    pub incoming: usize,
}

impl std::fmt::Display for Sources {
    /// As in `3 from the DHT, 1 from trackers`; nothing where nobody is known.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.user, "named"),
            (self.lan, "on the local network"),
            (self.tracker, "from trackers"),
            (self.dht, "from the DHT"),
            (self.pex, "from peers"),
            (self.incoming, "came to us"),
        ];
        let parts =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// How a peer is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Road {
    /// What the peer wire runs on.
    pub kind: RoadKind,
    /// Milliseconds there and back, where they were measured.
    pub rtt_ms: Option<u64>,
    /// The relay through which it goes; absent: it is direct.
    pub relay: Option<String>,
}

/// What the peer wire runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RoadKind {
    /// TCP.
    Tcp,
    /// TCP with message stream encryption.
    Encrypted,
    /// uTP, in plain or with message stream encryption.
    Utp,
    /// TLS over TCP: both ends have proved who they are.
    Tls,
    /// QUIC: both ends have proved who they are.
    Quic,
}

impl std::fmt::Display for Road {
    /// As in `direct TLS 12 ms`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.relay {
            Some(relay) => write!(f, "relay {relay}")?,
            None => f.write_str("direct")?,
        }
        f.write_str(match self.kind {
            RoadKind::Tcp => " TCP",
            RoadKind::Encrypted => " encrypted TCP",
            RoadKind::Utp => " uTP",
            RoadKind::Tls => " TLS",
            RoadKind::Quic => " QUIC",
        })?;
        match self.rtt_ms {
            Some(0) => f.write_str(" <1 ms"),
            Some(millis) => write!(f, " {millis} ms"),
            None => Ok(()),
        }
    }
}

/// The stage of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looking for peers.
    #[default]
    Finding,
    /// Fetching the description of the content.
    Metadata,
    /// Checking what is on the disk.
    Checking,
    /// Fetching.
    Downloading,
    /// Waiting for room on the disk.
    Paused,
    /// Serving.
    Seeding,
}

/// Counters since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Bytes of content received.
    pub downloaded: u64,
    /// Bytes of content sent.
    pub uploaded: u64,
    /// Bytes received and thrown away: bad, unasked for, or there already.
    pub wasted: u64,
    /// Pieces that failed their hash.
    pub hash_failures: u64,
    /// Peers banned.
    pub banned: u64,
    /// Open connections.
    pub peers: usize,
}
