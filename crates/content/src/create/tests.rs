#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use crate::{
    File,
    testing::{Made, holiday, make, pattern},
};
use data_encoding::HEXLOWER;

/// Infohashes of [`holiday`] and of a single file, with pieces of 32 KiB, as libtorrent 2.1.1 makes
/// them (`create_torrent`, `set_piece_hashes`) from files of the same bytes in the same order.
const GOLDEN: [(bool, Version, &str, &str); 6] = [
    (true, Version::V1, "7b91a56c4d185bb996832fe705f7f0b8a4f05ef5", ""),
    (true, Version::V2, "", "b4b52368347c5ce6e1d76ebd6c63936b30f04cdab44f028eb09591c74769add7"),
    (
        true,
        Version::Hybrid,
        "7905859af1d2c48d9b0f2ffbb36f9b670ecefea6",
        "a873423c980f6d7a2195562e23dd6bcb266b4e22e99a429519668efdb822063b",
    ),
    (false, Version::V1, "0bb87ae76b7cbaea5b6b6c2975226c93322f204c", ""),
    (false, Version::V2, "", "a0c71d6d4926c04827ca419665703b903fccf75d059970d7801f59f951db1549"),
    (
        false,
        Version::Hybrid,
        "8935376b29bd7863b5a617f8a8bcd1ee0656422a",
        "0474cb1b32658e0f849320fdcb5de0a0f1fbcddd0ff2276c8fab6397f545544a",
    ),
];

/// Roots of the files of [`holiday`], and the piece layer of `b/long`: by libtorrent 2.1.1.
const ROOTS: [(&str, &str); 4] = [
    ("a.txt", "b16b61d9778b2d8e1ef6ff219ee6d882adea6b922a2b6f1b591f233941158e63"),
    ("b/long", "cf37eebccc664d24c94479da8076389c1a74c78845f901397284a04b588c06ca"),
    ("c", "9fffd67415731d765d1d0efa5722bd16bfed5a0e2078f56cd19a29a31daadff2"),
    ("d", "e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db"),
];
const LONG_LAYER: [&str; 5] = [
    "8aa700e9861a723c1636a32f85e3bf6b75f88a61974475ef728f1948ea666217",
    "61ce82b05c159bd21fa01bcfb814647968f14284a2fba5e6756f522029f00fd0",
    "1bd2be918ee89b3e031f8dc78cc1fc68b59b1ea28671167dd0b1db1125b257d2",
    "a4cd97b338fd4d4e7ccec05e62098f91078c52a947045813f17cbd78b645affa",
    "f1658497f6301a0ba0a1599678b926b985efbe3775a6f400bdaa76ee7ba5d7b1",
];

fn made(folder: bool, version: Version) -> Made {
    if folder {
        holiday(version, 32 * 1024)
    } else {
        make(version, 32 * 1024, false, &[("single.bin", pattern(9, 300_001))])
    }
}

#[test]
fn infohashes_are_those_of_libtorrent() {
    for (folder, version, v1, v2) in GOLDEN {
        let info = made(folder, version).metainfo.info;
        let text = |hash: Option<String>| hash.unwrap_or_default();
        assert_eq!(text(info.hashes.v1.map(|hash| hash.to_string())), v1, "{folder} {version:?}");
        assert_eq!(text(info.hashes.v2.map(|hash| hash.to_string())), v2, "{folder} {version:?}");
        assert_eq!((info.version, info.folder), (version, folder));
    }
}

#[test]
fn roots_and_piece_layers_are_those_of_libtorrent() {
    for version in [Version::V2, Version::Hybrid] {
        let metainfo = made(true, version).metainfo;
        for (path, root) in ROOTS {
            let file = metainfo.info.layout.files().iter().find(|file| file.path.as_str() == path).unwrap();
            assert_eq!(HEXLOWER.encode(&file.root.unwrap()), root, "{path}");
        }
        let layers: Vec<Vec<String>> = metainfo
            .piece_layers
            .values()
            .map(|tree| tree.nodes().iter().map(|node| HEXLOWER.encode(node)).collect())
            .collect();
        assert_eq!(layers.len(), 2);
        assert_eq!(layers.last().unwrap(), &LONG_LAYER);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_in_any_order() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let files = [("b", pattern(1, 70_000)), ("a/x", pattern(2, 20_000)), ("a.b", pattern(3, 20_000))];
        let mut turned = files.clone();
        turned.reverse();
        let one = make(version, 16 * 1024, true, &files).metainfo;
        let two = make(version, 16 * 1024, true, &turned).metainfo;
        assert_eq!(one.encode(), two.encode());
        let paths: Vec<&str> = one
            .info
            .layout
            .files()
            .iter()
            .filter(|file| !file.is_pad())
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(paths, ["a/x", "a.b", "b"]);
    }
}

