//! Which flows are there? One bounded page between two batches.

use crate::dpi::Summary;
use crate::flow::{FlowFilter, FlowRecord};

/// Records in one page.
pub const PAGE_FLOWS_MAX: usize = 1_000;

/// A question to one worker; the page comes back in the same box, so the worker allocates nothing.
#[derive(Debug)]
pub struct FlowQuery {
    /// Where to go on: 0 at first, then [`FlowPage::next_cursor`].
    pub cursor: u64,
    /// Which flows.
    pub filter: FlowFilter,
    /// Records wanted, at most [`PAGE_FLOWS_MAX`].
    pub limit: usize,
    /// Where the answer is written.
    pub page: FlowPage,
    /// End the flows found instead of only listing them.
    pub end_them: bool,
}

/// The answer.
#[derive(Debug, Default)]
pub struct FlowPage {
    /// Flows found; capacity is reserved by the asker.
    pub flows: Vec<FlowRecord>,
    /// What is known of their payload, by the same index; capacity likewise.
    pub summaries: Vec<Summary>,
    /// Where to go on, `None` at the end of the table.
    pub next_cursor: Option<u64>,
}
