//! What a run showed: figures, distributions, and whether what was expected holds.

mod condition;
pub mod csv;
pub mod html;
pub mod text;

pub use condition::Condition;

use crate::NodeId;
use crate::figures::{Distribution, mean};
use crate::protocol::Protocol;
use crate::scenario::Scenario;
use crate::sim::{Counters, DRAWN_MAX, PLAYED_MAX, Search, Sim, Step};
use peerage_base::Instant;
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of a report, which `[expect]` can name, and what they mean.
pub const FIGURES: &[(&str, &str)] = &[
    ("success", "share of searches that ended with the right result"),
    ("hops_mean", "steps from the searching node to the one with the result, of successful searches"),
    ("hops_p99", "99 % of the successful searches have at most so many steps"),
    ("hops_max", "the most steps of a successful search"),
    ("latency_p50_ms", "half of the successful searches took at most so long"),
    ("latency_p95_ms", "95 % of the successful searches took at most so long"),
    ("messages_mean", "datagrams sent for a search"),
    ("bytes_mean", "bytes sent for a search"),
    ("load_mean", "datagrams that a node got"),
    ("load_max", "datagrams that the busiest node got"),
    ("load_max_over_mean", "the busiest node's datagrams against the mean"),
    ("degree_mean", "nodes that a node knows"),
    ("degree_max", "nodes that the best connected node knows"),
    ("upkeep_bytes_per_node_s", "bytes that a node sends each second besides searches"),
];

/// Nodes whose neighbours are counted.
const DEGREES_MAX: usize = 20_000;

/// Points of a curve over time.
const POINTS: usize = 40;

/// A condition of the scenario, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expectation {
    /// Which figure.
    pub figure: String,
    /// Such as `>= 0.99`.
    pub condition: String,
    /// What it is.
    pub value: f64,
    /// Whether the condition holds.
    pub holds: bool,
}

/// Searches that began within a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Seconds after the first could begin.
    pub at_s: f64,
    /// How many began.
    pub searches: usize,
    /// The share of them that succeeded.
    pub success: f64,
}

/// The overlay's graph and some searches on it, to be drawn.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Drawing {
    /// For each node: the nodes that it knows.
    pub edges: Vec<Vec<u32>>,
    /// For each node: 0 away, 1 honest, 2 an attacker.
    pub states: Vec<u8>,
    /// Searches: node, object, success, hops, latency in milliseconds.
    pub searches: Vec<(u32, u32, bool, u32, f64)>,
    /// Their messages.
    pub steps: Vec<Step>,
}

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// What it shows.
    pub about: String,
    /// Which protocol.
    pub protocol: String,
    /// The seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Nodes that were there at the end.
    pub nodes_online: usize,
    /// Whether the run was stopped before its end: the figures are of what happened so far.
    pub partial: bool,
    /// A hash over every event, in hexadecimal: equal for equal runs.
    pub trace_hash: String,
    /// Virtual time at the end, in seconds.
    pub virtual_s: f64,
    /// Searches that began.
    pub searches: usize,
    /// Figures by the names of [`FIGURES`].
    pub figures: BTreeMap<String, f64>,
    /// What was expected.
    pub expectations: Vec<Expectation>,
    /// What there is to know about the run.
    pub notes: Vec<String>,
    /// What became of datagrams and timers.
    pub counters: Counters,
    /// Steps of successful searches.
    pub hops: Distribution,
    /// Milliseconds that successful searches took.
    pub latency_ms: Distribution,
    /// Datagrams for each search.
    pub messages: Distribution,
    /// Bytes for each search.
    pub bytes: Distribution,
    /// Datagrams that each node got.
    pub load: Distribution,
    /// Nodes that each node knows.
    pub degree: Distribution,
    /// Success over time.
    pub over_time: Vec<Point>,
    /// The graph; empty where the network is too large to be drawn.
    #[serde(skip)]
    pub drawing: Drawing,
}

