//! Messages as nodes send them, written by hand.

use super::*;
use crate::dpi::feed::samples::told;
use crate::dpi::protocol::samples::{confidence, datagram, peek};
use Direction::{Forward, Reverse};

const IMSI: &[u8] = b"\x42\x00\x11\x32\x54\x76\x98\xf0";

/// A message of version 1 with a sequence number.
fn one(kind: u8, teid: u8, sequence: u8, elements: &[u8]) -> Vec<u8> {
    let len = (elements.len() + 4) as u16;
    let head = [&[0x32, kind][..], &len.to_be_bytes(), &[0, 0, 0, teid, 0, sequence, 0, 0]].concat();
    [&head, elements].concat()
}

/// A message of version 2; `flags` has the version.
fn two(flags: u8, kind: u8, teid: u8, sequence: u8, elements: &[u8]) -> Vec<u8> {
    let teid = if flags & 8 == 0 { vec![] } else { vec![0, 0, 0, teid] };
    let body = [&teid[..], &[0, 0, sequence, 0], elements].concat();
    [&[flags, kind][..], &(body.len() as u16).to_be_bytes(), &body].concat()
}

fn create_one() -> Vec<u8> {
    one(16, 0, 7, &[&[2][..], IMSI, b"\x0e\x09\x83\0\x09\x08internet"].concat())
}

fn create_two() -> Vec<u8> {
    two(0x48, 32, 0, 9, &[&[1, 0, 8, 0][..], IMSI, b"\x47\0\x04\0\x03ims"].concat())
}

#[test]
fn requests_are_told_with_their_responses() {
    let payloads = [
        (Forward, create_one()),
        (Forward, create_one()),
        (Reverse, one(17, 5, 8, &[1, 128])),
        (Reverse, one(17, 5, 7, &[1, 199])),
        (Forward, one(1, 0, 1, &[])),
    ];
    let expected = [
        "gtp version=1 sequence=7 \
         request={message_type=create_pdp_context_request teid=0 imsi=240011234567890 apn=internet} \
         response={message_type=create_pdp_context_response teid=5 cause=no_resources_available cause_code=199}",
        "gtp version=1 sequence=1 request={message_type=echo_request teid=0}",
    ];
    assert_eq!(told(&GTP_C, &payloads), expected);
}

#[test]
fn what_is_appended_is_read_too() {
    let response = two(0x58, 33, 3, 9, &[2, 0, 2, 0, 16, 0]);
    let bearer = two(0x48, 95, 3, 1, &[]);
    let payloads = [
        (Forward, create_two()),
        (Reverse, [response, bearer].concat()),
        (Forward, two(0x48, 96, 4, 1, &[2, 0, 2, 0, 16, 0])),
        (Forward, two(0x48, 64, 4, 2, &[])),
    ];
    let expected = [
        "gtp version=2 sequence=9 \
         request={message_type=create_session_request teid=0 imsi=240011234567890 apn=ims} \
         response={message_type=create_session_response teid=3 cause=request_accepted cause_code=16}",
        "gtp version=2 sequence=1 request={message_type=create_bearer_request teid=3} \
         response={message_type=create_bearer_response teid=4 cause=request_accepted cause_code=16}",
        "gtp version=2 sequence=2 request={message_type=modify_bearer_command teid=4}",
    ];
    assert_eq!(told(&GTP_C, &payloads), expected);
}

#[test]
fn what_cannot_be_read_has_a_name() {
    let cases = [
        ("invalid_length", create_one()[..30].to_vec()),
        ("invalid_length", create_two()[..5].to_vec()),
        ("invalid_length", vec![0x34, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]),
        ("invalid_version", vec![0x70, 1, 0, 0, 0, 0, 0, 0]),
        ("unknown_message_type", two(0x48, 250, 1, 1, &[])),
        ("invalid_information_element", two(0x48, 64, 1, 1, &[1, 0, 9, 0, 1])),
        ("invalid_information_element", one(26, 1, 1, &[131, 0, 9, 1])),
    ];
    for (event, message) in cases {
        let records = told(&GTP_C, &[(Forward, message)]);
        let expected = format!("event={event} ");
        assert!(records.iter().any(|record| record.contains(&expected)), "{event}: {records:?}");
    }
}

#[test]
fn what_waits_and_what_is_told_have_a_limit() {
    let payloads: Vec<_> =
        (0..1_000_u32).map(|nth| (Forward, two(0x40, 1, 0, nth as u8, &[3, 0, 1, 0, 1]))).collect();
    assert_eq!(told(&GTP_C, &payloads).len(), usize::from(RECORDS_MAX));
    let mut payloads = vec![(Forward, one(G_PDU, 1, 1, b"no IP")); usize::from(G_PDUS_MAX)];
    payloads.push((Forward, one(1, 0, 1, &[])));
    assert_eq!(told(&GTP_U, &payloads), [""; 0]);
}

#[test]
fn control_messages_are_known_on_any_port() {
    assert_eq!(confidence(&GTP_C, &datagram(&create_one())), 85);
    assert_eq!(confidence(&GTP_C, &datagram(&create_two())), 85);
    assert_eq!(confidence(&GTP_C, &peek(b"\x32\x10\0\x04\0\0\0\x01abcd", 2_123, false)), 95);
    assert_eq!(confidence(&GTP_C, &peek(b"\x40\x01\0\x09\0\0\x01\0\x03\0\x01\0\x05", 2_123, false)), 95);
    assert_eq!(confidence(&GTP_U, &peek(b"\x30\xff\0\x04\0\0\0\x01abcd", 2_152, false)), 95);
    // One byte more, one less, another order, or elements that are none.
    let longer = [create_two(), vec![0]].concat();
    let unordered = one(16, 0, 7, &[&[14, 9, 2][..], IMSI].concat());
    for message in [&longer, &create_one()[..30].to_vec(), &unordered, &two(0x48, 32, 0, 9, &[7; 40])] {
        assert_eq!(confidence(&GTP_C, &datagram(message)), 0, "{message:02x?}");
    }
}
