//! The client against our own tracker and against hostile ones (threats.md S1 and S4).

use super::*;
use crate::{
    testing::{Act, Canary, Hostile, LOCAL_HOSTS, quick},
    tracker_server,
};
use peerage_base::limits::TRACKER_PEERS_MAX;
use peerage_wire::tracker::{TEXT_CHARS_MAX, udp as wire_udp};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{net::UdpSocket, task::JoinSet};

fn client(allow_local: bool) -> Client {
    let config = Config {
        timeout: Duration::from_secs(2),
        stopped_timeout: Duration::from_millis(300),
        udp_timeout: Duration::from_millis(200),
        udp_tries: 3,
    };
    Client::new(http::Client::new(quick(allow_local)), config, Rng::from_number(1))
}

fn request(port: u16) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: [7; 20],
        peer_id: [port as u8; 20],
        port,
        left: 1,
        ..AnnounceRequest::default()
    }
}

#[test]
fn urls_of_trackers_are_told_from_other_text() {
    for url in ["http://t/announce", "https://t:1/a?k=v", "udp://t:1", "UDP://[::1]:1/announce"] {
        assert!(check_url(url).is_ok(), "{url}");
    }
    for url in [
        "",
        "foo",
        "t:6969",
        "http:t/announce",
        "http://",
        "udp://:1",
        "udp://t:0",
        "ws://t/a",
        "http://a b/",
    ] {
        assert!(check_url(url).is_err(), "{url}");
    }
}

async fn own_tracker() -> tracker_server::Server {
    let listen = "127.0.0.1:0".parse().unwrap();
    tracker_server::Server::start(tracker_server::Config::new(listen, [9; 32])).await.unwrap()
}

#[tokio::test]
async fn announces_and_scrapes_over_both_protocols() {
    let server = own_tracker().await;
    let client = client(true);
    for (step, scheme) in ["http", "udp"].into_iter().enumerate() {
        let url = format!("{scheme}://{}/announce", server.addr());
        let base = 1000 * (u16::try_from(step).unwrap() + 1);
        let mut first = request(base);
        first.event = Event::Started;
        first.info_hash = [step as u8; 20];
        let alone = client.announce(&url, &first).await.unwrap();
        assert_eq!((alone.peers.len(), alone.leechers, alone.seeds), (0, Some(1), Some(0)));
        assert_eq!(alone.interval, Duration::from_secs(1800));
        let seed = AnnounceRequest { port: base + 1, left: 0, ..first.clone() };
        let reply = client.announce(&url, &seed).await.unwrap();
        assert_eq!(reply.peers, vec![SocketAddr::from(([127, 0, 0, 1], base))]);
        let found = client.scrape(&url, &[first.info_hash, [0xee; 20]]).await.unwrap();
        assert_eq!(found[0].1, ScrapeEntry { seeds: 1, completed: 0, leechers: 1 });
        assert_eq!(found[1].1, ScrapeEntry::default());
        let gone = AnnounceRequest { event: Event::Stopped, ..seed };
        assert_eq!(client.announce(&url, &gone).await.unwrap().seeds, Some(0));
    }
    let stats = server.stats();
    assert_eq!((stats.announces_http, stats.announces_udp, stats.scrapes, stats.peers), (3, 3, 2, 2));
}

#[tokio::test]
async fn s1_no_spelling_of_a_local_address_is_dialled() {
    let canary = Canary::start().await;
    let client = client(false);
    for host in LOCAL_HOSTS {
        for scheme in ["udp", "http", "UDP"] {
            let url = format!("{scheme}://{host}:{}/announce", canary.port);
            let error = client.announce(&url, &request(1)).await.expect_err(&url);
            assert!(error.is_final(), "{url}: {error}");
        }
        let url = format!("udp://{host}:{}/announce", canary.port);
        assert!(client.scrape(&url, &[[1; 20]]).await.expect_err(&url).is_final());
    }
    for url in [
        "ws://127.0.0.1/",
        "file:///etc/passwd",
        "unix:/run/x",
        "udp://",
        "udp:///announce",
        "udp://h:0/",
        "nonsense",
        "",
    ] {
        assert!(client.announce(url, &request(1)).await.expect_err(url).is_final(), "{url}");
    }
    assert_eq!(canary.hits().await, 0);
    // With leave, the same packet comes.
    let _ = super::tests::client(true).announce(&format!("udp://0x7f.1:{}/", canary.port), &request(1)).await;
    assert!(canary.hits().await > 0);
}

