//! The schedule of announces (BEP 3, 12).
//!
//! Every tier is announced to, side by side: one tracker of it at a time. Within a tier, trackers
//! are shuffled at the start; one that answers moves to the front; after one that fails the next is
//! tried at once, and when all have failed the tier rests. A hybrid torrent is announced under each
//! of its hashes, since older clients know one only.
//!
//! **Invariant.** Two announces of a tier under one hash, but for those that tell an event, are at
//! least [`INTERVAL_MIN`] apart, whatever the tracker answers (threats.md S4).

use crate::event::Announce;
use peerage_base::{Duration, Instant, Rng, limits::TRACKERS_MAX};
use std::collections::BTreeSet;

pub use peerage_wire::tracker::{
    AnnounceReply, AnnounceRequest, Event as AnnounceEvent, INTERVAL_MAX, INTERVAL_MIN,
};
use peerage_wire::tracker::{INTERVAL_DEFAULT, TRACKER_ID_BYTES_MAX};

/// Why an announce failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerFailure {
    /// In words.
    pub message: String,
    /// How long the tracker wants to be left alone, where it said so (BEP 31); at most
    /// [`INTERVAL_MAX`] is granted.
    pub retry: Option<Duration>,
}

/// After this an announce without an answer has failed. The driver's own limit is shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a tracker's URL.
const URL_LEN_MAX: usize = 2048;

/// Names a tracker of a torrent for one of its hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(pub u32);

/// What a torrent has moved, for its trackers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received.
    pub downloaded: u64,
    /// Payload bytes missing.
    pub left: u64,
    /// Peers wanted.
    pub num_want: u32,
}

/// Who announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcer {
    /// Our id in handshakes.
    pub peer_id: [u8; 20],
    /// Where we listen.
    pub port: u16,
    /// Tells us apart when our address changes (BEP 7).
    pub key: u32,
}

#[derive(Clone, Debug)]
struct Tracker {
    id: TrackerId,
    url: String,
    /// It knows of us: `started` was answered and `stopped` not sent.
    started: bool,
    completed_told: bool,
    own_id: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct InFlight {
    tracker: TrackerId,
    since: Instant,
    event: AnnounceEvent,
    port: u16,
}

#[derive(Clone, Debug)]
struct Tier {
    info_hash: [u8; 20],
    trackers: Vec<Tracker>,
    /// Which one is asked next.
    cursor: usize,
    next: Instant,
    /// Not before this, even when more peers are wanted.
    earliest: Instant,
    in_flight: Option<InFlight>,
    /// Rounds in which every tracker failed, in a row.
    failures: u32,
}

/// All trackers of one torrent.
#[derive(Clone, Debug)]
pub struct Trackers {
    announcer: Announcer,
    hashes: Vec<[u8; 20]>,
    tiers: Vec<Tier>,
    urls: BTreeSet<String>,
    next_id: u32,
    /// The download ended in our time: `completed` is due at each tracker.
    completed: bool,
    /// There was nothing to download.
    seed: bool,
}

/// What an answer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The tracker's URL.
    pub url: String,
    /// Whether the announce was of the torrent's first hash; another one's failure is no news.
    pub primary: bool,
}

impl Trackers {
    /// No trackers yet, for a torrent with these 20-byte hashes.
    #[must_use]
    pub fn new(announcer: Announcer, hashes: Vec<[u8; 20]>) -> Self {
        Self {
            announcer,
            hashes,
            tiers: Vec::new(),
            urls: BTreeSet::new(),
            next_id: 0,
            completed: false,
            seed: false,
        }
    }

