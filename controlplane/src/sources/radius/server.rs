//! The socket on which access servers tell of sessions, and who answers them: one thread, one packet after the other.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::accounting::{Mapping, Session, Told, read};
use super::packet::{Fault, PACKET_BYTES_MAX, Request};
use super::replay::{Mark, Memory, Novelty, text_of};
use crate::services::identities::{Kept, LIVE_MAX, Ledger, RadiusOutcome};
use crate::services::{Services, Stoppable};
use crate::sources::listen::{Refusals, UdpListener, are_of};

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
    listener: UdpListener,
    config: RadiusConfig,
}

impl Radius {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// As the system says where it cannot be had.
    pub fn bind(config: RadiusConfig) -> io::Result<Self> {
        let listener = UdpListener::bind(config.listen, PACKET_BYTES_MAX)?;
        Ok(Self { listener, config })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Begins to answer, on a thread of its own that inherits the caller's cores. Call it before the workers run.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn start(self, services: Arc<Services>) -> io::Result<Stoppable> {
        let refusals = Refusals::new("identity.radius", "RADIUS accounting");
        let mut server = Server { services, sessions: HashMap::new(), memory: Memory::default(), refusals };
        server.restore();
        let Self { listener, config } = self;
        // A packet that is cut is not what its length says.
        listener.start("jarvis-radius", move |from, bytes| server.hear(&config, from, bytes))
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
    /// The assertion of each session, and its last word.
    sessions: HashMap<Session, (u64, Mark)>,
    memory: Memory,
    refusals: Refusals,
}

/// The key of a session's row.
fn row_of(session: &Session) -> String {
    format!("{}/{}", text_of(&session.server), text_of(&session.id))
}

impl Server {
    /// What was heard before the process began.
    fn restore(&mut self) {
        let Some(ledger) = self.services.identity_ledger() else { return };
        let restored = self.memory.restore(ledger).and_then(|()| {
            let (sessions, _damaged) = ledger.read::<(Session, u64, Mark)>(Kept::RadiusSession)?;
            let sessions = sessions.into_iter().take(LIVE_MAX);
            self.sessions = sessions.map(|(_, (session, id, last))| (session, (id, last))).collect();
            Ok(())
        });
        if let Err(error) = restored {
            tracing::error!(%error, "sessions of RADIUS from before the start cannot be read: their ends are not heard, and requests that were heard before may count again");
        }
    }

    fn ledger(&self) -> Option<&Ledger> {
        self.services.identity_ledger().map(Arc::as_ref)
    }

    /// The answer to a datagram; `None`: it gets none.
    fn hear(&mut self, config: &RadiusConfig, from: IpAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let client = config.clients.iter().find(|client| are_of(&client.networks, from));
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
        self.take(read(&request, from, &config.mapping, self.services.now_ns()), request.mark(), from);
        Some(request.answer(&client.secret))
    }

    fn take(&mut self, told: Told, mark: Mark, from: IpAddr) {
        let running = match &told {
            Told::Alive(session, _) | Told::Over(session) => {
                self.sessions.get(session).map(|(_, last)| *last)
            }
            Told::AllOver(_) | Told::Else => None,
        };
        let counts = self.services.radius_counts();
        match self.memory.judge(&told, mark, running) {
            Novelty::New => counts.add(RadiusOutcome::Accepted),
            Novelty::Duplicate => return counts.add(RadiusOutcome::Duplicate),
            Novelty::Stale => return counts.add(RadiusOutcome::Stale),
        }
        self.memory.remember(&told, mark);
        self.act(told, mark, from);
    }

    fn act(&mut self, told: Told, mark: Mark, from: IpAddr) {
        match told {
            Told::Alive(session, Some(assertion)) => {
                let taken = match self.services.take_identity(assertion) {
                    Ok(id) => id,
                    Err(error) => {
                        // The same again would be refused again: it is answered, and told here.
                        self.refusals.tell(&self.services, from, "refused", &error.to_string());
                        return;
                    }
                };
                if self.sessions.len() >= LIVE_MAX {
                    let (services, ledger) = (&self.services, self.services.identity_ledger());
                    self.sessions.retain(|session, (id, _)| {
                        let stays = services.has_identity(*id);
                        if let Some(ledger) = ledger.filter(|_| !stays) {
                            ledger.forget(Kept::RadiusSession, row_of(session));
                        }
                        stays
                    });
                }
                let is_new = !self.sessions.contains_key(&session);
                if let Some(ledger) = self.ledger() {
                    let (row, kept) = (row_of(&session), (&session, taken, mark));
                    if is_new {
                        ledger.add(Kept::RadiusSession, row, &kept);
                    } else {
                        ledger.put(Kept::RadiusSession, row, &kept);
                    }
                }
                let before = self.sessions.insert(session, (taken, mark));
                if let Some((before, _)) = before.filter(|(before, _)| *before != taken) {
                    // The session goes on at another address, or as another user.
                    self.services.drop_identity(before);
                }
            }
            Told::Over(session) => {
                if let Some((id, _)) = self.sessions.remove(&session) {
                    if let Some(ledger) = self.ledger() {
                        ledger.forget(Kept::RadiusSession, row_of(&session));
                    }
                    self.services.drop_identity(id);
                }
            }
            Told::AllOver(server) => {
                let services = &self.services;
                self.sessions.retain(|session, (id, _)| {
                    let stays = session.server != server;
                    if !stays {
                        if let Some(ledger) = services.identity_ledger() {
                            ledger.forget(Kept::RadiusSession, row_of(session));
                        }
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
        self.services.radius_counts().add(RadiusOutcome::Refused);
        self.refusals.tell(&self.services, from, code, &refusal.to_string());
    }
}
