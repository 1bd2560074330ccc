//! Does anybody who plays with TCP get bytes to a receiver that inspection did not see? Frames in, frames out.
//!
//! Each test is an evasion that is known of old: Ptacek and Newsham, "Insertion, Evasion, and Denial of Service" (1998);
//! Novak and Sturges, "Target-Based TCP Stream Reassembly" (2007). What was read is told by the host of an HTTP request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use dataplane::control::{Event, ExceptionAction, Exceptions, FlowGauges, Settings};
use dataplane::engine::{Inspection, Mode, StreamConfig};
use dataplane::parse::checksum::{ChecksumState, outermost, transport_checksum};
use dataplane::parse::{LinkType, Transport, parse_frame};
use dataplane::stream::Policy;
use dataplane::verdict::Reason;
use support::{Bench, ipv4, policy, tcp, udp};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 4000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 8080);
const ALLOW: &str = r#"{"default_action": "allow", "policies": []}"#;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;
/// Sequence number of the server's SYN.
const SERVER_ISN: u32 = 500;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: ";
const TAIL: &[u8] = b".example\r\n\r\n";

/// One connection through one worker, and what its ends got.
struct Talk {
    bench: Bench,
    /// Sequence number of the client's SYN.
    isn: u32,
    /// Bytes that reached the server, by sequence number: a receiver may keep any copy, so all must be the same.
    server: BTreeMap<u32, u8>,
    /// Frames that left by each wire.
    left: [Vec<Vec<u8>>; 2],
}

impl Talk {
    fn new(mode: Mode, streams: StreamConfig) -> Self {
        static INSPECTION: OnceLock<Inspection> = OnceLock::new();
        let bench = Bench::with(1, ALLOW, |config| {
            config.mode = mode;
            config.streams = streams;
            config.inspection = Some(INSPECTION.get_or_init(Inspection::builtin).clone());
        });
        Self { bench, isn: 100, server: BTreeMap::new(), left: [Vec::new(), Vec::new()] }
    }

    /// Inline, after the handshake.
    fn inline() -> Self {
        Self::new(Mode::Inline, StreamConfig::default()).handshake()
    }

    /// Beside the wire, after the handshake.
    fn tap(overlap: Policy) -> Self {
        Self::new(Mode::Tap, StreamConfig { overlap, ..StreamConfig::default() }).handshake()
    }

    fn handshake(mut self) -> Self {
        self.raw(0, &tcp(CLIENT, SERVER, self.isn, 0, SYN, b""));
        self.raw(1, &tcp(SERVER, CLIENT, SERVER_ISN, self.isn.wrapping_add(1), SYN | ACK, b""));
        self.client(0, b"");
        self
    }

    fn with_exceptions(mut self, exceptions: Exceptions) -> Self {
        self.bench.door.publisher.publish(policy(ALLOW), Settings { exceptions, ..Settings::default() });
        self.settle();
        self
    }

    /// The client sends `data` at `offset` of its stream; whether it went on.
    fn client(&mut self, offset: u32, data: &[u8]) -> bool {
        let frame = self.segment(offset, ACK, data);
        self.raw(0, &frame)
    }

    fn segment(&self, offset: u32, flags: u8, data: &[u8]) -> Vec<u8> {
        let seq = self.isn.wrapping_add(1).wrapping_add(offset);
        tcp(CLIENT, SERVER, seq, SERVER_ISN + 1, flags, data)
    }

    /// The server acknowledges what the client sent before `offset`.
    fn acknowledge(&mut self, offset: u32) {
        let ack = self.isn.wrapping_add(1).wrapping_add(offset);
        self.raw(1, &tcp(SERVER, CLIENT, SERVER_ISN + 1, ack, ACK, b""));
    }

    /// A frame comes in by `wire`; whether one left by the other.
    fn raw(&mut self, wire: usize, frame: &[u8]) -> bool {
        self.bench.send(0, wire, frame);
        self.settle()[1 - wire] > 0
    }

    /// Takes what leaves; how many frames by each wire, resets aside.
    fn settle(&mut self) -> [usize; 2] {
        let mut count = [0, 0];
        for (wire, frame) in self.bench.settle() {
            count[wire] += usize::from(frame[14 + 20 + 13] & RST == 0);
            if wire == 1 {
                self.arrives(&frame);
            }
            self.left[wire].push(frame);
        }
        count
    }

