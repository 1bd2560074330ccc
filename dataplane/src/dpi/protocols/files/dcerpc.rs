//! DCE/RPC: which interface is bound, which operation is called? (C706 chapters 12 and 14; MS-RPCE)
//!
//! Over TCP, UDP and, through `Calls`, inside SMB's pipes. One record a bind or call, as Suricata's `dcerpc`.

use super::interfaces;
use super::ntlmssp::Authenticate;
use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols;
use crate::dpi::{Category, Fields, First, Match, Over, Peek, Probe, Protocol};
use crate::flow::Direction;
use crate::parse::Addr;
use crate::rules::detect::field;
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

/// DCE/RPC.
pub static DCERPC: Protocol = Protocol {
    name: "dcerpc",
    eve: None,
    category: Category::Rpc,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[5]), look },
        Probe { over: Over::Udp, first: First::Of(&[4]), look: look_at_datagram },
    ],
    parser: Some(|| Box::<Connection>::default()),
};

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const BIND_NAK: u8 = 13;
const ALTER: u8 = 14;
const ALTER_ACK: u8 = 15;
const AUTH3: u8 = 16;

/// C706 12.6.3.1: version 5.0 or 5.1, type, flags, data representation, length of fragment.
fn look(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<16>() else {
        return if [5, 0].starts_with(peek.bytes.get(..2).unwrap_or(peek.bytes)) && peek.bytes.len() > 3 {
            Match::More
        } else {
            Match::No
        };
    };
    Match::sure(Head::read(head).is_some())
}

/// C706 12.5.2.
fn look_at_datagram(peek: &Peek<'_>) -> Match {
    Match::sure(Datagram::read(peek.bytes).is_some())
}

fn name_of(kind: u8) -> &'static str {
    match kind {
        REQUEST => "REQUEST",
        1 => "PING",
        RESPONSE => "RESPONSE",
        FAULT => "FAULT",
        4 => "WORKING",
        5 => "NOCALL",
        6 => "REJECT",
        7 => "ACK",
        8 => "CL_CANCEL",
        9 => "FACK",
        10 => "CANCEL_ACK",
        BIND => "BIND",
        BIND_ACK => "BINDACK",
        BIND_NAK => "BINDNAK",
        ALTER => "ALTER_CONTEXT",
        ALTER_ACK => "ALTER_CONTEXT_RESP",
        AUTH3 => "AUTH3",
        17 => "SHUTDOWN",
        18 => "CO_CANCEL",
        19 => "ORPHANED",
        _ => "RTS",
    }
}

/// The common header of connections.
#[derive(Debug, Clone, Copy)]
struct Head {
    minor: u8,
    kind: u8,
    flags: u8,
    is_little: bool,
    len: u16,
    call: u32,
}

impl Head {
    fn read(head: &[u8; 16]) -> Option<Self> {
        let [5, minor, kind, flags, drep, floats, 0, 0, l0, l1, a0, a1, c0, c1, c2, c3] = *head else {
            return None;
        };
        let is_little = drep == 0x10;
        let of16 = |bytes| if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
        let call = if is_little {
            u32::from_le_bytes([c0, c1, c2, c3])
        } else {
            u32::from_be_bytes([c0, c1, c2, c3])
        };
        let (len, auth) = (of16([l0, l1]), of16([a0, a1]));
        // 20 is MS-RPCH's RTS.
        let is = minor <= 1
            && kind <= 20
            && matches!(drep, 0 | 0x10)
            && floats <= 3
            && len >= 16
            && auth <= len - 16;
        is.then_some(Self { minor, kind, flags, is_little, len, call })
    }
}

/// The header of datagrams: 80 bytes.
#[derive(Debug, Clone, Copy)]
struct Datagram<'a> {
    kind: u8,
    is_little: bool,
    interface: [u8; 16],
    activity: [u8; 16],
    version: u32,
    sequence: u32,
    operation: u16,
    stub: &'a [u8],
}

impl<'a> Datagram<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut at = Cursor::new(bytes);
        let [4, kind, _flags, flags2, drep, floats, 0, _serial] = at.array::<8>()? else { return None };
        let is_little = drep == 0x10;
        if kind > 10 || flags2 > 7 || !matches!(drep, 0 | 0x10) || floats > 3 {
            return None;
        }
        at.skip(16)?;
        let (interface, activity) = (at.array()?, at.array()?);
        let _boot = at.be32()?;
        let (version, sequence) = (order32(at.array()?, is_little), order32(at.array()?, is_little));
        let operation = order16(at.array()?, is_little);
        at.skip(4)?;
        let len = order16(at.array()?, is_little);
        at.skip(4)?;
        let stub = at.take(usize::from(len))?;
        Some(Self { kind, is_little, interface, activity, version, sequence, operation, stub })
    }
}

