//! A log through its life: growing, ended, begun again, shrunk.

use std::ops::ControlFlow;
use std::path::Path;

use super::directory::{segment_path, stub_path};
use super::*;

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn open(root: &Path, settings: Settings) -> (Segments, Log, Recovery) {
    let segments = Segments::open(root.join("box.segments")).unwrap();
    let (log, recovery) = segments.log(Kind::Events, settings, SECOND).unwrap();
    (segments, log, recovery)
}

/// Appends one block of `count` records, numbered through the log and told one a second.
pub(super) fn add(log: &mut Log, count: u64) -> Appended {
    let mut batch = Batch::new();
    for entry in log.entries()..log.entries() + count {
        let (ip, user) = (format!("ip:10.0.0.{}", entry % 200), format!("user:u{entry}"));
        batch.push(entry * SECOND, &[&ip, &user], format!("record {entry}").as_bytes()).unwrap();
    }
    let now_ns = log.entries() * SECOND;
    log.append(&mut batch, now_ns).unwrap()
}

pub(super) fn all(log: &Log) -> Vec<u64> {
    found(log.directory(), &Query::default()).0
}

pub(super) fn found(directory: &Path, query: &Query) -> (Vec<u64>, Page) {
    let mut entries = Vec::new();
    let page = read(directory, query, &mut |found| {
        assert_eq!(found.body, format!("record {}", found.entry).as_bytes());
        assert_eq!(found.time_ns, found.entry * SECOND);
        entries.push(found.entry);
        ControlFlow::Continue(())
    });
    (entries, page.unwrap())
}

pub(super) fn report(directory: &Path) -> Report {
    verify(directory, Kind::Events, &mut |_| {}).unwrap()
}

pub(super) fn small() -> Settings {
    Settings { segment_bytes_max: 8_000, ..Settings::default() }
}

#[test]
fn what_was_appended_is_read_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, recovery) = open(dir.path(), small());
    assert_eq!(recovery, Recovery::default());
    assert!(all(&log).is_empty());
    assert_eq!(add(&mut log, 10).first_entry, 0);
    assert!(matches!(Segments::open(segments.directory()), Err(StoreError::InUse { .. })));
    for _ in 0..100 {
        add(&mut log, 10);
    }
    assert_eq!(all(&log), (0..1_010).collect::<Vec<_>>());
    let link = log.link();
    drop((log, segments));
    let (_segments, mut log, recovery) = open(dir.path(), small());
    assert_eq!(recovery, Recovery::default());
    assert_eq!((log.entries(), log.link()), (1_010, link));
    add(&mut log, 1);
    assert_eq!(all(&log), (0..1_011).collect::<Vec<_>>());
    let report = report(log.directory());
    assert_eq!((report.faults, report.entries, report.end_entry), (Vec::new(), 1_011, 1_011));
    assert!(report.segments > 3, "{} segments", report.segments);
}

#[test]
fn segments_end_by_age_and_by_schema() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_age_ns_max: 100 * SECOND, ..Settings::default() };
    let (segments, mut log, _) = open(dir.path(), settings);
    for _ in 0..30 {
        add(&mut log, 10);
    }
    assert_eq!(report(log.directory()).segments, 3);
    drop((log, segments));
    let (_segments, mut log, _) = open(dir.path(), Settings { schema: 2, ..settings });
    add(&mut log, 1);
    assert_eq!(report(log.directory()).segments, 4);
    assert!(report(log.directory()).faults.is_empty());
}

#[test]
fn a_search_reads_few_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), Settings { segment_bytes_max: 200_000, ..small() });
    for _ in 0..2_000 {
        add(&mut log, 10);
    }
    let query = Query { from_ns: 12_000 * SECOND, to_ns: 12_025 * SECOND, ..Query::default() };
    let (entries, page) = found(log.directory(), &query);
    assert_eq!(entries, (12_000..12_025).collect::<Vec<_>>());
    assert!(page.blocks_read <= 4, "{page:?}");
    let terms = vec!["user:u777".to_owned()];
    let (entries, page) = found(log.directory(), &Query { terms, ..Query::default() });
    assert_eq!(entries, [777]);
    assert!(page.blocks_read < 60, "{page:?}");
    let terms = vec!["ip:10.0.0.77".to_owned(), "user:u777".to_owned()];
    assert!(found(log.directory(), &Query { terms, ..Query::default() }).0.is_empty());
    let terms = vec!["ip:10.0.0.7".to_owned()];
    let (entries, _) = found(log.directory(), &Query { terms, first_entry: 10_000, ..Query::default() });
    assert_eq!(entries, (50..100).map(|at| at * 200 + 7).collect::<Vec<_>>());
}

