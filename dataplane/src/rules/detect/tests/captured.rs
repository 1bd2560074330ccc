//! What expressions capture, and who sees it.

use super::*;
use crate::rules::rule::Action;

fn recalled(flow: &Flow, rule: u32, transaction: Option<u32>) -> Recalled {
    let hit = Hit {
        rule,
        way: Some(TO_SERVER),
        transaction,
        is_told: true,
        is_of_flow: true,
        is_of_stream: true,
        frame: None,
        action: Action::Alert,
    };
    flow.detector.recall(flow.place, &hit).map_or_else(Recalled::default, |recalled| *recalled)
}

fn texts(all: &[crate::rules::memory::Kept]) -> Vec<(&str, &str)> {
    all.iter().map(|(name, value)| (&**name, std::str::from_utf8(value).unwrap())).collect()
}

#[test]
fn groups_are_kept_of_the_flow_the_packet_and_the_alert() {
    let mut flow = Flow::under(&[
        r#"alert tcp any any -> any any (content:"user "; pcre:"/^(\w+) (?P<pkt_last>\w+) (\w+)/R, flow:first"; pcre:"/(\d+)/,alert:n"; sid:1;)"#,
        r#"alert tcp any any -> any any (content:"user "; pcre:"/user (?P<flow_never>\w+)/"; content:"nowhere"; sid:2;)"#,
    ]);
    assert_eq!(flow.segment(b"user ada king 1843 ", true), [1]);
    let seen = recalled(&flow, 0, None);
    assert_eq!(texts(&seen.of_flow), [("first", "ada")], "what did not match keeps nothing");
    assert_eq!(texts(&seen.of_packet), [("last", "king")]);
    assert_eq!(texts(&seen.of_alert), [("n", "1843")]);
    assert_eq!(flow.segment(b"other", true), [0; 0]);
    let seen = recalled(&flow, 0, None);
    assert_eq!(texts(&seen.of_flow), [("first", "ada")], "the flow remembers");
    assert!(seen.of_packet.is_empty() && seen.of_alert.is_empty(), "{seen:?}");
}

#[test]
fn later_rules_ask_for_what_was_captured() {
    let mut flow = Flow::under(&[
        r#"alert tcp any any -> any any (flowvar:name,"da|6b|"; content:"x"; sid:1;)"#,
        r#"alert tcp any any -> any any (pktvar:name,"ada"; content:"x"; sid:2;)"#,
        r#"alert tcp any any -> any any (pcre:"/x(?P<flow_name>\w+)(?P<pkt_name>ada)/"; sid:3;)"#,
    ]);
    assert_eq!(flow.segment(b"xadakada", false), [3, 1, 2], "who captures is asked first");
    assert_eq!(flow.segment(b" x ", false), [1], "the packet is another one");
}

#[test]
fn what_a_rule_captured_at_an_earlier_stage_is_told_when_all_of_it_holds() {
    let mut flow = Flow::under(&[
        r#"alert http any any -> any any (http.uri; pcre:"/^.(?P<alert_path>\w+)/"; http.stat_code; content:"404"; sid:1;)"#,
    ]);
    let mut tell = flow.tell();
    tell.show(URI, b"/wanted");
    tell.stage("http", 0, TO_SERVER, true);
    tell.show(STATUS, b"404");
    tell.stage("http", 0, TO_CLIENT, true);
    assert_eq!(flow.told(), [1]);
    assert_eq!(texts(&recalled(&flow, 0, Some(0)).of_alert), [("path", "wanted")]);
}
