//! What a preview says is what the apply does, row for row: held against two whole tables, made from the roster before
//! and after, on random worlds of groups, folders, projects and services.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rollcall_events::{Body, LogId, NewEvent, Settings};

use crate::{
    decide::decide,
    effort::Effort,
    fold::change::Effect,
    profile::Profile,
    questions::members::members,
    roster::{
        Roster,
        handles::{Place, Principal},
    },
    suite::histories::{body, fold_next, next_id, noon},
    what_if::preview::{NamedScope, preview},
};

fn say(roster: &mut Roster, source: &str, body: &Body) -> Effect {
    let event = NewEvent::of(source.parse().unwrap(), next_id(roster), body);
    fold_next(roster, NewEvent { time: Some(noon()), ..event }, noon())
}

/// One command or fact, made from three numbers.
fn event(level: &str, roles: &[String], [kind, a, b, c]: [u8; 4]) -> (&'static str, Body) {
    let role = &roles[usize::from(c) % roles.len()];
    let principal = match a % 3 {
        0 => format!(r#"{{"user":"corp/p{}"}}"#, b % 4),
        1 => format!(r#"{{"group":"{}/g{}"}}"#, if b % 2 == 0 { "corp" } else { "local" }, b % 3),
        _ => format!(r#"{{"service":"s{}"}}"#, b % 2),
    };
    let scope = match (a / 3) % 4 {
        0 => "\"root\"".to_owned(),
        1 => format!(r#"{{"folder":"c{}"}}"#, (c / 7) % 2),
        _ => format!(r#"{{"project":"local/j{}"}}"#, (c / 7) % 3),
    };
    let project = || {
        let visibility = ["private", "public", "private", "protected"][usize::from(b % 4)];
        let folder = if c % 2 == 0 { "null".to_owned() } else { format!("\"c{}\"", c % 3) };
        let creator = format!("corp/p{}", c % 4);
        let (id, name) = (a % 3, (a / 3) % 4);
        format!(
            r#"{{"project":"j{id}","name":"n{name}","kind":"standard","visibility":"{visibility}","folder":{folder},"creator":"{creator}"}}"#
        )
    };
    let member = match a % 3 {
        0 => format!(r#"{{"person":"corp/p{}"}}"#, b % 4),
        1 => format!(r#"{{"group":"{}/g{}"}}"#, if b % 2 == 0 { "corp" } else { "local" }, b % 3),
        _ => format!(r#"{{"service":"s{}"}}"#, b % 2),
    };
    let set = format!(r#"{{"principal":{principal},"role":"{role}","scope":{scope},"author":"admin key"}}"#);
    match kind % 16 {
        0..=3 => ("local", body("binding.set", &set)),
        4 => ("local", body("binding.removed", &set)),
        5 => ("local", body("project.created", &project())),
        6 => ("local", body("project.updated", &project())),
        7 => ("local", body("project.deleted", &format!(r#"{{"project":"j{}"}}"#, a % 3))),
        8 => ("local", body("folder.upserted", &format!(r#"{{"folder":"c{}","kind":"{level}"}}"#, a % 2))),
        9 => ("local", body("folder.removed", &format!(r#"{{"folder":"c{}"}}"#, a % 2))),
        10 => ("local", body("group.upserted", &format!(r#"{{"group":"g{}"}}"#, a % 3))),
        11 => ("local", body("group.removed", &format!(r#"{{"group":"g{}"}}"#, a % 3))),
        12 => ("local", body("group.member.added", &format!(r#"{{"group":"g{}","member":{member}}}"#, c % 3))),
        13 => ("local", body("group.member.removed", &format!(r#"{{"group":"g{}","member":{member}}}"#, c % 3))),
        14 if a % 2 == 0 => ("local", body("service.created", &format!(r#"{{"service":"s{}"}}"#, b % 2))),
        14 => ("local", body("service.removed", &format!(r#"{{"service":"s{}"}}"#, b % 2))),
        _ if a % 3 == 0 => {
            let switches = BTreeMap::from([("push_policy".to_owned(), "admin-only".to_owned())]);
            ("local", Body::SettingsSet(Settings { switches, ..Settings::default() }))
        }
        _ if a % 3 == 1 => {
            let name = ["harbor", "portus", "ibm"][usize::from(b % 3)];
            let text = serde_json::to_string(Profile::bundled(name).unwrap().document()).unwrap();
            ("local", body("profile.set", &text))
        }
        _ => (
            "local",
            body("identity.linked", r#"{"persons":[{"source":"corp","person":"p0"},{"source":"corp","person":"p1"}]}"#),
        ),
    }
}

/// Who may do what, everywhere: (scope, name) to roles and to actions, by the slow way.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    roles: BTreeSet<(NamedScope, String, String)>,
    actions: BTreeMap<(NamedScope, String), BTreeSet<String>>,
}

fn whole(roster: &Roster, names: &Roster, callers: &BTreeSet<Principal>) -> Whole {
    let mut all = Whole::default();
    for place in roster.places_below(Place::Root) {
        let scope = names.named_scope(place);
        for caller in callers {
            let name = if *caller == Principal::Anyone { "anyone".to_owned() } else { roster.caller_names(*caller).1 };
            let can: BTreeSet<String> = roster
                .profile()
                .actions()
                .filter(|(_, action)| decide(roster, *caller, *action, place, noon()).is_allowed())
                .map(|(name, _)| name.to_owned())
                .collect();
            all.actions.insert((scope.clone(), name), can);
        }
        if let Place::Project(project) = place {
            for member in members(roster, project, noon()) {
                all.roles.insert((scope.clone(), member.name, member.role));
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_preview_says_is_what_the_apply_does(
        profile in 0..3_usize,
        past in prop::collection::vec(any::<[u8; 4]>(), 0..40),
        next in prop::collection::vec(any::<[u8; 4]>(), 1..4),
    ) {
        let (name, level) = [("harbor", "system"), ("portus", "team"), ("ibm", "region")][profile];
        let profile = Profile::bundled(name).unwrap();
        let roles: Vec<String> = profile.roles().map(|role| profile.role_name(role).to_owned()).collect();
        let mut roster = Roster::new(LogId([1; 8]));
        say(&mut roster, "local", &body("profile.set", &serde_json::to_string(profile.document()).unwrap()));
        for person in 0..4 {
            say(&mut roster, "corp", &body("person.upserted", &format!(r#"{{"person":"p{person}","account":null,"active":true}}"#)));
        }
        for group in 0..3 {
            say(&mut roster, "corp", &body("group.upserted", &format!(r#"{{"group":"g{group}"}}"#)));
            say(&mut roster, "corp", &body("group.member.added", &format!(r#"{{"group":"g{group}","member":{{"person":"p{group}"}}}}"#)));
            say(&mut roster, "corp", &body("group.member.added", &format!(r#"{{"group":"g{group}","member":{{"group":"g{}"}}}}"#, (group + 1) % 3)));
        }
        for numbers in past {
            let (source, body) = event(level, &roles, numbers);
            say(&mut roster, source, &body);
        }
        let commands: Vec<Body> = next.into_iter().map(|numbers| event(level, &roles, numbers).1).collect();
        let told = preview(&roster, &commands, noon(), &Effort::unbounded()).unwrap();
        let before_digest = roster.to_snapshot();
        let mut after = roster.clone();
        let effects: Vec<Effect> = commands.iter().map(|command| say(&mut after, "local", command)).collect();
        prop_assert_eq!(&told.effects, &effects);
        prop_assert_eq!(before_digest, roster.to_snapshot(), "a preview changed the roster");

        // One caller of every kind that there is before or after, and somebody signed in without any role.
        let callers: BTreeSet<Principal> = [&roster, &after]
            .into_iter()
            .flat_map(|roster| roster.users().map(Principal::User).chain(roster.services().map(Principal::Service)))
            .chain(Some(Principal::Anyone))
            .filter(|caller| !matches!(caller, Principal::User(user) if after.user_by_id(&after.user_id(*user)) != Some(*user)))
            .collect();
        let (had, has) = (whole(&roster, &after, &callers), whole(&after, &after, &callers));
        let roles: BTreeSet<(NamedScope, String, String)> = told.memberships.iter().filter(|row| matches!(row.scope, NamedScope::Project(_)))
            .map(|row| (row.scope.clone(), row.name.clone(), row.role.clone())).collect();
        let differ: BTreeSet<_> = had.roles.symmetric_difference(&has.roles).cloned().collect();
        prop_assert_eq!(&roles, &differ, "{:?}", commands.iter().map(|c| (c.kind(), c.subject())).collect::<Vec<_>>());
        for row in &told.memberships {
            if let NamedScope::Project(_) = row.scope {
                let key = (row.scope.clone(), row.name.clone(), row.role.clone());
                prop_assert_eq!(row.appears, has.roles.contains(&key));
            }
        }
        // Actions: whatever differs for somebody with a role is told by name, for all others by the crowd.
        let empty = BTreeSet::new();
        let of = |table: &Whole, key: &(NamedScope, String)| table.actions.get(key).unwrap_or(&empty).clone();
        let told_of = |key: &(NamedScope, String)| told.actions.iter().find(|row| row.scope == key.0 && row.name == key.1);
        for key in had.actions.keys().chain(has.actions.keys()) {
            let (could, can) = (of(&had, key), of(&has, key));
            let crowd = told.actions.iter().find(|row| row.scope == key.0 && row.name == "authenticated");
            match told_of(key) {
                Some(row) => {
                    prop_assert_eq!(&row.appear, &can.difference(&could).cloned().collect::<Vec<_>>(), "{:?} {}", key, commands[0].kind());
                    prop_assert_eq!(&row.disappear, &could.difference(&can).cloned().collect::<Vec<_>>(), "{:?} {}", key, commands[0].kind());
                }
                // A service that comes or goes gains or loses what everybody has; its roles are told.
                None if key.1.starts_with("service:") && could.is_empty() != can.is_empty() => {}
                None if could != can => {
                    let crowd = crowd.unwrap_or_else(|| panic!("{key:?}: {could:?} -> {can:?} is not told: {:?}", commands.iter().map(Body::kind).collect::<Vec<_>>()));
                    prop_assert_eq!(&crowd.appear, &can.difference(&could).cloned().collect::<Vec<_>>());
                    prop_assert_eq!(&crowd.disappear, &could.difference(&can).cloned().collect::<Vec<_>>());
                }
                None => {}
            }
        }
    }
}
