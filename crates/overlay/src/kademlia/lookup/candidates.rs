//! The nodes that one path of a look-up knows of, closest first.
//!
//! In a simulation most of the time is spent here. What every message looks at, 16 bytes for each node, lies apart
//! from its key and address: a path of 96 nodes is searched within a page of memory, and shifted rather than walked.

use super::State;
use peerage_base::Key;
use std::cmp::Ordering;
use std::net::SocketAddr;

/// Nodes that one path remembers; the farthest is forgotten.
pub(super) const CANDIDATES_MAX: usize = 96;

/// Suspects last, then by distance; an address makes it unique.
pub(super) type Place<const N: usize> = (bool, Key<N>, SocketAddr);

/// A node, in short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The first bits of its distance.
    rank: u64,
    /// See [`tag`].
    tag: u32,
    /// Where its key and address are.
    slot: u16,
    suspect: bool,
    /// Whether and how it was asked, by this path or another.
    pub(super) state: Option<State>,
}

/// The nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates<const N: usize> {
    /// In the order of their places.
    sorted: Vec<Candidate>,
    /// Distances and addresses, in no order.
    slots: Vec<(Key<N>, SocketAddr)>,
}

/// A short stand-in for an address: those that differ in it differ.
pub(super) fn tag(addr: &SocketAddr) -> u32 {
    let ip = match addr {
        SocketAddr::V4(v4) => u32::from(*v4.ip()),
        SocketAddr::V6(v6) => {
            v6.ip().segments().iter().fold(0, |sum: u32, part| sum.rotate_left(5) ^ u32::from(*part))
        }
    };
    ip ^ u32::from(addr.port()) << 16
}

fn rank<const N: usize>(distance: &Key<N>) -> u64 {
    distance.0.iter().take(8).fold(0, |rank, byte| rank << 8 | u64::from(*byte))
}

impl<const N: usize> Candidates<N> {
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// All, closest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.sorted.iter()
    }

    /// A candidate's distance and address.
    pub(super) fn at(&self, candidate: &Candidate) -> Option<(Key<N>, SocketAddr)> {
        self.slots.get(usize::from(candidate.slot)).copied()
    }

    /// Where a place is, or would be.
    pub(super) fn position(&self, place: &Place<N>) -> Result<usize, usize> {
        let (suspect, distance, addr) = place;
        let rank = rank(distance);
        self.sorted.binary_search_by(|candidate| {
            (candidate.suspect, candidate.rank).cmp(&(*suspect, rank)).then_with(|| {
                let slot = self.slots.get(usize::from(candidate.slot));
                slot.map_or(Ordering::Equal, |(own, other)| own.cmp(distance).then_with(|| other.cmp(addr)))
            })
        })
    }

    /// Adds one where [`Self::position`] says; who is forgotten for it, which may be itself.
    pub(super) fn insert(&mut self, at: usize, place: &Place<N>, state: Option<State>) -> Option<SocketAddr> {
        let (suspect, distance, addr) = *place;
        let (mut slot, mut forgotten) = (self.slots.len(), None);
        if self.sorted.len() >= CANDIDATES_MAX {
            if at >= self.sorted.len() {
                return Some(addr);
            }
            // Those that answered are among the closest: none of them is lost.
            slot = self.sorted.pop().map_or(slot, |last| usize::from(last.slot));
            forgotten = self.slots.get(slot).map(|(_, addr)| *addr);
        }
        let candidate =
            Candidate { rank: rank(&distance), tag: tag(&addr), slot: slot as u16, suspect, state };
        match self.slots.get_mut(slot) {
            Some(own) => *own = (distance, addr),
            None => self.slots.push((distance, addr)),
        }
        self.sorted.insert(at, candidate);
        forgotten
    }

    /// What is known of an address from now on.
    pub(super) fn note(&mut self, addr: &SocketAddr, tag: u32, state: State) {
        for candidate in self.sorted.iter_mut().filter(|candidate| candidate.tag == tag) {
            if self.slots.get(usize::from(candidate.slot)).is_some_and(|(_, own)| own == addr) {
                candidate.state = Some(state);
            }
        }
    }

    /// Those that answered, closest first.
    pub(super) fn answered(&self) -> impl Iterator<Item = Place<N>> {
        let answered = self.sorted.iter().filter(|candidate| candidate.state == Some(State::Answered));
        answered.filter_map(|candidate| {
            let (distance, addr) = self.at(candidate)?;
            Some((candidate.suspect, distance, addr))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Rng;
    use std::collections::BTreeSet;

    /// Against a sorted set that forgets its last.
    #[test]
    fn it_keeps_what_a_sorted_set_keeps() {
        for seed in 0..200 {
            let mut rng = Rng::from_number(seed);
            let (mut ours, mut model) = (Candidates::<2>::default(), BTreeSet::new());
            for _ in 0..400 {
                // So few keys and addresses that all ways of being equal come up.
                let addr = SocketAddr::from(([10, 0, 0, rng.below(200) as u8], 1 + rng.below(2) as u16));
                let place = (rng.below(4) == 0, Key([rng.below(8) as u8, rng.below(8) as u8]), addr);
                let Err(at) = ours.position(&place) else {
                    assert!(model.contains(&place));
                    continue;
                };
                assert!(model.insert(place));
                let last = if model.len() > CANDIDATES_MAX { model.pop_last() } else { None };
                assert_eq!(ours.insert(at, &place, None), last.map(|last| last.2));
            }
            let found: Vec<Place<2>> = ours
                .iter()
                .map(|candidate| {
                    let (distance, addr) = ours.at(candidate).unwrap();
                    (candidate.suspect, distance, addr)
                })
                .collect();
            assert_eq!(found, model.iter().copied().collect::<Vec<_>>());
            let addr = found[5].2;
            ours.note(&addr, tag(&addr), State::Answered);
            let noted: Vec<Place<2>> = found.into_iter().filter(|place| place.2 == addr).collect();
            assert_eq!(ours.answered().collect::<Vec<_>>(), noted);
        }
    }

    #[test]
    fn a_candidate_is_small() {
        assert_eq!(size_of::<Candidate>(), 16);
    }
}
