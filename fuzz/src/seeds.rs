//! The made seeds: at least one input that is accepted and one that is refused per target, so that
//! a fuzzer starts at the interesting places. What fuzzing found is kept beside them, in `seeds/`.

use peerage_base::{Duration, InfoHashV1, InfoHashV2, InfoHashes, PeerId};
use peerage_content::{Magnet, merkle};
use peerage_wire::bencode::{DictEncoder, Encoder};
use peerage_wire::coordinates::Coordinates;
use peerage_wire::extension::{self, Holepunch, HolepunchError, LOCAL_IDS, MetadataMessage, Pex, PexPeer};
use peerage_wire::gossip::{
    Broadcast, Frame as GossipFrame, Health, Liveness, LivenessBody, Member, Membership, Message as Gossip,
    Update,
};
use peerage_wire::message::piece_header;
use peerage_wire::overlay::{self, Frame, chord, flooding, gia, link, pastry, superpeer, walk};
use peerage_wire::stun::Message as Stun;
use peerage_wire::tracker::udp::{Family, Reply, Request};
use peerage_wire::tracker::{AnnounceReply, AnnounceRequest, Event, ScrapeEntry, http};
use peerage_wire::{Block, Handshake, HashRequest, Message};

/// Target, name of the seed, bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

/// Every made seed.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name, bytes: &[u8]| seeds.push((target, name, bytes.to_vec()));
    bencode(&mut add);
    peer_wire(&mut add);
    extensions(&mut add);
    trackers(&mut add);
    krpc(&mut add);
    overlays(&mut add);
    lsd(&mut add);
    gossip(&mut add);
    torrents(&mut add);
    names_and_links(&mut add);
    geometry(&mut add);
    seeds
}

type Add<'a> = &'a mut dyn FnMut(&'static str, &'static str, &[u8]);

fn bencode(add: Add<'_>) {
    add("bencode", "every-kind", b"d1:ai-1e1:b3:foo1:cli1ei2elee1:dd1:xi1eee");
    add("bencode", "oddities", b"d1:bi-0e1:a03:foo1:ai007ee trailing");
    add("bencode", "range", b"li9223372036854775807ei-9223372036854775808ei9223372036854775808ee");
    add("bencode", "nested", b"lllllllllldddd");
    add("bencode", "length", b"18446744073709551615:x");
    add("bencode_prefix", "metadata", b"d8:msg_typei1e5:piecei0e10:total_sizei9eerest");
    add("bencode_prefix", "unsorted", b"d1:bi1e1:ai1ee");
    add("canary", "quiet", b"sing");
}

fn every_message() -> Vec<Message> {
    let block = Block { piece: 1, begin: 0x4000, len: 0x4000 };
    let request = HashRequest { root: [9; 32], base_layer: 1, index: 2, length: 2, proof_layers: 5 };
    vec![
        Message::Choke,
        Message::Unchoke,
        Message::Interested,
        Message::NotInterested,
        Message::Have(1),
        Message::Bitfield(vec![0xF0, 0x80]),
        Message::Request(block),
        Message::Cancel(block),
        Message::Port(6881),
        Message::Suggest(2),
        Message::HaveAll,
        Message::HaveNone,
        Message::Reject(block),
        Message::AllowedFast(3),
        Message::Extended { id: 0, payload: b"d1:mdee".to_vec() },
        Message::HashRequest(request),
        Message::Hashes { request, hashes: vec![[1; 32]; 2] },
        Message::HashReject(request),
    ]
}

fn peer_wire(add: Add<'_>) {
    let handshake = Handshake::new([1; 20], *b"-PG0100-abcdefghijkl").with_v2().encode();
    add("handshake", "ours", &handshake);
    add("handshake", "http", b"GET / HTTP/1.1\r\n\r\n");
    add("handshake", "short", &handshake[..67]);
    let mut stream = handshake.to_vec();
    for (index, message) in every_message().iter().enumerate() {
        let start = stream.len();
        message.encode(&mut stream);
        let name: &'static str = format!("id-{index:02}").leak();
        add("peer_message", name, &stream[start + 4..]);
    }
    add("peer_message", "keep-alive", b"");
    add("peer_message", "unknown", b"\x63 anything");
    add("peer_message", "piece", b"\x07\0\0\0\0\0\0\0\0x");
    add("peer_message", "have-short", b"\x04\0\0\0");
    stream.extend(piece_header(Block { piece: 1, begin: 2, len: 5 }));
    stream.extend(b"bytes\0\0\0\0");
    add("frame_splitter", "every-message", &stream);
    add("frame_splitter", "huge-prefix", &[&handshake[..], &[0xFF; 5]].concat());
    add("frame_splitter", "half-handshake", &handshake[..30]);
}

