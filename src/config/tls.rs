//! Does the API speak TLS, and what is asked of its clients' certificates?
//!
//! `[api.tls]`, `[api] trusted_proxies` and the environment's `JARVIS_MTLS_...` are one thing: what they come to is decided
//! here, and a wish that could not be kept is refused, so that nobody believes a door shut that is open.

use super::environment::Mtls;
use super::file::Section;
use controlplane::api::{Asked, ClientCertificates, Fingerprint, TlsFiles};
use serde::{Serialize, Serializer};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct ApiTls {
    /// `None` speaks in clear.
    pub files: Option<TlsFiles>,
    /// What clients over TCP must show besides a token.
    #[serde(serialize_with = "shown")]
    pub clients: ClientCertificates,
    /// Whose word on their clients' certificates is taken.
    pub trusted_proxies: Vec<IpAddr>,
}

fn shown<S: Serializer>(clients: &ClientCertificates, serializer: S) -> Result<S::Ok, S::Error> {
    let ClientCertificates { asked, allowed_fingerprints } = clients;
    let asked = ASKED.iter().find(|(_, one)| one == asked).map(|(name, _)| *name);
    let listed: Vec<String> = allowed_fingerprints.iter().map(ToString::to_string).collect();
    serde_json::json!({ "asked": asked, "allowed_fingerprints": listed }).serialize(serializer)
}

const ASKED: &[(&str, Asked)] =
    &[("none", Asked::No), ("optional", Asked::Optional), ("required", Asked::Required)];

/// Reads `[api.tls]` and `trusted_proxies` of `[api]`, and lets the environment win; notices go to `notices`.
pub(super) fn read(
    api: &mut Section<'_, '_>,
    base: &Path,
    environment: &Mtls,
    notices: &mut Vec<String>,
) -> ApiTls {
    let trusted_proxies = api
        .parsed_list::<IpAddr>("trusted_proxies", "an address such as 192.0.2.1")
        .map_or_else(Vec::new, |at| at.value);
    api.section("tls", |tls| {
        let file = |tls: &mut Section<'_, '_>, key| tls.text(key).map(|at| base.join(at.value));
        let certificate = file(tls, "certificate");
        let key = file(tls, "key");
        let client_ca = file(tls, "client_ca");
        let asked = tls.choice("client_certificates", ASKED);
        let listed = tls.parsed_list::<Fingerprint>(
            "allowed_fingerprints",
            "a SHA-256 fingerprint of 64 hexadecimal digits, with or without colons",
        );
        let files = files(tls, certificate, key, client_ca);
        let has_ca = files.as_ref().is_some_and(|files| files.client_ca.is_some());
        let clients = clients(tls, asked.map(|at| at.value), listed.map(|at| at.value), has_ca, environment);
        // Nobody who could show a certificate: the port is in clear, and no proxy speaks for others.
        if files.is_none() && trusted_proxies.is_empty() && clients != ClientCertificates::default() {
            let by_file = asked_in(tls);
            if clients.asked == Asked::Required || by_file {
                let by = if by_file { "[api.tls]" } else { "JARVIS_MTLS_REQUIRED" };
                tls.note(
                    None,
                    format!(
                        "{by} asks for client certificates, but there is no [api.tls] certificate and key to speak TLS with, \
                         and no [api] trusted_proxies that do"
                    ),
                );
            } else {
                notices.push(
                    "JARVIS_MTLS_ALLOWED_FINGERPRINTS has no effect: the API has no TLS and no trusted proxy".to_owned(),
                );
            }
            return ApiTls { files, clients: ClientCertificates::default(), trusted_proxies: Vec::new() };
        }
        ApiTls { files, clients, trusted_proxies }
    })
}

/// Whether the file has the table: what it says there is meant.
fn asked_in(tls: &Section<'_, '_>) -> bool {
    tls.line().is_some()
}

fn files(
    tls: &Section<'_, '_>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
) -> Option<TlsFiles> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_ca }),
        (Some(_), None) => {
            tls.note(None, "api.tls.certificate needs api.tls.key");
            None
        }
        (None, Some(_)) => {
            tls.note(None, "api.tls.key needs api.tls.certificate");
            None
        }
        (None, None) => {
            if client_ca.is_some() {
                tls.note(None, "api.tls.client_ca needs api.tls.certificate and api.tls.key");
            }
            None
        }
    }
}

fn clients(
    tls: &Section<'_, '_>,
    asked: Option<Asked>,
    listed: Option<Vec<Fingerprint>>,
    has_ca: bool,
    environment: &Mtls,
) -> ClientCertificates {
    let allowed_fingerprints = environment.allowed_fingerprints.clone().or(listed).unwrap_or_default();
    let can_tell = has_ca || !allowed_fingerprints.is_empty();
    let where_left_out = if can_tell { Asked::Optional } else { Asked::No };
    let (asked, by) = match (environment.required, asked) {
        (Some(true), _) => (Asked::Required, "JARVIS_MTLS_REQUIRED"),
        (Some(false), Some(Asked::Required)) => (where_left_out, ""),
        (Some(false) | None, Some(asked)) => (asked, "api.tls.client_certificates"),
        (Some(false) | None, None) => (where_left_out, ""),
    };
    if asked != Asked::No && !can_tell {
        tls.note(
            None,
            format!(
                "{by} asks for client certificates, but neither api.tls.client_ca nor a list of allowed fingerprints says \
                 which are let in"
            ),
        );
    }
    if asked == Asked::No && can_tell {
        tls.note(
            None,
            "api.tls.client_certificates is \"none\", but api.tls.client_ca or a list of allowed fingerprints is given",
        );
    }
    ClientCertificates { asked, allowed_fingerprints }
}
