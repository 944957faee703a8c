//! What becomes of what a follower tells: explicit facts are recorded at once, conclusions from silence are held against
//! the brake, a cursor and its notes are kept after what they stand for, and given back only where they still do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, NewEvent, Position, body::members_of};

use super::{Engine, Intent, Lease, RunError};
use crate::{
    brake::{LEAST, Weight},
    difference::{Change, Verb, in_order},
    plan::Why,
    pull::{Anew, Cursor, Desk, Failure, Keeping, Kept, Known, Names, News, Notes, Sealed, Sheet, Stop, Told, Which},
    standing::State,
    stores::{Facts, Fingerprint, Followed, Mark, Marks, Reached, beginning_with},
    telemetry,
};

/// Removals that a follower told and that wait for a full read. Before one that began later is concluded, nothing that
/// the follower knows is kept: it would not tell them again.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    told: AtomicU64,
    seen: AtomicU64,
}

impl Withheld {
    fn withhold(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so; a full read that begins now will have seen as many.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    pub fn seen(&self, told: u64) {
        self.seen.fetch_max(told, Ordering::Relaxed);
    }

    fn waits(&self) -> bool {
        self.seen.load(Ordering::Relaxed) < self.told()
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self(error.to_string())
    }
}

/// An engine as its follower reaches it.
pub(super) struct Counter(pub Arc<Engine>);

impl Engine {
    /// The follower's way to the log.
    pub fn news(self: &Arc<Self>) -> News {
        News(Arc::new(Counter(Arc::clone(self))))
    }

    /// From what its follower goes on.
    async fn recall(&self) -> Result<Result<Kept, Anew>, RunError> {
        let shelf = &self.works.shelf;
        let reached = {
            let _writing = self.writing.lock().await;
            self.catch_up().await?
        };
        let scope = self.pull.scope();
        let followed = match shelf.followed(&self.source).await? {
            Some(kept) if kept.log != self.works.append.log_id().to_string() => return Ok(Err(Anew::Log)),
            Some(kept) if kept.scope != scope.digest() => return Ok(Err(Anew::Scope)),
            kept => kept,
        };
        match (reached.scope, followed) {
            (None, _) => Ok(Err(Anew::First)),
            (Some(applied), _) if applied != scope.digest() => Ok(Err(Anew::Scope)),
            (Some(_), None) => Ok(Err(Anew::Lost)),
            (Some(_), Some(followed)) => {
                let later = self.since(followed.position).await?;
                let later = later.values().filter_map(Known::body).collect();
                Ok(Ok(Kept { cursor: followed.cursor, notes: shelf.notes(&self.source).await?, later }))
            }
        }
    }

    /// Whether what a follower knows may be kept now.
    async fn keeps(&self) -> Result<Keeping, RunError> {
        let held = self.withheld.waits() || self.works.shelf.held_plan(&self.source).await?.is_some();
        Ok(if held { Keeping::Held } else { Keeping::Done })
    }

    /// Keeps it.
    async fn keep(&self, cursor: Cursor, notes: Notes) -> Result<Keeping, RunError> {
        let (shelf, log) = (&self.works.shelf, self.works.append.log_id());
        // Nothing may be held from here on.
        let _writing = self.writing.lock().await;
        if self.keeps().await? == Keeping::Held {
            return Ok(Keeping::Held);
        }
        let (scope, log) = (self.pull.scope().digest().to_owned(), log.to_string());
        if matches!(notes, Notes::Changed(_)) {
            let kept = shelf.followed(&self.source).await?;
            if kept.is_none_or(|kept| kept.log != log || kept.scope != scope) {
                return Err(RunError::Storage("the notes to which these belong are not kept any more".to_owned()));
            }
        }
        let position = shelf.reached(self.works.append.log_id(), &self.source).await?.position;
        let followed = Followed { log, scope, position, cursor };
        shelf.keep_followed(&self.source, &followed, notes).await?;
        Ok(Keeping::Done)
    }

