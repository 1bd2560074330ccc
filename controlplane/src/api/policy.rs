//! `/policy`: which policies are in force, and what would they say of this flow?

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use dataplane::policy::{
    ContextError, DecidingMode, Evaluation, Field, Met, Outcome, OutcomeAction, PolicyError, PolicyIndex,
    PolicySet, Target, Tried, Truth,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::policy_schema::{FlowContext, PolicySetDocument};
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, Parameters, RawBody};
use super::trail::Told;
use crate::services::Services;
use crate::services::policies::{Judgement, Origin, PolicyChange, PolicyLoadError, PolicyState, action_name};

#[derive(Serialize, ToSchema)]
pub(super) struct PolicyView {
    version: u32,
    in_force: bool,
    #[serde(flatten)]
    origin: OriginView,
    strict: bool,
    deciding: &'static str,
    policies: Vec<PolicyLine>,
}

#[derive(Serialize, ToSchema)]
struct OriginView {
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct PolicyLine {
    policy_id: String,
    name: String,
    priority: i32,
    line: u32,
    action: &'static str,
}

/// The set in force, in evaluation order.
#[utoipa::path(
    get,
    path = "/policy",
    tag = "policy",
    responses((status = 200, description = "The set.", body = PolicyView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<PolicyView>, Problem> {
    let PolicyState { set, in_force, origin, .. } = jobs.read(move || services.policy()).await?;
    let lines = (0..set.len() as u32).filter_map(|index| {
        let info = set.info(PolicyIndex(index))?;
        Some(PolicyLine {
            policy_id: info.policy_id.clone(),
            name: info.name.clone(),
            priority: info.priority,
            line: info.line,
            action: action_name(set.outcome(PolicyIndex(index))?.action),
        })
    });
    Ok(Json(PolicyView {
        version: set.version(),
        in_force,
        origin: OriginView::new(&origin),
        strict: set.strict(),
        deciding: deciding_name(set.deciding()),
        policies: lines.collect(),
    }))
}

/// The set in force as it was written.
#[utoipa::path(
    get,
    path = "/policy/document",
    tag = "policy",
    responses((status = 200, description = "The document.", body = PolicySetDocument)),
)]
pub(super) async fn document(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Response, Problem> {
    let state = jobs.read(move || services.policy()).await?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, state.document.to_vec()).into_response())
}

#[derive(Serialize, ToSchema)]
pub(super) struct ChangeView {
    version: u64,
    policies: usize,
    compile_ms: f64,
    /// `null` where a worker had not taken it over when the answer was given.
    in_force_ms: Option<f64>,
    #[serde(flatten)]
    origin: OriginView,
    applications: usize,
    /// Whether it will be there after a restart.
    persistent: bool,
}

impl From<PolicyChange> for ChangeView {
    fn from(change: PolicyChange) -> Self {
        Self {
            version: change.version,
            policies: change.policies,
            compile_ms: change.compile_us as f64 / 1e3,
            in_force_ms: change.in_force_us.map(|us| us as f64 / 1e3),
            origin: OriginView::new(&change.origin),
            applications: change.applications,
            persistent: change.origin != Origin::Api,
        }
    }
}

/// Reads the files of policies and applications again.
#[utoipa::path(
    post,
    path = "/policy/reload",
    tag = "policy",
    responses((status = 200, description = "In force.", body = ChangeView)),
)]
pub(super) async fn reload(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<(Extension<Told>, Json<ChangeView>), Problem> {
    changed(&services, &jobs, Services::reload).await
}

/// Another set.
#[utoipa::path(
    put,
    path = "/policy",
    tag = "policy",
    request_body = PolicySetDocument,
    responses((status = 200, description = "In force.", body = ChangeView)),
)]
pub(super) async fn replace(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    RawBody(bytes): RawBody,
) -> Result<(Extension<Told>, Json<ChangeView>), Problem> {
    changed(&services, &jobs, move |services| services.replace_policy(&bytes)).await
}

