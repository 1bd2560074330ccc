//! What do all workers know together about an address, a rule or a bucket? Fixed tables of atomics, and no locks
//! but that of [`Transfers`], for what is rare.
//!
//! [`Table`] finds a slot for a key within a bounded probe and gives up the slot that has been of no use for the
//! longest; [`Buckets`] keeps token buckets in one, and a [`LeaseCache`] a worker holds the slices that it leased,
//! so that packets rarely touch what is shared.

mod table;
mod buckets;
mod lease;
mod expected;
mod remembered;
mod transfers;

pub use buckets::{BucketKey, Buckets, Shape};
pub use expected::{ExpectedFlows, ExpectedKey};
pub use lease::LeaseCache;
pub use remembered::Remembered;
pub use table::{SlotIndex, Table};
pub use transfers::{Transfer, Transfers};

use std::sync::Arc;

/// Everything that the workers share.
#[derive(Debug)]
pub struct Shared {
    /// Token buckets of rate limits.
    pub buckets: Buckets,
    /// Flows that belong to another worker than their hash says.
    pub expected: ExpectedFlows,
    /// What flows told of flows to come.
    pub foreseen: Arc<Remembered>,
    /// Which names clients have resolved, and to what.
    pub resolved: Arc<Remembered>,
    /// What rules remember of addresses.
    pub rule_bits: Arc<Remembered>,
    /// Files that announced connections will carry.
    pub transfers: Arc<Transfers>,
}

/// Bits of addresses, at once: 2 MiB, which are touched where rules set some.
const RULE_BITS_MAX: usize = 131_072;

/// Addresses and endpoints of which something was told, at once: 1 MiB.
const FORESEEN_MAX: usize = 65_536;

/// Names and addresses of them that clients were told, at once: 1 MiB.
const RESOLVED_MAX: usize = 65_536;

impl Default for Shared {
    fn default() -> Self {
        Self {
            buckets: Buckets::default(),
            expected: ExpectedFlows::default(),
            foreseen: Arc::new(Remembered::new(FORESEEN_MAX)),
            resolved: Arc::new(Remembered::new(RESOLVED_MAX)),
            rule_bits: Arc::new(Remembered::new(RULE_BITS_MAX)),
            transfers: Arc::default(),
        }
    }
}
