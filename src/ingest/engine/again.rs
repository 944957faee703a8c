//! Asks a source for single subjects: also for whatever it only did not name, before that is removed. Appends nothing.

use std::{collections::BTreeMap, sync::Arc};

use rollcall_events::Body;

use super::{Engine, Supervised};
use crate::{
    difference::Change,
    pull::{FactSelector, Failure, LookupAnswer},
};

impl Engine {
    /// Asks for single subjects, in a task of its own: what panics there costs the answers and nothing else.
    pub(super) async fn ask(&self, subjects: Vec<Body>) -> Result<Vec<LookupAnswer>, Failure> {
        let (pull, now) = (Arc::clone(&self.pull), self.deps.clock.now());
        let asking = Supervised(tokio::spawn(async move { pull.look_up(&subjects, now).await }));
        asking.await.unwrap_or_else(|_| Err(Failure::Partial("the connector failed: a defect of Rollcall".to_owned())))
    }

    /// What would be removed and is there when it is asked for by its id. A read is not of one moment and a follower is
    /// late: who moves meanwhile may be seen nowhere, and a name may mean somebody else by now.
    ///
    /// # Errors
    /// The source does not answer, so nothing is known.
    pub(super) async fn find_still_present(
        &self,
        changes: &[Change],
    ) -> Result<BTreeMap<FactSelector, String>, Failure> {
        let asked: Vec<Body> = removed(changes).filter_map(|change| change.was.clone()).collect();
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answers = self.ask(asked.clone()).await?;
        let protected = asked.into_iter().zip(answers).filter_map(|(was, answer)| {
            let reason = match answer {
                LookupAnswer::Stated(_) => "it was not named, and it is there when asked for by itself".to_owned(),
                LookupAnswer::Unanswered(why) => {
                    format!("it was not named, and could not be asked for by itself: {why}")
                }
                // What cannot be found by itself either is what the read said it is: not there.
                LookupAnswer::Gone | LookupAnswer::Unknown(_) => return None,
            };
            Some((FactSelector::Subject(was.subject()), reason))
        });
        Ok(protected.collect())
    }
}

/// Everything that would be removed, where the source could not be asked whether it is there.
pub(super) fn unconfirmed(changes: &[Change], failure: &Failure) -> BTreeMap<FactSelector, String> {
    let reason = format!("it was not named, and could not be asked for by itself: {failure}");
    removed(changes).map(|change| (FactSelector::Subject(change.subject.clone()), reason.clone())).collect()
}

fn removed(changes: &[Change]) -> impl Iterator<Item = &Change> {
    changes.iter().filter(|change| change.body.is_removal())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::{
        engine::tests::World,
        memory::{MemorySource, group, member, person},
        pull::{Pull, Scope, Snapshot, SnapshotBuilder, SourceChange},
    };

    /// A source whose reads overlook somebody, and what becomes of a question for them.
    struct Moving {
        read: MemorySource,
        asked: Option<MemorySource>,
    }

    #[async_trait]
    impl Pull for Moving {
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
        world.restart_with(Arc::new(Moving { read: overlooking, asked: Some(all.clone()) }));
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
    struct Busy(MemorySource);

    #[async_trait]
    impl Pull for Busy {
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
        world.restart_with(Arc::new(Busy(overlooking)));
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
        world.restart_with(Arc::new(Moving { read: overlooking, asked: None }));
        world.new_records().await;
        world.read().await.unwrap();
        assert_eq!(world.new_records().await, ["snapshot.started", "snapshot.sealed"]);
        let told = SourceChange::GroupMembers { group: "ops".parse().unwrap(), members: Vec::new() };
        world.engine.change_sink().send(vec![told]).await.unwrap_err();
        assert_eq!(world.new_records().await, [""; 0]);
    }
}
