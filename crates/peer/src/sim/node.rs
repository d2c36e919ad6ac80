//! A node: its machine, its disk, its lines, and how it behaves.

use super::bug::{self, Bug};
use super::content::Content;
use super::events::Event;
use super::link::{LinkId, NEVER};
use super::{How, Net, NodeId, TRACKER_URL};
use crate::{Config, Local, Output, Peer, Refusal, Source, StoreEvent, TorrentParams};
use peerage_base::{ConnId, Duration, Instant, PeerId, Rng, TorrentId};
use peerage_content::{Hashes, Info, PieceHasher, merkle};
use peerage_swarm::{Bitfield, Block, Message};
use peerage_wire::frame::{Frame, Splitter};
use peerage_wire::message::piece_header;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// How long the tracker takes to answer.
const TRACKER_TIME: Duration = Duration::from_millis(50);

/// How long the disk takes for a job.
const DISK_TIME: Duration = Duration::from_micros(200);

/// Changes an outgoing message, or holds it back.
pub type Tamper = fn(&mut Rng, Message) -> Option<Message>;

/// Which blocks a node falsifies when it sends them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Lie {
    /// None.
    #[default]
    Never,
    /// Each with this probability.
    Sometimes(f64),
    /// The last one of each piece.
    LastBlock,
}

/// How a node departs from the protocol. [`Default`] is honest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// Falsified blocks.
    pub lie: Lie,
    /// The probability that it hangs up after a block.
    pub hang_up: f64,
    /// What it does to its other messages.
    pub tamper: Option<Tamper>,
}

/// A node to be.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Bytes per second that it can send; `None`: any.
    pub up: Option<u64>,
    /// Bytes per second that it can receive; `None`: any.
    pub down: Option<u64>,
    /// Its part of a link's latency, one way.
    pub latency: Duration,
    /// Bytes on the way per connection and direction (as TCP's window).
    pub window: usize,
    /// Where it is; `None`: a global address of its own.
    pub addr: Option<SocketAddr>,
    /// Behind a NAT or a firewall: nothing comes in but over uTP, from where it has dialled itself.
    pub walled: bool,
    /// Settings of its machine.
    pub config: Config,
    /// Settings of its torrents' machines.
    pub swarm: peerage_swarm::Config,
    /// How it behaves.
    pub behaviour: Behaviour,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self {
            up: None,
            down: None,
            latency: Duration::from_millis(10),
            window: 256 * 1024,
            addr: None,
            walled: false,
            config: Config::default(),
            swarm: peerage_swarm::Config::default(),
            behaviour: Behaviour::default(),
        }
    }
}

impl NodeSpec {
    /// A node with lines of these rates, in bytes per second.
    #[must_use]
    pub fn with_rates(up: u64, down: u64) -> Self {
        Self { up: Some(up), down: Some(down), ..Self::default() }
    }
}

/// What a node has of a torrent.
#[derive(Debug)]
struct Disk {
    hashes: Option<Hashes>,
    bytes: Arc<Vec<u8>>,
    /// What it should have in the end.
    truth: Arc<Vec<u8>>,
    /// Falsified blocks on it: by piece and begin, who sent them.
    wrong: BTreeMap<(u32, u32), NodeId>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) spec: NodeSpec,
    pub(super) addr: SocketAddr,
    pub(super) key: PeerId,
    pub(super) alive: bool,
    pub(super) peer: Peer,
    rng: Rng,
    disks: BTreeMap<TorrentId, Disk>,
    pub(super) by_conn: BTreeMap<ConnId, (LinkId, usize)>,
    pub(super) wake_at: Option<Instant>,
    /// Streams that have something to send, those with small chunks apart.
    pub(super) turns: VecDeque<(LinkId, usize)>,
    pub(super) sparse_turns: VecDeque<(LinkId, usize)>,
    pub(super) uplink_busy: bool,
    pub(super) downlink_free: Instant,
    pub(super) payload_sent: u64,
    /// Pieces that failed their hash because of a block of this sender.
    pub(super) spoiled_by: BTreeMap<NodeId, u64>,
    pub(super) bytes_sent: u64,
    pub(super) first_byte_at: Option<Instant>,
    pub(super) done_at: Option<Instant>,
    pub(super) banned: Vec<(SocketAddr, String)>,
    pub(super) dialled: Vec<SocketAddr>,
    /// Where it has dialled over uTP: from there a wall lets in.
    pub(super) holes: BTreeSet<SocketAddr>,
    pub(super) closed: Vec<(Instant, SocketAddr, String)>,
    pub(super) found: Vec<(SocketAddr, Source, Option<Refusal>)>,
}

