//! Content on disk, in place: positioned writes, hashing while the data is hot, resume state.
//!
//! **What it is.** [`Store`] owns a small fixed pool of threads, a bounded cache of descriptors and
//! the resume databases. [`Store::add`] gives a [`TorrentStore`], a cheap handle that drivers clone.
//! No async runtime: jobs are handed over with calls that never wait, results come back in batches
//! through one callback, the [`ReportSink`].
//!
//! **Invariants.**
//! - A piece is reported good only after every one of its bytes was hashed: as it was written, or
//!   read back from the file. Nothing is reported after a failed write of the same piece but
//!   [`Report::Failed`].
//! - No path of a torrent leaves the target folder, symlinks or not; content that a user seeds is
//!   never written to.
//! - A file that another program changed is not read for peers until it was hashed again.
//! - Every queue is bounded: by bytes for writes, by the pieces in flight for all else.
//!
//! **Where to start.** [`store`] (the handles), [`report`], then `worker` (the hot path), `hasher`
//! (what is kept per piece), `place` (paths and descriptors), `check`, [`resume`], [`create`].

mod check;
pub mod config;
pub mod create;
pub mod error;
mod hasher;
mod keeper;
mod place;
mod queue;
pub mod read;
pub mod report;
pub mod resume;
mod shared;
pub mod store;
mod torrent;
mod worker;

pub use config::{Arrangement, StoreConfig};
pub use create::{HashProgress, HashRequest, Hashed, hash_paths};
pub use error::{AddError, HashError, ReadError, StoreError, WriteRefused};
pub use place::{FileIdentity, PartNames};
pub use read::BlockRange;
pub use report::{CheckOutcome, PieceSet, Report, ReportSink};
pub use store::{AddTorrent, CheckMode, Mode, Place, Store, TorrentStore, WriteJob};
