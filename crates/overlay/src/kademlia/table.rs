//! The routing table: contacts in buckets by how many first bits they share with us.
//!
//! A contact comes in when it has answered, and leaves when it stays silent ([`TableConfig::failures_max`])
//! and another one waits for its place. Old contacts that answer stay (Kademlia, section 2.4): that
//! alone keeps floods of new identifiers out.

use super::{Contact, subnet};
use peerage_base::addr;
use peerage_base::{Duration, Instant, Key, Rng};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Sizes and limits of a table.
#[derive(Clone, Debug)]
pub struct TableConfig {
    /// Contacts in each of the first buckets; the last size is that of all further ones. Large first
    /// buckets save a step of each look-up (libtorrent: 128, 64, 32, 16, 8).
    pub bucket_sizes: Vec<usize>,
    /// Contacts that wait for a place in a bucket.
    pub replacements_max: usize,
    /// Contacts of one /24 (IPv6: /64) in one bucket (threats.md D3).
    pub subnet_bucket_max: usize,
    /// Contacts of one /24 (IPv6: /64) in the table (threats.md D3).
    pub subnet_table_max: usize,
    /// A contact is asked again when it was silent for so long (BEP 5: 15 minutes).
    pub quiet_max: Duration,
    /// A bucket without change is refreshed after this time (BEP 5: 15 minutes).
    pub refresh: Duration,
    /// Questions in a row without an answer, after which a contact gives its place to another.
    pub failures_max: u8,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            bucket_sizes: vec![128, 64, 32, 16, 8],
            replacements_max: 8,
            subnet_bucket_max: 2,
            subnet_table_max: 10,
            quiet_max: Duration::from_secs(15 * 60),
            refresh: Duration::from_secs(15 * 60),
            failures_max: 2,
        }
    }
}

/// A contact and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<const N: usize> {
    /// Who.
    pub contact: Contact<N>,
    /// When it answered last.
    pub seen: Instant,
    /// Questions in a row that it did not answer.
    pub failures: u8,
}

#[derive(Clone, Debug, Default)]
struct Bucket<const N: usize> {
    /// Those that answered; never more than the bucket's size.
    entries: Vec<Entry<N>>,
    /// Those that wait, the last heard of at the end.
    waiting: VecDeque<Contact<N>>,
    changed: Instant,
}

/// The routing table of a node at one key.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    local: Key<N>,
    config: TableConfig,
    /// By the number of bits shared with us; as long as the deepest one in use.
    buckets: Vec<Bucket<N>>,
    /// Hosts in the table: one contact each, but for those nearby.
    hosts: BTreeMap<IpAddr, usize>,
    subnets: BTreeMap<IpAddr, usize>,
    /// Contacts beyond the first [`TableConfig::subnet_bucket_max`] of their networks, all together.
    excess: usize,
    len: usize,
}

impl<const N: usize> Table<N> {
    /// An empty table.
    #[must_use]
    pub fn new(local: Key<N>, config: TableConfig) -> Self {
        let (hosts, subnets) = (BTreeMap::new(), BTreeMap::new());
        Self { local, config, buckets: Vec::new(), hosts, subnets, excess: 0, len: 0 }
    }

    /// Our own position.
    #[must_use]
    pub fn local(&self) -> Key<N> {
        self.local
    }

    /// Contacts in the table, those that fail included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every contact, the farthest buckets first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<N>> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    /// Whether this very contact is in the table.
    #[must_use]
    pub fn contains(&self, contact: &Contact<N>) -> bool {
        self.bucket(&contact.key).is_some_and(|bucket| bucket.position(contact).is_some())
    }

    /// Whether a contact that we only heard of should be asked: it is new, and there would be room.
    #[must_use]
    pub fn wants(&self, contact: &Contact<N>) -> bool {
        if contact.key == self.local {
            return false;
        }
        let size = self.size_of(self.index(&contact.key));
        let room = self.bucket(&contact.key).is_none_or(|bucket| {
            bucket.entries.len() < size || bucket.entries.iter().any(|entry| entry.failures > 0)
        });
        room && !self.contains(contact) && self.admits(contact)
    }

