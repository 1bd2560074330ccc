//! Do tokens of an OpenID provider and lines of syslog say who is where, and nobody else's?
//!
//! Keys and tokens are openssl's, lines are logger's. Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lab::{Lab, eventually, said, sh};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

/// HTTP is for employees.
const POLICIES: &str = r#"
{"policy_id": "p-staff", "priority": 10, "conditions": {"application": "http", "user_role": "employee"}, "action": "allow"},
{"policy_id": "p-web", "priority": 20, "conditions": {"application": "http"}, "action": "reject"}"#;

/// What is said of a token whose key the provider does not have.
const UNKNOWN_KEY: &str = "keys have none with the token's `kid`";

const ANN: &str = "10.77.0.1";
/// curl's exit code for a connection that was reset.
const RESET: Option<i32> = Some(56);

fn fetch(lab: &Lab) -> Option<i32> {
    let words =
        ["curl", "--silent", "--max-time", "4", "--output", "/dev/null", "http://10.77.0.2:8080/word"];
    lab.client(&words).status.code()
}

fn metrics(lab: &Lab) -> String {
    let socket = lab.path("ctl.sock");
    let told = sh("curl", &["--silent", "--unix-socket", socket.to_str().unwrap(), "http://jarvis/metrics"]);
    String::from_utf8(told.stdout).unwrap()
}

fn total(lab: &Lab) -> u64 {
    lab.ctl(&["identity", "list"])["total"].as_u64().unwrap()
}

/// A process of this machine, killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A key of the provider; its public half as the provider tells it.
fn make_key(lab: &Lab, kid: &str) -> Value {
    let file = lab.path(&format!("{kid}.pem"));
    let file = file.to_str().unwrap();
    let words = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file];
    assert!(sh("openssl", &words).status.success());
    let told = String::from_utf8(sh("openssl", &["rsa", "-in", file, "-noout", "-modulus"]).stdout).unwrap();
    let hex = told.trim().strip_prefix("Modulus=").unwrap();
    let n = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    let n = URL_SAFE_NO_PAD.encode(n.collect::<Vec<u8>>());
    json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": "AQAB"})
}

