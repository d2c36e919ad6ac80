//! Pure crates: what they link, and which lints watch over them.

use crate::graph::{self, Graph, PREFIX};
use crate::policy::{BASE_LINES_MAX, IMPURE, PURE};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;

/// Bans that the `clippy.toml` of a pure crate must name.
const BANS: [&str; 10] = [
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs::File",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::thread::spawn",
    "std::env::var",
    "std::fs::read",
];

/// What is impure about the pure crates.
///
/// # Errors
/// When cargo fails or a file cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let graph = graph::load(root)?;
    let mut problems: Vec<String> = PURE.iter().flat_map(|name| reaches(&graph, name)).collect();
    for name in PURE {
        let folder = root.join("crates").join(name);
        let read = |file: &str| {
            fs::read_to_string(folder.join(file)).with_context(|| format!("crates/{name}/{file}"))
        };
        problems.extend(missing_lints(name, &read("clippy.toml")?, &read("Cargo.toml")?));
    }
    let lines: usize =
        crate::size::sources(&root.join("crates/base"))?.iter().map(|file| file.text.lines().count()).sum();
    if lines > BASE_LINES_MAX {
        problems.push(format!(
            "base has {lines} lines, more than {BASE_LINES_MAX}: it is no place for everything"
        ));
    }
    Ok(problems)
}

fn missing_lints(name: &str, clippy: &str, manifest: &str) -> Vec<String> {
    let mut problems: Vec<String> = BANS
        .iter()
        .filter(|ban| !clippy.contains(&format!("\"{ban}\"")))
        .map(|ban| format!("crates/{name}/clippy.toml does not ban {ban}"))
        .collect();
    if !manifest.contains("[lints]\nworkspace = true") {
        problems.push(format!("crates/{name}/Cargo.toml does not take the workspace's lints"));
    }
    problems
}

/// The impure packages that a crate reaches, each with the way to it.
fn reaches(graph: &Graph, name: &str) -> Vec<String> {
    let package = format!("{PREFIX}{name}");
    let Some(start) = graph.names.iter().find(|(_, name)| **name == package).map(|(id, _)| id) else {
        return vec![format!("{name}: no such crate")];
    };
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start.as_str()]);
    let mut problems = Vec::new();
    while let Some(id) = queue.pop_front() {
        let package = graph.names.get(id).map_or(id, String::as_str);
        if let Some((_, what)) = IMPURE.iter().find(|(impure, _)| *impure == package) {
            problems.push(format!("{name} reaches {} ({what})", way(graph, &came_from, id)));
        }
        for next in graph.links.get(id).into_iter().flatten() {
            if next != start && !came_from.contains_key(next.as_str()) {
                came_from.insert(next, id);
                queue.push_back(next);
            }
        }
    }
    problems
}

fn way(graph: &Graph, came_from: &BTreeMap<&str, &str>, end: &str) -> String {
    let mut ids = vec![end];
    while let Some(before) = ids.last().and_then(|id| came_from.get(id)) {
        ids.push(before);
    }
    let names: Vec<&str> =
        ids.iter().rev().map(|id| graph.names.get(*id).map_or(*id, String::as_str)).collect();
    names.join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(links: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in links {
            for id in [from, to] {
                graph.names.insert((*id).to_owned(), (*id).to_owned());
            }
            graph.links.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn a_clock_deep_below_is_found_with_the_way_to_it() {
        let graph = graph(&[
            ("peerage-swarm", "a"),
            ("a", "b"),
            ("b", "chrono"),
            ("peerage-node", "tokio"),
            ("a", "a"),
        ]);
        let found = reaches(&graph, "swarm");
        assert_eq!(found, ["swarm reaches peerage-swarm -> a -> b -> chrono (a clock)"]);
    }

    #[test]
    fn a_ban_that_was_taken_out_is_found() {
        let all: String = BANS.iter().map(|ban| format!("{{ path = \"{ban}\" }}")).collect();
        let manifest = "[lints]\nworkspace = true\n";
        assert!(missing_lints("x", &all, manifest).is_empty());
        let fewer = all.replace("std::collections::HashMap", "other");
        assert_eq!(missing_lints("x", &fewer, manifest).len(), 1);
        assert_eq!(missing_lints("x", &all, "").len(), 1);
    }
}
