//! Look-ups: from a command to its report.

use super::{Dht, Output, Purpose, Wish, node};
use crate::kademlia::{Contact, Lookup, LookupConfig, radius, too_close};
use crate::mainline::event::{LookupId, Report};
use crate::mainline::item::Item;
use crate::mainline::node_id;
use peerage_base::Instant;
use peerage_wire::krpc::{Bloom, Id, Method, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// One look-up in one network. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mainline) struct SearchId(u64);

/// Peers told per look-up; more are left out.
const PEERS_MAX: usize = 2_000;

/// Nodes that a crowded key is stored at, at most.
const STORE_MAX: usize = 64;

/// What is looked up.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Nodes,
    Peers { announce: Option<(Option<u16>, bool)>, scrape: bool },
    Get { salt: Vec<u8> },
    Put { item: Item, cas: Option<i64> },
    Sample,
}

/// A look-up in one network.
#[derive(Clone, Debug)]
pub(super) struct Search {
    kind: Kind,
    /// The command; `None` for the upkeep's.
    wish: Option<LookupId>,
    v6: bool,
    target: Id,
    started: Instant,
    /// `None` only while it is begun.
    lookup: Option<Lookup<20>>,
    tokens: BTreeMap<SocketAddr, Vec<u8>>,
    /// Peers told.
    told: BTreeSet<SocketAddr>,
    item: Option<Item>,
    /// Who had an item, and its version.
    holders: BTreeMap<SocketAddr, i64>,
    filters: Option<(Bloom, Bloom)>,
    report: Report,
    /// Stores on the way, once it comes to that.
    storing: Option<usize>,
}

impl Search {
    pub(super) fn new(now: Instant, kind: Kind, wish: Option<LookupId>, v6: bool, target: Id) -> Self {
        Self {
            kind,
            wish,
            v6,
            target,
            started: now,
            lookup: None,
            tokens: BTreeMap::new(),
            told: BTreeSet::new(),
            item: None,
            holders: BTreeMap::new(),
            filters: None,
            report: Report::default(),
            storing: None,
        }
    }

    /// The query of its steps.
    fn method(&self) -> Method {
        let target = self.target;
        match &self.kind {
            Kind::Nodes => Method::FindNode { target },
            Kind::Peers { scrape, .. } => {
                Method::GetPeers { info_hash: target, no_seeds: false, scrape: *scrape }
            }
            Kind::Get { .. } => {
                // Only newer versions than the one that is known are worth their bytes.
                let seq = self.item.as_ref().filter(|item| item.signed().is_some()).map(Item::seq);
                Method::Get { target, seq }
            }
            Kind::Put { .. } => Method::Get { target, seq: None },
            Kind::Sample => Method::SampleInfohashes { target },
        }
    }

    fn note_first(&mut self, now: Instant) {
        self.report.found = true;
        self.report.first.get_or_insert(now.since(self.started));
    }
}

impl Dht {
    /// A command: a look-up in each network in which somebody is known.
    pub(super) fn look_up(&mut self, now: Instant, target: Id, kind: Kind) -> LookupId {
        let known = |index: usize| {
            let family = &self.families[index];
            !family.table.is_empty() || !family.bootstrap.is_empty()
        };
        let families: Vec<bool> = [false, true].into_iter().filter(|v6| known(usize::from(*v6))).collect();
        let wish = self.wish(families.len());
        if families.is_empty() || self.searches.len() >= self.config.lookups_max {
            self.wishes.insert(wish, Wish { open: 1, report: Report::default() });
            self.close_wish(wish, Report::default());
            return wish;
        }
        for v6 in families {
            let family = &self.families[usize::from(v6)];
            // Who knows few begins at the bootstrap nodes as well.
            let few = family.table.len() < self.config.lookup.k;
            let strangers = if few { family.bootstrap.clone() } else { Vec::new() };
            let search = Search::new(now, kind.clone(), Some(wish), v6, target);
            self.begin(now, search, self.config.lookup.clone(), &[], strangers);
        }
        wish
    }

