//! The hot path: what a worker does with the jobs of a piece.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    error::is_full,
    hasher::{self, Kind, PieceState},
    queue::{Task, Turn},
    report::Report,
    shared::Shared,
    torrent::{Judged, Torrent},
};

/// Bytes written, then hashed, at a time: the second pass finds them in the core's own cache.
const PORTION: usize = 256 * 1024;

/// Works until the store closes.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(turn) = shared.queue.take(true) {
        work(shared, turn, &mut buffer);
    }
}

/// Works off one turn and reports it.
pub(crate) fn work(shared: &Arc<Shared>, mut turn: Turn, buffer: &mut Vec<u8>) {
    let mut reports = Vec::with_capacity(turn.tasks.len());
    let tasks = std::mem::take(&mut turn.tasks);
    let jobs = tasks.len() as u64;
    for task in tasks {
        match task {
            Task::Write { begin, len, data, written } => {
                let result = write(&mut turn, begin, &data, written);
                drop(data);
                push_written(&mut reports, &turn, begin, len, result);
            }
            Task::Verify { digests } => verify(&mut turn, digests, buffer, &mut reports),
        }
    }
    shared.queue.give_back(turn, jobs);
    if !reports.is_empty() {
        (shared.sink)(reports);
    }
}

fn write(turn: &mut Turn, begin: u32, data: &[Bytes], written: bool) -> io::Result<()> {
    let torrent = Arc::clone(&turn.torrent);
    let mut at = begin;
    let mut rest = data;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest
            .iter()
            .take_while(|slice| {
                let before = bytes;
                bytes += slice.len();
                before < PORTION
            })
            .count();
        let (portion, after) = rest.split_at(count);
        if !written {
            torrent.write(turn.piece, at, portion)?;
        }
        state(turn, &torrent).absorb(at, portion, torrent.layout());
        let bytes: usize = portion.iter().map(Bytes::len).sum();
        at = at.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        rest = after;
    }
    Ok(())
}

fn state<'a>(turn: &'a mut Turn, torrent: &Torrent) -> &'a mut PieceState {
    let piece = turn.piece;
    turn.state.get_or_insert_with(|| {
        // Without a hash yet (BEP 52 layers still to come) leaves are right whatever comes.
        let kind = torrent.hashes().check(piece).as_ref().map_or(Kind::V2, Kind::of);
        PieceState::new(kind, piece, torrent.layout())
    })
}

fn push_written(reports: &mut Vec<Report>, turn: &Turn, begin: u32, len: u32, result: io::Result<()>) {
    match result {
        Ok(()) => {
            if let Some(Report::Written { begin: first, len: so_far, .. }) = reports.last_mut()
                && *first + *so_far == begin
            {
                *so_far += len;
                return;
            }
            reports.push(Report::Written { torrent: turn.torrent.id, piece: turn.piece, begin, len });
        }
        Err(error) => reports.push(write_failed(&turn.torrent, turn.piece, begin, len, &error)),
    }
}

pub(crate) fn write_failed(torrent: &Torrent, piece: u32, begin: u32, len: u32, error: &io::Error) -> Report {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let (full, error) = (is_full(error), error.to_string());
    Report::Failed { torrent: torrent.id, piece, begin, len, written: false, full, denied, error }
}

/// All writes of the piece were answered before its judging began.
fn verify_failed(torrent: &Torrent, piece: u32, len: u32, error: &io::Error) -> Report {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let (full, error) = (is_full(error), error.to_string());
    Report::Failed { torrent: torrent.id, piece, begin: 0, len, written: true, full, denied, error }
}

fn verify(turn: &mut Turn, digests: bool, buffer: &mut Vec<u8>, reports: &mut Vec<Report>) {
    let torrent = Arc::clone(&turn.torrent);
    let (piece, len) = (turn.piece, torrent.layout().piece_len(turn.piece));
    let Some(check) = torrent.hashes().check(piece) else {
        let error = io::Error::other("the hash of this piece is not known yet");
        reports.push(verify_failed(&torrent, piece, len, &error));
        return;
    };
    let state = turn.state.take();
    let state = state.unwrap_or_else(|| PieceState::new(Kind::of(&check), piece, torrent.layout()));
    let mut read = |begin: u32, part: &mut [u8]| torrent.read_back(piece, begin, part);
    let result = state.finish(&check, torrent.layout(), buffer, &mut read).and_then(|finished| {
        let leaves = match finished.leaves {
            _ if !digests => None,
            Some(leaves) => Some(leaves),
            None => Some(hasher::digests(torrent.layout().data_len(piece), buffer, &mut read)?),
        };
        Ok((finished.ok, leaves))
    });
    match result {
        Ok((ok, digests)) => {
            let mut done = Judged::default();
            if ok {
                done = torrent.judge_good(piece);
            }
            reports.push(Report::Verified { torrent: torrent.id, piece, ok, digests });
            torrent.report_judged(done, reports);
        }
        Err(error) => reports.push(verify_failed(&torrent, piece, len, &error)),
    }
}
