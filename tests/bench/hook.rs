//! Signed webhook posts to the whole product: one at a time, 64 and 256 in flight, at a fixed rate; what an event costs;
//! and how soon an acknowledged fact is in the next decision. Every acknowledged event is counted afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    dead_code,
    missing_docs,
    reason = "a benchmark reads the clock, and a wrong answer ends it"
)]

mod support;

use std::{
    hint::black_box,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rollcall_access::{Principal, Verb, decide};
use rollcall_eventlog::{Append, EngineConfig, Log, Outcome, Tail};
use rollcall_events::{Clock, NewEvent};
use rollcall_projector::Projector;
use rollcall_store::read::Origin;
use serde_json::{Value, json};
use support::{
    About, Bench, ROUNDS, Round, Wall,
    bare::Bare,
    cpu_time,
    http::{self, Connection},
    median, percentile, pick,
    server::{self, Hello, Server, ask_token, plain, token},
    short, spent, sync_times,
    world::World,
};

fn main() {
    if Hello::serve_if_asked() {
        return;
    }
    let bench = Bench::start("hook");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut posts = Posts::start(&bench).await;
        posts.alone(&bench).await;
        posts.together(&bench).await;
        posts.at_a_rate(&bench).await;
        posts.cost(&bench).await;
        posts.revoked(&bench).await;
        let recorded = posts.server.events().await;
        assert_eq!(recorded, posts.before + posts.acknowledged, "acknowledged events are missing");
        revoked_in_process(&bench).await;
    });
}

/// A server that has a world, and events that it has not.
struct Posts {
    server: Server,
    fresh: Box<dyn Iterator<Item = NewEvent> + Send>,
    bare: Bare,
    bare_events: Box<dyn Iterator<Item = NewEvent> + Send>,
    before: u64,
    acknowledged: u64,
    rate: f64,
}

/// Events without an end: lines of entitlements, no two alike.
fn lines(round: &'static str) -> Box<dyn Iterator<Item = NewEvent> + Send> {
    let lines = World::of_memberships(10_000_000).events().filter(|event| event.kind.contains("line"));
    Box::new(lines.map(move |mut event| {
        let id = event.subject.strip_prefix("line/").unwrap();
        event.data = event.data.replacen(id, &format!("{round}-{id}"), 1).into();
        event.subject = format!("line/{round}-{id}").into();
        event.key.id = format!("{}@1", event.subject).into();
        event
    }))
}

impl Posts {
    async fn start(bench: &Bench) -> Self {
        let mut server = Server::start(&bench.dir.path().join("server"), "ES256").await;
        server.say(World::of_memberships(pick(2_000, 100_000)).events().skip(1)).await;
        let before = server.events().await;
        let bare = Bare::open(&bench.dir.path().join("bare")).await;
        let mut posts =
            Self { server, fresh: lines("h"), bare, bare_events: lines("b"), before, acknowledged: 0, rate: 0.0 };
        posts.post(64, pick(64, 2_000)).await;
        posts
    }

    /// So many signed posts of one event each.
    fn requests(&mut self, count: usize) -> Vec<Vec<u8>> {
        let events: Vec<Value> = self.fresh.by_ref().take(count).map(|event| server::cloud_event(&event)).collect();
        assert_eq!(events.len(), count, "the world has no more events");
        self.acknowledged += count as u64;
        events.iter().map(|event| self.server.post(event)).collect()
    }

    async fn post(&mut self, in_flight: usize, count: usize) -> http::Done {
        let requests = self.requests(count);
        http::once(self.server.port, in_flight, requests, 202).await
    }

    fn data(&self) -> &Path {
        &self.server.data
    }

