//! What do tests see of a buffer that a rule transforms first?

use std::io::Read;

use md5::Digest as _;
use pcre2::bytes::Regex;

use super::base64::{decoded, is_letter};
use super::matcher::{Unmatchable, bounded};
use super::rule::{Amount, Base64Mode, Transform, XorKey};

/// Transforms, in the order in which they are done.
#[derive(Debug)]
pub struct Chain {
    links: Vec<Link>,
}

#[derive(Debug)]
enum Link {
    Plain(Transform),
    Expression(Regex),
}

impl Chain {
    /// Those of a part.
    ///
    /// # Errors
    ///
    /// [`Unmatchable`].
    pub fn new(transforms: &[Transform]) -> Result<Self, Unmatchable> {
        let links = transforms.iter().map(|transform| {
            Ok(match transform {
                Transform::PcreXform(pattern) => {
                    let regex = bounded(pattern, |builder| builder)?;
                    if regex.captures_len() < 2 {
                        let said = "pcrexform needs a group, which is what tests see";
                        return Err(Unmatchable::Expression(said.to_owned()));
                    }
                    Link::Expression(regex)
                }
                Transform::Domain => return Err(Unmatchable::Unsupported("the transform domain")),
                Transform::Tld => return Err(Unmatchable::Unsupported("the transform tld")),
                Transform::FromBase64 { bytes: Some(Amount::Variable(_)), .. }
                | Transform::FromBase64 { offset: Amount::Variable(_), .. } => {
                    return Err(Unmatchable::Unsupported("a variable in from_base64"));
                }
                other => Link::Plain(other.clone()),
            })
        });
        Ok(Self { links: links.collect::<Result<_, _>>()? })
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// What tests see of `bytes`, in `out`, whose former content is lost. Never longer than [`OUTPUT_BYTES_MAX`].
    pub fn apply(&self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_BYTES_MAX)]);
        for link in &self.links {
            match link {
                Link::Plain(transform) => plain(transform, out),
                Link::Expression(regex) => {
                    // Where it does not match, nothing changes.
                    let found = regex.captures(out).ok().flatten();
                    let group = found.and_then(|found| found.get(1).map(|group| group.start()..group.end()));
                    if let Some(group) = group {
                        out.truncate(group.end);
                        out.drain(..group.start);
                    }
                }
            }
        }
    }
}

/// Bytes that are transformed of one buffer.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;

fn xor(offset: u16, key: &XorKey, out: &mut [u8]) {
    let mut taken = [0; u8::MAX as usize];
    let key = match key {
        XorKey::Given(key) => &**key,
        XorKey::Within { offset, len } => {
            let from = usize::from(*offset);
            let Some(within) = out.get(from..from + usize::from(*len)) else { return };
            let taken = &mut taken[..within.len()];
            taken.copy_from_slice(within);
            taken
        }
    };
    let begun = out.iter_mut().skip(offset.into());
    begun.zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

fn plain(transform: &Transform, out: &mut Vec<u8>) {
    match transform {
        Transform::ToLowercase => out.make_ascii_lowercase(),
        Transform::ToUppercase => out.make_ascii_uppercase(),
        Transform::StripWhitespace => out.retain(|byte| !is_space(*byte)),
        Transform::CompressWhitespace => {
            let mut was_space = false;
            out.retain(|byte| {
                let goes = was_space && is_space(*byte);
                was_space = is_space(*byte);
                !goes
            });
        }
        Transform::StripPseudoHeaders => {
            let kept: Vec<u8> =
                lines(out).filter(|line| !line.starts_with(b":")).flatten().copied().collect();
            *out = kept;
        }
        Transform::HeaderLowercase => {
            let mut is_name = true;
            for byte in out {
                match byte {
                    b'\n' => is_name = true,
                    b':' => is_name = false,
                    _ if is_name => byte.make_ascii_lowercase(),
                    _ => {}
                }
            }
        }
        Transform::DotPrefix => out.insert(0, b'.'),
        Transform::UrlDecode => url_decode(out),
        Transform::ToMd5 => *out = md5::Md5::digest(&*out).to_vec(),
        Transform::ToSha1 => *out = sha1::Sha1::digest(&*out).to_vec(),
        Transform::ToSha256 => *out = sha2::Sha256::digest(&*out).to_vec(),
        Transform::Xor { offset, key } => xor(*offset, key, out),
        Transform::FromBase64 { bytes, offset, mode } => {
            let number = |amount: &Amount| match amount {
                Amount::Number(number) => usize::try_from(*number).unwrap_or(0),
                Amount::Variable(_) => 0,
            };
            if let Some(decoded) = from_base64(out, bytes.as_ref().map(number), number(offset), *mode) {
                *out = decoded;
            }
        }
        Transform::Gunzip { bytes_max } => inflate(out, *bytes_max, flate2::read::MultiGzDecoder::new),
        Transform::ZlibDeflate { bytes_max } => inflate(out, *bytes_max, flate2::read::ZlibDecoder::new),
        Transform::Subslice { offset, len, truncate } => subslice(out, *offset, *len, *truncate),
        Transform::PcreXform(_) | Transform::Domain | Transform::Tld => {}
    }
}

/// White space as C's `isspace` has it.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Lines with what ends them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// `%41` is `A` and `+` is a space; a `%` without two digits stays.
fn url_decode(out: &mut Vec<u8>) {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut read, mut write) = (0, 0);
    while read < out.len() {
        let byte = match out[read] {
            b'+' => b' ',
            b'%' => match (digit(out.get(read + 1)), digit(out.get(read + 2))) {
                (Some(high), Some(low)) => {
                    read += 2;
                    (high << 4 | low) as u8
                }
                _ => b'%',
            },
            other => other,
        };
        out[write] = byte;
        (read, write) = (read + 1, write + 1);
    }
    out.truncate(write);
}

