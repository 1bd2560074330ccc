//! What does a flow as a whole say, beside what its parser has read? Its port, its name and address, its randomness.

use std::fmt;

use super::ports::{self, Over, Place};
use super::{Risk, homograph};
use crate::dpi::protocols::names::entropy;
use crate::dpi::{Context, Shown};
use crate::parse;

/// A protocol that is less sure than this is not held against its port.
const SURE: u8 = 80;

/// Bits a byte from which 64 bytes are as random as encrypted ones, which have 5.75 or so; text has 4 to 5, and of
/// base 64 they have 5.3.
const RANDOM_BITS: f32 = 5.5;

/// Bytes of a flow that is judged by its randomness.
const RANDOM_BYTES_MIN: u64 = 512;

/// Protocols that protect nothing.
const UNSAFE: [&str; 5] = ["telnet", "ftp", "rsh", "tftp", "rlogin"];

/// Beginnings of payloads, and how much there was of both directions.
#[derive(Debug, Clone, Copy)]
pub(in crate::dpi) struct Sample<'a> {
    pub(in crate::dpi) heads: [&'a [u8]; 4],
    pub(in crate::dpi) bytes: u64,
}

/// Nobody looks at the flow any more: judges it as a whole.
pub(in crate::dpi) fn judge(sample: &Sample<'_>, cx: &mut Context<'_>) {
    match cx.notes.protocol() {
        Some(protocol) => {
            if UNSAFE.contains(&protocol.name) {
                cx.risk(Risk::UnsafeProtocol, format_args!("{}", protocol.name));
            }
            let over = match cx.flow.protocol {
                parse::Protocol::TCP => Over::Tcp,
                parse::Protocol::UDP => Over::Udp,
                _ => return,
            };
            let ports = (cx.flow.initiator.1, cx.flow.responder.1);
            // Of a flow from its middle, nobody knows who is the server.
            if cx.notes.protocol_confidence() >= SURE && !cx.flow.is_midstream {
                match ports::place(protocol, over, ports) {
                    Some(Place::OfAnother(owner)) => cx.risk(
                        Risk::PortOfAnother,
                        format_args!("{} on port {} of {owner}", protocol.name, ports.1),
                    ),
                    Some(Place::Unusual(home)) => cx.risk(
                        Risk::UnusualPort,
                        format_args!("{} on port {} instead of {home}", protocol.name, ports.1),
                    ),
                    None => {}
                }
            }
        }
        None => unknown(sample, cx),
    }
    let mut buffer = [0; 253];
    let host = cx.notes.host().map(str::as_bytes).unwrap_or_default();
    if let Some(place) = buffer.get_mut(..host.len()) {
        place.copy_from_slice(host);
        let host = &*place;
        if let Some(why) = homograph::look(host) {
            cx.risk(Risk::HomographHost, format_args!("{why}: {}", Shown(host)));
        }
    }
}

/// Nobody knows the protocol: is it random from its first byte on?
fn unknown(sample: &Sample<'_>, cx: &mut Context<'_>) {
    // Of datagrams nobody knows whether they are the first: what goes on at QUIC's port is QUIC.
    let is_quic =
        cx.flow.protocol == parse::Protocol::UDP && [cx.flow.initiator.1, cx.flow.responder.1].contains(&443);
    if sample.bytes < RANDOM_BYTES_MIN || cx.flow.is_midstream || is_quic || cx.notes.app().is_some() {
        return;
    }
    let whole = || sample.heads.iter().filter(|head| head.len() >= 64);
    let least = whole().map(|head| entropy(head)).fold(f32::INFINITY, f32::min);
    let different = whole().any(|head| whole().any(|other| head != other));
    if different && least >= RANDOM_BITS {
        cx.risk(Risk::SuspiciousEntropy, format_args!("{} bits a byte", Tenths(least)));
    }
}

/// A number with one digit behind the point.
struct Tenths(f32);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

