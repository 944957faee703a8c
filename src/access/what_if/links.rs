//! What each person would gain and lose by being linked or parted. Records nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Digest, Position, SourceName,
    body::{Link, SourcePerson},
};
use serde::{Deserialize, Serialize};

use crate::{
    effort::{Effort, GivenUp},
    fold::{change::Effect, people::LINK_STATED},
    questions::{
        apart::{Apart, LeftOut},
        links::LinkStatement,
        members::memberships_of,
    },
    roster::{
        Roster,
        facts::{Field, Holder, NONE, Owner, Secret, SecretUse},
        handles::{Place, Principal, ProfileKind, UserIx},
    },
    what_if::{preview::NamedScope, standing::SIGN_IN},
};

/// How many links are told of by which two stay one user.
const MAX_LINKS_TOLD: usize = 10;

/// A role that a person has on a scope, or has no more; or that it can sign in no more, told of the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonChange {
    /// Whose, `source/id`.
    pub person: String,
    /// Where.
    pub scope: NamedScope,
    /// Which role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// What should be known of a link or parting before it is made, beside roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkNoteKind {
    /// What the user is called that they are from then on.
    Called,
    /// Several persons of one source would be one user.
    SeveralOfOneSource,
    /// A role or a place in a group was given while they were linked, and stays with one of them.
    Stays,
    /// A secret or invitation was made while they were linked: whose it is nobody knows, and it signs nobody in any more.
    Ends,
    /// They stay one user by other links.
    StaysOne,
    /// Somebody said before that they are two, or others who would be one with them.
    Parted,
    /// A rule takes them for one and does not link them, as that would join others whom somebody parted, or two people of one
    /// source.
    LeftOut,
    /// A source says now of somebody what it says or said of another before: no rule links that by itself.
    SaidOfAnother,
    /// A secret or invitation signs in again by it that signed nobody in, as whose it was is gone.
    Wakes,
}

/// Something that should be known of a link or parting before it is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkNote {
    /// What kind of thing.
    pub kind: LinkNoteKind,
    /// Of whom, `source/id`.
    pub person: String,
    /// In words.
    pub text: String,
    /// The event that it tells of.
    pub event: Option<Position>,
}

impl LinkNote {
    /// Of a pair that a rule left out.
    #[must_use]
    pub fn of_left_out(left_out: &LeftOut) -> Self {
        let LeftOut { persons: [one, two], why, parted_at } = left_out;
        let person = format!("{}/{}", one.source, one.person);
        let text = format!("is not linked with {}/{}: {why}", two.source, two.person);
        Self { kind: LinkNoteKind::LeftOut, person, text, event: *parted_at }
    }
}

/// What linking or parting persons would do.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    /// What it would record, in this order.
    pub commands: Vec<Body>,
    /// What the fold would say of each.
    pub effects: Vec<Effect>,
    /// What each of the persons would gain and lose.
    pub changes: Vec<PersonChange>,
    /// What else should be known before.
    pub notes: Vec<LinkNote>,
    /// Names it: what does the same has the same name.
    pub name: String,
}

impl Roster {
    /// The roles of a user, by scope.
    fn roles_by_scope(&self, user: UserIx, now: DateTime<Utc>) -> BTreeSet<(NamedScope, String)> {
        let projects = memberships_of(self, user, now).into_iter();
        let mut all: BTreeSet<_> = projects.map(|row| (NamedScope::Project(row.project), row.role)).collect();
        let above = std::iter::once(Place::Root).chain(self.folders().map(Place::Folder));
        for place in above {
            let roles = self.roles_at(Principal::User(user), place, now).into_iter();
            all.extend(roles.map(|role| (self.named_scope(place), role)));
        }
        all.extend(self.api_roles_by_scope(user, now));
        all
    }

