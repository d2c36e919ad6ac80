//! A walk through the kinds of peer-to-peer network, for newcomers: what each is, and a live run of it.
//!
//! Every figure that is told comes from the runs; the words of a [`Kind`] hold without them. The workload is the same
//! for all: objects with five copies each, of unequal popularity, are searched at random nodes.
//!
//! **Where to start.** [`KINDS`], [`visit`], then [`text`] or [`mod@page`].

mod kinds;
mod page;
mod text;

pub use kinds::KINDS;
pub use page::page;
pub use text::{closing, opening, station};

use crate::report::Report;
use crate::run::{Inputs, Progress, run};
use crate::scenario::{Scenario, ScenarioError};
use serde::Serialize;

/// Nodes of the network that is shown, and of one that has grown.
pub const NODES: (usize, usize) = (100, 400);

/// Searches of a run.
const SEARCHES: usize = 200;
/// The network has this time to come about and to settle, in virtual seconds.
const JOIN_S: u32 = 60;
/// See [`JOIN_S`].
const SETTLE_S: u32 = 300;
/// Trouble comes so long after that, and searches begin a little later.
const TROUBLE_S: u32 = 5;

/// A kind of network.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The protocol that is run.
    pub protocol: &'static str,
    /// Who built such ones.
    pub examples: &'static str,
    /// How it works: paragraphs.
    pub words: &'static [&'static str],
    /// A picture in characters.
    pub picture: &'static str,
    /// What the picture shows, for those who do not see it.
    pub shows: &'static str,
    /// What goes wrong in the third run, as the end of a sentence.
    trouble: &'static str,
    /// The same as keys of a scenario.
    trouble_toml: &'static str,
    /// What to keep in mind.
    pub lesson: &'static str,
}

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Nodes.
    pub nodes: usize,
    /// The share of searches that found.
    pub found: f64,
    /// Datagrams for each search.
    pub messages: f64,
    /// Steps to where the object was known, on average.
    pub hops: f64,
    /// Half of the searches that found took at most so long.
    pub median_ms: f64,
    /// The share of all datagrams that the busiest node got.
    pub busiest_share: f64,
    /// Nodes that a node knows.
    pub known: f64,
    /// To compare runs by.
    pub trace_hash: String,
}

impl Measured {
    fn of(report: &Report) -> Self {
        let all = report.load.mean * report.load.count as f64;
        Self {
            nodes: report.nodes,
            found: report.figure("success"),
            messages: report.figure("messages_mean"),
            hops: report.figure("hops_mean"),
            median_ms: report.figure("latency_p50_ms"),
            busiest_share: if all > 0.0 { report.load.max / all } else { 0.0 },
            known: report.figure("degree_mean"),
            trace_hash: report.trace_hash.clone(),
        }
    }
}

/// A kind of network and three runs of it.
#[derive(Debug, Serialize)]
pub struct Station {
    /// Its name.
    pub name: &'static str,
    /// The protocol that was run.
    pub protocol: &'static str,
    /// The small network.
    pub small: Measured,
    /// The network that has grown.
    pub large: Measured,
    /// The large one in trouble.
    pub trouble: Measured,
    /// What the trouble was.
    pub trouble_is: &'static str,
    #[serde(skip)]
    kind: &'static Kind,
    /// The small network's run, to be drawn.
    #[serde(skip)]
    report: Report,
}

/// Runs a kind. `watch` is told of progress many times a second; after `false` there is no result.
///
/// # Errors
/// What is wrong with its scenario; nothing is, unless this crate is changed.
pub fn visit(
    kind: &'static Kind,
    seed: u64,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Option<Station>, ScenarioError> {
    let (small, large) = NODES;
    let mut reports = Vec::new();
    for (nodes, trouble) in [(small, ""), (large, ""), (large, kind.trouble_toml)] {
        let mut scenario = Scenario::parse(kind.name, &scenario(kind.protocol, nodes, trouble))?;
        scenario.seed = seed;
        reports.push(run(&scenario, Inputs::default(), watch)?);
    }
    let Ok([small, large, trouble]) = <[Report; 3]>::try_from(reports) else { return Ok(None) };
    if small.partial || large.partial || trouble.partial {
        return Ok(None);
    }
    Ok(Some(Station {
        name: kind.name,
        protocol: kind.protocol,
        small: Measured::of(&small),
        large: Measured::of(&large),
        trouble: Measured::of(&trouble),
        trouble_is: kind.trouble,
        kind,
        report: small,
    }))
}

fn scenario(protocol: &str, nodes: usize, trouble: &str) -> String {
    format!(
        "protocol = \"{protocol}\"\nnodes = {nodes}\nstart = \"joined\"\njoin_s = {JOIN_S}\nsettle_s = {SETTLE_S}\n\
{trouble}\n[workload]\nsearches = {SEARCHES}\nobjects = 100\ncopies = 5\nzipf = 0.8\nstart_s = {}\nover_s = 60\n\
timeout_s = 20\n",
        2 * TROUBLE_S
    )
}

#[cfg(test)]
mod tests;
