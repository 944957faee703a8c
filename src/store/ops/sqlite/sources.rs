//! Sources that are read: the baseline of what each said last, plans, status, and the saved state of followers.
//! Implements the stores that ingest's engine needs; decides nothing.

use std::{borrow::Cow, collections::BTreeMap};

use async_trait::async_trait;
use rollcall_events::{Epoch, Id, LogId, Position, SourceName, body::Author};
use rollcall_ingest::{
    BaselineEntries, BaselineEntry, BaselineState, BaselineStore, ChangeKind, Durability, Fingerprint, LastFullRead,
    Personal, Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState, SavedCursor, SourceRecords, SourceStatus,
    StoreError, Visitor,
    connector::{Cursor, PersonalData, StateEntry, StateUpdate},
};
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    columns::{damaged, json, parsed, signed, time, unsigned},
    sources_sql as sql,
    store::SqliteOps,
    writes::{Rows, SourceWrite, StateEntryJson, Write},
};
use crate::ops::{OpsError, SourceQueries};

/// How many rows are handed out at once.
const PAGE: i64 = 4096;
/// How many bytes an entry has.
const ENTRY_BYTES: usize = 25;

/// How many entries of a sync state are written at once, so that others come to write too.
const STATE_ENTRIES_PER_WRITE: usize = 2000;

#[derive(Serialize)]
struct RangeJson {
    from: String,
    to: String,
}

impl SqliteOps {
    async fn write_source(&self, write: SourceWrite, durability: Durability) -> Result<(), StoreError> {
        Ok(self.writer.write(Write::Source(write), durability).await.map(drop)?)
    }

    async fn fetch_entries<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<BaselineEntries, StoreError> {
        let rows = query.fetch_all(&self.readers).await.map_err(OpsError::from)?;
        let row = |row: &SqliteRow| -> Result<(Box<str>, BaselineEntry), OpsError> {
            Ok((row.try_get::<&str, _>("subject")?.into(), decode_entry(row.try_get::<&[u8], _>("entry")?)?))
        };
        Ok(rows.iter().map(row).collect::<Result<BaselineEntries, _>>()?)
    }
}

#[async_trait]
impl SourceQueries for SqliteOps {
    async fn plans(
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

    async fn plan_rows(&self, id: &PlanId, after: Option<u64>, limit: u32) -> Result<Vec<(u64, PlanRow)>, OpsError> {
        let after = after.map_or(-1, signed);
        let query = sqlx::query(sql::PLAN_ROWS).bind(id.as_str()).bind(after).bind(limit);
        query.fetch_all(&self.readers).await?.iter().map(plan_row).collect()
    }

    async fn source_statuses(&self) -> Result<Vec<SourceStatus>, OpsError> {
        sqlx::query(sql::SOURCE_STATUSES).fetch_all(&self.readers).await?.iter().map(status).collect()
    }
}

#[async_trait]
impl BaselineStore for SqliteOps {
    async fn baseline_state(&self, log: LogId, source: &SourceName) -> Result<BaselineState, StoreError> {
        let row = sqlx::query(sql::BASELINE_STATE).bind(source.as_str()).fetch_optional(&self.readers).await;
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
        entries: &BaselineEntries,
        reached: &BaselineState,
    ) -> Result<(), StoreError> {
        let fold = SourceWrite::Fold {
            source: source.clone(),
            log: log.to_string(),
            subjects: json(&entries.keys().collect::<Vec<_>>())?,
            entries: entries.values().flat_map(encode_entry).collect(),
            reached: reached.clone(),
        };
        // Enough: what a crash of the machine loses is folded from the log again.
        self.write_source(fold, Durability::Written).await
    }

