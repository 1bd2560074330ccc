//! Which files does an upload hold? `multipart/form-data` (RFC 7578), piece by piece: each part that names a file is one.
//!
//! Kept are the boundary, the head of one part, and what may be the beginning of a boundary.

use super::head;
use crate::dpi::Kept;
use crate::dpi::protocols::mail::parameter;
use crate::dpi::text::starts_with_word;

/// Bytes of a boundary; RFC 2046 5.1.1 says 70.
const BOUNDARY_BYTES_MAX: usize = 200;

/// Bytes of a part's head; what has a longer one is read no further.
const HEAD_BYTES_MAX: usize = 4_096;

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A file begins, called so.
    Begins(&'a [u8]),
    /// Bytes of it.
    Data(&'a [u8]),
    /// It is over.
    Ends,
}

/// Reads one form.
#[derive(Debug)]
pub(super) struct Form {
    /// A line end, `--` and the boundary.
    delimiter: Kept,
    state: State,
    /// What may be the beginning of a delimiter.
    held: Kept,
}

#[derive(Debug)]
enum State {
    /// A part, or what stands before the first one; whether it is a file.
    Part { is_file: bool },
    /// The rest of the delimiter's line and the head of a part.
    Head(Kept),
    /// Nothing more is read.
    Over,
}

impl Form {
    /// Of the value of `Content-Type`; `None`: it is no form with parts.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        if !starts_with_word(content_type, b"multipart/form-data") {
            return None;
        }
        let boundary = parameter(content_type, "boundary")?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
            return None;
        }
        let mut delimiter = Kept::of(b"\r\n--");
        // The first delimiter has no line before it.
        let is_kept = delimiter.extend(&boundary);
        is_kept.then(|| Self { delimiter, state: State::Part { is_file: false }, held: Kept::of(b"\r\n") })
    }

    /// Reads the next bytes.
    pub(super) fn data(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Found<'_>)) {
        if self.held.is_empty() {
            self.read(bytes, tell);
        } else {
            let joined = [&self.held, bytes].concat();
            self.held.clear();
            self.read(&joined, tell);
        }
    }

    fn read(&mut self, mut bytes: &[u8], tell: &mut dyn FnMut(Found<'_>)) {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Over => return,
                State::Part { is_file } => {
                    let is_file = *is_file;
                    let found = memchr::memmem::find(bytes, &self.delimiter);
                    let len = found.unwrap_or_else(|| bytes.len() - begun(bytes, &self.delimiter));
                    let (inside, rest) = bytes.split_at(len);
                    if is_file && !inside.is_empty() {
                        tell(Found::Data(inside));
                    }
                    if found.is_none() {
                        if !self.held.extend(rest) {
                            self.state = State::Over;
                        }
                        return;
                    }
                    if is_file {
                        tell(Found::Ends);
                    }
                    self.state = State::Head(Kept::new());
                    rest.get(self.delimiter.len()..).unwrap_or_default()
                }
                State::Head(head) => {
                    let before = head.len();
                    let more = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
                    if before + more.len() > 2 * HEAD_BYTES_MAX || !head.extend(more) {
                        self.state = State::Over;
                        return;
                    }
                    // The line of the delimiter may be all there is, and the head empty.
                    let end = memchr::memmem::find(head, b"\r\n\r\n").map(|end| end + 4);
                    let is_last = head.starts_with(b"--");
                    match end {
                        _ if is_last => self.state = State::Over,
                        Some(end) => {
                            let name = head.get(..end).and_then(name_of);
                            if let Some(name) = &name {
                                tell(Found::Begins(name));
                            }
                            self.state = State::Part { is_file: name.is_some() };
                            bytes = bytes.get(end.saturating_sub(before)..).unwrap_or_default();
                            continue;
                        }
                        None if head.len() > HEAD_BYTES_MAX => self.state = State::Over,
                        None => {}
                    }
                    bytes.get(more.len()..).unwrap_or_default()
                }
            };
        }
    }

    /// The body is over: what was held was no delimiter. Whether no file was cut.
    pub(super) fn end(&mut self, tell: &mut dyn FnMut(Found<'_>)) -> bool {
        let State::Part { is_file: true } = self.state else { return true };
        if !self.held.is_empty() {
            tell(Found::Data(&self.held));
        }
        false
    }
}

/// Bytes at the end of `bytes` with which a delimiter may begin.
fn begun(bytes: &[u8], delimiter: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(delimiter.len() - 1);
    let tail = bytes.get(from..).unwrap_or_default();
    let starts = memchr::memchr_iter(b'\r', tail);
    let at = starts.map(|at| &tail[at..]).find(|rest| delimiter.starts_with(rest));
    at.map_or(0, <[u8]>::len)
}

/// The file that a part's head names; the first line is the rest of the delimiter's.
fn name_of(part: &[u8]) -> Option<Vec<u8>> {
    let line = part.iter().position(|byte| *byte == b'\n')? + 1;
    let is = |name: &[u8]| name.eq_ignore_ascii_case(b"content-disposition");
    let mut all = head::fields(part.get(line..)?);
    let value = all.find_map(|(name, value)| name.filter(|name| is(name)).map(|_| value))?;
    parameter(value, "filename").filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], step: usize) -> (Vec<(String, String, bool)>, bool) {
        let mut form = Form::of(b"multipart/form-data; boundary=\"xy\"").into_iter().next().into_iter();
        let Some(mut form) = form.next() else { return (Vec::new(), false) };
        let mut files: Vec<(String, String, bool)> = Vec::new();
        let mut tell = |found: Found<'_>| match found {
            Found::Begins(name) => {
                files.push((String::from_utf8_lossy(name).into_owned(), String::new(), false));
            }
            Found::Data(bytes) => {
                if let Some(file) = files.last_mut() {
                    file.1.push_str(&String::from_utf8_lossy(bytes));
                }
            }
            Found::Ends => {
                if let Some(file) = files.last_mut() {
                    file.2 = true;
                }
            }
        };
        for piece in body.chunks(step) {
            form.data(piece, &mut tell);
        }
        let is_whole = form.end(&mut tell);
        (files, is_whole)
    }

    #[test]
    fn files_are_found_however_a_form_is_cut() {
        let body = b"--xy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno file\r\n--xy\r\n\
            content-disposition: form-data; name=b; filename=\"b.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            one\r\n-\r\n--x\r\n--xy\r\nContent-Disposition: form-data; filename=c\r\n\r\n\r\n--xy\r\n\r\nx\r\n--xy--\r\n--xy";
        let expected =
            [("b.txt".to_owned(), "one\r\n-\r\n--x".to_owned(), true), ("c".to_owned(), String::new(), true)];
        for step in 1..body.len() {
            assert_eq!(read(body, step), (expected.to_vec(), true), "in pieces of {step}");
        }
    }

    #[test]
    fn a_form_that_ends_too_early_cuts_its_file() {
        let body = b"--xy\r\nContent-Disposition: form-data; filename=c\r\n\r\nabc\r\n--x";
        for step in [1, 7, 100] {
            assert_eq!(read(body, step), (vec![("c".to_owned(), "abc\r\n--x".to_owned(), false)], false));
        }
        assert!(Form::of(b"multipart/form-data").is_none() && Form::of(b"text/plain; boundary=x").is_none());
        // A head without an end is not gathered.
        let endless = [&b"--xy\r\nX: "[..], &vec![b'x'; 20_000], b"\r\n\r\nabc\r\n--xy--"].concat();
        assert_eq!(read(&endless, 1_000), (Vec::new(), true));
    }
}