    /// Those of Rollcall's own API, where they were given.
    fn api_roles_by_scope(&self, user: UserIx, now: DateTime<Utc>) -> Vec<(NamedScope, String)> {
        let (mut all, now) = (Vec::new(), now.timestamp_micros());
        if self.shut_out(user) {
            return all;
        }
        self.each_holder(Principal::User(user), |holder| {
            for ix in self.index.holder_bindings.get(&holder).into_iter().flatten() {
                let row = self.facts.bindings.get(*ix).and_then(Option::as_ref).filter(|row| row.runs(now));
                let role = self.roles.get(*ix as usize).copied().flatten();
                if let (Some(row), Some((ProfileKind::Api, held))) = (row, role) {
                    let scope = self.named_scope(self.place_on(row.on));
                    all.push((scope, self.bindable_role(ProfileKind::Api, held.role)));
                }
            }
        });
        all
    }

    /// What should be known of the user that a person would be.
    fn notes_of_user(&self, before: &Self, user: UserIx) -> Vec<LinkNote> {
        let person = self.user_id(user);
        let mut notes = Vec::new();
        let mut names = self.user_names(user).map(str::to_owned);
        let first = names.next().unwrap_or_default();
        let others: Vec<String> = names.collect();
        if !others.is_empty() {
            let own = if self.has_personal_projects() { ", and finds the same personal project" } else { "" };
            let text = format!("called {first}; {} signs in as well{own}", others.join(", "));
            notes.push(LinkNote { kind: LinkNoteKind::Called, person: person.clone(), text, event: None });
        }
        let persons = self.persons_of(user);
        let space = |person: u32| self.facts.persons.names.space(person);
        let there = |person: &&u32| self.facts.persons.get(**person).is_some_and(|row| row.register.stands());
        for source in persons.iter().filter(there).map(|person| space(*person)).collect::<BTreeSet<u16>>() {
            let of: Vec<u32> = persons.iter().filter(there).copied().filter(|one| space(*one) == source).collect();
            let is_new =
                of.iter().any(|one| of.first().is_some_and(|first| before.user_of(*one) != before.user_of(*first)));
            if is_new {
                let all: Vec<String> = of.iter().map(|one| self.person_key(*one)).collect();
                let text = format!("{first} would be {} people of source {}", all.len(), self.source_text(source));
                notes.push(LinkNote {
                    kind: LinkNoteKind::SeveralOfOneSource,
                    person: person.clone(),
                    text: format!("{text}: {}", all.join(", ")),
                    event: None,
                });
            }
        }
        notes
    }

    /// Which secrets of the user that a person would be sign in by it and did not before.
    fn notes_of_woken(&self, before: &Self, user: UserIx, now: DateTime<Utc>) -> Vec<LinkNote> {
        let works = |roster: &Self, row: &Secret| {
            let Owner::Person(owner) = row.owner else { return false };
            roster.is_of_one_user(row) && !roster.shut_out(UserIx(roster.user_of(owner)))
        };
        let secrets = self.open_secrets_of(Principal::User(user), now.timestamp_micros());
        let woken = secrets.filter(|(_, row)| works(self, row) && !works(before, row));
        let note = |(ix, row): (u32, &Secret)| {
            let Owner::Person(owner) = row.owner else { return None };
            let text = format!("{} signs in again, as {}", self.secret_text(ix, row), self.user_name(user));
            Some(LinkNote { kind: LinkNoteKind::Wakes, person: self.person_key(owner), text, event: Some(row.issued) })
        };
        woken.filter_map(note).collect()
    }

    /// A secret as people know it.
    fn secret_text(&self, ix: u32, row: &Secret) -> String {
        let label = row.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
        let what = if row.usage == SecretUse::Invitation { "invitation" } else { "secret" };
        format!("{what} {}{label}", self.facts.secrets.id(ix))
    }

    /// That somebody said before of two who are to be linked that they are two.
    fn note_of_parted(&self, persons: &[SourcePerson; 2]) -> Option<LinkNote> {
        let [one, two] = persons.each_ref().map(|one| self.person_named(one));
        let (one, two) = (one?, two?);
        let Apart::Parted(parting) = self.apart(one, two)? else { return None };
        Some(LinkNote {
            kind: LinkNoteKind::Parted,
            person: self.person_key(one),
            text: self.parting_text(&parting),
            event: Some(parting.at),
        })
    }

