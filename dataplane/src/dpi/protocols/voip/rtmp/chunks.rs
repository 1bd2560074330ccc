//! How is a message put together from chunks that several messages share the stream with? (RTMP 1.0, 5.3)
//!
//! ```text
//! form (2 bits), channel (6 bits; 0: 1 byte more, 1: 2 bytes more)
//! form 0  time (3) | length (3) | kind (1) | stream (4, little-endian)
//! form 1  time (3) | length (3) | kind (1)      form 2  time (3)      form 3  nothing: as before
//! time of four bytes more where it is 0xffffff
//! ```
//! Only commands are kept, and only their beginning.

use crate::dpi::Kept;
use crate::dpi::cursor::Cursor;

/// Kinds of messages.
const SET_CHUNK_SIZE: u8 = 1;
const ABORT: u8 = 2;
pub(super) const AUDIO: u8 = 8;
pub(super) const VIDEO: u8 = 9;
pub(super) const COMMAND_AMF3: u8 = 17;
pub(super) const COMMAND: u8 = 20;

/// Channels of one direction that are followed: clients use five.
const CHANNELS_MAX: usize = 12;

/// Bytes of a command that are kept.
const HEAD_BYTES_MAX: usize = 2_048;

/// RTMP 1.0, 5.4.1: no message is longer.
const CHUNK_BYTES_MAX: usize = 0xff_ffff;

/// What comes next.
pub(super) enum Read {
    Wait,
    /// So many bytes, which complete nothing.
    Part(usize),
    Whole(usize, Message),
    /// The anomaly's name.
    Bad(&'static str),
}

/// A message; bytes only of commands.
pub(super) struct Message {
    pub kind: u8,
    pub bytes: Kept,
}

#[derive(Debug, Default, Clone, Copy)]
struct Channel {
    number: u32,
    len: usize,
    kind: u8,
    /// Bytes of the message that have not come.
    left: usize,
    has_long_time: bool,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Chunks {
    size: usize,
    channels: [Channel; CHANNELS_MAX],
    channels_used: usize,
    /// The command that is put together, and its channel.
    command: Kept,
    of: u32,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            size: 128,
            channels: [Channel::default(); CHANNELS_MAX],
            channels_used: 0,
            command: Kept::new(),
            of: 0,
        }
    }
}

/// A chunk's header.
struct Header {
    number: u32,
    len: usize,
    kind: u8,
    has_long_time: bool,
    /// Its own bytes.
    bytes: usize,
}

impl Chunks {
    pub(super) fn read(&mut self, bytes: &[u8]) -> Read {
        let header = match self.header(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Read::Wait,
            Err(event) => return Read::Bad(event),
        };
        let Some(place) = self.place_of(header.number) else { return Read::Bad("too_many_channels") };
        let mut channel = self.channels[place];
        let is_first = channel.left == 0;
        if is_first {
            channel = Channel { left: header.len, ..channel };
        }
        channel = Channel {
            number: header.number,
            len: header.len,
            kind: header.kind,
            has_long_time: header.has_long_time,
            left: channel.left,
        };
        let here = channel.left.min(self.size);
        let is_kept = matches!(channel.kind, COMMAND | COMMAND_AMF3 | SET_CHUNK_SIZE);
        if is_kept {
            let already = if is_first { 0 } else { self.command.len() };
            let wanted = here.min(HEAD_BYTES_MAX.saturating_sub(already));
            let Some(part) = bytes.get(header.bytes..header.bytes + wanted) else { return Read::Wait };
            if is_first {
                self.command.clear();
                self.of = channel.number;
            }
            // Of two commands at a time the later one is read.
            if self.of == channel.number {
                self.command.extend(part);
            }
        }
        channel.left -= here;
        self.channels[place] = channel;
        self.channels_used = self.channels_used.max(place + 1);
        let len = header.bytes + here;
        if channel.left > 0 || channel.kind == ABORT {
            return Read::Part(len);
        }
        if channel.kind == SET_CHUNK_SIZE {
            let size = Cursor::new(&self.command).be32().map(|size| size as usize);
            return match size.filter(|size| (1..=CHUNK_BYTES_MAX).contains(size) && channel.len == 4) {
                Some(size) => {
                    self.size = size;
                    Read::Part(len)
                }
                None => Read::Bad("invalid_length"),
            };
        }
        if is_kept && self.of != channel.number {
            return Read::Part(len);
        }
        let bytes = if is_kept { std::mem::take(&mut self.command) } else { Kept::new() };
        Read::Whole(len, Message { kind: channel.kind, bytes })
    }

