//! `/api/v1/sources`: what is configured, what the log knows of it, and whether its facts count.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    Commands, List, Page,
    operations::{
        configuration::AccessRowShown,
        source_changes::{self, SourceChange, SourceChanged, SourceConfirmation, SourcePlanShown, SourceRetirement},
        sources::{self, Source},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, Read, Write},
    problem::{Kind, ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(plan))
        .routes(routes!(rows))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(retire))
}

/// Every source that was ever configured.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources", operation_id = "sources", params(FreshnessParams),
    responses((status = 200, body = List<Source>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read) -> Result<Response> {
    read.respond(&sources::list(&read.reads).await?)
}

/// Whom suspending, resuming or retiring a source would give or take something: how many, and the plan's name. Changes nothing.
#[utoipa::path(
    get, path = "/api/v1/sources/{name}/{change}/plan", tag = "sources", operation_id = "source_change_plan",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("change" = SourceChange, Path, description = "What would be done with it"), FreshnessParams,
    ),
    responses((status = 200, body = SourcePlanShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn plan(read: Read, Path((name, change)): Path<(String, String)>) -> Result<Response> {
    read.respond(&source_changes::plan(&read.reads, &name, parse(&change)?).await?)
}

/// The same by scope and name.
#[utoipa::path(
    get, path = "/api/v1/sources/{name}/{change}/plan/rows", tag = "sources", operation_id = "source_change_plan_rows",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("change" = SourceChange, Path, description = "What would be done with it"), PagingParams, FreshnessParams,
    ),
    responses((status = 200, body = Page<AccessRowShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn rows(read: Read<Paged<NoFilter>>, Path((name, change)): Path<(String, String)>) -> Result<Response> {
    read.respond_page(source_changes::rows(&read.reads, &name, parse(&change)?, &read.query.page()?).await?)
}

/// Suspends a source: its facts are kept and go on being updated, and nobody has anything through them. What takes
/// something from many is done only where `confirm` names the plan that shows it; else the answer is 409 and names it.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/suspend", tag = "sources", operation_id = "source_suspend",
    params(("name" = String, Path, description = "The source's name")), request_body = SourceConfirmation,
    responses((status = 200, body = SourceChanged), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn suspend(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(confirmation): JsonBody<SourceConfirmation>,
) -> Result<Response> {
    apply(commands, &name, SourceChange::Suspend, confirmation).await
}

/// Resumes a source that was suspended: its facts count again, as they are by now.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/resume", tag = "sources", operation_id = "source_resume",
    params(("name" = String, Path, description = "The source's name")), request_body = SourceConfirmation,
    responses((status = 200, body = SourceChanged), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn resume(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(confirmation): JsonBody<SourceConfirmation>,
) -> Result<Response> {
    apply(commands, &name, SourceChange::Resume, confirmation).await
}

fn parse(word: &str) -> Result<SourceChange> {
    SourceChange::parse(word).ok_or_else(|| {
        Kind::UnknownRoute.because("A source can be suspended, resumed and retired: `suspend`, `resume`, `retire`.")
    })
}

/// Retires a source, for ever: all its facts end, it is not read any more, and what it posts is answered 410. `source` is its
/// name once more; `confirm` as of `suspend`.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/retire", tag = "sources", operation_id = "source_retire",
    params(("name" = String, Path, description = "The source's name")), request_body = SourceRetirement,
    responses((status = 200, body = SourceChanged), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn retire(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(retirement): JsonBody<SourceRetirement>,
) -> Result<Response> {
    let changed = source_changes::retire(commands, &name, retirement).await?;
    response::json(StatusCode::OK, Some(changed.position), &changed)
}

async fn apply(
    commands: Commands,
    name: &str,
    change: SourceChange,
    confirmation: SourceConfirmation,
) -> Result<Response> {
    let changed = source_changes::apply(commands, name, change, confirmation).await?;
    response::json(StatusCode::OK, Some(changed.position), &changed)
}
