//! The control server: HTTP and JSON for the command line, the page and other programs.
//!
//! **What it is.** A thread with a runtime of its own, so that neither a slow client nor a busy swarm holds up the
//! other. What lists and statuses show is read from the [`Board`](crate::daemon::board::Board); all else is asked of the daemon's thread.
//!
//! **Invariants.**
//! - Nothing is answered to a name or an origin that is not ours, nor, but for health and the page's own files,
//!   to somebody without a token, a session, or the rights of this user on the UNIX socket ([`guard`]).
//! - Sizes of heads and bodies, numbers of connections, and the time that each may take are bounded ([`server`]).
//! - Each failure is a problem (RFC 9457), and the document at `/openapi.json` is made of the routes and types themselves.
//!
//! **Where to start.** [`routes`].

mod access;
mod body;
mod guard;
mod metrics;
mod reply;
mod routes;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::request;
use peerage_api::request::NodeConfig;
use peerage_api::socket::SocketPath;

use crate::Stop;
use crate::daemon::Handle;
pub(crate) use access::Access;

/// The port that the API has unless told otherwise, or where it is taken.
const PORT: u16 = 7732;
/// Name of the socket in the runtime folder.
const SOCKET: &str = "api.sock";

/// What the server needs of the daemon, besides its handle.
pub(crate) struct Setup {
    pub http: peerage_net::http::Client,
    pub config: NodeConfig,
    pub request: request::Daemon,
}

/// What all handlers share.
pub(crate) struct Shared {
    pub handle: Handle,
    pub access: Access,
    pub setup: Setup,
    /// Where it can be called: host names without ports.
    pub hosts: Vec<String>,
    pub addr: Option<SocketAddr>,
    pub openapi: std::sync::OnceLock<String>,
    pub metrics: metrics::Metrics,
    pub stop: Stop,
}

/// Open sockets.
pub(crate) struct Listeners {
    socket: std::os::unix::net::UnixListener,
    socket_path: PathBuf,
    tcp: Option<(std::net::TcpListener, SocketAddr)>,
}

impl Listeners {
    /// The UNIX socket.
    pub fn socket_path(&self) -> &Path {
        &self.socket_path
    }

    /// The URL of the API.
    pub fn url(&self) -> Option<String> {
        self.tcp.as_ref().map(|(_, addr)| format!("http://{addr}"))
    }
}

/// Opens the sockets: the UNIX one in a folder that only this user may enter, and TCP.
///
/// # Errors
/// One cannot be opened, or would be open to other machines without the user's word.
pub(crate) fn listen(request: &request::Daemon) -> Result<Listeners, Failure> {
    let tcp = listen_tcp(request)?;
    let dir = &request.runtime_dir;
    let fail = |error: io::Error| crate::ops::io_failure(&dir.join(SOCKET).display().to_string(), &error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(fail)?;
    let path = dir.join(SOCKET);
    // Whoever listened there is gone: the daemon's lock is ours.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let short = SocketPath::new(&path).map_err(fail)?;
    let socket = std::os::unix::net::UnixListener::bind(short).map_err(fail)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    socket.set_nonblocking(true).map_err(fail)?;
    Ok(Listeners { socket, socket_path: path, tcp })
}

fn listen_tcp(request: &request::Daemon) -> Result<Option<(std::net::TcpListener, SocketAddr)>, Failure> {
    let any = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
    let addr = request.api.unwrap_or(any(PORT));
    if !is_loopback(addr.ip()) && !request.insecure {
        let message =
            format!("{addr} can be reached from other machines, and what the API says is not encrypted");
        return Err(Failure::new(ExitCode::Usage, "E_EXPOSED", message)
            .hint("listen on 127.0.0.1 and come through a tunnel or a proxy with TLS; --api-insecure does it nevertheless"));
    }
    let bound = match (std::net::TcpListener::bind(addr), request.api) {
        // The usual port is another's, maybe another home's: any will do.
        (Err(error), None) if error.kind() == io::ErrorKind::AddrInUse => std::net::TcpListener::bind(any(0)),
        (result, _) => result,
    };
    let fail = |error: io::Error| {
        let message = format!("cannot listen on {addr} for the API: {error}");
        let failure = crate::ops::listen_failure(error.kind(), message);
        failure.hint("choose another with --api ADDR:PORT; port 0 takes a free one")
    };
    let listener = bound.map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let addr = listener.local_addr().map_err(fail)?;
    Ok(Some((listener, addr)))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// The running server.
pub(crate) struct Server {
    stop: Stop,
    thread: Option<std::thread::JoinHandle<()>>,
    socket: PathBuf,
}

impl Server {
    /// Ends it; requests under way are cut off.
    pub fn stop(mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Begins to serve, on a thread of its own.
///
/// # Errors
/// The system gives no thread, or no runtime.
pub(crate) fn start(
    listeners: Listeners,
    handle: Handle,
    access: Access,
    setup: Setup,
) -> Result<Server, Failure> {
    let fail = |error: io::Error| {
        Failure::new(
            ExitCode::Unclassified,
            "E_SYSTEM",
            format!("the control server does not start: {error}"),
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    let stop = Stop::new();
    let addr = listeners.tcp.as_ref().map(|(_, addr)| *addr);
    let socket = listeners.socket_path.clone();
    let hosts = setup.request.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let openapi = std::sync::OnceLock::new();
    let metrics = metrics::Metrics::new(Arc::clone(&handle.board));
    let shared =
        Arc::new(Shared { handle, access, setup, hosts, addr, openapi, metrics, stop: stop.clone() });
    let stopped = stop.clone();
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            if let Err(error) = runtime.block_on(server::serve(listeners, shared, stopped)) {
                tracing::error!(%error, "the control server has ended");
            }
            runtime.shutdown_background();
        })
        .map_err(fail)?;
    Ok(Server { stop, thread: Some(thread), socket })
}
