//! Looking at what is on disk: each byte that has to be judged is read once, on all cores.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use peerage_content::Layout;
use rustix::fs::{Advice, SeekFrom, fadvise, seek};

use crate::{
    hasher::{Kind, PieceState},
    place::{FileIdentity, Home, PARTS_INDEX},
    report::{CheckOutcome, PieceSet, Report},
    resume::{Record, Resume},
    shared::Shared,
    store::{CheckMode, Mode},
    torrent::{FileState, Torrent},
};

/// Bytes that a thread takes at a time: its reads follow each other on the disk.
const RUN_BYTES: u64 = 16 * 1024 * 1024;

/// Between two progress reports.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What stands where.
struct Survey {
    /// By file: home and identity of what is there.
    files: Vec<Option<(Home, FileIdentity)>>,
    /// Of the parts file.
    parts: Option<FileIdentity>,
    conflicts: Vec<PathBuf>,
    errors: Vec<String>,
}

/// Checks a torrent and reports; see [`TorrentStore::check`](crate::TorrentStore::check).
pub(crate) fn run(shared: &Arc<Shared>, torrent: &Arc<Torrent>, mode: &CheckMode) {
    let survey = survey(torrent);
    let record = load(torrent);
    let begun = record.begun;
    let record = match mode {
        CheckMode::Resume => record,
        CheckMode::Full | CheckMode::JustHashed(_) => Record::default(),
    };
    let known: Vec<Option<FileIdentity>> = match mode {
        CheckMode::JustHashed(identities) => by_file(torrent.layout(), identities),
        _ => Vec::new(),
    };
    adopt_homes(torrent, &survey);
    let (trusted, to_hash) = sort_pieces(torrent, &survey, &record, &known);
    let bytes =
        |pieces: &PieceSet| pieces.iter().map(|piece| u64::from(torrent.layout().payload_len(piece))).sum();
    let bytes_trusted = bytes(&trusted);
    let hash_bytes: u64 = to_hash.iter().map(|piece| u64::from(torrent.layout().payload_len(*piece))).sum();
    let total = torrent.layout().total_len();
    let progress = Progress::new(shared, torrent, total.saturating_sub(hash_bytes), total);
    let good = hash_pieces(shared, torrent, &to_hash, &progress);
    let mut have = trusted;
    for piece in good {
        have.insert(piece);
    }
    let mut outcome = CheckOutcome {
        bytes_trusted,
        bytes_hashed: progress.hashed.load(Ordering::Relaxed),
        conflicts: survey.conflicts.clone(),
        errors: survey.errors.clone(),
        cancelled: torrent.cancel.load(Ordering::Relaxed) || shared.is_closing(),
        have,
    };
    drop_changed(torrent, &survey, &mut outcome);
    let mut reports = settle(torrent, &survey, begun, &mut outcome);
    reports.push(Report::Checked { torrent: torrent.id, outcome });
    (shared.sink)(reports);
    shared.wake_keeper();
}

fn load(torrent: &Torrent) -> Record {
    let resume = torrent.resume.lock().unwrap_or_else(PoisonError::into_inner);
    resume.as_ref().map(|resume| resume.load(torrent.layout().pieces())).unwrap_or_default()
}

/// Spreads identities of stored files over the indexes of all files.
fn by_file(layout: &Layout, identities: &[FileIdentity]) -> Vec<Option<FileIdentity>> {
    let mut identities = identities.iter().copied();
    let files = layout.files().iter();
    files.map(|file| if file.attr.is_stored() { identities.next() } else { None }).collect()
}

fn survey(torrent: &Torrent) -> Survey {
    let (info, layout) = (&torrent.info, torrent.layout());
    let download = torrent.mode == Mode::Download;
    let mut survey = Survey {
        files: Vec::with_capacity(layout.files().len()),
        parts: None,
        conflicts: vec![],
        errors: vec![],
    };
    if download && !layout.files().is_empty() {
        match torrent.places.identity(info, 0, Home::Parts) {
            Ok(identity) => survey.parts = identity.filter(|identity| identity.size == layout.space_len()),
            Err(error) => {
                survey.errors.push(format!("{}: {error}", torrent.places.parts_shown().display()));
            }
        }
    }
    for (index, file) in layout.files().iter().enumerate() {
        if !file.attr.is_stored() {
            survey.files.push(None);
            continue;
        }
        let path = || torrent.places.path(info, index);
        // What stands in the place of a file that is not wanted is nobody's business.
        let wanted = torrent.state().files.get(index).is_some_and(|file| file.wanted);
        let found = match torrent.places.identity(info, index, Home::Final) {
            Ok(Some(identity)) if identity.size == file.len => Some((Home::Final, identity)),
            Ok(Some(_)) | Err(_) if download && !wanted => None,
            // Another length; or a link or a special file.
            Ok(Some(_)) | Err(_) if download => {
                survey.conflicts.push(torrent.places.obstacle(info, index, Home::Final));
                None
            }
            Ok(Some(_)) => {
                survey.errors.push(format!("{} has another length", path().display()));
                None
            }
            Ok(None) if download => match torrent.places.identity(info, index, Home::Part) {
                Ok(identity) => identity.map(|identity| (Home::Part, identity)),
                Err(_) if !wanted => None,
                Err(_) => {
                    survey.conflicts.push(torrent.places.obstacle(info, index, Home::Part));
                    None
                }
            },
            Ok(None) => {
                survey.errors.push(format!("{} is missing", path().display()));
                None
            }
            Err(error) => {
                survey.errors.push(format!("{}: {error}", path().display()));
                None
            }
        };
        survey.files.push(found);
    }
    survey
}

