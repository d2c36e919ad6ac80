//! Kademlia (Maymounkov and Mazières 2002), without a wire: keys, contacts and who is asked next.
//!
//! [`Table`] keeps contacts that have answered, with limits on how many of one network there may be.
//! [`Lookup`] finds the nodes closest to a key, along one path or several disjoint ones (S/Kademlia,
//! Baumgart and Mies 2007). [`SizeEstimate`] tells how many nodes there are from what look-ups found,
//! and whether a key has more close nodes than chance allows. `N` is the width of a key in bytes.

mod estimate;
mod lookup;
mod rtt;
mod table;

pub use estimate::{SizeEstimate, radius, too_close};
pub use lookup::{Ask, Lookup, LookupConfig};
pub use rtt::RttEstimate;
pub use table::{Entry, Table, TableConfig};

use peerage_base::Key;
use peerage_base::addr::{self, Scope};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A node: where it is in the keyspace, and where on the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact<const N: usize> {
    /// Its position.
    pub key: Key<N>,
    /// Its address.
    pub addr: SocketAddr,
}

/// The network that an address counts for in limits: its /24, or /64 for IPv6. `None` for addresses
/// nearby, which are there by leave and share one network.
fn subnet(ip: IpAddr) -> Option<IpAddr> {
    if matches!(addr::scope(ip), Scope::Local(_)) {
        return None;
    }
    Some(match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        ip @ IpAddr::V6(_) => addr::host(ip),
    })
}
