//! The addresses that may be dialled for one torrent, and when.
//!
//! **Invariant.** An address is in the table at most once, and at most [`CANDIDATES_MAX`] are.
//! Addresses heard from peers (BEP 11) fill at most half of it, and one teller's at most
//! [`PER_TELLER_MAX`]: a poisoner (threats.md W8) competes with itself, not with trackers.
//!
//! What is not judged here: ranges ([`crate::addr::Ranges`]) and bans; the caller asks first.

use crate::event::Source;
use peerage_base::{Duration, Instant, PeerId, Rng, limits::CANDIDATES_MAX};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Addresses heard from peers, all tellers together.
pub const PEX_MAX: usize = CANDIDATES_MAX / 2;

/// Addresses heard from one telling host that wait at once. BEP 11 tells 50 per minute.
pub const PER_TELLER_MAX: u32 = 200;

/// Failures in a row after which a never-reached address that strangers named is forgotten.
const FAILURES_MAX_UNPROVEN: u32 = 4;

/// The same for an address heard from a peer: most of those are stale.
const FAILURES_MAX_PEX: u32 = 2;

/// The same for an address that was reached once.
const FAILURES_MAX_PROVEN: u32 = 9;

/// Wait before an address is dialled again that was of no use: complete like us, evicted, an alias.
const USELESS_WAIT: Duration = Duration::from_secs(600);

/// How long retries wait; from [`crate::Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub max: Duration,
    /// At most, for addresses that the user gave.
    pub user_max: Duration,
}

/// How a connection ended, as far as the next dial of its address is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was never opened, or no handshake came.
    Failed,
    /// It was closed to be opened again at once, on another road.
    Again,
    /// It was open and did some good, or lasted.
    Useful,
    /// It was open for a moment only.
    Short,
    /// Complete like us, evicted, or an alias of another: not soon again.
    Useless,
    /// We ourselves, another protocol's port, a banned one: never again.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be dialled from this moment on.
    Idle(Instant),
    /// Dialled or connected.
    Busy,
    /// Kept so that it is not added again.
    Dead,
}

/// Who is expected at an address to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// This peer, by the user's word or the link's: nobody else will do.
    Of(PeerId),
    /// Whoever it is: it said itself that it could.
    Any,
}

#[derive(Clone, Debug)]
struct Candidate {
    source: Source,
    /// The host that told of it, for [`Source::Pex`].
    teller: Option<IpAddr>,
    state: State,
    failures: u32,
    /// A handshake succeeded once.
    proven: bool,
    /// Dialled the other way than usual next: encrypted instead of in plain, or the reverse.
    turned: bool,
    /// Dialled over uTP next: TCP has just failed.
    utp: bool,
    /// An introduction was asked for, or came.
    punched: bool,
    /// Who is expected there.
    key: Option<Key>,
    /// Who is there said that it could prove who it is, and did not.
    lied: bool,
    /// Random: the order among equals, so that a swarm does not dial one peer all at once.
    lot: u32,
}

impl Candidate {
    /// What is dialled first: few failures, then reached once, then the better source.
    fn rank(&self) -> (core::cmp::Reverse<u32>, bool, Source, u32) {
        (core::cmp::Reverse(self.failures), self.proven, self.source, self.lot)
    }

    fn is_pex(&self) -> bool {
        self.source == Source::Pex
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct Candidates {
    backoff: Backoff,
    by_addr: BTreeMap<SocketAddr, Candidate>,
    /// Addresses of [`Source::Pex`] per teller.
    tellers: BTreeMap<IpAddr, u32>,
    pex: usize,
}

impl Candidates {
    /// An empty table.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, by_addr: BTreeMap::new(), tellers: BTreeMap::new(), pex: 0 }
    }

    /// Addresses in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_addr.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_addr.is_empty()
    }

    /// Addresses in the table, by the best source that named each.
    #[must_use]
    pub fn by_source(&self) -> BTreeMap<Source, usize> {
        let mut counts = BTreeMap::new();
        self.by_addr.values().for_each(|candidate| *counts.entry(candidate.source).or_default() += 1);
        counts
    }

    /// The best source that named `addr`.
    #[must_use]
    pub fn source(&self, addr: SocketAddr) -> Option<Source> {
        self.by_addr.get(&addr).map(|candidate| candidate.source)
    }

    /// Adds an address, or betters what is known of it. `teller` is the host that named it in peer
    /// exchange. Returns whether there is something new to dial.
    pub fn add(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        source: Source,
        teller: Option<IpAddr>,
        rng: &mut Rng,
    ) -> bool {
        if let Some(known) = self.by_addr.get_mut(&addr) {
            return Self::better(&mut self.tellers, &mut self.pex, self.backoff, now, known, source);
        }
        if source == Source::Pex && !self.make_room_for_pex(teller) {
            return false;
        }
        if self.by_addr.len() >= CANDIDATES_MAX && !self.make_room(source) {
            return false;
        }
        if source == Source::Pex {
            self.pex += 1;
            if let Some(teller) = teller {
                *self.tellers.entry(teller).or_default() += 1;
            }
        }
        let lot = rng.next_u32();
        let teller = teller.filter(|_| source == Source::Pex);
        let state = State::Idle(now);
        let fresh = Candidate {
            source,
            teller,
            state,
            failures: 0,
            proven: false,
            turned: false,
            utp: false,
            punched: false,
            key: None,
            lied: false,
            lot,
        };
        self.by_addr.insert(addr, fresh);
        true
    }

