//! Reading: from memory what was just written, from the file what is older, each record held against the chain.
//! Never shows what is not durable yet, and never writes.

use std::{collections::VecDeque, sync::Arc};

use rollcall_events::{Digest, Position, Recorded};
use sqlx::SqliteConnection;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Shared, is_damage,
    record::{self, Decoder, Page, position_after},
};
use crate::{
    Filter, Head, Moment, TailError, When,
    tail::{Step, beyond, missing},
};

/// Records in one statement: enough that the hop to SQLite's thread does not count.
const CHUNK: u64 = 1024;
/// How far a filtered look-up goes before it says where it is.
const WINDOW: u64 = 16 * CHUNK;
/// What is kept in memory for readers that are awake.
const RECENT_BYTES: usize = 8 << 20;

/// The last committed batches.
#[derive(Default)]
pub(crate) struct Recent {
    batches: VecDeque<Batch>,
    bytes: usize,
}

struct Batch {
    records: Arc<[Recorded]>,
    last: Position,
    hash: Digest,
    bytes: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, records: Arc<[Recorded]>, hash: Digest) {
        let Some(last) = records.last().map(|record| record.position) else { return };
        let bytes = records.iter().map(|record| record.event.data.len() + 512).sum();
        self.bytes += bytes;
        self.batches.push_back(Batch { records, last, hash, bytes });
        while self.bytes > RECENT_BYTES {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    /// At most `limit` records right behind `at`, if they are here, and the chain's hash after them where it is known.
    fn behind(&self, at: Position, limit: usize) -> Option<(Arc<[Recorded]>, Option<Digest>)> {
        let next = position_after(at);
        let batch = self.batches.get(self.batches.partition_point(|batch| batch.last < next))?;
        let from = batch.records.iter().position(|record| record.position == next)?;
        if from == 0 && batch.records.len() <= limit {
            return Some((Arc::clone(&batch.records), Some(batch.hash)));
        }
        let part: Arc<[Recorded]> = batch.records.iter().skip(from).take(limit).cloned().collect();
        let hash = (part.last().map(|record| record.position) == Some(batch.last)).then_some(batch.hash);
        Some((part, hash))
    }
}

/// The end of a stretch that is read at once: at most `limit` records behind `at`, none behind `newest`.
pub(crate) fn stretch(at: Position, limit: usize, newest: Position) -> Position {
    let limit = u64::try_from(limit).unwrap_or(CHUNK).clamp(1, CHUNK);
    Position(at.0.saturating_add(limit)).min(newest)
}

/// The sound records of `(at, to]`, at least one; what is wrong with the next one if there is none.
pub(crate) async fn checked(
    sql: &mut SqliteConnection,
    decoder: &mut Decoder,
    at: Head,
    to: Position,
) -> Result<Page, TailError> {
    let bytes = bytes(sql, at.position, to).await?;
    sound(decoder, &bytes, at, to)
}

/// The records of a stretch as bytes. Where the stretch as a whole cannot be read (damage, or more than fits one
/// value), its first record alone.
async fn bytes(sql: &mut SqliteConnection, at: Position, to: Position) -> Result<Vec<u8>, TailError> {
    let next = position_after(at);
    match record::range(sql, at, to).await {
        Err(_) if to > next => record::range(sql, at, next).await,
        other => other,
    }
    .map_err(|error| failed(next, &error))
}

fn sound(decoder: &mut Decoder, bytes: &[u8], at: Head, to: Position) -> Result<Page, TailError> {
    let page = decoder.page(bytes, at.position, at.hash);
    if !page.records.is_empty() || at.position >= to {
        return Ok(page);
    }
    let gone = TailError::Damaged { position: position_after(at.position), what: "the record is missing".into() };
    Err(page.damage.unwrap_or(gone))
}

/// A statement that failed: damage at a position, or a disk that says no.
fn failed(position: Position, error: &sqlx::Error) -> TailError {
    let what = record::words(error);
    if is_damage(error) { TailError::Damaged { position, what } } else { TailError::Unavailable(what) }
}

/// The chain's hash at a position that must be there.
pub(crate) async fn hash_at(
    sql: &mut SqliteConnection,
    log: rollcall_events::LogId,
    position: Position,
) -> Result<Digest, TailError> {
    let hash = record::hash_at(sql, log, position).await.map_err(|error| failed(position, &error))?;
    hash.ok_or_else(|| TailError::Damaged { position, what: "the record is missing".into() })
}

impl Shared {
    async fn reading(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, TailError> {
        self.readers.acquire().await.map_err(|error| failed(Position(0), &error))
    }
}

/// A place in the log from which somebody reads on.
pub(crate) struct Cursor {
    shared: Arc<Shared>,
    newest: watch::Receiver<Head>,
    page: usize,
    at: Position,
    /// The chain's hash at `at`, where it is known without a look-up.
    hash: Option<Digest>,
    decoder: Decoder,
    ahead: Option<Ahead>,
}

/// A stretch that is read while the one before is worked on.
struct Ahead {
    at: Position,
    to: Position,
    bytes: JoinHandle<Result<Vec<u8>, TailError>>,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, after: Position, page: usize) -> Self {
        let newest = shared.head.clone();
        let page = page.max(1);
        Self { shared, newest, page, at: after, hash: None, decoder: Decoder::default(), ahead: None }
    }

    /// The next page, waiting for it if need be.
    pub(crate) async fn next(mut self) -> Step<Self> {
        let at = self.at;
        let newest = self.newest.wait_for(|head| head.position != at).await.map(|head| *head);
        let newest = newest.map_err(|_| TailError::Unavailable("the log was closed".into()))?;
        if newest.position < self.at {
            return Err(beyond(self.at, newest));
        }
        let recent = self.shared.recent().behind(self.at, self.page);
        let records = match recent {
            Some((records, hash)) => {
                self.hash = hash;
                self.ahead = None;
                records
            }
            None => self.older(newest).await?,
        };
        self.at = records.last().map_or(self.at, |record| record.position);
        Ok((records, self))
    }

    /// From the file.
    async fn older(&mut self, newest: Head) -> Result<Arc<[Recorded]>, TailError> {
        let hash = match self.hash {
            Some(hash) => hash,
            None => hash_at(&mut *self.shared.reading().await?, self.shared.id, self.at).await?,
        };
        let at = Head { position: self.at, hash };
        let (to, bytes) = match self.ahead.take().filter(|ahead| ahead.at == self.at) {
            Some(Ahead { to, bytes, .. }) => (to, bytes.await.map_err(|e| TailError::Unavailable(e.to_string()))??),
            None => {
                let to = stretch(self.at, self.page, newest.position);
                (to, bytes(&mut *self.shared.reading().await?, self.at, to).await?)
            }
        };
        if to < newest.position {
            self.read_ahead(to, stretch(to, self.page, newest.position));
        }
        let page = sound(&mut self.decoder, &bytes, at, to)?;
        self.hash = Some(page.hash);
        if page.records.last().is_some_and(|last| last.position == newest.position) && page.hash != newest.hash {
            let what = "it is not what was recorded last".into();
            return Err(TailError::Damaged { position: newest.position, what });
        }
        Ok(page.records.into())
    }

    fn read_ahead(&mut self, at: Position, to: Position) {
        let shared = Arc::clone(&self.shared);
        let bytes = tokio::spawn(async move { bytes(&mut *shared.reading().await?, at, to).await });
        self.ahead = Some(Ahead { at, to, bytes });
    }
}

/// The records at these positions.
pub(crate) async fn records(shared: &Shared, positions: &[Position]) -> Result<Vec<Recorded>, TailError> {
    let mut positions = positions.to_vec();
    positions.sort_unstable();
    positions.dedup();
    let mut found = Vec::with_capacity(positions.len());
    let mut sql = shared.reading().await?;
    let mut decoder = Decoder::default();
    for some in positions.chunks(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
        let first = some.first().copied().unwrap_or_default();
        let records = record::at(&mut sql, &mut decoder, shared.id, some).await.map_err(|e| failed(first, &e))?;
        for record in records {
            let (record, _) = record?;
            found.push(record);
        }
    }
    let gone = positions.iter().zip(&found).find(|(position, record)| **position != record.position);
    let gone = gone.map(|(position, _)| *position).or_else(|| positions.get(found.len()).copied());
    gone.map_or(Ok(found), |position| Err(missing(position)))
}

/// The newest record at or before a place.
pub(crate) async fn moment(shared: &Shared, when: When) -> Result<Option<Moment>, TailError> {
    let newest = shared.head.borrow().position;
    let mut sql = shared.reading().await?;
    let mut decoder = Decoder::default();
    let (mut low, mut high) = (Position(0), newest);
    let mut best = None;
    if let When::Position(position) = when {
        (low, high) = (position.min(newest), position.min(newest));
    }
    // Positions are dense here, and times never decrease: halving finds the last one that is not after the instant.
    while high > Position(0) {
        let middle = Position(low.0 + (high.0 - low.0).div_ceil(2));
        let found = record::at(&mut sql, &mut decoder, shared.id, &[middle]).await.map_err(|e| failed(middle, &e))?;
        let (record, hash) = found.into_iter().next().ok_or_else(|| missing(middle))??;
        let fits = match when {
            When::Position(position) => record.position <= position,
            When::Instant(instant) => record.recorded_at <= instant,
        };
        if fits {
            best = Some(Moment { position: record.position, recorded_at: record.recorded_at, hash });
            low = middle;
        } else {
            high = Position(middle.0 - 1);
        }
        if low >= high {
            break;
        }
    }
    Ok(best)
}

/// Up to `limit` records that match, and where the look-up ended.
pub(crate) async fn page(
    shared: &Shared,
    after: Position,
    limit: usize,
    filter: &Filter,
) -> Result<(Vec<Recorded>, Position), TailError> {
    let newest = shared.head.borrow().position;
    let end = Position(after.0.saturating_add(WINDOW)).min(newest);
    let mut found = Vec::new();
    if after >= end || limit == 0 {
        return Ok((found, after));
    }
    let mut sql = shared.reading().await?;
    let mut decoder = Decoder::default();
    let mut at = Head { position: after, hash: hash_at(&mut sql, shared.id, after).await? };
    // Without a filter everything matches: no need to look further than the page.
    let step = if *filter == Filter::default() { limit } else { usize::MAX };
    while at.position < end {
        let to = stretch(at.position, step, end);
        let page = checked(&mut sql, &mut decoder, at, to).await?;
        at = Head { position: page.records.last().map_or(to, |record| record.position), hash: page.hash };
        for record in page.records {
            if filter.matches(&record) {
                let position = record.position;
                found.push(record);
                if found.len() == limit {
                    return Ok((found, position));
                }
            }
        }
    }
    Ok((found, at.position))
}
