//! Does the receiver get the bytes that were inspected, when a sender says two things at one place?
//!
//! A kernel's own TCP receives; the sender writes its segments itself. Needs root and AF_XDP; without root the test says
//! so and passes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, said};

/// Prints what the first connection to port 8081 brings.
const RECEIVER: &str = "
import socket
listener = socket.create_server(('10.77.0.2', 8081))
connection, _ = listener.accept()
got = b''
while not got.endswith(b'.example\\r\\n\\r\\n'):
    data = connection.recv(4096)
    if not data:
        break
    got += data
print(got.decode(), flush=True)
";

/// Opens a connection by segments of its own making, of which its kernel knows nothing, and says two things beyond a
/// hole, so that the receiver has not acknowledged either.
const SENDER: &str = "
import socket, struct
me, peer = ('10.77.0.1', 40001), ('10.77.0.2', 8081)
address = lambda end: socket.inet_aton(end[0])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.bind((me[0], 0))
raw.settimeout(10)
def total(data):
    data += b'\\0' * (len(data) % 2)
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def send(seq, ack, flags, data=b''):
    head = struct.pack('!HHIIBBHHH', me[1], peer[1], seq, ack, 0x50, flags, 64000, 0, 0)
    pseudo = address(me) + address(peer) + struct.pack('!BBH', 0, 6, len(head) + len(data))
    check = struct.pack('!H', total(pseudo + head + data))
    raw.sendto(head[:16] + check + head[18:] + data, (peer[0], 0))
def answer(wanted):
    while True:
        packet = raw.recv(65535)
        tcp = packet[(packet[0] & 15) * 4:]
        source, port, seq, ack, _, flags = struct.unpack('!HHIIBB', tcp[:14])
        if (source, port) == (peer[1], me[1]) and wanted(flags, ack):
            return seq
first = 7000
send(first - 1, 0, 2)
theirs = answer(lambda flags, ack: flags & 18 == 18) + 1
head, tail = b'GET / HTTP/1.1\\r\\nHost: ', b'.example\\r\\n\\r\\n'
send(first, theirs, 16)
send(first + len(head), theirs, 24, b'first')
# A receiver keeps one of both copies; this one says more than the other, of which nothing may be lost.
send(first + len(head), theirs, 24, b'OTHER' + tail)
# What fills the hole reaches over both.
send(first, theirs, 24, head + b'THIRD')
whole = first + len(head) + 5 + len(tail)
answer(lambda flags, ack: ack == whole)
print('acknowledged')
";

#[test]
fn the_kernel_of_the_receiver_takes_what_was_seen_first() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let daemon = lab.start();
    // The client's kernel would reset what it has not opened.
    let silent = lab.client(&[
        "nft",
        "add table ip quiet; add chain ip quiet out { type filter hook output priority 0; }; \
         add rule ip quiet out tcp flags & rst == rst drop",
    ]);
    assert!(silent.status.success(), "{}", said(&silent));
    let receiver = lab.serve_python(Host::Server, RECEIVER, 8081);
    let sent = lab.client(&["python3", "-c", SENDER]);
    assert_eq!(said(&sent), "acknowledged\n", "{}\n{}", lab.reasons(), lab.log());
    let (_, got) = receiver.finish();
    assert_eq!(got.trim_end(), "GET / HTTP/1.1\r\nHost: first.example", "{}", lab.reasons());
    assert_eq!(lab.counted("overlap_rewritten"), 2);
    daemon.stop();

    // It ends well only if every frame came home.
    assert!(!lab.log().contains("lost track of"), "{}", lab.log());
    let events = lab.events();
    let request = events.iter().find(|event| event["event_type"] == "http").unwrap();
    assert_eq!(request["http"]["hostname"], "first.example", "{request}");
    let anomaly = events.iter().find(|event| event["event_type"] == "anomaly").unwrap();
    assert_eq!(anomaly["anomaly"]["event"], "stream.reassembly_overlap_different_data", "{anomaly}");
}
