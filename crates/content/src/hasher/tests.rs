#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use crate::{
    Version,
    testing::{Made, holiday, make, pattern},
};
use proptest::prelude::*;

fn hasher(made: &Made, piece: u32) -> PieceHasher {
    let layout = &made.metainfo.info.layout;
    let check = made.metainfo.hashes().check(piece).unwrap();
    PieceHasher::new(check, layout.piece_len(piece), layout.data_len(piece))
}

const VERSIONS: [Version; 3] = [Version::V1, Version::V2, Version::Hybrid];

#[test]
fn whole_pieces_are_right_and_any_other_is_wrong() {
    for version in VERSIONS {
        let made = holiday(version, 32 * 1024);
        for piece in 0..made.metainfo.info.layout.pieces() {
            let mut bytes = made.piece(piece);
            let mut right = hasher(&made, piece);
            assert!(right.add(0, &bytes));
            assert_eq!(right.missing(), None);
            assert_eq!(right.finish(), Some(true));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            let mut wrong = hasher(&made, piece);
            assert!(wrong.add(0, &bytes));
            assert_eq!(wrong.finish(), Some(false));
        }
    }
}

#[test]
fn a_hybrid_without_its_layers_is_judged_by_version_1_with_the_pads() {
    let mut made = holiday(Version::Hybrid, 32 * 1024);
    made.metainfo.piece_layers.clear();
    let mut judged_by_v1 = 0;
    for piece in 0..made.metainfo.info.layout.pieces() {
        let mut hasher = hasher(&made, piece);
        judged_by_v1 += u32::from(hasher.leaves().is_empty());
        assert!(hasher.add(0, &made.piece(piece)));
        assert_eq!(hasher.finish(), Some(true));
    }
    // Files of one piece need no layer.
    assert_eq!(judged_by_v1, made.metainfo.info.layout.pieces() - 2);
}

#[test]
fn what_is_out_of_order_is_not_taken() {
    let content = [("f", pattern(1, 100_000))];
    let v1 = make(Version::V1, 64 * 1024, false, &content);
    let mut one = hasher(&v1, 0);
    let bytes = v1.piece(0);
    assert!(!one.add(1, &bytes[1..]));
    assert!(one.add(0, &bytes[..10]));
    assert!(!one.add(0, &bytes[..10]));
    assert!(!one.add(10, &[&bytes[10..], &[0]].concat()));
    assert_eq!(one.missing(), Some(10..65_536));
    assert_eq!(one.clone().finish(), None);
    assert!(one.add(10, &bytes[10..]));
    assert_eq!(one.finish(), Some(true));

    let v2 = make(Version::V2, 64 * 1024, false, &content);
    let mut two = hasher(&v2, 0);
    assert!(two.add(16_384, &bytes[16_384..32_768]));
    assert_eq!(two.missing(), Some(0..16_384));
    assert!(!two.add(5, &bytes[5..10]));
    assert!(two.add(0, &bytes[..10]));
    assert_eq!(two.missing(), Some(10..16_384));
    // Over a leaf that is whole already.
    assert!(two.add(10, &bytes[10..40_000]));
    assert_eq!(two.missing(), Some(40_000..65_536));
    // A whole leaf does not disturb the open one.
    assert!(two.add(49_152, &bytes[49_152..]));
    assert_eq!(two.missing(), Some(40_000..49_152));
    assert!(two.add(40_000, &bytes[40_000..49_152]));
    assert!(two.leaves().iter().all(Option::is_some));
    assert_eq!(two.finish(), Some(true));
    // The short last piece: 34,464 bytes.
    let mut last = hasher(&v2, 1);
    assert!(!last.add(32_768, &[0; 1697]));
    assert!(last.add(32_768, &pattern(1, 100_000)[98_304..]));
    assert_eq!(last.missing(), Some(0..32_768));
}

#[test]
fn wild_places_are_refused() {
    for version in VERSIONS {
        let made = make(version, 16 * 1024, false, &[("f", pattern(1, 5))]);
        let mut hasher = hasher(&made, 0);
        for begin in [1, 6, 16_384, u32::MAX] {
            assert!(!hasher.add(begin, &[0; 5]));
        }
        assert!(hasher.add(0, &pattern(1, 5)));
        assert_eq!(hasher.finish(), Some(true));
    }
}

proptest! {
    /// Blocks of any order and slices of any cut come to the same end, with `missing` as the guide
    /// for what was refused.
    #[test]
    fn any_order_and_any_cut_is_judged_right(
        version in proptest::sample::select(&VERSIONS), len in 1..200_000usize, cut in 1..40_000usize,
        order in Just((0..8u32).collect::<Vec<_>>()).prop_shuffle(), bad in any::<Option<proptest::sample::Index>>(),
    ) {
        let made = make(version, 128 * 1024, true, &[("a", pattern(7, len)), ("b", pattern(8, 5))]);
        let layout = &made.metainfo.info.layout;
        let mut bytes = made.piece(0);
        if let Some(bad) = bad {
            *bad.get_mut(&mut bytes) ^= 0x40;
        }
        let mut hasher = hasher(&made, 0);
        for index in order {
            let block = layout.block(0, index);
            let mut at = block.begin;
            let end = (block.begin + block.len) as usize;
            for slice in bytes.get(at as usize..end).unwrap_or_default().chunks(cut) {
                let _ = hasher.add(at, slice);
                at += slice.len() as u32;
            }
        }
        let mut rounds = 0;
        while let Some(range) = hasher.missing() {
            prop_assert!(hasher.add(range.start, &bytes[range.start as usize..range.end as usize]));
            rounds += 1;
            prop_assert!(rounds < 10);
        }
        prop_assert_eq!(hasher.finish(), Some(bad.is_none()));
    }
}
