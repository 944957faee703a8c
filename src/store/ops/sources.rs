//! Sources that are asked: the baseline of what each said last, plans, status, and the saved state of followers.
//! Implements the stores that ingest's engine needs; decides nothing.

use std::{borrow::Cow, collections::BTreeMap};

use async_trait::async_trait;
use rollcall_events::{Epoch, Id, LogId, Position, SourceName, body::Author};
use rollcall_ingest::{
    BaselineEntries, BaselineEntry, BaselineState, BaselineStore, ChangeKind, Durability, Fingerprint, LastFullRead,
    Personal, Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState, SavedCursor, SourceRecords, SourceStatus,
    StoreError, Visitor,
    pull::{Cursor, PersonalData, StateEntry, StateUpdate},
};
use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Ops, OpsError,
    deliveries::{damaged, time},
    rows::{Rows, json},
    sources_sql as sql,
    writer::Write,
};

impl From<OpsError> for StoreError {
    fn from(error: OpsError) -> Self {
        Self(error.to_string())
    }
}

/// One write about a source.
pub(super) enum SourceWrite {
    Forget(SourceName),
    Fold {
        source: SourceName,
        log: String,
        subjects: String,
        marks: Vec<u8>,
        reached: BaselineState,
    },
    Plan(Box<Plan>, Vec<RowJson>),
    Close(PlanId, PlanState, PlanClosure),
    Status(Box<SourceStatus>),
    /// Notes with nothing that they belong to yet.
    StateEntries(SourceName, Vec<NoteJson>),
    /// Where a follower goes on, with the notes that changed and those that are no more.
    SyncState {
        source: SourceName,
        followed: SavedCursor,
        notes: Vec<NoteJson>,
        gone: Vec<String>,
    },
    ForgetSyncState(SourceName),
}

/// How many notes are written at once, so that others come to write too.
const NOTES_AT_ONCE: usize = 2000;

#[derive(Serialize)]
pub(super) struct NoteJson {
    key: String,
    value: String,
}

impl From<StateEntry> for NoteJson {
    fn from((key, value): StateEntry) -> Self {
        let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 });
        Self { key, value: value.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect() }
    }
}

#[derive(Serialize)]
pub(super) struct RowJson {
    verb: &'static str,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    data: String,
    was: Option<String>,
    text: String,
}

#[derive(Serialize)]
struct RangeJson {
    from: String,
    to: String,
}

