//! Hashing content that is to be shared: each byte is read once, on all cores.
//!
//! Pieces are handed to threads in runs, whatever files are behind them, so that one large file and
//! many small ones keep all cores busy alike. What is found depends on names and bytes only: not on
//! the order in which a folder lists its entries, on times, or on the number of threads.

mod walk;

use std::{
    fs::File,
    io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use peerage_content::{
    Metainfo, Version,
    create::{Builder, PieceDigest, Plan, Source},
};
use rustix::fs::{Advice, fadvise};

use crate::{error::HashError, place::FileIdentity, torrent::read_full_at};
use walk::{Found, Walk};

/// Bytes that a thread takes at a time.
const RUN_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes read at a time, then hashed twice: they stay in a core's own cache.
const BUFFER_LEN: usize = 64 * 1024;

/// Between two calls of [`HashRequest::progress`].
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What to hash.
#[derive(Clone)]
pub struct HashRequest {
    /// A file or a folder, or several of them, which become entries of one folder. Symbolic links
    /// are followed here, and nowhere below.
    pub paths: Vec<PathBuf>,
    /// Name of the content; `None` takes that of the path (or of the folder around several).
    pub name: Option<String>,
    /// Bytes of a piece; `None` chooses by size.
    pub piece_len: Option<u32>,
    /// Which hashes to make.
    pub version: Version,
    /// Only the torrent's trackers may name peers (BEP 27); part of the infohash.
    pub private: bool,
    /// Threads; 0 takes all cores.
    pub threads: usize,
    /// Told how far it is, at most ten times a second, from a hashing thread.
    pub progress: Option<Arc<dyn Fn(HashProgress) + Send + Sync>>,
    /// Set it to stop.
    pub cancel: Arc<AtomicBool>,
}

/// How far hashing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashProgress {
    /// Bytes hashed.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// What hashing found.
#[derive(Debug)]
pub struct Hashed {
    /// The torrent, without trackers and the like: its fields are public.
    pub metainfo: Metainfo,
    /// Where each stored file of the layout is, in the layout's order: for
    /// [`Place::Files`](crate::Place::Files).
    pub paths: Vec<PathBuf>,
    /// What each of them looked like when it was hashed: for
    /// [`CheckMode::JustHashed`](crate::CheckMode::JustHashed).
    pub identities: Arc<[FileIdentity]>,
    /// What was left out, and why.
    pub warnings: Vec<String>,
}

/// Walks and hashes; blocks until done. Files are sorted by the bytes of their paths; hidden ones
/// are included; symbolic links and special files are left out with a warning.
///
/// # Errors
/// See [`HashError`].
pub fn hash_paths(request: &HashRequest) -> Result<Hashed, HashError> {
    let Walk { name, folder, mut found, warnings } = walk::walk(&request.paths, request.name.as_deref())?;
    let sources = found.iter().map(|file| Source {
        path: file.names.clone(),
        len: file.identity.size,
        executable: file.executable,
    });
    let mut builder = Builder::new(name, folder, sources.collect());
    builder.piece_len = request.piece_len;
    builder.version = request.version;
    builder.private = request.private;
    let plan = builder.plan()?;
    let digests = hash_pieces(request, &plan, &found)?;
    unchanged(&found)?;
    let (mut paths, mut identities) = (Vec::new(), Vec::new());
    for index in plan.sources().iter().flatten() {
        if let Some(file) = found.get_mut(*index) {
            paths.push(std::mem::take(&mut file.path));
            identities.push(file.identity);
        }
    }
    let metainfo = plan.finish(&digests)?;
    Ok(Hashed { metainfo, paths, identities: identities.into(), warnings })
}

/// One reader of files: a thread's own buffer and open file.
struct Reader<'a> {
    found: &'a [Found],
    open: Option<(usize, File)>,
    buffer: Vec<u8>,
}

/// What the threads share.
struct Work<'a> {
    request: &'a HashRequest,
    plan: &'a Plan,
    next: AtomicUsize,
    per_run: usize,
    done: AtomicU64,
    told: Mutex<Instant>,
    failed: Mutex<Option<HashError>>,
    stop: AtomicBool,
}

