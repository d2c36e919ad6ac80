#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use crate::{
    Version,
    testing::{holiday, make, pattern},
};

#[test]
fn one_hash_is_known_for_each_piece() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let metainfo = holiday(version, 32 * 1024).metainfo;
        let hashes = metainfo.hashes();
        assert_eq!(hashes.missing_layers().count(), 0);
        for piece in 0..metainfo.info.layout.pieces() {
            let is_v1 = matches!(hashes.check(piece), Some(PieceCheck::V1(_)));
            assert_eq!(is_v1, version == Version::V1, "{piece}");
        }
        assert_eq!(hashes.check(metainfo.info.layout.pieces()), None);
        assert_eq!(hashes.check(u32::MAX), None);
    }
}

#[test]
fn layers_come_later_and_wrong_ones_never() {
    let metainfo = holiday(Version::V2, 32 * 1024).metainfo;
    let whole = metainfo.hashes();
    let mut hashes = Hashes::new(metainfo.info.clone());
    let files = metainfo.info.layout.files();
    let missing: Vec<usize> = hashes.missing_layers().collect();
    let names: Vec<&str> = missing.iter().map(|index| files[*index].path.as_str()).collect();
    assert_eq!(names, ["a.txt", "b/long"]);
    // Files of one piece can be judged at once; the width is that of their own tree.
    let small = files.iter().find(|file| file.path.as_str() == "c").unwrap();
    let check = hashes.check(small.pieces.start);
    assert_eq!(check, Some(PieceCheck::V2 { root: small.root.unwrap(), leaves: 1 }));
    for index in missing {
        let range = files[index].pieces.clone();
        assert!(range.clone().all(|piece| hashes.check(piece).is_none()));
        let layer = whole.layer(index).unwrap().to_vec();
        let mut wrong = layer.clone();
        wrong[0][5] ^= 1;
        assert_eq!(hashes.set_layer(index, &wrong), Err(LayerError::Mismatch));
        assert_eq!(hashes.set_layer(index, &layer[1..]), Err(LayerError::Mismatch));
        assert_eq!(hashes.layer(index), None);
        assert_eq!(hashes.set_layer(index, &layer), Ok(()));
        for (piece, node) in range.zip(&layer) {
            assert_eq!(hashes.check(piece), Some(PieceCheck::V2 { root: *node, leaves: 2 }));
        }
    }
    assert_eq!(hashes.layers(), whole.layers());
    assert_eq!(hashes.set_layer(usize::MAX, &[]), Err(LayerError::NoLayer));
    let v1 = Hashes::new(holiday(Version::V1, 32 * 1024).metainfo.info);
    assert_eq!(v1.missing_layers().count(), 0);
    assert_eq!(v1.clone().set_layer(0, &[]), Err(LayerError::NoLayer));
}

#[test]
fn equal_files_share_a_layer() {
    let content = pattern(1, 100_000);
    let made = make(Version::V2, 16 * 1024, true, &[("a", content.clone()), ("b", content)]);
    assert_eq!(made.metainfo.piece_layers.len(), 1);
    let hashes = made.metainfo.hashes();
    let mut late = Hashes::new(made.metainfo.info.clone());
    late.set_layer(1, hashes.layer(0).unwrap()).unwrap();
    assert_eq!(late.missing_layers().count(), 0);
    assert_eq!(late.check(0), hashes.check(7));
}

#[test]
fn requests_of_peers_are_answered_or_rejected() {
    let made = holiday(Version::Hybrid, 32 * 1024);
    let hashes = made.metainfo.hashes();
    let layout = &made.metainfo.info.layout;
    let file = layout.files().iter().find(|file| file.path.as_str() == "b/long").unwrap();
    let root = file.root.unwrap();
    for request in merkle::layer_requests(root, file.len, 32 * 1024) {
        let answer = hashes.answer(&request).unwrap();
        assert_eq!(merkle::verify(&request, &answer, file.len).unwrap().len(), 5);
        let stranger = HashRequest { root: [9; 32], ..request };
        assert_eq!(hashes.answer(&stranger), Err(HashesError::Unknown));
        assert_eq!(hashes.answer_leaves(&stranger, &[]), Err(HashesError::Unknown));
    }
    // Leaves of its second piece, and of a file that is one piece.
    let piece = made.piece(file.pieces.start + 1);
    let leaves: Vec<Hash> = piece.chunks(16_384).map(merkle::leaf).collect();
    let request = HashRequest { root, base_layer: 0, index: 2, length: 2, proof_layers: 3 };
    let answer = hashes.answer_leaves(&request, &leaves).unwrap();
    assert_eq!(merkle::verify(&request, &answer, file.len), Ok(&*leaves));
    let made = make(Version::V2, 64 * 1024, true, &[("x", pattern(1, 40_000))]);
    let mut leaves: Vec<Hash> = made.piece(0).chunks(16_384).map(merkle::leaf).collect();
    leaves.push([0; 32]);
    let root = made.metainfo.info.layout.files()[0].root.unwrap();
    let request = HashRequest { root, base_layer: 0, index: 0, length: 4, proof_layers: 1 };
    assert_eq!(made.metainfo.hashes().answer_leaves(&request, &leaves), Ok(leaves));
}
