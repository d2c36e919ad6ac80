//! Who is served: tit-for-tat (Cohen 2003), with slots by measured capacity.
//!
//! Every 10 s the interested peers that give most are unchoked; one further slot, the optimistic one, goes
//! round every 30 s, to newcomers and those that give back more often, so that better partners are found
//! and nobody starves. A seed, to which nobody gives, serves
//! those that take most and lets two slots go round. Free slots are filled at once, not at the next
//! round.

use crate::Config;
use peerage_base::{Duration, Instant, Rng};

/// Slots that are never undercut: one of them is the optimistic one.
const SLOTS_MIN: usize = 4;
/// Slots while the capacity is unknown; on a local network all of a small swarm is served at once.
const SLOTS_START: usize = 8;
const SLOTS_MAX: usize = 64;
/// A peer newly connected gets the optimistic slot so many times more often (Cohen 2003), as does one that
/// gives back: a stranger has earned a try, an ungrateful one few.
const FAVOURED_WEIGHT: f64 = 3.0;
const NEW_PEER_AGE: Duration = Duration::from_secs(60);
/// An unchoked peer keeps its slot unless another is better by this factor: no flapping.
const KEEP_FACTOR: f64 = 1.1;

/// A peer as the choker sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender {
    /// The number by which the caller knows it.
    pub slot: u32,
    /// It wants something.
    pub interested: bool,
    /// We serve it now.
    pub unchoked: bool,
    /// It does not answer our requests.
    pub snubbed: bool,
    /// Bytes per second that it gives us.
    pub gives: f64,
    /// It gave us something worth what we gave it.
    pub gave: bool,
    /// Bytes per second that it takes.
    pub takes: f64,
    /// When it connected.
    pub since: Instant,
    /// When it was last choked or unchoked.
    pub changed: Instant,
}

/// Who is served, and when that is thought over.
#[derive(Clone, Debug)]
pub struct Choker {
    rechoke_at: Instant,
    rotate_at: Instant,
    optimistic: Vec<u32>,
    /// Turns of the optimistic slot that the peers that are not favoured have in store.
    owed: f64,
    peak_rate: f64,
}

/// Peers to unchoke and to choke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// To be served from now on.
    pub unchoke: Vec<u32>,
    /// Not to be served any more.
    pub choke: Vec<u32>,
}

impl Choker {
    /// The first round is due one interval from `now`.
    #[must_use]
    pub fn new(now: Instant, config: &Config) -> Self {
        Self {
            rechoke_at: now + config.rechoke_interval,
            rotate_at: now + config.optimistic_interval,
            optimistic: Vec::new(),
            owed: 0.0,
            peak_rate: 0.0,
        }
    }

    /// When the next round is due.
    #[must_use]
    pub fn due_at(&self) -> Instant {
        self.rechoke_at
    }

    /// A peer is gone or wants nothing: its slot by chance is free.
    pub fn remove(&mut self, slot: u32) {
        self.optimistic.retain(|other| *other != slot);
    }

    /// Slots for a line of the measured or configured rate: the square root of 0.6 times KiB/s (the
    /// first client's rule, cited by Piatek et al., NSDI 2007), within bounds.
    #[must_use]
    pub fn slots(&self, config: &Config, limit: Option<u64>) -> usize {
        if let Some(slots) = config.upload_slots {
            return slots;
        }
        let by_rate = |rate: f64| (0.6 * rate / 1024.0).sqrt() as usize;
        match limit {
            Some(limit) => by_rate(limit as f64).clamp(SLOTS_MIN, SLOTS_MAX),
            None => by_rate(self.peak_rate).clamp(SLOTS_START, SLOTS_MAX),
        }
    }

    /// While something is wanted of others, slots are scarcer than those who want one: a third of them
    /// is served at a time. Where everybody is served, nobody earns anything, and free riders get as
    /// much as those that upload (measured in `crates/peer/tests/it/fairness.rs`).
    #[must_use]
    pub fn scarce(config: &Config, slots: usize, interested: usize) -> usize {
        if config.upload_slots.is_some() { slots } else { slots.min(interested.div_ceil(3).max(SLOTS_MIN)) }
    }

    /// Fills free slots at once: first those that give most, then those that have waited longest.
    #[must_use]
    pub fn fill(&self, peers: &[Contender], slots: usize) -> Vec<u32> {
        let used = peers.iter().filter(|peer| peer.unchoked && peer.interested).count();
        let free = slots.saturating_sub(used);
        if free == 0 {
            return Vec::new();
        }
        let mut waiting: Vec<&Contender> =
            peers.iter().filter(|peer| peer.interested && !peer.unchoked).collect();
        waiting.sort_by(|a, b| {
            let order = a.snubbed.cmp(&b.snubbed).then(b.gives.total_cmp(&a.gives));
            order.then(a.changed.cmp(&b.changed)).then(a.slot.cmp(&b.slot))
        });
        waiting.iter().take(free).map(|peer| peer.slot).collect()
    }

