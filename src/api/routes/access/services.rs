//! `/api/v1/services`: principals that are no people, and the secrets with which they sign in. What a service may do, its
//! bindings say.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_access::{Roster, ServiceIx};
use rollcall_events::{
    Body, Position,
    body::{Secret, SecretOwner, SecretRef, Service, ServiceRef},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::no_such_service,
    http::guard::{Changes, Commands, Locked, Reads},
    http::input::{self, Input},
    http::problem::{Answer, Kind, ProblemShape},
    http::query::{Fresh, Nothing, Paged, Paging},
    http::reply::{self, Judged, List, Made, Page, RestsOn, smallest},
    routes::access::secrets::{self, NewSecret, SecretIssued, SecretShown},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(show, remove))
        .routes(routes!(list_secrets, issue))
        .routes(routes!(revoke))
}

/// A principal that is no person.
#[derive(Serialize, ToSchema)]
struct ServiceShown {
    /// Its id, and the name to sign in with.
    id: String,
    /// A label.
    name: Option<String>,
    /// The newest event about it.
    #[schema(value_type = u64)]
    position: Position,
}

impl ServiceShown {
    fn of(roster: &Roster, service: ServiceIx) -> Self {
        let view = roster.service(service);
        Self { id: view.id.to_owned(), name: view.name.map(str::to_owned), position: view.changed }
    }
}

fn find(roster: &Roster, id: &str) -> Answer<ServiceIx> {
    roster.service_by_id(id).ok_or_else(no_such_service)
}

/// Services by id; whoever may not list them sees only the own row.
#[utoipa::path(
    get, path = "/api/v1/services", tag = "services", operation_id = "services", params(Paging, Fresh),
    responses((status = 200, body = Page<ServiceShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<Nothing>>) -> Answer<Response> {
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let all = asker.everywhere("service.list");
        let ids = roster.services().filter(|service| all || asker.is(*service));
        let ids = ids.map(|service| (roster.service(service).id, service));
        let page = smallest(ids, reads.query.after.as_deref(), reads.query.limit);
        (roster.position(), page.into_iter().map(|(_, service)| ServiceShown::of(&roster, service)).collect())
    };
    // Which the caller sees follows from roles that begin and end without an event.
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &ServiceShown| row.id.clone())
}

/// One service.
#[utoipa::path(
    get, path = "/api/v1/services/{id}", tag = "services", operation_id = "service",
    params(("id" = String, Path, description = "The service's id"), Fresh),
    responses((status = 200, body = ServiceShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let (position, shown) = {
        let roster = reads.live().read();
        (roster.position(), ServiceShown::of(&roster, find(&roster, &id)?))
    };
    reads.answer(position, RestsOn::ItsEvent(shown.position), &shown)
}

/// A service to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewService {
    /// Its id: at most 100 of a-z, 0-9, `.`, `-` and `_`.
    id: String,
    /// A label.
    #[serde(default)]
    name: Option<String>,
}

/// Makes a service. It may do nothing until a binding says so. What a former one of this id signed in with stays ended.
#[utoipa::path(
    post, path = "/api/v1/services", tag = "services", operation_id = "service_make", request_body = NewService,
    responses((status = 201, body = Made), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn make(mut orders: Commands, Input(new): Input<NewService>) -> Answer<Response> {
    let service = input::id("/id", &new.id)?;
    // To state it again would end its secrets, so nobody may come in between.
    orders.alone().await;
    if orders.live().read().service_by_id(&new.id).is_some() {
        return Err(Kind::Taken.because("There is a service of this id. Take another, or remove that one first."));
    }
    let body = Service { service, name: input::label("/name", new.name)?, author: Some(orders.author()) };
    reply::made(new.id, &orders.say(&Body::ServiceCreated(body)).await?)
}

/// Removes a service and ends everything that it signs in with, everywhere.
#[utoipa::path(
    delete, path = "/api/v1/services/{id}", tag = "services", operation_id = "service_remove",
    params(("id" = String, Path, description = "The service's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn remove(orders: Changes, Path(id): Path<String>) -> Answer<Response> {
    let orders = orders.begin().await;
    let newest = {
        let roster = orders.live().read();
        roster.service(find(&roster, &id)?).changed
    };
    orders.expected(Some(newest))?;
    let body = ServiceRef { service: input::id("/id", &id)?, author: Some(orders.author()) };
    reply::judged(StatusCode::OK, &orders.say(&Body::ServiceRemoved(body)).await?)
}

/// The secrets of a service that are in force; never their text.
#[utoipa::path(
    get, path = "/api/v1/services/{id}/secrets", tag = "services", operation_id = "service_secrets",
    params(("id" = String, Path, description = "The service's id"), Fresh),
    responses((status = 200, body = List<SecretShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list_secrets(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let now = reads.now();
    let (position, items) = {
        let roster = reads.live().read();
        let secrets = roster.secrets_of(find(&roster, &id)?, now);
        (roster.position(), secrets.iter().map(SecretShown::of).collect())
    };
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}

/// Makes a secret for a service and shows it, this once. It never outlives the secret that the caller signs in with.
#[utoipa::path(
    post, path = "/api/v1/services/{id}/secrets", tag = "services", operation_id = "service_secret_issue",
    params(("id" = String, Path, description = "The service's id")), request_body = NewSecret,
    responses((status = 201, body = SecretIssued), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn issue(orders: Commands, Path(id): Path<String>, Input(new): Input<NewSecret>) -> Answer<Response> {
    find(&orders.live().read(), &id)?;
    let service = input::id("/id", &id)?;
    let (text, secret): (String, Secret) = secrets::new(&orders, SecretOwner::Service(service), new)?;
    let done = orders.say(&Body::SecretIssued(secret.clone())).await?;
    secrets::show_once(secret, text, id, done.position)
}

/// Ends a secret of a service, everywhere.
#[utoipa::path(
    delete, path = "/api/v1/services/{id}/secrets/{secret}", tag = "services", operation_id = "service_secret_revoke",
    params(("id" = String, Path, description = "The service's id"), ("secret" = String, Path, description = "The secret's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn revoke(orders: Commands, Path((id, secret)): Path<(String, String)>) -> Answer<Response> {
    let now = orders.now();
    let own = {
        let roster = orders.live().read();
        roster.secrets_of(find(&roster, &id)?, now).iter().any(|one| one.id == secret)
    };
    let secret = secret.parse().ok().filter(|_| own).ok_or_else(|| {
        Kind::UnknownSecret
            .because("This service has no such secret in force. Its path without the last part lists them.")
    })?;
    let body = SecretRef { secret, author: Some(orders.author()) };
    reply::judged(StatusCode::OK, &orders.say(&Body::SecretRevoked(body)).await?)
}
