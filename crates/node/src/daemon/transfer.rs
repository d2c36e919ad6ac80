//! One transfer: what is kept of it, what it does now, and how it is shown.

use std::sync::Arc;

use peerage_api::Failure;
use peerage_api::control::{FilePriority, Tracker, Transfer as Shown, TransferState};
use peerage_base::{Instant, TorrentId};
use peerage_content::Info;
use peerage_store::FileIdentity;
use peerage_swarm::{Priority, Stats};

use super::record::Record;
use crate::ops::{Changes, eta};

/// A transfer.
pub(crate) struct Transfer {
    pub record: Record,
    pub phase: Phase,
    /// What stopped it; forgotten when it is resumed.
    pub error: Option<Failure>,
    /// All of it is to be hashed when it starts next.
    pub recheck: bool,
    /// What each tracker said last, in this run.
    pub trackers: Vec<Tracker>,
}

/// Where it is in its life.
pub(crate) enum Phase {
    /// Nothing of it is open.
    Stopped,
    /// It takes part in its torrent.
    Running(Box<Run>),
    /// Its files are being closed; then this is done.
    Closing(After),
}

/// What follows when the files of a transfer are closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum After {
    /// It rests, or starts again where it should run.
    #[default]
    Rest,
    /// It goes, and with `true` its files too.
    Remove(bool),
    /// Its files go into this folder.
    Move(String),
}

/// A running transfer.
pub(crate) struct Run {
    pub torrent: TorrentId,
    pub stage: Stage,
    /// Hash all of it, whatever the resume state says.
    pub recheck: bool,
    /// What its files looked like when they were hashed just now.
    pub fresh: Option<Arc<[FileIdentity]>>,
    pub changes: Changes,
    /// It waits for room on the disk; looked at again then.
    pub room_check: Option<Instant>,
    /// Since when it has been complete in this run.
    pub complete_since: Option<Instant>,
    /// What the swarm counted when the record's totals were last brought up to it.
    pub counted: (u64, u64),
    pub seen: Option<Stats>,
    /// Nobody has been looked for yet.
    pub silent: bool,
}

/// What a running transfer is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its description is asked of peers.
    Metadata,
    /// Its files are being opened.
    Opening,
    /// Its files are being checked: bytes so far.
    Checking(u64),
    /// It fetches or serves.
    Active,
}

impl Transfer {
    pub fn new(record: Record) -> Self {
        let mut transfer =
            Self { trackers: Vec::new(), record, phase: Phase::Stopped, error: None, recheck: false };
        transfer.list_trackers();
        transfer
    }

    /// Lists the record's trackers; what is known of them stays.
    pub fn list_trackers(&mut self) {
        let known = std::mem::take(&mut self.trackers);
        for (tier, urls) in (0..).zip(&self.record.trackers) {
            for url in urls {
                let before = known.iter().find(|tracker| tracker.url == *url).cloned();
                let tracker = before.unwrap_or_else(|| Tracker { url: url.clone(), ..Tracker::default() });
                self.trackers.push(Tracker { tier, ..tracker });
            }
        }
    }

    pub fn run(&self) -> Option<&Run> {
        match &self.phase {
            Phase::Running(run) => Some(run),
            _ => None,
        }
    }

