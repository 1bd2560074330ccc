//! How does a worker sleep without missing what others hand to it?
//!
//! It waits on its sockets and on one end of a socket pair; [`Wakers`] hold the other ends.

use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::control::{Waker, Wakers};

/// One worker's own end, and the wakers of all.
#[derive(Debug)]
pub struct Sleeper {
    own: usize,
    stream: UnixStream,
    wakers: Wakers,
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
        wakers.push(Waker::new(write));
    }
    let wakers = Wakers::of(wakers);
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
        let Some(sleeping) = self.wakers.sleeping(self.own) else { return };
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
