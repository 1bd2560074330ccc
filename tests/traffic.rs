//! Does traffic that may cross do so unharmed, and does every verdict look on the wire as it should?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, UDP_ECHO, eventually, said};

const TWO_WORKERS: &str = "[worker]\ncount = 2\ncores = [0, 1]\nring_entries = 1024\n";

/// 5 MB that no one can compress or guess.
fn five_megabytes() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(625_000)
    .flatten()
    .collect()
}

/// Ping, HTTP and iperf3 over both versions and in both directions.
fn everything_crosses(lab: &Lab) {
    for (host, v4, v6) in [(Host::Client, "10.77.0.2", "fd77::2"), (Host::Server, "10.77.0.1", "fd77::1")] {
        assert_eq!(lab.pings_of(host, v4), 3, "{host:?} {}", lab.log());
        assert_eq!(lab.pings_of(host, v6), 3, "{host:?} {}", lab.log());
    }
    let _http = lab.serve_http(80);
    let file = five_megabytes();
    lab.write("www/file", &file);
    for url in ["http://10.77.0.2/file", "http://[fd77::2]/file"] {
        let (code, body) = lab.curl(url);
        assert_eq!(code, Some(0), "{url}: {}", lab.log());
        assert!(body == file, "{url}: {} bytes came, not the same", body.len());
    }
    let _iperf3 = lab.serve_iperf3();
    for address in ["10.77.0.2", "fd77::2"] {
        for words in [&[][..], &["-R"], &["-u", "-b", "20M"], &["-u", "-b", "20M", "-R"]] {
            let report = lab.iperf3(&[&[address, "-t", "1"], words].concat());
            let end = &report["end"];
            let total = if end["sum_received"].is_null() { &end["sum"] } else { &end["sum_received"] };
            assert!(total["bytes"].as_u64().unwrap() > 1_000_000, "{address} {words:?}: {end}");
        }
    }
}

#[test]
fn both_directions_and_versions_cross_one_worker() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let daemon = lab.start();
    everything_crosses(&lab);
    daemon.stop();
    assert!(!lab.log().contains("lost track"), "{}", lab.log());
}

#[test]
fn both_directions_and_versions_cross_two_workers() {
    let Some((lab, more)) = lab_for(2) else { return };
    lab.config(more);
    let daemon = lab.start();
    everything_crosses(&lab);
    let telemetry = lab.ctl(&["telemetry", "workers"]);
    let workers = telemetry["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|row| row["frames"]["forwarded"].as_u64().unwrap() > 0), "{telemetry}");
    daemon.stop();
    assert!(!lab.log().contains("lost track"), "{}", lab.log());
}

/// Fragments of large echo requests, in both versions.
fn fragments_cross(lab: &Lab) {
    for size in ["4000", "20000"] {
        for address in ["10.77.0.2", "fd77::2"] {
            let output =
                lab.client(&["ping", "-M", "dont", "-c", "3", "-i", "0.05", "-W", "2", "-s", size, address]);
            assert!(said(&output).contains(" 3 received"), "{size} {address}: {output:?}\n{}", lab.log());
        }
    }
}

#[test]
fn the_largest_frame_and_fragments_cross() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let _daemon = lab.start();
    for (size, address) in [("1472", "10.77.0.2"), ("1452", "fd77::2")] {
        let output =
            lab.client(&["ping", "-M", "do", "-c", "3", "-i", "0.05", "-W", "1", "-s", size, address]);
        assert!(said(&output).contains(" 3 received"), "{address}: {output:?}\n{}", lab.log());
    }
    fragments_cross(&lab);
}

#[test]
fn fragments_cross_two_workers() {
    let Some((lab, more)) = lab_for(2) else { return };
    lab.config(more);
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    fragments_cross(&lab);
}

