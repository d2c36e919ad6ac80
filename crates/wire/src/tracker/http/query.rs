//! Query strings of announces and scrapes.

use crate::tracker::{AnnounceRequest, Event, SCRAPE_HASHES_MAX, TRACKER_ID_BYTES_MAX};
use core::fmt::Write as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::borrow::Cow;

/// Everything but RFC 3986's unreserved characters is written as `%XX`: trackers read that right,
/// and many read `+` wrong.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes of a query that a tracker reads: a scrape of [`SCRAPE_HASHES_MAX`] hashes, fully escaped,
/// has about 5,300.
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// Why a query is not an announce or a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// More bytes than any honest query has.
    #[error("query too long")]
    TooLong,
    /// A parameter that is needed is missing.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A parameter has a value that it cannot have.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

/// What a client asks a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceQuery {
    /// The announce.
    pub request: AnnounceRequest,
    /// `false` only when the client says `compact=0`.
    pub compact: bool,
}

/// The query string of an announce, without the `?`.
#[must_use]
pub fn announce_query(request: &AnnounceRequest) -> String {
    let mut query = format!(
        "info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&key={:08X}",
        percent_encode(&request.info_hash, ESCAPED),
        percent_encode(&request.peer_id, ESCAPED),
        request.port,
        request.uploaded,
        request.downloaded,
        // Trackers keep 63 bits at most; this one still says "much".
        request.left.min(i64::MAX as u64),
        request.key,
    );
    // Writing to a String cannot fail.
    if let Some(num_want) = request.num_want {
        let _ = write!(query, "&numwant={num_want}");
    }
    if let Some(event) = event_name(request.event) {
        let _ = write!(query, "&event={event}");
    }
    if let Some(id) = &request.tracker_id {
        let _ = write!(query, "&trackerid={}", percent_encode(id, ESCAPED));
    }
    query
}

/// The query string of a scrape (BEP 48), without the `?`.
#[must_use]
pub fn scrape_query(info_hashes: &[[u8; 20]]) -> String {
    let hashes = info_hashes.iter().take(SCRAPE_HASHES_MAX);
    let parameters: Vec<_> =
        hashes.map(|hash| format!("info_hash={}", percent_encode(hash, ESCAPED))).collect();
    parameters.join("&")
}

/// `url` with `query` added to what query it has (private trackers put a pass key there). A fragment
/// is dropped.
#[must_use]
pub fn append_query(url: &str, query: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let separator = match url.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{url}{separator}{query}")
}

/// Where a tracker that announces at `announce` answers scrapes: the last part of the path begins
/// with `announce`, which becomes `scrape` (BEP 48). `None` when it does not.
#[must_use]
pub fn scrape_url(announce: &str) -> Option<String> {
    let path_end = announce.find(['?', '#']).unwrap_or(announce.len());
    let (path, query) = announce.split_at_checked(path_end)?;
    let (folder, last) = path.rsplit_once('/')?;
    let rest = last.strip_prefix("announce")?;
    Some(format!("{folder}/scrape{rest}{query}"))
}

/// Reads an announce's query string, without the `?`.
///
/// Counters that are missing or no numbers count as 0, `left` as `u64::MAX` (not known): clients
/// differ there. Addresses that the client claims (`ip`, `ipv4`, `ipv6`) are not read: a tracker
/// that believed them could be used to point swarms at anybody.
///
/// # Errors
/// See [`QueryError`].
pub fn parse_announce_query(query: &str) -> Result<AnnounceQuery, QueryError> {
    let (mut info_hash, mut peer_id, mut port) = (None, None, None);
    let mut request = AnnounceRequest { left: u64::MAX, ..AnnounceRequest::default() };
    let mut compact = true;
    for (name, value) in parameters(query)? {
        let number = || value.parse::<u64>().ok();
        match name {
            "info_hash" => info_hash = Some(hash(value).ok_or(QueryError::Invalid("info_hash"))?),
            "peer_id" => peer_id = Some(hash(value).ok_or(QueryError::Invalid("peer_id"))?),
            "port" => port = Some(value.parse().map_err(|_| QueryError::Invalid("port"))?),
            "uploaded" => request.uploaded = number().unwrap_or(0),
            "downloaded" => request.downloaded = number().unwrap_or(0),
            "left" => request.left = number().unwrap_or(u64::MAX),
            "compact" => compact = value != "0",
            "key" => request.key = u32::from_str_radix(value, 16).unwrap_or(0),
            "numwant" => request.num_want = number().map(|wanted| u32::try_from(wanted).unwrap_or(u32::MAX)),
            "event" => request.event = event(value),
            "trackerid" => {
                let id = decode(value);
                request.tracker_id = (id.len() <= TRACKER_ID_BYTES_MAX).then(|| id.into_owned());
            }
            _ => {}
        }
    }
    request.info_hash = info_hash.ok_or(QueryError::Missing("info_hash"))?;
    request.peer_id = peer_id.ok_or(QueryError::Missing("peer_id"))?;
    request.port = port.ok_or(QueryError::Missing("port"))?;
    Ok(AnnounceQuery { request, compact })
}

/// Reads a scrape's query string, without the `?`: 1 to [`SCRAPE_HASHES_MAX`] hashes.
///
/// # Errors
/// See [`QueryError`].
pub fn parse_scrape_query(query: &str) -> Result<Vec<[u8; 20]>, QueryError> {
    let mut hashes = Vec::new();
    for (name, value) in parameters(query)? {
        if name == "info_hash" && hashes.len() < SCRAPE_HASHES_MAX {
            hashes.push(hash(value).ok_or(QueryError::Invalid("info_hash"))?);
        }
    }
    if hashes.is_empty() { Err(QueryError::Missing("info_hash")) } else { Ok(hashes) }
}

fn parameters(query: &str) -> Result<impl Iterator<Item = (&str, &str)>, QueryError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(QueryError::TooLong);
    }
    Ok(query.split('&').map(|parameter| parameter.split_once('=').unwrap_or((parameter, ""))))
}

fn decode(value: &str) -> Cow<'_, [u8]> {
    percent_decode_str(value).into()
}

fn hash(value: &str) -> Option<[u8; 20]> {
    decode(value).as_ref().try_into().ok()
}

fn event_name(event: Event) -> Option<&'static str> {
    match event {
        Event::None => None,
        Event::Completed => Some("completed"),
        Event::Started => Some("started"),
        Event::Stopped => Some("stopped"),
    }
}

fn event(name: &str) -> Event {
    match name {
        "completed" => Event::Completed,
        "started" => Event::Started,
        "stopped" => Event::Stopped,
        _ => Event::None,
    }
}
