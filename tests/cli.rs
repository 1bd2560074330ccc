//! What does the built program say, and with which exit code? No rights needed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs `jarvis` in `directory`, without the environment's say.
fn jarvis(directory: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jarvis"))
        .args(words)
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

fn said(output: &Output) -> String {
    lines(&[output.stdout.clone(), output.stderr.clone()].concat()).join("\n")
}

/// A pcap of `packets` Ethernet frames, one second apart: UDP from 10.0.0.1 to 10.0.0.2, port 53.
fn pcap(packets: u32) -> Vec<u8> {
    pcap_to(&vec![53; packets as usize])
}

/// The same, with the port of each frame.
fn pcap_to(ports: &[u16]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0x66, 0xca, 10, 0, 0, 1, 10, 0, 0, 2]);
    // UDP without a checksum (RFC 768: zero means none).
    frame.extend([0x10, 0x00, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (packet, port) in (0..).zip(ports) {
        for word in [1_700_000_000 + packet, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        file.extend(&frame);
    }
    file
}

#[test]
fn exit_codes_tell_done_wrong_input_and_wrong_usage() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.toml"), "mode = \"router\"\n").unwrap();
    std::fs::write(directory.path().join("bad.json"), "{\"policies\": [{}]}").unwrap();
    for (words, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["check"], 0),
        (&["check", "--config", "bad.toml"], 1),
        (&["check", "--config", "absent.toml"], 1),
        (&["check", "--policy", "bad.json"], 1),
        (&["replay", "absent.pcap", "--eve", "e.json"], 1),
        (&["ctl", "--socket", "absent.sock", "status"], 1),
        (&["ctl", "flows", "port"], 1),
        (&["run", "--config", "bad.toml"], 1),
        (&["run", "--tap", "a", "--inside", "b"], 2),
        (&["replay", "--eve", "e.json"], 2),
        (&["detach", "--name", "a", "--config", "b"], 2),
        (&["frobnicate"], 2),
        (&["check", "--colour"], 2),
        (&[], 2),
    ] {
        let output = jarvis(directory.path(), words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        let speaks = if code == 0 { &output.stdout } else { &output.stderr };
        assert!(!speaks.is_empty(), "{words:?} is silent");
    }
}

#[test]
fn check_refuses_a_policy_that_needs_a_service_address_where_none_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write(
        "p.json",
        "{\"default_action\": \"allow\", \"policies\": [\n\
         {\"policy_id\": \"portal\", \"action\": {\"redirect\": {\"to\": \"service:8443\"}}},\n\
         {\"policy_id\": \"box\", \"conditions\": {\"zone\": \"host\"}, \"action\": \"drop\"}]}",
    );
    let ports = "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\nzone = \"outside\"\n";
    write("c.toml", ports);
    let check = || jarvis(directory.path(), &["check", "--config", "c.toml", "--policy", "p.json"]);
    let output = check();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = lines(&output.stderr);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said.iter().any(|line| line.starts_with("p.json:2:") && line.contains("[inline.service]")),
        "{said:?}"
    );
    assert!(said.iter().any(|line| line.starts_with("p.json:3:") && line.contains("host")), "{said:?}");
    write("c.toml", &format!("{ports}[inline.service]\nipv4 = \"10.0.0.2/24\"\n"));
    assert_eq!(check().status.code(), Some(0), "{:?}", check());
    // A configuration that cannot be understood says nothing about the service address: only its own faults count.
    write("c.toml", &format!("mode = \"router\"\n{ports}[inline.service]\nipv4 = \"10.0.0.2/24\"\n"));
    let said = lines(&check().stderr);
    assert!(said.len() == 1 && said[0].starts_with("c.toml:1:"), "{said:?}");
}

