//! Fetching the info dictionary from peers that may lie (BEP 9).
//!
//! Each attempt takes the whole dictionary from one peer, so that a wrong one has one culprit. A few
//! attempts run side by side; together they never hold more than one dictionary of the largest size.
//! Smaller claims go first: a liar that claims 30 MiB keeps nobody waiting (threats.md P5).

use peerage_base::{Duration, InfoHashes, Instant, limits};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Attempts side by side.
const ATTEMPTS_MAX: usize = 4;
/// A further attempt begins when the first did not end within this time.
const ATTEMPT_GAP: Duration = Duration::from_millis(500);
/// Pieces asked for at once within an attempt.
const WINDOW: u32 = 8;
/// An attempt may take so long, doubled with each failure of its peer,
const ATTEMPT_TIME: Duration = Duration::from_secs(5);
/// and longer for a large dictionary: bytes per second that any honest peer reaches.
const SLOWEST: u64 = 64 * 1024;
const PIECE_LEN: u32 = limits::METADATA_PIECE_LEN as u32;

/// A request to send: to which peer, for which piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The number by which the caller knows the peer.
    pub slot: u32,
    /// Index of the piece.
    pub piece: u32,
}

/// What came of a piece of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Going,
    /// The info dictionary, checked.
    Done(Vec<u8>),
    /// The peer lied.
    Bad,
}

#[derive(Clone, Debug)]
struct Attempt {
    slot: u32,
    size: u32,
    pieces: BTreeMap<u32, Vec<u8>>,
    /// Pieces below this one are asked for.
    next: u32,
    deadline: Instant,
}

impl Attempt {
    fn count(&self) -> u32 {
        self.size.div_ceil(PIECE_LEN)
    }

