//! A view: members in the order of their keys, with random choice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use peerage_base::{Instant, PeerId, Rng};
use peerage_wire::gossip::Member;

/// Some members, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    members: BTreeMap<PeerId, Option<SocketAddr>>,
    /// Those that were asked in vain in this round.
    marked: BTreeSet<PeerId>,
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn contains(&self, peer: PeerId) -> bool {
        self.members.contains_key(&peer)
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<Member> {
        self.members.get(&peer).map(|addr| Member { id: peer, addr: *addr })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Member> {
        self.members.iter().map(|(id, addr)| Member { id: *id, addr: *addr })
    }

    pub(super) fn insert(&mut self, member: Member) {
        self.members.insert(member.id, member.addr);
    }

    pub(super) fn remove(&mut self, peer: PeerId) -> Option<Member> {
        self.marked.remove(&peer);
        self.members.remove(&peer).map(|addr| Member { id: peer, addr })
    }

    /// Anybody but these.
    pub(super) fn choose(&self, rng: &mut Rng, but: &[PeerId]) -> Option<Member> {
        self.choose_where(rng, |id| !but.contains(id))
    }

    /// Anybody who has not been asked in vain in this round, nor is being asked.
    pub(super) fn choose_unmarked(&self, rng: &mut Rng, asked: &BTreeMap<PeerId, Instant>) -> Option<Member> {
        self.choose_where(rng, |id| !self.marked.contains(id) && !asked.contains_key(id))
    }

    fn choose_where(&self, rng: &mut Rng, keep: impl Fn(&PeerId) -> bool) -> Option<Member> {
        let count = self.members.keys().filter(|id| keep(id)).count();
        let index = rng.below(count as u64) as usize;
        let id = *self.members.keys().filter(|id| keep(id)).nth(index)?;
        self.get(id)
    }

    /// So many different ones at random.
    pub(super) fn sample(&self, rng: &mut Rng, count: usize) -> Vec<Member> {
        let mut all: Vec<Member> = self.iter().collect();
        rng.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// It was asked in vain: others come first until [`Self::unmark`].
    pub(super) fn mark(&mut self, peer: PeerId) {
        if self.contains(peer) {
            self.marked.insert(peer);
        }
    }

    /// A new round.
    pub(super) fn unmark(&mut self) {
        self.marked.clear();
    }
}
