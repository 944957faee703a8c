//! One erasure of a person.

use sqlx::{Row, SqliteConnection};

use crate::ops::{
    OpsError,
    sqlite::{columns::json, sql},
};

pub(crate) async fn erase(
    connection: &mut SqliteConnection,
    source: &str,
    person: &str,
    at: i64,
) -> Result<u64, OpsError> {
    let known = sqlx::query(sql::FORGET_PERSON).bind(source).bind(person).fetch_optional(&mut *connection).await?;
    let email: Option<String> = match known {
        Some(row) => row.try_get("email")?,
        None => None,
    };
    let rows = sqlx::query(sql::ERASE_DELIVERIES)
        .bind(source)
        .bind(at)
        .bind(format!("person/{person}"))
        // As texts of JSON, quotes included: `"ada"` is not in `"ada-lovelace"`.
        .bind(json(person)?)
        .bind(email.map(|email| json(&email)).transpose()?)
        .fetch_all(&mut *connection)
        .await?;
    let ids: Vec<String> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    if !ids.is_empty() {
        sqlx::query(sql::ERASE_PARTS).bind(json(&ids)?).execute(connection).await?;
    }
    Ok(ids.len() as u64)
}
