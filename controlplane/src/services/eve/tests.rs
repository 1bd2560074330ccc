//! Lines of ours beside lines of Suricata 7.0.10 about the same flows.

use super::*;
use crate::services::identities::Who;
use dataplane::control::{IpFields, Origin, TaggedPacket};
use dataplane::flow::{FlowKey, FlowState, Labels};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Suricata's keys that this has no source for.
const ABSENT: [&str; 4] = ["community_id", "app_proto", "ts_max_regions", "tc_max_regions"];

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn wall(text: &str) -> Wall {
    let time: jiff::Timestamp = text.parse().unwrap();
    Wall(u64::try_from(time.as_nanosecond()).unwrap())
}

fn record(src: (&str, u16), dst: (&str, u16), protocol: u8) -> FlowRecord {
    let labels = Labels { vni: 0, vlan_outer: 0, vlan_inner: 0, protocol };
    let (key, initiator_is_lo) = FlowKey::between((addr(src.0), src.1), (addr(dst.0), dst.1), labels);
    FlowRecord {
        flow_id: 1,
        key,
        initiator_is_lo,
        in_port: 0,
        src_mac: Mac::default(),
        dst_mac: Mac::default(),
        tunnel: Tunnel::None,
        start: Wall(0),
        last: Wall(0),
        packets: [1, 1],
        bytes: [60, 60],
        tcp_flags: [TcpFlags(0); 2],
        tcp_state: 0,
        state: FlowState::Established,
        midstream: false,
        violations: 0,
        icmp: [(0, 0); 2],
        decision: Decision { policy_version: 1, policy_index: u32::MAX, user: None, reason: None },
        decided: None,
        shadow: None,
        dropped: 0,
        inspection: 0,
        end: Some(EndReason::Shutdown),
        aggregated: 0,
    }
}

fn ended(record: &FlowRecord) -> FlowEnd {
    FlowEnd { record: *record, summary: Summary::default(), host: None, clues_len: 0, responder: None }
}

fn flow_line(names: &Names, record: &FlowRecord) -> Value {
    let mut out = Vec::new();
    Formatter::default().flow(&mut out, names, 0, &ended(record), &[]);
    assert_eq!(out.pop(), Some(b'\n'));
    serde_json::from_slice(&out).unwrap()
}

/// Asserts that every key of Suricata's line is in ours with the same value, but for those that differ by
/// nature (numbers of flows, the moment of writing).
fn assert_holds(ours: &Value, suricata: &Value, path: &str) {
    for (key, theirs) in suricata.as_object().unwrap() {
        let path = format!("{path}/{key}");
        if ABSENT.contains(&key.as_str()) || ["/flow_id", "/timestamp"].contains(&path.as_str()) {
            continue;
        }
        match theirs {
            Value::Object(_) => assert_holds(&ours[key], theirs, &path),
            _ => assert_eq!(&ours[key], theirs, "{path}"),
        }
    }
}

#[test]
fn a_tcp_flow_over_ipv6_has_suricatas_keys_and_values() {
    let suricata = json!({"timestamp":"2006-05-13T20:23:16.702602+0000","flow_id":1328804613005161u64,"event_type":"flow",
        "src_ip":"2001:0618:0400:0000:0000:0000:5199:cc70","src_port":35997,
        "dest_ip":"2001:0618:0001:8000:0000:0000:0000:0005","dest_port":80,"proto":"TCP","app_proto":"http",
        "flow":{"pkts_toserver":11,"pkts_toclient":8,"bytes_toserver":1906,"bytes_toclient":6321,
            "start":"2006-05-13T20:23:16.702602+0000","end":"2006-05-13T20:23:17.030024+0000","age":1,
            "state":"established","reason":"shutdown","alerted":false},
        "community_id":"1:RsDC+mTloq4eATbxrOd+A01SQEY=",
        "tcp":{"tcp_flags":"1a","tcp_flags_ts":"1a","tcp_flags_tc":"1a","syn":true,"psh":true,"ack":true,
            "state":"established","ts_max_regions":1,"tc_max_regions":1}});
    let ours = FlowRecord {
        start: wall("2006-05-13T20:23:16.702602Z"),
        last: wall("2006-05-13T20:23:17.030024Z"),
        packets: [11, 8],
        bytes: [1906, 6321],
        tcp_flags: [TcpFlags(0x1a); 2],
        tcp_state: TcpState::Established as u8,
        ..record(("2001:618:400::5199:cc70", 35997), ("2001:618:1:8000::5", 80), 6)
    };
    let line = flow_line(&Names::new(vec![]), &ours);
    assert_holds(&line, &suricata, "");
    assert_eq!(line["tcp"].get("fin"), None, "only flags that were seen are told");
    assert_eq!(line.get("ether"), None);
    assert_eq!(
        line["jarvis"],
        json!({"worker":0,"policy_id":null,"policy_version":1,"verdict":"forward","end_reason":"shutdown"})
    );
}

