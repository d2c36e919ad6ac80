//! The address manager: which addresses of a network are remembered, and which are dialled after a restart.
//!
//! As in Bitcoin Core (`addrman`, after Heilman, Kendler, Zohar and Goldberg, "Eclipse attacks on Bitcoin's
//! peer-to-peer network", USENIX Security 2015): addresses that were only heard of are in *new* buckets, those
//! that were met in *tried* ones. Which bucket, and which place in it, follows from a secret key, the network
//! (/16, IPv6 /32) of the address, and for new ones the network of whoever told of it: an attacker fills no more
//! places than its networks have, however many addresses it makes up. Who was met is put out by no one who was
//! not: first it is asked whether it is still there (a *feeler*). The last outgoing connections that lasted are
//! *anchors*: dialled first by the next run.
//!
//! **Invariants.** Each address has one entry, is in tried or in at most [`NEW_COPIES_MAX`] new places, never in
//! both; whoever is in no place is forgotten. Of one network there is one outgoing connection at most.

mod saved;
mod slots;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use peerage_base::addr::{LocalRange, Scope, scope};
use peerage_base::{Duration, Instant, Rng};
pub use saved::SavedError;
use slots::{Slots, Where};

/// New places of one address at most (Bitcoin Core: 8).
pub const NEW_COPIES_MAX: u8 = 8;

/// Failures in a row after which one that was never met is given up (Bitcoin Core: 3).
const FAILURES_MAX_NEW: u32 = 3;

/// The same for one that was met, within [`FAILING_FOR`] (Bitcoin Core: 10 in 7 days).
const FAILURES_MAX_TRIED: u32 = 10;
const FAILING_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// One that was tried so lately is not tried again at once (Bitcoin Core: 10 minutes count little).
const LATELY: Duration = Duration::from_secs(60);

/// Places of tried ones that another wants, each of which is asked whether it is still there.
const CHALLENGES_MAX: usize = 10;

/// Settings. [`Default`] is Bitcoin Core's, with fewer buckets: 22,528 addresses at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Buckets of addresses that were heard of.
    pub new_buckets: u32,
    /// Buckets of addresses that were met.
    pub tried_buckets: u32,
    /// Places of a bucket.
    pub bucket_len: u32,
    /// New buckets that one telling network can fill.
    pub buckets_per_teller: u32,
    /// Tried buckets that one network can fill.
    pub buckets_per_network: u32,
    /// Outgoing connections that are wanted: more than an attacker has networks.
    pub outgoing: usize,
    /// Connections of the last run that are dialled first.
    pub anchors: usize,
    /// A connection that has lasted so long may be an anchor.
    pub anchor_after: Duration,
    /// Time between two feelers (Bitcoin Core: 2 minutes).
    pub feeler_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            new_buckets: 256,
            tried_buckets: 96,
            bucket_len: 64,
            buckets_per_teller: 16,
            buckets_per_network: 8,
            outgoing: 10,
            anchors: 2,
            anchor_after: Duration::from_secs(60),
            feeler_interval: Duration::from_secs(120),
        }
    }
}

/// Why an address is to be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It was a neighbour at the end of the last run.
    Anchor,
    /// A place among the outgoing connections is free.
    Outgoing,
    /// To see whether it is there: closed at once when it is.
    Feeler,
}

/// How a dial went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// It is there, and is what it should be.
    Up,
    /// It could not be reached, or the connection has ended.
    Down,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Addresses heard of, not met.
    pub new: usize,
    /// Addresses met.
    pub tried: usize,
    /// Addresses that found no place.
    pub refused: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The network of whoever first told of it.
    teller: IpAddr,
    /// New places that it has; 0: it is in its tried place.
    copies: u8,
    failures: u32,
    tried_at: Option<Instant>,
    /// When it was last met, in this run or (at its beginning) an earlier one.
    met_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dialled {
    purpose: Purpose,
    up_since: Option<Instant>,
}

/// The addresses of one network.
#[derive(Debug)]
pub struct Addresses {
    config: Config,
    rng: Rng,
    slots: Slots,
    entries: BTreeMap<SocketAddr, Entry>,
    dialled: BTreeMap<SocketAddr, Dialled>,
    anchors: VecDeque<SocketAddr>,
    /// Those that were met and whose tried place another has.
    challengers: VecDeque<SocketAddr>,
    feeler_at: Instant,
    refused: u64,
}

