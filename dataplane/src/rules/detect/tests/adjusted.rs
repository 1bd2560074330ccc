//! Alerts under what an operator says of them beside the rules.

use super::*;
use crate::rules::load::Loader;
use crate::rules::rule::Action;

/// A flow from 10.0.0.1 to 192.0.2.9 under rules, numbered from 1, and `threshold.config`.
fn under(rules: &[&str], said: &str) -> Flow {
    let mut loader = Loader::new(Variables::usual());
    let rules: String = rules
        .iter()
        .zip(1..)
        .map(|(action, sid)| {
            format!("{action} tcp any any -> any any (content:\"x\"; dsize:1; sid:{sid};)\n")
        })
        .collect();
    loader.add("a.rules", rules.as_bytes());
    loader.add_thresholds("threshold.config", said.as_bytes());
    let loaded = loader.finish();
    let wrong: Vec<_> = loaded.files.iter().flat_map(|file| file.faults.iter().chain(&file.idle)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    Flow::of(loaded.signatures)
}

impl Flow {
    /// What a segment does at a second: sid, action, whether it is told.
    fn hits(&mut self, at_s: u64) -> Vec<(u32, Action, bool)> {
        self.moment.at_ns = at_s * SECOND_NS;
        self.pass(b"x", false);
        let mut hits = Vec::new();
        self.detector.take_hits(1, &mut hits);
        let of = |hit: &Hit| (self.detector.signature(hit).unwrap().rule.sid, hit.action, hit.is_told);
        hits.iter().map(of).collect()
    }
}

#[test]
fn what_is_suppressed_is_not_told_and_drops_all_the_same() {
    let frame = tcp(1_024, 80, 0x18, b"x");
    let (src, dst) = parse_ethernet(&frame).unwrap().addrs().unwrap();
    let said = format!(
        "suppress gen_id 1, sig_id 1, track by_src, ip {src}\n\
         suppress gen_id 1, sig_id 2, track by_src, ip {dst}\n\
         suppress gen_id 1, sig_id 3\n\
         suppress gen_id 1, sig_id 4, track by_either, ip 203.0.113.1,{dst}\n"
    );
    let mut flow = under(&["alert", "alert", "drop", "drop"], &said);
    let hits = flow.hits(1);
    assert_eq!(hits, [(3, Action::Drop, false), (4, Action::Drop, false), (2, Action::Alert, true)]);
}

#[test]
fn what_is_suppressed_is_not_counted() {
    let said = "suppress gen_id 1, sig_id 1, track by_src, ip any\n\
        rate_filter gen_id 1, sig_id 1, track by_rule, count 1, seconds 60, new_action drop, timeout 60\n";
    let mut flow = under(&["alert"], said);
    let all: Vec<_> = (1..5).flat_map(|at_s| flow.hits(at_s)).collect();
    assert_eq!(all, []);
}

#[test]
fn after_many_matches_another_action_holds_for_its_time() {
    let said = "rate_filter gen_id 1, sig_id 1, track by_src, count 2, seconds 10, new_action drop, timeout 5\n\
        rate_filter gen_id 1, sig_id 2, track by_both, count 2, seconds 10, new_action sdrop, timeout 5\n\
        rate_filter gen_id 1, sig_id 3, track by_rule, count 2, seconds 10, new_action pass, timeout 5\n";
    for (sid, action, is_told) in
        [(1, Action::Drop, true), (2, Action::Drop, false), (3, Action::Pass, false)]
    {
        let mut flow = under(&["alert"; 3], said);
        let mut at = |at_s| flow.hits(at_s).into_iter().find(|hit| hit.0 == sid).unwrap();
        let (own, other) = ((sid, Action::Alert, true), (sid, action, is_told));
        assert_eq!([1, 2, 3, 8, 9].map(&mut at), [own, own, other, other, own]);
    }
}

#[test]
fn a_rate_may_take_the_teeth_of_a_rule() {
    let said =
        "rate_filter gen_id 1, sig_id 0, track by_dst, count 1, seconds 10, new_action alert, timeout 5\n";
    let mut flow = under(&["drop"], said);
    assert_eq!(flow.hits(1), [(1, Action::Drop, true)]);
    assert_eq!(flow.hits(2), [(1, Action::Alert, true)]);
}

#[test]
fn a_threshold_of_all_rules_counts_each_for_itself() {
    let said = "event_filter gen_id 0, sig_id 0, type limit, track by_src, count 1, seconds 10\n\
        threshold gen_id 1, sig_id 2, type threshold, track by_dst, count 2, seconds 10\n";
    let mut flow = under(&["alert", "alert", "drop"], said);
    let told: Vec<Vec<_>> =
        (1..4).map(|at_s| flow.hits(at_s).iter().filter(|hit| hit.2).map(|hit| hit.0).collect()).collect();
    assert_eq!(told, [vec![3, 1], vec![2], vec![]]);
    assert_eq!(flow.hits(4), [(3, Action::Drop, false), (2, Action::Alert, true)]);
}
