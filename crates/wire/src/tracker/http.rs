//! HTTP trackers: query strings and bencoded bodies (BEP 3, 7, 23, 24, 31, 48).
//!
//! A client writes with [`announce_query`] and reads with [`parse_announce_reply`]; a tracker reads
//! with [`parse_announce_query`] and writes with [`encode_announce_reply`] or [`encode_failure`].

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod query;

pub use query::{
    AnnounceQuery, QueryError, announce_query, append_query, parse_announce_query, parse_scrape_query,
    scrape_query, scrape_url,
};

use super::{
    AnnounceReply, INTERVAL_DEFAULT, SCRAPE_HASHES_MAX, ScrapeEntry, TEXT_CHARS_MAX, TRACKER_ID_BYTES_MAX,
    interval, seconds,
};
use crate::addr;
use crate::bencode::{self, Dict, Encoder, Limits, List, Value};
use crate::text::printable;
use core::net::{IpAddr, SocketAddr};
use peerage_base::Duration;
use peerage_base::limits::{TRACKER_PEERS_MAX, TRACKER_REPLY_BYTES_MAX};

/// Room for 500 peers of the long form and much more; a body is bounded by bytes anyway.
const LIMITS: Limits = Limits { depth: 16, tokens: 400_000, bytes: TRACKER_REPLY_BYTES_MAX, strict: false };

/// Why a body is not a useful reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not bencode: often a web page.
    #[error("not a tracker's reply: {0}")]
    Bencode(#[from] bencode::Error),
    /// Bencode, but not the dictionary that a reply is.
    #[error("not a tracker's reply")]
    NotAReply,
    /// The tracker refuses.
    #[error("the tracker refuses: {reason}")]
    Failure {
        /// Its words, printable and cut to [`TEXT_CHARS_MAX`].
        reason: String,
        /// When to ask again (BEP 31).
        retry: Retry,
    },
}

/// When to ask a tracker again that refused (BEP 31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// It does not say.
    #[default]
    Unknown,
    /// After this time.
    After(Duration),
    /// Never in this run.
    Never,
}

/// Reads the body of an announce's reply.
///
/// Numbers out of range are clamped, peers that are no IP address or port are left out.
///
/// # Errors
/// See [`ReplyError`].
pub fn parse_announce_reply(body: &[u8]) -> Result<AnnounceReply, ReplyError> {
    let document = bencode::decode(body, LIMITS)?;
    let dict = reply_dict(document.root())?;
    // A reply with nothing of a reply in it is some other document.
    if ![&b"interval"[..], b"peers", b"peers6", b"complete"].iter().any(|key| dict.get(key).is_some()) {
        return Err(ReplyError::NotAReply);
    }
    let time = |key: &[u8]| dict.int(key).map(|number| interval(u64::try_from(number).unwrap_or(0)));
    let count = |key: &[u8]| dict.uint(key).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let bytes = |key: &[u8]| dict.bytes(key);
    let long = dict.list(b"peers").into_iter().flat_map(List::into_iter).filter_map(long_peer);
    let v4 = addr::decode_v4(bytes(b"peers").unwrap_or_default());
    let v6 = addr::decode_v6(bytes(b"peers6").unwrap_or_default());
    Ok(AnnounceReply {
        interval: time(b"interval").unwrap_or(INTERVAL_DEFAULT),
        min_interval: time(b"min interval"),
        peers: long.chain(interleave(v4, v6)).take(TRACKER_PEERS_MAX).collect(),
        seeds: count(b"complete"),
        leechers: count(b"incomplete"),
        tracker_id: bytes(b"tracker id").filter(|id| id.len() <= TRACKER_ID_BYTES_MAX).map(<[u8]>::to_vec),
        warning: bytes(b"warning message").map(|text| printable(text, TEXT_CHARS_MAX)),
        external_ip: bytes(b"external ip").and_then(addr::decode_ip),
    })
}

/// Reads the body of a scrape's reply: at most [`SCRAPE_HASHES_MAX`] swarms.
///
/// # Errors
/// See [`ReplyError`].
pub fn parse_scrape_reply(body: &[u8]) -> Result<Vec<([u8; 20], ScrapeEntry)>, ReplyError> {
    let document = bencode::decode(body, LIMITS)?;
    let files = reply_dict(document.root())?.dict(b"files").ok_or(ReplyError::NotAReply)?;
    let entry = |(hash, value): (&[u8], Value<'_>)| {
        let dict = value.as_dict()?;
        let count = |key: &[u8]| dict.uint(key).map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX));
        let entry = ScrapeEntry {
            seeds: count(b"complete"),
            completed: count(b"downloaded"),
            leechers: count(b"incomplete"),
        };
        Some((hash.try_into().ok()?, entry))
    };
    Ok(files.iter().filter_map(entry).take(SCRAPE_HASHES_MAX).collect())
}

