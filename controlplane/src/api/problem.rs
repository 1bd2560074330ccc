//! Why was this request not done? RFC 9457 problem documents with codes that programs can rely on.
//!
//! `code` never changes its meaning; `title` is for people, `detail` tells this case, `errors` lists every
//! single fault of the request at once. [`Code::ALL`] is the table of them.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::trail::Told;
use crate::store::StoreError;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:ident;)+) => {
        /// Every reason for which a request is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All of them, for the table in the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The problem's title: the same sentence every time.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii_start(),)+ }
            }
        }
    };
}

codes! {
    /// The body is not the JSON that this call takes.
    InvalidBody = "invalid_body", BAD_REQUEST;
    /// A query parameter is unknown or has a value that it cannot have.
    InvalidParameter = "invalid_parameter", BAD_REQUEST;
    /// This takes a token: `Authorization: Bearer ...`.
    Unauthenticated = "unauthenticated", UNAUTHORIZED;
    /// The name or the password is wrong.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED;
    /// The token is not one of this box, was changed, or has expired.
    InvalidToken = "invalid_token", UNAUTHORIZED;
    /// The session of the token has ended.
    SessionEnded = "session_ended", UNAUTHORIZED;
    /// The refresh token was used before; its session is ended.
    RefreshReused = "refresh_reused", UNAUTHORIZED;
    /// The role does not have the permission that this call takes.
    Forbidden = "forbidden", FORBIDDEN;
    /// The password must be changed before anything else.
    PasswordMustChange = "password_must_change", FORBIDDEN;
    /// Clients must show a certificate that is let in.
    ClientCertificate = "client_certificate", FORBIDDEN;
    /// There is nothing at this path.
    NotFound = "not_found", NOT_FOUND;
    /// This path does not have this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The request did not arrive, or was not done, in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// The box runs without what this call needs.
    Unavailable = "unavailable_here", CONFLICT;
    /// Another account has this name.
    NameTaken = "name_taken", CONFLICT;
    /// There is one with this id already.
    Exists = "exists", CONFLICT;
    /// Another change waits to be confirmed.
    CommitPending = "commit_pending", CONFLICT;
    /// No change waits to be confirmed.
    NothingPending = "nothing_pending", CONFLICT;
    /// The caller would be cut off from this API.
    CutsOff = "cuts_off", CONFLICT;
    /// Nobody would be left who may do everything.
    LastAdmin = "last_admin", CONFLICT;
    /// The account may still log in.
    AccountEnabled = "account_enabled", CONFLICT;
    /// A hold speaks against it.
    Held = "held", CONFLICT;
    /// There is no room for another one.
    Full = "full", CONFLICT;
    /// A call with this `Idempotency-Key` is being made.
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT;
    /// Somebody else changed it since it was read.
    Stale = "stale", PRECONDITION_FAILED;
    /// This path speaks WebSocket only.
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED;
    /// The body is larger than this call takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// This `Idempotency-Key` was used for another call.
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY;
    /// The password is not taken.
    InvalidPassword = "invalid_password", UNPROCESSABLE_ENTITY;
    /// The token has more bytes than are taken.
    TokenTooLong = "oidc_too_long", UNPROCESSABLE_ENTITY;
    /// The token is no signed JWT that tells who somebody is.
    TokenMalformed = "oidc_malformed", UNPROCESSABLE_ENTITY;
    /// The token is signed in a way that is not taken, or not of its key.
    TokenAlgorithm = "oidc_algorithm", UNPROCESSABLE_ENTITY;
    /// The provider has no such key.
    TokenUnknownKey = "oidc_unknown_key", UNPROCESSABLE_ENTITY;
    /// The token's signature is wrong.
    TokenSignature = "oidc_signature", UNPROCESSABLE_ENTITY;
    /// The token is another provider's.
    TokenIssuer = "oidc_issuer", UNPROCESSABLE_ENTITY;
    /// The token is for somebody else.
    TokenAudience = "oidc_audience", UNPROCESSABLE_ENTITY;
    /// The token is over.
    TokenExpired = "oidc_expired", UNPROCESSABLE_ENTITY;
    /// The token does not hold yet.
    TokenNotYet = "oidc_not_yet", UNPROCESSABLE_ENTITY;
    /// The token does not say who it is, or not so that policies could compare with it.
    TokenClaims = "oidc_claims", UNPROCESSABLE_ENTITY;
    /// The provider's keys could not be had yet.
    TokenNoKeys = "oidc_no_keys", SERVICE_UNAVAILABLE;
    /// The policy set has errors; the one in force stays.
    InvalidPolicy = "invalid_policy", UNPROCESSABLE_ENTITY;
    /// The rules have errors; the ones before stay in force.
    InvalidRules = "invalid_rules", UNPROCESSABLE_ENTITY;
    /// Too many attempts failed; `Retry-After` says when the next one is heard.
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS;
    /// The client asks too often; `Retry-After` says when it may again.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS;
    /// The disk is full; nothing was changed.
    StoreFull = "store_full", INSUFFICIENT_STORAGE;
    /// The disk does not keep what it is given; nothing was changed.
    StoreFailing = "store_failing", SERVICE_UNAVAILABLE;
    /// It was changed, but the audit does not tell of it: the disk failed in between.
    Unaudited = "unaudited", INTERNAL_SERVER_ERROR;
    /// The block list has no room for this.
    BlockListFull = "block_list_full", INSUFFICIENT_STORAGE;
    /// A worker did not answer in time.
    WorkerTimeout = "worker_timeout", GATEWAY_TIMEOUT;
    /// The system refused what this call asked of it.
    SystemRefused = "system_refused", BAD_GATEWAY;
    /// Too much is being asked at once.
    Busy = "busy", SERVICE_UNAVAILABLE;
    /// This should not happen; please report it with the request id.
    Internal = "internal", INTERNAL_SERVER_ERROR;
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default, ToSchema)]
pub struct Fault {
    /// The query parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The place in the body, as a JSON pointer (RFC 6901) or path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The file at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong, a sentence.
    pub detail: String,
}

