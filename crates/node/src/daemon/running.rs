//! The life of a transfer: it is opened, checked, runs, and is closed.
//!
//! Opening and closing wait for the disk, so threads do it, [`OPENING_MAX`] at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use peerage_api::control::{Change, TransferKind, TransferState};
use peerage_api::error::{ExitCode, Failure};
use peerage_base::{Contact, TorrentId};
use peerage_content::{Hashes, Info, Metainfo};
use peerage_peer::TorrentParams;
use peerage_store::{AddTorrent, CheckMode, CheckOutcome, FileIdentity, Mode, Place, Store, TorrentStore};
use peerage_swarm::{Bitfield, Content};

use super::catalog::{Reader, Table};
use super::record::{Record, letter};
use super::transfer::{After, Phase, Run, Stage};
use super::{Daemon, Done, files, unix_now};
use crate::driver::Torrent;
use crate::ops::{Changes, Selection, add_failure, resolve};

/// Transfers being opened at a time.
const OPENING_MAX: usize = 4;

/// A transfer whose files are open.
pub(super) struct Opened {
    store: TorrentStore,
    hashes: Arc<Hashes>,
    /// With the choice of files made, where that was still to be done.
    priorities: Option<String>,
}

/// What is known of a torrent, as the catalogue has it.
pub(super) fn describe(bytes: &[u8]) -> Result<Hashes, Failure> {
    let bad = |error: peerage_content::metainfo::MetainfoError| {
        Failure::new(ExitCode::Integrity, "E_STATE", format!("the catalogue's torrent is damaged: {error}"))
            .hint("remove the transfer and add it again; its files stay")
    };
    match bytes.split_first() {
        Some((b'i', info)) => Info::parse(info).map(|info| Hashes::new(Arc::new(info))).map_err(bad),
        _ => Metainfo::parse(bytes).map(|metainfo| metainfo.hashes()).map_err(bad),
    }
}

/// A bare info dictionary, as the catalogue has it.
pub(super) fn bare(info: &[u8]) -> Vec<u8> {
    std::iter::once(b'i').chain(info.iter().copied()).collect()
}

/// Paths as the catalogue has them.
pub(super) fn encode_places(paths: &[PathBuf]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    paths.iter().flat_map(|path| path.as_os_str().as_bytes().iter().copied().chain([0])).collect()
}

fn decode_places(bytes: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let paths = bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(|path| Path::new(std::ffi::OsStr::from_bytes(path)).to_owned()).collect()
}

/// What the thread that opens a transfer works on.
struct Opening {
    reader: Reader,
    /// What was put into the catalogue is there.
    put: Receiver<()>,
    store: Store,
    record: Record,
    torrent: TorrentId,
    /// What is known already.
    hashes: Option<Hashes>,
}

impl Opening {
    fn open(self) -> Result<Box<Opened>, Failure> {
        // A catalogue that is closed has all that it ever will.
        let _ = self.put.recv();
        let missing = || {
            Failure::new(ExitCode::Integrity, "E_STATE", "the catalogue has no description of this transfer")
                .hint("remove it and add it again; its files stay")
        };
        let hashes = match self.hashes {
            Some(hashes) => hashes,
            None => describe(&self.reader.get(Table::Descriptions, &self.record.id)?.ok_or_else(missing)?)?,
        };
        let info = Arc::clone(hashes.info());
        let mut priorities = None;
        if self.record.priorities.is_empty() && !self.record.select.is_empty() {
            priorities = Some(choose(&self.record, &info)?);
        }
        let chosen = priorities.as_deref().unwrap_or(&self.record.priorities);
        let wanted = (0..info.layout.files().len()).map(|file| chosen.as_bytes().get(file) != Some(&b's'));
        let folder = Path::new(&self.record.folder);
        let place = if self.record.placed {
            let paths = self.reader.get(Table::Places, &self.record.id)?.ok_or_else(missing)?;
            Place::Files(decode_places(&paths))
        } else if info.folder {
            Place::Under(folder.join(&info.name))
        } else {
            Place::Under(folder.to_owned())
        };
        let hashes = Arc::new(hashes);
        let share = self.record.kind == TransferKind::Share;
        let add = AddTorrent {
            id: self.torrent,
            hashes: Arc::clone(&hashes),
            metadata: Bytes::new(),
            place,
            mode: if share { Mode::Seed } else { Mode::Download },
            wanted: (!share).then(|| wanted.collect()),
        };
        let store = self.store.add(add).map_err(|error| add_failure(&error))?;
        Ok(Box::new(Opened { store, hashes, priorities }))
    }
}

