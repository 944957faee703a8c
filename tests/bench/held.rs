//! What appends wait for when a reader of the log ends that another process kept for long: all that it held of the
//! write-ahead log is moved then. The longest append while it is, against the longest while nothing else happens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    dead_code,
    missing_docs,
    reason = "a benchmark reads the clock, and a wrong answer ends it"
)]

mod support;

use std::{
    io::BufRead,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall_eventlog::{Append, EngineConfig, Log, Outcome};
use rollcall_events::NewEvent;
use serde_json::json;
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use support::{About, Bench, Round, Wall, percentile, pick, short, world::World};

/// Set in the process that only reads: where the log is.
const READER: &str = "ROLLCALL_BENCH_READER";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(dir) = std::env::var_os(READER) {
        return runtime.block_on(read_and_stay(Path::new(&dir)));
    }
    let bench = Bench::start("held");
    runtime.block_on(release(&bench));
}

async fn read_and_stay(dir: &Path) {
    let mut reader = SqliteConnectOptions::new().filename(dir.join("log.db")).connect().await.unwrap();
    reader.execute("BEGIN").await.unwrap();
    reader.execute("SELECT count(*) FROM event").await.unwrap();
    println!("reads");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn start_reader(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = command.env(READER, dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut reader = command.spawn().unwrap();
    let mut told = std::io::BufReader::new(reader.stdout.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("reads"));
    reader
}

/// Events of about four kilobytes.
fn events(from: usize, count: usize) -> Vec<NewEvent> {
    let some = World::of_memberships(10).events().next().unwrap();
    let large = |n| {
        let mut event = some.clone();
        event.key.id = format!("large{n}").into();
        event.data = format!(r#"{{"x":"{}{n}"}}"#, "x".repeat(4_000)).into();
        event
    };
    (from..from + count).map(large).collect()
}

/// One small event after the other, until it is enough. Seconds that each took.
async fn append_while(log: &Log, from: &mut usize, mut goes_on: impl FnMut() -> bool) -> Vec<f64> {
    let mut times = Vec::new();
    while goes_on() {
        let mut batch = events(*from, 1);
        batch[0].data = r#"{"x":"small"}"#.into();
        *from += 1;
        let start = Instant::now();
        let outcomes = log.append(batch).await.unwrap();
        times.push(start.elapsed().as_secs_f64());
        assert!(matches!(outcomes[..], [Outcome::Recorded(_)]));
    }
    times.sort_by(f64::total_cmp);
    times
}

async fn release(bench: &Bench) {
    let dir = bench.dir.path().join("log");
    std::fs::create_dir_all(&dir).unwrap();
    let log = Log::open(&EngineConfig::Embedded { dir: dir.clone() }, Arc::new(Wall)).await.unwrap();
    let (mut at, mut rounds, mut parts) = (0, Vec::new(), Vec::new());
    for _ in 0..pick(1, 3) {
        let settled = Instant::now() + pick(Duration::from_millis(100), Duration::from_secs(5));
        let quiet = append_while(&log, &mut at, || Instant::now() < settled).await;
        let mut reader = start_reader(&dir);
        let (wanted, mut held) = (pick(20 << 20, 700 << 20), 0);
        while held < wanted {
            let batch = events(at, 500);
            at += batch.len();
            log.append(batch).await.unwrap();
            held = std::fs::metadata(dir.join("log.db-wal")).unwrap().len();
        }
        drop(reader.stdin.take());
        reader.wait().unwrap();
        let end = Instant::now();
        let least = pick(Duration::from_millis(500), Duration::from_secs(10));
        let mut moved = None;
        let times = append_while(&log, &mut at, || {
            if log.write_ahead().held.is_none() {
                moved.get_or_insert(end.elapsed());
            }
            moved.is_none() || end.elapsed() < least
        })
        .await;
        rounds.push(Round { value: times.last().unwrap() * 1e3, limit: quiet.last().unwrap() * 1e3 });
        parts.push(json!({
            "held_mb": held / 1_000_000, "moved_after_s": short(moved.unwrap().as_secs_f64()), "appends": times.len(),
            "p50_ms": short(percentile(&times, 50.0) * 1e3), "p99_ms": short(percentile(&times, 99.0) * 1e3),
            "wal_mb_after": std::fs::metadata(dir.join("log.db-wal")).unwrap().len() / 1_000_000,
        }));
    }
    assert_eq!(log.newest().position.0, at as u64, "acknowledged events are missing");
    let about = About {
        goal: "held",
        what: "longest append when a reader ends that held the write-ahead log",
        limit: "longest append while nothing else happens",
        unit: "ms",
        target: "what a sync takes",
        parts: json!(parts),
    };
    bench.report(about, &rounds);
    log.close().await;
}
