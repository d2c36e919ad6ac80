//! Which transfers may run, how fast, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use peerage_api::control::{LimitUse, Limits, LimitsPatch, Rates};
use peerage_api::request;
use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::transfer::After;
use super::{Daemon, unix_now};

/// Name in the catalogue.
pub(super) const KEY: &str = "rules";

/// What was changed while it ran, over what the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Changed {
    paused: bool,
    paused_until: Option<u64>,
    /// 0 is unlimited.
    upload: Option<u64>,
    download: Option<u64>,
    downloads: Option<u64>,
    /// Over the schedule, until that changes its mind.
    alternative: Option<bool>,
}

/// The rules in force.
pub(super) struct Rules {
    changed: Changed,
    unsaved: bool,
    upload: Option<u64>,
    download: Option<u64>,
    downloads_max: u64,
    ratio_goal: f64,
    seeding_goal: u64,
    alternative: [Option<u64>; 2],
    schedule: Schedule,
    /// What the schedule says.
    scheduled: bool,
}

impl Rules {
    /// `rates`: bytes per second to and from peers.
    pub fn new(request: &request::Daemon, rates: [Option<u64>; 2]) -> Self {
        let [upload, download] = rates;
        // It was checked with the configuration.
        let schedule: Schedule = request.schedule.parse().unwrap_or_default();
        Self {
            changed: Changed::default(),
            unsaved: false,
            upload,
            download,
            downloads_max: request.downloads_max.into(),
            ratio_goal: request.ratio_goal,
            seeding_goal: request.seeding_goal,
            alternative: request.alternative,
            scheduled: schedule.covers_now(),
            schedule,
        }
    }

    pub fn load(&mut self, meta: &BTreeMap<String, Vec<u8>>) {
        let kept = meta.get(KEY).and_then(|bytes| serde_json::from_slice(bytes).ok());
        self.changed = kept.unwrap_or_default();
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.changed).unwrap_or_default()
    }

    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    pub fn is_paused(&self) -> bool {
        self.changed.paused
    }

    pub fn paused_until(&self) -> Option<u64> {
        self.changed.paused_until
    }

    fn over(changed: Option<u64>, configured: Option<u64>) -> Option<u64> {
        changed.or(configured).filter(|limit| *limit > 0)
    }

    /// Whether the alternative limits are in force.
    pub fn is_alternative(&self) -> bool {
        self.changed.alternative.unwrap_or(self.scheduled)
    }

    /// Asks the schedule; whether other limits are in force now. What was said by hand holds until it changes.
    fn follow_schedule(&mut self, scheduled: bool) -> bool {
        if scheduled == self.scheduled {
            return false;
        }
        let before = self.is_alternative();
        self.scheduled = scheduled;
        self.unsaved |= self.changed.alternative.take().is_some();
        self.is_alternative() != before
    }

    /// Bytes per second to and from peers.
    pub fn rates(&self) -> (Option<u64>, Option<u64>) {
        let [upload, download] = if self.is_alternative() { self.alternative } else { self.normal_rates() };
        (upload, download)
    }

    fn normal_rates(&self) -> [Option<u64>; 2] {
        [Self::over(self.changed.upload, self.upload), Self::over(self.changed.download, self.download)]
    }

    /// Downloads at a time.
    pub fn downloads_max(&self) -> Option<u64> {
        Self::over(self.changed.downloads, Some(self.downloads_max))
    }
}

impl Daemon {
    /// The transfers that may run now, in the order in which they are started.
    pub(super) fn permitted(&self) -> BTreeSet<String> {
        if self.rules.is_paused() {
            return BTreeSet::new();
        }
        let mut waiting: Vec<_> =
            self.transfers.values().filter(|transfer| transfer.wants_to_run()).collect();
        waiting.sort_by_key(|transfer| transfer.record.position);
        let mut places = self.rules.downloads_max().unwrap_or(u64::MAX);
        let permitted = waiting.into_iter().filter(|transfer| {
            let free = transfer.record.complete || places > 0;
            if !transfer.record.complete {
                places = places.saturating_sub(1);
            }
            free
        });
        permitted.map(|transfer| transfer.record.id.clone()).collect()
    }

    /// Pauses everything, for some time or until it is resumed.
    pub(crate) fn pause_all(&mut self, seconds: Option<u64>) {
        self.rules.changed.paused = true;
        self.rules.changed.paused_until = seconds.map(|seconds| unix_now().saturating_add(seconds));
        self.rules.unsaved = true;
        self.unsettled = true;
    }

    pub(crate) fn resume_all(&mut self) {
        self.rules.changed.paused = false;
        self.rules.changed.paused_until = None;
        self.rules.unsaved = true;
        self.unsettled = true;
    }

    /// Once a second: times that have come, goals that are reached.
    pub(super) fn keep_rules(&mut self) {
        let now = unix_now();
        if self.rules.changed.paused_until.is_some_and(|until| until <= now) {
            self.resume_all();
        }
        if !self.rules.schedule.is_empty() {
            let scheduled = self.rules.schedule.covers_now();
            if self.rules.follow_schedule(scheduled) {
                self.apply_rates();
            }
        }
        let ids: Vec<String> = self.transfers.keys().cloned().collect();
        for id in &ids {
            let Some(transfer) = self.transfers.get(id) else { continue };
            let record = &transfer.record;
            if record.paused_until.is_some_and(|until| until <= now) {
                self.resume(id);
            } else if let Some(note) = self.goal_reached(id) {
                if let Some(transfer) = self.transfers.get_mut(id) {
                    transfer.record.paused = true;
                    transfer.record.note = Some(note);
                }
                self.changed(id);
                self.unsettled = true;
            }
        }
        for id in self.expired() {
            self.stop_transfer(&id, After::Remove(false));
        }
    }

