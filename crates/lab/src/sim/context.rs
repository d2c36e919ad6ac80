//! What a node can do while it is driven.

use super::{Role, World};
use crate::{NodeId, ObjectId, SearchId};
use peerage_base::{Instant, Rng};

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether what was found is right.
    pub success: bool,
    /// Steps from the searching node to the one that had the result.
    pub hops: u32,
}

/// A node's window to the world, for one input.
#[derive(Debug)]
pub struct Context<'a> {
    world: &'a mut World,
    me: NodeId,
}

impl<'a> Context<'a> {
    pub(super) fn new(world: &'a mut World, me: NodeId) -> Self {
        Self { world, me }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now
    }

    /// Who is driven.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Chance.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.world.rng
    }

    /// An empty buffer for a frame, whose memory was used before.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.world.buffer()
    }

    /// Sends a frame, for a search or for the overlay's upkeep.
    pub fn send(&mut self, to: NodeId, frame: Vec<u8>, search: Option<SearchId>) {
        self.world.send(self.me, to, frame, search);
    }

    /// A search ended. Only the first end of a search counts, and none after its time is over.
    pub fn done(&mut self, search: SearchId, outcome: Outcome) {
        let now = self.world.now;
        let limit = peerage_base::Duration::from_secs_f64(self.world.workload.timeout_s);
        let Some(record) = self.world.searches.get_mut(search.0 as usize) else { return };
        if record.ended.is_some() || now.since(record.began) > limit {
            return;
        }
        record.ended = Some(now);
        record.success = outcome.success;
        record.hops = outcome.hops;
        self.world.open_searches -= 1;
        self.world
            .trace
            .number(u64::from(search.0) << 32 | u64::from(outcome.hops) << 1 | u64::from(outcome.success));
    }

    /// What a search is for.
    #[must_use]
    pub fn object(&self, search: SearchId) -> Option<ObjectId> {
        self.world.searches.get(search.0 as usize).map(|search| search.object)
    }

    /// Whether a node is there. Ground truth, to judge results by.
    #[must_use]
    pub fn is_online(&self, node: NodeId) -> bool {
        self.world.online.get(node.index()).copied().unwrap_or(false)
    }

    /// Whether a node is honest. Ground truth, to judge results by.
    #[must_use]
    pub fn is_honest(&self, node: NodeId) -> bool {
        self.world.roles.get(node.index()) == Some(&Role::Honest)
    }

    /// All liars, in order, for lies that are told together.
    #[must_use]
    pub fn liars(&self) -> &[NodeId] {
        &self.world.liars
    }

    /// Nodes altogether, those away included.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.world.online.len()
    }
}
