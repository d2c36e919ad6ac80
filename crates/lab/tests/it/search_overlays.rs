//! One workload on six search overlays, at rest and with 30 % of the nodes away: what a textbook would want to know.
//!
//! `cargo test --release -p peerage-lab -- search_overlays:: --ignored --nocapture`

use peerage_lab::run::{Inputs, run};
use peerage_lab::scenario::Scenario;
use std::path::Path;

const NAMES: [&str; 6] = ["chord", "pastry", "flooding", "random-walk", "superpeer", "gia"];

#[allow(clippy::disallowed_methods, reason = "a test reads the scenarios of this tree")]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[test]
fn scenarios_are_in_order() {
    for name in NAMES {
        for name in [name.to_owned(), format!("{name}-churn")] {
            scenario(&name);
        }
    }
}

fn scenario(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../scenarios/{name}.toml"));
    let text = read(&path).unwrap_or_else(|| panic!("{}", path.display()));
    Scenario::parse(name, &text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
#[ignore = "a minute in release"]
fn one_workload_on_six_overlays() {
    println!(
        "{:<18} {:>8} {:>10} {:>8} {:>8} {:>8} {:>9} {:>9}",
        "scenario", "found", "msgs/query", "hops", "p50 ms", "p95 ms", "busiest", "mean load"
    );
    let mut broken = Vec::new();
    for churn in ["", "-churn"] {
        for name in NAMES {
            let scenario = scenario(&format!("{name}{churn}"));
            let files = scenario.files().into_iter().filter_map(|(kind, path)| {
                Some((kind, read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(path))?))
            });
            let inputs = Inputs { files: files.collect() };
            let report = run(&scenario, inputs, &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
            let figure = |name: &str| report.figure(name);
            println!(
                "{:<18} {:>8.3} {:>10.1} {:>8.2} {:>8.0} {:>8.0} {:>9.0} {:>9.0}",
                scenario.name,
                figure("success"),
                figure("messages_mean"),
                figure("hops_mean"),
                figure("latency_p50_ms"),
                figure("latency_p95_ms"),
                figure("load_max"),
                figure("load_mean"),
            );
            broken.extend(
                report.broken().map(|one| format!("{}: {} is {}", scenario.name, one.figure, one.value)),
            );
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}