#[test]
fn check_refuses_a_portal_that_is_nowhere_and_warns_of_one_that_nobody_is_sent_to() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let check = || jarvis(directory.path(), &["check", "--config", "c.toml", "--policy", "p.json"]);
    let policies = |port: u16| {
        let action = format!("{{\"redirect\": {{\"to\": \"service:{port}\"}}}}");
        write(
            "p.json",
            &format!(
                "{{\"default_action\": \"allow\", \"policies\": [{{\"policy_id\": \"p\", \"action\": {action}}}]}}"
            ),
        );
    };
    let ports = "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\nzone = \"outside\"\n";
    write("c.toml", &format!("{ports}[identity.portal]\n"));
    write("p.json", "{\"default_action\": \"allow\", \"policies\": []}");
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output.stderr).iter().any(|line| line.contains("[inline.service]")), "{output:?}");

    write("c.toml", &format!("{ports}[inline.service]\nipv4 = \"10.0.0.2/24\"\n[identity.portal]\n"));
    for (port, is_used) in [(8880, true), (80, false)] {
        policies(port);
        let output = check();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let warned = lines(&output.stdout).iter().any(|line| line.contains("no policy sends anybody there"));
        assert_eq!(warned, !is_used, "{output:?}");
    }
    let tls = "certificate = \"no.crt\"\nkey = \"no.key\"\nname = \"portal.example\"\nannounce_to = \"elsewhere\"\n";
    write("c.toml", &format!("{ports}[inline.service]\nipv4 = \"10.0.0.2/24\"\n[identity.portal]\n{tls}"));
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        lines(&output.stderr).iter().any(|line| line.contains("no port is in zone \"elsewhere\"")),
        "{output:?}"
    );
    write(
        "c.toml",
        &format!(
            "{ports}[inline.service]\nipv4 = \"10.0.0.2/24\"\n[identity.portal]\n{}",
            tls.replace("elsewhere", "outside")
        ),
    );
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output.stderr).iter().any(|line| line.contains("no.crt")), "{output:?}");
}

#[test]
fn check_lists_every_error_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("c.toml"),
        "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\n[wire]\nwatchdog = 5\n[log]\nlevel = \"loud\"\n",
    )
    .unwrap();
    std::fs::write(
        directory.path().join("p.json"),
        "{\n \"default_action\": \"allow\",\n \"policies\": [\n  {\"policy_id\": \"p\", \"action\": \"explode\"}\n ]\n}\n",
    )
    .unwrap();
    let output = jarvis(directory.path(), &["check", "--config", "c.toml", "--policy", "p.json"]);
    let said = lines(&output.stderr);
    assert_eq!(said[0], "c.toml:6: unknown key wire.watchdog; did you mean watchdog_ms?");
    assert_eq!(said[1], "c.toml:8: log.level is \"loud\", must be one of error, warn, info, debug, trace");
    assert!(said[2].starts_with("p.json:4:"), "{said:?}");
}

#[test]
fn inline_without_a_default_action_is_refused_and_tap_is_not() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("p.json"), "{\"policies\": []}").unwrap();
    let inline =
        jarvis(directory.path(), &["check", "--policy", "p.json", "--inside", "a", "--outside", "b"]);
    assert_eq!(inline.status.code(), Some(1));
    assert!(lines(&inline.stderr)[0].contains("default_action"), "{inline:?}");
    let tap = jarvis(directory.path(), &["check", "--policy", "p.json", "--tap", "a"]);
    assert_eq!(tap.status.code(), Some(0), "{tap:?}");
}

#[test]
fn replay_is_the_same_to_the_byte_and_ends_with_stats() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.pcap"), pcap(200)).unwrap();
    let mut outputs = Vec::new();
    for eve in ["a.json", "b.json"] {
        // What an earlier run left in the file goes.
        std::fs::write(directory.path().join(eve), "stale\n").unwrap();
        let output = jarvis(directory.path(), &["replay", "in.pcap", "--eve", eve]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        outputs.push(std::fs::read(directory.path().join(eve)).unwrap());
    }
    assert_eq!(outputs[0], outputs[1]);
    let events = lines(&outputs[0]);
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].contains("\"event_type\":\"flow\"") && events[0].contains("\"pkts_toserver\":200"));
    let stats: serde_json::Value = serde_json::from_str(&events[1]).unwrap();
    assert_eq!(stats["event_type"], "stats");
    assert_eq!(stats["stats"]["decoder"]["pkts"], 200);
}