pub(super) async fn write(connection: &mut SqliteConnection, write: SourceWrite) -> Result<(), OpsError> {
    match write {
        SourceWrite::Forget(source) => {
            sqlx::query(sql::FORGET_MIRROR).bind(source.as_str()).execute(&mut *connection).await?;
            sqlx::query(sql::FORGET_REACHED).bind(source.as_str()).execute(connection).await?;
        }
        SourceWrite::Fold { source, log, subjects, marks, reached } => {
            if !marks.is_empty() {
                let fold = sqlx::query(sql::FOLD_MARKS).bind(source.as_str()).bind(subjects).bind(marks);
                fold.execute(&mut *connection).await?;
            }
            sqlx::query(sql::FOLD_REACHED)
                .bind(source.as_str())
                .bind(log)
                .bind(signed(reached.position.0))
                .bind(signed(reached.epoch.0))
                .bind(reached.scope)
                .bind(reached.open)
                .execute(connection)
                .await?;
        }
        SourceWrite::Plan(plan, rows) => {
            let (source, why) = (plan.source.as_str(), plan.why.as_str());
            let made_at = plan.made_at.timestamp_micros();
            sqlx::query(sql::SUPERSEDE_PLANS).bind(source).bind(why).bind(made_at).execute(&mut *connection).await?;
            sqlx::query(sql::INSERT_PLAN)
                .bind(plan.id.as_str())
                .bind(source)
                .bind(made_at)
                .bind(signed(plan.position.0))
                .bind(why)
                .bind(&plan.reason)
                .bind(plan.state.as_str())
                .bind(signed(plan.facts))
                .bind(signed(plan.additions))
                .bind(signed(plan.changes))
                .bind(signed(plan.removals))
                .bind(&plan.removals_digest)
                .bind(&plan.rows_digest)
                .execute(&mut *connection)
                .await?;
            let rows = json(&rows)?;
            sqlx::query(sql::INSERT_PLAN_ROWS).bind(plan.id.as_str()).bind(rows).execute(connection).await?;
        }
        SourceWrite::Close(id, state, closed) => {
            let (at, by) = (closed.at.timestamp_micros(), closed.by.as_ref().map(Author::as_str));
            let query = sqlx::query(sql::CLOSE_PLAN).bind(id.as_str()).bind(state.as_str()).bind(at).bind(by);
            query.execute(connection).await?;
        }
        SourceWrite::Status(status) => {
            sqlx::query(sql::NOTE_STANDING)
                .bind(status.source.as_str())
                .bind(status.state.as_str())
                .bind(status.reason)
                .bind(status.checked_at.timestamp_micros())
                .bind(status.sealed_at.map(|at| at.timestamp_micros()))
                .bind(signed(status.applied.0))
                .bind(signed(status.facts))
                .bind(i64::from(status.failures))
                .bind(json(&status.absent)?)
                .bind(json(&status.excluded)?)
                .bind(status.whole.as_ref().map(|whole| whole.at.timestamp_micros()))
                .bind(status.whole.map(|whole| whole.why))
                .execute(connection)
                .await?;
        }
        SourceWrite::StateEntries(source, notes) => {
            sqlx::query(sql::KEEP_NOTES).bind(source.as_str()).bind(json(&notes)?).execute(connection).await?;
        }
        SourceWrite::SyncState { source, followed, notes, gone } => {
            let source = source.as_str();
            if !gone.is_empty() {
                sqlx::query(sql::DROP_NOTES).bind(source).bind(json(&gone)?).execute(&mut *connection).await?;
            }
            if !notes.is_empty() {
                sqlx::query(sql::KEEP_NOTES).bind(source).bind(json(&notes)?).execute(&mut *connection).await?;
            }
            let SavedCursor { log, scope, position, cursor: Cursor(cursor) } = followed;
            let query = sqlx::query(sql::KEEP_FOLLOWED).bind(source).bind(log).bind(scope);
            query.bind(signed(position.0)).bind(cursor).execute(connection).await?;
        }
        SourceWrite::ForgetSyncState(source) => {
            sqlx::query(sql::FORGET_FOLLOWED).bind(source.as_str()).execute(&mut *connection).await?;
            sqlx::query(sql::FORGET_NOTES).bind(source.as_str()).execute(connection).await?;
        }
    }
    Ok(())
}

impl Ops {
    async fn write_source(&self, write: SourceWrite, durability: Durability) -> Result<(), StoreError> {
        Ok(self.writer.write(Write::Source(write), durability).await.map(drop)?)
    }

    async fn marks<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<BaselineEntries, StoreError> {
        let rows = query.fetch_all(&self.readers).await.map_err(OpsError::from)?;
        let row = |row: &SqliteRow| -> Result<(Box<str>, BaselineEntry), OpsError> {
            Ok((row.try_get::<&str, _>("subject")?.into(), mark(row.try_get::<&[u8], _>("mark")?)?))
        };
        Ok(rows.iter().map(row).collect::<Result<BaselineEntries, _>>()?)
    }

    /// Up to `limit` plans older than `before`, the newest first; of one source or of all.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn plans(
        &self,
        source: Option<&SourceName>,
        before: Option<&PlanId>,
        limit: u32,
    ) -> Result<Vec<Plan>, OpsError> {
        // `~` sorts behind every id.
        let before = before.map_or("~", PlanId::as_str);
        let query = match source {
            None => sqlx::query(sql::LIST_PLANS).bind(before).bind(limit),
            Some(source) => sqlx::query(sql::LIST_PLANS_OF).bind(before).bind(limit).bind(source.as_str()),
        };
        query.fetch_all(&self.readers).await?.iter().map(plan).collect()
    }

    /// Up to `limit` rows of a plan behind the one with number `after` (none: from the first), each with its number.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn plan_rows(
        &self,
        id: &PlanId,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, PlanRow)>, OpsError> {
        let after = after.map_or(-1, signed);
        let query = sqlx::query(sql::PLAN_ROWS).bind(id.as_str()).bind(after).bind(limit);
        query.fetch_all(&self.readers).await?.iter().map(plan_row).collect()
    }

    /// How every source is that was ever asked.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn source_statuses(&self) -> Result<Vec<SourceStatus>, OpsError> {
        sqlx::query(sql::STANDINGS).fetch_all(&self.readers).await?.iter().map(status).collect()
    }
}

