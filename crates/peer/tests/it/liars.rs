//! Peers that send bad data: found out, banned, and the content completes (threats.md W1, W2).

use peerage_base::Duration;
use peerage_peer::sim::{Behaviour, Content, How, Lie, Net, NodeId, NodeSpec};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

struct Outcome {
    net: Net,
    content: Content,
    leecher: NodeId,
    seeds: Vec<NodeId>,
}

/// A leecher among these seeds, until it is done.
fn fetch_from(seed: u64, len: u64, piece_len: u32, behaviours: &[Behaviour]) -> Outcome {
    let mut net = Net::new(seed);
    let content = Content::new(seed, len as usize, piece_len);
    let spec =
        |behaviour: &Behaviour| NodeSpec { behaviour: *behaviour, ..NodeSpec::with_rates(MIB, 16 * MIB) };
    let seeds: Vec<NodeId> = behaviours.iter().map(|behaviour| net.add(spec(behaviour))).collect();
    for id in &seeds {
        net.share(*id, &content);
    }
    let leecher = net.add(NodeSpec::with_rates(MIB, 16 * MIB));
    net.fetch(leecher, &content, How::Torrent, &seeds, false);
    let done = net.run_until_done(Duration::from_secs(180), &[leecher]);
    assert!(done, "seed {seed}: {:?}", net.peer(leecher).stats());
    assert!(net.has_exactly(leecher, &content), "seed {seed}");
    Outcome { net, content, leecher, seeds }
}

impl Outcome {
    fn is_banned(&self, id: NodeId) -> bool {
        let ip = self.net.addr(id).ip();
        self.net.banned(self.leecher).iter().any(|(addr, _)| addr.ip() == ip)
    }

    /// Whether one of its falsified blocks spoiled a piece.
    fn lied(&self, id: NodeId) -> bool {
        self.net.spoiled_by(self.leecher, id) > 0
    }

    fn assert_only_liars_are_banned(&self) {
        for id in &self.seeds {
            assert!(self.lied(*id) || !self.is_banned(*id), "an honest peer was banned");
        }
    }
}

/// W1: 32 seeders, half of which send 5 % bad blocks and hang up after 5 % of their blocks.
#[test]
fn half_of_32_seeders_lie_now_and_then() {
    let liar = Behaviour { lie: Lie::Sometimes(0.05), hang_up: 0.05, tamper: None };
    let behaviours: Vec<Behaviour> =
        (0..32).map(|i| if i % 2 == 0 { liar } else { Behaviour::default() }).collect();
    for seed in 1..=3 {
        let outcome = fetch_from(seed, 64 * MIB, 512 * KIB as u32, &behaviours);
        outcome.assert_only_liars_are_banned();
        let lied: Vec<&NodeId> = outcome.seeds.iter().filter(|id| outcome.lied(**id)).collect();
        let banned = lied.iter().filter(|id| outcome.is_banned(***id)).count();
        let sent: u64 = outcome.seeds.iter().map(|id| outcome.net.payload_sent(*id)).sum();
        println!(
            "seed {seed}: {:.1} s, {} of {} that lied were banned, {:.2} copies sent",
            outcome.net.now().as_secs_f64(),
            banned,
            lied.len(),
            sent as f64 / outcome.content.len() as f64
        );
        assert_eq!(banned, lied.len());
        assert!(lied.len() >= 4, "the scenario is to have liars");
    }
}

/// W2: one honest seed, 19 poisoners. Each is banned after at most four bad pieces, and what is sent
/// is at most twice the content.
#[test]
fn one_honest_seed_among_nineteen_poisoners() {
    for lie in [Lie::Sometimes(1.0), Lie::Sometimes(0.33), Lie::Sometimes(0.1), Lie::LastBlock] {
        let poisoner = Behaviour { lie, ..Behaviour::default() };
        let mut behaviours = vec![poisoner; 20];
        behaviours[7] = Behaviour::default();
        let outcome = fetch_from(11, 32 * MIB, 256 * KIB as u32, &behaviours);
        outcome.assert_only_liars_are_banned();
        let banned = outcome.seeds.iter().filter(|id| outcome.is_banned(**id)).count();
        let stats =
            outcome.net.peer(outcome.leecher).swarm(peerage_base::TorrentId(0)).unwrap().stats().clone();
        let received = (stats.downloaded + stats.wasted) as f64 / outcome.content.len() as f64;
        println!(
            "{lie:?}: {:.1} s, {banned} of 19 banned, {} bad pieces, {received:.2} copies received",
            outcome.net.now().as_secs_f64(),
            stats.pieces_failed
        );
        assert_eq!(banned, 19, "{lie:?}");
        assert!(stats.pieces_failed <= 19 * 4, "{lie:?}: {} bad pieces", stats.pieces_failed);
        assert!(received <= 2.0, "{lie:?}: {received} copies");
    }
}
