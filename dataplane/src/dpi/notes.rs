//! What has been learned of one flow, from whom, and how sure is it?

use super::app::AppId;
use super::host_name::HostName;
use super::protocol::Protocol;
use super::risk::{Risk, Risks};

/// How sure it must be what was spoken before something else is.
const SURE_MIN: u8 = 90;

/// What is known of a flow. Kept as long as the flow: 136 bytes, its host name in it.
#[derive(Debug, Default)]
pub struct Notes {
    protocol: Option<&'static Protocol>,
    original: Option<&'static Protocol>,
    host: Option<HostName>,
    risks: Risks,
    app: Option<AppId>,
    app_confidence: u8,
    app_evidence: Evidence,
    protocol_confidence: u8,
    host_kind: Option<HostKind>,
    anomalies: u8,
    changed: bool,
}

/// What decided on the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "`name` says it")]
pub enum Evidence {
    #[default]
    None,
    Port,
    Address,
    Behaviour,
    Dns,
    Fingerprint,
    Certificate,
    UserAgent,
    Host,
    Content,
}

impl Evidence {
    /// The name in EVE and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Port => "port",
            Self::Address => "address",
            Self::Behaviour => "behaviour",
            Self::Dns => "dns",
            Self::Fingerprint => "fingerprint",
            Self::Certificate => "certificate",
            Self::UserAgent => "user_agent",
            Self::Host => "host",
            Self::Content => "content",
        }
    }
}

/// Where a host name was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostKind {
    /// A name in a certificate.
    Certificate,
    /// A question to DNS and its like.
    Dns,
    /// `Host`, `:authority`, or the target of CONNECT.
    Http,
    /// Server name of TLS, DTLS or QUIC.
    Sni,
    /// Whatever else a protocol calls its peer (SIP domain, DHCP host name, SMB tree).
    Other,
}

impl HostKind {
    /// What a known host of this kind is evidence of, and how sure it makes.
    #[must_use]
    pub const fn weight(self) -> (Evidence, u8) {
        match self {
            Self::Certificate => (Evidence::Certificate, 80),
            Self::Dns => (Evidence::Host, 90),
            Self::Http | Self::Sni => (Evidence::Host, 95),
            Self::Other => (Evidence::Host, 70),
        }
    }
}

/// A text that may give the application away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintKind {
    /// HTTP `User-Agent`.
    UserAgent,
    /// HTTP request target.
    Url,
    /// HTTP `Server`, or another server's banner.
    Server,
    /// HTTP `Content-Type`.
    ContentType,
    /// Issuer or subject of a certificate.
    Certificate,
    /// One protocol name of ALPN.
    Alpn,
    /// JA3 of a client, 32 hexadecimal digits.
    Ja3,
    /// JA4 of a client.
    Ja4,
}

impl HintKind {
    /// What a match of this kind is evidence of, and how sure it makes.
    #[must_use]
    pub const fn weight(self) -> (Evidence, u8) {
        match self {
            Self::UserAgent => (Evidence::UserAgent, 85),
            Self::Url | Self::Server | Self::ContentType | Self::Alpn => (Evidence::Content, 85),
            Self::Certificate => (Evidence::Certificate, 80),
            Self::Ja3 | Self::Ja4 => (Evidence::Fingerprint, 70),
        }
    }
}

/// A host name longer than this is no host name (RFC 1035 2.3.4).
pub(super) const HOST_BYTES_MAX: usize = 253;

/// Anomalies told of one flow at most.
const ANOMALIES_MAX: u8 = 8;