#[test]
fn replay_asks_a_shadow_of_each_flow_and_obeys_the_policies_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.pcap"), pcap_to(&[53, 123, 99, 53, 7])).unwrap();
    let live = r#"{"default_action": "allow", "policies": [
        {"policy_id": "time", "conditions": {"dst_port": 123}, "action": "drop"}]}"#;
    let proposal = r#"{"default_action": "allow", "policies": [
        {"policy_id": "dns", "priority": 1, "conditions": {"dst_port": 53}, "action": "reject"},
        {"policy_id": "echo", "priority": 2, "conditions": {"dst_port": 7}, "action": {"rate_limit": {"bytes_per_s": 1000, "per": "flow"}}}]}"#;
    std::fs::write(directory.path().join("live.json"), live).unwrap();
    std::fs::write(directory.path().join("proposal.json"), proposal).unwrap();
    let replay = |more: &[&str]| -> Vec<serde_json::Value> {
        let words = ["replay", "in.pcap", "--inline", "--policy", "live.json", "--eve", "-"];
        let output = jarvis(directory.path(), &[&words[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        lines(&output.stdout).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let alone = replay(&[]);
    let mut beside = replay(&["--shadow", "proposal.json"]);
    let mut told = Vec::new();
    for event in &mut beside {
        let port = event["dest_port"].as_u64();
        if event["event_type"] == "flow" {
            let shadow = event["jarvis"].as_object_mut().unwrap().remove("shadow").unwrap();
            let word = |name: &str| shadow[name].as_str().unwrap_or("-").to_owned();
            told.push(format!(
                "{} {} {} {}",
                port.unwrap(),
                word("change"),
                word("policy_id"),
                word("action")
            ));
        }
    }
    told.sort();
    assert_eq!(
        told,
        [
            "123 refused_to_allowed - allow",
            "53 allowed_to_refused dns reject",
            "7 other echo rate_limit",
            "99 same - -"
        ]
    );
    assert_eq!(alone, beside, "nothing else is another");
    let wrong =
        jarvis(directory.path(), &["replay", "in.pcap", "--shadow", "absent.json", "--eve", "e.json"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong).contains("absent.json"), "{}", said(&wrong));
}

#[test]
fn a_capture_cut_short_is_judged_to_its_end_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let whole = pcap(10);
    std::fs::write(directory.path().join("cut.pcap"), &whole[..whole.len() - 5]).unwrap();
    std::fs::write(directory.path().join("good.pcap"), pcap(3)).unwrap();
    // The file after the broken one is judged too.
    let output = jarvis(directory.path(), &["replay", "cut.pcap", "good.pcap", "--eve", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        lines(&output.stderr).last().unwrap().starts_with("cut.pcap: the file ends inside"),
        "{output:?}"
    );
    let stats: serde_json::Value = serde_json::from_str(lines(&output.stdout).last().unwrap()).unwrap();
    assert_eq!(stats["stats"]["decoder"]["pkts"], 9 + 3);
}

/// The former system's template: every name that it knew.
const FORMER_TEMPLATE: &str = "
# Keys of the tokens; empty: none
PQC_SK_B64=
PQC_PK_B64=
API_HMAC_KEY=

JARVIS_MTLS_REQUIRED=false
JARVIS_MTLS_ALLOWED_FINGERPRINTS=

DATABASE_URL=sqlite:///./jarvis.db
DATABASE_POOL_SIZE=5
DATABASE_MAX_OVERFLOW=10

UVICORN_HOST=127.0.0.1
UVICORN_PORT=8000
UVICORN_RELOAD=false

LOG_LEVEL=INFO
LOG_FORMAT=json

RATE_LIMIT_ENABLED=true
RATE_LIMIT_PER_SECOND=10
";

/// `jarvis check` under the template, some of whose values are others; its exit code and what it says.
fn check_former(directory: &Path, other: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let named = FORMER_TEMPLATE.lines().filter(|line| !line.starts_with('#'));
    let pairs: Vec<(&str, &str)> = named.filter_map(|line| line.split_once('=')).collect();
    assert_eq!(pairs.len(), 15);
    let output = Command::new(env!("CARGO_BIN_EXE_jarvis"))
        .arg("check")
        .current_dir(directory)
        .env_clear()
        .envs(pairs)
        .envs(other.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), lines(&[output.stdout, output.stderr].concat()))
}

#[test]
fn the_former_systems_environment_template_is_taken_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = check_former(directory.path(), &[]);
    assert_eq!(code, Some(0), "{said:?}");
    let idle = "DATABASE_POOL_SIZE, DATABASE_MAX_OVERFLOW, UVICORN_RELOAD";
    assert_eq!(said[0], "notice: state directory is ., from DATABASE_URL");
    assert_eq!(said[1], format!("notice: set in the environment, without effect in this release: {idle}"));
    assert!(said.len() == 3 && said[2].starts_with("valid: "), "{said:?}");
}

#[test]
fn the_former_systems_environment_is_accepted_with_keys_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let keys = jarvis(directory.path(), &["keygen"]);
    let keys = lines(&keys.stdout);
    let of = |name: &str| keys.iter().find_map(|line| line.strip_prefix(name)).unwrap();
    let (secret, public) = (of("PQC_SK_B64="), of("PQC_PK_B64="));
    let pairs = [("PQC_SK_B64", secret), ("PQC_PK_B64", public), ("API_HMAC_KEY", "hush-hush")];
    let (code, said) = check_former(directory.path(), &pairs);
    assert_eq!(code, Some(0), "{said:?}");
    assert!(
        said.iter().any(|line| line.contains("API_HMAC_KEY has no effect beside PQC_SK_B64")),
        "{said:?}"
    );
    assert!(!said.iter().any(|line| line.contains(secret) || line.contains("hush")), "{said:?}");
    // Without the others the shared key signs.
    let hmac = "0123456789abcdef0123456789abcdef";
    assert_eq!(check_former(directory.path(), &[("API_HMAC_KEY", hmac)]).0, Some(0));
}

