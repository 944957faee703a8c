//! `/api/v1/groups`: sets of people, services and groups.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    CommandOutcome, Created, Page,
    access::groups::{self, GroupMemberShown, GroupShown, GroupsQuery, MembersQuery, MembershipRef, NewGroup},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, ConditionalWrite, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, remove))
        .routes(routes!(list_members))
        .routes(routes!(add_member, remove_member))
}

/// Groups by id.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "groups", operation_id = "groups", params(GroupsQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<GroupShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<GroupsQuery>>) -> Result<Response> {
    read.respond_page(groups::list(&read.reads, read.query.filter.clone(), read.query.page()?).await?)
}

/// One group.
#[utoipa::path(
    get, path = "/api/v1/groups/{source}/{group}", tag = "groups", operation_id = "group",
    params(("source" = String, Path, description = "The source"), ("group" = String, Path, description = "The source's id"), FreshnessParams),
    responses((status = 200, body = GroupShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path((source, group)): Path<(String, String)>) -> Result<Response> {
    read.respond(&groups::show(&read.reads, &source, &group)?)
}

/// Who is in a group, by kind and id.
#[utoipa::path(
    get, path = "/api/v1/groups/{source}/{group}/members", tag = "groups", operation_id = "group_members",
    params(
        ("source" = String, Path, description = "The source"), ("group" = String, Path, description = "The source's id"),
        MembersQuery, PagingParams, FreshnessParams
    ),
    responses((status = 200, body = Page<GroupMemberShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list_members(
    read: Read<Paged<MembersQuery>>,
    Path((source, group)): Path<(String, String)>,
) -> Result<Response> {
    let page = read.query.page()?;
    read.respond_page(groups::members_of(&read.reads, &source, &group, read.query.filter.clone(), page).await?)
}

/// Makes a group that is kept here, `local/id`.
#[utoipa::path(
    post, path = "/api/v1/groups", tag = "groups", operation_id = "group_make", request_body = NewGroup,
    responses((status = 201, body = Created), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn create(Write(commands): Write, JsonBody(new): JsonBody<NewGroup>) -> Result<Response> {
    response::created(&groups::create(commands, new).await?)
}

/// Removes a group that is kept here.
#[utoipa::path(
    delete, path = "/api/v1/groups/{source}/{group}", tag = "groups", operation_id = "group_remove",
    params(("source" = String, Path, description = "`local`"), ("group" = String, Path, description = "Its id")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn remove(write: ConditionalWrite, Path((source, group)): Path<(String, String)>) -> Result<Response> {
    response::outcome(StatusCode::OK, &groups::remove(write.commands, &source, &group, write.only_if).await?)
}

/// Puts somebody into a group that is kept here. Safe to repeat. `If-Match` takes the tag of the group or of who is in it.
#[utoipa::path(
    put, path = "/api/v1/groups/{source}/{group}/members/{kind}/{member}", tag = "groups", operation_id = "group_enter",
    params(
        ("source" = String, Path, description = "`local`"), ("group" = String, Path, description = "Its id"),
        ("kind" = String, Path, description = "`user`, `service` or `group`"),
        ("member" = String, Path, description = "The user's name or id, the service's id, or `source/group`")
    ),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn add_member(write: ConditionalWrite, Path(path): Path<MemberPath>) -> Result<Response> {
    let outcome = groups::add_member(write.commands, membership(&path), write.only_if).await?;
    response::outcome(StatusCode::OK, &outcome)
}

/// Takes somebody out of a group that is kept here. `If-Match` takes the tag of the group or of who is in it.
#[utoipa::path(
    delete, path = "/api/v1/groups/{source}/{group}/members/{kind}/{member}", tag = "groups", operation_id = "group_leave",
    params(
        ("source" = String, Path, description = "`local`"), ("group" = String, Path, description = "Its id"),
        ("kind" = String, Path, description = "`user`, `service` or `group`"),
        ("member" = String, Path, description = "The user's name or id, the service's id, or `source/group`")
    ),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn remove_member(write: ConditionalWrite, Path(path): Path<MemberPath>) -> Result<Response> {
    let outcome = groups::remove_member(write.commands, membership(&path), write.only_if).await?;
    response::outcome(StatusCode::OK, &outcome)
}

/// Source, group, kind and member.
type MemberPath = (String, String, String, String);

fn membership((source, group, kind, member): &MemberPath) -> MembershipRef<'_> {
    MembershipRef { source, group, kind, member }
}
