//! The piece space: how the files of a torrent are laid end to end and cut into pieces.
//!
//! Version 1 torrents and hybrids lay all files (pads included, BEP 47) without gaps; only the last
//! piece may be short. Version 2 torrents (BEP 52) begin each file that is not empty at a piece
//! boundary; there the last piece *of each file* is short on the wire, and the gap up to the next
//! file is in no piece. A hybrid's pads make both spaces the same.
//!
//! ```text
//!  piece      |0       |1       |2       |3    |
//!  v1, hybrid |AAAAAAAA|AAA.....|BBBBBBBB|BB|         . = a pad file, part of piece 1 on the wire
//!  v2         |AAAAAAAA|AAA|    |BBBBBBBB|BB|         piece 1 has 3 units
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::name::FilePath;
use core::ops::Range;
use peerage_base::limits::{BLOCK_LEN, FILES_MAX, PIECE_LEN_MAX, PIECES_MAX};
use peerage_wire::Block;

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it lies: below the folder named [`Info::name`](crate::Info::name) where the torrent is
    /// a folder, otherwise the name of the only file. Safe to append to a folder.
    pub path: FilePath,
    /// Bytes.
    pub len: u64,
    /// Where it begins in the piece space.
    pub offset: u64,
    /// The pieces that have bytes of it. Empty for an empty file.
    pub pieces: Range<u32>,
    /// Root of its Merkle tree (BEP 52). None in version 1 torrents, and for empty files and pads.
    pub root: Option<[u8; 32]>,
    /// Attributes (BEP 47).
    pub attr: Attr,
}

impl File {
    /// Whether it is a pad: zeros that are neither stored nor shown.
    #[must_use]
    pub fn is_pad(&self) -> bool {
        self.attr.pad
    }
}

/// Attributes of a file (BEP 47).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attr {
    /// `p`: zeros between files, neither stored nor shown.
    pub pad: bool,
    /// `x`: may be executed. A hint; Peerage sets it on nothing it downloads unless asked.
    pub executable: bool,
    /// `h`: hidden.
    pub hidden: bool,
    /// `l`: a symbolic link, always with length 0. It is listed, and nothing is ever created or
    /// followed in its place: a link could point out of the folder (threats.md P6).
    pub symlink: bool,
}

impl Attr {
    /// Whether something must be created on disk for it: not for pads and symbolic links.
    #[must_use]
    pub fn is_stored(self) -> bool {
        !self.pad && !self.symlink
    }
}

/// A file as the info dictionary lists it, before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Sanitised path.
    pub path: FilePath,
    /// Bytes.
    pub len: u64,
    /// Root of its Merkle tree, where known.
    pub root: Option<[u8; 32]>,
    /// Attributes.
    pub attr: Attr,
}

/// Which rule places the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Without gaps: version 1 and hybrid.
    Continuous,
    /// Each file at a piece boundary: version 2 alone.
    Aligned,
}

/// Why files cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Zero, or more than [`PIECE_LEN_MAX`]; in an aligned space also when no power of two or less
    /// than 16 KiB.
    #[error("a piece length of {0} bytes")]
    PieceLen(u64),
    /// More than [`FILES_MAX`].
    #[error("{0} files")]
    TooManyFiles(usize),
    /// More than [`PIECES_MAX`].
    #[error("{0} pieces")]
    TooManyPieces(u64),
    /// More than `i64::MAX` bytes.
    #[error("the lengths of the files add up to too much")]
    TooLarge,
}

/// A part of one file that a byte range of a piece covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the file.
    pub file: usize,
    /// First byte within the file.
    pub file_offset: u64,
    /// Bytes; never 0.
    pub len: u32,
    /// Whether they are zeros of a pad, to be found on no disk.
    pub pad: bool,
}

/// The piece space of a torrent. Does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    space: Space,
    piece_len: u32,
    pieces: u32,
    /// Bytes of the files without pads.
    total_len: u64,
    /// Where the last file ends.
    space_len: u64,
    files: Vec<File>,
    /// Bytes of each piece up to its last real one, where that is not simply the piece's length.
    data_lens: Option<Box<[u32]>>,
}

