//! Proves a log unaltered, beside a running server: the chain from end to end, a signed head against it, the file's own
//! structure. Takes no lock and writes nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rollcall_events::{LogId, Position};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{OpenError, files, is_damage, log_id, read_only, reader, record};
use crate::{Head, HeadError, SignedHead, TailError};

/// What a check is about.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// A head that was kept elsewhere. Without one the log can only be found consistent with itself.
    pub against: Option<SignedHead>,
    /// The log's public key, PEM, kept elsewhere; the one in the data directory if absent.
    pub public_key: Option<String>,
    /// Start behind this position and trust the hash that is stored there; 0 for the whole log.
    pub after: Position,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Checked up to here.
    pub position: Position,
    /// Of this.
    pub end: Position,
}

/// What was found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which log.
    pub log: LogId,
    /// How many records were held against the chain.
    pub events: u64,
    /// Where the check began: behind this position.
    pub after: Position,
    /// The newest record.
    pub head: Head,
    /// The signed head that the chain passes through.
    pub against: Option<SignedHead>,
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log, events, after, head, against } = self;
        write!(f, "log {log}: {events} events")?;
        if *after > Position(0) {
            write!(f, " behind position {after}")?;
        }
        write!(f, " up to position {}, ", head.position)?;
        match against {
            Some(signed) => {
                write!(
                    f,
                    "unaltered up to position {} as signed at {}",
                    signed.position,
                    signed.signed_at.to_rfc3339()
                )?;
                if signed.position < head.position {
                    f.write_str(", and consistent with itself from there on")?;
                }
                Ok(())
            }
            None => f.write_str("consistent with itself (only a signed head that was kept elsewhere can show more)"),
        }
    }
}

/// Why a log is not in order, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A record is not what was recorded, or is missing.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that cannot be trusted.
        position: Position,
        /// What was seen.
        what: String,
    },
    /// The file's structure, an index, or one of the files beside it is damaged.
    #[error("{}: {what}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// What was seen.
        what: String,
    },
    /// The signed head is of another log.
    #[error("the head is of log {head}, this is log {log}")]
    OtherLog {
        /// The head's log.
        head: String,
        /// This log.
        log: LogId,
    },
    /// The signed head proves nothing.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The chain does not pass through the signed head: the log was altered at or before it.
    #[error("the log was altered: what it says at position {position} is not what was signed")]
    Altered {
        /// The head's position.
        position: Position,
    },
    /// The storage does not answer.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

impl From<TailError> for VerifyError {
    fn from(error: TailError) -> Self {
        match error {
            TailError::Damaged { position, what } => Self::Damaged { position, what },
            TailError::Unavailable(what) => Self::Unavailable(what),
        }
    }
}

impl From<OpenError> for VerifyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged { file, what } => Self::File { file, what },
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Checks the log in the data directory `dir`; also beside a running server, whose later appends are not looked at.
///
/// # Errors
/// The first thing that is not in order, by position or by file.
pub async fn verify(dir: &Path, check: Check, progress: impl FnMut(Progress) + Send) -> Result<Verified, VerifyError> {
    let file = files::database(dir);
    if !file.exists() {
        return Err(VerifyError::Unavailable(format!("there is no {}", file.display())));
    }
    // Read before the log is: the log may grow meanwhile, so that it can only be longer than these say.
    let mut marks = vec![settled_mark(dir)?, files::stated(dir, None)?];
    let public_key = match (&check.public_key, &check.against) {
        (Some(pem), _) => pem.clone(),
        (None, Some(_)) => files::key(dir)?.map(|key| key.public_key_pem()).ok_or(HeadError::Key)?,
        (None, None) => String::new(),
    };
    let failed = |error: sqlx::Error| sql_failed(&file, &error);
    let mut sql = read_only(&file, Duration::from_secs(30)).connect().await.map_err(failed)?;
    let log = log_id(&mut sql).await.map_err(failed)?;
    if let Some(signed) = &check.against {
        if signed.log != log.to_string() {
            return Err(VerifyError::OtherLog { head: signed.log.clone(), log });
        }
        marks.push(Some(signed.check(&public_key)?));
    }
    files::stated(dir, Some(log))?;
    let mut marks: Vec<Head> = marks.into_iter().flatten().collect();
    marks.sort_by_key(|mark| mark.position);
    let (events, head) = walk(&mut sql, log, check.after, &marks, progress).await.map_err(|error| match error {
        // The chain may be sound and yet lead elsewhere than what was signed: that is not damage but another history.
        VerifyError::Altered { .. } if check.against.is_none() => VerifyError::File {
            file: file.clone(),
            what: "it does not pass through the last head that it signed or acknowledged itself".into(),
        },
        other => other,
    })?;
    schema(&mut sql, &file).await?;
    structure(&mut sql, &file).await?;
    sql.close().await.map_err(failed)?;
    Ok(Verified { log, events, after: check.after, head, against: check.against })
}

