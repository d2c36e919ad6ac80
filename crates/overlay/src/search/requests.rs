//! Questions on the way.

use peerage_base::{Duration, Instant, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A question that was sent.
#[derive(Clone, Debug)]
struct Sent<P> {
    to: SocketAddr,
    purpose: P,
    at: Instant,
}

/// Questions by transaction. Numbers are random: who does not see a question cannot answer it.
#[derive(Clone, Debug)]
pub(crate) struct Requests<P> {
    sent: BTreeMap<u32, Sent<P>>,
    deadlines: BTreeSet<(Instant, u32)>,
    timeout: Duration,
    /// Questions in a row that an address has not answered.
    strikes: BTreeMap<SocketAddr, u8>,
}

/// A frame may be lost: who has not answered so many questions in a row counts as dead.
const STRIKES_MAX: u8 = 2;

/// Addresses whose strikes are kept; all are forgiven beyond.
const STRUCK_MAX: usize = 1_024;

impl<P> Requests<P> {
    pub(crate) fn new(timeout: Duration) -> Self {
        let (sent, deadlines, strikes) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { sent, deadlines, timeout, strikes }
    }

    /// Notes a question; gives its transaction.
    pub(crate) fn begin(&mut self, now: Instant, to: SocketAddr, purpose: P, rng: &mut Rng) -> u32 {
        let mut transaction = rng.next_u32();
        while self.sent.contains_key(&transaction) {
            transaction = rng.next_u32();
        }
        self.deadlines.insert((now + self.timeout, transaction));
        self.sent.insert(transaction, Sent { to, purpose, at: now });
        transaction
    }

    /// What an answer is for, and how long it took. `None` when nobody awaits it from there.
    pub(crate) fn finish(
        &mut self,
        now: Instant,
        from: SocketAddr,
        transaction: u32,
    ) -> Option<(P, Duration)> {
        if self.sent.get(&transaction)?.to != from {
            return None;
        }
        let sent = self.sent.remove(&transaction)?;
        self.deadlines.remove(&(sent.at + self.timeout, transaction));
        self.strikes.remove(&from);
        Some((sent.purpose, now.since(sent.at)))
    }

    /// A question whose time is over, and whom it went to.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<(SocketAddr, P)> {
        let (at, transaction) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        self.sent.remove(&transaction).map(|sent| (sent.to, sent.purpose))
    }

    /// Notes that an address did not answer. Whether it counts as dead now.
    pub(crate) fn strike(&mut self, addr: SocketAddr) -> bool {
        if self.strikes.len() >= STRUCK_MAX {
            self.strikes.clear();
        }
        let strikes = self.strikes.entry(addr).or_default();
        *strikes += 1;
        let dead = *strikes >= STRIKES_MAX;
        if dead {
            self.strikes.remove(&addr);
        }
        dead
    }

    /// When the next one's time is over.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }
}
