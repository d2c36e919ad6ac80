//! One mapping at one router, by whichever protocol it speaks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddAnyPortError, AddPortError, PortMappingProtocol, SearchOptions};

use super::gateway::{default_gateway, own_address};
use super::{Error, LEASE, Method, Transport, Wish};
use crate::guard::is_public;

/// PCP and NAT-PMP: the router is on the same link, and answers at once or never. The RFCs' own
/// patience (64 s and more) is for routers that are starting.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: Some(Duration::from_secs(1)),
};
/// UPnP: a device may take up to the search's MX of 3 s to answer.
const SEARCH: Duration = Duration::from_secs(4);
/// What a user reads in the router's list.
const DESCRIPTION: &str = "Peerage";

/// A mapping that a router granted.
#[derive(Debug)]
pub(super) enum Lease {
    /// By PCP or NAT-PMP; the outer address is in the first, and asked for apart with the second.
    Gateway { mapping: Box<PortMapping>, external: Ipv4Addr },
    /// By UPnP-IGD.
    Upnp {
        gateway: Box<Gateway<Tokio>>,
        transport: Transport,
        local: SocketAddr,
        external: SocketAddrV4,
        seconds: u32,
    },
}

/// Asks the routers there are.
pub(super) async fn acquire(wish: Wish) -> Result<Lease, Error> {
    let host = match wish.host {
        Some(host) => host,
        None => own_address().map_err(|_| Error::NoRoute)?,
    };
    if is_public(IpAddr::V4(host)) {
        return Err(Error::Public(host));
    }
    let first = match default_gateway() {
        Some(router) => by_gateway(router, host, wish).await,
        None => Err(Error::NoRouter),
    };
    let Err(first) = first else { return first };
    match by_upnp(host, wish).await {
        // What a router said is more than that nobody answered.
        Err(Error::NoRouter) => Err(first),
        second => second,
    }
}

async fn by_gateway(router: Ipv4Addr, host: Ipv4Addr, wish: Wish) -> Result<Lease, Error> {
    let Some(port) = NonZeroU16::new(wish.port) else { return Err(Error::NoRouter) };
    let options = PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: u32::try_from(LEASE.as_secs()).ok(),
        timeout_config: Some(PATIENCE),
    };
    let protocol = match wish.transport {
        Transport::Tcp => InternetProtocol::Tcp,
        Transport::Udp => InternetProtocol::Udp,
    };
    let mapping = PortMapping::new(router.into(), IpAddr::V4(host), protocol, port, options).await;
    let mapping = mapping.map_err(|error| gateway_error(&error))?;
    match external_of(&mapping).await {
        Ok(external) => Ok(Lease::Gateway { mapping: Box::new(mapping), external }),
        Err(error) => {
            let _ = mapping.try_drop().await;
            Err(error)
        }
    }
}

/// A router that is silent, or has nothing at that port, is none; others have said something.
fn gateway_error(error: &crab_nat::MappingFailure) -> Error {
    use crab_nat::{MappingFailure, natpmp, pcp};
    match error {
        MappingFailure::Pcp(pcp::Failure::Socket(_) | pcp::Failure::Timeout)
        | MappingFailure::NatPmp(natpmp::Failure::Socket(_) | natpmp::Failure::Timeout) => Error::NoRouter,
        MappingFailure::Pcp(error) => Error::Refused { method: Method::Pcp, reason: error.to_string() },
        MappingFailure::NatPmp(error) => Error::Refused { method: Method::NatPmp, reason: error.to_string() },
    }
}

async fn external_of(mapping: &PortMapping) -> Result<Ipv4Addr, Error> {
    if let PortMappingType::Pcp { external_ip, .. } = mapping.mapping_type() {
        return match external_ip.to_canonical() {
            IpAddr::V4(external) => Ok(external),
            IpAddr::V6(_) => Err(Error::Refused {
                method: Method::Pcp,
                reason: "its outer address is not IPv4".to_owned(),
            }),
        };
    }
    let asked = natpmp::external_address(mapping.gateway(), Some(PATIENCE)).await;
    asked.map_err(|error| Error::Refused { method: Method::NatPmp, reason: error.to_string() })
}