#[test]
fn the_layout_of_the_plan_is_that_of_the_torrent() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let files = [("b", 70_000), ("A", 20_000), ("a", 1), ("x/CON", 0)];
        let sources = files.map(|(path, len)| Source {
            path: path.split('/').map(str::to_owned).collect(),
            len,
            executable: path == "A",
        });
        let builder =
            Builder { version, piece_len: Some(16 * 1024), ..Builder::new("n", true, sources.into()) };
        let plan = builder.plan().unwrap();
        assert_eq!(plan.sources().iter().flatten().count(), 4);
        let layout = plan.layout().clone();
        let digests: Vec<PieceDigest> = (0..layout.pieces())
            .map(|piece| {
                let mut digester = plan.digester(piece);
                digester.update(&vec![7; layout.data_len(piece) as usize]);
                digester.finish().unwrap()
            })
            .collect();
        let info = plan.finish(&digests).unwrap().info;
        assert_eq!(info.layout.space_len(), layout.space_len());
        for (planned, made) in layout.files().iter().zip(info.layout.files()) {
            assert_eq!(&File { root: made.root, ..planned.clone() }, made);
        }
        // What the dictionary says is not sanitised; what reaches the disk is.
        let names: Vec<&str> = layout.files().iter().map(|file| file.path.as_str()).collect();
        assert!(names.contains(&"A") && names.contains(&"a.1") && names.contains(&"x/_CON"), "{names:?}");
        assert!(info.raw_paths().contains(&vec![b"x".to_vec(), b"CON".to_vec()]));
        assert_eq!(info.raw_paths().len(), info.layout.files().len());
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let file = |path: &[&str], len| Source {
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        len,
        executable: false,
    };
    let plan = |name: &str, folder, files: Vec<Source>| Builder::new(name, folder, files).plan().map(|_| ());
    assert_eq!(plan("n", true, vec![]), Err(CreateError::Empty));
    assert_eq!(plan("n", true, vec![file(&["a"], 0)]), Err(CreateError::Empty));
    assert_eq!(plan("n", false, vec![file(&["a"], 1), file(&["b"], 1)]), Err(CreateError::NotOneFile(2)));
    assert_eq!(plan("..", true, vec![file(&["a"], 1)]), Err(CreateError::BadName("..".into())));
    for path in [&["a", ".."][..], &["a/b"], &[""], &[], &["a\0b"]] {
        assert!(matches!(plan("n", true, vec![file(path, 1)]), Err(CreateError::BadName(_))), "{path:?}");
    }
    let twice = vec![file(&["a"], 1), file(&["a"], 1)];
    assert_eq!(plan("n", true, twice), Err(CreateError::Duplicate("a".into())));
    let below = vec![file(&["a", "b"], 1), file(&["a.b"], 1), file(&["a"], 1)];
    assert_eq!(plan("n", true, below), Err(CreateError::Duplicate("a/b".into())));
    for piece_len in [0, 1, 8192, 16_385, 3 * 16_384] {
        let builder =
            Builder { piece_len: Some(piece_len), ..Builder::new("n", true, vec![file(&["a"], 1)]) };
        assert_eq!(builder.plan().map(|_| ()), Err(LayoutError::PieceLen(piece_len.into()).into()));
    }
}

#[test]
fn digests_of_a_file_that_changed_are_refused() {
    let file = Source { path: vec!["a".into()], len: 20_000, executable: false };
    let plan = Builder::new("a", false, vec![file]).plan().unwrap();
    let digest = |len: usize| {
        let mut digester = plan.digester(0);
        digester.update(&vec![0; len]);
        digester.finish()
    };
    let whole = digest(16_384).unwrap();
    assert_eq!(digest(16_383), None);
    assert_eq!(digest(16_385), None);
    assert_eq!(plan.clone().finish(&[whole]), Err(CreateError::Digests));
    let half = PieceDigest { v2: None, ..whole };
    assert_eq!(plan.clone().finish(&[whole, half]), Err(CreateError::Digests));
    assert!(plan.finish(&[whole, whole]).is_ok());
}

#[test]
fn piece_length_follows_size() {
    assert_eq!(default_piece_len(0), 16 * 1024);
    assert_eq!(default_piece_len(32 << 20), 16 * 1024);
    assert_eq!(default_piece_len((32 << 20) + 1), 32 * 1024);
    assert_eq!(default_piece_len(2 << 30), 1 << 20);
    assert_eq!(default_piece_len(u64::MAX), 16 << 20);
    for total in (25..35).flat_map(|shift| [1u64 << shift, (1 << shift) + 12_345]) {
        let pieces = total.div_ceil(default_piece_len(total).into());
        assert!((1000..=2048).contains(&pieces), "{total}: {pieces}");
    }
}

#[test]
fn everything_beside_the_info_is_kept() {
    let file = Source { path: vec!["run".into()], len: 5, executable: true };
    let builder = Builder {
        trackers: vec![vec!["http://a/announce".into(), "udp://b:1".into()], vec!["http://c".into()]],
        web_seeds: vec!["http://w/".into()],
        private: true,
        comment: Some("for you".into()),
        created_by: Some("Peerage".into()),
        creation_date: Some(1_700_000_000),
        source: Some("x".into()),
        ..Builder::new("run", false, vec![file])
    };
    let plan = builder.plan().unwrap();
    let mut digester = plan.digester(0);
    digester.update(b"hello");
    let made = plan.finish(&[digester.finish().unwrap()]).unwrap();
    assert!(made.info.private);
    assert_eq!(made.info.source.as_deref(), Some("x"));
    let read = Metainfo::parse(&made.encode()).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.trackers.len(), 2);
    assert_eq!(read.creation_date, Some(1_700_000_000));
}
