//! What does the outside world ask of the process: stop, read again, or prove that it is alive?
//!
//! Signals are turned into [`Ask`]s on a thread of their own, so that the main loop can wait for them with a
//! timeout. The second request to stop ends the process at once. The supervisor (systemd's notify socket,
//! where there is one) hears when the wire is served, and is fed only while the caller finds all well.

use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Something asked by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// SIGTERM or SIGINT: stop in order.
    Stop,
    /// SIGHUP: read policies, applications and certificates again, open the event file anew.
    Reload,
}

/// The requests, in their order.
pub(crate) struct Asks {
    receiver: Receiver<Ask>,
}

impl Asks {
    /// Takes the signals over from their default actions.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler or a thread.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let (sender, receiver) = channel();
        std::thread::Builder::new().name("jarvis-signals".to_owned()).spawn(move || {
            let mut stopping = false;
            for signal in &mut signals {
                let ask = if signal == SIGHUP { Ask::Reload } else { Ask::Stop };
                if ask == Ask::Stop && std::mem::replace(&mut stopping, true) {
                    eprintln!("asked to stop a second time: ending at once, the wire's fail mode holds");
                    std::process::exit(1);
                }
                if sender.send(ask).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { receiver })
    }

    /// The next request, or `None` after `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> Option<Ask> {
        match self.receiver.recv_timeout(patience) {
            Ok(ask) => Some(ask),
            Err(RecvTimeoutError::Timeout) => None,
            // The signal thread never ends by itself; without it only the supervisor can stop us.
            Err(RecvTimeoutError::Disconnected) => Some(Ask::Stop),
        }
    }
}

/// The service manager, where one watches.
pub(crate) struct Supervisor {
    feed_every: Option<Duration>,
    fed: Option<Instant>,
}

impl Supervisor {
    /// Reads from the environment whether someone watches, and how impatiently.
    pub(crate) fn of_process() -> Self {
        // Twice as often as asked, as sd_watchdog_enabled(3) recommends.
        Self { feed_every: sd_notify::watchdog_enabled().map(|period| period / 2), fed: None }
    }

    /// The wire is served.
    pub(crate) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A reload has begun; [`Self::ready`] ends it.
    pub(crate) fn reloading(&self) {
        // Without the time stamp systemd refuses the message (Type=notify-reload, v253).
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_no_clock) => tell(&[NotifyState::Reloading]),
        }
    }

    /// An orderly stop has begun.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Feeds the watchdog if it is time; call it only while all is well.
    pub(crate) fn feed(&mut self) {
        let Some(every) = self.feed_every else { return };
        if self.fed.is_none_or(|fed| fed.elapsed() >= every) {
            tell(&[NotifyState::Watchdog]);
            self.fed = Some(Instant::now());
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody listens outside systemd; a manager that went away is not our failure.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not reached");
    }
}