#[test]
fn an_answered_icmpv6_flow_has_suricatas_keys_and_values() {
    let suricata = json!({"timestamp":"2015-10-07T16:54:53.450580+0000","flow_id":1653751412514161u64,"event_type":"flow",
        "src_ip":"2001:0470:1f17:013f:3e97:0eff:fe73:4dec","dest_ip":"2604:a880:0001:0020:0000:0000:0224:b001",
        "proto":"IPv6-ICMP","icmp_type":128,"icmp_code":0,"response_icmp_type":129,"response_icmp_code":0,
        "flow":{"pkts_toserver":23,"pkts_toclient":23,"bytes_toserver":2392,"bytes_toclient":2392,
            "start":"2015-10-07T16:54:53.450580+0000","end":"2015-10-07T16:55:15.586195+0000","age":22,
            "state":"established","reason":"shutdown","alerted":false},
        "community_id":"1:jp+utRV3Ih5rfuIuZ9JlpnqCPt8="});
    let ours = FlowRecord {
        start: wall("2015-10-07T16:54:53.450580Z"),
        last: wall("2015-10-07T16:55:15.586195Z"),
        packets: [23, 23],
        bytes: [2392, 2392],
        icmp: [(128, 0), (129, 0)],
        ..record(("2001:470:1f17:13f:3e97:eff:fe73:4dec", 9), ("2604:a880:1:20::224:b001", 9), 58)
    };
    let line = flow_line(&Names::new(vec![]), &ours);
    assert_holds(&line, &suricata, "");
    assert_eq!((line.get("src_port"), line.get("dest_port"), line.get("tcp")), (None, None, None));
}

#[test]
fn a_tagged_tcp_flow_with_macs_has_suricatas_keys_and_values() {
    let suricata = json!({"timestamp":"2022-05-26T19:50:07.224517+0000","flow_id":2090194820604606u64,
        "in_iface":"eth0","event_type":"flow","vlan":[6],
        "src_ip":"192.168.1.5","src_port":41424,"dest_ip":"192.168.1.1","dest_port":80,"proto":"TCP",
        "flow":{"pkts_toserver":2,"pkts_toclient":1,"bytes_toserver":134,"bytes_toclient":67,
            "start":"2022-05-26T19:50:07.224517+0000","end":"2022-05-26T19:50:07.225360+0000","age":0,
            "state":"new","reason":"shutdown","alerted":false},
        "ether":{"dest_macs":["ff:ff:ff:ff:ff:ff"],"src_macs":["00:01:02:03:04:05"]},
        "tcp":{"tcp_flags":"1a","tcp_flags_ts":"1a","tcp_flags_tc":"02","syn":true,"psh":true,"ack":true,
            "state":"syn_sent","ts_max_regions":1,"tc_max_regions":1}});
    let mut ours = FlowRecord {
        start: wall("2022-05-26T19:50:07.224517Z"),
        last: wall("2022-05-26T19:50:07.225360Z"),
        packets: [2, 1],
        bytes: [134, 67],
        tcp_flags: [TcpFlags(0x1a), TcpFlags(0x02)],
        tcp_state: TcpState::SynSent as u8,
        state: FlowState::New,
        src_mac: Mac([0, 1, 2, 3, 4, 5]),
        dst_mac: Mac([0xff; 6]),
        ..record(("192.168.1.5", 41424), ("192.168.1.1", 80), 6)
    };
    let labels = Labels { vlan_outer: 6, ..ours.key.labels() };
    ours.key = FlowKey::between(ours.key.lo(), ours.key.hi(), labels).0;
    assert_holds(&flow_line(&Names::new(vec!["eth0".into()]), &ours), &suricata, "");
}