    fn wants(&mut self, wants: &mut Vec<Want>) {
        let end = (self.pieces.len() as u32 + WINDOW).min(self.count());
        while self.next < end {
            wants.push(Want { slot: self.slot, piece: self.next });
            self.next += 1;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    size: u32,
    failures: u32,
    not_before: Instant,
}

/// Attempts and offers of one torrent whose metadata is unknown.
#[derive(Clone, Debug)]
pub struct Metadata {
    hashes: InfoHashes,
    offers: BTreeMap<u32, Offer>,
    attempts: Vec<Attempt>,
    begun_at: Option<Instant>,
}

impl Metadata {
    /// The dictionary must have all of these hashes.
    #[must_use]
    pub fn new(hashes: InfoHashes) -> Self {
        Self { hashes, offers: BTreeMap::new(), attempts: Vec::new(), begun_at: None }
    }

    /// A peer offers metadata of a size (which its decoder has bounded).
    pub fn offer(&mut self, slot: u32, size: u32) {
        if size == 0 || size as usize > limits::METADATA_BYTES_MAX {
            return;
        }
        let offer = self.offers.entry(slot).or_default();
        if offer.size != size {
            offer.size = size;
            // Whoever changes its mind starts anew; bytes of two sizes never mix.
            self.attempts.retain(|attempt| attempt.slot != slot);
        }
    }

    /// A peer is gone.
    pub fn remove(&mut self, slot: u32) {
        self.offers.remove(&slot);
        self.attempts.retain(|attempt| attempt.slot != slot);
    }

    /// Begins attempts that are due and gives up those that take too long. To be called after each
    /// input, and a few times per second.
    pub fn poll(&mut self, now: Instant) -> Vec<Want> {
        let late: Vec<u32> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.deadline <= now)
            .map(|attempt| attempt.slot)
            .collect();
        late.into_iter().for_each(|slot| self.fail(now, slot));
        let mut wants = Vec::new();
        while let Some(slot) = self.next_offer(now) {
            let offer = self.offers[&slot];
            let time = ATTEMPT_TIME * (1 << offer.failures.min(6));
            let time = time + Duration::from_secs(u64::from(offer.size) / SLOWEST);
            let mut attempt =
                Attempt { slot, size: offer.size, pieces: BTreeMap::new(), next: 0, deadline: now + time };
            attempt.wants(&mut wants);
            self.attempts.push(attempt);
            self.begun_at = Some(now);
        }
        wants
    }

    fn next_offer(&self, now: Instant) -> Option<u32> {
        let hasty = self.begun_at.is_some_and(|begun| now.since(begun) < ATTEMPT_GAP);
        if self.attempts.len() >= ATTEMPTS_MAX || (hasty && !self.attempts.is_empty()) {
            return None;
        }
        let held: u64 = self.attempts.iter().map(|attempt| u64::from(attempt.size)).sum();
        let fits = |offer: &Offer| held + u64::from(offer.size) <= limits::METADATA_BYTES_MAX as u64;
        let idle = |slot: &u32| self.attempts.iter().all(|attempt| attempt.slot != *slot);
        let offers =
            self.offers.iter().filter(|(slot, offer)| idle(slot) && offer.not_before <= now && fits(offer));
        let best = offers.min_by_key(|(slot, offer)| (offer.failures, offer.size, **slot));
        best.map(|(slot, _)| *slot)
    }

    fn fail(&mut self, now: Instant, slot: u32) {
        self.attempts.retain(|attempt| attempt.slot != slot);
        if let Some(offer) = self.offers.get_mut(&slot) {
            offer.failures += 1;
            offer.not_before = now + Duration::from_secs(u64::from(offer.failures.min(30)));
        }
    }

    /// A peer refuses: another one is asked.
    pub fn handle_reject(&mut self, now: Instant, slot: u32) {
        if self.attempts.iter().any(|attempt| attempt.slot == slot) {
            self.fail(now, slot);
        }
    }

    /// A piece arrived.
    pub fn handle_data(&mut self, slot: u32, piece: u32, total_size: u32, bytes: Vec<u8>) -> Outcome {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.slot == slot) else {
            // Late: the attempt was given up.
            return Outcome::Going;
        };
        let begin = u64::from(piece) * u64::from(PIECE_LEN);
        let due = u64::from(attempt.size).saturating_sub(begin).min(u64::from(PIECE_LEN));
        if total_size != attempt.size || bytes.len() as u64 != due {
            return Outcome::Bad;
        }
        if piece >= attempt.next {
            // Of an attempt before, which was given up: the peer is slow, not bad.
            return Outcome::Going;
        }
        attempt.pieces.insert(piece, bytes);
        if (attempt.pieces.len() as u32) < attempt.count() {
            return Outcome::Going;
        }
        let info: Vec<u8> = std::mem::take(&mut attempt.pieces).into_values().flatten().collect();
        self.attempts.retain(|attempt| attempt.slot != slot);
        if self.fits(&info) { Outcome::Done(info) } else { Outcome::Bad }
    }

