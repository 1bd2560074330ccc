//! How do clients learn that there is a captive portal? What DHCP servers and routers tell them gets one option more (RFC 8910).
//!
//! DHCP offers and acknowledgements get option 114 (RFC 8910 2.1), DHCPv6 advertisements and replies option 103 (2.2), router
//! advertisements option 37 (2.3). A message that has the option already, is signed, is not whole, has a checksum that is wrong,
//! or would become longer than clients must take goes on as it is.

use super::edit::word;
use super::refuse::set_word;
use crate::parse::checksum::{ChecksumState, Sum, heal, transport_checksum};
use crate::parse::{Headers, Network, Transport, Tunnel};

/// Longest URL: the length of a DHCP option is one byte.
pub const URL_BYTES_MAX: usize = 255;

/// Ports that DHCP servers speak from (RFC 2131 4.1, RFC 9915 7.2).
const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

/// ICMPv6 type of a router advertisement (RFC 4861 4.2).
const ROUTER_ADVERTISEMENT: u8 = 134;

/// Longest IPv4 datagram that each host takes (RFC 2131 2 asks no more of DHCP clients), bytes.
const DATAGRAM_BYTES_MAX: usize = 576;

/// Longest IPv6 packet that each link carries (RFC 8200 5), bytes.
const PACKET_BYTES_MAX: usize = 1_280;

/// Where the options of DHCP begin, behind its fixed fields and the magic cookie (RFC 2131 2, RFC 2132 2).
const DHCP_OPTIONS: usize = 240;
const DHCP_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// What clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    port: u8,
    url: Box<[u8]>,
}

