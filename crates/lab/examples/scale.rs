//! Time, memory and cost per event of Kademlia networks of growing size: the rows of `bench/LAB.md`.
//!
//! `cargo run --release -p peerage-lab --example scale -- NODES SEARCHES`

use peerage_lab::run::{Inputs, run};
use peerage_lab::scenario::Scenario;

#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock and its arguments"
)]
fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse::<usize>().ok());
    let (nodes, searches) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(100_000));
    let text =
        format!("protocol = \"kademlia\"\nnodes = {nodes}\n[workload]\nsearches = {searches}\nover_s = 60\n");
    let scenario = Scenario::parse("scale", &text).unwrap_or_else(|error| panic!("{error}"));
    let begin = std::time::Instant::now();
    let (mut built_s, mut built_cpu_s, mut built_kib) = (None, 0.0, 0);
    let report = run(&scenario, Inputs::default(), &mut |progress| {
        if progress.phase != "building" && built_s.is_none() {
            built_s = Some(begin.elapsed().as_secs_f64());
            built_cpu_s = cpu_s();
            built_kib = memory_kib("VmRSS:");
        }
        true
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let all_s = begin.elapsed().as_secs_f64();
    let built_s = built_s.unwrap_or(0.0);
    let (events, searching_s) = (report.counters.events as f64, cpu_s() - built_cpu_s);
    println!(
        "| {nodes} | {searches} | {built_s:.1} | {all_s:.1} | {searching_s:.1} | {} | {:.2} | {:.2} | {} | {:.4} | {:.2} |",
        report.counters.events,
        events / searching_s / 1e6,
        built_kib as f64 / nodes as f64,
        memory_kib("VmHWM:") / 1024,
        report.figure("success"),
        report.figure("hops_mean"),
    );
}

/// Seconds that this thread was on a core; all work is this thread's.
#[allow(clippy::disallowed_methods, reason = "a measurement asks the system")]
fn cpu_s() -> f64 {
    let times = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    times.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// A line of the system's table of this process.
#[allow(clippy::disallowed_methods, reason = "a measurement asks the system")]
fn memory_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
