//! What the API asks of the read side: effects, histories, causes, parked subjects, memberships by SQL.
//! Answers as rows; shows nothing, decides nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use rollcall_access::{Effect, Subject};
use rollcall_events::{Digest, Position};
use serde::Serialize;
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Read, ReadError,
    file::{Db, number, position},
    statements as sql,
};

/// A fact while it stood. What began it and what ended it are its causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactRow {
    /// Whose fact.
    pub source: String,
    /// The noun of its subject.
    pub noun: String,
    /// Its subject.
    pub subject: String,
    /// The event that began it.
    pub from: Position,
    /// The event that ended it; absent while it stands.
    pub to: Option<Position>,
    /// From when it counts, where its data states a window.
    pub starts: Option<DateTime<Utc>>,
    /// Until when (exclusive) it counts.
    pub ends: Option<DateTime<Utc>>,
    /// The event's data, verbatim.
    pub data: String,
}

/// A subject that keeps its last state because its newest event cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParkedRow {
    /// Whose subject.
    pub source: String,
    /// The subject.
    pub subject: String,
    /// The event that cannot be judged.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// A name that a package's project had or has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectRow {
    /// Whose package.
    pub source: String,
    /// The package, or the id of a project that people made.
    pub package: String,
    /// The project's name.
    pub name: String,
    /// Whether it was archived.
    pub archived: bool,
    /// The event since which it is so.
    pub from: Position,
    /// The event that ended it; absent while it stands.
    pub to: Option<Position>,
}

/// One reason of one membership, as the view `membership` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// The user's id; of a service `service:` and its id.
    pub user_id: String,
    /// The user's name; of a service `service:` and its id.
    pub user_name: String,
    /// The project.
    pub project: String,
    /// The role.
    pub role: String,
    /// `producer` (rule 2), `customer` (rule 3), `group` (rule 4) or `binding` (rule 5).
    pub rule: String,
    /// What names the reason: the account, the line, the binding.
    pub name: String,
    /// The source that the person comes from; of a service `local`.
    pub source: String,
    /// The person; absent for a service.
    pub person: Option<String>,
    /// The person's account.
    pub account: Option<String>,
    /// The package, or the id of a project that people made.
    pub package: String,
    /// The entitlement, of a customer.
    pub entitlement: Option<String>,
    /// The entitlement's line.
    pub line: Option<String>,
    /// The line's product.
    pub product: Option<String>,
    /// The newest of the events that it rests on; groups between a person's own and the bound one are left out.
    pub since: Position,
    /// When it ends by itself.
    pub ends: Option<DateTime<Utc>>,
}

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

pub(super) async fn memberships(
    db: &Db,
    project: Option<&str>,
    at: DateTime<Utc>,
) -> Result<Vec<Membership>, ReadError> {
    Ok(sqlx::query_as(sql::MEMBERSHIPS).bind(at.timestamp_micros()).bind(project).fetch_all(&db.readers).await?)
}

pub(super) async fn membership_digest(db: &Db, at: DateTime<Utc>) -> Result<Digest, ReadError> {
    let mut lines = sqlx::query_scalar::<_, String>(sql::LINES).bind(at.timestamp_micros()).fetch(&db.readers);
    let mut all = String::new();
    while let Some(line) = lines.try_next().await? {
        all.push_str(&line);
    }
    Ok(Digest::of(all.as_bytes()))
}

impl Read {
    /// What the events at these positions did, in their order; `None` for one that has not been folded into the read
    /// side yet.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ReadError> {
        let db = self.shared.db.read().await;
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

    /// The positions, up to one, of the events that applied to any of these subjects, or began or ended a fact of one;
    /// with `lost` also of those that were judged and changed nothing. In order. To be trusted up to [`Self::position`].
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        lost: bool,
    ) -> Result<Vec<Position>, ReadError> {
        let db = self.shared.db.read().await;
        let subjects = serde_json::to_string(subjects).unwrap_or_default();
        let found: Vec<i64> = sqlx::query_scalar(sql::EVENTS_OF)
            .bind(subjects)
            .bind(number(to))
            .bind(lost)
            .fetch_all(&db.readers)
            .await?;
        Ok(found.into_iter().map(position).collect())
    }

    /// Every fact of a subject that ever stood, oldest first.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn history(&self, source: &str, subject: &str) -> Result<Vec<FactRow>, ReadError> {
        let db = self.shared.db.read().await;
        Ok(sqlx::query_as(sql::HISTORY).bind(source).bind(subject).fetch_all(&db.readers).await?)
    }

    /// The facts that the event at `position` began or ended.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn caused_by(&self, position: Position) -> Result<Vec<FactRow>, ReadError> {
        let db = self.shared.db.read().await;
        Ok(sqlx::query_as(sql::CAUSED).bind(number(position)).fetch_all(&db.readers).await?)
    }

    /// The facts of a noun that stand now, by source and subject: those after (source, subject), at most `limit`.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn facts(&self, noun: &str, after: (&str, &str), limit: u32) -> Result<Vec<FactRow>, ReadError> {
        let db = self.shared.db.read().await;
        let query = sqlx::query_as(sql::STANDING_FACTS).bind(noun).bind(after.0).bind(after.1).bind(limit);
        Ok(query.fetch_all(&db.readers).await?)
    }

    /// The parked subjects after (source, subject), at most `limit`.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn parked(&self, after: (&str, &str), limit: u32) -> Result<Vec<ParkedRow>, ReadError> {
        let db = self.shared.db.read().await;
        Ok(sqlx::query_as(sql::PARKED).bind(after.0).bind(after.1).bind(limit).fetch_all(&db.readers).await?)
    }

    /// How many subjects are parked.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn parked_count(&self) -> Result<u64, ReadError> {
        let db = self.shared.db.read().await;
        let count: i64 = sqlx::query_scalar(sql::PARKED_COUNT).fetch_one(&db.readers).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Every name that a package's project had, oldest first; the last is the one that it has.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn project_history(&self, source: &str, package: &str) -> Result<Vec<ProjectRow>, ReadError> {
        let db = self.shared.db.read().await;
        Ok(sqlx::query_as(sql::PROJECT_HISTORY).bind(source).bind(package).fetch_all(&db.readers).await?)
    }

    /// What the view `membership` shows at an instant: a second, independent answer to the roster's. Of one project, or
    /// of all.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn memberships(&self, project: Option<&str>, at: DateTime<Utc>) -> Result<Vec<Membership>, ReadError> {
        memberships(&*self.shared.db.read().await, project, at).await
    }

    /// The digest of all memberships at an instant, as the roster's `membership_digest` makes it.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn membership_digest(&self, at: DateTime<Utc>) -> Result<Digest, ReadError> {
        membership_digest(&*self.shared.db.read().await, at).await
    }
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
