//! Settings of an endpoint.

use peerage_base::{Duration, limits};

/// Settings of an [`Endpoint`](super::Endpoint). All connections share them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Bytes of the largest datagram to an IPv4 address. 1,372 pass a path of 1,400 bytes, which is what
    /// most tunnels leave of 1,500; nothing larger is tried, since a numbered packet cannot be cut anew.
    pub datagram_bytes_v4: usize,
    /// Bytes of the largest datagram to an IPv6 address. 1,232 pass every path (RFC 8200: 1,280).
    pub datagram_bytes_v6: usize,
    /// Datagrams of one size that one [`Output::Send`](super::Output::Send) may hold: what the socket
    /// hands to the kernel at once. At least 1.
    pub segments_max: usize,
    /// Queueing delay that our sending adds to a path at most (BEP 29: 100 ms).
    pub target_delay: Duration,
    /// Bytes by which the window grows in each round trip without queueing (libutp, libtorrent: 3,000).
    pub gain_bytes: f64,
    /// Bytes in flight at most, for one connection. 4 MiB fill 640 Mbit/s at 50 ms.
    pub window_bytes_max: usize,
    /// Bytes received and not read, for one connection, at the start.
    pub receive_bytes_min: usize,
    /// The same, for a connection whose reader has kept up with a lot.
    pub receive_bytes_max: usize,
    /// Bytes written and not sent, for one connection.
    pub unsent_bytes_max: usize,
    /// The shortest retransmission time-out (BEP 29: 500 ms).
    pub timeout_min: Duration,
    /// The longest one; each that passes in vain doubles it.
    pub timeout_max: Duration,
    /// An acknowledgement of a single packet waits so long for company.
    pub ack_delay: Duration,
    /// A connection with something unacknowledged is given up when it has heard nothing for so long.
    pub dead_after: Duration,
    /// Opening a connection is given up after so long.
    pub connect_limit: Duration,
    /// How long a connection that its user left may still take to deliver what was written.
    pub linger: Duration,
    /// A connection that has sent nothing for so long says that it is there, for the sake of NATs between
    /// (libutp: 29 s).
    pub keep_alive: Duration,
    /// Connections, in all.
    pub connections_max: usize,
    /// Connections that others opened from one address.
    pub connections_per_host_max: usize,
    /// Connections that others began and have not shown to be at their address.
    pub half_open_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            datagram_bytes_v4: 1372,
            datagram_bytes_v6: 1232,
            segments_max: 1,
            target_delay: Duration::from_millis(100),
            gain_bytes: 3000.0,
            window_bytes_max: 4 * 1024 * 1024,
            receive_bytes_min: 256 * 1024,
            receive_bytes_max: 4 * 1024 * 1024,
            unsent_bytes_max: 256 * 1024,
            timeout_min: Duration::from_millis(500),
            timeout_max: Duration::from_secs(8),
            ack_delay: Duration::from_millis(10),
            dead_after: Duration::from_secs(30),
            connect_limit: Duration::from_secs(10),
            linger: Duration::from_secs(10),
            keep_alive: Duration::from_secs(29),
            connections_max: 2 * limits::CONNECTIONS_MAX,
            connections_per_host_max: limits::UTP_CONNECTIONS_PER_HOST_MAX,
            half_open_max: limits::UTP_HALF_OPEN_MAX,
        }
    }
}
