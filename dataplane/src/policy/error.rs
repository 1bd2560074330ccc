//! Where in a policy file is what wrong? One value per mistake, so that all of them are told at once.

use std::fmt;

/// One mistake in a policy file, precise enough to go and mend it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PolicyError {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Path from the root, such as `policies[3].conditions.dst_port[0]`; empty for the whole file.
    pub path: String,
    /// What is wrong, and where it can be known what was meant.
    pub reason: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, reason } = self;
        if path.is_empty() {
            write!(f, "{file}:{line}:{column}: {reason}")
        } else {
            write!(f, "{file}:{line}:{column}: {path}: {reason}")
        }
    }
}

impl std::error::Error for PolicyError {}