    /// Adds tiers, to be announced to at once. URLs of unknown schemes, known ones, overlong ones
    /// and those beyond [`TRACKERS_MAX`] are left out. Returns how many were added.
    pub fn add(&mut self, now: Instant, tiers: &[Vec<String>], rng: &mut Rng) -> usize {
        let before = self.urls.len();
        for tier in tiers {
            let mut urls: Vec<String> = tier.iter().filter(|url| self.takes(url)).cloned().collect();
            urls.retain(|url| self.urls.len() < TRACKERS_MAX && self.urls.insert(url.clone()));
            if urls.is_empty() {
                continue;
            }
            // BEP 12: "shuffled within each tier".
            rng.shuffle(&mut urls);
            for info_hash in self.hashes.clone() {
                let trackers = urls.iter().map(|url| self.tracker(url)).collect();
                self.tiers.push(Tier {
                    info_hash,
                    trackers,
                    cursor: 0,
                    next: now,
                    earliest: now,
                    in_flight: None,
                    failures: 0,
                });
            }
        }
        self.urls.len() - before
    }

    fn takes(&self, url: &str) -> bool {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        url.len() <= URL_LEN_MAX && matches!(scheme.as_deref(), Some("http" | "https" | "udp"))
    }

    fn tracker(&mut self, url: &str) -> Tracker {
        let id = TrackerId(self.next_id);
        self.next_id += 1;
        Tracker { id, url: url.to_owned(), started: false, completed_told: self.seed, own_id: None }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tiers.is_empty()
    }

    /// When [`Self::poll`] has something to do next.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let at =
            |tier: &Tier| tier.in_flight.as_ref().map_or(tier.next, |flight| flight.since + ANSWER_TIMEOUT);
        self.tiers.iter().map(at).min()
    }

    /// The next announce that is due at `now`; call until `None`.
    pub fn poll(&mut self, now: Instant, progress: Progress, rng: &mut Rng) -> Option<Announce> {
        for tier in &mut self.tiers {
            if let Some(flight) = &tier.in_flight {
                if now < flight.since + ANSWER_TIMEOUT {
                    continue;
                }
                tier.fail(now, None, rng);
            }
            if now < tier.next {
                continue;
            }
            let completed = self.completed;
            let tracker = &tier.trackers[tier.cursor];
            let event = match tracker {
                Tracker { started: false, .. } => AnnounceEvent::Started,
                Tracker { completed_told: false, .. } if completed => AnnounceEvent::Completed,
                _ => AnnounceEvent::None,
            };
            tier.in_flight =
                Some(InFlight { tracker: tracker.id, since: now, event, port: self.announcer.port });
            return Some(announce(self.announcer, tier.info_hash, tracker, event, progress));
        }
        None
    }

    /// An answer came. `None`: not of a tracker that was asked.
    pub fn handle(
        &mut self,
        now: Instant,
        id: TrackerId,
        result: Result<&AnnounceReply, Option<Duration>>,
        rng: &mut Rng,
    ) -> Option<Outcome> {
        let asked = |tier: &&mut Tier| tier.in_flight.as_ref().is_some_and(|flight| flight.tracker == id);
        let tier = self.tiers.iter_mut().find(asked)?;
        let url = tier.trackers[tier.cursor].url.clone();
        let primary = self.hashes.first() == Some(&tier.info_hash);
        match result {
            Ok(reply) => {
                let stale = tier.in_flight.as_ref().is_some_and(|flight| flight.port != self.announcer.port);
                tier.succeed(now, reply, rng);
                if stale {
                    tier.next = tier.next.min(tier.earliest);
                }
                // The download may have ended while the answer was under way.
                if self.completed && !tier.trackers[0].completed_told {
                    tier.next = now;
                }
            }
            Err(retry) => tier.fail(now, retry, rng),
        }
        Some(Outcome { url, primary })
    }

    /// The download has completed: each tracker is told once (BEP 3), now.
    pub fn complete(&mut self, now: Instant) {
        self.completed = true;
        for tier in &mut self.tiers {
            if tier.in_flight.is_none() && tier.trackers[tier.cursor].started {
                tier.next = now;
            }
        }
    }

    /// The torrent was complete from the start: there is nothing to tell.
    pub fn was_complete(&mut self) {
        self.seed = true;
        for tracker in self.tiers.iter_mut().flat_map(|tier| &mut tier.trackers) {
            tracker.completed_told = true;
        }
    }

    /// Others reach us on another port from now on. Trackers are told as soon as they allow.
    pub fn set_port(&mut self, port: u16) {
        if self.announcer.port != port {
            self.announcer.port = port;
            self.hurry();
        }
    }

    /// More peers are wanted: the next announces come as soon as the trackers allow.
    pub fn hurry(&mut self) {
        for tier in self.tiers.iter_mut().filter(|tier| tier.failures == 0) {
            tier.next = tier.next.min(tier.earliest);
        }
    }

    /// The last announces: every tracker that knows of us is told `stopped`. Nothing follows.
    pub fn stop(&mut self, progress: Progress) -> Vec<Announce> {
        let mut last = Vec::new();
        for tier in &mut self.tiers {
            let pending = tier.in_flight.take().map(|flight| flight.tracker);
            let knows = |tracker: &&mut Tracker| tracker.started || Some(tracker.id) == pending;
            for tracker in tier.trackers.iter_mut().filter(knows) {
                tracker.started = false;
                let progress = Progress { num_want: 0, ..progress };
                last.push(announce(
                    self.announcer,
                    tier.info_hash,
                    tracker,
                    AnnounceEvent::Stopped,
                    progress,
                ));
            }
        }
        self.tiers.clear();
        last
    }
}

