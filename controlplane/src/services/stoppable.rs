//! A thread that runs until it is told to end.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Keeps the thread until it is stopped or dropped.
#[derive(Debug)]
pub struct Stoppable {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stoppable {
    /// Starts a thread, which inherits the caller's cores. It is to end when its receiver is disconnected.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub(crate) fn start(
        name: &str,
        run: impl FnOnce(Receiver<()>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends it, and waits for that.
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

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.shut_down();
    }
}
