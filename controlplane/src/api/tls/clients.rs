//! Which client certificates are let in? Judged within the handshake, before a byte of HTTP is read.
//!
//! With a CA the certificate must chain to it; with a list of fingerprints it must be on the list; with both it must do
//! both. A certificate that only the list knows needs no issuer, but must be valid now. That the client holds the key is
//! checked in each case: it signs the handshake (RFC 8446 4.4.3).

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::fingerprint::Fingerprint;

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// They are not.
    #[default]
    No,
    /// They are, and may have none; one that they have must be good.
    Optional,
    /// Without a good one nobody gets in.
    Required,
}

/// What is asked of clients besides a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificates {
    /// Whether.
    pub asked: Asked,
    /// The only certificates that are let in; empty: all that the CA signed.
    pub allowed_fingerprints: Vec<Fingerprint>,
}

impl ClientCertificates {
    /// Whether the list, where there is one, has this certificate.
    #[must_use]
    pub fn allow(&self, fingerprint: Fingerprint) -> bool {
        self.allowed_fingerprints.is_empty() || self.allowed_fingerprints.contains(&fingerprint)
    }
}

/// A certificate that is not on the list.
#[derive(Debug, thiserror::Error)]
#[error("the certificate {0} is not among the allowed fingerprints")]
struct NotAllowed(Fingerprint);

/// The judge of client certificates.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Chains to the CA, where there is one.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    clients: ClientCertificates,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        chain: Option<Arc<dyn ClientCertVerifier>>,
        clients: ClientCertificates,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { chain, clients, algorithms }
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.clients.asked == Asked::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let fingerprint = Fingerprint::of(end_entity);
        if !self.clients.allow(fingerprint) {
            let reason = OtherError(Arc::new(NotAllowed(fingerprint)));
            return Err(CertificateError::Other(reason).into());
        }
        if let Some(chain) = &self.chain {
            return chain.verify_client_cert(end_entity, intermediates, now);
        }
        // Whoever is on no list and has no issuer that is known is nobody.
        if self.clients.allowed_fingerprints.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let (_, certificate) = X509Certificate::from_der(end_entity)
            .map_err(|_unreadable| Error::from(CertificateError::BadEncoding))?;
        let validity = certificate.validity();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now_s < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now_s > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
