//! The local network: announces by multicast, and what others announce (BEP 14).
//!
//! One task holds a listening socket for each address family, a member of the group on every interface that
//! may be used; what was sent to us alone, maybe from far away, is not heard. Each announce goes out by fresh sockets, one for each interface, so that interfaces may come
//! and go: it joins the new ones too. Time to live is 1: no router passes it on.
//!
//! What is heard is bounded in rate, for each sender and for all, before it is decoded.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use peerage_base::addr::canonical;
use peerage_base::limits::LSD_BYTES_MAX;
use peerage_wire::lsd::{Announce, GROUP_V4, GROUP_V6, PORT};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::egress::Egress;

/// Announces that wait to be sent, and findings that wait for the node; more are dropped.
const QUEUE_MAX: usize = 64;

/// Interfaces that are used; a machine with more has them for other things.
const INTERFACES_MAX: usize = 32;

/// A window of counting, what one sender may say in it, and all together. BEP 14 wants one datagram a minute
/// and torrent; a newcomer says it thrice.
const WINDOW: Duration = Duration::from_secs(10);
const PER_SENDER_MAX: u32 = 20;
const IN_ALL_MAX: u32 = 400;

/// Where and as whom to speak.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The interface by which everything leaves, where there is one.
    pub egress: Egress,
    /// The addresses that are listened on for peers. An unspecified one stands for every interface.
    pub listen: Vec<SocketAddr>,
    /// What our own announces are known by.
    pub cookie: String,
}

/// Somebody on the local network, and what it takes part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Where it accepts connections.
    pub addr: SocketAddr,
    /// Info hashes.
    pub info_hashes: Vec<[u8; 20]>,
}