async fn changed(
    services: &Arc<Services>,
    jobs: &Jobs,
    change: impl FnOnce(&Services) -> Result<PolicyChange, PolicyLoadError> + Send + 'static,
) -> Result<(Extension<Told>, Json<ChangeView>), Problem> {
    let services = Arc::clone(services);
    let changed = jobs.change(move || {
        let before = services.policy().summary();
        change(&services).map(|change| (change, before, services.policy().summary()))
    });
    let (change, before, after) = changed.await?.map_err(load_problem)?;
    Ok((Extension(Told::about("policy").before(&before).after(&after)), Json(change.into())))
}

#[derive(Serialize, ToSchema)]
pub(super) struct JudgementView {
    /// `null` where nothing is decided (yet).
    decision: Option<DecisionView>,
    /// Where policies that may still match disagree.
    #[serde(skip_serializing_if = "Option::is_none")]
    deciding: Option<DecidingView>,
    policy_version: u32,
    tried: Vec<TriedView>,
    left_out: usize,
}

#[derive(Serialize, ToSchema)]
struct DecisionView {
    /// `null` where the default action decides.
    policy_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<RedirectView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimitView>,
    log: bool,
    mirror: bool,
    capture: bool,
    inspect: bool,
}

#[derive(Serialize, ToSchema)]
struct RedirectView {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RateLimitView {
    bytes_per_s: u64,
    burst_bytes: u64,
}

#[derive(Serialize, ToSchema)]
struct DecidingView {
    /// The first policy that may match.
    policy_id: Option<String>,
    awaits: Vec<&'static str>,
    /// What the flow may do meanwhile.
    mode: &'static str,
}

#[derive(Serialize, ToSchema)]
struct TriedView {
    policy_id: String,
    matches: Answer,
    conditions: Vec<MetView>,
}

#[derive(Serialize, ToSchema)]
struct MetView {
    field: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    not: bool,
    holds: Answer,
    value: String,
}

/// `true`, `false`, or `null` for not known yet.
type Answer = Option<bool>;

/// What would be made of the flow that this context describes.
#[utoipa::path(
    post,
    path = "/policy/evaluate",
    tag = "policy",
    params(
        ("tried" = Option<u32>, Query, description = "How many policies that do not match are told."),
    ),
    request_body = FlowContext,
    responses((status = 200, description = "What, and why.", body = JudgementView)),
)]
pub(super) async fn evaluate(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
    JsonBody(context): JsonBody<Value>,
) -> Result<Json<JudgementView>, Problem> {
    let tried_max = parameters.take("tried", "a number up to 10000", |text| {
        text.parse::<usize>().ok().filter(|count| *count <= 10_000)
    });
    parameters.finish()?;
    let judged = jobs.read(move || services.evaluate(&context, tried_max.unwrap_or(TRIED_DEFAULT))).await?;
    Ok(Json(judged.map_err(context_problem)?.into()))
}

/// Policies that do not match are told up to this many.
const TRIED_DEFAULT: usize = 20;

impl From<Judgement> for JudgementView {
    fn from(Judgement { set, explanation }: Judgement) -> Self {
        let id_of = |index: PolicyIndex| set.info(index).map(|info| info.policy_id.clone());
        let (decision, deciding) = match explanation.evaluation {
            Evaluation::Decided { outcome, policy } => (Some(DecisionView::new(&set, outcome, policy)), None),
            Evaluation::Deciding { policy, awaits } => {
                let mode = deciding_name(set.deciding());
                (
                    None,
                    Some(DecidingView { policy_id: id_of(policy), awaits: awaits.names().collect(), mode }),
                )
            }
            Evaluation::NoDecision => (None, None),
        };
        Self {
            decision,
            deciding,
            policy_version: set.version(),
            tried: explanation.tried.into_iter().map(TriedView::from).collect(),
            left_out: explanation.left_out,
        }
    }
}

