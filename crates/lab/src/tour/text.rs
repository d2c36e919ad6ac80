//! The tour as text on a terminal.

use super::{Measured, NODES, SEARCHES, Station};
use std::fmt::Write as _;

/// Characters of a line, at most.
const LINE: usize = 92;

/// What is to come.
#[must_use]
pub fn opening() -> String {
    let text = format!(
        "How does one find a file that some of many machines have? Four answers, in the order in which they were tried. Each is run here and now, in virtual time: first with {} nodes, then with {}, then in trouble. There are 100 \
objects with 5 copies each, and {SEARCHES} searches at random nodes; the popular objects are wanted more often.",
        NODES.0, NODES.1
    );
    format!("{}\n", wrapped(&text))
}

/// A station of the walk.
#[must_use]
pub fn station(number: usize, station: &Station) -> String {
    let kind = station.kind;
    let mut text = format!("\n{number}. {} ({})\n\n", title(kind.name), kind.examples);
    for line in kind.picture.lines() {
        let _ = writeln!(text, "    {line}");
    }
    for words in kind.words {
        let _ = write!(text, "\n{}\n", wrapped(words));
    }
    text.push('\n');
    for line in sentences(station) {
        let _ = writeln!(text, "  * {}", wrapped(&line).replace('\n', "\n    "));
    }
    let _ = write!(text, "\n{}\n", wrapped(kind.lesson));
    text
}

/// What the runs showed, in sentences.
pub(super) fn sentences(station: &Station) -> Vec<String> {
    let Station { small, large, trouble, .. } = station;
    vec![
        format!(
            "With {} nodes, {} of the searches found what they wanted, after {:.1} steps on average and {:.0} ms at the median. \
A search took {} messages. Others that a node knows: {:.0}.",
            small.nodes,
            percent(small.found),
            small.hops,
            small.median_ms,
            messages(small),
            small.known
        ),
        format!(
            "With {} nodes it takes {} messages: {} times as many. {} are found.",
            large.nodes,
            messages(large),
            times(small.messages, large.messages),
            percent(large.found)
        ),
        format!(
            "The busiest of the {} gets {} of all messages; an even share would be {}.",
            large.nodes,
            percent(large.busiest_share),
            percent(1.0 / large.nodes as f64)
        ),
        format!("Then {}: {} are found.", station.trouble_is, percent(trouble.found)),
    ]
}

/// All stations side by side.
#[must_use]
pub fn closing(stations: &[Station]) -> String {
    let mut text = format!("\nSide by side\n\n  {:<26}", "");
    for station in stations {
        let _ = write!(text, " {:>14}", station.name);
    }
    text.push('\n');
    for (name, values) in rows(stations) {
        let _ = write!(text, "  {name:<26}");
        for value in values {
            let _ = write!(text, " {value:>14}");
        }
        text.push('\n');
    }
    text.push('\n');
    for advice in ADVICE {
        let _ = writeln!(text, "  {advice}");
    }
    text
}

/// Where to go from here.
pub(super) const ADVICE: [&str; 3] = [
    "`peerage lab explain PROTOCOL` tells more: central, flooding, superpeer, kademlia and others.",
    "`peerage lab compare central flooding superpeer chord --nodes 300 --out page`: side by side.",
    "`peerage lab list` names the scenarios, and docs/lab.md tells how to write one.",
];

/// The rows of the table at the end.
pub(super) fn rows(stations: &[Station]) -> Vec<(String, Vec<String>)> {
    let row = |name: String, value: fn(&Station) -> String| (name, stations.iter().map(value).collect());
    let (small, large) = NODES;
    vec![
        row(format!("messages, {small} nodes"), |station| messages(&station.small)),
        row(format!("messages, {large} nodes"), |station| messages(&station.large)),
        row(format!("median ms, {large} nodes"), |station| format!("{:.0}", station.large.median_ms)),
        row(format!("known nodes, of {large}"), |station| format!("{:.0}", station.large.known)),
        row("the busiest node's share".to_owned(), |station| percent(station.large.busiest_share)),
        row(format!("found, {large} nodes"), |station| percent(station.large.found)),
        row("found in trouble".to_owned(), |station| percent(station.trouble.found)),
    ]
}

fn messages(measured: &Measured) -> String {
    let digits = usize::from(measured.messages < 100.0);
    format!("{:.digits$}", measured.messages)
}

fn times(before: f64, after: f64) -> String {
    format!("{:.1}", after / before.max(1e-9))
}

pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == percent.round() || (99.95..100.0).contains(&percent) {
        return if share < 1.0 && percent.round() >= 100.0 {
            "99.9 %".to_owned()
        } else {
            format!("{percent:.0} %")
        };
    }
    format!("{percent:.1} %")
}

pub(super) fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A paragraph in lines.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last + 1 + word.len() > LINE {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
