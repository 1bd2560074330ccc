//! Which packets does a capture file hold? Reads pcap and pcapng from anything that can be read.
//!
//! pcap in both byte orders, with microseconds, nanoseconds, or Kuznetzov's longer record headers; pcapng
//! (draft-ietf-opsawg-pcapng) with any number of sections and interfaces. File, section and interface
//! headers are decoded by `pcap-parser`; packet blocks are read here, without its allocation per packet and
//! with the obsolete Packet Block that it does not know.
//!
//! Memory is one buffer of [`BUFFER_LEN`] and the interfaces of the section. A file that ends or goes
//! wrong in the middle yields every packet before that place, then one error that names it.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")
)]

use std::io::{self, Read};

use pcap_parser::{Linktype, OptionCode, PcapHeader};
use thiserror::Error;

use crate::parse::LinkType;
use crate::time::Wall;

/// The largest packet that is read, bytes: libpcap's own limit.
pub const RECORD_MAX: usize = 256 * 1024;
/// Interfaces kept for one section of a pcapng file.
pub const INTERFACES_MAX: usize = 4096;
/// Room for the largest packet block with its options, and for reading ahead.
pub const BUFFER_LEN: usize = 2 * RECORD_MAX;

/// One packet of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What was captured.
    pub bytes: &'a [u8],
    /// How long the packet was on the wire, bytes.
    pub wire_len: u32,
    /// When it was captured; a Simple Packet Block has no time and gets that of the packet before it.
    pub wall: Wall,
    /// What `bytes` start with.
    pub link: LinkType,
    /// Whether less was captured than there was on the wire.
    pub truncated: bool,
}

/// Why a capture file could not be read further; `offset` is where in the file, bytes.
#[derive(Debug, Error)]
pub enum SavefileError {
    /// Neither format's first four bytes.
    #[error("not a capture file: it starts like neither pcap nor pcapng")]
    NotACapture,
    /// The source failed.
    #[error("cannot read on at byte {offset}: {source}")]
    Read {
        /// Where the read started.
        offset: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The file ends too early.
    #[error("the file ends inside the {what} that starts at byte {offset}")]
    Truncated {
        /// Where the thing starts.
        offset: u64,
        /// What is cut short.
        what: &'static str,
    },
    /// The file contradicts itself.
    #[error("the {what} at byte {offset} is corrupt")]
    Corrupt {
        /// Where the thing starts.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// More than is ever captured; most often a corrupt length.
    #[error("the {what} at byte {offset} claims {len_bytes} bytes, more than the {max_bytes} that are read")]
    TooLarge {
        /// Where the thing starts.
        offset: u64,
        /// What is too large.
        what: &'static str,
        /// What the file says.
        len_bytes: u64,
        /// What is allowed.
        max_bytes: u64,
    },
}

/// Reads the packets of a capture file one after another.
#[derive(Debug)]
pub struct SavefileReader<R> {
    input: Input<R>,
    format: Format,
    last_wall: Wall,
    finished: bool,
}

/// Where one packet lies in the buffer, and what its headers said of it.
struct Found {
    at: usize,
    len: usize,
    wire_len: u32,
    wall: Wall,
    link: LinkType,
}

impl<R: Read> SavefileReader<R> {
    /// Reads the file's header and learns its format from it.
    ///
    /// # Errors
    ///
    /// [`SavefileError::NotACapture`] for anything else than pcap and pcapng, [`SavefileError::Truncated`] for
    /// a file that ends inside its header, [`SavefileError::Read`] where the source fails.
    pub fn new(source: R) -> Result<Self, SavefileError> {
        let mut input = Input::new(source);
        if !input.fill(4)? {
            return Err(SavefileError::NotACapture);
        }
        let format = if input.ready().starts_with(&SECTION_HEADER.to_be_bytes()) {
            Format::Pcapng(Section::default())
        } else {
            Format::Pcap(Pcap::read(&mut input)?)
        };
        Ok(Self { input, format, last_wall: Wall(0), finished: false })
    }

    /// The next packet, `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// Where the file ends or goes wrong in the middle; once, then `None`.
    #[expect(
        clippy::should_implement_trait,
        reason = "a record borrows the reader, an Iterator's item cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, SavefileError> {
        if self.finished {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.input),
            Format::Pcapng(section) => section.next(&mut self.input, self.last_wall),
        };
        match found {
            Ok(Some(Found { at, len, wire_len, wall, link })) => {
                self.last_wall = wall;
                let bytes = self.input.buffer.get(at..at + len).unwrap_or_default();
                Ok(Some(Record { bytes, wire_len, wall, link, truncated: len < wire_len as usize }))
            }
            Ok(None) => {
                self.finished = true;
                Ok(None)
            }
            Err(error) => {
                self.finished = true;
                Err(error)
            }
        }
    }
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    Pcapng(Section),
}