/// The way to the task; dropping it leaves the groups.
#[derive(Debug)]
pub struct Lan {
    announces: mpsc::Sender<(u16, Vec<[u8; 20]>)>,
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lan {
    /// Joins the groups. Must be called within a tokio runtime. `None`: nothing that is listened on is on a
    /// local network.
    ///
    /// # Errors
    /// No socket can be opened on the groups' port.
    pub fn open(setup: Setup) -> io::Result<Option<Self>> {
        Self::open_at(setup, PORT, false)
    }

    /// The same at another port, and on loopback, which is no network: for tests.
    fn open_at(setup: Setup, port: u16, loopback: bool) -> io::Result<Option<Self>> {
        let listens = |v4: bool| setup.listen.iter().any(|addr| addr.is_ipv4() == v4);
        if setup.listen.iter().all(|addr| addr.ip().is_loopback()) && !loopback {
            return Ok(None);
        }
        let v4 = listens(true).then(|| listener(SocketAddr::new(GROUP_V4.into(), port), &setup.egress));
        let v6 = listens(false).then(|| listener(SocketAddr::new(GROUP_V6.into(), port), &setup.egress));
        let (v4, v6) = match (v4, v6) {
            (None, None) => return Ok(None),
            (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => return Err(error),
            // A machine without one family is served by the other.
            (v4, v6) => (v4.and_then(Result::ok), v6.and_then(Result::ok)),
        };
        let (announces, receiver) = mpsc::channel(QUEUE_MAX);
        let (sender, heard) = mpsc::channel(QUEUE_MAX);
        let task = Task { setup, port, loopback, v4, v6, heard: sender, quota: Quota::new(Instant::now()) };
        task.join(&task.interfaces());
        Ok(Some(Self { announces, heard, task: tokio::spawn(task.run(receiver)) }))
    }

    /// Tells everybody that we take part in these, and accept connections at `port`.
    pub fn announce(&self, port: u16, info_hashes: Vec<[u8; 20]>) {
        let _ = self.announces.try_send((port, info_hashes));
    }

    /// The next announce of somebody else.
    pub async fn heard(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

/// An interface, by one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    V4(Ipv4Addr),
    V6(u32),
}

struct Task {
    setup: Setup,
    port: u16,
    loopback: bool,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    heard: mpsc::Sender<Heard>,
    quota: Quota,
}

impl Task {
    async fn run(mut self, mut announces: mpsc::Receiver<(u16, Vec<[u8; 20]>)>) {
        loop {
            tokio::select! {
                announce = announces.recv() => match announce {
                    Some((port, info_hashes)) => self.announce(port, info_hashes),
                    None => return,
                },
                () = readable(self.v4.as_ref()) => self.receive(true),
                () = readable(self.v6.as_ref()) => self.receive(false),
            }
        }
    }

    /// Takes what is there.
    fn receive(&mut self, v4: bool) {
        let mut buffer = [0; LSD_BYTES_MAX + 1];
        loop {
            let Some(socket) = (if v4 { &self.v4 } else { &self.v6 }) else { return };
            let Ok((len, from)) = socket.try_recv_from(&mut buffer) else { return };
            if !self.quota.admit(Instant::now(), from.ip()) {
                continue;
            }
            let announce = match Announce::decode(buffer.get(..len).unwrap_or_default()) {
                Ok(announce) => announce,
                Err(error) => {
                    tracing::trace!(%from, %error, "on the local network");
                    continue;
                }
            };
            if announce.cookie.as_ref() == Some(&self.setup.cookie) {
                continue;
            }
            let mut addr = canonical(from);
            addr.set_port(announce.port);
            let _ = self.heard.try_send(Heard { addr, info_hashes: announce.info_hashes });
        }
    }

    /// Sends by every interface.
    fn announce(&mut self, port: u16, info_hashes: Vec<[u8; 20]>) {
        let interfaces = self.interfaces();
        self.join(&interfaces);
        let announce = Announce { port, info_hashes, cookie: Some(self.setup.cookie.clone()) };
        for interface in interfaces {
            if let Err(error) = self.send(interface, &announce) {
                tracing::debug!(?interface, %error, "an announce on the local network");
            }
        }
    }

    fn send(&self, interface: Interface, announce: &Announce) -> io::Result<()> {
        let (domain, group): (_, IpAddr) = match interface {
            Interface::V4(_) => (Domain::IPV4, GROUP_V4.into()),
            Interface::V6(_) => (Domain::IPV6, GROUP_V6.into()),
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        self.setup.egress.hold(&SockRef::from(&socket))?;
        let mut to = SocketAddr::new(group, self.port);
        match interface {
            Interface::V4(own) => {
                socket.bind(&SocketAddr::new(own.into(), 0).into())?;
                socket.set_multicast_if_v4(&own)?;
                socket.set_multicast_ttl_v4(1)?;
                socket.set_multicast_loop_v4(true)?;
            }
            Interface::V6(index) => {
                socket.set_only_v6(true)?;
                socket.set_multicast_if_v6(index)?;
                socket.set_multicast_hops_v6(1)?;
                socket.set_multicast_loop_v6(true)?;
                to = SocketAddrV6::new(GROUP_V6, self.port, 0, index).into();
            }
        }
        socket.send_to(&announce.encode(group), &to.into()).map(drop)
    }

    /// Joins the groups on those interfaces where we are no member yet: on others it fails, which is fine.
    fn join(&self, interfaces: &[Interface]) {
        for interface in interfaces {
            let _ = match (interface, &self.v4, &self.v6) {
                (Interface::V4(own), Some(socket), _) => SockRef::from(socket)
                    .join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Address(*own)),
                (Interface::V6(index), _, Some(socket)) => {
                    SockRef::from(socket).join_multicast_v6(&GROUP_V6, *index)
                }
                _ => Ok(()),
            };
        }
    }

    /// The interfaces on which peers can reach us, each once per family.
    fn interfaces(&self) -> Vec<Interface> {
        let mut found = Vec::new();
        for interface in if_addrs::get_if_addrs().unwrap_or_default() {
            let ip = interface.ip();
            let listens = self.setup.listen.iter().any(|addr| {
                addr.is_ipv4() == ip.is_ipv4() && (addr.ip().is_unspecified() || addr.ip() == ip)
            });
            let permitted = self.setup.egress.name().is_none_or(|name| name == interface.name);
            // A tunnel from point to point is no local network.
            if !listens || !permitted || interface.is_p2p || interface.is_loopback() != self.loopback {
                continue;
            }
            let usable = match (ip, interface.index) {
                (IpAddr::V4(own), _) => Interface::V4(own),
                (IpAddr::V6(_), Some(index)) => Interface::V6(index),
                (IpAddr::V6(_), None) => continue,
            };
            if !found.contains(&usable) && found.len() < INTERFACES_MAX {
                found.push(usable);
            }
        }
        found
    }
}

/// A socket at a group and its port, which other programs on this machine have open too. Bound to the group it
/// hears that alone.
fn listener(addr: SocketAddr, egress: &Egress) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // On these systems that is what shares a port.
    #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Else it hears what comes by interfaces on which another program has joined.
    #[cfg(target_os = "linux")]
    if addr.is_ipv4() { socket.set_multicast_all_v4(false) } else { socket.set_multicast_all_v6(false) }?;
    egress.hold(&SockRef::from(&socket))?;
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

/// Waits for something to receive; for ever where there is no socket.
async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) => _ = socket.readable().await,
        None => std::future::pending().await,
    }
}

