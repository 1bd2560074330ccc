//! A packet of RADIUS accounting: read, checked against the secret, answered (RFC 2866 3, RFC 2869 5.14).

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::replay::Mark;

/// The longest packet.
pub(super) const PACKET_BYTES_MAX: usize = 4_096;

const HEADER_BYTES: usize = 20;
const AUTHENTICATOR: std::ops::Range<usize> = 4..HEADER_BYTES;
const ACCOUNTING_REQUEST: u8 = 4;
const ACCOUNTING_RESPONSE: u8 = 5;

/// Numbers of attributes (RFC 2865, RFC 2866, RFC 2869, RFC 3162, RFC 6911).
pub(super) mod attribute {
    pub(in super::super) const USER_NAME: u8 = 1;
    pub(in super::super) const NAS_IP_ADDRESS: u8 = 4;
    pub(in super::super) const FRAMED_IP_ADDRESS: u8 = 8;
    pub(in super::super) const FILTER_ID: u8 = 11;
    pub(in super::super) const CLASS: u8 = 25;
    pub(in super::super) const SESSION_TIMEOUT: u8 = 27;
    pub(in super::super) const CALLING_STATION_ID: u8 = 31;
    pub(in super::super) const NAS_IDENTIFIER: u8 = 32;
    pub(in super::super) const PROXY_STATE: u8 = 33;
    pub(in super::super) const ACCT_STATUS_TYPE: u8 = 40;
    pub(in super::super) const ACCT_SESSION_ID: u8 = 44;
    pub(in super::super) const EVENT_TIMESTAMP: u8 = 55;
    pub(in super::super) const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub(in super::super) const ACCT_INTERIM_INTERVAL: u8 = 85;
    pub(in super::super) const NAS_IPV6_ADDRESS: u8 = 95;
    pub(in super::super) const FRAMED_IPV6_PREFIX: u8 = 97;
    pub(in super::super) const FRAMED_IPV6_ADDRESS: u8 = 168;
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it is shorter than its header, or than the length that it says")]
    Length,
    #[error("its code is not 4 (Accounting-Request)")]
    Code,
    #[error("an attribute reaches over its end")]
    Attribute,
    #[error("its authenticator is wrong: the secrets differ, or somebody else sent it")]
    Authenticator,
    #[error("its Message-Authenticator is wrong: the secrets differ, or it was changed on the way")]
    MessageAuthenticator,
    #[error("it has no Message-Authenticator, which this client must send (`message_authenticator`)")]
    NoMessageAuthenticator,
}

impl Fault {
    /// The name that the audit and metrics have for it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Length | Self::Code | Self::Attribute => "malformed",
            Self::Authenticator => "authenticator",
            Self::MessageAuthenticator | Self::NoMessageAuthenticator => "message_authenticator",
        }
    }
}

