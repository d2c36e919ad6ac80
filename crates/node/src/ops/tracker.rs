//! A tracker of our own.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_net::tracker_server::{Config, Server};

use crate::{Sink, Stop, link};

/// Serves announces over HTTP and UDP until `stop`.
///
/// # Errors
/// The port cannot be opened.
pub async fn tracker(listen: SocketAddr, interval: Duration, stop: Stop, sink: Sink) -> Result<(), Failure> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| Failure::new(ExitCode::Unclassified, "E_SYSTEM", error.to_string()))?;
    let server =
        Server::start(Config { interval, ..Config::new(listen, secret) }).await.map_err(|error| {
            super::io_failure(&format!("cannot listen on {listen}"), &error)
                .hint("choose another with --listen ADDR:PORT; port 0 takes a free one")
        })?;
    let addr = link::reachable(&[server.addr()]).first().copied().unwrap_or(server.addr());
    sink(Event::TrackerReady {
        http: format!("http://{addr}/announce"),
        udp: format!("udp://{addr}/announce"),
    });
    stop.requested().await;
    server.stop().await;
    Ok(())
}
