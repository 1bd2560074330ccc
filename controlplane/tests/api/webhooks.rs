//! Are events posted, signed, once more where they were not taken, and gone on with after a restart? The receiver is Python's, which
//! checks signatures with the library of Standard Webhooks.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::live::drop_of;
use crate::pypi;
use crate::rig::{Daemon, Options};
use serde_json::{Value, json};

/// Takes posts on a port of its own, says that, and a line for each; answers what it is told last.
const RECEIVER: &str = r#"
import http.server, json, sys, threading
from standardwebhooks import Webhook
state = {"secret": None, "status": 200}
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = state["status"]
        try:
            Webhook(state["secret"]).verify(body, {k.lower(): v for k, v in self.headers.items()})
            verified = True
        except Exception as error:
            verified = repr(error)
        print(json.dumps({"id": self.headers["webhook-id"], "verified": verified, "status": status, "body": json.loads(body)}), flush=True)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", "http://127.0.0.1:1/")
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(json.dumps({"port": server.server_port}), flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    state.update(json.loads(line))
    print(json.dumps({"told": True}), flush=True)
"#;

struct Receiver {
    child: Child,
    input: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: u64,
}

impl Receiver {
    fn start() -> Option<Self> {
        let python = pypi::program("python")?;
        let mut child = Command::new(python)
            .args(["-c", RECEIVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut receiver = Self { child, input, lines: BufReader::new(output).lines(), port: 0 };
        receiver.port = receiver.next()["port"].as_u64().unwrap();
        Some(receiver)
    }

    /// The next line that it says.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn tell(&mut self, what: &Value) {
        writeln!(self.input, "{what}").unwrap();
        assert_eq!(self.next(), json!({"told": true}));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a webhook for it; its path.
fn hook(daemon: &Daemon, receiver: &mut Receiver, filter: &Value) -> String {
    let url = format!("http://127.0.0.1:{}/in?x=1", receiver.port);
    let body = json!({"url": url, "topics": ["alerts"], "filter": filter}).to_string();
    let made = daemon.over_tcp("POST", "/admin/webhooks", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    receiver.tell(&json!({"secret": made.json()["secret"]}));
    format!("/admin/webhooks/{}", made.json()["webhook_id"].as_str().unwrap())
}

fn ports(posted: &Value) -> Vec<u64> {
    let events = posted["body"]["events"].as_array().unwrap();
    events.iter().map(|event| event["event"]["dest_port"].as_u64().unwrap()).collect()
}

/// Waits until the webhook's deliveries are so.
fn eventually(daemon: &Daemon, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let view = daemon.over_tcp("GET", path, "").json();
        if is_so(&view) {
            return view;
        }
        assert!(begun.elapsed().as_secs() < 20, "{what}: {view}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn events_are_posted_signed_and_again_where_they_were_not_taken() {
    let Some(mut receiver) = Receiver::start() else { return };
    let daemon = Daemon::start(Options { records: true, ..Options::default() });
    daemon.happens(drop_of(1, 52));
    let path = hook(&daemon, &mut receiver, &json!({"port": "53"}));
    let tried = daemon.over_tcp("POST", &format!("{path}/test"), "");
    assert_eq!(tried.text(), r#"{"delivered":true}"#);
    let test = receiver.next();
    assert_eq!((&test["verified"], &test["body"]["type"]), (&json!(true), &json!("jarvis.test")));

    daemon.happens(drop_of(2, 54));
    daemon.happens(drop_of(3, 53));
    let posted = receiver.next();
    assert_eq!((&posted["verified"], ports(&posted)), (&json!(true), vec![53]), "{posted}");
    assert_eq!(posted["body"]["events"][0]["topic"], "alerts");
    let view =
        eventually(&daemon, &path, "the delivery is counted", |view| view["deliveries"]["delivered"] == 1);
    assert!(view.get("secret").is_none() && view["deliveries"]["last_s"].is_u64(), "{view}");

    // Neither a failure nor a redirection is a delivery.
    for status in [500, 302] {
        receiver.tell(&json!({"status": status}));
        daemon.happens(drop_of(4, 53));
        let refused = receiver.next();
        assert_eq!(refused["status"], status);
        let view = eventually(&daemon, &path, "the failure is told", |view| {
            view["deliveries"]["failures"].as_u64() > Some(0)
        });
        let error = view["deliveries"]["last_error"].as_str().unwrap();
        assert!(error.contains(&status.to_string()), "{error}");
        receiver.tell(&json!({"status": 200}));
        let again = receiver.next();
        assert_eq!((&again["id"], &again["body"]["events"]), (&refused["id"], &refused["body"]["events"]));
        eventually(&daemon, &path, "the second attempt is counted", |view| {
            view["deliveries"]["failures"] == 0
        });
    }

    // What happens while the daemon is told nothing of it goes on behind the last one.
    receiver.tell(&json!({"status": 503}));
    daemon.happens(drop_of(5, 53));
    receiver.next();
    let daemon = daemon.restarted();
    receiver.tell(&json!({"status": 200}));
    let mut posted = receiver.next();
    while posted["status"] != 200 {
        posted = receiver.next();
    }
    assert_eq!(ports(&posted), [53], "{posted}");
    let off = daemon.over_tcp("PATCH", &path, r#"{"enabled": false}"#);
    assert_eq!(off.json()["enabled"], false);
    assert_eq!(daemon.over_tcp("DELETE", &path, "").status, 204);
    daemon.over_tcp("GET", &path, "").problem(404, "not_found");
    for entry in daemon.over_tcp("GET", "/audit?limit=1000", "").json()["entries"].as_array().unwrap() {
        assert!(!entry.to_string().contains("whsec_"), "{entry}");
    }
}

#[test]
fn a_webhook_that_cannot_be_is_refused_with_every_fault() {
    let daemon = Daemon::start(Options::default());
    let body = json!({"url": "ftp://x", "topics": ["alerts", "weather"], "filter": {"colour": "red", "port": "many"}});
    let refused = daemon.over_tcp("POST", "/admin/webhooks", &body.to_string()).problem(400, "invalid_body");
    let pointers: Vec<&str> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/url", "/topics/1", "/filter/colour", "/filter/port"]);
    // Nobody listens there, or is the box's own name.
    let body = json!({"url": "http://127.0.0.1:1/", "topics": ["alerts"]});
    let made = daemon.over_tcp("POST", "/admin/webhooks", &body.to_string()).json();
    let path = format!("/admin/webhooks/{}", made["webhook_id"].as_str().unwrap());
    let tried = daemon.over_tcp("POST", &format!("{path}/test"), "").json();
    assert!(tried["error"].as_str().unwrap().contains("cannot be reached"), "{tried}");
    daemon.over_tcp("PATCH", &path, r#"{"topics": []}"#).problem(400, "invalid_body");
    let headers = format!("{}if-match: \"7\"\r\n", daemon.authorization());
    let stream = std::net::TcpStream::connect(daemon.tcp()).unwrap();
    crate::rig::call_with(stream, "DELETE", &path, &headers, "").problem(412, "stale");
}