const fn order16(bytes: [u8; 2], is_little: bool) -> u16 {
    if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
}

const fn order32(bytes: [u8; 4], is_little: bool) -> u32 {
    if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
}

/// What calls carry.
const STUB: BufferId = buffer("dcerpc.stub_data");

/// Transactions of calls, apart from those of records.
const FIRST_CALL: u32 = 0x8000_0000;

/// Where the bytes of a little-endian UUID stand in its text.
const LITTLE: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// The bytes of a UUID as its text has them.
fn in_text_order(raw: [u8; 16], is_little: bool) -> [u8; 16] {
    if is_little { LITTLE.map(|place| raw[place]) } else { raw }
}

/// `e1af8308-5d1f-11c9-91a4-08002b14a0fa`.
fn uuid_text(raw: [u8; 16], is_little: bool) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let raw = in_text_order(raw, is_little);
    let mut text = [b'-'; 36];
    let mut place = 0;
    for (index, byte) in raw.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            place += 1;
        }
        text[place] = HEX[usize::from(byte >> 4)];
        text[place + 1] = HEX[usize::from(byte & 15)];
        place += 2;
    }
    text
}

/// PROFINET's interfaces: dea0000x-6c97-11d1-8271-00a02442df7d (IEC 61158-6-10).
fn is_profinet(raw: [u8; 16], is_little: bool) -> bool {
    let text = uuid_text(raw, is_little);
    text.starts_with(b"dea0000") && text.ends_with(b"-6c97-11d1-8271-00a02442df7d")
}

/// The endpoint mapper, little-endian.
const MAPPER: [u8; 16] =
    [0x08, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 0x08, 0, 0x2b, 0x14, 0xa0, 0xfa];

/// Contexts of one bind that are kept and told.
const CONTEXTS_MAX: usize = 8;
/// Calls that wait for their answers.
const CALLS_MAX: usize = 8;
/// Records of one connection.
const RECORDS_MAX: u32 = 2_000;

/// The calls of one connection or pipe.
#[derive(Debug, Default)]
pub(super) struct Calls {
    interfaces: Vec<Interface>,
    waiting: Vec<Call>,
    told: u32,
    /// The record of SMB that a call is told in, where it goes through a pipe.
    pub(super) around: Option<Fields>,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    context: u16,
    uuid: [u8; 16],
    is_little: bool,
    version: (u16, u16),
    /// What the server said of it, and why.
    result: Option<(u16, u16)>,
    is_new: bool,
    /// Whether the bind that names it says that it is the first fragment.
    is_first: bool,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    id: u32,
    kind: u8,
    operation: u16,
    context: u16,
    fragments: u32,
    stub_bytes: u32,
    answered_fragments: u32,
    answered_bytes: u32,
}