impl Announcement {
    /// Tells those behind `port` of the captive portal API at `url` (RFC 8908); `None`: the URL is empty, too long or no ASCII.
    #[must_use]
    pub fn new(port: u8, url: &str) -> Option<Self> {
        let fits =
            (1..=URL_BYTES_MAX).contains(&url.len()) && url.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self { port, url: url.as_bytes().into() })
    }

    /// Behind which port those are who are told.
    #[must_use]
    pub const fn port(&self) -> u8 {
        self.port
    }

    /// Whether a packet may be one that tells clients of their network.
    #[inline]
    #[must_use]
    pub const fn is_for(&self, headers: &Headers) -> bool {
        match headers.transport {
            Transport::Udp { src_port, .. } => matches!(src_port, DHCP_SERVER | DHCPV6_SERVER),
            Transport::Icmp(icmp) => icmp.kind == ROUTER_ADVERTISEMENT,
            Transport::Tcp(_) | Transport::Sctp { .. } | Transport::None => false,
        }
    }

    /// Writes the frame with the option; its length in `out`. `None`: it goes on as it is.
    #[must_use]
    pub fn write(&self, out: &mut [u8], bytes: &[u8], headers: &Headers) -> Option<usize> {
        let Network::Ip { src, .. } = headers.network else { return None };
        if headers.tunnel != Tunnel::None || headers.fragment.is_some() {
            return None;
        }
        let is_v4 = src.is_v4();
        let has_checksum = match transport_checksum(bytes, headers) {
            ChecksumState::Good => true,
            ChecksumState::Absent => false,
            ChecksumState::Partial | ChecksumState::Bad => return None,
        };
        if !is_plain(bytes, usize::from(headers.l3_offset)) {
            return None;
        }
        let (l3, payload_at) = (usize::from(headers.l3_offset), usize::from(headers.payload_offset));
        let payload = bytes.get(payload_at..usize::from(headers.end))?;
        let room = if is_v4 { DATAGRAM_BYTES_MAX } else { PACKET_BYTES_MAX };
        // One that is longer already need not become shorter, but not longer either.
        let room = (l3 + room).checked_sub(payload_at)?.max(payload.len());
        let mut message = Message { out: out.get_mut(payload_at..)?, len: 0, room };
        match headers.transport {
            Transport::Udp { src_port: DHCP_SERVER, .. } if is_v4 => self.dhcp(&mut message, payload),
            Transport::Udp { src_port: DHCPV6_SERVER, .. } if !is_v4 => self.dhcpv6(&mut message, payload),
            Transport::Icmp(_) if !is_v4 => {
                let l4 = usize::from(headers.l4_offset);
                let whole = bytes.get(l4..usize::from(headers.end))?;
                let head = payload_at.checked_sub(l4)?;
                self.advertisement(&mut message, whole, head)
            }
            _ => None,
        }?;
        let end = payload_at + message.len;
        out.get_mut(..payload_at)?.copy_from_slice(bytes.get(..payload_at)?);
        let mut longer = *headers;
        longer.end = u16::try_from(end).ok()?;
        lengthen(out, &longer, is_v4)?;
        // A checksum of UDP that was left out stays out.
        if has_checksum && !heal(out.get_mut(..end)?, &longer) {
            return None;
        }
        Some(end)
    }

    /// Option 114, before the end of the options or what a relay put there (RFC 3046 2.1 wants it last).
    fn dhcp(&self, message: &mut Message<'_>, payload: &[u8]) -> Option<()> {
        const BOOT_REPLY: u8 = 2;
        const PAD: u8 = 0;
        const END: u8 = 255;
        const MESSAGE_TYPE: u8 = 53;
        const OFFER: u8 = 2;
        const ACK: u8 = 5;
        const RELAY_AGENT: u8 = 82;
        const AUTHENTICATION: u8 = 90;
        const CAPTIVE_PORTAL: u8 = 114;
        if payload.first() != Some(&BOOT_REPLY)
            || payload.get(DHCP_OPTIONS - 4..DHCP_OPTIONS) != Some(&DHCP_COOKIE)
        {
            return None;
        }
        let (mut at, mut before, mut tells) = (DHCP_OPTIONS, None, false);
        loop {
            match *payload.get(at)? {
                END => break,
                PAD => at += 1,
                code => {
                    let len = usize::from(*payload.get(at + 1)?);
                    let value = payload.get(at + 2..at + 2 + len)?;
                    match code {
                        MESSAGE_TYPE => tells = value == [OFFER] || value == [ACK],
                        CAPTIVE_PORTAL | AUTHENTICATION => return None,
                        RELAY_AGENT => before = before.or(Some(at)),
                        _ => {}
                    }
                    at += 2 + len;
                }
            }
        }
        if !tells {
            return None;
        }
        let before = before.unwrap_or(at);
        message.put(payload.get(..before)?)?;
        message.put(&[CAPTIVE_PORTAL, u8::try_from(self.url.len()).ok()?])?;
        message.put(&self.url)?;
        message.put(payload.get(before..=at)?)?;
        // Room behind the end that was there anyway is used up first; BOOTP's shortest message stays as long as it is (RFC 1542 2.1).
        while message.len < payload.len() {
            message.put(&[PAD])?;
        }
        Some(())
    }

    /// Option 103, behind the others (RFC 9915 21.1: each its code, its length and its value).
    fn dhcpv6(&self, message: &mut Message<'_>, payload: &[u8]) -> Option<()> {
        const ADVERTISE: u8 = 2;
        const REPLY: u8 = 7;
        const AUTHENTICATION: u16 = 11;
        const CAPTIVE_PORTAL: u16 = 103;
        /// Message type and transaction identifier.
        const OPTIONS: usize = 4;
        if !matches!(*payload.first()?, ADVERTISE | REPLY) {
            return None;
        }
        let mut at = OPTIONS;
        while at < payload.len() {
            let code = word(payload, at)?;
            if code == CAPTIVE_PORTAL || code == AUTHENTICATION {
                return None;
            }
            at += 4 + usize::from(word(payload, at + 2)?);
        }
        if at != payload.len() {
            return None;
        }
        message.put(payload)?;
        message.put(&CAPTIVE_PORTAL.to_be_bytes())?;
        message.put(&u16::try_from(self.url.len()).ok()?.to_be_bytes())?;
        message.put(&self.url)
    }

    /// Option 37, behind the others (RFC 4861 4.6: each its type and its length in units of 8 bytes). `whole` is the ICMPv6 message, of
    /// which `head` bytes stand before the part that is written.
    fn advertisement(&self, message: &mut Message<'_>, whole: &[u8], head: usize) -> Option<()> {
        const CAPTIVE_PORTAL: u8 = 37;
        /// Of SEND (RFC 3971 5.2).
        const RSA_SIGNATURE: u8 = 12;
        /// Where options begin.
        const OPTIONS: usize = 16;
        let mut at = OPTIONS;
        while at < whole.len() {
            let (kind, len) = (*whole.get(at)?, usize::from(*whole.get(at + 1)?) * 8);
            if len == 0 || matches!(kind, CAPTIVE_PORTAL | RSA_SIGNATURE) {
                return None;
            }
            at += len;
        }
        if at != whole.len() {
            return None;
        }
        let units = (2 + self.url.len()).div_ceil(8);
        message.put(whole.get(head..)?)?;
        message.put(&[CAPTIVE_PORTAL, u8::try_from(units).ok()?])?;
        message.put(&self.url)?;
        for _ in 2 + self.url.len()..units * 8 {
            message.put(&[0])?;
        }
        Some(())
    }
}

