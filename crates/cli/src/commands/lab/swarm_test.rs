//! `peerage lab swarm-test`: seeds on all cores, and what fails made small.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use peerage_api::counted;
use peerage_api::error::{ExitCode, Failure};
use peerage_lab::random::{self, Bug, Outcome, Plan, Violation};
use peerage_node::Stop;
use serde::Serialize;

use super::super::Context;
use super::super::transfer::drive;
use crate::args::SwarmTest;
use crate::output::Output;

/// Failing seeds that are made smaller: each takes hundreds of runs.
const SHRUNK_MAX: usize = 3;

/// Seeds at a time, at most.
const JOBS_MAX: usize = 256;

/// Progress is shown at least so often.
const TICK: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Tested {
    schema_version: u32,
    /// Whether it was stopped before its end.
    partial: bool,
    /// The first seed.
    first: u64,
    /// Seeds that were run to their end.
    seeds: u64,
    /// Events of the seeds that hold.
    events: u64,
    /// A hash over those runs, in the order of their seeds.
    trace_hash: String,
    violations: Vec<Failing>,
}

/// A seed under which something does not hold.
#[derive(Serialize)]
struct Failing {
    seed: u64,
    /// Which of the things that must hold.
    invariant: &'static str,
    /// What happened.
    what: String,
    /// What was drawn.
    drawn: String,
    /// The plan, made smaller, and how that one fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    shrunk: Option<Shrunk>,
    #[serde(skip)]
    plan: Plan,
}

#[derive(Serialize)]
struct Shrunk {
    what: String,
    plan: Plan,
}

pub(super) fn swarm_test(context: &mut Context, args: &SwarmTest) -> anyhow::Result<ExitCode> {
    let plans = match &args.plan {
        Some(path) => Plans::One(Box::new(read(path)?)),
        None => Plans::Seeds(args.seeds.clone()),
    };
    let jobs =
        args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, usize::from).min(JOBS_MAX);
    let stop = Stop::new();
    let output = &mut context.output;
    let work = async {
        let mut tested = test(&plans, jobs, args.planted_bug, &stop, output);
        if matches!(plans, Plans::Seeds(_)) {
            // A machine that panics has said so once; it does so in each of the runs to come.
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| {}));
            for failing in tested.violations.iter_mut().take(SHRUNK_MAX) {
                shrink(failing, args.planted_bug, &stop, output);
            }
            std::panic::set_hook(hook);
        }
        tested.partial |= stop.is_requested();
        Ok(tested)
    };
    let tested = drive(&stop, work)??;
    output.clear();
    if let Some(folder) = args.out.as_ref().filter(|_| !tested.violations.is_empty()) {
        write(folder, &tested).with_context(|| format!("writing plans to {}", folder.display()))?;
    }
    output.reply(&tested, text)?;
    verdict(&tested, args)
}

/// What is run.
enum Plans {
    Seeds(std::ops::Range<u64>),
    One(Box<Plan>),
}

impl Plans {
    fn len(&self) -> u64 {
        match self {
            Self::Seeds(seeds) => seeds.end - seeds.start,
            Self::One(_) => 1,
        }
    }

    fn get(&self, at: u64) -> Plan {
        match self {
            Self::Seeds(seeds) => Plan::draw(seeds.start + at),
            Self::One(plan) => (**plan).clone(),
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Seeds(seeds) => seeds.start,
            Self::One(plan) => plan.seed,
        }
    }
}

