//! Pastry (Middleware 2001): [`peerage_overlay::pastry`].

use super::Info;
use super::searching::{Kind, Searching};
use peerage_base::{Duration, Rng};
use peerage_overlay::pastry::{Config, Pastry};
use peerage_overlay::search::{Local, Machine};
use serde::Deserialize;

/// The adapter.
pub type Adapter = Searching<Prefix>;

/// What people are told.
pub const INFO: Info = <Prefix as Kind>::INFO;

/// The protocol's kind.
#[derive(Clone, Copy, Debug)]
pub struct Prefix;

/// The scenario's `[settings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Kind::INFO`].
    pub leaves: u8,
    /// See [`Kind::INFO`].
    pub upkeep_s: u32,
    /// See [`Kind::INFO`].
    pub replicas: u8,
    /// See [`Kind::INFO`].
    pub timeout_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { leaves: 16, upkeep_s: 30, replicas: 3, timeout_ms: 1000 }
    }
}

impl Kind for Prefix {
    const INFO: Info = Info {
        name: "pastry",
        about: "a structured overlay: each hop gets one more digit of the key right, and stays near",
        text: "Every node has a random key of hexadecimal digits. Its table has a row for each number of first digits that another key can share with its own, and in it the nearest node known for each next digit; a leaf set has the nodes whose keys are numerically closest. A message for a key goes to a node that shares one more digit with it, until the leaf set knows the root, the closest of all: log16(n) hops.\n\nOf two nodes that fit one place of the table the nearer is kept, so that routes stay short in time, too. Objects are kept, as soft records, by the root and the leaves beside it.",
        settings: &[
            ("leaves", "16", "nodes of the leaf set"),
            ("upkeep_s", "30", "time between two rounds of upkeep"),
            ("replicas", "3", "nodes that keep a record"),
            ("timeout_ms", "1000", "a question has failed after this time"),
        ],
    };

    type Settings = Settings;

    fn ranges(settings: &Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        vec![
            ("leaves", u64::from(settings.leaves), 2..=32),
            ("upkeep_s", u64::from(settings.upkeep_s), 1..=86_400),
            ("replicas", u64::from(settings.replicas), 1..=16),
            ("timeout_ms", u64::from(settings.timeout_ms), 1..=600_000),
        ]
    }

    fn machine(settings: &Settings, local: Local, rng: Rng) -> Machine {
        let config = Config {
            leaves: usize::from(settings.leaves),
            upkeep: Duration::from_secs(u64::from(settings.upkeep_s)),
            replicas: usize::from(settings.replicas),
            timeout: Duration::from_millis(u64::from(settings.timeout_ms)),
            ..Config::default()
        };
        Pastry::new(config, local, rng).into()
    }
}
