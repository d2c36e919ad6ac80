//! Whether data on disk is what a torrent describes.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::{BadFile, Verification};
use peerage_api::{Event, SCHEMA_VERSION, counted};
use peerage_base::TorrentId;
use peerage_content::Info;
use peerage_store::{
    AddTorrent, CheckMode, CheckOutcome, Mode, Place, Report, ReportSink, Store, StoreConfig,
};

use super::session::add_failure;
use super::share::locate;
use super::source::{TORRENT_HINT, read_torrent};
use crate::Sink;

/// Reports that wait for this thread.
const REPORTS_MAX: usize = 1024;

/// Hashes what is at `path` on all cores.
///
/// # Errors
/// The torrent or the path cannot be read.
pub fn verify(torrent: &Path, path: &Path, sink: &Sink) -> Result<Verification, Failure> {
    let metainfo = read_torrent(torrent, TORRENT_HINT)?;
    let place = locate(&metainfo, path)?;
    let (sender, reports) = sync_channel(REPORTS_MAX);
    let report_sink: ReportSink = Arc::new(move |batch| {
        for report in batch {
            let _ = sender.send(report);
        }
    });
    let config = StoreConfig { state_dir: None, ..StoreConfig::default() };
    let failed = |error: String| Failure::new(ExitCode::Unclassified, "E_STORE", error);
    let store = Store::open(config, report_sink).map_err(|error| failed(error.to_string()))?;
    let hashes = Arc::new(metainfo.hashes());
    let add = AddTorrent {
        id: TorrentId(0),
        hashes: Arc::clone(&hashes),
        metadata: bytes::Bytes::new(),
        place: place.clone(),
        mode: Mode::Seed,
        wanted: None,
    };
    let opened = store.add(add).map_err(|error| add_failure(&error))?;
    opened.check(CheckMode::Full);
    let mut warnings = Vec::new();
    let outcome = loop {
        match reports.recv() {
            Ok(Report::CheckProgress { done, total, .. }) => sink(Event::Hashing { done, total }),
            Ok(Report::Checked { outcome, .. }) => break outcome,
            Ok(Report::Warning { message, .. }) => warnings.push(message),
            Ok(_) => {}
            Err(_) => return Err(failed("the check ended early".into())),
        }
    };
    store.close();
    let info = &metainfo.info;
    let unchecked = (0..info.layout.pieces()).filter(|piece| hashes.check(*piece).is_none()).count();
    if unchecked > 0 {
        warnings.push(format!("{} without a hash in this torrent", counted(unchecked, "piece")));
    }
    for message in &warnings {
        sink(Event::Warning { message: message.clone() });
    }
    Ok(Verification { warnings, ..verification(info, &outcome, &place) })
}

fn verification(info: &Info, outcome: &CheckOutcome, place: &Place) -> Verification {
    let stored = info.layout.files().iter().filter(|file| file.attr.is_stored());
    let bad_files = stored.enumerate().filter_map(|(index, file)| {
        let path = match place {
            Place::Under(root) => root.join(file.path.as_str()),
            Place::Files(paths) => paths.get(index)?.clone(),
        };
        let bad_pieces = file.pieces.clone().filter(|piece| !outcome.have.contains(*piece)).count();
        let problem = match std::fs::metadata(&path) {
            Err(_) => "missing",
            Ok(found) if found.len() != file.len => "wrong size",
            Ok(_) if bad_pieces > 0 => "wrong data",
            Ok(_) => return None,
        };
        Some(BadFile {
            path: file.path.as_str().into(),
            problem: problem.to_owned(),
            bad_pieces: u32::try_from(bad_pieces).unwrap_or(u32::MAX),
        })
    });
    let bad_files: Vec<BadFile> = bad_files.collect();
    Verification {
        schema_version: SCHEMA_VERSION,
        ok: outcome.have.is_full() && bad_files.is_empty(),
        good: outcome.have.count(),
        pieces: outcome.have.pieces(),
        bad_files,
        warnings: Vec::new(),
    }
}