/// The choice that patterns and the link make, for each file.
fn choose(record: &Record, info: &Info) -> Result<String, Failure> {
    use peerage_api::control::FilePriority::{Normal, Skip};
    let indexes = record.magnet().map(|magnet| magnet.select).unwrap_or_default();
    let wanted = Selection::new(&record.select, &indexes)?.wanted(info)?;
    Ok(wanted.into_iter().map(|wanted| letter(if wanted { Normal } else { Skip })).collect())
}

impl Daemon {
    /// Starts what should run, as far as places are free, and stops what should not.
    pub(super) fn settle_transfers(&mut self) {
        let permitted = self.permitted();
        let running = |daemon: &Self, id: &String| {
            daemon.transfers.get(id).is_some_and(|transfer| transfer.run().is_some())
        };
        let ids: Vec<String> = self.transfers.keys().cloned().collect();
        for id in &ids {
            if running(self, id) && !permitted.contains(id) {
                self.stop_transfer(id, After::Rest);
            }
        }
        for id in permitted {
            if self.opening.len() >= OPENING_MAX {
                break;
            }
            let stopped =
                self.transfers.get(&id).is_some_and(|transfer| matches!(transfer.phase, Phase::Stopped));
            if stopped {
                self.start_transfer(&id, None, None);
            }
        }
    }

    /// Begins to take part in a transfer's torrent. `hashes` and `fresh` (what the files looked like when they were
    /// hashed just now) spare reading what is known already.
    pub(super) fn start_transfer(
        &mut self,
        id: &str,
        hashes: Option<Hashes>,
        fresh: Option<Arc<[FileIdentity]>>,
    ) {
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let record = &transfer.record;
        let mut params = TorrentParams::new(record.hashes());
        params.private = record.private;
        params.config.upload_slots = self.config.upload_slots;
        params.config.upload_rate_max = record.upload_limit;
        params.config.download_rate_max = record.download_limit;
        params.config.sequential = record.sequential;
        let now = self.driver.now();
        let torrent = match self.driver.peer.add_torrent(now, params) {
            Ok(torrent) => torrent,
            Err(error) => {
                let failure = Failure::new(ExitCode::Unclassified, "E_TORRENT", error.to_string());
                return self.fail(id, failure);
            }
        };
        let described = record.described;
        let recheck = std::mem::take(&mut transfer.recheck);
        let stage = if described { Stage::Opening } else { Stage::Metadata };
        let run = Run {
            torrent,
            stage,
            recheck,
            fresh,
            changes: Changes::default(),
            room_check: None,
            complete_since: None,
            counted: (0, 0),
            seen: None,
            silent: true,
        };
        transfer.phase = Phase::Running(Box::new(run));
        self.by_torrent.insert(torrent, id.to_owned());
        self.dirty.insert(id.to_owned());
        if described {
            self.open_transfer(id, hashes);
        } else {
            self.look_for_peers(id);
        }
    }

    /// Has the files of a running transfer opened.
    pub(super) fn open_transfer(&mut self, id: &str, hashes: Option<Hashes>) {
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let record = transfer.record.clone();
        let Some(run) = transfer.run_mut() else { return };
        run.stage = Stage::Opening;
        let torrent = run.torrent;
        let opening = Opening {
            reader: self.catalog.reader(),
            put: self.catalog.barrier(),
            store: self.driver.store.clone(),
            record,
            torrent,
            hashes,
        };
        self.opening.insert(torrent);
        let (inbox, id) = (self.inbox.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || inbox.put(Done::Opened(id, torrent, opening.open())));
    }