    pub(super) fn begin(
        &mut self,
        now: Instant,
        mut search: Search,
        config: LookupConfig,
        contacts: &[Contact<20>],
        strangers: Vec<SocketAddr>,
    ) -> SearchId {
        let table = &self.families[usize::from(search.v6)].table;
        let count = config.k.max(2 * config.paths) * 2;
        let known = table.closest(&search.target, count).into_iter().chain(contacts.iter().copied());
        let known: Vec<_> = known.map(|contact| (contact, self.is_suspect(&contact))).collect();
        search.lookup = Some(Lookup::new(search.target, config, &known, strangers));
        self.next_id += 1;
        let id = SearchId(self.next_id);
        self.searches.insert(id, search);
        self.advance(now, id);
        id
    }

    /// Sends what a look-up has to ask, and ends it when it is done.
    pub(super) fn advance(&mut self, now: Instant, id: SearchId) {
        let Some(mut search) = self.searches.remove(&id) else { return };
        if search.storing.is_none()
            && let Some(mut lookup) = search.lookup.take()
        {
            let satisfied = search.item.as_ref().is_some_and(|item| item.signed().is_none());
            loop {
                while !satisfied && self.pending.len() < self.config.pending_max {
                    let Some(ask) = lookup.poll() else { break };
                    let near = ask.target != search.target;
                    let method = if near { Method::FindNode { target: ask.target } } else { search.method() };
                    self.ask(now, ask.addr, ask.key, Purpose::Lookup(id), method);
                }
                if !satisfied && !lookup.is_done() {
                    break;
                }
                if satisfied || !self.widen(&search, &mut lookup) {
                    self.found_all(now, id, &mut search, &lookup);
                    break;
                }
            }
            search.lookup = Some(lookup);
        }
        if search.storing == Some(0) {
            self.end(search);
        } else {
            self.searches.insert(id, search);
        }
    }

    /// A look-up that came to its end goes on when its key is crowded; whether it does.
    fn widen(&mut self, search: &Search, lookup: &mut Lookup<20>) -> bool {
        if search.wish.is_none() || lookup.is_wide() {
            return false;
        }
        let family = &self.families[usize::from(search.v6)];
        let Some(nodes) = family.size.nodes() else { return false };
        let k = self.config.lookup.k;
        if !too_close(&lookup.distances(k), nodes) {
            return false;
        }
        self.stats.crowded += 1;
        // Twice as far as usual, as the size is only estimated.
        let enforce = self.config.enforce_ids;
        let scouts = |key: &Id| -> Vec<_> {
            let contacts = family.table.closest(key, 2).into_iter();
            contacts
                .map(|contact| (contact, enforce && !node_id::fits(&contact.key, contact.addr.ip())))
                .collect()
        };
        lookup.widen(radius(2.0 * k as f64, nodes), &mut self.rng, scouts);
        true
    }

    /// The closest nodes are known: what is to be stored is stored there.
    fn found_all(&mut self, now: Instant, id: SearchId, search: &mut Search, lookup: &Lookup<20>) {
        let k = self.config.lookup.k;
        let closest = lookup.closest(k);
        let family = &mut self.families[usize::from(search.v6)];
        let distances = lookup.distances(k);
        if !lookup.is_wide() && distances.len() == k && search.item.is_none() {
            family.size.add(&distances);
        }
        search.report.took = now.since(search.started);
        search.report.asked = lookup.asked();
        search.report.crowded = lookup.is_wide();
        search.report.closest = closest.iter().map(node).collect();
        search.report.swarm =
            search.filters.as_ref().map(|(seeds, peers)| (seeds.estimate(), peers.estimate()));
        let mut waiting = 0;
        for (to, method) in stores(search, &closest) {
            waiting += 1;
            self.ask(now, to, None, Purpose::Store(id), method);
        }
        search.storing = Some(waiting);
        // What was read was told; who reads does not wait until it is stored at one more node.
        if matches!(search.kind, Kind::Get { .. })
            && let Some(wish) = search.wish.take()
        {
            self.close_wish(wish, core::mem::take(&mut search.report));
        }
    }

