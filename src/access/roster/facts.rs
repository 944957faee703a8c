//! The facts themselves: one row per thing that a source stated, and one per relation between two.
//! Plain data, written whole into a snapshot; who may do what is worked out elsewhere.
//! Long because it is one list of everything that is known.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Epoch, LogId, Position,
    body::{ProjectKind, Visibility},
    names::Unusable,
};
use serde::{Deserialize, Serialize};

use crate::{
    persistent::{Pages, SortedMap},
    roster::{names::Names, register::Register},
};

/// No row: an open reference.
pub(crate) const NONE: u32 = u32::MAX;

/// An instant as it stands in a row: microseconds; the two ends of time are open.
pub(crate) fn micros(time: Option<DateTime<Utc>>, open: i64) -> i64 {
    time.map_or(open, |time| time.timestamp_micros())
}

/// Microseconds of a row as an instant; none at the two ends of time.
pub(crate) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    if micros == i64::MAX || micros == i64::MIN { None } else { DateTime::from_timestamp_micros(micros) }
}

/// Rows by name: what a source calls by an id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Table<T> {
    pub(crate) names: Names,
    pub(crate) rows: Pages<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { names: Names::default(), rows: Pages::default() }
    }
}

impl<T: Default + Clone> Table<T> {
    /// The row of an id, made where it is new: facts arrive in any order, and a name can come before what it names.
    pub(crate) fn intern(&mut self, space: u16, id: &str) -> u32 {
        let (ix, new) = self.names.intern(space, id);
        if new {
            self.rows.push(T::default());
        }
        ix
    }

    pub(crate) fn get(&self, ix: u32) -> Option<&T> {
        self.rows.get(ix as usize)
    }

    pub(crate) fn get_mut(&mut self, ix: u32) -> Option<&mut T> {
        self.rows.get_mut(ix as usize)
    }

    pub(crate) fn find(&self, space: u16, id: &str) -> Option<u32> {
        self.names.get(space, id)
    }

    pub(crate) fn id(&self, ix: u32) -> &str {
        self.names.text(ix)
    }

    pub(crate) fn len(&self) -> u32 {
        self.names.len()
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.names.len() as usize == self.rows.len()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) register: Register,
    pub(crate) parent: u32,
    /// The cycle of parents that it is or was in last.
    pub(crate) cycle: Option<Cycle>,
}

/// A cycle of parents that an account is in, and so nobody's sub-account, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cycle {
    /// The event that closed it, or that broke it.
    pub(crate) at: Position,
    /// The account that the event was about.
    pub(crate) by: u32,
    pub(crate) closed: bool,
}

impl Account {
    /// In a cycle of parents: it is nobody's sub-account.
    pub(crate) fn in_cycle(&self) -> bool {
        self.cycle.is_some_and(|cycle| cycle.closed)
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { register: Register::default(), parent: NONE, cycle: None }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) register: Register,
    pub(crate) account: u32,
    /// The oldest person of the user's set: the user.
    pub(crate) user: u32,
    /// Index of the user name that this person has now.
    pub(crate) name: u32,
    pub(crate) active: bool,
    /// Where the person was first stated; decides which of a user's persons is the oldest.
    pub(crate) first: Position,
}

impl Default for Person {
    fn default() -> Self {
        Self { register: Register::default(), account: NONE, user: NONE, name: NONE, active: false, first: Position(0) }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) register: Register,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) register: Register,
    pub(crate) producer: u32,
    pub(crate) project: u32,
    pub(crate) delivery: bool,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Default for Package {
    fn default() -> Self {
        Self {
            register: Register::default(),
            producer: NONE,
            project: NONE,
            delivery: false,
            from: i64::MIN,
            until: i64::MAX,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entitlement {
    pub(crate) register: Register,
    pub(crate) account: u32,
    pub(crate) state: State,
    /// A person was assigned at some time: it reaches only the persons assigned now.
    pub(crate) narrowed: bool,
}

impl Default for Entitlement {
    fn default() -> Self {
        Self { register: Register::default(), account: NONE, state: State::Draft, narrowed: false }
    }
}

/// The state of an entitlement as the fold keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Draft,
    Active,
    OnHold,
    Inactive,
    Obsolete,
    Unknown,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) register: Register,
    pub(crate) entitlement: u32,
    pub(crate) product: u32,
    pub(crate) starts: i64,
    pub(crate) ends: i64,
}

impl Default for Line {
    fn default() -> Self {
        Self { register: Register::default(), entitlement: NONE, product: NONE, starts: i64::MIN, ends: i64::MAX }
    }
}

/// A relation between two rows: a product in a package, a person of an entitlement.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) left: u32,
    pub(crate) right: u32,
    pub(crate) register: Register,
}

