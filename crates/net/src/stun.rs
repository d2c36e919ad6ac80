//! STUN (RFC 8489): asking how others see us, and answering it.
//!
//! An answer says where a UDP packet of ours came out of the NATs on the way. Two servers that see the
//! same address for one socket tell that the mapping is endpoint-independent (RFC 5780, section 4.3):
//! others can be told that address. Answers are hints of strangers; they decide nothing alone.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_wire::stun::{Message, PACKET_BYTES_MAX, Transaction};
use tokio::net::UdpSocket;
use tokio::time::{Instant as Deadline, timeout_at};

/// How patiently a server is asked (RFC 8489, section 6.2.1): the n-th request is followed by
/// `rto * 2^(n-1)` of waiting, the last one by `rto * last_wait`.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The first wait. The RFC's value is 500 ms.
    pub rto: Duration,
    /// Requests at most: `Rc`. The RFC's value is 7; this is 4, as somebody waits for the answer.
    pub requests: u32,
    /// `Rm`. The RFC's value is 16, for 39.5 s in all; this is 4, for 5.5 s.
    pub last_wait: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { rto: Duration::from_millis(500), requests: 4, last_wait: 4 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error("UDP does not work here: {0}")]
    Io(#[from] io::Error),
    /// Nothing came in time.
    #[error("{0} does not answer")]
    Silent(SocketAddr),
    /// The server refuses.
    #[error("{server} refuses, with code {code}")]
    Refused {
        /// Which one.
        server: SocketAddr,
        /// 300 to 699.
        code: u16,
    },
}

/// Where `server` sees packets of `socket` come from. What else arrives meanwhile is dropped: the socket
/// must be the caller's alone. `transaction` must be random and new.
///
/// # Errors
/// See [`Error`].
pub async fn ask(
    socket: &UdpSocket,
    server: SocketAddr,
    transaction: Transaction,
    config: Config,
) -> Result<SocketAddr, Error> {
    let request = Message::Request { transaction }.encode();
    let mut wait = config.rto;
    for number in 1..=config.requests {
        socket.send_to(&request, server).await?;
        let last = number == config.requests;
        let until = Deadline::now() + if last { config.rto * config.last_wait } else { wait };
        wait *= 2;
        match timeout_at(until, answer(socket, server, transaction)).await {
            Ok(Ok(Message::Success { mapped, .. })) => return Ok(mapped),
            Ok(Ok(Message::Error { code, .. })) => return Err(Error::Refused { server, code }),
            // Linux tells of an unreachable port here: the server may be starting.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep_until(until).await;
            }
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(Message::Request { .. })) | Err(_) => {}
        }
    }
    Err(Error::Silent(server))
}

/// The next answer of that server to that request.
async fn answer(socket: &UdpSocket, server: SocketAddr, ours: Transaction) -> io::Result<Message> {
    let mut buffer = [0; PACKET_BYTES_MAX];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        if from.port() != server.port() || from.ip().to_canonical() != server.ip().to_canonical() {
            continue;
        }
        match Message::decode(buffer.get(..length).unwrap_or_default()) {
            Ok(message @ (Message::Success { transaction, .. } | Message::Error { transaction, .. }))
                if transaction == ours =>
            {
                return Ok(message);
            }
            _ => {}
        }
    }
}

/// Answers at most this often, in all, so that floods cost little and forged senders get little. An
/// answer has 32 or 44 bytes to a request's 20: at most 2.2 times as much goes to a forged sender
/// (threats.md W10 permits 3).
#[derive(Debug)]
pub struct Answerer {
    /// Answers per second.
    rate: f64,
    /// Answers at once.
    burst: f64,
    credit: f64,
    counted: Option<Instant>,
}

impl Default for Answerer {
    /// 50 a second, 100 at once: 20 kbit/s.
    fn default() -> Self {
        Self::new(50, 100)
    }
}

impl Answerer {
    /// At most `rate` a second, and `burst` at once.
    #[must_use]
    pub fn new(rate: u32, burst: u32) -> Self {
        Self { rate: rate.into(), burst: burst.into(), credit: burst.into(), counted: None }
    }

