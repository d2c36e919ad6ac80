#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use crate::{
    File,
    testing::{holiday, make, pattern},
};
use proptest::prelude::*;

const VERSIONS: [Version; 3] = [Version::V1, Version::V2, Version::Hybrid];
/// Piece hashes of one piece, and of two.
const P1: &str = "6:pieces20:aaaaaaaaaaaaaaaaaaaa";
const P2: &str = "6:pieces40:aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb";
const ROOT: &str = "11:pieces root32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";

fn parse(info: &str) -> Result<Info, MetainfoError> {
    Info::parse(info.as_bytes())
}

fn single(len: &str, piece_len: &str) -> Result<Info, MetainfoError> {
    parse(&format!("d6:lengthi{len}e4:name1:x12:piece lengthi{piece_len}e{P1}e"))
}

/// A version 1 folder of one piece of 16 KiB.
fn folder(files: &str) -> Result<Info, MetainfoError> {
    parse(&format!("d5:filesl{files}e4:name1:x12:piece lengthi16384e{P1}e"))
}

fn tree(tree: &str) -> Result<Info, MetainfoError> {
    parse(&format!("d9:file treed{tree}e12:meta versioni2e4:name1:x12:piece lengthi16384ee"))
}

fn paths(info: &Info) -> Vec<&str> {
    info.layout.files().iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn what_is_made_reads_back() {
    for version in VERSIONS {
        let made = holiday(version, 32 * 1024).metainfo;
        let bytes = made.encode();
        let read = Metainfo::parse(&bytes).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.encode(), bytes);
        assert_eq!(Info::parse(read.info.raw()).unwrap(), *read.info);
        assert_eq!(read.info.raw_paths().len(), read.info.layout.files().len());
        assert_eq!(read.info.name, "holiday");
    }
}

#[test]
fn a_private_copy_has_another_infohash_and_the_same_content() {
    for version in VERSIONS {
        let made = holiday(version, 32 * 1024).metainfo;
        let private = made.clone().with_private();
        assert!(private.info.private && !made.info.private);
        assert_ne!(private.info.hashes, made.info.hashes);
        assert_eq!(private.info.layout, made.info.layout);
        assert_eq!(private.info.v1_hash(1), made.info.v1_hash(1));
        assert_eq!(private.clone().with_private(), private);
        assert_eq!(Metainfo::parse(&private.encode()).unwrap(), private);
    }
    // From a dictionary in no canonical form.
    let unsorted = format!("d4:name1:x6:lengthi5e{P1}12:piece lengthi16384e4:name1:ye");
    let metainfo = Metainfo::new(Arc::new(parse(&unsorted).unwrap())).with_private();
    let expected = format!("d6:lengthi5e4:name1:x12:piece lengthi16384e{P1}7:privatei1ee");
    assert_eq!(metainfo.info.raw(), expected.as_bytes());
}

