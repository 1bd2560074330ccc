//! Who ends assertions whose time is over?

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::services::Services;

/// How late an assertion may end.
const EVERY: Duration = Duration::from_millis(50);

/// Keeps the thread until it is stopped or dropped.
#[derive(Debug)]
pub struct IdentityHandle {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IdentityHandle {
    /// Ends it.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for IdentityHandle {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Services {
    /// Begins to end assertions in time, and to tell workers that hung what they missed: on a thread of its own that inherits the
    /// caller's cores. Call it before the workers run.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn keep_identities(self: &Arc<Self>) -> std::io::Result<IdentityHandle> {
        let services = Arc::clone(self);
        let (stop, stopped) = channel::<()>();
        let run = move || {
            while matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
                services.expire_identities();
                services.door.catch_up();
            }
        };
        let thread = std::thread::Builder::new().name("jarvis-identity".into()).spawn(run)?;
        Ok(IdentityHandle { stop: Some(stop), thread: Some(thread) })
    }
}
