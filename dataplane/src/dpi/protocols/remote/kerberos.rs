//! Kerberos: who gets tickets for which service, and how are they protected? (RFC 4120)

use super::super::ber::{Element, Elements, head, integer};
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, Fields, First, HostKind, Match, Over, Probe, Protocol, Risk};
use crate::flow::Direction;
use crate::rules::detect::field;
use crate::rules::language::buffers::buffer;

/// Kerberos 5.
pub static KERBEROS: Protocol = Protocol {
    name: "kerberos",
    eve: Some("krb5"),
    category: Category::Network,
    probes: &[
        Probe { over: Over::Udp, first: First::In(0x6a, 0x7e), look: |peek| look(peek.bytes) },
        // RFC 4120 7.2.2: over TCP with its length in front.
        Probe {
            over: Over::Tcp,
            first: First::Of(&[0]),
            look: |peek| peek.bytes.get(4..).map_or(Match::No, look),
        },
    ],
    parser: Some(|| Box::new(Tickets { told: 0, asked: None })),
};

const AS_REQUEST: u8 = 10;
const AS_REPLY: u8 = 11;
const TGS_REQUEST: u8 = 12;
const TGS_REPLY: u8 = 13;
const ERROR: u8 = 30;

/// RFC 4120 5.4 to 5.9: [APPLICATION n], a sequence, then the version 5 as [0] or [1], then n again.
fn look(bytes: &[u8]) -> Match {
    let kind = bytes.first().map_or(0, |tag| tag & 0x1f);
    if !matches!(kind, 10..=15 | 20..=22 | 30) {
        return Match::No;
    }
    let inner = head(bytes).and_then(|(at, _)| bytes.get(at..));
    let fields =
        inner.filter(|inner| inner.first() == Some(&0x30)).and_then(|inner| inner.get(head(inner)?.0..));
    Match::sure(
        matches!(fields, Some([0xa0 | 0xa1, 3, 2, 1, 5, 0xa1 | 0xa2, 3, 2, 1, again, ..]) if *again == kind),
    )
}

const RECORDS_MAX: u32 = 200;
const MESSAGE_BYTES_MAX: usize = 32_768;

struct Tickets {
    told: u32,
    /// Kind of the request that came last.
    asked: Option<u8>,
}

impl Parser for Tickets {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let (message, used) = if cx.flow.protocol == crate::parse::Protocol::UDP {
            (bytes, bytes.len())
        } else {
            let Some(head) = bytes.first_chunk::<4>() else { return Step::Consumed(0) };
            let len = u32::from_be_bytes(*head) as usize;
            if len > MESSAGE_BYTES_MAX {
                cx.anomaly("malformed_data");
                return Step::Done;
            }
            let Some(message) = bytes.get(4..4 + len) else { return Step::Consumed(0) };
            (message, 4 + len)
        };
        if read(way, message, &mut self.asked, cx).is_none() {
            cx.anomaly("malformed_data");
        }
        self.told += 1;
        if self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(used) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self { told: 0, asked: None };
        true
    }
}

#[derive(Default)]
struct Message<'a> {
    realm: Option<&'a [u8]>,
    client: Option<&'a [u8]>,
    service: Option<&'a [u8]>,
    encryption: Option<u32>,
    ticket_encryption: Option<u32>,
    error: Option<u32>,
}

