#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use crate::testing::pattern;
use data_encoding::HEXLOWER;
use proptest::prelude::*;

fn node(seed: u32) -> Hash {
    leaf(&seed.to_be_bytes())
}

fn nodes(count: u32) -> Vec<Hash> {
    (0..count).map(node).collect()
}

/// The root by the definition: all leaves written out.
fn plain_root(leaves: &[Hash], width: usize) -> Hash {
    let mut row = leaves.to_vec();
    row.resize(width, [0; 32]);
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
    }
    row[0]
}

#[test]
fn a_tree_without_its_missing_leaves_has_the_same_root() {
    for count in 1..40usize {
        let leaves = nodes(count as u32);
        for width in [count.next_power_of_two(), 64, 128] {
            assert_eq!(root(&leaves, 0, width), plain_root(&leaves, width), "{count} of {width}");
        }
    }
    assert_eq!(root(&[], 3, 1), pad_hash(3));
    assert_eq!(pad_hash(0), [0; 32]);
    assert_eq!(pad_hash(2), plain_root(&[], 4));
}

#[test]
fn golden_roots() {
    // By libtorrent 2.1.1, see create::tests: a file of one leaf, and one of ten.
    let root_of = |bytes: &[u8]| {
        let leaves: Vec<Hash> = bytes.chunks(16_384).map(leaf).collect();
        HEXLOWER.encode(&root(&leaves, 0, 1))
    };
    assert_eq!(
        root_of(&pattern(4, 16_384)),
        "9fffd67415731d765d1d0efa5722bd16bfed5a0e2078f56cd19a29a31daadff2"
    );
    assert_eq!(
        root_of(&pattern(3, 150_000)),
        "cf37eebccc664d24c94479da8076389c1a74c78845f901397284a04b588c06ca"
    );
}

#[test]
fn heights_and_layers() {
    let leaf = u64::from(LEAF_LEN);
    for (len, expected) in [(0, 0), (1, 0), (leaf, 0), (leaf + 1, 1), (3 * leaf, 2), (4 * leaf + 1, 3)] {
        assert_eq!(height(len), expected, "{len}");
    }
    assert_eq!(height(i64::MAX as u64), 49);
    assert_eq!((piece_layer(16_384), piece_layer(1 << 20)), (0, 6));
    assert_eq!((piece_layer_len(32_768, 32_768), piece_layer_len(32_769, 32_768)), (0, 2));
}

fn request(root: Hash, base_layer: u32, index: u32, length: u32, proof_layers: u32) -> HashRequest {
    HashRequest { root, base_layer, index, length, proof_layers }
}

#[test]
fn uncles_are_counted_as_bep_52_says() {
    // 16 leaves: height 4.
    let len = 16 * u64::from(LEAF_LEN);
    let count = |base, index, length, proof| uncles(&request([0; 32], base, index, length, proof), len);
    assert_eq!(count(0, 0, 2, 0), Ok(0));
    assert_eq!(count(0, 0, 2, 3), Ok(3));
    assert_eq!(count(0, 0, 4, 3), Ok(2));
    assert_eq!(count(0, 0, 8, 3), Ok(1));
    assert_eq!(count(0, 0, 16, 3), Ok(0));
    // The root has no sibling.
    assert_eq!(count(0, 0, 2, 4), Ok(3));
    assert_eq!(count(2, 0, 2, 1), Ok(1));
    assert_eq!(count(0, 5, 1, 3), Ok(4));
    for bad in [
        (0, 0, 0, 0),
        (0, 0, 3, 0),
        (0, 1, 2, 0),
        (0, 16, 2, 0),
        (0, 0, 32, 0),
        (0, 0, 2, 5),
        (5, 0, 2, 0),
        (4, 0, 2, 0),
    ] {
        let (base, index, length, proof) = bad;
        assert_eq!(count(base, index, length, proof), Err(HashesError::Range), "{bad:?}");
    }
    let most = request([0; 32], u32::MAX, u32::MAX, u32::MAX, u32::MAX);
    assert_eq!(uncles(&most, u64::MAX), Err(HashesError::Range));
    assert_eq!(
        uncles(&HashRequest { length: 1 << 31, index: 1 << 31, base_layer: 0, ..most }, u64::MAX),
        Err(HashesError::Range)
    );
}

#[test]
fn a_layer_is_fetched_in_chunks() {
    // 1,025 pieces of 32 KiB.
    let (piece_len, len) = (32_768, 32_768 * 1024 + 5);
    let layer = nodes(1025);
    let top = root(&layer, 1, 2048);
    let tree = UpperTree::new(&layer, 1, len, &top).unwrap();
    let mut fetched = Vec::new();
    let mut asked = Vec::new();
    for request in layer_requests(top, len, piece_len) {
        asked.push((request.index, request.length, request.proof_layers));
        let hashes = tree.answer(&request).unwrap();
        fetched.extend_from_slice(verify(&request, &hashes, len).unwrap());
    }
    assert_eq!(asked, [(0, 512, 10), (512, 512, 10), (1024, 2, 10)]);
    assert_eq!(fetched, layer);
    assert_eq!(layer_requests(top, 32_768, piece_len).count(), 0);
}

