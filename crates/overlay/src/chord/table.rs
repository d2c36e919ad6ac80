//! Who a node knows on the ring: predecessor, successors, fingers.

use crate::ring::{BITS, clockwise, power};
use peerage_base::limits::OVERLAY_NODES_MAX;
use peerage_wire::overlay::{Id, Node};
use std::collections::BTreeSet;

/// The routing state of one node.
///
/// Finger `i` of the paper is the first node at or after `own + 2^i`. Most of the 160 are the same node; it is kept
/// once, under the highest `i` for which `2^i` is not beyond it. The others follow from that.
#[derive(Clone, Debug)]
pub struct Table {
    own: Node,
    successors_max: usize,
    pub(super) predecessor: Option<Node>,
    /// In the order of the ring.
    successors: Vec<Node>,
    /// By the power of two that their distance begins with, lowest first.
    fingers: Vec<(u8, Node)>,
}

impl Table {
    pub(super) fn new(own: Node, successors_max: usize) -> Self {
        let successors_max = successors_max.clamp(1, OVERLAY_NODES_MAX);
        Self { own, successors_max, predecessor: None, successors: Vec::new(), fingers: Vec::new() }
    }

    /// The node itself.
    #[must_use]
    pub fn own(&self) -> Node {
        self.own
    }

    /// The node before this one.
    #[must_use]
    pub fn predecessor(&self) -> Option<Node> {
        self.predecessor
    }

    /// The nodes after this one, in order.
    #[must_use]
    pub fn successors(&self) -> &[Node] {
        &self.successors
    }