async fn by_upnp(host: Ipv4Addr, wish: Wish) -> Result<Lease, Error> {
    let mut options = SearchOptions::default();
    options.bind_addr = SocketAddr::from((host, 0));
    options.timeout = Some(SEARCH);
    options.single_search_timeout = Some(SEARCH);
    options.gateway_ip_version = igd_next::GatewayIpVersion::V4;
    let gateway = search_gateway(options).await.map_err(|_| Error::NoRouter)?;
    let local = SocketAddr::from((host, wish.port));
    let external = match gateway.get_external_ip().await {
        Ok(IpAddr::V4(external)) => external,
        Ok(IpAddr::V6(_)) => return Err(refused("its outer address is not IPv4")),
        Err(error) => return Err(refused(error)),
    };
    let (port, seconds) = add(&gateway, wish.transport, local).await?;
    let external = SocketAddrV4::new(external, port);
    Ok(Lease::Upnp { gateway: Box::new(gateway), transport: wish.transport, local, external, seconds })
}

/// The same port outside where that is free, else any; the outer port, and the lease in seconds (0: for
/// ever, which old routers insist on).
async fn add(gateway: &Gateway<Tokio>, transport: Transport, local: SocketAddr) -> Result<(u16, u32), Error> {
    let protocol = igd_protocol(transport);
    let seconds = u32::try_from(LEASE.as_secs()).unwrap_or(u32::MAX);
    let port = local.port();
    match gateway.add_port(protocol, port, local, seconds, DESCRIPTION).await {
        Ok(()) => return Ok((port, seconds)),
        Err(AddPortError::PortInUse) => {}
        Err(AddPortError::OnlyPermanentLeasesSupported) => {
            return match gateway.add_port(protocol, port, local, 0, DESCRIPTION).await {
                Ok(()) => Ok((port, 0)),
                Err(error) => Err(refused(error)),
            };
        }
        Err(error) => return Err(refused(error)),
    }
    match gateway.add_any_port(protocol, local, seconds, DESCRIPTION).await {
        Ok(port) => Ok((port, seconds)),
        Err(AddAnyPortError::OnlyPermanentLeasesSupported) => {
            let port = gateway.add_any_port(protocol, local, 0, DESCRIPTION).await.map_err(refused)?;
            Ok((port, 0))
        }
        Err(error) => Err(refused(error)),
    }
}

fn igd_protocol(transport: Transport) -> PortMappingProtocol {
    match transport {
        Transport::Tcp => PortMappingProtocol::TCP,
        Transport::Udp => PortMappingProtocol::UDP,
    }
}

fn refused(reason: impl ToString) -> Error {
    Error::Refused { method: Method::Upnp, reason: reason.to_string() }
}

impl Lease {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Gateway { mapping, .. } => match mapping.mapping_type() {
                PortMappingType::Pcp { .. } => Method::Pcp,
                PortMappingType::NatPmp => Method::NatPmp,
            },
            Self::Upnp { .. } => Method::Upnp,
        }
    }

    pub(super) fn external(&self) -> SocketAddrV4 {
        match self {
            Self::Gateway { mapping, external } => {
                SocketAddrV4::new(*external, mapping.external_port().get())
            }
            Self::Upnp { external, .. } => *external,
        }
    }

    /// For how long. A lease for ever counts as the one that was asked for: a router that restarts
    /// forgets it all the same.
    pub(super) fn granted(&self) -> Duration {
        match self {
            Self::Gateway { mapping, .. } => Duration::from_secs(mapping.lifetime().into()),
            Self::Upnp { seconds: 0, .. } => LEASE,
            Self::Upnp { seconds, .. } => Duration::from_secs((*seconds).into()),
        }
    }

    pub(super) async fn renew(&mut self) -> Result<(), Error> {
        match self {
            Self::Gateway { mapping, external } => {
                mapping.renew().await.map_err(|error| gateway_error(&error))?;
                *external = external_of(mapping).await?;
            }
            Self::Upnp { gateway, transport, local, external, seconds } => {
                let protocol = igd_protocol(*transport);
                let again = gateway.add_port(protocol, external.port(), *local, *seconds, DESCRIPTION).await;
                again.map_err(refused)?;
                if let Ok(IpAddr::V4(now)) = gateway.get_external_ip().await {
                    external.set_ip(now);
                }
            }
        }
        Ok(())
    }

    /// Removes the mapping. A router that does not answer keeps it until the lease ends.
    pub(super) async fn release(self) {
        let gone = match self {
            Self::Gateway { mapping, .. } => mapping.try_drop().await.map_err(|(error, _)| error.to_string()),
            Self::Upnp { gateway, transport, external, .. } => gateway
                .remove_port(igd_protocol(transport), external.port())
                .await
                .map_err(|error| error.to_string()),
        };
        if let Err(error) = gone {
            tracing::debug!(error, "a port mapping was not removed");
        }
    }
}
