//! What an operator says of alerts beside the rules: `threshold.config`, made part of the rules that it means.
//!
//! As with Suricata a line that names one rule takes the place of what the rule itself says; a line for many leaves rules alone
//! that have a threshold of their own, and so does a `rate_filter`. What `classification.config` says is made part of them, too.

use std::collections::HashMap;
use std::sync::Arc;

use super::classes::Classes;
use super::language::thresholds::{Line, Of, RateFilter};
use super::language::{Addresses, Fault, Kind};
use super::rule::Ends;
use super::signature::Signature;
use crate::parse::Addr;

/// What is added to a rule.
#[derive(Debug, Default)]
pub(super) struct Adjusted {
    /// What its class is called (EVE's `category`); `None`: it has none.
    pub category: Option<Arc<str>>,
    /// Whose alerts are not told; what the rule does is done all the same.
    pub suppressed: Vec<(Ends, Arc<Addresses>)>,
    /// What becomes of matches after many.
    pub rate: Option<RateFilter>,
}

impl Adjusted {
    /// Whether a match between these two is not told.
    pub(super) fn is_suppressed(&self, src: Addr, dst: Addr) -> bool {
        self.suppressed.iter().any(|(ends, addresses)| match ends {
            Ends::Source => has(addresses, src),
            Ends::Destination => has(addresses, dst),
            Ends::Any => has(addresses, src) || has(addresses, dst),
            Ends::Both => has(addresses, src) && has(addresses, dst),
        })
    }
}

fn has(addresses: &Addresses, addr: Addr) -> bool {
    match addr.as_v4() {
        Some(octets) => addresses.v4.contains(u32::from_be_bytes(octets)),
        None => addresses.v6.contains(addr.bits()),
    }
}

/// Gives a rule the description and the priority of its class; `false`: nobody knows the class.
pub(super) fn classify(signature: &mut Signature, classes: &Classes) -> bool {
    let Some(name) = &signature.rule.class else { return true };
    let known = classes.get(name);
    let class = known.unwrap_or(classes.unknown());
    signature.adjusted.category = Some(Arc::clone(&class.description));
    // What the rule says itself goes before.
    signature.rule.priority.get_or_insert(class.priority);
    known.is_some()
}

/// Makes lines part of the rules that they mean, in their order; gives what has no effect.
pub(super) fn apply(
    lines: &[(u32, Line)],
    signatures: &mut [Signature],
    places: &HashMap<(u32, u32), usize>,
) -> Vec<Fault> {
    let mut idle = Vec::new();
    for (number, line) in lines {
        let (of, suppressed) = match line {
            Line::Suppress(of, whose) => {
                (of, whose.as_ref().map(|(ends, addresses)| (*ends, Arc::new(addresses.clone()))))
            }
            Line::Threshold(of, _) | Line::Rate(of, _) => (of, None),
        };
        let mut note = |detail: String| {
            let sid = Some(of.sid).filter(|sid| *sid > 0);
            idle.push(Fault { line: *number, column: 1, sid, keyword: None, kind: Kind::Idle, detail });
        };
        let is_one = of.generator > 0 && of.sid > 0;
        let meant = |one: &Signature| of.means(one.rule.generator, one.rule.sid);
        if is_one {
            let found = places.get(&(of.generator, of.sid)).and_then(|place| signatures.get_mut(*place));
            match found.map(|signature| adjust(signature, line, suppressed.as_ref(), true)) {
                Some(true) => {}
                Some(false) => note(
                    "the rule has a threshold, a detection_filter or a rate_filter already, which stands"
                        .to_owned(),
                ),
                None => note(format!("no rule {}:{} is in force", of.generator, of.sid)),
            }
            continue;
        }
        let mut meant = signatures.iter_mut().filter(|one| meant(one)).peekable();
        if meant.peek().is_none() {
            note(format!("no rule is in force that {} means", text(*of)));
        }
        // Those that count by themselves are left alone, which is how it is meant.
        for signature in meant {
            adjust(signature, line, suppressed.as_ref(), false);
        }
    }
    idle
}

fn text(of: Of) -> String {
    format!("gen_id {}, sig_id {}", of.generator, of.sid)
}