#[test]
fn pages_go_on_where_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), small());
    for _ in 0..100 {
        add(&mut log, 7);
    }
    let (mut entries, mut query) = (Vec::new(), Query::default());
    loop {
        let mut page = 0;
        let told = read(log.directory(), &query, &mut |found| {
            entries.push(found.entry);
            page += 1;
            if page == 33 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match told.unwrap().next_entry {
            Some(next) => query.first_entry = next,
            None => break,
        }
    }
    assert_eq!(entries, (0..700).collect::<Vec<_>>());
}

#[test]
fn old_segments_go_and_the_chain_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, _) = open(dir.path(), small());
    for _ in 0..200 {
        add(&mut log, 10);
    }
    let before = log.len_bytes();
    let by_size = Retention { bytes_max: Some(before / 2), ..Retention::default() };
    let removed = log.retain(by_size, 0).unwrap();
    assert!(!removed.is_empty() && log.len_bytes() <= before / 2);
    assert_eq!(removed[0].first_entry, 0);
    let left = removed.last().unwrap().end_entry;
    assert_eq!(all(&log), (left..2_000).collect::<Vec<_>>());
    assert_eq!(log.retain(by_size, 0).unwrap(), []);
    let by_age = Retention { age_ns_max: Some(500 * SECOND), ..Retention::default() };
    log.retain(by_age, 2_000 * SECOND).unwrap();
    let oldest = all(&log)[0];
    assert!((1_300..=1_500).contains(&oldest), "{oldest}");
    let told = report(log.directory());
    assert_eq!((told.faults, told.removed, told.end_entry), (Vec::new(), oldest, 2_000));
    // However often segments were removed, one stub tells of them.
    assert_eq!(told.stubs.len(), 1);
    log.retain(Retention { bytes_max: Some(0), ..Retention::default() }, 0).unwrap();
    drop((log, segments));
    let (_segments, mut log, recovery) = open(dir.path(), small());
    assert_eq!((recovery, log.entries()), (Recovery::default(), 2_000));
    add(&mut log, 1);
    assert!(report(log.directory()).faults.is_empty());
}

#[test]
fn what_is_held_stays_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), small());
    for _ in 0..200 {
        add(&mut log, 10);
    }
    let hold = |name: &str| Hold {
        name: name.to_owned(),
        from_ns: 700 * SECOND,
        to_ns: 710 * SECOND,
        reason: "case 4711".to_owned(),
        by: "ada".to_owned(),
        since_s: 1,
        version: 1,
    };
    log.holds().put(hold("a")).unwrap();
    log.holds().put(hold("b")).unwrap();
    let nothing = Retention { bytes_max: Some(0), ..Retention::default() };
    log.retain(nothing, 0).unwrap();
    let held = |log: &Log| (700..710).all(|entry| all(log).contains(&entry));
    assert!(held(&log) && !all(&log).contains(&0));
    let kept = log.holds().held(&hold("a")).unwrap();
    assert!(kept.segments == 1 && kept.bytes > 1_000 && kept.bytes < log.len_bytes(), "{kept:?}");
    let told = report(log.directory());
    assert_eq!((told.faults, told.stubs.len()), (Vec::new(), 2));
    assert!(log.holds().release("a").unwrap() && !log.holds().release("a").unwrap());
    log.retain(nothing, 0).unwrap();
    assert!(held(&log));
    // Holds that cannot be read keep everything.
    let path = directory::holds_path(log.directory());
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, b"nonsense").unwrap();
    assert!(matches!(log.retain(nothing, 0), Err(StoreError::Damaged { .. })));
    std::fs::write(&path, good).unwrap();
    log.holds().release("b").unwrap();
    log.retain(nothing, 0).unwrap();
    assert!(!held(&log));
    let told = report(log.directory());
    assert_eq!((told.faults, told.stubs.len()), (Vec::new(), 1));
}

