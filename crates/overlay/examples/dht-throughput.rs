//! Queries that a DHT node answers per second on one core: decoding, answering, encoding.
//!
//! `cargo run --release -p peerage-overlay --example dht-throughput`

use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::mainline::{Config, Dht, Local, Output, make_id};
use peerage_wire::krpc::{Body, Id, Message, Method, Query, Response, Want};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const QUERIES: u32 = 400_000;

fn main() {
    let mut rng = Rng::from_number(1);
    let config = Config { upload_bytes_per_s: u32::MAX, verify_per_s: 0, ..Config::default() };
    let local = Local { external: vec![IpAddr::from([8, 8, 8, 8])] };
    let mut dht = Dht::new(config, local, rng.fork());
    let now = fill(&mut dht, &mut rng);
    println!("contacts in the table: {}", dht.nodes(false).count());
    let queries: Vec<(SocketAddr, Vec<u8>)> = (0..QUERIES).map(|n| query(n, &mut rng)).collect();
    #[allow(clippy::disallowed_types, reason = "a measurement reads the clock")]
    let start = std::time::Instant::now();
    let (mut answers, mut bytes) = (0_u32, 0);
    for (n, (from, datagram)) in queries.iter().enumerate() {
        dht.handle_datagram(now + Duration::from_micros(n as u64 * 20), *from, datagram);
        while let Some(output) = dht.poll_output() {
            if let Output::Send { bytes: sent, .. } = output {
                answers += 1;
                bytes += sent.len();
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{answers} answers, {} bytes each on average", bytes / answers.max(1) as usize);
    println!("{:.0} queries per second", f64::from(QUERIES) / seconds);
}

/// Contacts answer our pings until the table has its usual size.
fn fill(dht: &mut Dht, rng: &mut Rng) -> Instant {
    let mut now = Instant::ZERO;
    for n in 0..20_000_u32 {
        now += Duration::from_millis(10);
        let addr = SocketAddr::new(Ipv4Addr::from(0x0C00_0000 + n * 523).into(), 6881);
        dht.ping(now, addr);
        while let Some(output) = dht.poll_output() {
            let Output::Send { to, bytes } = output else { continue };
            let Ok(Message { transaction, .. }) = peerage_wire::krpc::decode(&bytes) else { continue };
            let response = Response { id: Some(make_id(to.ip(), rng)), ..Response::default() };
            let body = Body::Response(Box::new(response));
            dht.handle_datagram(now, to, &Message { transaction, version: None, body }.encode());
        }
    }
    now
}

/// The mix of a node on the internet: look-ups above all.
fn query(n: u32, rng: &mut Rng) -> (SocketAddr, Vec<u8>) {
    let from = SocketAddr::new(Ipv4Addr::from(0x1000_0000 + n * 101).into(), 6881);
    let target: Id = Key::random(rng);
    let method = match n % 10 {
        0 => Method::Ping,
        1..6 => Method::GetPeers { info_hash: target, no_seeds: false, scrape: false },
        _ => Method::FindNode { target },
    };
    let query = Query { id: make_id(from.ip(), rng), read_only: false, want: Want::default(), method };
    let message = Message { transaction: b"aa".to_vec(), version: None, body: Body::Query(query) };
    (from, message.encode())
}
