//! Transfers: what the daemon downloads and shares.

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::event::Road;

/// What a transfer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// Waiting for its turn.
    #[default]
    Queued,
    /// What is on the disk is being checked.
    Checking,
    /// The description of the content is being fetched from peers.
    Metadata,
    /// Content is being fetched, or somebody who has it is looked for.
    Downloading,
    /// All that is wanted is here, and served.
    Seeding,
    /// Nothing happens until it is resumed.
    Paused,
    /// Its files are being moved.
    Moving,
    /// It stopped by a failure; `resume` tries again.
    Error,
}

/// Where its content comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// From peers, into a folder.
    #[default]
    Download,
    /// It is the user's own, shared in place, never written.
    Share,
}

/// How much a file is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FilePriority {
    /// Not at all.
    Skip,
    /// After all else.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before all else.
    High,
}

/// A transfer, as lists show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transfer {
    /// Names it: 40 or 64 hexadecimal digits, the infohash by which it was added. Never changes.
    pub id: String,
    /// SHA-1 infohash in hexadecimal, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infohash_v1: Option<String>,
    /// SHA-256 infohash in hexadecimal, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infohash_v2: Option<String>,
    /// Its name; the id while no name is known. From strangers: to be shown as text, never as HTML.
    pub name: String,
    /// Where the content comes from.
    pub kind: TransferKind,
    /// What it does.
    pub state: TransferState,
    /// Why it is in this state, where that needs to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The failure that stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Bytes of the whole content; 0 while unknown.
    pub total: u64,
    /// Bytes that are wanted; 0 while unknown.
    pub wanted: u64,
    /// Bytes of what is wanted that are here and verified. While checking: bytes checked.
    pub done: u64,
    /// Files; 0 while unknown.
    pub files: u32,
    /// Whether all that is wanted is here.
    pub complete: bool,
    /// Bytes of content from peers, since it was added.
    pub downloaded: u64,
    /// Bytes of content to peers, since it was added.
    pub uploaded: u64,
    /// `uploaded` by what was downloaded, or by the content's length where it is a share; 0 while there is nothing.
    pub ratio: f64,
    /// Bytes per second from peers.
    pub down_rate: u64,
    /// Bytes per second to peers.
    pub up_rate: u64,
    /// Seconds left at this rate, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<u64>,
    /// Open connections.
    pub peers: u32,
    /// Of them, those that have all of it.
    pub seeds: u32,
    /// Addresses known.
    pub known: u32,
    /// Folder into which it is fetched, or in which it is shared.
    pub folder: String,
    /// The file or folder itself; absent while its name is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it was added.
    pub added_at: u64,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
    /// Seconds for which it was served complete; about once a minute anew.
    pub seeding_seconds: u64,
    /// Category, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Place in the queue, from 0.
    pub position: u32,
    /// Fetched from the start to the end, rather than rare parts first.
    pub sequential: bool,
    /// Only its trackers may tell who has it (BEP 27).
    pub private: bool,
    /// Bytes per second to peers at most; absent: only the daemon's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<u64>,
    /// Bytes per second from peers at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// It pauses when it is complete and this ratio is reached; absent: the setting `seed.ratio`; 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_goal: Option<f64>,
    /// It pauses when it was served complete for so many seconds; absent: the setting `seed.time`; 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeding_goal: Option<u64>,
    /// It is removed then (its files stay).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// It resumes by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<u64>,
}

/// A transfer with what only one at a time is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransferDetail {
    /// What lists show.
    #[serde(flatten)]
    pub transfer: Transfer,
    /// The link to give to others.
    pub link: String,
    /// Pieces; 0 while unknown.
    pub pieces: u32,
    /// Bytes of a piece; 0 while unknown.
    pub piece_length: u32,
    /// Trackers, and what they said last.
    pub trackers: Vec<Tracker>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Comment of the torrent's maker. From strangers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Bytes received and thrown away in this run.
    pub wasted: u64,
    /// Pieces that failed their hash in this run.
    pub hash_failures: u32,
    /// How the peer is connected with which most is exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub road: Option<Road>,
}

