//! The way back: from whom each query came, so that hits go there and copies are known.

use peerage_base::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// One query that was here.
#[derive(Clone, Debug)]
struct Route {
    /// From whom it came; `None` for our own.
    from: Option<SocketAddr>,
    /// To whom it went: only they may send hits.
    to: BTreeSet<SocketAddr>,
}

/// Queries by their number, the oldest forgotten first.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    routes: BTreeMap<u64, Route>,
    order: VecDeque<(Instant, u64)>,
    max: usize,
    lifetime: Duration,
}

impl Routes {
    pub(crate) fn new(max: usize, lifetime: Duration) -> Self {
        Self { routes: BTreeMap::new(), order: VecDeque::new(), max, lifetime }
    }

    /// Notes a query. Whether it is here for the first time.
    pub(crate) fn add(&mut self, now: Instant, guid: u64, from: Option<SocketAddr>) -> bool {
        let old = |(at, _): &(Instant, u64)| now.since(*at) >= self.lifetime;
        while self.order.len() >= self.max || self.order.front().is_some_and(old) {
            if let Some((_, guid)) = self.order.pop_front() {
                self.routes.remove(&guid);
            }
        }
        if self.routes.contains_key(&guid) {
            return false;
        }
        self.routes.insert(guid, Route { from, to: BTreeSet::new() });
        self.order.push_back((now, guid));
        true
    }

    /// Notes that the query was passed on.
    pub(crate) fn passed(&mut self, guid: u64, to: SocketAddr) {
        if let Some(route) = self.routes.get_mut(&guid) {
            route.to.insert(to);
        }
    }

    /// Whether the query was passed on to this one.
    pub(crate) fn went_to(&self, guid: u64, to: SocketAddr) -> bool {
        self.routes.get(&guid).is_some_and(|route| route.to.contains(&to))
    }

    /// Forgets to whom the query was passed on, so that it may go there again.
    pub(crate) fn again(&mut self, guid: u64) {
        if let Some(route) = self.routes.get_mut(&guid) {
            route.to.clear();
        }
    }

    /// From whom the query came: `Some(None)` for our own, `None` when it is unknown.
    pub(crate) fn from(&self, guid: u64) -> Option<Option<SocketAddr>> {
        self.routes.get(&guid).map(|route| route.from)
    }

    /// Whether the query is known.
    pub(crate) fn knows(&self, guid: u64) -> bool {
        self.routes.contains_key(&guid)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_at_the_maximum_and_after_its_time() {
        let mut routes = Routes::new(100, Duration::from_secs(60));
        for guid in 0..1000 {
            assert!(routes.add(Instant::ZERO, guid, None));
        }
        assert_eq!(routes.len(), 100);
        assert!(!routes.knows(899) && routes.knows(900));
        assert!(!routes.add(Instant::ZERO, 950, None), "a copy");
        assert!(routes.add(Instant::ZERO + Duration::from_secs(60), 950, None), "long ago");
        assert_eq!(routes.len(), 1);
    }
}