    /// What to send back to `from` for this packet, if anything.
    pub fn answer(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) -> Option<Vec<u8>> {
        let Ok(Message::Request { transaction }) = Message::decode(packet) else { return None };
        let passed = self.counted.map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
        self.counted = Some(now);
        self.credit = (self.credit + passed.as_secs_f64() * self.rate).min(self.burst);
        if self.credit < 1.0 {
            return None;
        }
        self.credit -= 1.0;
        Some(Message::Success { transaction, mapped: from }.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Config = Config { rto: Duration::from_millis(20), requests: 3, last_wait: 2 };
    const TRANSACTION: Transaction = [7; 12];

    async fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    /// The next packet, and who sent it.
    async fn packet(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; PACKET_BYTES_MAX];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        (buffer[..length].to_vec(), from)
    }

    #[tokio::test]
    async fn an_answer_tells_how_a_socket_is_seen() {
        let ((client, own), (server, at)) = (socket().await, socket().await);
        let serve = async {
            // The first request is lost, the second answered.
            let _ = packet(&server).await;
            let (request, from) = packet(&server).await;
            let reply = Answerer::default().answer(Instant::now(), from, &request).unwrap();
            server.send_to(&reply, from).await.unwrap();
        };
        let (seen, ()) = tokio::join!(ask(&client, at, TRANSACTION, QUICK), serve);
        assert_eq!(seen.unwrap(), own);
    }

    #[tokio::test]
    async fn other_answers_do_not_count() {
        let ((client, own), (server, at), (stranger, _)) = (socket().await, socket().await, socket().await);
        let lie = "192.0.2.9:9".parse().unwrap();
        let serve = async {
            let (_, from) = packet(&server).await;
            // From another address, to another request, and nonsense; then the right one.
            let forged = Message::Success { transaction: TRANSACTION, mapped: lie }.encode();
            stranger.send_to(&forged, from).await.unwrap();
            let stale = Message::Success { transaction: [8; 12], mapped: lie }.encode();
            server.send_to(&stale, from).await.unwrap();
            server.send_to(b"nonsense", from).await.unwrap();
            let right = Message::Success { transaction: TRANSACTION, mapped: own }.encode();
            server.send_to(&right, from).await.unwrap();
        };
        let config = Config { rto: Duration::from_secs(5), ..QUICK };
        let (seen, ()) = tokio::join!(ask(&client, at, TRANSACTION, config), serve);
        assert_eq!(seen.unwrap(), own);
    }

    #[tokio::test]
    async fn silence_and_refusal_are_told_apart() {
        let ((client, _), (server, at)) = (socket().await, socket().await);
        assert!(matches!(ask(&client, at, TRANSACTION, QUICK).await, Err(Error::Silent(who)) if who == at));
        let mut requests = 0;
        while server.try_recv(&mut [0; 100]).is_ok() {
            requests += 1;
        }
        assert_eq!(requests, QUICK.requests);
        let serve = async {
            let (_, from) = packet(&server).await;
            let refusal = Message::Error { transaction: TRANSACTION, code: 420 };
            server.send_to(&refusal.encode(), from).await.unwrap();
        };
        let (result, ()) = tokio::join!(ask(&client, at, TRANSACTION, QUICK), serve);
        assert!(matches!(result, Err(Error::Refused { code: 420, .. })));
    }

    #[test]
    fn answers_are_bounded_in_size_and_number() {
        let mut answerer = Answerer::new(10, 3);
        let request = Message::Request { transaction: TRANSACTION }.encode();
        let (now, v6) = (Instant::now(), "[2001:db8::1]:9".parse().unwrap());
        let answered = |answerer: &mut Answerer, now| {
            std::iter::from_fn(|| answerer.answer(now, v6, &request)).take(50).count()
        };
        let reply = Answerer::default().answer(now, v6, &request).unwrap();
        assert!(reply.len() <= 3 * request.len(), "{}", reply.len());
        assert_eq!(answered(&mut answerer, now), 3);
        assert_eq!(answered(&mut answerer, now + Duration::from_millis(250)), 2);
        assert_eq!(answered(&mut answerer, now + Duration::from_secs(60)), 3);
        // Answers are not answered: two answerers do not talk for ever.
        assert_eq!(Answerer::default().answer(now, v6, &reply), None);
    }
}
