use std::net::SocketAddr;
use std::time::Duration;

use peerage_base::Rng;
use peerage_wire::mse::Methods;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::road::{Admission, Connection, GreetError, Greeted, authenticate, greet};

const LIMIT: Duration = Duration::from_secs(5);
/// Far more than a handshake over loopback takes.
const PATIENCE: Duration = Duration::from_millis(500);

fn tls(number: u8) -> (Tls, PeerId) {
    let identity = Identity::from_seed([number; 32]);
    (Tls::new(&identity).unwrap(), identity.id())
}

fn admission(tls: Option<Tls>) -> Admission {
    Admission { plain: true, encrypted: Some(Methods::PlainFirst), tls, known: vec![[5; 20]] }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// What both ends have of each other when `dialler` expects `expected` at `acceptor`.
async fn meet(
    dialler: &Tls,
    expected: PeerId,
    acceptor: Option<Tls>,
) -> (Result<Greeted, GreetError>, Result<Greeted, GreetError>) {
    let (listener, addr) = listen().await;
    let accepted = async {
        let (stream, _) = listener.accept().await.unwrap();
        greet(stream, admission(acceptor), Rng::from_number(1)).await
    };
    let dialled =
        async { authenticate(TcpStream::connect(addr).await.unwrap(), Some(expected), dialler).await };
    tokio::time::timeout(LIMIT, async { tokio::join!(dialled, accepted) }).await.unwrap()
}

#[tokio::test]
async fn both_ends_know_each_other() {
    let ((a, a_id), (b, b_id)) = (tls(1), tls(2));
    let (dialled, accepted) = meet(&a, b_id, Some(b)).await;
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
    assert_eq!((dialled.peer, accepted.peer), (Some(b_id), Some(a_id)));
    crate::road::greet::tests::talk(dialled, accepted).await;
}

#[tokio::test]
async fn the_key_exchange_withstands_a_quantum_computer() {
    let ((a, _), (b, b_id)) = (tls(1), tls(2));
    let (dialled, _accepted) = meet(&a, b_id, Some(b)).await;
    let crate::road::Stream::Tls(session) = dialled.unwrap().stream else { panic!("not TLS") };
    let group = session.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn another_peer_than_the_expected_one_is_refused() {
    let ((a, _), (b, _), (_, c_id)) = (tls(1), tls(2), tls(3));
    let (dialled, accepted) = meet(&a, c_id, Some(b)).await;
    let error = dialled.unwrap_err().to_string();
    assert!(error.contains("another peer answers there"), "{error}");
    assert!(accepted.is_err());
}

#[tokio::test]
async fn where_tls_is_off_nobody_falls_back() {
    let ((a, _), (_, b_id)) = (tls(1), tls(2));
    let (dialled, accepted) = meet(&a, b_id, None).await;
    assert!(dialled.is_err());
    assert_eq!(accepted.unwrap_err().to_string(), "it starts with TLS, which is switched off here");
}

#[tokio::test]
async fn a_client_of_another_protocol_or_without_a_key_is_refused() {
    let (b, b_id) = tls(2);
    let provider = Arc::new(provider());
    let expect = Arc::new(Expect(Some(b_id), provider.signature_verification_algorithms));
    let builder = || {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13]).unwrap().dangerous();
        builder.with_custom_certificate_verifier(expect.clone())
    };
    let keys = Arc::new(AlwaysResolvesClientRawPublicKeys::new(tls(1).0.key));
    let mut configs = [
        builder().with_client_cert_resolver(keys.clone()),
        builder().with_client_cert_resolver(keys),
        builder().with_no_client_auth(),
    ];
    for (config, alpn) in configs.iter_mut().zip([&b"h2"[..], b"peerage/0", ALPN]) {
        config.alpn_protocols = vec![alpn.to_vec()];
    }
    for config in configs {
        let (listener, addr) = listen().await;
        let name = ServerName::try_from("peerage.invalid").unwrap();
        let client = async {
            let stream = TcpStream::connect(addr).await.unwrap();
            if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await {
                let _ = stream.read(&mut [0; 9]).await;
            }
        };
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            greet(stream, admission(Some(b.clone())), Rng::from_number(1)).await.map(|_| ())
        };
        let ((), accepted) =
            tokio::time::timeout(LIMIT, async { tokio::join!(client, server) }).await.unwrap();
        assert!(accepted.is_err());
    }
}

