//! Who asks for which name, and what is the answer? DNS over UDP and TCP (RFC 1035), mDNS (RFC 6762), LLMNR (RFC 4795).
//!
//! Records have the form of Suricata 7's EVE `dns`, version 2: one for every question, one for every response. The first
//! question's name is the flow's host. Addresses are remembered under the name that was asked for, so that a chain
//! of CNAMEs does not hide which application it was; but only where somebody did ask (RFC 5452 9.1).

use super::asked::Asked;
use super::line::Line;
use super::message::{HEADER_BYTES, Header, Name, Question, Rr, Section, be16, rcode_name, type_name};
use super::{rdata, suspicion, told};
use crate::dpi::text::starts_with_word;
use crate::dpi::{
    Category, Context, Fields, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Risk, Shown, Step,
};
use crate::flow::Direction;
use crate::parse::Addr;
use crate::rules::language::frames::frame;
use crate::rules::rule::FrameId;

/// DNS.
pub static DNS: Protocol = Protocol {
    name: "dns",
    eve: None,
    category: Category::Network,
    probes: &[
        Probe { over: Over::Udp, first: First::Any, look: udp },
        Probe { over: Over::Tcp, first: First::In(0, 0x3f), look: tcp },
    ],
    parser: Some(|| Box::new(Reader::new(Dialect::Dns))),
};

/// Multicast DNS.
pub static MDNS: Protocol = Protocol {
    name: "mdns",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::Any, look: mdns }],
    parser: Some(|| Box::new(Reader::new(Dialect::Mdns))),
};

/// Link-local multicast name resolution.
pub static LLMNR: Protocol = Protocol {
    name: "llmnr",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::Any, look: llmnr }],
    parser: Some(|| Box::new(Reader::new(Dialect::Llmnr))),
};

/// A reader of messages that HTTP/2 carries, each with its length in front as over TCP.
#[must_use]
pub fn over_http() -> Box<dyn Parser> {
    Box::new(Reader::new(Dialect::Http))
}

const PORT: u16 = 53;
const MDNS_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;
const NETBIOS_PORT: u16 = 137;

/// Questions of one message that are told.
const QUESTIONS_MAX: u16 = 16;

/// Names that may carry data after which a flow is a tunnel.
const CARRYING_NAMES: u8 = 3;

/// How much of a message is as DNS has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Not,
    /// The header may be one.
    Header,
    /// A question or record follows as the header says.
    Whole,
}

/// `len` is the length of the whole message, of which `message` may be the beginning.
fn fit(message: &[u8], len: usize) -> Fit {
    let Some(header) = Header::read(message) else { return Fit::Not };
    // RFC 6895 2.2: 3 and what is above 6 was never assigned.
    if matches!(header.opcode(), 3 | 7..) {
        return Fit::Not;
    }
    shape(&header, message, len)
}

/// Whether what follows the header is as it says, whatever the operation.
fn shape(header: &Header, message: &[u8], len: usize) -> Fit {
    if header.least_bytes() > len {
        return Fit::Not;
    }
    let [questions, answers, authorities, additional] = header.counts;
    if !header.is_response() && header.opcode() == 0 && (questions == 0 || header.rcode() > 0) && answers == 0
    {
        return Fit::Not;
    }
    if questions == 0 {
        // Refusals without a question, and multicast responses.
        let has_record = answers > 0 || authorities > 0 || additional > 0;
        return match Rr::read(message, HEADER_BYTES) {
            Some(rr) if has_record && type_name(rr.kind).is_some() => Fit::Whole,
            _ => Fit::Header,
        };
    }
    match Question::read(message, HEADER_BYTES) {
        // RFC 1035 3.2.4 and RFC 6762 5.4: the highest bit asks for a unicast answer.
        Some(question) if question.kind != 0 && matches!(question.class & 0x7fff, 1..=4 | 254 | 255) => {
            Fit::Whole
        }
        _ => Fit::Header,
    }
}

