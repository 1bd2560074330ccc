//! Who negotiates IPsec? IKE, its packets of ESP through NAT, and what the peers agree on.
//!
//! Sources: RFC 2408 3 (ISAKMP), RFC 7296 3 (IKE 2), RFC 3948 2 (through NAT). Records are Suricata's `ike`.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, Fields, First, Match, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, field};
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

/// IKE and ESP below UDP.
pub(super) static IPSEC: Protocol = Protocol {
    name: "ipsec",
    eve: Some("ike"),
    category: Category::Vpn,
    probes: &[Probe::udp(First::Any, ike), Probe::udp(First::Any, esp)],
    parser: Some(|| Box::new(Ike { told: 0 })),
};

const HEADER: usize = 28;
/// Messages of a flow that are told of.
const TOLD_MAX: u8 = 32;

/// RFC 7296 3.1; in RFC 2408 3.1 the fields stand at the same places.
struct Header<'a> {
    initiator: &'a [u8],
    responder: &'a [u8],
    next_payload: u8,
    version: u8,
    exchange: u8,
    flags: u8,
    message: u32,
    len: usize,
    payloads: &'a [u8],
}

impl<'a> Header<'a> {
    /// `None` where it is no IKE; behind the marker of four zeros of RFC 3948 2.2 it may be.
    fn read(datagram: &'a [u8]) -> Option<Self> {
        let datagram = datagram.strip_prefix(&[0; 4]).unwrap_or(datagram);
        let (header, payloads) = datagram.split_first_chunk::<HEADER>()?;
        let [next_payload, version, exchange, flags] = *header[16..20].first_chunk()?;
        let read = Self {
            initiator: &header[..8],
            responder: &header[8..16],
            next_payload,
            version,
            exchange,
            flags,
            message: u32::from_be_bytes([header[20], header[21], header[22], header[23]]),
            len: u32::from_be_bytes([header[24], header[25], header[26], header[27]]) as usize,
            payloads,
        };
        let is_exchange = match version {
            0x10 => matches!(exchange, 0..=6 | 32 | 33) && flags & 0xf8 == 0,
            0x20..=0x22 => matches!(exchange, 34..=44) && flags & 0xc7 == 0,
            _ => false,
        };
        (is_exchange && read.initiator != [0; 8]).then_some(read)
    }

    const fn is_encrypted(&self) -> bool {
        self.version == 0x10 && self.flags & 1 != 0
    }
}

fn ike(peek: &Peek<'_>) -> Match {
    let port = peek.has_port(500) || peek.has_port(4_500);
    let marker = if peek.bytes.starts_with(&[0; 4]) { 4 } else { 0 };
    match Header::read(peek.bytes) {
        Some(header) if header.len + marker == peek.bytes.len() => Match::Yes(if port { 97 } else { 88 }),
        // Fragments of IP leave the first part only.
        Some(header) if port && header.len > peek.bytes.len() && header.len < 0x1_0000 => Match::Yes(85),
        _ => Match::No,
    }
}

/// RFC 3948 2.1 and 2.3: an SPI and a sequence number; the keep-alive of one byte.
fn esp(peek: &Peek<'_>) -> Match {
    if !peek.has_port(4_500) {
        return Match::No;
    }
    if peek.bytes == [0xff] {
        return Match::Yes(60);
    }
    let (spi, number) = (peek.be32(0), peek.be32(4));
    if peek.bytes.len() < 32 || spi < 256 || number == 0 {
        return Match::No;
    }
    let before = peek.previous.first_chunk::<8>();
    let goes_on = before.is_some_and(|[spi @ .., a, b, c, d]| {
        let steps = number.wrapping_sub(u32::from_be_bytes([*a, *b, *c, *d]));
        peek.bytes.starts_with(spi) && (1..64).contains(&steps)
    });
    match goes_on {
        true => Match::Yes(86),
        // The beginning of an association; one seen from its middle shows that it counts.
        false if number < 0x1_0000 => Match::Yes(58),
        false => Match::More,
    }
}

struct Ike {
    told: u8,
}

