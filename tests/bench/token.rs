//! The token endpoint of the whole product, with ES256 and RS256, against a bare HTTP server plus a bare signature.
//! Throughput by the server's CPU time, latency in an open loop at half load.
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

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::json;
use support::{
    About, Bench, ROUNDS, Round, cpu_time,
    http::{self, Connection},
    median, percentile, pick,
    server::{Hello, Server, ask_token, plain, token},
    short, spent,
    world::World,
};

/// Keep-alive connections, each a user of its own.
const CONNECTIONS: u32 = 32;

fn main() {
    if Hello::serve_if_asked() {
        return;
    }
    let bench = Bench::start("token");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hello = Hello::start();
        for (goal, algorithm, target) in [("P1", "ES256", ">= 0.85"), ("P2", "RS256", ">= 0.92")] {
            issue(&bench, &hello, goal, algorithm, target).await;
        }
    });
}

/// Requests per CPU second of a server, and per second of wall time.
async fn slice(port: u16, pid: u32, requests: &[Vec<u8>], time: Duration) -> (f64, f64) {
    let before = cpu_time(pid);
    let done = http::closed(port, requests, 200, time).await;
    let cpu = (cpu_time(pid) - before).as_secs_f64();
    (done.times.len() as f64 / cpu.max(0.01), done.rate())
}

async fn issue(bench: &Bench, hello: &Hello, goal: &str, algorithm: &str, target: &str) {
    let world = World::of_memberships(pick(2_000, 100_000));
    let mut server = Server::start(&bench.dir.path().join(algorithm), algorithm).await;
    server.say(world.events().skip(1)).await;
    let mut requests = Vec::new();
    for user in 0..CONNECTIONS {
        let person = user * (world.people() / CONNECTIONS);
        let name = World::user_name(person);
        let secret = server.secret(&name).await;
        requests.push(ask_token(&name, &secret, &World::project_name(world.project_of(person, user, user))));
    }
    let mut connection = Connection::open(server.port).await;
    let mut body = String::new();
    for request in &requests {
        let (token, pulls) = token(connection.expect(request, 200).await);
        assert!(pulls, "an entitled customer was not let in");
        body = token.rsplit_once('.').unwrap().0.to_owned();
    }
    let sign = signer(algorithm);
    let hellos = vec![plain("/", ""); CONNECTIONS as usize];
    let time = pick(Duration::from_millis(150), Duration::from_secs(4));
    slice(server.port, server.pid(), &requests, time / 4).await;
    slice(hello.port, hello.pid(), &hellos, time / 4).await;

    let (mut rounds, mut hello_us, mut sign_us, mut wall) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pick(2, ROUNDS) {
        let (bare, _) = slice(hello.port, hello.pid(), &hellos, time).await;
        let signatures = pick(20, if algorithm == "ES256" { 40_000 } else { 2_000 });
        // On every core at once, as in the server: cores that share their units are slower together.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let signing: f64 = std::thread::scope(|scope| {
            let one = || spent(|| (0..signatures).for_each(|_| sign(body.as_bytes()))).0;
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<f64>() / cores as f64
        });
        let (value, rate) = slice(server.port, server.pid(), &requests, time).await;
        let (hello, sign) = (1.0 / bare, signing / f64::from(signatures));
        rounds.push(Round { value, limit: 1.0 / (hello + sign) });
        hello_us.push(hello * 1e6);
        sign_us.push(sign * 1e6);
        wall.push(rate);
    }
    let about = About {
        goal,
        what: &format!("tokens issued, {algorithm}"),
        limit: "1 / (bare axum answer + bare signature)",
        unit: "req/cpu-s",
        target,
        parts: json!({
            "t_axum_us": short(median(&hello_us)), "t_sign_us": short(median(&sign_us)),
            "t_token_us": short(1e6 / median(&rounds.iter().map(|round| round.value).collect::<Vec<_>>())),
            "wall_per_s": short(median(&wall)), "memberships": world.memberships(),
            "rss_mb": support::memory(server.pid(), "VmRSS") >> 20,
        }),
    };
    bench.report(about, &rounds);
    if algorithm == "ES256" {
        half_load(bench, hello, &server, &hellos, &requests, median(&wall) / 2.0).await;
    }
}

/// P3: how long a token takes when the server has half of what it can do, against the bare server at the same rate.
async fn half_load(bench: &Bench, hello: &Hello, server: &Server, hellos: &[Vec<u8>], requests: &[Vec<u8>], rate: f64) {
    let time = pick(Duration::from_millis(200), Duration::from_secs(6));
    // The servers on one core, so that the generator has the other.
    let pinned = [hello.pid(), server.pid()].iter().all(|pid| support::pin(*pid, "0"));
    let (mut rounds, mut p50) = (Vec::new(), Vec::new());
    for _ in 0..pick(2, ROUNDS) {
        let (bare, bare_late) = http::open_loop(hello.port, hellos, 200, rate, time).await;
        let (token, token_late) = http::open_loop(server.port, requests, 200, rate, time).await;
        let p99 = |times: &[f64]| percentile(times, 99.0) * 1e3;
        rounds.push((Round { value: p99(&token.times), limit: p99(&bare.times) }, bare_late.max(token_late)));
        p50.push(percentile(&token.times, 50.0) * 1e3);
    }
    let (kept, late) = support::on_time(&rounds);
    let about = About {
        goal: "P3",
        what: "p99 of a token at half load, open loop, ES256",
        limit: "p99 of a bare axum answer at the same rate",
        unit: "ms",
        target: "<= 2 x",
        parts: json!({
            "rate": short(rate), "p50_ms": short(median(&p50)), "rounds_short_of_cpu": late, "server_on_one_core": pinned,
        }),
    };
    bench.report(about, &kept);
}

type Sign = Box<dyn Fn(&[u8]) + Sync>;

/// The signature alone, with the product's own library.
fn signer(algorithm: &str) -> Sign {
    let random = SystemRandom::new();
    if algorithm == "ES256" {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Box::new(move |bytes| {
            std::hint::black_box(key.sign(&random, bytes).unwrap());
        })
    } else {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Box::new(move |bytes| {
            let mut out = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut out).unwrap();
            std::hint::black_box(out);
        })
    }
}
