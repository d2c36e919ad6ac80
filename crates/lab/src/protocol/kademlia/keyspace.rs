//! All keys, in order: ground truth, and how a settled network's tables look.

use super::{Node, Table, key_of};
use crate::scenario::{AttackKind, Scenario};
use crate::sim::Role;
use crate::{NodeId, ObjectId};
use peerage_base::{Key, Rng};
use std::ops::Range;

/// The keys of all nodes. A node's number is the place of its key in the order.
#[derive(Clone, Debug)]
pub struct Keyspace {
    keys: Vec<Key<20>>,
}

impl Keyspace {
    /// Random keys; eclipsing attackers have theirs around the most popular objects.
    pub(super) fn new(scenario: &Scenario, k: usize, roles: &mut [Role], rng: &mut Rng) -> Self {
        let eclipse = scenario.attack.is_some_and(|attack| attack.kind == AttackKind::Eclipse);
        // Closer than honest nodes are by chance.
        let bits = (roles.len() as f64).log2() as usize + 3;
        let mut attackers = 0;
        let mut all: Vec<(Key<20>, Role)> = Vec::with_capacity(roles.len());
        for role in roles.iter() {
            let key = if eclipse && *role == Role::Liar {
                // Twice as many around each object as a look-up ends with.
                let object = attackers / (2 * k) % scenario.workload.objects.max(1);
                attackers += 1;
                key_of(ObjectId(object as u32)).random_beside(bits, rng)
            } else {
                Key::random(rng)
            };
            all.push((key, *role));
        }
        all.sort_unstable_by_key(|(key, _)| *key);
        roles.iter_mut().zip(&all).for_each(|(role, (_, sorted))| *role = *sorted);
        Self { keys: all.into_iter().map(|(key, _)| key).collect() }
    }

    /// Random keys of honest nodes.
    #[must_use]
    pub fn random(nodes: usize, rng: &mut Rng) -> Self {
        let mut keys: Vec<Key<20>> = (0..nodes).map(|_| Key::random(rng)).collect();
        keys.sort_unstable();
        Self { keys }
    }

    /// A node's key.
    #[must_use]
    pub fn key(&self, node: NodeId) -> Key<20> {
        self.keys.get(node.index()).copied().unwrap_or(Key([0; 20]))
    }

    /// Its first 64 bits.
    #[must_use]
    pub fn prefix(&self, node: NodeId) -> u64 {
        prefix_of(&self.key(node))
    }

    /// The `count` nodes closest to a key of those that `fits` takes, closest first.
    pub fn closest(&self, target: &Key<20>, count: usize, fits: impl Fn(usize) -> bool) -> Vec<NodeId> {
        let mut found = Vec::with_capacity(count);
        self.descend(target, 0..self.keys.len(), 0, count, &fits, &mut found);
        found
    }

    /// Goes down the tree of keys, on the target's side first: that gives nodes in the order of their distance.
    fn descend(
        &self,
        target: &Key<20>,
        range: Range<usize>,
        bit: usize,
        count: usize,
        fits: &impl Fn(usize) -> bool,
        found: &mut Vec<NodeId>,
    ) {
        if range.is_empty() || found.len() >= count {
            return;
        }
        if range.len() == 1 || bit >= Key::<20>::BITS {
            let room = count - found.len();
            found.extend(range.filter(|index| fits(*index)).take(room).map(|index| NodeId(index as u32)));
            return;
        }
        let split = self.split(&range, bit);
        let (zeros, ones) = (range.start..split, split..range.end);
        let (near, far) = if bit_of(target, bit) { (ones, zeros) } else { (zeros, ones) };
        self.descend(target, near, bit + 1, count, fits, found);
        self.descend(target, far, bit + 1, count, fits, found);
    }

    /// The first of a range with equal first bits whose next bit is one.
    fn split(&self, range: &Range<usize>, bit: usize) -> usize {
        range.start + self.keys[range.clone()].partition_point(|key| !bit_of(key, bit))
    }

    /// Liars near a key, closest first. Those around it in the order of keys hold the closest.
    #[must_use]
    pub fn closest_liars(&self, liars: &[NodeId], target: &Key<20>, count: usize) -> Vec<NodeId> {
        let at = liars.partition_point(|liar| self.key(*liar) < *target);
        let around = &liars[at.saturating_sub(2 * count)..(at + 2 * count).min(liars.len())];
        let mut near: Vec<NodeId> = around.to_vec();
        near.sort_unstable_by_key(|liar| self.key(*liar).distance(target));
        near.truncate(count);
        near
    }

    /// Gives every node the table of a settled network: in each bucket `k` random ones of those online that belong
    /// there.
    pub fn fill(&self, nodes: &mut [Node], online: &[bool], k: usize, rng: &mut Rng) {
        // How many are online before each place, to choose among them alone.
        let there: Vec<u32> =
            (0..online.len()).filter(|index| online[*index]).map(|index| index as u32).collect();
        let mut rows = Rows { keys: self, there: &there, k, rng, chosen: Vec::new() };
        rows.fill(nodes, 0..there.len(), 0);
        nodes.iter_mut().for_each(|node| node.table_mut().shrink());
    }
}

/// The filling of tables: a walk over the tree of the keys of those online, by halves.
struct Rows<'a> {
    keys: &'a Keyspace,
    there: &'a [u32],
    k: usize,
    rng: &'a mut Rng,
    chosen: Vec<usize>,
}

impl Rows<'_> {
    /// All of `range` share `bit` bits: fills that bucket of each with nodes of the other half, and goes on.
    fn fill(&mut self, nodes: &mut [Node], range: Range<usize>, bit: usize) {
        if range.len() < 2 || bit >= 64 {
            return;
        }
        let keys = &self.keys.keys;
        let split = range.start
            + self.there[range.clone()].partition_point(|index| !bit_of(&keys[*index as usize], bit));
        let (zeros, ones) = (range.start..split, split..range.end);
        for (own, other) in [(&zeros, &ones), (&ones, &zeros)] {
            for at in own.clone() {
                self.choose(other);
                let table: &mut Table = nodes[self.there[at] as usize].table_mut();
                let there = self.there;
                table.fill(self.chosen.iter().map(|at| {
                    let index = there[*at];
                    (prefix_of(&keys[index as usize]), index)
                }));
            }
        }
        self.fill(nodes, zeros, bit + 1);
        self.fill(nodes, ones, bit + 1);
    }

    /// Chooses `k` different places of a range, or all (Floyd's sample).
    fn choose(&mut self, range: &Range<usize>) {
        self.chosen.clear();
        if range.len() <= self.k {
            self.chosen.extend(range.clone());
            return;
        }
        for last in range.len() - self.k..range.len() {
            let candidate = range.start + self.rng.index(last + 1);
            let taken = self.chosen.contains(&candidate);
            self.chosen.push(if taken { range.start + last } else { candidate });
        }
    }
}

pub(super) fn prefix_of(key: &Key<20>) -> u64 {
    key.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn bit_of(key: &Key<20>, bit: usize) -> bool {
    key.0.get(bit / 8).is_some_and(|byte| byte & 0x80 >> (bit % 8) != 0)
}
