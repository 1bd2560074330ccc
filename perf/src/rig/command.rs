//! Runs the programs that make a network (`ip`, `nft`, `ethtool`...), and says what they said when they fail.

use std::process::Command;

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
