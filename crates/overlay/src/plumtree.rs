//! Plumtree: broadcast by a tree that is grown out of a gossip overlay, and mended by it.
//!
//! Leitão, Pereira and Rodrigues, "Epidemic broadcast trees" (SRDS 2007). Neighbours are those of
//! [`crate::hyparview`]. To *eager* ones a message is sent whole, to *lazy* ones its name alone. Who gets a
//! message twice makes the second sender lazy (`Prune`); who hears a name and gets no message asks for it,
//! which makes that sender eager (`Graft`).
//!
//! **Invariants.** Each neighbour is eager or lazy. A message is delivered once: its id is the SHA-256 of what it
//! says, which the receiver computes, so that nobody can take another's place. Messages are kept, for those who
//! ask, and ids, to know them again, within [`Config::kept_max`] and [`Config::seen_max`]; names without a
//! message within [`Config::missing_max`]. A message that is older than what is remembered may be delivered
//! again: services that mind number theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerage_base::limits::{GOSSIP_IHAVES_MAX, GOSSIP_PAYLOAD_BYTES_MAX};
use peerage_base::{Duration, Instant, PeerId};
use peerage_wire::gossip::{Broadcast, MessageId};
use sha2::{Digest, Sha256};

/// Names of one message's holders that are kept while it is missing.
const HOLDERS_MAX: usize = 8;

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long names wait to go together. Zero: each goes at once, as in the paper's measurements.
    pub ihave_delay: Duration,
    /// From a name to the question for its message: longer than a message takes over the tree (paper,
    /// section 3.5; iroh-gossip: 80 ms).
    pub graft_timeout: Duration,
    /// From one such question to the next, to another holder: shorter, about one round trip.
    pub graft_again: Duration,
    /// A name that shows a way shorter by so many hops makes its sender eager, and the longer way lazy (paper,
    /// section 3.8: 7 for 10,000 members); `None`: the tree stays as it is.
    pub optimisation_threshold: Option<u16>,
    /// Messages kept for those who ask.
    pub kept_max: usize,
    /// Ids remembered.
    pub seen_max: usize,
    /// Messages missing at a time.
    pub missing_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ihave_delay: Duration::from_millis(5),
            graft_timeout: Duration::from_millis(500),
            graft_again: Duration::from_millis(250),
            optimisation_threshold: Some(7),
            kept_max: 256,
            seen_max: 16_384,
            missing_max: 1024,
        }
    }
}

/// A change of who is a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// It is one now.
    Up,
    /// It is none any more.
    Down,
}

/// What the machine wants, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send {
        /// To a neighbour.
        to: PeerId,
        /// What.
        message: Broadcast,
    },
    /// A message that was not seen before.
    Deliver {
        /// Its id.
        id: MessageId,
        /// The neighbour that passed it on, which need not have written it.
        from: PeerId,
        /// Hops that it has made.
        round: u16,
        /// What it says.
        payload: Vec<u8>,
    },
}

/// What cannot be broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastError {
    /// Longer than [`GOSSIP_PAYLOAD_BYTES_MAX`].
    #[error("a message has {GOSSIP_PAYLOAD_BYTES_MAX} bytes at most")]
    TooLong,
    /// It was broadcast, or heard, already.
    #[error("the same was said already; number what may be said twice")]
    Known,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Whole messages sent.
    pub payloads: u64,
    /// Other messages sent.
    pub control: u64,
    /// Messages delivered, our own not counted.
    pub delivered: u64,
    /// Whole messages that came again.
    pub duplicates: u64,
    /// Messages of which only the name came, and nobody sent them.
    pub missed: u64,
    /// Messages of peers that are no neighbours.
    pub ignored: u64,
}

/// A message whose name was heard.
#[derive(Debug)]
struct Missing {
    /// When the next holder is asked.
    ask_at: Instant,
    /// Who has it, and after how many hops.
    holders: VecDeque<(PeerId, u16)>,
}

#[derive(Debug)]
struct Kept {
    round: u16,
    payload: Vec<u8>,
}

/// How a message first came.
#[derive(Clone, Copy, Debug)]
struct Seen {
    from: Option<PeerId>,
    round: u16,
}

