//! Who a node of Pastry knows, and where it sends a message.

use crate::ring::{apart, clockwise, digit, shared_digits};
use peerage_base::Duration;
use peerage_base::limits::OVERLAY_NODES_MAX;
use peerage_wire::overlay::{Id, Node};
use std::net::SocketAddr;

/// Next hops named in one answer: the best and those to try when it is dead.
const HOPS_MAX: usize = 8;

/// Digits to a row.
const BASE: u16 = 16;

/// One place of the prefix table.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Row times 16 and column.
    at: u16,
    node: Node,
    /// Round trip in microseconds.
    rtt_us: u32,
}

/// The three tables of one node.
#[derive(Clone, Debug)]
pub struct Table {
    own: Node,
    leaves_max: usize,
    nearby_max: usize,
    /// Only the places that are filled, in order: row `r` has nodes that share `r` digits with this one.
    cells: Vec<Cell>,
    /// Leaves with smaller keys, closest first; round the ring.
    smaller: Vec<Node>,
    /// Leaves with larger keys, closest first.
    larger: Vec<Node>,
    /// Nearest first, with the round trip in microseconds.
    nearby: Vec<(u32, Node)>,
}

impl Table {
    pub(super) fn new(own: Node, leaves_max: usize, nearby_max: usize) -> Self {
        let (leaves_max, nearby_max) =
            (leaves_max.clamp(2, OVERLAY_NODES_MAX), nearby_max.min(OVERLAY_NODES_MAX));
        let (cells, smaller, larger, nearby) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { own, leaves_max, nearby_max, cells, smaller, larger, nearby }
    }

    /// The node itself.
    #[must_use]
    pub fn own(&self) -> Node {
        self.own
    }

