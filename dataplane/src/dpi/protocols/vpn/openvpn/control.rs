//! What does the TLS say that OpenVPN's control channel carries? Its packets are acknowledged and numbered, so that
//! over UDP too they make a stream.
//!
//! Which protection stands before the numbers is not told; it is the one behind which the first record of TLS is. With
//! tls-crypt there is none, and nothing to read.

use super::resets::Resets;
use super::{CONTROL, HEAD, HMACS, is_control};
use crate::dpi::Kept;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols::secure::carried::Carried;
use crate::dpi::protocols::secure::tls;
use crate::flow::Direction;
use crate::parse::Protocol as Ip;

/// Packets after which nobody waits for TLS any more.
const PACKETS_MAX: u16 = 128;

/// Packets of a direction that wait for an earlier one: more than OpenVPN sends unacknowledged (`reliable.h`: 12).
const HELD_MAX: usize = 12;

/// Bytes of a direction that wait so.
const HELD_BYTES_MAX: usize = 8 * 1024;

/// The longest packet over TCP that is read whole; those of the data channel are gone over.
const PACKET_BYTES_MAX: usize = 4_096;

/// Reads one control channel.
#[derive(Default)]
pub(super) struct Control {
    /// Bytes between session and acknowledgements.
    protection: Option<usize>,
    tls: Option<Carried>,
    ways: [Way; 2],
    resets: Resets,
    packets: u16,
}

#[derive(Default)]
struct Way {
    /// Number of the packet that comes next, once one with TLS was seen.
    next: Option<u32>,
    held: Vec<(u32, Kept)>,
}

/// Whether nothing that follows matters.
type Finished = bool;

