//! The peers that announce themselves to us (BEP 5, 33).

use super::flood::host;
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::krpc::{Bloom, Id};
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug)]
struct Peer {
    addr: SocketAddr,
    seed: bool,
    at: Instant,
}

/// Peers of torrents, by the torrent's distance from us: when there are too many torrents, the
/// farthest goes, which others keep. One peer per host (BEP 33).
#[derive(Clone, Debug)]
pub(super) struct PeerStore {
    local: Id,
    torrents_max: usize,
    peers_max: usize,
    expiry: Duration,
    torrents: BTreeMap<Id, BTreeMap<SocketAddr, Peer>>,
}

impl PeerStore {
    pub(super) fn new(local: Id, torrents_max: usize, peers_max: usize, expiry: Duration) -> Self {
        Self { local, torrents_max, peers_max, expiry, torrents: BTreeMap::new() }
    }

    /// Our position changed: what is far goes first.
    pub(super) fn move_to(&mut self, local: Id) {
        let old = core::mem::replace(&mut self.local, local);
        let torrents = core::mem::take(&mut self.torrents);
        let moved =
            torrents.into_iter().map(|(distance, peers)| (old.distance(&distance).distance(&local), peers));
        self.torrents = moved.collect();
    }

    /// Torrents with peers.
    pub(super) fn torrents(&self) -> usize {
        self.torrents.len()
    }

    /// A peer announces itself. When a torrent has too many, a random one makes room, so that no
    /// flood stays.
    pub(super) fn announce(&mut self, now: Instant, hash: &Id, addr: SocketAddr, seed: bool, rng: &mut Rng) {
        let peers = self.torrents.entry(self.local.distance(hash)).or_default();
        let host = host(addr);
        if peers.len() >= self.peers_max && !peers.contains_key(&host) {
            let victim = rng.index(peers.len());
            if let Some(victim) = peers.keys().nth(victim).copied() {
                peers.remove(&victim);
            }
        }
        peers.insert(host, Peer { addr, seed, at: now });
        if self.torrents.len() > self.torrents_max {
            self.torrents.pop_last();
        }
    }

    /// Up to `count` peers of the asker's family, from a random place on.
    pub(super) fn some(
        &self,
        now: Instant,
        hash: &Id,
        (v4, no_seeds): (bool, bool),
        count: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(peers) = self.torrents.get(&self.local.distance(hash)) else { return Vec::new() };
        let start = rng.index(peers.len());
        let fits = |peer: &&Peer| {
            peer.addr.is_ipv4() == v4 && now.since(peer.at) < self.expiry && !(no_seeds && peer.seed)
        };
        peers
            .values()
            .skip(start)
            .chain(peers.values().take(start))
            .filter(fits)
            .take(count)
            .map(|p| p.addr)
            .collect()
    }

    /// Filters of seeds and of others (BEP 33); `None` when the torrent is unknown.
    pub(super) fn filters(&self, now: Instant, hash: &Id) -> Option<(Bloom, Bloom)> {
        let peers = self.torrents.get(&self.local.distance(hash))?;
        let (mut seeds, mut others) = (Bloom::default(), Bloom::default());
        for peer in peers.values().filter(|peer| now.since(peer.at) < self.expiry) {
            if peer.seed { &mut seeds } else { &mut others }.insert(peer.addr.ip());
        }
        Some((seeds, others))
    }

    /// Up to `count` torrents, from a random place on (BEP 51).
    pub(super) fn sample(&self, count: usize, rng: &mut Rng) -> Vec<[u8; 20]> {
        let start = rng.index(self.torrents.len());
        let keys = self.torrents.keys().skip(start).chain(self.torrents.keys().take(start));
        keys.take(count).map(|distance| self.local.distance(distance).0).collect()
    }

    /// Forgets who did not announce again in time.
    pub(super) fn expire(&mut self, now: Instant) {
        let expiry = self.expiry;
        self.torrents.retain(|_, peers| {
            peers.retain(|_, peer| now.since(peer.at) < expiry);
            !peers.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Key;
    use std::net::{IpAddr, Ipv4Addr};

    const HALF_HOUR: Duration = Duration::from_secs(1800);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn addr(n: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::from(Ipv4Addr::from(0x0800_0000 + n)), 6881)
    }

    fn store() -> (PeerStore, Rng) {
        (PeerStore::new(Key([0; 20]), 2000, 500, HALF_HOUR), Rng::from_number(1))
    }

    /// threats.md D6: storage within its limits after a million announces.
    #[test]
    fn a_million_announces_stay_within_limits() {
        let (mut store, mut rng) = store();
        for n in 0..1_000_000_u32 {
            // Mostly new torrents, every fourth for the same.
            let hash = if n % 4 == 0 { Key([0; 20]) } else { Key::random(&mut rng) };
            store.announce(at(0), &hash, addr(n), n % 2 == 0, &mut rng);
        }
        assert_eq!(store.torrents(), 2000);
        assert!(store.torrents.values().all(|peers| peers.len() <= 500));
        assert_eq!(store.some(at(0), &Key([0; 20]), (true, false), 1000, &mut rng).len(), 500);
    }

    #[test]
    fn peers_are_told_by_family_seed_and_age() {
        let (mut store, mut rng) = store();
        let hash = Key([7; 20]);
        store.announce(at(0), &hash, addr(1), true, &mut rng);
        store.announce(at(0), &hash, addr(2), false, &mut rng);
        store.announce(at(0), &hash, "[2a00::1]:9".parse().unwrap(), false, &mut rng);
        let mut some = |now, kind| {
            let mut found = store.some(at(now), &hash, kind, 50, &mut rng);
            found.sort_unstable();
            found
        };
        assert_eq!(some(0, (true, false)), [addr(1), addr(2)]);
        assert_eq!(some(0, (true, true)), [addr(2)]);
        assert_eq!(some(0, (false, false)).len(), 1);
        assert_eq!(some(1800, (true, false)), []);
        let (seeds, others) = store.filters(at(0), &hash).unwrap();
        assert_eq!((seeds.estimate().round(), others.estimate().round()), (1.0, 2.0));
        assert_eq!(store.filters(at(0), &Key([8; 20])), None);
        store.expire(at(1800));
        assert_eq!(store.torrents(), 0);
    }

    /// BEP 33: a host counts once; its port and state may change.
    #[test]
    fn a_host_is_one_peer() {
        let (mut store, mut rng) = store();
        let hash = Key([7; 20]);
        for port in 1..100 {
            store.announce(at(0), &hash, SocketAddr::new(addr(1).ip(), port), false, &mut rng);
        }
        assert_eq!(
            store.some(at(0), &hash, (true, false), 50, &mut rng),
            [SocketAddr::new(addr(1).ip(), 99)]
        );
        // Programs on this machine are told apart by their port.
        for port in 1..4 {
            store.announce(at(0), &hash, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port), false, &mut rng);
        }
        assert_eq!(store.some(at(0), &hash, (true, false), 50, &mut rng).len(), 4);
    }

    #[test]
    fn samples_are_what_is_stored() {
        let (mut store, mut rng) = store();
        assert!(store.sample(20, &mut rng).is_empty());
        (0..50).for_each(|n| store.announce(at(0), &Key([n; 20]), addr(1), false, &mut rng));
        let sample = store.sample(20, &mut rng);
        assert_eq!(sample.len(), 20);
        assert!(sample.iter().all(|hash| hash[0] < 50 && *hash == [hash[0]; 20]));
        store.move_to(Key([0xAB; 20]));
        assert!(store.filters(at(0), &Key([49; 20])).is_some());
    }
}
