//! C7: a file that another program touches while it is seeded is noticed before a byte of it is
//! served, and served again once it is right again.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::common::{self, BLOCK, Kind, Rig, make, noise, write_files};
use peerage_store::{BlockRange, CheckMode, Place, ReadError, Report, StoreConfig};

const PIECE: u32 = 2 * BLOCK;
const LEN: usize = 8 * PIECE as usize + 1000;

fn config() -> StoreConfig {
    StoreConfig { settle: Duration::from_millis(60), ..StoreConfig::default() }
}

struct Seed {
    rig: Rig,
    path: PathBuf,
    bytes: Vec<u8>,
    temp: tempfile::TempDir,
}

fn seed() -> Seed {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("f".to_owned(), noise(3, LEN))];
    write_files(&dir, &files);
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::seed(&hashes, &dir, config());
    assert!(rig.check(CheckMode::Full).have.is_full());
    let path = dir.join("f");
    Seed { rig, path, bytes: files[0].1.clone(), temp }
}

fn write(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Puts a whole file in place by rename.
fn replace(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("new");
    fs::write(&other, bytes).unwrap();
    fs::rename(other, path).unwrap();
}

impl Seed {
    /// Reads all of the content as peers would, both ways: what is served is right, or refused.
    /// The number of refusals.
    fn serve_all(&self) -> usize {
        let (mut refused, mut out) = (0, Vec::new());
        let layout = self.rig.layout();
        for piece in 0..layout.pieces() {
            for index in 0..layout.blocks(piece) {
                let block = layout.block(piece, index);
                let range = BlockRange { piece, begin: block.begin, len: block.len };
                let at = layout.piece_offset(piece) as usize + block.begin as usize;
                let right = &self.bytes[at..at + block.len as usize];
                match self.rig.torrent.read_blocks(&[range], 13, &mut out) {
                    Ok(()) => assert_eq!(&out[13..], right, "bad bytes were served"),
                    Err(_) => refused += 1,
                }
                if let Ok(true) = self.rig.torrent.try_read_blocks(&[range], 13, &mut out) {
                    assert_eq!(&out[13..], right, "bad bytes were served at once");
                }
            }
        }
        refused
    }

    fn expect_lost(&self, case: &str) {
        let pieces = self.rig.log.wait(case, |report| match report {
            Report::Lost { file: 0, pieces, .. } => Some(pieces.clone()),
            _ => None,
        });
        assert_eq!(pieces, 0..self.rig.layout().pieces());
    }

    fn expect_rechecked(&self, case: &str) -> Vec<u32> {
        self.rig.log.wait(case, |report| match report {
            Report::Rechecked { file: 0, good, .. } => Some(good.clone()),
            _ => None,
        })
    }
}

#[test]
fn a_changed_file_is_never_served_bad() {
    type Change = fn(&Seed);
    let cases: [(&str, Change, usize); 30] = [
        ("first byte", |s| write(&s.path, 0, &[!s.bytes[0]]), 8),
        ("last byte", |s| write(&s.path, LEN as u64 - 1, &[!s.bytes[LEN - 1]]), 8),
        ("middle", |s| write(&s.path, 100_000, &[!s.bytes[100_000]]), 8),
        (
            "two pieces",
            |s| {
                write(
                    &s.path,
                    u64::from(PIECE) - 1,
                    &[!s.bytes[PIECE as usize - 1], !s.bytes[PIECE as usize]],
                )
            },
            7,
        ),
        ("all zeros", |s| write(&s.path, 0, &vec![0; LEN]), 0),
        ("same bytes written again", |s| write(&s.path, 0, &s.bytes[..10]), 9),
        ("truncated to nothing", |s| File::create(&s.path).map(drop).unwrap(), 0),
        (
            "truncated by one byte",
            |s| File::options().write(true).open(&s.path).unwrap().set_len(LEN as u64 - 1).unwrap(),
            0,
        ),
        (
            "truncated to half",
            |s| File::options().write(true).open(&s.path).unwrap().set_len(LEN as u64 / 2).unwrap(),
            0,
        ),
        (
            "truncated and grown with zeros",
            |s| {
                let file = File::options().write(true).open(&s.path).unwrap();
                file.set_len(u64::from(PIECE)).unwrap();
                file.set_len(LEN as u64).unwrap();
            },
            1,
        ),
        (
            "truncated and restored",
            |s| {
                let file = File::options().write(true).open(&s.path).unwrap();
                file.set_len(5).unwrap();
                file.write_all_at(&s.bytes, 0).unwrap();
            },
            9,
        ),
        ("grown by one byte", |s| write(&s.path, LEN as u64, b"x"), 0),
        ("grown by much", |s| write(&s.path, 10 * LEN as u64, b"x"), 0),
        ("replaced by other bytes", |s| replace(&s.path, &noise(99, LEN)), 0),
        ("replaced by the same bytes", |s| replace(&s.path, &s.bytes), 9),
        (
            "replaced by half good bytes",
            |s| {
                let mut bytes = s.bytes.clone();
                bytes[4 * PIECE as usize..].fill(7);
                replace(&s.path, &bytes);
            },
            4,
        ),
        ("replaced by a shorter one", |s| replace(&s.path, &s.bytes[..LEN - 1]), 0),
        ("replaced by a longer one", |s| replace(&s.path, &[&s.bytes[..], b"x"].concat()), 0),
        ("deleted", |s| fs::remove_file(&s.path).unwrap(), 0),
        (
            "folder moved away and file changed there",
            |s| {
                let away = s.temp.path().join("away");
                fs::rename(s.path.parent().unwrap(), &away).unwrap();
                write(&away.join("f"), 0, &[!s.bytes[0]]);
            },
            8,
        ),
        ("renamed away", |s| fs::rename(&s.path, s.temp.path().join("away")).unwrap(), 0),
        (
            "replaced by a folder",
            |s| {
                fs::remove_file(&s.path).unwrap();
                fs::create_dir(&s.path).unwrap();
            },
            0,
        ),
        (
            "replaced by a link to good bytes",
            |s| {
                let other = s.temp.path().join("other");
                fs::rename(&s.path, &other).unwrap();
                symlink(other, &s.path).unwrap();
            },
            0,
        ),
        (
            "replaced by a FIFO",
            |s| {
                fs::remove_file(&s.path).unwrap();
                assert!(Command::new("mkfifo").arg(&s.path).status().unwrap().success());
            },
            0,
        ),
        (
            "times set back",
            |s| {
                let file = File::options().write(true).open(&s.path).unwrap();
                let was = file.metadata().unwrap().modified().unwrap();
                file.write_all_at(&[!s.bytes[0]], 0).unwrap();
                file.set_modified(was).unwrap();
            },
            8,
        ),
        (
            "replaced, with size and times kept",
            |s| {
                let was = fs::metadata(&s.path).unwrap().modified().unwrap();
                replace(&s.path, &noise(98, LEN));
                File::options().write(true).open(&s.path).unwrap().set_modified(was).unwrap();
            },
            0,
        ),
        (
            "changed through a hard link",
            |s| {
                let link = s.temp.path().join("link");
                fs::hard_link(&s.path, &link).unwrap();
                write(&link, 0, &[!s.bytes[0]]);
            },
            8,
        ),
        (
            "hole punched",
            |s| {
                let file = File::options().write(true).open(&s.path).unwrap();
                let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, flags, 0, u64::from(PIECE)).unwrap();
            },
            8,
        ),
        ("mode changed", |s| fs::set_permissions(&s.path, fs::Permissions::from_mode(0o600)).unwrap(), 9),
        (
            "swapped with another file",
            |s| {
                let other = s.temp.path().join("other");
                fs::write(&other, noise(97, LEN)).unwrap();
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &s.path, rustix::fs::CWD, &other, flags).unwrap();
            },
            0,
        ),
    ];
    let mut served_again = 0;
    let total = |seed: &Seed| {
        (0..seed.rig.layout().pieces()).map(|piece| seed.rig.layout().blocks(piece)).sum::<u32>()
    };
    for (case, change, good) in cases {
        let seed = seed();
        let all = total(&seed) as usize;
        assert_eq!(seed.serve_all(), 0, "{case}: unchanged, everything is served");
        change(&seed);
        let refused = seed.serve_all();
        assert_eq!(refused, all, "{case}: was not noticed");
        seed.expect_lost(case);
        assert_eq!(seed.expect_rechecked(case).len(), good, "{case}: pieces that are good again");
        served_again += all - seed.serve_all();
        let refused = seed.serve_all();
        assert_eq!(refused == 0, good == 9, "{case}: {refused} of {all} blocks are refused after the check");
        seed.rig.close();
    }
    assert!(served_again > 0);
}

