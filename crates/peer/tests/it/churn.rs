//! Nodes come and go; those that stay complete.

use peerage_base::{Duration, Rng};
use peerage_peer::sim::{Content, How, Net, NodeId, NodeSpec};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Thirty leechers come over a minute; a third of them vanish without a word at random moments; the
/// seed leaves in the middle, once every piece is out.
#[test]
fn those_that_stay_complete_though_others_vanish() {
    for seed in 1..=3 {
        let mut net = Net::new(seed);
        let mut rng = Rng::from_number(seed);
        let content = Content::new(seed, 8 * MIB as usize, 64 * KIB as u32);
        let source = net.add(NodeSpec::with_rates(2 * MIB, 8 * MIB));
        net.share_tracked(source, &content);
        let (mut stay, mut leave) = (Vec::new(), Vec::new());
        for i in 0..30 {
            let id = net.add(NodeSpec::with_rates((128 * KIB) << rng.below(3), 4 * MIB));
            net.fetch(id, &content, if i % 2 == 0 { How::Torrent } else { How::Magnet }, &[], true);
            if i % 3 == 2 {
                leave.push(id)
            } else {
                stay.push(id)
            }
            net.run_for(Duration::from_millis(rng.below(4000)));
            if i % 3 == 1
                && i > 5
                && let Some(id) = leave.pop()
            {
                net.kill(id);
            }
        }
        let out = |net: &Net| stay.iter().filter(|id| net.done_at(**id).is_some()).count() >= 3;
        assert!(net.run_until(Duration::from_secs(600), out), "seed {seed}");
        net.kill(source);
        leave.into_iter().for_each(|id| net.kill(id));
        let done = net.run_until_done(Duration::from_secs(600), &stay);
        let finished = stay.iter().filter(|id| net.has_exactly(**id, &content)).count();
        println!("seed {seed}: {finished} of {} complete after {:.0} s", stay.len(), net.now().as_secs_f64());
        assert!(done && finished == stay.len(), "seed {seed}: {finished} of {}", stay.len());
    }
}

/// A seed whose every connection breaks again and again still gets its content across.
#[test]
fn broken_connections_are_made_again() {
    let mut net = Net::new(4);
    let content = Content::new(4, 4 * MIB as usize, 64 * KIB as u32);
    let mut spec = NodeSpec::with_rates(MIB, MIB);
    spec.behaviour.hang_up = 0.02;
    let seeds: Vec<NodeId> = (0..2).map(|_| net.add(spec.clone())).collect();
    seeds.iter().for_each(|id| {
        net.share(*id, &content);
    });
    let leecher = net.add(NodeSpec::with_rates(MIB, MIB));
    net.fetch(leecher, &content, How::Torrent, &seeds, false);
    assert!(net.run_until_done(Duration::from_secs(120), &[leecher]));
    println!("{} dials, {:.1} s", net.dialled(leecher).len(), net.now().as_secs_f64());
    assert!(net.dialled(leecher).len() > 4);
}
