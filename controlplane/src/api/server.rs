//! Who may connect, for how long, and how many at once?
//!
//! One thread, one single-threaded runtime, never a worker's core. Each listener has its own bound of
//! connections, so that a flood over TCP cannot lock the operator out of the Unix socket; a connection
//! beyond the bound waits in the kernel's backlog. Headers, bodies, requests and whole connections each have
//! a time limit: a client that sends or reads one byte a minute is closed, not waited for.
//!
//! With [`Config::tls`] TCP speaks TLS 1.3 only, and HTTP/2 where ALPN asks for it; each handshake is a task of its own with
//! a time limit. Without, TCP speaks HTTP/1.1.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderValue;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::client_certificate::Rules;
use super::connection::{self, Peer, Version};
use super::guard::Client;
use super::jobs::Jobs;
use super::rates::Rates;
use super::tls::{ClientCertificates, Tls, shake_hands};
use super::{jobs, live, router, webhooks};
use crate::services::{RateLimited, Services};

/// Where to listen, and the bounds.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// TCP address, for whoever has a token.
    pub tcp: Option<SocketAddr>,
    /// Certificates of the TCP side; `None` speaks in clear.
    pub tls: Option<Arc<Tls>>,
    /// What is asked of clients over TCP besides; for direct ones [`Config::tls`] asks it in the handshake.
    pub client_certificates: ClientCertificates,
    /// Addresses that may name the certificate of the client that they speak for.
    pub trusted_proxies: Vec<IpAddr>,
    /// Unix socket for all calls; a stale one is replaced, a live one is an error.
    pub unix: Option<PathBuf>,
    /// Pages of these origins may call, such as `https://console.example`; none where empty.
    pub origins: Vec<HeaderValue>,
    /// The bounds.
    pub limits: Limits,
}

/// Bounds of what clients can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once over TCP.
    pub tcp_connections_max: usize,
    /// Connections at once over the Unix socket.
    pub unix_connections_max: usize,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for the request line and headers; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Time for body and answer together.
    pub request_timeout: Duration,
    /// Age at which a connection is closed after the answer it is giving.
    pub connection_age_max: Duration,
    /// Request line and headers together, bytes.
    pub header_bytes_max: usize,
    /// Body of a call, bytes.
    pub body_bytes_max: usize,
    /// Body of a call that brings a policy set, bytes.
    pub policy_bytes_max: usize,
    /// Capture that a client sends, bytes.
    pub upload_bytes_max: u64,
    /// How long a stop waits for answers under way.
    pub drain_timeout: Duration,
    /// How often one client may ask; `None`: as often as it likes.
    pub rates: Option<Rates>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tcp_connections_max: 4_096,
            unix_connections_max: 128,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            connection_age_max: Duration::from_secs(600),
            header_bytes_max: 32 * 1024,
            body_bytes_max: 1 << 20,
            policy_bytes_max: 64 << 20,
            upload_bytes_max: 256 << 20,
            drain_timeout: Duration::from_secs(3),
            rates: Some(Rates::default()),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TCP address cannot be had.
    #[error("cannot listen on {addr}: {source}")]
    Tcp {
        /// Asked for.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The Unix socket cannot be had.
    #[error("cannot listen on {}: {source}", path.display())]
    Unix {
        /// Asked for.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another daemon answers on the Unix socket.
    #[error("another daemon is listening on {}", path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// No thread or no runtime.
    #[error("cannot start the control thread: {0}")]
    Thread(io::Error),
}

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    tcp_addr: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens and serves on a thread of its own, which inherits the caller's CPU affinity: call it from a
    /// thread that is not pinned to a worker's core.
    ///
    /// # Errors
    ///
    /// [`StartError`], and nothing is left behind.
    pub fn start(config: Config, services: Arc<Services>) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("jarvis-ctl-job")
            .max_blocking_threads(jobs::THREADS_MAX)
            .build()
            .map_err(StartError::Thread)?;
        let (tcp, unix) = {
            let _guard = runtime.enter();
            (config.tcp.map(listen_tcp).transpose()?, config.unix.map(UnixSocket::listen).transpose()?)
        };
        let tcp_addr = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
        let (stop, stopped) = watch::channel(false);
        let limits = config.limits;
        let rules = Rules::new(&config.trusted_proxies, config.client_certificates);
        let router = router::router(Arc::clone(&services), &limits, &config.origins, rules);
        let tls = config.tls.map(|tls| {
            Arc::new(TlsSide { tls, services: Arc::clone(&services), warning: RateLimited::new(WARN_EVERY) })
        });
        let thread = std::thread::Builder::new()
            .name("jarvis-control".into())
            .spawn(move || {
                runtime.block_on(serve(tcp, tls, unix, limits, router, services, stopped));
                // Jobs that wait for a worker that hangs are not waited for.
                runtime.shutdown_timeout(JOBS_DRAIN_TIMEOUT);
            })
            .map_err(StartError::Thread)?;
        Ok(Self { tcp_addr, stop, thread: Some(thread) })
    }

    /// The address that TCP clients reach it at (the port chosen where 0 was asked for).
    #[must_use]
    pub const fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp_addr
    }

    /// Whether its thread still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Takes no more requests, gives the answers under way their drain time, removes the Unix socket.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// How long a stop waits for jobs after the answers are out.
const JOBS_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

fn listen_tcp(addr: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let socket =
            if addr.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
        // A restart must not wait for the connections of the last run to leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| StartError::Tcp { addr, source })
}

