//! Conversations whose protocol is known after their first packets: what inspection and rules see of a day's traffic.
//!
//! Three flows of four speak TLS 1.3 (RFC 8446), one HTTP/1.1 (RFC 9112): a request, and an answer without end. What is carried is
//! random, as encrypted and compressed bytes are; the sizes are those of IMIX. Its frames of 64 bytes are what the client sends to
//! acknowledge, as in a day's traffic, or six bytes of the server's to a client that never does.

use std::net::{IpAddr, Ipv4Addr};

use super::frame::{ACK, PSH, Path, SYN, Segment, tcp};
use super::random::Random;

/// Payloads whose frames have 64, 594 and 1518 bytes with FCS.
const PAYLOADS: [usize; 12] = [SMALL, 536, SMALL, 536, SMALL, SMALL, 1_460, SMALL, 536, SMALL, 536, SMALL];
/// As many bytes as fill the shortest frame of Ethernet.
const SMALL: usize = 6;
/// Bytes of that frame without FCS.
const SHORTEST: usize = 60;

/// Who sends the frames of 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Small {
    /// The client: an acknowledgement of all that has come, without payload.
    Acknowledging,
    /// The server: six bytes. Nothing is ever acknowledged.
    Data,
}

/// Packets of conversations, in the order in which they are sent.
pub(crate) struct Conversations {
    /// Handshakes and what tells the protocol.
    pub(crate) beginnings: Vec<Vec<u8>>,
    /// What follows, of all flows by turns.
    pub(crate) rest: Vec<Vec<u8>>,
}

/// `flows` of them, each with so many packets behind its beginning.
pub(crate) fn conversations(flows: u16, packets: usize, small: Small, seed: u64) -> Conversations {
    let mut random = Random::new(seed);
    let mut all = Conversations { beginnings: Vec::new(), rest: Vec::new() };
    let mut begun: Vec<Conversation> = (0..flows).map(Conversation::new).collect();
    for one in &mut begun {
        one.begin(&mut random, &mut all.beginnings);
    }
    for turn in 0..packets {
        for (number, one) in begun.iter_mut().enumerate() {
            let len = PAYLOADS[(turn + number) % PAYLOADS.len()];
            let frame = if small == Small::Acknowledging && len == SMALL {
                let mut padded = one.send(true, &[]);
                padded.resize(SHORTEST, 0);
                padded
            } else {
                let payload = one.data(len, &mut random);
                one.send(false, &payload)
            };
            all.rest.push(frame);
        }
    }
    all
}

struct Conversation {
    path: Path,
    is_tls: bool,
    /// What client and server send next.
    next: [u32; 2],
}

impl Conversation {
    fn new(number: u16) -> Self {
        let is_tls = !number.is_multiple_of(4);
        let [high, low] = number.to_be_bytes();
        let path = Path {
            src_mac: [2, 0, 0, 0, 0, 1],
            dst_mac: [2, 0, 0, 0, 0, 2],
            src: IpAddr::V4(Ipv4Addr::new(10, 0, high, low)),
            dst: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1 + low % 200)),
            src_port: 40_000 + number % 20_000,
            dst_port: if is_tls { 443 } else { 80 },
        };
        Self { path, is_tls, next: [1_000, 2_000] }
    }

    fn begin(&mut self, random: &mut Random, out: &mut Vec<Vec<u8>>) {
        let [client, server] = self.next;
        out.push(tcp(&self.path, Segment { seq: client - 1, ack: 0, flags: SYN }, &[]));
        let answer = Segment { seq: server - 1, ack: client, flags: SYN | ACK };
        out.push(tcp(&self.path.reversed(), answer, &[]));
        out.push(self.send(true, &[]));
        let (asked, answered) = if self.is_tls {
            (client_hello(random), server_hello(random))
        } else {
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 4000000000\r\n\r\n";
            let request = "GET /files/archive.bin HTTP/1.1\r\nHost: files.example.com\r\nUser-Agent: a/1\r\nAccept: */*\r\n\r\n";
            (request.as_bytes().to_vec(), answer.as_bytes().to_vec())
        };
        out.push(self.send(true, &asked));
        out.push(self.send(false, &answered));
        out.push(self.send(true, &[]));
    }

    /// What the server carries in a packet of so many bytes.
    fn data(&self, len: usize, random: &mut Random) -> Vec<u8> {
        let mut payload = bytes(len, random);
        if self.is_tls {
            let [high, low] = ((len - 5) as u16).to_be_bytes();
            payload[..5].copy_from_slice(&[23, 3, 3, high, low]);
        }
        payload
    }

    fn send(&mut self, is_client: bool, payload: &[u8]) -> Vec<u8> {
        let own = usize::from(!is_client);
        let path = if is_client { self.path } else { self.path.reversed() };
        let flags = if payload.is_empty() { ACK } else { ACK | PSH };
        let frame = tcp(&path, Segment { seq: self.next[own], ack: self.next[1 - own], flags }, payload);
        self.next[own] = self.next[own].wrapping_add(payload.len() as u32);
        frame
    }
}

