//! What is there is found again, what was verified is not lost, what was touched is not trusted.

use std::{
    fs,
    os::unix::fs::{FileExt, symlink},
    path::Path,
};

use crate::common::{self, BLOCK, Kind, Rig, Space, as_tree, config, make, noise, sample, tree, write_files};
use peerage_store::{AddError, CheckMode, Mode, Place, Report, StoreConfig};

const PIECE: u32 = 2 * BLOCK;

#[test]
fn what_was_verified_is_trusted_after_a_restart() {
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        let temp = tempfile::tempdir().unwrap();
        let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
        let files = sample(PIECE as usize);
        let hashes = make(kind, "content", &files, PIECE);
        let rig = Rig::download(&hashes, &dir, config(&state), None);
        rig.check(CheckMode::Resume);
        let space = Space::new(rig.layout(), &files);
        let half = rig.layout().pieces() / 2;
        for piece in 0..half {
            assert!(rig.fetch(&space, piece));
        }
        rig.close();

        let rig = Rig::download(&hashes, &dir, config(&state), None);
        let outcome = rig.check(CheckMode::Resume);
        assert_eq!(outcome.have.iter().collect::<Vec<_>>(), (0..half).collect::<Vec<_>>());
        // Pieces whose neighbours' files are allocated are hashed again; verified ones are not.
        let verified: u64 = (0..half).map(|piece| u64::from(rig.layout().payload_len(piece))).sum();
        assert_eq!(outcome.bytes_trusted, verified);
        for piece in half..rig.layout().pieces() {
            assert!(rig.fetch(&space, piece));
        }
        rig.close();
        assert_eq!(tree(&dir), as_tree(&files));

        let rig = Rig::download(&hashes, &dir, config(&state), None);
        let outcome = rig.check(CheckMode::Resume);
        assert!(outcome.have.is_full() && outcome.conflicts.is_empty());
        assert_eq!((outcome.bytes_trusted, outcome.bytes_hashed), (rig.layout().total_len(), 0));
        assert_eq!(rig.check(CheckMode::Full).bytes_hashed, rig.layout().total_len());
        rig.close();
    }
}

#[test]
fn without_state_everything_present_is_hashed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = sample(PIECE as usize);
    let hashes = make(Kind::Hybrid, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    for piece in [0, 2, 3, 7] {
        assert!(rig.fetch(&space, piece));
    }
    rig.close();
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    let outcome = rig.check(CheckMode::Resume);
    assert_eq!(outcome.have.iter().collect::<Vec<_>>(), [0, 2, 3, 7]);
    assert_eq!(outcome.bytes_trusted, 0);
    rig.close();
}

#[test]
fn a_touched_file_is_hashed_and_its_bad_pieces_are_found() {
    let temp = tempfile::tempdir().unwrap();
    let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
    let files = vec![
        ("a".to_owned(), noise(1, 10 * PIECE as usize)),
        ("b".to_owned(), noise(2, 10 * PIECE as usize)),
    ];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, config(&state), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    (0..19).for_each(|piece| assert!(rig.fetch(&space, piece)));
    rig.close();
    let part = fs::File::options().write(true).open(dir.join("b.part")).unwrap();
    part.write_all_at(b"!", 3 * u64::from(PIECE) + 5).unwrap();
    let rig = Rig::download(&hashes, &dir, config(&state), None);
    let outcome = rig.check(CheckMode::Resume);
    assert_eq!(
        outcome.have.iter().collect::<Vec<_>>(),
        (0..19).filter(|piece| *piece != 13).collect::<Vec<_>>()
    );
    assert_eq!(outcome.bytes_trusted, 10 * u64::from(PIECE), "the file that nobody touched");
    assert!(rig.fetch(&space, 13) && rig.fetch(&space, 19));
    rig.close();
    assert_eq!(tree(&dir), as_tree(&files));
}

