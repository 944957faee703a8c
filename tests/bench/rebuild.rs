//! A check, a rebuild and a snapshot beside a fold that goes on: how long an acknowledged event waits for its effect
//! meanwhile, against how long it waits while nothing else happens. And how long each of them takes.
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
    fs,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall_eventlog::{Append, EngineConfig, Log, Outcome, Tail};
use rollcall_events::{Body, NewEvent};
use rollcall_projector::{Handle, Options, Projector};
use rollcall_store::read::{self, Origin};
use serde_json::json;
use support::{About, Bench, Round, Wall, memory, percentile, pick, short, world::World};
use tokio::{sync::oneshot, task::JoinHandle};

/// How long an event may take to be where it is waited for.
const TIMEOUT: Duration = Duration::from_secs(3600);

fn main() {
    let bench = Bench::start("rebuild");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for memberships in pick(vec![2_000], vec![1_000_000, 10_000_000]) {
        runtime.block_on(stalls(&bench, World::of_memberships(memberships)));
    }
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(dir: &Path, log: &Log, options: Options) -> Self {
        let config = rollcall_store::EngineConfig::Embedded { dir: dir.to_owned() };
        let read = read::open(&config, Origin::of(Append::log_id(log))).await.unwrap();
        let (projector, handle) =
            Projector::open(dir, Arc::new(log.clone()), read, Arc::new(Wall), options).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(projector.run(async {
            let _ = stopped.await;
        }));
        let head = log.head().borrow().position;
        assert!(handle.wait_for(head, TIMEOUT).await && handle.wait_for_read(head, TIMEOUT).await);
        Self { handle, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// Says something new every few milliseconds until the work is done, and how long each of it waited, acknowledged, for its
/// effect, in milliseconds.
async fn waits<T>(log: &Log, handle: &Handle, round: &str, work: impl Future<Output = T>) -> (Vec<f64>, T) {
    let mut work = std::pin::pin!(work);
    let mut waits = Vec::new();
    for n in 0.. {
        let id = format!("bench-{round}-{n}");
        let body = Body::parse("rollcall.product.upserted.v1", &format!(r#"{{"product":"{id}"}}"#)).unwrap();
        let event =
            NewEvent { sequence: Some(1), ..NewEvent::of(support::world::SOURCE.parse().unwrap(), id.as_str(), &body) };
        let probe = async {
            let outcome = log.append(vec![event]).await.unwrap();
            let [Outcome::Recorded(position)] = outcome[..] else { panic!("{outcome:?}") };
            let since = Instant::now();
            assert!(handle.wait_for(position, TIMEOUT).await);
            let waited = since.elapsed();
            tokio::time::sleep(Duration::from_millis(3)).await;
            waited.as_secs_f64() * 1e3
        };
        tokio::select! {
            biased;
            waited = probe => waits.push(waited),
            done = &mut work => return (waits, done),
        }
    }
    unreachable!("work ends")
}

async fn stalls(bench: &Bench, world: World) {
    let dir = bench.dir.path().join(format!("rebuild-{}", world.memberships()));
    fs::create_dir_all(&dir).unwrap();
    let log = Log::open(&EngineConfig::Embedded { dir: dir.clone() }, Arc::new(Wall)).await.unwrap();
    let mut events = world.events().peekable();
    while events.peek().is_some() {
        log.append(events.by_ref().take(4096).collect()).await.unwrap();
    }
    let total = log.head().borrow().position.0;
    let running = Running::start(&dir, &log, Options::default()).await;
    let handle = &running.handle;
    let size = |name: &str| -> u64 {
        let files = [name.to_owned(), format!("{name}-wal")];
        files.iter().map(|file| fs::metadata(dir.join(file)).map_or(0, |file| file.len())).sum()
    };
    let (quiet, ()) =
        waits(&log, handle, "quiet", tokio::time::sleep(pick(Duration::from_millis(300), Duration::from_secs(10))))
            .await;
    let limit = worst(&quiet);
    let report = |what: &str, waits: &[f64], seconds: f64| {
        let parts = json!({
            "memberships": world.memberships(), "events": total, "seconds": short(seconds), "probes": waits.len(),
            "p50_ms": short(percentile(waits, 50.0)), "p99_ms": short(percentile(waits, 99.0)),
            "peak_rss_mb": memory(std::process::id(), "VmHWM") >> 20,
            "log_bytes_an_event": short(size("log.db") as f64 / total as f64),
            "read_bytes_an_event": short(size("read.db") as f64 / total as f64),
        });
        let about = About {
            goal: "stall",
            what,
            limit: "the longest wait while nothing else happens",
            unit: "ms",
            target: "<= 50 ms",
            parts,
        };
        bench.report(about, &[Round { value: worst(waits), limit }]);
    };

    let since = Instant::now();
    let (check, checked) = waits(&log, handle, "check", handle.check()).await;
    let checked = checked.unwrap();
    assert!(checked.same() && checked.sql.is_some(), "{checked:?}");
    report("longest wait of an event for its effect during a check", &check, since.elapsed().as_secs_f64());

    let since = Instant::now();
    let (rebuild, rebuilt) = waits(&log, handle, "rebuild", handle.rebuild()).await;
    assert!(rebuilt.unwrap().same());
    report("longest wait of an event for its effect during a rebuild", &rebuild, since.elapsed().as_secs_f64());
    running.stop().await;

    let before = fs::metadata(dir.join("roster.snap")).unwrap().modified().unwrap();
    let running = Running::start(&dir, &log, Options { snapshot_every: 50, ..Options::default() }).await;
    let since = Instant::now();
    let kept = async {
        while fs::metadata(dir.join("roster.snap")).unwrap().modified().unwrap() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (snapshot, ()) = waits(&log, &running.handle, "snapshot", kept).await;
    report(
        "longest wait of an event for its effect while snapshots are written",
        &snapshot,
        since.elapsed().as_secs_f64(),
    );
    running.stop().await;
    log.close().await;
    fs::remove_dir_all(&dir).unwrap();
}

fn worst(waits: &[f64]) -> f64 {
    waits.iter().copied().fold(f64::NAN, f64::max)
}
