//! What is in a DNS message? Header, names, questions and records (RFC 1035 4), bounded whatever the bytes say.

/// Wire length of a header.
pub(super) const HEADER_BYTES: usize = 12;

/// A name has at most 255 bytes (RFC 1035 2.3.4); what is longer is cut.
const NAME_BYTES_MAX: usize = 255;

/// Labels of one name: 127 of one byte fill 255 bytes. Each jump of compression counts as one, which ends loops.
const LABELS_MAX: u32 = 160;

/// Records of one message that are kept.
pub(super) const RECORDS_MAX: usize = 48;

/// The header (RFC 1035 4.1.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
    /// Questions, answers, authorities, additional records.
    pub(super) counts: [u16; 4],
}

impl Header {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let number = |at: usize| be16(message, at);
        Some(Self {
            id: number(0)?,
            flags: number(2)?,
            counts: [number(4)?, number(6)?, number(8)?, number(10)?],
        })
    }

    pub(super) const fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(super) const fn opcode(self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    pub(super) const fn rcode(self) -> u16 {
        self.flags & 0xf
    }

    /// The one bit that stayed reserved (RFC 6895 2).
    pub(super) const fn z(self) -> bool {
        self.flags & 0x40 != 0
    }

    /// Fewest bytes that questions and records of these counts take.
    pub(super) const fn least_bytes(self) -> usize {
        let [questions, answers, authorities, additional] = self.counts;
        HEADER_BYTES
            + questions as usize * 5
            + (answers as usize + authorities as usize + additional as usize) * 11
    }
}

/// A name with dots between its labels and none at its end.
#[derive(Debug)]
pub(super) struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
    /// Longer than names may be.
    pub(super) is_cut: bool,
}

impl Name {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; NAME_BYTES_MAX], len: 0, is_cut: false }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.len = 0;
        self.is_cut = false;
    }

    fn push(&mut self, label: &[u8]) {
        if self.len > 0 {
            self.copy(b".");
        }
        self.copy(label);
    }

    fn copy(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_cut = true,
        }
    }

    /// Reads the name at `at`; returns where what follows it begins.
    pub(super) fn read(&mut self, message: &[u8], at: usize) -> Option<usize> {
        self.clear();
        walk(message, at, |label| self.push(label))
    }
}

/// Visits the labels of the name at `at`; returns where what follows it begins.
pub(super) fn walk(message: &[u8], mut at: usize, mut visit: impl FnMut(&[u8])) -> Option<usize> {
    let mut after_first_jump = None;
    for _ in 0..LABELS_MAX {
        let len = *message.get(at)?;
        match len >> 6 {
            0 if len == 0 => return Some(after_first_jump.unwrap_or(at + 1)),
            0 => {
                let label = message.get(at + 1..at + 1 + usize::from(len))?;
                visit(label);
                at += 1 + label.len();
            }
            // RFC 1035 4.1.4.
            3 => {
                let low = *message.get(at + 1)?;
                after_first_jump.get_or_insert(at + 2);
                at = usize::from(len & 0x3f) << 8 | usize::from(low);
            }
            _ => return None,
        }
    }
    None
}

/// Where a name ends, without following it.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..LABELS_MAX {
        let len = *message.get(at)?;
        match len >> 6 {
            0 if len == 0 => return Some(at + 1),
            0 => at += 1 + usize::from(len),
            3 => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
    None
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) name_at: usize,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) end: usize,
}

impl Question {
    pub(super) fn read(message: &[u8], at: usize) -> Option<Self> {
        let end = skip_name(message, at)?;
        Some(Self { name_at: at, kind: be16(message, end)?, class: be16(message, end + 2)?, end: end + 4 })
    }
}

/// A resource record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rr {
    pub(super) name_at: usize,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    pub(super) data_at: usize,
    pub(super) data_end: usize,
}

impl Rr {
    pub(super) fn read(message: &[u8], at: usize) -> Option<Self> {
        let head = skip_name(message, at)?;
        let data_at = head + 10;
        let data_end = data_at + usize::from(be16(message, head + 8)?);
        message.get(data_at..data_end)?;
        Some(Self {
            name_at: at,
            kind: be16(message, head)?,
            class: be16(message, head + 2)?,
            ttl: be32(message, head + 4)?,
            data_at,
            data_end,
        })
    }

