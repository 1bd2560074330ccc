//! Who owns this packet's bytes? Whoever holds its [`Frame`], and nobody else.
//!
//! A `Frame` is the only handle on one chunk of a UMEM (or of an ordinary-memory pool). It moves, is never
//! copied, and may cross threads. Handing it to a port, or back to its [`FramePool`], is the only way to part
//! with it; one that is merely dropped stays counted as outstanding for ever, which is what tests look at.
//!
//! Cost: bytes are reached through one pointer, without any borrow of the UMEM. A pool is a last-in first-out
//! stack, so the frame taken next is the one most likely still in cache.
//!
//! Absent: a `Drop` that finds the way home. It would need a shared queue on the packet path.
#![expect(
    unsafe_code,
    reason = "UNSAFETY: a frame reaches its chunk by pointer; the borrow checker cannot see that the kernel gave it back"
)]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;

use xsk_rs::FrameDesc;

use crate::umem::{Region, Tally};

/// The packet continues in the next frame (`XDP_PKT_CONTD`, linux/if_xdp.h).
const PACKET_CONTINUES: u32 = 1;

/// Bytes in front of every packet that belong to XDP (`XDP_PACKET_HEADROOM`, linux/bpf.h).
pub const HEADROOM_BYTES: usize = 256;

/// One chunk of packet memory, owned.
///
/// Lost frames are not reclaimed: give each to a port or back to its pool.
#[must_use = "a frame that is dropped is lost to its pool; give it back or send it"]
pub struct Frame {
    data: NonNull<u8>,
    desc: FrameDesc,
    len: u32,
    capacity: u32,
    region: u32,
}

// SAFETY: a frame is the only handle on its chunk (pools and ports hand out each chunk once), so moving it to
// another thread moves the access with it.
// JUSTIFICATION: hand-off between workers moves frames through rings.
unsafe impl Send for Frame {}
// SAFETY: `&Frame` only reads.
// JUSTIFICATION: batches of frames are inspected through shared slices.
unsafe impl Sync for Frame {}

impl Frame {
    /// A handle on the chunk bytes `data .. data + capacity`.
    ///
    /// # Safety
    ///
    /// The bytes must belong to `region`, be readable, writable and initialised until the region ends, and no
    /// other `Frame`, ring or slice may reach them while this one exists.
    pub(crate) unsafe fn new(
        data: NonNull<u8>,
        desc: FrameDesc,
        len: u32,
        capacity: u32,
        region: u32,
    ) -> Self {
        Self { data, desc, len: len.min(capacity), capacity, region }
    }

    /// The packet's bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len <= capacity` always; the chunk is ours by the contract of `new`, and the region stays
        // mapped while any of its frames is outstanding (see `Region::drop`).
        // JUSTIFICATION: packet memory is shared with the kernel, so it cannot be a Rust collection.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len as usize) }
    }

    /// The packet's bytes, writable.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` excludes any other slice of this chunk.
        // JUSTIFICATION: as in `bytes`.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len as usize) }
    }

    /// Bytes of the packet in this frame.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the frame holds no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the packet `len_bytes` long, at most [`Frame::capacity`]; says what it became.
    ///
    /// Bytes gained are what the chunk last held: write them.
    #[inline]
    pub fn set_len(&mut self, len_bytes: usize) -> usize {
        // Both sides fit: the minimum is at most `capacity`, a u32.
        self.len = len_bytes.min(self.capacity as usize) as u32;
        self.len as usize
    }

    /// The longest packet piece that fits.
    #[inline]
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Whether this packet continues in the next frame of its batch.
    #[inline]
    #[must_use]
    pub fn more(&self) -> bool {
        self.desc.options() & PACKET_CONTINUES != 0
    }

    /// Says whether this packet continues in the next frame of its batch.
    #[inline]
    pub fn set_more(&mut self, more: bool) {
        self.desc.set_options(if more { PACKET_CONTINUES } else { 0 });
    }

    /// Replaces the content by as much of `source` as fits; says how many bytes that was.
    #[inline]
    pub fn copy_from(&mut self, source: &[u8]) -> usize {
        let len = self.set_len(source.len());
        self.bytes_mut().copy_from_slice(source.get(..len).unwrap_or_default());
        len
    }

    /// Which UMEM or pool this frame comes home to; equal to [`FramePool::region`] of its pool.
    #[inline]
    #[must_use]
    pub const fn region(&self) -> u32 {
        self.region
    }

    /// The descriptor as the rings want it, its length not yet set.
    #[inline]
    pub(crate) const fn desc(&self) -> FrameDesc {
        self.desc
    }

    /// An empty packet again.
    #[inline]
    fn reset(&mut self) {
        self.len = 0;
        self.desc.set_options(0);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("region", &self.region)
            .field("addr", &self.desc.addr())
            .field("len", &self.len)
            .field("more", &self.more())
            .finish()
    }
}

