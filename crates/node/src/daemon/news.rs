//! What the driver tells, and what it means for a transfer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peerage_api::control::Change;
use peerage_api::error::{ExitCode, Failure};
use peerage_base::TorrentId;
use peerage_base::contact::shown;
use peerage_content::{Hashes, Info};
use peerage_store::Report;
use peerage_swarm::{Event as SwarmEvent, PauseReason};

use super::catalog::Table;
use super::running::bare;
use super::transfer::Stage;
use super::{Daemon, unix_now};
use crate::driver::News;
use crate::ops::{free_bytes, printable};

/// How often a download that waits for room on the disk looks again.
const ROOM_INTERVAL: Duration = Duration::from_secs(2);
/// Free bytes with which it goes on.
const ROOM_MIN: u64 = 4 * 1024 * 1024;

impl Daemon {
    pub(super) fn on_news(&mut self, news: News) {
        match news {
            News::Swarm(torrent, event) => self.on_swarm(torrent, event),
            News::Store(report) => self.on_report(report),
            News::Banned(addr, reason) => self.tell(Change::PeerBanned { addr: shown(addr), reason }),
            News::Tracker(torrent, url, result) => self.on_tracker(torrent, &url, result),
            News::PortMapped(external, method) => {
                self.status.mapped = Some(external.to_string());
                let (external, method) = (external.to_string(), method.to_owned());
                self.tell(Change::PortMapped { external, method });
            }
            News::Searched(..) | News::Connected(..) | News::Disconnected(..) | News::Trace(_) => {}
        }
    }

    fn on_swarm(&mut self, torrent: TorrentId, event: SwarmEvent) {
        let Some(id) = self.by_torrent.get(&torrent).cloned() else { return };
        match event {
            SwarmEvent::Metadata { info } => self.on_metadata(&id, &info),
            SwarmEvent::PieceLayer { root, layer } => self.driver.add_layer(torrent, root, &layer),
            SwarmEvent::Paused { reason: PauseReason::DiskFull } => {
                let at = self.driver.now() + ROOM_INTERVAL;
                let Some(run) = self.transfers.get_mut(&id).and_then(|transfer| transfer.run_mut()) else {
                    return;
                };
                let first = run.room_check.replace(at).is_none();
                self.dirty.insert(id.clone());
                if first {
                    self.warn_of(&id, "no room on the disk; free some, and it goes on by itself");
                }
            }
            SwarmEvent::PieceDone { piece } => self.on_piece(torrent, piece),
            SwarmEvent::Done => self.note_done(&id),
            SwarmEvent::FileDone { .. } | SwarmEvent::PieceFailed { .. } | SwarmEvent::Paused { .. } => {}
        }
    }

    /// The description came from peers.
    fn on_metadata(&mut self, id: &str, bytes: &[u8]) {
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        // It may be known from the catalogue and was being opened.
        if transfer.run().is_none_or(|run| run.stage != Stage::Metadata) {
            return;
        }
        let info = match Info::parse(bytes) {
            Ok(info) => Arc::new(info),
            Err(error) => {
                let message = format!("what the link names is not a good torrent: {error}");
                return self.fail(id, Failure::new(ExitCode::Integrity, "E_TORRENT", message));
            }
        };
        transfer.record.note_info(&info);
        self.catalog.put(Table::Descriptions, id, bare(bytes));
        self.changed(id);
        self.open_transfer(id, Some(Hashes::new(info)));
    }

    fn on_tracker(&mut self, torrent: TorrentId, url: &str, result: Result<usize, String>) {
        let Some(id) = self.by_torrent.get(&torrent).cloned() else { return };
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let Some(tracker) = transfer.trackers.iter_mut().find(|tracker| tracker.url == url) else { return };
        let before = tracker.error.take();
        match result {
            Ok(peers) => tracker.peers = Some(u32::try_from(peers).unwrap_or(u32::MAX)),
            Err(error) => {
                let error = printable(&error);
                tracker.error = Some(error.clone());
                if before.as_ref() != Some(&error) {
                    self.tell(Change::TrackerFailed { transfer: id, url: printable(url), error });
                }
            }
        }
    }