#[test]
fn a_dropped_flow_names_its_policy_and_reason() {
    let names = Names::new(vec![]);
    names.remember(7, ["p-first".into(), "p-media".into()].into());
    let ours = FlowRecord {
        decision: Decision {
            policy_version: 7,
            policy_index: 1,
            user: None,
            reason: Some(Reason::PolicyReject),
        },
        dropped: 3,
        end: Some(EndReason::Policy),
        aggregated: 12,
        ..record(("10.0.0.1", 1), ("10.0.0.2", 2), 17)
    };
    let line = flow_line(&names, &ours);
    assert_eq!(line["flow"]["action"], "drop");
    assert_eq!(line["flow"]["reason"], "forced");
    let expected = json!({"worker":0,"policy_id":"p-media","policy_version":7,"verdict":"reject","reason":"policy_reject",
        "end_reason":"policy","dropped":3,"aggregated":12});
    assert_eq!(line["jarvis"], expected);
}

#[test]
fn the_users_of_a_flow_are_named_and_groups_are_a_number_of_this_run() {
    let number = |at| UserNumber::new(at).unwrap();
    let user = Decision { policy_version: 1, policy_index: u32::MAX, user: Some(number(4)), reason: None };
    let ours = FlowRecord { decision: user, ..record(("10.0.0.1", 1), ("10.0.0.2", 2), 17) };
    let ended = FlowEnd { responder: Some(number(9)), ..ended(&ours) };
    let who = |user_id: &str, user_role: Option<&str>| Who {
        user_id: user_id.to_owned(),
        user_role: user_role.map(str::to_owned),
        groups: vec!["staff".to_owned()],
        ..Who::default()
    };
    for (run, told) in [
        (
            1_700_000_000_123,
            json!({"worker":0,"run":1_700_000_000_123_u64,"user_id":"ann","identity":4,"dst_user_id":"root","dst_user_role":"admin",
                "policy_id":null,"policy_version":1,"verdict":"forward","end_reason":"shutdown"}),
        ),
        // A replay: nobody asks what was meant by its numbers.
        (
            0,
            json!({"worker":0,"user_id":"ann","dst_user_id":"root","dst_user_role":"admin",
                "policy_id":null,"policy_version":1,"verdict":"forward","end_reason":"shutdown"}),
        ),
    ] {
        let names = Names::new(vec![]).of_run(run);
        names.remember_user(number(4), &who("ann", None));
        names.remember_user(number(9), &who("root", Some("admin")));
        let mut out = Vec::new();
        Formatter::default().flow(&mut out, &names, 0, &ended, &[]);
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["jarvis"], told);
    }
}

#[test]
fn a_connection_closed_by_both_ends_is_closed() {
    for (state, name) in
        [(TcpState::TimeWait, "closed"), (TcpState::Closed, "closed"), (TcpState::LastAck, "last_ack")]
    {
        let ours = FlowRecord { tcp_state: state as u8, ..record(("10.0.0.1", 1), ("10.0.0.2", 2), 6) };
        assert_eq!(flow_line(&Names::new(vec![]), &ours)["tcp"]["state"], name);
    }
}

