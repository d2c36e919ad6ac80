//! A report's numbers as tables of comma-separated values.

use super::Report;
use crate::figures::Distribution;
use std::fmt::Write as _;

/// The files: name and content.
#[must_use]
pub fn files(report: &Report) -> Vec<(&'static str, String)> {
    let mut figures = "figure,value\n".to_owned();
    for (name, value) in &report.figures {
        let _ = writeln!(figures, "{name},{value}");
    }
    let mut bars = "distribution,from,count\n".to_owned();
    for (name, distribution) in distributions(report) {
        for (from, count) in &distribution.bars {
            let _ = writeln!(bars, "{name},{from},{count}");
        }
    }
    let mut time = "at_s,searches,success\n".to_owned();
    for point in &report.over_time {
        let _ = writeln!(time, "{},{},{}", point.at_s, point.searches, point.success);
    }
    vec![("figures.csv", figures), ("distributions.csv", bars), ("success-over-time.csv", time)]
}

/// The distributions of a report with their names.
#[must_use]
pub fn distributions(report: &Report) -> [(&'static str, &Distribution); 6] {
    [
        ("hops", &report.hops),
        ("latency_ms", &report.latency_ms),
        ("messages", &report.messages),
        ("bytes", &report.bytes),
        ("load", &report.load),
        ("degree", &report.degree),
    ]
}