#[test]
fn jumbo_frames_cross_in_several_buffers() {
    let Some(lab) = Lab::up(&["--mtu", "9000"]) else { return };
    lab.config("");
    let _daemon = lab.start();
    for (size, address) in [("8972", "10.77.0.2"), ("8952", "fd77::2")] {
        let output =
            lab.client(&["ping", "-M", "do", "-c", "3", "-i", "0.05", "-W", "1", "-s", size, address]);
        assert!(said(&output).contains(" 3 received"), "{address}: {output:?}\n{}", lab.log());
    }
    fragments_cross(&lab);
    let _http = lab.serve_http(80);
    let file = five_megabytes();
    lab.write("www/file", &file);
    let (code, body) = lab.curl("http://10.77.0.2/file");
    assert_eq!(code, Some(0), "{}", lab.log());
    assert!(body == file);
}

#[test]
fn impossible_packets_are_counted_and_harm_nobody() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let mut daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let burst = ["-c", "5", "-i", "u2000", "-p", "80", "10.77.0.2"];
    // SYN with FIN, SYN with RST, no flag at all, all flags.
    for flags in [&["-S", "-F"][..], &["-S", "-R"], &["-Y", "-X"], &["-F", "-S", "-R", "-P", "-A", "-U"]] {
        lab.client(&[&["hping3"], flags, &burst].concat());
    }
    assert!(lab.counted("tcp_flags") >= 10, "{}", lab.reasons());
    // Tiny fragments, a bad checksum, land, an unknown protocol, ICMP of odd types.
    for words in [
        &["-f", "-d", "600", "-S"][..],
        &["-b", "-S"],
        &["-a", "10.77.0.2", "-s", "80", "-k", "-S"],
        &["-0", "-H", "250"],
        &["-1", "-C", "40", "-K", "9"],
        &["-2", "-d", "0"],
    ] {
        lab.client(&[&["hping3"], words, &burst].concat());
    }
    assert!(lab.counted("same_source_destination") > 0, "{}", lab.reasons());
    // nmap's null, FIN and Xmas scans, its fragmenting SYN scan, and its guesses at the system.
    for scan in [&["-sN"][..], &["-sF"], &["-sX"], &["-sS", "-f"], &["-sO"]] {
        let output = lab.client(
            &[
                &["nmap", "-n", "-Pn", "--max-retries", "0", "--host-timeout", "4s", "-p", "20-40"],
                scan,
                &["10.77.0.2"],
            ]
            .concat(),
        );
        assert!(said(&output).contains("Nmap done"), "{output:?}");
    }
    assert!(daemon.runs(), "{}", lab.log());
    assert_eq!(lab.pings(), 3, "{}", lab.log());
}

/// A client that sends one datagram and tells what came back.
const UDP_CLIENT: &str = "
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
s.settimeout(1)
s.send(b'hello')
try: print('answer', s.recv(100).decode())
except TimeoutError: print('silence')
except OSError as error: print('error', error.errno)
";

fn udp(lab: &Lab, address: &str, port: u16) -> String {
    let output = lab.client(&["python3", "-c", UDP_CLIENT, address, &port.to_string()]);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A lab for one worker, or for two; `None` where it cannot be.
fn lab_for(workers: usize) -> Option<(Lab, &'static str)> {
    if workers == 1 {
        return Some((Lab::up(&[])?, ""));
    }
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("skipped: needs two cores");
        return None;
    }
    Some((Lab::up(&["--queues", "2"])?, TWO_WORKERS))
}

#[test]
fn drop_is_silent_and_reject_answers_at_once() {
    drop_and_reject(1);
}

#[test]
fn drop_is_silent_and_reject_answers_at_once_with_two_workers() {
    drop_and_reject(2);
}