/// The free frames of one worker.
///
/// Neither shared nor locked: the worker that owns the UMEM owns its pool.
pub struct FramePool {
    region: Arc<Region>,
    free: Vec<Frame>,
    tally: Arc<Tally>,
    foreign: u64,
}

impl FramePool {
    /// `frames` frames of `capacity_bytes` each over ordinary memory: for replay, tests and benches.
    ///
    /// # Panics
    ///
    /// If the memory cannot be had; sizes come from the caller, never from the wire.
    #[must_use]
    pub fn in_memory(frames: usize, capacity_bytes: usize) -> Self {
        let (region, free) = Region::on_heap(frames, capacity_bytes);
        Self::over(&region, free)
    }

    pub(crate) fn over(region: &Arc<Region>, free: Vec<Frame>) -> Self {
        Self { region: Arc::clone(region), tally: region.new_tally(), free, foreign: 0 }
    }

    pub(crate) const fn home(&self) -> &Arc<Region> {
        &self.region
    }

    /// An empty frame, or `None` if all are in use.
    #[inline]
    #[must_use]
    pub fn take(&mut self) -> Option<Frame> {
        let mut frame = self.free.pop()?;
        self.tally.add(1);
        frame.reset();
        Some(frame)
    }

    /// Takes a frame back.
    ///
    /// A frame of another region is refused: accepting it would let two owners write to one chunk. It is
    /// counted in [`FramePool::foreign`], stays outstanding in its own pool, and fails a debug build, because
    /// only a mistake in the caller brings it here.
    #[inline]
    pub fn give(&mut self, frame: Frame) {
        if self.accepts(&frame) {
            self.tally.sub(1);
            self.free.push(frame);
        }
    }

    /// Takes back every frame of `batch`.
    pub fn give_all(&mut self, batch: &mut FrameBatch) {
        for frame in batch.drain() {
            self.give(frame);
        }
    }

    /// Frames ready to be taken.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.free.len()
    }

    /// Frames that are neither in this pool nor in a ring: in batches, held by parsers, or lost.
    ///
    /// Takes a lock: for tests and telemetry, not for the packet path.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.region.outstanding()
    }

    /// Frames of other regions that someone tried to give here.
    #[must_use]
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Identifies the memory this pool's frames belong to.
    #[must_use]
    pub fn region(&self) -> u32 {
        self.region.id()
    }

    /// A frame on its way into a ring.
    #[inline]
    pub(crate) fn lend(&mut self) -> Option<Frame> {
        self.free.pop()
    }

    /// A frame that comes back from a ring.
    #[inline]
    pub(crate) fn restore(&mut self, frame: Frame) {
        if self.accepts(&frame) {
            self.free.push(frame);
        }
    }

    #[inline]
    fn accepts(&mut self, frame: &Frame) -> bool {
        let ours = frame.region == self.region.id();
        debug_assert!(
            ours,
            "a frame of region {} was given to the pool of {}",
            frame.region,
            self.region.id()
        );
        self.foreign += u64::from(!ours);
        ours
    }
}

impl fmt::Debug for FramePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramePool")
            .field("region", &self.region.id())
            .field("free", &self.free.len())
            .field("foreign", &self.foreign)
            .finish()
    }
}

