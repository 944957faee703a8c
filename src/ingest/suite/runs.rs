//! One source through the engine, with a log and stores in memory that fail where a test wants them to.

use std::{sync::atomic::Ordering, time::Duration};

use rollcall_events::{Body, Position, body::Group};

use super::kit::{World, corp, recalled, removed, save};
use crate::{
    ChangeCounts, PlanReason, PlanState, RunError, RunOutcome, SourceState,
    connector::{
        Fact, FactSelector, Failure, FullReadReason, PersonalData, Pull, SaveOutcome, SinkError, SourceChange,
    },
    reading::{run::Intent, stores::SourceRecords},
    testkit::{Fault, group, member, person},
};

fn people(from: usize, to: usize) -> impl Iterator<Item = Option<Body>> {
    (from..to).map(|n| person(&format!("p{n}"), true))
}

#[tokio::test]
async fn a_first_read_states_everything_and_an_unchanged_one_is_two_events() {
    let mut world = World::with([person("ada", true), group("ops"), member("ops", "ada")]);
    world.read().await.unwrap();
    assert_eq!(
        world.new_records().await,
        [
            "snapshot.started",
            "snapshot.sealed",
            "person.upserted person/ada",
            "group.upserted group/ops",
            "group.member.added member/ops/person/ada",
            "snapshot.applied"
        ]
    );
    world.read().await.unwrap();
    world.restart();
    world.read().await.unwrap();
    assert_eq!(
        world.new_records().await,
        ["snapshot.started", "snapshot.sealed", "snapshot.started", "snapshot.sealed"]
    );
    let status = world.engine.status().await.unwrap();
    assert_eq!((status.state, status.facts), (SourceState::Healthy, 3));
}

