//! Runs the programs that make a network (`ip`, `nft`, `ethtool`...), and says what they said when they fail.

use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a program starts and runs. Who ends the harness takes it for good: nothing is made any more
/// that the clean-up would miss.
static STARTS: Mutex<()> = Mutex::new(());

/// Waits for the program that runs now; from then on, and as long as the guard lives, the calls of others
/// wait.
pub(crate) fn hold() -> MutexGuard<'static, ()> {
    STARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program that goes on.
///
/// # Errors
///
/// What `spawn` says.
pub(crate) fn start(command: &mut Command) -> std::io::Result<Child> {
    let _held = hold();
    command.spawn()
}

/// A program that could not be run, or that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not installed, most likely.
    #[error(
        "cannot run `{line}`: {source} (Debian packages iproute2, ethtool, nftables, util-linux, procps)"
    )]
    Start { line: String, source: std::io::Error },
    /// It ran and refused.
    #[error("`{line}` failed: {stderr}")]
    Failed { line: String, stderr: String },
}

/// Runs a line of words; returns what it printed. Words are separated by blanks; there is no quoting.
///
/// # Errors
///
/// See [`Error`].
pub(crate) fn run(line: &str) -> Result<String, Error> {
    run_words(&line.split_whitespace().collect::<Vec<_>>())
}

/// Runs a program with exactly these arguments.
///
/// # Errors
///
/// See [`Error`].
pub(crate) fn run_words(words: &[&str]) -> Result<String, Error> {
    let _held = hold();
    run_now(words)
}

/// The same, not waiting for anybody: for the clean-up.
///
/// # Errors
///
/// See [`Error`].
pub(super) fn run_now(words: &[&str]) -> Result<String, Error> {
    let line = || words.join(" ");
    let (program, arguments) = words.split_first().expect("a command line has a program");
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| Error::Start { line: line(), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Failed { line: line(), stderr })
    }
}

/// Whether a program is on `PATH`.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
