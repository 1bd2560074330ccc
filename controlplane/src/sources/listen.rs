//! How does a source hear datagrams, and from whom? What every source that listens has in common.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::services::audit::Entry;
use crate::services::{RateLimited, Services, Stoppable};

/// How late a thread may notice that it is to end.
pub(super) const LOOK_UP_EVERY: Duration = Duration::from_millis(200);

/// How often what is refused is spoken of.
pub(super) const WARN_EVERY: Duration = Duration::from_secs(60);

/// A socket that is not read yet.
#[derive(Debug)]
pub(super) struct UdpListener {
    socket: UdpSocket,
    bytes_max: usize,
}

impl UdpListener {
    /// Takes the address, for datagrams of so many bytes.
    ///
    /// # Errors
    ///
    /// As the system says where it cannot be had.
    pub(super) fn bind(listen: SocketAddr, bytes_max: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind(listen)?;
        socket.set_read_timeout(Some(LOOK_UP_EVERY))?;
        Ok(Self { socket, bytes_max })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Gives `hear` each datagram, and sends what it answers: on a thread of its own that inherits the caller's cores. One that is longer
    /// than is taken comes cut, with one byte more than is taken.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub(super) fn start(
        self,
        name: &str,
        mut hear: impl FnMut(IpAddr, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> io::Result<Stoppable> {
        Stoppable::start(name, move |stopped| {
            let mut buffer = vec![0; self.bytes_max + 1];
            while is_running(&stopped) {
                // An error is that of a datagram sent before, or that none came.
                let Ok((len, from)) = self.socket.recv_from(&mut buffer) else { continue };
                let heard = buffer.get(..len).unwrap_or_default();
                if let Some(answer) = hear(from.ip().to_canonical(), heard) {
                    // Whoever hears no answer asks again.
                    let _ = self.socket.send_to(&answer, from);
                }
            }
        })
    }
}

/// Whether a thread is to go on.
pub(super) fn is_running(stopped: &Receiver<()>) -> bool {
    matches!(stopped.try_recv(), Err(TryRecvError::Empty))
}

/// Waits until a thread is to end.
pub(super) async fn until_stopped(stopped: &Receiver<()>) {
    while is_running(stopped) {
        tokio::time::sleep(LOOK_UP_EVERY).await;
    }
}

/// Whether one of the networks has an address.
pub(super) fn are_of(networks: &[IpNet], addr: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&addr))
}

/// Tells the audit and, now and then, the log of what was refused: alike ones are one entry a minute.
#[derive(Debug)]
pub(super) struct Refusals {
    /// The action that the audit has for it.
    action: &'static str,
    /// What was refused, for the log.
    what: &'static str,
    warning: RateLimited,
}

impl Refusals {
    /// None yet.
    pub(super) fn new(action: &'static str, what: &'static str) -> Self {
        Self { action, what, warning: RateLimited::new(WARN_EVERY) }
    }

    /// Tells of one.
    pub(super) fn tell(&self, services: &Services, from: IpAddr, code: &str, why: &str) {
        let mut entry = Entry::by_system(services.now_ns(), self.action, None, None);
        entry.actor = None;
        entry.address = Some(from.to_string());
        entry.outcome = code.to_owned();
        services.audit().refused(entry);
        if let Some(left_out) = self.warning.permit(Instant::now()) {
            tracing::warn!(client = %from, why, left_out, "{} was refused", self.what);
        }
    }
}
