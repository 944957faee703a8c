//! The half of the log that is read. Knows no engine and cannot append.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream::BoxStream};
use rollcall_events::{Digest, LOCAL, LogId, Position, Recorded};
use tokio::sync::watch;

use crate::{Head, SignedHead};

/// How many bytes of records are read at once. A single record that has more is read by itself.
pub const PAGE_BYTES: usize = 4 << 20;

/// The half of the log that is read. Whatever is read comes in pages of at most [`PAGE_BYTES`], so that what a reader holds
/// does not follow from how large records are.
#[async_trait]
pub trait Tail: Send + Sync + 'static {
    /// Which log this is.
    fn log_id(&self) -> LogId;

    /// Catches up, then follows; in position order, in pages of at most `page`; ends only on an error.
    /// Every record is checked against the chain before it is yielded.
    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>>;

    /// The newest durable record. Never ahead of what is durable.
    fn head(&self) -> watch::Receiver<Head>;

    /// Up to `limit` records after `after` that match, in position order, and where the look-up ended
    /// (resume there; it may have seen records that do not match). Fewer, or none, say nothing about what comes after.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn page(
        &self,
        after: Position,
        limit: usize,
        filter: &Filter,
    ) -> Result<(Vec<Recorded>, Position), TailError>;

    /// The records at these positions, in position order, each held against the chain. All of them must be there: it ends in
    /// `Damaged` for a record that is not.
    fn records(&self, positions: Vec<Position>) -> BoxStream<'_, Result<Vec<Recorded>, TailError>>;

    /// The record at a position, which must be there.
    ///
    /// # Errors
    /// As [`TailError`]; `Damaged` also for a record that is not there.
    async fn record(&self, position: Position) -> Result<Recorded, TailError> {
        let page = self.records(vec![position]).next().await.transpose()?;
        page.and_then(|page| page.into_iter().next()).ok_or_else(|| TailError::missing(position))
    }

    /// The positions of up to `limit` events of a source whose id begins with a text, in the order of their ids: the id that
    /// is the text comes first.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn by_id(&self, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError>;

    /// The positions behind `since` of a source's events whose id begins with each of these texts, and before them the newest
    /// up to there; in position order, of each text by itself.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn since_by_id(
        &self,
        source: &str,
        begins: &[String],
        since: Position,
    ) -> Result<Vec<Vec<Position>>, TailError>;

    /// The newest position of a source's events whose id begins with each of these texts, in their order; nothing where
    /// there is none.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn newest_by_id(&self, source: &str, begins: &[String]) -> Result<Vec<Option<Position>>, TailError>;

    /// The newest event of a source whose id does not begin with a text. Goes through all ids of the source.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn newest_by_other_id(&self, source: &str, begins: &str) -> Result<Option<Position>, TailError>;

    /// Where the machine's clock was mended, in position order.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn clock_mends(&self) -> Result<Vec<ClockMend>, TailError> {
        let mut positions = self.by_id(LOCAL, CLOCK_MENDED, u32::MAX).await?;
        positions.sort_unstable();
        let mut mends = Vec::new();
        let mut pages = self.records(positions);
        while let Some(page) = pages.next().await.transpose()? {
            let here = page.iter().filter(|record| record.event.mends_clock());
            mends.extend(here.map(|record| ClockMend { position: record.position, from: record.recorded_at }));
        }
        Ok(mends)
    }

    /// The newest record at or before a position or an instant; `None` before the first. A record was made no later than a
    /// clock was mended behind it, whatever time it carries.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError>;

    /// The head under the log's own signature, to be kept elsewhere.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn signed_head(&self) -> Result<SignedHead, TailError>;

    /// The public key of the log's signatures, PEM.
    fn public_key_pem(&self) -> String;
}

/// A place in the log, as somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At a position.
    Position(Position),
    /// At an instant: after everything that was recorded by then.
    Instant(DateTime<Utc>),
}

/// What the ids of events begin with that mend the clock: they are found by it.
pub(crate) const CLOCK_MENDED: &str = "clock";

/// A place from which on time is counted by the machine's clock again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockMend {
    /// Where it stands.
    pub position: Position,
    /// The time from there on: what stands before it was recorded no later.
    pub from: DateTime<Utc>,
}

impl ClockMend {
    /// When a record was made as far as that is known now: what it says, or when the clock was mended behind it that had
    /// said so; and where.
    #[must_use]
    pub fn told(mends: &[Self], position: Position, recorded_at: DateTime<Utc>) -> (DateTime<Utc>, Option<Position>) {
        let later = mends.iter().filter(|mend| mend.position > position && mend.from < recorded_at);
        later.min_by_key(|mend| mend.from).map_or((recorded_at, None), |mend| (mend.from, Some(mend.position)))
    }
}

/// A record's place: what was recorded up to there is one text with one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The record's position.
    pub position: Position,
    /// When it was recorded, as far as that is known now.
    pub recorded_at: DateTime<Utc>,
    /// Where a clock was mended that had said something later.
    pub mended: Option<Position>,
    /// The chain's hash there.
    pub hash: Digest,
}

/// Which records a page is about. Absent = any. `kind` and `subject` may end in `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The source's name.
    pub source: Option<String>,
    /// The event type, e.g. `rollcall.entitlement.*`.
    pub kind: Option<String>,
    /// The subject, e.g. `entitlement/ENT-7` or `entitlement/*`.
    pub subject: Option<String>,
    /// What it came with: a delivery id, a run id.
    pub correlation: Option<String>,
}

impl Filter {
    /// Whether a record matches.
    #[must_use]
    pub fn matches(&self, record: &Recorded) -> bool {
        let event = &record.event;
        let exact = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        let open = |wanted: &Option<String>, value: &str| match wanted.as_deref() {
            None => true,
            Some(text) => text.strip_suffix('*').map_or(value == text, |prefix| value.starts_with(prefix)),
        };
        exact(&self.source, Some(event.key.source.as_str()))
            && exact(&self.correlation, event.correlation.as_deref())
            && open(&self.kind, &event.kind)
            && open(&self.subject, &event.subject)
    }
}

/// Why the log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// A record is not what was recorded: it must not be used, and neither must what follows.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that cannot be trusted.
        position: Position,
        /// What was seen.
        what: String,
    },
    /// The storage does not answer. Try again later.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

impl TailError {
    /// A record that must be there is not.
    pub(crate) fn missing(position: Position) -> Self {
        Self::Damaged { position, what: "the record is missing".into() }
    }

    /// A reader stands at a position that the log does not have: it is not the log that was read before (DESIGN 11.6).
    pub(crate) fn beyond_the_end(asked: Position, head: Head) -> Self {
        let what = format!("the log ends at {}, it is shorter than what was read from it before", head.position);
        Self::Damaged { position: asked, what }
    }
}
