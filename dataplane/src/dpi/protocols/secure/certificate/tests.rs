#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::*;

/// Made with openssl: an EC key, many attributes, a wildcard and other names.
const LEAF: &[u8] = include_bytes!("leaf.der");
/// RSA with 1,024 bits for a hundred years, names of two bytes a character, an attribute that nobody knows.
const OLD: &[u8] = include_bytes!("old.der");

#[test]
fn a_second_reader_reads_the_same() {
    for der in [LEAF, OLD] {
        let (certificate, (_, other)) =
            (Certificate::read(der).unwrap(), X509Certificate::from_der(der).unwrap());
        assert!(agrees(&certificate, &other));
    }
}

#[test]
fn what_is_damaged_is_refused_or_read_as_a_second_reader_reads_it() {
    let mut agreed = 0;
    for der in [LEAF, OLD] {
        for len in 0..der.len() {
            assert!(Certificate::read(&der[..len]).is_none(), "{len}");
        }
        for at in 0..der.len() {
            for value in [0, 1, 0x7f, 0x80, 0x84, 0xff, der[at] ^ 1] {
                let mut damaged = der.to_vec();
                damaged[at] = value;
                let Some(certificate) = Certificate::read(&damaged) else { continue };
                certificate.write(&mut Fields::new());
                let Ok((_, other)) = X509Certificate::from_der(&damaged) else { continue };
                if [other.subject(), other.issuer()].iter().all(|name| name.iter_attributes().all(is_plain)) {
                    agreed += usize::from(agrees(&certificate, &other));
                }
            }
        }
    }
    assert!(agreed > 1_000, "{agreed}");
}

/// Attributes whose text both write alike.
fn is_plain(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>) -> bool {
    let has_name = name::short_name(attribute.attr_type().as_bytes()).is_some();
    has_name && std::str::from_utf8(attribute.attr_value().data).is_ok()
}

/// Whether both found as many attributes: the other one stops at one that is broken, and takes any tag for a `SET`.
fn agrees(certificate: &Certificate<'_>, other: &X509Certificate<'_>) -> bool {
    let mut are_whole = true;
    for (name, other) in [(certificate.subject, other.subject()), (certificate.issuer, other.issuer())] {
        if name.attributes().count() == other.iter_attributes().count() {
            assert_eq!(String::from_utf8_lossy(name.line().as_bytes()), other.to_string());
        } else {
            are_whole = false;
        }
    }
    assert_eq!(certificate.serial, other.raw_serial());
    let validity = other.validity();
    assert_eq!(seconds(certificate.not_before), Some(validity.not_before.timestamp()));
    assert_eq!(seconds(certificate.not_after), Some(validity.not_after.timestamp()));
    let Ok(Some(names)) = other.subject_alternative_name() else { return are_whole };
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.as_bytes()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    match certificate.names().count() == names.len() {
        true => assert!(certificate.names().eq(names)),
        false => are_whole = false,
    }
    are_whole
}

#[test]
fn names_are_for_hosts() {
    let leaf = Certificate::read(LEAF).unwrap();
    for host in [&b"a.appliance.example"[..], b"APPLIANCE.example", b"a.appliance.example."] {
        assert!(leaf.is_for(host), "{host:?}");
    }
    for host in [&b"a.b.appliance.example"[..], b"example", b"192.0.2.1"] {
        assert!(!leaf.is_for(host), "{host:?}");
    }
    assert!(Certificate::read(OLD).unwrap().only_names().is_none());
}

#[test]
fn years_have_two_digits_or_four() {
    let read = |tag, contents| time(Element { tag, contents }).map(|time| time.to_string());
    assert_eq!(read(UTC_TIME, b"491231235959Z").as_deref(), Some("2049-12-31T23:59:59"));
    assert_eq!(read(UTC_TIME, b"5001010000Z").as_deref(), Some("1950-01-01T00:00:00"));
    assert_eq!(read(GENERALIZED_TIME, b"20500228010203Z").as_deref(), Some("2050-02-28T01:02:03"));
    for bad in [&b"500132000000Z"[..], b"4x1231235959Z", b"50", b""] {
        assert_eq!(read(UTC_TIME, bad), None, "{bad:?}");
    }
}
