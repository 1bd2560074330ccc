//! What can be done to this process through its API: what signals do, and more.
//!
//! What the main thread does on a signal it does here too: the caller gives an order and waits for the answer.

use crate::cli::Live;
use crate::config::{Config, Environment};
use crate::log;
use crate::wire::LiveWire;
use controlplane::services::levers::{ConfigView, LeverError, Levers, LogLevel, LogLevelView, Reloaded};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The main thread looks around ten times a second; compiling the greatest set of policies takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the main thread is asked to do, and where to tell of it.
pub(crate) enum Order {
    /// As SIGHUP.
    Reload(Sender<Vec<Reloaded>>),
}

/// The process.
pub(crate) struct Process {
    config: ConfigView,
    wire: LiveWire,
    workers: u32,
    drained: AtomicBool,
    orders: Mutex<Sender<Order>>,
}

impl Process {
    /// With the other end of its orders.
    pub(crate) fn new(
        config: &Config,
        typed: &Live,
        wire: LiveWire,
        workers: u32,
    ) -> (Self, Receiver<Order>) {
        let (orders, receiver) = channel();
        let flags = [
            ("--inside", typed.ports.inside.is_some()),
            ("--outside", typed.ports.outside.is_some()),
            ("--tap", typed.ports.tap.is_some()),
            ("--policy", typed.policy.is_some()),
            ("--eve", typed.eve.is_some()),
            ("--name", typed.name.is_some()),
            ("--socket", typed.socket.is_some()),
            ("--listen", typed.listen.is_some()),
        ];
        let config = ConfigView {
            file: typed.config.config.as_ref().map(|path| path.display().to_string()),
            environment: Environment::of_process().names(),
            flags: flags.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect(),
            // Only a path that is no UTF-8 cannot be told.
            config: serde_json::to_value(config).unwrap_or_else(|error| Value::String(error.to_string())),
        };
        let drained = AtomicBool::new(false);
        (Self { config, wire, workers, drained, orders: Mutex::new(orders) }, receiver)
    }
}

impl Levers for Process {
    fn config(&self) -> ConfigView {
        self.config.clone()
    }

    fn log_level(&self) -> LogLevelView {
        // The log was started before this process was.
        let silent = LogLevelView { level: LogLevel::Info, configured: LogLevel::Info, remaining_s: None };
        log::volume().map_or(silent, log::Volume::view)
    }

    fn set_log_level(&self, level: LogLevel, for_s: Option<u64>) -> Result<LogLevelView, LeverError> {
        let volume = log::volume().ok_or_else(|| LeverError::System("there is no log".to_owned()))?;
        let told = volume.set(level, for_s).map_err(LeverError::System)?;
        // At the level that everybody sees who looks.
        tracing::warn!(?level, for_s, "the log's level was changed");
        Ok(told)
    }

    fn reload(&self) -> Result<Vec<Reloaded>, LeverError> {
        let (answer, answered) = channel();
        let busy = || LeverError::Busy { waited_s: PATIENCE.as_secs() };
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        orders.send(Order::Reload(answer)).map_err(|_stopping| busy())?;
        answered.recv_timeout(PATIENCE).map_err(|_late| busy())
    }

    fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    fn drain(&self, on: bool) -> Result<(), LeverError> {
        if on {
            self.wire.release_sockets(self.workers);
            tracing::warn!("the box is drained: the wire's fail mode holds until it is put back");
        } else {
            self.wire.restore_sockets().map_err(LeverError::System)?;
            tracing::warn!("the box is back on the wire");
        }
        self.drained.store(on, Ordering::Relaxed);
        Ok(())
    }
}
