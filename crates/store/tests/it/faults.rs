//! Killed processes, full disks, too few descriptors, hostile names.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::common::{self, BLOCK, Kind, Rig, Space, as_tree, make, noise, tree, write_files};
use peerage_content::{Hashes, Info};
use peerage_store::{CheckMode, Report, StoreConfig};

const PIECE: u32 = 4 * BLOCK;

fn files() -> common::Files {
    vec![
        ("a".to_owned(), noise(21, 3 << 20)),
        ("b".to_owned(), noise(22, 70_000)),
        ("c/d".to_owned(), noise(23, (5 << 20) + 1)),
    ]
}

/// The process that is killed. It prints what it has (`have N`) and what was verified (`good N`).
#[test]
#[ignore = "a part of the kill loop, which starts it"]
fn killed_process() {
    let Some(dir) = std::env::var_os("PEERAGE_KILL_DIR").map(PathBuf::from) else { return };
    let files = files();
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let config = StoreConfig {
        state_dir: Some(dir.join("state")),
        checkpoint_interval: Duration::from_millis(5),
        ..StoreConfig::default()
    };
    let rig = Rig::download(&hashes, &dir.join("content"), config, None);
    let have = rig.check(CheckMode::Resume).have;
    let space = Space::new(rig.layout(), &files);
    let mut out = Vec::new();
    for piece in have.iter() {
        let len = rig.layout().piece_len(piece);
        rig.torrent.read_blocks(&[peerage_store::BlockRange { piece, begin: 0, len }], 0, &mut out).unwrap();
        assert_eq!(out, space.range(rig.layout(), piece, 0, len), "piece {piece} is trusted and wrong");
        println!("have {piece}");
    }
    println!("checked");
    let seed = u64::from(std::process::id());
    let mut missing: Vec<u32> = (0..rig.layout().pieces()).filter(|piece| !have.contains(*piece)).collect();
    let dice = noise(seed, 4 * missing.len() + 4);
    for index in (1..missing.len()).rev() {
        let roll = u32::from_le_bytes(dice[4 * index..4 * index + 4].try_into().unwrap());
        missing.swap(index, roll as usize % (index + 1));
    }
    for piece in missing {
        assert!(rig.fetch(&space, piece));
        println!("good {piece}");
        std::thread::sleep(Duration::from_micros(300));
    }
    rig.close();
    println!("complete");
}

/// What one life of that process said.
#[derive(Default)]
struct Life {
    have: BTreeSet<u32>,
    good: BTreeSet<u32>,
    checked: bool,
    complete: bool,
}

/// Lives, and is killed so long after its start, or after its check.
fn live(dir: &Path, kill_after: Option<Duration>, at_work: bool) -> Life {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "faults::killed_process", "--nocapture", "--test-threads=1"])
        .env("PEERAGE_KILL_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (checked, wait_checked) = std::sync::mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || {
        let mut life = Life::default();
        for line in lines.map_while(Result::ok) {
            // The test harness may have begun the line.
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [.., "have", piece] => drop(life.have.insert(piece.parse().unwrap())),
                [.., "good", piece] => drop(life.good.insert(piece.parse().unwrap())),
                [.., "checked"] => {
                    life.checked = true;
                    let _ = checked.send(());
                }
                [.., "complete"] => life.complete = true,
                _ => {}
            }
        }
        life
    });
    if let Some(time) = kill_after {
        if at_work {
            wait_checked.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(time);
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    reader.join().unwrap()
}

/// C1, C3: killed at random moments, at start-up and at work. No acknowledged piece is lost, no
/// wrong one trusted (the process itself compares), and it always starts again.
#[test]
fn killed_at_any_moment_it_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    let (mut kills, mut lives, mut completed) = (0, 0, 0);
    let dice = noise(0x6b11, 1 << 10);
    let cycles = if std::env::var_os("PEERAGE_TEST_FULL").is_some() { 700 } else { 60 };
    for cycle in 0..cycles {
        let wait = 1 + u64::from(dice[cycle % dice.len()]) * 60 / 255;
        let life = live(temp.path(), Some(Duration::from_millis(wait)), cycle % 3 != 0);
        kills += usize::from(!life.complete);
        if life.checked {
            lives += 1;
            let lost: Vec<_> = acknowledged.difference(&life.have).collect();
            assert!(lost.is_empty(), "cycle {cycle}: pieces {lost:?} were verified and are lost");
        }
        acknowledged.extend(life.good);
        if life.complete {
            completed += 1;
            acknowledged.clear();
            fs::remove_dir_all(temp.path().join("content")).unwrap();
        } else if cycle % 7 == 3 && acknowledged.contains(&10) {
            // Bit rot while it is down: found, not trusted. The process compares what it trusts.
            let path = temp.path().join("content/a.part");
            if let Ok(part) = fs::File::options().write(true).open(path) {
                part.write_all_at(b"?", 10 * u64::from(PIECE)).unwrap();
                acknowledged.remove(&10);
            }
        }
    }
    let last = live(temp.path(), None, false);
    assert!(last.complete);
    assert_eq!(tree(&temp.path().join("content")), as_tree(&files()));
    assert!(kills >= cycles / 2, "only {kills} of {cycles} were killed at work ({completed} completed)");
    assert!(lives >= cycles / 2, "only {lives} lives came to their check");
}

