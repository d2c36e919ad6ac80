//! Settings.

use std::{path::PathBuf, time::Duration};

/// Which thread writes, and which one hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Each piece belongs to one worker, which writes and hashes it, block run by block run.
    Affinity,
    /// The caller of [`TorrentStore::try_write`](crate::TorrentStore::try_write) writes before that
    /// call returns; workers hash. The fewest wakes, but a slow disk holds the caller.
    Inline,
}

/// Settings of a [`Store`](crate::Store).
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Threads that hash (and, by [`Arrangement::Affinity`], write). 1 to 64.
    pub workers: usize,
    /// Which thread writes.
    pub arrangement: Arrangement,
    /// Bytes handed over and not yet done, over all torrents; beyond it `try_write` refuses.
    /// Held in memory: 16 MiB keeps two workers busy on pieces of 4 MiB.
    pub queue_bytes_max: u64,
    /// Where resume databases are kept; `None` keeps no resume state.
    pub state_dir: Option<PathBuf>,
    /// Open data files at once; `None` takes a quarter of the process's limit, 16 to 1,024.
    pub files_open_max: Option<usize>,
    /// How often resume state is committed while pieces come in.
    pub checkpoint_interval: Duration,
    /// How long a changed file must rest before it is hashed again.
    pub settle: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            workers: cores.clamp(1, 8),
            arrangement: Arrangement::Affinity,
            queue_bytes_max: 16 * 1024 * 1024,
            state_dir: None,
            files_open_max: None,
            checkpoint_interval: Duration::from_secs(5),
            settle: Duration::from_secs(2),
        }
    }
}
