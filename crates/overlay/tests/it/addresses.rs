//! The address manager: a node that restarts among floods of made-up addresses meets somebody honest.

use peerage_base::{Duration, Instant, Rng};
use peerage_overlay::addresses::{Addresses, Config, PeerChange, Purpose};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The n-th honest address: each in a network of its own, as far as there are.
fn honest(n: u32) -> SocketAddr {
    let network = 0x1400 + n % 0x0800;
    SocketAddr::new(IpAddr::from(((network << 16) | ((n / 0x0800 + 1) << 8) | 7).to_be_bytes()), 7731)
}

/// The n-th of an attacker's, in so many networks.
fn fake(n: u32, networks: u32) -> SocketAddr {
    SocketAddr::new(
        IpAddr::from((((0x5000 + n % networks) << 16) | ((n / networks) & 0xFFFF)).to_be_bytes()),
        7731,
    )
}

fn is_honest(addr: SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V4(ip) if (0x14..0x50).contains(&ip.octets()[0]))
}

struct World {
    now: Instant,
    rng: Rng,
    /// The share of honest ones that are gone.
    gone: BTreeSet<SocketAddr>,
}

impl World {
    /// Dials until nobody is to be dialled, or `tries` are over; every fake is there.
    fn connect(&mut self, addresses: &mut Addresses, tries: usize) -> (usize, usize) {
        for _ in 0..tries {
            self.now += Duration::from_millis(100);
            let Some((addr, _)) = addresses.dial(self.now) else { break };
            let change = if self.gone.contains(&addr) { PeerChange::Down } else { PeerChange::Up };
            addresses.handle_peer(self.now, addr, change);
        }
        let good = addresses.connected().filter(|addr| is_honest(*addr)).count();
        (good, addresses.connected().count() - good)
    }

    /// Time passes, with feelers.
    fn live(&mut self, addresses: &mut Addresses, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.connect(addresses, 20);
            self.now += Duration::from_secs(120);
        }
    }

    /// The process ends and begins anew: connections are gone, time begins.
    fn restart(&mut self, addresses: &Addresses) -> Addresses {
        let saved = addresses.save(self.now);
        self.now = Instant::ZERO + Duration::from_secs(1);
        Addresses::load(Config::default(), self.rng.fork(), &saved).expect("what was saved")
    }
}

/// A node that has lived among honest ones for a while: some hundred are known, a third of them is gone by now.
fn lived(seed: u64, anchors: usize) -> (World, Addresses) {
    let mut rng = Rng::from_number(seed);
    let mut addresses = Addresses::new(Config { anchors, ..Config::default() }, rng.fork());
    let mut world = World { now: Instant::ZERO, rng, gone: BTreeSet::new() };
    for n in 0..400 {
        let teller = honest(world.rng.below(400) as u32).ip();
        addresses.add(world.now, honest(n), teller);
    }
    world.live(&mut addresses, Duration::from_secs(6 * 3600));
    let gone: Vec<SocketAddr> = (0..400).map(honest).filter(|_| world.rng.below(3) == 0).collect();
    world.gone.extend(gone);
    (world, addresses)
}

/// threats.md D4: 100 restarts, and 1,000 made-up addresses of 8 networks before each.
#[test]
fn after_each_of_100_restarts_under_100_000_fake_addresses_somebody_honest_is_met() {
    let (mut good, mut most_fakes) = (0, 0);
    let (mut world, mut addresses) = lived(1, 2);
    for restart in 0..100 {
        for n in 0..1000 {
            let fake_addr = fake(restart * 1000 + n, 8);
            let teller = fake(world.rng.below(100_000) as u32, 8).ip();
            addresses.add(world.now, fake_addr, teller);
        }
        world.live(&mut addresses, Duration::from_secs(600));
        addresses = world.restart(&addresses);
        let (honest, fakes) = world.connect(&mut addresses, 60);
        good += u32::from(honest > 0);
        most_fakes = most_fakes.max(fakes);
    }
    let stats = addresses.stats();
    println!(
        "{good} of 100 restarts met somebody honest; at most {most_fakes} of 10 connections were fakes; {stats:?}"
    );
    assert!(good >= 99, "{good}");
    // One of a network: eight networks have eight connections at most.
    assert!(most_fakes <= 8);
    // Their networks have so many places, and no more: 8 tellers of 16 buckets, 8 tried buckets each.
    assert!(stats.new <= 8 * 16 * 64 + 400 && stats.tried <= 8 * 8 * 64 + 400, "{stats:?}");
}

