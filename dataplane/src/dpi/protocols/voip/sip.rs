//! Who calls whom? SIP (RFC 3261), told as Suricata's `sip`; the media that SDP announces is expected.

use super::rtp::{RTCP, RTP};
use super::sdp;
use crate::dpi::protocols::web::head::{head_len, status_of};
use crate::dpi::text::{decimal, has_word, starts_with_word};
use crate::dpi::{
    Category, Context, First, HintKind, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Risk, Step,
};
use crate::flow::Direction;
use crate::parse::Addr;
use crate::rules::language::buffers::buffer;
use crate::rules::language::frames::frame;
use crate::rules::rule::{BufferId, FrameId};

/// SIP.
pub static SIP: Protocol = Protocol {
    name: "sip",
    eve: None,
    category: Category::Voip,
    probes: &[Probe { over: Over::TcpOrUdp, first: First::In(b'A', b'Z'), look }],
    parser: Some(|| Box::<Sip>::default()),
};

/// A message is no longer.
const MESSAGE_BYTES_MAX: usize = 16_384;

const METHODS: [&[u8]; 14] = [
    b"INVITE",
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"OPTIONS",
    b"REGISTER",
    b"PRACK",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"PUBLISH",
    b"INFO",
    b"REFER",
    b"MESSAGE",
    b"UPDATE",
];

fn look(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.starts_with(b"SIP/2.0 ") {
        return if bytes.len() < 12 && peek.is_tcp {
            Match::More
        } else {
            Match::of(status_of(bytes).is_some(), 97)
        };
    }
    if peek.is_tcp && b"SIP/2.0 ".starts_with(bytes) {
        return Match::More;
    }
    for method in METHODS {
        let Some(rest) = bytes.strip_prefix(method) else {
            if peek.is_tcp && method.starts_with(bytes) {
                return Match::More;
            }
            continue;
        };
        let Some(rest) = rest.strip_prefix(b" ") else { continue };
        if rest.len() < 4 && peek.is_tcp {
            return Match::More;
        }
        let is_uri = starts_with_word(rest, b"sip:")
            || starts_with_word(rest, b"sips:")
            || starts_with_word(rest, b"tel:");
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
        if is_uri || line.ends_with(b" SIP/2.0") {
            return Match::Yes(97);
        }
    }
    Match::No
}

#[derive(Default)]
struct Sip {
    messages: u32,
}

/// Messages of one flow that are read.
const MESSAGES_MAX: u32 = 512;

impl Parser for Sip {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        // Keep-alives (RFC 5626 3.5.1) stand between messages.
        let blanks = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | 0)).count();
        if blanks > 0 {
            return Step::Consumed(blanks);
        }
        let is_stream = cx.flow.protocol == crate::parse::Protocol::TCP;
        let head = match head_len(bytes, 0) {
            Some(len) => len,
            None if is_stream && bytes.len() < MESSAGE_BYTES_MAX => return Step::Consumed(0),
            None if is_stream => {
                cx.anomaly("message_too_long");
                return Step::Done;
            }
            None => bytes.len(),
        };
        let (head_bytes, body) = bytes.split_at_checked(head).unwrap_or((bytes, &[]));
        let told = header(head_bytes, b"content-length", b"l");
        let number = told.and_then(decimal);
        let len = usize::try_from(number.unwrap_or(0)).unwrap_or(usize::MAX).min(1 << 20);
        // RFC 3261 18.3: a datagram has all of its body, and 20.14: the length is a number.
        if told.is_some() && (number.is_none() || !is_stream && body.len() < len) {
            cx.anomaly("invalid_content_length");
        }
        if is_stream && len <= MESSAGE_BYTES_MAX && body.len() < len {
            return Step::Consumed(0);
        }
        self.messages += 1;
        // A datagram is the message, whatever its length field says.
        let whole = if is_stream { bytes.get(..head + len).unwrap_or(bytes) } else { bytes };
        message(way, whole, head, cx);
        if self.messages >= MESSAGES_MAX { Step::Done } else { Step::Consumed(head + len) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

fn message(way: Direction, whole: &[u8], head_len: usize, cx: &mut Context<'_>) {
    let (head, body) = whole.split_at_checked(head_len).unwrap_or((whole, &[]));
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        if !line.is_empty() && cx.flow.protocol != crate::parse::Protocol::TCP && line.len() > 16 {
            cx.anomaly("invalid_data");
        }
        return;
    };
    let third = words.next();
    let described = header(head, b"content-type", b"c").filter(|value| has_word(value, b"sdp")).map(|_| body);
    tell_rules(way, (whole, head, body), cx);
    let is_answer = first.starts_with(b"SIP/");
    if is_answer != (way == Direction::Reverse) {
        // Either end of a dialogue may ask (RFC 3261 12.2). Suricata reads requests one way and answers the other, and gives up
        // others.
        cx.give_up_payload();
    }
    if is_answer {
        let code = decimal(second).unwrap_or(0);
        if code == 403 || code == 404 || code >= 500 {
            cx.risk(Risk::ErrorCode, format_args!("sip status {code}"));
        }
        cx.tell_with("sip", way, |fields| {
            fields.text("version", first);
            fields.text("code", second);
            fields.text_if("reason", third);
            fields.text("response_line", line);
            described.into_iter().for_each(|body| sdp::describe(body, fields));
        });
    } else {
        cx.tell_with("sip", way, |fields| {
            fields.text("method", first);
            fields.text("uri", second);
            fields.text_if("version", third);
            fields.text("request_line", line);
            described.into_iter().for_each(|body| sdp::describe(body, fields));
        });
        if let Some(host) = host_of(second) {
            cx.host(HostKind::Other, host);
        }
    }
    for (name, short) in [(&b"user-agent"[..], &b""[..]), (b"server", b"")] {
        if let Some(agent) = header(head, name, short) {
            cx.hint(HintKind::UserAgent, agent);
        }
    }
    if header(head, b"authorization", b"").is_some_and(|value| starts_with_word(value, b"basic ")) {
        cx.risk(Risk::ClearTextCredentials, format_args!("sip basic authorization"));
    }
    if !body.is_empty()
        && header(head, b"content-type", b"c")
            .is_some_and(|value| has_word(value, b"sdp") || has_word(value, b"multipart"))
    {
        expect_media(body, cx);
    }
}

