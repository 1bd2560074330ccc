//! Does a hello or a certificate look like Tor's? Names that nobody chose, and a client that is nobody's browser.
//!
//! Tor's link handshake (tor-spec 2.1, `tor_tls_context_init`): the server name is `www.`, 4 to 25 characters of base
//! 32 and `.com`; the certificate's subject is such a name below `.net`, its issuer another one below `.com`.

/// JA3 of Tor's own client.
const JA3: &[u8] = b"e7d705a3286e19ea42f587b344ee6865";

/// Whether the hello is a Tor client's.
pub(crate) fn is_client(name: &[u8], ja3: &[u8], has_alpn: bool) -> bool {
    let Some(label) = label(name, b".com").or_else(|| label(name, b".net")) else { return false };
    !has_alpn && (ja3 == JA3 || looks_random(label))
}

/// Whether subject and issuer are those of a Tor relay.
pub(crate) fn is_server(subject: &[u8], issuer: &[u8]) -> bool {
    match (label(subject, b".net"), label(issuer, b".com")) {
        (Some(subject), Some(issuer)) => subject != issuer && (looks_random(subject) || looks_random(issuer)),
        _ => false,
    }
}

/// What stands between `www.` and `end`, where it is base 32.
fn label<'a>(name: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let label = name.strip_prefix(b"www.")?.strip_suffix(end)?;
    let is_base32 = label.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    ((4..=25).contains(&label.len()) && is_base32).then_some(label)
}

/// Whether no word stands in it: digits within, or consonants in a row that no language has.
fn looks_random(label: &[u8]) -> bool {
    if label.len() < 8 {
        return false;
    }
    let is_vowel = |byte: &u8| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let inner_digits = label[1..label.len() - 1].iter().filter(|byte| byte.is_ascii_digit()).count();
    let longest = label.split(|byte| is_vowel(byte) || byte.is_ascii_digit()).map(<[u8]>::len).max();
    let vowels = label.iter().filter(|byte| is_vowel(byte)).count();
    longest.unwrap_or_default() >= 6
        || (inner_digits >= 1 && longest.unwrap_or_default() >= 4)
        || inner_digits >= 2
        || (label.len() >= 12 && vowels * 6 <= label.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_told_from_chosen_ones() {
        for name in [&b"www.axslhtfqq.com"[..], b"www.ct7ctrgb6cr7.com", b"www.gfrmvkxsbmbwm3ri.com"] {
            assert!(is_client(name, b"", false), "{name:?}");
            assert!(!is_client(name, b"", true), "{name:?}");
        }
        for name in [&b"www.example.com"[..], b"www.microsoft.com", b"www.mozilla.net", b"axslhtfqq.com"] {
            assert!(!is_client(name, b"", false), "{name:?}");
        }
        assert!(is_server(b"www.gfrmvkxsbmbwm3ri.net", b"www.ct7ctrgb6cr7.com"));
        assert!(!is_server(b"www.example.net", b"www.example.com"));
    }
}
