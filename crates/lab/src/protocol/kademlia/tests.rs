use super::*;
use crate::run::{Inputs, run};

fn report(text: &str) -> crate::report::Report {
    let scenario = Scenario::parse("test", text).unwrap();
    run(&scenario, Inputs::default(), &mut |_| true).unwrap()
}

const BASE: &str = "protocol = \"kademlia\"\nnodes = 1000\n[workload]\nsearches = 500\n";

#[test]
fn every_look_up_finds_the_closest_node_in_about_logarithmic_steps() {
    let report = report(BASE);
    // Now and then the closest node's answer is late, and the look-up ends without it.
    assert!(report.figure("success") >= 0.99, "{}", report.figure("success"));
    // log2(1000) / log2(8) = 3.3 at most; papers.md has 2.57 for k = 16 and 10,000 nodes.
    assert!((1.5..3.4).contains(&report.figure("hops_mean")), "{}", report.figure("hops_mean"));
    assert!(report.figure("messages_mean") < 60.0, "{}", report.figure("messages_mean"));
}

#[test]
fn nodes_that_join_one_after_the_other_make_the_same_network() {
    let text = "protocol = \"kademlia\"\nnodes = 300\nstart = \"joined\"\njoin_s = 60\nsettle_s = 30\n[workload]\nsearches = 300\n";
    let report = report(text);
    assert!(report.figure("success") >= 0.99, "{}", report.figure("success"));
    assert!(report.figure("degree_mean") > 30.0, "{}", report.figure("degree_mean"));
}

#[test]
fn values_are_found_where_they_are_kept() {
    let report = report(&format!("{BASE}objects = 100\nzipf = 1.0\n"));
    assert_eq!(report.figure("success"), 1.0);
    // The closest eight have it: one of them is met before the very closest.
    assert!(report.figure("hops_mean") < 2.6, "{}", report.figure("hops_mean"));
}

/// Liars that may have any key win on a single path and on most of several; where keys are checked against addresses
/// they have no hold.
#[test]
fn forged_keys_spoil_look_ups_unless_keys_are_checked() {
    let with = |paths: usize, check: bool| {
        let attack = "[attack]\nkind = \"liars\"\nshare = 0.2\n";
        let text = format!("{BASE}{attack}[settings]\nk = 16\npaths = {paths}\ncheck_keys = {check}\n");
        report(&text).figure("success")
    };
    let (one, four) = (with(1, false), with(4, false));
    println!("one path {one}, four {four}, checked {}", with(1, true));
    assert!(one < 0.1 && four > one + 0.2, "one path {one}, four {four}");
    assert!(with(1, true) >= 0.97);
}
