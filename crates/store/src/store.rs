//! The handles that a driver holds.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use bytes::Bytes;
use peerage_base::{InfoHashes, TorrentId};
use peerage_content::Hashes;

use crate::{
    check,
    config::{Arrangement, StoreConfig},
    error::{AddError, ReadError, StoreError, WriteRefused},
    keeper,
    place::{Descriptors, FileIdentity, Places},
    queue::{Queue, Task},
    read::{BlockRange, Failed, Wait},
    report::{CheckOutcome, Report, ReportSink},
    resume::{self, Resume},
    shared::Shared,
    torrent::Torrent,
    worker,
};

/// Threads that a store may have.
const WORKERS_MAX: usize = 64;

/// Whether content may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Files are made under the target folder, named `.part` until they are verified.
    Download,
    /// Content lies where the user has it, and is only read.
    Seed,
}

/// Where the files are.
#[derive(Clone, Debug)]
pub enum Place {
    /// Right below this folder, under the paths of the layout. For content that is a folder that is
    /// usually the folder named [`Info::name`](peerage_content::Info::name) in the target folder; it
    /// is made where it is missing ([`Mode::Download`]), and must not be a symbolic link then.
    Under(PathBuf),
    /// One path for each stored file of the layout (no pads, no links), in order. Only for
    /// [`Mode::Seed`].
    Files(Vec<PathBuf>),
}

impl Place {
    /// What tells this place from others in the name of the resume database.
    fn folder(&self) -> &Path {
        match self {
            Self::Under(path) => path,
            Self::Files(paths) => paths.first().map_or(Path::new(""), PathBuf::as_path),
        }
    }
}

/// A torrent to work on.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// Stands in all reports.
    pub id: TorrentId,
    /// What pieces must hash to, with the torrent itself. More may come with
    /// [`TorrentStore::set_hashes`].
    pub hashes: Arc<Hashes>,
    /// Kept with the resume state and found again by [`Store::metadata`]: an info dictionary or a
    /// whole `.torrent` file, as the driver likes. May be empty.
    pub metadata: Bytes,
    /// Where the files are.
    pub place: Place,
    /// Whether they may be written.
    pub mode: Mode,
    /// Which files to keep, one flag per file of the layout; `None` keeps all.
    pub wanted: Option<Vec<bool>>,
}

/// How much to trust what is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// Trust pieces that the resume state has, in files that were not touched since; hash the rest.
    Resume,
    /// Hash everything that is present.
    Full,
    /// The torrent was made from these very files just now, by
    /// [`hash_paths`](crate::hash_paths): pieces of files that still look as they did then are good.
    JustHashed(Arc<[FileIdentity]>),
}

/// Consecutive bytes of a piece to be written.
#[derive(Clone, Debug)]
pub struct WriteJob {
    /// The piece.
    pub piece: u32,
    /// Where the first slice begins within the piece.
    pub begin: u32,
    /// Slices that follow each other within the piece. None is copied.
    pub data: Vec<Bytes>,
}

impl WriteJob {
    /// Bytes of all slices.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }
}

