//! Where in the frame are we, and what was found so far? The state that the protocol files share.
//!
//! Each protocol file has one shape: constants of its header, `parse(walk, at)`, which reads the header
//! at `at`, notes what later rooms need and hands on to the next layer, and tests that provoke each of its
//! reasons. Only [`Walk::header`] and [`Walk::rest`] touch bytes, both checked against the end of the layer
//! in hand, so no protocol file can read beyond it, and none can panic.

use super::{Headers, Network, Strictness, Transport, Tunnel};
use crate::verdict::Reason;

/// Encapsulations followed inside each other (tunnels, and Ethernet carried in MPLS).
pub const TUNNEL_DEPTH_MAX: u8 = 4;

/// A parse under way. `Copy`, so that a layer that was only guessed at can be taken back.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    /// The buffer from its first byte to the end of the layer in hand; it only gets shorter.
    bytes: &'a [u8],
    /// What was found so far.
    pub(super) headers: Headers,
    /// Tunnels and pseudowires entered, each of which may hold another.
    nested: u8,
    /// VLAN tags met so far, in the whole frame.
    pub(super) vlan_tags: u8,
    /// What is refused although it can be read.
    pub(super) strictness: Strictness,
    /// Whether tunnels are left alone.
    outside_only: bool,
}

impl<'a> Walk<'a> {
    /// A walk that has seen nothing yet. `bytes` must not be longer than 65,535: offsets are 16 bits.
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Reason> {
        if bytes.len() > usize::from(u16::MAX) {
            return Err(Reason::FrameTooLarge);
        }
        Ok(Self {
            bytes,
            headers: Headers::NONE,
            nested: 0,
            vlan_tags: 0,
            strictness: Strictness::FULL,
            outside_only: false,
        })
    }

    /// A walk over a reassembled datagram, below the link layer and the tunnels that `link` tells of.
    pub(super) fn below(bytes: &'a [u8], link: &Headers) -> Result<Self, Reason> {
        let mut walk = Self::new(bytes)?;
        walk.headers = Headers {
            outer_l3_offset: 0,
            l3_offset: 0,
            l4_offset: 0,
            payload_offset: 0,
            end: 0,
            network: Network::Other,
            fragment: None,
            transport: Transport::None,
            ..*link
        };
        walk.nested = link.tunnel_depth;
        walk.vlan_tags = u8::from(link.vlan_outer != 0) + u8::from(link.vlan_inner != 0);
        Ok(walk)
    }

    /// One past the last byte of the layer in hand.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes of the layer in hand are at and after `at`.
    #[inline]
    pub(super) const fn left(&self, at: usize) -> usize {
        self.bytes.len().saturating_sub(at)
    }

    /// The fixed header at `at`, or `reason` where it is cut short.
    #[inline]
    pub(super) fn header<const N: usize>(&self, at: usize, reason: Reason) -> Result<&'a [u8; N], Reason> {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(reason)
    }

    /// Everything at and after `at`; empty where `at` is beyond the end.
    #[inline]
    pub(super) fn rest(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// The layer in hand ends at `end`: what follows is padding or a trailer. Never makes it longer.
    #[inline]
    pub(super) fn trim(&mut self, end: usize) {
        self.bytes = self.bytes.get(..end).unwrap_or(self.bytes);
    }

    /// Notes that the network header is at `at`; its fields have been validated.
    #[inline]
    pub(super) fn at_network(&mut self, at: usize) {
        if self.headers.tunnel_depth == 0 {
            self.headers.outer_l3_offset = at as u16;
        }
        self.headers.l3_offset = at as u16;
    }

    /// Notes where the transport and its payload start.
    #[inline]
    pub(super) fn at_transport(&mut self, l4: usize, payload: usize) {
        self.headers.l4_offset = l4 as u16;
        self.headers.payload_offset = payload as u16;
    }

    /// Ends the walk at something of layer 2 that is passed on untracked.
    pub(super) fn other(&mut self, at: usize) -> Result<(), Reason> {
        let at = at.min(self.len());
        self.at_network(at);
        self.at_transport(at, at);
        self.headers.network = Network::Other;
        Ok(())
    }

    /// Enters no tunnel from here on, as if none were known.
    pub(super) fn stay_outside(&mut self) {
        self.outside_only = true;
    }

    /// Counts one more layer that may hold another like itself.
    pub(super) fn nest(&mut self) -> Result<(), Reason> {
        if self.nested >= TUNNEL_DEPTH_MAX {
            return Err(Reason::TunnelTooDeep);
        }
        self.nested += 1;
        Ok(())
    }

    /// Enters a tunnel that an IP protocol number or EtherType announced: a malformed inner packet makes
    /// the frame malformed. A tunnel that carries no IP (ARP, STP, a keep-alive) is not entered: the packet
    /// around it is what can be judged.
    pub(super) fn enter(
        &mut self,
        tunnel: Tunnel,
        vni: Option<u32>,
        inner: impl FnOnce(&mut Self) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        if self.outside_only {
            return Ok(());
        }
        let outside = *self;
        self.nest()?;
        self.headers.tunnel_depth += 1;
        if outside.headers.tunnel == Tunnel::None {
            self.headers.tunnel = tunnel;
        }
        if let Some(vni) = vni {
            self.headers.vni = vni;
        }
        self.headers.transport = Transport::None;
        inner(self)?;
        if !matches!(self.headers.network, Network::Ip { .. }) {
            *self = outside;
        }
        Ok(())
    }

    /// Enters a tunnel that only a UDP port hints at: where the inner packet does not bear the guess out, it
    /// was plain UDP. A valid inner network header proves the guess; what is malformed behind one is
    /// malformed, else a bad TCP option inside VXLAN would be a way around every policy.
    pub(super) fn enter_if_valid(
        &mut self,
        tunnel: Tunnel,
        vni: Option<u32>,
        inner: impl FnOnce(&mut Self) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let outside = *self;
        match self.enter(tunnel, vni, inner) {
            Ok(()) => Ok(()),
            Err(reason) => {
                let proven = self.headers.l3_offset != outside.headers.l3_offset;
                if proven || reason == Reason::TunnelTooDeep {
                    return Err(reason);
                }
                *self = outside;
                Ok(())
            }
        }
    }

    /// What was found.
    #[inline]
    pub(super) fn finish(mut self) -> Headers {
        self.headers.end = self.bytes.len() as u16;
        self.headers
    }
}

/// The big-endian 16-bit field at `at`, which the caller knows to be inside `bytes`; 0 beyond it.
#[inline]
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(field) => u16::from_be_bytes(*field),
        None => 0,
    }
}

/// The big-endian 32-bit field at `at`, which the caller knows to be inside `bytes`; 0 beyond it.
#[inline]
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(field) => u32::from_be_bytes(*field),
        None => 0,
    }
}