    /// The leaf set: first those before this node, then those after it, each closest first. In a small network a
    /// node may be on both sides; it is named once.
    pub fn leaves(&self) -> impl Iterator<Item = Node> + '_ {
        let larger = self.larger.iter().filter(|node| !self.smaller.contains(node));
        self.smaller.iter().chain(larger).copied()
    }

    /// The two leaves beside this node.
    pub(super) fn beside(&self) -> impl Iterator<Item = Node> + '_ {
        self.smaller.first().into_iter().chain(self.larger.first()).copied()
    }

    /// The leaf farthest on the side of `id`.
    pub(super) fn last_leaf_beside(&self, id: &Id) -> Option<Node> {
        let before = clockwise(id, &self.own.id) < clockwise(&self.own.id, id);
        if before { &self.smaller } else { &self.larger }.last().copied()
    }

    /// The neighbourhood set, nearest first.
    pub fn nearby(&self) -> impl Iterator<Item = Node> + '_ {
        self.nearby.iter().map(|(_, node)| *node)
    }

    /// One row of the prefix table.
    pub fn row(&self, row: u8) -> impl Iterator<Item = Node> + '_ {
        let first = u16::from(row) * BASE;
        self.cells.iter().filter(move |cell| (first..first + BASE).contains(&cell.at)).map(|cell| cell.node)
    }

    /// The whole prefix table.
    pub fn cells(&self) -> impl Iterator<Item = Node> + '_ {
        self.cells.iter().map(|cell| cell.node)
    }

    fn place(&self, id: &Id) -> u16 {
        let row = shared_digits(&self.own.id, id);
        u16::try_from(row * usize::from(BASE) + digit(id, row)).unwrap_or(u16::MAX)
    }

    fn cell(&self, at: u16) -> Result<usize, usize> {
        self.cells.binary_search_by_key(&at, |cell| cell.at)
    }

    /// Whether a node would be of use beyond its nearness: it is a leaf, or fills an empty place.
    pub(super) fn wants(&self, node: &Node) -> bool {
        if node.id == self.own.id || node.addr == self.own.addr {
            return false;
        }
        let half = self.leaves_max / 2;
        let fits = |side: &[Node], distance: &dyn Fn(&Node) -> Id| {
            !side.contains(node)
                && (side.len() < half || side.last().is_some_and(|last| distance(node) < distance(last)))
        };
        fits(&self.smaller, &|node| clockwise(&node.id, &self.own.id))
            || fits(&self.larger, &|node| clockwise(&self.own.id, &node.id))
            || self.cell(self.place(&node.id)).is_err()
    }

    /// Takes in a node that has answered after `rtt`.
    pub(super) fn insert(&mut self, node: Node, rtt: Duration) {
        if node.id == self.own.id || node.addr == self.own.addr {
            return;
        }
        let (own, half) = (self.own.id, self.leaves_max / 2);
        let rtt_us = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        put(&mut self.smaller, node, half, |node| clockwise(&node.id, &own));
        put(&mut self.larger, node, half, |node| clockwise(&own, &node.id));
        let at = self.place(&node.id);
        match self.cell(at) {
            Ok(index) => {
                let cell = &mut self.cells[index];
                if cell.node == node || rtt_us < cell.rtt_us {
                    *cell = Cell { at, node, rtt_us };
                }
            }
            Err(index) => self.cells.insert(index, Cell { at, node, rtt_us }),
        }
        self.nearby.retain(|(_, known)| *known != node);
        let index = self.nearby.partition_point(|(known, _)| *known <= rtt_us);
        self.nearby.insert(index, (rtt_us, node));
        self.nearby.truncate(self.nearby_max);
    }

    /// Drops a node that does not answer. Whether it was a leaf, and the row that it was in.
    pub(super) fn remove(&mut self, addr: SocketAddr) -> (Option<Node>, Option<u8>) {
        let leaf = self.leaves().find(|node| node.addr == addr);
        let cell = self.cells.iter().find(|cell| cell.node.addr == addr);
        let row = cell.and_then(|cell| u8::try_from(cell.at / BASE).ok());
        self.smaller.retain(|node| node.addr != addr);
        self.larger.retain(|node| node.addr != addr);
        self.cells.retain(|cell| cell.node.addr != addr);
        self.nearby.retain(|(_, node)| node.addr != addr);
        (leaf, row)
    }

    /// Whether the leaf set reaches as far as `target`; then its closest leaf is the root.
    fn covers(&self, target: &Id) -> bool {
        let half = self.leaves_max / 2;
        match (self.smaller.last(), self.larger.last()) {
            (Some(first), Some(last)) if self.smaller.len() >= half && self.larger.len() >= half => {
                // In a small network the two halves overlap and are all there is.
                clockwise(&first.id, target) <= clockwise(&first.id, &last.id)
                    || clockwise(&first.id, &self.own.id) > clockwise(&first.id, &last.id)
            }
            _ => true,
        }
    }

    /// Where a message for `target` goes (the paper's figure 2): the next hop, then others to try. Empty when this
    /// node is the root.
    pub(super) fn route(&self, target: &Id) -> Vec<Node> {
        // A tie of two nodes at the same distance is broken by their keys, so that all agree.
        let rank = |id: &Id| (apart(id, target), *id);
        let own = rank(&self.own.id);
        if self.covers(target) {
            let mut closer: Vec<Node> = self.leaves().filter(|node| rank(&node.id) < own).collect();
            closer.sort_by_key(|node| rank(&node.id));
            closer.truncate(HOPS_MAX);
            return closer;
        }
        let shared = shared_digits(&self.own.id, target);
        let first = self.cell(self.place(target)).ok().map(|index| self.cells[index].node);
        let known = self.cells().chain(self.leaves()).chain(self.nearby());
        let mut others: Vec<Node> = known
            .filter(|node| {
                shared_digits(&node.id, target) >= shared && rank(&node.id) < own && Some(*node) != first
            })
            .collect();
        others.sort_by_key(|node| (usize::MAX - shared_digits(&node.id, target), rank(&node.id)));
        others.dedup();
        first.into_iter().chain(others).take(HOPS_MAX).collect()
    }

    /// This node and its leaves, closest to `target` first.
    pub(super) fn closest(&self, target: &Id) -> Vec<Node> {
        let mut nodes: Vec<Node> = [self.own].into_iter().chain(self.leaves()).collect();
        nodes.sort_by_key(|node| (apart(&node.id, target), node.id));
        nodes
    }
}

