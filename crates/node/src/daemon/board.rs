//! What the control API reads without asking the driver's thread: all transfers as they were told last, the
//! status, and the events.
//!
//! Each change of a transfer gets the next number, so that a reader who knows a number gets what came after it.
//! What was removed is remembered for the last [`REMOVED_MAX`]; the last [`EVENTS_MAX`] events are kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_api::control::{Change, Notice, Status, SyncReply, Transfer};
use tokio::sync::watch;

/// Removed transfers that are remembered.
const REMOVED_MAX: usize = 4096;
/// Events that can be asked for again.
const EVENTS_MAX: usize = 2048;

/// Shared by the daemon, which writes, and the control API.
pub(crate) struct Board {
    /// Tells runs apart: numbers begin anew in each.
    run: String,
    inner: Mutex<Inner>,
    /// The number of the last event.
    events: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    transfers: BTreeMap<String, (u64, Arc<Transfer>)>,
    removed: VecDeque<(u64, String)>,
    status: Arc<Status>,
    events: VecDeque<(u64, Arc<Notice>)>,
}

impl Board {
    pub fn new(run: String) -> Self {
        Self { run, inner: Mutex::default(), events: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a transfer as it is now; what it was before, if it was there.
    pub fn show(&self, transfer: Transfer) -> Option<Arc<Transfer>> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let before = inner.transfers.get(&transfer.id).map(|(_, shown)| Arc::clone(shown));
        if before.as_deref() != Some(&transfer) {
            inner.version += 1;
            inner.transfers.insert(transfer.id.clone(), (inner.version, Arc::new(transfer)));
        }
        before
    }

    /// Shows a transfer no more.
    pub fn remove(&self, id: &str) {
        let mut inner = self.lock();
        if inner.transfers.remove(id).is_some() {
            inner.version += 1;
            let version = inner.version;
            inner.removed.push_back((version, id.to_owned()));
            if inner.removed.len() > REMOVED_MAX {
                inner.removed.pop_front();
            }
        }
    }

    pub fn set_status(&self, status: Status) {
        self.lock().status = Arc::new(status);
    }

    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.lock().status)
    }

    /// All transfers, by id.
    pub fn transfers(&self) -> Vec<Arc<Transfer>> {
        self.lock().transfers.values().map(|(_, shown)| Arc::clone(shown)).collect()
    }

    /// What has changed since the answer that carried `rid`; everything where that is not known.
    pub fn sync(&self, rid: Option<&str>) -> SyncReply {
        let inner = self.lock();
        let since = rid.and_then(|rid| self.number(rid)).filter(|since| {
            // What was forgotten may have been removed after it.
            let forgotten = inner.removed.len() == REMOVED_MAX;
            *since <= inner.version
                && !(forgotten && inner.removed.front().is_some_and(|(first, _)| since < first))
        });
        let changed =
            inner.transfers.values().filter(|(version, _)| since.is_none_or(|since| *version > since));
        let removed = inner.removed.iter().filter(|(version, id)| {
            since.is_some_and(|since| *version > since) && !inner.transfers.contains_key(id)
        });
        SyncReply {
            rid: format!("{}-{}", self.run, inner.version),
            full: since.is_none(),
            transfers: changed.map(|(_, shown)| Transfer::clone(shown)).collect(),
            removed: removed.map(|(_, id)| id.clone()).collect(),
            status: Status::clone(&inner.status),
        }
    }

    fn number(&self, text: &str) -> Option<u64> {
        text.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok()
    }

    /// Tells an event.
    pub fn tell(&self, at: u64, change: Change) {
        let mut inner = self.lock();
        let number = inner.events.back().map_or(1, |(number, _)| number + 1);
        let notice = Notice { id: format!("{}-{number}", self.run), at, change };
        inner.events.push_back((number, Arc::new(notice)));
        if inner.events.len() > EVENTS_MAX {
            inner.events.pop_front();
        }
        drop(inner);
        self.events.send_replace(number);
    }

    /// Begins to listen: after the event named `last`, or from now on. `true`: events are missing in between.
    pub fn listen(&self, last: Option<&str>) -> (Listener, bool) {
        let inner = self.lock();
        let newest = inner.events.back().map_or(0, |(number, _)| *number);
        let oldest = inner.events.front().map_or(1, |(number, _)| *number);
        let known = last.map(|last| self.number(last).filter(|n| *n <= newest && n + 1 >= oldest));
        let (after, missed) = match known {
            Some(Some(number)) => (number, false),
            Some(None) => (newest, true),
            None => (newest, false),
        };
        (Listener { after, events: self.events.subscribe() }, missed)
    }
}

