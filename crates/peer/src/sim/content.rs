//! Content to share: pseudo-random files and their torrent.

use peerage_base::Rng;
use peerage_content::create::{Builder, Source};
use peerage_content::metainfo::Version;
use peerage_content::{Hashes, Metainfo};
use std::sync::Arc;

/// A torrent and its bytes.
#[derive(Clone, Debug)]
pub struct Content {
    /// The torrent.
    pub metainfo: Arc<Metainfo>,
    /// What its pieces must hash to.
    pub hashes: Hashes,
    /// The piece space, pads and gaps as zeros.
    pub(super) bytes: Arc<Vec<u8>>,
}

impl Content {
    /// One file of `len` random bytes in pieces of `piece_len`, version 1.
    #[must_use]
    pub fn new(seed: u64, len: usize, piece_len: u32) -> Self {
        Self::with(seed, &[len], piece_len, Version::V1)
    }

    /// As [`Self::new`], private (BEP 27).
    #[must_use]
    pub fn private(seed: u64, len: usize, piece_len: u32) -> Self {
        Self::build(seed, &[len], piece_len, Version::V1, true)
    }

    /// Files of these lengths.
    ///
    /// # Panics
    /// When no torrent can be made of them.
    #[must_use]
    pub fn with(seed: u64, lens: &[usize], piece_len: u32, version: Version) -> Self {
        Self::build(seed, lens, piece_len, version, false)
    }

    fn build(seed: u64, lens: &[usize], piece_len: u32, version: Version, private: bool) -> Self {
        let source = |(index, len): (usize, &usize)| Source {
            path: vec![format!("file{index:04}")],
            len: *len as u64,
            executable: false,
        };
        let files = lens.iter().enumerate().map(source).collect();
        let mut builder = Builder::new(format!("sim{seed}"), lens.len() > 1, files);
        builder.piece_len = Some(piece_len);
        builder.version = version;
        builder.private = private;
        let plan = builder.plan().expect("a sane content");
        let layout = plan.layout();
        let mut bytes = vec![0; usize::try_from(layout.space_len()).expect("fits memory")];
        let mut rng = Rng::from_number(seed);
        for file in layout.files().iter().filter(|file| !file.is_pad()) {
            let begin = file.offset as usize;
            rng.fill(&mut bytes[begin..begin + file.len as usize]);
        }
        let digests: Vec<_> = (0..layout.pieces())
            .map(|piece| {
                let begin = layout.piece_offset(piece) as usize;
                let mut digester = plan.digester(piece);
                digester.update(&bytes[begin..begin + layout.data_len(piece) as usize]);
                digester.finish().expect("all bytes of the piece")
            })
            .collect();
        let metainfo = plan.finish(&digests).expect("a digest for each piece");
        let hashes = metainfo.hashes();
        Self { metainfo: Arc::new(metainfo), hashes, bytes: Arc::new(bytes) }
    }

    /// Bytes of its files.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.hashes.info().layout.total_len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.hashes.info().layout.pieces()
    }
}
