//! Files against what becomes of them.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use super::*;
use crate::rules::rule::Action;

#[test]
fn the_later_revision_counts_and_equal_ones_are_told() {
    let mut loader = Loader::new(Variables::usual());
    let rule =
        |sid: u32, rev: u32| format!("alert tcp any any -> any any (msg:\"{rev}\"; sid:{sid}; rev:{rev};)\n");
    loader.add("a.rules", (rule(1, 1) + &rule(2, 5) + &rule(3, 1)).as_bytes());
    loader.add("b.rules", (rule(1, 2) + &rule(2, 4) + &rule(3, 1) + "alert nope\n").as_bytes());
    let loaded = loader.finish();
    let counts = |file: &FileReport| (file.rules, file.loaded, file.replaced, file.faults.len());
    assert_eq!(loaded.files.iter().map(counts).collect::<Vec<_>>(), [(3, 2, 1, 0), (4, 1, 1, 2)]);
    let kept: Vec<_> = loaded.signatures.iter().map(|one| (one.rule.sid, one.rule.revision)).collect();
    assert_eq!(kept, [(1, 2), (2, 5), (3, 1)]);
    let told = loaded.files[1].faults[0].to_string();
    assert_eq!(told, "3:1: sid 3: a rule of this sid and rev is at a.rules:3 already");
}

#[test]
fn rules_that_cannot_match_are_told_where_they_are_in_the_set() {
    let mut loader = Loader::new(Variables::usual());
    let vain = "alert ip any any -> any any (sctp.chunk_data; content:\"A\"; sid:2; rev:1;)\n";
    loader.add("a.rules", format!("alert ip any any -> any any (sid:1;)\n{vain}").as_bytes());
    loader.add("b.rules", vain.replace("rev:1", "rev:2").as_bytes());
    let loaded = loader.finish();
    assert_eq!(loaded.signatures.len(), 2);
    assert_eq!(loaded.files[0].in_vain, []);
    assert_eq!(loaded.files[1].in_vain, [(1, 2, "sctp.chunk_data".to_owned())]);
}

#[test]
fn lists_of_an_operator_change_the_set() {
    use crate::rules::changes::{modifications, selectors};
    let changes = Changes {
        disable: selectors(b"re:noisy").unwrap(),
        enable: selectors(b"2,4").unwrap(),
        drop: selectors(b"group:a").unwrap(),
        modify: modifications(b"3 \"msg:\\\".*?\\\"\" \"msg:\\\"other\\\"\"\n5 \"sid\" \"nope\"").unwrap(),
        ..Changes::default()
    };
    let mut loader = Loader::new(Variables::usual()).with(changes);
    let file = "alert tcp any any -> any any (msg:\"noisy\"; sid:1;)\n\
                alert tcp any any -> any any (msg:\"noisy\"; sid:2;)\n\
                pass tcp any any -> any any (msg:\"x\"; sid:3;)\n\
                # alert tcp any any -> any any (msg:\"off\"; sid:4;)\n\
                alert tcp any any -> any any (msg:\"y\"; sid:5;)\n\
                # alert tcp any any -> any any (msg:\"off\"; sid:6;)\n";
    loader.add("rules/a.rules", file.as_bytes());
    let loaded = loader.finish();
    let rules: Vec<_> =
        loaded.signatures.iter().map(|one| (one.rule.sid, one.rule.action, &*one.rule.message)).collect();
    assert_eq!(rules, [(2, Action::Drop, "noisy"), (3, Action::Pass, "other"), (4, Action::Drop, "off")]);
    let report = &loaded.files[0];
    assert_eq!((report.rules, report.loaded, report.disabled, report.faults.len()), (5, 3, 2, 1));
    assert_eq!(report.faults[0].line, 5);
    assert!(report.faults[0].detail.starts_with("after it was modified: "), "{}", report.faults[0]);
}

