//! What the daemon tells while it runs: `GET /api/v1/events`.

use serde::{Deserialize, Serialize};

use super::{Job, TransferState};

/// One event. Server-sent events carry its number as `id`, the kind as `event`, and all of it as `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notice {
    /// Names it among the events of all runs; opaque. Sent back as `Last-Event-ID`, what came after it follows.
    pub id: String,
    /// When.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// What happened. The field `type` names the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Change {
    /// Events are missing between the one that was named and the next: read everything anew.
    Reset,
    /// A transfer was added.
    TransferAdded {
        /// Which one.
        transfer: String,
        /// Its name.
        name: String,
    },
    /// A transfer is in another state.
    TransferState {
        /// Which one.
        transfer: String,
        /// Its name.
        name: String,
        /// The state now.
        state: TransferState,
        /// Why, where that needs to be said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// All that was asked for has arrived, verified.
    TransferComplete {
        /// Which one.
        transfer: String,
        /// Its name.
        name: String,
        /// The file or folder.
        path: String,
    },
    /// A file has arrived whole and carries its own name.
    FileComplete {
        /// Which transfer.
        transfer: String,
        /// Its path.
        path: String,
    },
    /// A transfer was removed.
    TransferRemoved {
        /// Which one.
        transfer: String,
    },
    /// A job went on or ended.
    Job {
        /// How it is now.
        job: Job,
    },
    /// A peer sent bad data, or broke the rules, and is not talked to any more.
    PeerBanned {
        /// Its address.
        addr: String,
        /// Why.
        reason: String,
    },
    /// A tracker failed.
    TrackerFailed {
        /// Which transfer.
        transfer: String,
        /// Its URL.
        url: String,
        /// What went wrong.
        error: String,
    },
    /// The router leads a port to this machine.
    PortMapped {
        /// The router's address and port, as seen from outside.
        external: String,
        /// How it was asked.
        method: String,
    },
    /// Something that the user should know.
    Warning {
        /// One plain sentence.
        message: String,
        /// About which transfer, where it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<String>,
    },
}

impl Change {
    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::TransferAdded { .. } => "transfer_added",
            Self::TransferState { .. } => "transfer_state",
            Self::TransferComplete { .. } => "transfer_complete",
            Self::FileComplete { .. } => "file_complete",
            Self::TransferRemoved { .. } => "transfer_removed",
            Self::Job { .. } => "job",
            Self::PeerBanned { .. } => "peer_banned",
            Self::TrackerFailed { .. } => "tracker_failed",
            Self::PortMapped { .. } => "port_mapped",
            Self::Warning { .. } => "warning",
        }
    }
}