#[async_trait]
impl BaselineStore for Ops {
    async fn baseline_state(&self, log: LogId, source: &SourceName) -> Result<BaselineState, StoreError> {
        let row = sqlx::query(sql::REACHED).bind(source.as_str()).fetch_optional(&self.readers).await;
        let Some(row) = row.map_err(OpsError::from)? else { return Ok(BaselineState::default()) };
        let (of, reached) = reached(&row)?;
        if of == log.to_string() {
            return Ok(reached);
        }
        self.write_source(SourceWrite::Forget(source.clone()), Durability::Written).await?;
        Ok(BaselineState::default())
    }

    async fn fold(
        &self,
        log: LogId,
        source: &SourceName,
        marks: &BaselineEntries,
        reached: &BaselineState,
    ) -> Result<(), StoreError> {
        let fold = SourceWrite::Fold {
            source: source.clone(),
            log: log.to_string(),
            subjects: json(&marks.keys().collect::<Vec<_>>())?,
            marks: marks.values().flat_map(bytes).collect(),
            reached: reached.clone(),
        };
        // Enough: what a crash of the machine loses is folded from the log again.
        self.write_source(fold, Durability::Written).await
    }

    async fn for_each_entry(&self, source: &SourceName, visit: Visitor<'_, BaselineEntry>) -> Result<(), StoreError> {
        let mut last = String::new();
        loop {
            let query = sqlx::query(sql::MIRROR_PAGE).bind(source.as_str()).bind(&last).bind(PAGE);
            let row = query.fetch_one(&self.readers).await.map_err(OpsError::from)?;
            let lines = row.try_get::<Option<&str>, _>("lines").map_err(OpsError::from)?;
            for line in lines.unwrap_or_default().lines() {
                let (hex, subject) = line.split_at_checked(2 * MARK).ok_or_else(|| damaged("a mark that is none"))?;
                visit(subject, mark(&unhex(hex))?);
            }
            match row.try_get::<Option<String>, _>("last").map_err(OpsError::from)? {
                Some(next) => last = next,
                None => return Ok(()),
            }
        }
    }

    async fn entries(
        &self,
        source: &SourceName,
        subjects: &[String],
        prefixes: &[String],
    ) -> Result<BaselineEntries, StoreError> {
        let mut marks = BaselineEntries::new();
        if !subjects.is_empty() {
            let wanted = json(subjects)?;
            marks.extend(self.marks(sqlx::query(sql::MIRROR_SUBJECTS).bind(source.as_str()).bind(wanted)).await?);
        }
        if !prefixes.is_empty() {
            // Texts are ordered by their bytes, and no UTF-8 begins with 0xF8 or more.
            let range = |prefix: &String| RangeJson { from: prefix.clone(), to: format!("{prefix}\u{10FFFF}") };
            let wanted = json(&prefixes.iter().map(range).collect::<Vec<_>>())?;
            marks.extend(self.marks(sqlx::query(sql::MIRROR_PREFIXES).bind(source.as_str()).bind(wanted)).await?);
        }
        Ok(marks)
    }
}

#[async_trait]
impl SourceRecords for Ops {
    async fn save_plan(&self, plan: &Plan, rows: &[PlanRow]) -> Result<(), StoreError> {
        let rows = rows.iter().map(|row| RowJson {
            verb: row.verb.as_str(),
            kind: row.kind.clone(),
            subject: row.subject.clone(),
            data: row.data.clone(),
            was: row.was.clone(),
            text: row.text.clone(),
        });
        let write = SourceWrite::Plan(Box::new(plan.clone()), rows.collect());
        self.write_source(write, Durability::Synced).await
    }

    async fn plan(&self, id: &PlanId) -> Result<Option<Plan>, StoreError> {
        let row = sqlx::query(sql::FIND_PLAN).bind(id.as_str()).fetch_optional(&self.readers).await;
        Ok(row.map_err(OpsError::from)?.as_ref().map(plan).transpose()?)
    }

    async fn held_plan(&self, source: &SourceName) -> Result<Option<Plan>, StoreError> {
        let row = sqlx::query(sql::HELD_PLAN).bind(source.as_str()).fetch_optional(&self.readers).await;
        Ok(row.map_err(OpsError::from)?.as_ref().map(plan).transpose()?)
    }

    async fn close_plan(&self, id: &PlanId, state: PlanState, closed: &PlanClosure) -> Result<(), StoreError> {
        self.write_source(SourceWrite::Close(id.clone(), state, closed.clone()), Durability::Synced).await
    }

    async fn status(&self, source: &SourceName) -> Result<Option<SourceStatus>, StoreError> {
        let row = sqlx::query(sql::STANDING).bind(source.as_str()).fetch_optional(&self.readers).await;
        Ok(row.map_err(OpsError::from)?.as_ref().map(status).transpose()?)
    }