/// Away from the port it takes one question with a name of printable letters, and nothing unusual.
fn is_plain(message: &[u8]) -> bool {
    let Some(header) = Header::read(message) else { return false };
    let mut is_graphic = true;
    let mut labels = 0;
    let end = super::message::walk(message, HEADER_BYTES, |label| {
        labels += 1;
        is_graphic &= label.iter().all(u8::is_ascii_graphic);
    });
    let question = Question::read(message, HEADER_BYTES);
    header.counts[0] == 1
        && header.counts[2] <= 32
        && header.counts[3] <= 32
        && !header.z()
        && is_graphic
        && labels > 0
        && end.is_some()
        && question.is_some_and(|question| {
            matches!(question.class, 1 | 3 | 255)
                && type_name(question.kind).is_some()
                && (header.is_response()
                    || header.counts[1] > 0
                    || header.counts[2] > 0
                    || header.counts[3] > 0
                    || question.end == message.len())
        })
}

fn udp(peek: &Peek<'_>) -> Match {
    if [MDNS_PORT, LLMNR_PORT].iter().any(|port| peek.has_port(*port)) && !peek.has_port(PORT) {
        return Match::No;
    }
    match (fit(peek.bytes, peek.bytes.len()), peek.has_port(PORT)) {
        (Fit::Whole, true) => Match::Yes(95),
        (Fit::Header, true) => Match::Yes(70),
        // Names of NetBIOS have the same form on their own port.
        (Fit::Whole, false) if !peek.has_port(NETBIOS_PORT) && is_plain(peek.bytes) => Match::Yes(90),
        _ => Match::No,
    }
}

fn tcp(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(PORT);
    let Some(len) = be16(peek.bytes, 0) else { return Match::More };
    let len = usize::from(len);
    let message = peek.bytes.get(2..).unwrap_or_default();
    if len < HEADER_BYTES || (!is_port && len > 4_096) {
        return Match::No;
    }
    if message.len() < HEADER_BYTES {
        return Match::More;
    }
    let message = message.get(..len).unwrap_or(message);
    match fit(message, len) {
        Fit::Not => Match::No,
        Fit::Header if message.len() < len && message.len() < 300 => Match::More,
        Fit::Header => Match::of(is_port, 70),
        Fit::Whole if is_port => Match::Yes(95),
        Fit::Whole => Match::of(peek.bytes.len() == len + 2 && is_plain(message), 90),
    }
}

fn mdns(peek: &Peek<'_>) -> Match {
    if !peek.has_port(MDNS_PORT) || peek.has_port(PORT) {
        return Match::No;
    }
    match fit(peek.bytes, peek.bytes.len()) {
        Fit::Whole => Match::Yes(95),
        Fit::Header => Match::of(peek.bytes.len() > HEADER_BYTES, 60),
        Fit::Not => Match::No,
    }
}

fn llmnr(peek: &Peek<'_>) -> Match {
    let Some(header) = Header::read(peek.bytes) else { return Match::No };
    // An operation that there is not is told as such: nobody else has the port.
    let fits = peek.has_port(LLMNR_PORT) && shape(&header, peek.bytes, peek.bytes.len()) == Fit::Whole;
    Match::sure(fits)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Dns,
    /// DNS over HTTP/2 (RFC 8484).
    Http,
    Mdns,
    Llmnr,
}

impl Dialect {
    const fn event(self) -> &'static str {
        match self {
            Self::Dns | Self::Http => "dns",
            Self::Mdns => "mdns",
            Self::Llmnr => "llmnr",
        }
    }

    const fn is_dns(self) -> bool {
        matches!(self, Self::Dns | Self::Http)
    }

    /// What rules call it.
    const fn rules_name(self) -> &'static str {
        match self {
            Self::Http => "doh2",
            other => other.event(),
        }
    }
}

/// A message, to rules; over TCP without the length before it.
const PDU: FrameId = frame("dns", "pdu");

/// The type NULL (RFC 1035 3.3.10).
const NULL: u16 = 10;

/// Bytes of texts in answers of one flow, beyond which names that may carry data are no chance.
const CARRIED_BACK_BYTES: u32 = 2_048;

