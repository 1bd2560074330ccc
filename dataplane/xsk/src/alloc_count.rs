//! How often was the global allocator called? The system allocator, counting.
//!
//! For the harness and tests that promise zero allocations a packet, or bounded memory: `#[global_allocator]
//! static A: alloc_count::Counting = alloc_count::Counting;`. A few relaxed additions a call.
#![expect(unsafe_code, reason = "UNSAFETY: an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

/// The system allocator with three counters.
#[derive(Debug)]
pub struct Counting;

/// Calls to the allocator (allocations and reallocations) since the program started, by all threads.
#[must_use]
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Bytes asked for since the program started; what was freed is not subtracted.
#[must_use]
pub fn bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// Bytes that are allocated now.
#[must_use]
pub fn live_bytes() -> u64 {
    BYTES.load(Ordering::Relaxed).wrapping_sub(FREED.load(Ordering::Relaxed))
}

fn count(bytes: usize) {
    // Relaxed: independent sums, read after the measured code ran on the same thread.
    CALLS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

fn count_freed(bytes: usize) {
    // Relaxed: as above.
    FREED.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every method hands its arguments to `System` unchanged and returns what `System` returns, so the
// contract of `GlobalAlloc` is the one `System` keeps; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count_freed(layout.size());
        // SAFETY: `ptr` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        count_freed(layout.size());
        // SAFETY: `ptr` came from `System` through this allocator, with this layout.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}
