//! What does a running box do right now? `jarvis top`, a screen a second over the Unix socket, until `q`.
//!
//! Rates are differences of two answers by the time between them, measured here. A daemon that goes away is said so on the screen, with
//! the last numbers left to read; the view comes back with it. Alerts are heard by a thread of their own, because listening blocks.

use crate::cli::Top;
use crate::ctl;
use crate::failure::Failure;
use crate::table::{clean, size, span};
use controlplane::client::{Client, ClientError};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Distance of two screens.
const EVERY: Duration = Duration::from_secs(1);
/// Alerts that are remembered: more than a screen has lines for.
const ALERTS_MAX: usize = 64;
/// Longest wait for an answer, so that a hung daemon is told as such while somebody looks.
const PATIENCE: Duration = Duration::from_secs(3);

/// The daemon's answers of one moment.
#[derive(Debug, Clone)]
struct Answers {
    at: Instant,
    status: Value,
    workers: Value,
    latency: Value,
    applications: Value,
}

impl Answers {
    fn ask(client: &Client) -> Result<Self, ClientError> {
        Ok(Self {
            at: Instant::now(),
            status: client.get("/telemetry")?,
            workers: client.get("/telemetry/workers")?,
            latency: client.get("/telemetry/latency")?,
            applications: client.get("/telemetry/applications")?,
        })
    }
}

/// What the screen shows.
#[derive(Debug, Default)]
struct View {
    before: Option<Answers>,
    now: Option<Answers>,
    /// Why there is nothing newer.
    fault: Option<String>,
}

impl View {
    fn take(&mut self, answer: Result<Answers, ClientError>) {
        match answer {
            Ok(answers) => {
                self.before = self.now.replace(answers);
                self.fault = None;
            }
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    /// Units a second of a counter in two answers; a daemon that was started in between counts from zero again.
    fn rate(&self, of: impl Fn(&Answers) -> Option<u64>) -> f64 {
        let (Some(before), Some(now)) = (&self.before, &self.now) else { return 0.0 };
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let counted = of(now).unwrap_or_default().saturating_sub(of(before).unwrap_or_default());
        if seconds > 0.0 { counted as f64 / seconds } else { 0.0 }
    }

    fn frames(&self, name: &str) -> f64 {
        self.rate(|answers| answers.status["frames"][name].as_u64())
    }
}

/// Alerts as one line each, newest last.
type Alerts = Arc<Mutex<VecDeque<String>>>;

/// Runs `jarvis top`.
///
/// # Errors
///
/// No terminal, no daemon at the start, or a terminal that fails.
pub(crate) fn run(typed: &Top) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::line(
            "jarvis top draws on a terminal; for programs there is `jarvis ctl --json status`",
        ));
    }
    let client = ctl::client(typed.socket.as_ref(), &typed.config)?.with_timeout(PATIENCE);
    let mut view = View { now: Some(Answers::ask(&client)?), ..View::default() };
    let alerts = Alerts::default();
    listen(client.clone(), Arc::clone(&alerts))?;
    let failed = |error: std::io::Error| Failure::line(format!("the terminal does not take it: {error}"));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown = (|| {
        let mut next = Instant::now() + EVERY;
        loop {
            let lines: Vec<String> =
                alerts.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
            terminal.draw(|frame| draw(frame, &view, &lines))?;
            let left = next.saturating_duration_since(Instant::now());
            if event::poll(left)? {
                if let Event::Key(key) = event::read()? {
                    let is_interrupt =
                        key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                    if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                        return Ok(());
                    }
                }
                continue;
            }
            view.take(Answers::ask(&client));
            next = Instant::now() + EVERY;
        }
    })();
    ratatui::restore();
    shown.map_err(failed)
}

/// Hears alerts until the program ends.
fn listen(client: Client, alerts: Alerts) -> Result<(), Failure> {
    let hear = move || {
        let mut after = None;
        loop {
            // Whatever ends it, the daemon may be there again in a while; the screen says when it is not.
            let _ = client.events("/events?topics=alerts", after, &mut |event| {
                after = event.id.or(after);
                if let (Some(_), Ok(told)) = (event.id, serde_json::from_str(event.data)) {
                    let mut alerts = alerts.lock().unwrap_or_else(PoisonError::into_inner);
                    alerts.push_back(alert_line(&told));
                    while alerts.len() > ALERTS_MAX {
                        alerts.pop_front();
                    }
                }
                ControlFlow::Continue(())
            });
            std::thread::sleep(EVERY * 2);
        }
    };
    std::thread::Builder::new()
        .name("top-alerts".to_owned())
        .spawn(hear)
        .map(|_| ())
        .map_err(|error| Failure::line(format!("no thread can be made: {error}")))
}

