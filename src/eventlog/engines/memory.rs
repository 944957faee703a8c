//! The engine that keeps the log in memory, for tests.
//! Same outcomes, chain and stream as the engines that keep something; nothing survives it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream::BoxStream};
use rollcall_events::{Clock, Digest, EventKey, LogId, NewEvent, Position, Recorded};
use tokio::sync::watch;

use crate::{
    Append, AppendError, ClockAhead, ClockMend, Filter, Head, Health, Moment, Outcome, SignedHead, Tail, TailError,
    When, WriteAhead,
    engine::Engine,
    head::SigningKey,
    sequence::{Known, sequence},
    stream::{fitting, stream_pages, stream_records},
};

/// A log in memory.
pub(crate) struct MemoryLog {
    id: LogId,
    clock: Arc<dyn Clock>,
    key: Option<SigningKey>,
    head: watch::Sender<Head>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    records: Vec<Recorded>,
    hashes: Vec<Digest>,
    index: HashMap<EventKey, usize>,
    last_time: DateTime<Utc>,
}

impl MemoryLog {
    /// An empty log.
    pub(crate) fn new(id: LogId, clock: Arc<dyn Clock>) -> Self {
        let key = SigningKey::generate().map(|(key, _)| key);
        let head = watch::Sender::new(Head::empty(id));
        Self { id, clock, key, head, state: RwLock::default() }
    }

    fn slice(&self, after: Position, limit: usize) -> Vec<Recorded> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        fitting(state.records.iter().skip(from).take(limit).cloned())
    }
}

#[async_trait]
impl Append for MemoryLog {
    fn log_id(&self) -> LogId {
        self.id
    }

    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let find = |key: &EventKey| state.index.get(key).and_then(|at| state.records.get(*at)).map(Known::of);
        let sequenced = sequence(vec![batch], find, *self.head.borrow(), state.last_time, self.clock.now());
        for record in &sequenced.new {
            let at = state.index.len();
            state.index.insert(record.event.key.clone(), at);
        }
        state.records.extend(sequenced.new);
        state.hashes.extend(sequenced.hashes);
        state.last_time = sequenced.last_time;
        if *self.head.borrow() != sequenced.head {
            self.head.send_replace(sequenced.head);
        }
        Ok(sequenced.outcomes.into_iter().next().unwrap_or_default())
    }
}

#[async_trait]
impl Tail for MemoryLog {
    fn log_id(&self) -> LogId {
        self.id
    }

    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>> {
        let source = (self.head.subscribe(), after);
        stream_pages(source, move |(mut head, at)| async move {
            let newest = head.wait_for(|head| head.position != at).await.map(|head| *head);
            let newest = newest.map_err(|_| TailError::Unavailable("the log was closed".into()))?;
            if newest.position < at {
                return Err(TailError::beyond_the_end(at, newest));
            }
            let records = self.slice(at, page.max(1));
            let at = records.last().map_or(at, |record| record.position);
            Ok((records.into(), (head, at)))
        })
        .boxed()
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    async fn page(
        &self,
        after: Position,
        limit: usize,
        filter: &Filter,
    ) -> Result<(Vec<Recorded>, Position), TailError> {
        let end = self.head.borrow().position.max(after);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        let matching = || state.records.iter().skip(from).filter(|record| filter.matches(record));
        let found = fitting(matching().take(limit).cloned());
        let whole = found.len() < limit && matching().nth(found.len()).is_none();
        let ended = if whole { end } else { found.last().map_or(after, |record| record.position) };
        Ok((found, ended))
    }

    fn records(&self, positions: Vec<Position>) -> BoxStream<'_, Result<Vec<Recorded>, TailError>> {
        stream_records(positions, move |mut left| async move {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let record = |position: &Position| {
                let ix = usize::try_from(position.0).ok()?.checked_sub(1)?;
                state.records.get(ix).cloned()
            };
            let page = fitting(left.iter().map_while(record));
            let first = left.first().copied().unwrap_or_default();
            if page.is_empty() {
                return Err(TailError::missing(first));
            }
            Ok((page.clone(), left.split_off(page.len())))
        })
        .boxed()
    }

    async fn by_id(&self, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_asked = |key: &EventKey| key.source.as_str() == source && key.id.starts_with(begins);
        let mut found: Vec<(&EventKey, usize)> =
            state.index.iter().filter(|(key, _)| is_asked(key)).map(|(key, at)| (key, *at)).collect();
        found.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found.into_iter().filter_map(|(_, at)| Some(state.records.get(at)?.position)).collect())
    }

    async fn since_by_id(
        &self,
        source: &str,
        begins: &[String],
        since: Position,
    ) -> Result<Vec<Vec<Position>>, TailError> {
        let mut found = Vec::with_capacity(begins.len());
        for begins in begins {
            let mut positions = self.by_id(source, begins, u32::MAX).await?;
            positions.sort_unstable();
            let before = positions.partition_point(|at| *at <= since).saturating_sub(1);
            found.push(positions.split_off(before));
        }
        Ok(found)
    }

    async fn newest_by_id(&self, source: &str, begins: &[String]) -> Result<Vec<Option<Position>>, TailError> {
        let mut newest = Vec::with_capacity(begins.len());
        for begins in begins {
            newest.push(self.by_id(source, begins, u32::MAX).await?.into_iter().max());
        }
        Ok(newest)
    }

    async fn newest_by_other_id(&self, source: &str, begins: &str) -> Result<Option<Position>, TailError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_asked = |key: &EventKey| key.source.as_str() == source && !key.id.starts_with(begins);
        let newest = state.index.iter().filter(|(key, _)| is_asked(key)).map(|(_, at)| *at).max();
        Ok(newest.and_then(|at| Some(state.records.get(at)?.position)))
    }

    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError> {
        let mends = self.clock_mends().await?;
        let told = |record: &Recorded| ClockMend::told(&mends, record.position, record.recorded_at);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let until = state.records.partition_point(|record| match when {
            When::Position(position) => record.position <= position,
            When::Instant(instant) => told(record).0 <= instant,
        });
        let found = until.checked_sub(1).and_then(|ix| Some((state.records.get(ix)?, state.hashes.get(ix)?)));
        let moment = |(record, hash): (&Recorded, &Digest)| {
            let (recorded_at, mended) = told(record);
            Moment { position: record.position, recorded_at, mended, hash: *hash }
        };
        Ok(found.map(moment))
    }

    async fn signed_head(&self) -> Result<SignedHead, TailError> {
        let head = *self.head.borrow();
        let signed = self.key.as_ref().and_then(|key| key.sign(self.id, head, self.clock.now()));
        signed.ok_or_else(|| TailError::Unavailable("the log's key cannot sign".into()))
    }

    fn public_key_pem(&self) -> String {
        self.key.as_ref().map(SigningKey::public_key_pem).unwrap_or_default()
    }
}

#[async_trait]
impl Engine for MemoryLog {
    fn health(&self) -> Health {
        Health::Writable
    }

    fn clock_ahead(&self) -> Option<ClockAhead> {
        None
    }

    fn write_ahead(&self) -> WriteAhead {
        WriteAhead::default()
    }

    async fn close(&self) {}
}
