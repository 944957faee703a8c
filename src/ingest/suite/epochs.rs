//! Who speaks for a source, and when: runners of two epochs, a follower before anybody has looked, an end that comes too
//! late, projects that would be emptied.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_eventlog::Append;
use rollcall_events::{Body, Epoch, NewEvent, Position};

use super::kit::{World, corp, recalled, removed, save};
use crate::{
    ChangeKind, PlanReason, PlanState, RunError, RunOutcome, SourceState,
    baseline::BaselineEntry,
    connector::{Failure, FullReadReason, LookupAnswer, Pull, Scope, Snapshot, SnapshotBuilder, SourceChange},
    reading::{
        run::Intent,
        stores::{BaselineStore, SourceRecords},
    },
    testkit::{Fault, MemorySource, group, member, person},
};

#[tokio::test]
async fn what_a_runner_appends_after_another_has_begun_counts_for_nothing_and_is_said_again() {
    let mut world = World::with([person("ada", true), person("bob", true)]);
    world.read().await.unwrap();
    let before = world.present_facts().await;
    world.source.take("person/bob");
    world.source.put(person("kim", true).unwrap());
    let begun = world.newer_runner_event().await;
    world.log.intruders.lock().unwrap().push(begun);
    world.new_records().await;
    let ended = world.read().await.unwrap_err();
    assert!(matches!(&ended, RunError::Storage(why) if why.contains("epoch 2")), "{ended}");
    let news = world.new_records().await;
    for late in ["person.upserted person/kim", "person.removed person/bob"] {
        assert!(news.contains(&late.to_owned()), "{news:?}");
    }
    assert_eq!(world.present_facts().await, before, "they are in the log and count for nothing");
    let told = world.engine.change_sink().send(vec![SourceChange::Fact(person("eve", true).unwrap().into())]).await;
    assert!(told.is_err(), "the older one is told to stop");
    assert_eq!(world.new_records().await, Vec::<String>::new());

    world.restart();
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states(), "the same facts are new ones of the newest runner");
    let mut recorded = std::collections::BTreeSet::new();
    let mut show = |subject: &str, entry: BaselineEntry| {
        if entry.present {
            recorded.insert(subject.to_owned());
        }
    };
    world.store.for_each_entry(&corp(), &mut show).await.unwrap();
    assert_eq!(recorded, world.source.facts().iter().map(Body::subject).collect());
}

#[tokio::test]
async fn a_follower_that_goes_on_from_a_cursor_begins_its_epoch_before_its_first_fact() {
    let mut world = World::with([person("ada", true)]);
    world.read().await.unwrap();
    world.new_records().await;
    world.restart();
    let sink = world.engine.change_sink();
    sink.send(vec![SourceChange::Fact(person("ada", true).unwrap().into())]).await.unwrap();
    assert_eq!(world.new_records().await, Vec::<String>::new(), "who has nothing to say says nothing");
    for (id, expected) in [
        ("bob", &["snapshot.started", "snapshot.aborted", "person.upserted person/bob"][..]),
        ("kim", &["person.upserted person/kim"][..]),
    ] {
        sink.send(vec![SourceChange::Fact(person(id, true).unwrap().into())]).await.unwrap();
        assert_eq!(world.new_records().await, expected);
    }
    let records = world.records(Position(0)).await;
    let epochs: Vec<Option<Epoch>> =
        records.iter().rev().take(4).map(|r| r.event.correlation.as_deref().and_then(Epoch::of_run)).collect();
    assert_eq!(epochs, [Some(Epoch(2)); 4], "each names its runner");
}

