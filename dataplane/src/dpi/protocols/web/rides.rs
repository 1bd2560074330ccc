//! What rides on HTTP, by name? Told by methods, fields, content types and the first bytes of bodies.
//!
//! Suricata calls all of them `http`, so does `eve`.

use super::head::Head;
use crate::dpi::protocols::messaging::calls::JSON_RPC;
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{Category, Context, HintKind, Protocol, Risk, Shown};

/// A protocol that is only ever found inside HTTP.
const fn ride(name: &'static str, category: Category) -> Protocol {
    Protocol { eve: Some("http"), ..Protocol::named(name, category, &[]) }
}

/// Requests to a proxy.
pub static HTTP_PROXY: Protocol = ride("http_proxy", Category::Web);
/// Tunnels through a proxy.
pub static HTTP_CONNECT: Protocol = ride("http_connect", Category::Web);
/// Calls in XML envelopes (SOAP 1.1 and 1.2).
pub static SOAP: Protocol = ride("soap", Category::Rpc);
/// Calls in XML.
pub static XML_RPC: Protocol = ride("xmlrpc", Category::Rpc);
/// Files over HTTP (RFC 4918).
pub static WEBDAV: Protocol = ride("webdav", Category::Collaborative);
/// Printing (RFC 8010).
pub static IPP: Protocol = ride("ipp", Category::System);
/// Live streaming by playlists (RFC 8216).
pub static HLS: Protocol = ride("hls", Category::Media);
/// Streaming by segments (ISO/IEC 23009-1).
pub static MPEG_DASH: Protocol = ride("mpegdash", Category::Media);
/// Status of certificates (RFC 6960 A).
pub static OCSP: Protocol = ride("ocsp", Category::Network);
/// Lists of revoked certificates (RFC 5280 4.2.1.13).
pub static CRL: Protocol = ride("crl", Category::Network);
/// Devices' descriptions and events.
pub static UPNP: Protocol = ride("upnp", Category::Iot);
/// Remote procedure calls over HTTP/2.
pub static GRPC: Protocol =
    Protocol { name: "grpc", eve: Some("http2"), category: Category::Rpc, probes: &[], parser: None };

/// Surer than the name `http`, which recognition gave.
const SURE: u8 = 98;

/// What a request's method, target and fields say.
pub fn of_request(method: &[u8], target: &[u8], head: &Head<'_>, cx: &mut Context<'_>) {
    let path = path_of(target);
    let media = head.content_type.unwrap_or_default();
    let accept = head.accept.unwrap_or_default();
    let found = if method == b"CONNECT" {
        Some(&HTTP_CONNECT)
    } else if head.is_for_proxy
        || starts_with_word(target, b"http://")
        || starts_with_word(target, b"https://")
    {
        Some(&HTTP_PROXY)
    } else if matches!(
        method,
        b"PROPFIND" | b"PROPPATCH" | b"MKCOL" | b"LOCK" | b"UNLOCK" | b"REPORT" | b"MKCALENDAR"
    ) || (matches!(method, b"COPY" | b"MOVE") && head.is_dav)
    {
        Some(&WEBDAV)
    } else if matches!(method, b"SUBSCRIBE" | b"UNSUBSCRIBE" | b"NOTIFY") {
        Some(&UPNP)
    } else if head.has_soap_action || starts_with_word(media, b"application/soap+xml") {
        Some(&SOAP)
    } else if starts_with_word(path, b"/xmlrpc.php") && method == b"POST" {
        Some(&XML_RPC)
    } else if path.ends_with(b".mpd") || path.ends_with(b".m4s") {
        Some(&MPEG_DASH)
    } else if path.ends_with(b".crl") {
        Some(&CRL)
    } else {
        by_media(media)
    };
    if starts_with_word(accept, b"application/x-rtsp-tunnelled")
        || starts_with_word(media, b"application/x-rtsp-tunnelled")
    {
        cx.notes.set_protocol(&crate::dpi::protocols::voip::rtsp::RTSP, SURE);
    } else if let Some(found) = found {
        name(found, cx);
    }
    if method == b"SOURCE" {
        cx.app("icecast", 90);
    }
    if has_word(target, b"info_hash=") {
        cx.app("bittorrent", 90);
    }
}

