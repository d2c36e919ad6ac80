//! What the API wants done with transfers.

use std::path::Path;
use std::sync::Arc;

use peerage_api::control::{Add, Change, FilePriority, FilesPatch, Patch, TransferDetail, TransferKind};
use peerage_api::error::{ExitCode, Failure};
use peerage_content::{Hashes, Metainfo};
use peerage_store::FileIdentity;

use super::catalog::Table;
use super::record::{Record, letter};
use super::running::describe;
use super::transfer::{After, Phase, Transfer};
use super::{Daemon, Done, unix_now};
use crate::ops::{LinkSource, Selection};

/// Transfers at most.
const TRANSFERS_MAX: usize = peerage_peer::TORRENTS_MAX;
/// Letters of a category, a tag.
const LABEL_MAX: usize = 100;
const TAGS_MAX: usize = 50;

/// A failure for whoever asks wrongly.
fn usage(message: impl Into<String>) -> Failure {
    Failure::new(ExitCode::Usage, "E_USAGE", message)
}

/// There is no such transfer.
pub(crate) fn unknown(id: &str) -> Failure {
    Failure::new(ExitCode::NotFound, "E_NO_TRANSFER", format!("there is no transfer {id}"))
        .hint("`peerage ls` lists them")
}

/// A folder that the API names.
pub(super) fn folder(text: &str) -> Result<String, Failure> {
    if !Path::new(text).is_absolute() || text.contains('\0') || text.len() > 4096 {
        return Err(usage(format!("`{}` is not an absolute path", crate::ops::printable(text))));
    }
    Ok(text.to_owned())
}

