//! Which addresses a URL that came from a stranger may lead to.
//!
//! A magnet link or a `.torrent` file names trackers and web seeds. Without a guard, whoever writes
//! the link makes this machine send requests to itself, to the local network, or to a cloud's
//! metadata service (threats.md S1). The rule: only addresses that are global unicast are dialled,
//! unless the user says `--allow-local`. The check is made on the *address that is dialled*, after
//! name resolution, so that no spelling of a URL and no DNS answer gets around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What outgoing requests to URLs from strangers are allowed to reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Allow loopback, private and link-local targets. Default: false.
    ///
    /// Multicast, broadcast and reserved addresses stay refused: nothing is served there. A redirect
    /// from a public address to a local one stays refused too.
    pub allow_local: bool,
}

impl Policy {
    /// Whether `addr` may be dialled.
    #[must_use]
    pub fn permits(self, addr: IpAddr) -> bool {
        match class(addr) {
            Class::Public => true,
            Class::Local => self.allow_local,
            Class::Never => false,
        }
    }
}

/// What kind of target an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Global unicast.
    Public,
    /// This machine, its link, its site, its provider's inside: loopback, `0.0.0.0` (which Linux
    /// takes as loopback), RFC 1918, link-local with the metadata service, shared space (RFC 6598),
    /// unique local IPv6.
    Local,
    /// Not a place for a server: multicast, broadcast, documentation, benchmarking, reserved.
    Never,
}

/// Whether `addr` is global unicast: not loopback, private, link-local, multicast or reserved.
/// IPv6 forms that carry an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo) are judged by it.
#[must_use]
pub fn is_public(addr: IpAddr) -> bool {
    class(addr) == Class::Public
}

/// The class of `addr`; see [`Class`].
#[must_use]
pub fn class(addr: IpAddr) -> Class {
    match addr {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

/// IANA's special-purpose registry for IPv4 (RFC 6890 and updates).
fn class_v4(addr: Ipv4Addr) -> Class {
    let [a, b, c, d] = addr.octets();
    match (a, b, c, d) {
        // Cloud metadata services at addresses that are otherwise public: Azure's wire server,
        // Alibaba's is in 100.64/10, Oracle's in 192.0.0/24.
        (168, 63, 129, 16) => Class::Local,
        (0 | 10 | 127, ..) => Class::Local,
        (100, 64..=127, ..) => Class::Local,
        (169, 254, ..) => Class::Local,
        (172, 16..=31, ..) => Class::Local,
        (192, 168, ..) | (192, 0, 0, _) => Class::Local,
        // Documentation, the old 6to4 relays, AS112, AMT, benchmarking.
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => Class::Never,
        (192, 88, 99, _) | (192, 31, 196, _) | (192, 52, 193, _) | (192, 175, 48, _) => Class::Never,
        (198, 18 | 19, ..) => Class::Never,
        // Multicast, reserved, broadcast.
        (224..=255, ..) => Class::Never,
        _ => Class::Public,
    }
}

/// IANA's special-purpose registry for IPv6. What is outside 2000::/3 is not global unicast.
fn class_v6(addr: Ipv6Addr) -> Class {
    let s = addr.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Class::Local,
        // Mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d) and compatible (::a.b.c.d).
        [0, 0, 0, 0, 0, 0xffff, h, l] | [0, 0, 0, 0, 0xffff, 0, h, l] | [0, 0, 0, 0, 0, 0, h, l] => {
            class_v4(v4(h, l))
        }
        // NAT64, well known and local-use prefixes (RFC 6052, 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, h, l] => class_v4(v4(h, l)),
        [0x64, 0xff9b, 1, ..] => Class::Local,
        // Teredo hides its IPv4 client inverted, 6to4 has it in front. Both are judged by it.
        [0x2001, 0, _, _, _, _, h, l] => class_v4(v4(!h, !l)).at_least(Class::Never),
        [0x2002, h, l, ..] => class_v4(v4(h, l)),
        // Unique local (with fd00:ec2::254, Amazon's metadata), link-local, old site-local.
        [0xfc00..=0xfdff, ..] | [0xfe80..=0xfebf, ..] | [0xfec0..=0xfeff, ..] => Class::Local,
        // ORCHID, benchmarking, documentation (also RFC 9637), discard-only is outside 2000::/3.
        [0x2001, 0x0002, 0, ..] | [0x2001, 0x0010..=0x003f, ..] | [0x2001, 0x0db8, ..] => Class::Never,
        [0x3fff, 0..=0x0fff, ..] => Class::Never,
        // ISATAP: an interface identifier that carries an IPv4 address.
        [0x2000..=0x3fff, _, _, _, 0 | 0x0200, 0x5efe, h, l] => class_v4(v4(h, l)),
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Never,
    }
}

impl Class {
    /// Public becomes `floor`; the others stay.
    fn at_least(self, floor: Self) -> Self {
        if self == Self::Public { floor } else { self }
    }
}

#[cfg(test)]
mod tests;