    /// A round: who keeps, gets and loses a slot. `seeding`: nothing is wanted of anybody.
    pub fn rechoke(
        &mut self,
        now: Instant,
        config: &Config,
        peers: &[Contender],
        seeding: bool,
        limit: Option<u64>,
        rng: &mut Rng,
    ) -> Changes {
        self.rechoke_at = now + config.rechoke_interval;
        let rate: f64 = peers.iter().map(|peer| peer.takes).sum();
        // The peak fades: a line that became slower is noticed within minutes.
        self.peak_rate = rate.max(self.peak_rate * 0.95);
        let interested = peers.iter().filter(|peer| peer.interested).count();
        let slots = self.slots(config, limit);
        let slots = if seeding { slots } else { Self::scarce(config, slots, interested) };
        let by_chance = match (slots, seeding) {
            (0 | 1, _) => 0,
            (_, false) => 1,
            (_, true) => (slots / 2).min(2),
        };
        let mut ranked: Vec<&Contender> = peers.iter().filter(|peer| peer.interested).collect();
        let everybody = ranked.len() <= slots;
        let merit = |peer: &Contender| {
            let rate = if seeding { peer.takes } else { peer.gives };
            rate * if peer.unchoked { KEEP_FACTOR } else { 1.0 }
        };
        ranked.sort_by(|a, b| {
            let snubbed = (a.snubbed && !seeding).cmp(&(b.snubbed && !seeding));
            snubbed
                .then(merit(b).total_cmp(&merit(a)))
                .then(a.changed.cmp(&b.changed))
                .then(a.slot.cmp(&b.slot))
        });
        let mut served: Vec<u32> = Vec::new();
        let regular = if everybody { slots } else { slots - by_chance };
        served.extend(ranked.iter().take(regular).map(|peer| peer.slot));
        self.choose_by_chance(now, config, &ranked, &mut served, if everybody { 0 } else { by_chance }, rng);
        let mut changes = Changes::default();
        for peer in peers {
            match (peer.unchoked, served.contains(&peer.slot)) {
                (false, true) => changes.unchoke.push(peer.slot),
                // Who wants nothing loses its slot only when others want it; it costs nothing.
                (true, false) if peer.interested || !everybody => changes.choke.push(peer.slot),
                _ => {}
            }
        }
        changes
    }

