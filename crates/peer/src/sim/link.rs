//! Connections: dialled, accepted, carrying chunks both ways, closed.

use super::events::Event;
use super::node::Node;
use super::{Net, NodeId};
use crate::{PeerChange, Road, RoadKind};
use peerage_base::{ConnId, Duration, Instant};
use peerage_wire::Handshake;
use peerage_wire::frame::{Frame, Splitter};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Bytes of blocks that wait at a node for one connection: what a socket keeps unsent (on Linux,
/// `TCP_NOTSENT_LOWAT`).
const SEND_BUFFER: usize = 64 * 1024;

/// A stream whose next chunk is no longer than this goes before those with longer ones, as sparse
/// flows do where queues are fair (RFC 8290): requests do not wait for everybody's blocks.
const SPARSE: usize = 1500;

/// How long a dial of nobody takes.
const NO_ROUTE: Duration = Duration::from_secs(3);
/// A SYN over uTP that nobody answers comes again (BEP 29: after a second).
const SYN_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(pub(super) usize);

/// One direction of a connection, named by its sender.
#[derive(Debug, Default)]
struct Stream {
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    on_the_way: usize,
    /// In the sender's round of turns.
    in_turn: bool,
    /// What the receiver has not split yet.
    received: Vec<u8>,
    splitter: Splitter,
}

/// A connection. Side 0 dialled.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) nodes: [NodeId; 2],
    pub(super) conns: [Option<ConnId>; 2],
    pub(super) open: [bool; 2],
    pub(super) road: Road,
    latency: Duration,
    streams: [Stream; 2],
}

impl Net {
    /// A node dials an address.
    pub(super) fn dial(&mut self, from: NodeId, conn: ConnId, addr: SocketAddr, road: Road) {
        self.nodes[from.0].dialled.push(addr);
        if road == Road::Utp {
            self.nodes[from.0].holes.insert(addr);
        }
        // Who proves to be somebody else is refused before anything is said.
        let wrong = |to: &NodeId| road.peer().is_some_and(|peer| peer != self.nodes[to.0].key);
        let Some(to) = self.node_at(addr).filter(|to| !wrong(to)) else {
            return self.events.push(self.now + NO_ROUTE, Event::NoRoute(from, conn));
        };
        let latency = self.nodes[from.0].spec.latency + self.nodes[to.0].spec.latency;
        let id = LinkId(self.links.len());
        self.links.push(Link {
            nodes: [from, to],
            conns: [Some(conn), None],
            open: [true, false],
            road,
            latency,
            streams: core::array::from_fn(|_| Stream { splitter: Splitter::new(), ..Stream::default() }),
        });
        self.nodes[from.0].by_conn.insert(conn, (id, 0));
        self.events.push(self.now + latency, Event::Syn(id));
    }

    pub(super) fn on_syn(&mut self, id: LinkId) {
        let link = &self.links[id.0];
        let ([from, to], latency, kind) = (link.nodes, link.latency, link.road.kind());
        let utp = kind == RoadKind::Utp;
        let mut addr = self.nodes[from.0].addr;
        let (dialler, listener) = (&self.nodes[from.0], &self.nodes[to.0]);
        if listener.spec.walled && !(utp && listener.holes.contains(&addr)) {
            // Nothing answers; who dials tries again until it gives up.
            let dials = dialler.by_conn.values().any(|of| *of == (id, 0));
            if utp && dials {
                self.events.push(self.now + SYN_AGAIN, Event::Syn(id));
            }
            return;
        }
        if !utp {
            // As a listener sees it: an ephemeral port.
            addr.set_port(32_768 + (id.0 % 28_000) as u16);
        }
        let road = if utp { RoadKind::Utp } else { RoadKind::Tcp };
        let conn = listener.alive.then(|| self.nodes[to.0].peer.accept_over(self.now, addr, road)).flatten();
        if let Some(conn) = conn {
            let link = &mut self.links[id.0];
            link.conns[1] = Some(conn);
            link.open[1] = true;
            self.nodes[to.0].by_conn.insert(conn, (id, 1));
            self.authenticate(id, 1);
        }
        self.events.push(self.now + latency, Event::SynAck(id, conn.is_some()));
        self.service(to);
    }

