//! The checks of the network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerage_api::reply::Check;
use peerage_api::request::NodeConfig;
use peerage_net::dns::Resolver;
use peerage_net::egress::Egress;
use peerage_net::guard::Policy;
use peerage_net::portmap::{Error, PortMap, Status, Transport};
use peerage_net::road::Listener;
use peerage_net::stun;
use peerage_peer::addr::{Scope, scope};
use tokio::net::UdpSocket;

use super::relay;

/// The self-test on loopback: packets need microseconds.
const LOOPBACK_LIMIT: Duration = Duration::from_secs(1);
/// PCP and NAT-PMP have given up after 2 s, UPnP 4 s later.
const MAPPING_LIMIT: Duration = Duration::from_secs(10);

/// Whether the port to listen on can be opened.
pub(super) fn port(config: &NodeConfig) -> Check {
    const NAME: &str = "port";
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.port));
    let wanted = config.listen.unwrap_or(any);
    // The sockets of the real thing need its runtime; one of the standard library asks the same.
    let open = std::net::TcpListener::bind(wanted).and_then(|socket| socket.local_addr());
    match (open, config.listen) {
        (Ok(addr), _) => Check::ok(NAME, format!("{addr} can be listened on")),
        (Err(error), None) => Check::warning(
            NAME,
            format!("port {} cannot be opened: {error}", config.port),
            "another free port will be taken; a router's rule for this one will not do",
        ),
        (Err(error), Some(addr)) => Check::failed(
            NAME,
            format!("{addr} cannot be listened on: {error}"),
            "choose another with --listen ADDR:PORT; port 0 takes a free one",
        ),
    }
}

/// Whether there is an IPv6 address that others can dial.
pub(super) fn ipv6() -> Check {
    const NAME: &str = "ipv6";
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let global = interfaces
        .into_iter()
        .map(|interface| interface.ip())
        .find(|ip| ip.is_ipv6() && scope(*ip) == Scope::Global);
    match global {
        Some(ip) => Check::ok(NAME, format!("{ip} is an address on the internet")),
        None => Check::warning(
            NAME,
            "there is no IPv6 address on the internet",
            "peers with IPv6 alone are out of reach; nothing to do unless your provider has it",
        ),
    }
}

/// Whether the interface is there by which everything is to leave; nothing where none is named.
pub(super) fn interface(config: &NodeConfig) -> Option<Check> {
    const NAME: &str = "interface";
    let bind = config.bind.as_deref()?;
    Some(match Egress::by(bind) {
        Ok(egress) if egress.is_up() => {
            Check::ok(NAME, format!("{} is up; everything leaves by it", egress.name().unwrap_or(bind)))
        }
        Ok(_) => {
            Check::failed(NAME, format!("{bind} is down: nothing is sent"), "bring it up; a tunnel: start it")
        }
        Err(error) => {
            Check::failed(NAME, error.to_string(), "`ip link` lists the interfaces; a tunnel: start it")
        }
    })
}

/// What only others can tell; all at once.
pub(super) async fn outside(config: &NodeConfig) -> Vec<Check> {
    let (udp, mapping, relays) = tokio::join!(udp(config), mapping(config), relay::relays(config));
    [udp, mapping].into_iter().chain(relays).collect()
}

async fn udp(config: &NodeConfig) -> Check {
    const NAME: &str = "udp";
    if let Err(error) = loopback().await {
        let advice = "a firewall on this machine drops its own packets: permit UDP on the loopback interface";
        return Check::failed(
            NAME,
            format!("a packet to this machine itself does not arrive: {error}"),
            advice,
        );
    }
    if config.stun_servers.is_empty() {
        return Check::ok(
            NAME,
            "works on this machine; no STUN server is set (network.stun_servers) to tell more",
        );
    }
    match seen(&config.stun_servers).await {
        Ok(seen) => judge(&seen),
        Err(why) => Check::warning(
            NAME,
            format!("no STUN server answers: {why}"),
            "a firewall may block UDP: UDP trackers and hole punching will not work",
        ),
    }
}

/// A packet from this machine to itself.
async fn loopback() -> std::io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.send_to(b"peerage", socket.local_addr()?).await?;
    let arrival = tokio::time::timeout(LOOPBACK_LIMIT, socket.recv_from(&mut [0; 16])).await;
    arrival.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    Ok(())
}

/// How one socket is seen.
struct Seen {
    /// Where it is bound.
    own: SocketAddr,
    /// By each server that answered.
    by: Vec<SocketAddr>,
}

/// Asks up to two servers from one socket, IPv4 (IPv6 needs no NAT).
async fn seen(servers: &[String]) -> Result<Seen, String> {
    let io = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(io)?;
    let port = socket.local_addr().map_err(io)?.port();
    let (mut by, mut own, mut why) = (Vec::new(), None, None);
    for server in servers {
        match ask(&socket, server).await {
            Ok((addr, ip)) => {
                by.push(addr);
                own = own.or(Some(SocketAddr::new(ip, port)));
            }
            Err(error) => why = Some(error),
        }
        if by.len() == 2 {
            break;
        }
    }
    match own {
        Some(own) => Ok(Seen { own, by }),
        None => Err(why.unwrap_or_default()),
    }
}