/// Passes bytes on from one end to the other and changes one, at `flip`. Returns them as they were.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    flip: Option<usize>,
) -> Vec<u8> {
    let (mut passed, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let before = passed.len();
        passed.extend(&buffer[..len]);
        if let Some(at) = flip.and_then(|flip| flip.checked_sub(before)).filter(|at| *at < len) {
            buffer[at] ^= 0xff;
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            break;
        }
    }
    passed
}

/// Whether two ends come so far that each reads what the other wrote, with one byte changed between
/// them: of those to the acceptor (`0`) or to the dialler (`1`). Also returns what each of them sent.
async fn survives(flip: Option<(usize, usize)>) -> (bool, [Vec<u8>; 2]) {
    let ((a, _), (b, b_id)) = (tls(1), tls(2));
    let ((listener, addr), (middle, middle_addr)) = (listen().await, listen().await);
    let at = |side| flip.filter(|(of, _)| *of == side).map(|(_, at)| at);
    let between = async move {
        let (front, _) = middle.accept().await.unwrap();
        let back = TcpStream::connect(addr).await.unwrap();
        let ((front_in, front_out), (back_in, back_out)) = (front.into_split(), back.into_split());
        let (up, down) = tokio::join!(pass(front_in, back_out, at(0)), pass(back_in, front_out, at(1)));
        [up, down]
    };
    let accepted = async {
        let (stream, _) = listener.accept().await.unwrap();
        exchange(greet(stream, admission(Some(b)), Rng::from_number(1)).await).await
    };
    let dialled = async {
        let stream = TcpStream::connect(middle_addr).await.unwrap();
        exchange(authenticate(stream, Some(b_id), &a).await).await
    };
    let all = async { tokio::join!(dialled, accepted, between) };
    // A changed length has an end wait for what never comes: the node's own limit of time ends that.
    let Ok((dialled, accepted, sent)) = tokio::time::timeout(PATIENCE, all).await else {
        return (false, Default::default());
    };
    (dialled && accepted, sent)
}

/// Whether a byte goes out and one comes in.
async fn exchange(greeted: Result<Greeted, GreetError>) -> bool {
    let Ok(Greeted { stream: crate::road::Stream::Tls(mut session), .. }) = greeted else { return false };
    let mut byte = [0];
    let done = session.write_all(&[7]).await.is_ok() && session.flush().await.is_ok();
    done && session.read_exact(&mut byte).await.is_ok() && byte == [7]
}

/// Where records have their version, which nobody has to look at (RFC 8446 section 5.1).
fn versions(sent: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(header) = sent.get(at..at + 5) {
        found.extend([at + 1, at + 2]);
        at += 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
    }
    found
}

#[tokio::test]
async fn any_changed_byte_of_the_handshake_ends_it() {
    let (whole, sent) = survives(None).await;
    assert!(whole && sent.iter().map(Vec::len).sum::<usize>() > 300, "{sent:?}");
    for (side, sent) in sent.iter().enumerate() {
        let ignored = versions(sent);
        for at in 0..sent.len() {
            let (survived, _) = survives(Some((side, at))).await;
            assert!(!survived || ignored.contains(&at), "byte {at} of side {side} changed unnoticed");
        }
    }
    println!("{} positions", sent.iter().map(Vec::len).sum::<usize>());
}

/// A connection over TLS behaves as one over TCP when its peer stops reading and when it is dropped.
#[tokio::test]
async fn what_was_queued_before_the_drop_arrives() {
    let ((a, _), (b, b_id)) = (tls(1), tls(2));
    let (dialled, accepted) = meet(&a, b_id, Some(b)).await;
    let (sender, _events) = tokio::sync::mpsc::channel(1024);
    let pool = crate::road::BufferPool::new(1 << 20, 2);
    let connection = Connection::spawn(peerage_base::ConnId(1), dialled.unwrap(), sender, pool);
    for _ in 0..100 {
        let bytes = vec![3; 100_000].into();
        assert!(connection.send(crate::road::Outgoing::Blocks { bytes, payload: 100_000 }));
    }
    drop(connection);
    let crate::road::Stream::Tls(mut session) = accepted.unwrap().stream else { panic!("not TLS") };
    let mut got = Vec::new();
    session.read_to_end(&mut got).await.expect("the end is told, not cut");
    assert_eq!(got.len(), 100 * 100_000);
}
