//! Faults at certain times: partitions, crashes, slow nodes.

use crate::NodeId;
use crate::scenario::{Fault, FaultKind};
use peerage_base::Rng;

/// The faults of a scenario, and which of them are on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<(Fault, Vec<bool>)>,
    active: Vec<usize>,
}

impl Faults {
    /// Draws the nodes that each fault hits.
    pub(super) fn new(faults: Vec<Fault>, nodes: usize, rng: &mut Rng) -> Self {
        let hit = |fault: Fault| {
            let hit = (0..nodes).map(|_| rng.unit() < fault.share).collect();
            (fault, hit)
        };
        Self { faults: faults.into_iter().map(hit).collect(), active: Vec::new() }
    }

    /// When faults begin and end: index, microseconds, whether it begins.
    pub(super) fn schedule(&self) -> Vec<(u32, u64, bool)> {
        let mut schedule = Vec::new();
        for (index, (fault, _)) in self.faults.iter().enumerate() {
            let begin = (fault.at_s * 1e6) as u64;
            schedule.push((index as u32, begin, true));
            if fault.for_s > 0.0 {
                schedule.push((index as u32, begin + (fault.for_s * 1e6) as u64, false));
            }
        }
        schedule
    }

    pub(super) fn set(&mut self, index: usize, on: bool) {
        self.active.retain(|active| *active != index);
        if on {
            self.active.push(index);
        }
    }

    /// The nodes that go or come back with a fault.
    pub(super) fn crashed(&self, index: usize) -> Vec<NodeId> {
        let Some((fault, hit)) = self.faults.get(index) else { return Vec::new() };
        if fault.kind != FaultKind::Crash {
            return Vec::new();
        }
        (0..hit.len()).filter(|node| hit[*node]).map(|node| NodeId(node as u32)).collect()
    }

    /// Whether nothing passes from one node to another.
    pub(super) fn cuts(&self, from: NodeId, to: NodeId) -> bool {
        self.on().any(|(fault, hit)| match fault.kind {
            FaultKind::Partition => hit[from.index()] != hit[to.index()],
            FaultKind::OneWay => hit[from.index()] && !hit[to.index()],
            FaultKind::Crash | FaultKind::Slow => false,
        })
    }

    /// How much later a node gets what is sent to it.
    pub(super) fn delay_us(&self, to: NodeId) -> u64 {
        let slow = self.on().filter(|(fault, hit)| fault.kind == FaultKind::Slow && hit[to.index()]);
        slow.map(|(fault, _)| (fault.delay_ms * 1000.0) as u64).sum()
    }

    fn on(&self) -> impl Iterator<Item = &(Fault, Vec<bool>)> {
        self.active.iter().filter_map(|index| self.faults.get(*index))
    }
}
