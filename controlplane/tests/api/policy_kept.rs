//! Which policies is a box in force with after a start, whatever became of the file, the store and the process meanwhile?

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use controlplane::services::{Applications, Author, Policies, PolicySources};
use controlplane::store::{Entities, PolicyHistory, VersionOrigin};
use dataplane::policy::{Environment, PolicyIndex, PolicySet};

use crate::rig::{Daemon, Options, POLICY};

const KILLS: u64 = 40;

const MARK: &str = "JARVIS_KILLED_EDITOR";

/// What a box starts with whose file and store are in this directory.
fn start(dir: &Path) -> PolicySet {
    let store = Arc::new(Entities::open(dir.join("test.redb")).unwrap());
    start_of(dir, Ok(PolicyHistory::new(store)))
}

fn start_of(dir: &Path, history: Result<PolicyHistory, String>) -> PolicySet {
    let mut policies = Policies::new(Environment::default(), true, Applications::default());
    let embedded = b"{\"default_action\": \"drop\", \"policies\": []}";
    policies.start(PolicySources { file: Some(dir.join("policy.json")), embedded, history }, 1).unwrap()
}

fn first(set: &PolicySet) -> (u32, String) {
    (set.version(), set.info(PolicyIndex(0)).map(|info| info.policy_id.clone()).unwrap_or_default())
}

fn policy(id: &str) -> String {
    format!(
        "{{\"default_action\": \"allow\", \"policies\": [{{\"policy_id\": \"{id}\", \"action\": \"drop\"}}]}}"
    )
}

#[test]
fn edits_outlive_a_restart_and_a_changed_file_waits_for_a_reload() {
    let mut daemon = Daemon::start(Options::default());
    assert_eq!(daemon.over_unix("PUT", "/policy", &policy("edited")).status, 200);
    daemon = daemon.restarted();
    let set = daemon.over_unix("GET", "/policy", "").json();
    assert_eq!(
        (&set["version"], &set["origin"], &set["file_changed"]),
        (&2.into(), &"api".into(), &false.into())
    );
    assert_eq!(set["policies"][0]["policy_id"], "edited");
    // Both were changed: the edits hold, and the box says so.
    std::fs::write(&daemon.policy_file, policy("filed")).unwrap();
    daemon = daemon.restarted();
    let set = daemon.over_unix("GET", "/policy", "").json();
    assert_eq!((&set["version"], &set["file_changed"]), (&2.into(), &true.into()), "{set}");
    assert_eq!(daemon.over_unix("GET", "/health", "").json()["status"], "ok");
    let change = daemon.over_unix("POST", "/policy/reload", "").json();
    assert_eq!((&change["version"], &change["origin"]), (&3.into(), &"file".into()));
    // Only the file was changed: a restart takes it.
    std::fs::write(&daemon.policy_file, policy("filed-again")).unwrap();
    daemon = daemon.restarted();
    let set = daemon.over_unix("GET", "/policy", "").json();
    assert_eq!((&set["version"], &set["policies"][0]["policy_id"]), (&4.into(), &"filed-again".into()));
    let versions = daemon.over_unix("GET", "/policy/versions", "").json();
    let by: Vec<_> =
        versions["versions"].as_array().unwrap().iter().map(|version| version["by"].clone()).collect();
    assert_eq!(by, ["system", "local", "local", "system"], "{versions}");
    // A file that has errors leaves the last good set, and the box says so.
    std::fs::write(&daemon.policy_file, "{").unwrap();
    daemon = daemon.restarted();
    let set = daemon.over_unix("GET", "/policy", "").json();
    assert_eq!((&set["version"], &set["policies"][0]["policy_id"]), (&4.into(), &"filed-again".into()));
    let status = daemon.over_unix("GET", "/api/system/status", "").json();
    assert_eq!(status["degraded"][0]["what"], "policies", "{status}");
    assert_eq!(daemon.over_unix("PATCH", "/policy/filed-again", "{\"log\": true}").json()["version"], 5);
    assert_eq!(daemon.over_unix("GET", "/health", "").json()["status"], "ok", "somebody looks after it");
}

