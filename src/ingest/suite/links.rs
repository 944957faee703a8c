//! Other attributes than before say whom a source's people are elsewhere: that waits, and nothing else does.

use super::kit::*;
use crate::{
    connector::{FullReadReason, Pull as _, SourceChange},
    reading::{plan::PlanReason, run::Intent, status::SourceState},
    testkit::{group, member, person, said_to_be},
};

fn says(facts: &std::collections::BTreeSet<String>, word: &str) -> bool {
    facts.iter().any(|data| data.contains(word))
}

#[tokio::test]
async fn while_new_links_wait_for_a_person_everything_else_that_a_source_says_counts() {
    let joe = member("devs", "joe").unwrap();
    let world = World::with([person("ada", true), person("joe", true), group("devs"), Some(joe.clone())]);
    world.read().await.unwrap();
    // The directory is asked for the other system's id too from now on, and joe leaves at that moment.
    world.source.relink(Some("employeeNumber"));
    world.source.put(said_to_be("ada", true, "77").unwrap());
    world.source.put(said_to_be("eve", true, "78").unwrap());
    world.source.take(&joe.subject());
    world.read().await.unwrap();
    let facts = world.present_facts().await;
    assert!(!says(&facts, "devs\",\"member"), "joe is in no group any more: {facts:?}");
    assert!(
        says(&facts, "eve") && !says(&facts, "flexnet"),
        "eve is there, and nobody is anybody of flexnet: {facts:?}"
    );
    let plan = world.held().await;
    assert_eq!((plan.why, plan.additions, plan.changes, plan.removals), (PlanReason::Links, 0, 2, 0), "{plan:?}");
    assert_eq!(world.state().await, SourceState::Held);

    // What is heard while it is followed counts too.
    world.source.put(said_to_be("ada", false, "77").unwrap());
    let sink = world.engine.change_sink();
    sink.send(vec![SourceChange::Fact(said_to_be("ada", false, "77").unwrap().into())]).await.unwrap();
    let facts = world.present_facts().await;
    assert!(says(&facts, "\"active\":false") && !says(&facts, "flexnet"), "ada is suspended at once: {facts:?}");

    world.read().await.unwrap();
    world.apply(&world.held().await).await.unwrap();
    assert_eq!((world.state().await, world.present_facts().await), (SourceState::Healthy, world.states()));
    world.source.put(said_to_be("zoe", true, "79").unwrap());
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states(), "from then on it counts as it comes");
}

#[tokio::test]
async fn taking_links_out_of_the_configuration_parts_nobody_before_somebody_confirms_how_many() {
    let world = World::new();
    world.source.relink(Some("employeeNumber"));
    world.source.put(said_to_be("ada", true, "77").unwrap());
    world.source.put(person("bob", true).unwrap());
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states(), "the first read is looked at like any other");
    world.source.relink(None);
    world.source.put(person("ada", true).unwrap());
    for _ in 0..2 {
        world.read().await.unwrap();
        assert!(says(&world.present_facts().await, "flexnet"), "she is who she was said to be");
    }
    let plan = world.held().await;
    assert_eq!((plan.why, plan.changes, plan.removals), (PlanReason::Links, 0, 1), "{plan:?}");
    let rows = world.store.rows(&plan.id);
    assert_eq!(
        rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(),
        ["the person ada is no longer said to be 77 of flexnet"]
    );
    world.apply(&plan).await.unwrap();
    assert_eq!((world.state().await, world.present_facts().await), (SourceState::Healthy, world.states()));
}

#[tokio::test]
async fn a_plan_that_is_asked_for_while_links_wait_shows_them_and_can_be_applied() {
    let world = World::with([person("ada", true), person("bob", true)]);
    world.read().await.unwrap();
    world.source.relink(Some("employeeNumber"));
    world.source.put(said_to_be("ada", false, "77").unwrap());
    let planned = world.engine.run(Intent::Plan).await.unwrap();
    let crate::reading::run::RunOutcome::Planned(plan) = planned else { panic!("{planned:?}") };
    assert_eq!(
        world.store.rows(&plan.id)[0].text,
        "the person ada is no longer active and is said to be 77 of flexnet"
    );
    world.apply(&plan).await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn an_attribute_with_ids_that_is_hidden_from_one_read_parts_nobody_either() {
    let world = World::new();
    world.source.relink(Some("employeeNumber"));
    (0..40).for_each(|i| world.source.put(said_to_be(&format!("p{i}"), true, &i.to_string()).unwrap()));
    world.read().await.unwrap();
    (0..40).for_each(|i| world.source.put(person(&format!("p{i}"), true).unwrap()));
    world.read().await.unwrap();
    assert_eq!((world.held().await.why, world.held().await.removals), (PlanReason::Guard, 40));
    assert!(says(&world.present_facts().await, "flexnet"));
}

#[tokio::test]
async fn a_label_is_read_from_another_attribute_without_anybody_looking_and_once_as_a_whole() {
    let world = World::with([person("ada", true)]);
    let sink = world.engine.change_sink();
    let read = world.source.read(sink.begin_snapshot(FullReadReason::FirstStart).await.unwrap()).await.unwrap();
    sink.apply_snapshot(read).await.unwrap();
    save(&sink, 1).await;
    world.source.relabel("description");
    assert_eq!(recalled(&sink).await, Err(FullReadReason::OtherScope), "all of it is read once more");
    world.source.put(person("bob", true).unwrap());
    world.read().await.unwrap();
    assert_eq!((world.state().await, world.present_facts().await), (SourceState::Healthy, world.states()));
}

#[tokio::test]
async fn how_many_facts_stand_is_told_while_they_come_one_by_one() {
    let world = World::with([person("ada", true), group("ops")]);
    world.read().await.unwrap();
    let sink = world.engine.change_sink();
    for (change, facts) in [
        (SourceChange::Fact(person("bob", true).unwrap().into()), 3),
        (SourceChange::Fact(person("bob", false).unwrap().into()), 3),
        (SourceChange::Removed(person("ada", true).unwrap().removal().unwrap()), 2),
    ] {
        if let SourceChange::Fact(fact) = &change {
            world.source.put(fact.body.clone());
        }
        sink.send(vec![change]).await.unwrap();
        assert_eq!(world.engine.status().await.unwrap().facts, facts);
    }
}