impl Parser for Ike {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(header) = Header::read(bytes) else {
            // ESP follows: the negotiation is over.
            return Step::Done;
        };
        if header.len < HEADER {
            cx.anomaly("invalid_length");
            return Step::Consumed(bytes.len());
        }
        let offers = Offers::read(&header);
        if offers.is_malformed {
            cx.anomaly("malformed_data");
        }
        if way == Direction::Reverse {
            offers.faults().for_each(|fault| cx.anomaly(fault));
        }
        tell_rules(way, &header, &offers, cx);
        if offers.weak && way == Direction::Reverse {
            cx.risk(Risk::WeakCipher, format_args!("ike transforms {:?}", offers.transforms));
        }
        tell(way, &header, &offers, cx);
        self.told += 1;
        if self.told >= TOLD_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self { told: 0 };
        true
    }
}

const PAYLOADS_MAX: usize = 16;

/// What the payloads of one message say.
#[derive(Default)]
struct Offers<'a> {
    kinds: [u8; PAYLOADS_MAX],
    count: usize,
    /// The first transform of each kind of IKE 2: ENCR, PRF, INTEG, DH, ESN.
    transforms: [Option<u16>; 6],
    key_length: Option<u16>,
    notify: [u16; PAYLOADS_MAX],
    notifies: usize,
    weak: bool,
    is_malformed: bool,
    /// What the first proposal has of attributes that rules ask for.
    attributes: Attributes,
    /// Proposals, and whether a transform of one is of a kind that nobody knows.
    proposals: u8,
    is_unknown: bool,
    nonce: Option<&'a [u8]>,
    key_exchange: Option<&'a [u8]>,
    vendors: [&'a [u8]; VENDORS_MAX],
    vendors_len: usize,
}

/// Vendors that are kept of one message.
const VENDORS_MAX: usize = 8;

/// A number for each of [`ATTRIBUTES`].
type Attributes = [Option<u32>; 10];

/// Attributes of an association that rules ask for, and their kinds in IKE 1 (RFC 2409 appendix A).
const ATTRIBUTES: [(u16, FieldId); 10] = [
    (ENCRYPTION, field("ike.alg_enc")),
    (HASH, field("ike.alg_hash")),
    (AUTHENTICATION, field("ike.alg_auth")),
    (GROUP, field("ike.alg_dh")),
    (5, field("ike.sa_group_type")),
    (11, field("ike.sa_life_type")),
    (12, field("ike.sa_life_duration")),
    (PRF, field("ike.alg_prf")),
    (14, field("ike.sa_key_length")),
    (15, field("ike.sa_field_size")),
];

const ENCRYPTION: u16 = 1;
const HASH: u16 = 2;
const AUTHENTICATION: u16 = 3;
const GROUP: u16 = 4;
const PRF: u16 = 13;

impl<'a> Offers<'a> {
    fn read(header: &Header<'a>) -> Self {
        let mut offers = Self::default();
        if header.is_encrypted() {
            return offers;
        }
        let (mut kind, mut rest) = (header.next_payload, header.payloads);
        // RFC 7296 3.2: next payload, flags, length that counts this header.
        for slot in 0..PAYLOADS_MAX {
            offers.kinds[slot] = kind;
            offers.count = slot + 1;
            if kind == 0 {
                break;
            }
            let Some(([next, _, high, low], _)) = rest.split_first_chunk::<4>() else {
                offers.is_malformed = true;
                break;
            };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(body) = rest.get(4..len) else {
                offers.is_malformed = true;
                break;
            };
            match (header.version, kind) {
                (0x20.., 33) => {
                    offers.proposals = proposals(body, true);
                    offers.association(body);
                }
                (0x10, 1) => offers.first_association(body),
                (0x10, 4) => offers.key_exchange = Some(body),
                // RFC 7296 3.4: the group stands before.
                (0x20.., 34) => offers.key_exchange = body.get(4..),
                (0x10, 10) | (0x20.., 40) => offers.nonce = Some(body),
                (0x10, 13) | (0x20.., 43) => {
                    if let Some(place) = offers.vendors.get_mut(offers.vendors_len) {
                        *place = body;
                        offers.vendors_len += 1;
                    }
                }
                (0x20.., 41) => offers.notification(body.get(2..4)),
                (0x10, 11) => offers.notification(body.get(6..8)),
                // The rest is encrypted, but for what comes first in it.
                (0x20.., 46 | 53) if slot + 1 < PAYLOADS_MAX => {
                    offers.kinds[slot + 1] = *next;
                    offers.count = slot + 2;
                    break;
                }
                _ => {}
            }
            (kind, rest) = (*next, rest.get(len..).unwrap_or_default());
        }
        offers
    }

