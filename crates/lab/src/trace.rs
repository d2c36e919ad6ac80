//! A hash over everything that happened, to compare runs by.

/// A running hash. Not for security: it is quick, and sees every byte and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

/// Odd constants with well mixed bits (the fractional parts of square roots of primes).
const SEED: u64 = 0x6A09_E667_F3BC_C909;
const MIX: u64 = 0xBB67_AE85_84CA_A73B;

impl Default for Trace {
    fn default() -> Self {
        Self(SEED)
    }
}

impl Trace {
    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        // Folding a product of 128 bits lets each bit reach all others.
        let product = u128::from(self.0 ^ number) * u128::from(MIX);
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(SEED);
    }

    /// Takes bytes in, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.number(u64::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
        self.number(last << 8 | rest.len() as u64);
    }

    /// The hash so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_their_order_count() {
        let hash = |parts: &[&[u8]]| {
            let mut trace = Trace::default();
            parts.iter().for_each(|part| trace.bytes(part));
            trace.hash()
        };
        let base = b"a frame of some twenty bytes".to_vec();
        let mut seen = vec![hash(&[&base])];
        for at in 0..base.len() {
            let mut other = base.clone();
            other[at] ^= 1;
            seen.push(hash(&[&other]));
        }
        seen.extend([hash(&[&base[..9], &base[9..]]), hash(&[&base, b""]), hash(&[&base[1..]]), hash(&[])]);
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
