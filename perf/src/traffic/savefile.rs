//! A workload from a capture file: pcap or pcapng with Ethernet frames.
//!
//! The first to speak of two hosts is on side A. MAC addresses become those of the far ends; nothing else
//! is changed, so checksums stay as captured. Times are not kept: the sender paces.

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::trace::{Side, Trace};
use super::workload::{MAC_A, MAC_B, Spec};

/// Longer packets are left out: the rig's links carry no more (1,500 bytes of IP), and would lose them.
const PACKET_MAX: usize = 1514;

/// Why a capture gives no workload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Open { path: PathBuf, source: std::io::Error },
    /// Neither pcap nor pcapng, or broken at its start.
    #[error("{}: no capture file: {reason}", path.display())]
    Format { path: PathBuf, reason: String },
    /// Nothing in it can be sent.
    #[error("{}: no Ethernet frame with IP of at most {PACKET_MAX} bytes among {seen} packets", path.display())]
    Empty { path: PathBuf, seen: u64 },
}

/// Reads what can be sent of the capture at `path`. A file that ends in the middle of a packet gives what
/// came before.
///
/// # Errors
///
/// See [`Error`].
pub(crate) fn read(path: &Path, spec: &Spec) -> Result<Trace, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.into(), source })?;
    let format = |reason: String| Error::Format { path: path.into(), reason };
    let mut reader = create_reader(1 << 20, file).map_err(|error| format(format!("{error:?}")))?;
    let mut sorter = Sorter { spec, sides: HashMap::new(), trace: Trace::of_whole_packets(), seen: 0 };
    let mut link_types = Vec::new();
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => link_types = vec![header.network],
                    PcapBlockOwned::Legacy(packet) => sorter.take(link_types.first(), packet.data),
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => link_types.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        link_types.push(interface.linktype);
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let bytes = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                        sorter.take(link_types.get(packet.if_id as usize), bytes);
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                        sorter.take(link_types.first(), packet.data);
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => {
                if reader.reader_exhausted() || reader.refill().is_err() {
                    break;
                }
            }
            Err(error) if sorter.seen == 0 => return Err(format(format!("{error:?}"))),
            Err(_) => break,
        }
    }
    if sorter.trace.is_empty() {
        return Err(Error::Empty { path: path.into(), seen: sorter.seen });
    }
    Ok(sorter.trace)
}

struct Sorter<'a> {
    spec: &'a Spec,
    sides: HashMap<(IpAddr, IpAddr), Side>,
    trace: Trace,
    seen: u64,
}

impl Sorter<'_> {
    fn take(&mut self, link_type: Option<&Linktype>, bytes: &[u8]) {
        self.seen += 1;
        if link_type != Some(&Linktype::ETHERNET) || bytes.len() > PACKET_MAX {
            return;
        }
        let Some((src, dst)) = addresses(bytes) else { return };
        let side = match self.sides.get(&(src, dst)) {
            Some(side) => *side,
            None => {
                self.sides.insert((src, dst), Side::A);
                self.sides.insert((dst, src), Side::B);
                Side::A
            }
        };
        let mut frame = bytes.to_vec();
        let (own, other) = match side {
            Side::A => (MAC_A, self.spec.mac_from_a),
            Side::B => (MAC_B, self.spec.mac_from_b),
        };
        frame[..6].copy_from_slice(&other);
        frame[6..12].copy_from_slice(&own);
        super::frame::pad_to(&mut frame, super::frame::FRAME_MIN);
        self.trace.push(&frame, side, None);
    }
}

/// Source and destination of an untagged IP packet.
fn addresses(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?));
    let v6 = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?));
    match frame.get(12..14)? {
        [0x08, 0x00] => Some((v4(26)?, v4(30)?)),
        [0x86, 0xdd] => Some((v6(22)?, v6(38)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::super::workload::Kind;
    use super::*;

    fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        for (index, packet) in packets.iter().enumerate() {
            for word in [index as u32, 0, packet.len() as u32, packet.len() as u32] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(packet);
        }
        file
    }

    fn write(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn the_first_speaker_is_on_side_a_and_a_cut_file_gives_its_beginning() {
        let path = frame::tests::path_v4();
        let packets = [
            frame::udp(&path, b"question"),
            frame::udp(&path.reversed(), b"answer"),
            frame::udp(&path, b"!"),
        ];
        let bytes = capture(&packets);
        let spec = Spec::new(Kind::Udp64, 1, 1);
        let whole = read(write(&bytes).path(), &spec).unwrap();
        let sides: Vec<Side> = whole.iter().map(|packet| packet.side).collect();
        assert_eq!(sides, [Side::A, Side::B, Side::A]);
        assert_eq!(whole.get(1).head[..6], MAC_A);
        assert_eq!(whole.get(1).head[14..48], packets[1][14..48]);
        let cut = read(write(&bytes[..bytes.len() - 5]).path(), &spec).unwrap();
        assert_eq!(cut.len(), 2);
    }

    #[test]
    fn a_file_without_packets_and_one_that_is_no_capture_are_refused() {
        let spec = Spec::new(Kind::Udp64, 1, 1);
        assert!(matches!(read(write(&capture(&[])).path(), &spec), Err(Error::Empty { seen: 0, .. })));
        assert!(matches!(
            read(write(b"no capture at all, surely not").path(), &spec),
            Err(Error::Format { .. })
        ));
        assert!(matches!(read(Path::new("/nonexistent"), &spec), Err(Error::Open { .. })));
    }
}
