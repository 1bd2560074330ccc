//! What do the lines of a part hold, once its transfer coding is undone? (RFC 2045 6)
//!
//! Lines come whole or in pieces, and nothing of them is kept but what a piece cut through. The end of a line counts when
//! another line follows: that before a boundary is the boundary's own (RFC 2046 5.1.1).

/// The transfer coding of a part.
#[derive(Debug, Default)]
pub(super) enum Coding {
    /// None: lines are what they are.
    #[default]
    Plain,
    /// A group of four characters that is not complete yet.
    Base64 { group: [u8; 4], len: usize },
    /// An escape that was cut.
    QuotedPrintable { held: [u8; 2], len: usize },
}

/// A part whose coding is undone.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    coding: Coding,
    /// The end of the last line.
    ending: &'static [u8],
}

impl Decoder {
    /// Of the value of `Content-Transfer-Encoding`.
    pub(super) fn of(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        let coding = match () {
            () if value.eq_ignore_ascii_case(b"base64") => Coding::Base64 { group: [0; 4], len: 0 },
            () if value.eq_ignore_ascii_case(b"quoted-printable") => {
                Coding::QuotedPrintable { held: [0; 2], len: 0 }
            }
            () => Coding::Plain,
        };
        Self { coding, ending: b"" }
    }

    /// Whether lines have a coding, whose lines are short (RFC 2045 6.7 and 6.8).
    pub(super) const fn is_coded(&self) -> bool {
        !matches!(self.coding, Coding::Plain)
    }

    /// A line or a piece of one, which has no `ending`. `Err`: it is not what the coding allows; what is readable was told.
    pub(super) fn line(
        &mut self,
        bytes: &[u8],
        ending: &'static [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        match &mut self.coding {
            Coding::Plain => {
                out.extend_from_slice(std::mem::replace(&mut self.ending, ending));
                out.extend_from_slice(bytes);
                Ok(())
            }
            Coding::Base64 { group, len } => base64(bytes, (group, len), out),
            Coding::QuotedPrintable { held, len } => {
                out.extend_from_slice(std::mem::take(&mut self.ending));
                let is_soft = quoted_printable(bytes, ending, (held, len), out)?;
                self.ending = if is_soft { b"" } else { ending };
                Ok(())
            }
        }
    }

    /// The part is over.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match std::mem::take(&mut self.coding) {
            Coding::Base64 { group, len } if len > 0 => {
                decode_group(&group, len, out);
                Err("mime_invalid_base64")
            }
            Coding::QuotedPrintable { held, len } => {
                out.extend_from_slice(held.get(..len).unwrap_or_default());
                Ok(())
            }
            Coding::Plain | Coding::Base64 { .. } => Ok(()),
        }
    }
}

/// Groups go on behind padding: what was put together of several encodings is read as all of them.
fn base64(
    bytes: &[u8],
    (group, len): (&mut [u8; 4], &mut usize),
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut told = Ok(());
    for byte in bytes {
        let value = match VALUES[usize::from(*byte)] {
            NONE if byte.is_ascii_whitespace() => continue,
            NONE => {
                // RFC 2045 6.8: what is not of the alphabet is passed over.
                told = Err("mime_invalid_base64");
                continue;
            }
            PAD if *len < 2 => {
                told = Err("mime_invalid_base64");
                continue;
            }
            value => value,
        };
        if let Some(place) = group.get_mut(*len) {
            *place = value;
        }
        *len += 1;
        if *len >= 4 {
            decode_group(group, 4, out);
            *len = 0;
        }
    }
    told
}

fn decode_group(group: &[u8; 4], len: usize, out: &mut Vec<u8>) {
    let known = group.iter().take(len).take_while(|value| **value < 64).count();
    let bits = group.iter().take(known).fold(0_u32, |bits, value| bits << 6 | u32::from(*value));
    let bits = (bits << (6 * (4 - known))).to_be_bytes();
    let bytes = known.saturating_sub(1);
    out.extend_from_slice(bits.get(1..1 + bytes).unwrap_or_default());
}

const NONE: u8 = 0xff;
const PAD: u8 = 0x40;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    let mut place = 0;
    while place < alphabet.len() {
        values[alphabet[place] as usize] = place as u8;
        place += 1;
    }
    values
};

