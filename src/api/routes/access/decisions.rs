//! `/api/v1/decisions`: what was refused or reduced, found by its id; why is worked out again when asked.

use axum::{extract::Path, response::Response};
use chrono::{DateTime, Utc};
use rollcall_access::{Principal, explain};
use rollcall_events::Position;
use rollcall_store::ops::{DecisionFilter, DecisionOutcome, DecisionRow, OpsError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Locked, Reads},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Paged, Paging},
    http::reply::{Page, RestsOn},
    question::{Asked, needs},
    routes::access::explain::Explained,
};

/// How many asked actions of a decision are explained.
const MOST_EXPLAINED: usize = 20;

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Which decisions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DecisionsQuery {
    /// Only about this user, by the name of then.
    user: Option<String>,
    /// Only about this project.
    project: Option<String>,
    /// Only about this image, e.g. `acme/db`.
    image: Option<String>,
    /// From when.
    from: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    until: Option<DateTime<Utc>>,
}

/// One answer of the token server.
#[derive(Serialize, ToSchema)]
struct Decision {
    /// `dec_..`, as in the text of a refusal and as the token's `jti`.
    id: String,
    /// When.
    at: DateTime<Utc>,
    /// `denied` or `reduced`; what was granted in full is only counted.
    outcome: &'static str,
    /// The user's name then; `null` for somebody who did not sign in.
    user: Option<String>,
    /// The user's id.
    user_id: Option<String>,
    /// The client's address.
    client: String,
    /// The kind of client.
    family: String,
    /// What was asked, as scopes.
    asked: String,
    /// What was granted, as scopes.
    granted: String,
    /// The text that was sent with a refusal.
    message: Option<String>,
    /// Of which position.
    #[schema(value_type = u64)]
    position: Position,
}

/// A decision, and the same questions asked again now.
#[derive(Serialize, ToSchema)]
struct DecisionInFull {
    /// As it was.
    #[serde(flatten)]
    decision: Decision,
    /// What the answer to each asked action is now, and why. Empty where what it was about is no more.
    now: Vec<Explained>,
}

impl From<DecisionRow> for Decision {
    fn from(row: DecisionRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            outcome: match row.outcome {
                DecisionOutcome::Granted => "granted",
                DecisionOutcome::Reduced => "reduced",
                DecisionOutcome::Denied => "denied",
            },
            user: row.user_name,
            user_id: row.user_id,
            client: row.client,
            family: row.family,
            asked: row.asked,
            granted: row.granted,
            message: row.message,
            position: row.position,
        }
    }
}

/// Decisions that were not granted in full, newest first.
#[utoipa::path(
    get, path = "/api/v1/decisions", tag = "decisions", operation_id = "decisions", params(DecisionsQuery, Paging, Fresh),
    responses((status = 200, body = Page<Decision>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<DecisionsQuery>>) -> Answer<Response> {
    let DecisionsQuery { user, project, image, from, until } = &reads.query.filter;
    let filter = DecisionFilter {
        user: user.clone(),
        project: project.clone(),
        image: image.clone(),
        from: *from,
        until: *until,
    };
    let position = reads.applied();
    let rows =
        reads.ops().decisions(&filter, reads.query.after.as_deref(), reads.query.rows()).await.map_err(unreadable)?;
    let rows = rows.into_iter().map(Decision::from).collect();
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &Decision| row.id.clone())
}

/// One decision, with what the answer would be now and why.
#[utoipa::path(
    get, path = "/api/v1/decisions/{id}", tag = "decisions", operation_id = "decision",
    params(("id" = String, Path, description = "The decision's id"), Fresh),
    responses((status = 200, body = DecisionInFull), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let row = reads.ops().decision(&id).await.map_err(unreadable)?.ok_or_else(|| {
        Kind::UnknownDecision
            .because("No such decision is kept: granted ones are only counted, others are kept for 30 days.")
    })?;
    let now = reads.now();
    let (position, explained) = {
        let roster = reads.live().read();
        // Somebody who is gone since is not nobody: the question cannot be asked again.
        let principal = row.user_id.as_deref().map_or(Some(Principal::Anyone), |id| roster.caller_by_id(id));
        let explained = Asked::of_scopes(&row.asked).take(MOST_EXPLAINED).filter_map(|asked| {
            let found = (principal?, asked.scope.find(&roster)?);
            let explanation = explain(&roster, found.0, needs(&roster, asked.action)?, found.1, now);
            Some(Explained::of(&roster, &asked, found, explanation))
        });
        (roster.position(), explained.collect())
    };
    reads.answer(position, RestsOn::MoreThanTheLog, &DecisionInFull { decision: row.into(), now: explained })
}

fn unreadable(error: OpsError) -> Problem {
    Problem::unavailable("Decisions cannot be read", &error)
}
