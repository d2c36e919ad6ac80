//! What is asked of one peer, and how much of it at once.
//!
//! The depth follows what the peer delivers: so many blocks as it sends in a round trip and
//! [`Config::queue_time`] more, so that it never runs dry, and no more, so that blocks are not stuck
//! behind a slow peer. A fresh peer's depth grows by one with each block that comes soon enough, that
//! is, it doubles each round trip. For a peer that is silent between bursts (transmission serves each
//! half second what was asked for until then) requests reach over its silences too.

use crate::{Config, Meter, picker::Pick};
use peerage_base::{Duration, Instant, limits};
use std::collections::VecDeque;

/// How long the rate looks back that depths follow.
const RATE_WINDOW: Duration = Duration::from_secs(3);
/// While blocks take twice as long as the depth explains, the path is longer than it was: the round
/// trip moves by this part towards the last latency at each tick.
const RTT_DRIFT: u32 = 16;
/// A peer that brings a piece home within this time is given pieces of its own.
const WHOLE_PIECE_TIME: f64 = 12.0;

/// Longer silences are no rhythm, and are forgotten by this part at each tick.
const SILENCE_MAX: Duration = Duration::from_secs(1);
const SILENCE_DECAY: u32 = 16;

/// A peer that refuses is still asked for so many blocks at once.
const TAKEN_MIN: usize = 4;

/// A block that is asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which one.
    pub pick: Pick,
    /// Its bytes.
    pub len: u32,
    /// Since when.
    pub at: Instant,
}

/// The requests waiting at one peer.
#[derive(Clone, Debug)]
pub struct Pipeline {
    queue: VecDeque<Asked>,
    depth: usize,
    growing: bool,
    /// Requests that the peer takes at most, as it says, and as its refusals show.
    reqq: usize,
    taken: usize,
    /// The shortest time from request to block.
    rtt: Option<Duration>,
    last_latency: Duration,
    /// The longest time without a block, lately, though some were asked for.
    silence: Duration,
    /// When the peer last delivered, or was first asked after being idle.
    active_at: Instant,
    rate: Meter,
    /// When it was first asked.
    begun: Option<Instant>,
    /// The peer has not answered for long: it is asked for one block only.
    snubbed: bool,
}

impl Pipeline {
    /// Nothing is asked for yet.
    #[must_use]
    pub fn new(now: Instant, config: &Config) -> Self {
        Self {
            queue: VecDeque::new(),
            depth: config.requests_out_min.max(16).min(config.requests_out_max),
            growing: true,
            reqq: limits::REQUESTS_OUT_DEFAULT,
            taken: usize::MAX,
            rtt: None,
            last_latency: Duration::ZERO,
            silence: Duration::ZERO,
            active_at: now,
            rate: Meter::new(now, RATE_WINDOW),
            begun: None,
            snubbed: false,
        }
    }

    /// The peer says how many requests it takes (BEP 10).
    pub fn set_reqq(&mut self, reqq: u32) {
        self.reqq = (reqq as usize).max(1);
    }

