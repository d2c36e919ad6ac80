//! Super-seeding (BEP 16): the only seed shows each peer a few pieces, and more once those were passed
//! on, so that it sends hardly more than one copy before others can go on alone.

use crate::Bitfield;
use peerage_base::{Duration, Instant};
use std::collections::BTreeMap;

/// Pieces shown to one peer that were not seen at others yet.
const SHOWN_MAX: usize = 2;
/// A peer that has what it was shown and finds nobody to pass it on to gets more after this time.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
struct Shown {
    /// Shown and not seen at another peer yet.
    open: Vec<u32>,
    /// All ever shown.
    all: Bitfield,
    at: Instant,
}

/// What each peer was shown.
#[derive(Clone, Debug, Default)]
pub struct SuperSeed {
    peers: BTreeMap<u32, Shown>,
    /// Per piece: to how many it was shown.
    times: Vec<u32>,
}

impl SuperSeed {
    /// Nothing shown yet.
    #[must_use]
    pub fn new(pieces: u32) -> Self {
        Self { peers: BTreeMap::new(), times: vec![0; pieces as usize] }
    }

    /// A peer is gone: what it was shown and did not pass on counts as not shown.
    pub fn remove(&mut self, slot: u32) {
        if let Some(shown) = self.peers.remove(&slot) {
            for piece in shown.open {
                self.times[piece as usize] = self.times[piece as usize].saturating_sub(1);
            }
        }
    }

    /// Whether a piece was shown to a peer.
    #[must_use]
    pub fn is_shown(&self, slot: u32, piece: u32) -> bool {
        self.peers.get(&slot).is_some_and(|shown| shown.all.get(piece))
    }

    /// A peer says that it has a piece. Returns the peers that were shown it and have passed it on.
    pub fn seen(&mut self, slot: u32, piece: u32) -> Vec<u32> {
        let mut passed = Vec::new();
        for (&other, shown) in self.peers.iter_mut().filter(|(other, _)| **other != slot) {
            let before = shown.open.len();
            shown.open.retain(|open| *open != piece);
            if shown.open.len() < before {
                passed.push(other);
            }
        }
        passed
    }

    /// The next piece to show to a peer, when it should be shown one: the one shown and held least.
    /// `alone`: there is nobody to pass pieces on to.
    pub fn show(
        &mut self,
        now: Instant,
        slot: u32,
        have: &Bitfield,
        alone: bool,
        count: impl Fn(u32) -> u32,
    ) -> Option<u32> {
        let pieces = self.times.len() as u32;
        let shown = self.peers.entry(slot).or_default();
        if shown.all.len() != pieces {
            shown.all = Bitfield::new(pieces);
        }
        let has_all = shown.open.iter().all(|piece| have.get(*piece));
        let stuck = has_all && (alone || now.since(shown.at) >= PATIENCE);
        if shown.open.len() >= SHOWN_MAX && !stuck {
            return None;
        }
        if stuck {
            shown.open.clear();
        }
        let candidates = (0..pieces).filter(|piece| !have.get(*piece) && !shown.all.get(*piece));
        // Peers begin at different places, lest the first of equals be shown in the same order.
        let turned = |piece: u32| (piece + pieces - slot.wrapping_mul(7919) % pieces.max(1)) % pieces.max(1);
        let piece =
            candidates.min_by_key(|piece| (count(*piece) + self.times[*piece as usize], turned(*piece)))?;
        self.times[piece as usize] += 1;
        shown.open.push(piece);
        shown.all.set(piece);
        shown.at = now;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_shown_more_only_when_it_passed_on() {
        let mut machine = SuperSeed::new(10);
        let (none, now) = (Bitfield::new(10), Instant::ZERO);
        let show = |machine: &mut SuperSeed, slot| machine.show(now, slot, &none, false, |_| 0);
        let first = show(&mut machine, 0).unwrap();
        let second = show(&mut machine, 0).unwrap();
        assert_eq!(show(&mut machine, 0), None);
        let other = show(&mut machine, 1).unwrap();
        assert!(other != first && other != second);
        assert_eq!(machine.seen(0, first), [] as [u32; 0], "its own word does not count");
        assert_eq!(machine.seen(1, first), [0]);
        assert!(show(&mut machine, 0).is_some());
        assert!(machine.is_shown(0, first) && !machine.is_shown(1, first));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut machine = SuperSeed::new(10);
        let mut have = Bitfield::new(10);
        for _ in 0..2 {
            let piece = machine.show(Instant::ZERO, 0, &have, false, |_| 0).unwrap();
            have.set(piece);
        }
        assert_eq!(machine.show(Instant::ZERO, 0, &have, false, |_| 0), None);
        assert!(machine.show(Instant::ZERO + PATIENCE, 0, &have, false, |_| 0).is_some());
        machine.remove(0);
        for _ in 0..10 {
            let Some(piece) = machine.show(Instant::ZERO, 1, &have, true, |_| 0) else { break };
            have.set(piece);
        }
        assert!(have.is_full(), "alone, a peer is shown all of it: {have:?}");
    }
}
