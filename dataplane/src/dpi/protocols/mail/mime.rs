//! Which files and texts does a message carry? MIME (RFC 2045 to 2047, 2231), line by line.
//!
//! Parts may hold parts, and messages other messages. What is decoded is told at once and not kept; kept are one header and
//! the boundaries of the parts around, as many of them as [`DEPTH_MAX`] says.

mod coding;
mod parameter;

use coding::Decoder;
use parameter::is_repeated;
pub(in crate::dpi::protocols) use parameter::parameter;
pub(super) use parameter::words;

/// Parts within parts that are told apart; what is deeper is read as one.
const DEPTH_MAX: usize = 16;

/// Messages within messages whose headers are read.
const MESSAGES_MAX: u32 = 16;

/// Bytes of a boundary (RFC 2046 5.1.1 says 70).
const BOUNDARY_BYTES_MAX: usize = 254;

/// Bytes of a header's name that is none of an attacker's.
const NAME_BYTES_MAX: usize = 75;

/// Bytes of a header that are kept.
const HEADER_BYTES_MAX: usize = 2_000;

/// Bytes of a line (RFC 5322 2.1.1), and of one that has a coding (RFC 2045 6.7).
const LINE_BYTES_MAX: usize = 998;
const CODED_LINE_BYTES_MAX: usize = 76;

/// Bytes of the name of a file.
const FILE_NAME_BYTES_MAX: usize = 255;

