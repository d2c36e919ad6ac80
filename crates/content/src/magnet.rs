//! Links that name a torrent: magnet links (BEP 9, 53), bare infohashes, and where a `.torrent`
//! file is.
//!
//! Parsing is tolerant of order, letter case, numbered parameters (`tr.1`), unknown parameters, and
//! of `&amp;` from a copied web page. Printing gives one fixed order, and one `xt` only.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::name::printable;
use core::{fmt, ops::RangeInclusive, str::FromStr};
use data_encoding::{BASE32, HEXLOWER_PERMISSIVE};
use peerage_base::{
    Contact, InfoHashV1, InfoHashV2, InfoHashes,
    limits::{TRACKERS_MAX, WEB_SEEDS_MAX},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Bytes of a link.
pub const LINK_BYTES_MAX: usize = 64 * 1024;

/// Peers taken from one link.
pub const LINK_PEERS_MAX: usize = 100;

/// Peers with an identity taken from one link.
pub const LINK_CONTACTS_MAX: usize = 16;

/// Ranges of files taken from one link.
pub const LINK_RANGES_MAX: usize = 1000;

/// Multihash prefix of a SHA-256: its code and its length.
const SHA256_PREFIX: [u8; 2] = [0x12, 0x20];

/// A magnet link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnet {
    /// What it names: `xt=urn:btih:`, `xt=urn:btmh:`, and `x.pgv2`, Peerage's own parameter for the
    /// version 2 hash of a hybrid (some programs refuse a link with two `xt`).
    pub hashes: InfoHashes,
    /// `dn`: what to call it until the info dictionary is known. Fit to be shown, not to be a path.
    pub name: Option<String>,
    /// `xl`: bytes.
    pub len: Option<u64>,
    /// `tr`: tracker URLs, not checked.
    pub trackers: Vec<String>,
    /// `x.pe`: peers, as `host:port` or `[v6]:port`, not checked further.
    pub peers: Vec<String>,
    /// `x.pg`: peers that prove who they are, Peerage's own parameter. Malformed ones are passed over.
    pub contacts: Vec<Contact>,
    /// `ws`: web seed URLs, not checked.
    pub web_seeds: Vec<String>,
    /// `so`: indexes of the files to fetch (BEP 53); empty means all. Pads are counted.
    pub select: Vec<RangeInclusive<u32>>,
}

impl Magnet {
    /// A link that names only the torrent.
    #[must_use]
    pub fn new(hashes: InfoHashes) -> Self {
        Self { hashes, ..Self::default() }
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), LinkError> {
        match key {
            "xt" => return self.take_topic(&decoded(value)),
            "x.pgv2" => return self.take_v2(&decoded(value)),
            "dn" => {
                let name = printable(decoded(&value.replace('+', " ")).as_bytes());
                self.name = self.name.take().or(Some(name).filter(|name| !name.trim().is_empty()));
            }
            "xl" => self.len = self.len.or_else(|| value.parse().ok()),
            "tr" => push_url(&mut self.trackers, value, TRACKERS_MAX),
            "ws" => push_url(&mut self.web_seeds, value, WEB_SEEDS_MAX),
            "x.pe" => {
                let peer = decoded(value);
                let port = peer.rsplit_once(':').filter(|(host, _)| !host.is_empty());
                let has_port = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
                if has_port {
                    push_url(&mut self.peers, value, LINK_PEERS_MAX);
                }
            }
            "x.pg" if self.contacts.len() < LINK_CONTACTS_MAX => {
                self.contacts.extend(decoded(value).parse::<Contact>().ok());
            }
            "so" => self.take_ranges(&decoded(value)),
            _ => {}
        }
        Ok(())
    }

    /// What `xt` names; other networks' names are passed over.
    fn take_topic(&mut self, topic: &str) -> Result<(), LinkError> {
        if let Some(hash) = strip_prefix_no_case(topic, "urn:btih:") {
            self.take_v1(hash)
        } else if let Some(hash) = strip_prefix_no_case(topic, "urn:btmh:") {
            self.take_v2(hash)
        } else {
            Ok(())
        }
    }

    fn take_v1(&mut self, text: &str) -> Result<(), LinkError> {
        let hash = parse_v1(text).ok_or_else(|| bad_hash(text))?;
        if self.hashes.v1.is_some_and(|other| other != hash) {
            return Err(LinkError::TwoHashes);
        }
        self.hashes.v1 = Some(hash);
        Ok(())
    }

    fn take_v2(&mut self, text: &str) -> Result<(), LinkError> {
        let hash = parse_multihash(text).ok_or_else(|| bad_hash(text))?;
        if self.hashes.v2.is_some_and(|other| other != hash) {
            return Err(LinkError::TwoHashes);
        }
        self.hashes.v2 = Some(hash);
        Ok(())
    }

    /// `0,2,6-8`; what is malformed is passed over.
    fn take_ranges(&mut self, text: &str) {
        let left = LINK_RANGES_MAX.saturating_sub(self.select.len());
        let ranges = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
            (!range.is_empty()).then_some(range)
        });
        self.select.extend(ranges.take(left));
    }
}

fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// Adds text without blanks around it and without control characters, which could end up in a
/// request line.
fn push_url(urls: &mut Vec<String>, value: &str, max: usize) {
    let url = decoded(value);
    let url = url.trim();
    if !url.is_empty()
        && !url.contains(char::is_control)
        && urls.len() < max
        && !urls.iter().any(|other| other == url)
    {
        urls.push(url.to_owned());
    }
}

fn bad_hash(text: &str) -> LinkError {
    LinkError::BadHash(printable(text.chars().take(100).collect::<String>().as_bytes()))
}

