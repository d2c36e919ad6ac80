//! threats.md W9: forged openings, liars, nonsense.

use crate::utp::sim::{Bottleneck, Link, Net};
use crate::utp::{Config, Endpoint, Event, Output, Reason, UtpId};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::utp::{Header, Kind, Packet};
use proptest::prelude::*;
use std::cell::Cell;
use std::net::SocketAddr;

const MIB: f64 = 1024.0 * 1024.0;

fn packet(kind: Kind, connection: u16, seq: u16, ack: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let header =
        Header { kind, connection, timestamp: 1, timestamp_difference: 0, window: 1 << 20, seq, ack };
    header.encode(&[], &mut out);
    out
}

fn forged(number: u64) -> SocketAddr {
    SocketAddr::from(([11, (number >> 16) as u8, (number >> 8) as u8, number as u8], 1000))
}

/// Drains an endpoint: bytes that it sends, and its events.
fn drain(endpoint: &mut Endpoint, now: Instant) -> (usize, Vec<(UtpId, Event)>) {
    let (mut sent, mut events, mut buf) = (0, Vec::new(), Vec::new());
    while let Some(output) = endpoint.poll_output(now, &mut buf) {
        match output {
            Output::Send { .. } => sent += buf.len(),
            Output::Event(id, event) => events.push((id, event)),
        }
    }
    (sent, events)
}

#[test]
fn forged_openings_make_no_state_and_no_amplifier() {
    let mut endpoint = Endpoint::new(Config::default(), Rng::from_number(1));
    let mut now = Instant::from_micros(1);
    for number in 0..10_000 {
        now += Duration::from_micros(100);
        let syn = packet(Kind::Syn, number as u16, 1, 0);
        endpoint.handle_datagram(now, forged(number), &syn);
        let (sent, events) = drain(&mut endpoint, now);
        assert!(sent <= syn.len() && events.is_empty());
        assert!(endpoint.len() <= 100);
    }
    assert_eq!(endpoint.stats().evicted, 9_900);
    // They are never answered again, and go after 10 s.
    let mut sent = 0;
    while let Some((at, _)) = endpoint.poll_timeout() {
        now = at;
        endpoint.handle_timeout(now);
        sent += drain(&mut endpoint, now).0;
    }
    assert!(endpoint.is_empty() && sent == 0);
}

#[test]
fn an_honest_peer_gets_in_during_a_flood() {
    let link = Link::new(Duration::from_millis(10), 0.0);
    let mut net = Net::new(2);
    let (a, b) = (net.host(Config::default(), link), net.host(Config::default(), link));
    net.connect(a, b, 50_000);
    // 2,000 forged openings per second: an honest one has 50 ms to show itself.
    for number in 0..4_000 {
        net.run_until(net.now + Duration::from_micros(500));
        let now = net.hosts[b].clock(net.now);
        net.hosts[b].endpoint.handle_datagram(now, forged(number), &packet(Kind::Syn, 7, 1, 0));
        net.settle(b);
    }
    assert_eq!(net.hosts[b].streams.values().map(|stream| stream.read).sum::<u64>(), 50_000);
}

#[test]
fn one_address_opens_only_so_many() {
    let link = Link::new(Duration::from_millis(10), 0.0);
    let mut net = Net::new(3);
    let (a, b) = (net.host(Config::default(), link), net.host(Config::default(), link));
    for _ in 0..40 {
        let id = net.connect(a, b, 1000);
        net.hosts[a].streams.get_mut(&id).unwrap().close_when_written = false;
    }
    net.run_until(net.now + Duration::from_secs(5));
    assert_eq!(net.hosts[b].accepted.len(), Config::default().connections_per_host_max);
    assert!(net.hosts[b].endpoint.stats().refused >= 24);
}

/// What a receiver says that wants more than its share.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    None,
    /// That packets wait in no queue.
    Delay,
    /// That everything up to the newest packet that was sent has arrived, without gaps.
    Arrived,
    /// The same, but only so many packets behind.
    Behind(u16),
}