/// Makes a line part of one rule; `false`: the rule has something that goes before it.
fn adjust(
    signature: &mut Signature,
    line: &Line,
    suppressed: Option<&(Ends, Arc<Addresses>)>,
    is_one: bool,
) -> bool {
    let counts = signature.rule.threshold.is_some() || signature.rule.detection_filter.is_some();
    match line {
        Line::Suppress(..) => match suppressed {
            Some(suppressed) => signature.adjusted.suppressed.push(suppressed.clone()),
            None => signature.rule.is_silent = true,
        },
        Line::Threshold(_, threshold) => {
            let is_free = !counts && signature.adjusted.rate.is_none();
            if !is_one && !is_free {
                return false;
            }
            signature.rule.detection_filter = None;
            signature.adjusted.rate = None;
            signature.rule.threshold = Some(*threshold);
        }
        Line::Rate(_, rate) => {
            if counts || signature.adjusted.rate.is_some() {
                return false;
            }
            signature.adjusted.rate = Some(*rate);
        }
    }
    true
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    use crate::rules::language::{Variables, thresholds};

    use crate::rules::rule::{DetectionFilter, ThresholdKind, Track};

    fn signatures(rules: &[&str]) -> (Vec<Signature>, HashMap<(u32, u32), usize>) {
        let made = rules.iter().zip(1..).map(|(options, sid)| {
            Signature::of_text(&format!("alert tcp any any -> any any ({options} sid:{sid};)"))
        });
        let made: Vec<_> = made.collect();
        let places = (1..).zip(0..made.len()).map(|(sid, place)| ((1, sid), place)).collect();
        (made, places)
    }

    fn applied(lines: &str, rules: &[&str]) -> (Vec<Signature>, Vec<(u32, Option<u32>)>) {
        let (mut made, places) = signatures(rules);
        let lines = thresholds::read(lines.as_bytes(), &mut Variables::usual()).lines;
        let idle = apply(&lines, &mut made, &places);
        (made, idle.iter().map(|fault| (fault.line, fault.sid)).collect())
    }

    #[test]
    fn rules_have_the_priority_of_their_class_unless_they_say_one() {
        let (mut made, _) = signatures(&[
            "classtype:trojan-activity;",
            "classtype:Trojan-Activity; priority:4;",
            "classtype:nobodys;",
            "",
        ]);
        let known: Vec<_> = made.iter_mut().map(|one| classify(one, &Classes::usual())).collect();
        assert_eq!(known, [true, true, false, true]);
        let of = |one: &Signature| (one.rule.priority, one.category().map(str::to_owned));
        let trojan = Some("A Network Trojan was detected".to_owned());
        let unknown = (Some(3), Some("Unknown Classtype".to_owned()));
        let said: Vec<_> = made.iter().map(of).collect();
        assert_eq!(said, [(Some(1), trojan.clone()), (Some(4), trojan), unknown, (None, None)]);
    }

    const OWN: &str = "threshold:type limit, track by_src, count 1, seconds 5;";

    #[test]
    fn a_line_for_one_rule_goes_before_the_rules_own_and_one_for_all_does_not() {
        let all = "threshold gen_id 0, sig_id 0, type both, track by_src, count 9, seconds 9";
        let (made, idle) = applied(all, &[OWN, ""]);
        let kinds: Vec<_> = made.iter().map(|one| one.rule.threshold.unwrap().kind).collect();
        assert_eq!((kinds, idle), (vec![ThresholdKind::Limit, ThresholdKind::Both], vec![]));
        let (made, idle) =
            applied(&all.replace("sig_id 0", "sig_id 1").replace("gen_id 0", "gen_id 1"), &[OWN, ""]);
        assert_eq!(made[0].rule.threshold.unwrap().kind, ThresholdKind::Both);
        assert!(made[1].rule.threshold.is_none() && idle.is_empty());
        let filter = "detection_filter:track by_src, count 1, seconds 5;";
        let (made, idle) = applied(&all.replace("gen_id 0", "gen_id 1"), &[filter, ""]);
        let own = DetectionFilter { track: Track::BySource, count: 1, seconds: 5, unique_on: None };
        assert_eq!((made[0].rule.detection_filter, made[0].rule.threshold), (Some(own), None));
        assert!(made[1].rule.threshold.is_some() && idle.is_empty());
    }

    #[test]
    fn a_rate_is_for_rules_that_do_not_count_and_what_means_no_rule_is_told() {
        let rate = |sid| {
            format!(
                "rate_filter gen_id 1, sig_id {sid}, track by_rule, count 2, seconds 5, new_action drop, timeout 9\n"
            )
        };
        let lines = rate(1) + &rate(2) + &rate(2) + &rate(7) + "suppress gen_id 9, sig_id 0\n";
        let (made, idle) = applied(&lines, &[OWN, ""]);
        assert!(made[0].adjusted.rate.is_none() && made[1].adjusted.rate.is_some());
        assert_eq!(idle, [(1, Some(1)), (3, Some(2)), (4, Some(7)), (5, None)]);
    }

    #[test]
    fn alerts_of_some_addresses_are_suppressed_or_all_of_a_rule() {
        let lines = "suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0.0/8\n\
            suppress gen_id 1, sig_id 1, track by_dst, ip [192.0.2.1,2001:db8::/32]\nsuppress gen_id 1, sig_id 2\n";
        let (made, _) = applied(lines, &["", ""]);
        assert!(made[1].rule.is_silent && !made[0].rule.is_silent);
        let addr = |text: &str| Addr::from(text.parse::<std::net::IpAddr>().unwrap());
        let is = |src: &str, dst: &str| made[0].adjusted.is_suppressed(addr(src), addr(dst));
        assert!(is("10.1.2.3", "1.1.1.1") && is("1.1.1.1", "192.0.2.1") && is("::1", "2001:db8::1"));
        assert!(!is("1.1.1.1", "10.1.2.3") && !is("192.0.2.1", "1.1.1.1"));
    }
}
