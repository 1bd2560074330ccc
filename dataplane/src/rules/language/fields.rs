//! Numbers of packets and of transactions that rules test by name. Tables, under the names of Suricata's documentation.

use super::names::{
    DNP3_FUNCTIONS, DNS_CODES, DNS_TYPES, ENIP_COMMANDS, ENIP_STATUS, HTTP2_ERRORS, HTTP2_FRAMES,
    IP_PROTOCOLS, KRB5_MESSAGES, LDAP_OPERATIONS, LDAP_RESULTS, MQTT_TYPES, NTP_MODES, SCTP_CHUNKS,
    SNMP_PDUS, TLS_STATES, TLS_VERSIONS, WEBSOCKET_OPCODES,
};

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
    /// Whether these are bits, of which several may be named.
    pub is_bits: bool,
    /// Whether it is no keyword: others ask for it.
    pub is_inner: bool,
}

const fn of_packet(name: &'static str, max: u64) -> Field {
    Field { name, aliases: &[], of: &[], max, names: &[], is_bits: false, is_inner: false }
}

const fn number(name: &'static str, of: &'static [&'static str], max: u64) -> Field {
    Field { name, aliases: &[], of, max, names: &[], is_bits: false, is_inner: false }
}

const fn inner(name: &'static str, of: &'static [&'static str], max: u64) -> Field {
    Field { is_inner: true, ..number(name, of, max) }
}

impl Field {
    const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn named(self, names: &'static [(&'static str, u64)]) -> Self {
        Self { names, ..self }
    }

    const fn of_bits(self, names: &'static [(&'static str, u64)]) -> Self {
        Self { names, is_bits: true, ..self }
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
    of_packet("l3_proto", 6).named(&[("ipv4", 4), ("ip4", 4), ("ipv6", 6), ("ip6", 6)]),
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
    inner("krb5.ticket_encryption", &["krb5"], U32),
    // In seconds since 1970; whether it was over when it was shown.
    inner("tls.cert_notbefore", &["tls"], U64),
    inner("tls.cert_notafter", &["tls"], U64),
    inner("tls.cert_is_expired", &["tls"], 1),
    number("dcerpc.opnum", &["dcerpc", "smb"], U16).or(&["dce_opnum"]),
    number("snmp.version", &["snmp"], U32),
    number("snmp.pdu_type", &["snmp"], U32).named(SNMP_PDUS),
    number("ike.exchtype", &["ike"], U8),
    // Attributes that `ike.chosen_sa_attribute` names.
    inner("ike.alg_enc", &["ike"], U32),
    inner("ike.alg_hash", &["ike"], U32),
    inner("ike.alg_auth", &["ike"], U32),
    inner("ike.alg_dh", &["ike"], U32),
    inner("ike.alg_prf", &["ike"], U32),
    inner("ike.sa_group_type", &["ike"], U32),
    inner("ike.sa_life_type", &["ike"], U32),
    inner("ike.sa_life_duration", &["ike"], U32),
    inner("ike.sa_key_length", &["ike"], U32),
    inner("ike.sa_field_size", &["ike"], U32),
    number("ike.key_exchange_payload_length", &["ike"], U32),
    number("ike.nonce_payload_length", &["ike"], U32),
    number("mqtt.type", &["mqtt"], U8).named(MQTT_TYPES),
    number("mqtt.protocol_version", &["mqtt"], U8),
    number("mqtt.reason_code", &["mqtt"], U8).or(&["mqtt.connack.return_code"]),
    number("mqtt.flags", &["mqtt"], U8).of_bits(&[("retain", 1), ("dup", 8)]),
    number("mqtt.connect.flags", &["mqtt"], U8).of_bits(&[
        ("clean_session", 0x02),
        ("will", 0x04),
        ("will_retain", 0x20),
        ("password", 0x40),
        ("username", 0x80),
    ]),
    number("mqtt.connack.session_present", &["mqtt"], 1).named(&[
        ("yes", 1),
        ("true", 1),
        ("no", 0),
        ("false", 0),
    ]),
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
    number("enip_command", &["enip"], U16).or(&["enip.command"]).named(ENIP_COMMANDS),
    number("enip.status", &["enip"], U32).named(ENIP_STATUS),
    // Service, class and attribute together.
    inner("cip.service", &["enip"], U64),
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
    number("dnp3_func", &["dnp3"], U8).or(&["dnp3.func"]).named(DNP3_FUNCTIONS),
    inner("dnp3.indications", &["dnp3"], U16),
    // Group and variation together.
    inner("dnp3.object", &["dnp3"], U16),
    number("nfs_procedure", &["nfs"], U32).or(&["nfs.procedure"]),
    number("nfs.version", &["nfs"], U32),
    // A procedure of version 3.
    inner("nfs.named", &["nfs"], U32),
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
    inner("modbus.unit", &["modbus"], U8),
    inner("modbus.function", &["modbus"], U8),
    inner("modbus.subfunction", &["modbus"], U16),
    inner("modbus.category", &["modbus"], U8),
    inner("modbus.access", &["modbus"], U8),
    // First and last one, counted from 1.
    inner("modbus.address", &["modbus"], U32),
    // Address and value together.
    inner("modbus.written", &["modbus"], U64),
    number("smb.version", &["smb"], U8),
    number("ntp.mode", &["ntp"], U8).named(NTP_MODES),
    number("ntp.stratum", &["ntp"], U8),
    number("ntp.version", &["ntp"], U8),
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

/// The place of a name in [`FIELDS`], which a test of the readers shows to be there.
pub(super) fn named(name: &str) -> u16 {
    find(FIELDS, name).map_or(u16::MAX, |(place, _field)| place)
}

/// Which number a keyword names: its place in a table.
pub(super) fn find(table: &'static [Field], word: &str) -> Option<(u16, &'static Field)> {
    let place = table.iter().position(|field| field.name == word || field.aliases.contains(&word))?;
    Some((place as u16, &table[place]))
}

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
        assert!(FIELDS.iter().all(|field| usize::from(named(field.name)) < FIELDS.len()));
        assert_eq!(find(FIELDS, "dce_opnum").map(|(_, field)| field.name), Some("dcerpc.opnum"));
    }
}
