//! A file written to standard output while it arrives.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender, bounded};
use peerage_content::Info;
use peerage_store::{BlockRange, TorrentStore};

use crate::inbox::Inbox;

/// Bytes read and written at once.
const CHUNK: u32 = 256 * 1024;

/// A thread that waits for verified pieces and writes the file behind them in order. A reader of our
/// output that is slow holds only this thread.
pub(super) struct Writer {
    pieces: Option<Sender<u32>>,
    ended: Inbox<std::io::Result<()>>,
}

impl Writer {
    /// Writes the file with index `file` of `info`, and calls `wake` at the end.
    pub fn start(
        info: &Info,
        file: usize,
        store: TorrentStore,
        wake: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let parts = parts(info, file);
        // Every piece is told once, so this never holds the driver up.
        let (sender, pieces) = bounded(info.layout.pieces() as usize + 1);
        let ended = Inbox::new();
        let result = ended.clone();
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            result.put(write(&parts, &pieces, &store));
            wake();
        })?;
        Ok(Self { pieces: Some(sender), ended })
    }

    /// A piece is verified and can be read.
    pub fn piece(&self, piece: u32) {
        if let Some(pieces) = &self.pieces {
            let _ = pieces.try_send(piece);
        }
    }

    /// No more pieces come: it ends when all that was told is out.
    pub fn close(&mut self) {
        self.pieces = None;
    }

    /// How writing has ended; `None` while it goes on. Told once.
    pub fn ended(&self) -> Option<std::io::Result<()>> {
        let mut all = Vec::new();
        self.ended.take(&mut all);
        all.pop()
    }
}

/// The file as ranges of pieces, in order.
fn parts(info: &Info, file: usize) -> Vec<(u32, Range<u32>)> {
    let Some(entry) = info.layout.files().get(file) else { return Vec::new() };
    let of_piece = |piece: u32| {
        let base = info.layout.piece_offset(piece);
        let begin = entry.offset.saturating_sub(base);
        let end = (entry.offset + entry.len - base).min(u64::from(info.layout.piece_len(piece)));
        (piece, begin as u32..end as u32)
    };
    entry.pieces.clone().map(of_piece).collect()
}

fn write(parts: &[(u32, Range<u32>)], pieces: &Receiver<u32>, store: &TorrentStore) -> std::io::Result<()> {
    let mut verified = BTreeSet::new();
    let mut stdout = std::io::stdout().lock();
    let mut buffer = Vec::new();
    for (piece, range) in parts {
        while !verified.contains(piece) {
            match pieces.recv() {
                Ok(done) => verified.insert(done),
                // The download ended before the file did.
                Err(_) => return stdout.flush(),
            };
        }
        let mut begin = range.start;
        while begin < range.end {
            let len = CHUNK.min(range.end - begin);
            buffer.clear();
            store
                .read_blocks(&[BlockRange { piece: *piece, begin, len }], 0, &mut buffer)
                .map_err(std::io::Error::other)?;
            stdout.write_all(&buffer)?;
            begin += len;
        }
    }
    stdout.flush()
}
