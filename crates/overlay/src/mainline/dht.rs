//! The machine: state, commands, and what comes in. What is answered is in `answers`, look-ups are in
//! `search`, the table's care is in `upkeep`.

mod answers;
mod search;
mod upkeep;

use super::config::{Config, Local};
use super::event::{LookupId, Output, Report};
use super::flood::Flood;
use super::item::Item;
use super::item_store::ItemStore;
use super::node_id;
use super::peer_store::PeerStore;
use super::pending::{Pending, Sent, Timeout};
use super::snapshot::{self, SnapshotError};
use super::stats::Stats;
use super::tokens::Tokens;
use super::vote::Vote;
use crate::kademlia::{Contact, RttEstimate, SizeEstimate, Table};
use peerage_base::{Duration, Instant, Key, Rng};
use peerage_wire::krpc::{self, Body, DecodeError, Id, Message, Method, Node, Query, Response, Want};
use search::{Kind, Search};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

pub(super) use search::SearchId;

/// Two letters for Peerage (BEP 20) and a version.
const VERSION: [u8; 4] = *b"PG\x00\x01";

/// Addresses that have proven themselves lately, at most.
const PROVEN_MAX: usize = 4_096;

/// How long the proof holds.
const PROOF: Duration = Duration::from_secs(600);

/// Items that are stored again and again; more are stored once.
const PUBLISHED_MAX: usize = 64;

/// Queries that wait for their sender to prove its address.
const DEFERRED_MAX: usize = 256;

/// What a question was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To know whether the node is there.
    Verify,
    /// The same, by command.
    Ping(LookupId),
    /// A step of a look-up.
    Lookup(SearchId),
    /// To store.
    Store(SearchId),
}

/// One of the two networks (BEP 32).
#[derive(Clone, Debug)]
struct Family {
    id: Id,
    table: Table<20>,
    vote: Vote,
    size: SizeEstimate,
    /// Where to begin when nobody is known.
    bootstrap: Vec<SocketAddr>,
    bootstrapped: Option<Instant>,
    /// The upkeep's look-up, of which there is one at a time.
    upkeep: Option<SearchId>,
    /// The next bucket to fill after a start.
    fill: usize,
}

/// A command's look-ups in both networks, which end as one.
#[derive(Clone, Debug, Default)]
struct Wish {
    open: usize,
    report: Report,
}