    pub(super) fn on_syn_ack(&mut self, id: LinkId, accepted: bool) {
        let Some((node, conn)) = self.conn_of(id, 0) else {
            // The dialler gave up meanwhile.
            return self.events.push(self.now, Event::Fin(id, 1));
        };
        let change = if accepted {
            self.authenticate(id, 0);
            PeerChange::Connected
        } else {
            self.links[id.0].open[0] = false;
            self.nodes[node.0].by_conn.remove(&conn);
            PeerChange::Closed("refused".to_owned())
        };
        self.nodes[node.0].peer.handle_peer(self.now, conn, change);
        self.service(node);
    }

    /// On a road that proves it, a side learns who the other one is.
    fn authenticate(&mut self, id: LinkId, side: usize) {
        let link = &self.links[id.0];
        let (kind, node) = (link.road.kind(), link.nodes[side]);
        let other = self.nodes[link.nodes[1 - side].0].key;
        if let Some(conn) = link.conns[side].filter(|_| matches!(kind, RoadKind::Tls | RoadKind::Quic)) {
            let change = PeerChange::Authenticated(kind, other);
            self.nodes[node.0].peer.handle_peer(self.now, conn, change);
        }
    }

    /// A side closes: what it had not sent is lost, the other side learns of it.
    pub(super) fn hang_up(&mut self, id: LinkId, side: usize) {
        let link = &mut self.links[id.0];
        link.open[side] = false;
        link.streams[side].queue.clear();
        link.streams[side].queued = 0;
        let (node, latency) = (link.nodes[side], link.latency);
        if let Some(conn) = link.conns[side] {
            self.nodes[node.0].by_conn.remove(&conn);
        }
        self.events.push(self.now + latency, Event::Fin(id, 1 - side));
    }

    pub(super) fn on_fin(&mut self, id: LinkId, side: usize) {
        let Some((node, conn)) = self.conn_of(id, side) else { return };
        let link = &mut self.links[id.0];
        link.open[side] = false;
        link.streams[side].queue.clear();
        link.streams[side].queued = 0;
        self.nodes[node.0].by_conn.remove(&conn);
        if self.nodes[node.0].alive {
            self.nodes[node.0].peer.handle_peer(
                self.now,
                conn,
                PeerChange::Closed("closed by the peer".to_owned()),
            );
            self.service(node);
        }
    }

    /// Puts a chunk on a side's stream.
    pub(super) fn send(&mut self, id: LinkId, side: usize, chunk: Vec<u8>) {
        let link = &mut self.links[id.0];
        if !link.open[side] {
            return;
        }
        link.streams[side].queued += chunk.len();
        link.streams[side].queue.push_back(chunk);
        self.take_turn(id, side);
    }

    /// Enters the sender's round of turns when there is something to send and the window allows.
    fn take_turn(&mut self, id: LinkId, side: usize) {
        let link = &mut self.links[id.0];
        let node = link.nodes[side];
        let stream = &mut link.streams[side];
        if stream.in_turn || stream.queue.is_empty() || stream.on_the_way >= self.nodes[node.0].spec.window {
            return;
        }
        stream.in_turn = true;
        let sparse = stream.queue.front().is_some_and(|chunk| chunk.len() <= SPARSE);
        let sender = &mut self.nodes[node.0];
        if sparse {
            sender.sparse_turns.push_back((id, side))
        } else {
            sender.turns.push_back((id, side))
        };
        self.transmit(node);
    }

    /// Lets the uplink send the next chunk, when it is free.
    fn transmit(&mut self, node: NodeId) {
        if self.nodes[node.0].uplink_busy {
            return;
        }
        let next = |node: &mut Node| node.sparse_turns.pop_front().or_else(|| node.turns.pop_front());
        while let Some((id, side)) = next(&mut self.nodes[node.0]) {
            let link = &mut self.links[id.0];
            link.streams[side].in_turn = false;
            let Some(chunk) = link.streams[side].queue.pop_front() else { continue };
            let len = chunk.len();
            link.streams[side].queued -= len;
            link.streams[side].on_the_way += len;
            let sent_at = self.now + time_for(len, self.nodes[node.0].spec.up);
            self.nodes[node.0].uplink_busy = true;
            self.nodes[node.0].bytes_sent += len as u64;
            self.events.push(sent_at, Event::UplinkFree(id, side));
            self.events.push(sent_at + self.links[id.0].latency, Event::Arrive(id, side, chunk));
            return;
        }
    }

