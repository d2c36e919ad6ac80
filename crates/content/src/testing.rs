//! Content for tests, with no file behind it.

use crate::{
    Metainfo, Version,
    create::{Builder, Source},
};

/// Bytes that differ from piece to piece.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(i) + i / 251 + seed) as u8).collect()
}

/// A torrent, and the bytes of each file of its layout (pads included).
pub(crate) struct Made {
    pub(crate) metainfo: Metainfo,
    pub(crate) contents: Vec<Vec<u8>>,
}

impl Made {
    /// Bytes of a piece up to its last real one.
    pub(crate) fn piece(&self, piece: u32) -> Vec<u8> {
        let layout = &self.metainfo.info.layout;
        let mut bytes = Vec::new();
        for span in layout.spans(piece, 0, layout.data_len(piece)) {
            let begin = span.file_offset as usize;
            bytes.extend_from_slice(&self.contents[span.file][begin..begin + span.len as usize]);
        }
        bytes
    }
}

/// Makes a torrent of files named by path; a single path without a folder makes a single file.
pub(crate) fn make(version: Version, piece_len: u32, folder: bool, files: &[(&str, Vec<u8>)]) -> Made {
    let source = |(path, bytes): &(&str, Vec<u8>)| Source {
        path: path.split('/').map(str::to_owned).collect(),
        len: bytes.len() as u64,
        executable: false,
    };
    let name = if folder { "holiday" } else { files[0].0 };
    let builder = Builder {
        version,
        piece_len: Some(piece_len),
        ..Builder::new(name, folder, files.iter().map(source).collect())
    };
    let plan = builder.plan().unwrap();
    let layout = plan.layout().clone();
    let content = |(file, source): (&crate::File, &Option<usize>)| match source {
        Some(index) => files[*index].1.clone(),
        None => vec![0; file.len as usize],
    };
    let contents: Vec<Vec<u8>> = layout.files().iter().zip(plan.sources()).map(content).collect();
    let digests: Vec<_> = (0..layout.pieces())
        .map(|piece| {
            let mut digester = plan.digester(piece);
            for span in layout.spans(piece, 0, layout.data_len(piece)) {
                let begin = span.file_offset as usize;
                for slice in contents[span.file][begin..begin + span.len as usize].chunks(7001) {
                    digester.update(slice);
                }
            }
            digester.finish().unwrap()
        })
        .collect();
    Made { metainfo: plan.finish(&digests).unwrap(), contents }
}

/// A folder with an empty file, a file of one byte, files of whole and of broken pieces.
pub(crate) fn holiday(version: Version, piece_len: u32) -> Made {
    let files = [
        ("b/long", pattern(3, 150_000)),
        ("a.txt", pattern(1, 40_000)),
        ("b/empty", Vec::new()),
        ("d", pattern(5, 1)),
        ("c", pattern(4, 16_384)),
    ];
    make(version, piece_len, true, &files)
}
