//! What a user asks a node to do.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Share files or a folder, in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// What to share. Several paths become one folder in the torrent.
    pub paths: Vec<PathBuf>,
    /// A torrent that describes the data already: it is checked, then served.
    pub torrent: Option<PathBuf>,
    /// Name in the link, instead of the file's or folder's.
    pub name: Option<String>,
    /// Trackers to announce to.
    pub trackers: Vec<String>,
    /// Peers to connect to.
    pub peers: Vec<String>,
    /// Send each piece once before any twice (BEP 16).
    pub super_seeding: bool,
    /// Hand the link over by a short code too.
    pub code: bool,
    /// Name of the key under which it is published as its newest torrent (BEP 46).
    pub publish: Option<String>,
}

/// Get what a link, a torrent file or an infohash names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Get {
    /// A magnet link, the path or URL of a `.torrent` file, an infohash, or a short code.
    pub link: String,
    /// Folder to put it into.
    pub into: PathBuf,
    /// Peers to connect to besides those that the link names.
    pub peers: Vec<String>,
    /// Only files whose path matches one of these patterns.
    pub select: Vec<String>,
    /// In order from the start.
    pub sequential: bool,
    /// Write the content to standard output as it arrives, in order; implies `sequential`.
    pub stdout: bool,
    /// Go on serving when complete.
    pub seed: bool,
    /// Under the key that stays, not a new one.
    pub known: bool,
    /// Trackers besides those that the link names.
    pub trackers: Vec<String>,
    /// Seconds after which the whole operation ends.
    pub timeout: Option<f64>,
    /// Seconds without progress after which it ends. `None` waits for ever.
    pub stall_timeout: Option<f64>,
    /// How the user wrote the command: printed as the way to go on after an interruption.
    pub resume_command: String,
}

/// Run a node that stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// Where the control API listens besides its socket; a free port of 127.0.0.1 near the usual one when absent.
    pub api: Option<SocketAddr>,
    /// The control API may listen where other machines reach it, unencrypted.
    pub insecure: bool,
    /// Names by which the control API may be called besides this machine's own.
    pub hosts: Vec<String>,
    /// Folder of the API's socket.
    pub runtime_dir: PathBuf,
    /// Where downloads go unless they say otherwise.
    pub downloads: PathBuf,
    /// Downloads at a time; 0 is unlimited.
    pub downloads_max: u32,
    /// A complete transfer pauses at this ratio; 0: never.
    pub ratio_goal: f64,
    /// A complete transfer pauses when it was served for so many seconds; 0: never.
    pub seeding_goal: u64,
    /// Bytes per second to and from peers while the alternative limits are in force; absent: unlimited.
    pub alternative: [Option<u64>; 2],
    /// When they are in force, as `mon-fri 08:00-18:00; sat 10:00-12:00`; empty: only by hand.
    pub schedule: String,
    /// Torrent files and magnet links that are put there are added.
    pub watch: Option<PathBuf>,
    /// The program that is run when a download is complete.
    pub on_complete: Option<PathBuf>,
    /// Every setting, to be shown.
    pub settings: Vec<crate::control::Setting>,
}

/// Store a text in the DHT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DhtPut {
    /// The text.
    pub value: String,
    /// A file with the secret key that signs it, made where there is none: what is stored can be replaced then.
    pub key: Option<PathBuf>,
    /// One of several places of one key.
    pub salt: String,
    /// The version; the one after what is stored when absent.
    pub seq: Option<i64>,
}

/// Read what is stored in the DHT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DhtGet {
    /// A hash, or a public key, in hexadecimal.
    pub target: String,
    /// One of several places of one key.
    pub salt: String,
}

/// Find out what becomes of a link, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// A magnet link, the path or URL of a `.torrent` file, or an infohash.
    pub link: String,
    /// Peers to connect to besides those that the link names.
    pub peers: Vec<String>,
    /// Trackers besides those that the link names.
    pub trackers: Vec<String>,
    /// Under the key that stays, not a new one.
    pub known: bool,
    /// Seconds after which it ends at the latest.
    pub timeout: f64,
}

/// Run a relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relay {
    /// Where to listen; on every IPv4 address when absent.
    pub listen: Option<SocketAddr>,
    /// Bytes per second that each client may send.
    pub rate: std::num::NonZeroU32,
    /// A file with the keys of those that are let in; everybody when absent.
    pub allow: Option<PathBuf>,
}