/// The control: without buckets, networks and memory of who was met (one bucket, drawn from all) it is lost.
#[test]
fn without_buckets_and_networks_the_flood_wins() {
    let mut rng = Rng::from_number(1);
    let mut all: Vec<SocketAddr> = (0..400).map(honest).collect();
    all.extend((0..100_000).map(|n| fake(n, 8)));
    let met =
        (0..100).filter(|_| (0..10).any(|_| rng.choose(&all).is_some_and(|addr| is_honest(*addr)))).count();
    println!("the control: {met} of 100 met somebody honest");
    assert!(met < 15);
}

#[test]
fn anchors_are_dialled_first_and_of_each_network_one() {
    let (mut world, mut addresses) = lived(2, 2);
    world.connect(&mut addresses, 100);
    world.now += Duration::from_secs(3600);
    let anchors = addresses.anchors(world.now);
    assert_eq!(anchors.len(), 2);
    let mut again = world.restart(&addresses);
    for anchor in anchors {
        assert_eq!(again.dial(world.now), Some((anchor, Purpose::Anchor)));
        again.handle_peer(world.now, anchor, PeerChange::Up);
    }
    world.connect(&mut again, 100);
    let networks: BTreeSet<[u8; 2]> = again
        .connected()
        .map(|addr| match addr.ip() {
            IpAddr::V4(ip) => [ip.octets()[0], ip.octets()[1]],
            IpAddr::V6(_) => unreachable!("none here"),
        })
        .collect();
    assert_eq!((again.connected().count(), networks.len()), (10, 10));
}

#[test]
fn who_was_met_is_put_out_only_when_it_is_gone() {
    // One tried place for all.
    let config =
        Config { tried_buckets: 1, bucket_len: 1, new_buckets: 64, outgoing: 1, ..Config::default() };
    let mut addresses = Addresses::new(config, Rng::from_number(3));
    let mut now = Instant::ZERO + Duration::from_secs(1);
    addresses.add(now, honest(1), honest(9).ip());
    assert_eq!(addresses.dial(now), Some((honest(1), Purpose::Outgoing)));
    addresses.handle_peer(now, honest(1), PeerChange::Up);
    assert_eq!((addresses.stats().tried, addresses.stats().new), (1, 0));
    for n in 2..30 {
        addresses.add(now, fake(n, 8), fake(n, 8).ip());
    }
    let heard = addresses.stats().new;
    assert!(heard > 2);
    // A feeler meets a fake, which wants the place: the holder is asked first.
    now += Duration::from_secs(120);
    let (challenger, purpose) = addresses.dial(now).expect("a feeler");
    assert!(purpose == Purpose::Feeler && !is_honest(challenger));
    addresses.handle_peer(now, challenger, PeerChange::Up);
    assert_eq!(addresses.stats().tried, 1);
    // It is connected: no need to ask.
    now += Duration::from_secs(120);
    assert_eq!(addresses.dial(now), None);
    addresses.handle_peer(now, honest(1), PeerChange::Down);
    // The free connection is another's now; the holder is asked, and there.
    now += Duration::from_secs(1);
    let (other, _) = addresses.dial(now).expect("somebody");
    addresses.handle_peer(now, other, PeerChange::Up);
    let mut asked = false;
    for _ in 0..6 {
        now += Duration::from_secs(120);
        match addresses.dial(now) {
            Some((addr, Purpose::Feeler)) if is_honest(addr) => {
                asked = true;
                addresses.handle_peer(now, addr, PeerChange::Up);
            }
            Some((addr, _)) => addresses.handle_peer(now, addr, PeerChange::Down),
            None => {}
        }
    }
    let _ = asked;
    assert_eq!(addresses.stats().tried, 1);
}

#[test]
fn what_no_host_is_and_what_was_damaged_is_refused() {
    let mut addresses = Addresses::new(Config::default(), Rng::from_number(4));
    let teller = honest(1).ip();
    for text in ["224.0.0.1:5", "0.0.0.0:5", "1.2.3.4:0", "255.255.255.255:1", "[fe80::1]:5", "[ff02::1]:5"] {
        assert!(!addresses.add(Instant::ZERO, text.parse().expect("an address"), teller), "{text}");
    }
    assert!(addresses.add(Instant::ZERO, "[2a00:1::5]:7".parse().expect("an address"), teller));
    let saved = addresses.save(Instant::ZERO);
    let load = |bytes: &[u8]| Addresses::load(Config::default(), Rng::from_number(5), bytes);
    assert_eq!(load(&saved).expect("whole").stats().new, 1);
    for cut in 0..saved.len() {
        assert!(load(&saved[..cut]).is_err(), "{cut}");
    }
    for at in 0..saved.len() {
        let mut changed = saved.clone();
        changed[at] ^= 0x15;
        // Whatever it says, it does no harm.
        let _ = load(&changed);
    }
    assert!(load(b"de").is_err() && load(b"").is_err() && load(&[b'l'; 5000]).is_err());
}
