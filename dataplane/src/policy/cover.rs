//! Does one policy match whatever another one matches? Shown field by field from what is written, never by trying flows.
//!
//! Both answers err on the quiet side: [`covers`] is `false` and [`may_overlap`] `true` where the texts alone do not show it. Facts
//! that are absent or pending change nothing: a condition that holds because a narrower one does holds then, too.

use super::condition::Field;
use super::model::{AddrSet, AttributeMatch, Conditions, Fields, Located};
use super::schedule::Schedule;
use crate::words::wildcard;

/// Every field, those first that differ most between policies.
pub(super) const FIELDS: [Field; 20] = [
    Field::DstIp,
    Field::SrcIp,
    Field::Application,
    Field::UserId,
    Field::DstPort,
    Field::UserRole,
    Field::Groups,
    Field::Category,
    Field::Protocol,
    Field::SrcMac,
    Field::Country,
    Field::Zone,
    Field::InPort,
    Field::Vlan,
    Field::SrcPort,
    Field::MinConfidence,
    Field::Attributes,
    Field::DstUserId,
    Field::DstUserRole,
    Field::Schedule,
];

/// Why one policy does not cover another, as far as that can be mended by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// It does.
    None,
    /// It would, but for the values of this field.
    Values(Field),
    /// It does not.
    Wide,
}

/// Whether every flow that meets `narrow` meets `wide`.
pub(super) fn covers(wide: &Conditions, narrow: &Conditions) -> bool {
    gap(wide, narrow) == Gap::None
}

/// What keeps `wide` from covering `narrow`.
pub(super) fn gap(wide: &Conditions, narrow: &Conditions) -> Gap {
    let mut gap = Gap::None;
    for field in FIELDS.into_iter().filter(|field| is_written(*field, &wide.all)) {
        if !is_written(field, &narrow.all) {
            return Gap::Wide;
        }
        if !holds_more(field, &wide.all, &narrow.all) {
            if gap != Gap::None || !may_share(field, &wide.all, &narrow.all) {
                return Gap::Wide;
            }
            gap = Gap::Values(field);
        }
    }
    let Some(excluded) = &wide.not else { return gap };
    let is_excluded_too = |field: Field| {
        narrow.not.as_ref().is_some_and(|not| is_written(field, not) && excludes_more(field, not, excluded))
            || (is_written(field, &narrow.all) && !may_share(field, &narrow.all, excluded))
    };
    match FIELDS.into_iter().filter(|field| is_written(*field, excluded)).all(is_excluded_too) {
        true => gap,
        false => Gap::Wide,
    }
}

/// Whether some flow may meet both.
pub(super) fn may_overlap(a: &Conditions, b: &Conditions) -> bool {
    let is_shared = |field: Field| {
        !is_written(field, &a.all) || !is_written(field, &b.all) || may_share(field, &a.all, &b.all)
    };
    FIELDS.into_iter().all(is_shared)
}

/// A field of which `not` excludes all that the conditions ask for.
pub(super) fn contradicts_itself(conditions: &Conditions) -> Option<Field> {
    let (all, not) = (&conditions.all, conditions.not.as_ref()?);
    FIELDS.into_iter().find(|field| match field {
        Field::Attributes => all.attributes.iter().any(|(name, wanted)| {
            not.attributes.iter().any(|(other, excluded)| name == other && takes_more(excluded, wanted))
        }),
        _ => is_written(*field, all) && is_written(*field, not) && holds_more(*field, not, all),
    })
}

/// Adds the values that `more` has of a field; `false` where values of that field do not add up.
pub(super) fn join(field: Field, into: &mut Fields, more: &Fields) -> bool {
    let addrs = |into: &mut AddrSet, more: &AddrSet| {
        into.v4.extend_from_slice(&more.v4);
        into.v6.extend_from_slice(&more.v6);
        into.v4.sort_unstable();
        into.v6.sort_unstable();
    };
    let spans = |into: &mut Vec<(u16, u16)>, more: &[(u16, u16)]| {
        into.extend_from_slice(more);
        into.sort_unstable();
    };
    match field {
        Field::SrcIp => addrs(&mut into.src_ip, &more.src_ip),
        Field::DstIp => addrs(&mut into.dst_ip, &more.dst_ip),
        Field::SrcPort => spans(&mut into.src_port, &more.src_port),
        Field::DstPort => spans(&mut into.dst_port, &more.dst_port),
        Field::Vlan => spans(&mut into.vlan, &more.vlan),
        Field::Zone => into.zone.extend_from_slice(&more.zone),
        Field::InPort => into.in_port.extend_from_slice(&more.in_port),
        Field::SrcMac => into.src_mac.extend_from_slice(&more.src_mac),
        Field::Protocol => {
            into.protocol_l4.extend_from_slice(&more.protocol_l4);
            into.protocol_l7.extend_from_slice(&more.protocol_l7);
        }
        Field::Schedule => into.schedule.extend_from_slice(&more.schedule),
        Field::MinConfidence | Field::Attributes => return false,
        _ => {
            let (words, more) = (names_mut(field, into), names(field, more));
            words.extend_from_slice(more);
        }
    }
    true
}

