//! What do the compressed header blocks of HTTP/2 say? HPACK (RFC 7541), decoded into a bounded table.

use std::collections::VecDeque;

use crate::dpi::Kept;

/// Bytes of the dynamic table that are kept, by the count of RFC 7541 4.1; a peer that announces more loses names.
const TABLE_BYTES_MAX: usize = 4_096;
/// Longest name or value that is decoded; the rest is cut off.
const TEXT_BYTES_MAX: usize = 2_048;

/// One direction's decoder.
#[derive(Debug, Default)]
pub struct Decoder {
    table: VecDeque<Entry>,
    bytes: usize,
    limit: Option<usize>,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A field of the dynamic table: its name, and behind that its value.
#[derive(Debug)]
struct Entry {
    bytes: Kept,
    name_len: usize,
}

/// Why a block cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It is no HPACK, or refers to what is not in the table.
    Malformed,
    /// A number in it has no end.
    Overflow,
}

/// What a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A field: name and value.
    Field(&'a [u8], &'a [u8]),
    /// The table has a new size.
    Size(usize),
}

impl Decoder {
    /// Reads a whole block; `each` is called with what it says.
    ///
    /// # Errors
    ///
    /// [`Broken`] where it cannot be read: what follows on this connection can neither.
    pub fn block(&mut self, mut block: &[u8], mut each: impl FnMut(Item<'_>)) -> Result<(), Broken> {
        while let Some(first) = block.first().copied() {
            // RFC 7541 6.1: an indexed field.
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let mut found = false;
                self.entry(index, |name, value| {
                    each(Item::Field(name, value));
                    found = true;
                });
                if !found {
                    return Err(Broken::Malformed);
                }
                continue;
            }
            // 6.3: a new size of the table.
            if first & 0xe0 == 0x20 {
                let size = integer(&mut block, 5)?;
                each(Item::Size(size));
                self.limit = Some(size.min(TABLE_BYTES_MAX));
                self.shrink(0);
                continue;
            }
            // 6.2: a literal, kept (01) or not (0000, 0001).
            let keeps = first & 0x40 != 0;
            let index = integer(&mut block, if keeps { 6 } else { 4 })?;
            let mut name = std::mem::take(&mut self.name);
            let mut value = std::mem::take(&mut self.value);
            name.clear();
            value.clear();
            if index == 0 {
                text(&mut block, &mut name)?;
            } else {
                self.entry(index, |known, _| name.extend_from_slice(known));
                if name.is_empty() {
                    return Err(Broken::Malformed);
                }
            }
            text(&mut block, &mut value)?;
            each(Item::Field(&name, &value));
            if keeps {
                self.keep(&name, &value);
            }
            self.name = name;
            self.value = value;
        }
        Ok(())
    }

    fn entry(&self, index: usize, mut found: impl FnMut(&[u8], &[u8])) {
        if let Some((name, value)) = index.checked_sub(1).and_then(|at| STATIC.get(at)) {
            found(name.as_bytes(), value.as_bytes());
        } else if let Some(entry) = index.checked_sub(STATIC.len() + 1).and_then(|at| self.table.get(at)) {
            let (name, value) = entry.bytes.split_at(entry.name_len.min(entry.bytes.len()));
            found(name, value);
        }
    }

    fn keep(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + 32;
        self.shrink(size);
        if size <= self.limit.unwrap_or(TABLE_BYTES_MAX) {
            let mut bytes = Kept::of(name);
            // Without room the field is kept, cut short, so that indices stay right.
            bytes.extend(value);
            self.bytes += bytes.len() + 32;
            self.table.push_front(Entry { bytes, name_len: name.len() });
        }
    }

    fn shrink(&mut self, room: usize) {
        let limit = self.limit.unwrap_or(TABLE_BYTES_MAX);
        while self.bytes + room > limit
            && let Some(entry) = self.table.pop_back()
        {
            self.bytes = self.bytes.saturating_sub(entry.bytes.len() + 32);
        }
    }
}

/// RFC 7541 5.1: a number with a prefix of `bits`.
fn integer(block: &mut &[u8], bits: u32) -> Result<usize, Broken> {
    let (first, rest) = block.split_first().ok_or(Broken::Malformed)?;
    *block = rest;
    let mask = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & mask;
    if number < mask {
        return Ok(number);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = block.split_first().ok_or(Broken::Malformed)?;
        *block = rest;
        number += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Broken::Overflow)
}

/// RFC 7541 5.2: a text, plain or Huffman coded.
fn text(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let is_coded = block.first().is_some_and(|byte| byte & 0x80 != 0);
    let len = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(len).ok_or(Broken::Malformed)?;
    *block = rest;
    if is_coded {
        return huffman(bytes, out);
    }
    out.extend_from_slice(bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes));
    Ok(())
}

fn huffman(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let (mut code, mut len) = (0_u32, 0_usize);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            len += 1;
            let Some(level) = CODE.levels.get(len) else { return Err(Broken::Malformed) };
            if let Some(offset) = code.checked_sub(level.first)
                && offset < level.count
            {
                let symbol = CODE.symbols.get((level.index + offset) as usize).ok_or(Broken::Malformed)?;
                // The last symbol is the end of text, which is never sent.
                let symbol = u8::try_from(*symbol).map_err(|_| Broken::Malformed)?;
                if out.len() < TEXT_BYTES_MAX {
                    out.push(symbol);
                }
                (code, len) = (0, 0);
            }
        }
    }
    // What is left is padding: less than a byte of ones.
    if len < 8 && code == (1 << len) - 1 { Ok(()) } else { Err(Broken::Malformed) }
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Level {
    first: u32,
    count: u32,
    index: u32,
}

struct Code {
    levels: [Level; 31],
    symbols: [u16; 257],
}

/// The code is canonical: lengths tell it all.
static CODE: Code = canonical();

const fn canonical() -> Code {
    let mut code = Code { levels: [Level { first: 0, count: 0, index: 0 }; 31], symbols: [0; 257] };
    let (mut len, mut next, mut index) = (1, 0, 0);
    while len <= 30 {
        next <<= 1;
        code.levels[len].first = next;
        code.levels[len].index = index;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == len {
                code.symbols[index as usize] = symbol as u16;
                index += 1;
                next += 1;
                code.levels[len].count += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    code
}

/// Bits of each symbol's code (RFC 7541 B); the last one ends texts.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// RFC 7541 A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        let each = |item: Item<'_>| {
            if let Item::Field(name, value) = item {
                all.push(format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
            }
        };
        decoder.block(block, each).unwrap();
        all
    }

    /// RFC 7541 C.4.1 and C.4.2.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut decoder = Decoder::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let common = [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"];
        assert_eq!(read(&mut decoder, first), common);
        let second = read(&mut decoder, b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf");
        assert_eq!(second[..4], common);
        assert_eq!(second[4], "cache-control=no-cache");
    }

    #[test]
    fn whatever_is_broken_is_refused() {
        for block in [&b"\x40\x85\xff"[..], b"\xfe", b"\x00\x81\x00\x00"] {
            assert_eq!(Decoder::default().block(block, |_| ()), Err(Broken::Malformed), "{block:?}");
        }
        let endless = b"\xff\xff\xff\xff\xff\xff";
        assert_eq!(Decoder::default().block(endless, |_| ()), Err(Broken::Overflow));
    }
}
