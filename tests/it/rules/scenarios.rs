//! The scenario files: facts in, memberships, users and answers out. One runner for all of them; each runs live,
//! replayed, from a snapshot and its tail, read back from the embedded log, and, where order means nothing, shuffled and
//! doubled. Knows the file format; knows no rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use rollcall_access::{Change, Effect, Profile, Roster, membership_digest};
use rollcall_events::{Body, Digest, LogId, NewEvent, Order, Position, Recorded, Settings, SourceName, SourceSettings};
use serde::Deserialize;

use super::expect;
use crate::support::{
    facts::{Clerk, Fact},
    random::Random,
};

const NOW: &str = "2026-03-01T12:00:00Z";
pub const LOG: LogId = LogId([7; 8]);

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    title: String,
    /// Why the order of the facts matters here. Absent: it does not, and the runner proves it.
    fixed_order: Option<String>,
    /// The access profile; Revenera's when absent.
    pub profile: Option<String>,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    sources: BTreeMap<SourceName, String>,
    now: Option<DateTime<Utc>>,
    pub facts: Option<String>,
    pub expect: Vec<String>,
    #[serde(default)]
    pub then: Vec<Step>,
}

/// What happens next, and what holds after it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    now: Option<DateTime<Utc>>,
    pub facts: Option<String>,
    pub expect: Vec<String>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios")
}

/// Every scenario by the name of its file.
pub fn all() -> BTreeMap<String, File> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            files.insert(name.clone(), toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")));
        }
    }
    assert!(files.len() > 30);
    files
}

/// Settings and profile as the first two events of a log.
pub fn opening(settings: &Settings, profile: &str) -> Vec<NewEvent> {
    let local = |id: &str, body: Body| NewEvent::of(SourceName::local(), id, &body);
    let profile = Profile::bundled(profile).unwrap_or_else(|| panic!("there is no profile {profile}"));
    let document = serde_json::value::to_raw_value(profile.document()).unwrap();
    vec![
        local("settings", Body::SettingsSet(settings.clone())),
        local("profile", Body::ProfileSet(rollcall_events::body::ProfileDocument(document))),
    ]
}

/// Gives events their places in a log.
pub fn recorded(events: impl IntoIterator<Item = NewEvent>) -> Vec<Recorded> {
    let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    let place = |(n, event): (u64, NewEvent)| Recorded {
        position: Position(n),
        recorded_at: start + chrono::Duration::milliseconds(i64::try_from(n).unwrap()),
        event,
    };
    (1..).zip(events).map(place).collect()
}

/// A roster, and what its fold said on the way.
pub struct World {
    pub roster: Roster,
    parked: BTreeSet<(String, String)>,
}

impl World {
    pub fn new() -> Self {
        Self { roster: Roster::new(LOG), parked: BTreeSet::new() }
    }

    pub fn apply(&mut self, record: &Recorded) -> Effect {
        let folded = self.roster.apply(record);
        for change in &folded.changes {
            if let Change::Parked { source, subject, reason } = change {
                let key = (source.to_string(), subject.to_string());
                match reason {
                    Some(_) => self.parked.insert(key),
                    None => self.parked.remove(&key),
                };
            }
        }
        folded.effect
    }

    pub fn fold(records: &[Recorded]) -> Self {
        let mut world = Self::new();
        for record in records {
            world.apply(record);
        }
        world
    }

    fn through_snapshot(self) -> Self {
        let roster = Roster::from_snapshot(&self.roster.to_snapshot()).unwrap();
        Self { roster, parked: self.parked }
    }

    pub fn digest(&self, now: DateTime<Utc>) -> Digest {
        membership_digest(&self.roster, now)
    }

    fn check(&self, expectation: &str, now: DateTime<Utc>) -> Result<(), String> {
        expect::check(&self.roster, &self.parked, expectation, now)
    }
}

/// A scenario ready to run: per step its events, its time and what it expects.
pub struct Script {
    name: String,
    fixed_order: bool,
    opening: Vec<NewEvent>,
    steps: Vec<(Vec<Fact>, DateTime<Utc>, Vec<String>)>,
}