/// Puts a node in its place on one side of the leaf set.
fn put(side: &mut Vec<Node>, node: Node, max: usize, distance: impl Fn(&Node) -> Id) {
    let place = side.partition_point(|known| distance(known) < distance(&node));
    match side.get_mut(place) {
        Some(known) if known.id == node.id => *known = node,
        _ => side.insert(place, node),
    }
    side.truncate(max);
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Key;
    use proptest::prelude::*;

    fn node(id: [u8; 20], port: u16) -> Node {
        Node { id: Key(id), addr: SocketAddr::from(([192, 0, 2, 1], port)) }
    }

    fn at(first: u16, port: u16) -> Node {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&first.to_be_bytes());
        node(id, port)
    }

    const NEAR: Duration = Duration::from_millis(5);
    const FAR: Duration = Duration::from_millis(500);

    #[test]
    fn of_two_nodes_for_one_place_the_nearer_is_kept() {
        let mut table = Table::new(at(0x1000, 1), 2, 4);
        table.insert(at(0x2000, 2), FAR);
        table.insert(at(0x2111, 3), NEAR);
        table.insert(at(0x2222, 4), FAR);
        assert_eq!(table.row(0).collect::<Vec<_>>(), [at(0x2111, 3)]);
        table.insert(at(0x1100, 5), FAR);
        table.insert(at(0x1020, 6), FAR);
        assert_eq!(table.row(1).collect::<Vec<_>>(), [at(0x1100, 5)]);
        assert_eq!(table.row(2).collect::<Vec<_>>(), [at(0x1020, 6)]);
        assert_eq!(table.nearby().next(), Some(at(0x2111, 3)));
        assert_eq!(table.nearby().count(), 4);
        let (leaf, row) = table.remove(at(0x2111, 3).addr);
        assert_eq!((leaf, row), (None, Some(0)));
        assert!(table.wants(&at(0x2111, 3)) && !table.wants(&at(0x1101, 9)));
    }

    #[test]
    fn a_message_goes_where_one_more_digit_fits() {
        let mut table = Table::new(at(0x1000, 1), 2, 0);
        for (key, port) in [(0x0FFF, 2), (0x1001, 3), (0x8000, 4), (0x8111, 5), (0x1800, 6)] {
            table.insert(at(key, port), NEAR);
        }
        assert_eq!(table.route(&at(0x8111, 0).id)[0], at(0x8000, 4), "the row's node, not the closest one");
        assert_eq!(table.route(&at(0x1888, 0).id)[0], at(0x1800, 6));
        assert_eq!(table.route(&at(0x1000, 0).id), [], "our own");
        assert_eq!(table.route(&at(0x1001, 0).id), [at(0x1001, 3)], "a leaf's");
        // No node begins with 9: the numerically closest of those that share as many digits.
        assert_eq!(table.route(&at(0x9000, 0).id)[0], at(0x8000, 4));
        assert_eq!(table.closest(&at(0x1001, 0).id)[..2], [at(0x1001, 3), at(0x1000, 1)]);
    }

    proptest! {
        /// No hop leads away: more digits, or as many and numerically closer. Leaves are sorted and bounded.
        #[test]
        fn each_hop_comes_closer(own: [u8; 20], others: Vec<([u8; 20], u16)>, target: [u8; 20]) {
            let mut table = Table::new(node(own, 1), 8, 8);
            for (id, rtt) in others {
                table.insert(node(id, rtt.max(2)), Duration::from_micros(u64::from(rtt)));
            }
            let target = Key(target);
            for hop in table.route(&target) {
                let (ours, theirs) =
                    (shared_digits(&Key(own), &target), shared_digits(&hop.id, &target));
                let nearer = (apart(&hop.id, &target), hop.id) < (apart(&Key(own), &target), Key(own));
                prop_assert!(nearer || theirs > ours);
            }
            prop_assert!(table.smaller.len() <= 4 && table.larger.len() <= 4 && table.nearby.len() <= 8);
            prop_assert!(table.larger.is_sorted_by_key(|node| clockwise(&Key(own), &node.id)));
            prop_assert!(table.cells.is_sorted_by(|a, b| a.at < b.at));
            prop_assert!(table.cells.iter().all(|cell| table.place(&cell.node.id) == cell.at));
        }
    }
}
