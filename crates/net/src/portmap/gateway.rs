//! The way out of this machine: its own address there, and the router.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Any address on the internet; nothing is sent to it. (RFC 5737 calls it documentation.)
const FAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// Our address on the way to the internet.
pub(super) fn own_address() -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(FAR)?;
    match socket.local_addr()? {
        SocketAddr::V4(addr) if !addr.ip().is_unspecified() => Ok(*addr.ip()),
        _ => Err(io::ErrorKind::NetworkUnreachable.into()),
    }
}

/// The default gateway, where the system tells it (Linux).
pub(super) fn default_gateway() -> Option<Ipv4Addr> {
    parse_routes(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// The gateway of the default route with the least metric in Linux's route table.
///
/// Columns: interface, destination, gateway, flags, reference count, use, metric, mask, ...; addresses
/// are hexadecimal in the machine's byte order.
fn parse_routes(table: &str) -> Option<Ipv4Addr> {
    /// `RTF_GATEWAY` of `linux/route.h`.
    const VIA_GATEWAY: u32 = 2;
    let number = |text: &&str| u32::from_str_radix(text, 16).ok();
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (destination, gateway) = (number(columns.get(1)?)?, number(columns.get(2)?)?);
        let (flags, mask) = (number(columns.get(3)?)?, number(columns.get(7)?)?);
        let metric: u32 = columns.get(6)?.parse().ok()?;
        let is_default = destination == 0 && mask == 0 && flags & VIA_GATEWAY != 0;
        is_default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_with_the_least_metric_is_taken() {
        let table = format!(
            "{HEAD}\
             wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\tFE01A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
        );
        assert_eq!(parse_routes(&table), Some(Ipv4Addr::new(192, 168, 1, 254)));
    }

    #[test]
    fn a_table_without_a_gateway_has_none() {
        assert_eq!(parse_routes(HEAD), None);
        assert_eq!(parse_routes(""), None);
        // A route to a device, such as a tunnel.
        assert_eq!(
            parse_routes(&format!("{HEAD}tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n")),
            None
        );
        assert_eq!(parse_routes(&format!("{HEAD}eth0\t00000000\tnonsense\n")), None);
    }
}
