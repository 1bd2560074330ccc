//! Every name under which a frame can be dropped or a fact about it counted.

/// Where a reason comes from; decides which of two drops names the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonClass {
    /// No room, no time, no frame: the box, not the traffic.
    Capacity,
    /// A signature said so.
    Rule,
    /// The operator said so.
    Policy,
    /// The frame contradicts the tracked state of its flow.
    State,
    /// The bytes contradict their protocol.
    Malformed,
    /// The address is on the block list.
    BlockList,
    /// Counted beside the verdict; never drops by itself.
    Notice,
}

impl ReasonClass {
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Notice => 0,
            Self::Rule => 1,
            Self::Policy => 2,
            Self::Capacity => 3,
            Self::State => 4,
            Self::Malformed => 5,
            Self::BlockList => 6,
        }
    }
}

macro_rules! reasons {
    ($($class:ident { $($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+ })+) => {
        /// Why: the counter index, the metric label and the EVE field at once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        impl Reason {
            /// All reasons, in the order of their counter index.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// How many there are: the length of a counter array.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in metrics, EVE and the API, `lower_snake_case`, stable.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $($(Self::$name => $label,)+)+ }
            }

            /// What a reader of the counter should understand by it.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $($(Self::$name => concat!($($doc),+).trim_ascii_start(),)+)+ }
            }

            /// Where it comes from.
            #[must_use]
            pub const fn class(self) -> ReasonClass {
                match self { $($(Self::$name => ReasonClass::$class,)+)+ }
            }
        }
    };
}

