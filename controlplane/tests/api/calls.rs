//! What does each call answer, and what becomes of clients that misbehave?

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::rig::{Daemon, Options, POLICY};
use controlplane::api::{Config, Limits, Rates, Server, StartError};
use controlplane::client::{Client, ClientError};
use serde_json::{Value, json};

#[test]
fn public_routes_say_exactly_what_they_promise() {
    let daemon = Daemon::start(Options::default());
    for (path, expected) in [
        ("/health", r#"{"status":"ok"}"#),
        ("/api/system/status", r#"{"status":"ok","system":"running"}"#),
        ("/api/federation/status", r#"{"status":"ok","federation":"standalone"}"#),
    ] {
        let answer = daemon.as_anyone("GET", path, "");
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{path}");
    }
    for answer in
        [daemon.over_tcp("GET", "/api/system/status", ""), daemon.over_unix("GET", "/api/system/status", "")]
    {
        let status = answer.json();
        assert_eq!((&status["system"], &status["version"]), (&json!("running"), &json!("test")), "{status}");
        assert_eq!(status["tokens"]["algorithm"], "ML-DSA-44");
    }
    let answer = daemon.with_token("of.no.use", "GET", "/api/system/status", "");
    assert_eq!(answer.text(), r#"{"status":"ok","system":"running"}"#, "heard, not asked for");
}

#[test]
fn health_is_degraded_while_a_worker_is_silent() {
    let daemon = Daemon::start(Options { hung: true, ..Options::default() });
    assert_eq!(daemon.over_tcp("GET", "/health", "").text(), r#"{"status":"ok"}"#);
    let deadline = Instant::now() + Duration::from_secs(10);
    while daemon.over_tcp("GET", "/health", "").text() != r#"{"status":"degraded"}"# {
        assert!(Instant::now() < deadline, "a silent worker was not noticed");
        std::thread::sleep(Duration::from_millis(50));
    }
    let summary = daemon.over_tcp("GET", "/telemetry", "").json();
    assert_eq!(summary["degraded"][0]["what"], "worker_silent");
    assert_eq!(daemon.as_anyone("GET", "/health/ready", "").status, 503);
    assert_eq!(daemon.as_anyone("GET", "/health/live", "").text(), r#"{"status":"ok"}"#);
}

#[test]
fn unknown_paths_and_methods_are_problems() {
    let daemon = Daemon::start(Options::default());
    daemon.over_tcp("GET", "/nothing", "").problem(404, "not_found");
    daemon.over_tcp("POST", "/nothing", "").problem(404, "not_found");
    let answer = daemon.over_unix("DELETE", "/health", "");
    answer.problem(405, "method_not_allowed");
    assert!(answer.head.contains("allow: GET"), "{}", answer.head);
}

#[test]
fn telemetry_adds_up_over_workers() {
    let daemon = Daemon::start(Options::default());
    wait_for_workers(&daemon);
    let summary = daemon.over_tcp("GET", "/telemetry", "").json();
    assert_eq!(summary["workers"], 2);
    assert_eq!(summary["frames"]["received"], 20);
    assert_eq!(summary["frames"]["dropped"], 6);
    assert_eq!(summary["flows"]["active"], 20);
    let workers = daemon.over_tcp("GET", "/telemetry/workers", "").json();
    assert_eq!(workers["workers"][1]["frames"]["forwarded"], 7);
    assert_eq!(workers["workers"][1]["policy_lag"], 0);
    assert_eq!(workers["workers"][1]["identity_lag"], 0);
    let ports = daemon.over_tcp("GET", "/telemetry/ports", "").json();
    assert_eq!(ports["ports"][0]["port"], "in0");
    assert_eq!(ports["ports"][0]["total"]["rx_packets"], 20);
    assert_eq!(ports["ports"][0]["queues"][1]["rx_ring_full"], 2);
    let reasons = daemon.over_tcp("GET", "/telemetry/reasons", "").json();
    let reasons = reasons["reasons"].as_array().unwrap();
    let default_drop = reasons.iter().find(|reason| reason["reason"] == "default_drop").unwrap();
    assert_eq!((&default_drop["count"], &default_drop["workers"]), (&json!(6), &json!([3, 3])));
    assert_eq!(default_drop["class"], "policy");
    let latency = daemon.over_tcp("GET", "/telemetry/latency", "").json();
    assert_eq!(latency["latencies"][0]["batch"]["count"], 6);
    assert_eq!(latency["latencies"][2]["worker"], 1);
    let p50 = latency["latencies"][1]["batch"]["p50_ns"].as_u64().unwrap();
    assert!((1_480..=1_520).contains(&p50), "{p50}");
    let wire = daemon.over_tcp("GET", "/telemetry/wire", "").json();
    assert_eq!((&wire["fail_mode"], &wire["frames"]["socket"]), (&json!("closed"), &json!(12)));
}

#[test]
fn metrics_are_openmetrics_with_stable_names() {
    let daemon = Daemon::start(Options::default());
    wait_for_workers(&daemon);
    let answer = daemon.over_tcp("GET", "/metrics", "");
    assert!(answer.head.contains("application/openmetrics-text"), "{}", answer.head);
    let text = answer.text();
    for line in [
        "jarvis_received_frames_total{worker=\"0\"} 10",
        "jarvis_dropped_frames_total{worker=\"1\",class=\"policy\",reason=\"default_drop\"} 3",
        "jarvis_noticed_frames_total{worker=\"0\",class=\"notice\",reason=\"flow_evicted\"} 0",
        "jarvis_flow_table_active_flows{worker=\"0\"} 10",
        "jarvis_port_rx_frames_total{port=\"in0\",queue=\"1\"} 10",
        "jarvis_port_rx_ring_full_frames_total{port=\"in0\",queue=\"0\"} 2",
        "jarvis_batch_seconds_bucket{le=\"0.000001\",worker=\"0\"} 1",
        "jarvis_batch_seconds_bucket{le=\"+Inf\",worker=\"0\"} 3",
        "jarvis_wire_frames_total{outcome=\"socket\"} 12",
        "# EOF",
    ] {
        let like: Vec<&str> =
            text.lines().filter(|found| found.starts_with(line.split('{').next().unwrap())).collect();
        assert!(like.contains(&line), "{line} is not in {like:#?}");
    }
    assert_valid_openmetrics(&text);
}

#[test]
fn flows_are_paged_without_loss_or_repetition() {
    let daemon = Daemon::start(Options { flows_per_worker: 700, ..Options::default() });
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let page = daemon.over_tcp("GET", &format!("/dpi/flows?limit=97{cursor}"), "").json();
        let flows = page["flows"].as_array().unwrap();
        assert!(flows.len() <= 97);
        for flow in flows {
            assert!(seen.insert(flow["flow_id"].as_u64().unwrap()), "seen twice: {flow}");
        }
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 1_400);
    assert!(pages >= 1_400 / 97);
}

#[test]
fn flows_are_found_by_each_filter() {
    let daemon = Daemon::start(Options::default());
    let count = |query: &str| {
        let answer = daemon.over_tcp("GET", &format!("/dpi/flows?limit=1000&{query}"), "");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["flows"].as_array().unwrap().len()
    };
    for (query, expected) in [
        ("ip=10.0.0.1", 10),
        ("ip=10.1.0.0/16", 10),
        ("ip=192.0.2.7", 20),
        ("ip=2001:db8::/32", 0),
        ("port=1003", 2),
        ("port=53&ip=10.1.0.1", 10),
        ("proto=udp", 20),
        ("proto=17", 20),
        ("proto=tcp", 0),
        ("state=new", 20),
        ("state=established", 0),
    ] {
        assert_eq!(count(query), expected, "{query}");
    }
    let one = daemon.over_tcp("GET", "/dpi/flows?ip=10.1.0.1&port=1003", "").json()["flows"][0].clone();
    assert_eq!(one["jarvis"]["worker"], 1);
    assert_eq!(
        (&one["src_ip"], &one["dest_port"], &one["proto"]),
        (&json!("10.1.0.1"), &json!(53), &json!("UDP"))
    );
    assert_eq!(one.get("event_type"), None);
    assert_eq!(count(&format!("flow_id={}", one["flow_id"])), 1);
}

#[test]
fn every_fault_of_a_query_is_listed_at_once() {
    let daemon = Daemon::start(Options::default());
    let query =
        "/dpi/flows?limit=0&port=70000&ip=nowhere&proto=xyz&state=odd&cursor=1&flow_id=x&colour=red&port=1";
    let problem = daemon.over_tcp("GET", query, "").problem(400, "invalid_parameter");
    let mut names: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["parameter"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let expected = ["colour", "cursor", "flow_id", "ip", "limit", "port", "port", "proto", "state"];
    assert_eq!(names, expected, "{problem}");
}

#[test]
fn a_hung_worker_is_a_gateway_timeout_and_stops_nobody_else() {
    let daemon = Daemon::start(Options { hung: true, ..Options::default() });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| daemon.over_tcp("GET", "/dpi/flows", "").problem(504, "worker_timeout"));
        std::thread::sleep(Duration::from_millis(100));
        let other = Instant::now();
        assert_eq!(daemon.over_tcp("GET", "/health", "").status, 200);
        assert!(other.elapsed() < Duration::from_millis(800));
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn readers_that_wait_for_a_hung_worker_leave_room_for_changes() {
    let daemon = Daemon::start(Options { hung: true, ..Options::default() });
    let _waiting: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
            let token = daemon.authorization();
            write!(stream, "GET /dpi/flows HTTP/1.1\r\nhost: localhost\r\n{token}\r\n").unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    assert_eq!(daemon.over_unix("POST", "/admin/bypass", "{\"on\":true}").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_reload_takes_the_file_and_reports_when_it_is_in_force() {
    let daemon = Daemon::start(Options::default());
    let policy = daemon.over_tcp("GET", "/policy", "").json();
    assert_eq!((&policy["version"], &policy["policies"][0]["policy_id"]), (&json!(1), &json!("p-web")));
    std::fs::write(&daemon.policy_file, POLICY.replace("p-web", "p-other")).unwrap();
    let change = daemon.over_unix("POST", "/policy/reload", "").json();
    assert_eq!(
        (&change["version"], &change["policies"], &change["persistent"]),
        (&json!(2), &json!(1), &json!(true))
    );
    assert!(change["in_force_ms"].as_f64().unwrap() < 1_000.0, "{change}");
    let policy = daemon.over_tcp("GET", "/policy", "").json();
    assert_eq!((&policy["in_force"], &policy["policies"][0]["policy_id"]), (&json!(true), &json!("p-other")));
}

#[test]
fn a_bad_policy_is_refused_whole_with_every_error_and_its_line() {
    let daemon = Daemon::start(Options::default());
    let bad = "{\"default_action\": \"allow\", \"policies\": [\n\
        {\"policy_id\": \"a\", \"action\": \"explode\"},\n\
        {\"policy_id\": \"b\", \"conditions\": {\"dst_port\": 99999}, \"action\": \"drop\"}]}";
    std::fs::write(&daemon.policy_file, bad).unwrap();
    let problem = daemon.over_unix("POST", "/policy/reload", "").problem(422, "invalid_policy");
    let lines: Vec<u64> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    assert!(lines.contains(&2) && lines.contains(&3), "{problem}");
    assert_eq!(problem["errors"][0]["file"], daemon.policy_file.display().to_string());
    let policy = daemon.over_tcp("GET", "/policy", "").json();
    assert_eq!((&policy["version"], &policy["policies"][0]["policy_id"]), (&json!(1), &json!("p-web")));
    std::fs::remove_file(&daemon.policy_file).unwrap();
    daemon.over_unix("POST", "/policy/reload", "").problem(502, "system_refused");
}

#[test]
fn a_set_without_default_action_is_refused_inline() {
    let daemon = Daemon::start(Options::default());
    let problem = daemon.over_unix("PUT", "/policy", "{\"policies\": []}").problem(422, "invalid_policy");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("default"), "{problem}");
}

#[test]
fn a_replaced_set_stays_until_the_file_is_changed() {
    let daemon = Daemon::start(Options::default());
    let set = "{\"default_action\":\"drop\",\"policies\":[]}";
    let change = daemon.over_unix("PUT", "/policy", set).json();
    assert_eq!(
        (&change["version"], &change["origin"], &change["persistent"]),
        (&json!(2), &json!("api"), &json!(true))
    );
    assert_eq!(daemon.over_tcp("GET", "/policy/document", "").text(), set);
    let judged = daemon.over_tcp("POST", "/policy/evaluate", "{}").json();
    assert_eq!(judged["decision"]["reason"], "default_drop");
    let same = daemon.over_unix("POST", "/policy/reload", "").json();
    assert_eq!((&same["version"], &same["changed"]), (&json!(2), &json!(false)));
    let edited = format!("{POLICY}\n");
    std::fs::write(&daemon.policy_file, &edited).unwrap();
    assert_eq!(daemon.over_unix("GET", "/policy", "").json()["file_changed"], true);
    let change = daemon.over_unix("POST", "/policy/reload", "").json();
    assert_eq!((&change["version"], &change["origin"]), (&json!(3), &json!("file")));
    assert_eq!(daemon.over_unix("GET", "/policy", "").json()["file_changed"], false);
    assert_eq!(daemon.over_tcp("GET", "/policy/document", "").text(), edited);
}

#[test]
fn evaluation_names_the_policy_and_why() {
    let daemon = Daemon::start(Options::default());
    let ask = |context: Value| daemon.over_tcp("POST", "/policy/evaluate", &context.to_string());
    let judged = ask(json!({"protocol": "tcp", "dst_port": 80, "src_ip": "10.0.0.1",
        "iam_assertion": {"user_id": "u1", "user_role": "admin"},
        "dpi_classification": {"app_name": "http", "category": "web", "confidence": 90}}))
    .json();
    assert_eq!(
        (&judged["decision"]["policy_id"], &judged["decision"]["action"]),
        (&json!("p-web"), &json!("reject"))
    );
    assert_eq!(judged["tried"][0]["matches"], true);
    let judged = ask(json!({"protocol": "udp", "dst_port": 53})).json();
    assert_eq!(
        (&judged["decision"]["policy_id"], &judged["decision"]["action"]),
        (&Value::Null, &json!("allow"))
    );
    assert_eq!(judged["tried"][0]["matches"], false);
    let problem = ask(json!({"dst_port": 99999, "src_ip": "x", "colour": 1})).problem(400, "invalid_body");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
}

#[test]
fn malformed_json_says_where() {
    let daemon = Daemon::start(Options::default());
    let problem =
        daemon.over_tcp("POST", "/policy/evaluate", "{\n\"dst_port\": }").problem(400, "invalid_body");
    assert_eq!(problem["errors"][0]["line"], 2);
    daemon.over_unix("POST", "/admin/bypass", "{\"on\": true, \"off\": 1}").problem(400, "invalid_body");
    daemon.over_unix("POST", "/admin/bypass", "").problem(400, "invalid_body");
}

#[test]
fn the_block_list_takes_all_prefixes_of_a_call_or_none() {
    let daemon = Daemon::start(Options::default());
    let block = |prefixes: &[&str]| {
        daemon.over_unix("POST", "/admin/block", &json!({"prefixes": prefixes}).to_string())
    };
    assert_eq!(block(&["192.0.2.1/24", "2001:db8::1"]).json(), json!({"added": 2}));
    assert_eq!(block(&["192.0.2.0/24"]).json(), json!({"added": 0}));
    let problem = block(&["10.0.0.0/8", "x", "10.0.0.0/99"]).problem(400, "invalid_body");
    assert_eq!(problem["errors"][0]["pointer"], "/prefixes/1");
    assert_eq!(problem["errors"][1]["pointer"], "/prefixes/2");
    block(&["1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8"]).problem(507, "block_list_full");
    let listed = daemon.over_tcp("GET", "/admin/block", "").json();
    assert_eq!(listed, json!({"prefixes": ["192.0.2.0/24", "2001:db8::1/128"]}));
    let removed =
        daemon.over_unix("DELETE", "/admin/block", &json!({"prefixes": ["192.0.2.0/24"]}).to_string());
    assert_eq!(removed.json(), json!({"removed": 1}));
}

#[test]
fn a_run_without_a_wire_says_so() {
    let daemon = Daemon::start(Options { wire: false, ..Options::default() });
    daemon.over_tcp("GET", "/telemetry/wire", "").problem(409, "unavailable_here");
    daemon.over_unix("POST", "/admin/bypass", "{\"on\":true}").problem(409, "unavailable_here");
    assert!(!daemon.over_tcp("GET", "/metrics", "").text().contains("jarvis_wire"));
}

#[test]
fn oversized_bodies_are_refused_by_the_bound_of_their_path() {
    let limits = Limits { body_bytes_max: 1_000, policy_bytes_max: 10_000, ..Limits::default() };
    let daemon = Daemon::start(Options { limits, ..Options::default() });
    let spaces = " ".repeat(5_000);
    daemon.over_unix("POST", "/policy/evaluate", &spaces).problem(413, "body_too_large");
    daemon.over_unix("PUT", "/policy", &format!("{POLICY}{spaces}{spaces}")).problem(413, "body_too_large");
    assert_eq!(daemon.over_unix("PUT", "/policy", &format!("{POLICY}{spaces}")).status, 200);
    // Without an announced length the bound holds as well.
    let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
    let token = daemon.authorization();
    write!(
        stream,
        "POST /policy/evaluate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}transfer-encoding: chunked\r\n\r\n\
         1388\r\n{spaces}\r\n0\r\n\r\n"
    )
    .unwrap();
    crate::rig::read_answer(stream).problem(413, "body_too_large");
}

#[test]
fn oversized_headers_are_refused() {
    let daemon = Daemon::start(Options::default());
    let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
    let _ = write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    assert_eq!(crate::rig::read_answer(stream).status, 431);
    let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
    let many: String = (0..500).map(|number| format!("x{number}: y\r\n")).collect();
    let _ = write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert_eq!(crate::rig::read_answer(stream).status, 431);
}

#[test]
fn clients_that_dawdle_are_closed() {
    let limits = Limits {
        header_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(600),
        ..Limits::default()
    };
    let daemon = Daemon::start(Options { limits, ..Options::default() });
    let closed_within = |head: &str, trickle: &[u8]| {
        let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let trickle = trickle.to_vec();
        let slow = std::thread::spawn(move || {
            for byte in trickle {
                std::thread::sleep(Duration::from_millis(50));
                if writer.write_all(&[byte]).is_err() {
                    return;
                }
            }
        });
        let begun = Instant::now();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let elapsed = begun.elapsed();
        drop(stream);
        slow.join().unwrap();
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?} after {head:?}");
        String::from_utf8_lossy(&answer).into_owned()
    };
    // Nothing at all, half a header, headers a byte at a time, a body a byte at a time.
    closed_within("", b"");
    closed_within("GET /health HT", b"");
    closed_within("GET /health HTTP/1.1\r\nhost: localhost\r\n", b"x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    let token = daemon.authorization();
    let answer = closed_within(
        &format!(
            "POST /policy/evaluate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}content-length: 1000\r\n\r\n"
        ),
        &[b' '; 30],
    );
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // An idle connection after an answer.
    let answer = closed_within("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", b"");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    let daemon = Daemon::start(Options::default());
    let mut streams: Vec<TcpStream> = (0..1_000).map(|_| TcpStream::connect(daemon.tcp()).unwrap()).collect();
    for stream in &mut streams {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    }
    for stream in streams {
        assert_eq!(crate::rig::read_answer(stream).text(), r#"{"status":"ok"}"#);
    }
}

#[test]
fn a_flood_over_tcp_does_not_lock_the_operator_out() {
    let limits = Limits { tcp_connections_max: 8, ..Limits::default() };
    let daemon = Daemon::start(Options { limits, ..Options::default() });
    let idle: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(daemon.tcp()).unwrap()).collect();
    assert_eq!(daemon.over_unix("GET", "/health", "").status, 200);
    // Those that wait are served once there is room.
    let mut waiting = TcpStream::connect(daemon.tcp()).unwrap();
    waiting.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    drop(idle);
    assert_eq!(crate::rig::read_answer(waiting).status, 200);
}

#[test]
fn the_unix_socket_is_the_owners_alone_and_goes_with_the_server() {
    let mut daemon = Daemon::start(Options::default());
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = || Config { unix: Some(daemon.socket.clone()), ..Config::default() };
    let second = Server::start(config(), daemon.services.clone()).unwrap_err();
    assert!(matches!(second, StartError::AlreadyRunning { .. }), "{second}");
    daemon.server.take().unwrap().stop();
    assert!(!daemon.socket.exists());

    // What a killed daemon leaves behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&daemon.socket).unwrap());
    assert!(daemon.socket.exists());
    let config = Config { unix: Some(daemon.socket.clone()), ..Config::default() };
    let server = Server::start(config, daemon.services.clone()).unwrap();
    assert_eq!(daemon.over_unix("GET", "/health", "").status, 200);
    server.stop();
    let mut left: Vec<_> =
        std::fs::read_dir(daemon.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let kept = ["box.key", "policy.json", "sealed-under", "test.redb", "test.segments"];
    assert_eq!(left, kept, "nothing of the socket is left");
}

#[test]
fn a_file_in_the_sockets_place_is_left_alone() {
    let daemon = Daemon::start(Options::default());
    let config = Config { unix: Some(daemon.policy_file.clone()), ..Config::default() };
    let error = Server::start(config, daemon.services.clone()).unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert!(daemon.policy_file.exists());
    let taken = Config { tcp: Some(daemon.tcp()), ..Config::default() };
    let error = Server::start(taken, daemon.services.clone()).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
}

#[test]
fn an_answer_under_way_is_given_before_the_server_stops() {
    let mut daemon = Daemon::start(Options { hung: true, ..Options::default() });
    let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
    let token = daemon.authorization();
    write!(stream, "GET /dpi/flows HTTP/1.1\r\nhost: localhost\r\n{token}\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    daemon.server.take().unwrap().stop();
    crate::rig::read_answer(stream).problem(504, "worker_timeout");
}

#[test]
fn the_client_asks_and_tells_refusals_as_sentences() {
    let daemon = Daemon::start(Options::default());
    let client = Client::new(&daemon.socket);
    assert_eq!(client.get("/health").unwrap(), json!({"status": "ok"}));
    assert_eq!(client.post("/policy/reload", &Value::Null).unwrap()["changed"], false);
    let prefixes = json!({"prefixes": ["192.0.2.0/24"]});
    assert_eq!(client.post("/admin/block", &prefixes).unwrap()["added"], 1);
    assert_eq!(client.get("/admin/block").unwrap(), prefixes);
    assert_eq!(client.delete("/admin/block", &prefixes).unwrap()["removed"], 1);
    assert_eq!(client.get("/dpi/flows?limit=3&proto=udp").unwrap()["flows"].as_array().unwrap().len(), 3);
    let error = client.get("/dpi/flows?limit=x").unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 400, .. }));
    assert!(error.to_string().contains("limit: `x` is not"), "{error}");
    let absent = Client::new(daemon.dir.path().join("absent")).get("/health").unwrap_err();
    assert!(absent.to_string().contains("is `jarvis run` running?"), "{absent}");
}

#[test]
fn curl_understands_it() {
    let daemon = Daemon::start(Options::default());
    let Ok(output) = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "10", "--unix-socket"])
        .arg(&daemon.socket)
        .args(["--data", "{\"on\": true}", "http://localhost/admin/bypass"])
        .output()
    else {
        eprintln!("not run: curl is not installed");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), r#"{"on":true}"#, "{output:?}");
}

fn wait_for_workers(daemon: &Daemon) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let counted = || {
        daemon.services.summary().frames.received == 20
            && daemon.services.workers()[1].batches > 0
            && daemon.services.workers()[0].batches > 0
    };
    while !counted() {
        assert!(Instant::now() < deadline, "the workers did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The rules of the text format that a scraper relies on: every sample follows its type, no family twice.
fn assert_valid_openmetrics(text: &str) {
    let mut families = BTreeSet::new();
    let mut family = String::new();
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} appears twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(name.starts_with(&family), "{name} stands under {family}");
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let rates = Some(Rates::per_second(5));
    let daemon =
        Daemon::start(Options { limits: Limits { rates, ..Limits::default() }, ..Options::default() });
    let answers: Vec<_> = (0..30).map(|_| daemon.over_tcp("GET", "/telemetry", "")).collect();
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((10..=15).contains(&served), "{served}");
    let refused = answers.last().unwrap();
    refused.problem(429, "rate_limited");
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    assert_eq!(daemon.over_unix("GET", "/telemetry", "").status, 200, "the operator is not limited");
    // Tokens that are none use up what their address may ask.
    let bad = (0..200).map(|_| daemon.with_token("x.y.z", "GET", "/telemetry", "").status);
    assert!(bad.filter(|status| *status == 429).count() > 50);
}

#[test]
fn pages_of_configured_origins_may_call_and_no_others() {
    let daemon = Daemon::start(Options::default());
    let ask = |method: &str, origin: &str, more: &str| {
        let headers = format!("origin: {origin}\r\n{more}");
        crate::rig::call_with(TcpStream::connect(daemon.tcp()).unwrap(), method, "/telemetry", &headers, "")
    };
    let preflight = "access-control-request-method: GET\r\naccess-control-request-headers: authorization\r\n";
    let allowed = ask("OPTIONS", "https://console.example", preflight);
    assert_eq!(allowed.status, 200);
    assert!(
        allowed.head.contains("access-control-allow-origin: https://console.example"),
        "{}",
        allowed.head
    );
    assert!(allowed.head.contains("authorization"), "{}", allowed.head);
    let refused = ask("OPTIONS", "https://evil.example", preflight);
    assert!(!refused.head.contains("access-control-allow-origin"), "{}", refused.head);
    let token = daemon.authorization();
    let answer = ask("GET", "https://console.example", &token);
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("access-control-expose-headers: "), "{}", answer.head);
    assert!(!ask("GET", "https://evil.example", &token).head.contains("access-control-allow-origin"));
}

#[test]
fn long_answers_are_compressed_for_who_takes_it() {
    let daemon = Daemon::start(Options::default());
    let plain = daemon.over_tcp("GET", "/telemetry/reasons", "").body;
    for encoding in ["gzip", "zstd"] {
        let headers = format!("{}accept-encoding: {encoding}\r\n", daemon.authorization());
        let stream = TcpStream::connect(daemon.tcp()).unwrap();
        let answer = crate::rig::call_with(stream, "GET", "/telemetry/reasons", &headers, "");
        assert!(answer.head.contains(&format!("content-encoding: {encoding}")), "{}", answer.head);
        assert!(answer.body.len() < plain.len() / 2, "{} of {}", answer.body.len(), plain.len());
    }
    // What holds a token is not.
    let body = json!({"username": "root", "password": crate::rig::PASSWORD}).to_string();
    let stream = TcpStream::connect(daemon.tcp()).unwrap();
    let answer = crate::rig::call_with(stream, "POST", "/auth/login", "accept-encoding: gzip\r\n", &body);
    assert!(answer.status == 200 && answer.body.len() > 3_000);
    assert!(!answer.head.contains("content-encoding"), "{}", answer.head);
}

#[test]
fn what_can_be_recognised_is_listed() {
    let daemon = Daemon::start(Options::default());
    let of = |path: &str| daemon.over_tcp("GET", path, "").json();
    let protocols = of("/dpi/protocols?name=mqtt");
    assert_eq!(protocols["protocols"][0]["name"], "mqtt", "{protocols}");
    assert!(of("/dpi/protocols")["protocols"].as_array().unwrap().len() > 300);
    let mail = of("/dpi/protocols?category=email");
    let mail = mail["protocols"].as_array().unwrap();
    assert!(mail.len() > 3 && mail.iter().all(|protocol| protocol["category"] == "email"), "{mail:?}");
    assert!(of("/dpi/applications")["applications"].is_array());
    daemon.over_tcp("GET", "/dpi/applications?categories=email", "").problem(400, "invalid_parameter");
    let problem =
        daemon.over_tcp("GET", "/dpi/applications?category=mail", "").problem(400, "invalid_parameter");
    assert!(problem.to_string().contains("email"), "it says which there are: {problem}");
}
