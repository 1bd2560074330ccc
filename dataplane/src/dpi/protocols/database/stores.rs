//! Which store of keys, documents, columns or log entries is this? Told by the first message of each.

mod memcached;
mod redis;

use crate::dpi::cursor::Cursor;
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

macro_rules! store {
    ($(#[$doc:meta])* $name:ident, $text:literal, $($over:ident $first:expr => $look:expr),+) => {
        $(#[$doc])*
        pub static $name: Protocol = Protocol {
            name: $text,
            eve: None,
            category: Category::Database,
            probes: &[$(Probe { over: Over::$over, first: $first, look: $look }),+],
            parser: None,
        };
    };
}

/// MongoDB's wire protocol.
pub static MONGODB: Protocol = Protocol {
    name: "mongodb",
    eve: None,
    category: Category::Database,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look: look_at_mongodb }],
    parser: Some(|| Box::<super::mongodb::Commands>::default()),
};

/// Redis, and whatever else speaks RESP.
pub static REDIS: Protocol = Protocol {
    name: "redis",
    eve: None,
    category: Category::Database,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"*+-:$_%~"), look: look_at_redis }],
    parser: Some(redis::parser),
};

/// Memcached, as text or binary.
pub static MEMCACHED: Protocol = Protocol {
    name: "memcached",
    eve: None,
    category: Category::Database,
    probes: &[
        Probe::tcp(First::In(b'A', b'z'), look_at_memcached),
        Probe::tcp(First::Of(&[0x80, 0x81]), look_at_memcached_binary),
        Probe::udp(First::Any, look_at_memcached_datagram),
    ],
    parser: Some(memcached::parser),
};
store!(
    /// DRDA: DB2, Derby, Informix.
    DRDA, "drda", Tcp First::Of(&[0]) => look_at_drda
);
store!(
    /// Oracle's TNS.
    ORACLE, "oracle", Tcp First::Any => look_at_oracle
);
store!(
    /// Raft as C-Raft and dqlite speak it.
    RAFT, "raft", Tcp First::Of(&[1, 2, 3, 4, 5, 6]) => look_at_raft
);
store!(
    /// Z39.50, the catalogue search of libraries (ISO 23950).
    Z3950, "z3950", Tcp First::Of(&[0xb4, 0xb5]) => look_at_z3950
);
store!(
    /// Gearman's jobs.
    GEARMAN, "gearman", Tcp First::Of(b"\0") => look_at_gearman
);
store!(
    /// ClickHouse's native protocol.
    CLICKHOUSE, "clickhouse", Tcp First::Of(&[0]) => look_at_clickhouse
);
store!(
    /// Bolt: Neo4j and Memgraph.
    BOLT, "bolt", Tcp First::Of(&[0x60]) => look_at_bolt
);
store!(
    /// Aerospike.
    AEROSPIKE, "aerospike", Tcp First::Of(&[2]) => look_at_aerospike
);
store!(
    /// ZooKeeper's clients.
    ZOOKEEPER, "zookeeper", Tcp First::Of(b"\0rscdmw") => look_at_zookeeper
);
store!(
    /// Hazelcast.
    HAZELCAST, "hazelcast", Tcp First::Of(b"CH") => look_at_hazelcast
);
store!(
    /// Firebird and InterBase.
    FIREBIRD, "firebird", Tcp First::Of(&[0]) => look_at_firebird
);
store!(
    /// SAP HANA's SQL.
    HANA, "hana", Tcp First::Of(&[0xff]) => look_at_hana
);
store!(
    /// InfluxDB's line protocol without HTTP.
    INFLUXDB, "influxdb", TcpOrUdp First::In(b'A', b'z') => look_at_influxdb
);
store!(
    /// Apache Ignite's thin clients.
    IGNITE, "ignite", Tcp First::Any => look_at_ignite
);
store!(
    /// CouchBase's binary protocol beyond Memcached's.
    COUCHBASE, "couchbase", Tcp First::Of(&[0x80, 0x81]) => look_at_couchbase
);
store!(
    /// Informix's SQLI.
    INFORMIX, "informix", Tcp First::Of(&[0]) => look_at_informix
);

