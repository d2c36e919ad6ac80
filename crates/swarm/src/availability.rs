//! How many peers have each piece, and the pieces that may be opened, sorted by it.
//!
//! One list per priority and count: a count that changes by one moves a piece from list to list in
//! constant time. Peers that have everything are counted once, not per piece.

use crate::{Bitfield, config::Priority};
use peerage_base::Rng;

/// Counts from here on are equally common.
const LEVELS: usize = 64;
/// Listed priorities: low, normal, high.
const CLASSES: usize = 3;
const UNLISTED: u32 = u32::MAX;
/// Pieces looked at in the lists before the sets are intersected instead: the lists are quicker for a
/// peer that has much of what is missing, the sets for any other.
const SCAN_MAX: usize = 1024;

/// Counts and lists of all pieces.
#[derive(Clone, Debug, Default)]
pub struct Availability {
    /// Peers per piece, but for those that have everything.
    counts: Vec<u16>,
    whole: u32,
    lists: Vec<Vec<u32>>,
    /// The place of a piece in its list, or `UNLISTED`.
    places: Vec<u32>,
    classes: Vec<Priority>,
}

impl Availability {
    /// No peers yet, and no piece listed.
    #[must_use]
    pub fn new(pieces: u32) -> Self {
        let pieces = pieces as usize;
        Self {
            counts: vec![0; pieces],
            whole: 0,
            lists: vec![Vec::new(); LEVELS * CLASSES],
            places: vec![UNLISTED; pieces],
            classes: vec![Priority::Normal; pieces],
        }
    }

    /// Peers that have `piece`.
    #[must_use]
    pub fn count(&self, piece: u32) -> u32 {
        self.whole + u32::from(self.counts.get(piece as usize).copied().unwrap_or(0))
    }

    /// Peers that have everything.
    #[must_use]
    pub fn whole(&self) -> u32 {
        self.whole
    }

    /// One more peer has everything.
    pub fn add_whole(&mut self) {
        self.whole += 1;
    }

    /// A peer that had everything is gone.
    pub fn remove_whole(&mut self) {
        self.whole = self.whole.saturating_sub(1);
    }

    /// One more peer has `piece`.
    pub fn add(&mut self, piece: u32) {
        self.recount(piece, u16::saturating_add);
    }

    /// A peer that had `piece` is gone.
    pub fn remove(&mut self, piece: u32) {
        self.recount(piece, u16::saturating_sub);
    }

    fn recount(&mut self, piece: u32, change: fn(u16, u16) -> u16) {
        let Some(count) = self.counts.get_mut(piece as usize) else {
            return;
        };
        let changed = change(*count, 1);
        if self.places[piece as usize] == UNLISTED {
            *count = changed;
            return;
        }
        let class = self.classes[piece as usize];
        self.unlist(piece);
        self.counts[piece as usize] = changed;
        self.list(piece, class);
    }

    /// Lists `piece` as one that may be opened. [`Priority::Skip`] lists nothing.
    pub fn list(&mut self, piece: u32, class: Priority) {
        if piece as usize >= self.places.len() || class == Priority::Skip {
            return;
        }
        self.unlist(piece);
        self.classes[piece as usize] = class;
        let list = self.list_of(piece);
        self.places[piece as usize] = self.lists[list].len() as u32;
        self.lists[list].push(piece);
    }

    /// Takes `piece` off its list.
    pub fn unlist(&mut self, piece: u32) {
        let Some(&place) = self.places.get(piece as usize) else {
            return;
        };
        if place == UNLISTED {
            return;
        }
        let list = self.list_of(piece);
        self.lists[list].swap_remove(place as usize);
        if let Some(&moved) = self.lists[list].get(place as usize) {
            self.places[moved as usize] = place;
        }
        self.places[piece as usize] = UNLISTED;
    }

    /// Listed pieces that some peer has.
    #[must_use]
    pub fn reachable(&self) -> bool {
        let has_some =
            |(at, list): (usize, &Vec<u32>)| !list.is_empty() && (self.whole > 0 || at % LEVELS > 0);
        self.lists.iter().enumerate().any(has_some)
    }

