//! The keys under which a user publishes: one file of mode 0600 for each, in the state folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use peerage_net::identity::Identity;

use crate::identity::{self, IdentityError};

/// The folder in the state folder.
const FOLDER: &str = "keys";
const SUFFIX: &str = ".key";
/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;

/// What is wrong with a key, or its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "`{0}` is no name for a key: 1 to {NAME_CHARS_MAX} of a to z, 0 to 9, - and _, and no key itself"
    )]
    Name(String),
    #[error("there is no key `{0}`")]
    Absent(String),
    #[error("there is a key `{0}` already")]
    Taken(String),
    #[error("a secret key is 64 hexadecimal digits")]
    Secret,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// The keys in a state folder.
pub(crate) struct Keys(PathBuf);

impl Keys {
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self(state_dir.join(FOLDER))
    }

    /// All of them by name; those that are damaged are left out.
    pub(crate) fn list(&self) -> Result<Vec<(String, Identity)>, KeyError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(KeyError::File { path: self.0.clone(), source }),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|name| is_name(name));
            if let Some(name) = name
                && let Ok(key) = self.open(name)
            {
                found.push((name.to_owned(), key));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    pub(crate) fn open(&self, name: &str) -> Result<Identity, KeyError> {
        identity::read(&self.path(name)?).map_err(|error| match error {
            IdentityError::File { source, .. } if source.kind() == ErrorKind::NotFound => {
                KeyError::Absent(name.to_owned())
            }
            error => error.into(),
        })
    }

    /// A new one.
    pub(crate) fn make(&self, name: &str) -> Result<Identity, KeyError> {
        self.put(name, identity::fresh()?)
    }

    /// One that was exported: 64 hexadecimal digits.
    pub(crate) fn import(&self, name: &str, text: &str) -> Result<Identity, KeyError> {
        let seed = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).unwrap_or_default();
        let seed = seed.try_into().map_err(|_| KeyError::Secret)?;
        self.put(name, Identity::from_seed(seed))
    }

    fn put(&self, name: &str, key: Identity) -> Result<Identity, KeyError> {
        let path = self.path(name)?;
        let made = fs::create_dir_all(&self.0);
        made.and_then(|()| identity::write_new(&path, &key)).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => KeyError::Taken(name.to_owned()),
            _ => KeyError::File { path: path.clone(), source },
        })?;
        Ok(key)
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name(name.to_owned()));
        }
        Ok(self.0.join(format!("{name}{SUFFIX}")))
    }
}

/// The secret as it is exported.
pub(crate) fn export(key: &Identity) -> String {
    data_encoding::HEXLOWER.encode(key.seed())
}

/// The public key, as others follow it.
pub(crate) fn public(key: &Identity) -> String {
    data_encoding::HEXLOWER.encode(&key.id().0)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    !key && (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_kept_private_and_move_as_text() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        assert!(keys.list().unwrap().is_empty());
        let made = keys.make("blog").unwrap();
        assert!(matches!(keys.make("blog"), Err(KeyError::Taken(_))));
        assert_eq!(keys.open("blog").unwrap().id(), made.id());
        let mode = fs::metadata(dir.path().join("keys/blog.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = Keys::of(&dir.path().join("other"));
        other.import("copy", &format!("{}\n", export(&made))).unwrap();
        assert_eq!(other.open("copy").unwrap().id(), made.id());
        assert!(matches!(other.import("copy", &export(&made)), Err(KeyError::Taken(_))));
        assert!(matches!(other.import("bad", "12"), Err(KeyError::Secret)));
        assert!(matches!(keys.open("none"), Err(KeyError::Absent(_))));
        fs::write(dir.path().join("keys/damaged.key"), b"short").unwrap();
        let names: Vec<String> = keys.list().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["blog"]);
    }

    #[test]
    fn names_lead_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        for name in ["", "..", "a/b", "../x", "A", "ä", "a b", "a.key", &"a".repeat(65), &"0".repeat(64)] {
            assert!(matches!(keys.make(name), Err(KeyError::Name(_))), "{name}");
        }
    }
}
