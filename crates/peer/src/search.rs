//! When a torrent's peers are looked for in the DHT, and when it is announced there.
//!
//! One schedule for each info hash. A look-up and an announce are one thing to the DHT: whoever can serve
//! something announces with each look-up.

use peerage_base::{Duration, Instant, Rng};

/// Time between two look-ups where all is well. Nodes forget an announced peer after 30 minutes or more
/// (BEP 5 names no time; libtorrent: 30), and most clients announce every 15.
pub const SEARCH_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Time until the next try where nobody answered, or nobody took the announce; doubled by each failure.
const RETRY_FIRST: Duration = Duration::from_secs(5);

/// At most.
const RETRY_MAX: Duration = Duration::from_secs(120);

/// The same for a torrent that lacks something and knows nobody: the network is there, the peers are not.
const LONELY_FIRST: Duration = Duration::from_secs(15);
const LONELY_MAX: Duration = Duration::from_secs(60);

/// Who can serve something now announces so soon after the last look-up at the earliest: a download of
/// seconds leaves no trace that leads nowhere.
const SERVING_AFTER: Duration = Duration::from_secs(30);

/// What became of a look-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchReport {
    /// Nodes that answered.
    pub answered: usize,
    /// Nodes that took the announce.
    pub stored: usize,
    /// Peers that they named.
    pub peers: usize,
}

/// The schedule of one info hash.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) info_hash: [u8; 20],
    next_at: Instant,
    /// When the last one began, and whether it announced.
    begun: Option<(Instant, bool)>,
    /// Tries in a row that failed, or found nobody.
    vain: u32,
    /// When the announce was to be renewed that nobody has taken yet.
    owed: Option<Instant>,
}

impl Search {
    /// A look-up that is due at once.
    pub(crate) fn new(now: Instant, info_hash: [u8; 20]) -> Self {
        Self { info_hash, next_at: now, begun: None, vain: 0, owed: None }
    }

    /// When the next one is due.
    pub(crate) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Whether one is to begin now. `serves`: there is something to announce.
    pub(crate) fn poll(&mut self, now: Instant, serves: bool, rng: &mut Rng) -> bool {
        if now < self.next_at {
            return false;
        }
        if serves {
            self.owed.get_or_insert(self.next_at);
        }
        self.begun = Some((now, serves));
        // Should no report come, this is when it is tried again.
        self.next_at = now + SEARCH_INTERVAL.mul_f64(0.9 + rng.unit() / 5.0);
        true
    }

    /// The last one ended. `lonely`: something is lacking, and nobody is known who might have it.
    pub(crate) fn end(&mut self, now: Instant, report: SearchReport, lonely: bool) {
        let Some((_, announced)) = self.begun else { return };
        let failed = report.answered == 0 || (announced && report.stored == 0);
        if announced && !failed {
            self.owed = None;
        }
        let (first, max) = match (failed, lonely) {
            (true, _) => (RETRY_FIRST, RETRY_MAX),
            (false, true) => (LONELY_FIRST, LONELY_MAX),
            (false, false) => {
                self.vain = 0;
                return;
            }
        };
        let wait = first.saturating_mul(2u32.saturating_pow(self.vain.min(10))).min(max);
        self.vain = self.vain.saturating_add(1);
        self.next_at = self.next_at.min(now + wait);
    }

    /// Nobody is left: the next look-up need not wait for its usual time.
    pub(crate) fn seek(&mut self, now: Instant) {
        if let Some((at, _)) = self.begun {
            self.next_at = self.next_at.min((at + LONELY_MAX).max(now));
        }
    }

    /// There is something to serve: the announce that says so need not wait for the next look-up.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some((at, false)) = self.begun {
            self.next_at = self.next_at.min((at + SERVING_AFTER).max(now));
        }
    }

    /// For how long an announce has been due that nobody took.
    pub(crate) fn lag(&self, now: Instant) -> Duration {
        self.owed.map_or(Duration::ZERO, |since| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    const GOOD: SearchReport = SearchReport { answered: 8, stored: 8, peers: 3 };

    /// The moments, in seconds, at which look-ups begin until `end`; each is reported a second later.
    fn begins(search: &mut Search, end: u64, serves: bool, lonely: bool, report: SearchReport) -> Vec<u64> {
        let mut rng = Rng::from_number(1);
        let mut all = Vec::new();
        for second in 0..end {
            if search.poll(at(second), serves, &mut rng) {
                all.push(second);
            } else if all.last().is_some_and(|last| last + 1 == second) {
                search.end(at(second), report, lonely);
            }
        }
        all
    }

    #[test]
    fn an_announce_is_renewed_every_fifteen_minutes_or_so() {
        let mut search = Search::new(at(0), [1; 20]);
        let all = begins(&mut search, 24 * 3600, true, false, GOOD);
        let gaps: Vec<u64> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (810..=991).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().max() > gaps.iter().min(), "not in step with others");
        assert_eq!(search.lag(at(24 * 3600)), Duration::ZERO);
    }

    #[test]
    fn failures_are_tried_again_ever_more_slowly_and_the_announce_lags() {
        let mut search = Search::new(at(0), [1; 20]);
        let untaken = SearchReport { stored: 0, ..GOOD };
        assert_eq!(begins(&mut search, 400, true, false, untaken), [0, 6, 17, 38, 79, 160, 281]);
        assert_eq!(search.lag(at(400)), Duration::from_secs(400));
        search.end(at(400), GOOD, false);
        assert_eq!(search.lag(at(400)), Duration::ZERO);
        let mut search = Search::new(at(0), [1; 20]);
        let dead = SearchReport::default();
        assert_eq!(begins(&mut search, 20, false, false, dead), [0, 6, 17], "a look-up that nobody answered");
    }

    #[test]
    fn who_knows_nobody_looks_more_often() {
        let mut search = Search::new(at(0), [1; 20]);
        let nobody = SearchReport { answered: 8, stored: 0, peers: 0 };
        assert_eq!(begins(&mut search, 400, false, true, nobody), [0, 16, 47, 108, 169, 230, 291, 352]);
    }

    #[test]
    fn who_can_serve_announces_soon_but_not_at_once() {
        let mut rng = Rng::from_number(1);
        let mut search = Search::new(at(0), [1; 20]);
        assert!(search.poll(at(0), false, &mut rng));
        search.hurry(at(5));
        assert_eq!(search.next_at(), at(30));
        assert!(search.poll(at(30), true, &mut rng));
        search.hurry(at(31));
        assert!(search.next_at() > at(800), "it is announced");
    }
}
