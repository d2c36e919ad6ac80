//! One look-up: from node to node towards the key's predecessor, which knows the key's owner.

use crate::ring::clockwise;
use crate::search::{Report, SearchId};
use peerage_base::{Instant, Key};
use peerage_wire::overlay::{Id, Node};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// What a look-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// To find our place on the ring.
    Join,
    /// To fill the finger of this bit.
    Finger(u8),
    /// To know the owners, by command.
    Owners(SearchId),
    /// To find who has the object.
    Search(SearchId),
    /// To store that we have it; by command, or again.
    Publish(Option<SearchId>),
}

impl Goal {
    /// The command that it is for.
    pub(super) fn command(self) -> Option<SearchId> {
        match self {
            Self::Owners(search) | Self::Search(search) | Self::Publish(Some(search)) => Some(search),
            Self::Join | Self::Finger(_) | Self::Publish(None) => None,
        }
    }
}

/// Candidates that are remembered; the farthest is forgotten.
const CANDIDATES_MAX: usize = 128;

/// A look-up on its way.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) target: Id,
    pub(super) goal: Goal,
    /// Addresses without a key, to begin with.
    strangers: VecDeque<SocketAddr>,
    /// Nodes before the target by their distance to it.
    candidates: BTreeMap<Id, Node>,
    asked: BTreeSet<SocketAddr>,
    dead: BTreeSet<SocketAddr>,
    /// Of those that answered, the one closest to the target: its distance, and the owners that it named.
    best: (Id, Vec<Node>),
    /// Once the owners are known: those still to be asked or told.
    pub(super) owners: VecDeque<Node>,
    /// Owners that have stored.
    pub(super) stored: usize,
    /// Questions to owners on the way.
    pub(super) open: usize,
    steps_max: usize,
    pub(super) begun: Instant,
    pub(super) report: Report,
}

impl Lookup {
    pub(super) fn new(now: Instant, target: Id, goal: Goal, own: Id, steps_max: usize) -> Self {
        Self {
            target,
            goal,
            strangers: VecDeque::new(),
            candidates: BTreeMap::new(),
            asked: BTreeSet::new(),
            dead: BTreeSet::new(),
            best: (distance(&own, &target), Vec::new()),
            owners: VecDeque::new(),
            stored: 0,
            open: 0,
            steps_max,
            begun: now,
            report: Report::default(),
        }
    }

    pub(super) fn begin_at(&mut self, strangers: &[SocketAddr]) {
        self.strangers.extend(strangers);
    }

    /// What this node knows itself.
    pub(super) fn begin_with(&mut self, closer: Vec<Node>, owners: Vec<Node>) {
        closer.into_iter().for_each(|node| self.add(node));
        self.best.1 = owners;
    }

    fn add(&mut self, node: Node) {
        self.candidates.insert(distance(&node.id, &self.target), node);
        if self.candidates.len() > CANDIDATES_MAX {
            self.candidates.pop_last();
        }
    }

    /// Whom to ask next; `None` when the owners are as well known as they will be.
    pub(super) fn next(&mut self) -> Option<(SocketAddr, Option<Id>)> {
        if self.asked.len() >= self.steps_max {
            return None;
        }
        // While no owner is known, also those are asked that are farther than who answered last.
        let known = !self.best.1.is_empty();
        let best = self.best.0;
        let fresh = |(at, node): &(&Id, &Node)| !self.asked.contains(&node.addr) && (!known || **at < best);
        let node = self.candidates.iter().find(fresh).map(|(_, node)| (node.addr, Some(node.id)));
        let next =
            node.or_else(|| if known { None } else { self.strangers.pop_front().map(|addr| (addr, None)) })?;
        self.asked.insert(next.0);
        Some(next)
    }

    /// A node answered.
    pub(super) fn answer(&mut self, from: Node, closer: &[Node], owners: &[Node]) {
        self.report.hops += 1;
        let at = distance(&from.id, &self.target);
        let reach = clockwise(&from.id, &self.target);
        // Only nodes between the answerer and the target bring us on; all else is a lie.
        let target = self.target;
        let between = |node: &&Node| node.id != target && clockwise(&from.id, &node.id) < reach;
        closer.iter().filter(between).for_each(|node| self.add(*node));
        if !owners.is_empty() && (at < self.best.0 || self.best.1.is_empty()) {
            self.best = (at, owners.to_vec());
        }
    }

    /// A node did not answer.
    pub(super) fn fail(&mut self, addr: SocketAddr) {
        self.report.timeouts += 1;
        self.dead.insert(addr);
        self.candidates.retain(|_, node| node.addr != addr);
    }

    /// The owners that were found, closest first, without those known to be dead.
    pub(super) fn found(&self) -> Vec<Node> {
        let alive = |node: &&Node| !self.dead.contains(&node.addr);
        self.best.1.iter().filter(alive).copied().collect()
    }
}

/// From a node to the target, clockwise. At the target itself a node is farthest: it does not precede it.
fn distance(id: &Id, target: &Id) -> Id {
    if id == target { Key([0xFF; 20]) } else { clockwise(id, target) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(first: u8) -> Node {
        let mut id = [0; 20];
        id[0] = first;
        Node { id: Key(id), addr: SocketAddr::from(([192, 0, 2, first], 1)) }
    }

    fn lookup(closer: &[u8]) -> Lookup {
        let mut lookup = Lookup::new(Instant::ZERO, node(100).id, Goal::Join, node(1).id, 10);
        lookup.begin_with(closer.iter().map(|first| node(*first)).collect(), Vec::new());
        lookup
    }

    #[test]
    fn the_closest_before_the_target_is_asked_and_dead_ones_are_gone_round() {
        let mut lookup = lookup(&[50, 90, 70]);
        assert_eq!(lookup.next(), Some((node(90).addr, Some(node(90).id))));
        lookup.fail(node(90).addr);
        assert_eq!(lookup.next(), Some((node(70).addr, Some(node(70).id))));
        lookup.answer(node(70), &[node(95), node(90), node(80)], &[]);
        assert_eq!(lookup.next().map(|next| next.0), Some(node(95).addr));
        lookup.answer(node(95), &[], &[node(90), node(110), node(120)]);
        assert_eq!(lookup.next(), None, "80 is farther than who knows the owner");
        assert_eq!(lookup.found(), [node(110), node(120)]);
        assert_eq!((lookup.report.hops, lookup.report.timeouts), (2, 1));
    }

    #[test]
    fn nodes_that_do_not_lie_before_the_target_are_not_believed() {
        let mut lookup = lookup(&[70]);
        lookup.next();
        lookup.answer(node(70), &[node(60), node(100), node(101), node(255), node(70)], &[]);
        assert_eq!(lookup.next(), None);
    }

    #[test]
    fn no_more_nodes_are_asked_than_allowed() {
        let mut lookup = lookup(&[2]);
        for step in 2..40 {
            let Some((addr, _)) = lookup.next() else {
                assert_eq!(step, 12);
                return;
            };
            assert_eq!(addr, node(step).addr);
            lookup.answer(node(step), &[node(step + 1)], &[]);
        }
        panic!("it went on");
    }
}