#[test]
fn a_file_that_comes_back_is_served_again() {
    let seed = seed();
    let away = seed.temp.path().join("away");
    fs::rename(&seed.path, &away).unwrap();
    assert!(seed.serve_all() > 0);
    seed.expect_lost("removal");
    assert!(seed.expect_rechecked("removal").is_empty());
    fs::rename(&away, &seed.path).unwrap();
    assert_eq!(seed.expect_rechecked("return").len(), 9);
    assert_eq!(seed.serve_all(), 0);
    seed.rig.close();
}

/// A writer that never rests: what is served in between is right all the same.
#[test]
fn a_file_under_constant_change_is_never_served_bad() {
    let seed = seed();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&seed.path).unwrap();
            let mut round = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let at = round * 4_999 % (LEN - 1);
                file.write_all_at(&[!seed.bytes[at]], at as u64).unwrap();
                file.write_all_at(&seed.bytes[at..=at], at as u64).unwrap();
                round += 1;
                if round % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        });
        for _ in 0..40 {
            seed.serve_all();
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    seed.rig.close();
}

#[test]
fn a_change_between_creating_and_seeding_is_noticed() {
    let seed = seed();
    let identity = |path: &Path| peerage_store::FileIdentity::of(File::open(path).unwrap()).unwrap();
    let known = || CheckMode::JustHashed([identity(&seed.path)].into());
    let before = known();
    let outcome = seed.rig.check(before.clone());
    assert_eq!((outcome.have.is_full(), outcome.bytes_hashed), (true, 0));
    write(&seed.path, 0, &[!seed.bytes[0]]);
    let outcome = seed.rig.check(before);
    assert_eq!((outcome.have.count(), outcome.bytes_hashed), (8, LEN as u64));
    seed.rig.close();
}

