//! One node, and what it answers whom.

use super::super::item::tests::signed_item;
use super::*;
use peerage_base::addr::Ranges;
use peerage_wire::krpc::{Signed, code};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(1_000_000 + millis)
}

fn addr(n: u32) -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::from(0x1400_0000 + n * 256 + 1).into(), 6881)
}

fn node_with(config: Config) -> Dht {
    Dht::new(config, Local { external: vec!["8.8.8.8".parse().unwrap()] }, Rng::from_number(1))
}

fn dht() -> Dht {
    node_with(Config::default())
}

fn drain(dht: &mut Dht) -> Vec<Output> {
    std::iter::from_fn(|| dht.poll_output()).collect()
}

fn query_of(from: SocketAddr, method: Method) -> Message {
    let id = node_id::make_id(from.ip(), &mut Rng::from_number(5));
    let query = Query { id, read_only: true, want: Want::default(), method };
    Message { transaction: b"aa".to_vec(), version: None, body: Body::Query(query) }
}

/// What a node answers to a query of an address that has proven itself.
fn asked(dht: &mut Dht, now: Instant, from: SocketAddr, method: Method) -> Body {
    dht.prove(now, from);
    dht.handle_datagram(now, from, &query_of(from, method).encode());
    let sent = drain(dht);
    let [Output::Send { to, bytes }] = &sent[..] else { panic!("one answer: {sent:?}") };
    assert_eq!(*to, from);
    let answer = krpc::decode(bytes).expect("a message");
    assert_eq!(answer.transaction, b"aa");
    answer.body
}

fn response(body: Body) -> Response {
    match body {
        Body::Response(response) => *response,
        other => panic!("{other:?}"),
    }
}

