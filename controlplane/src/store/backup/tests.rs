//! What becomes of backups that are damaged, forged, interrupted or without room?

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;
use crate::store::segments::{Batch, Segments, Settings};
use crate::store::{Entities, StoreError, Table};
use std::path::Path;

const WORDS: Table<String> = Table::new("words");

/// Entities and a log in `dir`.
fn fill(dir: &Path) -> Entities {
    let entities = Entities::open(dir.join("box.redb")).unwrap();
    for number in 0..50 {
        entities.write(|write| write.put(&WORDS, &format!("{number}"), &"word ".repeat(number))).unwrap();
    }
    let segments = Segments::open(dir.join("box.segments")).unwrap();
    let settings = Settings { segment_bytes_max: 3_000, ..Settings::default() };
    let (mut log, _) = segments.log(Kind::Flows, settings, 1).unwrap();
    for number in 0..200_u64 {
        let mut batch = Batch::new();
        batch.push(number, &[], format!("flow {number}").as_bytes()).unwrap();
        log.append(&mut batch, 1).unwrap();
    }
    std::fs::write(dir.join("keys.json"), "{}").unwrap();
    entities
}

fn back_up(dir: &Path, entities: &Entities, out: &Path) -> Result<Manifest, StoreError> {
    let sign = |_: &[u8]| Signed { kid: "k".into(), alg: "a".into(), signature: "s".into() };
    let content = Content {
        entities,
        segments: &dir.join("box.segments"),
        keys: Some(&dir.join("keys.json")),
        box_key: Some(b"sealed"),
        protection: Protection::Passphrase,
        box_key_id: "0011223344556677".into(),
        files: &[dir.join("no such file")],
        version: "test",
        created_s: 7,
        sign: &sign,
        goes_on: &|_, _| true,
    };
    write(&content, out, &dir.join("aside"))
}

fn told(archive: &Path, state: &Path) -> String {
    let error = unpack(archive, state, "box").err().map(|error| error.to_string());
    assert!(!state.join("box.restore.new").exists(), "nothing is left of it");
    error.unwrap_or_default()
}

#[test]
fn what_is_packed_comes_back_and_what_was_there_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let entities = fill(dir.path());
    let archive = dir.path().join("backup.tar");
    let manifest = back_up(dir.path(), &entities, &archive).unwrap();
    assert!(manifest.files.len() > 5 && !dir.path().join("aside").exists());
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("box.redb"), "what was there").unwrap();
    let unpacked = unpack(&archive, state.path(), "box").unwrap();
    assert_eq!(std::fs::read(state.path().join("box.redb")).unwrap(), b"what was there");
    let placed = unpacked.place(&[("box.box.key".to_owned(), b"key".to_vec())]).unwrap();
    assert_eq!(placed.names, ["box.box.key", "box.keys.json", "box.redb", "box.segments"]);
    let before = placed.before.unwrap();
    assert_eq!(std::fs::read(before.join("box.redb")).unwrap(), b"what was there");
    let again = Entities::open(state.path().join("box.redb")).unwrap();
    assert_eq!(again.all(&WORDS).unwrap(), entities.all(&WORDS).unwrap());
    let (log, recovery) = Segments::open(state.path().join("box.segments"))
        .unwrap()
        .log(Kind::Flows, Settings::default(), 1)
        .unwrap();
    assert_eq!((log.entries(), recovery), (200, crate::store::segments::Recovery::default()));
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 5);
}

