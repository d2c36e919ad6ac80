use std::{
    fs,
    os::unix::fs::{FileExt, symlink},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::*;

fn roots(path: &Path) -> [Root; 2] {
    [Root::create(path).unwrap(), Root::create(path).unwrap().without_openat2()]
}

#[test]
fn makes_folders_and_finds_files_again() {
    let temp = tempfile::tempdir().unwrap();
    for (index, root) in roots(temp.path()).iter().enumerate() {
        let path = ["a".to_owned(), format!("b{index}"), "c".to_owned()];
        assert!(root.stat(&path).unwrap().is_none());
        assert!(root.file(&path, Access::Read).is_err() && root.file(&path, Access::Write).is_err());
        root.file(&path, Access::Create).unwrap().write_all_at(b"hello", 0).unwrap();
        assert_eq!(root.stat(&path).unwrap().unwrap().st_size, 5);
        root.rename(&path[..2], "c", "d").unwrap();
        assert!(root.stat(&path).unwrap().is_none());
        assert_eq!(fs::read(temp.path().join(format!("a/b{index}/d"))).unwrap(), b"hello");
    }
}

#[test]
fn rename_never_replaces() {
    let temp = tempfile::tempdir().unwrap();
    let root = Root::create(temp.path()).unwrap();
    fs::write(temp.path().join("x.part"), "new").unwrap();
    fs::write(temp.path().join("x"), "old").unwrap();
    let none: [&str; 0] = [];
    assert_eq!(root.rename(&none, "x.part", "x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(temp.path().join("x")).unwrap(), b"old");
}

#[test]
fn refuses_links_special_files_and_unsafe_names() {
    let temp = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), temp.path().join("dir")).unwrap();
    symlink(outside.path().join("secret"), temp.path().join("file")).unwrap();
    symlink(outside.path().join("new"), temp.path().join("dangling")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(temp.path().join("fifo")).status();
    for root in roots(temp.path()) {
        for access in [Access::Read, Access::Write, Access::Create] {
            for path in [
                &["dir", "secret"][..],
                &["dir", "new"],
                &["dir", "sub", "new"],
                &["file"],
                &["..", "x"],
                &["."],
                &["a/../../x"],
                &[""],
                &[],
                &["a\0b"],
            ] {
                assert!(root.file(path, access).is_err(), "{path:?} {access:?}");
            }
            if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                assert!(root.file(&["fifo"], access).is_err());
            }
        }
        assert!(root.file(&["dangling"], Access::Create).is_err());
        assert!(root.stat(&["file"]).is_err());
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn paths_longer_than_the_kernel_takes_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let path: Vec<String> = (0..60).map(|index| format!("{index:0>200}")).collect();
    for root in roots(temp.path()) {
        root.file(&path, Access::Create).unwrap().write_all_at(b"deep", 0).unwrap();
        assert_eq!(root.stat(&path).unwrap().unwrap().st_size, 4);
        root.remove(&path).unwrap();
    }
    // tempfile removes the tree with `openat`, so that its depth does no harm.
}

/// P7: a folder is swapped for a link to the outside, and back, while files are made in it.
#[test]
fn swapping_a_folder_for_a_link_never_leads_outside() {
    let temp = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let (target, link) = (temp.path().join("swap"), temp.path().join("link"));
    fs::create_dir(&target).unwrap();
    symlink(outside.path(), &link).unwrap();
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) || swaps.load(Ordering::Relaxed) < 10_000 {
                renameat_with(CWD, &target, CWD, &link, flags).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut made = 0;
        for root in roots(temp.path()) {
            for index in 0..1_000 {
                let path = ["swap".to_owned(), "sub".to_owned(), format!("f{index}")];
                made += u32::from(root.file(&path, Access::Create).is_ok());
                made += u32::from(root.file(&path[..1], Access::Create).is_ok());
            }
        }
        stop.store(true, Ordering::Relaxed);
        made
    });
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "a file was made outside");
    assert!(made > 0, "no write ever succeeded: the test shows nothing");
    assert!(swaps.load(Ordering::Relaxed) >= 10_000);
}
