//! What happens, a line of JSON each: `jarvis ctl events`.
//!
//! With `--follow` it listens as any client does, and comes back by itself after the last event that it has printed; without, it
//! reads what the disk has, page by page.

use crate::ctl::with_filter;
use crate::failure::Failure;
use controlplane::client::{Client, ClientError, SentEvent};
use serde_json::Value;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

/// Distance of attempts while the daemon is away.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Events of one page.
const PAGE: u32 = 1_000;

/// Prints events until there are no more; `None`, because all was printed.
///
/// # Errors
///
/// No daemon, or its refusal with every fault.
pub(crate) fn run(
    client: &Client,
    topics: &[String],
    filter: &[String],
    follow: bool,
    since_s: u64,
) -> Result<Option<String>, Failure> {
    let topics = if topics.is_empty() { &["alerts".to_owned()][..] } else { topics };
    if follow {
        listen(client, topics, filter)?
    } else {
        look_back(client, topics, filter, since_s)?
    }
    Ok(None)
}

fn listen(client: &Client, topics: &[String], filter: &[String]) -> Result<(), Failure> {
    let path = with_filter("/events?".to_owned(), &[format!("topics={}", topics.join(","))])?;
    let path = with_filter(path, filter)?.replacen("?&", "?", 1);
    let (mut after, mut is_read, mut has_begun) = (None, true, false);
    loop {
        let heard = client.events(&path, after, &mut |event| {
            has_begun = true;
            after = event.id.or(after);
            is_read = show(event);
            if is_read { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match heard {
            // Whoever reads has enough.
            Ok(()) if !is_read => return Ok(()),
            Ok(()) => has_begun = true,
            // One that was there once will be there again.
            Err(ClientError::NotRunning { .. } | ClientError::Strange { .. }) if has_begun => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(RETRY_EVERY);
    }
}

/// Prints an event, or a notice where it belongs; `false`: nobody reads any more.
fn show(event: &SentEvent<'_>) -> bool {
    match event.id {
        Some(_) => line(event.data),
        None => {
            eprintln!("{}: {}", event.name, event.data);
            true
        }
    }
}

fn line(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

fn look_back(client: &Client, topics: &[String], filter: &[String], since_s: u64) -> Result<(), Failure> {
    let now_s = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let from_s = now_s.saturating_sub(since_s);
    for topic in topics {
        let kind = match topic.as_str() {
            "alerts" | "protocols" => "events",
            "flows" => "flows",
            _ => {
                let what = format!("{topic} is not kept on the disk; listen to it with --follow");
                return Err(Failure::line(what));
            }
        };
        let mut cursor = String::new();
        loop {
            let path = format!("/events/history?limit={PAGE}&kind={kind}&from={from_s}{cursor}");
            let page = client.get(&with_filter(path, filter)?)?;
            for one in page["events"].as_array().into_iter().flatten() {
                let event = &one["event"];
                if is_of(topic, event) && !line(&event.to_string()) {
                    return Ok(());
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    Ok(())
}

/// The log of events has two topics.
fn is_of(topic: &str, event: &Value) -> bool {
    let is_alert = matches!(event["event_type"].as_str(), Some("drop" | "anomaly" | "alert"));
    topic == "flows" || is_alert == (topic == "alerts")
}
