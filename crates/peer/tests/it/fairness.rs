//! Tit-for-tat: who uploads gets more, who does not gets something (Cohen 2003).

use peerage_base::{Duration, TorrentId};
use peerage_peer::sim::{Content, How, Net, NodeId, NodeSpec};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const TORRENT: TorrentId = TorrentId(0);

fn downloaded(net: &Net, id: NodeId) -> u64 {
    net.peer(id).swarm(TORRENT).map_or(0, |swarm| swarm.stats().downloaded)
}

/// Eight leechers that upload and four that do not, all with equal lines and a random third of the
/// content, so that everybody has something for everybody: until the first one is nearly done.
fn mean_downloads(seed: u64) -> (f64, f64, u64) {
    let mut net = Net::new(seed);
    let content = Content::new(seed, 64 * MIB as usize, 256 * KIB as u32);
    let mut add = |slots: Option<usize>| {
        let mut spec = NodeSpec::with_rates(64 * KIB, 4 * MIB);
        spec.swarm.upload_slots = slots;
        let id = net.add(spec);
        net.resume_tracked(id, &content, 0.33);
        id
    };
    let uploaders: Vec<NodeId> = (0..8).map(|_| add(None)).collect();
    let riders: Vec<NodeId> = (0..4).map(|_| add(Some(0))).collect();
    let enough = content.len() * 6 / 10;
    let reached = net.run_until(Duration::from_secs(3600), |net| {
        uploaders.iter().any(|id| downloaded(net, *id) >= enough)
    });
    assert!(reached);
    let mean =
        |ids: &[NodeId]| ids.iter().map(|id| downloaded(&net, *id)).sum::<u64>() as f64 / ids.len() as f64;
    let least = riders.iter().map(|id| downloaded(&net, *id)).min().unwrap();
    println!(
        "seed {seed}: {:.0} s, uploaders {:.1} MiB, free riders {:.1} MiB, ratio {:.1}, the least {:.1} MiB",
        net.now().as_secs_f64(),
        mean(&uploaders) / MIB as f64,
        mean(&riders) / MIB as f64,
        mean(&uploaders) / mean(&riders),
        least as f64 / MIB as f64
    );
    (mean(&uploaders), mean(&riders), least)
}

#[test]
fn uploaders_get_three_times_what_free_riders_get_and_those_get_something() {
    for seed in 1..=3 {
        let (uploaders, riders, least) = mean_downloads(seed);
        assert!(uploaders >= 3.0 * riders, "{:.2} times", uploaders / riders);
        assert!(least > 0);
    }
}

/// Two torrents that want all of a capped uplink share it evenly.
#[test]
fn torrents_share_a_cap_evenly() {
    let mut net = Net::new(9);
    let contents = [1, 2].map(|n| Content::new(n, 32 * MIB as usize, 256 * KIB as u32));
    let mut spec = NodeSpec::default();
    spec.config.upload_rate_max = Some(MIB);
    let source = net.add(spec);
    let torrents = [0, 1].map(|n: usize| net.share(source, &contents[n]));
    // Three leechers against one: torrents are equal, not connections.
    for n in [0, 0, 0, 1] {
        let mut spec = NodeSpec::default();
        spec.swarm.upload_slots = Some(0);
        let leecher = net.add(spec);
        net.fetch(leecher, &contents[n], How::Torrent, &[source], false);
    }
    net.run_for(Duration::from_secs(25));
    let sent = torrents.map(|id| net.peer(source).swarm(id).unwrap().stats().uploaded as f64 / MIB as f64);
    println!("sent {sent:?} MiB in 25 s at 1 MiB/s");
    assert!(
        sent.iter().sum::<f64>() > 23.0 && sent.iter().sum::<f64>() < 26.5,
        "the cap is used and kept: {sent:?}"
    );
    let ratio = sent[0] / sent[1];
    assert!(ratio > 0.8 && ratio < 1.25, "{sent:?}");
}

#[test]
fn torrents_share_a_download_cap_evenly() {
    let mut net = Net::new(10);
    let contents = [1, 2].map(|n| Content::new(n, 32 * MIB as usize, 256 * KIB as u32));
    let mut spec = NodeSpec::default();
    spec.config.download_rate_max = Some(MIB);
    let leecher = net.add(spec);
    let seeds: Vec<NodeId> = [0, 0, 0, 1]
        .iter()
        .map(|n: &usize| {
            let id = net.add(NodeSpec::default());
            net.share(id, &contents[*n]);
            id
        })
        .collect();
    let torrents = [(0, &seeds[..3]), (1, &seeds[3..])]
        .map(|(n, peers)| net.fetch(leecher, &contents[n], How::Torrent, peers, false));
    net.run_for(Duration::from_secs(25));
    let got = torrents.map(|id| net.peer(leecher).swarm(id).unwrap().stats().downloaded as f64 / MIB as f64);
    println!("got {got:?} MiB in 25 s at 1 MiB/s");
    assert!(got.iter().sum::<f64>() > 23.0 && got.iter().sum::<f64>() < 26.5, "{got:?}");
    let ratio = got[0] / got[1];
    assert!(ratio > 0.8 && ratio < 1.25, "{got:?}");
}