/// `asked` is the kind of the last request, which an error tells of.
fn read(way: Direction, bytes: &[u8], asked: &mut Option<u8>, cx: &mut Context<'_>) -> Option<()> {
    let outer = Elements::of(bytes).next()?;
    let kind = outer.tag & 0x1f;
    let fields = Elements::of(Elements::of(outer.contents).tagged(0x30)?);
    let mut message = Message::default();
    for Element { tag, contents } in fields {
        let number = || Elements::of(contents).tagged(2).and_then(integer);
        let text = || Elements::of(contents).next().map(|text| text.contents);
        match (kind, tag & 0x1f) {
            (AS_REPLY | TGS_REPLY, 3) | (ERROR, 9) => message.realm = text(),
            (AS_REPLY | TGS_REPLY, 4) | (ERROR, 8) => message.client = Some(contents),
            (AS_REPLY | TGS_REPLY, 5) => {
                let ticket =
                    Elements::of(contents).tagged(0x61).and_then(|ticket| Elements::of(ticket).tagged(0x30));
                for part in Elements::of(ticket.unwrap_or_default()) {
                    match part.tag {
                        0xa2 => message.service = Some(part.contents),
                        0xa3 => message.ticket_encryption = encryption_of(part.contents),
                        _ => {}
                    }
                }
            }
            (AS_REPLY | TGS_REPLY, 6) => message.encryption = encryption_of(contents),
            (ERROR, 6) => message.error = number(),
            (ERROR, 10) => message.service = Some(contents),
            (AS_REQUEST | TGS_REQUEST, 4) => {
                for part in Elements::of(Elements::of(contents).tagged(0x30).unwrap_or_default()) {
                    match part.tag {
                        0xa1 => message.client = Some(part.contents),
                        0xa2 => {
                            message.realm = Elements::of(part.contents).next().map(|realm| realm.contents)
                        }
                        0xa3 => message.service = Some(part.contents),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(realm) = message.realm {
        cx.host(HostKind::Other, realm);
    }
    match kind {
        AS_REQUEST | TGS_REQUEST => *asked = Some(kind),
        AS_REPLY | TGS_REPLY | ERROR => {}
        _ => return Some(()),
    }
    let is_weak = |kind: u32| matches!(kind, 1..=16 | 23 | 24);
    let mut kinds = [message.encryption, message.ticket_encryption].into_iter().flatten();
    if let Some(kind) = kinds.find(|kind| is_weak(*kind)) {
        cx.risk(Risk::WeakCipher, format_args!("kerberos etype {kind}"));
        cx.anomaly("weak_encryption");
    }
    // 6: the client is unknown; 18: revoked; 24: the password is wrong.
    if let Some(6 | 18 | 24) = message.error {
        cx.risk(Risk::FailedLogin, format_args!("kerberos error {}", message.error.unwrap_or(0)));
    }
    tell_rules(way, kind, &message, cx);
    cx.tell_with("krb5", way, |krb5| {
        krb5.text_if("msg_type", kind_name(kind));
        if kind == ERROR {
            krb5.text("failed_request", asked.and_then(kind_name).unwrap_or("UNKNOWN"));
        }
        if let Some(error) = message.error {
            match error_name(error) {
                Some(name) => krb5.text("error_code", name),
                None => krb5.number("error_code", error),
            }
        }
        // An error repeats what was asked only where its sender likes to.
        let (client, realm) = if kind == ERROR { (None, None) } else { (message.client, message.realm) };
        name(krb5, "cname", client);
        krb5.text("realm", realm.filter(|realm| !realm.is_empty()).unwrap_or(EMPTY));
        name(krb5, "sname", message.service);
        krb5.text("encryption", message.encryption.map_or("<none>", encryption_name));
        krb5.bool("weak_encryption", message.encryption.is_some_and(is_weak));
        if let Some(kind) = message.ticket_encryption {
            krb5.text("ticket_encryption", encryption_name(kind));
            krb5.bool("ticket_weak_encryption", is_weak(kind));
        }
    });
    Some(())
}

/// Tells rules of a message: its numbers, and each part of its names.
fn tell_rules(way: Direction, kind: u8, message: &Message<'_>, cx: &mut Context<'_>) {
    if !cx.rules.is_on() {
        return;
    }
    let transaction = *cx.transactions;
    let rules = &mut cx.rules;
    rules.number(const { field("krb5_msg_type") }, kind.into());
    if let Some(error) = message.error {
        rules.number(const { field("krb5_err_code") }, error.into());
    }
    let names = const { [buffer("krb5.cname"), buffer("krb5.sname")] };
    for (buffer, contents) in names.into_iter().zip([message.client, message.service]) {
        for part in texts_of(contents).into_iter().flatten() {
            rules.show(buffer, part.contents);
        }
    }
    if let Some(kind) = message.ticket_encryption {
        rules.number(const { field("krb5.ticket_encryption") }, kind.into());
    }
    rules.stage("krb5", transaction, way, true);
    rules.end(transaction);
}

/// The texts of a PrincipalName.
fn texts_of(contents: Option<&[u8]>) -> Option<Elements<'_>> {
    let parts = Elements::of(Elements::of(contents?).tagged(0x30)?).find(|part| part.tag == 0xa1)?;
    Some(Elements::of(Elements::of(parts.contents).tagged(0x30)?))
}

/// What stands where a name is missing.
const EMPTY: &[u8] = b"<empty>";

const fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        AS_REQUEST => "KRB_AS_REQ",
        AS_REPLY => "KRB_AS_REP",
        TGS_REQUEST => "KRB_TGS_REQ",
        TGS_REPLY => "KRB_TGS_REP",
        ERROR => "KRB_ERROR",
        _ => return None,
    })
}

/// EncryptedData's kind.
fn encryption_of(contents: &[u8]) -> Option<u32> {
    let first = Elements::of(Elements::of(contents).tagged(0x30)?).tagged(0xa0)?;
    integer(Elements::of(first).tagged(2)?)
}

/// PrincipalName: a kind and texts, which `/` joins.
fn name(fields: &mut Fields, key: &str, contents: Option<&[u8]>) {
    let texts = || texts_of(contents);
    let Some(texts) = texts() else {
        fields.text(key, EMPTY);
        return;
    };
    let mut buffer = [0; 256];
    let mut len = 0;
    for (index, part) in texts.enumerate() {
        let slash: &[u8] = if index > 0 { b"/" } else { b"" };
        for piece in [slash, part.contents] {
            let Some(room) = buffer.get_mut(len..len + piece.len()) else { break };
            room.copy_from_slice(piece);
            len += piece.len();
        }
    }
    fields.text(key, buffer.get(..len).unwrap_or_default());
}

/// RFC 4120 7.5.9.
fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "KDC_ERR_NONE",
        1 => "KDC_ERR_NAME_EXP",
        2 => "KDC_ERR_SERVICE_EXP",
        3 => "KDC_ERR_BAD_PVNO",
        4 => "KDC_ERR_C_OLD_MAST_KVNO",
        5 => "KDC_ERR_S_OLD_MAST_KVNO",
        6 => "KDC_ERR_C_PRINCIPAL_UNKNOWN",
        7 => "KDC_ERR_S_PRINCIPAL_UNKNOWN",
        8 => "KDC_ERR_PRINCIPAL_NOT_UNIQUE",
        9 => "KDC_ERR_NULL_KEY",
        10 => "KDC_ERR_CANNOT_POSTDATE",
        11 => "KDC_ERR_NEVER_VALID",
        12 => "KDC_ERR_POLICY",
        13 => "KDC_ERR_BADOPTION",
        14 => "KDC_ERR_ETYPE_NOSUPP",
        15 => "KDC_ERR_SUMTYPE_NOSUPP",
        16 => "KDC_ERR_PADATA_TYPE_NOSUPP",
        17 => "KDC_ERR_TRTYPE_NOSUPP",
        18 => "KDC_ERR_CLIENT_REVOKED",
        19 => "KDC_ERR_SERVICE_REVOKED",
        20 => "KDC_ERR_TGT_REVOKED",
        21 => "KDC_ERR_CLIENT_NOTYET",
        22 => "KDC_ERR_SERVICE_NOTYET",
        23 => "KDC_ERR_KEY_EXPIRED",
        24 => "KDC_ERR_PREAUTH_FAILED",
        25 => "KDC_ERR_PREAUTH_REQUIRED",
        26 => "KDC_ERR_SERVER_NOMATCH",
        27 => "KDC_ERR_MUST_USE_USER2USER",
        28 => "KDC_ERR_PATH_NOT_ACCEPTED",
        29 => "KDC_ERR_SVC_UNAVAILABLE",
        31 => "KRB_AP_ERR_BAD_INTEGRITY",
        32 => "KRB_AP_ERR_TKT_EXPIRED",
        33 => "KRB_AP_ERR_TKT_NYV",
        34 => "KRB_AP_ERR_REPEAT",
        35 => "KRB_AP_ERR_NOT_US",
        36 => "KRB_AP_ERR_BADMATCH",
        37 => "KRB_AP_ERR_SKEW",
        41 => "KRB_AP_ERR_MODIFIED",
        52 => "KRB_ERR_RESPONSE_TOO_BIG",
        60 => "KRB_ERR_GENERIC",
        61 => "KRB_ERR_FIELD_TOOLONG",
        68 => "KDC_ERR_WRONG_REALM",
        _ => return None,
    })
}

/// IANA, Kerberos encryption types.
const fn encryption_name(kind: u32) -> &'static str {
    match kind {
        1 => "des-cbc-crc",
        2 => "des-cbc-md4",
        3 => "des-cbc-md5",
        16 => "des3-cbc-sha1-kd",
        17 => "aes128-cts-hmac-sha1-96",
        18 => "aes256-cts-hmac-sha1-96",
        19 => "aes128-cts-hmac-sha256-128",
        20 => "aes256-cts-hmac-sha384-192",
        23 => "rc4-hmac",
        24 => "rc4-hmac-exp",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_their_kind_twice() {
        let request = [0x6a, 12, 0x30, 10, 0xa1, 3, 2, 1, 5, 0xa2, 3, 2, 1, 10];
        assert_eq!(look(&request), Match::Yes(95));
        let mut other = request;
        other[13] = 12;
        assert_eq!(look(&other), Match::No);
        for len in 0..request.len() {
            assert_eq!(look(&request[..len]), Match::No);
        }
    }
}