/// Content on disk. Cheap to clone; [`close`](Self::close) it in the end.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Starts the threads.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(config: StoreConfig, sink: ReportSink) -> Result<Self, StoreError> {
        if let Some(path) = &config.state_dir {
            let made = std::fs::create_dir_all(path);
            made.map_err(|source| StoreError::StateDir { path: path.clone(), source })?;
        }
        let workers = config.workers.clamp(1, WORKERS_MAX);
        let shared = Arc::new(Shared {
            queue: Queue::new(config.queue_bytes_max),
            descriptors: Arc::new(Descriptors::new(config.files_open_max)),
            config,
            sink,
            torrents: Mutex::new(HashMap::new()),
            next_slot: AtomicU32::new(0),
            threads: Mutex::new(Vec::new()),
            closing: AtomicBool::new(false),
            lost: Mutex::new(Vec::new()),
            keeper: (Mutex::new(false), Condvar::new()),
        });
        let store = Self { shared };
        let started = (0..workers)
            .try_for_each(|number| store.start(format!("store-{number}"), worker::run))
            .and_then(|()| store.start("store-keeper".to_owned(), keeper::run));
        match started {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close();
                Err(StoreError::Thread(error))
            }
        }
    }

    fn start(&self, name: String, run: fn(&Arc<Shared>)) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name).spawn(move || run(&shared))?;
        self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Opens a torrent. Nothing is read or written yet: call [`TorrentStore::check`] next, and write
    /// only after its [`Report::Checked`].
    ///
    /// # Errors
    /// See [`AddError`].
    pub fn add(&self, torrent: AddTorrent) -> Result<TorrentStore, AddError> {
        if self.shared.is_closing() {
            return Err(AddError::Closing);
        }
        let info = Arc::clone(torrent.hashes.info());
        let places = Places::new(&info, &torrent.place, torrent.mode)?;
        let mut warning = None;
        let resume = match &self.shared.config.state_dir {
            None => None,
            Some(dir) => {
                let path = resume::path(dir, &info.hashes.primary(), torrent.place.folder());
                let (resume, damaged) = Resume::open(&path)?;
                warning = damaged;
                if !torrent.metadata.is_empty()
                    && let Err(error) = resume.save_metadata(&torrent.metadata)
                {
                    warning = Some(error);
                }
                Some(resume)
            }
        };
        let slot = self.shared.next_slot.fetch_add(1, Ordering::Relaxed);
        let added = Arc::new(Torrent::new(
            torrent.id,
            slot,
            torrent.hashes,
            torrent.mode,
            places,
            Arc::clone(&self.shared.descriptors),
            resume,
            torrent.wanted.as_deref().unwrap_or_default(),
        ));
        self.shared.torrents.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, Arc::clone(&added));
        if let Some(message) = warning {
            (self.shared.sink)(vec![Report::Warning { torrent: torrent.id, message }]);
        }
        Ok(TorrentStore { shared: Arc::clone(&self.shared), torrent: added })
    }

    /// The metadata kept for a link's torrent, from an earlier run: into `folder`, or else into any
    /// other (it is the same content). Compare it with the infohash. `None` also while all such
    /// torrents are open.
    #[must_use]
    pub fn metadata(&self, hashes: &InfoHashes, folder: &Path) -> Option<Vec<u8>> {
        resume::metadata(self.shared.config.state_dir.as_deref()?, hashes, folder)
    }

    /// Bytes handed over for writing and hashing that are not done.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.shared.queue.bytes()
    }

    /// Does one turn of a worker's work on the calling thread, for a caller whose write was refused
    /// and that would only sleep. Whether there was any. `buffer` is kept between calls.
    pub fn help(&self, buffer: &mut Vec<u8>) -> bool {
        match self.shared.queue.take(false) {
            Some(turn) => {
                worker::work(&self.shared, turn, buffer);
                true
            }
            None => false,
        }
    }

    /// Finishes what is queued, commits the resume state of all torrents, ends the threads. Blocks.
    /// Not to be called from the sink.
    pub fn close(&self) {
        for torrent in self.shared.all() {
            TorrentStore { shared: Arc::clone(&self.shared), torrent }.close();
        }
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.queue.close();
        self.shared.wake_keeper();
        let threads =
            std::mem::take(&mut *self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so; nothing is lost by going on.
            let _ = thread.join();
        }
    }
}

/// One torrent of a [`Store`]. Cheap to clone.
#[derive(Clone)]
pub struct TorrentStore {
    shared: Arc<Shared>,
    torrent: Arc<Torrent>,
}

impl TorrentStore {
    /// Looks at what is on disk, in background threads: [`Report::CheckProgress`], then
    /// [`Report::Checked`], always.
    pub fn check(&self, mode: CheckMode) {
        let (shared, torrent) = (Arc::clone(&self.shared), Arc::clone(&self.torrent));
        let mut running = self.torrent.check.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = running.take() {
            torrent.cancel.store(true, Ordering::Relaxed);
            let _ = before.join();
        }
        torrent.cancel.store(torrent.is_closed(), Ordering::Relaxed);
        let spawned = thread::Builder::new()
            .name("store-check".to_owned())
            .spawn(move || check::run(&shared, &torrent, &mode));
        match spawned {
            Ok(thread) => *running = Some(thread),
            Err(error) => {
                let outcome =
                    CheckOutcome { errors: vec![error.to_string()], cancelled: true, ..Default::default() };
                (self.shared.sink)(vec![Report::Checked { torrent: self.torrent.id, outcome }]);
            }
        }
    }

    /// Ends a running check early.
    pub fn cancel_check(&self) {
        self.torrent.cancel.store(true, Ordering::Relaxed);
    }

