//! `/telemetry/talkers`, `/telemetry/users`: who moves the most bytes?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::Parameters;
use crate::services::Services;
use crate::services::talkers::{Side, TalkersView, UsersView, Window};

/// Lines of an answer at most.
const LINES_MAX: usize = 1_000;

/// Lines of an answer that does not say how many it wants.
const LINES_DEFAULT: usize = 20;

fn limit(parameters: &mut Parameters) -> usize {
    let read = |text: &str| text.parse().ok().filter(|limit| (1..=LINES_MAX).contains(limit));
    parameters.take("limit", "a number from 1 to 1000", read).unwrap_or(LINES_DEFAULT)
}

/// The addresses with the most bytes.
///
/// A flow counts when it ends, with all that it moved; `live=true` adds the flows that live, to those since the start. Of very many
/// addresses the lesser ones are forgotten: `error_bytes_max` and `bytes_max` say what may be missing.
#[utoipa::path(
    get,
    path = "/telemetry/talkers",
    tag = "telemetry",
    params(
        ("by" = Option<Side>, Query, description = "The end that began the flow, the other one, or `either`, as where left out."),
        ("window" = Option<Window>, Query, description = "Flows that ended in the last minute or hour, or since the start, as where left out."),
        ("live" = Option<bool>, Query, description = "Whether live flows are added; only with `start`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Addresses wanted; 20 where left out."),
    ),
    responses((status = 200, description = "Most bytes first.", body = TalkersView)),
)]
pub(super) async fn talkers(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<TalkersView>, Problem> {
    let side = |text: &str| match text {
        "src" => Some(Side::Src),
        "dst" => Some(Side::Dst),
        "either" => Some(Side::Either),
        _ => None,
    };
    let window = |text: &str| match text {
        "1m" => Some(Window::Minute),
        "1h" => Some(Window::Hour),
        "start" => Some(Window::Start),
        _ => None,
    };
    let by = parameters.take("by", "src, dst or either", side).unwrap_or(Side::Either);
    let window = parameters.take("window", "1m, 1h or start", window).unwrap_or(Window::Start);
    let live = parameters.take("live", "true or false", |text| text.parse().ok()).unwrap_or(false);
    let limit = limit(&mut parameters);
    parameters.finish()?;
    if live && window != Window::Start {
        let fault = Fault {
            parameter: Some("live".to_owned()),
            detail: "what a live flow moved within a window is not known; it goes with window=start only"
                .to_owned(),
            ..Fault::default()
        };
        return Err(Problem::new(Code::InvalidParameter, "The query has faults.").with_faults(vec![fault]));
    }
    let found = jobs.read(move || services.talkers(by, window, limit, live)).await?;
    found.map(Json).map_err(super::flows::problem_of)
}

/// The users with the most bytes, of flows that have ended.
#[utoipa::path(
    get,
    path = "/telemetry/users",
    tag = "telemetry",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Users wanted; 20 where left out."),
    ),
    responses((status = 200, description = "Most bytes first; `unknown` is whose user nobody knows.", body = UsersView)),
)]
pub(super) async fn users(
    State(services): State<Arc<Services>>,
    mut parameters: Parameters,
) -> Result<Json<UsersView>, Problem> {
    let limit = limit(&mut parameters);
    parameters.finish()?;
    Ok(Json(services.users(limit)))
}