/// One event on one line: when, what, between whom, why.
fn alert_line(event: &Value) -> String {
    // Server-sent events have the event itself; `/ws` has it in `event`.
    let event = if event["event"].is_object() { &event["event"] } else { event };
    let text = |value: &Value| match value {
        Value::String(text) => clean(text),
        Value::Null => "-".to_owned(),
        other => clean(&other.to_string()),
    };
    let end = |address: &str, port: &str| match &event[port] {
        Value::Null => text(&event[address]),
        port => format!("{}:{port}", text(&event[address])),
    };
    let time = text(&event["timestamp"]);
    let time = time.get(11..19).unwrap_or(&time).to_owned();
    let why = [
        &event["jarvis"]["reason"],
        &event["drop"]["reason"],
        &event["anomaly"]["event"],
        &event["alert"]["signature"],
    ];
    let why = why.into_iter().find(|why| !why.is_null()).map_or("-".to_owned(), text);
    let policy = event["jarvis"]["policy_id"].as_str().map(|policy| format!(" policy {}", clean(policy)));
    format!(
        "{time} {:<7} {} {} -> {} {why}{}",
        text(&event["event_type"]),
        text(&event["proto"]),
        end("src_ip", "src_port"),
        end("dest_ip", "dest_port"),
        policy.unwrap_or_default()
    )
}

fn draw(frame: &mut Frame<'_>, view: &View, alerts: &[String]) {
    let workers = rows(view, |answers| &answers.workers["workers"]);
    let workers_height = u16::try_from(workers.len()).unwrap_or(u16::MAX).saturating_add(3).min(12);
    let [head, workers_at, applications_at, alerts_at] = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(workers_height),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, view);
    draw_workers(frame, workers_at, view, workers);
    draw_applications(frame, applications_at, view);
    let room = usize::from(alerts_at.height.saturating_sub(1));
    let newest: Vec<Line<'_>> =
        alerts.iter().skip(alerts.len().saturating_sub(room)).map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(
        Paragraph::new(newest).block(titled("Alerts since this screen was opened")),
        alerts_at,
    );
}

fn titled(title: &str) -> Block<'_> {
    Block::new().borders(Borders::TOP).title(title).title_style(Style::new().add_modifier(Modifier::BOLD))
}

