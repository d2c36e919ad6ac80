//! Whether the relays do their part.

use peerage_api::reply::Check;
use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_net::relay::{ProbeError, RelayAddr, probe};

use crate::identity;

const NAME: &str = "relay";

/// One check for each relay.
pub(super) async fn relays(config: &NodeConfig) -> Vec<Check> {
    if config.relays.is_empty() {
        let advice = "run `peerage relay` on a machine with a public address, and name it with --relay";
        return match config.via {
            ViaPolicy::Relay => {
                vec![Check::failed(NAME, "none is named, and only relays may be used", advice)]
            }
            _ => vec![Check::ok(NAME, "none is named (network.relays)")],
        };
    }
    let mut checks = Vec::new();
    for relay in &config.relays {
        checks.push(check(config, relay).await);
    }
    checks
}

async fn check(config: &NodeConfig, relay: &str) -> Check {
    let shown = relay.parse::<RelayAddr>().map_or_else(|_| relay.to_owned(), |relay| relay.url);
    // Not under the key that stays: a relay serves each key once, and a share that runs would be cut off.
    let identity = match identity::fresh() {
        Ok(identity) => identity,
        Err(error) => return Check::failed(NAME, error.to_string(), "try again"),
    };
    let error = match probe(&identity, relay).await {
        Ok(time) => {
            let millis = time.as_secs_f64() * 1000.0;
            return Check::ok(NAME, format!("{shown} serves, and is {millis:.1} ms away"));
        }
        Err(error) => error,
    };
    let advice = match &error {
        ProbeError::Denied(_) => {
            let own = identity::existing(&config.state_dir).map(|identity| identity.id().to_string());
            let own = own.unwrap_or_else(|| "the one in the next share's link".to_owned());
            let message = format!("{shown} serves those on its list alone");
            let advice =
                format!("whoever runs it should have this machine's key there: {own}; `get` needs --known");
            return Check::warning(NAME, message, advice);
        }
        ProbeError::Name(_) => "write it as `peerage relay` prints it",
        ProbeError::Dns(_) => "check the name; an address does as well",
        ProbeError::Connect(_) => {
            "is it running, and its port open (TCP and UDP, 7842 unless it says otherwise)?"
        }
        ProbeError::Proof(_) => {
            "check the key behind the #; a relay that has lost its state folder has a new one"
        }
        ProbeError::NoService => "restart it, and see what it says",
        ProbeError::Own(_) => "see what the port check says",
    };
    Check::failed(NAME, format!("{shown}: {error}"), advice)
}
