//! Who negotiates IPsec? IKE, its packets of ESP through NAT, and what the peers agree on.
//!
//! Sources: RFC 2408 3 (ISAKMP), RFC 7296 3 (IKE 2), RFC 3948 2 (through NAT). Records are Suricata's `ike`.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, Fields, First, Match, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

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
struct Offers {
    kinds: [u8; PAYLOADS_MAX],
    count: usize,
    /// The first transform of each kind of IKE 2: ENCR, PRF, INTEG, DH, ESN.
    transforms: [Option<u16>; 6],
    key_length: Option<u16>,
    notify: [u16; PAYLOADS_MAX],
    notifies: usize,
    weak: bool,
    is_malformed: bool,
}

impl Offers {
    fn read(header: &Header<'_>) -> Self {
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
                (0x20.., 33) => offers.association(body),
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

fn tell(way: Direction, header: &Header<'_>, offers: &Offers, cx: &mut Context<'_>) {
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

fn transforms(fields: &mut Fields, offers: &Offers) {
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