impl Node {
    pub(super) fn new(id: NodeId, spec: NodeSpec, rng: &mut Rng) -> Self {
        let [_, a, b, c] = (id.0 as u32 + 1).to_be_bytes();
        let addr = spec.addr.unwrap_or_else(|| SocketAddr::from(([11, a, b, c], 6881)));
        let mut rng = rng.fork();
        let mut peer_id = *b"-SM0000-????????????";
        rng.fill(&mut peer_id[8..]);
        let mut key = PeerId([0; 32]);
        rng.fill(&mut key.0);
        let local = Local { peer_id, listen_port: addr.port(), key: Some(key), addresses: vec![addr.ip()] };
        let peer = Peer::new(spec.config.clone(), local, rng.fork());
        Self {
            id,
            spec,
            addr,
            key,
            alive: true,
            peer,
            rng,
            disks: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            wake_at: None,
            turns: VecDeque::new(),
            sparse_turns: VecDeque::new(),
            uplink_busy: false,
            downlink_free: Instant::ZERO,
            payload_sent: 0,
            spoiled_by: BTreeMap::new(),
            bytes_sent: 0,
            first_byte_at: None,
            done_at: None,
            banned: Vec::new(),
            dialled: Vec::new(),
            holes: BTreeSet::new(),
            closed: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Takes part in a torrent, having each piece with the probability `share` already.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        content: &Content,
        share: f64,
        how: How,
        peers: &[SocketAddr],
        tracked: bool,
    ) -> TorrentId {
        let info = content.hashes.info();
        let (have, bytes) = self.start(content, share);
        let mut params = TorrentParams::new(info.hashes);
        params.config = self.spec.swarm.clone();
        params.peers = peers.to_vec();
        params.private = info.private;
        if tracked {
            params.trackers = vec![vec![TRACKER_URL.to_owned()]];
        }
        let hashes = (how != How::Magnet).then(|| content.hashes.clone());
        params.content = hashes.clone().map(|hashes| crate::Content { hashes, have, priorities: Vec::new() });
        let torrent = self.peer.add_torrent(now, params).expect("a torrent once per node");
        self.disks
            .insert(torrent, Disk { hashes, bytes, truth: content.bytes.clone(), wrong: BTreeMap::new() });
        torrent
    }

    /// The pieces and the bytes that a node begins with.
    fn start(&mut self, content: &Content, share: f64) -> (Bitfield, Arc<Vec<u8>>) {
        let layout = &content.hashes.info().layout;
        if share >= 1.0 {
            return (Bitfield::full(layout.pieces()), content.bytes.clone());
        }
        let (mut have, mut bytes) = (Bitfield::new(layout.pieces()), vec![0; content.bytes.len()]);
        for piece in (0..layout.pieces()).filter(|_| share > 0.0) {
            if self.rng.unit() < share {
                have.set(piece);
                let begin = layout.piece_offset(piece) as usize;
                let range = begin..begin + layout.piece_len(piece) as usize;
                bytes[range.clone()].copy_from_slice(&content.bytes[range]);
            }
        }
        (have, Arc::new(bytes))
    }

    pub(super) fn has_exactly(&self, content: &Content) -> bool {
        let names = |disk: &&Disk| {
            disk.hashes.as_ref().is_some_and(|hashes| hashes.info().hashes == content.hashes.info().hashes)
        };
        self.disks.values().find(names).is_some_and(|disk| disk.bytes == content.bytes)
    }

    /// The metadata came from peers.
    fn on_metadata(&mut self, now: Instant, torrent: TorrentId, info: &[u8]) {
        let info = Info::parse(info).expect("metadata that fits its hash, of a sane torrent");
        let have = Bitfield::new(info.layout.pieces());
        let hashes = Hashes::new(Arc::new(info));
        if let Some(disk) = self.disks.get_mut(&torrent) {
            disk.hashes = Some(hashes.clone());
        }
        self.peer.set_content(now, torrent, crate::Content { hashes, have, priorities: Vec::new() });
    }

    fn on_piece_layer(&mut self, torrent: TorrentId, root: [u8; 32], layer: &[[u8; 32]]) {
        let Some(hashes) = self.disks.get_mut(&torrent).and_then(|disk| disk.hashes.as_mut()) else { return };
        let files: Vec<usize> = hashes.missing_layers().collect();
        for file in files {
            if hashes.info().layout.files()[file].root == Some(root) {
                hashes.set_layer(file, layer).expect("a layer that the machine has checked");
            }
        }
    }

    /// The bytes of a block, as this node sends them.
    fn block(&mut self, torrent: TorrentId, block: Block) -> Vec<u8> {
        let disk = &self.disks[&torrent];
        let layout = &disk.hashes.as_ref().expect("content is known").info().layout;
        let begin = (layout.piece_offset(block.piece) + u64::from(block.begin)) as usize;
        let last = block.begin + block.len >= layout.data_len(block.piece);
        let mut bytes = piece_header(block).to_vec();
        bytes.extend_from_slice(&disk.bytes[begin..begin + block.len as usize]);
        let lies = match self.spec.behaviour.lie {
            Lie::Never => false,
            Lie::Sometimes(chance) => self.rng.unit() < chance,
            Lie::LastBlock => last,
        };
        if lies {
            let at = bytes.len() - 1 - self.rng.index(block.len as usize);
            bytes[at] ^= 1 << self.rng.below(8);
        }
        self.payload_sent += u64::from(block.len);
        bytes
    }

    fn verify(&mut self, torrent: TorrentId, piece: u32, digests: bool) -> StoreEvent {
        let disk = &self.disks[&torrent];
        let hashes = disk.hashes.as_ref().expect("content is known");
        let layout = &hashes.info().layout;
        let begin = layout.piece_offset(piece) as usize;
        let bytes = &disk.bytes[begin..begin + layout.data_len(piece) as usize];
        let check = hashes.check(piece).expect("the machine verifies pieces whose hash is known");
        let mut hasher = PieceHasher::new(check, layout.piece_len(piece), layout.data_len(piece));
        assert!(hasher.add(0, bytes));
        let ok = hasher.finish().expect("all bytes were given");
        let spoilers: BTreeSet<NodeId> =
            disk.wrong.range((piece, 0)..(piece + 1, 0)).map(|(_, node)| *node).collect();
        assert_eq!(ok, spoilers.is_empty(), "piece {piece}");
        for spoiler in spoilers {
            *self.spoiled_by.entry(spoiler).or_default() += 1;
        }
        let digest = |block: u32| {
            let block = layout.block(piece, block);
            merkle::leaf(&bytes[block.begin as usize..][..block.len as usize])
        };
        let digests = digests.then(|| (0..layout.blocks(piece)).map(digest).collect());
        StoreEvent::Verified { piece, ok, digests }
    }

    /// Applies the node's tampering to whole frames (or a handshake).
    fn tampered(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(tamper) = self.spec.behaviour.tamper else { return bytes };
        if bytes.starts_with(peerage_wire::handshake::PROTOCOL) {
            return bytes;
        }
        let (mut splitter, mut rest, mut out) = (Splitter::past_handshake(), &bytes[..], Vec::new());
        while let Ok(Some((frame, consumed))) = splitter.next(rest) {
            if let Frame::Message(range) = frame {
                let message = Message::decode(&rest[range]).expect("our own frame");
                if let Some(message) = tamper(&mut self.rng, message) {
                    message.encode(&mut out);
                }
            }
            rest = &rest[consumed..];
        }
        out
    }
}

impl Net {
    /// The shared drain: pump, then outputs to `None`, then the next deadline.
    pub(super) fn service(&mut self, id: NodeId) {
        if !self.nodes[id.0].alive {
            return;
        }
        self.nodes[id.0].peer.pump(self.now);
        while let Some(output) = self.nodes[id.0].peer.poll_output() {
            self.on_output(id, output);
        }
        let node = &mut self.nodes[id.0];
        let Some((at, _)) = node.peer.poll_timeout() else { return };
        // Time passes between two calls for one deadline, also where a machine is in a hurry.
        let at = at.max(self.now + Duration::from_micros(1));
        if at < node.wake_at.unwrap_or(NEVER) {
            node.wake_at = Some(at);
            self.events.push(at, Event::Wake(id));
        }
    }