/// Tells the torrent where its files are. A file that is in no place of its own, and is not wanted,
/// may be in the parts file.
fn adopt_homes(torrent: &Torrent, survey: &Survey) {
    let mut state = torrent.state();
    for (index, file) in state.files.iter_mut().enumerate() {
        let found = survey.files.get(index).copied().flatten();
        file.home = match found {
            Some((home, _)) => home,
            None if survey.parts.is_some() => Home::Parts,
            None => Home::None,
        };
        file.identity = None;
    }
}

/// The pieces that need no hashing, and those that do.
fn sort_pieces(
    torrent: &Torrent,
    survey: &Survey,
    record: &Record,
    known: &[Option<FileIdentity>],
) -> (PieceSet, Vec<u32>) {
    let layout = torrent.layout();
    let trusted_parts = survey.parts.is_some() && survey.parts.as_ref() == record.files.get(&PARTS_INDEX);
    let trusted_file = |index: usize| -> bool {
        let Some(found) = survey.files.get(index).copied() else { return false };
        let Some((_, identity)) = found else { return trusted_parts };
        let recorded = u32::try_from(index).ok().and_then(|index| record.files.get(&index));
        recorded == Some(&identity) || known.get(index).copied().flatten() == Some(identity)
    };
    let trusted_files: Vec<bool> = (0..layout.files().len()).map(trusted_file).collect();
    let (mut trusted, mut to_hash) = (PieceSet::new(layout.pieces()), Vec::new());
    for piece in 0..layout.pieces() {
        let mut spans = layout.spans(piece, 0, u32::MAX).filter(|span| !span.pad);
        let recorded = !known.is_empty() || record.have.as_ref().is_some_and(|have| have.contains(piece));
        if recorded && spans.clone().all(|span| trusted_files.get(span.file) == Some(&true)) {
            trusted.insert(piece);
        } else if spans.all(|span| is_present(torrent, survey, span.file, span.file_offset, span.len)) {
            to_hash.push(piece);
        }
    }
    (trusted, to_hash)
}

/// Whether there may be bytes of a file in a range: not in a hole, not beyond the end.
fn is_present(torrent: &Torrent, survey: &Survey, file: usize, offset: u64, len: u32) -> bool {
    let found = survey.files.get(file).copied().flatten();
    let (home, identity) = match (found, survey.parts) {
        (Some(found), _) => found,
        (None, Some(parts)) => (Home::Parts, parts),
        (None, None) => return false,
    };
    if home == Home::Final {
        return true;
    }
    let begin = torrent.base(file, home) + offset;
    if begin >= identity.size {
        return false;
    }
    let Ok(open) = torrent.open(file, home, false) else { return true };
    match seek(&open, SeekFrom::Data(begin)) {
        Ok(data) => data < begin + u64::from(len),
        Err(error) => error != rustix::io::Errno::NXIO,
    }
}

/// Counts and tells.
struct Progress<'a> {
    shared: &'a Shared,
    torrent: &'a Torrent,
    base: u64,
    total: u64,
    hashed: AtomicU64,
    last: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    fn new(shared: &'a Shared, torrent: &'a Torrent, base: u64, total: u64) -> Self {
        Self { shared, torrent, base, total, hashed: AtomicU64::new(0), last: Mutex::new(Instant::now()) }
    }

    fn add(&self, bytes: u64) {
        let hashed = self.hashed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() >= PROGRESS_EVERY {
            *last = Instant::now();
            drop(last);
            let (torrent, total) = (self.torrent.id, self.total);
            (self.shared.sink)(vec![Report::CheckProgress { torrent, done: self.base + hashed, total }]);
        }
    }
}

