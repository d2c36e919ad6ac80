//! Who shares what: the tracker's table, bounded in every direction.

use peerage_base::Rng;
use peerage_wire::tracker::{Event, ScrapeEntry};
use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Peers looked at to find the one that makes room in a full torrent.
const EVICTION_SAMPLE: usize = 8;

/// Bounds of a [`Table`]; see [`super::Config`] for what they mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) torrents_max: usize,
    pub(super) peers_max: usize,
    pub(super) peers_per_torrent_max: usize,
    pub(super) expiry: Duration,
}

/// What a peer says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announce {
    pub(super) info_hash: [u8; 20],
    pub(super) addr: SocketAddr,
    pub(super) left: u64,
    pub(super) event: Event,
}

/// A peer.
#[derive(Clone, Copy, Debug)]
struct Entry {
    addr: SocketAddr,
    seed: bool,
    seen: Instant,
}

/// A full table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug, Default)]
struct Torrent {
    /// In no order; `index` says where an address stands.
    peers: Vec<Entry>,
    index: HashMap<SocketAddr, usize>,
    seeds: u32,
    completed: u32,
}

impl Torrent {
    fn remove(&mut self, at: usize) {
        let gone = self.peers.swap_remove(at);
        self.index.remove(&gone.addr);
        self.seeds -= u32::from(gone.seed);
        if let Some(moved) = self.peers.get(at) {
            self.index.insert(moved.addr, at);
        }
    }

    fn counts(&self) -> ScrapeEntry {
        let all = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        ScrapeEntry { seeds: self.seeds, leechers: all.saturating_sub(self.seeds), completed: self.completed }
    }
}

