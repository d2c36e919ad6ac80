//! Random walks: a few walkers instead of a flood, each passed on to one neighbour after the other (Lv, Cao, Cohen, Li,
//! Shenker, "Search and Replication in Unstructured Peer-to-Peer Networks", ICS 2002).
//!
//! **What it is.** [`Walk`] is one node. A search sends `walkers` queries; before every `check`-th step a walker asks
//! its source whether to go on, and ends when the object was found. Copies of who has what can be placed along the
//! way that found it (path replication), at as many random nodes (random replication), or by command
//! ([`Walk::replicate`]); [`crate::replication`] says how many copies which object should have.
//!
//! **Invariants.**
//! - A walker takes at most [`WALK_STEPS_MAX`] steps, whatever it asks for, and lives at one node at a time: a lost
//!   frame ends it.
//! - It does not go back where it came from, nor where this node has sent its search before, while there is another
//!   neighbour (the paper's "state keeping").
//! - Only neighbours may pass walkers on; only the node that a walker stands at hears from its source.

use crate::links::{Links, LinksConfig, Neighbour, Verdict};
use crate::search::{Holders, Local, Outbox, Output, Quota, Report, Routes, SearchId, Stats};
use peerage_base::limits::WALK_STEPS_MAX;
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::walk::Message;
use peerage_wire::overlay::{Frame, Id};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Where copies go when something was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    /// To the searcher only, which has the object then (owner replication, as in Gnutella).
    #[default]
    Owner,
    /// To each node on the way between holder and searcher (Freenet). In the long run this gives each object copies
    /// as the square root of its popularity, the best there is.
    Path,
    /// To as many nodes as the way was long, picked by random walks.
    Random,
}

/// How a node behaves that searches by random walks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Neighbours.
    pub links: LinksConfig,
    /// Walkers of a search (Lv et al.: 16 to 64; more find sooner and check more).
    pub walkers: u8,
    /// Steps between two checks with the source (Lv et al.: 4).
    pub check: u16,
    /// Steps that a walker takes at most, at most [`WALK_STEPS_MAX`].
    pub steps: u16,
    /// A search ends with nothing when none of its walkers has asked for this time.
    pub patience: Duration,
    /// How long a walker waits for its source's word.
    pub check_timeout: Duration,
    /// Where copies go when something was found.
    pub replication: Replication,
    /// Steps of a walk that places a copy: enough to be anywhere (the mixing time, some `log2 N`).
    pub place_steps: u16,
    /// Walkers that one neighbour may pass on each second, on average. 0: none.
    pub queries_per_s: u32,
    /// Walkers that wait here for their source's word.
    pub waiting_max: usize,
    /// Walkers whose way back is remembered.
    pub routes_max: usize,
    /// How long it is remembered.
    pub route_lifetime: Duration,
    /// Copies that others placed here: keys. Beyond, new ones are not taken.
    pub copies_max: usize,
    /// Copies are forgotten after this time.
    pub copy_lifetime: Duration,
    /// Objects that this node offers.
    pub published_max: usize,
    /// Searches at once; beyond, a command ends at once with nothing.
    pub searches_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            links: LinksConfig::default(),
            walkers: 16,
            check: 4,
            steps: 256,
            patience: Duration::from_secs(5),
            check_timeout: Duration::from_secs(2),
            replication: Replication::Owner,
            place_steps: 20,
            queries_per_s: 200,
            waiting_max: 512,
            routes_max: 8_192,
            route_lifetime: Duration::from_secs(120),
            copies_max: 10_000,
            copy_lifetime: Duration::from_secs(3_600),
            published_max: 10_000,
            searches_max: 64,
        }
    }
}

/// A search of this node.
#[derive(Clone, Debug)]
struct Search {
    id: SearchId,
    begun: Instant,
    /// When its walkers count as lost.
    deadline: Instant,
    messages: u32,
}

/// A walker, as it travels.
#[derive(Clone, Copy, Debug)]
struct Walker {
    guid: u64,
    number: u8,
    key: Id,
    source: SocketAddr,
    ttl: u16,
    steps: u16,
}

