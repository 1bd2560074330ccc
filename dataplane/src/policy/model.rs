//! What may an operator write in a policy file? The values of DESIGN's policy language, parsed but not yet bound
//! to zones, names or ranks.
//!
//! Reading is in `read`, meaning in `compile` and `condition`.

use super::schedule::Schedule;
use crate::parse::{Addr, Mac};
use std::net::SocketAddr;

/// A policy file, read and valid in itself (zone and port names are bound later).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyFile {
    /// The name that errors and warnings give.
    pub file: String,
    /// The operator's own count, where one is written.
    pub version: Option<u32>,
    /// What happens where no policy matches; `None` is *no decision*, which inline mode refuses.
    pub default_action: Option<DefaultAction>,
    /// What a flow may do while policies that may still match disagree.
    pub deciding: DecidingMode,
    /// Whether TCP state violations are dropped inline.
    pub strict: bool,
    /// In the order of the file; evaluation sorts by (priority, policy_id).
    pub policies: Vec<Policy>,
}

/// What happens where no policy matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the actions'")]
pub enum DefaultAction {
    Allow,
    Drop,
    Reject,
}

/// What a flow may do while it is deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecidingMode {
    /// At most 32 packets or 16 KiB.
    #[default]
    Allow,
    /// 8 KiB/s.
    Limit,
    /// Nothing.
    Block,
}

/// One policy as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Unique in its set; breaks ties of priority.
    pub policy_id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// A disabled policy is checked and otherwise ignored.
    pub enabled: bool,
    /// Lower is evaluated first.
    pub priority: i32,
    /// All must hold.
    pub conditions: Conditions,
    /// What happens to the flow.
    pub action: Action,
    /// Emit a record that names the policy.
    pub log: bool,
    /// Copy the flow's frames to the mirror port.
    pub mirror: bool,
    /// Keep the flow's frames for packet capture.
    pub capture: bool,
    /// `false` exempts the flow from signatures.
    pub inspect: bool,
    /// Where it starts in the file, from 1.
    pub line: u32,
}

/// What happens to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the actions'")]
pub enum Action {
    Allow,
    Drop,
    Reject,
    Redirect(Redirect),
    RateLimit(RateLimit),
}

/// Another destination for a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// The new destination.
    pub to: RedirectTo,
    /// The new destination MAC, where the target is not behind the same next hop.
    pub next_hop: Option<Mac>,
}

/// Where a redirect leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectTo {
    /// A host.
    Address(SocketAddr),
    /// The box itself, by its service address of the flow's IP version.
    Service {
        /// Port there, not 0.
        port: u16,
    },
}

/// A token bucket's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Long-term rate, above 0.
    pub bytes_per_s: u64,
    /// Depth, at least one full Ethernet frame.
    pub burst_bytes: u64,
    /// Who shares one bucket.
    pub per: Per,
}

/// Who shares a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Per {
    /// Each flow has its own.
    Flow,
    /// All flows of one source address.
    Source,
    /// All flows of one user (of one source address where the user is unknown).
    User,
    /// All flows that the policy decides.
    Rule,
}

/// Conditions of a policy: every field of `all` holds, no field of `not` does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Each written field must hold.
    pub all: Fields,
    /// Each written field must not hold: none of its values matches. Apart, because few policies have any and
    /// reading moves policies about.
    pub not: Option<Box<Fields>>,
}

/// Values per field; an empty list is a field that was not written.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are the fields of the policy language")]
pub struct Fields {
    pub zone: Vec<Located>,
    pub in_port: Vec<Located>,
    pub vlan: Vec<(u16, u16)>,
    pub src_mac: Vec<Mac>,
    pub src_ip: AddrSet,
    pub dst_ip: AddrSet,
    pub src_port: Vec<(u16, u16)>,
    pub dst_port: Vec<(u16, u16)>,
    /// IANA numbers of layer 4 protocols.
    pub protocol_l4: Vec<u8>,
    /// Names of layer 7 protocols, lower case.
    pub protocol_l7: Vec<String>,
    pub application: Vec<String>,
    pub category: Vec<String>,
    /// 0 to 100.
    pub min_confidence: Option<u8>,
    pub user_id: Vec<String>,
    pub user_role: Vec<String>,
    pub groups: Vec<String>,
    pub attributes: Vec<(String, AttributeMatch)>,
    pub dst_user_id: Vec<String>,
    pub dst_user_role: Vec<String>,
    /// ISO 3166-1 alpha-2, lower case.
    pub country: Vec<String>,
    pub schedule: Vec<Schedule>,
}

impl Fields {
    /// Whether no field was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a field needs what only inspection of payload tells.
    #[must_use]
    pub fn needs_application(&self) -> bool {
        !self.application.is_empty()
            || !self.category.is_empty()
            || !self.protocol_l7.is_empty()
            || self.min_confidence.is_some()
    }
}

/// A word whose meaning depends on the configuration, and where it stands, for the error that may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// As written.
    pub word: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Path from the root.
    pub path: String,
}

/// What an attribute must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeMatch {
    /// Any value will do.
    Present,
    /// One of these, exact or with `*`.
    OneOf(Vec<String>),
}

/// Address ranges, inclusive, sorted and disjoint; IPv4 and IPv6 apart, so that `::/0` holds no IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddrSet {
    /// IPv4 ranges.
    pub v4: Vec<(u32, u32)>,
    /// IPv6 ranges.
    pub v6: Vec<(u128, u128)>,
}

impl AddrSet {
    /// Whether there is no range at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `addr` is in one of the ranges: a binary search.
    #[must_use]
    pub fn contains(&self, addr: Addr) -> bool {
        match addr.as_v4() {
            Some(bytes) => in_ranges(&self.v4, u32::from_be_bytes(bytes)),
            None => in_ranges(&self.v6, addr.bits()),
        }
    }
}

/// Whether `value` is in one of the sorted, disjoint, inclusive ranges.
pub(super) fn in_ranges<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(low, _)| *low <= value);
    after > 0 && value <= ranges[after - 1].1
}

/// Sorts ranges and joins those that overlap.
pub(super) fn normalise<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
}
