//! Which conversation does this packet belong to, and what state is it in?
//!
//! [`FlowTable`] is one worker's: fixed in size, no lock, no clock, no allocation after construction. Start with
//! [`table`], then [`tcp`] for the state machine; `index`, `list` and `wheel` hold the slots together.

mod account;
mod coarse;
pub mod config;
pub mod entry;
mod hash;
mod index;
pub mod key;
mod lane;
mod list;
pub mod owner;
pub mod query;
pub mod record;
pub mod stats;
pub mod table;
pub mod tcp;
mod wheel;

#[cfg(test)]
mod tests;

pub use config::{EvictionClass, EvictionOrder, FlowConfig, Timeouts};
pub use entry::{CachedDecision, Flow, NO_INSPECTION, Owner};
pub use key::{Direction, FlowKey, Labels};
pub use query::FlowFilter;
pub use record::{Decision, EndReason, FlowRecord, FlowState, UserNumber};
pub use stats::{FlowStats, ProtocolClass};
pub use table::{AliasError, Expired, FlowId, FlowTable, Found, Full, Located, Step};
pub use tcp::{TcpOutcome, TcpState, TcpStep};