    fn on_report(&mut self, report: Report) {
        let (Report::Written { torrent, .. }
        | Report::Verified { torrent, .. }
        | Report::Failed { torrent, .. }
        | Report::FileDone { torrent, .. }
        | Report::FileBlocked { torrent, .. }
        | Report::Lost { torrent, .. }
        | Report::Rechecked { torrent, .. }
        | Report::CheckProgress { torrent, .. }
        | Report::Checked { torrent, .. }
        | Report::Warning { torrent, .. }) = &report;
        let torrent = *torrent;
        let Some(id) = self.by_torrent.get(&torrent).cloned() else { return };
        match report {
            Report::Checked { outcome, .. } => self.on_checked(torrent, &outcome),
            Report::CheckProgress { done, .. } => {
                if let Some(run) = self.transfers.get_mut(&id).and_then(|transfer| transfer.run_mut()) {
                    run.stage = Stage::Checking(done);
                    self.dirty.insert(id);
                }
            }
            Report::Failed { full: false, denied, error, .. } => {
                let failure = if denied {
                    Failure::new(ExitCode::Denied, "E_DENIED", error)
                } else {
                    Failure::new(ExitCode::Unclassified, "E_DISK", format!("the disk failed: {error}"))
                };
                self.fail(&id, failure.hint("mend it, then resume the transfer"));
            }
            Report::FileBlocked { error, taken, .. } => {
                let (exit, code) =
                    if taken { (ExitCode::Conflict, "E_EXISTS") } else { (ExitCode::Unclassified, "E_DISK") };
                self.fail(&id, Failure::new(exit, code, error).hint("mend that, then resume the transfer"));
            }
            Report::FileDone { file, .. } => self.on_file_done(&id, torrent, file),
            Report::Lost { file, .. } => {
                let known = self.changes_of(&id, |changes| changes.lose(file));
                self.warn_of_file(
                    &id,
                    torrent,
                    file,
                    "changed on the disk; it is not served until it was checked again",
                );
                self.go_around_changes(&id, torrent, known);
            }
            Report::Rechecked { file, good, pieces, .. } => {
                let known = self.changes_of(&id, |changes| changes.judge(file, &good));
                let what = if good.len() == pieces.len() {
                    "is as it was, and served again".to_owned()
                } else {
                    format!("has {} of {} pieces still right; those are served", good.len(), pieces.len())
                };
                self.warn_of_file(&id, torrent, file, &what);
                self.go_around_changes(&id, torrent, known);
            }
            Report::Warning { message, .. } => self.warn_of(&id, &message),
            Report::Failed { .. } | Report::Written { .. } | Report::Verified { .. } => {}
        }
    }

    fn changes_of(&mut self, id: &str, change: impl FnOnce(&mut crate::ops::Changes) -> bool) -> bool {
        let run = self.transfers.get_mut(id).and_then(|transfer| transfer.run_mut());
        run.is_some_and(|run| change(&mut run.changes))
    }

    fn file_name(&self, torrent: TorrentId, file: usize) -> String {
        let info = self.driver.torrents.get(&torrent).map(|of_driver| &of_driver.info);
        let file = info.and_then(|info| info.layout.files().get(file));
        file.map_or_else(String::new, |file| file.path.to_string())
    }

    fn warn_of_file(&self, id: &str, torrent: TorrentId, file: usize, what: &str) {
        self.warn_of(id, &format!("{} {what}", self.file_name(torrent, file)));
    }

    fn on_file_done(&mut self, id: &str, torrent: TorrentId, file: usize) {
        self.changes_of(id, |changes| {
            changes.done(file);
            true
        });
        let path = self.driver.torrents.get(&torrent).map(|of_driver| of_driver.store.path(file));
        if let Some(path) = path {
            let path = path.to_string_lossy().into_owned();
            self.tell(Change::FileComplete { transfer: id.to_owned(), path });
        }
        self.note_done(id);
    }

    /// Files that are done are never written again: what another program changed there is not fetched.
    fn go_around_changes(&mut self, id: &str, torrent: TorrentId, known: bool) {
        let now = self.driver.now();
        let Some(transfer) = self.transfers.get(id).filter(|transfer| known && !transfer.record.complete)
        else {
            return;
        };
        let Some(info) = self.driver.torrents.get(&torrent).map(|of_driver| Arc::clone(&of_driver.info))
        else {
            return;
        };
        if let Some((changed, other)) = transfer.run().and_then(|run| run.changes.in_the_way(&info)) {
            let (changed, other) = (self.file_name(torrent, changed), self.file_name(torrent, other));
            let message =
                format!("another program changed {changed}, and {other} needs a piece that both are in");
            let failure = Failure::new(ExitCode::Integrity, "E_CHANGED", message);
            return self.fail(id, failure.hint("mend it or move it away, then resume the transfer"));
        }
        let priorities = transfer.priorities(&info);
        if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
            swarm.set_priorities(now, &priorities);
        }
        self.note_done(id);
    }

    /// Downloads that wait for room go on when there is some.
    pub(super) fn watch_rooms(&mut self) {
        let now = self.driver.now();
        let mut ready = Vec::new();
        for (id, transfer) in &mut self.transfers {
            let folder = transfer.record.folder.clone();
            let Some(run) = transfer.run_mut() else { continue };
            if run.room_check.is_none_or(|at| now < at) {
                continue;
            }
            run.room_check = Some(now + ROOM_INTERVAL);
            if free_bytes(Path::new(&folder)) >= ROOM_MIN {
                run.room_check = None;
                ready.push((id.clone(), run.torrent));
            }
        }
        for (id, torrent) in ready {
            if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
                swarm.resume(now);
            }
            self.dirty.insert(id);
        }
    }

    /// Transfers whose term has come are removed; their files stay.
    pub(super) fn expired(&self) -> Vec<String> {
        let now = unix_now();
        let due =
            self.transfers.values().filter(|transfer| transfer.record.expires_at.is_some_and(|at| at <= now));
        due.map(|transfer| transfer.record.id.clone()).collect()
    }
}
