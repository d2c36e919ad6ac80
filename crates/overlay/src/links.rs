//! Neighbours of an unstructured overlay: how many, which, and whether they are still there.
//!
//! **What it is.** A sub-machine of [`crate::flooding`], [`crate::walk`], [`crate::superpeer`] and [`crate::gia`].
//! A node asks addresses that it has heard of to be its neighbours until it has enough, takes others until it has
//! too many, and drops those that fall silent. Its parent hears of each change.
//!
//! **Invariants.**
//! - A neighbour has agreed to be one, from its own address.
//! - There are at most `max` neighbours, and at most [`KNOWN_MAX`] other addresses are remembered.

use crate::search::Outbox;
use peerage_base::addr::Ranges;
use peerage_base::limits::OVERLAY_ADDRS_MAX;
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::overlay::Frame;
use peerage_wire::overlay::link::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Addresses remembered beside the neighbours.
pub const KNOWN_MAX: usize = 128;

/// Addresses to join by that are kept.
const BOOTSTRAP_MAX: usize = 16;

/// Who had no room is not asked again for so many pings.
const REFUSAL_PINGS: u32 = 3;

/// Addresses told to others at once.
const TOLD_MAX: usize = 8;

/// How neighbours are made and kept.
#[derive(Clone, Debug)]
pub struct LinksConfig {
    /// With fewer neighbours, more are looked for.
    pub min: usize,
    /// With as many, nobody else is taken.
    pub max: usize,
    /// Between two rounds in which each neighbour is asked whether it is there (Gnutella programs: 3 to 30 s).
    pub ping: Duration,
    /// A neighbour that says nothing for this time is dropped. Some pings long.
    pub silence: Duration,
    /// Where addresses that others name may be.
    pub ranges: Ranges,
}

impl Default for LinksConfig {
    fn default() -> Self {
        Self {
            min: 4,
            max: 12,
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(25),
            ranges: Ranges::default(),
        }
    }
}

/// A neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// What it says that it can carry, in queries per second.
    pub capacity: u32,
    /// How many neighbours it says that it has.
    pub degree: u16,
    /// Whether it is a superpeer.
    pub superpeer: bool,
    heard: Instant,
}

/// A change among the neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new one.
    Up(SocketAddr),
    /// It is gone.
    Down(SocketAddr),
    /// It is a superpeer now, or no longer.
    Role(SocketAddr),
}

/// Whether somebody who asks becomes a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// If there is room.
    IfRoom,
    /// In the place of this one.
    InsteadOf(SocketAddr),
    /// No.
    Never,
}

/// The neighbours of one node.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    config: LinksConfig,
    own: SocketAddr,
    capacity: u32,
    /// What this node is; parents without superpeers leave it.
    pub(crate) superpeer: bool,
    /// A leaf asks superpeers only.
    pub(crate) leaf: bool,
    neighbours: BTreeMap<SocketAddr, Neighbour>,
    /// Asked, and not answered yet; until when.
    asked: BTreeMap<SocketAddr, Instant>,
    /// Who had no room, and until when it is not asked again.
    refused: BTreeMap<SocketAddr, Instant>,
    known: BTreeSet<SocketAddr>,
    /// Where this node came in: asked when nobody else is known.
    bootstrap: BTreeSet<SocketAddr>,
    ping_at: Instant,
    changes: Vec<Change>,
    rng: Rng,
}

impl Links {
    pub(crate) fn new(config: LinksConfig, own: SocketAddr, capacity: u32, rng: Rng) -> Self {
        Self {
            config,
            own,
            capacity,
            superpeer: false,
            leaf: false,
            neighbours: BTreeMap::new(),
            asked: BTreeMap::new(),
            refused: BTreeMap::new(),
            known: BTreeSet::new(),
            bootstrap: BTreeSet::new(),
            ping_at: Instant::FAR_FUTURE,
            changes: Vec::new(),
            rng,
        }
    }

    pub(crate) fn join(&mut self, now: Instant, via: SocketAddr, out: &mut Outbox) {
        if self.bootstrap.len() < BOOTSTRAP_MAX {
            self.bootstrap.insert(via);
        }
        self.plan(now);
        self.hello(now, via, out);
    }

