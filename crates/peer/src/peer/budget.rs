//! How torrents share the line and the memory.

use super::Peer;
use peerage_base::{Instant, TorrentId};

/// What a torrent may have in flight at least: 1 MiB keeps 100 ms at 10 MiB/s busy.
const INFLIGHT_MIN: u64 = 1024 * 1024;

impl Peer {
    /// Asks for blocks and sends blocks within the budgets: once per batch of inputs, before the
    /// outputs are drained.
    pub fn pump(&mut self, now: Instant) {
        self.now = now;
        self.up.refill(now);
        self.down.refill(now);
        let mut ids = core::mem::take(&mut self.unpumped);
        if self.up.rate().is_some() || self.down.rate().is_some() {
            self.sort_by_fairness(&mut ids);
        }
        for id in &ids {
            let Some(torrent) = self.torrents.get_mut(id) else { continue };
            torrent.wants_pump = false;
            torrent.swarm.pump(now, &mut self.up, &mut self.down);
            if !self.up.is_open() || !self.down.is_open() {
                self.starved.insert(*id);
            }
        }
        ids.clear();
        // Keeps the allocation.
        if self.unpumped.is_empty() {
            self.unpumped = ids;
        }
    }

    /// A shut bucket serves one torrent's burst at a time: whoever moved least in this window comes
    /// first, so that all get equal shares of what they ask for.
    fn sort_by_fairness(&self, ids: &mut [TorrentId]) {
        let weight = |bucket: &peerage_swarm::Bucket| u64::from(bucket.rate().is_some());
        let (up, down) = (weight(&self.up), weight(&self.down));
        let moved = |id: &TorrentId| {
            let moved = self.torrents.get(id).map_or((0, 0), super::Torrent::moved);
            (moved.0.saturating_mul(up).saturating_add(moved.1.saturating_mul(down)), *id)
        };
        ids.sort_by_cached_key(moved);
    }

    /// When a bucket that stopped somebody opens.
    pub(super) fn starved_until(&self) -> Option<Instant> {
        if self.starved.is_empty() {
            return None;
        }
        [self.up.opens_at(), self.down.opens_at()].into_iter().flatten().min()
    }

    /// Torrents that found a bucket shut are pumped again once it is open.
    pub(super) fn feed_starved(&mut self, now: Instant) {
        if self.starved.is_empty() {
            return;
        }
        self.up.refill(now);
        self.down.refill(now);
        let due = self.starved_until().is_none_or(|at| at <= now);
        if due || (self.up.is_open() && self.down.is_open()) {
            for id in core::mem::take(&mut self.starved) {
                self.touch(id);
            }
        }
    }

    /// The torrent has something to do: outputs to drain, wants to pump.
    pub(super) fn touch(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        if !torrent.dirty {
            torrent.dirty = true;
            self.dirty.push(id);
        }
        if !torrent.wants_pump {
            torrent.wants_pump = true;
            self.unpumped.push(id);
        }
    }

    /// Divides the bytes in flight among the torrents that download.
    pub(super) fn share_inflight(&mut self) {
        let active =
            |id: &TorrentId, torrent: &super::Torrent| !torrent.is_done() && self.conns.of_torrent(*id) > 0;
        let count = self.torrents.iter().filter(|(id, torrent)| active(id, torrent)).count() as u64;
        let share = (self.config.inflight_bytes_max / count.max(1))
            .max(INFLIGHT_MIN.min(self.config.inflight_bytes_max));
        for torrent in self.torrents.values_mut() {
            torrent.swarm.set_inflight_max(share);
        }
    }
}
