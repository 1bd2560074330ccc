//! Which conversation does this packet belong to, and what state is it in?

pub mod key;
pub mod owner;
pub mod record;

pub use key::{Direction, FlowKey};
pub use record::{Decision, EndReason, FlowRecord, FlowState};
