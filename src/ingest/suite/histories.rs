//! Histories of a source as a property: changes, faults, crashes between appends, restarts, in every order.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use proptest::prelude::*;
use rollcall_events::{Body, Position};

use super::kit::{World, corp, removed};
use crate::{
    RunOutcome,
    connector::{FactSelector, Failure, SourceChange},
    reading::stores::SourceRecords,
    testkit::{Fault, group, member, person},
};

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Take(usize),
    Suspend(usize),
    Read,
    Fail(usize, u8),
    Empty,
    Crash {
        batches: u64,
        takes_last: bool,
    },
    Restart {
        loses: bool,
    },
    Tell(usize),
    Exclude(usize),
    ApplyHeld,
    /// Another runner takes the source over while this one reads; then that one ends too.
    Rival,
}

/// People, groups and memberships: fewer than the guard's twenty, groups of five among them.
fn universe() -> Vec<Body> {
    let people = ["a", "b", "c", "d", "e", "f"];
    let mut all: Vec<Option<Body>> = people.iter().map(|p| person(p, true)).collect();
    all.extend([group("g"), group("h")]);
    all.extend(people.iter().map(|p| member("g", p)));
    all.extend(people.iter().take(3).map(|p| member("h", p)));
    all.into_iter().map(Option::unwrap).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..universe().len();
    prop_oneof![
        4 => n.clone().prop_map(Step::Put),
        4 => n.clone().prop_map(Step::Take),
        1 => (0..6_usize).prop_map(Step::Suspend),
        4 => Just(Step::Read),
        2 => (n.clone(), 0..6_u8).prop_map(|(n, how)| Step::Fail(n, how)),
        1 => Just(Step::Empty),
        2 => (1..5_u64, any::<bool>()).prop_map(|(batches, takes_last)| Step::Crash { batches, takes_last }),
        1 => any::<bool>().prop_map(|loses| Step::Restart { loses }),
        2 => n.clone().prop_map(Step::Tell),
        1 => n.prop_map(Step::Exclude),
        1 => Just(Step::ApplyHeld),
        1 => Just(Step::Rival),
    ]
}

/// Nothing ended that the source still states as it did.
async fn nothing_ended_unasked(world: &mut World) {
    let stated: BTreeMap<String, Body> = world.source.facts().into_iter().map(|body| (body.subject(), body)).collect();
    let records = world.records(world.looked).await;
    world.looked = records.last().map_or(world.looked, |record| record.position);
    for record in records {
        let body = Body::parse(&record.event.kind, &record.event.data).unwrap();
        if body.emitter().is_for_connectors() {
            let now = stated.get(&*record.event.subject);
            if body.is_removal() {
                assert_eq!(now, None, "{} ended and the source states it", record.event.subject);
            } else {
                assert_eq!(now, Some(&body), "{} was stated otherwise than the source does", record.event.subject);
            }
        }
    }
}

async fn history(steps: Vec<Step>) {
    let all = universe();
    let mut world = World::with(all.iter().cloned().map(Some));
    world.read().await.unwrap();
    nothing_ended_unasked(&mut world).await;
    for step in steps {
        match step {
            Step::Put(n) => world.source.put(all[n].clone()),
            Step::Take(n) => world.source.take(&all[n].subject()),
            Step::Suspend(n) => world.source.put(person(["a", "b", "c", "d", "e", "f"][n], false).unwrap()),
            Step::Read => drop(world.read().await),
            Step::Fail(n, how) => {
                let failure = match how {
                    0 => Failure::Unreachable("cut".into()),
                    1 => Failure::Unauthorised("49".into()),
                    2 => Failure::Blind { reason: "429".into(), retry_after: None },
                    _ => Failure::Partial("a page is missing".into()),
                };
                world.source.fail(Some(if how == 5 { Fault::Unclosed(n) } else { Fault::After(n, failure) }));
                world.read().await.unwrap_err();
                world.source.fail(None);
            }
            Step::Empty => {
                world.source.fail(Some(Fault::Empty));
                let empty = world.read().await.unwrap();
                assert_eq!(removed(&empty), 0);
                world.source.fail(None);
            }
            Step::Crash { batches, takes_last } => {
                world.log.takes_last.store(u64::from(takes_last), Ordering::Relaxed);
                world.log.left.store(batches, Ordering::Relaxed);
                drop(world.read().await);
                world.restart();
            }
            Step::Restart { loses } => {
                if loses {
                    world.store.lose();
                }
                world.restart();
            }
            Step::Tell(n) => {
                let subject = all[n].subject();
                let now = world.source.facts().into_iter().find(|body| body.subject() == subject);
                let told = now.map_or_else(
                    || SourceChange::Removed(all[n].removal().unwrap()),
                    |body| SourceChange::Fact(body.into()),
                );
                // A group that is gone takes its members with it; a real source says so of a group that has none.
                if !matches!(told, SourceChange::Removed(Body::GroupRemoved(_))) {
                    world.engine.change_sink().send(vec![told]).await.unwrap();
                }
            }
            Step::Exclude(n) => {
                world.source.exclude(FactSelector::Subject(all[n].subject()), "no answer");
                drop(world.read().await);
                world.source.resolve();
            }
            Step::ApplyHeld => {
                if let Some(plan) = world.store.held_plan(&corp()).await.unwrap() {
                    world.apply(&plan).await.unwrap();
                }
            }
            Step::Rival => {
                let begun = world.newer_runner_event().await;
                world.log.intruders.lock().unwrap().push(begun);
                drop(world.read().await);
                world.log.intruders.lock().unwrap().clear();
                world.restart();
            }
        }
        nothing_ended_unasked(&mut world).await;
    }
    // In the end somebody confirms whatever is held, and the log says what the source says.
    if let RunOutcome::Held { plan, .. } = world.read().await.unwrap() {
        let applied = world.apply(&plan).await.unwrap();
        assert!(matches!(applied, RunOutcome::UpToDate { .. }), "{applied:?}");
    }
    nothing_ended_unasked(&mut world).await;
    assert_eq!(world.present_facts().await, world.states());
    let before = world.records(Position(0)).await.len();
    world.read().await.unwrap();
    assert_eq!(world.records(Position(0)).await.len(), before + 2, "an unchanged read is two events");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn whatever_happens_the_log_comes_to_say_what_the_source_says_and_nothing_ends_unasked(
        steps in proptest::collection::vec(step(), 0..14)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(history(steps));
    }
}