fn drop_and_reject(workers: usize) {
    let Some((lab, more)) = lab_for(workers) else { return };
    lab.policy(
        more,
        r#"{"policy_id": "r", "conditions": {"dst_port": ["8080", "5353"]}, "action": "reject"},
           {"policy_id": "d", "conditions": {"dst_port": ["9090"]}, "action": "drop"}"#,
    );
    let _daemon = lab.start();
    let _echo = lab.serve_python(Host::Server, UDP_ECHO, 5353);
    let _http = lab.serve_http(8080);
    let _other = lab.serve_http(9090);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    for address in ["10.77.0.2", "[fd77::2]"] {
        let (code, _) = lab.curl(&format!("http://{address}:8080/word"));
        assert_eq!(code, Some(7), "{address}: refused");
        let url = format!("http://{address}:9090/word");
        let output = lab.client(&["curl", "--silent", "--globoff", "--max-time", "1", &url]);
        assert_eq!(output.status.code(), Some(28), "{address}: no answer");
    }
    // RFC 1812 5.2.7.1 and RFC 4443 3.1: administratively prohibited, as Linux tells it.
    assert_eq!(udp(&lab, "10.77.0.2", 5353), "error 113", "{}", lab.reasons());
    assert_eq!(udp(&lab, "fd77::2", 5353), "error 13");
    assert_eq!(udp(&lab, "10.77.0.2", 9090), "silence");
    assert!(lab.counted("policy_reject") >= 4 && lab.counted("policy_drop") >= 3);
}

#[test]
fn a_redirected_port_reaches_the_other_server_and_its_answers_come_back() {
    redirect_there_and_back(1);
}

#[test]
fn a_redirected_port_reaches_the_other_server_with_two_workers() {
    redirect_there_and_back(2);
}

fn redirect_there_and_back(workers: usize) {
    let Some((lab, more)) = lab_for(workers) else { return };
    let redirect = |id: &str, from: &str, port: u16, to: &str| {
        format!(
            "{{\"policy_id\": \"{id}\", \"conditions\": {{\"dst_ip\": [\"{from}\"], \"dst_port\": [\"{port}\"]}}, \
             \"action\": {{\"redirect\": {{\"to\": \"{to}\"}}}}}}"
        )
    };
    let policies = [
        redirect("a", "10.77.0.2", 8081, "10.77.0.2:80"),
        redirect("b", "fd77::2", 8081, "[fd77::2]:80"),
        redirect("c", "10.77.0.2", 5354, "10.77.0.2:5353"),
        redirect("d", "fd77::2", 5354, "[fd77::2]:5353"),
    ];
    lab.policy(more, &policies.join(",\n"));
    let _daemon = lab.start();
    let _http = lab.serve_http(80);
    let _echo = lab.serve_python(Host::Server, UDP_ECHO, 5353);
    let file = five_megabytes();
    lab.write("www/file", &file);
    for address in ["10.77.0.2", "[fd77::2]"] {
        let (code, body) = lab.curl(&format!("http://{address}:8081/file"));
        assert_eq!(code, Some(0), "{address}: {}", lab.log());
        assert!(body == file, "{address}");
        assert_eq!(lab.curl(&format!("http://{address}/word")).1, b"served\n", "the server itself");
    }
    for address in ["10.77.0.2", "fd77::2"] {
        assert_eq!(udp(&lab, address, 5354), "answer hello", "{address}");
        assert_eq!(udp(&lab, address, 5353), "answer hello", "{address}");
    }
    assert!(lab.ctl(&["status"])["frames"]["redirected"].as_u64().unwrap() > 100);
}

#[test]
fn a_rate_limit_holds_within_a_tenth() {
    rate_limit(1);
}

#[test]
fn a_rate_limit_holds_within_a_tenth_over_two_workers_together() {
    rate_limit(2);
}

const UDP_SINK: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.77.0.2', 5201))
while True: s.recv(2000)
";

/// Five seconds of a megabyte each, over flows whose ports lie so that either of two workers owns some.
const UDP_FLOOD: &str = "
import socket, time
flows = []
for port in range(40000, 40008):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('10.77.0.1', port))
    s.connect(('10.77.0.2', 5201))
    flows.append(s)