#[test]
fn a_second_user_of_a_torrent_and_folder_is_refused_and_others_are_not() {
    let temp = tempfile::tempdir().unwrap();
    let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
    let files = sample(PIECE as usize);
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, config(&state), None);
    for _ in 0..20 {
        let (other, _log) = common::open(config(&state));
        let again = other.add(common::add(&hashes, Place::Under(dir.clone()), Mode::Download));
        assert!(matches!(again, Err(AddError::InUse)));
        let elsewhere = Place::Under(temp.path().join("elsewhere"));
        assert!(other.add(common::add(&hashes, elsewhere, Mode::Download)).is_ok());
        assert!(other.metadata(&hashes.info().hashes, &dir).is_none(), "locked");
        other.close();
    }
    rig.close();
    let (store, _log) = common::open(config(&state));
    assert_eq!(store.metadata(&hashes.info().hashes, temp.path()).as_deref(), Some(hashes.info().raw()));
    assert_eq!(store.metadata(&Default::default(), &dir), None);
    assert!(store.add(common::add(&hashes, Place::Under(dir), Mode::Download)).is_ok(), "the lock is gone");
    store.close();
}

/// The content's folder is made only with the first byte: the state is under one name all the same.
#[test]
fn a_folder_that_was_missing_at_first_finds_its_state_again() {
    let temp = tempfile::tempdir().unwrap();
    let real = temp.path().canonicalize().unwrap();
    fs::create_dir(real.join("real")).unwrap();
    symlink("real", real.join("link")).unwrap();
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    let back: std::path::PathBuf = here.components().skip(1).map(|_| "..").collect();
    let files = sample(PIECE as usize);
    let hashes = make(Kind::V1, "content", &files, PIECE);
    for (case, above) in
        [real.join("link"), back.join(real.strip_prefix("/").unwrap())].into_iter().enumerate()
    {
        let (state, dir) = (real.join(format!("state-{case}")), above.join("content"));
        assert!(!dir.exists());
        let rig = Rig::download(&hashes, &dir, config(&state), None);
        rig.check(CheckMode::Resume);
        rig.fetch_all(&Space::new(rig.layout(), &files));
        let (other, _log) = common::open(config(&state));
        let again = other.add(common::add(&hashes, Place::Under(dir.clone()), Mode::Download));
        assert!(matches!(again, Err(AddError::InUse)), "case {case}: it is made by now");
        other.close();
        rig.close();
        let rig = Rig::download(&hashes, &dir, config(&state), None);
        let outcome = rig.check(CheckMode::Resume);
        assert!(outcome.have.is_full());
        assert_eq!(outcome.bytes_hashed, 0, "case {case}");
        rig.close();
    }
}

#[test]
fn a_file_of_the_content_that_is_there_already_is_taken() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = sample(PIECE as usize);
    write_files(&dir, &files);
    // One is a partial download under its final name.
    let partial = fs::File::options().write(true).open(dir.join("k")).unwrap();
    partial.write_all_at(&[0; 100], 10).unwrap();
    let hashes = make(Kind::Hybrid, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    let outcome = rig.check(CheckMode::Resume);
    assert!(outcome.conflicts.is_empty());
    let bad: Vec<u32> = (0..rig.layout().pieces()).filter(|piece| !outcome.have.contains(*piece)).collect();
    assert_eq!(bad.len(), 1);
    // The content has a file `j.part`, so that `.part` is not the name of anything unfinished.
    assert!(dir.join("k.part~").exists() && !dir.join("k").exists());
    let space = Space::new(rig.layout(), &files);
    assert!(rig.fetch(&space, bad[0]));
    rig.close();
    assert_eq!(tree(&dir), as_tree(&files));
}

#[test]
fn a_strange_file_in_the_way_is_reported_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![("f".to_owned(), noise(1, 1000)), ("g".to_owned(), noise(2, 3 * PIECE as usize))];
    let hashes = make(Kind::V2, "content", &files, PIECE);
    type Prepare = fn(&Path);
    let cases: [(Prepare, &str); 6] = [
        (|dir| fs::write(dir.join("g"), "short").unwrap(), "g"),
        (|dir| fs::write(dir.join("g"), noise(9, 3 * PIECE as usize)).unwrap(), "g"),
        (|dir| symlink("/etc/passwd", dir.join("g")).unwrap(), "g"),
        (|dir| fs::create_dir(dir.join("g")).unwrap(), "g"),
        (|dir| symlink("nowhere", dir.join("g.part")).unwrap(), "g.part"),
        (|dir| fs::write(dir.join("g.part"), "precious").unwrap(), "g.part"),
    ];
    for (case, (prepare, told)) in cases.iter().enumerate() {
        let dir = temp.path().join(case.to_string()).join("content");
        fs::create_dir_all(&dir).unwrap();
        prepare(&dir);
        let before = tree(&dir);
        let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
        let outcome = rig.check(CheckMode::Resume);
        assert_eq!(outcome.conflicts, [dir.join(told)], "case {case}");
        rig.close();
        assert_eq!(tree(&dir), before, "case {case}");
    }
}