    /// RFC 2408 3.4 to 3.6, RFC 2409 appendix A: the first transform of the first proposal and its attributes.
    fn first_association(&mut self, body: &[u8]) {
        const ATTRIBUTES_MAX: usize = 32;
        self.proposals = proposals(body, false);
        let Some(proposal) = body.get(8..) else { return };
        let Some(spi_len) = proposal.get(6) else { return };
        // More transforms than one are more choices.
        if proposal.get(7).is_some_and(|transforms| *transforms > 1) {
            self.proposals = self.proposals.max(2);
        }
        let Some(transform) = proposal.get(8 + usize::from(*spi_len)..) else { return };
        let len = transform.get(2..4).and_then(|len| len.first_chunk()).map(|len| u16::from_be_bytes(*len));
        let Some(mut rest) = len.and_then(|len| transform.get(8..usize::from(len))) else { return };
        for _ in 0..ATTRIBUTES_MAX {
            let Some(([high, low, a, b], behind)) = rest.split_first_chunk::<4>() else { return };
            let value = u16::from_be_bytes([*a, *b]);
            // RFC 2408 3.3: the highest bit says that the value is in the head.
            let (number, len) = if high & 0x80 != 0 {
                (Some(u32::from(value)), 0)
            } else {
                let long = behind.get(..usize::from(value)).filter(|long| long.len() <= 4);
                let number =
                    long.map(|long| long.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)));
                (number, usize::from(value))
            };
            let kind = u16::from_be_bytes([high & 0x7f, *low]);
            if let Some(place) = ATTRIBUTES.iter().position(|(known, _)| *known == kind)
                && let Some(slot) = self.attributes.get_mut(place)
                && slot.is_none()
            {
                *slot = number;
            }
            let Some(next) = behind.get(len..) else { return };
            rest = next;
        }
    }

    /// What is wrong with what a responder chose.
    fn faults(&self) -> impl Iterator<Item = &'static str> {
        let [_, cipher, random, integrity, group, _] = self.transforms;
        let is_of = |chosen: Option<u16>, known: fn(u16) -> bool| chosen.is_some_and(known);
        // RFC 7296 3.3.2: with a cipher that protects by itself there is no other integrity.
        let protects_itself = is_of(cipher, |id| matches!(id, 14..=20 | 25..=28));
        let has_integrity = is_of(integrity, |id| id != 0);
        let is_second_version = self.transforms.iter().any(Option::is_some);
        [
            (self.proposals > 1, "multiple_server_proposal"),
            (self.is_unknown, "unknown_proposal"),
            // DES, 3DES, RC5, IDEA, CAST, Blowfish and what came of them; none.
            (is_of(cipher, |id| matches!(id, 1..=9 | 11)), "weak_crypto_enc"),
            (is_of(cipher, |id| id == 11), "no_encryption"),
            // MD5 and SHA-1.
            (is_of(random, |id| matches!(id, 1 | 2)), "weak_crypto_prf"),
            (is_of(random, |id| id == 0) || is_of(group, |id| id == 0), "invalid_proposal"),
            (is_of(integrity, |id| matches!(id, 1..=4 | 6 | 7)), "weak_crypto_auth"),
            // Up to 1,536 bits, and 1,024 with a subgroup.
            (is_of(group, |id| matches!(id, 1 | 2 | 5 | 22)), "weak_crypto_dh"),
            (is_second_version && group.is_none(), "weak_crypto_no_dh"),
            (is_second_version && !protects_itself && !has_integrity, "weak_crypto_no_auth"),
        ]
        .into_iter()
        .filter_map(|(is_so, name)| is_so.then_some(name))
    }

    fn notification(&mut self, kind: Option<&[u8]>) {
        if let Some([high, low]) = kind
            && let Some(slot) = self.notify.get_mut(self.notifies)
        {
            *slot = u16::from_be_bytes([*high, *low]);
            self.notifies += 1;
        }
    }

    /// RFC 7296 3.3: the first proposal and its transforms.
    fn association(&mut self, body: &[u8]) {
        const TRANSFORMS_MAX: usize = 64;
        let Some(spi_len) = body.get(6) else { return };
        let mut rest = body.get(8 + usize::from(*spi_len)..).unwrap_or_default();
        for _ in 0..TRANSFORMS_MAX {
            let Some(([_, _, high, low, kind, _, id_high, id_low], _)) = rest.split_first_chunk::<8>() else {
                return;
            };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let id = u16::from_be_bytes([*id_high, *id_low]);
            let Some(attributes) = rest.get(8..len) else { return };
            if !matches!(*kind, 1..=5) {
                self.is_unknown = true;
            }
            if let Some(slot) = self.transforms.get_mut(usize::from(*kind))
                && slot.is_none()
            {
                *slot = Some(id);
                if let (1, [0x80, 14, high, low, ..]) = (*kind, attributes) {
                    self.key_length = Some(u16::from_be_bytes([*high, *low]));
                }
                // DES, 3DES, NULL; groups of 768 and 1024 bits; HMAC-MD5.
                self.weak |= matches!((*kind, id), (1, 1..=3 | 11) | (4, 1 | 2 | 22) | (2, 1) | (3, 1));
            }
            rest = rest.get(len..).unwrap_or_default();
        }
    }
}

