//! Which network does this thread live in? A network namespace of `ip netns`, entered by its name.
//!
//! For the harness and tests: sockets and interface indexes made afterwards belong to that namespace. The
//! other threads of the process stay where they are.
#![expect(unsafe_code, reason = "UNSAFETY: setns is a system call without a safe form in std")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Moves the calling thread, and nothing else, into the network namespace `name` of `/run/netns`.
///
/// # Errors
///
/// No such namespace, or no `CAP_SYS_ADMIN`.
pub fn enter(name: &str) -> io::Result<()> {
    let namespace = File::open(Path::new("/run/netns").join(name))?;
    // SAFETY: setns takes two integers; the descriptor is open until the end of this function.
    let code = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
