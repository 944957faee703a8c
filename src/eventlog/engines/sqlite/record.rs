//! How records cross the border to SQL: many in one value, in both directions, because a statement and a row each cost
//! a hop to SQLite's thread. Decides nothing; what it gives out has been held against the chain.

use std::sync::Arc;

use chrono::DateTime;
use rollcall_events::{Digest, EventKey, LogId, NewEvent, Position, Recorded, SourceName, chain_start, chain_step};
use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{PAGE_BYTES, TailError};

/// Records in one statement: enough that the hop to SQLite's thread does not count.
pub(crate) const CHUNK: usize = 1024;

/// SQL for one record as bytes: its numbers and the lengths of its texts, then the texts and the hash. Lengths are of
/// bytes, so that no content (a flipped bit, a zero, bad UTF-8) can move the border between two fields.
macro_rules! packed {
    () => {
        "concat(e.position,' ',e.recorded_at,' ',ifnull(e.time,'-'),' ',ifnull(e.sequence,'-'),' ',\
         octet_length(e.source),' ',octet_length(e.id),' ',octet_length(e.kind),' ',octet_length(e.subject),' ',\
         ifnull(octet_length(e.origin),'-'),' ',ifnull(octet_length(e.correlation),'-'),' ',\
         ifnull(octet_length(e.traceparent),'-'),' ',octet_length(e.data),' ',octet_length(e.hash),' ',\
         e.source,e.id,e.kind,e.subject,e.origin,e.correlation,e.traceparent,e.data,e.hash)"
    };
}

/// SQL for how much of one record can be large.
macro_rules! size {
    () => {
        "octet_length(e.data) + ifnull(octet_length(e.origin), 0)"
    };
}

/// Nothing where the records have more than $3 bytes.
const RANGE: &str = concat!(
    "SELECT CAST(group_concat(r, '') AS BLOB) FROM (SELECT ",
    packed!(),
    " AS r FROM event e WHERE e.position > $1 AND e.position <= $2 AND (SELECT ifnull(sum(",
    size!(),
    "), 0) FROM event e WHERE e.position > $1 AND e.position <= $2) <= $3 ORDER BY e.position)"
);

const BY_KEY: &str = "SELECT j.key, e.position FROM jsonb_each($1) j \
     CROSS JOIN event e ON e.source = j.value ->> 0 AND e.id = j.value ->> 1";

/// Nothing where the records have more than $2 bytes.
const AT: &str = concat!(
    "SELECT j.value, (SELECT p.hash FROM event p WHERE p.position = e.position - 1), CAST(",
    packed!(),
    " AS BLOB) FROM jsonb_each($1) j CROSS JOIN event e ON e.position = j.value WHERE (SELECT ifnull(sum(",
    size!(),
    "), 0) FROM jsonb_each($1) j CROSS JOIN event e ON e.position = j.value) <= $2"
);

/// How many records of a range are found where they are looked for: by their keys and by their positions.
const SOUGHT: &str = "SELECT count(*) FROM event e WHERE e.position > $1 AND e.position <= $2 \
     AND e.position = (SELECT k.position FROM event k WHERE k.source = e.source AND k.id = e.id) \
     AND EXISTS (SELECT 1 FROM event p WHERE p.position = e.position)";

const INSERT: &str = "INSERT INTO event (position, recorded_at, source, id, kind, subject, time, sequence, origin, \
     correlation, traceparent, data, hash) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
     value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, unhex(value ->> 12) \
     FROM jsonb_each($1)";

/// Of a text and what begins with it nothing sorts behind the text and the last character that there is.
const BY_ID: &str =
    "SELECT position FROM event WHERE source = $1 AND id >= $2 AND id < $2 || char(1114111) ORDER BY id LIMIT $3";

/// What begins with each text of $2, by the text's place: behind $3 and up to $4, and the newest up to $3.
/// The newest is looked for once a text, not once a row.
const SINCE_BY_ID: &str = "WITH begins AS MATERIALIZED (SELECT j.key, j.value, coalesce((SELECT max(b.position) \
     FROM event b WHERE b.source = $1 AND b.id >= j.value AND b.id < j.value || char(1114111) AND b.position <= $3), 0) \
     AS low FROM json_each($2) j) \
     SELECT begins.key, e.position FROM begins CROSS JOIN event e WHERE e.source = $1 AND e.id >= begins.value \
     AND e.id < begins.value || char(1114111) AND e.position >= begins.low AND e.position <= $4 \
     ORDER BY begins.key, e.position";

/// For each text of $2 the newest of what begins with it, up to $3.
const NEWEST_BY_ID: &str = "SELECT (SELECT max(position) FROM event WHERE source = $1 AND id >= j.value \
     AND id < j.value || char(1114111) AND position <= $3) FROM json_each($2) j ORDER BY j.key";

