//! Any file of rules, and any bytes: what is read is matched, what is not has a place in the file.

use std::path::Path;
use std::sync::Arc;

use dataplane::flow::Direction;
use dataplane::parse::{Addr, Headers, LinkType, Strictness, parse_frame_into};
use dataplane::rules::datasets::Datasets;
use dataplane::rules::detect::{FlowCounts, FlowPlace, Moment, PacketFacts};
use dataplane::rules::load::Loader;
use dataplane::rules::matcher::{Matcher, Scratch, Sources};
use dataplane::rules::memory::Names;
use dataplane::rules::packet::View;
use dataplane::rules::set::Options;
use dataplane::rules::transform::{Chain, OUTPUT_BYTES_MAX};
use dataplane::rules::{Detector, RuleSet, Variables};

/// Reads the lines of `bytes` as rules, and shows those that can be read the bytes themselves.
pub fn run(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count() as u32;
    let mut loader = Loader::new(Variables::usual());
    loader.add("fuzzed", bytes);
    let loaded = loader.finish();
    let file = &loaded.files[0];
    assert_eq!(file.rules, file.loaded + file.replaced + file.faults.len(), "each rule is one of the three");
    assert!(file.disabled <= lines as usize);
    for fault in &file.faults {
        assert!(
            (1..=lines).contains(&fault.line) && fault.column >= 1 && !fault.detail.is_empty(),
            "{fault}"
        );
    }
    let mut seen = Vec::new();
    for rule in loaded.signatures.iter().map(|one| &one.rule) {
        let mut scratch = Scratch::of(rule);
        for part in &rule.parts {
            let chain = Chain::new(&part.seen.transforms).expect("it was tried when it was read");
            chain.apply(bytes, &mut seen);
            assert!(seen.len() <= OUTPUT_BYTES_MAX + part.seen.transforms.len());
            let matcher =
                Matcher::new(part, &Sources { datasets: &Datasets::default(), addresses: &dataplane::rules::address_facts::AddressFacts::default(), directory: Path::new("") })
                    .expect("it was tried when it was read");
            let _ = matcher.matches(&seen, &mut scratch);
        }
    }
    let set = RuleSet::new(loaded.signatures, &mut Names::default(), Options::default());
    detect(set.expect("there are few names"), bytes);
}

/// The frame below has no IPv4 header checksum.
const NO_CHECKSUM: Strictness = Strictness { ipv4_checksum: false, ..Strictness::FULL };

/// Shows the bytes to all of them as a segment of a flow, whatever they ask for.
fn detect(set: RuleSet, bytes: &[u8]) {
    let payload = &bytes[..bytes.len().min(1_400)];
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    let mut headers = Headers::NONE;
    parse_frame_into(&frame, LinkType::Ethernet, NO_CHECKSUM, &mut headers)
        .expect("the frame is well formed");
    let way = Some(Direction::Forward);
    let view = View { headers: &headers, bytes: &frame, way, is_established: true, is_reassembled: false };
    let end = |last, port| (Addr::v4([10, 0, 0, last]), port);
    let moment = Moment {
        initiator: end(1, 1_024),
        responder: end(2, 80),
        protocol: 6,
        is_established: true,
        original: None,
        at_ns: 1,
        counts: FlowCounts::default(),
    };
    let (mut detector, mut place, mut hits) = (Detector::default(), FlowPlace::default(), Vec::new());
    detector.follow(Some(&Arc::new(set)));
    for is_inline in [false, true] {
        detector.keep_stream(&mut place, Direction::Forward, payload);
        let facts = PacketFacts { is_in_stream: true, is_inline, ..PacketFacts::default() };
        detector.packet(&mut place, &view, Some(&moment), &facts);
        detector.finish_streams(place, &moment, Some("http"));
        detector.take_hits(0, &mut hits);
        assert!(hits.iter().all(|hit| detector.signature(hit).is_some()));
    }
    detector.release(&mut place);
}
