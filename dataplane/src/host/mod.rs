//! interim
/// interim
#[derive(Debug, Default)]
pub struct Buckets;
