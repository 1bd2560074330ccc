//! The audit from the first entry to the verdict on it.

use std::path::PathBuf;

use super::*;
use crate::services::auth::algorithm::Algorithm;
use crate::services::auth::key::{SigningKey, VerifyingKey};
use crate::services::auth::key_ring::KeyRing;
use crate::services::auth::{KeyOrigin, Keys, Settings as AuthSettings};
use crate::store::sealed::BoxKey;
use crate::store::segments::Batch;
use crate::store::{Entities, KeyFile};

struct Bench {
    dir: tempfile::TempDir,
    auth: Arc<Auth>,
    subjects: Arc<Subjects>,
}

fn clock() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::of(SigningKey::generate(Algorithm::SlhDsaSha2_128f).unwrap());
        let origin = KeyOrigin::File(KeyFile::at(dir.path().join("keys.json")));
        let store = Arc::new(Entities::open(dir.path().join("e.redb")).unwrap());
        let auth = Auth::open(&store, &Keys { ring, origin }, AuthSettings::default(), 1).unwrap();
        let box_key = Arc::new(BoxKey::generate().unwrap());
        let subjects = Arc::new(Subjects::open(store, box_key));
        Self { dir, auth: Arc::new(auth), subjects }
    }

    fn open(&self, settings: Settings) -> Audit {
        let segments = Segments::open(self.dir.path().join("box.segments")).unwrap();
        let (audit, recovery) = Audit::open(segments, &self.auth, &self.subjects, settings, clock).unwrap();
        assert_eq!(recovery, Recovery::default());
        audit
    }

    fn directory(&self) -> PathBuf {
        self.dir.path().join("box.segments/audit")
    }

    fn keys(&self) -> Vec<VerifyingKey> {
        vec![self.auth.ring().signing().verifying().clone()]
    }

    fn verdict(&self) -> Verdict {
        verify(&self.directory(), &self.keys()).unwrap()
    }
}

fn few() -> Settings {
    Settings { checkpoint_entries: 10, ..Settings::default() }
}

fn entry(number: u64) -> Entry {
    let target = Some(format!("u-{number}"));
    Entry::by_system(clock(), "account.change", target, Some(serde_json::json!({ "number": number })))
}

#[test]
fn entries_are_signed_searched_and_verified() {
    let bench = Bench::new();
    for run in 0..3 {
        let audit = bench.open(few());
        for number in 0..25 {
            audit.append_blocking(entry(number)).unwrap();
        }
        let of_seven = Question { target: Some("u-7".to_owned()), limit: 100, ..Question::default() };
        assert_eq!(audit.search(&of_seven).unwrap().entries.len(), run + 1);
    }
    let verdict = bench.verdict();
    assert_eq!(verdict.faults, Vec::<String>::new());
    assert!(verdict.checkpoints >= 3, "{verdict:?}");
    assert_eq!(verdict.signed_entries, verdict.chain.end_entry - 1, "the last one is the checkpoint itself");
    // Keys that are not known: the chain alone proves nothing.
    let verdict = verify(&bench.directory(), &[]).unwrap();
    assert!(verdict.faults[0].contains("--keys"), "{verdict:?}");
    // Another's keys do not either.
    let other = SigningKey::generate(Algorithm::SlhDsaSha2_128f).unwrap();
    assert!(!verify(&bench.directory(), &[other.verifying().clone()]).unwrap().faults.is_empty());
}

#[test]
fn pages_leave_nothing_out() {
    let bench = Bench::new();
    let audit = bench.open(few());
    for number in 0..25 {
        audit.append_blocking(entry(number)).unwrap();
    }
    let mut question = Question { limit: 7, ..Question::default() };
    let mut numbers = Vec::new();
    loop {
        let page = audit.search(&question).unwrap();
        numbers.extend(page.entries.iter().map(|(_, entry)| entry["after"]["number"].as_u64().unwrap()));
        match page.next {
            Some(next) => question.cursor = next,
            None => break,
        }
    }
    assert_eq!(numbers, (0..25).collect::<Vec<_>>());
}

/// Whoever may write the files writes the whole chain anew, without one entry: all links and checksums are right.
#[test]
fn a_chain_that_is_written_anew_is_found_by_its_signatures() {
    for forged in ["removed", "changed", "reordered"] {
        let bench = Bench::new();
        let audit = bench.open(few());
        for number in 0..25 {
            audit.append_blocking(entry(number)).unwrap();
        }
        audit.stop();
        drop(audit);
        let mut bodies = Vec::new();
        segments::verify_all(&bench.directory(), &mut bodies);
        std::fs::remove_dir_all(bench.directory()).unwrap();
        match forged {
            "removed" => drop(bodies.remove(3)),
            "changed" => {
                bodies[3].1 =
                    String::from_utf8(bodies[3].1.clone()).unwrap().replace("u-3", "u-4").into_bytes()
            }
            _ => bodies.swap(3, 4),
        }
        let segments = Segments::open(bench.dir.path().join("box.segments")).unwrap();
        let (mut log, _) = segments.log(Kind::Audit, LogSettings::default(), 0).unwrap();
        for (time_ns, body) in bodies {
            let mut batch = Batch::new();
            batch.push(time_ns, &[], &body).unwrap();
            log.append(&mut batch, 0).unwrap();
        }
        log.note().unwrap();
        let verdict = bench.verdict();
        assert!(verdict.chain.faults.is_empty(), "{forged}: the chain itself fits");
        assert_eq!(verdict.checkpoints, 0, "{forged}");
        assert!(verdict.faults[0].starts_with("entries 0 to "), "{forged}: {:?}", verdict.faults);
    }
}