fn rows<'a>(view: &'a View, of: impl Fn(&'a Answers) -> &'a Value) -> &'a [Value] {
    view.now.as_ref().and_then(|now| of(now).as_array()).map(Vec::as_slice).unwrap_or_default()
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let Some(now) = &view.now else { return };
    let status = &now.status;
    let warning = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let health = match (&view.fault, status["degraded"].as_array().map(Vec::as_slice)) {
        (Some(fault), _) => Span::styled(clean(fault), warning),
        (None, Some([first, ..])) => {
            Span::styled(format!("degraded: {}", clean(&first.to_string())), warning)
        }
        (None, _) => Span::raw("ok"),
    };
    let uptime = span(status["uptime_s"].as_f64().unwrap_or_default() * 1e9);
    let flows = &status["flows"];
    let lines = vec![
        Line::from(vec![
            Span::raw(format!("jarvis {}  up {uptime}  ", clean(status["version"].as_str().unwrap_or("-")))),
            health,
        ]),
        Line::raw(format!(
            "in {:.0} frames/s {}/s   out {:.0} frames/s {}/s   dropped {:.0}/s   rejected {:.0}/s",
            view.frames("received"),
            size(view.frames("received_bytes")),
            view.frames("forwarded"),
            size(view.frames("forwarded_bytes")),
            view.frames("dropped"),
            view.frames("rejected"),
        )),
        Line::raw(format!(
            "flows {} of {}   new {:.0}/s   policies {} in version {}",
            flows["active"],
            flows["capacity"],
            view.rate(|answers| answers.status["flows"]["started"].as_u64()),
            status["policies"],
            status["policy_version"],
        )),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_workers(frame: &mut Frame<'_>, area: Rect, view: &View, workers: &[Value]) {
    let latencies = rows(view, |answers| &answers.latency["latencies"]);
    let table_rows = workers.iter().map(|worker| {
        let number = &worker["worker"];
        let of = |answers: &Answers, name: &str| {
            let rows = answers.workers["workers"].as_array()?;
            rows.iter().find(|row| row["worker"] == *number)?["frames"][name].as_u64()
        };
        let latency = latencies.iter().find(|row| row["worker"] == *number).map(|row| &row["ring_to_ring"]);
        let percentile = |name: &str| latency.and_then(|row| row[name].as_f64()).map_or("-".to_owned(), span);
        let silent_ms = worker["silent_ms"].as_u64().unwrap_or_default();
        Row::new([
            number.to_string(),
            format!("{:.0}", view.rate(|answers| of(answers, "received"))),
            format!("{:.0}", view.rate(|answers| of(answers, "dropped"))),
            worker["flows"]["active"].to_string(),
            percentile("p50_ns"),
            percentile("p99_ns"),
            percentile("max_ns"),
            span(silent_ms as f64 * 1e6),
        ])
    });
    let headings = ["worker", "in/s", "dropped/s", "flows", "p50", "p99", "max", "silent"];
    let table = Table::new(table_rows, [Constraint::Fill(1); 8])
        .header(Row::new(headings).style(Style::new().add_modifier(Modifier::DIM)))
        .block(titled("Workers, ring to ring since the start"));
    frame.render_widget(table, area);
}

fn draw_applications(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let table_rows = rows(view, |answers| &answers.applications["applications"]).iter().map(|row| {
        let bytes = |name: &str| size(row[name].as_f64().unwrap_or_default());
        Row::new([
            clean(row["application"].as_str().unwrap_or("-")),
            row["flows"].to_string(),
            bytes("bytes_to_server"),
            bytes("bytes_to_client"),
        ])
    });
    let table = Table::new(
        table_rows,
        [Constraint::Fill(2), Constraint::Fill(1), Constraint::Fill(1), Constraint::Fill(1)],
    )
    .header(
        Row::new(["application", "flows", "to server", "to client"])
            .style(Style::new().add_modifier(Modifier::DIM)),
    )
    .block(titled("Applications of flows that have ended"));
    frame.render_widget(table, area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn answers(at: Instant, received: u64) -> Answers {
        let frames = json!({"received": received, "received_bytes": received * 1_000, "forwarded": received / 2,
            "forwarded_bytes": received * 500, "dropped": received / 10, "rejected": 0});
        Answers {
            at,
            status: json!({"version": "0.1.0", "uptime_s": 3_700.0, "degraded": [], "frames": frames, "policies": 3,
                "policy_version": 7, "flows": {"active": 42, "capacity": 1_000, "started": received / 100}}),
            workers: json!({"workers": [{"worker": 0, "silent_ms": 2, "frames": frames, "flows": {"active": 42}}]}),
            latency: json!({"latencies": [{"ring_to_ring": {"p50_ns": 1}},
                {"worker": 0, "ring_to_ring": {"p50_ns": 9_599, "p99_ns": 31_487, "max_ns": 2_000_000}}]}),
            applications: json!({"applications": [{"application": "spo\u{1b}tify", "flows": 5, "bytes_to_server": 2_048,
                "bytes_to_client": 1}]}),
        }
    }

    fn screen(view: &View, alerts: &[String]) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 24)).unwrap();
        terminal.draw(|frame| draw(frame, view, alerts)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(100);
        lines
            .map(|line| {
                line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n"
            })
            .collect()
    }

    #[test]
    fn a_screen_has_rates_workers_applications_and_the_newest_alerts() {
        let start = Instant::now();
        let mut view = View::default();
        view.take(Ok(answers(start, 1_000)));
        assert!(screen(&view, &[]).contains("in 0 frames/s 0 B/s"), "one answer has no rate");
        view.take(Ok(answers(start + Duration::from_secs(2), 5_000)));
        let alerts: Vec<String> = (0..30).map(|number| format!("alert {number}")).collect();
        let shown = screen(&view, &alerts);
        for part in [
            "jarvis 0.1.0  up 1 h 1 min  ok",
            "in 2000 frames/s 1.9 MiB/s   out 1000 frames/s 976.6 KiB/s   dropped 200/s",
            "flows 42 of 1000   new 20/s   policies 3 in version 7",
            "9.6 us",
            "31.5 us",
            "2.0 ms",
            "spo\\u{1b}tify",
            "2.0 KiB",
            "alert 29",
        ] {
            assert!(shown.contains(part), "{part} is not on\n{shown}");
        }
        assert!(!shown.contains("alert 0\n"), "{shown}");
    }

    #[test]
    fn a_daemon_that_went_away_is_told_and_one_that_came_back_counts_from_zero() {
        let start = Instant::now();
        let mut view = View::default();
        view.take(Ok(answers(start, 5_000)));
        view.take(Err(ClientError::TimedOut { waited_s: 3 }));
        let shown = screen(&view, &[]);
        assert!(
            shown.contains("the daemon did not answer within 3 s") && shown.contains("flows 42"),
            "{shown}"
        );
        view.take(Ok(answers(start + Duration::from_secs(5), 10)));
        let shown = screen(&view, &[]);
        assert!(shown.contains("ok\n") && shown.contains("in 0 frames/s"), "{shown}");
    }

    #[test]
    fn an_alert_is_one_line_without_commands() {
        let told = json!({"topic": "alerts", "event": {"timestamp": "2026-11-27T13:37:34.126021+0000", "event_type": "drop",
            "proto": "TCP", "src_ip": "10.0.0.1", "src_port": 5, "dest_ip": "10.0.0.2", "dest_port": 23,
            "jarvis": {"reason": "policy\u{7}_drop", "policy_id": "p"}}});
        let line = "13:37:34 drop    TCP 10.0.0.1:5 -> 10.0.0.2:23 policy\\u{7}_drop policy p";
        assert_eq!(alert_line(&told), line);
        assert_eq!(alert_line(&told["event"]), line);
    }
}
