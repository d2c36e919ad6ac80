//! A set of piece indices.

/// A set of indices below `len`, one bit each; on the wire the high bit of the first byte is index 0
/// (BEP 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitfield {
    /// Bit `i % 64` of word `i / 64`, counted from the low end. Bits from `len` on are zero.
    words: Vec<u64>,
    len: u32,
    count: u32,
}

impl Bitfield {
    /// The empty set below `len`.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)], len, count: 0 }
    }

    /// The full set below `len`.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut full = Self { words: vec![u64::MAX; (len as usize).div_ceil(64)], len, count: len };
        if !len.is_multiple_of(64)
            && let Some(last) = full.words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        full
    }

    /// From the bytes of a `bitfield` message. `None` when their number does not fit `len`, or a spare
    /// bit is set (BEP 3: "spare bits must be zero").
    #[must_use]
    pub fn from_bytes(bytes: &[u8], len: u32) -> Option<Self> {
        if bytes.len() != (len as usize).div_ceil(8) {
            return None;
        }
        let mut field = Self::new(len);
        for (word, chunk) in field.words.iter_mut().zip(bytes.chunks(8)) {
            let mut eight = [0u8; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(eight.map(u8::reverse_bits));
            field.count += word.count_ones();
        }
        let spare = len % 64;
        match field.words.last() {
            Some(last) if spare != 0 && last >> spare != 0 => None,
            _ => Some(field),
        }
    }

    /// The bytes of a `bitfield` message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.words.iter().flat_map(|word| word.to_le_bytes().map(u8::reverse_bits)).collect();
        bytes.truncate((self.len as usize).div_ceil(8));
        bytes
    }

    /// Indices are below this.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no index is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every index is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// How many indices are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether `index` is in the set; false from `len` on.
    #[must_use]
    pub fn get(&self, index: u32) -> bool {
        match self.words.get(index as usize / 64) {
            Some(word) => word >> (index % 64) & 1 == 1,
            None => false,
        }
    }

    /// Puts `index` in. Returns whether it is new; an index from `len` on is ignored.
    pub fn set(&mut self, index: u32) -> bool {
        if index >= self.len || self.get(index) {
            return false;
        }
        self.words[index as usize / 64] |= 1 << (index % 64);
        self.count += 1;
        true
    }

    /// Takes `index` out. Returns whether it was in.
    pub fn clear(&mut self, index: u32) -> bool {
        if !self.get(index) {
            return false;
        }
        self.words[index as usize / 64] &= !(1 << (index % 64));
        self.count -= 1;
        true
    }

    /// The indices in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| bits(at, *word))
    }

    /// The indices that are in both sets, in order.
    pub fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let both = self.words.iter().zip(&other.words).enumerate();
        both.flat_map(|(at, (mine, theirs))| bits(at, mine & theirs))
    }

    /// Whether some index is in both sets.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// The first index from `from` on that is in both sets.
    #[must_use]
    pub fn first_common(&self, other: &Self, from: u32) -> Option<u32> {
        let first = from as usize / 64;
        let both = self.words.iter().zip(&other.words).enumerate().skip(first);
        for (at, (mine, theirs)) in both {
            let mut word = mine & theirs;
            if at == first {
                word &= u64::MAX << (from % 64);
            }
            if word != 0 {
                return Some(at as u32 * 64 + word.trailing_zeros());
            }
        }
        None
    }

    /// The same indices in a set of another length; those that do not fit are left out, and the
    /// second value says whether there were any.
    #[must_use]
    pub fn resized(&self, len: u32) -> (Self, bool) {
        let mut other = Self::new(len);
        let mut lost = false;
        for index in self.iter() {
            lost |= !other.set(index) && index >= len;
        }
        (other, lost)
    }
}

fn bits(at: usize, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros();
        word &= word - 1;
        Some(at as u32 * 64 + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn wire_form_is_high_bit_first_and_spare_bits_are_refused() {
        let field = Bitfield::from_bytes(&[0b1010_0000, 0b1000_0000], 9).unwrap();
        assert_eq!(field.iter().collect::<Vec<_>>(), [0, 2, 8]);
        assert_eq!(field.to_bytes(), [0b1010_0000, 0b1000_0000]);
        assert_eq!(Bitfield::from_bytes(&[0, 0b0100_0000], 9), None);
        assert_eq!(Bitfield::from_bytes(&[0], 9), None);
        assert_eq!(Bitfield::from_bytes(&[0, 0, 0], 9), None);
        assert_eq!(Bitfield::from_bytes(&[], 0), Some(Bitfield::new(0)));
    }

    #[test]
    fn full_has_no_spare_bits() {
        for len in [0, 1, 63, 64, 65, 128, 1000] {
            let full = Bitfield::full(len);
            assert!(full.is_full() && full.iter().eq(0..len));
            assert_eq!(Bitfield::from_bytes(&full.to_bytes(), len), Some(full));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            len in 0u32..300,
            steps in prop::collection::vec((any::<bool>(), 0u32..400), 0..200),
            others in prop::collection::vec(0u32..300, 0..100),
        ) {
            let (mut field, mut set) = (Bitfield::new(len), BTreeSet::new());
            for (put, index) in steps {
                if put {
                    prop_assert_eq!(field.set(index), index < len && set.insert(index));
                } else {
                    prop_assert_eq!(field.clear(index), set.remove(&index));
                }
            }
            let mut other = Bitfield::new(len);
            others.iter().for_each(|index| { other.set(*index); });
            let common: Vec<u32> = set.iter().copied().filter(|index| other.get(*index)).collect();
            prop_assert_eq!(field.count() as usize, set.len());
            prop_assert!(field.iter().eq(set.iter().copied()));
            prop_assert!(field.common(&other).eq(common.iter().copied()));
            prop_assert_eq!(field.meets(&other), !common.is_empty());
            for from in 0..len {
                let expected = common.iter().copied().find(|index| *index >= from);
                prop_assert_eq!(field.first_common(&other, from), expected);
            }
            prop_assert_eq!(Bitfield::from_bytes(&field.to_bytes(), len), Some(field));
        }
    }
}
