//! Decisions: what was refused or reduced, to be found again by its id; what was allowed, as numbers.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::Position;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    columns::{damaged, time, unsigned},
    sql,
    store::SqliteOps,
    writes::{DecisionRows, Write},
};
use crate::ops::{
    DecisionCount, DecisionFilter, DecisionKind, DecisionOutcome, DecisionRecords, DecisionRow, OpsError,
};

#[async_trait]
impl DecisionRecords for SqliteOps {
    async fn record_decisions(&self, rows: &[DecisionRow]) -> Result<u64, OpsError> {
        Ok(self.writer.write_record(Write::Decisions(DecisionRows::of(rows))).await?.count())
    }

    async fn decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DecisionRow>, OpsError> {
        let statement = match (&filter.project, &filter.image, &filter.user) {
            (None, None, None) => sql::DECISIONS,
            // Ids have a slash and no index: what is kept of 30 days is bounded.
            (None, None, Some(user)) if !user.contains('/') => sql::DECISIONS_OF_USER,
            (None, None, Some(_)) => sql::DECISIONS,
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
            .bind(filter.outcome.map(DecisionOutcome::as_str))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(decision).collect()
    }

    async fn decision(&self, id: &str) -> Result<Option<DecisionRow>, OpsError> {
        let row = sqlx::query(sql::FIND_DECISION).bind(id).fetch_optional(&self.readers).await?;
        row.as_ref().map(decision).transpose()
    }

    async fn decision_counts(
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
        count: unsigned(row, "count")?,
        kind: match row.try_get("kind")? {
            "tied" => DecisionKind::Tied,
            "stranger" => DecisionKind::Stranger,
            "anonymous" => DecisionKind::Anonymous,
            "asked" => DecisionKind::Asked,
            other => return Err(damaged(other)),
        },
        caller: row.try_get("caller")?,
        together: row.try_get("together")?,
        images: Vec::new(),
    })
}
