//! Merkle trees of files (BEP 52): SHA-256, two children per node, leaves of 16 KiB.
//!
//! Layer 0 holds the leaves; a file's last leaf may be short. Missing leaves are 32 zero bytes, and
//! a node above missing leaves is the hash of its two children like any other ([`pad_hash`]). A
//! file's tree has the smallest power of two of leaves that holds it: a file of one leaf has that
//! leaf as its root.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use peerage_base::limits::LEAF_LEN;
use peerage_wire::{HashRequest, message::HASHES_MAX};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A node of a tree.
pub type Hash = [u8; 32];

/// Layers above the leaves that any tree can have: `i64::MAX` bytes have fewer than 2^50 leaves.
pub const HEIGHT_MAX: u32 = 50;

/// Hash of a leaf: at most 16 KiB of a file.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Hash of a node above two others.
#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// The node at `layer` above leaves that are all missing.
#[must_use]
pub fn pad_hash(layer: u32) -> Hash {
    static PADS: LazyLock<Vec<Hash>> = LazyLock::new(|| {
        let mut pads = vec![[0; 32]];
        for _ in 0..HEIGHT_MAX {
            let last = pads.last().copied().unwrap_or_default();
            pads.push(parent(&last, &last));
        }
        pads
    });
    PADS.get(layer as usize).copied().unwrap_or_default()
}

/// Leaves of a file of `len` bytes, without missing ones.
#[must_use]
pub fn leaves(len: u64) -> u64 {
    len.div_ceil(u64::from(LEAF_LEN))
}

/// Layers above the leaves of a file of `len` bytes: 0 when it has one leaf or none.
#[must_use]
pub fn height(len: u64) -> u32 {
    leaves(len).max(1).next_power_of_two().trailing_zeros()
}

/// The layer whose nodes stand for one piece each.
#[must_use]
pub fn piece_layer(piece_len: u32) -> u32 {
    piece_len.checked_div(LEAF_LEN).unwrap_or(1).max(1).trailing_zeros()
}

/// Nodes of a file's piece layer: its pieces, where it is longer than one piece; else 0, since the
/// root alone judges such a file.
#[must_use]
pub fn piece_layer_len(len: u64, piece_len: u32) -> usize {
    if len <= u64::from(piece_len) {
        return 0;
    }
    usize::try_from(len.div_ceil(u64::from(piece_len.max(1)))).unwrap_or(usize::MAX)
}

/// The root above `nodes`, which lie at `layer` and are followed by missing ones up to the next
/// power of two, or to `width` where that is more. `width` must be a power of two.
#[must_use]
pub fn root(nodes: &[Hash], layer: u32, width: usize) -> Hash {
    let width = width.max(nodes.len()).max(1).next_power_of_two();
    let mut row = nodes.to_vec();
    let mut layer = layer;
    let mut left = width;
    while left > 1 {
        row = parents(&row, layer);
        layer = layer.saturating_add(1);
        left = left.checked_div(2).unwrap_or(0);
    }
    row.first().copied().unwrap_or_else(|| pad_hash(layer))
}

/// The nodes above `row`, which lies at `layer`; a node without a right sibling gets a missing one.
fn parents(row: &[Hash], layer: u32) -> Vec<Hash> {
    let pad = pad_hash(layer);
    row.chunks(2)
        .map(|pair| match pair {
            [left, right] => parent(left, right),
            [left, ..] => parent(left, &pad),
            [] => pad,
        })
        .collect()
}

/// Why a request for hashes cannot be answered, or an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    /// The request breaks a rule of BEP 52, or lies outside of the file's tree.
    #[error("a request for hashes that the tree does not have")]
    Range,
    /// No file with this root, or its hashes are not known down to this layer.
    #[error("the hashes asked for are not known")]
    Unknown,
    /// There is another number of hashes than was asked for.
    #[error("{got} hashes where {wanted} were due")]
    Count {
        /// What came.
        got: usize,
        /// What was due.
        wanted: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the hashes do not lead to the root of the file")]
    Mismatch,
}

/// Checks the shape of a request for hashes of a file of `len` bytes, and gives the number of
/// uncle hashes that follow the requested ones in its answer.
///
/// The nodes asked for give their own ancestors, so the first uncle is the one beside the ancestor
/// that stands above all of them, and the last is at `proof_layers` above the base layer, or beneath
/// the root. A length of 1, which BEP 52 forbids, is answered by the same rule: libtorrent asks for
/// such when a file has 512 n + 1 pieces.
///
/// # Errors
/// [`HashesError::Range`].
pub fn uncles(request: &HashRequest, len: u64) -> Result<usize, HashesError> {
    let HashRequest { base_layer, index, length, proof_layers, .. } = *request;
    let above = height(len).checked_sub(base_layer).ok_or(HashesError::Range)?;
    let width = 1u64.checked_shl(above).ok_or(HashesError::Range)?;
    let end = u64::from(index).saturating_add(u64::from(length));
    let aligned = index.checked_rem(length) == Some(0);
    if !length.is_power_of_two() || length > HASHES_MAX || !aligned || end > width || proof_layers > above {
        return Err(HashesError::Range);
    }
    let told = proof_layers.saturating_add(1).min(above);
    Ok(told.saturating_sub(length.trailing_zeros()) as usize)
}

/// The requests that together fetch the piece layer of a file of `len` bytes, each with its whole
/// proof, so that each answer can be checked alone. None for a file that has no piece layer.
pub fn layer_requests(root: Hash, len: u64, piece_len: u32) -> impl Iterator<Item = HashRequest> {
    /// What libtorrent asks for at once; it answers no requests that begin elsewhere.
    const CHUNK: u32 = 512;
    let pieces = u32::try_from(piece_layer_len(len, piece_len)).unwrap_or(0);
    let base_layer = piece_layer(piece_len);
    let proof_layers = height(len).saturating_sub(base_layer).saturating_sub(1);
    (0..pieces).step_by(CHUNK as usize).map(move |index| {
        let left = pieces.saturating_sub(index).clamp(2, CHUNK);
        HashRequest { root, base_layer, index, length: left.next_power_of_two(), proof_layers }
    })
}