reasons! {
    Malformed {
        /// Shorter than an Ethernet header.
        EthernetTruncated = "ethernet_truncated",
        /// Ends inside a VLAN tag.
        VlanTruncated = "vlan_truncated",
        /// More VLAN tags than we follow.
        VlanTooDeep = "vlan_too_deep",
        /// Ends inside an MPLS label stack.
        MplsTruncated = "mpls_truncated",
        /// More MPLS labels than we follow.
        MplsTooDeep = "mpls_too_deep",
        /// Ends inside a PPPoE or PPP header, or its length field lies.
        PppoeTruncated = "pppoe_truncated",
        /// PPPoE version or type is not 1.
        PppoeVersion = "pppoe_version",
        /// Ends inside an ARP packet.
        ArpTruncated = "arp_truncated",
        /// Ends inside the IPv4 header.
        Ipv4Truncated = "ipv4_truncated",
        /// EtherType says IPv4, version field does not.
        Ipv4Version = "ipv4_version",
        /// IPv4 header length below 20 or beyond the packet.
        Ipv4HeaderLength = "ipv4_header_length",
        /// IPv4 total length below the header or beyond the frame.
        Ipv4TotalLength = "ipv4_total_length",
        /// An IPv4 option runs past the header.
        Ipv4Options = "ipv4_options",
        /// IPv4 header checksum is wrong.
        Ipv4Checksum = "ipv4_checksum",
        /// Ends inside the IPv6 header.
        Ipv6Truncated = "ipv6_truncated",
        /// EtherType says IPv6, version field does not.
        Ipv6Version = "ipv6_version",
        /// IPv6 payload length beyond the frame.
        Ipv6PayloadLength = "ipv6_payload_length",
        /// An IPv6 packet from or to `::ffff:a.b.c.d`: it would pass for a flow of IPv4 (RFC 4942 2.2).
        Ipv6MappedAddress = "ipv6_mapped_address",
        /// An IPv6 packet from or to `ff00::ffff:0:0/96`, multicast of the reserved scope 0 (RFC 4291 2.7).
        Ipv6ReservedAddress = "ipv6_reserved_address",
        /// Ends inside an IPv6 extension header, or one of its options runs past it.
        Ipv6ExtensionTruncated = "ipv6_extension_truncated",
        /// Hop-by-hop options anywhere but first (RFC 8200 4.1).
        Ipv6ExtensionOrder = "ipv6_extension_order",
        /// More IPv6 extension headers than we follow.
        Ipv6ExtensionTooMany = "ipv6_extension_too_many",
        /// IPv6 routing header of type 0 (RFC 5095).
        Ipv6RoutingType0 = "ipv6_routing_type0",
        /// Source and destination address and port are the same (land attack).
        SameSourceDestination = "same_source_destination",
        /// Ends inside the TCP header.
        TcpTruncated = "tcp_truncated",
        /// TCP data offset below 5 or beyond the segment.
        TcpHeaderLength = "tcp_header_length",
        /// A TCP option runs past the header or has an impossible length.
        TcpOptions = "tcp_options",
        /// TCP flags that no stack sends (SYN with FIN or RST, none at all).
        TcpFlags = "tcp_flags",
        /// Ends inside the UDP header.
        UdpTruncated = "udp_truncated",
        /// UDP length below 8 or beyond the packet.
        UdpLength = "udp_length",
        /// Ends inside the ICMP header.
        IcmpTruncated = "icmp_truncated",
        /// Ends inside the ICMPv6 header.
        Icmpv6Truncated = "icmpv6_truncated",
        /// Ends inside the SCTP header.
        SctpTruncated = "sctp_truncated",
        /// Ends inside a GRE header.
        GreTruncated = "gre_truncated",
        /// GRE version or reserved bits that we cannot follow.
        GreVersion = "gre_version",
        /// Ends inside a VXLAN header or its flags are invalid.
        Vxlan = "vxlan",
        /// Ends inside a Geneve header or its version is not 0.
        Geneve = "geneve",
        /// Ends inside a GTP-U header or its version is not 1.
        Gtpu = "gtpu",
        /// Ends inside a Teredo header.
        Teredo = "teredo",
        /// More tunnels inside each other than we follow.
        TunnelTooDeep = "tunnel_too_deep",
        /// Layer 4 checksum is wrong and the port says `drop-bad`.
        ChecksumBad = "checksum_bad",
        /// Larger than the port can carry, or than one linear copy.
        FrameTooLarge = "frame_too_large",
        /// Fragments that overlap with other bytes (RFC 5722): the whole datagram goes.
        FragmentOverlap = "fragment_overlap",
        /// A fragment that ends beyond 65,535 bytes (ping of death).
        FragmentTooLarge = "fragment_too_large",
        /// A fragment, not the last, whose length is zero or no multiple of eight.
        FragmentLength = "fragment_length",
        /// The first fragment does not hold the layer 4 header (RFC 7112, tiny fragment attack).
        FragmentTiny = "fragment_tiny",
        /// Fragments disagree on where the datagram ends.
        FragmentEnd = "fragment_end",
    }
    State {
        /// TCP segment outside the tracked window (RFC 9293 3.10.7.4).
        TcpOutOfWindow = "tcp_out_of_window",
        /// RST whose sequence number is not acceptable (RFC 5961 3).
        TcpRstOutOfWindow = "tcp_rst_out_of_window",
        /// SYN inside a synchronised connection (RFC 5961 4).
        TcpSynInConnection = "tcp_syn_in_connection",
        /// ACK for data never sent (RFC 5961 5).
        TcpAckInvalid = "tcp_ack_invalid",
        /// An answer to a SYN that does not echo its timestamp, which the SYN's sender ignores (RFC 7323 5.2).
        TcpTimestampInvalid = "tcp_timestamp_invalid",
        /// Segment that the connection's state does not allow.
        TcpBadState = "tcp_bad_state",
        /// A segment with urgent data, and `stream.urgent` says drop.
        TcpUrgent = "tcp_urgent",
        /// Mid-stream segment of an unknown flow and `exceptions.midstream` says drop.
        Midstream = "midstream",
        /// Only one direction of the flow crosses the box and `exceptions.oneway` says drop.
        Oneway = "oneway",
        /// A payload with which its parser cannot go on, and `exceptions.parser_error` says drop.
        ParserError = "parser_error",
        /// A TCP segment in IP fragments whose bytes differ from those seen first, where they cannot be rewritten.
        OverlapInFragments = "overlap_in_fragments",
        /// ICMP error that quotes no flow we know.
        IcmpUnrelated = "icmp_unrelated",
        /// Source address on a zone whose networks do not hold it.
        Spoofed = "spoofed",
    }
    Capacity {
        /// No slot for a new flow and nothing to evict.
        FlowTableFull = "flow_table_full",
        /// No room to hold another fragment.
        FragmentMemory = "fragment_memory",
        /// The datagram was not complete in time.
        FragmentTimeout = "fragment_timeout",
        /// More fragments in one datagram than we hold.
        FragmentTooMany = "fragment_too_many",
        /// No room for the bytes of a TCP segment that must wait to be inspected.
        ReassemblyMemory = "reassembly_memory",
        /// TCP bytes came again that we could not remember: whether they are the same is not known.
        OverlapUnverified = "overlap_unverified",
        /// A signature's tests took more steps than they may: whether it matches is not known.
        RuleBudget = "rule_budget",
        /// The owner's hand-off ring had no room.
        HandoffFull = "handoff_full",
        /// The transmit ring had no room.
        TxFull = "tx_full",
        /// No free frame for a copy.
        NoFrame = "no_frame",
        /// The frame waited in the ring through a hang longer than the watchdog.
        StaleAfterHang = "stale_after_hang",
        /// The `host` port had no room.
        HostPortFull = "host_port_full",
        /// The worker was stopping.
        Stopping = "stopping",
    }
    Rule {
        /// A signature said drop.
        RuleDrop = "rule_drop",
        /// A signature said reject.
        RuleReject = "rule_reject",
    }
    Policy {
        /// A policy said drop.
        PolicyDrop = "policy_drop",
        /// A policy said reject.
        PolicyReject = "policy_reject",
        /// No policy matched and the default is drop.
        DefaultDrop = "default_drop",
        /// No policy matched and the default is reject.
        DefaultReject = "default_reject",
        /// Undecided, and the policy set's `deciding` says block.
        DecidingBlock = "deciding_block",
        /// Undecided, and more than the trickle that the policy set's `deciding` allows.
        DecidingLimit = "deciding_limit",
        /// The token bucket was empty.
        RateLimited = "rate_limited",
        /// A redirected flow whose target is behind the port that it came from.
        RedirectImpossible = "redirect_impossible",
    }
    BlockList {
        /// The address is on the block list.
        Blocked = "blocked",
    }
    Notice {
        /// A wrong layer 4 checksum passed on, kept from the state machine.
        ChecksumBadForwarded = "checksum_bad_forwarded",
        /// A partial checksum (veth metadata) completed by us.
        ChecksumHealed = "checksum_healed",
        /// A flow picked up mid-stream.
        MidstreamPickup = "midstream_pickup",
        /// A TCP segment outside the tracked window, passed on because the policy is not strict.
        TcpOutOfWindowForwarded = "tcp_out_of_window_forwarded",
        /// A RST whose sequence number is not acceptable, passed on because the policy is not strict.
        TcpRstOutOfWindowForwarded = "tcp_rst_out_of_window_forwarded",
        /// A SYN inside a synchronised connection, passed on because the policy is not strict.
        TcpSynInConnectionForwarded = "tcp_syn_in_connection_forwarded",
        /// An ACK for data never sent, passed on because the policy is not strict.
        TcpAckInvalidForwarded = "tcp_ack_invalid_forwarded",
        /// An answer to a SYN that does not echo its timestamp, passed on because the policy is not strict.
        TcpTimestampInvalidForwarded = "tcp_timestamp_invalid_forwarded",
        /// A segment against the connection's state, passed on because the policy is not strict.
        TcpBadStateForwarded = "tcp_bad_state_forwarded",
        /// An ICMP error that quotes no flow we know, judged as any packet because the policy is not strict.
        IcmpUnrelatedForwarded = "icmp_unrelated_forwarded",
        /// TCP bytes that came again and differed, rewritten to those seen first.
        OverlapRewritten = "overlap_rewritten",
        /// Bytes of a packet that a signature's `replace` wrote anew.
        RuleReplaced = "rule_replaced",
        /// TCP bytes that came again and could not be compared, passed on.
        OverlapUnverifiedForwarded = "overlap_unverified_forwarded",
        /// A signature's tests took more steps than they may, and the packet was passed on.
        RuleBudgetForwarded = "rule_budget_forwarded",
        /// A flow evicted to make room.
        FlowEvicted = "flow_evicted",
        /// A redirected flow whose replies do not cross the box.
        RedirectNoReturn = "redirect_no_return",
        /// A mirror copy that found no frame or no room.
        MirrorSkipped = "mirror_skipped",
        /// A reject not sent because `reject_per_s` was spent.
        RejectSuppressed = "reject_suppressed",
        /// A record that found its event ring full and was aggregated.
        RecordAggregated = "record_aggregated",
        /// A signature matched, and was told of.
        RuleAlert = "rule_alert",
        /// An alert that found its event ring full.
        AlertShed = "alert_shed",
    }
}