    async fn save_status(&self, status: &SourceStatus) -> Result<(), StoreError> {
        self.write_source(SourceWrite::Status(Box::new(status.clone())), Durability::Written).await
    }

    async fn saved_cursor(&self, source: &SourceName) -> Result<Option<SavedCursor>, StoreError> {
        let row = sqlx::query(sql::FOLLOWED).bind(source.as_str()).fetch_optional(&self.readers).await;
        Ok(row.map_err(OpsError::from)?.as_ref().map(followed).transpose()?)
    }

    async fn sync_state(&self, source: &SourceName) -> Result<Vec<StateEntry>, StoreError> {
        let rows = sqlx::query(sql::NOTES).bind(source.as_str()).fetch_all(&self.readers).await;
        let note =
            |row: &SqliteRow| -> Result<StateEntry, sqlx::Error> { Ok((row.try_get("key")?, row.try_get("value")?)) };
        let notes: Result<_, _> = rows.map_err(OpsError::from)?.iter().map(note).collect();
        Ok(notes.map_err(OpsError::from)?)
    }

    async fn save_sync_state(
        &self,
        source: &SourceName,
        followed: &SavedCursor,
        notes: StateUpdate,
    ) -> Result<(), StoreError> {
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        match notes {
            // Without the row that is written last, none of them counts.
            StateUpdate::Replace(mut notes) => {
                self.forget_sync_state(source).await?;
                // In the order of the table, which is so written from one end to the other.
                notes.sort_unstable();
                let mut notes = notes.into_iter().map(NoteJson::from);
                loop {
                    changed = notes.by_ref().take(NOTES_AT_ONCE).collect();
                    if changed.len() < NOTES_AT_ONCE {
                        break;
                    }
                    self.write_source(SourceWrite::StateEntries(source.clone(), changed), Durability::Written).await?;
                }
            }
            StateUpdate::Merge(notes) => {
                for (key, value) in notes {
                    match value {
                        Some(value) => changed.push((key, value).into()),
                        None => gone.push(key),
                    }
                }
            }
        }
        let (source, followed) = (source.clone(), followed.clone());
        // Enough: what a crash of the machine loses is heard again.
        self.write_source(SourceWrite::SyncState { source, followed, notes: changed, gone }, Durability::Written).await
    }

    async fn forget_sync_state(&self, source: &SourceName) -> Result<(), StoreError> {
        self.write_source(SourceWrite::ForgetSyncState(source.clone()), Durability::Written).await
    }