/// What a response's fields say.
pub fn of_response(head: &Head<'_>, cx: &mut Context<'_>) {
    let server = head.server.unwrap_or_default();
    if starts_with_word(server, b"icecast") {
        cx.app("icecast", 90);
    } else if starts_with_word(head.first, b"icy ") || has_word(server, b"shoutcast") {
        cx.app("shoutcast", 90);
    } else if head.is_icy {
        cx.app("icecast", 80);
    }
    if let Some(media) = head.content_type {
        cx.hint(HintKind::ContentType, media);
        if let Some(found) = by_media(media) {
            name(found, cx);
        }
        const PROGRAMS: [&[u8]; 6] = [
            b"application/x-msdownload",
            b"application/x-msdos-program",
            b"application/x-executable",
            b"application/x-dosexec",
            b"application/vnd.android.package-archive",
            b"application/vnd.microsoft.portable-executable",
        ];
        if PROGRAMS.iter().any(|program| starts_with_word(media, program)) {
            cx.risk(Risk::BinaryTransfer, format_args!("content type {}", Shown(media)));
        }
    }
}

/// What the first bytes of a body say.
pub fn of_body(body: &[u8], is_request: bool, cx: &mut Context<'_>) {
    let text = body.trim_ascii_start();
    if starts_with_word(text, b"#extm3u") {
        name(&HLS, cx);
    } else if is_request && text.starts_with(b"{") && has_word(text, b"\"jsonrpc\"") {
        name(&JSON_RPC, cx);
    } else if text.starts_with(b"<")
        && (has_word(text, b":envelope") || has_word(text, b"schemas.xmlsoap.org"))
    {
        name(&SOAP, cx);
    } else if text.starts_with(b"<")
        && (has_word(text, b"<methodcall>") || has_word(text, b"<methodresponse>"))
    {
        name(&XML_RPC, cx);
    } else if text.starts_with(b"<") && has_word(text, b"<mpd ") {
        name(&MPEG_DASH, cx);
    }
    // ISO/IEC 14496-12: media in segments begins with a segment's type, or a file's type with such a brand.
    if let Some((kind, brands)) = body.get(4..).and_then(|rest| rest.split_first_chunk::<4>()) {
        const BRANDS: [&[u8]; 6] = [b"dash", b"iso5", b"iso6", b"msdh", b"msix", b"cmfc"];
        let len = usize::from(body.get(3).copied().unwrap_or(0)).saturating_sub(8);
        let mut brands = brands.get(..len).unwrap_or(brands).chunks_exact(4);
        if kind == b"styp" || (kind == b"ftyp" && brands.any(|brand| BRANDS.contains(&brand))) {
            name(&MPEG_DASH, cx);
        }
    }
    if let Some(kind) = program_of(body) {
        cx.risk(Risk::BinaryTransfer, format_args!("{kind}"));
    }
}

/// Which kind of program begins like this: Windows, Unix, macOS, Java classes, which share a number with fat macOS ones,
/// Android's code.
pub(super) fn program_of(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x7f, b'E', b'L', b'F', ..] => Some("ELF"),
        [b'M', b'Z', ..] if is_windows_program(body) => Some("Windows program"),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => Some("Mach-O"),
        [0xca, 0xfe, 0xba, 0xbe, ..] => Some("Java class or Mach-O"),
        [b'd', b'e', b'x', b'\n', b'0', b'3', ..] => Some("dex"),
        _ => None,
    }
}

/// Two letters are few: the head's place (PE/COFF specification, MS-DOS stub) must make sense too.
fn is_windows_program(body: &[u8]) -> bool {
    let Some(place) = body.get(60..64).and_then(|place| place.first_chunk()) else { return false };
    let place = u32::from_le_bytes(*place) as usize;
    match body.get(place..) {
        Some([b'P', b'E', 0, 0, ..]) => true,
        Some([first, ..]) => matches!(first, b'N' | b'L') && place >= 64,
        _ => (64..4_096).contains(&place),
    }
}

