//! Arithmetic on the ring of keys, modulo 2^160.

use peerage_base::Key;
use peerage_wire::overlay::Id;

/// The bits of a key.
pub(crate) const BITS: u8 = 160;

/// A key as a number: the high 128 bits and the low 32.
fn parts(key: &Id) -> (u128, u32) {
    let (mut high, mut low) = ([0; 16], [0; 4]);
    high.copy_from_slice(&key.0[..16]);
    low.copy_from_slice(&key.0[16..]);
    (u128::from_be_bytes(high), u32::from_be_bytes(low))
}

fn key(high: u128, low: u32) -> Id {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&high.to_be_bytes());
    bytes[16..].copy_from_slice(&low.to_be_bytes());
    Key(bytes)
}

/// How far `to` is from `from`, clockwise.
pub(crate) fn clockwise(from: &Id, to: &Id) -> Id {
    let ((from_high, from_low), (to_high, to_low)) = (parts(from), parts(to));
    let (low, borrow) = to_low.overflowing_sub(from_low);
    key(to_high.wrapping_sub(from_high).wrapping_sub(u128::from(borrow)), low)
}

/// The key at `2^bit` after `from`.
pub(crate) fn plus_power(from: &Id, bit: u8) -> Id {
    let (high, low) = parts(from);
    if bit < 32 {
        let (low, carry) = low.overflowing_add(1 << bit);
        return key(high.wrapping_add(u128::from(carry)), low);
    }
    key(high.wrapping_add(1_u128.checked_shl(u32::from(bit) - 32).unwrap_or(0)), low)
}

/// How far two keys are apart, the shorter way round.
pub(crate) fn apart(a: &Id, b: &Id) -> Id {
    clockwise(a, b).min(clockwise(b, a))
}

/// The number of the highest bit of a distance: `i` for distances in `2^i..2^(i+1)`. `None` for zero.
pub(crate) fn power(distance: &Id) -> Option<u8> {
    let zeros = Key([0; 20]).common_bits(distance);
    u8::try_from(zeros).ok().and_then(|zeros| (BITS - 1).checked_sub(zeros))
}

/// Digit `index` of a key, in base 16.
pub(crate) fn digit(key: &Id, index: usize) -> usize {
    let byte = key.0.get(index / 2).copied().unwrap_or(0);
    usize::from(if index.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
}

/// How many of the first digits are equal.
pub(crate) fn shared_digits(a: &Id, b: &Id) -> usize {
    a.common_bits(b) / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small(value: u8) -> Id {
        let mut bytes = [0; 20];
        bytes[19] = value;
        Key(bytes)
    }

    proptest! {
        #[test]
        fn there_and_back_is_once_round(a: [u8; 20], b: [u8; 20]) {
            let (a, b) = (Key(a), Key(b));
            let there = clockwise(&a, &b);
            // From b to a is what is missing to a whole turn.
            prop_assert_eq!(clockwise(&there, &small(0)), clockwise(&b, &a));
            prop_assert_eq!(apart(&a, &b), apart(&b, &a));
            prop_assert_eq!(clockwise(&a, &a), small(0));
        }

        #[test]
        fn a_power_is_as_far_as_it_says(a: [u8; 20], bit in 0_u8..160) {
            let a = Key(a);
            let distance = clockwise(&a, &plus_power(&a, bit));
            prop_assert_eq!(power(&distance), Some(bit));
            prop_assert_eq!(distance, small(0).flipped(159 - usize::from(bit)));
        }
    }

    #[test]
    fn small_numbers() {
        assert_eq!(clockwise(&small(3), &small(10)), small(7));
        assert_eq!(clockwise(&small(10), &small(3)), clockwise(&small(7), &small(0)));
        assert_eq!(apart(&small(10), &small(3)), small(7));
        assert_eq!(plus_power(&Key([0xFF; 20]), 0), small(0));
        assert_eq!((power(&small(0)), power(&small(1)), power(&small(255))), (None, Some(0), Some(7)));
        assert_eq!((digit(&small(0xA5), 38), digit(&small(0xA5), 39)), (10, 5));
        assert_eq!(shared_digits(&small(0xA5), &small(0xA0)), 39);
    }
}