/// Adds a pair that nothing was said of yet.
pub(crate) fn push_pair(pairs: &mut Pages<Pair>, left: u32, right: u32) -> u32 {
    let ix = u32::try_from(pairs.len()).unwrap_or(NONE);
    pairs.push(Pair { left, right, register: Register::default() });
    ix
}

/// A project. Its name is first come, first kept; earlier names stay its aliases.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) origin: Origin,
    /// Index of its name now.
    pub(crate) name: u32,
    /// Where it was first claimed.
    pub(crate) since: Position,
}

/// Where a project comes from, and so who may change it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// A package of a source, which manages it.
    Package(u32),
    /// A command.
    Local(LocalProject),
}

/// A project that a person made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LocalProject {
    pub(crate) register: Register,
    /// Its row in the table of ids.
    pub(crate) id: u32,
    pub(crate) kind: ProjectKind,
    pub(crate) visibility: Visibility,
    /// Where it was made otherwise visible last; 0 while it never was.
    pub(crate) visibility_changed: Position,
    /// The folder that it is in, or [`NONE`] for the root.
    pub(crate) folder: u32,
    /// The person who made it, or [`NONE`].
    pub(crate) creator: u32,
}

/// A scope above projects.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Folder {
    pub(crate) register: Register,
    /// The name of its scope level.
    pub(crate) kind: String,
    /// The folder above it, or [`NONE`] for the root.
    pub(crate) parent: u32,
    pub(crate) name: Option<String>,
}

/// A non-human principal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) register: Register,
    pub(crate) name: Option<String>,
    pub(crate) ends: i64,
    /// Of a portal: the sources whose people it serves; every source when empty.
    pub(crate) sources: Vec<u16>,
    /// Who made it, unless that was the operator.
    pub(crate) author: Option<Owner>,
}

/// A set of people, services and groups of one source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) register: Register,
    pub(crate) name: Option<String>,
    /// How the source's people know it, e.g. a DN.
    pub(crate) external_id: Option<String>,
}

/// What can be in a group and hold a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Holder {
    Person(u32),
    Service(u32),
    Group(u32),
}

/// Somebody in a group.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) group: u32,
    pub(crate) holder: Holder,
    pub(crate) register: Register,
}

/// A registry secret or an invitation to fetch one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) sha256: [u8; 32],
    pub(crate) owner: Owner,
    pub(crate) expires: i64,
    pub(crate) issued: Position,
    pub(crate) issued_at: i64,
    pub(crate) label: Option<String>,
    /// Who made it, or the invitation that it was fetched with, or the secret that it was made with where somebody else
    /// made that one; nobody where that was the operator.
    pub(crate) author: Option<Owner>,
    pub(crate) reach: Reach,
    /// The secret that its author signed in with, or [`NONE`].
    pub(crate) made_with: u32,
    pub(crate) usage: SecretUse,
    /// The persons of its owner whose it could be, where these were several when it was made: whose it is nobody knows once
    /// they part.
    pub(crate) made_for: Box<[u32]>,
}

/// How far a secret reaches, as it was when it, or its invitation, was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    /// As far as its owner: it was made by the owner or the operator.
    Owner,
    /// Somebody else made it: what the facts of these sources give by themselves; those of any source when empty.
    Sources(Vec<u16>),
}