/// A tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tracker {
    /// Its URL.
    pub url: String,
    /// Trackers of one tier stand for each other (BEP 12).
    pub tier: u32,
    /// Peers in its last answer; absent: it has not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<u32>,
    /// What went wrong the last time. From strangers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A page of transfers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransferList {
    /// The transfers of this page.
    pub transfers: Vec<Transfer>,
    /// How many there are on all pages.
    pub total: u32,
    /// To be sent as `cursor` for the next page; absent: this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A download to add: what `link` or `torrent` names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Add {
    /// A magnet link, an infohash, or the URL of a `.torrent` file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 65536))]
    pub link: Option<String>,
    /// The bytes of a `.torrent` file, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(content_encoding = "base64"))]
    pub torrent: Option<String>,
    /// Folder to put it into, absolute; the daemon's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The content is there already: served from `folder` in place, and never written.
    #[serde(default)]
    pub seed_only: bool,
    /// Add it paused.
    #[serde(default)]
    pub paused: bool,
    /// Category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub category: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub tags: Vec<String>,
    /// Only files whose path matches one of these patterns, such as `*.flac`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub select: Vec<String>,
    /// From the start to the end.
    #[serde(default)]
    pub sequential: bool,
    /// Peers to connect to: `HOST:PORT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub peers: Vec<String>,
    /// Trackers besides those that the link names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub trackers: Vec<String>,
    /// See [`Transfer::upload_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<u64>,
    /// See [`Transfer::download_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// See [`Transfer::ratio_goal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_goal: Option<f64>,
    /// See [`Transfer::seeding_goal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeding_goal: Option<u64>,
    /// See [`Transfer::expires_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Files to share, in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewShare {
    /// What to share, absolute. Several paths become one folder in the torrent.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 10000))]
    pub paths: Vec<String>,
    /// Name in the link, instead of the file's or folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Trackers to announce to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub trackers: Vec<String>,
    /// Category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub category: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub tags: Vec<String>,
    /// It is removed then (its files stay).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Changes to a transfer: what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Category; empty takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub category: Option<String>,
    /// Tags, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub tags: Option<Vec<String>>,
    /// Place in the queue, from 0; the others move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// From the start to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequential: Option<bool>,
    /// Bytes per second to peers; 0 takes the limit away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<u64>,
    /// Bytes per second from peers; 0 takes the limit away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// See [`Transfer::ratio_goal`]; below 0: the setting's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_goal: Option<f64>,
    /// See [`Transfer::seeding_goal`]; below 0: the setting's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeding_goal: Option<i64>,
    /// See [`Transfer::expires_at`]; 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// More trackers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub add_trackers: Option<Vec<String>>,
    /// More peers, `ADDR:PORT`; for this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub add_peers: Option<Vec<String>>,
}

/// How long to pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Seconds after which it resumes by itself; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The new folder, absolute; made where it is missing.
    pub folder: String,
}

/// A file of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct File {
    /// Its number within the torrent; files that only pad are left out, so numbers may be missing.
    pub index: u32,
    /// Its path below the transfer's. From strangers.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that are here and verified.
    pub done: u64,
    /// How much it is wanted.
    pub priority: FilePriority,
}

/// The files of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileList {
    /// In the torrent's order.
    pub files: Vec<File>,
    /// To be sent as `cursor` for the next page; absent: this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Another priority for one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FilePatch {
    /// Which one.
    pub index: u32,
    /// How much it is wanted from now on.
    pub priority: FilePriority,
}

/// Another choice of files; those left out stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FilesPatch {
    /// The files.
    #[cfg_attr(feature = "openapi", schema(max_items = 100000))]
    pub files: Vec<FilePatch>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Peer {
    /// Its address, or the beginning of its key.
    pub addr: String,
    /// Its client's name, as it says. From strangers.
    pub client: String,
    /// Who it has proved to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub road: Option<Road>,
    /// It connected to us.
    pub incoming: bool,
    /// Pieces that it says it has.
    pub pieces: u32,
    /// Bytes per second from it.
    pub down_rate: u64,
    /// Bytes per second to it.
    pub up_rate: u64,
    /// Bytes of content from it.
    pub downloaded: u64,
    /// Bytes of content to it.
    pub uploaded: u64,
    /// It does not serve us now.
    pub chokes_us: bool,
    /// We do not serve it now.
    pub choked: bool,
    /// It has something that we want.
    pub interesting: bool,
    /// It wants something that we have.
    pub interested: bool,
    /// It does not answer.
    pub snubbed: bool,
}

/// The peers of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerList {
    /// Connected ones.
    pub peers: Vec<Peer>,
}

/// Which pieces are here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pieces {
    /// How many there are; 0 while unknown.
    pub pieces: u32,
    /// Bytes of each but the last.
    pub piece_length: u32,
    /// How many are here.
    pub have: u32,
    /// A bit for each, the first one highest, in base64 (as BEP 3's bitfield).
    pub bitfield: String,
}