/// How a server sees the socket, and our own address on the way to it.
async fn ask(socket: &UdpSocket, server: &str) -> Result<(SocketAddr, IpAddr), String> {
    let (host, port) = server.rsplit_once(':').unwrap_or((server, "3478"));
    let port = port.parse().map_err(|_| format!("{server} is not host:port"))?;
    // The user's own choice may be on this machine or network.
    let found = Resolver::System.resolve(host, port, Policy { allow_local: true }).await;
    let found = found.map_err(|error| error.to_string())?;
    let addr = found.into_iter().find(SocketAddr::is_ipv4);
    let addr = addr.ok_or_else(|| format!("{server} has no IPv4 address"))?;
    let mut transaction = [0; 12];
    getrandom::fill(&mut transaction).map_err(|error| error.to_string())?;
    let mapped = stun::ask(socket, addr, transaction, stun::Config::default()).await;
    let mapped = mapped.map_err(|error| error.to_string())?;
    let probe = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let own = probe.and_then(|probe| probe.connect(addr).and_then(|()| probe.local_addr()));
    Ok((mapped, own.map_err(|error| error.to_string())?.ip()))
}

/// What the answers say about NATs (RFC 5780, section 4.3).
fn judge(seen: &Seen) -> Check {
    const NAME: &str = "udp";
    match *seen.by.as_slice() {
        [first, ..] if first == seen.own => Check::ok(NAME, format!("works without a NAT, as {first}")),
        [first, second] if first == second => {
            Check::ok(NAME, format!("works through a NAT that keeps one mapping for all, as {first}"))
        }
        [first, second] => Check::warning(
            NAME,
            format!("works through a NAT with a mapping for each destination: {first}, {second}"),
            "direct connections from others mostly fail: have a port forwarded (see port-mapping)",
        ),
        [first, ..] => Check::ok(
            NAME,
            format!("works through a NAT, as {first}; a second STUN server would tell its kind"),
        ),
        [] => Check::ok(NAME, "works on this machine"),
    }
}

async fn mapping(config: &NodeConfig) -> Check {
    const NAME: &str = "port-mapping";
    if !config.port_mapping {
        return Check::ok(NAME, "switched off (network.port_mapping)");
    }
    let host = match config.listen.map(|listen| listen.ip().to_canonical()) {
        Some(ip) if ip.is_loopback() => {
            return Check::ok(NAME, "not needed: only this machine is listened to");
        }
        Some(IpAddr::V4(ip)) if !ip.is_unspecified() => Some(ip),
        _ => None,
    };
    // Another port than the configured one: a program that runs may have that mapped already.
    let Ok(listener) = Listener::bind_any(0, &Egress::default()) else {
        return Check::warning(NAME, "no port can be opened to try", "see port above");
    };
    let port = listener.local_addrs().first().map_or(0, SocketAddr::port);
    let mut map = PortMap::start(host, port, Transport::Tcp);
    let status = tokio::time::timeout(MAPPING_LIMIT, map.changed()).await;
    map.close().await;
    match status.unwrap_or(Status::Searching) {
        Status::Mapped { external, method } if scope(IpAddr::V4(*external.ip())) == Scope::Global => {
            Check::ok(NAME, format!("the router grants ports, by {method}; others see {}", external.ip()))
        }
        Status::Mapped { external, method } => Check::warning(
            NAME,
            format!(
                "the router grants ports, by {method}, but is behind another NAT itself, as {}",
                external.ip()
            ),
            "strangers cannot connect; ask the provider for a public address, or use IPv6",
        ),
        Status::Unavailable(error @ Error::Public(_)) => Check::ok(NAME, error.to_string()),
        Status::Unavailable(error) => Check::warning(
            NAME,
            error.to_string(),
            format!("switch UPnP or PCP on in the router, or have it forward TCP port {} here", config.port),
        ),
        Status::Searching => Check::warning(NAME, "no router has answered in time", "try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_api::reply::Verdict;

    #[test]
    fn two_answers_tell_the_kind_of_a_nat() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let judged = |own: &str, by: &[&str]| {
            let check = judge(&Seen { own: at(own), by: by.iter().map(|text| at(text)).collect() });
            (check.verdict, check.message)
        };
        let own = "192.168.1.2:5000";
        let (verdict, message) = judged("8.8.8.8:5000", &["8.8.8.8:5000", "8.8.8.8:5000"]);
        assert!(verdict == Verdict::Ok && message.contains("without a NAT"), "{message}");
        let (verdict, message) = judged(own, &["8.8.8.8:5000", "8.8.8.8:5000"]);
        assert!(verdict == Verdict::Ok && message.contains("one mapping for all"), "{message}");
        let (verdict, message) = judged(own, &["8.8.8.8:5000", "8.8.8.8:5001"]);
        assert!(verdict == Verdict::Warning && message.contains("for each destination"), "{message}");
        let (verdict, message) = judged(own, &["8.8.8.8:5000"]);
        assert!(verdict == Verdict::Ok && message.contains("a second STUN server"), "{message}");
    }

    #[test]
    fn a_port_in_use_is_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        let config = NodeConfig {
            listen: Some(listen),
            port: 0,
            connections_max: 1,
            half_open_max: 1,
            upload_limit: None,
            download_limit: None,
            upload_slots: None,
            allow_local: false,
            encryption: peerage_api::request::EncryptionPolicy::Off,
            port_mapping: false,
            tls: peerage_api::request::TlsPolicy::Off,
            stun_servers: Vec::new(),
            relays: Vec::new(),
            via: peerage_api::request::ViaPolicy::Any,
            bind: None,
            utp: true,
            dht: false,
            local_discovery: false,
            bootstrap: Vec::new(),
            io_threads: 1,
            state_dir: "state".into(),
        };
        assert_eq!(port(&config).verdict, Verdict::Failed);
        drop(taken);
        assert_eq!(port(&config).verdict, Verdict::Ok);
    }
}