/// Whom a secret signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Owner {
    Person(u32),
    Service(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretUse {
    /// Signs in.
    Live,
    /// Can be redeemed for a secret, once.
    Invitation,
    /// Revoked, or redeemed.
    Over,
}

/// A role given by an administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Binding {
    pub(crate) register: Register,
    pub(crate) holder: Holder,
    pub(crate) role: String,
    pub(crate) on: RecordedScope,
    pub(crate) starts: i64,
    pub(crate) ends: i64,
    /// The event since which it stands without a break, whatever was said of its window since.
    pub(crate) since: Position,
}

/// What a secret can have made, besides other secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum MadeThing {
    Binding(u32),
    Service(u32),
    Group(u32),
    Member(u32),
    Folder(u32),
    Project(u32),
}

/// A scope of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum RecordedScope {
    Root,
    Folder(u32),
    Project(u32),
}

/// Who said something of a source as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceSaid {
    /// The event that says so.
    pub(crate) said: Position,
    /// When it was recorded.
    pub(crate) at: i64,
    pub(crate) author: Option<String>,
}

/// Whether a source's facts count, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suspension {
    /// They are kept and go on being updated, and nobody has anything through them.
    pub(crate) suspended: bool,
    pub(crate) by: SourceSaid,
}

/// A subject whose newest event cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParkedEvent {
    pub(crate) key: u64,
    pub(crate) position: Position,
    pub(crate) reason: String,
    /// The project's name that it waits for, if that is why.
    pub(crate) wants: Option<String>,
}

/// A reference that a row once had; kept so that an explanation can say what somebody left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Field {
    PersonAccount,
    AccountParent,
    PackageProducer,
    EntitlementAccount,
    LineEntitlement,
    LineProduct,
    PersonName,
    FolderParent,
    ProjectFolder,
    /// Whom a person is in another source by what its own says.
    PersonSameAs,
}

/// A name that a source asks for and that is not in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NameNotInEffect {
    /// Nobody can have it. As the source wrote it, shortened.
    Unusable(String, Unusable),
    /// Somebody else has it or had it: its row among the user names.
    Taken(u32),
    /// The user was given another one.
    Overruled(String),
}

/// A reference that a row had, and the event that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) to: u32,
    pub(crate) left: Position,
}

