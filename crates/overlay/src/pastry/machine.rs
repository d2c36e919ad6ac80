//! The machine: commands, what comes in, joining, repair.

use super::config::Config;
use super::route::{Goal, Route};
use super::table::Table;
use crate::ring::shared_digits;
use crate::search::{Holders, Local, Outbox, Output, Report, Requests, SearchId, Stats};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::pastry::Message;
use peerage_wire::overlay::{Frame, Id, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Addresses to join by that are kept.
const BOOTSTRAP_MAX: usize = 16;

/// What a question is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// A step of a route, to a node with this key.
    Step(u64, Option<Id>),
    /// A search at a keeper.
    Get(u64),
    /// A record for a keeper.
    Store(u64),
    /// The root's leaves, for a route that needs more keepers.
    Keepers(u64),
    /// Nodes to learn; with `true`, also such as only might be nearer than ours.
    Learn(bool),
    /// Is it there, and how near? Then it is taken in.
    Verify(Node),
}

/// A node of Pastry. See [the module](super).
#[derive(Clone, Debug)]
pub struct Pastry {
    config: Config,
    local: Local,
    rng: Rng,
    table: Table,
    bootstrap: Vec<SocketAddr>,
    requests: Requests<Purpose>,
    /// Nodes being verified.
    verifying: BTreeSet<SocketAddr>,
    routes: BTreeMap<u64, Route>,
    next_route: u64,
    upkeep_at: Instant,
    /// When to tell all that we know that we are here.
    announce_at: Instant,
    records: Holders,
    /// Own objects, and when each is stored again.
    published: BTreeMap<Id, Instant>,
    republish: BTreeSet<(Instant, Id)>,
    out: Outbox,
}

impl Pastry {
    /// A node that is alone.
    #[must_use]
    pub fn new(config: Config, local: Local, rng: Rng) -> Self {
        Self {
            table: Table::new(local.node(), config.leaves, config.nearby),
            requests: Requests::new(config.timeout),
            records: Holders::new(config.keys_max, config.expiry),
            bootstrap: Vec::new(),
            verifying: BTreeSet::new(),
            routes: BTreeMap::new(),
            next_route: 0,
            upkeep_at: Instant::FAR_FUTURE,
            announce_at: Instant::FAR_FUTURE,
            published: BTreeMap::new(),
            republish: BTreeSet::new(),
            out: Outbox::default(),
            config,
            local,
            rng,
        }
    }

    /// Joins the network that the node at `via` is in, which should be near; tried again while nobody is known.
    pub fn join(&mut self, now: Instant, via: SocketAddr) {
        if !self.bootstrap.contains(&via) && self.bootstrap.len() < BOOTSTRAP_MAX {
            self.bootstrap.push(via);
        }
        self.plan(now);
        self.begin(now, self.local.id, Goal::Join);
    }

    /// Takes nodes in at once with their round-trip times, as if they had answered: for simulations that begin with
    /// a settled network.
    pub fn settle(&mut self, now: Instant, nodes: impl IntoIterator<Item = (Node, Duration)>) {
        nodes.into_iter().for_each(|(node, rtt)| self.table.insert(node, rtt));
        self.plan(now);
    }

    /// Tells the network that this node has `key`, now and again until [`Self::withdraw`]. Ends with
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

