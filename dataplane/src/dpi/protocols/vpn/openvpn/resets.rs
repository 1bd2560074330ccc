//! Who opens a control channel, and is it answered? The resets of `OpenVPN`, told as `openvpn`, a record a pair.
//!
//! Which protection stands behind the session is not told by the packet: it is guessed from its length and from where
//! number and time stand (openvpn.net, "OpenVPN wire protocol" 3.2 to 3.4).

use super::{
    CLIENT_V1, CLIENT_V2, CLIENT_V3, HEAD, HMACS, SERVER_V1, SERVER_V2, is_first, opens_authenticated,
    opens_in_clear,
};
use crate::dpi::{Context, Fields};
use crate::flow::Direction;

/// Resets of a flow that are told.
const RESETS_MAX: u8 = 8;

/// The shortest reset: session, nothing acknowledged, number.
const RESET_BYTES_MIN: usize = HEAD + 5;

/// The resets of one flow.
#[derive(Default)]
pub(super) struct Resets {
    /// The client's that waits for the server's.
    pending: Option<(Direction, Reset)>,
    told: u8,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reset {
    opcode: u8,
    session: [u8; 8],
    protection: Option<Protection>,
}

/// What keeps strangers out of the control channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Plain,
    /// With the length of the HMAC in bytes.
    TlsAuth(usize),
    TlsCrypt,
    TlsCryptV2,
}

impl Resets {
    /// A packet of either side.
    pub(super) fn packet(&mut self, way: Direction, packet: &[u8], cx: &mut Context<'_>) {
        let Some(opcode @ (CLIENT_V1 | CLIENT_V2 | CLIENT_V3 | SERVER_V1 | SERVER_V2)) =
            packet.first().copied()
        else {
            return;
        };
        let Some(reset) = Reset::read(opcode, packet) else {
            cx.anomaly("invalid_control_packet");
            return;
        };
        if matches!(opcode, CLIENT_V1 | CLIENT_V2 | CLIENT_V3) {
            // One that is sent again says the same.
            if self.pending.is_none_or(|(_, pending)| pending.session != reset.session) {
                self.end(cx);
                self.pending = Some((way, reset));
            }
        } else if let Some((_, client)) = self.pending.take_if(|(asked, _)| *asked != way) {
            self.tell(way, &client, Some(&reset), cx);
        }
    }

    /// The flow is over: what nobody answered.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        if let Some((way, client)) = self.pending.take() {
            self.tell(way, &client, None, cx);
        }
    }

    fn tell(&mut self, way: Direction, client: &Reset, server: Option<&Reset>, cx: &mut Context<'_>) {
        if self.told >= RESETS_MAX {
            return;
        }
        self.told += 1;
        cx.tell_with("openvpn", way, |fields| {
            if let Some(protection) = client.protection {
                fields.text("protection", protection.name());
                if let Protection::TlsAuth(hmac) = protection {
                    fields.text_if("auth", digest(hmac));
                }
            }
            fields.object("request", |request| client.write(request));
            if let Some(server) = server {
                fields.object("response", |response| server.write(response));
            }
        });
    }
}

impl Reset {
    fn read(opcode: u8, packet: &[u8]) -> Option<Self> {
        let session = *packet.get(1..)?.first_chunk::<8>()?;
        (packet.len() >= RESET_BYTES_MIN && session != [0; 8]).then(|| Self {
            opcode,
            session,
            protection: protection(opcode, packet),
        })
    }

    fn write(&self, fields: &mut Fields) {
        fields.text("opcode", opcode_name(self.opcode));
        fields.number("key_id", self.opcode & 7);
        fields.hex("session_id", &self.session);
    }
}

impl Protection {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::TlsAuth(_) => "tls-auth",
            Self::TlsCrypt => "tls-crypt",
            Self::TlsCryptV2 => "tls-crypt-v2",
        }
    }
}

