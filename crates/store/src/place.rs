//! Where the files of a torrent are, and under which name.
//!
//! A download's file is in one of three homes: its own name with a suffix while it is not whole,
//! its own name afterwards, or, where it is not wanted, the torrent's one hidden *parts file*. That
//! file holds what pieces at the borders of wanted files carry of unwanted ones; it is as long as
//! the piece space and sparse, and each byte lies where the piece space has it.

mod beneath;
mod descriptors;
mod identity;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use peerage_content::Info;
use sha2::{Digest, Sha256};

pub(crate) use self::{
    beneath::{Access, Root},
    descriptors::Descriptors,
    identity::IDENTITY_LEN,
};
pub use identity::FileIdentity;

use crate::{
    error::AddError,
    store::{Mode, Place},
};

/// Index that stands for the parts file where an index of a file is meant.
pub(crate) const PARTS_INDEX: u32 = u32::MAX;

/// Bytes of a name that every Linux file system takes.
const NAME_BYTES_MAX: usize = 255;

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nowhere yet.
    None,
    /// Under its own name with a suffix.
    Part,
    /// Under its own name: whole and verified.
    Final,
    /// In the parts file.
    Parts,
}

/// Names of all files of a torrent.
#[derive(Debug)]
pub(crate) struct Places {
    /// Folder below which paths lie; none when each file has its own path.
    root: Option<Root>,
    /// For people.
    shown: PathBuf,
    /// First component of every path, where the root is the folder above the content's own.
    prefix: Option<String>,
    /// By index of the layout; empty where `root` is used.
    explicit: Vec<PathBuf>,
    names: PartNames,
}

/// Names of what is not whole yet.
#[derive(Clone, Debug, Default)]
pub struct PartNames {
    suffix: String,
    parts: String,
}

impl PartNames {
    /// Those of a torrent.
    #[must_use]
    pub fn new(info: &Info) -> Self {
        let parts = format!(".peerage-{}.parts", short_hash(&info.hashes.primary()));
        Self { suffix: part_suffix(info), parts }
    }

    /// The name of a file that is not whole, beside its own.
    #[must_use]
    pub fn part(&self, name: &str) -> String {
        if name.len() + self.suffix.len() <= NAME_BYTES_MAX {
            return format!("{name}{}", self.suffix);
        }
        let hash = short_hash(name.as_bytes());
        let mut end = NAME_BYTES_MAX - self.suffix.len() - hash.len() - 1;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}~{hash}{}", &name[..end], self.suffix)
    }

    /// The name of the parts file, in the folder of the content.
    #[must_use]
    pub fn parts(&self) -> &str {
        &self.parts
    }
}

impl Places {
    pub(crate) fn new(info: &Info, place: &Place, mode: Mode) -> Result<Self, AddError> {
        let mut places = Self {
            root: None,
            shown: PathBuf::new(),
            prefix: None,
            explicit: Vec::new(),
            names: PartNames::new(info),
        };
        match place {
            Place::Under(dir) => places.use_root(info, dir, mode)?,
            Place::Files(paths) => {
                let files = info.layout.files();
                let stored = files.iter().filter(|file| file.attr.is_stored()).count();
                if paths.len() != stored {
                    return Err(AddError::Paths { given: paths.len(), files: stored });
                }
                let mut paths = paths.iter();
                places.explicit = files
                    .iter()
                    .map(|file| if file.attr.is_stored() { paths.next() } else { None })
                    .map(|path| path.cloned().unwrap_or_default())
                    .collect();
            }
        }
        if places.root.is_none() && mode == Mode::Download {
            let given = places.explicit.len();
            return Err(AddError::Paths { given, files: 0 });
        }
        Ok(places)
    }

    /// A download's own folder is made, and never entered through a link that stands in its place:
    /// its name comes from the network. The folder above is the user's choice.
    fn use_root(&mut self, info: &Info, dir: &Path, mode: Mode) -> Result<(), AddError> {
        let own = info.folder && dir.file_name().is_some_and(|name| name == info.name.as_str());
        let above = if own && mode == Mode::Download { dir.parent() } else { None };
        let (folder, prefix) = match above {
            Some(above) if above.as_os_str().is_empty() => (Path::new("."), Some(info.name.clone())),
            Some(above) => (above, Some(info.name.clone())),
            None => (dir, None),
        };
        let root = if mode == Mode::Download { Root::create(folder) } else { Root::open(folder) };
        self.root = Some(root.map_err(|source| AddError::Dir { path: folder.to_owned(), source })?);
        folder.clone_into(&mut self.shown);
        self.prefix = prefix;
        Ok(())
    }

