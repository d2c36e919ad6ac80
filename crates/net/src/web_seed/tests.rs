//! Web seeds, honest and not.

use super::*;
use crate::{
    http::Client,
    testing::{Act, Canary, Hostile, LOCAL_HOSTS, local_client, quick},
};

const FILE_LEN: u64 = 1000;

fn content() -> Vec<u8> {
    (0..FILE_LEN).map(|i| (i % 251) as u8).collect()
}

fn part(range: Range<u64>) -> FilePart<'static> {
    FilePart { name: "name", path: &[], file_len: FILE_LEN, range }
}

/// A server that knows ranges, as any web server does.
fn honest(head: &str) -> Act {
    let lower = head.to_ascii_lowercase();
    let range = lower.split("range: bytes=").nth(1).and_then(|rest| {
        let (first, last) = rest.lines().next()?.split_once('-')?;
        Some(first.parse::<usize>().ok()?..last.parse::<usize>().ok()? + 1)
    });
    let range = range.unwrap();
    partial(&range, &content()[range.clone()], &format!("bytes {}-{}/{FILE_LEN}", range.start, range.end - 1))
}

fn partial(_: &Range<usize>, bytes: &[u8], content_range: &str) -> Act {
    let head = format!(
        "HTTP/1.1 206 P\r\nContent-Range: {content_range}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    Act::Keep([head.as_bytes(), bytes].concat())
}

async fn get(client: &Client, base: &str, part: &FilePart<'_>) -> Result<Vec<u8>, Error> {
    let mut stream = fetch(client, base, part).await?;
    let mut all = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        assert!(!chunk.is_empty());
        all.extend_from_slice(&chunk);
    }
    assert_eq!(stream.left(), 0);
    Ok(all)
}

async fn answer(reply: impl Into<Vec<u8>>, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let server = Hostile::sends(reply).await;
    get(&local_client(), &server.url("/file"), &part(range)).await
}

#[test]
fn urls_follow_bep_19() {
    let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(url("http://h/file.iso", "name", &[]), "http://h/file.iso");
    assert_eq!(url("http://h/dir/", "name", &[]), "http://h/dir/name");
    assert_eq!(url("http://h/dir/", "n", &path(&["a", "b"])), "http://h/dir/n/a/b");
    assert_eq!(url("http://h/dir", "n", &path(&["a"])), "http://h/dir/n/a");
    assert_eq!(
        url("http://h/", "a b", &path(&["ä/?#%&+", "100%"])),
        "http://h/a%20b/%C3%A4%2F%3F%23%25%26%2B/100%25"
    );
    assert_eq!(url("http://h/d/", "n", &path(&["..", ".", "..."])), "http://h/d/n/%2E%2E/%2E/%2E%2E%2E");
}

#[tokio::test]
async fn ranges_come_exactly_and_over_one_connection() {
    let server = Hostile::start(honest).await;
    let client = local_client();
    for range in [0..1, 0..1000, 999..1000, 100..300, 500..1000] {
        let want = &content()[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        assert_eq!(
            get(&client, &server.url("/file"), &part(range.clone())).await.unwrap(),
            want,
            "{range:?}"
        );
    }
    assert_eq!(server.hits(), 1);
    assert!(
        server.head(3).contains("range: bytes=100-299\r\n")
            && server.head(3).contains("accept-encoding: identity")
    );
    for bad in [5..5, 0..1001, 1001..1002, Range { start: 7, end: 3 }] {
        assert!(matches!(get(&client, &server.url("/file"), &part(bad)).await, Err(Error::BadRange)));
    }
}

#[tokio::test]
async fn a_whole_file_counts_only_from_its_beginning() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {FILE_LEN}\r\n\r\n").into_bytes();
    let whole = [head, content()].concat();
    assert_eq!(answer(whole.clone(), 0..1000).await.unwrap(), content());
    assert_eq!(answer(whole.clone(), 0..10).await.unwrap(), &content()[..10]);
    assert!(matches!(answer(whole, 10..20).await, Err(Error::WrongRange(_))));
    // Of another length: not our file.
    let other = "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n".to_owned() + &"x".repeat(999);
    assert!(matches!(answer(other, 0..10).await, Err(Error::WrongRange(_))));
    let larger = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
    assert!(matches!(answer(larger, 0..10).await, Err(Error::WrongRange(_))));
    // Without a length, no more is taken than was asked.
    let endless =
        Hostile::start(|_| Act::Forever(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 4096])).await;
    let got = get(&local_client(), &endless.url("/"), &part(0..1000)).await;
    assert!(matches!(got, Err(Error::WrongRange("more than the range"))), "{got:?}");
    assert_eq!(get(&local_client(), &endless.url("/"), &part(0..999)).await.unwrap(), vec![b'x'; 999]);
}