    /// P5: one client, one post at a time.
    async fn alone(&mut self, bench: &Bench) {
        let count = pick(20, 200);
        let (mut rounds, mut p99) = (Vec::new(), Vec::new());
        for _ in 0..pick(2, 2 * ROUNDS) {
            let syncs: f64 = sync_times(self.data(), count).iter().sum();
            let done = self.post(1, count).await;
            rounds.push(Round { value: done.rate(), limit: count as f64 / syncs });
            p99.push(percentile(&done.times, 99.0) * 1e3);
        }
        let about = About {
            goal: "P5",
            what: "signed posts, one at a time, post to 202",
            limit: "512-byte append and fdatasync in the same directory",
            unit: "posts/s",
            target: ">= 0.8",
            parts: json!({"p99_ms": short(median(&p99))}),
        };
        bench.report(about, &rounds);
    }

    /// P6: 64 and 256 posts in flight against bare SQLite; their acknowledgement against the disk.
    async fn together(&mut self, bench: &Bench) {
        for in_flight in [64, 256] {
            let (mut rounds, mut acks, mut p50) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..pick(2, ROUNDS) {
                let mut syncs = sync_times(self.data(), pick(10, 100));
                let done = self.post(in_flight, pick(300, 12_000)).await;
                syncs.extend(sync_times(self.data(), pick(10, 100)));
                let (raw, _) = self.bare.insert(&mut self.bare_events, pick(1_000, 20_000)).await;
                rounds.push(Round { value: done.rate(), limit: 1.0 / raw });
                let p99 = |times: &[f64]| percentile(times, 99.0) * 1e3;
                acks.push(Round { value: p99(&done.times), limit: p99(&syncs) });
                p50.push(percentile(&done.times, 50.0) * 1e3);
            }
            if in_flight == 64 {
                self.rate = median(&rounds.iter().map(|round| round.value).collect::<Vec<_>>());
            }
            let about = About {
                goal: "P6",
                what: &format!("signed posts of one event, {in_flight} in flight"),
                limit: "bare SQLite, 1000 rows per transaction, no hash chain",
                unit: "posts/s",
                target: if in_flight == 64 { "8 000/s" } else { ">= 0.7" },
                parts: json!({"p50_ms": short(median(&p50))}),
            };
            bench.report(about, &rounds);
            let about = About {
                goal: "ack",
                what: &format!("p99 of the acknowledgement, {in_flight} in flight, closed loop"),
                limit: "p99 of an fdatasync before and after",
                unit: "ms",
                target: "<= 3 x + 5 ms",
                parts: json!({"p50_ms": short(median(&p50))}),
            };
            bench.report(about, &acks);
        }
    }

    /// The acknowledgement at a fixed rate: 8 000 a second, or 0.8 of what was reached if that is less.
    async fn at_a_rate(&mut self, bench: &Bench) {
        let rate = (self.rate * 0.8).min(8_000.0);
        let mut rounds = Vec::new();
        for _ in 0..pick(2, ROUNDS) {
            let mut syncs = sync_times(self.data(), pick(10, 100));
            let requests = self.requests((rate * pick(0.2, 3.0)) as usize);
            let (done, share) = http::schedule(self.server.port, 64, requests, 202, rate).await;
            syncs.extend(sync_times(self.data(), pick(10, 100)));
            let p99 = |times: &[f64]| percentile(times, 99.0) * 1e3;
            rounds.push((Round { value: p99(&done.times), limit: p99(&syncs) }, share));
        }
        let (kept, late) = support::on_time(&rounds);
        let about = About {
            goal: "ack",
            what: "p99 of the acknowledgement, 64 connections, open loop",
            limit: "p99 of an fdatasync before and after",
            unit: "ms",
            target: "<= 3 x + 5 ms at 8 000/s",
            parts: json!({
                "rate": short(rate), "share_of_8000": short(rate / 8_000.0), "rounds_short_of_cpu": late,
            }),
        };
        bench.report(about, &kept);
    }