fn extensions(add: Add<'_>) {
    let handshake = extension::Handshake {
        ids: LOCAL_IDS,
        client: Some("Peerage 0.1".into()),
        port: Some(6881),
        reqq: Some(500),
        metadata_size: Some(31_235),
        your_ip: Some([1, 2, 3, 4].into()),
        upload_only: Some(true),
    };
    let peers = ["1.2.3.4:6881", "[2001:db8::1]:6881"].map(|addr| addr.parse().expect("an address"));
    let added = peers.iter().map(|addr| PexPeer { addr: *addr, flags: 0x12 }).collect();
    let pex = Pex { added, dropped: peers.to_vec() }.encode();
    let data = MetadataMessage::Data { piece: 0, total_size: 100, bytes: vec![b'd'; 100] }.encode();
    add("extension_handshake", "ours", &handshake.encode());
    add(
        "extension_handshake",
        "hostile",
        b"d1:md6:ut_pexi256ee13:metadata_sizei-1e1:pi70000e4:reqqi0e6:yourip3:abce",
    );
    add("extension_handshake", "list", b"le");
    add("ut_metadata", "request", &MetadataMessage::Request { piece: 1 }.encode());
    add("ut_metadata", "data", &data);
    add("ut_metadata", "reject", &MetadataMessage::Reject { piece: 1 }.encode());
    add("ut_metadata", "negative", b"d8:msg_typei0e5:piecei-1ee");
    add("ut_pex", "both-families", &pex);
    add("ut_pex", "ragged", b"d5:added7:1234567 8:added.f0:e");
    let punch = Holepunch::Connect(peers[1]).encode();
    add("ut_holepunch", "connect", &punch);
    add("ut_holepunch", "failed", &Holepunch::Failed(peers[0], HolepunchError::NoSelf).encode());
    add("ut_holepunch", "cut-short", &punch[..19]);
    add("extended", "holepunch", &[&[4], &punch[..]].concat());
    add("start", "plain", b"\x13BitTorrent protocol\0\0\0\0");
    add("start", "tls", &[22, 3, 1, 2, 0, 1, 0, 1, 252]);
    add("start", "almost-plain", b"\x13BitTorrent protocoL\0\0");
    add("mse", "untouched", &[50]);
    add("mse", "small-chunks", &[1]);
    add("mse", "key-changed", &[50, 0, 0, 3, 1]);
    add("mse", "method-changed", &[50, 1, 0, 200, 2]);
    let utp = b"\x21\x02\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\0\x01\0\x02";
    add("utp", "extensions", &[&utp[..], b"\x01\x03abc\0\x04\x05\0\0\x80"].concat());
    add("utp", "cut-short", &[&utp[..], b"\x01\xffab"].concat());
    add("utp", "data", b"\x01\0\x12\x35\0\0\0\x01\0\0\0\x02\0\x10\0\0\0\x01\0\x02payload");
    add("extended", "handshake", &[&[0], &handshake.encode()[..]].concat());
    add("extended", "pex", &[&[1], &pex[..]].concat());
    add("extended", "metadata", &[&[2], &data[..]].concat());
    add("extended", "upload-only", &[3, 1]);
    add("extended", "dont-have", &[7, 0, 0, 0, 9]);
    add("extended", "dont-have-short", &[7, 0, 0]);
}

