//! What is kept of a piece while its bytes come in: hash state, so that finishing costs the tail only.
//!
//! Version 1 hashes a piece from its front: bytes that arrive in order are hashed as they arrive,
//! the rest is read back from the page cache when the piece is judged. Version 2 hashes 16 KiB
//! leaves, in any order.

use std::io;

use bytes::Bytes;
use peerage_base::limits::LEAF_LEN;
use peerage_content::{Layout, PieceCheck, merkle};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes read back at a time: fits in a core's second-level cache, with room.
pub(crate) const READ_LEN: usize = 256 * 1024;

static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// Reads bytes of a piece back: first byte within the piece, buffer to fill (pads with zeros).
pub(crate) type ReadBack<'a> = dyn FnMut(u32, &mut [u8]) -> io::Result<()> + 'a;

/// Which hash a piece is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    V1,
    V2,
}

impl Kind {
    pub(crate) fn of(check: &PieceCheck) -> Self {
        match check {
            PieceCheck::V1(_) => Self::V1,
            PieceCheck::V2 { .. } => Self::V2,
        }
    }

    /// Bytes that are hashed: version 2 leaves out the pad at the end of a hybrid's piece.
    fn len(self, piece: u32, layout: &Layout) -> u32 {
        match self {
            Self::V1 => layout.piece_len(piece),
            Self::V2 => layout.data_len(piece),
        }
    }
}

enum State {
    V1 {
        sha: Sha1,
        /// All bytes before it are hashed.
        next: u32,
    },
    V2 {
        leaves: Vec<[u8; 32]>,
        /// Bit per leaf: hashed.
        done: Vec<u64>,
    },
}

/// Hash state of one piece.
pub(crate) struct PieceState {
    state: State,
    piece: u32,
    len: u32,
}

impl PieceState {
    pub(crate) fn new(kind: Kind, piece: u32, layout: &Layout) -> Self {
        let len = kind.len(piece, layout);
        let state = match kind {
            Kind::V1 => State::V1 { sha: Sha1::new(), next: 0 },
            Kind::V2 => {
                let leaves = len.div_ceil(LEAF_LEN) as usize;
                State::V2 { leaves: vec![[0; 32]; leaves], done: vec![0; leaves.div_ceil(64)] }
            }
        };
        Self { state, piece, len }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.state {
            State::V1 { .. } => Kind::V1,
            State::V2 { .. } => Kind::V2,
        }
    }

    /// Takes in bytes that are in the file now: `slices` follow each other from `begin`.
    pub(crate) fn absorb(&mut self, begin: u32, slices: &[Bytes], layout: &Layout) {
        let (piece, len) = (self.piece, self.len);
        match &mut self.state {
            State::V1 { sha, next } => {
                if begin > *next {
                    skip_pads(sha, next, layout, piece, len);
                }
                if begin < *next {
                    // Written over: what was hashed is no longer what the file holds.
                    *sha = Sha1::new();
                    *next = 0;
                }
                if begin == *next {
                    for slice in slices {
                        sha.update(slice);
                        *next = next.saturating_add(u32::try_from(slice.len()).unwrap_or(u32::MAX));
                    }
                }
            }
            State::V2 { leaves, done } => absorb_leaves(leaves, done, begin, slices, len),
        }
    }

    /// Hashes what is not hashed yet, read back with `read`, and says whether the piece is right.
    pub(crate) fn finish(
        mut self,
        check: &PieceCheck,
        layout: &Layout,
        buffer: &mut Vec<u8>,
        read: &mut ReadBack<'_>,
    ) -> io::Result<Finished> {
        if self.kind() != Kind::of(check) {
            self = Self::new(Kind::of(check), self.piece, layout);
        }
        buffer.resize(READ_LEN, 0);
        let len = self.len;
        match (self.state, check) {
            (State::V1 { mut sha, mut next }, PieceCheck::V1(expected)) => {
                while next < len {
                    let left = (len - next) as usize;
                    let part = buffer.get_mut(..left.min(READ_LEN)).unwrap_or_default();
                    read(next, part)?;
                    sha.update(&*part);
                    next += u32::try_from(part.len()).unwrap_or(0);
                }
                let ok = next == len && sha.finalize().as_slice() == expected;
                Ok(Finished { ok, leaves: None })
            }
            (State::V2 { mut leaves, mut done }, PieceCheck::V2 { root, leaves: padded }) => {
                finish_leaves(&mut leaves, &mut done, len, buffer, read)?;
                let ok = merkle::root(&leaves, 0, *padded as usize) == *root;
                Ok(Finished { ok, leaves: Some(leaves) })
            }
            _ => Ok(Finished { ok: false, leaves: None }),
        }
    }
}

