//! The engine: events in virtual time, and what happens to datagrams between nodes.

mod context;
mod faults;

pub use context::{Context, Outcome};

use crate::latency::Latency;
use crate::link::{Fate, Links};
use crate::nat::Nats;
use crate::protocol::Protocol;
use crate::scenario::{Churn, Fault};
use crate::trace::Trace;
use crate::wheel::Wheel;
use crate::workload::{Objects, WorkloadConfig};
use crate::{NodeId, ObjectId, SearchId};
use faults::Faults;
use peerage_base::{Duration, Instant, Rng};
use serde::Serialize;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It follows the protocol.
    Honest,
    /// It never says anything.
    Silent,
    /// It lies.
    Liar,
}

/// Messages of searches that are kept, to be played back, and of how many searches.
const STEPS_MAX: usize = 20_000;
/// See [`STEPS_MAX`].
pub const PLAYED_MAX: usize = 12;

/// Nodes of a network whose messages are kept.
pub const DRAWN_MAX: usize = 2_000;

/// Nodes through which a node joins.
const KNOWN: usize = 3;

#[derive(Debug)]
enum Event {
    Deliver { from: NodeId, to: NodeId, frame: Vec<u8> },
    Wake(NodeId),
    Join(NodeId),
    Leave(NodeId),
    Search,
    Fault { index: u32, begins: bool },
}

/// What became of datagrams and timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Events handled: datagrams, timers, and what the scenario does.
    pub events: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datagrams that reached a node which is there.
    pub delivered: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Dropped by a full line.
    pub overflowed: u64,
    /// Kept out by a NAT.
    pub filtered: u64,
    /// Sent across a partition.
    pub cut: u64,
    /// Reached nobody: the node is not there.
    pub nobody: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Nodes that came.
    pub joined: u64,
    /// Nodes that went.
    pub left: u64,
}

/// A search and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Who searches.
    pub node: NodeId,
    /// For what.
    pub object: ObjectId,
    /// Since when.
    pub began: Instant,
    /// When it ended, if it did.
    pub ended: Option<Instant>,
    /// Whether what it found is right.
    pub success: bool,
    /// Steps from the searching node to the one that had the result.
    pub hops: u32,
    /// Datagrams sent for it.
    pub messages: u32,
    /// Their bytes.
    pub bytes: u32,
}

/// A message of a search, to be played back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// Of which search.
    pub search: u32,
    /// When it left, in microseconds after the search began.
    pub left_us: u64,
    /// When it arrived; `None` where it never did.
    pub came_us: Option<u64>,
    /// From whom.
    pub from: u32,
    /// To whom.
    pub to: u32,
}

/// Everything but the nodes themselves.
#[derive(Debug)]
pub struct World {
    pub(crate) now: Instant,
    wheel: Wheel<Event>,
    pub(crate) rng: Rng,
    latency: Latency,
    links: Links,
    nats: Nats,
    faults: Faults,
    pub(crate) online: Vec<bool>,
    pub(crate) roles: Vec<Role>,
    pub(crate) liars: Vec<NodeId>,
    /// When each node is woken next, in microseconds.
    wake: Vec<u64>,
    /// Datagrams that each node got.
    pub(crate) received: Vec<u32>,
    pub(crate) trace: Trace,
    pub(crate) counters: Counters,
    pub(crate) searches: Vec<Search>,
    pub(crate) open_searches: usize,
    pub(crate) steps: Vec<Step>,
    /// Buffers of frames that were read, to be used again.
    spare: Vec<Vec<u8>>,
    churn: Option<Churn>,
    workload: WorkloadConfig,
    pub(crate) objects: Objects,
}

/// What a [`Sim`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// All chance.
    pub rng: Rng,
    /// Ways.
    pub latency: Latency,
    /// Links.
    pub links: Links,
    /// NATs.
    pub nats: Nats,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Who is honest.
    pub roles: Vec<Role>,
    /// Coming and going.
    pub churn: Option<Churn>,
    /// Searches.
    pub workload: WorkloadConfig,
}

