//! Torrents made the long way, so that tests do not believe the code they test.

#![allow(clippy::unwrap_used, reason = "a failure is the end of the test")]

use std::{collections::BTreeMap, sync::Arc};

use peerage_content::{Hashes, Info};
use sha1::Sha1;
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    V1,
    V2,
    Hybrid,
}

/// Files by name (with slashes), with their bytes.
pub type Files = Vec<(String, Vec<u8>)>;

pub fn text(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

fn int(value: u64) -> Vec<u8> {
    format!("i{value}e").into_bytes()
}

fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [b"l".to_vec(), items.into_iter().flatten().collect(), b"e".to_vec()].concat()
}

pub fn dict(items: BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let items = items.into_iter().flat_map(|(key, value)| [text(&key), value].concat());
    [b"d".to_vec(), items.collect(), b"e".to_vec()].concat()
}

fn key(key: &str) -> Vec<u8> {
    key.as_bytes().to_vec()
}

/// The info dictionary of version 1 alone, with names of any bytes; single file when `folder` is not
/// set.
pub fn info_v1(
    name: &[u8],
    folder: bool,
    files: &[(Vec<Vec<u8>>, u64, bool)],
    piece_len: u32,
    pieces: Vec<u8>,
) -> Vec<u8> {
    let mut info = BTreeMap::new();
    info.insert(key("name"), text(name));
    info.insert(key("piece length"), int(u64::from(piece_len)));
    info.insert(key("pieces"), text(&pieces));
    if folder {
        info.insert(key("files"), file_list(files));
    } else {
        info.insert(key("length"), int(files[0].1));
    }
    dict(info)
}

fn file_list(files: &[(Vec<Vec<u8>>, u64, bool)]) -> Vec<u8> {
    list(files.iter().map(|(path, len, pad)| {
        let mut file = BTreeMap::new();
        file.insert(key("length"), int(*len));
        file.insert(key("path"), list(path.iter().map(|name| text(name))));
        if *pad {
            file.insert(key("attr"), text(b"p"));
        }
        dict(file)
    }))
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::digest([left.as_slice(), right].concat()).into()
}

/// Root over leaves, with zero leaves up to `width`, a power of two.
fn root(mut level: Vec<[u8; 32]>, width: usize) -> [u8; 32] {
    level.resize(width, [0; 32]);
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
    }
    level[0]
}

fn leaves(bytes: &[u8]) -> Vec<[u8; 32]> {
    bytes.chunks(16 * 1024).map(|block| Sha256::digest(block).into()).collect()
}

/// Root of a file and its piece layer.
fn tree(bytes: &[u8], piece_len: usize) -> ([u8; 32], Vec<[u8; 32]>) {
    if bytes.len() <= piece_len {
        let leaves = leaves(bytes);
        let width = leaves.len().next_power_of_two();
        return (root(leaves, width), Vec::new());
    }
    let per_piece = piece_len / (16 * 1024);
    let layer: Vec<[u8; 32]> = bytes.chunks(piece_len).map(|piece| root(leaves(piece), per_piece)).collect();
    let pad = root(Vec::new(), per_piece);
    let mut full = layer.clone();
    full.resize(layer.len().next_power_of_two(), pad);
    let width = full.len();
    (root(full, width), layer)
}

/// A torrent in a folder named `name`. Files must come sorted for version 2.
pub fn make(kind: Kind, name: &str, files: &Files, piece_len: u32) -> Arc<Hashes> {
    let split = |path: &str| path.split('/').map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut listed: Vec<(Vec<Vec<u8>>, u64, bool)> = Vec::new();
    let mut space: Vec<u8> = Vec::new();
    for (path, bytes) in files {
        listed.push((split(path), bytes.len() as u64, false));
        space.extend(bytes);
        let gap = space.len().next_multiple_of(piece_len as usize) - space.len();
        if kind == Kind::Hybrid && gap > 0 {
            listed.push((vec![b".pad".to_vec(), gap.to_string().into_bytes()], gap as u64, true));
            space.resize(space.len() + gap, 0);
        }
    }
    let mut info = BTreeMap::new();
    info.insert(key("name"), text(name.as_bytes()));
    info.insert(key("piece length"), int(u64::from(piece_len)));
    if kind != Kind::V2 {
        let pieces = space.chunks(piece_len as usize).flat_map(|piece| Sha1::digest(piece).to_vec());
        info.insert(key("pieces"), text(&pieces.collect::<Vec<u8>>()));
        info.insert(key("files"), file_list(&listed));
    }
    let mut layers = BTreeMap::new();
    if kind != Kind::V1 {
        info.insert(key("meta version"), int(2));
        let mut top = Folder::default();
        for (path, bytes) in files {
            let mut file = BTreeMap::new();
            file.insert(key("length"), int(bytes.len() as u64));
            if !bytes.is_empty() {
                let (root, layer) = tree(bytes, piece_len as usize);
                file.insert(key("pieces root"), text(&root));
                layers.insert(root, layer);
            }
            top.insert(&split(path), dict(file));
        }
        info.insert(key("file tree"), top.encode());
    }
    let info = Arc::new(Info::parse(&dict(info)).unwrap());
    let mut hashes = Hashes::new(Arc::clone(&info));
    for (index, file) in info.layout.files().iter().enumerate() {
        if let Some(layer) = file.root.and_then(|root| layers.get(&root)).filter(|layer| !layer.is_empty()) {
            hashes.set_layer(index, layer).unwrap();
        }
    }
    Arc::new(hashes)
}

#[derive(Default)]
struct Folder {
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    folders: BTreeMap<Vec<u8>, Folder>,
}

impl Folder {
    fn insert(&mut self, path: &[Vec<u8>], file: Vec<u8>) {
        match path {
            [name] => drop(self.files.insert(name.clone(), file)),
            [name, rest @ ..] => self.folders.entry(name.clone()).or_default().insert(rest, file),
            [] => {}
        }
    }

    fn encode(self) -> Vec<u8> {
        let files =
            self.files.into_iter().map(|(name, file)| (name, dict(BTreeMap::from([(Vec::new(), file)]))));
        let folders = self.folders.into_iter().map(|(name, folder)| (name, folder.encode()));
        dict(files.chain(folders).collect())
    }
}

/// Bytes that look random, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(len);
    out
}
