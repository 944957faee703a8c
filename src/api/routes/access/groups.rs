//! `/api/v1/groups`: sets of people, services and groups. Those of a source are its own; those of `local` are kept here.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_access::{GroupIx, Principal, Roster};
use rollcall_events::{
    Body, LOCAL, Position,
    body::{self, Group, GroupMember, GroupRef, Member},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::{no_such_group, no_such_service},
    http::guard::{Changes, Changing, Commands, Locked, Reads},
    http::input::{self, Input},
    http::problem::{Answer, Kind, ProblemShape},
    http::query::{Fresh, Paged, Paging},
    http::reply::{self, Judged, Made, Page, RestsOn, smallest},
    routes::access::bindings,
    routes::access::users,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(show, remove))
        .routes(routes!(members))
        .routes(routes!(enter, leave))
}

/// Whose groups.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GroupsQuery {
    /// Only this source's; `local` for those that are kept here.
    source: Option<String>,
}

/// A group.
#[derive(Serialize, ToSchema)]
struct GroupShown {
    /// `source/group`.
    id: String,
    /// The source that says who is in it; `local` for one that is kept here.
    source: String,
    /// A label.
    name: Option<String>,
    /// The newest event about it or about who is in it itself.
    #[schema(value_type = u64)]
    position: Position,
}

impl GroupShown {
    fn of(roster: &Roster, group: GroupIx) -> Self {
        let view = roster.group(group);
        Self {
            source: view.source.to_owned(),
            name: view.name.map(str::to_owned),
            position: roster.group_changed(group),
            id: view.id,
        }
    }
}

fn find(roster: &Roster, source: &str, group: &str) -> Answer<GroupIx> {
    roster.group_by_id(&format!("{source}/{group}")).ok_or_else(no_such_group)
}