/// The protection of a client's reset, where it looks like one.
fn protection(opcode: u8, packet: &[u8]) -> Option<Protection> {
    if opcode == CLIENT_V3 {
        return Some(Protection::TlsCryptV2);
    }
    if packet.len() == RESET_BYTES_MIN && opens_in_clear(packet, 0) {
        return Some(Protection::Plain);
    }
    // With SHA-256 as long as tls-crypt, but there the number stands in front of the HMAC.
    let hmac = HMACS.iter().find(|hmac| opens_authenticated(packet, **hmac));
    match hmac {
        Some(hmac) => Some(Protection::TlsAuth(*hmac)),
        None => (packet.len() == HEAD + 45 && is_first(packet, HEAD)).then_some(Protection::TlsCrypt),
    }
}

/// Which digest has HMACs of that length (`--auth`).
const fn digest(hmac: usize) -> Option<&'static str> {
    Some(match hmac {
        16 => "md5",
        20 => "sha1",
        28 => "sha224",
        32 => "sha256",
        48 => "sha384",
        64 => "sha512",
        _ => return None,
    })
}

const fn opcode_name(opcode: u8) -> &'static str {
    match opcode {
        CLIENT_V1 => "P_CONTROL_HARD_RESET_CLIENT_V1",
        SERVER_V1 => "P_CONTROL_HARD_RESET_SERVER_V1",
        CLIENT_V2 => "P_CONTROL_HARD_RESET_CLIENT_V2",
        SERVER_V2 => "P_CONTROL_HARD_RESET_SERVER_V2",
        CLIENT_V3 => "P_CONTROL_HARD_RESET_CLIENT_V3",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::told;
    use crate::dpi::protocols::vpn::openvpn::OPENVPN;
    use Direction::{Forward, Reverse};

    const FIRST: [u8; 8] = [0, 0, 0, 1, 0x57, 0xc2, 0x0c, 0x2a];

    fn server() -> Vec<u8> {
        [&[SERVER_V2][..], &[8; 8], &[1, 0, 0, 0, 0], &[7; 8], &[0; 4]].concat()
    }

    #[test]
    fn a_pair_is_one_record_whatever_is_sent_again() {
        let client = [&[CLIENT_V2][..], &[7; 8], &[0; 5]].concat();
        let payloads =
            [(Forward, client.clone()), (Forward, client), (Reverse, server()), (Reverse, server())];
        let expected = "openvpn protection=none \
            request={opcode=P_CONTROL_HARD_RESET_CLIENT_V2 key_id=0 session_id=0707070707070707} \
            response={opcode=P_CONTROL_HARD_RESET_SERVER_V2 key_id=0 session_id=0808080808080808}";
        assert_eq!(told(&OPENVPN, &payloads), [expected]);
        // Nothing but an answer is nobody's.
        assert_eq!(told(&OPENVPN, &[(Reverse, server())]), [""; 0]);
    }

    #[test]
    fn protections_are_told_apart_and_cuts_are_noticed() {
        let wrapped = [&[CLIENT_V3][..], &[7; 8], &FIRST, &[9; 37], &[5; 288], &[1, 34]].concat();
        let cases = [
            ("tls-auth auth=sha1", [&[CLIENT_V2][..], &[7; 8], &[9; 20], &FIRST, &[0; 5]].concat()),
            ("tls-auth auth=sha256", [&[CLIENT_V2][..], &[7; 8], &[9; 32], &FIRST, &[0; 5]].concat()),
            ("tls-crypt", [&[CLIENT_V2][..], &[7; 8], &FIRST, &[9; 37]].concat()),
            ("tls-crypt-v2", wrapped),
        ];
        for (name, client) in cases {
            let records = told(&OPENVPN, &[(Forward, client.clone())]);
            assert!(records[0].starts_with(&format!("openvpn protection={name} request=")), "{records:?}");
            let cut = told(&OPENVPN, &[(Forward, client[..12].to_vec())]);
            assert!(cut.len() == 1 && cut[0].contains("invalid_control_packet"), "{cut:?}");
        }
    }

    #[test]
    fn sessions_without_end_are_not_told_without_end() {
        let client = |nth| (Forward, [&[CLIENT_V2][..], &[nth; 8], &[0; 5]].concat());
        let payloads: Vec<_> = (1..60).map(client).collect();
        assert_eq!(told(&OPENVPN, &payloads).len(), usize::from(RESETS_MAX));
    }
}
