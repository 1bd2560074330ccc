//! CAs and certificates made for a test, and a client that shows them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::rig::{Answer, Daemon, Options};
use controlplane::api::{Asked, ClientCertificates, Fingerprint, Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned};

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Identity {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.certificate.der())
    }

    /// Writes `NAME.pem` and `NAME-key.pem`.
    pub(crate) fn write(&self, dir: &Path, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(dir.join(format!("{name}.pem")), self.certificate.pem()).unwrap();
        let key = dir.join(format!("{name}-key.pem"));
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// For a rustls client; with another's key it is a stolen certificate.
    fn certified(&self, key: &KeyPair) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap();
        Arc::new(CertifiedKey::new(vec![self.certificate.der().clone()], key))
    }
}

/// How long a certificate is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Long,
    Over,
    Ahead,
}

fn params(name: &str, life: Life) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "evil.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let (from, until) = match life {
        Life::Long => (2020, 2100),
        Life::Over => (2020, 2021),
        Life::Ahead => (2099, 2100),
    };
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params
}

/// A certificate that only itself vouches for.
pub(crate) fn self_signed(name: &str, life: Life) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params(name, life).self_signed(&key).unwrap(), key }
}

/// A CA.
pub(crate) struct Ca {
    pub(crate) certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name, Life::Long);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, name: &str, life: Life) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params(name, life).signed_by(&key, &self.issuer).unwrap(), key }
    }
}

/// A daemon with TLS, its CA, and the CA of its clients.
pub(crate) struct TlsDaemon {
    pub(crate) daemon: Daemon,
    pub(crate) tls: Arc<Tls>,
    pub(crate) ca: Ca,
    pub(crate) client_ca: Ca,
}

/// What clients must show.
pub(crate) struct Demand {
    pub(crate) asked: Asked,
    pub(crate) with_ca: bool,
    pub(crate) allowed: Vec<Fingerprint>,
}

impl Demand {
    pub(crate) fn nothing() -> Self {
        Self { asked: Asked::No, with_ca: false, allowed: Vec::new() }
    }

    pub(crate) fn clients(&self) -> ClientCertificates {
        ClientCertificates { asked: self.asked, allowed_fingerprints: self.allowed.clone() }
    }
}

impl TlsDaemon {
    pub(crate) fn start(options: Options, demand: &Demand) -> Self {
        Self::start_with(options, Ca::new("clients"), demand, &[])
    }

    pub(crate) fn start_with(options: Options, client_ca: Ca, demand: &Demand, proxies: &[&str]) -> Self {
        let ca = Ca::new("servers");
        let mut made = None;
        let daemon = Daemon::start_with(options, |config, dir| {
            ca.issue("box", Life::Long).write(dir, "server");
            std::fs::write(dir.join("ca.pem"), ca.certificate.pem()).unwrap();
            std::fs::write(dir.join("clients.pem"), client_ca.certificate.pem()).unwrap();
            let files = TlsFiles {
                certificate: dir.join("server.pem"),
                key: dir.join("server-key.pem"),
                client_ca: demand.with_ca.then(|| dir.join("clients.pem")),
            };
            let (tls, warnings) = Tls::load(files, demand.clients(), now_s()).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            let tls = Arc::new(tls);
            made = Some(Arc::clone(&tls));
            config.tls = Some(tls);
            config.client_certificates = demand.clients();
            config.trusted_proxies = proxies.iter().map(|address| address.parse().unwrap()).collect();
        });
        Self { daemon, tls: made.unwrap(), ca, client_ca }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon.tcp()
    }

    /// A client that trusts this box.
    pub(crate) fn client(&self) -> Client {
        Client::new(&[&self.ca])
    }

    pub(crate) fn dir(&self) -> &Path {
        self.daemon.dir.path()
    }

    /// Completed, refused, timed out and failed handshakes so far.
    pub(crate) fn handshakes(&self) -> [u64; 4] {
        let counted = self.daemon.services.api_counts().totals().tls_handshakes;
        [counted.completed, counted.client_refused, counted.timed_out, counted.failed]
    }

    /// Waits until these are counted: a client hears of a refusal before it is.
    #[track_caller]
    pub(crate) fn assert_handshakes(&self, expected: [u64; 4]) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.handshakes() != expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.handshakes(), expected, "completed, refused, timed out, failed");
    }
}

/// A TLS client before it connects.
pub(crate) struct Client {
    provider: CryptoProvider,
    roots: RootCertStore,
    shown: Option<Arc<CertifiedKey>>,
    alpn: Vec<Vec<u8>>,
}

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Client {
    pub(crate) fn new(trusted: &[&Ca]) -> Self {
        let mut roots = RootCertStore::empty();
        for ca in trusted {
            roots.add(ca.certificate.der().clone()).unwrap();
        }
        Self { provider: aws_lc_rs::default_provider(), roots, shown: None, alpn: Vec::new() }
    }

    pub(crate) fn showing(mut self, identity: &Identity) -> Self {
        self.shown = Some(identity.certified(&identity.key));
        self
    }

    pub(crate) fn showing_with_key_of(mut self, identity: &Identity, other: &Identity) -> Self {
        self.shown = Some(identity.certified(&other.key));
        self
    }

    pub(crate) fn alpn(mut self, protocol: &str) -> Self {
        self.alpn.push(protocol.as_bytes().to_vec());
        self
    }

    /// A client from before ML-KEM.
    pub(crate) fn classical(mut self) -> Self {
        self.provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        self
    }

    pub(crate) fn config(self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(self.roots);
        let mut config = match self.shown {
            Some(shown) => builder.with_client_cert_resolver(Arc::new(Shows(shown))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        Arc::new(config)
    }

    /// Shakes hands; the server may still refuse the client's certificate afterwards.
    pub(crate) fn connect(self, address: SocketAddr) -> io::Result<Stream> {
        connect(&self.config(), address)
    }

    /// One call, or why it was not answered.
    pub(crate) fn get(self, address: SocketAddr, path: &str) -> io::Result<Answer> {
        self.get_with(address, path, "")
    }

    pub(crate) fn get_with(self, address: SocketAddr, path: &str, headers: &str) -> io::Result<Answer> {
        get(self.connect(address)?, path, headers)
    }
}

pub(crate) fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<Stream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut connection = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap())
        .map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// The same over a connection that is there; it is closed after it.
pub(crate) fn get(mut stream: Stream, path: &str, headers: &str) -> io::Result<Answer> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if bytes.is_empty() => Err(error),
        _ if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(crate::rig::read_answer(&bytes[..])),
    }
}
