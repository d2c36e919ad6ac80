//! Accepted blocks on their way to the store: neighbours are joined, so that one job, one write and
//! one stretch of hashing serve many blocks.

use std::collections::VecDeque;

use bytes::Bytes;
use peerage_base::TorrentId;
use peerage_store::{WriteJob, WriteRefused};
use peerage_swarm::Block;

use super::Driver;

/// What a torrent's store is to do, in order.
pub(super) enum StoreJob {
    Write(WriteJob),
    Verify { piece: u32, digests: bool },
}

/// The run that is being joined, and jobs that the store had no room for.
#[derive(Default)]
pub(super) struct Writes {
    run: Option<(TorrentId, WriteJob, u32)>,
    /// Not above the in-flight budget, since the machine asks for nothing beyond it.
    refused: VecDeque<(TorrentId, StoreJob)>,
}

impl Writes {
    /// Adds a block; gives back a finished run when the block does not continue it.
    pub(super) fn push(
        &mut self,
        torrent: TorrentId,
        block: Block,
        bytes: Bytes,
    ) -> Option<(TorrentId, WriteJob)> {
        let end = block.begin.saturating_add(block.len);
        if let Some((of, job, next)) = &mut self.run
            && (*of, job.piece, *next) == (torrent, block.piece, block.begin)
        {
            job.data.push(bytes);
            *next = end;
            return None;
        }
        let job = WriteJob { piece: block.piece, begin: block.begin, data: vec![bytes] };
        let finished = self.run.replace((torrent, job, end));
        finished.map(|(torrent, job, _)| (torrent, job))
    }
}

impl Driver {
    /// Hands a finished run to the store.
    pub(super) fn write(&mut self, run: Option<(TorrentId, WriteJob)>) {
        if let Some((torrent, job)) = run {
            self.store_job(torrent, StoreJob::Write(job));
        }
    }

    /// Hands everything that waits to the store, as far as it has room.
    pub(super) fn flush_writes(&mut self) {
        while let Some((torrent, job)) = self.writes.refused.pop_front() {
            if let Some(job) = self.try_store_job(torrent, job) {
                self.writes.refused.push_front((torrent, job));
                break;
            }
        }
        if let Some((torrent, job, _)) = self.writes.run.take() {
            self.store_job(torrent, StoreJob::Write(job));
        }
    }

    /// Gives a job to the store, behind those that it refused before.
    pub(super) fn store_job(&mut self, torrent: TorrentId, job: StoreJob) {
        let job = if self.writes.refused.is_empty() { self.try_store_job(torrent, job) } else { Some(job) };
        if let Some(job) = job {
            self.writes.refused.push_back((torrent, job));
        }
    }

    /// Gives the job back when there is no room for it.
    fn try_store_job(&self, torrent: TorrentId, job: StoreJob) -> Option<StoreJob> {
        let store = &self.torrents.get(&torrent)?.store;
        match job {
            StoreJob::Write(job) => match store.try_write(job) {
                Ok(()) => None,
                Err(WriteRefused::Full(job)) => Some(StoreJob::Write(job)),
                Err(WriteRefused::Closed(_)) => {
                    tracing::warn!("the store takes no more writes for this torrent");
                    None
                }
            },
            StoreJob::Verify { piece, digests } => {
                store.verify(piece, digests);
                None
            }
        }
    }
}
