//! The node's key between runs.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use peerage_net::identity::Identity;

use crate::lock;

/// The file in the state folder.
const FILE: &str = "identity.key";
/// Locked by the run that shows the key at a relay.
const LOCK: &str = "identity.lock";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not a key: it should have 32 bytes", .0.display())]
    Malformed(PathBuf),
    #[error("the system gives no random numbers: {0}")]
    Entropy(#[from] getrandom::Error),
}

/// A key for this run alone: who fetches is not known again by it.
pub(crate) fn fresh() -> Result<Identity, IdentityError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(Identity::from_seed(seed))
}

/// The key that stays, made at its first use: links name it.
pub(crate) fn kept(state_dir: &Path) -> Result<Identity, IdentityError> {
    kept_at(&state_dir.join(FILE))
}

/// Whether this run may show the key that stays at a relay, which serves each key once.
#[derive(Debug, Default)]
pub(crate) enum Claim {
    /// It is not asked for.
    #[default]
    None,
    /// As long as these files are open, one for each relay.
    Held(#[expect(dead_code, reason = "they are locked while they are open")] Vec<fs::File>),
    /// Another run does.
    Taken,
}

/// The key that stays, for a run that shows it at these relays; a fresh one where another run does so at
/// one of them.
pub(crate) fn claimed(state_dir: &Path, relays: &[String]) -> Result<(Identity, Claim), IdentityError> {
    let identity = kept(state_dir)?;
    let mut files = Vec::new();
    for relay in relays {
        let place = relay.split('#').next().unwrap_or_default();
        let name: String = place.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = format!("{LOCK}.{}", name.get(..100).unwrap_or(&name));
        match lock::take(state_dir, &name) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((fresh()?, Claim::Taken)),
            Err(source) => return Err(IdentityError::File { path: state_dir.join(name), source }),
        }
    }
    Ok((identity, Claim::Held(files)))
}

/// The key in a file of the user's choice, made at its first use.
pub(crate) fn kept_at(path: &Path) -> Result<Identity, IdentityError> {
    let file = |source| IdentityError::File { path: path.to_owned(), source };
    match read(path) {
        Err(IdentityError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        result => return result,
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(file)?;
    }
    let identity = fresh()?;
    match write_new(path, &identity) {
        Ok(()) => Ok(identity),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(file(error)),
    }
}

/// Writes a key where there is none: whole or not at all, and only one of two that begin together.
///
/// # Errors
/// `AlreadyExists`, or what the system says.
pub(crate) fn write_new(path: &Path, identity: &Identity) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", identity.id()));
    let draft = PathBuf::from(draft);
    let written = write(&draft, identity.seed()).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    written
}

/// The key that stays, if there is one.
pub(crate) fn existing(state_dir: &Path) -> Option<Identity> {
    read(&state_dir.join(FILE)).ok()
}

/// The key in a file.
///
/// # Errors
/// There is none, or it is damaged.
pub(crate) fn read(path: &Path) -> Result<Identity, IdentityError> {
    let bytes = fs::read(path).map_err(|source| IdentityError::File { path: path.to_owned(), source })?;
    let seed = bytes.try_into().map_err(|_| IdentityError::Malformed(path.to_owned()))?;
    Ok(Identity::from_seed(seed))
}

fn write(path: &Path, seed: &[u8; 32]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(seed)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_kept_key_stays_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..4).map(|_| scope.spawn(|| kept(&state).unwrap().id())).collect();
            begun.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
        let files: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap()).collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(fresh().unwrap().id(), ids[0]);
    }

    /// A relay serves each key once: the second run would cut the first one off.
    #[test]
    fn one_run_at_a_time_shows_the_key_at_a_relay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |port: u16| [format!("https://192.0.2.1:{port}#KEY")];
        let (first, claim) = claimed(dir.path(), &at(1)).unwrap();
        let (second, other) = claimed(dir.path(), &at(1)).unwrap();
        let (elsewhere, free) = claimed(dir.path(), &at(2)).unwrap();
        assert!(elsewhere.id() == first.id() && matches!(free, Claim::Held(_)));
        assert!(matches!(claim, Claim::Held(_)) && matches!(other, Claim::Taken));
        assert_ne!(first.id(), second.id());
        drop(claim);
        let (third, claim) = claimed(dir.path(), &at(1)).unwrap();
        assert!(matches!(claim, Claim::Held(_)) && third.id() == first.id());
    }

    #[test]
    fn a_damaged_key_is_told_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"short").unwrap();
        assert!(matches!(kept(dir.path()), Err(IdentityError::Malformed(_))));
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"short");
    }
}
