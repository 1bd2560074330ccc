//! What do rules ask of an inspector? Packets to be tried, what they remember of a flow, and what they made of it.

use std::sync::Arc;

use super::{Inspector, Known, Notes};
use crate::dpi::Fields;
use crate::dpi::parser::FlowView;
use crate::dpi::protocol::Protocol;
use crate::flow::Direction;
use crate::parse::Transport;
use crate::rules::detect::{FileSoFar, FlowPlace, FrameSeen, Hit, Moment, PacketFacts};
use crate::rules::memory::Recalled;
use crate::rules::packet::View;
use crate::rules::set::Kept;
use crate::rules::{Detector, RuleSet};
use crate::time::Wall;
use crate::verdict::Verdict;

impl Inspector {
    /// Rules are these from now on. One comparison where they are the same ones.
    #[inline]
    pub fn follow_rules(&mut self, set: Option<&Arc<RuleSet>>) {
        self.desk.rules.follow(set);
    }

    /// The rules, for what they matched.
    pub const fn rules(&mut self) -> &mut Detector {
        &mut self.desk.rules
    }

    /// Tries the rules of packets on one. `slot` is its flow's; [`NO_INSPECTION`](crate::flow::NO_INSPECTION) where it has none.
    ///
    /// Returns where it lies what they remember of a flow without a slot: the caller keeps it with [`Self::remember`] or lets it go.
    pub fn try_packet(
        &mut self,
        slot: u32,
        flow: Option<&FlowView>,
        view: &View<'_>,
        facts: &PacketFacts<'_>,
    ) -> Option<FlowPlace> {
        let Self { desk, known, active, .. } = self;
        let mut nowhere = FlowPlace::default();
        let spoken = known.get(slot as usize).and_then(|known| original(&known.notes));
        let moment = flow.map(|flow| moment_of(flow, Wall(facts.at_ns), spoken));
        let (place, facts) = match known.get_mut(slot as usize) {
            Some(known) => {
                let is_read = (known.active as usize) < active.len();
                let is_in_stream = facts.is_in_stream && is_read;
                // The packet that ended what is in clear is looked at itself.
                let is_sealed =
                    std::mem::replace(&mut known.is_sealed, !is_read && is_encrypted(&known.notes));
                let application = eve_name(&known.notes);
                known.hear(view);
                let is_settled = desk.is_inline || known.told_by.is_none();
                (&mut known.rules, PacketFacts { application, is_settled, is_in_stream, is_sealed, ..*facts })
            }
            None => (&mut nowhere, PacketFacts { is_in_stream: false, ..*facts }),
        };
        desk.rules.packet(place, view, moment.as_ref(), &facts);
        (nowhere != FlowPlace::default()).then_some(nowhere)
    }

    /// What rules remember of a flow that began without a slot.
    pub fn remember(&mut self, slot: u32, place: FlowPlace) {
        if let Some(known) = self.known.get_mut(slot as usize) {
            known.rules = place;
        }
    }

    /// Whether there are rules.
    #[must_use]
    #[inline]
    pub const fn has_rules(&self) -> bool {
        self.desk.rules.is_on()
    }

    /// Whether a rule asks how long flows have been there.
    #[must_use]
    pub fn rules_want_age(&self) -> bool {
        self.desk.rules.wants_age()
    }

    /// Whether a rule asks what decoding of packets met.
    #[must_use]
    pub fn rules_want_decoding(&self) -> bool {
        self.desk.rules.wants_decoding()
    }

    /// Which bytes an alert brings.
    #[must_use]
    pub fn rules_keep(&self) -> Kept {
        self.desk.rules.keeps()
    }

    /// A match of a flow was told.
    pub fn note_alert(&mut self, slot: u32) {
        if let Some(known) = self.known.get(slot as usize) {
            self.desk.rules.note_alert(known.rules);
        }
    }

    /// What rules remember of a flow, for an alert.
    #[must_use]
    pub fn recall(&self, slot: u32, hit: &Hit) -> Option<Box<Recalled>> {
        let place = self.known.get(slot as usize).map_or_else(FlowPlace::default, |known| known.rules);
        self.desk.rules.recall(place, hit)
    }

