//! Texts and everything that is wrong with them.

use super::*;
use std::path::PathBuf;

const TWO_PORTS: &str = "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\n";

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    understand("dir/t.toml", text, &Environment::default(), &PortFlags::default(), Ports::Optional)
}

/// (line, words that the message must hold) of each problem, compared with what is found.
fn assert_problems(text: &str, expected: &[(usize, &str)]) {
    let found = read(text).expect_err("the text is wrong");
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{shown:#?}");
    for (problem, (line, words)) in found.iter().zip(expected) {
        assert_eq!(problem.line, Some(*line), "{problem}");
        assert!(problem.what.contains(words), "{problem}\n  lacks {words}");
        assert!(problem.to_string().starts_with(&format!("dir/t.toml:{line}: ")), "{problem}");
    }
}

#[test]
fn embedded_file_is_valid_and_shows_the_real_defaults() {
    assert_eq!(read(DEFAULT_CONFIG), read(""));
}

#[test]
fn embedded_file_names_every_key() {
    // Uncomment everything: then the file holds each key, and none of them is unknown.
    let text: String = DEFAULT_CONFIG
        .lines()
        .skip_while(|line| !line.starts_with("mode"))
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let config =
        understand("t.toml", &text, &Environment::default(), &PortFlags::default(), Ports::Required).unwrap();
    assert_eq!(config.ports.len(), 2);
    assert!(config.service.is_some() && config.mirror.is_some() && config.eve.file.is_some());
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    assert_problems(
        "mode = \"router\"\nnamee = \"x\"\n[wire]\nfail_mode = 3\nwatchdog_ms = 1\n[worker]\nwait = \"spin\"\n\
         ring_entries = 1000\n[apii]\nlisten = \"x\"\n",
        &[
            (1, "mode is \"router\", must be one of inline, tap"),
            (2, "unknown key namee; did you mean name?"),
            (4, "wire.fail_mode must be a string, not a whole number"),
            (5, "wire.watchdog_ms is 1, must be 2 to 60000"),
            (7, "worker.wait is \"spin\", must be one of adaptive, busy_poll, interrupt"),
            (8, "worker.ring_entries is 1000, must be a power of two"),
            (9, "unknown key apii; did you mean api?"),
        ],
    );
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    for (text, line, hint) in [
        ("[wire]\nwatchdog = 5\n", 2, "unknown key wire.watchdog; did you mean watchdog_ms?"),
        ("[worker]\ncore = [1]\n", 2, "unknown key worker.core; did you mean cores?"),
        (
            "[flow.timeout_s]\nudp_establish = 3\n",
            2,
            "flow.timeout_s.udp_establish; did you mean udp_established?",
        ),
        ("[log]\nxyzzy = 1\n", 2, "unknown key log.xyzzy; known here: level, format"),
        ("[inline.servce]\nipv4 = \"10.0.0.1/24\"\n", 1, "inline.servce; did you mean service?"),
    ] {
        assert_problems(text, &[(line, hint)]);
    }
}

#[test]
fn syntax_errors_have_lines_too() {
    let found = read("mode = \"inline\"\nname = \n[wire\n").expect_err("not TOML");
    assert_eq!(found[0].line, Some(2), "{found:?}");
    assert!(found[0].what.starts_with("not valid TOML"));
}

#[test]
fn wrong_types_and_ranges_are_named() {
    for (text, line, words) in [
        ("[worker]\ncount = 0\n", 2, "worker.count is 0, must be 1 to 64"),
        ("[worker]\ncount = -3\n", 2, "worker.count is -3, must be 1 to 64"),
        ("[worker]\ncount = 2\ncores = [1, 1]\n", 3, "worker.cores holds core 1 twice"),
        ("[worker]\ncount = 2\ncores = [1]\n", 3, "worker.cores names 1 cores for 2 workers"),
        ("[worker]\ncores = [5000]\n", 2, "worker.cores holds 5000, must be 0 to 4095"),
        ("[worker]\nframe_bytes = 1024\n", 2, "must be 2048 or 4096"),
        ("[worker]\nring_entries = 4096\nframes = 4096\n", 3, "at least 2 x worker.ring_entries = 8192"),
        ("[worker]\nhuge_pages = 1\n", 2, "worker.huge_pages must be true or false, not a whole number"),
        ("[control]\ncores = [1]\n[worker]\ncores = [1]\n", 2, "core 1, which polls packets"),
        ("[api]\nlisten = \"8000\"\n", 2, "must be an address and port such as 127.0.0.1:8000"),
        ("[eve]\ntypes = [\"flow\", \"alerts\"]\n", 2, "eve.types holds \"alerts\", must be one of flow"),
        ("[rules]\nfiles = \"x\"\n", 2, "rules.files must be a list in [ ], not a string"),
        ("[rules]\nalerts_per_packet = 0\n", 2, "rules.alerts_per_packet"),
        ("[rules]\naddresses = { HOME_NET = 3 }\n", 2, "rules.addresses.HOME_NET must be a text"),
        ("[eve]\ntypes = \"flow\"\n", 2, "eve.types must be a list in [ ], not a string"),
        ("[exceptions]\nmidstream = \"panic\"\n", 2, "must be one of fail_mode, ignore, pass, drop, reject"),
        (
            "[exceptions]\nparser_error = \"fail_mode\"\n",
            2,
            "must be one of ignore, pass_packet, pass, drop_packet, drop, reject",
        ),
        ("[inline.service]\nvlan = 5\n", 1, "needs ipv4, ipv6 or both"),
        ("[inline.service]\nipv4 = \"224.0.0.1/24\"\n", 1, "no address that a host can have"),
        ("[identity.portal]\nport = 0\n", 2, "identity.portal.port"),
        ("[identity.portal]\ntitle = \"\"\n", 2, "identity.portal.title is a text of 1 to 100 characters"),
        ("[identity.portal]\nname = \"portal.example\"\n", 1, "need identity.portal.certificate and key"),
        ("[identity.portal]\ncertificate = \"a\"\n", 1, "need one another"),
        (
            "[identity.portal]\ncertificate = \"a\"\nkey = \"b\"\nname = \"a b\"\n",
            4,
            "\"a b\" is no host name",
        ),
        ("[identity.portal]\nannounce_to = \"inside\"\n", 2, "needs a certificate, its key and its name"),
        ("[identity.portal]\ncertificate = \"a\"\nkey = \"b\"\ntls_port = 8880\n", 1, "are both 8880"),
        ("[mirror]\ninterface = \"a b\"\n", 2, "which no interface can be called"),
        ("name = \"a/b\"\n", 1, "letters, digits, hyphens"),
        ("port = 3\n", 1, "write [[port]] for each port"),
        ("worker = 3\n", 1, "worker must be a table"),
    ] {
        assert_problems(text, &[(line, words)]);
    }
}

#[test]
fn ports_are_counted_by_mode() {
    assert!(read(TWO_PORTS).is_ok());
    assert_problems("[[port]]\ninterface = \"a\"\n", &[(1, "needs exactly 2 [[port]]")]);
    assert_problems(&format!("mode = \"tap\"\n{TWO_PORTS}"), &[(4, "needs exactly 1 [[port]]")]);
    let none = understand("t", "", &Environment::default(), &PortFlags::default(), Ports::Required);
    assert!(none.expect_err("a live wire needs ports")[0].what.contains("--inside and --outside"));
}

#[test]
fn ports_must_differ() {
    assert_problems(
        "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"a\"\nzone = \"inside\"\n",
        &[(3, "both ports are a"), (3, "both ports are in zone \"inside\"")],
    );
    assert_problems(&format!("{TWO_PORTS}[mirror]\ninterface = \"a\"\n"), &[(6, "is also a port")]);
}

#[test]
fn port_without_interface_and_with_a_bad_network_is_two_problems() {
    assert_problems(
        "[[port]]\ninterface = \"a\"\n[[port]]\nnetworks = [\"10.0.0.0/40\"]\n",
        &[(3, "a [[port]] needs an interface"), (4, "must be a network such as 10.0.0.0/8")],
    );
}

#[test]
fn flags_name_ports_over_the_file() {
    let flags = PortFlags { inside: Some("x".into()), outside: Some("y".into()), tap: None };
    let of =
        |text: &str| understand("t", text, &Environment::default(), &flags, Ports::Required).unwrap().ports;
    let names = |ports: Vec<Port>| ports.into_iter().map(|p| (p.interface, p.zone)).collect::<Vec<_>>();
    let (x, y) = (("x".to_owned(), "inside".to_owned()), ("y".to_owned(), "outside".to_owned()));
    assert_eq!(names(of("")), [x.clone(), y.clone()]);
    assert_eq!(names(of(TWO_PORTS)), [x, y]);

    let tap = PortFlags { tap: Some("m".into()), ..PortFlags::default() };
    let config = understand("t", TWO_PORTS, &Environment::default(), &tap, Ports::Required).unwrap();
    assert_eq!(config.mode, Mode::Tap);
    assert_eq!(names(config.ports), [("m".to_owned(), "inside".to_owned())]);
}

#[test]
fn relative_paths_start_at_the_file() {
    let config = read("[policy]\nfile = \"p.json\"\n[eve]\nfile = \"/abs/eve.json\"\n").unwrap();
    assert_eq!(config.policy_file, Some(PathBuf::from("dir/p.json")));
    assert_eq!(config.eve.file, Some(PathBuf::from("/abs/eve.json")));
}

#[test]
fn the_event_file_is_rotated_as_suricata_writes_it() {
    let eve = |text: &str| read(&format!("[eve]\n{text}\n")).unwrap().eve;
    let seconds = |word: &str| eve(&format!("rotate_interval = \"{word}\"")).rotate_interval_s;
    let words = ["minute", "hour", "day", "30s", "15m", "6h", "366d"];
    assert_eq!(words.map(seconds), [60, 3_600, 86_400, 30, 900, 21_600, 31_622_400].map(Some));
    let by_size = eve("rotate_bytes = 10000\nrotate_keep = 0");
    assert_eq!(
        (by_size.rotate_bytes, by_size.rotate_interval_s, by_size.rotate_keep),
        (Some(10_000), None, 0)
    );
    for word in ["0s", "367d", "week", "5", "99999999999999999999d", ""] {
        assert_problems(&format!("[eve]\nrotate_interval = \"{word}\"\n"), &[(2, "eve.rotate_interval")]);
    }
}

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const PAIR: &str = "certificate = \"chain.pem\"\nkey = \"/abs/key.pem\"\n";

/// With `JARVIS_MTLS_REQUIRED` and `JARVIS_MTLS_ALLOWED_FINGERPRINTS`; empty is unset.
fn read_with_mtls(required: &str, allowed: &str, text: &str) -> Result<Config, Vec<Problem>> {
    let environment = Environment::of(|name| match name {
        "JARVIS_MTLS_REQUIRED" => Some(required.to_owned()),
        "JARVIS_MTLS_ALLOWED_FINGERPRINTS" => Some(allowed.to_owned()),
        _ => None,
    });
    understand("dir/t.toml", text, &environment, &PortFlags::default(), Ports::Optional)
}

#[test]
fn client_certificates_are_asked_for_as_file_and_environment_say() {
    use controlplane::api::Asked::{No, Optional, Required};
    let ca = format!("[api.tls]\n{PAIR}client_ca = \"ca.pem\"\n");
    let list = format!("[api.tls]\n{PAIR}allowed_fingerprints = [\"{ABC}\"]\n");
    let (plain, proxy) =
        (format!("[api.tls]\n{PAIR}"), "[api]\ntrusted_proxies = [\"192.0.2.1\"]\n".to_owned());
    let required = |table: &str| format!("{table}client_certificates = \"required\"\n");
    let other = ABC.replace('b', "c");
    for (text, env_required, env_allowed, asked, listed) in [
        (String::new(), "", "", No, 0),
        (plain.clone(), "", "", No, 0),
        (ca.clone(), "", "", Optional, 0),
        (list.clone(), "", "", Optional, 1),
        (required(&ca), "", "", Required, 0),
        (ca.clone(), "1", "", Required, 0),
        (ca.clone(), "Yes", "", Required, 0),
        (required(&ca), "0", "", Optional, 0),
        (required(&list), "false", "", Optional, 1),
        (plain.clone(), "true", ABC, Required, 1),
        (plain, "no", "", No, 0),
        (list, "", &format!("{ABC}, {other},"), Optional, 2),
        (proxy.clone(), "true", ABC, Required, 1),
        (proxy, "", ABC, Optional, 1),
    ] {
        let config = read_with_mtls(env_required, env_allowed, &text).unwrap();
        let clients = config.api.tls.clients;
        let found = (clients.asked, clients.allowed_fingerprints.len());
        assert_eq!(found, (asked, listed), "{text} {env_required} {env_allowed}");
        assert!(config.notices.is_empty(), "{:?}", config.notices);
    }
    let files = read(&ca).unwrap().api.tls.files.unwrap();
    assert_eq!(files.certificate, PathBuf::from("dir/chain.pem"));
    assert_eq!(files.key, PathBuf::from("/abs/key.pem"));
    assert_eq!(files.client_ca, Some(PathBuf::from("dir/ca.pem")));
}

#[test]
fn a_door_that_would_stay_open_is_refused() {
    for (text, line, words) in [
        ("[api.tls]\ncertificate = \"c\"\n", 1, "api.tls.certificate needs api.tls.key"),
        ("[api.tls]\nkey = \"k\"\n", 1, "api.tls.key needs api.tls.certificate"),
        ("[api.tls]\nclient_ca = \"k\"\n", 1, "api.tls.client_ca needs api.tls.certificate"),
        ("[api.tls]\nclient_certificates = \"always\"\n", 2, "must be one of none, optional, required"),
        ("[api.tls]\nallowed_fingerprints = [\"ab\"]\n", 2, "must be a SHA-256 fingerprint of 64"),
        ("[api]\ntrusted_proxies = [\"proxy.example\"]\n", 2, "must be an address such as 192.0.2.1"),
        ("[api]\ntrusted_proxies = [\"192.0.2.0/24\"]\n", 2, "must be an address such as 192.0.2.1"),
    ] {
        assert_problems(text, &[(line, words)]);
    }
    let neither = "neither api.tls.client_ca nor a list of allowed fingerprints";
    assert_problems(&format!("[api.tls]\n{PAIR}client_certificates = \"required\"\n"), &[(1, neither)]);
    assert_problems(&format!("[api.tls]\n{PAIR}client_certificates = \"optional\"\n"), &[(1, neither)]);
    let none = format!("[api.tls]\n{PAIR}client_ca = \"c\"\nclient_certificates = \"none\"\n");
    assert_problems(&none, &[(1, "api.tls.client_certificates is \"none\", but")]);
    let list = format!("[api.tls]\nclient_certificates = \"required\"\nallowed_fingerprints = [\"{ABC}\"]\n");
    assert_problems(&list, &[(1, "no [api.tls] certificate and key to speak TLS with")]);
    // What the environment asks for and nothing could do.
    for (required, allowed, text, words) in [
        (
            "true",
            ABC,
            "",
            vec!["JARVIS_MTLS_REQUIRED asks for client certificates, but there is no [api.tls]"],
        ),
        ("true", "", "", vec![neither, "there is no [api.tls]"]),
        ("1", "", "[api]\ntrusted_proxies = [\"192.0.2.1\"]\n", vec![neither]),
        ("perhaps", "", "", vec!["JARVIS_MTLS_REQUIRED is \"perhaps\", must be true or false"]),
        ("", "ab,cd", "", vec!["holds \"ab\", which is no SHA-256", "holds \"cd\", which is no SHA-256"]),
    ] {
        let found = read_with_mtls(required, allowed, text).unwrap_err();
        assert_eq!(found.len(), words.len(), "{found:?}");
        for (problem, words) in found.iter().zip(words) {
            assert!(problem.what.contains(words), "{problem}\n  lacks {words}");
        }
    }
}

#[test]
fn a_list_that_nobody_looks_at_is_told() {
    let config = read_with_mtls("", ABC, "").unwrap();
    assert_eq!(config.api.tls, tls::ApiTls::default());
    assert_eq!(config.notices.len(), 1);
    assert!(
        config.notices[0].contains("JARVIS_MTLS_ALLOWED_FINGERPRINTS has no effect"),
        "{:?}",
        config.notices
    );
}
