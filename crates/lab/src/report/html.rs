//! A report as one page: charts in SVG, nothing from the network.

use super::Report;

/// The page of one or several runs.
#[must_use]
pub fn page(reports: &[Report]) -> String {
    let titles: Vec<&str> = reports.iter().map(|report| report.scenario.as_str()).collect();
    format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>", titles.join(", "))
}
