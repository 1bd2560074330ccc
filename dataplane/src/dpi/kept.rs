//! Where do bytes live that a parser keeps between packets?
//!
//! In buffers of a few sizes that go round within their thread: what one flow gives back the next one takes, so
//! that a worker that has run for a while does not call the allocator. What a thread has handed out has one cap; how
//! much of it a flow holds is the difference of [`in_use`] before and after its parser ran.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};

/// Sizes of buffers, bytes.
const CLASSES: [usize; 9] = [256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536];

/// Bytes that one buffer may have: more than a flow may hold.
pub const BUFFER_BYTES_MAX: usize = CLASSES[CLASSES.len() - 1];

/// Bytes that the flows of one thread may hold in buffers.
pub const THREAD_BYTES_MAX: usize = 128 << 20;

/// Bytes of one size that wait for the next flow.
const IDLE_BYTES_MAX: usize = 2 << 20;

/// The buffers of one thread.
struct Shelf {
    in_use: Cell<usize>,
    refused: Cell<u64>,
    idle: [RefCell<Vec<Vec<u8>>>; CLASSES.len()],
}

thread_local! {
    static SHELF: Shelf = const {
        Shelf {
            in_use: Cell::new(0),
            refused: Cell::new(0),
            idle: [const { RefCell::new(Vec::new()) }; CLASSES.len()],
        }
    };
}

/// Bytes that this thread's flows hold in buffers.
#[must_use]
pub fn in_use() -> usize {
    SHELF.with(|shelf| shelf.in_use.get())
}

/// Bytes of buffers that wait on this thread for the next flow.
#[must_use]
pub fn idle() -> usize {
    SHELF.with(|shelf| {
        shelf.idle.iter().map(|idle| idle.borrow().iter().map(Vec::capacity).sum::<usize>()).sum()
    })
}

/// Buffers that this thread refused because of [`THREAD_BYTES_MAX`].
#[must_use]
pub fn refused() -> u64 {
    SHELF.with(|shelf| shelf.refused.get())
}

/// Bytes that grow, up to [`BUFFER_BYTES_MAX`]. Empty ones cost nothing.
#[derive(Debug, Default)]
pub struct Kept {
    /// Without capacity, or of a class.
    bytes: Vec<u8>,
}

impl Kept {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// A copy of `bytes`, cut where there is no room.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut kept = Self::new();
        if !kept.extend(bytes) {
            kept.extend(&bytes[..bytes.len().min(kept.bytes.capacity())]);
        }
        kept
    }

    /// Appends all of `bytes`, or nothing where there is no room: `false`.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let fits = self.reserve(bytes.len());
        if fits {
            self.bytes.extend_from_slice(bytes);
        }
        fits
    }

    /// Forgets the bytes and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Forgets the first `len` bytes.
    pub fn drop_front(&mut self, len: usize) {
        self.bytes.drain(..len.min(self.bytes.len()));
    }

    /// Forgets all but the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Makes it `len` bytes long where it is shorter, with zeros; `false` where there is no room.
    pub fn lengthen(&mut self, len: usize) -> bool {
        let more = len.saturating_sub(self.bytes.len());
        let fits = self.reserve(more);
        if fits && more > 0 {
            self.bytes.resize(len, 0);
        }
        fits
    }

    /// Makes room for `more` bytes, in a larger buffer if need be: `false` where there is none.
    #[inline]
    pub fn reserve(&mut self, more: usize) -> bool {
        let wanted = self.bytes.len() + more;
        wanted <= self.bytes.capacity() || self.grow(wanted)
    }

    #[cold]
    fn grow(&mut self, wanted: usize) -> bool {
        let Some(class) = CLASSES.iter().position(|size| *size >= wanted) else { return false };
        let Some(mut larger) = SHELF.with(|shelf| shelf.take(class)) else { return false };
        larger.extend_from_slice(&self.bytes);
        give(std::mem::replace(&mut self.bytes, larger));
        true
    }
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<&[u8]> for Kept {
    fn from(bytes: &[u8]) -> Self {
        Self::of(bytes)
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::of(&self.bytes)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.bytes));
    }
}

fn give(bytes: Vec<u8>) {
    if bytes.capacity() > 0 {
        // A thread that ends has no shelf any more.
        let _gone = SHELF.try_with(|shelf| shelf.give(bytes));
    }
}

impl Shelf {
    fn take(&self, class: usize) -> Option<Vec<u8>> {
        let size = CLASSES[class];
        if self.in_use.get() + size > THREAD_BYTES_MAX {
            self.refused.set(self.refused.get() + 1);
            return None;
        }
        self.in_use.set(self.in_use.get() + size);
        Some(self.idle[class].borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(size)))
    }

    fn give(&self, mut bytes: Vec<u8>) {
        // An allocator may give more than was asked for.
        let Some(class) = CLASSES.iter().rposition(|size| *size <= bytes.capacity()) else { return };
        let size = CLASSES[class];
        self.in_use.set(self.in_use.get().saturating_sub(size));
        let mut idle = self.idle[class].borrow_mut();
        if (idle.len() + 1) * size <= IDLE_BYTES_MAX {
            bytes.clear();
            idle.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_round() {
        let before = in_use();
        let mut first = Kept::of(b"abc");
        assert_eq!(in_use() - before, 256);
        assert!(first.extend(&[7; 600]));
        assert_eq!(in_use() - before, 1_024);
        let place = first.as_ptr();
        drop(first);
        assert_eq!(in_use(), before);
        let second = Kept::of(&[1; 1_000]);
        assert_eq!(second.as_ptr(), place);
        assert_eq!(&second[..], &[1; 1_000]);
    }

    #[test]
    fn a_buffer_and_a_thread_have_a_limit() {
        let full = vec![1; BUFFER_BYTES_MAX];
        let mut kept = Kept::of(&full);
        assert!(!kept.extend(&[1]));
        assert_eq!(kept.len(), BUFFER_BYTES_MAX);
        let mut all: Vec<Kept> = Vec::new();
        while all.len() < THREAD_BYTES_MAX / BUFFER_BYTES_MAX + 2 {
            all.push(Kept::of(&full));
        }
        assert!(in_use() <= THREAD_BYTES_MAX && refused() > 0);
        assert!(all.last().is_some_and(|refused| refused.is_empty()));
        drop(all);
        assert!(kept.clone().len() == BUFFER_BYTES_MAX);
    }
}