fn trackers(add: Add<'_>) {
    let reply = AnnounceReply {
        interval: Duration::from_secs(1800),
        min_interval: Some(Duration::from_secs(300)),
        peers: vec!["1.2.3.4:5".parse().expect("an address"), "[2001:db8::1]:5".parse().expect("an address")],
        seeds: Some(1),
        leechers: Some(2),
        tracker_id: Some(b"id".to_vec()),
        warning: Some("slow".into()),
        external_ip: Some([1, 2, 3, 4].into()),
    };
    let request = AnnounceRequest {
        info_hash: *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a",
        peer_id: *b"-PG0100-abcdefghijkl",
        port: 6881,
        event: Event::Started,
        num_want: Some(50),
        tracker_id: Some(b"a&b".to_vec()),
        ..AnnounceRequest::default()
    };
    let entry = ScrapeEntry { seeds: 1, completed: 2, leechers: 3 };
    add("tracker_announce_reply", "compact", &http::encode_announce_reply(&reply, true));
    add("tracker_announce_reply", "long", &http::encode_announce_reply(&reply, false));
    add("tracker_announce_reply", "failure", b"d14:failure reason4:nope8:retry ini5ee");
    add("tracker_announce_reply", "never", b"d14:failure reason5:\x1b[2Jx8:retry in5:nevere");
    add("tracker_announce_reply", "html", b"<html>");
    add("tracker_scrape_reply", "one", &http::encode_scrape_reply([(&[5; 20], entry)]));
    add("tracker_scrape_reply", "none", b"de");
    add("tracker_announce_query", "ours", http::announce_query(&request).as_bytes());
    add("tracker_announce_query", "no-port", b"info_hash=%41&peer_id=");
    add("tracker_scrape_query", "two", http::scrape_query(&[[1; 20], [b'a'; 20]]).as_bytes());
    add("tracker_scrape_query", "none", b"a=b&c");
    add("tracker_url", "plain", b"http://example.com/announce.php?key=x#part");
    add("tracker_url", "other", b"http://example.com/a?/announce");
    let announce =
        Request::Announce { connection: 1, transaction: 2, request, url_data: b"/announce?a".to_vec() };
    let scrape = Request::Scrape { connection: 1, transaction: 2, info_hashes: vec![[1; 20]; 2] };
    add("udp_tracker_request", "connect", &Request::Connect { transaction: 7 }.encode());
    add("udp_tracker_request", "announce", &announce.encode());
    add("udp_tracker_request", "scrape", &scrape.encode());
    add("udp_tracker_request", "short", &announce.encode()[..97]);
    let replies = [
        ("connect", Reply::Connect { transaction: 1, connection: 2 }),
        ("announce", Reply::Announce { transaction: 1, reply }),
        ("scrape", Reply::Scrape { transaction: 1, entries: vec![entry; 2] }),
        ("error", Reply::Error { transaction: 1, message: "no\x1b[".into() }),
    ];
    for (name, reply) in replies {
        add("udp_tracker_reply", name, &[&reply.encode(Family::V4)[..], &[0]].concat());
        let name: &'static str = format!("{name}-v6").leak();
        add("udp_tracker_reply", name, &[&reply.encode(Family::V6)[..], &[1]].concat());
    }
    add("udp_tracker_reply", "action", &[9; 20]);
    let transaction = *b"transaction.";
    let v4 = Stun::Success { transaction, mapped: ([192, 0, 2, 1], 32853).into() };
    let v6 = Stun::Success { transaction, mapped: ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 32853).into() };
    add("stun", "request", &Stun::Request { transaction }.encode());
    add("stun", "v4", &v4.encode());
    add("stun", "v6", &v6.encode());
    add("stun", "error", &Stun::Error { transaction, code: 420 }.encode());
    add("stun", "short", &v6.encode()[..40]);
}

/// Bytes of the file in the made torrents: three pieces of 16 KiB, the last one short.
const FILE_LEN: u64 = 40_000;

fn leaves() -> Vec<[u8; 32]> {
    (0..3u8).map(|index| merkle::leaf(&[index])).collect()
}

fn file_tree(dict: &mut DictEncoder<'_>) {
    let root = merkle::root(&leaves(), 0, 4);
    dict.entry(b"file tree", |tree| {
        tree.dict(|tree| {
            tree.entry(b"a.txt", |file| {
                file.dict(|file| {
                    file.entry(b"", |file| {
                        file.dict(|file| {
                            file.uint(b"length", FILE_LEN);
                            file.bytes(b"pieces root", &root);
                        });
                    });
                });
            });
        });
    });
}

fn info_dict(v1: bool, v2: bool) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(|info| {
        if v2 {
            file_tree(info);
        }
        if v1 {
            info.uint(b"length", FILE_LEN);
        }
        if v2 {
            info.int(b"meta version", 2);
        }
        info.str(b"name", "a.txt");
        info.int(b"piece length", 16_384);
        if v1 {
            info.bytes(b"pieces", &[7; 60]);
        }
    });
    encoder.finish()
}

/// A folder with an attribute, a pad and an odd name.
fn folder_info() -> Vec<u8> {
    b"d5:filesld6:lengthi10000e4:pathl3:sub5:a.txteed4:attr1:p6:lengthi6384e4:pathl4:.pad4:6384ee\
      d4:attr1:x6:lengthi5e4:pathl2:..3:b/ceee4:name3:dir12:piece lengthi16384e6:pieces40:0123456789012345678901234567890123456789\
      7:privatei1ee"
        .to_vec()
}

