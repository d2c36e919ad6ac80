//! Port mapping: asks the router of a home to lead one outer port to us.
//!
//! Three protocols are tried in this order: PCP (RFC 6887) and NAT-PMP (RFC 6886) at the default
//! gateway, then UPnP-IGD by a search of the local network. A mapping has a lease, is renewed at half
//! of it, and is removed by [`PortMap::close`]; after a crash it ends with its lease.
//!
//! Only IPv4 is mapped: an IPv6 address needs none.

mod gateway;
mod lease;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use lease::Lease;

/// What the router is asked for. Renewal comes at half of what it grants. RFC 6886, section 3.3,
/// recommends two hours; with one, less is left behind after a crash.
const LEASE: Duration = Duration::from_hours(1);
/// A router that grants less than this is asked no more often.
const RENEWAL_MIN: Duration = Duration::from_mins(1);
/// After a failure the search begins anew: the machine may have moved to another network.
const RETRY: Duration = Duration::from_mins(10);
/// How long the removal at the end may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How a router was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Port control protocol (RFC 6887).
    Pcp,
    /// NAT port mapping protocol (RFC 6886).
    NatPmp,
    /// Universal plug and play, internet gateway device.
    Upnp,
}

impl Method {
    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why no port is mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no way to the internet, by IPv4.
    #[error("there is no IPv4 route to the internet")]
    NoRoute,
    /// Nothing stands between this machine and the internet.
    #[error("{0} is a public address: nothing needs to be mapped")]
    Public(Ipv4Addr),
    /// No router answered.
    #[error("no router here maps ports (PCP, NAT-PMP and UPnP were tried)")]
    NoRouter,
    /// A router answered, and refused.
    #[error("the router refuses, by {method}: {reason}")]
    Refused {
        /// How it was asked.
        method: Method,
        /// What it said.
        reason: String,
    },
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No answer yet.
    Searching,
    /// Others reach us at this address.
    Mapped {
        /// The router's address and the outer port. Behind a second NAT the address is none of the
        /// internet's.
        external: SocketAddrV4,
        /// How the router was asked.
        method: Method,
    },
    /// Nothing is mapped now.
    Unavailable(Error),
}

/// One port, mapped for as long as this lives. Dropping it leaves the mapping to its lease;
/// [`Self::close`] removes it.
#[derive(Debug)]
pub struct PortMap {
    status: watch::Receiver<Status>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl PortMap {
    /// Begins to map `port`, at which this machine listens on `host` (`None`: on all its addresses).
    /// Must be called in a tokio runtime.
    #[must_use]
    pub fn start(host: Option<Ipv4Addr>, port: u16, transport: Transport) -> Self {
        let (told, status) = watch::channel(Status::Searching);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(keep(Wish { host, port, transport }, told, stopped));
        Self { status, stop, task }
    }

    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits for the next change, and tells it. For ever, when there will be none.
    pub async fn changed(&mut self) -> Status {
        if self.status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.status.borrow_and_update().clone()
    }

    /// Removes the mapping; takes two seconds at most.
    pub async fn close(self) {
        let _ = self.stop.send(());
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.task).await;
    }
}

/// What is to be mapped.
#[derive(Clone, Copy, Debug)]
struct Wish {
    host: Option<Ipv4Addr>,
    port: u16,
    transport: Transport,
}

/// Keeps the port mapped until `stop`.
async fn keep(wish: Wish, told: watch::Sender<Status>, mut stop: oneshot::Receiver<()>) {
    loop {
        let found = tokio::select! {
            found = lease::acquire(wish) => found,
            _ = &mut stop => return,
        };
        match found {
            Ok(mut lease) => {
                if hold(&mut lease, &told, &mut stop).await {
                    lease.release().await;
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, port = wish.port, "no port mapping");
                told.send_replace(Status::Unavailable(error));
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    _ = &mut stop => return,
                }
            }
        }
    }
}

/// Renews a lease until that fails (`false`) or the end is wished (`true`).
async fn hold(lease: &mut Lease, told: &watch::Sender<Status>, stop: &mut oneshot::Receiver<()>) -> bool {
    loop {
        let status = Status::Mapped { external: lease.external(), method: lease.method() };
        told.send_if_modified(|before| {
            let changed = *before != status;
            *before = status;
            changed
        });
        tokio::select! {
            () = tokio::time::sleep((lease.granted() / 2).max(RENEWAL_MIN)) => {}
            _ = &mut *stop => return true,
        }
        if let Err(error) = lease.renew().await {
            tracing::debug!(%error, "a port mapping was not renewed");
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is sent for it: the answer is known. (What routers do, `tests/nat/test_portmap.py` shows.)
    #[tokio::test]
    async fn a_public_address_needs_no_mapping() {
        let host = Ipv4Addr::new(8, 8, 8, 8);
        let mut mapping = PortMap::start(Some(host), 7731, Transport::Tcp);
        assert_eq!(mapping.status(), Status::Searching);
        assert_eq!(mapping.changed().await, Status::Unavailable(Error::Public(host)));
        mapping.close().await;
    }
}
