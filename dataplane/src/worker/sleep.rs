//! How does a worker sleep without missing what others hand to it?
//!
//! It waits on its sockets and on one end of a socket pair. Whoever hands it a packet looks at its `sleeping`
//! flag and writes one byte where it is set, so that a busy worker costs nobody a system call.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
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
struct Sleeping(AtomicBool);

impl Sleeping {
    /// Says that we sleep, before the last look at what waits.
    fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
        // Pairs with the fence in `must_wake`.
        fence(Ordering::SeqCst);
    }

    fn end(&self) {
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

/// One worker's own end, and the wakers of all.
#[derive(Debug)]
pub struct Sleeper {
    own: usize,
    stream: UnixStream,
    wakers: Wakers,
}

/// Wakes any worker; whoever asks one something holds it.
#[derive(Debug, Clone)]
pub struct Wakers(Arc<[Waker]>);

impl Wakers {
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

/// A sleeper for each of `workers` workers.
///
/// # Errors
///
/// When the process has no file descriptors left.
pub fn sleepers(workers: usize) -> std::io::Result<Vec<Sleeper>> {
    let mut streams = Vec::new();
    let mut wakers = Vec::new();
    for _ in 0..workers {
        let (stream, write) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        streams.push(stream);
        wakers.push(Waker { sleeping: Sleeping(AtomicBool::new(false)), stream: write });
    }
    let wakers = Wakers(wakers.into());
    Ok(streams
        .into_iter()
        .enumerate()
        .map(|(own, stream)| Sleeper { own, stream, wakers: wakers.clone() })
        .collect())
}

impl Sleeper {
    /// Sleeps until one of `fds` is readable, another worker wakes us, or `timeout_ms` has passed; not at all
    /// where `something_waits` says so after others can see that we sleep.
    pub fn sleep(&mut self, fds: &[RawFd], timeout_ms: i32, something_waits: impl FnOnce() -> bool) {
        let sleeping = &self.wakers.0[self.own].sleeping;
        sleeping.announce();
        if !something_waits() {
            let mut all = [self.stream.as_raw_fd(); xsk::wait::WAIT_FDS_MAX];
            let count = fds.len().min(all.len() - 1);
            all[1..=count].copy_from_slice(&fds[..count]);
            // An error (out of memory) only means that we look sooner.
            let _readable = xsk::wait::readable(&all[..=count], timeout_ms);
        }
        sleeping.end();
        let mut bytes = [0; 64];
        // One read: wakers clear the flag, so that more than a few bytes never wait.
        let _woken = self.stream.read(&mut bytes);
    }

    /// Wakes another worker.
    #[inline]
    pub fn wake(&self, worker: u8) {
        self.wakers.wake(usize::from(worker));
    }

    /// What wakes it and all others.
    #[must_use]
    pub fn wakers(&self) -> Wakers {
        self.wakers.clone()
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