    /// Records what a follower was told.
    async fn told(&self, facts: Vec<Told>) -> Result<(), RunError> {
        let _writing = self.writing.lock().await;
        let reached = self.catch_up().await?;
        if self.waits(&reached).is_some() {
            // Somebody has yet to say that what is read now may count. Whoever does has all of it read again.
            return self.heard().await;
        }
        let (subjects, prefixes) = asked(&facts);
        let known = self.works.shelf.some(&self.source, &subjects, &prefixes).await?;
        let Wanted { mut facts, concluded, names } = wanted(facts, &known);
        facts.retain(|subject, body| is_news(subject, body.as_ref(), known.get(subject.as_str())));
        let places: Vec<_> = facts.keys().filter_map(|subject| known.get(subject.as_str())).collect();
        let before = self.facts(&places.into_iter().map(|mark| mark.position).collect::<Vec<_>>()).await?;
        let changes = facts.into_iter().filter_map(|(subject, body)| change(subject, body, &before)).collect();
        let mut changes = in_order(changes);
        if self.is_too_much(&changes, &concluded, &known, &reached).await? {
            // A full read finds the whole of it and makes the plan.
            changes.retain(|change| !concluded.contains(&change.subject));
            self.withheld.withhold();
            self.wanted.notify_one();
        }
        let doubted: Vec<Change> = changes.iter().filter(|c| concluded.contains(&c.subject)).cloned().collect();
        let there = self.still_there(&doubted).await?;
        changes.retain(|change| !there.contains_key(&Which::Subject(change.subject.clone())));
        let Lease { epoch, following } = self.lease(&reached);
        let facts: Vec<_> = changes.iter().map(|change| change.event(&self.source, following)).collect();
        if !facts.is_empty() {
            let mut events = if reached.epoch < *epoch { self.follows_on(&reached, following) } else { Vec::new() };
            events.extend(facts);
            self.append(events).await?;
            self.catch_up().await?;
        }
        self.keep_names(names).await?;
        self.heard().await
    }

    /// Begins the epoch of an engine that goes on from a cursor: nothing was read as a whole that would have begun it.
    fn follows_on(&self, reached: &Reached, run: &str) -> Vec<NewEvent> {
        let mut events = self.opening(reached, run);
        let reason = "nothing is read as a whole: it is followed from where that ended".to_owned();
        let closed = self.run_of(run, Some(reason)).map(Body::SnapshotAborted);
        events.extend(closed.map(|body| self.run_event(&body, run)));
        events
    }

    async fn is_too_much(
        &self,
        changes: &[Change],
        concluded: &BTreeSet<String>,
        known: &Marks,
        reached: &Reached,
    ) -> Result<bool, RunError> {
        if concluded.is_empty() {
            return Ok(false);
        }
        // The first two parts of `member/{group}/{kind}/{member}` name the group.
        let group = |subject: &str| subject.match_indices('/').nth(1).map(|(at, _)| at + 1);
        let prefixes: BTreeSet<&str> = concluded.iter().filter_map(|subject| subject.get(..group(subject)?)).collect();
        let groups = prefixes.into_iter().map(|prefix| {
            let now = beginning_with(known, prefix).filter(|(_, mark)| mark.stands).count();
            let of = |verb| changes.iter().filter(|c| c.verb() == verb && c.subject.starts_with(prefix)).count();
            (prefix.to_owned(), now as u64, (now + of(Verb::Add)).saturating_sub(of(Verb::Remove)) as u64)
        });
        let (groups, removals) = (groups.collect(), concluded.len() as u64);
        // Few removals are never too many by their share, however many facts there are.
        let facts = if removals < LEAST { 0 } else { self.book(reached).await?.open().standing() };
        let weight = Weight { facts, removals, stated: 1, groups, projects: Vec::new() };
        Ok(self.braked(weight, changes, reached).await.is_some())
    }

    /// Notes that the source is there. Only while `writing` is held.
    async fn heard(&self) -> Result<(), RunError> {
        let mut standing = self.standing().await?;
        standing.sealed_at = Some(self.works.clock.now());
        standing.failures = 0;
        if standing.state.is_failure() {
            (standing.state, standing.reason) = match self.works.shelf.held_plan(&self.source).await? {
                Some(plan) if plan.why == Why::Empty => (State::Empty, Some(plan.reason)),
                Some(plan) => (State::Held, Some(plan.reason)),
                None => (State::Healthy, None),
            };
        }
        self.note(standing).await
    }
}

#[async_trait]
impl Desk for Counter {
    fn now(&self) -> DateTime<Utc> {
        self.0.works.clock.now()
    }

    async fn tell(&self, facts: Vec<Told>) -> Result<(), Stop> {
        Ok(self.0.told(facts).await?)
    }

    async fn recall(&self) -> Result<Result<Kept, Anew>, Stop> {
        let recalled = self.0.recall().await?;
        if recalled.is_ok() {
            telemetry::source_resumed(&self.0.source);
        }
        Ok(recalled)
    }

    async fn sheet(&self, why: Anew) -> Result<Sheet, Stop> {
        telemetry::source_read_anew(&self.0.source, &why);
        let mut sheet = self.0.begin(true).await?;
        if let Some(bracket) = &mut sheet.bracket {
            bracket.anew = Some(why);
        }
        Ok(sheet)
    }