sent, begun = 0, time.monotonic()
while (passed := time.monotonic() - begun) < 5:
    while sent * 1200 < passed * 1000000:
        flows[sent % 8].send(b'x' * 1200)
        sent += 1
    time.sleep(0.001)
";

fn rate_limit(workers: usize) {
    let Some((lab, more)) = lab_for(workers) else { return };
    lab.policy(
        more,
        r#"{"policy_id": "slow", "conditions": {"protocol": ["udp"], "dst_port": ["5201"]},
            "action": {"rate_limit": {"bytes_per_s": 250000, "burst_bytes": 25000, "per": "rule"}}}"#,
    );
    let _daemon = lab.start();
    let _sink = lab.serve_python(Host::Server, UDP_SINK, 5201);
    let received = || -> u64 {
        let output = lab.on(Host::Server, &["cat", "/sys/class/net/eth0/statistics/rx_bytes"]);
        said(&output).trim().parse().unwrap()
    };
    let before = received();
    let sent = lab.client(&["python3", "-c", UDP_FLOOD]);
    assert!(sent.status.success(), "{sent:?}");
    let bytes = received() - before;
    // Five seconds at 250,000 bytes a second, and the burst.
    assert!((1_125_000..1_375_000).contains(&bytes), "{bytes} bytes in 5 s");
    let limited = by_worker(&lab, "rate_limited");
    assert_eq!(limited.len(), workers);
    assert!(limited.iter().all(|count| *count > 0), "dropped by worker: {limited:?}");
}