/// Reads the messages of one flow.
#[derive(Debug)]
struct Reader {
    dialect: Dialect,
    has_host: bool,
    /// Names so far that may carry data.
    carrying: u8,
    /// Questions for NULL so far, and bytes of texts and NULL that were answered.
    nulls: u8,
    carried_back: u32,
    /// Questions without an answer so far.
    asked: Asked,
}

impl Reader {
    const fn new(dialect: Dialect) -> Self {
        Self { dialect, has_host: false, carrying: 0, nulls: 0, carried_back: 0, asked: Asked::new() }
    }

    fn message(&mut self, way: Direction, message: &[u8], cx: &mut Context<'_>) {
        if self.dialect == Dialect::Dns {
            cx.rules.frame(way, PDU, message);
        }
        let Some(header) = Header::read(message) else {
            cx.anomaly("malformed_data");
            return;
        };
        if self.dialect == Dialect::Llmnr && header.opcode() != 0 {
            cx.anomaly("invalid_opcode");
        }
        if header.z() && self.dialect.is_dns() {
            cx.anomaly("z_flag_set");
        }
        let mut name = Name::new();
        let mut first = None;
        let mut next = Some(HEADER_BYTES);
        for nth in 0..header.counts[0].min(QUESTIONS_MAX) {
            let question = next.and_then(|at| Question::read(message, at));
            let named = question.and_then(|question| name.read(message, question.name_at));
            let (Some(question), Some(_)) = (question, named) else {
                cx.anomaly("malformed_data");
                cx.risk(Risk::MalformedMessage, format_args!("dns question that cannot be read"));
                return;
            };
            next = Some(question.end);
            if nth == 0 {
                first = Some(question);
                self.asked(question, &name, cx);
            }
            if !header.is_response() {
                self.asked.note(way, header.id, question.kind, name.as_bytes());
                self.tell_question(way, header, question, &name, cx);
            }
        }
        // Inverse queries (RFC 1035 6.4) and multicast responses have their name in the first record.
        if header.counts[0] == 0
            && header.counts[1] > 0
            && let Some(rr) = Rr::read(message, HEADER_BYTES)
            && name.read(message, rr.name_at).is_some()
        {
            self.keep_host(name.as_bytes(), cx);
        }
        if header.counts[0] > QUESTIONS_MAX {
            next = None;
        }
        self.tell_rules(way, message, header, next, cx);
        if header.is_response() {
            self.response(way, message, header, first, next, cx);
        }
    }

    /// Tells rules the names of a message, whose records begin at `records`.
    fn tell_rules(
        &self,
        way: Direction,
        message: &[u8],
        header: Header,
        records: Option<usize>,
        cx: &mut Context<'_>,
    ) {
        let transaction = *cx.transactions;
        told::message(self.dialect.rules_name(), (way, transaction), message, header, records, cx);
    }

    /// The first name is the flow's; bytes that no host name has are shown as question marks.
    fn keep_host(&mut self, name: &[u8], cx: &mut Context<'_>) {
        if self.has_host || name.is_empty() {
            return;
        }
        self.has_host = true;
        let mut host = Line::<255>::new();
        for byte in name {
            host.push(&[if byte.is_ascii_graphic() { *byte } else { b'?' }]);
        }
        cx.host(HostKind::Dns, host.as_bytes());
    }

