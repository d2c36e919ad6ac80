//! How peers find each other: tracker, peer exchange, and what is refused.

use peerage_base::{Duration, Rng};
use peerage_content::metainfo::Version;
use peerage_peer::AnnounceEvent;
use peerage_peer::sim::{Behaviour, Content, How, Net, NodeId, NodeSpec};
use peerage_swarm::Message;
use peerage_wire::extension::{self, Extended, LOCAL_IDS, Pex, PexPeer};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

#[test]
fn a_tracker_is_enough() {
    let mut net = Net::new(1);
    let content = Content::with(1, &[4 * MIB as usize], 64 * KIB as u32, Version::Hybrid);
    let seed = net.add(NodeSpec::default());
    net.share_tracked(seed, &content);
    let leechers: Vec<NodeId> = (0..4).map(|_| net.add(NodeSpec::default())).collect();
    for id in &leechers {
        net.fetch(*id, &content, How::Magnet, &[], true);
    }
    assert!(net.run_until_done(Duration::from_secs(60), &leechers));
    let last = leechers[0];
    net.with_peer(last, |peer, now| peer.stop(now));
    net.run_for(Duration::from_secs(1));
    let addr = net.addr(last);
    let events: Vec<AnnounceEvent> = net
        .announces()
        .iter()
        .filter(|(_, from, _)| *from == addr)
        .map(|(_, _, request)| request.event)
        .collect();
    // Each word twice: a hybrid has two hashes.
    use AnnounceEvent::{Completed, Started, Stopped};
    assert_eq!(events, [Started, Started, Completed, Completed, Stopped, Stopped]);
    let of_seed: Vec<AnnounceEvent> = net
        .announces()
        .iter()
        .filter(|(_, from, _)| *from == net.addr(seed))
        .map(|(_, _, request)| request.event)
        .collect();
    assert_eq!(of_seed, [Started, Started], "a seed never says completed");
}

/// Everybody knows one node only; peer exchange makes them all acquainted.
#[test]
fn peer_exchange_spreads_the_word() {
    let mut net = Net::new(2);
    let content = Content::new(2, 32 * MIB as usize, 256 * KIB as u32);
    let hub = net.add(NodeSpec::with_rates(64 * KIB, MIB));
    net.share(hub, &content);
    let leechers: Vec<NodeId> = (0..8).map(|_| net.add(NodeSpec::with_rates(64 * KIB, MIB))).collect();
    for id in &leechers {
        net.fetch(*id, &content, How::Torrent, &[hub], false);
    }
    net.run_for(Duration::from_secs(150));
    let known: Vec<usize> = leechers.iter().map(|id| net.peer(*id).stats().connections).collect();
    println!("connections after 150 s: {known:?}");
    assert!(known.iter().all(|count| *count == 8), "{known:?}");
}

#[test]
fn a_private_torrent_exchanges_no_peers() {
    let mut net = Net::new(3);
    let content = Content::private(3, 32 * MIB as usize, 256 * KIB as u32);
    let hub = net.add(NodeSpec::with_rates(64 * KIB, MIB));
    net.share(hub, &content);
    let leechers: Vec<NodeId> = (0..4).map(|_| net.add(NodeSpec::with_rates(64 * KIB, MIB))).collect();
    for (i, id) in leechers.iter().enumerate() {
        let how = if i % 2 == 0 { How::Torrent } else { How::Magnet };
        net.fetch(*id, &content, how, &[hub], false);
    }
    net.run_for(Duration::from_secs(200));
    for id in &leechers {
        assert_eq!(net.peer(*id).stats().connections, 1);
        assert!(net.dialled(*id).iter().all(|addr| *addr == net.addr(hub)));
    }
}

/// Sends far more made-up peers than are allowed, in every range that must not be dialled, and a few
/// that might be.
fn poison(rng: &mut Rng, message: Message) -> Option<Message> {
    let Message::Extended { id, payload } = &message else { return Some(message) };
    if Some(*id) != LOCAL_IDS.pex || !matches!(extension::decode(*id, payload), Ok(Extended::Pex(_))) {
        return Some(message);
    }
    let fake = |rng: &mut Rng| {
        let [a, b, c, d] = rng.next_u32().to_be_bytes();
        let ip = match rng.below(9) {
            0 => [127, a, b, c],
            1 => [10, a, b, c],
            2 => [192, 168, a, b],
            3 => [172, 16 + a % 16, b, c],
            4 => [169, 254, a, b],
            5 => [224 + a % 16, b, c, d],
            6 => [0, a, b, c],
            7 => [255; 4],
            _ => [12, a, b, c],
        };
        SocketAddr::from((ip, if a == 7 { 0 } else { 1 + u16::from(b) }))
    };
    let added = (0..2000).map(|_| PexPeer { addr: fake(rng), flags: 0 }).collect();
    let payload = Pex { added, ..Pex::default() }.encode();
    Some(Message::Extended { id: *id, payload })
}

#[test]
fn poisoned_peer_exchange_leads_nowhere_special() {
    let mut net = Net::new(4);
    let content = Content::new(4, 64 * MIB as usize, 256 * KIB as u32);
    let honest: Vec<NodeId> = (0..5).map(|_| net.add(NodeSpec::with_rates(32 * KIB, MIB))).collect();
    let behaviour = Behaviour { tamper: Some(poison), ..Behaviour::default() };
    let poisoners: Vec<NodeId> =
        (0..5).map(|_| net.add(NodeSpec { behaviour, ..NodeSpec::with_rates(32 * KIB, MIB) })).collect();
    for id in honest.iter().chain(&poisoners) {
        net.share(*id, &content);
    }
    let leecher = net.add(NodeSpec::with_rates(MIB, MIB));
    let all: Vec<NodeId> = honest.iter().chain(&poisoners).copied().collect();
    let torrent = net.fetch(leecher, &content, How::Torrent, &all, false);
    // Peer exchange tells of somebody: a few leechers come too.
    for id in &all {
        let other = net.add(NodeSpec::with_rates(16 * KIB, MIB));
        net.fetch(other, &content, How::Torrent, &[*id, leecher], false);
    }
    net.run_for(Duration::from_secs(240));
    let special: BTreeSet<SocketAddr> = net
        .dialled(leecher)
        .iter()
        .copied()
        .filter(|addr| {
            !matches!(addr.ip(), std::net::IpAddr::V4(ip) if matches!(ip.octets()[0], 11 | 12))
                || addr.port() == 0
        })
        .collect();
    assert!(special.is_empty(), "{special:?}");
    assert!(net.peer(leecher).known(torrent) <= peerage_base::limits::CANDIDATES_MAX);
    let connected: BTreeSet<_> = net.peer(leecher).peers(torrent).iter().map(|peer| peer.addr.ip()).collect();
    let kept = honest.iter().filter(|id| connected.contains(&net.addr(**id).ip())).count();
    let refused = net.peer(leecher).stats().addresses_refused;
    println!(
        "{refused} addresses refused, {} dials, {kept} of 5 honest seeds connected",
        net.dialled(leecher).len()
    );
    assert_eq!(kept, 5);
    assert!(refused > 0, "the poisoners were heard");
}