    pub(super) fn on_uplink_free(&mut self, id: LinkId, side: usize) {
        let node = self.links[id.0].nodes[side];
        self.nodes[node.0].uplink_busy = false;
        self.take_turn(id, side);
        self.transmit(node);
        if self.nodes[node.0].alive {
            self.tell_room(id, side);
            self.service(node);
        }
    }

    /// Tells a machine how much room its send buffer has.
    fn tell_room(&mut self, id: LinkId, side: usize) {
        let Some((node, conn)) = self.conn_of(id, side) else { return };
        let bytes = SEND_BUFFER.saturating_sub(self.links[id.0].streams[side].queued) as u64;
        self.nodes[node.0].peer.handle_peer(self.now, conn, PeerChange::Writable { bytes });
    }

    pub(super) fn on_arrive(&mut self, id: LinkId, side: usize, chunk: Vec<u8>) {
        let receiver = &mut self.nodes[self.links[id.0].nodes[1 - side].0];
        let at = receiver.downlink_free.max(self.now) + time_for(chunk.len(), receiver.spec.down);
        receiver.downlink_free = at;
        self.events.push(at, Event::Deliver(id, side, chunk));
    }

    pub(super) fn on_ack(&mut self, id: LinkId, side: usize, len: usize) {
        self.links[id.0].streams[side].on_the_way -= len;
        self.take_turn(id, side);
    }

    pub(super) fn on_deliver(&mut self, id: LinkId, side: usize, chunk: &[u8]) {
        self.record([id.0 as u64, side as u64, chunk.len() as u64], chunk);
        self.events.push(self.now + self.links[id.0].latency, Event::Ack(id, side, chunk.len()));
        let Some((node, conn)) = self.conn_of(id, 1 - side) else { return };
        if !self.nodes[node.0].alive {
            return;
        }
        let stream = &mut self.links[id.0].streams[side];
        let mut received = core::mem::take(&mut stream.received);
        received.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let stream = &mut self.links[id.0].streams[side];
            match stream.splitter.next(&received[at..]) {
                Ok(Some((frame, consumed))) => {
                    let data = received[at..at + consumed].to_vec();
                    at += consumed;
                    self.on_frame(id, 1 - side, node, conn, &frame, &data);
                }
                Ok(None) => break,
                Err(error) => {
                    self.nodes[node.0].peer.handle_garbage(self.now, conn, &error.to_string());
                    break;
                }
            }
        }
        received.drain(..at);
        self.links[id.0].streams[side].received = received;
        self.service(node);
    }

    fn on_frame(&mut self, id: LinkId, side: usize, node: NodeId, conn: ConnId, frame: &Frame, data: &[u8]) {
        let now = self.now;
        let receiver = &mut self.nodes[node.0];
        match frame {
            Frame::Handshake(range) => {
                let handshake = Handshake::decode(&data[range.clone()]).expect("the splitter has checked it");
                receiver.peer.handle_handshake(now, conn, handshake);
                self.tell_room(id, side);
            }
            Frame::Message(range) => receiver.peer.handle_frame(now, conn, &data[range.clone()]),
            Frame::Block { block, data: range } => {
                receiver.first_byte_at.get_or_insert(now);
                let verdict = receiver.peer.handle_block(now, conn, *block);
                if let crate::BlockVerdict::Accept(torrent) = verdict {
                    let from = self.links[id.0].nodes[1 - side];
                    self.write(node, from, torrent, *block, &data[range.clone()]);
                }
            }
        }
    }
}

/// How long a line of this rate needs for `len` bytes.
fn time_for(len: usize, rate: Option<u64>) -> Duration {
    match rate {
        Some(rate) => Duration::from_micros((len as u64 * 1_000_000).div_ceil(rate.max(1))),
        None => Duration::ZERO,
    }
}

/// When nothing is due.
pub(super) const NEVER: Instant = Instant::FAR_FUTURE;
