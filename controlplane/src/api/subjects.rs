//! `/admin/subjects`: whose personal fields are not to be read any more?

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::Parameters;
use super::trail::Told;
use crate::services::Services;
use crate::services::auth::{Auth, AuthError};
use crate::services::subjects::ErasedView;

/// Names of what is held of the audit.
async fn held(services: &Arc<Services>, jobs: &Jobs) -> Result<Vec<String>, Problem> {
    let services = Arc::clone(services);
    let held = jobs.read(move || services.holds_of_audit()).await?;
    held.map_err(|error| Problem::of_store(&error, format!("The holds cannot be read: {error}.")))
}

/// Destroys the key of an account's personal fields, for good.
///
/// An account that is disabled is removed first; one that may log in is refused. Its fields in the audit read `(erased)` from
/// then on, and `jarvis audit verify` finds the chain as it was. A backup that was made before still has the key: erase again
/// after restoring one. While something of the audit is held (`/admin/holds`) it is refused, unless `despite_holds` says otherwise.
#[utoipa::path(
    post,
    path = "/admin/subjects/{subject}/erase",
    tag = "admin",
    params(
        ("subject" = String, Path, description = "The `user_id` that the account has, or had."),
        ("despite_holds" = Option<bool>, Query, description = "Also while something of the audit is held."),
    ),
    responses((status = 200, description = "Erased, now or before.", body = ErasedView)),
)]
pub(super) async fn erase(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    State(jobs): State<Arc<Jobs>>,
    Path(subject): Path<String>,
    mut parameters: Parameters,
) -> Result<(Extension<Told>, Json<ErasedView>), Problem> {
    let told = Told::about(&subject);
    let despite_holds = parameters.take("despite_holds", "true or false", |text| text.parse().ok());
    parameters.finish().map_err(|problem| problem.telling(told.clone()))?;
    let held = held(&services, &jobs).await.map_err(|problem| problem.telling(told.clone()))?;
    if !held.is_empty() && !despite_holds.unwrap_or(false) {
        let detail = format!(
            "The audit is held ({}), and what a hold is for may need what is to be erased: release it, or \
             ask with despite_holds=true.",
            held.join(", ")
        );
        return Err(Problem::new(Code::Held, detail).telling(told));
    }
    let has_account = match auth.account_view(&subject) {
        Ok(account) if account.enabled => {
            let detail =
                format!("Account {subject} may log in: disable it (PATCH) or remove it (DELETE) first.");
            return Err(Problem::new(Code::AccountEnabled, detail).telling(told));
        }
        Ok(_disabled) => true,
        Err(AuthError::Unknown { .. }) => false,
        Err(error) => return Err(Problem::from(error).telling(told)),
    };
    if has_account {
        auth.remove_account(&subject, None)
            .await
            .map_err(|error| Problem::from(error).telling(told.clone()))?;
    }
    let (subjects, now_s) = (Arc::clone(services.audit().subjects()), services.now_s());
    let asked = subject.clone();
    let erased = jobs.change(move || subjects.erase(&asked, now_s)).await?;
    let erased = erased.map_err(|error| {
        let gone = if has_account {
            "The account is removed, but its key is not destroyed"
        } else {
            "The key is not destroyed"
        };
        Problem::of_store(&error, format!("{gone}: {error}.")).telling(told.clone())
    })?;
    let erased = erased.ok_or_else(|| {
        let detail =
            format!("There is no subject `{subject}`: no account of this id has fields in the audit.");
        Problem::new(Code::NotFound, detail).telling(told.clone())
    })?;
    let mut after = serde_json::json!({ "erased_s": erased.erased_s, "account_removed": has_account });
    if !held.is_empty() {
        after["despite_holds"] = held.into();
    }
    Ok((Extension(told.after(&after)), Json(erased)))
}