/// Holds every record behind `after` against the chain, and the chain against the heads that are known.
async fn walk(
    sql: &mut SqliteConnection,
    log: LogId,
    after: Position,
    marks: &[Head],
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(u64, Head), VerifyError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM event")
        .fetch_one(&mut *sql)
        .await
        .map_err(|e| VerifyError::Unavailable(record::words(&e)))?;
    let end = Position(last.unwrap_or_default().cast_unsigned());
    if let Some(mark) = marks.last().filter(|mark| mark.position > end) {
        let what = format!("the log ends at {end}, but it was recorded up to {}", mark.position);
        return Err(VerifyError::Damaged { position: record::position_after(end), what });
    }
    let start = after.min(end);
    let mut events = 0;
    let mut decoder = record::Decoder::default();
    // Plain loops: a closure that lives across a wait would keep the future from moving between threads.
    for mark in marks {
        if mark.position > start {
            break;
        }
        if reader::hash_at(sql, log, mark.position).await? != mark.hash {
            return Err(VerifyError::Altered { position: mark.position });
        }
    }
    let mut at = Head { position: start, hash: reader::hash_at(sql, log, start).await? };
    let passed = marks.partition_point(|mark| mark.position <= start);
    let mut ahead = marks.iter().skip(passed).peekable();
    while at.position < end {
        let stop = ahead.peek().map_or(end, |mark| mark.position);
        let page = reader::checked(sql, &mut decoder, at, reader::stretch(at.position, usize::MAX, stop)).await?;
        events += page.records.len() as u64;
        at = Head { position: page.records.last().map_or(end, |record| record.position), hash: page.hash };
        while let Some(mark) = ahead.next_if(|mark| mark.position <= at.position) {
            if mark.hash != at.hash {
                return Err(VerifyError::Altered { position: mark.position });
            }
        }
        progress(Progress { position: at.position, end });
    }
    Ok((events, at))
}

/// SQLite's own look at its file: a damaged index would let a key in twice, without any record being changed.
async fn structure(sql: &mut SqliteConnection, file: &Path) -> Result<(), VerifyError> {
    // Bytes 18 and 19 say who may write and read the file; with another value SQLite calls it read-only, and is right.
    let mut header = [0; 20];
    let read = std::fs::File::open(file).and_then(|mut open| std::io::Read::read_exact(&mut open, &mut header));
    read.map_err(|error| VerifyError::Unavailable(error.to_string()))?;
    if !matches!(header, [.., 1 | 2, 1 | 2]) {
        return Err(VerifyError::File { file: file.to_owned(), what: "its header is damaged at byte 18 or 19".into() });
    }
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
        .fetch_all(sql)
        .await
        .map_err(|error| sql_failed(file, &error))?;
    if found == ["ok"] { Ok(()) } else { Err(VerifyError::File { file: file.to_owned(), what: found.join("; ") }) }
}

/// Tables, triggers and migrations must be those of a new log: a changed trigger would let records be changed.
async fn schema(sql: &mut SqliteConnection, file: &Path) -> Result<(), VerifyError> {
    const SCHEMA: &str = "SELECT type || ' ' || name, tbl_name || ' ' || ifnull(sql, '') FROM sqlite_schema \
         UNION ALL SELECT 'migration ' || version, hex(checksum) || success FROM _sqlx_migrations ORDER BY 1";
    let failed = |error: sqlx::Error| sql_failed(file, &error);
    let mut new = SqliteConnection::connect("sqlite::memory:").await.map_err(failed)?;
    super::migrate(&mut new).await.map_err(|e| VerifyError::Unavailable(e.to_string()))?;
    let wanted: Vec<(String, String)> = sqlx::query_as(SCHEMA).fetch_all(&mut new).await.map_err(failed)?;
    let found: Vec<(String, String)> = sqlx::query_as(SCHEMA).fetch_all(&mut *sql).await.map_err(failed)?;
    if found == wanted {
        return Ok(());
    }
    let differs =
        wanted.iter().find(|one| !found.contains(one)).or_else(|| found.iter().find(|one| !wanted.contains(one)));
    let what =
        format!("its schema is not that of a log: {}", differs.map_or("an entry is there twice", |(name, _)| name));
    Err(VerifyError::File { file: file.to_owned(), what })
}

fn sql_failed(file: &Path, error: &sqlx::Error) -> VerifyError {
    let what = record::words(error);
    if is_damage(error) { VerifyError::File { file: file.to_owned(), what } } else { VerifyError::Unavailable(what) }
}

/// The mark of what was acknowledged. A running server may be writing it this very moment: one that reads badly is read
/// once more.
fn settled_mark(dir: &Path) -> Result<Option<Head>, OpenError> {
    files::marked(dir).or_else(|_| files::marked(dir)).or_else(|_| files::marked(dir))
}
