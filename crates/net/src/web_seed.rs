//! Web seeds: pieces from plain HTTP servers (BEP 19), and `.torrent` files from a URL.
//!
//! A web seed is a URL that whoever made the torrent wrote, so everything goes through the guarded
//! client of [`crate::http`]. What comes back is checked against what was asked before a byte is
//! handed on; whether the bytes are right is for the piece hashes to say.
//!
//! Start at [`fetch`] and [`fetch_torrent`].

use crate::http::{Body, Client, Error as HttpError, HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use peerage_base::limits::TORRENT_FILE_BYTES_MAX;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{ops::Range, time::Duration};

/// What stays as it is in a path: RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A fetch takes at most [`FETCH_BASE`] and one second for each so many bytes: a server below
/// 4 KiB/s is of no use.
const RATE_MIN: u64 = 4096;
const FETCH_BASE: Duration = Duration::from_secs(30);

/// How long a `.torrent` file may take.
const TORRENT_TIMEOUT: Duration = Duration::from_secs(120);

/// The longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A part of one file, as a web seed is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart<'a> {
    /// The torrent's name, as it stands in the torrent (not made safe for a disk).
    pub name: &'a str,
    /// The file's path below the name, as it stands in the torrent; empty in a single-file torrent.
    pub path: &'a [String],
    /// Bytes of the whole file.
    pub file_len: u64,
    /// The bytes that are wanted, within the file, not empty.
    pub range: Range<u64>,
}

/// Why a web seed did not deliver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request failed; see [`HttpError::is_refusal`] for those that stay so.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server said no: 404, 410 or 403 mean that it does not have the file; 429 and 503 that it
    /// is busy.
    #[error("the server answered {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When the server wants to be asked again, at most an hour from now.
        retry_after: Option<Duration>,
    },
    /// The server sent something else than what was asked: another range, another length, or the
    /// file's beginning instead of its middle.
    #[error("the server sent something else than the range asked for: {0}")]
    WrongRange(&'static str),
    /// The body ended early.
    #[error("the server closed {missing} bytes early")]
    Short {
        /// Bytes that did not come.
        missing: u64,
    },
    /// An empty or impossible range: a mistake of the caller.
    #[error("not a range of the file")]
    BadRange,
}

impl Error {
    /// How long to leave this server alone, when it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// The URL of a file at a web seed (BEP 19): a base that ends in a slash, or any base of a torrent
/// with a folder, gets the torrent's name and the path appended; otherwise it is the file itself.
#[must_use]
pub fn url(base: &str, name: &str, path: &[String]) -> String {
    if path.is_empty() && !base.ends_with('/') {
        return base.to_owned();
    }
    let mut url = base.trim_end_matches('/').to_owned();
    for component in std::iter::once(name).chain(path.iter().map(String::as_str)) {
        url.push('/');
        // A component that is only dots would be folded away, by us or by the server.
        if component.bytes().all(|b| b == b'.') {
            url.extend(component.bytes().map(|_| "%2E"));
        } else {
            url.extend(utf8_percent_encode(component, ESCAPED));
        }
    }
    url
}

/// Asks the web seed at `base` for `part`. Returns once the headers are here and fit; the bytes
/// come from [`Stream::chunk`].
pub async fn fetch(client: &Client, base: &str, part: &FilePart<'_>) -> Result<Stream, Error> {
    let Range { start, end } = part.range;
    if start >= end || end > part.file_len {
        return Err(Error::BadRange);
    }
    let len = end - start;
    let request = Request {
        url: url(base, part.name, part.path),
        // `check` and `Stream` hold the body to the range, part by part.
        body_bytes_max: u64::MAX,
        range: Some(start..end),
        gzip: false,
        timeout: Some(FETCH_BASE.saturating_add(Duration::from_secs(len / RATE_MIN))),
    };
    let response = client.get(&request).await?;
    check(&response, part)?;
    let whole = response.status == StatusCode::OK && end < part.file_len;
    Ok(Stream { body: response.body, left: len, whole })
}

/// Whether `response` is what was asked.
fn check(response: &Response, part: &FilePart<'_>) -> Result<(), Error> {
    let Range { start, end } = part.range;
    match response.status {
        StatusCode::PARTIAL_CONTENT | StatusCode::OK if response.body.is_compressed() => {
            Err(Error::WrongRange("compressed"))
        }
        StatusCode::PARTIAL_CONTENT => {
            let found =
                content_range(&response.headers).ok_or(Error::WrongRange("no single Content-Range"))?;
            if found.start != start || found.end != end {
                return Err(Error::WrongRange("another range"));
            }
            if found.total.is_some_and(|total| total != part.file_len) {
                return Err(Error::WrongRange("another file length"));
            }
            match response.body.wire_len() {
                Some(len) if len != end - start => Err(Error::WrongRange("a length that is not the range's")),
                _ => Ok(()),
            }
        }
        StatusCode::OK if start != 0 => Err(Error::WrongRange("no ranges served")),
        StatusCode::OK => match response.body.wire_len() {
            Some(len) if len != part.file_len => Err(Error::WrongRange("another file length")),
            _ => Ok(()),
        },
        status => Err(Error::Status { status, retry_after: retry_after(&response.headers) }),
    }
}

struct ContentRange {
    start: u64,
    end: u64,
    total: Option<u64>,
}

/// `bytes FIRST-LAST/TOTAL` (RFC 9110, 14.4); a `multipart/byteranges` answer has none.
fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim();
    let (unit, rest) = text.split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let end = last.parse::<u64>().ok()?.checked_add(1)?;
    unit.eq_ignore_ascii_case("bytes").then_some(ContentRange { start: first.parse().ok()?, end, total })
}

/// `Retry-After` in seconds. The form with a date is not read: it would need a wall clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The bytes of a range, exactly as many as were asked for, or an error.
#[derive(Debug)]
pub struct Stream {
    body: Body,
    left: u64,
    /// The server sends the whole file, more than the range: the rest is not read.
    whole: bool,
}

impl Stream {
    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, never empty; none once the range is complete.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self.left == 0 {
            // Reads the end of the body, so that the connection is kept for the next range.
            if !self.whole && self.body.chunk().await?.is_some() {
                return Err(Error::WrongRange("more than the range"));
            }
            return Ok(None);
        }
        let Some(mut chunk) = self.body.chunk().await? else {
            return Err(Error::Short { missing: self.left });
        };
        let len = chunk.len() as u64;
        if len > self.left {
            if !self.whole {
                return Err(Error::WrongRange("more than the range"));
            }
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(len);
        Ok(Some(chunk))
    }
}

/// Fetches a `.torrent` file, of at most [`TORRENT_FILE_BYTES_MAX`] bytes.
pub async fn fetch_torrent(client: &Client, url: &str) -> Result<Vec<u8>, Error> {
    let mut request = Request::new(url, TORRENT_FILE_BYTES_MAX as u64);
    request.timeout = Some(TORRENT_TIMEOUT);
    let response = client.get(&request).await?;
    if response.status != StatusCode::OK {
        let retry_after = retry_after(&response.headers);
        return Err(Error::Status { status: response.status, retry_after });
    }
    Ok(response.body.bytes().await?)
}

#[cfg(test)]
mod tests;
