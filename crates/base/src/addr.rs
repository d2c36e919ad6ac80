//! What an address may be used for: which ranges are never dialled, which only by leave.
//!
//! Addresses from peers and trackers are hostile: a poisoner names loopback, the LAN or multicast
//! to turn a swarm into a scanner (threats.md W8, S1). Those from the user are the user's wish.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A range that is only reachable nearby. Two addresses of one range may see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalRange {
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// 10.0.0.0/8 (RFC 1918).
    Ten,
    /// 172.16.0.0/12 (RFC 1918).
    OneSevenTwo,
    /// 192.168.0.0/16 (RFC 1918).
    OneNineTwo,
    /// 100.64.0.0/10 (RFC 6598), which VPNs use too.
    Shared,
    /// 198.18.0.0/15 (RFC 2544).
    Benchmark,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// fc00::/7 (RFC 4193), and the old fec0::/10.
    UniqueLocal,
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anywhere on the internet.
    Global,
    /// Nearby only.
    Local(LocalRange),
    /// Not a host: unspecified, multicast, broadcast, reserved, documentation.
    Never,
}

/// IPv4-mapped IPv6 addresses as the IPv4 addresses that they are. A link-local one keeps its scope: without it
/// nobody could be reached there.
#[must_use]
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    match (addr, addr.ip().to_canonical()) {
        (SocketAddr::V6(v6), IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()))
        }
        (addr, ip) => SocketAddr::new(ip, addr.port()),
    }
}

/// Where `ip` is.
#[must_use]
pub fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (127, ..) => Scope::Local(LocalRange::Loopback),
        (10, ..) => Scope::Local(LocalRange::Ten),
        (172, 16..=31, _) => Scope::Local(LocalRange::OneSevenTwo),
        (192, 168, _) => Scope::Local(LocalRange::OneNineTwo),
        (100, 64..=127, _) => Scope::Local(LocalRange::Shared),
        (198, 18..=19, _) => Scope::Local(LocalRange::Benchmark),
        (169, 254, _) => Scope::Local(LocalRange::LinkLocal),
        // "This network", IETF assignments, documentation, multicast, reserved and broadcast.
        (0 | 224..=255, ..) | (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) => Scope::Never,
        _ => Scope::Global,
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        match scope_v4(Ipv4Addr::new(a, b, c, d)) {
            Scope::Global => Scope::Global,
            _ => Scope::Never,
        }
    };
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Local(LocalRange::Loopback),
        // Unspecified, and the deprecated IPv4-compatible form.
        [0, 0, 0, 0, 0, 0, ..] => Scope::Never,
        // NAT64 and 6to4 carry an IPv4 address: only a global one may hide there.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Discard only, documentation.
        [0x100, 0, 0, 0, ..] | [0x2001, 0xdb8, ..] => Scope::Never,
        [first, ..] if first & 0xffc0 == 0xfe80 => Scope::Local(LocalRange::LinkLocal),
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => {
            Scope::Local(LocalRange::UniqueLocal)
        }
        [first, ..] if first & 0xff00 == 0xff00 => Scope::Never,
        _ => Scope::Global,
    }
}

/// Whether a connection may be tried at all, even by the user's wish: a port, and a host.
#[must_use]
pub fn is_dialable(addr: SocketAddr) -> bool {
    if addr.port() == 0 {
        return false;
    }
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// What counts as one host for caps and bans: an IPv4 address, or an IPv6 /64, which one
/// subscriber has whole (RFC 6177). Nearby IPv6 addresses stand for themselves.
#[must_use]
pub fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if scope_v6(v6) == Scope::Global => {
            let s = v6.segments();
            IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
        }
        ip => ip,
    }
}

/// Which nearby ranges are open for addresses that strangers name.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    all: bool,
    own: Vec<LocalRange>,
}

impl Ranges {
    /// `all` opens every nearby range (LAN mode); else those open in which one of `own` lies.
    #[must_use]
    pub fn new(all: bool, own: &[IpAddr]) -> Self {
        let own = own.iter().filter_map(|ip| match scope(*ip) {
            Scope::Local(range) => Some(range),
            Scope::Global | Scope::Never => None,
        });
        Self { all, own: own.collect() }
    }

