//! A report as one page: charts in SVG, nothing from the network, readable in light and dark.
//!
//! Every chart has its numbers as a table beneath it, for those who do not see it.

use super::{FIGURES, Report, csv};
use crate::figures::Distribution;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Width and height of a chart's drawing area, and what is left of it for labels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 24.0;

/// The page of one run, or of several beside each other.
#[must_use]
pub fn page(reports: &[Report]) -> String {
    let names: Vec<&str> = reports.iter().map(|report| report.scenario.as_str()).collect();
    let mut html = String::new();
    if reports.len() > 1 {
        html += &comparison(reports);
    }
    for report in reports {
        section(&mut html, report, reports.len() > 1);
    }
    document(&names.join(", "), &html, reports.iter().any(|report| !report.drawing.edges.is_empty()))
}

/// A page with this content; `plays` where it has overlays on which searches are played.
pub(crate) fn document(title: &str, content: &str, plays: bool) -> String {
    let title = escape(title);
    let script = if plays { format!("<script>{SCRIPT}</script>\n") } else { String::new() };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
<title>{title} - Peerage lab</title>\n<style>{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n{content}\
</main><footer><p>Made by peerage lab. The same scenario and seed give the same run.</p></footer>\n{script}</body></html>\n"
    )
}

/// Figures of all runs in one table, and the ones that differ most as bars.
fn comparison(reports: &[Report]) -> String {
    let mut html =
        "<h2>Side by side</h2><div class=\"wide\"><table><tr><th scope=\"col\">figure</th>".to_owned();
    for report in reports {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(&report.scenario));
    }
    html += "</tr>\n";
    for (name, meaning) in FIGURES {
        let _ = write!(html, "<tr><th scope=\"row\" title=\"{}\">{name}</th>", escape(meaning));
        for report in reports {
            let _ = write!(html, "<td class=\"n\">{}</td>", number(report.figure(name)));
        }
        html += "</tr>\n";
    }
    html += "</table></div>\n<div class=\"charts\">\n";
    for name in
        ["success", "hops_mean", "latency_p50_ms", "messages_mean", "bytes_mean", "load_max_over_mean"]
    {
        let meaning = FIGURES.iter().find(|(known, _)| *known == name).map_or("", |(_, meaning)| *meaning);
        let rows: Vec<(&str, f64)> =
            reports.iter().map(|report| (report.scenario.as_str(), report.figure(name))).collect();
        html += &rows_chart(name, meaning, &rows);
    }
    html + "</div>\n"
}

fn section(html: &mut String, report: &Report, several: bool) {
    if several {
        let _ = writeln!(html, "<h2>{}</h2>", escape(&report.scenario));
    }
    let _ = writeln!(html, "<p>{}</p>", escape(&report.about));
    let _ = writeln!(
        html,
        "<p class=\"dim\">{} nodes of the protocol {}, seed {}, {:.1} s of virtual time, {} events, trace {}</p>",
        report.nodes,
        escape(&report.protocol),
        report.seed,
        report.virtual_s,
        report.counters.events,
        report.trace_hash
    );
    if report.partial {
        *html += "<p class=\"broken\">The run was stopped: this is what happened until then.</p>\n";
    }
    for note in &report.notes {
        let _ = writeln!(html, "<p>Note: {}</p>", escape(note));
    }
    if !report.expectations.is_empty() {
        *html += "<table><caption>What was expected</caption>\n";
        for expectation in &report.expectations {
            let (class, verdict) =
                if expectation.holds { ("holds", "holds") } else { ("broken", "does not hold") };
            let _ = writeln!(
                html,
                "<tr><td>{} {}</td><td class=\"n\">{}</td><td class=\"{class}\">{verdict}</td></tr>",
                expectation.figure,
                escape(&expectation.condition),
                number(expectation.value)
            );
        }
        *html += "</table>\n";
    }
    if !several {
        *html += "<table><caption>Figures</caption>\n";
        for (name, meaning) in FIGURES {
            let value = number(report.figure(name));
            let _ = writeln!(
                html,
                "<tr><th scope=\"row\">{name}</th><td class=\"n\">{value}</td><td class=\"dim\">{meaning}</td></tr>"
            );
        }
        *html += "</table>\n";
    }
    *html += "<div class=\"charts\">\n";
    let titles = [
        "Hops of successful searches",
        "Time of successful searches, in ms",
        "Messages for each search",
        "Bytes for each search",
        "Load: datagrams that each node got",
        "Degree: nodes that each node knows",
    ];
    for (title, (_, distribution)) in titles.iter().zip(csv::distributions(report)) {
        *html += &bars_chart(title, distribution);
    }
    *html += &time_chart(report);
    *html += "</div>\n";
    overlay(html, report);
}

