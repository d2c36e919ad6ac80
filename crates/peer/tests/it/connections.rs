//! Who is dialled, accepted, refused, and who stays.

use crate::common::{Bench, HASH, OUR_ID, at, closed, dials, global, hashes, params, sent};
use peerage_base::{Duration, TorrentId, limits};
use peerage_peer::{AddError, Config, Encryption, Handshake, Output, PeerChange, TorrentParams};
use std::collections::BTreeSet;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_peer_of_the_user_is_dialled_at_once_and_greeted_when_open() {
    let (mut bench, torrent) = Bench::with_torrent();
    assert!(bench.peer.add_peer(bench.now, torrent, at("127.0.0.1:5000")));
    let outputs = bench.drain();
    let [(conn, addr)] = dials(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(addr, at("127.0.0.1:5000"));
    let outputs = bench.change(conn, PeerChange::Connected);
    let expected = Handshake::new(HASH, OUR_ID);
    assert_eq!(sent(&outputs, conn), expected.encode());
    let outputs = bench.greet(conn, Handshake::new(HASH, [9; 20]));
    assert_eq!(closed(&outputs, conn), None);
    assert_eq!(bench.peer.peers(torrent).len(), 1);
}

#[test]
fn what_is_no_host_is_never_dialled() {
    let (mut bench, torrent) = Bench::with_torrent();
    for addr in ["1.2.3.4:0", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1", "[::]:1"] {
        assert!(!bench.peer.add_peer(bench.now, torrent, at(addr)), "{addr}");
    }
    assert!(dials(&bench.pass(60 * SECOND)).is_empty());
}

#[test]
fn several_programs_on_loopback_are_told_apart_by_port() {
    let (mut bench, torrent) = Bench::with_torrent();
    for port in 0..20 {
        bench.peer.add_peer(bench.now, torrent, at(&format!("127.0.0.1:{}", 5000 + port)));
    }
    assert_eq!(dials(&bench.drain()).len(), 20);
    for n in 0..20u8 {
        assert!(bench.incoming(at(&format!("127.0.0.1:{}", 40_000 + u32::from(n))), [n; 20]).is_some());
    }
    // One of them is banned: the others stay.
    bench.peer.ban(bench.now, at("127.0.0.1:40003"));
    bench.drain();
    assert_eq!(bench.peer.peers(torrent).len(), 19);
    assert!(bench.peer.accept(bench.now, at("127.0.0.1:40003")).is_none());
}

#[test]
fn one_host_has_few_connections_unless_the_user_gave_them() {
    let (mut bench, torrent) = Bench::with_torrent();
    let max = bench.peer.config().connections_per_host_max;
    let mut up = 0;
    for n in 0..20u8 {
        up += usize::from(bench.incoming(at(&format!("9.9.9.9:{}", 1000 + u32::from(n))), [n; 20]).is_some());
    }
    assert_eq!(up, max);
    for port in 0..20 {
        bench.peer.add_peer(bench.now, torrent, at(&format!("9.9.9.9:{}", 5000 + port)));
    }
    assert_eq!(dials(&bench.drain()).len(), 20);
}

#[test]
fn incoming_for_an_unknown_torrent_is_refused_without_a_word() {
    let (mut bench, _) = Bench::with_torrent();
    let conn = bench.peer.accept(bench.now, global(1)).unwrap();
    let outputs = bench.greet(conn, Handshake::new([8; 20], [9; 20]));
    assert_eq!(closed(&outputs, conn).unwrap(), "unknown torrent");
    assert!(sent(&outputs, conn).is_empty());
    assert_eq!(bench.peer.stats().connections, 0);
}

#[test]
fn an_answer_for_another_torrent_is_refused_and_a_hybrid_s_other_hash_is_fine() {
    let mut bench = Bench::new(Config::default());
    let mut both = hashes(7);
    both.v2 = Some(peerage_base::InfoHashV2([0x22; 32]));
    let hybrid = bench.add(TorrentParams::new(both));
    bench.add(TorrentParams::new(hashes(8)));
    for (n, (hash, fine)) in [([7; 20], true), ([0x22; 20], true), ([8; 20], false)].into_iter().enumerate() {
        bench.peer.add_peer(bench.now, hybrid, global(n as u32));
        let (conn, _) = dials(&bench.drain())[0];
        let outputs = bench.change(conn, PeerChange::Connected);
        assert!(Handshake::decode(&sent(&outputs, conn)).unwrap().v2());
        let outputs = bench.greet(conn, Handshake::new(hash, [n as u8; 20]));
        assert_eq!(closed(&outputs, conn).is_none(), fine, "{hash:?}");
    }
}

#[test]
fn we_never_talk_to_ourselves() {
    let (mut bench, torrent) = Bench::with_torrent();
    bench.peer.add_peer(bench.now, torrent, global(1));
    let (conn, _) = dials(&bench.drain())[0];
    bench.change(conn, PeerChange::Connected);
    let outputs = bench.greet(conn, Handshake::new(HASH, OUR_ID));
    assert_eq!(closed(&outputs, conn).unwrap(), "connected to ourselves");
    assert!(dials(&bench.pass(3600 * SECOND)).is_empty(), "nor again");
    let conn = bench.peer.accept(bench.now, global(2)).unwrap();
    assert!(closed(&bench.greet(conn, Handshake::new(HASH, OUR_ID)), conn).is_some());
}

/// Both ends dial each other. Whichever handshake comes first, both keep the connection that the end
/// with the greater id opened.
#[test]
fn of_two_connections_with_one_peer_both_ends_keep_the_same() {
    for (their_id, ours_stays) in [([200; 20], false), ([50; 20], true)] {
        for ours_first in [true, false] {
            let (mut bench, torrent) = Bench::with_torrent();
            bench.peer.add_peer(bench.now, torrent, global(1));
            let (ours, addr) = dials(&bench.drain())[0];
            bench.change(ours, PeerChange::Connected);
            let mut from = addr;
            from.set_port(40_000);
            let theirs = bench.peer.accept(bench.now, from).unwrap();
            let order = if ours_first { [ours, theirs] } else { [theirs, ours] };
            let outputs: Vec<Output> =
                order.iter().flat_map(|conn| bench.greet(*conn, Handshake::new(HASH, their_id))).collect();
            let (stays, goes) = if ours_stays { (ours, theirs) } else { (theirs, ours) };
            assert_eq!(closed(&outputs, stays), None);
            assert_eq!(closed(&outputs, goes).unwrap(), "connected twice");
            assert_eq!(bench.peer.peers(torrent).len(), 1);
            // The survivor stands for the address: it is not dialled while it lasts, and again after.
            assert!(dials(&bench.pass(60 * SECOND)).is_empty());
            bench.change(stays, PeerChange::Closed("gone".into()));
            assert_eq!(dials(&bench.pass(60 * SECOND))[0].1, addr);
        }
    }
}

#[test]
fn a_copied_peer_id_from_elsewhere_displaces_nobody() {
    let (mut bench, torrent) = Bench::with_torrent();
    bench.peer.add_peer(bench.now, torrent, global(1));
    let (honest, _) = dials(&bench.drain())[0];
    bench.change(honest, PeerChange::Connected);
    bench.greet(honest, Handshake::new(HASH, [200; 20]));
    assert!(bench.incoming(global(2), [200; 20]).is_none());
    assert_eq!(bench.peer.peers(torrent)[0].conn, honest);
}

#[test]
fn a_connection_without_a_handshake_ends_after_ten_seconds() {
    let (mut bench, torrent) = Bench::with_torrent();
    let incoming = bench.peer.accept(bench.now, global(1)).unwrap();
    bench.peer.add_peer(bench.now, torrent, global(2));
    let (dialled, _) = dials(&bench.drain())[0];
    bench.change(dialled, PeerChange::Connected);
    let early = bench.pass(Duration::from_millis(9_990));
    assert!(closed(&early, incoming).is_none() && closed(&early, dialled).is_none());
    let late = bench.pass(Duration::from_millis(20));
    assert_eq!(closed(&late, incoming).unwrap(), "no handshake in time");
    assert_eq!(closed(&late, dialled).unwrap(), "no handshake in time");
    assert_eq!(bench.peer.stats().connections, 0);
}

/// W5: a thousand connections that say nothing take no place from ten that do.
#[test]
fn slow_handshakes_make_room_for_quick_ones() {
    let (mut bench, torrent) = Bench::with_torrent();
    let mut up = 0;
    for n in 0..1000u32 {
        bench.peer.accept(bench.now, global(n));
        bench.pass(Duration::from_millis(30));
        if n % 100 == 99 {
            up += usize::from(bench.incoming(global(100_000 + n), [n as u8; 20]).is_some());
        }
    }
    assert_eq!(up, 10);
    bench.pass(15 * SECOND);
    assert_eq!(bench.peer.stats().connections, 10, "all the slow ones are gone");
    assert_eq!(bench.peer.peers(torrent).len(), 10);
}

#[test]
fn half_open_dials_and_all_connections_stay_within_their_budgets() {
    let (mut bench, torrent) = Bench::with_torrent();
    for n in 0..2000 {
        bench.peer.add_peer(bench.now, torrent, global(n));
    }
    let mut open = Vec::new();
    for _ in 0..400 {
        let outputs = bench.pass(Duration::from_millis(100));
        open.extend(dials(&outputs).iter().map(|(conn, _)| *conn));
        open.retain(|conn| closed(&outputs, *conn).is_none());
        assert!(bench.peer.stats().half_open <= limits::HALF_OPEN_MAX);
        assert!(bench.peer.stats().connections <= limits::CONNECTIONS_MAX);
        // Some answer, some fail, some never do.
        if let Some(conn) = open.pop() {
            bench.change(conn, PeerChange::Connected);
            let mut peer_id = [0; 20];
            peer_id[..8].copy_from_slice(&conn.0.to_le_bytes());
            bench.greet(conn, Handshake::new(HASH, peer_id));
        }
        if let Some(conn) = open.pop() {
            bench.change(conn, PeerChange::Closed("refused".into()));
        }
    }
    assert_eq!(bench.peer.peers(torrent).len(), bench.peer.config().connections_per_torrent_max);
}

#[test]
fn dials_are_paced() {
    let (mut bench, torrent) = Bench::with_torrent();
    for n in 0..500 {
        bench.peer.add_peer(bench.now, torrent, global(n));
    }
    let mut begun = 0;
    for _ in 0..50 {
        for (conn, _) in dials(&bench.pass(Duration::from_millis(100))) {
            begun += 1;
            bench.change(conn, PeerChange::Closed("refused".into()));
        }
    }
    let rate = bench.peer.config().dials_per_second as usize;
    assert!(begun <= 5 * rate + 25 && begun >= 4 * rate, "{begun} in 5 s");
}

#[test]
fn a_full_table_gives_up_an_idle_connection_for_a_newcomer_but_not_at_once() {
    let mut bench = Bench::new(Config { connections_max: 10, ..Config::default() });
    let torrent = bench.add(params());
    for n in 0..10 {
        assert!(bench.incoming(global(n), [n as u8; 20]).is_some());
    }
    assert!(bench.peer.accept(bench.now, global(50)).is_none(), "they have had no time to show their worth");
    bench.pass(40 * SECOND);
    assert!(bench.incoming(global(51), [51; 20]).is_some());
    assert_eq!(bench.peer.stats().evicted, 1);
    assert!(bench.peer.accept(bench.now, global(52)).is_none(), "one per second");
    assert_eq!(bench.peer.peers(torrent).len(), 10);
}

#[test]
fn a_ban_ends_connections_and_keeps_the_host_out() {
    let (mut bench, torrent) = Bench::with_torrent();
    bench.peer.add_peer(bench.now, torrent, at("9.9.9.9:5000"));
    let (conn, _) = dials(&bench.drain())[0];
    bench.change(conn, PeerChange::Connected);
    bench.greet(conn, Handshake::new(HASH, [9; 20]));
    bench.peer.ban(bench.now, at("9.9.9.9:1"));
    let outputs = bench.drain();
    assert_eq!(closed(&outputs, conn).unwrap(), "banned");
    assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Banned { .. })).count(), 1);
    assert!(bench.peer.accept(bench.now, at("9.9.9.9:777")).is_none());
    assert!(!bench.peer.add_peer(bench.now, torrent, at("9.9.9.9:6000")));
    assert!(dials(&bench.pass(3600 * SECOND)).is_empty());
    bench.peer.unban(at("9.9.9.9:1"));
    assert!(bench.peer.add_peer(bench.now, torrent, at("9.9.9.9:5000")));
}