/// The newest of what does not begin with $2, up to $3.
const NEWEST_BY_OTHER_ID: &str = "SELECT max(position) FROM event WHERE source = $1 AND position <= $3 \
     AND NOT (id >= $2 AND id < $2 || char(1114111))";

const HASH_AT: &str = "SELECT hash FROM event WHERE position = $1";

/// Every statement of this file, to be prepared by a test.
#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 10] =
    [RANGE, BY_KEY, AT, SOUGHT, BY_ID, SINCE_BY_ID, NEWEST_BY_ID, NEWEST_BY_OTHER_ID, INSERT, HASH_AT];

/// The records of `(after, to]` as bytes, one after the other; empty where there are none, or more than `most` bytes of
/// them.
pub(crate) async fn read_range(
    sql: &mut SqliteConnection,
    after: Position,
    to: Position,
    most: usize,
) -> sqlx::Result<Vec<u8>> {
    let range = sqlx::query(RANGE).bind(signed(after)).bind(signed(to)).bind(bytes(most));
    Ok(range.fetch_one(sql).await?.try_get::<Option<Vec<u8>>, _>(0)?.unwrap_or_default())
}

/// How many records of `(after, to]` are found by their keys and by their positions.
pub(crate) async fn count_sought(sql: &mut SqliteConnection, after: Position, to: Position) -> sqlx::Result<u64> {
    let row = sqlx::query(SOUGHT).bind(signed(after)).bind(signed(to)).fetch_one(sql).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The stored hash of the record at `position`; of 0 it is the chain's start. `None` if there is no such record.
pub(crate) async fn hash_at(
    sql: &mut SqliteConnection,
    log: LogId,
    position: Position,
) -> sqlx::Result<Option<Digest>> {
    if position == Position(0) {
        return Ok(Some(chain_start(log)));
    }
    let Some(row) = sqlx::query(HASH_AT).bind(signed(position)).fetch_optional(sql).await? else { return Ok(None) };
    // A hash of another length is damage: it equals no hash, as its own digest does.
    let bytes = row.try_get::<Vec<u8>, _>(0)?;
    Ok(Some(bytes.as_slice().try_into().map_or_else(|_| Digest::of(&bytes), Digest)))
}

/// Which of `events` have a key that stands already, by index, and where.
pub(crate) async fn find_by_key(
    sql: &mut SqliteConnection,
    events: &[&NewEvent],
) -> Result<Vec<(usize, Position)>, String> {
    let keys: Vec<_> = events.iter().map(|e| (e.key.source.as_str(), &*e.key.id)).collect();
    let keys = serde_json::to_string(&keys).map_err(|e| e.to_string())?;
    let rows = sqlx::query(BY_KEY).bind(keys).fetch_all(sql).await.map_err(|e| e.to_string())?;
    rows.iter()
        .map(|row| {
            let index = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
            Ok((index, Position(row.try_get::<i64, _>(1)?.unsigned_abs())))
        })
        .collect::<sqlx::Result<Vec<_>>>()
        .map_err(|e| e.to_string())
}

/// The positions of a source's events whose id begins with a text, in the order of their ids.
pub(crate) async fn find_by_id(
    sql: &mut SqliteConnection,
    source: &str,
    begins: &str,
    limit: u32,
) -> sqlx::Result<Vec<Position>> {
    let rows = sqlx::query(BY_ID).bind(source).bind(begins).bind(limit).fetch_all(sql).await?;
    let position = |row: &SqliteRow| Ok(Position(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default()));
    rows.iter().map(position).collect()
}

/// The positions in `(since, to]` of a source's events whose id begins with each of these texts, behind the newest up to
/// `since`.
pub(crate) async fn since_by_id(
    sql: &mut SqliteConnection,
    source: &str,
    begins: &[String],
    (since, to): (Position, Position),
) -> sqlx::Result<Vec<Vec<Position>>> {
    let asked = serde_json::to_string(begins).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let query = sqlx::query(SINCE_BY_ID).bind(source).bind(asked).bind(signed(since)).bind(signed(to));
    let mut found = vec![Vec::new(); begins.len()];
    for row in query.fetch_all(sql).await? {
        let text = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        if let Some(of) = found.get_mut(text) {
            of.push(Position(row.try_get::<i64, _>(1)?.unsigned_abs()));
        }
    }
    Ok(found)
}

/// The newest position, up to `to`, of a source's events whose id begins with each of these texts.
pub(crate) async fn newest_by_id(
    sql: &mut SqliteConnection,
    source: &str,
    begins: &[String],
    to: Position,
) -> sqlx::Result<Vec<Option<Position>>> {
    let begins = serde_json::to_string(begins).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows = sqlx::query(NEWEST_BY_ID).bind(source).bind(begins).bind(signed(to)).fetch_all(sql).await?;
    let newest = |row: &SqliteRow| Ok(row.try_get::<Option<i64>, _>(0)?.map(|at| Position(at.unsigned_abs())));
    rows.iter().map(newest).collect()
}

/// The newest position, up to `to`, of a source's events whose id does not begin with a text.
pub(crate) async fn newest_by_other_id(
    sql: &mut SqliteConnection,
    source: &str,
    begins: &str,
    to: Position,
) -> sqlx::Result<Option<Position>> {
    let newest = sqlx::query(NEWEST_BY_OTHER_ID).bind(source).bind(begins).bind(signed(to)).fetch_one(sql).await?;
    Ok(newest.try_get::<Option<i64>, _>(0)?.map(|at| Position(at.unsigned_abs())))
}

/// A record with the chain's hash there, or what is wrong with it.
pub(crate) type Found = Result<(Recorded, Digest), TailError>;

/// As many of the records at the first of these positions as fit a page and are there, in that order, and how many
/// positions those are.
pub(crate) async fn find_at(
    sql: &mut SqliteConnection,
    decoder: &mut Decoder,
    log: LogId,
    positions: &[Position],
) -> sqlx::Result<(Vec<(Position, Found)>, usize)> {
    let mut count = positions.len().min(CHUNK);
    loop {
        let some = positions.get(..count).unwrap_or_default();
        let asked = serde_json::to_string(some).unwrap_or_default();
        let most = if count > 1 { PAGE_BYTES } else { usize::MAX };
        let rows = sqlx::query(AT).bind(asked).bind(bytes(most)).fetch_all(&mut *sql).await?;
        if rows.is_empty() && count > 1 {
            count /= 2;
            continue;
        }
        let found = rows.iter().map(|row| {
            let position = Position(row.try_get::<i64, _>(0)?.unsigned_abs());
            let before: Option<Vec<u8>> = row.try_get(1)?;
            let bytes: Vec<u8> = row.try_get(2)?;
            Ok((position, decode_one(decoder, log, before.as_deref(), &bytes)))
        });
        return Ok((found.collect::<sqlx::Result<_>>()?, count));
    }
}

fn decode_one(decoder: &mut Decoder, log: LogId, before: Option<&[u8]>, bytes: &[u8]) -> Found {
    let hash = match before.map(<[u8; 32]>::try_from) {
        None => chain_start(log),
        Some(Ok(hash)) => Digest(hash),
        Some(Err(_)) => Digest::of(b"damaged"),
    };
    let position = bytes.split(|b| *b == b' ').next().and_then(parse_number).unwrap_or_default();
    let before = Position(u64::try_from(position).unwrap_or_default().saturating_sub(1));
    let page = decoder.decode(bytes, before, hash);
    match (page.records.into_iter().next(), page.damage) {
        (Some(record), None) => Ok((record, page.hash)),
        (_, damage) => Err(damage.unwrap_or_else(|| damaged(position_after(before), "it cannot be read"))),
    }
}

/// Writes records and their hashes: one statement, hence one transaction.
pub(crate) async fn insert(sql: &mut SqliteConnection, records: &[Recorded], hashes: &[Digest]) -> Result<(), String> {
    #[derive(Serialize)]
    struct Row<'a>(
        u64,
        i64,
        &'a str,
        &'a str,
        &'a str,
        &'a str,
        Option<i64>,
        Option<i64>,
        Option<&'a str>,
        Option<&'a str>,
        Option<&'a str>,
        &'a str,
        String,
    );
    let rows: Vec<_> = records
        .iter()
        .zip(hashes)
        .map(|(Recorded { position, recorded_at, event }, hash)| {
            Row(
                position.0,
                recorded_at.timestamp_micros(),
                event.key.source.as_str(),
                &event.key.id,
                &event.kind,
                &event.subject,
                event.time.map(|t| t.timestamp_micros()),
                event.sequence.map(u64::cast_signed),
                event.origin.as_deref(),
                event.correlation.as_deref(),
                event.traceparent.as_deref(),
                &event.data,
                hex(hash),
            )
        })
        .collect();
    let text = serde_json::to_string(&rows).map_err(|e| e.to_string())?;
    let done = sqlx::query(INSERT).bind(text).execute(sql).await.map_err(|e| e.to_string())?;
    if done.rows_affected() == records.len() as u64 {
        Ok(())
    } else {
        Err(format!("{} of {} records were written", done.rows_affected(), records.len()))
    }
}