/// Whether a field was written.
pub(super) fn is_written(field: Field, fields: &Fields) -> bool {
    !match field {
        Field::Zone => fields.zone.is_empty(),
        Field::InPort => fields.in_port.is_empty(),
        Field::Vlan => fields.vlan.is_empty(),
        Field::SrcMac => fields.src_mac.is_empty(),
        Field::SrcIp => fields.src_ip.is_empty(),
        Field::DstIp => fields.dst_ip.is_empty(),
        Field::SrcPort => fields.src_port.is_empty(),
        Field::DstPort => fields.dst_port.is_empty(),
        Field::Protocol => fields.protocol_l4.is_empty() && fields.protocol_l7.is_empty(),
        Field::MinConfidence => fields.min_confidence.is_none(),
        Field::Attributes => fields.attributes.is_empty(),
        Field::Schedule => fields.schedule.is_empty(),
        _ => names(field, fields).is_empty(),
    }
}

/// Whether a value that meets `narrow`'s field meets `wide`'s.
fn holds_more(field: Field, wide: &Fields, narrow: &Fields) -> bool {
    match field {
        Field::Zone => narrow.zone.iter().all(|word| has_word(&wide.zone, word)),
        Field::InPort => narrow.in_port.iter().all(|word| has_word(&wide.in_port, word)),
        Field::Vlan => is_within(&narrow.vlan, &wide.vlan),
        Field::SrcMac => narrow.src_mac.iter().all(|mac| wide.src_mac.contains(mac)),
        Field::SrcIp => addrs_within(&narrow.src_ip, &wide.src_ip),
        Field::DstIp => addrs_within(&narrow.dst_ip, &wide.dst_ip),
        Field::SrcPort => is_within(&narrow.src_port, &wide.src_port),
        Field::DstPort => is_within(&narrow.dst_port, &wide.dst_port),
        Field::Protocol => {
            narrow.protocol_l4.iter().all(|number| wide.protocol_l4.contains(number))
                && narrow.protocol_l7.iter().all(|name| is_named(&wide.protocol_l7, name, true))
        }
        Field::MinConfidence => wide.min_confidence <= narrow.min_confidence,
        Field::Attributes => wide.attributes.iter().all(|(name, wanted)| {
            narrow.attributes.iter().any(|(other, narrower)| name == other && takes_more(wanted, narrower))
        }),
        Field::Schedule => narrow
            .schedule
            .iter()
            .all(|narrow| wide.schedule.iter().any(|wide| is_schedule_within(narrow, wide))),
        _ => {
            let wide = names(field, wide);
            names(field, narrow).iter().all(|name| is_named(wide, name, ignores_case(field)))
        }
    }
}

/// Whether what `excluded` excludes by a field `not` excludes, too.
fn excludes_more(field: Field, not: &Fields, excluded: &Fields) -> bool {
    match field {
        // Each attribute is excluded for itself.
        Field::Attributes => excluded.attributes.iter().all(|(name, values)| {
            not.attributes.iter().any(|(other, more)| name == other && takes_more(more, values))
        }),
        _ => holds_more(field, not, excluded),
    }
}

/// Whether one flow may meet the same field of both.
fn may_share(field: Field, a: &Fields, b: &Fields) -> bool {
    match field {
        Field::Zone => a.zone.iter().any(|word| has_word(&b.zone, word)),
        // By name or by number.
        Field::InPort => true,
        Field::Vlan => meet(&a.vlan, &b.vlan),
        Field::SrcMac => a.src_mac.iter().any(|mac| b.src_mac.contains(mac)),
        Field::SrcIp => addrs_meet(&a.src_ip, &b.src_ip),
        Field::DstIp => addrs_meet(&a.dst_ip, &b.dst_ip),
        Field::SrcPort => meet(&a.src_port, &b.src_port),
        Field::DstPort => meet(&a.dst_port, &b.dst_port),
        Field::Protocol => {
            !a.protocol_l7.is_empty()
                || !b.protocol_l7.is_empty()
                || a.protocol_l4.iter().any(|number| b.protocol_l4.contains(number))
        }
        // Of these a flow has several values, or any.
        Field::Groups | Field::Attributes | Field::MinConfidence | Field::Schedule => true,
        _ => {
            let (a, b, ignores_case) = (names(field, a), names(field, b), ignores_case(field));
            let both = |name: &String, other: &String| name.contains('*') && other.contains('*');
            is_any_named(a, b, ignores_case)
                || is_any_named(b, a, ignores_case)
                || a.iter().any(|name| b.iter().any(|other| both(name, other)))
        }
    }
}

