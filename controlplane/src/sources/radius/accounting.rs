//! What does an Accounting-Request say: of which session, who, where, until when?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::identity::Key;
use serde::{Deserialize, Serialize};

use super::packet::{Request, attribute};
use crate::services::identities::{Assertion, Source, Who};

/// Interim updates that may be lost before a session is taken for over.
const INTERIMS_MISSED_MAX: u64 = 3;

/// Characters of a name; what is longer is cut.
const NAME_CHARS_MAX: usize = 128;

/// An attribute whose text may be a role or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TextAttribute {
    /// `Filter-Id` (11).
    #[serde(rename = "Filter-Id")]
    FilterId,
    /// `Class` (25).
    Class,
}

impl TextAttribute {
    const fn number(self) -> u8 {
        match self {
            Self::FilterId => attribute::FILTER_ID,
            Self::Class => attribute::CLASS,
        }
    }
}

/// What of a request is what of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The role.
    pub role: Option<TextAttribute>,
    /// The groups: each attribute of this number is one.
    pub groups: Option<TextAttribute>,
    /// How long a session is believed that does not say so itself, seconds.
    pub expires_s: u64,
}

/// A session of an access server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Session {
    /// The access server, as it names itself, else by its address.
    pub server: Vec<u8>,
    /// `Acct-Session-Id`.
    pub id: Vec<u8>,
}

/// What is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A session begins or goes on; `None`: it has no user or no address yet.
    Alive(Session, Option<Assertion>),
    /// A session is over.
    Over(Session),
    /// An access server begins or ends: all of its sessions are over (RFC 2866 5.1).
    AllOver(Vec<u8>),
    /// What nobody needs to know.
    Else,
}

/// Reads what a verified request says.
pub(super) fn read(request: &Request<'_>, client: IpAddr, mapping: &Mapping, now_ns: u64) -> Told {
    let server = server_of(request, client);
    let session = || {
        let id = request.find(attribute::ACCT_SESSION_ID).unwrap_or_default().to_vec();
        Session { server: server.clone(), id }
    };
    match request.number(attribute::ACCT_STATUS_TYPE) {
        Some(1 | 3) => Told::Alive(session(), assertion(request, mapping, now_ns)),
        Some(2) => Told::Over(session()),
        Some(7 | 8) => Told::AllOver(server),
        _ => Told::Else,
    }
}

fn server_of(request: &Request<'_>, client: IpAddr) -> Vec<u8> {
    let names = [attribute::NAS_IDENTIFIER, attribute::NAS_IP_ADDRESS, attribute::NAS_IPV6_ADDRESS];
    let named = names.into_iter().find_map(|number| Some([&[number], request.find(number)?].concat()));
    // Two clients may call their servers the same.
    [client.to_string().into_bytes(), named.unwrap_or_default()].concat()
}

fn assertion(request: &Request<'_>, mapping: &Mapping, now_ns: u64) -> Option<Assertion> {
    let user_id = text(request.find(attribute::USER_NAME)?)?;
    let keys = keys(request);
    if keys.is_empty() {
        return None;
    }
    let texts = |which: TextAttribute| {
        request
            .attributes()
            .filter(move |(kind, _)| *kind == which.number())
            .filter_map(|(_, value)| text(value))
    };
    let who = Who {
        user_id,
        user_role: mapping.role.and_then(|which| texts(which).next()),
        groups: mapping.groups.map(|which| texts(which).take(64).collect()).unwrap_or_default(),
        ..Who::default()
    };
    let said = |number| request.number(number).map(u64::from).filter(|s| *s > 0);
    let interim = said(attribute::ACCT_INTERIM_INTERVAL).map(|s| s.saturating_mul(INTERIMS_MISSED_MAX));
    let left_s =
        said(attribute::SESSION_TIMEOUT).into_iter().chain(interim).min().unwrap_or(mapping.expires_s);
    let expires_ns = now_ns.saturating_add(left_s.saturating_mul(1_000_000_000));
    Some(Assertion { keys, who, source: Source::Radius, expires_ns: Some(expires_ns) })
}

/// Addresses of the session, or where it has none, the Ethernet address that it came from.
fn keys(request: &Request<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut add = |key: Option<Key>| {
        if let Some(key) = key.filter(|key| !keys.contains(key) && keys.len() < 16) {
            keys.push(key);
        }
    };
    for (kind, value) in request.attributes() {
        match kind {
            attribute::FRAMED_IP_ADDRESS => {
                let addr = value.try_into().ok().map(|bytes: [u8; 4]| Ipv4Addr::from(bytes));
                // The two that ask the user's side or the server to choose one (RFC 2865 5.8).
                let chosen = addr.filter(|addr| !matches!(u32::from(*addr), 0xffff_ffff | 0xffff_fffe | 0));
                add(chosen.map(|addr| Key::addr(IpAddr::V4(addr).into())));
            }
            attribute::FRAMED_IPV6_ADDRESS => {
                let addr = value.try_into().ok().map(|bytes: [u8; 16]| Ipv6Addr::from(bytes));
                add(addr.map(|addr| Key::addr(IpAddr::V6(addr).into())));
            }
            attribute::FRAMED_IPV6_PREFIX => add(prefix(value)),
            _ => {}
        }
    }
    if keys.is_empty() {
        keys.extend(request.find(attribute::CALLING_STATION_ID).and_then(station));
    }
    keys
}