/// MongoDB manual, wire protocol: four little-endian numbers, the last of which is one of a few operations.
fn look_at_mongodb(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<16>() else { return Match::No };
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let operation = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
    if !(16..=48_000_000).contains(&len) || (peek.bytes.len() as u32) > len.saturating_mul(64) {
        return Match::No;
    }
    match operation {
        // OP_REPLY, and the old ones.
        1 => Match::of(peek.le32(8) != 0 && len >= 36 && peek.has_port(27_017), 85),
        2001..=2007 => {
            // A name of a collection, `database.collection`, after the flags.
            let name = Cursor::new(peek.bytes.get(20..).unwrap_or_default()).until_zero();
            let is_name =
                name.is_some_and(|name| name.contains(&b'.') && name.iter().all(|byte| *byte >= b' '));
            Match::of(is_name || matches!(operation, 2005 | 2007), 93)
        }
        2010..=2012 => Match::of(len >= 26, 88),
        // OP_MSG: flags of which only bits 0, 1 and 16 are used, then a section.
        2013 => Match::sure(
            peek.le32(16) & !0x0001_0003 == 0 && peek.bytes.get(20).is_some_and(|kind| *kind <= 2),
        ),
        _ => Match::No,
    }
}

/// RESP: `*2\r\n$4\r\nPING`; a simple answer says little and is left to the other direction.
fn look_at_redis(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let Some((kind, rest)) = bytes.split_first() else { return Match::No };
    match kind {
        b'*' | b'%' | b'~' | b'$' => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || digits > 7 {
                return Match::of(rest.starts_with(b"-1\r\n") && peek.has_port(6379), 85);
            }
            match rest.get(digits..) {
                Some([b'\r', b'\n', next, ..]) if *kind != b'$' => Match::sure(b"$*:+-%~#_,(".contains(next)),
                Some([b'\r', b'\n', ..]) => {
                    Match::of(peek.other.first() == Some(&b'*') || peek.has_port(6379), 85)
                }
                Some([] | [b'\r']) if bytes.len() < 12 => Match::More,
                _ => Match::No,
            }
        }
        b'+' => {
            let known = [&b"+PONG\r\n"[..], b"+OK\r\n", b"+FULLRESYNC ", b"+CONTINUE"];
            let is = known.iter().any(|text| bytes.starts_with(text));
            // POP3 says +OK as well, followed by a blank.
            Match::of(
                is && (peek.has_port(6379) || peek.other.starts_with(b"*") || bytes.starts_with(b"+PONG")),
                85,
            )
        }
        b'-' => {
            let known = [
                &b"-ERR "[..],
                b"-NOAUTH ",
                b"-WRONGPASS ",
                b"-MOVED ",
                b"-DENIED ",
                b"-NOPERM ",
                b"-MISCONF ",
            ];
            let is_own = peek.has_port(6379) || peek.other.starts_with(b"*");
            let is = known.iter().any(|text| bytes.starts_with(text));
            Match::of(is && (is_own || !bytes.starts_with(b"-ERR ")), 88)
        }
        _ => Match::No,
    }
}