#[test]
fn keygen_makes_keys_that_check_takes_and_says_what_is_wrong_with_others() {
    let directory = tempfile::tempdir().unwrap();
    let run = |words: &[&str], environment: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(words)
            .current_dir(directory.path())
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, said) = run(&["keygen", "--out", "keys.json"], &[]);
    assert!(code == Some(0) && said.contains("SLH-DSA-SHA2-128s"), "{said}");
    let (code, said) = run(&["keygen", "--out", "keys.json"], &[]);
    assert!(code == Some(1) && said.contains("--rotate"), "{said}");
    let (code, said) = run(&["keygen", "--out", "keys.json", "--rotate", "--algorithm", "ML-DSA-65"], &[]);
    assert!(code == Some(0) && said.contains("ML-DSA-65"), "{said}");
    let (code, said) = run(&["keygen", "--algorithm", "none"], &[]);
    assert!(code == Some(2) && said.contains("SLH-DSA-SHA2-128s, "), "{said}");

    let ports = "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\n";
    std::fs::write(directory.path().join("j.toml"), format!("{ports}[auth]\nkey_file = \"keys.json\"\n"))
        .unwrap();
    let check = ["check", "--config", "j.toml"];
    assert_eq!(run(&check, &[]).0, Some(0));
    std::fs::write(directory.path().join("keys.json"), "{\"keys\": [{\"priv\": \"hush-hush\"}]}").unwrap();
    let (code, said) = run(&check, &[]);
    assert!(code == Some(1) && said.contains("keys.json") && !said.contains("hush"), "{said}");
    std::fs::remove_file(directory.path().join("keys.json")).unwrap();
    let (code, said) = run(&check, &[]);
    assert!(code == Some(1) && said.contains("jarvis keygen"), "{said}");

    // Keys of the environment, as `keygen` prints them, and one of the former system.
    let (_, lines) = run(&["keygen"], &[]);
    let pairs: Vec<(&str, &str)> = lines.lines().map(|line| line.split_once('=').unwrap()).collect();
    assert_eq!(pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["PQC_SK_B64", "PQC_PK_B64"]);
    std::fs::write(directory.path().join("j.toml"), ports).unwrap();
    assert_eq!(run(&check, &pairs).0, Some(0));
    let (code, said) = run(&check, &[pairs[0], ("PQC_PK_B64", "AAAA")]);
    assert!(code == Some(1) && said.contains("PQC_PK_B64 is not the public half"), "{said}");
    let former = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
    let (code, said) = run(&check, &[("PQC_SK_B64", former)]);
    assert!(code == Some(1) && said.contains("third round") && said.contains("jarvis keygen"), "{said}");
    assert!(!said.contains(former));
}

