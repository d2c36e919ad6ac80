//! What the threads of a store have in common.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    config::StoreConfig,
    place::{Descriptors, FileIdentity},
    queue::Queue,
    report::ReportSink,
    torrent::Torrent,
};

/// Everything but the torrents' own parts.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) sink: ReportSink,
    pub(crate) queue: Queue,
    pub(crate) descriptors: Arc<Descriptors>,
    pub(crate) torrents: Mutex<HashMap<u32, Arc<Torrent>>>,
    pub(crate) next_slot: AtomicU32,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) closing: AtomicBool,
    pub(crate) lost: Mutex<Vec<LostFile>>,
    /// Wakes the keeper.
    pub(crate) keeper: (Mutex<bool>, Condvar),
}

/// A file that another program changed.
pub(crate) struct LostFile {
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) file: usize,
    /// When to look at it.
    pub(crate) due: Instant,
    /// What it was at the last look.
    pub(crate) seen: Option<FileIdentity>,
    /// Until the look after the next.
    pub(crate) wait: Duration,
    /// What it was when it was hashed last, once it was; within: `None` if it was gone.
    pub(crate) judged: Option<Option<FileIdentity>>,
}

impl Shared {
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The torrents there are.
    pub(crate) fn all(&self) -> Vec<Arc<Torrent>> {
        let torrents = self.torrents.lock().unwrap_or_else(PoisonError::into_inner);
        torrents.values().cloned().collect()
    }

    /// Sleeps until woken, or for so long.
    pub(crate) fn keeper_sleep(&self, time: Duration) {
        let woken = self.keeper.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.keeper.1.wait_timeout_while(woken, time, |woken| !*woken);
        *wait.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    /// Another program changed a file: it is to be hashed again.
    pub(crate) fn file_lost(&self, torrent: &Arc<Torrent>, file: usize) {
        let due = Instant::now();
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match lost.iter_mut().find(|lost| lost.torrent.slot == torrent.slot && lost.file == file) {
            Some(lost) => lost.due = due,
            None => {
                let (torrent, wait) = (Arc::clone(torrent), self.config.settle);
                lost.push(LostFile { torrent, file, due, seen: None, wait, judged: None });
            }
        }
        drop(lost);
        self.wake_keeper();
    }

    pub(crate) fn put_lost(&self, lost: LostFile) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
    }

    /// A lost file that is due.
    pub(crate) fn take_lost(&self, now: Instant) -> Option<LostFile> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let index = lost.iter().position(|lost| lost.due <= now)?;
        Some(lost.swap_remove(index))
    }

    /// Lets go of a torrent's lost files.
    pub(crate) fn forget_lost(&self, slot: u32) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).retain(|lost| lost.torrent.slot != slot);
    }

    /// When the next one is due.
    pub(crate) fn next_lost(&self) -> Option<Instant> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|lost| lost.due).min()
    }

    /// Makes the keeper look around now.
    pub(crate) fn wake_keeper(&self) {
        *self.keeper.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.keeper.1.notify_all();
    }
}
