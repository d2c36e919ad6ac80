//! Superpeers: nodes that can and that stay answer for the others.
//!
//! **What it is.** [`Superpeer`] is one node, which begins as a leaf. A leaf keeps to a few superpeers and tells them
//! what it has. A node with enough capacity that has been there for long enough becomes a superpeer when it finds none
//! that takes it; one that has had no leaves for long is a leaf again. Superpeers flood queries among themselves; the
//! last hop goes only where the neighbour's query routing table, a Bloom filter of what it and its leaves have, says
//! that something may be there.
//!
//! **Invariants.**
//! - A leaf is not asked anything: what it costs does not grow with the network.
//! - What leaves have is forgotten with the link to them.
//! - Only neighbours may send queries, at most `queries_per_s` each; only those that a query went to may send hits.
//!
//! Sources: Gnutella's ultrapeers and query routing protocol (Rohrs 2001-2002: leaf slots, last-hop tables); Yang and
//! Garcia-Molina, "Designing a Super-Peer Network", ICDE 2003. Limits and timers without a source are our own.

mod bloom;

pub use bloom::Bloom;

use crate::links::{Change, Links, LinksConfig, Neighbour, Verdict};
use crate::search::{Local, Outbox, Output, Quota, Report, Routes, SearchId, Stats};
use peerage_base::limits::{FLOOD_TTL_MAX, OVERLAY_KEYS_MAX};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::superpeer::{BloomBytes, Message};
use peerage_wire::overlay::{Frame, Id};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Of the nodes that could become superpeers at one upkeep, one in so many does; the others find room with it.
const ELECTION_ODDS: u64 = 4;

/// How a node of the superpeer overlay behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pings and ranges; how many neighbours is said below.
    pub links: LinksConfig,
    /// Superpeers that a leaf keeps to (Gnutella: 3). More find more when one goes.
    pub uplinks: usize,
    /// Leaves that a superpeer takes (Gnutella: 30).
    pub leaves_max: usize,
    /// Superpeers that a superpeer looks for (Gnutella: 6 to 32).
    pub peers_min: usize,
    /// Superpeers that a superpeer takes.
    pub peers_max: usize,
    /// Who can carry less, in queries per second, stays a leaf.
    pub capacity_min: u32,
    /// How long a node must have been there to become a superpeer: who stayed for long stays longer.
    pub stable_after: Duration,
    /// A superpeer without leaves for this time is a leaf again.
    pub demote_after: Duration,
    /// Hops among superpeers, at most [`FLOOD_TTL_MAX`] (Gnutella with ultrapeers: 4).
    pub ttl: u8,
    /// How long hits are awaited, for each hop.
    pub hop_timeout: Duration,
    /// Queries that one neighbour may send each second, on average. 0: none.
    pub queries_per_s: u32,
    /// Queries whose way back is remembered.
    pub routes_max: usize,
    /// How long it is remembered.
    pub route_lifetime: Duration,
    /// Between two looks at the own role, and two tellings of the own table where it has changed.
    pub upkeep: Duration,
    /// Objects that one leaf may tell of.
    pub leaf_keys_max: usize,
    /// Objects that this node offers.
    pub published_max: usize,
    /// Searches at once; beyond, a command ends at once with nothing.
    pub searches_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            links: LinksConfig::default(),
            uplinks: 3,
            leaves_max: 30,
            peers_min: 8,
            peers_max: 16,
            capacity_min: 10,
            stable_after: Duration::from_secs(60),
            demote_after: Duration::from_secs(600),
            ttl: 4,
            hop_timeout: Duration::from_millis(800),
            queries_per_s: 200,
            routes_max: 8_192,
            route_lifetime: Duration::from_secs(60),
            upkeep: Duration::from_secs(10),
            leaf_keys_max: 1_000,
            published_max: 1_000,
            searches_max: 64,
        }
    }
}

/// A search of this node.
#[derive(Clone, Debug)]
struct Search {
    id: SearchId,
    begun: Instant,
    deadline: Instant,
    messages: u32,
}

/// A node of the superpeer overlay. See [the module](self).
#[derive(Clone, Debug)]
pub struct Superpeer {
    config: Config,
    local: Local,
    links: Links,
    published: BTreeSet<Id>,
    /// What each leaf has.
    leaves: BTreeMap<SocketAddr, BTreeSet<Id>>,
    /// What other superpeers may have.
    tables: BTreeMap<SocketAddr, Bloom>,
    /// Our own table must be told again.
    changed: bool,
    routes: Routes,
    quota: Quota,
    searches: BTreeMap<u64, Search>,
    /// Since when this node is there, and since when it has had no leaves (as a superpeer).
    begun: Option<Instant>,
    lonely_since: Instant,
    upkeep_at: Instant,
    rng: Rng,
    out: Outbox,
}