    /// Makes these neighbours at once: for simulations that begin with a settled network.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        neighbours: impl IntoIterator<Item = (SocketAddr, Neighbour)>,
    ) {
        self.neighbours.extend(neighbours);
        self.neighbours.values_mut().for_each(|neighbour| neighbour.heard = now);
        self.plan(now);
    }

    pub(crate) fn len(&self) -> usize {
        self.neighbours.len()
    }

    pub(crate) fn get(&self, addr: SocketAddr) -> Option<&Neighbour> {
        self.neighbours.get(&addr)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &Neighbour)> + '_ {
        self.neighbours.iter().map(|(addr, neighbour)| (*addr, neighbour))
    }

    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.neighbours.keys().copied().collect()
    }

    pub(crate) fn set_limits(&mut self, min: usize, max: usize) {
        (self.config.min, self.config.max) = (min, max);
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        core::mem::take(&mut self.changes)
    }

    pub(crate) fn next(&self) -> Option<(Instant, &'static str)> {
        (self.ping_at < Instant::FAR_FUTURE).then_some((self.ping_at, "ping"))
    }

    /// A neighbour said something.
    pub(crate) fn heard(&mut self, now: Instant, from: SocketAddr) {
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.heard = now;
        }
    }

    fn plan(&mut self, now: Instant) {
        let ping = self.config.ping.max(Duration::from_millis(10));
        let jitter = Duration::from_micros(self.rng.below(ping.as_micros() as u64 / 2));
        self.ping_at = now + ping * 3 / 4 + jitter;
    }

    fn degree(&self) -> u16 {
        u16::try_from(self.neighbours.len()).unwrap_or(u16::MAX)
    }

    fn hello(&mut self, now: Instant, to: SocketAddr, out: &mut Outbox) {
        let asked = self.asked.contains_key(&to) || self.refused.contains_key(&to);
        if to == self.own || asked || self.neighbours.contains_key(&to) {
            return;
        }
        self.asked.insert(to, now + self.config.ping);
        let (capacity, degree, superpeer) = (self.capacity, self.degree(), self.superpeer);
        out.send(to, &Frame::Link(Message::Hello { capacity, degree, superpeer }));
    }

    /// Some others, for one who looks for neighbours; superpeers first, since a leaf can use nobody else.
    fn others(&mut self, except: SocketAddr) -> Vec<SocketAddr> {
        let (mut supers, mut rest): (Vec<_>, Vec<_>) =
            self.neighbours.iter().filter(|(addr, _)| **addr != except).partition(|(_, one)| one.superpeer);
        self.rng.shuffle(&mut supers);
        self.rng.shuffle(&mut rest);
        let mut told: Vec<SocketAddr> = supers.into_iter().chain(rest).map(|(addr, _)| *addr).collect();
        told.truncate(TOLD_MAX);
        told
    }

    fn learn(&mut self, others: &[SocketAddr]) {
        for addr in others.iter().take(OVERLAY_ADDRS_MAX) {
            let fresh = *addr != self.own && !self.neighbours.contains_key(addr);
            if fresh && self.config.ranges.allow(*addr) {
                self.known.insert(*addr);
            }
        }
        while self.known.len() > KNOWN_MAX {
            // Any of them: whoever tells many addresses must not decide which stay.
            let index = self.rng.index(self.known.len());
            let victim = self.known.iter().nth(index).copied();
            victim.map(|victim| self.known.remove(&victim));
        }
    }

    /// Asks more to be neighbours, while there are too few.
    pub(crate) fn seek(&mut self, now: Instant, out: &mut Outbox) {
        self.asked.retain(|_, until| *until > now);
        self.refused.retain(|_, until| *until > now);
        let missing = self.config.min.saturating_sub(self.neighbours.len() + self.asked.len());
        let mut known: Vec<SocketAddr> =
            self.known.iter().filter(|addr| !self.is_busy(addr)).copied().collect();
        if known.is_empty() {
            known.extend(self.bootstrap.iter().filter(|addr| !self.is_busy(addr)));
        }
        self.rng.shuffle(&mut known);
        for addr in known.into_iter().take(missing) {
            self.hello(now, addr, out);
        }
    }

    /// Whether there is no use in asking an address now.
    fn is_busy(&self, addr: &SocketAddr) -> bool {
        self.neighbours.contains_key(addr) || self.asked.contains_key(addr) || self.refused.contains_key(addr)
    }

    /// A link message arrived. `judge` says whether who asks becomes a neighbour.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: Message,
        out: &mut Outbox,
        judge: impl FnOnce(&Self, &Neighbour) -> Verdict,
    ) {
        self.heard(now, from);
        match message {
            Message::Hello { capacity, degree, superpeer } => {
                let newcomer = Neighbour { capacity, degree, superpeer, heard: now };
                self.on_hello(now, from, newcomer, out, judge);
            }
            Message::Welcome { capacity, degree, superpeer, others } => {
                // Only who was asked can agree.
                if self.asked.remove(&from).is_none() {
                    out.stats.unexpected += 1;
                    return;
                }
                self.learn(&others);
                if self.leaf && !superpeer {
                    out.send(from, &Frame::Link(Message::Bye {}));
                } else {
                    self.up(from, Neighbour { capacity, degree, superpeer, heard: now });
                }
            }
            Message::Full { others } => {
                if self.asked.remove(&from).is_some() {
                    self.known.remove(&from);
                    if self.refused.len() < KNOWN_MAX {
                        self.refused.insert(from, now + self.config.ping * REFUSAL_PINGS);
                    }
                    self.learn(&others);
                    self.seek(now, out);
                }
            }
            Message::Ping { degree, superpeer } => {
                if self.on_state(from, degree, superpeer) {
                    let (degree, superpeer, others) = (self.degree(), self.superpeer, self.others(from));
                    out.send(from, &Frame::Link(Message::Pong { degree, superpeer, others }));
                } else {
                    out.stats.unexpected += 1;
                    // It thinks that we are neighbours: it is told that we are not.
                    out.send(from, &Frame::Link(Message::Bye {}));
                }
            }
            Message::Pong { degree, superpeer, others } => {
                if self.on_state(from, degree, superpeer) {
                    self.learn(&others);
                }
            }
            Message::Bye {} => self.down(from),
        }
    }

    fn on_hello(
        &mut self,
        now: Instant,
        from: SocketAddr,
        newcomer: Neighbour,
        out: &mut Outbox,
        judge: impl FnOnce(&Self, &Neighbour) -> Verdict,
    ) {
        let here = self.neighbours.contains_key(&from) || self.asked.contains_key(&from);
        let room = here || self.neighbours.len() < self.config.max;
        let accepted = match judge(self, &newcomer) {
            Verdict::IfRoom => room,
            Verdict::InsteadOf(other) if !room => {
                self.drop(other, out);
                true
            }
            Verdict::InsteadOf(_) => room,
            Verdict::Never => false,
        };
        let others = self.others(from);
        if accepted {
            let (capacity, degree, superpeer) = (self.capacity, self.degree(), self.superpeer);
            self.asked.remove(&from);
            out.send(from, &Frame::Link(Message::Welcome { capacity, degree, superpeer, others }));
            self.up(from, Neighbour { heard: now, ..newcomer });
        } else {
            out.stats.refused += 1;
            out.send(from, &Frame::Link(Message::Full { others }));
        }
    }

    /// A neighbour told how it is. Whether it is one.
    fn on_state(&mut self, from: SocketAddr, degree: u16, superpeer: bool) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return false };
        neighbour.degree = degree;
        if core::mem::replace(&mut neighbour.superpeer, superpeer) != superpeer {
            self.changes.push(Change::Role(from));
        }
        true
    }

    fn up(&mut self, addr: SocketAddr, neighbour: Neighbour) {
        // An agreement that comes late may find no place.
        if self.neighbours.len() >= self.config.max && !self.neighbours.contains_key(&addr) {
            return;
        }
        if self.ping_at == Instant::FAR_FUTURE {
            // The overlay's first node is no longer alone.
            self.plan(neighbour.heard);
        }
        self.known.insert(addr);
        if self.neighbours.insert(addr, neighbour).is_none() {
            self.changes.push(Change::Up(addr));
        }
    }

    fn down(&mut self, addr: SocketAddr) {
        if self.neighbours.remove(&addr).is_some() {
            self.changes.push(Change::Down(addr));
        }
    }

    /// Parts from a neighbour.
    pub(crate) fn drop(&mut self, addr: SocketAddr, out: &mut Outbox) {
        if self.neighbours.contains_key(&addr) {
            out.send(addr, &Frame::Link(Message::Bye {}));
            self.down(addr);
        }
    }

    /// Drops the silent, asks the others whether they are there, looks for more.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.ping_at > now {
            return;
        }
        self.plan(now);
        let silence = self.config.silence;
        let silent = |one: &&Neighbour| now.since(one.heard) >= silence;
        let gone: Vec<SocketAddr> =
            self.neighbours.iter().filter(|(_, one)| silent(one)).map(|(addr, _)| *addr).collect();
        for addr in gone {
            out.stats.timeouts += 1;
            self.known.remove(&addr);
            self.down(addr);
        }
        let (degree, superpeer) = (self.degree(), self.superpeer);
        for addr in self.addrs() {
            out.send(addr, &Frame::Link(Message::Ping { degree, superpeer }));
        }
        // Who was asked and is silent is forgotten.
        let late: Vec<SocketAddr> =
            self.asked.iter().filter(|(_, until)| **until <= now).map(|(addr, _)| *addr).collect();
        for addr in late {
            self.asked.remove(&addr);
            self.known.remove(&addr);
        }
        self.seek(now, out);
    }
}

impl Neighbour {
    /// A neighbour as it would have introduced itself.
    #[must_use]
    pub fn new(capacity: u32, degree: u16, superpeer: bool) -> Self {
        Self { capacity, degree, superpeer, heard: Instant::ZERO }
    }
}
