//! What a link leads to: a torrent that is known, or only its name.

use std::io::Read;
use std::path::Path;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::ViaPolicy;
use peerage_base::limits::TORRENT_FILE_BYTES_MAX;
use peerage_content::{Link, Magnet, Metainfo};
use peerage_net::http::Client;

use super::{code, io_failure, ways};

/// What to give where any kind of link will do.
pub(super) const LINK_HINT: &str =
    "give a magnet link (in quotes), a .torrent file, the URL of one, or an infohash";
/// What to give where the content must be described already.
pub(super) const TORRENT_HINT: &str = "check the path; this must be a .torrent file";

/// What is known before any peer was asked.
pub(crate) enum Source {
    /// Everything.
    Torrent(Box<Metainfo>),
    /// The hashes and where to ask.
    Magnet(Box<Magnet>),
}

/// Finds out what `link` is, and reads the torrent where it is one.
pub(crate) async fn open(link: &str, via: ViaPolicy, client: &Client) -> Result<Source, Failure> {
    match parse(link)? {
        Link::Magnet(magnet) => Ok(Source::Magnet(Box::new(magnet))),
        Link::Path(path) => read_named(&path).map(Box::new).map(Source::Torrent),
        Link::Url(url) => {
            ways::check_url(via)?;
            let bytes = peerage_net::web_seed::fetch_torrent(client, &url).await.map_err(|error| {
                Failure::new(ExitCode::Unreachable, "E_URL", format!("{url}: {error}"))
                    .hint("check the address; one on this machine or the local network needs --allow-local")
            })?;
            parse_torrent(&url, &bytes).map(Box::new).map(Source::Torrent)
        }
    }
}

/// The same for what is at hand: a link, an infohash, a file.
pub(super) fn open_known(link: &str) -> Result<Source, Failure> {
    match parse(link)? {
        Link::Magnet(magnet) => Ok(Source::Magnet(Box::new(magnet))),
        Link::Path(path) => read_named(&path).map(Box::new).map(Source::Torrent),
        Link::Url(_) => Err(Failure::new(ExitCode::Usage, "E_LINK", "this is the URL of a torrent")
            .hint("give a magnet link (in quotes), a .torrent file, or an infohash")),
    }
}

/// What `text` is.
pub(crate) fn parse(text: &str) -> Result<Link, Failure> {
    Link::parse(text)
        .map_err(|error| Failure::new(ExitCode::Usage, "E_LINK", error.to_string()).hint(LINK_HINT))
}

/// Reads what is no link: a `.torrent` file, or something mistaken for one.
fn read_named(name: &str) -> Result<Metainfo, Failure> {
    let path = Path::new(name);
    let usage = |message: String, hint: &str| {
        Err(Failure::new(ExitCode::Usage, "E_LINK", message).hint(hint.to_owned()))
    };
    if path.is_dir() {
        return usage(
            format!("{name} is a folder"),
            &format!("`peerage share` serves a folder; here, {LINK_HINT}"),
        );
    }
    if !path.exists() {
        if let Some((scheme, _)) = name.split_once("://") {
            return usage(
                format!("{} is no way to fetch a torrent file", super::session::printable(scheme)),
                "http: and https: are",
            );
        }
        if code::is_code(name) {
            return usage(
                format!("{name} is a code, which is for one use"),
                "`peerage get CODE` uses it; here, give the link that the sharer sees",
            );
        }
        if code::begins_as_code(name) {
            return usage(
                format!("{name} is not all of a code: that is a number and two words, as 4711-orbit-walnut"),
                "ask the sharer for the whole of it",
            );
        }
    }
    read_torrent(path, LINK_HINT)
}

/// Reads a `.torrent` file; `hint` says what else could be given where it cannot be read.
pub(super) fn read_torrent(path: &Path, hint: &str) -> Result<Metainfo, Failure> {
    let name = path.display().to_string();
    let fail = |error| io_failure(&name, &error).hint(hint);
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(TORRENT_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    parse_torrent(&name, &bytes)
}

pub(crate) fn parse_torrent(name: &str, bytes: &[u8]) -> Result<Metainfo, Failure> {
    if bytes.len() > TORRENT_FILE_BYTES_MAX {
        return Err(Failure::new(
            ExitCode::Integrity,
            "E_TORRENT",
            format!("{name}: too large to be a torrent file"),
        ));
    }
    Metainfo::parse(bytes).map_err(|error| {
        Failure::new(ExitCode::Integrity, "E_TORRENT", format!("{name} is not a good torrent file: {error}"))
            .hint("fetch the file again from where it came")
    })
}
