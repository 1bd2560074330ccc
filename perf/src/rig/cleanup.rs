//! Leaves nothing behind: namespaces of the harness are deleted on return, on Ctrl-C, and (after a `kill
//! -9`) by the next start.
//!
//! A namespace takes its veth pairs along. Programs under test die with the harness, because they are
//! started by `setpriv --pdeathsig`; what still lives inside a namespace is killed by its process id.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use super::command;

/// What the signal handler has to undo.
static LEFT: Mutex<Left> = Mutex::new(Left { prefix: None, folders: Vec::new(), commands: Vec::new() });

struct Left {
    prefix: Option<String>,
    folders: Vec<PathBuf>,
    commands: Vec<Vec<String>>,
}

/// Removes what an earlier run of the same prefix left, and sees to it that this one leaves nothing.
///
/// # Errors
///
/// `ip` cannot be run, or no signal handler can be set.
pub(crate) fn prepare(prefix: &str) -> Result<(), super::Error> {
    home_namespace()?;
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
                // For good: what is started or made from now on would be left behind.
                let _held = command::hold();
                everything();
                std::process::exit(128 + signal);
            }
        });
    }
    Ok(())
}

/// The namespace that the program was started in, for `nsenter --net=`: the far ends' thread has left it.
///
/// # Errors
///
/// /proc is not there.
pub(crate) fn home_namespace() -> Result<String, super::Error> {
    static HOME: OnceLock<File> = OnceLock::new();
    let home = match HOME.get() {
        Some(home) => home,
        None => {
            let opened = File::open("/proc/thread-self/ns/net").map_err(|source| super::Error::Enter {
                name: "the one it was started in".to_owned(),
                source,
            })?;
            HOME.get_or_init(|| opened)
        }
    };
    Ok(format!("/proc/{}/fd/{}", std::process::id(), home.as_raw_fd()))
}

/// A folder to be deleted with the rest.
pub(crate) fn remember_folder(folder: PathBuf) {
    LEFT.lock().expect("no thread panics with this lock").folders.push(folder);
}

/// A command that restores what was changed outside the rig.
pub(crate) fn remember_command(words: Vec<String>) {
    LEFT.lock().expect("no thread panics with this lock").commands.push(words);
}

/// Undoes what [`prepare`], [`remember_folder`] and [`remember_command`] were told of.
pub(crate) fn everything() {
    let mut left = LEFT.lock().expect("no thread panics with this lock");
    if let Some(prefix) = &left.prefix
        && let Err(error) = sweep(prefix)
    {
        tell(&error);
    }
    for words in left.commands.drain(..) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Err(error) = command::run_now(&words) {
            tell(&error);
        }
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
    let run = |line: &str| command::run_now(&line.split_whitespace().collect::<Vec<_>>());
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
