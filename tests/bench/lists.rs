//! Tokens of the whole product while somebody goes through everything that is listed, beside the same tokens alone; and what
//! each list costs from its first page to its last. The answers are counted: a list that lacks a row ends it.
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
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rollcall_events::{EventKey, NewEvent, SourceName};
use serde_json::{Value, json};
use support::{
    About, Bench, ROUNDS, Round,
    http::{self, Connection},
    median, percentile, pick,
    server::{Server, ask_token, plain},
    short,
    world::World,
};

fn main() {
    let bench = Bench::start("lists");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut lists = Lists::start(&bench).await;
        lists.pages(&bench).await;
        lists.tokens_beside(&bench).await;
    });
}

/// How many tokens a second are asked for, on how many connections: little, so that what is in their way is seen.
const RATE: f64 = 200.0;
const CONNECTIONS: usize = 8;

/// A server with a project of which very many are members.
struct Lists {
    server: Server,
    world: World,
    /// How many accounts bought what project 0 delivers.
    buyers: u32,
    token: Vec<Vec<u8>>,
    end: u64,
}

/// What is asked again and again: every page of a list, or one report.
#[derive(Clone)]
struct Asked {
    what: &'static str,
    path: String,
    rows: Option<usize>,
}

impl Lists {
    async fn start(bench: &Bench) -> Self {
        let world = World::of_memberships(pick(4_000, 1_000_000));
        let mut server = Server::start(&bench.dir.path().join("server"), "ES256").await;
        server.say(world.events().skip(1)).await;
        let buyers = pick(40, 2_000);
        server.say((0..buyers).map(bought)).await;
        let end = server.events().await;
        let mut token = Vec::new();
        for n in 0..CONNECTIONS as u32 {
            let user = World::user_name(n * 10);
            let secret = server.secret(&user).await;
            token.push(ask_token(&user, &secret, &World::project_name(0)));
        }
        Self { server, world, buyers, token, end }
    }

    fn asked(&self) -> Vec<Asked> {
        // The makers, and those who buy it also without the wide line.
        let wide = World::project_name(0);
        let asked = |what, path: String, rows| Asked { what, path, rows };
        let people = self.world.people() as usize + 2 * self.world.projects().div_ceil(100) as usize;
        vec![
            asked("users, page by page", "/api/v1/users?limit=500".into(), Some(people)),
            asked("projects, page by page", "/api/v1/projects?limit=500".into(), Some(self.world.projects() as usize)),
            asked(
                "members of a wide project, page by page",
                format!("/api/v1/projects/{wide}/members?limit=500"),
                None,
            ),
            asked(
                "the same as of a position",
                format!("/api/v1/projects/{wide}/members?limit=500&as_of={}", self.end),
                None,
            ),
            asked("the report who could", format!("/api/v1/reports/who?project={wide}"), None),
            asked("problems", "/api/v1/problems?limit=500".into(), None),
        ]
    }

    /// What a page costs: the last ones of a list as the first ones.
    async fn pages(&self, bench: &Bench) {
        let mut connection = Connection::open(self.server.port).await;
        for Asked { what, path, rows } in self.asked() {
            let (mut rounds, mut walls, mut found) = (Vec::new(), Vec::new(), 0);
            for _ in 0..pick(2, 3) {
                let (times, listed) = all_pages(&mut connection, &self.server.admin(), &path).await;
                assert!(rows.is_none_or(|rows| rows == listed), "{what}: {listed} rows");
                found = listed;
                walls.push(times.iter().sum::<f64>());
                let half = times.len() / 2;
                let (first, last) = times.split_at(half.max(1).min(times.len()));
                rounds.push(Round { value: median(if last.is_empty() { first } else { last }), limit: median(first) });
            }
            let about = About {
                goal: "lists",
                what: &format!("a page of the second half of {what}"),
                limit: "a page of the first half",
                unit: "ms",
                target: "<= 1.5 x",
                parts: json!({ "rows": found, "whole_list_ms": short(median(&walls)) }),
            };
            bench.report(about, &rounds);
        }
    }

