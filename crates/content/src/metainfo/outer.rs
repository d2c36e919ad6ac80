//! The `.torrent` file around the info dictionary.

use super::{Metainfo, MetainfoError as Error, info};
use crate::{
    merkle::{self, Hash, UpperTree},
    metainfo::Info,
    name::printable,
};
use peerage_base::limits::{TRACKERS_MAX, WEB_SEEDS_MAX};
use peerage_wire::bencode::{self, Encoder, Limits, List, Value};
use std::{collections::BTreeMap, sync::Arc};

/// DHT nodes taken from one file.
const NODES_MAX: usize = 100;

pub(super) fn parse(bytes: &[u8]) -> Result<Metainfo, Error> {
    let document = bencode::decode(bytes, Limits::TORRENT)?;
    let dict = document.root().as_dict().ok_or(Error::NotDict)?;
    let info = info::parse(dict.get(b"info").ok_or(Error::NoInfo)?)?;
    let piece_layers = match dict.get(b"piece layers") {
        Some(layers) if info.version.has_v2() => read_layers(layers, &info)?,
        _ => BTreeMap::new(),
    };
    let mut trackers = read_tiers(dict.list(b"announce-list"));
    if trackers.is_empty() {
        trackers.extend(read_url(dict.get(b"announce")).map(|url| vec![url]));
    }
    let text = |key: &[u8], utf8: &[u8]| {
        let text = dict.bytes(utf8).or_else(|| dict.bytes(key)).filter(|text| !text.is_empty())?;
        Some(printable(text))
    };
    Ok(Metainfo {
        trackers,
        web_seeds: read_web_seeds(dict.get(b"url-list")),
        nodes: read_nodes(dict.list(b"nodes")),
        comment: text(b"comment", b"comment.utf-8"),
        created_by: text(b"created by", b"created by.utf-8"),
        creation_date: dict.int(b"creation date").filter(|date| *date >= 0),
        piece_layers,
        info: Arc::new(info),
    })
}

/// A URL without blanks around it; never one with control characters, which could end up in a
/// request line.
fn read_url(value: Option<Value<'_>>) -> Option<String> {
    let url = value?.as_str()?.trim();
    (!url.is_empty() && !url.contains(char::is_control)).then(|| url.to_owned())
}

fn read_tiers(tiers: Option<List<'_>>) -> Vec<Vec<String>> {
    let mut left = TRACKERS_MAX;
    let mut out = Vec::new();
    for tier in tiers.into_iter().flatten() {
        let urls = tier.as_list().into_iter().flatten().filter_map(|url| read_url(Some(url)));
        let tier: Vec<String> = urls.take(left).collect();
        left = left.saturating_sub(tier.len());
        if !tier.is_empty() {
            out.push(tier);
        }
    }
    out
}

fn read_web_seeds(value: Option<Value<'_>>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let list = value.and_then(|value| value.as_list());
    let single = if list.is_none() { value } else { None };
    for url in list.into_iter().flatten().chain(single).filter_map(|value| read_url(Some(value))) {
        if out.len() < WEB_SEEDS_MAX && !out.contains(&url) {
            out.push(url);
        }
    }
    out
}

fn read_nodes(nodes: Option<List<'_>>) -> Vec<(String, u16)> {
    let node = |node: Value<'_>| {
        let mut parts = node.as_list()?.iter();
        let host = read_url(parts.next())?;
        let port = u16::try_from(parts.next()?.as_int()?).ok()?;
        Some((host, port))
    };
    nodes.into_iter().flatten().filter_map(node).take(NODES_MAX).collect()
}

fn read_layers(layers: Value<'_>, info: &Info) -> Result<BTreeMap<Hash, Arc<UpperTree>>, Error> {
    let piece_len = info.layout.nominal_piece_len();
    let files = info.layout.files().iter();
    let lens: BTreeMap<Hash, u64> = files
        .filter(|file| merkle::piece_layer_len(file.len, piece_len) > 0)
        .filter_map(|file| Some((file.root?, file.len)))
        .collect();
    let mut out = BTreeMap::new();
    for (root, layer) in layers.as_dict().ok_or(Error::PieceLayer)? {
        let root = Hash::try_from(root).map_err(|_| Error::PieceLayer)?;
        let len = *lens.get(&root).ok_or(Error::PieceLayer)?;
        let (hashes, rest) = layer.as_bytes().ok_or(Error::PieceLayer)?.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() != merkle::piece_layer_len(len, piece_len) {
            return Err(Error::PieceLayer);
        }
        let tree = UpperTree::new(hashes, merkle::piece_layer(piece_len), len, &root);
        let tree = tree.ok_or(Error::PieceLayerRoot)?;
        if out.insert(root, Arc::new(tree)).is_some() {
            return Err(Error::PieceLayer);
        }
    }
    Ok(out)
}

pub(super) fn encode(metainfo: &Metainfo) -> Vec<u8> {
    let layer_bytes: usize =
        metainfo.piece_layers.values().map(|tree| tree.nodes().len().saturating_mul(32)).sum();
    let size = metainfo.info.raw().len().saturating_add(layer_bytes).saturating_add(1024);
    let mut encoder = Encoder::append_to(Vec::with_capacity(size));
    let urls = |encoder: &mut Encoder, urls: &[String]| {
        encoder.list(|list| urls.iter().for_each(|url| list.str(url)));
    };
    encoder.dict(|dict| {
        if let Some(first) = metainfo.trackers.iter().flatten().next() {
            dict.str(b"announce", first);
        }
        if metainfo.trackers.iter().map(Vec::len).sum::<usize>() > 1 {
            dict.entry(b"announce-list", |tiers| {
                tiers.list(|tiers| metainfo.trackers.iter().for_each(|tier| urls(tiers, tier)));
            });
        }
        if let Some(comment) = &metainfo.comment {
            dict.str(b"comment", comment);
        }
        if let Some(program) = &metainfo.created_by {
            dict.str(b"created by", program);
        }
        if let Some(date) = metainfo.creation_date {
            dict.int(b"creation date", date);
        }
        dict.raw(b"info", metainfo.info.raw());
        if !metainfo.nodes.is_empty() {
            dict.entry(b"nodes", |nodes| nodes.list(|nodes| put_nodes(nodes, &metainfo.nodes)));
        }
        if metainfo.info.version.has_v2() {
            dict.entry(b"piece layers", |layers| {
                layers.dict(|layers| {
                    for (root, tree) in &metainfo.piece_layers {
                        layers.bytes(root, tree.nodes().as_flattened());
                    }
                });
            });
        }
        if !metainfo.web_seeds.is_empty() {
            dict.entry(b"url-list", |list| urls(list, &metainfo.web_seeds));
        }
    });
    encoder.finish()
}

fn put_nodes(encoder: &mut Encoder, nodes: &[(String, u16)]) {
    for (host, port) in nodes {
        encoder.list(|node| {
            node.str(host);
            node.int(i64::from(*port));
        });
    }
}
