//! The control API: what the daemon answers under `/api/v1`, and what it is asked.
//!
//! **Invariants.** Times are seconds since 1970 (UTC), sizes are bytes, rates are bytes per second. A field may be
//! added within `v1`, never removed or given another meaning: whoever reads must ignore what it does not know.
//!
//! **Where to start.** [`Transfer`]; `docs/api.md` for people.

mod access;
mod event;
mod problem;
mod status;
mod transfer;

pub use access::{
    LoginLink, NewToken, Scope, Session, SessionRequest, Token, TokenCreated, TokenList, UnknownScope,
};
pub use event::{Change, Notice};
pub use problem::Problem;
pub use status::{
    Build, Counts, DhtHealth, Health, Job, JobState, LimitUse, Limits, LimitsPatch, LogLine, LogList, Rates,
    Setting, SettingList, Status, SyncReply, Totals,
};
pub use transfer::{
    Add, File, FileList, FilePatch, FilePriority, FilesPatch, Move, NewShare, Patch, Pause, Peer, PeerList,
    Pieces, Tracker, Transfer, TransferDetail, TransferKind, TransferList, TransferState,
};

/// Where the API begins.
pub const PREFIX: &str = "/api/v1";

/// Version of the API, sent as `X-Api-Version`.
pub const API_VERSION: &str = "1";
