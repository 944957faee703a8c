//! What is kept of a follower: good only with all that it was true of, and not before removals that wait were seen.

use std::sync::Arc;

use rollcall_eventlog::Log;
use rollcall_events::LogId;

use super::kit::{FailingLog, World, corp, recalled, save};
use crate::{
    EngineDeps,
    connector::{Cursor, FullReadReason, Pull, SaveOutcome, SourceChange, StateUpdate},
    reading::{engine::Engine, stores::SourceRecords},
    testkit::{group, member, person},
};

#[tokio::test]
async fn what_is_kept_of_a_follower_is_good_only_with_all_that_it_was_true_of() {
    let mut world = World::with([person("ada", true)]);
    let sink = world.engine.change_sink();
    assert_eq!(recalled(&sink).await, Err(FullReadReason::FirstStart));
    world.read().await.unwrap();
    assert_eq!(recalled(&sink).await, Err(FullReadReason::NothingSaved), "read, and never followed");
    save(&sink, 1).await;
    assert_eq!(recalled(&sink).await, Ok(1));
    world.restart();
    let sink = world.engine.change_sink();
    assert_eq!(recalled(&sink).await, Ok(1), "another process");
    let other = Log::in_memory(LogId([4; 8]), world.clock.clone());
    let log = FailingLog { log: other, ..world.log.clone() };
    let deps = EngineDeps { append: Arc::new(log.clone()), tail: Arc::new(log.log.clone()), ..world.deps.clone() };
    let elsewhere = Arc::new(Engine::new(corp(), Arc::new(world.source.clone()), deps, world.options.clone()));
    assert_eq!(recalled(&elsewhere.change_sink()).await, Err(FullReadReason::OtherLog));
    world.store.lose();
    assert_eq!(recalled(&sink).await, Err(FullReadReason::NothingSaved));
    let changed = sink.save(Cursor(vec![2]), || StateUpdate::Merge(Vec::new())).await;
    assert!(changed.is_err(), "notes that belong to what is lost");
    assert_eq!(recalled(&sink).await, Err(FullReadReason::NothingSaved));
}

#[tokio::test]
async fn nothing_is_kept_of_a_removal_that_waits_for_a_full_read_before_that_has_seen_it() {
    let members = ["a", "b", "c", "d", "e"];
    let world = World::with([group("ops")].into_iter().chain(members.map(|p| member("ops", p))));
    world.read().await.unwrap();
    let sink = world.engine.change_sink();
    assert_eq!(save(&sink, 1).await, SaveOutcome::Saved);
    let running = sink.begin_snapshot(FullReadReason::Refused("it forgot".into())).await.unwrap();
    let running = world.source.read(running).await.unwrap();
    members.iter().for_each(|p| world.source.take(&format!("member/ops/person/{p}")));
    sink.send(vec![SourceChange::GroupMembers { group: "ops".parse().unwrap(), members: Vec::new() }]).await.unwrap();
    assert_eq!(save(&sink, 2).await, SaveOutcome::Deferred, "no plan yet");
    sink.apply_snapshot(running).await.unwrap();
    assert_eq!(save(&sink, 2).await, SaveOutcome::Deferred, "that read began before");
    assert_eq!(recalled(&sink).await, Ok(1));
    let whole = world.store.status(&corp()).await.unwrap().unwrap().whole.unwrap();
    assert_eq!(whole.why, "it forgot");
    world.read().await.unwrap();
    assert_eq!(save(&sink, 2).await, SaveOutcome::Deferred, "now a plan waits");
    let plan = world.held().await;
    world.apply(&plan).await.unwrap();
    assert_eq!((save(&sink, 2).await, recalled(&sink).await), (SaveOutcome::Saved, Ok(2)));
}
