//! Who asks for which address? ARP (RFC 826) for IPv4 over Ethernet; other hardware is passed on.

use super::walk::{Walk, be16};
use super::{Addr, Network, ethernet};
use crate::verdict::Reason;

/// Hardware and protocol type, their lengths, operation.
const FIXED_LEN: usize = 8;
/// With two Ethernet and two IPv4 addresses.
const IPV4_LEN: usize = 28;
/// Hardware type Ethernet, protocol IPv4, address lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Notes the operation and both protocol addresses.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let fixed: &[u8; FIXED_LEN] = walk.header(at, Reason::ArpTruncated)?;
    let addresses_len = 2 * (usize::from(fixed[4]) + usize::from(fixed[5]));
    if walk.left(at) < FIXED_LEN + addresses_len {
        return Err(Reason::ArpTruncated);
    }
    if !fixed.starts_with(&ETHERNET_IPV4) {
        return walk.other(at);
    }
    let packet: &[u8; IPV4_LEN] = walk.header(at, Reason::ArpTruncated)?;
    let [.., s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] = *packet;
    walk.trim(at + IPV4_LEN);
    walk.at_network(at);
    walk.at_transport(at + IPV4_LEN, at + IPV4_LEN);
    walk.headers.ethertype = ethernet::ARP;
    walk.headers.network = Network::Arp {
        operation: be16(packet, 6),
        sender: Addr::v4([s0, s1, s2, s3]),
        target: Addr::v4([t0, t1, t2, t3]),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::eth;
    use crate::parse::{Addr, Network, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    const REQUEST: [u8; 28] =
        [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];

    #[test]
    fn a_request_tells_who_asks_for_whom() {
        let headers = parse_ethernet(&eth(ethernet::ARP, &REQUEST)).unwrap();
        let (sender, target) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
        assert_eq!(headers.network, Network::Arp { operation: 1, sender, target });
        assert_eq!((headers.l3_offset, headers.end), (14, 42));
    }

    #[test]
    fn cut_short_is_truncated() {
        for len in 0..REQUEST.len() {
            let frame = eth(ethernet::ARP, &REQUEST[..len]);
            assert_eq!(parse_ethernet(&frame), Err(Reason::ArpTruncated));
        }
    }

    #[test]
    fn other_hardware_is_passed_on() {
        let mut request = REQUEST;
        request[1] = 6;
        assert_eq!(parse_ethernet(&eth(ethernet::ARP, &request)).unwrap().network, Network::Other);
    }
}