#[test]
fn what_was_held_before_a_removal_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), small());
    for _ in 0..200 {
        add(&mut log, 10);
    }
    let nothing = Retention { bytes_max: Some(0), ..Retention::default() };
    let holds = Arc::clone(log.holds());
    // Each hold is there before its segment is looked at, or comes after that is gone.
    let held: Vec<u64> = std::thread::scope(|scope| {
        let holding = scope.spawn(move || {
            let mut held = Vec::new();
            for entry in (0..1_900).step_by(100) {
                let (from_ns, to_ns) = (entry * SECOND, (entry + 1) * SECOND);
                let (reason, by) = (String::new(), String::new());
                let hold =
                    Hold { name: entry.to_string(), from_ns, to_ns, reason, by, since_s: 1, version: 1 };
                holds.put(hold.clone()).unwrap();
                if holds.held(&hold).unwrap().segments > 0 {
                    held.push(entry);
                }
            }
            held
        });
        while !holding.is_finished() {
            log.retain(nothing, 0).unwrap();
            add(&mut log, 10);
        }
        holding.join().unwrap()
    });
    log.retain(nothing, 0).unwrap();
    let left = all(&log);
    assert!(held.iter().all(|entry| left.contains(entry)), "{held:?}");
    assert!(report(log.directory()).faults.is_empty());
}

#[test]
fn a_removal_that_a_crash_interrupted_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, _) = open(dir.path(), small());
    for _ in 0..100 {
        add(&mut log, 10);
    }
    let first = segment_path(log.directory(), 1);
    let kept = std::fs::read(&first).unwrap();
    log.retain(Retention { bytes_max: Some(log.len_bytes() - 1), ..Retention::default() }, 0).unwrap();
    assert!(stub_path(log.directory(), 1).exists());
    std::fs::write(&first, kept).unwrap();
    assert!(report(log.directory()).faults.is_empty());
    drop((log, segments));
    let (_segments, log, _) = open(dir.path(), small());
    assert!(!first.exists());
    assert!(report(log.directory()).faults.is_empty());
}

#[test]
fn an_append_that_fails_leaves_nothing_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (_segments, mut log, _) = open(dir.path(), small());
    add(&mut log, 10);
    // A directory in the place of the next segment: the disk does not do what it is asked.
    let next = segment_path(log.directory(), 2).with_extension("new");
    std::fs::create_dir(&next).unwrap();
    let mut batch = Batch::new();
    let noise: Vec<u8> =
        (0..40_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    batch.push(10 * SECOND, &[], &noise).unwrap();
    assert!(matches!(log.append(&mut batch, 0), Err(StoreError::Failing { .. })));
    assert_eq!((log.entries(), batch.len()), (10, 1));
    std::fs::remove_dir(next).unwrap();
    assert_eq!(log.append(&mut batch, 0).unwrap().first_entry, 10);
    assert!(report(log.directory()).faults.is_empty());
}

#[test]
fn a_full_disk_is_told_and_half_a_block_never_counts() {
    // `/dev/full` behind the segment's name: every write is refused with ENOSPC.
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, _) = open(dir.path(), Settings::default());
    add(&mut log, 10);
    drop((log, segments));
    let (_segments, mut log, _) = open(dir.path(), Settings::default());
    let path = segment_path(log.directory(), 1);
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    log.forget_file();
    let mut batch = Batch::new();
    batch.push(10 * SECOND, &[], b"record 10").unwrap();
    for _ in 0..3 {
        let told = log.append(&mut batch, 0);
        assert!(matches!(told, Err(StoreError::Full { .. })), "{told:?}");
    }
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(log.append(&mut batch, 0).unwrap().first_entry, 10);
    assert_eq!(all(&log), (0..11).collect::<Vec<_>>());
}

#[test]
fn a_later_versions_segment_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, mut log, _) = open(dir.path(), small());
    add(&mut log, 10);
    let path = segment_path(log.directory(), 1);
    drop(log);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..80]).to_le_bytes();
    bytes[80..84].copy_from_slice(&crc);
    std::fs::write(&path, &bytes).unwrap();
    let told = segments.log(Kind::Events, small(), 0).map(|_| ());
    assert!(matches!(told, Err(StoreError::Newer { found: 2, known: 1, .. })), "{told:?}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
