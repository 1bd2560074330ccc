//! Does the appliance see and judge what real programs send inside VLANs, labels, PPPoE and tunnels?
//!
//! The kernel of a test machine need not have these devices: `tests/wrapper` wraps what the programs send.
//! The whole table crosses one appliance. Needs root and AF_XDP; without root the test says so and passes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;
mod wrapper;

use std::collections::{BTreeMap, BTreeSet};

use lab::{Host, Lab, said, sh};
use serde_json::{Value, json};
use wrapper::layout::Layout;
use wrapper::{Case, Wrapper, other};

const fn case(number: u8, name: &'static str, layout: Layout) -> Case {
    Case { name, number, layout, fragment_bytes: None }
}

const CASES: &[Case] = &[
    case(1, "vlan", Layout::Vlan { id: 42 }),
    case(2, "qinq", Layout::Qinq { outer: 7, inner: 43 }),
    case(3, "mpls, one label", Layout::Mpls { labels: &[20] }),
    case(4, "mpls, two labels", Layout::Mpls { labels: &[1_048_575, 21] }),
    case(5, "pppoe", Layout::Pppoe { session: 0x1234 }),
    case(6, "gre", Layout::Gre { key: None, has_checksum: false, bridged: false }),
    case(7, "gre with key", Layout::Gre { key: Some(77), has_checksum: false, bridged: false }),
    case(8, "gre with checksum, bridged", Layout::Gre { key: Some(78), has_checksum: true, bridged: true }),
    case(9, "gre over ipv6", Layout::GreOverIpv6),
    case(10, "geneve, bridged", Layout::Geneve { vni: 0x01_0203, bridged: true }),
    case(11, "geneve", Layout::Geneve { vni: 5, bridged: false }),
    case(12, "vxlan", Layout::Vxlan { vni: 0xff_fffe }),
    case(13, "vxlan over ipv6", Layout::VxlanOverIpv6 { vni: 6 }),
    case(14, "gtp-u", Layout::Gtpu { extended: false }),
    case(15, "gtp-u with extension", Layout::Gtpu { extended: true }),
    case(16, "4in4 and 6in4", Layout::IpInIpv4),
    case(17, "4in6 and 6in6", Layout::IpInIpv6),
    case(18, "teredo", Layout::Teredo),
    Case {
        fragment_bytes: Some(600),
        ..case(19, "gre in fragments", Layout::Gre { key: None, has_checksum: false, bridged: false })
    },
    Case { fragment_bytes: Some(900), ..case(20, "vxlan in fragments", Layout::Vxlan { vni: 7 }) },
];

/// What the appliance, and tshark, are to find.
struct Expected {
    /// `jarvis.tunnel` of the flow.
    tunnel: Option<&'static str>,
    vni: Option<u32>,
    vlan: Value,
    /// What stands between `eth:ethertype` and the inner `ip`, in tshark's words.
    stack: &'static str,
    /// Whether a refusal finds its way back: TEIDs name the receiving end only.
    is_answered: bool,
}

