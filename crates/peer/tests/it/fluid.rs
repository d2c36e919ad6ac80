//! Distribution time against the fluid bound (Kumar and Ross 2006, papers.md section 9):
//! `max(F/us, F/dmin, N F/(us + sum ui))`. Nothing can be faster; Peerage is at most 1.3 times slower.

use peerage_base::Duration;
use peerage_peer::sim::{Content, How, Net, NodeId, NodeSpec};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// One seed, and leechers with these lines (up, down), all given each other by the tracker.
fn distribute(seed: u64, len: u64, piece_len: u32, seed_up: u64, leechers: &[(u64, u64)]) -> (f64, f64, f64) {
    let mut net = Net::new(seed);
    let content = Content::new(seed, len as usize, piece_len);
    let source = net.add(NodeSpec::with_rates(seed_up, 64 * MIB));
    net.share_tracked(source, &content);
    let ids: Vec<NodeId> =
        leechers.iter().map(|(up, down)| net.add(NodeSpec::with_rates(*up, *down))).collect();
    for id in &ids {
        net.fetch(*id, &content, How::Torrent, &[source], true);
    }
    let (f, us, n) = (len as f64, seed_up as f64, leechers.len() as f64);
    let dmin = leechers.iter().map(|(_, down)| *down).min().unwrap() as f64;
    let ui: u64 = leechers.iter().map(|(up, _)| up).sum();
    let bound = (f / us).max(f / dmin).max(n * f / (us + ui as f64));
    let done = net.run_until_done(Duration::from_secs_f64(bound * 10.0), &ids);
    assert!(done, "seed {seed}: not done after ten times the bound of {bound:.1} s");
    assert!(ids.iter().all(|id| net.has_exactly(*id, &content)));
    let took = net.now().as_secs_f64();
    let copies = net.payload_sent(source) as f64 / f;
    println!(
        "seed {seed}: {took:.2} s, bound {bound:.2} s, ratio {:.3}, copies sent by the seed {copies:.2}",
        took / bound
    );
    (took, bound, copies)
}

#[test]
fn one_seed_with_a_cap_to_four_leechers() {
    for seed in 1..=3 {
        let (took, bound, copies) =
            distribute(seed, 32 * MIB, 256 * KIB as u32, 2 * MIB, &[(16 * MIB, 16 * MIB); 4]);
        assert!(took >= bound && took <= 1.3 * bound, "{took} s against {bound} s");
        assert!(copies <= 1.2, "{copies} copies");
    }
}

#[test]
fn ten_leechers_whose_uplinks_decide() {
    let (took, bound, _) = distribute(5, 24 * MIB, 128 * KIB as u32, 2 * MIB, &[(256 * KIB, 4 * MIB); 10]);
    assert!(took >= bound && took <= 1.3 * bound, "{took} s against {bound} s");
}

#[test]
fn unlike_leechers_are_bound_by_the_slowest_downlink() {
    let lines = [(MIB, 8 * MIB), (MIB, 8 * MIB), (256 * KIB, MIB), (2 * MIB, 8 * MIB)];
    let (took, bound, _) = distribute(6, 16 * MIB, 128 * KIB as u32, 4 * MIB, &lines);
    assert!(took >= bound && took <= 1.3 * bound, "{took} s against {bound} s");
}