/// Bytes per second that a sender sends to a receiver that lies, through 1 MiB/s.
fn offered(lie: Lie, loss: f64) -> (f64, Option<Reason>) {
    let mut net = Net::new(4);
    net.bottlenecks.push(Bottleneck::new(MIB, 300_000));
    let (there, back) =
        (Link::new(Duration::from_millis(20), loss), Link::new(Duration::from_millis(20), 0.0));
    let (a, b) = (net.host(Config::default(), there), net.host(Config::default(), back));
    net.hosts[a].via = Some(0);
    let newest = Cell::new(None);
    net.filter = Box::new(move |_, from, bytes| {
        let Ok(packet) = Packet::decode(bytes) else { return true };
        let mut header = packet.header;
        if from == 0 {
            let newer = |seq: u16| newest.get().is_none_or(|newest: u16| seq.wrapping_sub(newest) < 0x8000);
            if header.kind == Kind::Data && newer(header.seq) {
                newest.set(Some(header.seq));
            }
        } else if let (Lie::Arrived | Lie::Behind(_), Some(newest)) = (lie, newest.get()) {
            let claimed = newest.wrapping_sub(if let Lie::Behind(by) = lie { by } else { 0 });
            if claimed.wrapping_sub(header.ack) < 0x8000 {
                header.ack = claimed;
            }
            bytes.clear();
            header.encode(&[], bytes);
        } else if lie == Lie::Delay {
            let bits = packet.selective_ack.map(|ack| ack.bytes().to_vec()).unwrap_or_default();
            header.timestamp_difference = 1;
            bytes.clear();
            header.encode(&bits, bytes);
        }
        true
    });
    let id = net.connect(a, b, u64::MAX / 2);
    net.run_until(net.now + Duration::from_secs(60));
    (net.hosts[a].sent_bytes as f64 / 60.0, net.hosts[a].streams[&id].closed)
}

#[test]
fn a_lying_receiver_gets_no_more_than_an_honest_one() {
    for loss in [0.0, 0.005] {
        let (honest, closed) = offered(Lie::None, loss);
        assert_eq!(closed, None);
        for lie in [Lie::Delay, Lie::Arrived, Lie::Behind(20), Lie::Behind(60)] {
            let (rate, closed) = offered(lie, loss);
            println!("{lie:?}, loss {loss}: {:.2} of an honest receiver's rate, {closed:?}", rate / honest);
            assert!(rate <= 1.2 * honest, "{lie:?}: {rate} {honest}");
        }
        assert_eq!(offered(Lie::Arrived, loss).1, Some(Reason::Lied));
    }
}

/// The round trip tells what a receiver hides: its queue is ended by delay, not only by loss.
#[test]
fn a_receiver_that_hides_delay_fills_no_queue_beyond_four_targets() {
    let mut net = Net::new(8);
    net.bottlenecks.push(Bottleneck::new(MIB, 3 << 20));
    let link = Link::new(Duration::from_millis(20), 0.0);
    let (a, b) = (net.host(Config::default(), link), net.host(Config::default(), link));
    net.hosts[a].via = Some(0);
    net.filter = Box::new(|_, from, bytes| {
        if from == 1 && bytes.len() >= 12 {
            bytes[8..12].copy_from_slice(&1_u32.to_be_bytes());
        }
        true
    });
    net.connect(a, b, u64::MAX / 2);
    let mut longest = 0.0_f64;
    for _ in 0..60 {
        net.run_until(net.now + Duration::from_secs(1));
        longest = longest.max(net.bottlenecks[0].waiting(net.now) / MIB);
    }
    println!("hidden delay: {longest:.2} s of queue");
    assert!(longest < 0.6, "{longest}");
}

/// A connection between an endpoint and this test: the endpoint's numbers, as it uses them.
fn opened(endpoint: &mut Endpoint, now: Instant, from: SocketAddr) -> (UtpId, u16) {
    endpoint.handle_datagram(now, from, &packet(Kind::Syn, 50, 1, 0));
    let mut buf = Vec::new();
    assert!(matches!(endpoint.poll_output(now, &mut buf), Some(Output::Send { .. })));
    let next = Packet::decode(&buf).unwrap().header.seq;
    endpoint.handle_datagram(
        now,
        from,
        &[&packet(Kind::Data, 51, 2, next.wrapping_sub(1))[..], b"hello"].concat(),
    );
    let (_, events) = drain(endpoint, now);
    let Some((id, Event::Accepted(addr))) = events.first().copied() else { panic!("{events:?}") };
    assert_eq!(addr, from);
    (id, next)
}

