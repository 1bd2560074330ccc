//! Client certificates: who gets in by the handshake, whose word is taken for others, and what that does not replace.

use std::net::TcpStream;

use crate::certificates::{Ca, Demand, Identity, Life, TlsDaemon, connect, get, now_s, self_signed};
use crate::rig::{Answer, Daemon, Options, call_with};
use controlplane::api::{Asked, ClientCertificates};

/// What came of a call with this certificate: the status, or how the handshake was refused.
fn status(daemon: &TlsDaemon, shown: Option<&Identity>) -> Result<u16, String> {
    let client = match shown {
        Some(identity) => daemon.client().showing(identity),
        None => daemon.client(),
    };
    client.get(daemon.address(), "/health").map(|answer| answer.status).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(daemon: &TlsDaemon, shown: Option<&Identity>) {
    let [completed, refused, timed_out, failed] = daemon.handshakes();
    let outcome = status(daemon, shown);
    assert!(outcome.is_err(), "{outcome:?}");
    daemon.assert_handshakes([completed, refused + 1, timed_out, failed]);
}

#[test]
fn required_by_a_ca_lets_in_nobody_else() {
    let demand = Demand { asked: Asked::Required, with_ca: true, allowed: Vec::new() };
    let daemon = TlsDaemon::start(Options::default(), &demand);
    let good = daemon.client_ca.issue("dashboard", Life::Long);
    assert_eq!(status(&daemon, Some(&good)), Ok(200));
    assert_refused(&daemon, None);
    assert_refused(&daemon, Some(&Ca::new("clients").issue("dashboard", Life::Long)));
    assert_refused(&daemon, Some(&daemon.ca.issue("dashboard", Life::Long)));
    assert_refused(&daemon, Some(&self_signed("dashboard", Life::Long)));
    assert_refused(&daemon, Some(&daemon.client_ca.issue("old", Life::Over)));
    assert_refused(&daemon, Some(&daemon.client_ca.issue("early", Life::Ahead)));
    assert_eq!(status(&daemon, Some(&good)), Ok(200));
    // It says which machine asks, a token says who.
    let answer = daemon.client().showing(&good).get(daemon.address(), "/telemetry").unwrap();
    answer.problem(401, "unauthenticated");
    let token = daemon.daemon.authorization();
    let answer = daemon.client().showing(&good).get_with(daemon.address(), "/telemetry", &token).unwrap();
    assert_eq!(answer.json()["api"]["tls_handshakes"]["client_refused"], 6);
    assert_eq!(daemon.daemon.over_unix("GET", "/health", "").status, 200);
}

#[test]
fn a_list_lets_in_its_own_and_needs_no_ca() {
    let (listed, old, early) =
        (self_signed("a", Life::Long), self_signed("b", Life::Over), self_signed("c", Life::Ahead));
    let allowed = vec![listed.fingerprint(), old.fingerprint(), early.fingerprint()];
    let demand = Demand { asked: Asked::Required, with_ca: false, allowed };
    let daemon = TlsDaemon::start(Options::default(), &demand);
    assert_eq!(status(&daemon, Some(&listed)), Ok(200));
    assert_refused(&daemon, None);
    assert_refused(&daemon, Some(&self_signed("a", Life::Long)));
    assert_refused(&daemon, Some(&daemon.client_ca.issue("a", Life::Long)));
    assert_refused(&daemon, Some(&old));
    assert_refused(&daemon, Some(&early));
    // A certificate is public: whoever shows it must hold its key.
    let thief = self_signed("thief", Life::Long);
    let client = daemon.client().showing_with_key_of(&listed, &thief);
    assert!(client.get(daemon.address(), "/health").is_err());
}

#[test]
fn with_both_a_certificate_must_satisfy_both() {
    let client_ca = Ca::new("clients");
    let (both, signed) = (client_ca.issue("both", Life::Long), client_ca.issue("signed", Life::Long));
    let listed = self_signed("listed", Life::Long);
    let allowed = vec![both.fingerprint(), listed.fingerprint()];
    let demand = Demand { asked: Asked::Required, with_ca: true, allowed };
    let daemon = TlsDaemon::start_with(Options::default(), client_ca, &demand, &[]);
    assert_eq!(status(&daemon, Some(&both)), Ok(200));
    assert_refused(&daemon, Some(&signed));
    assert_refused(&daemon, Some(&listed));
}

#[test]
fn optional_lets_in_clients_without_but_none_with_a_bad_one() {
    let demand = Demand { asked: Asked::Optional, with_ca: true, allowed: Vec::new() };
    let daemon = TlsDaemon::start(Options::default(), &demand);
    assert_eq!(status(&daemon, None), Ok(200));
    assert_eq!(status(&daemon, Some(&daemon.client_ca.issue("a", Life::Long))), Ok(200));
    assert_refused(&daemon, Some(&self_signed("a", Life::Long)));
}

#[test]
fn a_client_ca_is_read_again_too() {
    let demand = Demand { asked: Asked::Required, with_ca: true, allowed: Vec::new() };
    let daemon = TlsDaemon::start(Options::default(), &demand);
    let (before, next_ca) = (daemon.client_ca.issue("a", Life::Long), Ca::new("next"));
    let after = next_ca.issue("a", Life::Long);
    assert_eq!(status(&daemon, Some(&before)), Ok(200));
    assert_refused(&daemon, Some(&after));
    std::fs::write(daemon.dir().join("clients.pem"), next_ca.certificate.pem()).unwrap();
    assert_eq!(daemon.tls.reload(now_s()), Ok(Vec::new()));
    assert_eq!(status(&daemon, Some(&after)), Ok(200));
    assert_refused(&daemon, Some(&before));
}

#[test]
fn a_client_that_is_refused_hears_why() {
    let demand = Demand { asked: Asked::Required, with_ca: true, allowed: Vec::new() };
    let daemon = TlsDaemon::start(Options::default(), &demand);
    // It sends more than its request before it listens: what nobody reads must not cut off the alert.
    let headers = format!("x-filler: {}\r\n", "y".repeat(15_000)).repeat(2);
    let config = daemon.client().config();
    for _ in 0..20 {
        let stream = connect(&config, daemon.address()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let error = get(stream, "/health", &headers).unwrap_err().to_string();
        assert!(error.contains("CertificateRequired"), "{error}");
    }
}

/// A call over plain TCP with this fingerprint header.
fn call(daemon: &Daemon, header: &str) -> Answer {
    call_with(TcpStream::connect(daemon.tcp()).unwrap(), "GET", "/health", header, "")
}

fn behind_proxies(proxies: &[&str], clients: ClientCertificates) -> Daemon {
    Daemon::start_with(Options::default(), |config, _dir| {
        config.trusted_proxies = proxies.iter().map(|address| address.parse().unwrap()).collect();
        config.client_certificates = clients;
    })
}

fn ignored(daemon: &Daemon) -> u64 {
    let telemetry = daemon.over_unix("GET", "/telemetry", "").json();
    let metrics = daemon.over_unix("GET", "/metrics", "").text();
    let count = telemetry["api"]["fingerprint_headers_ignored"].as_u64().unwrap();
    assert!(
        metrics.contains(&format!("jarvis_api_fingerprint_ignored_headers_total {count}\n")),
        "{metrics}"
    );
    count
}

#[test]
fn a_trusted_proxy_speaks_for_its_clients() {
    let (listed, other) =
        (self_signed("a", Life::Long).fingerprint(), self_signed("b", Life::Long).fingerprint());
    let clients = ClientCertificates { asked: Asked::Required, allowed_fingerprints: vec![listed] };
    let daemon = behind_proxies(&["127.0.0.1"], clients);
    let colons: Vec<String> = listed
        .to_string()
        .to_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|two| String::from_utf8_lossy(two).into())
        .collect();
    for good in [listed.to_string(), colons.join(":")] {
        assert_eq!(call(&daemon, &format!("x-client-fingerprint: {good}\r\n")).status, 200, "{good}");
    }
    for (bad, why) in [
        (String::new(), "showed no certificate"),
        ("x-client-fingerprint:\r\n".to_owned(), "showed no certificate"),
        (format!("x-client-fingerprint: {other}\r\n"), "not among the allowed"),
        ("x-client-fingerprint: abc\r\n".to_owned(), "must be one SHA-256"),
        // A client's own header that the proxy did not take away, before the proxy's.
        (
            format!("x-client-fingerprint: {listed}\r\nx-client-fingerprint: {listed}\r\n"),
            "must be one SHA-256",
        ),
        ("x-client-fingerprint:\r\nx-client-fingerprint:\r\n".to_owned(), "must be one SHA-256"),
    ] {
        let problem = call(&daemon, &bad).problem(403, "client_certificate");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{bad}: {problem}");
    }
    // It is no login, and who comes through a proxy on this machine is not on this machine.
    let header = format!("x-client-fingerprint: {listed}\r\n");
    for path in ["/telemetry", "/metrics"] {
        let stream = TcpStream::connect(daemon.tcp()).unwrap();
        call_with(stream, "GET", path, &header, "").problem(401, "unauthenticated");
    }
    assert_eq!(ignored(&daemon), 0);
}

#[test]
fn nobody_else_speaks_for_others_and_the_attempt_is_counted() {
    let listed = self_signed("a", Life::Long).fingerprint();
    let header = format!("x-client-fingerprint: {listed}\r\n");
    // Another address is the proxy's; nothing is required.
    let daemon = behind_proxies(&["192.0.2.1"], ClientCertificates::default());
    assert_eq!(call(&daemon, &header).status, 200);
    assert_eq!(call(&daemon, "").status, 200);
    assert_eq!(ignored(&daemon), 1);
    // It does not fulfil what is required.
    let clients = ClientCertificates { asked: Asked::Required, allowed_fingerprints: vec![listed] };
    let daemon = behind_proxies(&["192.0.2.1"], clients);
    call(&daemon, &header).problem(403, "client_certificate");
    assert_eq!(ignored(&daemon), 1);
    assert_eq!(daemon.over_unix("GET", "/health", "").status, 200, "the operator needs none");
}

#[test]
fn a_proxy_over_tls_shows_its_own_certificate_and_names_its_clients() {
    let (proxy, client) = (self_signed("proxy", Life::Long), self_signed("client", Life::Long));
    let allowed = vec![proxy.fingerprint(), client.fingerprint()];
    let demand = Demand { asked: Asked::Required, with_ca: false, allowed };
    let daemon = TlsDaemon::start_with(Options::default(), Ca::new("clients"), &demand, &["127.0.0.1"]);
    let ask =
        |header: &str| daemon.client().showing(&proxy).get_with(daemon.address(), "/health", header).unwrap();
    assert_eq!(ask(&format!("x-client-fingerprint: {}\r\n", client.fingerprint())).status, 200);
    // What the proxy shows of itself is not its clients'.
    ask("").problem(403, "client_certificate");
    assert_refused(&daemon, None);
}
