//! Many captures as one long file: one after another in time, as often as it takes.
//!
//! Between two captures lies more than any flow's timeout, so each repetition's flows are new ones to whoever reads
//! the file. Frames stay as captured; those of other link types than Ethernet are left out, for a pcap file has one.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use dataplane::parse::LinkType;
use dataplane::rx::savefile::SavefileReader;

/// Time between the last packet of a capture and the first of the next: established TCP connections live for an hour.
const PAUSE_NS: u64 = 2 * 3_600_000_000_000;
/// Time of the first packet.
const START_NS: u64 = 1_700_000_000_000_000_000;
/// Most bytes of a frame, as libpcap has it.
const FRAME_MAX: usize = 262_144;

/// One frame, and when it came after the first of its capture.
struct Frame {
    after_ns: u64,
    bytes: Box<[u8]>,
}

/// Ethernet frames of captures, to be written as often as wanted.
pub(crate) struct Merged {
    captures: Vec<Vec<Frame>>,
}

impl Merged {
    /// Reads what can be read of `files`.
    pub(crate) fn read(files: &[PathBuf]) -> Self {
        let captures = files.iter().map(|file| frames(file)).filter(|frames| !frames.is_empty());
        Self { captures: captures.collect() }
    }

    /// Captures with a frame that can be written.
    pub(crate) fn captures(&self) -> usize {
        self.captures.len()
    }

    /// Frames of one repetition.
    pub(crate) fn packets(&self) -> usize {
        self.captures.iter().map(Vec::len).sum()
    }

    /// Writes a pcap file with nanoseconds, `times` repetitions of all captures.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(crate) fn write(&self, path: &Path, times: usize) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        // Magic number of nanoseconds, version 2.4, no offset, snap length, Ethernet.
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, FRAME_MAX as u32, 1] {
            file.write_all(&word.to_le_bytes())?;
        }
        let mut start = START_NS;
        for capture in std::iter::repeat_n(&self.captures, times).flatten() {
            let mut last = start;
            for frame in capture {
                last = last.max(start + frame.after_ns);
                let (seconds, nanoseconds) = (last / 1_000_000_000, last % 1_000_000_000);
                let len = frame.bytes.len() as u32;
                for word in [seconds as u32, nanoseconds as u32, len, len] {
                    file.write_all(&word.to_le_bytes())?;
                }
                file.write_all(&frame.bytes)?;
            }
            start = last + PAUSE_NS;
        }
        file.flush()
    }
}

fn frames(file: &Path) -> Vec<Frame> {
    let mut frames = Vec::new();
    let Ok(source) = File::open(file) else { return frames };
    let Ok(mut reader) = SavefileReader::new(source) else { return frames };
    let mut first = None;
    while let Ok(Some(record)) = reader.next() {
        if record.link != LinkType::Ethernet || record.bytes.len() > FRAME_MAX {
            continue;
        }
        let first = *first.get_or_insert(record.wall.0);
        // A clock that jumps by days would make of one capture many.
        let after_ns = record.wall.0.saturating_sub(first).min(PAUSE_NS);
        frames.push(Frame { after_ns, bytes: record.bytes.into() });
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_follow_each_other_with_a_pause() {
        let folder = tempfile::tempdir().unwrap();
        let frame = |after_ns| Frame { after_ns, bytes: Box::from([7_u8; 60]) };
        let merged = Merged { captures: vec![vec![frame(0), frame(5)], vec![frame(0)]] };
        let path = folder.path().join("twice.pcap");
        merged.write(&path, 2).unwrap();
        let again = frames(&path);
        let times: Vec<u64> = again.iter().map(|frame| frame.after_ns).collect();
        assert_eq!((merged.packets(), merged.captures(), again.len()), (3, 2, 6));
        assert_eq!(times[..3], [0, 5, PAUSE_NS]);
        assert!(again.iter().all(|frame| frame.bytes[..] == [7; 60]));
    }
}
