//! A tracker of our own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_net::tracker_server::{Config, Server};

use crate::{Boxed, Sink, Stop, link};

/// The port where nothing else is asked for.
const PORT: u16 = 6969;

/// Serves announces over HTTP and UDP until `stop`; at every address of the machine unless `listen` names
/// one.
///
/// # Errors
/// The port cannot be opened.
pub fn tracker(
    listen: Option<SocketAddr>,
    interval: Duration,
    stop: Stop,
    sink: Sink,
) -> Boxed<'static, Result<(), Failure>> {
    Box::pin(async move {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| Failure::new(ExitCode::Unclassified, "E_SYSTEM", error.to_string()))?;
        let start = |listen| Server::start(Config { interval, ..Config::new(listen, secret) });
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT);
        let server = match (listen, start(listen.unwrap_or(any)).await) {
            // The machine has no IPv6. A port that is in use is the user's to choose again.
            (None, Err(error)) if error.kind() != io::ErrorKind::AddrInUse => {
                start(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)).await
            }
            (_, started) => started,
        };
        let server = server.map_err(|error| {
            let message = format!("cannot listen on {}: {error}", listen.unwrap_or(any));
            super::listen_failure(error.kind(), message)
        })?;
        let addr = link::reachable(&families(server.addr())).first().copied().unwrap_or(server.addr());
        sink(Event::TrackerReady {
            http: format!("http://{addr}/announce"),
            udp: format!("udp://{addr}/announce"),
        });
        stop.requested().await;
        server.stop().await;
        Ok(())
    })
}

/// Whether `url` names a tracker that announces can go to. What users write is held to it; what strangers
/// put into links and torrents is not, there a bad one is passed over.
#[must_use]
pub fn is_tracker_url(url: &str) -> bool {
    peerage_net::tracker::check_url(url).is_ok()
}

/// The addresses that a socket takes: `[::]` is open to both families, and most networks have IPv4.
fn families(bound: SocketAddr) -> Vec<SocketAddr> {
    let v4 = (bound.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        .then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), bound.port()));
    v4.into_iter().chain([bound]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_socket_stands_for_both_families() {
        let both = families("[::]:6969".parse().unwrap());
        assert_eq!(both, ["0.0.0.0:6969".parse().unwrap(), "[::]:6969".parse().unwrap()]);
        for one in ["0.0.0.0:1", "127.0.0.1:1", "[::1]:1"] {
            let one = one.parse().unwrap();
            assert_eq!(families(one), [one]);
        }
    }
}