impl Parser for Control {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol != Ip::TCP {
            return if self.packet(way, bytes, cx) { Step::Done } else { Step::Consumed(bytes.len()) };
        }
        let mut used = 0;
        while let Some((len, rest)) = bytes.get(used..).and_then(|rest| rest.split_first_chunk::<2>()) {
            let len = usize::from(u16::from_be_bytes(*len));
            if len > PACKET_BYTES_MAX || len == 0 {
                cx.anomaly("invalid_length");
                return Step::Done;
            }
            let Some(packet) = rest.get(..len) else { break };
            if self.packet(way, packet, cx) {
                return Step::Done;
            }
            used += 2 + len;
        }
        Step::Consumed(used)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.resets.end(cx);
        if let Some(tls) = &mut self.tls {
            tls.end(cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Control {
    fn packet(&mut self, way: Direction, packet: &[u8], cx: &mut Context<'_>) -> Finished {
        self.packets += 1;
        // The data channel opens when TLS is through.
        let goes_on = packet.first().is_some_and(|opcode| is_control(*opcode)) && self.packets < PACKETS_MAX;
        if !goes_on {
            return true;
        }
        self.resets.packet(way, packet, cx);
        // Of the first key: those that follow are agreed on when all was said.
        if packet.first() != Some(&CONTROL) {
            return false;
        }
        let protection = self.protection.or_else(|| {
            let all = std::iter::once(0).chain(HMACS.iter().map(|hmac| hmac + 8));
            all.into_iter()
                .find(|protection| carried(packet, *protection).is_some_and(|(_, tls)| is_record(tls)))
        });
        let Some(protection) = protection else { return false };
        let Some((number, content)) = carried(packet, protection) else {
            cx.anomaly("invalid_control_packet");
            return false;
        };
        self.protection = Some(protection);
        self.piece(way, number, content, cx)
    }

    /// Takes the content of a packet in its turn.
    fn piece(&mut self, way: Direction, number: u32, content: &[u8], cx: &mut Context<'_>) -> Finished {
        let is_tcp = cx.flow.protocol == Ip::TCP;
        let tls = self.tls.get_or_insert_with(|| {
            if is_tcp { Carried::new() } else { Carried::with(tls::datagram_parser()) }
        });
        let Some(own) = self.ways.get_mut(way as usize) else { return true };
        // Resets have number 0, so TLS begins with 1; a flow seen from its middle with what is seen first.
        let next = own.next.get_or_insert(if cx.flow.is_midstream { number } else { number.min(1) });
        if number > *next {
            let held: usize = own.held.iter().map(|(_, held)| held.len()).sum();
            let is_known = own.held.iter().any(|(known, _)| *known == number);
            if !is_known && own.held.len() < HELD_MAX && held + content.len() <= HELD_BYTES_MAX {
                own.held.push((number, content.into()));
            }
            return false;
        }
        if number < *next {
            return false;
        }
        *next = next.wrapping_add(1);
        if tls.add(way, content, cx) == Step::Done {
            return true;
        }
        while let Some(at) = own.held.iter().position(|(number, _)| number == next) {
            *next = next.wrapping_add(1);
            let (_, content) = own.held.swap_remove(at);
            if tls.add(way, &content, cx) == Step::Done {
                return true;
            }
        }
        false
    }
}

/// Number and content of a control packet behind so many bytes of protection.
fn carried(packet: &[u8], protection: usize) -> Option<(u32, &[u8])> {
    let mut at = crate::dpi::cursor::Cursor::new(packet.get(HEAD + protection..)?);
    let acknowledged = usize::from(at.u8().filter(|count| *count <= 8)?);
    if acknowledged > 0 {
        at.skip(4 * acknowledged + 8)?;
    }
    Some((at.be32()?, at.rest()))
}

/// The beginning of a record of the handshake, an alert or what follows it (RFC 8446 5.1).
fn is_record(content: &[u8]) -> bool {
    matches!(content, [0x14..=0x17, 3, 0..=4, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::Notes;
    use crate::dpi::feed::feed_parser;
    use crate::dpi::protocols::secure::hello::made;
    use crate::dpi::{AppTable, FlowView};
    use crate::parse::Addr;
    use Direction::{Forward, Reverse};

    /// A control packet; what it acknowledges is the peer's first one.
    fn packet(number: u32, hmac: usize, content: &[u8]) -> Vec<u8> {
        let protection = if hmac == 0 { 0 } else { hmac + 8 };
        let acknowledged = [&[1, 0, 0, 0, 0][..], &[8; 8]].concat();
        [&[CONTROL][..], &[7; 8], &vec![9; protection], &acknowledged, &number.to_be_bytes(), content]
            .concat()
    }

    /// How many records a channel tells.
    fn told(ip: u8, payloads: &[(Direction, Vec<u8>)]) -> usize {
        let view = FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([192, 0, 2, 2]), 1_194),
            protocol: ip,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        let payloads = payloads.iter().map(|(way, payload)| (*way, &payload[..]));
        let (apps, mut told) = (AppTable::default(), 0);
        feed_parser(&mut Control::default(), &view, &apps, payloads, &mut Notes::default(), &mut |_| {
            told += 1
        });
        told
    }

    fn hellos() -> [Vec<u8>; 2] {
        let client = made::message(1, &made::usual_client(b"vpn.example.org"));
        let server = made::message(2, &made::server_body(0x0303, 0xc02f, &[]));
        [made::record(22, &client), made::record(22, &[server, made::message(14, &[])].concat())]
    }

    #[test]
    fn tls_is_read_behind_every_protection_and_in_any_order() {
        let [client, server] = hellos();
        let (first, rest) = client.split_at(60);
        for hmac in [0].into_iter().chain(HMACS) {
            let payloads = [
                (Forward, packet(1, hmac, first)),
                (Forward, packet(3, hmac, &rest[40..])),
                (Forward, packet(3, hmac, &rest[40..])),
                (Forward, packet(1, hmac, first)),
                (Forward, packet(2, hmac, &rest[..40])),
                (Reverse, packet(1, hmac, &server)),
            ];
            assert_eq!(told(Ip::UDP, &payloads), 1, "{hmac}");
            // Over TCP, in one piece and byte by byte.
            let framed = [first, rest].into_iter().zip(1..).flat_map(|(content, number)| {
                let packet = packet(number, hmac, content);
                [(packet.len() as u16).to_be_bytes().to_vec(), packet].concat()
            });
            let framed: Vec<u8> = framed.collect();
            assert_eq!(told(Ip::TCP, &[(Forward, framed.clone())]), 1);
            let bytes: Vec<_> = framed.iter().map(|byte| (Forward, vec![*byte])).collect();
            assert_eq!(told(Ip::TCP, &bytes), 1);
        }
    }

    #[test]
    fn what_is_encrypted_or_cut_is_left_alone() {
        let [client, _] = hellos();
        let whole = packet(1, 20, &client);
        for len in 0..whole.len() {
            told(Ip::UDP, &[(Forward, whole[..len].to_vec())]);
        }
        let random =
            |turn: u32| (0..200_u32).map(|at| ((at * at * 31 + turn * 77) >> 3) as u8).collect::<Vec<u8>>();
        let mut payloads: Vec<_> = (0..300).map(|turn| (Forward, packet(turn, 32, &random(turn)))).collect();
        assert_eq!(told(Ip::UDP, &payloads), 0);
        // Numbers that leave holes fill no memory.
        payloads = (0..300).map(|turn| (Forward, packet(1 + 2 * turn, 0, &client[..30]))).collect();
        told(Ip::UDP, &payloads);
    }
}