/// What is found in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A header of the message itself, unfolded.
    Header(&'a [u8], &'a [u8]),
    /// The headers of the message itself are over.
    Body,
    /// A file begins, called so.
    FileBegins(&'a [u8]),
    /// Bytes of it.
    File(&'a [u8]),
    /// It is over.
    FileEnds,
    /// A decoded line of a text that is no file.
    Text(&'a [u8]),
    /// Something is wrong, told once a message.
    Wrong(&'static str),
}

/// Whom it is told.
type Tell<'a> = &'a mut dyn FnMut(Found<'_>);

/// Reads one message.
#[derive(Debug, Default)]
pub(super) struct Message {
    place: Place,
    /// Boundaries of the parts around, the outermost first.
    boundaries: Vec<Box<[u8]>>,
    messages: u32,
    is_inner: bool,
    header: Vec<u8>,
    part: Part,
    /// What a line is decoded to.
    decoded: Vec<u8>,
    /// Bytes of the line so far, where it comes in pieces.
    line_bytes: usize,
    is_in_line: bool,
    told: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Headers,
    /// Around parts, or in a part that is neither file nor text.
    Between,
    File,
    Text,
}

/// What the headers of a part say.
#[derive(Debug, Default)]
struct Part {
    decoder: Decoder,
    boundary: Option<Box<[u8]>>,
    file_name: Option<Vec<u8>>,
    is_message: bool,
    /// Neither text nor said to be anything.
    is_other: bool,
}

impl Message {
    /// A line without its end, or where `ending` is empty a piece of one.
    pub(super) fn line(&mut self, bytes: &[u8], ending: &'static [u8], tell: Tell<'_>) {
        let is_begun = std::mem::replace(&mut self.is_in_line, ending.is_empty());
        self.line_bytes = if is_begun { self.line_bytes } else { 0 };
        self.line_bytes = self.line_bytes.saturating_add(bytes.len());
        if self.line_bytes > LINE_BYTES_MAX {
            self.wrong("mime_long_line", tell);
        }
        if !is_begun && self.boundary(bytes, tell) {
            return;
        }
        match self.place {
            // Where a header's line was cut, its end says nothing.
            Place::Headers if is_begun && self.header.is_empty() => {}
            Place::Headers if is_begun => self.push_header(bytes, tell),
            Place::Headers if bytes.is_empty() && !ending.is_empty() => {
                self.take_header(tell);
                self.begin_body(tell);
            }
            Place::Headers => self.header(bytes, tell),
            Place::Between => {}
            Place::File | Place::Text => self.body(bytes, ending, tell),
        }
    }

    /// Bytes are missing; whether the line that they were in goes on is not known.
    pub(super) fn lose(&mut self) {
        self.header.clear();
        self.is_in_line = true;
    }

    /// The message is over, as far as it came.
    pub(super) fn end(&mut self, tell: Tell<'_>) {
        self.take_header(tell);
        self.end_part(tell);
        self.place = Place::Between;
    }

    fn wrong(&mut self, event: &'static str, tell: Tell<'_>) {
        if !self.told.contains(&event) {
            self.told.push(event);
            tell(Found::Wrong(event));
        }
    }

    /// Whether a line is a boundary of a part around.
    fn boundary(&mut self, bytes: &[u8], tell: Tell<'_>) -> bool {
        let Some(rest) = bytes.strip_prefix(b"--").filter(|_| !self.boundaries.is_empty()) else {
            return false;
        };
        let found = self.boundaries.iter().enumerate().rev().find_map(|(depth, boundary)| {
            let after = rest.strip_prefix(&**boundary)?;
            let is_last = after.starts_with(b"--");
            (is_last || after.iter().all(u8::is_ascii_whitespace)).then_some((depth, is_last))
        });
        let Some((depth, is_last)) = found else { return false };
        self.take_header(tell);
        self.end_part(tell);
        self.boundaries.truncate(if is_last { depth } else { depth + 1 });
        self.part = Part::default();
        self.is_inner = true;
        self.place = if is_last { Place::Between } else { Place::Headers };
        true
    }

    /// A header begins, or goes on where its line begins with a blank (RFC 5322 2.2.3).
    fn header(&mut self, line: &[u8], tell: Tell<'_>) {
        if let [b' ' | b'\t', rest @ ..] = line {
            if !self.header.is_empty() {
                self.push_header(b" ", tell);
                self.push_header(rest.trim_ascii(), tell);
            }
            return;
        }
        self.take_header(tell);
        self.push_header(line, tell);
    }

    fn push_header(&mut self, bytes: &[u8], tell: Tell<'_>) {
        let room = HEADER_BYTES_MAX.saturating_sub(self.header.len());
        self.header.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() > room {
            self.wrong("mime_long_header_value", tell);
        }
    }

    fn take_header(&mut self, tell: Tell<'_>) {
        let header = std::mem::take(&mut self.header);
        if header.is_empty() {
            return;
        }
        match header.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (name, value) = header.split_at(colon);
                let value = value.get(1..).unwrap_or_default().trim_ascii();
                if name.len() > NAME_BYTES_MAX {
                    self.wrong("mime_long_header_name", tell);
                }
                self.read_header(name.trim_ascii_end(), value, tell);
                if !self.is_inner {
                    tell(Found::Header(name.trim_ascii_end(), value));
                }
            }
            None => self.wrong("mime_malformed_msg", tell),
        }
        self.header = header;
        self.header.clear();
    }

    fn read_header(&mut self, name: &[u8], value: &[u8], tell: Tell<'_>) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("content-transfer-encoding") {
            self.part.decoder = Decoder::of(value);
        } else if is("content-disposition") {
            // What is said of the file itself counts before what the type says.
            if let Some(name) = self.file_name(value, "filename", tell) {
                self.part.file_name = Some(name);
            }
        } else if is("content-type") {
            let begins =
                |kind: &[u8]| value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
            self.part.is_message = begins(b"message/rfc822");
            self.part.is_other = !begins(b"text/");
            if begins(b"multipart/") {
                match parameter(value, "boundary").filter(|boundary| !boundary.is_empty()) {
                    Some(boundary) if boundary.len() > BOUNDARY_BYTES_MAX => {
                        self.wrong("mime_long_boundary", tell);
                    }
                    Some(boundary) => self.part.boundary = Some(boundary.into()),
                    None => {}
                }
            } else if let Some(name) = self.file_name(value, "name", tell) {
                self.part.file_name.get_or_insert(name);
            }
        }
    }

    fn file_name(&mut self, value: &[u8], parameter_name: &str, tell: Tell<'_>) -> Option<Vec<u8>> {
        let mut name = parameter(value, parameter_name)?;
        if is_repeated(value, parameter_name) {
            self.wrong("duplicate_fields", tell);
        }
        if name.len() > FILE_NAME_BYTES_MAX {
            self.wrong("mime_long_filename", tell);
            name.truncate(FILE_NAME_BYTES_MAX);
        }
        (!name.is_empty()).then_some(name)
    }

    /// The headers are over.
    fn begin_body(&mut self, tell: Tell<'_>) {
        if !self.is_inner {
            self.is_inner = true;
            tell(Found::Body);
        }
        if let Some(boundary) = self.part.boundary.take() {
            if self.boundaries.len() < DEPTH_MAX {
                self.boundaries.push(boundary);
            }
            self.place = Place::Between;
            return;
        }
        self.place = match &self.part.file_name {
            Some(name) => {
                tell(Found::FileBegins(name));
                Place::File
            }
            None if self.part.is_message && self.messages < MESSAGES_MAX => {
                self.messages += 1;
                self.part = Part::default();
                Place::Headers
            }
            None if self.part.is_other => Place::Between,
            None => Place::Text,
        };
    }

    fn body(&mut self, bytes: &[u8], ending: &'static [u8], tell: Tell<'_>) {
        if self.line_bytes > CODED_LINE_BYTES_MAX && self.part.decoder.is_coded() {
            self.wrong("mime_long_enc_line", tell);
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let done = self.part.decoder.line(bytes, ending, &mut decoded);
        self.tell_decoded(&decoded, done, tell);
        self.decoded = decoded;
    }

    fn end_part(&mut self, tell: Tell<'_>) {
        if matches!(self.place, Place::File | Place::Text) {
            let mut decoded = std::mem::take(&mut self.decoded);
            decoded.clear();
            let done = self.part.decoder.end(&mut decoded);
            self.tell_decoded(&decoded, done, tell);
            self.decoded = decoded;
        }
        if self.place == Place::File {
            tell(Found::FileEnds);
        }
    }

    fn tell_decoded(&mut self, decoded: &[u8], done: Result<(), &'static str>, tell: Tell<'_>) {
        if let Err(event) = done {
            self.wrong(event, tell);
        }
        match self.place {
            _ if decoded.is_empty() => {}
            Place::File => tell(Found::File(decoded)),
            Place::Text => tell(Found::Text(decoded)),
            Place::Headers | Place::Between => {}
        }
    }
}

#[cfg(test)]
mod tests;
