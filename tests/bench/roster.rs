//! The roster: how long a decision and an explanation take, what a membership weighs, how quickly events fold, and how
//! quickly a snapshot is a roster again. Each beside what the machine can do at best.
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

use std::{collections::HashMap, fs, hint::black_box, path::Path, process::Command, time::Instant};

use chrono::{DateTime, Utc};
use rollcall_access::{ActionSet, Principal, ProjectIx, Roster, UserIx, Verb, decide, explain};
use rollcall_events::{Digest, LogId, Position};
use serde_json::{Value, json};
use support::{About, Bench, ROUNDS, Random, Round, memory, percentile, pick, short, spent, world::World};

const NOW: i64 = 1_795_000_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, part, memberships, file] = &args[..] {
        return alone(part, World::of_memberships(memberships.parse().unwrap()), Path::new(file));
    }
    let bench = Bench::start("roster");
    for memberships in pick(vec![2_000], vec![1_000_000, 10_000_000]) {
        let world = World::of_memberships(memberships);
        let file = bench.dir.path().join(format!("roster-{memberships}"));
        let folded = child("fold", memberships, &file);
        memory_of(&bench, world, memberships, &file, &folded);
        let roster = Roster::from_snapshot(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(roster.projects().count(), world.projects() as usize, "projects are missing");
        decisions(&bench, world, &roster);
        if memberships <= 1_000_000 {
            explanations(&bench, world, &roster);
        }
        drop(roster);
        restart(&bench, world, &file);
    }
}

/// A part that is measured in a process of its own, because memory that was used once is seldom given back.
fn alone(part: &str, world: World, file: &Path) {
    let me = std::process::id();
    let before = memory(me, "VmRSS");
    let rss = |value: &dyn std::any::Any| {
        black_box(value);
        memory(me, "VmRSS").saturating_sub(before)
    };
    let mut out = json!({});
    match part {
        "fold" => {
            let mut roster = Roster::new(LogId([7; 8]));
            let (mut seconds, mut events) = (0.0, 0_u64);
            let mut records = world.records();
            loop {
                let some: Vec<_> = records.by_ref().take(10_000).collect();
                if some.is_empty() {
                    break;
                }
                events += some.len() as u64;
                seconds += spent(|| {
                    for record in &some {
                        let folded = roster.apply(record);
                        assert!(folded.effect == rollcall_access::Effect::Applied, "{:?} of {record:?}", folded.effect);
                    }
                })
                .0;
            }
            out = json!({"rss": rss(&roster), "events": events, "rate": events as f64 / seconds});
            fs::write(file, roster.to_snapshot()).unwrap();
        }
        "restore" => {
            let roster = Roster::from_snapshot(&fs::read(file).unwrap()).unwrap();
            out["rss"] = json!(rss(&roster));
            out["peak"] = json!(memory(me, "VmHWM").saturating_sub(before));
        }
        "names" => {
            let mut names = Arena::default();
            for person in 0..world.people() {
                names.add(&format!("p{person}"));
                names.add(&World::user_name(person));
            }
            for other in 0..world.names().saturating_sub(2 * u64::from(world.people())) {
                names.add(&format!("K{other}"));
            }
            out["rss"] = json!(rss(&names));
        }
        "pairs" => {
            let mut rows: Vec<u32> = Vec::new();
            let mut ends: Vec<u32> = Vec::new();
            for person in 0..world.people() {
                for line in 0..5 {
                    rows.extend([world.project_of(person, line, 0), world.project_of(person, line, 1)]);
                }
                ends.push(rows.len() as u32);
            }
            rows.shrink_to_fit();
            out["rss"] = json!(rss(&(rows, ends)));
        }
        other => panic!("no part {other}"),
    }
    println!("{out}");
}

