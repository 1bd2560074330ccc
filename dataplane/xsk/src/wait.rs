//! How does an idle worker sleep until a packet comes? In `poll(2)`, over all its sockets at once.
//!
//! Busy-polling workers never call this; adaptive ones do after some empty turns.
#![expect(unsafe_code, reason = "UNSAFETY: poll and setsockopt take pointers")]

use std::io;
use std::os::fd::RawFd;

/// The most descriptors one worker waits on: two ports, the host port, a few wake-up descriptors.
pub const WAIT_FDS_MAX: usize = 16;

/// Waits until one of `fds` is readable or `timeout_ms` has passed (0 looks, -1 waits for ever); says how many
/// are ready. Descriptors beyond [`WAIT_FDS_MAX`] are not looked at. A signal counts as nothing ready.
///
/// # Errors
///
/// What `poll(2)` says, except `EINTR`.
pub fn readable(fds: &[RawFd], timeout_ms: i32) -> io::Result<usize> {
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; WAIT_FDS_MAX];
    let count = fds.len().min(WAIT_FDS_MAX);
    for (slot, fd) in polled.iter_mut().zip(fds) {
        slot.fd = *fd;
    }
    // SAFETY: `count` is at most the array's length.
    // JUSTIFICATION: std has no poll.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), count as libc::nfds_t, timeout_ms) };
    if ready >= 0 {
        return Ok(ready as usize);
    }
    let err = io::Error::last_os_error();
    if err.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(err) }
}

/// Kernel busy polling on a socket: the driver is polled from the worker's own system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long one call may poll, microseconds (`SO_BUSY_POLL`).
    pub usecs: u32,
    /// Packets per poll (`SO_BUSY_POLL_BUDGET`); above 64 needs CAP_NET_ADMIN.
    pub budget: u32,
}

/// Turns preferred busy polling on (Documentation/networking/napi.rst).
///
/// # Errors
///
/// The first option that the kernel refused.
pub(crate) fn set_busy_poll(fd: RawFd, busy_poll: BusyPoll) -> io::Result<()> {
    const SO_PREFER_BUSY_POLL: i32 = 69;
    const SO_BUSY_POLL_BUDGET: i32 = 70;
    set_option(fd, libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, busy_poll.usecs)?;
    set_option(fd, libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, busy_poll.budget)
}

pub(crate) fn set_option(fd: RawFd, level: i32, option: i32, value: u32) -> io::Result<()> {
    // SAFETY: the value is read for exactly its size.
    // JUSTIFICATION: these options are in no crate's interface.
    let result = unsafe {
        libc::setsockopt(fd, level, option, (&raw const value).cast(), size_of::<u32>() as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_written_pipe_is_readable_and_an_empty_one_is_not() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert_eq!(readable(&[reader.as_raw_fd()], 0).unwrap(), 0);
        writer.write_all(b"x").unwrap();
        assert_eq!(readable(&[reader.as_raw_fd()], 0).unwrap(), 1);
    }
}
