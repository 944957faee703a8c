//! What is asked of the file: effects, histories, causes, parked subjects, memberships by SQL.
//! Answers as rows; shows nothing, decides nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use rollcall_access::{Effect, SetDigest, Subject};
use rollcall_events::{Digest, Position};
use sqlx::{
    FromRow, Row,
    sqlite::{SqliteExecutor, SqliteRow},
};

use super::{
    file::{Database, number, position},
    statements as sql,
};
use crate::read::{FactRow, Membership, ParkedRow, ProjectRow, ReadError, SupersededRow};

fn instant(micros: Option<i64>) -> Option<DateTime<Utc>> {
    micros.and_then(DateTime::from_timestamp_micros)
}

impl FromRow<'_, SqliteRow> for FactRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            source: row.try_get("source")?,
            noun: row.try_get("noun")?,
            subject: row.try_get("subject")?,
            from: position(row.try_get("from_position")?),
            to: row.try_get::<Option<i64>, _>("to_position")?.map(position),
            starts: instant(row.try_get("starts")?),
            ends: instant(row.try_get("ends")?),
            data: row.try_get("data")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for ParkedRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            source: row.try_get("source")?,
            subject: row.try_get("subject")?,
            position: position(row.try_get("position")?),
            reason: row.try_get("reason")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for ProjectRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            source: row.try_get("source")?,
            package: row.try_get("package")?,
            name: row.try_get("name")?,
            archived: row.try_get("archived")?,
            from: position(row.try_get("from_position")?),
            to: row.try_get::<Option<i64>, _>("to_position")?.map(position),
        })
    }
}

impl FromRow<'_, SqliteRow> for Membership {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            user_id: row.try_get("user_id")?,
            user_name: row.try_get("user_name")?,
            project: row.try_get("project")?,
            role: row.try_get("role")?,
            rule: row.try_get("rule")?,
            name: row.try_get("name")?,
            source: row.try_get("source")?,
            person: row.try_get("person")?,
            account: row.try_get("account")?,
            package: row.try_get("package")?,
            entitlement: row.try_get("entitlement")?,
            line: row.try_get("line")?,
            product: row.try_get("product")?,
            since: position(row.try_get("since")?),
            ends: instant(row.try_get("ends")?),
        })
    }
}

pub(super) async fn membership_digest(file: impl SqliteExecutor<'_>, at: DateTime<Utc>) -> Result<Digest, ReadError> {
    let mut lines = sqlx::query_scalar::<_, String>(sql::LINES).bind(at.timestamp_micros()).fetch(file);
    let mut all = SetDigest::default();
    while let Some(line) = lines.try_next().await? {
        all.add(line.as_bytes());
    }
    Ok(all.digest())
}

pub(super) async fn effects(db: &Database, positions: &[Position]) -> Result<Vec<Option<Effect>>, ReadError> {
    // The checkpoint first: what is up to it is final, whatever a batch adds meanwhile.
    let folded = db.position().await?;
    let asked = serde_json::to_string(positions).unwrap_or_default();
    let exceptions: Vec<(i64, String, Option<String>)> =
        sqlx::query_as(sql::EFFECTS_AT).bind(asked).fetch_all(&db.readers).await?;
    Ok(positions
        .iter()
        .map(|at| {
            let exception = exceptions.iter().find(|(position, ..)| *position == number(*at));
            (*at <= folded).then(|| exception.map_or(Effect::Applied, |(_, word, why)| effect(word, why.clone())))
        })
        .collect())
}

pub(super) async fn events_of(
    db: &Database,
    subjects: &BTreeSet<Subject>,
    to: Position,
    ineffective: bool,
) -> Result<Vec<Position>, ReadError> {
    let subjects = serde_json::to_string(subjects).unwrap_or_default();
    let found: Vec<i64> = sqlx::query_scalar(sql::EVENTS_OF)
        .bind(subjects)
        .bind(number(to))
        .bind(ineffective)
        .fetch_all(&db.readers)
        .await?;
    Ok(found.into_iter().map(position).collect())
}

pub(super) async fn history(db: &Database, source: &str, subject: &str) -> Result<Vec<FactRow>, ReadError> {
    Ok(sqlx::query_as(sql::HISTORY).bind(source).bind(subject).fetch_all(&db.readers).await?)
}

pub(super) async fn facts(
    db: &Database,
    noun: &str,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<FactRow>, ReadError> {
    let query = sqlx::query_as(sql::STANDING_FACTS).bind(noun).bind(after.0).bind(after.1).bind(limit);
    Ok(query.fetch_all(&db.readers).await?)
}

pub(super) async fn parked(db: &Database, after: (&str, &str), limit: u32) -> Result<Vec<ParkedRow>, ReadError> {
    Ok(sqlx::query_as(sql::PARKED).bind(after.0).bind(after.1).bind(limit).fetch_all(&db.readers).await?)
}

pub(super) async fn superseded(
    db: &Database,
    after: Position,
    rows: u32,
) -> Result<(Vec<SupersededRow>, Option<Position>), ReadError> {
    let end: Option<i64> = sqlx::query_scalar(sql::SUPERSEDED_SLICE)
        .bind(number(after))
        .bind(i64::from(rows.saturating_sub(1)))
        .fetch_optional(&db.readers)
        .await?;
    let found: Vec<(i64, String, String, Option<i64>)> = sqlx::query_as(sql::SUPERSEDED)
        .bind(number(after))
        .bind(end.unwrap_or(i64::MAX))
        .fetch_all(&db.readers)
        .await?;
    let row = |(at, source, subject, by): (i64, String, String, Option<i64>)| SupersededRow {
        position: position(at),
        source,
        subject,
        by: by.map(position),
    };
    Ok((found.into_iter().map(row).collect(), end.map(position)))
}

pub(super) async fn parked_count(db: &Database) -> Result<u64, ReadError> {
    let count: i64 = sqlx::query_scalar(sql::PARKED_COUNT).fetch_one(&db.readers).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

pub(super) async fn project_history(db: &Database, source: &str, package: &str) -> Result<Vec<ProjectRow>, ReadError> {
    Ok(sqlx::query_as(sql::PROJECT_HISTORY).bind(source).bind(package).fetch_all(&db.readers).await?)
}

pub(super) async fn memberships(
    db: &Database,
    project: Option<&str>,
    at: DateTime<Utc>,
) -> Result<Vec<Membership>, ReadError> {
    Ok(sqlx::query_as(sql::MEMBERSHIPS).bind(at.timestamp_micros()).bind(project).fetch_all(&db.readers).await?)
}

fn effect(word: &str, reason: Option<String>) -> Effect {
    match word {
        "superseded" => Effect::Superseded,
        "no_change" => Effect::NoChange,
        "refused" => Effect::Refused(reason.unwrap_or_default()),
        "parked" => Effect::Parked(reason.unwrap_or_default()),
        _ => Effect::Applied,
    }
}
