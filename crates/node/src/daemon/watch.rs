//! The watch folder: torrent files and magnet links that are put there are added.
//!
//! The folder is looked at every few seconds, not by the kernel's notices, which network file systems do not send.
//! A file is taken when it has not changed between two looks, so that one that is being copied is left alone.
//! What was added gets `.added` behind its name, what cannot be, `.failed`; nothing is deleted.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerage_api::control::Add;
use peerage_api::error::{ExitCode, Failure};
use peerage_base::Instant;
use peerage_base::limits::TORRENT_FILE_BYTES_MAX;
use peerage_content::Magnet;

use super::{Addition, Daemon, Done};
use crate::ops::{LinkSource, parse_torrent};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// Files taken at a look; the others at the next.
const FILES_PER_LOOK: usize = 100;
/// Bytes of a magnet link.
const MAGNET_BYTES_MAX: u64 = 64 * 1024;

/// Size, time of change in nanoseconds, inode: a file that is the same at two looks is whole.
type Seen = BTreeMap<PathBuf, (u64, i128, u64)>;

/// The folder, where one is watched.
pub(super) struct Watch {
    folder: PathBuf,
    /// What the last look saw; absent while one is under way.
    seen: Option<Seen>,
    next: Instant,
    /// The folder could not be read; said once.
    complained: bool,
}

/// What a look found.
pub(super) struct Look {
    seen: Seen,
    found: Vec<(PathBuf, Result<LinkSource, Failure>)>,
    error: Option<String>,
}

impl Watch {
    pub fn new(folder: PathBuf, now: Instant) -> Self {
        Self { folder, seen: Some(Seen::new()), next: now, complained: false }
    }
}

impl Daemon {
    /// Looks into the folder when it is time.
    pub(super) fn look_at_watch_folder(&mut self) {
        let now = self.driver.now();
        let Some(watch) = self.watch.as_mut().filter(|watch| now >= watch.next) else { return };
        let Some(before) = watch.seen.take() else { return };
        watch.next = now + INTERVAL;
        let (folder, inbox) = (watch.folder.clone(), self.inbox.clone());
        tokio::task::spawn_blocking(move || inbox.put(Done::Watched(Box::new(look(&folder, &before)))));
    }

    /// Adds what was found.
    pub(super) fn on_watched(&mut self, look: Look) {
        for (path, source) in look.found {
            let name = crate::ops::printable(&path.to_string_lossy());
            let added = source.and_then(|source| self.add(Addition { add: Add::default(), source }));
            let suffix = match added {
                Ok(_) => ".added",
                // It is here already, which is what was wanted.
                Err(failure) if failure.code == "E_TRANSFER_EXISTS" => ".added",
                Err(failure) => {
                    self.warn(format!("{name} cannot be added: {}", failure.message));
                    ".failed"
                }
            };
            let mut renamed = path.clone().into_os_string();
            renamed.push(suffix);
            self.save_changed();
            // Its name changes once the transfer is durable; before that, the next run takes it up again.
            let inbox = self.inbox.clone();
            self.catalog.settle(move |settled| {
                if settled.is_ok()
                    && let Err(error) = std::fs::rename(&path, &renamed)
                {
                    inbox.put(Done::WatchFailed(format!("{name} was taken but keeps its name: {error}")));
                }
            });
        }
        let Some(watch) = self.watch.as_mut() else { return };
        watch.seen = Some(look.seen);
        let folder = watch.folder.display().to_string();
        match look.error {
            Some(error) if !std::mem::replace(&mut watch.complained, true) => {
                self.warn(format!("the watch folder {folder} cannot be read: {error}"));
            }
            Some(_) => {}
            None => watch.complained = false,
        }
    }
}

fn look(folder: &Path, before: &Seen) -> Look {
    let mut look = Look { seen: Seen::new(), found: Vec::new(), error: None };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            look.error = Some(error.to_string());
            return look;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Some(kind) = Kind::of(&path) else { continue };
        // Of the entry itself: what links lead to is not ours to read.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() {
            continue;
        }
        let now = identity(&metadata);
        if look.found.len() < FILES_PER_LOOK && before.get(&path) == Some(&now) {
            let source = read(&path, kind);
            look.found.push((path, source));
        } else {
            look.seen.insert(path, now);
        }
    }
    look
}

fn identity(metadata: &Metadata) -> (u64, i128, u64) {
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    (metadata.len(), changed, metadata.ino())
}

#[derive(Clone, Copy)]
enum Kind {
    Torrent,
    Magnet,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "torrent" => Some(Self::Torrent),
            "magnet" => Some(Self::Magnet),
            _ => None,
        }
    }
}

fn read(path: &Path, kind: Kind) -> Result<LinkSource, Failure> {
    let name = path.display().to_string();
    let limit = match kind {
        Kind::Torrent => TORRENT_FILE_BYTES_MAX as u64,
        Kind::Magnet => MAGNET_BYTES_MAX,
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| crate::ops::io_failure(&name, &error))?;
    let wrong = |message: String| Failure::new(ExitCode::Usage, "E_LINK", message);
    if bytes.len() as u64 > limit {
        return Err(wrong(format!("it has more than {limit} bytes")));
    }
    match kind {
        Kind::Torrent => Ok(LinkSource::Torrent(Box::new(parse_torrent(&name, &bytes)?))),
        Kind::Magnet => {
            let text = String::from_utf8_lossy(&bytes);
            let magnet: Magnet = text.trim().parse().map_err(|error| wrong(format!("{error}")))?;
            Ok(LinkSource::Magnet(Box::new(magnet)))
        }
    }
}
