//! Flooding with a time to live, as in Gnutella 0.4: each node passes a query on to all its neighbours, copies are
//! dropped, hits go back the way that the query came.
//!
//! **What it is.** [`Flooding`] is one node. A search floods with the first time to live of `Config::rings`; while
//! nothing is found, again with the next (expanding ring: Lv et al., ICS 2002, section 4.1).
//!
//! **Invariants.**
//! - A query goes on at most once from each node, and at most [`FLOOD_TTL_MAX`] hops whatever it asks for.
//! - Only neighbours may send queries, at most `queries_per_s` each; only those that a query went to may send hits.
//!
//! Sources: "The Gnutella Protocol Specification v0.4" (TTL 7, routing rules); Ripeanu, "Peer-to-Peer Architecture
//! Case Study: Gnutella Network", 2001.

use crate::links::{Links, LinksConfig, Neighbour, Verdict};
use crate::search::{Local, Outbox, Output, Quota, Report, Routes, SearchId, Stats};
use peerage_base::limits::FLOOD_TTL_MAX;
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::flooding::Message;
use peerage_wire::overlay::{Frame, Id};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How a flooding node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Neighbours.
    pub links: LinksConfig,
    /// Times to live that a search tries one after the other, each at most [`FLOOD_TTL_MAX`]. `[7]` is Gnutella's
    /// flood; `[1, 2, 4, 7]` costs less for what many have, and more time and messages for what few have.
    pub rings: Vec<u8>,
    /// How long hits of one ring are awaited, for each hop of its time to live. Long enough for the way there and
    /// back.
    pub hop_timeout: Duration,
    /// Queries that one neighbour may send each second, on average; more are dropped. 0: none.
    pub queries_per_s: u32,
    /// Queries whose way back is remembered.
    pub routes_max: usize,
    /// How long it is remembered.
    pub route_lifetime: Duration,
    /// Objects that this node offers.
    pub published_max: usize,
    /// Searches at once; beyond, a command ends at once with nothing.
    pub searches_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            links: LinksConfig::default(),
            rings: vec![FLOOD_TTL_MAX],
            hop_timeout: Duration::from_millis(800),
            queries_per_s: 100,
            routes_max: 4_096,
            route_lifetime: Duration::from_secs(60),
            published_max: 10_000,
            searches_max: 64,
        }
    }
}

/// A search of this node.
#[derive(Clone, Debug)]
struct Search {
    id: SearchId,
    key: Id,
    /// The ring that is flooded now.
    ring: usize,
    begun: Instant,
    deadline: Instant,
    messages: u32,
}

/// A node of a flooding overlay. See [the module](self).
#[derive(Clone, Debug)]
pub struct Flooding {
    config: Config,
    local: Local,
    links: Links,
    published: BTreeSet<Id>,
    routes: Routes,
    quota: Quota,
    /// By the number of the query that is out.
    searches: BTreeMap<u64, Search>,
    rng: Rng,
    out: Outbox,
}

