//! One torrent: which files stand where, which pieces are good, and the bytes in between.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use peerage_base::TorrentId;
use peerage_content::{Hashes, Info, Layout};

use crate::{
    place::{Access, Descriptors, FileIdentity, Home, PARTS_INDEX, Places},
    report::{PieceSet, Report},
    resume::Resume,
    store::Mode,
};

/// Slices that one call of the kernel takes (`IOV_MAX`).
const SLICES_MAX: usize = 1_024;

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct FileState {
    pub(crate) home: Home,
    pub(crate) wanted: bool,
    /// Another program changed it; its pieces are not in `have`.
    pub(crate) lost: bool,
    /// Has bytes of good pieces that no checkpoint covers yet.
    pub(crate) dirty: bool,
    /// Pieces with bytes in it that are not good.
    pub(crate) missing: u32,
    /// Once it is whole (or always, for seeds): what it must look like to be read for peers.
    pub(crate) identity: Option<Box<FileIdentity>>,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) have: PieceSet,
    pub(crate) files: Vec<FileState>,
    /// As [`FileState::dirty`], for the parts file.
    pub(crate) parts_dirty: bool,
    /// Something is to be committed.
    pub(crate) dirty: bool,
}

/// What became of a good piece's files.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Files that are whole now and wait for their names.
    pub(crate) whole: Vec<usize>,
}

/// One torrent.
pub(crate) struct Torrent {
    pub(crate) id: TorrentId,
    /// Its number within the store; unlike the id, never used again.
    pub(crate) slot: u32,
    pub(crate) info: Arc<Info>,
    pub(crate) mode: Mode,
    pub(crate) places: Places,
    pub(crate) descriptors: Arc<Descriptors>,
    pub(crate) hashes: RwLock<Arc<Hashes>>,
    pub(crate) state: Mutex<State>,
    pub(crate) closed: AtomicBool,
    pub(crate) resume: Mutex<Option<Resume>>,
    pub(crate) cancel: AtomicBool,
    pub(crate) check: Mutex<Option<JoinHandle<()>>>,
    /// The disk failed to keep what it was given (a failed fdatasync): nothing more is taken.
    pub(crate) broken: AtomicBool,
    /// Held while a file is made, so that it is made once.
    making: Mutex<()>,
    jobs: Mutex<u64>,
    idle: Condvar,
}