/// A histogram.
fn bars_chart(title: &str, of: &Distribution) -> String {
    let top = of.bars.iter().map(|bar| bar.1).max().unwrap_or(0).max(1) as f64;
    let label = format!(
        "{title}: mean {}, half at most {}, 99 % at most {}, at most {}",
        number(of.mean),
        number(of.p50),
        number(of.p99),
        number(of.max)
    );
    let mut svg =
        frame(&label, top, of.bars.first().map_or(0.0, |bar| bar.0), of.bars.last().map_or(0.0, |bar| bar.0));
    let width = (WIDTH - LEFT) / of.bars.len().max(1) as f64;
    for (at, (from, count)) in of.bars.iter().enumerate() {
        let height = *count as f64 / top * (HEIGHT - BOTTOM);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>from {}: {count}</title></rect>",
            LEFT + at as f64 * width,
            HEIGHT - BOTTOM - height,
            (width - 1.0).max(0.5),
            number(*from)
        );
    }
    let rows: Vec<(String, String)> =
        of.bars.iter().map(|(from, count)| (number(*from), count.to_string())).collect();
    figure(title, &label, &svg, ("from", "count"), &rows)
}

/// The share of searches that succeed, by when they began.
fn time_chart(report: &Report) -> String {
    let points = &report.over_time;
    let title = "Success over time";
    let least = points.iter().map(|point| point.success).fold(1.0, f64::min);
    let label = format!("{title}: from {:.1} % at worst to 100 %, by when searches began", least * 100.0);
    let (first, last) = (points.first().map_or(0.0, |p| p.at_s), points.last().map_or(0.0, |p| p.at_s));
    let mut svg = frame(&label, 1.0, first, last);
    let place = |at_s: f64, success: f64| {
        let x = LEFT + (at_s - first) / (last - first).max(1e-9) * (WIDTH - LEFT - 4.0);
        format!("{x:.1},{:.1}", (1.0 - success) * (HEIGHT - BOTTOM - 4.0) + 4.0)
    };
    let line: Vec<String> = points.iter().map(|point| place(point.at_s, point.success)).collect();
    let _ = write!(svg, "<polyline class=\"curve\" points=\"{}\"/>", line.join(" "));
    let rows: Vec<(String, String)> =
        points.iter().map(|point| (number(point.at_s), number(point.success))).collect();
    figure(title, &label, &svg, ("second", "share"), &rows)
}

/// One bar for each of several things.
pub(crate) fn rows_chart(title: &str, meaning: &str, rows: &[(&str, f64)]) -> String {
    let top = rows.iter().map(|row| row.1).fold(0.0, f64::max).max(1e-9);
    let height = 26.0 * rows.len() as f64;
    let label = format!("{title}: {meaning}");
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escape(&label));
    for (at, (name, value)) in rows.iter().enumerate() {
        let y = at as f64 * 26.0;
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{:.1}\">{}: {}</text><rect class=\"bar\" x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"8\"/>",
            y + 11.0,
            escape(name),
            number(*value),
            y + 15.0,
            (value / top * WIDTH).max(1.0)
        );
    }
    format!("<figure><figcaption>{}</figcaption>{svg}</svg></figure>\n", escape(&label))
}