    /// What the name of a question says of the flow.
    fn asked(&mut self, question: Question, name: &Name, cx: &mut Context<'_>) {
        let text = name.as_bytes();
        self.keep_host(text, cx);
        if name.is_cut {
            cx.anomaly("name_too_long");
            cx.risk(Risk::LongName, format_args!("dns name is cut"));
        }
        if !self.dialect.is_dns() {
            return;
        }
        let odd = suspicion::look(text);
        if odd.is_long {
            cx.risk(Risk::LongName, format_args!("{} bytes: {}", text.len(), Shown(text)));
        }
        if odd.is_generated {
            cx.risk(Risk::GeneratedName, format_args!("{}", Shown(text)));
        }
        if odd.is_random {
            cx.risk(Risk::SuspiciousEntropy, format_args!("{}", Shown(text)));
        }
        if question.kind == NULL {
            // Nothing but tunnels (iodine for one) has asked for it since RFC 1035.
            self.nulls = self.nulls.saturating_add(1);
            if self.nulls >= CARRYING_NAMES {
                cx.risk(Risk::DnsTunnel, format_args!("asks for NULL: {}", Shown(text)));
            }
        }
        if starts_with_word(text, b"dnscat.") {
            cx.risk(Risk::DnsTunnel, format_args!("dnscat: {}", Shown(text)));
        }
        if odd.carries_data {
            self.carrying = self.carrying.saturating_add(1);
            // NULL, TXT and the private type are what tunnels take, for they carry most back.
            if self.carrying >= CARRYING_NAMES || matches!(question.kind, 10 | 16 | 65_399) {
                cx.risk(Risk::DnsTunnel, format_args!("type {}: {}", question.kind, Shown(text)));
            }
        }
    }

    fn tell_question(
        &self,
        way: Direction,
        header: Header,
        question: Question,
        name: &Name,
        cx: &mut Context<'_>,
    ) {
        let transaction = *cx.transactions;
        cx.tell_with(self.dialect.event(), way, |fields| {
            fields.number("version", 2_u8);
            fields.text("type", "query");
            fields.number("id", header.id);
            fields.text("rrname", name.as_bytes());
            write_type(fields, question.kind);
            fields.number("tx_id", transaction);
            if header.z() {
                fields.bool("z", true);
            }
            fields.number("opcode", header.opcode());
        });
    }

    fn response(
        &mut self,
        way: Direction,
        message: &[u8],
        header: Header,
        question: Option<Question>,
        at: Option<usize>,
        cx: &mut Context<'_>,
    ) {
        let mut name = Name::new();
        let answers = Section::read(message, at, header.counts[1]);
        let authorities = Section::read(message, answers.end, header.counts[2]);
        if answers.is_broken || authorities.is_broken {
            cx.anomaly("malformed_data");
            cx.risk(Risk::MalformedMessage, format_args!("dns records that cannot be read"));
        }
        if self.dialect.is_dns() {
            if header.rcode() != 0 {
                cx.risk(Risk::ErrorCode, format_args!("dns rcode {}", header.rcode()));
            }
            if let Some(question) = question
                && name.read(message, question.name_at).is_some()
                && self.asked.take(way.opposite(), header.id, question.kind, name.as_bytes())
            {
                resolve(message, name.as_bytes(), answers.records(), cx);
            }
            for rr in answers.records().iter().filter(|rr| matches!(rr.kind, NULL | 16 | 65_399)) {
                let len = u32::try_from(rr.data(message).len()).unwrap_or(u32::MAX);
                self.carried_back = self.carried_back.saturating_add(len);
            }
            if self.carried_back > CARRIED_BACK_BYTES && self.carrying > 0 {
                let bytes = self.carried_back;
                cx.risk(Risk::DnsTunnel, format_args!("{bytes} bytes of TXT and NULL for names with data"));
            }
        }
        cx.tell_with(self.dialect.event(), way, |fields| {
            fields.number("version", 2_u8);
            fields.text("type", "answer");
            fields.number("id", header.id);
            fields.text("flags", Line::<4>::of(format_args!("{:x}", header.flags)));
            fields.bool("qr", true);
            for (bit, key) in [(0x400, "aa"), (0x200, "tc"), (0x100, "rd"), (0x80, "ra"), (0x40, "z")] {
                if header.flags & bit != 0 {
                    fields.bool(key, true);
                }
            }
            fields.number("opcode", header.opcode());
            if let Some(question) = question
                && name.read(message, question.name_at).is_some()
            {
                fields.text("rrname", name.as_bytes());
                write_type(fields, question.kind);
            }
            match rcode_name(header.rcode()) {
                Some(text) => fields.text("rcode", text),
                None => fields.text("rcode", Line::<5>::of(format_args!("{}", header.rcode()))),
            }
            if !answers.records().is_empty() {
                fields.list("answers", |list| {
                    answers.records().iter().for_each(|rr| write_record(list, message, rr, &mut name));
                });
                fields.object("grouped", |grouped| {
                    write_grouped(grouped, message, answers.records(), &mut name)
                });
            }
            if !authorities.records().is_empty() {
                fields.list("authorities", |list| {
                    authorities.records().iter().for_each(|rr| write_record(list, message, rr, &mut name));
                });
            }
        });
    }
}