    /// The listed piece within `have` of the highest priority that the fewest peers have; chance
    /// decides between equals, so that peers which see the same swarm do not all choose the same.
    /// `open` is the set of all listed pieces.
    pub fn rarest(&self, have: &Bitfield, open: &Bitfield, rng: &mut Rng) -> Option<u32> {
        if u64::from(have.count()) * 16 < u64::from(open.count()) {
            return self.rarest_of(have.common(open), rng);
        }
        let mut looked = 0;
        for class in (0..CLASSES).rev() {
            for list in &self.lists[class * LEVELS..(class + 1) * LEVELS] {
                if list.is_empty() {
                    continue;
                }
                let (before, after) = list.split_at(rng.index(list.len()));
                for &piece in after.iter().chain(before) {
                    if have.get(piece) {
                        return Some(piece);
                    }
                    looked += 1;
                    if looked > SCAN_MAX {
                        return self.rarest_of(have.common(open), rng);
                    }
                }
            }
        }
        None
    }

    fn rarest_of(&self, pieces: impl Iterator<Item = u32>, rng: &mut Rng) -> Option<u32> {
        let (mut best, mut best_key, mut equals) = (None, (Priority::Skip, 0u16), 0);
        for piece in pieces {
            let key = (self.classes[piece as usize], u16::MAX - self.counts[piece as usize]);
            if best.is_none() || key > best_key {
                (best, best_key, equals) = (Some(piece), key, 1);
            } else if key == best_key {
                // Each of n equals is kept with chance 1/n.
                equals += 1;
                if rng.below(equals) == 0 {
                    best = Some(piece);
                }
            }
        }
        best
    }

    fn list_of(&self, piece: u32) -> usize {
        let class = self.classes[piece as usize] as usize - 1;
        class * LEVELS + usize::from(self.counts[piece as usize]).min(LEVELS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Rng;
    use proptest::prelude::*;

    #[test]
    fn rarest_of_the_highest_priority_first() {
        let mut availability = Availability::new(4);
        let all = Bitfield::full(4);
        let mut rng = Rng::from_number(1);
        (0..3).for_each(|piece| availability.list(piece, Priority::Normal));
        availability.list(3, Priority::High);
        [0, 0, 1, 2, 2, 3, 3, 3].iter().for_each(|piece| availability.add(*piece));
        assert_eq!(availability.rarest(&all, &all, &mut rng), Some(3));
        availability.unlist(3);
        assert_eq!(availability.rarest(&all, &all, &mut rng), Some(1));
        availability.unlist(1);
        let mut seen = [0; 4];
        for _ in 0..200 {
            seen[availability.rarest(&all, &all, &mut rng).unwrap() as usize] += 1;
        }
        assert!(seen[0] > 50 && seen[2] > 50, "{seen:?}");
        assert_eq!(availability.rarest(&Bitfield::new(4), &all, &mut rng), None);
    }

    proptest! {
        #[test]
        fn lists_follow_the_counts(
            steps in prop::collection::vec((0u8..4, 0u32..200, 1u8..4), 1..600),
            have in prop::collection::vec(0u32..200, 0..200),
            seed in any::<u64>(),
        ) {
            let mut availability = Availability::new(200);
            let (mut open, mut counts) = (Bitfield::new(200), vec![0u16; 200]);
            let mut classes = [Priority::Normal; 200];
            for (step, piece, class) in steps {
                let at = piece as usize;
                match step {
                    0 => { availability.add(piece); counts[at] += 1; }
                    1 => { availability.remove(piece); counts[at] = counts[at].saturating_sub(1); }
                    2 => {
                        classes[at] = [Priority::Low, Priority::Normal, Priority::High][class as usize - 1];
                        availability.list(piece, classes[at]);
                        open.set(piece);
                    }
                    _ => { availability.unlist(piece); open.clear(piece); }
                }
            }
            let mut theirs = Bitfield::new(200);
            have.iter().for_each(|piece| { theirs.set(*piece); });
            let key = |piece: u32| (classes[piece as usize], u16::MAX - counts[piece as usize].min(63));
            let best = theirs.common(&open).map(key).max();
            let picked = availability.rarest(&theirs, &open, &mut Rng::from_number(seed));
            prop_assert_eq!(picked.map(key), best);
            prop_assert!(picked.is_none_or(|piece| open.get(piece) && theirs.get(piece)));
            prop_assert_eq!(availability.reachable(), open.iter().any(|piece| counts[piece as usize] > 0));
        }
    }
}
