//! Rules against packets, streams and transactions, as parsers and the engine show them.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod adjusted;
mod captured;

use super::*;
use crate::parse::{Addr, parse_ethernet};
use crate::rules::hashes::Hashing;
use crate::rules::language::Variables;
use crate::rules::language::buffers::{FILE_DATA, SAME_IN_HTTP, buffer};
use crate::rules::memory::Names;
use crate::rules::packet::View;
use crate::rules::packet::tests::tcp;
use crate::rules::set::Options;

const URI: BufferId = buffer("http.uri");
const STATUS: BufferId = buffer("http.stat_code");
const TO_SERVER: Direction = Direction::Forward;
const TO_CLIENT: Direction = Direction::Reverse;

/// A flow under rules.
struct Flow {
    detector: Detector,
    place: FlowPlace,
    moment: Moment,
    is_sealed: bool,
}

impl Flow {
    fn under(rules: &[&str]) -> Self {
        Self::of(rules.iter().map(|text| Signature::of_text(text)).collect())
    }

    fn of(signatures: Vec<Signature>) -> Self {
        let set = RuleSet::new(signatures, &mut Names::default(), Options::default()).unwrap();
        let mut detector = Detector::default();
        detector.follow(Some(&Arc::new(set)));
        let moment = Moment {
            initiator: (Addr::v4([10, 0, 0, 1]), 1_024),
            responder: (Addr::v4([192, 0, 2, 9]), 80),
            protocol: 6,
            is_established: true,
            original: None,
            at_ns: 1_000_000_000,
            counts: FlowCounts::default(),
        };
        Self { detector, place: FlowPlace::default(), moment, is_sealed: false }
    }

    /// Other rules, read after those in force.
    fn change(&mut self, rules: &[&str]) {
        let signatures = rules.iter().map(|text| Signature::of_text(text)).collect();
        let set = RuleSet::new(signatures, &mut Names::default(), Options::default()).unwrap();
        let set = set.after(self.detector.set.as_deref().unwrap());
        self.detector.follow(Some(&Arc::new(set)));
    }

    fn tell(&mut self) -> Telling<'_> {
        let Self { detector, place, moment, .. } = self;
        Telling { detector, place, moment: *moment, is_on: true, is_inline: false }
    }

    /// A segment to the server that is next in its stream, or is in none; what it tells.
    fn segment(&mut self, payload: &[u8], is_in_stream: bool) -> Vec<u32> {
        self.pass(payload, is_in_stream);
        self.told()
    }

    fn pass(&mut self, payload: &[u8], is_in_stream: bool) {
        let frame = tcp(1_024, 80, 0x18, payload);
        let headers = parse_ethernet(&frame).unwrap();
        let view = View {
            headers: &headers,
            bytes: &frame,
            way: Some(TO_SERVER),
            is_established: true,
            is_reassembled: false,
        };
        if is_in_stream {
            self.detector.keep_stream(&mut self.place, TO_SERVER, payload);
        }
        let Moment { at_ns, counts, .. } = self.moment;
        let is_sealed = self.is_sealed;
        let facts =
            PacketFacts { is_in_stream, is_inline: true, is_sealed, at_ns, counts, ..PacketFacts::default() };
        self.detector.packet(&mut self.place, &view, Some(&self.moment), &facts);
    }

    /// Numbers of the rules that matched since this was asked last.
    fn told(&mut self) -> Vec<u32> {
        let mut hits = Vec::new();
        self.detector.take_hits(1, &mut hits);
        hits.iter()
            .filter(|hit| hit.is_told)
            .map(|hit| self.detector.signature(hit).unwrap().rule.sid)
            .collect()
    }
}

