//! Servers of ill will, on loopback.

use crate::{
    dns::Resolver,
    guard::Policy,
    http::{Client, Config},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// What a server does with one request.
pub(crate) enum Act {
    /// Sends these bytes, and closes.
    Send(Vec<u8>),
    /// Sends these bytes, and stays open for the next request.
    Keep(Vec<u8>),
    /// Sends the first, then the second again and again until the client goes.
    Forever(Vec<u8>, Vec<u8>),
    /// Sends the first, then one byte after each pause until the client goes.
    Drip(Vec<u8>, Duration),
    /// Reads and says nothing.
    Silence,
}

/// A server that acts on the head of each request, and remembers it.
pub(crate) struct Hostile {
    pub(crate) addr: SocketAddr,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) sent: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Hostile {
    pub(crate) async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (connections, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        let (act, kept, count, bytes) = (Arc::new(act), heads.clone(), connections.clone(), sent.clone());
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                count.fetch_add(1, SeqCst);
                let (act, heads, sent) = (act.clone(), kept.clone(), bytes.clone());
                open.spawn(async move {
                    let (mut reader, mut writer) = stream.into_split();
                    while let Some(head) = read_head(&mut reader).await {
                        let what = act(&head);
                        heads.lock().unwrap().push(head);
                        if play(&mut writer, what, &sent).await.is_none() {
                            break;
                        }
                    }
                });
            }
        });
        Self { addr, heads, connections, sent, _tasks: tasks }
    }

    /// One that always sends `response`, and closes.
    pub(crate) async fn sends(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |_| Act::Send(response.clone())).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn head(&self, index: usize) -> String {
        self.heads.lock().unwrap()[index].to_ascii_lowercase()
    }

    pub(crate) fn hits(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

async fn play(writer: &mut (impl tokio::io::AsyncWrite + Unpin), act: Act, sent: &AtomicUsize) -> Option<()> {
    match act {
        Act::Send(bytes) => {
            sent.fetch_add(bytes.len(), SeqCst);
            writer.write_all(&bytes).await.ok()?;
            writer.shutdown().await.ok()?;
            None
        }
        Act::Keep(bytes) => writer.write_all(&bytes).await.ok(),
        Act::Forever(first, rest) => {
            writer.write_all(&first).await.ok()?;
            loop {
                writer.write_all(&rest).await.ok()?;
                // A turn for others, also when there is nothing to send.
                tokio::task::yield_now().await;
                sent.fetch_add(rest.len(), SeqCst);
            }
        }
        Act::Drip(first, pause) => {
            writer.write_all(&first).await.ok()?;
            loop {
                tokio::time::sleep(pause).await;
                writer.write_all(b"x").await.ok()?;
            }
        }
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            None
        }
    }
}

async fn read_head(reader: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(reader.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Listens on every address of this machine, TCP and UDP, and counts who comes.
pub(crate) struct Canary {
    pub(crate) port: u16,
    hits: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Canary {
    pub(crate) async fn start() -> Self {
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let addr = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(addr).await.unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (tcp_hits, udp_hits) = (hits.clone(), hits.clone());
        tasks.spawn(async move {
            while listener.accept().await.is_ok() {
                tcp_hits.fetch_add(1, SeqCst);
            }
        });
        tasks.spawn(async move {
            while socket.recv_from(&mut [0; 64]).await.is_ok() {
                udp_hits.fetch_add(1, SeqCst);
            }
        });
        Self { port: addr.port(), hits, _tasks: tasks }
    }

    /// Connections and packets so far.
    pub(crate) async fn hits(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.hits.load(SeqCst)
    }
}

/// A resolver under the attacker's control: every name is this machine.
pub(crate) fn everything_is_local() -> Resolver {
    Resolver::Fixed(Arc::new(|_, port| Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)])))
}

/// Settings with short waits.
pub(crate) fn quick(allow_local: bool) -> Config {
    Config {
        policy: Policy { allow_local },
        resolver: everything_is_local(),
        connect_timeout: Duration::from_secs(2),
        header_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_secs(2),
        ..Config::default()
    }
}

/// A client with short waits that may dial loopback.
pub(crate) fn local_client() -> Client {
    Client::new(quick(true))
}

/// The hosts of threats.md S1: every way to write an address of this machine, of a local network,
/// or of a metadata service; and names that lead there.
pub(crate) const LOCAL_HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7F.0x0.0x0.0x1",
    "127.0.0.1.",
    "0x7f.0.0.1.",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127．0．0．1",
    "１２７.0.0.1",
    "0",
    "0.0.0.0",
    "0.0",
    "0x0",
    "0.0.0.1",
    "0.255.255.255",
    "localhost",
    "LOCALHOST",
    "LocalHost.",
    "localhost.",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "foo.localhost",
    "foo.localhost.",
    "localhost.localdomain",
    "printer.local",
    "router.lan",
    "metadata.google.internal",
    "ip6-localhost",
    "tracker.example",
    "xn--e1afmkfd.example",
    "пример.example",
    "127.0.0.1.nip.example",
    "10.0.0.1",
    "10.255.255.255",
    "0xa.0.0.1",
    "012.0.0.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.1.254",
    "3232235521",
    "0xc0a80001",
    "0300.0250.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:0:0:0:0:0:80ff:fffe]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[::1%25lo]",
    "user@127.0.0.1",
    "user:password@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "example.com%2f@127.0.0.1",
    "127.0.0.1\t",
    "127.0.0\n.1",
];
