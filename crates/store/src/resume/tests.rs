use std::{os::unix::fs::FileExt, path::PathBuf};

use super::*;

fn identity(number: u64) -> FileIdentity {
    FileIdentity {
        dev: 1,
        inode: number,
        size: number * 3,
        modified: (number as i64, 5),
        changed: (number as i64, 6),
    }
}

fn checkpoint(pieces: &[u32]) -> Checkpoint {
    let mut have = PieceSet::new(1_000);
    pieces.iter().for_each(|piece| assert!(have.insert(*piece)));
    Checkpoint { have, files: vec![(0, Some(identity(1))), (3, Some(identity(4)))] }
}

fn fresh(dir: &Path) -> (PathBuf, Resume) {
    let path = dir.join("x.redb");
    let (resume, warning) = Resume::open(&path).unwrap();
    assert!(warning.is_none());
    (path, resume)
}

#[test]
fn what_is_saved_is_loaded_and_the_last_word_counts() {
    let temp = tempfile::tempdir().unwrap();
    let (path, resume) = fresh(temp.path());
    assert!(resume.load(1_000).have.is_none());
    resume.save_metadata(b"info").unwrap();
    resume.save(&checkpoint(&[1, 2])).unwrap();
    resume
        .save(&Checkpoint { files: vec![(3, None), (7, Some(identity(7)))], ..checkpoint(&[1, 2, 999]) })
        .unwrap();
    assert!(matches!(Resume::open(&path), Err(AddError::InUse)));
    drop(resume);
    let (resume, warning) = Resume::open(&path).unwrap();
    assert!(warning.is_none());
    let record = resume.load(1_000);
    assert_eq!(record.have.unwrap().iter().collect::<Vec<_>>(), [1, 2, 999]);
    assert_eq!(record.files, BTreeMap::from([(0, identity(1)), (7, identity(7))]));
    assert_eq!(resume.metadata().unwrap().as_deref(), Some(&b"info"[..]));
    assert!(resume.load(2_000).have.is_none(), "another number of pieces");
    resume.clear().unwrap();
    let record = resume.load(1_000);
    assert!(record.have.is_none() && record.files.is_empty());
}

#[test]
fn garbage_is_renamed_away() {
    let temp = tempfile::tempdir().unwrap();
    for (index, garbage) in
        [&b""[..], b"x", &[0; 100_000], &[0xff; 4096], b"redb\x1a\n\xa9\r\n and more"].iter().enumerate()
    {
        let path = temp.path().join(format!("{index}.redb"));
        fs::write(&path, garbage).unwrap();
        let (resume, warning) = Resume::open(&path).unwrap();
        assert_eq!(warning.is_some(), !garbage.is_empty(), "garbage {index}");
        assert!(resume.load(1_000).have.is_none());
        resume.save(&checkpoint(&[5])).unwrap();
        assert_eq!(resume.load(1_000).have.unwrap().count(), 1);
    }
}

/// The second line behind the database's own checksums.
#[test]
fn a_seal_fits_its_key_and_value_only() {
    let sealed = seal(b"have", &[7; 40]);
    assert_eq!(unseal(b"have", &sealed), Some(&[7; 40][..]));
    assert_eq!(unseal(b"files", &sealed), None);
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unseal(b"have", &flipped), None, "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert_eq!(unseal(b"have", &sealed[..len]), None);
    }
}

/// C6: bytes are flipped, one at a time: a thousand here, each one that holds anything with
/// `PEERAGE_TEST_FULL=1`. What is then believed was true at some checkpoint.
#[test]
fn no_flipped_byte_is_believed() {
    let memory = Path::new("/dev/shm");
    let temp = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let (path, resume) = fresh(temp.path());
    resume.save_metadata(&[0x5a; 3_000]).unwrap();
    let saved = [checkpoint(&[1, 2]), checkpoint(&[1, 2, 500])];
    saved.iter().for_each(|checkpoint| resume.save(checkpoint).unwrap());
    drop(resume);
    let bytes = fs::read(&path).unwrap();
    let copy = temp.path().join("copy.redb");
    // Long stretches of zeros are what nothing refers to.
    let used =
        |at: &usize| bytes[at.saturating_sub(32)..(at + 32).min(bytes.len())].iter().any(|byte| *byte != 0);
    let places: Vec<usize> = (0..bytes.len()).filter(used).collect();
    let full = std::env::var_os("PEERAGE_TEST_FULL").is_some();
    let step = if full { 1 } else { places.len() / 1_000 };
    let (mut flips, mut detected) = (0, 0);
    // The library's own panics are caught; keep their text out of the test's output.
    std::panic::set_hook(Box::new(|_| {}));
    for at in places.into_iter().step_by(step) {
        let byte = bytes[at];
        flips += 1;
        fs::write(&copy, &bytes).unwrap();
        let file = fs::File::options().write(true).open(&copy).unwrap();
        file.write_all_at(&[byte ^ (1 << (at % 8))], at as u64).unwrap();
        drop(file);
        let Ok((resume, warning)) = Resume::open(&copy) else {
            detected += 1;
            continue;
        };
        let record = resume.load(1_000);
        if let Some(have) = &record.have {
            let known = saved.iter().any(|saved| saved.have == *have);
            assert!(known, "byte {at}: believed {:?}", have.iter().collect::<Vec<_>>());
        }
        for (file, identity) in &record.files {
            assert!(saved[0].files.contains(&(*file, Some(*identity))), "byte {at}: file {file}");
        }
        let whole = record.have.is_some() && record.files.len() == 2;
        detected += usize::from(warning.is_some() || !whole);
        if let Some(metadata) = guarded(|| resume.metadata()).ok().flatten() {
            assert_eq!(metadata, [0x5a; 3_000], "byte {at}");
        }
    }
    drop(std::panic::take_hook());
    assert!(flips >= 1_000 && detected > 100, "{flips} flips, {detected} detected");
}

#[test]
fn a_folder_has_one_name_before_it_is_made_and_after() {
    let temp = tempfile::tempdir().unwrap();
    let real = temp.path().canonicalize().unwrap();
    fs::create_dir(real.join("real")).unwrap();
    std::os::unix::fs::symlink("real", real.join("link")).unwrap();
    let name = |folder: &Path| path(Path::new("/state"), &[7; 20], folder);
    let expected = name(&real.join("real/new/content"));
    let back = back_to_root();
    let ways = [
        real.join("link/new/content"),
        real.join("link/new/content/"),
        real.join("link/./missing/../new/content"),
        back.join(real.join("link/new/content").strip_prefix("/").unwrap()),
    ];
    let check = || ways.iter().for_each(|way| assert_eq!(name(way), expected, "{}", way.display()));
    check();
    fs::create_dir_all(real.join("real/missing")).unwrap();
    check();
    fs::create_dir_all(real.join("real/new/content")).unwrap();
    check();
    assert_eq!(name(&real.join("real/new/content")), expected);
    // What is only relative to the working directory is nobody else's folder of that name.
    let here = std::env::current_dir().unwrap();
    assert_eq!(name(Path::new("no-such-folder")), name(&here.join("no-such-folder")));
    assert_eq!(name(Path::new("")), name(Path::new("")));
}

/// The way from the working directory to the root: makes absolute paths relative ones.
fn back_to_root() -> PathBuf {
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    here.components().skip(1).map(|_| "..").collect()
}
