//! Opening, making and renaming files below a folder, whatever is done to it meanwhile.
//!
//! The folder itself is the user's choice and may lie behind symbolic links. Below it no link is
//! followed: the kernel checks that (`openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, Linux
//! 5.6); where it cannot, each component is opened by itself with `O_NOFOLLOW`. Both hold against a
//! program that swaps folders for links at the same time.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fstat, linkat, mkdirat, openat,
        openat2, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

/// Bytes of a path handed to the kernel in one call (`PATH_MAX` is 4,096); longer ones go in steps.
const PATH_STEP: usize = 3_000;

const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It exists; for reading.
    Read,
    /// It exists; for both.
    Write,
    /// For both; made, with its folders, where it is missing.
    Create,
    /// For both; made, with its folders, and an error where it exists.
    CreateNew,
}

impl Access {
    fn flags(self) -> OFlags {
        // NONBLOCK: opening a FIFO that someone planted must not hang; it does nothing to files.
        let common = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        common
            | match self {
                Self::Read => OFlags::RDONLY,
                Self::Write => OFlags::RDWR,
                Self::Create => OFlags::RDWR | OFlags::CREATE,
                Self::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            }
    }
}

/// A folder below which files are kept.
#[derive(Debug)]
pub(crate) struct Root {
    dir: OwnedFd,
    /// The kernel has no `openat2` (or a sandbox forbids it): go component by component.
    by_component: AtomicBool,
}

impl Root {
    /// Opens the folder, making it (and those above it) where it is missing.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// Opens a folder that exists.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let dir = openat(CWD, path, DIR, Mode::empty())?;
        Ok(Self { dir, by_component: AtomicBool::new(false) })
    }

    #[cfg(test)]
    pub(crate) fn without_openat2(self) -> Self {
        self.by_component.store(true, Ordering::Relaxed);
        self
    }

    /// Opens the regular file at `path` (non-empty components, none of them `.` or `..` or with a
    /// slash).
    pub(crate) fn file<S: AsRef<str>>(&self, path: &[S], access: Access) -> io::Result<File> {
        let (name, folders) = split(path)?;
        if let Ok(file) = self.file_once(folders, name, access) {
            return Ok(file);
        }
        if matches!(access, Access::Create | Access::CreateNew) {
            self.make_folders(folders)?;
        }
        self.file_once(folders, name, access)
    }

    fn file_once<S: AsRef<str>>(&self, folders: &[S], name: &str, access: Access) -> io::Result<File> {
        let parent = self.folder(folders)?;
        let parent = parent.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
        let mode = Mode::from_raw_mode(0o666);
        let fd = openat(parent, name, access.flags(), mode)?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(File::from(fd))
    }

    /// The regular file's status at `path`, without opening it. `None`: nothing is there. A link or
    /// a special file is an error.
    pub(crate) fn stat<S: AsRef<str>>(&self, path: &[S]) -> io::Result<Option<rustix::fs::Stat>> {
        let (name, folders) = split(path)?;
        let found = self.folder(folders).and_then(|parent| {
            let parent = parent.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
            Ok(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
        });
        match found {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(Some(stat)),
            Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the file at `from`, in the same folder, the name `to`, which nothing has yet.
    pub(crate) fn rename<S: AsRef<str>>(&self, folders: &[S], from: &str, to: &str) -> io::Result<()> {
        check_component(from)?;
        check_component(to)?;
        let parent = self.folder(folders)?;
        let parent = parent.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
        match renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
            // The file system cannot refuse to replace: a hard link can.
            Err(Errno::INVAL | Errno::NOSYS) => {
                linkat(parent, from, parent, to, AtFlags::empty())?;
                Ok(unlinkat(parent, from, AtFlags::empty())?)
            }
            other => Ok(other?),
        }
    }

    /// Removes a file.
    pub(crate) fn remove<S: AsRef<str>>(&self, path: &[S]) -> io::Result<()> {
        let (name, folders) = split(path)?;
        let parent = self.folder(folders)?;
        let parent = parent.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
        Ok(unlinkat(parent, name, AtFlags::empty())?)
    }

    /// Opens the folder below the root; `None` is the root itself.
    fn folder<S: AsRef<str>>(&self, folders: &[S]) -> io::Result<Option<OwnedFd>> {
        if folders.is_empty() {
            return Ok(None);
        }
        if !self.by_component.load(Ordering::Relaxed) {
            match self.folder_by_path(folders) {
                Err(error)
                    if matches!(error.raw_os_error(), Some(code)
                        if code == Errno::NOSYS.raw_os_error()
                            || code == Errno::PERM.raw_os_error()) =>
                {
                    self.by_component.store(true, Ordering::Relaxed);
                }
                other => return other.map(Some),
            }
        }
        let mut here: Option<OwnedFd> = None;
        for folder in folders {
            let at = here.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
            here = Some(open_folder(at, folder.as_ref())?);
        }
        Ok(here)
    }

    fn folder_by_path<S: AsRef<str>>(&self, folders: &[S]) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut here: Option<OwnedFd> = None;
        let mut path = String::new();
        for (index, folder) in folders.iter().enumerate() {
            check_component(folder.as_ref())?;
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(folder.as_ref());
            let next = folders.get(index + 1).map_or(PATH_STEP, |next| next.as_ref().len());
            if path.len() + next >= PATH_STEP {
                let at = here.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
                here = Some(open_beneath(at, &path, resolve)?);
                path.clear();
            }
        }
        here.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }

    fn make_folders<S: AsRef<str>>(&self, folders: &[S]) -> io::Result<()> {
        let mut here: Option<OwnedFd> = None;
        for folder in folders {
            let at = here.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
            check_component(folder.as_ref())?;
            match mkdirat(at, folder.as_ref(), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            here = Some(open_folder(at, folder.as_ref())?);
        }
        Ok(())
    }
}

/// `openat2` answers `EAGAIN` when a rename ran at the same time and it cannot tell: ask again.
fn open_beneath(at: BorrowedFd<'_>, path: &str, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    for _ in 0..64 {
        match openat2(at, path, DIR, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
    Err(Errno::AGAIN.into())
}

fn open_folder(at: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    check_component(name)?;
    Ok(openat(at, name, DIR | OFlags::NOFOLLOW, Mode::empty())?)
}

fn split<S: AsRef<str>>(path: &[S]) -> io::Result<(&str, &[S])> {
    let (name, folders) = path.split_last().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    check_component(name.as_ref())?;
    Ok((name.as_ref(), folders))
}

/// A second line of defence: `content` has made names safe already.
fn check_component(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "unsafe name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
