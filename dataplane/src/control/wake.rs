//! Who wakes a worker that sleeps, when something was handed to it or asked of it?
//!
//! Whoever does looks at the worker's `sleeping` flag and writes one byte to its socket where it is set, so that a busy worker
//! costs nobody a system call.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::sync::{AtomicBool, Ordering, fence};

/// Wakes one worker.
#[derive(Debug)]
pub struct Waker {
    sleeping: Sleeping,
    stream: UnixStream,
}

/// Whether a worker sleeps, told so that either it sees what was handed to it or who handed it over sees that it
/// sleeps (Dekker's pattern: both write, fence, then read what the other wrote).
#[derive(Debug)]
pub(crate) struct Sleeping(AtomicBool);

impl Sleeping {
    /// Says that we sleep, before the last look at what waits.
    pub(crate) fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
        // Pairs with the fence in `must_wake`.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// After something was handed over: whether we are the one to wake the worker.
    #[inline]
    fn must_wake(&self) -> bool {
        // Pairs with the fence in `announce`.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// Wakes any worker; whoever asks one something holds it.
#[derive(Debug, Clone)]
pub struct Wakers(Arc<[Waker]>);

impl Waker {
    /// Wakes the worker that reads the other end of `stream`.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { sleeping: Sleeping(AtomicBool::new(false)), stream }
    }
}

impl Wakers {
    /// One for each worker, by its index.
    pub(crate) fn of(wakers: Vec<Waker>) -> Self {
        Self(wakers.into())
    }

    pub(crate) fn sleeping(&self, worker: usize) -> Option<&Sleeping> {
        self.0.get(worker).map(|waker| &waker.sleeping)
    }

    /// Wakes `worker` where it sleeps; one flag read where it does not.
    #[inline]
    pub fn wake(&self, worker: usize) {
        let Some(waker) = self.0.get(worker) else { return };
        if waker.sleeping.must_wake() {
            // A full pipe means that it is being woken already.
            let _written = (&waker.stream).write(&[1]);
        }
    }
}

#[cfg(all(test, loom))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod loom_model {
    use super::*;
    use crate::sync::AtomicU64;
    use loom::sync::Arc;
    use loom::thread;

    /// A ring as the handshake sees it: how many packets were handed over.
    fn hand_over(ring: &AtomicU64, sleeping: &Sleeping) -> bool {
        ring.fetch_add(1, Ordering::Release);
        sleeping.must_wake()
    }

    /// A worker that goes to sleep with a packet waiting is woken by whoever brought it.
    #[test]
    fn no_packet_waits_for_a_sleeper_that_nobody_wakes() {
        loom::model(|| {
            let shared = Arc::new((AtomicU64::new(0), Sleeping(AtomicBool::new(false))));
            let sender = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || hand_over(&shared.0, &shared.1))
            };
            shared.1.announce();
            let sees_it = shared.0.load(Ordering::Acquire) > 0;
            let is_woken = sender.join().unwrap();
            assert!(sees_it || is_woken);
        });
    }

    /// Of two that hand something to one sleeper at least one wakes it, and never is neither seen nor woken for.
    #[test]
    fn two_senders_wake_one_sleeper() {
        loom::model(|| {
            let shared = Arc::new((AtomicU64::new(0), Sleeping(AtomicBool::new(false))));
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || hand_over(&shared.0, &shared.1))
                })
                .collect();
            shared.1.announce();
            let seen = shared.0.load(Ordering::Acquire);
            let woken =
                senders.into_iter().map(|sender| sender.join().unwrap()).fold(false, |any, woke| any | woke);
            assert!(seen == 2 || woken);
        });
    }
}
