//! A consistent copy of the log, beside a running server, checked before it is called one. What is recorded is never changed,
//! so it is copied page by page: a server that writes meanwhile must be able to move what it wrote into the file.
//! Copies the log and what proves it; the other stores are not its business.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use rollcall_events::Position;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{chain, error::with_causes, files, verify::verify};
use crate::{VerifyError, VerifyOptions, VerifyReport};

/// Copies the log of the data directory `dir` into the directory `target`, which is made and must not hold a log yet.
///
/// The log's key is copied too (0600), so that a restored log can go on signing: whoever holds a backup can sign heads,
/// so keep it as you keep the data directory. `log.lock` is not copied: a backup ends where it ends.
///
/// # Errors
/// When something of it is there already, cannot be read or written, or the copy is not in order.
pub(crate) async fn backup(dir: &Path, target: &Path) -> Result<VerifyReport, VerifyError> {
    let unavailable = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| VerifyError::Unavailable(format!("{path}: {error}"))
    };
    fs::create_dir_all(target).map_err(unavailable(target))?;
    for name in [files::DATABASE, files::KEY, files::HEAD] {
        let there = target.join(name);
        if there.exists() {
            return Err(VerifyError::Unavailable(format!(
                "{} exists already; choose an empty directory",
                there.display()
            )));
        }
    }
    // The signed head first: the log may grow meanwhile, and a head must never be ahead of its log.
    if let Some(signed) = files::read_signed_head(dir)? {
        files::write_signed_head(target, &signed).map_err(unavailable(target))?;
    }
    let key = fs::read(dir.join(files::KEY)).map_err(unavailable(&dir.join(files::KEY)))?;
    files::write_secret(target, files::KEY, &key).map_err(unavailable(&target.join(files::KEY)))?;

    let (from, to) = (files::database(dir), files::database(target));
    let part = target.join("log.db.part");
    copy(&from, &part, |_| ()).await?;
    File::open(&part).and_then(|file| file.sync_all()).map_err(unavailable(&part))?;
    fs::rename(&part, &to).map_err(unavailable(&to))?;
    files::sync_dir(target).map_err(unavailable(target))?;
    verify(target, VerifyOptions::default(), |_| ()).await
}

/// Copies the records that there are now, with everything beside them in the file. `progress` is told up to where.
pub(crate) async fn copy(from: &Path, to: &Path, mut progress: impl FnMut(Position) + Send) -> Result<(), VerifyError> {
    let failed = |error: sqlx::Error| VerifyError::Unavailable(format!("{}: {}", from.display(), with_causes(&error)));
    // Nobody reads the copy before it is synced as a whole.
    let options = SqliteConnectOptions::new()
        .filename(to)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(Duration::from_secs(30))
        .pragma("cache_size", "-65536")
        .disable_statement_logging();
    let mut sql = options.connect().await.map_err(failed)?;
    let source = as_uri(from).ok_or_else(|| VerifyError::Unavailable("the directory's name is not UTF-8".into()))?;
    sqlx::query("ATTACH $1 AS source").bind(source).execute(&mut sql).await.map_err(failed)?;
    let end: Option<i64> =
        sqlx::query_scalar("SELECT max(position) FROM source.event").fetch_one(&mut sql).await.map_err(failed)?;
    let schema: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT type, name, sql FROM source.sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY type <> 'table', rowid",
    )
    .fetch_all(&mut sql)
    .await
    .map_err(failed)?;
    let (tables, others): (Vec<_>, Vec<_>) = schema.into_iter().partition(|(kind, ..)| kind == "table");
    for (_, name, statement) in tables {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut sql).await.map_err(failed)?;
        if name != "event" {
            let rows = AssertSqlSafe(format!("INSERT INTO main.\"{name}\" SELECT * FROM source.\"{name}\""));
            sqlx::query(rows).execute(&mut sql).await.map_err(failed)?;
        }
    }
    let (mut at, end) = (Position(0), Position(end.unwrap_or_default().unsigned_abs()));
    while at < end {
        let to = chain::range_end(at, usize::MAX, end);
        sqlx::query("INSERT INTO main.event SELECT * FROM source.event WHERE position > $1 AND position <= $2")
            .bind(at.0.cast_signed())
            .bind(to.0.cast_signed())
            .execute(&mut sql)
            .await
            .map_err(failed)?;
        at = to;
        progress(at);
    }
    // Only now, so that no trigger asks about every record; nobody else can write there.
    for (_, _, statement) in others {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut sql).await.map_err(failed)?;
    }
    sql.close().await.map_err(failed)
}

/// A file to be read only, as SQLite names it.
fn as_uri(path: &Path) -> Option<String> {
    let escaped = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{escaped}?mode=ro"))
}