/// Remembers the addresses of a response under the name that was asked for.
fn resolve(message: &[u8], asked: &[u8], answers: &[Rr], cx: &mut Context<'_>) {
    let mut addrs = [Addr::v4([0; 4]); ADDRESSES_MAX];
    let mut count = 0;
    let mut ttl_s = u32::MAX;
    for rr in answers {
        let data = rr.data(message);
        let addr = match rr.kind {
            1 => data.first_chunk().copied().map(Addr::v4),
            28 => data.first_chunk().copied().map(Addr::v6),
            _ => None,
        };
        if let Some(addr) = addr {
            cx.resolved(asked, addr, rr.ttl);
            ttl_s = ttl_s.min(rr.ttl);
            if let Some(place) = addrs.get_mut(count) {
                *place = addr;
            }
            count += 1;
        }
    }
    // With more than fit, what the client goes to may be one that is not kept.
    if let Some(addrs) = addrs.get(..count)
        && !addrs.is_empty()
    {
        cx.foresight.answered(cx.flow.initiator.0, asked, addrs, ttl_s, cx.at);
    }
}

/// Addresses of one answer that are kept.
const ADDRESSES_MAX: usize = 16;

fn write_type(fields: &mut Fields, kind: u16) {
    match type_name(kind) {
        Some(text) => fields.text("rrtype", text),
        None => fields.text("rrtype", Line::<5>::of(format_args!("{kind}"))),
    }
}

fn write_record(list: &mut Fields, message: &[u8], rr: &Rr, name: &mut Name) {
    let head = |object: &mut Fields, name: &mut Name| {
        if name.read(message, rr.name_at).is_some() {
            object.text("rrname", name.as_bytes());
        }
        write_type(object, rr.kind);
        object.number("ttl", rr.ttl);
    };
    if rr.kind == 16 {
        // Each text of a TXT record is an answer of its own.
        for text in rdata::strings(rr.data(message)) {
            list.object("", |object| {
                head(object, name);
                object.text("rdata", text);
            });
        }
        return;
    }
    list.object("", |object| {
        head(object, name);
        rdata::write(object, false, message, rr, name);
    });
}

fn write_grouped(grouped: &mut Fields, message: &[u8], answers: &[Rr], name: &mut Name) {
    for kind in rdata::GROUPED {
        if !answers.iter().any(|rr| rr.kind == *kind) {
            continue;
        }
        grouped.list(type_name(*kind).unwrap_or_default(), |list| {
            for rr in answers.iter().filter(|rr| rr.kind == *kind) {
                rdata::write(list, true, message, rr, name);
            }
        });
    }
}

