//! Everything arrives, in order, whatever the network does.

use crate::utp::sim::{Link, Net};
use crate::utp::{Config, Reason, UtpId};
use peerage_base::Duration;

const MIB: u64 = 1024 * 1024;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two hosts, and a connection over which the first sends `bytes` and the second `back`.
fn pair(seed: u64, link: Link, bytes: u64) -> (Net, UtpId) {
    let mut net = Net::new(seed);
    let (a, b) = (net.host(Config::default(), link), net.host(Config::default(), link));
    let id = net.connect(a, b, bytes);
    (net, id)
}

fn received(net: &Net) -> u64 {
    net.hosts[1].streams.values().map(|stream| stream.read).sum()
}

/// Both streams of the one connection ended.
fn ended(net: &Net) -> bool {
    let ended = |host: usize| net.hosts[host].streams.values().any(|stream| stream.ended);
    ended(0) && ended(1)
}

#[test]
fn a_clean_link_delivers_everything_and_both_ends_end() {
    let (mut net, _) = pair(1, Link::new(millis(10), 0.0), 3 * MIB);
    assert!(net.run(Duration::from_secs(60), ended));
    assert_eq!(received(&net), 3 * MIB);
    // What is repeated is little.
    assert!(net.hosts[0].sent_bytes < 3 * MIB + 3 * MIB / 50, "{}", net.hosts[0].sent_bytes);
    // Acknowledgements go for two packets, but while there is a gap.
    assert!(net.hosts[1].sent_datagrams < net.hosts[0].sent_datagrams * 7 / 10);
}

#[test]
fn both_directions_at_once() {
    let (mut net, id) = pair(2, Link::new(millis(10), 0.01), MIB);
    net.answer = 2 * MIB;
    assert!(net.run(Duration::from_secs(60), ended));
    assert_eq!((received(&net), net.hosts[0].streams[&id].read), (MIB, 2 * MIB));
}

#[test]
fn everything_arrives_under_loss_reordering_and_duplication() {
    for (seed, loss) in [(1, 0.01), (2, 0.05), (3, 0.1), (4, 0.2), (5, 0.3), (6, 0.3)] {
        let link = Link { twice: 0.05, late: 0.1, jitter: millis(30), ..Link::new(millis(20), loss) };
        let bytes = if loss > 0.15 { MIB / 4 } else { MIB };
        let (mut net, _) = pair(seed, link, bytes);
        assert!(
            net.run(Duration::from_secs(600), |net| received(net) == bytes),
            "{loss}: {}",
            received(&net)
        );
        assert!(net.run(Duration::from_secs(60), ended), "loss {loss}");
    }
}

/// BEP 29's numbers have 16 bits: more packets than that, on a link that loses and reorders.
#[test]
fn sequence_numbers_wrap() {
    let link = Link { late: 0.01, jitter: millis(2), ..Link::new(millis(1), 0.001) };
    let (mut net, _) = pair(7, link, 100 * MIB);
    assert!(net.run(Duration::from_secs(600), |net| received(net) == 100 * MIB));
    assert!(net.hosts[0].sent_datagrams > 70_000);
}

#[test]
fn a_reader_that_does_not_read_stops_the_sender() {
    let (mut net, id) = pair(8, Link::new(millis(10), 0.0), 3 * MIB);
    assert!(net.run(Duration::from_secs(5), |net| !net.hosts[1].streams.is_empty()));
    net.hosts[1].streams.values_mut().for_each(|stream| stream.reads = false);
    net.run_until(net.now + Duration::from_secs(120));
    let written = net.hosts[0].streams[&id].written;
    let Config { receive_bytes_max, unsent_bytes_max, .. } = Config::default();
    assert!(
        written < (receive_bytes_max + unsent_bytes_max + 100_000) as u64 && written < 2 * MIB,
        "{written}"
    );
    // The connection lives, and goes on.
    assert_eq!(net.hosts[0].streams[&id].closed, None);
    net.hosts[1].streams.values_mut().for_each(|stream| stream.reads = true);
    // That there is room again gets lost: the sender asks.
    net.filter = Box::new(|_, from, _| from == 0);
    net.settle(1);
    net.filter = Box::new(|_, _, _| true);
    assert!(net.run(Duration::from_secs(30), |net| received(net) == 3 * MIB));
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let (mut net, id) = pair(9, Link::new(millis(10), 0.0), 30 * MIB);
    assert!(net.run(Duration::from_secs(5), |net| received(net) > MIB));
    net.filter = Box::new(|_, _, _| false);
    assert!(net.run(Duration::from_secs(60), |net| net.hosts[0].streams[&id].closed.is_some()));
    assert_eq!(net.hosts[0].streams[&id].closed, Some(Reason::TimedOut));
}

