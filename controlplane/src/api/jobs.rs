//! Where does work run that waits for a worker or computes for long? On a few threads, with room of its own for
//! changes: whatever readers ask for, an operator's change finds a thread.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::problem::{Code, Problem};

/// Reading work at once.
const READING_MAX: usize = 12;

/// Changes at once; most of them wait for one another anyway.
const CHANGING_MAX: usize = 4;

/// Threads that both need.
const THREADS_MAX: usize = READING_MAX + CHANGING_MAX;

/// A single-threaded runtime with threads of this name for the work.
pub(super) fn runtime(name: &str) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name(name)
        .max_blocking_threads(THREADS_MAX)
        .build()
}

/// How long work waits for a thread before its client is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rooms.
#[derive(Debug)]
pub(super) struct Jobs {
    reading: Arc<Semaphore>,
    changing: Arc<Semaphore>,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self {
            reading: Arc::new(Semaphore::new(READING_MAX)),
            changing: Arc::new(Semaphore::new(CHANGING_MAX)),
        }
    }

    /// Runs work that changes nothing.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        run(&self.reading, work).await
    }

    /// Runs work that changes something.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        run(&self.changing, work).await
    }
}

async fn run<T: Send + 'static>(
    room: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let busy = || Problem::new(Code::Busy, format!("No thread was free within {} s.", PATIENCE.as_secs()));
    let permit = tokio::time::timeout(PATIENCE, Arc::clone(room).acquire_owned())
        .await
        .map_err(|_elapsed| busy())?
        .expect("nobody closes the semaphore");
    // The permit goes along: a client that leaves does not make its thread free.
    let working = move || {
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(working)
        .await
        .map_err(|_panicked| Problem::new(Code::Internal, "The call ended without an answer."))
}