    /// Why a complete transfer has served enough.
    fn goal_reached(&self, id: &str) -> Option<String> {
        let transfer = self.transfers.get(id)?;
        let record = &transfer.record;
        let run = transfer.run().filter(|_| record.complete && !record.paused)?;
        let stats = self.driver.peer.swarm(run.torrent).map(peerage_swarm::Swarm::stats);
        let (downloaded, uploaded) = transfer.totals(stats);
        let ratio = record.ratio_goal.unwrap_or(self.rules.ratio_goal);
        if ratio > 0.0 && record.ratio(uploaded, downloaded) >= ratio {
            return Some(format!("it has reached its ratio of {ratio}"));
        }
        let seconds = record.seeding_goal.unwrap_or(self.rules.seeding_goal);
        let here = run.complete_since.map_or(0, |since| self.driver.now().since(since).as_secs());
        (seconds > 0 && record.seeding_seconds + here >= seconds)
            .then(|| format!("it was served for its {seconds} s"))
    }

    pub(super) fn apply_rates(&mut self) {
        let now = self.driver.now();
        let (upload, download) = self.rules.rates();
        self.driver.peer.set_rates(now, upload, download);
    }

    /// Changes limits of all transfers together.
    pub(crate) fn set_limits(&mut self, patch: &LimitsPatch) {
        let changed = &mut self.rules.changed;
        changed.upload = patch.upload.or(changed.upload);
        changed.download = patch.download.or(changed.download);
        changed.downloads = patch.downloads.or(changed.downloads);
        changed.alternative = patch.alternative.or(changed.alternative);
        self.rules.unsaved = true;
        self.unsettled = true;
        self.apply_rates();
    }

    /// Each limit with what is used of it.
    pub(crate) fn limits(&self) -> Limits {
        let [upload, download] = self.rules.normal_rates();
        let [other_upload, other_download] = self.rules.alternative;
        let changed = &self.rules.changed;
        let Rates { up, down } = self.board.status().rates;
        let stats = self.driver.peer.stats();
        let limit = |key: &str, limit: Option<u64>, used: u64, changed: bool| LimitUse {
            limit,
            used,
            ..self.described(key, changed)
        };
        let downloading =
            self.transfers.values().filter(|t| t.run().is_some() && !t.record.complete).count() as u64;
        let connections = Some(self.config.connections_max as u64);
        let half_open = Some(self.config.half_open_max as u64);
        Limits {
            limits: vec![
                limit("limits.upload", upload, up, changed.upload.is_some()),
                limit("limits.download", download, down, changed.download.is_some()),
                limit("alternative.upload", other_upload, up, false),
                limit("alternative.download", other_download, down, false),
                limit(
                    "daemon.downloads",
                    self.rules.downloads_max(),
                    downloading,
                    changed.downloads.is_some(),
                ),
                limit("network.connections", connections, stats.connections as u64, false),
                limit("network.half_open", half_open, stats.half_open as u64, false),
            ],
            in_force: if self.rules.is_alternative() { "alternative" } else { "normal" }.to_owned(),
        }
    }

    /// A limit without its values; `changed`: while it ran.
    fn described(&self, key: &str, changed: bool) -> LimitUse {
        let (help, unit) = match key {
            "limits.upload" => ("To peers", "bytes_per_second"),
            "limits.download" => ("From peers", "bytes_per_second"),
            "alternative.upload" => {
                ("To peers, while the alternative limits are in force", "bytes_per_second")
            }
            "alternative.download" => {
                ("From peers, while the alternative limits are in force", "bytes_per_second")
            }
            "daemon.downloads" => ("Downloads at a time", "transfers"),
            "network.connections" => ("Open connections", "connections"),
            _ => ("Connections being opened", "connections"),
        };
        let configured = self.request.settings.iter().find(|setting| setting.key == key);
        let origin = match (changed, configured) {
            (true, _) => "runtime",
            (false, Some(setting)) => setting.origin.as_str(),
            (false, None) => "default",
        };
        let (help, unit, origin) = (help.to_owned(), unit.to_owned(), origin.to_owned());
        LimitUse { key: key.to_owned(), help, unit, origin, ..LimitUse::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_by_hand_holds_until_the_schedule_changes_its_mind() {
        let request =
            request::Daemon { alternative: [Some(7), None], downloads_max: 1, ..request::Daemon::default() };
        let mut rules = Rules::new(&request, [Some(5), None]);
        assert_eq!(rules.rates(), (Some(5), None));
        assert!(rules.follow_schedule(true) && rules.rates() == (Some(7), None));
        rules.changed.alternative = Some(false);
        assert!(!rules.follow_schedule(true) && rules.rates() == (Some(5), None));
        assert!(!rules.follow_schedule(false), "it was off already");
        assert!(rules.take_unsaved() && rules.changed.alternative.is_none());
        assert!(rules.follow_schedule(true) && rules.is_alternative());
    }
}