fn http_reply(body: &[u8]) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
        .into_bytes();
    reply.extend_from_slice(body);
    reply
}

async fn announce_to(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Result<AnnounceReply, Error> {
    let server = Hostile::start(act).await;
    client(true).announce(&server.url("/announce"), &request(1)).await
}

async fn announce_body(body: impl Into<Vec<u8>>) -> Result<AnnounceReply, Error> {
    let reply = http_reply(&body.into());
    announce_to(move |_| Act::Send(reply.clone())).await
}

#[tokio::test]
async fn s4_numbers_and_lists_of_hostile_trackers_are_bounded() {
    for interval in ["0", "-1", "1", "59", "3601", "9223372036854775807", "-9223372036854775808"] {
        let reply = announce_body(format!("d8:intervali{interval}e12:min intervali{interval}e5:peers0:e"))
            .await
            .unwrap();
        for wait in [reply.interval, reply.min_interval.unwrap()] {
            assert!((INTERVAL_MIN..=INTERVAL_MAX).contains(&wait), "{interval}");
        }
    }
    assert!(announce_body("d8:intervali18446744073709551615e5:peers0:e").await.is_err());

    // A million peers do not fit the cap; 600,000 do, and few of them are taken.
    let mut million = b"d8:intervali60e5:peers6000000:".to_vec();
    million.resize(million.len() + 6_000_000, 1);
    million.push(b'e');
    assert!(matches!(announce_body(million).await, Err(Error::Http(http::Error::BodyTooLarge(_)))));
    let mut many = b"d8:intervali60e5:peers3600000:".to_vec();
    many.resize(many.len() + 3_600_000, 1);
    many.push(b'e');
    assert_eq!(announce_body(many).await.unwrap().peers.len(), TRACKER_PEERS_MAX);
}

#[tokio::test]
async fn s4_texts_of_hostile_trackers_are_printable() {
    for reason in [
        "\x1b[2J\x1b]0;pwned\x07",
        "<script>alert(1)</script>",
        "\r\nfake log line",
        "a\u{202e}b",
        "\u{9b}31m",
    ] {
        let body = format!("d14:failure reason{}:{reason}e", reason.len());
        let Err(Error::Refused { reason: text, .. }) = announce_body(body).await else {
            panic!("{reason:?}")
        };
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
    let Err(Error::Refused { reason, .. }) =
        announce_body(b"d14:failure reason4:\xff\xfe\x80ae".to_vec()).await
    else {
        panic!("bad UTF-8");
    };
    assert_eq!(reason, "\u{fffd}\u{fffd}\u{fffd}a");
    let long = format!("d14:failure reason100000:{}e", "x".repeat(100_000));
    let Err(Error::Refused { reason, .. }) = announce_body(long).await else { panic!("long") };
    assert_eq!(reason.chars().count(), TEXT_CHARS_MAX);
}

#[tokio::test]
async fn s4_bodies_that_are_no_reply_are_errors() {
    let deep = "l".repeat(150_000);
    for body in [
        "",
        "<html><body>It works!</body></html>",
        "de",
        "le",
        "i1e",
        "d5:peers",
        "d5:peers999999999999:e",
        &deep,
    ] {
        assert!(matches!(announce_body(body).await, Err(Error::BadReply(_))), "{body:.20}");
    }
    let not_found =
        announce_to(|_| Act::Send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec())).await;
    assert!(matches!(not_found, Err(Error::Status(StatusCode::NOT_FOUND, Retry::Unknown))));
    let busy = announce_to(|_| {
        Act::Send(b"HTTP/1.1 503 Busy\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    assert_eq!(busy.unwrap_err().retry(), Retry::After(INTERVAL_MAX));
    // A reason counts whatever the status.
    let reason = announce_to(|_| {
        Act::Send(b"HTTP/1.1 400 Bad\r\nContent-Length: 25\r\n\r\nd14:failure reason4:nopee".to_vec())
    })
    .await;
    assert!(matches!(reason, Err(Error::Refused { .. })));
}

#[tokio::test]
async fn s4_slow_endless_and_expanding_replies_end() {
    let start = Instant::now();
    let endless =
        announce_to(|_| Act::Forever(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'd'; 65_536])).await;
    assert!(matches!(endless, Err(Error::Http(http::Error::BodyTooLarge(_)))));
    let huge =
        announce_to(|_| Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n".to_vec())).await;
    assert!(matches!(huge, Err(Error::Http(http::Error::BodyTooLarge(_)))));
    let slow = announce_to(|_| {
        Act::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n".to_vec(), Duration::from_millis(50))
    })
    .await;
    assert!(matches!(slow, Err(Error::Http(http::Error::Timeout("the body")))));
    let again = announce_to(|_| {
        Act::Send(b"HTTP/1.1 301 X\r\nLocation: /announce\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    assert!(matches!(again, Err(Error::Http(http::Error::TooManyRedirects(5)))));
    let bomb = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..16).for_each(|_| encoder.write_all(&vec![b'0'; 1 << 20]).unwrap());
        encoder.finish().unwrap()
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let bomb = [head.into_bytes(), bomb].concat();
    let expanding = announce_to(move |_| Act::Send(bomb.clone())).await;
    assert!(matches!(expanding, Err(Error::Http(http::Error::BodyTooLarge(_)))));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_scrape_takes_only_what_was_asked() {
    let mut body = b"d5:filesd".to_vec();
    for byte in 0..100u8 {
        body.extend_from_slice(b"20:");
        body.extend_from_slice(&[byte; 20]);
        body.extend_from_slice(b"d8:completei5e10:downloadedi6e10:incompletei7ee");
    }
    body.extend_from_slice(b"ee");
    let server = Hostile::sends(http_reply(&body)).await;
    let url = server.url("/x/announce?key=1");
    let found = client(true).scrape(&url, &[[3; 20]]).await.unwrap();
    assert_eq!(found, vec![([3; 20], ScrapeEntry { seeds: 5, completed: 6, leechers: 7 })]);
    assert!(server.head(0).starts_with("get /x/scrape?key=1&info_hash=%03%03"), "{}", server.head(0));
    assert!(matches!(client(true).scrape(&server.url("/a"), &[[3; 20]]).await, Err(Error::NoScrape)));
}

/// A UDP tracker of ill will: `act` says what goes back for a request.
struct HostileUdp {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<wire_udp::Request>>>,
    _tasks: JoinSet<()>,
}

impl HostileUdp {
    async fn start(act: impl Fn(usize, &wire_udp::Request) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buf = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut buf).await {
                let request = wire_udp::Request::decode(&buf[..len]).unwrap();
                let index = kept.lock().unwrap().len();
                let replies = act(index, &request);
                kept.lock().unwrap().push(request);
                for reply in replies {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self { addr, seen, _tasks: tasks }
    }

    fn url(&self) -> String {
        format!("udp://{}/announce", self.addr)
    }

    fn seen(&self) -> Vec<wire_udp::Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// An honest reply.
fn honest(request: &wire_udp::Request) -> Vec<u8> {
    use wire_udp::{Reply, Request};
    let reply = match request {
        Request::Connect { transaction } => Reply::Connect { transaction: *transaction, connection: 77 },
        Request::Announce { transaction, .. } => Reply::Announce {
            transaction: *transaction,
            reply: AnnounceReply { seeds: Some(4), ..AnnounceReply::default() },
        },
        Request::Scrape { transaction, info_hashes, .. } => Reply::Scrape {
            transaction: *transaction,
            entries: vec![ScrapeEntry::default(); info_hashes.len()],
        },
    };
    reply.encode(wire_udp::Family::V4)
}

#[tokio::test]
async fn udp_tries_again_and_keeps_the_connection_id() {
    // The first three packets are lost.
    let server =
        HostileUdp::start(|index, request| if index < 2 { Vec::new() } else { vec![honest(request)] }).await;
    let client = client(true);
    assert_eq!(client.announce(&server.url(), &request(1)).await.unwrap().seeds, Some(4));
    let connects = |seen: &[wire_udp::Request]| {
        seen.iter().filter(|request| matches!(request, wire_udp::Request::Connect { .. })).count()
    };
    assert_eq!((connects(&server.seen()), server.seen().len()), (3, 4));
    client.announce(&server.url(), &request(2)).await.unwrap();
    client.scrape(&server.url(), &[[1; 20]]).await.unwrap();
    assert_eq!((connects(&server.seen()), server.seen().len()), (3, 6));
    // Transactions differ, and come from the caller's generator.
    let ids: std::collections::BTreeSet<_> = server
        .seen()
        .iter()
        .map(|request| match request {
            wire_udp::Request::Connect { transaction }
            | wire_udp::Request::Announce { transaction, .. }
            | wire_udp::Request::Scrape { transaction, .. } => *transaction,
        })
        .collect();
    assert_eq!(ids.len(), 6);
}

#[tokio::test]
async fn udp_silence_ends_after_the_tries() {
    let server = HostileUdp::start(|_, _| Vec::new()).await;
    let start = Instant::now();
    assert!(matches!(client(true).announce(&server.url(), &request(1)).await, Err(Error::Timeout)));
    // 200 + 400 + 800 ms.
    assert_eq!(server.seen().len(), 3);
    assert!((1300..2500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    // Saying goodbye is shorter.
    let start = Instant::now();
    let goodbye = AnnounceRequest { event: Event::Stopped, ..request(1) };
    assert!(client(true).announce(&server.url(), &goodbye).await.is_err());
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn a_closed_port_fails_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    drop(socket);
    let start = Instant::now();
    assert!(client(true).announce(&url, &request(1)).await.is_err());
    assert!(start.elapsed() < Duration::from_millis(1400));
}

#[tokio::test]
async fn udp_ignores_what_is_not_the_reply() {
    let server = HostileUdp::start(|_, request| {
        let right = honest(request);
        let mut other_transaction = right.clone();
        other_transaction[7] ^= 1;
        let mut other_kind = right.clone();
        other_kind[3] = if right[3] == 0 { 1 } else { 0 };
        let error = |transaction: u32| {
            wire_udp::Reply::Error { transaction, message: "no".to_owned() }.encode(wire_udp::Family::V4)
        };
        vec![
            Vec::new(),
            vec![0; 3],
            right[..7].to_vec(),
            other_transaction,
            other_kind,
            vec![0xff; 1400],
            error(0),
            right,
        ]
    })
    .await;
    assert_eq!(client(true).announce(&server.url(), &request(1)).await.unwrap().seeds, Some(4));
}

#[tokio::test]
async fn udp_ignores_other_senders() {
    // Forged replies with the right transaction, from another port, before the honest one.
    let forger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut buf = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buf).await {
            let request = wire_udp::Request::decode(&buf[..len]).unwrap();
            let transaction = match &request {
                wire_udp::Request::Connect { transaction }
                | wire_udp::Request::Announce { transaction, .. } => *transaction,
                wire_udp::Request::Scrape { .. } => panic!(),
            };
            let forged = AnnounceReply { seeds: Some(666), ..AnnounceReply::default() };
            let forged = match request {
                wire_udp::Request::Connect { .. } => {
                    wire_udp::Reply::Connect { transaction, connection: 666 }
                }
                _ => wire_udp::Reply::Announce { transaction, reply: forged },
            };
            forger.send_to(&forged.encode(wire_udp::Family::V4), from).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let wire_udp::Request::Announce { connection, .. } = &request {
                assert_eq!(*connection, 77);
            }
            socket.send_to(&honest(&request), from).await.unwrap();
        }
    });
    assert_eq!(client(true).announce(&url, &request(1)).await.unwrap().seeds, Some(4));
}

#[tokio::test]
async fn a_tracker_that_forgot_the_connection_id_gives_a_new_one() {
    let server = HostileUdp::start(|index, request| match request {
        wire_udp::Request::Announce { transaction, .. } if index == 2 => {
            vec![
                wire_udp::Reply::Error { transaction: *transaction, message: "id".to_owned() }
                    .encode(wire_udp::Family::V4),
            ]
        }
        _ => vec![honest(request)],
    })
    .await;
    let client = client(true);
    client.announce(&server.url(), &request(1)).await.unwrap();
    client.announce(&server.url(), &request(1)).await.unwrap();
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn udp_errors_are_refusals_and_printable() {
    let server = HostileUdp::start(|_, request| {
        let right = honest(request);
        let mut error = vec![0, 0, 0, 3];
        error.extend_from_slice(&right[4..8]);
        error.extend_from_slice(b"\x1b[2Jgo away");
        vec![error]
    })
    .await;
    let Err(Error::Refused { reason, .. }) = client(true).announce(&server.url(), &request(1)).await else {
        panic!()
    };
    assert_eq!(reason, "\u{fffd}[2Jgo away");
}

#[test]
fn udp_urls_keep_what_says_something() {
    let data = |url: &str| String::from_utf8(udp::Target::parse(url).unwrap().url_data).unwrap();
    assert_eq!(data("udp://h:1"), "");
    assert_eq!(data("udp://h:1/announce"), "");
    assert_eq!(data("udp://h:1/announce?key=2#x"), "/announce?key=2");
    assert_eq!(data("udp://h:1/a/b"), "/a/b");
    assert_eq!(udp::Target::parse("UDP://[::1]:5/").unwrap().port, 5);
    assert!(udp::Target::parse("udp://h:99999/").is_err());
}