/// Everything that the log says, at one position.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) log: LogId,
    pub(crate) position: Position,
    pub(crate) sources: Table<()>,
    /// Sources that are no more: nothing that they say takes effect.
    pub(crate) retired: BTreeMap<u16, SourceSaid>,
    /// What was said last of the sources that were ever suspended.
    pub(crate) suspensions: BTreeMap<u16, Suspension>,
    /// JSON of the settings and of the profile in force; empty while nothing was said.
    pub(crate) settings: String,
    pub(crate) profile: String,
    /// The events that said them, and where each setting got another value, by its path in the document.
    pub(crate) settings_said: Position,
    pub(crate) profile_said: Position,
    pub(crate) settings_changed: BTreeMap<String, Position>,
    pub(crate) accounts: Table<Account>,
    pub(crate) persons: Table<Person>,
    pub(crate) products: Table<Product>,
    pub(crate) packages: Table<Package>,
    pub(crate) entitlements: Table<Entitlement>,
    pub(crate) lines: Table<Line>,
    /// Package and product.
    pub(crate) mappings: Pages<Pair>,
    /// Entitlement and person.
    pub(crate) assignments: Pages<Pair>,
    pub(crate) permissions: SortedMap<u32, Register>,
    pub(crate) formers: SortedMap<(Field, u32), Vec<Former>>,
    /// References of events that were superseded when they came: they never held, and may have been so all the same.
    pub(crate) mentions: SortedMap<(Field, u32), Vec<u32>>,
    /// Two persons.
    pub(crate) links: Pages<Pair>,
    /// Of links that a rule made or ended last: the person whose source said so.
    pub(crate) rule_links: SortedMap<u32, u32>,
    /// Links that somebody said are none before any was made.
    pub(crate) excepted_links: SortedMap<u32, ()>,
    /// Sources whose word that their persons are those of another was confirmed: one, and the other.
    pub(crate) confirmed_links: BTreeSet<(u16, u16)>,
    /// Persons of other sources that a person is by what its own source says.
    pub(crate) same_as: SortedMap<u32, Vec<u32>>,
    /// By name: the person who has it or had it last, [`NONE`] where it was freed.
    pub(crate) user_names: Table<u32>,
    /// Of names that a command was about: the persons who had them before.
    pub(crate) name_holders: SortedMap<u32, Vec<u32>>,
    /// Names that persons were given and their sources do not ask for.
    pub(crate) given_names: SortedMap<u32, u32>,
    /// Persons of users of several as whom somebody said that their user is called.
    pub(crate) named_after: SortedMap<u32, ()>,
    /// Of users of several persons who are not called as the oldest of them: the one that they are called as.
    pub(crate) called_as: SortedMap<u32, u32>,
    /// Of persons whose name is not the one that their source asks for: which that is, and why.
    pub(crate) names_not_in_effect: SortedMap<u32, NameNotInEffect>,
    pub(crate) projects: Pages<Project>,
    pub(crate) project_names: Table<u32>,
    /// Of packages without a project: names that they had before, which find it once it is there.
    pub(crate) earlier_names: BTreeMap<u32, BTreeSet<String>>,
    /// Projects that people made, by id: their rows among `projects`.
    pub(crate) local_projects: Table<u32>,
    pub(crate) folders: Table<Option<Folder>>,
    pub(crate) services: Table<Option<Service>>,
    pub(crate) groups: Table<Group>,
    pub(crate) members: Pages<Member>,
    pub(crate) secrets: Table<Option<Secret>>,
    /// Position of the newest `credentials.reset` of a person.
    pub(crate) resets: SortedMap<u32, Position>,
    pub(crate) bindings: Table<Option<Binding>>,
    /// The secret that something was made with, where that was one. What is no more may stand here still.
    pub(crate) made_with: SortedMap<MadeThing, u32>,
    /// Subjects that are recorded and mean nothing to a membership: runs.
    pub(crate) others: Table<Register>,
    /// The newest epoch of each source that is read.
    pub(crate) epochs: BTreeMap<u16, Epoch>,
    pub(crate) parked: SortedMap<(u16, String), ParkedEvent>,
}

impl Facts {
    pub(crate) fn new(log: LogId) -> Self {
        Self {
            log,
            position: Position(0),
            sources: Table::default(),
            retired: BTreeMap::new(),
            suspensions: BTreeMap::new(),
            settings: String::new(),
            profile: String::new(),
            settings_said: Position(0),
            profile_said: Position(0),
            settings_changed: BTreeMap::new(),
            accounts: Table::default(),
            persons: Table::default(),
            products: Table::default(),
            packages: Table::default(),
            entitlements: Table::default(),
            lines: Table::default(),
            mappings: Pages::default(),
            assignments: Pages::default(),
            permissions: SortedMap::default(),
            formers: SortedMap::default(),
            mentions: SortedMap::default(),
            links: Pages::default(),
            rule_links: SortedMap::default(),
            excepted_links: SortedMap::default(),
            confirmed_links: BTreeSet::new(),
            same_as: SortedMap::default(),
            user_names: Table::default(),
            name_holders: SortedMap::default(),
            given_names: SortedMap::default(),
            named_after: SortedMap::default(),
            called_as: SortedMap::default(),
            names_not_in_effect: SortedMap::default(),
            projects: Pages::default(),
            project_names: Table::default(),
            earlier_names: BTreeMap::new(),
            local_projects: Table::default(),
            folders: Table::default(),
            services: Table::default(),
            groups: Table::default(),
            members: Pages::default(),
            secrets: Table::default(),
            resets: SortedMap::default(),
            bindings: Table::default(),
            made_with: SortedMap::default(),
            others: Table::default(),
            epochs: BTreeMap::new(),
            parked: SortedMap::default(),
        }
    }

    /// Whether the facts of a source are kept and do not count.
    pub(crate) fn is_suspended(&self, space: u16) -> bool {
        !self.suspensions.is_empty() && self.suspensions.get(&space).is_some_and(|said| said.suspended)
    }

