//! `/openapi.json`, `/docs`: what can be asked, and how?
//!
//! The document (OpenAPI 3.1) is made from the handlers' own annotations as the router is built; what holds for every call
//! (who may, how it is refused) is added here from [`super::permits`], so that it cannot differ from what the guard does.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    Ref, RefOr, Response as ResponseDoc, ResponseBuilder, tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::Config;

use super::guard::REQUEST_ID;
use super::permits::{Access, PERMITS, Permit};
use super::problem::{Code, Fault, Problem, ProblemView};

/// Name of the way to show who one is.
const BEARER: &str = "token";

/// The same for streams that a browser opens.
const TICKET: &str = "ticket";

/// Where the refusals of all calls are described.
const PROBLEM: &str = "Problem";

/// What the document says before any call was added.
pub(super) fn beginning(version: &str) -> OpenApi {
    let info = InfoBuilder::new()
        .title("J.A.R.V.I.S.")
        .version(version)
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build(),
        ))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`access_token` of `POST /auth/login`, or a token for a program."))
        .build();
    let ticket = ApiKeyValue::with_description(TICKET, "Of `POST /auth/ticket`, for browsers; good once.");
    let mut components = ComponentsBuilder::new()
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .security_scheme(TICKET, SecurityScheme::ApiKey(ApiKey::Query(ticket)))
        .schema(ProblemView::name(), ProblemView::schema())
        .schema(Fault::name(), Fault::schema())
        .build();
    components.responses.insert(PROBLEM.to_owned(), RefOr::T(refusal()));
    let tags = TAGS.iter().map(|(name, what)| TagBuilder::new().name(*name).description(Some(*what)).build());
    OpenApiBuilder::new().info(info).components(Some(components)).tags(Some(tags)).build()
}

const ABOUT: &str = "Everything that an operator or a program does with the appliance. Every refusal is an RFC 9457 document with \
a stable `code`; every answer carries `x-request-id`.";

/// Resources by the first word of their path.
const TAGS: &[(&str, &str)] = &[
    ("system", "Is it there, and is it well?"),
    ("auth", "Who is it, and how does it stay logged in?"),
    ("admin", "Accounts, sessions, the wire."),
    ("audit", "Who changed what?"),
    ("events", "What happens, and what has happened? `/ws` and `/socket.io/` tell the same over WebSockets."),
    ("telemetry", "What has the packet path done so far?"),
    ("dpi", "What can be recognised, and which flows are there?"),
    ("jobs", "How far is it, and what came of it?"),
    ("policy", "Which policies are in force, and what would they say of this flow?"),
];

fn refusal() -> ResponseDoc {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemView::name()))).build();
    let request_id = HeaderBuilder::new().description(Some("As in the access log.")).build();
    ResponseBuilder::new()
        .description("Refused: `code` says why, for programs; `detail` for people.")
        .content("application/problem+json", content)
        .header(REQUEST_ID.as_str(), request_id)
        .build()
}

/// The document whose calls are all there: who may make each, and how it is refused.
pub(super) fn finished(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            if let Some(permit) = PERMITS.iter().find(|permit| permit.path == path && permit.method == method)
            {
                complete(operation, permit);
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("GET", get), ("PUT", put), ("POST", post), ("DELETE", delete), ("PATCH", patch)];
    all.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

fn complete(operation: &mut Operation, permit: &Permit) {
    let token = || SecurityRequirement::new(BEARER, std::iter::empty::<&str>());
    let (security, who) = match permit.access {
        Access::Anyone => (vec![SecurityRequirement::default()], "For anyone.".to_owned()),
        Access::LocalOr(permission) => (
            vec![SecurityRequirement::default(), token()],
            format!("For clients on this machine, and with `{permission}`."),
        ),
        Access::Needs(permission) => (vec![token()], format!("Takes `{permission}`.")),
        Access::Ticketed(permission) => (
            vec![token(), SecurityRequirement::new(TICKET, std::iter::empty::<&str>())],
            format!("Takes `{permission}`, or a ticket."),
        ),
    };
    operation.security = Some(security);
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.trim().is_empty() => format!("{text}\n\n{who}"),
        _ => who,
    });
    // Names for generated clients, unique in the document.
    operation.operation_id = Some(operation_id(permit));
    // 4XX and 5XX are ranges (OpenAPI 3.1, 4.8.16): which code comes is in the document of the refusal.
    for range in ["4XX", "5XX"] {
        operation.responses.responses.insert(range.to_owned(), RefOr::Ref(Ref::from_response_name(PROBLEM)));
    }
}

/// `GET /admin/users/{user_id}` as `get_admin_users_by_user_id`.
fn operation_id(permit: &Permit) -> String {
    let mut name = permit.method.to_ascii_lowercase();
    for part in permit.path.split('/').filter(|part| !part.is_empty()) {
        name.push('_');
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(parameter) => {
                name.push_str("by_");
                name.push_str(parameter.trim_start_matches('*'));
            }
            None => name.extend(part.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })),
        }
    }
    name
}

/// The document as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Sent(Bytes);

impl Sent {
    pub(super) fn new(document: &OpenApi) -> Self {
        // Keys are strings and there is nothing else in it that JSON does not have.
        Self(serde_json::to_vec(document).unwrap_or_default().into())
    }
}

/// `GET /openapi.json`.
pub(super) async fn document(Extension(Sent(bytes)): Extension<Sent>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes)
}

/// `GET /docs`.
pub(super) async fn page() -> Redirect {
    Redirect::permanent("/docs/index.html")
}

/// `GET /docs/{*file}`: Swagger UI, all of it from this binary.
pub(super) async fn file(Path(file): Path<String>) -> Result<Response<Body>, Problem> {
    let config = Arc::new(Config::from(OPENAPI_PATH));
    let absent = || Problem::new(Code::NotFound, format!("There is nothing at /docs/{file}."));
    let found = utoipa_swagger_ui::serve(&file, config)
        .map_err(|error| Problem::new(Code::Internal, format!("The page cannot be made: {error}.")))?;
    let found = found.ok_or_else(absent)?;
    let kind = HeaderValue::from_str(&found.content_type).map_err(|_error| absent())?;
    let mut response = Response::new(Body::from(found.bytes.into_owned()));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // The page runs what it brings and asks this box, nobody else.
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    Ok(response)
}

const OPENAPI_PATH: &str = "/openapi.json";

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