/// The start of a chart: axes and their ends.
fn frame(label: &str, top: f64, first: f64, last: f64) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\
<line class=\"axis\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{WIDTH}\" y2=\"{y}\"/>\
<line class=\"axis\" x1=\"{LEFT}\" y1=\"0\" x2=\"{LEFT}\" y2=\"{y}\"/>\
<text x=\"{}\" y=\"12\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{y}\" text-anchor=\"end\">0</text>\
<text x=\"{LEFT}\" y=\"{below}\">{}</text><text x=\"{WIDTH}\" y=\"{below}\" text-anchor=\"end\">{}</text>",
        escape(label),
        LEFT - 4.0,
        number(top),
        LEFT - 4.0,
        number(first),
        number(last),
        y = HEIGHT - BOTTOM,
        below = HEIGHT - 8.0,
    )
}

/// A chart with its numbers beneath it.
fn figure(title: &str, label: &str, svg: &str, heads: (&str, &str), rows: &[(String, String)]) -> String {
    let mut table = String::new();
    for (first, second) in rows {
        let _ = write!(table, "<tr><td class=\"n\">{first}</td><td class=\"n\">{second}</td></tr>");
    }
    let detail = label.strip_prefix(title).unwrap_or(label).trim_start_matches(": ");
    format!(
        "<figure><figcaption><strong>{title}</strong><br>{}</figcaption>{svg}</svg>\
<details><summary>Numbers</summary><table><tr><th>{}</th><th>{}</th></tr>{table}</table></details></figure>\n",
        escape(detail),
        heads.0,
        heads.1
    )
}

/// The overlay on a circle, on which searches are played.
pub(crate) fn overlay(html: &mut String, report: &Report) {
    if report.drawing.edges.is_empty() {
        return;
    }
    // Within a script element only a closing tag ends it.
    let data = serde_json::to_string(&report.drawing).unwrap_or_default().replace('<', "\\u003c");
    let _ = writeln!(
        html,
        "<h2>The overlay, and searches on it</h2>\n<section class=\"overlay\" aria-label=\"The overlay of {0}\">\n\
<p>Each dot on the circle is a node, in the order of the nodes; each faint line leads to a node that it knows. \
Choose a search and play its messages.</p>\n\
<div class=\"controls\"><label>Search <select></select></label>\
<button type=\"button\" class=\"play\">Play</button><button type=\"button\" class=\"step\">Step</button>\
<button type=\"button\" class=\"back\">Back to the start</button>\
<label>Message <input type=\"range\" min=\"0\" value=\"0\"></label></div>\n\
<p class=\"told\" role=\"status\" aria-live=\"polite\"></p>\n\
<canvas role=\"img\" aria-label=\"The overlay as a circle of nodes\"></canvas>\n\
<script type=\"application/json\">{data}</script></section>",
        escape(&report.scenario)
    );
}

/// A number as people read it.
fn number(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e12 {
        return format!("{value:.0}");
    }
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Inputs, run};
    use crate::scenario::Scenario;

    fn report(name: &str, nodes: usize) -> Report {
        let text = format!(
            "about = \"a <b>test</b>\"\nprotocol = \"kademlia\"\nnodes = {nodes}\n[workload]\nsearches = 50\nover_s = 5\n[expect]\nsuccess = \">= 2\"\n"
        );
        let scenario = Scenario::parse(name, &text).unwrap();
        run(&scenario, Inputs::default(), &mut |_| true).unwrap()
    }

    #[test]
    fn a_page_stands_alone_and_escapes_names() {
        let html = page(&[report("<script>", 100)]);
        assert!(html.contains("a &lt;b&gt;test&lt;/b&gt;") && html.contains("<h1>&lt;script&gt;</h1>"));
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("src="));
        assert!(html.contains("does not hold") && html.contains("aria-live"));
        for tag in ["figure", "svg", "table", "section", "script", "details", "main"] {
            let open = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(open, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn several_runs_stand_side_by_side_and_large_ones_are_not_drawn() {
        let html = page(&[report("one", 100), report("two", 2500)]);
        assert!(html.contains("Side by side") && html.contains("<th scope=\"col\">two</th>"));
        assert_eq!(html.matches("class=\"overlay\"").count(), 1);
    }
}
