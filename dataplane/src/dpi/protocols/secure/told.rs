//! What rules are told of TLS, as soon as it is known: the client's hello, the server's, the certificate.

use super::certificate::{self, Certificate};
use super::hello::{ClientHello, ServerHello};
use crate::dpi::{Context, Protocol};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, field};
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

const SNI: BufferId = buffer("tls.sni");
const ALPN: BufferId = buffer("tls.alpn");
const RANDOM: BufferId = buffer("tls.random");
const RANDOM_TIME: BufferId = buffer("tls.random_time");
const RANDOM_BYTES: BufferId = buffer("tls.random_bytes");
const JA3: BufferId = buffer("ja3.hash");
const JA3_STRING: BufferId = buffer("ja3.string");
const JA3S: BufferId = buffer("ja3s.hash");
const JA3S_STRING: BufferId = buffer("ja3s.string");
const JA4: BufferId = buffer("ja4.hash");
const SUBJECT: BufferId = buffer("tls.cert_subject");
const ISSUER: BufferId = buffer("tls.cert_issuer");
const SERIAL: BufferId = buffer("tls.cert_serial");
const FINGERPRINT: BufferId = buffer("tls.cert_fingerprint");
const CERTIFICATES: BufferId = buffer("tls.certs");
const NAMES: BufferId = buffer("tls.subjectaltname");

const SSL_VERSION: FieldId = field("ssl_version");
/// Which messages were seen, a bit each.
const STATE: FieldId = field("ssl_state");
const NOT_BEFORE: FieldId = field("tls.cert_notbefore");
const NOT_AFTER: FieldId = field("tls.cert_notafter");
const IS_EXPIRED: FieldId = field("tls.cert_is_expired");
const CHAIN_LEN: FieldId = field("tls.cert_chain_len");

/// Whether a rule asks how many certificates there are, so that all of them are waited for.
pub(super) fn wants_chain(cx: &Context<'_>) -> bool {
    cx.rules.asks(CHAIN_LEN) || cx.rules.wants(CERTIFICATES)
}

/// Certificates of one list that are shown.
const CHAIN_MAX: usize = 16;

/// The one transaction of a connection.
const TRANSACTION: u32 = 0;

/// Names of a certificate that are told.
const NAMES_MAX: usize = 256;

/// What rules call it; hellos within QUIC are told with QUIC's record.
fn name(cx: &Context<'_>) -> Option<&'static str> {
    let protocol = cx.notes.protocol().map(Protocol::eve_name);
    (cx.rules.is_on() && protocol != Some("quic")).then_some("tls")
}

/// JA3, its text, and JA4.
pub(super) fn client(hello: &ClientHello<'_>, (ja3, text, ja4): (&[u8], &[u8], &[u8]), cx: &mut Context<'_>) {
    let Some(name) = name(cx) else { return };
    let rules = &mut cx.rules;
    if let Some(host) = hello.server_name() {
        rules.show(SNI, host);
    }
    hello.alpns().for_each(|alpn| rules.show(ALPN, alpn));
    rules.number(const { field("tls.version") }, hello.best_version().into());
    rules.number(SSL_VERSION, hello.best_version().into());
    rules.number(STATE, 1);
    rules.show(JA3, ja3);
    rules.show(JA3_STRING, text);
    rules.show(JA4, ja4);
    random(hello.random, cx);
    cx.rules.stage(name, TRANSACTION, Direction::Forward, true);
}

/// JA3S and its text.
pub(super) fn server(hello: &ServerHello<'_>, (ja3s, text): (&[u8], &[u8]), cx: &mut Context<'_>) {
    let Some(name) = name(cx) else { return };
    let rules = &mut cx.rules;
    rules.show(JA3S, ja3s);
    rules.show(JA3S_STRING, text);
    rules.number(const { field("tls.version") }, hello.agreed_version().into());
    rules.number(SSL_VERSION, hello.agreed_version().into());
    rules.number(STATE, 2);
    hello.alpns().for_each(|alpn| rules.show(ALPN, alpn));
    random(hello.random, cx);
    cx.rules.stage(name, TRANSACTION, Direction::Reverse, false);
}

fn random(random: &[u8], cx: &mut Context<'_>) {
    cx.rules.show(RANDOM, random);
    if let Some((time, bytes)) = random.split_at_checked(4) {
        cx.rules.show(RANDOM_TIME, time);
        cx.rules.show(RANDOM_BYTES, bytes);
    }
}

/// All that is to be seen of the server; `der` is its certificate, `chain` its whole list of them, where that was waited for.
pub(super) fn end(
    certificate: Option<&Certificate<'_>>,
    (der, chain): (Option<&[u8]>, Option<&[u8]>),
    cx: &mut Context<'_>,
) {
    let Some(name) = name(cx) else { return };
    let rules = &mut cx.rules;
    if let Some(certificate) = certificate {
        let (subject, issuer) = certificate.lines();
        rules.show(SUBJECT, subject.as_bytes());
        rules.show(ISSUER, issuer.as_bytes());
        rules.show(SERIAL, certificate.serial_text().as_bytes());
        rules.show(FINGERPRINT, certificate.fingerprint().as_bytes());
        let (from, to) = certificate.validity();
        rules.number(NOT_BEFORE, from);
        rules.number(NOT_AFTER, to);
        rules.number(IS_EXPIRED, u64::from(cx.at.0 / 1_000_000_000 > to));
        certificate.names().take(NAMES_MAX).for_each(|name| rules.show(NAMES, name));
    }
    if let Some(der) = der {
        match chain {
            Some(chain) => {
                certificate::all_of(chain).take(CHAIN_MAX).for_each(|der| rules.show(CERTIFICATES, der));
                rules.number(CHAIN_LEN, certificate::all_of(chain).count() as u64);
            }
            None => rules.show(CERTIFICATES, der),
        }
    }
    rules.stage(name, TRANSACTION, Direction::Reverse, true);
}
