//! A query routing table: which keys may be there, in 8,192 bits.

use peerage_base::limits::OVERLAY_BLOOM_BYTES_MAX;
use peerage_wire::overlay::Id;

/// Bits that each key sets. With 1,000 keys in 8,192 bits, 4 are near the best: 2.4 % false positives.
const BITS_PER_KEY: usize = 4;

/// A Bloom filter of keys. Keys are hashes already: their own bits say which bits they set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bloom(Vec<u8>);

impl Default for Bloom {
    fn default() -> Self {
        Self::new()
    }
}

impl Bloom {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0; OVERLAY_BLOOM_BYTES_MAX])
    }

    /// One that was received. With no bytes it contains nothing.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// As it travels.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn places(&self, key: &Id) -> impl Iterator<Item = (usize, u8)> + use<> {
        let bits = self.0.len() * 8;
        // 32 bits of the key for each place, from its end: its beginning is what keys near each other share.
        let words = key.0.as_chunks::<4>().0.iter().rev().take(BITS_PER_KEY);
        let words: Vec<u32> = words.map(|word| u32::from_be_bytes(*word)).collect();
        words.into_iter().filter_map(move |word| {
            let bit = (word as usize).checked_rem(bits)?;
            Some((bit / 8, 1 << (bit % 8)))
        })
    }

    /// Adds a key.
    pub fn insert(&mut self, key: &Id) {
        for (byte, mask) in self.places(key) {
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= mask;
            }
        }
    }

    /// Whether a key may be in it: always when it is, seldom when it is not.
    #[must_use]
    pub fn contains(&self, key: &Id) -> bool {
        !self.0.is_empty()
            && self.places(key).all(|(byte, mask)| self.0.get(byte).is_some_and(|byte| byte & mask != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::{Key, Rng};
    use proptest::prelude::*;

    #[test]
    fn a_thousand_keys_are_mistaken_as_seldom_as_theory_says() {
        let mut rng = Rng::from_number(4);
        let mut bloom = Bloom::new();
        (0..1000).for_each(|_| bloom.insert(&Key::random(&mut rng)));
        let mistaken = (0..20_000).filter(|_| bloom.contains(&Key::random(&mut rng))).count();
        // (1 - e^(-4 * 1000 / 8192))^4 = 0.0223, of 20,000: 446, give or take 21.
        assert!((360..=530).contains(&mistaken), "{mistaken}");
    }

    proptest! {
        #[test]
        fn what_is_in_it_is_found(keys: Vec<[u8; 20]>) {
            let mut bloom = Bloom::new();
            keys.iter().for_each(|key| bloom.insert(&Key(*key)));
            prop_assert!(keys.iter().all(|key| bloom.contains(&Key(*key))));
        }

        #[test]
        fn any_bytes_are_a_filter(bytes: Vec<u8>, key: [u8; 20]) {
            let mut bloom = Bloom::from_bytes(bytes.clone());
            bloom.insert(&Key(key));
            prop_assert_eq!(bloom.contains(&Key(key)), !bytes.is_empty());
        }
    }
}