    async fn for_each_personal(&self, source: &SourceName, visit: Visitor<'_, PersonalData>) -> Result<(), StoreError> {
        let mut last = String::new();
        loop {
            let query = sqlx::query(sql::NAMES_PAGE).bind(source.as_str()).bind(&last).bind(PAGE);
            let row = query.fetch_one(&self.readers).await.map_err(OpsError::from)?;
            let names = row.try_get::<&str, _>("names").map_err(OpsError::from)?;
            let names: Vec<(Cow<'_, str>, Option<String>, Option<String>)> =
                serde_json::from_str(names).map_err(damaged)?;
            names.into_iter().for_each(|(person, email, name)| visit(&person, PersonalData { email, name }));
            match row.try_get::<Option<String>, _>("last").map_err(OpsError::from)? {
                Some(next) => last = next,
                None => return Ok(()),
            }
        }
    }

    async fn personal(&self, source: &SourceName, persons: &[Id]) -> Result<BTreeMap<Id, PersonalData>, StoreError> {
        let wanted = json(persons)?;
        let rows = sqlx::query(sql::NAMES).bind(source.as_str()).bind(wanted).fetch_all(&self.readers).await;
        let name = |row: &SqliteRow| -> Result<(Id, PersonalData), OpsError> {
            let person = row.try_get::<&str, _>("person")?.parse().map_err(damaged)?;
            Ok((person, PersonalData { email: row.try_get("email")?, name: row.try_get("name")? }))
        };
        let names: Result<_, OpsError> = rows.map_err(OpsError::from)?.iter().map(name).collect();
        Ok(names?)
    }

    async fn save_personal(&self, source: &SourceName, personal: Vec<Personal>) -> Result<(), StoreError> {
        let rows = Write::Rows(Rows::names(source, personal));
        Ok(self.writer.write(rows, Durability::Synced).await.map(drop)?)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, OpsError> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}

fn reached(row: &SqliteRow) -> Result<(String, BaselineState), OpsError> {
    let reached = BaselineState {
        position: Position(unsigned(row, "position")?),
        epoch: Epoch(unsigned(row, "epoch")?),
        scope: row.try_get("scope")?,
        open: row.try_get("open")?,
    };
    Ok((row.try_get("log")?, reached))
}

fn followed(row: &SqliteRow) -> Result<SavedCursor, OpsError> {
    Ok(SavedCursor {
        log: row.try_get("log")?,
        scope: row.try_get("scope")?,
        position: Position(unsigned(row, "position")?),
        cursor: Cursor(row.try_get("cursor")?),
    })
}

/// How many rows are handed out at once.
const PAGE: i64 = 4096;
/// How many bytes a mark has.
const MARK: usize = 25;

fn bytes(mark: &BaselineEntry) -> impl Iterator<Item = u8> + use<> {
    let (position, present) = (mark.position.0.to_be_bytes(), u8::from(mark.present));
    position.into_iter().chain([present]).chain(mark.fingerprint.0)
}

fn mark(bytes: &[u8]) -> Result<BaselineEntry, OpsError> {
    let parts = bytes.split_first_chunk::<8>().and_then(|(position, rest)| {
        let (present, fingerprint) = rest.split_first()?;
        Some((position, present, <[u8; 16]>::try_from(fingerprint).ok()?))
    });
    let (position, present, fingerprint) = parts.ok_or_else(|| damaged("a mark that is none"))?;
    let position = Position(u64::from_be_bytes(*position));
    Ok(BaselineEntry { position, present: *present != 0, fingerprint: Fingerprint(fingerprint) })
}

/// What SQLite's own hexadecimal digits say.
fn unhex(text: &str) -> [u8; MARK] {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; MARK];
    bytes.iter_mut().zip(pairs).for_each(|(byte, [high, low])| *byte = digit(*high) << 4 | digit(*low));
    bytes
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(row: &SqliteRow, column: &str) -> Result<T, OpsError> {
    row.try_get::<&str, _>(column)?.parse().map_err(damaged)
}

fn plan(row: &SqliteRow) -> Result<Plan, OpsError> {
    let closed = match row.try_get::<Option<i64>, _>("closed_at")? {
        Some(at) => Some(PlanClosure {
            at: time(at)?,
            by: row.try_get::<Option<String>, _>("closed_by")?.map(Author::from_stored),
        }),
        None => None,
    };
    Ok(Plan {
        closed,
        id: word(row, "id")?,
        source: word(row, "source")?,
        made_at: time(row.try_get("made_at")?)?,
        position: Position(unsigned(row, "position")?),
        why: word::<PlanReason>(row, "why")?,
        reason: row.try_get("reason")?,
        state: word::<PlanState>(row, "state")?,
        facts: unsigned(row, "facts")?,
        additions: unsigned(row, "additions")?,
        changes: unsigned(row, "changes")?,
        removals: unsigned(row, "removals")?,
        removals_digest: row.try_get("removals_digest")?,
        rows_digest: row.try_get("rows_digest")?,
    })
}

fn plan_row(row: &SqliteRow) -> Result<(u64, PlanRow), OpsError> {
    let found = PlanRow {
        verb: word::<ChangeKind>(row, "verb")?,
        kind: row.try_get("type")?,
        subject: row.try_get("subject")?,
        data: row.try_get("data")?,
        was: row.try_get("was")?,
        text: row.try_get("text")?,
    };
    Ok((unsigned(row, "idx")?, found))
}

fn status(row: &SqliteRow) -> Result<SourceStatus, OpsError> {
    let parsed = |column| row.try_get::<&str, _>(column);
    Ok(SourceStatus {
        source: word(row, "source")?,
        state: word(row, "state")?,
        reason: row.try_get("reason")?,
        checked_at: time(row.try_get("checked_at")?)?,
        sealed_at: row.try_get::<Option<i64>, _>("sealed_at")?.map(time).transpose()?,
        applied: Position(unsigned(row, "applied")?),
        facts: unsigned(row, "facts")?,
        failures: u32::try_from(unsigned(row, "failures")?).unwrap_or(u32::MAX),
        absent: serde_json::from_str(parsed("absent")?).map_err(damaged)?,
        excluded: serde_json::from_str(parsed("excluded")?).map_err(damaged)?,
        whole: match (row.try_get::<Option<i64>, _>("whole_at")?, row.try_get("whole_why")?) {
            (Some(at), Some(why)) => Some(LastFullRead { at: time(at)?, why }),
            _ => None,
        },
    })
}
