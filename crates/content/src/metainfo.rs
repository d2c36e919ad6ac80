//! `.torrent` files and info dictionaries: versions 1, 2 and hybrid (BEP 3, 5, 12, 19, 27, 47, 52).
//!
//! **What is refused.** Wrong structure, sizes and hashes, each with a named [`MetainfoError`]. A
//! hybrid whose two halves describe different content is refused as a whole.
//!
//! **What is tolerated**, since deployed programs write it: bencode with unordered or repeated keys
//! in a version 1 torrent (never in one that says `meta version`), unknown keys, missing or
//! incomplete piece layers (they are then fetched from peers, as with a magnet link), pads without a
//! path, a symbolic link without its target, wrong types in keys that are only advice (trackers,
//! web seeds, comment). Names are made safe by [`crate::name`], never refused, but for a missing one.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod info;
mod outer;

use crate::{
    hashes::Hashes,
    layout::{Layout, LayoutError},
    merkle::{Hash, UpperTree},
    name::TooManyCollisions,
};
use core::ops::Range;
use peerage_base::InfoHashes;
use peerage_wire::bencode;
use std::{collections::BTreeMap, sync::Arc};

/// Which piece hashes a torrent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// SHA-1 (BEP 3).
    V1,
    /// Merkle trees of SHA-256 (BEP 52).
    V2,
    /// Both, over the same content.
    Hybrid,
}

impl Version {
    /// Whether there are SHA-1 hashes.
    #[must_use]
    pub fn has_v1(self) -> bool {
        self != Self::V2
    }

    /// Whether there are Merkle trees.
    #[must_use]
    pub fn has_v2(self) -> bool {
        self != Self::V1
    }
}

/// An info dictionary: what the infohash stands for. Does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its exact bytes.
    raw: Vec<u8>,
    /// The infohashes, of the bytes as they were read.
    pub hashes: InfoHashes,
    /// Sanitised name of the folder or of the only file; the infohash where it would be empty.
    pub name: String,
    /// Whether the content is a folder named [`name`](Self::name); otherwise it is one file, which
    /// has its own path in the layout (nearly always the same name).
    pub folder: bool,
    /// Which piece hashes there are.
    pub version: Version,
    /// No other peers than the trackers' (BEP 27).
    pub private: bool,
    /// Free text that makes the infohash differ, where there is any. Fit to be shown.
    pub source: Option<String>,
    /// The piece space.
    pub layout: Layout,
    /// Where in `raw` the SHA-1 hashes of the pieces lie.
    v1_hashes: Range<usize>,
}

impl Info {
    /// Parses an info dictionary, for example from peers (BEP 9).
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn parse(raw: &[u8]) -> Result<Self, MetainfoError> {
        let document = bencode::decode(raw, bencode::Limits::TORRENT)?;
        if !document.rest().is_empty() {
            return Err(MetainfoError::Trailing);
        }
        info::parse(document.root())
    }

    /// The exact bytes.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-1 of a piece, where the torrent has version 1 hashes.
    #[must_use]
    pub fn v1_hash(&self, piece: u32) -> Option<[u8; 20]> {
        let begin = usize::try_from(piece).ok()?.checked_mul(20)?;
        let hashes = self.raw.get(self.v1_hashes.clone())?;
        hashes.get(begin..begin.checked_add(20)?)?.try_into().ok()
    }

    /// The files as the dictionary names them, before any sanitising, in the layout's order (pads
    /// included): for finding content that lies on disk under such names.
    #[must_use]
    pub fn raw_paths(&self) -> Vec<Vec<Vec<u8>>> {
        info::raw_paths(&self.raw).unwrap_or_default()
    }
}

/// What a `.torrent` file tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Metainfo {
    /// The info dictionary.
    pub info: Arc<Info>,
    /// Trackers in tiers (BEP 12). Not checked beyond being text.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19). Not checked beyond being text.
    pub web_seeds: Vec<String>,
    /// DHT nodes to begin with: host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
    /// Free text, fit to be shown in a line.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Checked piece layers, by the root of their file (BEP 52).
    pub piece_layers: BTreeMap<Hash, Arc<UpperTree>>,
}

