//! Vivaldi: coordinates from which round-trip times to peers can be told that were never measured.
//!
//! Dabek, Cox, Kaashoek and Morris, "Vivaldi: a decentralized network coordinate system" (SIGCOMM 2004): a plane
//! and a height above it, with the adaptive step of section 3. Each measured round trip pulls our place towards
//! the peer's, or pushes it away, like a spring.
//!
//! **What liars can do.** A round trip is measured here: it can be made longer, not shorter. Coordinates of
//! others are bounded when they are decoded. One peer counts at most once for [`Config::peer_interval`], and
//! pulls no further than [`PULL_MS_MAX`], nor than [`Config::pull_max`] times the middle pull of the last
//! [`WINDOW`] *different* peers: so long as less than half of them lie, they move us by no more than a few usual
//! steps each. A claimed error below [`Config::error_min`] counts as that: nobody is right by saying so.

use std::collections::VecDeque;

use peerage_base::limits::COORDINATE_MS_MAX;
use peerage_base::{Duration, Instant, PeerId, Rng};
use peerage_wire::coordinates::Coordinates;

/// Peers whose pulls make up the middle one.
pub const WINDOW: usize = 31;

/// No pull is stronger, in milliseconds: who begins among liars is not thrown out of sight of the others.
pub const PULL_MS_MAX: f64 = 200.0;

/// No place is lower, in milliseconds: two at one place are not at one machine.
const HEIGHT_MIN: f64 = 0.1;

/// A shorter round trip counts as this, in milliseconds: less is the machine's own time.
const RTT_MIN: f64 = 0.1;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How far a sample moves us, as a part of the difference (paper, section 3: 0.25).
    pub step: f64,
    /// How fast our error follows (paper, section 3: 0.25).
    pub error_step: f64,
    /// Time between two samples of one peer that count.
    pub peer_interval: Duration,
    /// A pull is cut at this multiple of the middle one; infinite: never, as in the paper.
    pub pull_max: f64,
    /// The least error that is believed.
    pub error_min: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            step: 0.25,
            error_step: 0.25,
            peer_interval: Duration::from_secs(1),
            pull_max: 2.0,
            error_min: 0.1,
        }
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples that counted.
    pub samples: u64,
    /// Samples that came too soon after another of the same peer, or were no time at all.
    pub refused: u64,
    /// Samples whose pull was cut.
    pub cut: u64,
}

/// What one peer last did to us.
#[derive(Debug)]
struct Pull {
    peer: PeerId,
    at: Instant,
    /// How far what was measured was from what was foretold, in milliseconds.
    ms: f64,
}

/// Our place.
#[derive(Debug)]
pub struct Vivaldi {
    config: Config,
    rng: Rng,
    x: f64,
    y: f64,
    height: f64,
    error: f64,
    /// Of different peers, the oldest first.
    pulls: VecDeque<Pull>,
    stats: Stats,
}