/// A node of the mainline DHT. See [the module](super) for how it is driven.
#[derive(Debug)]
pub struct Dht {
    config: Config,
    rng: Rng,
    /// IPv4, IPv6.
    families: [Family; 2],
    rtt: RttEstimate,
    pending: Pending,
    searches: BTreeMap<SearchId, Search>,
    wishes: BTreeMap<LookupId, Wish>,
    next_id: u64,
    tokens: Tokens,
    peers: PeerStore,
    items: ItemStore,
    flood: Flood,
    /// Who answered a question or brought a token, and when.
    proven: BTreeMap<SocketAddr, Instant>,
    deferred: BTreeMap<SocketAddr, (Instant, Message, usize)>,
    /// Items to be stored again, and when.
    published: BTreeMap<Id, (Instant, Item)>,
    verify_credit: f64,
    verify_filled: Instant,
    upkeep_at: Instant,
    expire_at: Instant,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Dht {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(config: Config, local: Local, mut rng: Rng) -> Self {
        let mut family = |v6: bool| {
            let own = local.external.iter().find(|ip| ip.is_ipv6() == v6);
            let id = match own {
                Some(ip) => node_id::make_id(*ip, &mut rng),
                None => Key::random(&mut rng),
            };
            Family::new(id, &config)
        };
        let families = [family(false), family(true)];
        let id = families[0].id;
        let first_upkeep = Duration::from_micros(rng.below(config.upkeep.as_micros() as u64));
        Self {
            families,
            rtt: RttEstimate::default(),
            pending: Pending::new(config.query_timeout, rng.fork()),
            searches: BTreeMap::new(),
            wishes: BTreeMap::new(),
            next_id: 0,
            tokens: Tokens::new(rng.fork()),
            peers: PeerStore::new(id, config.torrents_max, config.peers_max, config.peer_expiry),
            items: ItemStore::new(id, config.items_max, config.item_expiry),
            flood: Flood::new(config.packets_per_s_max, config.block, config.upload_bytes_per_s),
            proven: BTreeMap::new(),
            deferred: BTreeMap::new(),
            published: BTreeMap::new(),
            verify_credit: 4.0 * f64::from(config.verify_per_s),
            verify_filled: Instant::ZERO,
            upkeep_at: Instant::ZERO + first_upkeep,
            expire_at: Instant::ZERO,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            config,
            rng,
        }
    }

    /// Begins where these nodes are, and comes back to them whenever nobody else is known.
    pub fn bootstrap(&mut self, now: Instant, addrs: impl IntoIterator<Item = SocketAddr>) {
        for addr in addrs {
            let known = &mut self.families[usize::from(addr.is_ipv6())].bootstrap;
            if !known.contains(&addr) && known.len() < 64 {
                known.push(addr);
            }
        }
        for v6 in [false, true] {
            if !self.families[usize::from(v6)].bootstrap.is_empty() {
                self.join(now, v6, &[]);
            }
        }
    }

    /// Goes on from a saved table ([`Self::snapshot`]): contacts, which are asked before they are
    /// believed, and the identifiers, where nobody else uses them (`as_before`) and the node is no
    /// read-only one.
    ///
    /// # Errors
    /// When `bytes` are no such table; nothing changes then.
    pub fn restore(&mut self, now: Instant, bytes: &[u8], as_before: bool) -> Result<usize, SnapshotError> {
        let (ids, nodes) = snapshot::decode(bytes)?;
        let ids = ids.filter(|_| as_before && !self.config.read_only);
        for (family, id) in self.families.iter_mut().zip(ids.into_iter().flatten()) {
            if family.table.is_empty() {
                *family = Family { bootstrap: family.bootstrap.clone(), ..Family::new(id, &self.config) };
            }
        }
        self.peers.move_to(self.families[0].id);
        self.items.move_to(self.families[0].id);
        for v6 in [false, true] {
            let some: Vec<Contact<20>> =
                nodes.iter().filter(|node| node.addr.is_ipv6() == v6).map(contact).collect();
            if !some.is_empty() {
                self.join(now, v6, &some);
            }
        }
        Ok(nodes.len())
    }

    /// The table, to be kept on disk. A read-only node leaves its identifiers out: what it asked must not
    /// be known again by them in another run.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut nodes = Vec::new();
        for family in &self.families {
            let good = family.table.entries().filter(|entry| entry.failures == 0);
            nodes.extend(good.take(snapshot::NODES_MAX).map(|entry| node(&entry.contact)));
        }
        let ids = (!self.config.read_only).then(|| [self.families[0].id, self.families[1].id]);
        snapshot::encode(ids, &nodes)
    }

    /// Asks a node whether it is there: `found` in the report says so.
    pub fn ping(&mut self, now: Instant, addr: SocketAddr) -> LookupId {
        let lookup = self.wish(1);
        self.ask(now, addr, None, Purpose::Ping(lookup), Method::Ping);
        lookup
    }

    /// Finds the nodes closest to a key.
    pub fn find_node(&mut self, now: Instant, target: Id) -> LookupId {
        self.look_up(now, target, Kind::Nodes)
    }

    /// Finds the peers of a torrent, and counts them when `scrape` (BEP 33).
    pub fn get_peers(&mut self, now: Instant, info_hash: Id, scrape: bool) -> LookupId {
        self.look_up(now, info_hash, Kind::Peers { announce: None, scrape })
    }

    /// Finds the peers of a torrent, and says that we are one: at `port`, or, with `None`, at the port
    /// from which our datagrams come.
    pub fn announce(&mut self, now: Instant, info_hash: Id, port: Option<u16>, seed: bool) -> LookupId {
        self.look_up(now, info_hash, Kind::Peers { announce: Some((port, seed)), scrape: false })
    }

    /// Finds a stored item. `salt` is that of a mutable one, else empty.
    pub fn get_item(&mut self, now: Instant, target: Id, salt: &[u8]) -> LookupId {
        self.look_up(now, target, Kind::Get { salt: salt.to_vec() })
    }

    /// Stores an item; with `cas` only where it replaces this version.
    pub fn put_item(&mut self, now: Instant, item: Item, cas: Option<i64>) -> LookupId {
        self.look_up(now, item.target(), Kind::Put { item, cas })
    }

    /// Stores an item now and every hour (BEP 44: others forget it after two), until [`Self::withdraw`].
    /// A newer version takes the place of an older one.
    pub fn publish(&mut self, now: Instant, item: Item) -> LookupId {
        let target = item.target();
        if self.published.len() < PUBLISHED_MAX || self.published.contains_key(&target) {
            self.published.insert(target, (now + upkeep::REPUBLISH, item.clone()));
        }
        self.put_item(now, item, None)
    }

