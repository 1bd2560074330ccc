//! What can be done to the process itself, while it runs? Its configuration, its log, its files, its place on the wire.
//!
//! Behind a trait: only the program knows its configuration file and its threads.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Least severe level that the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the levels'")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How much the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLevelView {
    /// Now.
    pub level: LogLevel,
    /// As the configuration has it: what it returns to.
    pub configured: LogLevel,
    /// For so long, seconds; `null`: until it is changed, or until a restart.
    pub remaining_s: Option<u64>,
}

/// What became of one part of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// `policies` (with applications), `certificates` or `event_file`.
    pub part: &'static str,
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// What is wrong, or deserves a second look.
    pub notes: Vec<String>,
}

/// What became of one part of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// What was read is in force.
    Reloaded,
    /// It is what it was.
    Unchanged,
    /// There is none.
    Absent,
    /// It has errors: the one before stays.
    Failed,
}

/// The configuration in force, as it was understood at the start. What was changed since by calls is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfigView {
    /// The file; `null` for the one that comes with the program.
    pub file: Option<String>,
    /// Environment variables that change it.
    pub environment: Vec<&'static str>,
    /// Flags of the command line that change it.
    pub flags: Vec<&'static str>,
    /// All of it, defaults included. Secrets are `(set)` or `null`.
    #[schema(value_type = Object)]
    pub config: Value,
}

/// Why the process did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum LeverError {
    /// The thread that does such things is busy with another.
    #[error("the process did not answer within {waited_s} s")]
    Busy {
        /// For so long.
        waited_s: u64,
    },
    /// The system refused.
    #[error("{0}")]
    System(String),
}

/// The process. Every function but [`Self::config`] and those of the log may block for seconds.
pub trait Levers: Send + Sync {
    /// The configuration in force.
    fn config(&self) -> ConfigView;

    /// How much the log says.
    fn log_level(&self) -> LogLevelView;

    /// Lets the log say more or less, for so many seconds or until further notice.
    ///
    /// # Errors
    ///
    /// [`LeverError`].
    fn set_log_level(&self, level: LogLevel, for_s: Option<u64>) -> Result<LogLevelView, LeverError>;

    /// Does what SIGHUP does.
    ///
    /// # Errors
    ///
    /// [`LeverError`]; what is wrong with files is in the answer.
    fn reload(&self) -> Result<Vec<Reloaded>, LeverError>;

    /// Whether the box is drained: its sockets are out of the XDP map, so that the fail mode holds.
    fn is_drained(&self) -> bool;

    /// Takes the sockets out of the map, or puts them back.
    ///
    /// # Errors
    ///
    /// [`LeverError`].
    fn drain(&self, on: bool) -> Result<(), LeverError>;
}