    /// The server takes a segment, unless its checksum is wrong or it is none.
    fn arrives(&mut self, frame: &[u8]) {
        let headers = parse_frame(frame, LinkType::Ethernet).unwrap();
        let Transport::Tcp(segment) = headers.transport else { return };
        if transport_checksum(frame, &headers) != ChecksumState::Good || segment.flags.rst() {
            return;
        }
        let first = segment.seq.wrapping_add(u32::from(segment.flags.syn()));
        for (index, byte) in headers.payload(frame).iter().enumerate() {
            let known = *self.server.entry(first.wrapping_add(index as u32)).or_insert(*byte);
            assert_eq!(known, *byte, "the server got two bytes for one place");
        }
    }

    /// What the server got in order.
    fn stream(&self) -> Vec<u8> {
        let mut at = self.isn.wrapping_add(1);
        std::iter::from_fn(|| {
            let byte = self.server.get(&at).copied();
            at = at.wrapping_add(1);
            byte
        })
        .collect()
    }

    fn counted(&self, reason: Reason) -> u64 {
        self.bench.door.boards()[0].read().counters.of(reason)
    }

    fn gauges(&mut self) -> FlowGauges {
        self.settle();
        self.bench.door.boards()[0].read().flow
    }

    /// Ends it: the host that the last flow's request named, and the anomalies that were told of.
    fn end(mut self) -> (Option<String>, Vec<String>) {
        let mut events = std::mem::take(&mut self.bench.events);
        self.bench.stop();
        let (mut host, mut anomalies) = (None, Vec::new());
        for receiver in &mut events {
            while let Ok(event) = receiver.records.pop() {
                match event {
                    Event::Flow(end) => {
                        let clues = receiver.fields.read_chunk(usize::from(end.clues_len)).unwrap();
                        clues.commit_all();
                        host = end.host.map(String::from);
                    }
                    Event::Transaction(told) => {
                        let fields: Vec<u8> =
                            (0..told.fields_len).map(|_| receiver.fields.pop().unwrap()).collect();
                        if told.event_type == "anomaly" {
                            let text = String::from_utf8_lossy(&fields);
                            let at = text.find("stream.").unwrap();
                            let name = text[at..].chars().take_while(|c| c.is_ascii_graphic());
                            anomalies.push(name.collect());
                        }
                    }
                    _ => {}
                }
            }
        }
        (host, anomalies)
    }

    fn host(self) -> String {
        self.end().0.unwrap_or_else(|| "none".to_owned())
    }
}

/// A request whose body is to come.
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9000\r\n\r\n";
const POST_LEN: u32 = POST.len() as u32;
const H: u32 = HEAD.len() as u32;
const DIFFERENT: &str = "stream.reassembly_overlap_different_data";

#[test]
fn inline_the_receiver_gets_what_was_seen_first() {
    for name_at in [H, H + 1] {
        let mut talk = Talk::inline();
        talk.client(0, HEAD);
        // At an odd place too: there the checksum's bytes change places.
        if name_at > H {
            talk.client(H, b"-");
        }
        talk.client(name_at, b"good");
        // The retransmission that differs brings new bytes too.
        let tail = [b"evil", TAIL].concat();
        talk.client(name_at, &tail);
        assert!(talk.stream().ends_with(b"good.example\r\n\r\n"), "{:?}", talk.stream());
        assert_eq!(talk.counted(Reason::OverlapRewritten), 1);
        assert_eq!(talk.gauges().stream_overlaps, 1);
        let (host, anomalies) = talk.end();
        assert!(host.unwrap().ends_with("good.example"));
        assert_eq!(anomalies, [DIFFERENT]);
    }
}

