//! The appliance: `jarvis run` as it is installed, between the rig's ports.
//!
//! One worker on the device's core, control threads on the sender's; configuration, policies and pins in
//! places of their own, removed afterwards. Its waiting strategy is the caller's: `interrupt` where
//! processor time is the result.

use std::path::{Path, PathBuf};

use super::{Error, Running, Work};
use crate::rig::{Rig, cleanup};

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Flows its table holds.
    pub(crate) flows: u64,
    /// Policies that do not match.
    pub(crate) policies: usize,
    /// `adaptive`, `busy_poll` or `interrupt`.
    pub(crate) wait: String,
}

/// Starts the appliance.
///
/// # Errors
///
/// The program is not there or cannot be started; whether it forwards shows later.
pub(crate) fn start(rig: &Rig, options: &Options) -> Result<Running, Error> {
    let folder = super::work_folder(&rig.config.prefix, "jarvis")?;
    let pin_root = PathBuf::from(format!("/sys/fs/bpf/{}-jarvis", rig.config.prefix));
    // Pins of a run that was killed hold programs of interfaces that are gone.
    remove_pins(&pin_root);
    cleanup::remember_folder(pin_root.clone());
    let config = folder.join("jarvis.toml");
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|source| Error::io(path.display().to_string(), source))
    };
    write(&policy_file(&folder), crate::policies::json(options.policies, false))?;
    write(&config, configuration(rig, options, &folder, &pin_root))?;
    let binary = options.binary.display().to_string();
    let words = [binary.clone(), "run".to_owned(), "--config".to_owned(), config.display().to_string()];
    let (child, log) = super::start_program_anywhere(rig, &words, &folder)?;
    let version = crate::rig::command::run_words(&[&binary, "--version"]).unwrap_or_default();
    let notes = vec![
        ("version".to_owned(), version.trim().to_owned()),
        ("binary".to_owned(), binary),
        ("waiting".to_owned(), options.wait.clone()),
        ("rings".to_owned(), "2048 each, chunks of 4096 bytes".to_owned()),
        ("checksums".to_owned(), "verify".to_owned()),
    ];
    Ok(Running::new("jarvis", notes, Work::Program { child, log, folder: Some(folder) }))
}

/// The policy file of a device that runs in `folder`; rewriting it and SIGHUP reload it.
pub(crate) fn policy_file(folder: &Path) -> PathBuf {
    folder.join("policy.json")
}

fn remove_pins(pin_root: &Path) {
    // Not there is as good as removed.
    let _ = std::fs::remove_dir_all(pin_root);
}

fn configuration(rig: &Rig, options: &Options, folder: &Path, pin_root: &Path) -> String {
    let [port_a, port_b] = rig.ports();
    let (prefix, dut, other) = (&rig.config.prefix, rig.config.dut_core, rig.config.sender_core);
    // Twice the flows: a table is meant to be filled to 85 % at most.
    let capacity = (options.flows * 2).max(65_536);
    format!(
        "mode = \"inline\"\nname = \"{prefix}\"\n\
         [[port]]\ninterface = \"{port_a}\"\nzone = \"inside\"\n\
         [[port]]\ninterface = \"{port_b}\"\nzone = \"outside\"\n\
         [wire]\nfail_mode = \"closed\"\nwatchdog_ms = 1000\npin_root = \"{pins}\"\nlink_propagation = false\n\
         [worker]\ncount = 1\ncores = [{dut}]\nwait = \"{wait}\"\n\
         [control]\ncores = [{other}]\n\
         [flow]\ncapacity = {capacity}\n\
         [policy]\nfile = \"{policy}\"\n\
         [api]\nlisten = \"127.0.0.1:8000\"\nsocket = \"{folder}/control.sock\"\n\
         [api.rate_limit]\nenabled = false\n\
         [state]\ndirectory = \"{folder}/state\"\n",
        pins = pin_root.display(),
        wait = options.wait,
        policy = policy_file(folder).display(),
        folder = folder.display(),
    )
}
