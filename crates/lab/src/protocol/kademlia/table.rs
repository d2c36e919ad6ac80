//! A routing table in little memory: 16 bytes for each contact.
//!
//! The rules are those of [`overlay::kademlia::Table`](peerage_overlay::kademlia::Table): a contact comes in when it
//! has answered, and stays while it answers; one that failed gives its place to another that answers.

use peerage_base::Instant;

/// A node that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The first 64 bits of its key.
    pub prefix: u64,
    /// Which node it is.
    pub index: u32,
    /// When it answered last, in seconds, in the upper 24 bits; questions since then that it did not answer below.
    seen_and_failures: u32,
}

impl Contact {
    fn new(now: Instant, prefix: u64, index: u32) -> Self {
        Self { prefix, index, seen_and_failures: seconds(now) << 8 }
    }

    /// Questions in a row that it did not answer.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.seen_and_failures & 0xFF
    }
}

fn seconds(now: Instant) -> u32 {
    (now.as_micros() / 1_000_000).min(0x00FF_FFFF) as u32
}

/// Questions without an answer after which a contact is named to nobody.
const FAILURES_MAX: u32 = 2;

/// A routing table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    local: u64,
    /// By bucket, those that share the fewest bits first.
    contacts: Vec<Contact>,
    /// How many there are in each bucket.
    lens: Vec<u8>,
}

impl Table {
    /// An empty table of the node with this prefix.
    #[must_use]
    pub fn new(local: u64) -> Self {
        Self { local, contacts: Vec::new(), lens: Vec::new() }
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.contacts.clear();
        self.lens.clear();
    }