fn torrent(info: &[u8], layers: bool) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(|torrent| {
        torrent.str(b"announce", "http://t.example/announce");
        torrent.raw(b"announce-list", b"ll25:http://t.example/announceel18:udp://u.example:80ee");
        torrent.str(b"comment", "a comment");
        torrent.int(b"creation date", 1_700_000_000);
        torrent.raw(b"info", info);
        torrent.raw(b"nodes", b"ll9:127.0.0.1i6881eee");
        if layers {
            torrent.entry(b"piece layers", |encoder| {
                encoder.dict(|dict| dict.bytes(&merkle::root(&leaves(), 0, 4), leaves().as_flattened()));
            });
        }
        torrent.str(b"url-list", "http://w.example/");
    });
    encoder.finish()
}

fn torrents(add: Add<'_>) {
    let infos = [
        ("v1", info_dict(true, false), false),
        ("v2", info_dict(false, true), true),
        ("hybrid", info_dict(true, true), true),
        ("folder", folder_info(), false),
    ];
    for (name, info, layers) in infos {
        add("info", name, &info);
        add("metainfo", name, &torrent(&info, layers));
    }
    let mut wrong_layer = torrent(&info_dict(false, true), true);
    let at = wrong_layer.windows(8).position(|window| window == b"url-list").expect("in the torrent");
    wrong_layer[at - 10] ^= 1;
    add("metainfo", "wrong-layer", &wrong_layer);
    add("metainfo", "no-info", b"d8:announce1:xe");
    add("info", "piece-length-0", b"d6:lengthi1e4:name1:a12:piece lengthi0e6:pieces20:01234567890123456789e");
    add("info", "length-max", b"d6:lengthi9223372036854775807e4:name1:a12:piece lengthi1e6:pieces0:e");
    add("info", "no-name", b"d6:lengthi1e12:piece lengthi16384e6:pieces20:01234567890123456789e");
}

fn krpc(add: Add<'_>) {
    let id = "2:id20:abcdefghij0123456789";
    let hash = "9:info_hash20:mnopqrstuvwxyz123456";
    let target = "6:target20:mnopqrstuvwxyz123456";
    let (key, signature) = ("k".repeat(32), "s".repeat(64));
    let queries = [
        ("ping", format!("d{id}e")),
        ("find_node", format!("d{id}{target}4:wantl2:n42:n6ee")),
        ("get_peers", format!("d{id}{hash}6:noseedi1e6:scrapei1ee")),
        ("announce_peer", format!("d{id}{hash}4:porti6881e4:seedi1e5:token4:abcde")),
        ("get", format!("d{id}3:seqi7e{target}e")),
        (
            "put",
            format!("d3:casi1e{id}1:k32:{key}4:salt3:abc3:seqi2e3:sig64:{signature}5:token2:xx1:vli1e1:xee"),
        ),
        ("sample_infohashes", format!("d{id}{target}e")),
        ("vote", format!("d{id}e")),
    ];
    for (name, args) in queries {
        let packet = format!("d1:a{args}1:q{}:{name}2:roi1e1:t2:aa1:v4:PG011:y1:qe", name.len());
        add("krpc", name, packet.as_bytes());
    }
    let reply = format!(
        "d2:ip6:abcdef1:rd4:BFpe256:{0}4:BFsd256:{0}{id}8:intervali9e5:nodes26:{1}6:nodes638:{2}3:numi1e\
         7:samples20:mnopqrstuvwxyz1234565:token2:xx6:valuesl6:axje.u18:{3}ee1:t2:aa1:y1:re",
        "b".repeat(256),
        "n".repeat(26),
        "m".repeat(38),
        "v".repeat(18),
    );
    add("krpc", "reply", reply.as_bytes());
    let item = format!("d1:rd{id}1:k32:{key}3:seqi2e3:sig64:{signature}1:v5:Helloe1:t2:aa1:y1:re");
    add("krpc", "item", item.as_bytes());
    add("krpc", "error", b"d1:eli203e8:No Tokene1:t2:aa1:y1:ee");
    add("krpc", "no-id", b"d1:rde1:t2:aa1:y1:re");
}