    fn on_output(&mut self, id: NodeId, output: Output) {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        match output {
            Output::Dial { conn, addr, road, .. } => self.dial(id, conn, addr, road),
            Output::Send { conn, bytes } => {
                let bytes = node.tampered(bytes);
                if let Some((link, side)) = node.by_conn.get(&conn).copied() {
                    self.send(link, side, bytes);
                }
            }
            Output::SendBlock { conn, torrent, block } => {
                let Some((link, side)) = node.by_conn.get(&conn).copied() else { return };
                let bytes = node.block(torrent, block);
                let hangs_up =
                    node.spec.behaviour.hang_up > 0.0 && node.rng.unit() < node.spec.behaviour.hang_up;
                self.send(link, side, bytes);
                if hangs_up {
                    self.hang_up(link, side);
                    let gone = crate::PeerChange::Closed("it hung up".to_owned());
                    self.nodes[id.0].peer.handle_peer(now, conn, gone);
                }
            }
            Output::Disconnect { conn, reason } => {
                let Some((link, side)) = node.by_conn.get(&conn).copied() else { return };
                let addr = self.nodes[self.links[link.0].nodes[1 - side].0].addr;
                self.nodes[id.0].closed.push((now, addr, reason.to_string()));
                self.hang_up(link, side);
            }
            Output::Verify { torrent, piece, digests } => {
                let mut result = node.verify(torrent, piece, digests);
                self.jobs += 1;
                match self.bug {
                    Some(Bug::LostJobs) if self.jobs.is_multiple_of(bug::RARE) => return,
                    Some(Bug::UncheckedPieces) => {
                        result = StoreEvent::Verified { piece, ok: true, digests: None };
                    }
                    _ => {}
                }
                self.events.push(now + DISK_TIME, Event::Stored(id, torrent, result));
            }
            Output::Announce { torrent, tracker, request, .. } => {
                let addr = node.addr;
                let reply = self.tracker.announce(now, addr, &request, &mut self.rng);
                self.events.push(now + TRACKER_TIME, Event::Announced(id, torrent, tracker, Ok(reply)));
            }
            Output::Banned { addr, reason, .. } => node.banned.push((addr, reason)),
            Output::Event { torrent, event } => match event {
                peerage_swarm::Event::Metadata { info } => node.on_metadata(now, torrent, &info),
                peerage_swarm::Event::PieceLayer { root, layer } => {
                    node.on_piece_layer(torrent, root, &layer)
                }
                peerage_swarm::Event::Done => {
                    node.done_at.get_or_insert(now);
                }
                _ => {}
            },
            Output::Found { addr, source, refused, .. } => node.found.push((addr, source, refused)),
            Output::WebRequest { .. }
            | Output::TrackerStatus { .. }
            | Output::Greeted { .. }
            | Output::Search { .. }
            | Output::AnnounceLan { .. }
            | Output::DhtNode { .. } => {}
        }
    }

    /// Writes an accepted block.
    pub(super) fn write(&mut self, id: NodeId, from: NodeId, torrent: TorrentId, block: Block, data: &[u8]) {
        let node = &mut self.nodes[id.0];
        let disk = node.disks.get_mut(&torrent).expect("a torrent of the node");
        let layout = &disk.hashes.as_ref().expect("content is known").info().layout;
        let begin = (layout.piece_offset(block.piece) + u64::from(block.begin)) as usize;
        if disk.truth[begin..begin + data.len()] == *data {
            disk.wrong.remove(&(block.piece, block.begin));
        } else {
            disk.wrong.insert((block.piece, block.begin), from);
        }
        let bytes = Arc::make_mut(&mut disk.bytes);
        bytes[begin..begin + data.len()].copy_from_slice(data);
        self.jobs += 1;
        if self.bug == Some(Bug::RottenDisk) && self.jobs.is_multiple_of(bug::RARE) {
            bytes[begin] ^= 1;
            disk.wrong.insert((block.piece, block.begin), id);
        }
        let Block { piece, begin, len } = block;
        let written = StoreEvent::Written { piece, begin, len };
        self.events.push(self.now + DISK_TIME, Event::Stored(id, torrent, written));
    }
}