#[test]
fn a_strange_file_in_the_place_of_an_unwanted_one_is_no_conflict() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![
        ("a".to_owned(), noise(1, PIECE as usize + 10)),
        ("b".to_owned(), noise(2, 2 * PIECE as usize)),
        ("c".to_owned(), noise(3, 2 * PIECE as usize)),
    ];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    write_files(
        &dir,
        &vec![("b".to_owned(), b"mine".to_vec()), ("c".to_owned(), noise(9, 2 * PIECE as usize))],
    );
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), Some(vec![true, false, false]));
    let outcome = rig.check(CheckMode::Resume);
    assert!(outcome.conflicts.is_empty(), "{outcome:?}");
    let space = Space::new(rig.layout(), &files);
    assert!(rig.fetch(&space, 0) && rig.fetch(&space, 1));
    rig.close();
    assert_eq!(fs::read(dir.join("a")).unwrap(), files[0].1);
    assert_eq!(fs::read(dir.join("b")).unwrap(), b"mine");
    assert_eq!(fs::read(dir.join("c")).unwrap(), noise(9, 2 * PIECE as usize));
}

#[test]
fn a_part_that_is_truncated_meanwhile_is_fetched_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("f".to_owned(), noise(1, 4 * PIECE as usize))];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    assert!(rig.fetch(&space, 0) && rig.fetch(&space, 1));
    fs::File::options().write(true).open(dir.join("f.part")).unwrap().set_len(10).unwrap();
    let block = peerage_store::BlockRange { piece: 1, begin: 0, len: BLOCK };
    assert!(rig.torrent.read_blocks(&[block], 0, &mut Vec::new()).is_err());
    rig.log.wait("loss", |report| matches!(report, Report::Lost { file: 0, .. }).then_some(()));
    rig.fetch_all(&space);
    rig.close();
    assert_eq!(tree(&dir), as_tree(&files));
}

#[test]
fn a_file_that_appears_during_the_download_is_not_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("f".to_owned(), noise(1, 2 * PIECE as usize))];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    assert!(rig.fetch(&space, 0));
    fs::write(dir.join("f"), "mine").unwrap();
    assert!(rig.fetch(&space, 1));
    let error = rig.log.wait("refusal", |report| match report {
        Report::FileBlocked { file: 0, taken: true, error, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(error.contains("exists"), "{error}");
    rig.close();
    assert_eq!(fs::read(dir.join("f")).unwrap(), b"mine");
    assert_eq!(fs::read(dir.join("f.part")).unwrap(), files[0].1);
}

#[test]
fn a_link_in_place_of_the_contents_folder_is_not_entered() {
    let temp = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), temp.path().join("content")).unwrap();
    let files = vec![("f".to_owned(), noise(1, 2 * PIECE as usize))];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &temp.path().join("content"), StoreConfig::default(), None);
    let outcome = rig.check(CheckMode::Resume);
    assert_eq!(outcome.conflicts.len(), 1);
    let space = Space::new(rig.layout(), &files);
    rig.write(0, 0, vec![space.range(rig.layout(), 0, 0, BLOCK)]);
    rig.log.wait("failure", |report| matches!(report, Report::Failed { full: false, .. }).then_some(()));
    rig.close();
    assert_eq!(tree(outside.path()).len(), 0);
}

