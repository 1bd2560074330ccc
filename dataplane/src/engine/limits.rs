//! Has this packet's bucket tokens left?

use std::sync::Arc;

use crate::host::Buckets;
use crate::parse::Addr;
use crate::policy::Limit;
use crate::time::Tick;
use crate::verdict::BucketId;

#[derive(Debug)]
pub(super) struct Limits {
    _buckets: Arc<Buckets>,
}

impl Limits {
    pub(super) fn new(buckets: Arc<Buckets>) -> Self {
        Self { _buckets: buckets }
    }

    pub(super) fn bucket(
        &mut self,
        _limit: &Limit,
        _source: Addr,
        _flow_id: u64,
        _now: Tick,
    ) -> Option<BucketId> {
        None
    }

    pub(super) fn admit(&mut self, _bucket: BucketId, _len_bytes: u32, _now: Tick) -> bool {
        true
    }
}
