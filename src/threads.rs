//! Which threads does the process have, and what if one ends too early?
//!
//! Each worker has a named thread on its own core. A worker never returns before it is told to stop, so a
//! worker that does, by a panic or otherwise, ends the whole process at once and loudly: the XDP fail mode
//! holds the wire and the supervisor starts a new process. Nothing is joined or flushed on that way,
//! because nothing can be trusted any more.

use crate::cores;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The workers' threads.
pub(crate) struct Workers {
    threads: Vec<(String, JoinHandle<()>)>,
    ended: Receiver<()>,
    sender: Sender<()>,
}

impl Workers {
    /// None yet.
    pub(crate) fn new() -> Self {
        let (sender, ended) = channel();
        Self { threads: Vec::new(), ended, sender }
    }

    /// Starts `run` on a thread of its own, pinned to `core` before its first instruction.
    ///
    /// # Errors
    ///
    /// When the system has no room for another thread.
    pub(crate) fn start(&mut self, core: usize, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let name = format!("jarvis-w{}", self.threads.len());
        let thread_name = name.clone();
        let ended = self.sender.clone();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let _guard = AbortOnPanic::of(&thread_name);
            if !cores::pin_worker(core) {
                tracing::warn!(
                    worker = thread_name,
                    core,
                    "the kernel refused to pin the worker to its core"
                );
            }
            run();
            // The other end is gone only when the process is.
            let _ = ended.send(());
        })?;
        self.threads.push((name, thread));
        Ok(())
    }

    /// Whether a worker returned although nobody told it to stop.
    pub(crate) fn any_ended(&self) -> bool {
        self.ended.try_recv().is_ok()
    }

    /// Waits until all have returned, at most `patience`; the names of those that have not.
    pub(crate) fn join(self, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        let mut left = self.threads.len();
        while left > 0 {
            match self.ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(()) => left -= 1,
                Err(_late) => break,
            }
        }
        let mut hung = Vec::new();
        for (name, thread) in self.threads {
            if left == 0 || thread.is_finished() {
                // A panic has ended the process already.
                let _ = thread.join();
            } else {
                hung.push(name);
            }
        }
        hung
    }
}

/// Turns a panic of the thread that holds it into the end of the process.
pub(crate) struct AbortOnPanic {
    name: String,
}

impl AbortOnPanic {
    /// For the calling thread, called `name`.
    pub(crate) fn of(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic's message and place were printed by the hook.
            eprintln!("{} panicked: the process ends, the wire's fail mode holds", self.name);
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_named_pinned_and_joined() {
        let core = *cores::usable().unwrap().last().unwrap();
        let mut workers = Workers::new();
        let (sender, receiver) = channel();
        for _ in 0..2 {
            let sender = sender.clone();
            workers
                .start(core, move || {
                    let name = std::thread::current().name().unwrap_or_default().to_owned();
                    sender.send((name, cores::usable().unwrap())).unwrap();
                })
                .unwrap();
        }
        let mut seen: Vec<_> = (0..2).map(|_| receiver.recv().unwrap()).collect();
        seen.sort();
        assert_eq!(seen, [("jarvis-w0".to_owned(), vec![core]), ("jarvis-w1".to_owned(), vec![core])]);
        assert_eq!(workers.join(Duration::from_secs(5)), Vec::<String>::new());
    }

    #[test]
    fn a_worker_that_does_not_stop_is_named() {
        let core = cores::usable().unwrap()[0];
        let (hold, held) = channel::<()>();
        let mut workers = Workers::new();
        workers
            .start(core, move || {
                let _ = held.recv();
            })
            .unwrap();
        assert!(!workers.any_ended());
        assert_eq!(workers.join(Duration::from_millis(10)), ["jarvis-w0"]);
        drop(hold);
    }
}
