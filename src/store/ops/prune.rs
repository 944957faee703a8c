//! What is kept how long. Called now and then with the time; deletes in small steps, so that no delivery waits long.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_ingest::Durability;
use sqlx::SqliteConnection;

use super::{
    Ops, OpsError, answers, sources_sql, sql,
    writer::{Reply, Write},
};

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Deliveries that came to an end.
    pub deliveries: TimeDelta,
    /// Deliveries with a part still in quarantine, or left half way by a crash and of a source that is no more.
    pub quarantine: TimeDelta,
    /// Decisions other than granted ones.
    pub denials: TimeDelta,
    /// How many of those at most.
    pub denials_at_most: u32,
    /// Hourly numbers.
    pub counts: TimeDelta,
    /// Plans that wait no longer.
    pub plans: TimeDelta,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            deliveries: TimeDelta::days(90),
            quarantine: TimeDelta::days(365),
            denials: TimeDelta::days(30),
            denials_at_most: 1_000_000,
            counts: TimeDelta::days(400),
            plans: TimeDelta::days(90),
        }
    }
}

/// One step of pruning.
pub(super) struct PruneStep {
    deliveries: String,
    quarantine: String,
    denials: String,
    denials_at_most: u32,
    counts: i64,
    answers: i64,
    plans: String,
}

impl Ops {
    /// Deletes what is older than it should be. Returns how many rows went, what hung on them not counted.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn prune(&self, now: DateTime<Utc>, retention: &Retention) -> Result<u64, OpsError> {
        let mut all = 0;
        loop {
            let step = PruneStep {
                deliveries: first_id("dlv", now - retention.deliveries),
                quarantine: first_id("dlv", now - retention.quarantine),
                denials: first_id("dec", now - retention.denials),
                denials_at_most: retention.denials_at_most,
                counts: (now - retention.counts).timestamp_micros(),
                answers: (now - answers::KEPT).timestamp_micros(),
                plans: first_id("pln", now - retention.plans),
            };
            match self.writer.write(Write::Prune(step), Durability::Written).await? {
                Reply::Count(0) | Reply::Done | Reply::Claimed(_) => return Ok(all),
                Reply::Count(some) => all += some,
            }
        }
    }
}

/// The smallest id of that time: ids begin with their milliseconds.
fn first_id(prefix: &str, at: DateTime<Utc>) -> String {
    format!("{prefix}_{:012x}", at.timestamp_millis().max(0))
}

pub(super) async fn prune(connection: &mut SqliteConnection, step: &PruneStep) -> Result<u64, OpsError> {
    let mut rows = 0;
    let statements = [
        sqlx::query(sql::PRUNE_DELIVERIES).bind(&step.deliveries),
        sqlx::query(sql::PRUNE_QUARANTINE).bind(&step.quarantine),
        sqlx::query(sql::PRUNE_DECISIONS).bind(&step.denials).bind(step.denials_at_most),
        sqlx::query(sql::PRUNE_COUNTS).bind(step.counts),
        sqlx::query(sql::PRUNE_ANSWERS).bind(step.answers),
        sqlx::query(sources_sql::PRUNE_PLANS).bind(&step.plans),
    ];
    for statement in statements {
        rows += statement.execute(&mut *connection).await?.rows_affected();
    }
    Ok(rows)
}
