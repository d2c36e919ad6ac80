//! `/stream/{id}/{file}`: a file while it arrives, with ranges; and playlists.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use peerage_store::BlockRange;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Shared;
use super::super::body::Flow;
use super::super::reply::{Answer, Place, Problems};
use crate::daemon::{Piece, Stream};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(stream)).routes(routes!(playlist))
}

/// Bytes read and sent at once.
const CHUNK: u64 = 256 * 1024;

/// Kinds that a browser shows without running anything in them; all else is saved.
const KINDS: &[(&str, &str)] = &[
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("mkv", "video/x-matroska"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("avi", "video/x-msvideo"),
    ("ogv", "video/ogg"),
    ("ts", "video/mp2t"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("txt", "text/plain; charset=utf-8"),
    ("srt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
];

fn kind(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    KINDS.iter().find(|(of, _)| of.eq_ignore_ascii_case(end)).map(|(_, kind)| *kind)
}

/// The part that is asked for. `None`: it lies outside. Several parts at once are answered with the whole.
fn range(headers: &HeaderMap, len: u64) -> Option<Option<Range<u64>>> {
    let text = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    let Some(text) = text.strip_prefix("bytes=").filter(|text| !text.contains(',')) else {
        return Some(None);
    };
    let Some((first, last)) = text.trim().split_once('-') else { return Some(None) };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Ok(first), Err(_)) if last.is_empty() => first..len,
        (Err(_), Ok(count)) if first.is_empty() => len.saturating_sub(count)..len,
        // What is no range is not heeded (RFC 9110).
        _ => return Some(None),
    };
    (range.start < range.end).then_some(Some(range))
}

/// Read a file of a transfer, also while it arrives
#[utoipa::path(get, path = "/stream/{id}/{file}", tag = "streams",
    params(("id" = String, Path, description = "Id or infohash"), ("file" = u32, Path, description = "Index of the file"),
        ("range" = Option<String>, Header, description = "bytes=FIRST-LAST: from there, and the picker goes there first")),
    responses((status = 200, description = "All of it", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 416, description = "It has no such part", body = peerage_api::control::Problem, content_type = "application/problem+json"), Problems))]
async fn stream(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    Place((id, file)): Place<(String, u32)>,
) -> Answer<Response> {
    let opened = shared.handle.ask(move |daemon| daemon.open_stream(&id, file as usize)).await?;
    let reader = Reader { stream: opened, shared: Arc::clone(&shared) };
    let Some(entry) = reader.stream.info.layout.files().get(reader.stream.file) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let (len, path) = (entry.len, entry.path.to_string());
    let Some(part) = range(&headers, len) else {
        let refusal = super::super::reply::Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "E_RANGE",
            format!("the file has {len} bytes"),
        );
        let mut response = refusal.into_response();
        let all =
            HeaderValue::from_str(&format!("bytes */{len}")).unwrap_or(HeaderValue::from_static("bytes */*"));
        response.headers_mut().insert(header::CONTENT_RANGE, all);
        return Ok(response);
    };
    let wanted = part.clone().unwrap_or(0..len);
    let kind = kind(&path);
    let mut response = Response::builder()
        .status(if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, wanted.end - wanted.start)
        .header(header::CONTENT_TYPE, kind.unwrap_or("application/octet-stream"));
    if part.is_some() {
        response = response
            .header(header::CONTENT_RANGE, format!("bytes {}-{}/{len}", wanted.start, wanted.end - 1));
    }
    if kind.is_none() {
        response = response.header(header::CONTENT_DISPOSITION, "attachment");
    }
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let (sender, body) = Flow::open();
        tokio::spawn(async move { reader.send(wanted, sender).await });
        body
    };
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
    Ok(response.body(body).unwrap_or_else(failed))
}

/// Reads for one client; tells the daemon when it has ended, however that comes.
struct Reader {
    stream: Stream,
    shared: Arc<Shared>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (handle, torrent) = (self.shared.handle.clone(), self.stream.torrent);
        tokio::spawn(async move {
            let closed = handle.ask(move |daemon| {
                daemon.close_stream(torrent);
                Ok(())
            });
            // A daemon that is ending has no streams.
            let _ = closed.await;
        });
    }
}

