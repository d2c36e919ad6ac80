//! What the store tells its driver.

use std::{path::PathBuf, sync::Arc};

use peerage_base::TorrentId;

/// Takes reports, in batches; called from the store's threads (and, by
/// [`Arrangement::Inline`](crate::Arrangement::Inline), from the writer's). Must not block for long:
/// pass them on to the driver's queue and wake it once.
pub type ReportSink = Arc<dyn Fn(Vec<Report>) + Send + Sync>;

/// One result. Reports of one piece come in the order of its jobs.
#[derive(Debug)]
pub enum Report {
    /// The bytes are in the file (in the page cache: not yet durable).
    Written {
        /// Whose.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Bytes.
        len: u32,
    },
    /// A piece was judged.
    Verified {
        /// Whose.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
        /// Whether its hash is right.
        ok: bool,
        /// When asked for: SHA-256 of each block of the piece as
        /// [`Layout::block`](peerage_content::Layout::block) cuts it, good or bad.
        digests: Option<Vec<[u8; 32]>>,
    },
    /// A write or a verification failed; nothing of the range is kept.
    Failed {
        /// Whose.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Bytes.
        len: u32,
        /// Its bytes were reported as [`Written`](Self::Written) before: what failed is judging them,
        /// usually reading them back.
        written: bool,
        /// No room on the disk, or the quota is used up: pause, and try again when there is room.
        full: bool,
        /// It is not permitted.
        denied: bool,
        /// In words, with the path.
        error: String,
    },
    /// A selected file is complete, verified and has its own name.
    FileDone {
        /// Whose.
        torrent: TorrentId,
        /// Index of the file.
        file: usize,
    },
    /// A complete file could not take its own name; it stays `.part`, or in the parts file.
    FileBlocked {
        /// Whose.
        torrent: TorrentId,
        /// Index of the file.
        file: usize,
        /// Something else has the name.
        taken: bool,
        /// In words.
        error: String,
    },
    /// A file that was good has been changed, replaced or removed by another program: stop
    /// offering its pieces. It is hashed again once it rests; [`Report::Rechecked`] follows.
    Lost {
        /// Whose.
        torrent: TorrentId,
        /// Index of the file.
        file: usize,
        /// The pieces that have bytes in it.
        pieces: std::ops::Range<u32>,
    },
    /// A lost file was hashed again.
    Rechecked {
        /// Whose.
        torrent: TorrentId,
        /// Index of the file.
        file: usize,
        /// The pieces that have bytes in it.
        pieces: std::ops::Range<u32>,
        /// Those that are good (again).
        good: Vec<u32>,
    },
    /// How far a check is, at most ten times a second.
    CheckProgress {
        /// Whose.
        torrent: TorrentId,
        /// Bytes judged so far, skipped ones included.
        done: u64,
        /// Bytes of the content.
        total: u64,
    },
    /// A check has ended; always sent, also after [`TorrentStore::cancel_check`](crate::TorrentStore::cancel_check).
    Checked {
        /// Whose.
        torrent: TorrentId,
        /// What was found.
        outcome: CheckOutcome,
    },
    /// Worth telling the user: a corrupt resume database, a checkpoint that could not be written.
    Warning {
        /// Whose.
        torrent: TorrentId,
        /// In words.
        message: String,
    },
}

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckOutcome {
    /// The pieces that are whole and right.
    pub have: PieceSet,
    /// Bytes that were hashed, as against trusted from resume state or skipped as absent.
    pub bytes_hashed: u64,
    /// Bytes trusted from resume state.
    pub bytes_trusted: u64,
    /// Files at a final name that are not of this content: the download cannot take their place.
    /// Empty for seeds.
    pub conflicts: Vec<PathBuf>,
    /// Files that could not be read, in words.
    pub errors: Vec<String>,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
}

/// A set of pieces, in the form of the wire's bitfield (BEP 3: most significant bit first, spare
/// bits zero).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PieceSet {
    bytes: Vec<u8>,
    pieces: u32,
    count: u32,
}

impl PieceSet {
    /// No piece out of `pieces`.
    #[must_use]
    pub fn new(pieces: u32) -> Self {
        Self { bytes: vec![0; pieces.div_ceil(8) as usize], pieces, count: 0 }
    }

    /// From a bitfield; `None` when the length is wrong or a spare bit is set.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>, pieces: u32) -> Option<Self> {
        if bytes.len() != pieces.div_ceil(8) as usize {
            return None;
        }
        let spare = (8 - pieces % 8) % 8;
        if bytes.last().is_some_and(|last| last & ((1u16 << spare) - 1) as u8 != 0) {
            return None;
        }
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Self { bytes, pieces, count })
    }

    /// Whether `piece` is in it.
    #[must_use]
    pub fn contains(&self, piece: u32) -> bool {
        piece < self.pieces && self.bytes[piece as usize / 8] & (0x80 >> (piece % 8)) != 0
    }

    /// Adds a piece; whether it was new. Out of range: ignored.
    pub fn insert(&mut self, piece: u32) -> bool {
        if piece >= self.pieces || self.contains(piece) {
            return false;
        }
        self.bytes[piece as usize / 8] |= 0x80 >> (piece % 8);
        self.count += 1;
        true
    }

    /// Takes a piece out; whether it was in.
    pub fn remove(&mut self, piece: u32) -> bool {
        if !self.contains(piece) {
            return false;
        }
        self.bytes[piece as usize / 8] &= !(0x80 >> (piece % 8));
        self.count -= 1;
        true
    }

    /// The bitfield.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Pieces in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Pieces there are.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Whether every piece is in it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.pieces
    }

    /// The pieces in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.pieces).filter(|piece| self.contains(*piece))
    }
}

impl std::fmt::Debug for PieceSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PieceSet({} of {})", self.count, self.pieces)
    }
}
