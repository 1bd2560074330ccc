//! Numbers of packets and of transactions that rules test by name. Tables, under the names of Suricata's documentation.

/// A number with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its keyword.
    pub name: &'static str,
    /// Older keywords for it.
    pub aliases: &'static [&'static str],
    /// Protocols whose transactions have it, under their names in EVE; none: it is of the packet.
    pub of: &'static [&'static str],
    /// The largest that it can be.
    pub max: u64,
    /// Names for its values.
    pub names: &'static [(&'static str, u64)],
}

const fn of_packet(name: &'static str, max: u64) -> Field {
    Field { name, aliases: &[], of: &[], max, names: &[] }
}

const fn number(name: &'static str, of: &'static [&'static str], max: u64) -> Field {
    Field { name, aliases: &[], of, max, names: &[] }
}

impl Field {
    const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn named(self, names: &'static [(&'static str, u64)]) -> Self {
        Self { names, ..self }
    }
}

const U8: u64 = 255;
const U16: u64 = 65_535;
const U32: u64 = 4_294_967_295;

/// Numbers of packets.
pub const PACKET_FIELDS: &[Field] = &[
    of_packet("ttl", U8),
    of_packet("id", U16),
    of_packet("tos", U8),
    of_packet("fragoffset", U16),
    of_packet("ip_proto", U8).named(IP_PROTOCOLS),
    of_packet("seq", U32).or(&["tcp.seq"]),
    of_packet("ack", U32).or(&["tcp.ack"]),
    of_packet("window", U16).or(&["tcp.window"]),
    of_packet("tcp.mss", U16),
    of_packet("tcp.wscale", U8),
    of_packet("itype", U8),
    of_packet("icode", U8),
    of_packet("icmp_id", U16),
    of_packet("icmp_seq", U16),
    of_packet("icmpv6.mtu", U32),
    of_packet("igmp.type", U8),
    of_packet("vlan.id", 4_095),
    of_packet("vlan.layers", 3),
    of_packet("sctp.vtag", U32),
    of_packet("sctp.chunk_type", U8).named(SCTP_CHUNKS),
    of_packet("sctp.chunk_cnt", U16),
];

/// Numbers of transactions.
pub const FIELDS: &[Field] = &[
    // The length of HTTP's path is a number of its transactions too.
    number("urilen", HTTP, U16),
    number("dns.opcode", &["dns", "mdns", "llmnr"], 15),
    number("dns.rcode", &["dns", "mdns", "llmnr"], U16).named(DNS_CODES),
    number("dns.rrtype", &["dns", "mdns", "llmnr"], U16).named(DNS_TYPES),
    number("tls.version", &["tls"], U16).named(TLS_VERSIONS),
    number("ssl_version", &["tls"], U16).named(TLS_VERSIONS),
    number("ssl_state", &["tls"], U32).named(TLS_STATES),
    number("tls.cert_chain_len", &["tls"], U32),
    number("krb5_msg_type", &["krb5"], U8).or(&["krb5.msg_type"]).named(KRB5_MESSAGES),
    number("krb5_err_code", &["krb5"], U32).or(&["krb5.err_code"]),
    number("dcerpc.opnum", &["dcerpc", "smb"], U16).or(&["dce_opnum"]),
    number("snmp.version", &["snmp"], U32),
    number("snmp.pdu_type", &["snmp"], U32),
    number("ike.exchtype", &["ike"], U8),
    number("ike.chosen_sa_attribute", &["ike"], U32),
    number("ike.key_exchange_payload_length", &["ike"], U32),
    number("ike.nonce_payload_length", &["ike"], U32),
    number("mqtt.type", &["mqtt"], U8).named(MQTT_TYPES),
    number("mqtt.protocol_version", &["mqtt"], U8),
    number("mqtt.reason_code", &["mqtt"], U8),
    number("mqtt.qos", &["mqtt"], 2),
    number("rfb.sectype", &["rfb"], U32),
    number("rfb.secresult", &["rfb"], U32).named(&[("ok", 0), ("fail", 1), ("toomany", 2), ("unknown", 3)]),
    number("dhcp.leasetime", &["dhcp"], U64),
    number("dhcp.rebinding_time", &["dhcp"], U64),
    number("dhcp.renewal_time", &["dhcp"], U64),
    number("http2.errorcode", &["http2"], U32).named(HTTP2_ERRORS),
    number("http2.frametype", &["http2"], U8).named(HTTP2_FRAMES),
    number("http2.priority", &["http2"], U8),
    number("http2.window", &["http2"], U32),
    number("http2.size_update", &["http2"], U64),
    // Each parameter is a number of its own; no keyword has a blank.
    number("http2.settings SETTINGS_HEADER_TABLE_SIZE", &["http2"], U32),
    number("http2.settings SETTINGS_ENABLE_PUSH", &["http2"], U32),
    number("http2.settings SETTINGS_MAX_CONCURRENT_STREAMS", &["http2"], U32),
    number("http2.settings SETTINGS_INITIAL_WINDOW_SIZE", &["http2"], U32),
    number("http2.settings SETTINGS_MAX_FRAME_SIZE", &["http2"], U32),
    number("http2.settings SETTINGS_MAX_HEADER_LIST_SIZE", &["http2"], U32),
    number("enip_command", &["enip"], U16).or(&["enip.command"]),
    number("enip.status", &["enip"], U32),
    number("enip.cip_status", &["enip"], U8),
    number("enip.cip_class", &["enip"], U32),
    number("enip.cip_instance", &["enip"], U32),
    number("enip.cip_attribute", &["enip"], U32),
    number("enip.cip_extendedstatus", &["enip"], U16),
    number("enip.protocol_version", &["enip"], U16),
    number("enip.revision", &["enip"], U16),
    number("enip.identity_status", &["enip"], U16),
    number("enip.product_code", &["enip"], U16),
    number("enip.state", &["enip"], U8),
    number("enip.serial", &["enip"], U32),
    number("enip.vendor_id", &["enip"], U16),
    number("enip.device_type", &["enip"], U16),
    number("enip.capabilities", &["enip"], U16),
    number("dnp3_func", &["dnp3"], U8).or(&["dnp3.func"]),
    number("nfs_procedure", &["nfs"], U32).or(&["nfs.procedure"]),
    number("nfs.version", &["nfs"], U32),
    number("ldap.request.operation", &["ldap"], U8).named(LDAP_OPERATIONS),
    number("ldap.responses.operation", &["ldap"], U8).named(LDAP_OPERATIONS),
    number("ldap.responses.count", &["ldap"], U32),
    number("ldap.responses.result_code", &["ldap"], U32).named(LDAP_RESULTS),
    number("websocket.opcode", &["websocket"], U8).named(WEBSOCKET_OPCODES),
    number("websocket.mask", &["websocket"], U32),
    number("websocket.flags", &["websocket"], U8),
    number("pop3.status", &["pop3"], U8).named(&[("ok", 0), ("err", 1)]),
    number("ftp.mode", &["ftp"], 1).named(&[("active", 0), ("passive", 1)]),
    number("ftpdata_command", &["ftp-data"], 1).named(&[("retr", 0), ("stor", 1)]),
    number("ftp.dynamic_port", &["ftp"], U16),
    number("modbus.function", &["modbus"], U8),
];