    /// Which node is the root of `target`? Ends with [`Output::Closest`].
    pub fn lookup(&mut self, now: Instant, target: Id) -> SearchId {
        let search = self.out.name();
        self.begin(now, target, Goal::Root(search));
        search
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.out.decode(bytes) {
            Ok(Frame::Pastry(message)) => self.handle_message(now, from, message),
            Ok(_) => self.out.stats.malformed += 1,
            Err(_) => {}
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: Message) {
        let id = self.local.id;
        match message {
            Message::Ping { transaction } => self.send(from, Message::Pong { transaction, id }),
            Message::Route { transaction, target } => {
                self.out.stats.queries += 1;
                let next = self.table.route(&target);
                self.answer(from, Message::Hops { transaction, id, next });
            }
            Message::Row { transaction, row } => {
                let nodes = self.table.row(row).collect();
                self.send(from, Message::Nodes { transaction, id, nodes });
            }
            Message::Leaves { transaction } => {
                let nodes = self.table.leaves().collect();
                self.send(from, Message::Nodes { transaction, id, nodes });
            }
            Message::Nearby { transaction } => {
                let nodes = self.table.nearby().collect();
                self.send(from, Message::Nodes { transaction, id, nodes });
            }
            Message::Arrived { id } => self.verify(now, Node { id, addr: from }),
            // Looked into only when it is about somebody known: else anybody could make us ping anybody.
            Message::Suspect { node } if self.knows(&node) => self.verify(now, node),
            Message::Suspect { .. } => {}
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
                let own = self.published.contains_key(&key).then_some(self.local.addr);
                let holders = own.into_iter().chain(self.records.of(now, &key)).collect();
                self.answer(from, Message::Holders { transaction, holders });
            }
            Message::Pong { transaction, .. }
            | Message::Hops { transaction, .. }
            | Message::Nodes { transaction, .. }
            | Message::Stored { transaction }
            | Message::Holders { transaction, .. } => match self.requests.finish(now, from, transaction) {
                Some((purpose, rtt)) => self.on_answer(now, from, purpose, message, rtt),
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
        if self.announce_at <= now {
            self.announce_at = Instant::FAR_FUTURE;
            let known: BTreeSet<SocketAddr> = self.known().map(|node| node.addr).collect();
            for addr in known {
                self.send(addr, Message::Arrived { id: self.local.id });
            }
        }
        if self.upkeep_at <= now {
            self.plan(now);
            self.upkeep(now);
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
        let set = |at: Instant, why| (at < Instant::FAR_FUTURE).then_some((at, why));
        let times = [
            self.requests.next().map(|at| (at, "answer")),
            set(self.announce_at, "announce"),
            set(self.upkeep_at, "upkeep"),
            self.republish.first().map(|(at, _)| (*at, "republish")),
        ];
        times.into_iter().flatten().min()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.out.stats
    }

    /// Who is known.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Keys of which this node keeps records for others.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.len()
    }

    fn known(&self) -> impl Iterator<Item = Node> + '_ {
        self.table.cells().chain(self.table.leaves()).chain(self.table.nearby())
    }

    fn knows(&self, node: &Node) -> bool {
        self.known().any(|known| known == *node)
    }

    fn send(&mut self, to: SocketAddr, message: Message) {
        self.out.send(to, &Frame::Pastry(message));
    }

    /// Answers for another's search.
    fn answer(&mut self, to: SocketAddr, message: Message) {
        self.out.send_search(to, &Frame::Pastry(message), None);
    }

    /// Asks for a search, which may be ours.
    fn question(&mut self, to: SocketAddr, message: Message, goal: Goal) {
        self.out.send_search(to, &Frame::Pastry(message), goal.command());
    }

    fn ask(&mut self, now: Instant, to: SocketAddr, purpose: Purpose) -> u32 {
        self.requests.begin(now, to, purpose, &mut self.rng)
    }

    /// Plans the next upkeep, give or take a quarter so that nodes do not keep step.
    fn plan(&mut self, now: Instant) {
        let upkeep = self.config.upkeep.max(Duration::from_millis(10));
        let jitter = Duration::from_micros(self.rng.below(upkeep.as_micros() as u64 / 2));
        self.upkeep_at = now + upkeep * 3 / 4 + jitter;
    }

    fn republish_after(&mut self, now: Instant, key: Id) {
        let at = now + self.config.republish.max(Duration::from_secs(1));
        if let Some(before) = self.published.insert(key, at) {
            self.republish.remove(&(before, key));
        }
        self.republish.insert((at, key));
    }

    /// Compares leaves with the nodes beside us and one row with a node of it, and sees whether they are there.
    fn upkeep(&mut self, now: Instant) {
        self.records.expire(now);
        let beside: BTreeSet<Node> = self.table.beside().collect();
        if beside.is_empty() && !self.bootstrap.is_empty() {
            self.begin(now, self.local.id, Goal::Join);
        }
        let leaves: Vec<Node> = self.table.leaves().collect();
        let leaf = self.rng.choose(&leaves).copied();
        for node in beside.into_iter().chain(leaf) {
            let transaction = self.ask(now, node.addr, Purpose::Learn(false));
            self.send(node.addr, Message::Leaves { transaction });
        }
        let cells: Vec<Node> = self.table.cells().collect();
        if let Some(node) = self.rng.choose(&cells).copied() {
            self.ask_row(now, node, shared_digits(&node.id, &self.local.id), true);
        }
    }

    fn ask_row(&mut self, now: Instant, node: Node, row: usize, nearer: bool) {
        let transaction = self.ask(now, node.addr, Purpose::Learn(nearer));
        let row = u8::try_from(row).unwrap_or(u8::MAX);
        self.send(node.addr, Message::Row { transaction, row });
    }

    /// Asks a node whether it is there before it is taken in.
    fn verify(&mut self, now: Instant, node: Node) {
        // Our own address under another key is us, before we came back.
        let own = node.id == self.local.id || node.addr == self.local.addr;
        let allowed = !own && self.config.ranges.allow(node.addr);
        if !allowed || self.verifying.contains(&node.addr) {
            return;
        }
        if self.verifying.len() >= 4 * self.config.routes_max {
            self.out.stats.refused += 1;
            return;
        }
        self.verifying.insert(node.addr);
        let transaction = self.ask(now, node.addr, Purpose::Verify(node));
        self.send(node.addr, Message::Ping { transaction });
    }

    fn begin(&mut self, now: Instant, target: Id, goal: Goal) {
        let next = if goal == Goal::Join { Vec::new() } else { self.table.route(&target) };
        let mut route = Route::new(now, target, goal, next, self.config.steps_max);
        if goal == Goal::Join {
            route.begin_at(&self.bootstrap);
        }
        let number = self.next_route;
        self.next_route += 1;
        if self.routes.len() >= self.config.routes_max {
            self.out.stats.refused += 1;
            self.end(now, route);
            return;
        }
        self.routes.insert(number, route);
        self.step(now, number);
    }

    /// Goes on with a route: the next hop, or what is to be done at the root.
    fn step(&mut self, now: Instant, number: u64) {
        let Some(route) = self.routes.get_mut(&number) else { return };
        while let Some((addr, id)) = route.next() {
            // A bootstrap address is the user's; all others are hearsay.
            if addr == self.local.addr || (id.is_some() && !self.config.ranges.allow(addr)) {
                continue;
            }
            route.report.messages += 1;
            let (target, goal) = (route.target, route.goal);
            let transaction = self.ask(now, addr, Purpose::Step(number, id));
            self.question(addr, Message::Route { transaction, target }, goal);
            return;
        }
        let root = route.current.unwrap_or(self.local.node());
        match route.goal {
            Goal::Search(_) => {
                route.keepers.push_back(root);
                self.ask_keepers(now, number);
            }
            Goal::Publish(_) => self.widen(now, number),
            Goal::Join | Goal::Root(_) => {
                if let Some(route) = self.routes.remove(&number) {
                    self.end(now, route);
                }
            }
        }
    }

    /// Finds the nodes beside the root.
    fn widen(&mut self, now: Instant, number: u64) {
        let Some(route) = self.routes.get_mut(&number) else { return };
        route.widened = true;
        match route.current {
            Some(root) => {
                route.report.messages += 1;
                let goal = route.goal;
                let transaction = self.ask(now, root.addr, Purpose::Keepers(number));
                self.question(root.addr, Message::Leaves { transaction }, goal);
            }
            None => {
                route.keepers = self.table.closest(&route.target).into();
                route.keepers.truncate(self.config.replicas.max(1));
                self.ask_keepers(now, number);
            }
        }
    }

    /// Asks the next keeper, or tells all of them, or ends.
    fn ask_keepers(&mut self, now: Instant, number: u64) {
        let Some(mut route) = self.routes.remove(&number) else { return };
        let (key, search) = (route.target, matches!(route.goal, Goal::Search(_)));
        while let Some(node) = route.keepers.pop_front() {
            if node.addr == self.local.addr {
                let holders = self.records.of(now, &key);
                if search && !holders.is_empty() {
                    route.report.holders = holders;
                    self.end(now, route);
                    return;
                }
                continue;
            }
            if !self.config.ranges.allow(node.addr) {
                continue;
            }
            route.open += 1;
            route.report.messages += 1;
            let purpose = if search { Purpose::Get(number) } else { Purpose::Store(number) };
            let transaction = self.ask(now, node.addr, purpose);
            let message =
                if search { Message::Get { transaction, key } } else { Message::Store { transaction, key } };
            self.question(node.addr, message, route.goal);
            if search {
                // The root was a hop already.
                route.report.hops += u32::from(route.current != Some(node));
                break;
            }
        }
        if route.open > 0 {
            self.routes.insert(number, route);
        } else if search && !route.widened {
            self.routes.insert(number, route);
            self.widen(now, number);
        } else {
            self.end(now, route);
        }
    }

    fn on_answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        purpose: Purpose,
        message: Message,
        rtt: Duration,
    ) {
        match (purpose, message) {
            (Purpose::Step(number, expected), Message::Hops { id, next, .. }) => {
                if expected.is_some_and(|expected| expected != id) {
                    self.on_silence(now, from, purpose, true);
                    return;
                }
                self.on_hop(now, number, Node { id, addr: from }, next, rtt);
            }
            (Purpose::Get(number), Message::Holders { holders, .. }) => {
                let Some(route) = self.routes.get_mut(&number) else { return };
                route.open -= 1;
                if holders.is_empty() {
                    self.ask_keepers(now, number);
                } else if let Some(mut route) = self.routes.remove(&number) {
                    route.report.holders = holders;
                    self.end(now, route);
                }
            }
            (Purpose::Keepers(number), Message::Nodes { nodes, .. }) => {
                let Some(route) = self.routes.get_mut(&number) else { return };
                let mut keepers: Vec<Node> = route.current.into_iter().chain(nodes).collect();
                keepers.sort_by_key(|node| crate::ring::apart(&node.id, &route.target));
                keepers.truncate(self.config.replicas.max(1));
                let asked = matches!(route.goal, Goal::Search(_)).then_some(route.current).flatten();
                route.keepers = keepers.into_iter().filter(|node| Some(*node) != asked).collect();
                self.ask_keepers(now, number);
            }
            (Purpose::Store(number), Message::Stored { .. }) => self.stored(now, number, 1),
            (Purpose::Learn(nearer), Message::Nodes { nodes, .. }) => self.learn(now, &nodes, nearer),
            (Purpose::Verify(node), Message::Pong { id, .. }) if id == node.id => {
                self.verifying.remove(&node.addr);
                self.table.insert(node, rtt);
                if self.upkeep_at == Instant::FAR_FUTURE {
                    // The network's first node is no longer alone.
                    self.plan(now);
                }
            }
            // An answer of another kind or under another key: whom we knew is not there any more.
            _ => self.on_silence(now, from, purpose, true),
        }
    }

