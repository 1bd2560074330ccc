//! Is this UDP payload a Geneve packet? RFC 8926.

use super::walk::{Walk, be16, be32};
use super::{Tunnel, ethernet};
use crate::verdict::Reason;

pub(super) const PORT: u16 = 6081;

const HEADER_LEN: usize = 8;
const OPTION_HEADER_LEN: usize = 4;

/// Enters the inner packet where the header and its options are Geneve's and an IP packet is inside.
#[cold]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let Ok(geneve) = check(walk, at) else { return Ok(()) };
    walk.enter_if_valid(Tunnel::Geneve, Some(geneve.vni), |walk| match geneve.protocol {
        ethernet::BRIDGED => ethernet::parse(walk, geneve.inner_at),
        ethertype => ethernet::parse_payload(walk, geneve.inner_at, ethertype),
    })
}

struct Geneve {
    vni: u32,
    protocol: u16,
    inner_at: usize,
}

fn check(walk: &Walk<'_>, at: usize) -> Result<Geneve, Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Geneve)?;
    let [version_length, _, _, _, _, _, _, reserved] = *header;
    let protocol = be16(header, 2);
    if version_length >> 6 != 0 || reserved != 0 || protocol < ethernet::ETHERTYPE_MIN {
        return Err(Reason::Geneve);
    }
    let options_len = usize::from(version_length & 0x3f) * 4;
    let mut options = walk.rest(at + HEADER_LEN).get(..options_len).ok_or(Reason::Geneve)?;
    while let Some(option) = options.first_chunk::<OPTION_HEADER_LEN>() {
        let length = OPTION_HEADER_LEN + usize::from(option[3] & 0x1f) * 4;
        options = options.get(length..).ok_or(Reason::Geneve)?;
    }
    Ok(Geneve { vni: be32(header, 4) >> 8, protocol, inner_at: at + HEADER_LEN + options_len })
}

#[cfg(test)]
mod tests {
    use super::{PORT, check};
    use crate::parse::craft::{eth, inner_ipv4, inner_ipv6, join, udp_frame};
    use crate::parse::walk::Walk;
    use crate::parse::{Tunnel, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    #[test]
    fn ethernet_and_ip_are_found_behind_options() {
        let bridged = eth(ethernet::IPV4, &inner_ipv4());
        let option = [0, 1, 2, 1, 9, 9, 9, 9];
        for (protocol, options, inner) in [
            ([0x65, 0x58], &[][..], &bridged),
            ([0x65, 0x58], &option, &bridged),
            ([0x86, 0xdd], &option, &inner_ipv6()),
        ] {
            let first = (options.len() / 4) as u8;
            let geneve = join(&[&[first, 0], &protocol, &[0, 0, 5, 0], options, inner]);
            let frame = udp_frame(40_000, PORT, &geneve);
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.tunnel, headers.vni), (Tunnel::Geneve, 5));
            assert_eq!(headers.payload(&frame), b"inner");
        }
    }

    #[test]
    fn a_header_cut_short_or_impossible_is_no_geneve() {
        for bytes in [
            &[0, 0, 0x65, 0x58, 0, 0, 5][..],
            &[0x40, 0, 0x65, 0x58, 0, 0, 5, 0],
            &[0, 0, 0x65, 0x58, 0, 0, 5, 1],
            &[0, 0, 0, 1, 0, 0, 5, 0],
            &[1, 0, 0x65, 0x58, 0, 0, 5, 0, 0, 0, 0],
            &[1, 0, 0x65, 0x58, 0, 0, 5, 0, 0, 0, 0, 1],
        ] {
            let walk = Walk::new(bytes).unwrap();
            assert_eq!(check(&walk, 0).map(|geneve| geneve.vni), Err(Reason::Geneve), "{bytes:?}");
            let headers = parse_ethernet(&udp_frame(40_000, PORT, bytes)).unwrap();
            assert_eq!((headers.tunnel, headers.ports()), (Tunnel::None, (40_000, PORT)));
        }
    }
}
