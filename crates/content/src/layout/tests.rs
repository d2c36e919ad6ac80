#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use proptest::prelude::*;

const K: u64 = 1024;

fn entry(name: &str, len: u64) -> Entry {
    Entry { path: FilePath::new([name.as_bytes()]), len, root: None, attr: Attr::default() }
}

fn pad(len: u64) -> Entry {
    Entry { attr: Attr { pad: true, ..Attr::default() }, ..entry("pad", len) }
}

fn layout(space: Space, entries: Vec<Entry>) -> Layout {
    Layout::new(space, 32 * K, entries).unwrap()
}

fn lens(layout: &Layout) -> Vec<(u32, u32, u32)> {
    (0..layout.pieces())
        .map(|piece| (layout.piece_len(piece), layout.data_len(piece), layout.payload_len(piece)))
        .collect()
}

#[test]
fn version_1_has_one_short_piece() {
    let layout = layout(Space::Continuous, vec![entry("a", 40_000), entry("b", 0), entry("c", 30_000)]);
    assert_eq!((layout.pieces(), layout.total_len(), layout.space_len()), (3, 70_000, 70_000));
    assert_eq!(lens(&layout), [(32_768, 32_768, 32_768), (32_768, 32_768, 32_768), (4464, 4464, 4464)]);
    let ranges: Vec<_> = layout.files().iter().map(|file| (file.offset, file.pieces.clone())).collect();
    assert_eq!(ranges, [(0, 0..2), (40_000, 2..2), (40_000, 1..3)]);
    let spans: Vec<Span> = layout.spans(1, 0, 32_768).collect();
    assert_eq!(
        spans,
        [
            Span { file: 0, file_offset: 32_768, len: 7232, pad: false },
            Span { file: 2, file_offset: 0, len: 25_536, pad: false },
        ]
    );
    assert_eq!(layout.block(2, 0), Block { piece: 2, begin: 0, len: 4464 });
    assert_eq!((layout.blocks(0), layout.blocks(2), layout.blocks(3)), (2, 1, 0));
    assert_eq!((layout.files_of(0), layout.files_of(1), layout.files_of(2)), (0..1, 0..3, 2..3));
}

#[test]
fn version_2_has_a_short_piece_for_each_file() {
    let entries =
        vec![entry("a", 40_000), entry("b", 0), entry("c", 30_000), entry("d", 32_768), entry("e", 1)];
    let layout = layout(Space::Aligned, entries);
    assert_eq!((layout.pieces(), layout.total_len(), layout.space_len()), (5, 102_769, 131_073));
    let short: Vec<u32> = (0..6).map(|piece| layout.piece_len(piece)).collect();
    assert_eq!(short, [32_768, 7232, 30_000, 32_768, 1, 0]);
    assert!(lens(&layout).iter().all(|(wire, data, payload)| wire == data && data == payload));
    let offsets: Vec<_> = layout.files().iter().map(|file| (file.offset, file.pieces.clone())).collect();
    assert_eq!(offsets, [(0, 0..2), (40_000, 2..2), (65_536, 2..3), (98_304, 3..4), (131_072, 4..5)]);
    // A peer may ask for a file's last block filled up with zeros.
    let served: Vec<u32> = (0..6).map(|piece| layout.served_len(piece)).collect();
    assert_eq!(served, [32_768, 16_384, 32_768, 32_768, 16_384, 0]);
    // The gap is in no piece.
    assert_eq!(layout.spans(1, 7000, 32_768).map(|span| span.len).collect::<Vec<_>>(), [232]);
    assert!(layout.contains(Block { piece: 1, begin: 7000, len: 232 }));
    assert!(!layout.contains(Block { piece: 1, begin: 7000, len: 233 }));
    assert_eq!(layout.block(2, 1), Block { piece: 2, begin: 16_384, len: 13_616 });
    assert_eq!(layout.block(2, 2).len, 0);
    assert_eq!(
        (0..5).map(|piece| layout.data_file(piece)).collect::<Vec<_>>(),
        [Some(0), Some(0), Some(2), Some(3), Some(4)]
    );
}

