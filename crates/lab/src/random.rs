//! Swarm testing: the whole scenario is drawn from a seed, and run with complete [`Peer`](peerage_peer::Peer)
//! machines on the network of [`peerage_peer::sim`].
//!
//! First everything goes wrong: nodes vanish, come back with a part of their data, hang up, and lie. All the while
//! safety is checked: whoever says that it is complete has exactly the content, and no honest node bans another.
//! Then the faults end, and liveness is checked: every honest node completes.
//!
//! What a seed draws is a [`Plan`], which stands in a file as well; [`mod@shrink`] makes a plan that fails smaller.
//! [`Bug`]s can be planted, to see that this finds them.
//!
//! **Where to start.** [`run`].

mod plan;
mod shrink;

pub use peerage_peer::sim::Bug;
pub use plan::{Does, Pieces, Plan, PlanError, PlannedNode};
pub use shrink::{SHRINK_RUNS_MAX, shrink};

use peerage_base::Duration;
use peerage_peer::sim::{Content, How, Net, NodeId};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long it takes at most, in virtual time, until all are complete after the faults.
const HEAL: Duration = Duration::from_secs(1200);

/// Safety is checked in this rhythm, in virtual time.
const LOOK: Duration = Duration::from_secs(1);

/// Events between two looks at whether to go on.
const TURN: u32 = 1 << 12;

/// How a run of a plan ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Everything held.
    Passed(Passed),
    /// Something did not.
    Violated(Violation),
    /// It was stopped before its end.
    Stopped,
}

/// A run in which everything held.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// Hash over everything that was delivered.
    pub trace: u64,
    /// Events handled.
    pub events: u64,
    /// Virtual seconds.
    pub virtual_s: f64,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// Whoever says that it is complete has exactly the content.
    Content,
    /// No honest node bans another.
    Bans,
    /// All honest nodes complete when the faults are over.
    Completion,
    /// Nothing panics.
    Panic,
}

impl Invariant {
    /// As machines read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Bans => "bans",
            Self::Completion => "completion",
            Self::Panic => "panic",
        }
    }
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// Which of the things that must.
    pub invariant: Invariant,
    /// What happened.
    pub what: String,
}

/// Why a run ended before its end.
enum End {
    Violated(Violation),
    Stopped,
}

fn violated(invariant: Invariant, what: String) -> End {
    End::Violated(Violation { invariant, what })
}

/// Runs a plan, with a bug in all disks where one is planted. `go_on` is asked many times a second.
pub fn run(plan: &Plan, bug: Option<Bug>, go_on: &mut dyn FnMut() -> bool) -> Outcome {
    // A machine that panics is a finding like any other: its seed must be told.
    let result = catch_unwind(AssertUnwindSafe(|| Test::new(plan, bug).run(go_on)));
    match result {
        Ok(Ok(passed)) => Outcome::Passed(passed),
        Ok(Err(End::Violated(violation))) => Outcome::Violated(violation),
        Ok(Err(End::Stopped)) => Outcome::Stopped,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = format!("a panic: {}", text.unwrap_or_else(|| "without a message".to_owned()));
            Outcome::Violated(Violation { invariant: Invariant::Panic, what })
        }
    }
}

/// The network under test.
struct Test<'a> {
    plan: &'a Plan,
    net: Net,
    content: Content,
    /// By the plan's nodes: the network's, once they have come.
    ids: Vec<Option<NodeId>>,
    /// Events until the next look at whether to go on.
    turn: u32,
}

impl<'a> Test<'a> {
    fn new(plan: &'a Plan, bug: Option<Bug>) -> Self {
        let mut net = Net::new(plan.seed);
        if let Some(bug) = bug {
            net.plant(bug);
        }
        Self { plan, net, content: plan.content(), ids: vec![None; plan.nodes.len()], turn: TURN }
    }

