//! From a scenario to a report.

use crate::churn::Times;
use crate::latency::{Latency, Matrix};
use crate::link::Links;
use crate::nat::Nats;
use crate::protocol::{self, Protocol};
use crate::report::Report;
use crate::scenario::{AttackKind, LatencyConfig, Scenario, ScenarioError, Start};
use crate::sim::{Parts, Role, Sim};
use peerage_base::{Duration, Rng};
use std::collections::BTreeMap;

/// What whoever runs a scenario has read for it: contents by the keys of [`Scenario::files`]. A matrix may be
/// missing: the model takes its place.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Contents of files.
    pub files: BTreeMap<&'static str, String>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it does.
    pub phase: &'static str,
    /// Virtual seconds so far.
    pub at_s: f64,
    /// When it ends at the latest, in virtual seconds.
    pub end_s: f64,
    /// Events so far.
    pub events: u64,
    /// Searches that ended.
    pub searched: usize,
    /// Searches altogether.
    pub searches: usize,
}

/// Events between two looks at whether to go on.
const TURN: usize = 1 << 14;

/// Runs a scenario. `watch` is told of progress many times a second, and stops the run by `false`: the report is
/// then of what happened so far, and says so.
///
/// # Errors
/// What is wrong with the scenario.
pub fn run(
    scenario: &Scenario,
    inputs: Inputs,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Report, ScenarioError> {
    let Some(entry) = protocol::find(&scenario.protocol) else {
        return Err(scenario.problem("protocol", "no such protocol"));
    };
    (entry.run)(scenario, inputs, watch)
}

/// Runs a scenario with a protocol.
///
/// # Errors
/// What is wrong with the scenario.
pub fn simulate<P: Protocol>(
    scenario: &Scenario,
    inputs: Inputs,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Report, ScenarioError> {
    let (mut sim, notes) = prepare::<P>(scenario, inputs)?;
    let mut run = Run { watch, phase: "building", end_s: 0.0, stopped: false };
    run.turn(&sim);
    let built = scenario.start == Start::Built && !run.stopped && sim.build();
    if !built {
        run.phase = "joining";
        sim.join_all(Duration::from_secs_f64(scenario.join_s));
        run.until(&mut sim, scenario.join_s, |_| false);
    }
    run.phase = "settling";
    run.until(&mut sim, scenario.settle_s, |_| false);
    let began = sim.world.now;
    sim.begin_workload();
    run.phase = "searching";
    let workload = &scenario.workload;
    let wanted = workload.searches;
    let last_fault = scenario.faults.iter().map(|fault| fault.at_s + fault.for_s).fold(0.0, f64::max);
    // Poisson's last search comes a little after the time.
    let limit_s = (workload.start_s + workload.over_s * 1.5).max(last_fault) + workload.timeout_s + 1.0;
    run.until(&mut sim, limit_s, |sim| {
        sim.world.searches.len() == wanted
            && sim.world.open_searches == 0
            && sim.world.now.since(began).as_secs_f64() >= last_fault
    });
    let partial = run.stopped;
    Ok(Report::new(scenario, &sim, began, partial, notes))
}

/// A run under way.
struct Run<'a> {
    watch: &'a mut dyn FnMut(&Progress) -> bool,
    phase: &'static str,
    end_s: f64,
    stopped: bool,
}

impl Run<'_> {
    /// Tells how far it is.
    fn turn<P: Protocol>(&mut self, sim: &Sim<P>) {
        let world = &sim.world;
        let progress = Progress {
            phase: self.phase,
            at_s: world.now.as_secs_f64(),
            end_s: self.end_s,
            events: world.counters.events,
            searched: world.searches.len() - world.open_searches,
            searches: world.workload_searches(),
        };
        self.stopped |= !(self.watch)(&progress);
    }

    /// Runs for some seconds, or until `done`.
    fn until<P: Protocol>(&mut self, sim: &mut Sim<P>, seconds: f64, done: impl Fn(&Sim<P>) -> bool) {
        let end = sim.world.now + Duration::from_secs_f64(seconds);
        self.end_s = end.as_secs_f64();
        while !self.stopped && !done(sim) {
            // Virtual time passes in steps where little happens, so that `done` is asked.
            let step = (sim.world.now + Duration::from_millis(100)).min(end);
            let busy = (0..TURN).all(|_| sim.step(step));
            self.turn(sim);
            if !busy && step == end {
                return;
            }
        }
    }
}

