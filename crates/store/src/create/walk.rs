//! Finding the files of a folder.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use peerage_base::limits::{FILES_MAX, PATH_DEPTH_MAX};
use rustix::fs::{FileType, Mode, lstat};

use crate::{error::HashError, place::FileIdentity};

/// A file to be hashed.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Names from the content's folder down; for content that is one file, its name.
    pub(super) names: Vec<String>,
    pub(super) identity: FileIdentity,
    pub(super) executable: bool,
}

/// The files of some paths.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) name: String,
    pub(super) folder: bool,
    pub(super) found: Vec<Found>,
    pub(super) warnings: Vec<String>,
}

/// Goes through `paths`.
pub(super) fn walk(paths: &[PathBuf], name: Option<&str>) -> Result<Walk, HashError> {
    let real =
        |path: &PathBuf| path.canonicalize().map_err(|source| HashError::Io { path: path.clone(), source });
    let paths: Vec<PathBuf> = paths.iter().map(real).collect::<Result<_, _>>()?;
    let (first, several) = match paths.as_slice() {
        [] => return Err(HashError::Empty { path: PathBuf::new() }),
        [only] => (only, false),
        [first, ..] => (first, true),
    };
    let folder = several || first.is_dir();
    let named = if several { first.parent() } else { Some(first.as_path()) };
    let own = named.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let name = name.map(ToOwned::to_owned).or(own).unwrap_or_else(|| "content".to_owned());
    let mut walk = Walk { name, folder, found: Vec::new(), warnings: Vec::new() };
    if several {
        for path in &paths {
            let names = vec![walk.name_of(path.file_name().unwrap_or(OsStr::new("_")), path)];
            walk.visit(path, &names)?;
        }
    } else if folder {
        walk.enter(first, &[])?;
    } else {
        let names = vec![walk.name.clone()];
        walk.visit(first, &names)?;
    }
    walk.sort();
    if walk.found.is_empty() {
        return Err(HashError::Empty { path: first.clone() });
    }
    Ok(walk)
}

impl Walk {
    /// Torrents name files in UTF-8.
    fn name_of(&mut self, name: &OsStr, path: &Path) -> String {
        match name.to_str() {
            Some(name) => name.to_owned(),
            None => {
                let name = name.to_string_lossy().into_owned();
                self.warnings.push(format!("{} is not named in UTF-8: shared as {name}", path.display()));
                name
            }
        }
    }

    fn enter(&mut self, folder: &Path, names: &[String]) -> Result<(), HashError> {
        let fail = |source| HashError::Io { path: folder.to_owned(), source };
        if names.len() > PATH_DEPTH_MAX {
            return Err(fail(io::Error::other(format!("more than {PATH_DEPTH_MAX} folders in each other"))));
        }
        for entry in fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let path = entry.path();
            let name = self.name_of(&entry.file_name(), &path);
            self.visit(&path, &[names, &[name]].concat())?;
        }
        Ok(())
    }

    fn visit(&mut self, path: &Path, names: &[String]) -> Result<(), HashError> {
        let fail = |source: io::Error| HashError::Io { path: path.to_owned(), source };
        let stat = lstat(path).map_err(|error| fail(error.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.enter(path, names),
            FileType::RegularFile => {}
            kind => {
                let what = if kind == FileType::Symlink { "a symbolic link" } else { "not a regular file" };
                self.warnings.push(format!("{} is {what}: left out", path.display()));
                return Ok(());
            }
        }
        if self.found.len() >= FILES_MAX {
            return Err(fail(io::Error::other(format!("more than {FILES_MAX} files"))));
        }
        let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
        let identity = FileIdentity::from_stat(&stat);
        self.found.push(Found { path: path.to_owned(), names: names.to_vec(), identity, executable });
        Ok(())
    }

    /// By the bytes of each name in turn, as the file tree of BEP 52 is sorted. Of files that have one
    /// name now, the first is kept.
    fn sort(&mut self) {
        self.found.sort_by(|a, b| a.names.cmp(&b.names).then_with(|| a.path.cmp(&b.path)));
        let mut taken = BTreeSet::new();
        let warnings = &mut self.warnings;
        self.found.retain(|file| {
            let new = taken.insert(file.names.clone());
            if !new {
                warnings.push(format!("{} has the name of another file: left out", file.path.display()));
            }
            new
        });
        self.warnings.sort();
    }
}
