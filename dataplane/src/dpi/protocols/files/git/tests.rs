use super::*;
use crate::dpi::feed::samples::records_of;
use crate::dpi::protocol::samples::{looked, stream};
use crate::flow::Direction::{Forward as C, Reverse as S};

const ONE: &str = "0f013ab962ebfaf46dce79624a7f2b06b2c63858";
const TWO: &str = "1f013ab962ebfaf46dce79624a7f2b06b2c63858";

fn lines(texts: &[&str]) -> Vec<u8> {
    let line = |text: &&str| match *text {
        "" => b"0000".to_vec(),
        text => format!("{:04x}{text}", text.len() + 4).into_bytes(),
    };
    texts.iter().flat_map(line).collect()
}

#[test]
fn a_fetch_of_version_2_is_told_once_in_pieces_of_any_size() {
    let asks = [
        lines(&["git-upload-pack /r.git\0host=example.org:9419\0\0version=2\0"]),
        lines(&["command=ls-refs\n", "agent=git/2.39.5", "object-format=sha1"]),
        b"0001".to_vec(),
        lines(&["peel\n", "", "command=fetch", "agent=git/2.39.5"]),
        b"0001".to_vec(),
        lines(&["thin-pack", &format!("want {ONE}\n"), &format!("have {TWO}\n"), "done\n", ""]),
    ]
    .concat();
    let greets = lines(&["version 2\n", "agent=git/2.40\n", "ls-refs=unborn\n", "fetch=shallow\n", ""]);
    let answers = lines(&[
        &format!("{ONE} HEAD\n"),
        &format!("{ONE} refs/heads/master\n"),
        "",
        "packfile\n",
        "\x02Counting",
    ]);
    let expected = "git service=git-upload-pack repository=/r.git host=example.org:9419 version=2 \
        client_agent=git/2.39.5 server_agent=git/2.40 capabilities=[ls-refs=unborn fetch=shallow] \
        commands=[ls-refs fetch] refs=2 wants=1 haves=1";
    for size in [1, 3, 50, 5_000] {
        let mut pieces: Vec<_> = greets.chunks(size).map(|s| (S, s)).collect();
        pieces.extend(asks.chunks(size).map(|c| (C, c)));
        pieces.extend(answers.chunks(size).map(|s| (S, s)));
        assert_eq!(records_of(&GIT, &pieces), [expected], "{size}");
    }
}

#[test]
fn a_push_names_its_references() {
    let ask = lines(&["git-receive-pack /r.git\0host=h\0"]);
    let has = lines(&[&format!("{ONE} refs/heads/master\0report-status agent=git/2.40\n"), ""]);
    let push = [
        lines(&[&format!("{ONE} {TWO} refs/heads/x\0 report-status agent=git/2.39.5"), ""]),
        b"PACK\0\0\0\x02".to_vec(),
    ]
    .concat();
    assert_eq!(
        records_of(&GIT, &[(C, &ask), (S, &has), (C, &push)]),
        [format!(
            "git service=git-receive-pack repository=/r.git host=h version=0 client_agent=git/2.39.5 \
            server_agent=git/2.40 capabilities=[report-status] refs=1 updates=[{{ref=refs/heads/x new={TWO}}}]"
        )]
    );
}

#[test]
fn refusals_and_lies_are_told() {
    let ask = lines(&["git-upload-pack /none.git\0host=h\0"]);
    let told = records_of(&GIT, &[(C, &ask), (S, &lines(&["ERR access denied: /none.git\n"]))]);
    assert!(told[0].ends_with("refs=0 error=access denied: /none.git"), "{told:?}");
    for (bytes, name) in [
        (&b"0003git-"[..], "invalid_length"),
        (b"fff5x", "invalid_length"),
        (b"00zzgit-", "invalid_length"),
        (b"000cgit-upload", "malformed_request"),
    ] {
        assert!(records_of(&GIT, &[(C, bytes)])[0].contains(name), "{name}");
    }
}

#[test]
fn requests_and_answers_are_recognised() {
    let of = |bytes: &[u8]| looked(look, bytes, 9, true);
    assert_eq!(look(&stream(b"0035")), Match::More);
    assert_eq!(of(b"0035git-upload-pack /r.git\0host=h\0\0version=2\0"), Match::Yes(97));
    assert_eq!(of(b"000eversion 2\n"), Match::Yes(82));
    assert_eq!(of(&lines(&[&format!("{ONE} HEAD\0ofs-delta")])), Match::Yes(82));
    assert_eq!(of(b"0035hello"), Match::No);
}