    /// The buffer of a message that was read, for the next one.
    pub(super) fn give_back(&mut self, message: Message) {
        if self.command.is_empty() && !message.bytes.is_empty() {
            self.command = message.bytes;
            self.command.clear();
        }
    }

    fn place_of(&self, number: u32) -> Option<usize> {
        let used = self.channels.get(..self.channels_used)?;
        let place = used.iter().position(|channel| channel.number == number).unwrap_or(self.channels_used);
        (place < CHANNELS_MAX).then_some(place)
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, &'static str> {
        let mut at = Cursor::new(bytes);
        let Some(first) = at.u8() else { return Ok(None) };
        let number = match first & 0x3f {
            0 => at.u8().map(|more| 64 + u32::from(more)),
            1 => at.le16().map(|more| 64 + u32::from(more)),
            number => Some(u32::from(number)),
        };
        let Some(number) = number else { return Ok(None) };
        let known = self.channels.iter().take(self.channels_used).find(|channel| channel.number == number);
        let form = first >> 6;
        let before = match known {
            Some(known) => *known,
            // Only a whole header can be the first one.
            None if form != 0 => return Err("invalid_chunk"),
            None => Channel::default(),
        };
        // What continues a message may not change it.
        if before.left > 0 && form != 3 {
            return Err("invalid_chunk");
        }
        let (mut len, mut kind, mut has_long_time) = (before.len, before.kind, before.has_long_time);
        if form < 3 {
            let Some(time) = at.be24() else { return Ok(None) };
            has_long_time = time == 0xff_ffff;
        }
        if form < 2 {
            let (Some(new_len), Some(new_kind)) = (at.be24(), at.u8()) else { return Ok(None) };
            (len, kind) = (new_len as usize, new_kind);
        }
        let more = if form == 0 { 4 } else { 0 } + if has_long_time { 4 } else { 0 };
        if at.skip(more).is_none() {
            return Ok(None);
        }
        let bytes = bytes.len() - at.rest().len();
        Ok(Some(Header { number, len, kind, has_long_time, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_two_messages_take_turns() {
        let mut chunks = Chunks::default();
        let video = [&[6, 0, 0, 0, 0, 0, 200, VIDEO, 1, 0, 0, 0][..], &[1; 128]].concat();
        let command = [&[3, 0xff, 0xff, 0xff, 0, 0, 3, COMMAND, 0, 0, 0, 0, 0, 0, 0, 9][..], b"abc"].concat();
        let rest = [&[0xc6][..], &[1; 72]].concat();
        let again = [&[0xc3, 0, 0, 0, 9][..], b"def"].concat();
        assert!(matches!(chunks.read(&video), Read::Part(140)));
        let Read::Whole(19, message) = chunks.read(&command) else { return assert!(command.is_empty()) };
        assert_eq!(&message.bytes[..], b"abc");
        let Read::Whole(73, message) = chunks.read(&rest) else { return assert!(rest.is_empty()) };
        assert_eq!((message.kind, message.bytes.len()), (VIDEO, 0));
        let Read::Whole(8, message) = chunks.read(&again) else { return assert!(again.is_empty()) };
        assert_eq!(&message.bytes[..], b"def");
    }

    #[test]
    fn there_are_not_too_many_channels() {
        let mut chunks = Chunks::default();
        let read = |number: u8, chunks: &mut Chunks| chunks.read(&[number, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        assert!((3..15).all(|number| matches!(read(number, &mut chunks), Read::Whole(12, _))));
        assert!(matches!(read(15, &mut chunks), Read::Bad("too_many_channels")));
    }
}
