//! With which certificate does the API answer, and whom does it let into a connection?
//!
//! TLS 1.3 and nothing older, X25519MLKEM768 wherever the client has it. Files are read at the start and on [`Tls::reload`]:
//! whole or not at all, and connections that are open keep what they were made with. There is no resumption: each
//! handshake asks for the certificate again, so that a ticket never outlives what it was given for.

mod clients;
mod fingerprint;
mod handshake;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Error, RootCertStore, ServerConfig};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use clients::Verifier;
pub use clients::{Asked, ClientCertificates};
pub use fingerprint::{Fingerprint, NoFingerprint};
pub(super) use handshake::shake_hands;

use crate::store::pem_file::{PemError, read_certificates, read_private_key};

/// Application protocols by ALPN, the most wanted first.
const ALPN: [&[u8]; 2] = [ALPN_HTTP_2, b"http/1.1"];
const ALPN_HTTP_2: &[u8] = b"h2";

/// A certificate that ends sooner is warned about, seconds.
const EXPIRES_SOON_S: i64 = 14 * 86_400;

/// Where certificates and keys are, PEM each.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TlsFiles {
    /// The certificate and what chains it to its CA.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// CAs that client certificates must chain to.
    pub client_ca: Option<PathBuf>,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFault {
    /// Which.
    pub file: PathBuf,
    /// What.
    pub what: String,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl TlsFault {
    fn new(file: &Path, what: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), what: what.to_string() }
    }
}

/// What deserves a second look although it works, a sentence each.
pub type Warnings = Vec<TlsFault>;

/// The API's side of TLS.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    clients: ClientCertificates,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn load(
        files: TlsFiles,
        clients: ClientCertificates,
        now_s: u64,
    ) -> Result<(Self, Warnings), Vec<TlsFault>> {
        let (config, warnings) = build(&files, &clients, now_s)?;
        Ok((Self { files, clients, current: RwLock::new(Arc::new(config)) }, warnings))
    }

    /// Reads the files again; connections made from now on use what is in them.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them; what was read before stays in force.
    pub fn reload(&self, now_s: u64) -> Result<Warnings, Vec<TlsFault>> {
        let (config, warnings) = build(&self.files, &self.clients, now_s)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(warnings)
    }

    /// The files that it reads.
    #[must_use]
    pub const fn files(&self) -> &TlsFiles {
        &self.files
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn build(
    files: &TlsFiles,
    clients: &ClientCertificates,
    now_s: u64,
) -> Result<(ServerConfig, Warnings), Vec<TlsFault>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    let fault = |file: &Path, error: PemError| TlsFault::new(file, error);
    let chain =
        read_certificates(&files.certificate).map_err(|error| faults.push(fault(&files.certificate, error)));
    let key = read_private_key(&files.key).map_err(|error| faults.push(fault(&files.key, error)));
    let verifier = verifier(files, clients, &provider).map_err(|more| faults.extend(more));
    let (Ok(chain), Ok((key, open_mode)), Ok(verifier)) = (chain, key, verifier) else { return Err(faults) };
    if let Some(mode) = open_mode {
        let what = format!("others may read this key (mode {mode:o}); chmod 600 it");
        warnings.push(TlsFault::new(&files.key, what));
    }
    warnings.extend(validity_warning(&files.certificate, &chain, now_s));
    let config =
        server_config(chain, key, verifier, provider).map_err(|error| vec![blamed(files, &error)])?;
    Ok((config, warnings))
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Option<Arc<Verifier>>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, Error> {
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The file at fault where certificate and key do not make a pair.
fn blamed(files: &TlsFiles, error: &Error) -> TlsFault {
    match error {
        Error::InconsistentKeys(_) => {
            let what = format!("the key does not fit the certificate in {}", files.certificate.display());
            TlsFault::new(&files.key, what)
        }
        Error::InvalidCertificate(error) => {
            TlsFault::new(&files.certificate, format!("the first certificate cannot be used: {error}"))
        }
        error => TlsFault::new(&files.key, format!("the key cannot be used: {error}")),
    }
}

/// The judge of client certificates; `None` where clients are not asked for any.
fn verifier(
    files: &TlsFiles,
    clients: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<Verifier>>, Vec<TlsFault>> {
    if clients.asked == Asked::No {
        return Ok(None);
    }
    let chain = match &files.client_ca {
        None => None,
        Some(file) => {
            let roots = roots(file)?;
            let built =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Some(built.map_err(|error| vec![TlsFault::new(file, error)])?)
        }
    };
    Ok(Some(Arc::new(Verifier::new(chain, clients.clone(), provider.signature_verification_algorithms))))
}

fn roots(file: &Path) -> Result<RootCertStore, Vec<TlsFault>> {
    let certificates = read_certificates(file).map_err(|error| vec![TlsFault::new(file, error)])?;
    let mut roots = RootCertStore::empty();
    let mut faults = Vec::new();
    for (index, certificate) in certificates.into_iter().enumerate() {
        if let Err(error) = roots.add(certificate) {
            let what = format!("certificate {} cannot be used as a CA: {error}", index + 1);
            faults.push(TlsFault::new(file, what));
        }
    }
    if faults.is_empty() { Ok(roots) } else { Err(faults) }
}

/// Says when the server's own certificate is not good now, or not for long. It is no reason not to start: a box with an
/// expired certificate must be reachable for whoever mends that.
fn validity_warning(file: &Path, chain: &[CertificateDer<'_>], now_s: u64) -> Option<TlsFault> {
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    let validity = certificate.validity();
    let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
    let what = if now_s < validity.not_before.timestamp() {
        format!("the certificate is not valid before {}", validity.not_before)
    } else if now_s > validity.not_after.timestamp() {
        format!("the certificate expired at {}", validity.not_after)
    } else if validity.not_after.timestamp() - now_s < EXPIRES_SOON_S {
        format!("the certificate expires at {}", validity.not_after)
    } else {
        return None;
    };
    Some(TlsFault::new(file, what))
}