    fn end(&mut self, search: Search) {
        if let Some(wish) = search.wish {
            self.close_wish(wish, search.report);
        }
    }

    /// One of a command's look-ups ended; the command ends with its last.
    pub(super) fn close_wish(&mut self, id: LookupId, report: Report) {
        let Some(wish) = self.wishes.get_mut(&id) else { return };
        wish.open = wish.open.saturating_sub(1);
        merge(&mut wish.report, report);
        if wish.open == 0
            && let Some(wish) = self.wishes.remove(&id)
        {
            self.outputs.push_back(Output::Done { lookup: id, report: wish.report });
        }
    }

    pub(super) fn on_late(&mut self, now: Instant, id: SearchId, addr: SocketAddr) {
        self.with_lookup(id, |lookup| lookup.late(addr));
        self.advance(now, id);
    }

    pub(super) fn on_missed(&mut self, now: Instant, id: SearchId, addr: SocketAddr) {
        self.with_lookup(id, |lookup| lookup.fail(addr));
        self.advance(now, id);
    }

    /// A store was confirmed, or refused with a code, or nothing came.
    pub(super) fn on_stored(&mut self, now: Instant, id: SearchId, failure: Option<Option<i64>>) {
        if let Some(search) = self.searches.get_mut(&id) {
            match failure {
                None => search.report.stored += 1,
                Some(code) => search.report.refusal = code.or(search.report.refusal),
            }
            search.storing = search.storing.map(|waiting| waiting.saturating_sub(1));
        }
        self.advance(now, id);
    }

    /// A step of a look-up was answered.
    pub(super) fn on_found(&mut self, now: Instant, id: SearchId, from: Contact<20>, response: Response) {
        let suspect = self.is_suspect(&from);
        let Some(search) = self.searches.get(&id) else { return };
        let own = self.families[usize::from(search.v6)].id;
        let named: Vec<(Contact<20>, bool)> = response
            .nodes
            .iter()
            .filter(|node| {
                node.addr.is_ipv6() == search.v6 && node.id != own && self.config.ranges.allow(node.addr)
            })
            .map(super::contact)
            .map(|contact| (contact, self.is_suspect(&contact)))
            .collect();
        let mut told = Vec::new();
        if let Some(search) = self.searches.get_mut(&id) {
            if let Some(lookup) = &mut search.lookup {
                lookup.answer(from, suspect, named);
            }
            told = take_in(now, search, from.addr, response);
        }
        self.outputs.extend(told);
        self.advance(now, id);
    }

    fn with_lookup(&mut self, id: SearchId, act: impl FnOnce(&mut Lookup<20>)) {
        if let Some(lookup) = self.searches.get_mut(&id).and_then(|search| search.lookup.as_mut()) {
            act(lookup);
        }
    }
}