    pub fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.phase {
            Phase::Running(run) => Some(run),
            _ => None,
        }
    }

    /// Whether it is to be brought to run, as far as it is asked alone.
    pub fn wants_to_run(&self) -> bool {
        !self.record.paused && self.error.is_none()
    }

    pub fn state(&self) -> TransferState {
        let complete = self.record.complete;
        match &self.phase {
            Phase::Closing(After::Move(_)) => TransferState::Moving,
            _ if self.error.is_some() => TransferState::Error,
            _ if self.record.paused => TransferState::Paused,
            Phase::Running(run) => match run.stage {
                Stage::Metadata => TransferState::Metadata,
                Stage::Opening | Stage::Checking(_) => TransferState::Checking,
                Stage::Active if complete => TransferState::Seeding,
                Stage::Active => TransferState::Downloading,
            },
            Phase::Stopped | Phase::Closing(_) => TransferState::Queued,
        }
    }

    /// Totals with what this run has moved: downloaded, uploaded.
    pub fn totals(&self, stats: Option<&Stats>) -> (u64, u64) {
        let counted = self.run().map_or((0, 0), |run| run.counted);
        let (down, up) = stats.map_or(counted, |stats| (stats.downloaded, stats.uploaded));
        (
            self.record.downloaded + down.saturating_sub(counted.0),
            self.record.uploaded + up.saturating_sub(counted.1),
        )
    }

    /// As lists show it. `stats` are those of its swarm, `known` the addresses known.
    pub fn shown(&self, stats: Option<&Stats>, known: usize) -> Shown {
        let record = &self.record;
        let state = self.state();
        let (downloaded, uploaded) = self.totals(stats);
        let active = stats.filter(|_| self.run().is_some_and(|run| run.stage == Stage::Active));
        let done = match self.run().map(|run| run.stage) {
            Some(Stage::Checking(done)) => done.min(record.total),
            _ => active.map_or(record.done, |stats| record.wanted.saturating_sub(stats.left)),
        };
        let rates = stats.map_or((0, 0), |stats| (stats.download_rate, stats.upload_rate));
        let left = record.wanted.saturating_sub(done);
        Shown {
            id: record.id.clone(),
            infohash_v1: record.infohash_v1.clone(),
            infohash_v2: record.infohash_v2.clone(),
            name: if record.name.is_empty() { record.id.clone() } else { record.name.clone() },
            kind: record.kind,
            state,
            note: self.note(),
            error: self.error.clone(),
            total: record.total,
            wanted: record.wanted,
            done,
            files: record.files,
            complete: record.complete,
            downloaded,
            uploaded,
            ratio: record.ratio(uploaded, downloaded),
            down_rate: rates.0,
            up_rate: rates.1,
            eta: if state == TransferState::Downloading { eta(left, rates.0) } else { None },
            peers: stats.map_or(0, |stats| stats.peers),
            seeds: stats.map_or(0, |stats| stats.seeds),
            known: u32::try_from(known).unwrap_or(u32::MAX),
            folder: record.folder.clone(),
            path: (!record.name.is_empty() && !record.placed).then(|| self.path()),
            added_at: record.added_at,
            completed_at: record.completed_at,
            seeding_seconds: record.seeding_seconds,
            category: record.category.clone(),
            tags: record.tags.clone(),
            position: record.position,
            sequential: record.sequential,
            private: record.private,
            upload_limit: record.upload_limit,
            download_limit: record.download_limit,
            ratio_goal: record.ratio_goal,
            seeding_goal: record.seeding_goal,
            expires_at: record.expires_at,
            paused_until: record.paused_until,
        }
    }

    fn note(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(error.message.clone());
        }
        if self.run().is_some_and(|run| run.room_check.is_some()) {
            let folder = &self.record.folder;
            return Some(format!("no room on the disk of {folder}; free some, and it goes on by itself"));
        }
        self.record.note.clone()
    }

    /// The file or folder itself.
    pub fn path(&self) -> String {
        std::path::Path::new(&self.record.folder).join(&self.record.name).to_string_lossy().into_owned()
    }

    /// One flag for each file.
    pub fn wanted(&self, info: &Info) -> Vec<bool> {
        (0..info.layout.files().len()).map(|file| self.record.priority(file) != FilePriority::Skip).collect()
    }

    /// What the swarm is told: what the user wants, except of files that another program changed, and of a
    /// complete transfer nothing: its files are the user's own then, and only read.
    pub fn priorities(&self, info: &Info) -> Vec<Priority> {
        let files = info.layout.files().len();
        let Some(run) = self.run().filter(|_| !self.record.complete) else {
            return vec![Priority::Skip; files];
        };
        let chosen = |file: usize| match self.record.priority(file) {
            FilePriority::Skip => Priority::Skip,
            FilePriority::Low => Priority::Low,
            FilePriority::Normal => Priority::Normal,
            FilePriority::High => Priority::High,
        };
        let left_alone = run.changes.priorities(info).into_iter().enumerate();
        left_alone.map(|(file, other)| if other == Priority::Skip { other } else { chosen(file) }).collect()
    }
}