const U64: u64 = u64::MAX;
const HTTP: &[&str] = &["http"];

/// Checksums: keyword.
pub const CHECKSUMS: &[&str] = &[
    "ipv4-csum",
    "tcpv4-csum",
    "tcpv6-csum",
    "udpv4-csum",
    "udpv6-csum",
    "icmpv4-csum",
    "icmpv6-csum",
    "igmp-csum",
];

/// Which number a keyword names: its place in a table.
pub(super) fn find(table: &'static [Field], word: &str) -> Option<(u16, &'static Field)> {
    let place = table.iter().position(|field| field.name == word || field.aliases.contains(&word))?;
    Some((place as u16, &table[place]))
}

/// Message types of RFC 4120, 7.5.7.
const KRB5_MESSAGES: &[(&str, u64)] = &[
    ("as_req", 10),
    ("as_rep", 11),
    ("tgs_req", 12),
    ("tgs_rep", 13),
    ("ap_req", 14),
    ("ap_rep", 15),
    ("safe", 20),
    ("priv", 21),
    ("cred", 22),
    ("error", 30),
];

/// Names as in IANA's list of protocol numbers, those that rules use.
const IP_PROTOCOLS: &[(&str, u64)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("udp", 17),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", 132),
];

/// Chunk types of RFC 9260 and its extensions.
const SCTP_CHUNKS: &[(&str, u64)] = &[
    ("data", 0),
    ("init", 1),
    ("init_ack", 2),
    ("sack", 3),
    ("heartbeat", 4),
    ("heartbeat_ack", 5),
    ("abort", 6),
    ("shutdown", 7),
    ("shutdown_ack", 8),
    ("error", 9),
    ("cookie_echo", 10),
    ("cookie_ack", 11),
    ("shutdown_complete", 14),
    ("auth", 15),
    ("i_data", 64),
    ("asconf_ack", 128),
    ("re_config", 130),
    ("pad", 132),
    ("forward_tsn", 192),
    ("asconf", 193),
];

/// Response codes of IANA's "DNS RCODEs".
const DNS_CODES: &[(&str, u64)] = &[
    ("noerror", 0),
    ("formerr", 1),
    ("servfail", 2),
    ("nxdomain", 3),
    ("notimp", 4),
    ("refused", 5),
    ("yxdomain", 6),
    ("yxrrset", 7),
    ("nxrrset", 8),
    ("notauth", 9),
    ("notzone", 10),
];

