//! `/api/v1/users`: who can log in, what they may do and why, and the end of everything they sign in with.
//! Derived, all of it: a user is never made or deleted here.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_access::{Basis, PastQuestion, PersonView, Reason, Roster, UserIx, memberships_of};
use rollcall_events::{Body, Id, Position, body::UserRef};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Commands, Locked, Reads},
    http::input::{Empty, Input},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Given, Nothing, Paged, Paging},
    http::reply::{self, Judged, List, Page, RestsOn, smallest},
    past::{self, PastQuery},
    reasons::ReasonShape,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(access)).routes(routes!(reset))
}

/// A user: a set of linked persons.
#[derive(Serialize, ToSchema)]
pub(crate) struct User {
    /// The name to sign in with.
    name: String,
    /// `source/person` of the oldest person.
    id: String,
    /// Whether the user can neither sign in nor do anything: an authoritative source calls a person of it inactive, or
    /// no source knows a live person of it any more.
    shut_out: bool,
    /// The position of the newest reset of the credentials; what was issued before it is over.
    credential_epoch: u64,
    /// The persons, oldest first.
    persons: Vec<Person>,
}

/// A person as one source knows them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Person {
    /// The source.
    pub source: String,
    /// The source's immutable id.
    pub person: String,
    /// The user name.
    pub username: String,
    /// The account that the person is in.
    pub account: Option<String>,
    /// Not suspended.
    pub active: bool,
    /// Removed at the source.
    pub removed: bool,
    /// The event that says so.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl Person {
    pub fn of(view: &PersonView<'_>) -> Self {
        Self {
            source: view.source.to_owned(),
            person: view.person.to_owned(),
            username: view.username.to_owned(),
            account: view.account.map(str::to_owned),
            active: view.active,
            removed: view.removed,
            position: view.position,
        }
    }
}

impl User {
    fn of(roster: &Roster, user: UserIx) -> Self {
        let view = roster.user(user);
        Self {
            name: view.name.to_owned(),
            id: view.id,
            shut_out: view.shut_out,
            credential_epoch: view.credential_epoch,
            persons: view.persons.iter().map(Person::of).collect(),
        }
    }
}

/// Finds a user by name or by id.
pub(crate) fn find(roster: &Roster, name: &str) -> Answer<UserIx> {
    roster.user_by_name(name).or_else(|| roster.user_by_id(name)).ok_or_else(no_such_user)
}

pub(crate) fn no_such_user() -> Problem {
    Kind::UnknownUser
        .because("No user that you can see has this name or id now. /api/v1/users lists those that you can see.")
}

/// Users by name; whoever may not list them sees only the own row.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "users", params(Paging, Fresh),
    responses((status = 200, body = Page<User>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<Nothing>>) -> Answer<Response> {
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let all = asker.everywhere("user.list");
        let names = roster.users().filter(|user| all || asker.is(*user)).map(|user| (roster.user_name(user), user));
        let page = smallest(names, reads.query.after.as_deref(), reads.query.limit);
        (roster.position(), page.into_iter().map(|(_, user)| User::of(&roster, user)).collect())
    };
    // Whom the caller sees follows from roles that begin and end without an event.
    reads.page(position, RestsOn::MoreThanTheLog, rows, |user: &User| user.name.clone())
}

/// One user, by name or by id.
#[utoipa::path(
    get, path = "/api/v1/users/{name}", tag = "users", operation_id = "user",
    params(("name" = String, Path, description = "The user's name or id"), Fresh),
    responses((status = 200, body = User), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(name): Path<String>) -> Answer<Response> {
    let (position, user) = {
        let roster = reads.live().read();
        (roster.position(), User::of(&roster, find(&roster, &name)?))
    };
    reads.answer(position, RestsOn::LogAlone, &user)
}

/// A role that a user has on a project now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Access {
    /// The project.
    project: String,
    /// The role.
    role: String,
    /// Every reason for it; it ends with the last.
    #[schema(value_type = Vec<ReasonShape>)]
    reasons: Vec<Reason>,
}

/// What a user may do now, or might do then, project by project, with every reason.
#[utoipa::path(
    get, path = "/api/v1/users/{name}/access", tag = "users", operation_id = "user_access",
    params(("name" = String, Path, description = "The user's name or id"), PastQuery, Fresh),
    responses((status = 200, body = List<Access>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn access(reads: Reads<Given<PastQuery>>, Path(name): Path<String>) -> Answer<Response> {
    let (position, all) = match past::as_of("as_of", reads.query.0.as_of.as_deref())? {
        None => {
            let roster = reads.live().read();
            (roster.position(), memberships_of(&roster, find(&roster, &name)?, reads.now()))
        }
        Some(as_of) => {
            let past = reads.past(as_of, Basis::Recorded, PastQuestion::User(&name)).await?;
            let id = past::user_id(&reads.live().read(), &name);
            let user = past.user(&name, id.as_deref())?;
            (past.moment.position, memberships_of(&past.roster, user, past.at))
        }
    };
    let items = all.into_iter().map(|m| Access { project: m.project, role: m.role, reasons: m.reasons }).collect();
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}

/// Ends every secret, invitation, refresh token and cached password of a user, everywhere.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/credentials-reset", tag = "users", operation_id = "credentials_reset",
    params(("name" = String, Path, description = "The user's name or id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn reset(orders: Commands, Path(name): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let user = user_id(&orders, &name)?;
    reply::judged(
        StatusCode::OK,
        &orders.say(&Body::CredentialsReset(UserRef { user, author: Some(orders.author()) })).await?,
    )
}

/// The id of a user that a command is about.
pub(crate) fn user_id(orders: &Commands, name: &str) -> Answer<Id> {
    let roster = orders.live().read();
    let id = roster.user_id(find(&roster, name)?);
    id.parse().map_err(|_| no_such_user())
}