/// Makes `NAME.pem` and `NAME-key.pem`; `false` where there is no openssl.
fn make_certificate(directory: &Path, name: &str) -> bool {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "365",
        ])
        .args(["-subj", "/CN=box", "-keyout", &format!("{name}-key.pem"), "-out", &format!("{name}.pem")])
        .current_dir(directory)
        .output();
    made.is_ok_and(|output| output.status.success())
}

#[test]
fn check_names_the_certificate_that_does_not_work() {
    let directory = tempfile::tempdir().unwrap();
    let configure = |key: &str, more: &str| {
        let text = format!(
            "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\n\
             [api.tls]\ncertificate = \"box.pem\"\nkey = \"{key}\"\n{more}"
        );
        std::fs::write(directory.path().join("t.toml"), text).unwrap();
        let output = jarvis(directory.path(), &["check", "--config", "t.toml"]);
        (output.status.code(), lines(&[output.stdout, output.stderr].concat()).join("\n"))
    };
    let (code, said) = configure("box-key.pem", "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("box.pem: cannot be read: No such file"), "{said}");
    if !make_certificate(directory.path(), "box") || !make_certificate(directory.path(), "other") {
        eprintln!("not run: openssl is not installed");
        return;
    }
    let (code, said) = configure("box-key.pem", "");
    assert!(code == Some(0) && !said.contains("warning"), "{said}");
    let (code, said) = configure("other-key.pem", "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("other-key.pem: the key does not fit the certificate in box.pem"), "{said}");
    let (code, said) = configure("box.pem", "client_ca = \"box-key.pem\"");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("box.pem: has no unencrypted private key"), "{said}");
    assert!(said.contains("box-key.pem: has no certificate"), "{said}");
    // With the policies' errors in one go.
    let policy = "[policy]\nfile = \"p.json\"\n";
    std::fs::write(directory.path().join("p.json"), "{").unwrap();
    let (code, said) = configure("other-key.pem", policy);
    assert!(code == Some(1) && said.contains("does not fit") && said.contains("p.json"), "{said}");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(directory.path().join("box-key.pem"), mode).unwrap();
    let (code, said) = configure("box-key.pem", "");
    assert!(code == Some(0) && said.contains("warning: box-key.pem: others may read this key"), "{said}");
}

#[test]
fn required_client_certificates_are_never_silently_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_jarvis"))
        .arg("check")
        .current_dir(directory.path())
        .env_clear()
        .env("JARVIS_MTLS_REQUIRED", "true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("JARVIS_MTLS_REQUIRED asks for client certificates")
    );
}

