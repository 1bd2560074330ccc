//! Which packets are recorded because a rule that matched before asks for it (`tag`)?
//!
//! A match leaves a mark on its flow or on a host. Packets that come after it are told whole, until what the mark allows is used.
//! How marks count is Suricata's (`detect-engine-tag.c`): the packet that made the mark counts as its first one and is not
//! told, since the alert is; a rule that matches again begins its count anew, at most ten times.
//!
//! Where nothing is marked a packet costs one comparison, and one look-up of its flow and its two hosts where something is. Marks
//! of hosts are those of one worker: of a host's flows, those that the worker owns.

use std::collections::HashMap;

use super::rule::{Tag, TagUnit};
use crate::flow::FlowKey;
use crate::parse::Addr;
use crate::time::{Tick, Wall};

/// Flows and hosts that are marked at once, of one worker; some 200 bytes each with a mark or two.
const PLACES_MAX: usize = 4_096;

/// Marks of one flow or host; Suricata's `DETECT_TAG_MAX_TAGS` is 50, which no rules in use come near to.
const MARKS_MAX: usize = 16;

/// So many matches of a rule begin the count of a mark anew: Suricata's `DETECT_TAG_MATCH_LIMIT`.
const MATCHES_MAX: u8 = 10;

/// A mark whose flow or host was not seen for so long is forgotten: Suricata's `TAG_MAX_LAST_TIME_SEEN`.
const UNSEEN_NS: u64 = 600 * Tick::SECOND;

/// How often marks are looked through for such.
const SWEEP_EVERY_NS: u64 = 60 * Tick::SECOND;

/// What bears marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A flow, by its key.
    Flow(FlowKey),
    /// Whatever a host sends and gets.
    Host(Addr),
}

/// Marks of one place.
#[derive(Debug)]
struct Marked {
    /// Which flow of that key; 0 for a host.
    flow_id: u64,
    seen: Wall,
    marks: Vec<Mark>,
}

/// What a rule allows.
#[derive(Debug)]
struct Mark {
    /// Generator and sid.
    rule: (u32, u32),
    unit: TagUnit,
    allowed: u64,
    /// Packets or bytes.
    used: u64,
    since: Wall,
    matches: u8,
    /// The packet that made it is still to be counted.
    is_new: bool,
}

impl Mark {
    /// Counts a packet; whether it is to be recorded, or `None` where the mark is used up.
    fn count(&mut self, len_bytes: u64, at: Wall) -> Option<bool> {
        self.used += match self.unit {
            TagUnit::Packets => 1,
            TagUnit::Bytes => len_bytes,
            TagUnit::Seconds => 0,
        };
        if std::mem::take(&mut self.is_new) {
            return Some(false);
        }
        let used = match self.unit {
            TagUnit::Packets | TagUnit::Bytes => self.used,
            // Full seconds of the clock, as Suricata counts them.
            TagUnit::Seconds => (at.0 / Tick::SECOND).saturating_sub(self.since.0 / Tick::SECOND),
        };
        (used <= self.allowed).then_some(true)
    }
}

/// All marks of one worker.
#[derive(Debug, Default)]
pub struct Tags {
    places: HashMap<Place, Marked, foldhash::quality::RandomState>,
    swept: Wall,
}