    /// Hands bytes over; never waits (but see [`Arrangement::Inline`]). [`Report::Written`] or
    /// [`Report::Failed`] follows; each of them makes room in the queue.
    ///
    /// # Errors
    /// [`WriteRefused`] gives the job back.
    pub fn try_write(&self, job: WriteJob) -> Result<(), WriteRefused> {
        let torrent = &self.torrent;
        let piece_len = u64::from(torrent.layout().piece_len(job.piece));
        let bytes = job.bytes() as u64;
        let inside = bytes > 0 && u64::from(job.begin) + bytes <= piece_len;
        let (Ok(len), true) = (u32::try_from(bytes), inside) else {
            return Err(WriteRefused::Closed(job));
        };
        if torrent.is_closed() || torrent.mode == Mode::Seed {
            return Err(WriteRefused::Closed(job));
        }
        if !self.shared.queue.reserve(bytes) {
            return Err(WriteRefused::Full(job));
        }
        let written = self.shared.config.arrangement == Arrangement::Inline;
        if written && let Err(error) = torrent.write(job.piece, job.begin, &job.data) {
            self.shared.queue.release(bytes);
            (self.shared.sink)(vec![worker::write_failed(torrent, job.piece, job.begin, len, &error)]);
            return Ok(());
        }
        let task = Task::Write { begin: job.begin, len, data: job.data, written };
        self.shared.queue.push(torrent, job.piece, task).map_err(|task| {
            self.shared.queue.release(bytes);
            let data = if let Task::Write { data, .. } = task { data } else { Vec::new() };
            WriteRefused::Closed(WriteJob { piece: job.piece, begin: job.begin, data })
        })
    }

    /// Judges a piece, all of whose bytes were handed to [`try_write`](Self::try_write) before (they
    /// need not be reported as written yet). [`Report::Verified`] follows, or [`Report::Failed`]
    /// where it could not be judged. A bad piece is forgotten: write it anew.
    pub fn verify(&self, piece: u32, digests: bool) {
        if piece < self.torrent.layout().pieces() {
            // A closed torrent has nobody who would wait for the verdict.
            let _ = self.shared.queue.push(&self.torrent, piece, Task::Verify { digests });
        }
    }

    /// Piece hashes became known (BEP 52 piece layers from peers).
    pub fn set_hashes(&self, hashes: Arc<Hashes>) {
        *self.torrent.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes;
    }

    /// Another choice of files, one flag per file of the layout. What the parts file has of files
    /// that became wanted moves into them: blocks while it is copied (at most the pieces at their
    /// borders).
    pub fn set_wanted(&self, wanted: &[bool]) {
        let reports = self.torrent.set_wanted(wanted);
        if !reports.is_empty() {
            (self.shared.sink)(reports);
        }
    }

    /// Makes `out` hold, for each block, `gap` bytes of room (of any content; for a 13-byte piece
    /// header) and the block's bytes. All blocks or none. What `out` held before is lost; a buffer
    /// that is used again, uncleared, is not filled with zeros first. Blocks on the disk.
    ///
    /// # Errors
    /// See [`ReadError`]; the content of `out` is then of no use.
    pub fn read_blocks(&self, blocks: &[BlockRange], gap: usize, out: &mut Vec<u8>) -> Result<(), ReadError> {
        self.told(self.torrent.read_blocks(blocks, gap, out, Wait::ForDisk)).map(|_| ())
    }

    /// The same, where nothing has to be waited for: all bytes are in the page cache, their files open.
    /// `false` when that is not so (or the file system cannot tell); `out` is then of no use.
    ///
    /// # Errors
    /// See [`ReadError`]; the content of `out` is then of no use.
    pub fn try_read_blocks(
        &self,
        blocks: &[BlockRange],
        gap: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, ReadError> {
        self.told(self.torrent.read_blocks(blocks, gap, out, Wait::Never))
    }

    fn told<T>(&self, result: Result<T, Failed>) -> Result<T, ReadError> {
        result.map_err(|failed| {
            if let (Some(report), ReadError::Changed { file }) = (failed.report, &failed.error) {
                if self.torrent.state().files.get(*file).is_some_and(|file| file.lost) {
                    self.shared.file_lost(&self.torrent, *file);
                }
                (self.shared.sink)(vec![*report]);
            }
            failed.error
        })
    }

    /// Where a file is, or will be once it is whole; for people.
    #[must_use]
    pub fn path(&self, file: usize) -> PathBuf {
        self.torrent.places.path(&self.torrent.info, file)
    }

    /// Commits the resume state now. Blocks.
    pub fn checkpoint(&self) {
        keeper::checkpoint(&self.shared, &self.torrent);
    }

    /// Commits the resume state, closes the files, frees the database. Blocks until this torrent's
    /// queued jobs are done; not to be called from the sink. Later calls are refused.
    pub fn close(&self) {
        let torrent = &self.torrent;
        torrent.refuse_jobs();
        torrent.cancel.store(true, Ordering::Relaxed);
        let check = torrent.check.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(check) = check {
            let _ = check.join();
        }
        torrent.wait_idle();
        self.checkpoint();
        torrent.tidy();
        *torrent.resume.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.queue.forget_torrent(torrent.slot);
        self.shared.descriptors.forget_torrent(torrent.slot);
        self.shared.forget_lost(torrent.slot);
        self.shared.torrents.lock().unwrap_or_else(PoisonError::into_inner).remove(&torrent.slot);
    }
}
