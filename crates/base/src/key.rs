//! Positions in a keyspace, and how far they are from each other.

use crate::Rng;
use core::fmt;
use data_encoding::HEXLOWER;

/// A position in a keyspace of `8 * N` bits: 20 bytes in the mainline DHT (BEP 5), 32 in Peerage's own.
///
/// The distance of two keys is their exclusive or, read as a number (Kademlia, section 2.1); the order
/// of keys is the order of those numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<const N: usize>(pub [u8; N]);

impl<const N: usize> Key<N> {
    /// Bits of a key.
    pub const BITS: usize = N * 8;

    /// A key that is anywhere with equal chance.
    pub fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; N];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// A random key that has the first `bits` bits of this one.
    #[must_use]
    pub fn random_beside(&self, bits: usize, rng: &mut Rng) -> Self {
        let mut key = Self::random(rng);
        for (index, (byte, own)) in key.0.iter_mut().zip(self.0).enumerate() {
            let keep = bits.saturating_sub(index * 8).min(8);
            let mask = u8::try_from(0xFF00_u16 >> keep & 0xFF).unwrap_or(0xFF);
            *byte = own & mask | *byte & !mask;
        }
        key
    }

    /// This key with its bit `index` (0 is the first) turned over; itself beyond the last.
    #[must_use]
    pub fn flipped(mut self, index: usize) -> Self {
        if let Some(byte) = self.0.get_mut(index / 8) {
            *byte ^= 0x80 >> (index % 8);
        }
        self
    }

    /// The distance to `other`.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Self {
        let mut bytes = self.0;
        bytes.iter_mut().zip(other.0).for_each(|(byte, other)| *byte ^= other);
        Self(bytes)
    }

    /// How many of the first bits are equal.
    #[must_use]
    pub fn common_bits(&self, other: &Self) -> usize {
        let mut bits = 0;
        for (own, other) in self.0.iter().zip(other.0) {
            let equal = (own ^ other).leading_zeros() as usize;
            bits += equal;
            if equal < 8 {
                break;
            }
        }
        bits
    }

    /// This number as a share of the keyspace, in `0.0..=1.0`: for distances.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.0.iter().rev().fold(0.0, |sum, byte| (sum + f64::from(*byte)) / 256.0)
    }
}

impl<const N: usize> fmt::Display for Key<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl<const N: usize> fmt::Debug for Key<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_a_metric(a: [u8; 20], b: [u8; 20], c: [u8; 20]) {
            let (a, b, c) = (Key(a), Key(b), Key(c));
            prop_assert_eq!(a.distance(&b), b.distance(&a));
            prop_assert_eq!(a.distance(&a), Key([0; 20]));
            prop_assert!(a.distance(&c).fraction() <= a.distance(&b).fraction() + b.distance(&c).fraction() + 1e-12);
            // For each distance there is exactly one key (Kademlia, section 2.1).
            prop_assert_eq!(a.distance(&a.distance(&b)), b);
        }

        #[test]
        fn keys_beside_share_at_least_the_bits_asked_for(key: [u8; 20], bits in 0_usize..=160, seed: u64) {
            let beside = Key(key).random_beside(bits, &mut Rng::from_number(seed));
            prop_assert!(Key(key).common_bits(&beside) >= bits);
        }

        #[test]
        fn a_flipped_bit_is_the_first_that_differs(key: [u8; 20], bit in 0_usize..160) {
            prop_assert_eq!(Key(key).common_bits(&Key(key).flipped(bit)), bit);
        }
    }

    #[test]
    fn fractions_of_the_keyspace() {
        let mut half = [0; 20];
        half[0] = 0x80;
        assert_eq!(Key(half).fraction(), 0.5);
        assert_eq!(Key([0; 20]).fraction(), 0.0);
        assert!(Key([0xFF; 32]).fraction() <= 1.0 && Key([0xFF; 32]).fraction() > 0.999_999);
    }

    #[test]
    fn random_keys_are_spread() {
        let mut rng = Rng::from_number(3);
        let deep = (0..4096).filter(|_| Key::<20>([0; 20]).common_bits(&Key::random(&mut rng)) >= 4).count();
        assert!((200..=312).contains(&deep), "a sixteenth of 4096, give or take 3.5 deviations: {deep}");
    }
}
