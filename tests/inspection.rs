//! Does policy know what real programs speak, on whatever port?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::Lab;

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
    let fetch = |host: &str| {
        let header = format!("Host: {host}");
        let url = "http://10.77.0.2:8081/file";
        let output = lab.client(&["curl", "--silent", "--max-time", "10", "--header", &header, url]);
        (output.status.code(), output.stdout.len())
    };
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