/// Up to [`FrameBatch::CAPACITY`] frames in order, without allocation.
///
/// Reads as a slice. Frames left in a batch that is dropped are lost to their pool.
pub struct FrameBatch {
    frames: [MaybeUninit<Frame>; Self::CAPACITY],
    len: usize,
}

impl FrameBatch {
    /// Room for the usual 64 packets and for the pieces of a few long ones.
    ///
    /// A packet has at most 18 pieces: `MAX_SKB_FRAGS` is 17 (linux/skbuff.h), plus its head.
    pub const CAPACITY: usize = 128;

    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: [const { MaybeUninit::uninit() }; Self::CAPACITY], len: 0 }
    }

    /// How many more frames fit.
    #[inline]
    #[must_use]
    pub const fn room(&self) -> usize {
        Self::CAPACITY - self.len
    }

    /// Adds a frame at the end.
    ///
    /// # Errors
    ///
    /// A full batch gives the frame back.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        match self.frames.get_mut(self.len) {
            Some(slot) => {
                slot.write(frame);
                self.len += 1;
                Ok(())
            }
            None => Err(frame),
        }
    }

    /// Takes the last frame.
    #[inline]
    #[must_use]
    pub fn pop(&mut self) -> Option<Frame> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: slots below the former length are written, and this one is now beyond the length.
        // JUSTIFICATION: a fixed array of non-copy values without allocation has no safe form.
        Some(unsafe { self.frames[self.len].assume_init_read() })
    }

    /// Takes the frames out from the front; those not taken stay, in order.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        Drain { batch: self, next: 0 }
    }

    /// Moves the frames from `from` on to the end of `other`, as many as fit there, in order.
    pub(crate) fn move_tail(&mut self, from: usize, other: &mut Self) {
        let tail = self.len.saturating_sub(from).min(other.room());
        let end = from + tail;
        for slot in from..end {
            // SAFETY: `slot < len`, so it is written; it is read once, and the rest is moved over it below.
            // JUSTIFICATION: as in `pop`.
            let frame = unsafe { self.frames[slot].assume_init_read() };
            other.frames[other.len].write(frame);
            other.len += 1;
        }
        self.close_gap(from.min(self.len), end.min(self.len));
    }

    /// Forgets slots `from..to`, already read, and moves the rest down.
    fn close_gap(&mut self, from: usize, to: usize) {
        let rest = self.len - to;
        if rest > 0 && to > from {
            let first = self.frames.as_mut_ptr();
            // SAFETY: both ranges lie within `len <= CAPACITY`; `copy` allows overlap; the slots that are
            // overwritten were read out before.
            // JUSTIFICATION: as in `pop`.
            unsafe { std::ptr::copy(first.add(to), first.add(from), rest) };
        }
        self.len = from + rest;
    }
}

impl Default for FrameBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::ops::Deref for FrameBatch {
    type Target = [Frame];

    #[inline]
    fn deref(&self) -> &[Frame] {
        // SAFETY: the first `len` slots are written; MaybeUninit<Frame> has Frame's layout.
        // JUSTIFICATION: as in `pop`.
        unsafe { std::slice::from_raw_parts(self.frames.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for FrameBatch {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Frame] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        // JUSTIFICATION: as in `pop`.
        unsafe { std::slice::from_raw_parts_mut(self.frames.as_mut_ptr().cast(), self.len) }
    }
}

impl fmt::Debug for FrameBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Takes frames out of a batch, front first. See [`FrameBatch::drain`].
pub struct Drain<'a> {
    batch: &'a mut FrameBatch,
    next: usize,
}

impl Iterator for Drain<'_> {
    type Item = Frame;

