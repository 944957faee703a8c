//! The five access models: how long a decision takes under each profile at ten million memberships that come from groups,
//! folders and bindings, and how long it takes to see what a change would do. Each beside what the machine can do.
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

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Effort, Place, Principal, Profile, ProjectIx, Roster, UserIx, Verb, decide, preview};
use rollcall_events::{Body, LogId, NewEvent, Position, Recorded, Settings};
use serde_json::json;
use support::{About, Bench, ROUNDS, Random, Round, pick, spent, world::World};

const MEMBERS: u32 = 100;
const PROJECTS: u32 = 100;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap()
}

fn main() {
    let bench = Bench::start("models");
    for model in MODELS {
        decisions(&bench, model, pick(20_000, 10_000_000));
    }
    what_if(&bench, pick(2_000, 1_000_000));
}

/// How a profile's groups come to their projects.
struct Model {
    profile: &'static str,
    role: &'static str,
    /// Folders around a hundred projects, outermost first; the role is given on the innermost. Without one it is given
    /// on each project.
    folders: &'static [&'static str],
}

const MODELS: &[Model] = &[
    Model { profile: "harbor", role: "guest", folders: &[] },
    Model { profile: "portus", role: "viewer", folders: &["team"] },
    Model { profile: "sregistry", role: "collection_contributor", folders: &[] },
    Model { profile: "ibm", role: "Reader", folders: &["region", "resource_group"] },
    Model { profile: "revenera", role: "Guest", folders: &[] },
];

/// A roster in the making.
struct Folding(Roster);

impl Folding {
    fn say(&mut self, source: &str, kind: &str, data: &str) {
        let body = Body::parse(&format!("rollcall.{kind}.v1"), data).unwrap();
        let position = Position(self.0.position().0 + 1);
        let event =
            NewEvent { data: Arc::from(data), ..NewEvent::of(source.parse().unwrap(), format!("e{position}"), &body) };
        let folded = self.0.apply(&Recorded { position, recorded_at: now(), event });
        assert_eq!(folded.effect, Effect::Applied, "{kind} {data}");
    }
}