fn label(text: &str) -> Result<Option<String>, Failure> {
    if text.chars().count() > LABEL_MAX || text.chars().any(char::is_control) {
        return Err(usage(format!(
            "categories and tags have at most {LABEL_MAX} letters, and no control characters"
        )));
    }
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn tags(texts: &[String]) -> Result<Vec<String>, Failure> {
    if texts.len() > TAGS_MAX {
        return Err(usage(format!("a transfer has at most {TAGS_MAX} tags")));
    }
    let mut tags: Vec<String> = Vec::new();
    for text in texts {
        if let Some(tag) = label(text)?.filter(|tag| !tags.contains(tag)) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// A goal that can be kept.
fn goal(ratio: f64) -> Result<f64, Failure> {
    if ratio.is_finite() && ratio < 1e9 {
        Ok(ratio)
    } else {
        Err(usage("the ratio is not a number that fits"))
    }
}

fn check_trackers(urls: &[String]) -> Result<(), Failure> {
    match urls.iter().find(|url| !crate::is_tracker_url(url)) {
        Some(_) => Err(usage("a tracker is a URL such as http://host:port/announce or udp://host:port")),
        None => Ok(()),
    }
}

/// What to add, when the link was followed.
pub(crate) struct Addition {
    pub add: Add,
    pub source: LinkSource,
}

/// A share whose files were hashed.
pub(super) struct MadeShare {
    pub metainfo: Metainfo,
    pub paths: Vec<std::path::PathBuf>,
    pub identities: Arc<[FileIdentity]>,
    pub record: Record,
}

impl Daemon {
    pub(super) fn find(&self, id: &str) -> Result<&Transfer, Failure> {
        let id = id.to_ascii_lowercase();
        let found = self.transfers.get(&id);
        found
            .or_else(|| self.transfers.values().find(|transfer| transfer.record.is_called(&id)))
            .ok_or_else(|| unknown(&crate::ops::printable(&id)))
    }

    /// The id of what is called so.
    pub(super) fn id_of(&self, id: &str) -> Result<String, Failure> {
        self.find(id).map(|transfer| transfer.record.id.clone())
    }

    fn check_new(&self, record: &Record) -> Result<(), Failure> {
        let hashes = [&record.infohash_v1, &record.infohash_v2];
        let known = hashes.into_iter().flatten().find_map(|hash| self.find(hash).ok());
        if let Some(known) = known {
            let id = &known.record.id;
            return Err(Failure::new(
                ExitCode::Conflict,
                "E_TRANSFER_EXISTS",
                format!("it is there already: {id}"),
            )
            .hint("`peerage ls` shows it"));
        }
        if self.transfers.len() >= TRANSFERS_MAX {
            let message = format!("there are {TRANSFERS_MAX} transfers already");
            return Err(Failure::new(ExitCode::Conflict, "E_TOO_MANY", message).hint("remove some of them"));
        }
        Ok(())
    }

    /// Adds a download, or content that is there already.
    pub(crate) fn add(&mut self, addition: Addition) -> Result<TransferDetail, Failure> {
        let Addition { add, source } = addition;
        let mut record = self.record_of(&add)?;
        let (hashes, description) = match &source {
            LinkSource::Torrent(metainfo) => {
                record.trackers.splice(0..0, metainfo.trackers.iter().cloned());
                record.web_seeds.clone_from(&metainfo.web_seeds);
                record.comment = metainfo.comment.as_deref().map(crate::ops::printable);
                (metainfo.info.hashes, Some((metainfo.hashes(), metainfo.encode())))
            }
            LinkSource::Magnet(magnet) => {
                record.trackers.splice(0..0, magnet.trackers.iter().map(|url| vec![url.clone()]));
                record.web_seeds.clone_from(&magnet.web_seeds);
                let name =
                    magnet.name.as_deref().map(|name| peerage_content::name::sanitise(name.as_bytes()));
                record.name = name.unwrap_or_default();
                record.link = Some(magnet.to_string());
                if record.select.is_empty() && !magnet.select.is_empty() {
                    // Patterns and numbers together choose; no pattern matches nothing here.
                    record.select.push(String::new());
                }
                (magnet.hashes, None)
            }
        };
        record.set_hashes(&hashes);
        self.check_new(&record)?;
        if record.kind == TransferKind::Share && description.is_none() {
            return Err(usage("content that is there already is added by its torrent file, not by a link"));
        }
        let mut known = None;
        if let Some((hashes, bytes)) = description {
            if !record.select.is_empty() {
                let wanted = Selection::new(&record.select, &[])?.wanted(hashes.info())?;
                let letters = wanted
                    .into_iter()
                    .map(|wanted| letter(if wanted { FilePriority::Normal } else { FilePriority::Skip }));
                record.priorities = letters.collect();
            }
            record.note_info(hashes.info());
            self.catalog.put(Table::Descriptions, &record.id, bytes);
            known = Some(hashes);
        }
        self.insert(record, known, None)
    }

    pub(super) fn record_of(&self, add: &Add) -> Result<Record, Failure> {
        check_trackers(&add.trackers)?;
        Selection::new(&add.select, &[])?;
        let folder = match &add.folder {
            Some(text) => folder(text)?,
            None => self.request.downloads.to_string_lossy().into_owned(),
        };
        Ok(Record {
            kind: if add.seed_only { TransferKind::Share } else { TransferKind::Download },
            folder,
            select: add.select.clone(),
            trackers: add.trackers.iter().map(|url| vec![url.clone()]).collect(),
            peers: add.peers.clone(),
            paused: add.paused,
            category: add.category.as_deref().map(label).transpose()?.flatten(),
            tags: tags(&add.tags)?,
            sequential: add.sequential,
            upload_limit: add.upload_limit.filter(|limit| *limit > 0),
            download_limit: add.download_limit.filter(|limit| *limit > 0),
            ratio_goal: add.ratio_goal.map(goal).transpose()?,
            seeding_goal: add.seeding_goal,
            expires_at: add.expires_at,
            ..Record::default()
        })
    }

    /// Adds a share whose files were hashed just now.
    pub(super) fn add_share(&mut self, made: MadeShare) -> Result<TransferDetail, Failure> {
        let MadeShare { metainfo, paths, identities, mut record } = made;
        record.note_info(&metainfo.info);
        self.check_new(&record)?;
        record.placed = true;
        self.catalog.put(Table::Descriptions, &record.id, metainfo.encode());
        self.catalog.put(Table::Places, &record.id, super::running::encode_places(&paths));
        self.insert(record, Some(metainfo.hashes()), Some(identities))
    }

    fn insert(
        &mut self,
        mut record: Record,
        hashes: Option<Hashes>,
        fresh: Option<Arc<[FileIdentity]>>,
    ) -> Result<TransferDetail, Failure> {
        let last = self.transfers.values().map(|transfer| transfer.record.position + 1).max();
        record.position = last.unwrap_or(0);
        record.added_at = unix_now();
        let id = record.id.clone();
        let transfer = Transfer::new(record);
        let name = transfer.record.name.clone();
        self.transfers.insert(id.clone(), transfer);
        self.changed(&id);
        self.tell(Change::TransferAdded { transfer: id.clone(), name });
        if self.permitted().contains(&id) && (fresh.is_some() || self.opening.is_empty()) {
            self.start_transfer(&id, hashes, fresh);
        }
        self.unsettled = true;
        self.detail(&id)
    }

    /// Pauses a transfer, for some time or until it is resumed.
    pub(crate) fn pause(&mut self, id: &str, seconds: Option<u64>) -> Result<TransferDetail, Failure> {
        let id = self.id_of(id)?;
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.record.paused = true;
            transfer.record.note = None;
            transfer.record.paused_until = seconds.map(|seconds| unix_now().saturating_add(seconds));
            transfer.error = None;
        }
        self.changed(&id);
        self.unsettled = true;
        self.detail(&id)
    }

    pub(super) fn resume(&mut self, id: &str) {
        if let Some(transfer) = self.transfers.get_mut(id) {
            transfer.record.paused = false;
            transfer.record.paused_until = None;
            transfer.record.note = None;
            transfer.error = None;
        }
        self.changed(id);
        self.unsettled = true;
    }

    /// Goes on with a transfer that was paused, or stopped by a failure.
    pub(crate) fn resume_one(&mut self, id: &str) -> Result<TransferDetail, Failure> {
        let id = self.id_of(id)?;
        self.resume(&id);
        self.detail(&id)
    }

    /// Removes a transfer, and with `data` its files too.
    pub(crate) fn remove(&mut self, id: &str, data: bool) -> Result<(), Failure> {
        let transfer = self.find(id)?;
        let id = transfer.record.id.clone();
        if data && transfer.record.kind == TransferKind::Share {
            return Err(Failure::new(
                ExitCode::Conflict,
                "E_OWN_FILES",
                "these files are shared in place: they are your own, and are not deleted",
            )
            .hint("remove the transfer without its data"));
        }
        self.stop_transfer(&id, After::Remove(data));
        // Gone for whoever starts anew, whatever happens to its files: those of a killed removal stay.
        self.catalog.remove(Table::Transfers, &id);
        self.unsaved.remove(&id);
        Ok(())
    }

    /// Moves a transfer's files into another folder.
    pub(crate) fn relocate(&mut self, id: &str, to: &str) -> Result<TransferDetail, Failure> {
        let to = folder(to)?;
        let transfer = self.find(id)?;
        let id = transfer.record.id.clone();
        if transfer.record.kind == TransferKind::Share {
            return Err(Failure::new(ExitCode::Conflict, "E_OWN_FILES", "a share stays where its files are")
                .hint("move the files, then share them anew"));
        }
        if matches!(transfer.phase, Phase::Closing(After::Move(_) | After::Remove(_))) {
            return Err(Failure::new(ExitCode::Conflict, "E_BUSY", "it is being moved or removed")
                .hint("wait until that is done"));
        }
        if transfer.record.folder != to {
            if let Some(transfer) = self.transfers.get_mut(&id) {
                transfer.error = None;
            }
            self.stop_transfer(&id, After::Move(to));
        }
        self.detail(&id)
    }

    /// Hashes all of a transfer anew.
    pub(crate) fn recheck(&mut self, id: &str) -> Result<TransferDetail, Failure> {
        let id = self.id_of(id)?;
        if let Some(transfer) = self.transfers.get_mut(&id) {
            if !transfer.record.described {
                return Err(Failure::new(
                    ExitCode::Conflict,
                    "E_NO_METADATA",
                    "nothing is known of its content yet",
                )
                .hint("wait until its description has come"));
            }
            transfer.recheck = true;
            transfer.error = None;
        }
        self.stop_transfer(&id, After::Rest);
        self.detail(&id)
    }

    /// Changes settings of a transfer.
    pub(crate) fn patch(&mut self, id: &str, patch: &Patch) -> Result<TransferDetail, Failure> {
        let id = self.id_of(id)?;
        let category = patch.category.as_deref().map(label).transpose()?;
        let tags = patch.tags.as_deref().map(tags).transpose()?;
        let ratio = patch.ratio_goal.map(goal).transpose()?;
        check_trackers(patch.add_trackers.as_deref().unwrap_or_default())?;
        let now = self.driver.now();
        let Some(transfer) = self.transfers.get_mut(&id) else { return Err(unknown(&id)) };
        let record = &mut transfer.record;
        if let Some(category) = category {
            record.category = category;
        }
        record.tags = tags.unwrap_or(std::mem::take(&mut record.tags));
        if let Some(ratio) = ratio {
            record.ratio_goal = (ratio >= 0.0).then_some(ratio);
        }
        if let Some(seconds) = patch.seeding_goal {
            record.seeding_goal = u64::try_from(seconds).ok();
        }
        if let Some(at) = patch.expires_at {
            record.expires_at = (at > 0).then_some(at);
        }
        record.sequential = patch.sequential.unwrap_or(record.sequential);
        for (limit, of_record) in [
            (patch.upload_limit, &mut record.upload_limit),
            (patch.download_limit, &mut record.download_limit),
        ] {
            if let Some(limit) = limit {
                *of_record = (limit > 0).then_some(limit);
            }
        }
        let trackers: Vec<Vec<String>> =
            patch.add_trackers.iter().flatten().map(|url| vec![url.clone()]).collect();
        record.trackers.extend(trackers.iter().cloned());
        let record = record.clone();
        if let Some(torrent) = transfer.run().map(|run| run.torrent) {
            if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
                swarm.set_rates(now, record.upload_limit, record.download_limit);
                if patch.sequential.is_some() {
                    swarm.set_sequential(now, record.sequential.then_some(0));
                }
            }
            self.driver.peer.add_trackers(now, torrent, trackers);
            self.add_peers(torrent, patch.add_peers.clone().unwrap_or_default());
        }
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.list_trackers();
        }
        if let Some(position) = patch.position {
            self.reorder(&id, position);
        }
        self.changed(&id);
        self.unsettled = true;
        self.detail(&id)
    }

    /// Puts a transfer at a place of the queue.
    fn reorder(&mut self, id: &str, position: u32) {
        let mut order: Vec<(u32, String)> = self
            .transfers
            .values()
            .filter(|transfer| transfer.record.id != id)
            .map(|transfer| (transfer.record.position, transfer.record.id.clone()))
            .collect();
        order.sort();
        let mut ids: Vec<String> = order.into_iter().map(|(_, id)| id).collect();
        ids.insert((position as usize).min(ids.len()), id.to_owned());
        for (place, id) in (0..).zip(ids) {
            let Some(transfer) = self.transfers.get_mut(&id) else { continue };
            if transfer.record.position != place {
                transfer.record.position = place;
                self.changed(&id);
            }
        }
    }

    /// Another choice of files.
    pub(crate) fn choose_files(&mut self, id: &str, patch: &FilesPatch) -> Result<(), Failure> {
        let id = self.id_of(id)?;
        let info = Arc::clone(self.hashes_of(&id)?.info());
        let Some(transfer) = self.transfers.get_mut(&id) else { return Err(unknown(&id)) };
        if transfer.record.kind == TransferKind::Share {
            return Err(Failure::new(ExitCode::Conflict, "E_OWN_FILES", "of a share nothing is fetched"));
        }
        let files = info.layout.files();
        let mut letters: Vec<char> =
            (0..files.len()).map(|file| letter(transfer.record.priority(file))).collect();
        for change in &patch.files {
            let known = files.get(change.index as usize).is_some_and(|file| !file.is_pad());
            match letters.get_mut(change.index as usize).filter(|_| known) {
                Some(of_file) => *of_file = letter(change.priority),
                None => return Err(usage(format!("there is no file {}", change.index))),
            }
        }
        transfer.record.priorities = letters.into_iter().collect();
        transfer.record.note_info(&info);
        let wanted = transfer.wanted(&info);
        // Whether all of it is here is found out again.
        transfer.record.complete = false;
        let torrent = transfer.run().map(|run| run.torrent);
        if let Some(run) = transfer.run_mut() {
            run.changes.choose(&wanted);
        }
        if let Some((torrent, store)) =
            torrent.and_then(|torrent| Some((torrent, self.driver.torrents.get(&torrent)?.store.clone())))
        {
            let (inbox, id) = (self.inbox.clone(), id.clone());
            tokio::task::spawn_blocking(move || {
                store.set_wanted(&wanted);
                inbox.put(Done::Chosen(id, torrent));
            });
        }
        self.changed(&id);
        self.unsettled = true;
        Ok(())
    }

    /// The description of a transfer, from the driver where it runs, else from the catalogue.
    pub(super) fn hashes_of(&self, id: &str) -> Result<Arc<Hashes>, Failure> {
        let transfer = self.find(id)?;
        let torrent = transfer.run().and_then(|run| self.driver.torrents.get(&run.torrent));
        if let Some(of_driver) = torrent {
            return Ok(Arc::clone(&of_driver.hashes));
        }
        let bytes = if transfer.record.described {
            self.catalog.reader().get(Table::Descriptions, &transfer.record.id)?
        } else {
            None
        };
        let bytes = bytes.ok_or_else(|| {
            Failure::new(ExitCode::Conflict, "E_NO_METADATA", "nothing is known of its content yet")
                .hint("wait until its description has come from a peer")
        })?;
        describe(&bytes).map(Arc::new)
    }

    /// The torrent file of a transfer.
    pub(crate) fn torrent_file(&self, id: &str) -> Result<Vec<u8>, Failure> {
        let hashes = self.hashes_of(id)?;
        let transfer = self.find(id)?;
        let stored = self.catalog.reader().get(Table::Descriptions, &transfer.record.id)?.unwrap_or_default();
        if stored.first() == Some(&b'd') {
            return Ok(stored);
        }
        let mut metainfo = Metainfo::new(Arc::clone(hashes.info()));
        metainfo.trackers.clone_from(&transfer.record.trackers);
        metainfo.web_seeds.clone_from(&transfer.record.web_seeds);
        Ok(metainfo.encode())
    }
}