    /// Whether an address that a stranger named (peer exchange, tracker) may be dialled.
    #[must_use]
    pub fn allow(&self, addr: SocketAddr) -> bool {
        is_dialable(addr)
            && match scope(addr.ip()) {
                Scope::Global => true,
                Scope::Local(range) => self.all || self.own.contains(&range),
                Scope::Never => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_name_only_hosts_on_the_internet() {
        let closed = Ranges::new(false, &[]);
        for addr in [
            "8.8.8.8:1",
            "[2a00:1450::1]:6881",
            "172.32.0.1:5",
            "[64:ff9b::808:808]:9",
            "[2002:808:808::1]:9",
        ] {
            assert!(closed.allow(at(addr)), "{addr}");
        }
        for addr in [
            "8.8.8.8:0",
            "0.0.0.0:5",
            "0.1.2.3:5",
            "127.0.0.1:5",
            "10.1.1.1:5",
            "172.16.0.1:5",
            "172.31.255.255:5",
            "192.168.0.1:5",
            "169.254.169.254:80",
            "100.64.0.1:5",
            "224.0.0.1:5",
            "239.1.1.1:5",
            "255.255.255.255:5",
            "240.0.0.1:5",
            "192.0.2.1:5",
            "198.18.0.1:5",
            "[::]:5",
            "[::1]:5",
            "[fe80::1]:5",
            "[fc00::1]:5",
            "[fd12::1]:5",
            "[ff02::1]:5",
            "[::ffff:127.0.0.1]:5",
            "[::ffff:10.0.0.1]:5",
            "[64:ff9b::7f00:1]:5",
            "[2002:7f00:1::1]:5",
            "[2002:a00:1::1]:5",
            "[::127.0.0.1]:5",
            "[2001:db8::1]:5",
            "[fec0::1]:5",
        ] {
            assert!(!closed.allow(at(addr)), "{addr}");
        }
    }

    #[test]
    fn nearby_ranges_open_by_leave_or_by_being_there() {
        let lan = Ranges::new(true, &[]);
        for addr in ["127.0.0.1:5", "10.1.1.1:5", "[::1]:5", "[fd12::1]:5"] {
            assert!(lan.allow(at(addr)), "{addr}");
        }
        for addr in ["127.0.0.1:0", "224.0.0.1:5", "0.0.0.0:1", "255.255.255.255:5", "[ff02::1]:5"] {
            assert!(!lan.allow(at(addr)), "{addr}");
        }
        let there = Ranges::new(false, &["192.168.1.9".parse().unwrap()]);
        assert!(
            there.allow(at("192.168.7.7:5"))
                && !there.allow(at("10.0.0.1:5"))
                && !there.allow(at("127.0.0.1:5"))
        );
    }

    #[test]
    fn the_user_may_name_any_host() {
        assert!(
            is_dialable(at("127.0.0.1:5"))
                && is_dialable(at("192.0.2.1:5"))
                && is_dialable(at("[fe80::1]:5"))
        );
        assert!(
            !is_dialable(at("127.0.0.1:0"))
                && !is_dialable(at("0.0.0.0:5"))
                && !is_dialable(at("224.0.0.1:5"))
        );
        assert!(!is_dialable(at("[::ffff:0.0.0.0]:5")) && !is_dialable(at("[::ffff:255.255.255.255]:5")));
    }

    #[test]
    fn a_v6_subscriber_is_one_host() {
        let host_of = |text: &str| host(text.parse().unwrap());
        assert_eq!(host_of("2a00:1:2:3::1"), host_of("2a00:1:2:3:ffff::9"));
        assert_ne!(host_of("2a00:1:2:3::1"), host_of("2a00:1:2:4::1"));
        assert_eq!(host_of("::ffff:1.2.3.4"), host_of("1.2.3.4"));
        assert_ne!(host_of("1.2.3.4"), host_of("1.2.3.5"));
    }
}
