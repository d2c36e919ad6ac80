#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::ErrorKind as E;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A document as a tree that owns itself, to compare with.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(BTreeMap<Vec<u8>, Tree>),
}

fn encode(tree: &Tree, out: &mut Encoder) {
    match tree {
        Tree::Int(number) => out.int(*number),
        Tree::Bytes(bytes) => out.bytes(bytes),
        Tree::List(items) => out.list(|list| items.iter().for_each(|item| encode(item, list))),
        Tree::Dict(entries) => out.dict(|dict| {
            for (key, value) in entries {
                dict.entry(key, |encoder| encode(value, encoder));
            }
        }),
    }
}

fn tree(value: Value<'_>) -> Tree {
    match value.kind() {
        Kind::Int => Tree::Int(value.as_int().unwrap()),
        Kind::Bytes => Tree::Bytes(value.as_bytes().unwrap().to_vec()),
        Kind::List => Tree::List(value.as_list().unwrap().iter().map(tree).collect()),
        Kind::Dict => {
            let entries = value.as_dict().unwrap().iter();
            Tree::Dict(entries.map(|(key, value)| (key.to_vec(), tree(value))).collect())
        }
    }
}

fn arbitrary_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Tree::Int),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
            prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..6), inner, 0..8)
                .prop_map(Tree::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_strictly_to_the_same(original in arbitrary_tree()) {
        let mut encoder = Encoder::new();
        encode(&original, &mut encoder);
        let bytes = encoder.finish();
        let document = decode(&bytes, Limits::TORRENT.strict()).unwrap();
        prop_assert_eq!(document.root().raw(), &bytes[..]);
        prop_assert_eq!(tree(document.root()), original);
    }

    #[test]
    fn what_is_strictly_accepted_is_canonical(bytes in prop::collection::vec(prop::sample::select(b"0123ield:-x".to_vec()), 0..12)) {
        if let Ok(document) = decode(&bytes, Limits::MESSAGE.strict()) {
            let mut encoder = Encoder::new();
            encode(&tree(document.root()), &mut encoder);
            prop_assert_eq!(encoder.finish(), bytes);
        }
    }

    #[test]
    fn strict_accepts_less_than_lenient(bytes in prop::collection::vec(prop::sample::select(b"0123ield:-x".to_vec()), 0..12)) {
        if decode(&bytes, Limits::MESSAGE.strict()).is_ok() {
            prop_assert!(decode(&bytes, Limits::MESSAGE).is_ok());
        }
    }

    #[test]
    fn every_part_lies_where_its_span_says(original in arbitrary_tree()) {
        let mut encoder = Encoder::append_to(b"l".to_vec());
        encode(&original, &mut encoder);
        let mut bytes = encoder.finish();
        bytes.extend_from_slice(b"ei7e");
        let (document, rest) = decode_prefix(&bytes, Limits::TORRENT).unwrap();
        prop_assert_eq!(rest, b"i7e");
        let inner = document.root().as_list().unwrap().iter().next().unwrap();
        prop_assert_eq!(inner.raw(), &bytes[inner.span()]);
        prop_assert_eq!(tree(decode(inner.raw(), Limits::TORRENT.strict()).unwrap().root()), original);
    }
}

/// `None`: accepted.
fn verdict(bytes: &[u8], limits: Limits) -> Option<E> {
    decode(bytes, limits).err().map(|error| error.kind)
}

