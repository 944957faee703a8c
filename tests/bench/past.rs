//! Questions about the past to the whole product: an explanation and a list of members as of random positions of a log
//! of a million events, against one indexed look-up of one subject's history in the same file. What is answered is held
//! against what the generator knows was so.
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
    time::Instant,
};

use rollcall_events::NewEvent;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use support::{
    About, Bench, ROUNDS, Random, Round,
    http::Connection,
    median, percentile, pick,
    server::{Server, ask_token},
    short,
    world::World,
};

fn main() {
    let bench = Bench::start("past");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let past = Past::start(&bench).await;
        past.explained(&bench).await;
        past.listed(&bench).await;
        past.beside_a_crowd(&bench).await;
    });
}

/// How many connections one customer has.
const CROWD: usize = 60;

/// One customer's connections, each of which asks again as soon as it is answered.
struct Crowd {
    stop: Arc<AtomicBool>,
    asking: Vec<tokio::task::JoinHandle<(u64, u64)>>,
}

impl Crowd {
    fn start(port: u16, asked: &[u8]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |asked: Vec<u8>, stop: Arc<AtomicBool>| async move {
            let mut connection = Connection::open(port).await;
            let (mut answered, mut refused) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match connection.ask(&asked).await.0 {
                    200 => answered += 1,
                    429 => refused += 1,
                    other => panic!("a customer's question was answered {other}"),
                }
            }
            (answered, refused)
        };
        let asking = (0..CROWD).map(|_| tokio::spawn(ask(asked.to_owned(), Arc::clone(&stop)))).collect();
        Self { stop, asking }
    }

    /// How many were answered, and how many refused.
    async fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = (0, 0);
        for one in self.asking {
            let (answered, refused) = one.await.unwrap();
            sum = (sum.0 + answered, sum.1 + refused);
        }
        sum
    }
}

/// A server whose customers' entitlements ended and began again and again.
struct Past {
    server: Server,
    world: World,
    accounts: u32,
    /// The position before the first turn.
    before: u64,
    end: u64,
}

impl Past {
    async fn start(bench: &Bench) -> Self {
        let memberships = pick(2_000, 2_000_000);
        let world = World::of_memberships(memberships);
        let accounts = world.people() / 10;
        let mut server = Server::start(&bench.dir.path().join("server"), "ES256").await;
        server.say(world.events().skip(1)).await;
        let before = server.events().await;
        // An even number: in the end everybody has what was bought, and may ask about it.
        let turns = pick(4, 32_u64);
        let bought: Vec<NewEvent> = world.events().filter(|event| event.subject.starts_with("entitlement/")).collect();
        assert_eq!(bought.len(), accounts as usize);
        let turned = (0..turns).flat_map(|turn| bought.iter().cloned().map(move |event| turn_of(event, turn)));
        server.say(turned).await;
        let end = server.events().await;
        Self { server, world, accounts, before, end }
    }

    /// Whether an account's entitlement was active at a position: it turns inactive first.
    fn active(&self, account: u32, position: u64) -> bool {
        let turns = position.saturating_sub(self.before + u64::from(account)).div_ceil(u64::from(self.accounts));
        turns % 2 == 0
    }

