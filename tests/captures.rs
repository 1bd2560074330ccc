//! What does the daemon find in a capture that a client sends?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, sh};
use serde_json::Value;

/// Sends a file with curl; the answer's status and document.
fn send(lab: &Lab, file: &str, query: &str) -> (u64, Value) {
    let (socket, data) = (lab.path("ctl.sock"), format!("@{}", lab.path(file).display()));
    let url = format!("http://localhost/dpi/classify{query}");
    let words = ["--silent", "--max-time", "40", "--write-out", "\n%{http_code}", "--data-binary", &data];
    let output = sh("curl", &[&words[..], &["--unix-socket", &socket.display().to_string(), &url]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn a_capture_is_classified_in_a_process_of_its_own() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", "");
    let daemon = lab.start();
    let _server = lab.serve_http(8080);
    let capture = lab.path("seen.pcap").display().to_string();
    let tcpdump = lab.tcpdump(Host::Client, &["--immediate-mode", "-U", "-w", &capture, "tcp"]);
    assert_eq!(lab.curl("http://10.77.0.2:8080/").0, Some(0));
    tcpdump.interrupt();

    let (status, job) = send(&lab, "seen.pcap", "?wait=20");
    assert_eq!((status, &job["state"]), (200, &"succeeded".into()), "{job}");
    let found = &job["result"];
    assert_eq!(found["file_bytes"], std::fs::metadata(lab.path("seen.pcap")).unwrap().len());
    assert_eq!((&found["flows"], &found["events"]["http"]), (&1.into(), &1.into()), "{found}");
    let flow = &found["flow_list"][0];
    assert_eq!((&flow["dst"], &flow["protocol"]), (&"10.77.0.2:8080".into(), &"http".into()), "{found}");
    assert_eq!(found["applications"][0]["flows"], 1);
    assert_eq!(
        std::fs::read_dir(lab.path("state").join(format!("{}.uploads", lab.name()))).unwrap().count(),
        0
    );

    // Half of a capture tells its half; what is none says so, and nobody hears where it was kept.
    let whole = std::fs::read(lab.path("seen.pcap")).unwrap();
    lab.write("half.pcap", &whole[..whole.len() - 10]);
    let (_, job) = send(&lab, "half.pcap", "?wait=20");
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(job["result"]["incomplete"].is_string(), "{job}");
    lab.write("none.pcap", "this is no capture, it is a sentence");
    let (_, job) = send(&lab, "none.pcap", "?wait=20");
    assert_eq!(job["state"], "failed", "{job}");
    let error = job["error"].as_str().unwrap();
    assert!(error.starts_with("It cannot be read as a capture") && !error.contains("upload"), "{error}");

    // Not waited for, it is a job to ask for.
    let (status, job) = send(&lab, "seen.pcap", "");
    assert_eq!(status, 202, "{job}");
    let path = format!("/jobs/{}?wait=20", job["job_id"].as_str().unwrap());
    assert_eq!(lab.ctl(&["get", &path])["state"], "succeeded");
    assert_eq!(lab.ctl(&["jobs"])["jobs"].as_array().unwrap().len(), 4);
    let found = lab.ctl(&["classify", &capture]);
    assert_eq!(found["flows"], 1, "{found}");
    daemon.stop();
}
