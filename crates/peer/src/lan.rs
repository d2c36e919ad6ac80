//! When a torrent is announced on the local network (BEP 14).

use peerage_base::{Duration, Instant, Rng};

/// Time between two announces of a torrent (BEP 14: 5 minutes), give or take a tenth.
pub const LAN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The first announce is said again after these waits, since datagrams get lost (libtorrent does so too).
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];

/// Time between two announces at least, but for those first ones (BEP 14: 1 minute).
const GAP_MIN: Duration = Duration::from_secs(60);

/// Who hears a newcomer answers within this time: not all at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The schedule of one torrent.
#[derive(Clone, Debug)]
pub(crate) struct LanSchedule {
    next_at: Instant,
    /// Announces so far, of those that are said again at once.
    said: usize,
    /// When the last one was.
    last: Option<Instant>,
}

impl LanSchedule {
    /// An announce that is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next_at: now, said: 0, last: None }
    }

    /// When the next one is due.
    pub(crate) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// It is announced now.
    pub(crate) fn announced(&mut self, now: Instant, rng: &mut Rng) {
        let again = AGAIN.get(self.said).copied();
        self.said += usize::from(again.is_some());
        self.last = Some(now);
        self.next_at = now + again.unwrap_or_else(|| LAN_INTERVAL.mul_f64(0.9 + rng.unit() / 5.0));
    }

    /// Somebody new takes part: who cannot be dialled by us can dial us.
    pub(crate) fn answer(&mut self, now: Instant, rng: &mut Rng) {
        let earliest = self.last.map_or(now, |last| (last + GAP_MIN).max(now));
        self.next_at = self.next_at.min(earliest + ANSWER_WITHIN.mul_f64(rng.unit()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn thrice_at_first_then_every_five_minutes_and_newcomers_are_answered_once_a_minute() {
        let mut rng = Rng::from_number(1);
        let mut schedule = LanSchedule::new(at(0));
        let mut said = Vec::new();
        while schedule.next_at() < at(3600) {
            said.push(schedule.next_at());
            schedule.announced(schedule.next_at(), &mut rng);
        }
        assert_eq!(said[..3], [at(0), at(2), at(6)]);
        let gaps: Vec<u64> = said[2..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert!(gaps.iter().all(|gap| (270..=330).contains(gap)), "{gaps:?}");
        let last = *said.last().unwrap();
        schedule.answer(last + Duration::from_secs(1), &mut rng);
        let wait = schedule.next_at() - last;
        assert!((GAP_MIN..=GAP_MIN + ANSWER_WITHIN).contains(&wait), "{wait:?}");
        let mut schedule = LanSchedule::new(at(0));
        (0..3).for_each(|_| schedule.announced(schedule.next_at(), &mut rng));
        schedule.answer(at(200), &mut rng);
        assert!(schedule.next_at() <= at(201));
    }
}
