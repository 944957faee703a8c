//! Persons as their sources know them, with the personal data that is kept beside the log, and its erasure. The log itself
//! holds no e-mail and no display name.

use std::fmt;

use rollcall_access::Roster;
use rollcall_events::{Id, SourceName};
use rollcall_store::ops::PersonalRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Commands, Page, PageRequest, Reads,
    access::users::Person,
    error::{Error, ErrorKind, Result},
    filters, find,
    telemetry::PersonErased,
};

/// Whose people.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PeopleQuery {
    /// Only this source's.
    pub source: Option<String>,
    /// Only in this account.
    pub account: Option<String>,
    /// Only those that this user is, by name or id.
    pub user: Option<String>,
}

/// A person with what is kept beside the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonShown {
    /// As the source says.
    #[serde(flatten)]
    pub person: Person,
    /// The name of the user that this person is, or is a part of.
    pub user: String,
    /// E-mail and display name, while they are kept.
    pub personal: Option<PersonalData>,
}

/// What can be erased. No `Debug` shows it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonalData {
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
}

impl fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalData(***)")
    }
}

/// What was erased.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// How many kept deliveries lost their bytes; those can no longer be replayed.
    pub deliveries: u64,
}

/// People by source and id.
///
/// # Errors
/// The query names what is not there, or what is kept beside the log cannot be read.
pub async fn list(reads: &Reads, query: PeopleQuery, page: PageRequest) -> Result<Answer<Page<PersonShown>>> {
    filters::known_source(reads, query.source.as_deref())?;
    filters::known_account(reads, query.account.as_deref())?;
    let list = reads.list(move |roster, _, awaited| {
        let PeopleQuery { source: wanted, account, user } = &query;
        let user = user.as_deref().map(|user| find::user(roster, user)).transpose()?;
        let belongs = |row: &PersonShown| {
            wanted.as_deref().is_none_or(|source| row.person.source == source)
                && (account.is_none() || row.person.account == *account)
        };
        let row = |(source, id): (&str, &str)| find_person(roster, source, id).filter(&belongs);
        let key = |row: &PersonShown| key(&row.person.source, &row.person.person);
        if let Some(user) = user {
            let persons = roster.user(user).persons;
            let rows = persons.iter().filter_map(|person| row((person.source, person.person)));
            return Ok(page.sorted_page(rows.collect(), key));
        }
        page.gather(awaited, roster.persons_by_id(page.start_pair()).map(row), key)
    });
    let (position, mut page) = list.await?;
    add_personal_data(reads, &mut page.items).await?;
    Ok(Answer::of_more(position, page))
}

/// One person, with e-mail and display name while they are kept.
///
/// # Errors
/// There is no such person, or what is kept beside the log cannot be read.
pub async fn show(reads: &Reads, source: &str, id: &str) -> Result<Answer<PersonShown>> {
    let (position, row) = {
        let roster = reads.live().read();
        (roster.position(), find_person(&roster, source, id).ok_or_else(no_such_person)?)
    };
    let mut rows = [row];
    add_personal_data(reads, &mut rows).await?;
    let [row] = rows;
    Ok(Answer::of_more(position, row))
}

/// Erases e-mail and display name of a person, and the bytes of every kept delivery that holds them. Safe to repeat.
///
/// # Errors
/// There is no such person, or what is kept beside the log cannot be changed.
pub async fn erase(commands: Commands, source: &str, id: &str) -> Result<Erased> {
    // Also for somebody whom the roster does not know: a delivery in quarantine may hold the data of one.
    let (Ok(source), Ok(id)) = (source.parse::<SourceName>(), id.parse::<Id>()) else { return Err(no_such_person()) };
    let erased = commands.ops().erase(&source, &id, commands.now()).await;
    let deliveries = erased.map_err(|e| Error::unavailable("Nothing was erased", &e))?;
    PersonErased { source: &source, deliveries }.emit();
    Ok(Erased { deliveries })
}

/// `source/id`: a source's name has no `/`, so no two persons share a key.
fn key(source: &str, id: &str) -> String {
    format!("{source}/{id}")
}

fn find_person(roster: &Roster, source: &str, id: &str) -> Option<PersonShown> {
    let user = roster.user(roster.user_by_id(&key(source, id))?);
    let view = user.persons.iter().find(|person| person.source == source && person.person == id)?;
    Some(PersonShown { person: Person::of(view), user: user.name.to_owned(), personal: None })
}

async fn add_personal_data(reads: &Reads, rows: &mut [PersonShown]) -> Result<()> {
    let wanted: Vec<(SourceName, Id)> = rows
        .iter()
        .filter_map(|row| Some((row.person.source.parse().ok()?, row.person.person.parse().ok()?)))
        .collect();
    let kept = reads.ops().personal_data(&wanted).await;
    for PersonalRow { source, person, email, name } in
        kept.map_err(|e| Error::unavailable("Personal data cannot be read", &e))?
    {
        if let Some(row) = rows.iter_mut().find(|row| row.person.source == source && row.person.person == person) {
            row.personal = Some(PersonalData { email, name });
        }
    }
    Ok(())
}

fn no_such_person() -> Error {
    ErrorKind::UnknownPerson
        .because("This source never named such a person. `rollcall people list` shows those that are known.")
}
