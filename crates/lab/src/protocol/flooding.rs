//! Flooding, as in Gnutella 0.4: [`peerage_overlay::flooding`].

use super::Info;
use super::searching::{Kind, Searching};
use peerage_base::Rng;
use peerage_overlay::flooding::{Config, Flooding};
use peerage_overlay::links::LinksConfig;
use peerage_overlay::search::{Local, Machine};
use serde::Deserialize;

/// The adapter.
pub type Adapter = Searching<Flood>;

/// What people are told.
pub const INFO: Info = <Flood as Kind>::INFO;

/// The protocol's kind.
#[derive(Clone, Copy, Debug)]
pub struct Flood;

/// The scenario's `[settings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Kind::INFO`].
    pub neighbours_min: u8,
    /// See [`Kind::INFO`].
    pub neighbours_max: u8,
    /// See [`Kind::INFO`].
    pub ttl: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { neighbours_min: 4, neighbours_max: 12, ttl: 7 }
    }
}

impl Kind for Flood {
    const INFO: Info = Info {
        name: "flooding",
        about: "an unstructured overlay: a query goes to all neighbours, and theirs, until its time to live is over",
        text: "Nodes have some random neighbours, and keep what they have to themselves. A query goes to all neighbours, each of which passes it on to all of its own, until it has gone as many hops as its time to live allows. Copies are known by the query's number and dropped; hits go back along the way that the query came.\n\nFloods find what is rare, fast, and cost as many messages as the network has links. Without any place for a key there is nothing to repair when nodes come and go.",
        settings: &[
            ("neighbours_min", "4", "with fewer neighbours, more are looked for"),
            ("neighbours_max", "12", "with as many, nobody else is taken"),
            ("ttl", "7", "hops that a query goes"),
        ],
    };

    type Settings = Settings;

    fn ranges(settings: &Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        vec![
            ("neighbours_min", u64::from(settings.neighbours_min), 1..=64),
            ("neighbours_max", u64::from(settings.neighbours_max), 1..=128),
            ("ttl", u64::from(settings.ttl), 1..=7),
        ]
    }

    fn machine(settings: &Settings, local: Local, rng: Rng) -> Machine {
        let config = Config {
            links: LinksConfig {
                min: usize::from(settings.neighbours_min),
                max: usize::from(settings.neighbours_max),
                ..LinksConfig::default()
            },
            rings: vec![settings.ttl],
            ..Config::default()
        };
        Flooding::new(config, local, rng).into()
    }
}