#[test]
fn inline_bytes_beyond_a_hole_are_first_seen_too() {
    let mut talk = Talk::inline();
    talk.client(H, b"good");
    talk.client(H, b"evil");
    talk.client(H + 4, TAIL);
    // What fills the hole reaches over both.
    talk.client(0, &[HEAD, b"evil", b".EXAMPLE"].concat());
    assert_eq!(talk.stream(), [HEAD, b"good", TAIL].concat());
    assert_eq!(talk.counted(Reason::OverlapRewritten), 2);
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn inline_what_the_receiver_has_needs_no_memory_and_is_not_rewritten() {
    let mut talk = Talk::inline();
    talk.client(0, POST);
    talk.client(POST_LEN, b"the body's beginning");
    assert!(talk.gauges().stream_bytes > 0, "bytes that may be lost are remembered");
    talk.acknowledge(POST_LEN + 20);
    assert_eq!(talk.gauges().stream_bytes, 0);
    // The receiver knows these bytes and takes no others.
    talk.server.clear();
    talk.client(POST_LEN, b"another");
    assert_eq!(talk.counted(Reason::OverlapRewritten), 0);
    talk.client(POST_LEN + 20, b"more");
    assert_eq!(talk.host(), "a.example");
}

#[test]
fn inline_a_segment_of_several_frames_is_rewritten_in_its_pieces() {
    let mut talk = Talk::inline();
    let body =
        |filling: u8| [b"POST / HTTP/1.1\r\nHost: a.example\r\n\r\n", &vec![filling; 2_900][..]].concat();
    talk.bench.send_pieces(0, 0, &talk.segment(0, ACK, &body(b'1')), 2_000);
    talk.bench.send_pieces(0, 0, &talk.segment(0, ACK, &body(b'2')), 2_000);
    let out = talk.bench.settle();
    let pieces: Vec<&Vec<u8>> = out.iter().map(|(_, piece)| piece).collect();
    let [a, b, c, d] = pieces.as_slice() else { panic!("{} pieces left", pieces.len()) };
    assert_eq!([a.as_slice(), b].concat(), [c.as_slice(), d].concat(), "the second is as the first");
    assert_eq!(talk.counted(Reason::OverlapRewritten), 1);
    talk.bench.stop();
}

#[test]
fn inline_a_segment_in_fragments_that_differs_is_dropped() {
    let fragments = |segment: &[u8], id: u16| {
        let [a, b] = [(id, 0x2000), (id, 5)];
        [ipv4(CLIENT.0, SERVER.0, 6, a, &segment[..40]), ipv4(CLIENT.0, SERVER.0, 6, b, &segment[40..])]
    };
    let mut talk = Talk::inline();
    let honest = [HEAD, b"good", TAIL].concat();
    let other = [HEAD, b"evil", TAIL].concat();
    for (id, data, leaves) in [(1, &honest, 2), (2, &other, 0), (3, &honest, 2)] {
        let frame = talk.segment(0, ACK, data);
        for fragment in fragments(&frame[34..34 + 20 + data.len()], id) {
            talk.bench.send(0, 0, &fragment);
        }
        assert_eq!(talk.bench.settle().len(), leaves, "{id}");
    }
    assert_eq!((talk.counted(Reason::OverlapInFragments), talk.counted(Reason::OverlapRewritten)), (2, 1));
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn inline_a_segment_in_a_tunnel_is_rewritten_and_all_checksums_stay_right() {
    // VXLAN (RFC 7348 5): the inner frame may begin anywhere, and the outer UDP checksum covers it.
    let tunnelled = |inner: &[u8]| {
        let data = [&[8, 0, 0, 0, 0, 0, 1, 0][..], inner].concat();
        udp(([192, 0, 2, 1], 50_000), ([192, 0, 2, 2], 4_789), &data)
    };
    let mut talk = Talk::new(Mode::Inline, StreamConfig::default());
    for (wire, frame) in [
        (0, tcp(CLIENT, SERVER, 100, 0, SYN, b"")),
        (1, tcp(SERVER, CLIENT, SERVER_ISN, 101, SYN | ACK, b"")),
        (0, talk.segment(0, ACK, HEAD)),
        (0, talk.segment(H, ACK, b"good")),
        (0, talk.segment(H, ACK, &[b"evil", TAIL].concat())),
    ] {
        assert!(talk.raw(wire, &tunnelled(&frame)));
    }
    let last = talk.left[1].last().unwrap();
    let inner = parse_frame(last, LinkType::Ethernet).unwrap();
    assert_eq!(inner.payload(last), [b"good", TAIL].concat());
    assert_eq!(transport_checksum(last, &inner), ChecksumState::Good);
    let outer = outermost(last, &inner).unwrap();
    assert_eq!(transport_checksum(last, &outer), ChecksumState::Good);
    assert_eq!(talk.counted(Reason::OverlapRewritten), 1);
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn inline_bytes_that_die_on_the_way_are_what_a_later_copy_becomes() {
    // A time to live that ends behind us: beside the wire nobody can tell, inline the server gets what we read.
    let mut talk = Talk::inline();
    talk.client(0, HEAD);
    let mut dies = talk.segment(H, ACK, b"good");
    dies[22] = 1;
    dies[24..26].copy_from_slice(&[0, 0]);
    let sum = support::checksum(&dies[14..34]);
    dies[24..26].copy_from_slice(&sum.to_be_bytes());
    assert!(talk.raw(0, &dies));
    talk.server.retain(|seq, _| *seq < 101 + H);
    talk.client(H, &[b"evil", TAIL].concat());
    assert_eq!(talk.stream(), [HEAD, b"good", TAIL].concat());
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn beside_the_wire_each_receivers_rule_decides() {
    // Both copies begin and end together; what fills the hole comes last.
    for overlap in Policy::ALL {
        let believes_the_last =
            matches!(overlap, Policy::Last | Policy::OldLinux | Policy::Solaris | Policy::Hpux11);
        let mut talk = Talk::tap(*overlap);
        for (offset, data) in [(H, &b"evil"[..]), (H, b"good"), (H + 4, TAIL), (0, HEAD)] {
            assert!(!talk.client(offset, data), "a tap sends nothing");
        }
        let (host, anomalies) = talk.end();
        let host = host.unwrap();
        assert_eq!(host, if believes_the_last { "good.example" } else { "evil.example" }, "{overlap:?}");
        assert_eq!(anomalies, [DIFFERENT]);
    }
    // The later copy begins before the earlier one.
    for (overlap, expected) in
        [(Policy::First, "1222.example"), (Policy::Bsd, "1111.example"), (Policy::Linux, "1111.example")]
    {
        let mut talk = Talk::tap(overlap);
        for (offset, data) in [(H + 1, &b"222"[..]), (H, b"1111"), (H + 4, TAIL), (0, HEAD)] {
            talk.client(offset, data);
        }
        assert_eq!(talk.host(), expected, "{overlap:?}");
    }
}

/// A segment: its offset and its data.
type Piece = (u32, Vec<u8>);

/// The request of `good.example` in segments of `len` bytes, with their offsets.
fn pieces(len: usize) -> Vec<Piece> {
    let request = [HEAD, b"good", TAIL].concat();
    request.chunks(len).enumerate().map(|(index, data)| ((index * len) as u32, data.to_vec())).collect()
}

#[test]
fn order_size_and_number_of_segments_change_nothing() {
    let orders: [fn(&mut Vec<Piece>); 3] =
        [|_| {}, |pieces| pieces.reverse(), |pieces| pieces.sort_by_key(|(offset, _)| offset % 3)];
    for isn in [100, u32::MAX - 10, u32::MAX] {
        for len in [1, 2, 7] {
            for (nth, order) in orders.iter().enumerate() {
                for mode in [Mode::Inline, Mode::Tap] {
                    let mut talk = Talk::new(mode, StreamConfig::default());
                    talk.isn = isn;
                    let mut talk = talk.handshake();
                    let mut pieces = pieces(len);
                    order(&mut pieces);
                    for (offset, data) in pieces {
                        talk.client(offset, &data);
                    }
                    assert_eq!(talk.host(), "good.example", "{isn} {len} {mode:?} {nth}");
                }
            }
        }
    }
}

#[test]
fn a_hole_that_the_receiver_has_filled_is_given_up() {
    for mode in [Mode::Inline, Mode::Tap] {
        let mut talk = Talk::new(mode, StreamConfig::default()).handshake();
        talk.client(0, POST);
        talk.client(1_000, b"what lies beyond the hole");
        assert!(talk.gauges().stream_bytes > 0);
        assert_eq!(talk.gauges().stream_gaps, 0);
        talk.acknowledge(1_025);
        let gauges = talk.gauges();
        assert_eq!((gauges.stream_gaps, gauges.stream_bytes), (1, 0));
        let (host, anomalies) = talk.end();
        assert_eq!(host.unwrap(), "a.example");
        assert_eq!(anomalies, ["stream.reassembly_seq_gap"]);
    }
}

#[test]
fn a_flow_is_picked_up_in_its_middle() {
    let mut talk = Talk::new(Mode::Inline, StreamConfig::default());
    talk.client(0, HEAD);
    talk.client(H, b"good");
    talk.client(H, &[b"evil", TAIL].concat());
    assert_eq!(talk.stream(), [HEAD, b"good", TAIL].concat());
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn a_syn_with_another_number_begins_anew() {
    // Data in a SYN that never arrives, then the connection proper, where nobody must look for it far ahead.
    for mode in [Mode::Inline, Mode::Tap] {
        let mut talk = Talk::new(mode, StreamConfig::default());
        let decoy = [HEAD, b"evil", TAIL].concat();
        talk.raw(0, &tcp(CLIENT, SERVER, 9_000_000, 0, SYN, &decoy));
        talk.server.clear();
        let mut talk = talk.handshake();
        for (offset, data) in pieces(9) {
            talk.client(offset, &data);
        }
        assert_eq!(talk.host(), "good.example", "{mode:?}");
    }
}

#[test]
fn data_in_a_syn_is_read_where_the_server_takes_it() {
    // RFC 7413: the SYN/ACK says whether the data was taken.
    let request = [HEAD, b"good", TAIL].concat();
    for mode in [Mode::Inline, Mode::Tap] {
        let mut talk = Talk::new(mode, StreamConfig::default());
        talk.raw(0, &tcp(CLIENT, SERVER, 100, 0, SYN, &request));
        let all = 101 + request.len() as u32;
        talk.raw(1, &tcp(SERVER, CLIENT, SERVER_ISN, all, SYN | ACK, b""));
        talk.client(request.len() as u32, b"");
        assert_eq!(talk.host(), "good.example", "{mode:?}");
    }
}

#[test]
fn data_in_a_syn_that_the_server_ignores_does_not_hide_what_follows() {
    let decoy = [HEAD, b"evil", TAIL].concat();
    let request = [HEAD, b"good", TAIL].concat();
    // Beside the wire the server's answer decides.
    let mut talk = Talk::new(Mode::Tap, StreamConfig::default());
    talk.raw(0, &tcp(CLIENT, SERVER, 100, 0, SYN, &decoy));
    talk.raw(1, &tcp(SERVER, CLIENT, SERVER_ISN, 101, SYN | ACK, b""));
    talk.client(0, &request);
    assert_eq!(talk.host(), "good.example");
    // Inline the server gets what was read.
    let mut talk = Talk::new(Mode::Inline, StreamConfig::default());
    talk.raw(0, &tcp(CLIENT, SERVER, 100, 0, SYN, HEAD));
    talk.raw(1, &tcp(SERVER, CLIENT, SERVER_ISN, 101, SYN | ACK, b""));
    let other = b"GET / HTTP/1.1\r\nX-St: ";
    talk.client(0, &[&other[..], b"good", TAIL].concat());
    assert_eq!(talk.stream(), request);
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn a_reset_or_fin_that_the_receiver_ignores_ends_nothing() {
    // RFC 5961 3.2: a reset that is not exactly the next one is only challenged. A FIN beyond a hole waits.
    for (offset, flags) in [(1_000, RST), (200_000, RST | ACK), (70_000, FIN | ACK)] {
        let mut talk = Talk::inline();
        talk.client(0, HEAD);
        let frame = talk.segment(offset, flags, b"");
        talk.raw(0, &frame);
        talk.client(H, b"good");
        talk.client(H, &[b"evil", TAIL].concat());
        assert_eq!(talk.stream(), [HEAD, b"good", TAIL].concat(), "{flags}");
        assert_eq!(talk.host(), "good.example", "{flags}");
    }
}

#[test]
fn a_reset_brings_no_data_and_a_fin_brings_its_own() {
    // RFC 9293 3.10.7.4: text in a RST is no part of the stream.
    let mut talk = Talk::inline();
    talk.client(0, HEAD);
    let frame = talk.segment(H + 2, RST, b"evil");
    talk.raw(0, &frame);
    talk.client(H, b"good");
    let frame = talk.segment(H + 4, FIN | ACK, TAIL);
    talk.raw(0, &frame);
    assert_eq!(talk.stream(), [HEAD, b"good", TAIL].concat());
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn urgent_bytes_are_read_in_band() {
    // RFC 6093 6: urgent data stays in the stream.
    let mut talk = Talk::inline();
    talk.client(0, HEAD);
    let frame = talk.segment(H, ACK | URG, b"goo");
    talk.raw(0, &frame);
    talk.client(H + 3, &[b"d", TAIL].concat());
    assert_eq!(talk.host(), "good.example");
}

#[test]
fn bytes_that_no_receiver_takes_are_not_read() {
    for mode in [Mode::Inline, Mode::Tap] {
        let mut talk = Talk::new(mode, StreamConfig::default()).handshake();
        talk.client(0, HEAD);
        // A wrong checksum.
        let mut wrong = talk.segment(H, ACK, b"evil");
        wrong[50] ^= 1;
        talk.raw(0, &wrong);
        // An acknowledgement of what the server never sent (RFC 5961 5), and no acknowledgement at all.
        talk.raw(0, &tcp(CLIENT, SERVER, 101 + H, SERVER_ISN + 900_000, ACK, b"evil"));
        talk.raw(0, &tcp(CLIENT, SERVER, 101 + H, 0, 0x08, b"evil"));
        // A SYN within the connection, with data.
        talk.raw(0, &tcp(CLIENT, SERVER, 100 + H, 0, SYN, b"evil"));
        // Beyond the window, and long ago.
        talk.client(H + 300_000, b"evil");
        talk.client(H.wrapping_sub(300_000), b"evil");
        talk.server.retain(|seq, _| *seq < 101 + H);
        talk.client(H, b"good");
        talk.client(H + 4, TAIL);
        assert_eq!(talk.host(), "good.example", "{mode:?}");
    }
}

/// Inline, with memory for next to nothing.
fn without_memory(exceptions: Exceptions) -> Talk {
    let streams = StreamConfig { bytes_max: 600, ..StreamConfig::default() };
    Talk::new(Mode::Inline, streams).with_exceptions(exceptions).handshake()
}

#[test]
fn a_segment_for_which_there_is_no_room_meets_its_exception() {
    use ExceptionAction::{Drop, Ignore, Pass, Reject};
    for action in [Drop, Pass, Ignore, Reject] {
        let mut talk = without_memory(Exceptions { reassembly_memory: action, ..Exceptions::default() });
        let first = [POST, &[b'a'; 700]].concat();
        let went_on = talk.client(first.len() as u32, b"more");
        assert_eq!(went_on, matches!(action, Pass | Ignore), "{action:?}");
        assert_eq!(talk.counted(Reason::ReassemblyMemory), u64::from(!went_on), "{action:?}");
        assert!(talk.gauges().stream_memory_refused > 0);
        match action {
            Drop => {
                // It comes again, and what was missing came in between.
                assert!(talk.client(0, &first));
                assert!(talk.client(first.len() as u32, b"more"));
                assert_eq!(talk.host(), "a.example");
            }
            // Nobody looks any more.
            Pass | Ignore => {
                assert!(talk.client(0, &first));
                assert_eq!(talk.gauges().stream_bytes, 0);
                assert_eq!(talk.host(), "none");
            }
            Reject => {
                let reset = talk.left[0].last().unwrap();
                assert_eq!(reset[14 + 20 + 13] & RST, RST);
                assert!(!talk.client(0, &first));
                talk.bench.stop();
            }
        }
    }
}

#[test]
fn bytes_that_could_not_be_remembered_meet_their_exception() {
    use ExceptionAction::{Drop, Ignore, Pass, Reject};
    let long = [POST, &[b'a'; 1_000]].concat();
    let length = long.len() as u32;
    for action in [Drop, Pass, Ignore, Reject] {
        let mut talk = without_memory(Exceptions { overlap_unverified: action, ..Exceptions::default() });
        assert!(talk.client(0, &long), "what is next needs no memory");
        assert_eq!(talk.client(0, &long), matches!(action, Pass | Ignore), "{action:?}");
        let counted =
            (talk.counted(Reason::OverlapUnverified), talk.counted(Reason::OverlapUnverifiedForwarded));
        assert_eq!(counted, if matches!(action, Pass | Ignore) { (0, 1) } else { (1, 0) }, "{action:?}");
        if action != Reject {
            // What the receiver acknowledged is no question any more.
            talk.acknowledge(length);
            assert!(talk.client(0, &long));
            assert!(talk.client(length, b"more"));
        }
        talk.bench.stop();
    }
}

#[test]
fn a_tap_withholds_nothing_whatever_is_full() {
    let streams = StreamConfig { bytes_max: 600, ..StreamConfig::default() };
    let mut talk = Talk::new(Mode::Tap, streams).handshake();
    talk.client(H, &[b'x'; 1_400]);
    assert_eq!(talk.counted(Reason::ReassemblyMemory), 0);
    assert!(talk.gauges().stream_memory_refused > 0);
    talk.bench.stop();
}
