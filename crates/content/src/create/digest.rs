//! Hashing the pieces of new content.

use crate::{
    hasher::feed_zeros,
    merkle::{self, Hash},
};
use peerage_base::limits::LEAF_LEN;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Hashes one piece of new content: version 1 and 2 in one pass over its bytes.
#[derive(Clone, Debug)]
pub struct PieceDigester {
    /// Bytes to come.
    left: u32,
    /// Zeros after them, for version 1 only.
    pad: u32,
    v1: Option<Sha1>,
    /// Leaves below the piece's node; 0 when there is none.
    width: u32,
    leaves: Vec<Hash>,
    /// The leaf that is not whole, and the bytes it still takes.
    leaf: Sha256,
    leaf_left: u32,
    /// More bytes came than the piece has.
    too_many: bool,
}

/// The hashes of one piece, as far as the version has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceDigest {
    /// SHA-1 of the piece with its pads.
    pub v1: Option<[u8; 20]>,
    /// Root above the piece's leaves.
    pub v2: Option<Hash>,
}

impl PieceDigester {
    pub(super) fn new(data_len: u32, pad: u32, v1: bool, width: u32) -> Self {
        let leaves = if width > 0 { data_len.div_ceil(LEAF_LEN) as usize } else { 0 };
        Self {
            left: data_len,
            pad,
            v1: v1.then(Sha1::new),
            width,
            leaves: Vec::with_capacity(leaves),
            leaf: Sha256::new(),
            leaf_left: LEAF_LEN,
            too_many: false,
        }
    }

    /// Hashes the next bytes of the piece.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left == 0 {
                self.too_many = true;
                return;
            }
            // A leaf at a time, so that the second hash finds the bytes in the nearest cache.
            let len = rest.len().min(self.leaf_left.min(self.left) as usize);
            let Some((now, after)) = rest.split_at_checked(len) else { return };
            rest = after;
            if let Some(v1) = &mut self.v1 {
                v1.update(now);
            }
            if self.width > 0 {
                self.leaf.update(now);
            }
            // `now` is no longer than a leaf.
            let len = u32::try_from(len).unwrap_or(0);
            self.left = self.left.saturating_sub(len);
            self.leaf_left = self.leaf_left.saturating_sub(len);
            if self.leaf_left == 0 || self.left == 0 {
                self.leaf_left = LEAF_LEN;
                if self.width > 0 {
                    self.leaves.push(self.leaf.finalize_reset().into());
                }
            }
        }
    }

    /// The hashes. `None` when fewer or more bytes came than the piece has: the file has changed.
    #[must_use]
    pub fn finish(self) -> Option<PieceDigest> {
        if self.left > 0 || self.too_many {
            return None;
        }
        let v1 = self.v1.map(|mut v1| {
            feed_zeros(&mut v1, self.pad);
            v1.finalize().into()
        });
        let v2 = (self.width > 0).then(|| merkle::root(&self.leaves, 0, self.width as usize));
        Some(PieceDigest { v1, v2 })
    }
}
