//! Targets of `content`.

use crate::Outcome;
use peerage_content::layout::{Attr, Entry, Space};
use peerage_content::merkle::{self, HashesError, UpperTree};
use peerage_content::name::{resolve_collisions, sanitise};
use peerage_content::{FilePath, Info, Layout, Link, Magnet, Metainfo};
use peerage_wire::HashRequest;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is accepted is geometrically sound, has safe names, and encodes to a file with the same
/// info dictionary.
pub fn metainfo(bytes: &[u8]) -> Outcome {
    let parsed = Metainfo::parse(bytes);
    if let Ok(metainfo) = &parsed {
        check_info(&metainfo.info);
        let again = Metainfo::parse(&metainfo.encode()).expect("our own file");
        assert_eq!(again.info.hashes, metainfo.info.hashes);
        assert_eq!(again.info.raw(), metainfo.info.raw());
        assert_eq!(again.piece_layers, metainfo.piece_layers);
        let hashes = metainfo.hashes();
        for piece in some_pieces(&metainfo.info.layout) {
            assert!(hashes.check(piece).is_some() || hashes.missing_layers().next().is_some());
        }
    }
    Outcome::of(&parsed)
}

/// The same for an info dictionary alone, as peers send it.
pub fn info(bytes: &[u8]) -> Outcome {
    let parsed = Info::parse(bytes);
    if let Ok(info) = &parsed {
        assert_eq!(info.raw(), bytes);
        check_info(info);
        let metainfo = Metainfo::new(Arc::new(info.clone()));
        assert_eq!(metainfo.info.hashes, info.hashes);
    }
    Outcome::of(&parsed)
}

fn check_info(info: &Info) {
    assert!(info.hashes.v1.is_some() || info.hashes.v2.is_some());
    assert_eq!(
        (info.hashes.v1.is_some(), info.hashes.v2.is_some()),
        (info.version.has_v1(), info.version.has_v2())
    );
    assert_safe(&info.name);
    check_layout(&info.layout);
    for piece in some_pieces(&info.layout) {
        assert_eq!(info.v1_hash(piece).is_some(), info.version.has_v1());
    }
    assert_eq!(info.v1_hash(info.layout.pieces()), None);
    assert_eq!(info.raw_paths().len(), info.layout.files().len());
}

/// The first and the last few pieces.
fn some_pieces(layout: &Layout) -> impl Iterator<Item = u32> + use<> {
    let count = layout.pieces();
    (0..count.min(8)).chain(count.saturating_sub(8).max(8)..count)
}

fn check_layout(layout: &Layout) {
    for file in layout.files() {
        assert_safe_path(&file.path);
        assert!(file.pieces.start <= file.pieces.end && file.pieces.end <= layout.pieces());
        assert_eq!(file.pieces.is_empty(), file.len == 0);
    }
    for piece in some_pieces(layout) {
        let len = layout.piece_len(piece);
        assert!(len > 0 && len <= layout.nominal_piece_len());
        assert!((1..=len).contains(&layout.data_len(piece)));
        let mut covered = 0;
        for span in layout.spans(piece, 0, len).take(10_000) {
            let file = layout.files().get(span.file).expect("a file");
            assert!(span.len > 0 && span.file_offset + u64::from(span.len) <= file.len);
            assert_eq!(span.pad, file.is_pad());
            covered += span.len;
        }
        assert!(covered == len || layout.files().len() > 10_000);
        let blocks = layout.blocks(piece);
        assert!(blocks > 0 && layout.block(piece, blocks).len == 0);
        for index in [0, blocks - 1] {
            assert!(layout.contains(layout.block(piece, index)));
        }
    }
    assert_eq!((layout.piece_len(layout.pieces()), layout.blocks(layout.pieces())), (0, 0));
}

/// What is printed is read again as the same link.
pub fn magnet(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Refused };
    let parsed = text.parse::<Magnet>();
    if let Ok(magnet) = &parsed {
        check_magnet(magnet);
    }
    Outcome::of(&parsed)
}

fn check_magnet(magnet: &Magnet) {
    assert!(magnet.hashes.v1.is_some() || magnet.hashes.v2.is_some());
    let printed = magnet.to_string();
    assert!(printed.is_ascii() && !printed.contains(char::is_whitespace), "{printed}");
    assert_eq!(printed.parse::<Magnet>().as_ref(), Ok(magnet), "{printed}");
}

/// Whatever a user may give.
pub fn link(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Refused };
    let parsed = Link::parse(text);
    match &parsed {
        Ok(Link::Magnet(magnet)) => check_magnet(magnet),
        Ok(Link::Url(url)) => assert!(url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"))),
        Ok(Link::Path(_)) | Err(_) => {}
    }
    Outcome::of(&parsed)
}

