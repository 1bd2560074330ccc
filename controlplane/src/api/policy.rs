//! `/policy`: which policies are in force, and what would they say of this flow?
//!
//! Single policies are in [`super::policy_items`], what there was before in [`super::policy_versions`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dataplane::policy::{
    ContextError, DecidingMode, Evaluation, Field, Met, Outcome, OutcomeAction, PolicyError, PolicyIndex,
    PolicySet, Target, Tried, Truth,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::policy_asked::Asked;
use super::policy_schema::{FlowContext, PolicySetDocument};
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, Parameters, RawBody, etag};
use super::trail::Told;
use crate::services::Services;
use crate::services::policies::{
    Judgement, Origin, PolicyChange, PolicyEntry, PolicyLoadError, PolicyState, action_name,
};
use crate::services::policy_commit::CommitView;
use crate::services::policy_counts::{CountedState, PolicyCounts};
use crate::services::policy_edit::{EditError, EditFault, pointer};
use crate::services::policy_findings::PolicyFinding;

#[derive(Serialize, ToSchema)]
pub(super) struct PolicyView {
    version: u32,
    in_force: bool,
    #[serde(flatten)]
    origin: OriginView,
    /// Whether the policy file is another than when it was last taken in: `POST /policy/reload` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_changed: Option<bool>,
    /// Whether it will be there after a restart.
    persistent: bool,
    /// What of it waits to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
    sha256: String,
    strict: bool,
    deciding: &'static str,
    /// Policies of the set, disabled ones included.
    total: usize,
    /// What no policy decided.
    default: DefaultLine,
    policies: Vec<PolicyLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
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
    enabled: bool,
    line: u32,
    action: &'static str,
    #[serde(flatten)]
    counts: PolicyCounts,
}

#[derive(Serialize, ToSchema)]
struct DefaultLine {
    /// `default_action`; `null` where the set has none, and lets pass.
    action: Option<&'static str>,
    #[serde(flatten)]
    counts: PolicyCounts,
}

/// Policies of one page, where the request does not say.
const PAGE_DEFAULT: usize = 1_000;

/// Policies of one page at most.
const PAGE_MAX: usize = 10_000;

/// Which policies are wanted.
struct Wanted {
    /// Part of the id or the name, in small letters.
    name: Option<String>,
    enabled: Option<bool>,
    action: Option<&'static str>,
    /// Whether it has no hit.
    unused: Option<bool>,
    limit: usize,
    /// The last policy of the page before.
    after: Option<(i32, String)>,
}

const ACTIONS: [&str; 5] = ["allow", "drop", "reject", "redirect", "rate_limit"];

impl Wanted {
    fn read(mut parameters: Parameters) -> Result<Self, Problem> {
        let wanted = Self {
            name: parameters.take("name", "a part of an id or name", |text| Some(text.to_lowercase())),
            enabled: parameters.take("enabled", "true or false", |text| text.parse().ok()),
            action: parameters.take("action", &format!("one of {}", ACTIONS.join(", ")), |text| {
                ACTIONS.into_iter().find(|action| *action == text)
            }),
            unused: parameters.take("unused", "true or false", |text| text.parse().ok()),
            limit: parameters
                .take("limit", &format!("a number from 1 to {PAGE_MAX}"), |text| {
                    text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit))
                })
                .unwrap_or(PAGE_DEFAULT),
            after: parameters.take("cursor", "a `next_cursor` of this call", |text| {
                let place = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
                let (priority, policy_id) = place.split_once(' ')?;
                Some((priority.parse().ok()?, policy_id.to_owned()))
            }),
        };
        parameters.finish()?;
        Ok(wanted)
    }

    fn has(&self, entry: &PolicyEntry, counts: &PolicyCounts) -> bool {
        let named = |part: &String| {
            entry.policy_id.to_lowercase().contains(part) || entry.name.to_lowercase().contains(part)
        };
        self.name.as_ref().is_none_or(named)
            && self.enabled.is_none_or(|enabled| entry.enabled == enabled)
            && self.action.is_none_or(|action| entry.action == action)
            && self.unused.is_none_or(|unused| (counts.hits == 0) == unused)
            && self
                .after
                .as_ref()
                .is_none_or(|(priority, id)| (entry.priority, &entry.policy_id) > (*priority, id))
    }
}

