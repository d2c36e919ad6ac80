//! A small network under churn, loss and liars from a seed; prints a hash over everything that happened.
//!
//! `cargo xtask determinism` runs it in two processes and compares.

use peerage_lab::run::{Inputs, run};
use peerage_lab::scenario::Scenario;

const TEXT: &str = "protocol = \"kademlia\"\nnodes = 300\n[link]\nloss = 0.02\nduplicate = 0.01\njitter_ms = 5\n\
[churn.session]\nmodel = \"weibull\"\nshape = 0.6\nscale_s = 120\n[churn.away]\nmodel = \"exponential\"\nmean_s = 30\n\
[nat]\nmoderate = 0.1\n[attack]\nkind = \"liars\"\nshare = 0.1\n[workload]\nsearches = 500\n[settings]\nupkeep_s = 5\n";

#[allow(clippy::disallowed_methods, reason = "the seed is an argument")]
fn main() {
    let mut scenario = Scenario::parse("trace", TEXT).unwrap_or_else(|error| panic!("{error}"));
    scenario.seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let report = run(&scenario, Inputs::default(), &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
    println!("{} events, {} searches, trace {}", report.counters.events, report.searches, report.trace_hash);
}
