//! Round trips, and how long to wait for an acknowledgement.

use super::Config;
use peerage_base::{Duration, Instant};

/// How many past minutes the smallest round trip is of, see [`Rtt::standing`].
const MINUTES: usize = 4;

/// Estimates of the round trip (BEP 29, which follows RFC 6298).
#[derive(Debug)]
pub(super) struct Rtt {
    smoothed: Option<Duration>,
    variance: Duration,
    latest: Duration,
    /// The smallest of each past minute, the current one first.
    smallest: [Duration; MINUTES],
    minute: u64,
    /// Time-outs in a row.
    backoff: u32,
}

impl Rtt {
    pub(super) fn new() -> Self {
        Self {
            smoothed: None,
            variance: Duration::ZERO,
            latest: Duration::ZERO,
            smallest: [Duration::MAX; MINUTES],
            minute: 0,
            backoff: 0,
        }
    }

    /// A packet that was sent once was acknowledged after `sample`.
    pub(super) fn sample(&mut self, now: Instant, sample: Duration) {
        self.backoff = 0;
        self.latest = sample;
        let minute = now.as_micros() / 60_000_000;
        for _ in 0..(minute - self.minute.min(minute)).min(MINUTES as u64) {
            self.smallest.rotate_right(1);
            self.smallest[0] = Duration::MAX;
        }
        self.minute = minute;
        self.smallest[0] = self.smallest[0].min(sample);
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variance = sample / 2;
            }
            Some(smoothed) => {
                let off = smoothed.abs_diff(sample);
                self.variance = (self.variance * 3 + off) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    /// Something was acknowledged, though it tells no round trip.
    pub(super) fn progress(&mut self) {
        self.backoff = 0;
    }

    pub(super) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// The smoothed round trip; a second before the first sample (BEP 29's first time-out).
    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(Duration::from_secs(1))
    }

    /// The smallest of the last minutes.
    pub(super) fn smallest(&self) -> Option<Duration> {
        self.smallest.iter().min().copied().filter(|smallest| *smallest != Duration::MAX)
    }

    /// By how much the latest round trip exceeds the smallest: all queues of both ways, our clock alone.
    pub(super) fn standing(&self) -> Duration {
        self.smallest().map_or(Duration::ZERO, |smallest| self.latest.saturating_sub(smallest))
    }

    /// How long to wait for an acknowledgement before everything counts as lost.
    pub(super) fn timeout(&self, config: &Config) -> Duration {
        let base = self.smoothed.map_or(Duration::from_secs(1), |smoothed| smoothed + self.variance * 4);
        let base = base.clamp(config.timeout_min, config.timeout_max);
        base.saturating_mul(1 << self.backoff).min(config.timeout_max)
    }

    /// How long to wait before a packet is sent again only to hear an acknowledgement (RFC 8985, 7.2).
    pub(super) fn probe(&self, config: &Config) -> Duration {
        // A peer may hold its acknowledgement back: libutp for 100 ms at most.
        let wait = self.smoothed() * 2 + Duration::from_millis(100);
        wait.min(self.timeout(config))
    }
}
