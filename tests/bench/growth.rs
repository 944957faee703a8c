//! What grows with the number of events, and how: the same world at several sizes, each figure beside that of the smallest.
//! What is for an event, a page or a question should be the same at each of them. `ROLLCALL_GROWTH=100000,10000000` says
//! which sizes; the smallest is the limit.
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
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall_eventlog::{Append, EngineConfig, Log};
use rollcall_events::{EventKey, NewEvent};
use serde_json::{Value, json};
use support::{
    About, Bench, Random, Round, Wall,
    http::Connection,
    memory, percentile, pick,
    server::{Server, plain, post},
    short,
    world::World,
};

/// How many pages of a list are looked at, and how many questions are asked.
const PAGES: usize = 200;
const QUESTIONS: usize = 300;
/// Events for a membership of the world, about.
const EVENTS: f64 = 0.195;

/// A figure: in this unit, for so many events where it is for all of them together.
struct Figure {
    unit: &'static str,
    value: f64,
    /// What of it should be the same at every size.
    share: f64,
}

/// By what it is of.
type Figures = BTreeMap<String, Figure>;

fn main() {
    let bench = Bench::start("growth");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut sizes: Vec<u32> = match std::env::var("ROLLCALL_GROWTH") {
        Ok(sizes) => sizes.split(',').map(|size| size.parse().expect("ROLLCALL_GROWTH is numbers of events")).collect(),
        Err(_) => pick(vec![1_000, 2_000], vec![100_000, 1_000_000]),
    };
    sizes.sort_unstable();
    let mut smallest: Option<Figures> = None;
    for size in sizes {
        let figures = runtime.block_on(measure(&bench.dir.path().join(size.to_string()), size));
        let limits = smallest.get_or_insert_with(Figures::new);
        for (what, figure) in figures {
            let limit = limits.entry(what.clone()).or_insert(Figure { ..figure });
            let about = About {
                goal: "growth",
                what: &what,
                limit: "the same at the smallest size, of each event where it is of all",
                unit: figure.unit,
                target: "1 x: linear, and a page or a question constant",
                parts: json!({ "events": size, "whole": short(figure.value) }),
            };
            bench.report(about, &[Round { value: figure.share, limit: limit.share }]);
        }
    }
}

/// Measures one size.
async fn measure(dir: &Path, size: u32) -> Figures {
    let world = World::of_memberships((f64::from(size) / EVENTS) as u32);
    let mut figures = Figures::new();
    let mut one = |what: &str, unit, value: f64| {
        figures.insert(what.to_owned(), Figure { unit, value, share: value });
    };
    let server = Server::start(dir, "ES256").await;
    let (data, admin) = (server.data.clone(), server.admin());
    server.stop().await;
    let events = fill(&data, world).await as f64;
    let mut all = Vec::new();

    let start = Instant::now();
    let mut server = Server::start(dir, "ES256").await;
    all.push(("start without a snapshot", "s", start.elapsed().as_secs_f64()));
    until_the_view_follows(server.port, &admin).await;
    all.push(("until the SQL side follows too", "s", start.elapsed().as_secs_f64()));
    all.push(("most memory of that start", "MiB", mebibytes(server.pid(), "VmHWM")));
    server.stop().await;
    all.push(("log.db", "MiB", size_of(&data, "log.db")));
    all.push(("read.db", "MiB", size_of(&data, "read.db")));
    all.push(("roster.snap", "MiB", size_of(&data, "roster.snap")));
    let start = Instant::now();
    server = Server::start(dir, "ES256").await;
    all.push(("start with a snapshot", "s", start.elapsed().as_secs_f64()));
    all.push(("memory after it", "MiB", mebibytes(server.pid(), "VmRSS")));

    // Some of what is in no event: deliveries, secrets, decisions.
    for n in 0..size / 1_000 {
        server.say(std::iter::once(label(n))).await;
    }
    for (list, pages) in lists(&server, world).await {
        one(&format!("p99 of a page of {list}"), "ms", percentile(&pages, 99.0));
    }
    for (what, times) in questions(&server, world, events as u32).await {
        one(&format!("p99 of {what}"), "ms", percentile(&times, 99.0));
    }
    for (what, path) in [
        ("check", "/api/v1/projections/roster/check"),
        ("rebuild", "/api/v1/projections/roster/rebuild"),
        ("verify", "/api/v1/log/verify"),
    ] {
        let start = Instant::now();
        let told = post(&server, path, &json!({}), 200).await;
        assert!(told.get("same").is_none_or(|same| same == true), "{told}");
        all.push((what, "s", start.elapsed().as_secs_f64()));
    }
    all.push(("most memory of all of this", "MiB", mebibytes(server.pid(), "VmHWM")));
    for (what, unit, value) in all {
        let (share_unit, share) = match unit {
            "s" => ("us an event", value / events * 1e6),
            _ => ("bytes an event", value * f64::from(1 << 20) / events),
        };
        figures.insert(format!("{what} ({unit})"), Figure { unit: share_unit, value, share });
    }
    server.stop().await;
    fs::remove_dir_all(dir).unwrap();
    figures
}