    fn position(&self, random: &mut Random) -> u64 {
        self.before + u64::from(random.below((self.end - self.before) as u32)) + 1
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.server.admin(),
            body.len()
        )
        .into_bytes()
    }

    /// As-of: who, where and when at random, half of them pairs that ever were members.
    async fn explained(&self, bench: &Bench) {
        let mut connection = Connection::open(self.server.port).await;
        let mut random = Random::new(7);
        let (mut rounds, mut p50) = (Vec::new(), Vec::new());
        for _ in 0..pick(2, ROUNDS) {
            let limit = self.look_ups(&mut random).await;
            let mut times = Vec::new();
            for n in 0..pick(40, 1_000) {
                let person = random.below(self.world.people());
                let project = self.world.project_of(person, random.below(5), random.below(2));
                let position = self.position(&mut random);
                let (project, tied) =
                    if n % 2 == 0 { (project, true) } else { (random.below(self.world.projects()), false) };
                let body = json!({
                    "user": World::user_name(person), "action": "pull", "project": World::project_name(project),
                    "as_of": position.to_string(),
                });
                let request = self.request("POST", "/api/v1/explain", &body.to_string());
                let asked = Instant::now();
                let answer = connection.expect(&request, 200).await;
                times.push(asked.elapsed().as_secs_f64() * 1e3);
                let answer: Value = serde_json::from_slice(answer).unwrap();
                assert_eq!(answer["position"], position);
                if tied {
                    assert_eq!(answer["allowed"], self.active(person / 10, position), "{body}: {answer:#}");
                }
            }
            p50.push(percentile(&times, 50.0));
            rounds.push(Round { value: percentile(&times, 99.0), limit });
        }
        let about = About {
            goal: "as-of",
            what: "p99 of an explanation as of a random position, over HTTP",
            limit: "p99 of one subject's history by index in the same file",
            unit: "ms",
            target: "200 ms at 1 M events",
            parts: json!({"events": self.end, "p50_ms": short(median(&p50))}),
        };
        bench.report(about, &rounds);
    }

    /// Everybody in a project, some hundreds of people, as of a random position.
    async fn listed(&self, bench: &Bench) {
        let mut connection = Connection::open(self.server.port).await;
        let mut random = Random::new(11);
        let (mut rounds, mut p50, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..pick(2, ROUNDS) {
            let limit = self.look_ups(&mut random).await;
            let mut times = Vec::new();
            for _ in 0..pick(10, 100) {
                let project = World::project_name(random.below(self.world.projects()));
                let position = self.position(&mut random);
                let path = format!("/api/v1/reports/who?project={project}&as_of={position}");
                let request = self.request("GET", &path, "");
                let asked = Instant::now();
                let answer = connection.expect(&request, 200).await;
                times.push(asked.elapsed().as_secs_f64() * 1e3);
                let answer: Value = serde_json::from_slice(answer).unwrap();
                assert_eq!(answer["as_of"]["position"], position);
                rows.push(answer["rows"].as_array().unwrap().len() as f64);
            }
            p50.push(percentile(&times, 50.0));
            rounds.push(Round { value: percentile(&times, 99.0), limit });
        }
        let about = About {
            goal: "as-of",
            what: "p99 of the report who could pull from a project, as of a random position, over HTTP",
            limit: "p99 of one subject's history by index in the same file",
            unit: "ms",
            target: "200 ms at 1 M events",
            parts: json!({"events": self.end, "p50_ms": short(median(&p50)), "rows": short(median(&rows))}),
        };
        bench.report(about, &rounds);
    }

    /// An explanation as of a random position, in milliseconds.
    async fn ask_once(&self, connection: &mut Connection, random: &mut Random) -> f64 {
        let person = random.below(self.world.people());
        let project = self.world.project_of(person, random.below(5), random.below(2));
        let body = json!({
            "user": World::user_name(person), "action": "pull", "project": World::project_name(project),
            "as_of": self.position(random).to_string(),
        });
        let request = self.request("POST", "/api/v1/explain", &body.to_string());
        let asked = Instant::now();
        connection.expect(&request, 200).await;
        asked.elapsed().as_secs_f64() * 1e3
    }

    /// The operator's questions, and everybody's tokens, while one customer asks about the past on sixty connections; and
    /// while the same connections ask what costs nothing, which is what the load itself takes of the machine.
    async fn beside_a_crowd(&self, bench: &Bench) {
        let customer = World::user_name(0);
        let secret = self.server.secret(&customer).await;
        let project = World::project_name(self.world.project_of(0, 0, 0));
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}\r\n\r\n").into_bytes()
        };
        let past = get(&format!("/api/v1/projects/{project}/members?as_of={}", self.end));
        for (crowd, asked) in [("asking as_of", past), ("asking /livez", get("/livez"))] {
            self.beside(bench, crowd, asked, &ask_token(&customer, &secret, &project)).await;
        }
    }

    async fn beside(&self, bench: &Bench, what: &str, asked: Vec<u8>, token: &[u8]) {
        let mut random = Random::new(13);
        let mut connection = Connection::open(self.server.port).await;
        let (mut questions, mut tokens, mut worst) = (Vec::new(), Vec::new(), Vec::new());
        let (mut answered, mut refused, mut most) = (0, 0, 0);
        let before = support::memory(self.server.pid(), "VmRSS");
        for _ in 0..pick(2, ROUNDS) {
            let alone = self.ask_both(&mut connection, &mut random, token).await;
            let crowd = Crowd::start(self.server.port, &asked);
            let beside = self.ask_both(&mut connection, &mut random, token).await;
            most = most.max(support::memory(self.server.pid(), "VmRSS"));
            let (good, bad) = crowd.end().await;
            (answered, refused) = (answered + good, refused + bad);
            let p50 = |times: &[f64]| percentile(times, 50.0);
            questions.push(Round { value: p50(&beside.0), limit: p50(&alone.0) });
            tokens.push(Round { value: p50(&beside.1), limit: p50(&alone.1) });
            worst.push(percentile(&beside.1, 99.0));
        }
        let parts = json!({
            "crowd_answered": answered, "crowd_refused": refused, "rss_before": before, "rss_most": most,
            "rss_most_bytes_more": most.saturating_sub(before), "token_p99_ms": short(median(&worst)),
        });
        for (of, rounds) in [("an explanation as of a random position", questions), ("a token", tokens)] {
            let about = About {
                goal: "as-of",
                what: &format!("p50 of {of}, beside {CROWD} connections of one customer {what}"),
                limit: "the same alone",
                unit: "ms",
                target: "<= 2 x",
                parts: parts.clone(),
            };
            bench.report(about, &rounds);
        }
    }

    /// Explanations and tokens in turn, in milliseconds.
    async fn ask_both(&self, connection: &mut Connection, random: &mut Random, token: &[u8]) -> (Vec<f64>, Vec<f64>) {
        let (mut questions, mut tokens) = (Vec::new(), Vec::new());
        for _ in 0..pick(10, 200) {
            questions.push(self.ask_once(connection, random).await);
            let asked = Instant::now();
            connection.expect(token, 200).await;
            tokens.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        (questions, tokens)
    }

    /// The least that a question about the past could take: the history of one random subject.
    async fn look_ups(&self, random: &mut Random) -> f64 {
        let file = self.server.data.join("read.db");
        let mut sql = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap();
        let mut times = Vec::new();
        for _ in 0..pick(40, 1_000) {
            let subject = format!("entitlement/E{}", random.below(self.accounts));
            let asked = Instant::now();
            let found: Vec<(i64, Option<i64>)> =
                sqlx::query_as("SELECT from_position, to_position FROM fact WHERE source = $1 AND subject = $2")
                    .bind(support::world::SOURCE)
                    .bind(subject)
                    .fetch_all(&mut sql)
                    .await
                    .unwrap();
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            assert!(!found.is_empty());
        }
        percentile(&times, 99.0)
    }
}

/// An entitlement's next event: inactive and active in turn.
fn turn_of(mut event: NewEvent, turn: u64) -> NewEvent {
    let state = if turn.is_multiple_of(2) { "inactive" } else { "active" };
    event.data = event.data.replace(r#""state":"active""#, &format!(r#""state":"{state}""#)).into();
    event.key.id = format!("{}@{}", event.subject, turn + 2).into();
    event.sequence = Some(turn + 2);
    event
}
