//! How is what a DNS record says written into an EVE record? In Suricata's form where it has one, else as zone files do.

use super::line::{Line, address, colons};
use super::message::{Name, Rr, be16, be32};
use crate::dpi::Fields;

/// Types whose values EVE's `grouped` lists, in that order.
pub(super) const GROUPED: &[u16] = &[1, 28, 5, 15, 2, 12, 16, 10, 6, 44, 33, 39, 65, 64, 257, 35];

/// Character strings of one TXT record that are told (RFC 1035 3.3.14).
const STRINGS_MAX: usize = 32;

/// The texts of a TXT record, each of which is a value of its own.
pub(super) fn strings(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first()?;
        let (text, behind) = behind.split_at_checked(usize::from(*len)).unwrap_or((behind, &[]));
        rest = behind;
        Some(text)
    })
    .take(STRINGS_MAX)
}

/// Writes the value of `rr`: under `rdata`, or under its type's own name for what has several parts; inside a list
/// (`grouped`) without a key.
pub(super) fn write(fields: &mut Fields, in_list: bool, message: &[u8], rr: &Rr, name: &mut Name) {
    let data = rr.data(message);
    let key = |own: &'static str| if in_list { "" } else { own };
    match rr.kind {
        1 | 28 => fields.text_if(key("rdata"), address(data)),
        2..=5 | 7..=9 | 12 | 15 | 39 => {
            let preference_bytes = if rr.kind == 15 { 2 } else { 0 };
            let end = name.read(message, rr.data_at + preference_bytes);
            fields.text_if(key("rdata"), end.map(|_| name.as_bytes()));
        }
        16 | 99 => {
            for text in strings(data).take(if in_list { STRINGS_MAX } else { 1 }) {
                fields.text(key("rdata"), text);
            }
        }
        10 => fields.text(key("rdata"), data),
        6 => {
            let Some(end) = name.read(message, rr.data_at) else { return };
            fields.object(key("soa"), |soa| {
                soa.text("mname", name.as_bytes());
                let Some(end) = name.read(message, end) else { return };
                soa.text("rname", name.as_bytes());
                for (nth, key) in ["serial", "refresh", "retry", "expire", "minimum"].iter().enumerate() {
                    let Some(number) = be32(message, end + nth * 4) else { return };
                    soa.number(key, number);
                }
            });
        }
        33 => fields.object(key("srv"), |srv| {
            for (nth, key) in ["priority", "weight", "port"].iter().enumerate() {
                let Some(number) = be16(data, nth * 2) else { return };
                srv.number(key, number);
            }
            if name.read(message, rr.data_at + 6).is_some() {
                srv.text("name", name.as_bytes());
            }
        }),
        44 => {
            if let [algorithm, kind, fingerprint @ ..] = data {
                fields.object(key("sshfp"), |sshfp| {
                    sshfp.text("fingerprint", colons(fingerprint));
                    sshfp.number("algo", *algorithm);
                    sshfp.number("type", *kind);
                });
            }
        }
        // RFC 1035 3.3.2.
        13 => {
            let mut texts = strings(data);
            fields.object(key("hinfo"), |hinfo| {
                hinfo.text_if("cpu", texts.next());
                hinfo.text_if("os", texts.next());
            });
        }
        // RFC 3403 4.1.
        35 => fields.object(key("naptr"), |naptr| {
            let (Some(order), Some(preference)) = (be16(data, 0), be16(data, 2)) else { return };
            naptr.number("order", order);
            naptr.number("preference", preference);
            let mut used = 4;
            let mut texts = strings(data.get(4..).unwrap_or_default());
            for key in ["flags", "service", "regexp"] {
                let Some(text) = texts.next() else { return };
                used += 1 + text.len();
                naptr.text(key, text);
            }
            if name.read(message, rr.data_at + used).is_some() {
                naptr.text("replacement", name.as_bytes());
            }
        }),
        // RFC 8659 4.1.
        257 => {
            if let [flags, len, rest @ ..] = data
                && let Some((tag, value)) = rest.split_at_checked(usize::from(*len))
            {
                fields.object(key("caa"), |caa| {
                    caa.number("flags", *flags);
                    caa.text("tag", tag);
                    caa.text("value", value);
                });
            }
        }
        // RFC 4034 5.1.
        43 | 59 => {
            if let [high, low, algorithm, kind, digest @ ..] = data {
                fields.object(key("ds"), |ds| {
                    ds.number("key_tag", u16::from_be_bytes([*high, *low]));
                    ds.number("algo", *algorithm);
                    ds.number("digest_type", *kind);
                    ds.hex("digest", digest);
                });
            }
        }
        // RFC 4034 2.1.
        48 | 60 => {
            if let [high, low, protocol, algorithm, ..] = data {
                fields.object(key("dnskey"), |dnskey| {
                    dnskey.number("flags", u16::from_be_bytes([*high, *low]));
                    dnskey.number("protocol", *protocol);
                    dnskey.number("algo", *algorithm);
                });
            }
        }
        // RFC 4034 3.1.
        46 => fields.object(key("rrsig"), |rrsig| {
            let (Some(covered), Some(algorithm)) = (be16(data, 0), data.get(2)) else { return };
            rrsig.number("type_covered", covered);
            rrsig.number("algo", *algorithm);
            rrsig.text_if("key_tag", be16(data, 16).map(|tag| Line::<5>::of(format_args!("{tag}"))));
            if name.read(message, rr.data_at + 18).is_some() {
                rrsig.text("signer", name.as_bytes());
            }
        }),
        // RFC 6698 2.1.
        52 => {
            if let [usage, selector, matching, certificate @ ..] = data {
                fields.object(key("tlsa"), |tlsa| {
                    tlsa.number("usage", *usage);
                    tlsa.number("selector", *selector);
                    tlsa.number("matching_type", *matching);
                    tlsa.hex("data", certificate.get(..64).unwrap_or(certificate));
                });
            }
        }
        // RFC 7553 4.5.
        256 => fields.text_if(key("rdata"), data.get(4..)),
        64 | 65 => service(fields, key("svcb"), message, rr, name),
        _ => {}
    }
}

/// SVCB and HTTPS (RFC 9460 2.2).
fn service(fields: &mut Fields, key: &str, message: &[u8], rr: &Rr, name: &mut Name) {
    fields.object(key, |svcb| {
        let Some(priority) = be16(message, rr.data_at) else { return };
        svcb.number("priority", priority);
        let Some(end) = name.read(message, rr.data_at + 2) else { return };
        svcb.text("target", name.as_bytes());
        for (parameter, value) in parameters(message.get(end..rr.data_end).unwrap_or_default()) {
            match parameter {
                1 => svcb.list("alpn", |list| strings(value).for_each(|alpn| list.text("", alpn))),
                3 => {
                    if let Some(port) = be16(value, 0) {
                        svcb.number("port", port);
                    }
                }
                4 | 6 => {
                    let (key, len) = if parameter == 4 { ("ipv4hint", 4) } else { ("ipv6hint", 16) };
                    svcb.list(key, |list| {
                        value.chunks_exact(len).for_each(|hint| list.text_if("", address(hint)));
                    });
                }
                5 => svcb.bool("ech", true),
                _ => {}
            }
        }
    });
}

/// Service parameters: key, length, value.
fn parameters(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(4)?;
        let (value, behind) = behind.split_at_checked(usize::from(be16(head, 2)?))?;
        rest = behind;
        Some((be16(head, 0)?, value))
    })
    .take(STRINGS_MAX)
}
