//! Which threads does the process have, and what if one ends too early?
//!
//! Each worker has a named thread on its own core. A worker never returns before it is told to stop, so a
//! worker that does, by a panic or otherwise, ends the whole process at once and loudly: the XDP fail mode
//! holds the wire and the supervisor starts a new process. Nothing is joined or flushed on that way,
//! because nothing can be trusted any more. The control thread is different: it alone is [`Kept`].

use crate::cores::{self, Precedence};
use crate::privileges;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The workers' threads.
pub(crate) struct Workers {
    threads: Vec<Thread>,
    ended: Receiver<()>,
    sender: Sender<()>,
}

struct Thread {
    name: String,
    handle: JoinHandle<()>,
    job: Sender<Job>,
}

/// What a worker's thread does until it ends.
type Job = Box<dyn FnOnce() + Send>;

impl Workers {
    /// None yet.
    pub(crate) fn new() -> Self {
        let (sender, ended) = channel();
        Self { threads: Vec::new(), ended, sender }
    }

    /// Starts a thread that is pinned to `core` and has its precedence there, and then waits for its job.
    ///
    /// It is made while the process still has the right to such precedence (`CAP_SYS_NICE`), and gives up every right
    /// before its job begins.
    ///
    /// # Errors
    ///
    /// When the system has no room for another thread.
    pub(crate) fn start(&mut self, core: usize, precedence: Precedence) -> io::Result<()> {
        let name = format!("jarvis-w{}", self.threads.len());
        let thread_name = name.clone();
        let ended = self.sender.clone();
        let (job, jobs) = channel::<Job>();
        let handle = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let _guard = AbortOnPanic::of(&thread_name);
            if !cores::pin_worker(core) {
                tracing::warn!(
                    worker = thread_name,
                    core,
                    "the kernel refused to pin the worker to its core"
                );
            }
            if !cores::put_first(precedence) {
                tracing::warn!(
                    worker = thread_name,
                    "the kernel refused to put the worker before other threads of its core: under overload it may \
                     starve; give the service LimitRTPRIO=1 and LimitNICE=-20"
                );
            }
            if let Err(error) = privileges::lower(&[]) {
                tracing::warn!(worker = thread_name, error, "the worker keeps rights that it does not need");
            }
            // Without a job the start failed elsewhere, and the process is about to end.
            let Ok(job) = jobs.recv() else { return };
            job();
            // The other end is gone only when the process is.
            let _ = ended.send(());
        })?;
        self.threads.push(Thread { name, handle, job });
        Ok(())
    }

    /// Gives the `index`th thread its job. There is a thread for each worker, so an index beyond them does nothing.
    pub(crate) fn give(&self, index: usize, job: impl FnOnce() + Send + 'static) {
        if let Some(thread) = self.threads.get(index) {
            // It waits, unless it has panicked, and then the process has ended.
            let _ = thread.job.send(Box::new(job));
        }
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
        for Thread { name, handle, .. } in self.threads {
            if left == 0 || handle.is_finished() {
                // A panic has ended the process already.
                let _ = handle.join();
            } else {
                hung.push(name);
            }
        }
        hung
    }
}

/// A thread that may die alone: it is started anew, at most once a [`RESTART_EVERY`].
pub(crate) struct Kept<T> {
    running: Option<T>,
    tried: Option<Instant>,
}

/// A thread that dies at once whenever it is started does not fill the log.
const RESTART_EVERY: Duration = Duration::from_secs(1);

impl<T> Kept<T> {
    /// Around the handle of a thread that runs.
    pub(crate) const fn of(running: T) -> Self {
        Self { running: Some(running), tried: None }
    }

