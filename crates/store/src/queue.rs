//! The jobs of pieces, in order per piece, bounded by bytes over all.
//!
//! Invariant: a piece is in at most one thread's hands, together with its hash state; its jobs run
//! in the order they were given. Different pieces run at the same time.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{hasher::PieceState, torrent::Torrent};

/// Bytes of jobs a thread takes of one piece at a time, so that other pieces get their turn.
const TURN_BYTES: u64 = 4 * 1024 * 1024;

/// One job of a piece.
pub(crate) enum Task {
    /// Put bytes in the file (unless that was `written` already), then hash them.
    Write { begin: u32, len: u32, data: Vec<Bytes>, written: bool },
    /// Judge the piece.
    Verify { digests: bool },
}

/// A piece: the torrent's place in the store, and the piece's index.
type Key = (u32, u32);

struct Slot {
    torrent: Arc<Torrent>,
    tasks: VecDeque<Task>,
    state: Option<PieceState>,
    /// In a thread's hands, or in line.
    scheduled: bool,
}

#[derive(Default)]
struct Pieces {
    slots: HashMap<Key, Slot>,
    line: VecDeque<Key>,
    sleeping: usize,
    closing: bool,
}

/// A piece in a thread's hands.
pub(crate) struct Turn {
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) piece: u32,
    pub(crate) tasks: VecDeque<Task>,
    pub(crate) state: Option<PieceState>,
    bytes: u64,
}

/// The jobs of all pieces.
pub(crate) struct Queue {
    pieces: Mutex<Pieces>,
    wake: Condvar,
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Queue {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            pieces: Mutex::default(),
            wake: Condvar::new(),
            bytes: AtomicU64::new(0),
            bytes_max: bytes_max.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes waiting or being worked on.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether `more` bytes fit; a job larger than the whole queue fits an empty one.
    pub(crate) fn reserve(&self, more: u64) -> bool {
        self.bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
                (bytes == 0 || bytes + more <= self.bytes_max).then_some(bytes + more)
            })
            .is_ok()
    }

    /// Gives back what [`reserve`](Self::reserve) took.
    pub(crate) fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Adds a job, for whose bytes there is a reservation; gives it back when the torrent is closed.
    pub(crate) fn push(&self, torrent: &Arc<Torrent>, piece: u32, task: Task) -> Result<(), Task> {
        if !torrent.begin_job() {
            return Err(task);
        }
        let mut pieces = self.lock();
        let key = (torrent.slot, piece);
        let slot = pieces.slots.entry(key).or_insert_with(|| Slot {
            torrent: Arc::clone(torrent),
            tasks: VecDeque::new(),
            state: None,
            scheduled: false,
        });
        slot.tasks.push_back(task);
        if !std::mem::replace(&mut slot.scheduled, true) {
            pieces.line.push_back(key);
            let wake = pieces.sleeping > 0;
            drop(pieces);
            if wake {
                self.wake.notify_one();
            }
        }
        Ok(())
    }

    /// The next piece to work on; `None` at the end, or when nothing waits and `wait` is false.
    pub(crate) fn take(&self, wait: bool) -> Option<Turn> {
        let mut pieces = self.lock();
        loop {
            if let Some(turn) = Self::next(&mut pieces) {
                return Some(turn);
            }
            if !wait || pieces.closing {
                return None;
            }
            pieces.sleeping += 1;
            pieces = self.wake.wait(pieces).unwrap_or_else(PoisonError::into_inner);
            pieces.sleeping -= 1;
        }
    }

    fn next(pieces: &mut Pieces) -> Option<Turn> {
        let key = pieces.line.pop_front()?;
        let slot = pieces.slots.get_mut(&key)?;
        let (mut tasks, mut bytes) = (VecDeque::new(), 0);
        while let Some(task) = slot.tasks.pop_front() {
            if let Task::Write { len, .. } = task {
                bytes += u64::from(len);
            }
            tasks.push_back(task);
            if bytes >= TURN_BYTES {
                break;
            }
        }
        let (torrent, state) = (Arc::clone(&slot.torrent), slot.state.take());
        Some(Turn { torrent, piece: key.1, tasks, state, bytes })
    }

    /// Ends a turn of `jobs` jobs: keeps the hash state; back in line if more came meanwhile.
    pub(crate) fn give_back(&self, turn: Turn, jobs: u64) {
        self.release(turn.bytes);
        let mut pieces = self.lock();
        let key = (turn.torrent.slot, turn.piece);
        let mut again = false;
        if let Some(slot) = pieces.slots.get_mut(&key) {
            slot.state = turn.state;
            again = !slot.tasks.is_empty();
            slot.scheduled = again;
            if !again && slot.state.is_none() {
                pieces.slots.remove(&key);
            }
        }
        if again {
            pieces.line.push_back(key);
        }
        let wake = again && pieces.sleeping > 0;
        drop(pieces);
        if wake {
            self.wake.notify_one();
        }
        turn.torrent.end_jobs(jobs);
    }

    /// Drops the hash states of a torrent that has no jobs left.
    pub(crate) fn forget_torrent(&self, slot: u32) {
        self.lock().slots.retain(|key, _| key.0 != slot);
    }

    /// Lets the threads end once nothing waits.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_all();
    }
}
