//! Whose tokens does the box believe? The configuration, with the keys looked at where they are in a file.

use crate::config::{Config, KeysPlace};
use crate::failure::Failure;
use controlplane::outbound::Place;
use controlplane::services::identities::oidc::{Expected, Oidc, OidcConfig};
use controlplane::sources::oidc::{KeysAt, read_keys};
use std::sync::Arc;
use std::time::Duration;

/// What the configuration says; `None`: nothing of tokens.
///
/// # Errors
///
/// A file without keys. A URL is asked later: its server may come up after this box.
pub(crate) fn config(config: &Config) -> Result<Option<(Arc<Oidc>, KeysAt)>, Failure> {
    let Some(oidc) = &config.identity.oidc else { return Ok(None) };
    let at = match &oidc.keys {
        KeysPlace::JwksFile(file) => {
            read_keys(file).map_err(|why| Failure::line(format!("identity.oidc.jwks_file: {why}")))?;
            KeysAt::File(file.clone())
        }
        KeysPlace::JwksUrl(url) => {
            let place = Place::of(url);
            KeysAt::Url(place.map_err(|why| Failure::line(format!("identity.oidc.jwks_url {why}")))?)
        }
    };
    let expected =
        Expected { issuer: oidc.issuer.clone(), audience: oidc.audience.clone(), leeway_s: oidc.leeway_s };
    let refresh = Duration::from_secs(oidc.refresh_s);
    let oidc = Oidc::new(OidcConfig { expected, names: oidc.claims.clone(), refresh });
    Ok(Some((Arc::new(oidc), at)))
}