    /// Whether a person can do anything: stated, not removed, not inactive, and of a source whose facts count.
    pub(crate) fn is_live(&self, person: u32) -> bool {
        self.persons.get(person).is_some_and(|row| row.register.stands() && row.active)
            && !self.is_suspended(self.persons.names.space(person))
    }

    /// Whether a person was not removed, and is of a source that is not retired.
    pub(crate) fn is_there(&self, person: u32) -> bool {
        self.persons.get(person).is_some_and(|row| row.register.stands())
            && !self.retired.contains_key(&self.persons.names.space(person))
    }

    /// The name that is asked for and not in effect.
    pub(crate) fn text_of_asked<'a>(&'a self, why: &'a NameNotInEffect) -> &'a str {
        match why {
            NameNotInEffect::Unusable(name, _) | NameNotInEffect::Overruled(name) => name,
            NameNotInEffect::Taken(name) => self.user_names.id(*name),
        }
    }

    /// A name that is asked for and not in effect, as the index has it.
    pub(crate) fn asked_key(&self, person: u32, why: &NameNotInEffect) -> (u16, String, u32) {
        (self.persons.names.space(person), self.text_of_asked(why).to_owned(), person)
    }

    /// Whether somebody said of a pair, linked before or not, that it is two, and no rule did.
    pub(crate) fn is_parting(&self, link: u32) -> bool {
        let pair = self.links.get(link as usize);
        pair.is_some_and(|pair| pair.register.stated() && !pair.register.stands())
            && !self.rule_links.contains_key(&link)
    }

    /// Whether a group is there, and of a source whose facts count.
    pub(crate) fn group_counts(&self, group: u32) -> bool {
        self.groups.get(group).is_some_and(|row| row.register.stands())
            && !self.is_suspended(self.groups.names.space(group))
    }

    /// Whoever has a user name and had it.
    pub(crate) fn ever_had_name(&self, name: u32) -> impl Iterator<Item = u32> + '_ {
        let now = self.user_names.get(name).copied().filter(|person| *person != NONE);
        now.into_iter().chain(self.name_holders.get(&name).into_iter().flatten().copied())
    }

    /// Every value that a row's reference has and had, the present one first.
    pub(crate) fn current_and_former(&self, field: Field, row: u32, now: u32) -> impl Iterator<Item = u32> + '_ {
        let past = self.formers.get(&(field, row)).map_or(&[][..], Vec::as_slice);
        std::iter::once(now)
            .chain(past.iter().map(|former| former.to).filter(move |value| *value != now))
            .filter(|value| *value != NONE)
    }

    /// As [`Self::current_and_former`], with what was only mentioned.
    pub(crate) fn ever_named(&self, field: Field, row: u32, now: u32) -> impl Iterator<Item = u32> + '_ {
        self.current_and_former(field, row, now).chain(self.mentions.get(&(field, row)).into_iter().flatten().copied())
    }

    /// Notes a reference of a superseded event.
    pub(crate) fn note_mention(&mut self, field: Field, row: u32, to: u32) -> bool {
        self.mentions.update((field, row), |past| {
            let new = to != NONE && !past.contains(&to);
            if new {
                past.push(to);
            }
            new
        })
    }

    /// Notes that a reference moved away from `old`.
    pub(crate) fn note_former(&mut self, field: Field, row: u32, old: u32, left: Position) {
        if old != NONE {
            self.formers.update((field, row), |past| match past.iter_mut().find(|former| former.to == old) {
                Some(former) => former.left = left,
                None => past.push(Former { to: old, left }),
            });
        }
    }

    /// The last reference that is not the one of now, and when it was left.
    pub(crate) fn newest_former(&self, field: Field, row: u32) -> Option<Former> {
        self.formers.get(&(field, row))?.iter().max_by_key(|former| former.left).copied()
    }

    /// The event by which a reference moved away from `old` last.
    pub(crate) fn left(&self, field: Field, row: u32, old: u32) -> Option<Position> {
        self.formers.get(&(field, row))?.iter().find(|former| former.to == old).map(|former| former.left)
    }
}