fn expected(case: &Case) -> Expected {
    let (tunnel, vni, stack) = match case.layout {
        Layout::Vlan { .. } => (None, None, ":vlan:ethertype"),
        Layout::Qinq { .. } => (None, None, ":ieee8021ad:ethertype:vlan:ethertype"),
        Layout::Mpls { .. } => (None, None, ":mpls"),
        Layout::Pppoe { .. } => (None, None, ":pppoes:ppp"),
        Layout::Gre { key, bridged: true, .. } => (Some("gre"), key, ":ip:gre:eth:ethertype"),
        Layout::Gre { key, bridged: false, .. } => (Some("gre"), key, ":ip:gre"),
        Layout::GreOverIpv6 => (Some("gre"), None, ":ipv6:gre"),
        Layout::Geneve { vni, bridged: true } => (Some("geneve"), Some(vni), ":ip:udp:geneve:eth:ethertype"),
        Layout::Geneve { vni, bridged: false } => (Some("geneve"), Some(vni), ":ip:udp:geneve"),
        Layout::Vxlan { vni } => (Some("vxlan"), Some(vni), ":ip:udp:vxlan:eth:ethertype"),
        Layout::VxlanOverIpv6 { vni } => (Some("vxlan"), Some(vni), ":ipv6:udp:vxlan:eth:ethertype"),
        Layout::Gtpu { .. } => (Some("gtpu"), None, ":ip:udp:gtp"),
        Layout::IpInIpv4 => (Some("ip_in_ip"), None, ":ip"),
        Layout::IpInIpv6 => (Some("ip_in_ip"), None, ":ipv6"),
        Layout::Teredo => (Some("teredo"), None, ":ip:udp:teredo"),
    };
    let vlan = match case.layout {
        Layout::Vlan { id } => json!([id]),
        Layout::Qinq { outer, inner } => json!([outer, inner]),
        _ => Value::Null,
    };
    let is_answered = !matches!(case.layout, Layout::Gtpu { .. });
    Expected { tunnel, vni, vlan, stack, is_answered }
}

/// Refused inside: telnet, a name service, and one port only in VLAN 42.
const POLICIES: &str = r#"
    {"policy_id": "no-telnet", "conditions": {"protocol": "tcp", "dst_port": "23"}, "action": "reject", "log": true},
    {"policy_id": "no-names", "conditions": {"protocol": "udp", "dst_port": "5353"}, "action": "reject", "log": true},
    {"policy_id": "not-here", "conditions": {"vlan": "42", "dst_port": "24"}, "action": "reject", "log": true}"#;

/// Takes connections on 23 and 24, so that only the appliance can refuse them; answers datagrams with
/// themselves.
const LISTENER: &str = "
import selectors, socket
waiting = selectors.DefaultSelector()
for kind, port in ((socket.SOCK_STREAM, 23), (socket.SOCK_STREAM, 24), (socket.SOCK_DGRAM, 5353), (socket.SOCK_DGRAM, 5354)):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('::', port))
    if kind == socket.SOCK_STREAM: s.listen()
    waiting.register(s, selectors.EVENT_READ, kind)
while True:
    for key, _ in waiting.select():
        if key.data == socket.SOCK_STREAM: key.fileobj.accept()[0].close()
        else: key.fileobj.sendto(*key.fileobj.recvfrom(2000))
";

/// Tries each address that it is given; a line a try: what, address, what came, within how many milliseconds.
const PROBES: &str = "
import concurrent.futures, socket, sys, time
def outcome(probe):
    began = time.monotonic()
    try: word = probe()
    except TimeoutError: word = 'silence'
    except OSError as error: word = error.strerror
    return word, int((time.monotonic() - began) * 1000)
def connect(address, port):
    def probe():
        socket.create_connection((address, port), 1).close()
        return 'open'
    return probe
def datagram(address, port, size):
    def probe():
        s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(1)
        s.connect((address, port))
        s.send(bytes(size))
        return 'echo' if s.recv(2000) == bytes(size) else 'garbage'
    return probe
def probes(address):
    return [(name, address, *outcome(probe)) for name, probe in (
        ('telnet', connect(address, 23)), ('vlan', connect(address, 24)),
        ('names', datagram(address, 5353, 40)), ('large names', datagram(address, 5353, 1200)),
        ('other', datagram(address, 5354, 40)), ('large other', datagram(address, 5354, 1200)),
    )]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for outcomes in pool.map(probes, sys.argv[1:]):
        for line in outcomes: print(*line, sep='|')
";

/// Pings every address of the other host. One echo request each: after an answer ping waits for later ones
/// only as long as that one took.
fn pings_cross(lab: &Lab, from: Host) {
    for case in CASES {
        for address in case.inside(other(from)) {
            let output = lab.on(from, &["ping", "-c", "1", "-W", "5", &address]);
            assert!(
                said(&output).contains(" 1 received"),
                "{} {from:?}: {output:?}\n{}\n{}",
                case.name,
                lab.reasons(),
                lab.ctl(&["telemetry", "wire"])
            );
        }
    }
}