/// The source, and what was read of it but not yet used.
#[derive(Debug)]
struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    /// The first unused byte.
    start: usize,
    /// One past the last byte read.
    filled: usize,
    /// Where in the file `start` is.
    offset: u64,
}

impl<R: Read> Input<R> {
    fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_LEN], start: 0, filled: 0, offset: 0 }
    }

    fn ready(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Sees to it that `wanted` bytes are ready; `false` where the source ends before. At most `BUFFER_LEN`.
    fn fill(&mut self, wanted: usize) -> Result<bool, SavefileError> {
        if self.filled - self.start >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        while self.filled < wanted {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(SavefileError::Read { offset: self.offset + self.filled as u64, source });
                }
            }
        }
        Ok(true)
    }

    /// As [`Self::fill`], where the end of the source is an error unless nothing at all was left.
    fn fill_or_end(&mut self, wanted: usize, what: &'static str) -> Result<bool, SavefileError> {
        if self.fill(wanted)? {
            Ok(true)
        } else if self.start == self.filled {
            Ok(false)
        } else {
            Err(self.truncated(what))
        }
    }

    /// As [`Self::fill`], where the end of the source is an error.
    fn need(&mut self, wanted: usize, what: &'static str) -> Result<(), SavefileError> {
        if self.fill(wanted)? { Ok(()) } else { Err(self.truncated(what)) }
    }

    /// Marks `count` ready bytes as used; returns where in the buffer they are until the next fill.
    fn take(&mut self, count: usize) -> usize {
        let at = self.start;
        self.start += count;
        self.offset += count as u64;
        at
    }

    /// Reads over `count` bytes that may be more than the buffer holds.
    fn skip(&mut self, count: u64, what: &'static str) -> Result<(), SavefileError> {
        let mut left = count;
        while left > 0 {
            let step = left.min(BUFFER_LEN as u64) as usize;
            self.need(step, what)?;
            self.take(step);
            left -= step as u64;
        }
        Ok(())
    }

    fn truncated(&self, what: &'static str) -> SavefileError {
        SavefileError::Truncated { offset: self.offset, what }
    }

    fn corrupt(&self, what: &'static str) -> SavefileError {
        SavefileError::Corrupt { offset: self.offset, what }
    }

    fn check_len(&self, len: u64, max: usize, what: &'static str) -> Result<usize, SavefileError> {
        if len > max as u64 {
            return Err(SavefileError::TooLarge {
                offset: self.offset,
                what,
                len_bytes: len,
                max_bytes: max as u64,
            });
        }
        Ok(len as usize)
    }
}

/// A pcap file: one link type, fixed record headers.
#[derive(Debug)]
struct Pcap {
    big_endian: bool,
    /// Nanoseconds per unit of the fraction.
    fraction_ns: u64,
    header_len: usize,
    link: LinkType,
}

impl Pcap {
    /// Above are flags and the length of a frame check sequence.
    const LINKTYPE: u32 = 0x03ff_ffff;
    const RECORD: &str = "packet record";

    fn read<R: Read>(input: &mut Input<R>) -> Result<Self, SavefileError> {
        let complete = input.fill(24)?;
        let header = match pcap_parser::parse_pcap_header(input.ready()) {
            Ok((_, header)) => header,
            Err(_) if complete || input.ready().len() < 4 => return Err(SavefileError::NotACapture),
            Err(error) if error.is_incomplete() => return Err(input.truncated("pcap file header")),
            Err(_) => return Err(SavefileError::NotACapture),
        };
        let PcapHeader { network: Linktype(code), .. } = header;
        input.take(24);
        Ok(Self {
            big_endian: header.is_bigendian(),
            fraction_ns: if header.is_nanosecond_precision() { 1 } else { 1_000 },
            header_len: if header.is_modified_format() { 24 } else { 16 },
            link: LinkType::from_code(code.cast_unsigned() & Self::LINKTYPE),
        })
    }

