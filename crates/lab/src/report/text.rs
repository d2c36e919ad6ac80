//! A report as a table on a terminal.

use super::{FIGURES, Report};
use std::fmt::Write as _;

/// The table.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("scenario", format!("{} ({}), seed {}", report.scenario, report.protocol, report.seed));
    line("nodes", format!("{}, {} of them there at the end", report.nodes, report.nodes_online));
    if report.partial {
        line("partial", "the run was stopped: these are the figures of what happened until then".to_owned());
    }
    report.notes.iter().for_each(|note| line("note", note.clone()));
    line("success", format!("{:.2} % of {} searches", report.figure("success") * 100.0, report.searches));
    let row = |of: &crate::figures::Distribution, digits: usize| {
        format!(
            "mean {:.digits$}   p50 {:.digits$}   p95 {:.digits$}   p99 {:.digits$}   max {:.digits$}",
            of.mean, of.p50, of.p95, of.p99, of.max
        )
    };
    line("hops", row(&report.hops, 2));
    line("latency ms", row(&report.latency_ms, 0));
    line("messages", row(&report.messages, 1));
    line("bytes", row(&report.bytes, 0));
    line("load", row(&report.load, 1));
    line("degree", row(&report.degree, 1));
    let counters = &report.counters;
    let lost = counters.lost + counters.overflowed + counters.filtered + counters.cut + counters.nobody;
    line(
        "datagrams",
        format!("{} sent, {} delivered, {lost} did not arrive", counters.sent, counters.delivered),
    );
    line(
        "virtual",
        format!("{:.1} s, {} events, trace {}", report.virtual_s, counters.events, report.trace_hash),
    );
    for expectation in &report.expectations {
        let verdict = if expectation.holds { "holds" } else { "DOES NOT HOLD" };
        line(
            "expected",
            format!("{} {}: {:.4}, {verdict}", expectation.figure, expectation.condition, expectation.value),
        );
    }
    text
}

/// Figures of several reports side by side.
#[must_use]
pub fn comparison(reports: &[Report]) -> String {
    let mut text = format!("{:<24}", "figure");
    for report in reports {
        let _ = write!(text, " {:>18}", report.scenario.chars().take(18).collect::<String>());
    }
    text.push('\n');
    for (name, _) in FIGURES {
        let _ = write!(text, "{name:<24}");
        for report in reports {
            let _ = write!(text, " {:>18.3}", report.figure(name));
        }
        text.push('\n');
    }
    text
}
