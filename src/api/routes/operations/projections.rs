//! `/api/v1/projections`: where the derived state stands, held against the log, made anew beside the live one.

use axum::{extract::Path, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::{Checked, ControlError, Projection},
    http::guard::{Commands, Locked, Reads},
    http::input::{Empty, Input},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::Fresh,
    http::reply::{self, List, RestsOn},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(check)).routes(routes!(rebuild))
}

/// Where each projection stands.
#[utoipa::path(
    get, path = "/api/v1/projections", tag = "projections", operation_id = "projections", params(Fresh),
    responses((status = 200, body = List<Projection>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads) -> Answer<Response> {
    let position = reads.applied();
    let items = reads.control().projections().await?;
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}

/// Folds the log anew beside the live projection and compares; changes nothing.
#[utoipa::path(
    post, path = "/api/v1/projections/{name}/check", tag = "projections", operation_id = "projection_check",
    params(("name" = String, Path, description = "`roster` or `read`")),
    responses((status = 200, body = Checked), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn check(orders: Commands, Path(name): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let checked = orders.control().check(&name).await?;
    reply::done(StatusCode::OK, Some(checked.position), &checked)
}

/// Folds the log anew beside the live projection, compares, and swaps.
#[utoipa::path(
    post, path = "/api/v1/projections/{name}/rebuild", tag = "projections", operation_id = "projection_rebuild",
    params(("name" = String, Path, description = "`roster` or `read`")),
    responses((status = 200, body = Checked), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn rebuild(orders: Commands, Path(name): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let rebuilt = orders.control().rebuild(&name).await?;
    reply::done(StatusCode::OK, Some(rebuilt.position), &rebuilt)
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        match error {
            ControlError::Unknown(_) => Kind::UnknownProjection.because(text),
            ControlError::Busy(_) => Kind::Busy.because(format!("{text}. Try again when it is done.")).retry_after(5),
            ControlError::Damaged { position, .. } => Kind::Damaged
                .because(format!("{text}. Nothing from there on is used. Stop the server and restore a backup."))
                .at(position),
            ControlError::Unavailable(_) => Self::unavailable("It cannot be done now", &error),
        }
    }
}
