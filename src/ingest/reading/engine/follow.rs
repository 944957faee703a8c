//! What becomes of the changes that a follower sends: they are recorded at once, what they give once the source says so too;
//! conclusions from silence, and removals that come in numbers, pass the removal guard first. Its sync state is saved after
//! the facts it stands for, and given back only while it is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Id, NewEvent, Position, body::group_member_subject_prefix};

use super::{
    Engine, Intent, Lease, RunError,
    compare::split_links,
    lookup::{Unconfirmed, not_asked},
};
use crate::{
    baseline::{BaselineEntries, BaselineEntry, Fingerprint, RecordedFact, RecordedFacts, beginning_with},
    connector::{
        ChangeSink, Cursor, FactSelector, Failure, FullReadReason, PersonalData, ResumePoint, SaveOutcome, SinkBackend,
        SinkError, Snapshot, SnapshotBuilder, SourceChange, StateUpdate, UnreadMembers,
    },
    reading::{
        change::{Change, in_order},
        plan::PlanReason,
        status::{AbsentMembers, SourceState, SourceStatus},
        stores::{BaselineState, SavedCursor},
        telemetry,
    },
};

/// Whether changes that a follower told wait for a full read. Before one that began later is concluded, nothing that the
/// follower knows is kept: it would not tell them again.
#[derive(Debug, Default)]
pub(super) struct WithheldChanges {
    withheld: AtomicU64,
    covered: AtomicU64,
}