/// A message that is written, up to a length.
struct Message<'a> {
    out: &'a mut [u8],
    len: usize,
    room: usize,
}

impl Message<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        if end > self.room {
            return None;
        }
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

/// Writes the lengths of IP and UDP, and the checksum of IPv4's header.
fn lengthen(out: &mut [u8], headers: &Headers, is_v4: bool) -> Option<()> {
    let (l3, l4, end) =
        (usize::from(headers.l3_offset), usize::from(headers.l4_offset), usize::from(headers.end));
    if matches!(headers.transport, Transport::Udp { .. }) {
        set_word(out, l4 + 4, end - l4)?;
    }
    if !is_v4 {
        return set_word(out, l3 + 4, end - l3 - 40);
    }
    set_word(out, l3 + 2, end - l3)?;
    set_word(out, l3 + 10, 0)?;
    let checksum = Sum::default().add_bytes(out.get(l3..l4)?).checksum();
    set_word(out, l3 + 10, usize::from(checksum))
}

/// Whether nothing but VLAN tags stands between the Ethernet addresses and IP: what else does may count bytes, too.
fn is_plain(bytes: &[u8], l3: usize) -> bool {
    const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    let mut at = 12;
    while word(bytes, at).is_some_and(|ethertype| TAGS.contains(&ethertype)) {
        at += 4;
    }
    at + 2 == l3 && matches!(word(bytes, at), Some(0x0800 | 0x86dd))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::super::craft::{
        CLIENT, CLIENT_MAC, CLIENT6, Layout, SERVER, SERVER_MAC, SERVER6, ethernet, icmp, ip_packet, udp,
    };
    use super::*;
    use crate::parse::{Protocol, parse_ethernet};
    use proptest::prelude::*;

    const URL: &str = "https://portal.example:8843/portal/api";

    /// The payload (of ICMPv6 the message) with the option, where the frame got one that is right in every length and sum.
    fn told(frame: &[u8]) -> Option<Vec<u8>> {
        let headers = parse_ethernet(frame).unwrap();
        let mut out = [0; 1_536];
        let len = Announcement::new(0, URL).unwrap().write(&mut out, frame, &headers)?;
        let longer = &out[..len];
        let read = parse_ethernet(longer).unwrap();
        assert_eq!(usize::from(read.end), len, "nothing is behind it");
        let before = transport_checksum(frame, &headers);
        assert_eq!(transport_checksum(longer, &read), before);
        let from =
            if matches!(read.transport, Transport::Icmp(_)) { read.l4_offset } else { read.payload_offset };
        Some(longer[usize::from(from)..].to_vec())
    }

    fn dhcp(kind: u8, options: &[u8]) -> Vec<u8> {
        let mut message = vec![0; DHCP_OPTIONS];
        message[0] = 2;
        message[DHCP_OPTIONS - 4..].copy_from_slice(&DHCP_COOKIE);
        message.extend([53, 1, kind]);
        message.extend(options);
        message
    }

    fn from_server(message: &[u8], summed: bool) -> Vec<u8> {
        let udp = udp(SERVER, CLIENT, 67, 68, message, summed);
        ethernet((SERVER_MAC, CLIENT_MAC), 0x0800, &ip_packet(SERVER, CLIENT, Protocol::UDP, &udp))
    }

    fn from_server6(message: &[u8]) -> Vec<u8> {
        let udp = udp(SERVER6, CLIENT6, 547, 546, message, true);
        ethernet((SERVER_MAC, CLIENT_MAC), 0x86dd, &ip_packet(SERVER6, CLIENT6, Protocol::UDP, &udp))
    }

    fn from_router(options: &[u8]) -> Vec<u8> {
        let icmp =
            icmp(SERVER6, CLIENT6, ROUTER_ADVERTISEMENT, 0, &[&[64, 0, 7, 8][..], &[0; 8], options].concat());
        ethernet((SERVER_MAC, CLIENT_MAC), 0x86dd, &ip_packet(SERVER6, CLIENT6, Protocol::ICMPV6, &icmp))
    }

    fn option(code: &[u8]) -> Vec<u8> {
        [code, URL.as_bytes()].concat()
    }

    #[test]
    fn offers_and_acknowledgements_get_option_114_before_the_end_and_before_the_relays() {
        let of_dhcp = option(&[114, URL.len() as u8]);
        for (kind, summed) in [(2, true), (5, false)] {
            let frame = from_server(&dhcp(kind, &[51, 4, 0, 0, 14, 16, 255]), summed);
            let wanted = dhcp(kind, &[&[51, 4, 0, 0, 14, 16][..], &of_dhcp, &[255]].concat());
            assert_eq!(told(&frame), Some(wanted), "{kind}");
        }
        let frame = from_server(&dhcp(5, &[82, 2, 1, 0, 255, 0, 0, 0]), true);
        assert_eq!(
            told(&frame),
            Some(dhcp(5, &[&of_dhcp[..], &[82, 2, 1, 0, 255]].concat())),
            "padding is used up"
        );
        let padded = dhcp(5, &[&[255][..], &[0; 100]].concat());
        assert_eq!(told(&from_server(&padded, true)).unwrap().len(), padded.len());
    }

    #[test]
    fn what_says_it_already_is_signed_or_is_something_else_is_left_alone() {
        let nothing = |options: &[u8], kind: u8| {
            assert_eq!(told(&from_server(&dhcp(kind, options), true)), None, "{options:?}")
        };
        nothing(&[114, 1, b'x', 255], 5);
        nothing(&[90, 1, 0, 255], 5);
        nothing(&[51, 4, 0, 0, 14, 16], 5);
        nothing(&[51, 200, 255], 5);
        nothing(&[255], 6);
        nothing(&[255], 1);
        nothing(&[&[43, 255][..], &[1; 255], &[60, 8], &[1; 8], &[255]].concat(), 5);
        let mut bad = from_server(&dhcp(5, &[255]), true);
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(told(&bad), None);
        let mut request = dhcp(5, &[255]);
        request[0] = 1;
        assert_eq!(told(&from_server(&request, true)), None);
        let inner =
            ip_packet(SERVER, CLIENT, Protocol::UDP, &udp(SERVER, CLIENT, 67, 68, &dhcp(5, &[255]), true));
        for layout in Layout::ALL {
            let is_told = told(&layout.frame(&inner, false)).is_some();
            assert_eq!(is_told, matches!(layout, Layout::Plain | Layout::Vlan | Layout::Qinq), "{layout:?}");
        }
    }

    #[test]
    fn dhcpv6_gets_option_103_and_router_advertisements_option_37() {
        let reply = [7, 1, 2, 3, 0, 2, 0, 1, 9];
        let wanted = [&reply[..], &option(&[0, 103, 0, URL.len() as u8])].concat();
        assert_eq!(told(&from_server6(&reply)), Some(wanted));
        for left_alone in [
            &[1, 1, 2, 3][..],
            &[7, 1, 2, 3, 0, 103, 0, 0],
            &[7, 1, 2, 3, 0, 11, 0, 0],
            &[7, 1, 2, 3, 0, 2, 0, 9, 1],
        ] {
            assert_eq!(told(&from_server6(left_alone)), None, "{left_alone:?}");
        }
        let mtu = [5, 1, 0, 0, 0, 0, 5, 220];
        let longer = told(&from_router(&mtu)).unwrap();
        assert_eq!((&longer[16..24], longer.len() % 8), (&mtu[..], 0));
        assert_eq!(longer[24..26], [37, 5]);
        assert_eq!(longer[26..], *[URL.as_bytes(), &[0; 0]].concat());
        for left_alone in [
            &[37, 1, 0, 0, 0, 0, 0, 0][..],
            &[12, 1, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[5, 2, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(told(&from_router(left_alone)), None, "{left_alone:?}");
        }
    }

    #[test]
    fn a_url_is_short_ascii() {
        assert!(Announcement::new(1, URL).is_some_and(|announcement| announcement.port() == 1));
        for url in ["", "https://b\u{fc}cher.example/", "a b", &"x".repeat(256)] {
            assert_eq!(Announcement::new(0, url), None, "{url}");
        }
    }

    proptest! {
        /// Whatever options are sent: no panic, and what comes out is right in every length and sum.
        #[test]
        fn hostile_options_are_survived(options in proptest::collection::vec(any::<u8>(), 0..400), kind in 0_u8..9) {
            let _ = told(&from_server(&dhcp(kind, &options), true));
            let _ = told(&from_server6(&[&[kind][..], &options].concat()));
            let _ = told(&from_router(&options));
        }
    }
}
