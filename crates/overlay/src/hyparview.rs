//! HyParView: partial views of a group, which stay connected through mass failure.
//!
//! Leitão, Pereira and Rodrigues, "HyParView: a membership protocol for reliable gossip-based broadcast"
//! (DSN 2007). Each member has a small *active view* of peers that it is connected with, both ways, and a
//! larger *passive view* of spares. Joins and samples go on random walks; a neighbour that fails is replaced
//! by a spare.
//!
//! **Invariants.** We ourselves are in no view, nobody is in both, and both keep to their sizes. A message of
//! one who is no neighbour changes the active view only by `Join` and `Neighbor`, each at most one place, and
//! whoever is put out for it stays known as a spare. Walks are as long as our own configuration says, whatever
//! a message says.
//!
//! Departures from the paper: who has but one neighbour left asks as urgently as who has none (else pairs stay
//! apart until the next sample); `Neighbor` is also how the end of a `ForwardJoin` walk connects, so that views are
//! the same on both sides; a member that nobody is left of asks its spares again every
//! [`Config::shuffle_interval`].

mod views;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use peerage_base::limits::GOSSIP_MEMBERS_MAX;
use peerage_base::{Duration, Instant, PeerId, Rng};
use peerage_wire::gossip::{Member, Membership};
use views::View;

/// Settings. [`Default`] is the paper's, for 10,000 members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Neighbours: fan-out plus 1 (paper, section 4.1 and 5: 5).
    pub active_max: usize,
    /// Spares (paper, section 5: 30).
    pub passive_max: usize,
    /// Steps of a new member's walk (paper: ARWL, 6).
    pub active_walk: u8,
    /// Steps left of it at which the new member becomes a spare too (paper: PRWL, 3).
    pub passive_walk: u8,
    /// Neighbours in a sample (paper: ka, 3).
    pub shuffle_active: usize,
    /// Spares in a sample (paper: kp, 4).
    pub shuffle_passive: usize,
    /// Time between two samples; the paper has a cycle, and no time for it (iroh-gossip: 1 minute).
    pub shuffle_interval: Duration,
    /// How long a spare that is asked for a place may take to answer.
    pub neighbor_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            active_max: 5,
            passive_max: 30,
            active_walk: 6,
            passive_walk: 3,
            shuffle_active: 3,
            shuffle_passive: 4,
            shuffle_interval: Duration::from_secs(60),
            neighbor_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Checks how fields relate to each other.
    ///
    /// # Panics
    /// When a relation does not hold: a bug of the caller.
    pub fn check(&self) {
        assert!(self.active_max >= 1 && self.passive_max >= 1);
        assert!(self.passive_walk <= self.active_walk);
        assert!(1 + self.shuffle_active + self.shuffle_passive <= GOSSIP_MEMBERS_MAX);
        assert!(!self.shuffle_interval.is_zero() && !self.neighbor_timeout.is_zero());
    }
}

/// A change of the road to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// It is lost, or could not be opened. The failure detector of the paper.
    Down,
}

/// What the machine wants, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this; open a road first where there is none. That it fails is [`PeerChange::Down`].
    Send {
        /// To whom.
        to: Member,
        /// What.
        message: Membership,
    },
    /// A new neighbour.
    Up(PeerId),
    /// A neighbour no more; its road may be closed once what is under way is sent.
    Down(PeerId),
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages sent.
    pub sent: u64,
    /// Messages that were out of place, and changed nothing.
    pub ignored: u64,
    /// Neighbours lost by failure.
    pub failed: u64,
    /// Neighbours put out to make room.
    pub evicted: u64,
}