    /// A contact answered.
    pub fn confirm(&mut self, now: Instant, contact: Contact<N>) {
        if contact.key == self.local {
            return;
        }
        let index = self.index(&contact.key);
        let size = self.size_of(index);
        if self.buckets.len() <= index {
            self.buckets.resize_with(index + 1, Bucket::default);
        }
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        if let Some(at) = bucket.position(&contact) {
            if let Some(entry) = bucket.entries.get_mut(at) {
                (entry.seen, entry.failures) = (now, 0);
            }
            bucket.changed = now;
            return;
        }
        bucket.waiting.retain(|other| other.addr != contact.addr);
        // A known key at another address: who was there first stays while it answers.
        let fails = |entry: &Entry<N>| entry.failures > 0;
        let rival = bucket.entries.iter().position(|entry| entry.contact.key == contact.key);
        let full = bucket.entries.len() >= size;
        let loser = match rival {
            Some(at) if bucket.entries.get(at).is_some_and(fails) => Some(at),
            Some(_) => return,
            None if full => (0..bucket.entries.len())
                .filter(|at| bucket.entries.get(*at).is_some_and(fails))
                .max_by_key(|at| bucket.entries.get(*at).map_or(0, |entry| entry.failures)),
            None => None,
        };
        if let Some(at) = loser {
            self.remove_at(index, at);
        }
        if !self.admits(&contact) {
            return;
        }
        let waits = full && loser.is_none();
        let replacements_max = self.config.replacements_max;
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        if waits {
            if bucket.waiting.len() >= replacements_max {
                bucket.waiting.pop_front();
            }
            bucket.waiting.push_back(contact);
        } else {
            bucket.entries.push(Entry { contact, seen: now, failures: 0 });
            bucket.changed = now;
            self.count(contact.addr.ip());
        }
    }

    /// A contact did not answer. Gives one that waits for its place, to be asked; once that answers,
    /// it takes the place. A silent contact for which there is no other stays in the table, and is
    /// given to nobody.
    pub fn fail(&mut self, contact: &Contact<N>) -> Option<Contact<N>> {
        let index = self.index(&contact.key);
        let failures_max = self.config.failures_max;
        let bucket = self.buckets.get_mut(index)?;
        bucket.waiting.retain(|other| other != contact);
        let at = bucket.position(contact)?;
        let entry = bucket.entries.get_mut(at)?;
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures < failures_max {
            return None;
        }
        // A longer silence frees the place in any case.
        let gone = entry.failures > failures_max.saturating_mul(2);
        let next = bucket.waiting.pop_back();
        if gone {
            self.remove_at(index, at);
        }
        next
    }

    /// The `count` contacts closest to `target` that answer, closest first.
    #[must_use]
    pub fn closest(&self, target: &Key<N>, count: usize) -> Vec<Contact<N>> {
        let mut found: Vec<(Key<N>, Contact<N>)> = Vec::with_capacity(count.saturating_mul(2));
        let own = self.local.common_bits(target).min(self.buckets.len());
        // Those that share more bits with the target than we do, then all deeper buckets, which share as
        // many as we do, then the others, each of which is farther than the one before.
        let mut groups = vec![own..own + 1, own + 1..self.buckets.len().max(own + 1)];
        groups.extend((0..own).rev().map(|index| index..index + 1));
        for group in groups {
            if found.len() >= count {
                break;
            }
            let entries =
                self.buckets.get(group).unwrap_or_default().iter().flat_map(|bucket| &bucket.entries);
            let good = entries.filter(|entry| entry.failures < self.config.failures_max);
            found.extend(good.map(|entry| (entry.contact.key.distance(target), entry.contact)));
        }
        // Large buckets hold many more than are wanted.
        if count < found.len() {
            found.select_nth_unstable_by_key(count, |(distance, _)| *distance);
            found.truncate(count);
        }
        found.sort_unstable_by_key(|(distance, _)| *distance);
        found.into_iter().map(|(_, contact)| contact).collect()
    }