/// So many groups of a hundred people, each with one role on a hundred projects.
fn world(model: &Model, groups: u32) -> Roster {
    let mut world = Folding(Roster::new(LogId([3; 8])));
    let profile = Profile::bundled(model.profile).unwrap();
    world.say("local", "profile.set", &serde_json::to_string(profile.document()).unwrap());
    for group in 0..groups {
        world.say("corp", "group.upserted", &format!(r#"{{"group":"g{group}"}}"#));
        for member in 0..MEMBERS {
            let person = group * MEMBERS + member;
            world.say(
                "corp",
                "person.upserted",
                &format!(r#"{{"person":"p{person}","username":"user{person}","account":null,"active":true}}"#),
            );
            world.say(
                "corp",
                "group.member.added",
                &format!(r#"{{"group":"g{group}","member":{{"person":"p{person}"}}}}"#),
            );
        }
        let mut inner = "null".to_owned();
        for kind in model.folders {
            world.say(
                "local",
                "folder.upserted",
                &format!(r#"{{"folder":"{}-{group}","kind":"{kind}","parent":{inner}}}"#, kind.replace('_', "-")),
            );
            inner = format!("\"{}-{group}\"", kind.replace('_', "-"));
        }
        let bind = |world: &mut Folding, scope: String| {
            let role = model.role;
            world.say(
                "local",
                "binding.set",
                &format!(
                    r#"{{"principal":{{"group":"corp/g{group}"}},"role":"{role}","scope":{scope},"author":"admin key"}}"#
                ),
            );
        };
        for n in 0..PROJECTS {
            let project = format!("{group}-{n}");
            world.say(
                "local",
                "project.created",
                &format!(
                    r#"{{"project":"j{project}","name":"project-{project}","kind":"standard","visibility":"private","folder":{inner}}}"#
                ),
            );
            if model.folders.is_empty() {
                bind(&mut world, format!(r#"{{"project":"local/j{project}"}}"#));
            }
        }
        if !model.folders.is_empty() {
            bind(&mut world, format!(r#"{{"folder":{inner}}}"#));
        }
    }
    world.0
}

/// P4 under each profile: a decision against one look-up in a hash map with as many entries as there are memberships.
fn decisions(bench: &Bench, model: &Model, memberships: u32) {
    let groups = (memberships / (MEMBERS * PROJECTS)).max(1);
    let roster = world(model, groups);
    let asked: u32 = pick(2_000, 500_000);
    let mut random = Random::new(17);
    let pull = roster.profile().registry_action(Verb::Pull).unwrap();
    let key = |person: u32, project: u32| u64::from(person) << 32 | u64::from(project);
    let mut pairs = HashMap::<u64, u32>::with_capacity(memberships as usize);
    for person in 0..groups * MEMBERS {
        for n in 0..PROJECTS {
            let project = person / MEMBERS * PROJECTS + n;
            pairs.insert(key(person, project), project);
        }
    }
    let questions: Vec<(u32, u32)> = (0..asked)
        .map(|_| {
            let person = random.below(groups * MEMBERS);
            (person, person / MEMBERS * PROJECTS + random.below(PROJECTS))
        })
        .collect();
    let resolved: Vec<(UserIx, ProjectIx)> = questions
        .iter()
        .map(|(person, project)| {
            let name = format!("project-{}-{}", project / PROJECTS, project % PROJECTS);
            let user = roster.user_by_name(&format!("user{person}")).unwrap();
            (user, roster.project_by_name(&name).unwrap())
        })
        .collect();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (hash, found) = spent(|| questions.iter().filter(|(a, b)| pairs.contains_key(&key(*a, *b))).count());
        let (took, yes) = spent(|| {
            resolved
                .iter()
                .filter(|(user, project)| decide(&roster, Principal::User(*user), pull, *project, now()).is_allowed())
                .count()
        });
        assert_eq!((found, yes), (asked as usize, asked as usize), "a member was refused");
        let ns = |seconds: f64| seconds / f64::from(asked) * 1e9;
        rounds.push(Round { value: ns(took), limit: ns(hash) });
    }
    let about = About {
        goal: "P4",
        what: &format!("an access decision through a group, profile {}", model.profile),
        limit: "one hit in a HashMap<u64, u32> of as many entries",
        unit: "ns of CPU",
        target: "<= 2 x and <= 200 ns at 10 M",
        parts: json!({
            "memberships": pairs.len(), "groups": groups, "folders": model.folders.len(),
            "bindings_of_a_group": if model.folders.is_empty() { PROJECTS } else { 1 },
        }),
    };
    bench.report(about, &rounds);
}

/// A preview of a change that touches everybody, and of one that touches one project, against deciding once for every
/// membership before and after it.
fn what_if(bench: &Bench, memberships: u32) {
    let world = World::of_memberships(memberships);
    let mut roster = Roster::new(LogId([7; 8]));
    for record in world.records() {
        assert_eq!(roster.apply(&record).effect, Effect::Applied);
    }
    let mut settings: Settings = roster.settings().clone();
    settings.bindings_on_managed = true;
    let mut folding = Folding(roster);
    folding.say("local", "settings.set", &serde_json::to_string(&settings).unwrap());
    let roster = folding.0;
    settings.consumer_role = Some("Developer".to_owned());
    let everybody = [Body::SettingsSet(settings)];
    let binding = r#"{"principal":{"user":"licences/p0"},"role":"Developer","scope":{"project":"licences/K0"},"author":"admin key"}"#;
    let one = [Body::parse("rollcall.binding.set.v1", binding).unwrap()];
    let pull = roster.profile().registry_action(Verb::Pull).unwrap();
    let pairs: Vec<(UserIx, ProjectIx)> = (0..world.people())
        .flat_map(|person| (0..10).map(move |n| (person, n)))
        .map(|(person, n)| {
            let project = World::project_name(world.project_of(person, n % 5, n / 5));
            (roster.user_by_name(&World::user_name(person)).unwrap(), roster.project_by_name(&project).unwrap())
        })
        .collect();
    for (commands, what, target) in [
        (&everybody, "what-if of a setting that changes every membership", "<= 10 x"),
        (&one, "what-if of one binding", "<= 1 x"),
    ] {
        let mut rounds = Vec::new();
        let mut rows = 0;
        for _ in 0..ROUNDS.min(3) {
            let (limit, yes) = spent(|| {
                let twice = pairs.iter().chain(&pairs);
                twice
                    .filter(|(user, project)| {
                        decide(&roster, Principal::User(*user), pull, Place::Project(*project), now()).is_allowed()
                    })
                    .count()
            });
            assert_eq!(yes, 2 * pairs.len());
            let (value, told) = spent(|| preview(&roster, commands, now(), &Effort::unbounded()).unwrap());
            assert_eq!(told.effects, [Effect::Applied]);
            rows = told.memberships.len();
            assert!(rows > 0, "nothing would change");
            rounds.push(Round { value, limit });
        }
        let about = About {
            goal: "what-if",
            what,
            limit: "a decision for every membership, twice",
            unit: "s of CPU",
            target,
            parts: json!({"memberships": world.memberships(), "rows": rows}),
        };
        bench.report(about, &rounds);
    }
}
