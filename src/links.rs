//! What happens when a port loses its link?
//!
//! Every change is told (an `engine` event). A wire that breaks is dark at both ends, and routers on both sides
//! count on that. So a port whose link is lost takes the other one down, and gives it back when the link
//! returns. [`Propagation`] decides;
//! [`Links`] listens to the kernel on a thread of its own (`jarvis-links`) and acts, where the configuration
//! lets it and there are two ports. What we set down is noted in a file, so that after a crash the next start
//! sets it up again instead of refusing a port that is down.

use crate::config::Config;
use crate::privileges;
use crate::threads::AbortOnPanic;
use caps::Capability;
use dataplane::control::StateChange;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use xsk::netdev::{self, LinkState, LinkWatch};

/// How long the thread sleeps at most before it looks whether it should end.
const SLEEP_MAX_MS: i32 = 200;

/// Which port was set down for the other's sake. Pure: hears of links, says what to do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Propagation {
    held_down: Option<usize>,
}

/// What to do to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkAction {
    /// Set it down, its partner has no link.
    Down(usize),
    /// Set it up again, its partner has its link back.
    Up(usize),
}

impl Propagation {
    /// Hears that the link of `port` (0 or 1) is up or not.
    pub(crate) fn hear(&mut self, port: usize, up: bool) -> Option<LinkAction> {
        let other = 1 - (port & 1);
        match (self.held_down, up) {
            // Our own doing; the operator who sets it up himself takes it over.
            (Some(held), false) if held == port => None,
            (Some(held), true) if held == port => {
                self.held_down = None;
                None
            }
            (Some(_), true) => {
                self.held_down = None;
                Some(LinkAction::Up(other))
            }
            (None, false) => {
                self.held_down = Some(other);
                Some(LinkAction::Down(other))
            }
            (Some(_), false) | (None, true) => None,
        }
    }
}

/// The running thread; dropping it sets up what it holds down, and ends it.
pub(crate) struct Links {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Links {
    /// Starts to listen to `interfaces`, by port index; every change goes to `tell`. With a `note` links are
    /// passed on between the two: the calling thread needs CAP_NET_ADMIN then, which the new thread inherits.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the netlink socket or a thread.
    pub(crate) fn start(
        interfaces: Vec<String>,
        note: Option<PathBuf>,
        tell: impl Fn(StateChange) + Send + 'static,
    ) -> io::Result<Self> {
        let watch = LinkWatch::open()?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("jarvis-links".to_owned()).spawn(move || {
            let _guard = AbortOnPanic::of("jarvis-links");
            let kept: &[Capability] = if note.is_some() { &[Capability::CAP_NET_ADMIN] } else { &[] };
            if let Err(error) = privileges::lower(kept) {
                tracing::warn!(%error, "the link thread keeps all its capabilities");
            }
            let heard = vec![true; interfaces.len()];
            let propagation = Propagation::default();
            Watcher { interfaces, heard, note, propagation, tell: Box::new(tell) }.run(watch, &seen);
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watcher {
    interfaces: Vec<String>,
    /// Whether each was up when it was last heard of; up to begin with, or the start would have been refused.
    heard: Vec<bool>,
    note: Option<PathBuf>,
    propagation: Propagation,
    tell: Box<dyn Fn(StateChange) + Send>,
}

impl Watcher {
    fn run(mut self, mut watch: LinkWatch, stop: &AtomicBool) {
        // What was lost before anyone listened.
        self.look();
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = xsk::wait::readable(&[watch.fd()], SLEEP_MAX_MS) {
                tracing::warn!(%error, "cannot wait for link changes");
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            loop {
                match watch.take() {
                    Ok(Some(event)) => {
                        let port = self.interfaces.iter().position(|name| {
                            netdev::ifindex(name).is_ok_and(|ifindex| ifindex == event.ifindex)
                        });
                        if let Some(port) = port {
                            self.hear(port, event.state == LinkState::Up);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        // Changes were lost: look at all.
                        tracing::debug!(%error, "link changes were lost");
                        self.look();
                        break;
                    }
                }
            }
        }
        if let Some(port) = self.propagation.held_down {
            self.set(port, true);
        }
    }

    fn look(&mut self) {
        for port in 0..self.interfaces.len() {
            if let Ok(interface) = netdev::Interface::read(&self.interfaces[port]) {
                self.hear(port, interface.up && interface.running);
            }
        }
    }

    fn hear(&mut self, port: usize, up: bool) {
        if std::mem::replace(&mut self.heard[port], up) != up {
            (self.tell)(StateChange::Link { port: port as u8, up });
        }
        if self.note.is_none() {
            return;
        }
        match self.propagation.hear(port, up) {
            None => {}
            Some(LinkAction::Down(other)) => {
                tracing::warn!(lost = self.interfaces[port], set_down = self.interfaces[other], "link lost");
                self.set(other, false);
            }
            Some(LinkAction::Up(other)) => {
                tracing::info!(back = self.interfaces[port], set_up = self.interfaces[other], "link is back");
                self.set(other, true);
            }
        }
    }

    /// Notes before it sets down and forgets after it has set up: a crash in between leaves the note.
    fn set(&self, port: usize, up: bool) {
        let name = &self.interfaces[port];
        let Some(note) = &self.note else { return };
        if !up && let Err(error) = std::fs::write(note, name) {
            tracing::warn!(path = %note.display(), %error, "cannot note which port is held down");
        }
        match netdev::set_up(name, up) {
            Ok(()) if up => {
                let _absent = std::fs::remove_file(note);
            }
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, up, "cannot pass the link state on"),
        }
    }
}

/// Sets up what an earlier run held down when it died.
pub(crate) fn recover(note: &Path, config: &Config) {
    let Ok(name) = std::fs::read_to_string(note) else { return };
    if config.ports.iter().any(|port| port.interface == name) && netdev::set_up(&name, true).is_ok() {
        tracing::info!(interface = name, "an earlier run had set this port down; it is up again");
        let _absent = std::fs::remove_file(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_link_takes_the_other_down_and_gives_it_back() {
        let mut links = Propagation::default();
        assert_eq!(links.hear(0, true), None);
        assert_eq!(links.hear(0, false), Some(LinkAction::Down(1)));
        assert_eq!(links.hear(1, false), None, "the echo of our own doing");
        assert_eq!(links.hear(0, false), None, "told twice");
        assert_eq!(links.hear(0, true), Some(LinkAction::Up(1)));
        assert_eq!(links.hear(1, true), None);
        assert_eq!(links, Propagation::default());
    }

    #[test]
    fn both_links_lost_come_back_in_any_order() {
        let mut links = Propagation::default();
        assert_eq!(links.hear(1, false), Some(LinkAction::Down(0)));
        assert_eq!(links.hear(0, false), None);
        assert_eq!(links.hear(1, true), Some(LinkAction::Up(0)));
    }

    #[test]
    fn an_operator_who_sets_the_held_port_up_is_not_fought() {
        let mut links = Propagation::default();
        assert_eq!(links.hear(0, false), Some(LinkAction::Down(1)));
        assert_eq!(links.hear(1, true), None);
        assert_eq!(links.hear(0, true), None);
    }
}
