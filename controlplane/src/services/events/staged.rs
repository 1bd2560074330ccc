//! Which events are told to whoever listens, and what can be asked of them?
//!
//! Lines are made once, for the file and for listeners; facts are taken from the event itself, not from its text.

use std::borrow::Cow;
use std::ops::Range;

use dataplane::control::{DropRecord, FlowEnd, Transaction};
use dataplane::parse::Addr;

use crate::services::live::{Draft, Facts, Hub, Tape, Topic};
use crate::services::names::{Names, PolicyNamer, outer_flow_id};

/// Events told at once: others who publish wait for so many at most.
const TOLD_MAX: usize = 256;

/// Events that have a line and are not told yet.
#[derive(Default)]
pub(super) struct Staged {
    all: Vec<One>,
    namer: PolicyNamer,
}

struct One {
    topic: Topic,
    facts: Facts,
    /// Of the file's lines, or of those that no file wants.
    is_of_file: bool,
    line: Range<usize>,
}

impl Staged {
    pub(super) fn push(&mut self, topic: Topic, facts: Facts, is_of_file: bool, line: Range<usize>) {
        self.all.push(One { topic, facts, is_of_file, line });
    }

    /// Tells all of them.
    pub(super) fn tell(&mut self, hub: &Hub, mut tape: Option<&mut Tape>, lines: &[u8], own: &[u8]) {
        let mut all = self.all.drain(..).peekable();
        while all.peek().is_some() {
            let drafts = all.by_ref().take(TOLD_MAX).map(|one| Draft {
                topic: one.topic,
                is_private: false,
                facts: one.facts,
                event: &(if one.is_of_file { lines } else { own })[one.line],
            });
            hub.publish(drafts, tape.as_deref_mut());
        }
    }

    pub(super) fn of_flow(&mut self, names: &Names, end: &FlowEnd) -> Facts {
        let record = &end.record;
        let (src, dst) = record.endpoints();
        Facts {
            event_type: Cow::Borrowed("flow"),
            proto: Some(record.key.labels().protocol),
            flow_id: outer_flow_id(record.flow_id),
            application: end.summary.app_name().map(Cow::Borrowed),
            policy_id: self.namer.id(names, &record.decision).map(Box::from),
            reason: record.decision.reason.map(|reason| Cow::Borrowed(reason.label())),
            risk_score: if end.summary.risks.0 == 0 { 0 } else { end.summary.risks.score() },
            ..of_ends(Some(src), Some(dst))
        }
    }

    pub(super) fn of_record(
        &mut self,
        names: &Names,
        event_type: &'static str,
        record: &DropRecord,
    ) -> Facts {
        Facts {
            event_type: Cow::Borrowed(event_type),
            proto: record.src.map(|_| record.protocol),
            flow_id: if record.flow_id == 0 { 0 } else { outer_flow_id(record.flow_id) },
            policy_id: self.namer.id(names, &record.decision).map(Box::from),
            reason: Some(Cow::Borrowed(record.reason.label())),
            ..of_ends(record.src, record.dst)
        }
    }
}

pub(super) fn of_transaction(told: &Transaction) -> Facts {
    Facts {
        event_type: Cow::Borrowed(told.event_type),
        proto: Some(told.protocol),
        flow_id: outer_flow_id(told.flow_id),
        ..of_ends(Some(told.src), Some(told.dst))
    }
}

fn of_ends(src: Option<(Addr, u16)>, dst: Option<(Addr, u16)>) -> Facts {
    let ends = [src, dst];
    Facts {
        ips: ends.map(|end| end.map(|(addr, _)| addr.to_ip())),
        ports: ends.map(|end| end.map(|(_, port)| port)),
        ..Facts::default()
    }
}