/// memcached, doc/protocol.txt: commands and answers of text.
fn look_at_memcached(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < 300 && peek.has_port(11_211) { Match::More } else { Match::No };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).count();
    let first = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let number = |index: usize| {
        let word = line.split(|byte| *byte == b' ').nth(index).unwrap_or_default();
        !word.is_empty() && word.iter().all(u8::is_ascii_digit)
    };
    let is_own_port = peek.has_port(11_211);
    match first {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" => {
            Match::of((5..=6).contains(&words) && number(2) && number(3) && number(4), 95)
        }
        b"cas" => Match::of((6..=7).contains(&words) && number(2) && number(4), 95),
        b"VALUE" => Match::of((4..=5).contains(&words) && number(2) && number(3), 95),
        b"STAT" => Match::of(words >= 3, 93),
        b"incr" | b"decr" => Match::of(words >= 3 && number(2), if is_own_port { 95 } else { 80 }),
        b"get" | b"gets" | b"delete" | b"touch" | b"gat" | b"mg" | b"ms" | b"md" => {
            Match::of(words >= 2 && is_own_port, 92)
        }
        b"stats" | b"flush_all" | b"version" | b"verbosity" | b"quit" => {
            Match::of(words <= 3, if is_own_port { 92 } else { 45 })
        }
        // Meta commands (doc/protocol.txt) and what answers them.
        b"ma" | b"me" => Match::of(words >= 2 && is_own_port, 92),
        b"VA" | b"HD" | b"EN" | b"NF" | b"NS" | b"EX" | b"MN" | b"ME" => {
            let asked = peek.other.get(..3).unwrap_or_default();
            Match::of(matches!(asked, b"mg " | b"ms " | b"md " | b"ma " | b"me " | b"mn\r" | b"mn\n"), 92)
        }
        b"END" if [&b"get "[..], b"gets ", b"gat "].iter().any(|asked| peek.other.starts_with(asked)) => {
            Match::Yes(85)
        }
        b"VERSION" if peek.other.starts_with(b"version") => Match::Yes(92),
        b"STORED" | b"NOT_STORED" | b"END" | b"DELETED" | b"NOT_FOUND" | b"VERSION" | b"EXISTS"
        | b"TOUCHED" => Match::of(is_own_port, 92),
        _ => Match::No,
    }
}

/// memcached, doc/protocol-binary.txt: 24 bytes; of the body, extras and key are parts.
fn look_at_memcached_binary(peek: &Peek<'_>) -> Match {
    let Some(&[_, operation, k0, k1, extras, kind, ..]) = peek.bytes.first_chunk::<24>() else {
        return Match::No;
    };
    let body = peek.be32(8) as usize;
    let key = usize::from(u16::from_be_bytes([k0, k1]));
    let fits = key + usize::from(extras) <= body && body < 16_000_000 && key <= 250 && extras <= 24;
    let is_whole = peek.bytes.len() <= body + 24 || peek.bytes.get(body + 24) == peek.bytes.first();
    Match::of(fits && kind == 0 && operation <= 0x40 && is_whole, if peek.has_port(11_211) { 92 } else { 80 })
}

/// Eight bytes before the text: request, number, count of datagrams, 0. A request is whole in one.
fn look_at_memcached_datagram(peek: &Peek<'_>) -> Match {
    let (nth, count) = (peek.be16(2), peek.be16(4));
    if peek.be16(6) != 0 || nth >= count {
        return Match::No;
    }
    let text = peek.bytes.get(8..).unwrap_or_default();
    let asks = [
        &b"get "[..],
        b"gets ",
        b"set ",
        b"add ",
        b"delete ",
        b"incr ",
        b"stats",
        b"version",
        b"mg ",
        b"ms ",
    ];
    let answers = [&b"VALUE "[..], b"STAT ", b"END\r\n", b"STORED\r\n", b"VERSION ", b"DELETED\r\n"];
    let begins = |known: &[&[u8]]| known.iter().any(|word| text.starts_with(word));
    let is_ask = begins(&asks) && count == 1 && text.ends_with(b"\r\n");
    Match::of(is_ask || begins(&answers), if peek.has_port(11_211) { 95 } else { 88 })
}

/// The Open Group, DRDA volume 3, DDM: length, 0xd0, format, correlation, length, code point.
fn look_at_drda(peek: &Peek<'_>) -> Match {
    let Some(&[high, low, 0xd0, format, _, _, h2, l2, ..]) = peek.bytes.first_chunk::<10>() else {
        return Match::No;
    };
    let (len, inner) = (u16::from_be_bytes([high, low]), u16::from_be_bytes([h2, l2]));
    Match::sure(
        format & 0x0f >= 1 && format & 0x0f <= 4 && format & 0x80 == 0 && len == inner.saturating_add(6),
    )
}

