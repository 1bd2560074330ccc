//! Does the daemon let in whom it should, with the certificates that it has now?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Lab, eventually, said, sh};
use std::process::Command;

/// Runs openssl in the lab's directory; it must succeed.
fn openssl(lab: &Lab, words: &[&str]) -> String {
    let output = Command::new("openssl").args(words).current_dir(lab.path("")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// A CA of its own: `NAME.pem`, `NAME-key.pem`.
fn ca(lab: &Lab, name: &str) {
    let (subject, key, out) = (format!("/CN={name}"), format!("{name}-key.pem"), format!("{name}.pem"));
    let words = ["req", "-x509", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &out];
    openssl(lab, &[&words[..], &KEY].concat());
}

/// A certificate of `ca` for 127.0.0.1: `NAME.pem`, `NAME-key.pem`.
fn issue(lab: &Lab, ca: &str, name: &str) {
    let (subject, key, out) = (format!("/CN={name}"), format!("{name}-key.pem"), format!("{name}.pem"));
    let (ca_file, ca_key) = (format!("{ca}.pem"), format!("{ca}-key.pem"));
    let words = ["req", "-subj", &subject, "-keyout", &key, "-out", "request.pem"];
    openssl(lab, &[&words[..], &KEY].concat());
    lab.write("names", "subjectAltName=IP:127.0.0.1\n");
    let words = ["x509", "-req", "-in", "request.pem", "-CA", &ca_file, "-CAkey", &ca_key, "-days", "30"];
    openssl(lab, &[&words[..], &["-CAcreateserial", "-extfile", "names", "-out", &out]].concat());
}

/// What curl says of `path`, and its exit code.
fn curl(
    lab: &Lab,
    port: u16,
    ca: &str,
    shown: Option<&str>,
    more: &[&str],
    path: &str,
) -> (Option<i32>, String) {
    let file = |name: String| lab.path(&name).display().to_string();
    let (ca, url) = (file(format!("{ca}.pem")), format!("https://127.0.0.1:{port}{path}"));
    let mut words = vec!["--silent", "--show-error", "--max-time", "10", "--cacert", &ca];
    words.extend(["--write-out", "\n%{http_version} %{http_code}"]);
    let pair = shown.map(|name| (file(format!("{name}.pem")), file(format!("{name}-key.pem"))));
    if let Some((certificate, key)) = &pair {
        words.extend(["--cert", certificate, "--key", key]);
    }
    let output = sh("curl", &[&words[..], more, &[&url]].concat());
    (output.status.code(), said(&output))
}

#[test]
fn required_client_certificates_and_a_new_certificate_without_a_restart() {
    let Some(lab) = Lab::up(&[]) else { return };
    ca(&lab, "servers");
    ca(&lab, "clients");
    issue(&lab, "servers", "box");
    issue(&lab, "clients", "dashboard");
    issue(&lab, "servers", "stranger");
    let port = lab.config_with_api(
        "[api.tls]\ncertificate = \"box.pem\"\nkey = \"box-key.pem\"\nclient_ca = \"clients.pem\"\n\
         client_certificates = \"required\"\n[auth]\nalgorithm = \"ML-DSA-44\"\n",
    );
    let daemon = lab.start();
    assert!(lab.told().contains(&format!("POST https://127.0.0.1:{port}/auth/login")), "{}", lab.told());
    let (code, text) = curl(&lab, port, "servers", Some("dashboard"), &[], "/health");
    assert_eq!((code, text.as_str()), (Some(0), "{\"status\":\"ok\"}\n2 200"), "{}", lab.log());
    for shown in [None, Some("stranger")] {
        let (code, text) = curl(&lab, port, "servers", shown, &[], "/health");
        assert!(code != Some(0) && text.contains("alert"), "{shown:?} {code:?} {text}");
    }
    let (_, text) = curl(&lab, port, "servers", Some("dashboard"), &["--tls-max", "1.2"], "/health");
    assert!(text.contains("alert protocol version"), "{text}");

    // The access log says which machine; the token is asked for all the same.
    let (_, text) = curl(&lab, port, "servers", Some("dashboard"), &["--data", "{}"], "/admin/bypass");
    assert!(text.contains("\"unauthenticated\""), "{text}");
    let told = openssl(&lab, &["x509", "-in", "dashboard.pem", "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = told.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    eventually("the access log names the certificate", || {
        lab.log().lines().any(|line| line.contains("/admin/bypass") && line.contains(&fingerprint))
    });
    let handshakes = lab.ctl(&["status"])["api"]["tls_handshakes"].clone();
    assert_eq!(
        (&handshakes["client_refused"], &handshakes["failed"]),
        (&2.into(), &1.into()),
        "{handshakes}"
    );

    // A key that does not fit changes nothing; a pair that fits is used at once, and packets flow.
    ca(&lab, "next");
    std::fs::copy(lab.path("stranger-key.pem"), lab.path("box-key.pem")).unwrap();
    daemon.signal("-HUP");
    eventually("the log says so", || {
        lab.log().contains("the API's certificates were not reloaded, the ones before stay in force")
    });
    assert!(lab.log().contains("box-key.pem: the key does not fit the certificate in"), "{}", lab.log());
    assert_eq!(curl(&lab, port, "servers", Some("dashboard"), &[], "/health").0, Some(0));
    issue(&lab, "next", "box");
    daemon.signal("-HUP");
    eventually("the new certificate is in use", || {
        curl(&lab, port, "next", Some("dashboard"), &[], "/health").0 == Some(0)
    });
    assert_ne!(curl(&lab, port, "servers", Some("dashboard"), &[], "/health").0, Some(0));
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    daemon.stop();
}