    /// Requests waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the peer does not answer.
    #[must_use]
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// Bytes per second that the peer delivers.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate.rate()
    }

    /// Requests that should be waiting.
    #[must_use]
    pub fn depth(&self, config: &Config) -> usize {
        if self.snubbed {
            return 1;
        }
        self.depth.clamp(config.requests_out_min, config.requests_out_max).min(self.reqq).min(self.taken)
    }

    /// How many more to ask for now. Deep pipelines are refilled in batches: fewer, larger sends.
    #[must_use]
    pub fn room(&self, config: &Config) -> usize {
        let depth = self.depth(config);
        let room = depth.saturating_sub(self.queue.len());
        if room >= (depth / 8).clamp(1, 32) { room } else { 0 }
    }

    /// Whether the peer should fetch pieces of this length alone.
    #[must_use]
    pub fn takes_whole(&self, now: Instant, piece_len: u32) -> bool {
        let mut rate = self.rate.rate();
        if rate == 0.0
            && let Some(begun) = self.begun
        {
            // Too young for the meter: what came so far tells enough.
            rate = self.rate.total() as f64 / now.since(begun).as_secs_f64().max(0.001);
        }
        !self.snubbed && rate * WHOLE_PIECE_TIME >= f64::from(piece_len)
    }

    /// A block was asked for.
    pub fn push(&mut self, now: Instant, pick: Pick, len: u32) {
        self.begun.get_or_insert(now);
        if self.queue.is_empty() {
            self.active_at = now;
        }
        self.queue.push_back(Asked { pick, len, at: now });
    }

    /// Whether a block is asked of this peer.
    #[must_use]
    pub fn contains(&self, pick: &Pick) -> bool {
        self.queue.iter().any(|asked| asked.pick == *pick)
    }

    /// The request that this block answers, taken out. Blocks mostly arrive in the order of the
    /// requests: then this takes constant time.
    pub fn take(&mut self, piece: u32, index: u32) -> Option<Asked> {
        let fits = |asked: &Asked| asked.pick.piece == piece && asked.pick.index == index;
        if self.queue.front().is_some_and(fits) {
            return self.queue.pop_front();
        }
        let at = self.queue.iter().position(fits)?;
        self.queue.remove(at)
    }

    /// The peer delivered what it was asked for at `asked_at`.
    pub fn delivered(&mut self, now: Instant, asked: &Asked, config: &Config) {
        let latency = now.since(asked.at);
        let rtt = self.rtt.map_or(latency, |rtt| rtt.min(latency));
        self.rtt = Some(rtt);
        self.last_latency = latency;
        let silence = now.since(self.active_at).saturating_sub(rtt).min(SILENCE_MAX);
        self.silence = self.silence.max(silence);
        self.active_at = now;
        self.snubbed = false;
        self.rate.add(u64::from(asked.len));
        if self.growing {
            if latency <= rtt + config.queue_time {
                self.depth = (self.depth + 1).min(config.requests_out_max);
            } else {
                self.growing = false;
            }
        }
    }

    /// The peer refused a request though it does not choke us: it has no room for so many.
    pub fn refused(&mut self) {
        self.taken = self.queue.len().max(TAKEN_MIN);
    }

    /// Folds the meter and sets the depth anew; several times per second while blocks flow.
    pub fn tick(&mut self, now: Instant, config: &Config) {
        self.rate.tick(now);
        // What it has room for is found out again, slowly.
        self.taken = self.taken.saturating_add(self.taken / 32 + 1);
        if let Some(rtt) = &mut self.rtt
            && self.last_latency > 2 * (*rtt + config.queue_time)
        {
            *rtt += (self.last_latency - *rtt) / RTT_DRIFT;
        }
        self.silence -= self.silence / SILENCE_DECAY;
        if !self.growing {
            let reach = self.rtt.unwrap_or_default() + self.silence + config.queue_time;
            let blocks = self.rate.rate() * reach.as_secs_f64() / f64::from(limits::BLOCK_LEN);
            // Rounded up, so that a depth that limits the rate can grow.
            self.depth = (blocks * 1.1) as usize + 1;
        }
    }

    /// Whether requests wait, and nothing came for the time of a snub (Cohen 2003).
    #[must_use]
    pub fn is_overdue(&self, now: Instant, timeout: Duration) -> bool {
        !self.queue.is_empty() && now.since(self.active_at) >= timeout
    }

    /// The peer did not answer in time: its requests go to others, and it starts anew.
    pub fn snub(&mut self, now: Instant) -> Vec<Asked> {
        self.snubbed = true;
        self.growing = true;
        self.depth = 1;
        self.active_at = now;
        self.queue.drain(..).collect()
    }

    /// Takes everything out: the peer chokes us or is gone.
    pub fn clear(&mut self) -> Vec<Asked> {
        self.queue.drain(..).collect()
    }

    /// What is asked for, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.queue.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(index: u32) -> Pick {
        Pick { active: 0, piece: 0, index }
    }

    /// A peer of a given rate and delay; returns the depth after `seconds`.
    fn depth_after(rate: f64, delay_ms: u64, seconds: u64, config: &Config) -> usize {
        let mut pipeline = Pipeline::new(Instant::ZERO, config);
        pipeline.set_reqq(10_000);
        let (mut next, mut free_at) = (0, 0.0f64);
        let mut arrivals = VecDeque::new();
        for millis in 0..seconds * 1000 {
            let now = Instant::from_micros(millis * 1000);
            while arrivals.front().is_some_and(|(at, _)| *at <= millis as f64) {
                let (_, index) = arrivals.pop_front().unwrap();
                let asked = pipeline.take(0, index).unwrap();
                pipeline.delivered(now, &asked, config);
            }
            for _ in 0..pipeline.room(config) {
                pipeline.push(now, pick(next), 16384);
                free_at = free_at.max(millis as f64 + delay_ms as f64) + 16384.0 / rate * 1000.0;
                arrivals.push_back((free_at, next));
                next += 1;
            }
            if millis % 250 == 0 {
                pipeline.tick(now, config);
            }
        }
        pipeline.depth(config)
    }

    #[test]
    fn depth_follows_the_rate_and_the_round_trip() {
        let config = Config::default();
        assert_eq!(depth_after(1e9, 1, 2, &config), config.requests_out_max);
        let near = depth_after(8e6, 1, 10, &config);
        assert!((130..230).contains(&near), "8 MB/s for 0.3 s are 147 blocks: {near}");
        let far = depth_after(8e6, 200, 10, &config);
        assert!((220..400).contains(&far), "8 MB/s for 0.5 s are 244 blocks: {far}");
        let slow = depth_after(20_000.0, 50, 30, &config);
        assert!((config.requests_out_min..=16).contains(&slow), "{slow}");
    }

    #[test]
    fn a_peer_that_serves_in_bursts_is_kept_busy() {
        let config = Config::default();
        let mut pipeline = Pipeline::new(Instant::ZERO, &config);
        pipeline.set_reqq(512);
        let (mut next, mut delivered) = (0, Vec::new());
        for millis in 0..60_000 {
            let now = Instant::from_micros(millis * 1000);
            // The first requests happen to come just before a burst: the round trip is known to be short.
            if millis % 500 == 1 {
                let asked = pipeline.clear();
                asked.iter().for_each(|asked| pipeline.delivered(now, asked, &config));
                delivered.push(asked.len());
            }
            if millis % 250 == 0 {
                pipeline.tick(now, &config);
            }
            for _ in 0..pipeline.room(&config) {
                pipeline.push(now, pick(next), 16384);
                next += 1;
            }
        }
        assert!(delivered.iter().skip(60).all(|blocks| *blocks >= 400), "{delivered:?}");
    }

    #[test]
    fn blocks_out_of_order_are_found_and_others_are_not() {
        let config = Config::default();
        let mut pipeline = Pipeline::new(Instant::ZERO, &config);
        (0..5).for_each(|index| pipeline.push(Instant::ZERO, pick(index), 16384));
        assert_eq!(pipeline.take(0, 3).map(|asked| asked.pick.index), Some(3));
        assert_eq!(pipeline.take(0, 3), None);
        assert_eq!(pipeline.take(1, 0), None);
        assert_eq!(pipeline.take(0, 0).map(|asked| asked.pick.index), Some(0));
        assert_eq!(pipeline.clear().len(), 3);
    }

    #[test]
    fn a_silent_peer_is_snubbed_until_it_delivers() {
        let config = Config::default();
        let mut pipeline = Pipeline::new(Instant::ZERO, &config);
        pipeline.push(Instant::ZERO, pick(0), 16384);
        let late = Instant::ZERO + config.snub_timeout;
        assert!(!pipeline.is_overdue(late - Duration::from_secs(1), config.snub_timeout));
        assert!(pipeline.is_overdue(late, config.snub_timeout));
        assert_eq!(pipeline.snub(late).len(), 1);
        assert_eq!(pipeline.depth(&config), 1);
        pipeline.push(late, pick(1), 16384);
        let asked = pipeline.take(0, 1).unwrap();
        pipeline.delivered(late, &asked, &config);
        assert!(!pipeline.is_snubbed() && pipeline.depth(&config) >= config.requests_out_min);
    }
}