/// One defect each, with its name (threats.md P1, P8).
#[test]
fn each_defect_has_its_error() {
    use MetainfoError as E;
    let error = |info: Result<Info, E>| info.unwrap_err();
    assert_eq!(error(parse("le")), E::NoInfo);
    assert_eq!(error(parse("i1e")), E::NoInfo);
    assert!(matches!(error(parse("d")), E::Bencode(_)));
    assert!(matches!(error(parse("")), E::Bencode(_)));
    assert_eq!(error(parse("dede")), E::Trailing);
    assert_eq!(error(parse("de")), E::NoPieceLen);
    assert_eq!(error(parse("d12:piece length1:xe")), E::NoPieceLen);
    assert_eq!(error(single("5", "-1")), E::NoPieceLen);
    assert_eq!(error(single("5", "0")), E::Layout(LayoutError::PieceLen(0)));
    assert_eq!(error(single("5", "2147483648")), E::Layout(LayoutError::PieceLen(1 << 31)));
    assert_eq!(error(parse("d12:piece lengthi16384ee")), E::NoName);
    assert_eq!(error(parse("d4:namei1e12:piece lengthi16384ee")), E::NoName);
    assert_eq!(error(parse(&format!("d6:lengthi5e4:name2:..12:piece lengthi16384e{P1}e"))), E::NoName);
    assert_eq!(error(parse(&format!("d4:name1:x12:piece lengthi16384e{P1}e"))), E::FileLen);
    assert_eq!(error(single("-5", "16384")), E::FileLen);
    assert_eq!(error(single("0", "16384")), E::NoContent);
    assert_eq!(error(single("5", "1")), E::PiecesLen { got: 20, wanted: 100 });
    assert_eq!(error(single("9223372036854775807", "16384")), E::Layout(LayoutError::TooManyPieces(1 << 49)));
    assert!(matches!(error(single("9223372036854775808", "16384")), E::Bencode(_)));
    assert_eq!(
        error(parse(&format!("d6:lengthi16385e4:name1:x12:piece lengthi16384e{P1}e"))),
        E::PiecesLen { got: 20, wanted: 40 }
    );
    assert_eq!(error(parse("d6:lengthi5e4:name1:x12:piece lengthi16384ee")), E::NoPieces);
    assert_eq!(error(parse("d6:lengthi5e4:name1:x12:piece lengthi16384e6:piecesi0ee")), E::NoPieces);
    // Lists of files.
    assert_eq!(error(parse("d5:filesi0e4:name1:x12:piece lengthi16384ee")), E::BadEntry);
    assert_eq!(error(folder("")), E::NoFiles);
    assert_eq!(error(folder("i1e")), E::BadEntry);
    assert_eq!(error(folder("d4:pathl1:aee")), E::FileLen);
    assert_eq!(error(folder("d6:lengthi-1e4:pathl1:aee")), E::FileLen);
    assert_eq!(error(folder("d6:lengthi5ee")), E::NoPath);
    assert_eq!(error(folder("d6:lengthi5e4:pathlee")), E::NoPath);
    assert_eq!(error(folder("d6:lengthi5e4:pathli1eee")), E::BadPath);
    assert_eq!(error(folder("d6:lengthi5e4:path1:ae")), E::NoPath);
    assert_eq!(error(folder(&format!("d6:lengthi5e4:pathl{}ee", "1:a".repeat(101)))), E::TooDeep);
    assert_eq!(error(folder("d4:attr1:l6:lengthi0e4:pathl1:ae12:symlink pathli0eee")), E::BadPath);
    let long = i64::MAX;
    let both = format!("d6:lengthi{long}e4:pathl1:aeed6:lengthi{long}e4:pathl1:bee");
    assert!(matches!(error(folder(&both)), E::Layout(_)));
    assert_eq!(error(folder(&"d6:lengthi1e4:pathl1:aee".repeat(1000))), E::Collisions(TooManyCollisions));
    // Trees.
    let file = format!("d0:d6:lengthi5e{ROOT}ee");
    assert_eq!(error(parse("d9:file treede4:name1:x12:piece lengthi16384ee")), E::NoVersion);
    assert_eq!(error(parse("d12:meta versioni2e4:name1:x12:piece lengthi16384ee")), E::NoFileTree);
    assert_eq!(error(parse("d12:meta versioni3e4:name1:x12:piece lengthi16384ee")), E::Version(3));
    assert_eq!(error(tree("")), E::NoFiles);
    assert_eq!(error(tree("1:ai1e")), E::BadEntry);
    assert_eq!(error(tree(&format!("0:{file}"))), E::BadEntry);
    assert_eq!(error(tree(&format!("1:ad0:{}1:b{file}e", &file[3..file.len() - 1]))), E::BadEntry);
    assert_eq!(error(tree("1:ad0:i1ee")), E::BadEntry);
    assert_eq!(error(tree("1:ad0:dee")), E::FileLen);
    assert_eq!(error(tree("1:ad0:d6:lengthi-1eee")), E::FileLen);
    assert_eq!(error(tree("1:ad0:d6:lengthi5eee")), E::NoRoot);
    assert_eq!(
        error(tree("1:ad0:d6:lengthi5e11:pieces root31:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrree")),
        E::NoRoot
    );
    let zeros = "\0".repeat(32);
    assert_eq!(error(tree(&format!("1:ad0:d6:lengthi5e11:pieces root32:{zeros}ee"))), E::NoRoot);
    assert_eq!(error(tree(&format!("1:ad0:d4:attr1:p6:lengthi5e{ROOT}ee"))), E::PadInTree);
    assert_eq!(error(tree("1:ad0:d6:lengthi0eee")), E::NoContent);
    let unsorted = tree(&format!("1:b{file}1:a{file}"));
    assert!(matches!(error(unsorted), E::NotCanonical(_)));
    let piece_lens = [1, 8192, 16_385, 49_152];
    for piece_len in piece_lens {
        let info = format!("d9:file treed1:a{file}e12:meta versioni2e4:name1:x12:piece lengthi{piece_len}ee");
        assert_eq!(error(parse(&info)), E::Layout(LayoutError::PieceLen(piece_len)));
    }
    let deep = |depth: usize| format!("{}1:a{file}{}", "1:dd".repeat(depth), "e".repeat(depth));
    // Bencode's own limit of nested values comes first.
    assert!(matches!(error(tree(&deep(100))), E::Bencode(_)));
    assert!(tree(&deep(90)).is_ok());
}

