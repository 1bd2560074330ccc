//! `/dpi/protocols`, `/dpi/applications`: what can be recognised?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dataplane::dpi::Category;
use serde::Serialize;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::Problem;
use super::request::Parameters;
use crate::services::Services;
use crate::services::catalog::{ApplicationView, ProtocolView, Wanted, protocols_wanted};

#[derive(Serialize, ToSchema)]
pub(super) struct ProtocolsView {
    protocols: Vec<ProtocolView>,
}

/// Protocols that are recognised.
#[utoipa::path(
    get,
    path = "/dpi/protocols",
    tag = "dpi",
    params(
        ("name" = Option<String>, Query, description = "A part of the name."),
        ("category" = Option<String>, Query, description = "Its category."),
    ),
    responses((status = 200, description = "By name.", body = ProtocolsView)),
)]
pub(super) async fn protocols(parameters: Parameters) -> Result<Json<ProtocolsView>, Problem> {
    let wanted = wanted(parameters)?;
    Ok(Json(ProtocolsView { protocols: protocols_wanted(&wanted) }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct ApplicationsView {
    applications: Vec<ApplicationView>,
}

/// Applications that are recognised, the operator's own included.
#[utoipa::path(
    get,
    path = "/dpi/applications",
    tag = "dpi",
    params(
        ("name" = Option<String>, Query, description = "A part of the name."),
        ("category" = Option<String>, Query, description = "Its category."),
    ),
    responses((status = 200, description = "By name.", body = ApplicationsView)),
)]
pub(super) async fn applications(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    parameters: Parameters,
) -> Result<Json<ApplicationsView>, Problem> {
    let wanted = wanted(parameters)?;
    let applications = jobs.read(move || services.known_applications(&wanted)).await?;
    Ok(Json(ApplicationsView { applications }))
}

fn wanted(mut parameters: Parameters) -> Result<Wanted, Problem> {
    let categories = || Category::ALL.iter().map(|category| category.name()).collect::<Vec<_>>().join(", ");
    let wanted = Wanted {
        name: parameters.take("name", "a part of a name", |text| Some(text.to_owned())),
        category: parameters.take("category", &format!("one of {}", categories()), Category::named),
    };
    parameters.finish()?;
    Ok(wanted)
}