fn bytes(len: usize, random: &mut Random) -> Vec<u8> {
    (0..len).map(|_| random.below(256) as u8).collect()
}

/// A record of a handshake's message.
fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let message_len = body.len() as u16 + 4;
    let mut record = vec![22, 3, 1];
    record.extend(message_len.to_be_bytes());
    record.extend([kind, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn client_hello(random: &mut Random) -> Vec<u8> {
    let name = b"www.example.com";
    let len = (name.len() as u16).to_be_bytes();
    let list_len = (name.len() as u16 + 3).to_be_bytes();
    let server_name = extension(0, &[&list_len[..], &[0], &len, name].concat());
    let share = [&[0, 36, 0, 29, 0, 32][..], &bytes(32, random)].concat();
    let extensions = [
        server_name,
        extension(10, &[0, 2, 0, 29]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
        extension(43, &[2, 3, 4]),
        extension(51, &share),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend(bytes(32, random));
    body.push(32);
    body.extend(bytes(32, random));
    body.extend([0, 4, 0x13, 1, 0x13, 2, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    handshake(1, &body)
}

/// With the change of the cipher and a first encrypted record.
fn server_hello(random: &mut Random) -> Vec<u8> {
    let share = [&[0, 29, 0, 32][..], &bytes(32, random)].concat();
    let extensions = [extension(43, &[3, 4]), extension(51, &share)].concat();
    let mut body = vec![3, 3];
    body.extend(bytes(32, random));
    body.push(32);
    body.extend(bytes(32, random));
    body.extend([0x13, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut sent = handshake(2, &body);
    sent.extend([20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 200]);
    sent.extend(bytes(200, random));
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_sizes_of_imix_and_streams_have_no_gap() {
        for small in [Small::Data, Small::Acknowledging] {
            let all = conversations(4, 24, small, 7);
            assert_eq!((all.beginnings.len(), all.rest.len()), (4 * 6, 4 * 24));
            let count = |len: usize| all.rest.iter().filter(|frame| frame.len() + 4 == len).count();
            assert_eq!([count(64), count(594), count(1_518)], [56, 32, 8]);
            let mut next = std::collections::HashMap::new();
            for frame in all.beginnings.iter().chain(&all.rest) {
                let ends: [u8; 12] = frame[26..38].try_into().unwrap_or_default();
                let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap_or_default());
                // A SYN counts as one byte, and has 12 of options; a short frame is padded.
                let payload = usize::from(u16::from_be_bytes([frame[16], frame[17]])) - 40;
                let taken = if frame[47] & SYN == 0 { payload } else { 1 };
                if let Some(expected) = next.insert(ends, number(38) + taken as u32) {
                    assert_eq!(number(38), expected);
                }
                let other: [u8; 12] = [&ends[4..8], &ends[..4], &ends[10..], &ends[8..10]]
                    .concat()
                    .try_into()
                    .unwrap_or_default();
                if small == Small::Acknowledging && payload == 0 && frame[47] & SYN == 0 {
                    assert_eq!(next.get(&other), Some(&number(42)));
                }
            }
        }
    }
}
