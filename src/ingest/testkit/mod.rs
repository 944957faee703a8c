//! A source and the stores in memory, for tests of connectors and of the engine: what the source states is set by hand,
//! and it fails in every way that a real one does. Also the shortest example of a connector that pulls.

mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id, Position, SourceName,
    body::{Group, GroupMember, Member, Person, SourcePerson},
};

pub use store::MemorySourceStore;

use crate::{
    connector::{Fact, FactSelector, Failure, LookupAnswer, Pull, Scope, Snapshot, SnapshotBuilder},
    reading::consequences::{Consequences, Inquiry, ProposedFacts, Trial},
};

/// A source in memory. Cheap to clone; clones are the same source.
#[derive(Clone, Default)]
pub struct MemorySource(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    facts: BTreeMap<String, Fact>,
    excluded: BTreeMap<FactSelector, String>,
    absent: Vec<String>,
    fault: Option<Fault>,
    scope: String,
    links: Option<String>,
    labels: Option<String>,
}

/// How the next reads go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It fails so after this many facts.
    After(usize, Failure),
    /// It forgets to close its part after this many facts.
    Unclosed(usize),
    /// It panics after this many facts.
    Panic(usize),
    /// It answers well, with nothing.
    Empty,
}

impl MemorySource {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// States a fact.
    pub fn put(&self, fact: impl Into<Fact>) {
        let fact = fact.into();
        self.with(|state| state.facts.insert(fact.body.subject(), fact));
    }

    /// States it no longer.
    pub fn take(&self, subject: &str) {
        self.with(|state| state.facts.remove(subject));
    }

    /// States nothing.
    pub fn clear(&self) {
        self.with(|state| state.facts.clear());
    }

    /// What it states now.
    #[must_use]
    pub fn facts(&self) -> Vec<Body> {
        self.with(|state| state.facts.values().map(|fact| fact.body.clone()).collect())
    }

    /// How reads go wrong from now on; None: not at all.
    pub fn fail(&self, fault: Option<Fault>) {
        self.with(|state| state.fault = fault);
    }

    /// What it cannot resolve.
    pub fn exclude(&self, which: FactSelector, reason: &str) {
        self.with(|state| state.excluded.insert(which, reason.to_owned()));
    }

    /// Resolves everything again.
    pub fn resolve(&self) {
        self.with(|state| state.excluded.clear());
    }

    /// Lists a member that is not there.
    pub fn dangle(&self, who: &str) {
        self.with(|state| state.absent.push(who.to_owned()));
    }

    /// Reads something else from now on.
    pub fn rescope(&self, scope: &str) {
        self.with(|state| scope.clone_into(&mut state.scope));
    }

    /// Takes labels from another attribute from now on.
    pub fn relabel(&self, attribute: &str) {
        self.with(|state| state.labels = Some(attribute.to_owned()));
    }

    /// Takes whom its people are in other sources from another attribute from now on, or from none.
    pub fn relink(&self, attribute: Option<&str>) {
        self.with(|state| state.links = attribute.map(str::to_owned));
    }
}

#[async_trait]
impl Pull for MemorySource {
    fn scope(&self) -> Scope {
        self.with(|state| {
            Scope::of([state.scope.clone()]).with_links(state.links.clone()).with_labels(state.labels.clone())
        })
    }

    async fn read(&self, mut builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        let (facts, excluded, absent, fault) = self.with(|state| {
            let facts: Vec<Fact> = state.facts.values().cloned().collect();
            (facts, state.excluded.clone(), state.absent.clone(), state.fault.clone())
        });
        let part = builder.open_section("everything");
        let stop = match fault {
            Some(Fault::After(n, _) | Fault::Unclosed(n) | Fault::Panic(n)) => n,
            Some(Fault::Empty) => 0,
            None => usize::MAX,
        };
        for fact in facts.into_iter().take(stop) {
            builder.add(fact);
        }
        match fault {
            Some(Fault::After(_, failure)) => return Err(failure),
            Some(Fault::Unclosed(_)) => return builder.seal(),
            #[expect(clippy::panic, reason = "a connector with a defect is what this plays")]
            Some(Fault::Panic(_)) => panic!("the connector broke"),
            Some(Fault::Empty) | None => {}
        }
        for (which, reason) in excluded {
            builder.exclude(which, reason);
        }
        for who in absent {
            builder.add_absent(who);
        }
        builder.close_section(part);
        builder.seal()
    }

    async fn look_up(&self, subjects: &[Body], _: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        self.with(|state| {
            if let Some(Fault::After(_, failure)) = &state.fault {
                return Err(failure.clone());
            }
            let answer =
                |body: &Body| state.facts.get(&body.subject()).cloned().map_or(LookupAnswer::Gone, LookupAnswer::Found);
            Ok(subjects.iter().map(answer).collect())
        })
    }
}