    /// Starts the thread anew by `start` if it is not alive. `None`: it is, or it is too early to try again.
    pub(crate) fn look<E>(
        &mut self,
        now: Instant,
        is_alive: impl FnOnce(&T) -> bool,
        start: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<(), E>> {
        if self.running.as_ref().is_some_and(is_alive) {
            return None;
        }
        // What is left of it goes first: the new one wants the same address.
        self.running = None;
        if self.tried.is_some_and(|tried| now.duration_since(tried) < RESTART_EVERY) {
            return None;
        }
        self.tried = Some(now);
        Some(start().map(|started| self.running = Some(started)))
    }

    /// The handle of the thread, unless it is dead.
    pub(crate) fn into_running(self) -> Option<T> {
        self.running
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
        for index in 0..2 {
            let sender = sender.clone();
            workers.start(core, Precedence::Most).unwrap();
            workers.give(index, move || {
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                sender.send((name, cores::usable().unwrap())).unwrap();
            });
        }
        let mut seen: Vec<_> = (0..2).map(|_| receiver.recv().unwrap()).collect();
        seen.sort();
        assert_eq!(seen, [("jarvis-w0".to_owned(), vec![core]), ("jarvis-w1".to_owned(), vec![core])]);
        assert_eq!(workers.join(Duration::from_secs(5)), Vec::<String>::new());
    }

    #[test]
    fn a_thread_that_panics_is_started_anew_and_one_that_lives_is_left_alone() {
        let mut starts = 0;
        let (hold, held) = channel::<()>();
        let mut held = Some(held);
        let mut start = || {
            starts += 1;
            // The first one panics, the second one lives until `hold` is gone.
            let held = if starts == 1 { None } else { held.take() };
            let thread = std::thread::Builder::new().spawn(move || match held {
                None => panic!("on purpose"),
                Some(held) => drop(held.recv()),
            });
            thread.map_err(|error| error.to_string())
        };
        let is_alive = |thread: &JoinHandle<()>| !thread.is_finished();
        let mut kept = Kept::of(start().unwrap());
        let begun = Instant::now();
        let revived = loop {
            if let Some(revived) = kept.look(begun, is_alive, &mut start) {
                break revived;
            }
            std::thread::yield_now();
        };
        assert_eq!(revived, Ok(()));
        assert_eq!(kept.look(begun + 5 * RESTART_EVERY, is_alive, &mut start), None);
        drop(hold);
        kept.into_running().unwrap().join().unwrap();
        assert_eq!(starts, 2);
    }

    #[test]
    fn a_thread_that_cannot_be_started_is_tried_once_a_second() {
        let mut kept = Kept::of(());
        let begun = Instant::now();
        let mut tried = 0;
        let dead = |(): &()| false;
        for tenth in 0..25 {
            let now = begun + Duration::from_millis(100) * tenth;
            tried += u32::from(kept.look(now, dead, || Err::<(), _>("taken")).is_some());
        }
        assert_eq!(tried, 3);
        assert_eq!(kept.look(begun + 5 * RESTART_EVERY, dead, || Ok::<(), &str>(())), Some(Ok(())));
    }

    #[test]
    fn a_worker_that_does_not_stop_is_named() {
        let core = cores::usable().unwrap()[0];
        let (hold, held) = channel::<()>();
        let mut workers = Workers::new();
        workers.start(core, Precedence::Most).unwrap();
        workers.give(0, move || {
            let _ = held.recv();
        });
        assert!(!workers.any_ended());
        assert_eq!(workers.join(Duration::from_millis(10)), ["jarvis-w0"]);
        drop(hold);
    }

    /// Run by the test below, in a process of its own.
    #[test]
    #[ignore = "ends the process"]
    fn worker_that_panics() {
        let mut workers = Workers::new();
        workers.start(cores::usable().unwrap()[0], Precedence::Most).unwrap();
        workers.give(0, || panic!("on purpose"));
        workers.join(Duration::from_secs(20));
    }

    #[test]
    fn a_workers_panic_ends_the_process_loudly() {
        use std::os::unix::process::ExitStatusExt;
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "threads::tests::worker_that_panics", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.signal(), Some(6), "{output:?}");
        assert!(said.contains("on purpose") && said.contains("jarvis-w0 panicked"), "{said}");
    }
}
