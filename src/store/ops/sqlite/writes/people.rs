//! One erasure of a person.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::prune::smallest_id_at;
use crate::ops::{
    OpsError,
    sqlite::{columns::json, sql},
};

/// How many deliveries are looked through at a time.
const PAGE: u32 = 64;
/// What has arrived for so long is stored, or will never be.
const ARRIVES_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// What is erased. All but the newest deliveries was looked through before: whoever writes goes through few.
#[derive(Debug)]
pub(crate) struct Erasure {
    source: String,
    person: String,
    at: i64,
    /// Those that tell of the person, of what had arrived long before.
    found: Vec<String>,
    /// The first that was not looked through.
    since: String,
}

impl Erasure {
    /// Looks through what has arrived, page by page, and keeps nobody from writing meanwhile.
    pub(crate) async fn find(
        readers: &SqlitePool,
        source: String,
        person: String,
        now: DateTime<Utc>,
    ) -> Result<Self, OpsError> {
        let since = smallest_id_at("dlv", now - ARRIVES_WITHIN);
        let known = sqlx::query(sql::EMAIL_OF).bind(&source).bind(&person).fetch_optional(readers).await?;
        let texts = Texts::of(&person, email(known)?)?;
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = sqlx::query(sql::TOLD_OF)
                .bind(&source)
                .bind(&after)
                .bind(&texts.subject)
                .bind(&texts.id)
                .bind(&texts.email)
                .bind(PAGE)
                .bind(&since)
                .fetch_all(readers)
                .await?;
            for row in &page {
                after = row.try_get("id")?;
                if row.try_get("told")? {
                    found.push(after.clone());
                }
            }
            if page.is_empty() {
                return Ok(Self { source, person, at: now.timestamp_micros(), found, since });
            }
        }
    }

    /// Erases it. Of how many deliveries.
    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<u64, OpsError> {
        let Self { source, person, at, mut found, since } = self;
        let known = sqlx::query(sql::FORGET_PERSON).bind(&source).bind(&person);
        let texts = Texts::of(&person, email(known.fetch_optional(&mut *connection).await?)?)?;
        let newest = sqlx::query(sql::TOLD_SINCE)
            .bind(source)
            .bind(since)
            .bind(texts.subject)
            .bind(texts.id)
            .bind(texts.email)
            .fetch_all(&mut *connection)
            .await?;
        for row in &newest {
            found.push(row.try_get("id")?);
        }
        let erased =
            sqlx::query(sql::ERASE_DELIVERIES).bind(json(&found)?).bind(at).fetch_all(&mut *connection).await?;
        let erased: Vec<String> = erased.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        if !erased.is_empty() {
            sqlx::query(sql::ERASE_PARTS).bind(json(&erased)?).execute(connection).await?;
        }
        Ok(erased.len() as u64)
    }
}

/// By what it is seen that a delivery tells of somebody.
struct Texts {
    subject: String,
    /// As texts of JSON, quotes included: `"ada"` is not in `"ada-lovelace"`.
    id: String,
    email: Option<String>,
}

impl Texts {
    fn of(person: &str, email: Option<String>) -> Result<Self, OpsError> {
        let email = email.map(|email| json(&email)).transpose()?;
        Ok(Self { subject: format!("person/{person}"), id: json(person)?, email })
    }
}

fn email(row: Option<SqliteRow>) -> Result<Option<String>, OpsError> {
    Ok(row.map(|row| row.try_get("email")).transpose()?.flatten())
}
