//! A client of the control API: one connection for each request, over the UNIX socket or TCP.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::control::{PREFIX, Problem};
use crate::error::{ExitCode, Failure};
use crate::socket::SocketPath;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may take: adding what a URL names waits for its server.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Its UNIX socket: whoever may open it needs no token.
    Socket(PathBuf),
    /// `HOST:PORT` of its API, without TLS.
    Tcp {
        /// Where.
        authority: String,
        /// What permits it.
        token: Option<String>,
    },
}

/// Asks a daemon.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
}

impl Client {
    /// Of the daemon there.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Reads a document; `path` begins behind `/api/v1`.
    ///
    /// # Errors
    /// What the daemon says, or why there is no answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    /// Sends a document, reads another.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Sends changes, reads what came of them.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    /// Deletes.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(Method::DELETE, path, None::<&()>).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| malformed(&error))?,
            None => Vec::new(),
        };
        let answer = async {
            let response = self.send(method, path, bytes.into()).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|error| lost(&*error))?.to_bytes();
            if status.is_success() {
                // An empty answer is nothing.
                let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
                return serde_json::from_slice(text).map_err(|error| malformed(&error));
            }
            Err(serde_json::from_slice::<Problem>(&bytes).map_or_else(
                |_| Failure::new(ExitCode::Version, "E_API", format!("the daemon answers {status}")),
                Failure::from,
            ))
        };
        let late = |_| Failure::new(ExitCode::Timeout, "E_TIMEOUT", "the daemon does not answer in time");
        tokio::time::timeout(ANSWER_LIMIT, answer).await.map_err(late)?
    }

    /// Follows the events; see [`Events::next`].
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn events(&self, query: &str) -> Result<Events, Failure> {
        let response = self.send(Method::GET, &format!("/events{query}"), Bytes::new()).await?;
        if !response.status().is_success() {
            let status = response.status();
            let bytes = response.into_body().collect().await.map_err(|error| lost(&error))?.to_bytes();
            let problem = serde_json::from_slice::<Problem>(&bytes);
            let other = |_| Failure::new(ExitCode::Version, "E_API", format!("the daemon answers {status}"));
            return Err(problem.map_or_else(other, Failure::from));
        }
        Ok(Events { body: response.into_body(), rest: Vec::new() })
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{PREFIX}{path}"));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(body);
        match &self.endpoint {
            Endpoint::Socket(path) => {
                let request = request.header(header::HOST, "localhost").body(body);
                let stream = within(async {
                    let short = SocketPath::new(path)?;
                    UnixStream::connect(&short).await
                });
                let stream = stream.await.map_err(|error| no_daemon(&error))?;
                exchange(stream, request.map_err(|error| lost(&error))?).await
            }
            Endpoint::Tcp { authority, token } => {
                let mut request = request.header(header::HOST, authority);
                if let Some(token) = token {
                    request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
                }
                let stream =
                    within(TcpStream::connect(authority)).await.map_err(|error| no_daemon(&error))?;
                exchange(stream, request.body(body).map_err(|error| lost(&error))?).await
            }
        }
    }
}

async fn within<T>(connecting: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let late = |_| std::io::ErrorKind::TimedOut.into();
    tokio::time::timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| lost(&error))
}

/// Nobody answers where a daemon would.
fn no_daemon(error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::TimedOut => {
            Failure::new(ExitCode::NoDaemon, "E_NO_DAEMON", "no daemon runs here")
                .hint("start one with `peerage daemon`; --home DIR or --api URL name another")
        }
        kind => Failure::of_kind(kind, format!("the daemon cannot be reached: {error}")),
    }
}

fn lost(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(ExitCode::NoDaemon, "E_NO_DAEMON", format!("the daemon broke off: {error}"))
        .hint("`peerage status` tells whether it still runs")
}

fn malformed(error: &serde_json::Error) -> Failure {
    Failure::new(ExitCode::Version, "E_API", format!("the daemon answers otherwise than expected: {error}"))
        .hint("is it another version of peerage? `peerage status` tells")
}

/// Events under way.
pub struct Events {
    body: Incoming,
    rest: Vec<u8>,
}

impl Events {
    /// The next event's `data`, a [`crate::control::Notice`] as JSON; `None` at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                let text = String::from_utf8_lossy(&block);
                let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                if !data.is_empty() {
                    return Ok(Some(data.join("\n")));
                }
                continue;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.rest.extend(frame.data_ref().into_iter().flat_map(|data| data.iter()))
                }
                Some(Err(error)) => return Err(lost(&error)),
                None => return Ok(None),
            }
        }
    }
}
