//! Gia: walks that prefer whoever can carry them (Chawathe, Ratnasamy, Breslau, Lanham, Shenker, "Making
//! Gnutella-like P2P Systems Scalable", SIGCOMM 2003).
//!
//! **What it is.** [`Gia`] is one node, with the paper's four parts: *topology adaptation* (a node with more capacity
//! takes more neighbours, and of two that want one place the more capable, or the less connected, gets it); *flow
//! control* (a query goes only to a neighbour from which there is a token, and tokens are given out by capacity);
//! *one-hop replication* (neighbours know what each other have); and *biased walks* (a query goes to the most capable
//! neighbour with a token that it has not been at).
//!
//! **Invariants.**
//! - A query that comes without a token is dropped: a node is never asked for more than it offered.
//! - Queries without a token to go on wait in a queue of at most `queue_max`; the oldest are dropped beyond.
//! - A walk takes at most [`WALK_STEPS_MAX`] steps, whatever it asks for.
//! - Different from the paper: one hit ends a search (`MAX_RESPONSES` of 1), and tokens are given out in proportion to
//!   capacity each `token_interval`, where the paper uses start-time fair queueing to the same end.

use crate::links::{Change, Links, LinksConfig, Neighbour, Verdict};
use crate::search::{Local, Outbox, Output, Report, Routes, SearchId, Stats};
use peerage_base::limits::{OVERLAY_KEYS_MAX, WALK_STEPS_MAX};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::gia::Message;
use peerage_wire::overlay::{Frame, Id};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// How a node of Gia behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Neighbours, at least and at most. The most is also bounded by the capacity: see `capacity_per_neighbour`.
    pub links: LinksConfig,
    /// A node takes `capacity / capacity_per_neighbour` neighbours, within `links` (the paper: `min_alloc`, 4).
    pub capacity_per_neighbour: u32,
    /// A newcomer gets the place of a neighbour with so many more links than it (the paper's `H`: 5).
    pub hysteresis: u16,
    /// Steps of a walk, at most [`WALK_STEPS_MAX`] (the paper: 1,024).
    pub steps: u16,
    /// A search ends with nothing after this time.
    pub patience: Duration,
    /// Between two handings-out of tokens.
    pub token_interval: Duration,
    /// Tokens of one neighbour that are kept, and that one may have of us: unused ones go stale.
    pub tokens_max: u8,
    /// Queries that wait for a token to go on.
    pub queue_max: usize,
    /// Queries whose way is remembered.
    pub routes_max: usize,
    /// How long it is remembered.
    pub route_lifetime: Duration,
    /// Objects of one neighbour that are known here.
    pub index_max: usize,
    /// Objects that this node offers.
    pub published_max: usize,
    /// Searches at once; beyond, a command ends at once with nothing.
    pub searches_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The paper: 3 to 128 neighbours.
            links: LinksConfig { min: 3, max: 128, ..LinksConfig::default() },
            capacity_per_neighbour: 4,
            hysteresis: 5,
            steps: WALK_STEPS_MAX,
            patience: Duration::from_secs(60),
            token_interval: Duration::from_secs(1),
            tokens_max: 20,
            queue_max: 256,
            routes_max: 8_192,
            route_lifetime: Duration::from_secs(120),
            index_max: 1_000,
            published_max: 1_000,
            searches_max: 64,
        }
    }
}

/// A query that waits for a token.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    guid: u64,
    key: Id,
    ttl: u16,
    steps: u16,
    from: Option<SocketAddr>,
}

/// A search of this node.
#[derive(Clone, Debug)]
struct Search {
    id: SearchId,
    begun: Instant,
    deadline: Instant,
    messages: u32,
}

/// What is known of a neighbour beside its link.
#[derive(Clone, Debug, Default)]
struct Peer {
    index: BTreeSet<Id>,
    /// Queries that we may send it, and that it may send us.
    ours: u8,
    theirs: u8,
    /// Fractions of tokens that it is still to get.
    share: f64,
}

/// A node of Gia. See [the module](self).
#[derive(Clone, Debug)]
pub struct Gia {
    config: Config,
    local: Local,
    links: Links,
    peers: BTreeMap<SocketAddr, Peer>,
    published: BTreeSet<Id>,
    routes: Routes,
    queue: VecDeque<Waiting>,
    searches: BTreeMap<u64, Search>,
    tokens_at: Instant,
    rng: Rng,
    out: Outbox,
}

