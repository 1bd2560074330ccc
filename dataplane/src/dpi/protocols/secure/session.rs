//! What is known of one TLS session, whichever transport carried its hellos? Gathered here and told once.
//!
//! The record has the fields of Suricata's `tls` event. What the client says is noted at once (host, application,
//! risks); the record waits for what the server shows in clear.

use super::certificate::Certificate;
use super::hello::{self, ClientHello, ServerHello, extension};
use super::{told, tor};
use crate::dpi::fingerprint::{ja3, ja4};
use crate::dpi::{Context, Fields, HintKind, HostKind, Kept, Risk, Shown};
use crate::flow::Direction;

/// Protocol names of one list that are told.
const ALPNS_MAX: usize = 32;

/// One session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// What is told of the client and of the server.
    client: Fields,
    server: Fields,
    name: Option<Kept>,
    session_id: [u8; 32],
    session_id_len: u8,
    version: Option<u16>,
    has_client: bool,
    has_server: bool,
    has_ticket: bool,
    is_resumed: bool,
    /// Nothing like a browser: no protocol was offered above.
    has_alpn: bool,
    is_tor_client: bool,
    is_told: bool,
}

impl Session {
    /// Whether a ClientHello was seen.
    pub(crate) const fn has_client(&self) -> bool {
        self.has_client
    }

    /// Whether a ServerHello was seen.
    pub(crate) const fn has_server(&self) -> bool {
        self.has_server
    }

    /// The version that was agreed on, or the client's best one.
    pub(crate) const fn version(&self) -> Option<u16> {
        self.version
    }

    /// The server goes on without a certificate: the session is an old one.
    pub(crate) const fn resumes(&mut self) {
        self.is_resumed |= self.has_server && (self.has_ticket || self.session_id_len > 0);
    }

    /// What is to be told of the client, in a record that is not `tls`.
    pub(crate) const fn client_fields(&self) -> &Fields {
        &self.client
    }

    /// The client's first hello.
    pub(crate) fn client(
        &mut self,
        hello: &ClientHello<'_>,
        transport: ja4::Transport,
        cx: &mut Context<'_>,
    ) {
        if self.has_client {
            return;
        }
        self.has_client = true;
        let id = hello.session_id;
        if let Some(place) = self.session_id.get_mut(..id.len()) {
            place.copy_from_slice(id);
            self.session_id_len = id.len() as u8;
        }
        self.has_ticket =
            hello.extensions.get(extension::SESSION_TICKET).is_some_and(|ticket| !ticket.is_empty());
        self.has_alpn = hello.alpns().next().is_some();
        self.version = self.version.or(Some(hello.best_version()));
        let (ja3, ja4) = (ja3::of_client(hello), ja4::of_client(hello, transport));
        told::client(hello, (ja3.hash.as_bytes(), ja3.string.as_bytes(), ja4.as_bytes()), cx);
        let fields = &mut self.client;
        fields.text_if("sni", hello.server_name());
        fields.object("ja3", |fields| {
            fields.text("hash", ja3.hash.as_bytes());
            fields.text("string", ja3.string.as_bytes());
        });
        fields.text("ja4", ja4.as_bytes());
        write_alpns(fields, "client_alpns", hello.alpns());
        cx.hint(HintKind::Ja3, ja3.hash.as_bytes());
        cx.hint(HintKind::Ja4, ja4.as_bytes());
        for alpn in hello.alpns().take(ALPNS_MAX) {
            cx.hint(HintKind::Alpn, alpn);
        }
        match hello.server_name() {
            Some(name) => {
                cx.host(HostKind::Sni, name);
                self.name = Some(name.into());
                self.is_tor_client = tor::is_client(name, ja3.hash.as_bytes(), self.has_alpn);
            }
            None => cx.risk(Risk::MissingSni, format_args!("ja4 {}", Shown(ja4.as_bytes()))),
        }
        if self.is_tor_client {
            cx.app("tor", 80);
        }
        if !self.has_alpn && transport == ja4::Transport::Tcp && cx.server_port() == 443 {
            cx.risk(Risk::MissingAlpn, format_args!("port 443"));
        }
        if hello.is_encrypted() {
            cx.risk(Risk::EncryptedClientHello, format_args!("extension 0xfe0d"));
        }
        if !self.has_server && hello::is_obsolete(hello.best_version()) {
            cx.risk(
                Risk::ObsoleteVersion,
                format_args!("{} offered", hello::version_name(hello.best_version())),
            );
        }
    }

