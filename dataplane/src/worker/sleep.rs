//! How does a worker sleep without missing what others hand to it?
//!
//! It waits on its sockets and on one end of a socket pair. Whoever hands it a packet looks at its `sleeping`
//! flag and writes one byte where it is set, so that a busy worker costs nobody a system call.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes one worker.
#[derive(Debug)]
pub struct Waker {
    sleeping: AtomicBool,
    stream: UnixStream,
}

/// One worker's own end, and the wakers of all.
#[derive(Debug)]
pub struct Sleeper {
    own: usize,
    stream: UnixStream,
    wakers: Arc<[Waker]>,
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
        wakers.push(Waker { sleeping: AtomicBool::new(false), stream: write });
    }
    let wakers: Arc<[Waker]> = wakers.into();
    Ok(streams
        .into_iter()
        .enumerate()
        .map(|(own, stream)| Sleeper { own, stream, wakers: Arc::clone(&wakers) })
        .collect())
}

impl Sleeper {
    /// Sleeps until one of `fds` is readable, another worker wakes us, or `timeout_ms` has passed; not at all
    /// where `something_waits` says so after others can see that we sleep.
    pub fn sleep(&mut self, fds: &[RawFd], timeout_ms: i32, something_waits: impl FnOnce() -> bool) {
        let sleeping = &self.wakers[self.own].sleeping;
        sleeping.store(true, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either we see the packet, or its sender sees that we sleep.
        fence(Ordering::SeqCst);
        if !something_waits() {
            let mut all = [self.stream.as_raw_fd(); xsk::wait::WAIT_FDS_MAX];
            let count = fds.len().min(all.len() - 1);
            all[1..=count].copy_from_slice(&fds[..count]);
            // An error (out of memory) only means that we look sooner.
            let _readable = xsk::wait::readable(&all[..=count], timeout_ms);
        }
        sleeping.store(false, Ordering::Relaxed);
        let mut bytes = [0; 64];
        // One read: wakers clear the flag, so that more than a few bytes never wait.
        let _woken = self.stream.read(&mut bytes);
    }

    /// Wakes `worker` where it sleeps; one flag read where it does not.
    #[inline]
    pub fn wake(&self, worker: u8) {
        // Pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        let Some(waker) = self.wakers.get(usize::from(worker)) else { return };
        if waker.sleeping.load(Ordering::Relaxed) && waker.sleeping.swap(false, Ordering::Relaxed) {
            // A full pipe means that it is being woken already.
            let _written = (&waker.stream).write(&[1]);
        }
    }
}