impl Metainfo {
    /// With an info dictionary, and nothing else.
    #[must_use]
    pub fn new(info: Arc<Info>) -> Self {
        Self {
            info,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            piece_layers: BTreeMap::new(),
        }
    }

    /// Parses a `.torrent` file.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        outer::parse(bytes)
    }

    /// A `.torrent` file with the same info dictionary, byte for byte.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        outer::encode(self)
    }

    /// The same torrent, private (BEP 27): another infohash. Piece layers stay.
    #[must_use]
    pub fn with_private(self) -> Self {
        if self.info.private {
            return self;
        }
        Self { info: Arc::new(info::with_private(&self.info)), ..self }
    }

    /// The hashes of the pieces, piece layers included.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        Hashes::with_layers(self.info.clone(), self.piece_layers.clone())
    }
}

/// Why a torrent is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not bencode, or more than the limits allow.
    #[error("not valid bencode: {0}")]
    Bencode(#[from] bencode::Error),
    /// A torrent that says `meta version` is not in canonical form.
    #[error("not in canonical form, which BEP 52 demands: {0}")]
    NotCanonical(bencode::Error),
    /// Bytes after an info dictionary.
    #[error("bytes after the info dictionary")]
    Trailing,
    /// The file holds something else than a dictionary.
    #[error("not a dictionary")]
    NotDict,
    /// No info dictionary.
    #[error("no info dictionary")]
    NoInfo,
    /// A `meta version` that is not known.
    #[error("meta version {0} is not known")]
    Version(i64),
    /// `piece length` is missing, or no number.
    #[error("no piece length")]
    NoPieceLen,
    /// No `name`, or an empty one where it names the only file.
    #[error("no name")]
    NoName,
    /// Neither `length` nor `files` nor `file tree`.
    #[error("no files")]
    NoFiles,
    /// `file tree` is missing from a version 2 torrent.
    #[error("no file tree")]
    NoFileTree,
    /// A `file tree` in a torrent that does not say `meta version`.
    #[error("a file tree without a meta version")]
    NoVersion,
    /// A file without `length`, or with one that is negative or no number.
    #[error("a file without a valid length")]
    FileLen,
    /// The content has no bytes at all.
    #[error("the files have no content")]
    NoContent,
    /// A file without `path`.
    #[error("a file without a path")]
    NoPath,
    /// A part of a path that is no string.
    #[error("a path that is not a list of strings")]
    BadPath,
    /// More folders than [`PATH_DEPTH_MAX`](peerage_base::limits::PATH_DEPTH_MAX).
    #[error("folders nested too deep")]
    TooDeep,
    /// Something in `files` or `file tree` that is no dictionary, or a file with an empty name.
    #[error("an entry of the file list is malformed")]
    BadEntry,
    /// A pad in a `file tree`, where files are aligned without.
    #[error("a pad file in a version 2 file tree")]
    PadInTree,
    /// A file of version 2 without a valid `pieces root`.
    #[error("a file without a valid pieces root")]
    NoRoot,
    /// `pieces` is missing or no string.
    #[error("no piece hashes")]
    NoPieces,
    /// `pieces` has another length than the files demand.
    #[error("{got} bytes of piece hashes where {wanted} were due")]
    PiecesLen {
        /// What there is.
        got: usize,
        /// What is due.
        wanted: usize,
    },
    /// The two halves of a hybrid describe different content.
    #[error("the version 1 and version 2 file lists differ")]
    Inconsistent,
    /// A piece layer that belongs to no file, or has a wrong length.
    #[error("a piece layer that fits no file")]
    PieceLayer,
    /// A piece layer that does not lead to the root of its file.
    #[error("a piece layer that does not lead to the root of its file")]
    PieceLayerRoot,
    /// The files cannot be laid out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A flood of files with one name.
    #[error(transparent)]
    Collisions(#[from] TooManyCollisions),
}

#[cfg(test)]
mod tests;