#[test]
fn damage_is_named_and_nothing_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let entities = fill(dir.path());
    let archive = dir.path().join("backup.tar");
    let manifest = back_up(dir.path(), &entities, &archive).unwrap();
    let good = std::fs::read(&archive).unwrap();
    let state = tempfile::tempdir().unwrap();
    // A byte of each file: files follow each other at multiples of 512, each after its header.
    let mut at = 512;
    for packed in &manifest.files {
        let mut bytes = good.clone();
        bytes[at + packed.bytes as usize / 2] ^= 1;
        std::fs::write(&archive, &bytes).unwrap();
        let told = told(&archive, state.path());
        assert!(told.contains(&packed.path) && told.contains("damaged"), "{}: {told}", packed.path);
        at += (packed.bytes as usize).next_multiple_of(512) + 512;
    }
    for cut in [0, 100, good.len() / 2, at, good.len() - 2_000] {
        std::fs::write(&archive, &good[..cut]).unwrap();
        assert!(!told(&archive, state.path()).is_empty(), "cut at {cut}");
    }
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn names_that_no_backup_has_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("forged.tar");
    for name in [
        "../../etc/passwd",
        "/etc/passwd",
        "segments/audit/../../x",
        "segments/other/1",
        "files/a/b",
        "files/..",
        "x",
    ] {
        let mut tar = tar::Builder::new(std::fs::File::create(&archive).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &b"x"[..]).unwrap();
        tar.finish().unwrap();
        assert!(told(&archive, dir.path()).contains("which no backup has"), "{name}");
    }
    // A link in the place of a file.
    let mut tar = tar::Builder::new(std::fs::File::create(&archive).unwrap());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "entities.redb", "/etc/passwd").unwrap();
    tar.finish().unwrap();
    assert!(told(&archive, dir.path()).contains("which no backup has"));
}

#[test]
fn a_full_disk_is_told_and_a_request_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let entities = fill(dir.path());
    let full = dir.path().join("full.tar");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let told = back_up(dir.path(), &entities, &full);
    assert!(matches!(told, Err(StoreError::Full { .. })), "{told:?}");
    assert!(!dir.path().join("aside").exists());
    // Nothing to copy the entities to: the box itself goes on.
    let nowhere = entities.copy_to(&dir.path().join("no/such/copy"));
    assert!(nowhere.is_err());
    assert_eq!(entities.all(&WORDS).unwrap().len(), 50);
}

/// Killed after the rename that makes it valid, in the middle of moving: the next start ends it.
#[test]
fn a_restoring_that_was_interrupted_is_ended() {
    let state = tempfile::tempdir().unwrap();
    let at = |name: &str| state.path().join(name);
    std::fs::create_dir(at("box.restore.ready")).unwrap();
    for (name, text) in [("box.redb", "moved already"), ("box.keys.json", "old")] {
        std::fs::write(at(name), text).unwrap();
    }
    std::fs::write(at("box.restore.ready/box.keys.json"), "new").unwrap();
    assert_eq!(finish(state.path(), "box").unwrap().names, ["box.keys.json"]);
    assert_eq!(std::fs::read_to_string(at("box.redb")).unwrap(), "moved already");
    assert_eq!(std::fs::read_to_string(at("box.keys.json")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(at("box.before-restore/box.keys.json")).unwrap(), "old");
    assert_eq!(finish(state.path(), "box").unwrap(), Placed::default(), "once");
}

const DIRECTORY: &str = "JARVIS_TEST_BACKUP_DIRECTORY";

/// Makes backups until it is killed.
#[test]
fn child_that_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let dir = Path::new(&directory);
    let entities = Entities::open(dir.join("box.redb")).unwrap();
    let mut told = std::io::stdout().lock();
    loop {
        writeln!(told, "begin").unwrap();
        told.flush().unwrap();
        back_up(dir, &entities, &dir.join("backup.part")).unwrap();
        std::fs::rename(dir.join("backup.part"), dir.join("backup.tar")).unwrap();
    }
}

#[test]
fn kill_9_leaves_whole_backups_or_none() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path()));
    let mut whole = 0;
    for kill in 0..25_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::backup::tests::child_that_is_killed", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.take(20).any(|line| line.contains("begin")), "the child ended by itself");
        std::thread::sleep(std::time::Duration::from_micros(kill * 7_919 % 30_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let state = tempfile::tempdir().unwrap();
        if dir.path().join("backup.tar").exists() {
            unpack(&dir.path().join("backup.tar"), state.path(), "box").unwrap();
            whole += 1;
        }
        let entities = Entities::open(dir.path().join("box.redb")).unwrap();
        assert_eq!(entities.all(&WORDS).unwrap().len(), 50);
    }
    assert!(whole > 0, "no backup was ever done");
}
