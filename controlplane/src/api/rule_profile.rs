//! `/dpi/rules/profile`: what does trying each rule cost?

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, Parameters};
use super::rules::book;
use super::trail::Told;
use crate::services::Services;
use crate::services::rules::{CostOrder, RuleProfile};

/// How long is measured where nobody says it.
const SECONDS_DEFAULT: u32 = 60;

/// How long is measured at most.
const SECONDS_MAX: u32 = 3_600;

/// Rules in an answer that does not say how many it wants.
const LIMIT_DEFAULT: usize = 100;

/// Rules in an answer at most.
const LIMIT_MAX: usize = 1_000;

/// How long is to be measured.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProfile {
    /// For so long, then it ends by itself; 60 where left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3_600)]
    seconds: Option<u32>,
}

/// What the audit has of it.
#[derive(Serialize)]
struct Measuring {
    running: bool,
    seconds: Option<u32>,
}

/// What trying the rules cost while it was measured.
///
/// Rules that were never tried are left out. What was measured is kept until it is measured anew, or the rules are read again.
#[utoipa::path(
    get,
    path = "/dpi/rules/profile",
    tag = "dpi",
    params(
        ("sort" = Option<String>, Query, description = "The most first: total, avg, max (time), checks or matches; total where left out."),
        ("limit" = Option<u32>, Query, description = "Rules wanted, 1 to 1000; 100 where left out."),
    ),
    responses((status = 200, description = "Rules with their cost.", body = RuleProfile)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<RuleProfile>, Problem> {
    let sort = parameters.take("sort", "total, avg, max, checks or matches", CostOrder::named);
    let limit = parameters.take("limit", "a number from 1 to 1000", |text| {
        text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
    });
    parameters.finish()?;
    let book = book(&services)?;
    let (sort, limit) = (sort.unwrap_or_default(), limit.unwrap_or(LIMIT_DEFAULT));
    Ok(Json(jobs.read(move || book.in_force().profile(sort, limit)).await?))
}

/// Measures what trying each rule costs, from zero, for some time.
///
/// Meanwhile each try of a rule takes two looks at the clock more, some 50 ns. Reading the rules again ends it.
#[utoipa::path(
    post,
    path = "/dpi/rules/profile",
    tag = "dpi",
    request_body = NewProfile,
    responses((status = 200, description = "It is measured.", body = RuleProfile)),
)]
pub(super) async fn start(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(new): JsonBody<NewProfile>,
) -> Result<(Extension<Told>, Json<RuleProfile>), Problem> {
    let seconds = new.seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        let detail = format!("is {seconds}, must be 1 to {SECONDS_MAX}");
        let fault = Fault { pointer: Some("/seconds".to_owned()), detail, ..Fault::default() };
        let problem = Problem::new(Code::InvalidBody, "Nothing is measured for so long.");
        return Err(problem.with_faults(vec![fault]));
    }
    let book = book(&services)?;
    let started = jobs.change(move || {
        let rules = book.in_force();
        rules.start_profile(book.clock(), seconds).then(|| rules.profile(CostOrder::Total, 0))
    });
    let absent = || Problem::new(Code::Unavailable, "No rule is in force whose cost could be measured.");
    let profile = started.await?.ok_or_else(absent)?;
    let told = Told::about("rules").after(&Measuring { running: true, seconds: Some(seconds) });
    Ok((Extension(told), Json(profile)))
}

/// Measures no more what trying rules costs; what was measured stays.
#[utoipa::path(
    delete,
    path = "/dpi/rules/profile",
    tag = "dpi",
    responses((status = 200, description = "What was measured, the 100 dearest rules first.", body = RuleProfile)),
)]
pub(super) async fn stop(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<(Extension<Told>, Json<RuleProfile>), Problem> {
    let book = book(&services)?;
    let stopped = jobs.change(move || {
        let rules = book.in_force();
        rules.stop_profile();
        rules.profile(CostOrder::Total, LIMIT_DEFAULT)
    });
    let told = Told::about("rules").after(&Measuring { running: false, seconds: None });
    Ok((Extension(told), Json(stopped.await?)))
}