#[tokio::test]
async fn nothing_that_a_follower_is_told_counts_before_somebody_has_looked() {
    let mut world = World::with([person("ada", true)]);
    world.options.first_run_waits = true;
    world.restart();
    world.read().await.unwrap();
    let tell = async |world: &World, id: &str| {
        world.source.put(person(id, true).unwrap());
        world.engine.change_sink().send(vec![SourceChange::Fact(person(id, true).unwrap().into())]).await.unwrap();
    };
    tell(&world, "bob").await;
    assert_eq!((world.present_facts().await.len(), world.held().await.why), (0, PlanReason::FirstRun));
    world.apply(&world.held().await).await.unwrap();
    tell(&world, "kim").await;
    assert_eq!(world.present_facts().await, world.states(), "from then on it is heard at once");

    world.source.rescope("another base");
    tell(&world, "eve").await;
    assert_eq!(world.present_facts().await.len(), 3, "nobody has looked at the other base yet");
    world.read().await.unwrap();
    assert_eq!(world.held().await.why, PlanReason::Scope);
    world.apply(&world.held().await).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn what_stood_before_the_first_read_is_not_ended_by_it_unasked() {
    let world = World::with([person("ada", true)]);
    // Posted under the same name before it was read.
    world.log.append(vec![world.engine.run_event(&person("old", true).unwrap(), "dlv_1")]).await.unwrap();
    let first = world.read().await.unwrap();
    assert!(matches!(first, RunOutcome::Held { .. }) && removed(&first) == 0, "{first:?}");
    let plan = world.held().await;
    assert_eq!((plan.why, plan.removals, world.present_facts().await.len()), (PlanReason::FirstRun, 1, 2));
    assert!(plan.reason.contains("1 facts that stand already would end"), "{}", plan.reason);
    world.apply(&plan).await.unwrap();
    assert_eq!((world.present_facts().await, world.state().await), (world.states(), SourceState::Healthy));
}

#[tokio::test]
async fn a_source_that_was_read_while_its_end_waited_its_turn_keeps_its_facts() {
    let mut world = World::with([person("ada", true)]);
    world.options.revoke_after = Some(Duration::from_secs(60));
    world.restart();
    world.read().await.unwrap();
    world.source.fail(Some(Fault::After(0, Failure::Unreachable("cut".into()))));
    world.clock.0.store(120, Ordering::Relaxed);
    world.read().await.unwrap_err();
    world.source.fail(None);
    // The follower refreshes; meanwhile the reader finds the source overdue and waits for its turn.
    let sink = world.engine.change_sink();
    let builder = sink.begin_snapshot(FullReadReason::FirstStart).await.unwrap();
    let engine = Arc::clone(&world.engine);
    let revoking = tokio::spawn(async move { engine.revoke_if_due().await });
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    sink.apply_snapshot(world.source.read(builder).await.unwrap()).await.unwrap();
    assert!(!revoking.await.unwrap().unwrap());
    assert_eq!((world.present_facts().await, world.state().await), (world.states(), SourceState::Healthy));
}

#[tokio::test]
async fn after_everything_was_ended_a_follower_does_not_go_on_from_where_it_was() {
    let mut world = World::with([person("ada", true)]);
    world.options.revoke_after = Some(Duration::from_secs(60));
    world.restart();
    world.read().await.unwrap();
    let sink = world.engine.change_sink();
    save(&sink, 1).await;
    assert_eq!(recalled(&sink).await, Ok(1));
    world.source.fail(Some(Fault::After(0, Failure::Unreachable("cut".into()))));
    world.clock.0.store(120, Ordering::Relaxed);
    world.read().await.unwrap_err();
    assert!(world.engine.revoke_if_due().await.unwrap());
    assert!(recalled(&sink).await.is_err());
}

#[tokio::test]
async fn a_source_that_answered_with_nothing_is_empty_again_once_it_is_heard_again() {
    let world = World::with([person("ada", true)]);
    world.read().await.unwrap();
    world.source.fail(Some(Fault::Empty));
    world.read().await.unwrap();
    world.engine.record_failure(&Failure::Unreachable("cut".into()), None).await.unwrap();
    assert_eq!(world.state().await, SourceState::Unreachable);
    world.engine.change_sink().heartbeat().await.unwrap();
    assert_eq!(world.state().await, SourceState::Empty);
}

#[tokio::test]
async fn a_project_of_five_is_not_emptied_unasked_by_a_read_nor_by_a_follower() {
    let groups = ["a", "b"];
    let people: Vec<String> = (0..6).map(|n| format!("p{n}")).collect();
    let of = |n: usize| groups[n % 2];
    let world = World::with(
        groups
            .iter()
            .map(|g| group(g))
            .chain(people.iter().map(|p| person(p, true)))
            .chain(people.iter().enumerate().map(|(n, p)| member(of(n), p))),
    );
    world.read().await.unwrap();
    let rests: Vec<String> = people.iter().enumerate().map(|(n, p)| member(of(n), p).unwrap().subject()).collect();
    world.projects.put("acme", rests.clone());
    world.projects.put("small", rests[..4].to_vec());
    rests.iter().for_each(|subject| world.source.take(subject));
    world.source.put(person("new", true).unwrap());
    let read = world.read().await.unwrap();
    assert_eq!(removed(&read), 0);
    let plan = world.held().await;
    assert_eq!((plan.why, plan.reason.as_str()), (PlanReason::Guard, "the project acme would be emptied"));
    assert!(world.present_facts().await.iter().any(|fact| fact.contains("new")), "additions are not held");
    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());

    // A follower that names nobody any more; no group of its own has five.
    world.projects.put("acme", rests.clone());
    let again = |n: usize| SourceChange::Fact(member(of(n), &people[n]).unwrap().into());
    (0..6).for_each(|n| world.source.put(member(of(n), &people[n]).unwrap()));
    world.engine.change_sink().send((0..6).map(again).collect()).await.unwrap();
    rests.iter().for_each(|subject| world.source.take(subject));
    let none = groups.map(|g| SourceChange::GroupMembers { group: g.parse().unwrap(), members: Vec::new() });
    world.engine.change_sink().send(none.into()).await.unwrap();
    assert_eq!(world.present_facts().await.iter().filter(|fact| fact.contains("member")).count(), 6);
    tokio::time::timeout(Duration::from_secs(5), world.engine.read_requested.notified())
        .await
        .expect("a full read is wanted");
}

