//! What about a flow deserves an analyst's attention? Named risks, one bit each, with how bad each one is and why.
//!
//! Parsers note a risk with [`Context::risk`] and say what in this flow speaks for it; that text waits in a store of
//! fixed pages ([`clues`]) until the flow's record is written. docs/risks.md shows the table below to users.

use std::fmt;

use super::parser::Context;

pub mod clues;
pub(super) mod flow;
mod homograph;
mod ports;

/// How much a risk matters by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing beside something else.
    Low,
    /// Worth a look.
    Medium,
    /// Somebody should act on it.
    High,
    /// Somebody should act on it now.
    Critical,
}

impl Severity {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What a risk of this severity adds to its flow's score.
    #[must_use]
    pub const fn score(self) -> u16 {
        match self {
            Self::Low => 5,
            Self::Medium => 20,
            Self::High => 50,
            Self::Critical => 100,
        }
    }
}

/// A flow's score is never higher than this, however many risks it has.
pub const SCORE_MAX: u16 = 250;

/// A named risk; the name is what EVE, policies and the API say. The comment is what triggers it, the text behind is
/// why it matters.
macro_rules! risks {
    ($($severity:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $why:literal;)+ })+) => {
        /// What about a flow deserves attention.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Risk {
            $($($(#[doc = $doc])+ $variant,)+)+
        }

        impl Risk {
            /// All of them, in index order.
            pub const ALL: &[Self] = &[$($(Self::$variant,)+)+];

            /// The name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)+)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $($(Self::$variant => Severity::$severity,)+)+ }
            }

            /// What triggers it, one sentence.
            #[must_use]
            pub const fn trigger(self) -> &'static str {
                match self { $($(Self::$variant => concat!($($doc),+).trim_ascii_start(),)+)+ }
            }

            /// Why it matters, one sentence.
            #[must_use]
            pub const fn why(self) -> &'static str {
                match self { $($(Self::$variant => $why,)+)+ }
            }
        }
    };
}

