//! The info dictionary.

use super::{Info, MetainfoError as Error, Version};
use crate::{
    layout::{Attr, Entry, Layout, Space},
    merkle::Hash,
    name::{FilePath, printable, resolve_collisions, sanitise},
};
use core::ops::Range;
use peerage_base::{InfoHashV1, InfoHashV2, InfoHashes, limits::PATH_DEPTH_MAX};
use peerage_wire::bencode::{self, Dict, Encoder, Limits, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Name parts of a path, as they were read.
type RawPath<'a> = Vec<&'a [u8]>;

/// A file as it was read.
struct RawFile<'a> {
    path: RawPath<'a>,
    len: u64,
    attr: Attr,
    root: Option<Hash>,
}

pub(super) fn parse(info: Value<'_>) -> Result<Info, Error> {
    let dict = info.as_dict().ok_or(Error::NoInfo)?;
    let keys = Keys::read(dict);
    let has_v2 = match keys.meta_version {
        None | Some(..=1) => false,
        Some(2) => true,
        Some(other) => return Err(Error::Version(other)),
    };
    if keys.meta_version.is_some_and(|version| version > 0) {
        // The infohash of version 2 is only well defined for the canonical form.
        // Tokens and depth were within limits when it was read.
        let limits = Limits { tokens: usize::MAX, depth: usize::MAX, ..Limits::TORRENT.strict() };
        bencode::decode(info.raw(), limits).map_err(Error::NotCanonical)?;
    }
    let has_v1 = !has_v2 || keys.files.is_some() || keys.length.is_some();
    let version = match (has_v1, has_v2) {
        (true, true) => Version::Hybrid,
        (false, true) => Version::V2,
        _ => Version::V1,
    };
    let piece_len = keys.piece_len.and_then(|value| value.as_uint()).ok_or(Error::NoPieceLen)?;
    if has_v2 {
        // A hybrid must obey the rules of the aligned space too.
        Layout::new(Space::Aligned, piece_len, Vec::new())?;
    }
    let raw_name = keys.name.and_then(|value| value.as_bytes()).ok_or(Error::NoName)?;

    let tree = match keys.tree {
        Some(tree) if has_v2 => Some(read_tree(tree)?),
        Some(_) => return Err(Error::NoVersion),
        None if has_v2 => return Err(Error::NoFileTree),
        None => None,
    };
    let list = match keys.files {
        Some(list) => Some(read_list(list)?),
        None if has_v1 => Some(vec![read_single(dict, raw_name)?]),
        None => None,
    };
    let folder = match &tree {
        Some(tree) if version == Version::V2 => !is_single(tree),
        _ => keys.files.is_some(),
    };
    let files = match (list, tree) {
        (Some(list), Some(tree)) => join(list, tree, piece_len)?,
        (Some(files), None) | (None, Some(files)) => files,
        (None, None) => return Err(Error::NoFiles),
    };
    let space = if version == Version::V2 { Space::Aligned } else { Space::Continuous };
    let layout = lay_out(files, space, piece_len)?;
    let v1_hashes = if has_v1 { find_v1_hashes(info, keys.pieces, &layout)? } else { 0..0 };
    let hashes = hash(info.raw(), has_v1, has_v2);
    let name = if sanitises_to_nothing(raw_name) { hashes_name(&hashes) } else { sanitise(raw_name) };
    Ok(Info {
        raw: info.raw().to_vec(),
        hashes,
        name,
        folder,
        version,
        private: keys.private,
        source: keys.source,
        layout,
        v1_hashes,
    })
}

/// What the dictionary has, found in one pass: it may hold many keys.
#[derive(Default)]
struct Keys<'a> {
    meta_version: Option<i64>,
    piece_len: Option<Value<'a>>,
    name: Option<Value<'a>>,
    files: Option<Value<'a>>,
    length: Option<Value<'a>>,
    tree: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    private: bool,
    source: Option<String>,
}

impl<'a> Keys<'a> {
    fn read(dict: Dict<'a>) -> Self {
        let mut keys = Self::default();
        let mut name_utf8 = None;
        for (key, value) in dict {
            let slot = match key {
                b"piece length" => &mut keys.piece_len,
                b"name" => &mut keys.name,
                b"name.utf-8" => &mut name_utf8,
                b"files" => &mut keys.files,
                b"length" => &mut keys.length,
                b"file tree" => &mut keys.tree,
                b"pieces" => &mut keys.pieces,
                b"meta version" => {
                    keys.meta_version = keys.meta_version.or(value.as_int());
                    continue;
                }
                b"private" => {
                    keys.private |= value.as_int().is_some_and(|number| number != 0);
                    continue;
                }
                b"source" => {
                    keys.source = keys.source.or_else(|| value.as_bytes().map(printable));
                    continue;
                }
                _ => continue,
            };
            // A repeated key means its first value.
            slot.get_or_insert(value);
        }
        // Old programs put a name of another encoding beside the one in UTF-8.
        if name_utf8.is_some_and(|name: Value<'_>| name.as_bytes().is_some()) {
            keys.name = name_utf8;
        }
        keys
    }
}