    /// A hop answered. One of a join is also asked for what the newcomer needs (the paper's section 2.4).
    fn on_hop(&mut self, now: Instant, number: u64, from: Node, next: Vec<Node>, rtt: Duration) {
        let Some(route) = self.routes.get_mut(&number) else { return };
        let (first, joining) = (route.current.is_none(), route.goal == Goal::Join);
        route.answer(from, next);
        if joining && from.id != self.local.id {
            self.table.insert(from, rtt);
            for row in 0..=shared_digits(&from.id, &self.local.id) {
                self.ask_row(now, from, row, true);
            }
            if first {
                let transaction = self.ask(now, from.addr, Purpose::Learn(true));
                self.send(from.addr, Message::Nearby { transaction });
            }
        }
        self.step(now, number);
    }

    /// Others named nodes: those that are of use are asked whether they are there.
    fn learn(&mut self, now: Instant, nodes: &[Node], nearer: bool) {
        for node in nodes {
            if self.table.wants(node) || (nearer && !self.knows(node)) {
                self.verify(now, *node);
            }
        }
    }

    fn on_silence(&mut self, now: Instant, addr: SocketAddr, purpose: Purpose, dead: bool) {
        if dead {
            self.lose(now, addr);
        }
        match purpose {
            Purpose::Step(number, id) => {
                let Some(route) = self.routes.get_mut(&number) else { return };
                route.fail();
                if let (Some(current), Some(id)) = (route.current, id) {
                    self.send(current.addr, Message::Suspect { node: Node { id, addr } });
                }
                self.step(now, number);
            }
            Purpose::Get(number) => {
                if let Some(route) = self.routes.get_mut(&number) {
                    route.open -= 1;
                    route.report.timeouts += 1;
                    self.ask_keepers(now, number);
                }
            }
            Purpose::Keepers(number) if !dead => self.widen(now, number),
            Purpose::Keepers(number) => {
                if let Some(route) = self.routes.remove(&number) {
                    self.end(now, route);
                }
            }
            Purpose::Store(number) => self.stored(now, number, 0),
            Purpose::Verify(node) => {
                self.verifying.remove(&node.addr);
                if !dead {
                    self.verify(now, node);
                }
            }
            Purpose::Learn(_) => {}
        }
    }

