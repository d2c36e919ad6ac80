//! A network of DHT nodes from a seed; prints a hash over everything that was delivered.
//!
//! `cargo xtask determinism` runs it in two processes and compares.

#[path = "../tests/it/sim/mod.rs"]
mod sim;

use peerage_base::{Duration, Key};
use peerage_overlay::mainline::Config;
use sim::{Lie, Net};

#[allow(clippy::disallowed_methods, reason = "the seed is an argument")]
fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut net = Net::new(seed, Config::default());
    net.grow(150, Duration::from_secs(20), Duration::from_secs(60));
    for _ in 0..20 {
        let victim = net.random_honest().expect("a node");
        net.corrupt(victim, Lie::Forge);
        let (at, hash) = (net.random_honest().expect("a node"), Key::random(&mut net.rng));
        net.with(at, |dht, now| dht.announce(now, hash, Some(7), false));
        net.run_until(net.now + Duration::from_secs(2));
    }
    println!("{} datagrams, {} bytes, trace {:016x}", net.messages, net.bytes, net.trace());
}