/// Proposals of an association (RFC 7296 3.3.1; RFC 2408 3.5, which has them behind a domain and a situation).
fn proposals(body: &[u8], is_second_version: bool) -> u8 {
    const PROPOSALS_MAX: u8 = 32;
    let mut rest = if is_second_version { body } else { body.get(8..).unwrap_or_default() };
    let mut count = 0;
    while let Some(([next, _, high, low, ..], _)) = rest.split_first_chunk::<8>() {
        count += 1;
        let len = usize::from(u16::from_be_bytes([*high, *low])).max(8);
        if *next == 0 || count >= PROPOSALS_MAX {
            break;
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    count
}

const NONCE: BufferId = buffer("ike.nonce_payload");
const NONCE_LEN: FieldId = field("ike.nonce_payload_length");
const KEY_EXCHANGE: BufferId = buffer("ike.key_exchange_payload");
const KEY_EXCHANGE_LEN: FieldId = field("ike.key_exchange_payload_length");
const VENDOR: BufferId = buffer("ike.vendor");

/// Tells rules what EVE's record does not have; they are asked with that.
fn tell_rules(way: Direction, header: &Header<'_>, offers: &Offers<'_>, cx: &mut Context<'_>) {
    let rules = &mut cx.rules;
    if !rules.is_on() {
        return;
    }
    for (buffer, len, bytes) in
        [(NONCE, NONCE_LEN, offers.nonce), (KEY_EXCHANGE, KEY_EXCHANGE_LEN, offers.key_exchange)]
    {
        if let Some(bytes) = bytes {
            rules.show(buffer, bytes);
            rules.number(len, bytes.len() as u64);
        }
    }
    for vendor in &offers.vendors[..offers.vendors_len] {
        rules.show_with(VENDOR, |out| crate::dpi::text::push_hex(out, vendor));
    }
    // What was offered is not what was chosen.
    if way == Direction::Forward {
        return;
    }
    if header.version == 0x10 {
        for ((_, field), number) in ATTRIBUTES.iter().zip(offers.attributes) {
            if let Some(number) = number {
                rules.number(*field, number.into());
            }
        }
        return;
    }
    for (kind, attribute) in [(1, ENCRYPTION), (2, PRF), (3, AUTHENTICATION), (4, GROUP)] {
        let place = ATTRIBUTES.iter().find(|(known, _)| *known == attribute);
        if let (Some((_, field)), Some(id)) = (place, offers.transforms[kind]) {
            rules.number(*field, id.into());
        }
    }
}

fn tell(way: Direction, header: &Header<'_>, offers: &Offers<'_>, cx: &mut Context<'_>) {
    let is_first_version = header.version == 0x10;
    cx.tell_with("ike", way, |fields| {
        fields.number("version_major", header.version >> 4);
        fields.number("version_minor", header.version & 0x0f);
        fields.hex("init_spi", header.initiator);
        fields.hex("resp_spi", header.responder);
        fields.number("message_id", header.message);
        fields.number("exchange_type", header.exchange);
        let is_initiator = header.flags & 0x08 != 0;
        if !is_first_version {
            fields.text("role", if is_initiator { "initiator" } else { "responder" });
        }
        // Of IKE 2 what the responder chose counts, not what it was offered.
        if is_first_version || !is_initiator {
            transforms(fields, offers);
        }
        // The end of the list is named for IKE 2 only.
        let kinds = offers.kinds[..offers.count].iter().filter(|kind| !is_first_version || **kind != 0);
        fields.list("payload", |list| {
            for kind in kinds {
                list.text("", payload(is_first_version, *kind));
            }
        });
        if is_first_version {
            fields.object("ikev1", |object| object.bool("encrypted_payloads", header.is_encrypted()));
        } else {
            fields.object("ikev2", |object| {
                let errors = offers.notify[..offers.notifies].iter().filter(|kind| **kind < 16_384).count();
                object.number("errors", errors as u64);
                if offers.notifies == 0 {
                    return;
                }
                object.list("notify", |list| {
                    for kind in &offers.notify[..offers.notifies] {
                        match notification(*kind) {
                            Some(name) => list.text("", name),
                            None => list.number("", *kind),
                        }
                    }
                });
            });
        }
    });
}

/// Names what was chosen.
type Name = fn(u16) -> Option<&'static str>;

fn transforms(fields: &mut Fields, offers: &Offers<'_>) {
    let named: [(&str, usize, Name); 5] = [
        ("alg_enc", 1, cipher),
        ("alg_auth", 3, integrity),
        ("alg_prf", 2, random),
        ("alg_dh", 4, group),
        ("alg_esn", 5, extended),
    ];
    for (key, kind, name) in named {
        if let Some(id) = offers.transforms[kind] {
            match name(id) {
                Some(name) => fields.text(key, name),
                None => fields.number(key, id),
            }
        }
    }
    if let Some(bits) = offers.key_length {
        fields.number("sa_key_length", bits);
    }
}

const fn cipher(id: u16) -> Option<&'static str> {
    Some(match id {
        2 => "ENCR_DES",
        3 => "ENCR_3DES",
        11 => "ENCR_NULL",
        12 => "ENCR_AES_CBC",
        13 => "ENCR_AES_CTR",
        18 => "ENCR_AES_GCM_8",
        19 => "ENCR_AES_GCM_12",
        20 => "ENCR_AES_GCM_16",
        23 => "ENCR_CAMELLIA_CBC",
        28 => "ENCR_CHACHA20_POLY1305",
        _ => return None,
    })
}

const fn integrity(id: u16) -> Option<&'static str> {
    Some(match id {
        0 => "NONE",
        1 => "AUTH_HMAC_MD5_96",
        2 => "AUTH_HMAC_SHA1_96",
        5 => "AUTH_AES_XCBC_96",
        12 => "AUTH_HMAC_SHA2_256_128",
        13 => "AUTH_HMAC_SHA2_384_192",
        14 => "AUTH_HMAC_SHA2_512_256",
        _ => return None,
    })
}