impl Calls {
    /// Reads one whole fragment. `event_type` is `dcerpc`, or `smb` inside of which the object goes.
    fn fragment(&mut self, way: Direction, head: Head, fragment: &[u8], cx: &mut Context<'_>) {
        let body = fragment.get(16..).unwrap_or_default();
        let is_little = head.is_little;
        match head.kind {
            BIND | ALTER => {
                if head.kind == BIND {
                    // A pipe's number may be that of one that was closed.
                    self.interfaces.clear();
                }
                if self.bind(body, is_little, head.flags & 1 != 0).is_none() {
                    cx.anomaly("dcerpc_invalid_bind");
                }
                self.wait(Call::of(head));
            }
            BIND_ACK | ALTER_ACK => {
                self.accept(body, is_little);
                self.answer(way, head, cx);
                for interface in &mut self.interfaces {
                    interface.is_new = false;
                }
            }
            BIND_NAK | FAULT => self.answer(way, head, cx),
            AUTH3 => {
                if let Some(login) = Authenticate::find_in(body) {
                    login.judge(cx);
                    cx.tell_with("dcerpc", way, |fields| {
                        fields.text("request", "AUTH3");
                        login.write(fields);
                        fields.number("call_id", head.call);
                    });
                }
            }
            REQUEST => {
                let mut at = Cursor::new(body);
                let read = at.skip(4).and_then(|()| Some((at.array::<2>()?, at.array::<2>()?)));
                let Some((context, operation)) = read else { return };
                let (context, operation) = (order16(context, is_little), order16(operation, is_little));
                self.tell_rules(way, head, (context, operation), at.rest(), cx);
                let len = at.rest().len() as u32;
                match self.waiting.iter_mut().find(|call| call.id == head.call && head.flags & 1 == 0) {
                    Some(call) => {
                        call.fragments += 1;
                        call.stub_bytes = call.stub_bytes.saturating_add(len);
                    }
                    None => self.wait(Call {
                        operation,
                        context,
                        fragments: 1,
                        stub_bytes: len,
                        ..Call::of(head)
                    }),
                }
            }
            RESPONSE => {
                let stub = body.get(8..).unwrap_or_default();
                if let Some(call) = self.waiting.iter_mut().find(|call| call.id == head.call) {
                    call.answered_fragments += 1;
                    call.answered_bytes = call.answered_bytes.saturating_add(stub.len() as u32);
                    let call = *call;
                    self.tell_rules(way, head, (call.context, call.operation), stub, cx);
                    if call.operation == 3
                        && self.interface(call.context).is_some_and(|known| known.uuid == MAPPER)
                    {
                        expect_mapped(stub, cx);
                    }
                }
                // C706 12.6.3.1: PFC_LAST_FRAG.
                if head.flags & 2 != 0 {
                    self.answer(way, head, cx);
                }
            }
            _ => {}
        }
    }

    /// Tells rules of a fragment of a call: its interface, its operation, and what it carries.
    fn tell_rules(
        &self,
        way: Direction,
        head: Head,
        (context, operation): (u16, u16),
        stub: &[u8],
        cx: &mut Context<'_>,
    ) {
        if !cx.rules.is_on() {
            return;
        }
        let name = if self.around.is_some() { "smb" } else { "dcerpc" };
        let transaction = FIRST_CALL | head.call;
        // C706 12.6.3.1: PFC_FIRST_FRAG, PFC_LAST_FRAG.
        let (is_first, is_last) = (head.flags & 1 != 0, head.flags & 2 != 0);
        if is_first {
            if let Some(known) = self.interface(context) {
                let uuid = in_text_order(known.uuid, known.is_little);
                cx.rules.interface(uuid, known.version.0, known.is_first);
            }
            cx.rules.number(const { field("dcerpc.opnum") }, operation.into());
            cx.rules.stage(name, transaction, way, false);
        }
        cx.rules.body(name, (transaction, &[STUB]), way, stub, is_last);
        if is_last {
            cx.rules.stage(name, transaction, way, true);
            if way == Direction::Reverse {
                cx.rules.end(transaction);
            }
        }
    }

    fn interface(&self, context: u16) -> Option<&Interface> {
        self.interfaces.iter().rev().find(|known| known.context == context)
    }

    fn wait(&mut self, call: Call) {
        if self.waiting.len() >= CALLS_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push(call);
    }

    fn bind(&mut self, body: &[u8], is_little: bool, is_first: bool) -> Option<()> {
        let mut at = Cursor::new(body);
        at.skip(8)?;
        let count = at.u8()?;
        at.skip(3)?;
        for _ in 0..count {
            let context = order16(at.array()?, is_little);
            let transfers = at.u8()?;
            at.skip(1)?;
            let uuid = at.array()?;
            let (major, minor) = (order16(at.array()?, is_little), order16(at.array()?, is_little));
            at.skip(20 * usize::from(transfers))?;
            if self.interfaces.len() >= CONTEXTS_MAX {
                self.interfaces.remove(0);
            }
            self.interfaces.push(Interface {
                context,
                uuid,
                is_little,
                version: (major, minor),
                result: None,
                is_new: true,
                is_first,
            });
        }
        Some(())
    }

    fn accept(&mut self, body: &[u8], is_little: bool) -> Option<()> {
        let mut at = Cursor::new(body);
        at.skip(8)?;
        let port = usize::from(order16(at.array()?, is_little));
        // The results are aligned to four bytes.
        at.skip(port + (4 - (port + 2) % 4) % 4)?;
        let count = at.u8()?;
        at.skip(3)?;
        for interface in self.interfaces.iter_mut().filter(|known| known.is_new).take(usize::from(count)) {
            interface.result = Some((order16(at.array()?, is_little), order16(at.array()?, is_little)));
            at.skip(20)?;
        }
        Some(())
    }

