//! What ends with what is removed, what a suspended source takes along until it is resumed, and how
//! much of a thing there may be, one sentence each.

use chrono::Duration;
use proptest::prelude::*;
use rollcall_events::{Body, NewEvent, SourceName};
use serde_json::{Value, json};

use super::{
    agreement::{callers, places},
    histories::{History, asks, history, noon, small, table},
    installation::{ADMIN, Installation, bind, on, project, user},
    worlds::{World, both, bundled},
};
use crate::{
    fold::change::Effect,
    profile::Verb,
    questions::explain::explain,
    roster::{Roster, handles::Principal},
    what_if::sources::{plan_source, source_rows},
};

#[test]
fn a_service_that_is_made_again_holds_nothing_and_is_in_no_group() {
    let mut book = Installation::of("harbor");
    for id in ["one", "two"] {
        book.done("project.created", &project(id, None));
    }
    book.done("service.created", &json!({"service": "robot"}));
    book.done("group.upserted", &json!({"group": "crew"}));
    book.done("group.member.added", &json!({"group": "crew", "member": {"service": "robot"}}));
    book.done("binding.set", &bind(&json!({"group": "local/crew"}), "guest", &on("one"), ADMIN));
    book.done("binding.set", &bind(&json!({"service": "robot"}), "guest", &on("two"), ADMIN));
    let robot = Principal::Service(book.roster.service_by_id("robot").unwrap());
    let (one, two) = (book.project("one"), book.project("two"));
    assert!(book.can(robot, "pull", one) && book.can(robot, "pull", two));
    book.done("service.removed", &json!({"service": "robot"}));
    assert_eq!(book.roster.bindings().count(), 1, "the group's own stays");
    book.done("service.created", &json!({"service": "robot"}));
    book.roster = Roster::from_snapshot(&book.roster.to_snapshot()).unwrap();
    assert!(!book.can(robot, "pull", one) && !book.can(robot, "pull", two));
    assert_eq!(book.roster.group_members(book.roster.group_by_id("local/crew").unwrap()).count(), 0);
    book.done("group.member.added", &json!({"group": "crew", "member": {"service": "robot"}}));
    assert!(book.can(robot, "pull", one), "it is let in again");
}

#[test]
fn a_group_that_is_made_again_is_empty_holds_nothing_and_is_in_no_group() {
    let mut book = Installation::of("harbor");
    for id in ["one", "two"] {
        book.done("project.created", &project(id, None));
    }
    for id in ["staff", "crew"] {
        book.done("group.upserted", &json!({"group": id}));
    }
    let inside = json!({"group": "crew", "member": {"person": "hub/ada"}});
    book.done("group.member.added", &inside);
    book.done("group.member.added", &json!({"group": "staff", "member": {"group": "local/crew"}}));
    book.done("binding.set", &bind(&json!({"group": "local/crew"}), "guest", &on("one"), ADMIN));
    book.done("binding.set", &bind(&json!({"group": "local/staff"}), "guest", &on("two"), ADMIN));
    let (one, two, ada) = (book.project("one"), book.project("two"), book.user("ada"));
    assert!(book.can(ada, "pull", one) && book.can(ada, "pull", two));
    book.done("group.removed", &json!({"group": "crew"}));
    book.done("group.upserted", &json!({"group": "crew"}));
    book.done("group.member.added", &inside);
    assert!(!book.can(ada, "pull", one) && !book.can(ada, "pull", two));
    let crew = book.roster.group_by_id("local/crew").unwrap();
    assert_eq!(book.roster.group_members(crew).count(), 1);
}

#[test]
fn a_project_that_is_made_again_has_its_new_creator_and_nobody_else() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.done("binding.set", &bind(&user("bob"), "guest", &on("one"), ADMIN));
    book.done("project.deleted", &json!({"project": "one"}));
    let one = book.project("one");
    assert!(book.roster.bindings().next().is_none() && !book.roster.is_ownerless(one, book.now));
    book.done("project.created", &project("one", Some("eve")));
    for (who, may) in [("ada", false), ("bob", false), ("eve", true)] {
        assert_eq!(book.can(book.user(who), "pull", one), may, "{who}");
    }
}

const SUSPENDED: &str = r#"{"source":"flexnet","author":"admin key"}"#;