const fn random(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "PRF_HMAC_MD5",
        2 => "PRF_HMAC_SHA1",
        4 => "PRF_AES128_XCBC",
        5 => "PRF_HMAC_SHA2_256",
        6 => "PRF_HMAC_SHA2_384",
        7 => "PRF_HMAC_SHA2_512",
        _ => return None,
    })
}

const fn group(id: u16) -> Option<&'static str> {
    Some(match id {
        0 => "None",
        1 => "Modp768",
        2 => "Modp1024",
        5 => "Modp1536",
        14 => "Modp2048",
        15 => "Modp3072",
        16 => "Modp4096",
        19 => "Ecp256",
        20 => "Ecp384",
        21 => "Ecp521",
        31 => "Curve25519",
        _ => return None,
    })
}

const fn extended(id: u16) -> Option<&'static str> {
    Some(match id {
        0 => "NoESN",
        1 => "ESN",
        _ => return None,
    })
}

const fn payload(is_first_version: bool, kind: u8) -> &'static str {
    match (is_first_version, kind) {
        (true, 1) | (false, 33) => "SecurityAssociation",
        (true, 2) => "Proposal",
        (true, 3) => "Transform",
        (true, 4) | (false, 34) => "KeyExchange",
        (true, 5) => "Identification",
        (true, 6) => "Certificate",
        (true, 7) => "CertificateRequest",
        (true, 8) => "Hash",
        (true, 9) => "Signature",
        (true, 10) | (false, 40) => "Nonce",
        (true, 11) => "Notification",
        (true, 12) | (false, 42) => "Delete",
        (true, 13) | (false, 43) => "VendorID",
        (true, 20) => "NatDiscovery",
        (true, 21) => "NatOriginalAddress",
        (false, 35) => "IDInitiator",
        (false, 36) => "IDResponder",
        (false, 37) => "Certificate",
        (false, 38) => "CertificateRequest",
        (false, 39) => "Authentication",
        (false, 41) => "Notify",
        (false, 44) => "TrafficSelectorInitiator",
        (false, 45) => "TrafficSelectorResponder",
        (false, 46) => "EncryptedAndAuthenticated",
        (false, 47) => "Configuration",
        (false, 48) => "ExtensibleAuthentication",
        (_, 0) => "NoNextPayload",
        (false, 53) => "EncryptedAndAuthenticatedFragment",
        _ => "Unknown",
    }
}