/// Literal inputs (threats.md P3): input, what lenient decoding says, what strict decoding says.
///
/// The lenient verdicts equal libtorrent's `bdecode`, with one exception: an integer outside of
/// `i64` of up to 20 digits, which libtorrent accepts and then reads as 0, is refused here.
const VERDICTS: &[(&[u8], Option<E>, Option<E>)] = &[
    // Integers.
    (b"i0e", None, None),
    (b"i12453e", None, None),
    (b"i-1e", None, None),
    (b"i9223372036854775807e", None, None),
    (b"i-9223372036854775807e", None, None),
    (b"i-9223372036854775808e", None, None),
    (b"i9223372036854775808e", Some(E::Range), Some(E::Range)),
    (b"i-9223372036854775809e", Some(E::Range), Some(E::Range)),
    (b"i18446744073709551615e", Some(E::Range), Some(E::Range)),
    (b"i18446744073709551616e", Some(E::Range), Some(E::Range)),
    (b"i184467440737095516154e", Some(E::Range), Some(E::Range)),
    (b"i-0e", None, Some(E::Canonical)),
    (b"i00e", None, Some(E::Canonical)),
    (b"i01e", None, Some(E::Canonical)),
    (b"i-01e", None, Some(E::Canonical)),
    (b"ie", Some(E::Digit), Some(E::Digit)),
    (b"i-e", Some(E::Digit), Some(E::Digit)),
    (b"i--1e", Some(E::Digit), Some(E::Digit)),
    (b"i+1e", Some(E::Digit), Some(E::Digit)),
    (b"i 1e", Some(E::Digit), Some(E::Digit)),
    (b"i1.5e", Some(E::Digit), Some(E::Digit)),
    (b"i35412-5633e", Some(E::Digit), Some(E::Digit)),
    (b"i92337203t854775807e", Some(E::Digit), Some(E::Digit)),
    (b"i", Some(E::End), Some(E::End)),
    (b"i-", Some(E::End), Some(E::End)),
    (b"i10", Some(E::End), Some(E::End)),
    // Strings.
    (b"0:", None, None),
    (b"26:abcdefghijklmnopqrstuvwxyz", None, None),
    (b"3:\x00\xff:", None, None),
    (b"06:foobar", None, Some(E::Canonical)),
    (b"00:", None, Some(E::Canonical)),
    (b"-10:foobar", Some(E::Value), Some(E::Value)),
    (b"100:..", Some(E::End), Some(E::End)),
    (b"99999999:foobar", Some(E::End), Some(E::End)),
    (b"4294967296:foobar", Some(E::End), Some(E::End)),
    (b"18446744073709551615:foobar", Some(E::End), Some(E::End)),
    (b"18446744073709551616:foobar", Some(E::Range), Some(E::Range)),
    (b"1", Some(E::End), Some(E::End)),
    (b"1:", Some(E::End), Some(E::End)),
    (b"1x", Some(E::Colon), Some(E::Colon)),
    (b"1-:a", Some(E::Colon), Some(E::Colon)),
    // Lists.
    (b"le", None, None),
    (b"li12453e3:aaae", None, None),
    (b"l", Some(E::End), Some(E::End)),
    (b"l2:..", Some(E::End), Some(E::End)),
    (b"l2:..0", Some(E::End), Some(E::End)),
    (b"li1e", Some(E::End), Some(E::End)),
    // Dictionaries.
    (b"de", None, None),
    (b"d0:i1ee", None, None),
    (b"d1:ai12453e1:b3:aaae", None, None),
    (b"d3:a\x00bi1ee", None, None),
    (b"d1:ai1e2:aai2ee", None, None),
    (b"d2:bai1e2:aai2ee", None, Some(E::Unsorted)),
    (b"d2:aai1e1:ai2ee", None, Some(E::Unsorted)),
    (b"d1:bi1e1:Bi2ee", None, Some(E::Unsorted)),
    (b"d2:aai1e2:aai2ee", None, Some(E::Repeated)),
    (b"d0:i1e0:i2ee", None, Some(E::Repeated)),
    (b"d1:ad1:bi1ee1:ai2ee", None, Some(E::Repeated)),
    (b"d", Some(E::End), Some(E::End)),
    (b"d1:a", Some(E::End), Some(E::End)),
    (b"d1:ae", Some(E::NoValue), Some(E::NoValue)),
    (b"d1:ai1e1:be", Some(E::NoValue), Some(E::NoValue)),
    (b"di5e1:ae", Some(E::Key), Some(E::Key)),
    (b"dlei1ee", Some(E::Key), Some(E::Key)),
    (b"ddei1ee", Some(E::Key), Some(E::Key)),
    (b"df00:", Some(E::Key), Some(E::Key)),
    (b"d-1:ai1ee", Some(E::Key), Some(E::Key)),
    (b"d1000:..e", Some(E::End), Some(E::End)),
    (b"d1000:", Some(E::End), Some(E::End)),
    (b"d1000", Some(E::End), Some(E::End)),
    (b"d1:a1919191010:11111", Some(E::End), Some(E::End)),
    (b"d2143289344:a4:aaaae", Some(E::End), Some(E::End)),
    (b"d9205357638345293824:a4:aaaae", Some(E::End), Some(E::End)),
    // The document.
    (b"", Some(E::End), Some(E::End)),
    (b"e", Some(E::Value), Some(E::Value)),
    (b":", Some(E::Value), Some(E::Value)),
    (b" i1e", Some(E::Value), Some(E::Value)),
    (b"\xef\xbb\xbfde", Some(E::Value), Some(E::Value)),
    (b"<html>", Some(E::Value), Some(E::Value)),
    (b"i1ei2e", None, Some(E::Trailing)),
    (b"de\n", None, Some(E::Trailing)),
    (b"lee", None, Some(E::Trailing)),
    (b"0:x", None, Some(E::Trailing)),
];

#[test]
fn verdicts_on_literal_inputs() {
    for (input, lenient, strict) in VERDICTS {
        assert_eq!(verdict(input, Limits::TORRENT), *lenient, "lenient {}", input.escape_ascii());
        assert_eq!(verdict(input, Limits::TORRENT.strict()), *strict, "strict {}", input.escape_ascii());
    }
}

#[test]
fn an_error_names_its_place() {
    let error = decode(b"d1:ai1e1:bi-ee", Limits::TORRENT).unwrap_err();
    assert_eq!(error, Error { kind: E::Digit, offset: 12 });
    assert_eq!(error.to_string(), "expected a digit at byte 12");
    assert_eq!(decode(b"i1eX", Limits::TORRENT.strict()).unwrap_err().offset, 3);
}

