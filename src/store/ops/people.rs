//! Personal data: e-mail and display name, kept here and nowhere else, and how they are erased.

use chrono::{DateTime, Utc};
use rollcall_events::{Id, SourceName};
use rollcall_ingest::Durability;
use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use super::{
    Ops, OpsError,
    rows::json,
    sql,
    writer::{Reply, Write},
};

/// The personal data of one person.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PersonalRow {
    /// The source that knows the person.
    pub source: String,
    /// The source's id of the person.
    pub person: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
}

/// Not for printing.
impl std::fmt::Debug for PersonalRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonalRow({}/{}, ***)", self.source, self.person)
    }
}

#[derive(Serialize)]
struct Key<'a> {
    source: &'a str,
    person: &'a str,
}

impl Ops {
    /// What is known of these persons, those of whom nothing is known left out.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn personal(&self, persons: &[(SourceName, Id)]) -> Result<Vec<PersonalRow>, OpsError> {
        let keys: Vec<_> = persons.iter().map(|(s, p)| Key { source: s.as_str(), person: p.as_str() }).collect();
        let rows = sqlx::query(sql::PERSONAL).bind(json(&keys)?).fetch_all(&self.readers).await?;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            Ok(PersonalRow {
                source: row.try_get("source")?,
                person: row.try_get("person")?,
                email: row.try_get("email")?,
                name: row.try_get("name")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// Erases the personal data of a person, and with it the bytes of every kept delivery of the source that is about
    /// the person or holds the id or the e-mail. Those can no longer be replayed. Returns how many they were.
    /// What the source sends later is kept again.
    ///
    /// # Errors
    /// As [`OpsError`]; erase again, it is safe.
    pub async fn erase(&self, source: &SourceName, person: &Id, now: DateTime<Utc>) -> Result<u64, OpsError> {
        let write = Write::Erase { source: source.to_string(), person: person.to_string(), at: now.timestamp_micros() };
        match self.writer.write(write, Durability::Synced).await? {
            Reply::Count(erased) => Ok(erased),
            Reply::Done | Reply::Claimed(_) => Ok(0),
        }
    }
}

pub(super) async fn erase(
    connection: &mut SqliteConnection,
    source: &str,
    person: &str,
    at: i64,
) -> Result<u64, OpsError> {
    let known = sqlx::query(sql::FORGET_PERSON).bind(source).bind(person).fetch_optional(&mut *connection).await?;
    let email: Option<String> = match known {
        Some(row) => row.try_get("email")?,
        None => None,
    };
    let rows = sqlx::query(sql::ERASE_DELIVERIES)
        .bind(source)
        .bind(at)
        .bind(format!("person/{person}"))
        // As texts of JSON, quotes included: `"ada"` is not in `"ada-lovelace"`.
        .bind(json(person)?)
        .bind(email.map(|email| json(&email)).transpose()?)
        .fetch_all(&mut *connection)
        .await?;
    let ids: Vec<String> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    if !ids.is_empty() {
        sqlx::query(sql::ERASE_PARTS).bind(json(&ids)?).execute(connection).await?;
    }
    Ok(ids.len() as u64)
}
