//! What each piece of a torrent must hash to.

use crate::{
    layout::Layout,
    merkle::{self, Hash, HashesError, UpperTree},
    metainfo::Info,
};
use peerage_wire::HashRequest;
use std::{collections::BTreeMap, sync::Arc};

/// How a piece is judged. A hybrid's piece is judged by one hash, not by two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceCheck {
    /// SHA-1 of the piece's bytes, pads included (BEP 3).
    V1([u8; 20]),
    /// Root above the piece's leaves (BEP 52); pads excluded.
    V2 {
        /// The node of the piece layer, or the file's root where the file has one piece.
        root: Hash,
        /// Leaves below it, missing ones included: a power of two.
        leaves: u32,
    },
}

/// The hashes of a torrent's pieces, as far as they are known. Version 1 hashes come with the info
/// dictionary; version 2 piece layers come with the `.torrent` file or from peers.
///
/// Cheap to clone: a clone shares everything, and layers set later are set in one copy only.
#[derive(Clone, Debug)]
pub struct Hashes {
    info: Arc<Info>,
    /// By root, for files longer than one piece. Equal files share one.
    trees: BTreeMap<Hash, Arc<UpperTree>>,
}

/// Why a piece layer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The file has no piece layer: no such file, version 1, or not longer than a piece.
    #[error("the file has no piece layer")]
    NoLayer,
    /// The layer does not lead to the file's root.
    #[error("the piece layer does not fit the root of the file")]
    Mismatch,
}

impl Hashes {
    /// What the info dictionary alone tells.
    #[must_use]
    pub fn new(info: Arc<Info>) -> Self {
        Self { info, trees: BTreeMap::new() }
    }

    /// With piece layers that are known to be right, by the root of their file.
    #[must_use]
    pub fn with_layers(info: Arc<Info>, trees: BTreeMap<Hash, Arc<UpperTree>>) -> Self {
        Self { info, trees }
    }

    /// The torrent.
    #[must_use]
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// How to judge a piece; `None` while its piece layer is missing, and when there is no such
    /// piece. Version 2 where it can be, otherwise version 1.
    #[must_use]
    pub fn check(&self, piece: u32) -> Option<PieceCheck> {
        self.check_v2(piece).or_else(|| self.info.v1_hash(piece).map(PieceCheck::V1))
    }

    /// Takes a file's piece layer, after checking that it leads to the file's root.
    ///
    /// # Errors
    /// See [`LayerError`].
    pub fn set_layer(&mut self, file: usize, layer: &[Hash]) -> Result<(), LayerError> {
        let piece_len = self.layout().nominal_piece_len();
        let entry = self.layout().files().get(file).ok_or(LayerError::NoLayer)?;
        let root = entry.root.ok_or(LayerError::NoLayer)?;
        if merkle::piece_layer_len(entry.len, piece_len) == 0 {
            return Err(LayerError::NoLayer);
        }
        if self.trees.contains_key(&root) {
            return Ok(());
        }
        let tree = UpperTree::new(layer, merkle::piece_layer(piece_len), entry.len, &root);
        self.trees.insert(root, Arc::new(tree.ok_or(LayerError::Mismatch)?));
        Ok(())
    }

    /// A file's piece layer, where it has one and it is known.
    #[must_use]
    pub fn layer(&self, file: usize) -> Option<&[Hash]> {
        let root = self.layout().files().get(file)?.root?;
        Some(self.trees.get(&root)?.nodes())
    }

    /// All known piece layers, by the root of their file: what a `.torrent` file keeps.
    #[must_use]
    pub fn layers(&self) -> &BTreeMap<Hash, Arc<UpperTree>> {
        &self.trees
    }

    /// The files whose piece layers are not known yet, in order. Empty for version 1.
    pub fn missing_layers(&self) -> impl Iterator<Item = usize> + '_ {
        let piece_len = self.layout().nominal_piece_len();
        let files = self.layout().files().iter().enumerate();
        files
            .filter(move |(_, file)| merkle::piece_layer_len(file.len, piece_len) > 0)
            .filter(|(_, file)| file.root.is_some_and(|root| !self.trees.contains_key(&root)))
            .map(|(index, _)| index)
    }

    /// The answer to a peer's request for hashes of a known piece layer or above it (BEP 52).
    ///
    /// # Errors
    /// See [`HashesError`]; the request is then to be rejected.
    pub fn answer(&self, request: &HashRequest) -> Result<Vec<Hash>, HashesError> {
        self.trees.get(&request.root).ok_or(HashesError::Unknown)?.answer(request)
    }

    /// The answer to a peer's request for leaves (`base_layer` 0) of whole pieces: `leaves` are the
    /// ones asked for, hashed from the content, with zeros for missing ones.
    ///
    /// # Errors
    /// See [`HashesError`]; the request is then to be rejected.
    pub fn answer_leaves(&self, request: &HashRequest, leaves: &[Hash]) -> Result<Vec<Hash>, HashesError> {
        if let Some(tree) = self.trees.get(&request.root) {
            return tree.answer_below(request, leaves);
        }
        // A file of one piece: its root is all there is to know.
        let mut files = self.layout().files().iter();
        let file = files.find(|file| file.root == Some(request.root)).ok_or(HashesError::Unknown)?;
        let tree = UpperTree::new(&[request.root], merkle::height(file.len), file.len, &request.root);
        tree.ok_or(HashesError::Unknown)?.answer_below(request, leaves)
    }

    fn layout(&self) -> &Layout {
        &self.info.layout
    }

    fn check_v2(&self, piece: u32) -> Option<PieceCheck> {
        let layout = self.layout();
        let file = layout.files().get(layout.data_file(piece)?)?;
        let root = file.root?;
        let piece_len = layout.nominal_piece_len();
        if merkle::piece_layer_len(file.len, piece_len) == 0 {
            let leaves = 1u32.checked_shl(merkle::height(file.len))?;
            return Some(PieceCheck::V2 { root, leaves });
        }
        let index = piece.checked_sub(file.pieces.start)? as usize;
        let root = *self.trees.get(&root)?.nodes().get(index)?;
        let leaves = 1u32.checked_shl(merkle::piece_layer(piece_len))?;
        Some(PieceCheck::V2 { root, leaves })
    }
}

#[cfg(test)]
mod tests;
