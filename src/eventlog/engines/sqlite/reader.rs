//! Reading: from memory what was just written, from the file what is older, each record held against the chain.
//! Never shows what is not durable yet, and never writes.

use std::sync::Arc;

use rollcall_events::{Digest, Position, Recorded};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    chain::{self, hash_at, range_end, read_error},
    record::{self, CHUNK, Decoder},
    shared::Shared,
};
use crate::{ClockMend, Filter, Head, Moment, PAGE_BYTES, TailError, When, stream::Step};

/// How far a filtered look-up goes before it says where it is, in records and in bytes.
const WINDOW: u64 = 16 * CHUNK as u64;
const WINDOW_BYTES: usize = 16 * PAGE_BYTES;

/// A place in the log from which somebody reads on.
pub(crate) struct Cursor {
    shared: Arc<Shared>,
    newest: watch::Receiver<Head>,
    page: usize,
    at: Position,
    /// The chain's hash at `at`, where it is known without a look-up.
    hash: Option<Digest>,
    decoder: Decoder,
    prefetch: Option<Prefetch>,
}

/// A range that is read while the one before is worked on.
struct Prefetch {
    at: Position,
    read: JoinHandle<Result<(Position, Vec<u8>), TailError>>,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, after: Position, page: usize) -> Self {
        let newest = shared.head.clone();
        let page = page.max(1);
        Self { shared, newest, page, at: after, hash: None, decoder: Decoder::default(), prefetch: None }
    }

    /// The next page, waiting for it if need be.
    pub(crate) async fn next(mut self) -> Step<Self> {
        let at = self.at;
        let newest = self.newest.wait_for(|head| head.position != at).await.map(|head| *head);
        let newest = newest.map_err(|_| TailError::Unavailable("the log was closed".into()))?;
        if newest.position < self.at {
            return Err(TailError::beyond_the_end(self.at, newest));
        }
        let recent = self.shared.recent().after(self.at, self.page);
        let records = match recent {
            Some((records, hash)) => {
                self.hash = hash;
                self.prefetch = None;
                records
            }
            None => self.read_file(newest).await?,
        };
        self.at = records.last().map_or(self.at, |record| record.position);
        Ok((records, self))
    }

    /// The next page from the file.
    async fn read_file(&mut self, newest: Head) -> Result<Arc<[Recorded]>, TailError> {
        let hash = match self.hash {
            Some(hash) => hash,
            None => hash_at(&mut *self.shared.reader().await?, self.shared.id, self.at).await?,
        };
        let at = Head { position: self.at, hash };
        let (to, bytes) = match self.prefetch.take().filter(|prefetch| prefetch.at == self.at) {
            Some(Prefetch { read, .. }) => read.await.map_err(|e| TailError::Unavailable(e.to_string()))??,
            None => {
                let to = range_end(self.at, self.page, newest.position);
                chain::read_bytes(&mut *self.shared.reader().await?, self.at, to).await?
            }
        };
        if to < newest.position {
            self.start_prefetch(to, range_end(to, self.page, newest.position));
        }
        let page = chain::check(&mut self.decoder, &bytes, at, to)?;
        self.hash = Some(page.hash);
        if page.records.last().is_some_and(|last| last.position == newest.position) && page.hash != newest.hash {
            let what = "it is not what was recorded last".into();
            return Err(TailError::Damaged { position: newest.position, what });
        }
        Ok(page.records.into())
    }

    fn start_prefetch(&mut self, at: Position, to: Position) {
        let shared = Arc::clone(&self.shared);
        let read = tokio::spawn(async move { chain::read_bytes(&mut *shared.reader().await?, at, to).await });
        self.prefetch = Some(Prefetch { at, read });
    }
}

/// As many of the records at these positions as fit a page, and the positions of the others.
pub(crate) async fn records(
    shared: &Shared,
    mut positions: Vec<Position>,
) -> Result<(Vec<Recorded>, Vec<Position>), TailError> {
    let first = positions.first().copied().unwrap_or_default();
    let mut sql = shared.reader().await?;
    let found = record::find_at(&mut sql, &mut Decoder::default(), shared.id, &positions).await;
    let (found, count) = found.map_err(|e| read_error(first, &e))?;
    let mut records = Vec::with_capacity(found.len());
    for (_, record) in found {
        records.push(record?.0);
    }
    let left = positions.split_off(count);
    let absent = positions.iter().zip(&records).find(|(position, record)| **position != record.position);
    let absent = absent.map(|(position, _)| *position).or_else(|| positions.get(records.len()).copied());
    absent.map_or(Ok((records, left)), |position| Err(TailError::missing(position)))
}