/// A reserved byte, the prefix's length, and as many of its bytes as it needs (RFC 3162 2.3).
fn prefix(value: &[u8]) -> Option<Key> {
    let [_reserved, len @ 0..=128, bytes @ ..] = value else { return None };
    let mut addr = [0; 16];
    addr.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Key::network(IpAddr::from(addr).into(), *len))
}

/// An Ethernet address in front of whatever else stands there: `02-00-5E-00-00-01:network` (RFC 3580 3.21), `02005e000001`.
fn station(value: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = |text: &str| {
        let pairs: Vec<&str> = (0..12).step_by(2).filter_map(|at| text.get(at..at + 2)).collect();
        pairs.join(":")
    };
    let in_front = text.get(..17).and_then(|mac| mac.parse().ok());
    let key = in_front.or_else(|| digits(text.get(..12)?).parse().ok())?;
    matches!(key, Key::Mac(_)).then_some(key)
}

/// A text without control characters, cut where it is too long; `None`: there is none.
fn text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_matches(['\0', ' ']);
    let is_text = !text.is_empty() && !text.contains(char::is_control);
    is_text.then(|| text.chars().take(NAME_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::signed;
    use super::*;

    const MAPPING: Mapping =
        Mapping { role: Some(TextAttribute::FilterId), groups: Some(TextAttribute::Class), expires_s: 600 };
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn told(attributes: &[(u8, &[u8])]) -> Told {
        let packet = signed(attributes, b"s");
        read(&Request::read(&packet).unwrap(), CLIENT, &MAPPING, 1_000_000_000)
    }

    fn alive(attributes: &[(u8, &[u8])]) -> Option<Assertion> {
        let start: &[(u8, &[u8])] = &[(40, &[0, 0, 0, 1]), (44, b"17"), (1, b"ann")];
        match told(&[start, attributes].concat()) {
            Told::Alive(session, assertion) => {
                assert_eq!(session.id, b"17");
                assertion
            }
            other => panic!("{other:?}"),
        }
    }

    fn keys_of(attributes: &[(u8, &[u8])]) -> Vec<String> {
        alive(attributes).map(|told| told.keys.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn a_session_has_its_user_its_addresses_and_its_time() {
        let said =
            alive(&[(8, &[10, 0, 0, 5]), (11, b"staff"), (25, b"g1"), (25, b"g2"), (85, &[0, 0, 0, 60])])
                .unwrap();
        assert_eq!((said.who.user_id.as_str(), said.who.user_role.as_deref()), ("ann", Some("staff")));
        assert_eq!((said.who.groups, said.source), (vec!["g1".to_owned(), "g2".to_owned()], Source::Radius));
        assert_eq!(said.expires_ns, Some(181_000_000_000));
        let timeout = alive(&[(8, &[10, 0, 0, 5]), (27, &[0, 0, 0, 9]), (85, &[0, 0, 0, 60])]).unwrap();
        assert_eq!(timeout.expires_ns, Some(10_000_000_000));
        assert_eq!(alive(&[(8, &[10, 0, 0, 5])]).unwrap().expires_ns, Some(601_000_000_000));
    }

    #[test]
    fn addresses_are_those_of_the_session_else_its_station() {
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9]].concat();
        assert_eq!(
            keys_of(&[(8, &[10, 0, 0, 5]), (168, &six), (31, b"02-00-5E-00-00-01")]),
            ["10.0.0.5", "2001:db8::9"]
        );
        assert_eq!(keys_of(&[(97, &[0, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 7])]), ["2001:db8:0:7::/64"]);
        for station in [&b"02-00-5E-00-00-01:office"[..], b"02:00:5e:00:00:01", b"02005E000001"] {
            assert_eq!(keys_of(&[(31, station)]), ["02:00:5e:00:00:01"], "{station:?}");
        }
        for none in [
            (8, &[255, 255, 255, 254][..]),
            (8, &[10, 0, 0]),
            (97, &[0, 200]),
            (97, &[0; 19]),
            (31, b"+49 30 1234"),
        ] {
            assert_eq!(keys_of(&[none]), [""; 0], "{none:?}");
        }
        assert_eq!(alive(&[]), None);
    }

    #[test]
    fn ends_are_told_of_one_session_or_of_all_of_a_server() {
        let ended = told(&[(40, &[0, 0, 0, 2]), (44, b"17"), (32, b"ap-1")]);
        let Told::Over(session) = &ended else { panic!("{ended:?}") };
        assert_eq!(told(&[(40, &[0, 0, 0, 7]), (32, b"ap-1")]), Told::AllOver(session.server.clone()));
        assert_ne!(told(&[(40, &[0, 0, 0, 8]), (32, b"ap-2")]), Told::AllOver(session.server.clone()));
        assert_eq!(told(&[(40, &[0, 0, 0, 99])]), Told::Else);
        assert_eq!(told(&[]), Told::Else);
    }
}
