//! The client against hostile servers (threats.md S1, S2, S3, P13, and S4 as far as HTTP goes).

use super::*;
use crate::{
    dns,
    testing::{Act, Canary, Hostile, LOCAL_HOSTS, everything_is_local, local_client, quick},
};
use flate2::{Compression, write::GzEncoder};
use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const CAP: u64 = 100_000;

fn ask(url: impl Into<String>) -> Request {
    Request::new(url, CAP)
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

async fn text(client: &Client, request: &Request) -> Result<String, Error> {
    let bytes = client.get(request).await?.body.bytes().await?;
    Ok(String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn s1_no_spelling_of_a_local_address_is_dialled() {
    let canary = Canary::start().await;
    let client = Client::new(quick(false));
    let mut urls = 0;
    for host in LOCAL_HOSTS {
        for url in
            [format!("http://{host}:{}/announce", canary.port), format!("https://{host}:{}/", canary.port)]
        {
            let error = client.get(&ask(&url)).await.expect_err(&url);
            assert!(error.is_refusal(), "{url}: {error}");
            urls += 1;
        }
    }
    for scheme in
        ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http:127.0.0.1", "http:///x", ""]
    {
        assert!(client.get(&ask(scheme)).await.expect_err(scheme).is_refusal(), "{scheme}");
        urls += 1;
    }
    assert!(urls >= 80, "{urls}");
    assert_eq!(canary.hits().await, 0);
    // The canary sings when the guard is off: the zero above means something.
    let _ = Client::new(quick(true)).get(&ask(format!("http://0x7f.1:{}/", canary.port))).await;
    assert_eq!(canary.hits().await, 1);
}

/// A public server, as the client sees it: 8.8.8.8 at the port of the server in the test.
fn public_client(config: Config) -> Client {
    let resolver = dns::Resolver::Fixed(Arc::new(|host, port| {
        let ip = if host.contains("local-") { [127, 0, 0, 1] } else { [8, 8, 8, 8] };
        Ok(vec![(ip, port).into()])
    }));
    let detour = |addr: SocketAddr| match addr.ip().is_loopback() {
        true => addr,
        false => SocketAddr::from(([127, 0, 0, 1], addr.port())),
    };
    Client::with_detour(Config { resolver, ..config }, detour)
}

#[tokio::test]
async fn s2_a_public_server_cannot_redirect_to_a_local_one() {
    for allow_local in [false, true] {
        let canary = Canary::start().await;
        let port = canary.port;
        let client = public_client(quick(allow_local));
        for target in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://2130706433:{port}/"),
            format!("http://[::1]:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            format!("http://0.0.0.0:{port}/"),
            format!("http://local-name.example:{port}/"),
            format!("//127.0.0.1:{port}/"),
            format!("\\\\127.0.0.1:{port}/"),
            format!("http://user@127.0.0.1:{port}/"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "http://192.168.0.1/".to_owned(),
        ] {
            let server = Hostile::sends(redirect(&target)).await;
            let url = format!("http://public.example:{}/announce", server.addr.port());
            let error = client.get(&ask(&url)).await.expect_err(&target);
            assert!(error.is_refusal(), "{target}: {error}");
            assert_eq!(server.hits(), 1);
        }
        assert_eq!(canary.hits().await, 0);
    }
}

#[tokio::test]
async fn s2_a_detour_over_a_second_public_server_does_not_help() {
    let canary = Canary::start().await;
    let last = Hostile::sends(redirect(&format!("http://127.0.0.1:{}/", canary.port))).await;
    let first = Hostile::sends(redirect(&format!("http://b.example:{}/", last.addr.port()))).await;
    let client = public_client(quick(true));
    let error = client.get(&ask(format!("http://a.example:{}/", first.addr.port()))).await.unwrap_err();
    assert!(matches!(error, Error::RedirectToLocal), "{error}");
    assert_eq!((first.hits(), last.hits(), canary.hits().await), (1, 1, 0));
}

#[tokio::test]
async fn s2_loops_end_after_five_redirects() {
    let server = Hostile::sends(redirect("/again")).await;
    let error = local_client().get(&ask(server.url("/"))).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRedirects(5)), "{error}");
    assert_eq!(server.hits(), 6);
}

#[tokio::test]
async fn s2_five_redirects_are_followed_with_all_codes() {
    let server = Hostile::start(|head| {
        let step = head[5..6].parse::<usize>().unwrap();
        if step == 5 {
            return Act::Send(OK.to_vec());
        }
        let code = [301, 302, 303, 307, 308][step];
        let reply = format!(
            "HTTP/1.1 {code} X\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            step + 1
        );
        Act::Send(reply.into_bytes())
    })
    .await;
    let response = local_client().get(&ask(server.url("/0"))).await.unwrap();
    assert_eq!(response.url.path(), "/5");
    assert_eq!(response.body.bytes().await.unwrap(), b"ok");
}

#[tokio::test]
async fn s2_credentials_stay_with_their_origin() {
    let other = Hostile::sends(OK).await;
    let (to_other, userinfo) = (other.url("/other"), format!("http://evil:x@{}/other", other.addr));
    let server = Hostile::start(move |head| {
        Act::Send(match head.split(' ').nth(1).unwrap() {
            "/cross" => redirect(&to_other),
            "/userinfo" => redirect(&userinfo),
            "/same" => redirect("/end"),
            _ => OK.to_vec(),
        })
    })
    .await;
    let client = local_client();
    let with = |path: &str| ask(format!("http://me:s%40cret@{}{path}", server.addr));
    for path in ["/same", "/cross", "/userinfo"] {
        assert_eq!(text(&client, &with(path)).await.unwrap(), "ok");
    }
    // "me:s@cret"
    let value = "authorization: basic bwu6c0bjcmv0";
    assert!(server.head(0).contains(value) && server.head(1).contains(value), "{}", server.head(0));
    assert!(server.head(2).contains(value) && server.head(3).contains(value));
    for index in 0..2 {
        let head = other.head(index);
        assert!(
            !head.contains("authorization") && !head.contains("referer") && !head.contains("cookie"),
            "{head}"
        );
    }
    assert!(server.heads.lock().unwrap().iter().all(|head| !head.contains("s%40cret")));
}

#[tokio::test]
async fn s2_bad_redirects_are_errors() {
    let client = local_client();
    for target in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "http://",
        "http://[::1",
    ] {
        let server = Hostile::sends(redirect(target)).await;
        let error = client.get(&ask(server.url("/"))).await.expect_err(target);
        assert!(
            matches!(error, Error::BadRedirect | Error::BadScheme(_) | Error::BadUrl(_)),
            "{target}: {error}"
        );
    }
    let long = Hostile::sends(redirect(&format!("/{}", "a".repeat(20_000)))).await;
    assert!(matches!(client.get(&ask(long.url("/"))).await, Err(Error::BadRedirect)));
    // A redirect without a target is an answer like any other.
    let none = Hostile::sends("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.get(&ask(none.url("/"))).await.unwrap().status, 302);
}

#[tokio::test]
async fn s3_the_address_that_was_checked_is_the_address_that_is_dialled() {
    let canary = Canary::start().await;
    let good = Hostile::sends(OK).await;
    // Public at each odd question, local at each even one: rebinding with a TTL of 0.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let resolver = dns::Resolver::Fixed(Arc::new(move |_, port| {
        let even = count.fetch_add(1, SeqCst) % 2 == 1;
        Ok(vec![(if even { [127, 0, 0, 1] } else { [8, 8, 8, 8] }, port).into()])
    }));
    // What is public goes to `good`; what is local goes where it says, the canary's port.
    static GOOD: AtomicUsize = AtomicUsize::new(0);
    GOOD.store(usize::from(good.addr.port()), SeqCst);
    let detour = |addr: SocketAddr| match addr.ip().is_loopback() {
        true => addr,
        false => SocketAddr::from(([127, 0, 0, 1], u16::try_from(GOOD.load(SeqCst)).unwrap())),
    };
    let client = Client::with_detour(Config { resolver, ..quick(false) }, detour);
    let url = format!("http://rebind.example:{}/", canary.port);
    let (mut served, mut refused) = (0, 0);
    for _ in 0..100 {
        match text(&client, &ask(&url)).await {
            Ok(body) => served += usize::from(body == "ok"),
            Err(error) => refused += usize::from(error.is_refusal()),
        }
    }
    assert_eq!((served, refused, asked.load(SeqCst)), (50, 50, 100));
    assert_eq!(canary.hits().await, 0);
}