/// Somebody who follows the events.
pub(crate) struct Listener {
    after: u64,
    events: watch::Receiver<u64>,
}

impl Listener {
    /// The next events, at most `max`; waits for one. The flag: events were missed, since this one was too slow.
    /// `None`: the daemon ends.
    pub async fn next(&mut self, board: &Board, max: usize) -> Option<(Vec<Arc<Notice>>, bool)> {
        loop {
            self.events.borrow_and_update();
            {
                let inner = board.lock();
                let oldest = inner.events.front().map_or(0, |(number, _)| *number);
                let missed = oldest > self.after + 1;
                let next = inner.events.iter().filter(|(number, _)| *number > self.after).take(max);
                let found: Vec<(u64, Arc<Notice>)> = next.cloned().collect();
                if let Some((last, _)) = found.last() {
                    self.after = *last;
                    return Some((found.into_iter().map(|(_, notice)| notice).collect(), missed));
                }
            }
            self.events.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, done: u64) -> Transfer {
        Transfer { id: id.to_owned(), done, ..Transfer::default() }
    }

    #[test]
    fn a_reader_gets_what_has_changed_since() {
        let board = Board::new("r".to_owned());
        board.show(named("a", 0));
        board.show(named("b", 0));
        let first = board.sync(None);
        assert!(first.full && first.transfers.len() == 2);
        let quiet = board.sync(Some(&first.rid));
        assert!(!quiet.full && quiet.transfers.is_empty() && quiet.rid == first.rid);
        board.show(named("a", 0));
        assert_eq!(board.sync(Some(&first.rid)).rid, first.rid, "nothing has changed");
        board.show(named("a", 1));
        board.remove("b");
        let next = board.sync(Some(&first.rid));
        assert_eq!((next.transfers.len(), next.removed.as_slice()), (1, ["b".to_owned()].as_slice()));
        assert!(board.sync(Some("q-1")).full && board.sync(Some("r-999")).full && board.sync(Some("")).full);
    }

    #[test]
    fn what_is_forgotten_is_told_whole() {
        let board = Board::new("r".to_owned());
        let first = board.sync(None);
        for n in 0..=REMOVED_MAX {
            board.show(named(&n.to_string(), 0));
            board.remove(&n.to_string());
        }
        assert!(board.sync(Some(&first.rid)).full);
    }

    #[tokio::test]
    async fn events_can_be_taken_up_again() {
        let board = Board::new("r".to_owned());
        let tell = |n: u64| board.tell(n, Change::TransferRemoved { transfer: n.to_string() });
        let (mut listener, missed) = board.listen(None);
        tell(1);
        tell(2);
        let (events, late) = listener.next(&board, 10).await.unwrap();
        assert!(events.len() == 2 && !missed && !late);
        let (mut again, missed) = board.listen(Some(&events[0].id));
        assert!(!missed && again.next(&board, 10).await.unwrap().0[0].id == events[1].id);
        assert!(board.listen(Some("x-1")).1, "another run's");
        for n in 0..EVENTS_MAX as u64 + 5 {
            tell(n);
        }
        assert!(board.listen(Some(&events[0].id)).1);
        assert!(listener.next(&board, 1).await.unwrap().1, "it was too slow");
    }
}