fn overlays(add: Add<'_>) {
    let addr = std::net::SocketAddr::from(([192, 0, 2, 1], 6881));
    let v6 = std::net::SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80));
    let id = overlay::Id::random(&mut peerage_base::Rng::from_number(1));
    let nodes = vec![overlay::Node { id, addr }, overlay::Node { id, addr: v6 }];
    let (transaction, guid, key, holder) = (7, 8, id, addr);
    let closer = nodes.clone();
    let frames = [
        ("chord", Frame::Chord(chord::Message::Nodes { transaction, id, closer, owners: nodes.clone() })),
        (
            "chord-beside",
            Frame::Chord(chord::Message::Beside {
                transaction,
                id,
                predecessor: Some(nodes[0]),
                successors: Vec::new(),
            }),
        ),
        ("pastry", Frame::Pastry(pastry::Message::Hops { transaction, id, next: nodes })),
        (
            "link",
            Frame::Link(link::Message::Welcome {
                capacity: 9,
                degree: 3,
                superpeer: true,
                others: vec![addr, v6],
            }),
        ),
        ("flooding", Frame::Flooding(flooding::Message::Query { guid, key, ttl: 7, hops: 0 })),
        ("walk", Frame::Walk(walk::Message::Hit { guid, walker: 1, key, holder, steps: 9 })),
        ("superpeer", Frame::Superpeer(superpeer::Message::Publish { keys: vec![key; 3] })),
        ("gia", Frame::Gia(gia::Message::Index { added: vec![key], removed: vec![key] })),
    ];
    for (name, frame) in &frames {
        add("overlay_frame", name, &frame.encode());
    }
    add("overlay_frame", "version", &[2, 1, 1, 0, 0, 0, 7]);
    add("overlay_frame", "count", &[1, 6, 1, 255, 0]);
    add("overlay_frame", "short", &frames[0].1.encode()[..40]);
}

fn lsd(add: Add<'_>) {
    let hash = "Infohash: 0123456789abcdef0123456789ABCDEF01234567\r\n";
    let announce = |head: &str, hashes: &str| {
        format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\n{head}{hashes}cookie: 7f3a\r\n\r\n\r\n"
        )
    };
    add("lsd", "one", announce("Port: 6881\r\n", hash).as_bytes());
    let many: String = (0..22).map(|n| format!("Infohash: {n:040x}\r\n")).collect();
    add("lsd", "many", announce("Port: 1\r\n", &many).as_bytes());
    add("lsd", "no-port", announce("Port: 0\r\n", hash).as_bytes());
    add("lsd", "ssdp", b"M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n");
}

