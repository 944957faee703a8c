//! Proves a log unaltered, beside a running server: the chain from end to end, a signed head against it, the file's own
//! structure. Takes no lock, writes nothing, and reads page by page: a server that writes meanwhile must be able to move
//! what it wrote into the file.

use std::{path::Path, time::Duration};

use rollcall_events::{LogId, Position};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{
    chain,
    error::{is_damage, with_causes},
    files, open, record,
};
use crate::{Head, HeadError, OpenError, VerifyError, VerifyOptions, VerifyProgress, VerifyReport};

/// Verifies the log in the data directory `dir`; also beside a running server, whose later appends are not looked at.
///
/// # Errors
/// The first thing that is not in order, by position or by file.
pub(crate) async fn verify(
    dir: &Path,
    options: VerifyOptions,
    progress: impl FnMut(VerifyProgress) + Send,
) -> Result<VerifyReport, VerifyError> {
    let file = files::database(dir);
    if !file.exists() {
        return Err(VerifyError::Unavailable(format!("there is no {}", file.display())));
    }
    // Read before the log is: the log may grow meanwhile, so that it can only be longer than these say.
    let mut heads = vec![acknowledged_head(dir)?, files::checked_signed_head(dir, None)?];
    let public_key = match (&options.public_key, &options.against) {
        (Some(pem), _) => pem.clone(),
        (None, Some(_)) => files::read_key(dir)?.map(|key| key.public_key_pem()).ok_or(HeadError::Key)?,
        (None, None) => String::new(),
    };
    let failed = |error: sqlx::Error| sql_error(&file, &error);
    let mut sql = open::read_only(&file, Duration::from_secs(30)).connect().await.map_err(failed)?;
    let log = open::log_id(&mut sql).await.map_err(failed)?;
    if let Some(signed) = &options.against {
        if signed.log != log.to_string() {
            return Err(VerifyError::OtherLog { head: signed.log.clone(), log });
        }
        heads.push(Some(signed.check(&public_key)?));
    }
    files::checked_signed_head(dir, Some(log))?;
    let mut heads: Vec<Head> = heads.into_iter().flatten().collect();
    heads.sort_by_key(|head| head.position);
    // SQLite's own look is one long read. Beside a server every record is sought instead, by its key and by its position.
    let structure = if files::is_in_use(dir) { Structure::Sought } else { Structure::Whole };
    let chain = Chain { file: &file, log, after: options.after, known: &heads, structure };
    let (events, head) = chain.check(&mut sql, progress).await.map_err(|error| match error {
        // The chain may be sound and yet lead elsewhere than what was signed: that is not damage but another history.
        VerifyError::Altered { .. } if options.against.is_none() => VerifyError::Structure {
            place: files::place(&file),
            what: "it does not pass through the last head that it signed or acknowledged itself".into(),
        },
        other => other,
    })?;
    check_schema(&mut sql, &file).await?;
    check_header(&file)?;
    if structure == Structure::Whole {
        check_structure(&mut sql, &file).await?;
    }
    sql.close().await.map_err(failed)?;
    Ok(VerifyReport { log, events, after: options.after, head, against: options.against })
}

/// How the structure of the file is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Structure {
    /// All of it, by SQLite.
    Whole,
    /// As far as records are found where they are looked for.
    Sought,
}

/// What is held against what.
struct Chain<'a> {
    file: &'a Path,
    log: LogId,
    after: Position,
    known: &'a [Head],
    structure: Structure,
}