impl Context<'_> {
    /// The client named the server that it wants: is the address one that DNS has told it?
    ///
    /// Asked only of names for which this very client had an answer with addresses of that family, so that other
    /// resolvers, other clients' answers and hidden DNS raise nothing.
    pub(in crate::dpi) fn compare_with_dns(&mut self) {
        let (client, server) = (self.flow.initiator.0, self.flow.responder.0);
        // What goes through a proxy is for the proxy to resolve.
        if self.nesting > 0 {
            return;
        }
        let Some(name) = self.notes.host() else { return };
        if self.foresight.is_address_of(client, name.as_bytes(), server, self.at) == Some(false) {
            let mut buffer = [0; 64];
            let name = name.as_bytes();
            let name = name.get(..40).unwrap_or(name);
            if let Some(place) = buffer.get_mut(..name.len()) {
                place.copy_from_slice(name);
                let name = Shown(place);
                self.risk(Risk::NameAddressMismatch, format_args!("asked {} for {name}", server.to_ip()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols;
    use crate::dpi::risk::clues::{told_of, told_of_flow};
    use crate::parse::Addr;

    const NOTHING: Sample<'static> = Sample { heads: [&[]; 4], bytes: 0 };

    fn told_at(name: &str, confidence: u8, port: u16) -> Vec<String> {
        told_of_flow(parse::Protocol::TCP, port, |cx| {
            if let Some(protocol) = protocols::all().find(|protocol| protocol.name == name) {
                cx.notes.set_protocol(protocol, confidence);
            }
            judge(&NOTHING, cx);
        })
    }

    #[test]
    fn a_protocol_out_of_place_is_told_with_the_port() {
        assert_eq!(told_at("ssh", 95, 443), ["port_of_another_protocol: ssh on port 443 of tls"]);
        assert_eq!(told_at("ssh", 95, 8022), ["protocol_on_unusual_port: ssh on port 8022 instead of 22"]);
        assert_eq!(told_at("ssh", 60, 443), [""; 0], "a guess");
        assert_eq!(told_at("telnet", 95, 23), ["unsafe_protocol: telnet"]);
    }

    #[test]
    fn unknown_payload_is_suspicious_where_all_of_it_is_random() {
        let random: Vec<u8> = (0..128_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        let (one, two) = random.split_at(64);
        let text = &b"GET me the thing that I want, and the other thing too, please..."[..64];
        let told = |heads: [&[u8]; 4], bytes| told_of(|cx| judge(&Sample { heads, bytes }, cx));
        let suspicious = told([one, &[], two, &[]], 2_000);
        assert!(suspicious.len() == 1 && suspicious[0].starts_with("suspicious_entropy: "), "{suspicious:?}");
        assert_eq!(told([one, &[], two, &[]], 200), [""; 0], "too little");
        assert_eq!(told([one, &[], text, &[]], 2_000), [""; 0], "text too");
        assert_eq!(told([one, one, &[], &[]], 2_000), [""; 0], "only one sample");
    }

    #[test]
    fn a_name_at_an_address_that_dns_did_not_tell_this_client() {
        let server = Addr::v4([192, 0, 2, 2]);
        let client = Addr::v4([192, 0, 2, 1]);
        let told = |who: Addr, answer: &[Addr], cached: &[Addr]| {
            told_of(|cx| {
                cx.foresight.answered(
                    who,
                    b"www.example.org",
                    cached,
                    60,
                    crate::time::Wall(cx.at.0 - 30_000_000_000),
                );
                cx.foresight.answered(who, b"WWW.example.org", answer, 60, cx.at);
                cx.host(crate::dpi::HostKind::Sni, b"www.example.org");
            })
        };
        let other = Addr::v4([203, 0, 113, 9]);
        let expected = "name_address_mismatch: asked 192.0.2.2 for www.example.org";
        assert_eq!(told(client, &[other], &[]), [expected]);
        assert_eq!(told(client, &[other, server], &[]), [""; 0]);
        assert_eq!(told(client, &[other], &[server]), [""; 0], "an older answer holds on");
        assert_eq!(told(other, &[other], &[]), [""; 0], "somebody else's answer");
        assert_eq!(told(client, &[Addr::v6([9; 16])], &[]), [""; 0], "only the other family was answered");
        assert_eq!(told(client, &[], &[]), [""; 0], "no answer");
    }
}
