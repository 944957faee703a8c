//! Single subjects are looked up before they are removed for not having been named.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::Body;

use super::kit::World;
use crate::{
    connector::{Failure, LookupAnswer, Pull, Scope, Snapshot, SnapshotBuilder, SourceChange},
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

/// A source that is too busy for questions.
struct BusySource(MemorySource);

#[async_trait]
impl Pull for BusySource {
    fn scope(&self) -> Scope {
        self.0.scope()
    }

    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        self.0.read(builder).await
    }

    async fn look_up(&self, subjects: &[Body], _: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        Ok(vec![LookupAnswer::Unanswered("51 (busy)".to_owned()); subjects.len()])
    }
}

#[tokio::test]
async fn a_question_that_is_refused_is_no_answer_and_removes_nobody() {
    let mut world = World::with(facts());
    world.read().await.unwrap();
    let overlooking = MemorySource::default();
    overlooking.put(group("ops").unwrap());
    world.restart_with(Arc::new(BusySource(overlooking)));
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
    let told = SourceChange::GroupMembers { group: "ops".parse().unwrap(), members: Vec::new() };
    world.engine.change_sink().send(vec![told]).await.unwrap_err();
    assert_eq!(world.new_records().await, [""; 0]);
}
