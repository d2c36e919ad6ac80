//! A store with one torrent, and a place to look at what it says.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod torrent;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use peerage_base::TorrentId;
use peerage_content::{Hashes, Layout};
use peerage_store::{
    AddTorrent, CheckMode, CheckOutcome, Mode, Place, Report, Store, StoreConfig, TorrentStore, WriteJob,
    WriteRefused,
};

pub use torrent::{Files, Kind, make, noise};

pub const BLOCK: u32 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the sink was given.
#[derive(Default)]
pub struct Log {
    reports: Mutex<Vec<Report>>,
    more: Condvar,
}

impl Log {
    /// Waits for the first report that `pick` takes, and removes it.
    pub fn wait<T>(&self, what: &str, mut pick: impl FnMut(&Report) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut reports = self.reports.lock().unwrap();
        loop {
            let found = reports.iter().enumerate().find_map(|(index, report)| Some((index, pick(report)?)));
            if let Some((index, found)) = found {
                reports.remove(index);
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} came; there is {reports:?}");
            reports = self.more.wait_timeout(reports, left).unwrap().0;
        }
    }

    /// Takes all that is there.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut self.reports.lock().unwrap())
    }
}

/// Keeps its state below `state`, soon after each change.
pub fn config(state: &Path) -> StoreConfig {
    StoreConfig {
        state_dir: Some(state.to_owned()),
        settle: Duration::from_millis(50),
        ..StoreConfig::default()
    }
}

pub struct Rig {
    pub store: Store,
    pub torrent: TorrentStore,
    pub hashes: Arc<Hashes>,
    pub log: Arc<Log>,
}

pub fn open(config: StoreConfig) -> (Store, Arc<Log>) {
    let log = Arc::new(Log::default());
    let sink = Arc::clone(&log);
    let store = Store::open(
        config,
        Arc::new(move |batch| {
            sink.reports.lock().unwrap().extend(batch);
            sink.more.notify_all();
        }),
    );
    (store.unwrap(), log)
}

pub fn add(hashes: &Arc<Hashes>, place: Place, mode: Mode) -> AddTorrent {
    AddTorrent {
        id: TorrentId(7),
        hashes: Arc::clone(hashes),
        metadata: Bytes::copy_from_slice(hashes.info().raw()),
        place,
        mode,
        wanted: None,
    }
}

impl Rig {
    /// A download into `dir`, not checked yet.
    pub fn download(
        hashes: &Arc<Hashes>,
        dir: &Path,
        config: StoreConfig,
        wanted: Option<Vec<bool>>,
    ) -> Self {
        let (store, log) = open(config);
        let mut torrent = add(hashes, Place::Under(dir.to_owned()), Mode::Download);
        torrent.wanted = wanted;
        let torrent = store.add(torrent).unwrap();
        Self { store, torrent, hashes: Arc::clone(hashes), log }
    }

    /// A seed of what is below `dir`.
    pub fn seed(hashes: &Arc<Hashes>, dir: &Path, config: StoreConfig) -> Self {
        let (store, log) = open(config);
        let torrent = store.add(add(hashes, Place::Under(dir.to_owned()), Mode::Seed)).unwrap();
        Self { store, torrent, hashes: Arc::clone(hashes), log }
    }

    pub fn layout(&self) -> &Layout {
        &self.hashes.info().layout
    }

    pub fn check(&self, mode: CheckMode) -> CheckOutcome {
        self.torrent.check(mode);
        self.log.wait("check", |report| match report {
            Report::Checked { outcome, .. } => Some(CheckOutcome {
                have: outcome.have.clone(),
                conflicts: outcome.conflicts.clone(),
                errors: outcome.errors.clone(),
                ..*outcome
            }),
            _ => None,
        })
    }

    /// Hands over a range of a piece, waiting for room.
    pub fn write(&self, piece: u32, begin: u32, data: Vec<Bytes>) {
        let mut job = WriteJob { piece, begin, data };
        loop {
            match self.torrent.try_write(job) {
                Ok(()) => return,
                Err(WriteRefused::Full(back)) => {
                    job = back;
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The verdict on a piece: whether it is good, and digests.
    pub fn verify(&self, piece: u32, digests: bool) -> (bool, Option<Vec<[u8; 32]>>) {
        self.torrent.verify(piece, digests);
        self.log.wait("verdict", |report| match report {
            Report::Verified { piece: of, ok, digests, .. } if *of == piece => Some((*ok, digests.clone())),
            Report::Failed { piece: of, error, .. } if *of == piece => panic!("{error}"),
            _ => None,
        })
    }

    /// Writes a piece, block by block, and judges it.
    pub fn fetch(&self, space: &Space, piece: u32) -> bool {
        for index in 0..self.layout().blocks(piece) {
            let block = self.layout().block(piece, index);
            self.write(piece, block.begin, vec![space.range(self.layout(), piece, block.begin, block.len)]);
        }
        self.verify(piece, false).0
    }

    pub fn fetch_all(&self, space: &Space) {
        for piece in 0..self.layout().pieces() {
            assert!(self.fetch(space, piece), "piece {piece}");
        }
    }

    pub fn close(self) -> Arc<Log> {
        self.store.close();
        self.log
    }
}

/// The bytes of the piece space.
pub struct Space(Vec<u8>);

impl Space {
    pub fn new(layout: &Layout, files: &Files) -> Self {
        let mut space = vec![0; usize::try_from(layout.space_len()).unwrap()];
        let stored = layout.files().iter().filter(|file| file.attr.is_stored());
        for (file, (_, bytes)) in stored.zip(files) {
            assert_eq!(file.len, bytes.len() as u64);
            let offset = usize::try_from(file.offset).unwrap();
            space[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        Self(space)
    }

    pub fn range(&self, layout: &Layout, piece: u32, begin: u32, len: u32) -> Bytes {
        let at = usize::try_from(layout.piece_offset(piece)).unwrap() + begin as usize;
        Bytes::copy_from_slice(&self.0[at..at + len as usize])
    }
}

/// Everything below a folder: paths with bytes; links and special files with what they are.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn visit(dir: &Path, below: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                visit(&path, &name, out);
            } else {
                let bytes =
                    if kind.is_file() { fs::read(&path).unwrap() } else { format!("{kind:?}").into_bytes() };
                out.insert(name, bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    visit(dir, Path::new(""), &mut out);
    out
}

/// What `tree` finds when all of `files` are there and nothing else.
pub fn as_tree(files: &Files) -> BTreeMap<PathBuf, Vec<u8>> {
    files.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.clone())).collect()
}

/// Files of all sorts: empty, one byte, below, at and above a block and a piece, in folders.
pub fn sample(piece_len: usize) -> Files {
    let file = |name: &str, len: usize| (name.to_owned(), noise(len as u64 + name.len() as u64, len));
    vec![
        file("a", 1),
        file("b/c", piece_len * 3 + 17),
        file("b/d", 0),
        file("b/e/f", BLOCK as usize),
        file("g", piece_len),
        file("h", piece_len - 1),
        file("i", BLOCK as usize * 2 + 5),
        file("j.part", 100),
        file("k", piece_len * 2 + BLOCK as usize),
    ]
}

pub fn write_files(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
