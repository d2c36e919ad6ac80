//! Superpeers: [`peerage_overlay::superpeer`].

use super::Info;
use super::searching::{Kind, Searching};
use peerage_base::{Duration, Rng};
use peerage_overlay::search::{Local, Machine};
use peerage_overlay::superpeer::{Config, Superpeer};
use serde::Deserialize;

/// The adapter.
pub type Adapter = Searching<Super>;

/// What people are told.
pub const INFO: Info = <Super as Kind>::INFO;

/// The protocol's kind.
#[derive(Clone, Copy, Debug)]
pub struct Super;

/// The scenario's `[settings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Kind::INFO`].
    pub uplinks: u8,
    /// See [`Kind::INFO`].
    pub leaves_max: u16,
    /// See [`Kind::INFO`].
    pub ttl: u8,
    /// See [`Kind::INFO`].
    pub stable_s: u32,
    /// See [`Kind::INFO`].
    pub demote_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { uplinks: 3, leaves_max: 30, ttl: 4, stable_s: 60, demote_s: 600 }
    }
}

impl Kind for Super {
    const INFO: Info = Info {
        name: "superpeer",
        about: "a hybrid overlay: those who can and who stay answer for the others",
        text: "Nodes begin as leaves of a few superpeers, and tell them what they have. A capable node that has been there for a while and finds no superpeer with room becomes one. Superpeers flood queries among themselves; the last hop goes only where the neighbour's Bloom filter of what it and its leaves have says that something may be there.\n\nMost nodes carry nothing of others' searches, and floods are as small as the network of superpeers is; what those carry is the price. When one goes, its leaves are still known to their other superpeers.",
        settings: &[
            ("uplinks", "3", "superpeers that a leaf keeps to"),
            ("leaves_max", "30", "leaves of a superpeer, at most"),
            ("ttl", "4", "hops among superpeers"),
            ("stable_s", "60", "a node must have been there for so long to become a superpeer"),
            ("demote_s", "600", "a superpeer without leaves for so long is a leaf again"),
        ],
    };

    type Settings = Settings;

    fn ranges(settings: &Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        vec![
            ("uplinks", u64::from(settings.uplinks), 1..=16),
            ("leaves_max", u64::from(settings.leaves_max), 1..=1000),
            ("ttl", u64::from(settings.ttl), 1..=7),
            ("stable_s", u64::from(settings.stable_s), 0..=86_400),
            ("demote_s", u64::from(settings.demote_s), 1..=86_400),
        ]
    }

    fn machine(settings: &Settings, local: Local, rng: Rng) -> Machine {
        let config = Config {
            uplinks: usize::from(settings.uplinks),
            leaves_max: usize::from(settings.leaves_max),
            ttl: settings.ttl,
            stable_after: Duration::from_secs(u64::from(settings.stable_s)),
            demote_after: Duration::from_secs(u64::from(settings.demote_s)),
            ..Config::default()
        };
        Superpeer::new(config, local, rng).into()
    }
}
