//! The embedded log: events recorded per second alone and together, against the disk and against bare SQLite, and how
//! quickly a log becomes a roster again. Every acknowledged event is counted afterwards.
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

use std::{path::Path, sync::Arc};

use futures_util::{StreamExt, stream};
use rollcall_access::Roster;
use rollcall_eventlog::{Append, EngineConfig, Log, Outcome, Tail};
use rollcall_events::{NewEvent, Position, Recorded};
use serde_json::json;
use support::{About, Bench, ROUNDS, Round, Wall, bare::Bare, cpu_time, pick, short, timed, world::World};

fn main() {
    let bench = Bench::start("log");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(ingest(&bench));
    runtime.block_on(replay(&bench));
}

async fn open(dir: &Path) -> Log {
    std::fs::create_dir_all(dir).unwrap();
    Log::open(&EngineConfig::Embedded { dir: dir.to_owned() }, Arc::new(Wall)).await.unwrap()
}

/// Events without an end, no two alike.
fn events() -> impl Iterator<Item = NewEvent> {
    (0_u32..).flat_map(|round| {
        World::of_memberships(10_000_000).events().skip(1).map(move |mut event| {
            event.key.id = format!("{}#{round}", event.key.id).into();
            event
        })
    })
}

/// A way of appending: so many calls at a time, so many events in each.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    in_flight: usize,
    batch: usize,
    events: usize,
}

