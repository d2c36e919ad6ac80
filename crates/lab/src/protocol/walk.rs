//! Random walks (Lv et al., ICS 2002): [`peerage_overlay::walk`].

use super::Info;
use super::searching::{Kind, Searching};
use peerage_base::Rng;
use peerage_overlay::links::LinksConfig;
use peerage_overlay::search::{Local, Machine};
use peerage_overlay::walk::{Config, Replication, Walk};
use serde::Deserialize;

/// The adapter.
pub type Adapter = Searching<Walkers>;

/// What people are told.
pub const INFO: Info = <Walkers as Kind>::INFO;

/// The protocol's kind.
#[derive(Clone, Copy, Debug)]
pub struct Walkers;

/// The scenario's `[settings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Kind::INFO`].
    pub neighbours_min: u8,
    /// See [`Kind::INFO`].
    pub neighbours_max: u8,
    /// See [`Kind::INFO`].
    pub walkers: u8,
    /// See [`Kind::INFO`].
    pub check: u16,
    /// See [`Kind::INFO`].
    pub steps: u16,
    /// See [`Kind::INFO`].
    pub path_replication: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            neighbours_min: 4,
            neighbours_max: 12,
            walkers: 16,
            check: 4,
            steps: 256,
            path_replication: false,
        }
    }
}

impl Kind for Walkers {
    const INFO: Info = Info {
        name: "walk",
        about: "an unstructured overlay: a few walkers go from neighbour to neighbour at random",
        text: "Nodes have some random neighbours, and keep what they have to themselves. A search sends some walkers out; each goes to one random neighbour after the other, and asks its source every few steps whether to go on. So a search costs about as many messages as nodes must be looked at, and not the whole network: few for what many have, many for what few have.\n\nWith copies in proportion to the square root of popularity the sum over all searches is least (Cohen and Shenker, SIGCOMM 2002); copies along the way of each search (path replication) lead there by themselves.",
        settings: &[
            ("neighbours_min", "4", "with fewer neighbours, more are looked for"),
            ("neighbours_max", "12", "with as many, nobody else is taken"),
            ("walkers", "16", "walkers of a search"),
            ("check", "4", "steps between two checks with the source"),
            ("steps", "256", "steps of a walker, at most"),
            ("path_replication", "false", "copies along the way of each hit"),
        ],
    };

    type Settings = Settings;

    fn ranges(settings: &Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        vec![
            ("neighbours_min", u64::from(settings.neighbours_min), 1..=64),
            ("neighbours_max", u64::from(settings.neighbours_max), 1..=128),
            ("walkers", u64::from(settings.walkers), 1..=64),
            ("check", u64::from(settings.check), 1..=1024),
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
            walkers: settings.walkers,
            check: settings.check,
            steps: settings.steps,
            replication: if settings.path_replication { Replication::Path } else { Replication::Owner },
            ..Config::default()
        };
        Walk::new(config, local, rng).into()
    }
}
