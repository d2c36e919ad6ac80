//! Identifiers that follow from addresses (BEP 42): whoever wants many positions needs many addresses.

use peerage_base::addr::{self, Scope};
use peerage_base::{Key, Rng};
use peerage_wire::krpc::Id;
use std::net::IpAddr;

/// An identifier for a node at `ip`.
#[must_use]
pub fn make_id(ip: IpAddr, rng: &mut Rng) -> Id {
    let mut id = Key::random(rng);
    let last = id.0.last().copied().unwrap_or_default();
    let [a, b, c, _] = prefix(ip, last).to_be_bytes();
    // The first 21 bits are the hash's.
    id.0[0] = a;
    id.0[1] = b;
    id.0[2] = c & 0xF8 | id.0[2] & 0x07;
    id
}

/// Whether the identifier is one that a node at `ip` may have. Nearby addresses may have any.
#[must_use]
pub fn fits(id: &Id, ip: IpAddr) -> bool {
    if matches!(addr::scope(ip), Scope::Local(_)) {
        return true;
    }
    let [first, second, third, ..] = id.0;
    let last = id.0.last().copied().unwrap_or_default();
    let [a, b, c, _] = prefix(ip, last).to_be_bytes();
    (first, second, third & 0xF8) == (a, b, c & 0xF8)
}

/// The hash whose first 21 bits an identifier has that ends with `last`.
fn prefix(ip: IpAddr, last: u8) -> u32 {
    let r = last & 7;
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let masked = u32::from(ip) & 0x030F_3FFF | u32::from(r) << 29;
            crc32c::crc32c(&masked.to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let high = (u128::from(ip) >> 64) as u64;
            let masked = high & 0x0103_070F_1F3F_7FFF | u64::from(r) << 61;
            crc32c::crc32c(&masked.to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of BEP 42.
    #[test]
    fn the_vectors_of_bep_42() {
        for (ip, id) in [
            ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
            ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
            ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
            ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
            ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let id = Key(id.parse::<peerage_base::InfoHashV1>().unwrap().0);
            assert!(fits(&id, ip), "{ip} {id}");
            assert!(!fits(&id.flipped(0), ip) && !fits(&id.flipped(20), ip), "{ip} {id}");
            assert!(fits(&id.flipped(21), ip), "the 22nd bit is free: {ip} {id}");
            assert!(!fits(&id.flipped(159), ip), "the last bits choose the hash: {ip} {id}");
        }
    }

    #[test]
    fn what_is_made_fits_and_nothing_else_does() {
        let mut rng = Rng::from_number(1);
        for ip in ["8.8.8.8", "2a00:1450:4001:81a::200e"] {
            let ip: IpAddr = ip.parse().unwrap();
            let ids: Vec<Id> = (0..64).map(|_| make_id(ip, &mut rng)).collect();
            assert!(ids.iter().all(|id| fits(id, ip)));
            assert!(!ids.iter().any(|id| fits(id, "9.9.9.9".parse().unwrap())));
        }
        let random = (0..10_000).filter(|_| fits(&Key::random(&mut rng), "8.8.8.8".parse().unwrap())).count();
        assert!(random < 3, "one in two million by chance: {random}");
        assert!(fits(&Key::random(&mut rng), "192.168.1.1".parse().unwrap()));
    }
}
