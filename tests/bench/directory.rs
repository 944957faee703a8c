//! A large directory in a real slapd: the first read, reading it again unchanged, and one change by push, through the
//! whole product; each beside a plain paged search of the same tree. An unchanged read is two events or the run fails.
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
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use support::{
    About, Bench, ROUNDS, Round, cpu_time,
    http::Connection,
    median, memory, percentile, pick,
    server::{Server, ask_token, plain as get, post, token},
    short,
    slapd::{self, BASE, PASSWORD, SYNC, Slapd, Tree},
    sync_times,
};

/// How many entries are asked for at once, as Rollcall does where nothing else is configured.
const PAGE: u32 = 200;
/// How long anything may take.
const LONG: Duration = Duration::from_secs(600);

fn main() {
    let bench = Bench::start("directory");
    if !slapd::is_here("directory") {
        return;
    }
    let tree = Tree { people: pick(300, 100_000), groups: pick(30, 10_000), memberships: pick(1_500, 500_000) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = Slapd::start(&bench.dir.path().join("slapd"), tree).await;
        directory.search_all(PAGE).await;
        let data = bench.dir.path().join("server");
        let head = first(&bench, &directory, &data).await;
        again(&bench, &directory, &data, head).await;
        pushed(&bench, &directory, &data).await;
    });
}

/// The configuration of a server that reads it.
fn source(directory: &Slapd, mode: &str, schedule: &str) -> String {
    format!(
        "[access]\nprofile = \"harbor\"\nproducer_role = \"developer\"\nconsumer_role = \"guest\"\n\n\
         [source.corp]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"source.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = \"ou=groups,{BASE}\"\n\
         mode = \"{mode}\"\nschedule = \"{schedule}\"\njitter = \"0s\"\npage_size = {PAGE}\n",
        directory.url()
    )
}

const YEARLY: &str = "0 0 1 1 *";
const EVERY_MINUTE: &str = "* * * * *";

async fn start(directory: &Slapd, dir: &Path, mode: &str, schedule: &str) -> Server {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("source.secret"), format!("{PASSWORD}\n")).unwrap();
    Server::configured(dir, &source(directory, mode, schedule)).await
}

/// One run of the source: from `snapshot.started` to when the source was noted to be as it says.
struct Run {
    wall: f64,
    applied: u64,
    facts: u64,
}

async fn ask(server: &Server, path: &str) -> Value {
    let request = get(path, &server.admin());
    serde_json::from_slice(Connection::open(server.port).await.expect(&request, 200).await).unwrap()
}

/// When the last run behind a position began.
async fn started(server: &Server, after: u64) -> Option<DateTime<Utc>> {
    let events =
        ask(server, &format!("/api/v1/events?source=corp&type=rollcall.snapshot.started.v1&after={after}")).await;
    let last = events["items"].as_array().unwrap().last()?;
    Some(last["recorded_at"].as_str().unwrap().parse().unwrap())
}

/// Waits for a run that begins behind a position and is good.
async fn run(server: &Server, after: u64) -> Run {
    let start = Instant::now();
    // A question that costs next to nothing, so that asking is not what is measured.
    while server.events().await < after + 2 {
        assert!(start.elapsed() < LONG, "the directory is not read");
        tokio::time::sleep(Duration::from_millis(pick(20, 100))).await;
    }
    loop {
        let sources = ask(server, "/api/v1/sources").await;
        let reading = &sources["items"][0]["reading"];
        let checked = reading["checked_at"].as_str().map(|text| text.parse::<DateTime<Utc>>().unwrap());
        if let (Some(checked), Some(began)) = (checked, started(server, after).await)
            && checked > began
        {
            assert_eq!(reading["state"], "healthy", "{reading}");
            let wall = (checked - began).as_seconds_f64();
            return Run {
                wall,
                applied: reading["applied"].as_u64().unwrap(),
                facts: reading["facts"].as_u64().unwrap(),
            };
        }
        assert!(start.elapsed() < LONG, "the directory is not read: {reading}");
        tokio::time::sleep(Duration::from_millis(pick(20, 500))).await;
    }
}

const MIB: f64 = (1 << 20) as f64;

/// The first read: everything becomes an event, and the roster knows it. Gives how many events there are.
async fn first(bench: &Bench, directory: &Slapd, data: &Path) -> u64 {
    let (mut rounds, mut memories, mut parts, mut head) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in (0..pick(1, 2)).rev() {
        let dir = if round == 0 { data.to_owned() } else { data.with_extension(round.to_string()) };
        let plain = directory.search_all(PAGE).await;
        let before = cpu_time(directory.pid());
        let server = start(directory, &dir, "full", YEARLY).await;
        let read = run(&server, 0).await;
        let cpu = cpu_time(server.pid()).as_secs_f64();
        let server_cpu = (cpu_time(directory.pid()) - before).as_secs_f64();
        let tree = directory.tree;
        let members = u64::from(tree.memberships / tree.groups) * u64::from(tree.groups - 1) + 1;
        assert_eq!(read.facts, u64::from(tree.people + 1 + tree.groups) + members);
        let late = Instant::now();
        let path = format!("/api/v1/projects?limit=1&min_position={}&wait=30s", read.applied);
        let mut asking = Connection::open(server.port).await;
        while asking.ask(&get(&path, &server.admin())).await.0 != 200 {
            assert!(late.elapsed() < LONG, "what was read does not get into the roster");
        }
        rounds.push(Round { value: read.wall, limit: plain.wall });
        memories.push(Round { value: memory(server.pid(), "VmHWM") as f64 / MIB, limit: plain.peak as f64 / MIB });
        parts.push(json!({
            "facts": read.facts, "facts_per_s": short(read.facts as f64 / read.wall), "cpu_s": short(cpu),
            "slapd_cpu_s": short(server_cpu), "slapd_cpu_of_search_s": short(plain.server),
            "search_cpu_s": short(plain.client), "resident_mib": short(memory(server.pid(), "VmRSS") as f64 / MIB),
            "until_decided_s": short(late.elapsed().as_secs_f64()),
        }));
        head = server.events().await;
        server.stop().await;
    }
    let about = About {
        goal: "size",
        what: "first read of a directory, all of it recorded",
        limit: "the same paged search by ldapsearch",
        unit: "s",
        target: "-",
        parts: json!({"tree": format!("{:?}", directory.tree), "each": parts}),
    };
    bench.report(about, &rounds);
    let about = About {
        goal: "size",
        what: "most memory of the whole process during the first read",
        limit: "most memory of ldapsearch",
        unit: "MiB",
        target: "-",
        parts: json!({}),
    };
    bench.report(about, &memories);
    head
}

