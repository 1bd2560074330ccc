//! Is this UDP payload IPv6 inside Teredo? RFC 4380 5.1.1.

use super::walk::{Walk, be16};
use super::{Tunnel, ipv6};
use crate::verdict::Reason;

/// A server's port; relays and clients answer it from others.
pub(super) const PORT: u16 = 3544;

const AUTHENTICATION: u16 = 0x0001;
const ORIGIN: u16 = 0x0000;
/// Indicator, client identifier length, authentication length.
const AUTHENTICATION_LEN: usize = 4;
/// Nonce and confirmation byte, behind the two variable fields.
const NONCE_LEN: usize = 9;
/// Indicator, obfuscated port and address.
const ORIGIN_LEN: usize = 8;

/// Enters the IPv6 packet behind the authentication and origin headers, where there is one.
#[cold]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let Ok(inner_at) = inner_at(walk, at) else { return Ok(()) };
    walk.enter_if_valid(Tunnel::Teredo, None, |walk| ipv6::parse(walk, inner_at))
}

fn inner_at(walk: &Walk<'_>, at: usize) -> Result<usize, Reason> {
    let mut at = at;
    let first: &[u8; AUTHENTICATION_LEN] = walk.header(at, Reason::Teredo)?;
    if be16(first, 0) == AUTHENTICATION {
        at += AUTHENTICATION_LEN + usize::from(first[2]) + usize::from(first[3]) + NONCE_LEN;
    }
    let second: &[u8; 2] = walk.header(at, Reason::Teredo)?;
    if be16(second, 0) == ORIGIN {
        at += ORIGIN_LEN;
    }
    let version: &[u8; 1] = walk.header(at, Reason::Teredo)?;
    if version[0] >> 4 != 6 {
        return Err(Reason::Teredo);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::{PORT, inner_at};
    use crate::parse::craft::{inner_ipv6, join, udp_frame};
    use crate::parse::walk::Walk;
    use crate::parse::{Tunnel, parse_ethernet};
    use crate::verdict::Reason;

    const ORIGIN: [u8; 8] = [0, 0, 1, 2, 3, 4, 5, 6];
    const AUTHENTICATION: [u8; 15] = [0, 1, 1, 1, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn ipv6_is_found_behind_authentication_and_origin() {
        for before in [&[][..], &ORIGIN, &AUTHENTICATION, &join(&[&AUTHENTICATION, &ORIGIN])] {
            for (src, dst) in [(PORT, 40_000), (40_000, PORT)] {
                let frame = udp_frame(src, dst, &join(&[before, &inner_ipv6()]));
                let headers = parse_ethernet(&frame).unwrap();
                assert_eq!((headers.tunnel, headers.ports()), (Tunnel::Teredo, (1000, 2000)));
                assert_eq!(headers.payload(&frame), b"inner");
            }
        }
    }

    #[test]
    fn a_header_cut_short_is_no_teredo() {
        for bytes in [&[0x60, 0, 0][..], &ORIGIN, &AUTHENTICATION[..14], &AUTHENTICATION, &[0x45; 40]] {
            let walk = Walk::new(bytes).unwrap();
            assert_eq!(inner_at(&walk, 0), Err(Reason::Teredo), "{bytes:?}");
            let headers = parse_ethernet(&udp_frame(40_000, PORT, bytes)).unwrap();
            assert_eq!((headers.tunnel, headers.ports()), (Tunnel::None, (40_000, PORT)));
        }
    }
}