/// A node that searches by random walks. See [the module](self).
#[derive(Clone, Debug)]
pub struct Walk {
    config: Config,
    local: Local,
    links: Links,
    published: BTreeSet<Id>,
    copies: Holders,
    /// By [`route_of`] a walker.
    routes: Routes,
    /// Where a search has been sent from here, by any of its walkers.
    passed: Routes,
    quota: Quota,
    /// Walkers that wait for their source's word: until when, and whom they came from.
    waiting: BTreeMap<(u64, u8), (Instant, Walker, SocketAddr)>,
    searches: BTreeMap<u64, Search>,
    rng: Rng,
    out: Outbox,
}

/// One number for a walker of a search.
fn route_of(guid: u64, walker: u8) -> u64 {
    guid ^ u64::from(walker).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Walk {
    /// A node that is alone.
    #[must_use]
    pub fn new(config: Config, local: Local, mut rng: Rng) -> Self {
        Self {
            links: Links::new(config.links.clone(), local.addr, local.capacity, rng.fork()),
            published: BTreeSet::new(),
            copies: Holders::new(config.copies_max, config.copy_lifetime),
            routes: Routes::new(config.routes_max, config.route_lifetime),
            passed: Routes::new(config.routes_max, config.route_lifetime),
            quota: Quota::new(config.queries_per_s),
            waiting: BTreeMap::new(),
            searches: BTreeMap::new(),
            out: Outbox::default(),
            config,
            local,
            rng,
        }
    }

    /// Joins the overlay that the node at `via` is in.
    pub fn join(&mut self, now: Instant, via: SocketAddr) {
        self.links.join(now, via, &mut self.out);
    }

    /// Makes these neighbours at once: for simulations that begin with a settled network.
    pub fn settle(&mut self, now: Instant, neighbours: impl IntoIterator<Item = (SocketAddr, Neighbour)>) {
        self.links.settle(now, neighbours);
    }

    /// Offers `key` from now on. Nobody needs to be told; see [`Self::replicate`].
    pub fn publish(&mut self, _: Instant, key: Id) -> SearchId {
        let search = self.out.name();
        if self.published.len() < self.config.published_max {
            self.published.insert(key);
        } else {
            self.out.stats.refused += 1;
        }
        self.out.tell(Output::Published { search, copies: 0 });
        search
    }

    /// Offers `key` no longer.
    pub fn withdraw(&mut self, key: &Id) {
        self.published.remove(key);
    }

    /// Lets `count` random nodes know that this one has `key`. Each is found by a walk of its own.
    pub fn replicate(&mut self, key: Id, count: usize) {
        self.scatter(key, self.local.addr, count);
    }

    /// Who has `key`? Ends with [`Output::Found`] or [`Output::NotFound`].
    pub fn search(&mut self, now: Instant, key: Id) -> SearchId {
        let id = self.out.name();
        self.out.stats.searches += 1;
        let known = self.holder(now, &key);
        if let Some(holder) = known {
            self.out.end(id, Report { holders: vec![holder], ..Report::default() });
            return id;
        }
        if self.searches.len() >= self.config.searches_max || self.links.len() == 0 {
            self.out.end(id, Report::default());
            return id;
        }
        let guid = self.rng.next_u64();
        let deadline = now + self.config.patience;
        self.searches.insert(guid, Search { id, begun: now, deadline, messages: 0 });
        self.passed.add(now, guid, None);
        for number in 0..self.config.walkers.max(1) {
            self.routes.add(now, route_of(guid, number), None);
            let ttl = self.config.steps.clamp(1, WALK_STEPS_MAX);
            let walker = Walker { guid, number, key, source: self.local.addr, ttl, steps: 0 };
            self.step(now, walker, None);
        }
        id
    }

    /// Who has `key`, as far as this node knows without asking.
    fn holder(&self, now: Instant, key: &Id) -> Option<SocketAddr> {
        let own = self.published.contains(key).then_some(self.local.addr);
        own.or_else(|| self.copies.of(now, key).first().copied())
    }

    fn send(&mut self, to: SocketAddr, message: Message, search: Option<SearchId>) {
        self.out.send_search(to, &Frame::Walk(message), search);
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.out.decode(bytes) {
            Ok(Frame::Link(message)) => {
                let judge = |_: &Links, _: &Neighbour| Verdict::IfRoom;
                self.links.handle_message(now, from, message, &mut self.out, judge);
                self.links.take_changes();
            }
            Ok(Frame::Walk(message)) => self.handle_message(now, from, message),
            Ok(_) => self.out.stats.malformed += 1,
            Err(_) => {}
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: Message) {
        self.links.heard(now, from);
        match message {
            // Sources and walkers need not be neighbours; all else is between neighbours.
            Message::Check { guid, walker } => self.on_check(now, from, guid, walker),
            Message::Go { guid, walker, go } => self.on_go(now, from, guid, walker, go),
            _ if self.links.get(from).is_none() => self.out.stats.unexpected += 1,
            Message::Query { guid, walker: number, key, source, ttl, steps } => {
                let ttl = ttl.min(WALK_STEPS_MAX);
                self.on_walker(now, from, Walker { guid, number, key, source, ttl, steps });
            }
            Message::Hit { guid, walker, key, holder, steps } => {
                self.on_hit(now, from, (guid, walker), key, holder, steps);
            }
            Message::Place { key, holder, ttl } => {
                if self.config.links.ranges.allow(holder) && self.quota.take(now, from) {
                    self.on_place(now, from, key, holder, ttl.min(WALK_STEPS_MAX));
                } else {
                    self.out.stats.refused += 1;
                }
            }
        }
    }

    fn on_walker(&mut self, now: Instant, from: SocketAddr, mut walker: Walker) {
        if !self.quota.take(now, from) || !self.config.links.ranges.allow(walker.source) {
            self.out.stats.refused += 1;
            return;
        }
        self.out.stats.queries += 1;
        walker.steps = walker.steps.saturating_add(1);
        walker.ttl = walker.ttl.saturating_sub(1);
        let Walker { guid, number, key, source, steps, .. } = walker;
        // The first way here is the way back: the walk's later loops are left out.
        let first = self.routes.add(now, route_of(guid, number), Some(from));
        self.out.stats.duplicates += u64::from(!first);
        self.passed.add(now, guid, Some(from));
        if source == self.local.addr {
            // Back home: it goes on while the search does.
            if self.searches.contains_key(&guid) && walker.ttl > 0 {
                self.step(now, walker, Some(from));
            }
            return;
        }
        if let Some(holder) = self.holder(now, &key) {
            // Back along the first visit's way; where that was just now, to whoever brought it.
            let back = self.routes.from(route_of(guid, number)).flatten().unwrap_or(from);
            self.send(back, Message::Hit { guid, walker: number, key, holder, steps }, None);
        } else if walker.ttl == 0 {
        } else if steps.is_multiple_of(self.config.check.max(1)) {
            if self.waiting.len() >= self.config.waiting_max {
                self.out.stats.refused += 1;
                return;
            }
            self.waiting.insert((guid, number), (now + self.config.check_timeout, walker, from));
            self.send(source, Message::Check { guid, walker: number }, None);
        } else {
            self.step(now, walker, Some(from));
        }
    }

    /// Passes a walker on to a random neighbour.
    fn step(&mut self, now: Instant, walker: Walker, from: Option<SocketAddr>) {
        let Walker { guid, number, key, source, ttl, steps } = walker;
        let others: Vec<SocketAddr> = self.links.addrs().into_iter().filter(|to| Some(*to) != from).collect();
        let fresh: Vec<SocketAddr> =
            others.iter().filter(|to| !self.passed.went_to(guid, **to)).copied().collect();
        let pick = if fresh.is_empty() { &others } else { &fresh };
        // At a dead end it goes back.
        let Some(to) = self.rng.choose(pick).copied().or(from) else { return };
        self.passed.passed(guid, to);
        self.routes.passed(route_of(guid, number), to);
        let search = self.searches.get_mut(&guid).filter(|_| source == self.local.addr).map(|search| {
            search.messages += 1;
            search.deadline = now + self.config.patience;
            search.id
        });
        self.send(to, Message::Query { guid, walker: number, key, source, ttl, steps }, search);
    }

    fn on_check(&mut self, now: Instant, from: SocketAddr, guid: u64, walker: u8) {
        // Who asks about a search that never was gets no answer: nobody may use us to reach another.
        if !matches!(self.passed.from(guid), Some(None)) {
            self.out.stats.unexpected += 1;
            return;
        }
        let search = self.searches.get_mut(&guid).map(|search| {
            search.messages += 1;
            search.deadline = now + self.config.patience;
            search.id
        });
        self.send(from, Message::Go { guid, walker, go: search.is_some() }, search);
    }

    fn on_go(&mut self, now: Instant, from: SocketAddr, guid: u64, walker: u8, go: bool) {
        let awaited = self.waiting.get(&(guid, walker)).is_some_and(|(_, walker, _)| walker.source == from);
        if !awaited {
            self.out.stats.unexpected += 1;
            return;
        }
        if let Some((_, walker, back)) = self.waiting.remove(&(guid, walker)).filter(|_| go) {
            self.step(now, walker, Some(back));
        }
    }

    fn on_hit(
        &mut self,
        now: Instant,
        from: SocketAddr,
        (guid, walker): (u64, u8),
        key: Id,
        holder: SocketAddr,
        steps: u16,
    ) {
        let route = route_of(guid, walker);
        if !self.routes.went_to(route, from) || !self.config.links.ranges.allow(holder) {
            self.out.stats.unexpected += 1;
            return;
        }
        if self.config.replication == Replication::Path {
            self.copies.expire(now);
            self.copies.add(now, key, holder);
        }
        match self.routes.from(route) {
            Some(Some(back)) => self.send(back, Message::Hit { guid, walker, key, holder, steps }, None),
            Some(None) => {
                let Some(search) = self.searches.remove(&guid) else { return };
                let (hops, took) = (u32::from(steps), now.since(search.begun));
                let report =
                    Report { hops, messages: search.messages, timeouts: 0, took, holders: vec![holder] };
                self.out.end(search.id, report);
                if self.config.replication == Replication::Random {
                    self.scatter(key, holder, usize::from(steps));
                }
            }
            None => {}
        }
    }

    fn scatter(&mut self, key: Id, holder: SocketAddr, count: usize) {
        let ttl = self.config.place_steps.clamp(1, WALK_STEPS_MAX);
        for _ in 0..count.min(usize::from(WALK_STEPS_MAX)) {
            if let Some(to) = self.rng.choose(&self.links.addrs()).copied() {
                self.send(to, Message::Place { key, holder, ttl }, None);
            }
        }
    }

    fn on_place(&mut self, now: Instant, from: SocketAddr, key: Id, holder: SocketAddr, ttl: u16) {
        let others: Vec<SocketAddr> = self.links.addrs().into_iter().filter(|to| *to != from).collect();
        let next = self.rng.choose(&others).copied().filter(|_| ttl > 1);
        match next {
            Some(next) => self.send(next, Message::Place { key, holder, ttl: ttl - 1 }, None),
            None if holder == self.local.addr => {}
            None => {
                self.copies.expire(now);
                self.out.stats.refused += u64::from(!self.copies.add(now, key, holder));
            }
        }
    }

    /// A deadline passed; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.links.handle_timeout(now, &mut self.out);
        self.links.take_changes();
        self.waiting.retain(|_, (until, ..)| *until > now);
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
        let waiting = self.waiting.values().map(|(until, ..)| (*until, "check")).min();
        search.into_iter().chain(waiting).chain(self.links.next()).min()
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

    /// Keys of which copies of others are known here.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.copies.len()
    }
}