#[test]
fn torrents_are_known_by_each_hash_once_and_can_be_left() {
    let (mut bench, torrent) = Bench::with_torrent();
    assert_eq!(bench.peer.add_torrent(bench.now, params()), Err(AddError::Exists(torrent)));
    assert_eq!(
        bench.peer.add_torrent(bench.now, TorrentParams::new(Default::default())),
        Err(AddError::NoHash)
    );
    let conn = bench.incoming(global(1), [9; 20]).unwrap();
    bench.peer.add_peer(bench.now, torrent, global(2));
    let (dialled, _) = dials(&bench.drain())[0];
    assert!(bench.peer.remove_torrent(bench.now, torrent));
    let outputs = bench.drain();
    assert_eq!(closed(&outputs, conn).unwrap(), "torrent removed");
    assert_eq!(closed(&outputs, dialled).unwrap(), "torrent removed");
    assert!(bench.incoming(global(3), [9; 20]).is_none());
    assert!(!bench.peer.remove_torrent(bench.now, torrent));
    assert_eq!(bench.peer.add_torrent(bench.now, params()), Ok(TorrentId(torrent.0 + 1)));
}

#[test]
fn after_the_stop_nothing_begins() {
    let (mut bench, torrent) = Bench::with_torrent();
    bench.peer.add_trackers(bench.now, torrent, vec![vec!["http://t.example/announce".into()]]);
    let conn = bench.incoming(global(1), [9; 20]).unwrap();
    bench.peer.stop(bench.now);
    let outputs = bench.drain();
    assert!(closed(&outputs, conn).is_some());
    let stopped = |output: &&Output| matches!(output, Output::Announce { request, .. } if request.event == peerage_peer::AnnounceEvent::Stopped);
    assert_eq!(outputs.iter().filter(stopped).count(), 1);
    assert!(bench.peer.accept(bench.now, global(1)).is_none());
    assert!(bench.pass(3600 * SECOND).is_empty());
    assert_eq!(bench.peer.poll_timeout(), None);
}

