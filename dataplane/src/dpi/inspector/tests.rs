use super::*;
use crate::parse::Addr;

const SEGMENT: TcpFlags = TcpFlags(TcpFlags::ACK);

fn view() -> FlowView {
    FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
        responder: (Addr::v4([192, 0, 2, 2]), 9),
        protocol: parse::Protocol::TCP,
        is_midstream: false,
        is_established: true,
        counts: crate::rules::detect::FlowCounts::default(),
    }
}

/// An inspector with one flow, of which a segment waits beyond a hole of 10 bytes.
fn with_a_hole() -> (Inspector, u32) {
    let mut inspector = Inspector::new(Arc::new(Recogniser::new()), Arc::new(AppTable::builtin()), 8);
    let (slot, looks) = inspector.start(&view(), Wall(0));
    assert!(looks);
    inspector.set_mode(Mode::Inline);
    inspector.syn(slot, Direction::Forward, 99);
    let looked = look(&mut inspector, slot, 110, b"later");
    assert_eq!(looked, Looked::default());
    assert!(inspector.memory().in_use() > 0);
    (inspector, slot)
}

fn look(inspector: &mut Inspector, slot: u32, seq: u32, bytes: &[u8]) -> Looked {
    let payload =
        Payload { way: Direction::Forward, bytes, tcp: Some((seq, SEGMENT)), urgent: None, at: Wall(0) };
    inspector.look(slot, &view(), &payload, &mut |_| {})
}

#[test]
fn what_is_seen_first_wins_and_memory_comes_back_at_the_end() {
    let (mut inspector, slot) = with_a_hole();
    let mut payload = *b"LATER on";
    let mended = inspector.first_seen(slot, Direction::Forward, (110, SEGMENT), &mut payload);
    assert!(mended.is_rewritten);
    assert_eq!(&payload, b"later on");
    let mut events = Vec::new();
    let payload = Payload {
        way: Direction::Forward,
        bytes: &payload,
        tcp: Some((110, SEGMENT)),
        urgent: None,
        at: Wall(0),
    };
    inspector.look(slot, &view(), &payload, &mut |record| events.push(record.event_type));
    assert_eq!(events, ["anomaly"]);
    inspector.end(slot, &view(), Wall(0), &mut |_| {});
    assert_eq!(inspector.memory().in_use(), 0);
}

#[test]
fn a_hole_that_the_receiver_acknowledged_ends_a_search() {
    let (mut inspector, slot) = with_a_hole();
    let looked = inspector.acknowledged(slot, &view(), Direction::Reverse, 115, Wall(0), &mut |_| {});
    assert!(looked.finished);
    assert_eq!(inspector.memory().in_use(), 0);
}

#[test]
fn a_segment_without_room_is_left_or_gone_on_from() {
    for when_full in [WhenFull::LeaveSegment, WhenFull::GoOn] {
        let (mut inspector, slot) = with_a_hole();
        inspector.set_when_full(when_full);
        let looked = look(&mut inspector, slot, 1_000_000, b"far");
        assert_eq!(looked.refused, when_full == WhenFull::LeaveSegment);
        assert_eq!(looked.finished, when_full == WhenFull::GoOn);
        inspector.end(slot, &view(), Wall(0), &mut |_| {});
        assert_eq!(inspector.memory().in_use(), 0);
    }
}

#[test]
fn a_reset_carries_no_data() {
    let (mut inspector, slot) = with_a_hole();
    let payload = Payload {
        way: Direction::Forward,
        bytes: b"SSH-2.0-x\r\n",
        tcp: Some((100, TcpFlags(TcpFlags::RST))),
        urgent: None,
        at: Wall(0),
    };
    assert_eq!(inspector.look(slot, &view(), &payload, &mut |_| {}), Looked::default());
    inspector.end(slot, &view(), Wall(0), &mut |_| {});
}

mod told {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::language::Variables;
    use crate::rules::load::Loader;
    use crate::rules::memory::Names;
    use crate::rules::set::{Options, RuleSet};

    /// Rules that ask for what parsers tell beside their records.
    const RULES: &str = r#"
alert ike any any -> any any (ike.chosen_sa_attribute:alg_enc>0; ike.nonce_payload; content:"a"; sid:1;)
alert ike any any -> any any (ike.vendor; content:"a"; ike.key_exchange_payload_length:>1; sid:2;)
alert ldap any any -> any any (ldap.request.attribute_type; content:"a"; ldap.responses.count:count >0; sid:3;)
alert ldap any any -> any any (ldap.responses.attribute_type; content:"a"; ldap.request.dn; content:"a"; sid:4;)
alert dnp3 any any -> any any (dnp3_obj:12,1; dnp3_ind:need_time; dnp3_data; content:"a"; sid:5;)
alert modbus any any -> any any (modbus: access write coils, address <9, value 1; sid:6;)
alert modbus any any -> any any (modbus: access read, address 1<>9; modbus: function 8, subfunction 4; sid:7;)
alert enip any any -> any any (cip_service:10; enip.cip_attribute:>1,all; enip.product_name; content:"a"; sid:8;)
alert enip any any -> any any (enip.cip_extendedstatus:1; enip.service_name; content:"a"; sid:9;)
alert mqtt any any -> any any (mqtt.reason_code:>1,nb>1; mqtt.publish.message; content:"a"; sid:10;)
alert mqtt any any -> any any (mqtt.connect.flags:username; mqtt.connack.session_present:yes; sid:11;)
alert nfs any any -> any any (nfs_procedure:!getattr; nfs.version:3; sid:12;)
alert ntp any any -> any any (ntp.reference_id; content:"a"; ntp.mode:client; sid:13;)
alert krb5 any any -> any any (krb5.ticket_encryption:weak; krb5.sname; content:"a"; sid:14;)
alert tls any any -> any any (tls.cert_chain_len:>1; tls.certs; content:"a"; tls_cert_expired; sid:15;)
alert udp any any -> any any (content:"a"; asn1:bitstring_overflow, relative_offset 1; sid:16;)
alert ip any any -> any any (entropy:value > 7.9; sid:17;)
"#;

