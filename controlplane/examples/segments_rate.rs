//! How many events a second does an append-only log take, each batch on the disk before the next?
//!
//! `cargo run --release -p controlplane --example segments_rate -- [DIRECTORY] [EVENTS] [BATCH]`: appends EVE lines of some
//! 400 bytes, BATCH of them (1,000) with one `fdatasync`, until there are EVENTS (1,000,000), in a directory of its own
//! below DIRECTORY (the current one). Then it reads all of them back, those of one address, and verifies the chain.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::ops::ControlFlow;
use std::time::Instant;

use controlplane::store::StoreError;
use controlplane::store::segments::{Batch, Kind, Query, Segments, Settings, read, verify};

/// 2026-11-27T00:00:00Z.
const START_S: u64 = 1_795_737_600;

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let below = arguments.next().unwrap_or_else(|| ".".to_owned());
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (events, batch_events) = (number(1_000_000), number(1_000).max(1));
    let directory = std::path::Path::new(&below).join(format!("segments-rate-{}", std::process::id()));
    let told = run(&directory, events, batch_events);
    let _ = std::fs::remove_dir_all(&directory);
    told
}

fn run(directory: &std::path::Path, events: u64, batch_events: u64) -> Result<(), StoreError> {
    let segments = Segments::open(directory)?;
    let (mut log, _) = segments.log(Kind::Events, Settings::default(), START_S * 1_000_000_000)?;
    let (mut batch, mut line) = (Batch::new(), String::new());
    let (mut raw_bytes, mut slowest_us, mut append_s) = (0_u64, 0, 0.0);
    let begun = Instant::now();
    let mut at = 0;
    while at < events {
        for event in at..(at + batch_events).min(events) {
            let terms = eve_line(event, &mut line);
            raw_bytes += line.len() as u64;
            let terms: [&str; 3] = std::array::from_fn(|at| terms[at].as_str());
            batch.push(time_ns(event), &terms, line.as_bytes())?;
        }
        at += batch.len() as u64;
        let appending = Instant::now();
        log.append(&mut batch, time_ns(at))?;
        let took = appending.elapsed();
        slowest_us = slowest_us.max(took.as_micros());
        append_s += took.as_secs_f64();
    }
    log.note()?;
    let all_s = begun.elapsed().as_secs_f64();
    let disk_bytes = log.len_bytes();
    println!("{events} events of {} bytes, {batch_events} with one fdatasync", raw_bytes / events.max(1));
    println!(
        "appended: {:.0} events/s ({:.0} with the making of the lines), slowest batch {slowest_us} us",
        events as f64 / append_s,
        events as f64 / all_s
    );
    println!(
        "on the disk: {disk_bytes} bytes, {:.1} an event, {:.1} times smaller",
        disk_bytes as f64 / events as f64,
        raw_bytes as f64 / disk_bytes as f64
    );
    let directory = log.directory();
    let show = |query: &Query, name: &str| -> Result<(), StoreError> {
        let (begun, mut found) = (Instant::now(), 0_u64);
        let page = read(directory, query, &mut |_| {
            found += 1;
            ControlFlow::Continue(())
        })?;
        let (read, skipped) = (page.blocks_read, page.blocks_skipped);
        println!(
            "{name}: {found} events in {:?}, {read} blocks read, {skipped} passed over",
            begun.elapsed()
        );
        Ok(())
    };
    show(&Query::default(), "all")?;
    let terms = vec![format!("flow:{}", events / 2 / 7)];
    show(&Query { terms, ..Query::default() }, "one flow")?;
    let from_ns = time_ns(events / 2);
    show(&Query { from_ns, to_ns: from_ns + 10_000_000, ..Query::default() }, "ten milliseconds")?;
    let begun = Instant::now();
    let report = verify(directory, Kind::Events, &mut |_| {})?;
    println!("verified {} entries in {:?}, {} faults", report.entries, begun.elapsed(), report.faults.len());
    Ok(())
}

const fn time_ns(event: u64) -> u64 {
    START_S * 1_000_000_000 + event * 5_000
}

/// A line as the event file has it; seven of a flow.
fn eve_line(event: u64, out: &mut String) -> [String; 3] {
    use std::fmt::Write;
    out.clear();
    let flow = event / 7;
    let mixed = (flow + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (client, server) = (mixed >> 48, (mixed >> 32) & 0xffff);
    let (source, target) = (
        format!("10.{}.{}.{}", (client >> 8) & 15, client & 255, mixed & 63),
        format!("198.51.{}.{}", server >> 8 & 7, server & 255),
    );
    let _ = write!(
        out,
        "{{\"timestamp\":\"2026-11-27T{:02}:{:02}:{:02}.{:06}+0000\",\"flow_id\":{},\"in_iface\":\"in0\",\"event_type\":\"http\",\
         \"src_ip\":\"{source}\",\"src_port\":{},\"dest_ip\":\"{target}\",\"dest_port\":80,\"proto\":\"TCP\",\"tx_id\":{},\
         \"http\":{{\"hostname\":\"host{}.example\",\"url\":\"/item/{:x}\",\"http_user_agent\":\"Mozilla/5.0\",\"http_method\":\"GET\",\
         \"protocol\":\"HTTP/1.1\",\"status\":200,\"length\":{}}},\"jarvis\":{{\"app_name\":\"http\",\"category\":\"web\",\"confidence\":100}}}}",
        event / 720_000_000 % 24,
        event / 12_000_000 % 60,
        event / 200_000 % 60,
        event * 5 % 1_000_000,
        mixed >> 11,
        1_024 + (mixed >> 20) % 60_000,
        event % 7,
        mixed % 500,
        mixed.rotate_left(event as u32 % 64),
        (mixed >> 13) % 90_000
    );
    [format!("ip:{source}"), format!("ip:{target}"), format!("flow:{flow}")]
}