impl Torrent {
    #[allow(clippy::too_many_arguments, reason = "the one constructor")]
    pub(crate) fn new(
        id: TorrentId,
        slot: u32,
        hashes: Arc<Hashes>,
        mode: Mode,
        places: Places,
        descriptors: Arc<Descriptors>,
        resume: Option<Resume>,
        wanted: &[bool],
    ) -> Self {
        let info = Arc::clone(hashes.info());
        let layout = &info.layout;
        let files = layout.files().iter().enumerate().map(|(index, file)| FileState {
            home: Home::None,
            wanted: file.attr.is_stored() && wanted.get(index).copied().unwrap_or(true),
            lost: false,
            dirty: false,
            missing: file.pieces.end.saturating_sub(file.pieces.start),
            identity: None,
        });
        let have = PieceSet::new(layout.pieces());
        let state = State { have, files: files.collect(), parts_dirty: false, dirty: false };
        Self {
            id,
            slot,
            mode,
            places,
            descriptors,
            hashes: RwLock::new(hashes),
            state: Mutex::new(state),
            closed: AtomicBool::new(false),
            resume: Mutex::new(resume),
            cancel: AtomicBool::new(false),
            check: Mutex::new(None),
            broken: AtomicBool::new(false),
            making: Mutex::new(()),
            jobs: Mutex::new(0),
            idle: Condvar::new(),
            info,
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.info.layout
    }

    pub(crate) fn hashes(&self) -> Arc<Hashes> {
        Arc::clone(&self.hashes.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Counts a job in; whether the torrent still takes any.
    pub(crate) fn begin_job(&self) -> bool {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let open = !self.is_closed();
        *jobs += u64::from(open);
        open
    }

    /// Takes no more jobs.
    pub(crate) fn refuse_jobs(&self) {
        let _jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn end_jobs(&self, count: u64) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        *jobs -= count;
        if *jobs == 0 {
            self.idle.notify_all();
        }
    }

    /// Waits until no job of this torrent is left.
    pub(crate) fn wait_idle(&self) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        while *jobs > 0 {
            jobs = self.idle.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts slices that follow each other from `begin` of a piece where they belong.
    pub(crate) fn write(&self, piece: u32, begin: u32, slices: &[Bytes]) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk failed to keep earlier writes; restart to check them"));
        }
        if self.state().have.contains(piece) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the piece is verified already"));
        }
        let bytes: usize = slices.iter().map(Bytes::len).sum();
        let len = u32::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut rest = Rest { slices, skip: 0 };
        for span in self.layout().spans(piece, begin, len) {
            if span.pad {
                rest.take(span.len as usize);
                continue;
            }
            let (file, base) = self.writable(span.file)?;
            write_all_at(&file, &rest.take(span.len as usize), base + span.file_offset)
                .map_err(|error| self.explain(span.file, &error))?;
        }
        Ok(())
    }

    /// Adds the path to an error.
    pub(crate) fn explain(&self, file: usize, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.places.path(&self.info, file).display()))
    }

    /// The file to write to, open, and where in it the bytes of `file` begin.
    fn writable(&self, file: usize) -> io::Result<(Arc<File>, u64)> {
        let home = match self.home(file)? {
            (home, false) => home,
            (_, true) => self.make(file).map_err(|error| self.explain(file, &error))?,
        };
        let opened = self.open(file, home, true).map_err(|error| self.explain(file, &error))?;
        Ok((opened, self.base(file, home)))
    }

    /// Where bytes of a file are to be written, and whether that is still to be made.
    fn home(&self, file: usize) -> io::Result<(Home, bool)> {
        let state = self.state();
        let file = state.files.get(file).ok_or(io::ErrorKind::InvalidInput)?;
        match file.home {
            Home::None if file.wanted => Ok((Home::Part, true)),
            Home::None => Ok((Home::Parts, true)),
            Home::Final => {
                let what = "it is complete, and was changed by another program";
                Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, what))
            }
            home => Ok((home, false)),
        }
    }

    /// Makes a file's home. Nothing was there when the download began: a partial file that is there now is
    /// another download's.
    fn make(&self, file: usize) -> io::Result<Home> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let (home, fresh) = self.home(file)?;
        if !fresh {
            return Ok(home);
        }
        let (len, opened) = match home {
            Home::Parts => (self.layout().space_len(), self.open(file, home, true)?),
            _ => {
                let made = self.places.open(&self.info, file, home, Access::CreateNew);
                let made = made.map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => {
                        let what = "another download began to write a file of this name";
                        io::Error::new(error.kind(), what)
                    }
                    _ => error,
                })?;
                (self.layout().files().get(file).map_or(0, |file| file.len), Arc::new(made))
            }
        };
        if let Some(file) = self.state().files.get_mut(file) {
            file.home = home;
        }
        if opened.metadata()?.len() != len {
            opened.set_len(len)?;
        }
        Ok(home)
    }

    /// Where the bytes of a file begin in its home.
    pub(crate) fn base(&self, file: usize, home: Home) -> u64 {
        match home {
            Home::Parts => self.layout().files().get(file).map_or(0, |file| file.offset),
            _ => 0,
        }
    }

    /// Opens a file at a home; a new one is made where it is missing and to be written.
    pub(crate) fn open(&self, file: usize, home: Home, write: bool) -> io::Result<Arc<File>> {
        let index =
            if home == Home::Parts { PARTS_INDEX } else { u32::try_from(file).unwrap_or(PARTS_INDEX) };
        let access = match (write, home) {
            (true, _) => Access::Create,
            // Opened for both at once, so that a piece's reading back does not open it again.
            (false, Home::Part | Home::Parts) => Access::Write,
            (false, _) => Access::Read,
        };
        let writable = access != Access::Read;
        self.descriptors
            .get((self.slot, index), writable, || self.places.open(&self.info, file, home, access))
    }

    /// Whether [`open`](Self::open) for reading would find it open.
    pub(crate) fn is_open(&self, file: usize, home: Home) -> bool {
        let index =
            if home == Home::Parts { PARTS_INDEX } else { u32::try_from(file).unwrap_or(PARTS_INDEX) };
        self.descriptors.has((self.slot, index), home != Home::Final)
    }

    /// Reads bytes of a piece, wherever its files are now; pads read as zeros, and so does what is
    /// beyond the end of a file that is not whole. For judging only.
    pub(crate) fn read_back(&self, piece: u32, begin: u32, out: &mut [u8]) -> io::Result<()> {
        let len = u32::try_from(out.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut rest = out;
        for span in self.layout().spans(piece, begin, len) {
            let (part, after) = std::mem::take(&mut rest)
                .split_at_mut_checked(span.len as usize)
                .ok_or(io::ErrorKind::InvalidInput)?;
            rest = after;
            if span.pad {
                part.fill(0);
                continue;
            }
            let home = self.state().files.get(span.file).map_or(Home::None, |file| file.home);
            if home == Home::None {
                part.fill(0);
                continue;
            }
            let read = self
                .open(span.file, home, false)
                .and_then(|file| read_full_at(&file, part, self.base(span.file, home) + span.file_offset));
            let got = read.map_err(|error| self.explain(span.file, &error))?;
            part.get_mut(got..).unwrap_or_default().fill(0);
        }
        rest.fill(0);
        Ok(())
    }

    /// Counts a piece as good.
    pub(crate) fn judge_good(&self, piece: u32) -> Judged {
        let mut judged = Judged::default();
        let mut state = self.state();
        let state = &mut *state;
        if !state.have.insert(piece) {
            return judged;
        }
        state.dirty = true;
        for index in self.layout().files_of(piece) {
            let Some(file) = self.files_with_bytes(index, &mut state.files) else { continue };
            file.missing = file.missing.saturating_sub(1);
            file.dirty = true;
            state.parts_dirty |= file.home == Home::Parts;
            // In the parts file is a wanted file that could not be moved when it became wanted.
            if file.missing == 0 && file.wanted && matches!(file.home, Home::Part | Home::Parts) {
                judged.whole.push(index);
            }
        }
        judged
    }

    /// The state of a file that has bytes of its own.
    fn files_with_bytes<'a>(&self, index: usize, files: &'a mut [FileState]) -> Option<&'a mut FileState> {
        let file = self.layout().files().get(index)?;
        if file.len == 0 || file.is_pad() { None } else { files.get_mut(index) }
    }

    /// Gives whole files their names and says so.
    pub(crate) fn report_judged(&self, judged: Judged, reports: &mut Vec<Report>) {
        reports.extend(judged.whole.into_iter().map(|file| self.finish_file(file)));
    }

    /// Gives a whole file its own name, out of the parts file if need be.
    pub(crate) fn finish_file(&self, file: usize) -> Report {
        match self.take_name(file) {
            Ok(()) => Report::FileDone { torrent: self.id, file },
            Err(error) => {
                let path = self.places.path(&self.info, file);
                let taken = error.kind() == io::ErrorKind::AlreadyExists;
                let error = format!("{} is complete, but cannot take its name: {error}", path.display());
                Report::FileBlocked { torrent: self.id, file, taken, error }
            }
        }
    }

    fn take_name(&self, file: usize) -> io::Result<()> {
        if self.state().files.get(file).is_some_and(|file| file.home == Home::Parts) {
            self.move_from_parts(file)?;
        }
        let opened = self.open(file, Home::Part, false)?;
        let ours = FileIdentity::of(&opened)?;
        let there = self.places.identity(&self.info, file, Home::Part)?;
        if there.is_none_or(|there| (there.dev, there.inode) != (ours.dev, ours.inode)) {
            return Err(io::Error::other("another program replaced it"));
        }
        self.places.rename_to_final(&self.info, file)?;
        let identity = FileIdentity::of(&opened)?;
        let mut state = self.state();
        if let Some(file) = state.files.get_mut(file) {
            file.home = Home::Final;
            file.dirty = true;
            file.identity = Some(Box::new(identity));
        }
        state.dirty = true;
        Ok(())
    }

    /// Another choice of files.
    pub(crate) fn set_wanted(&self, wanted: &[bool]) -> Vec<Report> {
        if self.mode == Mode::Seed {
            return Vec::new();
        }
        let (mut to_move, mut whole) = (Vec::new(), Vec::new());
        for (index, file) in self.state().files.iter_mut().enumerate() {
            let stored = self.layout().files().get(index).is_some_and(|file| file.attr.is_stored());
            file.wanted = stored && wanted.get(index).copied().unwrap_or(true);
            match file.home {
                Home::Part | Home::Parts if file.wanted && file.missing == 0 => whole.push(index),
                Home::Parts if file.wanted => to_move.push(index),
                _ => {}
            }
        }
        let mut reports = Vec::new();
        for index in to_move {
            // It is tried once more when the file is whole: then it matters.
            if let Err(error) = self.move_from_parts(index) {
                let message = self.explain(index, &error).to_string();
                reports.push(Report::Warning { torrent: self.id, message });
            }
        }
        reports.extend(whole.into_iter().map(|file| self.finish_file(file)));
        reports
    }

    /// Copies what the parts file has of a file into its own. The state is locked meanwhile, so
    /// that no write goes to the wrong one of the two; writes under way may still do, and their
    /// pieces then fail verification and come again.
    pub(crate) fn move_from_parts(&self, file: usize) -> io::Result<()> {
        let Some(entry) = self.layout().files().get(file) else { return Ok(()) };
        let mut state = self.state();
        let from = match self.open(file, Home::Parts, false) {
            Ok(from) => from,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(file) = state.files.get_mut(file) {
                    file.home = Home::None;
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let to = self.open(file, Home::Part, true)?;
        to.set_len(entry.len)?;
        let mut buffer = vec![0; 256 * 1024];
        let (mut at, end) = (entry.offset, entry.offset + entry.len);
        while let Ok(data) = rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(at))
            && data < end
        {
            let hole = rustix::fs::seek(&from, rustix::fs::SeekFrom::Hole(data))?.min(end);
            at = data.max(at);
            while at < hole {
                let len = usize::try_from(hole - at).unwrap_or(usize::MAX).min(buffer.len());
                let part = buffer.get_mut(..len).unwrap_or_default();
                from.read_exact_at(part, at)?;
                to.write_all_at(part, at - entry.offset)?;
                at += len as u64;
            }
        }
        if let Some(file) = state.files.get_mut(file) {
            file.home = Home::Part;
            file.dirty = true;
        }
        state.dirty = true;
        Ok(())
    }

    /// A file is somewhere else now: what is open of it is not it any more.
    pub(crate) fn set_home(&self, file: usize, home: Home) {
        self.descriptors.forget((self.slot, u32::try_from(file).unwrap_or(PARTS_INDEX)));
        if let Some(file) = self.state().files.get_mut(file) {
            file.home = home;
            file.identity = None;
        }
    }

    /// Removes the parts file when no file is in it.
    pub(crate) fn tidy(&self) {
        if self.mode == Mode::Download
            && self.layout().pieces() > 0
            && self
                .state()
                .files
                .iter()
                .zip(self.layout().files())
                .all(|(state, file)| !file.attr.is_stored() || file.len == 0 || state.home == Home::Final)
        {
            // Usually there is none.
            let _ = self.places.remove_parts();
        }
    }

    /// Another program changed a file: its pieces are not good any more. The report, unless that was
    /// known. [`FileState::lost`] says whether it is to be looked at again.
    pub(crate) fn lose(&self, file: usize) -> Option<Report> {
        let pieces = self.layout().files().get(file)?.pieces.clone();
        let mut state = self.state();
        let state = &mut *state;
        let entry = state.files.get_mut(file)?;
        if entry.lost {
            return None;
        }
        // A file that is not whole has no identity to come back to: its pieces are fetched again.
        entry.lost = self.mode == Mode::Seed || entry.home == Home::Final;
        entry.identity = None;
        entry.dirty = true;
        state.dirty = true;
        for piece in pieces.clone() {
            if state.have.remove(piece) {
                for index in self.layout().files_of(piece) {
                    if let Some(file) = self.files_with_bytes(index, &mut state.files) {
                        file.missing = file.missing.saturating_add(1);
                    }
                }
            }
        }
        self.descriptors.forget((self.slot, u32::try_from(file).unwrap_or(PARTS_INDEX)));
        Some(Report::Lost { torrent: self.id, file, pieces })
    }
}