/// `None`: nothing of it is Base64, and the buffer stays.
fn from_base64(bytes: &[u8], most: Option<usize>, offset: usize, mode: Base64Mode) -> Option<Vec<u8>> {
    let bytes = bytes.get(offset..)?;
    let bytes = &bytes[..most.filter(|most| *most > 0).map_or(bytes.len(), |most| most.min(bytes.len()))];
    let letters: Vec<u8> = match mode {
        Base64Mode::Rfc2045 => bytes.iter().copied().filter(|byte| is_letter(*byte)).collect(),
        Base64Mode::Rfc4648 => bytes.iter().copied().take_while(|byte| is_letter(*byte)).collect(),
        Base64Mode::Strict => {
            let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
            let is_right = bytes.len() % 4 == 0
                && bytes.len() - end <= 2
                && bytes[end..].iter().all(|byte| *byte == b'=');
            if !is_right || !bytes[..end].iter().all(|byte| is_letter(*byte)) {
                return None;
            }
            bytes[..end].to_vec()
        }
    };
    decoded(&letters)
}

/// Unpacks at most so many bytes; what is packed wrongly stays as far as nothing of it could be unpacked.
fn inflate<D: Read>(out: &mut Vec<u8>, bytes_max: u32, decoder: impl FnOnce(std::io::Cursor<Vec<u8>>) -> D) {
    let packed = std::mem::take(out);
    let mut unpacked = Vec::new();
    // What was unpacked before a fault counts.
    let _ = decoder(std::io::Cursor::new(packed.clone())).take(bytes_max.into()).read_to_end(&mut unpacked);
    *out = if unpacked.is_empty() { packed } else { unpacked };
}

