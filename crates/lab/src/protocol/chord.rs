//! Chord (ToN 2003): [`peerage_overlay::chord`].

use super::Info;
use super::searching::{Kind, Searching};
use peerage_base::{Duration, Rng};
use peerage_overlay::chord::{Chord, Config};
use peerage_overlay::search::{Local, Machine};
use serde::Deserialize;

/// The adapter.
pub type Adapter = Searching<Ring>;

/// What people are told.
pub const INFO: Info = <Ring as Kind>::INFO;

/// The protocol's kind.
#[derive(Clone, Copy, Debug)]
pub struct Ring;

/// The scenario's `[settings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Kind::INFO`].
    pub successors: u8,
    /// See [`Kind::INFO`].
    pub stabilise_s: u32,
    /// See [`Kind::INFO`].
    pub replicas: u8,
    /// See [`Kind::INFO`].
    pub timeout_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { successors: 20, stabilise_s: 30, replicas: 3, timeout_ms: 1000 }
    }
}

impl Kind for Ring {
    const INFO: Info = Info {
        name: "chord",
        about: "a structured overlay: a ring with fingers, each step halves what is left of the way round",
        text: "Every node has a random place on a ring, and knows the nodes after it and, as fingers, the first node at each power of two from its place. A key belongs to the first node at or after it. A look-up asks, of all nodes it has heard of before the key, the one closest to it; about half of log2(n) steps lead to the key's predecessor, which names the owner.\n\nEvery node asks its successor now and then who is before it, and looks up one finger: so the ring mends itself. Objects are kept, as soft records, by the owner and the nodes after it.",
        settings: &[
            ("successors", "20", "entries of the successor list"),
            ("stabilise_s", "30", "time between two rounds of stabilisation, give or take half"),
            ("replicas", "3", "nodes that keep a record"),
            ("timeout_ms", "1000", "a question has failed after this time"),
        ],
    };

    type Settings = Settings;

    fn ranges(settings: &Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        vec![
            ("successors", u64::from(settings.successors), 1..=32),
            ("stabilise_s", u64::from(settings.stabilise_s), 1..=86_400),
            ("replicas", u64::from(settings.replicas), 1..=16),
            ("timeout_ms", u64::from(settings.timeout_ms), 1..=600_000),
        ]
    }

    fn machine(settings: &Settings, local: Local, rng: Rng) -> Machine {
        let half = Duration::from_millis(u64::from(settings.stabilise_s) * 500);
        let config = Config {
            successors: usize::from(settings.successors),
            stabilise_min: half,
            stabilise_max: half * 3,
            replicas: usize::from(settings.replicas),
            timeout: Duration::from_millis(u64::from(settings.timeout_ms)),
            ..Config::default()
        };
        Chord::new(config, local, rng).into()
    }
}
