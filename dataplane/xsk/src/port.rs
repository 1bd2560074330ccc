//! How do packets come in and go out? Through a [`PacketPort`]: an AF_XDP queue, or a ring pair in memory.
//!
//! One turn of a worker is: `receive`, work, `send`, `kick`, `complete`, `refill`. No call blocks.

use std::os::fd::RawFd;

use crate::error::XskError;
use crate::frame::{FrameBatch, FramePool};

/// Four rings: frames come by `receive`, leave by `send`, come home by `complete`, and feed it by `refill`.
pub trait PacketPort: Send {
    /// Appends waiting packets to `batch` and says how many frames that were.
    ///
    /// At most `max` frames and what fits, except that the last packet is completed: a packet in several
    /// frames ([`crate::Frame::more`]) is never split over two calls unless it alone is longer than a batch.
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> usize;

    /// Takes as many frames from the front as the ring has room for, in whole packets; says how many.
    ///
    /// The rest stays in `frames`: try again after [`PacketPort::complete`], or give it back to the pool. They
    /// leave after the next [`PacketPort::kick`].
    fn send(&mut self, frames: &mut FrameBatch) -> usize;

    /// Returns transmitted frames to `pool`; says how many.
    fn complete(&mut self, pool: &mut FramePool) -> usize;

    /// Tops up the frames waiting for packets to `target`, as far as `pool` and the ring allow; says how many
    /// were added. Without them arriving packets are lost (`rx_fill_empty`).
    fn refill(&mut self, pool: &mut FramePool, target: usize) -> usize;

    /// Wakes the kernel where it asked to be woken. Call it once each turn, also when nothing was sent: copy
    /// mode transmits a bounded number of frames a call.
    fn kick(&mut self);

    /// What was lost at this port, since it was opened.
    ///
    /// # Errors
    ///
    /// [`XskError::Statistics`] if the kernel refuses.
    fn statistics(&self) -> Result<SocketStatistics, XskError>;

    /// For waiting, see [`crate::wait`]; `None` where there is nothing to wait on.
    fn fd(&self) -> Option<RawFd>;

    /// Frames sent whose transmission is not yet reported.
    fn in_flight(&self) -> usize;
}

/// The kernel's counters of one AF_XDP socket (`struct xdp_statistics`, linux/if_xdp.h).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Lost for other reasons than a full ring, such as a packet longer than a frame without multi-buffer.
    pub rx_dropped: u64,
    /// Lost because the fill ring held an invalid address.
    pub rx_invalid: u64,
    /// Not sent because the descriptor was invalid.
    pub tx_invalid: u64,
    /// Lost because the worker did not empty the receive ring in time.
    pub rx_ring_full: u64,
    /// Times a packet found no frame waiting.
    pub rx_fill_empty: u64,
    /// Times the kernel found nothing to send.
    pub tx_ring_empty: u64,
}
