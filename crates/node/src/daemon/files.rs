//! A closed transfer's files, removed or moved. Blocks; never follows a link that stands in a file's place.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_api::error::{ExitCode, Failure};
use peerage_content::Info;
use peerage_store::PartNames;

use super::catalog::{Reader, Table};
use super::record::Record;
use super::running::describe;

/// What the store makes of a transfer, below its folder: files under their own names, partial ones, and the
/// folders they are in, deepest first.
struct Tree {
    files: Vec<PathBuf>,
    parts: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn tree(info: &Info) -> Tree {
    let root = if info.folder { PathBuf::from(&info.name) } else { PathBuf::new() };
    let mut folders = BTreeSet::new();
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    let names = PartNames::new(info);
    for file in info.layout.files().iter().filter(|file| !file.is_pad()) {
        let path = file.path.names().fold(root.clone(), |path, name| path.join(name));
        folders.extend(
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned),
        );
        if let Some(name) = path.file_name() {
            parts.push(path.with_file_name(names.part(&name.to_string_lossy())));
        }
        files.push(path);
    }
    parts.push(root.join(names.parts()));
    if info.folder {
        folders.insert(root);
    }
    Tree { files, parts, folders: folders.into_iter().rev().collect() }
}

fn info(reader: &Reader, record: &Record) -> Result<Option<Arc<Info>>, Failure> {
    let bytes = if record.described { reader.get(Table::Descriptions, &record.id)? } else { None };
    bytes.map(|bytes| describe(&bytes).map(|hashes| Arc::clone(hashes.info()))).transpose()
}

/// Removes a transfer's files, where `data` asks for it.
pub(super) fn remove(reader: &Reader, record: &Record, data: bool) -> Result<(), Failure> {
    if !data {
        return Ok(());
    }
    let Some(info) = info(reader, record)? else { return Ok(()) };
    let folder = Path::new(&record.folder);
    let tree = tree(&info);
    // What stands under a file's name is another's where the transfer never got past the check of what is there.
    let own = if record.begun { tree.files.as_slice() } else { &[] };
    for file in own.iter().chain(&tree.parts) {
        if is_beneath(folder, file) {
            match fs::remove_file(folder.join(file)) {
                Ok(()) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(failed(&folder.join(file), "cannot be removed", &error)),
            }
        }
    }
    for empty in &tree.folders {
        if is_beneath(folder, empty) {
            // What others have put there stays, and its folder with it.
            let _ = fs::remove_dir(folder.join(empty));
        }
    }
    Ok(())
}

/// Moves a transfer's files into the folder `to`.
pub(super) fn relocate(reader: &Reader, record: &Record, to: &str) -> Result<(), Failure> {
    let (from, to) = (Path::new(&record.folder), Path::new(to));
    fs::create_dir_all(to).map_err(|error| failed(to, "cannot be made", &error))?;
    let Some(info) = info(reader, record)? else { return Ok(()) };
    let tree = tree(&info);
    let own = if record.begun { tree.files.as_slice() } else { &[] };
    let there: Vec<&PathBuf> =
        own.iter().chain(&tree.parts).filter(|file| fs::symlink_metadata(from.join(file)).is_ok()).collect();
    if let Some(taken) = there.iter().find(|file| fs::symlink_metadata(to.join(file)).is_ok()) {
        let message = format!("{} exists", to.join(taken).display());
        return Err(Failure::new(ExitCode::Conflict, "E_EXISTS", message)
            .hint("nothing was moved; choose another folder"));
    }
    for folder in tree.folders.iter().rev() {
        fs::create_dir_all(to.join(folder))
            .map_err(|error| failed(&to.join(folder), "cannot be made", &error))?;
    }
    for file in there {
        if is_beneath(from, file) && is_beneath(to, file) {
            move_file(&from.join(file), &to.join(file)).map_err(|error| {
                failed(&from.join(file), "cannot be moved", &error)
                    .hint("what was moved already is found in the new folder; mend it, then move again")
            })?;
        }
    }
    for folder in &tree.folders {
        let _ = fs::remove_dir(from.join(folder));
    }
    Ok(())
}

/// Renames; to another disk, copies: the new file has its name only when it is whole.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        result => return result,
    }
    let mut draft = to.as_os_str().to_owned();
    draft.push(".moving");
    let draft = PathBuf::from(draft);
    let copied = fs::copy(from, &draft)
        .and_then(|_| fs::File::open(&draft)?.sync_all())
        .and_then(|()| fs::rename(&draft, to));
    if copied.is_err() {
        let _ = fs::remove_file(&draft);
    }
    copied.and_then(|()| fs::remove_file(from))
}

/// Whether no folder on the way to `path` is a link: names come from strangers.
fn is_beneath(folder: &Path, path: &Path) -> bool {
    path.ancestors().skip(1).all(|above| {
        above.as_os_str().is_empty()
            || !fs::symlink_metadata(folder.join(above)).is_ok_and(|found| found.is_symlink())
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Failure {
    Failure::of_kind(error.kind(), format!("{} {what}: {error}", path.display()))
}
