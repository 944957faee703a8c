//! The roster: the facts, the ways to find them, and the settings and profile in force, as of one position.
//! Answers look-ups. What an event does to it is `fold`, what somebody may do is `decide`; neither is used here.

mod accounts;
pub(crate) mod bindings;
pub(crate) mod credentials;
pub(crate) mod facts;
pub(crate) mod fast_path;
pub(crate) mod groups;
pub(crate) mod handles;
pub(crate) mod index;
pub(crate) mod look_alikes;
pub(crate) mod made;
pub(crate) mod names;
pub(crate) mod order;
mod principals;
pub(crate) mod projects;
pub(crate) mod register;
pub(crate) mod scopes;
pub(crate) mod services;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod sources;
pub(crate) mod users;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use rollcall_events::{
    LOCAL, LogId, Order, Position, Settings, SourceName,
    body::{ProjectKind, Visibility},
};

use crate::{
    persistent::Pages,
    profile::{HeldRole, Own, Profile, PseudoPrincipal, Resource, RoleIx},
    roster::{
        facts::{Facts, ParkedEvent},
        fast_path::FastPath,
        handles::ProfileKind,
        index::Index,
        order::Orders,
    },
};

/// The in-memory index of facts that answers access questions.
#[derive(Debug, Clone)]
pub struct Roster {
    pub(crate) facts: Facts,
    pub(crate) index: Index,
    pub(crate) fast_path: FastPath,
    pub(crate) settings: Settings,
    pub(crate) profile: Profile,
    /// The profile of Rollcall's own API.
    pub(crate) api: Arc<Profile>,
    /// The role of each binding where it was given, under the profile that it belongs to; absent where that profile has
    /// no such role or does not let it be given there.
    pub(crate) roles: Pages<Option<(ProfileKind, HeldRole)>>,
    /// The roles of rules 2 and 3; absent where the profile has no such role.
    pub(crate) producer_role: Option<RoleIx>,
    pub(crate) consumer_role: Option<RoleIx>,
    /// By source: whether an inactive person of it shuts the user out.
    pub(crate) authoritative: Vec<bool>,
    /// Names in the order of lists.
    pub(crate) orders: Orders,
    /// How events are taken; a roster that follows the log checks each anew.
    pub(crate) mode: FoldMode,
}

/// How a roster takes what is folded into it.
#[derive(Debug, Clone, Default)]
pub(crate) enum FoldMode {
    /// Every fact by its source's order, every command by what stands.
    #[default]
    Live,
    /// Only events come that are known to have applied: nothing is asked again, as what it was asked of may be missing.
    Recorded,
    /// Facts compete by these orders; commands are known to have applied.
    Effective(BTreeMap<SourceName, Order>),
}

impl FoldMode {
    /// Whether commands are believed.
    pub(crate) fn trusts_commands(&self) -> bool {
        !matches!(self, Self::Live)
    }
}

/// A subject whose newest event could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedView<'a> {
    /// Its source.
    pub source: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The event that waits.
    pub position: Position,
    /// Why.
    pub reason: &'a str,
    /// The project's name that it waits for, if that is why.
    pub wants: Option<&'a str>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Subjects that are parked.
    pub parked: usize,
    /// Those of them that wait for the name of a project.
    pub name_taken: usize,
}

/// The profiles that every roster begins with. Each question about the past begins one, and reading them takes longer than
/// folding some events.
#[expect(clippy::expect_used, reason = "the bundled profiles are constants that a test compiles")]
static FIRST_PROFILES: LazyLock<(Profile, Arc<Profile>)> = LazyLock::new(|| {
    let profile = Profile::bundled("revenera").expect("the bundled profile compiles");
    (profile, Arc::new(Profile::api().expect("the profile of the API compiles")))
});

impl Roster {
    /// The roster of an empty log: nobody, nothing, the Revenera profile.
    ///
    /// # Panics
    /// Never: the bundled profiles compile, which a test of them shows.
    #[must_use]
    pub fn new(log: LogId) -> Self {
        let (profile, api) = FIRST_PROFILES.clone();
        let mut roster = Self {
            facts: Facts::new(log),
            index: Index::default(),
            fast_path: FastPath::default(),
            settings: Settings::default(),
            profile,
            api,
            roles: Pages::default(),
            producer_role: None,
            consumer_role: None,
            authoritative: Vec::new(),
            orders: Orders::default(),
            mode: FoldMode::Live,
        };
        roster.derive_from_settings();
        roster
    }

