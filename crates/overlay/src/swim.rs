//! SWIM: who of a group is alive, told by random probes, with suspicion before the verdict.
//!
//! Das, Gupta and Motivala, "SWIM: scalable weakly-consistent infection-style process group membership
//! protocol" (DSN 2002). In each period a member asks one other whether it is there; if no answer comes, it has
//! some others ask; if none comes then, the one asked is suspect, and dead unless it refutes that in time. News
//! go along with the questions and answers.
//!
//! **Invariants.** Only the one concerned counts its incarnation up, and by news of others it rises by at most
//! [`INCARNATION_STEP_MAX`] at once: no liar can take the last word. Of equal incarnations the worse news win.
//! Who is dead is forgotten after [`Config::forget_after`]. Members are at most [`Config::members_max`].
//!
//! A probe goes round all members in random order (paper, section 4.3), so that each failure is noticed within
//! a bounded time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use peerage_base::limits::SWIM_UPDATES_MAX;
use peerage_base::{Duration, Instant, PeerId, Rng};
use peerage_wire::gossip::{Health, Liveness, LivenessBody, Member, Update};

/// By how much news of somebody may raise its incarnation. An honest member counts one for each suspicion.
pub const INCARNATION_STEP_MAX: u32 = 1 << 16;

/// Members whose state goes along where there is room.
const SAMPLE: usize = 2;

/// Questions of others that we pass on at a time; each costs an entry until its period ends.
const RELAYED_MAX: usize = 64;

/// Settings. [`Default`] is the paper's, but for the number of helpers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time between two probes (paper, section 5: 2 s).
    pub period: Duration,
    /// How long a direct answer may take: about a round trip at the 99th percentile.
    pub ack_timeout: Duration,
    /// Others who are asked to ask (paper: k, 1 in its measurements; more make false alarms rarer).
    pub helpers: usize,
    /// Periods from suspicion to death, times the decimal logarithm of the group (paper, section 4.2 leaves it
    /// open; memberlist: 4).
    pub suspicion_periods: u32,
    /// How often a piece of news goes along, times the logarithm of the group (paper: lambda; memberlist: 4).
    pub retransmits: u32,
    /// How long the dead are remembered, so that late news of them do not revive them.
    pub forget_after: Duration,
    /// Members known at most.
    pub members_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(2),
            ack_timeout: Duration::from_millis(500),
            helpers: 3,
            suspicion_periods: 4,
            retransmits: 4,
            forget_after: Duration::from_secs(300),
            members_max: 10_000,
        }
    }
}

/// What the machine wants, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this; it may be lost.
    Send {
        /// To whom.
        to: Member,
        /// What.
        message: Liveness,
    },
    /// Somebody is there: new, or back.
    Alive(Member),
    /// Somebody does not answer.
    Suspect(PeerId),
    /// Somebody is gone.
    Dead(PeerId),
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages sent.
    pub sent: u64,
    /// Probes begun.
    pub probes: u64,
    /// Probes that nobody answered directly.
    pub unanswered: u64,
    /// News of our own suspicion or death, refuted.
    pub refuted: u64,
    /// News that were out of bounds.
    pub refused: u64,
}

#[derive(Clone, Debug)]
struct Known {
    addr: Option<SocketAddr>,
    health: Health,
    incarnation: u32,
    /// Of a suspect: when it is dead. Of the dead: when it is forgotten.
    until: Instant,
}

/// The question under way.
#[derive(Debug)]
struct Probe {
    target: PeerId,
    number: u32,
    /// When others are asked to ask; `None`: they have been.
    indirect_at: Option<Instant>,
    answered: bool,
}

/// A question that was passed on for another.
#[derive(Debug)]
struct Relayed {
    number: u32,
    asker: Member,
    asked_as: u32,
    until: Instant,
}