/// Fields that rules look into: name, compact name, buffer.
const TOLD: [(&[u8], &[u8], BufferId); 6] = [
    (b"from", b"f", buffer("sip.from")),
    (b"to", b"t", buffer("sip.to")),
    (b"via", b"v", buffer("sip.via")),
    (b"user-agent", b"", buffer("sip.user_agent")),
    (b"content-type", b"c", buffer("sip.content_type")),
    (b"content-length", b"l", buffer("sip.content_length")),
];

/// Lines of a session description (RFC 8866 5): letter, buffer of the session, buffer of a medium.
const SDP: [(u8, Option<BufferId>, Option<BufferId>); 13] = [
    (b'o', Some(buffer("sdp.origin")), None),
    (b's', Some(buffer("sdp.session_name")), None),
    (b'i', Some(buffer("sdp.session_info")), Some(buffer("sdp.media.media_info"))),
    (b'u', Some(buffer("sdp.uri")), None),
    (b'e', Some(buffer("sdp.email")), None),
    (b'p', Some(buffer("sdp.phone_number")), None),
    (b'c', Some(buffer("sdp.connection_data")), Some(buffer("sdp.media.connection_data"))),
    (b'b', Some(buffer("sdp.bandwidth")), Some(buffer("sdp.media.bandwidth"))),
    (b't', Some(buffer("sdp.time")), None),
    (b'r', Some(buffer("sdp.repeat_time")), None),
    (b'z', Some(buffer("sdp.timezone")), None),
    (b'k', Some(buffer("sdp.encryption_key")), Some(buffer("sdp.media.encryption_key"))),
    (b'a', Some(buffer("sdp.attribute")), Some(buffer("sdp.media.attribute"))),
];

/// Frames of requests and of responses.
const FRAMES: [[FrameId; 3]; 2] = [
    [frame("sip", "request.line"), frame("sip", "request.headers"), frame("sip", "request.body")],
    [frame("sip", "response.line"), frame("sip", "response.headers"), frame("sip", "response.body")],
];