    async fn sealed(&self, sealed: Sealed) -> Result<(), Stop> {
        Ok(self.0.conclude(sealed, Intent::Record).await.map(drop)?)
    }

    async fn keeps(&self) -> Result<Keeping, Stop> {
        Ok(self.0.keeps().await?)
    }

    async fn keep(&self, cursor: Cursor, notes: Notes) -> Result<Keeping, Stop> {
        Ok(self.0.keep(cursor, notes).await?)
    }

    async fn well(&self) -> Result<(), Stop> {
        let _writing = self.0.writing.lock().await;
        Ok(self.0.heard().await?)
    }
}

/// Which facts must be known to judge what was told: subjects, and what subjects begin with.
fn asked(facts: &[Told]) -> (Vec<String>, Vec<String>) {
    let (mut subjects, mut prefixes) = (Vec::new(), Vec::new());
    for told in facts {
        match told {
            Told::Stated(stated) => subjects.push(stated.body.subject()),
            Told::Gone(body) => {
                subjects.push(body.subject());
                if let Body::GroupRemoved(gone) = body {
                    prefixes.push(members_of(&gone.group));
                }
            }
            Told::Members { group, .. } => prefixes.push(members_of(group)),
        }
    }
    (subjects, prefixes)
}

/// What should stand after what was told: by subject the fact, or nothing.
#[derive(Default)]
struct Wanted {
    facts: BTreeMap<String, Option<Body>>,
    /// What nobody said to be gone: it was only not named any more.
    concluded: BTreeSet<String>,
    names: Vec<(rollcall_events::Id, Names)>,
}

fn wanted(told: Vec<Told>, known: &Marks) -> Wanted {
    let mut wanted = Wanted::default();
    let standing = |prefix: &str| -> Vec<String> {
        let there = beginning_with(known, prefix).filter(|(_, mark)| mark.stands);
        there.map(|(subject, _)| subject.to_owned()).collect()
    };
    let say = |wanted: &mut Wanted, subject: String, body: Option<Body>, concluded: bool| {
        if concluded {
            wanted.concluded.insert(subject.clone());
        } else {
            wanted.concluded.remove(&subject);
        }
        wanted.facts.insert(subject, body);
    };
    for told in told {
        match told {
            Told::Stated(stated) => {
                if let (Some(names), Body::PersonUpserted(person)) = (stated.personal, &stated.body) {
                    wanted.names.push((person.person.clone(), names));
                }
                say(&mut wanted, stated.body.subject(), Some(stated.body), false);
            }
            Told::Gone(body) => {
                if let Body::GroupRemoved(gone) = &body {
                    for member in standing(&members_of(&gone.group)) {
                        say(&mut wanted, member, None, false);
                    }
                }
                say(&mut wanted, body.subject(), None, false);
            }
            Told::Members { group, members } => {
                let prefix = members_of(&group);
                let mut left: BTreeSet<String> = standing(&prefix).into_iter().collect();
                left.extend(wanted.facts.keys().filter(|subject| subject.starts_with(&prefix)).cloned());
                for member in members {
                    let subject = member.body.subject();
                    if subject.starts_with(&prefix) {
                        left.remove(&subject);
                        say(&mut wanted, subject, Some(member.body), false);
                    }
                }
                for subject in left {
                    say(&mut wanted, subject, None, true);
                }
            }
        }
    }
    // What is not there cannot leave.
    wanted.concluded.retain(|subject| known.get(subject.as_str()).is_some_and(|mark| mark.stands));
    wanted
}

/// Whether something may have to be recorded for that; what is only written otherwise is found when it is read.
fn is_news(subject: &str, wanted: Option<&Body>, last: Option<&Mark>) -> bool {
    match (wanted, last) {
        (Some(body), _) if body.ends() => false,
        (Some(body), Some(last)) => last.fingerprint != Fingerprint::of(subject, body.kind(), &body.data()),
        (Some(_), None) => true,
        (None, last) => last.is_some_and(|mark| mark.stands),
    }
}

fn change(subject: String, wanted: Option<Body>, before: &Facts) -> Option<Change> {
    let last = before.get(subject.as_str());
    let was = last.filter(|known| known.stands()).and_then(Known::body);
    let body = match wanted {
        Some(body) if last.is_some_and(|known| known.says(&body, &body.data())) => return None,
        Some(body) => body,
        None => was.as_ref()?.ending()?,
    };
    Some(Change { subject, body, previous: last.map_or(Position(0), |known| known.position), was })
}

impl From<&Stop> for Failure {
    fn from(stop: &Stop) -> Self {
        stop.clone().into()
    }
}