    fn answer(&mut self, way: Direction, head: Head, cx: &mut Context<'_>) {
        let Some(index) = self.waiting.iter().position(|call| call.id == head.call) else { return };
        let call = self.waiting.remove(index);
        self.tell(way, call, Some((head.kind, head.minor)), cx);
    }

    fn tell(&mut self, way: Direction, call: Call, answer: Option<(u8, u8)>, cx: &mut Context<'_>) {
        self.told += 1;
        match &self.around {
            Some(around) => cx.tell_with("smb", way, |smb| {
                smb.append(around);
                smb.object("dcerpc", |fields| self.write(fields, call, answer));
            }),
            None => cx.tell_with("dcerpc", way, |fields| self.write(fields, call, answer)),
        }
    }

    /// Calls that nobody answered are told as well.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for call in std::mem::take(&mut self.waiting) {
            self.tell(Direction::Forward, call, None, cx);
        }
    }

    /// Suricata's `dcerpc`, whose object has another shape inside `smb`.
    fn write(&self, fields: &mut Fields, call: Call, answer: Option<(u8, u8)>) {
        let is_inside = self.around.is_some();
        let is_call = !matches!(call.kind, BIND | ALTER);
        let response = answer.map_or("UNREPLIED", |(kind, _)| name_of(kind));
        fields.text("request", name_of(call.kind));
        if is_call && is_inside {
            fields.text("response", response);
            fields.number("opnum", call.operation);
        }
        if is_call {
            fields.object("req", |request| {
                if !is_inside {
                    request.number("opnum", call.operation);
                }
                request.number("frag_cnt", call.fragments);
                request.number("stub_data_size", call.stub_bytes);
            });
        }
        let is_meant = |known: &&Interface| match (is_call, is_inside) {
            (true, true) => known.result.is_some(),
            (true, false) => known.context == call.context,
            (false, _) => known.is_new,
        };
        let list_all = |list: &mut Fields| {
            for interface in self.interfaces.iter().filter(is_meant) {
                list.object("", |object| {
                    object.text("uuid", uuid_text(interface.uuid, interface.is_little));
                    let mut text = [0; 12];
                    object.text("version", version_text(interface.version, &mut text));
                    if is_call && !is_inside {
                        let known = uuid_text(interface.uuid, interface.is_little);
                        let (service, procedure) = interfaces::name(&known, call.operation);
                        object.text_if("service", service);
                        object.text_if("procedure", procedure);
                    }
                    if is_call {
                        return;
                    }
                    // Without an answer Suricata says 0 outside of SMB, and nothing inside.
                    if let Some((result, reason)) = interface.result.or((!is_inside).then_some((0, 0))) {
                        object.number("ack_result", result);
                        if is_inside {
                            object.number("ack_reason", reason);
                        }
                    }
                });
            }
        };
        if self.interfaces.iter().any(|known| is_meant(&known)) {
            fields.list("interfaces", list_all);
        }
        if !(is_call && is_inside) {
            fields.text("response", response);
        }
        if let Some((RESPONSE, _)) = answer {
            fields.object("res", |result| {
                result.number("frag_cnt", call.answered_fragments);
                // Suricata counts the eight bytes before the stub of each fragment in (C706 12.6.4.10).
                let heads = if is_inside { 0 } else { 8 * call.answered_fragments };
                result.number("stub_data_size", call.answered_bytes.saturating_add(heads));
            });
        }
        fields.number("call_id", call.id);
        if !is_inside {
            fields.text("rpc_version", if matches!(answer, Some((_, 1))) { "5.1" } else { "5.0" });
        }
    }

    /// Reads the fragments that a pipe carried in one piece; what is cut off is left.
    pub(super) fn pipe(&mut self, way: Direction, mut bytes: &[u8], cx: &mut Context<'_>) {
        while let Some(head) = bytes.first_chunk().and_then(Head::read) {
            let len = usize::from(head.len);
            self.fragment(way, head, bytes.get(..len.min(bytes.len())).unwrap_or_default(), cx);
            bytes = bytes.get(len..).unwrap_or_default();
        }
    }
}

