//! Does the box answer at its own addresses on the wire, and stay invisible otherwise?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::service::{up, v4, v6};
use lab::{Host, Lab, eventually, said, sh};

/// The MAC that `host` has learned for `address`.
fn neighbour(lab: &Lab, host: Host, address: &str) -> String {
    let text = said(&lab.on(host, &["ip", "neigh", "show", address]));
    text.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned()
}

#[test]
fn the_service_addresses_answer_ping_on_both_sides() {
    let Some((lab, _tap)) = up(&[], "") else { return };
    let _daemon = lab.start();
    for host in [Host::Client, Host::Server] {
        assert_eq!(lab.pings_of(host, &v4(3)), 3, "{host:?}\n{}", lab.log());
        eventually("the IPv6 service address is ready", || lab.pings_of(host, &v6(3)) == 3);
    }
    assert_eq!(lab.pings(), 3, "what is not for the box still crosses");
    assert_eq!(lab.pings_of(Host::Client, &v4(2)), 3, "also in the service network");
    assert!(lab.ctl(&["status"])["frames"]["to_host"].as_u64().unwrap() > 0);
}

#[test]
fn the_service_address_answers_frames_longer_than_a_chunk() {
    let Some((lab, _tap)) = up(&["--mtu", "9000"], "") else { return };
    let _daemon = lab.start();
    for (address, size) in [(v4(3), "8972"), (v6(3), "8952")] {
        eventually("the service address is ready", || lab.pings_of(Host::Client, &address) == 3);
        let words = ["ping", "-M", "do", "-c", "3", "-i", "0.05", "-W", "2", "-s", size, &address];
        let output = lab.client(&words);
        assert!(said(&output).contains(" 3 received"), "{address}: {output:?}\n{}", lab.reasons());
    }
}

#[test]
fn a_server_on_the_box_is_reached_from_both_sides() {
    let Some((lab, tap)) = up(&[], "") else { return };
    let _daemon = lab.start();
    assert!(said(&sh("ip", &["addr", "show", &tap])).contains(&v4(3)));
    let listener = std::net::TcpListener::bind((v4(3), 8080)).unwrap();
    let thread = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nthe box\n").unwrap();
        }
    });
    for host in [Host::Client, Host::Server] {
        let url = format!("http://{}:8080/", v4(3));
        let output = lab.on(host, &["curl", "--silent", "--show-error", "--max-time", "10", &url]);
        assert_eq!(said(&output), "the box\n", "{host:?}\n{}", lab.reasons());
    }
    thread.join().unwrap();
}

/// Redirects two ports of anyone to the box.
const TO_THE_BOX: &str = r#"{"default_action": "allow", "policies": [
    {"policy_id": "portal", "conditions": {"protocol": "tcp", "dst_port": 8081},
     "action": {"redirect": {"to": "service:8080"}}},
    {"policy_id": "resolver", "conditions": {"protocol": "udp", "dst_port": 5354},
     "action": {"redirect": {"to": "service:5353"}}}]}"#;

/// Connects from eight ports, tells what was answered and by whom.
const ASK: &str = "
import socket, sys
for port in range(40000, 40008):
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', port))
    s.settimeout(5)
    s.connect((sys.argv[1], 8081))
    s.sendall(b'who?')
    answer = b''
    while data := s.recv(100): answer += data
    print(answer.decode(), s.getpeername()[0])
    s.close()
u = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(5)
u.connect((sys.argv[1], 5354))
u.send(b'name?')
print(u.recv(100).decode(), u.getpeername()[0])
";

fn a_redirect_reaches_the_box(words: &[&str], more: &str) {
    let Some((lab, _tap)) = up(words, &format!("{more}[policy]\nfile = \"policy.json\"\n")) else {
        return;
    };
    lab.write("policy.json", TO_THE_BOX);
    let daemon = lab.start();
    for (host, other) in [(Host::Client, 2), (Host::Server, 1)] {
        for (here, there) in [(v4(3), v4(other)), (v6(3), v6(other))] {
            // Neighbours and duplicate address detection are settled then.
            eventually("the service address is ready", || lab.pings_of(host, &here) == 3);
            let listener = std::net::TcpListener::bind((here.as_str(), 8080)).unwrap();
            let socket = std::net::UdpSocket::bind((here.as_str(), 5353)).unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            let thread = std::thread::spawn(move || {
                use std::io::{Read, Write};
                for _ in 0..8 {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut question = [0; 4];
                    stream.read_exact(&mut question).unwrap();
                    stream.write_all(b"the box").unwrap();
                }
                let mut question = [0; 100];
                let (len, peer) = socket.recv_from(&mut question).unwrap();
                socket.send_to(&question[..len], peer).unwrap();
            });
            let output = lab.on(host, &["python3", "-c", ASK, &there]);
            let wanted = format!("{}name? {there}\n", format!("the box {there}\n").repeat(8));
            assert_eq!(said(&output), wanted, "{host:?}\n{}\n{}", lab.reasons(), lab.ctl(&["flows"]));
            thread.join().unwrap();
        }
    }
    // With nobody there any more the box itself refuses, in the name of whom the client asked.
    let refused =
        lab.on(Host::Client, &["curl", "--silent", "--max-time", "5", &format!("http://{}:8081/", v4(2))]);
    assert_eq!(refused.status.code(), Some(7), "{}", lab.reasons());
    let status = lab.ctl(&["status"]);
    assert!(status["frames"]["redirected"].as_u64().unwrap() > 100, "{status}");
    assert_eq!(status["frames"]["dropped"], 0, "{}", lab.reasons());
    daemon.stop();
    assert!(!lab.log().contains("lost track"), "{}", lab.log());
}

#[test]
fn a_redirect_to_the_service_address_reaches_the_box_from_both_sides() {
    a_redirect_reaches_the_box(&[], "");
}

#[test]
fn a_redirect_to_the_service_address_reaches_the_box_through_two_workers() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("skipped: needs two cores");
        return;
    }
    let two = "[worker]\ncount = 2\ncores = [0, 1]\nring_entries = 1024\n";
    a_redirect_reaches_the_box(&["--queues", "2"], two);
}

#[test]
fn arp_is_answered_for_the_service_address_only_and_its_frames_never_cross() {
    let Some((lab, tap)) = up(&[], "") else { return };
    let _daemon = lab.start();
    let filter = ["host", &v4(3), "or", "host", "10.77.0.1"];
    let capture = lab.tcpdump(Host::Server, &[&["-l", "-i", "eth0"], &filter[..]].concat());
    assert_eq!(lab.pings_of(Host::Client, &v4(3)), 3, "{}", lab.log());
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let box_mac = std::fs::read_to_string(format!("/sys/class/net/{tap}/address")).unwrap();
    assert_eq!(neighbour(&lab, Host::Client, &v4(3)), box_mac.trim());
    assert_eq!(
        neighbour(&lab, Host::Client, "10.77.0.2"),
        "02:00:00:00:00:02",
        "others speak for themselves"
    );
    assert_eq!(lab.pings_of(Host::Client, &v4(99)), 0);
    assert_eq!(neighbour(&lab, Host::Client, &v4(99)), "", "nobody speaks for an address that is nobody's");
    let text = capture.interrupt();
    assert!(text.contains("10.77.0.1"), "{text}");
    let leaked: Vec<&str> =
        text.lines().filter(|line| line.contains("ICMP") && line.contains(&v4(3))).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}
