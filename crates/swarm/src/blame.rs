//! Who sent what, and who is to be banned when a piece is bad.
//!
//! A bad piece that one party sent alone has its culprit. Of one that several sent, the digest of each
//! block is kept; the piece is fetched anew from one party alone, and once it is right, whoever sent a
//! block with another digest is the culprit. So nobody is banned on suspicion, and counters of trust,
//! which a liar in a third of its pieces never exhausts, are not needed (threats.md W2, W3).

use crate::WebSeedId;
use peerage_base::ConnId;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Digest of a block.
pub type Digest = [u8; 32];

/// Bad versions kept of one piece.
const FAILURES_MAX: usize = 4;
/// Pieces with kept failures: 1,000 bad pieces at once need more liars than a torrent has peers.
const PIECES_MAX: usize = 1000;
/// Parties remembered after they left.
const DEPARTED_MAX: usize = 4096;

/// A party: one connection, or a web seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A peer.
    Peer {
        /// Its connection.
        conn: ConnId,
        /// Its address.
        addr: SocketAddr,
    },
    /// A web seed.
    Web(WebSeedId),
}

/// What is known about a bad piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These parties sent bad blocks.
    Guilty(Vec<u32>),
    /// Several parties sent it: digests of its blocks are needed before it is fetched anew.
    Digests,
    /// Kept until the piece is right.
    Later,
}

#[derive(Clone, Debug)]
struct Failure {
    parties: Vec<u32>,
    digests: Vec<Digest>,
}

/// Parties and bad pieces of one torrent.
#[derive(Clone, Debug, Default)]
pub struct Blame {
    sources: BTreeMap<u32, (Source, bool)>,
    next: u32,
    failures: BTreeMap<u32, Vec<Failure>>,
}

impl Blame {
    /// A party joins; its number is never used again.
    pub fn join(&mut self, source: Source) -> u32 {
        let party = self.next;
        self.next += 1;
        self.sources.insert(party, (source, true));
        party
    }

    /// A party leaves. It is remembered for a while: its blocks may turn out bad.
    pub fn leave(&mut self, party: u32) {
        if let Some((_, here)) = self.sources.get_mut(&party) {
            *here = false;
        }
        let departed = |(_, (_, here)): &(&u32, &(Source, bool))| !here;
        if self.sources.len() > DEPARTED_MAX
            && let Some((&oldest, _)) = self.sources.iter().find(departed)
        {
            self.sources.remove(&oldest);
        }
    }

    /// Who a party is; `None` when it is forgotten, or was banned.
    #[must_use]
    pub fn source(&self, party: u32) -> Option<Source> {
        self.sources.get(&party).map(|(source, _)| *source)
    }

    /// A party is banned: it is blamed once.
    pub fn forget(&mut self, party: u32) {
        self.sources.remove(&party);
    }

    /// Whether digests are to be computed with the piece's next verification.
    #[must_use]
    pub fn needs_digests(&self, piece: u32) -> bool {
        self.failures.contains_key(&piece)
    }

    /// A piece is bad. `parties`: who sent each block.
    pub fn failed(&mut self, piece: u32, parties: &[u32], digests: Option<Vec<Digest>>) -> Verdict {
        let Some(&first) = parties.first() else { return Verdict::Later };
        if parties.iter().all(|party| *party == first) {
            return Verdict::Guilty(vec![first]);
        }
        let Some(digests) = digests else { return Verdict::Digests };
        if self.failures.len() >= PIECES_MAX && !self.failures.contains_key(&piece) {
            self.failures.pop_first();
        }
        let failures = self.failures.entry(piece).or_default();
        if failures.len() < FAILURES_MAX {
            failures.push(Failure { parties: parties.to_vec(), digests });
        }
        Verdict::Later
    }

    /// A piece is right. Returns who sent other blocks for it before.
    pub fn verified(&mut self, piece: u32, digests: Option<&[Digest]>) -> Vec<u32> {
        let Some(failures) = self.failures.remove(&piece) else { return Vec::new() };
        let Some(good) = digests else { return Vec::new() };
        let mut guilty = Vec::new();
        for failure in failures {
            let blocks = failure.parties.iter().zip(&failure.digests).zip(good);
            let bad = blocks.filter(|((_, digest), good)| digest != good);
            guilty.extend(bad.map(|((party, _), _)| *party));
        }
        guilty.sort_unstable();
        guilty.dedup();
        guilty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Rng;

    fn join(blame: &mut Blame, count: u64) -> Vec<u32> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        (0..count).map(|at| blame.join(Source::Peer { conn: ConnId(at), addr })).collect()
    }

    #[test]
    fn who_sent_all_of_a_bad_piece_is_guilty_at_once() {
        let mut blame = Blame::default();
        let parties = join(&mut blame, 2);
        assert_eq!(blame.failed(3, &[parties[1]; 8], None), Verdict::Guilty(vec![parties[1]]));
        assert!(!blame.needs_digests(3));
    }

    /// threats.md W3: the bad one of eight is found when the piece is right at last, and no other,
    /// whichever blocks it spoiled.
    #[test]
    fn the_bad_one_of_eight_is_found_in_a_thousand_trials() {
        let mut rng = Rng::from_number(11);
        for _ in 0..1000 {
            let mut blame = Blame::default();
            let parties = join(&mut blame, 8);
            let bad = rng.index(8) as u32;
            let good: Vec<Digest> = (0..32).map(|at| [at; 32]).collect();
            let mut sent: Vec<u32> = (0..32).map(|at| parties[at % 8]).collect();
            rng.shuffle(&mut sent);
            let mut digests = good.clone();
            let spoiled: Vec<usize> = (0..32).filter(|at| sent[*at] == bad).collect();
            for at in &spoiled[..=rng.index(spoiled.len())] {
                digests[*at] = [99; 32];
            }
            assert_eq!(blame.failed(0, &sent, None), Verdict::Digests);
            assert_eq!(blame.failed(0, &sent, Some(digests)), Verdict::Later);
            assert!(blame.needs_digests(0));
            assert_eq!(blame.verified(0, Some(&good)), [bad]);
            assert!(!blame.needs_digests(0));
        }
    }

    #[test]
    fn parties_that_left_are_remembered_for_a_while() {
        let mut blame = Blame::default();
        let parties = join(&mut blame, 2 * DEPARTED_MAX as u64);
        assert!(blame.source(parties[0]).is_some());
        parties[1..].iter().for_each(|party| blame.leave(*party));
        assert!(blame.source(parties[0]).is_some(), "it is still here");
        assert!(blame.source(parties[1]).is_none());
        assert!(blame.source(*parties.last().unwrap()).is_some());
        assert!(blame.sources.len() <= DEPARTED_MAX + 1);
    }
}
