//! What links do to datagrams: loss, duplicates, jitter, reordering, bandwidth.

use peerage_base::Rng;
use serde::Deserialize;

/// The properties of every node's link. Shares are of datagrams, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkConfig {
    /// Datagrams that are lost.
    pub loss: f64,
    /// Datagrams that come twice.
    pub duplicate: f64,
    /// Datagrams that come late, so that later ones overtake them.
    pub reorder: f64,
    /// How late, at most.
    pub reorder_ms: f64,
    /// Mean of what is added to each way (exponentially distributed).
    pub jitter_ms: f64,
    /// Bytes per second that a node can send; 0 is any number.
    pub up_bytes_per_s: f64,
    /// Time that a datagram may wait for its turn; beyond, it is dropped.
    pub queue_ms: f64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_ms: 200.0,
            jitter_ms: 0.0,
            up_bytes_per_s: 0.0,
            queue_ms: 1000.0,
        }
    }
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never comes.
    Lost,
    /// The line's queue is full.
    Overflow,
    /// It comes so many microseconds after the way's own time.
    Late(u64),
    /// It comes twice.
    Twice(u64, u64),
}

/// The links of a network.
#[derive(Clone, Debug)]
pub struct Links {
    config: LinkConfig,
    perfect: bool,
    /// When each node's line is free again, where lines have a rate.
    free_at: Vec<u64>,
}

impl Links {
    /// Links of so many nodes.
    #[must_use]
    pub fn new(config: LinkConfig, nodes: usize) -> Self {
        let rated = config.up_bytes_per_s > 0.0;
        let clean = config.loss + config.duplicate + config.reorder + config.jitter_ms;
        Self {
            config,
            perfect: !rated && clean == 0.0,
            free_at: if rated { vec![0; nodes] } else { Vec::new() },
        }
    }

    /// A datagram of `len` bytes enters a node's line at `now`, in microseconds.
    pub fn send(&mut self, now: u64, from: usize, len: usize, rng: &mut Rng) -> Fate {
        if self.perfect {
            return Fate::Late(0);
        }
        let queued = match self.free_at.get_mut(from) {
            None => 0,
            Some(free_at) => {
                let begin = now.max(*free_at);
                if (begin - now) as f64 > self.config.queue_ms * 1000.0 {
                    return Fate::Overflow;
                }
                // 28 bytes are the headers of IPv4 and UDP.
                *free_at = begin + ((len + 28) as f64 * 1e6 / self.config.up_bytes_per_s) as u64;
                *free_at - now
            }
        };
        if chance(self.config.loss, rng) {
            return Fate::Lost;
        }
        let first = queued + self.extra(rng);
        if chance(self.config.duplicate, rng) {
            return Fate::Twice(first, queued + self.extra(rng));
        }
        Fate::Late(first)
    }

    fn extra(&self, rng: &mut Rng) -> u64 {
        let mut extra_us = 0.0;
        if self.config.jitter_ms > 0.0 {
            extra_us += -(1.0 - rng.unit()).ln() * self.config.jitter_ms * 1000.0;
        }
        if chance(self.config.reorder, rng) {
            extra_us += rng.unit() * self.config.reorder_ms * 1000.0;
        }
        extra_us as u64
    }
}

/// Whether something of this probability happens. Draws nothing where it never does.
pub(crate) fn chance(share: f64, rng: &mut Rng) -> bool {
    share > 0.0 && rng.unit() < share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(config: LinkConfig) -> Vec<Fate> {
        let (mut links, mut rng) = (Links::new(config, 1), Rng::from_number(1));
        (0..10_000).map(|at| links.send(at * 1000, 0, 72, &mut rng)).collect()
    }

    #[test]
    fn each_fault_comes_as_often_as_it_should() {
        let base = LinkConfig::default();
        assert!(fates(base).iter().all(|fate| *fate == Fate::Late(0)));
        let count =
            |fates: &[Fate], wanted: fn(&Fate) -> bool| fates.iter().filter(|fate| wanted(fate)).count();
        let lost = count(&fates(LinkConfig { loss: 0.1, ..base }), |fate| *fate == Fate::Lost);
        assert!((900..1100).contains(&lost), "{lost}");
        let twice =
            count(&fates(LinkConfig { duplicate: 0.2, ..base }), |fate| matches!(fate, Fate::Twice(..)));
        assert!((1880..2120).contains(&twice), "{twice}");
        let late = count(&fates(LinkConfig { reorder: 0.05, ..base }), |fate| !matches!(fate, Fate::Late(0)));
        assert!((430..570).contains(&late), "{late}");
        let jitter = fates(LinkConfig { jitter_ms: 5.0, ..base });
        let sum: u64 = jitter.iter().map(|fate| if let Fate::Late(us) = fate { *us } else { 0 }).sum();
        assert!((48_000_000..52_000_000).contains(&sum), "{sum}");
    }

    #[test]
    fn a_line_sends_at_its_rate_and_drops_what_waits_too_long() {
        // 100 bytes each millisecond on a line of 50,000 bytes per second: half of it passes.
        let fates = fates(LinkConfig { up_bytes_per_s: 50_000.0, queue_ms: 100.0, ..LinkConfig::default() });
        assert_eq!(fates[0], Fate::Late(2000));
        assert_eq!(fates[10], Fate::Late(12_000));
        let dropped = fates.iter().filter(|fate| **fate == Fate::Overflow).count();
        assert!((4900..5000).contains(&dropped), "{dropped}");
    }
}