/// An Accounting-Request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// What it says its length is; what stands behind is padding (RFC 2866 3).
    whole: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads the form of a packet; who sent it is not known yet.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Fault::Length)?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_len = (HEADER_BYTES..=PACKET_BYTES_MAX).contains(&len);
        let whole = bytes.get(..len).filter(|_| is_len).ok_or(Fault::Length)?;
        if header[0] != ACCOUNTING_REQUEST {
            return Err(Fault::Code);
        }
        let request = Self { whole };
        let read: usize = request.attributes().map(|(_, value)| value.len() + 2).sum();
        if read + HEADER_BYTES == len { Ok(request) } else { Err(Fault::Attribute) }
    }

    /// Checks that whoever knows `secret` sent it.
    pub(super) fn verify(&self, secret: &[u8], needs_message_authenticator: bool) -> Result<(), Fault> {
        let expected = Md5::new()
            .chain_update(&self.whole[..4])
            .chain_update([0; 16])
            .chain_update(&self.whole[HEADER_BYTES..])
            .chain_update(secret)
            .finalize();
        if !bool::from(expected.as_slice().ct_eq(&self.whole[AUTHENTICATOR])) {
            return Err(Fault::Authenticator);
        }
        let Some(place) = self.message_authenticator() else {
            return if needs_message_authenticator { Err(Fault::NoMessageAuthenticator) } else { Ok(()) };
        };
        let Some(told) = self.whole.get(place.clone()) else { return Err(Fault::MessageAuthenticator) };
        let mut zeroed = self.whole.to_vec();
        zeroed[AUTHENTICATOR].fill(0);
        zeroed[place].fill(0);
        let mac = Hmac::<Md5>::new_from_slice(secret).map(|mac| mac.chain_update(&zeroed));
        let is_right = mac.is_ok_and(|mac| mac.verify_slice(told).is_ok());
        if is_right { Ok(()) } else { Err(Fault::MessageAuthenticator) }
    }

    /// Its attributes, as far as they are whole.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.whole.get(HEADER_BYTES..).unwrap_or_default();
        std::iter::from_fn(move || {
            let [kind, len, ..] = *rest else { return None };
            let value = rest.get(2..usize::from(len))?;
            rest = &rest[usize::from(len)..];
            Some((kind, value))
        })
    }

    /// The first attribute of a number.
    pub(super) fn find(&self, number: u8) -> Option<&'a [u8]> {
        self.attributes().find(|(kind, _)| *kind == number).map(|(_, value)| value)
    }

    /// The first attribute of a number that is a whole number.
    pub(super) fn number(&self, number: u8) -> Option<u32> {
        self.find(number)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// What tells it from other requests once it is verified.
    pub(super) fn mark(&self) -> Mark {
        let half = self.whole.get(AUTHENTICATOR).and_then(|bytes| bytes.first_chunk());
        Mark {
            fingerprint: u64::from_be_bytes(half.copied().unwrap_or_default()),
            event_s: self.number(attribute::EVENT_TIMESTAMP),
        }
    }

    /// What is sent back once it is done: with what proxies on the way want back (RFC 2865 5.33).
    pub(super) fn answer(&self, secret: &[u8]) -> Vec<u8> {
        let mut answer = vec![ACCOUNTING_RESPONSE, self.whole[1], 0, 0];
        answer.extend_from_slice(&self.whole[AUTHENTICATOR]);
        for (kind, value) in self.attributes().filter(|(kind, _)| *kind == attribute::PROXY_STATE) {
            answer.extend([kind, value.len() as u8 + 2]);
            answer.extend_from_slice(value);
        }
        let len = (answer.len() as u16).to_be_bytes();
        answer[2..4].copy_from_slice(&len);
        let authenticator = Md5::new().chain_update(&answer).chain_update(secret).finalize();
        answer[AUTHENTICATOR].copy_from_slice(&authenticator);
        answer
    }

    fn message_authenticator(&self) -> Option<std::ops::Range<usize>> {
        let mut at = HEADER_BYTES;
        for (kind, value) in self.attributes() {
            let place = at + 2..at + 2 + value.len();
            if kind == attribute::MESSAGE_AUTHENTICATOR {
                // One of another length is wrong, whatever it holds.
                return Some(if value.len() == 16 { place } else { 0..usize::MAX });
            }
            at = place.end;
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A signed request, as an access server makes it.
    pub(in super::super) fn signed(attributes: &[(u8, &[u8])], secret: &[u8]) -> Vec<u8> {
        let mut packet = vec![ACCOUNTING_REQUEST, 7, 0, 0];
        packet.extend([0; 16]);
        for (kind, value) in attributes {
            packet.extend([*kind, value.len() as u8 + 2]);
            packet.extend_from_slice(value);
        }
        let len = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&len);
        let authenticator = Md5::new().chain_update(&packet).chain_update(secret).finalize();
        packet[AUTHENTICATOR].copy_from_slice(&authenticator);
        packet
    }

    #[test]
    fn only_what_the_secret_signed_is_believed() {
        let packet = signed(&[(1, b"ann"), (33, b"proxy"), (40, &[0, 0, 0, 1])], b"secret");
        let request = Request::read(&packet).unwrap();
        assert_eq!(request.verify(b"secret", false), Ok(()));
        assert_eq!(request.verify(b"other", false), Err(Fault::Authenticator));
        assert_eq!(request.verify(b"secret", true), Err(Fault::NoMessageAuthenticator));
        assert_eq!(
            (request.find(1), request.number(40), request.find(8)),
            (Some(&b"ann"[..]), Some(1), None)
        );
        let mut changed = packet.clone();
        changed[22] ^= 1;
        assert_eq!(Request::read(&changed).unwrap().verify(b"secret", false), Err(Fault::Authenticator));
        let answer = request.answer(b"secret");
        assert_eq!((&answer[..4], &answer[20..]), (&[5, 7, 0, 27][..], &b"\x21\x07proxy"[..]));
        // Behind its end is padding.
        let padded = [&packet[..], &[0; 9]].concat();
        assert_eq!(Request::read(&padded).unwrap().verify(b"secret", false), Ok(()));
        for wrong in [&[0; 16][..], &[1; 15]] {
            let packet = signed(&[(1, b"ann"), (80, wrong)], b"secret");
            let verified = Request::read(&packet).unwrap().verify(b"secret", false);
            assert_eq!(verified, Err(Fault::MessageAuthenticator));
        }
    }

    #[test]
    fn forms_that_are_none_are_told() {
        let packet = signed(&[(1, b"ann")], b"s");
        let read = |bytes: &[u8]| Request::read(bytes).map(|_| ()).unwrap_err();
        assert_eq!(read(&packet[..19]), Fault::Length);
        assert_eq!(read(&packet[..24]), Fault::Length);
        let with = |at: usize, byte: u8| {
            let mut changed = packet.clone();
            changed[at] = byte;
            changed
        };
        assert_eq!(read(&with(0, 1)), Fault::Code);
        assert_eq!(read(&with(3, 19)), Fault::Length);
        for len in [0, 1, 4, 6, 255] {
            assert_eq!(read(&with(21, len)), Fault::Attribute, "{len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much_for_it(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(request) = Request::read(&bytes) {
                prop_assert!(request.verify(b"secret", false).is_err());
                prop_assert!(request.answer(b"secret").len() >= HEADER_BYTES);
            }
        }
    }
}