    /// The fingers, each node once, closest first.
    pub fn fingers(&self) -> impl Iterator<Item = Node> + '_ {
        self.fingers.iter().map(|(_, node)| *node)
    }

    fn distance(&self, node: &Node) -> Id {
        clockwise(&self.own.id, &node.id)
    }

    /// Whether `node` lies between this node and its predecessor.
    pub(super) fn may_precede(&self, node: &Node) -> bool {
        node.id != self.own.id
            && self.predecessor.is_none_or(|known| {
                clockwise(&known.id, &node.id) < clockwise(&known.id, &self.own.id) && known.id != node.id
            })
    }

    /// Whether `target` belongs to this node, as far as it knows.
    fn owns(&self, target: &Id) -> bool {
        *target == self.own.id
            || self.predecessor.is_some_and(|known| {
                known.id != *target && clockwise(&known.id, target) <= clockwise(&known.id, &self.own.id)
            })
    }

    /// Nodes between this one and `target`, closest to the target first.
    pub(super) fn closer(&self, target: &Id) -> Vec<Node> {
        if self.owns(target) {
            return Vec::new();
        }
        let reach = clockwise(&self.own.id, target);
        let mut closer: Vec<(Id, Node)> = self
            .fingers()
            .chain(self.successors.iter().copied())
            .filter(|node| self.distance(node) < reach)
            .map(|node| (clockwise(&node.id, target), node))
            .collect();
        closer.sort_unstable_by_key(|(distance, _)| *distance);
        closer.dedup();
        closer.truncate(OVERLAY_NODES_MAX);
        closer.into_iter().map(|(_, node)| node).collect()
    }

    /// The nodes that `target` belongs to, in order; empty when the successor list does not reach so far.
    pub(super) fn owners(&self, target: &Id) -> Vec<Node> {
        if self.successors.is_empty() || self.owns(target) {
            return [self.own].into_iter().chain(self.successors.iter().copied()).collect();
        }
        let reach = clockwise(&self.own.id, target);
        let after = self.successors.iter().filter(|node| self.distance(node) >= reach);
        after.copied().collect()
    }

    /// Takes a successor that has answered. Whether it is the first now.
    pub(super) fn add_successor(&mut self, node: Node) -> bool {
        if node.id == self.own.id {
            return false;
        }
        let distance = self.distance(&node);
        let place = self.successors.partition_point(|known| self.distance(known) < distance);
        if self.successors.get(place).is_none_or(|known| known.id != node.id) {
            self.successors.insert(place, node);
        }
        self.successors.truncate(self.successors_max);
        place == 0
    }

    /// Takes over the list of the first successor (ToN 2003, section IV-E).
    pub(super) fn adopt_successors(&mut self, first: Node, theirs: &[Node]) {
        let mut seen = BTreeSet::from([self.own.id]);
        let own = self.own.addr;
        let list = [first].into_iter().chain(theirs.iter().copied()).filter(|node| node.addr != own);
        self.successors = list.filter(|node| seen.insert(node.id)).take(self.successors_max).collect();
        // A list that does not go round in order is a lie, or is older than the last join; the order holds.
        let own = self.own.id;
        self.successors.sort_by_key(|node| clockwise(&own, &node.id));
    }

    /// `node` is the first at or after `own + 2^bit`. Gives the next bit that is not known by that; `None` when the
    /// node is this one: there is nobody so far away.
    pub(super) fn set_finger(&mut self, bit: u8, node: Node) -> Option<u8> {
        let top = power(&self.distance(&node)).filter(|top| *top >= bit);
        let end = top.unwrap_or(BITS);
        self.fingers.retain(|(at, _)| *at < bit || *at > end);
        let top = top?;
        let place = self.fingers.partition_point(|(at, _)| *at < top);
        self.fingers.insert(place, (top, node));
        Some(top + 1)
    }

    /// The first bit whose finger is beyond the first successor.
    pub(super) fn first_bit(&self) -> u8 {
        let first = self.successors.first().and_then(|node| power(&self.distance(node)));
        first.map_or(0, |bit| bit + 1)
    }

    /// Whether the node is known.
    pub(super) fn knows(&self, node: &Node) -> bool {
        self.fingers.iter().any(|(_, known)| known == node) || self.successors.contains(node)
    }

    /// Drops a node that does not answer.
    pub(super) fn remove(&mut self, addr: std::net::SocketAddr) {
        self.successors.retain(|node| node.addr != addr);
        self.fingers.retain(|(_, node)| node.addr != addr);
        self.predecessor = self.predecessor.filter(|node| node.addr != addr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Key;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn node(id: [u8; 20], port: u16) -> Node {
        Node { id: Key(id), addr: SocketAddr::from(([192, 0, 2, 1], port)) }
    }

    fn at(first: u8, port: u16) -> Node {
        let mut id = [0; 20];
        id[0] = first;
        node(id, port)
    }

    fn table() -> Table {
        let mut table = Table::new(at(10, 1), 3);
        for (first, port) in [(40, 4), (20, 2), (30, 3), (50, 5)] {
            table.add_successor(at(first, port));
        }
        table
    }

    #[test]
    fn successors_are_in_the_order_of_the_ring_and_no_more_than_allowed() {
        let table = table();
        assert_eq!(table.successors(), [at(20, 2), at(30, 3), at(40, 4)]);
        let mut wrapped = Table::new(at(250, 1), 3);
        assert!(wrapped.add_successor(at(5, 2)));
        assert!(wrapped.add_successor(at(252, 3)), "before zero");
        assert!(!wrapped.add_successor(at(250, 9)), "itself");
        assert_eq!(wrapped.successors(), [at(252, 3), at(5, 2)]);
    }

    #[test]
    fn a_key_belongs_to_the_first_node_at_or_after_it() {
        let mut table = table();
        assert_eq!(table.owners(&at(20, 0).id)[0], at(20, 2), "its own key");
        assert_eq!(table.owners(&at(21, 0).id), [at(30, 3), at(40, 4)]);
        assert_eq!(table.owners(&at(41, 0).id), [], "beyond the list");
        assert_eq!(table.owners(&at(10, 0).id)[0], at(10, 1));
        table.predecessor = Some(at(5, 9));
        assert_eq!(table.owners(&at(6, 0).id)[0], at(10, 1));
        assert_eq!(table.owners(&at(5, 0).id), [], "the predecessor's key");
        assert!(table.closer(&at(6, 0).id).is_empty());
        assert_eq!(table.closer(&at(35, 0).id), [at(30, 3), at(20, 2)]);
    }

    #[test]
    fn a_finger_stands_for_every_power_up_to_it() {
        let mut table = Table::new(at(0, 1), 3);
        // 64/256 of the ring is 2^158.
        assert_eq!(table.set_finger(100, at(64, 2)), Some(159));
        assert_eq!(table.set_finger(159, at(200, 3)), Some(160));
        assert_eq!(table.fingers().collect::<Vec<_>>(), [at(64, 2), at(200, 3)]);
        // A node came between; the old finger stands for less.
        assert_eq!(table.set_finger(100, at(33, 4)), Some(158));
        assert_eq!(table.fingers().collect::<Vec<_>>(), [at(33, 4), at(64, 2), at(200, 3)]);
        // All from 2^100 to 2^158 are gone but this one.
        table.set_finger(100, at(70, 5));
        assert_eq!(table.fingers().collect::<Vec<_>>(), [at(70, 5), at(200, 3)]);
        // Nobody is at or beyond 2^159.
        assert_eq!(table.set_finger(159, at(0, 1)), None);
        assert_eq!(table.fingers().collect::<Vec<_>>(), [at(70, 5)]);
        table.remove(at(70, 5).addr);
        assert_eq!(table.fingers().count(), 0);
    }

    #[test]
    fn a_predecessor_is_closer_than_the_known_one() {
        let mut table = table();
        assert!(table.may_precede(&at(200, 1)) && !table.may_precede(&at(10, 1)));
        table.predecessor = Some(at(200, 9));
        assert!(table.may_precede(&at(250, 1)) && table.may_precede(&at(3, 1)));
        assert!(!table.may_precede(&at(200, 1)) && !table.may_precede(&at(100, 1)));
    }

    proptest! {
        /// Whatever is learnt in whatever order: fingers are sorted, each power once, and as far as it says.
        #[test]
        fn fingers_stay_in_order(own: [u8; 20], found: Vec<([u8; 20], u8)>) {
            let mut table = Table::new(node(own, 1), 8);
            for (port, (id, bit)) in found.into_iter().enumerate() {
                let node = node(id, port as u16 + 2);
                table.set_finger(bit % BITS, node);
                table.add_successor(node);
                prop_assert!(table.fingers.is_sorted_by(|a, b| a.0 < b.0));
                for (bit, node) in &table.fingers {
                    prop_assert_eq!(power(&table.distance(node)), Some(*bit));
                }
                prop_assert!(table.successors.len() <= 8);
                prop_assert!(table.successors.is_sorted_by_key(|node| table.distance(node)));
            }
        }

        /// What is closer lies between the node and the target, the closest first, and excludes owners.
        #[test]
        fn closer_nodes_precede_the_target(own: [u8; 20], others: Vec<[u8; 20]>, target: [u8; 20]) {
            let mut table = Table::new(node(own, 1), 8);
            others.iter().enumerate().for_each(|(port, id)| {
                table.add_successor(node(*id, port as u16 + 2));
            });
            let target = Key(target);
            let closer = table.closer(&target);
            let reach = clockwise(&table.own.id, &target);
            prop_assert!(closer.iter().all(|node| table.distance(node) < reach));
            prop_assert!(closer.is_sorted_by_key(|node| clockwise(&node.id, &target)));
            let owners = table.owners(&target);
            prop_assert!(owners.iter().all(|owner| !closer.contains(owner)));
        }
    }
}
