//! Which requests, responses and bodies of HTTP deserve attention?

use super::head::Head;
use super::rides::UPNP;
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{Context, Risk, Shown};
use crate::time::Wall;

/// Suspicious contents of a request.
pub(super) fn request(target: &[u8], head: &Head<'_>, cx: &mut Context<'_>) {
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
    let values =
        [head.user_agent, head.referer, head.forwarded_for, head.host, head.accept, head.content_type];
    const ATTACKS: [&[u8]; 3] = [b"${jndi:", b"() {", b"${${"];
    if let Some(attack) =
        ATTACKS.iter().find(|attack| values.iter().flatten().any(|value| has_word(value, attack)))
    {
        cx.risk(Risk::SuspiciousHeaders, format_args!("{} in a field", Shown(attack)));
    }
    // RFC 9112 6.3: whoever reads the one and whoever reads the other see different requests.
    if head.is_chunked && head.content_length.is_some() {
        cx.risk(Risk::SuspiciousHeaders, format_args!("both Content-Length and chunks"));
    } else if head.length_is_wrong {
        cx.risk(Risk::SuspiciousHeaders, format_args!("wrong or different Content-Length"));
    }
    if let Some(query) = target.splitn(2, |byte| *byte == b'?').nth(1)
        && let Some(name) = password_in(query)
    {
        cx.risk(Risk::ClearTextCredentials, format_args!("http query field {}", Shown(name)));
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

/// The value of a hexadecimal digit.
pub(super) fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Whether a host is an address.
fn is_numeric(host: &[u8]) -> bool {
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    !host.is_empty()
        && host.iter().filter(|byte| **byte == b'.').count() == 3
        && host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// Suspicious contents of a response's fields.
pub(super) fn response(head: &Head<'_>, cx: &mut Context<'_>) {
    if let Some(server) = head.server.filter(|server| is_abandoned(server, cx.at)) {
        cx.risk(Risk::ObsoleteServer, format_args!("{}", Shown(server)));
    }
}

/// Suspicious contents of a body's beginning; `claims_harmless` is [`is_harmless`] of its type.
pub(super) fn body(start: &[u8], is_request: bool, claims_harmless: bool, cx: &mut Context<'_>) {
    if let Some(kind) = program_of(start) {
        cx.risk(Risk::BinaryTransfer, format_args!("{kind}"));
        if claims_harmless {
            cx.risk(Risk::ContentMismatch, format_args!("{kind} as media or text"));
        }
    }
    if is_request && let Some(name) = password_in(start) {
        cx.risk(Risk::ClearTextCredentials, format_args!("http form field {}", Shown(name)));
    }
}

/// Whether programs never have this type. Servers that do not know say `text/plain`, which is no claim.
pub(super) fn is_harmless(media: Option<&[u8]>) -> bool {
    const HARMLESS: [&[u8]; 8] = [
        b"image/",
        b"audio/",
        b"video/",
        b"font/",
        b"text/html",
        b"text/css",
        b"application/pdf",
        b"application/json",
    ];
    media.is_some_and(|media| HARMLESS.iter().any(|prefix| starts_with_word(media, prefix)))
}

/// The name of a field of a form or query that is a password and has a value.
fn password_in(form: &[u8]) -> Option<&[u8]> {
    const NAMES: [&[u8]; 8] = [
        b"password",
        b"passwd",
        b"pass",
        b"pwd",
        b"passphrase",
        b"user_pass",
        b"login_password",
        b"userpassword",
    ];
    form.split(|byte| *byte == b'&').find_map(|field| {
        let equals = field.iter().position(|byte| *byte == b'=')?;
        let (name, value) = field.split_at_checked(equals)?;
        let is_password = NAMES.iter().any(|known| name.eq_ignore_ascii_case(known));
        (is_password && value.len() > 1).then_some(name)
    })
}

/// When the makers of a server stopped to mend it, in seconds since 1970: Apache's and nginx's pages of old releases,
/// Microsoft's of product lifecycles. A capture is judged by its own time.
const ABANDONED: [(&[u8], i64); 14] = [
    (b"apache/1.", 1_265_155_200),
    (b"apache/2.0.", 1_373_414_400),
    (b"apache/2.2.", 1_514_678_400),
    (b"nginx/0.", 1_335_139_200),
    (b"nginx/1.0.", 1_367_193_600),
    (b"nginx/1.2.", 1_398_297_600),
    (b"nginx/1.4.", 1_429_574_400),
    (b"nginx/1.6.", 1_461_628_800),
    (b"nginx/1.8.", 1_491_955_200),
    (b"nginx/1.10.", 1_523_923_200),
    (b"microsoft-iis/5", 1_278_979_200),
    (b"microsoft-iis/6", 1_436_832_000),
    (b"microsoft-iis/7", 1_578_960_000),
    (b"microsoft-iis/8", 1_696_896_000),
];

fn is_abandoned(server: &[u8], at: Wall) -> bool {
    let now = (at.0 / 1_000_000_000) as i64;
    ABANDONED.iter().any(|(begin, since)| now > *since && starts_with_word(server, begin))
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

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;
    use crate::dpi::risk::clues::told_of;

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

    fn of_request(target: &str, fields: &str) -> Vec<String> {
        let text = format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n");
        told_of(|cx| request(target.as_bytes(), &head::read(text.as_bytes()), cx))
    }

    #[test]
    fn requests_are_judged_by_target_and_fields() {
        for (target, fields, expected) in [
            ("/", "Host: a.example\r\nUser-Agent: curl/8.5.0\r\nContent-Length: 3", &[][..]),
            ("/", "Authorization: Basic dTpw", &["clear_text_credentials: http basic authorization"][..]),
            ("/?user=u&password=secret", "Host: a", &["clear_text_credentials: http query field password"]),
            ("/?password=&reset=1", "Host: a", &[]),
            ("/", "Host: 192.0.2.1:8080", &["numeric_host: asked for 192.0.2.1:8080"]),
            ("/", "User-Agent: sqlmap/1.7", &["suspicious_user_agent: user agent sqlmap/1.7"]),
            ("/", "Referer: ${jndi:ldap://a}", &["suspicious_headers: ${jndi: in a field"]),
            (
                "/",
                "Content-Length: 4\r\nTransfer-Encoding: chunked",
                &["suspicious_headers: both Content-Length and chunks"],
            ),
            (
                "/",
                "Content-Length: 4\r\nContent-Length: 5",
                &["suspicious_headers: wrong or different Content-Length"],
            ),
            ("/?id=1'+union+select+1", "Host: a", &["injection_in_url: union select"]),
        ] {
            assert_eq!(of_request(target, fields), expected, "{target} {fields}");
        }
    }

    #[test]
    fn bodies_are_judged_by_their_first_bytes_and_their_type() {
        let program = b"\x7fELF\x02\x01\x01";
        let told = |start: &[u8], is_request, media: &[u8]| {
            told_of(|cx| body(start, is_request, is_harmless(Some(media)), cx))
        };
        assert_eq!(told(program, false, b"application/octet-stream"), ["binary_transfer: ELF"]);
        assert_eq!(
            told(program, false, b"image/png"),
            ["content_type_mismatch: ELF as media or text", "binary_transfer: ELF"]
        );
        let mut windows = b"MZ".to_vec();
        windows.resize(60, 0);
        windows.extend([128, 0, 0, 0]);
        assert_eq!(told(&windows, false, b""), ["binary_transfer: Windows program"]);
        assert_eq!(told(&[b'M', b'Z', b' ', b't', b'e', b'x', b't'].repeat(20), false, b""), [""; 0]);
        let form = "clear_text_credentials: http form field pwd";
        assert_eq!(told(b"login=me&pwd=secret", true, b""), [form]);
        assert_eq!(told(b"login=me&pwd=secret", false, b""), [""; 0], "a response");
    }

    #[test]
    fn servers_are_judged_by_the_time_of_the_packet() {
        let told = |server: &str| {
            let text = format!("HTTP/1.1 200 OK\r\nServer: {server}\r\n\r\n");
            told_of(|cx| response(&head::read(text.as_bytes()), cx))
        };
        assert_eq!(told("Apache/2.2.22 (Ubuntu)"), ["obsolete_server: Apache/2.2.22 (Ubuntu)"]);
        for server in ["Apache/2.4.57", "Apache", "nginx/1.24.0", "Microsoft-IIS/10.0"] {
            assert_eq!(told(server), [""; 0], "{server}");
        }
        assert!(!is_abandoned(b"Apache/2.2.22", Wall(1_400_000_000_000_000_000)));
    }
}
