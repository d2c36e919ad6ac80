//! How long answers take.

use peerage_base::Duration;

/// The usual time of an answer and its spread, smoothed as TCP does (RFC 6298).
#[derive(Clone, Copy, Debug)]
pub struct RttEstimate {
    smooth_s: f64,
    spread_s: f64,
}

impl Default for RttEstimate {
    /// Before the first answer: 200 ms, give or take 100.
    fn default() -> Self {
        Self { smooth_s: 0.2, spread_s: 0.1 }
    }
}

impl RttEstimate {
    /// An answer took this long.
    pub fn add(&mut self, rtt: Duration) {
        let rtt = rtt.as_secs_f64();
        // The weights of RFC 6298, section 2.3.
        self.spread_s += ((self.smooth_s - rtt).abs() - self.spread_s) / 4.0;
        self.smooth_s += (rtt - self.smooth_s) / 8.0;
    }

    /// After this time an answer is late: another node is asked meanwhile. One spread, not the four after
    /// which TCP sends again: asking one more node costs little, and the late answer still counts.
    #[must_use]
    pub fn late_after(&self) -> Duration {
        Duration::from_secs_f64((self.smooth_s + self.spread_s).clamp(0.05, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_measured_and_stays_within_bounds() {
        let mut rtt = RttEstimate::default();
        (0..100).for_each(|_| rtt.add(Duration::from_millis(80)));
        assert!((80..90).contains(&rtt.late_after().as_millis()), "{:?}", rtt.late_after());
        (0..100).for_each(|_| rtt.add(Duration::from_secs(9)));
        assert_eq!(rtt.late_after(), Duration::from_secs(1));
        (0..100).for_each(|_| rtt.add(Duration::ZERO));
        assert_eq!(rtt.late_after(), Duration::from_millis(50));
    }
}
