//! `/api/v1/containers`: the scopes above projects, kept by people.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_access::{ContainerIx, Place, Roster};
use rollcall_events::{
    Body, Position,
    body::{Container, ContainerRef},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    asker::no_such_container,
    guard::{Changes, Locked, Reads},
    input::{self, Input},
    problem::{Answer, Kind, ProblemShape},
    query::{Fresh, Nothing, Paged, Paging},
    reply::{self, Judged, Page, RestsOn, smallest},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, set, remove))
}

/// A scope above projects.
#[derive(Serialize, ToSchema)]
struct ContainerShown {
    /// Its id.
    id: String,
    /// The level of the access profile at which it sits: `team`, `region`, ...
    kind: String,
    /// The container above it; `null` below the root.
    parent: Option<String>,
    /// A label.
    name: Option<String>,
    /// Whether nobody is left in a role of which somebody should stay.
    ownerless: bool,
    /// The newest event about it.
    #[schema(value_type = u64)]
    position: Position,
}

impl ContainerShown {
    fn of(roster: &Roster, container: ContainerIx, now: chrono::DateTime<chrono::Utc>) -> Self {
        let view = roster.container(container);
        Self {
            id: view.id.to_owned(),
            kind: view.kind.to_owned(),
            parent: view.parent.map(|parent| roster.container(parent).id.to_owned()),
            name: view.name.map(str::to_owned),
            ownerless: roster.ownerless(Place::Container(container), now),
            position: view.changed,
        }
    }
}

/// Containers that the caller sees, by id.
#[utoipa::path(
    get, path = "/api/v1/containers", tag = "containers", operation_id = "containers", params(Paging, Fresh),
    responses((status = 200, body = Page<ContainerShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<Nothing>>) -> Answer<Response> {
    let now = reads.now();
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let seen = roster.containers().filter(|container| asker.sees_container(*container));
        let ids = seen.map(|container| (roster.container(container).id, container));
        let page = smallest(ids, reads.query.after.as_deref(), reads.query.limit);
        let rows = page.into_iter().map(|(_, container)| ContainerShown::of(&roster, container, now)).collect();
        (roster.position(), rows)
    };
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &ContainerShown| row.id.clone())
}

/// One container.
#[utoipa::path(
    get, path = "/api/v1/containers/{id}", tag = "containers", operation_id = "container",
    params(("id" = String, Path, description = "The container's id"), Fresh),
    responses((status = 200, body = ContainerShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let now = reads.now();
    let (position, shown) = {
        let roster = reads.live().read();
        let container = roster.container_by_id(&id).ok_or_else(no_such_container)?;
        (roster.position(), ContainerShown::of(&roster, container, now))
    };
    reads.answer(position, RestsOn::ItsEvent(shown.position), &shown)
}

/// A container as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewContainer {
    /// The level of the access profile at which it sits. A container keeps its kind.
    kind: String,
    /// The container above it; none when absent.
    #[serde(default)]
    parent: Option<String>,
    /// A label.
    #[serde(default)]
    name: Option<String>,
}

/// Makes a container, or states it anew: another parent, another label.
#[utoipa::path(
    put, path = "/api/v1/containers/{id}", tag = "containers", operation_id = "container_set",
    params(("id" = String, Path, description = "The container's id")), request_body = NewContainer,
    responses(
        (status = 200, body = Judged), (status = 201, body = Judged),
        (status = "default", body = ProblemShape, content_type = "application/problem+json")
    )
)]
async fn set(orders: Changes, Path(id): Path<String>, Input(new): Input<NewContainer>) -> Answer<Response> {
    let orders = orders.begin().await;
    let NewContainer { kind, parent, name } = new;
    let found = {
        let roster = orders.live().read();
        if let Some(parent) = &parent {
            orders.ask(&roster).container(parent)?;
        }
        let found = roster.container_by_id(&id).map(|container| roster.container(container));
        if let Some(other) = found.as_ref().filter(|found| found.kind != kind) {
            return Err(Kind::Refused.because(format!(
                "Container {} is a {} and stays one; make another. Nothing was recorded.",
                other.id, other.kind
            )));
        }
        found.map(|found| found.changed)
    };
    orders.expected(found)?;
    let body = Container {
        container: input::id("/id", &id)?,
        kind: input::id("/kind", &kind)?,
        parent: parent.map(|parent| input::id("/parent", &parent)).transpose()?,
        name: input::label("/name", name)?,
        author: Some(orders.author()),
    };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    reply::judged(status, &orders.say(&Body::ContainerUpserted(body)).await?)
}

/// Removes a container that has nothing in it.
#[utoipa::path(
    delete, path = "/api/v1/containers/{id}", tag = "containers", operation_id = "container_remove",
    params(("id" = String, Path, description = "The container's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn remove(orders: Changes, Path(id): Path<String>) -> Answer<Response> {
    let orders = orders.begin().await;
    let newest = {
        let roster = orders.live().read();
        let container = roster.container_by_id(&id).ok_or_else(no_such_container)?;
        roster.container(container).changed
    };
    orders.expected(Some(newest))?;
    let body = ContainerRef { container: input::id("/id", &id)?, author: Some(orders.author()) };
    reply::judged(StatusCode::OK, &orders.say(&Body::ContainerRemoved(body)).await?)
}
