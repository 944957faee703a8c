//! One claim of an idempotency key.

use sqlx::{Row, SqliteConnection};

use crate::ops::{
    Claim, OpsError, StoredAnswer,
    sqlite::{columns::damaged, sql},
};

pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    key: &str,
    digest: &str,
    at: i64,
    expired: i64,
) -> Result<Claim, OpsError> {
    sqlx::query(sql::EXPIRE_ANSWER).bind(key).bind(expired).execute(&mut *connection).await?;
    let claimed = sqlx::query(sql::CLAIM_ANSWER).bind(key).bind(digest).bind(at).execute(&mut *connection).await?;
    if claimed.rows_affected() == 1 {
        return Ok(Claim::First);
    }
    let row = sqlx::query(sql::FIND_ANSWER).bind(key).fetch_one(connection).await?;
    if row.try_get::<&str, _>("digest")? != digest {
        return Ok(Claim::Other);
    }
    match row.try_get::<Option<i64>, _>("status")? {
        None => Ok(Claim::Running),
        Some(status) => {
            let status = status.try_into().map_err(damaged)?;
            let body = row.try_get::<Option<Vec<u8>>, _>("body")?.unwrap_or_default();
            Ok(Claim::Answered(StoredAnswer { status, body }))
        }
    }
}
