//! Gia (SIGCOMM 2003): [`peerage_overlay::gia`].

use super::Info;
use super::searching::{Kind, Searching};
use peerage_base::Rng;
use peerage_overlay::gia::{Config, Gia};
use peerage_overlay::links::LinksConfig;
use peerage_overlay::search::{Local, Machine};
use serde::Deserialize;

/// The adapter.
pub type Adapter = Searching<Biased>;

/// What people are told.
pub const INFO: Info = <Biased as Kind>::INFO;

/// The protocol's kind.
#[derive(Clone, Copy, Debug)]
pub struct Biased;

/// The scenario's `[settings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Kind::INFO`].
    pub neighbours_min: u8,
    /// See [`Kind::INFO`].
    pub neighbours_max: u8,
    /// See [`Kind::INFO`].
    pub steps: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { neighbours_min: 3, neighbours_max: 128, steps: 1024 }
    }
}

impl Kind for Biased {
    const INFO: Info = Info {
        name: "gia",
        about: "an unstructured overlay: walks prefer whoever can carry them, and neighbours know what each other have",
        text: "Nodes with more capacity take more neighbours, so that most nodes are beside a capable one. Neighbours tell each other what they have: a walk that is at a node with many neighbours has looked at all of them. A query goes on to the most capable neighbour that has given a token for it, and tokens are given out by what a node can carry: nobody gets more queries than it offered to take.\n\nCapacities are drawn from the paper's classes: 1, 10, 100, 1,000 and 10,000 queries a second.",
        settings: &[
            ("neighbours_min", "3", "with fewer neighbours, more are looked for"),
            ("neighbours_max", "128", "neighbours of the most capable"),
            ("steps", "1024", "steps of a walk, at most"),
        ],
    };

    type Settings = Settings;

    fn ranges(settings: &Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        vec![
            ("neighbours_min", u64::from(settings.neighbours_min), 1..=64),
            ("neighbours_max", u64::from(settings.neighbours_max), 1..=128),
            ("steps", u64::from(settings.steps), 1..=1024),
        ]
    }

    fn machine(settings: &Settings, local: Local, rng: Rng) -> Machine {
        let config = Config {
            links: LinksConfig {
                min: usize::from(settings.neighbours_min),
                max: usize::from(settings.neighbours_max),
                ..LinksConfig::default()
            },
            steps: settings.steps,
            ..Config::default()
        };
        Gia::new(config, local, rng).into()
    }
}