impl Flooding {
    /// A node that is alone.
    #[must_use]
    pub fn new(config: Config, local: Local, mut rng: Rng) -> Self {
        Self {
            links: Links::new(config.links.clone(), local.addr, local.capacity, rng.fork()),
            published: BTreeSet::new(),
            routes: Routes::new(config.routes_max, config.route_lifetime),
            quota: Quota::new(config.queries_per_s),
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

    /// Offers `key` from now on. Nobody needs to be told.
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

    /// Who has `key`? Ends with [`Output::Found`] or [`Output::NotFound`].
    pub fn search(&mut self, now: Instant, key: Id) -> SearchId {
        let id = self.out.name();
        self.out.stats.searches += 1;
        if self.published.contains(&key) {
            self.out.end(id, Report { holders: vec![self.local.addr], ..Report::default() });
        } else if self.searches.len() >= self.config.searches_max || self.links.len() == 0 {
            self.out.end(id, Report::default());
        } else {
            self.flood(now, Search { id, key, ring: 0, begun: now, deadline: now, messages: 0 });
        }
        id
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.out.decode(bytes) {
            Ok(Frame::Link(message)) => {
                let judge = |_: &Links, _: &Neighbour| Verdict::IfRoom;
                self.links.handle_message(now, from, message, &mut self.out, judge);
                self.links.take_changes();
            }
            Ok(Frame::Flooding(message)) => self.handle_message(now, from, message),
            Ok(_) => self.out.stats.malformed += 1,
            Err(_) => {}
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: Message) {
        if self.links.get(from).is_none() {
            self.out.stats.unexpected += 1;
            return;
        }
        self.links.heard(now, from);
        match message {
            Message::Query { guid, key, ttl, hops } => self.on_query(now, from, guid, key, ttl, hops),
            Message::Hit { guid, holder, hops } => self.on_hit(now, from, guid, holder, hops),
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
        if self.published.contains(&key) {
            let hit = Message::Hit { guid, holder: self.local.addr, hops };
            self.out.send_search(from, &Frame::Flooding(hit), None);
            // Whoever has it still passes it on in Gnutella; here the branch ends, which saves messages only.
            return;
        }
        let ttl = ttl.min(FLOOD_TTL_MAX.saturating_sub(hops).saturating_add(1)).saturating_sub(1);
        if ttl > 0 {
            self.pass_on(guid, key, ttl, hops, Some(from), None);
        }
    }

    /// Sends a query to all neighbours but one. How many those are.
    fn pass_on(
        &mut self,
        guid: u64,
        key: Id,
        ttl: u8,
        hops: u8,
        except: Option<SocketAddr>,
        search: Option<SearchId>,
    ) -> u32 {
        let mut count = 0;
        for to in self.links.addrs().into_iter().filter(|to| Some(*to) != except) {
            self.routes.passed(guid, to);
            self.out.send_search(to, &Frame::Flooding(Message::Query { guid, key, ttl, hops }), search);
            count += 1;
        }
        count
    }

    fn on_hit(&mut self, now: Instant, from: SocketAddr, guid: u64, holder: SocketAddr, hops: u8) {
        if !self.routes.went_to(guid, from) || !self.config.links.ranges.allow(holder) {
            self.out.stats.unexpected += 1;
            return;
        }
        match self.routes.from(guid) {
            Some(Some(back)) if self.links.get(back).is_some() => {
                self.out.send_search(back, &Frame::Flooding(Message::Hit { guid, holder, hops }), None);
            }
            // A hit after the first tells nothing that we wait for.
            Some(None) => {
                if let Some(search) = self.searches.remove(&guid) {
                    self.end(now, &search, u32::from(hops), vec![holder]);
                }
            }
            _ => {}
        }
    }

    fn flood(&mut self, now: Instant, mut search: Search) {
        let ttl =
            self.config.rings.get(search.ring).copied().unwrap_or(FLOOD_TTL_MAX).clamp(1, FLOOD_TTL_MAX);
        let guid = self.rng.next_u64();
        self.routes.add(now, guid, None);
        search.messages += self.pass_on(guid, search.key, ttl, 0, None, Some(search.id));
        search.deadline = now + self.config.hop_timeout * u32::from(ttl);
        self.searches.insert(guid, search);
    }

    fn end(&mut self, now: Instant, search: &Search, hops: u32, holders: Vec<SocketAddr>) {
        let took = now.since(search.begun);
        let report = Report { hops, messages: search.messages, timeouts: 0, took, holders };
        self.out.end(search.id, report);
    }

    /// A deadline passed; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.links.handle_timeout(now, &mut self.out);
        self.links.take_changes();
        let over = |(_, search): &(&u64, &Search)| search.deadline <= now;
        let over: Vec<u64> = self.searches.iter().filter(over).map(|(guid, _)| *guid).collect();
        for guid in over {
            let Some(mut search) = self.searches.remove(&guid) else { continue };
            search.ring += 1;
            if search.ring < self.config.rings.len() {
                self.flood(now, search);
            } else {
                self.end(now, &search, 0, Vec::new());
            }
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
        search.into_iter().chain(self.links.next()).min()
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
}