    /// That the same was said of somebody else before, of two whom a source's word is to link.
    fn note_of_said(&self, link: &Link) -> Option<LinkNote> {
        if link.rule.as_deref() != Some(LINK_STATED) {
            return None;
        }
        let [one, two] = link.persons.each_ref().map(|one| self.person_named(one));
        let (one, two) = (one?, two?);
        let LinkStatement::Waits(other) = self.link_statement(one, two) else { return None };
        let text = format!("is to be {}: {}", self.person_key(two), self.was_said_text(other));
        Some(LinkNote { kind: LinkNoteKind::SaidOfAnother, person: self.person_key(one), text, event: None })
    }

    /// That two whose link ends stay one user, and by which links.
    fn note_of_still_one(&self, before: &Self, persons: &[SourcePerson; 2]) -> Option<LinkNote> {
        let [one, two] = persons.each_ref().map(|one| self.person_named(one));
        let (one, two) = (one?, two?);
        if !before.is_linked(persons) || self.user_of(one) != self.user_of(two) {
            return None;
        }
        let mut links = self.links_of(UserIx(self.user_of(one))).map(|link| link.persons.join(" "));
        let told: Vec<String> = links.by_ref().take(MAX_LINKS_TOLD).collect();
        let more = match links.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!("stays one user with {}, by the links {}{more}", self.person_key(two), told.join(", "));
        Some(LinkNote { kind: LinkNoteKind::StaysOne, person: self.person_key(one), text, event: None })
    }

    /// The name that a person was given since then.
    fn name_given_since(&self, person: u32, since: Position) -> Option<&str> {
        let given = *self.facts.given_names.get(&person)?;
        let left = self.facts.formers.get(&(Field::PersonName, person)).into_iter().flatten().map(|former| former.left);
        left.max().filter(|at| *at > since).map(|_| self.facts.user_names.id(given))
    }

    /// What two persons were given since they were linked, and with whom it stays when they part.
    fn notes_of_parting(&self, after: &Self, link: &Link, now: DateTime<Utc>) -> Vec<LinkNote> {
        let Some((since, sides)) = self.parting(&link.persons) else {
            return after.note_of_still_one(self, &link.persons).into_iter().collect();
        };
        let given_to = link.given_since.as_ref().and_then(|whose| self.person_named(whose));
        let given_since = link.given_since.as_ref().map(|whose| format!("{}/{}", whose.source, whose.person));
        let given_since = given_since.map(|key| {
            let called = after.user_by_id(&key).map(|user| after.user_name(user).to_owned()).unwrap_or_default();
            (key, called)
        });
        let mut notes = Vec::new();
        for side in &sides {
            for person in side {
                let (key, name) = (after.person_key(*person), after.user_name(UserIx(after.user_of(*person))));
                let (roles, places) = self.given_since(*person, since, now);
                let roles = roles.into_iter().filter_map(|ix| after.facts.bindings.get(ix)?.as_ref());
                let roles = roles.map(|row| {
                    let has =
                        |ix: &u32| after.facts.bindings.get(*ix).and_then(Option::as_ref).filter(|has| has.covers(row));
                    let theirs = given_to.map(|to| (Holder::Person(to), row.on));
                    let theirs =
                        theirs.and_then(|key| after.index.holder_scope_bindings.get(&key)).into_iter().flatten();
                    let is_had = theirs.filter_map(has).next().is_some();
                    (row.register.stands(), is_had, format!("role {} on {}", row.role, self.scope_name(row.on)))
                });
                let places = places.into_iter().filter_map(|ix| after.facts.members.get(ix as usize));
                let places = places.map(|row| {
                    (row.register.stands(), true, format!("the place in group {}", self.group_key(row.group)))
                });
                let name_given = self.name_given_since(*person, since);
                let name_given = name_given.map(|name| (true, true, format!("the name {name}")));
                for (stands, is_had, what) in roles.chain(places).chain(name_given) {
                    // What is given to the other one with it is not there any more.
                    let (person, name) = match given_since.as_ref().filter(|_| !stands) {
                        Some((other, called)) if is_had => (other.clone(), format!("goes to {called}")),
                        Some((other, called)) => (other.clone(), format!("ends, as {called} has it for another time")),
                        None if stands => (key.clone(), format!("stays with {name}")),
                        None => continue,
                    };
                    let text = format!("{what}, given since they were linked, {name}");
                    notes.push(LinkNote { kind: LinkNoteKind::Stays, person, text, event: None });
                }
            }
        }
        let first = sides.iter().flatten().next().copied().unwrap_or(NONE);
        let user = UserIx(self.user_of(first));
        for (ix, row) in self.open_secrets_of(Principal::User(user), now.timestamp_micros()) {
            let Owner::Person(owner) = row.owner else { continue };
            let label = row.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
            let what = if row.usage == SecretUse::Invitation { "invitation" } else { "secret" };
            let id = self.facts.secrets.id(ix);
            if let Some(kept) = after.secret_row(ix).filter(|row| after.is_of_one_user(row)) {
                if row.issued > since
                    && let Owner::Person(owner) = kept.owner
                {
                    let name = after.user_name(UserIx(after.user_of(owner)));
                    let text = format!("{what} {id}{label}, made since they were linked, stays with {name}");
                    let person = after.person_key(owner);
                    notes.push(LinkNote { kind: LinkNoteKind::Stays, person, text, event: None });
                }
                continue;
            }
            let text = format!("{what} {id}{label} was made since they were linked and ends");
            notes.push(LinkNote { kind: LinkNoteKind::Ends, person: self.person_key(owner), text, event: None });
        }
        notes
    }
}