fn strip_prefix_no_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// 40 digits of hexadecimal, or 32 of base32.
fn parse_v1(text: &str) -> Option<InfoHashV1> {
    match text.len() {
        40 => text.parse().ok(),
        32 => {
            let bytes = BASE32.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
            bytes.try_into().ok().map(InfoHashV1)
        }
        _ => None,
    }
}

/// A multihash of SHA-256 in hexadecimal: `1220` and 64 digits.
fn parse_multihash(text: &str) -> Option<InfoHashV2> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.strip_prefix(&SHA256_PREFIX)?.try_into().ok().map(InfoHashV2)
}

impl FromStr for Magnet {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        if text.len() > LINK_BYTES_MAX {
            return Err(LinkError::TooLong);
        }
        let rest = strip_prefix_no_case(text.trim(), "magnet:").ok_or(LinkError::NotMagnet)?;
        let query = rest.strip_prefix('?').ok_or(LinkError::NotMagnet)?;
        let mut magnet = Self::default();
        for parameter in query.split('&') {
            let Some((key, value)) = parameter.split_once('=') else { continue };
            let key = decoded(key).to_ascii_lowercase();
            let key = key.strip_prefix("amp;").unwrap_or(&key);
            // `tr.1` is one of several `tr`; `x.pe` is a name of its own.
            let key = match key.rsplit_once('.') {
                Some((base, number)) if number.parse::<u32>().is_ok() => base,
                _ => key,
            };
            magnet.take(key, value)?;
        }
        if magnet.hashes == InfoHashes::default() { Err(LinkError::NoHash) } else { Ok(magnet) }
    }
}

/// What stands for itself in a value: the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// libtorrent does not decode `x.pe`, so an address must stay as it is.
const PEER: &AsciiSet = &VALUE.remove(b':').remove(b'[').remove(b']');

/// Short and easy to read: nothing of a contact but `%`, `&` and the like has a meaning in a link.
const CONTACT: &AsciiSet = &PEER.remove(b',').remove(b'/');

impl fmt::Display for Magnet {
    /// With one `xt`: the version 1 hash where there is one. The version 2 hash then goes into
    /// `x.pgv2`, which other programs pass over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.hashes.v1, self.hashes.v2) {
            (Some(v1), _) => write!(f, "magnet:?xt=urn:btih:{v1}")?,
            (None, Some(v2)) => write!(f, "magnet:?xt=urn:btmh:1220{v2}")?,
            (None, None) => write!(f, "magnet:?")?,
        }
        let value = |text: &str| utf8_percent_encode(text, VALUE).to_string();
        if let Some(name) = &self.name {
            write!(f, "&dn={}", value(name))?;
        }
        if let Some(len) = self.len {
            write!(f, "&xl={len}")?;
        }
        for url in &self.trackers {
            write!(f, "&tr={}", value(url))?;
        }
        for url in &self.web_seeds {
            write!(f, "&ws={}", value(url))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={}", utf8_percent_encode(peer, PEER))?;
        }
        for contact in &self.contacts {
            write!(f, "&x.pg={}", utf8_percent_encode(&contact.to_string(), CONTACT))?;
        }
        for (index, range) in self.select.iter().enumerate() {
            f.write_str(if index == 0 { "&so=" } else { "," })?;
            write!(f, "{}", range.start())?;
            if range.end() > range.start() {
                write!(f, "-{}", range.end())?;
            }
        }
        match (self.hashes.v1, self.hashes.v2) {
            (Some(_), Some(v2)) => write!(f, "&x.pgv2=1220{v2}"),
            _ => Ok(()),
        }
    }
}

/// What a user may give to name a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A magnet link, or a bare infohash: 40 digits in hexadecimal or 32 in base32 for version 1,
    /// 64 in hexadecimal, with or without `1220` before them, for version 2.
    Magnet(Magnet),
    /// An `http:` or `https:` URL of a `.torrent` file.
    Url(String),
    /// Anything else: the path of a `.torrent` file.
    Path(String),
}

impl Link {
    /// Tells which it is.
    ///
    /// # Errors
    /// For text that begins as a magnet link and is none: see [`LinkError`].
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let link = text.trim();
        if strip_prefix_no_case(link, "magnet:").is_some() {
            return link.parse().map(Self::Magnet);
        }
        let is_url =
            ["http://", "https://"].iter().any(|scheme| strip_prefix_no_case(link, scheme).is_some());
        if is_url {
            return if link.len() > LINK_BYTES_MAX {
                Err(LinkError::TooLong)
            } else {
                Ok(Self::Url(link.to_owned()))
            };
        }
        let mut hashes = InfoHashes { v1: parse_v1(link), v2: link.parse().ok() };
        if hashes.v1.is_none() && hashes.v2.is_none() {
            hashes.v2 = parse_multihash(link);
        }
        if hashes == InfoHashes::default() {
            // A path may begin or end with blanks.
            return Ok(Self::Path(text.to_owned()));
        }
        Ok(Self::Magnet(Magnet::new(hashes)))
    }
}

/// Why text is not a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not `magnet:?`.
    #[error("not a magnet link")]
    NotMagnet,
    /// No `xt` that names a torrent.
    #[error("the link has no infohash (xt=urn:btih:... or xt=urn:btmh:...)")]
    NoHash,
    /// An infohash that is not one; with its text.
    #[error("the link's infohash is not valid: {0}")]
    BadHash(String),
    /// Two different infohashes of one version.
    #[error("the link names two different torrents")]
    TwoHashes,
    /// Longer than any honest link.
    #[error("the link is too long")]
    TooLong,
}

#[cfg(test)]
mod tests;
