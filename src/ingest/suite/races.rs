//! Two ways to say something of one subject at one moment: a full read and a webhook of the same source.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_eventlog::{Append, Log};
use rollcall_events::{Body, NewEvent};

use super::kit::World;
use crate::{
    connector::{Failure, LookupAnswer, Pull, Scope, Snapshot, SnapshotBuilder},
    testkit::{MemorySource, person},
};

/// A source about which something is recorded, by another way, while it is read.
struct MeanwhileSource {
    source: MemorySource,
    log: Log,
    said: Mutex<Vec<NewEvent>>,
    /// What the source states once the read is over.
    after: Body,
}

#[async_trait]
impl Pull for MeanwhileSource {
    fn scope(&self) -> Scope {
        self.source.scope()
    }
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        let snapshot = self.source.read(builder).await;
        self.source.put(self.after.clone());
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        if !said.is_empty() {
            self.log.append(said).await.unwrap();
        }
        snapshot
    }
    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        self.source.look_up(subjects, now).await
    }
}

#[tokio::test]
async fn what_is_recorded_while_a_read_runs_is_newer_than_the_read() {
    let mut world = World::with([person("ada", true), person("bob", true)]);
    world.read().await.unwrap();
    world.new_records().await;
    // The read still sees ada suspended; a webhook says meanwhile that she is back.
    world.source.put(person("ada", false).unwrap());
    let back = person("ada", true).unwrap();
    let said = |body: &Body| {
        let mut event = world.engine.run_event(body, "hook");
        event.data = r#"{"person":"ada","username":"ada","account":null,"active":true }"#.into();
        event
    };
    let said = Mutex::new(vec![said(&back)]);
    let meanwhile =
        MeanwhileSource { source: world.source.clone(), log: world.log.log.clone(), said, after: back.clone() };
    world.restart_with(Arc::new(meanwhile));
    world.read().await.unwrap();
    assert_eq!(
        world.new_records().await,
        ["snapshot.started", "person.upserted person/ada", "snapshot.sealed"],
        "she is looked up singly and is as the webhook said"
    );
}

#[tokio::test]
async fn what_gets_in_between_comparing_and_appending_is_looked_up_and_said_once_more() {
    let mut world = World::with([person("ada", true)]);
    world.read().await.unwrap();
    world.new_records().await;
    world.source.put(person("ada", false).unwrap());
    // A webhook says the same a moment earlier than the read, then that she is back; the source says so too by then.
    let back = person("ada", true).unwrap();
    let mut event = world.engine.run_event(&back, "hook");
    event.data = r#"{"person":"ada","username":"ada","account":null,"active":true }"#.into();
    world.log.intruders.lock().unwrap().push(event);
    let late = LateSource { source: world.source.clone(), back };
    world.restart_with(Arc::new(late));
    world.read().await.unwrap();
    assert_eq!(world.present_facts().await, world.states());
}

#[tokio::test]
async fn the_same_fact_written_otherwise_is_no_change() {
    let mut world = World::with([person("ada", true), person("bob", true)]);
    let mut event = world.engine.run_event(&person("ada", true).unwrap(), "hook");
    event.data = r#"{"active": true, "person":"ada","account":null, "username":"ada"}"#.into();
    world.log.log.append(vec![event]).await.unwrap();
    world.new_records().await;
    world.read().await.unwrap();
    let news = world.new_records().await;
    assert_eq!(news, ["snapshot.started", "snapshot.sealed", "person.upserted person/bob", "snapshot.applied"]);
    world.read().await.unwrap();
    assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed"]);
}

/// A source that states something else as soon as it was read.
struct LateSource {
    source: MemorySource,
    back: Body,
}

#[async_trait]
impl Pull for LateSource {
    fn scope(&self) -> Scope {
        self.source.scope()
    }
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        let snapshot = self.source.read(builder).await;
        self.source.put(self.back.clone());
        snapshot
    }
    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        self.source.look_up(subjects, now).await
    }
}
