//! Decisions: what was refused or reduced, to be found again by its id; what was allowed, as numbers.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::Position;
use rollcall_ingest::Durability;
use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Ops, OpsError,
    deliveries::{damaged, time},
    rows::{Rows, set},
    sql,
    writer::Write,
};

const HOUR: i64 = 3_600_000_000;

/// What came out of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionOutcome {
    /// Everything that was asked.
    Granted,
    /// Less than was asked.
    Reduced,
    /// Nothing of it.
    Denied,
}

impl DecisionOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Reduced => "reduced",
            Self::Denied => "denied",
        }
    }
}

/// One answer to an access question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionRow {
    /// `dec_` and a UUIDv7; also the cursor of the list.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What came out. A granted one is only counted.
    pub outcome: DecisionOutcome,
    /// The user's id; absent for nobody in particular.
    pub user_id: Option<String>,
    /// The user's name then.
    pub user_name: Option<String>,
    /// The client's address.
    pub client: String,
    /// The kind of client.
    pub family: String,
    /// What was asked, as scopes.
    pub asked: String,
    /// What was granted, as scopes.
    pub granted: String,
    /// The text that was sent with a refusal.
    pub message: Option<String>,
    /// Of which state of the roster.
    pub position: Position,
    /// The images asked for, in full (`acme/db`); the first segment is the project. Empty in what a query returns.
    #[serde(skip)]
    pub images: Vec<String>,
}

/// Which decisions a list is about. Absent = any.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Of the user of this name.
    pub user: Option<String>,
    /// About this project.
    pub project: Option<String>,
    /// About this image, in full.
    pub image: Option<String>,
    /// From when.
    pub from: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// How often something came out for a project in an hour. A question about two projects counts for both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionCount {
    /// Start of the hour.
    pub hour: DateTime<Utc>,
    /// The project.
    pub project: String,
    /// What came out.
    pub outcome: String,
    /// How often.
    pub count: u64,
}

/// Decisions as rows.
#[derive(Default)]
pub(super) struct DecisionRows {
    refused: Vec<DecisionJson>,
    images: Vec<ImageJson>,
    counts: BTreeMap<(i64, String, DecisionOutcome), i64>,
}

#[derive(Serialize)]
struct DecisionJson {
    id: String,
    at: i64,
    outcome: &'static str,
    user_id: Option<String>,
    user_name: Option<String>,
    client: String,
    family: String,
    asked: String,
    granted: String,
    message: Option<String>,
    position: u64,
}

#[derive(Serialize)]
struct ImageJson {
    decision: String,
    image: String,
    project: String,
}

#[derive(Serialize)]
struct CountJson {
    hour: i64,
    project: String,
    outcome: &'static str,
    count: i64,
}

impl DecisionRows {
    fn of(rows: &[DecisionRow]) -> Self {
        let mut out = Self::default();
        for row in rows {
            let at = row.at.timestamp_micros();
            let project = |image: &str| image.split('/').next().unwrap_or_default().to_owned();
            let mut projects: Vec<_> = row.images.iter().map(|image| project(image)).collect();
            projects.sort();
            projects.dedup();
            for project in projects {
                *out.counts.entry((at - at.rem_euclid(HOUR), project, row.outcome)).or_default() += 1;
            }
            if row.outcome == DecisionOutcome::Granted {
                continue;
            }
            out.images.extend(row.images.iter().map(|image| ImageJson {
                decision: row.id.clone(),
                image: image.clone(),
                project: project(image),
            }));
            out.refused.push(DecisionJson {
                id: row.id.clone(),
                at,
                outcome: row.outcome.as_str(),
                user_id: row.user_id.clone(),
                user_name: row.user_name.clone(),
                client: row.client.clone(),
                family: row.family.clone(),
                asked: row.asked.clone(),
                granted: row.granted.clone(),
                message: row.message.clone(),
                position: row.position.0,
            });
        }
        out
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.refused.extend(more.refused);
        self.images.extend(more.images);
        for (key, count) in more.counts {
            *self.counts.entry(key).or_default() += count;
        }
    }

    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), OpsError> {
        let count = |((hour, project, outcome), count): (_, i64)| {
            let outcome = DecisionOutcome::as_str(outcome);
            CountJson { hour, project, outcome, count }
        };
        let counts: Vec<_> = self.counts.into_iter().map(count).collect();
        set(connection, sql::INSERT_DECISIONS, &self.refused).await?;
        set(connection, sql::INSERT_DECISION_IMAGES, &self.images).await?;
        set(connection, sql::COUNT_DECISIONS, &counts).await
    }
}

