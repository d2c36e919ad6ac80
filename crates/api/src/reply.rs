//! What queries answer: one JSON document each.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `peerage inspect`: what a torrent or a link says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `torrent`, `magnet` or `infohash`.
    pub kind: String,
    /// Name, where it is known.
    pub name: Option<String>,
    /// `v1`, `v2` or `hybrid`, where it is known.
    pub version: Option<String>,
    /// SHA-1 infohash in hexadecimal.
    pub infohash_v1: Option<String>,
    /// SHA-256 infohash in hexadecimal.
    pub infohash_v2: Option<String>,
    /// Bytes of content without padding.
    pub total: Option<u64>,
    /// Bytes of a piece.
    pub piece_length: Option<u32>,
    /// Number of pieces.
    pub pieces: Option<u32>,
    /// Whether only its trackers may tell who has it (BEP 27).
    pub private: bool,
    /// Trackers by tier.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds.
    pub web_seeds: Vec<String>,
    /// Peers named in the link.
    pub peers: Vec<String>,
    /// Comment of its maker.
    pub comment: Option<String>,
    /// Program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Files, without padding.
    pub files: Vec<InspectedFile>,
    /// The link that opens it.
    pub link: Option<String>,
    /// What its reader should know.
    pub warnings: Vec<String>,
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedFile {
    /// Its path below the torrent's folder, made safe.
    pub path: PathBuf,
    /// Bytes.
    pub length: u64,
    /// SHA-256 Merkle root in hexadecimal, its address across torrents (version 2 and hybrid).
    pub root: Option<String>,
}

/// `peerage create`: what was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The `.torrent` file.
    pub torrent: PathBuf,
    /// SHA-1 infohash in hexadecimal.
    pub infohash_v1: Option<String>,
    /// SHA-256 infohash in hexadecimal.
    pub infohash_v2: Option<String>,
    /// The magnet link.
    pub link: String,
    /// Number of files.
    pub files: usize,
    /// Bytes of content.
    pub total: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// What its maker should know, such as files that were left out.
    pub warnings: Vec<String>,
}

/// `peerage verify`: whether data on disk is what a torrent describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether every piece is right.
    pub ok: bool,
    /// Right pieces.
    pub good: u32,
    /// All pieces.
    pub pieces: u32,
    /// Files with a wrong or missing piece.
    pub bad_files: Vec<BadFile>,
    /// What its reader should know, such as pieces that cannot be judged.
    pub warnings: Vec<String>,
}

/// A file that is not what a torrent describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadFile {
    /// Its path below the torrent's folder.
    pub path: PathBuf,
    /// `missing`, `wrong size` or `wrong data`.
    pub problem: String,
    /// Pieces of it that are wrong or missing.
    pub bad_pieces: u32,
}

/// `peerage dht status`, and now and then `peerage daemon`: how a node of the mainline DHT does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhtStatus {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// UDP addresses that it listens on.
    pub listen: Vec<String>,
    /// Its identifier in the network of IPv4, in hexadecimal.
    pub node_id: String,
    /// The same in the network of IPv6.
    pub node_id_v6: String,
    /// Addresses at which others see it, where they have told.
    pub external: Vec<String>,
    /// Nodes in its table, IPv4.
    pub nodes: usize,
    /// Nodes in its table, IPv6.
    pub nodes_v6: usize,
    /// About how many nodes the network of IPv4 has, once that can be told.
    pub network_about: Option<u64>,
    /// The same of IPv6.
    pub network_v6_about: Option<u64>,
    /// Nodes remembered from earlier runs.
    pub remembered: usize,
    /// Torrents of which it keeps peers for others.
    pub torrents: usize,
    /// Items that it keeps for others.
    pub items: usize,
    /// Datagrams received.
    pub received: u64,
    /// Questions answered.
    pub answered: u64,
    /// Questions asked.
    pub asked: u64,
    /// Of these: not answered.
    pub failed: u64,
}

/// A node of the DHT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhtNode {
    /// Its identifier in hexadecimal.
    pub id: String,
    /// Its address.
    pub addr: String,
}

