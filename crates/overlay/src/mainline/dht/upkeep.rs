//! The table's care: joining, filling, asking the silent, forgetting the old.

use super::search::{Kind, Search};
use super::{DEFERRED_MAX, Dht, PROOF, Purpose};
use crate::kademlia::{Contact, LookupConfig};
use peerage_base::{Duration, Instant, Key};
use peerage_wire::krpc::Method;
use std::net::SocketAddr;

/// Time between two attempts to join at the same addresses.
const REJOIN: Duration = Duration::from_secs(15);

/// Time between two looks for what has expired.
const EXPIRE: Duration = Duration::from_secs(60);

/// Time between two stores of a published item (BEP 44).
pub(super) const REPUBLISH: Duration = Duration::from_secs(3600);

/// A deferred query is forgotten after this time.
const DEFERRAL: Duration = Duration::from_secs(5);

/// Buckets that are filled after joining: beyond, networks of this world have no nodes.
const FILL_MAX: usize = 26;

impl Dht {
    /// Looks for our own neighbourhood, from whoever is known.
    pub(super) fn join(&mut self, now: Instant, v6: bool, contacts: &[Contact<20>]) {
        let index = usize::from(v6);
        self.families[index].bootstrapped = Some(now);
        let (target, strangers) = (self.families[index].id, self.families[index].bootstrap.clone());
        self.begin_upkeep(now, v6, target, contacts, strangers);
        self.families[index].fill = 0;
    }

    fn begin_upkeep(
        &mut self,
        now: Instant,
        v6: bool,
        target: Key<20>,
        contacts: &[Contact<20>],
        strangers: Vec<SocketAddr>,
    ) {
        // Upkeep has time: one path, few questions at once.
        let config = LookupConfig { paths: 1, alpha: 3, ..self.config.lookup.clone() };
        let search = Search::new(now, Kind::Nodes, None, v6, target);
        let id = self.begin(now, search, config, contacts, strangers);
        self.families[usize::from(v6)].upkeep = Some(id);
    }

    /// The upkeep's turn, where it has come.
    pub(super) fn upkeep(&mut self, now: Instant) {
        if now < self.upkeep_at {
            return;
        }
        // A little chance keeps nodes that were started together from acting together.
        let period = self.config.upkeep.as_micros() as u64;
        self.upkeep_at = now + Duration::from_micros(period / 2 + self.rng.below(period));
        for v6 in [false, true] {
            self.upkeep_family(now, v6);
        }
        self.republish(now);
        if now >= self.expire_at {
            self.expire_at = now + EXPIRE;
            self.peers.expire(now);
            self.items.expire(now);
            self.proven.retain(|_, at| now.since(*at) < PROOF);
        }
        self.deferred.retain(|_, (at, ..)| now.since(*at) < DEFERRAL);
        // Those that waited for others' answers.
        let waiting: Vec<_> = self.searches.keys().copied().collect();
        waiting.into_iter().for_each(|search| self.advance(now, search));
    }

    fn upkeep_family(&mut self, now: Instant, v6: bool) {
        let index = usize::from(v6);
        if let Some(silent) = self.families[index].table.stalest(now) {
            self.ask(now, silent.addr, Some(silent.key), Purpose::Verify, Method::Ping);
        }
        if self.families[index].upkeep.is_some_and(|search| self.searches.contains_key(&search)) {
            return;
        }
        let family = &mut self.families[index];
        let rested = family.bootstrapped.is_none_or(|at| now.since(at) >= REJOIN);
        if family.table.len() < self.config.lookup.k && rested && !family.bootstrap.is_empty() {
            self.join(now, v6, &[]);
        } else if let Some(target) = self.next_refresh(now, index) {
            self.begin_upkeep(now, v6, target, &[], Vec::new());
        }
    }

    /// Stores the next published item whose time has come.
    fn republish(&mut self, now: Instant) {
        let due = self.published.values_mut().find(|(at, _)| *at <= now);
        let Some((at, item)) = due else { return };
        *at = now + REPUBLISH;
        let (item, cas) = (item.clone(), None);
        let target = item.target();
        for v6 in [false, true] {
            if !self.families[usize::from(v6)].table.is_empty() {
                let search = Search::new(now, Kind::Put { item: item.clone(), cas }, None, v6, target);
                self.begin(now, search, self.config.lookup.clone(), &[], Vec::new());
            }
        }
    }

    /// The key of a bucket to fill after joining, or of one that was left alone for long.
    fn next_refresh(&mut self, now: Instant, index: usize) -> Option<Key<20>> {
        let family = &mut self.families[index];
        if family.table.is_empty() {
            return None;
        }
        if family.fill < family.table.depth().min(FILL_MAX) {
            family.fill += 1;
            return Some(family.table.key_in(family.fill - 1, &mut self.rng));
        }
        family.table.refresh(now, &mut self.rng)
    }

    /// Asks a node that we only heard of whether it is there, within a limit; whether it was asked.
    pub(super) fn verify(&mut self, now: Instant, contact: &Contact<20>) -> bool {
        let rate = f64::from(self.config.verify_per_s);
        let earned = rate * now.since(self.verify_filled).as_secs_f64();
        self.verify_credit = (self.verify_credit + earned).min(4.0 * rate);
        self.verify_filled = now;
        if self.verify_credit < 1.0 {
            return false;
        }
        self.verify_credit -= 1.0;
        self.ask(now, contact.addr, Some(contact.key), Purpose::Verify, Method::Ping);
        true
    }

    /// Keeps a query whose answer is too long for an address that has proven nothing, and asks for
    /// the proof.
    pub(super) fn defer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: peerage_wire::krpc::Message,
        len: usize,
    ) {
        if self.deferred.len() < DEFERRED_MAX && !self.deferred.contains_key(&from) {
            self.deferred.insert(from, (now, message, len));
            self.ask(now, from, None, Purpose::Verify, Method::Ping);
        }
    }
}