impl Reader {
    async fn send(self, wanted: Range<u64>, sender: tokio::sync::mpsc::Sender<Bytes>) {
        let layout = &self.stream.info.layout;
        let Some(offset) = layout.files().get(self.stream.file).map(|file| file.offset) else { return };
        let (mut at, end) = (offset + wanted.start, offset + wanted.end);
        let piece_len = u64::from(layout.nominal_piece_len()).max(1);
        while at < end {
            let Ok(piece) = u32::try_from(at / piece_len) else { return };
            let coming = self.wait(piece);
            let here = tokio::select! {
                here = coming => here,
                () = sender.closed() => false,
                () = self.shared.stop.requested() => false,
            };
            if !here {
                return;
            }
            let begin = at - layout.piece_offset(piece);
            let len = CHUNK.min(end - at).min(u64::from(layout.piece_len(piece)).saturating_sub(begin));
            let Some(bytes) = self.read(piece, begin, len).await else { return };
            if len == 0 || sender.send(bytes).await.is_err() {
                return;
            }
            at += len;
        }
    }

    /// Waits until a piece can be read; `false`: it never will be.
    async fn wait(&self, piece: u32) -> bool {
        let torrent = self.stream.torrent;
        loop {
            let state = self.shared.handle.ask(move |daemon| Ok(daemon.read_piece(torrent, piece))).await;
            match state {
                Ok(Piece::Here) => return true,
                Ok(Piece::Coming(coming)) => {
                    if coming.await.is_err() {
                        return false;
                    }
                }
                Ok(Piece::Gone) | Err(_) => return false,
            }
        }
    }

    async fn read(&self, piece: u32, begin: u64, len: u64) -> Option<Bytes> {
        let store = self.stream.store.clone();
        let block = BlockRange { piece, begin: u32::try_from(begin).ok()?, len: u32::try_from(len).ok()? };
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            store.read_blocks(&[block], 0, &mut bytes).ok().map(|()| Bytes::from(bytes))
        });
        read.await.ok().flatten()
    }
}

/// A playlist of the files of a transfer that can be played
#[utoipa::path(get, path = "/api/v1/transfers/{id}/playlist.m3u8", params(("id" = String, Path, description = "Id or infohash")),
    tag = "streams", responses((status = 200, body = String, content_type = "application/vnd.apple.mpegurl"), Problems))]
async fn playlist(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Place(id): Place<String>,
) -> Answer<impl IntoResponse> {
    let host =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned();
    let of = id.clone();
    let list = shared.handle.ask(move |daemon| daemon.files(&of, 0, 10_000)).await?;
    let mut text = "#EXTM3U\n".to_owned();
    let plays =
        |path: &str| kind(path).is_some_and(|kind| kind.starts_with("video/") || kind.starts_with("audio/"));
    for file in list.files.iter().filter(|file| plays(&file.path)) {
        let name: String = file.path.chars().filter(|c| !c.is_control()).collect();
        let _ = write!(text, "#EXTINF:-1,{name}\nhttp://{host}/stream/{id}/{}\n", file.index);
    }
    Ok(([(header::CONTENT_TYPE, "application/vnd.apple.mpegurl")], text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_str(text).unwrap());
            range(&headers, 100)
        };
        assert_eq!(range("bytes=0-9"), Some(Some(0..10)));
        assert_eq!(range("bytes=90-"), Some(Some(90..100)));
        assert_eq!(range("bytes=-10"), Some(Some(90..100)));
        assert_eq!(range("bytes=-1000"), Some(Some(0..100)));
        assert_eq!(range("bytes=50-18446744073709551615"), Some(Some(50..100)));
        assert_eq!((range("bytes=100-"), range("bytes=-0"), range("bytes=200-300")), (None, None, None));
        for text in
            ["bytes=9-0", "bytes=a-b", "bytes=", "lines=1-2", "bytes=0-1,5-6", "bytes=99999999999999999999-"]
        {
            assert_eq!(range(text), Some(None), "{text}");
        }
    }

    #[test]
    fn nothing_that_a_browser_would_run_is_shown() {
        assert_eq!(kind("a.MP4"), Some("video/mp4"));
        for name in ["a.html", "a.svg", "a.xhtml", "a.js", "a.xml", "a", "a.pdf"] {
            assert_eq!(kind(name), None, "{name}");
        }
    }
}
