//! Randomly drawn faults over complete peers, and that they find bugs.

use peerage_lab::random::{Bug, Invariant, Outcome, Plan, run, shrink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a seed shows.
fn test(seed: u64, bug: Option<Bug>) -> Outcome {
    run(&Plan::draw(seed), bug, &mut || true)
}

/// The seeds that fail, with how.
fn failing(seeds: impl Iterator<Item = u64>) -> Vec<String> {
    let tell = |seed| match test(seed, None) {
        Outcome::Passed(_) => None,
        other => Some(format!("seed {seed}: {other:?} ({})", Plan::draw(seed))),
    };
    seeds.filter_map(tell).collect()
}

#[test]
fn seeds_hold() {
    let failing = failing(0..12);
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

/// Each thing that is checked is broken by one of the bugs, and seen within a few seeds.
#[test]
fn a_planted_bug_is_found() {
    let breaks = |bug| match bug {
        Bug::UncheckedPieces => Invariant::Content,
        Bug::RottenDisk => Invariant::Bans,
        Bug::LostJobs => Invariant::Completion,
    };
    for (name, bug) in Bug::ALL {
        let found = (0..12).find_map(|seed| match test(seed, Some(bug)) {
            Outcome::Violated(violation) => Some((seed, violation)),
            _ => None,
        });
        let (seed, violation) = found.unwrap_or_else(|| panic!("{name} is not found"));
        println!("{name}: seed {seed}: {violation}");
        assert_eq!(violation.invariant, breaks(bug), "{name}: {violation}");
    }
}

#[test]
fn a_failing_seed_shrinks_and_fails_as_before() {
    let bug = Some(Bug::LostJobs);
    let plan = Plan::draw(0);
    let Outcome::Violated(violation) = test(0, bug) else { panic!("the bug is not found by seed 0") };
    let (small, _) = shrink(plan.clone(), violation.clone(), bug, &mut |_, _| true);
    println!("{plan}\n{small}");
    assert!(small.nodes.len() < plan.nodes.len() && small.faults_ms < plan.faults_ms);
    let read = Plan::parse(&small.to_toml()).unwrap();
    let Outcome::Violated(same) = run(&read, bug, &mut || true) else { panic!("the shrunk plan holds") };
    assert_eq!(same.invariant, violation.invariant);
    assert!(matches!(run(&small, None, &mut || true), Outcome::Passed(_)), "without the bug it holds");
}

/// Plans that failed once: they hold now.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test reads the plans of this tree")]
fn regressions_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    for file in std::fs::read_dir(folder).into_iter().flatten() {
        let path = file.unwrap().path();
        let plan = Plan::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = run(&plan, None, &mut || true);
        assert!(matches!(outcome, Outcome::Passed(_)), "{}: {outcome:?}", path.display());
    }
}

#[test]
#[ignore = "1,000 seeds: minutes, in release"]
fn a_thousand_seeds_hold() {
    let next = AtomicU64::new(0);
    let seeds =
        || std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < 1000));
    let failing: Vec<String> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| failing(seeds()))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

#[test]
fn a_seed_reproduces_and_can_be_stopped() {
    assert_eq!(test(3, None), test(3, None));
    assert_ne!(test(3, None), test(4, None));
    assert_eq!(run(&Plan::draw(3), None, &mut || false), Outcome::Stopped);
}
