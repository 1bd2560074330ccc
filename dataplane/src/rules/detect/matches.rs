//! What becomes of a match: does it count, is it told, and what does it do?

use super::Ledger;
use super::flow::FlowState;
use super::thresholds::Counted;
use crate::flow::Direction;
use crate::parse::Addr;
use crate::rules::captured::Captured;
use crate::rules::host_bits::Ends;
use crate::rules::memory::{FlowMemory, Kept};
use crate::rules::rule::{Action, CaptureKind};
use crate::rules::signature::{Kind, Signature};

/// Matches of one packet that are noted; fewer are told.
pub(super) const HITS_MAX: usize = 256;

/// A rule matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its number in the set.
    pub rule: u32,
    /// Which way what it matched goes; `None`: it is of no flow.
    pub way: Option<Direction>,
    /// Of which transaction, where it is of one.
    pub transaction: Option<u32>,
    /// Whether it is told; else it only acts.
    pub is_told: bool,
    /// Whether it matched what the flow says, not one packet alone: then it acts on the flow.
    pub is_of_flow: bool,
    /// Whether it matched what came in order, not one packet.
    pub is_of_stream: bool,
    /// Which of the frames that matched with this packet it is of, where it is of one.
    pub frame: Option<u16>,
    /// What it does: what the rule says, or a `rate_filter` in its place.
    pub action: Action,
}

/// What a match captured for its alert: of which rule and transaction.
pub(super) type OfAlert = (u32, Option<u32>, Kept);

/// Keeps what the expressions of a rule captured that matched.
#[cold]
fn keep_captured(
    number: u32,
    captured: &Captured,
    one: &Signature,
    memory: &mut FlowMemory,
    transaction: Option<u32>,
    ledger: &mut Ledger,
) {
    for (capture, value) in captured.of(&one.rule.captures) {
        memory.capture(capture.kind, &capture.name, value);
        let of_alerts = &mut ledger.of_alerts[0];
        if capture.kind == CaptureKind::Alert && of_alerts.len() < HITS_MAX {
            of_alerts.push((number, transaction, (capture.name.clone(), value.into())));
        }
    }
}

/// Of what a match is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of {
    pub way: Option<Direction>,
    pub transaction: Option<u32>,
    pub is_of_flow: bool,
    pub is_of_stream: bool,
    pub frame: Option<u16>,
}

impl Of {
    /// Of what came in order.
    pub(super) const fn stream(way: Direction) -> Self {
        Self { way: Some(way), transaction: None, is_of_flow: true, is_of_stream: true, frame: None }
    }
}

/// A rule matched: counts, changes what is remembered, and notes the hit. `false`: it does not count.
pub(super) fn matched(
    (number, captured): (u32, &Captured),
    one: &Signature,
    state: &mut FlowState,
    ledger: &mut Ledger,
    of: Of,
    (src, dst, at_ns): ((Addr, u16), (Addr, u16), u64),
    hits: &mut Vec<Hit>,
) -> bool {
    let Of { way, transaction, is_of_flow, is_of_stream, frame } = of;
    // As with Suricata, what is suppressed is not counted, and acts all the same.
    let is_suppressed = one.adjusted.is_suppressed(src.0, dst.0);
    let counted = match is_suppressed {
        true => Some(false),
        false => ledger.thresholds.count(
            number,
            &one.rule,
            &mut Counted { src, dst, at_ns, flow: &mut state.counters },
        ),
    };
    let Some(is_told) = counted else { return false };
    one.remembered.apply(&mut state.memory);
    if !captured.is_empty() {
        keep_captured(number, captured, one, &mut state.memory, transaction, ledger);
    }
    let of_transaction = transaction.map(|transaction| &mut state.transaction(transaction).bits);
    one.on_hosts.apply(&ledger.hosts, Ends { src: src.0, dst: dst.0, at_ns }, of_transaction);
    // A packet and the stream that it belongs to are one match; each frame is one for itself.
    if one.kind != Kind::Frame
        && transaction.is_none()
        && hits.iter().any(|hit| hit.rule == number && hit.transaction.is_none())
    {
        return true;
    }
    let after_many = match &one.adjusted.rate {
        Some(rate) if !is_suppressed => {
            ledger.rates.is_over(&one.rule, rate, (src.0, dst.0, at_ns)).then_some(rate)
        }
        _ => None,
    };
    let action = after_many.map_or(one.rule.action, |rate| rate.action);
    let is_told = is_told && !one.rule.is_silent && after_many.is_none_or(|rate| rate.is_told);
    if (is_told || action != Action::Alert) && hits.len() < HITS_MAX {
        hits.push(Hit { rule: number, way, transaction, is_told, is_of_flow, is_of_stream, frame, action });
    }
    true
}
