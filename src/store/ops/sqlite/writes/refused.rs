//! Refused sign-ins as rows: added to what is counted, and bounded for each name.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::SqliteConnection;

use super::budgets::let_go;
use crate::ops::{
    OpsError, RefusedSignInRow,
    sqlite::{
        columns::{execute_set, signed},
        sql,
    },
};

/// An hour in microseconds.
const HOUR: i64 = 3_600_000_000;
/// How many rows one name has, and all names together that nobody has.
const KEPT_PER_NAME: i64 = 200;
const KEPT_OF_STRANGERS: i64 = 2000;

/// The refused sign-ins of one write.
pub(crate) struct RefusedRows(Vec<RefusedJson>);

#[derive(Serialize)]
struct RefusedJson {
    principal: String,
    hour: i64,
    client: String,
    cause: String,
    name: Option<String>,
    count: i64,
    first_at: i64,
    last_at: i64,
}

impl RefusedRows {
    pub(crate) fn of(rows: &[RefusedSignInRow]) -> Self {
        let json = |row: &RefusedSignInRow| {
            let first_at = row.first_at.timestamp_micros();
            RefusedJson {
                principal: row.principal.clone().unwrap_or_default(),
                hour: first_at - first_at.rem_euclid(HOUR),
                client: row.client.clone(),
                cause: row.cause.clone(),
                name: row.name.clone(),
                count: signed(row.count),
                first_at,
                last_at: row.last_at.timestamp_micros(),
            }
        };
        Self(rows.iter().map(json).collect())
    }

    /// Returns how many rows went because a budget was full.
    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<u64, OpsError> {
        let Self(rows) = self;
        execute_set(connection, sql::ADD_REFUSED, &rows).await?;
        let mut gone = 0;
        for principal in rows.iter().map(|row| row.principal.as_str()).collect::<BTreeSet<_>>() {
            let kept = if principal.is_empty() { KEPT_OF_STRANGERS } else { KEPT_PER_NAME };
            let trim = sqlx::query(sql::TRIM_REFUSED).bind(principal).bind(kept);
            gone += trim.execute(&mut *connection).await?.rows_affected();
        }
        let_go(connection, "refused_sign_in", gone).await?;
        Ok(gone)
    }
}