/// `peerage dht lookup`: who has a torrent, by the DHT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhtLookup {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The key, in hexadecimal.
    pub key: String,
    /// Peers.
    pub peers: Vec<String>,
    /// About how many of all peers have all of it (BEP 33), where nodes have told.
    pub seeds_about: Option<u64>,
    /// About how many others there are.
    pub others_about: Option<u64>,
    /// Nodes asked.
    pub asked: usize,
    /// Seconds until the closest nodes were known.
    pub seconds: f64,
    /// Seconds until the first peers were known.
    pub first_seconds: Option<f64>,
    /// More nodes are close to the key than chance allows.
    pub crowded: bool,
    /// The nodes closest to the key that answered.
    pub closest: Vec<DhtNode>,
}

/// `peerage dht put`: where a text is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhtStored {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where: what `peerage dht get` takes.
    pub target: String,
    /// The public key that it is signed with, in hexadecimal.
    pub public_key: Option<String>,
    /// Its version, where it can be replaced.
    pub seq: Option<i64>,
    /// Nodes that stored it.
    pub stored: usize,
    /// Nodes asked.
    pub asked: usize,
    /// Seconds until the closest nodes were known.
    pub seconds: f64,
}

/// `peerage dht get`: what is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhtItem {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where it was.
    pub target: String,
    /// What it says, where it is a text.
    pub text: Option<String>,
    /// The whole value: bencode, in hexadecimal.
    pub bencoded: String,
    /// The public key that it is signed with, in hexadecimal.
    pub public_key: Option<String>,
    /// Its version, where it can be replaced.
    pub seq: Option<i64>,
    /// Nodes asked.
    pub asked: usize,
    /// Seconds until the look-up ended.
    pub seconds: f64,
}

/// `peerage dht ping`: a node that answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhtPing {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Its address.
    pub addr: String,
    /// Its identifier in hexadecimal.
    pub node_id: String,
    /// Milliseconds there and back.
    pub rtt_ms: f64,
}

/// `peerage key ls`: the keys of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// By name.
    pub keys: Vec<KeyInfo>,
}

/// A key under which torrents are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What the user calls it.
    pub name: String,
    /// The public key in hexadecimal.
    pub public_key: String,
    /// The link that leads to whatever is newest under it (BEP 46).
    pub link: String,
}

/// `peerage key export`: the secret of a key. Whoever has it can publish in its name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What the user calls it.
    pub name: String,
    /// 64 hexadecimal digits.
    pub secret: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `peerage paths`: where things are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Configuration file.
    pub config: PathBuf,
    /// Lasting data.
    pub data: PathBuf,
    /// Resume state and logs.
    pub state: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
    /// Sockets and tokens of a running node.
    pub runtime: PathBuf,
    /// Where downloads go unless `-o` says otherwise.
    pub downloads: PathBuf,
}

/// One setting of `peerage config show`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// Its value, as text.
    pub value: String,
    /// Where it comes from: `default`, a file, or a variable's name.
    pub origin: String,
    /// What it does.
    pub help: String,
}

/// `peerage config show`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Every setting.
    pub settings: Vec<Setting>,
}

/// How a check of `peerage doctor` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// Something does not work.
    Failed,
}

/// One check of `peerage doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name, such as `port` or `udp`.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do next, where there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    /// All is well.
    #[must_use]
    pub fn ok(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: Verdict::Ok, message: message.into(), advice: None }
    }

    /// It could be better; `advice` says how.
    #[must_use]
    pub fn warning(name: &str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, advice: Some(advice.into()), ..Self::ok(name, message) }
    }

    /// It does not work; `advice` says what to do.
    #[must_use]
    pub fn failed(name: &str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, advice: Some(advice.into()), ..Self::ok(name, message) }
    }
}

/// `peerage doctor`: whether this machine can do its part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether no check failed.
    pub ok: bool,
    /// Every check, in order.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Of these checks.
    #[must_use]
    pub fn new(checks: Vec<Check>) -> Self {
        let ok = checks.iter().all(|check| check.verdict != Verdict::Failed);
        Self { schema_version: crate::SCHEMA_VERSION, ok, checks }
    }
}