impl WithheldChanges {
    fn add(&self) {
        self.withheld.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so; a full read that begins now will have seen as many.
    pub fn count(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    pub fn cover(&self, count: u64) {
        self.covered.fetch_max(count, Ordering::Relaxed);
    }

    pub fn is_pending(&self) -> bool {
        self.covered.load(Ordering::Relaxed) < self.count()
    }
}

impl From<RunError> for SinkError {
    fn from(error: RunError) -> Self {
        Self(error.to_string())
    }
}

/// An engine as its follower reaches it.
pub(super) struct EngineSink(pub Arc<Engine>);

impl Engine {
    /// The follower's way to the log.
    pub fn change_sink(self: &Arc<Self>) -> ChangeSink {
        ChangeSink(Arc::new(EngineSink(Arc::clone(self))))
    }

    /// From what its follower goes on.
    async fn resume_point(&self) -> Result<Result<ResumePoint, FullReadReason>, RunError> {
        let store = &self.deps.store;
        let baseline = {
            let _writing = self.writing.lock().await;
            self.catch_up().await?
        };
        let scope = self.pull.scope();
        let (digest, cursor_digest) = (scope.digest(), scope.cursor_digest());
        let saved = match store.saved_cursor(&self.source).await? {
            Some(kept) if kept.log != self.deps.append.log_id().to_string() => {
                return Ok(Err(FullReadReason::OtherLog));
            }
            Some(kept) if kept.scope != cursor_digest => return Ok(Err(FullReadReason::OtherScope)),
            kept => kept,
        };
        match (baseline.scope, saved) {
            (None, _) => Ok(Err(FullReadReason::FirstStart)),
            (Some(applied), _) if applied != digest => Ok(Err(FullReadReason::OtherScope)),
            (Some(_), None) => Ok(Err(FullReadReason::NothingSaved)),
            (Some(_), Some(saved)) => {
                let later = self.recorded_since(saved.position).await?;
                let later = later.values().filter_map(RecordedFact::body).collect();
                Ok(Ok(ResumePoint { cursor: saved.cursor, entries: store.sync_state(&self.source).await?, later }))
            }
        }
    }

    /// Whether what a follower knows may be kept now.
    async fn can_save(&self) -> Result<SaveOutcome, RunError> {
        let held = self.withheld.is_pending() || self.deps.store.held_plan(&self.source).await?.is_some();
        Ok(if held { SaveOutcome::Deferred } else { SaveOutcome::Saved })
    }

    /// Keeps it.
    async fn save(&self, cursor: Cursor, update: StateUpdate) -> Result<SaveOutcome, RunError> {
        let (store, log) = (&self.deps.store, self.deps.append.log_id());
        // Nothing may be held from here on.
        let _writing = self.writing.lock().await;
        if self.can_save().await? == SaveOutcome::Deferred {
            return Ok(SaveOutcome::Deferred);
        }
        let (scope, log) = (self.pull.scope().cursor_digest(), log.to_string());
        if matches!(update, StateUpdate::Merge(_)) {
            let kept = store.saved_cursor(&self.source).await?;
            if kept.is_none_or(|kept| kept.log != log || kept.scope != scope) {
                return Err(RunError::Storage(
                    "the sync state that this update extends is not stored any more".to_owned(),
                ));
            }
        }
        let position = store.baseline_state(self.deps.append.log_id(), &self.source).await?.position;
        let saved = SavedCursor { log, scope, position, cursor };
        store.save_sync_state(&self.source, &saved, update).await?;
        Ok(SaveOutcome::Saved)
    }

    /// What a follower told waits for a full read.
    fn withhold(&self) {
        self.withheld.add();
        self.read_requested.notify_one();
    }

    /// Records the changes that a follower heard of. Gives the groups whose members the source, asked, says otherwise.
    async fn record_changes(&self, facts: Vec<SourceChange>) -> Result<Vec<Id>, RunError> {
        let _writing = self.writing.lock().await;
        let baseline = self.catch_up().await?;
        if self.needs_review(&baseline).is_some() {
            // Somebody has yet to say that what is read now may count. Whoever does has all of it read again.
            self.note_reachable(0).await?;
            return Ok(Vec::new());
        }
        let (subjects, prefixes) = affected_entries(&facts);
        let known = self.deps.store.entries(&self.source, &subjects, &prefixes).await?;
        let DesiredState { mut facts, inferred, names } = desired_state(facts, &known);
        self.note_stated_again(facts.iter().filter(|(_, body)| body.is_some()).map(|(subject, _)| subject.as_str()));
        facts.retain(|subject, body| may_differ(subject, body.as_ref(), known.get(subject.as_str())));
        let places: Vec<_> = facts.keys().filter_map(|subject| known.get(subject.as_str())).collect();
        let before = self.facts_at(&places.into_iter().map(|entry| entry.position).collect::<Vec<_>>()).await?;
        let changes = facts.into_iter().filter_map(|(subject, body)| change(subject, body, &before)).collect();
        let mut changes = in_order(changes);
        if changes.iter().any(|change| change.body.check_size().is_err()) {
            // A full read leaves it as it was, and shows which it is and why.
            changes.retain(|change| change.body.check_size().is_ok());
            self.withhold();
        }
        let links_wait = self.links_wait(&baseline);
        if links_wait {
            changes = split_links(changes).0;
        }
        // Where nothing can be asked, whoever goes goes all the same; the rest is told again.
        let (unconfirmed, failed) = match self.find_unconfirmed(&changes, links_wait).await {
            Ok(unconfirmed) => (unconfirmed, None),
            Err(failure) => (Unconfirmed::failed(&changes, &failure), Some(failure)),
        };
        if failed.is_none() && !unconfirmed.unanswered.is_empty() {
            self.withhold();
        }
        let doubtful = groups_of(changes.iter().filter(|change| unconfirmed.refused.contains_key(&change.subject)));
        unconfirmed.take_from(&mut changes);
        let withheld = self.withheld_removals(&changes, &inferred, &baseline).await?;
        if !withheld.is_empty() {
            // A full read finds the whole of it and makes the plan.
            changes.retain(|change| !withheld.contains(&change.subject));
            self.withhold();
        }
        let doubted: Vec<Change> = changes.iter().filter(|c| inferred.contains(&c.subject)).cloned().collect();
        let still_present = match failed {
            None => self.find_still_present(&doubted).await,
            Some(failure) => Err(failure),
        };
        let (still_present, failed) = match still_present {
            Ok(there) => (there, None),
            Err(failure) => (not_asked(&doubted, &failure), Some(failure)),
        };
        changes.retain(|change| !still_present.contains_key(&FactSelector::Subject(change.subject.clone())));
        self.note_changes(&changes, &withheld);
        let Lease { epoch, following } = self.lease(&baseline);
        let more = changes.iter().map(|change| match (&change.was, change.body.is_removal()) {
            (None, false) => 1,
            (Some(_), true) => -1,
            _ => 0,
        });
        let more = more.sum();
        let facts: Vec<_> = changes.iter().map(|change| change.event(&self.source, following)).collect();
        if !facts.is_empty() {
            let mut events =
                if baseline.epoch < *epoch { self.epoch_opening(&baseline, following) } else { Vec::new() };
            events.extend(facts);
            self.append(events).await?;
            self.catch_up().await?;
        }
        self.save_personal(names).await?;
        if let Some(failure) = failed {
            return Err(failure.into());
        }
        self.note_reachable(more).await?;
        Ok(doubtful)
    }

    /// Begins the epoch of an engine that goes on from a cursor: nothing was read as a whole that would have begun it.
    fn epoch_opening(&self, baseline: &BaselineState, run: &str) -> Vec<NewEvent> {
        let mut events = self.run_opening(baseline, run);
        let reason = "nothing is read as a whole: it is followed from where that ended".to_owned();
        let closed = self.run_of(run, Some(reason)).map(Body::SnapshotAborted);
        events.extend(closed.map(|body| self.run_event(&body, run)));
        events
    }

    /// What waited and is stated again does not wait, also where it is as it was.
    fn note_stated_again<'a>(&self, stated: impl Iterator<Item = &'a str>) {
        let (now, mut window) = (self.deps.clock.now(), self.removal_window());
        for subject in stated {
            if window.is_waiting(subject) {
                window.note_stated(subject, false, now);
            }
        }
    }

    /// Counts what is recorded now and what waits.
    fn note_changes(&self, changes: &[Change], withheld: &BTreeSet<String>) {
        let (now, mut window) = (self.deps.clock.now(), self.removal_window());
        for change in changes {
            if change.body.is_removal() {
                window.note_removed(&change.subject, false, now);
            } else {
                window.note_stated(&change.subject, change.was.is_none(), now);
            }
        }
        withheld.iter().for_each(|subject| window.note_removed(subject, true, now));
    }

    /// Notes that the source is there, and how many facts of it more stand. Only while `writing` is held.
    async fn note_reachable(&self, more: i64) -> Result<(), RunError> {
        let mut status = self.status().await?;
        status.facts = status.facts.saturating_add_signed(more);
        status.sealed_at = Some(self.deps.clock.now());
        status.failures = 0;
        if status.state.is_failure() {
            (status.state, status.reason) = match self.deps.store.held_plan(&self.source).await? {
                Some(plan) if plan.why == PlanReason::Empty => (SourceState::Empty, Some(plan.reason)),
                Some(plan) => (SourceState::Held, Some(plan.reason)),
                None => (SourceState::Healthy, None),
            };
        }
        self.save_status(status).await
    }
}

#[async_trait]
impl SinkBackend for EngineSink {
    fn now(&self) -> DateTime<Utc> {
        self.0.deps.clock.now()
    }

