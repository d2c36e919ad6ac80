use peerage_base::ConnId;
use peerage_wire::handshake::Handshake;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::road::{BufferPool, ConnEvent, Connection, Outgoing};

const TORRENT: [u8; 20] = [5; 20];

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

fn admission(plain: bool, methods: Methods) -> Admission {
    Admission { plain, encrypted: Some(methods), tls: None, known: vec![[4; 20], TORRENT] }
}

fn rng(number: u64) -> Rng {
    Rng::from_number(number)
}

/// A handshake and a megabyte of blocks, both ways, arrive as they were sent.
pub(in crate::road) async fn talk(a: Greeted, b: Greeted) {
    let pool = BufferPool::new(1 << 18, 4);
    let mut ends = Vec::new();
    for (number, greeted) in [(1, a), (2, b)] {
        let (sender, events) = mpsc::channel(64);
        ends.push((Connection::spawn(ConnId(number), greeted, sender, pool.clone()), events));
    }
    let handshake = Handshake::new(TORRENT, [9; 20]).encode().to_vec();
    let mut block = vec![0, 0, 0x40, 9, 7, 0, 0, 0, 3, 0, 0, 0, 0];
    block.extend((0..16384u32).map(|at| (at % 251) as u8));
    for (connection, _) in &ends {
        assert!(connection.send(Outgoing::Frames(handshake.clone())));
        for _ in 0..64 {
            assert!(connection.send(Outgoing::Blocks { bytes: block.clone().into(), payload: 16384 }));
        }
    }
    for (_, events) in &mut ends {
        let mut got: Vec<u8> = Vec::new();
        while got.len() < handshake.len() + 64 * block.len() {
            match events.recv().await.unwrap() {
                ConnEvent::Received(_, received) => {
                    let (first, _) = received.frames.first().unwrap();
                    let complete: usize = received.frames.iter().map(|(_, frame)| len_of(frame)).sum();
                    got.extend(&received.bytes[*first..first + complete]);
                }
                ConnEvent::Sent(..) => {}
                event => panic!("{event:?}"),
            }
        }
        assert_eq!(got[..68], handshake);
        assert!(got[68..].chunks(block.len()).all(|chunk| chunk == block));
    }
}

fn len_of(frame: &peerage_wire::frame::Frame) -> usize {
    use peerage_wire::frame::Frame;
    match frame {
        Frame::Block { data, .. } => data.end,
        Frame::Message(range) | Frame::Handshake(range) => range.end,
    }
}

#[tokio::test]
async fn both_methods_carry_the_wire() {
    for (offered, accepted, method) in [
        (Methods::Rc4First, Methods::PlainFirst, Method::Plain),
        (Methods::Rc4Only, Methods::PlainFirst, Method::Rc4),
        (Methods::PlainFirst, Methods::Rc4Only, Method::Rc4),
    ] {
        let (ours, theirs) = pair().await;
        let (a, b) = tokio::join!(
            encrypt(ours, TORRENT, offered, rng(1)),
            greet(theirs, admission(false, accepted), rng(2)),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.method, b.method), (Some(method), Some(method)));
        assert_eq!((a.info_hash, b.info_hash), (Some(TORRENT), Some(TORRENT)));
        talk(a, b).await;
    }
}

#[tokio::test]
async fn a_plain_start_is_let_in_or_refused() {
    for plain in [true, false] {
        let (mut ours, theirs) = pair().await;
        let bytes = Handshake::new(TORRENT, [9; 20]).encode();
        ours.write_all(&bytes[..30]).await.unwrap();
        let greeted = greet(theirs, admission(plain, Methods::Rc4Only), rng(1)).await;
        match plain {
            true => assert_eq!(greeted.unwrap().early, bytes[..30]),
            false => assert!(matches!(greeted, Err(GreetError::Plain))),
        }
    }
}

#[tokio::test]
async fn who_speaks_another_protocol_is_left_early() {
    let (mut ours, theirs) = pair().await;
    let flood = tokio::spawn(async move {
        let mut sent = 0;
        while let Ok(len) = ours.write(&[b'x'; 4096]).await {
            sent += len;
        }
        sent
    });
    let greeted = greet(theirs, admission(true, Methods::PlainFirst), rng(1)).await;
    assert!(matches!(greeted, Err(GreetError::Encryption(mse::Error::NoSync))));
    assert!(flood.await.unwrap() < 32 << 20, "the socket is closed");
}

#[tokio::test]
async fn a_peer_that_closes_or_picks_what_was_not_offered_fails() {
    let (ours, theirs) = pair().await;
    drop(theirs);
    let result = encrypt(ours, TORRENT, Methods::PlainFirst, rng(1)).await;
    assert!(matches!(result, Err(GreetError::Io(_))));
    let (ours, theirs) = pair().await;
    let wrong = Admission { known: vec![[4; 20]], ..admission(true, Methods::PlainFirst) };
    let (a, b) =
        tokio::join!(encrypt(ours, TORRENT, Methods::PlainFirst, rng(1)), greet(theirs, wrong, rng(2)));
    assert!(matches!(b, Err(GreetError::Encryption(mse::Error::UnknownTorrent))));
    assert!(a.is_err());
}
