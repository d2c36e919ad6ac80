//! What survives the process: one small redb database per torrent and folder, in the state folder.
//!
//! Its name is made of the infohash and of the folder, so that two processes may work on different
//! torrents, or seed one and fetch the same into another folder, at the same time; the file is
//! locked while it is open, and the lock ends with its process.
//!
//! Every value carries a digest of itself and of its key: a flipped bit leads to hashing again, not
//! to a wrong belief. A database that cannot be read is renamed away, and everything is hashed.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Component, Path, PathBuf},
};

use peerage_base::InfoHashes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use sha2::{Digest, Sha256};

use crate::{
    error::AddError,
    place::{FileIdentity, IDENTITY_LEN, short_hash},
    report::PieceSet,
};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FILES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("files");

/// Bytes of the digest at the end of each value.
const SEAL_LEN: usize = 16;

/// Bytes that the database may keep in memory.
const CACHE_BYTES: usize = 256 * 1024;

/// What was known at the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The download got past its first look at what is there: partial files are its own.
    pub(crate) begun: bool,
    pub(crate) have: Option<PieceSet>,
    pub(crate) files: BTreeMap<u32, FileIdentity>,
}

/// What changed since the last one.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) have: PieceSet,
    /// Identities of files, once their bytes are durable; `None` for one that is not to be trusted.
    pub(crate) files: Vec<(u32, Option<FileIdentity>)>,
}

/// An open database.
pub(crate) struct Resume {
    database: Database,
    /// There was one that could not be read.
    damaged: bool,
}

/// Where the database of a torrent in a folder is.
pub(crate) fn path(state_dir: &Path, hash: &[u8; 20], folder: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let folder = settled(folder);
    state_dir.join(format!("{}{}.redb", prefix(hash), short_hash(folder.as_os_str().as_bytes())))
}

/// The one name of a folder, from whichever working directory and through whichever links it was
/// given; also while it is still to be made, since it must have the same name before and after.
fn settled(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    for above in absolute.ancestors() {
        let (Ok(mut path), Ok(rest)) = (above.canonicalize(), absolute.strip_prefix(above)) else {
            continue;
        };
        // Nothing of the rest exists, so it has no links: folders are made just as it says.
        for name in rest.components() {
            match name {
                Component::ParentDir => drop(path.pop()),
                name => path.push(name),
            }
        }
        return path;
    }
    absolute
}

fn prefix(hash: &[u8; 20]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).chain(["-".to_owned()]).collect()
}

/// The metadata that was kept for a link's torrent, in a folder or else in any other.
pub(crate) fn metadata(state_dir: &Path, hashes: &InfoHashes, folder: &Path) -> Option<Vec<u8>> {
    let prefixes: Vec<String> = hashes.wire().map(|hash| prefix(&hash)).collect();
    let entries = fs::read_dir(state_dir).ok()?.flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.ends_with(".redb") && prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
        .map(|entry| entry.path())
        .collect();
    let own: Vec<PathBuf> = hashes.wire().map(|hash| path(state_dir, &hash, folder)).collect();
    paths.sort_by_key(|path| (!own.contains(path), path.clone()));
    paths.iter().find_map(|path| {
        let (resume, _) = Resume::open(path).ok()?;
        guarded(|| resume.metadata()).ok().flatten()
    })
}

