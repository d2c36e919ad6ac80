//! A small network in memory: many [`Peer`]s, virtual time, real bytes.
//!
//! **What it is.** A driver of [`Peer`] machines that replaces sockets, disks and trackers. Every
//! handshake, frame and block header is encoded and split again by [`peerage_wire`]; every piece is
//! hashed, so that a lie is found out the way it would be on a real line. It is as pure as the
//! machines: the same seed gives the same [`Net::trace`], in another process too.
//!
//! **The model.** A connection is two streams of chunks. A node's uplink sends one chunk at a time,
//! turn by turn among its connections (so that they share it evenly, small ones first); it travels the
//! link's latency, and passes the receiver's downlink, first come first served. A stream has at most
//! [`NodeSpec::window`] bytes on the way. No loss, no reordering within a stream.
//!
//! **Where to start.** [`Net::new`], [`Content::new`], [`Net::add`], [`Net::share`], [`Net::fetch`],
//! [`Net::run_until`].

mod bug;
mod content;
mod events;
mod link;
mod node;
mod trackers;

pub use bug::Bug;
pub use content::Content;
pub use node::{Behaviour, Lie, NodeSpec, Tamper};

use crate::{Peer, PeerChange};
use events::{Event, Events};
use link::{Link, LinkId};
use node::Node;
use peerage_base::{ConnId, Duration, Instant, PeerId, Rng, TorrentId};
use std::net::SocketAddr;
use trackers::Tracker;

/// The URL of the network's tracker.
pub const TRACKER_URL: &str = "http://tracker.sim/announce";

/// A node of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// How a node learns of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// From a `.torrent` file.
    Torrent,
    /// From a magnet link: the metadata comes from peers.
    Magnet,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    now: Instant,
    rng: Rng,
    events: Events,
    nodes: Vec<Node>,
    links: Vec<Link>,
    tracker: Tracker,
    trace: u64,
    /// Events handled.
    steps: u64,
    /// What is wrong with all disks.
    bug: Option<Bug>,
    /// Jobs that disks have got.
    jobs: u64,
}