#[test]
fn unwanted_files_leave_no_trace_but_the_parts_file() {
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        let temp = tempfile::tempdir().unwrap();
        let (state, dir) = (temp.path().join("state"), temp.path().join("content"));
        let files = sample(PIECE as usize);
        let hashes = make(kind, "content", &files, PIECE);
        let all = hashes.info().layout.files();
        let wanted: Vec<bool> =
            all.iter().map(|file| ["b/c", "h", "b/d"].contains(&file.path.as_str())).collect();
        let rig = Rig::download(&hashes, &dir, config(&state), Some(wanted.clone()));
        rig.check(CheckMode::Resume);
        let layout = rig.layout().clone();
        let space = Space::new(&layout, &files);
        let needed = |file: usize| wanted[file] && layout.files()[file].len > 0;
        let selected = |piece: &u32| layout.spans(*piece, 0, u32::MAX).any(|span| needed(span.file));
        let pieces: Vec<u32> = (0..layout.pieces()).filter(selected).collect();
        pieces.iter().for_each(|piece| assert!(rig.fetch(&space, *piece)));
        rig.close();
        let mut found = tree(&dir);
        let parts: Vec<_> =
            found.keys().filter(|path| path.to_string_lossy().starts_with(".peerage-")).cloned().collect();
        assert_eq!(
            parts.len(),
            usize::from(kind == Kind::V1),
            "only where pieces cross the borders of files"
        );
        parts.iter().for_each(|path| drop(found.remove(path)));
        let chosen =
            files.iter().filter(|(path, _)| ["b/c", "h", "b/d"].contains(&path.as_str())).cloned().collect();
        assert_eq!(found, as_tree(&chosen));

        // Started again, nothing is fetched twice; wanting the rest completes it.
        let rig = Rig::download(&hashes, &dir, config(&state), Some(wanted.clone()));
        let outcome = rig.check(CheckMode::Resume);
        assert_eq!(outcome.have.iter().collect::<Vec<_>>(), pieces);
        assert_eq!(outcome.bytes_hashed, 0);
        rig.torrent.set_wanted(&vec![true; all.len()]);
        for piece in 0..layout.pieces() {
            assert!(pieces.contains(&piece) || rig.fetch(&space, piece), "piece {piece}");
        }
        rig.close();
        let rig = Rig::download(&hashes, &dir, config(&state), None);
        assert!(rig.check(CheckMode::Resume).have.is_full());
        rig.close();
        assert_eq!(tree(&dir), as_tree(&files));
    }
}

/// Data must not end in the parts file without a word: wanted, whole, and not where the user looks.
#[test]
fn a_wanted_file_that_cannot_leave_the_parts_file_is_told() {
    for (case, whole_before) in [(0, true), (1, false), (2, false)] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("content");
        let second = if whole_before { PIECE as usize - 10 } else { 2 * PIECE as usize - 10 };
        let files = vec![("a".to_owned(), noise(1, PIECE as usize + 10)), ("b".to_owned(), noise(2, second))];
        let hashes = make(Kind::V1, "content", &files, PIECE);
        let rig = Rig::download(&hashes, &dir, StoreConfig::default(), Some(vec![true, false]));
        rig.check(CheckMode::Resume);
        let space = Space::new(rig.layout(), &files);
        assert!(rig.fetch(&space, 0) && rig.fetch(&space, 1));
        // Its part cannot be made; not even by root.
        fs::create_dir(dir.join("b.part")).unwrap();
        rig.torrent.set_wanted(&[true, true]);
        if !whole_before {
            rig.log.wait("warning", |report| match report {
                Report::Warning { message, .. } => message.contains("content/b").then_some(()),
                _ => None,
            });
            if case == 2 {
                fs::remove_dir(dir.join("b.part")).unwrap();
            }
            assert!(rig.fetch(&space, 2));
        }
        let said = rig.log.wait("end of the file", |report| match report {
            Report::FileBlocked { file: 1, error, .. } => Some(Some(error.clone())),
            Report::FileDone { file: 1, .. } => Some(None),
            _ => None,
        });
        assert_eq!(said.is_none(), case == 2, "{said:?}");
        assert!(said.is_none_or(|error| error.contains("content/b")));
        rig.close();
        // Mended, nothing is lost.
        let _ = fs::remove_dir(dir.join("b.part"));
        let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
        assert!(rig.check(CheckMode::Resume).have.is_full());
        rig.close();
        assert_eq!(tree(&dir), as_tree(&files), "case {case}");
    }
}

