//! Ranges of the file, each record held against the chain before anybody gets it.

use rollcall_events::{Digest, LogId, Position};
use sqlx::SqliteConnection;

use super::{
    error::{is_damage, with_causes},
    record::{self, CHUNK, Decoder, Page, position_after},
};
use crate::{Head, PAGE_BYTES, TailError};

/// The end of a range that is read at once: at most `limit` records after `at`, none after `newest`.
pub(crate) fn range_end(at: Position, limit: usize, newest: Position) -> Position {
    Position(at.0.saturating_add(limit.clamp(1, CHUNK) as u64)).min(newest)
}

/// The sound records of `(at, to]` that fit a page, at least one; what is wrong with the next one if there is none.
pub(crate) async fn read_checked(
    sql: &mut SqliteConnection,
    decoder: &mut Decoder,
    at: Head,
    to: Position,
) -> Result<Page, TailError> {
    let (to, bytes) = read_bytes(sql, at.position, to).await?;
    check(decoder, &bytes, at, to)
}

/// The records of a range as bytes, of so many of the first as fit a page, and where those end. Where that many cannot be
/// read because of damage, its first record alone.
pub(crate) async fn read_bytes(
    sql: &mut SqliteConnection,
    at: Position,
    to: Position,
) -> Result<(Position, Vec<u8>), TailError> {
    let next = position_after(at);
    let mut to = to;
    loop {
        let most = if to > next { PAGE_BYTES } else { usize::MAX };
        match record::read_range(sql, at, to, most).await {
            Ok(bytes) if bytes.is_empty() && to > next => to = Position(at.0 + (to.0 - at.0) / 2),
            Err(_) if to > next => to = next,
            read => return read.map(|bytes| (to, bytes)).map_err(|error| read_error(next, &error)),
        }
    }
}

/// The sound records among `bytes`, at least one; what is wrong with the next one if there is none.
pub(crate) fn check(decoder: &mut Decoder, bytes: &[u8], at: Head, to: Position) -> Result<Page, TailError> {
    let page = decoder.decode(bytes, at.position, at.hash);
    if !page.records.is_empty() || at.position >= to {
        return Ok(page);
    }
    Err(page.damage.unwrap_or_else(|| TailError::missing(position_after(at.position))))
}

/// A statement that failed: damage at a position, or a disk that says no.
pub(crate) fn read_error(position: Position, error: &sqlx::Error) -> TailError {
    let what = with_causes(error);
    if is_damage(error) { TailError::Damaged { position, what } } else { TailError::Unavailable(what) }
}

/// The chain's hash at a position that must be there.
pub(crate) async fn hash_at(sql: &mut SqliteConnection, log: LogId, position: Position) -> Result<Digest, TailError> {
    let hash = record::hash_at(sql, log, position).await.map_err(|error| read_error(position, &error))?;
    hash.ok_or_else(|| TailError::missing(position))
}
