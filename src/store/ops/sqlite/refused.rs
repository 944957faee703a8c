//! Sign-ins that were refused, and what went because a budget was full.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    columns::{time, unsigned},
    sql,
    store::SqliteOps,
    writes::{RefusedRows, Write},
};
use crate::ops::{LetGo, OpsError, RefusedSignInRow, RefusedSignIns};

#[async_trait]
impl RefusedSignIns for SqliteOps {
    async fn record_refused(&self, rows: &[RefusedSignInRow]) -> Result<u64, OpsError> {
        Ok(self.writer.write_record(Write::Refused(RefusedRows::of(rows))).await?.count())
    }

    async fn refused_sign_ins(&self, principal: Option<&str>, limit: u32) -> Result<Vec<RefusedSignInRow>, OpsError> {
        let rows = sqlx::query(sql::REFUSED_SIGN_INS).bind(principal).bind(limit).fetch_all(&self.readers).await?;
        let row = |row: &SqliteRow| {
            let principal: String = row.try_get("principal")?;
            Ok(RefusedSignInRow {
                principal: Some(principal).filter(|id| !id.is_empty()),
                name: row.try_get("name")?,
                client: row.try_get("client")?,
                cause: row.try_get("cause")?,
                count: unsigned(row, "count")?,
                first_at: time(row.try_get("first_at")?)?,
                last_at: time(row.try_get("last_at")?)?,
            })
        };
        rows.iter().map(row).collect()
    }

    async fn let_go(&self) -> Result<Vec<LetGo>, OpsError> {
        let rows = sqlx::query(sql::LET_GO).fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok(LetGo { kind: row.try_get("kind")?, rows: unsigned(row, "rows")? })).collect()
    }
}
