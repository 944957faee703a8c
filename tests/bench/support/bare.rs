//! Bare SQLite with the log's own schema and row size: one statement, one transaction, one fsync for a thousand rows.
//! No hash chain, no look for duplicates: what the disk and the library give at best.

use std::{path::Path, time::Instant};

use rollcall_events::NewEvent;
use serde_json::json;
use sqlx::{
    ConnectOptions, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::cpu_time;

const ROWS: usize = 1000;

pub struct Bare {
    sql: SqliteConnection,
    rows: i64,
}

impl Bare {
    pub async fn open(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let options = SqliteConnectOptions::new()
            .filename(dir.join("bare.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let mut sql = options.connect().await.unwrap();
        sqlx::migrate!("../../migrations/sqlite/log").run(&mut sql).await.unwrap();
        Self { sql, rows: 0 }
    }

    /// Wall and CPU seconds per event.
    pub async fn insert(&mut self, events: &mut impl Iterator<Item = NewEvent>, count: usize) -> (f64, f64) {
        let batches: Vec<Vec<NewEvent>> = (0..count / ROWS).map(|_| events.take(ROWS).collect()).collect();
        let me = std::process::id();
        let (start, cpu) = (Instant::now(), cpu_time(me));
        for batch in &batches {
            let rows: Vec<_> = batch
                .iter()
                .map(|event| {
                    self.rows += 1;
                    json!([
                        self.rows,
                        1_790_000_000_000_000_i64,
                        event.key.source.as_str(),
                        &*event.key.id,
                        &*event.kind,
                        &*event.subject,
                        null,
                        event.sequence,
                        null,
                        event.correlation.as_deref(),
                        event.traceparent.as_deref(),
                        &*event.data
                    ])
                })
                .collect();
            sqlx::query(
                "INSERT INTO event (position, recorded_at, source, id, kind, subject, time, sequence, origin, \
                 correlation, traceparent, data, hash) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
                 value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, \
                 value ->> 11, zeroblob(32) FROM json_each($1)",
            )
            .bind(serde_json::to_string(&rows).unwrap())
            .execute(&mut self.sql)
            .await
            .unwrap();
        }
        let per = (batches.len() * ROWS) as f64;
        (start.elapsed().as_secs_f64() / per, (cpu_time(me) - cpu).as_secs_f64() / per)
    }
}
