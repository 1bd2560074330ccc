//! Who reports flows? NetFlow (RFC 3954 and its elders), IPFIX (RFC 7011), sFlow (sflow.org, version 5).

use super::routing::named;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

named! {
    /// NetFlow and IPFIX.
    NETFLOW = "netflow", Network, &[Probe { over: Over::Udp, first: First::Of(&[0]), look: netflow }];
    /// Samples of packets and counters.
    SFLOW = "sflow", Network, &[Probe { over: Over::Udp, first: First::Of(&[0]), look: sflow }];
}

fn netflow(peek: &Peek<'_>) -> Match {
    let (count, len) = (usize::from(peek.be16(2)), peek.bytes.len());
    let fixed = |head: usize, each: usize| {
        let is_time = peek.be32(8) > 900_000_000;
        Match::of((1..=60).contains(&count) && len >= head + count * each && is_time, 92)
    };
    match peek.be16(0) {
        1 => fixed(16, 52),
        5 => fixed(24, 48),
        6 | 7 => fixed(24, 52),
        9 => {
            // RFC 3954 5: up to a set of templates (0, 1) or of data (above 255), whose length fits.
            let (set, set_len) = (peek.be16(20), usize::from(peek.be16(22)));
            let is_set = (set <= 1 || set >= 256) && set_len >= 4 && set_len + 20 <= len;
            Match::of((1..=512).contains(&count) && is_set && peek.be32(8) > 900_000_000, 93)
        }
        10 => {
            // RFC 7011 3.1: here the second number is the length of all.
            let (set, set_len) = (peek.be16(16), usize::from(peek.be16(18)));
            let is_set =
                count == 16 || ((2..=3).contains(&set) || set >= 256) && set_len >= 4 && set_len + 16 <= len;
            Match::of(count == len && count >= 16 && is_set, 93)
        }
        _ => Match::No,
    }
}

fn sflow(peek: &Peek<'_>) -> Match {
    let (version, kind) = (peek.be32(0), peek.be32(4));
    let agent = match kind {
        1 => 4,
        2 => 16,
        _ => return Match::No,
    };
    // Version 5 has a sub agent between address and sequence number.
    let at = 8 + agent + if version == 5 { 12 } else { 8 };
    let samples = peek.be32(at);
    let fits = peek.bytes.len() >= at + 4 && peek.bytes.len().is_multiple_of(4);
    Match::of(matches!(version, 2 | 4 | 5) && fits && (1..=256).contains(&samples), 93)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 9_000, false)
    }

    #[test]
    fn reports_are_recognised() {
        let mut five = vec![0, 5, 0, 1, 0, 0, 0, 1, 0x60, 0, 0, 0];
        five.resize(72, 0);
        assert_eq!(netflow(&peek(&five)), Match::Yes(92));
        assert_eq!(netflow(&peek(&five[..71])), Match::No);
        let ten = [0, 10, 0, 20, 0x60, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 4];
        assert_eq!(netflow(&peek(&ten)), Match::Yes(93));
        let mut sample =
            vec![0, 0, 0, 5, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 0, 1];
        assert_eq!(sflow(&peek(&sample)), Match::Yes(93));
        sample[7] = 3;
        assert_eq!(sflow(&peek(&sample)), Match::No);
        for len in 0..five.len() {
            netflow(&peek(&five[..len]));
            sflow(&peek(&five[..len]));
        }
    }
}
