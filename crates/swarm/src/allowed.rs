//! The pieces that a peer may ask for while it is choked (BEP 6): a newcomer's first ones.

use sha1::{Digest, Sha1};
use std::net::{IpAddr, SocketAddr};

/// Pieces of the set; BEP 6 suggests 10, libtorrent gives 5.
pub const SET_LEN: usize = 5;

/// The set for a peer at `addr`: the same for its whole network, so that changing addresses within it
/// gains nothing. Empty for IPv6, which BEP 6 does not cover.
#[must_use]
pub fn set(addr: SocketAddr, info_hash: &[u8; 20], pieces: u32, len: usize) -> Vec<u32> {
    let IpAddr::V4(ip) = addr.ip().to_canonical() else { return Vec::new() };
    let mut set = Vec::new();
    let [a, b, c, _] = ip.octets();
    let mut hash: [u8; 20] = Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash).finalize().into();
    let len = len.min(pieces as usize);
    while set.len() < len {
        for word in hash.as_chunks::<4>().0 {
            let piece = u32::from_be_bytes(*word) % pieces;
            if set.len() < len && !set.contains(&piece) {
                set.push(piece);
            }
        }
        hash = Sha1::digest(hash).into();
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_bep_6() {
        let addr = "80.4.4.200:1".parse().unwrap();
        let expected = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(set(addr, &[0xaa; 20], 1313, 7), expected[..7]);
        assert_eq!(set(addr, &[0xaa; 20], 1313, 9), expected);
        assert_eq!(set(addr, &[0xaa; 20], 3, 10).len(), 3, "no more than there are");
        assert_eq!(set(addr, &[0xaa; 20], 0, 10), [] as [u32; 0]);
        assert_eq!(set("[::1]:1".parse().unwrap(), &[0; 20], 100, 5), [] as [u32; 0]);
    }
}
