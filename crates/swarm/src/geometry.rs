//! Where the blocks of a torrent are, in a form that costs nothing per block.

use crate::Block;
use peerage_base::limits::BLOCK_LEN;
use peerage_content::Layout;
use std::collections::BTreeMap;

/// The pieces and blocks of a torrent. Most pieces are alike; the others (the last one, those with pad
/// files, the ends of version 2 files) are listed.
#[derive(Clone, Debug, Default)]
pub struct Geometry {
    pieces: u32,
    piece_len: u32,
    unlike: BTreeMap<u32, Shape>,
    payload: u64,
}

/// A piece that differs from the common one.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Length on the wire, pad bytes and all.
    len: u32,
    /// Bytes up to its last real one: what lies behind are zeros of a pad.
    data: u32,
    /// What a peer may ask for ([`Layout::served_len`]).
    served: u32,
}

impl Geometry {
    /// One run of bytes cut into equal pieces, without pads.
    #[must_use]
    pub fn plain(total: u64, piece_len: u32) -> Self {
        assert!(piece_len > 0);
        let pieces = u32::try_from(total.div_ceil(u64::from(piece_len))).unwrap_or(u32::MAX);
        let mut geometry = Self { pieces, piece_len, unlike: BTreeMap::new(), payload: total };
        let rest = (total % u64::from(piece_len)) as u32;
        if rest != 0 {
            geometry.unlike.insert(pieces - 1, Shape { len: rest, data: rest, served: rest });
        }
        geometry
    }

    /// The piece space of a torrent.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let piece_len = layout.nominal_piece_len();
        let shape = |piece| Shape {
            len: layout.piece_len(piece),
            data: layout.data_len(piece),
            served: layout.served_len(piece),
        };
        let unlike = (0..layout.pieces()).map(|piece| (piece, shape(piece)));
        Self {
            pieces: layout.pieces(),
            piece_len,
            unlike: unlike.filter(|(_, shape)| shape.len != piece_len || shape.data != piece_len).collect(),
            payload: layout.total_len(),
        }
    }

    /// Pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Bytes of content, without pads.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.payload
    }

    /// Bytes of a piece on the wire. 0 for a piece that does not exist.
    #[must_use]
    pub fn piece_len(&self, piece: u32) -> u32 {
        if piece >= self.pieces {
            return 0;
        }
        self.unlike.get(&piece).map_or(self.piece_len, |shape| shape.len)
    }

    /// Bytes of a piece that are worth asking for. 0 for a piece that does not exist.
    #[must_use]
    pub fn data_len(&self, piece: u32) -> u32 {
        if piece >= self.pieces {
            return 0;
        }
        if self.unlike.is_empty() {
            return self.piece_len;
        }
        self.unlike.get(&piece).map_or(self.piece_len, |shape| shape.data)
    }

    /// Blocks of a piece that are worth asking for.
    #[must_use]
    pub fn blocks(&self, piece: u32) -> u32 {
        self.data_len(piece).div_ceil(BLOCK_LEN)
    }

    /// The block of a piece with this index, below [`Self::blocks`].
    #[must_use]
    pub fn block(&self, piece: u32, index: u32) -> Block {
        let begin = index.saturating_mul(BLOCK_LEN);
        let len = self.data_len(piece).saturating_sub(begin).min(BLOCK_LEN);
        Block { piece, begin, len }
    }

    /// The index of a block, when it is exactly one of those worth asking for.
    #[must_use]
    pub fn index_of(&self, block: Block) -> Option<u32> {
        let rest = self.data_len(block.piece).checked_sub(block.begin)?;
        let fits = block.len > 0 && block.begin.is_multiple_of(BLOCK_LEN) && block.len == rest.min(BLOCK_LEN);
        fits.then_some(block.begin / BLOCK_LEN)
    }

    /// Whether a peer's request lies within a piece and is not longer than a block.
    #[must_use]
    pub fn is_valid_request(&self, block: Block) -> bool {
        if block.piece >= self.pieces {
            return false;
        }
        let served = self.unlike.get(&block.piece).map_or(self.piece_len, |shape| shape.served);
        let end = u64::from(block.begin) + u64::from(block.len);
        block.len > 0 && block.len <= BLOCK_LEN && end <= u64::from(served)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_each_piece_and_are_found_again() {
        for (total, piece_len) in
            [(1, 16384), (100_000, 32768), (65536, 65536), (65537, 65536), (90_000, 20_000)]
        {
            let geometry = Geometry::plain(total, piece_len);
            let mut sum = 0;
            for piece in 0..geometry.pieces() {
                let mut at = 0;
                for index in 0..geometry.blocks(piece) {
                    let block = geometry.block(piece, index);
                    assert_eq!((block.begin, geometry.index_of(block)), (at, Some(index)));
                    assert!(geometry.is_valid_request(block));
                    assert_eq!(geometry.index_of(Block { len: block.len + 1, ..block }), None);
                    assert_eq!(geometry.index_of(Block { begin: block.begin + 1, ..block }), None);
                    at += block.len;
                }
                assert_eq!(at, geometry.piece_len(piece));
                assert!(!geometry.is_valid_request(Block { piece, begin: at, len: 1 }));
                assert!(!geometry.is_valid_request(Block { piece, begin: u32::MAX, len: u32::MAX }));
                sum += u64::from(at);
            }
            assert_eq!(sum, total);
            assert!(!geometry.is_valid_request(Block { piece: geometry.pieces(), begin: 0, len: 1 }));
        }
    }

    /// What libtorrent 2.0 asks for in version 2 torrents.
    #[test]
    fn the_last_block_of_a_file_may_be_asked_for_whole() {
        let entry = |name: &str, len| peerage_content::layout::Entry {
            path: peerage_content::FilePath::new([name.as_bytes()]),
            len,
            root: None,
            attr: peerage_content::layout::Attr::default(),
        };
        let entries = vec![entry("a", 40_000), entry("b", 20_000)];
        let layout = Layout::new(peerage_content::layout::Space::Aligned, 65_536, entries).unwrap();
        let geometry = Geometry::new(&layout);
        let valid = |piece, begin, len| geometry.is_valid_request(Block { piece, begin, len });
        assert!(valid(0, 32_768, 40_000 - 32_768) && valid(0, 32_768, BLOCK_LEN));
        assert!(!valid(0, 49_152, BLOCK_LEN), "nothing but the gap");
        assert!(valid(1, 16_384, 20_000 - 16_384) && valid(1, 16_384, BLOCK_LEN));
        assert_eq!(geometry.block(0, 2).len, 40_000 - 32_768, "we ask for what BEP 52 says");
    }
}
