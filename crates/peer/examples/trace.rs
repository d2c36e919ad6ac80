//! Prints the trace of one seeded scenario; `cargo xtask determinism` compares it between processes.
//!
//! Twelve nodes with different lines fetch a hybrid torrent, half of them by magnet link, through a
//! tracker and peer exchange; one seed lies, another hangs up now and then, one node vanishes.

// The seed is an argument: this is a program around the machines, not one of them.
#![allow(clippy::disallowed_methods)]

use peerage_base::Duration;
use peerage_content::metainfo::Version;
use peerage_peer::sim::{Behaviour, Content, How, Lie, Net, NodeSpec};

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut net = Net::new(seed);
    let content = Content::with(seed, &[1_000_000, 0, 300_001, 16_384], 65_536, Version::Hybrid);
    let behaviours = [
        Behaviour::default(),
        Behaviour { lie: Lie::Sometimes(0.05), ..Behaviour::default() },
        Behaviour { hang_up: 0.01, ..Behaviour::default() },
    ];
    for behaviour in behaviours {
        let node = net.add(NodeSpec { behaviour, ..NodeSpec::with_rates(500_000, 500_000) });
        net.share_tracked(node, &content);
    }
    let leechers: Vec<_> = (0..9)
        .map(|i| {
            let node = net.add(NodeSpec::with_rates(100_000 * (1 + i % 3), 1_000_000));
            let how = if i % 2 == 0 { How::Torrent } else { How::Magnet };
            net.fetch(node, &content, how, &[], true);
            node
        })
        .collect();
    net.run_for(Duration::from_secs(5));
    net.kill(leechers[8]);
    let done = net.run_until_done(Duration::from_secs(600), &leechers[..8]);
    let finished = leechers.iter().filter(|node| net.has_exactly(**node, &content)).count();
    println!(
        "seed {seed}: trace {:016x}, {} events, all done {done}, {finished} have the content",
        net.trace(),
        net.steps()
    );
}
