//! Why did a command not do what was asked, in words for the operator?

use crate::config::Problem;
use controlplane::client::ClientError;
use controlplane::services::PolicyLoadError;
use std::fmt;

/// Lines for the standard error; the exit code is then 1. Never empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    lines: Vec<String>,
}

impl Failure {
    /// One sentence.
    pub(crate) fn line(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()] }
    }

    /// Several, each standing for itself.
    pub(crate) fn lines(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// This and another.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.lines.extend(other.lines);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self { lines: problems.iter().map(ToString::to_string).collect() }
    }
}

impl From<PolicyLoadError> for Failure {
    fn from(error: PolicyLoadError) -> Self {
        match error {
            PolicyLoadError::Invalid { errors } => {
                Self { lines: errors.iter().map(ToString::to_string).collect() }
            }
            error @ (PolicyLoadError::NoFile
            | PolicyLoadError::Gone { .. }
            | PolicyLoadError::File { .. }
            | PolicyLoadError::Store(_)) => Self::line(error.to_string()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::line(error.to_string())
    }
}
