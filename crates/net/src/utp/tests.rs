use super::*;
use crate::egress::Egress;
use peerage_base::Duration as BaseDuration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(20);

fn socket(seed: u64, config: Config) -> UtpSocket {
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), &Egress::default()).unwrap();
    UtpSocket::spawn(socket, config, Rng::from_number(seed))
}

/// Two sockets, and both ends of a connection: that of the one who dialled first.
async fn pair(config: Config) -> (UtpSocket, UtpSocket, UtpStream, UtpStream) {
    let (a, b) = (socket(1, config), socket(2, config));
    let mut dialled = a.dial(b.local_addr(), LIMIT).await.unwrap();
    // A connection is taken once its opener has shown itself.
    dialled.write_all(b"?").await.unwrap();
    let mut accepted = limited(b.accept()).await;
    assert_eq!(accepted.read_u8().await.unwrap(), b'?');
    assert_eq!((dialled.peer_addr(), accepted.peer_addr()), (b.local_addr(), a.local_addr()));
    (a, b, dialled, accepted)
}

async fn limited<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("in time")
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|place| (place * 7 + place / 251) as u8).collect()
}

#[tokio::test]
async fn bytes_cross_both_ways_at_once_and_both_streams_end() {
    let (_a, _b, dialled, accepted) = pair(Config::default()).await;
    let sent = pattern(8 * 1024 * 1024);
    let side = |stream: UtpStream| {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent = sent.clone();
        async move {
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (_, read) = tokio::join!(write, reader.read_to_end(&mut received));
            read.unwrap();
            received
        }
    };
    let (one, two) = limited(async { tokio::join!(side(dialled), side(accepted)) }).await;
    assert!(one == sent && two == sent);
}

#[tokio::test]
async fn what_was_written_arrives_after_stream_and_socket_were_dropped() {
    let (a, _b, mut dialled, mut accepted) = pair(Config::default()).await;
    let sent = pattern(200_000);
    limited(dialled.write_all(&sent)).await.unwrap();
    drop((dialled, a));
    let mut received = Vec::new();
    limited(accepted.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer() {
    let (_a, _b, mut dialled, mut accepted) = pair(Config::default()).await;
    let chunk = pattern(64 * 1024);
    let mut written = 0;
    // It stops when no room comes for long enough that everything that was sent has arrived.
    while let Ok(len) = tokio::time::timeout(Duration::from_millis(300), dialled.write(&chunk)).await {
        written += len.unwrap();
        assert!(written < 2 * 1024 * 1024);
    }
    let reads = async {
        let mut read = 0;
        let mut buf = vec![0; 100_000];
        while read < written {
            read += accepted.read(&mut buf).await.unwrap();
        }
        read
    };
    assert_eq!(limited(reads).await, written);
    limited(dialled.write_all(&chunk)).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_vanishes_is_given_up() {
    let config = Config { dead_after: BaseDuration::from_secs(1), ..Config::default() };
    let (a, b) =
        (socket(1, config), Socket::bind("127.0.0.1:0".parse().unwrap(), &Egress::default()).unwrap());
    let to = b.local_addr();
    let b = UtpSocket::spawn(b, Config::default(), Rng::from_number(2));
    let mut dialled = a.dial(to, LIMIT).await.unwrap();
    dialled.write_all(b"?").await.unwrap();
    let accepted = limited(b.accept()).await;
    // Its task ends without a word: the runtime that it lives in is gone.
    b.shared.vanish();
    dialled.write_all(b"anybody?").await.unwrap();
    let error = limited(dialled.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(accepted);
}

#[tokio::test]
async fn nobody_there() {
    let a = socket(1, Config::default());
    // A socket that hears, and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = a.dial(silent.local_addr().unwrap(), Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    limited(async {
        while !a.shared.lock().endpoint.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_reaches_reader_and_writer() {
    let (_a, _b, mut dialled, accepted) = pair(Config::default()).await;
    accepted.reset();
    let error = limited(dialled.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(dialled.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn streams_of_a_dropped_socket_say_so() {
    let (a, b, mut dialled, accepted) = pair(Config::default()).await;
    drop(a);
    // The other end answers nothing more, so the two seconds pass.
    b.shared.vanish();
    assert_eq!(limited(dialled.read_u8()).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    drop(accepted);
}

#[tokio::test]
async fn datagrams_are_told_apart() {
    let a = socket(1, Config::default());
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let send = |bytes: &'static [u8]| other.send_to(bytes, a.local_addr());
    let dropped = |count: u64| {
        let a = &a;
        limited(async move {
            while a.dropped() < count {
                tokio::task::yield_now().await;
            }
        })
    };
    // Nobody reads the DHT's yet; the others are nothing.
    for bytes in [&b"d1:y1:qe"[..], b"GET /", b"\x42"] {
        send(bytes).await.unwrap();
    }
    dropped(3).await;
    let mut krpc = a.subscribe_krpc();
    send(b"d1:y1:qe").await.unwrap();
    let (from, message) = limited(krpc.recv()).await.unwrap();
    assert_eq!((from, &message[..]), (other.local_addr().unwrap(), &b"d1:y1:qe"[..]));
    a.send_krpc(from, b"d1:y1:re").unwrap();
    let mut answer = [0; 20];
    assert_eq!(limited(other.recv(&mut answer)).await.unwrap(), 8);
    assert_eq!(a.dropped(), 3);
    // Junk of every length does no harm to a connection.
    let b = socket(2, Config::default());
    let mut dialled = a.dial(b.local_addr(), LIMIT).await.unwrap();
    for len in [1, 19, 20, 1500, 65_507] {
        other.send_to(&vec![0x01; len], a.local_addr()).await.unwrap();
    }
    dialled.write_all(b"!").await.unwrap();
    assert_eq!(limited(limited(b.accept()).await.read_u8()).await.unwrap(), b'!');
}

#[tokio::test]
async fn both_families_and_a_port_that_is_taken() {
    let six = Socket::bind("[::1]:0".parse().unwrap(), &Egress::default()).unwrap();
    assert!(Socket::bind(six.local_addr(), &Egress::default()).is_err());
    let port = six.local_addr().port();
    let four = Socket::bind(SocketAddr::from(([127, 0, 0, 1], port)), &Egress::default()).unwrap();
    let six = UtpSocket::spawn(six, Config::default(), Rng::from_number(1));
    let four = UtpSocket::spawn(four, Config::default(), Rng::from_number(2));
    let other = Socket::bind("[::1]:0".parse().unwrap(), &Egress::default()).unwrap();
    let other = UtpSocket::spawn(other, Config::default(), Rng::from_number(3));
    let mut dialled = other.dial(six.local_addr(), LIMIT).await.unwrap();
    dialled.write_all(b"6").await.unwrap();
    assert_eq!(limited(limited(six.accept()).await.read_u8()).await.unwrap(), b'6');
    assert!(four.local_addr().is_ipv4());
}
