//! Filters that count the peers of a swarm (BEP 33).

use core::fmt;
use core::net::IpAddr;
use sha1::{Digest, Sha1};

/// Bytes of a filter.
const LEN: usize = 256;

/// A set of IP addresses of which only the size can be told, about. Sets of several nodes are united
/// without counting an address twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Bloom(Box<[u8; LEN]>);

impl Default for Bloom {
    fn default() -> Self {
        Self(Box::new([0; LEN]))
    }
}

impl fmt::Debug for Bloom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bloom(about {:.0})", self.estimate())
    }
}

impl Bloom {
    /// The filter with these bytes; `None` when they are not 256.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Box::new(bytes)))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        let hash: [u8; 20] = match ip {
            IpAddr::V4(ip) => Sha1::digest(ip.octets()).into(),
            IpAddr::V6(ip) => Sha1::digest(ip.octets()).into(),
        };
        let [a, b, c, d, ..] = hash;
        for index in [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])] {
            // 2,048 bits; the bits of a byte are counted from the lowest.
            let (byte, bit) = (usize::from(index % 2048 / 8), index % 8);
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= 1_u8 << bit;
            }
        }
    }

    /// Adds what `other` holds.
    pub fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(byte, other)| *byte |= other);
    }

    /// About how many addresses were added.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        const BITS: f64 = 2048.0;
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        // A full filter says "very many", an empty one 0.
        let zeros = f64::from(zeros).clamp(1.0, BITS);
        ((zeros / BITS).ln() / (2.0 * (1.0 - 1.0 / BITS).ln())).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    /// The test vector of BEP 33.
    const VECTOR: &str = "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE\
        FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B\
        7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F\
        D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3\
        FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5\
        BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57\
        62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6\
        FD8F72EF";

    #[test]
    fn the_vector_of_bep_33() {
        let (mut v4, mut v6) = (Bloom::default(), Bloom::default());
        (0..=255).for_each(|last| v4.insert(Ipv4Addr::new(192, 0, 2, last).into()));
        (0..=0x3E7).for_each(|last| v6.insert(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, last).into()));
        v4.unite(&v6);
        let hex: String = v4.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, VECTOR);
        assert!((v4.estimate() - 1224.9308).abs() < 0.0001, "{}", v4.estimate());
    }

    #[test]
    fn empty_and_full_filters_have_an_estimate() {
        assert_eq!(Bloom::default().estimate(), 0.0);
        let full = Bloom::from_bytes(&[0xFF; 256]).unwrap();
        assert!(full.estimate().is_finite() && full.estimate() > 6000.0);
        assert_eq!(Bloom::from_bytes(&[0; 255]), None);
    }
}