    pub(super) fn data<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message.get(self.data_at..self.data_end).unwrap_or_default()
    }
}

/// The records of one section.
#[derive(Debug)]
pub(super) struct Section {
    records: [Rr; RECORDS_MAX],
    len: usize,
    /// Where the next section begins; `None` where this one is broken or longer than what is kept.
    pub(super) end: Option<usize>,
    pub(super) is_broken: bool,
}

impl Section {
    pub(super) fn read(message: &[u8], at: Option<usize>, count: u16) -> Self {
        let mut section = Self { records: [Rr::default(); RECORDS_MAX], len: 0, end: at, is_broken: false };
        for _ in 0..count {
            let Some(at) = section.end else { break };
            let Some(rr) = Rr::read(message, at) else {
                section.is_broken = true;
                section.end = None;
                break;
            };
            match section.records.get_mut(section.len) {
                Some(slot) => {
                    *slot = rr;
                    section.len += 1;
                    section.end = Some(rr.data_end);
                }
                None => section.end = None,
            }
        }
        section
    }

    pub(super) fn records(&self) -> &[Rr] {
        self.records.get(..self.len).unwrap_or_default()
    }
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// Names of record types, as Suricata's EVE has them (IANA's registry of resource record types).
pub(super) const fn type_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        1 => "A",
        2 => "NS",
        3 => "MD",
        4 => "MF",
        5 => "CNAME",
        6 => "SOA",
        7 => "MB",
        8 => "MG",
        9 => "MR",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        14 => "MINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        19 => "X25",
        20 => "ISDN",
        21 => "RT",
        22 => "NSAP",
        23 => "NSAPPTR",
        24 => "SIG",
        25 => "KEY",
        26 => "PX",
        27 => "GPOS",
        28 => "AAAA",
        29 => "LOC",
        30 => "NXT",
        33 => "SRV",
        34 => "ATMA",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        38 => "A6",
        39 => "DNAME",
        41 => "OPT",
        42 => "APL",
        43 => "DS",
        44 => "SSHFP",
        45 => "IPSECKEY",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        49 => "DHCID",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        55 => "HIP",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        62 => "CSYNC",
        63 => "ZONEMD",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        253 => "MAILB",
        254 => "MAILA",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        32_769 => "DLV",
        _ => return None,
    })
}

/// Names of response codes (RFC 6895 2.3).
pub(super) const fn rcode_name(rcode: u16) -> Option<&'static str> {
    Some(match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        _ => return None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn compression_is_followed_and_its_loops_end() {
        let message = b"\x03www\x07example\x03org\x00\x01a\xc0\x04\xc0\x15\x00";
        let mut name = Name::new();
        assert_eq!(name.read(message, 0), Some(17));
        assert_eq!(name.as_bytes(), b"www.example.org");
        assert_eq!(name.read(message, 17), Some(21));
        assert_eq!(name.as_bytes(), b"a.example.org");
        // A pointer to itself, and one beyond the end.
        assert_eq!(name.read(b"\xc0\x00", 0), None);
        assert_eq!(name.read(b"\x01a\xc0\x00", 0), None);
        assert_eq!(name.read(b"\xc0\x7f", 0), None);
        assert_eq!(name.read(b"\x40a", 0), None);
    }

    #[test]
    fn long_names_are_cut() {
        let mut message = Vec::new();
        for _ in 0..10 {
            message.push(63);
            message.extend_from_slice(&[b'x'; 63]);
        }
        message.push(0);
        let mut name = Name::new();
        assert_eq!(name.read(&message, 0), Some(641));
        assert!(name.is_cut && name.as_bytes().len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn sections_end_where_their_records_are_broken() {
        let record = b"\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04";
        let section = Section::read(record, Some(0), 2);
        assert_eq!(section.records().len(), 1);
        assert_eq!(section.records().first().unwrap().data(record), [1, 2, 3, 4]);
        assert!(section.is_broken && section.end.is_none());
    }
}
