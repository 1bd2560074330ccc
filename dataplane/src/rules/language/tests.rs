//! Rules whole: what they mean, and where their faults are.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use super::*;
use crate::flow::Direction;
use crate::rules::rule::*;
use crate::rules::signature::Signature;

fn rule(text: &str) -> Result<Rule, Fault> {
    read(&RuleText::of(text.as_bytes()), &mut Variables::usual())
}

fn tcp(body: &str) -> Result<Rule, Fault> {
    rule(&format!("alert tcp any any -> any any ({body} sid:1;)"))
}

fn content(rule: &Rule, part: usize, test: usize) -> &Content {
    match &rule.parts[part].tests[test] {
        Test::Content(content) => content,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rule_is_read_whole() {
    let text = r#"drop http $HOME_NET [1024:,!8080] -> !$HOME_NET any (msg:"a \"b\"\; c"; flow:established,to_server; http.method; content:"GET"; http.uri; content:"/x|2f|y"; startswith; fast_pattern; content:"z"; distance:1; within:5; nocase; pcre:"/^a\/b$/Ri"; reference:url,a.example/x; classtype:trojan-activity; metadata:created_at 2020_01_01, tag x; sid:2000001; rev:3;)"#;
    let rule = rule(text).unwrap();
    assert_eq!((rule.sid, rule.revision, rule.generator, rule.action), (2_000_001, 3, 1, Action::Drop));
    assert_eq!(&*rule.message, r#"a "b"; c"#);
    assert_eq!(rule.header.protocol, HeaderProtocol::Application("http"));
    assert!(rule.header.source.ports.contains(2_000) && !rule.header.source.ports.contains(8_080));
    assert_eq!(
        rule.flow,
        FlowTest { way: Some(Direction::Forward), established: Some(true), ..FlowTest::default() }
    );
    let names: Vec<_> = rule.parts.iter().map(|part| part.seen.buffer.buffer().name).collect();
    assert_eq!(names, ["http.method", "http.uri"]);
    let first = content(&rule, 1, 0);
    assert_eq!(
        (&*first.bytes, first.startswith, first.fast_pattern),
        (&b"/x/y"[..], true, Some(FastPattern::Whole))
    );
    let second = content(&rule, 1, 1);
    let (distance, within) = (Some(Amount::Number(1)), Some(Amount::Number(5)));
    assert_eq!((second.distance, second.within, second.nocase), (distance, within, true));
    let Test::Expression(expression) = &rule.parts[1].tests[2] else { panic!() };
    assert!(expression.is_relative && expression.flags.caseless && &*expression.pattern == r"^a\/b$");
    assert_eq!(rule.class.as_deref(), Some("trojan-activity"));
    assert_eq!(rule.references, [("url".into(), "a.example/x".into())]);
    assert_eq!(rule.metadata, [("created_at".into(), "2020_01_01".into()), ("tag".into(), "x".into())]);
}

#[test]
fn words_of_the_older_language_move_the_content_before_them() {
    let rule = rule(
        r#"alert http any any -> any any (content:"a"; http_uri; content:"b"; http_uri; distance:0; content:"c"; pcre:"/d/U"; sid:1;)"#,
    )
    .unwrap();
    let parts: Vec<_> =
        rule.parts.iter().map(|part| (part.seen.buffer.buffer().name, part.tests.len())).collect();
    assert_eq!(parts, [("pkt_data", 1), ("http.uri", 3)]);
    assert_eq!(content(&rule, 1, 1).distance, Some(Amount::Number(0)));
}

#[test]
fn a_buffer_of_which_there_are_several_is_asked_anew() {
    let several = tcp(r#"dns.query; content:"a"; dns.query; content:"b";"#).unwrap();
    assert_eq!(several.parts.len(), 2);
    let one = tcp(r#"http.uri; content:"a"; http.method; content:"b"; http.uri; content:"c";"#).unwrap();
    assert_eq!(one.parts.len(), 2);
    assert_eq!(one.parts[0].tests.len(), 2);
    let transformed =
        tcp(r#"http.uri; content:"a"; http.uri; url_decode; to_lowercase; content:"c";"#).unwrap();
    assert_eq!(transformed.parts[1].seen.transforms, [Transform::UrlDecode, Transform::ToLowercase]);
    let behind = tcp(r#"http.uri; content:"a"; from_base64:offset 6; content:"b";"#).unwrap();
    let tests: Vec<_> =
        behind.parts.iter().map(|part| (part.seen.transforms.len(), part.tests.len())).collect();
    assert_eq!(tests, [(0, 1), (1, 1)]);
}

#[test]
fn patterns_are_bytes() {
    let read = |text: &str| tcp(&format!("content:{text};")).map(|rule| content(&rule, 0, 0).bytes.to_vec());
    assert_eq!(read(r#""a|41 42|b""#).unwrap(), b"aABb");
    assert_eq!(read(r#""|4142 0a|\;\"\\\:""#).unwrap(), b"AB\n;\"\\:");
    for wrong in [r#""a|4""#, r#""a|41""#, r#""a|4|""#, r#""|zz|""#, r#""""#, "abc", r#""a\b""#, r#""a\""#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn values_are_taken_from_bytes_and_used_by_name() {
    let rule = tcp(
        r#"content:"x"; byte_extract:2,0,len,relative,little; byte_math:bytes 1, offset 1, oper +, rvalue len, result sum; isdataat:!sum,relative; content:"y"; within:sum; byte_test:4,!&,0x80000000,len,relative,bitmask 0xff; byte_jump:4,0,relative,multiplier 2,post_offset -1,string,hex;"#,
    )
    .unwrap();
    assert_eq!(rule.variables, ["len".into(), "sum".into()]);
    let tests = &rule.parts[0].tests;
    assert!(matches!(tests[1], Test::Extract(ByteExtract { variable: 0, is_relative: true, .. })));
    assert!(matches!(tests[2], Test::Math(ByteMath { variable: 1, value: Amount::Variable(0), .. })));
    assert!(matches!(tests[3], Test::DataAt(DataAt { bytes: Amount::Variable(1), is_negated: true, .. })));
    assert!(matches!(
        tests[5],
        Test::Byte(ByteTest {
            operator: Operator::And,
            is_negated: true,
            value: Amount::Number(0x8000_0000),
            ..
        })
    ));
    assert!(matches!(tests[6], Test::Jump(ByteJump { multiplier: 2, post_offset: Amount::Number(-1), .. })));
    let unknown = tcp(r#"content:"x"; within:nobody;"#).unwrap_err();
    assert_eq!(unknown.detail, "no byte_extract or byte_math before it keeps a value under the name nobody");
}

#[test]
fn faults_name_line_column_keyword_and_what_came() {
    let file = b"# nothing\nalert tcp any any -> any any (msg:\"x\"; \\\n  content:\"a\"; depth:x; sid:7;)\nalert nope any any -> any any (sid:8;)";
    let faults: Vec<_> =
        rules(file).map(|text| read(&text, &mut Variables::usual()).unwrap_err().to_string()).collect();
    assert_eq!(
        faults,
        [
            "3:22: sid 7: depth: no byte_extract or byte_math before it keeps a value under the name x",
            "4:7: sid 8: expected a protocol, `nope` came",
        ]
    );
}

#[test]
fn what_cannot_be_is_refused() {
    for (body, said) in [
        (r#"content:"abc"; depth:2;"#, "at least the 3 bytes"),
        (r#"content:"abc"; offset:1; startswith;"#, "does not go together"),
        (r#"nocase;"#, "belongs to a content"),
        (r#"http.uri;"#, "no test follows"),
        (r#"http.uri; http.method; content:"a";"#, "no test follows"),
        (r#"to_lowercase; content:"a";"#, "none is named before"),
        (r#"content:"a"; fast_pattern; content:"b"; fast_pattern;"#, "one fast pattern"),
        (r#"content:"a"; fast_pattern:1,1;"#, "ends behind the pattern"),
        (r#"http.uri; content:"a"; flow:to_client;"#, "goes to the server"),
        (r#"flow:to_client,to_server;"#, "the opposite"),
        (r#"bsize:3;"#, "none is named before"),
        (r#"threshold:type limit,track by_src,count 1;"#, "`seconds` is missing"),
        (r#"lua:x.lua;"#, "not supported"),
        (r#"contnt:"a";"#, "did you mean"),
        (r#"byte_test:9,>,1,0;"#, "1 to 8 bytes"),
        (r#"decode-event:ipv4.nope;"#, "the name of an event"),
        (r#"sid:2;"#, "has a sid already"),
        (r#";"#, "a keyword"),
    ] {
        let fault = tcp(body).unwrap_err();
        assert!(fault.detail.contains(said), "{body}: {fault}");
    }
    assert!(rule("alert dns any any -> any any (http.uri; content:\"a\"; sid:1;)").is_err());
    assert!(rule("alert tcp any any -> any any (msg:\"a\";)").unwrap_err().detail.contains("no sid"));
    for header in
        ["alert tcp any any -> any (", "alert tcp any any >> any any (", "alert tcp [any any -> any any ("]
    {
        assert!(rule(&format!("{header}sid:1;)")).is_err(), "{header}");
    }
}

#[test]
fn keywords_of_many_protocols_are_read_and_can_be_tried() {
    for text in [
        "alert ike any any -> any any (ike.init_spi; content:\"18fe\"; ike.chosen_sa_attribute:sa_key_length>=128;",
        "alert ike any any -> any any (ike.exchtype:2; ike.nonce_payload_length:>32; ike.nonce_payload; content:\"|6d|\";",
        "alert ldap any any -> any any (ldap.responses.operation:search_result_entry,1; ldap.responses.count:>2;",
        "alert ldap any any -> any any (ldap.responses.result_code:success,all; ldap.responses.dn; content:\"dc\";",
        "alert dnp3 any any -> any any (dnp3_func:select; dnp3_ind:class_1_events,class_2_events; dnp3_obj:12,1;",
        "alert dnp3 any any -> any any (dnp3_data; content:\"|c3 06|\";",
        "alert modbus any any -> any any (modbus: unit 10, function 8, subfunction 4;",
        "alert modbus any any -> any any (modbus: function !reserved;",
        "alert modbus any any -> any any (modbus: access write holding, address 500, value >200;",
        "alert modbus any any -> any any (modbus: access read discretes, address 100<>200;",
        "alert enip any any -> any any (enip_command:list_identity; cip_service:16,246,6; enip.status:!success;",
        "alert mqtt any any -> any any (mqtt.type:CONNECT; mqtt.flags:!dup,!retain; mqtt.connect.flags:username,!will;",
        "alert mqtt any any -> any any (mqtt.connack.session_present:true; mqtt.reason_code:0; mqtt.qos:1;",
        "alert krb5 any any -> any any (krb5.ticket_encryption:weak; krb5_cname; content:\"a\";",
        "alert krb5 any any -> any any (krb5.ticket_encryption:!rc4-hmac,rc4-hmac-exp 17 -5;",
        "alert tls any any -> any any (tls_cert_notbefore:1998-05-01<>2008-05-01; tls_cert_expired; tls.cert_chain_len:>1;",
        "alert tls any any -> any any (ssl_version:tls1.0,tls1.2; ssl_state:client_hello|server_hello; tls_cert_valid; tls.store;",
        "alert ssh any any -> any any (ssh.protoversion:2_compat;",
        "alert nfs any any -> any any (nfs_procedure:!getattr; nfs.version:2-3; file.name; content:\"x\";",
        "alert ntp any any -> any any (ntp.mode:!server; ntp.stratum:<16; ntp.version:4; ntp.reference_id; content:\"RATE\";",
        "alert pgsql any any -> any any (pgsql.query; content:\"select\"; nocase;",
        "alert pop3 any any -> any any (pop3.command; content:\"USER\";",
        "alert smb any any -> any any (smb.version:1;",
        "alert snmp any any -> any any (snmp.pdu_type:trap_v2; snmp.version:2;",
        "alert dns any any -> any any (dns.rrtype:a,nb>1,0:-1; dns.rrtype:count >2; entropy:bytes 10, offset 1, value >= 3.5;",
        "alert ip any any -> any any (flow.age:>3600; flow.pkts:toclient,20; flow.bytes:both,>=2; flow.pkts_toserver:1;",
        "alert ip any any -> any any (l3_proto:ipv6; ip.src; content:\"|20 01|\"; startswith;",
        "alert tcp any any -> any any (rpc:100003,*,4;",
        "alert udp any any -> any any (asn1:bitstring_overflow, relative_offset 1; pcre:\"/a$/E\";",
        "config dns any any -> any any (dns.query; content:\"x\"; config: logging disable, type tx, scope tx;",
        "alert http1:request_complete any any -> any any (http.uri; content:\"x\";",
        "alert tls:client_hello_done any any -> any any (tls.sni; content:\"x\";",
        "alert tcp:flow_start any any -> any any (",
        "alert dns:response_started any any -> any any (",
    ] {
        Signature::of_text(&format!("{text} sid:1;)"));
    }
    for text in [
        "alert modbus any any -> any any (modbus: access write input;",
        "alert modbus any any -> any any (modbus: value 5;",
        "alert enip any any -> any any (cip_service:1,2,3,4;",
        "alert enip any any -> any any (cip.service:1;",
        "alert ike any any -> any any (ike.chosen_sa_attribute:nope=1;",
        "alert tls any any -> any any (ssl_version:tls1.0,!tls1.2;",
        "alert tls any any -> any any (tls_cert_notafter:>soon;",
        "alert ssh any any -> any any (ssh.protoversion:two;",
        "alert krb5 any any -> any any (krb5.ticket_encryption:nope;",
        "alert tcp any any -> any any (content:\"a\"; entropy:value > 9;",
        "alert ip any any -> any any (flow.pkts:3;",
        "config dns any any -> any any (config: tracking disable, type flow, scope packet;",
        "alert tls:request_line any any -> any any (",
        "alert tcp:pre_flow any any -> any any (",
        "alert http1:response_line any any -> any any (flow:to_server;",
    ] {
        assert!(rule(&format!("{text} sid:1;)")).is_err(), "{text}");
    }
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of rules in any order, so that what is read goes deep.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "alert",
            "tcp",
            "http",
            "any",
            "->",
            "(",
            ")",
            "[",
            "]",
            "!",
            ",",
            ":",
            ";",
            "\"",
            "|",
            "\\",
            "$HOME_NET",
            "content",
            "pcre",
            "/",
            "1",
            "-",
            "0x",
            "byte_test",
            "relative",
            "http.uri",
            "within",
            "sid:1",
            " ",
            "\n",
            "byte_math",
            "bytes 4",
            "oper +",
            "flowbits",
            "set",
            "threshold",
            "track by_src",
            "é",
            "x",
        ]);
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn is_read_or_refused_with_a_place_in_it(text in pieces(), bytes: Vec<u8>) {
            for text in [text.as_bytes(), &bytes] {
                let mut variables = Variables::usual();
                for rule in rules(text) {
                    if let Err(fault) = read(&rule, &mut variables) {
                        prop_assert!(fault.line >= 1 && fault.column >= 1 && !fault.detail.is_empty());
                    }
                }
                let whole = [b"alert tcp any any -> any any (", text, b";sid:1;)"].concat();
                let _ = read(&RuleText::of(&whole), &mut variables);
            }
        }
    }
}

#[test]
fn replacements_are_as_long_as_what_they_replace_and_of_the_payload() {
    let read_one = |body: &str| tcp(body).map_err(|fault| fault.to_string());
    let rule = read_one(r#"content:"abc"; replace:"x|00|z"; nocase;"#).unwrap();
    assert_eq!(content(&rule, 0, 0).replacement.as_deref(), Some(&b"x\0z"[..]));
    for (body, expected) in [
        (r#"content:"abc"; replace:"xy";"#, "2 bytes cannot take the place of the content's 3"),
        (r#"content:!"abc"; replace:"xyz";"#, "what is not there cannot be replaced"),
        (r#"replace:"xyz"; content:"abc";"#, "none stands before it"),
        (r#"file.data; content:"abc"; replace:"xyz";"#, "not of a buffer"),
    ] {
        let told = read_one(body).unwrap_err();
        assert!(told.contains(expected), "{body}: {told}");
    }
}

#[test]
fn groups_are_named_in_the_expression_or_behind_its_flags() {
    let read_one = |body: &str| tcp(body).map_err(|fault| fault.to_string());
    let rule = read_one(
        r#"pcre:"/(?P<flow_a_b>x)(?<c>y)(?P<other_d>z)/R, pkt:e, alert:f"; flowvar:a_b,"1|32|"; pktvar:e,3;"#,
    )
    .unwrap();
    let names: Vec<_> = rule.captures.iter().map(|one| (one.kind, &*one.name)).collect();
    let expected = [(CaptureKind::Packet, "e"), (CaptureKind::Alert, "f"), (CaptureKind::Flow, "a_b")];
    assert_eq!(names, expected);
    let asked = |of_packet, name: &str, bytes: &[u8]| Condition::Captured {
        of_packet,
        name: name.into(),
        bytes: bytes.into(),
    };
    assert_eq!(rule.conditions, [asked(false, "a_b", b"12"), asked(true, "e", b"3")]);
    for (body, expected) in [
        (r#"pcre:"/(x)/,name";"#, "flow:, pkt: or alert:"),
        (r#"pcre:"/(x)/R, flow:";"#, "name"),
        (r#"flowvar:a;"#, "a name and a pattern"),
        (r#"flowvar:a,"";"#, "the pattern is empty"),
    ] {
        let told = read_one(body).unwrap_err();
        assert!(told.contains(expected), "{body}: {told}");
    }
}