    fn components<'a>(&'a self, info: &'a Info, file: usize) -> Vec<&'a str> {
        let path = info.layout.files().get(file).map(|file| &file.path);
        self.prefix.as_deref().into_iter().chain(path.into_iter().flat_map(|path| path.names())).collect()
    }

    fn parts_path(&self) -> Vec<&str> {
        self.prefix.as_deref().into_iter().chain([self.names.parts()]).collect()
    }

    /// A file's own path, for people.
    pub(crate) fn path(&self, info: &Info, file: usize) -> PathBuf {
        match self.explicit.get(file) {
            Some(path) => path.clone(),
            None => self.components(info, file).iter().fold(self.shown.clone(), |path, name| path.join(name)),
        }
    }

    /// What stands in the way at a home, for people: the file itself, or what stands where one of its folders
    /// should be.
    pub(crate) fn obstacle(&self, info: &Info, file: usize, home: Home) -> PathBuf {
        if self.root.is_none() {
            return self.path(info, file);
        }
        let names = self.components(info, file);
        let Some((name, folders)) = names.split_last() else { return self.shown.clone() };
        let mut path = self.shown.clone();
        for folder in folders {
            path.push(folder);
            if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) {
                return path;
            }
        }
        if home == Home::Part { path.join(self.part_name(name)) } else { path.join(name) }
    }

    /// The parts file's path, for people.
    pub(crate) fn parts_shown(&self) -> PathBuf {
        self.parts_path().iter().fold(self.shown.clone(), |path, name| path.join(name))
    }

    fn root(&self) -> io::Result<&Root> {
        self.root.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
    }

    fn part_name(&self, name: &str) -> String {
        self.names.part(name)
    }

    /// Opens a file at its home. [`Home::Parts`] opens the parts file.
    pub(crate) fn open(&self, info: &Info, file: usize, home: Home, access: Access) -> io::Result<File> {
        if let Some(path) = self.explicit.get(file) {
            return open_explicit(path);
        }
        let root = self.root()?;
        let mut path = self.components(info, file);
        match home {
            Home::None => Err(io::ErrorKind::NotFound.into()),
            Home::Final => root.file(&path, access),
            Home::Parts => root.file(&self.parts_path(), access),
            Home::Part => {
                let name = path.pop().ok_or(io::ErrorKind::InvalidInput)?;
                let name = self.part_name(name);
                path.push(&name);
                root.file(&path, access)
            }
        }
    }

    /// What stands at a home; `None`: nothing.
    pub(crate) fn identity(&self, info: &Info, file: usize, home: Home) -> io::Result<Option<FileIdentity>> {
        if let Some(path) = self.explicit.get(file) {
            return match open_explicit(path) {
                Ok(file) => FileIdentity::of(file).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        }
        let root = self.root()?;
        let mut path = self.components(info, file);
        let name = path.pop().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let name = match home {
            Home::None => return Ok(None),
            Home::Final => name,
            Home::Part => self.part_name(&name),
            Home::Parts => {
                let stat = root.stat(&self.parts_path())?;
                return Ok(stat.map(|stat| FileIdentity::from_stat(&stat)));
            }
        };
        path.push(&name);
        Ok(root.stat(&path)?.map(|stat| FileIdentity::from_stat(&stat)))
    }

    /// From its name with the suffix to its own; nothing must have that.
    pub(crate) fn rename_to_final(&self, info: &Info, file: usize) -> io::Result<()> {
        let path = self.components(info, file);
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        self.root()?.rename(folders, &self.part_name(name), name)
    }

    /// From its own name to that with the suffix; nothing must have that.
    pub(crate) fn rename_to_part(&self, info: &Info, file: usize) -> io::Result<()> {
        let path = self.components(info, file);
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        self.root()?.rename(folders, name, &self.part_name(name))
    }

    /// Removes the parts file.
    pub(crate) fn remove_parts(&self) -> io::Result<()> {
        self.root()?.remove(&self.parts_path())
    }
}

/// What the user named is opened as it is, but for links and special files in its last place.
fn open_explicit(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::from_ne_bytes(flags.bits().to_ne_bytes());
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// `.part`, made longer until no file of the torrent has a name that ends with it: otherwise the
/// part of `x` could be the file `x.part`.
fn part_suffix(info: &Info) -> String {
    let mut suffix = ".part".to_owned();
    let taken = |suffix: &str| {
        info.layout.files().iter().any(|file| {
            let (path, end) = (file.path.as_str().as_bytes(), suffix.as_bytes());
            path.len() >= end.len() && path[path.len() - end.len()..].eq_ignore_ascii_case(end)
        })
    };
    while taken(&suffix) {
        suffix.push('~');
    }
    suffix
}

/// Eight hexadecimal digits.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