    #[inline]
    fn next(&mut self) -> Option<Frame> {
        if self.next == self.batch.len {
            return None;
        }
        // SAFETY: `next < len`, so the slot is written; `next` moves past it, and `drop` closes the gap, so it
        // is read once.
        // JUSTIFICATION: as in `FrameBatch::pop`.
        let frame = unsafe { self.batch.frames[self.next].assume_init_read() };
        self.next += 1;
        Some(frame)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.batch.close_gap(0, self.next);
    }
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &(self.batch.len - self.next)).finish()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn tagged(pool: &mut FramePool, tag: u8) -> Frame {
        let mut frame = pool.take().unwrap();
        frame.copy_from(&[tag]);
        frame
    }

    #[test]
    fn a_frame_holds_what_was_written_up_to_its_capacity() {
        let mut pool = FramePool::in_memory(2, 100);
        let mut frame = pool.take().unwrap();
        assert_eq!(frame.copy_from(&[7; 300]), 100);
        assert_eq!(frame.bytes(), &[7; 100]);
        assert_eq!(frame.set_len(40), 40);
        frame.bytes_mut()[39] = 9;
        assert_eq!(frame.bytes().last(), Some(&9));
        pool.give(frame);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_pool_hands_out_each_chunk_once() {
        let mut pool = FramePool::in_memory(3, 64);
        let mut held: Vec<Frame> = (0..3).map(|tag| tagged(&mut pool, tag)).collect();
        assert!(pool.take().is_none());
        assert_eq!(pool.outstanding(), 3);
        assert_eq!(held.iter().map(|frame| frame.bytes()[0]).collect::<Vec<_>>(), [0, 1, 2]);
        for frame in held.drain(..) {
            pool.give(frame);
        }
        assert_eq!((pool.free(), pool.outstanding()), (3, 0));
    }

    #[test]
    fn a_taken_frame_is_empty_and_whole() {
        let mut pool = FramePool::in_memory(1, 64);
        let mut frame = tagged(&mut pool, 1);
        frame.set_more(true);
        pool.give(frame);
        let frame = pool.take().unwrap();
        assert!(frame.is_empty() && !frame.more());
        pool.give(frame);
    }

    #[test]
    #[should_panic(expected = "was given to the pool of")]
    fn a_foreign_frame_is_refused() {
        let mut ours = FramePool::in_memory(1, 64);
        let mut theirs = FramePool::in_memory(1, 64);
        ours.give(theirs.take().unwrap());
    }

    #[test]
    fn frames_outlive_their_pool() {
        let mut frame = {
            let mut pool = FramePool::in_memory(1, 64);
            pool.take().unwrap()
        };
        frame.copy_from(b"still mapped");
        assert_eq!(frame.bytes(), b"still mapped");
    }

    #[test]
    fn a_batch_keeps_order_and_what_was_not_drained() {
        let mut pool = FramePool::in_memory(5, 64);
        let mut batch = FrameBatch::new();
        for tag in 0..5 {
            batch.push(tagged(&mut pool, tag)).unwrap();
        }
        for frame in batch.drain().take(2) {
            pool.give(frame);
        }
        assert_eq!(batch.iter().map(|frame| frame.bytes()[0]).collect::<Vec<_>>(), [2, 3, 4]);
        let mut tail = FrameBatch::new();
        batch.move_tail(1, &mut tail);
        assert_eq!(batch.iter().map(|frame| frame.bytes()[0]).collect::<Vec<_>>(), [2]);
        assert_eq!(tail.iter().map(|frame| frame.bytes()[0]).collect::<Vec<_>>(), [3, 4]);
        pool.give(tail.pop().unwrap());
        pool.give_all(&mut tail);
        pool.give_all(&mut batch);
        assert_eq!((pool.free(), pool.outstanding()), (5, 0));
    }

    #[test]
    fn a_full_batch_gives_the_frame_back() {
        let mut pool = FramePool::in_memory(FrameBatch::CAPACITY + 1, 16);
        let mut batch = FrameBatch::new();
        for _ in 0..FrameBatch::CAPACITY {
            batch.push(pool.take().unwrap()).unwrap();
        }
        assert_eq!(batch.room(), 0);
        let back = batch.push(pool.take().unwrap()).unwrap_err();
        pool.give(back);
        pool.give_all(&mut batch);
        assert_eq!(pool.outstanding(), 0);
    }
}
