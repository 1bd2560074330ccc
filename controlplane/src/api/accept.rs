//! Where do connections come in, and how many at once?

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Peer, Version};
use super::guard::Client;
use super::server::{Limits, StartError};
use super::tls::{Tls, shake_hands};
use crate::services::auth::throttle::of_host;
use crate::services::{RateLimited, Services};

/// Listens on an address; where `interface` is named, to what comes in by that alone, and whether or not it has the address already.
pub(super) fn listen_tcp(addr: SocketAddr, interface: Option<&str>) -> Result<TcpListener, StartError> {
    let bind = || {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the connections of the last run to leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
            // An address of IPv6 is nobody's to bind for the second in which it is looked for elsewhere (RFC 4862 5.4).
            match addr {
                SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
                SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
            }
        }
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| StartError::Tcp { addr, source })
}

/// Connections that wait in the kernel; `net.core.somaxconn` is 4096 by default.
const BACKLOG: u32 = 4_096;

/// A listening Unix socket, whose file goes with it.
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl UnixSocket {
    /// Makes the socket in a directory that is closed to others, then moves it into place: whatever the umask,
    /// at no moment is there a socket that others could open.
    pub(super) fn listen(path: PathBuf) -> Result<Self, StartError> {
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

/// What the TLS side of a listener works with.
pub(super) struct TlsSide {
    tls: Arc<Tls>,
    services: Arc<Services>,
    /// Of clients that are refused.
    warning: RateLimited,
}

impl TlsSide {
    pub(super) fn new(tls: Arc<Tls>, services: Arc<Services>) -> Arc<Self> {
        Arc::new(Self { tls, services, warning: RateLimited::new(WARN_EVERY) })
    }
}

/// Where connections come from.
pub(super) enum Listener<'a> {
    Tcp(TcpListener, Option<Arc<TlsSide>>),
    Unix(&'a UnixListener),
}

enum Stream {
    Tcp(TcpStream, SocketAddr),
    Tls(TcpStream, SocketAddr, Arc<TlsSide>),
    Unix(UnixStream),
}

impl Stream {
    fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) | Self::Tls(_, peer, _) => Some(peer.ip()),
            Self::Unix(_) => None,
        }
    }
}

/// How many connections each host has.
#[derive(Debug, Default)]
struct Hosts(Mutex<HashMap<IpAddr, usize>>);

/// One of a host's connections.
#[derive(Debug)]
struct Place {
    hosts: Arc<Hosts>,
    host: IpAddr,
}

impl Hosts {
    /// One more; `None`: it has `max`.
    fn enter(self: &Arc<Self>, peer: IpAddr, max: usize) -> Option<Place> {
        let host = of_host(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(host).or_default();
        (*count < max).then(|| {
            *count += 1;
            Place { hosts: Arc::clone(self), host }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.hosts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.host) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
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
pub(super) async fn accept_all(
    listener: Listener<'_>,
    limits: Limits,
    router: &Router,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(listener.connections_max(&limits)));
    let warning = RateLimited::new(WARN_EVERY);
    let hosts = Arc::new(Hosts::default());
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
        let place = match (stream.peer(), limits.connections_per_host_max) {
            (Some(peer), Some(max)) => match hosts.enter(peer, max) {
                Some(place) => Some(place),
                // It is closed: a host that takes what it can get keeps others from nothing.
                None => continue,
            },
            _ => None,
        };
        let router = router.clone();
        let stopped = stopped.clone();
        connections.spawn(async move {
            serve_stream(stream, limits, router, stopped).await;
            drop((permit, place));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_so_many_connections_and_no_more() {
        let hosts = Arc::new(Hosts::default());
        let enter = |last: u8| hosts.enter(IpAddr::from([192, 0, 2, last]), 2);
        let (first, second) = (enter(1), enter(1));
        assert!(first.is_some() && second.is_some());
        assert!(enter(1).is_none(), "it has two");
        assert!(enter(2).is_some(), "another has none");
        drop(first);
        assert!(enter(1).is_some());
        drop(second);
        assert!(hosts.0.lock().is_ok_and(|counts| counts.is_empty()), "who has none is not remembered");
    }
}
