//! Do users of whom nobody knows who they are find the captive portal, and does it let in whom it should?
//!
//! Clients are curl in their own network namespaces. Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::service::{up, v4, v6};
use lab::{Background, Daemon, Host, Lab, eventually, said};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const PASSWORD: &str = "a horse that staples batteries";
/// curl's exit code where a connection is refused.
const REFUSED: Option<i32> = Some(7);

/// As the documentation has it: who is known gets through, clear HTTP of others goes to the portal, the rest of theirs is rejected.
fn policies() -> Value {
    json!({"default_action": "reject", "policies": [
        {"policy_id": "known", "priority": 10, "conditions": {"user_id": "*"}, "action": "allow"},
        {"policy_id": "portal", "priority": 20, "conditions": {"protocol": "tcp", "dst_port": [8880, 8843],
         "dst_ip": [v4(3), v6(3)]}, "action": "allow"},
        {"policy_id": "neighbours", "priority": 30, "conditions": {"protocol": "icmpv6"}, "action": "allow"},
        {"policy_id": "dhcp", "priority": 35, "conditions": {"protocol": "udp", "dst_port": [67, 68, 546, 547]}, "action": "allow"},
        {"policy_id": "web", "priority": 40, "conditions": {"protocol": "tcp", "dst_port": 80},
         "action": {"redirect": {"to": "service:8880"}}}]})
}

/// A lab with a portal and web servers behind it, with more in its table.
fn start(more: &str) -> Option<(Lab, Daemon, [Background; 2])> {
    let portal = format!("[identity.portal]\ntitle = \"Guests\"\n{more}[policy]\nfile = \"policy.json\"\n");
    let (lab, _tap) = up(&[], &portal)?;
    lab.write("policy.json", policies().to_string());
    certificate(&lab);
    let daemon = lab.start();
    let http = lab.serve_http(80);
    let words = [
        "openssl",
        "s_server",
        "-quiet",
        "-accept",
        "443",
        "-cert",
        "portal.crt",
        "-key",
        "portal.key",
        "-WWW",
    ];
    let https = lab.background(Host::Server, &words);
    eventually("the portal is reached", || get(&lab, &[], &portal_url("")).0 == Some(0));
    Some((lab, daemon, [http, https]))
}

