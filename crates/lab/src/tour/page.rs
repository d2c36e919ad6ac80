//! The tour as one page.

use super::text::{ADVICE, opening, rows, sentences, title};
use super::{NODES, Station};
use crate::report::html::{document, escape, overlay, rows_chart};
use std::fmt::Write as _;

/// The page. Of a `partial` walk it says so.
#[must_use]
pub fn page(stations: &[Station], partial: bool) -> String {
    let mut html = format!("<p>{}</p>\n", escape(opening().trim()));
    if partial {
        html += "<p class=\"broken\">The walk was stopped: these are the stations until then.</p>\n";
    }
    for (at, station) in stations.iter().enumerate() {
        let kind = station.kind;
        let _ = writeln!(
            html,
            "<h2>{}. {} <span class=\"dim\">({})</span></h2>",
            at + 1,
            title(kind.name),
            kind.examples
        );
        let _ = writeln!(
            html,
            "<pre role=\"img\" aria-label=\"{}\">{}</pre>",
            escape(kind.shows),
            escape(kind.picture)
        );
        kind.words.iter().for_each(|words| _ = writeln!(html, "<p>{}</p>", escape(words)));
        html += "<ul>\n";
        sentences(station).iter().for_each(|line| _ = writeln!(html, "<li>{}</li>", escape(line)));
        let _ = writeln!(html, "</ul>\n<p><strong>{}</strong></p>", escape(kind.lesson));
        overlay(&mut html, &station.report);
    }
    html += "<h2>Side by side</h2>\n<div class=\"wide\"><table><tr><th scope=\"col\">figure</th>";
    stations.iter().for_each(|station| _ = write!(html, "<th scope=\"col\">{}</th>", station.name));
    html += "</tr>\n";
    for (name, values) in rows(stations) {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&name));
        values.iter().for_each(|value| _ = write!(html, "<td class=\"n\">{}</td>", escape(value)));
        html += "</tr>\n";
    }
    html += "</table></div>\n<div class=\"charts\">\n";
    let chart = |title: &str, meaning: &str, value: fn(&Station) -> f64| {
        let rows: Vec<(&str, f64)> = stations.iter().map(|station| (station.name, value(station))).collect();
        rows_chart(title, meaning, &rows)
    };
    let (small, large) = NODES;
    let nodes = |nodes: usize| format!("for each search, {nodes} nodes");
    html += &chart("messages", &nodes(small), |station| station.small.messages);
    html += &chart("messages", &nodes(large), |station| station.large.messages);
    html += &chart("busiest", "percent of all messages that the busiest node gets", |station| {
        station.large.busiest_share * 100.0
    });
    html += &chart("found in trouble", "percent of the searches", |station| station.trouble.found * 100.0);
    html += "</div>\n<ul>\n";
    for advice in ADVICE {
        // What is between backquotes is a command.
        let parts = advice.split('`').enumerate();
        let parts = parts.map(|(at, part)| match at % 2 {
            1 => format!("<code>{}</code>", escape(part)),
            _ => escape(part),
        });
        let _ = writeln!(html, "<li>{}</li>", parts.collect::<String>());
    }
    html += "</ul>\n";
    document("A tour of peer-to-peer networks", &html, !stations.is_empty())
}