impl Script {
    pub fn of(name: &str, file: &File) -> Self {
        let mut sources = file.sources.clone();
        if sources.is_empty() {
            sources.insert("flexnet".parse().unwrap(), "version".to_owned());
        }
        let mut settings = file.settings.clone();
        for (source, how) in &sources {
            let (order, authoritative) =
                how.split_once(", ").map_or((how.as_str(), false), |(o, a)| (o, a == "authoritative"));
            let order: Order = serde_json::from_value(order.into()).unwrap_or_else(|e| panic!("{name}: {source}: {e}"));
            settings.sources.insert(source.clone(), SourceSettings { order, authoritative });
        }
        let orders = settings.sources.iter().map(|(name, s)| (name.to_string(), s.order)).collect();
        let mut clerk = Clerk::new(orders).with_settings(&settings);
        let mut now = NOW.parse().unwrap();
        let mut steps = Vec::new();
        let first = (file.now, &file.facts, &file.expect);
        for (at, facts, expect) in std::iter::once(first).chain(file.then.iter().map(|s| (s.now, &s.facts, &s.expect)))
        {
            now = at.unwrap_or(now);
            steps.push((clerk.facts(facts.as_deref().unwrap_or_default()), now, expect.clone()));
        }
        let opening = opening(&settings, file.profile.as_deref().unwrap_or("revenera"));
        Self { name: name.to_owned(), fixed_order: file.fixed_order.is_some(), opening, steps }
    }

    /// All events in the order of the file.
    pub fn events(&self) -> Vec<NewEvent> {
        let facts = self.steps.iter().flat_map(|(facts, ..)| facts.iter().map(|fact| fact.event.clone()));
        self.opening.iter().cloned().chain(facts).collect()
    }

    fn end(&self) -> (DateTime<Utc>, &[String]) {
        let (_, now, expect) = self.steps.last().unwrap();
        (*now, expect)
    }

    fn expect(&self, world: &World, how: &str, now: DateTime<Utc>, expect: &[String]) {
        for expectation in expect {
            if let Err(instead) = world.check(expectation, now) {
                panic!("{}, {how}: expected `{expectation}` at {now}, but {instead}", self.name);
            }
        }
    }

    /// Event by event, each step's expectations after its events. With `snapshots`, through a snapshot each time.
    fn live(&self, how: &str, snapshots: Snapshots) -> World {
        let mut records = recorded(self.events()).into_iter();
        let mut world = World::new();
        for record in records.by_ref().take(self.opening.len()) {
            world.apply(&record);
        }
        for (facts, now, expect) in &self.steps {
            for fact in facts {
                let effect = world.apply(&records.next().unwrap());
                if let Some(expected) = &fact.effect {
                    let (name, line) = (&self.name, &fact.line);
                    let (word, why) = expected.split_once(": ").unwrap_or((expected, ""));
                    let told = effect.reason().unwrap_or_default().contains(why);
                    assert!(effect.as_str() == word && told, "{name}, {how}: `{line}` was {effect:?}");
                }
                if snapshots == Snapshots::AfterEachEvent {
                    world = world.through_snapshot();
                }
            }
            self.expect(&world, how, *now, expect);
        }
        world
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshots {
    None,
    AfterEachEvent,
}

fn each(run: impl Fn(&Script)) {
    let mut failures = Vec::new();
    for (name, file) in all() {
        assert!(file.title.len() > 10 && !file.expect.is_empty(), "{name} says nothing");
        let script = Script::of(&name, &file);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&script)));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into());
            failures.push(format!("{name}: {text}"));
        }
    }
    assert!(failures.is_empty(), "{} scenarios fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_scenario_holds_live() {
    each(|script| {
        script.live("live", Snapshots::None);
    });
}

#[test]
fn every_scenario_holds_from_a_snapshot_and_its_tail() {
    each(|script| {
        let live = script.live("live", Snapshots::None);
        let kept = script.live("from snapshots", Snapshots::AfterEachEvent);
        let (now, _) = script.end();
        assert_eq!(live.digest(now), kept.digest(now), "{}", script.name);
        assert_eq!(
            live.roster.to_snapshot(),
            kept.roster.to_snapshot(),
            "{}: a snapshot is not what it was made of",
            script.name
        );
    });
}