#[tokio::test]
async fn s3_of_a_mixed_answer_only_public_addresses_are_dialled() {
    let canary = Canary::start().await;
    let resolver = dns::Resolver::Fixed(Arc::new(|_, port| {
        let ips: [std::net::IpAddr; 4] = [
            [127, 0, 0, 1].into(),
            [8, 8, 8, 8].into(),
            [0u16, 0, 0, 0, 0, 0, 0, 1].into(),
            [10, 0, 0, 1].into(),
        ];
        Ok(ips.map(|ip| (ip, port).into()).to_vec())
    }));
    let found = resolver.resolve("mixed.example", 80, Policy::default()).await.unwrap();
    assert_eq!(found, vec!["8.8.8.8:80".parse().unwrap()]);
    // 8.8.8.8 leads nowhere here: the canary stays silent all the same.
    let dead = |addr: SocketAddr| match addr.ip().is_loopback() {
        true => addr,
        false => SocketAddr::from(([127, 0, 0, 1], 1)),
    };
    let client = Client::with_detour(Config { resolver, ..quick(false) }, dead);
    assert!(client.get(&ask(format!("http://mixed.example:{}/", canary.port))).await.is_err());
    assert_eq!(canary.hits().await, 0);
}

#[tokio::test]
async fn names_that_mean_this_machine_are_not_even_asked_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let resolver = dns::Resolver::Fixed(Arc::new(move |_, port| {
        count.fetch_add(1, SeqCst);
        Ok(vec![([8, 8, 8, 8], port).into()])
    }));
    for name in ["localhost", "a.LOCALHOST.", "printer.local", "metadata.google.internal", "nas.home.arpa"] {
        let found = resolver.resolve(name, 80, Policy::default()).await;
        assert!(matches!(found, Err(dns::Error::Refused { .. })), "{name}");
    }
    assert_eq!(asked.load(SeqCst), 0);
}

