//! Who sends too much, and how much we answer (threats.md D6).

use peerage_base::addr::{self, LocalRange, Scope};
use peerage_base::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Datagrams are counted over this time.
const WINDOW: Duration = Duration::from_secs(10);

/// Hosts counted within a window; more are not counted until the next. The upload limit holds for all.
const COUNTED_MAX: usize = 16_384;

/// Blocked hosts; the one that is free soonest makes room.
const BLOCKED_MAX: usize = 4_096;

/// Answers may be ahead of their rate by this time.
const BURST: Duration = Duration::from_secs(4);

/// Counts datagrams by host, and bytes of answers.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    packets_max: u32,
    block: Duration,
    window: Instant,
    counts: BTreeMap<SocketAddr, u32>,
    blocked: BTreeMap<SocketAddr, Instant>,
    bytes_per_s: u32,
    credit_bytes: f64,
    filled: Instant,
}

impl Flood {
    pub(super) fn new(packets_per_s: u32, block: Duration, bytes_per_s: u32) -> Self {
        Self {
            packets_max: packets_per_s.saturating_mul(WINDOW.as_secs() as u32),
            block,
            window: Instant::ZERO,
            counts: BTreeMap::new(),
            blocked: BTreeMap::new(),
            bytes_per_s,
            credit_bytes: f64::from(bytes_per_s) * BURST.as_secs_f64(),
            filled: Instant::ZERO,
        }
    }

    /// Whether nothing of this host is read.
    pub(super) fn is_blocked(&self, now: Instant, from: SocketAddr) -> bool {
        !self.blocked.is_empty() && self.blocked.get(&host(from)).is_some_and(|until| now < *until)
    }

    /// Counts a datagram; whether it is to be read.
    pub(super) fn admit(&mut self, now: Instant, from: SocketAddr) -> bool {
        let host = host(from);
        if self.is_blocked(now, from) {
            return false;
        }
        self.blocked.remove(&host);
        if now.since(self.window) >= WINDOW {
            self.counts.clear();
            self.window = now;
        }
        if self.counts.len() >= COUNTED_MAX && !self.counts.contains_key(&host) {
            return true;
        }
        let count = self.counts.entry(host).or_default();
        *count = count.saturating_add(1);
        if *count <= self.packets_max {
            return true;
        }
        self.counts.remove(&host);
        if self.blocked.len() >= BLOCKED_MAX
            && let Some(soonest) = self.blocked.iter().min_by_key(|(_, until)| **until).map(|(host, _)| *host)
        {
            self.blocked.remove(&soonest);
        }
        self.blocked.insert(host, now + self.block);
        false
    }

    /// Takes the bytes of an answer from the upload limit; whether there were enough.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize) -> bool {
        let rate = f64::from(self.bytes_per_s);
        let earned = rate * now.since(self.filled).as_secs_f64();
        self.credit_bytes = (self.credit_bytes + earned).min(rate * BURST.as_secs_f64());
        self.filled = now;
        let enough = self.credit_bytes >= bytes as f64;
        if enough {
            self.credit_bytes -= bytes as f64;
        }
        enough
    }
}

/// Whom a limit is for: a host, but on this machine a program.
pub(super) fn host(addr: SocketAddr) -> SocketAddr {
    match addr::scope(addr.ip()) {
        Scope::Local(LocalRange::Loopback) => addr,
        _ => SocketAddr::new(addr::host(addr.ip()), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_flood_is_dropped_and_others_are_not() {
        let mut flood = Flood::new(5, Duration::from_secs(300), 8000);
        let (loud, quiet): (SocketAddr, SocketAddr) =
            ("8.8.8.8:1".parse().unwrap(), "9.9.9.9:1".parse().unwrap());
        // 10,000 datagrams within a second, from changing ports.
        let admitted = (0..10_000_u32)
            .filter(|n| {
                let port = 1 + (n % 60_000) as u16;
                flood.admit(at(u64::from(n / 10)), SocketAddr::new(loud.ip(), port))
            })
            .count();
        assert_eq!(admitted, 50);
        assert!((0..50).all(|n| flood.admit(at(1000 + n), quiet)));
        assert!(!flood.admit(at(290_000), loud), "blocked for 300 seconds");
        assert!(flood.admit(at(302_000), loud));
    }

    #[test]
    fn five_a_second_are_no_flood() {
        let mut flood = Flood::new(5, Duration::from_secs(300), 8000);
        assert!((0..1000).all(|n| flood.admit(at(n * 200), "8.8.8.8:1".parse().unwrap())));
    }

    #[test]
    fn tables_of_hosts_are_bounded() {
        let mut flood = Flood::new(0, Duration::from_secs(300), 8000);
        for n in 0..20_000_u32 {
            flood.admit(
                at(u64::from(n)),
                SocketAddr::new(std::net::Ipv4Addr::from(0x0800_0000 + n).into(), 1),
            );
            assert!(flood.blocked.len() <= BLOCKED_MAX && flood.counts.len() <= COUNTED_MAX);
        }
    }

    #[test]
    fn answers_keep_to_their_rate() {
        let mut flood = Flood::new(5, Duration::from_secs(300), 8000);
        let sent = (0..100_000_u64).filter(|n| flood.spend(at(*n), 300)).count() * 300;
        // 100 seconds at 8,000 bytes, and the burst of 4.
        assert!((800_000..=840_000).contains(&sent), "{sent}");
    }
}
