//! How values become columns and columns values. Knows no table.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::ops::OpsError;

pub(super) fn time(micros: i64) -> Result<DateTime<Utc>, OpsError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| damaged("a time out of range"))
}

pub(super) fn damaged(what: impl std::fmt::Display) -> OpsError {
    OpsError::Database(format!("a row is not what was written: {what}"))
}

/// SQLite's integers are signed; what is counted never comes near the sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, OpsError> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}

/// A text column as what it spells.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &SqliteRow,
    column: &str,
) -> Result<T, OpsError> {
    row.try_get::<&str, _>(column)?.parse().map_err(damaged)
}

/// A set of rows, or one value, as a statement takes it.
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> Result<String, OpsError> {
    serde_json::to_string(rows).map_err(|error| OpsError::Database(error.to_string()))
}

/// Runs a statement over a set of rows, if there are any.
pub(super) async fn execute_set<T: Serialize>(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: &[T],
) -> Result<(), OpsError> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(json(rows)?).execute(connection).await?;
    }
    Ok(())
}

impl From<sqlx::Error> for OpsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}