#[test]
fn an_api_in_clear_that_others_reach_is_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    for (listen, warned) in
        [("0.0.0.0:8000", true), ("[::]:8000", true), ("127.0.0.1:8000", false), ("[::1]:8000", false)]
    {
        let text = format!(
            "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\n[api]\nlisten = \"{listen}\"\n"
        );
        std::fs::write(directory.path().join("t.toml"), text).unwrap();
        let output = jarvis(directory.path(), &["check", "--config", "t.toml"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            said.contains("without TLS: passwords and tokens cross the network in clear"),
            warned,
            "{said}"
        );
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}

/// The files of a support bundle by name, unpacked by GNU tar and zstd, which whoever helps has.
fn unpacked(directory: &Path, bundle: &str) -> Option<Vec<(String, String)>> {
    let into = directory.join("unpacked");
    std::fs::create_dir(&into).unwrap();
    let done =
        Command::new("tar").args(["--zstd", "-xf", bundle, "-C", "unpacked"]).current_dir(directory).output();
    if !done.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: tar with zstd is not installed");
        return None;
    }
    fn walk(directory: &Path, files: &mut Vec<(String, String)>) {
        for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    walk(&into.join("jarvis-support"), &mut files);
    Some(files)
}

#[test]
fn a_support_bundle_of_a_box_that_is_down_has_what_there_is_and_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let keys = jarvis(directory.path(), &["keygen"]);
    let secret = lines(&keys.stdout)[0].strip_prefix("PQC_SK_B64=").unwrap().to_owned();
    std::fs::write(
        path("c.toml"),
        "# my password is tr0ub4dor\n[[port]]\ninterface = \"lo\"\n[[port]]\ninterface = \"absent9\"\nzone = \"outside\"\n\
         [state]\ndirectory = \"state\"\n",
    )
    .unwrap();
    let log = format!(
        "INFO attached interface=\"lo\"\nFirst start: the account is `admin`, its one-time password\n    tkesdbfabkcczfaqpvjjeebf\n\
         Authorization: Bearer short\nenvironment PQC_SK_B64={secret}\nAPI_HMAC_KEY: hmac-of-mine\n"
    );
    std::fs::write(path("box.log"), log).unwrap();
    let words = [
        "ctl",
        "--json",
        "--config",
        "c.toml",
        "--socket",
        "absent.sock",
        "support-bundle",
        "--out",
        "b.tar.zst",
        "--log",
        "box.log",
    ];
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(words)
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs([("PQC_SK_B64", secret.as_str()), ("API_HMAC_KEY", "hmac-of-mine")])
            .output()
            .unwrap()
    };
    let output = run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let left_out = told["left_out"].as_array().unwrap();
    assert!(left_out.iter().any(|name| name == "status.json"), "{told}");
    assert_eq!(std::fs::metadata(path("b.tar.zst")).unwrap().permissions().mode() & 0o777, 0o600);
    let Some(files) = unpacked(directory.path(), "b.tar.zst") else { return };
    let file =
        |name: &str| files.iter().find(|(path, _)| path.ends_with(name)).map(|(_, text)| text.as_str());
    for secret in [secret.as_str(), "hmac-of-mine", "tkesdbfabkcczfaqpvjjeebf", "short", "tr0ub4dor"] {
        let holders: Vec<&String> =
            files.iter().filter(|(_, text)| text.contains(secret)).map(|(path, _)| path).collect();
        assert!(holders.is_empty(), "{secret} is in {holders:?}");
    }
    assert!(
        file("log.txt").unwrap().starts_with("INFO attached interface=\"lo\"\n"),
        "{:?}",
        file("log.txt")
    );
    assert!(file("configuration.json").unwrap().contains("absent9"));
    assert!(file("meminfo").unwrap().contains("MemTotal"));
    assert!(file("uname").unwrap().contains("Linux"));
    let manifest: serde_json::Value = serde_json::from_str(file("manifest.json").unwrap()).unwrap();
    assert!(
        manifest["left_out"]["status.json"].as_str().unwrap().contains("no daemon answers"),
        "{manifest}"
    );
    // What is there stays.
    let before = std::fs::read(path("b.tar.zst")).unwrap();
    let again = run();
    assert!(again.status.code() == Some(1) && said(&again).contains("b.tar.zst"), "{again:?}");
    assert_eq!(std::fs::read(path("b.tar.zst")).unwrap(), before);
}

#[test]
fn completions_are_scripts_that_their_shells_take() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = jarvis(directory.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        std::fs::write(directory.path().join(shell), &output.stdout).unwrap();
        let parsed = Command::new(shell).args(["-n", shell]).current_dir(directory.path()).output();
        match parsed {
            Ok(parsed) => assert!(parsed.status.success(), "{shell}: {}", said(&parsed)),
            Err(_) => eprintln!("not parsed: {shell} is not installed"),
        }
    }
    assert_eq!(jarvis(directory.path(), &["completions", "cmd"]).status.code(), Some(2));
}

