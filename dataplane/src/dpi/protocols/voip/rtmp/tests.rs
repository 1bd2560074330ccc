use super::*;
use crate::dpi::feed::samples::records_of;
use crate::dpi::protocol::samples::looked;
use crate::flow::Direction::{Forward as C, Reverse as S};

fn handshake() -> Vec<u8> {
    let mut bytes = vec![3, 0, 0, 0, 9, 0, 0, 0, 0];
    bytes.resize(HANDSHAKE_BYTES, 7);
    bytes
}

/// A message in chunks of `size`.
fn message(channel: u8, kind: u8, body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = vec![channel, 0, 0, 0, 0, (body.len() >> 8) as u8, body.len() as u8, kind, 1, 0, 0, 0];
    for (nth, chunk) in body.chunks(size).enumerate() {
        if nth > 0 {
            bytes.push(0xc0 | channel);
        }
        bytes.extend(chunk);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&[2, 0, text.len() as u8], text.as_bytes()].concat()
}

fn number(number: f64) -> Vec<u8> {
    [&[0], &number.to_be_bytes()[..]].concat()
}

fn object(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = vec![3];
    for (key, value) in pairs {
        bytes.extend([0, key.len() as u8]);
        bytes.extend(key.as_bytes());
        bytes.extend(text(value));
    }
    bytes.extend([0, 0, 9]);
    bytes
}

fn client() -> Vec<u8> {
    let connect = [
        text("connect"),
        number(1.0),
        object(&[
            ("app", "live"),
            ("flashVer", "FMLE/3.0"),
            ("tcUrl", "rtmp://media.example:1935/live?key=secret"),
            ("filler", &"x".repeat(100)),
        ]),
    ]
    .concat();
    let publish = [text("publish"), number(3.0), vec![5], text("cam?pw=secret"), text("live")].concat();
    [
        handshake(),
        message(3, 20, &connect, 128),
        message(2, 1, &[0, 0, 0x10, 0], 128),
        message(3, 20, &[text("createStream"), number(2.0), vec![5]].concat(), 4_096),
        message(4, 20, &publish, 4_096),
        message(6, 9, &[0x17; 5_000], 4_096),
        message(3, 20, &[text("deleteStream"), number(4.0), vec![5], number(1.0)].concat(), 4_096),
    ]
    .concat()
}

fn server() -> Vec<u8> {
    let connected = [
        text("_result"),
        number(1.0),
        object(&[("fmsVer", "FMS/3,0")]),
        object(&[("level", "status"), ("code", "NetConnection.Connect.Success"), ("description", "ok")]),
    ]
    .concat();
    let refused = [
        text("onStatus"),
        number(0.0),
        vec![5],
        object(&[
            ("level", "error"),
            ("code", "NetStream.Publish.BadName"),
            ("description", "cam?pw=secret is taken"),
        ]),
    ]
    .concat();
    [
        handshake(),
        message(2, 5, &[0, 0x26, 0x25, 0xa0], 128),
        message(3, 20, &connected, 128),
        message(3, 20, &[text("_result"), number(2.0), vec![5], number(1.0)].concat(), 128),
        message(5, 20, &refused, 128),
    ]
    .concat()
}

#[test]
fn commands_meet_their_answers_in_pieces_of_any_size() {
    let (client, server) = (client(), server());
    let expected = [
        "rtmp version=3 command=connect transaction_id=1 app=live tc_url=rtmp://media.example:1935/live flash_ver=FMLE/3.0 \
            reply=_result server=FMS/3,0 level=status code=NetConnection.Connect.Success description=ok",
        "rtmp command=createStream transaction_id=2 reply=_result stream_id=1",
        "rtmp command=publish transaction_id=3 publish_type=live reply=onStatus level=error \
            code=NetStream.Publish.BadName description=cam",
        "rtmp command=deleteStream transaction_id=4 stream_id=1",
    ];
    for size in [1, 13, 1_400, 20_000] {
        let pieces: Vec<_> =
            client.chunks(size).map(|c| (C, c)).chain(server.chunks(size).map(|s| (S, s))).collect();
        assert_eq!(records_of(&RTMP, &pieces), expected, "{size}");
    }
}

#[test]
fn lies_have_a_name() {
    let after = |bytes: &[u8]| [&handshake(), bytes].concat();
    for (bytes, name) in [
        (b"\x09".to_vec(), "invalid_version"),
        (after(&[0xc3, 1]), "invalid_chunk"),
        (after(&message(2, 1, &[0, 0, 0, 0], 128)), "invalid_length"),
        (after(&message(2, 1, &[0, 0], 128)), "invalid_length"),
        (after(&message(3, 20, b"\x09", 128)), "malformed_command"),
    ] {
        let told = records_of(&RTMP, &[(C, &bytes)]);
        assert!(told.len() == 1 && told[0].contains(name), "{name}: {told:?}");
    }
    assert_eq!(records_of(&RTMP, &[(C, b"\x06\0\0\0\0\x80\0\x07\x02")]), ["rtmp version=6 encrypted=true"]);
    // A call without a transaction is no lie.
    assert!(records_of(&RTMP, &[(S, &after(&message(3, 20, &text("onFCPublish"), 128)))]).is_empty());
    assert_eq!(looked(look, &handshake(), 9, true), Match::Yes(92));
}