impl Gia {
    /// A node that is alone.
    #[must_use]
    pub fn new(config: Config, local: Local, mut rng: Rng) -> Self {
        let mut links = Links::new(config.links.clone(), local.addr, local.capacity, rng.fork());
        let room = local.capacity / config.capacity_per_neighbour.max(1);
        let max = (room as usize).clamp(config.links.min.max(1), config.links.max.max(1));
        links.set_limits(config.links.min, max);
        Self {
            links,
            peers: BTreeMap::new(),
            published: BTreeSet::new(),
            routes: Routes::new(config.routes_max, config.route_lifetime),
            queue: VecDeque::new(),
            searches: BTreeMap::new(),
            tokens_at: Instant::FAR_FUTURE,
            out: Outbox::default(),
            config,
            local,
            rng,
        }
    }

    /// Joins the overlay that the node at `via` is in.
    pub fn join(&mut self, now: Instant, via: SocketAddr) {
        self.plan(now);
        self.links.join(now, via, &mut self.out);
    }

    /// Makes these neighbours at once: for simulations that begin with a settled network.
    pub fn settle(&mut self, now: Instant, neighbours: impl IntoIterator<Item = (SocketAddr, Neighbour)>) {
        self.plan(now);
        self.links.settle(now, neighbours);
        let all: Vec<Change> = self.links.addrs().into_iter().map(Change::Up).collect();
        self.on_changes(now, all);
    }

    /// Offers `key` from now on, and tells the neighbours.
    pub fn publish(&mut self, _: Instant, key: Id) -> SearchId {
        let search = self.out.name();
        let mut copies = 0;
        if self.published.len() >= self.config.published_max {
            self.out.stats.refused += 1;
        } else if self.published.insert(key) {
            copies = self.tell_neighbours(&Message::Index { added: vec![key], removed: Vec::new() });
        }
        self.out.tell(Output::Published { search, copies });
        search
    }

    /// Offers `key` no longer, and tells the neighbours.
    pub fn withdraw(&mut self, key: &Id) {
        if self.published.remove(key) {
            self.tell_neighbours(&Message::Index { added: Vec::new(), removed: vec![*key] });
        }
    }

    fn tell_neighbours(&mut self, message: &Message) -> usize {
        let to = self.links.addrs();
        to.iter().for_each(|to| self.out.send_search(*to, &Frame::Gia(message.clone()), None));
        to.len()
    }

    /// Who has `key`? Ends with [`Output::Found`] or [`Output::NotFound`].
    pub fn search(&mut self, now: Instant, key: Id) -> SearchId {
        let id = self.out.name();
        self.out.stats.searches += 1;
        if let Some(holder) = self.holder(&key) {
            self.out.end(id, Report { holders: vec![holder], ..Report::default() });
            return id;
        }
        if self.searches.len() >= self.config.searches_max || self.links.len() == 0 {
            self.out.end(id, Report::default());
            return id;
        }
        let guid = self.rng.next_u64();
        self.routes.add(now, guid, None);
        let deadline = now + self.config.patience;
        self.searches.insert(guid, Search { id, begun: now, deadline, messages: 0 });
        let ttl = self.config.steps.clamp(1, WALK_STEPS_MAX);
        self.step(Waiting { guid, key, ttl, steps: 0, from: None });
        id
    }

