//! What keeps a connection from being opened, told apart by kind.

use std::io::ErrorKind;

use super::GreetError;
use super::tls::OtherPeer;

/// A kind of [`GreetError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody listens there.
    Refused,
    /// There is no way to its network.
    NoRoute,
    /// Nothing answers.
    NoAnswer,
    /// It closed while the roads were being agreed upon.
    HungUp,
    /// Another peer than the one that was asked for.
    OtherPeer,
    /// A relay that does not let us in.
    Denied,
    /// The encrypted start failed, or is not wanted.
    Encryption,
    /// It speaks something else.
    OtherProtocol,
    /// Something of our own, or of the system.
    Other,
}

impl From<&GreetError> for Obstacle {
    fn from(error: &GreetError) -> Self {
        let error = match error {
            GreetError::Io(error) => error,
            GreetError::Encryption(_) | GreetError::Plain => return Self::Encryption,
            GreetError::Off(_) => return Self::Other,
        };
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                Self::NoRoute
            }
            ErrorKind::TimedOut => Self::NoAnswer,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::HungUp,
            _ if OtherPeer::is_in(error) => Self::OtherPeer,
            ErrorKind::InvalidData => Self::OtherProtocol,
            _ => Self::Other,
        }
    }
}
