//! What TOML's types do not tell: ranges, and names of things.

use super::{LatencyConfig, NODES_MAX, Scenario, ScenarioError};
use crate::{protocol, report};

/// Checks everything but the protocol's own settings.
pub(super) fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let problem = |key: &str, text: String| Err(scenario.problem(key, text));
    if protocol::find(&scenario.protocol).is_none() {
        let names: Vec<&str> = protocol::PROTOCOLS.iter().map(|entry| entry.info.name).collect();
        return problem("protocol", format!("{:?} is none of {}", scenario.protocol, names.join(", ")));
    }
    if !(2..=NODES_MAX).contains(&scenario.nodes) {
        return problem("nodes", format!("{} is not between 2 and {NODES_MAX}", scenario.nodes));
    }
    for (key, share) in shares(scenario) {
        if !(0.0..=1.0).contains(&share) {
            return problem(&key, format!("{share} is not a share between 0 and 1"));
        }
    }
    for (key, time) in amounts(scenario) {
        if !(0.0..=1e9).contains(&time) {
            return problem(&key, format!("{time} is not between 0 and 1,000,000,000"));
        }
    }
    if scenario.nat.moderate + scenario.nat.strict > 1.0 {
        return problem("nat", "the shares are more than 1 together".to_owned());
    }
    if let Some(churn) = &scenario.churn {
        for (name, times) in [("session", &churn.session), ("away", &churn.away)] {
            let unread = matches!(times, crate::churn::Times::Trace { .. });
            if let (Some((key, text)), false) = (times.problem(), unread) {
                return problem(&format!("churn.{name}.{key}"), text);
            }
        }
    }
    if scenario.workload.searches > 10_000_000 {
        return problem("workload.searches", "more than 10,000,000".to_owned());
    }
    if scenario.workload.objects > 10_000_000 {
        return problem("workload.objects", "more than 10,000,000".to_owned());
    }
    for (figure, condition) in &scenario.expect {
        let key = format!("expect.{figure}");
        if !report::FIGURES.iter().any(|(name, _)| name == figure) {
            let names: Vec<&str> = report::FIGURES.iter().map(|(name, _)| *name).collect();
            return problem(&key, format!("no such figure; there are {}", names.join(", ")));
        }
        if report::Condition::parse(condition).is_none() {
            return problem(&key, format!("{condition:?} is not a condition such as \">= 0.99\""));
        }
    }
    (protocol::find(&scenario.protocol).map_or(Ok(()), |entry| (entry.check)(scenario)))?;
    Ok(())
}

fn shares(scenario: &Scenario) -> Vec<(String, f64)> {
    let link = &scenario.link;
    let mut shares = vec![
        ("link.loss".to_owned(), link.loss),
        ("link.duplicate".to_owned(), link.duplicate),
        ("link.reorder".to_owned(), link.reorder),
        ("nat.moderate".to_owned(), scenario.nat.moderate),
        ("nat.strict".to_owned(), scenario.nat.strict),
    ];
    shares.extend(scenario.attack.map(|attack| ("attack.share".to_owned(), attack.share)));
    shares.extend(scenario.faults.iter().map(|fault| ("fault.share".to_owned(), fault.share)));
    shares
}

fn amounts(scenario: &Scenario) -> Vec<(String, f64)> {
    let (link, workload) = (&scenario.link, &scenario.workload);
    let mut times = vec![
        ("join_s".to_owned(), scenario.join_s),
        ("settle_s".to_owned(), scenario.settle_s),
        ("link.reorder_ms".to_owned(), link.reorder_ms),
        ("link.jitter_ms".to_owned(), link.jitter_ms),
        ("link.up_bytes_per_s".to_owned(), link.up_bytes_per_s),
        ("link.queue_ms".to_owned(), link.queue_ms),
        ("workload.start_s".to_owned(), workload.start_s),
        ("workload.over_s".to_owned(), workload.over_s),
        ("workload.timeout_s".to_owned(), workload.timeout_s),
        ("workload.zipf".to_owned(), workload.zipf),
        ("workload.copies".to_owned(), workload.copies),
    ];
    if let LatencyConfig::Constant { one_way_ms } = scenario.latency {
        times.push(("latency.one_way_ms".to_owned(), one_way_ms));
    }
    for fault in &scenario.faults {
        times.push(("fault.at_s".to_owned(), fault.at_s));
        times.push(("fault.for_s".to_owned(), fault.for_s));
        times.push(("fault.delay_ms".to_owned(), fault.delay_ms));
    }
    times
}
