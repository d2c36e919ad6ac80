//! The queue of events: a hierarchical timing wheel (Varghese and Lauck 1987) of 64 slots a level.
//!
//! An event lies in the level of the highest group of six bits in which its time differs from the wheel's, and
//! comes down a level when the wheel reaches its slot: at most once for each level, by sequential copies, whatever
//! number of events is pending. Events of one moment come out in the order in which they went in.

use std::collections::VecDeque;

/// Bits of a time that one level resolves.
const BITS: u32 = 6;
/// Slots of a level.
const SLOTS: usize = 1 << BITS;
/// Levels: enough for 64 bits.
const LEVELS: usize = 11;

/// A priority queue of events by time in microseconds, first in, first out among equals.
#[derive(Debug)]
pub struct Wheel<T> {
    /// No pending event is earlier.
    now: u64,
    /// The lowest level: each slot is one moment.
    moments: Vec<VecDeque<T>>,
    /// The levels above it.
    slots: Vec<Vec<(u64, T)>>,
    /// For each level, which slots hold something.
    occupied: [u64; LEVELS],
    len: usize,
    /// An empty vector whose memory is used again.
    spare: Vec<(u64, T)>,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self {
            now: 0,
            moments: (0..SLOTS).map(|_| VecDeque::new()).collect(),
            slots: (0..SLOTS * LEVELS).map(|_| Vec::new()).collect(),
            occupied: [0; LEVELS],
            len: 0,
            spare: Vec::new(),
        }
    }
}

impl<T> Wheel<T> {
    /// Pending events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an event. One in the past comes out next.
    pub fn push(&mut self, at: u64, event: T) {
        self.len += 1;
        self.place(at.max(self.now), event);
    }

    fn place(&mut self, at: u64, event: T) {
        let level = level_of(at ^ self.now);
        let slot = slot_of(at, level);
        self.occupied[level] |= 1 << slot;
        if level == 0 {
            self.moments[slot].push_back(event);
        } else {
            self.slots[level * SLOTS + slot].push((at, event));
        }
    }

    /// The earliest event, where it is not later than `end`.
    pub fn pop_until(&mut self, end: u64) -> Option<(u64, T)> {
        loop {
            let level = self.occupied.iter().position(|slots| *slots != 0)?;
            let slot = self.occupied[level].trailing_zeros() as usize;
            let at = self.start_of(level, slot);
            // All of the slot's events are later than its start: the wheel stays where pushes may still come.
            if at > end {
                return None;
            }
            if level > 0 {
                self.descend(level, slot, at);
                continue;
            }
            let event = self.moments[slot].pop_front();
            if self.moments[slot].is_empty() {
                self.occupied[0] &= !(1 << slot);
            }
            self.now = at;
            if let Some(event) = event {
                self.len -= 1;
                return Some((at, event));
            }
        }
    }

    /// The first moment of a slot.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = BITS * level as u32;
        let above = if shift + BITS >= u64::BITS { 0 } else { self.now >> (shift + BITS) << (shift + BITS) };
        above | (slot as u64) << shift
    }

    /// Moves the wheel to a slot, and its events to the levels below.
    fn descend(&mut self, level: usize, slot: usize, at: u64) {
        self.now = at;
        self.occupied[level] &= !(1 << slot);
        let mut events =
            std::mem::replace(&mut self.slots[level * SLOTS + slot], std::mem::take(&mut self.spare));
        for (at, event) in events.drain(..) {
            self.place(at, event);
        }
        self.spare = events;
    }
}

fn level_of(difference: u64) -> usize {
    ((u64::BITS - 1).saturating_sub(difference.leading_zeros()) / BITS) as usize
}

fn slot_of(at: u64, level: usize) -> usize {
    (at >> (BITS * level as u32)) as usize & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        /// At so long after the present.
        Push(u64),
        /// Pop what is due within so long.
        Pop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let delay = prop_oneof![0_u64..4, 0_u64..10_000, 0_u64..1 << 40, Just(u64::MAX)];
        prop_oneof![delay.clone().prop_map(Step::Push), delay.prop_map(Step::Pop)]
    }

    proptest! {
        /// The order is that of a sorted map by time and sequence.
        #[test]
        fn it_orders_as_a_sorted_map_does(steps in prop::collection::vec(step(), 0..200)) {
            let (mut wheel, mut model, mut now) = (Wheel::default(), BTreeMap::new(), 0_u64);
            for (sequence, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(delay) => {
                        let at = now.saturating_add(delay);
                        wheel.push(at, sequence);
                        model.insert((at, sequence), ());
                    }
                    Step::Pop(delay) => {
                        let end = now.saturating_add(delay);
                        let expected = model.first_key_value().map(|(key, ())| *key).filter(|(at, _)| *at <= end);
                        prop_assert_eq!(wheel.pop_until(end), expected);
                        match expected {
                            Some(key) => {
                                model.remove(&key);
                                now = key.0;
                            }
                            None => now = end,
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