/// One member's part in one group.
#[derive(Debug)]
pub struct HyParView {
    config: Config,
    local: Member,
    rng: Rng,
    active: View,
    passive: View,
    /// Spares that were asked for a place, and until when they may answer.
    asked: BTreeMap<PeerId, Instant>,
    /// What the last sample of ours named: the first to go when its answer needs room.
    sampled: Vec<PeerId>,
    /// An answer to it is welcome.
    awaits_sample: bool,
    shuffle_at: Option<Instant>,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl HyParView {
    /// A member that knows nobody.
    #[must_use]
    pub fn new(config: Config, local: Member, rng: Rng) -> Self {
        config.check();
        Self {
            config,
            local,
            rng,
            active: View::default(),
            passive: View::default(),
            asked: BTreeMap::new(),
            sampled: Vec::new(),
            awaits_sample: false,
            shuffle_at: None,
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Joins the group of which `contact` is a member.
    pub fn join(&mut self, now: Instant, contact: Member) {
        if contact.id == self.local.id {
            return;
        }
        self.begin(now);
        self.send(contact, Membership::Join { addr: self.local.addr });
        self.add_active(contact);
    }

    /// Makes somebody known as a spare: from an earlier run, or another way in.
    pub fn know(&mut self, now: Instant, member: Member) {
        self.begin(now);
        self.add_passive(member);
        self.fill(now);
    }

    /// Our own address became known, or changed.
    pub fn set_addr(&mut self, addr: Option<SocketAddr>) {
        self.local.addr = addr;
    }

    /// Leaves: neighbours are told.
    pub fn leave(&mut self) {
        for member in self.active.iter().collect::<Vec<_>>() {
            self.drop_active(member.id);
            self.send(member, Membership::Disconnect);
        }
        self.asked.clear();
        self.shuffle_at = None;
    }

    /// One message of a peer, whose road has proved who it is. `from.addr`: where it is connected from, if that
    /// is where it can be dialled.
    pub fn handle_message(&mut self, now: Instant, from: Member, message: Membership) {
        if from.id == self.local.id {
            return self.ignore();
        }
        self.begin(now);
        match message {
            Membership::Join { addr } => self.on_join(Member { addr: addr.or(from.addr), ..from }),
            Membership::ForwardJoin { member, ttl } => self.on_forward_join(now, from, member, ttl),
            Membership::Neighbor { urgent, addr } => {
                self.on_neighbor(Member { addr: addr.or(from.addr), ..from }, urgent);
            }
            Membership::NeighborReply { accepted } => self.on_neighbor_reply(now, from, accepted),
            Membership::Disconnect => self.on_disconnect(now, from),
            Membership::Shuffle { origin, ttl, members } => self.on_shuffle(from, origin, ttl, &members),
            Membership::ShuffleReply { members } => {
                if !std::mem::take(&mut self.awaits_sample) {
                    return self.ignore();
                }
                let sampled = std::mem::take(&mut self.sampled);
                self.take_sample(&members, &sampled);
            }
        }
    }

    /// The road to a peer changed.
    pub fn handle_peer(&mut self, now: Instant, peer: PeerId, change: PeerChange) {
        let PeerChange::Down = change;
        self.asked.remove(&peer);
        self.passive.remove(peer);
        if self.drop_active(peer) {
            self.stats.failed += 1;
        }
        self.fill(now);
    }

    /// A deadline passed; early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<PeerId> = self.asked.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in &late {
            self.asked.remove(id);
            self.passive.remove(*id);
        }
        if self.shuffle_at.is_some_and(|at| at <= now) {
            self.shuffle(now);
        }
        if !late.is_empty() || self.active.is_empty() {
            self.fill(now);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let asked = self.asked.values().min().map(|at| (*at, "neighbor"));
        let shuffle = self.shuffle_at.map(|at| (at, "shuffle"));
        [asked, shuffle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The neighbours.
    pub fn active_view(&self) -> impl Iterator<Item = Member> {
        self.active.iter()
    }

    /// The spares.
    pub fn passive_view(&self) -> impl Iterator<Item = Member> {
        self.passive.iter()
    }

    /// Whether somebody is a neighbour.
    #[must_use]
    pub fn is_neighbor(&self, peer: PeerId) -> bool {
        self.active.contains(peer)
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn on_join(&mut self, from: Member) {
        if self.active.contains(from.id) {
            return self.ignore();
        }
        let ttl = self.config.active_walk;
        let others: Vec<Member> = self.active.iter().collect();
        self.add_active(from);
        for neighbor in others {
            // But for the one that has just made room.
            if self.active.contains(neighbor.id) {
                self.send(neighbor, Membership::ForwardJoin { member: from, ttl });
            }
        }
    }

    fn on_forward_join(&mut self, now: Instant, from: Member, member: Member, ttl: u8) {
        if !self.active.contains(from.id) || member.id == from.id {
            return self.ignore();
        }
        let ttl = ttl.min(self.config.active_walk);
        let known = member.id == self.local.id || self.active.contains(member.id);
        if !known && (ttl == 0 || self.active.len() == 1) {
            // The other end takes it as asked for by the walk: as the paper's insertion into the active view is.
            self.add_passive(member);
            return self.ask(now, member, true);
        }
        if !known && ttl == self.config.passive_walk {
            self.add_passive(member);
        }
        // A walk that comes upon one who is known ends where it may not go on.
        if let Some(next) = self.active.choose(&mut self.rng, &[from.id, member.id]).filter(|_| ttl > 0) {
            self.send(next, Membership::ForwardJoin { member, ttl: ttl - 1 });
        }
    }

    fn on_neighbor(&mut self, from: Member, urgent: bool) {
        // Both asked each other: this is the answer too.
        let accepted = urgent || self.active.contains(from.id) || self.active.len() < self.config.active_max;
        if accepted {
            self.asked.remove(&from.id);
            self.add_active(from);
        } else {
            self.add_passive(from);
        }
        self.send(from, Membership::NeighborReply { accepted });
    }

    fn on_neighbor_reply(&mut self, now: Instant, from: Member, accepted: bool) {
        if self.asked.remove(&from.id).is_none() {
            // Too late: it took us in, and we would not take it for a neighbour.
            if accepted && !self.active.contains(from.id) {
                self.send(from, Membership::Disconnect);
            }
            return self.ignore();
        }
        if accepted {
            let addr = self.passive.get(from.id).and_then(|member| member.addr);
            self.add_active(Member { addr: addr.or(from.addr), ..from });
        } else {
            // It stays a spare, and another one is asked.
            self.passive.mark(from.id);
            self.fill(now);
        }
    }

    fn on_disconnect(&mut self, now: Instant, from: Member) {
        let Some(member) = self.active.get(from.id) else { return self.ignore() };
        self.drop_active(from.id);
        self.add_passive(member);
        // Not at once the one that has just put us out.
        self.passive.mark(from.id);
        self.fill(now);
    }

    fn on_shuffle(&mut self, from: Member, origin: Member, ttl: u8, members: &[Member]) {
        if !self.active.contains(from.id) || origin.id == self.local.id {
            return self.ignore();
        }
        let ttl = ttl.min(self.config.active_walk).saturating_sub(1);
        let next = self.active.choose(&mut self.rng, &[from.id, origin.id]).filter(|_| ttl > 0);
        if let Some(next) = next {
            return self.send(next, Membership::Shuffle { origin, ttl, members: members.to_vec() });
        }
        let answer = self.passive.sample(&mut self.rng, members.len().min(GOSSIP_MEMBERS_MAX));
        let given: Vec<PeerId> = answer.iter().map(|member| member.id).collect();
        self.send(origin, Membership::ShuffleReply { members: answer });
        self.take_sample(members, &given);
        self.take_sample(&[origin], &given);
    }

    /// Exchanges a sample with somebody a walk away.
    fn shuffle(&mut self, now: Instant) {
        self.shuffle_at = Some(now + self.config.shuffle_interval.mul_f64(0.9 + self.rng.unit() / 5.0));
        self.passive.unmark();
        let Some(to) = self.active.choose(&mut self.rng, &[]) else { return };
        let mut members = vec![self.local];
        let active = self.active.sample(&mut self.rng, self.config.shuffle_active + 1);
        members
            .extend(active.into_iter().filter(|member| member.id != to.id).take(self.config.shuffle_active));
        members.extend(self.passive.sample(&mut self.rng, self.config.shuffle_passive));
        self.sampled = members.iter().map(|member| member.id).collect();
        self.awaits_sample = true;
        self.send(to, Membership::Shuffle { origin: self.local, ttl: self.config.active_walk, members });
    }

    /// Takes spares from a sample; `given` go first to make room, as the other side has them now.
    fn take_sample(&mut self, members: &[Member], given: &[PeerId]) {
        let mut given = given.iter();
        for member in members.iter().take(GOSSIP_MEMBERS_MAX) {
            let known = self.active.contains(member.id) || self.passive.contains(member.id);
            if member.id == self.local.id || known {
                continue;
            }
            while self.passive.len() >= self.config.passive_max {
                match given.next() {
                    Some(id) if !self.asked.contains_key(id) => _ = self.passive.remove(*id),
                    Some(_) => {}
                    None => break,
                }
            }
            self.add_passive(*member);
        }
    }

    /// Takes a neighbour in; somebody else goes where there is no room.
    fn add_active(&mut self, member: Member) {
        if self.active.contains(member.id) {
            return;
        }
        while self.active.len() >= self.config.active_max {
            let Some(gone) = self.active.choose(&mut self.rng, &[]) else { break };
            self.drop_active(gone.id);
            self.send(gone, Membership::Disconnect);
            self.add_passive(gone);
            self.stats.evicted += 1;
        }
        self.passive.remove(member.id);
        self.active.insert(member);
        self.outputs.push_back(Output::Up(member.id));
    }

    fn drop_active(&mut self, peer: PeerId) -> bool {
        let was = self.active.remove(peer).is_some();
        if was {
            self.outputs.push_back(Output::Down(peer));
        }
        was
    }

    /// Takes a spare in; a random one goes where there is no room.
    fn add_passive(&mut self, member: Member) {
        if member.id == self.local.id || self.active.contains(member.id) || self.passive.contains(member.id) {
            return;
        }
        while self.passive.len() >= self.config.passive_max {
            let asked: Vec<PeerId> = self.asked.keys().copied().collect();
            let Some(gone) = self.passive.choose(&mut self.rng, &asked) else { return };
            self.passive.remove(gone.id);
        }
        self.passive.insert(member);
    }

    /// Asks spares for a place while some of ours are free.
    fn fill(&mut self, now: Instant) {
        while self.active.len() + self.asked.len() < self.config.active_max {
            let Some(spare) = self.passive.choose_unmarked(&mut self.rng, &self.asked) else { return };
            // Two that have only each other are as lost as one that has nobody.
            let urgent = self.active.len() <= 1;
            self.ask(now, spare, urgent);
        }
    }

    fn ask(&mut self, now: Instant, member: Member, urgent: bool) {
        if self.asked.len() < self.config.active_max + self.config.passive_max {
            self.asked.insert(member.id, now + self.config.neighbor_timeout);
            self.send(member, Membership::Neighbor { urgent, addr: self.local.addr });
        }
    }

    fn begin(&mut self, now: Instant) {
        if self.shuffle_at.is_none() {
            // Not all members in step.
            self.shuffle_at = Some(now + self.config.shuffle_interval.mul_f64(self.rng.unit()));
        }
    }

    fn send(&mut self, to: Member, message: Membership) {
        self.stats.sent += 1;
        self.outputs.push_back(Output::Send { to, message });
    }

    fn ignore(&mut self) {
        self.stats.ignored += 1;
    }
}