const fn notification(kind: u16) -> Option<&'static str> {
    Some(match kind {
        1 => "UNSUPPORTED_CRITICAL_PAYLOAD",
        4 => "INVALID_IKE_SPI",
        5 => "INVALID_MAJOR_VERSION",
        7 => "INVALID_SYNTAX",
        14 => "NO_PROPOSAL_CHOSEN",
        17 => "INVALID_KE_PAYLOAD",
        24 => "AUTHENTICATION_FAILED",
        38 => "TS_UNACCEPTABLE",
        16_384 => "INITIAL_CONTACT",
        16_388 => "NAT_DETECTION_SOURCE_IP",
        16_389 => "NAT_DETECTION_DESTINATION_IP",
        16_390 => "COOKIE",
        16_404 => "MULTIPLE_AUTH_SUPPORTED",
        16_406 => "REDIRECT_SUPPORTED",
        16_430 => "IKEV2_FRAGMENTATION_SUPPORTED",
        16_431 => "SIGNATURE_HASH_ALGORITHMS",
        _ => return None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram};

    fn message() -> Vec<u8> {
        // One association with AES-CBC of 256 bits and a group of 1024.
        let association = [
            0, 0, 0, 32, 0, 0, 0, 28, 1, 1, 0, 2, 3, 0, 0, 12, 1, 0, 0, 12, 0x80, 14, 1, 0, 0, 0, 0, 8, 4, 0,
            0, 2,
        ];
        let mut bytes = vec![7_u8; 8];
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[33, 0x20, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 28 + 32]);
        bytes.extend_from_slice(&association);
        bytes
    }

    #[test]
    fn negotiations_are_recognised_and_offers_read() {
        let bytes = message();
        assert_eq!(confidence(&IPSEC, &Peek { ports: (500, 500), ..datagram(&bytes) }), 97);
        let through_nat = [&[0; 4][..], &bytes].concat();
        assert_eq!(confidence(&IPSEC, &Peek { ports: (4_500, 4_500), ..datagram(&through_nat) }), 97);
        assert_eq!(confidence(&IPSEC, &datagram(&bytes[..40])), 0);
        let offers = Offers::read(&Header::read(&bytes).unwrap());
        assert_eq!(
            (offers.transforms[1], offers.key_length, offers.transforms[4]),
            (Some(12), Some(256), Some(2))
        );
        assert!(offers.weak && !offers.is_malformed);
        let faults: Vec<_> = offers.faults().collect();
        assert_eq!(faults, ["weak_crypto_dh", "weak_crypto_no_auth"]);
    }

    #[test]
    fn associations_of_the_first_version_are_read() {
        let transform = [
            0, 0, 0, 32, 1, 1, 0, 0, 0x80, 1, 0, 7, 0x80, 14, 0, 128, 0x80, 2, 0, 2, 0x80, 4, 0, 2, 0, 12, 0,
            4, 0, 1, 0x51, 0x80,
        ];
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 40, 1, 1, 0, 1];
        body.extend(transform);
        let mut offers = Offers::default();
        offers.first_association(&body);
        let [enc, hash, auth, dh, _, _, duration, _, key, _] = offers.attributes;
        assert_eq!((enc, hash, auth, dh), (Some(7), Some(2), None, Some(2)));
        assert_eq!((duration, key, offers.proposals), (Some(86_400), Some(128), 1));
        for len in 0..body.len() {
            Offers::default().first_association(&body[..len]);
            proposals(&body[..len], true);
        }
    }

    #[test]
    fn esp_through_nat_counts_up() {
        let packet = |number: u8| [&[1, 2, 3, 4, 0, 0, 0, number][..], &[9; 56]].concat();
        let (before, now) = (packet(1), packet(2));
        let peek = Peek { ports: (4_500, 4_500), ..datagram(&now) };
        assert_eq!(confidence(&IPSEC, &peek), 58);
        assert_eq!(confidence(&IPSEC, &Peek { previous: &before, ..peek }), 86);
    }
}
