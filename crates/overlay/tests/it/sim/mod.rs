//! A network of [`Dht`] nodes in virtual time: real datagrams, measured latencies, and liars.

#![allow(dead_code, reason = "each test uses its part")]

#[path = "../data/mod.rs"]
mod data;

pub use data::Latencies;
use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::mainline::{Config, Dht, Local, LookupId, Output, Report, make_id};
use peerage_wire::krpc::{self, Body, Id, Message, Method, Node, Query, Response, Want};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a node does.
pub enum Role {
    Honest(Box<Dht>),
    /// Answers with other liars, and stores nothing.
    Liar(Id, Lie),
    /// Says nothing any more.
    Dead,
}

/// How a liar names others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The liars that are closest to the target.
    Collude,
    /// Liars under identifiers made for the target: closer than any honest node.
    Forge,
}

/// The port at which a forger has any identifier.
const FORGED_PORT: u16 = 6882;

pub struct SimNode {
    pub addr: SocketAddr,
    pub role: Role,
    place: usize,
    wake: Instant,
}

enum Event {
    Datagram { to: usize, at: SocketAddr, from: SocketAddr, bytes: Vec<u8> },
    Timer(usize),
}

struct Queued(Instant, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct Net {
    pub now: Instant,
    pub rng: Rng,
    pub nodes: Vec<SimNode>,
    pub config: Config,
    /// What nodes told, with the node's index.
    pub told: Vec<(usize, Output)>,
    pub messages: u64,
    pub bytes: u64,
    latencies: Latencies,
    by_addr: BTreeMap<SocketAddr, usize>,
    queue: BinaryHeap<Reverse<Queued>>,
    count: u64,
    /// Liars by key.
    liars: BTreeMap<Id, SocketAddr>,
    trace: u64,
}

impl Net {
    pub fn new(seed: u64, config: Config) -> Self {
        Self {
            now: Instant::ZERO,
            rng: Rng::from_number(seed),
            nodes: Vec::new(),
            config,
            told: Vec::new(),
            messages: 0,
            bytes: 0,
            latencies: Latencies::load(),
            by_addr: BTreeMap::new(),
            queue: BinaryHeap::new(),
            count: 0,
            liars: BTreeMap::new(),
            trace: 0xCBF2_9CE4_8422_2325,
        }
    }

    /// An address in a network of its own.
    pub fn free_addr(&self) -> SocketAddr {
        let n = self.nodes.len() as u32;
        let (a, b, c, d) = (11 + n % 80, n / 80 % 250, n / 20_000 % 250, 1 + n * 7 % 250);
        let ip = Ipv4Addr::from(a << 24 | b << 16 | c << 8 | d);
        SocketAddr::new(IpAddr::V4(ip), 6881)
    }

    /// A node joins through some of the others.
    pub fn join(&mut self) -> usize {
        let addr = self.free_addr();
        self.join_at(addr, self.config.clone())
    }

    pub fn join_at(&mut self, addr: SocketAddr, config: Config) -> usize {
        let known: Vec<SocketAddr> =
            (0..3).filter_map(|_| self.random_honest().map(|at| self.nodes[at].addr)).collect();
        let index = self.add(addr, config);
        self.with(index, |dht, now| dht.bootstrap(now, known));
        index
    }

    /// A node that knows nobody.
    pub fn add(&mut self, addr: SocketAddr, config: Config) -> usize {
        let dht = Dht::new(config, Local { external: vec![addr.ip()] }, self.rng.fork());
        self.put(addr, Role::Honest(Box::new(dht)))
    }

    /// A liar with an identifier that its address permits, or with this one.
    pub fn add_liar(&mut self, addr: SocketAddr, id: Option<Id>) -> usize {
        let id = id.unwrap_or_else(|| make_id(addr.ip(), &mut self.rng));
        self.liars.insert(id, addr);
        self.put(addr, Role::Liar(id, Lie::Collude))
    }

    /// A liar makes itself known to an honest node.
    pub fn knock(&mut self, liar: usize, at: usize) {
        let Role::Liar(id, _) = self.nodes[liar].role else { panic!("node {liar} is no liar") };
        let query =
            Query { id, read_only: false, want: Want::default(), method: Method::FindNode { target: id } };
        let message = Message { transaction: b"kk".to_vec(), version: None, body: Body::Query(query) };
        self.send(liar, self.nodes[liar].addr, self.nodes[at].addr, message.encode());
    }

    fn put(&mut self, addr: SocketAddr, role: Role) -> usize {
        let index = self.nodes.len();
        assert!(self.by_addr.insert(addr, index).is_none(), "{addr} is taken");
        let place = self.rng.index(490);
        self.nodes.push(SimNode { addr, role, place, wake: Instant::FAR_FUTURE });
        self.service(index);
        index
    }

    /// Builds a network: `size` nodes join within `joining`, then settle.
    pub fn grow(&mut self, size: usize, joining: Duration, settling: Duration) {
        let step = joining / u32::try_from(size).expect("a size");
        for _ in 0..size {
            self.join();
            self.run_until(self.now + step);
        }
        self.run_until(self.now + settling);
        self.told.clear();
    }

    pub fn dht(&self, index: usize) -> &Dht {
        match &self.nodes[index].role {
            Role::Honest(dht) => dht,
            _ => panic!("node {index} is no honest one"),
        }
    }

    pub fn kill(&mut self, index: usize) {
        self.nodes[index].role = Role::Dead;
    }

    /// Makes a liar of an honest node, which keeps its identifier and its place in the others' tables.
    pub fn corrupt(&mut self, index: usize, lie: Lie) {
        let id = self.dht(index).id(false);
        let addr = self.nodes[index].addr;
        self.liars.insert(id, addr);
        self.nodes[index].role = Role::Liar(id, lie);
        if lie == Lie::Forge {
            self.by_addr.insert(SocketAddr::new(addr.ip(), FORGED_PORT), index);
        }
    }

    pub fn is_honest(&self, index: usize) -> bool {
        matches!(self.nodes[index].role, Role::Honest(_))
    }

    pub fn random_honest(&mut self) -> Option<usize> {
        for _ in 0..1000 {
            let at = self.rng.index(self.nodes.len());
            if self.nodes.get(at).is_some_and(|node| matches!(node.role, Role::Honest(_))) {
                return Some(at);
            }
        }
        None
    }

    /// A command to a node.
    pub fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Dht, Instant) -> T) -> T {
        let now = self.now;
        let Role::Honest(dht) = &mut self.nodes[index].role else { panic!("no honest node") };
        let result = act(dht, now);
        self.service(index);
        result
    }

    /// Runs commands until all of their look-ups are done; gives their reports in order.
    pub fn finish(&mut self, lookups: &[(usize, LookupId)]) -> Vec<Report> {
        let deadline = self.now + Duration::from_secs(120);
        let mut reports = BTreeMap::new();
        let mut read = 0;
        while reports.len() < lookups.len() && self.now < deadline && self.step() {
            for (index, output) in &self.told[read..] {
                if let Output::Done { lookup, report } = output
                    && lookups.contains(&(*index, *lookup))
                {
                    reports.insert((*index, *lookup), report.clone());
                }
            }
            read = self.told.len();
        }
        lookups.iter().map(|lookup| reports.remove(lookup).expect("a look-up ends")).collect()
    }

    /// The reports of look-ups so far; `None` of those that did not end.
    pub fn reports(&self, lookups: &[(usize, LookupId)]) -> Vec<Option<Report>> {
        let mut reports: BTreeMap<(usize, LookupId), &Report> = BTreeMap::new();
        for (index, output) in &self.told {
            if let Output::Done { lookup, report } = output {
                reports.insert((*index, *lookup), report);
            }
        }
        lookups.iter().map(|lookup| reports.get(lookup).map(|report| (*report).clone())).collect()
    }

    pub fn run_until(&mut self, end: Instant) {
        while self.queue.peek().is_some_and(|Reverse(queued)| queued.0 <= end) {
            self.step();
        }
        self.now = end;
    }

    /// A hash over everything that was delivered, when and to whom.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    fn step(&mut self) -> bool {
        let Some(Reverse(Queued(at, _, event))) = self.queue.pop() else { return false };
        self.now = at;
        match event {
            Event::Timer(index) => {
                if self.nodes[index].wake != at {
                    return true;
                }
                self.nodes[index].wake = Instant::FAR_FUTURE;
                if let Role::Honest(dht) = &mut self.nodes[index].role {
                    dht.handle_timeout(at);
                    self.service(index);
                }
            }
            Event::Datagram { to, at: place, from, bytes } => {
                self.messages += 1;
                self.bytes += bytes.len() as u64;
                self.note(&[at.as_micros(), to as u64, bytes.len() as u64]);
                match &mut self.nodes[to].role {
                    Role::Honest(dht) => {
                        dht.handle_datagram(at, from, &bytes);
                        self.service(to);
                    }
                    Role::Liar(id, lie) => {
                        let (id, lie) = (*id, *lie);
                        self.lie(to, place, (id, lie), from, &bytes);
                    }
                    Role::Dead => {}
                }
            }
        }
        true
    }

    fn note(&mut self, numbers: &[u64]) {
        for byte in numbers.iter().flat_map(|number| number.to_le_bytes()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    /// The drain: outputs to `None`, then the next moment.
    fn service(&mut self, index: usize) {
        let Role::Honest(dht) = &mut self.nodes[index].role else { return };
        let mut sends = Vec::new();
        while let Some(output) = dht.poll_output() {
            match output {
                Output::Send { to, bytes } => sends.push((to, bytes)),
                other => self.told.push((index, other)),
            }
        }
        if let Some((at, _)) = dht.poll_timeout()
            && at < self.nodes[index].wake
        {
            let at = at.max(self.now);
            self.nodes[index].wake = at;
            self.push(at, Event::Timer(index));
        }
        for (to, bytes) in sends {
            self.send(index, self.nodes[index].addr, to, bytes);
        }
    }

    /// A datagram leaves a node with this sender's address.
    pub fn send(&mut self, node: usize, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let Some(receiver) = self.by_addr.get(&to).copied() else { return };
        let at = self.now + self.latencies.one_way(self.nodes[node].place, self.nodes[receiver].place);
        self.push(at, Event::Datagram { to: receiver, at: to, from, bytes });
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.queue.push(Reverse(Queued(at, self.count, event)));
    }

    fn lie(&mut self, index: usize, place: SocketAddr, (id, lie): (Id, Lie), from: SocketAddr, bytes: &[u8]) {
        let Ok(Message { transaction, body: Body::Query(query), .. }) = krpc::decode(bytes) else { return };
        let target = match query.method {
            Method::FindNode { target } | Method::Get { target, .. } => Some(target),
            Method::GetPeers { info_hash, .. } => Some(info_hash),
            _ => None,
        };
        let mut nodes = target.map_or_else(Vec::new, |target| self.closest_liars(&target));
        let mut own = id;
        if let (Lie::Forge, Some(target)) = (lie, target) {
            let addrs: Vec<SocketAddr> = self.liars.values().copied().collect();
            nodes = (0..8).map(|_| forged(&target, addrs[self.rng.index(addrs.len())].ip())).collect();
            if place.port() == FORGED_PORT {
                own = forged(&target, place.ip()).id;
            }
        }
        let response = Response {
            id: Some(own),
            observed: Some(from),
            token: target.map(|_| b"token".to_vec()),
            nodes,
            ..Response::default()
        };
        let body = Body::Response(Box::new(response));
        let bytes = Message { transaction, version: None, body }.encode();
        self.send(index, place, from, bytes);
    }

    fn closest_liars(&self, target: &Id) -> Vec<Node> {
        // Those around the target in the order of keys hold the closest in distance.
        let beyond = self.liars.range(*target..).take(64);
        let before = self.liars.range(..*target).rev().take(64);
        let mut near: Vec<Node> =
            beyond.chain(before).map(|(id, addr)| Node { id: *id, addr: *addr }).collect();
        near.sort_unstable_by_key(|node| node.id.distance(target));
        near.truncate(8);
        near
    }
}

/// A liar under an identifier next to the target.
fn forged(target: &Id, ip: IpAddr) -> Node {
    let IpAddr::V4(v4) = ip else { panic!("liars are of IPv4") };
    let mut id = *target;
    id.0[16..].copy_from_slice(&v4.octets());
    Node { id, addr: SocketAddr::new(ip, FORGED_PORT) }
}

/// The value below which this share of the values is.
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}

/// A random key of the keyspace.
pub fn random_key(rng: &mut Rng) -> Id {
    Key::random(rng)
}

/// A stranger pings a node, and answers the ping that it may get for that.
pub fn knock_and_answer(dht: &mut Dht, now: Instant, from: SocketAddr, rng: &mut Rng) {
    let id = make_id(from.ip(), rng);
    let query = Query { id, read_only: false, want: Want::default(), method: Method::Ping };
    let message = Message { transaction: b"kk".to_vec(), version: None, body: Body::Query(query) };
    dht.handle_datagram(now, from, &message.encode());
    while let Some(output) = dht.poll_output() {
        let Output::Send { to, bytes } = output else { continue };
        if let Ok(Message { transaction, body: Body::Query(_), .. }) = krpc::decode(&bytes)
            && to == from
        {
            let body = Body::Response(Box::new(Response { id: Some(id), ..Response::default() }));
            dht.handle_datagram(now, from, &Message { transaction, version: None, body }.encode());
        }
    }
}