fn web_and_throughput(lab: &Lab) {
    let file: Vec<u8> =
        (0..300_000_u32).flat_map(|word| (word % 65_521).to_le_bytes()).take(100_000).collect();
    lab.write("www/file", &file);
    for case in CASES {
        for address in case.inside(Host::Server) {
            let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            let (code, body) = lab.curl(&format!("http://{host}/file"));
            assert_eq!(code, Some(0), "{}: {}", case.name, lab.reasons());
            assert!(body == file, "{}: {} bytes came, not the same", case.name, body.len());
        }
        let address = case.inside(Host::Server).remove(0);
        // Not in reverse (`-R`): veth spreads one flow over its queues where the kernel's flow dissector does not
        // reach the ports (QinQ, fragments), so the first datagram can overtake the server's word that it
        // begins, and iperf3 throws it away as not that word. Large answers come back with curl and the probes.
        for words in [&["-n", "100K"][..], &["-u", "-b", "50M", "-n", "100K"]] {
            let report = lab.iperf3(&[&[address.as_str()], words].concat());
            let lost = &report["end"]["sum"]["lost_packets"];
            assert!(
                lost.is_null() || lost == 0,
                "{}: {}\n{}",
                case.name,
                report["end"]["sum"],
                lab.reasons()
            );
        }
    }
}

fn policy_is_obeyed_inside(lab: &Lab, from: Host) {
    let addresses: Vec<String> = CASES.iter().flat_map(|case| case.inside(other(from))).collect();
    let words: Vec<&str> =
        ["python3", "-c", PROBES].into_iter().chain(addresses.iter().map(String::as_str)).collect();
    let output = lab.on(from, &words);
    assert!(output.status.success(), "{output:?}");
    let text = said(&output);
    let outcomes: BTreeMap<(&str, &str), (&str, u32)> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split('|').collect();
            ((words[0], words[1]), (words[2], words[3].parse().unwrap()))
        })
        .collect();
    for case in CASES {
        let is_answered = expected(case).is_answered;
        for address in &case.inside(other(from)) {
            // RFC 1812 5.2.7.1 and RFC 4443 3.1: administratively prohibited, as Linux tells it.
            let prohibited = if address.contains(':') { "Permission denied" } else { "No route to host" };
            let here = case.layout == Layout::Vlan { id: 42 };
            // Fragments are never answered, so neither is what came in some.
            let is_large_answered = is_answered && case.fragment_bytes.is_none();
            for (probe, wanted) in [
                ("telnet", if is_answered { "Connection refused" } else { "silence" }),
                ("vlan", if here { "Connection refused" } else { "open" }),
                ("names", if is_answered { prohibited } else { "silence" }),
                ("large names", if is_large_answered { prohibited } else { "silence" }),
                ("other", "echo"),
                ("large other", "echo"),
            ] {
                let (came, after_ms) = outcomes[&(probe, address.as_str())];
                let told = format!("{} {from:?}, {probe} to {address}, after {after_ms} ms", case.name);
                assert_eq!(came, wanted, "{told}; {}", lab.reasons());
                assert!(wanted == "silence" || after_ms < 500, "{told}: not at once");
            }
        }
    }
}