/// Wall and CPU seconds per event of one slice.
async fn append(log: &Log, events: &mut impl Iterator<Item = NewEvent>, shape: Shape) -> (f64, f64) {
    let batches: Vec<Vec<NewEvent>> =
        (0..shape.events / shape.batch).map(|_| events.take(shape.batch).collect()).collect();
    let before = log.newest().position.0;
    let me = std::process::id();
    let (cpu, start) = (cpu_time(me), std::time::Instant::now());
    // Each of the callers has one call on its way at any time, as a client of the API has.
    let shared = Arc::new(std::sync::Mutex::new(batches.into_iter()));
    let callers: Vec<_> = (0..shape.in_flight)
        .map(|_| {
            let (log, shared) = (log.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                loop {
                    let next = shared.lock().unwrap().next();
                    let Some(batch) = next else { break };
                    let outcomes = log.append(batch).await.unwrap();
                    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Recorded(_))));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (wall, cpu) = (start.elapsed(), cpu_time(me) - cpu);
    let recorded = log.newest().position.0 - before;
    assert_eq!(recorded, shape.events as u64, "acknowledged events are missing");
    (wall.as_secs_f64() / shape.events as f64, cpu.as_secs_f64() / shape.events as f64)
}

async fn ingest(bench: &Bench) {
    let log = open(&bench.dir.path().join("ingest")).await;
    let mut bare = Bare::open(&bench.dir.path().join("bare")).await;
    let mut events = events();
    let one = Shape { name: "one at a time", in_flight: 1, batch: 1, events: pick(20, 400) };
    let shapes = [
        Shape { name: "64 in flight, one event each", in_flight: 64, batch: 1, events: pick(256, 20_000) },
        Shape { name: "256 in flight, one event each", in_flight: 256, batch: 1, events: pick(512, 40_000) },
        Shape { name: "64 in flight, batches of 100", in_flight: 64, batch: 100, events: pick(6_400, 128_000) },
    ];
    let warm = Shape { events: pick(64, 6_400), ..shapes[0] };
    append(&log, &mut events, warm).await;
    bare.insert(&mut events, 1000).await;
    let mut alone = vec![Vec::new(); shapes.len()];
    let mut plain = alone.clone();
    let mut cpu = vec![Vec::new(); shapes.len()];
    for _ in 0..pick(2, ROUNDS) {
        for (at, shape) in shapes.into_iter().enumerate() {
            let single = 1.0 / append(&log, &mut events, one).await.0;
            let (wall, spent) = append(&log, &mut events, shape).await;
            let raw = 1.0 / bare.insert(&mut events, pick(1_000, 40_000)).await.0;
            alone[at].push(Round { value: 1.0 / wall, limit: single });
            plain[at].push(Round { value: 1.0 / wall, limit: raw });
            cpu[at].push(1.0 / spent.max(1e-9));
        }
    }
    for (at, shape) in shapes.into_iter().enumerate() {
        let parts = json!({"shape": shape.name, "per_cpu_s": short(support::median(&cpu[at]))});
        let about = About {
            goal: "ingest",
            what: shape.name,
            limit: "the same log, one event per commit",
            unit: "events/s",
            target: ">= 100 x and 50 000 events/s",
            parts: parts.clone(),
        };
        bench.report(about, &alone[at]);
        let about = About {
            goal: "P6",
            what: shape.name,
            limit: "bare SQLite, 1000 rows per transaction, no hash chain",
            unit: "events/s",
            target: ">= 0.7",
            parts,
        };
        bench.report(about, &plain[at]);
    }
    log.close().await;
}

/// P9: the log read and folded, against the log read and decoded.
async fn replay(bench: &Bench) {
    let world = World::of_memberships(pick(2_000, 5_000_000));
    let dir = bench.dir.path().join("replay");
    let log = open(&dir).await;
    let mut total = 0;
    let mut batches = stream::iter(chunks(world.events(), 500)).map(|batch| log.append(batch)).buffered(8);
    while let Some(outcomes) = batches.next().await {
        total += outcomes.unwrap().len() as u64;
    }
    drop(batches);
    let id = Append::log_id(&log);
    log.close().await;
    drop(log);
    // Opened anew: nothing is in memory, everything is read from the file.
    let log = open(&dir).await;
    assert_eq!(log.newest().position, Position(total), "acknowledged events are missing");

    let mut direct = Roster::new(id);
    let mut last = None;
    let fold = timed(|| {
        for record in world.records() {
            direct.apply(&record);
            last = Some(record.position);
        }
    });
    assert_eq!(last, Some(Position(total)));
    let snapshot = direct.to_snapshot();
    drop(direct);
    let mut rounds = Vec::new();
    let (mut spent, mut decoding) = (Vec::new(), Vec::new());
    let me = std::process::id();
    for _ in 0..pick(2, ROUNDS) {
        let start = (cpu_time(me), std::time::Instant::now());
        let mut seen = 0;
        scan(&log, total, |records| seen += records.len() as u64).await;
        let limit = start.1.elapsed().as_secs_f64();
        decoding.push(total as f64 / (cpu_time(me) - start.0).as_secs_f64());
        assert_eq!(seen, total);

        let start = (cpu_time(me), std::time::Instant::now());
        let mut roster = Roster::new(id);
        scan(&log, total, |records| {
            for record in records {
                roster.apply(record);
            }
        })
        .await;
        let value = start.1.elapsed().as_secs_f64();
        spent.push(total as f64 / (cpu_time(me) - start.0).as_secs_f64());
        assert!(roster.to_snapshot() == snapshot, "the replayed roster is another");
        rounds.push(Round { value: total as f64 / value, limit: total as f64 / limit });
    }
    let about = About {
        goal: "P9",
        what: "log to roster",
        limit: "the same log read, checked against the chain and decoded",
        unit: "events/s",
        target: ">= 0.7 and 500 000 events/s",
        parts: json!({
            "events": total, "per_cpu_s": short(support::median(&spent)),
            "decode_per_cpu_s": short(support::median(&decoding)),
            "generate_and_fold_per_s": short(total as f64 / fold.0),
        }),
    };
    bench.report(about, &rounds);
    log.close().await;
}

async fn scan(log: &Log, total: u64, mut each: impl FnMut(&[Recorded])) {
    let mut pages = log.read(Position(0), 1024);
    let mut at = Position(0);
    while at < Position(total) {
        let page = pages.next().await.unwrap().unwrap();
        each(&page);
        at = page.last().unwrap().position;
    }
}

fn chunks(mut events: impl Iterator<Item = NewEvent>, size: usize) -> impl Iterator<Item = Vec<NewEvent>> {
    std::iter::from_fn(move || {
        let some: Vec<_> = events.by_ref().take(size).collect();
        (!some.is_empty()).then_some(some)
    })
}
