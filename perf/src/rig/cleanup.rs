//! Leaves nothing behind: namespaces of the harness are deleted on return, on Ctrl-C, and (after a `kill
//! -9`) by the next start.
//!
//! A namespace takes its veth pairs along. Programs under test die with the harness, because they are
//! started by `setpriv --pdeathsig`; what still lives inside a namespace is killed by its process id.

use std::path::PathBuf;
use std::sync::Mutex;

use super::command::{self, run};

/// What the signal handler has to undo.
static LEFT: Mutex<Left> = Mutex::new(Left { prefix: None, folders: Vec::new() });

struct Left {
    prefix: Option<String>,
    folders: Vec<PathBuf>,
}

/// Removes what an earlier run of the same prefix left, and sees to it that this one leaves nothing.
///
/// # Errors
///
/// `ip` cannot be run, or no signal handler can be set.
pub(crate) fn prepare(prefix: &str) -> Result<(), super::Error> {
    let mut left = LEFT.lock().expect("no thread panics with this lock");
    sweep(prefix)?;
    if left.prefix.replace(prefix.to_owned()).is_none() {
        let mut signals = signal_hook::iterator::Signals::new([
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ])
        .map_err(super::Error::Signals)?;
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                everything();
                std::process::exit(128 + signal);
            }
        });
    }
    Ok(())
}

/// A folder to be deleted with the rest.
pub(crate) fn remember_folder(folder: PathBuf) {
    LEFT.lock().expect("no thread panics with this lock").folders.push(folder);
}

/// Deletes what [`prepare`] and [`remember_folder`] were told of.
pub(crate) fn everything() {
    let mut left = LEFT.lock().expect("no thread panics with this lock");
    if let Some(prefix) = &left.prefix
        && let Err(error) = sweep(prefix)
    {
        tell(&error);
    }
    for folder in left.folders.drain(..) {
        // Gone already is as good as deleted.
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[expect(clippy::print_stderr, reason = "the harness is a command line program, and this is its last word")]
fn tell(error: &command::Error) {
    eprintln!("clean-up: {error}");
}

fn sweep(prefix: &str) -> Result<(), command::Error> {
    for line in run("ip netns list")?.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        if !belongs(name, prefix) {
            continue;
        }
        for pid in run(&format!("ip netns pids {name}"))?.split_whitespace() {
            // A thread of this very process may live in the namespace (the far ends' does).
            if pid != std::process::id().to_string() {
                // It may have gone by itself meanwhile.
                let _ = run(&format!("kill -9 {pid}"));
            }
        }
        run(&format!("ip netns del {name}"))?;
    }
    Ok(())
}

fn belongs(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| matches!(rest, "-far" | "-dut"))
}

#[cfg(test)]
mod tests {
    use super::belongs;

    #[test]
    fn only_the_harness_own_namespaces_are_swept() {
        assert!(belongs("pf-far", "pf") && belongs("pf-dut", "pf"));
        assert!(!belongs("pf", "pf") && !belongs("pf-other", "pf") && !belongs("xpf-far", "pf"));
    }
}
