//! Making torrents. Pure: the store reads the files and hashes the pieces, this module decides what
//! is hashed and writes the result. The same input gives the same bytes.
//!
//! 1. Fill a [`Builder`] and call [`Builder::plan`].
//! 2. For each piece of [`Plan::layout`], in any order and on any thread: make a
//!    [`PieceDigester`] with [`Plan::digester`], feed it the piece's bytes in order, and keep its
//!    [`PieceDigest`].
//! 3. Hand all of them to [`Plan::finish`].

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod digest;
mod encode;

pub use digest::{PieceDigest, PieceDigester};

use crate::{
    layout::{Attr, Entry, Layout, LayoutError, Space},
    merkle::{self, Hash, UpperTree},
    metainfo::{Info, Metainfo, MetainfoError, Version},
    name::{FilePath, TooManyCollisions, resolve_collisions, sanitise},
};
use peerage_base::limits::{BLOCK_LEN, PATH_DEPTH_MAX};
use std::{collections::BTreeMap, sync::Arc};

/// A file to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Names from the content's folder down to the file. For content that is one file, its name.
    pub path: Vec<String>,
    /// Bytes.
    pub len: u64,
    /// Whether it may be executed (BEP 47 `x`).
    pub executable: bool,
}

/// What a torrent is made from.
#[derive(Clone, Debug)]
pub struct Builder {
    /// Name of the folder or of the only file.
    pub name: String,
    /// Whether the content is a folder. When not, there must be exactly one file, and `name` names it.
    pub folder: bool,
    /// The files, in any order.
    pub files: Vec<Source>,
    /// Bytes of a piece, a power of two from 16 KiB; `None` chooses by size.
    pub piece_len: Option<u32>,
    /// Which hashes to make.
    pub version: Version,
    /// Trackers in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// No other peers than the trackers' (BEP 27). Changes the infohash.
    pub private: bool,
    /// Free text.
    pub comment: Option<String>,
    /// The program.
    pub created_by: Option<String>,
    /// Seconds since 1970. Not part of the infohash.
    pub creation_date: Option<i64>,
    /// Free text that changes the infohash.
    pub source: Option<String>,
}

impl Builder {
    /// A hybrid of `files`, with everything else left out.
    #[must_use]
    pub fn new(name: impl Into<String>, folder: bool, files: Vec<Source>) -> Self {
        Self {
            name: name.into(),
            folder,
            files,
            piece_len: None,
            version: Version::Hybrid,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            comment: None,
            created_by: None,
            creation_date: None,
            source: None,
        }
    }