fn names(field: Field, fields: &Fields) -> &[String] {
    match field {
        Field::Application => &fields.application,
        Field::Category => &fields.category,
        Field::UserId => &fields.user_id,
        Field::UserRole => &fields.user_role,
        Field::Groups => &fields.groups,
        Field::DstUserId => &fields.dst_user_id,
        Field::DstUserRole => &fields.dst_user_role,
        Field::Country => &fields.country,
        _ => &[],
    }
}

fn names_mut(field: Field, fields: &mut Fields) -> &mut Vec<String> {
    match field {
        Field::Application => &mut fields.application,
        Field::Category => &mut fields.category,
        Field::UserId => &mut fields.user_id,
        Field::UserRole => &mut fields.user_role,
        Field::Groups => &mut fields.groups,
        Field::DstUserId => &mut fields.dst_user_id,
        Field::DstUserRole => &mut fields.dst_user_role,
        _ => &mut fields.country,
    }
}

const fn ignores_case(field: Field) -> bool {
    matches!(field, Field::Application | Field::Category | Field::Country)
}

fn is_any_named(patterns: &[String], words: &[String], ignores_case: bool) -> bool {
    words.iter().any(|word| is_named(patterns, word, ignores_case))
}

/// Whether all that `word` names, which may be a pattern itself, is named by one of the patterns: a `*` of the word is met by a `*`.
fn is_named(patterns: &[String], word: &str, ignores_case: bool) -> bool {
    patterns.iter().any(|pattern| match ignores_case {
        true if !pattern.contains('*') => pattern.eq_ignore_ascii_case(word),
        true => wildcard(&pattern.to_lowercase(), &word.to_lowercase()),
        false if !pattern.contains('*') => pattern == word,
        false => wildcard(pattern, word),
    })
}

fn takes_more(wide: &AttributeMatch, narrow: &AttributeMatch) -> bool {
    match (wide, narrow) {
        (AttributeMatch::Present, _) => true,
        (AttributeMatch::OneOf(_), AttributeMatch::Present) => false,
        (AttributeMatch::OneOf(wide), AttributeMatch::OneOf(narrow)) => {
            narrow.iter().all(|word| is_named(wide, word, false))
        }
    }
}

fn has_word(words: &[Located], word: &Located) -> bool {
    words.iter().any(|other| other.word == word.word)
}

fn addrs_within(narrow: &AddrSet, wide: &AddrSet) -> bool {
    is_within(&narrow.v4, &wide.v4) && is_within(&narrow.v6, &wide.v6)
}

fn addrs_meet(a: &AddrSet, b: &AddrSet) -> bool {
    meet(&a.v4, &b.v4) || meet(&a.v6, &b.v6)
}

/// A number that has a next one.
trait Next: Copy + Ord {
    fn next(self) -> Option<Self>;
}

impl Next for u16 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Next for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Next for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Whether sorted ranges lie within sorted ranges, which may touch or overlap each other.
fn is_within<T: Next>(narrow: &[(T, T)], wide: &[(T, T)]) -> bool {
    let mut wide = wide.iter().copied().peekable();
    narrow.iter().all(|(low, high)| {
        let mut open = *low;
        while let Some((from, to)) = wide.peek().copied() {
            if to < open {
                wide.next();
            } else if from > open {
                return false;
            } else if to >= *high {
                return true;
            } else {
                let Some(next) = to.next() else { return true };
                open = next;
                wide.next();
            }
        }
        false
    })
}

/// Whether sorted ranges have a number in common.
fn meet<T: Ord + Copy>(a: &[(T, T)], b: &[(T, T)]) -> bool {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some((a_low, a_high)), Some((b_low, b_high))) = (a.peek(), b.peek()) {
        if a_high < b_low {
            a.next();
        } else if b_high < a_low {
            b.next();
        } else {
            return true;
        }
    }
    false
}

fn is_schedule_within(narrow: &Schedule, wide: &Schedule) -> bool {
    // A window that ends on the next day is only compared whole.
    let is_within = |(start, end): (u16, u16)| {
        wide.windows.iter().any(|other| {
            *other == (start, end) || (start < end && other.0 < other.1 && other.0 <= start && end <= other.1)
        })
    };
    narrow.time_zone == wide.time_zone
        && narrow.days & !wide.days == 0
        && narrow.windows.iter().all(|window| is_within(*window))
}
