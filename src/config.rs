//! How is the appliance to behave, according to file, environment and flags?
//!
//! One file a step: [`mod@file`] is what was written, [`environment`] what overrides it, [`reading`] makes one
//! of them, [`meaning`] is what they come to; of users, [`identity`] is both. Nobody else reads the configuration file or the environment.

mod environment;
mod file;
mod identity;
mod meaning;
mod problem;
mod reading;
mod tls;

pub(crate) use environment::Environment;
pub(crate) use identity::*;
pub(crate) use meaning::*;
pub(crate) use problem::Problem;
pub(crate) use reading::understand;

/// The configuration used without `--config`; also the commented file to start one's own from.
pub(crate) const DEFAULT_CONFIG: &str = include_str!("config/default.toml");
/// The policy used without `[policy] file`.
pub(crate) const DEFAULT_POLICY: &str = include_str!("config/default-policy.json");

#[cfg(test)]
mod tests;