#[tokio::test]
async fn what_is_gone_and_what_changed_is_recorded_and_going_back_is_a_new_fact() {
    let mut world = World::with([person("ada", true), person("bob", true)]);
    world.read().await.unwrap();
    world.new_records().await;
    for active in [false, true, false] {
        world.source.put(person("ada", active).unwrap());
        world.read().await.unwrap();
        let news = world.new_records().await;
        assert_eq!(news, ["snapshot.started", "snapshot.sealed", "person.upserted person/ada", "snapshot.applied"]);
    }
    world.source.take("person/bob");
    world.read().await.unwrap();
    assert!(world.new_records().await.contains(&"person.removed person/bob".to_owned()));
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn a_read_that_fails_in_any_way_removes_nobody_and_names_the_state() {
    let mut world = World::with(people(0, 10));
    world.read().await.unwrap();
    world.new_records().await;
    world.source.put(person("new", true).unwrap());
    for (fault, state) in [
        (Fault::After(3, Failure::Unreachable("cut".into())), SourceState::Unreachable),
        (Fault::After(0, Failure::Unauthorised("rc 49".into())), SourceState::Unauthorised),
        (Fault::After(5, Failure::Partial("ou=people: rc 4".into())), SourceState::Blind),
        (Fault::After(5, Failure::Blind { reason: "429".into(), retry_after: None }), SourceState::Blind),
        (Fault::Unclosed(7), SourceState::Blind),
        (Fault::Panic(2), SourceState::Blind),
    ] {
        world.source.fail(Some(fault));
        assert!(matches!(world.read().await, Err(RunError::Source(_))));
        assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.aborted"]);
        assert_eq!(world.state().await, state);
    }
    assert_eq!(world.engine.status().await.unwrap().failures, 6);
    world.source.fail(None);
    world.read().await.unwrap();
    assert_eq!((world.state().await, world.present_facts().await), (SourceState::Healthy, world.states()));
}

#[tokio::test]
async fn an_empty_answer_is_its_own_state_and_removes_nobody() {
    let mut world = World::with(people(0, 3));
    world.read().await.unwrap();
    world.new_records().await;
    world.source.fail(Some(Fault::Empty));
    world.read().await.unwrap();
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed", "snapshot.held"]);
    assert_eq!((world.state().await, world.held().await.why), (SourceState::Empty, PlanReason::Empty));
    world.source.fail(None);
    world.read().await.unwrap();
    assert_eq!(world.state().await, SourceState::Healthy);
    assert!(world.store.held_plan(&corp()).await.unwrap().is_none(), "what the source took back waits no longer");
}

#[tokio::test]
async fn too_many_removals_are_held_and_additions_are_not() {
    let mut world = World::with(people(0, 100));
    world.read().await.unwrap();
    world.new_records().await;
    (0..40).for_each(|n| world.source.take(&format!("person/p{n}")));
    world.source.put(person("new", true).unwrap());
    let concluded = world.read().await.unwrap();
    assert_eq!(removed(&concluded), 0);
    assert_eq!(
        world.new_records().await,
        ["snapshot.started", "snapshot.sealed", "person.upserted person/new", "snapshot.held"]
    );
    let plan = world.held().await;
    assert_eq!((plan.removals, plan.additions, plan.why), (40, 0, PlanReason::Guard));
    assert!(plan.reason.contains("40 of its 100 facts"), "{}", plan.reason);
    let rows = world.store.rows(&plan.id);
    assert_eq!((rows.len(), rows[0].text.as_str()), (40, "the person p0 is gone"));
    assert_eq!(world.state().await, SourceState::Held);

    // Read again and nothing else: the same plan waits, and nothing is said of it twice.
    world.read().await.unwrap();
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed"]);
    assert_eq!(world.held().await.id, plan.id);

    let applied = world.apply(&plan).await.unwrap();
    assert_eq!(removed(&applied), 40);
    assert_eq!((world.state().await, world.present_facts().await), (SourceState::Healthy, world.states()));
    assert_eq!(world.store.plan(&plan.id).await.unwrap().unwrap().state, PlanState::Applied);
    assert_eq!(world.new_records().await.len(), 2 + 40 + 1);
}

#[tokio::test]
async fn a_plan_is_applied_only_while_its_removals_are_still_the_same() {
    let mut world = World::with(people(0, 100));
    world.read().await.unwrap();
    (0..40).for_each(|n| world.source.take(&format!("person/p{n}")));
    world.read().await.unwrap();
    let plan = world.held().await;
    world.new_records().await;
    // One comes back and another one goes: as many, and not the same.
    world.source.put(person("p0", true).unwrap());
    world.source.take("person/p99");
    let RunOutcome::Differs(other) = world.apply(&plan).await.unwrap() else { panic!("it was applied") };
    assert_eq!((other.removals, world.held().await.id), (40, other.id.clone()));
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed", "snapshot.held"]);
    assert_eq!(world.store.plan(&plan.id).await.unwrap().unwrap().state, PlanState::Superseded);
}

#[tokio::test]
async fn a_group_of_five_is_not_emptied_unasked() {
    let members = ["a", "b", "c", "d", "e"];
    let world = World::with(
        [group("ops")].into_iter().chain(members.map(|p| person(p, true))).chain(members.map(|p| member("ops", p))),
    );
    world.read().await.unwrap();
    members.iter().for_each(|p| world.source.take(&format!("member/ops/person/{p}")));
    world.read().await.unwrap();
    let plan = world.held().await;
    assert_eq!((plan.removals, plan.reason.as_str()), (5, "the group the ops would be emptied"));
    assert!(world.store.rows(&plan.id)[0].text.contains("leaves the group the ops"));
    world.source.put(member("ops", "a").unwrap());
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states(), "down to one is no emptying");
}

#[tokio::test]
async fn suspending_too_many_at_once_is_held_like_removing_them() {
    let world = World::with(people(0, 50));
    world.read().await.unwrap();
    (0..30).for_each(|n| world.source.put(person(&format!("p{n}"), false).unwrap()));
    world.read().await.unwrap();
    assert_eq!((world.held().await.removals, world.state().await), (30, SourceState::Held));
}