fn refusal(body: Body) -> i64 {
    match body {
        Body::Error { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

fn token(dht: &mut Dht, now: Instant, from: SocketAddr, target: Id) -> Vec<u8> {
    response(asked(dht, now, from, Method::Get { target, seq: None })).token.expect("a token")
}

fn put(item: &Item, token: Vec<u8>) -> Method {
    let (value, signed) = (item.value().to_vec(), item.signed().copied());
    Method::Put { token, value, signed, salt: item.salt().to_vec(), cas: None }
}

#[test]
fn announced_peers_are_told() {
    let mut dht = dht();
    let (hash, peer) = (Key([3; 20]), addr(1));
    let get = || Method::GetPeers { info_hash: hash, no_seeds: false, scrape: false };
    let token = response(asked(&mut dht, at(0), peer, get())).token.unwrap();
    let announce = Method::AnnouncePeer { info_hash: hash, port: Some(7), seed: true, token };
    response(asked(&mut dht, at(1), peer, announce));
    let told = response(asked(&mut dht, at(2), addr(2), get()));
    assert_eq!(told.values, [SocketAddr::new(peer.ip(), 7)]);
    assert_eq!(told.observed, Some(addr(2)), "BEP 42: where the asker is");
    let scrape = Method::GetPeers { info_hash: hash, no_seeds: true, scrape: true };
    let told = response(asked(&mut dht, at(3), addr(2), scrape));
    let (seeds, peers) = told.filters.unwrap();
    assert_eq!((told.values.len(), seeds.estimate().round(), peers.estimate()), (0, 1.0, 0.0));
    let sampled = response(asked(&mut dht, at(4), addr(3), Method::SampleInfohashes { target: hash }));
    let samples = sampled.samples.unwrap();
    assert_eq!((samples.hashes, samples.total), (vec![[3; 20]], 1));
    let elsewhere = response(asked(&mut dht, at(1_800_001), addr(2), get()));
    assert!(elsewhere.values.is_empty(), "half an hour later");
}

/// threats.md D7: the negative cases, each with the code of its BEP.
#[test]
fn what_must_not_be_stored_is_refused_by_code() {
    let mut dht = dht();
    let (hash, from, other) = (Key([3; 20]), addr(1), addr(2));
    let announce = |token: &[u8]| Method::AnnouncePeer {
        info_hash: hash,
        port: Some(7),
        seed: false,
        token: token.to_vec(),
    };
    let mut codes = Vec::new();
    // No token, an invented one, another host's, an old one, another torrent's.
    let good = token(&mut dht, at(0), from, hash);
    codes.push(("no token", refusal(asked(&mut dht, at(0), from, announce(b""))), 203));
    codes.push(("forged token", refusal(asked(&mut dht, at(0), from, announce(b"12345678"))), 203));
    codes.push(("another's token", refusal(asked(&mut dht, at(0), other, announce(&good))), 203));
    codes.push(("replayed token", refusal(asked(&mut dht, at(700_000), from, announce(&good))), 203));
    let elsewhere = token(&mut dht, at(700_000), from, Key([4; 20]));
    codes.push(("token of another", refusal(asked(&mut dht, at(700_000), from, announce(&elsewhere))), 203));
    // Items.
    let now = at(800_000);
    let item = signed_item(1, 5, b"salt", b"1:x");
    let allowed = token(&mut dht, now, from, item.target());
    response(asked(&mut dht, now, from, put(&item, allowed.clone())));
    let mut tell = |name, method: Method, wanted| {
        codes.push((name, refusal(asked(&mut dht, now, from, method)), wanted));
    };
    tell("put without a token", put(&item, Vec::new()), 203);
    tell("sequence rollback", put(&signed_item(1, 4, b"salt", b"1:x"), allowed.clone()), 302);
    tell("same sequence, other value", put(&signed_item(1, 5, b"salt", b"1:y"), allowed.clone()), 302);
    let raced = |cas| match put(&signed_item(1, 6, b"salt", b"1:z"), allowed.clone()) {
        Method::Put { token, value, signed, salt, .. } => {
            Method::Put { token, value, signed, salt, cas: Some(cas) }
        }
        other => other,
    };
    tell("lost race", raced(4), 301);
    let forged = |change: fn(&mut Signed)| match put(&signed_item(1, 7, b"salt", b"1:x"), allowed.clone()) {
        Method::Put { token, value, signed, salt, cas } => {
            let mut signed = signed.unwrap();
            change(&mut signed);
            Method::Put { token, value, signed: Some(signed), salt, cas }
        }
        other => other,
    };
    tell("bad signature", forged(|signed| signed.signature[3] ^= 1), 206);
    tell("sequence not signed", forged(|signed| signed.seq += 1), 206);
    let long = |salt: usize, value: usize| Method::Put {
        token: allowed.clone(),
        value: [format!("{value}:").as_bytes(), &vec![b'x'; value]].concat(),
        signed: Some(Signed { key: [1; 32], seq: 1, signature: [1; 64] }),
        salt: vec![b's'; salt],
        cas: None,
    };
    tell("salt of 65 bytes", long(65, 1), 207);
    tell("value of 1,001 bytes", long(0, 997), 205);
    for (name, found, wanted) in &codes {
        assert_eq!(found, wanted, "{name}");
    }
    assert!(codes.len() >= 12, "{}", codes.len());
    response(asked(&mut dht, now, from, raced(5)));
    assert_eq!(dht.kept(), (0, 1), "nothing else was stored");
}

/// A peer is stored at the address from which it comes, whatever it says: none for another.
#[test]
fn nobody_is_announced_by_another() {
    let mut dht = dht();
    let hash = Key([3; 20]);
    let token = token(&mut dht, at(0), addr(1), hash);
    let announce = Method::AnnouncePeer { info_hash: hash, port: None, seed: false, token };
    response(asked(&mut dht, at(0), addr(1), announce));
    let get = Method::GetPeers { info_hash: hash, no_seeds: false, scrape: false };
    assert_eq!(response(asked(&mut dht, at(0), addr(2), get)).values, [addr(1)]);
}

#[test]
fn an_item_is_told_with_what_proves_it_and_not_twice() {
    let mut dht = dht();
    let item = signed_item(1, 5, b"salt", b"1:x");
    let token = token(&mut dht, at(0), addr(1), item.target());
    response(asked(&mut dht, at(0), addr(1), put(&item, token)));
    let mut get = |seq| response(asked(&mut dht, at(1), addr(2), Method::Get { target: item.target(), seq }));
    let whole = get(Some(4));
    assert_eq!(
        (whole.value.as_deref(), whole.signed, whole.seq),
        (Some(&b"1:x"[..]), item.signed().copied(), Some(5))
    );
    let known = get(Some(5));
    assert_eq!((known.value, known.signed, known.seq), (None, None, Some(5)));
}

/// Fills a table with nodes that answer.
fn acquaint(dht: &mut Dht, now: Instant, count: u32) {
    for n in 0..count {
        let peer = addr(1000 + n);
        dht.ping(now, peer);
        for output in drain(dht) {
            let Output::Send { to, bytes } = output else { continue };
            let Ok(Message { transaction, .. }) = krpc::decode(&bytes) else { continue };
            let id = Some(node_id::make_id(to.ip(), &mut Rng::from_number(u64::from(n))));
            let body = Body::Response(Box::new(Response { id, ..Response::default() }));
            dht.handle_datagram(now, to, &Message { transaction, version: None, body }.encode());
        }
        drain(dht);
    }
}

/// No question from an address that has proven nothing brings more than three times its bytes to that
/// address, not even together with the ping that asks for the proof.
#[test]
fn nothing_is_amplified() {
    let mut dht = dht();
    acquaint(&mut dht, at(0), 300);
    let (hash, now) = (Key([3; 20]), at(1000));
    for n in 0..300 {
        dht.peers.announce(now, &hash, addr(n), n % 2 == 0, &mut Rng::from_number(1));
    }
    let value = [b"900:".to_vec(), vec![b'x'; 900]].concat();
    let item = Item::new(value, None, Vec::new()).unwrap();
    dht.items.put(now, item.clone(), None).unwrap();
    let methods = [
        Method::Ping,
        Method::FindNode { target: hash },
        Method::GetPeers { info_hash: hash, no_seeds: false, scrape: false },
        Method::GetPeers { info_hash: hash, no_seeds: false, scrape: true },
        Method::AnnouncePeer { info_hash: hash, port: Some(1), seed: false, token: vec![] },
        Method::Get { target: item.target(), seq: None },
        Method::Get { target: hash, seq: None },
        put(&item, vec![]),
        Method::SampleInfohashes { target: hash },
    ];
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for method in methods {
        for read_only in [false, true] {
            let mut message = query_of(addr(0), method.clone());
            if let Body::Query(query) = &mut message.body {
                query.read_only = read_only;
            }
            packets.push(message.encode());
        }
    }
    packets.extend(
        [
            &b"d1:t0:1:y1:qe"[..],
            b"d1:q1:x1:t2:aa1:y1:qe",
            b"d1:ad2:id20:abcdefghij0123456789e1:q1:x1:t0:1:y1:qe",
        ]
        .map(<[u8]>::to_vec),
    );
    let mut answered = 0;
    for (n, packet) in packets.iter().enumerate() {
        let from = addr(50_000 + n as u32);
        dht.handle_datagram(now, from, packet);
        let sent: usize = drain(&mut dht)
            .iter()
            .map(|output| match output {
                Output::Send { to, bytes } if *to == from => bytes.len(),
                other => panic!("{other:?}"),
            })
            .sum();
        answered += usize::from(sent > 0);
        assert!(sent <= 3 * packet.len(), "{sent} bytes for {}: {}", packet.len(), packet.escape_ascii());
    }
    assert!(answered >= packets.len() - 2, "{answered} of {}", packets.len());
}

/// What is too long for a stranger is sent once the stranger has answered a ping.
#[test]
fn a_long_item_waits_for_proof() {
    let mut dht = dht();
    let item = Item::new([b"900:".to_vec(), vec![b'x'; 900]].concat(), None, Vec::new()).unwrap();
    dht.items.put(at(0), item.clone(), None).unwrap();
    let packet = query_of(addr(1), Method::Get { target: item.target(), seq: None }).encode();
    dht.handle_datagram(at(0), addr(1), &packet);
    let sent = drain(&mut dht);
    let [Output::Send { to, bytes }] = &sent[..] else { panic!("{sent:?}") };
    let ping = krpc::decode(bytes).unwrap();
    assert!(*to == addr(1) && matches!(&ping.body, Body::Query(query) if query.method == Method::Ping));
    let id = node_id::make_id(addr(1).ip(), &mut Rng::from_number(1));
    let body = Body::Response(Box::new(Response { id: Some(id), ..Response::default() }));
    let pong = Message { transaction: ping.transaction, version: None, body }.encode();
    dht.handle_datagram(at(9), addr(2), &pong);
    assert!(drain(&mut dht).is_empty(), "another one's word is no proof");
    dht.handle_datagram(at(10), addr(1), &pong);
    let sent = drain(&mut dht);
    let [Output::Send { to, bytes }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*to, addr(1));
    let answer = response(krpc::decode(bytes).unwrap().body);
    assert_eq!(answer.value.as_deref(), Some(item.value()));
}

/// threats.md D6: 10,000 datagrams a second from one host.
#[test]
fn a_flood_costs_others_nothing() {
    let mut dht = dht();
    acquaint(&mut dht, at(0), 100);
    let flood = query_of(addr(1), Method::FindNode { target: Key([9; 20]) }).encode();
    let quiet = query_of(addr(2), Method::FindNode { target: Key([9; 20]) }).encode();
    let (mut answers, mut served, mut asked) = (0, 0, 0);
    for n in 0..50_000_u64 {
        let now = at(10_000 + n / 10);
        dht.handle_datagram(now, addr(1), &flood);
        answers += drain(&mut dht).len();
        if n % 2_500 == 0 {
            dht.handle_datagram(now, addr(2), &quiet);
            served += usize::from(!drain(&mut dht).is_empty());
            asked += 1;
        }
    }
    assert!(answers <= 50, "{answers} of 50,000 answered");
    assert_eq!(served, asked);
    assert!(dht.stats().blocked as f64 >= 0.95 * 50_000.0);
}

/// The upload limit holds whoever asks: 8,000 bytes a second, and a burst.
#[test]
fn answers_keep_to_the_upload_limit() {
    let mut dht = dht();
    acquaint(&mut dht, at(0), 100);
    let before = dht.stats().answer_bytes;
    for n in 0..20_000_u32 {
        let from = addr(n);
        dht.handle_datagram(
            at(10_000 + u64::from(n)),
            from,
            &query_of(from, Method::FindNode { target: Key([9; 20]) }).encode(),
        );
        drain(&mut dht);
    }
    let bytes = dht.stats().answer_bytes - before;
    // 20 seconds at 8,000 bytes, and the burst of 4.
    assert!((150_000..=192_000).contains(&bytes), "{bytes} in 20 seconds");
}

/// BEP 43: a read-only node says so and answers nobody but a ping of whom it has asked; others do not take it
/// up.
#[test]
fn read_only_nodes_only_read() {
    let mut reader = node_with(Config { read_only: true, ..Config::default() });
    reader.handle_datagram(at(0), addr(1), &query_of(addr(1), Method::Ping).encode());
    reader.handle_datagram(at(0), addr(1), b"d1:t2:aa1:y1:qe");
    assert!(drain(&mut reader).is_empty());
    reader.ping(at(0), addr(1));
    let [Output::Send { bytes, .. }] = &drain(&mut reader)[..] else { panic!("a ping") };
    assert!(matches!(krpc::decode(bytes).unwrap().body, Body::Query(query) if query.read_only));
    for (method, answers) in [(Method::Ping, 1), (Method::FindNode { target: Key([1; 20]) }, 0)] {
        reader.handle_datagram(at(0), addr(1), &query_of(addr(1), method).encode());
        assert_eq!(drain(&mut reader).len(), answers);
    }
    let mut dht = dht();
    dht.handle_datagram(at(0), addr(1), bytes);
    assert_eq!(drain(&mut dht).len(), 1, "an answer and no ping");
}

/// Nobody enters the table by asking; only by answering, from where it was asked.
#[test]
fn only_who_answers_is_known() {
    let mut dht = dht();
    let mut message = query_of(addr(1), Method::Ping);
    if let Body::Query(query) = &mut message.body {
        query.read_only = false;
    }
    dht.handle_datagram(at(0), addr(1), &message.encode());
    assert_eq!(dht.nodes(false).count(), 0);
    let ping = drain(&mut dht).into_iter().find_map(|output| match output {
        Output::Send { bytes, .. } => krpc::decode(&bytes).ok().filter(|m| matches!(m.body, Body::Query(_))),
        _ => None,
    });
    let Body::Query(asker) = message.body else { panic!() };
    let pong = |transaction: Vec<u8>, id: Id| {
        let body = Body::Response(Box::new(Response { id: Some(id), ..Response::default() }));
        Message { transaction, version: None, body }.encode()
    };
    let transaction = ping.expect("it is asked").transaction;
    dht.handle_datagram(at(5), addr(1), &pong(vec![0; 4], asker.id));
    dht.handle_datagram(at(5), addr(2), &pong(transaction.clone(), asker.id));
    assert_eq!((dht.nodes(false).count(), dht.stats().unexpected), (0, 2));
    dht.handle_datagram(at(5), addr(1), &pong(transaction, asker.id));
    assert_eq!(dht.nodes(false).map(|node| node.addr).collect::<Vec<_>>(), [addr(1)]);
}

/// BEP 42: an identifier that does not fit its address enters no table.
#[test]
fn suspects_enter_no_table() {
    for (enforce_ids, known) in [(true, 0), (false, 1)] {
        let mut dht = node_with(Config { enforce_ids, ..Config::default() });
        dht.ping(at(0), addr(1));
        let [Output::Send { bytes, .. }] = &drain(&mut dht)[..] else { panic!("a ping") };
        let body = Body::Response(Box::new(Response { id: Some(Key([9; 20])), ..Response::default() }));
        let pong = Message { transaction: krpc::decode(bytes).unwrap().transaction, version: None, body };
        dht.handle_datagram(at(5), addr(1), &pong.encode());
        assert_eq!(dht.nodes(false).count(), known);
    }
}

/// Addresses that others name are asked only where that is permitted (the same rule as for peers).
#[test]
fn nobody_sends_us_into_the_lan() {
    for (ranges, wanted) in [(Ranges::default(), 1), (Ranges::new(true, &[]), 3)] {
        let mut dht = node_with(Config { ranges, ..Config::default() });
        dht.bootstrap(at(0), [addr(1)]);
        let [Output::Send { bytes, .. }] = &drain(&mut dht)[..] else { panic!("a question") };
        let node = |n: u8, text: &str| Node { id: Key([n; 20]), addr: text.parse().unwrap() };
        let nodes = vec![
            node(1, "192.168.1.1:53"),
            node(2, "127.0.0.1:80"),
            node(3, "224.0.0.1:5"),
            node(4, "9.9.9.9:0"),
            node(5, "9.9.9.9:5"),
        ];
        let id = Some(node_id::make_id(addr(1).ip(), &mut Rng::from_number(1)));
        let body = Body::Response(Box::new(Response { id, nodes, ..Response::default() }));
        let reply = Message { transaction: krpc::decode(bytes).unwrap().transaction, version: None, body };
        dht.handle_datagram(at(5), addr(1), &reply.encode());
        assert_eq!(drain(&mut dht).len(), wanted);
    }
}

/// BEP 42: the word of many moves us to an identifier that fits; what is kept stays.
#[test]
fn the_address_is_learnt_from_others() {
    let mut dht = Dht::new(Config::default(), Local::default(), Rng::from_number(1));
    let hash = Key([3; 20]);
    dht.peers.announce(at(0), &hash, addr(1), false, &mut Rng::from_number(1));
    let before = dht.id(false);
    let ours: SocketAddr = "77.1.2.3:6881".parse().unwrap();
    for n in 0..8 {
        dht.ping(at(0), addr(n));
        let sent = drain(&mut dht);
        let Some(Output::Send { to, bytes }) = sent.last() else { panic!("a ping") };
        let id = Some(node_id::make_id(to.ip(), &mut Rng::from_number(u64::from(n))));
        let body = Body::Response(Box::new(Response { id, observed: Some(ours), ..Response::default() }));
        let transaction = krpc::decode(bytes).unwrap().transaction;
        dht.handle_datagram(at(0), *to, &Message { transaction, version: None, body }.encode());
    }
    assert!(drain(&mut dht).contains(&Output::Address(ours.ip())));
    assert!(dht.id(false) != before && node_id::fits(&dht.id(false), ours.ip()));
    assert_eq!((dht.nodes(false).count(), dht.kept()), (8, (1, 0)));
    assert!(dht.peers.filters(at(0), &hash).is_some());
}

/// BEP 32: IPv4 nodes for who asks by IPv4, both for who wants both.
#[test]
fn nodes_are_told_by_family() {
    let mut dht = dht();
    acquaint(&mut dht, at(0), 20);
    let v6: SocketAddr = "[2a00:1::1]:6881".parse().unwrap();
    let id = node_id::make_id(v6.ip(), &mut Rng::from_number(1));
    dht.families[1].table.confirm(at(0), Contact { key: id, addr: v6 });
    let mut nodes = |from: SocketAddr, want: Want| {
        dht.prove(at(1), from);
        let mut message = query_of(from, Method::FindNode { target: Key([1; 20]) });
        if let Body::Query(query) = &mut message.body {
            query.want = want;
        }
        dht.handle_datagram(at(1), from, &message.encode());
        let Some(Output::Send { bytes, .. }) = drain(&mut dht).pop() else { panic!("an answer") };
        let nodes = response(krpc::decode(&bytes).unwrap().body).nodes;
        let v4 = nodes.iter().filter(|node| node.addr.is_ipv4()).count();
        (v4, nodes.len() - v4)
    };
    let from6 = "[2a00:2::1]:6881".parse().unwrap();
    assert_eq!(nodes(addr(1), Want::default()), (8, 0));
    assert_eq!(nodes(from6, Want::default()), (0, 1));
    assert_eq!(nodes(addr(1), Want { v4: true, v6: true }), (8, 1));
}

#[test]
fn a_command_without_anybody_ends_at_once() {
    let mut dht = dht();
    let lookup = dht.get_peers(at(0), Key([1; 20]), false);
    assert_eq!(drain(&mut dht), [Output::Done { lookup, report: Report::default() }]);
}

#[test]
fn malformed_queries_are_answered_by_code() {
    let mut dht = dht();
    let packets: [&[u8]; 2] = [
        b"d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe",
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe",
    ];
    let codes = packets.map(|packet| {
        dht.handle_datagram(at(0), addr(1), packet);
        let [Output::Send { bytes, .. }] = &drain(&mut dht)[..] else { panic!("an error") };
        refusal(krpc::decode(bytes).unwrap().body)
    });
    assert_eq!(codes, [code::PROTOCOL, code::METHOD]);
}

/// Nothing that comes makes the machine panic, whoever sends it.
#[test]
fn any_bytes_at_any_time() {
    let mut dht = dht();
    acquaint(&mut dht, at(0), 50);
    dht.get_peers(at(0), Key([7; 20]), true);
    let mut rng = Rng::from_number(3);
    let mut packets: Vec<Vec<u8>> = drain(&mut dht)
        .into_iter()
        .filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect();
    packets.push(query_of(addr(1), put(&signed_item(1, 1, b"", b"1:x"), vec![1; 8])).encode());
    for n in 0..20_000_u64 {
        let mut packet = packets[rng.index(packets.len())].clone();
        for _ in 0..rng.below(4) {
            let place = rng.index(packet.len());
            packet[place] = rng.next_u32() as u8;
        }
        dht.handle_datagram(at(n), addr(rng.below(5_000) as u32), &packet);
        dht.handle_timeout(at(n));
        drain(&mut dht);
    }
    assert!(dht.pending.len() <= dht.config.pending_max && dht.deferred.len() <= DEFERRED_MAX);
}