fn gossip(add: Add<'_>) {
    let member = |n: u8| Member { id: PeerId([n; 32]), addr: Some(([10, 0, 0, n], 7731).into()) };
    let nobody = Member { id: PeerId([9; 32]), addr: None };
    let members = vec![member(1), nobody, member(2)];
    let update = |health| Update { member: member(3), incarnation: 7, health };
    let updates = [Health::Alive, Health::Suspect, Health::Dead].map(update).to_vec();
    let liveness = |body| Gossip::Liveness(Liveness { body, updates: updates.clone() });
    let messages: [(&'static str, Gossip); 12] = [
        ("join", Gossip::Membership(Membership::Join { addr: nobody.addr })),
        ("forward-join", Gossip::Membership(Membership::ForwardJoin { member: member(1), ttl: 6 })),
        ("neighbor", Gossip::Membership(Membership::Neighbor { urgent: true, addr: member(1).addr })),
        ("neighbor-reply", Gossip::Membership(Membership::NeighborReply { accepted: true })),
        (
            "shuffle",
            Gossip::Membership(Membership::Shuffle { origin: nobody, ttl: 3, members: members.clone() }),
        ),
        ("shuffle-reply", Gossip::Membership(Membership::ShuffleReply { members })),
        ("gossip", Gossip::Broadcast(Broadcast::Gossip { round: 2, payload: b"news".to_vec() })),
        ("ihave", Gossip::Broadcast(Broadcast::IHave { messages: vec![([1; 32], 1), ([2; 32], 2)] })),
        ("graft", Gossip::Broadcast(Broadcast::Graft { message: Some([1; 32]) })),
        ("ping", liveness(LivenessBody::Ping { number: 1 })),
        ("ping-req", liveness(LivenessBody::PingReq { number: 1, target: member(4) })),
        ("ack", liveness(LivenessBody::Ack { number: 1 })),
    ];
    for (name, message) in messages {
        add("gossip", name, &GossipFrame { topic: [7; 32], message }.encode());
    }
    add("gossip", "version", &[2; 40]);
    add("gossip", "too-many", &[&[1, 17][..], &[0; 32], &[255]].concat());
    let place = Coordinates::new(-12.5, 300.0, 4.0, 0.2).expect("a place");
    add("coordinates", "place", &place.encode());
    add("coordinates", "no-number", &[0xFF; 16]);
}

fn names_and_links(add: Add<'_>) {
    let hashes = InfoHashes { v1: Some(InfoHashV1([0xAB; 20])), v2: Some(InfoHashV2([0xCD; 32])) };
    let magnet = Magnet {
        hashes,
        name: Some("a name & more".into()),
        len: Some(5),
        trackers: vec!["http://t.example/announce?x=1".into(), "udp://u.example:80".into()],
        peers: vec!["127.0.0.1:6881".into(), "[::1]:6881".into()],
        web_seeds: vec!["http://w.example/a b".into()],
        contacts: Vec::new(),
        select: vec![0..=2, 4..=4],
    };
    let v2 = Magnet::new(InfoHashes { v1: None, ..hashes });
    let hex = "0123456789abcdef0123456789abcdef01234567";
    for (name, text) in [("hybrid", magnet.to_string()), ("v2", v2.to_string())] {
        add("magnet", name, text.as_bytes());
        add("link", name, text.as_bytes());
    }
    add("magnet", "base32", b"MAGNET:?dn=x&xt=URN:BTIH:AERUKZ4JVPG66AJDIVTYTK6N54ASGRLH");
    add(
        "magnet",
        "two-hashes",
        format!("magnet:?xt=urn:btih:{hex}&xt=urn:btih:{}", hex.replace('0', "1")).as_bytes(),
    );
    add("magnet", "no-hash", b"magnet:?dn=x&so=0-18446744073709551615&xl=-1");
    add("link", "hex", hex.as_bytes());
    add("link", "url", b"https://example.com/a.torrent");
    add("link", "path", b"./a.torrent");
    add("link", "no-hash", b"magnet:?xt=urn:btih:zz");
    add("name", "safe", b"a.txt");
    let hostile: [(&str, &[u8]); 12] = [
        ("dot-dot", b".."),
        ("backslash", b"..\\..\\x"),
        ("drive", b"C:\\x"),
        ("nul", b"a\0b"),
        ("device", b"CON.txt"),
        ("trailing", b"name. . "),
        ("bidi", "a\u{202E}txt.exe".as_bytes()),
        ("overlong", b"\xc0\xae\xc0\xae\xc0\xaf"),
        ("percent", b"%2e%2e%2f"),
        ("unc", b"\\\\?\\C:\\x"),
        ("empty", b""),
        ("spaces", b"   "),
    ];
    for (name, bytes) in hostile {
        add("name", name, bytes);
    }
    add("name", "long", &b"x".repeat(5000));
    add("paths", "collisions", "a/b.txt\nA/B.txt\na\na/b.txt/c\ncaf\u{E9}\ncafe\u{301}\n../x\nx".as_bytes());
    add("paths", "too-many", &b"a\n".repeat(599));
    add("printable", "plain", b"\xffplain");
    add("printable", "escape", b"\xff\x1b[31m\x9b\xe2\x80\xae");
}

fn geometry(add: Add<'_>) {
    let layout = |space: u8, piece_len: u64, files: &[(u8, u32)]| {
        let mut bytes = vec![space];
        bytes.extend(piece_len.to_be_bytes());
        for (flags, len) in files {
            bytes.push(*flags);
            bytes.extend(len.to_be_bytes());
        }
        bytes
    };
    add("layout", "continuous", &layout(0, 32_768, &[(0, 40_000), (1, 25_536), (0, 0), (0, 7)]));
    add("layout", "aligned", &layout(1, 16_384, &[(0, 40_000), (0, 0), (0, 16_384)]));
    add("layout", "zero", &layout(0, 0, &[(0, 1)]));
    add("layout", "too-large", &[&layout(0, 1 << 29, &[])[..], &[2], &[0xFF; 8], &[2], &[0xFF; 8]].concat());
    let request = |len: u32, layer: u8, numbers: [u32; 4]| {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        len.to_be_bytes().into_iter().chain([layer]).chain(numbers).collect::<Vec<u8>>()
    };
    add("merkle", "two-with-proof", &request(3_000_000, 0, [0, 2, 2, 30]));
    add("merkle", "whole", &request(100_000, 0, [0, 0, 8, 2]));
    add("merkle", "range", &request(100_000, 1, [0, u32::MAX, 2, u32::MAX]));
}