#[test]
fn a_hybrid_has_pads_on_the_wire_that_nobody_asks_for() {
    let entries = vec![entry("a", 40_000), pad(25_536), entry("c", 30_000), pad(2768)];
    let layout = layout(Space::Continuous, entries);
    assert_eq!((layout.pieces(), layout.total_len(), layout.space_len()), (3, 70_000, 98_304));
    assert_eq!(lens(&layout), [(32_768, 32_768, 32_768), (32_768, 7232, 7232), (32_768, 30_000, 30_000)]);
    assert_eq!(layout.blocks(1), 1);
    assert_eq!(layout.block(1, 0), Block { piece: 1, begin: 0, len: 7232 });
    // Others may ask for pads all the same (BEP 47).
    assert!(layout.contains(Block { piece: 1, begin: 16_384, len: 16_384 }));
    let spans: Vec<Span> = layout.spans(1, 0, 16_384).collect();
    assert_eq!(
        spans,
        [
            Span { file: 0, file_offset: 32_768, len: 7232, pad: false },
            Span { file: 1, file_offset: 0, len: 9152, pad: true },
        ]
    );
}

#[test]
fn the_spaces_of_both_versions_are_the_same() {
    let sizes = [40_000, 32_768, 1, 0, 65_536, 70_001];
    let aligned = layout(Space::Aligned, sizes.iter().map(|len| entry("x", *len)).collect());
    let with_pads = sizes.iter().flat_map(|len| [entry("x", *len), pad(len.next_multiple_of(32 * K) - len)]);
    let hybrid = layout(Space::Continuous, with_pads.collect());
    assert_eq!(aligned.pieces(), hybrid.pieces());
    for piece in 0..aligned.pieces() {
        assert_eq!(aligned.data_len(piece), hybrid.data_len(piece));
        assert_eq!(hybrid.piece_len(piece), 32_768);
    }
    for (one, two) in aligned.files().iter().zip(hybrid.files().iter().step_by(2)) {
        assert!(one.len == 0 || one.offset == two.offset);
        assert!(one.len == 0 || one.pieces == two.pieces);
    }
}

#[test]
fn odd_pads_leave_every_piece_something_to_ask_for() {
    // A pad inside of a piece, and one longer than a piece.
    let layout = layout(Space::Continuous, vec![pad(20_000), entry("a", 1), pad(100_000), entry("b", 5)]);
    assert_eq!(
        lens(&layout),
        [(32_768, 20_001, 1), (32_768, 32_768, 0), (32_768, 32_768, 0), (21_702, 21_702, 5)]
    );
    assert!((0..4).all(|piece| layout.blocks(piece) > 0));
    assert_eq!(layout.data_file(1), None);
}

#[test]
fn extremes_are_refused_by_name() {
    let error = |space, piece_len, entries| Layout::new(space, piece_len, entries).unwrap_err();
    for piece_len in [0, u64::MAX, 1 << 31, u64::from(PIECE_LEN_MAX) + 1] {
        for space in [Space::Continuous, Space::Aligned] {
            assert_eq!(error(space, piece_len, vec![entry("a", 1)]), LayoutError::PieceLen(piece_len));
        }
    }
    for piece_len in [1, 8192, 16_385, 48 * K] {
        assert_eq!(error(Space::Aligned, piece_len, vec![entry("a", 1)]), LayoutError::PieceLen(piece_len));
        assert!(Layout::new(Space::Continuous, piece_len, vec![entry("a", 1)]).is_ok());
    }
    let huge = |len| vec![entry("a", len), entry("b", len)];
    for space in [Space::Continuous, Space::Aligned] {
        assert_eq!(error(space, 32 * K, huge(u64::MAX)), LayoutError::TooLarge);
        let pieces = u64::from(PIECES_MAX) * 32 * K;
        assert_eq!(error(space, 32 * K, vec![entry("a", pieces + 1)]), LayoutError::TooManyPieces(2_097_153));
        assert_eq!(Layout::new(space, 32 * K, vec![entry("a", pieces)]).unwrap().pieces(), PIECES_MAX);
    }
    let half = i64::MAX as u64 / 2 + 1;
    assert!(matches!(error(Space::Continuous, 1 << 29, huge(half)), LayoutError::TooManyPieces(_)));
    assert_eq!(
        error(Space::Continuous, 1, vec![entry("a", 2_097_153)]),
        LayoutError::TooManyPieces(2_097_153)
    );
    let none = Layout::new(Space::Continuous, 1, vec![]).unwrap();
    assert_eq!((none.pieces(), none.piece_len(0), none.blocks(0), none.files_of(0)), (0, 0, 0, 0..0));
}

