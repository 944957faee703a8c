//! Deletions that a follower tells as they happen: few go at once, many become a full read under the guard.

use std::{ops::Range, sync::atomic::Ordering, time::Duration};

use rollcall_events::Body;

use super::kit::{World, corp, recalled, save};
use crate::{
    PlanReason, SourceState,
    connector::{SaveOutcome, SourceChange},
    reading::stores::SourceRecords,
    testkit::{group, member, person},
};

fn p(n: usize) -> String {
    format!("p{n}")
}

fn people(range: Range<usize>) -> impl Iterator<Item = Option<Body>> {
    range.map(|n| person(&p(n), true))
}

fn gone(body: Option<Body>) -> SourceChange {
    SourceChange::Removed(body.unwrap().removal().unwrap())
}

impl World {
    /// People by number are deleted, and the follower tells it in one batch.
    async fn delete(&self, who: Range<usize>) {
        who.clone().for_each(|n| self.source.take(&format!("person/{}", p(n))));
        let told = who.map(|n| gone(person(&p(n), true))).collect();
        self.engine.change_sink().send(told).await.unwrap();
    }

    /// What was recorded since somebody looked last, of this kind.
    async fn recorded(&mut self, kind: &str) -> usize {
        self.new_records().await.iter().filter(|short| short.starts_with(kind)).count()
    }

    async fn asks_for_a_read(&self) {
        let asked = self.engine.read_requested.notified();
        tokio::time::timeout(Duration::from_secs(5), asked).await.expect("a full read is wanted");
    }
}

#[tokio::test]
async fn many_who_are_deleted_one_after_the_other_stop_at_the_measure_and_the_rest_is_a_plan() {
    let mut world = World::with(people(0..300));
    world.read().await.unwrap();
    world.new_records().await;
    let sink = world.engine.change_sink();
    assert_eq!(save(&sink, 1).await, SaveOutcome::Saved);
    for n in 0..20 {
        world.delete(n * 10..n * 10 + 10).await;
        let kept = save(&sink, 2).await;
        assert_eq!(kept == SaveOutcome::Saved, n < 6, "batch {n}");
    }
    assert_eq!(world.recorded("person.removed").await, 60, "a fifth of 300");
    world.asks_for_a_read().await;
    world.read().await.unwrap();
    let plan = world.held().await;
    assert_eq!((plan.removals, plan.why, world.state().await), (140, PlanReason::Guard, SourceState::Held));
    assert_eq!(save(&sink, 2).await, SaveOutcome::Deferred);
    world.new_records().await;

    // Meanwhile: who leaves alone goes at once, who comes comes, and suspensions never wait.
    world.delete(299..300).await;
    assert_eq!(world.new_records().await, ["person.removed person/p299"]);
    let told = (200..299).map(|n| person(&p(n), false).unwrap());
    told.clone().for_each(|body| world.source.put(body));
    let mut told: Vec<SourceChange> = told.map(|body| SourceChange::Fact(body.into())).collect();
    world.source.put(person("new", true).unwrap());
    told.push(SourceChange::Fact(person("new", true).unwrap().into()));
    sink.send(told).await.unwrap();
    assert_eq!(world.recorded("person.upserted").await, 100);

    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
    assert_eq!((save(&sink, 3).await, recalled(&sink).await), (SaveOutcome::Saved, Ok(3)));
}

