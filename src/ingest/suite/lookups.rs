//! Single subjects are looked up before they are removed for not having been named, and before they are given
//! something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::Body;

use super::kit::{World, save};
use crate::{
    connector::{Failure, LookupAnswer, Pull, SaveOutcome, Scope, Snapshot, SnapshotBuilder, SourceChange},
    testkit::{MemorySource, group, member, person},
};

/// A source whose reads overlook somebody, and what becomes of a question for them.
struct MovingSource {
    read: MemorySource,
    asked: Option<MemorySource>,
}

#[async_trait]
impl Pull for MovingSource {
    fn scope(&self) -> Scope {
        self.read.scope()
    }

    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        self.read.read(builder).await
    }

    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        self.asked.as_ref().expect("the connector broke").look_up(subjects, now).await
    }
}

fn facts() -> [Option<Body>; 4] {
    [group("ops"), person("ada", true), person("bob", true), member("ops", "ada")]
}

#[tokio::test]
async fn who_is_overlooked_and_is_there_when_asked_for_stays() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    let (overlooking, all) = (MemorySource::default(), world.source.clone());
    overlooking.put(group("ops").unwrap());
    all.take("person/bob");
    world.restart_with(Arc::new(MovingSource { read: overlooking, asked: Some(all.clone()) }));
    world.new_records().await;
    world.read().await.unwrap();
    assert_eq!(world.new_records().await[2..], ["person.removed person/bob", "snapshot.applied"]);
    let told = SourceChange::GroupMembers { group: "ops".parse().unwrap(), members: Vec::new() };
    world.engine.change_sink().send(vec![told.clone()]).await.unwrap();
    assert_eq!(world.new_records().await, [""; 0]);
    all.take("member/ops/person/ada");
    world.engine.change_sink().send(vec![told]).await.unwrap();
    assert_eq!(world.new_records().await, ["group.member.removed member/ops/person/ada"]);
}

/// A source that is too busy for so many questions.
struct BusySource(MemorySource, AtomicUsize);

#[async_trait]
impl Pull for BusySource {
    fn scope(&self) -> Scope {
        self.0.scope()
    }

    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        self.0.read(builder).await
    }

    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        if self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return self.0.look_up(subjects, now).await;
        }
        Ok(vec![LookupAnswer::Unanswered("51 (busy)".to_owned()); subjects.len()])
    }
}

#[tokio::test]
async fn a_question_that_is_refused_is_no_answer_and_removes_nobody() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    let overlooking = MemorySource::default();
    overlooking.put(group("ops").unwrap());
    world.restart_with(Arc::new(BusySource(overlooking, 1.into())));
    world.new_records().await;
    world.read().await.unwrap();
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed"]);
}

#[tokio::test]
async fn a_connector_that_breaks_when_it_is_asked_removes_nobody() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    let overlooking = MemorySource::default();
    overlooking.put(group("ops").unwrap());
    world.restart_with(Arc::new(MovingSource { read: overlooking, asked: None }));
    world.new_records().await;
    world.read().await.unwrap();
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed"]);
    let sink = world.engine.change_sink();
    sink.send(vec![ops_is(&[])]).await.unwrap_err();
    assert_eq!(world.new_records().await, [""; 0]);
    // Nor does anybody get anything; and whoever goes goes.
    let gone = SourceChange::Removed(person("bob", true).unwrap().removal().unwrap());
    sink.send(vec![ops_is(&["bob"]), stated(person("ada", false)), gone]).await.unwrap_err();
    assert_eq!(world.new_records().await, ["person.removed person/bob", "person.upserted person/ada"]);
}

fn stated(body: Option<Body>) -> SourceChange {
    SourceChange::Fact(body.unwrap().into())
}

fn ops_is(people: &[&str]) -> SourceChange {
    let members = people.iter().map(|person| member("ops", person).unwrap().into()).collect();
    SourceChange::GroupMembers { group: "ops".parse().unwrap(), members }
}

#[tokio::test]
async fn who_enters_a_group_by_a_list_that_is_older_than_a_name_does_not_enter_it() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    world.new_records().await;
    let sink = world.engine.change_sink();
    let doubtful = sink.send(vec![ops_is(&["ada", "bob"])]).await.unwrap();
    assert_eq!((doubtful, world.new_records().await), (vec!["ops".parse().unwrap()], vec![]));
    let doubtful = sink.send(vec![stated(member("ops", "bob"))]).await.unwrap();
    assert_eq!((doubtful.len(), world.new_records().await.len()), (1, 0));
    world.source.put(member("ops", "bob").unwrap());
    let doubtful = sink.send(vec![ops_is(&["ada", "bob"])]).await.unwrap();
    assert_eq!(
        (doubtful, world.new_records().await),
        (vec![], vec!["group.member.added member/ops/person/bob".into()])
    );
}

#[tokio::test]
async fn what_a_full_read_took_does_not_come_back_by_an_older_change() {
    let mut world = World::with(facts().into_iter().chain([person("kim", true)]));
    world.read().await.unwrap();
    for gone in ["member/ops/person/ada", "person/kim"] {
        world.source.take(gone);
    }
    world.source.put(person("ada", false).unwrap());
    world.read().await.unwrap();
    world.new_records().await;
    let late = vec![stated(person("ada", true)), stated(person("kim", true)), ops_is(&["ada"])];
    world.engine.change_sink().send(late.clone()).await.unwrap();
    assert_eq!(world.new_records().await, [""; 0]);
    facts().into_iter().chain([person("kim", true)]).for_each(|body| world.source.put(body.unwrap()));
    world.engine.change_sink().send(late).await.unwrap();
    assert_eq!(
        world.new_records().await,
        ["person.upserted person/ada", "person.upserted person/kim", "group.member.added member/ops/person/ada"]
    );
}

#[tokio::test]
async fn what_the_source_does_not_answer_waits_for_a_full_read_and_so_does_the_cursor() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    world.restart_with(Arc::new(BusySource(world.source.clone(), 1.into())));
    let sink = world.engine.change_sink();
    assert_eq!(save(&sink, 1).await, SaveOutcome::Saved);
    world.new_records().await;
    world.source.put(member("ops", "bob").unwrap());
    let doubtful = sink.send(vec![ops_is(&["ada", "bob"]), stated(person("new", true))]).await.unwrap();
    assert_eq!((doubtful, world.new_records().await.pop().unwrap().as_str()), (vec![], "person.upserted person/new"));
    assert_eq!(save(&sink, 2).await, SaveOutcome::Deferred);
    let asked = world.engine.read_requested.notified();
    tokio::time::timeout(Duration::from_secs(5), asked).await.expect("a full read is wanted");
    world.source.put(person("new", true).unwrap());
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
    assert_eq!(save(&sink, 2).await, SaveOutcome::Saved);
}

#[tokio::test]
async fn what_a_later_read_gives_is_asked_for_too_and_left_out_where_the_source_says_otherwise() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    let (read, now) = (MemorySource::default(), world.source.clone());
    let given = [member("ops", "bob"), group("dev"), member("dev", "ada")];
    facts().into_iter().chain(given.clone()).for_each(|body| read.put(body.unwrap()));
    now.put(group("dev").unwrap());
    now.put(member("dev", "ada").unwrap());
    world.restart_with(Arc::new(MovingSource { read: read.clone(), asked: Some(now.clone()) }));
    world.new_records().await;
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
    assert_eq!(world.engine.status().await.unwrap().excluded.count, 1);
    now.put(member("ops", "bob").unwrap());
    world.read().await.unwrap();
    assert_eq!((world.present_facts().await, world.engine.status().await.unwrap().excluded.count), (world.states(), 0));
}
