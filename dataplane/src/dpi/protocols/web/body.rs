//! What does the body of a message hold, once its codings are undone? For rules, piece by piece.
//!
//! As browsers and libhtp do it: `deflate` may come with zlib's frame or without, what does not decode is told as it is, and
//! no more than [`BODY_BYTES_MAX`] bytes are told.

use crate::dpi::text::has_word;
use flate2::{Decompress, FlushDecompress, Status};

use crate::rules::detect::BODY_BYTES_MAX;

/// Codings within each other that are undone.
pub(super) const LAYERS_MAX: usize = 3;

/// Bytes that are decoded at once.
const STEP_BYTES: usize = 16 << 10;

/// The codings of one body, the outermost first.
#[derive(Default)]
pub(super) struct Codings {
    layers: Vec<Layer>,
    /// Bytes told so far.
    told: u64,
    /// All of it is told, however long it is.
    is_whole: bool,
    /// Something of it was not told.
    is_cut: bool,
}

/// A coding that is undone.
struct Layer {
    state: State,
    /// Framings that may be tried where the first bytes do not decode.
    next: &'static [Framing],
    /// What was fed while nothing had come out, to be fed again to the next framing.
    fed: Vec<u8>,
    has_output: bool,
    has_failed: bool,
}

enum State {
    /// The header of gzip is gathered.
    GzipHeader(Vec<u8>),
    Inflating(Box<Decompress>),
    /// It does not decode: told as it is.
    Plain,
    /// What follows the end of the coding is nothing.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Gzip,
    Zlib,
    Raw,
}

/// Bytes of gzip's header that are waited for; a longer one is none.
const GZIP_HEADER_BYTES_MAX: usize = 4_096;

impl Codings {
    /// Of the value of `Content-Encoding`.
    pub(super) fn of(value: &[u8]) -> Self {
        let mut layers = Vec::new();
        for name in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            // Clients are content with the word, whatever stands around it.
            let is = |wanted: &str| has_word(name, wanted.as_bytes());
            if is("gzip") {
                layers.push(Layer::new(&[Framing::Gzip, Framing::Zlib]));
            } else if is("deflate") {
                layers.push(Layer::new(&[Framing::Raw, Framing::Zlib, Framing::Gzip]));
            }
            if layers.len() >= LAYERS_MAX {
                break;
            }
        }
        layers.reverse();
        Self { layers, told: 0, is_whole: false, is_cut: false }
    }

    /// Tells all of the body, for whom the end matters.
    pub(super) fn whole(self, is_whole: bool) -> Self {
        Self { is_whole, ..self }
    }

    /// Whether there are any.
    pub(super) const fn are_any(&self) -> bool {
        !self.layers.is_empty()
    }

    /// Whether one of them could not be undone.
    pub(super) fn have_failed(&self) -> bool {
        self.layers.iter().any(|layer| layer.has_failed)
    }

    /// Undoes the codings of the next bytes.
    pub(super) fn decode(&mut self, bytes: &[u8], tell: &mut dyn FnMut(&[u8])) {
        let Self { layers, told, is_whole, is_cut } = self;
        if *is_whole || layers.is_empty() {
            // What is told of one piece is bounded all the same, and what is not coded does not grow.
            *told = 0;
        }
        through(layers, bytes, told, tell);
        *is_cut |= *told >= BODY_BYTES_MAX && !layers.is_empty();
    }

    /// Whether something of the body was not told.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }
}

fn through(layers: &mut [Layer], bytes: &[u8], told: &mut u64, tell: &mut dyn FnMut(&[u8])) {
    match layers.split_first_mut() {
        _ if *told >= BODY_BYTES_MAX => {}
        None => {
            *told += bytes.len() as u64;
            tell(bytes);
        }
        Some((layer, rest)) => layer.decode(bytes, &mut |out| through(rest, out, told, tell)),
    }
}

impl Layer {
    fn new(framings: &'static [Framing]) -> Self {
        let (first, next) =
            framings.split_first().map_or((Framing::Raw, framings), |(first, next)| (*first, next));
        Self { state: State::of(first), next, fed: Vec::new(), has_output: false, has_failed: false }
    }

    fn decode(&mut self, bytes: &[u8], tell: &mut dyn FnMut(&[u8])) {
        if self.feed(bytes, tell).is_ok() {
            return;
        }
        if self.has_output {
            self.has_failed = true;
            self.state = State::Over;
            return;
        }
        // Nothing has come out: it may be framed otherwise, or not coded at all.
        let mut all = std::mem::take(&mut self.fed);
        all.extend_from_slice(bytes);
        while let Some((framing, next)) = self.next.split_first() {
            (self.state, self.next) = (State::of(*framing), next);
            if self.feed(&all, tell).is_ok() {
                self.keep(&all);
                return;
            }
            if self.has_output {
                self.state = State::Over;
                return;
            }
        }
        self.has_failed = true;
        self.state = State::Plain;
        tell(&all);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.has_output && self.fed.len() + bytes.len() <= GZIP_HEADER_BYTES_MAX {
            self.fed.extend_from_slice(bytes);
        } else {
            self.fed = Vec::new();
        }
    }

