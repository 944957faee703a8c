//! What went because a budget was full is counted where it went.

use sqlx::SqliteConnection;

use crate::ops::{
    OpsError,
    sqlite::{columns::signed, sql},
};

pub(crate) async fn let_go(connection: &mut SqliteConnection, kind: &str, rows: u64) -> Result<(), OpsError> {
    if rows > 0 {
        sqlx::query(sql::COUNT_LET_GO).bind(kind).bind(signed(rows)).execute(connection).await?;
    }
    Ok(())
}
