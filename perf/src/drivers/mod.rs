//! What is measured? Peers that forward the same frames between the same two links.
//!
//! | driver | what runs |
//! |---|---|
//! | [`bare`] | a forwarder that only moves descriptors: the yardstick |
//! | [`veth`] | `jarvis run`, the release binary |
//! | [`nft`] | the kernel's router with conntrack and nftables |
//! | [`suricata`] | Suricata inline over AF_PACKET |
//! | [`engine`] | the engine alone, in memory, no kernel |
//!
//! On real cards (`dut`) `bare`, `veth` and `suricata` run as well, and another machine sends.

pub(crate) mod bare;
pub(crate) mod engine;
pub(crate) mod nft;
pub(crate) mod suricata;
pub(crate) mod veth;

use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::rig::Rig;

/// Why a device under test does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The network around it.
    #[error(transparent)]
    Rig(#[from] crate::rig::Error),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] crate::rig::command::Error),
    /// AF_XDP.
    #[error(transparent)]
    Xsk(#[from] xsk::XskError),
    /// A file or a process.
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// It is not installed.
    #[error("{0} is not on PATH")]
    Missing(&'static str),
    /// It changes the machine's routing, so it runs in the rig's namespace only.
    #[error("{0} runs between veth pairs only, not on cards")]
    NeedsRig(&'static str),
    /// It ended by itself.
    #[error("{name} ended with {status}; it said:\n{said}")]
    Ended { name: String, status: String, said: String },
    /// It started, but no packet came through.
    #[error("{name} forwarded no packet within {seconds} s; it said:\n{said}")]
    Silent { name: String, seconds: u64, said: String },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

/// A device under test between the ports; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its name in results.
    pub(crate) name: String,
    /// What a reader of the result must know: versions, rings, offloads, settings.
    pub(crate) notes: Vec<(String, String)>,
    work: Work,
}

#[derive(Debug)]
pub(crate) enum Work {
    /// A thread of the harness.
    Thread { stop: Arc<AtomicBool>, tid: u32, handle: Option<JoinHandle<()>> },
    /// A program, with the file that takes its output and the folder of its files.
    Program { child: Child, log: PathBuf, folder: Option<PathBuf> },
    /// The kernel alone.
    Kernel,
}

/// One thread that works for the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) tid: u32,
    pub(crate) name: String,
    /// A NAPI thread of the kernel, not a thread of the device.
    pub(crate) napi: bool,
}

impl Running {
    pub(crate) fn new(name: impl Into<String>, notes: Vec<(String, String)>, work: Work) -> Self {
        Self { name: name.into(), notes, work }
    }

    /// Every thread whose time is the device's: its own, and the NAPI threads of its ports.
    pub(crate) fn tasks(&self, rig: &Rig) -> Vec<Task> {
        let own = match &self.work {
            Work::Thread { tid, .. } => vec![*tid],
            Work::Program { child, .. } => threads_of(child.id()),
            Work::Kernel => Vec::new(),
        };
        let own = own.into_iter().map(|tid| (tid, false));
        let napi = rig.dut_napi_threads().into_iter().map(|tid| (tid, true));
        own.chain(napi).map(|(tid, napi)| Task { tid, name: comm(tid), napi }).collect()
    }

    /// The folder of its files, where it has one.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        match &self.work {
            Work::Program { folder, .. } => folder.as_deref(),
            Work::Thread { .. } | Work::Kernel => None,
        }
    }

    /// The process, where the device is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.work {
            Work::Program { child, .. } => Some(child.id()),
            Work::Thread { .. } | Work::Kernel => None,
        }
    }

    /// Fails if the program has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] with the end of its output.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let ended = match &mut self.work {
            Work::Program { child, .. } => child.try_wait().ok().flatten().map(|status| status.to_string()),
            Work::Thread { handle, .. } => {
                handle.as_ref().is_some_and(JoinHandle::is_finished).then(|| "a finished thread".to_owned())
            }
            Work::Kernel => None,
        };
        match ended {
            Some(status) => Err(Error::Ended { name: self.name.clone(), status, said: self.said() }),
            None => Ok(()),
        }
    }

    /// The last lines of its output.
    pub(crate) fn said(&self) -> String {
        match &self.work {
            Work::Program { log, .. } => {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(15)..].join("\n")
            }
            Work::Thread { .. } | Work::Kernel => String::new(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match &mut self.work {
            Work::Thread { stop, handle, .. } => {
                // Relaxed: the flag carries no data.
                stop.store(true, Ordering::Relaxed);
                if let Some(handle) = handle.take() {
                    // A thread that panicked has said so itself.
                    let _ = handle.join();
                }
            }
            Work::Program { child, folder, .. } => {
                stop_program(child);
                if let Some(folder) = folder {
                    let _ = std::fs::remove_dir_all(folder);
                }
            }
            Work::Kernel => {}
        }
    }
}

/// SIGTERM, five seconds, SIGKILL.
fn stop_program(child: &mut Child) {
    let _ = crate::rig::command::run(&format!("kill -TERM {}", child.id()));
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < 5 {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn threads_of(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn comm(tid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{tid}/comm")).unwrap_or_default().trim().to_owned()
}

/// A folder for the files of one driver, deleted at the end.
///
/// # Errors
///
/// The file system says no.
pub(crate) fn work_folder(prefix: &str, name: &str) -> Result<PathBuf, Error> {
    let folder = std::env::temp_dir().join(format!("{prefix}-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| Error::io(folder.display().to_string(), source))?;
    crate::rig::cleanup::remember_folder(folder.clone());
    Ok(folder)
}

/// Starts a program in the device's namespace, on its core, its output in `folder/output`.
///
/// # Errors
///
/// It cannot be started.
pub(crate) fn start_program(
    rig: &Rig,
    words: &[String],
    folder: &std::path::Path,
) -> Result<(Child, PathBuf), Error> {
    let core = format!("taskset -c {}", rig.config.dut_core);
    let core = core.split(' ').map(str::to_owned);
    let words: Vec<String> =
        core.chain(crate::rig::placement::precedence()).chain(words.iter().cloned()).collect();
    start_program_anywhere(rig, &words, folder)
}

/// The same for a program that pins its own threads.
///
/// # Errors
///
/// It cannot be started.
pub(crate) fn start_program_anywhere(
    rig: &Rig,
    words: &[String],
    folder: &std::path::Path,
) -> Result<(Child, PathBuf), Error> {
    let log = folder.join("output");
    // The harness itself is pinned to the sender's core, and children inherit that.
    let cores = format!("taskset -c {},{}", rig.config.sender_core, rig.config.dut_core);
    let line: Vec<String> = rig
        .dut_prefix()
        .into_iter()
        .chain(cores.split(' ').map(str::to_owned))
        .chain(words.iter().cloned())
        .collect();
    let open = || std::fs::File::create(&log).map_err(|source| Error::io(log.display().to_string(), source));
    let output = open()?;
    let errors = output.try_clone().map_err(|source| Error::io("duplicating a file", source))?;
    let mut command = std::process::Command::new(&line[0]);
    command.args(&line[1..]).stdin(std::process::Stdio::null()).stdout(output).stderr(errors);
    let child =
        crate::rig::command::start(&mut command).map_err(|source| Error::io(line.join(" "), source))?;
    Ok((child, log))
}
