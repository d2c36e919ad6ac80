//! Hole punching (BEP 55), on simulated walls and message by message.

use crate::common::{self, Bench, HASH, at, dials, sent};
use peerage_base::limits::HOLEPUNCHES_PER_MINUTE_MAX;
use peerage_base::{ConnId, Duration};
use peerage_peer::sim::{Content, How, Net, NodeSpec};
use peerage_peer::{Authentication, Config, Handshake, Output, Road, RoadKind};
use peerage_swarm::Message;
use peerage_wire::extension::{self, Extended, Holepunch, HolepunchError, Ids, LOCAL_IDS};

const KIB: u64 = 1024;

fn config() -> Config {
    Config { utp: true, authentication: Authentication::Off, ..Config::default() }
}

/// Two peers that nothing reaches, and one that both dial.
#[test]
fn walls_are_crossed_with_the_help_of_who_knows_both() {
    for utp in [true, false] {
        let mut net = Net::new(7);
        let content = Content::new(7, 64 * 1024 * KIB as usize, 256 * KIB as u32);
        let spec = NodeSpec::with_rates(64 * KIB, 1024 * KIB);
        let spec = NodeSpec { config: Config { utp, ..config() }, ..spec };
        let hub = net.add(spec.clone());
        net.share(hub, &content);
        let walled = NodeSpec { walled: true, ..spec };
        // The first one hears of nobody, so that the two do not dial each other at the same moment by chance.
        let swarm = peerage_swarm::Config { pex: false, ..peerage_swarm::Config::default() };
        let pair = [net.add(NodeSpec { swarm, ..walled.clone() }), net.add(walled)];
        for id in pair {
            net.fetch(id, &content, How::Torrent, &[hub], false);
        }
        net.run_for(Duration::from_secs(20));
        let roads: Vec<Vec<RoadKind>> = pair
            .iter()
            .zip(pair.iter().rev())
            .map(|(id, other)| {
                let torrent = net.peer(*id).torrents().next().unwrap();
                let peers = net.peer(*id).peers(torrent).into_iter();
                peers.filter(|peer| peer.addr == net.addr(*other)).map(|peer| peer.road).collect()
            })
            .collect();
        let expected = if utp { vec![RoadKind::Utp] } else { Vec::new() };
        assert_eq!(roads, [expected.clone(), expected], "uTP {utp}");
        assert_eq!(net.peer(hub).stats().introductions > 0, utp);
    }
}

/// A peer that takes part, up.
fn punching(bench: &mut Bench, addr: &str, id: u8, road: RoadKind) -> ConnId {
    let conn = bench.peer.accept_over(bench.now, at(addr), road).unwrap();
    bench.greet(conn, Handshake::new(HASH, [id; 20]));
    let ids = Ids { holepunch: Some(9), ..Ids::default() };
    let theirs = extension::Handshake { ids, port: Some(7000), ..extension::Handshake::default() };
    say(bench, conn, extension::HANDSHAKE_ID, theirs.encode());
    conn
}

fn say(bench: &mut Bench, conn: ConnId, id: u8, payload: Vec<u8>) -> Vec<Output> {
    let mut frame = Vec::new();
    Message::Extended { id, payload }.encode(&mut frame);
    bench.peer.handle_frame(bench.now, conn, &frame[4..]);
    bench.drain()
}

fn punch(bench: &mut Bench, conn: ConnId, message: Holepunch) -> Vec<Output> {
    say(bench, conn, LOCAL_IDS.holepunch.unwrap(), message.encode())
}

/// What a peer that calls the extension 9 is told.
fn told(outputs: &[Output], conn: ConnId) -> Vec<Holepunch> {
    let bytes = sent(outputs, conn);
    let mut rest = &bytes[..];
    let mut found = Vec::new();
    while rest.len() >= 4 {
        let (len, tail) = rest.split_at(4);
        let (frame, tail) = tail.split_at(u32::from_be_bytes(len.try_into().unwrap()) as usize);
        rest = tail;
        if let Ok(Message::Extended { id: 9, payload }) = Message::decode(frame)
            && let Ok(Extended::Holepunch(message)) = extension::decode(4, &payload)
        {
            found.push(message);
        }
    }
    found
}

