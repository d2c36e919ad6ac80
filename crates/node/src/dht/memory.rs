//! The routing table between runs: one file, which one process at a time writes.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use crate::lock;

/// The file in the state folder, and that whose lock says who writes it.
const FILE: &str = "dht.nodes";
const LOCK: &str = "dht.lock";

/// Bytes read at most: twice what 512 nodes take.
const BYTES_MAX: u64 = 64 * 1024;

/// What is remembered, and the right to change it.
pub(super) struct Memory {
    dir: PathBuf,
    /// Held while the process lives. Without it another run is at work: the file is its own.
    lock: Option<File>,
}

impl Memory {
    /// Opens the memory in `dir`. A folder that cannot be used costs the memory, and nothing else.
    pub(super) fn open(dir: PathBuf) -> Self {
        let lock = lock::take(&dir, LOCK)
            .inspect_err(|error| tracing::debug!(%error, "DHT nodes are not saved"))
            .ok();
        Self { dir, lock }
    }

    /// Whether what is remembered is this run's own: its identifier, and the right to save.
    pub(super) fn is_ours(&self) -> bool {
        self.lock.is_some()
    }

    /// What was saved last, if anything.
    pub(super) fn load(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read =
            File::open(self.dir.join(FILE)).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, "the DHT nodes of the last run cannot be read");
                None
            }
        }
    }

    /// Saves, whole or not at all; does nothing in a run that has no right to.
    pub(super) fn save(&self, bytes: &[u8]) {
        if self.lock.is_none() {
            return;
        }
        let draft = self.dir.join(format!("{FILE}.new"));
        let written = File::create(&draft)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, self.dir.join(FILE)));
        if let Err(error) = written {
            tracing::warn!(%error, "the DHT nodes cannot be saved");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_runs_one_writes_and_both_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = Memory::open(state.clone());
        assert_eq!((first.is_ours(), first.load()), (true, None));
        first.save(b"one");
        let second = Memory::open(state.clone());
        assert!(!second.is_ours());
        second.save(b"two");
        assert_eq!(second.load().as_deref(), Some(&b"one"[..]));
        drop(first);
        let third = Memory::open(state.clone());
        third.save(b"three");
        assert_eq!(second.load().as_deref(), Some(&b"three"[..]));
        let names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "no draft stays: {names:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_used_costs_the_memory_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let memory = Memory::open(dir.path().join("file"));
        memory.save(b"x");
        assert_eq!((memory.is_ours(), memory.load()), (false, None));
    }
}
