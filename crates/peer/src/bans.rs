//! Who is not talked to any more, and why.
//!
//! Bounded by [`BANS_MAX`]: the ban that would end first makes room. On loopback several programs
//! share the address, so there a ban names address and port; elsewhere it names the whole
//! [host](addr::host), since a liar changes its port at will.

use crate::addr::{self, LocalRange, Scope};
use peerage_base::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Bans remembered at once.
pub const BANS_MAX: usize = 4096;

/// What a ban covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Host(IpAddr),
    Program(SocketAddr),
}

fn key(addr: SocketAddr) -> Key {
    match addr::scope(addr.ip()) {
        Scope::Local(LocalRange::Loopback) => Key::Program(addr::canonical(addr)),
        _ => Key::Host(addr::host(addr.ip())),
    }
}

#[derive(Clone, Debug)]
struct Ban {
    until: Instant,
    reason: String,
}

/// The table of bans.
#[derive(Clone, Debug, Default)]
pub struct Bans {
    by_key: BTreeMap<Key, Ban>,
}

impl Bans {
    /// Bans `addr` for `duration`. A ban that lasts longer already stays.
    pub fn add(&mut self, now: Instant, addr: SocketAddr, duration: Duration, reason: String) {
        let (key, until) = (key(addr), now + duration);
        if let Some(ban) = self.by_key.get_mut(&key) {
            if ban.until < until {
                *ban = Ban { until, reason };
            }
            return;
        }
        if self.by_key.len() >= BANS_MAX {
            let first = self.by_key.iter().min_by_key(|(_, ban)| ban.until).map(|(key, _)| *key);
            if let Some(first) = first {
                self.by_key.remove(&first);
            }
        }
        self.by_key.insert(key, Ban { until, reason });
    }

    /// Why `addr` is banned at `now`, if it is.
    #[must_use]
    pub fn reason(&self, now: Instant, addr: SocketAddr) -> Option<&str> {
        self.by_key.get(&key(addr)).filter(|ban| ban.until > now).map(|ban| ban.reason.as_str())
    }

    /// Lifts the ban of `addr`. Returns whether there was one.
    pub fn lift(&mut self, addr: SocketAddr) -> bool {
        self.by_key.remove(&key(addr)).is_some()
    }

    /// Forgets bans that are over.
    pub fn expire(&mut self, now: Instant) {
        self.by_key.retain(|_, ban| ban.until > now);
    }

    /// Bans remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nobody is banned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_ban_covers_the_host_but_on_loopback_one_program() {
        let (now, mut bans) = (Instant::ZERO, Bans::default());
        bans.add(now, at("9.9.9.9:1"), HOUR, "lies".into());
        bans.add(now, at("127.0.0.1:1"), HOUR, "lies".into());
        bans.add(now, at("[2a00::1]:1"), HOUR, "lies".into());
        assert_eq!(bans.reason(now, at("9.9.9.9:777")), Some("lies"));
        assert_eq!(bans.reason(now, at("[::ffff:9.9.9.9]:777")), Some("lies"));
        assert_eq!(bans.reason(now, at("[2a00::2]:9")), Some("lies"));
        assert_eq!(bans.reason(now, at("127.0.0.1:1")), Some("lies"));
        assert_eq!(bans.reason(now, at("127.0.0.1:2")), None);
    }

    #[test]
    fn a_ban_ends_and_can_be_lifted() {
        let (now, mut bans) = (Instant::ZERO, Bans::default());
        bans.add(now, at("9.9.9.9:1"), HOUR, "lies".into());
        assert_eq!(bans.reason(now + HOUR, at("9.9.9.9:1")), None);
        bans.expire(now + HOUR);
        assert!(bans.is_empty());
        bans.add(now, at("9.9.9.9:1"), HOUR, "lies".into());
        assert!(bans.lift(at("9.9.9.9:5")) && bans.reason(now, at("9.9.9.9:1")).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_longest() {
        let (now, mut bans) = (Instant::ZERO, Bans::default());
        bans.add(now, at("9.9.9.9:1"), HOUR * 9, "first".into());
        for i in 0..10_000u32 {
            let ip = IpAddr::from((0x0b00_0000 + i).to_be_bytes());
            bans.add(now, SocketAddr::new(ip, 1), HOUR, String::new());
        }
        assert_eq!(bans.len(), BANS_MAX);
        assert!(bans.reason(now, at("9.9.9.9:1")).is_some());
    }
}
