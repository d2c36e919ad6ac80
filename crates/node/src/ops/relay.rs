//! A relay of our own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::request;
use peerage_net::relay::{Guests, Relay, RelayAddr, RelayError};

use crate::driver::StartError;
use crate::{Boxed, Sink, Stop, identity, link};

/// The port where nothing else is asked for: the one that iroh's relays have for address discovery.
const PORT: u16 = 7842;

/// Passes packets between peers until `stop`; at every IPv4 address of the machine unless the request names one.
///
/// # Errors
/// The port cannot be opened, the list of peers cannot be read, or the key not be kept.
pub fn relay<'a>(
    request: &'a request::Relay,
    state_dir: &'a Path,
    stop: Stop,
    sink: Sink,
) -> Boxed<'a, Result<(), Failure>> {
    Box::pin(async move {
        let identity = identity::kept(state_dir).map_err(StartError::from)?;
        let guests = match &request.allow {
            Some(file) => listed(file, &sink)?,
            None => Guests::default(),
        };
        let addr = request.listen.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT));
        let relay =
            Relay::serve(&identity, addr, request.rate, guests).await.map_err(|error| failure(&error))?;
        let bound = relay.addr().unwrap_or(addr);
        let reachable = link::reachable(&[bound]);
        let urls = reachable.iter().map(|addr| format!("https://{addr}#{}", relay.key())).collect();
        sink(Event::RelayReady { urls });
        stop.requested().await;
        relay.close().await;
        Ok(())
    })
}

/// Those of a file; of others the user is told, once each.
fn listed(file: &Path, sink: &Sink) -> Result<Guests, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| super::io_failure(&file.display().to_string(), &error).hint(super::CHECK_PATH))?;
    let sink = Arc::clone(sink);
    let refused = move |peer| {
        sink(Event::Warning { message: format!("{peer} was not let in: it is not on the list") });
    };
    Guests::listed(&text, refused).map_err(|error| {
        Failure::new(ExitCode::Config, "E_ALLOW", format!("{}: {error}", file.display()))
            .hint("a link of `peerage share` has its sharer's key after x.pg=")
    })
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