impl Layout {
    /// Places `entries`, in their order.
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub fn new(space: Space, piece_len: u64, entries: Vec<Entry>) -> Result<Self, LayoutError> {
        let wrong = LayoutError::PieceLen(piece_len);
        let piece_len = u32::try_from(piece_len).map_err(|_| wrong)?;
        let aligned_ok = piece_len.is_power_of_two() && piece_len >= BLOCK_LEN;
        if piece_len == 0 || piece_len > PIECE_LEN_MAX || (space == Space::Aligned && !aligned_ok) {
            return Err(wrong);
        }
        if entries.len() > FILES_MAX {
            return Err(LayoutError::TooManyFiles(entries.len()));
        }
        let mut layout = Self {
            space,
            piece_len,
            pieces: 0,
            total_len: 0,
            space_len: 0,
            files: Vec::with_capacity(entries.len()),
            data_lens: None,
        };
        for entry in entries {
            layout.place(entry)?;
        }
        layout.pieces = layout.piece_count(layout.space_len)?;
        if space == Space::Aligned || layout.files.iter().any(|file| file.is_pad() && file.len > 0) {
            layout.data_lens = Some(layout.find_data_lens());
        }
        Ok(layout)
    }

    /// Bytes of a piece, but for short ones.
    #[must_use]
    pub fn nominal_piece_len(&self) -> u32 {
        self.piece_len
    }

    /// Number of pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Bytes of the content: all files but pads.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Bytes of the piece space: where its last file ends. Pads and gaps count.
    #[must_use]
    pub fn space_len(&self) -> u64 {
        self.space_len
    }

    /// How files are placed.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// All files, pads included, in the order of the piece space.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Bytes of a piece on the wire, pads included: requests within it must be served. 0 when there
    /// is no such piece.
    #[must_use]
    pub fn piece_len(&self, piece: u32) -> u32 {
        if piece >= self.pieces {
            return 0;
        }
        if self.space == Space::Aligned {
            return self.data_len(piece);
        }
        let rest = self.space_len.saturating_sub(self.piece_offset(piece));
        u32::try_from(rest).unwrap_or(u32::MAX).min(self.piece_len)
    }

    /// Bytes of a piece that a peer may ask for. In an aligned space this is the last block of a file
    /// filled up with zeros, though BEP 52 has it short: libtorrent 2.0 (not 2.1) places pads of its own
    /// in the gaps, asks for them with the block, and takes nothing else. 0 for a piece that does not
    /// exist.
    #[must_use]
    pub fn served_len(&self, piece: u32) -> u32 {
        let len = self.piece_len(piece);
        if self.space == Space::Aligned { len.next_multiple_of(BLOCK_LEN) } else { len }
    }

    /// Bytes of a piece up to its last real one: what needs to be requested. What is left up to
    /// [`piece_len`](Self::piece_len) are zeros of a pad. A piece of nothing but pads counts whole,
    /// so that every piece has something to request.
    #[must_use]
    pub fn data_len(&self, piece: u32) -> u32 {
        match &self.data_lens {
            Some(lens) => lens.get(piece as usize).copied().unwrap_or(0),
            None => self.piece_len(piece),
        }
    }

    /// Where a piece begins in the piece space.
    #[must_use]
    pub fn piece_offset(&self, piece: u32) -> u64 {
        u64::from(piece).saturating_mul(u64::from(self.piece_len))
    }

    /// Number of blocks that make up a piece: those of [`data_len`](Self::data_len). At least 1 for
    /// every piece there is.
    #[must_use]
    pub fn blocks(&self, piece: u32) -> u32 {
        self.data_len(piece).div_ceil(BLOCK_LEN)
    }

    /// The block with this index in its piece: 16 KiB, or shorter at the end of the piece's data.
    /// Its length is 0 when there is no such block.
    #[must_use]
    pub fn block(&self, piece: u32, index: u32) -> Block {
        let begin = index.saturating_mul(BLOCK_LEN);
        let len = self.data_len(piece).saturating_sub(begin).min(BLOCK_LEN);
        Block { piece, begin, len }
    }

    /// Whether a peer may ask for this: not empty, and within its piece.
    #[must_use]
    pub fn contains(&self, block: Block) -> bool {
        let end = block.begin.checked_add(block.len);
        block.len > 0 && end.is_some_and(|end| end <= self.piece_len(block.piece))
    }

