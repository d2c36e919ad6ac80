//! How much one neighbour may ask of us.

use peerage_base::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Neighbours whose credit is remembered; who is forgotten begins with a full one.
const MAX: usize = 1_024;

/// A bucket of credit for each sender: a second's worth at most, filled with time.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    per_s: u32,
    credit: BTreeMap<SocketAddr, (Instant, f64)>,
}

impl Quota {
    pub(crate) fn new(per_s: u32) -> Self {
        Self { per_s, credit: BTreeMap::new() }
    }

    /// Takes one from a sender's credit. Whether there was one.
    pub(crate) fn take(&mut self, now: Instant, from: SocketAddr) -> bool {
        if self.credit.len() >= MAX && !self.credit.contains_key(&from) {
            // Who has not asked for longest has a full bucket anyway.
            let oldest = self.credit.iter().min_by_key(|(_, (at, _))| *at).map(|(addr, _)| *addr);
            oldest.map(|oldest| self.credit.remove(&oldest));
        }
        let rate = f64::from(self.per_s);
        let (at, credit) = self.credit.entry(from).or_insert((now, rate));
        *credit = (*credit + now.since(*at).as_secs_f64() * rate).min(rate);
        *at = now;
        if *credit < 1.0 {
            return false;
        }
        *credit -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Duration;

    #[test]
    fn a_sender_has_its_rate_and_others_theirs() {
        let mut quota = Quota::new(10);
        let addr = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        let taken = |quota: &mut Quota, now, port| (0..1000).filter(|_| quota.take(now, addr(port))).count();
        assert_eq!(taken(&mut quota, Instant::ZERO, 1), 10);
        assert_eq!(taken(&mut quota, Instant::ZERO, 2), 10);
        let later = Instant::ZERO + Duration::from_millis(500);
        assert_eq!(taken(&mut quota, later, 1), 5);
        assert_eq!(taken(&mut quota, later + Duration::from_secs(100), 1), 10, "no more than a second's");
        for port in 0..2000 {
            quota.take(later, addr(port));
        }
        assert_eq!(quota.credit.len(), MAX);
    }
}
