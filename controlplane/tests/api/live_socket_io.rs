//! The former system's client, python-socketio 5.9.0 from PyPI, against `/socket.io`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::live::{drop_of, login_as};
use crate::pypi;
use crate::rig::{Daemon, Options};
use controlplane::services::auth::role::Role;
use serde_json::{Value, json};

/// Python with the client in it.
fn python() -> Option<PathBuf> {
    pypi::program("python")
}

const SCRIPT: &str = r#"
import json, sys, threading, socketio
lock = threading.Lock()
url, transport, auth = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sio = socketio.Client(reconnection=False)
def say(name, data=None):
    with lock:
        sys.stdout.write(json.dumps([name, data]) + "\n")
        sys.stdout.flush()
for name in ["alerts", "system", "policy", "subscribed", "unsubscribed", "gap", "dropped", "closing", "expiring", "error", "authenticated"]:
    sio.on(name, (lambda name: lambda data: say(name, data))(name))
sio.on("connect", lambda: say("connect", sio.transport()))
sio.on("connect_error", lambda data: say("connect_error", data))
sio.on("disconnect", lambda: say("disconnect"))
try:
    sio.connect(url, auth=auth, transports=transport.split(","), wait_timeout=10)
except socketio.exceptions.ConnectionError as error:
    say("refused", str(error)); sys.exit(0)
for line in sys.stdin:
    name, data = json.loads(line)
    sio.emit(name, data)
sio.disconnect()
"#;

struct Client {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Client {
    fn start(python: &PathBuf, daemon: &Daemon, transports: &str, auth: &Value) -> Self {
        let url = format!("http://{}", daemon.tcp());
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, &url, transports, &auth.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> (String, Value) {
        let line = self.lines.next().expect("the client goes on").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn next_of(&mut self, name: &str) -> Value {
        loop {
            let (found, data) = self.next();
            if found == name {
                return data;
            }
        }
    }

    fn emit(&mut self, name: &str, data: &Value) {
        use std::io::Write;
        writeln!(self.child.stdin.as_mut().unwrap(), "{}", json!([name, data])).unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_former_systems_client_hears_events_over_both_transports() {
    let Some(python) = python() else { return };
    let daemon = Daemon::start(Options::default());
    for (transports, spoken) in
        [("polling", "polling"), ("websocket", "websocket"), ("polling,websocket", "polling")]
    {
        let auth = json!({"token": daemon.token, "topics": ["alerts"], "filter": {"port": 53}});
        let mut client = Client::start(&python, &daemon, transports, &auth);
        let transport = client.next_of("connect");
        assert!(transport == spoken || transports.contains(','), "{transport}");
        // The notice may be there before or after `connect` has been seen to.
        let ready = json!({"topics": ["alerts"]});
        daemon.happens(drop_of(1, 80));
        let mut id = 0;
        for last in 2..=4 {
            daemon.happens(drop_of(last, 53));
            let told = client.next_of("alerts");
            assert_eq!(told["event"]["src_ip"], format!("10.0.0.{last}"), "{told}");
            assert!(told["id"].as_u64().unwrap() > id);
            id = told["id"].as_u64().unwrap();
        }
        client.emit("unsubscribe", &ready);
        assert_eq!(client.next_of("unsubscribed"), json!({"topics": []}));
        client.emit("subscribe", &json!({"topics": ["alerts"], "resume_from": id - 1}));
        assert_eq!(client.next_of("alerts")["id"], id, "resumed");
        client.emit("subscribe", &json!({"topics": ["forensics"]}));
        assert!(client.next_of("error")["detail"].as_str().unwrap().contains("no topic"));
    }
}

#[test]
fn the_former_systems_client_shows_a_good_token_or_is_refused() {
    let Some(python) = python() else { return };
    let daemon = Daemon::start(Options::default());
    let employee = login_as(&daemon, "emil", Role::Employee);
    for auth in [
        json!({"token": "none"}),
        json!({}),
        json!(null),
        json!({"token": employee["access_token"]}),
        json!({"token": daemon.token, "topics": ["forensics"]}),
    ] {
        let mut client = Client::start(&python, &daemon, "websocket", &auth);
        let (name, detail) = client.next();
        assert!(name == "connect_error" || name == "refused", "{auth}: {name} {detail}");
    }
    // One whose session ends is told so and let go.
    let analyst = login_as(&daemon, "ada", Role::Analyst);
    let token = analyst["access_token"].as_str().unwrap();
    let mut client = Client::start(&python, &daemon, "websocket", &json!({"token": token}));
    let topics = client.next_of("subscribed");
    assert_eq!(topics["topics"].as_array().unwrap().len(), 6, "all that it may: {topics}");
    daemon.with_token(token, "POST", "/auth/logout", "");
    assert_eq!(client.next_of("closing")["code"], "session_ended");
    assert_eq!(client.next_of("disconnect"), Value::Null);
}
