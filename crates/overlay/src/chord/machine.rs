//! The machine: commands, what comes in, stabilisation.

use super::config::Config;
use super::lookup::{Goal, Lookup};
use super::table::Table;
use crate::ring::{BITS, clockwise, plus_power};
use crate::search::{Holders, Local, Outbox, Output, Report, Requests, SearchId, Stats};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::chord::Message;
use peerage_wire::overlay::{Frame, Id, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Addresses to join by that are kept.
const BOOTSTRAP_MAX: usize = 16;

/// What a question is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// A step of a look-up, to a node with this key.
    Step(u64, Option<Id>),
    /// A search at an owner.
    Get(u64),
    /// A record for an owner.
    Store(u64),
    /// Who is beside the first successor?
    Stabilise(Node),
    /// Is it there? Then it may be a successor, a predecessor, a finger.
    Verify(Node, Option<u8>),
}

/// A node of Chord. See [the module](super).
#[derive(Clone, Debug)]
pub struct Chord {
    config: Config,
    local: Local,
    rng: Rng,
    table: Table,
    bootstrap: Vec<SocketAddr>,
    requests: Requests<Purpose>,
    lookups: BTreeMap<u64, Lookup>,
    next_lookup: u64,
    /// The finger to look up next, and whether fingers are filled one after the other (after joining).
    finger: u8,
    filling: bool,
    stabilise_at: Instant,
    records: Holders,
    /// Own objects, and when each is stored again.
    published: BTreeMap<Id, Instant>,
    republish: BTreeSet<(Instant, Id)>,
    out: Outbox,
}

impl Chord {
    /// A node that is alone on its ring. `config.successors` and `config.replicas` of 0 count as 1.
    #[must_use]
    pub fn new(config: Config, local: Local, rng: Rng) -> Self {
        Self {
            table: Table::new(local.node(), config.successors),
            requests: Requests::new(config.timeout),
            records: Holders::new(config.keys_max, config.expiry),
            bootstrap: Vec::new(),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            finger: 0,
            filling: false,
            stabilise_at: Instant::FAR_FUTURE,
            published: BTreeMap::new(),
            republish: BTreeSet::new(),
            out: Outbox::default(),
            config,
            local,
            rng,
        }
    }

    /// Joins the ring that the node at `via` is on; tried again while nobody is known.
    pub fn join(&mut self, now: Instant, via: SocketAddr) {
        if !self.bootstrap.contains(&via) && self.bootstrap.len() < BOOTSTRAP_MAX {
            self.bootstrap.push(via);
        }
        self.filling = true;
        self.plan(now);
        self.begin(now, self.local.id, Goal::Join);
    }

    /// Sets the tables at once, as a ring has them that has long been quiet: for simulations that begin with one.
    /// Without a predecessor the node does not see that a key is its own until another tells it (the paper's figure
    /// 5 does not, either).
    pub fn settle(
        &mut self,
        now: Instant,
        predecessor: Option<Node>,
        successors: &[Node],
        fingers: impl IntoIterator<Item = Node>,
    ) {
        self.table.predecessor = predecessor;
        successors.iter().for_each(|node| _ = self.table.add_successor(*node));
        for node in fingers {
            let bit = crate::ring::power(&clockwise(&self.local.id, &node.id));
            bit.map(|bit| self.table.set_finger(bit, node));
        }
        self.plan(now);
    }

    /// Tells the ring that this node has `key`, now and again until [`Self::withdraw`]. Ends with
    /// [`Output::Published`].
    pub fn publish(&mut self, now: Instant, key: Id) -> SearchId {
        let search = self.out.name();
        if self.published.len() >= self.config.published_max && !self.published.contains_key(&key) {
            self.out.stats.refused += 1;
            self.out.tell(Output::Published { search, copies: 0 });
            return search;
        }
        self.republish_after(now, key);
        self.begin(now, key, Goal::Publish(Some(search)));
        search
    }

