//! Any file: the reader ends, with at most one error, and every record survives the parser.

use dataplane::parse::parse_frame;
use dataplane::rx::savefile::{RECORD_MAX, SavefileReader};

/// Reads `bytes` as a capture file.
pub fn run(bytes: &[u8]) {
    let Ok(mut reader) = SavefileReader::new(bytes) else { return };
    let mut records = 0;
    while let Ok(Some(record)) = reader.next() {
        assert!(record.bytes.len() <= RECORD_MAX);
        let _ = parse_frame(record.bytes, record.link);
        records += 1;
        assert!(records <= bytes.len(), "more records than bytes");
    }
    assert!(matches!(reader.next(), Ok(None)), "the end and an error are told once");
}