    /// Stops to store an item again.
    pub fn withdraw(&mut self, target: &Id) {
        self.published.remove(target);
    }

    /// Asks the nodes around `target` which torrents they know (BEP 51).
    pub fn sample(&mut self, now: Instant, target: Id) -> LookupId {
        self.look_up(now, target, Kind::Sample)
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.stats.received += 1;
        if self.flood.is_blocked(now, from) {
            self.stats.blocked += 1;
            return;
        }
        let decoded = krpc::decode(datagram);
        if let Ok(Message { transaction, body, .. }) = &decoded
            && !matches!(body, Body::Query(_))
            && let Some(sent) = self.pending.take(from, transaction)
        {
            self.on_reply(now, sent, decoded);
            return;
        }
        if !self.flood.admit(now, from) {
            self.stats.blocked += 1;
            return;
        }
        match decoded {
            Ok(message) if matches!(message.body, Body::Query(_)) => {
                self.on_query(now, from, message, datagram.len());
            }
            Ok(_) => self.stats.unexpected += 1,
            Err(DecodeError::BadQuery { transaction, code, what }) => {
                self.refuse(now, from, transaction, (code, what), datagram.len());
            }
            Err(_) => self.stats.malformed += 1,
        }
    }

    /// Time has come to [`Self::poll_timeout`]'s moment.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timeout) = self.pending.expired(now) {
            match timeout {
                Timeout::Late(search, addr) => self.on_late(now, search, addr),
                Timeout::Failed(sent) => self.on_failure(now, &sent, None),
            }
        }
        self.upkeep(now);
    }

    /// What is to be done next; drain it to `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let upkeep = (self.upkeep_at, "upkeep of the routing table");
        let answer = self.pending.next().map(|at| (at, "an answer is late"));
        answer.into_iter().chain([upkeep]).min_by_key(|(at, _)| *at)
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Our identifier in the network of IPv4 or IPv6.
    #[must_use]
    pub fn id(&self, v6: bool) -> Id {
        self.families[usize::from(v6)].id
    }

    /// The routing table's nodes that answer, of IPv4 or IPv6.
    pub fn nodes(&self, v6: bool) -> impl Iterator<Item = Node> {
        let entries = self.families[usize::from(v6)].table.entries();
        entries.filter(|entry| entry.failures == 0).map(|entry| node(&entry.contact))
    }

    /// About how many nodes the network of IPv4 or IPv6 has, once that can be told.
    #[must_use]
    pub fn network_size(&self, v6: bool) -> Option<f64> {
        self.families[usize::from(v6)].size.nodes()
    }

    /// What is kept for others: torrents, items.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.peers.torrents(), self.items.len())
    }

    /// Sends a query.
    fn ask(&mut self, now: Instant, to: SocketAddr, key: Option<Id>, purpose: Purpose, method: Method) {
        let transaction = self.pending.add(now, to, key, purpose, self.rtt.late_after());
        let id = self.families[usize::from(to.is_ipv6())].id;
        let query = Query { id, read_only: self.config.read_only, want: Want::default(), method };
        // A ping is kept short: it is what an address gets that has proven nothing.
        let version = (query.method != Method::Ping).then_some(VERSION);
        let message = Message { transaction: transaction.to_vec(), version, body: Body::Query(query) };
        self.stats.asked += 1;
        self.outputs.push_back(Output::Send { to, bytes: message.encode() });
    }

    /// An answer to a question of ours.
    fn on_reply(&mut self, now: Instant, sent: Sent, decoded: Result<Message, DecodeError>) {
        let Ok(Message { body, .. }) = decoded else { return };
        match body {
            Body::Response(response) => self.on_response(now, &sent, *response),
            Body::Error { code, observed, .. } => {
                self.prove(now, sent.to);
                self.on_vote(now, sent.to, observed);
                self.on_failure(now, &sent, Some(code));
            }
            Body::Query(_) => {}
        }
    }

    fn on_response(&mut self, now: Instant, sent: &Sent, response: Response) {
        let Some(key) = response.id else { return };
        if sent.key.is_some_and(|expected| expected != key) {
            // Another one lives there now, or somebody lied about it.
            self.on_failure(now, sent, None);
            return;
        }
        self.rtt.add(now.since(sent.at));
        // A read-only node answers to prove its address, and wants to be in no table (BEP 43).
        let reads_only = self
            .deferred
            .get(&sent.to)
            .is_some_and(|(_, message, _)| matches!(&message.body, Body::Query(query) if query.read_only));
        self.prove(now, sent.to);
        let contact = Contact { key, addr: sent.to };
        if !reads_only && !self.is_suspect(&contact) && self.config.ranges.allow(sent.to) {
            self.families[usize::from(sent.to.is_ipv6())].table.confirm(now, contact);
        }
        self.on_vote(now, sent.to, response.observed);
        match sent.purpose {
            Purpose::Verify => {}
            Purpose::Ping(lookup) => {
                let report = Report {
                    closest: vec![node(&contact)],
                    asked: 1,
                    found: true,
                    took: now.since(sent.at),
                    first: Some(now.since(sent.at)),
                    ..Report::default()
                };
                self.close_wish(lookup, report);
            }
            Purpose::Lookup(search) => self.on_found(now, search, contact, response),
            Purpose::Store(search) => self.on_stored(now, search, None),
        }
    }

    /// No answer, a wrong one, or an error with this code.
    fn on_failure(&mut self, now: Instant, sent: &Sent, code: Option<i64>) {
        if code.is_none() {
            self.stats.failed += 1;
            if let Some(key) = sent.key {
                let table = &mut self.families[usize::from(sent.to.is_ipv6())].table;
                if let Some(next) = table.fail(&Contact { key, addr: sent.to }) {
                    self.verify(now, &next);
                }
            }
        }
        match sent.purpose {
            Purpose::Verify => {}
            Purpose::Ping(lookup) => {
                self.close_wish(lookup, Report { asked: 1, took: now.since(sent.at), ..Report::default() });
            }
            Purpose::Lookup(search) => self.on_missed(now, search, sent.to),
            Purpose::Store(search) => self.on_stored(now, search, Some(code)),
        }
    }

    /// The others say where we are; an identifier that does not fit is given up for one that does.
    fn on_vote(&mut self, now: Instant, voter: SocketAddr, observed: Option<SocketAddr>) {
        let index = usize::from(voter.is_ipv6());
        let Some(ip) = observed.and_then(|ours| self.families[index].vote.add(voter, ours.ip())) else {
            return;
        };
        if !node_id::fits(&self.families[index].id, ip) {
            self.move_to(now, index, ip);
        }
    }

    fn move_to(&mut self, now: Instant, index: usize, ip: IpAddr) {
        let id = node_id::make_id(ip, &mut self.rng);
        let family = &mut self.families[index];
        let old = core::mem::replace(&mut family.table, Table::new(id, self.config.table.clone()));
        old.entries().filter(|entry| entry.failures == 0).for_each(|entry| {
            family.table.confirm(entry.seen, entry.contact);
        });
        family.id = id;
        if index == 0 {
            self.peers.move_to(id);
            self.items.move_to(id);
        }
        self.outputs.push_back(Output::Address(ip));
        self.join(now, index == 1, &[]);
    }

    /// An address is its sender's: what waited for that is answered.
    fn prove(&mut self, now: Instant, addr: SocketAddr) {
        if self.proven.len() >= PROVEN_MAX && !self.proven.contains_key(&addr) {
            self.proven.retain(|_, at| now.since(*at) < PROOF);
            if self.proven.len() >= PROVEN_MAX {
                self.proven.pop_first();
            }
        }
        self.proven.insert(addr, now);
        if let Some((_, message, len)) = self.deferred.remove(&addr) {
            self.on_query(now, addr, message, len);
        }
    }

    fn is_proven(&self, now: Instant, addr: SocketAddr) -> bool {
        self.proven.get(&addr).is_some_and(|at| now.since(*at) < PROOF)
    }

    fn is_suspect(&self, contact: &Contact<20>) -> bool {
        self.config.enforce_ids && !node_id::fits(&contact.key, contact.addr.ip())
    }

    fn wish(&mut self, open: usize) -> LookupId {
        self.stats.lookups += 1;
        self.next_id += 1;
        let id = LookupId(self.next_id);
        self.wishes.insert(id, Wish { open, report: Report::default() });
        id
    }
}

impl Family {
    fn new(id: Id, config: &Config) -> Self {
        Self {
            id,
            table: Table::new(id, config.table.clone()),
            vote: Vote::default(),
            size: SizeEstimate::default(),
            bootstrap: Vec::new(),
            bootstrapped: None,
            upkeep: None,
            fill: usize::MAX,
        }
    }
}

fn contact(node: &Node) -> Contact<20> {
    Contact { key: node.id, addr: node.addr }
}

fn node(contact: &Contact<20>) -> Node {
    Node { id: contact.key, addr: contact.addr }
}

#[cfg(test)]
mod tests;
