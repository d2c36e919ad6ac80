//! Commands that need no peers: `create`, `inspect`, `verify`.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use peerage_api::counted;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::{Inspection, Verification};
use peerage_api::request::{self, TorrentVersion};

use super::{Context, finish, sink};
use crate::args::{Create, Inspect, Verify};
use crate::units;

/// What torrents may have, and clients accept (`peerage_base::limits`).
const PIECE_LENGTHS: RangeInclusive<u32> = 16 << 10..=512 << 20;

/// `peerage create`.
pub fn create(context: Context, args: Create) -> anyhow::Result<ExitCode> {
    let version = match (args.v1, args.v2) {
        (true, _) => TorrentVersion::V1,
        (_, true) => TorrentVersion::V2,
        _ => TorrentVersion::Hybrid,
    };
    let piece_length = args
        .piece_length
        .map(|length| {
            u32::try_from(length)
                .ok()
                .filter(|length| length.is_power_of_two() && PIECE_LENGTHS.contains(length))
                .ok_or_else(|| {
                    Failure::new(
                        ExitCode::Usage,
                        "E_USAGE",
                        "the piece length must be a power of two from 16KiB to 512MiB",
                    )
                    .hint("leave --piece-length away to have it chosen by size")
                })
        })
        .transpose()?;
    let output = match args.output {
        Some(output) => output,
        None => {
            let path = std::path::absolute(&args.path)?;
            let name =
                path.components().next_back().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
            let mut name = args.name.clone().map_or(name, Into::into);
            name.push(".torrent");
            name.into()
        }
    };
    let request = request::Create {
        path: args.path,
        output,
        force: args.force,
        version,
        piece_length,
        name: args.name,
        trackers: args.trackers,
        web_seeds: args.web_seeds,
        comment: args.comment,
        private: args.private,
    };
    let json = context.global.json;
    let (sink, output) = sink(context.output);
    // Progress events would stand before the one document that this command prints.
    let sink: peerage_node::Sink = if json { std::sync::Arc::new(|_| {}) } else { sink };
    let result = peerage_node::create(&request, &sink);
    finish(&output);
    let created = result?;
    let output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    output.say(&format!(
        "{}, {}, {} of {}",
        counted(created.files, "file"),
        units::size(created.total),
        counted(created.pieces as usize, "piece"),
        units::size(created.piece_length.into())
    ));
    output.reply(&created, |created| format!("{}\n", created.torrent.display()))?;
    Ok(ExitCode::Ok)
}

/// `peerage inspect`.
pub fn inspect(context: &Context, args: &Inspect) -> anyhow::Result<ExitCode> {
    let inspection = peerage_node::inspect(&args.source)?;
    context.output.reply(&inspection, inspection_text)?;
    Ok(ExitCode::Ok)
}

fn inspection_text(inspection: &Inspection) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<13} {value}");
        }
    };
    line("name", inspection.name.clone());
    line(
        "kind",
        Some(
            inspection
                .version
                .as_ref()
                .map_or(inspection.kind.clone(), |v| format!("{}, {v}", inspection.kind)),
        ),
    );
    line("infohash v1", inspection.infohash_v1.clone());
    line("infohash v2", inspection.infohash_v2.clone());
    line("size", inspection.total.map(|total| format!("{} ({total} bytes)", units::size(total))));
    let pieces = inspection.pieces.zip(inspection.piece_length);
    line("pieces", pieces.map(|(count, length)| format!("{count} of {}", units::size(length.into()))));
    line("private", inspection.private.then(|| "yes: only its trackers may tell who has it".to_owned()));
    line("comment", inspection.comment.clone());
    line("created by", inspection.created_by.clone());
    for (tier, urls) in inspection.trackers.iter().enumerate() {
        line(&format!("tracker {}", tier + 1), Some(urls.join(", ")));
    }
    for url in &inspection.web_seeds {
        line("web seed", Some(url.clone()));
    }
    for addr in &inspection.peers {
        line("peer", Some(addr.clone()));
    }
    for warning in &inspection.warnings {
        line("warning", Some(warning.clone()));
    }
    line("link", inspection.link.clone());
    if !inspection.files.is_empty() {
        text.push_str("files\n");
        for file in &inspection.files {
            let _ = writeln!(text, "  {:>10}  {}", units::size(file.length), file.path.display());
        }
    }
    text
}

/// `peerage verify`: 0 when every piece is right, 8 when not.
pub fn verify(context: Context, args: &Verify) -> anyhow::Result<ExitCode> {
    let json = context.global.json;
    let (sink, output) = sink(context.output);
    let sink: peerage_node::Sink = if json { std::sync::Arc::new(|_| {}) } else { sink };
    let result = peerage_node::verify(&args.torrent, &args.path, &sink);
    finish(&output);
    let verification = result?;
    let output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    output.reply(&verification, verification_text)?;
    Ok(if verification.ok { ExitCode::Ok } else { ExitCode::Integrity })
}

fn verification_text(verification: &Verification) -> String {
    let mut text = format!("{} of {} pieces are right\n", verification.good, verification.pieces);
    for file in &verification.bad_files {
        let pieces = counted(file.bad_pieces as usize, "piece");
        let _ = writeln!(text, "{}: {} ({pieces})", file.path.display(), file.problem);
    }
    text
}