#[test]
fn a_tree_takes_only_its_own_nodes() {
    let leaf_len = u64::from(LEAF_LEN);
    let layer = nodes(5);
    let top = root(&layer, 0, 8);
    let len = 4 * leaf_len + 1;
    assert!(UpperTree::new(&layer, 0, len, &top).is_some());
    assert!(UpperTree::new(&layer, 0, len, &node(9)).is_none());
    assert!(UpperTree::new(&layer[..4], 0, len, &top).is_none());
    assert!(UpperTree::new(&layer, 1, len, &top).is_none());
    assert!(UpperTree::new(&layer, 9, len, &top).is_none());
    assert!(UpperTree::new(&[], 0, 0, &pad_hash(0)).is_none());
    let tree = UpperTree::new(&layer, 0, len, &top).unwrap();
    assert_eq!(tree.answer(&request(top, 0, 4, 2, 0)).unwrap(), [layer[4], [0; 32]]);
}

#[test]
fn leaves_below_the_known_layer_are_proven_by_it() {
    // 10 leaves, pieces of 4: the piece layer has 3 nodes.
    let len = 10 * u64::from(LEAF_LEN) - 3;
    let mut leaves = nodes(10);
    let layer: Vec<Hash> = leaves.chunks(4).map(|piece| root(piece, 0, 4)).collect();
    let top = root(&leaves, 0, 16);
    let tree = UpperTree::new(&layer, 2, len, &top).unwrap();
    leaves.resize(16, [0; 32]);
    for (index, length) in [(0, 4), (4, 4), (8, 4), (8, 8), (0, 16), (12, 4)] {
        let request = request(top, 0, index, length, 3);
        let own = &leaves[index as usize..(index + length) as usize];
        let hashes = tree.answer_below(&request, own).unwrap();
        let real = verify(&request, &hashes, len).unwrap();
        assert_eq!(real, &own[..10usize.saturating_sub(index as usize).min(own.len())]);
        assert_eq!(tree.answer(&request), Err(HashesError::Unknown));
    }
    let small = request(top, 0, 0, 2, 3);
    assert_eq!(tree.answer_below(&small, &leaves[..2]), Err(HashesError::Unknown));
    let wrong = request(top, 0, 0, 4, 3);
    assert_eq!(tree.answer_below(&wrong, &leaves[4..8]), Err(HashesError::Mismatch));
    assert_eq!(tree.answer_below(&wrong, &leaves[..2]), Err(HashesError::Count { got: 2, wanted: 4 }));
}

proptest! {
    /// What a tree answers is accepted; with any byte changed it is not, and neither is a short or
    /// a moved one.
    #[test]
    fn proofs_hold_and_any_flipped_byte_is_refused(
        count in 2..70u64, base in 0..4u32, shift in 0..5u32, at in any::<u32>(), more in 0..2u32,
        flip in any::<(proptest::sample::Index, proptest::sample::Index)>(), bit in 0..8,
    ) {
        let len = count * u64::from(LEAF_LEN);
        let leaves = nodes(count as u32);
        let top = root(&leaves, 0, 1);
        let tree = UpperTree::new(&leaves, 0, len, &top).unwrap();
        let above = height(len);
        prop_assume!(base < above && shift <= above - base);
        let places = 1u32 << (above - base - shift);
        let request = request(top, base, (at % places) << shift, 1 << shift, above - base - 1 + more);
        let mut hashes = tree.answer(&request).unwrap();
        let real = verify(&request, &hashes, len).unwrap();
        let row: Vec<Hash> = leaves.chunks(1 << base).map(|below| root(below, 0, 1 << base)).collect();
        let expected = row.get(request.index as usize..).unwrap_or_default();
        prop_assert_eq!(real, &expected[..expected.len().min(1 << shift)]);

        let wanted = hashes.len();
        prop_assert_eq!(
            verify(&request, &hashes[1..], len),
            Err(HashesError::Count { got: wanted - 1, wanted })
        );
        let byte = flip.1.index(32);
        flip.0.get_mut(&mut hashes)[byte] ^= 1u8 << bit;
        prop_assert_eq!(verify(&request, &hashes, len), Err(HashesError::Mismatch));
    }

    #[test]
    fn no_request_panics(
        base in any::<u32>(), index in any::<u32>(), length in any::<u32>(), proof in any::<u32>(), len in any::<u64>(),
    ) {
        let request = request([1; 32], base, index, length, proof);
        if let Ok(count) = uncles(&request, len) {
            prop_assert!(count < 64 && length <= HASHES_MAX);
        }
        prop_assert!(verify(&request, &[[0; 32]; 3], len).is_err());
    }
}
