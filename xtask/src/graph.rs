//! Dependencies between the crates of the workspace.

use crate::policy::{ALLOWED, REASONS};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Prefix of a workspace package's name.
pub const PREFIX: &str = "peerage-";

/// What `cargo metadata` tells, as far as the checks need it.
#[derive(Debug, Default)]
pub struct Graph {
    /// By package id: its name.
    pub names: BTreeMap<String, String>,
    /// By package id: those it links, development dependencies left out.
    pub links: BTreeMap<String, BTreeSet<String>>,
    /// Names of the workspace's packages with their declared dependencies within the workspace,
    /// development dependencies included.
    pub declared: BTreeMap<String, BTreeSet<String>>,
}

/// Asks cargo.
///
/// # Errors
/// When cargo fails or answers otherwise than expected.
pub fn load(root: &Path) -> Result<Graph> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--all-features"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&serde_json::from_slice(&output.stdout)?)
}

fn parse(metadata: &Value) -> Result<Graph> {
    let text =
        |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata: a string is missing");
    let list = |value: &Value| value.as_array().cloned().context("cargo metadata: a list is missing");
    let mut graph = Graph::default();
    let members: BTreeSet<String> =
        list(&metadata["workspace_members"])?.iter().filter_map(|id| text(id).ok()).collect();
    for package in list(&metadata["packages"])? {
        let (id, name) = (text(&package["id"])?, text(&package["name"])?);
        // Tools beside the layers (bench, xtask) may use what they like.
        let layered = text(&package["manifest_path"])?.replace('\\', "/").contains("/crates/");
        if members.contains(&id) && name.starts_with(PREFIX) && layered {
            let declared = list(&package["dependencies"])?;
            let names = declared.iter().filter_map(|dependency| text(&dependency["name"]).ok());
            // A crate may name itself for its own tests (with a feature).
            let within = names.filter(|other| other.starts_with(PREFIX) && *other != name).collect();
            graph.declared.insert(name.clone(), within);
        }
        graph.names.insert(id, name);
    }
    for node in list(&metadata["resolve"]["nodes"])? {
        let mut links = BTreeSet::new();
        for dependency in list(&node["deps"])? {
            let kinds = list(&dependency["dep_kinds"])?;
            // `null` is a normal dependency; "build" ones run on the builder's machine only.
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                links.insert(text(&dependency["pkg"])?);
            }
        }
        graph.links.insert(text(&node["id"])?, links);
    }
    Ok(graph)
}

/// The edges that the table does not allow.
///
/// # Errors
/// When cargo fails.
pub fn check(root: &Path) -> Result<Vec<String>> {
    Ok(problems(&load(root)?))
}

fn problems(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for (from, dependencies) in &graph.declared {
        let from = from.trim_start_matches(PREFIX);
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == from) else {
            problems.push(format!("{from}: a new crate needs a row in xtask/src/policy.rs"));
            continue;
        };
        for to in dependencies.iter().map(|to| to.trim_start_matches(PREFIX)) {
            if !allowed.contains(&to) {
                problems.push(format!("{from} -> {to}: {}", reason(from, to)));
            }
        }
    }
    problems
}

fn reason(from: &str, to: &str) -> &'static str {
    let matches = |(a, b, _): &&(&str, &str, &str)| *a == from && (*b == to || *b == "*");
    REASONS.iter().find(matches).map_or("not in the table", |(_, _, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            graph.declared.entry(format!("{PREFIX}{from}")).or_default().insert(format!("{PREFIX}{to}"));
        }
        graph
    }

    #[test]
    fn an_arrow_that_points_up_is_found_with_its_reason() {
        assert!(problems(&graph(&[("swarm", "wire"), ("node", "peer")])).is_empty());
        let found = problems(&graph(&[("swarm", "peer"), ("peer", "net"), ("api", "base")]));
        assert_eq!(found.len(), 3);
        assert!(found.iter().any(|problem| problem.contains("swarm -> peer: the peer composes swarms")));
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(problems(&graph(&[("vault", "base")])).len(), 1);
    }

    #[test]
    fn every_forbidden_edge_has_a_reason() {
        for (from, allowed) in ALLOWED {
            for (to, _) in ALLOWED.iter().filter(|(to, _)| *to != from && !allowed.contains(to)) {
                assert_ne!(reason(from, to), "not in the table", "{from} -> {to}");
            }
        }
    }

    #[test]
    fn normal_links_count_and_development_ones_do_not() {
        let metadata = serde_json::json!({
            "workspace_members": ["a 1"],
            "packages": [
                {"id": "a 1", "name": "peerage-swarm", "manifest_path": "/w/crates/swarm/Cargo.toml", "dependencies": [{"name": "peerage-peer"}, {"name": "peerage-swarm"}, {"name": "x"}]},
                {"id": "x 1", "name": "x", "manifest_path": "/r/x", "dependencies": []},
                {"id": "y 1", "name": "y", "manifest_path": "/r/y", "dependencies": []},
            ],
            "resolve": {"nodes": [
                {"id": "a 1", "deps": [
                    {"pkg": "x 1", "dep_kinds": [{"kind": null}]},
                    {"pkg": "y 1", "dep_kinds": [{"kind": "dev"}]},
                ]},
            ]},
        });
        let graph = parse(&metadata).unwrap();
        assert_eq!(graph.links["a 1"], BTreeSet::from(["x 1".to_owned()]));
        assert_eq!(graph.declared["peerage-swarm"], BTreeSet::from(["peerage-peer".to_owned()]));
    }
}
