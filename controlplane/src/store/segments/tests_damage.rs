//! What happens to files that are torn, damaged, or changed by somebody: all of it is found and named, and nothing that
//! was acknowledged is cut off.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::directory::{head_path, index_path, segment_path};
use super::format::{BLOCK_HEADER, BlockHeader, SEGMENT_HEADER};
use super::tests::{add, all, open, report, small};
use super::walk::{Item, Walk};
use super::*;

/// One segment with ten blocks of five entries; its bytes, and where blocks begin and end.
struct One {
    dir: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    blocks: Vec<(usize, usize)>,
}

impl One {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (_segments, mut log, _) = open(dir.path(), Settings::default());
        for _ in 0..10 {
            add(&mut log, 5);
        }
        log.note().unwrap();
        let path = segment_path(log.directory(), 1);
        let blocks = blocks(&path);
        Self { bytes: fs::read(&path).unwrap(), dir, path, blocks }
    }

    fn log_directory(&self) -> &Path {
        self.path.parent().unwrap()
    }

    /// The report with these bytes in the place of the segment.
    fn with(&self, bytes: &[u8]) -> Report {
        fs::write(&self.path, bytes).unwrap();
        report(self.log_directory())
    }

    fn block(&self, index: usize) -> &[u8] {
        let (begin, end) = self.blocks[index];
        &self.bytes[begin..end]
    }
}

fn blocks(path: &Path) -> Vec<(usize, usize)> {
    let mut walk = Walk::open(path, false).unwrap();
    let mut blocks = Vec::new();
    while let Some(item) = walk.next().unwrap() {
        let Item::Block(block) = item else { panic!("{item:?}") };
        blocks.push((block.offset as usize, (block.offset + block.header.len_bytes()) as usize));
    }
    blocks
}

/// The only fault of a report, or the first.
fn first(report: &Report) -> &Fault {
    report.faults.first().unwrap_or_else(|| panic!("nothing was found: {report:?}"))
}

#[test]
fn every_byte_that_is_flipped_is_found_and_its_block_named() {
    let one = One::make();
    for at in 0..one.bytes.len() {
        let mut bytes = one.bytes.clone();
        bytes[at] ^= 0x10;
        let report = one.with(&bytes);
        let fault = first(&report);
        assert_eq!(fault.file, one.path, "byte {at}");
        if at < SEGMENT_HEADER {
            assert_eq!(
                (fault.block, fault.offset, fault.wrong),
                (None, Some(0), Wrong::Damaged),
                "byte {at}"
            );
            continue;
        }
        let index = one.blocks.iter().position(|(begin, end)| (*begin..*end).contains(&at)).unwrap() as u64;
        assert_eq!(report.faults.len(), 1, "byte {at}: {:?}", report.faults);
        assert_eq!((fault.block, fault.wrong), (Some(index), Wrong::Damaged), "byte {at}");
        assert_eq!(fault.entries, Some((index * 5, index * 5 + 5)), "byte {at}");
        // All others are read.
        assert_eq!(report.entries, 45, "byte {at}");
    }
}

#[test]
fn bytes_that_are_cut_off_are_missed() {
    let one = One::make();
    for len in 0..one.bytes.len() {
        let report = one.with(&one.bytes[..len]);
        let fault = first(&report);
        assert_eq!(fault.file, one.path, "{len} bytes left");
        let (_, end) = report.faults.last().unwrap().entries.unwrap_or((0, 50));
        assert_eq!(
            end.max(fault.entries.map_or(0, |(_, end)| end)),
            50,
            "{len} bytes left: {:?}",
            report.faults
        );
    }
}