#[test]
fn keys_stand_in_suricatas_order() {
    let mut out = Vec::new();
    let ours = record(("10.0.0.1", 1), ("10.0.0.2", 2), 6);
    Formatter::default().flow(&mut out, &Names::new(vec!["e".into()]), 0, &ended(&ours), &[]);
    let text = String::from_utf8(out).unwrap();
    let places: Vec<usize> = [
        "timestamp",
        "flow_id",
        "in_iface",
        "event_type",
        "src_ip",
        "src_port",
        "dest_ip",
        "dest_port",
        "proto",
        "flow",
        "tcp",
        "jarvis",
    ]
    .iter()
    .map(|key| text.find(&format!("\"{key}\":")).unwrap())
    .collect();
    assert!(places.is_sorted(), "{text}");
}

fn drop_record(reason: Reason) -> DropRecord {
    DropRecord {
        time: wall("2026-11-21T23:01:46Z"),
        origin: Origin::default(),
        reason,
        rejected: false,
        count: 1,
        in_port: 0,
        len_bytes: 60,
        macs: (Mac([2; 6]), Mac([3; 6])),
        vlans: (0, 0),
        src: Some((addr("10.0.0.1"), 1234)),
        dst: Some((addr("10.0.0.2"), 80)),
        protocol: 6,
        ip: Some(IpFields { len_bytes: 46, tos: 8, ttl: 63, id_or_label: 4711 }),
        transport: TransportFields::Tcp {
            seq: 100,
            ack: 0,
            window: 64_240,
            urgent: 0,
            flags: TcpFlags(TcpFlags::SYN),
            reserved: 0,
        },
        flow_id: 1 << 56 | 5,
        decision: Decision { policy_version: 1, policy_index: u32::MAX, user: None, reason: Some(reason) },
    }
}

#[test]
fn a_drop_event_has_packet_and_reason() {
    let mut out = Vec::new();
    Formatter::default().drop(&mut out, &Names::new(vec!["e0".into()]), 1, &drop_record(Reason::DefaultDrop));
    let line: Value = serde_json::from_slice(&out).unwrap();
    let expected = json!({"timestamp":"2026-11-21T23:01:46.000000+0000","flow_id":35184372088837u64,"in_iface":"e0",
        "event_type":"drop","src_ip":"10.0.0.1","src_port":1234,"dest_ip":"10.0.0.2","dest_port":80,"proto":"TCP","pkt_src":"wire/pcap",
        "drop":{"len":46,"tos":8,"ttl":63,"ipid":4711,"tcpseq":100,"tcpack":0,"tcpwin":64240,"syn":true,"ack":false,
            "psh":false,"rst":false,"urg":false,"fin":false,"tcpres":0,"tcpurgp":0,"reason":"default_drop"},
        "ether":{"src_mac":"02:02:02:02:02:02","dest_mac":"03:03:03:03:03:03"},
        "jarvis":{"worker":1,"policy_id":null,"policy_version":1,"verdict":"drop","reason":"default_drop","count":1,
            "frame_len":60}});
    assert_eq!(line, expected);
}

#[test]
fn a_packet_that_a_rule_asked_for_is_told_whole_and_without_a_verdict() {
    let origin = Origin { number: 9, ..Origin::default() };
    let record = DropRecord { origin, ..drop_record(Reason::RuleAlert) };
    let mut out = Vec::new();
    let told = TaggedPacket { record, link: 1, len_bytes: 3 };
    Formatter::default().tagged(&mut out, &Names::new(vec![]), 0, &told, &[1, 2, 3]);
    let line: Value = serde_json::from_slice(&out).unwrap();
    let expected = json!({"timestamp":"2026-11-21T23:01:46.000000+0000","flow_id":35184372088837u64,"pcap_cnt":9,
        "event_type":"packet","src_ip":"10.0.0.1","src_port":1234,"dest_ip":"10.0.0.2","dest_port":80,"proto":"TCP",
        "pkt_src":"wire/pcap","packet":"AQID","packet_info":{"linktype":1}});
    assert_eq!(line, expected);
}

#[test]
fn events_of_a_capture_file_name_it() {
    let mut formatter = Formatter::default();
    formatter.set_capture(Path::new("a \"b\".pcap"));
    let mut out = Vec::new();
    for _ in 0..2 {
        formatter.drop(&mut out, &Names::new(vec![]), 0, &drop_record(Reason::PolicyDrop));
    }
    for line in std::str::from_utf8(&out).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["pcap_filename"], &line["jarvis"]["worker"]), (&json!("a \"b\".pcap"), &json!(0)));
    }
}