/// How much was heard in this window.
struct Quota {
    since: Instant,
    in_all: u32,
    by_sender: BTreeMap<IpAddr, u32>,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Self { since: now, in_all: 0, by_sender: BTreeMap::new() }
    }

    /// Whether a datagram is read.
    fn admit(&mut self, now: Instant, from: IpAddr) -> bool {
        if now.duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        // Those that are refused do not count: one sender's flood leaves room for others.
        if self.in_all >= IN_ALL_MAX {
            return false;
        }
        let count = self.by_sender.entry(from).or_default();
        if *count >= PER_SENDER_MAX {
            return false;
        }
        *count += 1;
        self.in_all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn setup(cookie: &str, listen: &str) -> Setup {
        Setup { egress: Egress::default(), listen: vec![listen.parse().unwrap()], cookie: cookie.to_owned() }
    }

    /// A port that no other test has.
    fn port() -> u16 {
        std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
    }

    /// IPv4 alone: loopback has no route to groups of IPv6. The network laboratory has both.
    #[tokio::test]
    async fn two_of_one_machine_hear_each_other_and_not_themselves() {
        let port = port();
        let mut a = Lan::open_at(setup("a", "127.0.0.1:0"), port, true).unwrap().unwrap();
        let mut b = Lan::open_at(setup("b", "127.0.0.1:0"), port, true).unwrap().unwrap();
        a.announce(7001, vec![[1; 20], [2; 20]]);
        let heard = tokio::time::timeout(LIMIT, b.heard()).await.unwrap();
        assert_eq!(
            heard,
            Heard { addr: "127.0.0.1:7001".parse().unwrap(), info_hashes: vec![[1; 20], [2; 20]] }
        );
        b.announce(7002, vec![[3; 20]]);
        let heard = tokio::time::timeout(LIMIT, a.heard()).await.unwrap();
        assert_eq!(heard.addr.port(), 7002, "what it said itself was not heard");
        assert!(tokio::time::timeout(Duration::from_millis(200), a.heard()).await.is_err());
    }

    #[tokio::test]
    async fn nonsense_is_passed_over_and_a_flood_is_cut() {
        let group_port = port();
        let port = group_port;
        let mut lan = Lan::open_at(setup("a", "127.0.0.1:0"), group_port, true).unwrap().unwrap();
        let hostile = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&hostile).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let announce =
            |port| Announce { port, info_hashes: vec![[9; 20]], cookie: None }.encode(GROUP_V4.into());
        // Sent to us alone: from anywhere.
        let _ = hostile.send_to(&announce(7), ("127.0.0.1", port));
        for datagram in [&b""[..], b"\xff", b"BT-SEARCH * HTTP/1.1\r\n\r\n", &[b'x'; 3000]] {
            hostile.send_to(datagram, (GROUP_V4, group_port)).unwrap();
        }
        let mut heard = 0;
        for port in 1..=100 {
            hostile.send_to(&announce(port), (GROUP_V4, group_port)).unwrap();
            heard += usize::from(tokio::time::timeout(Duration::from_millis(20), lan.heard()).await.is_ok());
        }
        assert_eq!(heard, PER_SENDER_MAX as usize - 4);
    }

    #[tokio::test]
    async fn loopback_is_no_local_network() {
        assert!(Lan::open(setup("a", "127.0.0.1:5")).unwrap().is_none());
        assert!(Lan::open(Setup { listen: Vec::new(), ..setup("a", "[::1]:5") }).unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn many_senders_share_one_quota_and_it_returns() {
        let begin = Instant::now();
        let mut quota = Quota::new(begin);
        let admitted = (0..1000_u32).filter(|n| quota.admit(begin, Ipv4Addr::from(*n).into())).count();
        assert_eq!((admitted, quota.by_sender.len()), (IN_ALL_MAX as usize, IN_ALL_MAX as usize));
        assert!(quota.admit(begin + WINDOW, Ipv4Addr::LOCALHOST.into()));
    }
}
