//! What our address is, by the word of others (BEP 42).

use peerage_base::addr;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Votes kept: the last ones.
const VOTES_MAX: usize = 32;

/// Votes without which nothing is decided.
const VOTES_MIN: usize = 8;

/// Votes on our address, one per host.
#[derive(Clone, Debug, Default)]
pub(super) struct Vote {
    votes: VecDeque<(SocketAddr, IpAddr)>,
}

impl Vote {
    /// A node that we had asked says where we are. Gives the address once two thirds agree.
    pub(super) fn add(&mut self, voter: SocketAddr, ours: IpAddr) -> Option<IpAddr> {
        let host = super::flood::host(voter);
        let same_family = voter.is_ipv4() == ours.is_ipv4();
        if !same_family || !addr::is_dialable(SocketAddr::new(ours, 1)) {
            return None;
        }
        self.votes.retain(|(other, _)| *other != host);
        if self.votes.len() >= VOTES_MAX {
            self.votes.pop_front();
        }
        self.votes.push_back((host, ours));
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        self.votes.iter().for_each(|(_, ip)| *counts.entry(*ip).or_default() += 1);
        let (ip, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        (self.votes.len() >= VOTES_MIN && count * 3 >= self.votes.len() * 2).then_some(ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(n: u8) -> SocketAddr {
        SocketAddr::new([9, 9, n, 1].into(), 1)
    }

    #[test]
    fn two_thirds_decide_and_one_host_has_one_vote() {
        let (honest, lie): (IpAddr, IpAddr) = ("8.8.8.8".parse().unwrap(), "6.6.6.6".parse().unwrap());
        let mut vote = Vote::default();
        assert!((0..200).all(|_| vote.add(voter(0), lie).is_none()), "one host decides nothing");
        assert!((1..7).all(|n| vote.add(voter(n), honest).is_none()), "too few");
        assert_eq!(vote.add(voter(7), honest), Some(honest));
        // A third and one more liars block, but do not win.
        let mut vote = Vote::default();
        assert!((0..12).all(|n| vote.add(voter(n), if n % 5 < 2 { lie } else { honest }).is_none()));
    }

    #[test]
    fn nonsense_does_not_count() {
        let mut vote = Vote::default();
        for ours in ["0.0.0.0", "224.0.0.1", "2a00::1"] {
            assert!((0..20).all(|n| vote.add(voter(n), ours.parse().unwrap()).is_none()), "{ours}");
        }
    }
}