/// A simulated network.
pub struct Sim<P: Protocol> {
    /// The protocol.
    pub protocol: P,
    /// Its nodes.
    pub nodes: Vec<P::Node>,
    /// All else.
    pub world: World,
}

impl<P: Protocol> Sim<P> {
    /// A network of nodes that are away and know nobody.
    pub fn new(mut protocol: P, parts: Parts) -> Self {
        let Parts { mut rng, latency, links, nats, faults, roles, churn, workload } = parts;
        let count = roles.len();
        let nodes = (0..count).map(|index| protocol.node(NodeId(index as u32), &mut rng)).collect();
        let liars = (0..count)
            .filter(|index| roles[*index] == Role::Liar)
            .map(|index| NodeId(index as u32))
            .collect();
        let world = World {
            now: Instant::ZERO,
            wheel: Wheel::default(),
            faults: Faults::new(faults, count, &mut rng),
            rng,
            latency,
            links,
            nats,
            online: vec![false; count],
            liars,
            roles,
            wake: vec![u64::MAX; count],
            received: vec![0; count],
            trace: Trace::default(),
            counters: Counters::default(),
            searches: Vec::with_capacity(workload.searches),
            open_searches: 0,
            steps: Vec::new(),
            spare: Vec::new(),
            objects: Objects::new(&workload, count),
            churn,
            workload,
        };
        Self { protocol, nodes, world }
    }

    /// The network stands at once: all nodes that a moment of churn would show are there, with full tables.
    /// `false` where the protocol cannot do that.
    pub fn build(&mut self) -> bool {
        let world = &mut self.world;
        let up = world.share_online();
        for online in &mut world.online {
            *online = up >= 1.0 || world.rng.unit() < up;
        }
        if !self.protocol.fill(&mut self.nodes, &world.online, &mut world.rng) {
            world.online.fill(false);
            return false;
        }
        for index in 0..self.nodes.len() {
            let id = NodeId(index as u32);
            self.world.schedule_session(id, true);
            self.settle(id);
        }
        true
    }

    /// Nodes join one after the other within this time, in random order.
    pub fn join_all(&mut self, within: Duration) {
        let world = &mut self.world;
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        world.rng.shuffle(&mut order);
        let step = within.as_micros() as u64 / order.len().max(1) as u64;
        for (at, index) in order.into_iter().enumerate() {
            world.wheel.push(at as u64 * step, Event::Join(NodeId(index)));
        }
    }

    /// Objects are where the protocol would have them, and searches and faults begin from here on.
    pub fn begin_workload(&mut self) {
        let world = &mut self.world;
        if !world.objects.is_empty() {
            self.protocol.place(&mut self.nodes, &world.objects, &world.online, &mut world.rng);
        }
        let now = world.now.as_micros();
        for (index, at, begins) in world.faults.schedule() {
            world.wheel.push(now + at, Event::Fault { index, begins });
        }
        let mut at = now + (world.workload.start_s * 1e6) as u64;
        let gap_us = world.workload.over_s * 1e6 / world.workload.searches.max(1) as f64;
        for _ in 0..world.workload.searches {
            at += (-(1.0 - world.rng.unit()).ln() * gap_us) as u64;
            world.wheel.push(at, Event::Search);
        }
    }