#[test]
fn a_class_that_nobody_knows_is_told_once() {
    let rule =
        |sid: u32, class: &str| format!("alert ip any any -> any any (classtype:{class}; sid:{sid};)\n");
    let mut loader = Loader::new(Variables::usual());
    loader.add("a.rules", (rule(1, "misc-attack") + &rule(2, "mine") + &rule(3, "Mine")).as_bytes());
    let loaded = loader.finish();
    let told: Vec<_> = loaded.files[0].idle.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["2:1: sid 2: classtype: no classification has the class mine: its rules have priority 3"]
    );
    let mut loader = Loader::new(Variables::usual());
    loader.add_classes("classification.config", b"config classification: mine,My own,2\nnope\n");
    loader.add_references("reference.config", b"config reference: cve https://cve.example/\n");
    loader.add("a.rules", (rule(1, "misc-attack") + &rule(2, "mine")).as_bytes());
    let loaded = loader.finish();
    let said = |one: &Signature| (one.category().map(str::to_owned), one.rule.priority);
    let said: Vec<_> = loaded.signatures.iter().map(said).collect();
    let of = |name: &str, priority| (Some(name.to_owned()), Some(priority));
    assert_eq!(said, [of("Unknown Classtype", 3), of("My own", 2)]);
    assert_eq!((loaded.files[0].idle.len(), loaded.files[1].faults[0].line), (1, 2));
    let address = loaded.references.address("cve", "2021-1");
    assert_eq!(address.as_deref(), Some("https://cve.example/2021-1"));
    assert_eq!(loaded.references.address("bugtraq", "1"), None);
}

#[test]
fn what_is_said_beside_the_rules_is_said_of_all_files_and_told_where_it_is_wrong() {
    let mut loader = Loader::new(Variables::usual());
    let said = "suppress gen_id 1, sig_id 2\nnope\nsuppress gen_id 1, sig_id 3\n";
    loader.add_thresholds("threshold.config", said.as_bytes());
    for sid in [1, 2] {
        let rule = format!("alert ip any any -> any any (sid:{sid};)\n");
        loader.add(&format!("{sid}.rules"), rule.as_bytes());
    }
    let loaded = loader.finish();
    let silent: Vec<_> = loaded.signatures.iter().map(|one| one.rule.is_silent).collect();
    assert_eq!(silent, [false, true]);
    let report = &loaded.files[2];
    assert_eq!((&*report.name, report.kind, report.rules), ("threshold.config", FileKind::Beside, 0));
    assert_eq!((report.faults[0].line, report.faults[0].column), (2, 1));
    assert_eq!(report.idle[0].to_string(), "3:1: sid 3: no rule 1:3 is in force");
}

#[test]
fn rules_are_listed_in_force_and_not_and_numbers_go_before_lists() {
    let file = "alert tcp any any -> any any (msg:\"a\"; classtype:x; sid:1; rev:2;)\n\
                # drop http any any -> any any (msg:\"b\"; sid:2;)\n\
                # any words (in brackets)\n\
                alert tcp any any -> any any (nonsense; sid:3;)\n\
                alert tcp any any -> any any (msg:\"d\"; sid:4;)\n";
    let listed = |forced: &[(u32, bool)]| {
        let forced = forced.iter().map(|(sid, on)| ((1, *sid), *on)).collect();
        let changes = Changes {
            disable: crate::rules::changes::selectors(b"4").unwrap(),
            forced,
            ..Changes::default()
        };
        let mut loader = Loader::new(Variables::usual()).with(changes).listing();
        loader.add("a.rules", file.as_bytes());
        let loaded = loader.finish();
        let on = |one: &Listed| (one.sid, one.line, one.enabled);
        (loaded.listed.iter().map(on).collect::<Vec<_>>(), loaded.files[0].faults.len(), loaded)
    };
    let (all, faults, loaded) = listed(&[]);
    assert_eq!(all, [(1, 1, true), (2, 2, false), (4, 5, false)]);
    assert_eq!(faults, 1);
    let first = &loaded.listed[0];
    assert_eq!((&*first.protocol, first.class.as_deref(), first.revision), ("tcp", Some("x"), 2));
    assert!(first.text.starts_with("alert tcp any any -> any any (msg:"));
    assert_eq!(&*loaded.listed[1].protocol, "http");
    let (all, faults, loaded) = listed(&[(1, false), (2, true), (3, false), (4, true)]);
    assert_eq!(all, [(1, 1, false), (2, 2, true), (4, 5, true)]);
    assert_eq!((faults, loaded.signatures.len()), (0, 2));
}