    /// The server's hello, not one that asks for another ClientHello.
    pub(crate) fn server(&mut self, hello: &ServerHello<'_>, cx: &mut Context<'_>) {
        if self.has_server {
            return;
        }
        self.has_server = true;
        let version = hello.agreed_version();
        self.version = Some(version);
        let id = hello.session_id;
        let same = self.session_id.get(..usize::from(self.session_id_len)) == Some(id) && !id.is_empty();
        // From 1.3 on the server echoes it always, and says which old key it takes (RFC 8446 4.1.3, 4.2.11).
        self.is_resumed =
            hello.extensions.get(extension::PRE_SHARED_KEY).is_some() || (same && version < 0x0304);
        if !same {
            self.session_id_len = 0;
        }
        let ja3s = ja3::of_server(hello);
        told::server(hello, (ja3s.hash.as_bytes(), ja3s.string.as_bytes()), cx);
        let fields = &mut self.server;
        fields.object("ja3s", |fields| {
            fields.text("hash", ja3s.hash.as_bytes());
            fields.text("string", ja3s.string.as_bytes());
        });
        write_alpns(fields, "server_alpns", hello.alpns());
        if hello::is_obsolete(version) {
            cx.risk(Risk::ObsoleteVersion, format_args!("{} agreed", hello::version_name(version)));
        }
        if hello::is_weak_cipher(hello.cipher) {
            cx.risk(Risk::WeakCipher, format_args!("suite 0x{:04x}", hello.cipher));
        }
    }

    /// A version without a hello that could be read (SSLv2).
    pub(crate) fn old(&mut self, version: u16, is_client: bool, cx: &mut Context<'_>) {
        self.has_client |= is_client;
        self.has_server |= !is_client;
        self.version = Some(version);
        if hello::is_obsolete(version) {
            cx.risk(Risk::ObsoleteVersion, format_args!("{}", hello::version_name(version)));
        }
    }

    /// Tells of the session, once; `der` is the server's certificate.
    pub(crate) fn tell(
        &mut self,
        event: &'static str,
        way: Direction,
        der: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) {
        self.tell_with_chain(event, way, (der, None), cx);
    }

    /// The same with the whole list of certificates, where that has come.
    pub(crate) fn tell_with_chain(
        &mut self,
        event: &'static str,
        way: Direction,
        (der, chain): (Option<&[u8]>, Option<&[u8]>),
        cx: &mut Context<'_>,
    ) {
        if self.is_told || !(self.has_client || self.has_server) {
            return;
        }
        self.is_told = true;
        let certificate = der.and_then(Certificate::read);
        if let Some(certificate) = &certificate {
            certificate.note(self.name.as_deref(), cx);
            if certificate.only_names().is_some_and(|(subject, issuer)| tor::is_server(subject, issuer)) {
                cx.app("tor", 90);
            }
        } else if der.is_some() {
            cx.anomaly("invalid_certificate");
            cx.anomaly("invalid_handshake_message");
        }
        told::end(certificate.as_ref(), (der, chain), cx);
        cx.tell_with(event, way, |fields| {
            if let Some(certificate) = &certificate {
                certificate.write(fields);
            }
            if self.is_resumed && certificate.is_none() {
                fields.bool("session_resumed", true);
            }
            self.write(fields);
        });
    }

    /// What both hellos say, as far as they came.
    pub(crate) fn write(&self, fields: &mut Fields) {
        if let Some(version) = self.version {
            fields.text("version", hello::version_name(version));
        }
        fields.append(&self.client);
        fields.append(&self.server);
    }
}

fn write_alpns<'a>(fields: &mut Fields, key: &str, alpns: impl Iterator<Item = &'a [u8]>) {
    let mut alpns = alpns.take(ALPNS_MAX).peekable();
    if alpns.peek().is_some() {
        fields.list(key, |list| alpns.for_each(|alpn| list.text("", alpn)));
    }
}