/// Suspicious contents of a request.
pub fn risks_of_request(target: &[u8], head: &Head<'_>, cx: &mut Context<'_>) {
    if head.authorization.is_some_and(|value| starts_with_word(value, b"basic ")) {
        cx.risk(Risk::ClearTextCredentials, format_args!("http basic authorization"));
    }
    if let Some(host) = head.host.filter(|host| is_numeric(host))
        && cx.notes.protocol() != Some(&UPNP)
    {
        cx.risk(Risk::NumericHost, format_args!("asked for {}", Shown(host)));
    }
    if let Some(agent) = head.user_agent {
        const TOOLS: [&[u8]; 12] = [
            b"${",
            b"<?",
            b"sqlmap",
            b"nikto",
            b"masscan",
            b"zgrab",
            b"nmap",
            b"dirbuster",
            b"gobuster",
            b"wpscan",
            b"() {",
            b"<script",
        ];
        if agent.len() < 4 || TOOLS.iter().any(|tool| has_word(agent, tool)) {
            cx.risk(Risk::SuspiciousUserAgent, format_args!("user agent {}", Shown(agent)));
        }
    }
    if let Some(sign) = injects(target) {
        cx.risk(Risk::Injection, format_args!("{}", Shown(sign)));
    }
}

/// Whether a target, decoded, has what only attacks have.
fn injects(target: &[u8]) -> Option<&'static [u8]> {
    const SIGNS: [&[u8]; 18] = [
        b"<script",
        b"javascript:",
        b"union select",
        b"union all select",
        b"' or '",
        b"' or 1=1",
        b"\" or \"",
        b"../../",
        b"..\\..\\",
        b"${jndi:",
        b";wget ",
        b"|wget ",
        b"cmd.exe",
        b"/etc/passwd",
        b"<?php",
        b"onerror=",
        b"information_schema",
        b";cat ",
    ];
    // Nearly all targets have none of these bytes and are not decoded.
    if !target.iter().any(|byte| matches!(byte, b'%' | b'<' | b'\'' | b'"' | b'$' | b';' | b'|' | b'+'))
        && !has_word(target, b"../")
        && !has_word(target, b"cmd.exe")
        && !has_word(target, b"etc/passwd")
    {
        return None;
    }
    let mut decoded = [0_u8; 1_024];
    let mut len = 0;
    let mut rest = target;
    while let [byte, after @ ..] = rest
        && let Some(place) = decoded.get_mut(len)
    {
        let (value, next) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            (b'+', _) => (b' ', after),
            _ => (*byte, after),
        };
        *place = value.to_ascii_lowercase();
        len += 1;
        rest = next;
    }
    let decoded = decoded.get(..len).unwrap_or_default();
    SIGNS.iter().find(|sign| has_word(decoded, sign)).copied()
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Whether a host is an address.
fn is_numeric(host: &[u8]) -> bool {
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    !host.is_empty()
        && host.iter().filter(|byte| **byte == b'.').count() == 3
        && host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// The target without scheme, authority and query.
fn path_of(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or_default()
}

fn by_media(media: &[u8]) -> Option<&'static Protocol> {
    const MEDIA: [(&[u8], &Protocol); 11] = [
        (b"application/ocsp-re", &OCSP),
        (b"application/ipp", &IPP),
        (b"application/soap+xml", &SOAP),
        (b"application/json-rpc", &JSON_RPC),
        (b"application/jsonrequest", &JSON_RPC),
        (b"application/vnd.apple.mpegurl", &HLS),
        (b"application/x-mpegurl", &HLS),
        (b"application/dash+xml", &MPEG_DASH),
        (b"application/pkix-crl", &CRL),
        (b"video/iso.segment", &MPEG_DASH),
        (b"application/grpc", &GRPC),
    ];
    MEDIA.iter().find(|(prefix, _)| starts_with_word(media, prefix)).map(|(_, protocol)| *protocol)
}

fn name(protocol: &'static Protocol, cx: &mut Context<'_>) {
    // What goes through a proxy stays the proxy's.
    let is_proxied = cx.notes.protocol().is_some_and(|known| *known == HTTP_PROXY || *known == HTTP_CONNECT);
    if !is_proxied {
        cx.notes.set_protocol(protocol, SURE);
    }
    cx.app(protocol.name, 70);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injections_are_seen_through_their_encoding() {
        assert!(injects(b"/?q=%3CScRipt%3Ealert(1)").is_some());
        assert!(injects(b"/?id=1'+UNION+SELECT+password").is_some());
        assert!(injects(b"/a/../../../etc/passwd").is_some());
        assert!(injects(b"/?x=${jndi:ldap://a}").is_some());
        assert_eq!(injects(b"/index.html?a=b&c=%20d"), None);
        assert_eq!(injects(b"/%"), None);
    }

    #[test]
    fn addresses_are_numeric_hosts() {
        assert!(is_numeric(b"192.0.2.1:8080") && !is_numeric(b"1.2.3.example") && !is_numeric(b""));
    }
}
