//! A node of the DHT alone, on sockets of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_base::Rng;
use peerage_net::egress::Egress;
use peerage_net::udp::Socket;
use peerage_net::utp::{Config as UtpConfig, UtpSocket};
use peerage_overlay::mainline::Config;

use crate::dht::{self, Dht, Setup};
use crate::driver::StartError;

/// Starts a node of the DHT on its own sockets.
pub(super) fn start(
    config: &NodeConfig,
    sockets: Vec<Arc<UtpSocket>>,
    read_only: bool,
) -> Result<Dht, Failure> {
    let setup = Setup {
        sockets,
        seeds: config.bootstrap.clone(),
        ranges: dht::ranges(config),
        read_only,
        state_dir: Some(config.state_dir.clone()),
        config: Config::default(),
    };
    Dht::start(setup).map_err(|error| system_failure(&error))
}

/// Opens UDP: where the configuration says, or at every address of the machine, on `port` or a free one.
pub(super) fn open(config: &NodeConfig, port: u16) -> Result<Vec<Arc<UtpSocket>>, Failure> {
    if config.via == ViaPolicy::Relay {
        let message = "with --via relay nobody but relays is contacted, and so no node of the DHT";
        return Err(
            Failure::new(ExitCode::Usage, "E_USAGE", message).hint("PEERAGE_VIA and network.via say it")
        );
    }
    let egress = match &config.bind {
        Some(interface) => Egress::by(interface).map_err(StartError::from)?,
        None => Egress::default(),
    };
    let bind = |addr: SocketAddr| Socket::bind(addr, &egress);
    let fail = |error: peerage_net::road::ListenError| {
        crate::ops::listen_failure(error.source.kind(), error.to_string())
    };
    let sockets = match config.listen {
        Some(addr) => vec![bind(addr).map_err(fail)?],
        None => {
            let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            let v4 = bind(any(port)).or_else(|_| bind(any(0))).map_err(fail)?;
            let same = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), v4.local_addr().port());
            // A machine without IPv6 is served on IPv4 alone.
            std::iter::once(v4).chain(bind(same).ok()).collect()
        }
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| system_failure(&error))?;
    let mut rng = Rng::new(seed);
    // The DHT alone: nobody is let in over uTP.
    let settings = UtpConfig { connections_max: 0, ..UtpConfig::default() };
    let spawn = |socket| Arc::new(UtpSocket::spawn(socket, settings, rng.fork()));
    Ok(sockets.into_iter().map(spawn).collect())
}

fn system_failure(error: &getrandom::Error) -> Failure {
    Failure::new(ExitCode::Unclassified, "E_SYSTEM", format!("the system gives no random numbers: {error}"))
}