/// Flows that started at the client, as the appliance tells them.
fn inner_flows_are_told(told_by: &str, flows: &[&Value]) {
    for flow in flows {
        let address = flow["src_ip"].as_str().unwrap();
        let is_inside = address.starts_with("10.80.") || address.starts_with("fd80:");
        // What a host's own interface says of itself: multicast listener reports, router solicitations.
        let is_link_local = address.starts_with("fe80:") || address == "::" || address.starts_with("0000:");
        assert!(is_inside || is_link_local, "{told_by}: an outer flow: {flow}");
    }
    for case in CASES {
        let wanted = expected(case);
        let (here, there) = (case.inside(Host::Client), case.inside(Host::Server));
        for (src, dst) in here.iter().zip(&there) {
            let icmp = if src.contains(':') { "IPv6-ICMP" } else { "ICMP" };
            for (proto, port) in [(icmp, None), ("TCP", Some(80)), ("TCP", Some(23)), ("UDP", Some(5354))] {
                let same = |flow: &Value| {
                    flow["src_ip"].as_str().is_some_and(|text| is_address(text, src))
                        && flow["dest_ip"].as_str().is_some_and(|text| is_address(text, dst))
                        && flow["proto"] == proto
                        && port.is_none_or(|port| flow["dest_port"] == port)
                };
                let found = flows.iter().find(|flow| same(flow));
                let flow = found.unwrap_or_else(|| panic!("{told_by}: no {proto} {port:?} of {}", case.name));
                let notes = &flow["jarvis"];
                assert_eq!(notes["tunnel"].as_str(), wanted.tunnel, "{told_by}, {}: {flow}", case.name);
                assert_eq!(notes["vni"], json!(wanted.vni), "{told_by}, {}: {flow}", case.name);
                assert_eq!(flow["vlan"], wanted.vlan, "{told_by}, {}: {flow}", case.name);
                let refused = port == Some(23);
                let answers = flow["flow"]["pkts_toclient"].as_u64().unwrap();
                assert_eq!(answers == 0, refused, "{told_by}, {}: {flow}", case.name);
                let policy_id = if refused { json!("no-telnet") } else { Value::Null };
                assert_eq!(notes["policy_id"], policy_id, "{told_by}, {}: {flow}", case.name);
            }
        }
    }
}

/// Whether two texts are the same address.
fn is_address(a: &str, b: &str) -> bool {
    let parse = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    parse(a) == parse(b)
}

/// Columns of [`tshark`].
const FIELDS: [&str; 10] = [
    "eth.dst",
    "frame.protocols",
    "_ws.malformed",
    "tcp.checksum",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "gre.checksum.status",
];