/// All torrents.
#[derive(Debug)]
pub(super) struct Table {
    bounds: Bounds,
    torrents: HashMap<[u8; 20], Torrent>,
    peers: usize,
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, torrents: HashMap::new(), peers: 0 }
    }

    /// Torrents and peers known.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.torrents.len(), self.peers)
    }

    /// Takes in an announce. The table keeps its bounds: a full torrent forgets the peer of a small
    /// random sample that was heard of longest ago; a full table takes no new torrent or peer.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        announce: &Announce,
    ) -> Result<ScrapeEntry, Full> {
        let Announce { info_hash, addr, .. } = *announce;
        if announce.event == Event::Stopped {
            return Ok(self.stop(&info_hash, addr));
        }
        if !self.torrents.contains_key(&info_hash) && self.torrents.len() >= self.bounds.torrents_max {
            return Err(Full);
        }
        let torrent = self.torrents.entry(info_hash).or_default();
        let seed = announce.left == 0;
        let entry = Entry { addr, seed, seen: now };
        if let Some(&at) = torrent.index.get(&addr) {
            let old = std::mem::replace(&mut torrent.peers[at], entry);
            torrent.seeds = torrent.seeds - u32::from(old.seed) + u32::from(seed);
            // Counted once: only when a peer that was known as a leecher becomes a seed.
            if announce.event == Event::Completed && seed && !old.seed {
                torrent.completed = torrent.completed.saturating_add(1);
            }
            return Ok(torrent.counts());
        }
        if torrent.peers.len() >= self.bounds.peers_per_torrent_max {
            let sample = (0..EVICTION_SAMPLE).map(|_| rng.index(torrent.peers.len()));
            if let Some(at) = sample.min_by_key(|&at| torrent.peers[at].seen) {
                torrent.remove(at);
                self.peers -= 1;
            }
        } else if self.peers >= self.bounds.peers_max {
            if torrent.peers.is_empty() {
                self.torrents.remove(&info_hash);
            }
            return Err(Full);
        }
        torrent.index.insert(addr, torrent.peers.len());
        torrent.peers.push(entry);
        torrent.seeds += u32::from(seed);
        self.peers += 1;
        Ok(torrent.counts())
    }

    fn stop(&mut self, info_hash: &[u8; 20], addr: SocketAddr) -> ScrapeEntry {
        let Some(torrent) = self.torrents.get_mut(info_hash) else { return ScrapeEntry::default() };
        if let Some(&at) = torrent.index.get(&addr) {
            torrent.remove(at);
            self.peers -= 1;
        }
        torrent.counts()
    }

    /// At most `want` peers for the one at `to`: a run from a random place. A seed is told of no
    /// seeds. `fits` chooses the family.
    pub(super) fn peers(
        &self,
        rng: &mut Rng,
        announce: &Announce,
        want: usize,
        fits: impl Fn(&SocketAddr) -> bool,
    ) -> Vec<SocketAddr> {
        let Some(torrent) = self.torrents.get(&announce.info_hash) else { return Vec::new() };
        let (before, after) = torrent.peers.split_at(rng.index(torrent.peers.len()));
        let seed = announce.left == 0;
        let others = after.iter().chain(before);
        let useful = others.filter(|e| e.addr != announce.addr && !(seed && e.seed) && fits(&e.addr));
        useful.take(want).map(|e| e.addr).collect()
    }

    pub(super) fn scrape(&self, info_hash: &[u8; 20]) -> ScrapeEntry {
        self.torrents.get(info_hash).map(Torrent::counts).unwrap_or_default()
    }

    /// Forgets peers that were silent for too long, and torrents without any.
    pub(super) fn expire(&mut self, now: Instant) {
        for torrent in self.torrents.values_mut() {
            let mut at = 0;
            while let Some(entry) = torrent.peers.get(at) {
                if now.saturating_duration_since(entry.seen) > self.bounds.expiry {
                    torrent.remove(at);
                    self.peers -= 1;
                } else {
                    at += 1;
                }
            }
        }
        self.torrents.retain(|_, torrent| !torrent.peers.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert, proptest};

    const BOUNDS: Bounds = Bounds {
        torrents_max: 4,
        peers_max: 24,
        peers_per_torrent_max: 10,
        expiry: Duration::from_secs(100),
    };

    fn announce(torrent: u8, port: u16, left: u64, event: Event) -> Announce {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Announce { info_hash: [torrent; 20], addr, left, event }
    }

    /// Every count agrees with a recount, and every bound holds.
    fn check(table: &Table) {
        let mut all = 0;
        for torrent in table.torrents.values() {
            assert_eq!(torrent.index.len(), torrent.peers.len());
            for (at, entry) in torrent.peers.iter().enumerate() {
                assert_eq!(torrent.index[&entry.addr], at);
            }
            assert_eq!(torrent.seeds as usize, torrent.peers.iter().filter(|e| e.seed).count());
            assert!(torrent.peers.len() <= BOUNDS.peers_per_torrent_max);
            all += torrent.peers.len();
        }
        assert_eq!(all, table.peers);
        assert!(table.peers <= BOUNDS.peers_max && table.torrents.len() <= BOUNDS.torrents_max);
    }

    proptest! {
        #[test]
        fn bounds_and_counts_hold_after_any_announces(
            steps in prop::collection::vec((0u8..6, 0u16..40, 0u64..2, 0u8..4, 0u64..60), 0..300),
        ) {
            let mut table = Table::new(BOUNDS);
            let mut rng = Rng::from_number(1);
            let mut now = Instant::now();
            for (torrent, port, left, kind, wait) in steps {
                now += Duration::from_secs(wait);
                let kind = [Event::None, Event::None, Event::Completed, Event::Stopped][usize::from(kind)];
                let peer = announce(torrent, port, left, kind);
                let _ = table.announce(now, &mut rng, &peer);
                let told = table.peers(&mut rng, &peer, 5, |_| true);
                prop_assert!(told.len() <= 5 && told.iter().all(|addr| *addr != peer.addr));
                if port % 7 == 0 {
                    table.expire(now);
                    let old = table.torrents.values().flat_map(|t| &t.peers).map(|e| now - e.seen).max();
                    prop_assert!(old.is_none_or(|old| old <= BOUNDS.expiry));
                }
                check(&table);
            }
        }
    }

    #[test]
    fn a_full_table_refuses_and_a_full_torrent_forgets() {
        let mut table = Table::new(BOUNDS);
        let (mut rng, now) = (Rng::from_number(1), Instant::now());
        for port in 0..20 {
            assert!(table.announce(now, &mut rng, &announce(1, port, 1, Event::None)).is_ok());
        }
        assert_eq!(table.len(), (1, 10));
        for torrent in 2..=4 {
            assert!(table.announce(now, &mut rng, &announce(torrent, 1, 1, Event::None)).is_ok());
        }
        assert_eq!(table.announce(now, &mut rng, &announce(5, 1, 1, Event::None)), Err(Full));
        table.expire(now + BOUNDS.expiry + Duration::from_secs(1));
        assert_eq!(table.len(), (0, 0));
    }

    #[test]
    fn a_completion_counts_once_and_seeds_are_not_told_of_seeds() {
        let mut table = Table::new(BOUNDS);
        let (mut rng, now) = (Rng::from_number(1), Instant::now());
        let _ = table.announce(now, &mut rng, &announce(1, 1, 0, Event::None));
        let _ = table.announce(now, &mut rng, &announce(1, 2, 5, Event::None));
        for _ in 0..3 {
            let _ = table.announce(now, &mut rng, &announce(1, 2, 0, Event::Completed));
        }
        assert_eq!(table.scrape(&[1; 20]), ScrapeEntry { seeds: 2, leechers: 0, completed: 1 });
        assert!(table.peers(&mut rng, &announce(1, 1, 0, Event::None), 9, |_| true).is_empty());
        assert_eq!(table.peers(&mut rng, &announce(1, 3, 7, Event::None), 9, |_| true).len(), 2);
        assert_eq!(table.announce(now, &mut rng, &announce(1, 2, 0, Event::Stopped)).map(|c| c.seeds), Ok(1));
    }
}