/// TNS: length (16 bits, or 32 since version 315), checksum 0, type, reserved, checksum 0.
fn look_at_oracle(peek: &Peek<'_>) -> Match {
    let Some(&[_, _, _, _, kind, flags, 0, 0]) = peek.bytes.first_chunk::<8>() else { return Match::No };
    let short = usize::from(peek.be16(0));
    let long = peek.be32(0) as usize;
    let len = if short == 0 {
        long
    } else if peek.be16(2) == 0 {
        short
    } else {
        return Match::No;
    };
    if len < 8 || flags > 0x40 {
        return Match::No;
    }
    match kind {
        // Connect: version and what it is compatible with.
        1 => {
            let (version, compatible) = (peek.be16(8), peek.be16(10));
            let is = (300..=400).contains(&version) && (300..=400).contains(&compatible);
            Match::sure(is && compatible <= version)
        }
        // Accept: version; refuse: reason, then text.
        2 => Match::of((300..=400).contains(&peek.be16(8)) && len == peek.bytes.len(), 92),
        4 => Match::of(has_word(peek.bytes, b"(DESCRIPTION="), 95),
        5 => Match::of(has_word(peek.bytes, b"(ADDRESS="), 95),
        // Resend.
        11 => Match::of(len == 8 && peek.bytes.len() == 8, 82),
        6 => Match::of(peek.has_port(1521) && len >= peek.bytes.len(), 82),
        _ => Match::No,
    }
}

/// C-Raft, src/uv_encoding: words of 64 bits; a peer first says version 1, its id, the length of its address and it.
fn look_at_raft(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<24>() else {
        let is = peek.bytes.len() >= 8 && peek.bytes[1..8].iter().all(|byte| *byte == 0);
        return if is { Match::More } else { Match::No };
    };
    if head[1..8].iter().any(|byte| *byte != 0) || head[18..24].iter().any(|byte| *byte != 0) {
        return Match::No;
    }
    let len = usize::from(u16::from_le_bytes([head[16], head[17]]));
    let address = peek.bytes.get(24..24 + len);
    let is_address = address.is_some_and(|text| {
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let (text, padding) = text.split_at(end);
        text.contains(&b':')
            && text.iter().all(u8::is_ascii_graphic)
            && padding.len() <= 8
            && padding.iter().all(|byte| *byte == 0)
    });
    Match::sure(head[0] == 1 && len % 8 == 0 && (8..=256).contains(&len) && is_address)
}

/// ISO 23950: BER, initializeRequest [20] or its answer [21], the protocol's version [3] first, or a reference [2].
fn look_at_z3950(peek: &Peek<'_>) -> Match {
    let Some((len, rest)) = peek.bytes.get(1..).and_then(ber_length) else { return Match::No };
    let is_whole = rest.len() == len || len == usize::MAX;
    match rest {
        [0x83, 2, ..] | [0x82, _, ..] => Match::sure(is_whole || rest.len() < len),
        _ => Match::No,
    }
}

/// Length and what follows; `usize::MAX` for the indefinite form.
fn ber_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match first {
        0..=0x7f => Some((usize::from(*first), rest)),
        0x80 => Some((usize::MAX, rest)),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest)),
        0x82 => {
            rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))
        }
        _ => None,
    }
}

/// gearman.org/protocol: `\0REQ` or `\0RES`, type, length.
fn look_at_gearman(peek: &Peek<'_>) -> Match {
    match peek.bytes.first_chunk::<8>() {
        Some([0, b'R', b'E', b'Q' | b'S', 0, 0, 0, kind]) => Match::sure((1..=42).contains(kind)),
        _ => Match::No,
    }
}

/// Hello: 0, then the client's name with its length, as in `\0\x11ClickHouse client`.
fn look_at_clickhouse(peek: &Peek<'_>) -> Match {
    match peek.bytes {
        [0, len, name @ ..] => {
            let name = name.get(..usize::from(*len)).unwrap_or(name);
            Match::sure(starts_with_word(name, b"ClickHouse"))
        }
        _ => Match::No,
    }
}

