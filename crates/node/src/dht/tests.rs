//! Real sockets on loopback: a network of nodes in this process.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_base::addr::Ranges;
use peerage_base::{Key, Rng};
use peerage_net::egress::Egress;
use peerage_net::udp::Socket;
use peerage_net::utp::{Config as UtpConfig, UtpSocket};
use peerage_overlay::mainline::{Config, Item, Report};
use peerage_wire::krpc::Id;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Answer, Dht, Lookup, Setup};

const LIMIT: Duration = Duration::from_secs(30);

/// A node and where it is.
struct Node {
    dht: Dht,
    addr: SocketAddr,
}

impl Node {
    fn start(seeds: &[SocketAddr], state_dir: Option<&Path>) -> Self {
        Self::with(seeds, state_dir, false, Config::default())
    }

    fn with(seeds: &[SocketAddr], state_dir: Option<&Path>, read_only: bool, config: Config) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), &Egress::default()).unwrap();
        let settings = UtpConfig { connections_max: 0, ..UtpConfig::default() };
        let socket = Arc::new(UtpSocket::spawn(socket, settings, Rng::new(seed)));
        let addr = socket.local_addr();
        let setup = Setup {
            sockets: vec![socket],
            seeds: seeds.iter().map(ToString::to_string).collect(),
            ranges: Ranges::new(true, &[]),
            read_only,
            state_dir: state_dir.map(Path::to_path_buf),
            config,
        };
        Self { dht: Dht::start(setup).unwrap(), addr }
    }

    /// Waits until the table has so many nodes; for how long that took.
    async fn joined(&self, nodes: usize) -> Duration {
        let begun = Instant::now();
        while self.dht.status().await.unwrap().nodes[0] < nodes {
            assert!(begun.elapsed() < LIMIT, "{} knows too few nodes", self.addr);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }

    async fn look(&self, lookup: Lookup) -> (Vec<Answer>, Report) {
        let (sender, mut receiver) = mpsc::channel(1024);
        self.dht.look(lookup, Box::new(move |answer| drop(sender.try_send(answer))));
        let mut answers = Vec::new();
        loop {
            match tokio::time::timeout(LIMIT, receiver.recv()).await.unwrap().unwrap() {
                Answer::Done(report) => return (answers, report),
                answer => answers.push(answer),
            }
        }
    }

    /// Announces until eight nodes have taken it: where all nodes share a busy machine, a look-up may end before its
    /// answers are read.
    async fn announce(&self, hash: Id) {
        let begun = Instant::now();
        while self.look(Lookup::Announce(hash, Some(7000), true)).await.1.stored < 8 {
            assert!(begun.elapsed() < LIMIT, "{} announces in vain", self.addr);
        }
    }

    /// The same for a look-up, until it finds somebody.
    async fn first_peers(&self, hash: Id) -> Vec<SocketAddr> {
        let begun = Instant::now();
        loop {
            let peers = self.peers(hash).await;
            if !peers.is_empty() {
                return peers;
            }
            assert!(begun.elapsed() < LIMIT, "{} finds nobody", self.addr);
        }
    }

    async fn peers(&self, hash: Id) -> Vec<SocketAddr> {
        let (answers, _) = self.look(Lookup::Peers(hash)).await;
        let addrs = answers.into_iter().filter_map(|answer| match answer {
            Answer::Peers(addrs) => Some(addrs),
            _ => None,
        });
        addrs.flatten().collect()
    }

    async fn item(&self, target: Id, salt: &[u8]) -> Option<Item> {
        let (answers, _) = self.look(Lookup::Get(target, salt.to_vec())).await;
        let items = answers.into_iter().filter_map(|answer| match answer {
            Answer::Item(item) => Some(item),
            _ => None,
        });
        items.max_by_key(Item::seq)
    }
}

/// So many nodes, each of which begins at the first.
async fn network(size: usize) -> Vec<Node> {
    let first = Node::start(&[], None);
    let seed = [first.addr];
    let mut nodes = vec![first];
    for _ in 1..size {
        nodes.push(Node::start(&seed, None));
    }
    for node in &nodes {
        node.joined(8.min(size - 1)).await;
    }
    nodes
}