#[test]
fn a_block_that_is_removed_doubled_or_moved_is_named() {
    let one = One::make();
    let rebuilt = |order: &[usize]| {
        let mut bytes = one.bytes[..SEGMENT_HEADER].to_vec();
        order.iter().for_each(|index| bytes.extend_from_slice(one.block(*index)));
        one.with(&bytes)
    };
    for removed in 0..10 {
        let order: Vec<usize> = (0..10).filter(|index| *index != removed).collect();
        let report = rebuilt(&order);
        let fault = first(&report);
        let from = removed as u64 * 5;
        assert_eq!((fault.wrong, fault.entries), (Wrong::Missing, Some((from, from + 5))), "block {removed}");
        assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
    }
    let report = rebuilt(&[0, 1, 3, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!((first(&report).wrong, first(&report).entries), (Wrong::Missing, Some((10, 15))));
    assert!(
        report.faults.iter().any(|fault| (fault.wrong, fault.entries) == (Wrong::Reordered, Some((10, 15))))
    );
    let report = rebuilt(&[0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((first(&report).wrong, first(&report).entries), (Wrong::Reordered, Some((10, 15))));
    assert_eq!(
        report.faults[0].to_string(),
        format!(
            "{}, block 3 at byte {}, entries 10 to 14: out of their order",
            one.path.display(),
            one.blocks[3].0
        )
    );
    assert!(rebuilt(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).faults.is_empty());
}

#[test]
fn a_block_that_is_written_anew_with_good_checksums_is_named() {
    let one = One::make();
    for changed in 0..10 {
        let mut bytes = one.bytes.clone();
        let (begin, end) = one.blocks[changed];
        let mut header =
            BlockHeader::of_bytes(bytes[begin..begin + BLOCK_HEADER].try_into().unwrap()).unwrap();
        // Another time of a record, as far as the header tells: all checksums are right.
        header.last_ns += 1;
        bytes[begin..begin + BLOCK_HEADER].copy_from_slice(&header.to_bytes());
        let report = one.with(&bytes);
        let fault = first(&report);
        let from = changed as u64 * 5;
        assert_eq!((fault.wrong, fault.entries), (Wrong::Changed, Some((from, from + 5))), "block {changed}");
        assert_eq!(fault.block, Some(changed as u64));
        assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
        assert_ne!(Sha256::digest(&bytes[begin..end]), Sha256::digest(one.block(changed)));
    }
}

#[test]
fn a_segment_that_is_removed_is_named_whichever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), small());
    for _ in 0..100 {
        add(&mut log, 10);
    }
    let whole = report(log.directory());
    assert!(whole.faults.is_empty() && whole.segments > 3);
    for sequence in 1..=whole.segments {
        let path = segment_path(log.directory(), sequence);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let told = report(log.directory());
        assert_eq!((first(&told).wrong, &first(&told).file), (Wrong::SegmentMissing, &path));
        let missing = whole.entries - told.entries;
        if sequence < whole.segments {
            assert_eq!(told.faults.len(), 1, "{:?}", told.faults);
            let (from, to) = first(&told).entries.unwrap();
            assert_eq!(to - from, missing);
        }
        fs::write(&path, bytes).unwrap();
    }
    // Two that change places.
    let [one, two] = [2, 3].map(|sequence| segment_path(log.directory(), sequence));
    let [first_bytes, second_bytes] = [&one, &two].map(|path| fs::read(path).unwrap());
    fs::write(&one, second_bytes).unwrap();
    fs::write(&two, first_bytes).unwrap();
    assert_eq!(
        (first(&report(log.directory())).wrong, &first(&report(log.directory())).file),
        (Wrong::Foreign, &one)
    );
}

#[test]
fn a_head_or_a_stub_that_is_removed_or_damaged_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), small());
    for _ in 0..100 {
        add(&mut log, 10);
    }
    log.retain(Retention { bytes_max: Some(log.len_bytes() / 2), ..Retention::default() }, 0).unwrap();
    let directory = log.directory().to_owned();
    for path in [head_path(&directory), directory::stub_path(&directory, 1)] {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() = b'x';
        fs::write(&path, bad).unwrap();
        let told = report(&directory);
        assert_eq!((first(&told).wrong, &first(&told).file), (Wrong::Damaged, &path));
        fs::remove_file(&path).unwrap();
        assert!(!report(&directory).faults.is_empty());
        fs::write(&path, good).unwrap();
        assert!(report(&directory).faults.is_empty());
    }
    // A lost or wrong index costs time only.
    let index = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let index = index.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "index")).unwrap();
    let entries = all(&log);
    fs::write(&index, b"nonsense").unwrap();
    assert_eq!(all(&log), entries);
    assert!(index_path(&directory, 1) != index);
}

