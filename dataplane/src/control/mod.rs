//! The door: what goes in (snapshots, queries) and what comes out (counters, histograms, events).
//!
//! | direction | what | form | who waits |
//! |---|---|---|---|
//! | in | [`Snapshot`] | pointer swap, loaded once a batch | nobody |
//! | in | who is where: [`IdentitySender`] | a numbered ring a worker, an image behind a gap | the sender, where a ring is full |
//! | in | [`FlowQuery`] | a bounded ring, one page between batches | the asker |
//! | out | [`Board`] | atomics that the worker overwrites, anyone reads | nobody |
//! | out | what policies did: [`Tally`](crate::account::Tally) | atomics by account, the same way | nobody |
//! | out | [`Event`] | two bounded rings a worker, `alerts` and `records` | nobody: records are aggregated, then shed |
//!
//! A packet never waits for anything here.

mod board;
mod door;
mod event;
mod histogram;
mod identity;
mod query;
mod snapshot;
mod wake;
mod wire;

pub use board::{Board, FlowGauges, PortGauges, WorkerReading};
pub use door::{Door, QueryError, WorkerDoor, door};
pub use event::{
    Alert, DropRecord, Event, EventReceiver, EventSender, FlowEnd, IpFields, KeptBytes, Origin, Source,
    StateChange, TaggedPacket, Transaction, TransportFields,
};
pub use histogram::{SharedHistogram, VALUE_MAX_NS};
pub use identity::{IdentityReader, IdentitySender};
pub use query::{FlowPage, FlowQuery, PAGE_FLOWS_MAX};
pub use snapshot::{
    ExceptionAction, Exceptions, ParserErrorAction, Publisher, Settings, Snapshot, SnapshotReader,
};
pub use wake::{Waker, Wakers};
pub use wire::{BlockListError, WireControl, WireReading};