/// Whether nothing is left of a name but dots and what is dropped.
fn sanitises_to_nothing(name: &[u8]) -> bool {
    sanitise(name) == "_" && name != b"_"
}

fn hashes_name(hashes: &InfoHashes) -> String {
    match (hashes.v1, hashes.v2) {
        (Some(v1), _) => v1.to_string(),
        (None, Some(v2)) => v2.to_string(),
        (None, None) => String::from("_"),
    }
}

fn hash(raw: &[u8], has_v1: bool, has_v2: bool) -> InfoHashes {
    InfoHashes {
        v1: has_v1.then(|| InfoHashV1(Sha1::digest(raw).into())),
        v2: has_v2.then(|| InfoHashV2(Sha256::digest(raw).into())),
    }
}

fn find_v1_hashes(
    info: Value<'_>,
    pieces: Option<Value<'_>>,
    layout: &Layout,
) -> Result<Range<usize>, Error> {
    let pieces = pieces.ok_or(Error::NoPieces)?;
    let got = pieces.as_bytes().ok_or(Error::NoPieces)?.len();
    let wanted = (layout.pieces() as usize).saturating_mul(20);
    if got != wanted {
        return Err(Error::PiecesLen { got, wanted });
    }
    // A string's content is the end of its encoded form.
    let end = pieces.span().end.saturating_sub(info.span().start);
    Ok(end.saturating_sub(got)..end)
}

fn lay_out(files: Vec<RawFile<'_>>, space: Space, piece_len: u64) -> Result<Layout, Error> {
    if files.is_empty() {
        return Err(Error::NoFiles);
    }
    let path = |file: &RawFile<'_>| FilePath::new(file.path.iter().copied());
    let mut entries: Vec<Entry> = files
        .iter()
        .map(|file| Entry { path: path(file), len: file.len, root: file.root, attr: file.attr })
        .collect();
    drop(files);
    resolve_collisions(
        entries.iter_mut().filter(|entry| entry.attr.is_stored()).map(|entry| &mut entry.path),
    )?;
    let layout = Layout::new(space, piece_len, entries)?;
    if layout.space_len() == 0 {
        return Err(Error::NoContent);
    }
    Ok(layout)
}

// Version 1.

fn read_single<'a>(dict: Dict<'a>, name: &'a [u8]) -> Result<RawFile<'a>, Error> {
    if sanitises_to_nothing(name) {
        return Err(Error::NoName);
    }
    let attr = read_attr(dict.get(b"attr"));
    let len = dict.uint(b"length").ok_or(Error::FileLen)?;
    Ok(RawFile { path: vec![name], len, attr: Attr { symlink: false, pad: false, ..attr }, root: None })
}

