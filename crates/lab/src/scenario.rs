//! Scenario files: what is simulated, in TOML.

mod check;
mod error;

pub use error::ScenarioError;

use crate::churn::Times;
use crate::link::LinkConfig;
use crate::nat;
use crate::workload::WorkloadConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Nodes of a simulated network, at most.
pub const NODES_MAX: usize = 4_000_000;

/// A scenario. Every field but the protocol and the number of nodes has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name; that of the file.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a line.
    #[serde(default)]
    pub about: String,
    /// Which protocol the nodes speak: a name of [`crate::protocol::PROTOCOLS`].
    pub protocol: String,
    /// How many nodes there are.
    pub nodes: usize,
    /// Where all chance comes from.
    #[serde(default = "one")]
    pub seed: u64,
    /// How the network comes about.
    #[serde(default)]
    pub start: Start,
    /// Time over which nodes join, where they do.
    #[serde(default = "minute")]
    pub join_s: f64,
    /// Time between the network's coming about and the first search.
    #[serde(default)]
    pub settle_s: f64,
    /// Ways between nodes.
    #[serde(default)]
    pub latency: LatencyConfig,
    /// What links do.
    #[serde(default)]
    pub link: LinkConfig,
    /// Nodes behind NATs.
    #[serde(default)]
    pub nat: nat::Shares,
    /// How nodes come and go.
    pub churn: Option<Churn>,
    /// Things that go wrong at certain times.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// Nodes that do harm.
    pub attack: Option<Attack>,
    /// What is searched for.
    #[serde(default)]
    pub workload: WorkloadConfig,
    /// The protocol's own settings.
    #[serde(default)]
    pub settings: toml::Table,
    /// What must hold: a figure of the report and a condition such as `>= 0.99`.
    #[serde(default)]
    pub expect: BTreeMap<String, String>,
    #[serde(skip)]
    text: String,
}

fn one() -> u64 {
    1
}

fn minute() -> f64 {
    60.0
}

/// How a network comes about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// It stands from the beginning, its tables filled as a settled network's would be.
    #[default]
    Built,
    /// Nodes join one after the other, through nodes that are there.
    Joined,
}

/// Which latencies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatencyConfig {
    /// All ways are equal.
    Constant {
        /// One way.
        one_way_ms: f64,
    },
    /// A model of the internet.
    Synthetic {},
    /// Measured round-trip times; the model where the file is absent.
    Matrix {
        /// Rows of milliseconds.
        file: String,
    },
}

impl Default for LatencyConfig {
    fn default() -> Self {
        Self::Synthetic {}
    }
}

/// How nodes come and go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// How long they stay.
    pub session: Times,
    /// How long they are away.
    pub away: Times,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// When, after the first search.
    pub at_s: f64,
    /// For how long; 0 is for ever.
    #[serde(default)]
    pub for_s: f64,
    /// The share of nodes that it hits.
    pub share: f64,
    /// How slow a slow node is.
    #[serde(default = "second")]
    pub delay_ms: f64,
}

fn second() -> f64 {
    1000.0
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The nodes hit and the others do not reach each other.
    Partition,
    /// What the nodes hit send does not reach the others; what the others send arrives.
    OneWay,
    /// The nodes hit are gone, and come back afterwards.
    Crash,
    /// The nodes hit get everything late.
    Slow,
}

/// Nodes that do harm.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// What they do.
    pub kind: AttackKind,
    /// Their share of all nodes.
    pub share: f64,
}

/// What they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackKind {
    /// They never answer.
    Silent,
    /// They answer with lies, together: the protocol says how.
    Liars,
    /// They lie, and have placed themselves around the most popular objects.
    Eclipse,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with it, with the line and the key.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::of_toml(text, &error))?;
        scenario.name = name.to_owned();
        scenario.text = text.to_owned();
        check::check(&scenario)?;
        Ok(scenario)
    }

    /// The protocol's own settings.
    ///
    /// # Errors
    /// Where they are not what the protocol knows.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, ScenarioError> {
        let table = self.settings.clone();
        T::deserialize(toml::Value::Table(table)).map_err(|error| {
            let message = error.message().to_owned();
            // The message names an unknown key; the key of a wrong type is found by trying.
            let named = self.settings.keys().find(|key| message.contains(&format!("`{key}`")));
            let key = named.cloned().or_else(|| self.bad_setting::<T>()).unwrap_or_default();
            self.problem(&format!("settings.{key}"), message)
        })
    }

    /// The first setting that cannot stand alone.
    fn bad_setting<T: DeserializeOwned>(&self) -> Option<String> {
        let alone = |(key, value): (&String, &toml::Value)| {
            let mut table = toml::Table::new();
            table.insert(key.clone(), value.clone());
            T::deserialize(toml::Value::Table(table)).is_err().then(|| key.clone())
        };
        self.settings.iter().find_map(alone)
    }

    /// A problem with one of the keys, such as `link.loss`.
    #[must_use]
    pub fn problem(&self, key: &str, problem: impl Into<String>) -> ScenarioError {
        ScenarioError::of_key(&self.text, key, problem)
    }

    /// Files that whoever runs the scenario reads for it: the key and the path.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = Vec::new();
        if let LatencyConfig::Matrix { file } = &self.latency {
            files.push(("latency.file", file.clone()));
        }
        if let Some(churn) = &self.churn {
            for (key, times) in [("churn.session.file", &churn.session), ("churn.away.file", &churn.away)] {
                if let Times::Trace { file, .. } = times {
                    files.push((key, file.clone()));
                }
            }
        }
        files
    }
}

#[cfg(test)]
mod tests;