    /// No longer stores `key`; others forget within the expiry.
    pub fn withdraw(&mut self, key: &Id) {
        if let Some(at) = self.published.remove(key) {
            self.republish.remove(&(at, *key));
        }
    }

    /// Who has `key`? Ends with [`Output::Found`] or [`Output::NotFound`].
    pub fn search(&mut self, now: Instant, key: Id) -> SearchId {
        let search = self.out.name();
        self.out.stats.searches += 1;
        if self.published.contains_key(&key) {
            self.out.end(search, Report { holders: vec![self.local.addr], ..Report::default() });
        } else {
            self.begin(now, key, Goal::Search(search));
        }
        search
    }

    /// Which nodes does `target` belong to? Ends with [`Output::Closest`].
    pub fn lookup(&mut self, now: Instant, target: Id) -> SearchId {
        let search = self.out.name();
        self.begin(now, target, Goal::Owners(search));
        search
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.out.decode(bytes) {
            Ok(Frame::Chord(message)) => self.handle_message(now, from, message),
            Ok(_) => self.out.stats.malformed += 1,
            Err(_) => {}
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: Message) {
        match message {
            Message::Ping { transaction } => {
                self.send(from, Message::Pong { transaction, id: self.local.id });
            }
            Message::Find { transaction, target } => {
                self.out.stats.queries += 1;
                let (closer, owners) = (self.table.closer(&target), self.table.owners(&target));
                self.answer(from, Message::Nodes { transaction, id: self.local.id, closer, owners });
            }
            Message::Neighbours { transaction } => {
                let (predecessor, successors) = (self.table.predecessor, self.table.successors().to_vec());
                self.send(from, Message::Beside { transaction, id: self.local.id, predecessor, successors });
            }
            Message::Notify { id } => {
                let node = Node { id, addr: from };
                if self.table.may_precede(&node) || self.table.successors().is_empty() {
                    self.verify(now, node, None);
                }
            }
            Message::Store { transaction, key } => {
                self.records.expire(now);
                if self.records.add(now, key, from) {
                    self.answer(from, Message::Stored { transaction });
                } else {
                    self.out.stats.refused += 1;
                }
            }
            Message::Get { transaction, key } => {
                self.out.stats.queries += 1;
                let holders = self.holders(now, &key);
                self.answer(from, Message::Holders { transaction, holders });
            }
            Message::Pong { transaction, .. }
            | Message::Nodes { transaction, .. }
            | Message::Beside { transaction, .. }
            | Message::Stored { transaction }
            | Message::Holders { transaction, .. } => match self.requests.finish(now, from, transaction) {
                Some((purpose, _)) => self.on_answer(now, from, purpose, message),
                None => self.out.stats.unexpected += 1,
            },
        }
    }

    /// A deadline passed; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((to, purpose)) = self.requests.expired(now) {
            self.out.stats.timeouts += 1;
            let dead = self.requests.strike(to);
            self.on_silence(now, to, purpose, dead);
        }
        if self.stabilise_at <= now {
            self.plan(now);
            self.stabilise(now);
            self.fix_finger(now);
            if let Some(predecessor) = self.table.predecessor {
                self.verify(now, predecessor, None);
            }
            self.records.expire(now);
        }
        while let Some((_, key)) = self.republish.first().copied().filter(|(at, _)| *at <= now) {
            self.republish_after(now, key);
            self.begin(now, key, Goal::Publish(None));
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let times = [
            self.requests.next().map(|at| (at, "answer")),
            (self.stabilise_at < Instant::FAR_FUTURE).then_some((self.stabilise_at, "stabilise")),
            self.republish.first().map(|(at, _)| (*at, "republish")),
        ];
        times.into_iter().flatten().min()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.out.stats
    }