impl Resume {
    /// Opens or makes the database. A corrupt one is renamed away: the second part says so.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<String>), AddError> {
        let fail = |error: &dyn std::fmt::Display| AddError::Dir {
            path: path.to_owned(),
            source: io::Error::other(error.to_string()),
        };
        let error = match open(path) {
            Ok(database) => return Ok((Self { database, damaged: false }, None)),
            Err(Failure::InUse) => return Err(AddError::InUse),
            Err(Failure::Io(source)) => return Err(AddError::Dir { path: path.to_owned(), source }),
            Err(Failure::Corrupt(error)) => error,
        };
        let away = path.with_extension("redb.corrupt");
        fs::rename(path, &away).map_err(|error| fail(&error))?;
        let database = open(path).map_err(|failure| match failure {
            Failure::InUse => AddError::InUse,
            Failure::Io(source) => AddError::Dir { path: path.to_owned(), source },
            Failure::Corrupt(error) => fail(&error),
        })?;
        let warning = format!(
            "the resume state was damaged ({error}) and is now {}; everything is checked",
            away.display()
        );
        Ok((Self { database, damaged: true }, Some(warning)))
    }

    /// What was kept. Damaged values are left out.
    pub(crate) fn load(&self, pieces: u32) -> Record {
        guarded(|| self.try_load(pieces)).unwrap_or_default()
    }

    fn try_load(&self, pieces: u32) -> Result<Record, redb::Error> {
        let read = self.database.begin_read()?;
        let mut record = Record { begun: self.damaged, ..Record::default() };
        let Ok(meta) = read.open_table(META) else { return Ok(record) };
        if let Some(value) = meta.get("have")? {
            let bytes = unseal(b"have", value.value());
            record.have = bytes.and_then(|bytes| PieceSet::from_bytes(bytes.to_vec(), pieces));
        }
        record.begun |= meta.get("begun")?.is_some();
        let Ok(files) = read.open_table(FILES) else { return Ok(record) };
        for row in files.iter()? {
            let (key, value) = row?;
            let bytes = unseal(&key.value().to_le_bytes(), value.value());
            if let Some(bytes) = bytes.and_then(|bytes| <&[u8; IDENTITY_LEN]>::try_from(bytes).ok()) {
                record.files.insert(key.value(), FileIdentity::decode(bytes));
            }
        }
        Ok(record)
    }

    fn metadata(&self) -> Result<Option<Vec<u8>>, redb::Error> {
        let read = self.database.begin_read()?;
        let Ok(meta) = read.open_table(META) else { return Ok(None) };
        let value = meta.get("metadata")?;
        Ok(value.and_then(|value| unseal(b"metadata", value.value()).map(<[u8]>::to_vec)))
    }

    /// Keeps the metadata of a torrent that came by link.
    pub(crate) fn save_metadata(&self, metadata: &[u8]) -> Result<(), String> {
        guarded(|| {
            if self.metadata()?.as_deref() == Some(metadata) {
                return Ok(());
            }
            let write = self.database.begin_write()?;
            write.open_table(META)?.insert("metadata", &*seal(b"metadata", metadata))?;
            Ok(write.commit()?)
        })
    }

    /// Keeps, durably, that the download may have partial files from now on.
    pub(crate) fn save_begun(&self) -> Result<(), String> {
        guarded(|| {
            let write = self.database.begin_write()?;
            write.open_table(META)?.insert("begun", &*seal(b"begun", &[]))?;
            Ok(write.commit()?)
        })
    }

    /// Keeps a checkpoint, durably.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        guarded(|| {
            let write = self.database.begin_write()?;
            {
                let mut meta = write.open_table(META)?;
                meta.insert("have", &*seal(b"have", checkpoint.have.as_bytes()))?;
                let mut files = write.open_table(FILES)?;
                for (file, identity) in &checkpoint.files {
                    match identity {
                        Some(identity) => {
                            let value = seal(&file.to_le_bytes(), &identity.encode());
                            files.insert(file, &*value)?;
                        }
                        None => drop(files.remove(file)?),
                    }
                }
            }
            Ok(write.commit()?)
        })
    }

    /// Forgets all pieces: after the disk failed to keep what it was given.
    pub(crate) fn clear(&self) -> Result<(), String> {
        guarded(|| {
            let write = self.database.begin_write()?;
            write.delete_table(FILES)?;
            write.open_table(META)?.remove("have")?;
            Ok(write.commit()?)
        })
    }
}

enum Failure {
    InUse,
    Io(io::Error),
    Corrupt(String),
}

fn open(path: &Path) -> Result<Database, Failure> {
    let result = catch_unwind(|| {
        let mut database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        // Pages carry checksums, which are looked at only here. The file is small.
        database.check_integrity()?;
        Ok(database)
    });
    match result {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(Failure::InUse),
        Ok(Err(DatabaseError::Storage(StorageError::Io(error))))
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            Err(Failure::Io(error))
        }
        Ok(Err(error)) => Err(Failure::Corrupt(error.to_string())),
        Err(_) => Err(Failure::Corrupt("its structure is inconsistent".to_owned())),
    }
}

/// Damage that checksums miss may make the database library panic: that is an error like others.
fn guarded<T>(run: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the resume state is damaged".to_owned()),
    }
}

fn digest(key: &[u8], value: &[u8]) -> [u8; SEAL_LEN] {
    let mut sha = Sha256::new();
    sha.update((key.len() as u64).to_le_bytes());
    sha.update(key);
    sha.update(value);
    let mut short = [0; SEAL_LEN];
    short.copy_from_slice(&sha.finalize()[..SEAL_LEN]);
    short
}

fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    [value, &digest(key, value)].concat()
}

fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (value, seal) = sealed.split_at_checked(sealed.len().checked_sub(SEAL_LEN)?)?;
    (digest(key, value) == seal).then_some(value)
}

#[cfg(test)]
mod tests;