impl DecisionView {
    fn new(set: &PolicySet, outcome: Outcome, policy: Option<PolicyIndex>) -> Self {
        let info = policy.and_then(|index| set.info(index));
        let (mut reason, mut redirect, mut rate_limit) = (None, None, None);
        match outcome.action {
            OutcomeAction::Allow => {}
            OutcomeAction::Drop(why) | OutcomeAction::Reject(why) => reason = Some(why.label()),
            OutcomeAction::Redirect(target) => {
                let to = |target: &Target| {
                    let both = [target.ipv4, target.ipv6].into_iter().flatten();
                    let both = both.map(|addr| SocketAddr::new(addr.to_ip(), target.port).to_string());
                    both.collect::<Vec<_>>().join(" or ")
                };
                redirect = set.target(target).map(|target| RedirectView {
                    to: to(target),
                    next_hop: target.next_hop.map(|mac| mac.to_string()),
                });
            }
            OutcomeAction::RateLimit(index) => {
                rate_limit = set.limit(index).map(|limit| RateLimitView {
                    bytes_per_s: limit.bytes_per_s,
                    burst_bytes: limit.burst_bytes,
                });
            }
        }
        Self {
            policy_id: info.map(|info| info.policy_id.clone()),
            name: info.map(|info| info.name.clone()),
            action: action_name(outcome.action),
            reason,
            redirect,
            rate_limit,
            log: outcome.effects.log,
            mirror: outcome.effects.mirror,
            capture: outcome.effects.capture,
            inspect: outcome.inspect,
        }
    }
}

impl From<Tried> for TriedView {
    fn from(tried: Tried) -> Self {
        let conditions = tried.conditions.into_iter().map(MetView::from).collect();
        Self { policy_id: tried.policy_id, matches: answer(tried.truth), conditions }
    }
}

impl From<Met> for MetView {
    fn from(met: Met) -> Self {
        Self { field: Field::label(met.field), not: met.negated, holds: answer(met.truth), value: met.value }
    }
}

impl OriginView {
    fn new(origin: &Origin) -> Self {
        match origin {
            Origin::Embedded => Self { origin: "embedded", file: None },
            Origin::File(path) => Self { origin: "file", file: Some(path.display().to_string()) },
            Origin::Api => Self { origin: "api", file: None },
        }
    }
}

const fn answer(truth: Truth) -> Answer {
    match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown => None,
    }
}

const fn deciding_name(mode: DecidingMode) -> &'static str {
    match mode {
        DecidingMode::Allow => "allow",
        DecidingMode::Limit => "limit",
        DecidingMode::Block => "block",
    }
}

fn load_problem(error: PolicyLoadError) -> Problem {
    let sentence = error.to_string();
    match error {
        PolicyLoadError::NoFile => Problem::new(Code::Unavailable, sentence),
        PolicyLoadError::File { .. } => Problem::new(Code::SystemRefused, sentence),
        PolicyLoadError::Invalid { errors } => {
            let detail = format!(
                "The policy set or the applications have {} errors; what is in force stays.",
                errors.len()
            );
            Problem::new(Code::InvalidPolicy, detail)
                .with_faults(errors.into_iter().map(policy_fault).collect())
        }
    }
}

fn policy_fault(error: PolicyError) -> Fault {
    let pointer = Some(error.path).filter(|path| !path.is_empty());
    let (file, line) = (Some(error.file), Some(error.line as usize));
    Fault { parameter: None, pointer, file, line, detail: error.reason }
}

fn context_problem(errors: Vec<ContextError>) -> Problem {
    let fault = |error: ContextError| Fault {
        pointer: Some(error.path).filter(|path| !path.is_empty()),
        detail: error.reason,
        ..Fault::default()
    };
    let faults = errors.into_iter().map(fault).collect();
    Problem::new(Code::InvalidBody, "The context has faults.").with_faults(faults)
}