#[tokio::test]
async fn a_suspension_waits_for_nobody_who_is_gone_and_is_no_part_of_their_plan() {
    let mut world = World::with(people(0, 40));
    world.read().await.unwrap();
    (0..20).for_each(|n| world.source.take(&format!("person/p{n}")));
    world.source.put(person("p39", false).unwrap());
    world.new_records().await;
    assert_eq!(removed(&world.read().await.unwrap()), 1);
    let news = world.new_records().await;
    assert_eq!(
        news,
        ["snapshot.started", "snapshot.sealed", "person.upserted person/p39", "snapshot.held"],
        "suspended though the others wait"
    );
    let plan = world.held().await;
    assert_eq!(plan.removals, 20);
    assert!(matches!(world.apply(&plan).await.unwrap(), RunOutcome::UpToDate { .. }), "by the number that was shown");
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn suspensions_that_empty_a_project_leave_no_plan_in_which_nothing_is() {
    let mut world = World::with(people(0, 40));
    world.projects.put("acme", (0..5).map(|n| format!("person/p{n}")));
    world.read().await.unwrap();
    (0..5).for_each(|n| world.source.put(person(&format!("p{n}"), false).unwrap()));
    world.new_records().await;
    let outcome = world.read().await.unwrap();
    assert!(matches!(outcome, RunOutcome::UpToDate { .. }), "{outcome:?}");
    assert_eq!(world.new_records().await.len(), 8, "started, sealed, five and applied");
    assert_eq!(world.store.held_plan(&corp()).await.unwrap(), None);
    assert_eq!(world.state().await, SourceState::Healthy);
}

#[tokio::test]
async fn a_plan_that_is_asked_for_appends_nothing_and_can_be_applied() {
    let mut world = World::with(people(0, 3));
    world.read().await.unwrap();
    world.new_records().await;
    world.source.take("person/p0");
    world.source.put(member("ops", "p1").unwrap());
    let RunOutcome::Planned(plan) = world.engine.run(Intent::Plan).await.unwrap() else { panic!("not planned") };
    assert_eq!(world.new_records().await, Vec::<String>::new());
    let texts: Vec<_> = world.store.rows(&plan.id).into_iter().map(|row| row.text).collect();
    assert_eq!(texts, ["p1 enters the group ops", "the person p0 is gone"]);
    assert_eq!((plan.additions, plan.changes, plan.removals, plan.why), (1, 0, 1, PlanReason::Asked));
    assert_eq!(world.state().await, SourceState::Healthy);
    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn a_first_run_can_wait_for_a_person_and_a_changed_scope_always_does() {
    let mut world = World::with(people(0, 3));
    world.options.first_run_waits = true;
    world.restart();
    world.read().await.unwrap();
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed", "snapshot.held"]);
    let plan = world.held().await;
    assert_eq!((plan.why, plan.additions), (PlanReason::FirstRun, 3));
    world.apply(&plan).await.unwrap();
    world.source.put(person("p3", true).unwrap());
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states(), "from the second run on nobody is asked");

    world.source.rescope("another base");
    world.source.put(person("p4", true).unwrap());
    world.read().await.unwrap();
    assert_eq!((world.held().await.why, world.state().await), (PlanReason::Scope, SourceState::Held));
    assert_eq!(world.present_facts().await.len(), 4);
    let plan = world.held().await;
    world.apply(&plan).await.unwrap();
    world.source.put(person("p5", true).unwrap());
    world.read().await.unwrap();
    assert_eq!((world.state().await, world.present_facts().await), (SourceState::Healthy, world.states()));
}

#[tokio::test]
async fn what_is_not_resolved_is_left_as_it_is_and_shown() {
    let world = World::with([group("ops"), person("ada", true), member("ops", "ada"), person("bob", true)]);
    world.read().await.unwrap();
    world.source.take("member/ops/person/ada");
    world.source.take("person/bob");
    world.source.exclude(FactSelector::MembersOf("ops".parse().unwrap()), "cn=ada: no answer");
    world.source.dangle("cn=gone");
    world.read().await.unwrap();
    let present = world.present_facts().await;
    assert_eq!(present.iter().filter(|data| data.contains("ada")).count(), 2, "{present:?}");
    assert!(!present.iter().any(|data| data.contains("bob")), "the rest of the read counts");
    let status = world.engine.status().await.unwrap();
    assert_eq!(status.excluded.first, [("the members of group/ops".to_owned(), "cn=ada: no answer".to_owned())]);
    assert_eq!((status.absent.count, status.absent.first), (1, vec!["cn=gone".to_owned()]));
    world.source.resolve();
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_closed_by_the_next_and_epochs_grow() {
    let mut world = World::with(people(0, 3));
    world.log.left.store(2, Ordering::Relaxed);
    assert!(matches!(world.read().await, Err(RunError::Storage(_))));
    assert_eq!(world.new_records().await, ["snapshot.started"]);
    world.restart();
    world.read().await.unwrap();
    assert_eq!(world.new_records().await.get(..2).unwrap(), ["snapshot.aborted", "snapshot.started"]);
    let epochs: Vec<u64> = world
        .records(Position(0))
        .await
        .iter()
        .filter_map(|record| match Body::parse(&record.event.kind, &record.event.data) {
            Ok(Body::SnapshotStarted(run)) => Some(run.epoch),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [1, 2]);
}

#[tokio::test]
async fn names_are_kept_beside_the_log_and_only_when_they_change() {
    let world = World::new();
    let ada = |email: &str| Fact {
        body: person("ada", true).unwrap(),
        personal: Some(PersonalData { email: Some(email.to_owned()), name: None }),
    };
    world.source.put(ada("ada@a.test"));
    world.read().await.unwrap();
    world.source.put(ada("ada@b.test"));
    let concluded = world.read().await.unwrap();
    assert!(matches!(concluded, RunOutcome::UpToDate { recorded, .. } if recorded == ChangeCounts::default()));
    let kept = async || {
        let names = world.store.personal(&corp(), &["ada".parse().unwrap()]).await.unwrap();
        names.values().next().unwrap().clone()
    };
    assert_eq!(kept().await.email.as_deref(), Some("ada@b.test"));
    let endless = Some("n".repeat(900_000));
    let personal = Some(PersonalData { email: endless.clone(), name: endless });
    world.source.put(Fact { body: person("ada", true).unwrap(), personal });
    world.read().await.unwrap();
    let kept = kept().await;
    assert_eq!((kept.email, kept.name.map(|name| name.len())), (None, Some(512)), "it is for people to read");
    for record in world.records(Position(0)).await {
        assert!(!record.event.data.contains("@a.test") && !record.event.data.contains("@b.test"));
    }
}

#[tokio::test]
async fn what_a_source_says_too_long_is_left_as_it_was_and_shown() {
    let mut world = World::with([group("ops"), person("ada", true)]);
    world.read().await.unwrap();
    world.new_records().await;
    let named = |name: &str| match group("ops").unwrap() {
        Body::GroupUpserted(group) => Body::GroupUpserted(Group { name: Some(name.to_owned()), ..group }),
        other => other,
    };
    world.source.put(named(&"n".repeat(900_000)));
    world.source.put(person("ada", false).unwrap());
    world.read().await.unwrap();
    assert_eq!(world.new_records().await.iter().filter(|kind| kind.starts_with("group")).count(), 0);
    let status = world.engine.status().await.unwrap();
    assert_eq!(status.excluded.count, 1);
    let (which, why) = &status.excluded.first[0];
    assert!(which.contains("group/ops") && why.contains("/name: at most 512 characters"), "{which}: {why}");

    world.source.put(named("short"));
    world.read().await.unwrap();
    assert_eq!(world.new_records().await.iter().filter(|kind| kind.starts_with("group")).count(), 1);
    // Who follows is told by the next read of everything.
    let sink = world.engine.change_sink();
    sink.send(vec![SourceChange::Fact(named(&"n".repeat(900_000)).into())]).await.unwrap();
    assert_eq!(world.new_records().await.iter().filter(|kind| kind.starts_with("group")).count(), 0);
}

#[tokio::test]
async fn a_follower_is_heard_at_once_and_its_cursor_follows_the_facts() {
    let mut world = World::with([group("ops"), person("ada", true), person("bob", true), member("ops", "ada")]);
    world.read().await.unwrap();
    world.new_records().await;
    let sink = world.engine.change_sink();
    let (ada, bob) = (member("ops", "ada").unwrap(), member("ops", "bob").unwrap());
    let ops = "ops".parse().unwrap();
    world.source.take("member/ops/person/ada");
    world.source.put(bob.clone());
    sink.send(vec![SourceChange::GroupMembers { group: ops, members: vec![bob.clone().into()] }]).await.unwrap();
    assert_eq!(
        world.new_records().await,
        ["group.member.added member/ops/person/bob", "group.member.removed member/ops/person/ada"]
    );
    // The same again, and what never was: nothing.
    sink.send(vec![SourceChange::Fact(bob.into()), SourceChange::Removed(ada.removal().unwrap())]).await.unwrap();
    sink.send(vec![SourceChange::Removed(person("nobody", true).unwrap().removal().unwrap())]).await.unwrap();
    assert_eq!(world.new_records().await, Vec::<String>::new());
    assert_eq!(save(&sink, 1).await, SaveOutcome::Saved);
    assert_eq!(recalled(&sink).await, Ok(1));
    sink.send(vec![SourceChange::Removed(group("ops").unwrap().removal().unwrap())]).await.unwrap();
    assert_eq!(world.new_records().await, ["group.member.removed member/ops/person/bob", "group.removed group/ops"]);
    let later = sink.resume_point().await.unwrap().unwrap().later;
    let later: Vec<String> = later.iter().map(Body::subject).collect();
    assert!(later.contains(&"member/ops/person/bob".to_owned()) && later.len() == 2, "{later:?}");
    world.source.rescope("other");
    assert_eq!(recalled(&sink).await, Err(FullReadReason::OtherScope), "a cursor belongs to what was followed");
}

#[tokio::test]
async fn a_refresh_of_a_follower_is_a_snapshot_and_its_cursor_waits_while_removals_are_held() {
    let mut world = World::with(people(0, 40));
    let sink = world.engine.change_sink();
    let snapshot = world.source.read(sink.begin_snapshot(FullReadReason::FirstStart).await.unwrap()).await.unwrap();
    sink.apply_snapshot(snapshot).await.unwrap();
    save(&sink, 1).await;
    assert_eq!(world.present_facts().await, world.states());
    world.new_records().await;
    (0..30).for_each(|n| world.source.take(&format!("person/p{n}")));
    let snapshot = world.source.read(sink.begin_snapshot(FullReadReason::NothingSaved).await.unwrap()).await.unwrap();
    sink.apply_snapshot(snapshot).await.unwrap();
    save(&sink, 2).await;
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed", "snapshot.held"]);
    assert_eq!(recalled(&sink).await, Ok(1));
    // A builder that is dropped removes nobody and keeps nobody waiting.
    drop(sink.begin_snapshot(FullReadReason::NothingSaved).await.unwrap());
    let plan = world.held().await;
    world.apply(&plan).await.unwrap();
    save(&sink, 2).await;
    assert_eq!((world.present_facts().await, recalled(&sink).await), (world.states(), Ok(2)));
}

#[tokio::test]
async fn a_log_that_takes_nothing_stops_a_follower_before_its_cursor() {
    let world = World::new();
    let sink = world.engine.change_sink();
    world.log.left.store(0, Ordering::Relaxed);
    let stopped: Result<_, SinkError> = sink.send(vec![SourceChange::Fact(person("ada", true).unwrap().into())]).await;
    assert!(stopped.unwrap_err().0.contains("the process is gone"));
}

#[tokio::test]
async fn a_source_that_is_blind_for_too_long_loses_everything_only_where_that_is_configured() {
    let mut world = World::with(people(0, 30));
    world.read().await.unwrap();
    world.source.fail(Some(Fault::After(0, Failure::Unreachable("cut".into()))));
    world.read().await.unwrap_err();
    world.clock.0.store(100 * 86_400, Ordering::Relaxed);
    assert!(!world.engine.revoke_if_due().await.unwrap(), "kept for ever by default");
    world.options.revoke_after = Some(Duration::from_secs(14 * 86_400));
    world.restart();
    assert!(world.engine.revoke_if_due().await.unwrap());
    assert_eq!(world.present_facts().await.len(), 0);
    assert!(!world.engine.revoke_if_due().await.unwrap(), "once");
    assert_eq!(world.state().await, SourceState::Unreachable);
    world.source.fail(None);
    world.read().await.unwrap();
    assert_eq!((world.present_facts().await, world.state().await), (world.states(), SourceState::Healthy));
}