fn announce(
    announcer: Announcer,
    info_hash: [u8; 20],
    tracker: &Tracker,
    event: AnnounceEvent,
    progress: Progress,
) -> Announce {
    let Announcer { peer_id, port, key } = announcer;
    let Progress { uploaded, downloaded, left, num_want } = progress;
    let tracker_id = tracker.own_id.clone();
    let request = AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded,
        downloaded,
        left,
        event,
        num_want: Some(num_want),
        key,
        tracker_id,
    };
    Announce { tracker: tracker.id, url: tracker.url.clone(), request }
}

impl Tier {
    fn succeed(&mut self, now: Instant, reply: &AnnounceReply, rng: &mut Rng) {
        let Some(flight) = self.in_flight.take() else { return };
        let interval = if reply.interval.is_zero() { INTERVAL_DEFAULT } else { reply.interval };
        let interval = interval.max(reply.min_interval.unwrap_or_default()).clamp(INTERVAL_MIN, INTERVAL_MAX);
        let least = reply.min_interval.unwrap_or_default().clamp(INTERVAL_MIN, INTERVAL_MAX);
        // BEP 12: a tracker that answers moves to the front of its tier.
        let mut tracker = self.trackers.remove(self.cursor);
        tracker.started = true;
        tracker.completed_told |= flight.event == AnnounceEvent::Completed;
        if let Some(own) = reply.tracker_id.as_ref().filter(|own| own.len() <= TRACKER_ID_BYTES_MAX) {
            tracker.own_id = Some(own.clone());
        }
        self.trackers.insert(0, tracker);
        self.cursor = 0;
        self.failures = 0;
        self.next = now + spread(interval, rng);
        self.earliest = now + least;
    }

    fn fail(&mut self, now: Instant, retry: Option<Duration>, rng: &mut Rng) {
        self.in_flight = None;
        self.cursor += 1;
        if self.cursor < self.trackers.len() {
            self.next = now;
            return;
        }
        self.cursor = 0;
        let back_off = INTERVAL_MIN.saturating_mul(2u32.saturating_pow(self.failures.min(10)));
        self.failures = self.failures.saturating_add(1);
        let wait = back_off.max(retry.unwrap_or_default()).clamp(INTERVAL_MIN, INTERVAL_MAX);
        self.next = now + spread(wait, rng);
        self.earliest = self.next;
    }
}

/// Up to a tenth more, so that a tracker's clients do not come all at once; within the bounds.
fn spread(wait: Duration, rng: &mut Rng) -> Duration {
    wait.mul_f64(1.0 + rng.unit() / 10.0).min(INTERVAL_MAX)
}

#[cfg(test)]
mod tests;
