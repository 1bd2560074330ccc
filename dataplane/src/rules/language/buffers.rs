//! Sticky buffers: where the tests that follow look. One table, under the names of Suricata's documentation.

use crate::flow::Direction;
use crate::rules::rule::BufferId;

/// A buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Its keyword.
    pub name: &'static str,
    /// Older keywords for it.
    pub aliases: &'static [&'static str],
    /// The keyword that moves the content before it into this buffer, of the older language.
    pub modifier: Option<&'static str>,
    /// Where it comes from.
    pub of: Source,
    /// Which way it goes; `None`: either.
    pub way: Option<Direction>,
    /// A transaction may have several of it, each asked for itself.
    pub is_multiple: bool,
}

/// Where a buffer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Payload of a packet or of the stream.
    Payload,
    /// Headers of a packet.
    Packet,
    /// What `base64_decode` made.
    Decoded,
    /// Files of any protocol that carries some.
    File,
    /// Transactions of these protocols, under their names in EVE.
    Transaction(&'static [&'static str]),
    /// Any parser's: a piece that it names (`frame:`).
    Frame,
}

/// The payload, where tests look before any buffer is named.
pub const PAYLOAD: BufferId = BufferId(0);
/// What `base64_decode` made.
pub const BASE64_DATA: BufferId = BufferId(1);
/// What kind of file it is.
pub const FILE_MAGIC: BufferId = buffer("file.magic");

/// Bytes of files.
pub const FILE_DATA: BufferId = BufferId(2);
/// What HTTP/1 answers with: its bytes are a file's, and the same are the response's body.
pub const SAME_IN_HTTP: [BufferId; 2] = [FILE_DATA, buffer("http.response_body")];
/// A piece that a parser names.
pub const FRAME: BufferId = BufferId(3);

const HTTP: Source = Source::Transaction(&["http"]);
const HTTP2: Source = Source::Transaction(&["http2"]);
const TLS: Source = Source::Transaction(&["tls"]);
const TLS_QUIC: Source = Source::Transaction(&["tls", "quic"]);
const QUIC: Source = Source::Transaction(&["quic"]);
const DNS: Source = Source::Transaction(&["dns"]);
const DNS_ALIKE: Source = Source::Transaction(&["dns", "mdns", "llmnr"]);
const MDNS: Source = Source::Transaction(&["mdns"]);
const LLMNR: Source = Source::Transaction(&["llmnr"]);
const SSH: Source = Source::Transaction(&["ssh"]);
const SMB: Source = Source::Transaction(&["smb"]);
const DCERPC: Source = Source::Transaction(&["dcerpc", "smb"]);
const KRB5: Source = Source::Transaction(&["krb5"]);
const SNMP: Source = Source::Transaction(&["snmp"]);
const SIP: Source = Source::Transaction(&["sip"]);
const SMTP: Source = Source::Transaction(&["smtp"]);
const MQTT: Source = Source::Transaction(&["mqtt"]);
const RFB: Source = Source::Transaction(&["rfb"]);
const IKE: Source = Source::Transaction(&["ike"]);
const FTP: Source = Source::Transaction(&["ftp"]);
const LDAP: Source = Source::Transaction(&["ldap"]);
const ENIP: Source = Source::Transaction(&["enip"]);
const WEBSOCKET: Source = Source::Transaction(&["websocket"]);
const DNP3: Source = Source::Transaction(&["dnp3"]);
const PGSQL: Source = Source::Transaction(&["pgsql"]);
const NTP: Source = Source::Transaction(&["ntp"]);
const POP3: Source = Source::Transaction(&["pop3"]);
const SERVER: Option<Direction> = Some(Direction::Forward);
const CLIENT: Option<Direction> = Some(Direction::Reverse);
const EITHER: Option<Direction> = None;

const fn one(name: &'static str, of: Source, way: Option<Direction>) -> Buffer {
    Buffer { name, aliases: &[], modifier: None, of, way, is_multiple: false }
}

const fn many(name: &'static str, of: Source, way: Option<Direction>) -> Buffer {
    Buffer { is_multiple: true, ..one(name, of, way) }
}

impl Buffer {
    const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn after(self, modifier: &'static str) -> Self {
        Self { modifier: Some(modifier), ..self }
    }
}