/// Checks an answer: the hashes that were asked for, then the uncles. They must lead all the way to
/// the root of the file, which is `len` bytes long. Gives the hashes that were asked for, without
/// those that stand for nothing but missing leaves.
///
/// # Errors
/// See [`HashesError`].
pub fn verify<'h>(request: &HashRequest, hashes: &'h [Hash], len: u64) -> Result<&'h [Hash], HashesError> {
    let wanted = uncles(request, len)?.saturating_add(request.length as usize);
    let count = HashesError::Count { got: hashes.len(), wanted };
    if hashes.len() != wanted {
        return Err(count);
    }
    let (nodes, uncles) = hashes.split_at_checked(request.length as usize).ok_or(count)?;
    let mut position = request.index.checked_shr(request.length.trailing_zeros()).unwrap_or(0);
    let mut node = root(nodes, request.base_layer, nodes.len());
    for uncle in uncles {
        node = if position & 1 == 0 { parent(&node, uncle) } else { parent(uncle, &node) };
        position >>= 1;
    }
    // A proof that ends too low has come to another node.
    if node != request.root {
        return Err(HashesError::Mismatch);
    }
    let real = nodes_at(len, request.base_layer).saturating_sub(u64::from(request.index));
    let real = usize::try_from(real).unwrap_or(usize::MAX).min(nodes.len());
    Ok(nodes.get(..real).unwrap_or(nodes))
}

/// Nodes at `layer` of a file of `len` bytes that have real leaves below them.
fn nodes_at(len: u64, layer: u32) -> u64 {
    leaves(len).div_ceil(1u64.checked_shl(layer).unwrap_or(u64::MAX))
}

/// One layer of a file's tree and all layers above it: proven to lead to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpperTree {
    len: u64,
    layer: u32,
    /// From `layer` up to the root; nodes above nothing but missing leaves are left out.
    rows: Vec<Box<[Hash]>>,
}

impl UpperTree {
    /// The tree above `nodes`, the whole layer at height `layer` of a file of `len` bytes. None
    /// when their number is wrong or they do not lead to `root`.
    #[must_use]
    pub fn new(nodes: &[Hash], layer: u32, len: u64, root: &Hash) -> Option<Self> {
        let above = height(len).checked_sub(layer)?;
        if len == 0 || nodes.len() as u64 != nodes_at(len, layer) {
            return None;
        }
        let mut rows: Vec<Box<[Hash]>> = vec![nodes.into()];
        for at in (layer..).take(above as usize) {
            let row = parents(rows.last()?, at);
            rows.push(row.into());
        }
        (**rows.last()? == [*root]).then_some(Self { len, layer, rows })
    }

    /// The lowest layer it has.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        self.rows.first().map_or(&[], |row| row)
    }

    /// The answer to a request for nodes of a layer that it has.
    ///
    /// # Errors
    /// [`HashesError::Range`], [`HashesError::Unknown`].
    pub fn answer(&self, request: &HashRequest) -> Result<Vec<Hash>, HashesError> {
        let uncles = uncles(request, self.len)?;
        if request.base_layer < self.layer {
            return Err(HashesError::Unknown);
        }
        let mut hashes = Vec::with_capacity(uncles.saturating_add(request.length as usize));
        let end = request.index.saturating_add(request.length);
        hashes.extend((request.index..end).map(|index| self.node(request.base_layer, index)));
        self.extend_uncles(request, uncles, &mut hashes);
        Ok(hashes)
    }

    /// The answer to a request for nodes below the layer it has: `nodes` are the ones asked for, as
    /// computed from the content. They must stand for whole nodes of the known layer.
    ///
    /// # Errors
    /// [`HashesError::Range`]; [`HashesError::Count`]; [`HashesError::Unknown`] when too few are
    /// asked for; [`HashesError::Mismatch`] when `nodes` are not of this file.
    pub fn answer_below(&self, request: &HashRequest, nodes: &[Hash]) -> Result<Vec<Hash>, HashesError> {
        let uncles = uncles(request, self.len)?;
        let top = request.base_layer.saturating_add(request.length.trailing_zeros());
        if nodes.len() != request.length as usize {
            return Err(HashesError::Count { got: nodes.len(), wanted: request.length as usize });
        }
        if top < self.layer {
            return Err(HashesError::Unknown);
        }
        let position = request.index.checked_shr(request.length.trailing_zeros()).unwrap_or(0);
        if root(nodes, request.base_layer, nodes.len()) != self.node(top, position) {
            return Err(HashesError::Mismatch);
        }
        let mut hashes = nodes.to_vec();
        self.extend_uncles(request, uncles, &mut hashes);
        Ok(hashes)
    }

    fn extend_uncles(&self, request: &HashRequest, uncles: usize, hashes: &mut Vec<Hash>) {
        let own = request.length.trailing_zeros();
        let mut position = request.index.checked_shr(own).unwrap_or(0);
        for layer in (request.base_layer.saturating_add(own)..).take(uncles) {
            hashes.push(self.node(layer, position ^ 1));
            position >>= 1;
        }
    }

    fn node(&self, layer: u32, index: u32) -> Hash {
        let row = layer.checked_sub(self.layer).and_then(|row| self.rows.get(row as usize));
        row.and_then(|row| row.get(index as usize)).copied().unwrap_or_else(|| pad_hash(layer))
    }
}

#[cfg(test)]
mod tests;