impl Chain<'_> {
    /// Holds every record behind `after` against the chain, and the chain against the heads that are known.
    async fn check(
        &self,
        sql: &mut SqliteConnection,
        mut progress: impl FnMut(VerifyProgress) + Send,
    ) -> Result<(u64, Head), VerifyError> {
        let Self { file, log, after, known, structure } = *self;
        let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM event")
            .fetch_one(&mut *sql)
            .await
            .map_err(|e| VerifyError::Unavailable(with_causes(&e)))?;
        let end = Position(last.unwrap_or_default().cast_unsigned());
        if let Some(head) = known.last().filter(|head| head.position > end) {
            let what = format!("the log ends at {end}, but it was recorded up to {}", head.position);
            return Err(VerifyError::Damaged { position: record::position_after(end), what });
        }
        let start = after.min(end);
        let mut events = 0;
        let mut decoder = record::Decoder::default();
        // Plain loops: a closure that lives across a wait would keep the future from moving between threads.
        for head in known {
            if head.position > start {
                break;
            }
            if chain::hash_at(sql, log, head.position).await? != head.hash {
                return Err(VerifyError::Altered { position: head.position });
            }
        }
        let mut at = Head { position: start, hash: chain::hash_at(sql, log, start).await? };
        let passed = known.partition_point(|head| head.position <= start);
        let mut ahead = known.iter().skip(passed).peekable();
        while at.position < end {
            let stop = ahead.peek().map_or(end, |head| head.position);
            let page =
                chain::read_checked(sql, &mut decoder, at, chain::range_end(at.position, usize::MAX, stop)).await?;
            events += page.records.len() as u64;
            let before = at.position;
            at = Head { position: page.records.last().map_or(end, |record| record.position), hash: page.hash };
            if structure == Structure::Sought {
                let sought = record::count_sought(sql, before, at.position).await.map_err(|e| sql_error(file, &e))?;
                if sought != at.position.0 - before.0 {
                    let what =
                        format!("not every record behind position {before} up to {} is found by its key", at.position);
                    return Err(VerifyError::Structure { place: files::place(file), what });
                }
            }
            while let Some(head) = ahead.next_if(|head| head.position <= at.position) {
                if head.hash != at.hash {
                    return Err(VerifyError::Altered { position: head.position });
                }
            }
            progress(VerifyProgress { position: at.position, end });
        }
        Ok((events, at))
    }
}

/// What of the file's header no statement would tell.
fn check_header(file: &Path) -> Result<(), VerifyError> {
    // Bytes 18 and 19 say who may write and read the file; with another value SQLite calls it read-only, and is right.
    let mut header = [0; 20];
    let read = std::fs::File::open(file).and_then(|mut open| std::io::Read::read_exact(&mut open, &mut header));
    read.map_err(|error| VerifyError::Unavailable(error.to_string()))?;
    if !matches!(header, [.., 1 | 2, 1 | 2]) {
        return Err(VerifyError::Structure {
            place: files::place(file),
            what: "its header is damaged at byte 18 or 19".into(),
        });
    }
    Ok(())
}

/// SQLite's own look at its file: a damaged index would let a key in twice, without any record being changed.
async fn check_structure(sql: &mut SqliteConnection, file: &Path) -> Result<(), VerifyError> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
        .fetch_all(sql)
        .await
        .map_err(|error| sql_error(file, &error))?;
    if found == ["ok"] {
        Ok(())
    } else {
        Err(VerifyError::Structure { place: files::place(file), what: found.join("; ") })
    }
}

/// Tables, triggers and migrations must be those of a new log: a changed trigger would let records be changed.
async fn check_schema(sql: &mut SqliteConnection, file: &Path) -> Result<(), VerifyError> {
    const SCHEMA: &str = "SELECT type || ' ' || name, tbl_name || ' ' || ifnull(sql, '') FROM sqlite_schema \
         UNION ALL SELECT 'migration ' || version, hex(checksum) || success FROM _sqlx_migrations ORDER BY 1";
    let failed = |error: sqlx::Error| sql_error(file, &error);
    let mut new = SqliteConnection::connect("sqlite::memory:").await.map_err(failed)?;
    open::migrate(&mut new).await.map_err(|e| VerifyError::Unavailable(e.to_string()))?;
    let wanted: Vec<(String, String)> = sqlx::query_as(SCHEMA).fetch_all(&mut new).await.map_err(failed)?;
    let found: Vec<(String, String)> = sqlx::query_as(SCHEMA).fetch_all(&mut *sql).await.map_err(failed)?;
    if found == wanted {
        return Ok(());
    }
    let differs =
        wanted.iter().find(|one| !found.contains(one)).or_else(|| found.iter().find(|one| !wanted.contains(one)));
    let what =
        format!("its schema is not that of a log: {}", differs.map_or("an entry is there twice", |(name, _)| name));
    Err(VerifyError::Structure { place: files::place(file), what })
}

fn sql_error(file: &Path, error: &sqlx::Error) -> VerifyError {
    let what = with_causes(error);
    if is_damage(error) {
        VerifyError::Structure { place: files::place(file), what }
    } else {
        VerifyError::Unavailable(what)
    }
}

/// The head that was acknowledged last. A running server may be writing it this very moment: one that reads badly is
/// read once more.
fn acknowledged_head(dir: &Path) -> Result<Option<Head>, OpenError> {
    let read = || files::acknowledged_head(dir);
    read().or_else(|_| read()).or_else(|_| read())
}
