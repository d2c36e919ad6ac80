//! Partial files: ours are gone on with, those of others are left alone.

use std::{fs, io::Write, time::Duration};

use crate::common::{BLOCK, Files, Kind, Rig, Space, as_tree, config, make, noise, tree};
use peerage_store::{CheckMode, Report, StoreConfig};

const PIECE: u32 = 2 * BLOCK;

fn one_file(seed: u64, pieces: u32) -> Files {
    vec![("f".to_owned(), noise(seed, (pieces * PIECE) as usize))]
}

/// What is longer than the file, be it ours or taken over by its good pieces, is cut.
#[test]
fn a_partial_file_that_is_too_long_is_cut() {
    for with_state in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
        let config = || if with_state { config(&state) } else { StoreConfig::default() };
        let files = one_file(1, 4);
        let hashes = make(Kind::V1, "content", &files, PIECE);
        let rig = Rig::download(&hashes, &dir, config(), None);
        rig.check(CheckMode::Resume);
        let space = Space::new(rig.layout(), &files);
        assert!(rig.fetch(&space, 1));
        rig.close();
        let mut part = fs::File::options().append(true).open(dir.join("f.part")).unwrap();
        part.write_all(&noise(2, 100_000)).unwrap();
        let rig = Rig::download(&hashes, &dir, config(), None);
        let outcome = rig.check(CheckMode::Resume);
        assert!(outcome.conflicts.is_empty() && outcome.have.contains(1), "{outcome:?}");
        for piece in [0, 2, 3] {
            assert!(rig.fetch(&space, piece));
        }
        rig.close();
        assert_eq!(tree(&dir), as_tree(&files));
    }
}

/// The first refusal leaves no trace that would have a second run take the file for ours.
#[test]
fn a_strangers_partial_file_is_refused_each_time() {
    let temp = tempfile::tempdir().unwrap();
    let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("f.part"), "precious").unwrap();
    let hashes = make(Kind::V1, "content", &one_file(1, 4), PIECE);
    for _ in 0..2 {
        let rig = Rig::download(&hashes, &dir, config(&state), None);
        assert_eq!(rig.check(CheckMode::Resume).conflicts, [dir.join("f.part")]);
        std::thread::sleep(Duration::from_millis(200));
        rig.close();
        assert_eq!(fs::read(dir.join("f.part")).unwrap(), b"precious");
    }
}

#[test]
fn a_strangers_partial_file_of_an_unwanted_one_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files =
        vec![("a".to_owned(), noise(1, PIECE as usize + 10)), ("b".to_owned(), noise(2, 2 * PIECE as usize))];
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("b.part"), "precious").unwrap();
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), Some(vec![true, false]));
    assert!(rig.check(CheckMode::Resume).conflicts.is_empty());
    let space = Space::new(rig.layout(), &files);
    assert!(rig.fetch(&space, 0) && rig.fetch(&space, 1));
    rig.close();
    assert_eq!(fs::read(dir.join("a")).unwrap(), files[0].1);
    assert_eq!(fs::read(dir.join("b.part")).unwrap(), b"precious");
}

/// Killed before a piece was whole: nothing of it can be verified, and it is ours all the same.
#[test]
fn a_partial_file_without_a_good_piece_is_known_for_ours() {
    let temp = tempfile::tempdir().unwrap();
    let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
    let files = one_file(1, 4);
    let hashes = make(Kind::V2, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, config(&state), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    rig.write(0, 0, vec![space.range(rig.layout(), 0, 0, BLOCK)]);
    rig.log.wait("write", |report| matches!(report, Report::Written { .. }).then_some(()));
    rig.close();
    assert!(fs::metadata(dir.join("f.part")).unwrap().len() > 0);
    for mode in [CheckMode::Resume, CheckMode::Full] {
        let rig = Rig::download(&hashes, &dir, config(&state), None);
        let outcome = rig.check(mode);
        assert!(outcome.conflicts.is_empty(), "{outcome:?}");
        rig.close();
    }
}

/// Two downloads of one name that began together: the first to write has the file.
#[test]
fn two_downloads_never_share_a_partial_file() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let rigs: Vec<(Rig, Space)> = [1, 2]
        .map(|seed| {
            let files = one_file(seed, 2);
            let hashes = make(Kind::V1, "content", &files, PIECE);
            let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
            assert!(rig.check(CheckMode::Resume).conflicts.is_empty());
            let space = Space::new(rig.layout(), &files);
            (rig, space)
        })
        .into();
    let (first, space) = &rigs[0];
    assert!(first.fetch(space, 0));
    let (second, other) = &rigs[1];
    second.write(0, 0, vec![other.range(second.layout(), 0, 0, BLOCK)]);
    let error = second.log.wait("refusal", |report| match report {
        Report::Failed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(error.to_string().contains("another download"), "{error}");
    assert!(first.fetch(space, 1));
    for (rig, _) in rigs {
        rig.close();
    }
    assert_eq!(tree(&dir), as_tree(&one_file(1, 2)));
}