#[test]
fn every_scenario_holds_replayed() {
    each(|script| {
        let (now, expect) = script.end();
        let live = script.live("live", Snapshots::None);
        let replayed = World::fold(&recorded(script.events()));
        script.expect(&replayed, "replayed", now, expect);
        assert_eq!(live.digest(now), replayed.digest(now), "{}", script.name);
    });
}

/// Promise 2: duplicates and any order of facts that carry an order key give the byte-identical membership.
#[test]
fn every_scenario_holds_in_any_order_with_duplicates() {
    each(|script| {
        let (now, expect) = script.end();
        let digest = World::fold(&recorded(script.events())).digest(now);
        let facts: Vec<NewEvent> = script.events().split_off(script.opening.len());
        assert!(
            script.fixed_order || facts.iter().all(|e| e.sequence.is_some() || e.time.is_some()),
            "{}: a fact without an order key takes `fixed_order = \"why\"`",
            script.name
        );
        let mut random = Random(1);
        for round in 0..24_u64 {
            let mut order = facts.clone();
            if !script.fixed_order {
                match round {
                    0 => order.reverse(),
                    _ => random.shuffle(&mut order),
                }
            }
            // A replay: what was said is said again, under ids that the log has not seen.
            for n in 0..=random.below(4) {
                let again = random.below(order.len());
                let at = if script.fixed_order { again } else { random.below(order.len()) };
                let mut event = order[again].clone();
                if event.key.source.is_local() || event.sequence.or(event.time.map(|_| 0)).is_none() {
                    continue;
                }
                event.key.id = format!("again-{round}-{n}").into();
                order.insert(at + usize::from(script.fixed_order), event);
            }
            let world = World::fold(&recorded(script.opening.iter().cloned().chain(order.iter().cloned())));
            let told: Vec<String> =
                order.iter().map(|e| format!("{} {} @{:?}", e.kind, e.subject, e.sequence)).collect();
            let how = format!("in this order:\n  {}\n", told.join("\n  "));
            // A user or project that a later removal overtook was never in force, so it may not exist at all.
            let lasting = |line: &&String| {
                !line.ends_with(" exists") && !line.ends_with(" shut out") && !line.starts_with("project ")
            };
            let expect: Vec<String> = expect.iter().filter(lasting).cloned().collect();
            script.expect(&world, &how, now, &expect);
            assert_eq!(world.digest(now), digest, "{}, {how}", script.name);
        }
    });
}

struct Still;

impl rollcall_events::Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        NOW.parse().unwrap()
    }
}

/// The log keeps what it was told: every scenario through the embedded log, a batch per step, read back from the beginning.
#[tokio::test]
async fn every_scenario_holds_read_back_from_the_embedded_log() {
    use futures_util::StreamExt;
    use rollcall_eventlog::{Append, EngineConfig, Log, Outcome, Tail};
    let dir = crate::support::Dir::new();
    for (name, file) in all() {
        let script = Script::of(&name, &file);
        let folder = dir.join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let log = Log::open(&EngineConfig::Embedded { dir: folder }, std::sync::Arc::new(Still)).await.unwrap();
        let batches = std::iter::once(script.opening.clone())
            .chain(script.steps.iter().map(|(facts, ..)| facts.iter().map(|fact| fact.event.clone()).collect()));
        let mut told = 0;
        for batch in batches.filter(|batch| !batch.is_empty()) {
            for outcome in log.append(batch.clone()).await.unwrap() {
                assert!(matches!(outcome, Outcome::Recorded(_)), "{name}");
                told += 1;
            }
            for outcome in log.append(batch).await.unwrap() {
                assert!(matches!(outcome, Outcome::Duplicate(_)), "{name}");
            }
        }
        let mut world = World { roster: Roster::new(Tail::log_id(&log)), parked: BTreeSet::new() };
        let mut pages = log.read(Position(0), 7);
        while told > 0 {
            for record in pages.next().await.unwrap().unwrap().iter() {
                world.apply(record);
                told -= 1;
            }
        }
        let (now, expect) = script.end();
        script.expect(&world, "read back", now, expect);
        assert_eq!(world.digest(now), World::fold(&recorded(script.events())).digest(now), "{name}");
    }
}