/// Bolt specification, handshake: 60 60 b0 17 and four versions.
fn look_at_bolt(peek: &Peek<'_>) -> Match {
    match peek.bytes.first_chunk::<4>() {
        Some(magic) => Match::of(*magic == [0x60, 0x60, 0xb0, 0x17], 98),
        None => Match::More,
    }
}

/// Version 2, type 1 (info), 3 (message) or 4 (compressed), 48 bits of length.
fn look_at_aerospike(peek: &Peek<'_>) -> Match {
    let Some(&[2, kind, 0, 0, a, b, c, d]) = peek.bytes.first_chunk::<8>() else { return Match::No };
    let len = u64::from(u32::from_be_bytes([a, b, c, d]));
    let fits = peek.bytes.len() as u64 == len + 8;
    let text = peek.bytes.get(8..).unwrap_or_default();
    match kind {
        1 => Match::of(
            fits && text.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b'\n' | b'\t' | b' ')),
            90,
        ),
        // A message's header has 22 bytes and says so.
        3 => Match::of(fits && text.first() == Some(&22), 90),
        _ => Match::No,
    }
}

/// ConnectRequest: length 44 or 45, version 0, last transaction, timeout, session, a password of 16 bytes.
fn look_at_zookeeper(peek: &Peek<'_>) -> Match {
    let is_own_port = peek.has_port(2181);
    if let [0, 0, 0, len @ (44 | 45), 0, 0, 0, 0, ..] = *peek.bytes {
        let is_whole = peek.bytes.len() == usize::from(len) + 4;
        return Match::of(is_whole && peek.be32(28) == 16 && peek.be32(16) <= 86_400_000, 93);
    }
    let words = [&b"ruok"[..], b"stat", b"conf", b"cons", b"dump", b"mntr", b"srvr", b"wchs"];
    let is_word = words.iter().any(|word| peek.bytes.trim_ascii_end() == *word);
    Match::of(is_word && is_own_port, 90)
}

/// A client introduces itself by `CP2`, a member by `HZC`; the first message follows.
fn look_at_hazelcast(peek: &Peek<'_>) -> Match {
    let is_own_port = matches!(peek.to_port(), 5701..=5710);
    match peek.bytes {
        [b'C', b'P', b'2', 0..=0x1f, ..] => Match::Yes(if is_own_port { 93 } else { 75 }),
        b"CP2" | b"HZC" => Match::of(is_own_port, 90),
        [b'H', b'Z', b'C', 0..=0x1f, ..] => Match::Yes(if is_own_port { 93 } else { 75 }),
        _ => Match::No,
    }
}

/// op_connect (1), op_attach (19), connect version 2 or 3, architecture, then the database's path.
fn look_at_firebird(peek: &Peek<'_>) -> Match {
    let is = peek.be32(0) == 1 && peek.be32(4) == 19 && matches!(peek.be32(8), 2 | 3) && peek.be32(12) <= 64;
    Match::sure(is && peek.bytes.len() >= 24)
}

/// SAP HANA SQL Command Network Protocol: the greeting of 14 bytes.
fn look_at_hana(peek: &Peek<'_>) -> Match {
    match peek.bytes.first_chunk::<6>() {
        Some(head) => Match::of(*head == [0xff, 0xff, 0xff, 0xff, 4, 0x20] && peek.bytes.len() == 14, 96),
        None => Match::No,
    }
}

/// `measurement,tag=value field=1.5 1465839830100400200\n`.
fn look_at_influxdb(peek: &Peek<'_>) -> Match {
    let Some(end) = peek.bytes.iter().position(|byte| *byte == b'\n') else { return Match::No };
    let line = peek.bytes.get(..end).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(name), Some(fields), Some(time), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Match::No;
    };
    let has_pairs = |text: &[u8]| text.split(|byte| *byte == b',').all(|pair| pair.contains(&b'='));
    let tags = name.iter().position(|byte| *byte == b',').and_then(|comma| name.get(comma + 1..));
    let is_time = (16..=20).contains(&time.len()) && time.iter().all(u8::is_ascii_digit);
    Match::of(is_time && tags.is_some_and(has_pairs) && has_pairs(fields), 90)
}