/// Make a torrent file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Create {
    /// File or folder that it describes.
    pub path: PathBuf,
    /// Where to write it.
    pub output: PathBuf,
    /// Replace an existing file.
    pub force: bool,
    /// Which hashes it carries.
    pub version: TorrentVersion,
    /// Bytes of a piece; chosen by size when absent.
    pub piece_length: Option<u32>,
    /// Name, instead of the path's last part.
    pub name: Option<String>,
    /// Trackers, one tier each.
    pub trackers: Vec<String>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Comment for readers.
    pub comment: Option<String>,
    /// Only its trackers may tell who has it (BEP 27).
    pub private: bool,
}

/// Which hashes a torrent carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TorrentVersion {
    /// SHA-1 pieces (BEP 3).
    V1,
    /// SHA-256 Merkle trees (BEP 52).
    V2,
    /// Both.
    #[default]
    Hybrid,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncryptionPolicy {
    /// Never.
    Off,
    /// With peers that want it.
    #[default]
    Allow,
    /// With peers that can.
    Prefer,
    /// Always.
    Require,
}

/// What a user writes is none of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of off, allow, prefer and require")]
pub struct UnknownPolicy;

impl std::str::FromStr for EncryptionPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "off" => Ok(Self::Off),
            "allow" => Ok(Self::Allow),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            _ => Err(UnknownPolicy),
        }
    }
}

/// Whether peers prove who they are: TLS between Peerage nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsPolicy {
    /// Nobody does.
    Off,
    /// Those who can.
    #[default]
    On,
    /// All, or there is no connection.
    Require,
}

/// What a user writes is none of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of off, on and require")]
pub struct UnknownTlsPolicy;

impl std::str::FromStr for TlsPolicy {
    type Err = UnknownTlsPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownTlsPolicy> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            "require" => Ok(Self::Require),
            _ => Err(UnknownTlsPolicy),
        }
    }
}

/// By which ways peers are met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViaPolicy {
    /// Whichever leads there.
    #[default]
    Any,
    /// Without relays.
    Direct,
    /// By relays alone: nobody else is contacted, or learns of this machine's address.
    Relay,
}

/// What a user writes is none of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of any, direct and relay")]
pub struct UnknownViaPolicy;

impl std::str::FromStr for ViaPolicy {
    type Err = UnknownViaPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownViaPolicy> {
        match text {
            "any" => Ok(Self::Any),
            "direct" => Ok(Self::Direct),
            "relay" => Ok(Self::Relay),
            _ => Err(UnknownViaPolicy),
        }
    }
}

/// How a node behaves; every part has a sane default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Address to listen on; every address of the machine when absent.
    pub listen: Option<SocketAddr>,
    /// Port to listen on when no address is given; another free one when it is in use.
    pub port: u16,
    /// Open connections at most.
    pub connections_max: usize,
    /// Connections being opened at most.
    pub half_open_max: usize,
    /// Bytes per second to peers; `None` is unlimited.
    pub upload_limit: Option<u64>,
    /// Bytes per second from peers; `None` is unlimited.
    pub download_limit: Option<u64>,
    /// Peers served at once; chosen by measured capacity when absent.
    pub upload_slots: Option<usize>,
    /// Trackers and web seeds may be on this machine or the local network.
    pub allow_local: bool,
    /// Whether connections are encrypted.
    pub encryption: EncryptionPolicy,
    /// Ask the router to lead the port to this machine. Never when listening on loopback alone.
    pub port_mapping: bool,
    /// Servers that tell how others see us (STUN, RFC 8489): `host:port`. Nobody is asked when there is none.
    pub stun_servers: Vec<String>,
    /// Whether peers prove who they are.
    pub tls: TlsPolicy,
    /// Relays through which this node can be reached: `https://HOST:PORT#KEY`.
    pub relays: Vec<String>,
    /// Whether uTP is spoken, beside TCP.
    pub utp: bool,
    /// Whether peers are looked for in the mainline DHT.
    pub dht: bool,
    /// Whether peers are looked for on the local network (BEP 14).
    pub local_discovery: bool,
    /// Where the DHT begins when nobody is known: `HOST:PORT`.
    pub bootstrap: Vec<String>,
    /// By which ways peers are met.
    pub via: ViaPolicy,
    /// The interface, by name or address, by which everything leaves; `None`: as the system routes it.
    pub bind: Option<String>,
    /// Threads that read, write and hash.
    pub io_threads: usize,
    /// Folder of the resume state.
    pub state_dir: PathBuf,
}