impl Addresses {
    /// Nobody is known. The key that decides about places comes from `rng`, and is saved with the addresses.
    #[must_use]
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let key = (rng.next_u64(), rng.next_u64());
        Self::with_key(config, rng, key)
    }

    fn with_key(config: Config, rng: Rng, key: (u64, u64)) -> Self {
        assert!(config.new_buckets >= 1 && config.tried_buckets >= 1 && config.bucket_len >= 1);
        assert!(config.buckets_per_teller >= 1 && config.buckets_per_network >= 1 && config.outgoing >= 1);
        let feeler_at = Instant::ZERO + config.feeler_interval;
        Self {
            slots: Slots::new(&config, key),
            config,
            rng,
            entries: BTreeMap::new(),
            dialled: BTreeMap::new(),
            anchors: VecDeque::new(),
            challengers: VecDeque::new(),
            feeler_at,
            refused: 0,
        }
    }

    /// `teller` names an address. Whether it has found a new place.
    pub fn add(&mut self, now: Instant, addr: SocketAddr, teller: IpAddr) -> bool {
        if !is_host(addr) {
            self.refused += 1;
            return false;
        }
        if let Some(entry) = self.entries.get(&addr) {
            // Ever harder to get more places (Bitcoin Core: each halves the chance).
            let chance = 1_u64 << entry.copies.min(NEW_COPIES_MAX);
            if entry.copies == 0 || entry.copies >= NEW_COPIES_MAX || self.rng.below(chance) != 0 {
                return false;
            }
        }
        let place = self.slots.new_place(addr, teller);
        match self.slots.get(place) {
            Some(same) if same == addr => return false,
            // Whoever is there stays, unless it is of no use or has other places and this one none.
            Some(other) => {
                let spare = self.entries.get(&other).is_some_and(|entry| entry.copies > 1);
                let first = !self.entries.contains_key(&addr);
                if !(self.is_terrible(now, other) || spare && first) {
                    self.refused += 1;
                    return false;
                }
                self.leave_new(place, other);
            }
            None => {}
        }
        self.slots.set(place, Some(addr));
        let teller = network(teller);
        let fresh = Entry { teller, copies: 0, failures: 0, tried_at: None, met_at: None };
        self.entries.entry(addr).or_insert(fresh).copies += 1;
        true
    }

    /// Whom to dial next, and why; `None` when nobody is to be. It counts as begun: report what comes of it.
    pub fn dial(&mut self, now: Instant) -> Option<(SocketAddr, Purpose)> {
        let (addr, purpose) = self.choose(now)?;
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.tried_at = Some(now);
        }
        self.dialled.insert(addr, Dialled { purpose, up_since: None });
        Some((addr, purpose))
    }

    /// What came of a dial, or that a connection ended. An incoming connection is no proof of an address: it is
    /// not reported here.
    pub fn handle_peer(&mut self, now: Instant, addr: SocketAddr, change: PeerChange) {
        match change {
            PeerChange::Up => {
                let Some(dialled) = self.dialled.get_mut(&addr) else { return };
                dialled.up_since = Some(now);
                let feeler = dialled.purpose == Purpose::Feeler;
                self.met(now, addr);
                if feeler {
                    self.dialled.remove(&addr);
                }
            }
            PeerChange::Down => {
                let Some(dialled) = self.dialled.remove(&addr) else { return };
                if dialled.up_since.is_none() {
                    self.failed(now, addr);
                }
            }
        }
    }

    /// The outgoing connections that have lasted: what the next run dials first. The longest first.
    #[must_use]
    pub fn anchors(&self, now: Instant) -> Vec<SocketAddr> {
        let lasting = |(addr, dialled): (&SocketAddr, &Dialled)| {
            let since = dialled.up_since.filter(|since| now - *since >= self.config.anchor_after)?;
            Some((since, *addr))
        };
        let mut all: Vec<(Instant, SocketAddr)> = self.dialled.iter().filter_map(lasting).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, addr)| addr).take(self.config.anchors).collect()
    }

    /// Outgoing connections that are open.
    pub fn connected(&self) -> impl Iterator<Item = SocketAddr> {
        self.dialled.iter().filter(|(_, dialled)| dialled.up_since.is_some()).map(|(addr, _)| *addr)
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let tried = self.entries.values().filter(|entry| entry.copies == 0).count();
        Stats { new: self.entries.len() - tried, tried, refused: self.refused }
    }

    fn choose(&mut self, now: Instant) -> Option<(SocketAddr, Purpose)> {
        while let Some(addr) = self.anchors.pop_front() {
            if !self.shares_network(addr) {
                return Some((addr, Purpose::Anchor));
            }
        }
        let outgoing = self.dialled.values().filter(|dialled| dialled.purpose != Purpose::Feeler).count();
        if outgoing < self.config.outgoing {
            // Half of them of those that were met, half of those that were not: neither side decides alone.
            let tried_first = self.rng.below(2) == 0;
            let found = self.pick(now, tried_first).or_else(|| self.pick(now, !tried_first));
            return found.map(|addr| (addr, Purpose::Outgoing));
        }
        if now < self.feeler_at {
            return None;
        }
        self.feeler_at = now + self.config.feeler_interval;
        let feeler = self.challenged().or_else(|| self.pick(now, false))?;
        (!self.dialled.contains_key(&feeler)).then_some((feeler, Purpose::Feeler))
    }

    /// The one that has the place which another wants.
    fn challenged(&mut self) -> Option<SocketAddr> {
        while let Some(addr) = self.challengers.front() {
            let holder = self.slots.get(self.slots.tried_place(*addr));
            match holder.filter(|holder| holder != addr && self.entries.contains_key(addr)) {
                Some(holder) => return Some(holder),
                None => _ = self.challengers.pop_front(),
            }
        }
        None
    }

    /// One at random, of another network than those that are dialled. Places are drawn, not addresses: who has
    /// few addresses in many buckets is as likely as who crowds some.
    fn pick(&mut self, now: Instant, tried: bool) -> Option<SocketAddr> {
        let places = u64::from(self.slots.len(tried));
        let begin = self.rng.below(places);
        let mut fallback = None;
        // Where few places are taken, all are looked through in turn in the end.
        for step in 0..DRAWS + places {
            let place = match step.checked_sub(DRAWS) {
                None => self.rng.below(places),
                Some(step) => (begin + step) % places,
            } as u32;
            let Some(addr) = self.slots.at(tried, place) else { continue };
            let Some(entry) = self.entries.get(&addr) else { continue };
            if self.dialled.contains_key(&addr) || self.shares_network(addr) {
                continue;
            }
            let lately = entry.tried_at.is_some_and(|at| now - at < LATELY);
            // Bitcoin Core: each failure makes it a third less likely.
            let chance = 0.66_f64.powi(entry.failures.min(8) as i32) * if lately { 0.01 } else { 1.0 };
            if self.rng.unit() < chance {
                return Some(addr);
            }
            if !lately {
                fallback = fallback.or(Some(addr));
            }
            if step >= DRAWS && fallback.is_some() {
                break;
            }
        }
        fallback
    }

    fn shares_network(&self, addr: SocketAddr) -> bool {
        let own = network(addr.ip());
        let outgoing = self.dialled.iter().filter(|(_, dialled)| dialled.purpose != Purpose::Feeler);
        scope(addr.ip()) == Scope::Global && outgoing.into_iter().any(|(other, _)| network(other.ip()) == own)
    }

    /// It is there: it belongs among the tried.
    fn met(&mut self, now: Instant, addr: SocketAddr) {
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        entry.failures = 0;
        entry.met_at = Some(now);
        if entry.copies == 0 {
            return;
        }
        let place = self.slots.tried_place(addr);
        if let Some(holder) = self.slots.get(place) {
            if self.is_terrible(now, holder) {
                self.entries.remove(&holder);
            } else {
                // The holder is asked first whether it is still there.
                if self.challengers.len() < CHALLENGES_MAX && !self.challengers.contains(&addr) {
                    self.challengers.push_back(addr);
                }
                return;
            }
        }
        self.slots.leave_all_new(addr);
        self.slots.set(place, Some(addr));
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.copies = 0;
        }
    }

    fn failed(&mut self, now: Instant, addr: SocketAddr) {
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        entry.failures = entry.failures.saturating_add(1);
        let place = self.slots.tried_place(addr);
        if entry.copies != 0 {
            if self.is_terrible(now, addr) {
                self.slots.leave_all_new(addr);
                self.entries.remove(&addr);
            }
            return;
        }
        // A holder that is not there any more makes room for the one that was met.
        let challenger = |other: &SocketAddr| self.slots.tried_place(*other) == place;
        if let Some(at) = self.challengers.iter().position(challenger) {
            let challenger = self.challengers.remove(at);
            self.slots.set(place, None);
            self.entries.remove(&addr);
            challenger.into_iter().for_each(|other| self.met(now, other));
        } else if self.is_terrible(now, addr) {
            self.slots.set(place, None);
            self.entries.remove(&addr);
        }
    }

    /// Nobody would miss it.
    fn is_terrible(&self, now: Instant, addr: SocketAddr) -> bool {
        let Some(entry) = self.entries.get(&addr) else { return true };
        match entry.met_at {
            _ if entry.tried_at.is_some_and(|at| now - at < LATELY) => false,
            None => entry.failures >= FAILURES_MAX_NEW,
            Some(met) => entry.failures >= FAILURES_MAX_TRIED && now - met >= FAILING_FOR,
        }
    }

    fn leave_new(&mut self, place: Where, addr: SocketAddr) {
        self.slots.set(place, None);
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.copies -= 1;
            if entry.copies == 0 {
                self.entries.remove(&addr);
            }
        }
    }
}

/// Places drawn at random before all are looked through in turn.
const DRAWS: u64 = 200;

/// Whether it can be one at all.
fn is_host(addr: SocketAddr) -> bool {
    addr.port() != 0 && !matches!(scope(addr.ip()), Scope::Never | Scope::Local(LocalRange::LinkLocal))
}

/// What one owner may have much of: an IPv4 /16, an IPv6 /32 (Bitcoin Core: `GetGroup`).
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, _, _] = ip.octets();
            IpAddr::from([a, b, 0, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            IpAddr::from([a, b, 0, 0, 0, 0, 0, 0])
        }
    }
}
