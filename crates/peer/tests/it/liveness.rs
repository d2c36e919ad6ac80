//! Swarms drawn from a seed: whatever their shape, every honest node completes, with the right bytes,
//! and no honest node is banned. A failing seed prints its swarm.

use peerage_base::{Duration, Rng};
use peerage_content::metainfo::Version;
use peerage_peer::sim::{Behaviour, Content, How, Lie, Net, NodeId, NodeSpec};

const KIB: u64 = 1024;

struct Swarm {
    net: Net,
    content: Content,
    honest: Vec<NodeId>,
    leechers: Vec<NodeId>,
    text: String,
}

fn spec(rng: &mut Rng) -> NodeSpec {
    let mut spec = NodeSpec {
        latency: Duration::from_millis(1 + rng.below(80)),
        window: (64 * KIB as usize) << rng.below(4),
        ..NodeSpec::with_rates((64 * KIB) << rng.below(6), (512 * KIB) << rng.below(5))
    };
    spec.config.dials_per_second = 1 + rng.below(60) as u32;
    spec.config.half_open_max = 1 + rng.index(20);
    spec.config.connections_per_torrent_max = 3 + rng.index(40);
    spec.swarm.sequential = rng.below(5) == 0;
    spec.swarm.upload_slots = (rng.below(4) == 0).then(|| 1 + rng.index(6));
    if rng.below(4) == 0 {
        spec.config.upload_rate_max = Some(64 * KIB);
    }
    if rng.below(6) == 0 {
        spec.swarm.inflight_bytes_max = 256 * KIB;
        spec.config.inflight_bytes_max = 256 * KIB;
    }
    spec
}

fn liar(rng: &mut Rng) -> Behaviour {
    let lie = match rng.below(4) {
        0 => Lie::Never,
        1 => Lie::LastBlock,
        _ => Lie::Sometimes(rng.unit()),
    };
    Behaviour { lie, hang_up: if rng.below(2) == 0 { rng.unit() / 10.0 } else { 0.0 }, tamper: None }
}

fn draw(seed: u64) -> Swarm {
    let mut rng = Rng::from_number(seed);
    let mut net = Net::new(seed);
    let version = [Version::V1, Version::Hybrid, Version::V2][rng.index(3)];
    let lens: Vec<usize> = (0..1 + rng.index(4)).map(|_| rng.index(1_500_000)).collect();
    let lens = if lens.iter().sum::<usize>() == 0 { vec![1] } else { lens };
    let piece_len = 16_384 << rng.below(5);
    let content = Content::with(seed, &lens, piece_len, version);
    let (mut honest, mut liars, mut leechers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..1 + rng.index(4) {
        let id = net.add(spec(&mut rng));
        net.share_tracked(id, &content);
        honest.push(id);
    }
    for _ in 0..rng.index(6) {
        let behaviour = liar(&mut rng);
        let id = net.add(NodeSpec { behaviour, ..spec(&mut rng) });
        net.share_tracked(id, &content);
        liars.push(id);
    }
    for _ in 0..1 + rng.index(8) {
        let id = net.add(spec(&mut rng));
        let how = if rng.below(2) == 0 { How::Torrent } else { How::Magnet };
        net.fetch(id, &content, how, &honest[..1], true);
        leechers.push(id);
        net.run_for(Duration::from_millis(rng.below(3000)));
    }
    honest.extend(&leechers);
    let text = format!(
        "seed {seed}: {version:?} {lens:?} in {piece_len}, {} honest, {} liars, {} leechers",
        honest.len(),
        liars.len(),
        leechers.len()
    );
    Swarm { net, content, honest, leechers, text }
}

#[test]
fn every_honest_node_completes_and_none_is_banned() {
    for seed in 0..40 {
        let Swarm { mut net, content, honest, leechers, text } = draw(seed);
        let done = net.run_until_done(Duration::from_secs(1200), &leechers);
        let missing: Vec<&NodeId> = leechers.iter().filter(|id| !net.has_exactly(**id, &content)).collect();
        if !done {
            for id in &missing {
                let torrent = peerage_base::TorrentId(0);
                println!("{id:?} {:?}", net.peer(**id).swarm(torrent).unwrap().stats());
                net.peer(**id).peers(torrent).iter().for_each(|peer| println!("   {peer:?}"));
            }
        }
        assert!(done && missing.is_empty(), "{text}: {missing:?} lack content after {:?}", net.now());
        for id in &honest {
            for (addr, reason) in leechers.iter().flat_map(|leecher| net.banned(*leecher)) {
                assert_ne!(addr.ip(), net.addr(*id).ip(), "{text}: an honest node was banned: {reason}");
            }
        }
        println!("{text}: {:.1} s", net.now().as_secs_f64());
    }
}