/// The verdict on a piece.
pub(crate) struct Finished {
    pub(crate) ok: bool,
    /// SHA-256 of each block, where they were computed anyway.
    pub(crate) leaves: Option<Vec<[u8; 32]>>,
}

/// SHA-256 of each 16 KiB block of the first `len` bytes of a piece, all read back.
pub(crate) fn digests(len: u32, buffer: &mut Vec<u8>, read: &mut ReadBack<'_>) -> io::Result<Vec<[u8; 32]>> {
    let count = len.div_ceil(LEAF_LEN) as usize;
    let (mut leaves, mut done) = (vec![[0; 32]; count], vec![0; count.div_ceil(64)]);
    buffer.resize(READ_LEN, 0);
    finish_leaves(&mut leaves, &mut done, len, buffer, read)?;
    Ok(leaves)
}

/// Hashes zeros for the pads that begin at `next`.
fn skip_pads(sha: &mut Sha1, next: &mut u32, layout: &Layout, piece: u32, len: u32) {
    if *next >= len {
        return;
    }
    for span in layout.spans(piece, *next, len - *next) {
        if !span.pad {
            break;
        }
        let mut left = span.len as usize;
        while left > 0 {
            let part = left.min(ZEROS.len());
            sha.update(ZEROS.get(..part).unwrap_or_default());
            left -= part;
        }
        *next += span.len;
    }
}

fn absorb_leaves(leaves: &mut [[u8; 32]], done: &mut [u64], begin: u32, slices: &[Bytes], len: u32) {
    let mut at = u64::from(begin);
    let total = u64::from(len);
    let leaf_len = u64::from(LEAF_LEN);
    let mut sha = Sha256::new();
    // Whether `sha` has the current leaf from its first byte on.
    let mut whole = at.is_multiple_of(leaf_len);
    for slice in slices {
        let mut rest = &slice[..];
        while !rest.is_empty() {
            let end = ((at / leaf_len + 1) * leaf_len).min(total);
            let take = usize::try_from(end.saturating_sub(at)).unwrap_or(0).min(rest.len());
            if take == 0 {
                return;
            }
            let (part, after) = rest.split_at(take);
            if whole {
                sha.update(part);
            }
            let leaf = usize::try_from(at / leaf_len).unwrap_or(usize::MAX);
            at += take as u64;
            rest = after;
            if at == end {
                let digest = sha.finalize_reset();
                if let Some(slot) = leaves.get_mut(leaf) {
                    mark(done, leaf, whole);
                    slot.copy_from_slice(&digest);
                }
                whole = true;
            } else {
                // Until its end comes, the leaf is not what was hashed of it before.
                mark(done, leaf, false);
            }
        }
    }
}

fn finish_leaves(
    leaves: &mut [[u8; 32]],
    done: &mut [u64],
    len: u32,
    buffer: &mut [u8],
    read: &mut ReadBack<'_>,
) -> io::Result<()> {
    let per_read = READ_LEN / LEAF_LEN as usize;
    let mut leaf = 0;
    while leaf < leaves.len() {
        if is_marked(done, leaf) {
            leaf += 1;
            continue;
        }
        let run = (leaf..leaves.len()).take(per_read).take_while(|next| !is_marked(done, *next));
        let run = run.count();
        let begin = u32::try_from(leaf).unwrap_or(u32::MAX).saturating_mul(LEAF_LEN);
        let bytes = (run * LEAF_LEN as usize).min(len.saturating_sub(begin) as usize);
        let part = buffer.get_mut(..bytes).unwrap_or_default();
        read(begin, part)?;
        for (slot, block) in leaves.iter_mut().skip(leaf).zip(part.chunks(LEAF_LEN as usize)) {
            slot.copy_from_slice(&Sha256::digest(block));
        }
        (leaf..leaf + run).for_each(|leaf| mark(done, leaf, true));
        leaf += run;
    }
    Ok(())
}

fn is_marked(done: &[u64], leaf: usize) -> bool {
    done.get(leaf / 64).is_some_and(|word| word >> (leaf % 64) & 1 == 1)
}

fn mark(done: &mut [u64], leaf: usize, value: bool) {
    if let Some(word) = done.get_mut(leaf / 64) {
        *word = *word & !(1 << (leaf % 64)) | u64::from(value) << (leaf % 64);
    }
}