impl Superpeer {
    /// A node that is alone, a leaf.
    #[must_use]
    pub fn new(config: Config, local: Local, mut rng: Rng) -> Self {
        let mut node = Self {
            links: Links::new(config.links.clone(), local.addr, local.capacity, rng.fork()),
            published: BTreeSet::new(),
            leaves: BTreeMap::new(),
            tables: BTreeMap::new(),
            changed: false,
            routes: Routes::new(config.routes_max, config.route_lifetime),
            quota: Quota::new(config.queries_per_s),
            searches: BTreeMap::new(),
            begun: None,
            lonely_since: Instant::ZERO,
            upkeep_at: Instant::FAR_FUTURE,
            out: Outbox::default(),
            config,
            local,
            rng,
        };
        node.set_role(false);
        node
    }

    /// Begins without anybody: whoever can becomes a superpeer, so that others find one.
    pub fn start(&mut self, now: Instant) {
        self.begun = self.begun.or(Some(now));
        self.plan(now);
    }

    /// Joins the overlay that the node at `via` is in, which need not be a superpeer.
    pub fn join(&mut self, now: Instant, via: SocketAddr) {
        self.start(now);
        self.links.join(now, via, &mut self.out);
    }

    /// Sets role and neighbours at once: for simulations that begin with a settled network.
    pub fn settle(
        &mut self,
        now: Instant,
        superpeer: bool,
        neighbours: impl IntoIterator<Item = (SocketAddr, Neighbour)>,
    ) {
        self.start(now);
        self.set_role(superpeer);
        self.lonely_since = now;
        self.links.settle(now, neighbours);
        let all: Vec<Change> = self.links.addrs().into_iter().map(Change::Up).collect();
        self.on_changes(now, all);
        self.tell_table();
    }

    /// Whether this node is a superpeer.
    #[must_use]
    pub fn is_superpeer(&self) -> bool {
        self.links.superpeer
    }

    /// Offers `key` from now on, and tells the superpeers.
    pub fn publish(&mut self, _: Instant, key: Id) -> SearchId {
        let search = self.out.name();
        let mut copies = 0;
        if self.published.len() < self.config.published_max {
            self.published.insert(key);
            self.changed = true;
            if !self.links.superpeer {
                for to in self.links.addrs() {
                    let message = Message::Publish { keys: vec![key] };
                    self.out.send_search(to, &Frame::Superpeer(message), None);
                    copies += 1;
                }
            }
        } else {
            self.out.stats.refused += 1;
        }
        self.out.tell(Output::Published { search, copies });
        search
    }

    /// Offers `key` no longer. Superpeers hear of it when the link is made again; until then they are wrong.
    pub fn withdraw(&mut self, key: &Id) {
        self.published.remove(key);
        self.changed = true;
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
        let ttl = self.config.ttl.clamp(1, FLOOD_TTL_MAX);
        let messages = if self.links.superpeer {
            self.pass_on(guid, key, ttl, 0, None, Some(id))
        } else {
            // One superpeer asks for us; its flood reaches the others.
            let to = self.rng.choose(&self.links.addrs()).copied();
            to.map_or(0, |to| self.query(to, guid, key, ttl + 1, 0, Some(id)))
        };
        let deadline = now + self.config.hop_timeout * (u32::from(ttl) + 1);
        self.searches.insert(guid, Search { id, begun: now, deadline, messages });
        id
    }

