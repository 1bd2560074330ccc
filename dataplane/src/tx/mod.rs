//! How does the frame leave: transmit ring, hand-off to another worker, held for its datagram, or back to the pool?
//!
//! Every frame that enters this room leaves it by exactly one of those ways; tests end with
//! `outstanding() == 0` per worker.

pub mod exits;
pub mod handoff;
pub mod held;
pub mod outbox;