    async fn for_each_entry(&self, source: &SourceName, visit: Visitor<'_, BaselineEntry>) -> Result<(), StoreError> {
        let mut last = String::new();
        loop {
            let query = sqlx::query(sql::BASELINE_PAGE).bind(source.as_str()).bind(&last).bind(PAGE);
            let row = query.fetch_one(&self.readers).await.map_err(OpsError::from)?;
            let lines = row.try_get::<Option<&str>, _>("lines").map_err(OpsError::from)?;
            for line in lines.unwrap_or_default().lines() {
                let (hex, subject) =
                    line.split_at_checked(2 * ENTRY_BYTES).ok_or_else(|| damaged("an entry that is none"))?;
                visit(subject, decode_entry(&decode_hex(hex))?);
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
        let mut entries = BaselineEntries::new();
        if !subjects.is_empty() {
            let wanted = json(subjects)?;
            entries.extend(
                self.fetch_entries(sqlx::query(sql::BASELINE_SUBJECTS).bind(source.as_str()).bind(wanted)).await?,
            );
        }
        if !prefixes.is_empty() {
            // Texts are ordered by their bytes, and no UTF-8 begins with 0xF8 or more.
            let range = |prefix: &String| RangeJson { from: prefix.clone(), to: format!("{prefix}\u{10FFFF}") };
            let wanted = json(&prefixes.iter().map(range).collect::<Vec<_>>())?;
            entries.extend(
                self.fetch_entries(sqlx::query(sql::BASELINE_PREFIXES).bind(source.as_str()).bind(wanted)).await?,
            );
        }
        Ok(entries)
    }
}

#[async_trait]
impl SourceRecords for SqliteOps {
    async fn save_plan(&self, plan: &Plan, rows: &[PlanRow]) -> Result<(), StoreError> {
        let write = SourceWrite::Plan(Box::new(plan.clone()), rows.iter().map(Into::into).collect());
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
        let row = sqlx::query(sql::SOURCE_STATUS).bind(source.as_str()).fetch_optional(&self.readers).await;
        Ok(row.map_err(OpsError::from)?.as_ref().map(status).transpose()?)
    }

    async fn save_status(&self, status: &SourceStatus) -> Result<(), StoreError> {
        self.write_source(SourceWrite::Status(Box::new(status.clone())), Durability::Written).await
    }

    async fn saved_cursor(&self, source: &SourceName) -> Result<Option<SavedCursor>, StoreError> {
        let row = sqlx::query(sql::SAVED_CURSOR).bind(source.as_str()).fetch_optional(&self.readers).await;
        Ok(row.map_err(OpsError::from)?.as_ref().map(followed).transpose()?)
    }

    async fn sync_state(&self, source: &SourceName) -> Result<Vec<StateEntry>, StoreError> {
        let rows = sqlx::query(sql::STATE_ENTRIES).bind(source.as_str()).fetch_all(&self.readers).await;
        let note =
            |row: &SqliteRow| -> Result<StateEntry, sqlx::Error> { Ok((row.try_get("key")?, row.try_get("value")?)) };
        let entries: Result<_, _> = rows.map_err(OpsError::from)?.iter().map(note).collect();
        Ok(entries.map_err(OpsError::from)?)
    }

    async fn save_sync_state(
        &self,
        source: &SourceName,
        followed: &SavedCursor,
        entries: StateUpdate,
    ) -> Result<(), StoreError> {
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        match entries {
            // Without the row that is written last, none of them counts.
            StateUpdate::Replace(mut entries) => {
                self.forget_sync_state(source).await?;
                // In the order of the table, which is so written from one end to the other.
                entries.sort_unstable();
                let mut entries = entries.into_iter().map(StateEntryJson::from);
                loop {
                    changed = entries.by_ref().take(STATE_ENTRIES_PER_WRITE).collect();
                    if changed.len() < STATE_ENTRIES_PER_WRITE {
                        break;
                    }
                    self.write_source(SourceWrite::StateEntries(source.clone(), changed), Durability::Written).await?;
                }
            }
            StateUpdate::Merge(entries) => {
                for (key, value) in entries {
                    match value {
                        Some(value) => changed.push((key, value).into()),
                        None => gone.push(key),
                    }
                }
            }
        }
        let (source, followed) = (source.clone(), followed.clone());
        // Enough: what a crash of the machine loses is heard again.
        self.write_source(SourceWrite::SyncState { source, followed, entries: changed, gone }, Durability::Written)
            .await
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
        let rows = Write::Rows(Rows::personal(source, personal));
        Ok(self.writer.write(rows, Durability::Synced).await.map(drop)?)
    }
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

fn encode_entry(entry: &BaselineEntry) -> impl Iterator<Item = u8> + use<> {
    let (position, present) = (entry.position.0.to_be_bytes(), u8::from(entry.present));
    position.into_iter().chain([present]).chain(entry.fingerprint.0)
}

fn decode_entry(bytes: &[u8]) -> Result<BaselineEntry, OpsError> {
    let parts = bytes.split_first_chunk::<8>().and_then(|(position, rest)| {
        let (present, fingerprint) = rest.split_first()?;
        Some((position, present, <[u8; 16]>::try_from(fingerprint).ok()?))
    });
    let (position, present, fingerprint) = parts.ok_or_else(|| damaged("an entry that is none"))?;
    let position = Position(u64::from_be_bytes(*position));
    Ok(BaselineEntry { position, present: *present != 0, fingerprint: Fingerprint(fingerprint) })
}

/// What SQLite's own hexadecimal digits say.
fn decode_hex(text: &str) -> [u8; ENTRY_BYTES] {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; ENTRY_BYTES];
    bytes.iter_mut().zip(pairs).for_each(|(byte, [high, low])| *byte = digit(*high) << 4 | digit(*low));
    bytes
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
        id: parsed(row, "id")?,
        source: parsed(row, "source")?,
        made_at: time(row.try_get("made_at")?)?,
        position: Position(unsigned(row, "position")?),
        why: parsed::<PlanReason>(row, "why")?,
        reason: row.try_get("reason")?,
        state: parsed::<PlanState>(row, "state")?,
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
        verb: parsed::<ChangeKind>(row, "verb")?,
        kind: row.try_get("type")?,
        subject: row.try_get("subject")?,
        data: row.try_get("data")?,
        was: row.try_get("was")?,
        text: row.try_get("text")?,
    };
    Ok((unsigned(row, "idx")?, found))
}

fn status(row: &SqliteRow) -> Result<SourceStatus, OpsError> {
    let text = |column| row.try_get::<&str, _>(column);
    Ok(SourceStatus {
        source: parsed(row, "source")?,
        state: parsed(row, "state")?,
        reason: row.try_get("reason")?,
        checked_at: time(row.try_get("checked_at")?)?,
        sealed_at: row.try_get::<Option<i64>, _>("sealed_at")?.map(time).transpose()?,
        applied: Position(unsigned(row, "applied")?),
        facts: unsigned(row, "facts")?,
        failures: u32::try_from(unsigned(row, "failures")?).unwrap_or(u32::MAX),
        absent: serde_json::from_str(text("absent")?).map_err(damaged)?,
        outside: serde_json::from_str(text("outside")?).map_err(damaged)?,
        excluded: serde_json::from_str(text("excluded")?).map_err(damaged)?,
        whole: match (row.try_get::<Option<i64>, _>("full_read_at")?, row.try_get("full_read_reason")?) {
            (Some(at), Some(why)) => Some(LastFullRead { at: time(at)?, why }),
            _ => None,
        },
    })
}
