//! TLS on the API's port: what is agreed on, what is refused, and clients that misbehave within it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certificates::{Ca, Client, Demand, Life, TlsDaemon, connect, get, now_s, self_signed};
use crate::rig::{Options, read_answer};
use controlplane::api::{Asked, ClientCertificates, Limits, Tls, TlsFiles};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion};
use tokio_rustls::TlsConnector;

fn start() -> TlsDaemon {
    TlsDaemon::start(Options::default(), &Demand::nothing())
}

/// Runs a program of the machine; `None` where it is not installed.
fn run(program: &str, words: &[&str]) -> Option<(bool, String)> {
    let Ok(output) = Command::new(program).args(words).stdin(Stdio::null()).output() else {
        eprintln!("not run: {program} is not installed");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn curl(daemon: &TlsDaemon, words: &[&str], path: &str) -> Option<(bool, String)> {
    curl_at(daemon, daemon.address(), words, path)
}

fn curl_at(daemon: &TlsDaemon, address: SocketAddr, words: &[&str], path: &str) -> Option<(bool, String)> {
    let ca = daemon.dir().join("ca.pem");
    let fixed = ["--silent", "--show-error", "--max-time", "10", "--cacert", ca.to_str().unwrap()];
    let format = ["--write-out", "\n%{http_version} %{http_code}"];
    let url = format!("https://localhost:{}{path}", address.port());
    run("curl", &[&fixed[..], &format, words, &[&url]].concat())
}

#[test]
fn key_exchange_is_hybrid_and_the_version_1_3() {
    let daemon = start();
    let stream = daemon.client().connect(daemon.address()).unwrap();
    let group =
        |group: Option<&'static dyn rustls::crypto::SupportedKxGroup>| group.map(|group| group.name());
    assert_eq!(group(stream.conn.negotiated_key_exchange_group()), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full), "without a second round");
    assert_eq!(stream.conn.alpn_protocol(), None);
    assert_eq!(get(stream, "/health", "").unwrap().text(), r#"{"status":"ok"}"#);
    // Clients that do not know it are served all the same.
    let stream = daemon.client().classical().connect(daemon.address()).unwrap();
    assert_eq!(group(stream.conn.negotiated_key_exchange_group()), Some(NamedGroup::X25519));
    assert_eq!(get(stream, "/health", "").unwrap().status, 200);
    daemon.assert_handshakes([2, 0, 0, 0]);
}

#[test]
fn a_connection_is_never_resumed() {
    let daemon = start();
    // One configuration keeps the tickets of all its connections.
    let config = daemon.client().config();
    for _ in 0..2 {
        let stream = connect(&config, daemon.address()).unwrap();
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(get(stream, "/health", "").unwrap().status, 200);
    }
}

#[test]
fn openssl_gets_1_3_and_nothing_older() {
    let daemon = start();
    let address = daemon.address().to_string();
    let ca = daemon.dir().join("ca.pem");
    let words = ["s_client", "-connect", &address, "-CAfile", ca.to_str().unwrap(), "-verify_return_error"];
    let Some((done, said)) = run("openssl", &[&words[..], &["-alpn", "h2"]].concat()) else { return };
    assert!(done && said.contains("TLSv1.3") && said.contains("ALPN protocol: h2"), "{said}");
    let (done, said) = run("openssl", &[&words[..], &["-tls1_2"]].concat()).unwrap();
    assert!(!done && said.contains("alert protocol version"), "{said}");
    let (done, said) = run("openssl", &[&words[..], &["-alpn", "h3"]].concat()).unwrap();
    assert!(!done && said.contains("alert no application protocol"), "{said}");
    daemon.assert_handshakes([1, 0, 0, 2]);
}

#[test]
fn curl_speaks_both_versions_of_http() {
    let daemon = start();
    let Some((done, said)) = curl(&daemon, &["--http2"], "/health") else { return };
    assert!(done && said == "{\"status\":\"ok\"}\n2 200", "{said}");
    let (done, said) = curl(&daemon, &["--http1.1"], "/health").unwrap();
    assert!(done && said == "{\"status\":\"ok\"}\n1.1 200", "{said}");
    let token = format!("authorization: Bearer {}", daemon.daemon.token);
    let (done, said) = curl(&daemon, &["--http2", "--header", &token], "/telemetry").unwrap();
    assert!(done && said.ends_with("\n2 200") && said.contains("\"tls_handshakes\""), "{said}");
    let (_, said) = curl(&daemon, &["--http2"], "/telemetry").unwrap();
    assert!(said.ends_with("\n2 401"), "{said}");
    // Bounds hold for HTTP/2 as for HTTP/1.1.
    let huge = format!("x-filler: {}", "y".repeat(60_000));
    let (_, said) = curl(&daemon, &["--http2", "--header", &huge], "/health").unwrap();
    assert!(said.ends_with("\n2 431"), "{said}");
    let body = daemon.dir().join("body");
    std::fs::write(&body, " ".repeat(40_000)).unwrap();
    let body = format!("@{}", body.display());
    let (_, said) = curl(&daemon, &["--http2", "--data-binary", &body], "/auth/login").unwrap();
    assert!(said.ends_with("\n2 413"), "{said}");
}

#[test]
fn metrics_over_http_2_are_for_local_clients_that_no_web_page_sent() {
    let daemon = start();
    let Some((_, said)) = curl(&daemon, &["--http2"], "/metrics") else { return };
    assert!(said.ends_with("\n2 200") && said.contains("jarvis_api_tls_handshakes_total"), "{said}");
    let port = daemon.address().port();
    let resolve = format!("evil.example:{port}:127.0.0.1");
    let url = format!("https://evil.example:{port}/metrics");
    let ca = daemon.dir().join("ca.pem");
    let words = ["--silent", "--resolve", &resolve, "--cacert", ca.to_str().unwrap(), "--http2", &url];
    let (_, said) = run("curl", &words).unwrap();
    assert!(said.contains("\"unauthenticated\""), "{said}");
}

#[test]
fn plain_http_gets_no_answer_on_a_tls_port() {
    let daemon = start();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    assert_eq!(daemon.daemon.over_unix("GET", "/health", "").status, 200);
}

#[test]
fn handshakes_that_dawdle_or_are_garbage_are_closed_and_hold_up_nobody() {
    let limits =
        Limits { tcp_connections_max: 8, handshake_timeout: Duration::from_millis(400), ..Limits::default() };
    let daemon = TlsDaemon::start(Options { limits, ..Options::default() }, &Demand::nothing());
    let open = |first: &[u8]| {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(first).unwrap();
        stream
    };
    // Half a record of a ClientHello, garbage, nothing.
    let garbage: Vec<u8> = (0..2_000_u32).map(|at| (at * 7 + 3) as u8).collect();
    let mut slow = vec![open(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]), open(&garbage), open(b"")];
    let mut trickling = open(b"");
    let trickle = std::thread::spawn(move || {
        // A record that never ends, a byte at a time.
        for byte in [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f].into_iter().chain(std::iter::repeat_n(0, 200)) {
            std::thread::sleep(Duration::from_millis(50));
            if trickling.write_all(&[byte]).is_err() {
                return true;
            }
        }
        false
    });
    let begun = Instant::now();
    assert_eq!(daemon.client().get(daemon.address(), "/health").unwrap().status, 200);
    assert!(begun.elapsed() < limits.handshake_timeout, "it did not wait for the others");
    for stream in &mut slow {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(trickle.join().unwrap(), "trickling is closed");
    daemon.assert_handshakes([1, 0, 3, 1]);

    // More than there is room for: the bound frees itself.
    let _flood: Vec<TcpStream> = (0..24).map(|_| open(&[0x16])).collect();
    assert_eq!(daemon.client().get(daemon.address(), "/health").unwrap().status, 200);
    assert_eq!(daemon.daemon.over_unix("GET", "/health", "").status, 200);
}

#[test]
fn clients_that_dawdle_after_the_handshake_are_closed() {
    let limits = Limits {
        header_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(600),
        ..Limits::default()
    };
    let daemon = TlsDaemon::start(Options { limits, ..Options::default() }, &Demand::nothing());
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // Headers of a request that go on in a frame that never comes.
    const HALF_HEADERS: &[u8] = &[0, 0, 1, 1, 1, 0, 0, 0, 1, 0x82];
    for (alpn, sent) in [
        ("http/1.1", vec![]),
        ("http/1.1", b"GET /health HTTP/1.1\r\nhost: loc".to_vec()),
        ("h2", vec![]),
        ("h2", PREFACE[..10].to_vec()),
        ("h2", [PREFACE, SETTINGS].concat()),
        ("h2", [PREFACE, SETTINGS, HALF_HEADERS].concat()),
    ] {
        let mut stream = daemon.client().alpn(alpn).connect(daemon.address()).unwrap();
        stream.write_all(&sent).unwrap();
        let begun = Instant::now();
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(begun.elapsed() < Duration::from_secs(3), "{alpn} {sent:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_connection_has_an_age() {
    let limits = Limits { connection_age_max: Duration::from_millis(500), ..Limits::default() };
    let daemon = TlsDaemon::start(Options { limits, ..Options::default() }, &Demand::nothing());
    let mut stream = daemon.client().connect(daemon.address()).unwrap();
    let begun = Instant::now();
    let ask = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut buffer = [0; 1_024];
    while stream.write_all(ask).is_ok() && stream.read(&mut buffer).is_ok_and(|len| len > 0) {
        std::thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < Duration::from_secs(5), "it is closed although it is busy");
    }
    assert!(begun.elapsed() > Duration::from_millis(400));
}

#[test]
fn an_answer_under_way_is_given_before_the_server_stops() {
    let mut daemon = TlsDaemon::start(Options { hung: true, ..Options::default() }, &Demand::nothing());
    let mut stream = daemon.client().connect(daemon.address()).unwrap();
    let idle = TcpStream::connect(daemon.address()).unwrap();
    let token = daemon.daemon.authorization();
    write!(stream, "GET /dpi/flows HTTP/1.1\r\nhost: localhost\r\n{token}\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    daemon.daemon.server.take().unwrap().stop();
    read_answer(stream).problem(504, "worker_timeout");
    drop(idle);
}

#[test]
fn an_answer_under_way_over_http_2_is_given_too() {
    let mut daemon = TlsDaemon::start(Options { hung: true, ..Options::default() }, &Demand::nothing());
    let server = daemon.daemon.server.take().unwrap();
    let address = server.tcp_addr().unwrap();
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        server.stop();
    });
    let token = format!("authorization: Bearer {}", daemon.daemon.token);
    let said = curl_at(&daemon, address, &["--http2", "--header", &token], "/dpi/flows");
    stopping.join().unwrap();
    let Some((_, said)) = said else { return };
    assert!(said.contains("\"worker_timeout\"") && said.ends_with("\n2 504"), "{said}");
}

/// Asks over one HTTP/2 connection, again and again, until it is closed; for how long that went well.
async fn ask_until_closed(config: Arc<ClientConfig>, address: SocketAddr) -> Duration {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(config).connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let begun = Instant::now();
    loop {
        let request = hyper::Request::get(format!("https://{address}/health"));
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
        match answer {
            Ok(answer) => assert_eq!(answer.status(), 200),
            Err(_closed) => return begun.elapsed(),
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "it is closed although it is busy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_connection_over_http_2_has_an_age_and_lives_so_long() {
    // Busy for longer than an idle one may live.
    let limits = Limits {
        header_timeout: Duration::from_millis(100),
        connection_age_max: Duration::from_millis(900),
        ..Limits::default()
    };
    let daemon = TlsDaemon::start(Options { limits, ..Options::default() }, &Demand::nothing());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lived = runtime.block_on(ask_until_closed(daemon.client().alpn("h2").config(), daemon.address()));
    assert!(lived > Duration::from_millis(800), "{lived:?}");
}

#[test]
fn certificates_are_read_again_under_a_live_connection() {
    let daemon = start();
    let mut live = daemon.client().connect(daemon.address()).unwrap();
    let mut ask_live = || {
        live.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut buffer = [0; 1_024];
        let len = live.read(&mut buffer).unwrap();
        assert!(buffer[..len].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer[..len]));
    };
    ask_live();

    // What cannot be used changes nothing.
    std::fs::write(daemon.dir().join("server.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let faults = daemon.tls.reload(now_s()).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().ends_with("server.pem: is damaged: a block has no end"), "{}", faults[0]);
    self_signed("x", Life::Long).write(daemon.dir(), "x");
    std::fs::copy(daemon.dir().join("x.pem"), daemon.dir().join("server.pem")).unwrap();
    let faults = daemon.tls.reload(now_s()).unwrap_err();
    assert!(faults[0].to_string().contains("server-key.pem: the key does not fit"), "{}", faults[0]);
    assert_eq!(daemon.client().get(daemon.address(), "/health").unwrap().status, 200);

    // What can is used from now on.
    let other = Ca::new("other");
    other.issue("box", Life::Long).write(daemon.dir(), "server");
    assert_eq!(daemon.tls.reload(now_s()), Ok(Vec::new()));
    let error = daemon.client().get(daemon.address(), "/health").unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert_eq!(Client::new(&[&other]).get(daemon.address(), "/health").unwrap().status, 200);
    ask_live();
}

#[test]
fn every_file_that_is_wrong_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let files = |client_ca: Option<&str>| TlsFiles {
        certificate: dir.path().join("box.pem"),
        key: dir.path().join("box-key.pem"),
        client_ca: client_ca.map(|file| dir.path().join(file)),
    };
    let required = ClientCertificates { asked: Asked::Required, allowed_fingerprints: Vec::new() };
    let faults = Tls::load(files(Some("ca.pem")), required, now_s()).unwrap_err();
    let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    for (fault, file) in shown.iter().zip(["box.pem", "box-key.pem", "ca.pem"]) {
        assert!(fault.contains(&format!("{file}: cannot be read: No such file")), "{fault}");
    }
    let warning_of = |life| {
        self_signed("box", life).write(dir.path(), "box");
        let (_, warnings) = Tls::load(files(None), ClientCertificates::default(), now_s()).unwrap();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(warning_of(Life::Long), "");
    assert!(warning_of(Life::Over).contains("box.pem: the certificate expired at Jan  1"));
    assert!(warning_of(Life::Ahead).contains("box.pem: the certificate is not valid before Jan  1"));
    std::fs::set_permissions(
        dir.path().join("box-key.pem"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let (_, warnings) = Tls::load(files(None), ClientCertificates::default(), now_s()).unwrap();
    assert!(
        warnings[0].to_string().contains("box-key.pem: others may read this key (mode 644)"),
        "{warnings:?}"
    );
}