/// A token in a file, signed by openssl with the key.
fn token(lab: &Lab, kid: &str, claims: &Value) -> String {
    let header = json!({"alg": "RS256", "kid": kid, "typ": "JWT"}).to_string();
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
    lab.write("message", &message);
    let (key, input) = (lab.path(&format!("{kid}.pem")), lab.path("message"));
    let words = ["dgst", "-sha256", "-sign", key.to_str().unwrap(), input.to_str().unwrap()];
    let signed = sh("openssl", &words);
    assert!(signed.status.success(), "{}", said(&signed));
    lab.write("token", format!("{message}.{}\n", URL_SAFE_NO_PAD.encode(signed.stdout)));
    lab.path("token").to_str().unwrap().to_owned()
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn claims(left_s: u64) -> Value {
    json!({
        "iss": "https://id.example/", "aud": "jarvis", "sub": "u-17", "preferred_username": "ann",
        "iat": now_s(), "exp": now_s() + left_s, "realm_access": {"roles": ["employee"]}, "groups": ["staff"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut all = claims(300);
    all[name] = value;
    all
}

/// What `ctl` says of a token that is refused.
fn refusal(lab: &Lab, file: &str) -> String {
    let words = ["ctl", "--socket", "ctl.sock", "identity", "assert", "--oidc-token-file", file, ANN];
    let output = lab.jarvis(&words);
    if output.status.success() { String::new() } else { said(&output) }
}

#[test]
fn a_token_of_the_provider_says_who_it_is_until_it_is_over() {
    let Some(lab) = Lab::up(&[]) else { return };
    let port = lab::free_port();
    std::fs::create_dir_all(lab.path("keys")).unwrap();
    let old = make_key(&lab, "old");
    let new = make_key(&lab, "new");
    lab.write("keys/certs", json!({ "keys": [old] }).to_string());
    lab.policy(
        &format!(
            "[identity.oidc]\nissuer = \"https://id.example/\"\naudience = [\"jarvis\"]\n\
             jwks_url = \"http://127.0.0.1:{port}/certs\"\nleeway_s = 0\nrole = \"realm_access.roles\"\ngroups = \"groups\"\n"
        ),
        POLICIES,
    );
    let directory = lab.path("keys");
    let serve = || {
        let words = ["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"];
        let mut command = Command::new("python3");
        command.args(words).arg(&directory).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Killed(command.spawn().unwrap());
        eventually("the provider answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    };
    let provider = serve();
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    assert_eq!(fetch(&lab), RESET, "nobody is known");

    // Keys come from the provider; the token's own time ends what it says.
    eventually("the keys are there", || metrics(&lab).contains("jarvis_oidc_keys 1\n"));
    let file = token(&lab, "old", &claims(4));
    let told = lab.ctl(&["identity", "assert", "--oidc-token-file", &file, ANN]);
    assert_eq!(
        (&told["user_id"], &told["username"], &told["source"]),
        (&"u-17".into(), &"ann".into(), &"oidc".into())
    );
    assert_eq!(told["groups"], json!(["staff"]), "{told}");
    assert_eq!(fetch(&lab), Some(0), "{}", lab.log());
    eventually("the token is over", || total(&lab) == 0);
    assert_eq!(fetch(&lab), RESET);

    for (claims, why) in [
        (with("exp", (now_s() - 1).into()), "`exp` was"),
        (with("nbf", (now_s() + 60).into()), "begins in"),
        (with("iss", "https://other.example/".into()), "`iss` is not"),
        (with("aud", "payroll".into()), "`aud` has none"),
        (with("sub", Value::Null), "no claim `sub`"),
    ] {
        let told = refusal(&lab, &token(&lab, "old", &claims));
        assert!(told.contains(why), "{why}: {told}");
    }
    lab.write("long", "x".repeat(20_000));
    assert!(refusal(&lab, lab.path("long").to_str().unwrap()).contains("more than 16384 bytes"));
    let unsigned = token(&lab, "old", &claims(300));
    let text = std::fs::read_to_string(&unsigned).unwrap();
    let payload = text.split('.').nth(1).unwrap().to_owned();
    lab.write("token", format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"old"}"#)));
    assert!(refusal(&lab, &unsigned).contains("`alg` is not one of"));

    // The provider signs with another key from now on, and takes the old one back.
    lab.write("keys/certs", json!({ "keys": [new] }).to_string());
    let file = token(&lab, "new", &claims(300));
    eventually("the new key is asked for", || match refusal(&lab, &file) {
        told if told.is_empty() => true,
        told => {
            assert!(told.contains(UNKNOWN_KEY), "{told}");
            false
        }
    });
    assert_eq!(fetch(&lab), Some(0), "{}", lab.log());
    assert!(refusal(&lab, &token(&lab, "old", &claims(300))).contains(UNKNOWN_KEY));

    // A provider that is away takes no key along.
    drop(provider);
    let stranger = make_key(&lab, "stranger");
    assert_eq!(stranger["kid"], "stranger");
    let file = token(&lab, "stranger", &claims(300));
    eventually("a fetch fails", || {
        assert!(refusal(&lab, &file).contains(UNKNOWN_KEY));
        !metrics(&lab).contains("jarvis_oidc_key_fetches_total{outcome=\"failed\"} 0\n")
    });
    assert_eq!(refusal(&lab, &token(&lab, "new", &claims(300))), "");

    let told = metrics(&lab);
    assert!(told.contains("jarvis_oidc_tokens_total{outcome=\"issuer\"} 1\n"), "{told}");
    let audit = lab.ctl(&["audit", "action=identity.oidc"]);
    let outcomes: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().filter_map(|entry| entry["outcome"].as_str()).collect();
    for outcome in ["oidc_expired", "oidc_algorithm", "oidc_too_long", "done"] {
        assert!(outcomes.contains(&outcome), "{outcome}: {audit}");
    }
    daemon.stop();
    for text in [audit.to_string(), lab.log()] {
        assert!(!text.contains(&payload) && !text.contains("eyJ"), "a token was written down: {text}");
    }
}

/// How many messages of syslog came to this.
fn counted(lab: &Lab, outcome: &str) -> u64 {
    let told = metrics(lab);
    let name = format!("jarvis_syslog_messages_total{{outcome=\"{outcome}\"}} ");
    told.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Sends a line as a host does.
fn log(port: u16, form: &[&str], app_name: &str, line: &str) {
    let port = port.to_string();
    let output =
        sh("logger", &[&["-n", "127.0.0.1", "-P", &port, "-t", app_name], form, &["--", line]].concat());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn log_lines_say_who_came_and_went() {
    let Some(lab) = Lab::up(&[]) else { return };
    let port = lab::free_port();
    lab.policy(
        &format!(
            r#"[identity.syslog]
listen = "127.0.0.1:{port}"
listen_tcp = "127.0.0.1:{port}"
networks = ["127.0.0.0/8"]
[[identity.syslog.pattern]]
event = "login"
app_name = "sshd"
regex = 'Accepted \S+ for (?P<user>\S+) from (?P<address>\S+) port'
[[identity.syslog.pattern]]
event = "login"
regex = 'vpn up user=(?P<user>\S+) ip=(?P<address>\S+) role=(?P<role>\S+) group=(?P<group>\S+)'
[[identity.syslog.pattern]]
event = "logout"
regex = 'vpn down user=(?P<user>\S+) ip=(?P<address>\S+)'
"#
        ),
        POLICIES,
    );
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    let up = format!("vpn up user=ann ip={ANN} role=employee group=staff");
    let down = format!("vpn down user=ann ip={ANN}");
    let forms: [&[&str]; 5] = [
        &["-d", "--rfc5424"],
        &["-d", "--rfc3164"],
        &["-d", "--rfc5424=notime,nohost"],
        &["-T", "--rfc5424", "--octet-count"],
        &["-T", "--rfc3164"],
    ];
    let mut logouts = 0;
    for form in forms {
        assert_eq!(fetch(&lab), RESET);
        log(port, form, "charon", &up);
        eventually("ann came", || total(&lab) == 1);
        let known = &lab.ctl(&["identity", "list"])["identities"][0];
        assert_eq!(
            (&known["user_id"], &known["source"]),
            (&"ann".into(), &"syslog".into()),
            "{form:?} {known}"
        );
        assert_eq!(
            (&known["user_role"], &known["groups"]),
            (&"employee".into(), &json!(["staff"])),
            "{known}"
        );
        assert_eq!(fetch(&lab), Some(0), "{}", lab.log());
        // Somebody else went from there, and she did.
        log(port, form, "charon", &format!("vpn down user=bob ip={ANN}"));
        log(port, form, "charon", "vpn down user=ann ip=10.77.0.77");
        eventually("both were read", || counted(&lab, "logout") == logouts + 2);
        assert_eq!(total(&lab), 1);
        log(port, form, "charon", &down);
        eventually("ann went", || total(&lab) == 0);
        logouts += 3;
    }
    let line = "Accepted password for ann from 10.1.2.3 port 5 ssh2";
    log(port, &["-d", "--rfc3164"], "sshd", line);
    eventually("ann came", || total(&lab) == 1);
    assert_eq!(lab.ctl(&["identity", "list"])["identities"][0]["addresses"], json!(["10.1.2.3"]));
    // Another program says so, and somebody who calls himself so.
    log(port, &["-d", "--rfc5424"], "nginx", "Accepted password for eve from 10.1.2.4 port 5 ssh2");
    let evil = "Failed password for invalid user Accepted password for eve from 10.1.2.4 port 5 from 203.0.113.9 port 6";
    log(port, &["-d", "--rfc5424"], "sshd", evil);
    eventually("both were read", || counted(&lab, "unmatched") == 2);
    assert_eq!(total(&lab), 1);
    log(port, &["-d", "--rfc5424"], "charon", &up.replace(ANN, "127.0.0.1"));
    eventually("it is refused", || counted(&lab, "refused") == 1);
    let refused = lab.ctl(&["audit", "action=identity.syslog"]);
    assert_eq!(refused["entries"][0]["outcome"], "refused", "{refused}");
    daemon.stop();
}

#[test]
fn a_flood_from_strangers_is_counted_and_told_once() {
    let Some(lab) = Lab::up(&[]) else { return };
    let port = lab::free_port();
    lab.policy(
        &format!(
            "[identity.syslog]\nlisten = \"127.0.0.1:{port}\"\nnetworks = [\"10.0.0.0/8\"]\n[[identity.syslog.pattern]]\n\
             event = \"login\"\nregex = '(?P<user>\\S+) (?P<address>\\S+)'\n"
        ),
        POLICIES,
    );
    let daemon = lab.start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    eventually("twenty thousand are refused", || {
        for _ in 0..2_000 {
            socket.send_to(b"<38>sshd: eve 10.1.2.3", ("127.0.0.1", port)).unwrap();
        }
        counted(&lab, "unknown_sender") >= 20_000
    });
    assert_eq!(total(&lab), 0);
    let refused = lab.ctl(&["audit", "action=identity.syslog"]);
    let entries = refused["entries"].as_array().unwrap();
    assert!((1..=3).contains(&entries.len()), "one at once, and one a minute: {refused}");
    assert_eq!(
        (&entries[0]["outcome"], &entries[0]["address"]),
        (&"unknown_sender".into(), &"127.0.0.1".into())
    );
    assert!(lab.log().matches("a message of syslog was refused").count() <= 2, "{}", lab.log());
    daemon.stop();
}

#[test]
fn what_is_wrong_with_a_source_is_told_with_its_line() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy(
        r#"[identity.syslog]
listen = "127.0.0.1:5514"
networks = ["10.0.0.0/8"]
[[identity.syslog.pattern]]
event = "login"
regex = '(?P<usr>\S+) (?P<address>\S+)'
[[identity.syslog.pattern]]
event = "login"
regex = '(?P<user>\S+'
[[identity.syslog.pattern]]
event = "came"
regex = 'x'
[identity.oidc]
issuer = "https://id.example/"
jwks_url = "ftp://id.example/keys"
"#,
        POLICIES,
    );
    let text = std::fs::read_to_string(lab.path("jarvis.toml")).unwrap();
    let line_of = |what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
    let output = lab.jarvis(&["check", "--config", "jarvis.toml"]);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for (line, what) in [
        (line_of("(?P<usr>"), "has a group `usr`; groups are called user, address, role, group"),
        (line_of(r"'(?P<user>\S+'"), "is no regular expression that is taken: unclosed group"),
        (line_of("\"came\""), "must be one of login, logout"),
        (line_of("ftp://"), "must begin with https:// or http://"),
        (line_of("[identity.oidc]"), "needs issuer, audience, and jwks_file or jwks_url"),
    ] {
        let place = format!(":{line}: ");
        let is_told = told.lines().any(|said| said.contains(&place) && said.contains(what));
        assert!(is_told, "{place}{what}\n{told}");
    }
}