    /// The files of a transfer are open: what is there is checked next.
    pub(super) fn on_opened(&mut self, id: &str, torrent: TorrentId, result: Result<Box<Opened>, Failure>) {
        self.opening.remove(&torrent);
        self.unsettled = true;
        let opened = match result {
            Ok(opened) => opened,
            Err(failure) => {
                match self.transfers.get_mut(id) {
                    Some(transfer) if transfer.run().is_some_and(|run| run.torrent == torrent) => {
                        self.fail(id, failure);
                    }
                    // It was stopped meanwhile.
                    Some(_) => self.close_files(id, None),
                    None => {}
                }
                return;
            }
        };
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        if transfer.run().is_none_or(|run| run.torrent != torrent) {
            return self.close_files(id, Some(opened.store));
        }
        let info = Arc::clone(opened.hashes.info());
        let record = &mut transfer.record;
        record.name.clone_from(&info.name);
        if let Some(priorities) = opened.priorities {
            record.priorities = priorities;
        }
        record.note_info(&info);
        let Some(run) = transfer.run_mut() else { return };
        run.stage = Stage::Checking(0);
        let mode = match (run.recheck, run.fresh.take()) {
            (true, _) => CheckMode::Full,
            (_, Some(identities)) => CheckMode::JustHashed(identities),
            _ => CheckMode::Resume,
        };
        opened.store.check(mode);
        let torrent_of_driver = Torrent { store: opened.store, info, hashes: opened.hashes };
        self.driver.torrents.insert(torrent, torrent_of_driver);
        self.changed(id);
    }

