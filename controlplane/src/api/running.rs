//! On which thread does a server run, and how does it end?

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long a stop waits for work that runs beside the answers: what waits for a worker that hangs is not waited for.
const WORK_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A single-threaded runtime on a thread of its own; dropping it stops it.
#[derive(Debug)]
pub(super) struct Running {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Runs what `serve` makes of the word that it is to stop, on a thread that inherits the caller's CPU affinity.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub(super) fn start<F: Future<Output = ()>>(
        name: &str,
        runtime: Runtime,
        serve: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(serve(stopped));
            runtime.shutdown_timeout(WORK_DRAIN_TIMEOUT);
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Whether its thread still runs.
    pub(super) fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}