    /// Who has `key`: this node, or a neighbour of it.
    fn holder(&self, key: &Id) -> Option<SocketAddr> {
        let own = self.published.contains(key).then_some(self.local.addr);
        own.or_else(|| self.peers.iter().find(|(_, peer)| peer.index.contains(key)).map(|(addr, _)| *addr))
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.out.decode(bytes) {
            Ok(Frame::Link(message)) => {
                let hysteresis = self.config.hysteresis;
                let judge = |links: &Links, newcomer: &Neighbour| judge(links, newcomer, hysteresis);
                self.links.handle_message(now, from, message, &mut self.out, judge);
                let changes = self.links.take_changes();
                self.on_changes(now, changes);
            }
            Ok(Frame::Gia(message)) => self.handle_message(now, from, message),
            Ok(_) => self.out.stats.malformed += 1,
            Err(_) => {}
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: Message) {
        let Some(peer) = self.peers.get_mut(&from) else {
            self.out.stats.unexpected += 1;
            return;
        };
        self.links.heard(now, from);
        match message {
            Message::Index { added, removed } => {
                removed.iter().for_each(|key| _ = peer.index.remove(key));
                for key in added {
                    if peer.index.len() >= self.config.index_max {
                        self.out.stats.refused += 1;
                        break;
                    }
                    peer.index.insert(key);
                }
            }
            Message::Tokens { count } => {
                peer.ours = peer.ours.saturating_add(count).min(self.config.tokens_max);
                self.go_on();
            }
            Message::Query { guid, key, ttl, steps } => {
                if peer.theirs == 0 {
                    self.out.stats.refused += 1;
                    return;
                }
                peer.theirs -= 1;
                self.on_query(now, Waiting { guid, key, ttl, steps, from: Some(from) });
            }
            Message::Hit { guid, holder, steps } => self.on_hit(now, from, guid, holder, steps),
        }
    }

    fn on_query(&mut self, now: Instant, mut query: Waiting) {
        self.out.stats.queries += 1;
        let Waiting { guid, key, .. } = query;
        query.steps = query.steps.saturating_add(1);
        query.ttl = query.ttl.min(WALK_STEPS_MAX).saturating_sub(1);
        // A walk may come by again; the way back stays the first one.
        self.out.stats.duplicates += u64::from(!self.routes.add(now, guid, query.from));
        if self.searches.contains_key(&guid) {
            // Ours, back home: it goes on by another neighbour.
        } else if let Some(holder) = self.holder(&key) {
            let back = self.routes.from(guid).flatten().or(query.from);
            if let Some(back) = back {
                let hit = Message::Hit { guid, holder, steps: query.steps };
                self.out.send_search(back, &Frame::Gia(hit), None);
            }
            return;
        }
        if query.ttl > 0 {
            self.step(query);
        }
    }

    /// Passes a query on to the most capable neighbour that there is a token from and that it has not been at; without
    /// any it waits.
    fn step(&mut self, query: Waiting) {
        let Waiting { guid, key, ttl, steps, from } = query;
        let all: Vec<(u32, SocketAddr)> = self.links.iter().map(|(addr, one)| (one.capacity, addr)).collect();
        if all.is_empty() {
            return;
        }
        let fresh = |addr: &SocketAddr| Some(*addr) != from && !self.routes.went_to(guid, *addr);
        if !all.iter().any(|(_, addr)| fresh(addr)) {
            // It has been everywhere: it begins again (the paper's section 4.4).
            self.routes.again(guid);
        }
        let fresh =
            |addr: &SocketAddr| (Some(*addr) != from || all.len() == 1) && !self.routes.went_to(guid, *addr);
        let token = |addr: &SocketAddr| self.peers.get(addr).is_some_and(|peer| peer.ours > 0);
        let best = all.iter().filter(|(_, addr)| fresh(addr) && token(addr)).max();
        let Some((_, to)) = best.copied() else {
            if self.queue.len() >= self.config.queue_max.max(1) {
                self.queue.pop_front();
                self.out.stats.refused += 1;
            }
            self.queue.push_back(query);
            return;
        };
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.ours -= 1;
        }
        self.routes.passed(guid, to);
        let search = self.searches.get_mut(&guid).map(|search| {
            search.messages += 1;
            search.id
        });
        self.out.send_search(to, &Frame::Gia(Message::Query { guid, key, ttl, steps }), search);
    }

    /// Tokens came: queries that waited go on, oldest first.
    fn go_on(&mut self) {
        for query in core::mem::take(&mut self.queue) {
            let over = query.from.is_none() && !self.searches.contains_key(&query.guid);
            if !over && self.routes.knows(query.guid) {
                self.step(query);
            }
        }
    }

    fn on_hit(&mut self, now: Instant, from: SocketAddr, guid: u64, holder: SocketAddr, steps: u16) {
        // The walk may have begun again since it went there: any neighbour on its way may answer.
        if !self.routes.knows(guid) || !self.config.links.ranges.allow(holder) {
            self.out.stats.unexpected += 1;
            return;
        }
        match self.routes.from(guid) {
            Some(Some(back)) if self.links.get(back).is_some() && back != from => {
                self.out.send_search(back, &Frame::Gia(Message::Hit { guid, holder, steps }), None);
            }
            Some(None) => {
                let Some(search) = self.searches.remove(&guid) else { return };
                let (hops, took) = (u32::from(steps), now.since(search.begun));
                let report =
                    Report { hops, messages: search.messages, timeouts: 0, took, holders: vec![holder] };
                self.out.end(search.id, report);
            }
            _ => {}
        }
    }