    fn next<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Found>, SavefileError> {
        if !input.fill_or_end(self.header_len, Self::RECORD)? {
            return Ok(None);
        }
        let header = input.ready();
        let word = |at| u32_at(header, at, self.big_endian);
        let (seconds, fraction, wire_len) = (word(0), word(4), word(12));
        let len = input.check_len(u64::from(word(8)), RECORD_MAX, Self::RECORD)?;
        input.need(self.header_len + len, Self::RECORD)?;
        let at = input.take(self.header_len + len) + self.header_len;
        let wall = Wall(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.fraction_ns);
        Ok(Some(Found { at, len, wire_len, wall, link: self.link }))
    }
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and total length in front, total length again behind.
const BLOCK_OVERHEAD: usize = 12;

/// A section of a pcapng file.
#[derive(Debug, Default)]
struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    /// Bytes kept of a packet, 0 for all.
    snap_len: u32,
    units_per_s: u128,
    offset_s: i64,
}

impl Interface {
    fn wall(&self, high: u32, low: u32) -> Wall {
        const NS_PER_S: u64 = 1_000_000_000;
        let units = u64::from(high) << 32 | u64::from(low);
        let ns = match self.units_per_s {
            1_000_000 => u128::from(units) * 1_000,
            1_000_000_000 => u128::from(units),
            other => u128::from(units) * u128::from(NS_PER_S) / other,
        };
        // 64 + 30 bits at most: no sum here overflows.
        let shifted = ns.cast_signed() + i128::from(self.offset_s) * i128::from(NS_PER_S);
        Wall(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX))
    }
}

impl Section {
    fn next<R: Read>(
        &mut self,
        input: &mut Input<R>,
        last_wall: Wall,
    ) -> Result<Option<Found>, SavefileError> {
        loop {
            if !input.fill_or_end(BLOCK_OVERHEAD, "block")? {
                return Ok(None);
            }
            let kind = u32_at(input.ready(), 0, self.big_endian);
            if kind == SECTION_HEADER {
                self.start(input)?;
                continue;
            }
            let total = u32_at(input.ready(), 4, self.big_endian);
            if !total.is_multiple_of(4) || (total as usize) < BLOCK_OVERHEAD {
                return Err(input.corrupt("length of a block"));
            }
            match kind {
                INTERFACE_DESCRIPTION => self.add_interface(input, total)?,
                ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                    let what = "packet block";
                    let total = self.whole_block(input, total, what)?;
                    let Some(mut found) = self.packet(&input.ready()[..total], kind, last_wall) else {
                        return Err(input.corrupt(what));
                    };
                    input.check_len(found.len as u64, RECORD_MAX, what)?;
                    found.at += input.take(total);
                    return Ok(Some(found));
                }
                _ => input.skip(u64::from(total), "block")?,
            }
        }
    }

    /// Sees to it that the block of `total` bytes is ready and says its length at its end too.
    fn whole_block<R: Read>(
        &self,
        input: &mut Input<R>,
        total: u32,
        what: &'static str,
    ) -> Result<usize, SavefileError> {
        let total = input.check_len(u64::from(total), BUFFER_LEN, what)?;
        input.need(total, what)?;
        if u32_at(input.ready(), total - 4, self.big_endian) as usize != total {
            return Err(input.corrupt("length at the end of a block"));
        }
        Ok(total)
    }

    /// A section header resets byte order and interfaces.
    fn start<R: Read>(&mut self, input: &mut Input<R>) -> Result<(), SavefileError> {
        let what = "section header";
        self.big_endian = match u32_at(input.ready(), 8, true) {
            BYTE_ORDER_MAGIC => true,
            other if other.swap_bytes() == BYTE_ORDER_MAGIC => false,
            _ => return Err(input.corrupt("byte-order magic of a section header")),
        };
        let total = u32_at(input.ready(), 4, self.big_endian);
        if !total.is_multiple_of(4) || total < 28 {
            return Err(input.corrupt(what));
        }
        let total = self.whole_block(input, total, what)?;
        match pcap_parser::parse_sectionheaderblock(&input.ready()[..total]) {
            Ok((_, section)) if section.major_version == 1 => {}
            Ok(_) => return Err(input.corrupt("version of a section header")),
            Err(_) => return Err(input.corrupt(what)),
        }
        self.interfaces.clear();
        input.take(total);
        Ok(())
    }

    fn add_interface<R: Read>(&mut self, input: &mut Input<R>, total: u32) -> Result<(), SavefileError> {
        let what = "interface description";
        if total < 20 {
            return Err(input.corrupt(what));
        }
        let total = self.whole_block(input, total, what)?;
        input.check_len(self.interfaces.len() as u64 + 1, INTERFACES_MAX, "list of interfaces")?;
        let Some(interface) = self.interface(&input.ready()[..total]) else {
            return Err(input.corrupt(what));
        };
        self.interfaces.push(interface);
        input.take(total);
        Ok(())
    }

    fn interface(&self, block: &[u8]) -> Option<Interface> {
        let parsed = if self.big_endian {
            pcap_parser::parse_interfacedescriptionblock_be(block)
        } else {
            pcap_parser::parse_interfacedescriptionblock_le(block)
        };
        let (_, block) = parsed.ok()?;
        let mut interface = Interface {
            link: LinkType::from_code(block.linktype.0.cast_unsigned()),
            snap_len: block.snaplen,
            units_per_s: 1_000_000,
            offset_s: 0,
        };
        for option in &block.options {
            match (option.code, &*option.value) {
                (OptionCode::IfTsresol, [resolution, ..]) => {
                    let exponent = u32::from(resolution & 0x7f);
                    let base = if resolution & 0x80 == 0 { 10u128 } else { 2 };
                    interface.units_per_s = base.checked_pow(exponent)?;
                }
                (OptionCode::IfTsoffset, value) => {
                    let bytes = *value.first_chunk()?;
                    interface.offset_s =
                        if self.big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) };
                }
                _ => {}
            }
        }
        Some(interface)
    }

    /// Where the packet is in its block; `None` where the block is corrupt.
    fn packet(&self, block: &[u8], kind: u32, last_wall: Wall) -> Option<Found> {
        let word = |at| u32_at(block, at, self.big_endian);
        if kind == SIMPLE_PACKET {
            let interface = self.interfaces.first()?;
            let wire_len = word(8);
            let kept = if interface.snap_len == 0 { wire_len } else { wire_len.min(interface.snap_len) };
            let room = block.len().checked_sub(16)?;
            let len = (kept as usize).min(room);
            return Some(Found { at: 12, len, wire_len, wall: last_wall, link: interface.link });
        }
        let room = block.len().checked_sub(32)?;
        // The obsolete block has a 16-bit interface and a drop count where the enhanced one has 32 bits.
        let index = match kind {
            PACKET if self.big_endian => word(8) >> 16,
            PACKET => word(8) & 0xffff,
            _ => word(8),
        };
        let interface = self.interfaces.get(index as usize)?;
        let len = word(20) as usize;
        if len > room {
            return None;
        }
        let wall = interface.wall(word(12), word(16));
        Some(Found { at: 28, len, wire_len: word(24), wall, link: interface.link })
    }
}

