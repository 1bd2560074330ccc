//! Runs every target over its corpus and over mutations of it, without libFuzzer: `smoke [SECONDS] [SEED] [NAME]`.
//!
//! The targets of parsers are many and share a time of their own, [`PARSERS`] times that of another target. NAME restricts
//! a run to the target of that name, to the parser, or, if it is `parsers`, to all parsers.
//!
//! A panic is the failure. The input that caused it is written to `artifacts/<target>/smoke` first, so that
//! it can be run again and become a corpus file.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use targets::{TARGETS, parsers};

/// Of one input, before another is taken from the corpus.
const MUTATIONS: usize = 8;
const LEN_MAX: usize = 4096;
const SECONDS_DEFAULT: u64 = 10;
const SEED_DEFAULT: u64 = 0x5eed;

/// The time that all parsers share, in times of one target.
const PARSERS: u32 = 4;

fn main() {
    let mut arguments = env::args().skip(1);
    let mut number = |default| {
        arguments.next().map_or(default, |text| text.parse().expect("usage: smoke [SECONDS] [SEED] [NAME]"))
    };
    let time = Duration::from_secs(number(SECONDS_DEFAULT));
    let seed = number(SEED_DEFAULT);
    let only = arguments.next();
    let is_asked_for = |name: &str| only.as_deref().is_none_or(|only| only == name);

    for (name, target) in TARGETS {
        if is_asked_for(name) {
            let ran = wander(name, time, seed, target);
            println!("{name}: {} corpus files, {} runs, no panic", ran.files, ran.runs);
        }
    }
    let asked: Vec<_> =
        parsers::all().filter(|protocol| is_asked_for("parsers") || is_asked_for(protocol.name)).collect();
    if asked.is_empty() {
        return;
    }
    let mut all = Ran::default();
    let (mut fewest, count) = (u64::MAX, asked.len() as u32);
    for protocol in asked {
        let name = format!("parsers/{}", protocol.name);
        let ran = wander(&name, time * PARSERS / count, seed, |input| parsers::run(protocol, input));
        fewest = fewest.min(ran.runs);
        all = Ran { files: all.files + ran.files, runs: all.runs + ran.runs };
    }
    let Ran { files, runs } = all;
    println!("{count} parsers: {files} corpus files, {runs} runs ({fewest} or more each), no panic");
}

/// What a target was shown.
#[derive(Default)]
struct Ran {
    files: usize,
    runs: u64,
}

/// Shows a target its corpus, then mutations of it for `time`.
fn wander(name: &str, time: Duration, seed: u64, target: impl Fn(&[u8])) -> Ran {
    // Anew for each target: the same seed gives a target the same inputs, however fast the others ran.
    let mut random = Random(seed);
    let corpus = corpus_of(name);
    assert!(!corpus.is_empty(), "corpus/{name} has no files");
    for input in &corpus {
        run(name, &target, input);
    }
    let until = Instant::now() + time;
    let mut runs = corpus.len() as u64;
    while Instant::now() < until {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..MUTATIONS {
            mutate(&mut input, &corpus, &mut random);
            run(name, &target, &input);
        }
        runs += MUTATIONS as u64;
    }
    Ran { files: corpus.len(), runs }
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus_of(name: &str) -> Vec<Vec<u8>> {
    let folder = home().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable corpus file")).collect()
}

fn run(name: &str, target: &impl Fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let folder = home().join("artifacts").join(name);
        let path = folder.join("smoke");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, input))
            .expect("writable artifacts folder");
        eprintln!("{name}: the input that failed is in {}", path.display());
        resume_unwind(panic);
    }
}

/// Changes, cuts, doubles, or splices in a piece of another input.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    const INTERESTING: [u8; 8] = [0, 1, 4, 6, 0x7f, 0x80, 0xfe, 0xff];
    if input.is_empty() {
        input.push(random.next() as u8);
    }
    let at = random.below(input.len());
    match random.below(8) {
        0 | 1 => input[at] = random.next() as u8,
        2 => input[at] = INTERESTING[random.below(INTERESTING.len())],
        3 => input[at] ^= 1 << random.below(8),
        4 => input[at] = input[at].wrapping_add(if random.below(2) == 0 { 1 } else { 0xff }),
        5 => input.truncate(at),
        6 => {
            let piece = input[at..].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, piece);
        }
        _ => {
            let other = &corpus[random.below(corpus.len())];
            if !other.is_empty() {
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len())..]);
            }
        }
    }
    input.truncate(LEN_MAX);
}

/// SplitMix64: small, seeded, good enough to wander.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