/// How often each worker counted `reason`.
fn by_worker(lab: &Lab, reason: &str) -> Vec<u64> {
    let telemetry = lab.ctl(&["telemetry", "reasons"]);
    let rows = telemetry["reasons"].as_array().unwrap();
    let row = rows.iter().find(|row| row["reason"] == reason).unwrap();
    row["workers"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

/// Makes a mirror port with a queue for each worker, whose far end is `mirror` on the server; its configuration.
fn mirror_port(lab: &Lab, workers: usize) -> String {
    let mirror = format!("{}-m", lab.name);
    let (queues, namespace) = (workers.to_string(), lab.namespace(Host::Server));
    // In the server's namespace the far end goes with the lab.
    let near = ["link", "add", &mirror, "numrxqueues", &queues, "numtxqueues", &queues, "type", "veth"];
    let far = ["peer", "name", "mirror", "netns", &namespace, "numrxqueues", &queues, "numtxqueues", &queues];
    let made = lab::sh("ip", &[&near[..], &far[..]].concat());
    assert!(made.status.success(), "{made:?}");
    assert!(lab::sh("ip", &["link", "set", &mirror, "up"]).status.success());
    assert!(lab.on(Host::Server, &["ip", "link", "set", "mirror", "up"]).status.success());
    format!("[mirror]\ninterface = \"{mirror}\"\n")
}

/// Sends 15 datagrams from each of eight ports, each with a word of its own, and waits for its answer. The ports
/// lie so that either of two workers owns some.
const UDP_WORDS: &str = "
import socket
for flow in range(8):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('10.77.0.1', 40000 + flow))
    s.connect(('10.77.0.2', 5353))
    s.settimeout(2)
    for n in range(15):
        word = b'word-%d-%02d.' % (flow, n)
        s.send(word)
        assert s.recv(100) == word
print('answered')
";

#[test]
fn mirrored_frames_of_two_workers_arrive_once_each() {
    let Some((lab, more)) = lab_for(2) else { return };
    let mirror = mirror_port(&lab, 2);
    lab.policy(
        &format!("{more}{mirror}"),
        r#"{"policy_id": "m", "conditions": {"dst_port": ["5353"]}, "action": "allow", "mirror": true}"#,
    );
    let _daemon = lab.start();
    let _echo = lab.serve_python(Host::Server, UDP_ECHO, 5353);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let capture = lab.tcpdump(Host::Server, &["-l", "-A", "-i", "mirror", "udp", "port", "5353"]);
    assert_eq!(said(&lab.client(&["python3", "-c", UDP_WORDS])), "answered\n", "{}", lab.reasons());
    let mirrored = || -> Vec<u64> {
        let telemetry = lab.ctl(&["telemetry", "workers"]);
        let workers = telemetry["workers"].as_array().unwrap().iter();
        workers.map(|row| row["frames"]["mirrored"].as_u64().unwrap()).collect()
    };
    eventually("every copy is made", || mirrored().iter().sum::<u64>() >= 240);
    // A copy too many would come right behind.
    assert_eq!(lab.pings(), 3);
    assert_eq!(mirrored().iter().sum::<u64>(), 240, "{:?}", mirrored());
    assert!(mirrored().iter().all(|count| *count > 0), "{:?}", mirrored());
    assert_eq!(lab.counted("mirror_skipped"), 0);
    let text = capture.interrupt();
    for flow in 0..8 {
        for n in 0..15 {
            let word = format!("word-{flow}-{n:02}.");
            assert_eq!(text.matches(&word).count(), 2, "{word} there and back:\n{text}");
        }
    }
}

#[test]
fn mirrored_frames_leave_by_the_mirror_port_too() {
    let Some(lab) = Lab::up(&[]) else { return };
    let mirror = mirror_port(&lab, 1);
    lab.policy(
        &mirror,
        r#"{"policy_id": "m", "conditions": {"protocol": ["icmp"]}, "action": "allow", "mirror": true}"#,
    );
    let _daemon = lab.start();
    let capture = lab.tcpdump(Host::Server, &["-l", "-c", "6", "-i", "mirror", "icmp"]);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let (complete, text) = capture.finish();
    assert!(complete, "{text}");
    assert_eq!(text.matches("echo request").count(), 3, "{text}");
    assert_eq!(text.matches("echo reply").count(), 3, "{text}");
    assert_eq!(lab.ctl(&["status"])["frames"]["mirrored"], 6);
}

/// Opens a connection to port 80 from port 40000 and keeps it.
const IDLE_CLIENT: &str = "
import socket
s = socket.create_connection(('10.77.0.2', 80), 5, ('10.77.0.1', 40000))
print('open', flush=True)
s.settimeout(None)
s.recv(1)
";

#[test]
fn strict_drops_what_is_outside_of_the_window_and_without_it_is_only_counted() {
    for (strict, dropped) in [(true, true), (false, false)] {
        let Some(lab) = Lab::up(&[]) else { return };
        lab.config("[policy]\nfile = \"policy.json\"\n");
        lab.write(
            "policy.json",
            format!("{{\"default_action\": \"allow\", \"strict\": {strict}, \"policies\": []}}"),
        );
        let _daemon = lab.start();
        let _http = lab.serve_http(80);
        let _idle = lab.background(Host::Client, &["python3", "-c", IDLE_CLIENT]);
        eventually("the flow is open", || {
            let flows = lab.ctl(&["flows", "port=40000", "state=established"]);
            flows["flows"].as_array().is_some_and(|flows| !flows.is_empty())
        });
        let before = lab.ctl(&["status"])["frames"]["dropped"].as_u64().unwrap();
        let forged = [
            "hping3", "-c", "4", "-i", "u2000", "-A", "-P", "-d", "9", "-s", "40000", "-k", "-p", "80", "-M",
            "1", "-L", "1",
        ];
        lab.client(&[&forged[..], &["10.77.0.2"]].concat());
        let after = lab.ctl(&["status"])["frames"]["dropped"].as_u64().unwrap();
        let counted = if strict {
            lab.counted("tcp_out_of_window") + lab.counted("tcp_ack_invalid")
        } else {
            lab.counted("tcp_out_of_window_forwarded") + lab.counted("tcp_ack_invalid_forwarded")
        };
        assert!(counted >= 4, "strict {strict}: {}", lab.reasons());
        assert_eq!(after >= before + 4, dropped, "strict {strict}: {before} then {after} dropped");
    }
}