    /// What is there was checked: the transfer can serve and fetch.
    pub(super) fn on_checked(&mut self, torrent: TorrentId, outcome: &CheckOutcome) {
        let Some(id) = self.by_torrent.get(&torrent).cloned() else { return };
        let Some(of_driver) = self.driver.torrents.get(&torrent) else { return };
        let (info, hashes) = (Arc::clone(&of_driver.info), Arc::clone(&of_driver.hashes));
        if outcome.cancelled {
            let why = outcome.errors.first().map_or("it was cancelled", String::as_str);
            let message = format!("what is there could not be checked: {why}");
            return self.fail(&id, Failure::new(ExitCode::Unclassified, "E_STORE", message));
        }
        if let Some(first) = outcome.conflicts.first() {
            let message = format!("{} exists and is something else", first.display());
            let failure = Failure::new(ExitCode::Conflict, "E_EXISTS", message)
                .hint("move it away, then resume; or move the transfer to another folder");
            return self.fail(&id, failure);
        }
        for error in &outcome.errors {
            self.warn_of(&id, error);
        }
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if transfer.record.kind == TransferKind::Share
            && outcome.have.count() == 0
            && outcome.have.pieces() > 0
        {
            let failure = Failure::new(
                ExitCode::Integrity,
                "E_NO_DATA",
                format!("{} holds nothing of what the torrent describes", transfer.record.folder),
            )
            .hint("put the files back, then resume");
            return self.fail(&id, failure);
        }
        let wanted = transfer.wanted(&info);
        let share = transfer.record.kind == TransferKind::Share;
        // Of a share nothing is fetched: the files are the user's own.
        transfer.record.complete = share;
        transfer.record.begun = true;
        let Some(run) = transfer.run_mut() else { return };
        run.stage = Stage::Active;
        run.changes = Changes::new(&info, &wanted, &outcome.have);
        let priorities = transfer.priorities(&info);
        let sequential = transfer.record.sequential;
        let pieces = outcome.have.pieces();
        let have =
            Bitfield::from_bytes(outcome.have.as_bytes(), pieces).unwrap_or_else(|| Bitfield::new(pieces));
        let now = self.driver.now();
        self.driver.peer.set_content(
            now,
            torrent,
            Content { hashes: Hashes::clone(&hashes), have, priorities },
        );
        if sequential && let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
            swarm.set_sequential(now, Some(0));
        }
        self.look_for_peers(&id);
        self.changed(&id);
        self.note_done(&id);
    }

    /// Takes note of whether all that is wanted is here.
    pub(super) fn note_done(&mut self, id: &str) {
        let now = self.driver.now();
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let Some(run) = transfer.run().filter(|run| run.stage == Stage::Active) else { return };
        let torrent = run.torrent;
        let Some(swarm) = self.driver.peer.swarm(torrent) else { return };
        if !swarm.is_done() || transfer.run().is_some_and(|run| run.changes.is_waiting()) {
            return;
        }
        let first = !transfer.record.complete;
        transfer.record.complete = true;
        transfer.record.done = transfer.record.wanted;
        let newly = first && transfer.record.completed_at.is_none();
        if transfer.record.completed_at.is_none() {
            transfer.record.completed_at = Some(unix_now());
        }
        if let Some(run) = transfer.run_mut() {
            run.complete_since.get_or_insert(now);
        }
        if let Some(info) = self.driver.torrents.get(&torrent).map(|of_driver| Arc::clone(&of_driver.info)) {
            let priorities = transfer.priorities(&info);
            if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
                // What gets lost from now on is never fetched: the files are the user's own, and only read.
                swarm.set_priorities(now, &priorities);
            }
        }
        if newly && let Some(transfer) = self.transfers.get(id) {
            let (name, path) = (transfer.record.name.clone(), transfer.path());
            let told = self.on_complete.as_ref().map(|program| program.run(&transfer.record, &path));
            if let Some(Err(why)) = told {
                self.warn_of(id, why);
            }
            self.tell(Change::TransferComplete { transfer: id.to_owned(), name, path });
        }
        self.changed(id);
        self.unsettled = true;
    }

    /// Begins to look for peers: those that are named, and those that trackers and the DHT name.
    fn look_for_peers(&mut self, id: &str) {
        let now = self.driver.now();
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let record = transfer.record.clone();
        let Some(run) = transfer.run_mut().filter(|run| run.silent) else { return };
        run.silent = false;
        let torrent = run.torrent;
        let magnet = record.magnet();
        let contacts: Vec<Contact> =
            magnet.as_ref().map(|magnet| magnet.contacts.clone()).unwrap_or_default();
        let peer = &mut self.driver.peer;
        for url in &record.web_seeds {
            peer.add_web_seed(now, torrent, url.clone());
        }
        for contact in &contacts {
            peer.add_contact(now, torrent, contact);
        }
        peer.add_trackers(now, torrent, record.trackers);
        peer.search(now, torrent);
        let named: Vec<String> =
            magnet.into_iter().flat_map(|magnet| magnet.peers).chain(record.peers).collect();
        self.add_peers(torrent, named);
    }

    /// Adds peers by name or address.
    pub(super) fn add_peers(&mut self, torrent: TorrentId, named: Vec<String>) {
        if named.is_empty() {
            return;
        }
        let (inbox, via) = (self.inbox.clone(), self.config.via);
        tokio::spawn(async move {
            let nobody: crate::Sink = Arc::new(|_| {});
            let named = resolve(&named, via, &nobody).await;
            inbox.put(Done::Resolved(torrent, named));
        });
    }

    /// Leaves the torrent and closes its files; then comes `after`.
    pub(super) fn stop_transfer(&mut self, id: &str, after: After) {
        self.count(id);
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let torrent = match std::mem::replace(&mut transfer.phase, Phase::Closing(after.clone())) {
            Phase::Running(run) => run.torrent,
            Phase::Stopped => {
                self.dirty.insert(id.to_owned());
                return self.close_files(id, None);
            }
            Phase::Closing(before) => {
                let after = if after == After::Rest { before } else { after };
                transfer.phase = Phase::Closing(after);
                return;
            }
        };
        let now = self.driver.now();
        self.driver.peer.remove_torrent(now, torrent);
        self.by_torrent.remove(&torrent);
        self.end_streams(torrent);
        self.changed(id);
        // Where its files are being opened, they are closed when they are open.
        if !self.opening.contains(&torrent) {
            let store = self.driver.torrents.remove(&torrent).map(|of_driver| of_driver.store);
            self.close_files(id, store);
        }
    }

    /// Has the files closed, and what comes after that done.
    fn close_files(&mut self, id: &str, store: Option<TorrentStore>) {
        let Some(transfer) = self.transfers.get(id) else { return };
        let after = match &transfer.phase {
            Phase::Closing(after) => after.clone(),
            _ => After::Rest,
        };
        let (inbox, reader, record) = (self.inbox.clone(), self.catalog.reader(), transfer.record.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(store) = store {
                store.close();
            }
            let result = match after {
                After::Rest => Ok(()),
                After::Remove(data) => files::remove(&reader, &record, data),
                After::Move(folder) => files::relocate(&reader, &record, &folder),
            };
            inbox.put(Done::Closed(record.id, result));
        });
    }

    /// The files of a transfer are closed.
    pub(super) fn on_closed(&mut self, id: &str, result: Result<(), Failure>) {
        self.unsettled = true;
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let after = match std::mem::replace(&mut transfer.phase, Phase::Stopped) {
            Phase::Closing(after) => after,
            other => {
                transfer.phase = other;
                return;
            }
        };
        match after {
            After::Rest => {}
            After::Remove(_) => {
                if let Err(failure) = result {
                    self.warn_of(id, &failure.message);
                }
                return self.forget(id);
            }
            After::Move(folder) => match result {
                Ok(()) => transfer.record.folder = folder,
                Err(failure) => {
                    transfer.error = Some(failure);
                }
            },
        }
        self.changed(id);
    }

    /// Another choice of files is in force in the store.
    pub(super) fn on_chosen(&mut self, id: &str, torrent: TorrentId) {
        let now = self.driver.now();
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        if transfer.run().is_none_or(|run| run.torrent != torrent) {
            return;
        }
        let Some(info) = self.driver.torrents.get(&torrent).map(|of_driver| Arc::clone(&of_driver.info))
        else {
            return;
        };
        transfer.record.complete = false;
        if let Some(run) = transfer.run_mut() {
            run.complete_since = None;
        }
        let priorities = transfer.priorities(&info);
        if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
            swarm.set_priorities(now, &priorities);
        }
        self.changed(id);
        self.note_done(id);
    }

    /// Stops a transfer by a failure; the user resumes it.
    pub(super) fn fail(&mut self, id: &str, failure: Failure) {
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        tracing::warn!(id, code = failure.code, message = failure.message, "a transfer stops");
        transfer.record.begun &= failure.code != "E_EXISTS";
        transfer.error = Some(failure);
        self.stop_transfer(id, After::Rest);
        self.dirty.insert(id.to_owned());
    }

    /// A transfer is gone.
    fn forget(&mut self, id: &str) {
        self.transfers.remove(id);
        self.catalog.remove(Table::Transfers, id);
        self.catalog.remove(Table::Descriptions, id);
        self.catalog.remove(Table::Places, id);
        self.dirty.remove(id);
        self.unsaved.remove(id);
        self.board.remove(id);
        self.tell(Change::TransferRemoved { transfer: id.to_owned() });
    }

    /// Brings a record's totals up to what its swarm has counted.
    pub(super) fn count(&mut self, id: &str) {
        let now = self.driver.now();
        let Some(transfer) = self.transfers.get_mut(id) else { return };
        let Some(torrent) = transfer.run().map(|run| run.torrent) else { return };
        let Some(stats) = self.driver.peer.swarm(torrent).map(|swarm| swarm.stats().clone()) else { return };
        let before = transfer.record.clone();
        let active = transfer.run().is_some_and(|run| run.stage == Stage::Active);
        (transfer.record.downloaded, transfer.record.uploaded) = transfer.totals(Some(&stats));
        if active {
            transfer.record.done = transfer.record.wanted.saturating_sub(stats.left);
        }
        let Some(run) = transfer.run_mut() else { return };
        run.counted = (stats.downloaded, stats.uploaded);
        if let Some(since) = run.complete_since.replace(now).filter(|_| active) {
            let seconds = now.since(since).as_secs();
            run.complete_since = Some(since + std::time::Duration::from_secs(seconds));
            transfer.record.seeding_seconds += seconds;
        } else if (!active || transfer.state() != TransferState::Seeding)
            && let Some(run) = transfer.run_mut()
        {
            run.complete_since = None;
        }
        if transfer.record != before {
            self.changed(id);
        }
    }

    /// The same of all.
    pub(super) fn count_all(&mut self) {
        let ids: Vec<String> = self.by_torrent.values().cloned().collect();
        ids.iter().for_each(|id| self.count(id));
    }
}