    /// Who is known on the ring.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Keys of which this node keeps records for others.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.len()
    }

    fn send(&mut self, to: SocketAddr, message: Message) {
        self.out.send(to, &Frame::Chord(message));
    }

    /// Answers for another's search.
    fn answer(&mut self, to: SocketAddr, message: Message) {
        self.out.send_search(to, &Frame::Chord(message), None);
    }

    /// Asks for a search, which may be ours.
    fn question(&mut self, to: SocketAddr, message: Message, goal: Goal) {
        self.out.send_search(to, &Frame::Chord(message), goal.command());
    }

    /// Plans the next round; the interval is random so that nodes do not keep step.
    fn plan(&mut self, now: Instant) {
        let span = self.config.stabilise_max.saturating_sub(self.config.stabilise_min);
        let extra = Duration::from_micros(self.rng.below(span.as_micros() as u64));
        self.stabilise_at = now + self.config.stabilise_min.max(Duration::from_millis(1)) + extra;
    }

    fn republish_after(&mut self, now: Instant, key: Id) {
        let at = now + self.config.republish.max(Duration::from_secs(1));
        if let Some(before) = self.published.insert(key, at) {
            self.republish.remove(&(before, key));
        }
        self.republish.insert((at, key));
    }

    fn holders(&self, now: Instant, key: &Id) -> Vec<SocketAddr> {
        let own = self.published.contains_key(key).then_some(self.local.addr);
        own.into_iter().chain(self.records.of(now, key)).collect()
    }

    fn stabilise(&mut self, now: Instant) {
        match self.table.successors().first().copied() {
            Some(successor) => {
                let purpose = Purpose::Stabilise(successor);
                let transaction = self.requests.begin(now, successor.addr, purpose, &mut self.rng);
                self.send(successor.addr, Message::Neighbours { transaction });
            }
            None if self.lookups.values().any(|lookup| lookup.goal == Goal::Join) => {}
            None => {
                // Cut off: any node that is known leads back, and so do those that we came by.
                let back = self.table.fingers().next().or(self.table.predecessor);
                if let Some(node) = back {
                    self.verify(now, node, None);
                } else if !self.bootstrap.is_empty() {
                    self.begin(now, self.local.id, Goal::Join);
                }
            }
        }
    }

    fn fix_finger(&mut self, now: Instant) {
        let first = self.table.first_bit();
        if self.finger < first || self.finger >= BITS {
            self.finger = first;
        }
        if !self.table.successors().is_empty() && self.finger < BITS {
            self.begin(now, plus_power(&self.local.id, self.finger), Goal::Finger(self.finger));
        }
    }

    /// Asks a node whether it is there before it is taken in.
    fn verify(&mut self, now: Instant, node: Node, finger: Option<u8>) {
        // Our own address under another key is us, before we came back.
        let own = node.id == self.local.id || node.addr == self.local.addr;
        if own || !self.config.ranges.allow(node.addr) {
            return;
        }
        if self.requests.len() >= 4 * self.config.lookups_max {
            self.out.stats.refused += 1;
            return;
        }
        let transaction = self.requests.begin(now, node.addr, Purpose::Verify(node, finger), &mut self.rng);
        self.send(node.addr, Message::Ping { transaction });
    }

    fn begin(&mut self, now: Instant, target: Id, goal: Goal) {
        let mut lookup = Lookup::new(now, target, goal, self.local.id, self.config.steps_max);
        if goal == Goal::Join {
            lookup.begin_at(&self.bootstrap);
        } else {
            lookup.begin_with(self.table.closer(&target), self.table.owners(&target));
        }
        let number = self.next_lookup;
        self.next_lookup += 1;
        if self.lookups.len() >= self.config.lookups_max {
            self.out.stats.refused += 1;
            self.end(now, lookup, Vec::new());
            return;
        }
        self.lookups.insert(number, lookup);
        self.step(now, number);
    }

    /// Goes on with a look-up: the next question, or its end.
    fn step(&mut self, now: Instant, number: u64) {
        let Some(lookup) = self.lookups.get_mut(&number) else { return };
        while let Some((addr, id)) = lookup.next() {
            // A bootstrap address is the user's; all others are hearsay.
            if addr == self.local.addr || (id.is_some() && !self.config.ranges.allow(addr)) {
                continue;
            }
            lookup.report.messages += 1;
            let (target, goal) = (lookup.target, lookup.goal);
            let transaction = self.requests.begin(now, addr, Purpose::Step(number, id), &mut self.rng);
            self.question(addr, Message::Find { transaction, target }, goal);
            return;
        }
        let owners = lookup.found();
        match lookup.goal {
            Goal::Search(_) | Goal::Publish(_) => {
                // A search looks at one owner more: a newcomer before the first may not have the records yet.
                let count = self.config.replicas.max(1) + usize::from(matches!(lookup.goal, Goal::Search(_)));
                lookup.owners = owners.into_iter().take(count).collect();
                self.ask_owners(now, number);
            }
            Goal::Join | Goal::Finger(_) | Goal::Owners(_) => {
                if let Some(lookup) = self.lookups.remove(&number) {
                    self.end(now, lookup, owners);
                }
            }
        }
    }

    /// Asks the next owner, or tells all of them, or ends.
    fn ask_owners(&mut self, now: Instant, number: u64) {
        let Some(mut lookup) = self.lookups.remove(&number) else { return };
        let key = lookup.target;
        while let Some(node) = lookup.owners.pop_front() {
            let search = matches!(lookup.goal, Goal::Search(_));
            if node.addr == self.local.addr {
                let holders = self.records.of(now, &key);
                if search && !holders.is_empty() {
                    lookup.report.holders = holders;
                    self.end(now, lookup, Vec::new());
                    return;
                }
                continue;
            }
            if !self.config.ranges.allow(node.addr) {
                continue;
            }
            lookup.open += 1;
            lookup.report.messages += 1;
            let purpose = if search { Purpose::Get(number) } else { Purpose::Store(number) };
            let transaction = self.requests.begin(now, node.addr, purpose, &mut self.rng);
            let message =
                if search { Message::Get { transaction, key } } else { Message::Store { transaction, key } };
            self.question(node.addr, message, lookup.goal);
            if search {
                lookup.report.hops += 1;
                break;
            }
        }
        if lookup.open == 0 {
            self.end(now, lookup, Vec::new());
        } else {
            self.lookups.insert(number, lookup);
        }
    }

    fn on_answer(&mut self, now: Instant, from: SocketAddr, purpose: Purpose, message: Message) {
        match (purpose, message) {
            (Purpose::Step(number, expected), Message::Nodes { id, closer, owners, .. }) => {
                if expected.is_some_and(|expected| expected != id) {
                    self.on_silence(now, from, purpose, true);
                    return;
                }
                if let Some(lookup) = self.lookups.get_mut(&number) {
                    lookup.answer(Node { id, addr: from }, &closer, &owners);
                    self.step(now, number);
                }
            }
            (Purpose::Get(number), Message::Holders { holders, .. }) => {
                if let Some(lookup) = self.lookups.get_mut(&number) {
                    lookup.open -= 1;
                    lookup.report.holders = holders;
                    if lookup.report.holders.is_empty() {
                        self.ask_owners(now, number);
                    } else if let Some(lookup) = self.lookups.remove(&number) {
                        self.end(now, lookup, Vec::new());
                    }
                }
            }
            (Purpose::Store(number), Message::Stored { .. }) => self.stored(now, number, 1),
            (Purpose::Stabilise(node), Message::Beside { id, predecessor, successors, .. })
                if id == node.id =>
            {
                self.on_beside(now, node, predecessor, &successors);
            }
            (Purpose::Verify(node, finger), Message::Pong { id, .. }) if id == node.id => {
                self.on_verified(now, node, finger);
            }
            // An answer of another kind or under another key: whom we knew is not there any more.
            _ => self.on_silence(now, from, purpose, true),
        }
    }

    fn on_silence(&mut self, now: Instant, addr: SocketAddr, purpose: Purpose, dead: bool) {
        if dead {
            self.table.remove(addr);
        }
        match purpose {
            Purpose::Step(number, _) => {
                if let Some(lookup) = self.lookups.get_mut(&number) {
                    lookup.fail(addr);
                    self.step(now, number);
                }
            }
            Purpose::Get(number) => {
                if let Some(lookup) = self.lookups.get_mut(&number) {
                    lookup.open -= 1;
                    lookup.report.timeouts += 1;
                    self.ask_owners(now, number);
                }
            }
            Purpose::Store(number) => self.stored(now, number, 0),
            Purpose::Stabilise(_) => self.stabilise(now),
            Purpose::Verify(node, finger) if !dead => self.verify(now, node, finger),
            Purpose::Verify(..) => {}
        }
    }

    fn stored(&mut self, now: Instant, number: u64, count: usize) {
        let Some(lookup) = self.lookups.get_mut(&number) else { return };
        lookup.open -= 1;
        lookup.stored += count;
        if lookup.open == 0
            && let Some(lookup) = self.lookups.remove(&number)
        {
            self.end(now, lookup, Vec::new());
        }
    }

    /// The first successor told who is beside it (ToN 2003, figure 6).
    fn on_beside(&mut self, now: Instant, node: Node, predecessor: Option<Node>, successors: &[Node]) {
        if self.table.successors().first() != Some(&node) {
            return;
        }
        let allowed: Vec<Node> =
            successors.iter().filter(|node| self.config.ranges.allow(node.addr)).copied().collect();
        self.table.adopt_successors(node, &allowed);
        let between = predecessor.filter(|other| {
            other.id != node.id && clockwise(&self.local.id, &other.id) < clockwise(&self.local.id, &node.id)
        });
        match between {
            Some(other) if other.id != self.local.id => self.verify(now, other, None),
            _ if predecessor.is_some_and(|other| other.id == self.local.id) => {}
            _ => self.send(node.addr, Message::Notify { id: self.local.id }),
        }
        if core::mem::take(&mut self.filling) {
            self.finger = 0;
            self.filling = true;
            self.fix_finger(now);
        }
    }

    fn on_verified(&mut self, now: Instant, node: Node, finger: Option<u8>) {
        if self.stabilise_at == Instant::FAR_FUTURE {
            // The ring's first node is no longer alone.
            self.plan(now);
        }
        if self.table.may_precede(&node) {
            self.table.predecessor = Some(node);
        }
        if let Some(bit) = finger {
            self.table.set_finger(bit, node);
        }
        let first = self.table.successors().first();
        let closer = first
            .is_none_or(|first| clockwise(&self.local.id, &node.id) < clockwise(&self.local.id, &first.id));
        if closer && self.table.add_successor(node) {
            self.stabilise(now);
        }
    }

    /// A look-up ended with these owners.
    fn end(&mut self, now: Instant, mut lookup: Lookup, owners: Vec<Node>) {
        lookup.report.took = now.since(lookup.begun);
        match lookup.goal {
            Goal::Join => {
                // Ourselves, perhaps, from before a restart: the next one is the successor.
                if let Some(node) = owners.iter().find(|node| node.id != self.local.id) {
                    self.verify(now, *node, None);
                }
            }
            Goal::Finger(bit) => {
                let Some(owner) = owners.first() else { return };
                match self.table.knows(owner) || owner.id == self.local.id {
                    true => _ = self.table.set_finger(bit, *owner),
                    false => self.verify(now, *owner, Some(bit)),
                }
                let top = crate::ring::power(&clockwise(&self.local.id, &owner.id));
                self.finger = top.filter(|top| *top >= bit).map_or(BITS, |top| top + 1);
                if self.filling && self.finger < BITS {
                    self.fix_finger(now);
                } else {
                    self.filling = false;
                }
            }
            Goal::Owners(search) => {
                self.out.tell(Output::Closest { search, nodes: owners, report: lookup.report });
            }
            Goal::Search(search) => self.out.end(search, lookup.report),
            Goal::Publish(Some(search)) => {
                self.out.tell(Output::Published { search, copies: lookup.stored });
            }
            Goal::Publish(None) => {}
        }
    }
}