#[test]
fn hybrids_must_agree_with_themselves() {
    let hybrid = |tree: &str, list: &str| {
        parse(&format!(
            "d9:file treed{tree}e5:filesl{list}e12:meta versioni2e4:name1:x12:piece lengthi16384e{P2}e"
        ))
    };
    let file = |name: &str, len: u32| format!("{}:{name}d0:d6:lengthi{len}e{ROOT}ee", name.len());
    let item = |name: &str, len: u32| format!("d6:lengthi{len}e4:pathl{}:{name}ee", name.len());
    let pad = |len: u32| format!("d4:attr1:p6:lengthi{len}e4:pathl4:.pad1:1ee");
    let tree = file("a", 5) + &file("b", 6);
    let good = hybrid(&tree, &(item("a", 5) + &pad(16_379) + &item("b", 6))).unwrap();
    assert_eq!((good.version, good.layout.pieces()), (Version::Hybrid, 2));
    assert!(good.hashes.v1.is_some() && good.hashes.v2.is_some());
    assert_eq!(good.layout.files()[2].root, Some([b'r'; 32]));
    // A pad at the end, or none; empty files in one list only.
    assert!(hybrid(&tree, &(item("a", 5) + &pad(16_379) + &item("b", 6) + &pad(16_378))).is_ok());
    assert!(hybrid(&tree, &(item("a", 5) + &pad(16_379) + &item("b", 6) + &item("c", 0))).is_ok());
    for list in [
        item("a", 5) + &item("b", 6),
        item("a", 5) + &pad(16_378) + &item("b", 6),
        item("a", 5) + &pad(16_379) + &item("c", 6),
        item("a", 5) + &pad(16_379) + &item("b", 7),
        item("b", 6) + &pad(16_378) + &item("a", 5),
        item("a", 5),
        item("a", 5) + &pad(16_379) + &item("b", 6) + &pad(16_378) + &item("c", 1),
        pad(16_384) + &pad(16_384),
        // Version 2 would not leave out a whole piece, before, between or behind.
        pad(16_384) + &item("a", 5) + &pad(16_379) + &item("b", 6),
        item("a", 5) + &pad(16_379 + 16_384) + &item("b", 6),
        item("a", 5) + &pad(16_379) + &item("b", 6) + &pad(16_379),
    ] {
        assert_eq!(hybrid(&tree, &list).unwrap_err(), MetainfoError::Inconsistent, "{list}");
    }
    let single = |name: &str, len: u32| {
        let tree = file("x", 5);
        parse(&format!(
            "d9:file treed{tree}e6:lengthi{len}e12:meta versioni2e4:name1:{name}12:piece lengthi16384e{P1}e"
        ))
    };
    assert!(!single("x", 5).unwrap().folder);
    assert_eq!(single("y", 5).unwrap_err(), MetainfoError::Inconsistent);
    assert_eq!(single("x", 6).unwrap_err(), MetainfoError::Inconsistent);
}