#[test]
fn what_does_not_fit_the_connection_is_ignored() {
    let now = Instant::from_micros(5);
    let from = forged(1);
    let mut endpoint = Endpoint::new(Config::default(), Rng::from_number(5));
    let (id, next) = opened(&mut endpoint, now, from);
    let mut buf = [0; 100];
    assert_eq!(endpoint.read(now, id, &mut buf), crate::utp::Read::Bytes(5));
    let acked = next.wrapping_sub(1);
    let ignored: [(&str, SocketAddr, Vec<u8>); 6] = [
        (
            "ack of what was never sent",
            from,
            [&packet(Kind::Data, 51, 3, next.wrapping_add(5))[..], b"x"].concat(),
        ),
        ("reset that guesses", from, packet(Kind::Reset, 51, 3, next.wrapping_add(20_000))),
        ("reset from elsewhere", forged(2), packet(Kind::Reset, 51, 3, acked)),
        ("far ahead", from, [&packet(Kind::Data, 51, 3 + 5000, acked)[..], b"x"].concat()),
        ("more than the window", from, [&packet(Kind::Data, 51, 4, acked)[..], &[0; 300_000]].concat()),
        ("old", from, [&packet(Kind::Data, 51, 1, acked)[..], b"x"].concat()),
    ];
    for (what, from, bytes) in ignored {
        endpoint.handle_datagram(now, from, &bytes);
        let (_, events) = drain(&mut endpoint, now);
        assert!(events.is_empty(), "{what}: {events:?}");
        assert_eq!(endpoint.read(now, id, &mut buf), crate::utp::Read::Pending, "{what}");
    }
    endpoint.handle_datagram(now, from, &packet(Kind::Reset, 51, 3, acked));
    assert_eq!(drain(&mut endpoint, now).1, [(id, Event::Closed(Reason::Reset))]);
}

/// Datagrams that are nearly right, from a few addresses, with commands and time between.
#[test]
fn a_hundred_thousand_datagrams_do_no_harm() {
    let mut rng = Rng::from_number(6);
    let mut endpoint = Endpoint::new(Config::default(), rng.fork());
    let mut now = Instant::from_micros(5);
    let mut ids = vec![opened(&mut endpoint, now, forged(0)), opened(&mut endpoint, now, forged(1))];
    for turn in 0..100_000_u64 {
        now += Duration::from_micros(rng.below(20_000));
        let from = forged(rng.below(4));
        let (_, next) = ids[rng.index(ids.len())];
        let near = |rng: &mut Rng, number: u16| number.wrapping_add(rng.below(40) as u16).wrapping_sub(20);
        let kinds = [Kind::Data, Kind::Data, Kind::State, Kind::Fin, Kind::Syn, Kind::Reset];
        let kind = *rng.choose(&kinds).unwrap_or(&Kind::Data);
        // A reset ends a connection, as it should: rarely.
        let kind = if kind == Kind::Reset && turn % 50 > 0 { Kind::Data } else { kind };
        let mut bytes = packet(kind, 49 + rng.below(4) as u16, near(&mut rng, 20), near(&mut rng, next));
        bytes.extend((0..rng.below(1500)).map(|byte| byte as u8));
        if rng.below(3) == 0 {
            // With an extension chain, of whatever is there.
            let at = rng.index(bytes.len());
            (bytes[1], bytes[at]) = (rng.below(3) as u8, rng.next_u32() as u8);
        }
        if rng.below(10) == 0 {
            rng.fill(&mut bytes);
        }
        endpoint.handle_datagram(now, from, &bytes);
        let (id, _) = ids[rng.index(ids.len())];
        match rng.below(6) {
            0 => drop(endpoint.write(now, id, &[7; 5000])),
            1 => drop(endpoint.read(now, id, &mut [0; 3000])),
            2 => endpoint.handle_timeout(now),
            3 if turn % 1000 == 3 => endpoint.release(now, id),
            _ => {}
        }
        let (_, events) = drain(&mut endpoint, now);
        ids.extend(
            events.iter().filter(|(_, event)| matches!(event, Event::Accepted(_))).map(|(id, _)| (*id, 1)),
        );
        if ids.len() > 20 {
            ids.drain(..10);
        }
        assert!(endpoint.len() <= 2 * 100 + 64);
    }
}

proptest! {
    #[test]
    fn no_datagrams_panic(
        datagrams in prop::collection::vec((0..3_u64, prop::collection::vec(any::<u8>(), 0..80)), 0..40)
    ) {
        let mut endpoint = Endpoint::new(Config::default(), Rng::from_number(7));
        let mut now = Instant::from_micros(9);
        for (from, mut bytes) in datagrams {
            now += Duration::from_millis(7);
            if let Some(first) = bytes.first_mut() {
                *first = (*first % 5) << 4 | 1;
            }
            endpoint.handle_datagram(now, forged(from), &bytes);
            let (sent, _) = drain(&mut endpoint, now);
            prop_assert!(sent <= bytes.len());
        }
    }
}
