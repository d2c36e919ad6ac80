//! What `hash_paths` makes of files: the right hashes, the same ones every time.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use crate::common::{self, BLOCK, Kind, Rig, make, noise, sample, write_files};
use peerage_content::Version;
use peerage_store::{CheckMode, HashError, HashRequest, Mode, Place, StoreConfig, hash_paths};

fn request(path: &Path, version: Version, piece_len: Option<u32>) -> HashRequest {
    HashRequest {
        paths: vec![path.to_owned()],
        name: None,
        piece_len,
        version,
        private: false,
        threads: 0,
        progress: None,
        cancel: Arc::new(AtomicBool::new(false)),
    }
}

/// Names in the sample are sorted as torrents sort them.
#[test]
fn the_hashes_are_those_of_a_plain_computation() {
    for (version, kind) in [(Version::V1, Kind::V1), (Version::V2, Kind::V2), (Version::Hybrid, Kind::Hybrid)]
    {
        for piece_len in [BLOCK, 4 * BLOCK] {
            let temp = tempfile::tempdir().unwrap();
            let dir = temp.path().join("content");
            let files = sample(piece_len as usize);
            write_files(&dir, &files);
            let made = hash_paths(&request(&dir, version, Some(piece_len))).unwrap();
            let plain = make(kind, "content", &files, piece_len);
            let (info, expected) = (&made.metainfo.info, plain.info());
            assert_eq!((info.layout.pieces(), &info.name), (expected.layout.pieces(), &expected.name));
            for piece in 0..info.layout.pieces() {
                assert_eq!(info.v1_hash(piece), expected.v1_hash(piece), "{version:?} piece {piece}");
                assert_eq!(
                    made.metainfo.hashes().check(piece),
                    plain.check(piece),
                    "{version:?} piece {piece}"
                );
            }
            let roots = |info: &peerage_content::Info| {
                info.layout.files().iter().filter_map(|file| file.root).collect::<Vec<_>>()
            };
            assert_eq!(roots(info), roots(expected));
            assert!(made.warnings.is_empty());

            // What it gives is what a seed needs.
            let (store, log) = common::open(StoreConfig::default());
            let hashes = Arc::new(made.metainfo.hashes());
            let torrent = store.add(common::add(&hashes, Place::Files(made.paths), Mode::Seed)).unwrap();
            let rig = Rig { store, torrent, hashes, log };
            let outcome = rig.check(CheckMode::JustHashed(made.identities));
            assert!(outcome.have.is_full() && outcome.bytes_hashed == 0, "{outcome:?}");
            let outcome = rig.check(CheckMode::Full);
            assert!(outcome.have.is_full() && outcome.bytes_hashed == rig.layout().total_len());
            rig.close();
        }
    }
}

#[test]
fn the_same_input_gives_the_same_torrent() {
    let temp = tempfile::tempdir().unwrap();
    let files = sample(2 * BLOCK as usize);
    let mut torrents = Vec::new();
    for round in 0..4 {
        let dir = temp.path().join(round.to_string()).join("content");
        // Another order of creation, other times, another number of threads.
        let mut ordered = files.clone();
        ordered.rotate_left(round * 2);
        write_files(&dir, &ordered);
        let request = HashRequest { threads: round, ..request(&dir, Version::Hybrid, None) };
        torrents.push(hash_paths(&request).unwrap().metainfo.encode());
    }
    assert!(torrents.iter().all(|torrent| *torrent == torrents[0]));
}

#[test]
fn hidden_files_are_in_and_links_and_special_files_are_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let outside = temp.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    write_files(&dir, &vec![(".hidden/.file".to_owned(), noise(1, 10)), ("run".to_owned(), noise(2, 10))]);
    fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&outside, dir.join("folder-link")).unwrap();
    symlink(outside.join("secret"), dir.join("file-link")).unwrap();
    symlink(&dir, dir.join("loop")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"not\xffutf8")), "x").unwrap();
    let made = hash_paths(&request(&dir, Version::V2, None)).unwrap();
    let names: Vec<String> =
        made.metainfo.info.layout.files().iter().map(|file| file.path.as_str().to_owned()).collect();
    assert_eq!(names, [".hidden/.file", "not\u{fffd}utf8", "run"]);
    assert!(made.metainfo.info.layout.files()[2].attr.executable);
    assert_eq!(made.warnings.len(), 5, "{:?}", made.warnings);
    assert_eq!(made.paths[0], dir.canonicalize().unwrap().join(".hidden/.file"));
}

#[test]
fn one_file_and_several_paths() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("around");
    write_files(&dir, &vec![("one".to_owned(), noise(1, 50_000)), ("two/x".to_owned(), noise(2, 10))]);
    let made = hash_paths(&request(&dir.join("one"), Version::Hybrid, None)).unwrap();
    assert_eq!((made.metainfo.info.name.as_str(), made.metainfo.info.folder), ("one", false));
    let named =
        HashRequest { name: Some("other".to_owned()), ..request(&dir.join("one"), Version::Hybrid, None) };
    assert_eq!(hash_paths(&named).unwrap().metainfo.info.name, "other");
    let both =
        HashRequest { paths: vec![dir.join("two"), dir.join("one")], ..request(&dir, Version::V1, None) };
    let made = hash_paths(&both).unwrap();
    assert_eq!((made.metainfo.info.name.as_str(), made.metainfo.info.folder), ("around", true));
    let names: Vec<&str> = made.metainfo.info.layout.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["one", "two/x"]);
    // Named through a link: what the user named is followed.
    symlink(dir.join("one"), temp.path().join("link")).unwrap();
    assert_eq!(hash_paths(&request(&temp.path().join("link"), Version::V1, None)).unwrap().paths.len(), 1);
}

#[test]
fn what_cannot_be_hashed_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let none = temp.path().join("none");
    assert!(
        matches!(hash_paths(&request(&none, Version::V1, None)), Err(HashError::Io { path, .. }) if path == none)
    );
    let empty = temp.path().join("empty");
    fs::create_dir_all(empty.join("folder")).unwrap();
    assert!(matches!(hash_paths(&request(&empty, Version::V1, None)), Err(HashError::Empty { .. })));
    let file = temp.path().join("file");
    fs::write(&file, noise(1, 1 << 20)).unwrap();
    assert!(matches!(hash_paths(&request(&file, Version::V1, Some(1000))), Err(HashError::Create(_))));
    let cancelled = request(&file, Version::V1, None);
    cancelled.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(hash_paths(&cancelled), Err(HashError::Cancelled)));
}

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path: PathBuf = temp.path().join("file");
    fs::write(&path, noise(1, 32 << 20)).unwrap();
    let touched = path.clone();
    let progress = move |_| {
        let file = fs::File::options().append(true).open(&touched).unwrap();
        std::io::Write::write_all(&mut &file, b"x").unwrap();
    };
    let request = HashRequest { progress: Some(Arc::new(progress)), ..request(&path, Version::V2, None) };
    assert!(matches!(hash_paths(&request), Err(HashError::Changed { .. })));
}

#[test]
fn progress_ends_at_the_total() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = sample(4 * BLOCK as usize);
    write_files(&dir, &files);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let progress = move |at: peerage_store::HashProgress| log.lock().unwrap().push(at);
    let request = HashRequest {
        progress: Some(Arc::new(progress)),
        threads: 1,
        ..request(&dir, Version::Hybrid, None)
    };
    hash_paths(&request).unwrap();
    let total: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let seen = seen.lock().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].done < pair[1].done));
    assert_eq!(seen.last().map(|at| (at.done, at.total)), Some((total, total)));
}