/// A small file system of its own; `None` where this user may not mount.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(path: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let size = format!("size={bytes}");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// C4: a full disk is told as such, nothing that failed is acknowledged, and once there is room the
/// same pieces go through.
#[test]
fn a_full_disk_is_told_and_gone_on_from() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::tmpfs(&temp.path().join("disk"), 6 << 20) else {
        assert!(std::env::var_os("CI").is_none(), "needs the right to mount a tmpfs");
        eprintln!("skipped: no right to mount a tmpfs");
        return;
    };
    let files = files();
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let dir = disk.0.join("content");
    let config = StoreConfig { state_dir: Some(temp.path().join("state")), ..StoreConfig::default() };
    let rig = Rig::download(&hashes, &dir, config.clone(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    let pieces = rig.layout().pieces();
    let (mut good, mut failed, mut verified_bad) = (0, 0, 0);
    for piece in 0..pieces {
        for index in 0..rig.layout().blocks(piece) {
            let block = rig.layout().block(piece, index);
            rig.write(piece, block.begin, vec![space.range(rig.layout(), piece, block.begin, block.len)]);
            let written = rig.log.wait("result", |report| match report {
                Report::Written { .. } => Some(true),
                Report::Failed { full, error, .. } => {
                    assert!(*full, "{error}");
                    assert!(error.contains("content/"), "names the file: {error}");
                    Some(false)
                }
                _ => None,
            });
            failed += usize::from(!written);
        }
        let ok = rig.verify(piece, false).0;
        good += usize::from(ok);
        verified_bad += usize::from(!ok);
    }
    assert!(
        failed > 10 && good > 50 && verified_bad > 10,
        "{failed} failed, {good} good, {verified_bad} bad"
    );
    let size = Command::new("mount").args(["-o", "remount,size=32m"]).arg(&disk.0).status().unwrap();
    assert!(size.success());
    for piece in 0..pieces {
        let len = rig.layout().piece_len(piece);
        let block = peerage_store::BlockRange { piece, begin: 0, len };
        let mut out = Vec::new();
        match rig.torrent.read_blocks(&[block], 0, &mut out) {
            Ok(()) => assert_eq!(out, space.range(rig.layout(), piece, 0, len)),
            Err(_) => assert!(rig.fetch(&space, piece)),
        }
    }
    rig.close();
    assert_eq!(tree(&dir), as_tree(&files));
}

/// A state folder without room: warned, and the download goes on.
#[test]
fn a_full_disk_under_the_resume_state_does_no_harm() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::tmpfs(&temp.path().join("state"), 4 << 20) else {
        assert!(std::env::var_os("CI").is_none(), "needs the right to mount a tmpfs");
        eprintln!("skipped: no right to mount a tmpfs");
        return;
    };
    let files = files();
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let dir = temp.path().join("content");
    let config = StoreConfig { state_dir: Some(disk.0.clone()), ..StoreConfig::default() };
    let rig = Rig::download(&hashes, &dir, config.clone(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    // Fill what is left; what the database has already is enough or is not.
    let _ = fs::write(disk.0.join("filler"), vec![1; 8 << 20]);
    for piece in 0..rig.layout().pieces() {
        assert!(rig.fetch(&space, piece));
        rig.torrent.checkpoint();
    }
    rig.close();
    assert_eq!(tree(&dir), as_tree(&files));
    let (store, log) = common::open(config);
    // It starts again, or says why it cannot; it never panics nor believes what is not so.
    match store.add(common::add(&hashes, peerage_store::Place::Under(dir), peerage_store::Mode::Download)) {
        Ok(torrent) => {
            let rig = Rig { store: store.clone(), torrent, hashes, log };
            assert!(rig.check(CheckMode::Resume).have.is_full());
        }
        Err(error) => assert!(error.to_string().contains("redb"), "{error}"),
    }
    store.close();
}

/// The process that may open few files.
#[test]
#[ignore = "started by the test below"]
fn process_with_few_descriptors() {
    let Some(dir) = std::env::var_os("PEERAGE_FEW_DIR").map(PathBuf::from) else { return };
    let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let files: common::Files = (0..400).map(|index| (format!("{index:03}"), noise(index, 20_000))).collect();
    let hashes = make(Kind::V1, "content", &files, PIECE);
    let rig = Rig::download(&hashes, &dir, StoreConfig { workers: 8, ..StoreConfig::default() }, None);
    rig.check(CheckMode::Resume);
    rig.fetch_all(&Space::new(rig.layout(), &files));
    rig.close();
    let rig = Rig::seed(&hashes, &dir, StoreConfig::default());
    assert!(rig.check(CheckMode::Full).have.is_full());
    rig.close();
    println!("complete");
}

/// C10: 400 files with 64 descriptors.
#[test]
fn few_descriptors_are_enough() {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "faults::process_with_few_descriptors", "--nocapture"])
        .env("PEERAGE_FEW_DIR", temp.path().join("content"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("complete"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// P6: whatever names a torrent has, nothing is written outside of the folder.
#[test]
fn hostile_names_stay_inside() {
    let long = |len: usize| vec![b'n'; len];
    let vectors: Vec<Vec<Vec<u8>>> = [
        &["..", "evil"][..],
        &["..", "..", "..", "tmp", "evil"],
        &["..\\evil"],
        &["a", "..", "..", "evil"],
        &["/etc/evil"],
        &["", "evil"],
        &[".", "evil"],
        &["../evil"],
        &["a/../../evil"],
        &["C:", "evil"],
        &["\\\\?\\C:\\evil"],
        &["evil\0.txt"],
        &["CON"],
        &["evil. "],
        &["evil."],
        &["\u{202e}txt.exe"],
        &["%2e%2e", "evil"],
        &["~", "evil"],
        &["-rf"],
        &["$(touch evil)"],
        &["\u{2025}", "evil"],
        &["caf\u{e9}"],
        &["cafe\u{301}"],
        &["CAFE\u{301}"],
        &["..", ""],
        &["content.part"],
        &[".peerage-00000000.parts"],
        &["x", "..", "..", "..", "x"],
    ]
    .iter()
    .map(|path| path.iter().map(|name| name.as_bytes().to_vec()).collect())
    .chain([vec![long(255)], vec![long(256)], vec![long(4096)], vec![long(255); 10]])
    .chain([
        vec![b"\xc0\xae\xc0\xae".to_vec(), b"evil".to_vec()],
        vec![b"\xff\xfe".to_vec()],
        vec![b"a".to_vec(), b"..".to_vec()],
    ])
    .collect();
    let check = |name: &[u8], paths: &[Vec<Vec<u8>>]| {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("outside");
        fs::create_dir_all(outside.join("target")).unwrap();
        let listed: Vec<_> = paths.iter().map(|path| (path.clone(), 100, false)).collect();
        let bytes = noise(1, 100 * paths.len());
        let pieces = sha1_of_pieces(&bytes);
        let info = common::torrent::info_v1(name, true, &listed, BLOCK, pieces);
        let Ok(info) = Info::parse(&info) else { return false };
        let hashes = Arc::new(Hashes::new(Arc::new(info)));
        let target = outside.join("target").join(&hashes.info().name);
        let rig = Rig::download(&hashes, &target, StoreConfig::default(), None);
        let outcome = rig.check(CheckMode::Resume);
        assert!(outcome.conflicts.is_empty() && outcome.errors.is_empty(), "{outcome:?}");
        for piece in 0..rig.layout().pieces() {
            let (at, len) = (piece as usize * BLOCK as usize, rig.layout().piece_len(piece) as usize);
            rig.write(piece, 0, vec![bytes[at..at + len].to_vec().into()]);
            assert!(rig.verify(piece, false).0);
        }
        rig.close();
        let found = tree(temp.path());
        assert_eq!(found.len(), paths.len(), "{name:?}: {:?}", found.keys());
        assert!(
            found.keys().all(|path| path.starts_with(target.strip_prefix(temp.path()).unwrap())),
            "{found:?}"
        );
        true
    };
    let mut loaded = 0;
    for vector in &vectors {
        loaded += usize::from(check(b"content", std::slice::from_ref(vector)));
        loaded += usize::from(check(vector[0].as_slice(), &[vec![b"f".to_vec()]]));
    }
    loaded += usize::from(check(b"content", &vectors));
    assert!(loaded > vectors.len(), "{loaded} were loaded");
}

fn sha1_of_pieces(bytes: &[u8]) -> Vec<u8> {
    use sha1::Digest;
    bytes.chunks(BLOCK as usize).flat_map(|piece| sha1::Sha1::digest(piece).to_vec()).collect()
}

/// A read-only folder: told as a failure, not as a full disk; nothing is lost.
#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![("f/g".to_owned(), noise(1, 1_000))];
    let hashes = make(Kind::V1, "content", &files, BLOCK);
    let dir = temp.path().join("content");
    // A file stands where a folder is needed: holds for root, too.
    write_files(&dir, &vec![("f".to_owned(), Vec::new())]);
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    rig.check(CheckMode::Resume);
    rig.write(0, 0, vec![files[0].1.clone().into()]);
    rig.log.wait("failure", |report| matches!(report, Report::Failed { full: false, .. }).then_some(()));
    rig.close();
    assert_eq!(tree(&dir).len(), 1);
}

/// Bytes that were reported as written are not taken for unwritten ones when they cannot be read back:
/// whoever counts what is on its way to the disk would count them twice.
#[test]
fn what_fails_in_judging_is_told_from_what_fails_in_writing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("content");
    let files = vec![("a".to_owned(), noise(1, BLOCK as usize)), ("b".to_owned(), noise(2, BLOCK as usize))];
    let hashes = make(Kind::V1, "content", &files, BLOCK);
    // One open file: a write to the second closes the first.
    let config = StoreConfig { files_open_max: Some(1), ..StoreConfig::default() };
    let rig = Rig::download(&hashes, &dir, config, None);
    rig.check(CheckMode::Resume);
    for piece in 0..2 {
        rig.write(piece, 0, vec![files[piece as usize].1.clone().into()]);
        rig.log.wait("write", |report| matches!(report, Report::Written { .. }).then_some(()));
    }
    fs::remove_file(dir.join("a.part")).unwrap();
    fs::create_dir(dir.join("a.part")).unwrap();
    let failure = |what: &str| {
        rig.log.wait(what, |report| match report {
            Report::Failed { piece: 0, begin, len, written, full: false, .. } => {
                Some((*begin, *len, *written))
            }
            _ => None,
        })
    };
    // Digests of a v1 piece are made of what is read back.
    rig.torrent.verify(0, true);
    assert_eq!(failure("failed judging"), (0, BLOCK, true));
    rig.write(0, 0, vec![files[0].1.clone().into()]);
    assert_eq!(failure("failed write"), (0, BLOCK, false));
    rig.close();
}
