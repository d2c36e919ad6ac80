//! The address of the control API's UNIX socket.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a path that fit into a socket's address (unix(7)), without the zero at its end.
const PATH_BYTES_MAX: usize = 107;

/// A path that fits into a socket's address. Where the real one is too long, it leads there through the open
/// folder, as long as this value lives (Linux alone has such paths).
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    /// The address of the socket `path`, whose folder is there.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn new(path: &Path) -> io::Result<Self> {
        let parts = path.parent().zip(path.file_name());
        let Some((folder, name)) = parts.filter(|_| path.as_os_str().as_bytes().len() > PATH_BYTES_MAX)
        else {
            return Ok(Self { path: path.to_owned(), _folder: None });
        };
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn sockets_deep_down_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("d".repeat(100)).join("e".repeat(200));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("api.sock");
        assert!(UnixListener::bind(&path).is_err(), "too long for the system");
        let listener = UnixListener::bind(SocketPath::new(&path).unwrap()).unwrap();
        UnixStream::connect(SocketPath::new(&path).unwrap()).unwrap();
        listener.accept().unwrap();
        assert!(path.exists());
        assert!(SocketPath::new(&dir.path().join("n".repeat(200)).join("api.sock")).is_err());
    }
}