#[test]
fn tolerated_oddities() {
    // Unordered and repeated keys in version 1: the first value counts.
    let odd = parse(&format!("d4:name1:a6:lengthi5e12:piece lengthi16384e{P1}6:lengthi7ee")).unwrap();
    assert_eq!((odd.name.as_str(), odd.layout.total_len()), ("a", 5));
    // Names in another encoding beside the one in UTF-8.
    let utf8 = folder("d6:lengthi5e4:pathl1:\u{1}e10:path.utf-8l2:\u{e9}ee").unwrap();
    assert_eq!(paths(&utf8), ["\u{e9}"]);
    // Pads without a path, and those of BitComet.
    let pads = "d6:lengthi5e4:pathl1:aeed4:attr1:p6:lengthi7eed6:lengthi3e4:pathl22:_____padding_file_0_ifee";
    let pads = folder(pads).unwrap();
    assert_eq!(pads.layout.files().iter().map(File::is_pad).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!((pads.layout.total_len(), pads.layout.space_len()), (5, 15));
    // A folder whose name is nothing is called by its infohash.
    let nameless =
        parse(&format!("d5:filesld6:lengthi5e4:pathl1:aeee4:name1:/12:piece lengthi16384e{P1}e")).unwrap();
    assert_eq!(nameless.name, nameless.hashes.v1.unwrap().to_string());
    // A version 2 file whose name is not that of the torrent, and an empty folder beside it.
    let one = tree(&format!("1:ad0:d6:lengthi5e{ROOT}ee")).unwrap();
    assert_eq!((one.folder, one.name.as_str(), paths(&one)), (false, "x", vec!["a"]));
    assert_eq!(one.raw_paths(), [[b"a"]]);
    let below = tree(&format!("1:ad1:bd0:d6:lengthi5e{ROOT}eee1:cde")).unwrap();
    assert_eq!((below.folder, paths(&below)), (true, vec!["a/b"]));
}

#[test]
fn symbolic_links_are_listed_and_never_stored() {
    let list = "d6:lengthi5e4:pathl1:aeed4:attr1:l6:lengthi9e4:pathl1:be12:symlink pathl2:..6:shadowee\
                d4:attr1:l6:lengthi1e4:pathl1:cee";
    let info = folder(list).unwrap();
    let links: Vec<_> = info.layout.files().iter().map(|file| (file.attr.symlink, file.len)).collect();
    // Without a target it is a file like any other.
    assert_eq!(links, [(false, 5), (true, 0), (false, 1)]);
    assert!(!info.layout.files()[1].attr.is_stored());
    let tree = tree(&format!("1:ad0:d6:lengthi5e{ROOT}ee1:bd0:d4:attr1:l12:symlink pathl2:..eee")).unwrap();
    assert_eq!(tree.layout.files().iter().map(|file| file.attr.symlink).collect::<Vec<_>>(), [false, true]);
}

/// Hostile names through both ways into a torrent (threats.md P6).
#[test]
fn hostile_paths_stay_inside() {
    let names: [&[u8]; 14] = [
        b"..",
        b"../../x",
        b"/etc/passwd",
        b"..\\..\\x",
        b"C:\\x",
        b"a\0/../b",
        b"CON",
        b"\xc0\xae\xc0\xae",
        b"\xe2\x80\xae..",
        b". .",
        b"%2e%2e",
        b"\\\\?\\x",
        b".",
        b"~/x",
    ];
    for name in names {
        let string = [name.len().to_string().as_bytes(), b":", name].concat();
        let list = [b"d5:filesld6:lengthi5e4:pathl", &*string, &*string, b"eee4:name", &*string].concat();
        let v1 = [&*list, b"12:piece lengthi16384e", P1.as_bytes(), b"e"].concat();
        let leaf = [b"d0:d6:lengthi5e", ROOT.as_bytes(), b"ee"].concat();
        let tree =
            [b"d9:file treed", &*string, b"d", &*string, &*leaf, b"ee12:meta versioni2e4:name", &*string];
        let v2 = [&*tree.concat(), b"12:piece lengthi16384ee"].concat();
        for (version, raw) in [(Version::V1, v1), (Version::V2, v2)] {
            let info = Info::parse(&raw).unwrap();
            assert_eq!((info.version, info.folder), (version, true));
            let path = info.layout.files()[0].path.as_str();
            for part in path.split('/').chain([&*info.name]) {
                assert!(
                    !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', '\u{202e}']),
                    "{path:?}"
                );
            }
            assert_eq!(path.split('/').count(), 2, "{path:?}");
            assert_eq!(info.raw_paths(), [[name, name]]);
        }
    }
}

#[test]
fn piece_layers_must_fit() {
    let made = holiday(Version::V2, 32 * 1024).metainfo;
    let info = made.info.raw();
    let with = |layers: &[u8]| {
        Metainfo::parse(&[b"d4:info", info, b"12:piece layers", layers, b"e"].concat())
            .map(|metainfo| metainfo.piece_layers.len())
    };
    let (root, tree) = made.piece_layers.iter().next().unwrap();
    let layer = tree.nodes().as_flattened();
    let entry = |root: &[u8], layer: &[u8]| {
        let (root_len, layer_len) = (root.len(), layer.len());
        [format!("{root_len}:").as_bytes(), root, format!("{layer_len}:").as_bytes(), layer].concat()
    };
    let dict = |entry: &[u8]| [b"d", entry, b"e"].concat();
    // None, or some: the rest comes from peers.
    assert_eq!(with(b"de"), Ok(0));
    assert_eq!(with(&dict(&entry(root, layer))), Ok(1));
    assert_eq!(Metainfo::parse(&[b"d4:info", info, b"e"].concat()).unwrap().piece_layers.len(), 0);
    let mut flipped = layer.to_vec();
    flipped[40] ^= 1;
    assert_eq!(with(&dict(&entry(root, &flipped))), Err(MetainfoError::PieceLayerRoot));
    for bad in [
        b"le".to_vec(),
        dict(&entry(&[7; 32], layer)),
        dict(&entry(&root[1..], layer)),
        dict(&entry(root, &layer[32..])),
        dict(&entry(root, &layer[1..])),
        dict(&[&entry(root, layer)[..35], b"i1e"].concat()),
        dict(&entry(root, layer).repeat(2)),
    ] {
        assert_eq!(with(&bad), Err(MetainfoError::PieceLayer), "{}", bad.escape_ascii());
    }
}

#[test]
fn advice_around_the_info_is_taken_where_it_is_sound() {
    let info = format!("4:infod6:lengthi5e4:name1:x12:piece lengthi16384e{P1}e");
    let outer =
        |before: &str, after: &str| Metainfo::parse(format!("d{before}{info}{after}e").as_bytes()).unwrap();
    let tiers = outer("8:announce3:u:013:announce-listll3:u:13: u2eli1e3:u:3elei7ee", "");
    assert_eq!(tiers.trackers, [vec!["u:1", "u2"], vec!["u:3"]]);
    assert_eq!(outer("8:announce3:u:013:announce-listle", "").trackers, [["u:0"]]);
    assert_eq!(outer("8:announce5:a\r\nb:", "").trackers, Vec::<Vec<String>>::new());
    assert_eq!(outer("", "8:url-list3:w:0").web_seeds, ["w:0"]);
    assert_eq!(outer("", "8:url-listl3:w:03:w:0i1e3:w:1e").web_seeds, ["w:0", "w:1"]);
    assert_eq!(outer("", "8:url-list0:").web_seeds, Vec::<String>::new());
    let nodes = outer("", "5:nodesll4:hosti6881eel4:hosti70000eel1:heli1ei1eee").nodes;
    assert_eq!(nodes, [("host".to_owned(), 6881)]);
    let odd = outer("7:comment4:a\x1b\nb10:created byi1e13:creation datei-1e", "");
    assert_eq!((odd.comment.as_deref(), odd.created_by, odd.creation_date), (Some("a  b"), None, None));
    let error = |bytes: &str| Metainfo::parse(bytes.as_bytes()).unwrap_err();
    assert_eq!(error("le"), MetainfoError::NotDict);
    assert_eq!(error("de"), MetainfoError::NoInfo);
    assert_eq!(error("d4:info1:xe"), MetainfoError::NoInfo);
    assert_eq!(error("d4:infoi1ee"), MetainfoError::NoInfo);
}

#[test]
fn many_files_and_pieces_are_loaded_or_refused() {
    let many = |count: usize| {
        let files: String = (0..count).map(|n| format!("d6:lengthi1e4:pathl1:d7:{n:07}ee")).collect();
        let hashes = "a".repeat(count.div_ceil(16_384) * 20);
        let bytes = hashes.len();
        parse(&format!("d5:filesl{files}e4:name1:x12:piece lengthi16384e6:pieces{bytes}:{hashes}e"))
    };
    let info = many(100_000).unwrap();
    assert_eq!((info.layout.files().len(), info.layout.pieces()), (100_000, 7));
    // 3,000,000 values of bencode come to fewer files than this.
    assert!(matches!(many(500_000), Err(MetainfoError::Bencode(_))));
    let pieces = |count: u64| {
        let hashes = "a".repeat(count as usize * 20);
        let (len, bytes) = (count * 16_384, hashes.len());
        parse(&format!("d6:lengthi{len}e4:name1:x12:piece lengthi16384e6:pieces{bytes}:{hashes}e"))
    };
    assert_eq!(pieces(2_097_152).unwrap().v1_hash(2_097_151), Some([b'a'; 20]));
    assert_eq!(pieces(2_097_153).unwrap_err(), MetainfoError::Layout(LayoutError::TooManyPieces(2_097_153)));
}

#[test]
fn many_trackers_and_web_seeds_are_bounded() {
    use peerage_base::limits::{TRACKERS_MAX, WEB_SEEDS_MAX};
    let info = format!("4:infod6:lengthi5e4:name1:x12:piece lengthi16384e{P1}e");
    let tiers: String = (1000..2000).map(|n| format!("l4:{n}e")).collect();
    let seeds: String = (1000..2000).map(|n| format!("4:{n}")).collect();
    let metainfo =
        Metainfo::parse(format!("d13:announce-listl{tiers}e{info}8:url-listl{seeds}ee").as_bytes()).unwrap();
    assert_eq!(metainfo.trackers.len(), TRACKERS_MAX);
    assert_eq!(metainfo.web_seeds.len(), WEB_SEEDS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A torrent with some bytes changed is read or refused; what is read has sound geometry.
    #[test]
    fn no_change_of_bytes_panics(
        version in proptest::sample::select(&VERSIONS),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let files = [("a", pattern(1, 40_000)), ("b/c", pattern(2, 5))];
        let mut bytes = make(version, 16 * 1024, true, &files).metainfo.encode();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        if let Ok(metainfo) = Metainfo::parse(&bytes) {
            let layout = &metainfo.info.layout;
            let sum: u64 = layout.files().iter().filter(|file| !file.is_pad()).map(|file| file.len).sum();
            prop_assert_eq!(layout.total_len(), sum);
            for piece in 0..layout.pieces() {
                prop_assert!(layout.data_len(piece) > 0);
                prop_assert!(!metainfo.info.version.has_v1() || metainfo.info.v1_hash(piece).is_some());
            }
            prop_assert_eq!(Metainfo::parse(&metainfo.encode()), Ok(metainfo));
        }
    }
}