impl Net {
    /// An empty network; all chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            rng: Rng::from_number(seed),
            events: Events::default(),
            nodes: Vec::new(),
            links: Vec::new(),
            tracker: Tracker::default(),
            trace: FNV_OFFSET,
            steps: 0,
            bug: None,
            jobs: 0,
        }
    }

    /// From now on all disks have this bug.
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }

    /// Adds a node.
    pub fn add(&mut self, spec: NodeSpec) -> NodeId {
        let id = NodeId(self.nodes.len());
        let node = Node::new(id, spec, &mut self.rng);
        assert!(self.node_at(node.addr).is_none(), "{} is taken", node.addr);
        self.nodes.push(node);
        id
    }

    /// A node begins to offer content that it has whole.
    pub fn share(&mut self, id: NodeId, content: &Content) -> TorrentId {
        self.begin(id, content, 1.0, How::Torrent, &[], false)
    }

    /// A node begins to fetch content, knowing these peers, and the tracker when `tracked`.
    pub fn fetch(
        &mut self,
        id: NodeId,
        content: &Content,
        how: How,
        peers: &[NodeId],
        tracked: bool,
    ) -> TorrentId {
        let peers: Vec<SocketAddr> = peers.iter().map(|peer| self.nodes[peer.0].addr).collect();
        self.begin(id, content, 0.0, how, &peers, tracked)
    }

    /// A node goes on with a download of which it has each piece with this probability.
    pub fn resume_tracked(&mut self, id: NodeId, content: &Content, share: f64) -> TorrentId {
        self.begin(id, content, share, How::Torrent, &[], true)
    }

    /// As [`Self::share`], telling the tracker.
    pub fn share_tracked(&mut self, id: NodeId, content: &Content) -> TorrentId {
        self.begin(id, content, 1.0, How::Torrent, &[], true)
    }

    fn begin(
        &mut self,
        id: NodeId,
        content: &Content,
        share: f64,
        how: How,
        peers: &[SocketAddr],
        tracked: bool,
    ) -> TorrentId {
        let torrent = self.nodes[id.0].begin(self.now, content, share, how, peers, tracked);
        self.service(id);
        torrent
    }

    /// An input of the caller's own to a node's machine: a command, for example.
    pub fn with_peer<T>(&mut self, id: NodeId, act: impl FnOnce(&mut Peer, Instant) -> T) -> T {
        let now = self.now;
        let result = act(&mut self.nodes[id.0].peer, now);
        self.service(id);
        result
    }

    /// A node vanishes: its connections are reset, nothing is said.
    pub fn kill(&mut self, id: NodeId) {
        self.nodes[id.0].alive = false;
        for link in 0..self.links.len() {
            for side in 0..2 {
                if self.links[link].nodes[side] == id && self.links[link].open[side] {
                    self.hang_up(LinkId(link), side);
                }
            }
        }
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Events handled so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A hash over everything that was delivered, when and to whom.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// A node's address.
    #[must_use]
    pub fn addr(&self, id: NodeId) -> SocketAddr {
        self.nodes[id.0].addr
    }

    /// A node's key.
    #[must_use]
    pub fn key(&self, id: NodeId) -> PeerId {
        self.nodes[id.0].key
    }

    /// A node's machine, to look at.
    #[must_use]
    pub fn peer(&self, id: NodeId) -> &Peer {
        &self.nodes[id.0].peer
    }

    /// When a node had its content whole; `None` so far not.
    #[must_use]
    pub fn done_at(&self, id: NodeId) -> Option<Instant> {
        self.nodes[id.0].done_at
    }

    /// Whether what a node has on its disk is the content, byte by byte.
    #[must_use]
    pub fn has_exactly(&self, id: NodeId, content: &Content) -> bool {
        self.nodes[id.0].has_exactly(content)
    }

    /// Payload bytes that a node has put on the wire.
    #[must_use]
    pub fn payload_sent(&self, id: NodeId) -> u64 {
        self.nodes[id.0].payload_sent
    }

    /// How often a piece failed its hash at a node because of a block of `from`.
    #[must_use]
    pub fn spoiled_by(&self, id: NodeId, from: NodeId) -> u64 {
        self.nodes[id.0].spoiled_by.get(&from).copied().unwrap_or(0)
    }

    /// All bytes that a node has put on the wire.
    #[must_use]
    pub fn bytes_sent(&self, id: NodeId) -> u64 {
        self.nodes[id.0].bytes_sent
    }

    /// When a node received its first payload byte.
    #[must_use]
    pub fn first_byte_at(&self, id: NodeId) -> Option<Instant> {
        self.nodes[id.0].first_byte_at
    }

    /// Addresses that a node has banned, in order.
    #[must_use]
    pub fn banned(&self, id: NodeId) -> &[(SocketAddr, String)] {
        &self.nodes[id.0].banned
    }

    /// Addresses that a node has dialled, in order.
    #[must_use]
    pub fn dialled(&self, id: NodeId) -> &[SocketAddr] {
        &self.nodes[id.0].dialled
    }

    /// Why connections were closed by a node, in order, with when and the other end's address.
    #[must_use]
    pub fn closed(&self, id: NodeId) -> &[(Instant, SocketAddr, String)] {
        &self.nodes[id.0].closed
    }

    /// Addresses that were named to a node, in order: by whom, and why they are not dialled.
    #[must_use]
    pub fn found(&self, id: NodeId) -> &[(SocketAddr, crate::Source, Option<crate::Refusal>)] {
        &self.nodes[id.0].found
    }

    /// Announces that reached the tracker.
    #[must_use]
    pub fn announces(&self) -> &[(Instant, SocketAddr, crate::AnnounceRequest)] {
        &self.tracker.log
    }

    /// Runs until `done` holds or `limit` has passed; tells whether `done` held.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            match self.events.pop_until(end) {
                Some((at, event)) => {
                    self.now = at;
                    self.handle(event);
                }
                None => {
                    self.now = end;
                    return done(self);
                }
            }
        }
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until all of `nodes` have their content, or `limit` has passed.
    pub fn run_until_done(&mut self, limit: Duration, nodes: &[NodeId]) -> bool {
        self.run_until(limit, |net| nodes.iter().all(|id| net.done_at(*id).is_some()))
    }

    fn handle(&mut self, event: Event) {
        self.steps += 1;
        match event {
            Event::Wake(id) => self.wake(id),
            Event::UplinkFree(link, side) => self.on_uplink_free(link, side),
            Event::Arrive(link, side, bytes) => self.on_arrive(link, side, bytes),
            Event::Deliver(link, side, bytes) => self.on_deliver(link, side, &bytes),
            Event::Ack(link, side, len) => self.on_ack(link, side, len),
            Event::Syn(link) => self.on_syn(link),
            Event::SynAck(link, accepted) => self.on_syn_ack(link, accepted),
            Event::Fin(link, side) => self.on_fin(link, side),
            Event::NoRoute(id, conn) => {
                let now = self.now;
                self.nodes[id.0].peer.handle_peer(now, conn, PeerChange::Closed("no route".to_owned()));
                self.service(id);
            }
            Event::Stored(id, torrent, result) => {
                let now = self.now;
                self.nodes[id.0].peer.handle_store(now, torrent, result);
                self.service(id);
            }
            Event::Announced(id, torrent, tracker, result) => {
                let now = self.now;
                self.nodes[id.0].peer.handle_tracker(now, torrent, tracker, result);
                self.service(id);
            }
        }
    }

    fn wake(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        if node.wake_at.is_some_and(|at| at <= self.now) {
            node.wake_at = None;
            node.peer.handle_timeout(self.now);
            self.service(id);
        }
    }

    fn node_at(&self, addr: SocketAddr) -> Option<NodeId> {
        self.nodes.iter().find(|node| node.alive && node.addr == addr).map(|node| node.id)
    }

    /// Mixes something that happened into the trace.
    fn record(&mut self, numbers: [u64; 3], bytes: &[u8]) {
        let mut hash = self.trace;
        let numbers = numbers.into_iter().chain([self.now.as_micros()]);
        for byte in numbers.flat_map(u64::to_le_bytes).chain(bytes.iter().copied()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.trace = hash;
    }

    fn conn_of(&self, link: LinkId, side: usize) -> Option<(NodeId, ConnId)> {
        let link = &self.links[link.0];
        link.open[side].then_some((link.nodes[side], link.conns[side]?))
    }
}

// FNV-1a, 64 bits: a plain mixing function for the trace, not for security.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