/// Says all of the world to the log of a server that is stopped. How many events it has then.
async fn fill(data: &Path, world: World) -> u64 {
    let log = Log::open(&EngineConfig::Embedded { dir: data.to_owned() }, Arc::new(Wall)).await.unwrap();
    let mut events = world.events().skip(1).peekable();
    while events.peek().is_some() {
        log.append(events.by_ref().take(4_096).collect()).await.unwrap();
    }
    let end = log.head().borrow().position.0;
    log.close().await;
    end
}

fn size_of(data: &Path, name: &str) -> f64 {
    let bytes: u64 = ["", "-wal"]
        .iter()
        .map(|end| fs::metadata(data.join(format!("{name}{end}"))).map_or(0, |file| file.len()))
        .sum();
    bytes as f64 / f64::from(1 << 20)
}

fn mebibytes(process: u32, what: &str) -> f64 {
    memory(process, what) as f64 / f64::from(1 << 20)
}

async fn ask(connection: &mut Connection, admin: &str, path: &str) -> Value {
    serde_json::from_slice(connection.expect(&plain(path, admin), 200).await).unwrap()
}

async fn until_the_view_follows(port: u16, admin: &str) {
    let mut connection = Connection::open(port).await;
    loop {
        let told = ask(&mut connection, admin, "/api/v1/projections").await;
        let all = told["items"].as_array().or_else(|| told.as_array()).unwrap_or_else(|| panic!("{told}"));
        if all.iter().all(|one| one["state"] == "live" && one["position"] == one["head"]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A product's label, which is nobody's access.
fn label(n: u32) -> NewEvent {
    let (product, source) = (format!("X{n}"), support::world::SOURCE.parse().unwrap());
    NewEvent {
        key: EventKey { source, id: format!("label{n}").into() },
        kind: "rollcall.product.upserted.v1".into(),
        subject: format!("product/{product}").into(),
        time: None,
        sequence: Some(1),
        origin: None,
        correlation: None,
        traceparent: None,
        data: json!({"product": product, "name": "one more"}).to_string().into(),
    }
}

/// Every list that the API has, as its description says; of those within something, one of each.
fn all_lists() -> Vec<String> {
    let api: Value = serde_json::from_str(include_str!("../../schemas/openapi.json")).unwrap();
    let in_pages = |path: &Value| {
        let parameters = path["get"]["parameters"].as_array();
        parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == "cursor"))
    };
    let paths = api["paths"].as_object().unwrap().iter().filter(|(_, path)| in_pages(path));
    paths.map(|(path, _)| path.clone()).collect()
}

/// How long each page of each list took, in milliseconds.
async fn lists(server: &Server, world: World) -> Vec<(String, Vec<f64>)> {
    let (admin, mut connection) = (server.admin(), Connection::open(server.port).await);
    let mut found = Vec::new();
    for list in all_lists() {
        let path =
            list.replace("/projects/{name}", &format!("/projects/{}", World::project_name(world.projects() / 2)));
        // Nothing has a plan here, and there are no groups.
        if path.contains('{') {
            continue;
        }
        let first = format!("{path}?limit=100");
        let (mut times, mut next) = (Vec::new(), first.clone());
        while times.len() < PAGES {
            let asked = Instant::now();
            let (status, answer) = connection.ask(&plain(&next, &admin)).await;
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            // No configuration waits.
            assert!(status == 200 || path.ends_with("/configuration/plan/rows"), "{path}: {status}");
            let answer: Value = serde_json::from_slice(answer).unwrap();
            next = match answer["next"].as_str() {
                Some(cursor) => format!("{first}&cursor={cursor}"),
                None => first.clone(),
            };
        }
        found.push((list, times));
    }
    found
}

/// How long questions about random people took, in milliseconds.
async fn questions(server: &Server, world: World, events: u32) -> Vec<(&'static str, Vec<f64>)> {
    let mut connection = Connection::open(server.port).await;
    let mut random = Random::new(7);
    let mut found = Vec::new();
    for (what, past) in [("an explanation", false), ("an explanation as of a random position", true)] {
        let mut times = Vec::new();
        for _ in 0..pick(20, QUESTIONS) {
            let person = random.below(world.people());
            let project = world.project_of(person, random.below(5), random.below(2));
            let mut body = json!({
                "user": World::user_name(person), "action": "pull", "project": World::project_name(project),
            });
            if past {
                // Where all are there already: half of what is said comes last.
                body["as_of"] = json!((events - 1 - random.below(events / 4)).to_string());
            }
            let body = body.to_string();
            let request = format!(
                "POST /api/v1/explain HTTP/1.1\r\nhost: localhost\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                server.admin(),
                body.len()
            );
            let asked = Instant::now();
            let (status, answer) = connection.ask(request.as_bytes()).await;
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            // Who is not there yet then is not found.
            assert!(status == 200 || (past && status == 404), "{status}: {}", String::from_utf8_lossy(answer));
        }
        found.push((what, times));
    }
    found
}
