//! One seed and one leecher.

use peerage_base::Duration;
use peerage_content::metainfo::Version;
use peerage_peer::sim::{Content, How, Net, NodeSpec};
use peerage_peer::{Authentication, Config};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_leecher_gets_every_byte_from_a_seed() {
    for version in [Version::V1, Version::Hybrid, Version::V2] {
        for how in [How::Torrent, How::Magnet] {
            let mut net = Net::new(1);
            let content = Content::with(7, &[300_000, 0, 5_000_000, 16_385], 65_536, version);
            let (seed, leecher) = (net.add(NodeSpec::default()), net.add(NodeSpec::default()));
            net.share(seed, &content);
            net.fetch(leecher, &content, how, &[seed], false);
            let done = net.run_until_done(Duration::from_secs(60), &[leecher]);
            assert!(done, "{version:?} {how:?} {:?} {:?}", net.closed(seed), net.closed(leecher));
            assert!(net.has_exactly(leecher, &content));
            assert_eq!(
                net.payload_sent(seed),
                content.len(),
                "{version:?}: nothing is sent twice, pads never"
            );
        }
    }
}

/// The line is 160 times the round trip's worth of one block: only a deep queue fills it.
#[test]
fn a_long_fat_line_is_filled() {
    let rate = 16 * MIB;
    let mut net = Net::new(2);
    let content = Content::new(7, 64 * MIB as usize, 1 << 20);
    let line = NodeSpec {
        latency: Duration::from_millis(40),
        window: 8 * MIB as usize,
        // Two round trips to find out that both could use TLS would count too.
        config: Config { authentication: Authentication::Off, ..Config::default() },
        ..NodeSpec::with_rates(rate, rate)
    };
    let (seed, leecher) = (net.add(line.clone()), net.add(line));
    net.share(seed, &content);
    net.fetch(leecher, &content, How::Torrent, &[seed], false);
    assert!(net.run_until_done(Duration::from_secs(60), &[leecher]));
    let ideal = content.len() as f64 / rate as f64;
    let took = net.done_at(leecher).unwrap().as_secs_f64();
    println!("{took:.2} s, ideal {ideal:.2} s");
    assert!(took >= ideal && took <= 1.3 * ideal, "{took} s, ideal {ideal} s");
}

#[test]
fn the_first_byte_comes_within_300_ms_of_add_peer() {
    let mut net = Net::new(3);
    let content = Content::new(7, 4 * MIB as usize, 1 << 18);
    let line = NodeSpec { latency: Duration::from_millis(10), ..NodeSpec::with_rates(4 * MIB, 4 * MIB) };
    let (seed, leecher) = (net.add(line.clone()), net.add(line));
    net.share(seed, &content);
    let torrent = net.fetch(leecher, &content, How::Torrent, &[], false);
    net.run_for(Duration::from_secs(100));
    let (added, addr) = (net.now(), net.addr(seed));
    net.with_peer(leecher, |peer, now| peer.add_peer(now, torrent, addr));
    net.run_until(Duration::from_secs(5), |net| net.first_byte_at(leecher).is_some());
    let took = net.first_byte_at(leecher).unwrap() - added;
    println!("first byte after {took:?}");
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[test]
fn a_peer_that_is_not_there_yet_is_found_soon_after_it_comes() {
    let mut net = Net::new(4);
    let content = Content::new(7, MIB as usize, 1 << 16);
    let addr = "11.9.9.9:6881".parse().unwrap();
    let leecher = net.add(NodeSpec::default());
    let torrent = net.fetch(leecher, &content, How::Torrent, &[], false);
    net.with_peer(leecher, |peer, now| peer.add_peer(now, torrent, addr));
    net.run_for(Duration::from_secs(20));
    let seed = net.add(NodeSpec { addr: Some(addr), ..NodeSpec::default() });
    net.share(seed, &content);
    let came = net.now();
    assert!(net.run_until_done(Duration::from_secs(60), &[leecher]));
    let took = net.now() - came;
    assert!(took < Duration::from_secs(45), "{took:?}");
}

#[test]
fn caps_of_both_directions_are_kept() {
    for (up, down) in [(Some(MIB), None), (None, Some(MIB))] {
        let mut net = Net::new(5);
        let content = Content::new(7, 8 * MIB as usize, 1 << 18);
        let mut spec = NodeSpec::default();
        spec.config.upload_rate_max = up;
        let seed = net.add(spec);
        let mut spec = NodeSpec::default();
        spec.config.download_rate_max = down;
        let leecher = net.add(spec);
        net.share(seed, &content);
        net.fetch(leecher, &content, How::Torrent, &[seed], false);
        assert!(net.run_until_done(Duration::from_secs(60), &[leecher]));
        let took = net.done_at(leecher).unwrap().as_secs_f64();
        println!("{took:.2} s at 8 times the cap's second");
        assert!(took > 7.5 && took < 9.0, "{up:?} {down:?}: {took} s");
    }
}
