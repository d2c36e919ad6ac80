//! How the daemon is doing, as the API shows it.

use std::collections::VecDeque;

use peerage_api::control::{Build, Change, Counts, DhtHealth, Rates, Status, Totals, TransferState};
use peerage_api::reply;
use std::path::Path;

use super::{Daemon, unix_now};
use crate::dht;
use crate::driver::Driver;
use crate::link;
use crate::ops::{free_bytes, status_reply};

/// Warnings that are shown.
const WARNINGS_MAX: usize = 20;

/// What is known between two looks.
pub(super) struct Kept {
    pub started_at: u64,
    pub mapped: Option<String>,
    pub dht: Option<dht::Status>,
    warnings: VecDeque<String>,
}

impl Kept {
    pub fn new() -> Self {
        Self { started_at: unix_now(), mapped: None, dht: None, warnings: VecDeque::new() }
    }

    /// Keeps a warning, for those who look later.
    pub fn warn(&mut self, message: String) {
        if !self.warnings.contains(&message) {
            self.warnings.push_back(message);
        }
        if self.warnings.len() > WARNINGS_MAX {
            self.warnings.pop_front();
        }
    }

    /// The DHT's part, for the events of the command.
    pub fn dht_reply(&self, driver: &Driver) -> Option<reply::DhtStatus> {
        Some(status_reply(self.dht.as_ref()?, &driver.local_addrs()))
    }
}

impl Daemon {
    /// Looks at the whole.
    pub(super) async fn watch_status(&mut self) {
        self.status.dht = self.driver.dht_status().await;
        let listen = self.driver.local_addrs();
        let mut counts = Counts::default();
        let (mut rates, mut totals) = (Rates::default(), Totals::default());
        for transfer in self.transfers.values() {
            let stats = transfer.run().and_then(|run| self.driver.peer.swarm(run.torrent)).map(|s| s.stats());
            let (down, up) = transfer.totals(stats);
            totals.downloaded += down;
            totals.uploaded += up;
            rates.down += stats.map_or(0, |stats| stats.download_rate);
            rates.up += stats.map_or(0, |stats| stats.upload_rate);
            counts.all += 1;
            match transfer.state() {
                TransferState::Checking | TransferState::Moving => counts.checking += 1,
                TransferState::Metadata => counts.metadata += 1,
                TransferState::Downloading => counts.downloading += 1,
                TransferState::Seeding => counts.seeding += 1,
                TransferState::Queued => counts.queued += 1,
                TransferState::Paused => counts.paused += 1,
                TransferState::Error => counts.error += 1,
            }
        }
        let stats = self.driver.peer.stats();
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let dht = self.status.dht.as_ref().map(|status| DhtHealth {
            node_id: status.ids[0].to_string(),
            nodes: number(status.nodes[0] + status.nodes[1]),
            network_about: status.network[0].map(|nodes| nodes.round() as u64),
            torrents: number(status.kept.0),
            items: number(status.kept.1),
        });
        self.board.set_status(Status {
            build: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                api: peerage_api::control::API_VERSION.to_owned(),
            },
            pid: std::process::id(),
            started_at: self.status.started_at,
            peer: self.driver.key().map(|key| key.to_string()),
            reachable: link::reachable(&listen).iter().map(ToString::to_string).collect(),
            listen: listen.iter().map(ToString::to_string).collect(),
            mapped: self.status.mapped.clone(),
            transfers: counts,
            rates,
            totals,
            peers: number(stats.connections.saturating_sub(stats.half_open)),
            half_open: number(stats.half_open),
            dht,
            folder: self.request.downloads.to_string_lossy().into_owned(),
            free_bytes: free_bytes(existing(&self.request.downloads)),
            paused_until: self.rules.paused_until(),
            paused: self.rules.is_paused(),
            alternative_limits: self.rules.is_alternative(),
            warnings: self.status.warnings.iter().cloned().collect(),
        });
    }

    /// Transfers whose numbers have moved since they were shown are shown anew.
    pub(super) fn mark_moved(&mut self) {
        for (torrent, id) in &self.by_torrent {
            let Some(swarm) = self.driver.peer.swarm(*torrent) else { continue };
            let Some(run) = self.transfers.get_mut(id).and_then(|transfer| transfer.run_mut()) else {
                continue;
            };
            if run.seen.as_ref() != Some(swarm.stats()) {
                run.seen = Some(swarm.stats().clone());
                self.dirty.insert(id.clone());
            }
        }
    }

    /// Shows what has changed to the API.
    pub(super) fn publish(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(transfer) = self.transfers.get(&id) else { continue };
            let torrent = transfer.run().map(|run| run.torrent);
            let stats =
                torrent.and_then(|torrent| self.driver.peer.swarm(torrent)).map(|swarm| swarm.stats());
            let known = torrent.map_or(0, |torrent| self.driver.peer.known(torrent));
            let shown = transfer.shown(stats, known);
            let (name, state, note) = (shown.name.clone(), shown.state, shown.note.clone());
            let before = self.board.show(shown);
            if before.is_some_and(|before| before.state != state || before.note != note) {
                self.tell(Change::TransferState { transfer: id, name, state, note });
            }
        }
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}
