//! A network of swarm machines in virtual time: latency, line rates, real encoded bytes for all but
//! the blocks, which travel as names with a mark for whether they are spoiled.

#![allow(dead_code, clippy::unwrap_used)]

use peerage_base::{ConnId, Duration, Instant, Rng};
use peerage_content::create::{Builder, PieceDigest, Source};
use peerage_content::{Hashes, Info, Version};
use peerage_swarm::{
    Bitfield, Block, BlockVerdict, Bucket, Config, Content, Event, Handshake, Local, Message, Output,
    PeerChange, Reason, StoreEvent, Swarm, WebChange, WebSeedId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes that a connection's send queue holds.
const SEND_QUEUE: u64 = 1 << 20;
/// Time that a piece's hash takes.
const VERIFY_TIME: Duration = Duration::from_millis(2);

/// A version 1 torrent of one file.
pub fn info(total: u64, piece_len: u32) -> Arc<Info> {
    let pieces = total.div_ceil(u64::from(piece_len));
    let mut raw =
        format!("d6:lengthi{total}e4:name4:test12:piece lengthi{piece_len}e6:pieces{}:", pieces * 20)
            .into_bytes();
    raw.extend((0..pieces * 20).map(|at| (at % 251) as u8));
    raw.push(b'e');
    Arc::new(Info::parse(&raw).unwrap())
}

/// A torrent of files with these lengths, whose hashes are made up but consistent; and all its hashes,
/// piece layers too.
pub fn torrent(version: Version, lens: &[u64], piece_len: u32) -> (Arc<Info>, Hashes) {
    let file =
        |(at, len): (usize, &u64)| Source { path: vec![format!("{at:04}")], len: *len, executable: false };
    let files = lens.iter().enumerate().map(file).collect();
    let builder = Builder { piece_len: Some(piece_len), version, ..Builder::new("test", true, files) };
    let plan = builder.plan().unwrap();
    let digest = |piece: u32| {
        let mut hash = [7; 32];
        hash[..4].copy_from_slice(&piece.to_be_bytes());
        PieceDigest {
            v1: version.has_v1().then(|| hash[..20].try_into().unwrap()),
            v2: version.has_v2().then_some(hash),
        }
    };
    let digests: Vec<PieceDigest> = (0..plan.layout().pieces()).map(digest).collect();
    let meta = plan.finish(&digests).unwrap();
    (meta.info.clone(), meta.hashes())
}

pub enum Cargo {
    Frames(Vec<u8>),
    Block { block: Block, bad: bool },
}

enum Happening {
    Arrive { node: usize, conn: ConnId, cargo: Cargo },
    Sent { node: usize, conn: ConnId, bytes: u64 },
    Store { node: usize, event: StoreEvent },
    Closed { node: usize, conn: ConnId },
    Web { node: usize, web_seed: WebSeedId, block: Block, bad: bool },
    WebDone { node: usize, web_seed: WebSeedId },
    Timer { node: usize },
}

pub struct Node {
    pub swarm: Swarm,
    pub addr: SocketAddr,
    pub peer_id: [u8; 20],
    pub handshake: Handshake,
    pub up: Bucket,
    pub down: Bucket,
    /// Bytes per second of its line, each way together.
    pub line: Option<u64>,
    line_free: Instant,
    conns: BTreeMap<ConnId, (usize, ConnId)>,
    queued: BTreeMap<ConnId, u64>,
    /// Blocks received per piece: spoiled or not.
    store: BTreeMap<u32, BTreeMap<u32, bool>>,
    /// Chance that a block it sends is spoiled.
    pub lies: f64,
    /// It answers no requests.
    pub silent: bool,
    /// Chance that a block which its web seeds send is spoiled.
    pub web_lies: f64,
    /// Web requests made: piece, begin, length.
    pub web_requests: Vec<(u32, u32, u32)>,
    /// Writes fail from now on.
    pub disk_full: bool,
    /// What it asked its peers for, and told them it has.
    pub asked: Vec<Block>,
    pub said: Vec<(ConnId, Message)>,
    pub events: Vec<(Instant, Event)>,
    pub closed: Vec<(ConnId, Reason)>,
    pub banned: Vec<SocketAddr>,
    pub candidates: BTreeSet<SocketAddr>,
    /// Blocks received whole, also those thrown away.
    pub received: u64,
    pub blocks_sent: BTreeMap<Block, u32>,
    timer_at: Option<Instant>,
    rng: Rng,
}

pub struct World {
    pub now: Instant,
    pub nodes: Vec<Node>,
    pub latency: Duration,
    info: Arc<Info>,
    /// What seeds know, where that is more than the info dictionary.
    pub hashes: Option<Hashes>,
    queue: BTreeMap<(Instant, u64), Happening>,
    seq: u64,
    next_conn: u64,
    rng: Rng,
    /// Grows by what happens: equal worlds have equal traces.
    pub trace: u64,
}

impl World {
    pub fn new(seed: u64, info: Arc<Info>, latency: Duration) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            nodes: Vec::new(),
            latency,
            info,
            hashes: None,
            queue: BTreeMap::new(),
            seq: 0,
            next_conn: 1,
            rng: Rng::from_number(seed),
            trace: 0,
        }
    }

    pub fn content(&self, have: Bitfield) -> Content {
        Content { hashes: Hashes::new(self.info.clone()), have, priorities: Vec::new() }
    }

    /// A node that knows the metadata and has these pieces.
    pub fn add(&mut self, config: Config, have: Bitfield) -> usize {
        let node = self.add_bare(config);
        let content = self.content(have);
        self.nodes[node].swarm.set_content(self.now, content);
        node
    }

    pub fn seed(&mut self, config: Config) -> usize {
        let node = self.add_bare(config);
        let mut content = self.content(Bitfield::full(self.info.layout.pieces()));
        content.hashes = self.hashes.clone().unwrap_or(content.hashes);
        self.nodes[node].swarm.set_content(self.now, content);
        node
    }

    pub fn leech(&mut self, config: Config) -> usize {
        self.add(config, Bitfield::new(self.info.layout.pieces()))
    }

    /// A node that knows the hashes only.
    pub fn add_bare(&mut self, config: Config) -> usize {
        let number = self.nodes.len();
        let mut peer_id = [b'a'; 20];
        peer_id[19] = number as u8;
        let addr = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 6881));
        let local = Local { peer_id, listen_port: 6881 };
        let swarm = Swarm::new(config, local, self.info.hashes, self.rng.fork());
        self.nodes.push(Node {
            swarm,
            addr,
            peer_id,
            handshake: Handshake::new(self.info.hashes.primary(), peer_id),
            up: Bucket::new(None),
            down: Bucket::new(None),
            line: None,
            line_free: Instant::ZERO,
            conns: BTreeMap::new(),
            queued: BTreeMap::new(),
            store: BTreeMap::new(),
            lies: 0.0,
            silent: false,
            web_lies: 0.0,
            web_requests: Vec::new(),
            disk_full: false,
            asked: Vec::new(),
            said: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
            banned: Vec::new(),
            candidates: BTreeSet::new(),
            received: 0,
            blocks_sent: BTreeMap::new(),
            timer_at: None,
            rng: self.rng.fork(),
        });
        number
    }

    /// Connects two nodes: `a` opens the connection. Returns each side's name of it.
    pub fn connect(&mut self, a: usize, b: usize) -> (ConnId, ConnId) {
        let (conn_a, conn_b) = (ConnId(self.next_conn), ConnId(self.next_conn + 1));
        self.next_conn += 2;
        self.nodes[a].conns.insert(conn_a, (b, conn_b));
        self.nodes[b].conns.insert(conn_b, (a, conn_a));
        for (node, other, conn, outgoing) in [(a, b, conn_a, true), (b, a, conn_b, false)] {
            let mut addr = self.nodes[other].addr;
            if !outgoing {
                addr.set_port(40_000 + other as u16);
            }
            // An extension is used when both ends offer it.
            let mut handshake = self.nodes[other].handshake;
            let own = self.nodes[node].handshake.reserved;
            handshake.reserved.iter_mut().zip(own).for_each(|(theirs, own)| *theirs &= own);
            let up = PeerChange::Up { addr, outgoing, utp: false, handshake };
            let swarm = &mut self.nodes[node].swarm;
            swarm.handle_peer(self.now, conn, up);
            swarm.handle_peer(self.now, conn, PeerChange::Writable { bytes: SEND_QUEUE });
            self.drain(node);
        }
        (conn_a, conn_b)
    }

    pub fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    pub fn disconnect(&mut self, node: usize, conn: ConnId) {
        if let Some((other, other_conn)) = self.nodes[node].conns.remove(&conn) {
            self.nodes[node].swarm.handle_peer(self.now, conn, PeerChange::Down);
            self.drain(node);
            self.close(other, other_conn);
        }
    }

    fn close(&mut self, node: usize, conn: ConnId) {
        self.schedule(self.latency, Happening::Closed { node, conn });
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        self.seq += 1;
        self.queue.insert((self.now + after, self.seq), happening);
    }

    /// Runs until `done` or the time is up; returns whether it was done. Panics when nothing happens.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let Some(entry) = self.queue.first_entry() else { return false };
            let (at, seq) = *entry.key();
            if at > end {
                self.now = end;
                return false;
            }
            let happening = entry.remove();
            self.now = self.now.max(at);
            self.trace = (self.trace ^ at.as_micros() ^ seq).wrapping_mul(0x0100_0000_01b3);
            self.happen(happening);
        }
        true
    }

    /// Runs until all nodes are done; returns the seconds it took.
    pub fn run_to_end(&mut self, limit_secs: u64) -> f64 {
        let start = self.now;
        let done = self.run(Duration::from_secs(limit_secs), |world| {
            world.nodes.iter().all(|node| node.swarm.is_done())
        });
        let left: Vec<u64> = self.nodes.iter().map(|node| node.swarm.stats().left).collect();
        assert!(done, "not done after {limit_secs} s; left: {left:?}");
        self.now.since(start).as_secs_f64()
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Arrive { node, conn, cargo } => {
                if self.nodes[node].conns.contains_key(&conn) {
                    self.arrive(node, conn, cargo);
                    self.drain(node);
                }
            }
            Happening::Sent { node, conn, bytes } => {
                let of = &mut self.nodes[node];
                if let Some(queued) = of.queued.get_mut(&conn) {
                    *queued -= bytes;
                    let room = SEND_QUEUE.saturating_sub(*queued);
                    of.swarm.handle_peer(now, conn, PeerChange::Writable { bytes: room });
                    self.drain(node);
                }
            }
            Happening::Store { node, event } => {
                self.nodes[node].swarm.handle_store(now, event);
                self.drain(node);
            }
            Happening::Closed { node, conn } => {
                if self.nodes[node].conns.remove(&conn).is_some() {
                    self.nodes[node].swarm.handle_peer(now, conn, PeerChange::Down);
                    self.drain(node);
                }
            }
            Happening::Web { node, web_seed, block, bad } => {
                let of = &mut self.nodes[node];
                if of.swarm.handle_web_block(now, web_seed, block) == BlockVerdict::Accept {
                    of.store.entry(block.piece).or_default().insert(block.begin, bad);
                    self.write(node, block);
                }
                self.drain(node);
            }
            Happening::WebDone { node, web_seed } => {
                self.nodes[node].swarm.handle_web(now, web_seed, WebChange::Done);
                self.drain(node);
            }
            Happening::Timer { node } => {
                self.nodes[node].timer_at = None;
                self.nodes[node].swarm.handle_timeout(now);
                self.drain(node);
            }
        }
    }

    fn arrive(&mut self, node: usize, conn: ConnId, cargo: Cargo) {
        let now = self.now;
        let of = &mut self.nodes[node];
        match cargo {
            Cargo::Frames(bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (len, after) = rest.split_first_chunk::<4>().unwrap();
                    let (frame, after) = after.split_at(u32::from_be_bytes(*len) as usize);
                    of.swarm.handle_message(now, conn, Message::decode(frame).unwrap());
                    rest = after;
                }
            }
            Cargo::Block { block, bad } => {
                of.received += 1;
                if of.swarm.handle_block(now, conn, block) == BlockVerdict::Accept {
                    of.store.entry(block.piece).or_default().insert(block.begin, bad);
                    self.write(node, block);
                }
            }
        }
    }

    fn write(&mut self, node: usize, block: Block) {
        let Block { piece, begin, len } = block;
        let event = if self.nodes[node].disk_full {
            StoreEvent::Failed { piece, begin, len, full_disk: true, written: false }
        } else {
            StoreEvent::Written { piece, begin, len }
        };
        self.schedule(Duration::from_micros(200), Happening::Store { node, event });
    }

    /// Feeds a block to a node as if a peer had sent it.
    pub fn inject_block(&mut self, node: usize, conn: ConnId, block: Block) {
        self.arrive(node, conn, Cargo::Block { block, bad: false });
        self.drain(node);
    }

    /// A connection whose other end is the test itself.
    pub fn connect_test(&mut self, node: usize, conn: ConnId) {
        let addr = SocketAddr::from(([10, 9, 9, 9], 9));
        let up = PeerChange::Up { addr, outgoing: true, utp: false, handshake: self.nodes[node].handshake };
        self.nodes[node].swarm.handle_peer(self.now, conn, up);
        self.drain(node);
    }

    /// Feeds a message to a node as if a peer had sent it.
    pub fn inject(&mut self, node: usize, conn: ConnId, message: Message) {
        self.nodes[node].swarm.handle_message(self.now, conn, message);
        self.drain(node);
    }

    pub fn drain(&mut self, node: usize) {
        let now = self.now;
        let Node { swarm, up, down, .. } = &mut self.nodes[node];
        swarm.pump(now, up, down);
        while let Some(output) = self.nodes[node].swarm.poll_output() {
            self.output(node, output);
        }
        if let Some((at, _)) = self.nodes[node].swarm.poll_timeout()
            && self.nodes[node].timer_at.is_none_or(|timer| at < timer)
        {
            self.nodes[node].timer_at = Some(at);
            self.schedule(at.since(now), Happening::Timer { node });
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { conn, bytes } => {
                self.note(node, conn, &bytes);
                self.transmit(node, conn, bytes.len() as u64, Cargo::Frames(bytes));
            }
            Output::SendBlock { conn, block } => {
                let of = &mut self.nodes[node];
                *of.blocks_sent.entry(block).or_default() += 1;
                let bad = of.rng.unit() < of.lies;
                if !of.silent {
                    self.transmit(node, conn, u64::from(block.len) + 13, Cargo::Block { block, bad });
                }
            }
            Output::Disconnect { conn, reason } => {
                self.nodes[node].closed.push((conn, reason));
                if let Some((other, other_conn)) = self.nodes[node].conns.remove(&conn) {
                    self.close(other, other_conn);
                }
            }
            Output::Verify { piece, digests } => {
                let blocks = &self.nodes[node].store[&piece];
                let ok = blocks.values().all(|bad| !bad);
                let mut digest = |(begin, bad): (&u32, &bool)| {
                    let mut digest = [0; 32];
                    digest[..4].copy_from_slice(&begin.to_be_bytes());
                    if *bad {
                        self.rng.fill(&mut digest[4..]);
                    }
                    digest
                };
                let digests = digests.then(|| blocks.iter().map(&mut digest).collect());
                let event = StoreEvent::Verified { piece, ok, digests };
                self.schedule(VERIFY_TIME, Happening::Store { node, event });
            }
            Output::Candidates { addrs, .. } => self.nodes[node].candidates.extend(addrs),
            Output::Holepunch { .. } => {}
            Output::Ban { addr, .. } => self.nodes[node].banned.push(addr),
            Output::WebRequest { web_seed, piece, begin, len } => {
                self.web_request(node, web_seed, piece, begin, len)
            }
            Output::Event(event) => self.nodes[node].events.push((self.now, event)),
        }
    }

    /// Keeps what a node says, for tests to judge.
    fn note(&mut self, node: usize, conn: ConnId, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (frame, after) = after.split_at(u32::from_be_bytes(*len) as usize);
            match Message::decode(frame).unwrap() {
                Message::Request(block) => self.nodes[node].asked.push(block),
                message => self.nodes[node].said.push((conn, message)),
            }
            rest = after;
        }
    }

    /// A web seed of 10 MiB/s and 50 ms.
    fn web_request(&mut self, node: usize, web_seed: WebSeedId, piece: u32, begin: u32, len: u32) {
        self.nodes[node].web_requests.push((piece, begin, len));
        let (mut at, mut after) = (begin, Duration::from_millis(50));
        while at < begin + len {
            let block = Block { piece, begin: at, len: (begin + len - at).min(16384) };
            let bad = self.rng.unit() < self.nodes[node].web_lies;
            after += Duration::from_micros(1600);
            self.schedule(after, Happening::Web { node, web_seed, block, bad });
            at += block.len;
        }
        self.schedule(after, Happening::WebDone { node, web_seed });
    }

    fn transmit(&mut self, node: usize, conn: ConnId, bytes: u64, cargo: Cargo) {
        let Some(&(other, other_conn)) = self.nodes[node].conns.get(&conn) else { return };
        let of = &mut self.nodes[node];
        let mut after = Duration::ZERO;
        if let Some(line) = of.line {
            of.line_free = of.line_free.max(self.now) + Duration::from_micros(bytes * 1_000_000 / line);
            after = of.line_free.since(self.now);
        }
        if matches!(cargo, Cargo::Block { .. }) {
            *of.queued.entry(conn).or_default() += bytes;
            self.schedule(after, Happening::Sent { node, conn, bytes });
        }
        let latency = self.latency;
        self.schedule(after + latency, Happening::Arrive { node: other, conn: other_conn, cargo });
    }

    /// Copies of the content that a node sent.
    pub fn copies_sent(&self, node: usize) -> f64 {
        self.nodes[node].swarm.stats().uploaded as f64 / self.info.layout.total_len() as f64
    }
}
