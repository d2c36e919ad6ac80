//! Which ways the user permits: relays alone, none of them, one interface. What does not go together, what
//! is left out, and what became of the interface.

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::{NodeConfig, TlsPolicy, ViaPolicy};
use peerage_base::Contact;
use peerage_net::egress::Egress;

use crate::Sink;

/// What only relays may be used for.
const RELAYS_ALONE: &str = "with --via relay nobody but relays is contacted";

/// What to do about a relay with a list.
pub(super) const RELAY_DENIES: &str = "with --known this machine shows the key that stays (x.pg in its shares' links): whoever runs the relay can put it on the list";

/// Judges the settings of ways together.
///
/// # Errors
/// Two of them contradict each other.
pub(crate) fn check(config: &NodeConfig) -> Result<(), Failure> {
    let usage = |message: &str, hint: &str| Err(Failure::new(ExitCode::Usage, "E_USAGE", message).hint(hint));
    match (config.via, config.tls, &config.bind) {
        (ViaPolicy::Relay, _, Some(_)) => usage(
            "relays are reached on sockets that cannot be bound to an interface",
            "leave --bind (network.bind) or --via relay (network.via) away",
        ),
        (ViaPolicy::Relay, TlsPolicy::Off, _) => usage(
            "peers behind a relay are known by their keys, and --tls off knows none",
            "leave --tls off (network.tls) or --via relay (network.via) away",
        ),
        _ => Ok(()),
    }
}

/// Tells what is left out.
pub(crate) fn tell(config: &NodeConfig, sink: &Sink) {
    let warn = |message: &str| sink(Event::Warning { message: message.to_owned() });
    if config.via == ViaPolicy::Relay {
        warn(&format!(
            "{RELAYS_ALONE}: trackers, web seeds, the DHT, the local network, peer exchange and direct addresses are left out"
        ));
    }
    if config.bind.is_some() {
        warn(
            "with --bind there is no QUIC, no relay and no port mapping; names are resolved by the system, by its own way",
        );
    }
}

/// A sharer that may be reached by relays alone needs one.
pub(super) fn check_share(config: &NodeConfig) -> Result<(), Failure> {
    if config.via == ViaPolicy::Relay && config.relays.is_empty() {
        return Err(Failure::new(
            ExitCode::Usage,
            "E_NO_RELAY",
            format!("{RELAYS_ALONE}, and none is named"),
        )
        .hint("name one with --relay URL or network.relays; `peerage relay` runs one"));
    }
    Ok(())
}

/// So does a link.
pub(super) fn check_link(via: ViaPolicy, contacts: &[Contact]) -> Result<(), Failure> {
    if via == ViaPolicy::Relay && contacts.iter().all(|contact| contact.relay.is_none()) {
        let message = format!("{RELAYS_ALONE}, and the link names none");
        return Err(Failure::new(ExitCode::Unreachable, "E_NO_RELAY", message)
            .hint("ask for a link that was shared with --relay URL, or leave --via relay away"));
    }
    Ok(())
}

/// A web server is none.
pub(super) fn check_url(via: ViaPolicy) -> Result<(), Failure> {
    if via == ViaPolicy::Relay {
        return Err(Failure::new(
            ExitCode::Usage,
            "E_NO_RELAY",
            format!("{RELAYS_ALONE}, and this link is a URL"),
        )
        .hint("fetch the torrent file by another way, or leave --via relay away"));
    }
    Ok(())
}

/// The interface that everything leaves by, watched.
pub(super) struct Interface {
    was_up: bool,
}

impl Interface {
    pub fn new() -> Self {
        Self { was_up: true }
    }

    /// Looks, and tells of a change.
    pub fn watch(&mut self, egress: &Egress, sink: &Sink) {
        let Some(name) = egress.name() else { return };
        let up = egress.is_up();
        if up != std::mem::replace(&mut self.was_up, up) {
            let message = match up {
                true => format!("the interface {name} is up again"),
                false => format!("the interface {name} is down or gone: nothing is sent until it is back"),
            };
            sink(Event::Warning { message });
        }
    }

    /// Why nothing moves, where this is the reason.
    pub fn failure(&self, egress: &Egress) -> Option<Failure> {
        let name = egress.name().filter(|_| !self.was_up)?;
        let message = format!("the interface {name} is down or gone, and nothing may leave by another");
        let failure = Failure::new(ExitCode::Unreachable, "E_INTERFACE", message);
        Some(
            failure.hint(
                "bring it up (a tunnel: start it), then run the same command again; --wait waits for it",
            ),
        )
    }
}