    /// Works out what follows from settings and profile.
    pub(crate) fn derive_from_settings(&mut self) {
        let (producer, consumer) = self.rule_role_names();
        let (producer_role, consumer_role) = (self.profile.role(producer), self.profile.role(consumer));
        (self.producer_role, self.consumer_role) = (producer_role, consumer_role);
        self.roles = self.facts.bindings.rows.iter().map(|row| self.binding_role(row.as_ref()?)).collect();
        let packaged = Resource {
            level: self.profile.project_level(),
            visibility: Some(Visibility::Private),
            kind: Some(self.profile.kind_name(ProjectKind::Standard)),
            own: Own::NotMine,
        };
        let allowed = |role: Option<RoleIx>| {
            let held = role.map(|role| HeldRole { role, level: self.profile.project_level() });
            self.profile.allowed(PseudoPrincipal::Authenticated, held.into_iter(), &packaged, self.switches())
        };
        (self.fast_path.authenticated, self.fast_path.customer) = (allowed(None), allowed(consumer_role));
        self.know_sources();
    }

    /// Works out which sources are authoritative, also one that was named for the first time just now.
    pub(crate) fn know_sources(&mut self) {
        self.authoritative = (0..self.facts.sources.len())
            .map(|ix| {
                let name = self.facts.sources.id(ix);
                self.settings.sources.iter().any(|(source, said)| source.as_str() == name && said.authoritative)
            })
            .collect();
    }

    /// What the roles of rules 2 and 3 are called.
    pub(crate) fn rule_role_names(&self) -> (&str, &str) {
        let (rules, settings) = (&self.profile.document().rules, &self.settings);
        let producer = settings.producer_role.as_deref().or(rules.producer_role.as_deref());
        let consumer = settings.consumer_role.as_deref().or(rules.consumer_role.as_deref());
        (producer.unwrap_or("Developer"), consumer.unwrap_or("Guest"))
    }

    /// Derives the fast path anew.
    pub(crate) fn rebuild_fast_path(&mut self) {
        self.fast_path.build(&self.facts, &self.index, self.settings.customer_sub_accounts);
    }

    /// Which log it was folded from.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.facts.log
    }

    /// The last event that is in it.
    #[must_use]
    pub fn position(&self) -> Position {
        self.facts.position
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a `settings.set`, and a `profile.set`, was ever said.
    #[must_use]
    pub fn has_settings(&self) -> bool {
        !self.facts.settings.is_empty() && !self.facts.profile.is_empty()
    }

    /// The profile in force.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sources that recorded at least one event.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        (0..self.facts.sources.len()).map(|ix| self.facts.sources.id(ix))
    }

    /// Whether there is a source of this name: one that is configured, or that ever said anything.
    pub(crate) fn is_source(&self, name: &str) -> bool {
        self.facts.sources.find(0, name).is_some() || self.settings.sources.keys().any(|known| known.as_str() == name)
    }

    /// How a source's events are ordered. `local` and unknown sources: as observed.
    #[must_use]
    pub fn order(&self, source: &SourceName) -> Order {
        self.settings.sources.get(source).map_or(Order::Observed, |said| said.order)
    }

    pub(crate) fn source_text(&self, space: u16) -> &str {
        self.facts.sources.id(u32::from(space))
    }

    /// An id as a fact of one source writes it: a source's own ids bare; what is kept here names all with their source.
    pub(crate) fn source_own_id(&self, space: u16, of: u16, id: &str) -> String {
        let source = self.source_text(of);
        if space == of && source != LOCAL { id.to_owned() } else { format!("{source}/{id}") }
    }

    /// Subjects whose newest event could not be applied.
    pub fn parked(&self) -> impl Iterator<Item = ParkedView<'_>> + Clone {
        self.facts.parked.iter().map(|(subject, mark)| self.parked_view(subject, mark))
    }

    fn parked_view<'a>(&'a self, (space, subject): &'a (u16, String), mark: &'a ParkedEvent) -> ParkedView<'a> {
        ParkedView {
            source: self.source_text(*space),
            subject,
            position: mark.position,
            reason: &mark.reason,
            wants: mark.wants.as_deref(),
        }
    }

    /// Subjects of a source whose newest event could not be applied.
    pub fn parked_of(&self, source: &str) -> impl Iterator<Item = ParkedView<'_>> + Clone {
        let space = self.facts.sources.find(0, source).and_then(|ix| u16::try_from(ix).ok());
        let all = space.map(|space| {
            self.facts.parked.range((space, String::new())..).take_while(move |((of, _), _)| *of == space)
        });
        all.into_iter().flatten().map(|(subject, mark)| self.parked_view(subject, mark))
    }

    /// How much waits.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { parked: self.facts.parked.len(), name_taken: self.index.wanted_names }
    }

    /// The profile's switches as they are set.
    pub(crate) fn switches(&self) -> &BTreeMap<String, String> {
        &self.settings.switches
    }
}