/// What is left of slices.
struct Rest<'a> {
    slices: &'a [Bytes],
    skip: usize,
}

impl<'a> Rest<'a> {
    /// The next `len` bytes.
    fn take(&mut self, mut len: usize) -> Vec<IoSlice<'a>> {
        let mut taken = Vec::with_capacity(self.slices.len());
        while len > 0
            && let Some((first, others)) = self.slices.split_first()
        {
            let bytes = first.get(self.skip..).unwrap_or_default();
            if bytes.len() <= len {
                (self.slices, self.skip) = (others, 0);
            } else {
                self.skip += len;
            }
            let bytes = bytes.get(..len.min(bytes.len())).unwrap_or_default();
            len -= bytes.len();
            if !bytes.is_empty() {
                taken.push(IoSlice::new(bytes));
            }
        }
        taken
    }
}

/// Writes all slices from `offset` on: one call of the kernel, if it takes them all.
pub(crate) fn write_all_at(file: &File, slices: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    let mut slices = slices;
    while !slices.is_empty() {
        let batch = slices.get(..slices.len().min(SLICES_MAX)).unwrap_or_default();
        let mut written = match rustix::io::pwritev(file, batch, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        offset += written as u64;
        while let Some((first, others)) = slices.split_first()
            && written > 0
        {
            slices = others;
            if let Some(rest) = first.get(written..) {
                // Taken in part: rare, and then the disk is nearly full.
                file.write_all_at(rest, offset)?;
                offset += rest.len() as u64;
                break;
            }
            written -= first.len();
        }
    }
    Ok(())
}

/// Reads until `out` is full or the file ends; how much was read.
pub(crate) fn read_full_at(file: &File, out: &mut [u8], mut offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = out.get_mut(got..)
        && !rest.is_empty()
    {
        match file.read_at(rest, offset) {
            Ok(0) => break,
            Ok(read) => {
                got += read;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
