//! Which protocols are nothing but another one within TLS, known by port or by ALPN?
//!
//! Ports are IANA's, and those on which the plain protocol turns into TLS (STARTTLS). Records stay `tls`.

use super::tls;
use crate::dpi::protocols::files::ftp::FTPS;
use crate::dpi::protocols::mail::mailbox::{IMAPS, POP3S};
use crate::dpi::protocols::mail::smtp::SMTPS;
use crate::dpi::{Category, Context, Protocol};

/// DNS within TLS, HTTPS or QUIC (RFC 7858, 8484, 9250).
pub static DOH_DOT: Protocol = Protocol {
    name: "doh_dot",
    eve: Some("tls"),
    category: Category::Network,
    probes: &[],
    parser: Some(tls::parser),
};

/// Names the flow by the port of its server.
pub(super) fn by_port(cx: &mut Context<'_>) {
    let protocol = match cx.server_port() {
        993 | 143 => &IMAPS,
        995 | 110 => &POP3S,
        465 | 587 | 25 => &SMTPS,
        990 | 21 => &FTPS,
        853 => &DOH_DOT,
        _ => return,
    };
    name(protocol, cx);
}

/// Names the flow by what is offered or chosen above (IANA, ALPN Protocol IDs).
pub(super) fn by_alpn<'a>(mut alpns: impl Iterator<Item = &'a [u8]>, cx: &mut Context<'_>) {
    let protocol = match alpns.next() {
        Some(b"imap") => &IMAPS,
        Some(b"pop3") => &POP3S,
        Some(b"ftp") => &FTPS,
        Some(b"dot") => &DOH_DOT,
        _ => return by_known_name(cx),
    };
    name(protocol, cx);
}

fn name(protocol: &'static Protocol, cx: &mut Context<'_>) {
    cx.notes.set_protocol(protocol, 95);
    by_known_name(cx);
}

/// The application is DNS whatever the resolver's name says of its owner.
fn by_known_name(cx: &mut Context<'_>) {
    if cx.notes.protocol() == Some(&DOH_DOT) {
        cx.app(DOH_DOT.name, 96);
    }
}
