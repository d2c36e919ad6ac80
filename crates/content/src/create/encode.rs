//! Writing the info dictionary.

use super::{PieceDigest, Plan, Source};
use crate::{layout::File, merkle::Hash};
use peerage_wire::bencode::{DictEncoder, Encoder};
use std::collections::BTreeMap;

/// The info dictionary of a plan; `roots` has one entry per file of its layout.
pub(super) fn info(plan: &Plan, roots: &[Option<Hash>], digests: &[PieceDigest]) -> Vec<u8> {
    let builder = &plan.builder;
    let (has_v1, has_v2) = (builder.version.has_v1(), builder.version.has_v2());
    let mut encoder = Encoder::new();
    encoder.dict(|dict| {
        if has_v2 {
            dict.entry(b"file tree", |tree| put_tree(tree, plan, roots));
        }
        if has_v1 && builder.folder {
            dict.entry(b"files", |files| files.list(|list| put_files(list, plan)));
        }
        if has_v1 && !builder.folder {
            dict.uint(b"length", plan.layout.total_len());
        }
        if has_v2 {
            dict.int(b"meta version", 2);
        }
        dict.str(b"name", &builder.name);
        dict.uint(b"piece length", plan.layout.nominal_piece_len().into());
        if has_v1 {
            let hashes: Vec<[u8; 20]> = digests.iter().filter_map(|digest| digest.v1).collect();
            dict.bytes(b"pieces", hashes.as_flattened());
        }
        if builder.private {
            dict.int(b"private", 1);
        }
        if let Some(source) = &builder.source {
            dict.str(b"source", source);
        }
    });
    encoder.finish()
}

fn put_files(list: &mut Encoder, plan: &Plan) {
    for (file, source) in plan.layout.files().iter().zip(&plan.sources) {
        let source = source.and_then(|index| plan.builder.files.get(index));
        list.dict(|dict| {
            put_attr(dict, file);
            dict.uint(b"length", file.len);
            dict.entry(b"path", |path| {
                path.list(|names| match source {
                    Some(source) => source.path.iter().for_each(|name| names.str(name)),
                    None => {
                        names.str(".pad");
                        names.str(&file.len.to_string());
                    }
                });
            });
        });
    }
}

fn put_attr(dict: &mut DictEncoder<'_>, file: &File) {
    match (file.attr.pad, file.attr.executable) {
        (true, _) => dict.str(b"attr", "p"),
        (false, true) => dict.str(b"attr", "x"),
        (false, false) => {}
    }
}

/// A folder of the tree, or a file.
enum Node<'a> {
    Folder(BTreeMap<&'a [u8], Node<'a>>),
    File(&'a File, Option<Hash>),
}

fn put_tree(encoder: &mut Encoder, plan: &Plan, roots: &[Option<Hash>]) {
    let mut tree = BTreeMap::new();
    for ((file, source), root) in plan.layout.files().iter().zip(&plan.sources).zip(roots) {
        let Some(source) = source.and_then(|index| plan.builder.files.get(index)) else { continue };
        if plan.builder.folder {
            insert(&mut tree, source, Node::File(file, *root));
        } else {
            tree.insert(plan.builder.name.as_bytes(), Node::File(file, *root));
        }
    }
    put_folder(encoder, &tree);
}

fn insert<'a>(tree: &mut BTreeMap<&'a [u8], Node<'a>>, source: &'a Source, node: Node<'a>) {
    let mut folder = tree;
    let Some((name, above)) = source.path.split_last() else { return };
    for name in above {
        let next = folder.entry(name.as_bytes()).or_insert_with(|| Node::Folder(BTreeMap::new()));
        match next {
            Node::Folder(next) => folder = next,
            // The plan has made sure that no file stands where a folder must.
            Node::File(..) => return,
        }
    }
    folder.insert(name.as_bytes(), node);
}

/// As deep as paths are long, which is bounded.
fn put_folder(encoder: &mut Encoder, folder: &BTreeMap<&[u8], Node<'_>>) {
    encoder.dict(|dict| {
        for (name, node) in folder {
            dict.entry(name, |encoder| match node {
                Node::Folder(folder) => put_folder(encoder, folder),
                Node::File(file, root) => {
                    encoder.dict(|dict| dict.entry(b"", |file_| put_file(file_, file, *root)))
                }
            });
        }
    });
}

fn put_file(encoder: &mut Encoder, file: &File, root: Option<Hash>) {
    encoder.dict(|dict| {
        put_attr(dict, file);
        dict.uint(b"length", file.len);
        if let Some(root) = root {
            dict.bytes(b"pieces root", &root);
        }
    });
}
