//! The background thread: commits resume state, hashes lost files again.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    check,
    place::{FileIdentity, Home, PARTS_INDEX},
    report::Report,
    resume::Checkpoint,
    shared::{LostFile, Shared},
    torrent::Torrent,
};

/// Longest time between two looks at a lost file that does not come back.
const LOST_EVERY_MAX: Duration = Duration::from_secs(60);

/// Works until the store closes.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut last = Instant::now();
    loop {
        let now = Instant::now();
        let next = shared.next_lost().map_or(Duration::MAX, |due| due.saturating_duration_since(now));
        let wait = next.min(shared.config.checkpoint_interval.saturating_sub(last.elapsed()));
        shared.keeper_sleep(wait.max(Duration::from_millis(1)));
        if shared.is_closing() {
            return;
        }
        if last.elapsed() >= shared.config.checkpoint_interval {
            last = Instant::now();
            for torrent in shared.all() {
                checkpoint(shared, &torrent);
            }
        }
        while let Some(lost) = shared.take_lost(Instant::now()) {
            recheck(shared, lost);
        }
    }
}

/// Makes data durable, then commits which pieces are good. The order is what crash safety rests on.
pub(crate) fn checkpoint(shared: &Shared, torrent: &Torrent) {
    let resume = torrent.resume.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(resume) = resume.as_ref() else { return };
    let (have, dirty) = {
        let mut state = torrent.state();
        if !std::mem::take(&mut state.dirty) {
            return;
        }
        let mut dirty: Vec<(usize, Home)> = Vec::new();
        for (index, file) in state.files.iter_mut().enumerate() {
            if std::mem::take(&mut file.dirty) && file.home != Home::Parts {
                dirty.push((index, if file.lost { Home::None } else { file.home }));
            }
        }
        if std::mem::take(&mut state.parts_dirty) {
            dirty.push((usize::MAX, Home::Parts));
        }
        (state.have.clone(), dirty)
    };
    if torrent.broken.load(Ordering::Relaxed) {
        return;
    }
    let mut files = Vec::with_capacity(dirty.len());
    for (index, home) in dirty {
        match durable(torrent, index, home) {
            Ok(identity) => files.push((u32::try_from(index).unwrap_or(PARTS_INDEX), identity)),
            Err(error) => {
                // The kernel forgets a failed write-back after telling once: what is on the disk is
                // unknown now. Nothing of this run is to be trusted by the next.
                torrent.broken.store(true, Ordering::Relaxed);
                let cleared = resume.clear();
                let message = format!(
                    "the disk did not keep what was written: {error}; everything is checked at the next start"
                );
                warn(shared, torrent, message);
                if let Err(error) = cleared {
                    warn(shared, torrent, error);
                }
                return;
            }
        }
    }
    if let Err(error) = resume.save(&Checkpoint { have, files }) {
        // Try again next time; until then a restart hashes more than it would need to.
        let mut state = torrent.state();
        state.dirty = true;
        state.files.iter_mut().for_each(|file| file.dirty = file.home != Home::None);
        state.parts_dirty = true;
        drop(state);
        warn(shared, torrent, format!("cannot save the resume state: {error}"));
    }
}

fn warn(shared: &Shared, torrent: &Torrent, message: String) {
    (shared.sink)(vec![Report::Warning { torrent: torrent.id, message }]);
}

/// Writes a file's bytes back to the disk; its identity afterwards. `None`: it is not there.
fn durable(torrent: &Torrent, index: usize, home: Home) -> io::Result<Option<FileIdentity>> {
    if home == Home::None {
        return Ok(None);
    }
    let file = match torrent.open(index, home, false) {
        Ok(file) => file,
        // Renamed at this moment, or removed by someone: not trusted until the next checkpoint.
        Err(_) => return Ok(None),
    };
    if torrent.mode == crate::store::Mode::Download {
        rustix::fs::fdatasync(&file)?;
        return FileIdentity::of(&file).map(Some);
    }
    // A seed's files are trusted as they were when they were hashed.
    let identity = torrent.state().files.get(index).and_then(|file| file.identity.as_deref().copied());
    Ok(identity)
}

/// Hashes a lost file again once it rests.
fn recheck(shared: &Arc<Shared>, mut lost: LostFile) {
    let torrent = Arc::clone(&lost.torrent);
    if torrent.is_closed() {
        return;
    }
    let now = torrent.places.identity(&torrent.info, lost.file, Home::Final).ok().flatten();
    let rests = now == lost.seen && now.is_some();
    if (rests && lost.judged != Some(now)) || (now.is_none() && lost.judged.is_none()) {
        // It may have changed once more, with nobody reading it.
        let mut reports: Vec<Report> = torrent.lose(lost.file).into_iter().collect();
        let pieces = torrent.layout().files().get(lost.file).map_or(0..0, |file| file.pieces.clone());
        let good = rejudge(shared, &torrent, lost.file, now);
        let whole = good.len() == pieces.len();
        lost.judged = Some(now);
        reports.push(Report::Rechecked { torrent: torrent.id, file: lost.file, pieces, good });
        (shared.sink)(reports);
        if whole {
            return;
        }
    }
    // Look again: it may be put back, or still be changing.
    lost.wait = if now == lost.seen { (lost.wait * 2).min(LOST_EVERY_MAX) } else { shared.config.settle };
    lost.seen = now;
    lost.due = Instant::now() + lost.wait;
    shared.put_lost(lost);
}

/// The pieces of a file that are good, provided that it did not change meanwhile.
fn rejudge(shared: &Shared, torrent: &Torrent, file: usize, now: Option<FileIdentity>) -> Vec<u32> {
    let Some(entry) = torrent.layout().files().get(file) else { return Vec::new() };
    if now.is_none_or(|now| now.size != entry.len) {
        return Vec::new();
    }
    torrent.descriptors.forget((torrent.slot, u32::try_from(file).unwrap_or(PARTS_INDEX)));
    let mut buffer = Vec::new();
    let other_lost = |piece: u32| {
        let state = torrent.state();
        let mut files = torrent.layout().files_of(piece).filter(|other| *other != file);
        files.any(|other| state.files.get(other).is_some_and(|other| other.lost))
    };
    let pieces = entry.pieces.clone().take_while(|_| !shared.is_closing() && !torrent.is_closed());
    let good: Vec<u32> =
        pieces.filter(|piece| !other_lost(*piece) && check::judge(torrent, *piece, &mut buffer)).collect();
    let after = torrent.places.identity(&torrent.info, file, Home::Final).ok().flatten();
    if after != now {
        return Vec::new();
    }
    found(torrent, file, now, &good);
    good
}

/// Counts the pieces of a file that came back.
fn found(torrent: &Torrent, file: usize, identity: Option<FileIdentity>, good: &[u32]) {
    {
        let mut state = torrent.state();
        if let Some(file) = state.files.get_mut(file) {
            file.identity = identity.map(Box::new);
            file.lost = false;
        }
    }
    for piece in good {
        torrent.judge_good(*piece);
    }
}