    fn run(mut self, go_on: &mut dyn FnMut() -> bool) -> Result<Passed, End> {
        for (at_ms, index, comes) in self.plan.schedule() {
            self.pass_until(at_ms, go_on)?;
            if comes {
                self.join(index);
            } else if let Some(id) = self.ids[index] {
                self.net.kill(id);
            }
        }
        self.pass_until(self.plan.faults_ms, go_on)?;
        // The faults end: liars are gone.
        for id in self.of(|node| node.does == Does::Lie) {
            self.net.kill(id);
        }
        let leechers = self.of(|node| node.is_leecher() && node.goes_ms.is_none());
        let done = self.pass(HEAL, go_on, |net| leechers.iter().all(|id| net.done_at(*id).is_some()))?;
        self.check()?;
        if !done {
            let missing = leechers.iter().filter(|id| self.net.done_at(**id).is_none()).count();
            let (all, after_s) = (leechers.len(), HEAL.as_secs());
            let what = format!("{missing} of {all} nodes are not complete {after_s} s after the faults");
            return Err(violated(Invariant::Completion, what));
        }
        let (trace, events) = (self.net.trace(), self.net.steps());
        Ok(Passed { trace, events, virtual_s: self.net.now().as_secs_f64() })
    }

    /// The network's nodes of those of the plan that are like that and have come.
    fn of(&self, fits: impl Fn(&PlannedNode) -> bool) -> Vec<NodeId> {
        self.plan
            .nodes
            .iter()
            .zip(&self.ids)
            .filter(|(node, _)| fits(node))
            .filter_map(|(_, id)| *id)
            .collect()
    }

    fn join(&mut self, index: usize) {
        let node = &self.plan.nodes[index];
        let (id, content) = (self.net.add(node.spec()), &self.content);
        match node.does {
            Does::Share | Does::Lie => self.net.share_tracked(id, content),
            Does::FetchTorrent => self.net.fetch(id, content, How::Torrent, &[], true),
            Does::FetchMagnet => self.net.fetch(id, content, How::Magnet, &[], true),
            Does::Resume => self.net.resume_tracked(id, content, node.has),
        };
        self.ids[index] = Some(id);
    }

    /// Runs until a moment of the plan, and checks safety on the way.
    fn pass_until(&mut self, at_ms: u64, go_on: &mut dyn FnMut() -> bool) -> Result<(), End> {
        loop {
            let rest_us = (at_ms * 1000).saturating_sub(self.net.now().as_micros());
            if rest_us == 0 {
                return Ok(());
            }
            self.pass(LOOK.min(Duration::from_micros(rest_us)), go_on, |_| false)?;
            self.check()?;
        }
    }

    /// Runs for a time, or until `done`; whether that was.
    fn pass(
        &mut self,
        time: Duration,
        go_on: &mut dyn FnMut() -> bool,
        done: impl Fn(&Net) -> bool,
    ) -> Result<bool, End> {
        let (mut turn, mut stopped) = (self.turn, false);
        let ended = self.net.run_until(time, |net| {
            turn = turn.checked_sub(1).unwrap_or(TURN);
            stopped |= turn == 0 && !go_on();
            stopped || done(net)
        });
        self.turn = turn;
        if stopped { Err(End::Stopped) } else { Ok(ended) }
    }

    /// What must hold at any time.
    fn check(&self) -> Result<(), End> {
        let honest = self.of(|node| node.does != Does::Lie);
        for id in &honest {
            if self.net.done_at(*id).is_some() && !self.net.has_exactly(*id, &self.content) {
                let what = format!("node {} says that it is complete, and has other bytes", id.0);
                return Err(violated(Invariant::Content, what));
            }
            for (addr, reason) in self.net.banned(*id) {
                let victim = honest.iter().find(|other| self.net.addr(**other).ip() == addr.ip());
                if let Some(victim) = victim {
                    let what = format!("honest node {} was banned by {}: {reason}", victim.0, id.0);
                    return Err(violated(Invariant::Bans, what));
                }
            }
        }
        Ok(())
    }
}
