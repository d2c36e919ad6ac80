//! Files that are read while they arrive: the picker follows the place that is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerage_api::control::FilePriority;
use peerage_api::error::{ExitCode, Failure};
use peerage_base::TorrentId;
use peerage_content::Info;
use peerage_store::TorrentStore;
use tokio::sync::oneshot;

use super::Daemon;
use super::transfer::Stage;

/// Pieces that are waited for at a time.
const WAITING_MAX: usize = 1024;

/// Who waits for which piece, and which torrents are read.
#[derive(Default)]
pub(super) struct Streams {
    waiting: BTreeMap<(TorrentId, u32), Vec<oneshot::Sender<()>>>,
    readers: BTreeMap<TorrentId, usize>,
}

/// A file of a running transfer, to be read.
pub(crate) struct Stream {
    pub torrent: TorrentId,
    pub info: Arc<Info>,
    pub store: TorrentStore,
    pub file: usize,
}

/// Whether a piece can be read.
pub(crate) enum Piece {
    Here,
    /// It is fetched next; told when it is here, dropped when it never will be.
    Coming(oneshot::Receiver<()>),
    /// The transfer does not run any more.
    Gone,
}

impl Daemon {
    /// Begins to read a file.
    pub(crate) fn open_stream(&mut self, id: &str, file: usize) -> Result<Stream, Failure> {
        let transfer = self.find(id)?;
        let run = transfer.run().filter(|run| run.stage == Stage::Active);
        let of_driver = run.and_then(|run| Some((run.torrent, self.driver.torrents.get(&run.torrent)?)));
        let Some((torrent, of_driver)) = of_driver else {
            return Err(Failure::new(
                ExitCode::Conflict,
                "E_BUSY",
                "the transfer does not run, or is being checked",
            )
            .hint("resume it, or wait until its files were checked"));
        };
        let info = Arc::clone(&of_driver.info);
        if !info.layout.files().get(file).is_some_and(|file| file.attr.is_stored()) {
            return Err(Failure::new(
                ExitCode::NotFound,
                "E_NO_FILE",
                format!("the transfer has no file {file}"),
            ));
        }
        if transfer.record.priority(file) == FilePriority::Skip {
            return Err(Failure::new(ExitCode::Conflict, "E_BUSY", "this file is not wanted")
                .hint("choose it with PATCH /api/v1/transfers/{id}/files"));
        }
        let stream = Stream { torrent, info, store: of_driver.store.clone(), file };
        *self.streams.readers.entry(torrent).or_default() += 1;
        Ok(stream)
    }

    /// A reader is at this piece: it is fetched next, and those after it then.
    pub(crate) fn read_piece(&mut self, torrent: TorrentId, piece: u32) -> Piece {
        let now = self.driver.now();
        let Some(swarm) = self.driver.peer.swarm(torrent) else { return Piece::Gone };
        if swarm.have().is_some_and(|have| have.get(piece)) {
            return Piece::Here;
        }
        if self.streams.waiting.len() >= WAITING_MAX {
            return Piece::Gone;
        }
        if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
            swarm.set_sequential(now, Some(piece));
        }
        let (sender, receiver) = oneshot::channel();
        let waiting = self.streams.waiting.entry((torrent, piece)).or_default();
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        Piece::Coming(receiver)
    }

    /// A reader has ended; the last one leaves the order as the user wants it.
    pub(crate) fn close_stream(&mut self, torrent: TorrentId) {
        let now = self.driver.now();
        let Some(readers) = self.streams.readers.get_mut(&torrent) else { return };
        *readers = readers.saturating_sub(1);
        if *readers > 0 {
            return;
        }
        self.streams.readers.remove(&torrent);
        self.streams.waiting.retain(|(of, _), _| *of != torrent);
        let id = self.by_torrent.get(&torrent);
        let sequential = id.and_then(|id| self.transfers.get(id)).is_some_and(|t| t.record.sequential);
        if let Some(swarm) = self.driver.peer.swarm_mut(torrent) {
            swarm.set_sequential(now, sequential.then_some(0));
        }
    }

    /// A piece is here.
    pub(super) fn on_piece(&mut self, torrent: TorrentId, piece: u32) {
        for sender in self.streams.waiting.remove(&(torrent, piece)).into_iter().flatten() {
            let _ = sender.send(());
        }
    }

    /// Nobody gets more of this torrent.
    pub(super) fn end_streams(&mut self, torrent: TorrentId) {
        self.streams.waiting.retain(|(of, _), _| *of != torrent);
        self.streams.readers.remove(&torrent);
    }
}