/// Tells rules what EVE's record does not have; they are asked with that.
fn tell_rules(way: Direction, (whole, head, body): (&[u8], &[u8], &[u8]), cx: &mut Context<'_>) {
    if !cx.rules.is_on() {
        return;
    }
    let line_len = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |end| end + 1);
    let (line, fields) = head.split_at_checked(line_len).unwrap_or((head, &[]));
    // The empty line ends them and is none of them.
    let fields = fields.strip_suffix(b"\r\n").unwrap_or(fields);
    let is_answer = line.starts_with(b"SIP/");
    for (kind, bytes) in FRAMES[usize::from(is_answer)].into_iter().zip([line, fields, body]) {
        if !bytes.is_empty() {
            cx.rules.frame(way, kind, bytes);
        }
    }
    cx.rules.frame(way, const { frame("sip", "pdu") }, whole);
    for (name, short, buffer) in TOLD {
        headers(head, name, short).for_each(|value| cx.rules.show(buffer, value));
    }
    cx.rules.show(const { buffer("sip.body") }, body);
    if !header(head, b"content-type", b"c").is_some_and(|value| has_word(value, b"sdp")) {
        return;
    }
    let mut is_of_medium = false;
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let [letter, b'=', value @ ..] = line else { continue };
        if *letter == b'm' {
            is_of_medium = true;
            cx.rules.show(const { buffer("sdp.media.media") }, value);
            continue;
        }
        let known = SDP.iter().find(|(known, ..)| known == letter);
        let place = known.and_then(|(_, session, medium)| if is_of_medium { *medium } else { *session });
        if let Some(buffer) = place {
            cx.rules.show(buffer, value);
        }
    }
}

/// The value of a header, by its long or its compact name.
fn header<'a>(head: &'a [u8], name: &[u8], short: &[u8]) -> Option<&'a [u8]> {
    headers(head, name, short).next()
}

/// The values of all headers of a name.
fn headers<'a>(head: &'a [u8], name: &[u8], short: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(move |line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (key, value) = line.split_at_checked(colon)?;
        let key = key.trim_ascii();
        let is_it = key.eq_ignore_ascii_case(name) || (!short.is_empty() && key.eq_ignore_ascii_case(short));
        is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

/// The host of `sip:user@host:port;parameters`.
fn host_of(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|byte| *byte == b':')?;
    let rest = uri.get(colon + 1..)?;
    let rest = rest.split(|byte| *byte == b';').next()?;
    rest.split(|byte| *byte == b'@').next_back().filter(|host| !host.is_empty())
}

/// Media of a session description (RFC 8866 5.7, 5.14): RTP to the port, RTCP to the one after.
pub(super) fn expect_media(description: &[u8], cx: &mut Context<'_>) {
    let mut addr = None;
    let mut left = 8;
    let lines = description.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    // The session's own address stands before the media, a medium's after: the latter is the exception.
    for line in lines {
        if let Some(value) = line.strip_prefix(b"c=IN IP4 ").or_else(|| line.strip_prefix(b"c=IN IP6 ")) {
            let text = std::str::from_utf8(value.split(|byte| *byte == b'/').next().unwrap_or_default());
            addr = text.ok().and_then(|text| text.parse::<std::net::IpAddr>().ok()).map(|ip| match ip {
                std::net::IpAddr::V4(v4) => Addr::v4(v4.octets()),
                std::net::IpAddr::V6(v6) => Addr(v6.octets()),
            });
        } else if let Some(media) = line.strip_prefix(b"m=") {
            let mut words = media.split(|byte| *byte == b' ').skip(1);
            let port = words.next().and_then(decimal).and_then(|port| u16::try_from(port).ok());
            let is_rtp = words.next().is_some_and(|transport| has_word(transport, b"rtp/"));
            if let (Some(addr), Some(port), true) = (addr, port.filter(|port| *port > 0), is_rtp && left > 0)
            {
                left -= 1;
                cx.expect(addr, port, &RTP);
                cx.expect(addr, port.saturating_add(1), &RTCP);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_at(bytes: &[u8], is_tcp: bool) -> Match {
        look(&Peek {
            bytes,
            way: Direction::Forward,
            nth: 0,
            ports: (5060, 5060),
            other: &[],
            previous: &[],
            is_multicast: false,
            is_tcp,
        })
    }

    #[test]
    fn requests_and_responses_are_known() {
        assert_eq!(look_at(b"INVITE sip:bob@b.example SIP/2.0\r\n", false), Match::Yes(97));
        assert_eq!(look_at(b"SIP/2.0 200 OK\r\n", false), Match::Yes(97));
        assert_eq!(look_at(b"OPTIONS * HTTP/1.1\r\n", false), Match::No);
        assert_eq!(look_at(b"INV", true), Match::More);
        let request = b"REGISTER sip:b.example SIP/2.0\r\nl: 0\r\n\r\n";
        for len in 0..request.len() {
            let _ = look_at(&request[..len], true);
        }
    }

    #[test]
    fn headers_have_two_names() {
        assert_eq!(header(b"x\r\nL: 12\r\n", b"content-length", b"l"), Some(&b"12"[..]));
        assert_eq!(host_of(b"sip:bob@b.example:5060;transport=udp"), Some(&b"b.example:5060"[..]));
        assert_eq!(host_of(b"sip:b.example"), Some(&b"b.example"[..]));
    }
}
