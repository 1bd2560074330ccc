//! How does the kernel know that a worker lives? It stores the time in a shared page; the XDP program reads it.
//!
//! One cache line a queue. A beat is one store, no system call.
#![expect(unsafe_code, reason = "UNSAFETY: the page is shared with the XDP program")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::program::{Beat, QUEUES_MAX};

const PAGE_BYTES: usize = size_of::<Beat>() * QUEUES_MAX as usize;

/// The mapped page of all queues' heartbeats.
#[derive(Debug)]
pub(crate) struct BeatPage {
    base: NonNull<Beat>,
}

// SAFETY: the page is only accessed through atomics.
// JUSTIFICATION: each worker's thread holds a handle.
unsafe impl Send for BeatPage {}
// SAFETY: as for Send.
// JUSTIFICATION: as for Send.
unsafe impl Sync for BeatPage {}

impl BeatPage {
    /// Maps the heartbeat map.
    pub(crate) fn map(fd: BorrowedFd<'_>) -> io::Result<Arc<Self>> {
        // SAFETY: a new mapping at an address of the kernel's choice; the result is checked.
        // JUSTIFICATION: a map update is a system call, and a beat comes every turn.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("a mapping never starts at address 0");
        Ok(Arc::new(Self { base }))
    }

    fn stamp(&self, queue: u32) -> &AtomicU64 {
        assert!(queue < QUEUES_MAX, "the wire checked the queue");
        // SAFETY: the page holds QUEUES_MAX beats and lives as long as `self`; a stamp is an aligned u64 that all
        // sides access as one word.
        // JUSTIFICATION: a shared page has no safe form.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.base.as_ptr().add(queue as usize)).stamp_ns) }
    }
}

impl Drop for BeatPage {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; every reference into it borrowed from `self`.
        // JUSTIFICATION: the counterpart of the mapping.
        unsafe { libc::munmap(self.base.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// One worker's sign of life. See [`crate::wire::Wire::heartbeat`].
#[derive(Debug, Clone)]
pub struct Heartbeat {
    page: Arc<BeatPage>,
    queue: u32,
}

impl Heartbeat {
    pub(crate) const fn new(page: Arc<BeatPage>, queue: u32) -> Self {
        Self { page, queue }
    }

    /// Says that the worker lives at `now_ns` ([`crate::clock::monotonic_ns`]). Call it each turn.
    #[inline]
    pub fn beat(&self, now_ns: u64) {
        // Relaxed: the stamp is all that is passed on.
        self.page.stamp(self.queue).store(now_ns, Ordering::Relaxed);
    }

    /// Says that the worker is gone: the fail mode holds from now on.
    pub fn stop(&self) {
        self.page.stamp(self.queue).store(0, Ordering::Relaxed);
    }

    /// When the worker last lived; 0 before its first beat.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.page.stamp(self.queue).load(Ordering::Relaxed)
    }
}