/// Names as tightly as they can be kept and still found: one text, ends, a table of indexes.
#[derive(Default)]
struct Arena {
    text: String,
    ends: Vec<u32>,
    table: hashbrown::HashTable<u32>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Arena {
    fn add(&mut self, name: &str) {
        use std::hash::BuildHasher;
        let Self { text, ends, table, hasher } = self;
        let ix = ends.len() as u32;
        text.push_str(name);
        ends.push(text.len() as u32);
        let hash = |ix: &u32| {
            let start = ix.checked_sub(1).map_or(0, |before| ends[before as usize]) as usize;
            hasher.hash_one(&text[start..ends[*ix as usize] as usize])
        };
        table.insert_unique(hash(&ix), ix, hash);
    }
}

fn child(part: &str, memberships: u32, file: &Path) -> Value {
    let out = Command::new(std::env::current_exe().unwrap())
        .args([part, &memberships.to_string()])
        .arg(file)
        .output()
        .unwrap();
    assert!(out.status.success(), "{part}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// P11: bytes a membership, against the tightest pairs and names.
fn memory_of(bench: &Bench, world: World, memberships: u32, file: &Path, folded: &Value) {
    let [restored, names, pairs] = ["restore", "names", "pairs"].map(|part| child(part, memberships, file));
    let of = |value: &Value, what: &str| value[what].as_f64().unwrap_or_default();
    let count = world.memberships() as f64;
    let (rss, names, pairs) = (of(&restored, "rss"), of(&names, "rss"), of(&pairs, "rss"));
    let round = Round { value: rss / count, limit: (names + pairs) / count };
    let parts = json!({
        "memberships": world.memberships(), "people": world.people(), "projects": world.projects(),
        "names": world.names(), "hot_bytes": short((rss - names) / count), "names_bytes": short(names / count),
        "folded_bytes": short(of(folded, "rss") / count), "peak_bytes": short(of(&restored, "peak") / count),
        "snapshot_bytes": short(fs::metadata(file).unwrap().len() as f64 / count),
        "fold_events_per_s": short(of(folded, "rate")), "events": folded["events"],
    });
    let about = About {
        goal: "P11",
        what: "resident memory, by the membership",
        limit: "sorted pairs and a name arena, resident",
        unit: "bytes",
        target: "<= 1.5 x; hot 8 bytes, with names 40",
        parts,
    };
    bench.report(about, &[round]);
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

/// P4: a decision against one look-up in a hash map with as many entries as there are memberships.
fn decisions(bench: &Bench, world: World, roster: &Roster) {
    let asked: u32 = pick(2_000, 1_000_000);
    let mut random = Random::new(11);
    let pull = roster.profile().registry_action(Verb::Pull).unwrap();
    let projects: Vec<ProjectIx> =
        (0..world.projects()).map(|n| roster.project_by_name(&World::project_name(n)).unwrap()).collect();
    let users: Vec<UserIx> = (0..world.people()).map(|n| roster.user_by_name(&World::user_name(n)).unwrap()).collect();
    let mut pairs = HashMap::<u64, u32>::with_capacity(world.memberships() as usize);
    let mut quick = hashbrown::HashMap::<u64, u32>::with_capacity(world.memberships() as usize);
    let key = |person: u32, project: u32| u64::from(person) << 32 | u64::from(project);
    for person in 0..world.people() {
        for line in 0..5 {
            for package in 0..2 {
                let project = world.project_of(person, line, package);
                pairs.insert(key(person, project), project);
                quick.insert(key(person, project), project);
            }
        }
    }
    let hits: Vec<(u32, u32)> = (0..asked)
        .map(|_| {
            let person = random.below(world.people());
            (person, world.project_of(person, random.below(5), random.below(2)))
        })
        .collect();
    let any: Vec<(u32, u32)> =
        (0..asked).map(|_| (random.below(world.people()), random.below(world.projects()))).collect();
    let keys: Vec<u64> = hits.iter().map(|(person, project)| key(*person, *project)).collect();
    let resolve = |asked: &[(u32, u32)]| -> Vec<(UserIx, ProjectIx)> {
        asked.iter().map(|(person, project)| (users[*person as usize], projects[*project as usize])).collect()
    };
    let (hits, any) = (resolve(&hits), resolve(&any));
    let mut rounds = [Vec::new(), Vec::new()];
    let mut hashbrown = Vec::new();
    for _ in 0..ROUNDS {
        let (hash, found) = spent(|| keys.iter().filter_map(|key| pairs.get(key)).count());
        assert_eq!(found, asked as usize);
        let (quick, found) = spent(|| keys.iter().filter_map(|key| quick.get(key)).count());
        assert_eq!(found, asked as usize);
        let (hit, yes) = spent(|| allowed(roster, &hits, pull));
        assert_eq!(yes, asked as usize, "a customer was refused");
        let (miss, yes) = spent(|| allowed(roster, &any, pull));
        assert!(yes < asked as usize / 2, "strangers were let in");
        let ns = |seconds: f64| seconds / f64::from(asked) * 1e9;
        hashbrown.push(ns(quick));
        rounds[0].push(Round { value: ns(hit), limit: ns(hash) });
        rounds[1].push(Round { value: ns(miss), limit: ns(hash) });
    }
    for (rounds, what) in rounds.iter().zip(["an access decision, allowed", "an access decision, random pair"]) {
        let about = About {
            goal: "P4",
            what,
            limit: "one hit in a HashMap<u64, u32> of as many entries",
            unit: "ns of CPU",
            target: "<= 2 x and <= 200 ns at 10 M",
            parts: json!({"memberships": world.memberships(), "hashbrown_hit_ns": short(support::median(&hashbrown))}),
        };
        bench.report(about, rounds);
    }
}

fn allowed(roster: &Roster, asked: &[(UserIx, ProjectIx)], actions: ActionSet) -> usize {
    let now = now();
    asked
        .iter()
        .filter(|(user, project)| decide(roster, Principal::User(*user), actions, *project, now).is_allowed())
        .count()
}

/// How long `explain` takes for a denial, against the decision alone.
fn explanations(bench: &Bench, world: World, roster: &Roster) {
    let mut random = Random::new(5);
    let push = roster.profile().registry_action(Verb::Push).unwrap();
    // Entitled people who may not push: the longest answer, with near misses.
    let asked: Vec<(UserIx, ProjectIx)> = (0..pick(50, 1_000))
        .map(|_| {
            let person = random.below(world.people());
            let project = world.project_of(person, random.below(5), random.below(2));
            let project = if random.below(2) == 0 { project } else { random.below(world.projects()) };
            (
                roster.user_by_name(&World::user_name(person)).unwrap(),
                roster.project_by_name(&World::project_name(project)).unwrap(),
            )
        })
        .collect();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let each = |ask: &dyn Fn(UserIx, ProjectIx) -> bool| -> Vec<f64> {
            asked
                .iter()
                .map(|(user, project)| {
                    let start = Instant::now();
                    assert!(!ask(*user, *project), "a customer may push");
                    start.elapsed().as_secs_f64() * 1e6
                })
                .collect()
        };
        let plain = each(&|user, project| decide(roster, Principal::User(user), push, project, now()).is_allowed());
        let full = each(&|user, project| {
            let explanation = explain(roster, Principal::User(user), push, project, now());
            black_box(&explanation);
            decide(roster, Principal::User(user), push, project, now()).is_allowed()
        });
        rounds.push(Round { value: percentile(&full, 99.0), limit: percentile(&plain, 99.0) });
    }
    let about = About {
        goal: "explain",
        what: "p99 of an explained denial, in process",
        limit: "p99 of the decision alone",
        unit: "us",
        target: "50 000 us at 1 M memberships",
        parts: json!({"memberships": world.memberships()}),
    };
    bench.report(about, &rounds);
}

/// P10: from a snapshot file to a roster that answers, against reading the file and checking its sum.
fn restart(bench: &Bench, world: World, file: &Path) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (limit, digest) = spent(|| Digest::of(&fs::read(file).unwrap()));
        black_box(digest);
        let (value, roster) = spent(|| Roster::from_snapshot(&fs::read(file).unwrap()).unwrap());
        assert!(roster.position() > Position(0));
        rounds.push(Round { value, limit });
    }
    let about = About {
        goal: "P10",
        what: "snapshot file to roster",
        limit: "reading the file and its SHA-256",
        unit: "s of CPU",
        target: "<= 2 x; 1 s at 5 M memberships",
        parts: json!({"memberships": world.memberships(), "snapshot_mb": fs::metadata(file).unwrap().len() >> 20}),
    };
    bench.report(about, &rounds);
}