    fn holder(&self, key: &Id) -> Option<SocketAddr> {
        let own = self.published.contains(key).then_some(self.local.addr);
        own.or_else(|| self.leaves.iter().find(|(_, keys)| keys.contains(key)).map(|(addr, _)| *addr))
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.out.decode(bytes) {
            Ok(Frame::Link(message)) => {
                let (superpeer, config, leaves) = (self.links.superpeer, &self.config, self.leaves.len());
                let peers = self.links.len().saturating_sub(leaves);
                let judge = |_: &Links, newcomer: &Neighbour| match (superpeer, newcomer.superpeer) {
                    (true, true) if peers < config.peers_max => Verdict::IfRoom,
                    (true, false) if leaves < config.leaves_max => Verdict::IfRoom,
                    _ => Verdict::Never,
                };
                self.links.handle_message(now, from, message, &mut self.out, judge);
                let changes = self.links.take_changes();
                self.on_changes(now, changes);
            }
            Ok(Frame::Superpeer(message)) => self.handle_message(now, from, message),
            Ok(_) => self.out.stats.malformed += 1,
            Err(_) => {}
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: Message) {
        let Some(neighbour) = self.links.get(from).copied() else {
            self.out.stats.unexpected += 1;
            return;
        };
        self.links.heard(now, from);
        match message {
            Message::Publish { keys } if self.links.superpeer && !neighbour.superpeer => {
                let known = self.leaves.entry(from).or_default();
                for key in keys {
                    if known.len() >= self.config.leaf_keys_max {
                        self.out.stats.refused += 1;
                        break;
                    }
                    self.changed |= known.insert(key);
                }
            }
            Message::Table { bloom } if self.links.superpeer && neighbour.superpeer => {
                self.tables.insert(from, Bloom::from_bytes(bloom.0));
            }
            Message::Query { guid, key, ttl, hops } if self.links.superpeer => {
                self.on_query(now, from, guid, key, ttl, hops);
            }
            Message::Hit { guid, holder, hops } => self.on_hit(now, from, guid, holder, hops),
            Message::Publish { .. } | Message::Table { .. } | Message::Query { .. } => {
                self.out.stats.unexpected += 1;
            }
        }
    }

    fn on_query(&mut self, now: Instant, from: SocketAddr, guid: u64, key: Id, ttl: u8, hops: u8) {
        if !self.quota.take(now, from) {
            self.out.stats.refused += 1;
            return;
        }
        if !self.routes.add(now, guid, Some(from)) {
            self.out.stats.duplicates += 1;
            return;
        }
        self.out.stats.queries += 1;
        let hops = hops.saturating_add(1);
        if let Some(holder) = self.holder(&key) {
            self.out.send_search(from, &Frame::Superpeer(Message::Hit { guid, holder, hops }), None);
            return;
        }
        let ttl = ttl.min(FLOOD_TTL_MAX + 1).saturating_sub(1);
        if ttl > 0 {
            self.pass_on(guid, key, ttl, hops, Some(from), None);
        }
    }

    /// Sends a query to the other superpeers; on its last hop only to those whose table has the key.
    fn pass_on(
        &mut self,
        guid: u64,
        key: Id,
        ttl: u8,
        hops: u8,
        except: Option<SocketAddr>,
        search: Option<SearchId>,
    ) -> u32 {
        let worth =
            |addr: &SocketAddr| ttl > 1 || self.tables.get(addr).is_none_or(|table| table.contains(&key));
        let superpeers = self.links.iter().filter(|(_, neighbour)| neighbour.superpeer).map(|(addr, _)| addr);
        let to: Vec<SocketAddr> = superpeers.filter(|addr| Some(*addr) != except && worth(addr)).collect();
        to.into_iter().map(|to| self.query(to, guid, key, ttl, hops, search)).sum()
    }

    fn query(
        &mut self,
        to: SocketAddr,
        guid: u64,
        key: Id,
        ttl: u8,
        hops: u8,
        search: Option<SearchId>,
    ) -> u32 {
        self.routes.passed(guid, to);
        self.out.send_search(to, &Frame::Superpeer(Message::Query { guid, key, ttl, hops }), search);
        1
    }

    fn on_hit(&mut self, now: Instant, from: SocketAddr, guid: u64, holder: SocketAddr, hops: u8) {
        if !self.routes.went_to(guid, from) || !self.config.links.ranges.allow(holder) {
            self.out.stats.unexpected += 1;
            return;
        }
        match self.routes.from(guid) {
            Some(Some(back)) if self.links.get(back).is_some() => {
                self.out.send_search(back, &Frame::Superpeer(Message::Hit { guid, holder, hops }), None);
            }
            Some(None) => {
                let Some(search) = self.searches.remove(&guid) else { return };
                let (hops, took) = (u32::from(hops), now.since(search.begun));
                let report =
                    Report { hops, messages: search.messages, timeouts: 0, took, holders: vec![holder] };
                self.out.end(search.id, report);
            }
            _ => {}
        }
    }

    fn on_changes(&mut self, now: Instant, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Up(addr) | Change::Role(addr) => {
                    let superpeer = self.links.get(addr).is_some_and(|neighbour| neighbour.superpeer);
                    if superpeer {
                        self.changed |= self.leaves.remove(&addr).is_some();
                    } else {
                        self.tables.remove(&addr);
                    }
                    match (self.links.superpeer, superpeer) {
                        (true, true) => self.changed = true,
                        // One that was a superpeer, and finds no room as a leaf.
                        (true, false) if self.leaves.len() >= self.config.leaves_max => {
                            self.links.drop(addr, &mut self.out);
                        }
                        (true, false) => {
                            self.leaves.entry(addr).or_default();
                            self.lonely_since = now;
                        }
                        (false, true) => self.introduce(addr),
                        // Two leaves are of no use to each other.
                        (false, false) => self.links.drop(addr, &mut self.out),
                    }
                }
                Change::Down(addr) => {
                    self.changed |= self.leaves.remove(&addr).is_some();
                    self.tables.remove(&addr);
                }
            }
        }
    }

    /// Tells a superpeer all that this leaf has.
    fn introduce(&mut self, to: SocketAddr) {
        let keys: Vec<Id> = self.published.iter().copied().collect();
        for keys in keys.chunks(OVERLAY_KEYS_MAX) {
            let message = Message::Publish { keys: keys.to_vec() };
            self.out.send(to, &Frame::Superpeer(message));
        }
    }

    /// Tells the other superpeers what this one and its leaves have.
    fn tell_table(&mut self) {
        self.changed = false;
        let mut bloom = Bloom::new();
        self.published.iter().chain(self.leaves.values().flatten()).for_each(|key| bloom.insert(key));
        let superpeers = self.links.iter().filter(|(_, neighbour)| neighbour.superpeer);
        let to: Vec<SocketAddr> = superpeers.map(|(addr, _)| addr).collect();
        for to in to {
            let message = Message::Table { bloom: BloomBytes(bloom.bytes().to_vec()) };
            self.out.send(to, &Frame::Superpeer(message));
        }
    }

    fn set_role(&mut self, superpeer: bool) {
        (self.links.superpeer, self.links.leaf) = (superpeer, !superpeer);
        let config = &self.config;
        let (min, max) = match superpeer {
            // Leaves come by themselves; only superpeers are looked for.
            true => (config.peers_min, config.peers_max + config.leaves_max),
            false => (config.uplinks, config.uplinks),
        };
        self.links.set_limits(min, max);
    }

    fn plan(&mut self, now: Instant) {
        let upkeep = self.config.upkeep.max(Duration::from_millis(10));
        self.upkeep_at = now + upkeep / 2 + Duration::from_micros(self.rng.below(upkeep.as_micros() as u64));
    }

    /// A deadline passed; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.links.superpeer {
            let peers = self.links.len().saturating_sub(self.leaves.len());
            // Leaves must not count for the superpeers that are looked for.
            let min = self.config.peers_min + self.leaves.len();
            self.links.set_limits(if peers < self.config.peers_min { min } else { 0 }, self.limit());
        }
        self.links.handle_timeout(now, &mut self.out);
        let changes = self.links.take_changes();
        self.on_changes(now, changes);
        if self.upkeep_at <= now {
            self.plan(now);
            self.look_at_role(now);
            if self.links.superpeer && self.changed {
                self.tell_table();
            }
        }
        let over = |(_, search): &(&u64, &Search)| search.deadline <= now;
        let over: Vec<u64> = self.searches.iter().filter(over).map(|(guid, _)| *guid).collect();
        for guid in over {
            let Some(search) = self.searches.remove(&guid) else { continue };
            let took = now.since(search.begun);
            self.out.end(search.id, Report { messages: search.messages, took, ..Report::default() });
        }
    }

    fn limit(&self) -> usize {
        self.config.peers_max + self.config.leaves_max
    }

    fn look_at_role(&mut self, now: Instant) {
        if self.links.superpeer {
            if !self.leaves.is_empty() {
                self.lonely_since = now;
            } else if now.since(self.lonely_since) >= self.config.demote_after && self.links.len() > 0 {
                self.set_role(false);
                for addr in self.links.addrs().into_iter().skip(self.config.uplinks) {
                    self.links.drop(addr, &mut self.out);
                }
                let all = self.links.addrs().into_iter().map(Change::Role).collect();
                self.on_changes(now, all);
            }
            return;
        }
        let age = self.begun.map_or(Duration::ZERO, |begun| now.since(begun));
        let fit = self.local.capacity >= self.config.capacity_min && age >= self.config.stable_after;
        // One that found a superpeer is not needed as one; and not all that found none are.
        if fit && self.links.len() == 0 && self.rng.below(ELECTION_ODDS) == 0 {
            self.set_role(true);
            self.lonely_since = now;
            self.links.seek(now, &mut self.out);
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
        let upkeep = (self.upkeep_at < Instant::FAR_FUTURE).then_some((self.upkeep_at, "upkeep"));
        search.into_iter().chain(upkeep).chain(self.links.next()).min()
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

    /// Leaves that are here.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.leaves.len()
    }
}