/// Who knows of projects what a test says: each with its members, by subjects whose end takes the member out.
#[derive(Clone, Default)]
pub struct MemoryProjects(Arc<Mutex<BTreeMap<String, Vec<String>>>>, Arc<AtomicBool>, Arc<TrialWork>);

/// What was done to find out what facts come to.
#[derive(Debug, Default)]
pub struct TrialWork {
    /// How often what is known was copied.
    pub copies: AtomicU64,
    /// How many facts were recorded into copies.
    pub facts: AtomicU64,
}

impl MemoryProjects {
    /// A project and what its members rest on; `a or b` where the end of either takes the member out. A person who is
    /// suspended is out.
    pub fn put(&self, project: &str, rests_on: impl IntoIterator<Item = String>) {
        let mut projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.insert(project.to_owned(), rests_on.into_iter().collect());
    }

    /// What was done until now.
    #[must_use]
    pub fn work(&self) -> &TrialWork {
        &self.2
    }

    /// From here on every source is retired.
    pub fn retire(&self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Consequences for MemoryProjects {
    async fn emptied(&self, proposed: ProposedFacts, min_members: u64) -> Vec<String> {
        let mut trial = self.trial(min_members);
        trial.record(&proposed.facts);
        trial.emptied().into_iter().collect()
    }

    async fn inquire(&self, _: SourceName, _: Position, min_members: u64, inquiry: Inquiry) -> BTreeSet<String> {
        inquiry(&mut self.trial(min_members))
    }

    fn is_retired(&self, _: &SourceName) -> bool {
        self.1.load(Ordering::SeqCst)
    }
}

impl MemoryProjects {
    fn trial(&self, min_members: u64) -> MemoryTrial {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut trial = MemoryTrial { projects, ended: BTreeSet::new(), min_members, work: Arc::clone(&self.2) };
        trial.begin_anew();
        trial
    }
}

struct MemoryTrial {
    projects: BTreeMap<String, Vec<String>>,
    ended: BTreeSet<String>,
    min_members: u64,
    work: Arc<TrialWork>,
}

impl MemoryTrial {
    fn is_empty(&self, members: &[String]) -> bool {
        members.iter().all(|member| member.split(" or ").any(|one| self.ended.contains(one)))
    }
}

impl Trial for MemoryTrial {
    fn record(&mut self, facts: &[Body]) {
        self.work.facts.fetch_add(facts.len() as u64, Ordering::Relaxed);
        for fact in facts {
            if fact.is_removal() || matches!(fact, Body::PersonUpserted(person) if !person.active) {
                self.ended.insert(fact.subject());
            } else {
                self.ended.remove(&fact.subject());
            }
        }
    }

    fn begin_anew(&mut self) {
        self.work.copies.fetch_add(1, Ordering::Relaxed);
        self.ended.clear();
    }

    fn emptied(&self) -> BTreeSet<String> {
        let crowded = self.projects.iter().filter(|(_, members)| members.len() as u64 >= self.min_members);
        crowded.filter(|(_, members)| self.is_empty(members)).map(|(name, _)| name.clone()).collect()
    }

    fn are_empty(&self, projects: &BTreeSet<String>) -> bool {
        projects.iter().filter_map(|name| self.projects.get(name)).all(|members| self.is_empty(members))
    }
}

/// A person; None for an id that is none.
#[must_use]
pub fn person(id: &str, active: bool) -> Option<Body> {
    let username = Some(id.to_owned());
    Some(Body::PersonUpserted(Person {
        person: id.parse().ok()?,
        username,
        account: None,
        active,
        same_as: Vec::new(),
    }))
}

/// A person whom the source says to be another of `flexnet`; None for ids that are none.
#[must_use]
pub fn said_to_be(id: &str, active: bool, other: &str) -> Option<Body> {
    let same_as = vec![SourcePerson { source: "flexnet".parse().ok()?, person: other.parse().ok()? }];
    match person(id, active)? {
        Body::PersonUpserted(person) => Some(Body::PersonUpserted(Person { same_as, ..person })),
        other => Some(other),
    }
}

/// A group; None for an id that is none.
#[must_use]
pub fn group(id: &str) -> Option<Body> {
    Some(Body::GroupUpserted(Group {
        group: id.parse().ok()?,
        name: Some(format!("the {id}")),
        external_id: None,
        author: None,
        made_with: None,
    }))
}

/// A person in a group; None for ids that are none.
#[must_use]
pub fn member(group: &str, person: &str) -> Option<Body> {
    let member = Member::Person(person.parse::<Id>().ok()?);
    Some(Body::GroupMemberAdded(GroupMember { group: group.parse().ok()?, member, author: None, made_with: None }))
}