/// Record types of IANA's "Resource Record (RR) TYPEs".
const DNS_TYPES: &[(&str, u64)] = &[
    ("a", 1),
    ("ns", 2),
    ("cname", 5),
    ("soa", 6),
    ("null", 10),
    ("ptr", 12),
    ("mx", 15),
    ("txt", 16),
    ("aaaa", 28),
    ("srv", 33),
    ("naptr", 35),
    ("ds", 43),
    ("rrsig", 46),
    ("nsec", 47),
    ("dnskey", 48),
    ("svcb", 64),
    ("https", 65),
    ("any", 255),
    ("axfr", 252),
    ("ixfr", 251),
];

/// Versions as they stand in records.
const TLS_VERSIONS: &[(&str, u64)] = &[
    ("sslv2", 0x0002),
    ("sslv3", 0x0300),
    ("tls1.0", 0x0301),
    ("tls1.1", 0x0302),
    ("tls1.2", 0x0303),
    ("tls1.3", 0x0304),
    ("1.0", 0x0301),
    ("1.1", 0x0302),
    ("1.2", 0x0303),
    ("1.3", 0x0304),
];

/// Which message was seen last, a bit each.
const TLS_STATES: &[(&str, u64)] =
    &[("client_hello", 1), ("server_hello", 2), ("client_keyx", 4), ("server_keyx", 8), ("unknown", 16)];

/// Control packet types of MQTT 5.0, 2.1.2.
const MQTT_TYPES: &[(&str, u64)] = &[
    ("connect", 1),
    ("connack", 2),
    ("publish", 3),
    ("puback", 4),
    ("pubrec", 5),
    ("pubrel", 6),
    ("pubcomp", 7),
    ("subscribe", 8),
    ("suback", 9),
    ("unsubscribe", 10),
    ("unsuback", 11),
    ("pingreq", 12),
    ("pingresp", 13),
    ("disconnect", 14),
    ("auth", 15),
];

/// RFC 9113, 7.
const HTTP2_ERRORS: &[(&str, u64)] = &[
    ("no_error", 0),
    ("protocol_error", 1),
    ("internal_error", 2),
    ("flow_control_error", 3),
    ("settings_timeout", 4),
    ("stream_closed", 5),
    ("frame_size_error", 6),
    ("refused_stream", 7),
    ("cancel", 8),
    ("compression_error", 9),
    ("connect_error", 10),
    ("enhance_your_calm", 11),
    ("inadequate_security", 12),
    ("http_1_1_required", 13),
];

/// RFC 9113, 6.
const HTTP2_FRAMES: &[(&str, u64)] = &[
    ("data", 0),
    ("headers", 1),
    ("priority", 2),
    ("rst_stream", 3),
    ("settings", 4),
    ("push_promise", 5),
    ("ping", 6),
    ("goaway", 7),
    ("window_update", 8),
    ("continuation", 9),
];

/// Operations of RFC 4511, 4.2 to 4.13, by their tags.
const LDAP_OPERATIONS: &[(&str, u64)] = &[
    ("bind_request", 0),
    ("bind_response", 1),
    ("unbind_request", 2),
    ("search_request", 3),
    ("search_result_entry", 4),
    ("search_result_done", 5),
    ("modify_request", 6),
    ("modify_response", 7),
    ("add_request", 8),
    ("add_response", 9),
    ("del_request", 10),
    ("del_response", 11),
    ("mod_dn_request", 12),
    ("mod_dn_response", 13),
    ("compare_request", 14),
    ("compare_response", 15),
    ("abandon_request", 16),
    ("search_result_reference", 19),
    ("extended_request", 23),
    ("extended_response", 24),
    ("intermediate_response", 25),
];

/// RFC 4511, appendix A.1, those that rules use.
const LDAP_RESULTS: &[(&str, u64)] = &[
    ("success", 0),
    ("operations_error", 1),
    ("protocol_error", 2),
    ("time_limit_exceeded", 3),
    ("size_limit_exceeded", 4),
    ("compare_false", 5),
    ("compare_true", 6),
    ("auth_method_not_supported", 7),
    ("stronger_auth_required", 8),
    ("no_such_object", 32),
    ("invalid_dn_syntax", 34),
    ("inappropriate_authentication", 48),
    ("invalid_credentials", 49),
    ("insufficient_access_rights", 50),
    ("busy", 51),
    ("unavailable", 52),
    ("unwilling_to_perform", 53),
    ("entry_already_exists", 68),
    ("other", 80),
];

/// RFC 6455, 5.2.
const WEBSOCKET_OPCODES: &[(&str, u64)] =
    &[("continuation", 0), ("text", 1), ("binary", 2), ("connection_close", 8), ("ping", 9), ("pong", 10)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_one_number() {
        let tables = PACKET_FIELDS.iter().chain(FIELDS);
        let mut words: Vec<_> =
            tables.flat_map(|field| [field.name].into_iter().chain(field.aliases.iter().copied())).collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
        assert_eq!(find(FIELDS, "dce_opnum").map(|(_, field)| field.name), Some("dcerpc.opnum"));
    }
}
