//! Hashing a piece while its bytes arrive.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::{
    hashes::PieceCheck,
    merkle::{self, Hash},
};
use core::ops::Range;
use peerage_base::limits::LEAF_LEN;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Judges one piece. Bytes are given once each, in slices of any length. Version 1 takes them in
/// order only; version 2 takes leaves of 16 KiB in any order, and the bytes of one leaf in order.
#[derive(Clone, Debug)]
pub struct PieceHasher {
    data_len: u32,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    V1 { wanted: [u8; 20], sha: Sha1, next: u32, pad: u32 },
    V2 { wanted: Hash, width: u32, leaves: Vec<Option<Hash>>, open: Option<Open> },
}

/// A leaf of which a beginning is hashed.
#[derive(Clone, Debug)]
struct Open {
    leaf: u32,
    /// Where its bytes go on, within the piece.
    next: u32,
    sha: Sha256,
}

impl PieceHasher {
    /// For a piece of `piece_len` bytes on the wire, of which all after the first `data_len` are
    /// zeros of a pad: see [`Layout::piece_len`](crate::Layout::piece_len) and
    /// [`Layout::data_len`](crate::Layout::data_len).
    #[must_use]
    pub fn new(check: PieceCheck, piece_len: u32, data_len: u32) -> Self {
        let state = match check {
            PieceCheck::V1(wanted) => {
                State::V1 { wanted, sha: Sha1::new(), next: 0, pad: piece_len.saturating_sub(data_len) }
            }
            PieceCheck::V2 { root: wanted, leaves: width } => {
                let leaves = vec![None; data_len.div_ceil(LEAF_LEN) as usize];
                State::V2 { wanted, width, leaves, open: None }
            }
        };
        Self { data_len, state }
    }

    /// Hashes bytes that begin at `begin` of the piece. Tells whether they were taken. Refused are,
    /// as a whole, bytes that reach beyond the piece's data. Version 1 refuses what does not follow
    /// the last bytes. Version 2 refuses what begins inside of a leaf that it does not continue; a
    /// leaf given again is skipped, and of leaves that are given in parts one may be unfinished at a
    /// time: the beginning of another one replaces it.
    #[must_use]
    pub fn add(&mut self, begin: u32, bytes: &[u8]) -> bool {
        let Ok(len) = u32::try_from(bytes.len()) else { return false };
        let Some(end) = begin.checked_add(len).filter(|end| *end <= self.data_len) else { return false };
        match &mut self.state {
            State::V1 { sha, next, .. } => {
                if begin != *next {
                    return false;
                }
                sha.update(bytes);
                *next = end;
                true
            }
            State::V2 { leaves, open, .. } => add_leaves(leaves, open, self.data_len, begin, bytes),
        }
    }

    /// The first range of the piece that has not been hashed. It begins where
    /// [`add`](Self::add) takes bytes next, and ends where hashed bytes go on. `None` when the piece
    /// can be judged.
    #[must_use]
    pub fn missing(&self) -> Option<Range<u32>> {
        match &self.state {
            State::V1 { next, .. } => (*next < self.data_len).then_some(*next..self.data_len),
            State::V2 { leaves, open, .. } => {
                let first = leaves.iter().position(Option::is_none)?;
                let run = leaves.iter().skip(first).take_while(|leaf| leaf.is_none()).count();
                let first = u32::try_from(first).ok()?;
                let after = first.saturating_add(u32::try_from(run).ok()?);
                let begin = match open {
                    Some(open) if open.leaf == first => open.next,
                    _ => first.saturating_mul(LEAF_LEN),
                };
                Some(begin..after.saturating_mul(LEAF_LEN).min(self.data_len))
            }
        }
    }

    /// Whether the piece is right; `None` when bytes are missing.
    #[must_use]
    pub fn finish(self) -> Option<bool> {
        if self.missing().is_some() {
            return None;
        }
        match self.state {
            State::V1 { wanted, mut sha, pad, .. } => {
                feed_zeros(&mut sha, pad);
                Some(<[u8; 20]>::from(sha.finalize()) == wanted)
            }
            State::V2 { wanted, width, leaves, .. } => {
                let leaves: Option<Vec<Hash>> = leaves.into_iter().collect();
                Some(merkle::root(&leaves?, 0, width as usize) == wanted)
            }
        }
    }

    /// Hashes of the leaves that are whole by now; empty for version 1.
    #[must_use]
    pub fn leaves(&self) -> &[Option<Hash>] {
        match &self.state {
            State::V1 { .. } => &[],
            State::V2 { leaves, .. } => leaves,
        }
    }
}

fn add_leaves(
    leaves: &mut [Option<Hash>],
    open: &mut Option<Open>,
    data_len: u32,
    begin: u32,
    bytes: &[u8],
) -> bool {
    let (mut at, mut bytes) = (begin, bytes);
    while !bytes.is_empty() {
        let index = at.checked_div(LEAF_LEN).unwrap_or(0);
        let leaf_end = index.saturating_add(1).saturating_mul(LEAF_LEN).min(data_len);
        let Some((now, rest)) = bytes.split_at_checked(bytes.len().min(leaf_end.saturating_sub(at) as usize))
        else {
            return false;
        };
        let Some(slot) = leaves.get_mut(index as usize) else { return false };
        let starts = at.is_multiple_of(LEAF_LEN);
        // `now` is no longer than a leaf.
        at = at.saturating_add(u32::try_from(now.len()).unwrap_or(0));
        bytes = rest;
        if slot.is_some() {
            continue;
        }
        if starts && at == leaf_end {
            *slot = Some(merkle::leaf(now));
            continue;
        }
        let mut sha = match open.take() {
            _ if starts => Sha256::new(),
            Some(open) if open.leaf == index && open.next == at.saturating_sub(now.len() as u32) => open.sha,
            other => {
                *open = other;
                return false;
            }
        };
        sha.update(now);
        if at == leaf_end {
            *slot = Some(sha.finalize().into());
        } else {
            *open = Some(Open { leaf: index, next: at, sha });
        }
    }
    true
}

/// Hashes `count` zeros: a pad's bytes.
pub(crate) fn feed_zeros(sha: &mut Sha1, count: u32) {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut left = count as usize;
    while left > 0 {
        let now = ZEROS.get(..left).unwrap_or(&ZEROS);
        sha.update(now);
        left = left.saturating_sub(now.len());
    }
}

#[cfg(test)]
mod tests;