    async fn send(&self, facts: Vec<SourceChange>) -> Result<Vec<Id>, SinkError> {
        self.0.check_retired().await?;
        Ok(self.0.record_changes(facts).await?)
    }

    async fn resume_point(&self) -> Result<Result<ResumePoint, FullReadReason>, SinkError> {
        let recalled = self.0.resume_point().await?;
        if recalled.is_ok() {
            telemetry::source_resumed(&self.0.source);
        }
        Ok(recalled)
    }

    async fn begin_snapshot(&self, why: FullReadReason) -> Result<SnapshotBuilder, SinkError> {
        self.0.check_retired().await?;
        telemetry::source_read_anew(&self.0.source, &why);
        let mut builder = self.0.begin(true).await?;
        if let Some(run_context) = &mut builder.run_context {
            run_context.full_read_reason = Some(why);
        }
        Ok(builder)
    }

    async fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), SinkError> {
        Ok(self.0.apply(snapshot, Intent::Record).await.map(drop)?)
    }

    async fn can_save(&self) -> Result<SaveOutcome, SinkError> {
        Ok(self.0.can_save().await?)
    }

    async fn save(&self, cursor: Cursor, update: StateUpdate) -> Result<SaveOutcome, SinkError> {
        Ok(self.0.save(cursor, update).await?)
    }

    async fn note_unread_members(&self, members: UnreadMembers) -> Result<(), SinkError> {
        let _writing = self.0.writing.lock().await;
        let status = self.0.status().await?;
        let [absent, outside] = [&members.absent, &members.outside].map(|members| AbsentMembers::of(members));
        Ok(self.0.save_status(SourceStatus { absent, outside, ..status }).await?)
    }

    async fn heartbeat(&self) -> Result<(), SinkError> {
        self.0.check_retired().await?;
        let _writing = self.0.writing.lock().await;
        Ok(self.0.note_reachable(0).await?)
    }
}