fn command(kind: &str, source: &str) -> Body {
    Body::parse(&format!("rollcall.{kind}.v1"), &json!({"source": source}).to_string()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Suspending takes and never gives; resuming puts everything back; and what is shown beforehand is what is done.
    #[test]
    fn suspending_only_takes_and_resuming_gives_back_exactly_that(seed in any::<u64>()) {
        only_takes_and_gives_back(seed)?;
    }

    /// What is said of a source while it is suspended counts when it is resumed, as if it had never been.
    #[test]
    fn what_a_source_says_while_it_is_suspended_counts_when_it_is_resumed(history in history(), from in any::<prop::sample::Index>()) {
        let mut told = history.0.clone();
        let from = 1 + from.index(told.len());
        let mut said = History::default();
        for (n, kind) in ["source.suspended", "source.resumed"].into_iter().enumerate() {
            for source in ["flexnet", "corp"] {
                said.say("local", kind, None, &json!({"source": source}).to_string());
                said.0.last_mut().unwrap().key.id = format!("{kind}-{source}-{n}").into();
            }
        }
        let resumed: Vec<NewEvent> = said.0.split_off(2);
        told.splice(from..from, said.0);
        told.extend(resumed);
        let (plain, roster) = (history.fold(), History(told).fold());
        prop_assert_eq!(table(&plain), table(&roster));
        let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
        prop_assert_eq!(table(&again), table(&roster));
    }
}

fn only_takes_and_gives_back(seed: u64) -> Result<(), TestCaseError> {
    let (before, _) = both(&World::new(seed).history.0);
    let now = noon();
    for source in ["flexnet", "corp", "hub"] {
        let suspend = command("source.suspended", source);
        let plan = plan_source(&before, &suspend, 5, now);
        let mut after = before.clone();
        let effect = after.fold_unrecorded(&SourceName::local(), &suspend, now);
        prop_assert_eq!(&plan.effect, &effect);
        prop_assert_eq!(plan.access.gains, 0, "{}: {:?}", source, source_rows(&before, &suspend, now, None, 99).1);
        for (_, who) in callers(&before) {
            for (at, place) in places(&before) {
                let (had, has) = (before.actions_of(who, place, now), after.actions_of(who, place, now));
                prop_assert!(had.contains(has), "{:?} gains on {:?} by suspending {}", who, at, source);
                if had != has {
                    prop_assert!(plan.access.rows > 0, "{:?} loses on {:?} and no row says so", who, at);
                }
            }
        }
        if effect == Effect::Applied {
            let resume = command("source.resumed", source);
            let back = plan_source(&after, &resume, 5, now);
            prop_assert_eq!((back.access.rows, back.access.gains), (plan.access.rows, plan.access.losses));
            after.fold_unrecorded(&SourceName::local(), &resume, now);
            for (_, who) in callers(&before) {
                for (_, place) in places(&before) {
                    prop_assert_eq!(before.actions_of(who, place, now), after.actions_of(who, place, now));
                }
            }
            prop_assert_eq!(table(&before), table(&after));
        }
    }
    Ok(())
}

/// Found by the property above.
#[test]
fn windows_that_only_the_later_state_has_are_looked_at_too() {
    only_takes_and_gives_back(4_613_285_440_769_593_834).unwrap();
}

#[test]
fn a_secret_signs_nobody_in_whom_only_a_suspended_source_knows_and_does_again_when_it_is_resumed() {
    let mut h = small();
    let secret = json!({"secret": "s", "owner": {"user": "flexnet/ada"}, "sha256": "01".repeat(32)});
    h.say("local", "secret.issued", None, &secret.to_string());
    assert!(h.fold().credential(&[1; 32], noon()).is_some());
    h.say("local", "source.suspended", None, SUSPENDED);
    assert!(h.fold().credential(&[1; 32], noon()).is_none());
    h.say("local", "source.resumed", None, SUSPENDED);
    assert!(h.fold().credential(&[1; 32], noon()).is_some());
}

#[test]
fn a_near_miss_names_the_event_that_suspended_and_resuming_is_what_would_help() {
    let mut h = small();
    assert!(asks(&h.fold(), "ada@globex.test", Verb::Pull, noon()).is_allowed());
    h.say("local", "source.suspended", None, SUSPENDED);
    let roster = h.fold();
    let (ada, acme) = (roster.user_by_name("ada@globex.test").unwrap(), roster.project_by_name("acme").unwrap());
    let pull = roster.profile().registry_action(Verb::Pull).unwrap();
    let why = explain(&roster, Principal::User(ada), pull, acme, noon());
    let obstacles = &why.near_misses[0].obstacles;
    assert_eq!(obstacles.len(), 1, "one obstacle, though it stands in the way of all: {obstacles:?}");
    assert_eq!(obstacles[0].text, "source flexnet is suspended");
    let cause = obstacles[0].cause.as_ref().unwrap();
    assert_eq!((cause.position, &*cause.source, &*cause.subject), (roster.position(), "local", "source/flexnet"));
    let remedy = serde_json::to_value(&why.would_allow[0].steps).unwrap();
    assert_eq!(remedy[0]["type"], "rollcall.source.resumed.v1", "{remedy}");
    assert_eq!(why.would_allow.len(), 1, "{:?}", why.would_allow);
}

#[test]
fn a_plan_that_takes_from_many_counts_them_and_names_who_would_be_emptied() {
    let mut h = small();
    for n in 0..30 {
        let data = json!({"person": format!("p{n}"), "account": "globex", "active": true});
        h.say("flexnet", "person.upserted", Some(1), &data.to_string());
    }
    let roster = h.fold();
    let plan = plan_source(&roster, &command("source.suspended", "flexnet"), 5, noon());
    assert!(plan.access.losers >= 30, "{plan:?}");
    assert_eq!(plan.emptied, ["acme"]);
    let later = plan_source(&roster, &command("source.suspended", "flexnet"), 5, noon() + Duration::minutes(1));
    assert_eq!(later.name, plan.name, "what does the same has the same name");
}

#[test]
fn only_who_keeps_sources_suspends_one_and_nobody_suspends_what_is_not_there_or_is_retired() {
    let mut h = small();
    let said = |roster: &mut Roster, kind: &str, source: &str, author: &str| {
        let data = json!({"source": source, "author": author}).to_string();
        let body = Body::parse(&format!("rollcall.{kind}.v1"), &data).unwrap();
        roster.fold_unrecorded(&SourceName::local(), &body, noon())
    };
    h.say(
        "local",
        "binding.set",
        None,
        r#"{"principal":{"user":"flexnet/bob"},"role":"api:auditor","scope":"root","author":"admin key"}"#,
    );
    let mut roster = h.fold();
    for (source, author, why) in [
        ("flexnet", "user:flexnet/bob", "may not do this here (source.set)"),
        ("local", "admin key", "no source"),
        ("nobody", "admin key", "there is no source"),
    ] {
        let effect = said(&mut roster, "source.suspended", source, author);
        assert!(effect.reason().is_some_and(|text| text.contains(why)), "{source}: {effect:?}");
    }
    assert_eq!(said(&mut roster, "source.retired", "flexnet", "admin key"), Effect::Applied);
    for kind in ["source.suspended", "source.resumed", "source.retired"] {
        let effect = said(&mut roster, kind, "flexnet", "admin key");
        assert!(effect.reason().is_some_and(|text| text.contains("retired, for ever")), "{kind}: {effect:?}");
    }
}

#[test]
fn whoever_is_no_administrator_makes_a_hundred_services_and_room_for_more_by_removing_one() {
    let mut profile = bundled("harbor");
    profile["api"]["service.set"] = "create_project".into();
    let mut book = Installation::with(&profile);
    let made = |n: usize, who: &str| json!({"service": format!("s{n}"), "author": who});
    for n in 0..100 {
        book.done("service.created", &made(n, "user:hub/ada"));
    }
    book.refused(
        "service.created",
        &made(100, "user:hub/ada"),
        "has made 100 services that are there, which is the most",
    );
    book.done("service.created", &made(100, "user:hub/bob"));
    book.done("service.created", &made(101, ADMIN));
    book.done("service.removed", &made(7, "user:hub/ada"));
    book.done("service.created", &made(7, "user:hub/ada"));
    book.refused("service.created", &made(102, "user:hub/ada"), "remove one first");
}

#[test]
fn those_who_run_a_project_give_a_thousand_roles_on_it_and_room_for_more_by_taking_one_away() {
    let mut book = Installation::of("harbor");
    for id in ["one", "two"] {
        book.done("project.created", &project(id, Some("ada")));
    }
    let roles = ["guest", "limited_guest", "developer", "maintainer", "project_admin"];
    for n in 0..=200 {
        book.done("group.upserted", &json!({"group": format!("g{n}")}));
    }
    let role = |n: usize, role: &str, place: &str, who: &str| {
        bind(&json!({"group": format!("local/g{n}")}), role, &on(place), who)
    };
    // Her own, as who made it, is one of them.
    let own = book.roster.bindings_on(book.project("one")).count();
    for n in own..1_000 {
        book.done("binding.set", &role(n / roles.len(), roles[n % roles.len()], "one", "user:hub/ada"));
    }
    assert_eq!(book.roster.bindings_on(book.project("one")).count(), 1_000);
    let most = "1000 roles are given here, which is the most";
    book.refused("binding.set", &role(200, "guest", "one", "user:hub/ada"), most);
    // What stands may be said again; another scope has room of its own; whoever administers has no bound.
    book.done("binding.set", &with_end(role(199, "guest", "one", "user:hub/ada")));
    book.done("binding.set", &role(200, "guest", "two", "user:hub/ada"));
    book.done("binding.set", &role(200, "developer", "one", ADMIN));
    for taken in ["guest", "developer"] {
        book.refused("binding.set", &role(200, "guest", "one", "user:hub/ada"), most);
        book.done("binding.removed", &role(150, taken, "one", "user:hub/ada"));
    }
    book.done("binding.set", &role(200, "guest", "one", "user:hub/ada"));
}

fn with_end(mut data: Value) -> Value {
    data["ends"] = "2030-01-01T00:00:00Z".into();
    data
}
