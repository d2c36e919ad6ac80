//! Replays every kept seed; a target that panics on one fails here, in seconds.

use peerage_fuzz::{CANARY, CANARY_SONG, Outcome, TARGETS, target};
use std::path::{Path, PathBuf};

fn seeds_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder =
        std::fs::read_dir(seeds_dir().join(target)).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a seed"))).collect()
}

fn outcome(name: &str, bytes: &[u8]) -> Result<Outcome, String> {
    let target = target(name).expect("a target");
    std::panic::catch_unwind(|| target(bytes)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

#[test]
fn no_seed_fails_and_each_target_accepts_and_refuses() {
    for (name, _) in TARGETS {
        let mut outcomes = Vec::new();
        for (path, bytes) in seeds(name) {
            outcomes.push(outcome(name, &bytes).unwrap_or_else(|text| panic!("{}: {text}", path.display())));
        }
        // Otherwise the target would check nothing, or refuse nothing. These refuse nothing by design.
        assert!(outcomes.contains(&Outcome::Accepted), "{name} accepts none of its seeds");
        assert!(outcomes.contains(&Outcome::Refused), "{name} refuses none of its seeds");
    }
}

#[test]
fn the_seeds_on_disk_are_the_targets() {
    let folders = std::fs::read_dir(seeds_dir()).expect("the seeds");
    let mut folders: Vec<_> =
        folders.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    folders.sort();
    let mut names: Vec<_> = TARGETS.iter().chain([&CANARY]).map(|(name, _)| name.to_string()).collect();
    names.sort();
    assert_eq!(folders, names);
    for (target, name, bytes) in peerage_fuzz::seeds::all() {
        let kept = std::fs::read(seeds_dir().join(target).join(name));
        assert!(kept.is_ok_and(|kept| kept == bytes), "{target}/{name} is not what `seeds` writes");
    }
}

/// The negative control: a replay sees a bug.
#[test]
fn the_canary_fails() {
    assert_eq!(outcome("canary", b"quiet"), Ok(Outcome::Refused));
    assert_eq!(outcome("canary", b"cave! and more"), Err(CANARY_SONG.to_string()));
}