    /// The contact that was silent longest, when that is too long or it did not answer the last time.
    #[must_use]
    pub fn stalest(&self, now: Instant) -> Option<Contact<N>> {
        let failing = self.entries().filter(|entry| entry.failures > 0).min_by_key(|entry| entry.seen);
        let oldest = || {
            let quiet = |entry: &&Entry<N>| now.since(entry.seen) >= self.config.quiet_max;
            self.entries().filter(quiet).min_by_key(|entry| entry.seen)
        };
        failing.or_else(oldest).map(|entry| entry.contact)
    }

    /// A key of a bucket that had no change for too long, to look up; the bucket counts as changed.
    pub fn refresh(&mut self, now: Instant, rng: &mut Rng) -> Option<Key<N>> {
        let due = |bucket: &Bucket<N>| now.since(bucket.changed) >= self.config.refresh;
        let index = self.buckets.iter().position(due)?;
        self.buckets.get_mut(index)?.changed = now;
        Some(self.key_in(index, rng))
    }

    /// A random key of the bucket `index`.
    #[must_use]
    pub fn key_in(&self, index: usize, rng: &mut Rng) -> Key<N> {
        let index = index.min(Key::<N>::BITS.saturating_sub(1));
        self.local.flipped(index).random_beside(index + 1, rng)
    }

    /// Buckets in use.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.buckets.len()
    }

    /// Whether limits on hosts and networks leave room for this contact.
    fn admits(&self, contact: &Contact<N>) -> bool {
        let ip = contact.addr.ip();
        let Some(net) = subnet(ip) else { return true };
        let in_bucket = |bucket: &Bucket<N>| {
            let same = |entry: &&Entry<N>| subnet(entry.contact.addr.ip()) == Some(net);
            bucket.entries.iter().filter(same).count()
        };
        let others = self.subnets.get(&net).copied().unwrap_or(0);
        // Honest contacts are seldom of one network: those that are share an eighth of the table, however
        // many networks somebody has (threats.md D3: sixteen must not have a third).
        let crowd = others >= self.config.subnet_bucket_max && self.excess >= (self.len / 8).max(8);
        !self.hosts.contains_key(&addr::host(ip))
            && others < self.config.subnet_table_max
            && !crowd
            && self.bucket(&contact.key).map_or(0, in_bucket) < self.config.subnet_bucket_max
    }

    fn count(&mut self, ip: IpAddr) {
        self.len += 1;
        if let Some(net) = subnet(ip) {
            *self.hosts.entry(addr::host(ip)).or_default() += 1;
            let count = self.subnets.entry(net).or_default();
            *count += 1;
            self.excess += usize::from(*count > self.config.subnet_bucket_max);
        }
    }

    fn remove_at(&mut self, index: usize, at: usize) {
        let Some(bucket) = self.buckets.get_mut(index).filter(|bucket| at < bucket.entries.len()) else {
            return;
        };
        let ip = bucket.entries.swap_remove(at).contact.addr.ip();
        self.len -= 1;
        if let Some(net) = subnet(ip) {
            uncount(&mut self.hosts, addr::host(ip));
            let count = uncount(&mut self.subnets, net);
            self.excess -= usize::from(count >= self.config.subnet_bucket_max);
        }
    }

    fn index(&self, key: &Key<N>) -> usize {
        self.local.common_bits(key).min(Key::<N>::BITS - 1)
    }

    fn bucket(&self, key: &Key<N>) -> Option<&Bucket<N>> {
        self.buckets.get(self.index(key))
    }

    fn size_of(&self, index: usize) -> usize {
        let sizes = &self.config.bucket_sizes;
        sizes.get(index).or(sizes.last()).copied().unwrap_or(8)
    }
}

impl<const N: usize> Bucket<N> {
    fn position(&self, contact: &Contact<N>) -> Option<usize> {
        self.entries.iter().position(|entry| entry.contact == *contact)
    }
}

/// Takes one away; gives how many are left.
fn uncount(counts: &mut BTreeMap<IpAddr, usize>, ip: IpAddr) -> usize {
    let Some(count) = counts.get_mut(&ip) else { return 0 };
    *count -= 1;
    let left = *count;
    if left == 0 {
        counts.remove(&ip);
    }
    left
}

#[cfg(test)]
mod tests;
