//! Making a plan that fails smaller: one thing is left out at a time, and stays out where the rest fails as before.

use super::{Bug, Does, Outcome, Pieces, Plan, Violation, run};

/// Runs that are spent on it, at most.
pub const SHRINK_RUNS_MAX: usize = 400;

/// A smaller plan that breaks the same invariant, and how; the plan itself where nothing can be left out. `go_on` is
/// told of the smallest plan so far, many times a second; after `false` that is the result.
pub fn shrink(
    plan: Plan,
    violation: Violation,
    bug: Option<Bug>,
    go_on: &mut dyn FnMut(&Plan, usize) -> bool,
) -> (Plan, Violation) {
    let (mut plan, mut violation, mut runs, mut at) = (plan, violation, 0, 0);
    let mut changed = false;
    while runs < SHRINK_RUNS_MAX {
        let Some(smaller) = smaller(&plan).into_iter().nth(at) else {
            if !std::mem::take(&mut changed) {
                break;
            }
            // What could not be left out before may be now.
            at = 0;
            continue;
        };
        runs += 1;
        match run(&smaller, bug, &mut || go_on(&plan, runs)) {
            Outcome::Violated(same) if same.invariant == violation.invariant => {
                // The next one has moved to this place.
                (plan, violation, changed) = (smaller, same, true);
            }
            Outcome::Stopped => break,
            Outcome::Violated(_) | Outcome::Passed(_) => at += 1,
        }
    }
    (plan, violation)
}

/// Plans with one thing less each, those that save most first. All of them can be run.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        if smaller != *plan && smaller.check().is_ok() {
            plans.push(smaller);
        }
    };
    offer(&|plan| end_at(plan, plan.faults_ms / 2));
    for index in (0..plan.nodes.len()).rev() {
        offer(&|plan| {
            plan.nodes.remove(index);
        });
    }
    offer(&|plan| plan.files.truncate(1));
    for index in 0..plan.files.len() {
        offer(&|plan| plan.files[index] = plan.files[index].div_ceil(2));
    }
    offer(&|plan| plan.pieces = Pieces::V1);
    for index in 0..plan.nodes.len() {
        offer(&|plan| plan.nodes[index].goes_ms = None);
        offer(&|plan| plan.nodes[index].hangs_up = 0.0);
        offer(&|plan| plan.nodes[index].walled = false);
        offer(&|plan| {
            let node = &mut plan.nodes[index];
            if node.is_leecher() {
                (node.does, node.has) = (Does::FetchTorrent, 0.0);
            }
        });
        offer(&|plan| {
            let node = &mut plan.nodes[index];
            node.goes_ms = node.goes_ms.map(|goes| goes - node.comes_ms);
            node.comes_ms = 0;
        });
    }
    plans
}

/// The faults end earlier; what would happen later happens then.
fn end_at(plan: &mut Plan, end_ms: u64) {
    plan.faults_ms = end_ms;
    plan.nodes.retain(|node| node.comes_ms < end_ms || node.comes_ms == 0);
    for node in &mut plan.nodes {
        node.goes_ms = node.goes_ms.map(|goes| goes.min(end_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_smaller_can_be_run_and_comes_to_an_end() {
        for seed in 0..50 {
            let mut plan = Plan::draw(seed);
            let mut rounds = 0;
            while let Some(smaller) = smaller(&plan).pop() {
                assert_eq!(smaller.check(), Ok(()));
                plan = smaller;
                rounds += 1;
                assert!(rounds < 1000, "seed {seed} does not end");
            }
            assert_eq!(plan.nodes.len(), 2, "seed {seed}: one that shares, one that fetches");
        }
    }
}