/// Reading it again unchanged: right after a start, and on the schedule of a process that has read it before.
async fn again(bench: &Bench, directory: &Slapd, data: &Path, mut head: u64) {
    for (what, restarts, count) in [
        ("unchanged read of a directory right after a start, two events", true, pick(2, 3)),
        ("unchanged read of a directory, two events", false, pick(0, ROUNDS)),
    ] {
        let (mut rounds, mut cpus, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        let mut server = None;
        for _ in 0..count {
            if restarts || server.is_none() {
                let limit = directory.search_all(PAGE).await;
                let started = start(directory, data, "full", if restarts { YEARLY } else { EVERY_MINUTE }).await;
                let read = run(&started, head).await;
                head = two_more(&started, head).await;
                if restarts {
                    rounds.push(Round { value: read.wall, limit: limit.wall });
                    started.stop().await;
                    continue;
                }
                server = Some(started);
            }
            let server = server.as_ref().unwrap();
            let limit = directory.search_all(PAGE).await;
            let (cpu, of_slapd) = (cpu_time(server.pid()), cpu_time(directory.pid()));
            // The most from here on (man 5 proc).
            let _ = std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5");
            let read = run(server, head).await;
            head = two_more(server, head).await;
            rounds.push(Round { value: read.wall, limit: limit.wall });
            cpus.push(Round { value: (cpu_time(server.pid()) - cpu).as_secs_f64(), limit: limit.client });
            memories.push(Round { value: memory(server.pid(), "VmHWM") as f64 / MIB, limit: limit.peak as f64 / MIB });
            eprintln!("    slapd took {:?} of CPU for it", cpu_time(directory.pid()) - of_slapd);
        }
        let limit = "the same paged search by ldapsearch";
        for (what, unit, target, rounds) in [
            (what, "s", "1 s", rounds),
            ("CPU of the process during such a read, until it is seen", "s of CPU", "-", cpus),
            ("most memory of the whole process during such a read", "MiB", "-", memories),
        ] {
            if !rounds.is_empty() {
                bench.report(About { goal: "size", what, limit, unit, target, parts: json!({}) }, &rounds);
            }
        }
    }
}

/// An unchanged directory is two events.
async fn two_more(server: &Server, head: u64) -> u64 {
    assert_eq!(server.events().await, head + 2, "an unchanged directory is two events");
    head + 2
}

/// One change in the directory, until a token says otherwise.
async fn pushed(bench: &Bench, directory: &Slapd, data: &Path) {
    let server = start(directory, data, "auto", YEARLY).await;
    let id = format!("corp/{}", directory.id_of(0));
    post(&server, "/api/v1/projects", &json!({"name": "tools"}), 201).await;
    let binding = json!({"principal": {"group": id}, "role": "guest", "scope": {"project": "tools"}});
    post(&server, "/api/v1/bindings", &binding, 200).await;
    let user = slapd::user(0);
    let question = ask_token(&user, &server.secret(&user).await, "tools");
    let mut asking = Connection::open(server.port).await;
    let mut changes = directory.changes();
    let mut until = async |how: &str| {
        changes.member(how, 0, 0);
        let start = Instant::now();
        while token(asking.expect(&question, 200).await).1 != (how == "add") {
            assert!(start.elapsed() < LONG, "the change does not get into the decision");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        start.elapsed().as_secs_f64() * 1e3
    };
    // The first one is heard once everything was.
    let (waited, _) = (until("add").await, until("delete").await);
    let (mut rounds, mut p50, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pick(1, ROUNDS) {
        let syncs = sync_times(&server.data, pick(10, 100));
        let mut times = Vec::new();
        for _ in 0..pick(2, 20) {
            times.push(until("add").await);
            times.push(until("delete").await);
        }
        rounds.push(Round { value: percentile(&times, 99.0), limit: percentile(&syncs, 99.0) * 1e3 });
        p50.push(percentile(&times, 50.0));
        all.extend(times);
    }
    let about = About {
        goal: "size",
        what: "p99 from a change handed to ldapmodify to a token that says so",
        limit: "p99 of an fdatasync",
        unit: "ms",
        target: "2 000 ms",
        parts: json!({
            "p50_ms": short(median(&p50)), "p99_of_all_ms": short(percentile(&all, 99.0)), "changes": all.len(),
            "first_heard_after_ms": short(waited), "resident_mib": short(memory(server.pid(), "VmRSS") as f64 / MIB),
            "most_mib": short(memory(server.pid(), "VmHWM") as f64 / MIB),
        }),
    };
    bench.report(about, &rounds);
}