/// The set in force, in evaluation order, with what each policy did.
#[utoipa::path(
    get,
    path = "/policy",
    tag = "policy",
    params(
        ("name" = Option<String>, Query, description = "A part of an id or name."),
        ("enabled" = Option<bool>, Query, description = "Only those that are, or are not."),
        ("action" = Option<String>, Query, description = "allow, drop, reject, redirect or rate_limit."),
        ("unused" = Option<bool>, Query, description = "Only those without a hit since they are counted, or with one."),
        ("limit" = Option<u32>, Query, description = "Policies wanted, 1 to 10000; 1000 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "The set; its version is the `ETag`.", body = PolicyView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    parameters: Parameters,
) -> Result<([(HeaderName, String); 1], Json<PolicyView>), Problem> {
    let wanted = Wanted::read(parameters)?;
    let view = jobs.read(move || {
        let CountedState { state, counts, default } = services.policy_counted();
        let PolicyState { set, in_force, origin, entries, saved, sha256, commit, .. } = state;
        let mut found = entries.iter().zip(&counts).filter(|(entry, counts)| wanted.has(entry, counts));
        let page: Vec<(&PolicyEntry, &PolicyCounts)> = found.by_ref().take(wanted.limit).collect();
        let is_last = found.next().is_none();
        let last = page.last().filter(|_| !is_last);
        PolicyView {
            version: set.version(),
            in_force,
            persistent: saved.is_some() || origin != Origin::Api,
            file_changed: services.is_policy_file_changed(),
            origin: OriginView::new(&origin),
            commit,
            sha256,
            strict: set.strict(),
            deciding: deciding_name(set.deciding()),
            total: entries.len(),
            default: DefaultLine { action: set.default_action().map(action_name), counts: default },
            next_cursor: last
                .map(|(entry, _)| URL_SAFE_NO_PAD.encode(format!("{} {}", entry.priority, entry.policy_id))),
            policies: page.into_iter().map(|(entry, counts)| PolicyLine::of(entry, *counts)).collect(),
        }
    });
    let view = view.await?;
    Ok((etag(u64::from(view.version)), Json(view)))
}

impl PolicyLine {
    fn of(entry: &PolicyEntry, counts: PolicyCounts) -> Self {
        Self {
            policy_id: entry.policy_id.clone(),
            name: entry.name.clone(),
            priority: entry.priority,
            enabled: entry.enabled,
            line: entry.line,
            action: entry.action,
            counts,
        }
    }
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
    /// Whether anything is another than before.
    changed: bool,
    /// What waits to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
    /// What is to be looked at in the set, in evaluation order: the first hundred.
    findings: Vec<PolicyFinding>,
    /// How many findings were left out here; `GET /policy/analysis` has them.
    findings_left_out: usize,
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
            persistent: change.persistent,
            changed: change.changed,
            commit: change.commit,
            findings: change.findings.told,
            findings_left_out: change.findings.left_out,
        }
    }
}

/// What a call that changes the whole set answers.
pub(super) type Changed = (Extension<Told>, [(HeaderName, String); 1], Json<ChangeView>);

/// Reads the files of policies and applications again, and takes in what was changed.
#[utoipa::path(
    post,
    path = "/policy/reload",
    tag = "policy",
    params(
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    responses((status = 200, description = "In force.", body = ChangeView)),
)]
pub(super) async fn reload(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    asked: Asked,
) -> Result<Changed, Problem> {
    let (author, expected) = asked.finish()?;
    changed(&services, &jobs, move |services| services.reload(&author, &expected)).await
}

/// Another set, as a new version.
#[utoipa::path(
    put,
    path = "/policy",
    tag = "policy",
    params(
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    request_body = PolicySetDocument,
    responses((status = 200, description = "In force.", body = ChangeView)),
)]
pub(super) async fn replace(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    asked: Asked,
    RawBody(bytes): RawBody,
) -> Result<Changed, Problem> {
    let (author, expected) = asked.finish()?;
    changed(&services, &jobs, move |services| services.replace_policy(&bytes, &author, &expected)).await
}

pub(super) async fn changed(
    services: &Arc<Services>,
    jobs: &Jobs,
    change: impl FnOnce(&Services) -> Result<PolicyChange, EditError> + Send + 'static,
) -> Result<Changed, Problem> {
    let services = Arc::clone(services);
    let changed = jobs.change(move || {
        let before = services.policy().summary();
        change(&services).map(|change| (change, before, services.policy().summary()))
    });
    let (change, before, after) = changed.await?.map_err(edit_problem)?;
    let told = Told::about("policy").before(&before).after(&after).arming(&change);
    Ok((Extension(told), etag(change.version), Json(change.into())))
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
            Origin::File(path) => Self { origin: origin.name(), file: Some(path.display().to_string()) },
            Origin::Embedded | Origin::Api => Self { origin: origin.name(), file: None },
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

pub(super) fn load_problem(error: PolicyLoadError) -> Problem {
    let sentence = error.to_string();
    match error {
        PolicyLoadError::NoFile => Problem::new(Code::Unavailable, sentence),
        PolicyLoadError::Gone { .. } => Problem::new(Code::NotFound, sentence),
        PolicyLoadError::File { .. } => Problem::new(Code::SystemRefused, sentence),
        PolicyLoadError::Store(error) => Problem::of_store(&error, sentence),
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

/// Why an edit was not made.
pub(super) fn edit_problem(error: EditError) -> Problem {
    let sentence = error.to_string();
    let faults = |faults: Vec<EditFault>| {
        let fault = |fault: EditFault| Fault {
            pointer: Some(fault.pointer).filter(|pointer| !pointer.is_empty()),
            detail: fault.detail,
            ..Fault::default()
        };
        faults.into_iter().map(fault).collect()
    };
    match error {
        EditError::Stale { .. } => Problem::new(Code::Stale, sentence),
        EditError::Unknown { .. } => Problem::new(Code::NotFound, sentence),
        EditError::Waits { .. } => Problem::new(Code::CommitPending, sentence),
        EditError::NothingWaits => Problem::new(Code::NothingPending, sentence),
        EditError::CutsOff(_) => Problem::new(Code::CutsOff, sentence),
        EditError::Exists(_) => Problem::new(Code::Exists, sentence),
        EditError::Body(found) => Problem::new(Code::InvalidBody, sentence).with_faults(faults(found)),
        EditError::Invalid(found) => Problem::new(Code::InvalidPolicy, sentence).with_faults(faults(found)),
        EditError::Load(error) => load_problem(error),
        EditError::Store(error) => Problem::of_store(&error, sentence),
        EditError::NoStore => Problem::new(Code::StoreFailing, sentence),
    }
}

fn policy_fault(error: PolicyError) -> Fault {
    let pointer = Some(pointer(&error.path)).filter(|pointer| !pointer.is_empty());
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
