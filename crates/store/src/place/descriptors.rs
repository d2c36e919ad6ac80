//! A bounded set of open files, shared by all torrents of a store.

use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// A file of a torrent: the torrent's place in the store, and the file's index.
pub(crate) type Key = (u32, u32);

struct Entry {
    file: Arc<File>,
    writable: bool,
    used: u64,
}

#[derive(Default)]
struct Entries {
    map: HashMap<Key, Entry>,
    tick: u64,
}

/// Open files, the least recently used one closed first. A file that is in use when it leaves the
/// cache is closed when its last user lets go; users hold at most one batch's worth.
pub(crate) struct Descriptors {
    entries: Mutex<Entries>,
    max: usize,
}

impl Descriptors {
    /// At most `max` files; `None`: a quarter of what the process may open.
    pub(crate) fn new(max: Option<usize>) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let quarter = limit.map_or(1_024, |limit| usize::try_from(limit / 4).unwrap_or(1_024));
        let max = max.unwrap_or_else(|| quarter.clamp(16, 1_024)).max(1);
        Self { entries: Mutex::new(Entries::default()), max }
    }

    /// The open file under `key`, opening it with `open` where it is not, or not for writing.
    pub(crate) fn get(
        &self,
        key: Key,
        write: bool,
        open: impl Fn() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.tick += 1;
            let tick = entries.tick;
            if let Some(entry) = entries.map.get_mut(&key)
                && (entry.writable || !write)
            {
                entry.used = tick;
                return Ok(Arc::clone(&entry.file));
            }
        }
        // Opened without the lock: it may take long on a network file system. Two threads may open
        // the same file; the second entry replaces the first.
        let file = Arc::new(match open() {
            // The process has none left: give back some of ours, which are only kept for speed.
            Err(error) if out_of_descriptors(&error) => {
                self.shrink();
                open()?
            }
            other => other?,
        });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.map.len() >= self.max
            && !entries.map.contains_key(&key)
            && let Some(oldest) = entries.map.iter().min_by_key(|(_, entry)| entry.used)
        {
            let oldest = *oldest.0;
            entries.map.remove(&oldest);
        }
        let used = entries.tick;
        entries.map.insert(key, Entry { file: Arc::clone(&file), writable: write, used });
        Ok(file)
    }

    /// Whether [`get`](Self::get) would find the file open.
    pub(crate) fn has(&self, key: Key, write: bool) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.map.get(&key).is_some_and(|entry| entry.writable || !write)
    }

    /// Closes one file.
    pub(crate) fn forget(&self, key: Key) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).map.remove(&key);
    }

    /// Closes all files of one torrent.
    pub(crate) fn forget_torrent(&self, torrent: u32) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.map.retain(|key, _| key.0 != torrent);
    }

    /// Closes half of the files.
    fn shrink(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ages: Vec<u64> = entries.map.values().map(|entry| entry.used).collect();
        ages.sort_unstable();
        if let Some(&middle) = ages.get(ages.len() / 2) {
            entries.map.retain(|_, entry| entry.used > middle);
        }
    }
}

/// Whether the process (or the machine) has no descriptor left.
fn out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}