/// One member's part in one group.
#[derive(Debug)]
pub struct Swim {
    config: Config,
    local: Member,
    rng: Rng,
    incarnation: u32,
    members: BTreeMap<PeerId, Known>,
    /// Those still to be probed in this round.
    round: Vec<PeerId>,
    probe: Option<Probe>,
    relayed: VecDeque<Relayed>,
    period_at: Option<Instant>,
    /// News to pass on, with how often each was.
    news: BTreeMap<PeerId, (Update, u32)>,
    /// The earliest [`Known::until`] of anybody who is not alive, or earlier.
    watch_at: Instant,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Swim {
    /// A member that knows nobody.
    #[must_use]
    pub fn new(config: Config, local: Member, rng: Rng) -> Self {
        assert!(config.ack_timeout < config.period && config.members_max >= 1 && config.retransmits >= 1);
        Self {
            config,
            local,
            rng,
            incarnation: 0,
            members: BTreeMap::new(),
            round: Vec::new(),
            probe: None,
            relayed: VecDeque::new(),
            period_at: None,
            news: BTreeMap::new(),
            watch_at: Instant::FAR_FUTURE,
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Somebody is known to be a member: by the way in, or another protocol.
    pub fn join(&mut self, now: Instant, member: Member) {
        if self.period_at.is_none() {
            // Not all members in step.
            self.period_at = Some(now + self.config.period.mul_f64(self.rng.unit()));
        }
        let own = Update { member: self.local, incarnation: self.incarnation, health: Health::Alive };
        self.note(own);
        self.learn(now, Update { member, incarnation: 0, health: Health::Alive });
    }

    /// Leaves: the next questions and answers say so; in a hurry `say` tells these members at once.
    pub fn leave(&mut self) {
        let update = Update { member: self.local, incarnation: self.incarnation, health: Health::Dead };
        self.note(update);
        for to in self.choose(self.config.helpers, &[]) {
            let number = self.next_number();
            self.send(to, LivenessBody::Ping { number });
        }
        self.period_at = None;
        self.probe = None;
    }

    /// One message of a peer.
    pub fn handle_message(&mut self, now: Instant, from: Member, message: Liveness) {
        if from.id == self.local.id {
            return;
        }
        for update in message.updates.into_iter().take(SWIM_UPDATES_MAX) {
            self.learn(now, update);
        }
        if !self.members.contains_key(&from.id) {
            self.learn(now, Update { member: from, incarnation: 0, health: Health::Alive });
        }
        match message.body {
            LivenessBody::Ping { number } => self.send(from, LivenessBody::Ack { number }),
            LivenessBody::PingReq { number, target } => self.on_ping_req(now, from, number, target),
            LivenessBody::Ack { number } => self.on_ack(now, from, number),
        }
    }

    /// A deadline passed; early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.watch_at <= now {
            self.judge(now);
        }
        let helpers = self.probe.as_mut().filter(|probe| !probe.answered);
        if let Some(probe) = helpers.filter(|probe| probe.indirect_at.is_some_and(|at| at <= now)) {
            probe.indirect_at = None;
            let (target, number) = (probe.target, probe.number);
            self.stats.unanswered += 1;
            let target = self.member(target);
            for helper in self.choose(self.config.helpers, &[target.id]) {
                self.send(helper, LivenessBody::PingReq { number, target });
            }
        }
        if let Some(at) = self.period_at.filter(|at| *at <= now) {
            // In step with the past, not with how late this call is; unless it is very late.
            let next = at + self.config.period;
            self.period_at = Some(if next <= now { now + self.config.period } else { next });
            self.end_probe(now);
            self.begin_probe(now);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let probe = self.probe.as_ref().filter(|probe| !probe.answered);
        let indirect = probe.and_then(|probe| probe.indirect_at).map(|at| (at, "ack"));
        let period = self.period_at.map(|at| (at, "period"));
        let watch = (self.watch_at != Instant::FAR_FUTURE).then_some((self.watch_at, "suspicion"));
        [indirect, period, watch].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// How somebody is, as far as is known.
    #[must_use]
    pub fn health(&self, peer: PeerId) -> Option<Health> {
        self.members.get(&peer).map(|known| known.health)
    }

    /// Members that are alive or suspect.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let there = self.members.iter().filter(|(_, known)| known.health != Health::Dead);
        there.map(|(id, known)| Member { id: *id, addr: known.addr })
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn on_ping_req(&mut self, now: Instant, from: Member, number: u32, target: Member) {
        // Only members are asked, at the addresses that we know: nobody makes us ask strangers.
        let known = self.members.get(&target.id).is_some_and(|known| known.health != Health::Dead);
        while self.relayed.front().is_some_and(|relayed| relayed.until <= now) {
            self.relayed.pop_front();
        }
        if !known || self.relayed.len() >= RELAYED_MAX {
            return;
        }
        let asked_as = self.next_number();
        let until = now + self.config.period;
        self.relayed.push_back(Relayed { number, asker: from, asked_as, until });
        let target = self.member(target.id);
        self.send(target, LivenessBody::Ping { number: asked_as });
    }

    fn on_ack(&mut self, now: Instant, from: Member, number: u32) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) {
            // From the one asked, or from a helper.
            probe.answered = true;
            return;
        }
        let relayed = self.relayed.iter().position(|relayed| relayed.asked_as == number);
        if let Some(Relayed { number, asker, until, .. }) = relayed.and_then(|at| self.relayed.remove(at))
            && until > now
            && self.members.contains_key(&from.id)
        {
            self.send(asker, LivenessBody::Ack { number });
        }
    }

    /// Who has not answered in its period is suspect.
    fn end_probe(&mut self, now: Instant) {
        let Some(probe) = self.probe.take().filter(|probe| !probe.answered) else { return };
        let Some(known) = self.members.get(&probe.target) else { return };
        if known.health == Health::Alive {
            let update = Update {
                member: self.member(probe.target),
                incarnation: known.incarnation,
                health: Health::Suspect,
            };
            self.learn(now, update);
        }
    }

    fn begin_probe(&mut self, now: Instant) {
        loop {
            if self.round.is_empty() {
                self.round = self.members().map(|member| member.id).collect();
                self.rng.shuffle(&mut self.round);
                if self.round.is_empty() {
                    return;
                }
            }
            let Some(target) = self.round.pop() else { return };
            if self.health(target).is_some_and(|health| health != Health::Dead) {
                self.stats.probes += 1;
                let number = self.next_number();
                let indirect_at = Some(now + self.config.ack_timeout);
                self.probe = Some(Probe { target, number, indirect_at, answered: false });
                let to = self.member(target);
                return self.send(to, LivenessBody::Ping { number });
            }
        }
    }

    /// Takes a piece of news in.
    fn learn(&mut self, now: Instant, update: Update) {
        let Update { member, incarnation, health } = update;
        if member.id == self.local.id {
            return self.refute(incarnation, health);
        }
        let Some(known) = self.members.get_mut(&member.id) else {
            if health != Health::Dead && incarnation <= INCARNATION_STEP_MAX {
                self.take_in(now, update);
            }
            return;
        };
        if incarnation.saturating_sub(known.incarnation) > INCARNATION_STEP_MAX {
            self.stats.refused += 1;
            return;
        }
        // Paper, section 4.2: a later incarnation says more, of one the worse news do.
        let newer = match (health, known.health) {
            (Health::Alive, _) => incarnation > known.incarnation,
            (Health::Suspect, Health::Alive) => incarnation >= known.incarnation,
            (Health::Suspect, _) => incarnation > known.incarnation,
            (Health::Dead, Health::Dead) => incarnation > known.incarnation,
            (Health::Dead, _) => incarnation >= known.incarnation,
        };
        if !newer {
            return;
        }
        let was = known.health;
        known.incarnation = incarnation;
        known.health = health;
        if health == Health::Alive && member.addr.is_some() {
            known.addr = member.addr;
        }
        self.enter(now, member.id, was, health);
        let member = self.member(member.id);
        self.note(Update { member, ..update });
    }

    /// A member that was not known.
    fn take_in(&mut self, now: Instant, update: Update) {
        if self.members.len() >= self.config.members_max {
            return;
        }
        let Update { member, incarnation, health } = update;
        let until = Instant::FAR_FUTURE;
        self.members
            .insert(member.id, Known { addr: member.addr, health: Health::Alive, incarnation, until });
        // Somewhere in the round under way (paper, section 4.3).
        let at = self.rng.below(self.round.len() as u64 + 1) as usize;
        self.round.insert(at, member.id);
        self.outputs.push_back(Output::Alive(member));
        if health == Health::Suspect {
            if let Some(known) = self.members.get_mut(&member.id) {
                known.health = health;
            }
            self.enter(now, member.id, Health::Alive, health);
        }
        self.note(update);
    }

    /// Somebody's health has changed: timers, and who is to be told.
    fn enter(&mut self, now: Instant, peer: PeerId, was: Health, health: Health) {
        let until = match health {
            Health::Alive => Instant::FAR_FUTURE,
            Health::Suspect => now + self.suspicion(),
            Health::Dead => now + self.config.forget_after,
        };
        let Some(known) = self.members.get_mut(&peer) else { return };
        known.until = until;
        self.watch_at = self.watch_at.min(until);
        match (was, health) {
            (Health::Suspect | Health::Dead, Health::Alive) => {
                let member = self.member(peer);
                self.outputs.push_back(Output::Alive(member));
            }
            (_, Health::Suspect) => self.outputs.push_back(Output::Suspect(peer)),
            (Health::Alive | Health::Suspect, Health::Dead) => self.outputs.push_back(Output::Dead(peer)),
            _ => {}
        }
    }

    /// The suspects that did not refute in time are dead; the dead are forgotten.
    fn judge(&mut self, now: Instant) {
        let due = |(id, known): (&PeerId, &Known)| {
            (known.until <= now).then_some((*id, known.health, known.incarnation))
        };
        let due: Vec<_> = self.members.iter().filter_map(due).collect();
        for (id, health, incarnation) in due {
            if health == Health::Suspect {
                self.learn(now, Update { member: self.member(id), incarnation, health: Health::Dead });
            } else {
                self.members.remove(&id);
            }
        }
        self.watch_at = self.members.values().map(|known| known.until).min().unwrap_or(Instant::FAR_FUTURE);
    }

    /// News of us: where they are bad, we are a later incarnation.
    fn refute(&mut self, incarnation: u32, health: Health) {
        if health == Health::Alive || incarnation < self.incarnation || self.period_at.is_none() {
            return;
        }
        if incarnation - self.incarnation > INCARNATION_STEP_MAX {
            self.stats.refused += 1;
            return;
        }
        self.stats.refuted += 1;
        self.incarnation = incarnation.saturating_add(1);
        self.note(Update { member: self.local, incarnation: self.incarnation, health: Health::Alive });
    }

    /// A piece of news to pass on, instead of older ones of the same.
    fn note(&mut self, update: Update) {
        self.news.insert(update.member.id, (update, 0));
    }

    /// What goes along to somebody: what is said of it, where it should refute that; then the news that were passed
    /// on least (those that were often enough are old); then how some members are, so that what was missed comes
    /// round in the end.
    fn take_news(&mut self, to: PeerId) -> Vec<Update> {
        let mut updates: Vec<Update> =
            self.news_of(to).filter(|of| of.health != Health::Alive).into_iter().collect();
        updates.extend(self.take_fresh(SWIM_UPDATES_MAX - updates.len()));
        for _ in 0..SAMPLE.min(SWIM_UPDATES_MAX - updates.len()) {
            let Some(some) = self.rng.choose(&self.round).copied() else { break };
            if !updates.iter().any(|update| update.member.id == some) {
                updates.extend(self.news_of(some));
            }
        }
        updates
    }

    fn news_of(&self, peer: PeerId) -> Option<Update> {
        let Known { addr, health, incarnation, .. } = *self.members.get(&peer)?;
        Some(Update { member: Member { id: peer, addr }, incarnation, health })
    }

    fn take_fresh(&mut self, count: usize) -> Vec<Update> {
        let mut fresh: Vec<(u32, PeerId)> = self.news.iter().map(|(id, (_, told))| (*told, *id)).collect();
        fresh.sort_unstable();
        fresh.truncate(count);
        let limit = self.config.retransmits * logarithm(self.members.len());
        let mut updates = Vec::with_capacity(fresh.len());
        for (_, id) in fresh {
            let Some((update, told)) = self.news.get_mut(&id) else { continue };
            *told += 1;
            updates.push(*update);
            if *told >= limit {
                self.news.remove(&id);
            }
        }
        updates
    }

    fn suspicion(&self) -> Duration {
        self.config.period * self.config.suspicion_periods * logarithm(self.members.len())
    }

    /// Some members that are alive.
    fn choose(&mut self, count: usize, but: &[PeerId]) -> Vec<Member> {
        let alive = |(id, known): &(&PeerId, &Known)| known.health == Health::Alive && !but.contains(id);
        let mut all: Vec<PeerId> = self.members.iter().filter(alive).map(|(id, _)| *id).collect();
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count && !all.is_empty() {
            let id = all.swap_remove(self.rng.index(all.len()));
            chosen.push(self.member(id));
        }
        chosen
    }

    fn member(&self, peer: PeerId) -> Member {
        Member { id: peer, addr: self.members.get(&peer).and_then(|known| known.addr) }
    }

    fn next_number(&mut self) -> u32 {
        // Not to be guessed: who answers was asked.
        self.rng.next_u32()
    }

    fn send(&mut self, to: Member, body: LivenessBody) {
        self.stats.sent += 1;
        let updates = self.take_news(to.id);
        self.outputs.push_back(Output::Send { to, message: Liveness { body, updates } });
    }
}

/// The decimal logarithm of a group with us in it, rounded up.
fn logarithm(others: usize) -> u32 {
    (others + 1).max(2).ilog10() + 1
}
