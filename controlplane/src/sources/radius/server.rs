//! The socket on which access servers tell of sessions, and who answers them: one thread, one packet after the other.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::accounting::{Mapping, Session, Told, read};
use super::packet::{Fault, PACKET_BYTES_MAX, Request};
use crate::services::audit::Entry;
use crate::services::identities::LIVE_MAX;
use crate::services::{RateLimited, Services};

/// How late the thread may notice that it is to end.
const LOOK_UP_EVERY: Duration = Duration::from_millis(200);

/// How often what is refused is spoken of.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Who may tell of sessions.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// What they sign with.
    pub secret: Zeroizing<Vec<u8>>,
    /// Whether each packet must have a Message-Authenticator.
    pub needs_message_authenticator: bool,
}

/// Where accounting is taken, and from whom.
#[derive(Debug, Clone)]
pub struct RadiusConfig {
    /// Where; the field's port is 1813.
    pub listen: SocketAddr,
    /// From whom; the first whose network has the sender counts.
    pub clients: Vec<Client>,
    /// What of a request is what of a user.
    pub mapping: Mapping,
}

/// A socket that is not read yet.
#[derive(Debug)]
pub struct Radius {
    socket: UdpSocket,
    config: RadiusConfig,
}

/// Keeps the thread until it is stopped or dropped.
#[derive(Debug)]
pub struct RadiusHandle {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Radius {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// As the system says where it cannot be had.
    pub fn bind(config: RadiusConfig) -> io::Result<Self> {
        let socket = UdpSocket::bind(config.listen)?;
        socket.set_read_timeout(Some(LOOK_UP_EVERY))?;
        Ok(Self { socket, config })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Begins to answer, on a thread of its own that inherits the caller's cores. Call it before the workers run.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn start(self, services: Arc<Services>) -> io::Result<RadiusHandle> {
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&is_over);
        let thread = std::thread::Builder::new().name("jarvis-radius".into()).spawn(move || {
            let mut server =
                Server { services, sessions: HashMap::new(), warning: RateLimited::new(WARN_EVERY) };
            let mut buffer = [0; PACKET_BYTES_MAX];
            // Relaxed: nothing else is told by it.
            while !of_thread.load(Ordering::Relaxed) {
                // A datagram that is longer is cut, and is not what its length says then. An error is that of a datagram sent before.
                let Ok((len, from)) = self.socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = server.hear(&self.config, from.ip().to_canonical(), &buffer[..len]) {
                    // Whoever hears no answer asks again.
                    let _ = self.socket.send_to(&answer, from);
                }
            }
        })?;
        Ok(RadiusHandle { is_over, thread: Some(thread) })
    }
}

impl RadiusHandle {
    /// Ends it.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for RadiusHandle {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Why nobody is answered.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it is none of `identity.radius.client`")]
    Unknown,
    #[error(transparent)]
    Fault(#[from] Fault),
}

struct Server {
    services: Arc<Services>,
    /// The assertion of each session.
    sessions: HashMap<Session, u64>,
    warning: RateLimited,
}

impl Server {
    /// The answer to a datagram; `None`: it gets none.
    fn hear(&mut self, config: &RadiusConfig, from: IpAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let client =
            config.clients.iter().find(|client| client.networks.iter().any(|net| net.contains(&from)));
        let heard = client.ok_or(Refusal::Unknown).and_then(|client| {
            let request = Request::read(bytes)?;
            request.verify(&client.secret, client.needs_message_authenticator)?;
            Ok((client, request))
        });
        let (client, request) = match heard {
            Ok(heard) => heard,
            Err(refusal) => {
                self.refuse(from, &refusal);
                return None;
            }
        };
        self.act(read(&request, from, &config.mapping, self.services.now_ns()), from);
        self.services.radius_counts().accepted();
        Some(request.answer(&client.secret))
    }

    fn act(&mut self, told: Told, from: IpAddr) {
        match told {
            Told::Alive(session, Some(assertion)) => {
                let taken = match self.services.take_identity(assertion) {
                    Ok(id) => id,
                    Err(error) => {
                        // The same again would be refused again: it is answered, and told here.
                        self.tell(from, "refused", &error.to_string());
                        return;
                    }
                };
                if self.sessions.len() >= LIVE_MAX {
                    self.sessions.retain(|_, id| self.services.has_identity(*id));
                }
                if let Some(before) = self.sessions.insert(session, taken).filter(|before| *before != taken) {
                    // The session goes on at another address, or as another user.
                    self.services.drop_identity(before);
                }
            }
            Told::Over(session) => {
                if let Some(id) = self.sessions.remove(&session) {
                    self.services.drop_identity(id);
                }
            }
            Told::AllOver(server) => {
                let services = &self.services;
                self.sessions.retain(|session, id| {
                    let stays = session.server != server;
                    if !stays {
                        services.drop_identity(*id);
                    }
                    stays
                });
            }
            Told::Alive(_, None) | Told::Else => {}
        }
    }

    fn refuse(&self, from: IpAddr, refusal: &Refusal) {
        let code = match refusal {
            Refusal::Unknown => "unknown_client",
            Refusal::Fault(fault) => fault.code(),
        };
        self.services.radius_counts().refused();
        self.tell(from, code, &refusal.to_string());
    }

    /// Tells the audit and, now and then, the log of what was refused.
    fn tell(&self, from: IpAddr, code: &str, why: &str) {
        let mut entry = Entry::by_system(self.services.now_ns(), "identity.radius", None, None);
        entry.actor = None;
        entry.address = Some(from.to_string());
        entry.outcome = code.to_owned();
        self.services.audit().refused(entry);
        if let Some(left_out) = self.warning.permit(Instant::now()) {
            tracing::warn!(client = %from, why, left_out, "RADIUS accounting was refused");
        }
    }
}
