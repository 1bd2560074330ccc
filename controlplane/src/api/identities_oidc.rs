//! `/policy/identities/oidc`: who is it that shows this token, and where?

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::identities::{Asserted, keys_of, put_in_force};
use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::JsonBody;
use crate::services::Services;
use crate::services::identities::oidc::{OidcError, TokenError};
use crate::services::identities::{Assertion, Source};

/// That whoever shows a token is somewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownToken {
    /// An ID token, or an access token that is a JWT, of the provider (`[identity.oidc]`).
    #[schema(value_type = String, max_length = 16_384)]
    token: Zeroizing<String>,
    /// Where: addresses, networks (`10.1.0.0/16`), Ethernet addresses.
    #[schema(min_items = 1, max_items = 64)]
    addresses: Vec<String>,
}

/// Says that whoever a token speaks of is somewhere, until the token is over at the latest.
///
/// For who let the user in and knows the address: a captive portal, a VPN gateway. The token is verified with the provider's keys;
/// it is in no log and not in the audit.
#[utoipa::path(
    post,
    path = "/policy/identities/oidc",
    tag = "policy",
    request_body = ShownToken,
    responses((status = 201, description = "It holds.", body = Asserted)),
)]
pub(super) async fn assert(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(shown): JsonBody<ShownToken>,
) -> Result<Response, Problem> {
    let mut faults = Vec::new();
    let keys = keys_of(&shown.addresses, &mut faults);
    if !faults.is_empty() {
        let detail = "The assertion has faults; nothing was changed.";
        return Err(Problem::new(Code::InvalidBody, detail).with_faults(faults));
    }
    let verifier = Arc::clone(&services);
    // It may wait for keys: no change waits behind it.
    let known = jobs.read(move || verifier.identify(&shown.token)).await??;
    let assertion =
        Assertion { keys, who: known.who, source: Source::Oidc, expires_ns: Some(known.expires_ns) };
    put_in_force(services, &jobs, assertion).await
}

impl From<OidcError> for Problem {
    fn from(error: OidcError) -> Self {
        let code = match &error {
            OidcError::Off => Code::Unavailable,
            OidcError::NoKeys(_) => Code::TokenNoKeys,
            OidcError::Claims(_) => Code::TokenClaims,
            OidcError::Token(error) => match error {
                TokenError::Long => Code::TokenTooLong,
                TokenError::Malformed(_) => Code::TokenMalformed,
                TokenError::Algorithm => Code::TokenAlgorithm,
                TokenError::UnknownKey => Code::TokenUnknownKey,
                TokenError::Signature => Code::TokenSignature,
                TokenError::Issuer => Code::TokenIssuer,
                TokenError::Audience => Code::TokenAudience,
                TokenError::Expired { .. } => Code::TokenExpired,
                TokenError::NotYet { .. } => Code::TokenNotYet,
            },
        };
        Self::new(code, format!("Nothing was changed: {error}."))
    }
}
