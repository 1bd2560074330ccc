//! What is sent? Packets rendered beforehand, so that sending one costs a copy of its head.
//!
//! [`frame`] builds single packets with right checksums, [`trace`] holds many in one piece of memory,
//! [`conversation`] makes flows of known protocols, [`workload`] makes the named workloads out of them, [`savefile`] reads a workload from a capture.
//! Everything is a function of the seed. Lengths are without FCS: the "64 B" frame has 60 bytes here.

pub(crate) mod conversation;
pub(crate) mod frame;
pub(crate) mod merged;
pub(crate) mod random;
pub(crate) mod savefile;
pub(crate) mod trace;
pub(crate) mod workload;

pub(crate) use trace::{Side, Trace};
pub(crate) use workload::{Kind, Spec, Workload};
