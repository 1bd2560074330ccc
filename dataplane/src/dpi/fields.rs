//! How does a transaction leave the worker without a tree of allocations? As a flat list of named values in one buffer.
//!
//! ```text
//! value:  kind (1) | length of key (1) | key | payload
//! payload: Text and Bytes: length (4, little-endian) | bytes;  Unsigned, Signed: 8 bytes little-endian;
//!          Bool: 1 byte;  Open: none, values follow until Close
//! ```
//!
//! Inside a list keys are empty. Text need not be UTF-8: whoever prints it replaces what is not.

use super::kept::Kept;

/// Longest text or byte string that is kept; the rest is cut off.
pub const VALUE_BYTES_MAX: usize = 8_192;

/// A record never grows beyond this; values that do not fit are left out, and [`Fields::is_cut`] says so.
pub const RECORD_BYTES_MAX: usize = 49_152;

/// Bytes of a closing mark.
const CLOSE_BYTES: usize = 2;

/// Nesting that is kept.
const DEPTH_MAX: u8 = 12;

/// Named values in the order in which they were written.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    bytes: Kept,
    depth: u8,
    /// Levels opened beyond what is kept.
    ignored: u8,
    cut: bool,
}

/// One value, read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value<'a> {
    Text(&'a [u8]),
    /// Printed as hexadecimal digits.
    Bytes(&'a [u8]),
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    /// Values up to the matching `Close` are this object's.
    OpenObject,
    /// Values up to the matching `Close` are this list's.
    OpenList,
    Close,
}

const TEXT: u8 = 1;
const BYTES: u8 = 2;
const UNSIGNED: u8 = 3;
const SIGNED: u8 = 4;
const BOOL: u8 = 5;
const OBJECT: u8 = 6;
const LIST: u8 = 7;
const CLOSE: u8 = 8;

impl Fields {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Kept::new(), depth: 0, ignored: 0, cut: false }
    }

    /// Nothing yet, with room for the largest record.
    #[must_use]
    pub fn roomy() -> Self {
        let mut fields = Self::new();
        fields.bytes.reserve(RECORD_BYTES_MAX);
        fields
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.depth = 0;
        self.ignored = 0;
        self.cut = false;
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether something did not fit.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// The values, encoded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A text; what is no UTF-8 in it is replaced when it is printed.
    pub fn text(&mut self, key: &str, text: impl AsRef<[u8]>) {
        self.long(TEXT, key, text.as_ref());
    }

    /// The same where there is one.
    pub fn text_if(&mut self, key: &str, text: Option<impl AsRef<[u8]>>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// Bytes, printed as lower-case hexadecimal digits.
    pub fn hex(&mut self, key: &str, bytes: &[u8]) {
        self.long(BYTES, key, bytes);
    }

    /// A number.
    pub fn number(&mut self, key: &str, number: impl Into<u64>) {
        self.short(UNSIGNED, key, &number.into().to_le_bytes());
    }

    /// A number that may be negative.
    pub fn signed(&mut self, key: &str, number: impl Into<i64>) {
        self.short(SIGNED, key, &number.into().to_le_bytes());
    }

    /// True or false.
    pub fn bool(&mut self, key: &str, truth: bool) {
        self.short(BOOL, key, &[u8::from(truth)]);
    }

    /// An object whose values `write` writes.
    pub fn object(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.nested(OBJECT, key, write);
    }

    /// A list whose values `write` writes, with empty keys.
    pub fn list(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.nested(LIST, key, write);
    }

    /// Appends all values of `other`.
    pub fn append(&mut self, other: &Self) {
        if self.fits(other.bytes.len()) {
            self.bytes.extend(&other.bytes);
        }
    }

    /// The values, in order.
    #[must_use]
    pub fn iter(&self) -> Reader<'_> {
        Reader { bytes: &self.bytes }
    }

    fn nested(&mut self, kind: u8, key: &str, write: impl FnOnce(&mut Self)) {
        // Room for both marks, so that what is open is always closed.
        if self.ignored > 0 || self.depth >= DEPTH_MAX || !self.fits(2 + key.len() + CLOSE_BYTES) {
            self.cut = true;
            self.ignored = self.ignored.saturating_add(1);
            write(self);
            self.ignored -= 1;
            return;
        }
        self.put(kind, key, &[]);
        self.depth += 1;
        write(self);
        self.depth -= 1;
        self.bytes.extend(&[CLOSE, 0]);
    }

    fn short(&mut self, kind: u8, key: &str, payload: &[u8]) {
        if self.ignored == 0 && self.fits(2 + key.len() + payload.len()) {
            self.put(kind, key, payload);
        }
    }

    fn long(&mut self, kind: u8, key: &str, value: &[u8]) {
        let value = match value.get(..VALUE_BYTES_MAX) {
            Some(kept) => {
                self.cut |= value.len() > VALUE_BYTES_MAX;
                kept
            }
            None => value,
        };
        if self.ignored == 0 && self.fits(6 + key.len() + value.len()) {
            self.put(kind, key, &(value.len() as u32).to_le_bytes());
            self.bytes.extend(value);
        }
    }

    /// Whether there is room for `len` bytes and for what closes the open levels; from then on there is.
    fn fits(&mut self, len: usize) -> bool {
        let len = len + CLOSE_BYTES * usize::from(self.depth);
        let fits = self.bytes.len() + len <= RECORD_BYTES_MAX && self.bytes.reserve(len);
        self.cut |= !fits;
        fits
    }

    fn put(&mut self, kind: u8, key: &str, payload: &[u8]) {
        let key = &key.as_bytes()[..key.len().min(255)];
        for bytes in [&[kind, key.len() as u8], key, payload] {
            self.bytes.extend(bytes);
        }
    }
}

