//! What about a flow deserves an analyst's attention? Named risks, one bit each.

/// A named risk; the name is what EVE, policies and the API say.
macro_rules! risks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What about a flow deserves attention.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Risk {
            $($(#[$doc])* $variant,)+
        }

        impl Risk {
            /// All of them, in index order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

risks! {
    /// A certificate is not yet or no longer valid.
    CertificateDates = "certificate_dates",
    /// Issuer and subject of a server's certificate are the same.
    SelfSigned = "self_signed_certificate",
    /// The server's certificate does not name the host that the client asked for.
    CertificateMismatch = "certificate_mismatch",
    /// NULL, export, anonymous, RC4, DES or MD5 suites were agreed on.
    WeakCipher = "weak_cipher",
    /// TLS 1.1 or older, SSH 1, SMB 1, SNMP 1 and the like.
    ObsoleteVersion = "obsolete_version",
    /// A user name and password crossed the wire in clear.
    ClearTextCredentials = "clear_text_credentials",
    /// A known protocol on a port that belongs to another one, or away from its own.
    UnusualPort = "protocol_on_unusual_port",
    /// The address was not what DNS answered for the name that is asked for.
    NameAddressMismatch = "name_address_mismatch",
    /// Payload that looks random where it should not.
    SuspiciousEntropy = "suspicious_entropy",
    /// Names or records that carry data rather than names.
    DnsTunnel = "dns_tunnel",
    /// A name longer than names are.
    LongName = "long_dns_name",
    /// A name that looks generated.
    GeneratedName = "generated_domain_name",
    /// A TLS client without a server name.
    MissingSni = "missing_sni",
    /// A TLS client without ALPN to a web port.
    MissingAlpn = "missing_alpn",
    /// An executable was transferred.
    BinaryTransfer = "binary_transfer",
    /// A URL that carries an injection.
    Injection = "injection_in_url",
    /// A user agent that no browser or library has.
    SuspiciousUserAgent = "suspicious_user_agent",
    /// A host given by its address.
    NumericHost = "numeric_host",
    /// The server answered with an error.
    ErrorCode = "error_code",
    /// A request that was malformed.
    MalformedMessage = "malformed_message",
    /// A desktop or a file share that others may take over.
    RemoteControl = "remote_control",
    /// Invisible to inspection: encrypted client hello.
    EncryptedClientHello = "encrypted_client_hello",
    /// Mines a crypto currency.
    Mining = "crypto_mining",
    /// A protocol that hides what it carries.
    Obfuscated = "obfuscated_traffic",
    /// Requests of an address or name that attackers use.
    MaliciousHost = "malicious_host",
    /// A control command that changes a plant's state.
    PlantControl = "plant_control_command",
    /// A login that failed.
    FailedLogin = "failed_login",
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
}