#[tokio::test]
async fn what_one_of_twenty_announces_another_finds() {
    let nodes = network(20).await;
    for n in 0..10 {
        let hash = Key([n; 20]);
        nodes[usize::from(n)].announce(hash).await;
        let expected = SocketAddr::new(nodes[usize::from(n)].addr.ip(), 7000);
        assert_eq!(nodes[19 - usize::from(n)].first_peers(hash).await, [expected]);
    }
    // Where no port is named, it is that of the datagrams.
    let hash = Key([200; 20]);
    nodes[3].look(Lookup::Announce(hash, None, false)).await;
    assert_eq!(nodes[4].first_peers(hash).await, [nodes[3].addr]);
    assert!(nodes[5].peers(Key([201; 20])).await.is_empty());
}

#[tokio::test]
async fn a_node_that_only_asks_gets_items_of_every_length() {
    let nodes = network(5).await;
    let reader = Node::with(&[nodes[2].addr], None, true, Config::default());
    reader.joined(1).await;
    for len in [1, 300, 995] {
        let value = [format!("{len}:").as_bytes(), &vec![b'x'; len]].concat();
        let item = Item::new(value, None, Vec::new()).unwrap();
        let (_, report) = nodes[1].look(Lookup::Put(item.clone())).await;
        assert!(report.stored >= 4, "{report:?}");
        assert_eq!(reader.item(item.target(), b"").await, Some(item));
    }
    for node in &nodes {
        assert_eq!(node.dht.status().await.unwrap().nodes[0], 4, "nobody takes it up");
    }
}

/// Twenty times: a node is told of a bootstrap node, ends, and comes back when that one is dead.
#[tokio::test]
async fn a_node_rejoins_by_what_it_remembers() {
    let mut nodes = network(20).await;
    let hash = Key([9; 20]);
    nodes[5].announce(hash).await;
    let bootstrap = nodes.remove(0);
    let dead = bootstrap.addr;
    let mut first_runs = JoinSet::new();
    for _ in 0..20 {
        first_runs.spawn(async move {
            let dir = tempfile::tempdir().unwrap();
            let node = Node::start(&[dead], Some(dir.path()));
            node.joined(8).await;
            let id = node.dht.status().await.unwrap().ids[0];
            node.dht.close().await;
            (dir, id)
        });
    }
    let homes = first_runs.join_all().await;
    bootstrap.dht.close().await;
    let mut second_runs = JoinSet::new();
    for (dir, id) in homes {
        second_runs.spawn(async move {
            let node = Node::start(&[dead], Some(dir.path()));
            let taken = node.joined(8).await;
            let status = node.dht.status().await.unwrap();
            assert_eq!(status.ids[0], id, "it is the one that it was");
            assert!(status.remembered >= 8);
            assert_eq!(node.first_peers(hash).await.len(), 1);
            taken
        });
    }
    let mut taken = second_runs.join_all().await;
    taken.sort_unstable();
    println!("{} of 20 rejoined, the slowest within {:?}", taken.len(), taken[19]);
    // The control: who remembers nothing finds nobody.
    let lost = Node::start(&[dead], None);
    assert!(lost.peers(hash).await.is_empty());
}

#[tokio::test]
async fn two_runs_in_one_folder_are_two_nodes_and_spoil_nothing() {
    let nodes = network(10).await;
    let dir = tempfile::tempdir().unwrap();
    let seeds = [nodes[0].addr];
    // A save is another file of the same name.
    let saved = || std::fs::metadata(dir.path().join("dht.nodes")).unwrap().ino();
    let first = Node::start(&seeds, Some(dir.path()));
    first.joined(8).await;
    first.dht.close().await;
    let remembered = saved();
    let one = Node::start(&seeds, Some(dir.path()));
    let other = Node::start(&[], Some(dir.path()));
    for node in [&one, &other] {
        node.joined(8).await;
    }
    let (one_id, other_id) = (one.dht.status().await.unwrap().ids, other.dht.status().await.unwrap().ids);
    assert_ne!(one_id[0], other_id[0], "no identifier is at two addresses");
    other.dht.close().await;
    assert_eq!(saved(), remembered, "the one that came second saves nothing");
    one.dht.close().await;
    assert_ne!(saved(), remembered);
}