fn hash_pieces(request: &HashRequest, plan: &Plan, found: &[Found]) -> Result<Vec<PieceDigest>, HashError> {
    let pieces = plan.layout().pieces() as usize;
    let piece_len = u64::from(plan.layout().nominal_piece_len()).max(1);
    let work = Work {
        request,
        plan,
        next: AtomicUsize::new(0),
        per_run: usize::try_from(RUN_BYTES / piece_len).unwrap_or(1).max(1),
        done: AtomicU64::new(0),
        told: Mutex::new(Instant::now()),
        failed: Mutex::new(None),
        stop: AtomicBool::new(false),
    };
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let wanted = if request.threads == 0 { cores } else { request.threads };
    let threads = wanted.min(pieces.div_ceil(work.per_run)).max(1);
    let digests = Mutex::new(vec![PieceDigest::default(); pieces]);
    let run = || {
        let mut reader = Reader { found, open: None, buffer: vec![0; BUFFER_LEN] };
        while let Some(first) = work.take() {
            let last = (first + work.per_run).min(pieces);
            match work.hash_run(&mut reader, first, last) {
                Ok(run) => {
                    let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
                    digests.iter_mut().skip(first).zip(run).for_each(|(slot, digest)| *slot = digest);
                }
                Err(error) => {
                    work.stop.store(true, Ordering::Relaxed);
                    work.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    match work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(digests.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

impl Work<'_> {
    /// The next run's first piece.
    fn take(&self) -> Option<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let first = self.next.fetch_add(self.per_run, Ordering::Relaxed);
        (first < self.plan.layout().pieces() as usize).then_some(first)
    }

    fn hash_run(
        &self,
        reader: &mut Reader<'_>,
        first: usize,
        last: usize,
    ) -> Result<Vec<PieceDigest>, HashError> {
        let pieces = first..last;
        pieces.map(|piece| self.hash_piece(reader, u32::try_from(piece).unwrap_or(u32::MAX))).collect()
    }

    fn hash_piece(&self, reader: &mut Reader<'_>, piece: u32) -> Result<PieceDigest, HashError> {
        let layout = self.plan.layout();
        let mut digester = self.plan.digester(piece);
        for span in layout.spans(piece, 0, layout.data_len(piece)) {
            let source = self.plan.sources().get(span.file).copied().flatten();
            let (mut offset, mut left) = (span.file_offset, span.len as usize);
            while left > 0 {
                if self.request.cancel.load(Ordering::Relaxed) {
                    return Err(HashError::Cancelled);
                }
                let part = match source {
                    Some(source) => reader.read(source, offset, left)?,
                    None => reader.zeros(left),
                };
                digester.update(part);
                let len = part.len();
                left -= len;
                offset += len as u64;
                if source.is_some() {
                    self.tell(len as u64);
                }
            }
        }
        // All of the piece's bytes were given: it can say.
        digester.finish().ok_or(HashError::Cancelled)
    }

    fn tell(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Some(progress) = &self.request.progress else { return };
        let total = self.plan.layout().total_len();
        let Ok(mut told) = self.told.try_lock() else { return };
        if done == total || told.elapsed() >= PROGRESS_EVERY {
            *told = Instant::now();
            drop(told);
            progress(HashProgress { done, total });
        }
    }
}

impl Reader<'_> {
    /// The next bytes of a file, at most a buffer full.
    fn read(&mut self, source: usize, offset: u64, left: usize) -> Result<&[u8], HashError> {
        let Some(found) = self.found.get(source) else { return Ok(&[]) };
        let fail = |source| HashError::Io { path: found.path.clone(), source };
        if self.open.as_ref().is_none_or(|(open, _)| *open != source) {
            let file = open(&found.path).map_err(fail)?;
            if FileIdentity::of(&file).map_err(fail)? != found.identity {
                return Err(HashError::Changed { path: found.path.clone() });
            }
            let _ = fadvise(&file, 0, None, Advice::Sequential);
            self.open = Some((source, file));
        }
        let Some((_, file)) = &self.open else { return Ok(&[]) };
        let part = self.buffer.get_mut(..left.min(BUFFER_LEN)).unwrap_or_default();
        if read_full_at(file, part, offset).map_err(fail)? != part.len() {
            return Err(HashError::Changed { path: found.path.clone() });
        }
        Ok(part)
    }

    fn zeros(&mut self, left: usize) -> &[u8] {
        let part = self.buffer.get_mut(..left.min(BUFFER_LEN)).unwrap_or_default();
        part.fill(0);
        part
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::from_ne_bytes(flags.bits().to_ne_bytes());
    File::options().read(true).custom_flags(flags).open(path)
}

/// Looks at every file once more: one that was written to while others were hashed is refused.
fn unchanged(found: &[Found]) -> Result<(), HashError> {
    for file in found {
        let now = rustix::fs::lstat(&file.path).map(|stat| FileIdentity::from_stat(&stat));
        if now != Ok(file.identity) {
            return Err(HashError::Changed { path: file.path.clone() });
        }
    }
    Ok(())
}
