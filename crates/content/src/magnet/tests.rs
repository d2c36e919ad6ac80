#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use peerage_base::PeerId;
use proptest::prelude::*;

const V1: &str = "aabbccddeeff00112233445566778899aabbccdd";
const V2: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn v1() -> InfoHashes {
    InfoHashes { v1: V1.parse().ok(), v2: None }
}

fn v2() -> InfoHashes {
    InfoHashes { v1: None, v2: V2.parse().ok() }
}

fn parse(text: &str) -> Magnet {
    text.parse().unwrap()
}

#[test]
fn the_printed_form_is_fixed() {
    let magnet = Magnet {
        hashes: InfoHashes { v2: v2().v2, ..v1() },
        name: Some("my holiday & more".into()),
        len: Some(12345),
        trackers: vec!["http://t.example/announce?x=1&y=2".into(), "udp://t.example:80".into()],
        peers: vec!["127.0.0.1:6881".into(), "[::1]:6881".into()],
        contacts: vec![Contact {
            tcp: vec!["127.0.0.1:6881".parse().unwrap(), "[::1]:6881".parse().unwrap()],
            relay: Some("https://r.example/?a=1&b".into()),
            ..Contact::new(PeerId([0; 32]))
        }],
        web_seeds: vec!["https://w.example/f/".into()],
        select: vec![0..=0, 2..=2, 4..=4, 6..=8],
    };
    let text = magnet.to_string();
    assert_eq!(
        text,
        format!(
            "magnet:?xt=urn:btih:{V1}&dn=my%20holiday%20%26%20more&xl=12345\
             &tr=http%3A%2F%2Ft.example%2Fannounce%3Fx%3D1%26y%3D2&tr=udp%3A%2F%2Ft.example%3A80\
             &ws=https%3A%2F%2Fw.example%2Ff%2F&x.pe=127.0.0.1:6881&x.pe=[::1]:6881\
             &x.pg={NOBODY},tcp/127.0.0.1:6881,tcp/[::1]:6881,relay/https://r.example/%3Fa%3D1%26b\
             &so=0,2,4,6-8&x.pgv2=1220{V2}",
            NOBODY = "a".repeat(52)
        )
    );
    assert_eq!(parse(&text), magnet);
    // Some programs refuse a second one.
    assert_eq!(text.matches("xt=").count(), 1);
    assert_eq!(Magnet::new(v2()).to_string(), format!("magnet:?xt=urn:btmh:1220{V2}"));
}

#[test]
fn a_malformed_contact_is_passed_over() {
    let good = Contact::new(PeerId([7; 32]));
    let text = format!("magnet:?xt=urn:btih:{V1}&x.pg=me&x.pg={good},tcp/somewhere&x.pg={good}");
    assert_eq!(parse(&text).contacts, std::slice::from_ref(&good));
    let many = format!("&x.pg={good}").repeat(100);
    assert_eq!(parse(&format!("magnet:?xt=urn:btih:{V1}{many}")).contacts.len(), LINK_CONTACTS_MAX);
}

#[test]
fn other_forms_are_understood() {
    let base32 = BASE32.encode(&v1().v1.unwrap().0);
    let upper = V1.to_uppercase();
    for text in [
        format!("magnet:?xt=urn:btih:{V1}"),
        format!("MAGNET:?XT=URN:BTIH:{upper}"),
        format!("magnet:?xt=urn:btih:{base32}"),
        format!("magnet:?xt=urn:btih:{}", base32.to_lowercase()),
        format!("magnet:?xt=urn%3Abtih%3A{V1}"),
        format!("  magnet:?dn=&&xt=urn:sha1:ABC&xt=urn:btih:{V1}&xt=urn:btih:{upper}&unknown=1&flag\n"),
        format!("magnet:?xt.1=urn:btih:{V1}"),
    ] {
        assert_eq!(parse(&text), Magnet::new(v1()), "{text}");
    }
    let both = parse(&format!("magnet:?xt=urn:btmh:1220{V2}&xt=urn:btih:{V1}"));
    assert_eq!(both.hashes, InfoHashes { v2: v2().v2, ..v1() });
    let many = parse(&format!(
        "magnet:?tr.2=udp%3A%2F%2Fa&amp;tr=udp://b&tr.1=udp://b&xt=urn:btih:{V1}&dn=a+b%2Bc&dn=later&xl=-1&xl=7\
         &x.pe=host%3A1&x.pe=host&x.pe=:5&x.pe=host:0&x.pe=host:65536&so=3,x,5-4,7-9&tr=a%0d%0ab&ws=%20"
    ));
    assert_eq!(many.trackers, ["udp://a", "udp://b"]);
    assert_eq!(many.name.as_deref(), Some("a b+c"));
    assert_eq!(many.len, Some(7));
    assert_eq!(many.peers, ["host:1"]);
    assert_eq!(many.select, [3..=3, 7..=9]);
    assert_eq!(many.web_seeds, Vec::<String>::new());
    // A name that would act on a terminal.
    assert_eq!(parse(&format!("magnet:?xt=urn:btih:{V1}&dn=%1b[2Jx")).name.as_deref(), Some(" [2Jx"));
}

