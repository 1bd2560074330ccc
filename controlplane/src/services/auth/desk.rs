//! Where is done what takes a core for a tenth of a second?
//!
//! On a thread of its own with a short queue: signing and hashing neither hold up the thread that serves nor pile up
//! behind one another. A queue that is full is told at once, and the client asked to come again.

use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// Work that waits at once: some ten seconds of signing.
const QUEUE_MAX: usize = 64;

/// How much others go before a desk's thread: setpriority(2), of the calling thread on Linux.
const NICE: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// One thread and its queue. The thread is made for the first work, by whoever brings it, whose affinity and rights it
/// has. Dropping the desk waits for what it is doing.
#[derive(Debug)]
pub struct Desk {
    name: &'static str,
    started: OnceLock<Started>,
}

#[derive(Debug)]
struct Started {
    queue: SyncSender<Work>,
    thread: JoinHandle<()>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is being asked at once")]
pub struct Busy;

impl Desk {
    /// A desk whose thread will be called `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, started: OnceLock::new() }
    }

    /// The queue; `None` where the system gives no thread.
    fn queue(&self) -> Option<&SyncSender<Work>> {
        if self.started.get().is_none() {
            let (queue, work) = sync_channel::<Work>(QUEUE_MAX);
            let thread = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                // Whoever only reads is not to wait for passwords and signatures; refused, all is as it was.
                let _ = rustix::process::setpriority_process(None, NICE);
                for work in work {
                    // Work that panics is told as none; what comes after it is done all the same.
                    let _ = std::panic::catch_unwind(AssertUnwindSafe(work));
                }
            });
            // Of two that come first, one queue is dropped, and its thread ends.
            let _ = self.started.set(Started { queue, thread: thread.ok()? });
        }
        self.started.get().map(|started| &started.queue)
    }

    /// Does `work` there, and waits for what it tells.
    ///
    /// # Errors
    ///
    /// [`Busy`]. The work of a caller who went away is not done.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        self.submit(work)?.await.map_err(|_| Busy)
    }

    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Busy> {
        let (tell, told) = oneshot::channel();
        let work: Work = Box::new(move || {
            if !tell.is_closed() {
                // The caller may go away while it is done: then nobody wants it.
                let _ = tell.send(work());
            }
        });
        self.post(work).map(|()| told)
    }

    /// Does `work` there whether or not anybody waits for it.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn post(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        match self.queue().ok_or(Busy)?.try_send(work) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Busy),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(Started { queue, thread }) = self.started.take() {
            drop(queue);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_full_queue_is_told_at_once() {
        let desk = Desk::new("test-desk");
        let ((entered, has_entered), (go, gate)) = (channel(), channel::<()>());
        let first = desk.submit(move || entered.send(()).is_ok() && gate.recv().is_ok()).unwrap();
        has_entered.recv().unwrap();
        let waiting: Vec<_> = (0..QUEUE_MAX).map(|at| desk.submit(move || at).unwrap()).collect();
        assert_eq!(desk.submit(|| ()).err(), Some(Busy));
        go.send(()).unwrap();
        assert_eq!(first.blocking_recv(), Ok(true));
        for (at, told) in waiting.into_iter().enumerate() {
            assert_eq!(told.blocking_recv(), Ok(at));
        }
    }

    #[test]
    fn others_go_first() {
        let desk = Desk::new("test-desk");
        let told = desk.submit(|| std::fs::read_to_string("/proc/thread-self/stat").unwrap()).unwrap();
        let stat = told.blocking_recv().unwrap();
        // proc_pid_stat(5), counted from the state after the name: 19 is nice.
        assert_eq!(stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16), Some("10"), "{stat}");
    }

    #[test]
    fn work_that_panics_ends_nothing_else() {
        let desk = Desk::new("test-desk");
        let told = desk.submit(|| "no number".parse::<u8>().unwrap());
        assert!(told.unwrap().blocking_recv().is_err());
        assert_eq!(desk.submit(|| 7).unwrap().blocking_recv(), Ok(7));
    }

    #[test]
    fn nobody_works_for_a_caller_who_went_away() {
        let desk = Desk::new("test-desk");
        let ((entered, has_entered), (go, gate)) = (channel(), channel::<()>());
        let first = desk.submit(move || entered.send(()).is_ok() && gate.recv().is_ok()).unwrap();
        has_entered.recv().unwrap();
        let (done, was_done) = channel();
        drop(desk.submit(move || done.send(())).unwrap());
        go.send(()).unwrap();
        assert_eq!(first.blocking_recv(), Ok(true));
        assert!(was_done.recv().is_err());
    }
}
