//! Where are messages taken, from whom, and what becomes of each? UDP on a thread (RFC 5426), TCP on another (RFC 6587).

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::frames::{Frames, Next};
use super::message::{MESSAGE_BYTES_MAX, read};
use super::pattern::{Pattern, Told};
use crate::services::identities::{Assertion, Source, SyslogOutcome};
use crate::services::outcomes::Outcome;
use crate::services::{Services, Stoppable};
use crate::sources::listen::{Refusals, UdpListener, are_of, until_stopped};

/// Connections at once: each holds a message at most.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may be silent: longer than a night in which nobody comes, so that a sender that is gone holds no place for ever.
const SILENT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 4_096;

/// Where messages are taken, from whom, and which count.
#[derive(Debug, Clone)]
pub struct SyslogConfig {
    /// Over UDP.
    pub udp: Option<SocketAddr>,
    /// Over TCP.
    pub tcp: Option<SocketAddr>,
    /// From whom.
    pub networks: Vec<IpNet>,
    /// Which; the first that a line is of counts.
    pub patterns: Vec<Pattern>,
    /// How long a login is believed, seconds.
    pub expires_s: u64,
}

/// Sockets that are not read yet.
#[derive(Debug)]
pub struct Syslog {
    udp: Option<UdpListener>,
    tcp: Option<TcpListener>,
    config: SyslogConfig,
}

/// Keeps the threads until it is dropped.
#[derive(Debug)]
pub struct SyslogHandle {
    _threads: Vec<Stoppable>,
}

impl Syslog {
    /// Takes the addresses.
    ///
    /// # Errors
    ///
    /// The one that cannot be had, and why.
    pub fn bind(config: SyslogConfig) -> Result<Self, (SocketAddr, io::Error)> {
        let udp = config.udp.map(|at| UdpListener::bind(at, MESSAGE_BYTES_MAX).map_err(|error| (at, error)));
        let tcp = config.tcp.map(|at| {
            let bound = TcpListener::bind(at);
            bound.and_then(|bound| bound.set_nonblocking(true).map(|()| bound)).map_err(|error| (at, error))
        });
        Ok(Self { udp: udp.transpose()?, tcp: tcp.transpose()?, config })
    }

    /// Begins to listen, on threads of their own that inherit the caller's cores. Call it before the workers run.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn start(self, services: Arc<Services>) -> io::Result<SyslogHandle> {
        let refusals = Refusals::new("identity.syslog", "a message of syslog");
        let ear = Arc::new(Ear { services, config: self.config, refusals });
        let mut threads = Vec::new();
        if let Some(listener) = self.udp {
            let ear = Arc::clone(&ear);
            threads.push(listener.start("jarvis-syslog", move |from, bytes| {
                match ear.is_heard(from) {
                    true => ear.hear(from, bytes),
                    false => ear.refuse_sender(from),
                }
                None
            })?);
        }
        if let Some(listener) = self.tcp {
            threads.push(listen(listener, ear)?);
        }
        Ok(SyslogHandle { _threads: threads })
    }
}

fn listen(listener: TcpListener, ear: Arc<Ear>) -> io::Result<Stoppable> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Stoppable::start("jarvis-syslog-t", move |stopped| {
        runtime.block_on(async {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "syslog over TCP is not taken"),
            };
            tokio::select! {
                () = until_stopped(&stopped) => {}
                () = accept(&listener, &ear) => {}
            }
        });
    })
}

async fn accept(listener: &tokio::net::TcpListener, ear: &Arc<Ear>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of descriptors, say: what is tried again at once fails again.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let from = from.ip().to_canonical();
        if !ear.is_heard(from) {
            ear.refuse_sender(from);
            continue;
        }
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            ear.refuse(
                from,
                SyslogOutcome::Refused,
                &format!("{CONNECTIONS_MAX} connections are open already"),
            );
            continue;
        };
        let ear = Arc::clone(ear);
        tokio::spawn(async move {
            follow(stream, from, &ear).await;
            drop(place);
        });
    }
}

async fn follow(mut stream: TcpStream, from: IpAddr, ear: &Ear) {
    let (mut frames, mut chunk) = (Frames::default(), vec![0; CHUNK_BYTES]);
    loop {
        let len = match tokio::time::timeout(SILENT_MAX, stream.read(&mut chunk)).await {
            Ok(Ok(len @ 1..)) => len,
            // The end, an error, or silence: what has no end yet is not whole.
            Ok(_) | Err(_) => return,
        };
        frames.put(chunk.get(..len).unwrap_or_default());
        loop {
            match frames.next() {
                Next::Message(message) => ear.hear(from, &message),
                Next::Wait => break,
                Next::Broken => {
                    let why = "its messages cannot be told apart: each has its length in front or a line end behind";
                    return ear.refuse(from, SyslogOutcome::Malformed, why);
                }
            }
        }
        // One that sends without end leaves the others their turn.
        tokio::task::yield_now().await;
    }
}

/// Who listens.
struct Ear {
    services: Arc<Services>,
    config: SyslogConfig,
    refusals: Refusals,
}

impl Ear {
    fn is_heard(&self, from: IpAddr) -> bool {
        are_of(&self.config.networks, from)
    }

    fn hear(&self, from: IpAddr, bytes: &[u8]) {
        let message = Some(bytes).filter(|bytes| bytes.len() <= MESSAGE_BYTES_MAX).and_then(read);
        let Some(message) = message else {
            let why =
                format!("it is no message of RFC 5424 or RFC 3164 of {MESSAGE_BYTES_MAX} bytes in UTF-8");
            return self.refuse(from, SyslogOutcome::Malformed, &why);
        };
        match self.config.patterns.iter().find_map(|pattern| pattern.read(&message)) {
            Some(told) => self.act(from, told),
            None => self.services.syslog_counts().add(SyslogOutcome::Unmatched),
        }
    }

    fn act(&self, from: IpAddr, told: Told) {
        let outcome = match told {
            Told::Login(key, who) => {
                let left_ns = self.config.expires_s.saturating_mul(1_000_000_000);
                let expires_ns = Some(self.services.now_ns().saturating_add(left_ns));
                let assertion = Assertion { keys: vec![key], who, source: Source::Syslog, expires_ns };
                if let Err(error) = self.services.take_identity(assertion) {
                    return self.refuse(from, SyslogOutcome::Refused, &error.to_string());
                }
                SyslogOutcome::Login
            }
            Told::Logout(key, user_id) => {
                self.services.drop_identities_at(key, Source::Syslog, user_id.as_deref());
                SyslogOutcome::Logout
            }
        };
        self.services.syslog_counts().add(outcome);
    }

    fn refuse_sender(&self, from: IpAddr) {
        self.refuse(from, SyslogOutcome::UnknownSender, "it is in none of `identity.syslog.networks`");
    }

    fn refuse(&self, from: IpAddr, outcome: SyslogOutcome, why: &str) {
        self.services.syslog_counts().add(outcome);
        self.refusals.tell(&self.services, from, outcome.name(), why);
    }
}