    /// Every contact, the farthest buckets first.
    pub fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.iter()
    }

    /// Buckets in use.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.lens.len()
    }

    /// Takes contacts of the next bucket, when a whole table is filled; they count as seen at the start.
    pub fn fill(&mut self, contacts: impl Iterator<Item = (u64, u32)>) {
        let before = self.contacts.len();
        self.contacts.extend(contacts.map(|(prefix, index)| Contact::new(Instant::ZERO, prefix, index)));
        self.lens.push((self.contacts.len() - before) as u8);
    }

    /// Gives memory back after [`Self::fill`].
    pub fn shrink(&mut self) {
        while self.lens.last() == Some(&0) {
            self.lens.pop();
        }
        self.contacts.shrink_to_fit();
        self.lens.shrink_to_fit();
    }

    fn bucket_of(&self, prefix: u64) -> usize {
        (self.local ^ prefix).leading_zeros() as usize
    }

    /// Where a bucket's contacts are.
    fn range(&self, bucket: usize) -> std::ops::Range<usize> {
        let start: usize = self.lens.iter().take(bucket).map(|len| usize::from(*len)).sum();
        start..start + usize::from(self.lens.get(bucket).copied().unwrap_or(0))
    }

    /// Whether a node that only asked us would find room: it is asked whether it is there.
    #[must_use]
    pub fn wants(&self, prefix: u64, index: u32, k: usize) -> bool {
        if prefix == self.local {
            return false;
        }
        let bucket = &self.contacts[self.range(self.bucket_of(prefix))];
        let room = bucket.len() < k || bucket.iter().any(|contact| contact.failures() > 0);
        room && bucket.iter().all(|contact| contact.index != index)
    }

    /// A node answered.
    pub fn confirm(&mut self, now: Instant, prefix: u64, index: u32, k: usize) {
        if prefix == self.local {
            return;
        }
        let bucket = self.bucket_of(prefix);
        let range = self.range(bucket);
        let contact = Contact::new(now, prefix, index);
        let members = &mut self.contacts[range.clone()];
        if let Some(known) = members.iter_mut().find(|member| member.index == index) {
            *known = contact;
        } else if members.len() < k {
            if self.lens.len() <= bucket {
                self.lens.resize(bucket + 1, 0);
            }
            self.contacts.insert(range.end, contact);
            self.lens[bucket] += 1;
        } else if let Some(loser) = members.iter_mut().max_by_key(|member| member.failures())
            && loser.failures() > 0
        {
            *loser = contact;
        }
    }

    /// A node did not answer. After a long silence it is forgotten.
    pub fn fail(&mut self, prefix: u64, index: u32) {
        let bucket = self.bucket_of(prefix);
        let range = self.range(bucket);
        let Some(at) = self.contacts[range.clone()].iter().position(|contact| contact.index == index) else {
            return;
        };
        let contact = &mut self.contacts[range.start + at];
        contact.seen_and_failures += 1;
        if contact.failures() > 2 * FAILURES_MAX {
            self.contacts.remove(range.start + at);
            self.lens[bucket] -= 1;
        }
    }

    /// The contact that answered the longest ago; one that failed comes first.
    #[must_use]
    pub fn stalest(&self) -> Option<Contact> {
        let age = |contact: &&Contact| (contact.failures() == 0, contact.seen_and_failures >> 8);
        self.contacts.iter().min_by_key(age).copied()
    }

    /// Puts the `count` contacts closest to `target` that answer into `found`, closest first, as pairs of distance
    /// and node.
    pub fn closest(&self, target: u64, count: usize, found: &mut Vec<(u64, u32)>) {
        found.clear();
        let own = self.bucket_of(target).min(self.lens.len());
        // Those that share more bits with the target than we do, then all deeper buckets, which share as many as we
        // do, then the others, each of which is farther than the one before.
        let here = self.range(own);
        let mut take = |contacts: &[Contact]| {
            let good = contacts.iter().filter(|contact| contact.failures() < FAILURES_MAX);
            found.extend(good.map(|contact| (contact.prefix ^ target, contact.index)));
            found.len() >= count
        };
        let mut start = here.start;
        let enough = take(&self.contacts[here.clone()]) || take(&self.contacts[here.end..]);
        if !enough {
            for len in self.lens[..own].iter().rev() {
                let end = start;
                start -= usize::from(*len);
                if take(&self.contacts[start..end]) {
                    break;
                }
            }
        }
        if count < found.len() {
            found.select_nth_unstable(count);
            found.truncate(count);
        }
        found.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::{Duration, Rng};

    fn table(rng: &mut Rng, size: u32) -> Table {
        let mut table = Table::new(rng.next_u64());
        for index in 0..size {
            table.confirm(Instant::ZERO, rng.next_u64(), index, 8);
        }
        table
    }

    /// Against the plain way: sort all of them.
    #[test]
    fn the_closest_are_those_of_a_sort() {
        let mut rng = Rng::from_number(1);
        let table = table(&mut rng, 5000);
        assert!((60..120).contains(&table.contacts.len()), "{}", table.contacts.len());
        let mut found = Vec::new();
        for _ in 0..1000 {
            // Near us and far away.
            let target = table.local ^ rng.next_u64() >> rng.below(60);
            table.closest(target, 8, &mut found);
            let mut all: Vec<(u64, u32)> =
                table.contacts().map(|contact| (contact.prefix ^ target, contact.index)).collect();
            all.sort_unstable();
            assert_eq!(found, all[..8]);
        }
    }

    #[test]
    fn old_contacts_stay_and_silent_ones_give_their_place() {
        let mut table = Table::new(0);
        let far = |n: u32| 1 << 63 | u64::from(n) << 32;
        (0..10).for_each(|n| table.confirm(Instant::ZERO, far(n), n, 8));
        let members = |table: &Table| table.contacts().map(|contact| contact.index).collect::<Vec<_>>();
        assert_eq!(members(&table), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(!table.wants(far(20), 20, 8));
        table.fail(far(3), 3);
        assert!(table.wants(far(20), 20, 8) && !table.wants(far(3), 3, 8));
        assert_eq!(table.stalest().map(|contact| contact.index), Some(3));
        table.confirm(Instant::ZERO + Duration::from_secs(9), far(20), 20, 8);
        assert_eq!(members(&table), [0, 1, 2, 20, 4, 5, 6, 7]);
        (0..4).for_each(|_| table.fail(far(4), 4));
        let mut found = Vec::new();
        table.closest(far(4), 8, &mut found);
        assert!(found.len() == 7 && found.iter().all(|(_, index)| *index != 4));
        table.fail(far(4), 4);
        assert_eq!(members(&table), [0, 1, 2, 20, 5, 6, 7]);
    }

    #[test]
    fn a_contact_is_small() {
        assert_eq!(size_of::<Contact>(), 16);
    }
}
