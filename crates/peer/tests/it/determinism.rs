//! The same seed gives the same trace. `cargo xtask determinism` compares it between processes.

use peerage_base::Duration;
use peerage_content::metainfo::Version;
use peerage_peer::sim::{Behaviour, Content, How, Lie, Net, NodeSpec};

fn trace(seed: u64) -> (u64, u64) {
    let mut net = Net::new(seed);
    let content = Content::with(seed, &[500_000, 100_000], 32_768, Version::Hybrid);
    for lie in [Lie::Never, Lie::Sometimes(0.1)] {
        let behaviour = Behaviour { lie, hang_up: 0.01, tamper: None };
        let seed = net.add(NodeSpec { behaviour, ..NodeSpec::with_rates(200_000, 200_000) });
        net.share_tracked(seed, &content);
    }
    for how in [How::Torrent, How::Magnet, How::Torrent] {
        let node = net.add(NodeSpec::with_rates(50_000, 400_000));
        net.fetch(node, &content, how, &[], true);
    }
    net.run_for(Duration::from_secs(60));
    (net.trace(), net.steps())
}

#[test]
fn equal_seeds_give_equal_traces_and_unequal_ones_do_not() {
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