/// What may drop a frame, and the notice under which a frame is counted that was passed on in spite of it.
const FORWARDED: [(Reason, Reason); 10] = [
    (Reason::OverlapUnverified, Reason::OverlapUnverifiedForwarded),
    (Reason::RuleBudget, Reason::RuleBudgetForwarded),
    (Reason::ChecksumBad, Reason::ChecksumBadForwarded),
    (Reason::TcpOutOfWindow, Reason::TcpOutOfWindowForwarded),
    (Reason::TcpRstOutOfWindow, Reason::TcpRstOutOfWindowForwarded),
    (Reason::TcpSynInConnection, Reason::TcpSynInConnectionForwarded),
    (Reason::TcpAckInvalid, Reason::TcpAckInvalidForwarded),
    (Reason::TcpTimestampInvalid, Reason::TcpTimestampInvalidForwarded),
    (Reason::TcpBadState, Reason::TcpBadStateForwarded),
    (Reason::IcmpUnrelated, Reason::IcmpUnrelatedForwarded),
];

impl Reason {
    /// The notice for a frame that was passed on although this reason could have dropped it; `None` where a
    /// frame with this reason is never passed on.
    #[must_use]
    pub fn forwarded(self) -> Option<Self> {
        FORWARDED.iter().find(|(reason, _)| *reason == self).map(|(_, notice)| *notice)
    }

    /// What a notice of [`Self::forwarded`] is about, of any other reason itself.
    #[must_use]
    pub fn cause(self) -> Self {
        FORWARDED.iter().find(|(_, notice)| *notice == self).map_or(self, |(reason, _)| *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::{FORWARDED, Reason, ReasonClass};

    #[test]
    fn a_forwarded_notice_is_named_after_its_cause_and_never_counts_as_a_drop() {
        for (reason, notice) in FORWARDED {
            assert_eq!(notice.label(), format!("{}_forwarded", reason.label()));
            assert_eq!(notice.class(), ReasonClass::Notice);
            assert_ne!(reason.class(), ReasonClass::Notice);
            assert_eq!((reason.forwarded(), notice.cause(), reason.cause()), (Some(notice), reason, reason));
        }
        assert_eq!(Reason::PolicyDrop.forwarded(), None);
    }

    #[test]
    fn labels_are_unique_and_indices_match() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(!reason.help().is_empty());
            assert_eq!(Reason::ALL.iter().filter(|r| r.label() == reason.label()).count(), 1, "{reason:?}");
        }
    }
}
