//! `/dpi/rules`: which rules are there, which of them match, and which are in force?

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::{Page, Parameters};
use super::trail::Told;
use crate::services::Services;
use crate::services::rules::{
    InForce, RuleBook, RuleDetail, RuleError, RuleKey, RuleView, RulesSummary, RulesWanted,
};

/// Faults of rules that an answer lists.
const FAULTS_MAX: usize = 100;

#[derive(Serialize, ToSchema)]
pub(super) struct RulesPage {
    /// By generator and number.
    rules: Vec<RuleView>,
    next_cursor: Option<String>,
}

/// Rules, those that are commented out or disabled too.
#[utoipa::path(
    get,
    path = "/dpi/rules",
    tag = "dpi",
    params(
        ("sid" = Option<u64>, Query, maximum = 4_294_967_295u64, description = "A rule's number."),
        ("msg" = Option<String>, Query, description = "A part of the message."),
        ("action" = Option<String>, Query, description = "alert, drop, reject, pass or config."),
        ("class" = Option<String>, Query, description = "A classtype."),
        ("protocol" = Option<String>, Query, description = "The second word of the header, such as http."),
        ("enabled" = Option<bool>, Query, description = "Whether it is in force."),
        ("source" = Option<String>, Query, description = "A part of the file's name."),
        ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = RulesPage)),
)]
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<RulesPage>, Problem> {
    let text = |text: &str| Some(text.to_owned());
    let actions = ["alert", "drop", "reject", "pass", "config"];
    let page = Page::take(&mut parameters, cursor);
    let wanted = RulesWanted {
        sid: parameters.take("sid", "a rule's number", |text| text.parse().ok()),
        msg: parameters.take("msg", "a part of a message", text),
        action: parameters.take("action", "alert, drop, reject, pass or config", |text| {
            actions.contains(&text).then(|| text.to_owned())
        }),
        class: parameters.take("class", "a classtype", text),
        protocol: parameters.take("protocol", "a protocol", text),
        enabled: parameters.take("enabled", "true or false", |text| text.parse().ok()),
        source: parameters.take("source", "a part of a file's name", text),
    };
    parameters.finish()?;
    let book = book(&services)?;
    let (rules, more) = jobs.read(move || book.in_force().page(&wanted, page.cursor, page.limit)).await?;
    let last = rules.last().filter(|_last| more);
    let next_cursor = last.map(|last| format!("{}:{}", last.gid, last.sid));
    Ok(Json(RulesPage { rules, next_cursor }))
}

/// What came of reading the rules: how many are in force, and which cannot be.
#[utoipa::path(
    get,
    path = "/dpi/rules/summary",
    tag = "dpi",
    responses((status = 200, description = "Of the rules in force.", body = RulesSummary)),
)]
pub(super) async fn summary(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<RulesSummary>, Problem> {
    let book = book(&services)?;
    Ok(Json(jobs.read(move || book.in_force().summary()).await?))
}

/// One rule, with its text.
#[utoipa::path(
    get,
    path = "/dpi/rules/{sid}",
    tag = "dpi",
    params(("sid" = String, Path, description = "Its number, or generator and number such as 1:2019401.")),
    responses((status = 200, description = "The rule.", body = RuleDetail)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(sid): Path<String>,
) -> Result<Json<RuleDetail>, Problem> {
    let (book, key) = (book(&services)?, key(&sid)?);
    let rule = jobs.read(move || book.in_force().rule(key)).await?;
    rule.map(Json).ok_or_else(|| Problem::from(RuleError::Unknown(sid)))
}

/// Enables a rule, whatever files say of it.
///
/// All rules are read again for it, and put in force, or none where one is wrong. It holds until the rule is disabled.
#[utoipa::path(
    post,
    path = "/dpi/rules/{sid}/enable",
    tag = "dpi",
    params(("sid" = String, Path, description = "Its number, or generator and number such as 1:2019401.")),
    responses((status = 200, description = "As it is now.", body = RuleDetail)),
)]
pub(super) async fn enable(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(sid): Path<String>,
) -> Result<(Extension<Told>, Json<RuleDetail>), Problem> {
    switch(&services, &jobs, sid, true).await
}

