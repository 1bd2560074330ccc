use super::*;
use crate::dpi::feed::samples::records_of;
use crate::dpi::protocol::samples::looked;
use crate::flow::Direction::{Forward as C, Reverse as S};

fn frame(version: u8, stream: u8, operation: u8, body: &[u8]) -> Vec<u8> {
    [&[version, 0, 0, stream, operation, 0, 0, 0, body.len() as u8], body].concat()
}

const STARTUP: &[u8] =
    b"\0\x03\0\x0bCQL_VERSION\0\x053.4.6\0\x0bDRIVER_NAME\0\x06Driver\0\x0eDRIVER_VERSION\0\x031.2";
const SELECT: &[u8] = b"\0\0\0\x0fSELECT * FROM t\0\x01\0";

fn client() -> Vec<u8> {
    [
        frame(4, 0, 5, b""),
        frame(4, 1, 1, STARTUP),
        frame(4, 2, 15, b"\0\0\0\x0b\0joe\0secret"),
        frame(4, 3, 7, SELECT),
        frame(4, 4, 7, b"\0\0\0\x2aALTER ROLE joe WITH PASSWORD = 'verysecret\0\x01\0"),
        frame(4, 5, 10, b"\0\x02\xab\xcd\0\x06\0"),
        frame(4, 6, 13, b"\x01\0\x02\0\0\0\0\x08INSERT x\0\0"),
    ]
    .concat()
}

fn server() -> Vec<u8> {
    [
        frame(0x84, 0, 6, b"\0\x01\0\x0bCQL_VERSION\0\x01\0\x053.4.6"),
        frame(0x84, 1, 3, b"\0\x2forg.apache.cassandra.auth.PasswordAuthenticator"),
        frame(0x84, 2, 0, b"\0\0\x01\0\0\x03bad"),
        frame(0x84, 5, 8, b"\0\0\0\x03\0\x04shop"),
        frame(0x84, 3, 8, b"\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\x02ks\0\x01t\0"),
        frame(0x84, 4, 0, b"\0\0\x20\0\0\x0averysecret"),
        frame(0x84, 255, 12, b"\0\x0dSTATUS_CHANGE\0\x02UP"),
    ]
    .concat()
}

const EXPECTED: [&str; 8] = [
    "cassandra version=4 stream_id=0 request=OPTIONS response=SUPPORTED",
    "cassandra version=4 stream_id=1 request=STARTUP cql_version=3.4.6 driver_name=Driver driver_version=1.2 \
        response=AUTHENTICATE authenticator=org.apache.cassandra.auth.PasswordAuthenticator",
    "cassandra version=4 stream_id=2 request=AUTH_RESPONSE user=joe response=ERROR error_code=256 \
        error_name=bad_credentials error=bad",
    "cassandra version=4 stream_id=5 request=EXECUTE prepared_id=abcd response=RESULT result=set_keyspace keyspace=shop",
    "cassandra version=4 stream_id=3 request=QUERY query=SELECT * FROM t consistency=one response=RESULT result=rows \
        columns=3 keyspace=ks table=t",
    "cassandra version=4 stream_id=4 request=QUERY query=ALTER ROLE joe WITH PASSWORD consistency=one response=ERROR \
        error_code=8192 error_name=syntax_error",
    "cassandra version=4 response=EVENT event=STATUS_CHANGE change=UP",
    "cassandra version=4 stream_id=6 request=BATCH batch_type=unlogged statements=2 query=INSERT x",
];

#[test]
fn requests_meet_their_answers_in_pieces_of_any_size() {
    let (client, server) = (client(), server());
    for size in [1, 5, 64, 4_000] {
        // The server says first how to log in.
        let head = 9 + 9 + STARTUP.len();
        let early = 9 + 24 + 9 + 49;
        let pieces = [
            client[..head].chunks(size).map(|c| (C, c)).collect::<Vec<_>>(),
            server[..early].chunks(size).map(|s| (S, s)).collect(),
            client[head..].chunks(size).map(|c| (C, c)).collect(),
            server[early..].chunks(size).map(|s| (S, s)).collect(),
        ]
        .concat();
        assert_eq!(records_of(&CASSANDRA, &pieces), EXPECTED, "{size}");
    }
}

#[test]
fn segments_of_version_5_are_opened() {
    let startup = frame(5, 1, 1, STARTUP);
    let ready = frame(0x85, 1, 2, b"");
    let both = [frame(5, 2, 7, SELECT), frame(5, 3, 5, b"")].concat();
    let asked = segments::tests::segment(&both, true);
    // A long one in two segments, then a whole one.
    let long = frame(0x85, 2, 8, &[b"\0\0\0\x01", &[7; 200][..]].concat());
    let answered = [
        segments::tests::segment(&long[..100], false),
        segments::tests::segment(&long[100..], false),
        segments::tests::segment(&frame(0x85, 3, 6, b"\0\0"), true),
    ]
    .concat();
    let expected = [
        "cassandra version=5 stream_id=1 request=STARTUP cql_version=3.4.6 driver_name=Driver driver_version=1.2 response=READY",
        "cassandra version=5 stream_id=2 request=QUERY query=SELECT * FROM t consistency=one response=RESULT result=void",
        "cassandra version=5 stream_id=3 request=OPTIONS response=SUPPORTED",
    ];
    for size in [1, 7, 1_000] {
        let pieces = [
            vec![(C, &startup[..]), (S, &ready[..])],
            asked.chunks(size).map(|c| (C, c)).collect(),
            answered.chunks(size).map(|s| (S, s)).collect(),
        ]
        .concat();
        assert_eq!(records_of(&CASSANDRA, &pieces), expected, "{size}");
    }
    let mut lying = asked;
    lying[0] ^= 1;
    let told = records_of(&CASSANDRA, &[(C, &startup), (S, &ready), (C, &lying)]);
    assert!(told[1].contains("bad_header_crc"), "{told:?}");
}

#[test]
fn lies_have_a_name_and_secrets_are_not_told() {
    for (bytes, name) in [
        (&b"\x09\0\0\0\x05\0\0\0\0"[..], "invalid_version"),
        (b"\x84\0\0\0\x05\0\0\0\0", "invalid_version"),
        (b"\x04\0\0\0\x05\x7f\0\0\0", "invalid_length"),
        (b"\x04\0\0\0\x44\0\0\0\0", "malformed_data"),
        (b"\x04\0\0\0\x07\0\0\0\x04\0\0\x7f\0", "malformed_data"),
    ] {
        assert!(records_of(&CASSANDRA, &[(C, bytes)])[0].contains(name), "{name}");
    }
    let told = records_of(&CASSANDRA, &[(C, &client()), (S, &server())]);
    assert!(!told.concat().contains("secret"), "{told:?}");
    assert!(!records_of(&CASSANDRA, &[(C, &client()[..])]).concat().contains("secret"));
}

#[test]
fn frames_are_recognised_on_any_port() {
    assert_eq!(looked(look, &frame(4, 0, 1, STARTUP), 9, true), Match::Yes(95));
    assert_eq!(looked(look, &frame(4, 0, 7, SELECT), 9, true), Match::Yes(88));
    assert_eq!(looked(look, &frame(4, 0, 7, b"\0\0\0\x04SELE\0\x01"), 9, true), Match::No);
    assert_eq!(looked(look, &frame(0x84, 0, 6, b"\0\x01\0\x0bCQL_VERSION\0\0"), 9, true), Match::Yes(95));
}
