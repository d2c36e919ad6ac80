//! Making torrents from what is on disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::Created;
use peerage_api::request::{Create, TorrentVersion};
use peerage_api::{Event, SCHEMA_VERSION};
use peerage_content::create::CreateError;
use peerage_content::{Metainfo, Version};
use peerage_store::{FileIdentity, HashError, HashRequest, hash_paths};

use super::{CHECK_PATH, io_failure};
use crate::{Sink, link};

/// A new torrent and where each of its files is.
pub(crate) struct Made {
    pub metainfo: Metainfo,
    pub paths: Vec<PathBuf>,
    /// What they looked like when they were hashed.
    pub identities: Arc<[FileIdentity]>,
    /// What the user has been told of.
    pub warnings: Vec<String>,
}

/// Hashes `paths` on all cores.
pub(crate) fn make(
    paths: &[PathBuf],
    name: Option<String>,
    piece_len: Option<u32>,
    version: Version,
    private: bool,
    sink: &Sink,
    cancel: Arc<AtomicBool>,
) -> Result<Made, Failure> {
    let progress = sink.clone();
    let request = HashRequest {
        paths: paths.to_vec(),
        name,
        piece_len,
        version,
        private,
        threads: 0,
        progress: Some(Arc::new(move |at| progress(Event::Hashing { done: at.done, total: at.total }))),
        cancel,
    };
    let hashed = hash_paths(&request).map_err(|error| hash_failure(&error))?;
    for message in &hashed.warnings {
        sink(Event::Warning { message: message.clone() });
    }
    Ok(Made {
        metainfo: hashed.metainfo,
        paths: hashed.paths,
        identities: hashed.identities,
        warnings: hashed.warnings,
    })
}

/// Makes a `.torrent` file.
///
/// # Errors
/// The path cannot be read, the output exists or cannot be written.
pub fn create(request: &Create, sink: &Sink) -> Result<Created, Failure> {
    if request.output.exists() && !request.force {
        return Err(Failure::new(
            ExitCode::Conflict,
            "E_EXISTS",
            format!("{} exists", request.output.display()),
        )
        .hint("choose another name with -o, or replace it with --force"));
    }
    let version = match request.version {
        TorrentVersion::V1 => Version::V1,
        TorrentVersion::V2 => Version::V2,
        TorrentVersion::Hybrid => Version::Hybrid,
    };
    let paths = [request.path.clone()];
    let name = request.name.clone();
    let cancel = Arc::new(AtomicBool::new(false));
    let Made { mut metainfo, warnings, .. } =
        make(&paths, name, request.piece_length, version, request.private, sink, cancel)?;
    metainfo.trackers = request.trackers.iter().map(|url| vec![url.clone()]).collect();
    metainfo.web_seeds.clone_from(&request.web_seeds);
    metainfo.comment.clone_from(&request.comment);
    metainfo.created_by = Some(concat!("Peerage/", env!("CARGO_PKG_VERSION")).to_owned());
    write_whole(&request.output, &metainfo.encode(), request.force)
        .map_err(|error| output_failure(&request.output, &error))?;
    let info = &metainfo.info;
    Ok(Created {
        schema_version: SCHEMA_VERSION,
        torrent: request.output.clone(),
        infohash_v1: info.hashes.v1.map(|hash| hash.to_string()),
        infohash_v2: info.hashes.v2.map(|hash| hash.to_string()),
        link: link::magnet(info, &metainfo.trackers, &metainfo.web_seeds, &[]).to_string(),
        files: info.layout.files().iter().filter(|file| !file.is_pad()).count(),
        total: info.layout.total_len(),
        piece_length: info.layout.nominal_piece_len(),
        pieces: info.layout.pieces(),
        warnings,
    })
}

/// Writes a file so that its name never stands for a part of it.
fn write_whole(path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = File::create_new(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let named = written.and_then(|()| {
        if replace {
            fs::rename(&part, path)
        } else {
            // A link fails where a file has appeared in the meantime; a rename would replace it.
            fs::hard_link(&part, path).and_then(|()| fs::remove_file(&part)).or_else(|error| {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    Err(error)
                } else {
                    fs::rename(&part, path)
                }
            })
        }
    });
    if named.is_err() {
        let _ = fs::remove_file(&part);
    }
    named
}

fn output_failure(path: &Path, error: &io::Error) -> Failure {
    let failure = io_failure(&path.display().to_string(), error);
    match error.kind() {
        io::ErrorKind::NotFound => failure.hint("make its folder first, or choose another place with -o"),
        io::ErrorKind::AlreadyExists => {
            failure.hint("choose another name with -o, or replace it with --force")
        }
        _ => failure.hint("choose another place with -o"),
    }
}

fn hash_failure(error: &HashError) -> Failure {
    let message = error.to_string();
    match error {
        HashError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Failure::of_kind(source.kind(), message).hint(CHECK_PATH)
        }
        HashError::Io { source, .. } => Failure::of_kind(source.kind(), message),
        HashError::Changed { .. } => Failure::new(ExitCode::Integrity, "E_CHANGED", message)
            .hint("wait until nothing writes to it, then run the same command again"),
        HashError::Empty { .. } | HashError::Create(CreateError::Empty) => {
            Failure::new(ExitCode::NotFound, "E_EMPTY", message)
                .hint("check the path; there must be a file that has content")
        }
        HashError::Cancelled => Failure::new(ExitCode::Interrupted, "E_CANCELLED", message),
        HashError::Create(CreateError::BadName(_)) => Failure::new(ExitCode::Unclassified, "E_HASH", message)
            .hint("rename it, or choose the name in the link with --name"),
        HashError::Create(CreateError::Duplicate(_) | CreateError::Collisions(_)) => {
            Failure::new(ExitCode::Unclassified, "E_HASH", message)
                .hint("rename some of them, or take fewer paths at a time")
        }
        HashError::Create(_) => Failure::new(ExitCode::Unclassified, "E_HASH", message)
            .hint("take fewer files at a time, or another piece length where you gave one"),
    }
}