    /// Tokens on a schedule, alone and beside each of them.
    async fn tokens_beside(&mut self, bench: &Bench) {
        let time = pick(Duration::from_millis(300), Duration::from_secs(6));
        for asked in self.asked() {
            let (mut rounds, mut p50, mut lists, mut posts) = (Vec::new(), Vec::new(), 0, Vec::new());
            for _ in 0..pick(2, ROUNDS) {
                let p99 = |times: &[f64]| percentile(times, 99.0) * 1e3;
                let (alone, alone_late) = http::open_loop(self.server.port, &self.token, 200, RATE, time).await;
                let stop = Arc::new(AtomicBool::new(false));
                let asking =
                    tokio::spawn(again(self.server.port, self.server.admin(), asked.path.clone(), Arc::clone(&stop)));
                let (beside, beside_late) = http::open_loop(self.server.port, &self.token, 200, RATE, time).await;
                // A fact on the way: whoever folds is not in the way either.
                let said = Instant::now();
                let n = posts.len() as u32 + 1;
                self.server.say(std::iter::once(renamed(asked.what, n))).await;
                posts.push(said.elapsed().as_secs_f64() * 1e3);
                stop.store(true, Ordering::Relaxed);
                lists += asking.await.unwrap();
                rounds
                    .push((Round { value: p99(&beside.times), limit: p99(&alone.times) }, alone_late.max(beside_late)));
                p50.push(percentile(&beside.times, 50.0) * 1e3);
            }
            let (kept, late) = support::on_time(&rounds);
            let about = About {
                goal: "lists",
                what: &format!("p99 of a token while somebody asks for {}, again and again", asked.what),
                limit: "the same alone",
                unit: "ms",
                target: "<= 2 x",
                parts: json!({
                    "rate": RATE, "p50_ms": short(median(&p50)), "requests_beside": lists, "rounds_short_of_cpu": late,
                    "fact_to_answer_ms": short(median(&posts)),
                }),
            };
            bench.report(about, &kept);
        }
    }
}

/// A line more: the account also buys what project 0 delivers.
fn bought(n: u32) -> NewEvent {
    let line = json!({"line": format!("W{n}"), "entitlement": format!("E{n}"), "product": "D0",
        "starts": "2026-01-01T00:00:00Z", "ends": "2099-01-01T00:00:00Z", "quantity": 10});
    said("entitlement.line.upserted", format!("line/W{n}"), &line, 1)
}

/// A product's label, which is nobody's access.
fn renamed(what: &str, n: u32) -> NewEvent {
    let product = format!("X{}", what.len());
    let data = json!({"product": product, "name": format!("{what} {n}")});
    said("product.upserted", format!("product/{product}"), &data, n)
}

fn said(kind: &str, subject: String, data: &Value, sequence: u32) -> NewEvent {
    NewEvent {
        key: EventKey {
            source: support::world::SOURCE.parse::<SourceName>().unwrap(),
            id: format!("{subject}@{sequence}").into(),
        },
        kind: format!("rollcall.{kind}.v1").into(),
        subject: subject.into(),
        time: None,
        sequence: Some(u64::from(sequence)),
        origin: None,
        correlation: None,
        traceparent: None,
        data: data.to_string().into(),
    }
}

/// Every page of a list: how long each took in milliseconds, and how many rows there were.
async fn all_pages(connection: &mut Connection, admin: &str, path: &str) -> (Vec<f64>, usize) {
    let (mut times, mut rows, mut next) = (Vec::new(), 0, path.to_owned());
    loop {
        let asked = Instant::now();
        let answer: Value = serde_json::from_slice(connection.expect(&plain(&next, admin), 200).await).unwrap();
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        rows += answer["items"].as_array().or_else(|| answer["rows"].as_array()).map_or(0, Vec::len);
        let Some(cursor) = answer["next"].as_str() else { return (times, rows) };
        next = format!("{path}{}cursor={cursor}", if path.contains('?') { "&" } else { "?" });
    }
}

/// Goes through a list over and over; gives how many requests that were.
async fn again(port: u16, admin: String, path: String, stop: Arc<AtomicBool>) -> usize {
    let mut connection = Connection::open(port).await;
    let (mut asked, mut next) = (0, path.clone());
    while !stop.load(Ordering::Relaxed) {
        let answer: Value = serde_json::from_slice(connection.expect(&plain(&next, &admin), 200).await).unwrap();
        asked += 1;
        next = match answer["next"].as_str() {
            Some(cursor) => format!("{path}{}cursor={cursor}", if path.contains('?') { "&" } else { "?" }),
            None => path.clone(),
        };
    }
    asked
}
