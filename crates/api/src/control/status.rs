//! How the daemon is doing.

use serde::{Deserialize, Serialize};

use super::Transfer;
use crate::Failure;

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// What runs.
    pub build: Build,
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub started_at: u64,
    /// Our key, as links name it; absent: `network.tls` is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Addresses that accept connections of peers.
    pub listen: Vec<String>,
    /// Addresses at which others can dial us, as far as we know.
    pub reachable: Vec<String>,
    /// The router's address and port that lead here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<String>,
    /// Transfers, by state.
    pub transfers: Counts,
    /// Bytes per second now.
    pub rates: Rates,
    /// Bytes since the first start.
    pub totals: Totals,
    /// Open connections to peers.
    pub peers: u32,
    /// Connections being opened.
    pub half_open: u32,
    /// Part in the DHT; absent: it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dht: Option<DhtHealth>,
    /// Where downloads go unless they say otherwise.
    pub folder: String,
    /// Bytes free there.
    pub free_bytes: u64,
    /// Everything is paused until then; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<u64>,
    /// Everything is paused.
    pub paused: bool,
    /// The alternative limits are in force.
    pub alternative_limits: bool,
    /// What the user should know now.
    pub warnings: Vec<String>,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Build {
    /// Version of the program.
    pub version: String,
    /// Version of the API.
    pub api: String,
}

/// Transfers, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// All.
    pub all: u32,
    /// What is on the disk is being checked.
    pub checking: u32,
    /// The description is being fetched.
    pub metadata: u32,
    /// Content is being fetched.
    pub downloading: u32,
    /// Complete, and served.
    pub seeding: u32,
    /// Waiting for their turn.
    pub queued: u32,
    /// Paused.
    pub paused: u32,
    /// Stopped by a failure.
    pub error: u32,
}

/// Bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rates {
    /// From peers.
    pub down: u64,
    /// To peers.
    pub up: u64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// Of content, from peers.
    pub downloaded: u64,
    /// Of content, to peers.
    pub uploaded: u64,
}

/// Part in the DHT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DhtHealth {
    /// Our identifier in the network of IPv4.
    pub node_id: String,
    /// Nodes in the table, IPv4 and IPv6.
    pub nodes: u32,
    /// About how many nodes the network has, once that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_about: Option<u64>,
    /// Torrents of which peers are kept for others.
    pub torrents: u32,
    /// Items that are kept for others.
    pub items: u32,
}

/// `GET /api/v1/limits`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Each limit, its value and how much of it is used.
    pub limits: Vec<LimitUse>,
    /// Which set is in force: `normal` or `alternative`.
    pub in_force: String,
}

/// A limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitUse {
    /// The setting that makes it.
    pub key: String,
    /// What it bounds.
    pub help: String,
    /// `bytes_per_second`, `bytes`, `connections`, `transfers` or `ratio`.
    pub unit: String,
    /// Its value; absent: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What is used of it now.
    pub used: u64,
    /// Where the value comes from.
    pub origin: String,
}

/// `PATCH /api/v1/limits`: what is left out stays; 0 takes a limit away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitsPatch {
    /// Bytes per second to peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<u64>,
    /// Bytes per second from peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<u64>,
    /// Downloads at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// Whether the alternative limits are in force, until told otherwise or the schedule changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternative: Option<bool>,
}

/// One setting in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// `GET /api/v1/config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingList {
    /// Every setting.
    pub settings: Vec<Setting>,
}

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// When.
    pub at: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Which part says so.
    pub target: String,
    /// What.
    pub message: String,
}

/// `GET /api/v1/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogList {
    /// The last lines, oldest first.
    pub lines: Vec<LogLine>,
}

/// `GET /healthz`, `/livez`, `/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`, or `failing` with status 503.
    pub status: String,
}

/// `GET /api/v1/sync?rid=…`: what has changed since the answer that carried `rid`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncReply {
    /// To be sent with the next request; opaque.
    pub rid: String,
    /// Everything is in here: forget what you had.
    pub full: bool,
    /// Transfers that are new or have changed, whole.
    pub transfers: Vec<Transfer>,
    /// Transfers that are gone.
    pub removed: Vec<String>,
    /// The status.
    pub status: Status,
}

/// Work that takes its time: hashing for a share, for example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Names it; forgotten some time after its end, and when the daemon ends.
    pub id: String,
    /// How it is.
    pub state: JobState,
    /// Bytes done.
    pub done: u64,
    /// Bytes to do; 0 while unknown.
    pub total: u64,
    /// The transfer that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// How a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Failed or cancelled.
    Failed,
}
