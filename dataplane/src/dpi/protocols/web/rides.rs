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