    /// Drops a dead node, and asks for another in its place (the paper's section 2.5).
    fn lose(&mut self, now: Instant, addr: SocketAddr) {
        let (leaf, row) = self.table.remove(addr);
        if let Some(last) = leaf.and_then(|leaf| self.table.last_leaf_beside(&leaf.id)) {
            let transaction = self.ask(now, last.addr, Purpose::Learn(false));
            self.send(last.addr, Message::Leaves { transaction });
        }
        if let Some(row) = row {
            let others: Vec<Node> = self.table.row(row).chain(self.table.row(row + 1)).collect();
            if let Some(other) = self.rng.choose(&others).copied() {
                self.ask_row(now, other, usize::from(row), false);
            }
        }
    }

    fn stored(&mut self, now: Instant, number: u64, count: usize) {
        let Some(route) = self.routes.get_mut(&number) else { return };
        route.open -= 1;
        route.stored += count;
        if route.open == 0
            && let Some(route) = self.routes.remove(&number)
        {
            self.end(now, route);
        }
    }

    fn end(&mut self, now: Instant, mut route: Route) {
        route.report.took = now.since(route.begun);
        match route.goal {
            Goal::Join => {
                let Some(root) = route.current else { return };
                let transaction = self.ask(now, root.addr, Purpose::Learn(true));
                self.send(root.addr, Message::Leaves { transaction });
                // Answers, and answers of those that they name, are here by then.
                self.announce_at = now + self.config.timeout * 2;
            }
            Goal::Root(search) => {
                let nodes = vec![route.current.unwrap_or(self.local.node())];
                self.out.tell(Output::Closest { search, nodes, report: route.report });
            }
            Goal::Search(search) => self.out.end(search, route.report),
            Goal::Publish(Some(search)) => {
                self.out.tell(Output::Published { search, copies: route.stored });
            }
            Goal::Publish(None) => {}
        }
    }
}