/// Tries links on a copy of the roster.
///
/// # Errors
/// It was given up half way.
pub fn plan_links(
    before: &Roster,
    commands: Vec<Body>,
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<LinkPlan, GivenUp> {
    let mut after = before.clone();
    let effects = commands.iter().map(|body| after.fold_unrecorded(&SourceName::local(), body, now)).collect();
    let mut changes = BTreeSet::new();
    let mut notes = BTreeSet::new();
    let mut text = String::new();
    for command in &commands {
        text.push_str(&format!("{} {}\n", command.kind(), command.subject()));
        let (Body::IdentityLinked(link) | Body::IdentityUnlinked(link)) = command else { continue };
        if let Some(whose) = &link.given_since {
            text.push_str(&format!("{whose:?}\n"));
        }
        if matches!(command, Body::IdentityUnlinked(_)) {
            notes.extend(before.notes_of_parting(&after, link, now));
        } else {
            notes.extend(before.note_of_parted(&link.persons));
            notes.extend(before.note_of_said(link));
        }
        for person in &link.persons {
            effort.step()?;
            let person = format!("{}/{}", person.source, person.person);
            let roles = |roster: &Roster| {
                let user = roster.user_by_id(&person);
                user.map(|user| roster.roles_by_scope(user, now)).unwrap_or_default()
            };
            let (had, has) = (roles(before), roles(&after));
            if let Some(user) = after.user_by_id(&person).filter(|_| matches!(command, Body::IdentityLinked(_))) {
                notes.extend(after.notes_of_user(before, user));
                notes.extend(after.notes_of_woken(before, user, now));
            }
            let signs_in = |roster: &Roster| roster.user_by_id(&person).is_some_and(|user| !roster.shut_out(user));
            if signs_in(before) && !signs_in(&after) {
                let (scope, role) = (NamedScope::Root, SIGN_IN.to_owned());
                changes.insert(PersonChange { person: person.clone(), scope, role, appears: false });
            }
            for (side, other, appears) in [(&has, &had, true), (&had, &has, false)] {
                changes.extend(side.difference(other).map(|(scope, role)| PersonChange {
                    person: person.clone(),
                    scope: scope.clone(),
                    role: role.clone(),
                    appears,
                }));
            }
        }
    }
    for change in &changes {
        text.push_str(&format!("{change:?}\n"));
    }
    for note in &notes {
        text.push_str(&format!("{note:?}\n"));
    }
    let name = format!("lnk_{:016x}", Digest::of(text.as_bytes()).prefix());
    Ok(LinkPlan { commands, effects, changes: changes.into_iter().collect(), notes: notes.into_iter().collect(), name })
}