    /// Handles the next event, where it is not later than `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        let Some((at, event)) = self.world.wheel.pop_until(end.as_micros()) else {
            self.world.now = self.world.now.max(end);
            return false;
        };
        self.world.now = Instant::from_micros(at);
        self.world.counters.events += 1;
        self.world.trace.number(at);
        match event {
            Event::Deliver { from, to, frame } => self.deliver(from, to, frame),
            Event::Wake(node) => self.wake(node, at),
            Event::Join(node) => self.join(node),
            Event::Leave(node) => self.world.leave(node, true),
            Event::Search => self.search(),
            Event::Fault { index, begins } => self.fault(index as usize, begins),
        }
        true
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, frame: Vec<u8>) {
        let world = &mut self.world;
        world.trace.number(u64::from(from.0) << 32 | u64::from(to.0));
        world.trace.bytes(&frame);
        if !world.online[to.index()] {
            world.counters.nobody += 1;
        } else if world.nats.is_active() && !world.nats.admits(world.now, from.index(), to.index()) {
            world.counters.filtered += 1;
        } else {
            world.counters.delivered += 1;
            world.received[to.index()] += 1;
            let role = world.roles[to.index()];
            let node = &mut self.nodes[to.index()];
            let mut cx = Context::new(world, to);
            match role {
                Role::Honest => self.protocol.handle_message(node, &mut cx, from, &frame),
                Role::Liar => self.protocol.lie(node, &mut cx, from, &frame),
                Role::Silent => {}
            }
            self.settle(to);
        }
        self.world.recycle(frame);
    }

    fn wake(&mut self, id: NodeId, at: u64) {
        let world = &mut self.world;
        if world.wake[id.index()] != at || !world.online[id.index()] {
            return;
        }
        world.wake[id.index()] = u64::MAX;
        world.trace.number(u64::from(id.0));
        if world.roles[id.index()] == Role::Honest {
            world.counters.timers += 1;
            let mut cx = Context::new(world, id);
            self.protocol.handle_timeout(&mut self.nodes[id.index()], &mut cx);
            self.settle(id);
        }
    }

    /// The drain's end: when the node wants to be woken.
    fn settle(&mut self, id: NodeId) {
        let Some(at) = self.protocol.poll_timeout(&self.nodes[id.index()]) else { return };
        let at = at.max(self.world.now).as_micros();
        let wake = &mut self.world.wake[id.index()];
        if at < *wake {
            *wake = at;
            self.world.wheel.push(at, Event::Wake(id));
        }
    }

    fn join(&mut self, id: NodeId) {
        let world = &mut self.world;
        if world.online[id.index()] {
            return;
        }
        let known: Vec<NodeId> = (0..KNOWN).filter_map(|_| world.random_honest()).collect();
        world.online[id.index()] = true;
        world.counters.joined += 1;
        world.trace.number(u64::from(id.0) | 1 << 40);
        world.schedule_session(id, false);
        let mut cx = Context::new(world, id);
        self.protocol.join(&mut self.nodes[id.index()], &mut cx, &known);
        self.settle(id);
    }

    fn search(&mut self) {
        let world = &mut self.world;
        let Some(node) = world.random_honest() else { return };
        let object = ObjectId(world.objects.draw(&mut world.rng));
        let id = SearchId(world.searches.len() as u32);
        world.trace.number(u64::from(node.0) << 32 | u64::from(object.0));
        let now = world.now;
        let search =
            Search { node, object, began: now, ended: None, success: false, hops: 0, messages: 0, bytes: 0 };
        world.searches.push(search);
        world.open_searches += 1;
        let mut cx = Context::new(world, node);
        self.protocol.search(&mut self.nodes[node.index()], &mut cx, id, object);
        self.settle(node);
    }

    fn fault(&mut self, index: usize, begins: bool) {
        self.world.trace.number(index as u64 | 1 << 41);
        self.world.faults.set(index, begins);
        for node in self.world.faults.crashed(index) {
            if begins {
                self.world.leave(node, false);
            } else {
                self.join(node);
            }
        }
    }
}

impl World {
    /// Searches that the workload has.
    pub(crate) fn workload_searches(&self) -> usize {
        self.workload.searches
    }

    /// The share of nodes that churn has online at a moment.
    fn share_online(&mut self) -> f64 {
        let Some(churn) = &self.churn else { return 1.0 };
        let rng = &mut self.rng;
        let mut sum =
            |times: &crate::churn::Times| -> f64 { (0..4096).map(|_| times.draw(rng).as_secs_f64()).sum() };
        let (up, down) = (sum(&churn.session), sum(&churn.away));
        up / (up + down)
    }

    /// When a node that came goes, or one that is away comes back.
    fn schedule_session(&mut self, id: NodeId, under_way: bool) {
        let Some(churn) = &self.churn else { return };
        let online = self.online[id.index()];
        let times = if online { &churn.session } else { &churn.away };
        let rest = if under_way { times.draw_rest(&mut self.rng) } else { times.draw(&mut self.rng) };
        let event = if online { Event::Leave(id) } else { Event::Join(id) };
        self.wheel.push((self.now + rest).as_micros(), event);
    }