impl Report {
    /// Of a run whose searches could begin at `began`.
    pub fn new<P: Protocol>(
        scenario: &Scenario,
        sim: &Sim<P>,
        began: Instant,
        partial: bool,
        notes: Vec<String>,
    ) -> Self {
        let world = &sim.world;
        let searches = &world.searches;
        // A run that was stopped says nothing about the searches under way.
        let counted: Vec<&Search> =
            searches.iter().filter(|search| !partial || search.ended.is_some()).collect();
        let found: Vec<&Search> = counted.iter().copied().filter(|search| search.success).collect();
        let took =
            |search: &Search| search.ended.map_or(0.0, |at| at.since(search.began).as_secs_f64() * 1e3);
        let load = world.received.iter().map(|count| f64::from(*count)).collect();
        let mut report = Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            protocol: scenario.protocol.clone(),
            seed: scenario.seed,
            nodes: sim.nodes.len(),
            nodes_online: world.online.iter().filter(|online| **online).count(),
            partial,
            trace_hash: format!("{:016x}", world.trace.hash()),
            virtual_s: world.now.as_secs_f64(),
            searches: counted.len(),
            figures: BTreeMap::new(),
            expectations: Vec::new(),
            notes,
            counters: world.counters,
            hops: Distribution::new(found.iter().map(|search| f64::from(search.hops)).collect(), true),
            latency_ms: Distribution::new(found.iter().map(|search| took(search)).collect(), false),
            messages: Distribution::new(
                counted.iter().map(|search| f64::from(search.messages)).collect(),
                true,
            ),
            bytes: Distribution::new(counted.iter().map(|search| f64::from(search.bytes)).collect(), true),
            load: Distribution::new(load, true),
            degree: Distribution::new(degrees(sim), true),
            over_time: over_time(&counted, began),
            drawing: drawing(sim),
        };
        report.fill_figures(found.len(), &counted);
        report.expectations = expectations(scenario, &report.figures);
        report
    }

    fn fill_figures(&mut self, found: usize, counted: &[&Search]) {
        let load_mean = self.load.mean;
        let charged: u64 = counted.iter().map(|search| u64::from(search.bytes)).sum();
        let upkeep = self.counters.bytes.saturating_sub(charged) as f64;
        let figures = [
            ("success", if counted.is_empty() { 0.0 } else { found as f64 / counted.len() as f64 }),
            ("hops_mean", self.hops.mean),
            ("hops_p99", self.hops.p99),
            ("hops_max", self.hops.max),
            ("latency_p50_ms", self.latency_ms.p50),
            ("latency_p95_ms", self.latency_ms.p95),
            ("messages_mean", self.messages.mean),
            ("bytes_mean", self.bytes.mean),
            ("load_mean", load_mean),
            ("load_max", self.load.max),
            ("load_max_over_mean", if load_mean > 0.0 { self.load.max / load_mean } else { 0.0 }),
            ("degree_mean", self.degree.mean),
            ("degree_max", self.degree.max),
            ("upkeep_bytes_per_node_s", upkeep / self.nodes as f64 / self.virtual_s.max(1e-6)),
        ];
        self.figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    }

    /// A figure by its name, 0 where there is none.
    #[must_use]
    pub fn figure(&self, name: &str) -> f64 {
        self.figures.get(name).copied().unwrap_or(0.0)
    }

    /// The conditions that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter().filter(|expectation| !expectation.holds)
    }
}

fn expectations(scenario: &Scenario, figures: &BTreeMap<String, f64>) -> Vec<Expectation> {
    let judge = |(figure, condition): (&String, &String)| {
        let value = figures.get(figure).copied().unwrap_or(0.0);
        let holds = Condition::parse(condition).is_some_and(|condition| condition.holds(value));
        Expectation { figure: figure.clone(), condition: condition.clone(), value, holds }
    };
    scenario.expect.iter().map(judge).collect()
}

/// Neighbours of nodes that are there: of all of them, or of evenly spread ones.
fn degrees<P: Protocol>(sim: &Sim<P>) -> Vec<f64> {
    let step = sim.nodes.len().div_ceil(DEGREES_MAX).max(1);
    let there = (0..sim.nodes.len()).step_by(step).filter(|index| sim.world.online[*index]);
    there.map(|index| sim.protocol.neighbours(&sim.nodes[index]).len() as f64).collect()
}

fn over_time(searches: &[&Search], began: Instant) -> Vec<Point> {
    let last = searches.last().map_or(0.0, |search| search.began.since(began).as_secs_f64());
    let width = (last / POINTS as f64).max(1e-3);
    let mut sums = vec![(0_usize, 0_usize); POINTS];
    for search in searches {
        let at = (search.began.since(began).as_secs_f64() / width) as usize;
        if let Some(sum) = sums.get_mut(at.min(POINTS - 1)) {
            sum.0 += 1;
            sum.1 += usize::from(search.success);
        }
    }
    let point = |(at, (count, found)): (usize, (usize, usize))| Point {
        at_s: at as f64 * width,
        searches: count,
        success: found as f64 / count.max(1) as f64,
    };
    sums.into_iter().enumerate().filter(|(_, (count, _))| *count > 0).map(point).collect()
}

fn drawing<P: Protocol>(sim: &Sim<P>) -> Drawing {
    let world = &sim.world;
    if sim.nodes.len() > DRAWN_MAX {
        return Drawing::default();
    }
    let ids = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
    let state = |index: usize| match (world.online[index], world.roles[index]) {
        (false, _) => 0,
        (true, crate::sim::Role::Honest) => 1,
        (true, _) => 2,
    };
    let told = |search: &Search| {
        let took_ms = search.ended.map_or(0.0, |at| at.since(search.began).as_secs_f64() * 1e3);
        (search.node.0, search.object.0, search.success, search.hops, took_ms)
    };
    Drawing {
        edges: sim.nodes.iter().map(|node| ids(sim.protocol.neighbours(node))).collect(),
        states: (0..sim.nodes.len()).map(state).collect(),
        searches: world.searches.iter().take(PLAYED_MAX).map(told).collect(),
        steps: world.steps.clone(),
    }
}

/// The mean of a figure over several reports.
#[must_use]
pub fn mean_of(reports: &[Report], figure: &str) -> f64 {
    mean(&reports.iter().map(|report| report.figure(figure)).collect::<Vec<f64>>())
}
