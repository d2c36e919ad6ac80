use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A connection over loopback, its events, and the peer's socket, which reads nothing by itself.
async fn pair() -> (Connection, mpsc::Receiver<ConnEvent>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stream, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    let (sender, events) = mpsc::channel(64);
    let greeted = Greeted::plain(stream.unwrap());
    let connection = Connection::spawn(ConnId(1), greeted, sender, BufferPool::new(1 << 20, 4));
    (connection, events, accepted.unwrap().0)
}

fn blocks(len: usize) -> Outgoing {
    Outgoing::Blocks { bytes: vec![0; len].into(), payload: len }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_let_go_soon_after_the_drop() {
    let (connection, mut events, mut peer) = pair().await;
    // More than the kernel takes, and more buffers than the writer looks at in one go.
    for _ in 0..100 {
        assert!(connection.send(blocks(1 << 20)));
    }
    // The writer has to be waiting for the peer by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = Instant::now();
    drop(connection);
    // Both tasks hold a sender of events: they are over when the channel is.
    let over = async { while events.recv().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(4), over).await.expect("the writer is still there");
    assert!(before.elapsed() >= FLUSH_LIMIT, "the peer had its two seconds");
    // The peer gets what the kernel had, and the end.
    let mut got = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(4), peer.read_to_end(&mut got)).await;
    let _ = end.expect("the socket is still open");
    assert!(got.len() < 100 << 20);
}

#[tokio::test]
async fn what_was_queued_before_the_drop_reaches_a_peer_that_reads() {
    let (connection, mut events, mut peer) = pair().await;
    for _ in 0..100 {
        assert!(connection.send(blocks(100_000)));
    }
    assert!(connection.send(Outgoing::Frames(vec![7; 10])));
    drop(connection);
    let mut got = Vec::new();
    let all = async {
        tokio::join!(peer.read_to_end(&mut got), async { while events.recv().await.is_some() {} }).0
    };
    tokio::time::timeout(Duration::from_secs(4), all).await.unwrap().unwrap();
    assert_eq!(got.len(), 100 * 100_000 + 10);
    assert!(got.ends_with(&[7; 10]));
}

#[tokio::test]
async fn frames_for_a_peer_that_reads_nothing_are_bounded_by_bytes() {
    let (connection, _events, mut peer) = pair().await;
    // The kernel takes no more: from here on everything waits.
    for _ in 0..32 {
        assert!(connection.send(blocks(1 << 20)));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let frame = 100_000;
    let mut taken = 0;
    while taken < OUTGOING_MAX / 2 && connection.send(Outgoing::Frames(vec![0; frame])) {
        taken += 1;
    }
    assert_eq!(taken, FRAMES_BYTES_MAX / frame);
    assert!(connection.send(blocks(1)), "blocks have their own bound");
    assert!(connection.send(Outgoing::Frames(vec![0; FRAMES_BYTES_MAX % frame])), "it may be full");
    // What the peer reads makes room again.
    let mut rest = vec![0; (32 << 20) + FRAMES_BYTES_MAX + 1];
    tokio::time::timeout(Duration::from_secs(10), peer.read_exact(&mut rest)).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(connection.send(Outgoing::Frames(vec![0; FRAMES_BYTES_MAX])));
}