fn assert_safe(name: &str) {
    assert!(!name.is_empty() && name != "." && name != "..", "{name:?}");
    assert!(name.len() <= 255, "{name:?}");
    assert!(!name.contains(['/', '\\', '\0', '\u{202E}']), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    assert!(!drive, "{name:?}");
    assert!(!name.ends_with(['.', ' ']), "{name:?}");
}

fn assert_safe_path(path: &FilePath) {
    path.names().for_each(assert_safe);
    assert!(!path.as_str().is_empty() && !path.as_str().starts_with('/'));
}

/// Safe, and not changed by a second time.
pub fn name(bytes: &[u8]) -> Outcome {
    let safe = sanitise(bytes);
    assert_safe(&safe);
    assert_eq!(sanitise(safe.as_bytes()), safe);
    if safe.as_bytes() == bytes { Outcome::Accepted } else { Outcome::Refused }
}

/// Lines are paths: all of them safe, and no two alike to a file system that ignores case.
pub fn paths(bytes: &[u8]) -> Outcome {
    let lines = bytes.split(|byte| *byte == b'\n').take(600);
    let mut paths: Vec<FilePath> =
        lines.map(|line| FilePath::new(line.split(|byte| *byte == b'/'))).collect();
    let resolved = resolve_collisions(&mut paths);
    paths.iter().for_each(assert_safe_path);
    if resolved.is_ok() {
        let folded: BTreeSet<_> = paths.iter().map(|path| path.as_str().to_lowercase()).collect();
        assert_eq!(folded.len(), paths.len(), "{paths:?}");
        let is_inside = |path: &str| path.match_indices('/').any(|(at, _)| folded.contains(&path[..at]));
        assert!(!folded.iter().any(|path| is_inside(path)), "{paths:?}");
    }
    Outcome::of(&resolved)
}

/// Takes numbers off the front of an input; zeros at its end.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn u8(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }
}

/// Any files in any space: space, piece length, then attributes and length of each file.
pub fn layout(bytes: &[u8]) -> Outcome {
    let mut numbers = Numbers(bytes);
    let space = if numbers.u8() & 1 == 0 { Space::Continuous } else { Space::Aligned };
    let piece_len = numbers.u64();
    let mut entries = Vec::new();
    while !numbers.0.is_empty() && entries.len() < 1000 {
        let flags = numbers.u8();
        // Half of the files are of usual sizes: others seldom add up to a layout.
        let len = if flags & 2 == 0 { u64::from(numbers.u32()) } else { numbers.u64() };
        let attr = Attr { pad: flags & 1 != 0 && space == Space::Continuous, ..Attr::default() };
        entries.push(Entry { path: FilePath::new([&b"name"[..]]), len, root: None, attr });
    }
    let layout = Layout::new(space, piece_len, entries);
    if let Ok(layout) = &layout {
        check_layout(layout);
    }
    Outcome::of(&layout)
}

/// A small tree answers requests with what proves them, and a changed hash proves nothing.
pub fn merkle(bytes: &[u8]) -> Outcome {
    let mut numbers = Numbers(bytes);
    let len = 1 + u64::from(numbers.u32()) % (200 * 16 * 1024);
    let layer = u32::from(numbers.u8() % 8).min(merkle::height(len));
    let count = merkle::leaves(len).div_ceil(1 << layer);
    let nodes: Vec<_> = (0..count).map(|index| merkle::leaf(&index.to_be_bytes())).collect();
    let root = merkle::root(&nodes, layer, 1 << (merkle::height(len) - layer));
    let tree = UpperTree::new(&nodes, layer, len, &root).expect("built from its own nodes");
    let request = HashRequest {
        root,
        base_layer: layer.wrapping_add(numbers.u32() % 3),
        index: numbers.u32(),
        length: numbers.u32(),
        proof_layers: numbers.u32(),
    };
    let answer = tree.answer(&request);
    if let Ok(mut hashes) = answer.clone() {
        let verified = merkle::verify(&request, &hashes, len).map(<[_]>::len);
        // The uncles reach the root, or the nodes asked for are all there are.
        let above = merkle::height(len) - request.base_layer;
        let whole = request.proof_layers + 1 >= above || request.length.trailing_zeros() >= above;
        assert_eq!(verified.is_ok(), whole, "{request:?} {verified:?}");
        let victim = numbers.u8() as usize % hashes.len();
        hashes[victim][0] ^= 1;
        assert_eq!(merkle::verify(&request, &hashes, len).map(<[_]>::len), Err(HashesError::Mismatch));
    }
    // Hashes from a stranger, for a file of any length: no panic.
    let hashes: Vec<[u8; 32]> =
        bytes.chunks_exact(32).map(|chunk| chunk.try_into().expect("32 bytes")).collect();
    let _ = merkle::verify(&request, &hashes, numbers.u64());
    Outcome::of(&answer)
}
