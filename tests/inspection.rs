//! Does policy know what real programs speak, on whatever port?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Lab, eventually};

/// curl's exit code and the bytes that it got, asking for `host` on a port that says nothing.
fn fetch(lab: &Lab, host: &str) -> (Option<i32>, usize) {
    let header = format!("Host: {host}");
    let url = "http://10.77.0.2:8081/file";
    let output = lab.client(&["curl", "--silent", "--max-time", "10", "--header", &header, url]);
    (output.status.code(), output.stdout.len())
}

#[test]
fn an_application_is_refused_on_any_port_and_others_pass() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy(
        "",
        r#"{"policy_id": "no-wiki", "conditions": {"application": "wiki*"}, "action": "reject", "log": true}"#,
    );
    let daemon = lab.start();
    let _http = lab.serve_http(8_081);
    lab.write("www/file", vec![b'x'; 50_000]);
    let fetch = |host: &str| fetch(&lab, host);
    assert_eq!(fetch("files.example"), (Some(0), 50_000), "{}", lab.log());
    // 56: the connection was reset after the request told what it is.
    assert_eq!(fetch("de.wikipedia.org"), (Some(56), 0), "{}", lab.log());
    assert_eq!(fetch("files.example"), (Some(0), 50_000), "{}", lab.log());
    daemon.stop();

    let events = lab.events();
    let flows: Vec<_> =
        events.iter().filter(|event| event["event_type"] == "flow" && event["proto"] == "TCP").collect();
    assert_eq!(flows.len(), 3, "{events:?}");
    for flow in flows {
        let known = &flow["jarvis"];
        let refused = known["host"] == "de.wikipedia.org";
        assert_eq!((&flow["app_proto"], &known["protocol"]), (&"http".into(), &"http".into()), "{flow}");
        assert_eq!(known["policy_id"] == "no-wiki", refused, "{flow}");
        assert_eq!(known["app_name"] == "wikipedia", refused, "{flow}");
    }
    let request = events.iter().find(|event| event["event_type"] == "http").unwrap();
    assert_eq!(
        (&request["http"]["hostname"], &request["http"]["url"], &request["http"]["status"]),
        (&"files.example".into(), &"/file".into(), &200.into()),
        "{request}"
    );
}

#[test]
fn applications_of_the_operators_file_are_in_force_after_a_sighup() {
    let Some(lab) = Lab::up(&[]) else { return };
    // A flow that was refused ends when nobody has tried for long.
    lab.policy(
        "[inspect]\napplications = \"apps.toml\"\n[flow.timeout_s]\ntcp_closed = 1\ntcp_time_wait = 1\n\
         tcp_last_ack = 1\ntcp_fin = 2\ntcp_established = 5\n",
        r#"{"policy_id": "no-intranet", "conditions": {"application": "intra*"}, "action": "reject"}"#,
    );
    let other = "[[app]]\nname = \"other\"\ncategory = \"web\"\nhosts = [\"files.other.example\"]\n";
    lab.write("apps.toml", other);
    let daemon = lab.start();
    let _http = lab.serve_http(8_081);
    lab.write("www/file", vec![b'x'; 50_000]);
    let fetch = |host: &str| fetch(&lab, host).0;
    let host = "wiki.intranet.example";
    assert_eq!((fetch(host), fetch("files.other.example")), (Some(0), Some(0)), "{}", lab.log());
    let version = || lab.ctl(&["status"])["policy_version"].as_u64().unwrap();
    let before = version();

    let more =
        "[[app]]\nname = \"intranet-wiki\"\ncategory = \"collaborative\"\nhosts = [\"intranet.example\"]\n";
    lab.write("apps.toml", format!("{other}{more}"));
    daemon.signal("-HUP");
    eventually("the applications are in force", || version() > before);
    // 56: the connection was reset after the request told what it is.
    assert_eq!((fetch(host), fetch("files.other.example")), (Some(56), Some(0)), "{}", lab.log());

    let before = version();
    lab.write(
        "apps.toml",
        format!("{other}{more}[[app]]\nname = \"X\"\n[[app]]\nname = \"y\"\ncategory = \"z\"\n"),
    );
    daemon.signal("-HUP");
    eventually("the log says so", || lab.log().contains("the ones before stay in force"));
    for place in ["apps.toml:10:", "apps.toml:13:"] {
        assert!(lab.log().contains(place), "no {place} in {}", lab.log());
    }
    let refused = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "reload"]);
    assert!(!refused.status.success() && lab::said(&refused).contains("apps.toml:10:"), "{refused:?}");
    assert_eq!((version(), fetch(host)), (before, Some(56)));

    eventually("the flows have ended and are summed", || {
        let telemetry = lab.ctl(&["telemetry", "applications"]);
        let flows = |name: &str| {
            let all = telemetry["applications"].as_array().unwrap();
            all.iter().find(|app| app["application"] == name).map_or(0, |app| app["flows"].as_u64().unwrap())
        };
        flows("other") == 2 && flows("intranet-wiki") == 2
    });
    daemon.stop();
}