impl Ops {
    /// Records a batch of decisions and waits until it is written (not synced: a lost denial costs an explanation,
    /// never a right). Meant for a task that collects them off the request's path.
    ///
    /// # Errors
    /// As [`OpsError`]: drop and count them.
    pub async fn record_decisions(&self, rows: &[DecisionRow]) -> Result<(), OpsError> {
        let rows = Rows::decided(DecisionRows::of(rows));
        self.writer.write(Write::Rows(rows), Durability::Written).await.map(drop)
    }

    /// Up to `limit` decisions, newest first, older than `before`.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DecisionRow>, OpsError> {
        let statement = match (&filter.project, &filter.image, &filter.user) {
            (None, None, None) => sql::DECISIONS,
            (None, None, Some(_)) => sql::DECISIONS_OF_USER,
            _ => sql::DECISIONS_OF_PROJECT,
        };
        let project = filter.project.as_deref().or(filter.image.as_deref().and_then(|image| image.split('/').next()));
        let rows = sqlx::query(statement)
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .bind(filter.from.map(|at| at.timestamp_micros()))
            .bind(filter.until.map(|at| at.timestamp_micros()))
            .bind(filter.user.as_deref())
            .bind(filter.image.as_deref())
            .bind(project)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(decision).collect()
    }

    /// One decision; nothing for one that was granted, or is no longer kept.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn decision(&self, id: &str) -> Result<Option<DecisionRow>, OpsError> {
        let row = sqlx::query(sql::FIND_DECISION).bind(id).fetch_optional(&self.readers).await?;
        row.as_ref().map(decision).transpose()
    }

    /// The numbers of a time, by hour.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn decision_counts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        project: Option<&str>,
    ) -> Result<Vec<DecisionCount>, OpsError> {
        let from = (from - TimeDelta::hours(1)).timestamp_micros() + 1;
        let query = sqlx::query(sql::DECISION_COUNTS).bind(from).bind(until.timestamp_micros()).bind(project);
        let count = |row: &SqliteRow| {
            Ok(DecisionCount {
                hour: time(row.try_get("hour")?)?,
                project: row.try_get("project")?,
                outcome: row.try_get("outcome")?,
                count: row.try_get::<i64, _>("count")?.unsigned_abs(),
            })
        };
        query.fetch_all(&self.readers).await?.iter().map(count).collect()
    }
}

fn decision(row: &SqliteRow) -> Result<DecisionRow, OpsError> {
    let outcome = match row.try_get("outcome")? {
        "granted" => DecisionOutcome::Granted,
        "reduced" => DecisionOutcome::Reduced,
        "denied" => DecisionOutcome::Denied,
        other => return Err(damaged(other)),
    };
    Ok(DecisionRow {
        id: row.try_get("id")?,
        at: time(row.try_get("at")?)?,
        outcome,
        user_id: row.try_get("user_id")?,
        user_name: row.try_get("user_name")?,
        client: row.try_get("client")?,
        family: row.try_get("family")?,
        asked: row.try_get("asked")?,
        granted: row.try_get("granted")?,
        message: row.try_get("message")?,
        position: Position(row.try_get::<i64, _>("position")?.unsigned_abs()),
        images: Vec::new(),
    })
}