/// Reads values back; ends at the first that is not well formed.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over the encoded values of [`Fields::as_bytes`].
    #[must_use]
    pub const fn over(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let len: [u8; 4] = self.take(4)?.try_into().ok()?;
        self.take(u32::from_le_bytes(len) as usize)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.take(2)?;
        let (kind, len) = (head[0], usize::from(head[1]));
        let key = std::str::from_utf8(self.take(len)?).ok()?;
        let value = match kind {
            TEXT => Value::Text(self.long()?),
            BYTES => Value::Bytes(self.long()?),
            UNSIGNED => Value::Unsigned(u64::from_le_bytes(self.eight()?)),
            SIGNED => Value::Signed(i64::from_le_bytes(self.eight()?)),
            BOOL => Value::Bool(self.take(1)? != [0]),
            OBJECT => Value::OpenObject,
            LIST => Value::OpenList,
            CLOSE => Value::Close,
            _ => return None,
        };
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_written() {
        let mut fields = Fields::new();
        fields.text("sni", "a.example");
        fields.number("port", 443_u16);
        fields.list("alpn", |list| {
            list.text("", "h2");
            list.object("", |object| object.bool("x", true));
        });
        fields.signed("offset", -3_i32);
        fields.hex("id", &[1, 0xab]);
        let read: Vec<_> = fields.iter().collect();
        assert_eq!(
            read,
            [
                ("sni", Value::Text(b"a.example")),
                ("port", Value::Unsigned(443)),
                ("alpn", Value::OpenList),
                ("", Value::Text(b"h2")),
                ("", Value::OpenObject),
                ("x", Value::Bool(true)),
                ("", Value::Close),
                ("", Value::Close),
                ("offset", Value::Signed(-3)),
                ("id", Value::Bytes(&[1, 0xab])),
            ]
        );
        assert!(!fields.is_cut());
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_what_is_open_is_closed() {
        let mut fields = Fields::new();
        fields.list("l", |list| {
            for _ in 0..1_000 {
                list.object("", |object| object.text("t", [b'x'; 500]));
            }
        });
        assert!(fields.is_cut() && fields.as_bytes().len() <= RECORD_BYTES_MAX);
        let (mut open, mut closed) = (0, 0);
        for (_, value) in fields.iter() {
            match value {
                Value::OpenObject | Value::OpenList => open += 1,
                Value::Close => closed += 1,
                _ => {}
            }
        }
        assert_eq!(open, closed);
        let mut deep = Fields::new();
        fn nest(fields: &mut Fields, left: u32) {
            if left > 0 {
                fields.object("o", |inner| nest(inner, left - 1));
            }
        }
        nest(&mut deep, 100);
        deep.number("after", 1_u32);
        assert_eq!(deep.iter().last(), Some(("after", Value::Unsigned(1))));
        assert!(deep.is_cut());
    }
}