#[test]
fn tests_that_run_out_of_steps_are_told_once() {
    let mut flow =
        Flow::under(&[r#"alert tcp any any -> any any (content:"go"; pcre:"/(a+)+[0-9]/"; sid:1;)"#]);
    assert_eq!(flow.segment(b"go aaaa", true), [0; 0]);
    assert!(!flow.detector.take_spent());
    let hostile: Vec<u8> = b"go ".iter().copied().chain([b'a'; 1_000]).chain(*b"!").collect();
    assert_eq!(flow.segment(&hostile, true), [0; 0]);
    assert!(flow.detector.take_spent());
    assert!(!flow.detector.take_spent());
}

#[test]
fn what_is_said_of_addresses_alone_is_said_with_the_first_packet_each_way() {
    let mut flow = Flow::under(&[
        "alert ip any any -> any any (sid:1;)",
        "alert tcp [10.0.0.0/8,192.0.2.1] any -> any 80 (flowbits:set,seen; sid:2;)",
        "alert tcp 10.0.0.2 any -> any any (sid:3;)",
        "alert tcp any any -> any any (flow:to_server; sid:4;)",
        "alert tcp !192.0.2.1 any -> any any (sid:5;)",
        "alert tcp any any -> any any (flowbits:isset,seen; sid:6;)",
        "alert udp any any -> any any (sid:7;)",
    ]);
    flow.moment.counts.packets = [1, 0];
    let mut told = flow.segment(b"", true);
    told.sort_unstable();
    assert_eq!(told, [1, 2, 4, 5, 6]);
    flow.moment.counts.packets = [2, 1];
    let mut told = flow.segment(b"", true);
    told.sort_unstable();
    assert_eq!(told, [4, 5, 6], "what asks for more than addresses is asked of each packet");
}

#[test]
fn nothing_looks_into_what_is_encrypted() {
    let mut flow = Flow::under(&[
        r#"alert tcp any any -> any any (content:"needle"; sid:1;)"#,
        r#"alert tcp any any -> any any (content:"needle"; dsize:6; sid:2;)"#,
        "alert tcp any any -> any any (content:!\"hay\"; dsize:6; sid:3;)",
        "alert tcp any any -> any any (dsize:6; sid:4;)",
    ]);
    let mut told = flow.segment(b"needle", false);
    told.sort_unstable();
    assert_eq!(told, [1, 2, 3, 4]);
    flow.is_sealed = true;
    assert_eq!(flow.segment(b"needle", false), [4]);
}

#[test]
fn a_response_is_searched_once_as_a_file_and_as_a_body() {
    const BODY: BufferId = SAME_IN_HTTP[1];
    let rules = [
        r#"alert http any any -> any any (http.response_body; content:"needle"; sid:1;)"#,
        r#"alert http any any -> any any (file.data; content:"needle"; sid:2;)"#,
        r#"alert http any any -> any any (file.data; content:"a"; startswith; content:"needle"; sid:3;)"#,
    ];
    let told_of = |buffers: &'static [BufferId], pieces: &[&[u8]]| {
        let mut flow = Flow::under(&rules);
        for piece in pieces {
            let mut telling = flow.tell();
            telling.is_inline = true;
            telling.body("http", (0, buffers), TO_CLIENT, piece, false);
        }
        let mut told = flow.told();
        told.sort_unstable();
        told
    };
    assert_eq!(told_of(&SAME_IN_HTTP, &[b"a nee", b"dle"]), [1, 2, 3]);
    assert_eq!(told_of(&SAME_IN_HTTP, &[b"the needle"]), [1, 2]);
    assert_eq!(told_of(&[BODY], &[b"a needle"]), [1], "what is no file is not searched as one");
    assert_eq!(told_of(&[FILE_DATA], &[b"a needle"]), [2, 3]);
}

#[test]
fn a_body_that_comes_in_pieces_is_searched_across_them() {
    const BODY: BufferId = buffer("http.response_body");
    let mut flow = Flow::under(&[
        r#"alert http any any -> any any (http.response_body; content:"needle"; sid:1;)"#,
        r#"alert http any any -> any any (http.response_body; content:"needle"; content:"thread"; distance:0; sid:2;)"#,
        r#"alert http any any -> any any (http.response_body; content:"far"; content:"away"; within:5; sid:3;)"#,
    ]);
    let mut piece = |bytes: &[u8]| {
        let mut telling = flow.tell();
        telling.is_inline = true;
        telling.body("http", (0, &[BODY]), TO_CLIENT, bytes, false);
        flow.told()
    };
    assert_eq!(piece(b"hay nee"), [0; 0]);
    assert_eq!(piece(b"dle"), [1], "its pattern lies across two pieces");
    assert_eq!(piece(b" and far"), [0; 0]);
    assert_eq!(piece(b" thr"), [0; 0]);
    assert_eq!(piece(b"ead and so on"), [2], "found before, it waited for what followed");
    assert_eq!(piece(b" far away"), [3]);
    // Many windows later a pattern is found as the first one was.
    for _ in 0..20 {
        assert_eq!(piece(&[b'.'; 2_000]), [0; 0]);
    }
}

#[test]
fn patterns_are_found_across_segments_and_told_once() {
    let mut flow = Flow::under(&[
        r#"alert tcp any any -> any any (content:"needle"; sid:1;)"#,
        r#"alert tcp any any -> any any (content:"nee"; content:"dle two"; within:7; sid:2;)"#,
        r#"alert tcp any any -> any any (content:"hay"; content:!"needle"; sid:3;)"#,
    ]);
    assert_eq!(flow.segment(b"hay nee", true), [3]);
    assert_eq!(flow.segment(b"dle", true), [1]);
    assert_eq!(flow.segment(b" two", true), [2]);
    assert_eq!(flow.segment(b" needle", true), [0; 0], "it was told of these bytes");
    flow.segment(&[b'.'; 3_000], true);
    assert_eq!(flow.segment(b" needle", true), [1], "others came since");
}

#[test]
fn bytes_beyond_a_gap_do_not_belong_to_those_before() {
    let mut flow = Flow::under(&[r#"alert tcp any any -> any any (content:"needle"; sid:1;)"#]);
    assert_eq!(flow.segment(b"nee", true), [0; 0]);
    flow.detector.stream_gap(flow.place, TO_SERVER, 10);
    assert_eq!(flow.segment(b"dle", true), [0; 0]);
    assert_eq!(flow.segment(b"needle", false), [1], "no stream: the packet itself");
}

#[test]
fn a_rule_of_places_is_tried_on_packets_too() {
    let mut flow = Flow::under(&[
        r#"alert tcp any any -> any any (content:"GET"; depth:3; sid:1;)"#,
        r#"alert tcp any any -> any any (flow:only_stream; content:"GET"; depth:3; sid:2;)"#,
        r#"alert tcp any any -> any any (flow:no_stream; content:"GET"; sid:3;)"#,
    ]);
    assert_eq!(flow.segment(b"GET /", true), [1, 2, 3]);
    assert_eq!(flow.segment(b"GET /", true), [1, 3], "it begins no stream any more");
}

#[test]
fn a_transaction_is_told_once_whatever_its_stages() {
    let mut flow = Flow::under(&[
        r#"alert http any any -> any any (http.uri; content:"/a"; sid:1;)"#,
        r#"alert http any any -> any any (http.uri; content:"/a"; http.stat_code; content:"200"; sid:2;)"#,
        r#"alert http any any => any any (http.uri; content:"/a"; file.data; content:"secret"; sid:3;)"#,
        r#"alert http any any -> any any (http.uri; content:!"/a"; sid:4;)"#,
        r#"alert tls any any -> any any (tls.sni; content:"a"; sid:5;)"#,
    ]);
    let mut rules = flow.tell();
    rules.show(URI, b"/a?x");
    rules.stage("http", 0, TO_SERVER, true);
    assert_eq!(flow.told(), [1]);
    let mut rules = flow.tell();
    rules.show(STATUS, b"200");
    rules.stage("http", 0, TO_CLIENT, false);
    assert_eq!(flow.told(), [2]);
    let mut rules = flow.tell();
    rules.body("http", (0, &[FILE_DATA]), TO_CLIENT, b"a sec", false);
    rules.body("http", (0, &[FILE_DATA]), TO_CLIENT, b"ret", false);
    assert_eq!(flow.told(), [0; 0], "there may be more");
    flow.tell().body("http", (0, &[FILE_DATA]), TO_CLIENT, b"", true);
    assert_eq!(flow.told(), [3]);
    let mut rules = flow.tell();
    rules.show(URI, b"/b");
    rules.stage("http", 1, TO_SERVER, true);
    assert_eq!(flow.told(), [4]);
}

#[test]
fn a_buffer_that_both_ways_have_is_looked_for_where_the_rule_goes() {
    const LINES: BufferId = buffer("http.header");
    let mut flow = Flow::under(&[
        // By its flow, by its other buffer, by neither.
        r#"alert http any any -> any any (flow:to_client; http.stat_code; content:"200"; http.header; content:"Cookie"; sid:1;)"#,
        r#"alert http any any -> any any (http.stat_code; content:"200"; http.header; content:"Cookie"; sid:2;)"#,
        r#"alert http any any -> any any (http.header; content:"Cookie"; http.header; to_lowercase; content:"server"; sid:3;)"#,
        r#"alert http any any -> any any (http.uri; content:"/"; http.header; content:"Server"; sid:4;)"#,
        r#"alert http any any -> any any (http.uri; content:"/"; http.header; content:"Cookie"; sid:5;)"#,
        r#"alert http any any -> any any (flow:to_client; http.stat_code; content:"200"; http.header; content:!"Cookie"; sid:6;)"#,
        r#"alert http any any -> any any (http.uri; content:"/"; http.stat_code; content:"200"; sid:7;)"#,
    ]);
    let mut rules = flow.tell();
    rules.show(URI, b"/");
    rules.show(LINES, b"Cookie: a");
    rules.stage("http", 0, TO_SERVER, true);
    assert_eq!(flow.told(), [5]);
    let mut rules = flow.tell();
    rules.show(STATUS, b"200");
    rules.show(LINES, b"Server: b");
    rules.stage("http", 0, TO_CLIENT, true);
    let mut told = flow.told();
    told.sort_unstable();
    assert_eq!(told, [6, 7]);
}

#[test]
fn ssh_softwareversion_means_all_of_it() {
    const SOFTWARE: BufferId = buffer("ssh.software");
    let mut flow = Flow::under(&[
        r#"alert ssh any any -> any any (ssh.softwareversion:"OpenSSH"; sid:1;)"#,
        r#"alert ssh any any -> any any (ssh.softwareversion:"OpenSSH_9"; sid:2;)"#,
    ]);
    let mut rules = flow.tell();
    rules.show(SOFTWARE, b"OpenSSH_9");
    rules.stage("ssh", 0, TO_SERVER, true);
    assert_eq!(flow.told(), [2]);
}

#[test]
fn spis_of_ike_are_each_of_one_way() {
    let mut flow = Flow::under(&[
        r#"alert ike any any -> any any (ike.init_spi; content:"a"; sid:1;)"#,
        r#"alert ike any any -> any any (ike.resp_spi; content:"b"; sid:2;)"#,
    ]);
    for (way, expected) in [(TO_SERVER, 1), (TO_CLIENT, 2)] {
        let mut rules = flow.tell();
        rules.show(buffer("ike.init_spi"), b"a");
        rules.show(buffer("ike.resp_spi"), b"b");
        rules.stage("ike", 0, way, true);
        assert_eq!(flow.told(), [expected]);
    }
}

#[test]
fn where_a_match_acts_a_body_is_seen_as_it_comes() {
    let mut flow = Flow::under(&[r#"drop http any any -> any any (file.data; content:"secret"; sid:3;)"#]);
    let mut rules = Telling { is_inline: true, ..flow.tell() };
    rules.body("http", (0, &[FILE_DATA]), TO_CLIENT, b"a sec", false);
    rules.body("http", (0, &[FILE_DATA]), TO_CLIENT, b"ret", false);
    assert_eq!(flow.told(), [3]);
}

#[test]
fn a_long_body_is_seen_in_windows() {
    let mut flow = Flow::under(&[
        r#"alert http any any -> any any (file.data; content:"secret"; sid:1;)"#,
        r#"alert http any any -> any any (file.data; content:"beyond"; sid:2;)"#,
    ]);
    let mut body = vec![b'.'; 80_000];
    body[40_000..40_006].copy_from_slice(b"secret");
    body.resize(120_000, b'.');
    body.extend(b"beyond");
    for piece in body.chunks(1_000) {
        flow.tell().body("http", (0, &[FILE_DATA]), TO_CLIENT, piece, false);
    }
    flow.tell().body("http", (0, &[FILE_DATA]), TO_CLIENT, b"", true);
    assert_eq!(flow.told(), [1], "what lies beyond the limit is not seen");
}

#[test]
fn what_passes_comes_first_and_ends_the_others() {
    let mut flow = Flow::under(&[
        r#"alert http any any -> any any (http.uri; content:"/a"; sid:1;)"#,
        r#"pass http any any -> any any (http.uri; content:"/a"; alert; sid:2;)"#,
    ]);
    let mut rules = flow.tell();
    rules.show(URI, b"/a");
    rules.stage("http", 0, TO_SERVER, true);
    assert_eq!(flow.told(), [2, 1], "in this order, for whoever acts");
    flow.detector.pass(&mut flow.place);
    let mut rules = flow.tell();
    rules.show(URI, b"/a");
    rules.stage("http", 1, TO_SERVER, true);
    assert_eq!(flow.told(), [0; 0]);
}

#[test]
fn numbers_of_transactions_are_tested_apart_and_together() {
    let mut flow = Flow::under(&[
        r#"alert modbus any any -> any any (modbus: access write holding, address 500, value >200; sid:1;)"#,
        r#"alert modbus any any -> any any (modbus: access read input, address <100; sid:2;)"#,
        r#"alert ldap any any -> any any (ldap.responses.operation:search_result_done,-1; sid:3;)"#,
        r#"alert krb5 any any -> any any (krb5.ticket_encryption:weak; sid:4;)"#,
    ]);
    let (access, written) = (field("modbus.access"), field("modbus.written"));
    let mut rules = flow.tell();
    assert!(rules.asks(written) && !rules.asks(field("dns.opcode")));
    rules.number(access, 2 | 32);
    rules.number(written, 500 << 16 | 201);
    rules.stage("modbus", 0, TO_SERVER, true);
    assert_eq!(flow.told(), [1]);
    let mut rules = flow.tell();
    rules.number(access, 2 | 32);
    rules.number(written, 501 << 16 | 201);
    rules.number(written, 500 << 16 | 200);
    rules.stage("modbus", 1, TO_SERVER, true);
    assert_eq!(flow.told(), [0; 0], "not at this address, and not this value");
    let mut rules = flow.tell();
    rules.number(access, 1 | 16);
    rules.number(field("modbus.address"), 99);
    rules.number(field("modbus.address"), 120);
    rules.stage("modbus", 2, TO_SERVER, true);
    assert_eq!(flow.told(), [2]);
    let operation = field("ldap.responses.operation");
    let mut rules = flow.tell();
    rules.number(operation, 5);
    rules.stage("ldap", 3, TO_CLIENT, false);
    assert_eq!(flow.told(), [0; 0], "there may be more");
    flow.tell().stage("ldap", 3, TO_CLIENT, true);
    assert_eq!(flow.told(), [3]);
    for (kind, told) in [(23, &[4][..]), (18, &[])] {
        let mut rules = flow.tell();
        rules.number(field("krb5.ticket_encryption"), kind);
        rules.stage("krb5", 4 + kind as u32, TO_CLIENT, true);
        assert_eq!(flow.told(), told);
    }
}

#[test]
fn a_rule_waits_for_the_state_that_it_names_and_may_hide_a_record() {
    let mut flow = Flow::under(&[
        r#"alert http1:request_complete any any -> any any (http.uri; content:"/a"; sid:1;)"#,
        r#"alert http1:request_started any any -> any any (sid:2;)"#,
        r#"alert http1:response_started any any -> any any (sid:3;)"#,
        r#"config http any any -> any any (http.uri; content:"/a"; config: logging disable, type tx, scope tx; sid:4;)"#,
    ]);
    let mut rules = flow.tell();
    rules.show(URI, b"/a");
    rules.stage("http", 0, TO_SERVER, false);
    assert!(flow.tell().is_hidden(0) && !flow.tell().is_hidden(1));
    assert_eq!(flow.told(), [2]);
    flow.tell().stage("http", 0, TO_SERVER, true);
    assert_eq!(flow.told(), [1]);
    flow.tell().stage("http", 0, TO_CLIENT, false);
    assert_eq!(flow.told(), [3]);
}

#[test]
fn matches_are_counted_and_flows_forget_what_another_set_says() {
    let rule = r#"alert tcp any any -> any any (content:"x"; dsize:1; threshold:type limit, track by_src, count 2, seconds 60; sid:1;)"#;
    let mut flow = Flow::under(&[rule]);
    let told: Vec<_> = (0..4).flat_map(|_| flow.segment(b"x", true)).collect();
    assert_eq!(told, [1, 1]);
    let other = Flow::under(&[r#"alert tcp any any -> any any (content:"x"; dsize:1; sid:9;)"#]);
    flow.detector.follow(other.detector.set.as_ref());
    assert_eq!(flow.segment(b"x", true), [9]);
    flow.detector.follow(None);
    assert!(!flow.detector.is_on());
    assert_eq!(flow.segment(b"x", true), [0; 0]);
}

#[test]
fn what_lies_across_a_change_of_rules_is_found_and_told_once() {
    let stays = [
        r#"alert tcp any any -> any any (content:"needle"; sid:5;)"#,
        r#"alert http any any -> any any (http.uri; content:"/a"; http.stat_code; content:"200"; sid:6;)"#,
        r#"alert http any any -> any any (http.uri; content:"/a"; sid:7;)"#,
        r#"alert tcp any any -> any any (content:"gone"; content:"by"; sid:8;)"#,
    ];
    let mut flow = Flow::under(&stays);
    assert_eq!(flow.segment(b"nee", true), [0; 0]);
    flow.tell().show(URI, b"/a");
    flow.tell().stage("http", 0, TO_SERVER, false);
    assert_eq!(flow.told(), [7]);
    // Those that come have lower numbers than those that stay; one is gone, and one has another text.
    let begins = [
        r#"drop tcp any any -> any any (content:"nothing of this kind"; sid:1;)"#,
        r#"drop tcp any any -> any any (content:"ne"; content:"dle"; sid:2;)"#,
    ];
    let changed = r#"alert tcp any any -> any any (content:"gone"; content:"by then"; sid:8;)"#;
    flow.change(&[&begins[..], &stays[..3], &[changed]].concat());
    assert_eq!(flow.segment(b"dle gone by", true), [2, 5]);
    flow.change(&stays[..3]);
    assert_eq!(flow.segment(b" now", true), [0; 0], "told before");
    flow.tell().show(URI, b"/a");
    flow.tell().show(STATUS, b"200");
    flow.tell().stage("http", 0, TO_CLIENT, false);
    assert_eq!(flow.told(), [6]);
}

#[test]
fn a_body_goes_on_across_a_change_of_rules() {
    let stays = [
        r#"alert smtp any any -> any any (file.data; content:"begin"; content:"end"; sid:5;)"#,
        r#"alert smtp any any -> any any (file.data; content:"begin"; sid:6;)"#,
    ];
    let mut flow = Flow::under(&stays);
    let more = |flow: &mut Flow, bytes: &[u8], is_last: bool| {
        // Inline, a body is looked at with every piece of it.
        Telling { is_inline: true, ..flow.tell() }.body("smtp", (0, &[FILE_DATA]), TO_SERVER, bytes, is_last);
        flow.told()
    };
    assert_eq!(more(&mut flow, b"begin", false), [6]);
    let new = r#"drop smtp any any -> any any (file.data; content:"begin"; content:"nd"; sid:1;)"#;
    flow.change(&[&[new], &stays[..]].concat());
    assert_eq!(more(&mut flow, b"end", true), [1, 5]);
}

#[test]
fn a_flow_gives_back_what_it_had() {
    let mut flow =
        Flow::under(&[r#"alert tcp any any -> any any (content:"needle"; flowbits:set,x; sid:1;)"#]);
    flow.segment(b"needle", true);
    assert_ne!(flow.place, FlowPlace::default());
    let mut place = flow.place;
    flow.detector.release(&mut place);
    assert_eq!(place, FlowPlace::default());
    assert_eq!(flow.detector.free.len(), 1);
    assert!(flow.detector.flows[0].memory.is_empty());
}

/// A file of transaction 0 of a mail, as parsers tell it.
fn file(flow: &mut Flow, name: &[u8], bytes: &[u8]) -> Vec<u32> {
    let mut rules = flow.tell();
    let hashing = Hashing::of(rules.wants_hashes());
    rules.begin_file("smtp", 0, TO_SERVER, (name, None));
    rules.body("smtp", (0, &[FILE_DATA]), TO_SERVER, bytes, false);
    rules.body("smtp", (0, &[FILE_DATA]), TO_SERVER, &[], true);
    let hashes = hashing.map(|mut hashing| {
        hashing.data(bytes);
        hashing.end()
    });
    rules.file_grows(0, bytes.len() as u64, false);
    rules.end_file(0, true, (bytes.len() as u64, &hashes.unwrap_or_default()));
    rules.stage("smtp", 0, TO_SERVER, false);
    let of_file = rules.rules_of_file(0);
    let told = flow.told();
    // Records of files name the rules that matched them, and those alone.
    assert_eq!(of_file, told);
    told
}

#[test]
fn each_file_of_a_transaction_is_tried_for_itself() {
    let mut flow = Flow::under(&[
        "alert smtp any any -> any any (file.name; content:\"a.exe\"; file.data; content:\"evil\"; sid:1;)",
        "alert smtp any any -> any any (fileext:\"exe\"; filesize:4; sid:2;)",
        "alert smtp any any -> any any (smtp.mail_from; content:\"m@x\"; file.data; content:\"evil\"; sid:3;)",
        "alert tcp any any -> any any (filename:\"b\"; file.data; content:\"good\"; sid:4;)",
    ]);
    flow.tell().show(buffer("smtp.mail_from"), b"<m@x>");
    flow.tell().stage("smtp", 0, TO_SERVER, false);
    assert!(file(&mut flow, b"a.exe", b"good one").is_empty());
    assert_eq!(file(&mut flow, b"b.txt", b"evil one"), [3]);
    assert_eq!(file(&mut flow, b"c.exe", b"four"), [2]);
    assert_eq!(file(&mut flow, b"a.exe", b"evil"), [1]);
    assert_eq!(file(&mut flow, b"b.exe", b"good"), [4]);
}

#[test]
fn an_alert_knows_the_file_that_matched() {
    let mut flow = Flow::under(&["alert smb any any -> any any (file.data; content:\"evil\"; sid:1;)"]);
    let mut rules = flow.tell();
    rules.begin_file("smb", 5, TO_SERVER, (b"one", None));
    rules.body("smb", (5, &[FILE_DATA]), TO_SERVER, b"evil", false);
    rules.file_grows(5, 4, true);
    rules.body("smb", (5, &[FILE_DATA]), TO_SERVER, &[], true);
    rules.end(5);
    let mut hits = Vec::new();
    flow.detector.take_hits(0, &mut hits);
    let file = flow.detector.file_of_hit(&hits[0]).unwrap();
    assert_eq!((&*file.name, file.bytes, file.has_gap, file.state), (&b"one"[..], 4, true, FileState::Open));
    flow.detector.take_hits(0, &mut Vec::new());
    assert!(flow.detector.file_of_hit(&hits[0]).is_none());
}

#[test]
fn files_are_looked_up_by_their_hashes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("known.md5"), "900150983cd24fb0d6963f7d28e17f72  abc\n").unwrap();
    let mut loader = crate::rules::load::Loader::new(Variables::usual());
    let rules = "alert smtp any any -> any any (filemd5:known.md5; sid:1;)\n\
        alert smtp any any -> any any (filemd5:!known.md5; sid:2;)\n\
        alert smtp any any -> any any (filemd5:none.md5; sid:3;)\n";
    loader.add(&dir.path().join("a.rules").display().to_string(), rules.as_bytes());
    let loaded = loader.finish();
    assert_eq!(loaded.files[0].faults.len(), 1);
    let mut flow = Flow::of(loaded.signatures);
    assert_eq!(file(&mut flow, b"x", b"abc"), [1]);
    assert_eq!(file(&mut flow, b"x", b"abd"), [2]);
}

#[test]
fn frames_are_told_each_for_itself_however_they_come() {
    use crate::rules::language::frames::frame;
    let (request, header, data) = (frame("http1", "request"), frame("http2", "hdr"), frame("http2", "data"));
    let rules = [
        r#"alert http any any -> any any (frame:http1.request; content:"needle"; sid:1;)"#,
        r#"alert http2 any any -> any any (frame:http2.hdr; content:"|00 04|"; startswith; sid:2;)"#,
        r#"alert http2 any any -> any any (frame:data; content:"a"; bsize:4; sid:3;)"#,
        r#"alert http2 any any -> any any (flow:to_client; frame:data; content:"a"; sid:4;)"#,
        r#"alert http2 any any -> any any (frame:data; content:!"z"; sid:5;)"#,
    ];
    let mut flow = Flow::under(&rules);
    flow.tell().frame(TO_SERVER, header, &[0, 4, 9]);
    flow.tell().frame(TO_SERVER, header, &[0, 4, 9]);
    flow.tell().frame(TO_SERVER, data, &[0, 4, 9]);
    assert_eq!(flow.told(), [2, 2, 5]);

    let bytes = b"GET / needle, and more";
    flow.tell().frame_of(TO_SERVER, request, &bytes[..9], Some(bytes.len() as u64));
    assert_eq!(flow.told(), [0; 0]);
    flow.tell().pass(TO_CLIENT, b"needle");
    for piece in bytes[9..].chunks(2) {
        flow.tell().pass(TO_SERVER, piece);
    }
    assert_eq!(flow.told(), [1], "at its end");
    flow.tell().pass(TO_SERVER, b"needle");
    assert_eq!(flow.told(), [0; 0], "it is over");

    // Whether a frame has four bytes and no z, is known when it is whole.
    flow.tell().frame_of(TO_SERVER, data, b"baaa", Some(5));
    assert_eq!(flow.told(), [0; 0]);
    flow.tell().pass(TO_SERVER, b"zz");
    assert_eq!(flow.told(), [0; 0]);
    flow.tell().frame_of(TO_SERVER, data, b"baa", Some(4));
    flow.tell().pass(TO_SERVER, b"ab");
    assert_eq!(flow.told(), [3, 5]);

    // What came behind the end that its parser found is none of it.
    flow.tell().frame_of(TO_SERVER, request, b"GET need", None);
    flow.tell().pass(TO_SERVER, b"le");
    flow.tell().end_frame(TO_SERVER, request, 1);
    assert_eq!(flow.told(), [0; 0]);
    flow.tell().frame_of(TO_SERVER, request, b"GET need", None);
    flow.tell().pass(TO_SERVER, b"le");
    flow.tell().end_frame(TO_SERVER, request, 0);
    assert_eq!(flow.told(), [1]);
}

#[test]
fn a_frame_is_tried_as_it_grows_and_no_longer_than_bounded() {
    use crate::rules::language::frames::frame;
    let data = frame("http2", "data");
    let rules = [
        r#"drop http2 any any -> any any (frame:data; content:"needle"; sid:1;)"#,
        r#"alert http2 any any -> any any (frame:data; content:"beyond"; sid:2;)"#,
        r#"alert http2 any any -> any any (frame:data; content:"end"; endswith; sid:3;)"#,
    ];
    let mut flow = Flow::under(&rules);
    flow.tell().frame_of(TO_SERVER, data, &[b'.'; 4_000], Some(u64::MAX));
    flow.tell().pass(TO_SERVER, &[&[b'.'; 3_000][..], b"needle"].concat());
    assert_eq!(flow.told(), [1]);
    for _ in 0..20 {
        flow.tell().pass(TO_SERVER, &[&[b'.'; 3_000][..], b"needle end"].concat());
    }
    flow.tell().pass(TO_SERVER, b"beyond end");
    flow.tell().finish();
    assert_eq!(flow.told(), [0; 0]);
    // Beyond a hole nothing is known.
    flow.tell().frame_of(TO_SERVER, data, b"need", Some(6));
    flow.detector.stream_gap(flow.place, TO_SERVER, 2);
    flow.tell().pass(TO_SERVER, b"le");
    assert_eq!(flow.told(), [0; 0]);
}

#[test]
fn the_cost_of_tries_is_noted_where_somebody_wants_to_know() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(1);
    let mut flow = Flow::under(&[
        r#"alert tcp any any -> any any (content:"needle"; sid:1;)"#,
        r#"alert tcp any any -> any any (content:"needle"; content:"no!"; sid:2;)"#,
        r#"alert http any any -> any any (http.uri; content:"/a"; sid:3;)"#,
        r#"alert tcp any any -> any any (window:3; sid:4;)"#,
    ]);
    let set = Arc::clone(flow.detector.set.as_ref().unwrap());
    let tried = || {
        let of = |(number, one): (usize, &Arc<Signature>)| {
            let cost = set.profile().of(number);
            (one.rule.sid, cost.checks, cost.matches)
        };
        set.signatures().iter().enumerate().map(of).filter(|cost| cost.1 > 0).collect::<Vec<_>>()
    };
    flow.segment(b"a needle", true);
    assert_eq!((tried(), NOW.load(Ordering::Relaxed)), (vec![], 1), "nobody asked, and no clock was read");
    set.profile().start(|| NOW.fetch_add(1, Ordering::Relaxed), u64::MAX);
    flow.segment(&[b'.'; 3_000], true);
    let before = tried();
    flow.segment(b"needle", true);
    let mut rules = flow.tell();
    rules.show(URI, b"/a");
    rules.stage("http", 0, TO_SERVER, true);
    let after = tried();
    let checks =
        |all: &[(u32, u64, u64)], sid| all.iter().find(|cost| cost.0 == sid).map(|cost| (cost.1, cost.2));
    assert_eq!(checks(&after, 1).map(|cost| cost.1), Some(1), "{after:?}");
    assert_eq!(checks(&after, 2).map(|cost| cost.1), Some(0), "{after:?}");
    assert_eq!(checks(&after, 3), Some((1, 1)), "{after:?}");
    assert!(checks(&after, 4) > checks(&before, 4), "{after:?}");
    set.profile().stop();
    flow.segment(b"needle", true);
    assert_eq!(tried(), after);
}
