//! Rate limits and rate meters.

use peerage_base::{Duration, Instant};

/// A token bucket: how many bytes may pass now. Unlimited until a rate is set.
///
/// It may be overdrawn by one transfer, so that no transfer is too large for it; the debt is paid
/// before the next one.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    rate: Option<u64>,
    /// Bytes that may pass, times a million (so that microseconds divide nothing away).
    tokens: i128,
    refilled: Instant,
}

/// How much of a second a bucket can save up, in microseconds. 100 ms keep bursts short.
const BURST_MICROS: u64 = 100_000;
/// Bytes that every bucket can save up, however low its rate: two blocks.
const BURST_BYTES_MIN: u64 = 32 * 1024;
const SCALE: i128 = 1_000_000;

impl Bucket {
    /// A bucket of `rate` bytes per second; `None`: unlimited. It starts with one burst.
    #[must_use]
    pub fn new(rate: Option<u64>) -> Self {
        let mut bucket = Self { rate, tokens: 0, refilled: Instant::ZERO };
        bucket.tokens = bucket.burst();
        bucket
    }

    /// Changes the rate from now on.
    pub fn set_rate(&mut self, now: Instant, rate: Option<u64>) {
        self.refill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(self.burst());
    }

    /// Bytes per second; `None`: unlimited.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Adds what the time since the last call allows.
    pub fn refill(&mut self, now: Instant) {
        let elapsed = now.since(self.refilled);
        if now <= self.refilled {
            return;
        }
        self.refilled = now;
        let Some(rate) = self.rate else { return };
        let micros = i128::try_from(elapsed.as_micros()).unwrap_or(i128::from(u64::MAX));
        let gained = i128::from(rate).saturating_mul(micros);
        self.tokens = self.tokens.saturating_add(gained).min(self.burst());
    }

    /// Whether anything may pass now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rate.is_none() || self.tokens > 0
    }

    /// How many transfers of `len` bytes may pass now: the last one may overdraw.
    #[must_use]
    pub fn allowance(&self, len: u64) -> u64 {
        if self.rate.is_none() {
            return u64::MAX;
        }
        let each = i128::from(len.max(1)) * SCALE;
        u64::try_from((self.tokens + each - 1).max(0) / each).unwrap_or(u64::MAX)
    }

    /// Takes `bytes`, though it may overdraw.
    pub fn take(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.tokens = self.tokens.saturating_sub(i128::from(bytes).saturating_mul(SCALE));
        }
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&mut self, bytes: u64) {
        if self.rate.is_some() {
            let given = i128::from(bytes).saturating_mul(SCALE);
            self.tokens = self.tokens.saturating_add(given).min(self.burst());
        }
    }

    /// When a shut bucket has regained a quarter of its burst, so that a driver need not wake for
    /// each byte; `None` when it is open, or its rate is zero.
    #[must_use]
    pub fn opens_at(&self) -> Option<Instant> {
        if self.is_open() {
            return None;
        }
        let rate = i128::from(self.rate.filter(|rate| *rate > 0)?);
        let missing = self.burst() / 4 - self.tokens;
        let micros = u64::try_from(missing / rate + 1).unwrap_or(u64::MAX);
        Some(self.refilled + Duration::from_micros(micros))
    }

    fn burst(&self) -> i128 {
        let rate = i128::from(self.rate.unwrap_or(0));
        (rate * i128::from(BURST_MICROS)).max(i128::from(BURST_BYTES_MIN) * SCALE)
    }
}

/// Bytes per second over about the last `window`, as an exponential average: one addition per block,
/// the rest at ticks.
#[derive(Clone, Debug)]
pub struct Meter {
    pending: u64,
    ticked: Instant,
    started: Instant,
    rate: f64,
    window: f64,
    total: u64,
}

impl Meter {
    /// A meter that forgets over `window` (Cohen 2003 averages 20 s for choking).
    #[must_use]
    pub fn new(now: Instant, window: Duration) -> Self {
        Self { pending: 0, ticked: now, started: now, rate: 0.0, window: window.as_secs_f64(), total: 0 }
    }

    /// Counts `bytes`.
    pub fn add(&mut self, bytes: u64) {
        self.pending = self.pending.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
    }

    /// Folds what was counted since the last tick into the average.
    pub fn tick(&mut self, now: Instant) {
        let elapsed = now.since(self.ticked).as_secs_f64();
        if elapsed <= 0.0 {
            return;
        }
        // A young meter averages over its own age: it tells the truth from the first tick on.
        let window = self.window.min(now.since(self.started).as_secs_f64()).max(elapsed);
        let weight = elapsed / window;
        self.rate += (self.pending as f64 / elapsed - self.rate) * weight;
        self.pending = 0;
        self.ticked = now;
    }

    /// Bytes per second, as of the last tick.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// All bytes ever counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn a_bucket_passes_its_rate_and_no_more() {
        let mut bucket = Bucket::new(Some(1 << 20));
        let mut passed = 0u64;
        for millis in 0..10_000 {
            bucket.refill(at(millis));
            while bucket.is_open() {
                bucket.take(16384);
                passed += 16384;
            }
        }
        let fluid = 10 * (1 << 20);
        assert!(passed >= fluid && passed <= fluid + (1 << 18), "{passed}");
    }

    #[test]
    fn a_shut_bucket_says_when_it_opens() {
        let mut bucket = Bucket::new(Some(100_000));
        assert_eq!(bucket.opens_at(), None);
        bucket.take(500_000);
        let opens = bucket.opens_at().unwrap();
        bucket.refill(opens - Duration::from_millis(200));
        assert!(!bucket.is_open());
        bucket.refill(opens);
        assert!(bucket.is_open());
        bucket.set_rate(opens, None);
        bucket.take(u64::MAX);
        assert!(bucket.is_open());
        bucket.set_rate(opens, Some(0));
        bucket.take(u64::MAX);
        bucket.refill(Instant::FAR_FUTURE);
        assert_eq!((bucket.is_open(), bucket.opens_at()), (false, None));
    }

    #[test]
    fn a_meter_follows_a_steady_rate_and_forgets_it() {
        let mut meter = Meter::new(at(0), Duration::from_secs(5));
        for tick in 1..=40 {
            meter.add(2500);
            meter.tick(at(tick * 250));
            assert!((meter.rate() - 10_000.0).abs() < 1.0, "{}", meter.rate());
        }
        for tick in 41..=200 {
            meter.tick(at(tick * 250));
        }
        assert!(meter.rate() < 10.0);
        assert_eq!(meter.total(), 100_000);
    }
}