    /// A known address was named again, maybe by a better source.
    fn better(
        tellers: &mut BTreeMap<IpAddr, u32>,
        pex: &mut usize,
        backoff: Backoff,
        now: Instant,
        known: &mut Candidate,
        source: Source,
    ) -> bool {
        if source <= known.source {
            return false;
        }
        if known.is_pex() {
            forget_teller(tellers, pex, known.teller.take());
        }
        known.source = source;
        // The user's word counts anew, also for an address that was given up.
        if source == Source::User && known.state != State::Busy {
            known.failures = 0;
            known.state = State::Idle(now);
            return true;
        }
        if let State::Idle(at) = &mut known.state {
            *at = (*at).min(now + backoff.max);
        }
        false
    }

    /// The address to dial at `now`, among those that `allow` lets through.
    #[must_use]
    pub fn next(
        &self,
        now: Instant,
        mut allow: impl FnMut(SocketAddr, Source) -> bool,
    ) -> Option<SocketAddr> {
        let ready = |candidate: &Candidate| matches!(candidate.state, State::Idle(at) if at <= now);
        self.by_addr
            .iter()
            .filter(|(addr, candidate)| ready(candidate) && allow(**addr, candidate.source))
            .max_by_key(|(_, candidate)| candidate.rank())
            .map(|(addr, _)| *addr)
    }

