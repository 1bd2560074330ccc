//! Events that rules may name and that nothing here meets. Who tells one takes its line out.

/// Of decoding: mostly of encapsulations into which the parser does not look, or about which it is not particular.
pub(super) const DECODE: &[&str] = &[
    "ipv4.opt_unknown",
    "ipv4.frag_ignored",
    "ipv6.exthdr_dupl_eh",
    "ipv6.frag_ignored",
    "ipv6.ipv4_in_ipv6_too_small",
    "ipv6.ipv4_in_ipv6_wrong_version",
    "ipv6.ipv6_in_ipv6_too_small",
    "ipv6.ipv6_in_ipv6_wrong_version",
    "tcp.invalid_optlen",
    "udp.hlen_too_small",
    "udp.hlen_invalid",
    "sll.pkt_too_small",
    "sll2.pkt_too_small",
    "ethernet.unknown_ethertype",
    "ppp.pkt_too_small",
    "ppp.vju_pkt_too_small",
    "ppp.ip4_pkt_too_small",
    "ppp.ip6_pkt_too_small",
    "ppp.wrong_type",
    "ppp.unsup_proto",
    "pppoe.wrong_code",
    "pppoe.malformed_tags",
    "gre.pkt_too_small",
    "gre.wrong_version",
    "gre.version0_recur",
    "gre.version0_flags",
    "gre.version0_hdr_too_big",
    "gre.version0_malformed_sre_hdr",
    "gre.version1_chksum",
    "gre.version1_route",
    "gre.version1_ssr",
    "gre.version1_recur",
    "gre.version1_flags",
    "gre.version1_no_key",
    "gre.version1_wrong_protocol",
    "gre.version1_malformed_sre_hdr",
    "gre.version1_hdr_too_big",
    "vlan.unknown_type",
    "ieee8021ah.header_too_small",
    "vntag.header_too_small",
    "vntag.unknown_type",
    "raw.invalid_ip_version",
    "ltnull.pkt_too_small",
    "ltnull.unsupported_type",
    "sctp.too_many_chunks",
    "sctp.too_many_data_chunks",
    "mpls.header_too_small",
    "mpls.bad_label_router_alert",
    "mpls.bad_label_implicit_null",
    "mpls.bad_label_reserved",
    "mpls.unknown_payload_type",
    "vxlan.unknown_payload_type",
    "geneve.unknown_payload_type",
    "erspan.header_too_small",
    "erspan.unsupported_version",
    "erspan.too_many_vlan_layers",
    "dce.pkt_too_small",
    "chdlc.pkt_too_small",
    "nsh.header_too_small",
    "nsh.unsupported_version",
    "nsh.bad_header_length",
    "nsh.reserved_type",
    "nsh.unsupported_type",
    "nsh.unknown_payload",
    "arp.unsupported_pkt",
    "etag.header_too_small",
    "etag.unknown_type",
    "too_many_layers",
];

/// Of TCP.
pub(super) const STREAM: &[&str] = &[
    "3whs_async_wrong_seq",
    "3whs_synack_flood",
    "3whs_synack_tfo_data_ignored",
    "3whs_syn_flood",
    "3whs_ack_data_inject",
    "closewait_pkt_before_last_ack",
    "est_pkt_before_last_ack",
    "est_synack_resend",
    "est_synack_resend_with_different_ack",
    "est_syn_resend",
    "fin2_ack_wrong_seq",
    "fin2_fin_wrong_seq",
    "fin2_invalid_ack",
    "pkt_retransmission",
    "pkt_spurious_retransmission",
    "pkt_bad_window_update",
    "wrong_thread",
    "reassembly_no_segment",
    "reassembly_depth_reached",
    "reassembly_insert_invalid",
];

/// Of recognition.
pub(super) const APP_LAYER: &[&str] = &[
    "applayer_mismatch_protocol_both_directions",
    "applayer_detect_protocol_only_one_direction",
    "applayer_proto_detection_skipped",
    "applayer_unexpected_protocol",
];

#[cfg(test)]
mod tests {
    use crate::rules::language::events;

    #[test]
    fn every_line_is_an_event() {
        let lists = [
            (super::DECODE, events::DECODE),
            (super::STREAM, events::STREAM),
            (super::APP_LAYER, events::APP_LAYER),
        ];
        for (untold, known) in lists {
            assert_eq!(untold.iter().find(|name| !known.contains(name)), None);
        }
    }
}