/// One member's part in one group's broadcasts.
#[derive(Debug)]
pub struct Plumtree {
    config: Config,
    eager: BTreeSet<PeerId>,
    lazy: BTreeSet<PeerId>,
    seen: BTreeMap<MessageId, Seen>,
    seen_order: VecDeque<MessageId>,
    kept: BTreeMap<MessageId, Kept>,
    kept_order: VecDeque<MessageId>,
    missing: BTreeMap<MessageId, Missing>,
    /// Names to be told, by neighbour, and when.
    names: BTreeMap<PeerId, Vec<(MessageId, u16)>>,
    names_at: Option<Instant>,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Plumtree {
    /// A member without neighbours. Nothing is left to chance here.
    #[must_use]
    pub fn new(config: Config) -> Self {
        assert!(config.kept_max >= 1 && config.seen_max >= config.kept_max && config.missing_max >= 1);
        Self {
            config,
            eager: BTreeSet::new(),
            lazy: BTreeSet::new(),
            seen: BTreeMap::new(),
            seen_order: VecDeque::new(),
            kept: BTreeMap::new(),
            kept_order: VecDeque::new(),
            missing: BTreeMap::new(),
            names: BTreeMap::new(),
            names_at: None,
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Tells the group.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub fn broadcast(&mut self, now: Instant, payload: Vec<u8>) -> Result<MessageId, BroadcastError> {
        if payload.len() > GOSSIP_PAYLOAD_BYTES_MAX {
            return Err(BroadcastError::TooLong);
        }
        let id = message_id(&payload);
        if self.seen.contains_key(&id) {
            return Err(BroadcastError::Known);
        }
        self.remember(id, Seen { from: None, round: 0 });
        self.push(now, id, 0, payload, None);
        Ok(id)
    }

    /// A neighbour came or went.
    pub fn handle_peer(&mut self, now: Instant, peer: PeerId, change: PeerChange) {
        match change {
            PeerChange::Up if !self.lazy.contains(&peer) => _ = self.eager.insert(peer),
            PeerChange::Up => {}
            PeerChange::Down => {
                self.eager.remove(&peer);
                self.lazy.remove(&peer);
                self.names.remove(&peer);
                for missing in self.missing.values_mut() {
                    missing.holders.retain(|(holder, _)| *holder != peer);
                    if missing.holders.is_empty() {
                        missing.ask_at = missing.ask_at.min(now);
                    }
                }
            }
        }
    }

    /// One message of a neighbour.
    pub fn handle_message(&mut self, now: Instant, from: PeerId, message: Broadcast) {
        if !self.eager.contains(&from) && !self.lazy.contains(&from) {
            self.stats.ignored += 1;
            return;
        }
        match message {
            Broadcast::Gossip { round, payload } => self.on_gossip(now, from, round, payload),
            Broadcast::IHave { messages } => self.on_ihave(now, from, &messages),
            Broadcast::Graft { message } => {
                self.make_eager(from);
                if let Some((id, kept)) = message.and_then(|id| Some((id, self.kept.get(&id)?))) {
                    let (round, payload) = (kept.round.saturating_add(1), kept.payload.clone());
                    debug_assert_eq!(message_id(&payload), id);
                    self.send(from, Broadcast::Gossip { round, payload });
                }
            }
            Broadcast::Prune => self.make_lazy(from),
        }
    }

    /// A deadline passed; early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.names_at.is_some_and(|at| at <= now) {
            self.tell_names();
        }
        let due = |(id, missing): (&MessageId, &Missing)| (missing.ask_at <= now).then_some(*id);
        let due: Vec<MessageId> = self.missing.iter().filter_map(due).collect();
        for id in due {
            self.ask(now, id);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let missing = self.missing.values().map(|missing| missing.ask_at).min().map(|at| (at, "graft"));
        let names = self.names_at.map(|at| (at, "ihave"));
        [missing, names].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Neighbours to which messages are sent whole.
    pub fn eager(&self) -> impl Iterator<Item = PeerId> {
        self.eager.iter().copied()
    }

    /// Neighbours to which names are sent.
    pub fn lazy(&self) -> impl Iterator<Item = PeerId> {
        self.lazy.iter().copied()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn on_gossip(&mut self, now: Instant, from: PeerId, round: u16, payload: Vec<u8>) {
        let id = message_id(&payload);
        if self.seen.contains_key(&id) {
            self.stats.duplicates += 1;
            self.make_lazy(from);
            return self.send(from, Broadcast::Prune);
        }
        self.remember(id, Seen { from: Some(from), round });
        let missing = self.missing.remove(&id);
        self.stats.delivered += 1;
        self.make_eager(from);
        self.outputs.push_back(Output::Deliver { id, from, round, payload: payload.clone() });
        self.push(now, id, round, payload, Some(from));
        for (holder, hops) in missing.into_iter().flat_map(|missing| missing.holders) {
            self.optimise(id, holder, hops);
        }
    }

    fn on_ihave(&mut self, now: Instant, from: PeerId, messages: &[(MessageId, u16)]) {
        for (id, round) in messages.iter().take(GOSSIP_IHAVES_MAX) {
            if self.seen.contains_key(id) {
                self.optimise(*id, from, *round);
            } else if let Some(missing) = self.missing.get_mut(id) {
                if missing.holders.len() < HOLDERS_MAX
                    && !missing.holders.iter().any(|(peer, _)| *peer == from)
                {
                    missing.holders.push_back((from, *round));
                }
            } else if self.missing.len() < self.config.missing_max {
                let ask_at = now + self.config.graft_timeout;
                self.missing.insert(*id, Missing { ask_at, holders: VecDeque::from([(from, *round)]) });
            }
        }
    }

    /// A shorter way than the one by which a message came takes its place (paper, section 3.8).
    fn optimise(&mut self, id: MessageId, holder: PeerId, hops: u16) {
        let Some(threshold) = self.config.optimisation_threshold else { return };
        let Some(Seen { from: Some(parent), round }) = self.seen.get(&id).copied() else { return };
        // The holder would have sent it one hop further.
        let shorter = hops.saturating_add(1) < round && round - hops > threshold;
        if shorter && holder != parent && self.lazy.contains(&holder) && self.eager.contains(&parent) {
            self.make_eager(holder);
            self.send(holder, Broadcast::Graft { message: None });
            self.make_lazy(parent);
            self.send(parent, Broadcast::Prune);
        }
    }

    /// Sends a message on: whole to the eager ones, its name to the lazy ones.
    fn push(&mut self, now: Instant, id: MessageId, round: u16, payload: Vec<u8>, from: Option<PeerId>) {
        let next = round.saturating_add(1);
        for peer in self.eager.iter().copied().filter(|peer| Some(*peer) != from).collect::<Vec<_>>() {
            self.send(peer, Broadcast::Gossip { round: next, payload: payload.clone() });
        }
        for peer in self.lazy.iter().filter(|peer| Some(**peer) != from) {
            let names = self.names.entry(*peer).or_default();
            // The oldest is least likely to be missing still.
            if names.len() >= self.config.kept_max {
                names.remove(0);
            }
            names.push((id, round));
        }
        if self.config.ihave_delay.is_zero() {
            self.tell_names();
        } else if !self.names.is_empty() && self.names_at.is_none() {
            self.names_at = Some(now + self.config.ihave_delay);
        }
        self.kept.insert(id, Kept { round, payload });
        self.kept_order.push_back(id);
        while self.kept_order.len() > self.config.kept_max {
            self.kept_order.pop_front().and_then(|old| self.kept.remove(&old));
        }
    }

    fn tell_names(&mut self) {
        self.names_at = None;
        for (peer, names) in std::mem::take(&mut self.names) {
            for part in names.chunks(GOSSIP_IHAVES_MAX) {
                self.send(peer, Broadcast::IHave { messages: part.to_vec() });
            }
        }
    }

    /// Asks the next holder of a message that has not come.
    fn ask(&mut self, now: Instant, id: MessageId) {
        let Some(missing) = self.missing.get_mut(&id) else { return };
        let Some((holder, _)) = missing.holders.pop_front() else {
            self.missing.remove(&id);
            self.stats.missed += 1;
            return;
        };
        missing.ask_at = now + self.config.graft_again;
        self.make_eager(holder);
        self.send(holder, Broadcast::Graft { message: Some(id) });
    }

    fn make_eager(&mut self, peer: PeerId) {
        if self.lazy.remove(&peer) {
            self.eager.insert(peer);
        }
    }

    fn make_lazy(&mut self, peer: PeerId) {
        if self.eager.remove(&peer) {
            self.lazy.insert(peer);
        }
    }

    fn remember(&mut self, id: MessageId, seen: Seen) {
        self.seen.insert(id, seen);
        self.seen_order.push_back(id);
        while self.seen_order.len() > self.config.seen_max {
            self.seen_order.pop_front().and_then(|old| self.seen.remove(&old));
        }
    }

    fn send(&mut self, to: PeerId, message: Broadcast) {
        match message {
            Broadcast::Gossip { .. } => self.stats.payloads += 1,
            _ => self.stats.control += 1,
        }
        self.outputs.push_back(Output::Send { to, message });
    }
}

/// The id of a message.
#[must_use]
pub fn message_id(payload: &[u8]) -> MessageId {
    Sha256::digest(payload).into()
}