#[test]
fn a_torn_end_is_cut_and_what_was_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, _) = open(dir.path(), Settings::default());
    for _ in 0..4 {
        add(&mut log, 5);
    }
    let path = segment_path(log.directory(), 1);
    let acknowledged = fs::read(&path).unwrap();
    add(&mut log, 5);
    let with_next = fs::read(&path).unwrap();
    drop((log, segments));
    for len in acknowledged.len()..with_next.len() {
        for tail in [&b""[..], &[0; 4_096], &[0xff; 100], b"JBLK"] {
            let mut bytes = with_next[..len].to_vec();
            bytes.extend_from_slice(tail);
            fs::write(&path, &bytes).unwrap();
            let told = report(path.parent().unwrap());
            assert!(told.faults.is_empty(), "{len}: {:?}", told.faults);
            let (_segments, mut log, recovery) = open(dir.path(), Settings::default());
            let cut = bytes.len() - acknowledged.len();
            let expected = (cut > 0).then(|| (path.clone(), acknowledged.len() as u64, cut as u64));
            assert_eq!((recovery.cut, recovery.damaged), (expected, Vec::new()), "{len}");
            assert_eq!(log.entries(), 20);
            assert_eq!(fs::read(&path).unwrap(), acknowledged);
            if len % 16 == 0 {
                add(&mut log, 5);
                assert_eq!(all(&log), (0..25).collect::<Vec<_>>());
                assert!(report(log.directory()).faults.is_empty());
                drop(log);
                fs::write(&path, &acknowledged).unwrap();
                // The head knew nothing of the new block yet.
            }
        }
    }
}

#[test]
fn damage_is_not_cut_off_and_writing_goes_on_behind_it() {
    let one = One::make();
    for (name, at) in [("first", 0), ("middle", 5), ("last", 9)] {
        let mut bytes = one.bytes.clone();
        let (begin, end) = one.blocks[at];
        bytes[begin + BLOCK_HEADER + 20] ^= 1;
        assert!(begin + BLOCK_HEADER + 20 < end);
        fs::write(&one.path, &bytes).unwrap();
        let (_segments, mut log, recovery) = open(one.dir.path(), Settings::default());
        assert_eq!(recovery.cut, None, "{name}");
        assert_eq!(recovery.damaged.len(), 1, "{name}: {recovery:?}");
        assert_eq!(fs::read(&one.path).unwrap(), bytes, "{name}: the segment was changed");
        assert_eq!(add(&mut log, 5).first_entry, 50, "{name}");
        let from = at as u64 * 5;
        let left: Vec<u64> = (0..55).filter(|entry| !(from..from + 5).contains(entry)).collect();
        assert_eq!(all(&log), left, "{name}");
        let told = report(log.directory());
        assert_eq!(told.faults.len(), 1, "{name}: {:?}", told.faults);
        assert_eq!(
            (first(&told).wrong, first(&told).entries),
            (Wrong::Damaged, Some((from, from + 5))),
            "{name}"
        );
        fs::remove_file(segment_path(log.directory(), 2)).unwrap();
        fs::write(&one.path, &one.bytes).unwrap();
        let head =
            directory::Head { segment: 1, entries: 50, link: Link(Sha256::digest(one.block(9)).into()) };
        note::write(&head_path(log.directory()), &head).unwrap();
    }
}

#[test]
fn a_record_that_looks_like_a_block_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, _) = open(dir.path(), Settings::default());
    add(&mut log, 5);
    let path = segment_path(log.directory(), 1);
    let acknowledged = fs::read(&path).unwrap();
    // A whole block of another segment within a record, stored as it is, and the append torn behind it.
    let another = One::make();
    let mut batch = Batch::new();
    batch.push(0, &[], another.block(0)).unwrap();
    log.append(&mut batch, 0).unwrap();
    drop((log, segments));
    let mut torn = acknowledged.clone();
    torn.extend_from_slice(another.block(0));
    torn.extend_from_slice(&another.block(1)[..50]);
    fs::write(&path, &torn).unwrap();
    let (_segments, log, recovery) = open(dir.path(), Settings::default());
    assert!(recovery.cut.is_some(), "{recovery:?}");
    assert_eq!((log.entries(), fs::read(&path).unwrap()), (5, acknowledged));
}

#[test]
fn nonsense_in_the_place_of_a_segment_takes_no_memory_and_no_panic() {
    let one = One::make();
    let mut state = 7_u64;
    for len in [0, 1, 83, 84, 100, 5_000, 300_000] {
        let noise: Vec<u8> = (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert!(!one.with(&noise).faults.is_empty(), "{len}");
        let magic = b"JBLK".repeat(len / 4);
        assert!(!one.with(&magic).faults.is_empty(), "{len}");
    }
}
