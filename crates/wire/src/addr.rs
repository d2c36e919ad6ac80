//! Compact addresses: 4 or 16 bytes of IP and 2 of port, big-endian (BEP 23, 7, 11).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses in a string of 6-byte entries; a last part that is shorter is ignored.
pub(crate) fn decode_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes.as_chunks::<6>().0.iter().map(|[a, b, c, d, p, q]| {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), u16::from_be_bytes([*p, *q]))
    })
}

/// The addresses in a string of 18-byte entries. An IPv4 address that is mapped into IPv6 comes out
/// as the IPv4 address it is, so that rules on address ranges see it.
pub(crate) fn decode_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes.as_chunks::<18>().0.iter().filter_map(|entry| {
        let (ip, port) = entry.split_first_chunk::<16>()?;
        let port: [u8; 2] = port.try_into().ok()?;
        Some(SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), u16::from_be_bytes(port)))
    })
}

/// An IP address of 4 or 16 bytes.
pub(crate) fn decode_ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|ip| Ipv6Addr::from(ip).to_canonical()),
        _ => None,
    }
}

/// The bytes of an IP address: 4 or 16.
pub(crate) fn encode_ip(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The IPv4 entries and the IPv6 entries of `addrs`.
pub(crate) fn encode<'a>(addrs: impl IntoIterator<Item = &'a SocketAddr>) -> (Vec<u8>, Vec<u8>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for addr in addrs {
        let out = if addr.is_ipv4() { &mut v4 } else { &mut v6 };
        out.extend_from_slice(&encode_ip(addr.ip()));
        out.extend_from_slice(&addr.port().to_be_bytes());
    }
    (v4, v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_and_back() {
        let addrs: [SocketAddr; 3] =
            ["1.2.3.4:6881", "[2001:db8::1]:80", "255.0.0.1:0"].map(|text| text.parse().unwrap());
        let (v4, v6) = encode(&addrs);
        assert_eq!(v4, [1, 2, 3, 4, 0x1A, 0xE1, 255, 0, 0, 1, 0, 0]);
        assert_eq!(v6.len(), 18);
        assert_eq!(decode_v4(&v4).chain(decode_v6(&v6)).collect::<Vec<_>>(), [addrs[0], addrs[2], addrs[1]]);
    }

    #[test]
    fn parts_are_ignored_and_mapped_addresses_unmapped() {
        assert_eq!(decode_v4(&[1; 11]).count(), 1);
        assert_eq!(decode_v6(&[1; 17]).count(), 0);
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127, 0, 0, 1, 0, 80];
        assert_eq!(decode_v6(&mapped).next(), Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(decode_ip(&mapped[..16]), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(decode_ip(&[1; 5]), None);
    }
}
