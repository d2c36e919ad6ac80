//! The one interface by which everything leaves, where the user names one: a tunnel, most often.
//!
//! Each socket is bound to the device (`SO_BINDTODEVICE`), so that the kernel sends nothing by another one,
//! whatever the routes say: where the interface is down or gone, sending fails. An address stands for the
//! interface that has it, and is what sockets send from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// By which interface sockets send and receive. Clones share it; the default is any.
#[derive(Clone, Debug, Default)]
pub struct Egress(Option<Arc<Device>>);

#[derive(Debug)]
struct Device {
    name: String,
    /// What sockets send from, where the user gave an address.
    addr: Option<IpAddr>,
}

/// Why there is nothing to bind to.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// No interface of that name.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// No interface has that address.
    #[error("no interface of this machine has the address {0}")]
    NoAddress(IpAddr),
    /// The system does not let us.
    #[error("sockets cannot be bound to {0}: {1}")]
    Denied(String, io::Error),
}

impl Egress {
    /// The interface of this name, or the one that has this address.
    ///
    /// # Errors
    /// See [`EgressError`].
    pub fn by(text: &str) -> Result<Self, EgressError> {
        let device = match text.parse::<IpAddr>() {
            Ok(addr) => {
                let interfaces =
                    if_addrs::get_if_addrs().map_err(|error| EgressError::Denied(text.to_owned(), error))?;
                let has_it = interfaces.into_iter().find(|interface| interface.ip() == addr);
                Device { name: has_it.ok_or(EgressError::NoAddress(addr))?.name, addr: Some(addr) }
            }
            Err(_) => Device { name: text.to_owned(), addr: None },
        };
        let name = device.name.clone();
        let egress = Self(Some(Arc::new(device)));
        let tried = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))
            .and_then(|socket| egress.hold(&SockRef::from(&socket)));
        match tried {
            Ok(()) => Ok(egress),
            Err(error) if is_absent(&error) => Err(EgressError::NoInterface(name)),
            Err(error) => Err(EgressError::Denied(name, error)),
        }
    }

    /// The interface's name; `None`: any will do.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref().map(|device| device.name.as_str())
    }

    /// Whether the interface is there, in operation, and has (the) address.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let Some(device) = self.0.as_deref() else { return true };
        let up = |interface: &if_addrs::Interface| {
            interface.name == device.name
                && interface.is_oper_up()
                && device.addr.is_none_or(|addr| addr == interface.ip())
        };
        if_addrs::get_if_addrs().is_ok_and(|interfaces| interfaces.iter().any(up))
    }

    /// Where to listen when `addr` is asked for: on every address means on that of the interface.
    pub(crate) fn listen_on(&self, addr: SocketAddr) -> SocketAddr {
        match self.0.as_deref().and_then(|device| device.addr) {
            Some(own) if addr.ip().is_unspecified() && own.is_ipv4() == addr.is_ipv4() => {
                SocketAddr::new(own, addr.port())
            }
            _ => addr,
        }
    }

    /// Binds a socket to the interface.
    ///
    /// # Errors
    /// It is gone, or the system does not let us.
    pub(crate) fn hold(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let Some(device) = self.0.as_deref() else { return Ok(()) };
        #[cfg(target_os = "linux")]
        return socket.bind_device(Some(device.name.as_bytes())).map_err(|error| told(&device.name, error));
        #[cfg(not(target_os = "linux"))]
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{}: not on this system", device.name),
        ));
    }

    /// The same for a socket that will connect to `target`, with the address that it sends from.
    fn hold_for(&self, socket: &SockRef<'_>, target: SocketAddr) -> io::Result<()> {
        self.hold(socket)?;
        match self.0.as_deref().and_then(|device| device.addr) {
            Some(own) if own.is_ipv4() != target.is_ipv4() => Err(io::ErrorKind::AddrNotAvailable.into()),
            Some(own) => socket.bind(&SocketAddr::new(own, 0).into()),
            None => Ok(()),
        }
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        self.hold_for(&SockRef::from(&socket), target)?;
        socket.connect(target).await
    }

    /// A UDP socket on a fresh port that hears `target` only: the kernel drops what others send.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn connect_udp(&self, target: SocketAddr) -> io::Result<UdpSocket> {
        let socket =
            Socket::new(Domain::for_address(target), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        self.hold_for(&SockRef::from(&socket), target)?;
        let socket = UdpSocket::from_std(socket.into())?;
        socket.connect(target).await?;
        Ok(socket)
    }
}

/// Whether a device is not there (ENODEV, which has no kind of its own).
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// What a device that is not there means: else the system's words are "No such device".
fn told(name: &str, error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) {
        return io::Error::new(io::ErrorKind::NotFound, format!("the interface {name} is gone"));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told() {
        let error = Egress::by("peerage-none").unwrap_err();
        assert_eq!(error.to_string(), "there is no interface peerage-none");
        // TEST-NET-1 (RFC 5737) is nobody's.
        let error = Egress::by("192.0.2.1").unwrap_err();
        assert!(matches!(error, EgressError::NoAddress(_)), "{error}");
        assert!(Egress::default().is_up() && Egress::default().name().is_none());
    }

    #[tokio::test]
    async fn an_address_stands_for_its_interface_and_its_family() {
        let egress = Egress::by("127.0.0.1").unwrap();
        assert!(egress.is_up());
        assert_eq!(egress.name(), Some("lo"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = egress.connect(listener.local_addr().unwrap()).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
        let error = egress.connect("[::1]:9".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let any: SocketAddr = "0.0.0.0:7".parse().unwrap();
        assert_eq!(egress.listen_on(any), "127.0.0.1:7".parse().unwrap());
        assert_eq!(Egress::default().listen_on(any), any);
    }
}