    /// What to ask for next, after a piece arrived.
    pub fn more(&mut self, slot: u32) -> Vec<Want> {
        let mut wants = Vec::new();
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.slot == slot) {
            attempt.wants(&mut wants);
        }
        wants
    }

    /// Whether `info` has every hash that is known.
    fn fits(&self, info: &[u8]) -> bool {
        let v1 = self.hashes.v1.is_none_or(|hash| Sha1::digest(info)[..] == hash.0);
        let v2 = self.hashes.v2.is_none_or(|hash| Sha256::digest(info)[..] == hash.0);
        v1 && v2 && (self.hashes.v1.is_some() || self.hashes.v2.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::InfoHashV1;

    fn info(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 % 251) as u8).collect()
    }

    fn piece_of(info: &[u8], piece: u32) -> Vec<u8> {
        info.chunks(PIECE_LEN as usize).nth(piece as usize).unwrap().to_vec()
    }

    fn machine(info: &[u8]) -> Metadata {
        let v1 = Some(InfoHashV1(Sha1::digest(info).into()));
        Metadata::new(InfoHashes { v1, v2: Some(peerage_base::InfoHashV2(Sha256::digest(info).into())) })
    }

    /// What each peer does with a request.
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Honest,
        Wrong,
        Silent,
        OtherSize,
        Short,
        Drips,
    }

    /// Plays until the metadata is there; returns seconds and who was found out.
    fn play(kinds: &[(Kind, u32)], info: &[u8]) -> (f64, Vec<u32>) {
        let mut machine = machine(info);
        kinds.iter().zip(0..).for_each(|((_, size), slot)| machine.offer(slot, *size));
        let (mut bad, mut queue, mut dripped) = (Vec::new(), Vec::new(), Instant::ZERO);
        for tick in 0..1200 {
            let now = Instant::from_micros(tick * 100_000);
            queue.extend(machine.poll(now));
            let held: usize =
                machine.attempts.iter().flat_map(|attempt| attempt.pieces.values()).map(Vec::len).sum();
            assert!(held <= limits::METADATA_BYTES_MAX);
            for want in std::mem::take(&mut queue) {
                let (kind, size) = kinds[want.slot as usize];
                let due = (size - want.piece * PIECE_LEN).min(PIECE_LEN) as usize;
                let (total, bytes) = match kind {
                    Kind::Honest => (size, piece_of(info, want.piece)),
                    Kind::Wrong => (size, vec![9; due]),
                    Kind::OtherSize => (size + 1, vec![9; due]),
                    Kind::Short => (size, vec![9; due - 1]),
                    Kind::Silent => continue,
                    Kind::Drips if now.since(dripped) < Duration::from_secs(3) => {
                        queue.push(want);
                        continue;
                    }
                    Kind::Drips => {
                        dripped = now;
                        (size, vec![9; due])
                    }
                };
                match machine.handle_data(want.slot, want.piece, total, bytes) {
                    Outcome::Going => queue.extend(machine.more(want.slot)),
                    Outcome::Done(found) => {
                        assert_eq!(found, info);
                        return (now.as_secs_f64(), bad);
                    }
                    Outcome::Bad => {
                        machine.remove(want.slot);
                        bad.push(want.slot);
                    }
                }
            }
        }
        panic!("no metadata");
    }

    #[test]
    fn one_honest_peer_among_nine_liars_is_enough() {
        let info = info(100_000);
        let size = info.len() as u32;
        let max = limits::METADATA_BYTES_MAX as u32;
        for kind in [Kind::Wrong, Kind::Silent, Kind::OtherSize, Kind::Short, Kind::Drips] {
            for claim in [size, 1, 20_000, max] {
                let mut kinds = vec![(kind, claim); 9];
                kinds.push((Kind::Honest, size));
                let (seconds, bad) = play(&kinds, &info);
                assert!(seconds <= 30.0, "{seconds}");
                assert!(!bad.contains(&9));
            }
        }
    }

    #[test]
    fn sizes_out_of_bounds_are_no_offer() {
        let mut machine = machine(&info(10));
        for size in [0, limits::METADATA_BYTES_MAX as u32 + 1, u32::MAX] {
            machine.offer(1, size);
        }
        assert!(machine.poll(Instant::ZERO).is_empty());
    }

    #[test]
    fn one_hash_that_does_not_fit_is_enough_to_refuse() {
        let info = info(10);
        let mut machine = machine(&info);
        machine.hashes.v2 = Some(peerage_base::InfoHashV2([0; 32]));
        machine.offer(0, 10);
        assert_eq!(machine.poll(Instant::ZERO).len(), 1);
        assert_eq!(machine.handle_data(0, 0, 10, info), Outcome::Bad);
    }

    /// An attempt runs out of time, and its last pieces arrive when the next one is under way.
    #[test]
    fn late_pieces_of_a_slow_peer_are_no_crime() {
        let info = info(20 * PIECE_LEN as usize);
        let mut machine = machine(&info);
        machine.offer(0, info.len() as u32);
        let mut now = Instant::ZERO;
        let mut asked = machine.poll(now);
        while asked.len() < 12 {
            let piece = asked.len() as u32 - 8;
            assert_eq!(
                machine.handle_data(0, piece, info.len() as u32, piece_of(&info, piece)),
                Outcome::Going
            );
            asked.extend(machine.more(0));
        }
        for _ in 0..100 {
            now += Duration::from_secs(1);
            if machine.poll(now).iter().any(|want| want.piece == 0) {
                break;
            }
        }
        let late = asked.last().unwrap().piece;
        assert!(machine.attempts[0].next <= late, "the second attempt has begun");
        assert_eq!(machine.handle_data(0, late, info.len() as u32, piece_of(&info, late)), Outcome::Going);
    }
}