/// All buffers. The first four stand where their constants say.
pub const BUFFERS: &[Buffer] = &[
    one("pkt_data", Source::Payload, EITHER),
    one("base64_data", Source::Decoded, EITHER),
    many("file.data", Source::File, EITHER).or(&["file_data"]).after("http_server_body"),
    many("frame", Source::Frame, EITHER),
    // Packets.
    one("ipv4.hdr", Source::Packet, EITHER),
    one("ip.src", Source::Packet, EITHER),
    one("ip.dst", Source::Packet, EITHER),
    one("ipv6.hdr", Source::Packet, EITHER),
    one("tcp.hdr", Source::Packet, EITHER),
    one("udp.hdr", Source::Packet, EITHER),
    one("icmpv4.hdr", Source::Packet, EITHER),
    one("icmpv6.hdr", Source::Packet, EITHER),
    one("igmp.hdr", Source::Packet, EITHER),
    one("ether.hdr", Source::Packet, EITHER),
    one("arp.hdr", Source::Packet, EITHER),
    many("sctp.chunk_data", Source::Packet, EITHER),
    // Files.
    many("file.name", Source::File, EITHER),
    many("file.magic", Source::File, EITHER),
    // HTTP.
    one("http.uri", HTTP, SERVER).after("http_uri"),
    one("http.uri.raw", HTTP, SERVER).after("http_raw_uri"),
    one("http.method", HTTP, SERVER).after("http_method"),
    one("http.protocol", HTTP, EITHER).or(&["http_protocol"]),
    one("http.request_line", HTTP, SERVER).or(&["http_request_line"]),
    one("http.request_body", HTTP, SERVER).after("http_client_body"),
    one("http.header", HTTP, EITHER).after("http_header"),
    one("http.header.raw", HTTP, EITHER).after("http_raw_header"),
    one("http.header_names", HTTP, EITHER).or(&["http_header_names"]),
    many("http.request_header", HTTP, SERVER),
    many("http.response_header", HTTP, CLIENT),
    one("http.cookie", HTTP, EITHER).after("http_cookie"),
    one("http.user_agent", HTTP, SERVER).after("http_user_agent"),
    one("http.host", HTTP, SERVER).after("http_host"),
    one("http.host.raw", HTTP, SERVER).after("http_raw_host"),
    one("http.accept", HTTP, SERVER).or(&["http_accept"]),
    one("http.accept_lang", HTTP, SERVER).or(&["http_accept_lang"]),
    one("http.accept_enc", HTTP, SERVER).or(&["http_accept_enc"]),
    one("http.referer", HTTP, SERVER).or(&["http_referer"]),
    one("http.connection", HTTP, EITHER).or(&["http_connection"]),
    one("http.content_type", HTTP, EITHER).or(&["http_content_type"]),
    one("http.content_len", HTTP, EITHER).or(&["http_content_len"]),
    one("http.start", HTTP, EITHER).or(&["http_start"]),
    one("http.stat_code", HTTP, CLIENT).after("http_stat_code"),
    one("http.stat_msg", HTTP, CLIENT).after("http_stat_msg"),
    one("http.response_line", HTTP, CLIENT).or(&["http_response_line"]),
    one("http.response_body", HTTP, CLIENT),
    one("http.server", HTTP, CLIENT),
    one("http.location", HTTP, CLIENT),
    many("http2.header_name", HTTP2, EITHER),
    many("http2.header", HTTP2, EITHER),
    // TLS.
    one("tls.sni", TLS, SERVER).or(&["tls_sni"]),
    many("tls.alpn", TLS, EITHER),
    many("tls.certs", TLS, EITHER),
    one("tls.cert_subject", TLS, EITHER).or(&["tls_cert_subject"]),
    one("tls.cert_issuer", TLS, EITHER).or(&["tls_cert_issuer"]),
    one("tls.cert_serial", TLS, EITHER).or(&["tls_cert_serial"]),
    one("tls.cert_fingerprint", TLS, EITHER).or(&["tls_cert_fingerprint"]),
    many("tls.subjectaltname", TLS, CLIENT),
    one("tls.random", TLS, EITHER),
    one("tls.random_time", TLS, EITHER),
    one("tls.random_bytes", TLS, EITHER),
    one("ja3.hash", TLS_QUIC, SERVER).or(&["ja3_hash"]),
    one("ja3.string", TLS_QUIC, SERVER).or(&["ja3_string"]),
    one("ja3s.hash", TLS_QUIC, CLIENT),
    one("ja3s.string", TLS_QUIC, CLIENT),
    one("ja4.hash", TLS_QUIC, SERVER),
    // QUIC.
    one("quic.sni", QUIC, SERVER),
    one("quic.ua", QUIC, SERVER),
    one("quic.version", QUIC, EITHER),
    many("quic.cyu.hash", QUIC, SERVER),
    many("quic.cyu.string", QUIC, SERVER),
    // DNS and what looks like it.
    many("dns.query", DNS, SERVER).or(&["dns_query"]),
    many("dns.query.name", DNS, EITHER),
    many("dns.answer.name", DNS, EITHER),
    many("dns.queries.rrname", DNS_ALIKE, EITHER),
    many("dns.answers.rrname", DNS_ALIKE, EITHER),
    many("dns.authorities.rrname", DNS_ALIKE, EITHER),
    many("dns.additionals.rrname", DNS_ALIKE, EITHER),
    many("dns.response.rrname", DNS_ALIKE, CLIENT),
    many("mdns.queries.rrname", MDNS, EITHER),
    many("mdns.answers.rrname", MDNS, EITHER),
    many("mdns.authorities.rrname", MDNS, EITHER),
    many("mdns.additionals.rrname", MDNS, EITHER),
    many("mdns.response.rrname", MDNS, EITHER),
    many("llmnr.queries.rrname", LLMNR, EITHER),
    many("llmnr.answers.rrname", LLMNR, EITHER),
    many("llmnr.authorities.rrname", LLMNR, EITHER),
    many("llmnr.additionals.rrname", LLMNR, EITHER),
    // Remote access.
    one("ssh.proto", SSH, EITHER).or(&["ssh_proto"]),
    one("ssh.software", SSH, EITHER).or(&["ssh_software"]),
    one("ssh.hassh", SSH, SERVER),
    one("ssh.hassh.string", SSH, SERVER),
    one("ssh.hassh.server", SSH, CLIENT),
    one("ssh.hassh.server.string", SSH, CLIENT),
    one("rfb.name", RFB, CLIENT),
    // Windows.
    one("smb.named_pipe", SMB, SERVER).or(&["smb_named_pipe"]),
    one("smb.share", SMB, SERVER).or(&["smb_share"]),
    one("smb.ntlmssp_user", SMB, SERVER),
    one("smb.ntlmssp_domain", SMB, SERVER),
    one("dcerpc.stub_data", DCERPC, EITHER).or(&["dce_stub_data"]),
    // Suricata looks for them in what the server says alone.
    many("krb5.cname", KRB5, CLIENT).or(&["krb5_cname"]),
    many("krb5.sname", KRB5, CLIENT).or(&["krb5_sname"]),
    one("ldap.request.dn", LDAP, SERVER),
    many("ldap.responses.dn", LDAP, CLIENT),
    many("ldap.responses.message", LDAP, CLIENT),
    many("ldap.request.attribute_type", LDAP, SERVER),
    many("ldap.responses.attribute_type", LDAP, CLIENT),
    // Management.
    one("snmp.community", SNMP, EITHER),
    one("snmp.usm", SNMP, EITHER),
    // Voice.
    one("sip.method", SIP, SERVER),
    one("sip.uri", SIP, SERVER),
    one("sip.protocol", SIP, EITHER),
    one("sip.request_line", SIP, SERVER),
    one("sip.response_line", SIP, CLIENT),
    one("sip.stat_code", SIP, CLIENT),
    one("sip.stat_msg", SIP, CLIENT),
    many("sip.from", SIP, EITHER),
    many("sip.to", SIP, EITHER),
    many("sip.via", SIP, EITHER),
    many("sip.user_agent", SIP, EITHER),
    many("sip.content_type", SIP, EITHER),
    many("sip.content_length", SIP, EITHER),
    one("sip.body", SIP, EITHER),
    one("sdp.origin", SIP, EITHER),
    one("sdp.session_name", SIP, EITHER),
    one("sdp.session_info", SIP, EITHER),
    one("sdp.uri", SIP, EITHER),
    one("sdp.email", SIP, EITHER),
    one("sdp.phone_number", SIP, EITHER),
    one("sdp.connection_data", SIP, EITHER),
    many("sdp.bandwidth", SIP, EITHER),
    one("sdp.time", SIP, EITHER),
    one("sdp.repeat_time", SIP, EITHER),
    one("sdp.timezone", SIP, EITHER),
    one("sdp.encryption_key", SIP, EITHER),
    many("sdp.attribute", SIP, EITHER),
    many("sdp.media.media", SIP, EITHER),
    many("sdp.media.media_info", SIP, EITHER),
    many("sdp.media.session_info", SIP, EITHER),
    many("sdp.media.connection_data", SIP, EITHER),
    many("sdp.media.bandwidth", SIP, EITHER),
    many("sdp.media.encryption_key", SIP, EITHER),
    many("sdp.media.attribute", SIP, EITHER),
    // Mail.
    one("smtp.helo", SMTP, SERVER),
    one("smtp.mail_from", SMTP, SERVER),
    many("smtp.rcpt_to", SMTP, SERVER),
    many("email.from", SMTP, SERVER),
    many("email.to", SMTP, SERVER),
    many("email.cc", SMTP, SERVER),
    many("email.subject", SMTP, SERVER),
    many("email.date", SMTP, SERVER),
    many("email.message_id", SMTP, SERVER),
    many("email.x_mailer", SMTP, SERVER),
    many("email.url", SMTP, SERVER),
    many("email.received", SMTP, SERVER),
    many("email.body_md5", SMTP, SERVER),
    one("pop3.command", POP3, SERVER),
    // Databases.
    one("pgsql.query", PGSQL, SERVER),
    // Clocks.
    one("ntp.reference_id", NTP, EITHER),
    // Files of servers.
    one("ftp.command", FTP, SERVER),
    one("ftp.command_data", FTP, SERVER),
    many("ftp.reply", FTP, CLIENT),
    many("ftp.completion_code", FTP, CLIENT),
    // Things.
    one("mqtt.connect.clientid", MQTT, SERVER),
    one("mqtt.connect.username", MQTT, SERVER),
    one("mqtt.connect.password", MQTT, SERVER),
    one("mqtt.connect.willtopic", MQTT, SERVER),
    one("mqtt.connect.willmessage", MQTT, SERVER),
    one("mqtt.connect.protocol_string", MQTT, SERVER),
    one("mqtt.publish.topic", MQTT, EITHER),
    one("mqtt.publish.message", MQTT, EITHER),
    many("mqtt.subscribe.topic", MQTT, SERVER),
    many("mqtt.unsubscribe.topic", MQTT, SERVER),
    one("enip.product_name", ENIP, CLIENT),
    one("enip.service_name", ENIP, CLIENT),
    one("dnp3.data", DNP3, EITHER).or(&["dnp3_data"]),
    // VPN.
    // Suricata looks for each in what its own side says alone.
    one("ike.init_spi", IKE, SERVER),
    one("ike.resp_spi", IKE, CLIENT),
    one("ike.vendor", IKE, SERVER),
    one("ike.key_exchange_payload", IKE, EITHER),
    one("ike.nonce_payload", IKE, EITHER),
    // Web sockets.
    one("websocket.payload", WEBSOCKET, EITHER),
];

