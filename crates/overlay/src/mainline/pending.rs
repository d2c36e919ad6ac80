//! Questions on the way.

use super::dht::{Purpose, SearchId};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::krpc::Id;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A question that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    /// Who that should be, where it is known.
    pub(super) key: Option<Id>,
    pub(super) at: Instant,
    pub(super) purpose: Purpose,
    late: bool,
    deadline: Instant,
}

/// What happened to a question.
#[derive(Clone, Debug)]
pub(super) enum Timeout {
    /// It takes longer than usual.
    Late(SearchId, SocketAddr),
    /// No answer will be believed any more.
    Failed(Sent),
}

/// Questions by transaction. Numbers are random: who does not see a question cannot answer it.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    sent: BTreeMap<u32, Sent>,
    deadlines: BTreeSet<(Instant, u32)>,
    timeout: Duration,
    rng: Rng,
}

impl Pending {
    pub(super) fn new(timeout: Duration, rng: Rng) -> Self {
        Self { sent: BTreeMap::new(), deadlines: BTreeSet::new(), timeout, rng }
    }

    /// Whether an answer of this address is awaited.
    pub(super) fn awaits(&self, from: SocketAddr) -> bool {
        self.sent.values().any(|sent| sent.to == from)
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Notes a question; gives its transaction.
    pub(super) fn add(
        &mut self,
        now: Instant,
        to: SocketAddr,
        key: Option<Id>,
        purpose: Purpose,
        late_after: Duration,
    ) -> [u8; 4] {
        let mut transaction = self.rng.next_u32();
        while self.sent.contains_key(&transaction) {
            transaction = self.rng.next_u32();
        }
        let deadline = now + late_after.min(self.timeout);
        self.deadlines.insert((deadline, transaction));
        self.sent.insert(transaction, Sent { to, key, at: now, purpose, late: false, deadline });
        transaction.to_be_bytes()
    }

    /// The question that an answer from this address with this transaction is for.
    pub(super) fn take(&mut self, from: SocketAddr, transaction: &[u8]) -> Option<Sent> {
        let transaction = u32::from_be_bytes(transaction.try_into().ok()?);
        if self.sent.get(&transaction)?.to != from {
            return None;
        }
        let sent = self.sent.remove(&transaction)?;
        self.deadlines.remove(&(sent.deadline, transaction));
        Some(sent)
    }

    /// The next question whose time has come.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Timeout> {
        loop {
            let (at, transaction) = *self.deadlines.first()?;
            if at > now {
                return None;
            }
            self.deadlines.pop_first();
            let sent = self.sent.get_mut(&transaction)?;
            let end = sent.at + self.timeout;
            if end <= now {
                return self.sent.remove(&transaction).map(Timeout::Failed);
            }
            sent.deadline = end;
            self.deadlines.insert((end, transaction));
            if let Purpose::Lookup(search) = sent.purpose
                && !core::mem::replace(&mut sent.late, true)
            {
                return Some(Timeout::Late(search, sent.to));
            }
        }
    }

    /// When the next one's time comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}
