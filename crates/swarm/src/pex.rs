//! Peer exchange (BEP 11): what one peer was told of the others, and how much it may tell us.

use peerage_base::{Duration, Instant};
use peerage_wire::extension::{Pex, PexPeer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// BEP 11: "no more than once per minute".
const INTERVAL: Duration = Duration::from_secs(60);
/// The first message may go sooner: a newcomer needs peers.
const FIRST_DELAY: Duration = Duration::from_secs(2);
/// BEP 11: 50 added and 50 dropped peers per message.
const PEERS_MAX: usize = 50;
/// Messages within [`INTERVAL`] that are read; more are ignored, and many more end the connection.
const READ_MAX: u32 = 3;
const FLOOD: u32 = 60;

/// Whether an address means something on this machine or in a local network only.
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read it.
    Read,
    /// Too soon after the last ones.
    Ignore,
    /// Part.
    Flood,
}

/// Peer exchange with one peer.
#[derive(Clone, Debug)]
pub struct Exchange {
    told: BTreeSet<SocketAddr>,
    due: Instant,
    window: Instant,
    received: u32,
}

impl Exchange {
    /// Nothing told yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { told: BTreeSet::new(), due: now + FIRST_DELAY, window: now, received: 0 }
    }

    /// The next message, when one is due and there is news. `peers`: where the torrent's peers listen,
    /// with their flags; `own`: where this one does.
    pub fn poll(
        &mut self,
        now: Instant,
        peers: &BTreeMap<SocketAddr, u8>,
        own: Option<SocketAddr>,
    ) -> Option<Pex> {
        if now < self.due {
            return None;
        }
        let mut news = Pex::default();
        for (&addr, &flags) in peers {
            if Some(addr) != own && news.added.len() < PEERS_MAX && self.told.insert(addr) {
                news.added.push(PexPeer { addr, flags });
            }
        }
        let gone = self.told.iter().filter(|addr| !peers.contains_key(addr));
        news.dropped = gone.copied().take(PEERS_MAX).collect();
        for addr in &news.dropped {
            self.told.remove(addr);
        }
        if news.added.is_empty() && news.dropped.is_empty() {
            return None;
        }
        self.due = now + INTERVAL;
        Some(news)
    }

    /// A message arrived.
    pub fn receive(&mut self, now: Instant) -> Verdict {
        if now.since(self.window) >= INTERVAL {
            self.window = now;
            self.received = 0;
        }
        self.received += 1;
        match self.received {
            0..=READ_MAX => Verdict::Read,
            _ if self.received < FLOOD => Verdict::Ignore,
            _ => Verdict::Flood,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn news_only_once_a_minute_and_fifty_at_most() {
        let mut exchange = Exchange::new(at(0));
        let mut peers: BTreeMap<SocketAddr, u8> = (1..=120).map(|port| (addr(port), 0)).collect();
        assert_eq!(exchange.poll(at(1), &peers, None), None);
        assert_eq!(exchange.poll(at(2), &peers, Some(addr(1))).unwrap().added.len(), 50);
        assert_eq!(exchange.poll(at(61), &peers, Some(addr(1))), None);
        assert_eq!(exchange.poll(at(62), &peers, Some(addr(1))).unwrap().added.len(), 50);
        let last = exchange.poll(at(122), &peers, Some(addr(1))).unwrap();
        assert_eq!(last.added.len(), 19);
        assert!(last.added.iter().all(|peer| peer.addr != addr(1)));
        assert_eq!(exchange.poll(at(200), &peers, Some(addr(1))), None);
        peers.remove(&addr(7));
        assert_eq!(exchange.poll(at(200), &peers, Some(addr(1))).unwrap().dropped, [addr(7)]);
        assert_eq!(exchange.poll(at(400), &peers, Some(addr(1))), None);
    }

    #[test]
    fn a_peer_that_tells_too_often_is_ignored_and_then_left() {
        let mut exchange = Exchange::new(at(0));
        let verdicts: Vec<Verdict> = (0..60).map(|_| exchange.receive(at(1))).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Read).count(), 3);
        assert_eq!(verdicts.last(), Some(&Verdict::Flood));
        assert_eq!(exchange.receive(at(61)), Verdict::Read);
    }
}