/// Handshake: length, 1, version 1.x.0, 2 for a thin client.
fn look_at_ignite(peek: &Peek<'_>) -> Match {
    let Some(&[_, _, 0, 0, 1, 1, 0, minor, 0, 0, 0, 2]) = peek.bytes.first_chunk::<12>() else {
        return Match::No;
    };
    Match::of(minor <= 7 && peek.le32(0) as usize + 4 == peek.bytes.len(), 92)
}

/// Couchbase's HELO (1f), SASL and SELECT_BUCKET (89) with Memcached's header.
fn look_at_couchbase(peek: &Peek<'_>) -> Match {
    let Some(&[_, operation, k0, k1, 0, 0, ..]) = peek.bytes.first_chunk::<24>() else { return Match::No };
    let body = peek.be32(8) as usize;
    let fits = usize::from(u16::from_be_bytes([k0, k1])) <= body && peek.bytes.len() >= 24 && body < 4_096;
    let is_own = matches!(operation, 0x1f | 0x89 | 0xb5) || peek.has_port(11_210);
    Match::of(fits && is_own && peek.bytes.len() >= body.min(1_000), 93)
}

/// SQLI: length, type 1, 0x3c and the word `sqlexec`.
fn look_at_informix(peek: &Peek<'_>) -> Match {
    let text = peek.bytes.get(..64.min(peek.bytes.len())).unwrap_or_default();
    Match::of(has_word(text, b"IEEEI\0") || has_word(text, b"sqlexec\0"), 92)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{stream, told_apart};

    type Look = fn(&Peek<'_>) -> Match;

    /// A probe and a first message that it knows, on a port that says nothing.
    const CASES: &[(&str, Look, &[u8])] = &[
        ("mongodb", look_at_mongodb, b"\x3b\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0admin.$cmd\0\0\0"),
        ("redis", look_at_redis, b"*1\r\n$4\r\nPING\r\n"),
        ("memcached", look_at_memcached, b"set key 0 900 4\r\ndata\r\n"),
        (
            "cassandra",
            super::super::cassandra::look,
            b"\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0",
        ),
        ("drda", look_at_drda, b"\0\x26\xd0\x41\0\x01\0\x20\x10\x41"),
        ("oracle", look_at_oracle, b"\0\xd4\0\0\x01\0\0\0\x01\x3b\x01\x2c\x0c\x41"),
        ("gearman", look_at_gearman, b"\0REQ\0\0\0\x01\0\0\0\0"),
        ("clickhouse", look_at_clickhouse, b"\0\x11ClickHouse client\x15"),
        ("bolt", look_at_bolt, b"\x60\x60\xb0\x17\0\0\0\x04"),
        ("z3950", look_at_z3950, b"\xb4\x09\x83\x02\0\xe0\x84\x03\0\xc1\xa2"),
        ("influxdb", look_at_influxdb, b"cpu,host=a load=1.5 1465839830100400200\n"),
    ];

    #[test]
    fn first_messages_are_recognised_and_cut_ones_do_no_harm() {
        told_apart(CASES);
    }

    #[test]
    fn memcached_answers_are_known_by_what_they_answer() {
        let answer = |other, bytes| {
            look_at_memcached(&Peek { way: crate::flow::Direction::Reverse, other, ..stream(bytes) })
        };
        assert_eq!(answer(b"mg a v\r\n", b"VA 2\r\nhi\r\n"), Match::Yes(92));
        assert_eq!(answer(b"ms a 2\r\nhi\r\n", b"HD\r\n"), Match::Yes(92));
        assert_eq!(answer(b"get a\r\n", b"END\r\n"), Match::Yes(85));
        assert_eq!(answer(b"version\r\n", b"VERSION 1.6.18\r\n"), Match::Yes(92));
        assert_eq!(answer(b"hello\r\n", b"HD\r\n"), Match::No);
    }
}