    /// Sorts the files, chooses the piece length, and lays the pieces out.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn plan(self) -> Result<Plan, CreateError> {
        if is_nameless(&self.name) {
            return Err(CreateError::BadName(self.name));
        }
        if !self.folder && self.files.len() != 1 {
            return Err(CreateError::NotOneFile(self.files.len()));
        }
        let total = self.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.len));
        if total == 0 {
            return Err(CreateError::Empty);
        }
        let piece_len = self.piece_len.unwrap_or_else(|| default_piece_len(total));
        if !piece_len.is_power_of_two() || piece_len < BLOCK_LEN {
            return Err(LayoutError::PieceLen(piece_len.into()).into());
        }
        let order = self.sorted()?;
        let items = items(&self, &order, piece_len);
        let layout = self.lay_out(&items, piece_len)?;
        let sources = items.iter().map(|item| item.source).collect();
        Ok(Plan { builder: self, layout, sources })
    }

    /// Indexes of the files in the order of the torrent: by the bytes of their names, folder by
    /// folder, which is also the order of a `file tree`.
    fn sorted(&self) -> Result<Vec<usize>, CreateError> {
        let mut order: Vec<usize> = (0..self.files.len()).collect();
        if !self.folder {
            return Ok(order);
        }
        let path = |index: &usize| self.files.get(*index).map(|file| &*file.path).unwrap_or_default();
        for index in &order {
            let names = path(index);
            let bad = |name: &String| is_nameless(name) || name.contains(['/', '\0']);
            if names.is_empty() || names.len() > PATH_DEPTH_MAX || names.iter().any(bad) {
                return Err(CreateError::BadName(names.join("/")));
            }
        }
        order.sort_by(|one, two| path(one).cmp(path(two)));
        for pair in order.windows(2) {
            // Sorted like this, what stands below a file comes right after it.
            if let [one, two] = pair
                && path(two).starts_with(path(one))
            {
                return Err(CreateError::Duplicate(path(two).join("/")));
            }
        }
        Ok(order)
    }

    /// Where the pieces are. The same as that of the finished torrent.
    fn lay_out(&self, items: &[Item], piece_len: u32) -> Result<Layout, CreateError> {
        let entry = |item: &Item| {
            let source = item.source.and_then(|index| self.files.get(index));
            let path = match source {
                Some(file) if self.folder => FilePath::new(file.path.iter().map(String::as_bytes)),
                Some(_) => FilePath::new([self.name.as_bytes()]),
                None => FilePath::new([&b".pad"[..], item.len.to_string().as_bytes()]),
            };
            let executable = source.is_some_and(|file| file.executable);
            let attr = Attr { pad: source.is_none(), executable, ..Attr::default() };
            Entry { path, len: item.len, root: None, attr }
        };
        let mut entries: Vec<Entry> = items.iter().map(entry).collect();
        resolve_collisions(entries.iter_mut().filter(|entry| !entry.attr.pad).map(|entry| &mut entry.path))?;
        let space = if self.version == Version::V2 { Space::Aligned } else { Space::Continuous };
        Ok(Layout::new(space, piece_len.into(), entries)?)
    }
}

/// Whether nothing is left of a name once it is made safe.
fn is_nameless(name: &str) -> bool {
    sanitise(name.as_bytes()) == "_" && name != "_"
}

/// A file or a pad.
#[derive(Clone, Copy, Debug)]
struct Item {
    source: Option<usize>,
    len: u64,
}

/// The files in order, with the pads that a hybrid needs. Like BEP 52's own program and libtorrent,
/// a hybrid of several files has a pad behind the last one too.
fn items(builder: &Builder, order: &[usize], piece_len: u32) -> Vec<Item> {
    let pads = builder.version == Version::Hybrid && order.len() > 1;
    let mut items = Vec::with_capacity(order.len());
    for index in order {
        let len = builder.files.get(*index).map_or(0, |file| file.len);
        items.push(Item { source: Some(*index), len });
        let over = len.checked_rem(u64::from(piece_len)).unwrap_or(0);
        if pads && over > 0 {
            items.push(Item { source: None, len: u64::from(piece_len).saturating_sub(over) });
        }
    }
    items
}

/// Bytes of a piece for content of `total` bytes: a power of two from 16 KiB to 16 MiB that makes
/// about 1,000 to 2,000 pieces.
#[must_use]
pub fn default_piece_len(total: u64) -> u32 {
    const MIN: u64 = 16 * 1024;
    const MAX: u64 = 16 * 1024 * 1024;
    let len = total.div_ceil(2048).clamp(MIN, MAX).next_power_of_two();
    u32::try_from(len).unwrap_or(BLOCK_LEN)
}

/// What has to be hashed.
#[derive(Clone, Debug)]
pub struct Plan {
    builder: Builder,
    layout: Layout,
    /// For each file of the layout, its index in [`Builder::files`] as given; `None` for pads.
    sources: Vec<Option<usize>>,
}

impl Plan {
    /// The pieces to hash, with the files and pads behind them. Roots are not known yet; all else is
    /// as the finished torrent has it.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// For each file of the layout, its index in [`Builder::files`] as it was given; `None` for
    /// pads, whose bytes are zeros.
    #[must_use]
    pub fn sources(&self) -> &[Option<usize>] {
        &self.sources
    }

