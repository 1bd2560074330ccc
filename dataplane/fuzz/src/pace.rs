//! Does the work of a parser grow with its input, and no faster? `pace [NAME]`.
//!
//! Each parser is shown its corpus over and over, 64 KiB and 256 KiB of it: in one payload, in payloads of the size of the
//! inputs, byte by byte; and the same of bytes that are all alike. Where four times the input takes far more than four times
//! the work, the parser reads what it read before. The slowest shapes are printed, with the nanoseconds that a byte takes.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use dataplane::dpi::{AppTable, FlowView, Protocol, feed};
use dataplane::flow::Direction;
use targets::parsers;

const SMALL: usize = 64 * 1024;
const LARGE: usize = 4 * SMALL;

/// Both are more than any parser waits with. Four times the input may take this many times the work: caches, growing
/// tables and another process are in it.
const GROWTH_MAX: f64 = 8.0;

/// Work below this is not compared: waiting for a core is most of it.
const COMPARED: Duration = Duration::from_millis(50);

/// A byte that takes longer than this is told of whatever the growth. Payloads of one byte are in it: each costs a look at
/// all that a parser waits with, a few KiB.
const SLOW: Duration = Duration::from_micros(20);

struct Shape {
    name: String,
    /// Payloads that are shown over and over.
    round: Vec<(Direction, Vec<u8>)>,
}

fn main() -> ExitCode {
    let only = env::args().nth(1);
    let apps = AppTable::builtin();
    let mut outliers = 0;
    let mut worst = Vec::new();
    for protocol in parsers::all().filter(|protocol| only.as_deref().is_none_or(|only| only == protocol.name))
    {
        for shape in shapes(protocol) {
            for flow in feed::flows(protocol) {
                let measure = |turns| {
                    let small = best_of(turns, || took(protocol, &flow, &apps, &shape, SMALL));
                    let large = best_of(turns, || took(protocol, &flow, &apps, &shape, LARGE));
                    let growth = large.as_secs_f64() / small.as_secs_f64().max(1e-9);
                    (large / LARGE as u32, growth, large > COMPARED && growth > GROWTH_MAX)
                };
                let (mut per_byte, mut growth, mut grows) = measure(1);
                if grows {
                    // Another process may have been in the way.
                    (per_byte, growth, grows) = measure(5);
                }
                if grows || per_byte > SLOW {
                    outliers += 1;
                    println!(
                        "{} {}: {growth:.1} times the work, {per_byte:?} a byte",
                        protocol.name, shape.name
                    );
                }
                worst.push((per_byte, protocol.name, shape.name.clone()));
            }
        }
    }
    worst.sort();
    worst.reverse();
    for (per_byte, name, shape) in worst.iter().take(20) {
        println!("{per_byte:?} a byte: {name} {shape}");
    }
    println!("{outliers} outliers of {} shapes", worst.len());
    if outliers == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn best_of(turns: u32, mut measure: impl FnMut() -> Duration) -> Duration {
    (0..turns).map(|_| measure()).min().unwrap_or_default()
}

/// How long a parser reads `len` bytes of a shape.
fn took(
    protocol: &'static Protocol,
    flow: &FlowView,
    apps: &AppTable,
    shape: &Shape,
    len: usize,
) -> Duration {
    let mut left = len;
    let shown = shape.round.iter().cycle().map_while(|(way, payload)| {
        let taken = payload.len().min(left);
        left -= taken;
        (taken > 0).then(|| (*way, &payload[..taken]))
    });
    let shown: Vec<_> = shown.collect();
    let start = Instant::now();
    feed::feed(protocol, flow, apps, shown.iter().copied());
    start.elapsed()
}

fn shapes(protocol: &Protocol) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut add = |name: String, round: Vec<(Direction, Vec<u8>)>| {
        if round.iter().any(|(_, payload)| !payload.is_empty()) {
            let round = round.into_iter().filter(|(_, payload)| !payload.is_empty()).collect();
            shapes.push(Shape { name, round });
        }
    };
    for byte in [0, b' ', b'a', 0x80, 0xff] {
        for way in [Direction::Forward, Direction::Reverse] {
            add(format!("bytes {byte:#04x} in one"), vec![(way, vec![byte; LARGE])]);
            add(format!("bytes {byte:#04x} one by one"), vec![(way, vec![byte])]);
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/parsers").join(protocol.name);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let input = fs::read(entry.path()).unwrap_or_default();
        let payloads: Vec<_> =
            feed::payloads(&input).into_iter().map(|(way, payload)| (way, payload.to_vec())).collect();
        add(format!("{name} over and over"), payloads.clone());
        add(
            format!("{name} byte by byte"),
            payloads
                .iter()
                .flat_map(|(way, payload)| payload.iter().map(|byte| (*way, vec![*byte])))
                .collect(),
        );
        // Opened once, then the last payload without end.
        if let Some((way, last)) = payloads.last().filter(|(_, last)| !last.is_empty()) {
            let all = last.iter().copied().cycle().take(LARGE).collect();
            let mut opened = payloads[..payloads.len() - 1].to_vec();
            opened.push((*way, all));
            add(format!("{name} with a long end"), opened.clone());
        }
        for way in [Direction::Forward, Direction::Reverse] {
            let all: Vec<u8> = payloads
                .iter()
                .filter(|(of, _)| *of == way)
                .flat_map(|(_, payload)| payload.clone())
                .collect();
            if !all.is_empty() {
                add(format!("{name} in one"), vec![(way, all.iter().copied().cycle().take(LARGE).collect())]);
            }
        }
    }
    shapes
}