    fn on_changes(&mut self, now: Instant, changes: Vec<Change>) {
        if self.tokens_at == Instant::FAR_FUTURE && !changes.is_empty() {
            self.plan(now);
        }
        for change in changes {
            match change {
                Change::Up(addr) => {
                    self.peers.insert(addr, Peer::default());
                    self.introduce(addr);
                }
                Change::Down(addr) => _ = self.peers.remove(&addr),
                Change::Role(_) => {}
            }
        }
    }

    /// Tells a new neighbour all that this node has.
    fn introduce(&mut self, to: SocketAddr) {
        let keys: Vec<Id> = self.published.iter().copied().collect();
        for keys in keys.chunks(OVERLAY_KEYS_MAX) {
            let message = Message::Index { added: keys.to_vec(), removed: Vec::new() };
            self.out.send(to, &Frame::Gia(message));
        }
    }

    fn plan(&mut self, now: Instant) {
        let interval = self.config.token_interval.max(Duration::from_millis(10));
        let jitter = Duration::from_micros(self.rng.below(interval.as_micros() as u64 / 2));
        self.tokens_at = now + interval * 3 / 4 + jitter;
    }

    /// Hands out what this node can carry until the next time, in proportion to the neighbours' capacities: who carries
    /// more for others may ask more (the paper's section 4.2).
    fn hand_out(&mut self) {
        let capacities: BTreeMap<SocketAddr, f64> =
            self.links.iter().map(|(addr, one)| (addr, f64::from(one.capacity.max(1)))).collect();
        let sum: f64 = capacities.values().sum();
        // Queries that wait here already were offered before.
        let free = f64::from(self.local.capacity) * self.config.token_interval.as_secs_f64();
        let budget = (free - self.queue.len() as f64).max(0.0);
        let mut grants = Vec::new();
        for (addr, peer) in &mut self.peers {
            let share = capacities.get(addr).map_or(0.0, |capacity| capacity / sum * budget);
            let room = f64::from(self.config.tokens_max - peer.theirs.min(self.config.tokens_max));
            // Half the budget goes round evenly, so that no neighbour waits for ever.
            let even = budget / capacities.len().max(1) as f64;
            peer.share = (peer.share + (share + even) / 2.0).min(room);
            let count = peer.share as u8;
            if count > 0 {
                peer.share -= f64::from(count);
                peer.theirs += count;
                grants.push((*addr, count));
            }
        }
        for (to, count) in grants {
            self.out.send(to, &Frame::Gia(Message::Tokens { count }));
        }
    }

    /// A deadline passed; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.links.handle_timeout(now, &mut self.out);
        let changes = self.links.take_changes();
        self.on_changes(now, changes);
        if self.tokens_at <= now {
            self.plan(now);
            self.hand_out();
        }
        let over = |(_, search): &(&u64, &Search)| search.deadline <= now;
        let over: Vec<u64> = self.searches.iter().filter(over).map(|(guid, _)| *guid).collect();
        for guid in over {
            let Some(search) = self.searches.remove(&guid) else { continue };
            let took = now.since(search.begun);
            self.out.end(search.id, Report { messages: search.messages, took, ..Report::default() });
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let search = self.searches.values().map(|search| (search.deadline, "search")).min();
        let tokens = (self.tokens_at < Instant::FAR_FUTURE).then_some((self.tokens_at, "tokens"));
        search.into_iter().chain(tokens).chain(self.links.next()).min()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.out.stats
    }

    /// The neighbours' addresses.
    #[must_use]
    pub fn neighbours(&self) -> Vec<SocketAddr> {
        self.links.addrs()
    }

    /// Queries that wait here for a token.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}

/// Whether a newcomer is taken where there is no room (the paper's figure 3): in place of the best connected of those
/// neighbours that can carry no more than it, if the newcomer can carry more than all, or has clearly fewer links.
fn judge(links: &Links, newcomer: &Neighbour, hysteresis: u16) -> Verdict {
    let weaker = links.iter().filter(|(_, one)| one.capacity <= newcomer.capacity);
    let Some((addr, degree)) =
        weaker.map(|(addr, one)| (addr, one.degree)).max_by_key(|(addr, degree)| (*degree, *addr))
    else {
        return Verdict::IfRoom;
    };
    let strongest = links.iter().all(|(_, one)| one.capacity < newcomer.capacity);
    if strongest || degree > newcomer.degree.saturating_add(hysteresis) {
        Verdict::InsteadOf(addr)
    } else {
        Verdict::IfRoom
    }
}