/// A certificate of `portal.test` that is its own authority.
fn certificate(lab: &Lab) {
    let name = "subjectAltName=DNS:portal.test";
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
            "30",
        ])
        .args(["-keyout", "portal.key", "-out", "portal.crt", "-subj", "/CN=portal.test", "-addext", name])
        .current_dir(lab.path(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn portal_url(path: &str) -> String {
    format!("http://{}:8880/portal/{path}", v4(3))
}

/// Makes an account with a password of the operator's, or with one that the box makes and tells.
fn account(lab: &Lab, name: &str, role: &str, password: Option<&str>) -> Value {
    let words = ["user", "add", name, "--role", role];
    let Some(password) = password else { return lab.ctl(&words) };
    let socket = lab.path("ctl.sock");
    let mut child = Command::new(env!("CARGO_BIN_EXE_jarvis"))
        .args(["ctl", "--json", "--socket", socket.to_str().unwrap()])
        .args(words)
        .arg("--password-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// curl's exit code, and what it says: of an answer, the status, the place it is sent to and the body.
fn get(lab: &Lab, words: &[&str], url: &str) -> (Option<i32>, String) {
    let curl = ["curl", "--silent", "--max-time", "8", "--write-out", "\n%{http_code} %{redirect_url}"];
    let output = lab.client(&[&curl, words, &[url]].concat());
    (output.status.code(), said(&output))
}

/// Logs in from an address of the client; the answer's status.
fn log_in(lab: &Lab, words: &[&str], url: &str, name: &str, password: &str) -> (u16, String) {
    let (name, password) = (format!("username={name}"), format!("password={password}"));
    let form = ["--data-urlencode", &name, "--data-urlencode", &password];
    let (code, said) = get(lab, &[words, &form].concat(), url);
    assert_eq!(code, Some(0), "{said}");
    let (body, line) = said.rsplit_once('\n').unwrap();
    (line.split(' ').next().unwrap().parse().unwrap(), body.to_owned())
}

fn outcome(lab: &Lab, name: &str) -> u64 {
    let metrics = said(
        &Command::new("curl")
            .args(["--silent", "--unix-socket"])
            .arg(lab.path("ctl.sock"))
            .arg("http://box/metrics")
            .output()
            .unwrap(),
    );
    let line = format!("jarvis_portal_requests_total{{outcome=\"{name}\"}} ");
    let found = metrics.lines().find_map(|text| text.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

#[test]
fn who_is_unknown_is_sent_to_the_portal_and_who_logs_in_gets_through() {
    let Some((lab, _daemon, _servers)) = start("") else { return };
    account(&lab, "ann", "employee", Some(PASSWORD));
    account(&lab, "root", "admin", Some(PASSWORD));
    let second = format!("10.79.{}.9", v4(3).split('.').nth(2).unwrap());
    assert!(lab.client(&["ip", "addr", "add", &format!("{second}/24"), "dev", "eth0"]).status.success());
    let web = format!("http://{}/word", v4(2));

    // Whatever is asked for, of IPv6 too: a page of the box's.
    for (url, portal) in [
        (web.clone(), portal_url("")),
        (format!("http://[{}]/word?a=b", v6(2)), format!("http://[{}]:8880/portal/", v6(3))),
    ] {
        eventually("clear HTTP is sent to the portal", || get(&lab, &[], &url).0 == Some(0));
        let (_, answer) = get(&lab, &["--header", "Host: bank.example"], &url);
        assert!(answer.ends_with(&format!("\n302 {portal}")), "{answer}\n{}", lab.reasons());
    }
    let (_, answer) = get(&lab, &["--data", "a=b"], &web);
    assert!(answer.ends_with("\n511 "), "what is sent is not taken: {answer}");
    let (_, page) = get(&lab, &["--location"], &web);
    assert!(
        page.contains("<form method=\"post\" action=\"/portal/login\">") && page.contains("<h1>Guests</h1>"),
        "{page}"
    );
    // HTTPS is rejected, and nobody speaks TLS for the server.
    let https = format!("https://{}/portal.crt", v4(2));
    assert_eq!(get(&lab, &["--insecure"], &https).0, REFUSED);
    let (_, told) = get(&lab, &[], &portal_url("api"));
    let told: Value = serde_json::from_str(told.rsplit_once('\n').unwrap().0).unwrap();
    assert_eq!(told, json!({"captive": true, "user-portal-url": portal_url("")}), "RFC 8908");

    // What is wrong is said, counted and audited; accounts that run the box are not typed in here.
    let login = portal_url("login");
    let (status, page) = log_in(&lab, &[], &login, "ann", "wrong");
    assert_eq!((status, page.contains("The name or the password is wrong.")), (403, true), "{page}");
    assert_eq!(log_in(&lab, &[], &login, "root", PASSWORD).0, 403);
    let elsewhere = ["--header", "Origin: http://evil.example"];
    assert_eq!(log_in(&lab, &elsewhere, &login, "ann", PASSWORD).0, 511, "a page of somebody else's");
    assert_eq!((outcome(&lab, "credentials"), outcome(&lab, "refused"), outcome(&lab, "login")), (1, 1, 0));
    assert!(get(&lab, &[], &web).1.ends_with(&format!("302 {}", portal_url(""))), "nobody is known yet");

    assert_eq!(log_in(&lab, &[], &login, "Ann", PASSWORD).0, 303, "{}", lab.log());
    assert!(get(&lab, &[], &web).1.starts_with("served\n"), "at once\n{}", lab.log());
    assert!(get(&lab, &["--insecure"], &https).1.contains("BEGIN CERTIFICATE"), "HTTPS too");
    let (_, other) = get(&lab, &["--interface", &second], &web);
    assert!(other.ends_with(&format!("302 {}", portal_url(""))), "another address is nobody's: {other}");
    let known = lab.ctl(&["identity", "list"]);
    let known = &known["identities"][0];
    assert_eq!(
        (&known["user_id"], &known["user_role"], &known["source"], &known["addresses"]),
        (&"ann".into(), &"employee".into(), &"portal".into(), &json!([v4(1)])),
        "{known}"
    );
    let (_, told) = get(&lab, &[], &portal_url("api"));
    let told: Value = serde_json::from_str(told.rsplit_once('\n').unwrap().0).unwrap();
    assert_eq!((&told["captive"], &told["can-extend-session"]), (&false.into(), &true.into()), "{told}");
    assert!((28_000..=28_800).contains(&told["seconds-remaining"].as_u64().unwrap()), "{told}");
    let (_, page) = get(&lab, &[], &portal_url(""));
    assert!(page.contains("logged in as <strong>ann</strong>") && page.contains("Log out"), "{page}");

    assert!(get(&lab, &["--request", "POST"], &portal_url("logout")).1.contains("\n303 "));
    assert!(get(&lab, &[], &web).1.ends_with(&format!("302 {}", portal_url(""))), "out again");
    let audit = lab.ctl(&["audit", "action=portal.login"]);
    let outcomes: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "done").count(), 1, "{audit}");
    assert!(outcomes.contains(&"credentials") && outcomes.contains(&"in_clear"), "{audit}");
}

#[test]
fn an_account_that_changes_or_must_change_its_password_is_not_in() {
    let Some((lab, _daemon, _servers)) = start("") else { return };
    let made = account(&lab, "bob", "contractor", None);
    let one_time = made["one_time_password"].as_str().unwrap_or_else(|| panic!("{made}"));
    let web = format!("http://{}/word", v4(2));
    let login = portal_url("login");
    let (status, page) = log_in(&lab, &[], &login, "bob", one_time);
    assert_eq!((status, page.contains("new_password")), (403, true), "{page}");
    let new = ["--data-urlencode", "new_password=short"];
    let (status, page) = log_in(&lab, &new, &login, "bob", one_time);
    assert_eq!((status, page.contains("new_password")), (403, true), "asked once more: {page}");
    let new = format!("new_password={PASSWORD}");
    assert_eq!(log_in(&lab, &["--data-urlencode", &new], &login, "bob", one_time).0, 303, "{}", lab.log());
    assert!(get(&lab, &[], &web).1.starts_with("served\n"));

    lab.ctl(&["user", "change", "bob", "--disable"]);
    assert!(
        get(&lab, &[], &web).1.ends_with(&format!("302 {}", portal_url(""))),
        "who has no account is out"
    );
    assert_eq!(log_in(&lab, &[], &login, "bob", PASSWORD).0, 403);
}

#[test]
fn with_a_certificate_the_pages_are_served_over_tls_alone() {
    let tls = "certificate = \"portal.crt\"\nkey = \"portal.key\"\nname = \"portal.test\"\n";
    let Some((lab, _daemon, _servers)) = start(tls) else { return };
    account(&lab, "root", "admin", Some(PASSWORD));
    let at = |port: u16| format!("portal.test:{port}:{}", v4(3));
    let (crt, to) = (lab.path("portal.crt"), at(8843));
    let words = ["--cacert", crt.to_str().unwrap(), "--resolve", &to];
    let url = "https://portal.test:8843/portal/";
    let (_, answer) = get(&lab, &[], &format!("http://{}/word", v4(2)));
    assert!(answer.ends_with(&format!("\n302 {url}")), "{answer}");
    let (_, answer) = get(&lab, &[], &portal_url("api"));
    assert!(answer.ends_with(&format!("\n302 {url}")), "nothing is told in clear: {answer}");
    let (code, page) = get(&lab, &words, url);
    assert_eq!((code, page.contains("/portal/login")), (Some(0), true), "{page}");
    let (status, page) = log_in(&lab, &words, &format!("{url}login"), "root", PASSWORD);
    assert_eq!(status, 303, "{page}");
    assert!(get(&lab, &[], &format!("http://{}/word", v4(2))).1.starts_with("served\n"));
}

/// Asks routers for an advertisement; its options, each in hexadecimal. The kernel lets those through alone whose sum is right.
const SOLICIT: &str = "
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.settimeout(1)
for _ in range(15):
    s.sendto(bytes([133, 0, 0, 0, 0, 0, 0, 0]), ('ff02::2', 0, 0, socket.if_nametoindex('eth0')))
    try:
        while (message := s.recv(1500))[0] != 134: pass
    except TimeoutError: continue
    at = 16
    while at < len(message):
        print(message[at:at + 8 * message[at + 1]].hex())
        at += 8 * message[at + 1]
    break
";

#[test]
fn clients_are_told_of_the_portal_by_what_dhcp_servers_and_routers_say() {
    let tls = "certificate = \"portal.crt\"\nkey = \"portal.key\"\nname = \"portal.test\"\nannounce_to = \"inside\"\n";
    let Some((lab, _daemon, _servers)) = start(tls) else { return };
    let prefix = v6(0);
    let range4 = format!("--dhcp-range={},{},1h", v4(100), v4(120));
    let range6 = format!("--dhcp-range={prefix},ra-only");
    let words = [
        "dnsmasq",
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--dhcp-authoritative",
        "--enable-ra",
    ];
    let _dnsmasq = lab.background(Host::Server, &[&words[..], &[&range4, &range6]].concat());
    let url = "https://portal.test:8843/portal/api";
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();

    let script = lab.path("leased");
    std::fs::write(&script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip $opt114\"\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let asks = ["udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "1", "-O", "114", "-s"];
    let told = said(&lab.client(&[&asks[..], &[script.to_str().unwrap()]].concat()));
    assert!(told.contains(&format!(" {}\n", hex(url))), "{told}\n{}", lab.reasons());

    let told = said(&lab.client(&["python3", "-c", SOLICIT]));
    let option = told.lines().find(|line| line.starts_with("2505"));
    assert_eq!(option.map(|option| &option[4..]), Some(&*format!("{:0<76}", hex(url))), "{told}");
    assert!(told.lines().count() > 1, "what the router says beside is there, too: {told}");
}

/// Sends bytes to the portal, and what comes back.
const RAW: &str = "
import socket, sys
for text in [b'\\x16\\x03\\x01\\x02\\x00\\x01\\x00', b'GET / HTTP/1.1\\r\\n' + b'a: ' + b'x' * 40000 + b'\\r\\n\\r\\n',
             b'POST /portal/login HTTP/1.1\\r\\nHost: %b\\r\\nContent-Length: 999999\\r\\n\\r\\n' % sys.argv[2].encode() + b'x' * 9000,
             b'GET http://[ HTTP/1.1\\r\\nHost: \\xff\\xfe\\r\\n\\r\\n']:
    s = socket.create_connection((sys.argv[1], 8880), 5)
    s.settimeout(12)
    try:
        s.sendall(text)
        print(s.recv(12))
    except OSError as error: print(error)
held = []
for _ in range(100):
    held.append(socket.create_connection((sys.argv[1], 8880), 5))
closed = 0
for s in held:
    s.settimeout(0.2)
    try: closed += s.recv(1) == b''
    except TimeoutError: pass
    except OSError: closed += 1
print('closed', closed)
";

#[test]
fn garbage_and_a_host_that_takes_all_connections_keep_nobody_out() {
    let Some((lab, _daemon, _servers)) = start("") else { return };
    let host = format!("{}:8880", v4(3));
    let raw = lab.client(&["python3", "-c", RAW, &v4(3), &host]);
    let text = said(&raw);
    assert!(raw.status.success() && text.contains("HTTP/1.1 4"), "{raw:?}");
    let closed: usize = text.rsplit(' ').next().unwrap().trim().parse().unwrap();
    assert!((68..=70).contains(&closed), "32 of a host are taken: {text}");
    eventually("the portal answers again", || get(&lab, &[], &portal_url("")).1.contains("200 "));
}