#[test]
fn strangers_addresses_are_judged_by_range() {
    for (config, allowed) in [(Config::default(), 1), (Config { allow_local: true, ..Config::default() }, 4)]
    {
        let mut bench = Bench::new(config);
        let mut params = params();
        params.trackers = vec![vec!["http://t.example/announce".into()]];
        let torrent = bench.add(params);
        let outputs = bench.drain();
        let Some(Output::Announce { tracker, .. }) =
            outputs.iter().find(|output| matches!(output, Output::Announce { .. }))
        else {
            panic!()
        };
        let addrs = [
            "8.8.8.8:1",
            "127.0.0.1:1",
            "192.168.1.1:1",
            "10.0.0.1:1",
            "224.0.0.1:1",
            "8.8.8.8:0",
            "0.0.0.0:1",
            "255.255.255.255:5",
        ];
        let reply = peerage_peer::AnnounceReply { peers: addrs.map(at).to_vec(), ..Default::default() };
        bench.peer.handle_tracker(bench.now, torrent, *tracker, Ok(reply));
        let dialled: BTreeSet<_> = dials(&bench.drain()).into_iter().map(|(_, addr)| addr).collect();
        assert_eq!(dialled.len(), allowed, "{dialled:?}");
    }
}

/// The starts of the dials of one address that never gets as far as a handshake: `true` is encrypted. Each
/// dial is opened (`greeting`) or refused.
fn starts(encryption: Encryption, greeting: bool) -> Vec<bool> {
    let mut bench = Bench::new(Config { encryption, ..Config::default() });
    bench.add(TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
    let mut starts = Vec::new();
    while starts.len() < 4 {
        for output in bench.pass(Duration::from_secs(5)) {
            let Output::Dial { conn, encrypt, .. } = output else { continue };
            assert!(encrypt.is_none_or(|info_hash| info_hash == HASH));
            starts.push(encrypt.is_some());
            // An encrypted start fails before the machine hears of an open connection.
            if greeting && encrypt.is_none() {
                bench.change(conn, PeerChange::Connected);
            }
            bench.change(conn, PeerChange::Closed("closed".to_owned()));
        }
    }
    starts
}

#[test]
fn who_refuses_one_start_is_dialled_with_the_other_as_the_policy_allows() {
    assert_eq!(starts(Encryption::Allow, true), [false, true, false, true]);
    assert_eq!(starts(Encryption::Prefer, true), [true, false, true, false]);
    assert_eq!(starts(Encryption::Require, true), [true; 4]);
    assert_eq!(starts(Encryption::Off, true), [false; 4]);
    assert_eq!(starts(Encryption::Allow, false), [false; 4], "not reached at all");
}