    /// `Err`: it does not decode.
    fn feed(&mut self, bytes: &[u8], tell: &mut dyn FnMut(&[u8])) -> Result<(), ()> {
        match &mut self.state {
            State::Plain => tell(bytes),
            State::Over => {}
            State::GzipHeader(header) => {
                header.extend_from_slice(bytes);
                match gzip_header_len(header)? {
                    None if header.len() > GZIP_HEADER_BYTES_MAX => return Err(()),
                    None => {}
                    Some(len) => {
                        let data = header.split_off(len.min(header.len()));
                        self.state = State::Inflating(Box::new(Decompress::new(false)));
                        self.inflate(&data, tell)?;
                    }
                }
            }
            State::Inflating(_) => {
                self.inflate(bytes, tell)?;
                self.keep(bytes);
            }
        }
        Ok(())
    }

    fn inflate(&mut self, mut bytes: &[u8], tell: &mut dyn FnMut(&[u8])) -> Result<(), ()> {
        let State::Inflating(inflater) = &mut self.state else { return Ok(()) };
        let mut out = [0; STEP_BYTES];
        let mut all = 0;
        loop {
            let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
            let done = inflater.decompress(bytes, &mut out, FlushDecompress::Sync);
            let read = (inflater.total_in() - before_in) as usize;
            let made = (inflater.total_out() - before_out) as usize;
            if made > 0 {
                self.has_output = true;
                all += made;
                tell(out.get(..made).unwrap_or_default());
            }
            bytes = bytes.get(read..).unwrap_or_default();
            match done {
                Err(_) => return Err(()),
                Ok(Status::StreamEnd) => {
                    self.state = State::Over;
                    return Ok(());
                }
                // A body that grows without end is not followed.
                Ok(_) if (read == 0 && made == 0) || all as u64 > BODY_BYTES_MAX => return Ok(()),
                Ok(_) if bytes.is_empty() && made < STEP_BYTES => return Ok(()),
                Ok(_) => {}
            }
        }
    }
}

impl State {
    fn of(framing: Framing) -> Self {
        match framing {
            Framing::Gzip => Self::GzipHeader(Vec::new()),
            Framing::Zlib => Self::Inflating(Box::new(Decompress::new(true))),
            Framing::Raw => Self::Inflating(Box::new(Decompress::new(false))),
        }
    }
}

/// Length of gzip's header (RFC 1952 2.3); `Ok(None)`: more is to come.
fn gzip_header_len(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let fits = bytes.iter().zip([0x1f, 0x8b, 8]).all(|(byte, wanted)| *byte == wanted);
    if !fits {
        return Err(());
    }
    let Some(flags) = bytes.get(3).copied() else { return Ok(None) };
    let mut len = 10;
    if flags & 4 != 0 {
        let Some([low, high]) = bytes.get(len..len + 2) else { return Ok(None) };
        len += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = bytes.get(len..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
                return Ok(None);
            };
            len += end + 1;
        }
    }
    if flags & 2 != 0 {
        len += 2;
    }
    Ok((bytes.len() >= len).then_some(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use std::io::Write as _;

    fn decoded(value: &str, body: &[u8], step: usize) -> Vec<u8> {
        let mut codings = Codings::of(value.as_bytes());
        let mut out = Vec::new();
        for piece in body.chunks(step) {
            codings.decode(piece, &mut |bytes| out.extend_from_slice(bytes));
        }
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    fn raw(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    #[test]
    fn codings_are_undone_however_the_body_is_cut() {
        let text = b"a body that is long enough to be worth the trouble, worth the trouble".repeat(4);
        for step in [1, 3, 50, 10_000] {
            assert_eq!(decoded("gzip", &gzip(&text), step), text, "gzip in pieces of {step}");
            assert_eq!(decoded("deflate", &raw(&text), step), text, "raw in pieces of {step}");
            assert_eq!(decoded("deflate", &zlib(&text), step), text, "zlib in pieces of {step}");
            assert_eq!(decoded("gzip, gzip", &gzip(&gzip(&text)), step), text, "twice in pieces of {step}");
            assert_eq!(decoded("br", &text, step), text, "unknown in pieces of {step}");
        }
        assert_eq!(decoded("gzip", b"no gzip at all", 5), b"no gzip at all");
    }

    #[test]
    fn a_body_that_grows_without_end_is_not_followed() {
        let bomb = gzip(&vec![0; 10 << 20]);
        let told = decoded("gzip", &bomb, 4_096).len() as u64;
        assert!((BODY_BYTES_MAX..BODY_BYTES_MAX * 3).contains(&told), "{told}");
    }
}