/// Negative numbers count from the end.
fn subslice(out: &mut Vec<u8>, offset: i64, len: Option<i64>, truncate: bool) {
    let size = out.len() as i64;
    let start = if offset < 0 { size + offset } else { offset };
    let end = match len {
        None => size,
        Some(len) if len < 0 => size + len,
        Some(len) => start + len,
    };
    if start < 0 || start > size || end < start || (end > size && !truncate) {
        // Where it does not lie in the buffer, nothing changes.
        return;
    }
    out.truncate(end.min(size) as usize);
    out.drain(..start as usize);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use std::io::Write;

    fn done(transforms: &[Transform], bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Chain::new(transforms).unwrap().apply(bytes, &mut out);
        out
    }

    fn base64(offset: i64, mode: Base64Mode) -> Transform {
        Transform::FromBase64 { bytes: None, offset: Amount::Number(offset), mode }
    }

    #[test]
    fn bytes_become_what_the_names_say() {
        use Transform::*;
        for (transform, before, after) in [
            (ToLowercase, "aBC", "abc"),
            (ToUppercase, "aBC", "ABC"),
            (StripWhitespace, " a\tb\r\nc ", "abc"),
            (CompressWhitespace, "a  b\t\tc  ", "a b\tc "),
            (StripPseudoHeaders, ":a: b\r\nc: d\r\n", "c: d\r\n"),
            (HeaderLowercase, "HoSt: A.B\r\nX-y: Z", "host: A.B\r\nx-y: Z"),
            (DotPrefix, "a.b", ".a.b"),
            (UrlDecode, "a%41+%zz%4", "aA %zz%4"),
            (Xor { offset: 0, key: XorKey::Given(Box::new([1, 2])) }, "abc", "``b"),
            (Xor { offset: 1, key: XorKey::Given(Box::new([1, 2])) }, "aabc", "a``b"),
            (Xor { offset: 2, key: XorKey::Within { offset: 0, len: 2 } }, "  AbC", "  aBc"),
            (Xor { offset: 2, key: XorKey::Within { offset: 4, len: 2 } }, "  AbC", "  AbC"),
            (PcreXform("a(.*)c".into()), "xabbcx", "bb"),
            (PcreXform("a(.*)c".into()), "none", "none"),
            (base64(1, Base64Mode::Rfc4648), "-aGVsbG8=", "hello"),
            (base64(0, Base64Mode::Rfc2045), "aG-Vs\nbG8", "hello"),
            (base64(0, Base64Mode::Rfc4648), "aGVs-bG8", "hel"),
            (base64(0, Base64Mode::Strict), "aGVsbG8=", "hello"),
            (base64(0, Base64Mode::Strict), "aGVsbG8", "aGVsbG8"),
            (Subslice { offset: 1, len: Some(2), truncate: false }, "abcd", "bc"),
            (Subslice { offset: -2, len: None, truncate: false }, "abcd", "cd"),
            (Subslice { offset: 1, len: Some(9), truncate: false }, "abcd", "abcd"),
            (Subslice { offset: 1, len: Some(9), truncate: true }, "abcd", "bcd"),
        ] {
            let became = done(std::slice::from_ref(&transform), before.as_bytes());
            assert_eq!(String::from_utf8_lossy(&became), after, "{transform:?} of {before}");
        }
        assert_eq!(done(&[ToMd5], b"")[..4], [0xd4, 0x1d, 0x8c, 0xd9]);
        assert_eq!(done(&[ToSha1], b"")[..4], [0xda, 0x39, 0xa3, 0xee]);
        assert_eq!(done(&[ToSha256], b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(done(&[StripWhitespace, ToUppercase, DotPrefix], b" a b"), b".AB");
    }

    #[test]
    fn packed_bytes_are_unpacked_within_their_bound() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&vec![b'x'; 100_000]).unwrap();
        gzip.write_all(&vec![b'x'; 100_000]).unwrap();
        let (zlib, gzip) = (zlib.finish().unwrap(), gzip.finish().unwrap());
        assert_eq!(done(&[Transform::ZlibDeflate { bytes_max: 8 }], &zlib), [b'x'; 8]);
        assert_eq!(done(&[Transform::Gunzip { bytes_max: 1_024 }], &gzip), [b'x'; 1_024]);
        assert_eq!(done(&[Transform::Gunzip { bytes_max: 8 }], b"no gzip"), b"no gzip");
        assert!(!done(&[Transform::Gunzip { bytes_max: 8 }], &gzip[..gzip.len() / 2]).is_empty());
    }

    #[test]
    fn what_cannot_be_done_is_told_before() {
        assert!(Chain::new(&[Transform::PcreXform("(a".into())]).is_err());
        assert!(Chain::new(&[Transform::PcreXform("a".into())]).is_err());
        assert!(Chain::new(&[Transform::Domain]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, offset in -70_000_i64..70_000, len in -70_000_i64..70_000, truncate: bool) {
            use Transform::*;
            let all = [
                ToLowercase, CompressWhitespace, StripWhitespace, StripPseudoHeaders, HeaderLowercase, UrlDecode,
                base64(offset.max(0), Base64Mode::Rfc2045), base64(offset.max(0), Base64Mode::Strict),
                Gunzip { bytes_max: 100 }, ZlibDeflate { bytes_max: 100 },
                Xor { offset: offset as u16, key: XorKey::Within { offset: len as u16, len: offset as u8 } },
                Subslice { offset, len: Some(len), truncate }, PcreXform("(.+)x".into()),
            ];
            for transform in &all {
                done(std::slice::from_ref(transform), &bytes);
            }
            done(&all, &bytes);
        }
    }
}