#[test]
fn a_store_that_cannot_be_used_leaves_the_file_in_force() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.json"), policy("filed")).unwrap();
    assert_eq!(first(&start(dir.path())), (1, "filed".to_owned()));
    let unreadable = start_of(dir.path(), Err("damaged".to_owned()));
    assert_eq!(first(&unreadable), (1, "filed".to_owned()));
    // A version whose document is not what was saved, and one that does not fit this box.
    for document in [&b"{\"policies\": []"[..], br#"{"default_action": "allow", "policies": [{"policy_id": "z", "conditions": {"zone": "gone"}, "action": "drop"}]}"#] {
        let store = Arc::new(Entities::open(dir.path().join("test.redb")).unwrap());
        let history = PolicyHistory::new(store);
        let mut newest = history.newest().unwrap().unwrap();
        newest.version += 1;
        newest.origin = VersionOrigin::Api;
        newest.len_bytes = document.len() as u64;
        newest.sha256 = controlplane::store::policy_history::sha256(document);
        history.save(&newest, document).unwrap();
        drop(history);
        assert_eq!(first(&start(dir.path())), (newest.version + 1, "filed".to_owned()), "{newest:?}");
    }
}

#[test]
fn without_a_store_edits_are_refused_and_the_file_can_be_reloaded() {
    let daemon = Daemon::start(Options { store_is_damaged: true, ..Options::default() });
    assert_eq!(daemon.over_unix("GET", "/policy", "").json()["policies"][0]["policy_id"], "p-web");
    assert_eq!(daemon.over_unix("GET", "/health", "").json()["status"], "degraded");
    daemon.over_unix("PATCH", "/policy/p-web", "{\"log\": true}").problem(503, "store_failing");
    daemon.over_unix("PUT", "/policy", POLICY).problem(503, "store_failing");
    daemon.over_unix("GET", "/policy/versions", "").problem(503, "store_failing");
    std::fs::write(&daemon.policy_file, policy("filed")).unwrap();
    assert_eq!(daemon.over_unix("POST", "/policy/reload", "").json()["version"], 2);
    assert_eq!(daemon.over_unix("GET", "/policy", "").json()["policies"][0]["policy_id"], "filed");
}

/// The process that is killed: the test below starts it, and says where; alone it has nothing to do.
#[test]
fn edits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(MARK) else { return };
    let daemon = Daemon::start_in(Path::new(&dir), Options::default());
    let begin = daemon.services.policy().set.version();
    let mut out = std::io::stdout().lock();
    for number in begin.. {
        let author = Author { by: "test".to_owned(), subject: None, reason: None };
        let patch = format!("{{\"priority\": {number}, \"name\": \"n{number}\"}}");
        let edited =
            daemon.services.patch_policy("p-web", patch.as_bytes(), &author, &Default::default()).unwrap();
        writeln!(out, "in force {} {number}", edited.change.version).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_was_acknowledged_is_in_force_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.json"), POLICY).unwrap();
    let mut last = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "policy_kept::edits_until_it_is_killed", "--nocapture"])
            .env(MARK, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = |line: &str| {
            let mut numbers =
                line.split("in force ").nth(1)?.split(' ').map(|number| number.parse::<u32>().unwrap());
            Some((numbers.next()?, numbers.next()?))
        };
        let begun = lines.by_ref().map_while(Result::ok).find_map(|line| acknowledged(&line));
        assert!(begun.is_some(), "the editor ended by itself");
        // At another moment each time, so that some kills come between the disk and the workers.
        std::thread::sleep(Duration::from_micros(kill * 7_919 % 12_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let (version, number) =
            lines.map_while(Result::ok).filter_map(|line| acknowledged(&line)).last().or(begun).unwrap();
        let set = start(dir.path());
        assert!(
            (version..=version + 1).contains(&set.version()),
            "{version} acknowledged, {} there",
            set.version()
        );
        let info = set.info(PolicyIndex(0)).unwrap();
        let wanted = i32::try_from(number + set.version() - version).unwrap();
        assert_eq!((info.priority, info.name.as_str()), (wanted, format!("n{wanted}").as_str()));
        assert!(version > last, "numbers only grow");
        last = version;
    }
}