    /// A digester for a piece. Feed it all bytes of [`Layout::spans`] up to
    /// [`Layout::data_len`], in order; the pad after them is its own affair.
    #[must_use]
    pub fn digester(&self, piece: u32) -> PieceDigester {
        let data_len = self.layout.data_len(piece);
        let pad = self.layout.piece_len(piece).saturating_sub(data_len);
        PieceDigester::new(data_len, pad, self.builder.version.has_v1(), self.width(piece))
    }

    /// The torrent. `digests` has one entry per piece, in order.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn finish(self, digests: &[PieceDigest]) -> Result<Metainfo, CreateError> {
        let wanted = self.layout.pieces() as usize;
        if digests.len() != wanted {
            return Err(CreateError::Digests);
        }
        let version = self.builder.version;
        let whole = |digest: &PieceDigest| {
            digest.v1.is_some() >= version.has_v1() && digest.v2.is_some() >= version.has_v2()
        };
        if !digests.iter().all(whole) {
            return Err(CreateError::Digests);
        }
        let (roots, piece_layers) = self.roots(digests)?;
        let info = Info::parse(&encode::info(&self, &roots, digests))?;
        let builder = self.builder;
        Ok(Metainfo {
            trackers: builder.trackers,
            web_seeds: builder.web_seeds,
            comment: builder.comment,
            created_by: builder.created_by,
            creation_date: builder.creation_date,
            piece_layers,
            ..Metainfo::new(Arc::new(info))
        })
    }

    /// Leaves below the node that stands for a piece, missing ones included; 0 for version 1.
    fn width(&self, piece: u32) -> u32 {
        if !self.builder.version.has_v2() {
            return 0;
        }
        let piece_len = self.layout.nominal_piece_len();
        let file = self.layout.data_file(piece).and_then(|file| self.layout.files().get(file));
        let len = file.map_or(0, |file| file.len).min(piece_len.into());
        1u32.checked_shl(merkle::height(len)).unwrap_or(1)
    }

    /// For each file of the layout its root, where it has one, and all piece layers.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn roots(
        &self,
        digests: &[PieceDigest],
    ) -> Result<(Vec<Option<Hash>>, BTreeMap<Hash, Arc<UpperTree>>), CreateError> {
        let piece_len = self.layout.nominal_piece_len();
        let (mut roots, mut layers) = (Vec::with_capacity(self.sources.len()), BTreeMap::new());
        for file in self.layout.files() {
            if !self.builder.version.has_v2() || file.is_pad() || file.len == 0 {
                roots.push(None);
                continue;
            }
            let range = file.pieces.start as usize..file.pieces.end as usize;
            let nodes: Option<Vec<Hash>> =
                digests.get(range).into_iter().flatten().map(|digest| digest.v2).collect();
            let nodes = nodes.ok_or(CreateError::Digests)?;
            let layer = merkle::piece_layer(piece_len).min(merkle::height(file.len));
            let root = merkle::root(&nodes, layer, 1);
            if merkle::piece_layer_len(file.len, piece_len) > 0 && !layers.contains_key(&root) {
                let tree = UpperTree::new(&nodes, layer, file.len, &root).ok_or(CreateError::Digests)?;
                layers.insert(root, Arc::new(tree));
            }
            roots.push(Some(root));
        }
        Ok((roots, layers))
    }
}

/// Why no torrent can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// There is not a single byte to share.
    #[error("there is nothing to share: no file has any content")]
    Empty,
    /// Content that is no folder, yet not exactly one file.
    #[error("{0} files where one was due")]
    NotOneFile(usize),
    /// A name that is empty, `.` or `..`, has a separator, or is nested too deep; with its path.
    #[error("not a name that a torrent can hold: {0:?}")]
    BadName(String),
    /// Two files with one path, or a file where another one's folder is; with its path.
    #[error("two files with one path: {0:?}")]
    Duplicate(String),
    /// Digests are missing, or of other pieces.
    #[error("the digests do not fit the plan")]
    Digests,
    /// The files cannot be laid out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A flood of names that differ in nothing but letter case.
    #[error(transparent)]
    Collisions(#[from] TooManyCollisions),
    /// The result would not be a torrent that we accept ourselves.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

#[cfg(test)]
mod tests;