#[test]
fn files_anywhere_are_seeded_by_their_paths() {
    let temp = tempfile::tempdir().unwrap();
    let files = common::sample(PIECE as usize);
    let hashes = make(Kind::Hybrid, "content", &files, PIECE);
    let paths: Vec<PathBuf> =
        (0..files.len()).map(|index| temp.path().join(format!("{index}.bin"))).collect();
    for (path, (_, bytes)) in paths.iter().zip(&files) {
        fs::write(path, bytes).unwrap();
    }
    let (store, log) = common::open(config());
    let short = Place::Files(paths[1..].to_vec());
    assert!(store.add(common::add(&hashes, short, peerage_store::Mode::Seed)).is_err());
    let torrent =
        store.add(common::add(&hashes, Place::Files(paths.clone()), peerage_store::Mode::Seed)).unwrap();
    let rig = Rig { store, torrent, hashes, log };
    assert!(rig.check(CheckMode::Full).have.is_full());
    let space = common::Space::new(rig.layout(), &files);
    let mut out = Vec::new();
    for piece in 0..rig.layout().pieces() {
        let len = rig.layout().piece_len(piece);
        rig.torrent.read_blocks(&[BlockRange { piece, begin: 0, len }], 0, &mut out).unwrap();
        assert_eq!(out, space.range(rig.layout(), piece, 0, len));
    }
    fs::remove_file(&paths[1]).unwrap();
    // The second file that is stored; pads are counted as files, too.
    let file = rig.layout().files().iter().position(|file| file.path.as_str() == "b/c").unwrap();
    let lost = rig.layout().files()[file].pieces.start;
    let block = BlockRange { piece: lost, begin: 0, len: 10 };
    let result = rig.torrent.read_blocks(&[block], 0, &mut out);
    assert!(matches!(result, Err(ReadError::Changed { file: of }) if of == file));
    rig.close();
}

/// libtorrent 2.0 asks for the last block of a version 2 file with the zeros behind it.
#[test]
fn the_gap_behind_a_version_2_file_is_zeros() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![("a".to_owned(), noise(4, 20_000)), ("b".to_owned(), noise(5, 100))];
    write_files(&temp.path().join("content"), &files);
    let hashes = make(Kind::V2, "content", &files, PIECE);
    let rig = Rig::seed(&hashes, &temp.path().join("content"), config());
    assert!(rig.check(CheckMode::Full).have.is_full());
    let mut out = vec![0xaa; 3 * 16_384];
    let blocks =
        [BlockRange { piece: 0, begin: 16_384, len: 16_384 }, BlockRange { piece: 1, begin: 0, len: 100 }];
    rig.torrent.read_blocks(&blocks, 13, &mut out).unwrap();
    let (first, second) = (&out[13..13 + 16_384], &out[26 + 16_384..]);
    assert_eq!(first[..20_000 - 16_384], files[0].1[16_384..]);
    assert!(first[20_000 - 16_384..].iter().all(|byte| *byte == 0));
    assert_eq!(second, files[1].1);
    let beyond =
        [BlockRange { piece: 0, begin: 32_768, len: 1 }, BlockRange { piece: 1, begin: 0, len: 16_385 }];
    for block in beyond {
        assert!(rig.torrent.read_blocks(&[block], 0, &mut out).is_err(), "{block:?}");
    }
    rig.close();
}