impl Call {
    const fn of(head: Head) -> Self {
        Self {
            id: head.call,
            kind: head.kind,
            operation: 0,
            context: 0,
            fragments: 0,
            stub_bytes: 0,
            answered_fragments: 0,
            answered_bytes: 0,
        }
    }
}

/// `major.minor`.
fn version_text((major, minor): (u16, u16), buffer: &mut [u8; 12]) -> &[u8] {
    let mut len = 0;
    for (index, number) in [major, minor].into_iter().enumerate() {
        if index == 1 {
            buffer[len] = b'.';
            len += 1;
        }
        let mut divisor = 10_000;
        while divisor > 1 && number < divisor {
            divisor /= 10;
        }
        while divisor > 0 {
            buffer[len] = b'0' + (number / divisor % 10) as u8;
            len += 1;
            divisor /= 10;
        }
    }
    &buffer[..len]
}

/// C706 appendix L: floors of a tower that say TCP and a port, then IP and an address.
fn expect_mapped(stub: &[u8], cx: &mut Context<'_>) {
    let stub = stub.get(..stub.len().min(2_048)).unwrap_or_default();
    for floor in stub.windows(16) {
        if let [1, 0, 7, 2, 0, high, low, 1, 0, 9, 4, 0, a, b, c, d] = *floor {
            let port = u16::from_be_bytes([high, low]);
            cx.expect(Addr::v4([a, b, c, d]), port, &DCERPC);
            cx.expect(cx.flow.responder.0, port, &DCERPC);
        }
    }
}

#[derive(Default)]
struct Connection {
    calls: Calls,
}

impl Parser for Connection {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::UDP {
            return self.datagram(way, bytes, cx);
        }
        let Some(head) = bytes.first_chunk::<16>() else { return Step::Consumed(0) };
        let Some(head) = Head::read(head) else {
            cx.anomaly("dcerpc_invalid_header");
            return Step::Done;
        };
        let Some(fragment) = bytes.get(..usize::from(head.len)) else { return Step::Consumed(0) };
        self.calls.fragment(way, head, fragment, cx);
        if self.calls.interfaces.iter().any(|known| is_profinet(known.uuid, known.is_little)) {
            profinet(cx);
        }
        if self.calls.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(fragment.len()) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.calls.end(cx);
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

fn profinet(cx: &mut Context<'_>) {
    if let Some(profinet) = protocols::by_name("profinet_io") {
        cx.notes.set_protocol(profinet, 95);
    }
}

impl Connection {
    fn datagram(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(datagram) = Datagram::read(bytes) else { return Step::Consumed(0) };
        if is_profinet(datagram.interface, datagram.is_little) {
            profinet(cx);
        }
        if matches!(datagram.kind, REQUEST | RESPONSE | FAULT | 6) {
            self.calls.told += 1;
            cx.tell_with("dcerpc", way, |fields| {
                let is_request = datagram.kind == REQUEST;
                fields.text(if is_request { "request" } else { "response" }, name_of(datagram.kind));
                fields.object(if is_request { "req" } else { "res" }, |side| {
                    side.number("opnum", datagram.operation);
                    side.number("stub_data_size", datagram.stub.len() as u32);
                });
                fields.text("interface", uuid_text(datagram.interface, datagram.is_little));
                fields.number("interface_version", datagram.version);
                fields.text("activityuuid", uuid_text(datagram.activity, datagram.is_little));
                fields.number("seqnum", datagram.sequence);
                fields.text("rpc_version", "4.0");
            });
        }
        if self.calls.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn names_are_written_as_they_are_usual() {
        assert_eq!(&uuid_text(MAPPER, true), b"e1af8308-5d1f-11c9-91a4-08002b14a0fa");
        let mut buffer = [0; 12];
        assert_eq!(version_text((3, 0), &mut buffer), b"3.0");
        assert_eq!(version_text((65_535, 10), &mut buffer), b"65535.10");
    }

    #[test]
    fn binds_are_recognised_and_socks_is_not() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 135, true);
        let mut bind = vec![5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0];
        bind.resize(72, 0);
        assert_eq!(look(&peek(&bind)), Match::Yes(95));
        assert_eq!(look(&peek(&[5, 1, 0])), Match::No);
        for len in 0..bind.len() {
            let _ = look(&peek(&bind[..len]));
        }
        assert_eq!(look_at_datagram(&peek(&[4; 100])), Match::No);
    }
}
