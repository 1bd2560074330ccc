//! Where does the process speak, and how much?
//!
//! To the standard error, as text or one JSON object a line. Never from the packet path: workers count, the
//! control plane tells. Secrets are never fields. How much can be changed while it runs, for a time or for good.

use crate::config::{Level, Log};
use controlplane::services::levers::{LogLevel, LogLevelView};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// How much the log of this process says.
pub(crate) struct Volume {
    handle: reload::Handle<LevelFilter, Registry>,
    configured: LogLevel,
    now: Mutex<Chosen>,
}

struct Chosen {
    level: LogLevel,
    /// When it returns to what is configured.
    until: Option<Instant>,
}

static VOLUME: OnceLock<Volume> = OnceLock::new();

/// Starts the log; later calls change nothing.
pub(crate) fn start(log: &Log) {
    let configured = match log.level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    };
    let (filter, handle) = reload::Layer::new(filter(configured));
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = if log.json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
    };
    // An error says that a log exists already, which is what we want.
    if tracing_subscriber::registry().with(filter).with(layer).try_init().is_ok() {
        let now = Mutex::new(Chosen { level: configured, until: None });
        let _ = VOLUME.set(Volume { handle, configured, now });
    }
}

/// How much the log says; `None` before it was started.
pub(crate) fn volume() -> Option<&'static Volume> {
    VOLUME.get()
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl Volume {
    /// As it is.
    pub(crate) fn view(&self) -> LogLevelView {
        let Chosen { level, until } = *self.lock();
        let remaining = until.map(|until| until.saturating_duration_since(Instant::now()));
        let remaining_s = remaining.map(|remaining| remaining.as_millis().div_ceil(1_000) as u64);
        LogLevelView { level, configured: self.configured, remaining_s }
    }

    /// Says so much from now on, or for so many seconds.
    ///
    /// # Errors
    ///
    /// One sentence; the log is as it was.
    pub(crate) fn set(&self, level: LogLevel, for_s: Option<u64>) -> Result<LogLevelView, String> {
        let until = for_s.and_then(|for_s| Instant::now().checked_add(Duration::from_secs(for_s)));
        {
            let mut now = self.lock();
            self.handle.reload(filter(level)).map_err(|error| format!("the log stays as it is: {error}"))?;
            *now = Chosen { level, until };
        }
        Ok(self.view())
    }

    /// Returns to what is configured when it is time.
    pub(crate) fn look(&self, at: Instant) {
        let mut now = self.lock();
        if now.until.is_some_and(|until| at >= until) && self.handle.reload(filter(self.configured)).is_ok() {
            *now = Chosen { level: self.configured, until: None };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Chosen> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_more_for_a_while_and_returns_by_itself() {
        start(&Log { level: Level::Warn, json: false });
        let volume = volume().unwrap();
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        let told = volume.set(LogLevel::Debug, Some(600)).unwrap();
        assert_eq!(
            (told.level, told.configured, told.remaining_s),
            (LogLevel::Debug, LogLevel::Warn, Some(600))
        );
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        let now = Instant::now();
        volume.look(now + Duration::from_secs(500));
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        volume.look(now + Duration::from_secs(601));
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        assert_eq!((volume.view().level, volume.view().remaining_s), (LogLevel::Warn, None));
    }
}
