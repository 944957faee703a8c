//! One write about a source that is read: its baseline, a plan, its status, the saved state of its follower.

use rollcall_events::{SourceName, body::Author};
use rollcall_ingest::{
    BaselineState, Plan, PlanClosure, PlanId, PlanRow, PlanState, SavedCursor, SourceStatus,
    connector::{Cursor, StateEntry},
};
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::ops::{
    OpsError,
    sqlite::{
        columns::{json, signed},
        sources_sql as sql,
    },
};

/// One write about a source.
pub(crate) enum SourceWrite {
    Forget(SourceName),
    Fold {
        source: SourceName,
        log: String,
        subjects: String,
        entries: Vec<u8>,
        reached: BaselineState,
    },
    Plan(Box<Plan>, Vec<PlanRowJson>),
    Close(PlanId, PlanState, PlanClosure),
    Status(Box<SourceStatus>),
    /// Notes with nothing that they belong to yet.
    StateEntries(SourceName, Vec<StateEntryJson>),
    /// Where a follower goes on, with the entries that changed and those that are no more.
    SyncState {
        source: SourceName,
        followed: SavedCursor,
        entries: Vec<StateEntryJson>,
        gone: Vec<String>,
    },
    ForgetSyncState(SourceName),
}

#[derive(Serialize)]
pub(crate) struct StateEntryJson {
    key: String,
    value: String,
}

impl From<StateEntry> for StateEntryJson {
    fn from((key, value): StateEntry) -> Self {
        let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 });
        Self { key, value: value.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect() }
    }
}

#[derive(Serialize)]
pub(crate) struct PlanRowJson {
    verb: &'static str,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    data: String,
    was: Option<String>,
    text: String,
}

impl From<&PlanRow> for PlanRowJson {
    fn from(row: &PlanRow) -> Self {
        Self {
            verb: row.verb.as_str(),
            kind: row.kind.clone(),
            subject: row.subject.clone(),
            data: row.data.clone(),
            was: row.was.clone(),
            text: row.text.clone(),
        }
    }
}

pub(crate) async fn write(connection: &mut SqliteConnection, write: SourceWrite) -> Result<(), OpsError> {
    match write {
        SourceWrite::Forget(source) => {
            sqlx::query(sql::FORGET_BASELINE).bind(source.as_str()).execute(&mut *connection).await?;
            sqlx::query(sql::FORGET_BASELINE_STATE).bind(source.as_str()).execute(connection).await?;
        }
        SourceWrite::Fold { source, log, subjects, entries, reached } => {
            if !entries.is_empty() {
                let fold = sqlx::query(sql::FOLD_ENTRIES).bind(source.as_str()).bind(subjects).bind(entries);
                fold.execute(&mut *connection).await?;
            }
            sqlx::query(sql::FOLD_BASELINE_STATE)
                .bind(source.as_str())
                .bind(log)
                .bind(signed(reached.position.0))
                .bind(signed(reached.epoch.0))
                .bind(reached.scope)
                .bind(reached.open)
                .execute(connection)
                .await?;
        }
        SourceWrite::Plan(plan, rows) => {
            let (source, why) = (plan.source.as_str(), plan.why.as_str());
            let made_at = plan.made_at.timestamp_micros();
            sqlx::query(sql::SUPERSEDE_PLANS).bind(source).bind(why).bind(made_at).execute(&mut *connection).await?;
            sqlx::query(sql::INSERT_PLAN)
                .bind(plan.id.as_str())
                .bind(source)
                .bind(made_at)
                .bind(signed(plan.position.0))
                .bind(why)
                .bind(&plan.reason)
                .bind(plan.state.as_str())
                .bind(signed(plan.facts))
                .bind(signed(plan.additions))
                .bind(signed(plan.changes))
                .bind(signed(plan.removals))
                .bind(&plan.removals_digest)
                .bind(&plan.rows_digest)
                .execute(&mut *connection)
                .await?;
            let rows = json(&rows)?;
            sqlx::query(sql::INSERT_PLAN_ROWS).bind(plan.id.as_str()).bind(rows).execute(connection).await?;
        }
        SourceWrite::Close(id, state, closed) => {
            let (at, by) = (closed.at.timestamp_micros(), closed.by.as_ref().map(Author::as_str));
            let query = sqlx::query(sql::CLOSE_PLAN).bind(id.as_str()).bind(state.as_str()).bind(at).bind(by);
            query.execute(connection).await?;
        }
        SourceWrite::Status(status) => {
            sqlx::query(sql::SAVE_STATUS)
                .bind(status.source.as_str())
                .bind(status.state.as_str())
                .bind(status.reason)
                .bind(status.checked_at.timestamp_micros())
                .bind(status.sealed_at.map(|at| at.timestamp_micros()))
                .bind(signed(status.applied.0))
                .bind(signed(status.facts))
                .bind(i64::from(status.failures))
                .bind(json(&status.absent)?)
                .bind(json(&status.excluded)?)
                .bind(status.whole.as_ref().map(|whole| whole.at.timestamp_micros()))
                .bind(status.whole.map(|whole| whole.why))
                .bind(json(&status.outside)?)
                .execute(connection)
                .await?;
        }
        SourceWrite::StateEntries(source, entries) => {
            sqlx::query(sql::SAVE_STATE_ENTRIES)
                .bind(source.as_str())
                .bind(json(&entries)?)
                .execute(connection)
                .await?;
        }
        SourceWrite::SyncState { source, followed, entries, gone } => {
            let source = source.as_str();
            if !gone.is_empty() {
                sqlx::query(sql::DELETE_STATE_ENTRIES)
                    .bind(source)
                    .bind(json(&gone)?)
                    .execute(&mut *connection)
                    .await?;
            }
            if !entries.is_empty() {
                sqlx::query(sql::SAVE_STATE_ENTRIES)
                    .bind(source)
                    .bind(json(&entries)?)
                    .execute(&mut *connection)
                    .await?;
            }
            let SavedCursor { log, scope, position, cursor: Cursor(cursor) } = followed;
            let query = sqlx::query(sql::SAVE_CURSOR).bind(source).bind(log).bind(scope);
            query.bind(signed(position.0)).bind(cursor).execute(connection).await?;
        }
        SourceWrite::ForgetSyncState(source) => {
            sqlx::query(sql::DELETE_CURSOR).bind(source.as_str()).execute(&mut *connection).await?;
            sqlx::query(sql::CLEAR_STATE_ENTRIES).bind(source.as_str()).execute(connection).await?;
        }
    }
    Ok(())
}