#[test]
fn tolerated_oddities_have_a_defined_meaning() {
    let int = |bytes: &[u8]| decode(bytes, Limits::TORRENT).unwrap().root().as_int();
    assert_eq!((int(b"i-0e"), int(b"i007e"), int(b"i-07e")), (Some(0), Some(7), Some(-7)));
    let document = decode(b"d1:ai1e1:ai2ee", Limits::TORRENT).unwrap();
    assert_eq!(document.root().as_dict().unwrap().int(b"a"), Some(1));
    let padded = [b"0".repeat(253), b"3:abc".to_vec()].concat();
    assert_eq!(decode(&padded, Limits::TORRENT).unwrap().root().as_bytes(), Some(&b"abc"[..]));
    let padded = [b"0".repeat(300), b"3:abc".to_vec()].concat();
    assert_eq!(verdict(&padded, Limits::TORRENT), Some(E::Range));
}

#[test]
fn getters_give_nothing_for_another_kind() {
    let document =
        decode(b"d1:ai-1e1:b3:foo1:cli1ei2ee1:dd1:xi1ee1:e2:\xff\xfee", Limits::TORRENT.strict()).unwrap();
    let dict = document.root().as_dict().unwrap();
    assert_eq!(
        (dict.int(b"a"), dict.uint(b"a"), dict.int(b"b"), dict.int(b"z")),
        (Some(-1), None, None, None)
    );
    assert_eq!((dict.str(b"b"), dict.bytes(b"a"), dict.bytes(b"c")), (Some("foo"), None, None));
    assert_eq!((dict.str(b"e"), dict.bytes(b"e")), (None, Some(&b"\xff\xfe"[..])));
    assert_eq!(
        dict.list(b"c").unwrap().iter().map(|item| item.as_int().unwrap()).collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(dict.list(b"d").is_none() && dict.dict(b"c").is_none());
    assert_eq!(
        document.root().get(b"d").and_then(|inner| inner.get(b"x")).and_then(|x| x.as_uint()),
        Some(1)
    );
    assert_eq!(dict.get(b"d").unwrap().raw(), b"d1:xi1ee");
    assert_eq!(
        format!("{document:?}"),
        r#"{"a": -1, "b": "foo", "c": [1, 2], "d": {"x": 1}, "e": "\xff\xfe"}"#
    );
}

#[test]
fn limits_hold_exactly() {
    let nested = |depth| [b"l".repeat(depth), b"e".repeat(depth)].concat();
    assert_eq!(verdict(&nested(100), Limits::TORRENT), None);
    assert_eq!(verdict(&nested(101), Limits::TORRENT), Some(E::Depth));
    let items = |count| [b"l".to_vec(), b"0:".repeat(count), b"e".to_vec()].concat();
    let limits = Limits { tokens: 1000, ..Limits::TORRENT };
    assert_eq!(verdict(&items(999), limits), None);
    assert_eq!(verdict(&items(1000), limits), Some(E::Tokens));
    let limits = Limits { bytes: 5, ..Limits::TORRENT };
    assert_eq!((verdict(b"3:abc", limits), verdict(b"4:abcd", limits)), (None, Some(E::Bytes)));
    let none = Limits { depth: 0, tokens: 0, bytes: 0, strict: true };
    assert_eq!((verdict(b"", none), verdict(b"i", none)), (Some(E::End), Some(E::Bytes)));
    assert_eq!(verdict(b"i1e", Limits { bytes: usize::MAX, tokens: 0, ..none }), Some(E::Tokens));
}

/// CVE-2026-57081 and P2: nesting is refused at once and by a flat table, whatever its length. The
/// best of some tries counts, so that a busy machine does not fail the test.
#[test]
#[expect(clippy::disallowed_types, reason = "the bound is one of real time")]
fn bombs_are_refused_quickly() {
    let unbounded = Limits { depth: usize::MAX, ..Limits::TORRENT };
    for unit in ["l", "d1:a", "ld1:a"] {
        let bomb = unit.repeat(150_000).into_bytes();
        let time = |_| {
            let start = std::time::Instant::now();
            assert_eq!(verdict(&bomb, Limits::TORRENT), Some(E::Depth));
            assert_eq!(verdict(&bomb, unbounded), Some(E::End));
            start.elapsed()
        };
        let best = (0..10).map(time).min().unwrap();
        assert!(best < std::time::Duration::from_millis(50), "{best:?}");
    }
}

#[test]
fn a_value_costs_16_bytes() {
    assert_eq!(size_of::<value::Token>(), 16);
}

#[test]
#[should_panic(expected = "keys must ascend")]
fn the_encoder_refuses_unsorted_keys() {
    Encoder::new().dict(|dict| {
        dict.int(b"b", 1);
        dict.int(b"a", 1);
    });
}

#[test]
fn numbers_above_the_format_are_clamped() {
    let mut encoder = Encoder::new();
    encoder.uint(u64::MAX);
    assert_eq!(encoder.finish(), b"i9223372036854775807e");
}