impl Vivaldi {
    /// A place in the middle, of which nothing is known.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        assert!(
            config.step > 0.0 && config.step <= 1.0 && config.error_step > 0.0 && config.error_step <= 1.0
        );
        assert!(config.pull_max >= 1.0 && config.error_min > 0.0 && config.error_min <= 1.0);
        let pulls = VecDeque::with_capacity(WINDOW + 1);
        Self { config, rng, x: 0.0, y: 0.0, height: HEIGHT_MIN, error: 1.0, pulls, stats: Stats::default() }
    }

    /// A round trip to a peer that says that it is there. Whether it counted.
    pub fn sample(&mut self, now: Instant, peer: PeerId, place: &Coordinates, rtt: Duration) -> bool {
        let rtt_ms = rtt.as_secs_f64() * 1000.0;
        let last = self.pulls.iter().position(|pull| pull.peer == peer);
        let soon = last
            .and_then(|at| self.pulls.get(at))
            .is_some_and(|pull| now - pull.at < self.config.peer_interval);
        if soon || rtt_ms > f64::from(COORDINATE_MS_MAX) {
            self.stats.refused += 1;
            return false;
        }
        let rtt_ms = rtt_ms.max(RTT_MIN);
        let (x, y, height) = place.place();
        let (dx, dy) = (self.x - x, self.y - y);
        let apart = (dx * dx + dy * dy).sqrt();
        let told_ms = apart + self.height + height.max(HEIGHT_MIN);
        let pull = rtt_ms - told_ms;
        let middle = self.middle_pull().map_or(f64::MAX, |middle| self.config.pull_max * middle.max(RTT_MIN));
        let cut = if self.config.pull_max.is_finite() { middle.min(PULL_MS_MAX) } else { f64::MAX };
        if let Some(last) = last {
            self.pulls.remove(last);
        }
        self.pulls.push_back(Pull { peer, at: now, ms: pull.abs() });
        if self.pulls.len() > WINDOW {
            self.pulls.pop_front();
        }
        self.stats.samples += 1;
        self.stats.cut += u64::from(pull.abs() > cut);
        let pull = pull.clamp(-cut, cut);
        let theirs = place.error().max(self.config.error_min);
        let weight = self.error / (self.error + theirs);
        let sample_error = (pull.abs() / rtt_ms).min(1.0);
        let step = self.config.error_step * weight;
        self.error = (sample_error * step + self.error * (1.0 - step)).clamp(self.config.error_min, 1.0);
        self.shift((dx, dy, apart), self.config.step * weight * pull, told_ms);
        true
    }

    /// Our coordinates, as they are told to others.
    #[must_use]
    pub fn coordinates(&self) -> Coordinates {
        let number = |value: f64| value as f32;
        // The bounds are held by `shift`.
        Coordinates::new(number(self.x), number(self.y), number(self.height), number(self.error))
            .unwrap_or_else(|_| unreachable!("{self:?}"))
    }

    /// The round trip to a place, as far as it can be told.
    #[must_use]
    pub fn distance(&self, place: &Coordinates) -> Duration {
        distance(&self.coordinates(), place)
    }

    /// By how much [`Self::distance`] is wrong on average, relative to it: 0 to 1.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.error
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The middle one of the last pulls; `None` before there are enough.
    fn middle_pull(&self) -> Option<f64> {
        if self.pulls.len() < WINDOW / 2 {
            return None;
        }
        let mut all: Vec<f64> = self.pulls.iter().map(|pull| pull.ms).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }

    /// Goes `by` along the line from the other, where `told_ms` is how far it is (paper, section 5.4: the plane's
    /// part and the height's are in proportion).
    fn shift(&mut self, (dx, dy, apart): (f64, f64, f64), by: f64, told_ms: f64) {
        let (ux, uy) = if apart > f64::EPSILON {
            (dx / apart, dy / apart)
        } else {
            // At one place: any direction is as good.
            let (x, y) = (self.rng.unit() - 0.5, self.rng.unit() - 0.5);
            let len = (x * x + y * y).sqrt().max(f64::EPSILON);
            (x / len, y / len)
        };
        let flat = if apart > f64::EPSILON { apart / told_ms } else { 1.0 };
        let max = f64::from(COORDINATE_MS_MAX);
        self.x = (self.x + by * flat * ux).clamp(-max, max);
        self.y = (self.y + by * flat * uy).clamp(-max, max);
        self.height = (self.height + by * self.height / told_ms).clamp(HEIGHT_MIN, max);
    }
}

/// The round trip between two places.
#[must_use]
pub fn distance(a: &Coordinates, b: &Coordinates) -> Duration {
    let ((ax, ay, ah), (bx, by, bh)) = (a.place(), b.place());
    let (dx, dy) = (ax - bx, ay - by);
    let ms = (dx * dx + dy * dy).sqrt() + ah.max(HEIGHT_MIN) + bh.max(HEIGHT_MIN);
    Duration::from_secs_f64(ms / 1000.0)
}