/// Whether the end of the line is soft.
fn quoted_printable(
    bytes: &[u8],
    ending: &[u8],
    (held, len): (&mut [u8; 2], &mut usize),
    out: &mut Vec<u8>,
) -> Result<bool, &'static str> {
    let has_end = !ending.is_empty();
    // RFC 2045 6.7 (3): blanks at the end of a line were added on the way.
    let bytes = if has_end { bytes.trim_ascii_end() } else { bytes };
    let mut escape = [0; 2];
    let mut known = std::mem::take(len);
    escape[..known].copy_from_slice(&held[..known]);
    let mut told = Ok(false);
    for byte in bytes {
        match (known, *byte) {
            (0, b'=') => (escape[0], known) = (b'=', 1),
            (0, byte) => out.push(byte),
            (1, byte) if byte.is_ascii_hexdigit() => (escape[1], known) = (byte, 2),
            (2, byte) if byte.is_ascii_hexdigit() => {
                out.push(hex(escape[1]) << 4 | hex(byte));
                known = 0;
            }
            (_, byte) => {
                // RFC 2045 6.7: such an escape is best told as it is.
                told = Err("mime_invalid_qp");
                out.extend_from_slice(&escape[..known]);
                known = 0;
                if byte == b'=' {
                    (escape[0], known) = (b'=', 1);
                } else {
                    out.push(byte);
                }
            }
        }
    }
    if has_end {
        return match known {
            1 => told.map(|_| true),
            2 => {
                out.extend_from_slice(&escape);
                Err("mime_invalid_qp")
            }
            _ => told,
        };
    }
    (*held, *len) = (escape, known);
    told
}

/// A hexadecimal digit's value.
pub(super) const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coding: &str, lines: &[&str]) -> (Vec<u8>, bool) {
        let mut decoder = Decoder::of(coding.as_bytes());
        let (mut out, mut is_fine) = (Vec::new(), true);
        for line in lines {
            is_fine &= decoder.line(line.as_bytes(), b"\r\n", &mut out).is_ok();
        }
        is_fine &= decoder.end(&mut out).is_ok();
        (out, is_fine)
    }

    #[test]
    fn base64_goes_on_across_lines_and_behind_padding() {
        for (lines, expected, is_fine) in [
            (&["aGVs", "bG8="][..], &b"hello"[..], true),
            (&["NA=", "=Mg", "=="], b"42", true),
            (&["aGV", "sbG8", "="], b"hello", true),
            (&["aGVsbG8"], b"hello", false),
            (&["aG*Vs"], b"hel", false),
            (&["=", "=", "===="], b"", false),
            (&[], b"", true),
        ] {
            assert_eq!(decoded("BASE64", lines), (expected.to_vec(), is_fine), "{lines:?}");
        }
    }

    #[test]
    fn quoted_printable_has_soft_ends_and_escapes() {
        for (lines, expected, is_fine) in [
            (&["a=3Db =", "c"][..], &b"a=b c"[..], true),
            (&["one", "two "], b"one\r\ntwo", true),
            (&["a=zz"], b"a=zz", false),
            (&["a=4"], b"a=4", false),
            (&["=E4=f6"], b"\xe4\xf6", true),
        ] {
            assert_eq!(decoded("quoted-printable", lines), (expected.to_vec(), is_fine), "{lines:?}");
        }
    }

    #[test]
    fn pieces_of_a_line_are_the_line() {
        for (coding, text) in
            [("base64", "aGVsbG8gd29ybGQ="), ("quoted-printable", "a=3Db=E4 c"), ("8bit", "plain  text ")]
        {
            let whole = decoded(coding, &[text]).0;
            for cut in 0..text.len() {
                let mut decoder = Decoder::of(coding.as_bytes());
                let mut out = Vec::new();
                let (one, two) = text.split_at(cut);
                assert_eq!(decoder.line(one.as_bytes(), b"", &mut out), Ok(()));
                assert_eq!(decoder.line(two.as_bytes(), b"\r\n", &mut out), Ok(()));
                assert_eq!(decoder.end(&mut out), Ok(()));
                assert_eq!(out, whole, "{coding} cut at {cut}");
            }
        }
    }
}