#[tokio::test]
async fn bodies_end_at_the_cap_exactly() {
    let exact = usize::try_from(CAP).unwrap();
    for (len, chunked) in [(exact, false), (exact, true), (exact + 1, false), (exact + 1, true)] {
        let mut reply = if chunked {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n").into_bytes()
        } else {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes()
        };
        reply.resize(reply.len() + len, b'x');
        if chunked {
            reply.extend(b"\r\n0\r\n\r\n");
        }
        let server = Hostile::sends(reply).await;
        let got = text(&local_client(), &ask(server.url("/"))).await;
        match got {
            Ok(body) => assert!(body.len() == exact && len == exact),
            Err(error) => assert!(matches!(error, Error::BodyTooLarge(CAP)) && len > exact, "{error}"),
        }
    }
}

#[tokio::test]
async fn s4_endless_bodies_and_slow_bodies_end() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n".to_vec();
    let unsized_head = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
    let client = local_client();

    // Announced: not a byte of it is read.
    let huge = Hostile::sends(head).await;
    assert!(matches!(text(&client, &ask(huge.url("/"))).await, Err(Error::BodyTooLarge(_))));

    // Not announced: it ends soon after the cap; what the kernels buffer comes on top.
    let endless = Hostile::start(move |_| Act::Forever(unsized_head.clone(), vec![b'x'; 4096])).await;
    assert!(matches!(text(&client, &ask(endless.url("/"))).await, Err(Error::BodyTooLarge(_))));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let sent = endless.sent.load(SeqCst);
    assert!(sent < 16 * 1024 * 1024, "{sent}");

    // One byte now and then, always before the idle limit: the total limit ends it.
    let start = std::time::Instant::now();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let slow = Hostile::start(|_| Act::Drip(head.to_vec(), Duration::from_millis(30))).await;
    let mut request = ask(slow.url("/"));
    request.timeout = Some(Duration::from_secs(1));
    assert!(matches!(text(&client, &request).await, Err(Error::Timeout("the body"))));
    assert!(start.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn s4_silence_and_huge_heads_end() {
    let client = local_client();
    let silent = Hostile::start(|_| Act::Silence).await;
    assert!(matches!(client.get(&ask(silent.url("/"))).await, Err(Error::Timeout("the response"))));

    let stalled =
        Hostile::start(|_| Act::Keep(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec())).await;
    let body = client.get(&ask(stalled.url("/"))).await.unwrap().body;
    assert!(matches!(body.bytes().await, Err(Error::Timeout("the body"))));

    let line = vec![b'a'; 1024];
    let wide = Hostile::start(move |_| Act::Forever(b"HTTP/1.1 200 OK\r\nX: ".to_vec(), line.clone())).await;
    assert!(matches!(client.get(&ask(wide.url("/"))).await, Err(Error::Http(_))));
    assert!(wide.sent.load(SeqCst) < 16 * 1024 * 1024);

    let many =
        Hostile::start(|_| Act::Forever(b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(100))).await;
    assert!(matches!(client.get(&ask(many.url("/"))).await, Err(Error::Http(_))));

    for nonsense in
        ["", "\0\0\0\0", "HTTP/9.9 200 OK\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 OK\r\n\r\n"]
    {
        let server = Hostile::sends(nonsense).await;
        assert!(matches!(client.get(&ask(server.url("/"))).await, Err(Error::Http(_))), "{nonsense:?}");
    }
    let short = Hostile::sends("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx").await;
    assert!(matches!(text(&client, &ask(short.url("/"))).await, Err(Error::Http(_))));
    let two = Hostile::sends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc").await;
    assert!(matches!(text(&client, &ask(two.url("/"))).await, Err(Error::Http(_))));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip_reply(body: &[u8]) -> Vec<u8> {
    let mut reply =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    reply.extend_from_slice(body);
    reply
}

#[tokio::test]
async fn gzip_is_decoded_up_to_the_cap_exactly() {
    let exact = usize::try_from(CAP).unwrap();
    let client = local_client();
    for len in [0, 1, 1000, exact] {
        let server = Hostile::sends(gzip_reply(&gzip(&vec![b'x'; len]))).await;
        assert_eq!(text(&client, &ask(server.url("/"))).await.unwrap().len(), len);
        assert!(server.head(0).contains("accept-encoding: gzip"));
    }
    let over = Hostile::sends(gzip_reply(&gzip(&vec![b'x'; exact + 1]))).await;
    assert!(matches!(text(&client, &ask(over.url("/"))).await, Err(Error::BodyTooLarge(CAP))));
}

#[tokio::test]
async fn p13_a_gzip_bomb_stops_at_the_cap() {
    // 10 MB that expand to 10 GB: one compressed megabyte of zeros, member data repeated for ever.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&zeros).unwrap();
    }
    let member = encoder.finish().unwrap();
    assert!(member.len() * 1000 < 64 << 20, "ratio 1000:1");
    // Cut before the end: the deflate stream simply never ends within the cap.
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    let server = Hostile::start(move |_| Act::Forever(head.clone(), member.clone())).await;
    let start = std::time::Instant::now();
    let mut response = local_client().get(&ask(server.url("/"))).await.unwrap();
    let mut handed = 0;
    let error = loop {
        match response.body.chunk().await {
            Ok(Some(chunk)) => handed += chunk.len() as u64,
            Ok(None) => panic!("the bomb ended"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::BodyTooLarge(CAP)), "{error}");
    assert!(handed <= CAP + 64 * 1024, "{handed}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn broken_and_unasked_encodings_are_errors() {
    let client = local_client();
    let whole = gzip(b"hello hello hello");
    for body in [&whole[..whole.len() - 4], &whole[..12], b"not gzip at all, but long enough to look", b""] {
        let server = Hostile::sends(gzip_reply(body)).await;
        let got = text(&client, &ask(server.url("/"))).await;
        assert!(matches!(got, Err(Error::BadEncoding)), "{body:?}: {got:?}");
    }
    for coding in ["br", "deflate", "gzip, gzip", "zstd", "compress"] {
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\nok");
        let server = Hostile::sends(reply).await;
        assert!(matches!(text(&client, &ask(server.url("/"))).await, Err(Error::BadEncoding)), "{coding}");
    }
}

#[tokio::test]
async fn connections_are_kept_and_closed_ones_replaced() {
    let server = Hostile::start(|head| {
        let keep = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
        // Says that it keeps the connection, and closes it.
        if head.contains("/liar") { Act::Send(keep) } else { Act::Keep(keep) }
    })
    .await;
    let client = local_client();
    for _ in 0..5 {
        assert_eq!(text(&client, &ask(server.url("/"))).await.unwrap(), "ok");
    }
    assert_eq!(server.hits(), 1);
    for _ in 0..5 {
        assert_eq!(text(&client, &ask(server.url("/liar"))).await.unwrap(), "ok");
    }
    assert!(server.hits() <= 6);
    // An unread body is never taken for the next answer.
    drop(client.get(&ask(server.url("/"))).await.unwrap());
    assert_eq!(text(&client, &ask(server.url("/"))).await.unwrap(), "ok");
}

#[tokio::test]
async fn no_proxy_is_used_and_the_host_header_names_the_port() {
    let server = Hostile::sends(OK).await;
    let client = Client::new(Config { resolver: everything_is_local(), ..quick(true) });
    let url = format!("http://tracker.example:{}/a%20b?x=%ff&y#fragment", server.addr.port());
    assert_eq!(text(&client, &ask(url)).await.unwrap(), "ok");
    let head = server.head(0);
    assert!(head.starts_with("get /a%20b?x=%ff&y http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: tracker.example:{}\r\n", server.addr.port())), "{head}");
    assert!(head.contains("user-agent: peerage/"));
}
