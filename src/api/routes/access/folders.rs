//! `/api/v1/folders`: the scopes above projects, kept by people.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_access::{FolderIx, Place, Roster};
use rollcall_events::{
    Body, Position,
    body::{Folder, FolderRef},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::no_such_folder,
    http::guard::{Changes, Locked, Reads},
    http::input::{self, Input},
    http::problem::{Answer, Kind, ProblemShape},
    http::query::{Fresh, Nothing, Paged, Paging},
    http::reply::{self, Judged, Page, RestsOn, smallest},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, set, remove))
}

/// A scope above projects.
#[derive(Serialize, ToSchema)]
struct FolderShown {
    /// Its id.
    id: String,
    /// The level of the access profile at which it sits: `team`, `region`, ...
    kind: String,
    /// The folder above it; `null` below the root.
    parent: Option<String>,
    /// A label.
    name: Option<String>,
    /// Whether nobody is left in a role of which somebody should stay.
    ownerless: bool,
    /// The newest event about it.
    #[schema(value_type = u64)]
    position: Position,
}

impl FolderShown {
    fn of(roster: &Roster, folder: FolderIx, now: chrono::DateTime<chrono::Utc>) -> Self {
        let view = roster.folder(folder);
        Self {
            id: view.id.to_owned(),
            kind: view.kind.to_owned(),
            parent: view.parent.map(|parent| roster.folder(parent).id.to_owned()),
            name: view.name.map(str::to_owned),
            ownerless: roster.is_ownerless(Place::Folder(folder), now),
            position: view.changed,
        }
    }
}

/// Folders that the caller sees, by id.
#[utoipa::path(
    get, path = "/api/v1/folders", tag = "folders", operation_id = "folders", params(Paging, Fresh),
    responses((status = 200, body = Page<FolderShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<Nothing>>) -> Answer<Response> {
    let now = reads.now();
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let seen = roster.folders().filter(|folder| asker.sees_folder(*folder));
        let ids = seen.map(|folder| (roster.folder(folder).id, folder));
        let page = smallest(ids, reads.query.after.as_deref(), reads.query.limit);
        let rows = page.into_iter().map(|(_, folder)| FolderShown::of(&roster, folder, now)).collect();
        (roster.position(), rows)
    };
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &FolderShown| row.id.clone())
}

/// One folder.
#[utoipa::path(
    get, path = "/api/v1/folders/{id}", tag = "folders", operation_id = "folder",
    params(("id" = String, Path, description = "The folder's id"), Fresh),
    responses((status = 200, body = FolderShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let now = reads.now();
    let (position, shown) = {
        let roster = reads.live().read();
        let folder = roster.folder_by_id(&id).ok_or_else(no_such_folder)?;
        (roster.position(), FolderShown::of(&roster, folder, now))
    };
    reads.answer(position, RestsOn::ItsEvent(shown.position), &shown)
}

/// A folder as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFolder {
    /// The level of the access profile at which it sits. A folder keeps its kind.
    kind: String,
    /// The folder above it; none when absent.
    #[serde(default)]
    parent: Option<String>,
    /// A label.
    #[serde(default)]
    name: Option<String>,
}

/// Makes a folder, or states it anew: another parent, another label.
#[utoipa::path(
    put, path = "/api/v1/folders/{id}", tag = "folders", operation_id = "folder_set",
    params(("id" = String, Path, description = "The folder's id")), request_body = NewFolder,
    responses(
        (status = 200, body = Judged), (status = 201, body = Judged),
        (status = "default", body = ProblemShape, content_type = "application/problem+json")
    )
)]
async fn set(orders: Changes, Path(id): Path<String>, Input(new): Input<NewFolder>) -> Answer<Response> {
    let orders = orders.begin().await;
    let NewFolder { kind, parent, name } = new;
    let found = {
        let roster = orders.live().read();
        if let Some(parent) = &parent {
            orders.ask(&roster).folder(parent)?;
        }
        let found = roster.folder_by_id(&id).map(|folder| roster.folder(folder));
        if let Some(other) = found.as_ref().filter(|found| found.kind != kind) {
            return Err(Kind::Refused.because(format!(
                "Folder {} is a {} and stays one; make another. Nothing was recorded.",
                other.id, other.kind
            )));
        }
        found.map(|found| found.changed)
    };
    orders.expected(found)?;
    let body = Folder {
        folder: input::id("/id", &id)?,
        kind: input::id("/kind", &kind)?,
        parent: parent.map(|parent| input::id("/parent", &parent)).transpose()?,
        name: input::label("/name", name)?,
        author: Some(orders.author()),
    };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    reply::judged(status, &orders.say(&Body::FolderUpserted(body)).await?)
}

/// Removes a folder that has nothing in it.
#[utoipa::path(
    delete, path = "/api/v1/folders/{id}", tag = "folders", operation_id = "folder_remove",
    params(("id" = String, Path, description = "The folder's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn remove(orders: Changes, Path(id): Path<String>) -> Answer<Response> {
    let orders = orders.begin().await;
    let newest = {
        let roster = orders.live().read();
        let folder = roster.folder_by_id(&id).ok_or_else(no_such_folder)?;
        roster.folder(folder).changed
    };
    orders.expected(Some(newest))?;
    let body = FolderRef { folder: input::id("/id", &id)?, author: Some(orders.author()) };
    reply::judged(StatusCode::OK, &orders.say(&Body::FolderRemoved(body)).await?)
}
