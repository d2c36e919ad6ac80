//! What a torrent or a link says.

use std::path::Path;

use data_encoding::HEXLOWER;
use peerage_api::SCHEMA_VERSION;
use peerage_api::error::Failure;
use peerage_api::reply::{InspectedFile, Inspection};
use peerage_content::{Link, Magnet, Metainfo, Version};

use super::session::printable;
use super::source::{LINK_HINT, parse, read_torrent};
use crate::link;

/// Reads `source`: a `.torrent` file, a magnet link or an infohash. Asks nobody.
///
/// # Errors
/// It is neither, or cannot be read.
pub fn inspect(source: &str) -> Result<Inspection, Failure> {
    match parse(source)? {
        Link::Path(path) => Ok(of_torrent(&read_torrent(Path::new(&path), LINK_HINT)?)),
        Link::Magnet(magnet) => Ok(of_magnet(source, &magnet)),
        Link::Url(url) => Ok(Inspection {
            schema_version: SCHEMA_VERSION,
            kind: "url".into(),
            link: Some(url),
            warnings: vec![
                "nothing is fetched by `inspect`; use `peerage get`, or fetch the file first".into(),
            ],
            ..Inspection::default()
        }),
    }
}

fn of_torrent(metainfo: &Metainfo) -> Inspection {
    let info = &metainfo.info;
    let clean = |texts: &[String]| texts.iter().map(|text| printable(text)).collect::<Vec<_>>();
    Inspection {
        schema_version: SCHEMA_VERSION,
        kind: "torrent".into(),
        name: Some(info.name.clone()),
        version: Some(
            match info.version {
                Version::V1 => "v1",
                Version::V2 => "v2",
                Version::Hybrid => "hybrid",
            }
            .into(),
        ),
        infohash_v1: info.hashes.v1.map(|hash| hash.to_string()),
        infohash_v2: info.hashes.v2.map(|hash| hash.to_string()),
        total: Some(info.layout.total_len()),
        piece_length: Some(info.layout.nominal_piece_len()),
        pieces: Some(info.layout.pieces()),
        private: info.private,
        trackers: metainfo.trackers.iter().map(|tier| clean(tier)).collect(),
        web_seeds: clean(&metainfo.web_seeds),
        peers: Vec::new(),
        comment: metainfo.comment.as_deref().map(printable),
        created_by: metainfo.created_by.as_deref().map(printable),
        creation_date: metainfo.creation_date,
        files: files(metainfo),
        link: Some(link::magnet(info, &metainfo.trackers, &metainfo.web_seeds, &[]).to_string()),
        warnings: warnings(metainfo),
    }
}

fn files(metainfo: &Metainfo) -> Vec<InspectedFile> {
    let files = metainfo.info.layout.files().iter().filter(|file| !file.is_pad());
    files
        .map(|file| InspectedFile {
            path: file.path.as_str().into(),
            length: file.len,
            root: file.root.map(|root| HEXLOWER.encode(&root)),
        })
        .collect()
}

fn warnings(metainfo: &Metainfo) -> Vec<String> {
    let info = &metainfo.info;
    let mut warnings = Vec::new();
    if info.private && metainfo.trackers.is_empty() {
        warnings.push("private, but it names no tracker: no peer can be found".to_owned());
    }
    if metainfo.hashes().missing_layers().next().is_some() {
        warnings.push("piece layers are missing; they are asked of peers".to_owned());
    }
    if info.layout.files().iter().any(|file| file.attr.symlink) {
        warnings.push("it lists symbolic links; they are never created".to_owned());
    }
    let renamed = info.raw_paths().iter().zip(info.layout.files()).any(|(raw, file)| {
        let raw: Vec<String> = raw.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        !file.is_pad() && !raw.join("/").ends_with(&file.path.to_string())
    });
    if renamed {
        warnings.push("some names are not safe on every system and were changed".to_owned());
    }
    warnings
}

fn of_magnet(source: &str, magnet: &Magnet) -> Inspection {
    let is_link = source.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
    let mut warnings = Vec::new();
    if magnet.trackers.is_empty() && magnet.peers.is_empty() && magnet.web_seeds.is_empty() {
        warnings
            .push("it names nobody who could be asked; give --peer or --tracker to `peerage get`".to_owned());
    }
    Inspection {
        schema_version: SCHEMA_VERSION,
        kind: if is_link { "magnet" } else { "infohash" }.into(),
        name: magnet.name.as_deref().map(printable),
        infohash_v1: magnet.hashes.v1.map(|hash| hash.to_string()),
        infohash_v2: magnet.hashes.v2.map(|hash| hash.to_string()),
        total: magnet.len,
        trackers: magnet.trackers.iter().map(|url| vec![printable(url)]).collect(),
        web_seeds: magnet.web_seeds.iter().map(|url| printable(url)).collect(),
        peers: magnet.peers.iter().map(|addr| printable(addr)).collect(),
        link: Some(magnet.to_string()),
        warnings,
        ..Inspection::default()
    }
}
