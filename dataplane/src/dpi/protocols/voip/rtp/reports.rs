//! Who plays, and how well does it arrive? The reports of one direction (RFC 3550 6), told as `rtcp` when the flow ends.
//!
//! Encrypted ones (RFC 3711 3.4) are counted: of them no more than the first packet's head is in clear.

use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Fields, Kept};
use crate::flow::Direction;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// Packets that a datagram may have.
const PACKETS_MAX: usize = 16;

/// The reports of one direction.
#[derive(Default)]
pub(super) struct Reports {
    source: Option<u32>,
    sender_reports: u32,
    receiver_reports: u32,
    is_encrypted: bool,
    has_bye: bool,
    name: Kept,
    /// What was last said of a stream that arrives.
    arrival: Option<Arrival>,
}

/// A report block (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy)]
struct Arrival {
    source: u32,
    /// Of 256.
    lost_of_late: u8,
    lost: i32,
    jitter: u32,
}

impl Reports {
    /// A datagram of them.
    pub(super) fn packet(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let mut at = Cursor::new(bytes);
        let Some((_, kind, body)) = one(&mut at) else {
            cx.anomaly("invalid_length");
            return;
        };
        if let Some(source) = Cursor::new(body).be32() {
            self.source.get_or_insert(source);
        }
        // A compound that does not fill its datagram is encrypted behind the first head.
        let (mut count, mut is_whole) = (1, true);
        while is_whole && !at.is_empty() {
            count += 1;
            is_whole = count <= PACKETS_MAX && one(&mut at).is_some();
        }
        if !is_whole {
            self.is_encrypted = true;
            self.count(kind);
            return;
        }
        let mut at = Cursor::new(bytes);
        while let Some((count, kind, body)) = one(&mut at) {
            self.count(kind);
            if self.read(count, kind, Cursor::new(body)).is_none() {
                cx.anomaly("malformed_message");
            }
        }
    }

    fn count(&mut self, kind: u8) {
        match kind {
            SENDER_REPORT => self.sender_reports += 1,
            RECEIVER_REPORT => self.receiver_reports += 1,
            _ => {}
        }
    }

    fn read(&mut self, count: u8, kind: u8, mut at: Cursor<'_>) -> Option<()> {
        match kind {
            SENDER_REPORT | RECEIVER_REPORT => {
                // The source, and of senders the time and what was sent.
                at.skip(if kind == SENDER_REPORT { 24 } else { 4 })?;
                for _ in 0..count {
                    let (source, word, _, jitter) = (at.be32()?, at.be32()?, at.be32()?, at.be32()?);
                    at.skip(8)?;
                    let (lost_of_late, lost) = ((word >> 24) as u8, (word << 8) as i32 >> 8);
                    self.arrival = Some(Arrival { source, lost_of_late, lost, jitter });
                }
            }
            DESCRIPTION if count > 0 => {
                at.skip(4)?;
                // RFC 3550 6.5: items up to a zero; the name comes first in nearly all.
                loop {
                    let item = at.u8()?;
                    if item == 0 {
                        break;
                    }
                    let text = at.vec8()?;
                    if item == 1 && self.name.is_empty() {
                        self.name = Kept::of(text);
                    }
                }
            }
            BYE => self.has_bye = true,
            _ => {}
        }
        Some(())
    }

    /// The flow is over.
    pub(super) fn tell(&self, way: Direction, cx: &mut Context<'_>) {
        let Some(source) = self.source else { return };
        cx.tell_with("rtcp", way, |fields| self.write(source, fields));
    }

    fn write(&self, source: u32, fields: &mut Fields) {
        fields.number("ssrc", source);
        fields.number("sender_reports", self.sender_reports);
        fields.number("receiver_reports", self.receiver_reports);
        if self.is_encrypted {
            fields.bool("encrypted", true);
        }
        if !self.name.is_empty() {
            fields.text("cname", &*self.name);
        }
        if let Some(arrival) = self.arrival {
            fields.object("report", |report| {
                report.number("ssrc", arrival.source);
                report.number("fraction_lost", arrival.lost_of_late);
                report.signed("lost", arrival.lost);
                report.number("jitter", arrival.jitter);
            });
        }
        if self.has_bye {
            fields.bool("bye", true);
        }
    }
}

/// The next packet: its count, its kind, and what follows its head (RFC 3550 6.1).
fn one<'a>(at: &mut Cursor<'a>) -> Option<(u8, u8, &'a [u8])> {
    let (first, kind, words) = (at.u8()?, at.u8()?, at.be16()?);
    let body = at.take(4 * usize::from(words))?;
    (first >> 6 == 2 && (192..=223).contains(&kind)).then_some((first & 0x1f, kind, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::told;
    use crate::dpi::protocols::voip::rtp::RTCP;
    use Direction::{Forward, Reverse};

    fn sender(blocks: &[u8]) -> Vec<u8> {
        let count = (blocks.len() / 24) as u8;
        let words = (6 + blocks.len() / 4) as u8;
        [&[0x80 | count, 200, 0, words][..], &[0, 0, 0, 9], &[7; 20], blocks].concat()
    }

    const NAME: &[u8] = b"\x81\xca\0\x04\0\0\0\x09\x01\x07a@b.org\0\0\0";
    const BYE: &[u8] = b"\x81\xcb\0\x01\0\0\0\x09";

    #[test]
    fn reports_are_gathered_by_direction() {
        let block = [&[0, 0, 0, 5, 64, 0xff, 0xff, 0xfe, 0, 0, 1, 0, 0, 0, 0, 33][..], &[0; 8]].concat();
        let payloads = [
            (Forward, [&sender(&[])[..], NAME].concat()),
            (Forward, [&sender(&block)[..], NAME, BYE].concat()),
            (Reverse, vec![0x80, 201, 0, 1, 0, 0, 0, 8]),
        ];
        let expected = [
            "rtcp ssrc=9 sender_reports=2 receiver_reports=0 cname=a@b.org \
             report={ssrc=5 fraction_lost=64 lost=-2 jitter=33} bye=true",
            "rtcp ssrc=8 sender_reports=0 receiver_reports=1",
        ];
        assert_eq!(told(&RTCP, &payloads), expected);
    }

    #[test]
    fn what_is_encrypted_is_counted_and_no_more() {
        let block = [7; 24];
        let encrypted = [&sender(&block)[..], &[0x35; 20], &[0x80, 0, 0, 1], &[9; 10]].concat();
        let expected = "rtcp ssrc=9 sender_reports=1 receiver_reports=0 encrypted=true";
        assert_eq!(told(&RTCP, &[(Forward, encrypted)]), [expected]);
    }

    #[test]
    fn what_is_cut_has_a_name() {
        let whole = sender(&[]);
        for len in 2..whole.len() {
            let records = told(&RTCP, &[(Forward, whole[..len].to_vec())]);
            assert!(records[0].contains("event=invalid_length"), "{records:?}");
        }
        // A block that is not there, a name that goes on.
        let mut lying = [sender(&[]), NAME.to_vec()].concat();
        lying[0] = 0x81;
        assert!(told(&RTCP, &[(Forward, lying.clone())])[0].contains("event=malformed_message"));
        lying[0] = 0x80;
        lying[37] = 200;
        assert!(told(&RTCP, &[(Forward, lying)])[0].contains("event=malformed_message"));
    }
}
