//! Why was this request not done? RFC 9457 problem documents with codes that programs can rely on.
//!
//! `code` never changes its meaning; `title` is for people, `detail` tells this case, `errors` lists every
//! single fault of the request at once. [`Code::ALL`] is the table of them.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

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
    /// This call changes something; it is answered on the Unix socket only.
    ReadOnly = "read_only", FORBIDDEN;
    /// This is answered to local clients only.
    LocalOnly = "local_only", FORBIDDEN;
    /// There is nothing at this path.
    NotFound = "not_found", NOT_FOUND;
    /// This path does not have this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The request did not arrive, or was not done, in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// The box runs without what this call needs.
    Unavailable = "unavailable_here", CONFLICT;
    /// The body is larger than this call takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// The policy set has errors; the one in force stays.
    InvalidPolicy = "invalid_policy", UNPROCESSABLE_ENTITY;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
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
}

impl Problem {
    /// A refusal for one reason, told by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), faults: Vec::new() }
    }

    /// Adds the list of everything that is wrong.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
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
        if self.code == Code::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
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