/// What a word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Tests that follow look there.
    Sticky(BufferId),
    /// The content before it looks there.
    Modifier(BufferId),
}

/// The buffer that a keyword names.
#[must_use]
pub fn by_keyword(word: &str) -> Option<Meaning> {
    BUFFERS.iter().enumerate().find_map(|(index, buffer)| {
        let id = BufferId(index as u16);
        if buffer.name == word || buffer.aliases.contains(&word) {
            Some(Meaning::Sticky(id))
        } else {
            (buffer.modifier == Some(word)).then_some(Meaning::Modifier(id))
        }
    })
}

impl BufferId {
    /// The buffer.
    ///
    /// # Panics
    ///
    /// Where the number is of no buffer: they are made here alone.
    #[must_use]
    pub const fn buffer(self) -> &'static Buffer {
        &BUFFERS[self.0 as usize]
    }
}

/// The number of a buffer's name.
///
/// # Panics
///
/// Where there is no such buffer: it is for constants, which do not compile then.
#[must_use]
#[expect(clippy::panic, reason = "constants are made of it, which then do not compile")]
pub const fn buffer(name: &str) -> BufferId {
    let mut index = 0;
    while index < BUFFERS.len() {
        if is_same(BUFFERS[index].name, name) {
            return BufferId(index as u16);
        }
        index += 1;
    }
    panic!("no buffer has this name")
}

/// Whether two names are the same, for constants.
pub(in crate::rules) const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// The buffer of a name in [`BUFFERS`]; the payload where there is none, which a test of this table excludes.
pub(super) fn named(name: &str) -> BufferId {
    match by_keyword(name) {
        Some(Meaning::Sticky(id) | Meaning::Modifier(id)) => id,
        None => PAYLOAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_stand_where_they_say_and_words_mean_one_thing() {
        assert_eq!(PAYLOAD.buffer().name, "pkt_data");
        assert_eq!(BASE64_DATA.buffer().name, "base64_data");
        assert_eq!(FILE_DATA.buffer().name, "file.data");
        assert_eq!(FRAME.buffer().name, "frame");
        let mut words: Vec<_> = BUFFERS
            .iter()
            .flat_map(|buffer| {
                [buffer.name].into_iter().chain(buffer.aliases.iter().copied()).chain(buffer.modifier)
            })
            .collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
        assert_eq!(by_keyword("http_uri"), Some(Meaning::Modifier(named("http.uri"))));
        assert_eq!(by_keyword("tls_sni"), Some(Meaning::Sticky(named("tls.sni"))));
        assert_eq!(by_keyword("nope"), None);
    }
}