impl Notes {
    /// The protocol, as far as it is known.
    #[must_use]
    pub const fn protocol(&self) -> Option<&'static Protocol> {
        self.protocol
    }

    /// What was spoken before an upgrade.
    #[must_use]
    pub const fn original(&self) -> Option<&'static Protocol> {
        self.original
    }

    /// How sure that is, 0 to 100.
    #[must_use]
    pub const fn protocol_confidence(&self) -> u8 {
        self.protocol_confidence
    }

    /// The application, how sure it is, and what decided.
    #[must_use]
    pub fn app(&self) -> Option<(AppId, u8, Evidence)> {
        self.app.map(|app| (app, self.app_confidence, self.app_evidence))
    }

    /// The host, lower case, without port and final dot.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Its risks.
    #[must_use]
    pub const fn risks(&self) -> Risks {
        self.risks
    }

    /// It is this protocol: what recognition found, or what a parser knows better (an upgrade, a STARTTLS).
    pub fn set_protocol(&mut self, protocol: &'static Protocol, confidence: u8) {
        self.changed |= self.protocol != Some(protocol);
        if let Some(before) = self.protocol
            && self.protocol_confidence >= SURE_MIN
            && before.eve_name() != protocol.eve_name()
        {
            self.original.get_or_insert(before);
        }
        self.protocol = Some(protocol);
        self.protocol_confidence = confidence;
    }

    /// It is this application, unless somebody surer said otherwise.
    pub fn set_app(&mut self, app: AppId, confidence: u8, evidence: Evidence) {
        if self.app.is_none() || confidence >= self.app_confidence {
            self.changed |= self.app != Some(app);
            self.app = Some(app);
            self.app_confidence = confidence;
            self.app_evidence = evidence;
        }
    }

    /// Forgets an application that nothing but `evidence` speaks for.
    pub(super) fn forget_app_of(&mut self, evidence: Evidence) {
        if self.app.is_some() && self.app_evidence == evidence {
            self.changed = true;
            self.app = None;
            self.app_confidence = 0;
            self.app_evidence = Evidence::None;
        }
    }

    /// Notes a risk.
    pub fn risk(&mut self, risk: Risk) {
        self.risks.add(risk);
    }

    /// Keeps a host name, unless a better one is known. Returns it as it is kept.
    pub(super) fn set_host(&mut self, kind: HostKind, raw: &[u8]) -> Option<&str> {
        let mut buffer = [0; HOST_BYTES_MAX];
        let host = normal_host(raw, &mut buffer)?;
        let keeps_old = self.host_kind.is_some_and(|old| old > kind) || self.host.as_deref() == Some(host);
        if !keeps_old {
            self.host = Some(host.into());
            self.host_kind = Some(kind);
        }
        self.host.as_deref()
    }

    /// The host, for whoever keeps it.
    pub(super) fn take_host(&mut self) -> Option<HostName> {
        self.host.take()
    }

    /// Forgets a protocol that its parser denied.
    pub(super) fn take_protocol(&mut self) -> Option<&'static Protocol> {
        self.protocol_confidence = 0;
        self.protocol.take()
    }

    /// Whether one more anomaly may be told.
    pub(super) fn may_tell_anomaly(&mut self) -> bool {
        let may = self.anomalies < ANOMALIES_MAX;
        self.anomalies += u8::from(may);
        may
    }

    /// Whether protocol or application changed since this was asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// Lower case, without a port, brackets and a final dot; `None` for what is no host name.
pub(super) fn normal_host<'a>(raw: &[u8], buffer: &'a mut [u8; HOST_BYTES_MAX]) -> Option<&'a str> {
    let raw = raw.trim_ascii();
    let raw = match raw {
        [b'[', inner @ ..] => &inner[..inner.iter().position(|byte| *byte == b']')?],
        _ => match raw.iter().position(|byte| *byte == b':') {
            // Several colons are an IPv6 address.
            Some(colon) if !raw[colon + 1..].contains(&b':') => &raw[..colon],
            Some(_) | None => raw,
        },
    };
    let raw = raw.strip_suffix(b".").unwrap_or(raw);
    if raw.is_empty() || raw.len() > HOST_BYTES_MAX || !raw.iter().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let host = &mut buffer[..raw.len()];
    host.copy_from_slice(raw);
    host.make_ascii_lowercase();
    std::str::from_utf8(host).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::{AppTable, Category};

    #[test]
    fn hosts_are_kept_in_one_form() {
        for (raw, expected) in [
            (&b"WWW.Example.ORG."[..], Some("www.example.org")),
            (b"a.example:8080", Some("a.example")),
            (b"[2001:db8::1]:443", Some("2001:db8::1")),
            (b"2001:db8::1", Some("2001:db8::1")),
            (b"", None),
            (b"two words", None),
            (b"\xff\xfe", None),
        ] {
            assert_eq!(normal_host(raw, &mut [0; HOST_BYTES_MAX]), expected, "{raw:?}");
        }
    }

    #[test]
    fn the_surer_source_wins() {
        let mut notes = Notes::default();
        assert_eq!(notes.set_host(HostKind::Dns, b"a.example"), Some("a.example"));
        assert_eq!(notes.set_host(HostKind::Sni, b"b.example"), Some("b.example"));
        assert_eq!(notes.set_host(HostKind::Certificate, b"c.example"), Some("b.example"));
        let mut table = AppTable::default();
        let [one, two, three] = ["one", "two", "three"].map(|name| table.intern(name, Category::Web));
        notes.set_app(one, 70, Evidence::Fingerprint);
        notes.set_app(two, 90, Evidence::Host);
        notes.set_app(three, 80, Evidence::Certificate);
        assert_eq!(notes.app(), Some((two, 90, Evidence::Host)));
    }
}