/// The 32-bit field at `at`, 0 beyond the end.
fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(field) if big_endian => u32::from_be_bytes(*field),
        Some(field) => u32::from_le_bytes(*field),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RECORD_MAX, Record, SavefileError, SavefileReader};
    use crate::parse::LinkType;
    use crate::time::Wall;

    /// Writes numbers in one byte order.
    #[derive(Clone, Copy)]
    struct Order {
        big: bool,
    }

    const ORDERS: [Order; 2] = [Order { big: true }, Order { big: false }];

    impl Order {
        fn u16(self, number: u16) -> [u8; 2] {
            if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
        }

        fn u32(self, number: u32) -> [u8; 4] {
            if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
        }

        fn words(self, numbers: &[u32]) -> Vec<u8> {
            numbers.iter().flat_map(|number| self.u32(*number)).collect()
        }

        fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
            [&self.u32(magic)[..], &self.u16(2), &self.u16(4), &self.words(&[0, 0, 65_535, link])].concat()
        }

        fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
            let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
            let total = self.u32((12 + body.len() + padding.len()) as u32);
            [&self.u32(kind)[..], &total, body, &padding, &total].concat()
        }

        fn section(self) -> Vec<u8> {
            let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
            self.block(0x0a0d_0d0a, &body)
        }

        fn interface(self, link: u16, snap_len: u32, options: &[u8]) -> Vec<u8> {
            let body = [&self.u16(link)[..], &[0, 0], &self.u32(snap_len), options].concat();
            self.block(1, &body)
        }

        fn enhanced(self, interface: u32, stamp: u64, wire_len: u32, data: &[u8]) -> Vec<u8> {
            let (high, low) = ((stamp >> 32) as u32, stamp as u32);
            let header = self.words(&[interface, high, low, data.len() as u32, wire_len]);
            self.block(6, &[&header, data].concat())
        }
    }

    type Seen = (Vec<u8>, u32, u64, LinkType, bool);

    /// Every record, and how the file ended.
    fn read(file: &[u8]) -> (Vec<Seen>, Option<SavefileError>) {
        let mut reader = match SavefileReader::new(file) {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(Record { bytes, wire_len, wall: Wall(ns), link, truncated })) => {
                    seen.push((bytes.to_vec(), wire_len, ns, link, truncated));
                }
                Ok(None) => return (seen, None),
                Err(error) => {
                    assert!(matches!(reader.next(), Ok(None)), "an error is told once");
                    return (seen, Some(error));
                }
            }
        }
    }

    #[test]
    fn pcap_is_read_in_both_orders_and_resolutions() {
        for order in ORDERS {
            for (magic, ns) in [(0xa1b2_c3d4, 5_000_007_000), (0xa1b2_3c4d, 5_000_000_007)] {
                let file = [
                    &order.pcap(magic, 101)[..],
                    &order.words(&[5, 7, 3, 3]),
                    b"abc",
                    &order.words(&[6, 0, 2, 1500]),
                    b"de",
                ]
                .concat();
                let (seen, error) = read(&file);
                let first = (b"abc".to_vec(), 3, ns, LinkType::Raw, false);
                let second = (b"de".to_vec(), 1500, 6_000_000_000, LinkType::Raw, true);
                assert_eq!(seen, [first, second]);
                assert!(error.is_none());
            }
        }
    }

    #[test]
    fn kuznetzovs_longer_record_headers_are_skipped() {
        let order = ORDERS[1];
        let file = [&order.pcap(0xa1b2_cd34, 1)[..], &order.words(&[5, 7, 3, 3]), &[9; 8], b"abc"].concat();
        let (seen, error) = read(&file);
        assert_eq!(seen, [(b"abc".to_vec(), 3, 5_000_007_000, LinkType::Ethernet, false)]);
        assert!(error.is_none());
    }

    #[test]
    fn sections_interfaces_and_resolutions_are_told_apart() {
        let mut file = Vec::new();
        for order in ORDERS {
            let nanoseconds = [&order.u16(9)[..], &order.u16(1), &[9, 0, 0, 0]].concat();
            let offset = if order.big { 100i64.to_be_bytes() } else { 100i64.to_le_bytes() };
            let binary = [
                &order.u16(9)[..],
                &order.u16(1),
                &[0x80 | 4, 0, 0, 0],
                &order.u16(14),
                &order.u16(8),
                &offset,
            ]
            .concat();
            file.extend(
                [
                    order.section(),
                    order.interface(1, 0, &[]),
                    order.interface(113, 0, &nanoseconds),
                    order.interface(999, 0, &binary),
                    order.block(5, &[0; 12]),
                    order.enhanced(0, 2_000_001, 5, b"first"),
                    order.enhanced(1, 2_000_001, 99, b"second"),
                    order.enhanced(2, 24, 5, b"third"),
                ]
                .concat(),
            );
        }
        let (seen, error) = read(&file);
        assert!(error.is_none(), "{error:?}");
        let expected = [
            (b"first".to_vec(), 5, 2_000_001_000, LinkType::Ethernet, false),
            (b"second".to_vec(), 99, 2_000_001, LinkType::LinuxSll, true),
            (b"third".to_vec(), 5, 101_500_000_000, LinkType::Unsupported(999), false),
        ];
        assert_eq!(seen, [&expected[..], &expected].concat());
    }

    #[test]
    fn simple_and_obsolete_packet_blocks_are_read() {
        for order in ORDERS {
            let simple = [&order.u32(100)[..], b"cut to f"].concat();
            let obsolete =
                [&order.u16(1)[..], &order.u16(7), &order.words(&[0, 3_000_000, 3, 3]), b"old"].concat();
            let file = [
                order.section(),
                order.interface(1, 5, &[]),
                order.interface(101, 0, &[]),
                order.block(2, &obsolete),
                order.block(3, &simple),
            ]
            .concat();
            let (seen, error) = read(&file);
            assert!(error.is_none(), "{error:?}");
            let old = (b"old".to_vec(), 3, 3_000_000_000, LinkType::Raw, false);
            let cut = (b"cut t".to_vec(), 100, 3_000_000_000, LinkType::Ethernet, true);
            assert_eq!(seen, [old, cut]);
        }
    }

    #[test]
    fn anything_else_is_no_capture() {
        for file in [&b""[..], b"PK", b"GIF89a and so on, long enough for a header"] {
            assert!(matches!(read(file).1, Some(SavefileError::NotACapture)));
        }
    }

    #[test]
    fn a_truncated_file_yields_what_is_whole_then_one_error() {
        let order = ORDERS[1];
        let record = [&order.words(&[5, 7, 3, 3])[..], b"abc"].concat();
        let pcap = [&order.pcap(0xa1b2_c3d4, 1)[..], &record, &record].concat();
        for len in 44..pcap.len() {
            let (seen, error) = read(&pcap[..len]);
            assert_eq!(seen.len(), 1);
            assert!(matches!(error, Some(SavefileError::Truncated { offset: 43, .. })), "{error:?}");
        }
        let ng = [order.section(), order.interface(1, 0, &[]), order.enhanced(0, 1, 3, b"abc")].concat();
        for len in 49..ng.len() {
            let (seen, error) = read(&ng[..len]);
            assert_eq!(seen.len(), 0);
            assert!(matches!(error, Some(SavefileError::Truncated { offset: 48, .. })), "{error:?}");
        }
        assert!(matches!(read(&pcap[..10]).1, Some(SavefileError::Truncated { offset: 0, .. })));
    }

    #[test]
    fn a_corrupt_file_yields_what_is_before_then_one_error() {
        let order = ORDERS[0];
        let head = [order.section(), order.interface(1, 0, &[]), order.enhanced(0, 1, 3, b"abc")].concat();
        let mut other_length = order.enhanced(0, 1, 3, b"abc");
        *other_length.last_mut().unwrap() += 4;
        let mut longer_than_its_block = order.enhanced(0, 1, 3, b"abc");
        longer_than_its_block[23] = 9;
        let mut odd = order.enhanced(0, 1, 3, b"abc");
        odd[7] += 1;
        for bad in [other_length, longer_than_its_block, odd, order.enhanced(7, 1, 3, b"abc")] {
            let (seen, error) = read(&[&head[..], &bad].concat());
            assert_eq!(seen.len(), 1);
            let Some(SavefileError::Corrupt { offset, .. }) = error else { panic!("{error:?}") };
            assert_eq!(offset, head.len() as u64);
        }
    }

    #[test]
    fn a_record_beyond_the_limit_is_refused_with_its_size() {
        let order = ORDERS[1];
        let claimed = RECORD_MAX as u32 + 1;
        let file = [order.pcap(0xa1b2_c3d4, 1), order.words(&[0, 0, claimed, claimed])].concat();
        let Some(SavefileError::TooLarge { offset, len_bytes, max_bytes, .. }) = read(&file).1 else {
            panic!("must be refused")
        };
        assert_eq!((offset, len_bytes, max_bytes), (24, u64::from(claimed), RECORD_MAX as u64));
    }

    #[test]
    fn the_largest_record_and_a_larger_unknown_block_are_read_over() {
        let order = ORDERS[1];
        let largest = vec![7; RECORD_MAX];
        let file = [
            order.section(),
            order.interface(1, 0, &[]),
            order.block(0x0bad, &vec![0; 3 * RECORD_MAX]),
            order.enhanced(0, 1, RECORD_MAX as u32, &largest),
        ]
        .concat();
        let (seen, error) = read(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!((seen.len(), &seen[0].0), (1, &largest));
    }

    proptest! {
        #[test]
        fn a_mutated_file_ends_with_records_or_one_error(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            is_pcap in any::<bool>(),
            big in any::<bool>(),
        ) {
            let order = Order { big };
            let mut file = if is_pcap {
                [&order.pcap(0xa1b2_c3d4, 1)[..], &order.words(&[5, 7, 3, 3]), b"abc"].concat()
            } else {
                let options = [&order.u16(9)[..], &order.u16(1), &[9, 0, 0, 0]].concat();
                [order.section(), order.interface(1, 0, &options), order.enhanced(0, 1, 3, b"abc")].concat()
            };
            for (at, value) in changes {
                let at = at.index(file.len());
                file[at] = value;
            }
            let (seen, _) = read(&file);
            prop_assert!(seen.len() <= 3);
        }
    }
}
