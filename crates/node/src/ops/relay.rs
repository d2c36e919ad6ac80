//! A relay of our own.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_net::relay::{Relay, RelayAddr, RelayError};

use crate::driver::StartError;
use crate::{Sink, Stop, identity, link};

/// The port where nothing else is asked for: the one that iroh's relays have for address discovery.
const PORT: u16 = 7842;

/// Passes packets between peers until `stop`; at every IPv4 address of the machine unless `listen` names one.
/// Each client may send `rate` bytes per second.
///
/// # Errors
/// The port cannot be opened, or the key not be kept.
pub async fn relay(
    listen: Option<SocketAddr>,
    rate: NonZeroU32,
    state_dir: &Path,
    stop: Stop,
    sink: Sink,
) -> Result<(), Failure> {
    let identity = identity::kept(state_dir).map_err(StartError::from)?;
    let addr = listen.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT));
    let relay = Relay::serve(&identity, addr, rate).await.map_err(|error| failure(&error))?;
    let bound = relay.addr().unwrap_or(addr);
    let reachable = link::reachable(&[bound]);
    let urls = reachable.iter().map(|addr| format!("https://{addr}#{}", relay.key())).collect();
    sink(Event::RelayReady { urls });
    stop.requested().await;
    relay.close().await;
    Ok(())
}

/// Judges the text of a relay that the user names.
///
/// # Errors
/// What is wrong, in words.
pub fn check_relay(text: &str) -> Result<(), String> {
    text.parse::<RelayAddr>().map(drop).map_err(|error| error.to_string())
}

fn failure(error: &RelayError) -> Failure {
    match error {
        RelayError::Listen(..) => Failure::new(ExitCode::Conflict, "E_LISTEN", error.to_string())
            .hint("choose another with --listen ADDR:PORT"),
        _ => Failure::new(ExitCode::Unclassified, "E_RELAY", error.to_string()),
    }
}