    fn choose_by_chance(
        &mut self,
        now: Instant,
        config: &Config,
        ranked: &[&Contender],
        served: &mut Vec<u32>,
        count: usize,
        rng: &mut Rng,
    ) {
        if now >= self.rotate_at {
            self.rotate_at = now + config.optimistic_interval;
            self.optimistic.clear();
        }
        let can = |slot: &u32| ranked.iter().any(|peer| peer.slot == *slot) && !served.contains(slot);
        self.optimistic.retain(can);
        self.optimistic.truncate(count);
        served.extend(&self.optimistic);
        while self.optimistic.len() < count {
            let mut waiting: Vec<&&Contender> =
                ranked.iter().filter(|peer| !served.contains(&peer.slot)).collect();
            if waiting.is_empty() {
                break;
            }
            // Turns are dealt by weight, not drawn: who wins a regular slot and loses it again has not
            // waited long, and chance alone can pass somebody over for a long time.
            let favoured = |peer: &Contender| peer.gave || now.since(peer.since) < NEW_PEER_AGE;
            let liked = waiting.iter().filter(|peer| favoured(peer)).count();
            let others = (waiting.len() - liked) as f64;
            self.owed += others / (others + FAVOURED_WEIGHT * liked as f64);
            let turn_of_favoured = self.owed < 1.0;
            self.owed -= if turn_of_favoured { 0.0 } else { 1.0 };
            waiting.retain(|peer| favoured(peer) == turn_of_favoured);
            let waited = |peer: &Contender| {
                if peer.unchoked { Duration::ZERO } else { now.since(peer.changed) }
            };
            let Some(longest) = waiting.iter().map(|peer| waited(peer)).max() else { break };
            let first: Vec<u32> =
                waiting.iter().filter(|peer| waited(peer) == longest).map(|peer| peer.slot).collect();
            let Some(&slot) = first.get(rng.below(first.len() as u64) as usize) else { break };
            self.optimistic.push(slot);
            served.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Rng;
    use proptest::prelude::*;

    fn contender(slot: u32, gives: f64) -> Contender {
        Contender {
            slot,
            interested: true,
            unchoked: false,
            snubbed: false,
            gives,
            gave: gives > 0.0,
            takes: 0.0,
            since: Instant::ZERO,
            changed: Instant::ZERO,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn apply(peers: &mut [Contender], changes: &Changes, now: Instant) {
        for peer in peers {
            if changes.unchoke.contains(&peer.slot) {
                (peer.unchoked, peer.changed) = (true, now);
            }
            if changes.choke.contains(&peer.slot) {
                (peer.unchoked, peer.changed) = (false, now);
            }
        }
    }

    #[test]
    fn slots_follow_the_capacity() {
        let config = Config::default();
        let mut choker = Choker::new(Instant::ZERO, &config);
        assert_eq!(choker.slots(&config, None), SLOTS_START);
        assert_eq!(choker.slots(&config, Some(20_000)), SLOTS_MIN);
        assert_eq!(choker.slots(&config, Some(1 << 20)), 24);
        choker.peak_rate = 4e6;
        assert_eq!(choker.slots(&config, None), 48);
        assert_eq!(choker.slots(&Config { upload_slots: Some(2), ..config }, None), 2);
    }

    #[test]
    fn free_slots_are_filled_at_once_by_those_that_waited_longest() {
        let config = Config { upload_slots: Some(3), ..Config::default() };
        let choker = Choker::new(Instant::ZERO, &config);
        let mut peers: Vec<Contender> = (0..5).map(|slot| contender(slot, 0.0)).collect();
        peers[0].changed = at(9);
        peers[3].interested = false;
        peers[4].unchoked = true;
        assert_eq!(choker.fill(&peers, 3), [1, 2]);
        peers[4].unchoked = false;
        assert_eq!(choker.fill(&peers, 3), [1, 2, 4]);
    }

    /// Those that give are served nearly always, those that do not get the slot of chance only; in
    /// seed mode everybody gets a turn.
    #[test]
    fn tit_for_tat_serves_givers_and_starves_nobody() {
        for seeding in [false, true] {
            let config = Config { upload_slots: Some(4), ..Config::default() };
            let mut choker = Choker::new(Instant::ZERO, &config);
            let mut rng = Rng::from_number(5);
            let gives = |slot| if slot < 3 { 1000.0 + f64::from(slot) } else { 0.0 };
            let mut peers: Vec<Contender> = (0..12).map(|slot| contender(slot, gives(slot))).collect();
            let mut served = [0; 12];
            for round in 1..=360 {
                let now = at(round * 10);
                let changes = choker.rechoke(now, &config, &peers, seeding, None, &mut rng);
                apply(&mut peers, &changes, now);
                assert_eq!(peers.iter().filter(|peer| peer.unchoked).count(), 4);
                for peer in &mut peers {
                    served[peer.slot as usize] += u32::from(peer.unchoked);
                    peer.takes = if peer.unchoked { 100.0 } else { 0.0 };
                }
            }
            assert!(served.iter().all(|rounds| *rounds > 5), "{served:?}");
            if !seeding {
                let (givers, riders) = (&served[..3], &served[3..]);
                assert!(givers.iter().min().unwrap() > &(riders.iter().max().unwrap() * 3), "{served:?}");
            }
        }
    }

    /// Four givers for three regular slots: the fourth does not hold the optimistic slot against all others.
    #[test]
    fn the_optimistic_slot_goes_round() {
        let config = Config { upload_slots: Some(4), ..Config::default() };
        let mut choker = Choker::new(Instant::ZERO, &config);
        let mut rng = Rng::from_number(6);
        let mut peers: Vec<Contender> =
            (0..8).map(|slot| contender(slot, if slot < 4 { 1000.0 } else { 0.0 })).collect();
        let mut served = [0; 8];
        for round in 1..=30 {
            let now = at(round * 10);
            let changes = choker.rechoke(now, &config, &peers, false, None, &mut rng);
            apply(&mut peers, &changes, now);
            peers.iter().for_each(|peer| served[peer.slot as usize] += u32::from(peer.unchoked));
        }
        assert!(served[4..].iter().all(|rounds| (2..=6).contains(rounds)), "{served:?}");
        assert!(served[..4].iter().min() > served[4..].iter().max(), "{served:?}");
    }

    #[test]
    fn a_snubbing_peer_loses_its_slot_to_any_other() {
        let config = Config { upload_slots: Some(2), ..Config::default() };
        let mut choker = Choker::new(Instant::ZERO, &config);
        let mut peers: Vec<Contender> = (0..3).map(|slot| contender(slot, 100.0)).collect();
        peers[0] = Contender { snubbed: true, gives: 900.0, unchoked: true, ..peers[0] };
        peers[1].unchoked = true;
        let changes = choker.rechoke(at(10), &config, &peers, false, None, &mut Rng::from_number(1));
        assert!(!changes.choke.contains(&1));
    }

    proptest! {
        #[test]
        fn a_round_serves_as_many_as_it_may_and_only_the_interested(
            peers in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0.0f64..1e6, 0.0f64..1e6), 0..40),
            slots in 0usize..12,
            seeding in any::<bool>(),
        ) {
            let config = Config { upload_slots: Some(slots), ..Config::default() };
            let mut choker = Choker::new(Instant::ZERO, &config);
            let mut peers: Vec<Contender> = peers.into_iter().zip(0..).map(|((interested, unchoked, snubbed, gives, takes), slot)| {
                Contender { interested, unchoked, snubbed, takes, ..contender(slot, gives) }
            }).collect();
            let changes = choker.rechoke(at(10), &config, &peers, seeding, None, &mut Rng::from_number(3));
            apply(&mut peers, &changes, at(10));
            let interested = peers.iter().filter(|peer| peer.interested).count();
            let served = peers.iter().filter(|peer| peer.interested && peer.unchoked).count();
            prop_assert_eq!(served, interested.min(slots));
            prop_assert!(changes.unchoke.iter().all(|slot| peers[*slot as usize].interested));
        }
    }
}