    /// What is known of the transaction that matched: the type of its record, and its fields.
    #[must_use]
    pub fn record_of(&self, slot: u32, hit: &Hit) -> Option<(&'static str, Box<[u8]>)> {
        let transaction = hit.transaction?;
        if let Some((event_type, fields)) = self.desk.rules.record_of_hit(hit) {
            return Some((event_type, fields.into()));
        }
        let active = self.active.get(self.known.get(slot as usize)?.active as usize)?;
        let mut fields = Fields::new();
        let event_type = active.parser.as_ref()?.describe(transaction, &mut fields)?;
        Some((event_type, fields.as_bytes().into()))
    }

    /// The file that the transaction carried which matched.
    #[must_use]
    pub fn file_of(&self, hit: &Hit) -> Option<&FileSoFar> {
        self.desk.rules.file_of_hit(hit)
    }

    /// Whether rules want bytes of the packet replaced.
    #[must_use]
    #[inline]
    pub const fn has_replacements(&self) -> bool {
        self.desk.rules.has_replacements()
    }

    /// The frame that matched.
    #[must_use]
    pub fn frame_of(&self, hit: &Hit) -> Option<&FrameSeen> {
        self.desk.rules.frame_of_hit(hit)
    }

    /// The end of what a direction brought in order, as far as rules look at it.
    #[must_use]
    pub fn stream_of(&self, slot: u32, way: Direction) -> &[u8] {
        self.known.get(slot as usize).map_or(&[], |known| self.desk.rules.stream_of(known.rules, way))
    }

    /// Whether a rule asks what TCP met.
    #[must_use]
    pub fn rules_want_tracking(&self) -> bool {
        self.desk.rules.wants_tracking()
    }

    /// Whether rules look into TCP that is seen from its middle.
    #[must_use]
    pub fn rules_look_into_midstream(&self) -> bool {
        self.desk.rules.is_on_for(true)
    }

    /// No other rule is asked about a flow.
    pub fn pass_rules(&mut self, slot: u32) {
        if let Some(known) = self.known.get_mut(slot as usize) {
            self.desk.rules.pass(&mut known.rules);
        }
    }

    /// A rule dropped a flow, which nobody acts on.
    pub fn let_rules_end(&mut self, slot: u32) {
        if let Some(known) = self.known.get_mut(slot as usize) {
            self.desk.rules.let_end(&mut known.rules);
        }
    }

    /// A rule ended a flow.
    pub fn end_by_rule(&mut self, slot: u32, verdict: Verdict) {
        if let Some(known) = self.known.get_mut(slot as usize) {
            self.desk.rules.end(&mut known.rules, verdict);
        }
    }

    /// What rules made of a flow, where one ended it.
    #[must_use]
    pub fn ruled(&self, slot: u32) -> Option<Verdict> {
        self.desk.rules.ruled(self.known.get(slot as usize)?.rules)
    }
}

impl Known {
    /// A packet came: what it acknowledges was told.
    fn hear(&mut self, view: &View<'_>) {
        let is_ack = match view.headers.transport {
            Transport::Tcp(tcp) => tcp.flags.ack() && !tcp.flags.syn(),
            _ => true,
        };
        if is_ack && self.told_by.is_some_and(|way| view.way == Some(way.opposite())) {
            self.told_by = None;
        }
    }
}

/// What rules are asked about.
pub(super) const fn moment_of(flow: &FlowView, at: Wall, original: Option<&'static str>) -> Moment {
    Moment {
        initiator: flow.initiator,
        responder: flow.responder,
        protocol: flow.protocol,
        is_established: flow.is_established,
        original,
        at_ns: at.0,
        counts: flow.counts,
    }
}

/// Whether what a flow carries behind what its parser read matches nothing.
pub(super) fn is_encrypted(notes: &Notes) -> bool {
    matches!(eve_name(notes), Some("tls" | "ssh"))
}

/// What rules call the protocol that a flow spoke before an upgrade.
pub(super) fn original(notes: &Notes) -> Option<&'static str> {
    notes.original().map(Protocol::eve_name)
}

/// What rules call the protocol of a flow.
pub(super) fn eve_name(notes: &Notes) -> Option<&'static str> {
    notes.protocol().map(Protocol::eve_name)
}
