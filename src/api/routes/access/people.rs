//! `/api/v1/people`: persons as their sources know them, with the personal data that is kept beside the log, and its
//! erasure. The log itself holds no e-mail and no display name.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_access::Roster;
use rollcall_events::{Id, SourceName};
use rollcall_store::ops::PersonalRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Commands, Locked, Reads},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Paged, Paging},
    http::reply::{self, Page, RestsOn, smallest},
    routes::access::users::Person,
    telemetry::PersonErased,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(erase))
}

/// Whose people.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PeopleQuery {
    /// Only this source's.
    source: Option<String>,
}

/// A person with what is kept beside the log.
#[derive(Serialize, ToSchema)]
struct PersonShown {
    /// As the source says.
    #[serde(flatten)]
    person: Person,
    /// The name of the user that this person is, or is a part of.
    user: String,
    /// E-mail and display name, while they are kept.
    personal: Option<PersonalData>,
}

/// What can be erased.
#[derive(Serialize, ToSchema)]
struct PersonalData {
    /// The e-mail address.
    email: Option<String>,
    /// The display name.
    name: Option<String>,
}

/// What was erased.
#[derive(Serialize, ToSchema)]
struct Erased {
    /// How many kept deliveries lost their bytes; those can no longer be replayed.
    deliveries: u64,
}

/// People by source and id.
#[utoipa::path(
    get, path = "/api/v1/people", tag = "people", operation_id = "people", params(PeopleQuery, Paging, Fresh),
    responses((status = 200, body = Page<PersonShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<PeopleQuery>>) -> Answer<Response> {
    let (position, mut rows) = {
        let roster = reads.live().read();
        let wanted = reads.query.filter.source.as_deref();
        let keys = roster
            .persons()
            .filter(|(person, _)| wanted.is_none_or(|source| person.source == source))
            .map(|(person, _)| ((person.source, person.person), ()));
        let after = reads.query.after.as_deref().and_then(|after| after.split_once('/'));
        let page = smallest(keys, after, reads.query.limit);
        let rows: Vec<PersonShown> = page.iter().filter_map(|((source, id), ())| shown(&roster, source, id)).collect();
        (roster.position(), rows)
    };
    add_personal(&reads, &mut rows).await?;
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row| key(&row.person.source, &row.person.person))
}

/// One person, with e-mail and display name while they are kept.
#[utoipa::path(
    get, path = "/api/v1/people/{source}/{id}", tag = "people", operation_id = "person",
    params(("source" = String, Path, description = "The source"), ("id" = String, Path, description = "The source's id"), Fresh),
    responses((status = 200, body = PersonShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path((source, id)): Path<(String, String)>) -> Answer<Response> {
    let (position, row) = {
        let roster = reads.live().read();
        (roster.position(), shown(&roster, &source, &id).ok_or_else(no_such_person)?)
    };
    let mut rows = vec![row];
    add_personal(&reads, &mut rows).await?;
    reads.answer(position, RestsOn::MoreThanTheLog, &rows.first())
}

/// Erases e-mail and display name of a person, and the bytes of every kept delivery that holds them. Safe to repeat.
#[utoipa::path(
    delete, path = "/api/v1/people/{source}/{id}/personal", tag = "people", operation_id = "person_erase",
    params(("source" = String, Path, description = "The source"), ("id" = String, Path, description = "The source's id")),
    responses((status = 200, body = Erased), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn erase(orders: Commands, Path((source, id)): Path<(String, String)>) -> Answer<Response> {
    // Also for somebody whom the roster does not know: a delivery in quarantine may hold the data of one.
    let (Ok(source), Ok(id)) = (source.parse::<SourceName>(), id.parse::<Id>()) else { return Err(no_such_person()) };
    let now = orders.now();
    let deliveries =
        orders.ops().erase(&source, &id, now).await.map_err(|e| Problem::unavailable("Nothing was erased", &e))?;
    PersonErased { source: &source, deliveries }.emit();
    reply::done(StatusCode::OK, None, &Erased { deliveries })
}

/// `source/id`: a source's name has no `/`, so no two persons share a key.
fn key(source: &str, id: &str) -> String {
    format!("{source}/{id}")
}

fn shown(roster: &Roster, source: &str, id: &str) -> Option<PersonShown> {
    let user = roster.user(roster.user_by_id(&key(source, id))?);
    let view = user.persons.iter().find(|person| person.source == source && person.person == id)?;
    Some(PersonShown { person: Person::of(view), user: user.name.to_owned(), personal: None })
}

async fn add_personal<Q>(reads: &Reads<Q>, rows: &mut [PersonShown]) -> Answer<()> {
    let wanted: Vec<(SourceName, Id)> = rows
        .iter()
        .filter_map(|row| Some((row.person.source.parse().ok()?, row.person.person.parse().ok()?)))
        .collect();
    let kept = reads.ops().personal_data(&wanted).await;
    for PersonalRow { source, person, email, name } in
        kept.map_err(|e| Problem::unavailable("Personal data cannot be read", &e))?
    {
        if let Some(row) = rows.iter_mut().find(|row| row.person.source == source && row.person.person == person) {
            row.personal = Some(PersonalData { email, name });
        }
    }
    Ok(())
}

fn no_such_person() -> Problem {
    Kind::UnknownPerson.because("This source never named such a person. /api/v1/people lists those that are known.")
}