fn tshark(lab: &Lab, file: &str) -> Vec<Vec<String>> {
    let path = lab.path(file);
    let mut words = vec!["-n", "-r", path.to_str().unwrap(), "-T", "fields", "-E", "separator=|"];
    for check in [
        "ip.check_checksum:TRUE",
        "tcp.check_checksum:TRUE",
        "udp.check_checksum:TRUE",
        "ip.defragment:TRUE",
        "tcp.desegment_tcp_streams:FALSE",
    ] {
        words.extend(["-o", check]);
    }
    words.extend(FIELDS.iter().flat_map(|field| ["-e", *field]));
    let output = sh("tshark", &words);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// What tshark makes of the frames that a host sent and received.
fn tshark_agrees(lab: &Lab, host: Host, file: &str) {
    let rows = tshark(lab, file);
    for case in CASES {
        let mac = |from: Host| {
            let macs = case.macs(from);
            macs[..6].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
        };
        let of_case = [mac(Host::Client), mac(Host::Server)];
        let stack = expected(case).stack;
        // Behind the innermost transport tshark guesses by port numbers, and calls malformed what is not what it guessed.
        let is_payload = |protocols: &str| {
            ["ip:tcp:", "ip:udp:", "ipv6:tcp:", "ipv6:udp:"]
                .iter()
                .any(|transport| protocols.starts_with(&format!("eth:ethertype{stack}:{transport}")))
        };
        let mut seen = BTreeSet::new();
        for row in rows.iter().filter(|row| of_case.iter().any(|mac| row[0].starts_with(mac.as_str()))) {
            assert!(
                row[2].is_empty() || is_payload(&row[1]),
                "{} at {host:?}: malformed: {row:?}",
                case.name
            );
            for (field, statuses) in FIELDS.iter().zip(row).skip(4) {
                // Linux writes a TCP checksum of 0 as 0xffff, which sums up to the same (skb_checksum_help);
                // tshark insists on 0.
                let is_zero = *field == "tcp.checksum.status" && row[3].contains("0xffff");
                // 0 is bad; 1 good, 2 not verified (a datagram quoted in part), 3 not present.
                let is_bad = statuses.split(',').any(|status| status == "0");
                assert!(!is_bad || is_zero, "{} at {host:?}: {field}: {row:?}", case.name);
            }
            seen.insert(row[1].as_str());
        }
        for (v4, v6) in [("tcp", "tcp"), ("udp", "udp"), ("icmp", "icmpv6")] {
            for (ip, transport) in [("ip", v4), ("ipv6", v6)] {
                let wanted = format!("eth:ethertype{stack}:{ip}:{transport}");
                let is_there = seen.iter().any(|protocols| {
                    protocols
                        .strip_prefix(wanted.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                });
                let can_be = ip == "ipv6" || case.carries_v4();
                assert_eq!(is_there, can_be, "{} at {host:?}: {wanted} in {seen:#?}", case.name);
            }
        }
    }
}

#[test]
fn wrapped_traffic_of_real_programs_is_seen_and_judged_by_its_inner_packets() {
    let Some(lab) = Lab::up(&[]) else { return };
    wrapped_traffic_is_seen_and_judged(&lab, "");
}

#[test]
fn wrapped_traffic_is_seen_and_judged_by_its_inner_packets_with_two_workers() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let Some(lab) = Lab::up(&["--queues", "2"]) else { return };
    wrapped_traffic_is_seen_and_judged(&lab, "[worker]\ncount = 2\ncores = [0, 1]\nring_entries = 1024\n");
}

fn wrapped_traffic_is_seen_and_judged(lab: &Lab, workers: &str) {
    // What is asked here must not depend on how busy the machine is: pauses, and flows still there at the
    // end.
    lab.policy(
        &format!("{workers}[wire]\nwatchdog_ms = 10000\n[flow.timeout_s]\nicmp = 300\ntcp_time_wait = 300\ntcp_closed = 300\n"),
        POLICIES,
    );
    let daemon = lab.start();
    let captures = [Host::Client, Host::Server].map(|host| {
        let file = format!("{host:?}.pcap");
        let path = lab.path(&file);
        (host, lab.tcpdump(host, &["-U", "-B", "16384", "-i", "eth0", "-w", path.to_str().unwrap()]), file)
    });
    let wrappers = [Host::Client, Host::Server].map(|host| Wrapper::start(lab, host, CASES));
    let _listeners = [Host::Client, Host::Server].map(|host| lab.serve_python(host, LISTENER, 5354));
    let _http = lab.serve_http(80);
    let _iperf3 = lab.serve_iperf3();

    pings_cross(lab, Host::Client);
    pings_cross(lab, Host::Server);
    web_and_throughput(lab);
    policy_is_obeyed_inside(lab, Host::Client);
    policy_is_obeyed_inside(lab, Host::Server);

    let page = lab.ctl(&["flows", "--limit", "1000"]);
    inner_flows_are_told("the flow query", &page["flows"].as_array().unwrap().iter().collect::<Vec<_>>());
    for wrapper in wrappers {
        let seen = wrapper.finish();
        assert!(seen.faults.is_empty(), "{:#?}", &seen.faults[..seen.faults.len().min(5)]);
        assert!(seen.reassembled > 50, "{}", seen.reassembled);
    }
    daemon.stop();
    assert!(!lab.log().contains("lost track"), "{}", lab.log());
    let events = lab.events();
    let of = |kind: &str| events.iter().filter(|event| event["event_type"] == kind).collect::<Vec<_>>();
    inner_flows_are_told("EVE", &of("flow"));
    for (host, capture, file) in captures {
        capture.interrupt();
        tshark_agrees(lab, host, &file);
    }
}