/// Groups by id.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "groups", operation_id = "groups", params(GroupsQuery, Paging, Fresh),
    responses((status = 200, body = Page<GroupShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<GroupsQuery>>) -> Answer<Response> {
    let (position, rows) = {
        let roster = reads.live().read();
        let wanted = reads.query.filter.source.as_deref();
        let all = roster.groups().map(|group| (roster.group(group), group));
        let ids = all
            .filter(|(view, _)| wanted.is_none_or(|source| view.source == source))
            .map(|(view, group)| (view.id, group));
        let page = smallest(ids, reads.query.after.clone(), reads.query.limit);
        (roster.position(), page.into_iter().map(|(_, group)| GroupShown::of(&roster, group)).collect())
    };
    reads.page(position, RestsOn::LogAlone, rows, |row: &GroupShown| row.id.clone())
}

/// One group.
#[utoipa::path(
    get, path = "/api/v1/groups/{source}/{group}", tag = "groups", operation_id = "group",
    params(("source" = String, Path, description = "The source"), ("group" = String, Path, description = "The source's id"), Fresh),
    responses((status = 200, body = GroupShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path((source, group)): Path<(String, String)>) -> Answer<Response> {
    let (position, shown) = {
        let roster = reads.live().read();
        (roster.position(), GroupShown::of(&roster, find(&roster, &source, &group)?))
    };
    reads.answer(position, RestsOn::ItsEvent(shown.position), &shown)
}

/// How deep.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MembersQuery {
    /// `true`: every user and service that is in it, to any depth. Else who is in it itself, groups too.
    #[serde(default)]
    transitive: bool,
}

/// Somebody in a group.
#[derive(Serialize, ToSchema)]
struct GroupMemberShown {
    /// `user`, `service` or `group`.
    kind: &'static str,
    /// The user's or group's id, `source/id`; the service's id.
    id: String,
    /// The user's name.
    user: Option<String>,
}

/// Who is in a group, by kind and id.
#[utoipa::path(
    get, path = "/api/v1/groups/{source}/{group}/members", tag = "groups", operation_id = "group_members",
    params(
        ("source" = String, Path, description = "The source"), ("group" = String, Path, description = "The source's id"),
        MembersQuery, Paging, Fresh
    ),
    responses((status = 200, body = Page<GroupMemberShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn members(reads: Reads<Paged<MembersQuery>>, Path((source, group)): Path<(String, String)>) -> Answer<Response> {
    let key = |member: &GroupMemberShown| format!("{}\n{}", member.kind, member.id);
    let (position, rests_on, rows) = {
        let roster = reads.live().read();
        let group = find(&roster, &source, &group)?;
        // Who is in it itself is what an `If-Match` of a change of it is about.
        let rests_on = match reads.query.filter.transitive {
            true => RestsOn::LogAlone,
            false => RestsOn::ItsEvent(roster.group_changed(group)),
        };
        let words: Vec<body::Principal> = if reads.query.filter.transitive {
            roster.everybody_in(group).into_iter().filter_map(|who| roster.event_principal(who)).collect()
        } else {
            roster.group_members(group).collect()
        };
        let shown = words.into_iter().map(|word| match word {
            body::Principal::User(id) => {
                let user = roster.user_by_id(id.as_str()).map(|user| roster.user_name(user).to_owned());
                GroupMemberShown { kind: "user", id: id.to_string(), user }
            }
            body::Principal::Service(id) => GroupMemberShown { kind: "service", id: id.to_string(), user: None },
            body::Principal::Group(id) => GroupMemberShown { kind: "group", id: id.to_string(), user: None },
        });
        let mut rows: Vec<GroupMemberShown> = shown.collect();
        rows.sort_by_key(key);
        let after = reads.query.after.as_deref();
        rows.retain(|row| after.is_none_or(|after| key(row).as_str() > after));
        rows.truncate(reads.query.limit + 1);
        (roster.position(), rests_on, rows)
    };
    reads.page(position, rests_on, rows, key)
}

/// A group to keep here.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    /// Its id, without `local/`: at most 100 of a-z, 0-9, `.`, `-` and `_`.
    id: String,
    /// A label.
    #[serde(default)]
    name: Option<String>,
}

/// Makes a group that is kept here, `local/id`.
#[utoipa::path(
    post, path = "/api/v1/groups", tag = "groups", operation_id = "group_make", request_body = NewGroup,
    responses((status = 201, body = Made), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn make(mut orders: Commands, Input(new): Input<NewGroup>) -> Answer<Response> {
    let group = input::id("/id", &new.id)?;
    orders.alone().await;
    if orders.live().read().group_by_id(&format!("{LOCAL}/{group}")).is_some() {
        return Err(Kind::Taken.because("There is a local group of this id. Take another, or remove that one first."));
    }
    let name = input::label("/name", new.name)?;
    let body = Group { group, name, external_id: None, author: Some(orders.author()) };
    reply::made(format!("{LOCAL}/{}", new.id), &orders.say(&Body::GroupUpserted(body)).await?)
}

/// Removes a group that is kept here.
#[utoipa::path(
    delete, path = "/api/v1/groups/{source}/{group}", tag = "groups", operation_id = "group_remove",
    params(("source" = String, Path, description = "`local`"), ("group" = String, Path, description = "Its id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn remove(orders: Changes, Path((source, group)): Path<(String, String)>) -> Answer<Response> {
    let orders = orders.begin().await;
    let newest = {
        let roster = orders.live().read();
        roster.group_changed(find(&roster, &source, &group)?)
    };
    kept_here(&source)?;
    orders.expected(Some(newest))?;
    let body = GroupRef { group: input::id("/id", &group)?, author: Some(orders.author()) };
    reply::judged(StatusCode::OK, &orders.say(&Body::GroupRemoved(body)).await?)
}

/// Puts somebody into a group that is kept here. Safe to repeat. `If-Match` takes the tag of the group or of who is in it.
#[utoipa::path(
    put, path = "/api/v1/groups/{source}/{group}/members/{kind}/{member}", tag = "groups", operation_id = "group_enter",
    params(
        ("source" = String, Path, description = "`local`"), ("group" = String, Path, description = "Its id"),
        ("kind" = String, Path, description = "`user`, `service` or `group`"),
        ("member" = String, Path, description = "The user's name or id, the service's id, or `source/group`")
    ),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn enter(orders: Changes, Path(path): Path<(String, String, String, String)>) -> Answer<Response> {
    let orders = orders.begin().await;
    let member = membership(&orders, &path)?;
    reply::judged(StatusCode::OK, &orders.say(&Body::GroupMemberAdded(member)).await?)
}

/// Takes somebody out of a group that is kept here. `If-Match` takes the tag of the group or of who is in it.
#[utoipa::path(
    delete, path = "/api/v1/groups/{source}/{group}/members/{kind}/{member}", tag = "groups", operation_id = "group_leave",
    params(
        ("source" = String, Path, description = "`local`"), ("group" = String, Path, description = "Its id"),
        ("kind" = String, Path, description = "`user`, `service` or `group`"),
        ("member" = String, Path, description = "The user's name or id, the service's id, or `source/group`")
    ),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn leave(orders: Changes, Path(path): Path<(String, String, String, String)>) -> Answer<Response> {
    let orders = orders.begin().await;
    let member = membership(&orders, &path)?;
    reply::judged(StatusCode::OK, &orders.say(&Body::GroupMemberRemoved(member)).await?)
}

fn kept_here(source: &str) -> Answer<()> {
    if source == LOCAL {
        return Ok(());
    }
    Err(Kind::ManagedGroup
        .because("Who is in this group its source says, and it is changed there. Nothing was recorded.")
        .of_source(source))
}

fn membership(orders: &Changing, path: &(String, String, String, String)) -> Answer<GroupMember> {
    let (source, group, kind, member) = path;
    let roster = orders.live().read();
    let changed = roster.group_changed(find(&roster, source, group)?);
    kept_here(source)?;
    orders.expected(Some(changed))?;
    let found = match kind.as_str() {
        "user" => Principal::User(users::find(&roster, member)?),
        "service" => Principal::Service(roster.service_by_id(member).ok_or_else(no_such_service)?),
        "group" => {
            let inner = roster.group(roster.group_by_id(member).ok_or_else(no_such_group)?).id;
            let member = Member::Group(bindings::id(inner)?);
            return Ok(GroupMember { group: input::id("/id", group)?, member, author: Some(orders.author()) });
        }
        _ => return Err(Kind::InvalidQuery.because("A member is a `user`, a `service` or a `group`.")),
    };
    let member = match roster.event_principal(found) {
        Some(body::Principal::User(id)) => Member::Person(id),
        Some(body::Principal::Service(id)) => Member::Service(id),
        _ => return Err(users::no_such_user()),
    };
    Ok(GroupMember { group: input::id("/id", group)?, member, author: Some(orders.author()) })
}