/// SQLite's integers are signed; positions never come near the sign.
fn signed(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

fn bytes(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn hex(hash: &Digest) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS.get(usize::from(n)).copied().unwrap_or_default());
    hash.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn damaged(position: Position, what: impl Into<String>) -> TailError {
    TailError::Damaged { position, what: what.into() }
}

pub(crate) fn position_after(position: Position) -> Position {
    Position(position.0.saturating_add(1))
}

/// What some bytes hold: the sound records, and why it is no more.
pub(crate) struct Page {
    pub records: Vec<Recorded>,
    /// The chain's hash after them.
    pub hash: Digest,
    pub damage: Option<TailError>,
}

/// Reads packed records and holds each against the chain. Keeps the few source names and types that repeat, so that
/// a log of millions does not hold millions of copies.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    sources: Vec<SourceName>,
    kinds: Vec<Arc<str>>,
}

impl Decoder {
    /// Everything in `bytes`, which should begin right after `after`, where the chain's hash is `hash`.
    pub(crate) fn decode(&mut self, mut bytes: &[u8], after: Position, hash: Digest) -> Page {
        let mut page = Page { records: Vec::with_capacity(bytes.len() / 400), hash, damage: None };
        let mut at = after;
        while !bytes.is_empty() {
            at = position_after(at);
            let read = self.take_record(&mut bytes).and_then(|(record, stored)| {
                if record.position != at {
                    return Err(format!("the record there calls itself {}", record.position));
                }
                let hash = chain_step(page.hash, &record);
                if stored == hash.0 { Ok((record, hash)) } else { Err("it does not fit the chain of hashes".into()) }
            });
            match read {
                Ok((record, hash)) => {
                    page.records.push(record);
                    page.hash = hash;
                }
                Err(what) => {
                    page.damage = Some(damaged(at, what));
                    break;
                }
            }
        }
        page
    }