mod segments {
    use crate::store::segments::{Kind, verify};
    use std::path::Path;

    /// Time and body of every record.
    pub(super) fn verify_all(directory: &Path, out: &mut Vec<(u64, Vec<u8>)>) {
        let report = verify(directory, Kind::Audit, &mut |block| {
            out.extend(block.records.iter().map(|found| (found.time_ns, found.body.to_vec())));
        });
        assert!(report.unwrap().faults.is_empty());
    }
}

#[test]
fn an_entry_that_is_changed_on_the_disk_is_named() {
    let bench = Bench::new();
    let audit = bench.open(Settings { checkpoint_entries: 1_000, ..Settings::default() });
    for number in 0..25 {
        audit.append_blocking(entry(number)).unwrap();
    }
    drop(audit);
    let path = bench.directory().join("00000001.segment");
    let good = std::fs::read(&path).unwrap();
    for at in (84..good.len()).step_by(37) {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        let faults = bench.verdict().faults;
        assert!(
            faults[0].contains("00000001.segment, block ") && faults[0].contains(", entry "),
            "{faults:?}"
        );
    }
}

#[test]
fn what_retention_removes_is_told_in_the_audit_and_what_others_remove_is_not() {
    let bench = Bench::new();
    let settings = Settings {
        segment_bytes_max: 4_000,
        retention: Retention { bytes_max: Some(10_000), ..Retention::default() },
        ..few()
    };
    for _ in 0..3 {
        let audit = bench.open(settings);
        for number in 0..40 {
            audit.append_blocking(entry(number)).unwrap();
        }
    }
    let verdict = bench.verdict();
    assert_eq!(verdict.faults, Vec::<String>::new());
    assert!(verdict.chain.removed > 0 && verdict.checkpoints > 0);
    // Whoever removes a segment and leaves a stub that fits is missed in the audit.
    let segments = Segments::open(bench.dir.path().join("box.segments")).unwrap();
    let of_log = LogSettings { segment_bytes_max: 4_000, ..LogSettings::default() };
    let (mut log, _) = segments.log(Kind::Audit, of_log, clock()).unwrap();
    let left = log.len_bytes();
    log.retain(Retention { bytes_max: Some(left - 1), ..Retention::default() }, clock()).unwrap();
    let verdict = bench.verdict();
    assert!(verdict.chain.faults.is_empty());
    assert!(verdict.faults[0].contains("no entry tells of it"), "{:?}", verdict.faults);
}

#[test]
fn guessing_fills_no_disk() {
    let bench = Bench::new();
    let audit = bench.open(few());
    for _ in 0..2_000 {
        audit.refused(Entry { outcome: "invalid_credentials".to_owned(), ..entry(1) });
    }
    audit.stop();
    let verdict = bench.verdict();
    assert!(verdict.faults.is_empty());
    // The first, how many there were since, and the checkpoint.
    assert_eq!(verdict.chain.entries, 3, "{verdict:?}");
}

#[test]
fn entries_are_bounded() {
    let bench = Bench::new();
    let audit = bench.open(few());
    let long = Entry {
        target: Some("x\n".repeat(100_000)),
        before: Some(serde_json::json!("y".repeat(3_000_000))),
        ..entry(1)
    };
    audit.append_blocking(long).unwrap();
    let page = audit.search(&Question { limit: 10, ..Question::default() }).unwrap();
    let (_, entry) = &page.entries[0];
    assert_eq!(entry["before"], serde_json::json!({ "left_out_bytes": 3_000_002 }));
    assert_eq!(entry["target"].as_str().unwrap(), "x".repeat(256));
}