    /// When the next address is ready; in the past when one is.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let at = |candidate: &Candidate| match candidate.state {
            State::Idle(at) => Some(at),
            State::Busy | State::Dead => None,
        };
        self.by_addr.values().filter_map(at).min()
    }

    /// The address is being dialled, or connected otherwise (it came to us).
    pub fn begin(&mut self, addr: SocketAddr) {
        if let Some(candidate) = self.by_addr.get_mut(&addr)
            && candidate.state != State::Dead
        {
            candidate.state = State::Busy;
        }
    }

    /// The handshake succeeded.
    pub fn proven(&mut self, addr: SocketAddr) {
        if let Some(candidate) = self.by_addr.get_mut(&addr) {
            candidate.proven = true;
        }
    }

    /// No handshake came of a connection: the other way of starting is tried next.
    pub fn turn(&mut self, addr: SocketAddr) {
        if let Some(candidate) = self.by_addr.get_mut(&addr) {
            candidate.turned = !candidate.turned;
        }
    }

    /// Whether the next dial is to start the other way than usual.
    #[must_use]
    pub fn turned(&self, addr: SocketAddr) -> bool {
        self.by_addr.get(&addr).is_some_and(|candidate| candidate.turned)
    }

    /// Whether the next dial is over uTP.
    pub fn set_utp(&mut self, addr: SocketAddr, utp: bool) {
        if let Some(candidate) = self.by_addr.get_mut(&addr) {
            candidate.utp = utp;
        }
    }

    /// See [`Self::set_utp`].
    #[must_use]
    pub fn utp(&self, addr: SocketAddr) -> bool {
        self.by_addr.get(&addr).is_some_and(|candidate| candidate.utp)
    }

    /// Notes that an introduction to a known address is under way. Whether it is the first.
    pub fn begin_punch(&mut self, addr: SocketAddr) -> bool {
        self.by_addr.get_mut(&addr).is_some_and(|candidate| !core::mem::replace(&mut candidate.punched, true))
    }

    /// The host that told of an address in peer exchange.
    #[must_use]
    pub fn teller(&self, addr: SocketAddr) -> Option<IpAddr> {
        self.by_addr.get(&addr).and_then(|candidate| candidate.teller)
    }

    /// Whether the last connection with an address failed.
    #[must_use]
    pub fn has_failed(&self, addr: SocketAddr) -> bool {
        self.by_addr.get(&addr).is_some_and(|candidate| candidate.failures > 0)
    }

    /// Tells who is expected at a known address. The user's word stays.
    pub fn set_key(&mut self, addr: SocketAddr, key: Key) {
        if let Some(candidate) = self.by_addr.get_mut(&addr)
            && !matches!(candidate.key, Some(Key::Of(_)))
        {
            candidate.key = Some(key);
        }
    }

    /// Who is expected at an address.
    #[must_use]
    pub fn key(&self, addr: SocketAddr) -> Option<Key> {
        self.by_addr.get(&addr).and_then(|candidate| candidate.key)
    }

    /// Who was expected did not show: what the one there said of itself counts no more.
    pub fn forget_key(&mut self, addr: SocketAddr) {
        if let Some(candidate) = self.by_addr.get_mut(&addr)
            && candidate.key == Some(Key::Any)
        {
            candidate.key = None;
            candidate.lied = true;
        }
    }

    /// Whether who is at an address once said that it could prove who it is, and did not.
    #[must_use]
    pub fn lied(&self, addr: SocketAddr) -> bool {
        self.by_addr.get(&addr).is_some_and(|candidate| candidate.lied)
    }

    /// An address that waits need not wait longer.
    pub fn wake(&mut self, now: Instant, addr: SocketAddr) {
        if let Some(candidate) = self.by_addr.get_mut(&addr)
            && let State::Idle(at) = &mut candidate.state
        {
            *at = now.min(*at);
        }
    }

    /// The connection, or the dial, ended.
    pub fn ended(&mut self, now: Instant, addr: SocketAddr, ending: Ending, rng: &mut Rng) {
        let Some(candidate) = self.by_addr.get_mut(&addr) else { return };
        let user = candidate.source == Source::User;
        let max = if user { self.backoff.user_max } else { self.backoff.max };
        let wait = match ending {
            Ending::Never => {
                candidate.state = State::Dead;
                return;
            }
            Ending::Again => {
                candidate.state = State::Idle(now);
                return;
            }
            Ending::Useful => {
                candidate.failures = 0;
                self.backoff.first
            }
            Ending::Failed | Ending::Short => {
                candidate.failures = candidate.failures.saturating_add(1);
                let factor = 4u32.saturating_pow((candidate.failures - 1).min(10));
                self.backoff.first.saturating_mul(factor)
            }
            Ending::Useless if user => max,
            Ending::Useless => USELESS_WAIT,
        };
        let given_up = candidate.failures
            >= match candidate {
                Candidate { source: Source::User, .. } => u32::MAX,
                Candidate { proven: true, .. } => FAILURES_MAX_PROVEN,
                Candidate { source: Source::Pex, .. } => FAILURES_MAX_PEX,
                _ => FAILURES_MAX_UNPROVEN,
            };
        if given_up {
            self.remove(addr);
            return;
        }
        // A quarter at random, so that peers which lost each other do not meet in step.
        let wait = wait.min(max).mul_f64(1.0 + rng.unit() / 4.0);
        candidate.state = State::Idle(now + wait);
    }

    /// Forgets an address.
    pub fn remove(&mut self, addr: SocketAddr) {
        let Some(gone) = self.by_addr.remove(&addr) else { return };
        if gone.is_pex() {
            forget_teller(&mut self.tellers, &mut self.pex, gone.teller);
        }
    }

    /// Forgets every address that does not pass, but for those in use.
    pub fn retain(&mut self, mut keep: impl FnMut(SocketAddr, Source) -> bool) {
        let gone = |(addr, candidate): (&SocketAddr, &Candidate)| {
            (candidate.state != State::Busy && !keep(*addr, candidate.source)).then_some(*addr)
        };
        let gone: Vec<SocketAddr> = self.by_addr.iter().filter_map(gone).collect();
        for addr in gone {
            self.remove(addr);
        }
    }

    /// Room among the addresses from peers: the teller with the most gives one up.
    fn make_room_for_pex(&mut self, teller: Option<IpAddr>) -> bool {
        let own = teller.and_then(|teller| self.tellers.get(&teller)).copied().unwrap_or(0);
        if own >= PER_TELLER_MAX {
            return false;
        }
        if self.pex < PEX_MAX {
            return true;
        }
        let Some((&largest, &count)) = self.tellers.iter().max_by_key(|(_, count)| **count) else {
            return false;
        };
        if count <= own + 1 {
            return false;
        }
        self.evict(|candidate| candidate.teller == Some(largest))
    }

    /// Room in the whole table, for an address from `source`: the worst no better than it goes.
    fn make_room(&mut self, source: Source) -> bool {
        self.evict(|candidate| candidate.source <= source && candidate.source != Source::User)
    }

    fn evict(&mut self, may: impl Fn(&Candidate) -> bool) -> bool {
        let worst = self
            .by_addr
            .iter()
            .filter(|(_, candidate)| candidate.state != State::Busy && may(candidate))
            .min_by_key(|(_, candidate)| (candidate.state != State::Dead, candidate.proven, candidate.rank()))
            .map(|(addr, _)| *addr);
        worst.inspect(|addr| self.remove(*addr)).is_some()
    }
}

fn forget_teller(tellers: &mut BTreeMap<IpAddr, u32>, pex: &mut usize, teller: Option<IpAddr>) {
    *pex = pex.saturating_sub(1);
    let Some(teller) = teller else { return };
    if let Some(count) = tellers.get_mut(&teller) {
        *count -= 1;
        if *count == 0 {
            tellers.remove(&teller);
        }
    }
}

#[cfg(test)]
mod tests;
