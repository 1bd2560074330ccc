//! What do all workers know together about an address, a rule or a bucket? Fixed tables of atomics, no locks.
//!
//! [`Table`] finds a slot for a key within a bounded probe and gives up the slot that has been of no use for the
//! longest; [`Buckets`] keeps token buckets in one, and a [`LeaseCache`] a worker holds the slices that it leased,
//! so that packets rarely touch what is shared.

mod table;
mod buckets;
mod lease;
mod expected;

pub use buckets::{BucketKey, Buckets, Shape};
pub use expected::{ExpectedFlows, ExpectedKey};
pub use lease::LeaseCache;
pub use table::{SlotIndex, Table};

/// Everything that the workers share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Token buckets of rate limits.
    pub buckets: Buckets,
    /// Flows that belong to another worker than their hash says.
    pub expected: ExpectedFlows,
}