risks! {
    Critical {
        /// Questions whose names, or answers whose records, carry encoded data rather than names.
        DnsTunnel = "dns_tunnel",
            "DNS passes nearly every firewall, so that it serves to smuggle data out and commands in.";
        /// The protocol of a mining pool is spoken: Stratum and its dialects.
        Mining = "crypto_mining",
            "Machines that mine without their owner's knowledge are compromised ones.";
    }
    High {
        /// The certificate does not name the host that the client asked for.
        CertificateMismatch = "certificate_mismatch",
            "Somebody else than the wanted server may have answered.";
        /// A cipher suite or algorithm was agreed on that has no or broken encryption: NULL, export, anonymous, RC4, DES, MD5.
        WeakCipher = "weak_cipher",
            "What is said can be read or changed on the way with little effort.";
        /// A password, or what is as good as one, crossed the wire in clear or merely encoded.
        ClearTextCredentials = "clear_text_credentials",
            "Everybody on the path can log in as that user from now on.";
        /// A login by a scheme that is broken or absent: NTLM version 1, VNC without password or by DES, RDP without NLA, old passwords of MySQL.
        WeakAuthentication = "weak_authentication",
            "Who listens can recover the password, or needs none.";
        /// The decoded target of a request has what only attacks have: SQL, scripts, shell commands, ways out of the directory.
        Injection = "injection_in_url",
            "Somebody tries to make the server run what he sends.";
        /// A field of a request or response carries an attack: a lookup, a shell function, a length told twice or beside chunks.
        SuspiciousHeaders = "suspicious_headers",
            "Servers have been taken over by such fields alone.";
        /// A body that is a program although its content type says picture, text or media.
        ContentMismatch = "content_type_mismatch",
            "Programs come in disguise where filters would stop them.";
        /// A host name in punycode that mixes letters of several scripts, or is all letters that look Latin.
        HomographHost = "homograph_host",
            "The name looks like another one, which phishing lives on.";
        /// A command that changes a plant's state or program: write, operate, start, stop, download.
        PlantControl = "plant_control_command",
            "Machines, valves and breakers act on it, and the protocols ask nobody for a password.";
    }
    Medium {
        /// A server's certificate is not yet or no longer valid.
        CertificateDates = "certificate_dates",
            "Clients that go on nevertheless accept any server, and a forgotten server lacks other care too.";
        /// Issuer and subject of a server's certificate are the same.
        SelfSigned = "self_signed_certificate",
            "Nobody vouches for the server, so that anybody can stand in for it; malware's servers have such ones.";
        /// A certificate is signed by means of MD5 or SHA-1.
        WeakSignature = "weak_certificate_signature",
            "A second certificate with the same signature can be made.";
        /// A certificate's key is RSA or DSA below 2048 bits, or of a curve below 224 bits.
        SmallKey = "small_public_key",
            "The private key can be computed from it.";
        /// A version that was withdrawn: SSL, TLS 1.0 and 1.1, DTLS 1.0, SSH 1, SMB 1, SNMP 1 and 2c, MQTT 3.1, SOCKS 4.
        ObsoleteVersion = "obsolete_version",
            "Its flaws are known, published and not mended.";
        /// A protocol without any protection is spoken: Telnet, FTP, the r-commands, TFTP.
        UnsafeProtocol = "unsafe_protocol",
            "Whatever it carries can be read and changed on the way.";
        /// Another protocol than the one that owns the server's port.
        PortOfAnother = "port_of_another_protocol",
            "Filters that go by ports are passed so, which tunnels and malware do on purpose.";
        /// The client asked DNS for that name and goes to an address that no answer had.
        NameAddressMismatch = "name_address_mismatch",
            "The name is a pretext, or something on the client's side answers in the place of DNS.";
        /// Payload of an unknown protocol, or a name, that is as random as encrypted data.
        SuspiciousEntropy = "suspicious_entropy",
            "Encryption that belongs to no known protocol hides from inspection.";
        /// A name of more than 100 bytes, or one that is longer than names may be.
        LongName = "long_dns_name",
            "Services do not have such names; data in names, and attacks on parsers, do.";
        /// A domain whose letters look as if an algorithm had chosen them.
        GeneratedName = "generated_domain_name",
            "Malware computes names of the day to find its masters.";
        /// An executable was transferred in clear.
        BinaryTransfer = "binary_transfer",
            "Programs that come over HTTP can be exchanged on the way, and malware loads its parts so.";
        /// A user agent of an attack tool, or one that no browser or library has.
        SuspiciousUserAgent = "suspicious_user_agent",
            "Scanners and malware say so, or give themselves away by it.";
        /// A server names a version that its makers no longer mend.
        ObsoleteServer = "obsolete_server",
            "Holes that are found in it stay open.";
        /// A desktop is shown and steered from elsewhere.
        RemoteControl = "remote_control",
            "Who gets hold of it has the whole machine.";
        /// The server refused a login.
        FailedLogin = "failed_login",
            "Many of them are somebody who guesses passwords.";
    }
    Low {
        /// A known protocol away from the ports where it is usual.
        UnusualPort = "protocol_on_unusual_port",
            "Services that shall not be found, or filters that shall be passed, move to other ports.";
        /// A server's certificate is valid for longer than public authorities might issue when it was made (now 398 days, 200 from March 2026).
        LongValidity = "long_certificate_validity",
            "Public authorities issue no such ones; a stolen key serves for years.";
        /// A TLS client without a server name.
        MissingSni = "missing_sni",
            "Browsers always send it; tools and malware that go to an address do not.";
        /// A TLS client that offers no protocol above on port 443.
        MissingAlpn = "missing_alpn",
            "Browsers always do; whatever this is, it is not one.";
        /// A host that is given by its address.
        NumericHost = "numeric_host",
            "No name means nothing that DNS filters could have stopped.";
        /// The server answered with an error.
        ErrorCode = "error_code",
            "Many of them are somebody who searches, or a service that is broken.";
        /// A message that its protocol does not allow.
        MalformedMessage = "malformed_message",
            "Attacks on parsers begin so, and so do tunnels that only pretend to be a protocol.";
        /// The client's hello is encrypted, or pretends to be.
        EncryptedClientHello = "encrypted_client_hello",
            "The name of the server is hidden from inspection; browsers also send it without need.";
    }
}

const _: () = assert!(Risk::ALL.len() <= 64);

/// A set of risks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Risks(pub u64);

impl Risks {
    /// Adds one.
    pub const fn add(&mut self, risk: Risk) {
        self.0 |= 1 << risk as u8;
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, risk: Risk) -> bool {
        self.0 >> risk as u8 & 1 == 1
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Risk> {
        Risk::ALL.iter().copied().filter(move |risk| self.has(*risk))
    }

    /// The sum of their scores, at most [`SCORE_MAX`].
    #[must_use]
    pub fn score(self) -> u16 {
        self.iter().map(|risk| risk.severity().score()).sum::<u16>().min(SCORE_MAX)
    }
}

impl Context<'_> {
    /// Notes a risk of the flow; `evidence` says in a few words what in this flow speaks for it, as far as there is
    /// room ([`clues::EVIDENCE_BYTES_MAX`]). Only the first time counts. Nothing is allocated.
    pub fn risk(&mut self, risk: Risk, evidence: fmt::Arguments<'_>) {
        if !self.notes.risks().has(risk) {
            self.notes.risk(risk);
            self.clues.note(risk, evidence);
        }
    }
}

#[cfg(test)]
mod tests;