    /// P7: CPU of the server per event, against the parts that cannot be done without.
    async fn cost(&mut self, bench: &Bench) {
        let hello = Hello::start();
        let hellos = vec![plain("/", ""); 64];
        let body = server::cloud_event(&self.fresh.next().unwrap()).to_string();
        let (mut rounds, mut parts) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
        for _ in 0..pick(2, ROUNDS) {
            let before = cpu_time(hello.pid());
            let done =
                http::closed(hello.port, &hellos, 200, pick(Duration::from_millis(150), Duration::from_secs(3))).await;
            let answer = (cpu_time(hello.pid()) - before).as_secs_f64() / done.times.len() as f64;
            let times = pick(100, 50_000);
            let (hmac, ()) = spent(|| {
                for _ in 0..times {
                    black_box(server::signature("msg-1", 1_790_000_000, black_box(body.as_bytes())));
                }
            });
            let hmac = hmac / f64::from(times);
            let (_, row) = self.bare.insert(&mut self.bare_events, pick(1_000, 20_000)).await;
            let count = pick(300, 12_000);
            let before = cpu_time(self.server.pid());
            self.post(64, count).await;
            let value = (cpu_time(self.server.pid()) - before).as_secs_f64() / count as f64;
            rounds.push(Round { value: value * 1e6, limit: ((answer + hmac + row) * 1e6).max(0.1) });
            for (part, seconds) in parts.iter_mut().zip([answer, hmac, row]) {
                part.push(seconds * 1e6);
            }
        }
        let [answer, hmac, row] = parts.map(|part| short(median(&part)));
        let about = About {
            goal: "P7",
            what: "CPU of the server for one signed post",
            limit: "bare axum answer + HMAC of the body + a row of bare SQLite",
            unit: "us of CPU",
            target: "<= 1.4 x",
            parts: json!({"t_axum_us": answer, "t_hmac_us": hmac, "t_row_us": row, "in_flight": 64}),
        };
        bench.report(about, &rounds);
    }