/// An account's name, address and client are nowhere in the files; the audit shows them until they are erased.
#[test]
fn personal_fields_are_sealed_and_can_be_erased_while_the_chain_stays() {
    let bench = Bench::new();
    let admin = bench.auth.first_admin(1).unwrap().unwrap().username;
    let id = bench.auth.named(&admin).unwrap().user_id;
    let audit = bench.open(few());
    let actor = Actor {
        username: admin.clone(),
        user_id: Some(id.clone()),
        role: Some("admin".to_owned()),
        session_id: Some("s-1".to_owned()),
    };
    let session = serde_json::json!({"user_id": id, "client": "192.0.2.77", "user_agent": "ada's-phone"});
    let of_ada = Entry {
        actor: Some(actor),
        address: Some("192.0.2.77".to_owned()),
        target: Some(admin.clone()),
        before: Some(session.clone()),
        ..entry(1)
    };
    let failed = Entry {
        actor: None,
        address: Some("192.0.2.77".to_owned()),
        target: Some(admin.clone()),
        ..entry(2)
    };
    audit.append_blocking(of_ada).unwrap();
    audit.append_blocking(failed).unwrap();
    audit.append_blocking(entry(3)).unwrap();
    let found = |question: &Question| audit.search(&Question { limit: 100, ..question.clone() }).unwrap();
    let by_name = Question { actor: Some("ADMIN".to_owned()), ..Question::default() };
    let by_id = Question { actor: Some(id.clone()), ..Question::default() };
    let by_target = Question { target: Some(admin.clone()), ..Question::default() };
    let by_address = Question { address: Some("192.0.2.77".to_owned()), ..Question::default() };
    let of_system = Question { actor: Some("system".to_owned()), ..Question::default() };
    let counts = || {
        [&by_name, &by_id, &by_target, &by_address, &of_system].map(|question| found(question).entries.len())
    };
    assert_eq!(counts(), [1, 1, 2, 2, 1]);
    let (_, shown) = &found(&by_name).entries[0];
    assert_eq!((&shown["actor"]["username"], &shown["before"]), (&admin.into(), &session));
    let in_files = |needle: &str| {
        let mut bodies = Vec::new();
        segments::verify_all(&bench.directory(), &mut bodies);
        bodies.iter().any(|(_, body)| body.windows(needle.len()).any(|window| window == needle.as_bytes()))
    };
    for secret in ["\"admin\"}", "192.0.2.77", "ada's-phone"] {
        assert!(!in_files(secret), "{secret}");
    }
    assert!(in_files(&id), "the pseudonym stays");
    bench.subjects.erase(&id, 9).unwrap().unwrap();
    // By address nothing is found any more: nobody can tell whose it was.
    assert_eq!(counts(), [0, 1, 0, 0, 1]);
    let (_, shown) = &found(&by_id).entries[0];
    for erased in [&shown["actor"]["username"], &shown["address"], &shown["before"]["user_agent"]] {
        assert_eq!(erased, "(erased)");
    }
    assert_eq!(shown["actor"]["role"], "admin");
    audit.stop();
    assert_eq!(bench.verdict().faults, Vec::<String>::new());
}

/// A box that could not seal does not write in the open.
#[test]
fn what_cannot_be_sealed_is_refused() {
    let bench = Bench::new();
    let id = {
        let admin = bench.auth.first_admin(1).unwrap().unwrap().username;
        bench.auth.named(&admin).unwrap().user_id
    };
    let audit = bench.open(few());
    let of_ada = Entry {
        actor: Some(Actor { username: "ada".into(), user_id: Some(id), role: None, session_id: None }),
        ..entry(1)
    };
    audit.append_blocking(of_ada.clone()).unwrap();
    drop(audit);
    // Another box key: the subject's key does not open any more.
    let store = Arc::new(Entities::unopened(bench.dir.path().join("no/such/e.redb")));
    let subjects = Arc::new(Subjects::open(store, Arc::new(BoxKey::generate().unwrap())));
    let bench = Bench { subjects, ..bench };
    let audit = bench.open(few());
    assert!(matches!(audit.append_blocking(of_ada), Err(AuditError::Store(_))));
    assert!(audit.is_failing(), "changes are refused");
    audit.append_blocking(entry(2)).unwrap();
    assert!(!audit.is_failing());
}

/// Needs root, for a file system of its own; says so and passes without.
#[test]
fn a_full_disk_refuses_changes_before_they_are_made_and_keeps_room_for_those_under_way() {
    let bench = Bench::new();
    let disk = bench.dir.path().join("box.segments");
    std::fs::create_dir(&disk).unwrap();
    let run = |words: &[&str]| {
        std::process::Command::new(words[0]).args(&words[1..]).arg(&disk).status().unwrap().success()
    };
    if !run(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs"]) {
        eprintln!("left out: no file system can be mounted");
        return;
    }
    // Segments that are over after each few entries: a new one finds no room while the disk is full.
    let audit = bench.open(Settings { segment_bytes_max: 4_000, ..Settings::default() });
    audit.append_blocking(entry(0)).unwrap();
    let filler = disk.join("in the way");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[0; 4_096]).is_ok() {}
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ready = |number: u64| runtime.block_on(audit.ready(entry(number)));
    // Changes that were let in before have their entries, until it is known that there is no more room.
    let mut under_way = 0;
    while !audit.is_failing() {
        audit.append_blocking(entry(under_way + 1)).unwrap();
        under_way += 1;
    }
    for number in 0..200 {
        audit.append_blocking(entry(under_way + 1 + number)).unwrap();
    }
    assert!(matches!(ready(1_000), Err(AuditError::Store(StoreError::Full { .. }))));
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    ready(1_001).unwrap();
    assert!(!audit.is_failing());
    audit.stop();
    drop(audit);
    let verdict = bench.verdict();
    assert!(verdict.faults.is_empty(), "{verdict:?}");
    assert!(run(&["umount"]));
}