/// Runs all plans, so many at a time.
fn test(plans: &Plans, jobs: usize, bug: Option<Bug>, stop: &Stop, output: &mut Output) -> Tested {
    let next = AtomicU64::new(0);
    let mut done: BTreeMap<u64, Outcome> = BTreeMap::new();
    let mut broken = 0;
    thread::scope(|scope| {
        let (sender, results) = sync_channel(jobs);
        for _ in 0..jobs {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || work(plans, next, bug, stop, &sender));
        }
        drop(sender);
        loop {
            match results.recv_timeout(TICK) {
                Ok((at, outcome)) => {
                    if let Outcome::Violated(violation) = &outcome {
                        broken += 1;
                        output.say(&format!("seed {}: {violation}", plans.first() + at));
                    }
                    done.insert(at, outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let detail = format!("{} of {} seeds, {broken} violations", done.len(), plans.len());
            output.working("running", done.len() as f64 / plans.len() as f64, &detail);
        }
    });
    let mut tested = Tested {
        schema_version: peerage_api::SCHEMA_VERSION,
        partial: (done.len() as u64) < plans.len(),
        first: plans.first(),
        seeds: done.len() as u64,
        events: 0,
        trace_hash: String::new(),
        violations: Vec::new(),
    };
    let mut trace = peerage_lab::trace::Trace::default();
    for (at, outcome) in done {
        match outcome {
            Outcome::Passed(passed) => {
                tested.events += passed.events;
                trace.number(passed.trace);
            }
            Outcome::Violated(violation) => tested.violations.push(failing(plans.get(at), &violation)),
            Outcome::Stopped => {}
        }
    }
    tested.trace_hash = format!("{:016x}", trace.hash());
    tested
}

/// A thread's part: the next plan, until there is none.
fn work(plans: &Plans, next: &AtomicU64, bug: Option<Bug>, stop: &Stop, done: &SyncSender<(u64, Outcome)>) {
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= plans.len() || stop.is_requested() {
            return;
        }
        let outcome = random::run(&plans.get(at), bug, &mut || !stop.is_requested());
        if outcome == Outcome::Stopped || done.send((at, outcome)).is_err() {
            return;
        }
    }
}

fn failing(plan: Plan, violation: &Violation) -> Failing {
    Failing {
        seed: plan.seed,
        invariant: violation.invariant.name(),
        what: violation.to_string(),
        drawn: plan.to_string(),
        shrunk: None,
        plan,
    }
}

/// Makes a failing seed smaller.
fn shrink(failing: &mut Failing, bug: Option<Bug>, stop: &Stop, output: &mut Output) {
    let outcome = random::run(&failing.plan, bug, &mut || !stop.is_requested());
    let Outcome::Violated(violation) = outcome else { return };
    let mut watch = |plan: &Plan, runs: usize| {
        let detail = format!("seed {}, run {runs}: {} nodes are left", failing.seed, plan.nodes.len());
        output.working("shrinking", runs as f64 / random::SHRINK_RUNS_MAX as f64, &detail);
        !stop.is_requested()
    };
    let (plan, violation) = random::shrink(failing.plan.clone(), violation, bug, &mut watch);
    failing.shrunk = Some(Shrunk { what: violation.to_string(), plan });
}

fn text(tested: &Tested) -> String {
    let mut text = String::new();
    for failing in &tested.violations {
        text += &format!("seed {}: {}\n  {}\n", failing.seed, failing.what, failing.drawn);
        if let Some(shrunk) = &failing.shrunk {
            text += &format!("  shrunk: {}\n  {}\n", shrunk.what, shrunk.plan);
        }
    }
    if tested.partial {
        text += "stopped: not every seed was run, or made small\n";
    }
    text + &format!(
        "{} from {} on, {}, {}\n",
        counted(tested.seeds as usize, "seed"),
        tested.first,
        counted(tested.events as usize, "event"),
        counted(tested.violations.len(), "violation")
    )
}

/// How the program ends.
fn verdict(tested: &Tested, args: &SwarmTest) -> anyhow::Result<ExitCode> {
    if let Some(failing) = tested.violations.first() {
        let message = format!("seed {}: {}", failing.seed, failing.what);
        let again = match &args.plan {
            Some(path) => format!("--plan {}", path.display()),
            None => format!("--seeds {}..{}", failing.seed, failing.seed + 1),
        };
        let hint = match &args.out {
            Some(folder) => format!("what fails is in {}, for `--plan`", folder.display()),
            None => format!("the same again: peerage lab swarm-test {again}; `--out DIR` keeps it as a file"),
        };
        return Err(Failure::new(ExitCode::Integrity, "E_VIOLATION", message).hint(hint).into());
    }
    if tested.partial {
        let message = "stopped: not every seed was run";
        return Err(Failure::new(ExitCode::Interrupted, "E_INTERRUPTED", message).into());
    }
    Ok(ExitCode::Ok)
}

fn read(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::of_kind(error.kind(), format!("{}: {error}", path.display())))?;
    Plan::parse(&text).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::new(ExitCode::Config, "E_PLAN", message).hint("`--out DIR` writes plans").into()
    })
}

fn write(folder: &Path, tested: &Tested) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for failing in &tested.violations {
        let plan = failing.shrunk.as_ref().map_or(&failing.plan, |shrunk| &shrunk.plan);
        let what = failing.shrunk.as_ref().map_or(&failing.what, |shrunk| &shrunk.what);
        let text = format!("# {}\n{}", what.replace('\n', " "), plan.to_toml());
        std::fs::write(folder.join(format!("seed-{}.toml", failing.seed)), text)?;
    }
    Ok(())
}