#[test]
fn what_stands_in_the_way_of_a_check_is_told_with_its_path() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![
        ("d/f".to_owned(), noise(1, 3 * PIECE as usize)),
        ("d/empty".to_owned(), Vec::new()),
        ("g".to_owned(), noise(2, 100)),
    ];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    type Prepare = fn(&Path);
    let cases: [(Prepare, &[&str]); 5] = [
        (|dir| fs::create_dir_all(dir.join("d/f")).unwrap(), &["d/f"]),
        (|dir| fs::create_dir_all(dir.join("d/f.part")).unwrap(), &["d/f.part"]),
        (|dir| fs::create_dir_all(dir.join("d/empty")).unwrap(), &["d/empty"]),
        (|dir| write_files(dir, &vec![("d".to_owned(), Vec::new())]), &["d"]),
        // A partial download under the file's own name, and one under the name of its part.
        (
            |dir| {
                let mut bytes = noise(1, 3 * PIECE as usize);
                bytes[0] ^= 1;
                write_files(dir, &vec![("d/f".to_owned(), bytes), ("d/f.part".to_owned(), vec![1])]);
            },
            &["d/f"],
        ),
    ];
    for (case, (prepare, told)) in cases.iter().enumerate() {
        let dir = temp.path().join(case.to_string()).join("content");
        fs::create_dir_all(&dir).unwrap();
        prepare(&dir);
        let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
        let outcome = rig.check(CheckMode::Resume);
        for name in *told {
            let path = dir.join(name);
            let in_errors = outcome.errors.iter().any(|error| error.contains(path.to_str().unwrap()));
            assert!(outcome.conflicts.contains(&path) || in_errors, "case {case}: {outcome:?}");
        }
        rig.close();
    }
}

#[test]
fn a_parts_file_that_is_none_is_told_with_its_path() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("a".to_owned(), noise(1, 100)), ("b".to_owned(), noise(2, 100))];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), Some(vec![true, false]));
    rig.check(CheckMode::Resume);
    assert!(rig.fetch(&Space::new(rig.layout(), &files), 0));
    rig.close();
    let parts = tree(&dir).into_keys().find(|path| path.to_string_lossy().ends_with(".parts")).unwrap();
    let parts = dir.join(parts);
    fs::remove_file(&parts).unwrap();
    fs::create_dir(&parts).unwrap();
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    let outcome = rig.check(CheckMode::Resume);
    let told = |error: &String| error.contains(parts.to_str().unwrap());
    assert!(outcome.errors.iter().any(told), "{:?}", outcome.errors);
    rig.close();
}

#[test]
fn a_check_can_be_cancelled() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("f".to_owned(), noise(1, 64 << 20))];
    let hashes = make(Kind::V1, "content", &files, PIECE);
    write_files(&dir, &files);
    let rig = Rig::seed(&hashes, &dir, StoreConfig::default());
    rig.torrent.check(CheckMode::Full);
    rig.torrent.cancel_check();
    let hashed = rig.log.wait("end", |report| match report {
        Report::Checked { outcome, .. } => Some(outcome.cancelled.then_some(outcome.bytes_hashed)),
        _ => None,
    });
    assert!(hashed.is_some_and(|bytes| bytes < 64 << 20));
    rig.close();
}

#[test]
fn progress_of_a_check_grows_to_the_end() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("f".to_owned(), noise(1, 200 << 20))];
    let hashes = make(Kind::V1, "content", &files, 16 * BLOCK);
    write_files(&dir, &files);
    let rig = Rig::seed(&hashes, &dir, StoreConfig::default());
    let outcome = rig.check(CheckMode::Full);
    assert!(outcome.have.is_full() && outcome.bytes_hashed == 200 << 20);
    let (mut last, mut count) = (0, 0);
    for report in rig.close().take() {
        if let Report::CheckProgress { done, total, .. } = report {
            assert!(done >= last && done <= total && total == 200 << 20);
            (last, count) = (done, count + 1);
        }
    }
    // At most ten a second; how long it takes depends on the machine.
    assert!(count <= 300, "{count} reports");
}
