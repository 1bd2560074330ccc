//! Does a host name in punycode look like another one? (RFC 3492; Unicode Technical Standard 39, 4 and 5.)
//!
//! Told are labels that mix Latin letters with Cyrillic or Greek ones, and labels all of whose letters are Cyrillic or
//! Greek ones that look Latin. Other scripts, and names that mix none, are what internationalised names are for.

/// Symbols of a label that are looked at: a label has 63 bytes.
const SYMBOLS_MAX: usize = 63;

/// What is wrong with the name, if anything.
pub(super) fn look(host: &[u8]) -> Option<&'static str> {
    host.split(|byte| *byte == b'.').find_map(|label| of_label(label.strip_prefix(b"xn--")?))
}

fn of_label(encoded: &[u8]) -> Option<&'static str> {
    let mut symbols = [0_u32; SYMBOLS_MAX];
    let len = decode(encoded, &mut symbols)?;
    let symbols = symbols.get(..len)?;
    let has = |range: std::ops::RangeInclusive<u32>| symbols.iter().any(|symbol| range.contains(symbol));
    let is_latin = |symbol: u32| matches!(symbol, 0x61..=0x7a | 0xc0..=0x24f);
    let has_latin = symbols.iter().any(|symbol| is_latin(*symbol));
    // Greek and Coptic, and Cyrillic with its supplement.
    let has_foreign = has(0x370..=0x3ff) || has(0x400..=0x52f);
    if has_latin && has_foreign {
        return Some("mixed scripts");
    }
    let mut letters = symbols.iter().filter(|symbol| !matches!(**symbol, 0x2d | 0x30..=0x39)).peekable();
    let looks_latin = letters.peek().is_some() && letters.all(|symbol| LOOKS_LATIN.contains(symbol));
    looks_latin.then_some("looks Latin")
}

/// а е о р с у х і ј ѕ ԁ һ ӏ ԛ ԝ of Cyrillic, ο ν ι α of Greek.
const LOOKS_LATIN: [u32; 19] = [
    0x430, 0x435, 0x43e, 0x440, 0x441, 0x443, 0x445, 0x456, 0x458, 0x455, 0x501, 0x4bb, 0x4cf, 0x51b, 0x51d,
    0x3bf, 0x3bd, 0x3b9, 0x3b1,
];

/// RFC 3492 6.2: the symbols of a label without its prefix. `None` for what is no punycode, or longer than labels are.
fn decode(encoded: &[u8], symbols: &mut [u32; SYMBOLS_MAX]) -> Option<usize> {
    let (basic, deltas) = match encoded.iter().rposition(|byte| *byte == b'-') {
        Some(dash) => (encoded.get(..dash)?, encoded.get(dash + 1..)?),
        None => (&[][..], encoded),
    };
    let mut len = 0;
    for byte in basic {
        *symbols.get_mut(len)? = u32::from(byte.to_ascii_lowercase());
        len += 1;
    }
    let (mut symbol, mut at, mut bias) = (128_u32, 0_u32, 72_u32);
    let mut digits = deltas.iter();
    while !digits.as_slice().is_empty() {
        let before = at;
        let (mut weight, mut place) = (1_u32, 36_u32);
        loop {
            let digit = match digits.next()? {
                letter @ b'a'..=b'z' => letter - b'a',
                letter @ b'A'..=b'Z' => letter - b'A',
                number @ b'0'..=b'9' => number - b'0' + 26,
                _ => return None,
            };
            let digit = u32::from(digit);
            at = at.checked_add(digit.checked_mul(weight)?)?;
            let threshold = place.saturating_sub(bias).clamp(1, 26);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(36 - threshold)?;
            place += 36;
        }
        let count = len as u32 + 1;
        bias = adapted(at - before, count, before == 0);
        symbol = symbol.checked_add(at / count)?;
        at %= count;
        if len >= SYMBOLS_MAX {
            return None;
        }
        symbols.get_mut(at as usize..=len)?.rotate_right(1);
        *symbols.get_mut(at as usize)? = symbol;
        len += 1;
        at += 1;
    }
    Some(len)
}

/// RFC 3492 6.1.
const fn adapted(delta: u32, count: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / 700 } else { delta / 2 };
    delta += delta / count;
    let mut bias = 0;
    while delta > 455 {
        delta /= 35;
        bias += 36;
    }
    bias + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punycode_is_decoded() {
        for (encoded, text) in [("mnchen-3ya", "münchen"), ("e1afmkfd", "пример"), ("fiqs8s", "中国")]
        {
            let mut symbols = [0; SYMBOLS_MAX];
            let len = decode(encoded.as_bytes(), &mut symbols).unwrap_or(0);
            let decoded: String =
                symbols[..len].iter().filter_map(|symbol| char::from_u32(*symbol)).collect();
            assert_eq!(decoded, text);
        }
        for broken in ["", "-", "a-", "99999999999999", "\u{7f}", "a-zzzzzzzzzzzzzzzzzzzzzzzz"] {
            let _any = decode(broken.as_bytes(), &mut [0; SYMBOLS_MAX]);
        }
    }

    #[test]
    fn names_that_look_like_others_are_told_from_names_that_are_foreign() {
        // "аррӏе" in Cyrillic, and "pаypal" with one Cyrillic letter.
        assert_eq!(look(b"xn--80ak6aa92e.com"), Some("looks Latin"));
        assert_eq!(look(b"www.xn--pypal-4ve.com"), Some("mixed scripts"));
        for name in ["xn--mnchen-3ya.de", "xn--e1afmkfd.xn--p1ai", "xn--fiqs8s", "www.example.org", "xn--"] {
            assert_eq!(look(name.as_bytes()), None, "{name}");
        }
    }
}