    fn take_record<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<(Recorded, &'a [u8]), String> {
        let [position, recorded_at, time, sequence] =
            [take_word(bytes)?, take_word(bytes)?, take_word(bytes)?, take_word(bytes)?];
        let mut lengths = [None; 9];
        for length in &mut lengths {
            *length = optional_number(take_word(bytes)?)?;
        }
        let [source, id, kind, subject, origin, correlation, traceparent, data, hash] = lengths;
        let source = utf8(take(source, bytes)?)?;
        let source = match self.sources.iter().find(|known| known.as_str() == source) {
            Some(known) => known.clone(),
            None => intern(&mut self.sources, source.parse::<SourceName>().map_err(|e| e.to_string())?),
        };
        let id = utf8(take(id, bytes)?)?.into();
        let kind = utf8(take(kind, bytes)?)?;
        let kind = match self.kinds.iter().find(|known| ***known == *kind) {
            Some(known) => Arc::clone(known),
            None => intern(&mut self.kinds, kind.into()),
        };
        let subject = utf8(take(subject, bytes)?)?.into();
        let mut optional_text = |length: Option<i64>| -> Result<Option<Arc<str>>, String> {
            length.map(|n| utf8(take(Some(n), bytes)?).map(Into::into)).transpose()
        };
        let (origin, correlation, traceparent) =
            (optional_text(origin)?, optional_text(correlation)?, optional_text(traceparent)?);
        let data = utf8(take(data, bytes)?)?.into();
        let hash = take(hash, bytes)?;
        let instant = |micros: i64| DateTime::from_timestamp_micros(micros).ok_or_else(|| format!("no time: {micros}"));
        let integer = |word: &[u8]| parse_number(word).ok_or_else(|| "a number cannot be read".to_owned());
        let event = NewEvent {
            key: EventKey { source, id },
            kind,
            subject,
            time: optional_number(time)?.map(instant).transpose()?,
            sequence: optional_number(sequence)?.map(i64::cast_unsigned),
            origin,
            correlation,
            traceparent,
            data,
        };
        let position = Position(u64::try_from(integer(position)?).map_err(|e| e.to_string())?);
        Ok((Recorded { position, recorded_at: instant(integer(recorded_at)?)?, event }, hash))
    }
}

/// Sources and types are few; should they be many, the first ones are shared and the others copied.
fn intern<T: Clone>(known: &mut Vec<T>, new: T) -> T {
    if known.len() < 128 {
        known.push(new.clone());
    }
    new
}

fn take_word<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let at = bytes.iter().position(|b| *b == b' ').ok_or("it ends early")?;
    let (word, rest) = bytes.split_at(at);
    *bytes = rest.get(1..).unwrap_or_default();
    Ok(word)
}

fn parse_number(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn optional_number(word: &[u8]) -> Result<Option<i64>, String> {
    if word == b"-" {
        Ok(None)
    } else {
        parse_number(word).map(Some).ok_or_else(|| "a number cannot be read".to_owned())
    }
}

fn take<'a>(length: Option<i64>, bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = length.and_then(|n| usize::try_from(n).ok()).ok_or("an attribute is missing")?;
    let (value, rest) = bytes.split_at_checked(length).ok_or("it ends early")?;
    *bytes = rest;
    Ok(value)
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
}
