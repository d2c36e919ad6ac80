//! Randomly drawn faults over complete peers. With the feature `planted-bug` the same seeds must find the bug:
//! `cargo test -p peerage-lab --features planted-bug --test it random_faults`.

use peerage_lab::random::run;

/// The seeds that fail.
fn failing(seeds: std::ops::Range<u64>) -> Vec<String> {
    seeds.filter_map(|seed| run(seed).err()).map(|violation| violation.to_string()).collect()
}

#[test]
fn seeds_hold_unless_a_bug_was_planted() {
    let failing = failing(0..12);
    println!("{}", failing.join("\n"));
    assert_eq!(failing.is_empty(), !cfg!(feature = "planted-bug"), "{}", failing.join("\n"));
}

#[test]
#[ignore = "1,000 seeds: minutes, in release"]
fn a_thousand_seeds_hold() {
    let failing = failing(0..1000);
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

#[test]
fn a_seed_reproduces() {
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).map(|passed| passed.trace), run(4).map(|passed| passed.trace));
}