    /// A node is gone without a word.
    fn leave(&mut self, id: NodeId, returns: bool) {
        if !std::mem::replace(&mut self.online[id.index()], false) {
            return;
        }
        self.counters.left += 1;
        self.wake[id.index()] = u64::MAX;
        self.trace.number(u64::from(id.0) | 1 << 42);
        if returns {
            self.schedule_session(id, false);
        }
    }

    /// A node that is there and honest.
    pub(crate) fn random_honest(&mut self) -> Option<NodeId> {
        let fits = |world: &Self, index: usize| world.online[index] && world.roles[index] == Role::Honest;
        for _ in 0..256 {
            let index = self.rng.index(self.online.len());
            if fits(self, index) {
                return Some(NodeId(index as u32));
            }
        }
        // Few are there: the first after a random place.
        let (count, start) = (self.online.len(), self.rng.index(self.online.len()));
        let found = (0..count).map(|step| (start + step) % count).find(|index| fits(self, *index));
        found.map(|index| NodeId(index as u32))
    }

    /// A datagram leaves a node.
    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, frame: Vec<u8>, search: Option<SearchId>) {
        let len = frame.len();
        self.counters.sent += 1;
        self.counters.bytes += len as u64;
        if let Some(record) = search.and_then(|search| self.searches.get_mut(search.0 as usize)) {
            record.messages += 1;
            record.bytes += len as u32;
        }
        if self.nats.is_active() {
            self.nats.sent(self.now, from.index(), to.index());
        }
        let now = self.now.as_micros();
        let arrival = self.arrival(now, from, to, len);
        self.note_step(search, from, to, arrival.map(|(first, _)| first));
        let Some((first, second)) = arrival else {
            self.recycle(frame);
            return;
        };
        if let Some(second) = second {
            self.counters.duplicated += 1;
            let mut copy = self.buffer();
            copy.extend_from_slice(&frame);
            self.wheel.push(second, Event::Deliver { from, to, frame: copy });
        }
        self.wheel.push(first, Event::Deliver { from, to, frame });
    }

    /// When a datagram arrives, and when a copy of it does.
    fn arrival(&mut self, now: u64, from: NodeId, to: NodeId, len: usize) -> Option<(u64, Option<u64>)> {
        if to.index() >= self.online.len() {
            self.counters.nobody += 1;
            return None;
        }
        if self.faults.cuts(from, to) {
            self.counters.cut += 1;
            return None;
        }
        let way = now + self.latency.one_way_us(from.index(), to.index()) + self.faults.delay_us(to);
        match self.links.send(now, from.index(), len, &mut self.rng) {
            Fate::Late(extra) => Some((way + extra, None)),
            Fate::Twice(first, second) => Some((way + first, Some(way + second))),
            Fate::Lost => {
                self.counters.lost += 1;
                None
            }
            Fate::Overflow => {
                self.counters.overflowed += 1;
                None
            }
        }
    }

    fn note_step(&mut self, search: Option<SearchId>, from: NodeId, to: NodeId, came: Option<u64>) {
        let Some(search) = search.filter(|search| (search.0 as usize) < PLAYED_MAX) else { return };
        if self.online.len() > DRAWN_MAX || self.steps.len() >= STEPS_MAX {
            return;
        }
        let Some(record) = self.searches.get(search.0 as usize) else { return };
        let began = record.began.as_micros();
        self.steps.push(Step {
            search: search.0,
            left_us: self.now.as_micros() - began,
            came_us: came.map(|came| came - began),
            from: from.0,
            to: to.0,
        });
    }

    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn recycle(&mut self, mut frame: Vec<u8>) {
        // As many as are on the way at a time in a busy network of a core's cache.
        if self.spare.len() < 4096 {
            frame.clear();
            self.spare.push(frame);
        }
    }
}

#[cfg(test)]
mod tests;
