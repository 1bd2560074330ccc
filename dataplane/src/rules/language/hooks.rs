//! The state of a protocol at which a rule is tried: what stands behind its second word, as in `tls:client_hello_done`.
//!
//! What a parser tells comes in fewer steps than there are states: lines and fields of a head come together, and what follows a
//! body comes with its end.

use super::value::{Value, Wrong};
use crate::flow::Direction::{self, Forward, Reverse};
use crate::rules::rule::{HeaderProtocol, Hook, PacketProtocol};

/// A state's name, whose it is, and whether nothing of it may follow.
type State = (&'static str, Direction, bool);

/// Of every protocol that has transactions.
const GENERAL: &[State] = &[
    ("request_started", Forward, false),
    ("request_complete", Forward, true),
    ("response_started", Reverse, false),
    ("response_complete", Reverse, true),
];

const HTTP: &[State] = &[
    ("request_line", Forward, false),
    ("request_headers", Forward, false),
    ("request_body", Forward, true),
    ("request_trailer", Forward, true),
    ("response_line", Reverse, false),
    ("response_headers", Reverse, false),
    ("response_body", Reverse, true),
    ("response_trailer", Reverse, true),
];

const TLS: &[State] = &[
    ("client_in_progress", Forward, false),
    ("client_started", Forward, false),
    ("client_hello", Forward, false),
    ("client_hello_done", Forward, false),
    ("client_cert_done", Forward, true),
    ("client_handshake_done", Forward, true),
    ("client_finished", Forward, true),
    ("server_in_progress", Reverse, false),
    ("server_started", Reverse, false),
    ("server_hello", Reverse, false),
    ("server_cert_done", Reverse, true),
    ("server_hello_done", Reverse, true),
    ("server_handshake_done", Reverse, true),
    ("server_finished", Reverse, true),
];

const SSH: &[State] = &[
    ("request_in_progress", Forward, false),
    ("request_banner_wait_eol", Forward, false),
    ("request_banner_done", Forward, false),
    ("request_finished", Forward, true),
    ("response_in_progress", Reverse, false),
    ("response_banner_wait_eol", Reverse, false),
    ("response_banner_done", Reverse, false),
    ("response_finished", Reverse, true),
];

/// The state of a name.
pub(super) fn hook(protocol: Value<'_>, known: HeaderProtocol, name: Value<'_>) -> Result<Hook, Wrong> {
    let application = match known {
        HeaderProtocol::Application(application) => application,
        HeaderProtocol::Packet(packet) => return of_packets(packet, name),
    };
    let own: &[State] = match application {
        "http" | "http1" => HTTP,
        "tls" => TLS,
        "ssh" => SSH,
        _ => &[],
    };
    let found = GENERAL.iter().chain(own).find(|(known, ..)| name.is(known));
    found.map(|(_, way, is_end)| Hook::Transaction { way: *way, is_end: *is_end }).ok_or_else(|| {
        let shown = String::from_utf8_lossy(protocol.bytes()).into_owned();
        let names: Vec<_> = GENERAL.iter().chain(own).map(|(name, ..)| *name).collect();
        name.expected(&format!("a state of {shown}, one of {}", names.join(", ")))
    })
}

fn of_packets(packet: PacketProtocol, name: Value<'_>) -> Result<Hook, Wrong> {
    let has_flows = !matches!(packet, PacketProtocol::Arp | PacketProtocol::Ethernet | PacketProtocol::Igmp);
    match () {
        () if name.is("all") => Ok(Hook::Packets { is_first: false }),
        () if name.is("flow_start") && has_flows => Ok(Hook::Packets { is_first: true }),
        () if name.is("pre_flow") || name.is("pre_stream") => {
            Err(name.unsupported("rules before a packet's flow is known are not supported"))
        }
        () => Err(name.expected("all or flow_start")),
    }
}