/// What an answer brings beside nodes; gives what the driver is told.
fn take_in(now: Instant, search: &mut Search, from: SocketAddr, response: Response) -> Vec<Output> {
    if let Some(token) = response.token {
        search.tokens.insert(from, token);
    }
    let mut told = Vec::new();
    match &search.kind {
        Kind::Peers { .. } => {
            if let Some((seeds, peers)) = response.filters {
                let all = search.filters.get_or_insert_default();
                all.0.unite(&seeds);
                all.1.unite(&peers);
            }
            let room = PEERS_MAX.saturating_sub(search.told.len());
            let fresh = response.values.into_iter().filter(|addr| search.told.insert(*addr));
            let addrs: Vec<SocketAddr> = fresh.take(room).collect();
            if !addrs.is_empty() {
                told.extend(search.wish.map(|lookup| Output::Peers { lookup, addrs }));
                search.note_first(now);
            }
        }
        Kind::Get { salt } => {
            let newer = |seq: i64| {
                search.item.as_ref().is_none_or(|item| item.signed().is_some() && seq > item.seq())
            };
            let seq = response.signed.map_or(0, |signed| signed.seq);
            let salt = if response.signed.is_some() { salt.clone() } else { Vec::new() };
            let item = response.value.and_then(|value| Item::new(value, response.signed, salt).ok());
            if let Some(item) = item.filter(|item| item.target() == search.target) {
                search.holders.insert(from, seq);
                if newer(seq) {
                    search.item = Some(item.clone());
                    told.extend(search.wish.map(|lookup| Output::Item { lookup, item }));
                    search.note_first(now);
                }
            } else if let Some(seq) = response.seq {
                search.holders.insert(from, seq);
            }
        }
        Kind::Put { .. } => {
            if let Some(seq) = response.seq {
                search.holders.insert(from, seq);
            }
        }
        Kind::Sample => {
            if let (Some(samples), Some(lookup)) = (response.samples, search.wish)
                && !samples.hashes.is_empty()
            {
                search.note_first(now);
                told.push(Output::Samples { lookup, from, hashes: samples.hashes, total: samples.total });
            }
        }
        Kind::Nodes => {}
    }
    told
}

/// What is to be stored at which of the closest nodes.
fn stores(search: &Search, closest: &[Contact<20>]) -> Vec<(SocketAddr, Method)> {
    let able = closest.iter().filter_map(|contact| {
        let token = search.tokens.get(&contact.addr)?;
        Some((contact.addr, token.clone()))
    });
    let put = |item: &Item, token: Vec<u8>, cas: Option<i64>| Method::Put {
        token,
        value: item.value().to_vec(),
        signed: item.signed().copied(),
        salt: item.salt().to_vec(),
        cas,
    };
    match &search.kind {
        Kind::Peers { announce: Some((port, seed)), .. } => able
            .map(|(addr, token)| {
                let (info_hash, port, seed) = (search.target, *port, *seed);
                (addr, Method::AnnouncePeer { info_hash, port, seed, token })
            })
            .take(STORE_MAX)
            .collect(),
        Kind::Put { item, cas } => able
            // Where nothing is stored, nothing is replaced (BEP 44).
            .map(|(addr, token)| (addr, put(item, token, cas.filter(|_| search.holders.contains_key(&addr)))))
            .take(STORE_MAX)
            .collect(),
        // The closest node that should have had it gets it (Kademlia, section 2.5: caching along the path).
        Kind::Get { .. } => {
            let item = search.item.as_ref();
            let outdated = |addr: &SocketAddr| {
                item.is_some_and(|item| search.holders.get(addr).is_none_or(|seq| *seq < item.seq()))
            };
            able.filter(|(addr, _)| outdated(addr))
                .take(1)
                .filter_map(|(addr, token)| Some((addr, put(item?, token, None))))
                .collect()
        }
        Kind::Nodes | Kind::Sample | Kind::Peers { announce: None, .. } => Vec::new(),
    }
}

/// Two networks' reports as one.
fn merge(report: &mut Report, other: Report) {
    report.closest.extend(other.closest);
    report.asked += other.asked;
    report.stored += other.stored;
    report.refusal = report.refusal.or(other.refusal);
    report.found |= other.found;
    report.took = report.took.max(other.took);
    report.first = [report.first, other.first].into_iter().flatten().min();
    report.crowded |= other.crowded;
    let sum = |(a, b): (f64, f64), (c, d): (f64, f64)| (a + c, b + d);
    report.swarm = match (report.swarm, other.swarm) {
        (Some(one), Some(two)) => Some(sum(one, two)),
        (one, two) => one.or(two),
    };
}