#[tokio::test]
async fn many_at_once_all_wait_and_a_new_process_that_is_told_again_stops_them_too() {
    let mut world = World::with(people(0..300));
    world.read().await.unwrap();
    let sink = world.engine.change_sink();
    save(&sink, 1).await;
    world.new_records().await;
    for _ in 0..2 {
        world.delete(0..200).await;
        assert_eq!(world.new_records().await, Vec::<String>::new());
        let sink = world.engine.change_sink();
        assert_eq!((save(&sink, 2).await, recalled(&sink).await), (SaveOutcome::Deferred, Ok(1)));
        world.restart();
    }
    world.read().await.unwrap();
    let plan = world.held().await;
    assert_eq!((plan.removals, world.recorded("person.removed").await), (200, 0));
    world.restart();
    world.delete(0..200).await;
    assert_eq!(world.recorded("person.removed").await, 0, "nor while the plan waits");
    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn nobody_holds_back_their_own_end_by_deleting_groups_and_memberships() {
    let groups = |prefix: &'static str| (0..100).map(move |n| format!("{prefix}{n}"));
    let all = people(0..30).chain([group("ops"), group("crowd")]).chain((0..30).map(|n| member("ops", &p(n))));
    let all = all.chain((0..30).map(|n| member("crowd", &p(n)))).chain(groups("own").map(|id| group(&id)));
    let mut world = World::with(all.chain(groups("own").map(|id| member(&id, "p0"))));
    world.read().await.unwrap();
    world.new_records().await;
    // In one batch with all the noise that one can make: groups of one's own, and a group of everybody that is emptied.
    let mut told: Vec<SourceChange> = groups("own").map(|id| gone(group(&id))).collect();
    told.extend((0..30).map(|n| gone(member("crowd", &p(n)))));
    told.extend([gone(person("p0", true)), gone(member("ops", "p0"))]);
    world.engine.change_sink().send(told).await.unwrap();
    assert_eq!(world.new_records().await, ["group.member.removed member/ops/person/p0", "person.removed person/p0"]);
    world.asks_for_a_read().await;
    // What was made a moment ago is no noise at all.
    let made = groups("new").map(|id| SourceChange::Fact(group(&id).unwrap().into())).collect();
    world.engine.change_sink().send(made).await.unwrap();
    let told = groups("new").map(|id| gone(group(&id))).collect();
    world.engine.change_sink().send(told).await.unwrap();
    assert_eq!(world.recorded("group.removed").await, 100);
}

#[tokio::test]
async fn nobody_holds_back_their_own_end_by_emptying_projects_of_their_own() {
    let own = || (0..5).map(|n| format!("own{n}"));
    let all = people(0..10).chain([group("ops")]).chain((0..10).map(|n| member("ops", &p(n))));
    let all = all.chain(own().map(|id| group(&id)));
    let mut world = World::with(all);
    world.projects.put("theirs", own().map(|id| format!("group/{id}")).chain(["person/p0".to_owned()]));
    world.read().await.unwrap();
    world.new_records().await;
    let mut told: Vec<SourceChange> = own().map(|id| gone(group(&id))).collect();
    told.extend([gone(person("p0", true)), gone(member("ops", "p0")), gone(member("ops", "p1"))]);
    world.engine.change_sink().send(told).await.unwrap();
    let ended = world.new_records().await;
    let expected = ["group.member.removed member/ops/person/p0", "group.member.removed member/ops/person/p1"];
    assert_eq!(ended, [&expected[..], &["person.removed person/p0"]].concat());
    world.asks_for_a_read().await;
    // Where it is the end of people that empties a project, they wait, and with them what hangs on them alone.
    world.projects.put("ours", (1..6).map(|n| format!("person/{}", p(n))));
    let mut told: Vec<SourceChange> = (1..6).map(|n| gone(person(&p(n), true))).collect();
    told.extend([gone(member("ops", "p2")), gone(member("ops", "p9"))]);
    world.engine.change_sink().send(told).await.unwrap();
    assert_eq!(world.new_records().await, ["group.member.removed member/ops/person/p9"]);
}

#[tokio::test]
async fn however_many_groups_take_part_in_emptying_a_project_few_copies_are_made_and_no_change_is_tried_often() {
    const GROUPS: usize = 64;
    let groups = || (0..GROUPS).map(|n| format!("g{n}"));
    let all = people(0..GROUPS).chain(groups().map(|id| group(&id)));
    let mut world = World::with(all.chain((0..GROUPS).map(|n| member(&format!("g{n}"), &p(n)))));
    // Each holds the last but for all others.
    let rests_on = (0..GROUPS).map(|n| member(&format!("g{n}"), &p(n)).unwrap().subject());
    world.projects.put("acme", rests_on);
    world.read().await.unwrap();
    world.new_records().await;
    let told = (0..GROUPS).map(|n| gone(member(&format!("g{n}"), &p(n)))).collect();
    world.engine.change_sink().send(told).await.unwrap();
    assert!(world.new_records().await.is_empty(), "all of them wait");
    let work = world.projects.work();
    let (copies, facts) = (work.copies.load(Ordering::Relaxed), work.facts.load(Ordering::Relaxed));
    assert!(copies <= 3, "{copies} copies");
    let halvings = GROUPS.ilog2() as usize + 1;
    let most = GROUPS * (2 * halvings + 3);
    assert!(facts as usize <= most, "{facts} facts tried of {most}");
}

#[tokio::test]
async fn of_several_that_would_empty_a_project_alone_none_goes() {
    let mut world = World::with(people(0..6).chain([group("g"), group("h")]).chain((0..6).map(|n| member("h", &p(n)))));
    world.projects.put("acme", (0..5).map(|n| format!("group/g or {}", member("h", &p(n)).unwrap().subject())));
    world.read().await.unwrap();
    world.new_records().await;
    let mut told = vec![gone(group("g")), gone(person("p5", true))];
    told.extend((0..5).map(|n| gone(member("h", &p(n)))));
    world.engine.change_sink().send(told).await.unwrap();
    assert_eq!(world.new_records().await, ["person.removed person/p5"]);
}

#[tokio::test]
async fn suspensions_that_empty_a_project_hold_back_nothing_that_came_beside_them() {
    let mut world = World::with(people(0..8).chain([group("ops"), member("ops", "p6")]));
    world.projects.put("acme", (0..5).map(|n| format!("person/{}", p(n))));
    world.read().await.unwrap();
    world.new_records().await;
    let mut told: Vec<SourceChange> =
        (0..5).map(|n| SourceChange::Fact(person(&p(n), false).unwrap().into())).collect();
    told.extend([gone(person("p7", true)), gone(member("ops", "p6"))]);
    world.engine.change_sink().send(told).await.unwrap();
    let recorded = world.new_records().await;
    assert_eq!(recorded.iter().filter(|one| one.contains("removed")).count(), 2, "{recorded:?}");
    assert_eq!(recorded.len(), 7, "{recorded:?}");
}

#[tokio::test]
async fn nobody_holds_back_their_own_end_by_taking_others_out_of_a_group_of_their_own() {
    let all = people(0..30).chain([group("ops"), group("own")]).chain((0..30).map(|n| member("ops", &p(n))));
    let mut world = World::with(all.chain((0..30).map(|n| member("own", &p(n)))));
    world.read().await.unwrap();
    world.new_records().await;
    let has = |group: &str, who: Range<usize>| SourceChange::GroupMembers {
        group: group.parse().unwrap(),
        members: who.map(|n| member(group, &p(n)).unwrap().into()).collect(),
    };
    world.source.take(&member("ops", "p0").unwrap().subject());
    world.engine.change_sink().send(vec![has("own", 29..30), has("ops", 1..30)]).await.unwrap();
    assert_eq!(world.new_records().await, ["group.member.removed member/ops/person/p0"]);
}

#[tokio::test]
async fn a_large_rest_waits_for_a_person_and_not_for_time() {
    let mut world = World::with(people(0..300).chain((0..2000).map(|n| group(&format!("g{n}")))));
    world.read().await.unwrap();
    world.delete(0..200).await;
    world.read().await.unwrap();
    let plan = world.held().await;
    assert_eq!(plan.removals, 200);
    world.new_records().await;
    for day in 1..3 {
        world.clock.0.store(day * 24 * 3600, Ordering::Relaxed);
        world.read().await.unwrap();
        assert_eq!((world.held().await.removals, world.recorded("person.removed").await), (200, 0), "day {day}");
    }
    let plan = world.held().await;
    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn whoever_waits_keeps_the_memberships_however_small_the_groups_are() {
    let name = |n: usize| format!("team{}", n / 6);
    let all = people(0..300).chain((0..50).map(|n| group(&name(n * 6))));
    let mut world = World::with(all.chain((0..300).map(|n| member(&name(n), &p(n)))));
    world.read().await.unwrap();
    world.new_records().await;
    let leaves = |n: &usize| n % 6 < 4;
    let sink = world.engine.change_sink();
    let mut told: Vec<SourceChange> = (0..300).filter(leaves).map(|n| gone(person(&p(n), true))).collect();
    told.push(gone(person("nobody", true)));
    sink.send(told).await.unwrap();
    for n in 0..50 {
        let stay = (n * 6..n * 6 + 6).filter(|n| !leaves(n)).map(|n| member(&name(n), &p(n)).unwrap().into());
        let told = SourceChange::GroupMembers { group: name(n * 6).parse().unwrap(), members: stay.collect() };
        sink.send(vec![told]).await.unwrap();
    }
    assert_eq!(world.new_records().await, Vec::<String>::new());
    // Who is there again does not wait.
    sink.send(vec![SourceChange::Fact(person("p0", true).unwrap().into())]).await.unwrap();
    sink.send(vec![gone(member("team0", "p0"))]).await.unwrap();
    assert_eq!(world.new_records().await, Vec::<String>::new(), "what waited by itself waits on");
    sink.send(vec![gone(person("p4", true)), gone(member("team0", "p4"))]).await.unwrap();
    assert_eq!(world.recorded("group.member.removed").await, 0, "no full read has seen the others yet");
}

#[tokio::test]
async fn the_rest_of_many_is_held_though_it_is_small_and_judged_alone_when_the_window_is_over() {
    let mut world = World::with(people(0..100));
    world.read().await.unwrap();
    world.delete(0..20).await;
    world.delete(20..25).await;
    world.new_records().await;
    world.read().await.unwrap();
    let plan = world.held().await;
    assert_eq!(plan.removals, 5);
    assert!(plan.reason.contains("5 of these were deleted together with too many others"), "{}", plan.reason);
    world.clock.0.store(599, Ordering::Relaxed);
    world.read().await.unwrap();
    assert_eq!((world.held().await.id, world.recorded("person.removed").await), (plan.id, 0));
    world.clock.0.store(600, Ordering::Relaxed);
    world.read().await.unwrap();
    assert_eq!((world.store.held_plan(&corp()).await.unwrap(), world.present_facts().await), (None, world.states()));
}

#[tokio::test]
async fn a_group_of_five_is_not_emptied_at_once_neither_by_silence_nor_by_saying_so_nor_with_the_group() {
    let members = ["a", "b", "c", "d", "e"];
    let all = || [group("ops")].into_iter().chain(members.map(|who| member("ops", who)));
    let silent = vec![SourceChange::GroupMembers { group: "ops".parse().unwrap(), members: Vec::new() }];
    let said = members.map(|who| gone(member("ops", who))).into();
    for told in [silent, said, vec![gone(group("ops"))]] {
        let mut world = World::with(all());
        world.read().await.unwrap();
        world.new_records().await;
        world.engine.change_sink().send(told).await.unwrap();
        assert_eq!(world.new_records().await, Vec::<String>::new());
        world.asks_for_a_read().await;
    }
    let mut world = World::with(all());
    world.read().await.unwrap();
    world.new_records().await;
    for who in members {
        world.engine.change_sink().send(vec![gone(member("ops", who))]).await.unwrap();
        assert_eq!(world.new_records().await.len(), 1, "who leaves alone goes at once");
    }
}

#[tokio::test]
async fn without_the_guard_nothing_waits() {
    let mut world = World::with(people(0..100));
    world.options.guard = false;
    world.restart();
    world.read().await.unwrap();
    world.new_records().await;
    world.delete(0..99).await;
    assert_eq!(world.recorded("person.removed").await, 99);
}