/// The network of a scenario, before anything happens; and what there is to note about it.
///
/// # Errors
/// What is wrong with the scenario.
pub fn prepare<P: Protocol>(
    scenario: &Scenario,
    mut inputs: Inputs,
) -> Result<(Sim<P>, Vec<String>), ScenarioError> {
    let mut rng = Rng::from_number(scenario.seed);
    let mut notes: Vec<String> =
        Some(P::NOTE).filter(|note| !note.is_empty()).map(str::to_owned).into_iter().collect();
    let mut roles = roles(scenario, &mut rng);
    let protocol = P::new(scenario, &mut roles, &mut rng)?;
    let latency = latency(scenario, inputs.files.remove("latency.file"), &mut rng, &mut notes)?;
    let mut churn = scenario.churn.clone();
    if let Some(churn) = &mut churn {
        for (key, times) in [("churn.session.file", &mut churn.session), ("churn.away.file", &mut churn.away)]
        {
            let Times::Trace { seconds, .. } = times else { continue };
            let text =
                inputs.files.remove(key).ok_or_else(|| scenario.problem(key, "the file was not read"))?;
            *seconds = Times::parse_trace(&text).map_err(|line| {
                scenario.problem(key, format!("line {line} of the trace is no time in seconds"))
            })?;
            if let Some((_, problem)) = times.problem() {
                return Err(scenario.problem(key, problem));
            }
        }
    }
    let parts = Parts {
        latency,
        links: Links::new(scenario.link, scenario.nodes),
        nats: Nats::new(scenario.nodes, scenario.nat, &mut rng),
        faults: scenario.faults.clone(),
        roles,
        churn,
        workload: scenario.workload,
        rng,
    };
    Ok((Sim::new(protocol, parts), notes))
}

fn roles(scenario: &Scenario, rng: &mut Rng) -> Vec<Role> {
    let mut roles = vec![Role::Honest; scenario.nodes];
    if let Some(attack) = scenario.attack {
        let count = (attack.share * scenario.nodes as f64).round() as usize;
        let role = if attack.kind == AttackKind::Silent { Role::Silent } else { Role::Liar };
        roles.iter_mut().take(count).for_each(|one| *one = role);
        rng.shuffle(&mut roles);
    }
    roles
}

fn latency(
    scenario: &Scenario,
    matrix: Option<String>,
    rng: &mut Rng,
    notes: &mut Vec<String>,
) -> Result<Latency, ScenarioError> {
    match &scenario.latency {
        LatencyConfig::Constant { one_way_ms } => Ok(Latency::Constant((one_way_ms * 1000.0) as u64)),
        LatencyConfig::Synthetic {} => Ok(Latency::plane(scenario.nodes, rng)),
        LatencyConfig::Matrix { file } => match matrix {
            Some(text) => {
                let matrix = Matrix::parse(&text)
                    .map_err(|error| scenario.problem("latency.file", error.to_string()))?;
                Ok(Latency::matrix(matrix, scenario.nodes, rng))
            }
            None => {
                notes.push(format!("latencies are those of the model: {file} is absent"));
                Ok(Latency::plane(scenario.nodes, rng))
            }
        },
    }
}

/// Ends searches by hand, for tests of protocols: runs until `seconds` have passed.
#[cfg(test)]
pub(crate) fn pass<P: Protocol>(sim: &mut Sim<P>, seconds: f64) {
    let end = sim.world.now + Duration::from_secs_f64(seconds);
    while sim.step(end) {}
}
