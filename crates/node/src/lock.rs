//! Files of the state folder whose lock says which process has a right.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Takes the lock `name` in `dir`, which is held as long as the file is open.
///
/// # Errors
/// `WouldBlock`: another process holds it. Else the folder cannot be used.
pub(crate) fn take(dir: &Path, name: &str) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let path = dir.join(name);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}