#[test]
fn nobody_there() {
    let mut net = Net::new(10);
    let a = net.host(Config::default(), Link::new(millis(10), 0.0));
    let b = net.host(Config::default(), Link::new(millis(10), 1.0));
    net.filter = Box::new(|_, from, _| from == 0);
    let id = net.connect(a, b, 1);
    net.filter = Box::new(|_, _, _| false);
    assert!(net.run(Duration::from_secs(11), |net| net.hosts[0].streams[&id].closed.is_some()));
    assert_eq!(net.hosts[0].streams[&id].closed, Some(Reason::TimedOut));
    // At 0, 1, 3 and 7 s (BEP 29: 1 s, doubling).
    assert_eq!(net.hosts[0].sent_datagrams, 4);
}

#[test]
fn a_reset_reaches_the_other_end_and_a_forgotten_connection_is_answered_by_one() {
    let (mut net, id) = pair(11, Link::new(millis(10), 0.0), 30 * MIB);
    assert!(net.run(Duration::from_secs(5), |net| received(net) > MIB));
    let accepted = net.hosts[1].accepted[0];
    let now = net.hosts[1].clock(net.now);
    net.hosts[1].endpoint.reset(now, accepted);
    // It is lost on the way: what comes in later is answered once more.
    net.filter = Box::new(|_, from, _| from == 0);
    net.settle(1);
    assert!(net.hosts[1].endpoint.is_empty());
    net.filter = Box::new(|_, _, _| true);
    assert!(net.run(Duration::from_secs(2), |net| net.hosts[0].streams[&id].closed.is_some()));
    assert_eq!(net.hosts[0].streams[&id].closed, Some(Reason::Reset));
}

#[test]
fn what_was_written_arrives_after_its_writer_left() {
    let (mut net, id) = pair(12, Link::new(millis(10), 0.05), 200_000);
    assert!(net.run(Duration::from_secs(5), |net| net.hosts[0].streams[&id].to_write == 0));
    let now = net.hosts[0].clock(net.now);
    net.hosts[0].endpoint.release(now, id);
    net.settle(0);
    assert!(net.run(Duration::from_secs(10), |net| received(net) == 200_000));
    let theirs = net.hosts[1].accepted[0];
    let now = net.hosts[1].clock(net.now);
    net.hosts[1].endpoint.release(now, theirs);
    net.settle(1);
    let all_gone = |net: &Net| net.hosts.iter().all(|host| host.endpoint.is_empty());
    assert!(net.run(Duration::from_secs(15), all_gone));
}

/// An idle connection keeps what lies between awake, and costs next to nothing.
#[test]
fn an_idle_connection_is_kept_alive() {
    let (mut net, id) = pair(13, Link::new(millis(10), 0.0), 0);
    net.hosts[0].streams.get_mut(&id).unwrap().close_when_written = false;
    net.run_until(net.now + Duration::from_secs(300));
    let sent = net.hosts[0].sent_datagrams;
    assert!((10..=14).contains(&sent), "{sent}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = || {
        let link = Link { twice: 0.05, late: 0.1, jitter: millis(30), ..Link::new(millis(20), 0.05) };
        let (mut net, _) = pair(14, link, MIB);
        assert!(net.run(Duration::from_secs(100), ended));
        (net.now, net.hosts[0].sent_datagrams, net.hosts[1].sent_bytes)
    };
    assert_eq!(trace(), trace());
}
