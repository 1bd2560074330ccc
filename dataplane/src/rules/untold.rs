//! Which rules are read and can never match, because nobody tells what they ask for? A line each; who tells one takes its line out.

mod events;

use super::rule::{Condition, FrameId, Part, Rule, Test};

/// Buffers that no parser tells, and none of a packet.
const BUFFERS: &[&str] = &["sctp.chunk_data", "sdp.media.session_info"];

/// What a rule asks for and nobody tells: a buffer, a frame as `frame:NAME`, or an event as `decode-event:NAME` and its like.
#[must_use]
pub fn asked_in_vain(rule: &Rule) -> Option<String> {
    let event = rule.conditions.iter().find_map(|condition| {
        let (keyword, name, untold) = match condition {
            Condition::DecodeEvent(name) => ("decode-event", *name, events::DECODE),
            Condition::StreamEvent(name) => ("stream-event", *name, events::STREAM),
            Condition::AppLayerEvent("applayer", name) => ("app-layer-event", &**name, events::APP_LAYER),
            _ => return None,
        };
        untold.contains(&name).then(|| format!("{keyword}:{name}"))
    });
    event.or_else(|| of_parts(rule))
}

fn of_parts(rule: &Rule) -> Option<String> {
    rule.parts.iter().filter(|part| !may_be_absent(part)).find_map(|part| {
        let name = part.seen.buffer.buffer().name;
        match part.seen.frame.map(FrameId::frame) {
            Some(frame) => (!frame.is_told).then(|| format!("frame:{}.{}", frame.of, frame.name)),
            None => BUFFERS.contains(&name).then(|| name.to_owned()),
        }
    })
}

/// Whether a part holds where there is no such buffer.
fn may_be_absent(part: &Part) -> bool {
    part.tests.iter().any(|test| matches!(test, Test::Absent { .. }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::buffers::by_keyword;
    use crate::rules::language::{RuleText, Variables, read};

    fn vain(body: &str) -> Option<String> {
        let text = format!("alert ip any any -> any any ({body} sid:1;)");
        asked_in_vain(&read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap())
    }

    #[test]
    fn every_line_is_a_keyword() {
        for name in BUFFERS {
            assert!(by_keyword(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_rule_that_asks_for_what_nobody_tells_is_told_with_the_keyword() {
        let told = vain("http.uri; content:\"a\"; sctp.chunk_data; content:\"b\";");
        assert_eq!(told.as_deref(), Some("sctp.chunk_data"));
        assert_eq!(vain("frame:nfs.rpc.pdu; content:\"b\";").as_deref(), Some("frame:nfs.rpc.pdu"));
        assert_eq!(vain("sctp.chunk_data; absent;"), None);
        assert_eq!(
            vain("decode-event:gre.wrong_version;").as_deref(),
            Some("decode-event:gre.wrong_version")
        );
        assert_eq!(vain("stream-event:wrong_thread;").as_deref(), Some("stream-event:wrong_thread"));
        assert_eq!(vain("decode-event:ipv4.opt_invalid;"), None);
        for body in ["content:\"a\";", "http.uri; content:\"a\";", "frame:sip.pdu; content:\"a\";"] {
            assert_eq!(vain(body), None, "{body}");
        }
    }
}