/// The groups whose members change.
fn groups_of<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Id> {
    let group = |change: &'a Change| match &change.body {
        Body::GroupMemberAdded(fact) => Some(&fact.group),
        _ => None,
    };
    changes.filter_map(group).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Which baseline entries the changes are compared with: subjects, and prefixes of subjects.
fn affected_entries(facts: &[SourceChange]) -> (Vec<String>, Vec<String>) {
    let (mut subjects, mut prefixes) = (Vec::new(), Vec::new());
    for change in facts {
        match change {
            SourceChange::Fact(stated) => subjects.push(stated.body.subject()),
            SourceChange::Removed(body) => {
                subjects.push(body.subject());
                if let Body::GroupRemoved(gone) = body {
                    prefixes.push(group_member_subject_prefix(&gone.group));
                }
            }
            SourceChange::GroupMembers { group, .. } => prefixes.push(group_member_subject_prefix(group)),
        }
    }
    (subjects, prefixes)
}

/// What should stand after the changes: by subject the fact, or nothing.
#[derive(Default)]
struct DesiredState {
    facts: BTreeMap<String, Option<Body>>,
    /// What nobody said to be gone: it was only not named any more.
    inferred: BTreeSet<String>,
    names: Vec<(Id, PersonalData)>,
}

fn desired_state(changes: Vec<SourceChange>, known: &BaselineEntries) -> DesiredState {
    let mut desired = DesiredState::default();
    let present = |prefix: &str| -> Vec<String> {
        let there = beginning_with(known, prefix).filter(|(_, entry)| entry.present);
        there.map(|(subject, _)| subject.to_owned()).collect()
    };
    let set = |desired: &mut DesiredState, subject: String, body: Option<Body>, inferred: bool| {
        if inferred {
            desired.inferred.insert(subject.clone());
        } else {
            desired.inferred.remove(&subject);
        }
        desired.facts.insert(subject, body);
    };
    for change in changes {
        match change {
            SourceChange::Fact(stated) => {
                if let (Some(names), Body::PersonUpserted(person)) = (stated.personal, &stated.body) {
                    desired.names.push((person.person.clone(), names));
                }
                set(&mut desired, stated.body.subject(), Some(stated.body), false);
            }
            SourceChange::Removed(body) => {
                if let Body::GroupRemoved(gone) = &body {
                    for member in present(&group_member_subject_prefix(&gone.group)) {
                        set(&mut desired, member, None, false);
                    }
                }
                set(&mut desired, body.subject(), None, false);
            }
            SourceChange::GroupMembers { group, members } => {
                let prefix = group_member_subject_prefix(&group);
                let mut left: BTreeSet<String> = present(&prefix).into_iter().collect();
                left.extend(desired.facts.keys().filter(|subject| subject.starts_with(&prefix)).cloned());
                for member in members {
                    let subject = member.body.subject();
                    if subject.starts_with(&prefix) {
                        left.remove(&subject);
                        set(&mut desired, subject, Some(member.body), false);
                    }
                }
                for subject in left {
                    set(&mut desired, subject, None, true);
                }
            }
        }
    }
    // What is not there cannot leave.
    desired.inferred.retain(|subject| known.get(subject.as_str()).is_some_and(|entry| entry.present));
    desired
}

/// Whether something may have to be recorded for that; what is only written otherwise is found when it is read.
fn may_differ(subject: &str, desired: Option<&Body>, last: Option<&BaselineEntry>) -> bool {
    match (desired, last) {
        (Some(body), _) if body.is_removal() => false,
        (Some(body), Some(last)) => last.fingerprint != Fingerprint::of(subject, body.kind(), &body.data()),
        (Some(_), None) => true,
        (None, last) => last.is_some_and(|entry| entry.present),
    }
}

fn change(subject: String, desired: Option<Body>, before: &RecordedFacts) -> Option<Change> {
    let last = before.get(subject.as_str());
    let was = last.filter(|known| known.is_present()).and_then(RecordedFact::body);
    let body = match desired {
        Some(body) if last.is_some_and(|known| known.matches(&body, &body.data())) => return None,
        Some(body) => body,
        None => was.as_ref()?.removal()?,
    };
    Some(Change { subject, body, previous: last.map_or(Position(0), |known| known.position), was })
}

impl From<&SinkError> for Failure {
    fn from(stop: &SinkError) -> Self {
        stop.clone().into()
    }
}
