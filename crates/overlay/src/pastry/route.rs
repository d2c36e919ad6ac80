//! One route: from hop to hop to a key's root.

use crate::ring::apart;
use crate::search::{Report, SearchId};
use peerage_base::Instant;
use peerage_wire::overlay::{Id, Node};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

/// What a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// To find our place.
    Join,
    /// To know the root, by command.
    Root(SearchId),
    /// To find who has the object.
    Search(SearchId),
    /// To store that we have it; by command, or again.
    Publish(Option<SearchId>),
}

impl Goal {
    /// The command that it is for.
    pub(super) fn command(self) -> Option<SearchId> {
        match self {
            Self::Root(search) | Self::Search(search) | Self::Publish(Some(search)) => Some(search),
            Self::Join | Self::Publish(None) => None,
        }
    }
}

/// A route on its way.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) target: Id,
    pub(super) goal: Goal,
    /// Addresses without a key, to begin with.
    strangers: VecDeque<SocketAddr>,
    /// Next hops that the last one to answer named.
    next: VecDeque<Node>,
    asked: BTreeSet<SocketAddr>,
    /// Who answered last; `None` while it is this node.
    pub(super) current: Option<Node>,
    /// Once the root is known: those still to be asked or told.
    pub(super) keepers: VecDeque<Node>,
    /// Whether the root's leaves have been asked for.
    pub(super) widened: bool,
    /// Keepers that have stored.
    pub(super) stored: usize,
    /// Questions to keepers on the way.
    pub(super) open: usize,
    steps_max: usize,
    pub(super) begun: Instant,
    pub(super) report: Report,
}

impl Route {
    pub(super) fn new(now: Instant, target: Id, goal: Goal, next: Vec<Node>, steps_max: usize) -> Self {
        Self {
            target,
            goal,
            strangers: VecDeque::new(),
            next: next.into(),
            asked: BTreeSet::new(),
            current: None,
            keepers: VecDeque::new(),
            widened: false,
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

    /// Whom to ask next; `None` when the last that answered is the root, as far as can be known.
    pub(super) fn next(&mut self) -> Option<(SocketAddr, Option<Id>)> {
        if self.asked.len() >= self.steps_max {
            return None;
        }
        while let Some(node) = self.next.pop_front() {
            if self.asked.insert(node.addr) {
                return Some((node.addr, Some(node.id)));
            }
        }
        if self.current.is_some() {
            return None;
        }
        let addr = self.strangers.pop_front()?;
        self.asked.insert(addr);
        Some((addr, None))
    }

    /// A hop answered. What it names must not lead away: a liar could send us round for ever else.
    pub(super) fn answer(&mut self, from: Node, next: Vec<Node>) {
        self.report.hops += 1;
        let progress =
            |id: &Id| (id.common_bits(&self.target) / 4, core::cmp::Reverse(apart(id, &self.target)));
        let here = progress(&from.id);
        let closer = |node: &Node| {
            progress(&node.id) > here || apart(&node.id, &self.target) < apart(&from.id, &self.target)
        };
        self.next = next.into_iter().filter(closer).collect();
        self.current = Some(from);
    }

    /// A hop did not answer.
    pub(super) fn fail(&mut self) {
        self.report.timeouts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Key;

    fn node(first: u8) -> Node {
        let mut id = [0; 20];
        id[0] = first;
        Node { id: Key(id), addr: SocketAddr::from(([192, 0, 2, first], 1)) }
    }

    #[test]
    fn dead_hops_are_gone_round_and_liars_do_not_lead_away() {
        let mut route =
            Route::new(Instant::ZERO, node(0x80).id, Goal::Join, vec![node(0x60), node(0x50)], 10);
        assert_eq!(route.next(), Some((node(0x60).addr, Some(node(0x60).id))));
        route.fail();
        assert_eq!(route.next(), Some((node(0x50).addr, Some(node(0x50).id))));
        route.answer(node(0x50), vec![node(0x10), node(0xFF), node(0x60), node(0x84)]);
        assert_eq!(
            route.next(),
            Some((node(0x84).addr, Some(node(0x84).id))),
            "0x60 was asked, others are farther"
        );
        route.answer(node(0x84), vec![node(0x50)]);
        assert_eq!(route.next(), None);
        assert_eq!(route.current, Some(node(0x84)));
        assert_eq!((route.report.hops, route.report.timeouts), (2, 1));
    }

    #[test]
    fn no_more_hops_are_asked_than_allowed() {
        let mut route = Route::new(Instant::ZERO, node(100).id, Goal::Join, vec![node(1)], 10);
        let mut count = 0;
        while route.next().is_some() {
            count += 1;
            route.answer(node(count), vec![node(count + 1)]);
        }
        assert_eq!(count, 10);
    }
}