/// The positions of a source's events whose id begins with a text, as far as they are durable.
pub(crate) async fn by_id(shared: &Shared, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError> {
    let newest = shared.head.borrow().position;
    let mut sql = shared.reader().await?;
    let found = record::find_by_id(&mut sql, source, begins, limit).await.map_err(|e| read_error(Position(0), &e))?;
    Ok(found.into_iter().filter(|position| *position <= newest).collect())
}

/// The positions behind `since` of a source's events whose id begins with each text, behind the newest up to there, as far as
/// they are durable.
pub(crate) async fn since_by_id(
    shared: &Shared,
    source: &str,
    begins: &[String],
    since: Position,
) -> Result<Vec<Vec<Position>>, TailError> {
    if begins.is_empty() {
        return Ok(Vec::new());
    }
    let newest = shared.head.borrow().position;
    let mut sql = shared.reader().await?;
    let mut found = Vec::with_capacity(begins.len());
    for begins in begins.chunks(CHUNK) {
        let here = record::since_by_id(&mut sql, source, begins, (since, newest)).await;
        found.extend(here.map_err(|e| read_error(Position(0), &e))?);
    }
    Ok(found)
}

/// The newest position of the events of a source whose id begins with each text, as far as they are durable.
pub(crate) async fn newest_by_id(
    shared: &Shared,
    source: &str,
    begins: &[String],
) -> Result<Vec<Option<Position>>, TailError> {
    let newest = shared.head.borrow().position;
    let mut sql = shared.reader().await?;
    let mut found = Vec::with_capacity(begins.len());
    for begins in begins.chunks(CHUNK) {
        let here = record::newest_by_id(&mut sql, source, begins, newest).await;
        found.extend(here.map_err(|e| read_error(Position(0), &e))?);
    }
    Ok(found)
}

/// The newest event of a source whose id does not begin with a text, as far as it is durable.
pub(crate) async fn newest_by_other_id(
    shared: &Shared,
    source: &str,
    begins: &str,
) -> Result<Option<Position>, TailError> {
    let newest = shared.head.borrow().position;
    let mut sql = shared.reader().await?;
    record::newest_by_other_id(&mut sql, source, begins, newest).await.map_err(|e| read_error(Position(0), &e))
}

/// The newest record at or before a place.
pub(crate) async fn moment(shared: &Shared, mends: &[ClockMend], when: When) -> Result<Option<Moment>, TailError> {
    let newest = shared.head.borrow().position;
    let mut sql = shared.reader().await?;
    let mut decoder = Decoder::default();
    let (mut low, mut high) = (Position(0), newest);
    let mut best = None;
    if let When::Position(position) = when {
        (low, high) = (position.min(newest), position.min(newest));
    }
    // Positions are dense here, and times as they are known now never decrease: halving finds the last one that is not after the instant.
    while high > Position(0) {
        let middle = Position(low.0 + (high.0 - low.0).div_ceil(2));
        let found =
            record::find_at(&mut sql, &mut decoder, shared.id, &[middle]).await.map_err(|e| read_error(middle, &e))?;
        let (_, found) = found.0.into_iter().next().ok_or_else(|| TailError::missing(middle))?;
        let (record, hash) = found?;
        let (recorded_at, mended) = ClockMend::told(mends, record.position, record.recorded_at);
        let fits = match when {
            When::Position(position) => record.position <= position,
            When::Instant(instant) => recorded_at <= instant,
        };
        if fits {
            best = Some(Moment { position: record.position, recorded_at, mended, hash });
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
    let mut sql = shared.reader().await?;
    let mut decoder = Decoder::default();
    let mut at = Head { position: after, hash: hash_at(&mut sql, shared.id, after).await? };
    // Without a filter everything matches: no need to look further than the page.
    let step = if *filter == Filter::default() { limit } else { usize::MAX };
    let (mut looked_at, mut held) = (0, 0);
    while at.position < end && looked_at < WINDOW_BYTES {
        let to = range_end(at.position, step, end);
        let page = chain::read_checked(&mut sql, &mut decoder, at, to).await?;
        let mut before = at.position;
        at = Head { position: page.records.last().map_or(to, |record| record.position), hash: page.hash };
        for record in page.records {
            let (position, bytes) = (record.position, record.event.bytes());
            looked_at += bytes;
            if filter.matches(&record) {
                held += bytes;
                if held > PAGE_BYTES && !found.is_empty() {
                    return Ok((found, before));
                }
                found.push(record);
                if found.len() == limit {
                    return Ok((found, position));
                }
            }
            before = position;
        }
    }
    Ok((found, at.position))
}