/// The body of an announce's reply, with compact peers (BEP 23) or, where the client insists with
/// `compact=0`, a list of dictionaries without peer ids.
#[must_use]
pub fn encode_announce_reply(reply: &AnnounceReply, compact: bool) -> Vec<u8> {
    let (v4, v6) = addr::encode(&reply.peers);
    let mut encoder = Encoder::new();
    encoder.dict(|dict| {
        reply.seeds.inspect(|seeds| dict.uint(b"complete", u64::from(*seeds)));
        reply.external_ip.inspect(|ip| dict.bytes(b"external ip", &addr::encode_ip(*ip)));
        reply.leechers.inspect(|leechers| dict.uint(b"incomplete", u64::from(*leechers)));
        dict.uint(b"interval", u64::from(seconds(reply.interval)));
        reply.min_interval.inspect(|interval| dict.uint(b"min interval", u64::from(seconds(*interval))));
        if compact {
            dict.bytes(b"peers", &v4);
            dict.bytes(b"peers6", &v6);
        } else {
            dict.entry(b"peers", |encoder| {
                encoder.list(|list| reply.peers.iter().for_each(|addr| long_form(list, addr)))
            });
        }
        reply.tracker_id.as_ref().inspect(|id| dict.bytes(b"tracker id", id));
        reply.warning.as_ref().inspect(|text| dict.str(b"warning message", text));
    });
    encoder.finish()
}

/// The body of a scrape's reply. `entries` must be in ascending order of their hashes, without
/// repetition (as a `BTreeMap` gives them).
#[must_use]
pub fn encode_scrape_reply<'a>(entries: impl IntoIterator<Item = (&'a [u8; 20], ScrapeEntry)>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(|dict| {
        dict.entry(b"files", |encoder| {
            encoder.dict(|files| {
                for (hash, entry) in entries {
                    files.entry(hash, |encoder| {
                        encoder.dict(|dict| {
                            dict.uint(b"complete", u64::from(entry.seeds));
                            dict.uint(b"downloaded", u64::from(entry.completed));
                            dict.uint(b"incomplete", u64::from(entry.leechers));
                        });
                    });
                }
            });
        });
    });
    encoder.finish()
}

/// The body of a refusal.
#[must_use]
pub fn encode_failure(reason: &str) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(|dict| dict.str(b"failure reason", reason));
    encoder.finish()
}

fn reply_dict(root: Value<'_>) -> Result<Dict<'_>, ReplyError> {
    let dict = root.as_dict().ok_or(ReplyError::NotAReply)?;
    let Some(reason) = dict.bytes(b"failure reason") else {
        return Ok(dict);
    };
    let retry = match dict.get(b"retry in") {
        Some(value) if value.as_bytes() == Some(b"never") => Retry::Never,
        // BEP 31 counts in minutes.
        Some(value) => value
            .as_uint()
            .map_or(Retry::Unknown, |minutes| Retry::After(interval(minutes.saturating_mul(60)))),
        None => Retry::Unknown,
    };
    Err(ReplyError::Failure { reason: printable(reason, TEXT_CHARS_MAX), retry })
}

/// `{"ip": text, "port": number}`. A host name instead of an address is left out: it would let a
/// tracker make us look up names.
fn long_peer(value: Value<'_>) -> Option<SocketAddr> {
    let ip: IpAddr = value.get(b"ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(value.get(b"port")?.as_uint()?).ok()?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

fn long_form(list: &mut Encoder, addr: &SocketAddr) {
    list.dict(|dict| {
        dict.str(b"ip", &addr.ip().to_string());
        dict.uint(b"port", u64::from(addr.port()));
    });
}

/// One of each in turn, so that a cut leaves some of both families.
fn interleave<T>(a: impl Iterator<Item = T>, b: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let (mut a, mut b, mut turn) = (a, b, false);
    core::iter::from_fn(move || {
        turn = !turn;
        if turn { a.next().or_else(|| b.next()) } else { b.next().or_else(|| a.next()) }
    })
}

#[cfg(test)]
mod tests;