#[test]
fn a_drop_event_over_ipv6_has_the_names_of_its_header() {
    let record = DropRecord {
        src: Some((addr("fd00::1"), 5353)),
        dst: Some((addr("fd00::2"), 53)),
        protocol: 17,
        transport: TransportFields::Udp { len_bytes: 12 },
        ..drop_record(Reason::PolicyDrop)
    };
    let mut out = Vec::new();
    Formatter::default().drop(&mut out, &Names::new(vec![]), 0, &record);
    let line: Value = serde_json::from_slice(&out).unwrap();
    let expected = json!({"len":46,"tc":8,"hoplimit":63,"flowlbl":4711,"udplen":12,"reason":"policy_drop"});
    assert_eq!(line["drop"], expected);
    let record = DropRecord { transport: TransportFields::Icmp { id: 7, seq: 9 }, protocol: 58, ..record };
    out.clear();
    Formatter::default().drop(&mut out, &Names::new(vec![]), 0, &record);
    let line: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&line["drop"]["icmp_id"], &line["drop"]["icmp_seq"]), (&json!(7), &json!(9)));
}

#[test]
fn an_anomaly_of_an_unreadable_frame_has_no_addresses() {
    let mut out = Vec::new();
    let frame = DropRecord { src: None, dst: None, flow_id: 0, ..drop_record(Reason::Ipv4Truncated) };
    Formatter::default().anomaly(&mut out, &Names::new(vec![]), 0, &frame);
    let line: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(line["anomaly"], json!({"type":"decode","event":"decoder.ipv4.pkt_too_small"}));
    for key in ["flow_id", "src_ip", "dest_ip", "proto", "in_iface"] {
        assert_eq!(line.get(key), None, "{key}");
    }
}

#[test]
fn an_anomaly_that_was_passed_on_has_its_causes_name_and_says_forward() {
    let mut out = Vec::new();
    let frame = drop_record(Reason::TcpOutOfWindowForwarded);
    Formatter::default().anomaly(&mut out, &Names::new(vec![]), 0, &frame);
    let line: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(line["anomaly"], json!({"type":"stream","event":"stream.est_packet_out_of_window"}));
    assert_eq!(line["jarvis"]["verdict"], "forward");
    assert_eq!(line["jarvis"]["reason"], "tcp_out_of_window_forwarded");
}

#[test]
fn every_reason_has_an_anomaly_name() {
    for reason in Reason::ALL {
        let (layer, event) = anomaly_name(*reason);
        assert!(["decode", "stream", "engine"].contains(&layer) && !event.is_empty());
    }
}

#[test]
fn state_changes_are_engine_events() {
    let mut out = Vec::new();
    let names = Names::new(vec!["e0".into(), "e1".into()]);
    let mut formatter = Formatter::default();
    let hang = StateChange::Hang { silent_ms: 80, stale_frames: 9 };
    formatter.state(&mut out, &names, None, Wall(0), &StateChange::Link { port: 1, up: false });
    formatter.state(&mut out, &names, Some(2), Wall(0), &hang);
    formatter.state(&mut out, &names, None, Wall(0), &StateChange::ControlRestarted);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "{\"timestamp\":\"1970-01-01T00:00:00.000000+0000\",\"in_iface\":\"e1\",\"event_type\":\"engine\",\
         \"jarvis\":{\"change\":\"link\",\"up\":false}}\n\
         {\"timestamp\":\"1970-01-01T00:00:00.000000+0000\",\"event_type\":\"engine\",\
         \"jarvis\":{\"worker\":2,\"change\":\"hang\",\"silent_ms\":80,\"stale_frames\":9}}\n\
         {\"timestamp\":\"1970-01-01T00:00:00.000000+0000\",\"event_type\":\"engine\",\
         \"jarvis\":{\"change\":\"control_restarted\"}}\n"
    );
}