/// Hashes pieces on all cores; those that are right.
fn hash_pieces(shared: &Shared, torrent: &Torrent, pieces: &[u32], progress: &Progress<'_>) -> Vec<u32> {
    if pieces.is_empty() {
        return Vec::new();
    }
    let layout = torrent.layout();
    let per_run = usize::try_from(RUN_BYTES / u64::from(layout.nominal_piece_len())).unwrap_or(1).max(1);
    let runs: Vec<&[u32]> = pieces.chunks(per_run).collect();
    let next = AtomicUsize::new(0);
    let good = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(runs.len());
    let work = || {
        let mut buffer = Vec::new();
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(ahead) = runs.get(next.load(Ordering::Relaxed)) {
                read_ahead(torrent, ahead);
            }
            for &piece in *run {
                if torrent.cancel.load(Ordering::Relaxed) || shared.is_closing() {
                    return;
                }
                if judge(torrent, piece, &mut buffer) {
                    good.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
                }
                progress.add(u64::from(layout.payload_len(piece)));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    good.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the kernel to begin reading a run that a thread will want next.
fn read_ahead(torrent: &Torrent, run: &[u32]) {
    let (Some(&first), Some(&last)) = (run.first(), run.last()) else { return };
    let mut hints = 0;
    for piece in first..=last {
        for span in torrent.layout().spans(piece, 0, u32::MAX).filter(|span| !span.pad) {
            // Many small files: opening each twice would cost more than it brings.
            hints += 1;
            if hints > 64 {
                return;
            }
            let home = torrent.state().files.get(span.file).map_or(Home::None, |file| file.home);
            if let Ok(file) = torrent.open(span.file, home, false) {
                let offset = torrent.base(span.file, home) + span.file_offset;
                let len = std::num::NonZero::new(u64::from(span.len));
                let _ = fadvise(&file, offset, len, Advice::WillNeed);
            }
        }
    }
}

/// Whether what is on disk of a piece is right. Read errors count as wrong.
pub(crate) fn judge(torrent: &Torrent, piece: u32, buffer: &mut Vec<u8>) -> bool {
    let Some(check) = torrent.hashes().check(piece) else { return false };
    let state = PieceState::new(Kind::of(&check), piece, torrent.layout());
    let mut read = |begin: u32, part: &mut [u8]| torrent.read_back(piece, begin, part);
    state.finish(&check, torrent.layout(), buffer, &mut read).is_ok_and(|finished| finished.ok)
}

/// Takes back what was found in files that changed meanwhile.
fn drop_changed(torrent: &Torrent, survey: &Survey, outcome: &mut CheckOutcome) {
    for (index, found) in survey.files.iter().enumerate() {
        let Some((home, identity)) = found else { continue };
        let now = torrent.places.identity(&torrent.info, index, *home).ok().flatten();
        if now == Some(*identity) {
            continue;
        }
        let path = torrent.places.path(&torrent.info, index);
        outcome.errors.push(format!("{} changed while it was being checked", path.display()));
        if let Some(file) = torrent.layout().files().get(index) {
            for piece in file.pieces.clone() {
                outcome.have.remove(piece);
            }
        }
    }
}

/// Makes what was found the torrent's state: counts, names, identities.
fn settle(torrent: &Torrent, survey: &Survey, begun: bool, outcome: &mut CheckOutcome) -> Vec<Report> {
    let layout = torrent.layout();
    let mut steps = Vec::new();
    let mut strangers = Vec::new();
    {
        let mut state = torrent.state();
        let state = &mut *state;
        state.have = outcome.have.clone();
        state.dirty = true;
        state.parts_dirty = survey.parts.is_some();
        for (index, (file, entry)) in state.files.iter_mut().zip(layout.files()).enumerate() {
            if !entry.attr.is_stored() {
                continue;
            }
            let missing = entry.pieces.clone().filter(|piece| !outcome.have.contains(*piece)).count();
            file.missing = u32::try_from(missing).unwrap_or(u32::MAX);
            file.dirty = file.home != Home::None;
            file.lost = false;
            let found = survey.files.get(index).copied().flatten();
            let step = match torrent.mode {
                Mode::Seed => None,
                Mode::Download => {
                    next_step(file, entry, begun || found.is_none_or(|(_, found)| found.size == 0))
                }
            };
            if matches!(step, Some(Step::Conflict)) {
                strangers.push(torrent.places.obstacle(&torrent.info, index, file.home));
            }
            let stays = !matches!(step, Some(Step::Conflict | Step::Ignore));
            if file.home == Home::Part && stays && found.is_some_and(|(_, found)| found.size > entry.len) {
                steps.push((index, Step::Cut));
            }
            match step {
                Some(step) => steps.push((index, step)),
                None if file.home == Home::Final => {
                    file.identity = found.map(|(_, identity)| Box::new(identity));
                }
                None => {}
            }
        }
    }
    outcome.conflicts.extend(strangers);
    outcome.conflicts.dedup();
    if !outcome.conflicts.is_empty() || outcome.cancelled {
        // The driver will give up: leave everything as it is.
        return Vec::new();
    }
    if torrent.mode == Mode::Download && !begun {
        mark_begun(torrent, outcome);
    }
    steps
        .into_iter()
        .filter_map(|(index, step)| settle_file(torrent, survey, index, &step, outcome))
        .collect()
}

/// From now on a partial file is known for ours, should we be killed before it has a good piece.
fn mark_begun(torrent: &Torrent, outcome: &mut CheckOutcome) {
    let resume = torrent.resume.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Err(error)) = resume.as_ref().map(Resume::save_begun) {
        outcome.errors.push(format!("the resume state cannot be kept: {error}"));
    }
}

/// What a file of a download needs before work goes on.
enum Step {
    /// Its partial file is longer than it.
    Cut,
    /// The parts file has something of it, and now it is wanted.
    FromParts,
    /// It is empty, and so has no piece that could complete it.
    Empty,
    /// It is whole, and still has the name of a part.
    Rename,
    /// Under its own name stands a file of the right length with some right pieces: another
    /// program's partial download, or ours that was damaged.
    TakeOver,
    /// The same, or a partial file that is not known for ours, without a right piece, where the file is not
    /// wanted.
    Ignore,
    /// The same, where it is wanted.
    Conflict,
}

/// `ours`: a partial file is known to be this download's own, or has nothing in it.
fn next_step(file: &FileState, entry: &peerage_content::File, ours: bool) -> Option<Step> {
    let pieces = entry.pieces.end.saturating_sub(entry.pieces.start);
    match file.home {
        Home::Final if file.missing == 0 => None,
        Home::Final if file.missing < pieces => Some(Step::TakeOver),
        Home::Final if file.wanted => Some(Step::Conflict),
        Home::Final => Some(Step::Ignore),
        Home::Part if !ours && file.missing == pieces => {
            Some(if file.wanted { Step::Conflict } else { Step::Ignore })
        }
        _ if !file.wanted => None,
        _ if entry.len == 0 => Some(Step::Empty),
        Home::Part if file.missing == 0 => Some(Step::Rename),
        Home::Parts => Some(Step::FromParts),
        Home::Part | Home::None => None,
    }
}

fn settle_file(
    torrent: &Torrent,
    survey: &Survey,
    index: usize,
    step: &Step,
    outcome: &mut CheckOutcome,
) -> Option<Report> {
    let without = if survey.parts.is_some() { Home::Parts } else { Home::None };
    let result = match step {
        Step::Rename => return Some(finish(torrent, index, outcome)),
        Step::FromParts if torrent.state().files.get(index).is_some_and(|file| file.missing == 0) => {
            return Some(finish(torrent, index, outcome));
        }
        Step::FromParts => torrent.move_from_parts(index),
        Step::Cut => cut(torrent, index),
        Step::Empty => make_empty(torrent, index),
        Step::TakeOver => {
            torrent.places.rename_to_part(&torrent.info, index).map(|()| torrent.set_home(index, Home::Part))
        }
        Step::Ignore | Step::Conflict => {
            torrent.set_home(index, without);
            Ok(())
        }
    };
    if let Err(error) = result {
        let path = torrent.places.path(&torrent.info, index);
        outcome.errors.push(format!("{}: {error}", path.display()));
        return None;
    }
    matches!(step, Step::Empty).then_some(Report::FileDone { torrent: torrent.id, file: index })
}

/// A whole file takes its name. Where it cannot, the outcome says so too.
fn finish(torrent: &Torrent, index: usize, outcome: &mut CheckOutcome) -> Report {
    let report = torrent.finish_file(index);
    if let Report::FileBlocked { error, .. } = &report {
        outcome.errors.push(error.clone());
    }
    report
}

fn cut(torrent: &Torrent, index: usize) -> io::Result<()> {
    let len = torrent.layout().files().get(index).map_or(0, |file| file.len);
    torrent.open(index, Home::Part, true)?.set_len(len)
}

fn make_empty(torrent: &Torrent, index: usize) -> io::Result<()> {
    let file = torrent.places.open(&torrent.info, index, Home::Final, crate::place::Access::Create)?;
    let identity = FileIdentity::of(&file)?;
    if let Some(file) = torrent.state().files.get_mut(index) {
        file.home = Home::Final;
        file.identity = Some(Box::new(identity));
    }
    Ok(())
}