/// A refusal.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    faults: Vec<Fault>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
    told: Option<Box<Told>>,
}

impl Problem {
    /// A refusal for one reason, told by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), faults: Vec::new(), retry_after_s: None, allow: None, told: None }
    }

    /// Adds the list of everything that is wrong.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// Says when it is worth trying again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says which methods the path takes.
    #[must_use]
    pub fn allowing(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Says what the audit should know of it.
    #[must_use]
    pub(super) fn telling(mut self, told: Told) -> Self {
        self.told = Some(Box::new(told));
        self
    }

    /// A change that was not kept.
    pub(super) fn of_store(error: &StoreError, detail: String) -> Self {
        let code = match error {
            StoreError::Full { .. } => Code::StoreFull,
            StoreError::TooLarge { .. } => Code::BodyTooLarge,
            StoreError::Failing { .. }
            | StoreError::Damaged { .. }
            | StoreError::InUse { .. }
            | StoreError::Newer { .. } => Code::StoreFailing,
        };
        Self::new(code, detail)
    }

    /// This case.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// When it is worth trying again, in seconds.
    #[must_use]
    pub const fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }
}

/// RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemView<'a> {
    /// `about:blank`: `code` says more than a URI would.
    r#type: &'static str,
    /// The same sentence for each code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Why, for programs; never changes its meaning.
    code: &'static str,
    /// Why this time, for people.
    detail: &'a str,
    /// Every single fault of the request.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [Fault],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemView {
            r#type: "about:blank",
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.faults,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.code.status();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.extensions_mut().insert(self.code);
        if let Some(told) = self.told {
            response.extensions_mut().insert(*told);
        }
        let retry_after_s = self.retry_after_s.or((self.code == Code::Busy).then_some(1));
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow.as_deref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        if self.code == Code::UpgradeRequired {
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some(challenge) = challenge(self.code) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// RFC 6750 3: what a client without a good token is told.
const fn challenge(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => Some("Bearer realm=\"jarvis\""),
        Code::InvalidToken | Code::SessionEnded => Some("Bearer realm=\"jarvis\", error=\"invalid_token\""),
        Code::Forbidden => Some("Bearer realm=\"jarvis\", error=\"insufficient_scope\""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_code() {
        let readme = include_str!("../../README.md");
        for code in Code::ALL {
            let line = format!("| `{}` | {} | {} |", code.as_str(), code.status().as_u16(), code.title());
            assert!(readme.contains(&line), "README.md lacks {line}");
        }
    }

    #[test]
    fn codes_are_unique_and_have_a_title() {
        for code in Code::ALL {
            assert!(code.title().ends_with('.'), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert_eq!(
                Code::ALL.iter().filter(|other| other.as_str() == code.as_str()).count(),
                1,
                "{code:?}"
            );
        }
    }
}
