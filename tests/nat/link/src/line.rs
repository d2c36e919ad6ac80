//! One direction of the link, without a clock: what goes in, when it comes out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use peerage_base::Rng;

/// Packets on their way at most: a second of 1 Gbit/s in full frames. More are dropped.
const IN_FLIGHT_MAX: usize = 1 << 17;

/// What the link does to a packet. Fractions are in `0.0..=1.0`, both directions are alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// One way.
    pub delay: Duration,
    /// The delay is uniform in `delay ± jitter`; it alone never changes the order of packets.
    pub jitter: Duration,
    /// The fraction of packets that are held back, so that later ones overtake them.
    pub reorder: f64,
    /// How long those are held back.
    pub reorder_by: Duration,
    /// The fraction of packets that arrive twice.
    pub duplicate: f64,
    /// Gilbert and Elliott: the chance, per packet, that a burst of loss begins. All is lost in it.
    pub burst_begin: f64,
    /// The chance, per packet, that it ends: bursts are `1 / burst_end` packets long on average.
    pub burst_end: f64,
}

/// A packet on its way, ordered by when it is due, then by when it came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    due: Duration,
    number: u64,
    packet: Vec<u8>,
}

/// Counts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that went in.
    pub taken: u64,
    /// Lost in bursts.
    pub lost: u64,
    /// Dropped since too many were on their way.
    pub dropped: u64,
}

/// One direction. Times are since any one moment.
#[derive(Debug)]
pub struct Line {
    conditions: Conditions,
    rng: Rng,
    flights: BinaryHeap<Reverse<Flight>>,
    number: u64,
    /// When the last packet in order is due.
    last_due: Duration,
    in_burst: bool,
    counts: Counts,
}

impl Line {
    /// An empty line with its own dice.
    pub fn new(conditions: Conditions, rng: Rng) -> Self {
        Self {
            conditions,
            rng,
            flights: BinaryHeap::new(),
            number: 0,
            last_due: Duration::ZERO,
            in_burst: false,
            counts: Counts::default(),
        }
    }

    /// A packet goes in.
    pub fn push(&mut self, now: Duration, packet: &[u8]) {
        self.counts.taken += 1;
        if self.is_lost() {
            self.counts.lost += 1;
            return;
        }
        let due = self.due(now);
        self.fly(due, packet);
        if self.chance(self.conditions.duplicate) {
            self.fly(due, packet);
        }
    }

    /// The next packet that is due.
    pub fn pop(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next_due()? > now {
            return None;
        }
        self.flights.pop().map(|Reverse(flight)| flight.packet)
    }

    /// When the next packet comes out.
    pub fn next_due(&self) -> Option<Duration> {
        self.flights.peek().map(|Reverse(flight)| flight.due)
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Steps the two states of the burst model.
    fn is_lost(&mut self) -> bool {
        let change = if self.in_burst { self.conditions.burst_end } else { self.conditions.burst_begin };
        if self.chance(change) {
            self.in_burst = !self.in_burst;
        }
        self.in_burst
    }

    fn due(&mut self, now: Duration) -> Duration {
        let Conditions { delay, jitter, reorder, reorder_by, .. } = self.conditions;
        let spread = jitter.mul_f64(2.0 * self.rng.unit());
        let due = (now + delay + spread).saturating_sub(jitter).max(self.last_due);
        if self.chance(reorder) {
            return due + reorder_by;
        }
        self.last_due = due;
        due
    }

    fn fly(&mut self, due: Duration, packet: &[u8]) {
        if self.flights.len() >= IN_FLIGHT_MAX {
            self.counts.dropped += 1;
            return;
        }
        self.number += 1;
        self.flights.push(Reverse(Flight { due, number: self.number, packet: packet.to_vec() }));
    }

    fn chance(&mut self, fraction: f64) -> bool {
        fraction > 0.0 && self.rng.unit() < fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn line(conditions: Conditions) -> Line {
        Line::new(conditions, Rng::from_number(7))
    }

    fn number(packet: &[u8]) -> u32 {
        u32::from_be_bytes(packet.try_into().unwrap())
    }

    /// Sends `count` numbered packets, one each millisecond; what came out, with the moments.
    fn run(line: &mut Line, count: u32) -> Vec<(Duration, u32)> {
        let mut out = Vec::new();
        for step in 0..count + 10_000 {
            let now = MS * step;
            if step < count {
                line.push(now, &step.to_be_bytes());
            }
            while let Some(packet) = line.pop(now) {
                out.push((now, number(&packet)));
            }
        }
        out
    }

    #[test]
    fn a_packet_comes_out_after_the_delay_and_not_before() {
        let mut line = line(Conditions { delay: 50 * MS, ..Conditions::default() });
        line.push(10 * MS, b"x");
        assert_eq!(line.next_due(), Some(60 * MS));
        assert_eq!(line.pop(60 * MS - Duration::from_micros(1)), None);
        assert_eq!(line.pop(60 * MS), Some(b"x".to_vec()));
        assert_eq!(line.next_due(), None);
    }

    #[test]
    fn jitter_spreads_the_delay_and_keeps_the_order() {
        let mut line = line(Conditions { delay: 50 * MS, jitter: 20 * MS, ..Conditions::default() });
        let out = run(&mut line, 2_000);
        assert!(out.iter().map(|(_, number)| *number).eq(0..2_000));
        let delays: Vec<_> = out.iter().map(|(at, number)| *at - MS * *number).collect();
        assert!(delays.iter().all(|delay| (30 * MS..=71 * MS).contains(delay)));
        assert!(delays.iter().any(|delay| *delay > 65 * MS));
    }

    #[test]
    fn held_packets_are_overtaken() {
        let conditions =
            Conditions { delay: 10 * MS, reorder: 0.1, reorder_by: 5 * MS, ..Conditions::default() };
        let out = run(&mut line(conditions), 5_000);
        assert_eq!(out.len(), 5_000);
        let overtaken = out.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
        assert!((400..=600).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn some_packets_arrive_twice() {
        let out = run(&mut line(Conditions { duplicate: 0.05, ..Conditions::default() }), 10_000);
        assert!((10_400..=10_600).contains(&out.len()), "{}", out.len());
    }

    /// The stationary loss of the two states is `begin / (begin + end)`, the mean burst `1 / end`.
    #[test]
    fn loss_comes_in_bursts() {
        let mut line = line(Conditions { burst_begin: 0.01, burst_end: 0.25, ..Conditions::default() });
        let out = run(&mut line, 50_000);
        let gaps: Vec<_> =
            out.windows(2).map(|pair| pair[1].1 - pair[0].1 - 1).filter(|gap| *gap > 0).collect();
        let lost = f64::from(50_000 - u32::try_from(out.len()).unwrap());
        let mean = lost / gaps.len() as f64;
        assert!((0.030..0.048).contains(&(lost / 50_000.0)), "{lost}");
        assert!((3.5..4.5).contains(&mean), "{mean}");
        assert_eq!(line.counts().lost, lost as u64);
    }

    #[test]
    fn a_full_line_drops() {
        let mut line = line(Conditions { delay: MS, ..Conditions::default() });
        for _ in 0..IN_FLIGHT_MAX + 3 {
            line.push(Duration::ZERO, b"");
        }
        assert_eq!(line.counts().dropped, 3);
    }
}
