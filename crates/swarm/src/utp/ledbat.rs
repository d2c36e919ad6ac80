//! How many bytes may be in flight: LEDBAT (RFC 6817), as BEP 29 uses it, with what LEDBAT++
//! (draft-irtf-iccrg-ledbat-plus-plus) mends: a flow that came late would mistake the queue of others for
//! the path, and starve them. So a flow that sees a queue lets it drain now and then, for everyone to see
//! the path bare; and above the target the window shrinks in proportion, so that flows become equal.

use super::Config;
use peerage_base::{Duration, Instant};

/// Past minutes whose smallest delay counts as that of the bare path (BEP 29: 2; RFC 6817: 10).
const MINUTES: usize = 4;

/// Delay samples of which the smallest counts (RFC 6817: CURRENT_FILTER).
const SAMPLES: usize = 4;

/// Packets in flight at the start (RFC 6928).
const START_PACKETS: f64 = 10.0;

/// Packets in flight at least (RFC 6817: MIN_CWND).
const LEAST_PACKETS: f64 = 2.0;

/// A slowdown lasts this many round trips, and comes after 9 times as long as it took (LEDBAT++, 4.4).
const SLOW_ROUND_TRIPS: u32 = 2;
const SLOW_SHARE: u32 = 9;

/// What an acknowledgement says about the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    /// Bytes that left the network.
    pub bytes: usize,
    /// Bytes that were in flight before.
    pub in_flight: usize,
    /// The smoothed round trip.
    pub round_trip: Duration,
    /// By how much the latest round trip exceeds the smallest.
    pub standing: Duration,
}

/// The window of one connection.
#[derive(Debug)]
pub(super) struct Ledbat {
    target: f64,
    gain: f64,
    packet: f64,
    most: f64,
    window: f64,
    /// Exponential growth ends here.
    threshold: f64,
    /// Smallest delay of each past minute, the current one first; on the peer's clock minus ours.
    base: [Option<u32>; MINUTES],
    minute: u64,
    recent: [Option<u32>; SAMPLES],
    recent_at: usize,
    slow: Slow,
}

/// Where a flow is in its periodic slowdown.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// Next at this time, if there is a queue then.
    Waiting(Option<Instant>),
    /// At the least window since the first time, until the second; then back to so many bytes.
    Drained(Instant, Instant, f64),
    /// Growing again, since it was drained first.
    Growing(Instant),
}

impl Ledbat {
    /// A window for packets of `packet` bytes.
    pub(super) fn new(config: &Config, packet: usize) -> Self {
        let packet = packet as f64;
        Self {
            target: config.target_delay.as_secs_f64(),
            gain: config.gain_bytes,
            packet,
            most: config.window_bytes_max as f64,
            window: START_PACKETS * packet,
            threshold: f64::INFINITY,
            base: [None; MINUTES],
            minute: 0,
            recent: [None; SAMPLES],
            recent_at: 0,
            slow: Slow::Waiting(None),
        }
    }

    /// Bytes that may be in flight.
    pub(super) fn window(&self) -> usize {
        self.window as usize
    }

    /// The peer says how long a packet of ours took, by the difference of the two clocks.
    pub(super) fn sample(&mut self, now: Instant, difference: u32) {
        let minute = now.as_micros() / 60_000_000;
        for _ in 0..(minute - self.minute.min(minute)).min(MINUTES as u64) {
            self.base.rotate_right(1);
            self.base[0] = None;
        }
        self.minute = minute;
        self.base[0] = Some(self.base[0].map_or(difference, |least| earlier(least, difference)));
        self.recent[self.recent_at % SAMPLES] = Some(difference);
        self.recent_at = (self.recent_at + 1) % SAMPLES;
    }

    /// Seconds that packets wait in queues. The peer's word is believed between two bounds that our own
    /// clock gives: no more than the round trip grew (clocks drift), and no less than a quarter of that
    /// (a peer may lie, threats.md W9; but queues on the way back are not ours).
    pub(super) fn queue(&self, standing: Duration) -> f64 {
        let standing = standing.as_secs_f64();
        let base = self.base.iter().flatten().copied().reduce(earlier);
        let current = self.recent.iter().flatten().copied().reduce(earlier);
        let told = match (base, current) {
            (Some(base), Some(current)) => f64::from(current.wrapping_sub(base)) / 1e6,
            _ => 0.0,
        };
        told.min(standing).max(standing / 4.0)
    }

    /// Something arrived.
    pub(super) fn on_ack(&mut self, now: Instant, acked: Acked) {
        let queue = self.queue(acked.standing);
        self.slow_down(now, queue, acked.round_trip);
        if matches!(self.slow, Slow::Drained(..)) {
            return;
        }
        let bytes = acked.bytes as f64;
        let off = (self.target - queue) / self.target;
        // A window that is not used says nothing about the path (RFC 6817: ALLOWED_INCREASE).
        let used = acked.in_flight as f64 + self.packet >= self.window / 2.0;
        if off < 0.0 {
            self.threshold = self.threshold.min(self.window);
            self.window -= (-off).min(0.5) * bytes.min(self.window);
        } else if used && self.window < self.threshold {
            if queue > 0.75 * self.target {
                self.threshold = self.window;
            } else {
                self.window += bytes;
            }
        } else if used {
            self.window += self.gain * off * bytes / self.window;
        }
        self.bound();
    }

    /// The first loss within a round trip (RFC 6817: halve, once).
    pub(super) fn on_loss(&mut self) {
        self.window /= 2.0;
        self.bound();
        self.threshold = self.window;
    }

    /// Nothing arrives any more.
    pub(super) fn on_timeout(&mut self) {
        self.threshold = (self.window / 2.0).max(LEAST_PACKETS * self.packet);
        self.window = LEAST_PACKETS * self.packet;
        self.slow = Slow::Waiting(None);
    }

    fn bound(&mut self) {
        self.window = self.window.clamp(LEAST_PACKETS * self.packet, self.most);
    }

    fn slow_down(&mut self, now: Instant, queue: f64, round_trip: Duration) {
        match self.slow {
            Slow::Waiting(None) => {
                // The first one, some time after the start.
                self.slow = Slow::Waiting(Some(now + round_trip * SLOW_ROUND_TRIPS * SLOW_SHARE));
            }
            Slow::Waiting(Some(at)) if now >= at && queue >= self.target / 2.0 => {
                self.slow = Slow::Drained(now, now + round_trip * SLOW_ROUND_TRIPS, self.window);
                self.window = LEAST_PACKETS * self.packet;
            }
            Slow::Drained(since, until, window) if now >= until => {
                self.threshold = window;
                self.slow = Slow::Growing(since);
            }
            Slow::Growing(since) if self.window >= self.threshold => {
                self.slow = Slow::Waiting(Some(now + now.since(since) * SLOW_SHARE));
            }
            _ => {}
        }
    }
}

/// The earlier of two readings of a clock that wraps.
fn earlier(a: u32, b: u32) -> u32 {
    if a.wrapping_sub(b) > u32::MAX / 2 { a } else { b }
}