#[tokio::test]
async fn where_the_guard_is_off_nobody_asks_what_a_read_comes_to() {
    let mut world = World::with((0..6).map(|n| person(&format!("p{n}"), true)));
    world.options.guard = false;
    world.restart();
    world.read().await.unwrap();
    world.projects.put("acme", (0..6).map(|n| format!("person/p{n}")));
    (0..6).for_each(|n| world.source.take(&format!("person/p{n}")));
    world.source.put(person("new", true).unwrap());
    assert_eq!(removed(&world.read().await.unwrap()), 6);
}

#[tokio::test]
async fn a_plan_that_was_only_asked_for_and_differs_holds_nothing_in_the_log() {
    let mut world = World::with([person("ada", true), person("bob", true)]);
    world.read().await.unwrap();
    world.source.take("person/ada");
    let RunOutcome::Planned(plan) = world.engine.run(Intent::Plan).await.unwrap() else { panic!() };
    world.source.put(person("ada", true).unwrap());
    world.source.take("person/bob");
    world.new_records().await;
    assert!(matches!(world.apply(&plan).await.unwrap(), RunOutcome::Differs(_)));
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed"]);
    assert_eq!(world.state().await, SourceState::Healthy);
    let kept = world.store.plan(&plan.id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.closed.unwrap().by), (PlanState::Superseded, None));
}

/// A source about which much is recorded by another way while it is read.
struct CrowdedSource {
    source: MemorySource,
    log: Arc<dyn Append>,
    meanwhile: Mutex<Vec<NewEvent>>,
}

#[async_trait]
impl Pull for CrowdedSource {
    fn scope(&self) -> Scope {
        self.source.scope()
    }
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        let snapshot = self.source.read(builder).await;
        let meanwhile = std::mem::take(&mut *self.meanwhile.lock().unwrap());
        if !meanwhile.is_empty() {
            self.log.append(meanwhile).await.unwrap();
        }
        snapshot
    }
    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        assert!(subjects.len() <= 1000);
        self.source.look_up(subjects, now).await
    }
}

#[tokio::test]
async fn of_more_than_a_thousand_that_changed_meanwhile_the_rest_is_shown_and_left_to_the_next_read() {
    let ids: Vec<String> = (0..1100).map(|n| format!("p{n:04}")).collect();
    let mut world = World::with(ids.iter().map(|id| person(id, true)));
    world.options.guard = false;
    world.restart();
    world.read().await.unwrap();
    // Everybody goes while the read runs, and a delivery says of each something else.
    let said = ids.iter().map(|id| world.engine.run_event(&person(id, false).unwrap(), &format!("dlv_{id}")));
    let meanwhile = Mutex::new(said.collect());
    let source = world.source.clone();
    world.restart_with(Arc::new(CrowdedSource { source, log: Arc::new(world.log.log.clone()), meanwhile }));
    world.read().await.unwrap();
    let status = world.engine.status().await.unwrap();
    assert_eq!(status.excluded.count, 100, "{:?}", status.excluded.first.first());
    assert!(status.excluded.first[0].1.contains("more than 1000 changed meanwhile"));
    assert_eq!(world.present_facts().await.iter().filter(|fact| fact.contains("false")).count(), 100);
    world.read().await.unwrap();
    assert_eq!((world.present_facts().await, world.engine.status().await.unwrap().excluded.count), (world.states(), 0));
}

#[tokio::test]
async fn what_a_source_calls_its_people_cannot_break_a_plan() {
    let odd = "a\u{1b}[31m\nb\u{202e}";
    let named = format!(r#"{{"person":"ada","username":{},"account":null,"active":true}}"#, serde_json::json!(odd));
    let ada = Body::parse("rollcall.person.upserted.v1", &named).unwrap();
    let world = World::with([Some(ada), person("bob", true)]);
    world.read().await.unwrap();
    world.source.take("person/ada");
    let RunOutcome::Planned(plan) = world.engine.run(Intent::Plan).await.unwrap() else { panic!() };
    let rows = world.store.rows(&plan.id);
    assert_eq!((rows.len(), rows[0].verb), (1, ChangeKind::Remove));
    assert_eq!(rows[0].text, format!("the person {odd} is gone"), "as it is: whoever shows it makes it safe");
    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}