#[tokio::test]
async fn a_damaged_file_costs_what_was_remembered_and_nothing_else() {
    let nodes = network(10).await;
    let dir = tempfile::tempdir().unwrap();
    for damaged in [&b""[..], b"d2:id", b"\xff\x00 nonsense", &[b'd'; 100_000]] {
        std::fs::write(dir.path().join("dht.nodes"), damaged).unwrap();
        let node = Node::start(&[nodes[0].addr], Some(dir.path()));
        node.joined(8).await;
        assert_eq!(node.dht.status().await.unwrap().remembered, 0);
        node.dht.close().await;
        let again = Node::start(&[], Some(dir.path()));
        again.joined(8).await;
        again.dht.close().await;
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_everything_is_an_end() {
    let nodes = network(5).await;
    let node = Node::start(&[nodes[0].addr], None);
    let (sender, mut receiver) = mpsc::channel::<()>(1);
    for n in 0..200 {
        let sender = sender.clone();
        node.dht.look(Lookup::Peers(Key([n; 20])), Box::new(move |_| _ = sender.try_send(())));
    }
    drop(sender);
    node.dht.close().await;
    while tokio::time::timeout(LIMIT, receiver.recv()).await.unwrap().is_some() {}
}

/// Bytes of memory that are this process's alone.
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Five hundred nodes with real sockets in one process: look-ups per second, memory of each, idle traffic.
#[tokio::test]
#[ignore = "500 nodes: half a minute, in release"]
async fn five_hundred_nodes_in_one_process() {
    const NODES: usize = 500;
    let before = memory_bytes();
    let nodes = network(NODES).await;
    for n in 0..50 {
        nodes[n * 7].announce(Key([n as u8 * 5; 20])).await;
    }
    let each = (memory_bytes() - before) / NODES as u64;
    let nodes = Arc::new(nodes);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let nodes = Arc::clone(&nodes);
        tasks.spawn(async move {
            let (mut found, mut first) = (0, Vec::new());
            for n in 0..50_usize {
                let at = (task * 31 + n * 13) % NODES;
                let (_, report) = nodes[at].look(Lookup::Peers(Key([n as u8 * 5; 20]))).await;
                found += usize::from(report.found);
                first.extend(report.first);
            }
            (found, first)
        });
    }
    let results = tasks.join_all().await;
    let taken = begun.elapsed();
    let found: usize = results.iter().map(|(found, _)| found).sum();
    let mut first: Vec<Duration> = results.into_iter().flat_map(|(_, first)| first).collect();
    first.sort_unstable();
    println!(
        "{NODES} nodes, {} KiB each; 800 look-ups in {:.1} s: {:.0} per second, {found} found, first peers p50 {:?} p95 {:?}",
        each >> 10,
        taken.as_secs_f64(),
        800.0 / taken.as_secs_f64(),
        first[first.len() / 2],
        first[first.len() * 95 / 100],
    );
    assert!(found >= 792, "{found} of 800: fewer than 99 %");
    let datagrams = async || {
        let mut all = 0;
        for node in nodes.iter() {
            let stats = node.dht.status().await.unwrap().stats;
            all += stats.received;
        }
        all
    };
    let before = datagrams().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = datagrams().await - before;
    println!("idle: {:.2} datagrams received per node and second", idle as f64 / 10.0 / NODES as f64);
}

/// How many queries one node answers over a real socket, its limits lifted.
#[tokio::test]
#[ignore = "a measurement: seconds, in release"]
async fn queries_answered_per_second() {
    let config = Config { packets_per_s_max: u32::MAX, upload_bytes_per_s: u32::MAX, ..Config::default() };
    let node = Node::with(&[], None, false, config);
    let addr = node.addr;
    let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe";
    let (stop, stopped) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), Instant::now());
    let asker = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let (mut answers, mut buffer) = (0_u64, [0; 2048]);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // As many as the queue of the node takes.
                (0..64).for_each(|_| _ = socket.send_to(query, addr));
                answers += (0..64).take_while(|_| socket.recv(&mut buffer).is_ok()).count() as u64;
            }
            answers
        })
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let taken = stopped.elapsed().as_secs_f64();
    let answers = tokio::task::spawn_blocking(|| asker.join().unwrap()).await.unwrap();
    println!("{:.0} pings answered per second", answers as f64 / taken);
    assert!(answers > 0);
}