#[test]
fn bad_links_are_refused_by_name() {
    let error = |text: &str| text.parse::<Magnet>().unwrap_err();
    assert_eq!(error("http://x"), LinkError::NotMagnet);
    assert_eq!(error("magnet:xt=urn:btih:00"), LinkError::NotMagnet);
    assert_eq!(error("magnet:?dn=x"), LinkError::NoHash);
    assert_eq!(error("magnet:?xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0"), LinkError::NoHash);
    assert!(matches!(error("magnet:?xt=urn:btih:aabb"), LinkError::BadHash(_)));
    assert!(matches!(error(&format!("magnet:?xt=urn:btih:{}", "z".repeat(40))), LinkError::BadHash(_)));
    assert!(matches!(error(&format!("magnet:?xt=urn:btih:{}", "1".repeat(32))), LinkError::BadHash(_)));
    assert!(matches!(error(&format!("magnet:?xt=urn:btmh:{V2}")), LinkError::BadHash(_)));
    assert!(matches!(error(&format!("magnet:?xt=urn:btmh:1114{V1}")), LinkError::BadHash(_)));
    assert!(matches!(error(&format!("magnet:?xt=urn:btih:{V1}&x.pgv2=zz")), LinkError::BadHash(_)));
    let other = "0".repeat(40);
    assert_eq!(error(&format!("magnet:?xt=urn:btih:{V1}&xt=urn:btih:{other}")), LinkError::TwoHashes);
    let long = format!("magnet:?xt=urn:btih:{V1}&dn={}", "x".repeat(LINK_BYTES_MAX));
    assert_eq!(error(&long), LinkError::TooLong);
}

#[test]
fn a_flood_of_parameters_is_bounded() {
    let trackers: String = (0..3000).map(|n| format!("&tr=u{n}")).collect();
    assert_eq!(parse(&format!("magnet:?xt=urn:btih:{V1}{trackers}")).trackers.len(), TRACKERS_MAX);
    let peers: String = (1..3000).map(|n| format!("&x.pe=h:{n}")).collect();
    assert_eq!(parse(&format!("magnet:?xt=urn:btih:{V1}{peers}")).peers.len(), LINK_PEERS_MAX);
    let ranges = "1,".repeat(20_000);
    assert_eq!(parse(&format!("magnet:?xt=urn:btih:{V1}&so={ranges}")).select.len(), LINK_RANGES_MAX);
}

#[test]
fn what_a_user_types_is_told_apart() {
    let link = |text: &str| Link::parse(text).unwrap();
    assert_eq!(link(V1), Link::Magnet(Magnet::new(v1())));
    assert_eq!(link(&format!(" {} ", V1.to_uppercase())), Link::Magnet(Magnet::new(v1())));
    assert_eq!(link(&BASE32.encode(&v1().v1.unwrap().0)), Link::Magnet(Magnet::new(v1())));
    assert_eq!(link(V2), Link::Magnet(Magnet::new(v2())));
    assert_eq!(link(&format!("1220{V2}")), Link::Magnet(Magnet::new(v2())));
    assert_eq!(link("HTTPS://x.example/a.torrent"), Link::Url("HTTPS://x.example/a.torrent".into()));
    assert_eq!(link("./a.torrent"), Link::Path("./a.torrent".into()));
    assert_eq!(link(" a.torrent"), Link::Path(" a.torrent".into()));
    assert_eq!(link("aabb"), Link::Path("aabb".into()));
    assert_eq!(Link::parse("magnet:?"), Err(LinkError::NoHash));
}

fn urls() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::btree_set("[!-~\u{e9}\u{4e2d}]{1,20}", 0..4)
        .prop_map(|urls| urls.into_iter().collect())
}

proptest! {
    #[test]
    fn printed_links_read_back(
        one in proptest::option::of(any::<[u8; 20]>()),
        two in any::<[u8; 32]>(),
        name in proptest::option::of("[^\\x00-\\x1f\\x7f]{0,10}x"),
        len in any::<Option<u64>>(),
        trackers in urls(),
        web_seeds in urls(),
        ids in proptest::collection::btree_set(any::<[u8; 32]>(), 0..3),
        peers in proptest::collection::btree_set("[a-z0-9.%&=]{1,10}:[1-9][0-9]{0,3}", 0..4),
        select in proptest::collection::vec((any::<u32>(), 0..5u32), 0..5),
    ) {
        let magnet = Magnet {
            hashes: InfoHashes { v1: one.map(InfoHashV1), v2: Some(InfoHashV2(two)) },
            name: name.map(|name| printable(name.as_bytes())),
            len,
            trackers,
            peers: peers.into_iter().collect(),
            contacts: ids.into_iter().map(|id| Contact::new(PeerId(id))).collect(),
            web_seeds,
            select: select.into_iter().map(|(first, more)| first..=first.saturating_add(more)).collect(),
        };
        let text = magnet.to_string();
        prop_assert!(text.is_ascii() && !text.contains(' '));
        prop_assert_eq!(text.parse::<Magnet>(), Ok(magnet));
    }

    #[test]
    fn no_text_panics(text in "(magnet:\\?)?(xt=urn:bt[im]h:[a-f0-9]{0,70}|[a-z.]{0,4}[=&%;.]|\\PC){0,30}") {
        if let Ok(Link::Magnet(magnet)) = Link::parse(&text) {
            prop_assert_eq!(magnet.to_string().parse::<Magnet>(), Ok(magnet));
        }
    }
}