#[test]
fn wild_ranges_are_clipped() {
    let layout = layout(Space::Continuous, vec![entry("a", 40_000)]);
    assert_eq!(layout.spans(u32::MAX, u32::MAX, u32::MAX).count(), 0);
    assert_eq!(layout.spans(0, u32::MAX, u32::MAX).count(), 0);
    assert_eq!(layout.spans(1, 7232, 1).count(), 0);
    assert_eq!(layout.block(0, u32::MAX).len, 0);
    for block in [(0, 0, 0), (0, 1, 32_768), (2, 0, 1), (0, u32::MAX, u32::MAX), (1, 0, 7233)] {
        let (piece, begin, len) = block;
        assert!(!layout.contains(Block { piece, begin, len }), "{block:?}");
    }
    assert!(layout.contains(Block { piece: 1, begin: 7231, len: 1 }));
}

fn any_layout() -> impl Strategy<Value = Layout> {
    let len = prop_oneof![Just(0u64), 1..200u64, 1..200_000u64, Just(16_384u64), Just(32_768u64)];
    let files = proptest::collection::vec((len, any::<bool>()), 1..12);
    (files, any::<bool>(), 14..17u32, 1..40_000u64).prop_map(|(files, aligned, shift, odd)| {
        let one = |(len, is_pad): (u64, bool)| if is_pad && !aligned { pad(len) } else { entry("x", len) };
        let (space, piece_len) =
            if aligned { (Space::Aligned, 1 << shift) } else { (Space::Continuous, odd) };
        Layout::new(space, piece_len, files.into_iter().map(one).collect()).unwrap()
    })
}

proptest! {
    /// Every byte of every file is in exactly one place, in order.
    #[test]
    fn spans_cover_every_byte_once(layout in any_layout()) {
        let mut next: Vec<u64> = vec![0; layout.files().len()];
        let mut payload = 0;
        for piece in 0..layout.pieces() {
            let mut len = 0;
            for span in layout.spans(piece, 0, layout.nominal_piece_len()) {
                prop_assert!(span.len > 0);
                prop_assert_eq!(span.file_offset, next[span.file]);
                prop_assert!(layout.files()[span.file].pieces.contains(&piece));
                prop_assert!(layout.files_of(piece).contains(&span.file));
                prop_assert_eq!(span.pad, layout.files()[span.file].is_pad());
                next[span.file] += u64::from(span.len);
                len += span.len;
            }
            prop_assert_eq!(len, layout.piece_len(piece));
            payload += u64::from(layout.payload_len(piece));
        }
        let lens: Vec<u64> = layout.files().iter().map(|file| file.len).collect();
        prop_assert_eq!(next, lens);
        prop_assert_eq!(payload, layout.total_len());
        for (index, file) in layout.files().iter().enumerate() {
            for piece in file.pieces.clone() {
                prop_assert!(layout.spans(piece, 0, u32::MAX).any(|span| span.file == index));
            }
        }
    }

    /// Blocks follow each other, are whole but for the last, and leave out nothing real.
    #[test]
    fn blocks_make_up_the_data_of_a_piece(layout in any_layout()) {
        for piece in 0..layout.pieces() {
            let blocks = layout.blocks(piece);
            prop_assert!(blocks > 0);
            let mut at = 0;
            for index in 0..blocks {
                let block = layout.block(piece, index);
                prop_assert_eq!(block.begin, at);
                prop_assert!(block.len == BLOCK_LEN || index + 1 == blocks);
                prop_assert!(layout.contains(block));
                at += block.len;
            }
            prop_assert_eq!(at, layout.data_len(piece));
            prop_assert!(at <= layout.piece_len(piece));
            // After the data come pads only.
            let rest = layout.piece_len(piece) - at;
            prop_assert!(layout.spans(piece, at, rest).all(|span| span.pad));
        }
    }

    /// Any range equals the same bytes one by one.
    #[test]
    fn ranges_agree_with_single_bytes(
        layout in any_layout(), piece in 0..6u32, begin in 0..40_000u32, len in 0..200u32,
    ) {
        let whole: Vec<(usize, u64)> = layout
            .spans(piece, begin, len)
            .flat_map(|span| (0..u64::from(span.len)).map(move |at| (span.file, span.file_offset + at)))
            .collect();
        let single: Vec<(usize, u64)> = (begin..begin + len)
            .flat_map(|at| layout.spans(piece, at, 1))
            .map(|span| (span.file, span.file_offset))
            .collect();
        prop_assert_eq!(whole, single);
    }
}