impl Parser for Reader {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol != crate::parse::Protocol::TCP {
            self.message(way, bytes, cx);
            return Step::Consumed(bytes.len());
        }
        // RFC 1035 4.2.2: two bytes of length in front.
        let Some(len) = be16(bytes, 0) else { return Step::Consumed(0) };
        let end = 2 + usize::from(len);
        let Some(message) = bytes.get(2..end) else { return Step::Consumed(0) };
        if message.len() < HEADER_BYTES {
            cx.anomaly("malformed_data");
            return Step::Done;
        }
        self.message(way, message, cx);
        Step::Consumed(end)
    }

    fn start_over(&mut self) -> bool {
        *self = Self::new(self.dialect);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for www.example.org, A.
    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01";

    /// Its answer: a CNAME and an address.
    const ANSWER: &[u8] = b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01a\xc0\x10\xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";

    fn peek(bytes: &[u8], ports: (u16, u16), is_tcp: bool) -> Peek<'_> {
        Peek {
            bytes,
            way: Direction::Forward,
            nth: 0,
            ports,
            other: &[],
            previous: &[],
            is_multicast: false,
            is_tcp,
        }
    }

    #[test]
    fn tunnels_give_themselves_away() {
        use crate::dpi::risk::clues::told_of;
        let question = |name: &[&[u8]], kind: u8| {
            let mut message = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
            for label in name {
                message.push(label.len() as u8);
                message.extend(*label);
            }
            message.extend([0, 0, kind, 0, 1]);
            message
        };
        let told = |message: &[u8], times: u8| {
            told_of(|cx| {
                let mut reader = Reader::new(Dialect::Dns);
                (0..times).for_each(|_| reader.message(Direction::Forward, message, cx));
            })
        };
        let null = question(&[b"yrb2k", b"t", b"example", b"org"], 10);
        assert_eq!(told(&null, CARRYING_NAMES - 1), [""; 0]);
        assert_eq!(told(&null, CARRYING_NAMES), ["dns_tunnel: asks for NULL: yrb2k.t.example.org"]);
        let dnscat = question(&[b"dnscat", b"546b03f5"], 16);
        assert_eq!(told(&dnscat, 1), ["dns_tunnel: dnscat: dnscat.546b03f5"]);
        assert_eq!(told(QUERY, 20), [""; 0]);
    }

    #[test]
    fn messages_are_recognised_on_any_port() {
        for message in [QUERY, ANSWER] {
            assert_eq!(udp(&peek(message, (40_000, 53), false)), Match::Yes(95));
            assert_eq!(udp(&peek(message, (40_000, 5300), false)), Match::Yes(90));
            assert_eq!(mdns(&peek(message, (5353, 5353), false)), Match::Yes(95));
            assert_eq!(llmnr(&peek(message, (40_000, 5355), false)), Match::Yes(95));
            let mut unassigned = message.to_vec();
            unassigned[2] |= 0x78;
            assert_eq!(llmnr(&peek(&unassigned, (40_000, 5355), false)), Match::Yes(95));
            assert_eq!(udp(&peek(&unassigned, (40_000, 53), false)), Match::No);
            assert_eq!(udp(&peek(message, (5353, 5353), false)), Match::No);
            let mut framed = (message.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(message);
            assert_eq!(tcp(&peek(&framed, (40_000, 53), true)), Match::Yes(95));
            assert_eq!(tcp(&peek(&framed, (40_000, 5300), true)), Match::Yes(90));
            for len in 0..framed.len() {
                assert_ne!(tcp(&peek(&framed[..len], (40_000, 5300), true)), Match::Yes(90));
                udp(&peek(&framed[..len], (40_000, 53), false));
            }
        }
    }

    #[test]
    fn other_traffic_is_not() {
        for other in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0; 64],
            &[0xff; 64],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0",
        ] {
            assert_eq!(udp(&peek(other, (40_000, 5300), false)), Match::No);
            assert_ne!(tcp(&peek(other, (40_000, 443), true)), Match::Yes(90));
        }
    }

    #[test]
    fn any_message_is_read_without_harm() {
        let mut name = Name::new();
        let mut fields = Fields::new();
        for len in 0..ANSWER.len() {
            let cut = &ANSWER[..len];
            let section = Section::read(cut, Some(33), 2);
            for rr in section.records() {
                for kind in 0..300 {
                    write_record(&mut fields, cut, &Rr { kind, ..*rr }, &mut name);
                }
            }
            write_grouped(&mut fields, cut, section.records(), &mut name);
        }
        fields.clear();
        let section = Section::read(ANSWER, Some(33), 2);
        assert_eq!(section.records().len(), 2);
        write_grouped(&mut fields, ANSWER, section.records(), &mut name);
        let texts: Vec<_> = fields
            .iter()
            .filter_map(|(_, value)| match value {
                crate::dpi::fields::Value::Text(text) => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(texts, [&b"192.0.2.1"[..], b"a.example.org"]);
    }
}
