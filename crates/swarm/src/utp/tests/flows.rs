//! How fast it is, and to whom it yields.

use crate::utp::Config;
use crate::utp::sim::{Bottleneck, Link, Net, Reno};
use peerage_base::Duration;

const MIB: f64 = 1024.0 * 1024.0;

fn received(net: &Net, host: usize) -> f64 {
    net.hosts[host].streams.values().map(|stream| stream.read as f64).sum()
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * share) as usize).copied().unwrap_or(0.0)
}

/// Sending hosts, each with a receiving one, through one bottleneck of `rate` with `room`.
fn flows(seed: u64, count: usize, rate: f64, room: usize, delay: u64) -> Net {
    let mut net = Net::new(seed);
    net.bottlenecks.push(Bottleneck::new(rate, room));
    let link = Link::new(Duration::from_millis(delay), 0.0);
    for _ in 0..count {
        let sender = net.host(Config::default(), link);
        net.hosts[sender].via = Some(0);
        net.host(Config::default(), link);
    }
    net
}

/// A round trip of 50 ms and 1 % loss: by Mathis et al. (1997) TCP Reno gets 1.22 packets per round trip
/// and root of the loss, 330 kB/s here, and CUBIC is Reno's equal there (RFC 9438, 4.3).
#[test]
fn loss_of_one_percent_leaves_what_tcp_would_get() {
    let link = Link::new(Duration::from_millis(25), 0.01);
    let mut net = Net::new(1);
    let (a, b) = (net.host(Config::default(), link), net.host(Config::default(), link));
    net.connect(a, b, u64::MAX / 2);
    net.run_until(net.now + Duration::from_secs(120));
    let rate = received(&net, b) / 120.0;
    let reno = 1.22 * 1352.0 / 0.05 / 0.1;
    println!("50 ms, 1 % loss: {:.0} kB/s, {:.2} of Reno", rate / 1e3, rate / reno);
    assert!(rate > 0.9 * reno, "{rate} of {reno}");
}

#[test]
fn a_fast_path_is_filled() {
    let mut net = flows(2, 1, 20.0 * MIB, 4 << 20, 25);
    net.connect(0, 1, u64::MAX / 2);
    net.run_until(net.now + Duration::from_secs(10));
    let rate = received(&net, 1) / 10.0;
    println!("20 MiB/s, 50 ms: {:.1} MiB/s", rate / MIB);
    assert!(rate > 15.0 * MIB, "{rate}");
}

/// A queue that would hold two seconds is kept near the target, and the link is used; though the clocks
/// drift apart, ten times as fast as real ones.
#[test]
fn the_queue_stays_near_the_target() {
    for drift in [0, 2000, -2000] {
        let mut net = flows(3, 1, MIB, 2 << 20, 20);
        net.hosts[1].clock_drift = drift;
        net.connect(0, 1, u64::MAX / 2);
        let mut delays = Vec::new();
        let start = net.now + Duration::from_secs(20);
        for turn in 0..400 {
            net.run_until(start + Duration::from_millis(100 * turn));
            delays.push(net.bottlenecks[0].waiting(net.now) / MIB * 1e3);
        }
        let rate = received(&net, 1) / 60.0;
        let (median, high) = (percentile(&mut delays, 0.5), percentile(&mut delays, 0.95));
        println!(
            "clock drift {drift} ppm: queue {median:.0} ms, 95 % {high:.0} ms, link used {:.2}",
            rate / MIB
        );
        assert!(median < 130.0 && high < 170.0, "{median} {high}");
        assert!(rate > 0.85 * MIB, "{rate}");
    }
}

/// A flow that only loss stops gets most of the link, and uTP what it leaves.
#[test]
fn it_yields_to_a_flow_that_fills_the_queue() {
    let round_trip = Duration::from_millis(40);
    let mut net = flows(4, 1, MIB, 600_000, 20);
    net.connect(0, 1, u64::MAX / 2);
    net.run_until(net.now + Duration::from_secs(20));
    let before = received(&net, 1);
    let mut reno = Reno::new();
    let start = net.now;
    for turn in 0..60_000 {
        net.run_until(start + Duration::from_millis(turn));
        let now = net.now;
        reno.turn(now, &mut net.bottlenecks[0], round_trip);
    }
    let (utp, tcp) = (received(&net, 1) - before, reno.delivered as f64);
    println!(
        "beside a loss-based flow: uTP {:.2}, the other {:.2} of the link",
        utp / 60.0 / MIB,
        tcp / 60.0 / MIB
    );
    assert!(tcp > 5.0 * utp, "{tcp} {utp}");
    assert!(tcp + utp > 0.85 * 60.0 * MIB);
    // And takes the link back.
    net.run_until(net.now + Duration::from_secs(5));
    let before = received(&net, 1);
    net.run_until(net.now + Duration::from_secs(20));
    let rate = (received(&net, 1) - before) / 20.0;
    assert!(rate > 0.8 * MIB, "{rate}");
}

/// The one that comes late does not starve the one that was there, nor the other way round.
#[test]
fn two_flows_share_fairly() {
    for seed in 5..8 {
        let mut net = flows(seed, 2, MIB, 2 << 20, 20);
        net.connect(0, 1, u64::MAX / 2);
        net.run_until(net.now + Duration::from_secs(20));
        net.connect(2, 3, u64::MAX / 2);
        net.run_until(net.now + Duration::from_secs(30));
        let (one, two) = (received(&net, 1), received(&net, 3));
        net.run_until(net.now + Duration::from_secs(120));
        let (one, two) = (received(&net, 1) - one, received(&net, 3) - two);
        let fairness = (one + two).powi(2) / (2.0 * (one * one + two * two));
        println!(
            "two flows: {:.2} and {:.2} MiB/s, Jain {fairness:.3}",
            one / 120.0 / MIB,
            two / 120.0 / MIB
        );
        assert!(fairness > 0.9, "{one} {two}");
        assert!(one + two > 0.8 * 120.0 * MIB);
    }
}