#[test]
fn lists_mean_rules_that_cannot_be_read_too() {
    use crate::rules::changes::{modifications, selectors};
    let file = "alert tcp any any -> any any (msg:\"noisy\"; nonsense; sid:1;)\n\
        alert tcp any any -> any any (nonsense; metadata:former no, deployment Lab; sid:2;)\n\
        alert tcp any any -> any any (msg:\"c\"; nonsense; gid:7; sid:3;)\n\
        alert tcp any any -> any any (msg:\"d\"; nonsense; sid:4;)\n\
        alert tcp any any -> any any (msg:\"e\"; nonsense; sid:5;)\n";
    let loaded = |disable: &str, modify: &str| {
        let changes = Changes {
            disable: selectors(disable.as_bytes()).unwrap(),
            modify: modifications(modify.as_bytes()).unwrap(),
            ..Changes::default()
        };
        let mut loader = Loader::new(Variables::usual()).with(changes);
        loader.add("rules/a.rules", file.as_bytes());
        let loaded = loader.finish();
        let wrong: Vec<_> = loaded.files[0].faults.iter().filter_map(|fault| fault.sid).collect();
        let report = &loaded.files[0];
        assert_eq!(report.rules, report.loaded + report.disabled + wrong.len());
        (report.loaded, report.disabled, wrong)
    };
    assert_eq!(loaded("", ""), (0, 0, vec![1, 2, 3, 4, 5]));
    let disable = "re:noisy\nmetadata:deployment lab\n7:3\n1:5\n";
    assert_eq!(loaded(disable, ""), (0, 4, vec![4]));
    assert_eq!(loaded("group:a", ""), (0, 5, vec![]));
    assert_eq!(loaded(disable, "4 \"nonsense; \" \"\""), (1, 4, vec![]), "what is mended is in the set");
}

#[test]
fn however_many_threads_the_set_and_what_is_told_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("known.md5"), "900150983cd24fb0d6963f7d28e17f72\n").unwrap();
    let rule = |sid: u32| match sid % 9 {
        0 => format!("alert tcp any any -> any any (nonsense; sid:{sid};)\n"),
        // Another kind of the same set is a fault of the later rule, whichever thread reads it.
        1 => format!("alert http any any -> any any (http.uri; dataset:isset,a,type string; sid:{sid};)\n"),
        2 => format!("alert http any any -> any any (http.uri; dataset:isset,a,type md5; sid:{sid};)\n"),
        3 => format!("alert smtp any any -> any any (filemd5:known.md5; sid:{sid};)\n"),
        4 => format!("# alert tcp $HOME_NET any -> any any (content:\"{sid}\"; sid:{sid};)\n"),
        5 => format!("alert tcp $NOBODY any -> any any (content:\"{sid}\"; sid:{sid};)\n"),
        6 => format!("alert tcp any any -> any any (pcre:\"/{sid}[/\"; sid:{sid};)\n"),
        7 => "alert tcp $HOME_NET any -> any any (content:\"twice\"; sid:7;)\n".to_owned(),
        _ => format!("alert tcp any any -> !$HOME_NET any \\\n (content:\"{sid}\"; sid:{sid};)\n"),
    };
    let texts = [(1..700).map(rule).collect::<String>(), (500..900).map(rule).collect::<String>()];
    let read = |threads: usize| {
        let mut loader = Loader::new(Variables::usual()).listing();
        if threads > 1 {
            loader = loader.on_threads(NonZero::new(threads).unwrap());
        }
        for (name, text) in ["a.rules", "b.rules"].iter().zip(&texts) {
            loader.add(&dir.path().join(name).display().to_string(), text.as_bytes());
        }
        let loaded = loader.finish();
        assert_eq!(loaded.threads, threads);
        let rules: Vec<_> = loaded.signatures.iter().map(|one| one.rule.clone()).collect();
        (rules, loaded.files, loaded.listed)
    };
    let alone = read(1);
    assert!(alone.0.len() > 300 && alone.1[0].faults.len() > 300, "{}", alone.0.len());
    for threads in [2, 3, 7] {
        assert!(read(threads) == alone, "on {threads} threads");
    }
}
