//! Any file of rules, and any bytes: what is read is matched, what is not has a place in the file.

use dataplane::rules::Variables;
use dataplane::rules::load::Loader;
use dataplane::rules::matcher::{Matcher, Scratch};
use dataplane::rules::transform::{Chain, OUTPUT_BYTES_MAX};

/// Reads the lines of `bytes` as rules, and shows those that can be read the bytes themselves.
pub fn run(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count() as u32;
    let mut loader = Loader::new(Variables::usual());
    loader.add("fuzzed", bytes);
    let loaded = loader.finish();
    let file = &loaded.files[0];
    assert_eq!(file.rules, file.loaded + file.replaced + file.faults.len(), "each rule is one of the three");
    assert!(file.disabled <= lines as usize);
    for fault in &file.faults {
        assert!((1..=lines).contains(&fault.line) && fault.column >= 1 && !fault.detail.is_empty(), "{fault}");
    }
    let mut seen = Vec::new();
    for rule in &loaded.rules {
        let mut scratch = Scratch::of(rule);
        for part in &rule.parts {
            let chain = Chain::new(&part.seen.transforms).expect("it was tried when it was read");
            chain.apply(bytes, &mut seen);
            assert!(seen.len() <= OUTPUT_BYTES_MAX + part.seen.transforms.len());
            let matcher = Matcher::new(part).expect("it was tried when it was read");
            let _ = matcher.matches(&seen, &mut scratch);
        }
    }
}