/// Disables a rule, whatever files say of it.
///
/// All rules are read again for it, and put in force, or none where one is wrong. It holds until the rule is enabled.
#[utoipa::path(
    post,
    path = "/dpi/rules/{sid}/disable",
    tag = "dpi",
    params(("sid" = String, Path, description = "Its number, or generator and number such as 1:2019401.")),
    responses((status = 200, description = "As it is now.", body = RuleDetail)),
)]
pub(super) async fn disable(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(sid): Path<String>,
) -> Result<(Extension<Told>, Json<RuleDetail>), Problem> {
    switch(&services, &jobs, sid, false).await
}

async fn switch(
    services: &Services,
    jobs: &Jobs,
    sid: String,
    on: bool,
) -> Result<(Extension<Told>, Json<RuleDetail>), Problem> {
    let (book, key) = (book(services)?, key(&sid)?);
    let (before, after) = jobs
        .change(move || {
            let before = book.in_force().rule(key).ok_or(RuleError::Unknown(sid.clone()))?;
            let after = book.switch(key, on)?.rule(key).ok_or(RuleError::Unknown(sid))?;
            Ok::<_, RuleError>((before, after))
        })
        .await??;
    let target = format!("rule {}:{}", key.0, key.1);
    Ok((Extension(Told::about(target).before(&before.rule).after(&after.rule)), Json(after)))
}

/// Reads all rules again: all of them are put in force, or none where one is wrong.
#[utoipa::path(
    post,
    path = "/dpi/rules/reload",
    tag = "dpi",
    responses((status = 200, description = "What came of it.", body = RulesSummary)),
)]
pub(super) async fn reload(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<(Extension<Told>, Json<RulesSummary>), Problem> {
    let book = book(&services)?;
    let done = jobs.change(move || {
        let before = counts(&book.in_force());
        book.reload().map(|after| (before, counts(&after), after.summary()))
    });
    let (before, after, summary) = done.await??;
    Ok((Extension(Told::about("rules").before(&before).after(&after)), Json(summary)))
}

/// What the audit has of a set.
#[derive(Serialize)]
struct Counts {
    files: usize,
    loaded: usize,
    disabled: usize,
    failed: usize,
}

fn counts(rules: &InForce) -> Counts {
    let RulesSummary { files, loaded, disabled, failed, .. } = rules.summary();
    Counts { files, loaded, disabled, failed }
}

pub(super) fn book(services: &Services) -> Result<Arc<dyn RuleBook>, Problem> {
    let absent = || Problem::new(Code::Unavailable, "There are no rules here.");
    services.rules().map(Arc::clone).ok_or_else(absent)
}

/// `sid` or `gid:sid`.
fn cursor(text: &str) -> Option<RuleKey> {
    match text.split_once(':') {
        Some((generator, sid)) => Some((generator.parse().ok()?, sid.parse().ok()?)),
        None => Some((1, text.parse().ok()?)),
    }
}

fn key(text: &str) -> Result<RuleKey, Problem> {
    cursor(text).ok_or_else(|| RuleError::Unknown(text.to_owned()).into())
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        let detail = format!("{error}.");
        match error {
            RuleError::Unknown(_) => Self::new(Code::NotFound, detail),
            RuleError::Wrong(lines) => {
                let fault = |detail: String| Fault { detail, ..Fault::default() };
                let faults = lines.into_iter().take(FAULTS_MAX).map(fault).collect();
                Self::new(Code::InvalidRules, detail).with_faults(faults)
            }
            RuleError::Store(error) => Self::of_store(&error, detail),
        }
    }
}