fn read_list(list: Value<'_>) -> Result<Vec<RawFile<'_>>, Error> {
    list.as_list().ok_or(Error::BadEntry)?.iter().map(read_list_file).collect()
}

fn read_list_file(value: Value<'_>) -> Result<RawFile<'_>, Error> {
    let (mut len, mut path, mut path_utf8, mut attr, mut target) = (None, None, None, Attr::default(), None);
    for (key, value) in value.as_dict().ok_or(Error::BadEntry)? {
        match key {
            b"length" => len = len.or(Some(value)),
            b"path" => path = path.or(Some(value)),
            b"path.utf-8" => path_utf8 = path_utf8.or(Some(value)),
            b"attr" => attr = read_attr(Some(value)),
            b"symlink path" => target = target.or(value.as_list()),
            _ => {}
        }
    }
    if let Some(target) = target.filter(|_| attr.symlink) {
        // Never used, yet a malformed one shows that the rest may be malformed too.
        if target.iter().any(|name| name.as_bytes().is_none()) {
            return Err(Error::BadPath);
        }
    }
    let path = path_utf8.filter(|value| value.as_list().is_some()).or(path);
    let mut names = RawPath::new();
    for name in path.and_then(|value| value.as_list()).into_iter().flatten() {
        names.push(name.as_bytes().ok_or(Error::BadPath)?);
    }
    // What BitComet called its pads, long before BEP 47.
    attr.pad |= names.iter().any(|name| name.starts_with(b"_____padding_file_"));
    let len = match len.and_then(|value| value.as_uint()) {
        // A symbolic link takes no room, whatever it says.
        _ if attr.symlink && target.is_some() => 0,
        Some(len) => len,
        None => return Err(Error::FileLen),
    };
    attr.symlink &= target.is_some();
    if names.is_empty() {
        if !attr.pad {
            return Err(Error::NoPath);
        }
        names.push(b".pad");
    }
    if names.len() > PATH_DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    Ok(RawFile { path: names, len, attr, root: None })
}

fn read_attr(value: Option<Value<'_>>) -> Attr {
    let flags = value.and_then(|value| value.as_bytes()).unwrap_or_default();
    Attr {
        pad: flags.contains(&b'p'),
        executable: flags.contains(&b'x'),
        hidden: flags.contains(&b'h'),
        symlink: flags.contains(&b'l'),
    }
}

// Version 2.

/// The files of a `file tree`, in its order, which is that of the piece space.
fn read_tree(tree: Value<'_>) -> Result<Vec<RawFile<'_>>, Error> {
    let root = tree.as_dict().ok_or(Error::BadEntry)?;
    let mut files = Vec::new();
    // Folders that are open, and the names that lead to the innermost one.
    let mut open = vec![root.iter()];
    let mut names = RawPath::new();
    while let Some(folder) = open.last_mut() {
        let Some((name, value)) = folder.next() else {
            open.pop();
            names.pop();
            continue;
        };
        let entries = value.as_dict().ok_or(Error::BadEntry)?;
        if name.is_empty() {
            // Properties of a folder, which the specification forbids, or of the root.
            return Err(Error::BadEntry);
        }
        let mut inside = entries.iter();
        match (inside.next(), inside.next()) {
            (Some((b"", properties)), None) => {
                names.push(name);
                files.push(read_tree_file(names.clone(), properties)?);
                names.pop();
            }
            _ if open.len() > PATH_DEPTH_MAX => return Err(Error::TooDeep),
            _ => {
                names.push(name);
                open.push(entries.iter());
            }
        }
    }
    Ok(files)
}

fn read_tree_file<'a>(path: RawPath<'a>, properties: Value<'a>) -> Result<RawFile<'a>, Error> {
    let properties = properties.as_dict().ok_or(Error::BadEntry)?;
    let attr = read_attr(properties.get(b"attr"));
    if attr.pad {
        return Err(Error::PadInTree);
    }
    let mut len = properties.uint(b"length");
    let mut symlink = false;
    if attr.symlink {
        match properties
            .list(b"symlink path")
            .map(|target| target.iter().all(|name| name.as_bytes().is_some()))
        {
            Some(true) => (len, symlink) = (Some(0), true),
            Some(false) => return Err(Error::BadPath),
            None => {}
        }
    }
    let len = len.ok_or(Error::FileLen)?;
    let root = properties.bytes(b"pieces root").and_then(|root| Hash::try_from(root).ok());
    let root = match root.filter(|root| *root != [0; 32]) {
        _ if len == 0 => None,
        Some(root) => Some(root),
        None => return Err(Error::NoRoot),
    };
    Ok(RawFile { path, len, attr: Attr { symlink, ..attr }, root })
}

/// Whether a version 2 tree is a single file rather than a folder.
fn is_single(tree: &[RawFile<'_>]) -> bool {
    matches!(tree, [only] if only.path.len() == 1)
}

// Hybrid.

/// Checks that both file lists of a hybrid have the same content at the same places, and gives the
/// version 1 list its roots. Empty files and pads have no content. `piece_len` is not 0.
fn join<'a>(
    mut list: Vec<RawFile<'a>>,
    tree: Vec<RawFile<'a>>,
    piece_len: u64,
) -> Result<Vec<RawFile<'a>>, Error> {
    let mut tree = tree.into_iter().filter(|file| file.len > 0);
    // Where files end in the version 1 space, and where version 2 has its next piece boundary.
    let (mut end, mut boundary) = (0u64, 0u64);
    for file in &mut list {
        let begin = end;
        end = begin.saturating_add(file.len);
        if file.attr.pad || file.len == 0 {
            continue;
        }
        let other = tree.next().ok_or(Error::Inconsistent)?;
        if file.path != other.path || file.len != other.len || begin != boundary {
            return Err(Error::Inconsistent);
        }
        file.root = other.root;
        boundary = end.checked_next_multiple_of(piece_len).ok_or(Error::Inconsistent)?;
    }
    if tree.next().is_some() || end > boundary {
        return Err(Error::Inconsistent);
    }
    Ok(list)
}

/// The same dictionary with `private` set, in canonical form.
pub(super) fn with_private(info: &Info) -> Info {
    let limits = Limits { tokens: usize::MAX, ..Limits::TORRENT };
    let document = bencode::decode(info.raw(), limits).expect("it was decoded before");
    let mut entries: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for (key, value) in document.root().as_dict().into_iter().flatten() {
        entries.entry(key).or_insert(value.raw());
    }
    entries.insert(b"private", b"i1e");
    let mut encoder = Encoder::new();
    encoder.dict(|dict| entries.iter().for_each(|(key, value)| dict.raw(key, value)));
    let raw = encoder.finish();
    let document = bencode::decode(&raw, limits).expect("it was just encoded");
    parse(document.root()).expect("only `private` differs from a dictionary that was parsed")
}

/// The paths of an info dictionary that was parsed before, in the layout's order.
pub(super) fn raw_paths(raw: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
    let document = bencode::decode(raw, Limits::TORRENT).ok()?;
    let dict = document.root().as_dict()?;
    let keys = Keys::read(dict);
    let name = keys.name?.as_bytes()?;
    let files = match (keys.files, keys.length, keys.tree) {
        (Some(list), ..) => read_list(list).ok()?,
        (None, None, Some(tree)) => read_tree(tree).ok()?,
        _ => return Some(vec![vec![name.to_vec()]]),
    };
    Some(files.iter().map(|file| file.path.iter().map(|name| name.to_vec()).collect()).collect())
}
