//! Who has what, as others have told: soft state with maxima.

use peerage_base::limits::OVERLAY_ADDRS_MAX;
use peerage_base::{Duration, Instant};
use peerage_wire::overlay::Id;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Holders by key.
#[derive(Clone, Debug)]
pub(crate) struct Holders {
    by_key: BTreeMap<Id, Vec<(SocketAddr, Instant)>>,
    /// When which entry is to be looked at.
    expiry: BTreeSet<(Instant, Id)>,
    keys_max: usize,
    lifetime: Duration,
}

impl Holders {
    pub(crate) fn new(keys_max: usize, lifetime: Duration) -> Self {
        Self { by_key: BTreeMap::new(), expiry: BTreeSet::new(), keys_max, lifetime }
    }

    /// Notes that `holder` has `key`. Whether there was room: a full table takes no new keys, a full entry loses
    /// the holder that was heard of longest ago.
    pub(crate) fn add(&mut self, now: Instant, key: Id, holder: SocketAddr) -> bool {
        if self.by_key.len() >= self.keys_max && !self.by_key.contains_key(&key) {
            return false;
        }
        let until = now + self.lifetime;
        let holders = self.by_key.entry(key).or_default();
        holders.retain(|(addr, _)| *addr != holder);
        if holders.len() >= OVERLAY_ADDRS_MAX {
            holders.remove(0);
        }
        // The oldest is first, since each new word moves its holder to the end.
        holders.push((holder, until));
        if holders.len() == 1 {
            self.expiry.insert((until, key));
        }
        true
    }

    /// Who has `key`, latest word first.
    pub(crate) fn of(&self, now: Instant, key: &Id) -> Vec<SocketAddr> {
        let alive = |entry: &&(SocketAddr, Instant)| entry.1 > now;
        let holders = self.by_key.get(key).into_iter().flatten();
        let mut addrs: Vec<SocketAddr> = holders.filter(alive).map(|(addr, _)| *addr).collect();
        addrs.reverse();
        addrs
    }

    /// Drops what nobody has said again in time.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((at, key)) = self.expiry.first().copied().filter(|(at, _)| *at <= now) {
            self.expiry.remove(&(at, key));
            let Some(holders) = self.by_key.get_mut(&key) else { continue };
            holders.retain(|(_, until)| *until > now);
            match holders.first() {
                Some((_, until)) => _ = self.expiry.insert((*until, key)),
                None => _ = self.by_key.remove(&key),
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Key;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn entries_end_unless_they_are_said_again() {
        let mut holders = Holders::new(10, Duration::from_secs(10));
        let at = |secs: u64| Instant::ZERO + Duration::from_secs(secs);
        let key = Key([1; 20]);
        holders.add(at(0), key, addr(1));
        holders.add(at(1), key, addr(2));
        holders.add(at(8), key, addr(1));
        assert_eq!(holders.of(at(9), &key), [addr(1), addr(2)]);
        assert_eq!(holders.of(at(12), &key), [addr(1)]);
        holders.expire(at(12));
        assert_eq!(holders.len(), 1);
        holders.expire(at(18));
        assert_eq!((holders.len(), holders.expiry.len()), (0, 0));
    }

    #[test]
    fn there_are_no_more_keys_and_holders_than_allowed() {
        let mut holders = Holders::new(10, Duration::from_secs(10));
        for byte in 0..20 {
            assert_eq!(holders.add(Instant::ZERO, Key([byte; 20]), addr(1)), byte < 10);
        }
        for port in 1..1000 {
            assert!(holders.add(Instant::ZERO, Key([3; 20]), addr(port)));
        }
        assert_eq!(holders.len(), 10);
        assert_eq!(holders.of(Instant::ZERO, &Key([3; 20])).len(), OVERLAY_ADDRS_MAX);
    }
}