fn bench() -> Bench {
    let mut bench = Bench::new(config());
    bench.add(common::params());
    bench
}

/// Each is told where the other's uTP comes from; who is not there, or does not take part, is named so.
#[test]
fn we_introduce_those_that_we_know() {
    let mut bench = bench();
    let asks = punching(&mut bench, "9.9.9.9:1111", 1, RoadKind::Utp);
    let asked = punching(&mut bench, "8.8.8.8:2222", 2, RoadKind::Utp);
    // Over TCP, its port is another; its listening port is what a router may keep.
    let tcp = punching(&mut bench, "7.7.7.7:3333", 3, RoadKind::Tcp);
    let deaf = bench.incoming(at("6.6.6.6:4444"), [4; 20]).unwrap();

    let outputs = punch(&mut bench, asks, Holepunch::Rendezvous(at("8.8.8.8:2222")));
    assert_eq!(told(&outputs, asks), [Holepunch::Connect(at("8.8.8.8:2222"))]);
    assert_eq!(told(&outputs, asked), [Holepunch::Connect(at("9.9.9.9:1111"))]);
    let outputs = punch(&mut bench, asks, Holepunch::Rendezvous(at("7.7.7.7:7000")));
    assert_eq!(told(&outputs, asks), [Holepunch::Connect(at("7.7.7.7:7000"))]);
    assert_eq!(told(&outputs, tcp), [Holepunch::Connect(at("9.9.9.9:1111"))]);

    for (target, error) in [
        ("5.5.5.5:5", HolepunchError::NotConnected),
        ("6.6.6.6:4444", HolepunchError::NoSupport),
        ("9.9.9.9:1111", HolepunchError::NoSelf),
    ] {
        let outputs = punch(&mut bench, asks, Holepunch::Rendezvous(at(target)));
        assert_eq!(told(&outputs, asks), [Holepunch::Failed(at(target), error)]);
        assert!(told(&outputs, deaf).is_empty() && told(&outputs, asked).is_empty());
    }
}

/// An introduction is dialled over uTP at once, but not into our own network, and not without end.
#[test]
fn an_introduction_is_dialled_within_bounds() {
    let mut bench = bench();
    let introducer = punching(&mut bench, "9.9.9.9:1111", 1, RoadKind::Utp);
    let outputs = punch(&mut bench, introducer, Holepunch::Connect(at("8.8.8.8:2222")));
    let over_utp = |output: &Output| matches!(output, Output::Dial { road: Road::Utp, .. });
    assert_eq!(dials(&outputs).len(), 1);
    assert!(outputs.iter().any(over_utp), "{outputs:?}");
    for addr in ["192.168.1.1:80", "127.0.0.1:22", "9.9.9.9:1111", "8.8.8.8:2222", "3.3.3.3:0"] {
        let outputs = punch(&mut bench, introducer, Holepunch::Connect(at(addr)));
        assert!(dials(&outputs).is_empty(), "{addr}");
    }
    let heeded = HOLEPUNCHES_PER_MINUTE_MAX as usize;
    let flood = |bench: &mut Bench| {
        (0..4 * heeded)
            .map(|n| {
                bench.pass(Duration::from_millis(50));
                let victim = at(&format!("1.1.1.1:{}", 1000 + n));
                let outputs = punch(bench, introducer, Holepunch::Rendezvous(victim));
                told(&outputs, introducer).len()
            })
            .sum::<usize>()
    };
    assert_eq!(flood(&mut bench), heeded - 6);
    bench.pass(Duration::from_secs(60));
    assert_eq!(flood(&mut bench), heeded);
}

/// Without uTP, the extension is neither offered nor heeded.
#[test]
fn without_utp_nothing_is_punched() {
    let mut bench = Bench::new(Config { utp: false, ..config() });
    bench.add(common::params());
    let introducer = punching(&mut bench, "9.9.9.9:1111", 1, RoadKind::Tcp);
    let outputs = punch(&mut bench, introducer, Holepunch::Connect(at("8.8.8.8:2222")));
    assert!(dials(&outputs).is_empty());
    let outputs = punch(&mut bench, introducer, Holepunch::Rendezvous(at("8.8.8.8:2222")));
    assert!(told(&outputs, introducer).is_empty());
}