impl Tags {
    /// Whether nothing is marked.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A rule matched: marks `place`, of which `flow_id` says which flow of its key it is. Where there is no room nothing is marked.
    #[cold]
    pub fn mark(&mut self, place: Place, flow_id: u64, rule: (u32, u32), tag: Tag, at: Wall) {
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&place) {
            self.forget_unseen(at);
            if self.places.len() >= PLACES_MAX {
                return;
            }
        }
        let marked =
            self.places.entry(place).or_insert_with(|| Marked { flow_id, seen: at, marks: Vec::new() });
        if marked.flow_id != flow_id {
            marked.marks.clear();
            marked.flow_id = flow_id;
        }
        marked.seen = at;
        if let Some(mark) = marked.marks.iter_mut().find(|mark| mark.rule == rule) {
            mark.matches = mark.matches.saturating_add(1);
            if mark.matches < MATCHES_MAX {
                (mark.used, mark.since) = (0, at);
            }
        } else if marked.marks.len() < MARKS_MAX {
            let Tag { count, unit, .. } = tag;
            let allowed = u64::from(count);
            marked.marks.push(Mark { rule, unit, allowed, used: 0, since: at, matches: 0, is_new: true });
        }
    }

    /// Counts a packet of `place`; whether it is to be recorded.
    #[cold]
    pub fn records(&mut self, place: Place, flow_id: u64, len_bytes: u64, at: Wall) -> bool {
        let Some(marked) = self.places.get_mut(&place) else { return false };
        let mut is_recorded = false;
        if marked.flow_id == flow_id {
            marked.seen = at;
            marked.marks.retain_mut(|mark| {
                let counted = mark.count(len_bytes, at);
                is_recorded |= counted == Some(true);
                counted.is_some()
            });
        } else {
            // Its flow is over, and another one has the key.
            marked.marks.clear();
        }
        if marked.marks.is_empty() {
            self.places.remove(&place);
        }
        is_recorded
    }

    /// Forgets what was not seen for long; call it once a turn.
    #[inline]
    pub fn sweep(&mut self, now: Wall) {
        if !self.is_empty() && now.0.saturating_sub(self.swept.0) >= SWEEP_EVERY_NS {
            self.forget_unseen(now);
        }
    }

    #[cold]
    fn forget_unseen(&mut self, now: Wall) {
        self.swept = now;
        self.places.retain(|_, marked| now.0.saturating_sub(marked.seen.0) < UNSEEN_NS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Place = Place::Host(Addr([1; 16]));
    const RULE: (u32, u32) = (1, 7);

    fn seconds(seconds: u64) -> Wall {
        Wall(seconds * Tick::SECOND)
    }

    /// A mark at second 0, and for each packet after it (second, bytes) whether it is recorded.
    fn recorded(count: u32, unit: TagUnit, packets: &[(u64, u64)]) -> Vec<bool> {
        let mut tags = Tags::default();
        tags.mark(HOST, 0, RULE, Tag { host: None, count, unit }, seconds(0));
        assert!(!tags.records(HOST, 0, 100, seconds(0)), "the packet that matched is in the alert");
        packets.iter().map(|(at, len_bytes)| tags.records(HOST, 0, *len_bytes, seconds(*at))).collect()
    }

    #[test]
    fn the_packet_that_matched_counts_as_the_first_one() {
        assert_eq!(recorded(3, TagUnit::Packets, &[(0, 1); 4]), [true, true, false, false]);
        assert_eq!(recorded(1, TagUnit::Packets, &[(0, 1); 2]), [false, false]);
        assert_eq!(recorded(300, TagUnit::Bytes, &[(0, 100); 4]), [true, true, false, false]);
        assert_eq!(recorded(2, TagUnit::Seconds, &[(1, 9), (2, 9), (3, 9)]), [true, true, false]);
    }

    #[test]
    fn a_rule_that_matches_again_begins_anew_ten_times_at_most() {
        let mut tags = Tags::default();
        let tag = Tag { host: None, count: 2, unit: TagUnit::Packets };
        let mut told = 0;
        for _ in 0..20 {
            tags.mark(HOST, 0, RULE, tag, seconds(0));
            told += u32::from(tags.records(HOST, 0, 1, seconds(0)));
        }
        // Nine matches begin it anew, the tenth is its second packet and the eleventh ends it; then there is a new mark.
        assert_eq!(told, 10 + 7);
    }

    #[test]
    fn another_flow_of_the_same_ends_is_not_marked() {
        let mut tags = Tags::default();
        let place = Place::Flow(FlowKey::NONE);
        let tag = Tag { host: None, count: 9, unit: TagUnit::Packets };
        tags.mark(place, 1, RULE, tag, seconds(0));
        assert!(!tags.records(place, 1, 1, seconds(0)));
        assert!(tags.records(place, 1, 1, seconds(0)));
        assert!(!tags.records(place, 2, 1, seconds(0)));
        assert!(tags.is_empty());
    }

    #[test]
    fn marks_are_bounded_and_forgotten() {
        let mut tags = Tags::default();
        let tag = Tag { host: None, count: 9, unit: TagUnit::Packets };
        let host = |number: usize| {
            let mut addr = [0; 16];
            addr[..8].copy_from_slice(&(number as u64).to_be_bytes());
            Place::Host(Addr(addr))
        };
        for number in 0..PLACES_MAX + 10 {
            tags.mark(host(number), 0, RULE, tag, seconds(1));
        }
        assert_eq!(tags.places.len(), PLACES_MAX);
        for sid in 0..100 {
            tags.mark(host(0), 0, (1, sid), tag, seconds(1));
        }
        assert_eq!(tags.places[&host(0)].marks.len(), MARKS_MAX);
        tags.sweep(seconds(600));
        assert_eq!(tags.places.len(), PLACES_MAX);
        tags.sweep(seconds(700));
        assert!(tags.is_empty());
    }
}