    /// P8: from a signed post to the token endpoint that no longer grants, while 64 others post.
    async fn revoked(&mut self, bench: &Bench) {
        let world = World::of_memberships(pick(2_000, 100_000));
        let person = world.people() / 2;
        let (user, project) = (World::user_name(person), World::project_name(world.project_of(person, 0, 0)));
        let ask = ask_token(&user, &self.server.secret(&user).await, &project);
        self.acknowledged += 1;
        let (mut asking, mut posting) =
            (Connection::open(self.server.port).await, Connection::open(self.server.port).await);
        let account = person / 10;
        let mut version = 1;
        let (mut from_post, mut from_ack) = (Vec::new(), Vec::new());
        for _ in 0..pick(2, ROUNDS) {
            let stop = Arc::new(AtomicBool::new(false));
            let load = self.requests(pick(200, 40_000));
            let (port, stopped) = (self.server.port, Arc::clone(&stop));
            let load = tokio::spawn(http::until(port, pick(8, 64), load, 202, stopped));
            let syncs = sync_times(self.data(), pick(10, 200));
            let (mut posted, mut acked) = (Vec::new(), Vec::new());
            for _ in 0..pick(3, 40) {
                for state in ["inactive", "active"] {
                    version += 1;
                    let data =
                        json!({"entitlement": format!("E{account}"), "account": format!("A{account}"), "state": state});
                    let event = json!({
                        "specversion": "1.0", "id": format!("E{account}@{version}"), "source": "/licences",
                        "type": "rollcall.entitlement.upserted.v1", "subject": format!("entitlement/E{account}"),
                        "sequence": version.to_string(), "data": data,
                    });
                    let request = self.server.post(&event);
                    self.acknowledged += 1;
                    let sent = Instant::now();
                    posting.expect(&request, 202).await;
                    let ack = Instant::now();
                    while token(asking.expect(&ask, 200).await).1 != (state == "active") {
                        assert!(ack.elapsed() < Duration::from_secs(30), "the fact does not get into the decision");
                    }
                    if state == "inactive" {
                        posted.push(sent.elapsed().as_secs_f64() * 1e3);
                        acked.push(ack.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
            let unsent = load.await.unwrap();
            self.acknowledged -= unsent as u64;
            let limit = percentile(&syncs, 99.0) * 1e3;
            from_post.push(Round { value: percentile(&posted, 99.0), limit });
            from_ack.push(Round { value: percentile(&acked, 99.0), limit });
        }
        for (what, target, rounds) in [
            ("p99 from post to a token that no longer grants, 64 others posting", "<= 2 x + 1 ms", from_post),
            ("p99 from 202 to a token that no longer grants, 64 others posting", "5 ms", from_ack),
        ] {
            let limit = "p99 of an fdatasync under the same load";
            bench.report(About { goal: "P8", what, limit, unit: "ms", target, parts: json!({}) }, &rounds);
        }
    }
}

/// P8 inside one process: from the log's acknowledgement to the decision that is another, through the projector.
async fn revoked_in_process(bench: &Bench) {
    let dir = bench.dir.path().join("inside");
    std::fs::create_dir_all(&dir).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Wall);
    let engine = EngineConfig::Embedded { dir: dir.clone() };
    let log = Log::open(&engine, Arc::clone(&clock)).await.unwrap();
    let tail: Arc<dyn Tail> = Arc::new(log.clone());
    let config = rollcall_store::EngineConfig::Embedded { dir: dir.clone() };
    let read = rollcall_store::read::open(&config, Origin::of(tail.log_id())).await.unwrap();
    let (projector, handle) =
        Projector::open(&dir, tail, read, Arc::clone(&clock), rollcall_projector::Options::default()).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(projector.run(async {
        let _ = stopped.await;
    }));
    let world = World::of_memberships(pick(2_000, 100_000));
    let mut events = world.events();
    loop {
        let some: Vec<_> = events.by_ref().take(500).collect();
        if some.is_empty() {
            break;
        }
        log.append(some).await.unwrap();
    }
    assert!(handle.wait_for(log.newest().position, Duration::from_secs(60)).await, "the world is not folded");
    let live = handle.live();
    let (user, project, pull) = {
        let roster = live.read();
        (
            roster.user_by_name(&World::user_name(0)).unwrap(),
            roster.project_by_name(&World::project_name(world.project_of(0, 0, 0))).unwrap(),
            roster.profile().registry_action(Verb::Pull).unwrap(),
        )
    };
    let sample = world.events().find(|event| &*event.subject == "entitlement/E0").unwrap();
    let (mut rounds, mut p50, mut version) = (Vec::new(), Vec::new(), 1);
    for _ in 0..pick(2, ROUNDS) {
        let syncs = sync_times(&dir, pick(10, 200));
        let mut times = Vec::new();
        for n in 0..pick(10, 200) {
            let state = if n % 2 == 0 { "inactive" } else { "active" };
            version += 1;
            let mut event = sample.clone();
            event.key.id = format!("E0@{version}").into();
            event.sequence = Some(version);
            event.data = format!(r#"{{"entitlement":"E0","account":"A0","state":"{state}"}}"#).into();
            let outcomes = log.append(vec![event]).await.unwrap();
            assert!(matches!(outcomes[..], [Outcome::Recorded(_)]));
            let ack = Instant::now();
            loop {
                let now = clock.now();
                let allowed = decide(&live.read(), Principal::User(user), pull, project, now).is_allowed();
                if allowed == (state == "active") {
                    break;
                }
                assert!(ack.elapsed() < Duration::from_secs(30), "the fact does not get into the decision");
                tokio::task::yield_now().await;
            }
            times.push(ack.elapsed().as_secs_f64() * 1e3);
        }
        rounds.push(Round { value: percentile(&times, 99.0), limit: percentile(&syncs, 99.0) * 1e3 });
        p50.push(percentile(&times, 50.0));
    }
    let about = About {
        goal: "P8",
        what: "p99 from the log's acknowledgement to the changed decision, in process",
        limit: "p99 of an fdatasync",
        unit: "ms",
        target: "5 ms",
        parts: json!({"p50_ms": short(median(&p50))}),
    };
    bench.report(about, &rounds);
    let _ = stop.send(());
    running.await.unwrap();
    log.close().await;
}