/// A configuration whose `[rules]` name a list, a `threshold.config` and a `classification.config`.
fn with_rules(directory: &Path) {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write(
        "c.toml",
        "[rules]\ndisable = [\"disable.conf\"]\nthresholds = [\"threshold.config\"]\n\
         classifications = [\"classification.config\"]\n",
    );
    write("disable.conf", "re:unreadable\n");
    write("classification.config", "config classification: mine,My own,2\n");
    write(
        "threshold.config",
        "suppress gen_id 1, sig_id 2, track by_src, ip 10.0.0.1\n\
         event_filter gen_id 1, sig_id 3, type limit, track by_src, count 1, seconds 60\n\
         rate_filter gen_id 1, sig_id 4, track by_src, count 2, seconds 60, new_action drop, timeout 2\n",
    );
    let rule = |sid: u32, more: &str| format!("alert udp any any -> any 53 (dsize:4; {more}sid:{sid};)\n");
    let unreadable = rule(5, "msg:\"unreadable\"; nonsense; ");
    let rules = [rule(1, "classtype:mine; "), rule(2, ""), rule(3, ""), rule(4, ""), unreadable].concat();
    write("a.rules", &rules);
}

#[test]
fn replayed_rules_are_under_what_the_configuration_says_of_them() {
    let directory = tempfile::tempdir().unwrap();
    with_rules(directory.path());
    std::fs::write(directory.path().join("in.pcap"), pcap(6)).unwrap();
    let words =
        ["replay", "in.pcap", "--inline", "--config", "c.toml", "--rules", "a.rules", "--eve", "e.json"];
    let output = jarvis(directory.path(), &words);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(!told.contains("left out") && !told.contains("warning"), "{told}");
    let events = lines(&std::fs::read(directory.path().join("e.json")).unwrap());
    let events = events.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let alerts: Vec<_> = events.filter(|event| event["event_type"] == "alert").collect();
    let of = |sid: u64| alerts.iter().filter(move |event| event["alert"]["signature_id"] == sid);
    assert_eq!([of(1).count(), of(2).count(), of(3).count(), of(4).count()], [6, 0, 1, 6], "{alerts:#?}");
    assert!(of(1).all(|event| event["alert"]["category"] == "My own" && event["alert"]["severity"] == 2));
    assert!(of(3).all(|event| event["alert"]["category"] == "" && event["alert"]["severity"] == 3));
    // The third completes the rate, two seconds are the timeout, and the one after it ends it.
    let actions: Vec<_> = of(4).map(|event| event["alert"]["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["allowed", "allowed", "blocked", "blocked", "blocked", "allowed"]);
}

#[test]
fn named_rules_are_checked_under_what_the_configuration_says_of_them() {
    let directory = tempfile::tempdir().unwrap();
    with_rules(directory.path());
    let check = |more: &[&str]| jarvis(directory.path(), &[&["check", "--rules", "a.rules"], more].concat());
    let alone = check(&[]);
    assert_eq!(alone.status.code(), Some(1));
    let said_alone = said(&alone);
    assert!(
        said_alone.contains("a.rules:5:") && said_alone.contains("4 of 5 rules in 1 files"),
        "{said_alone}"
    );
    // The class is nobody's without the file.
    assert!(said_alone.contains("warning: a.rules:1:1: sid 1: classtype: "), "{said_alone}");
    let under = check(&["--config", "c.toml", "--tap", "a"]);
    let said_under = said(&under);
    assert_eq!(under.status.code(), Some(0), "{said_under}");
    assert!(
        said_under.contains("4 of 5 rules in 1 files can be loaded, 1 are disabled; read in "),
        "{said_under}"
    );
    assert!(!said_under.contains("warning: a.rules"), "{said_under}");
    let threshold = directory.path().join("threshold.config");
    std::fs::write(&threshold, "suppress gen_id 1, sig_id 2\nsuppress gen_id 1, sig_id 9\nnope\n").unwrap();
    let wrong = check(&["--config", "c.toml", "--tap", "a"]);
    let said_wrong = said(&wrong);
    assert_eq!(wrong.status.code(), Some(1), "{said_wrong}");
    for part in
        ["threshold.config:3:1: expected suppress", "threshold.config:2:1: sid 9: no rule 1:9 is in force"]
    {
        assert!(said_wrong.contains(part), "{said_wrong}");
    }
}
