//! One step of pruning: so few rows that no delivery waits long.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use crate::ops::{
    ANSWERS_KEPT, DecisionKind, OpsError, Retention,
    sqlite::{sources_sql, sql},
};

/// One step of pruning.
pub(crate) struct PruneStep {
    deliveries: String,
    quarantine: String,
    denials: String,
    denials_at_most: u32,
    counts: i64,
    counts_at_most: u32,
    refused: i64,
    answers: i64,
    plans: String,
}

impl PruneStep {
    pub(crate) fn new(now: DateTime<Utc>, retention: &Retention) -> Self {
        Self {
            deliveries: smallest_id_at("dlv", now - retention.deliveries),
            quarantine: smallest_id_at("dlv", now - retention.quarantine),
            denials: smallest_id_at("dec", now - retention.denials),
            denials_at_most: retention.denials_at_most,
            counts: (now - retention.counts).timestamp_micros(),
            counts_at_most: retention.counts_at_most,
            refused: (now - retention.denials).timestamp_micros(),
            answers: (now - ANSWERS_KEPT).timestamp_micros(),
            plans: smallest_id_at("pln", now - retention.plans),
        }
    }
}

/// The smallest id of that time: ids begin with their milliseconds.
fn smallest_id_at(prefix: &str, at: DateTime<Utc>) -> String {
    format!("{prefix}_{:012x}", at.timestamp_millis().max(0))
}

pub(crate) async fn prune(connection: &mut SqliteConnection, step: &PruneStep) -> Result<u64, OpsError> {
    let mut rows = 0;
    let statements = [
        sqlx::query(sql::PRUNE_DELIVERIES).bind(&step.deliveries),
        sqlx::query(sql::PRUNE_QUARANTINE).bind(&step.quarantine),
        sqlx::query(sql::PRUNE_DECISIONS).bind(&step.denials).bind(step.denials_at_most),
        sqlx::query(sql::PRUNE_COUNTS).bind(step.counts).bind(step.counts_at_most),
        sqlx::query(sql::PRUNE_REFUSED).bind(step.refused),
        sqlx::query(sql::TRIM_KIND).bind(DecisionKind::Tied.as_str()).bind(DecisionKind::Tied.budget().1),
        sqlx::query(sql::TRIM_KIND).bind(DecisionKind::Stranger.as_str()).bind(DecisionKind::Stranger.budget().1),
        sqlx::query(sql::TRIM_KIND).bind(DecisionKind::Asked.as_str()).bind(DecisionKind::Asked.budget().1),
        sqlx::query(sql::PRUNE_ANSWERS).bind(step.answers),
        sqlx::query(sources_sql::PRUNE_PLANS).bind(&step.plans),
    ];
    for statement in statements {
        rows += statement.execute(&mut *connection).await?.rows_affected();
    }
    Ok(rows)
}