    /// Messages that are recognised, with their ports and whether they go over TCP.
    const MESSAGES: &[(&[u8], u16, bool)] = &[
        (b"\x07\x07\x07\x07\x07\x07\x07\x07\0\0\0\0\0\0\0\0\x01\x10\x02\0\0\0\0\0\0\0\0\x54\0\0\0\x38\0\0\0\x01\0\0\0\x01\0\0\0\x2c\x01\x01\0\x01\0\0\0\x24\x01\x01\0\0\x80\x01\0\x07\x80\x0e\0\x80\x80\x02\0\x02\x80\x04\0\x02\0\x0c\0\x04\0\x01\x51\x80", 500, false),
        (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0", 389, true),
        (b"\0\x01\0\0\0\x0f\x01\x10\0\x01\0\x04\x08\0\x01\0\x02\0\x03\0\x04", 502, true),
        (b"\x6f\0\x1a\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\xb2\0\x0a\0\x0e\x03\x20\x01\x24\x01\x30\x07\0\0", 44_818, true),
        (b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06client", 1_883, true),
        (b"\x30\x07\0\x03a/bhi", 1_883, true),
        (b"\x23\x02\x06\xe9\0\0\0\0\0\0\0\0\xc0\0\x02\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 123, false),
        (b"\x05\x64\x05\xc0\x01\0\0\x04\xe9\x21", 20_000, true),
    ];

    fn set() -> Arc<RuleSet> {
        let mut loader = Loader::new(Variables::usual());
        loader.add("all.rules", RULES.as_bytes());
        let loaded = loader.finish();
        let report = &loaded.files[0];
        assert_eq!((report.loaded, &report.faults[..]), (17, &[][..]));
        let set = RuleSet::new(loaded.signatures, &mut Names::default(), Options::default());
        Arc::new(set.expect("the rules are whole"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_broken_is_told_as_far_as_it_goes(
            which in 0..MESSAGES.len(),
            changes in proptest::collection::vec((0_usize..96, any::<u8>()), 0..6),
            more: Vec<u8>,
            cut in 0_usize..96,
        ) {
            let mut inspector = Inspector::new(Arc::new(Recogniser::new()), Arc::new(AppTable::builtin()), 8);
            inspector.follow_rules(Some(&set()));
            let (message, port, is_tcp) = MESSAGES[which];
            let protocol = if is_tcp { parse::Protocol::TCP } else { parse::Protocol::UDP };
            let view = FlowView { responder: (Addr::v4([192, 0, 2, 2]), port), protocol, ..view() };
            let (slot, _looks) = inspector.start(&view, Wall(0));
            let mut broken = [message, &more].concat();
            for (at, byte) in changes {
                if let Some(place) = broken.get_mut(at) {
                    *place = byte;
                }
            }
            broken.truncate(broken.len().saturating_sub(cut));
            let mut seq = [1_u32; 2];
            for (way, bytes) in
                [(Direction::Forward, message), (Direction::Reverse, &broken), (Direction::Forward, &broken)]
            {
                let tcp = is_tcp.then_some((seq[way as usize], SEGMENT));
                seq[way as usize] += bytes.len() as u32;
                inspector.look(slot, &view, &Payload { way, bytes, tcp, urgent: None, at: Wall(0) }, &mut |_| {});
            }
            inspector.end(slot, &view, Wall(0), &mut |_| {});
        }
    }
}

#[test]
fn alerts_bring_what_is_known_of_their_transaction() {
    use crate::dpi::feed::samples::alerts_with_records_of;
    const THERE: Direction = Direction::Forward;
    const BACK: Direction = Direction::Reverse;
    let rules = [
        r#"alert http any any -> any any (http.uri; content:"/second"; sid:1;)"#,
        r#"alert http any any -> any any (http.stat_code; content:"404"; sid:2;)"#,
        r#"alert http any any -> any any (http.response_body; content:"first"; sid:3;)"#,
    ];
    let payloads: [(Direction, &[u8]); 2] = [
        (
            THERE,
            b"GET /first HTTP/1.1\r\nHost: a.example\r\n\r\nGET /second HTTP/1.1\r\nHost: a.example\r\n\r\n",
        ),
        (
            BACK,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        ),
    ];
    let told = alerts_with_records_of(80, &rules, &payloads);
    let of = |sid| told.iter().find(|(told, _)| *told == sid).map_or("", |(_, line)| line);
    assert_eq!(of(1), "http hostname=a.example url=/second http_method=GET protocol=HTTP/1.1");
    assert!(of(2).contains("url=/second") && of(2).contains("status=404"), "{told:?}");
    assert!(of(3).contains("url=/first") && of(3).contains("status=200"), "{told:?}");
    let rules = [r#"alert ssh any any -> any any (ssh.software; content:"one"; sid:1;)"#];
    let told = alerts_with_records_of(22, &rules, &[(THERE, b"SSH-2.0-one\r\n"), (BACK, b"SSH-2.0-two\r\n")]);
    assert_eq!(told, [(1, "ssh client={proto_version=2.0 software_version=one}".to_owned())]);
}