#[tokio::test]
async fn other_ranges_than_asked_are_refused() {
    for content_range in [
        "bytes 0-99/1000",
        "bytes 101-200/1000",
        "bytes 100-198/1000",
        "bytes 100-200/1000",
        "bytes 100-199/999",
        "bytes 100-199/18446744073709551616",
        "bytes 100-18446744073709551615/1000",
        "bytes 199-100/1000",
        "bytes -1-199/1000",
        "bytes */1000",
        "bytes 100-199",
        "items 100-199/1000",
        "100-199/1000",
        "",
    ] {
        let Act::Keep(reply) = partial(&(0..0), &content()[100..200], content_range) else { unreachable!() };
        let got = answer(reply, 100..200).await;
        assert!(matches!(got, Err(Error::WrongRange(_))), "{content_range}: {got:?}");
    }
    let Act::Keep(star) = partial(&(0..0), &content()[100..200], "bytes 100-199/*") else { unreachable!() };
    assert_eq!(answer(star, 100..200).await.unwrap(), &content()[100..200]);
    let none = "HTTP/1.1 206 P\r\nContent-Length: 100\r\n\r\n".to_owned() + &"x".repeat(100);
    assert!(matches!(answer(none, 100..200).await, Err(Error::WrongRange(_))));
    let multipart =
        "HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 3\r\n\r\n--x";
    assert!(matches!(answer(multipart, 100..200).await, Err(Error::WrongRange(_))));
    let zipped = "HTTP/1.1 206 P\r\nContent-Range: bytes 100-199/1000\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n";
    assert!(matches!(answer(zipped, 100..200).await, Err(Error::WrongRange("compressed"))));
}

#[tokio::test]
async fn lengths_that_lie_are_noticed() {
    let head = "HTTP/1.1 206 P\r\nContent-Range: bytes 100-199/1000\r\n";
    let wrong = format!("{head}Content-Length: 99\r\n\r\n{}", "x".repeat(99));
    assert!(matches!(answer(wrong, 100..200).await, Err(Error::WrongRange(_))));
    let chunked = |len: usize| {
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(len))
    };
    assert_eq!(answer(chunked(100), 100..200).await.unwrap().len(), 100);
    assert!(matches!(answer(chunked(99), 100..200).await, Err(Error::Short { missing: 1 })));
    assert!(matches!(answer(chunked(101), 100..200).await, Err(Error::WrongRange("more than the range"))));
    // Closed in the middle.
    let cut = format!("{head}Content-Length: 100\r\n\r\nxxx");
    assert!(matches!(answer(cut, 100..200).await, Err(Error::Http(HttpError::Http(_)))));
}

#[tokio::test]
async fn refusals_say_when_to_come_back() {
    for (status, retry, wait) in [
        ("404 Not Found", "", None),
        ("410 Gone", "", None),
        ("416 Range", "", None),
        ("204 None", "", None),
        ("503 Busy", "Retry-After: 120\r\n", Some(120)),
        ("429 Slow", "Retry-After: 999999999\r\n", Some(3600)),
        ("503 Busy", "Retry-After: Fri, 31 Dec 2027 23:59:59 GMT\r\n", None),
        ("503 Busy", "Retry-After: -5\r\n", None),
    ] {
        let reply = format!("HTTP/1.1 {status}\r\n{retry}Content-Length: 0\r\n\r\n");
        let error = answer(reply, 0..10).await.unwrap_err();
        assert!(matches!(error, Error::Status { .. }), "{status}: {error}");
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{status}");
    }
}

#[tokio::test]
async fn s1_web_seeds_and_torrent_urls_do_not_reach_local_addresses() {
    let canary = Canary::start().await;
    let client = Client::new(quick(false));
    for host in LOCAL_HOSTS {
        let base = format!("http://{host}:{}/", canary.port);
        let seed = get(&client, &base, &part(0..10)).await.unwrap_err();
        let torrent = fetch_torrent(&client, &format!("{base}x.torrent")).await.unwrap_err();
        for error in [seed, torrent] {
            assert!(matches!(&error, Error::Http(error) if error.is_refusal()), "{host}: {error}");
        }
    }
    assert_eq!(canary.hits().await, 0);
}

#[tokio::test]
async fn a_torrent_file_is_fetched_bounded() {
    let client = local_client();
    let good = Hostile::sends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde").await;
    assert_eq!(fetch_torrent(&client, &good.url("/x.torrent")).await.unwrap(), b"de");
    let huge =
        Hostile::sends(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", TORRENT_FILE_BYTES_MAX + 1))
            .await;
    assert!(matches!(
        fetch_torrent(&client, &huge.url("/")).await,
        Err(Error::Http(HttpError::BodyTooLarge(_)))
    ));
    let gone = Hostile::sends("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(fetch_torrent(&client, &gone.url("/")).await, Err(Error::Status { .. })));
}
