//! Personal data.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Id, SourceName};
use rollcall_ingest::Durability;
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    columns::json,
    sql,
    store::SqliteOps,
    writes::{Reply, Write},
};
use crate::ops::{OpsError, PersonRecords, PersonalRow};

#[derive(Serialize)]
struct Key<'a> {
    source: &'a str,
    person: &'a str,
}

fn row(row: &SqliteRow) -> Result<PersonalRow, OpsError> {
    Ok(PersonalRow {
        source: row.try_get("source")?,
        person: row.try_get("person")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
    })
}

#[async_trait]
impl PersonRecords for SqliteOps {
    async fn personal_data(&self, persons: &[(SourceName, Id)]) -> Result<Vec<PersonalRow>, OpsError> {
        let keys: Vec<_> = persons.iter().map(|(s, p)| Key { source: s.as_str(), person: p.as_str() }).collect();
        let rows = sqlx::query(sql::PERSONAL).bind(json(&keys)?).fetch_all(&self.readers).await?;
        rows.iter().map(row).collect()
    }

    async fn shared_addresses(&self, after: &str, limit: u32) -> Result<Vec<Vec<PersonalRow>>, OpsError> {
        let rows = sqlx::query(sql::SHARED_ADDRESSES).bind(after).bind(limit).fetch_all(&self.readers).await?;
        let mut all: Vec<Vec<PersonalRow>> = Vec::new();
        let address = |row: &PersonalRow| row.email.as_deref().unwrap_or_default().to_ascii_lowercase();
        for row in &rows {
            let row = self::row(row)?;
            match all.last_mut().filter(|of| of.first().is_some_and(|first| address(first) == address(&row))) {
                Some(of) => of.push(row),
                None => all.push(vec![row]),
            }
        }
        Ok(all)
    }

    async fn erase(&self, source: &SourceName, person: &Id, now: DateTime<Utc>) -> Result<u64, OpsError> {
        let write = Write::Erase { source: source.to_string(), person: person.to_string(), at: now.timestamp_micros() };
        match self.writer.write(write, Durability::Synced).await? {
            Reply::NotErased(error) => Err(error),
            reply => Ok(reply.count()),
        }
    }
}