    /// The files behind a byte range of a piece, in order and without holes. What reaches beyond
    /// the piece is left out.
    #[must_use]
    pub fn spans(&self, piece: u32, begin: u32, len: u32) -> Spans<'_> {
        let limit = self.piece_len(piece);
        let (begin, end) = (begin.min(limit), begin.saturating_add(len).min(limit));
        let base = self.piece_offset(piece);
        let position = base.saturating_add(u64::from(begin));
        let file = self.files.partition_point(|file| file.offset.saturating_add(file.len) <= position);
        Spans { files: &self.files, file, position, end: base.saturating_add(u64::from(end)) }
    }

    /// Bytes of a piece that belong to files other than pads: its part of
    /// [`total_len`](Self::total_len).
    #[must_use]
    pub fn payload_len(&self, piece: u32) -> u32 {
        let spans = self.spans(piece, 0, self.piece_len);
        spans.filter(|span| !span.pad).fold(0, |sum: u32, span| sum.saturating_add(span.len))
    }

    /// Indexes of the files that a piece has bytes of; empty files between them are included.
    #[must_use]
    pub fn files_of(&self, piece: u32) -> Range<usize> {
        if piece >= self.pieces {
            return 0..0;
        }
        let begin = self.piece_offset(piece);
        let end = begin.saturating_add(u64::from(self.piece_len(piece)));
        let first = self.files.partition_point(|file| file.offset.saturating_add(file.len) <= begin);
        let after = self.files.partition_point(|file| file.offset < end);
        first..after
    }

    /// The first file other than a pad that a piece has bytes of. In version 2 and hybrid torrents
    /// there is exactly one.
    #[must_use]
    pub fn data_file(&self, piece: u32) -> Option<usize> {
        self.spans(piece, 0, self.piece_len).find(|span| !span.pad).map(|span| span.file)
    }

    fn place(&mut self, entry: Entry) -> Result<(), LayoutError> {
        let Entry { path, len, root, attr } = entry;
        let offset = match self.space {
            Space::Aligned if len > 0 => self.space_len.next_multiple_of(u64::from(self.piece_len)),
            _ => self.space_len,
        };
        let end =
            offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok()).ok_or(LayoutError::TooLarge)?;
        let pieces = if len == 0 {
            let at = self.piece_count(offset)?;
            at..at
        } else {
            // The end's count is checked, and the begin lies before it.
            let first = offset.checked_div(u64::from(self.piece_len)).unwrap_or(0);
            u32::try_from(first).unwrap_or(u32::MAX)..self.piece_count(end)?
        };
        if !attr.pad {
            self.total_len = self.total_len.saturating_add(len);
        }
        self.space_len = end;
        self.files.push(File { path, len, offset, pieces, root, attr });
        Ok(())
    }

    fn piece_count(&self, end: u64) -> Result<u32, LayoutError> {
        let pieces = end.div_ceil(u64::from(self.piece_len.max(1)));
        match u32::try_from(pieces) {
            Ok(pieces) if pieces <= PIECES_MAX => Ok(pieces),
            _ => Err(LayoutError::TooManyPieces(pieces)),
        }
    }

    fn find_data_lens(&self) -> Box<[u32]> {
        let mut lens = vec![0; self.pieces as usize];
        for file in self.files.iter().filter(|file| !file.is_pad() && file.len > 0) {
            let end = file.offset.saturating_add(file.len);
            for piece in file.pieces.clone() {
                let len = end.saturating_sub(self.piece_offset(piece)).min(u64::from(self.piece_len));
                if let (Some(slot), Ok(len)) = (lens.get_mut(piece as usize), u32::try_from(len)) {
                    *slot = len;
                }
            }
        }
        // Pieces of nothing but a pad.
        for (piece, len) in (0..self.pieces).zip(&mut lens) {
            if *len == 0 {
                let rest = self.space_len.saturating_sub(self.piece_offset(piece));
                *len = u32::try_from(rest).unwrap_or(u32::MAX).min(self.piece_len);
            }
        }
        lens.into_boxed_slice()
    }
}

/// Goes through the files behind a byte range, see [`Layout::spans`].
#[derive(Clone, Debug)]
pub struct Spans<'a> {
    files: &'a [File],
    file: usize,
    position: u64,
    end: u64,
}

impl Iterator for Spans<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        while self.position < self.end {
            let file = self.files.get(self.file)?;
            let index = self.file;
            let file_end = file.offset.saturating_add(file.len);
            if file_end <= self.position {
                self.file = self.file.saturating_add(1);
                continue;
            }
            let begin = self.position;
            self.position = file_end.min(self.end);
            let len = u32::try_from(self.position.saturating_sub(begin)).ok()?;
            let file_offset = begin.saturating_sub(file.offset);
            return Some(Span { file: index, file_offset, len, pad: file.is_pad() });
        }
        None
    }
}

#[cfg(test)]
mod tests;
