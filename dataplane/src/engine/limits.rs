//! Has the bucket of this packet's flow tokens left? Spends from slices that this worker has leased.

use std::sync::Arc;

use crate::flow::Owner;
use crate::host::{BucketKey, LeaseCache, Shape, Shared};
use crate::parse::Addr;
use crate::policy::{Limit, Per};
use crate::time::Tick;
use crate::verdict::BucketId;

/// How often idle slices go back, nanoseconds.
const SWEEP_EVERY_NS: u64 = Tick::MS;

/// One worker's part of the shared buckets.
#[derive(Debug)]
pub(super) struct Limits {
    shared: Arc<Shared>,
    leases: LeaseCache,
    swept: Tick,
}

impl Limits {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, leases: LeaseCache::new(), swept: Tick(0) }
    }

    /// The bucket that a verdict names.
    pub(super) fn bucket(&self, limit: &Limit, whose: Whose, now: Tick) -> BucketId {
        self.shared.buckets.id_of(key_of(limit, whose), now)
    }

    /// Whether a frame may pass; if so its bytes are spent.
    pub(super) fn admit(&mut self, limit: &Limit, whose: Whose, len_bytes: u32, now: Tick) -> bool {
        let shape = Shape { bytes_per_s: limit.bytes_per_s, burst_bytes: limit.burst_bytes };
        self.leases.take(&self.shared.buckets, key_of(limit, whose), shape, u64::from(len_bytes), now)
    }

    /// Gives idle slices back; call it once a turn.
    pub(super) fn sweep(&mut self, now: Tick) {
        if now.ns_since(self.swept) >= SWEEP_EVERY_NS {
            self.swept = now;
            self.leases.sweep(&self.shared.buckets, now);
        }
    }

    /// Gives every slice back: the worker stops.
    pub(super) fn release_all(&mut self, now: Tick) {
        self.leases.release_all(&self.shared.buckets, now);
    }
}

/// Whose packets are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub source: Addr,
    pub flow_id: u64,
    pub owner: Option<Owner>,
}

/// Who shares the bucket. A limit per user is one per source where nobody says who the user is.
fn key_of(limit: &Limit, whose: Whose) -> BucketKey {
    match (limit.per, whose.owner) {
        (Per::Flow, _) => BucketKey::per_flow(limit.rule_hash, whose.flow_id),
        (Per::User, Some(owner)) => BucketKey::per_user(limit.rule_hash, owner.person),
        (Per::Source, _) | (Per::User, None) => BucketKey::per_source(limit.rule_hash, whose.source),
        (Per::Rule, _) => BucketKey::per_rule(limit.rule_hash),
    }
}
