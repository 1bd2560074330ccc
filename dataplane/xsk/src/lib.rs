//! AF_XDP made safe: frames that move, rings, sockets, UMEM, the XDP program and its pins.
//!
//! A worker makes a [`Umem`] and its [`FramePool`], opens an [`XskQueue`] per port, and turns the ring through
//! [`PacketPort`]. Tests and replay use [`FramePool::in_memory`] and [`memory::pair`] instead.
//!
//! This is the one crate with `unsafe`; every module that has some says why at its top.

mod frame;
mod umem;
mod port;
mod socket;
mod error;
mod block_list;
mod heartbeat;
mod pin;
pub mod alloc_count;
pub mod clock;
pub mod memory;
pub mod netdev;
pub mod netns;
pub mod packet;
pub mod prefetch;
pub mod program;
pub mod tap;
pub mod wait;
pub mod wire;

pub use error::XskError;
pub use frame::{Drain, Frame, FrameBatch, FramePool, HEADROOM_BYTES};
pub use heartbeat::Heartbeat;
pub use netdev::Interface;
pub use packet::PacketSocket;
pub use pin::{BPFFS, PIN_ROOT};
pub use port::{PacketPort, SocketStatistics};
pub use socket::{Mode, ObtainedMode, SocketConfig, XskQueue};
pub use tap::Tap;
pub use umem::{FrameSize, Umem, UmemConfig};
pub use wait::BusyPoll;
pub use wire::{AttachMode, FailMode, Wire, WireConfig, WireCounters};

#[cfg(test)]
mod tests {
    use super::*;

    /// Built on the main thread, used by workers.
    #[test]
    fn everything_may_change_its_thread() {
        fn may_change_thread<T: Send>() {}
        may_change_thread::<Frame>();
        may_change_thread::<FrameBatch>();
        may_change_thread::<FramePool>();
        may_change_thread::<Umem>();
        may_change_thread::<XskQueue>();
        may_change_thread::<memory::MemoryPort>();
        may_change_thread::<Wire>();
        may_change_thread::<Heartbeat>();
        may_change_thread::<Tap>();
    }
}
