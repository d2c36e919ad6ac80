//! The link that a share prints.

use std::net::{IpAddr, SocketAddr};

use peerage_base::InfoHashes;
use peerage_content::{Info, Magnet};

/// Addresses in a link at most: more make it unwieldy, and the rest of the network is found by other
/// means.
const PEERS_MAX: usize = 4;

/// The magnet link of a torrent, with the trackers that announce it and the addresses that serve it.
pub(crate) fn magnet(
    info: &Info,
    trackers: &[Vec<String>],
    web_seeds: &[String],
    peers: &[SocketAddr],
) -> Magnet {
    Magnet {
        name: Some(info.name.clone()),
        len: Some(info.layout.total_len()),
        trackers: trackers.iter().flatten().cloned().collect(),
        web_seeds: web_seeds.to_vec(),
        peers: peers.iter().map(ToString::to_string).collect(),
        ..Magnet::new(InfoHashes { ..info.hashes })
    }
}

/// The addresses that others can dial: those listened on, where an unspecified one stands for every
/// address of this machine, best first. Loopback is named only when there is nothing else, or when the
/// user asked for it.
pub(crate) fn reachable(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let interfaces: Vec<IpAddr> = if_addrs::get_if_addrs()
        .map(|list| list.into_iter().map(|interface| interface.ip()).collect())
        .unwrap_or_default();
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for bound in listen {
        if bound.ip().is_unspecified() {
            let same_family = interfaces.iter().filter(|ip| ip.is_ipv4() == bound.is_ipv4());
            addrs.extend(
                same_family.filter(|ip| is_dialable(**ip)).map(|ip| SocketAddr::new(*ip, bound.port())),
            );
        } else {
            addrs.push(*bound);
        }
    }
    if addrs.is_empty() {
        addrs.extend(listen.first().map(|bound| SocketAddr::new([127, 0, 0, 1].into(), bound.port())));
    }
    addrs.dedup();
    addrs.truncate(PEERS_MAX);
    addrs
}

/// Whether another machine could dial it without knowing an interface of its own.
fn is_dialable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_address_stands_for_itself() {
        let given: SocketAddr = "127.0.0.1:5".parse().unwrap();
        assert_eq!(reachable(&[given]), [given]);
    }

    #[test]
    fn an_unspecified_address_stands_for_what_can_be_dialled() {
        let any: SocketAddr = "0.0.0.0:5".parse().unwrap();
        let addrs = reachable(&[any]);
        assert!(!addrs.is_empty());
        assert!(addrs.iter().all(|addr| addr.port() == 5 && !addr.ip().is_unspecified()));
    }
}