/// Connections that wait in the kernel; `net.core.somaxconn` is 4096 by default.
const BACKLOG: u32 = 4_096;

/// A listening Unix socket, whose file goes with it.
struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixSocket {
    /// Makes the socket in a directory that is closed to others, then moves it into place: whatever the umask,
    /// at no moment is there a socket that others could open.
    fn listen(path: PathBuf) -> Result<Self, StartError> {
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => {
                let source =
                    io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there");
                return Err(StartError::Unix { path, source });
            }
            Ok(_socket) if std::os::unix::net::UnixStream::connect(&path).is_ok() => {
                return Err(StartError::AlreadyRunning { path });
            }
            Ok(_stale) => {}
            Err(_absent) => {}
        }
        match Self::place(&path) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(StartError::Unix { path, source }),
        }
    }

    fn place(path: &Path) -> io::Result<UnixListener> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let closed_dir = PathBuf::from(name);
        std::fs::DirBuilder::new().mode(0o700).create(&closed_dir)?;
        let inside = closed_dir.join("socket");
        let placed = UnixListener::bind(&inside).and_then(|listener| {
            std::fs::set_permissions(&inside, PermissionsExt::from_mode(0o600))?;
            std::fs::rename(&inside, path)?;
            Ok(listener)
        });
        let _ = std::fs::remove_file(&inside);
        let _ = std::fs::remove_dir(&closed_dir);
        placed
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(
    tcp: Option<TcpListener>,
    tls: Option<Arc<TlsSide>>,
    unix: Option<UnixSocket>,
    limits: Limits,
    router: Router,
    services: Arc<Services>,
    stopped: watch::Receiver<bool>,
) {
    let posting = webhooks::deliver(Arc::clone(&services), Arc::new(Jobs::new()), stopped.clone());
    let live = live::watch(services, stopped.clone(), limits.drain_timeout);
    let tcp = async {
        if let Some(listener) = tcp {
            accept_all(Listener::Tcp(listener, tls), limits, &router, stopped.clone()).await;
        }
    };
    let unix = async {
        if let Some(socket) = unix {
            let UnixSocket { ref listener, .. } = socket;
            accept_all(Listener::Unix(listener), limits, &router, stopped.clone()).await;
        }
    };
    tokio::join!(tcp, unix, live, posting);
}

/// What the TLS side of a listener works with.
struct TlsSide {
    tls: Arc<Tls>,
    services: Arc<Services>,
    /// Of clients that are refused.
    warning: RateLimited,
}

enum Listener<'a> {
    Tcp(TcpListener, Option<Arc<TlsSide>>),
    Unix(&'a UnixListener),
}

enum Stream {
    Tcp(TcpStream, SocketAddr),
    Tls(TcpStream, SocketAddr, Arc<TlsSide>),
    Unix(UnixStream),
}

impl Listener<'_> {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(match tls {
                    Some(tls) => Stream::Tls(stream, peer, Arc::clone(tls)),
                    None => Stream::Tcp(stream, peer),
                })
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }

    const fn connections_max(&self, limits: &Limits) -> usize {
        match self {
            Self::Tcp(..) => limits.tcp_connections_max,
            Self::Unix(_) => limits.unix_connections_max,
        }
    }
}

/// Accepts until told to stop, then waits for the answers under way.
async fn accept_all(
    listener: Listener<'_>,
    limits: Limits,
    router: &Router,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(listener.connections_max(&limits)));
    let warning = RateLimited::new(WARN_EVERY);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await.expect("nobody closes the semaphore");
                (listener.accept().await, permit)
            } => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        let (stream, permit) = match accepted {
            (Ok(stream), permit) => (stream, permit),
            (Err(error), _) => {
                if let Some(suppressed) = warning.permit(Instant::now()) {
                    tracing::warn!(%error, suppressed, "cannot accept a connection");
                }
                // Out of descriptors, most likely: the next attempt fails too until a connection ends.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        let stopped = stopped.clone();
        connections.spawn(async move {
            serve_stream(stream, limits, router, stopped).await;
            drop(permit);
        });
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!("closed connections whose answers were not taken within the drain time");
    }
}

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Distance of warnings that clients can cause.
const WARN_EVERY: Duration = Duration::from_secs(10);

async fn serve_stream(stream: Stream, limits: Limits, router: Router, mut stopped: watch::Receiver<bool>) {
    let (client, accepted_at) = match &stream {
        Stream::Tcp(stream, peer) | Stream::Tls(stream, peer, _) => {
            (Client::Tcp(*peer), stream.local_addr().ok())
        }
        Stream::Unix(_) => (Client::Unix, None),
    };
    let peer = Peer { client, accepted_at, fingerprint: None };
    match stream {
        Stream::Tcp(stream, _) => {
            connection::serve(stream, peer, Version::One, limits, router, stopped).await
        }
        Stream::Unix(stream) => connection::serve(stream, peer, Version::One, limits, router, stopped).await,
        Stream::Tls(stream, address, side) => {
            let TlsSide { tls, services, warning } = &*side;
            let shaken = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                shaken = shake_hands(tls, stream, address, limits.handshake_timeout, services.api_counts(), warning) => shaken,
            };
            let Some(shaken) = shaken else { return };
            let peer = Peer { fingerprint: shaken.fingerprint, ..peer };
            let version = if shaken.http_2 { Version::Two } else { Version::One };
            connection::serve(shaken.stream, peer, version, limits, router, stopped).await;
        }
    }
}
